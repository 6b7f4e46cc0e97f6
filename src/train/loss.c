/*
 * loss.c - cross-entropy and distillation, forward and backward. The head's logits are never kept as a whole: as many rows at a
 * time as fit PP_LOGITS are computed, turned into their gradient in place, and multiplied back.
 */
#include <math.h>
#include <string.h>

#include "train/net.h"

typedef struct loss_args loss_args;
struct loss_args {
    void (*row_loss)(pp_net *net, const loss_args *a, int32_t row);
    pp_net *teacher; /* NULL: cross-entropy */
    int32_t first;   /* of the wanted rows whose logits there are */
    bool backward;
};

/* -log p of the target; logits become weight * (p - 1 at the target). */
static void entropy_row(pp_net *net, const loss_args *a, int32_t row)
{
    const int32_t n = net->weights->config.n_vocab, at = a->first + row;
    real *logits = net->logits + (size_t)row * (size_t)n;
    const int32_t target = net->batch->target[net->want[at]];
    const real score = logits[target], lse = pp_op_softmax(net->kernels, logits, n, 1);
    net->row_loss[at] = net->row_weight[at] * (lse - score);
    if (!a->backward) return;
    logits[target] -= 1;
    pp_op_scale(net->kernels, logits, net->row_weight[at], n);
}

static double log_sum_exp(const real *x, int32_t n)
{
    double sum = 0;
    real most = x[0];
    for (int32_t i = 1; i < n; i++) most = PP_MAX(most, x[i]);
    for (int32_t i = 0; i < n; i++) sum += exp((double)(x[i] - most));
    return (double)most + log(sum);
}

/* KL(p || q) of the row, p the net's and q the teacher's; d KL / d logit_i = p_i (log p_i - log q_i - KL). */
static void reverse_row(pp_net *net, const loss_args *a, int32_t row)
{
    const int32_t n = net->weights->config.n_vocab, at = a->first + row;
    real *p = net->logits + (size_t)row * (size_t)n, *ratio = a->teacher->logits + (size_t)row * (size_t)n;
    const double lse_p = log_sum_exp(p, n), lse_q = log_sum_exp(ratio, n);
    double divergence = 0;
    for (int32_t i = 0; i < n; i++) {
        const double log_p = (double)p[i] - lse_p, log_ratio = log_p - ((double)ratio[i] - lse_q), prob = exp(log_p);
        divergence += prob * log_ratio;
        p[i] = (real)prob;
        ratio[i] = (real)log_ratio;
    }
    net->row_loss[at] = net->row_weight[at] * (real)divergence;
    if (a->backward)
        for (int32_t i = 0; i < n; i++)
            p[i] = (real)((double)net->row_weight[at] * (double)p[i] * ((double)ratio[i] - divergence));
}

/* KL(q || p) of the row; d KL / d logit_i = p_i - q_i. */
static void forward_row(pp_net *net, const loss_args *a, int32_t row)
{
    const int32_t n = net->weights->config.n_vocab, at = a->first + row;
    real *p = net->logits + (size_t)row * (size_t)n;
    const real *q = a->teacher->logits + (size_t)row * (size_t)n;
    const double lse_p = log_sum_exp(p, n), lse_q = log_sum_exp(q, n), weight = (double)net->row_weight[at];
    double divergence = 0;
    for (int32_t i = 0; i < n; i++) {
        const double log_p = (double)p[i] - lse_p, log_q = (double)q[i] - lse_q, prob = exp(log_q);
        divergence += prob * (log_q - log_p);
        if (a->backward) p[i] = (real)(weight * (exp(log_p) - prob));
    }
    net->row_loss[at] = (real)(weight * divergence);
}

typedef struct loss_region {
    pp_net *net;
    const loss_args *args;
} loss_region;

static void loss_piece(void *arg, int thread, size_t first, size_t last)
{
    (void)thread;
    const loss_region *r = arg;
    for (size_t row = first; row < last; row++) r->args->row_loss(r->net, r->args, (int32_t)row);
}

/* The head's part of the backward pass: gradient of `hidden` into h_want, of the head into its place. */
static void output_backward(pp_net *net, int32_t first, int32_t n)
{
    const pp_linear *head = &net->weights->head;
    const size_t at = (size_t)first * (size_t)head->n_in;
    pp_net_matrix_backward(net, head, net->logits, n, net->h_want + at, false);
    if (net->grads.head) pp_net_outer(net, net->grads.head, net->logits, net->hidden + at, n, head->n_out, head->n_in);
}

static double total(const pp_net *net)
{
    double sum = 0;
    for (int32_t i = 0; i < net->n_want; i++) sum += (double)net->row_loss[i];
    return sum;
}

static double loss(pp_net *net, loss_args a)
{
    const size_t d = (size_t)net->weights->config.d_model;
    pp_net *teacher = a.teacher;
    const int32_t most = teacher ? PP_MIN(net->n_logits, teacher->n_logits) : net->n_logits;
    for (; a.first < net->n_want; a.first += most) {
        const int32_t n = PP_MIN(most, net->n_want - a.first);
        pp_net_matrix(net, &net->weights->head, net->hidden + (size_t)a.first * d, n, net->logits, false);
        if (teacher)
            pp_net_matrix(teacher, &teacher->weights->head,
                          teacher->hidden + (size_t)a.first * (size_t)teacher->weights->config.d_model, n,
                          teacher->logits, false);
        pp_team_run_pieces(net->team, (uint64_t)n * (uint64_t)net->weights->config.n_vocab, (size_t)n, loss_piece,
                           &(loss_region){net, &a});
        if (a.backward) output_backward(net, a.first, n);
    }
    if (a.backward && net->n_want > 0) {
        memset(net->dx, 0, (size_t)net->n_want * d * sizeof *net->dx);
        pp_net_norm_backward(net, net->dx, net->grads.out_norm, net->h_want, net->out, net->weights->out_norm,
                             net->n_want);
    }
    return total(net);
}

double pp_net_cross_entropy(pp_net *net, double weight, bool backward)
{
    for (int32_t i = 0; i < net->n_want; i++) net->row_weight[i] = (real)weight;
    return loss(net, (loss_args){.row_loss = entropy_row, .backward = backward});
}

double pp_net_distill(pp_net *net, pp_net *teacher, pippin_distill_loss kind, double weight, bool backward)
{
    const pp_batch *b = net->batch;
    for (size_t sequence = 0; sequence < b->n_sequence; sequence++) {
        const int32_t first = net->want_start[b->sequence_start[sequence]];
        const int32_t last = net->want_start[b->sequence_start[sequence + 1]];
        for (int32_t i = first; i < last; i++) net->row_weight[i] = (real)(weight / (last - first));
    }
    return loss(net, (loss_args){.row_loss = kind == PIPPIN_DISTILL_FORWARD_KL ? forward_row : reverse_row,
                                 .teacher = teacher,
                                 .backward = backward});
}
