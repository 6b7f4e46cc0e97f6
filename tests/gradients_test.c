/*
 * gradients_test.c - the network's backward pass against finite differences of its forward pass. The files of src/train are
 * compiled here once more with double for float, so that what is compared are formulas, order and bookkeeping, to 1e-6 and
 * better, and not roundings.
 */
#define PP_REAL          double
#define PP_REAL_IS_FLOAT 0
#include "ops_double.h"

#include "train/attention.c"
#include "train/feed_forward.c"
#include "train/linear.c"
#include "train/loss.c"
#include "train/low.c"
#include "train/net.c"
#include "train/rows.c"

#include "adapter/adapter.h"
#include "support.h"

enum { N_TOK = 160, N_SEGMENT = 4, MAX_PARAM = 200 };

typedef enum objective { ENTROPY = 0, REVERSE_KL, FORWARD_KL } objective;

/* One tensor that is trained. */
typedef struct param {
    char name[200];
    float *value;
    double *grad;
    size_t n;
} param;

typedef struct subject {
    pp_weights weights;
    pippin_adapter *adapter;
    param params[MAX_PARAM];
    int n_param;
    pp_layer_grads layers[16];
    pp_net net, teacher;
    pp_team *team;
    pp_weights teacher_weights;
    pp_batch batch;
    objective objective;
} subject;

static int32_t tokens[N_TOK], position[N_TOK], target[N_TOK];
static size_t segment_start[N_SEGMENT + 1] = {0, 3, 17, 18, 0}, sequence_start[] = {0, 2, 4};

/* Segments of 3, 14, 1 and 18 (long: 142, more than a chunk of rows and a block of queries) tokens in two sequences; about half of the targets are learned, none in the third segment. */
static void make_batch(subject *s, int32_t n_vocab, size_t n_tok)
{
    segment_start[N_SEGMENT] = n_tok;
    make_tokens(tokens, N_TOK, n_vocab, 5);
    for (size_t segment = 0; segment < N_SEGMENT; segment++)
        for (size_t i = segment_start[segment]; i < segment_start[segment + 1]; i++) {
            const bool last = i + 1 == segment_start[segment + 1];
            position[i] = (int32_t)(i - segment_start[segment]);
            target[i] = !last && pp_random_bits(6, 0, i) % 2 ? tokens[i + 1] : -1;
        }
    s->batch = (pp_batch){.n_tok = n_tok,
                          .n_segment = N_SEGMENT,
                          .n_sequence = 2,
                          .tokens = tokens,
                          .position = position,
                          .target = target,
                          .segment_start = segment_start,
                          .sequence_start = sequence_start};
}

/* Multiples of 2^-17, so that steps of a power of two are exact in float. */
static float on_grid(double x) { return (float)(rint(x * 0x1p17) * 0x1p-17); }

static void add_param(subject *s, const char *name, const void *value, size_t n, double around, uint64_t stream)
{
    param *p = &s->params[s->n_param++];
    assert_true(s->n_param <= MAX_PARAM);
    snprintf(p->name, sizeof p->name, "%s", name);
    p->value = (float *)(uintptr_t)value;
    p->n = n;
    p->grad = calloc(n, sizeof *p->grad);
    for (size_t i = 0; i < n; i++)
        p->value[i] = on_grid((n > 500 ? (double)p->value[i] * (strstr(name, "embed") ? 16 : 1)
                                       : around + 0.4 * (pp_random_unit(9, stream, i) - 0.5)));
}

/* Where the gradient of what lies at `weight` is. */
static double *grad_at(const subject *s, const void *weight)
{
    const float *w = weight;
    for (int i = 0; w && i < s->n_param; i++)
        if (w >= s->params[i].value && w < s->params[i].value + s->params[i].n)
            return s->params[i].grad + (w - s->params[i].value);
    return NULL;
}

static void point_grads(subject *s)
{
    pp_grads *g = &s->net.grads;
    g->layers = s->layers;
    g->embedding = grad_at(s, s->weights.embedding.w);
    g->head = grad_at(s, s->weights.head.w);
    g->out_norm = grad_at(s, s->weights.out_norm);
    for (int32_t i = 0; i < s->weights.config.n_layer; i++) {
        const pp_layer *l = &s->weights.layers[i];
        pp_layer_grads *to = &s->layers[i];
        *to = (pp_layer_grads){.attn_norm = grad_at(s, l->attn_norm),
                               .ffn_norm = grad_at(s, l->ffn_norm),
                               .q_norm = grad_at(s, l->q_norm),
                               .k_norm = grad_at(s, l->k_norm)};
        for (pp_site site = PP_Q; site < PP_N_SITE; site++) {
            to->site[site] = grad_at(s, l->site[site].w);
            to->bias[site] = grad_at(s, l->site[site].bias);
            if (!s->adapter) continue;
            to->lora_a[site] = grad_at(s, s->adapter->sites[i * PP_N_SITE + (int32_t)site].a);
            to->lora_b[site] = grad_at(s, s->adapter->sites[i * PP_N_SITE + (int32_t)site].b);
        }
    }
}

typedef struct kind {
    const char *name;
    void (*change)(pippin_config *c);
    int32_t rank;
    bool frozen;
    objective objective;
    bool is_long;
    pp_net_options options;
} kind;

static void as_afm(pippin_config *c) { (void)c; }
static void as_uniform(pippin_config *c) { c->n_reuse = 0; }
static void as_llama(pippin_config *c)
{
    c->arch = PIPPIN_ARCH_LLAMA;
    c->n_reuse = 0;
    c->qk_norm = PIPPIN_QK_NORM_NONE;
    c->rope_pairs = PIPPIN_ROPE_HALVES;
    c->tied_head = false;
}
static void as_qwen2(pippin_config *c)
{
    as_llama(c);
    c->arch = PIPPIN_ARCH_QWEN2;
    c->qkv_bias = true;
    c->tied_head = true;
}
static void as_qwen3(pippin_config *c)
{
    as_llama(c);
    c->arch = PIPPIN_ARCH_QWEN3;
    c->qk_norm = PIPPIN_QK_NORM_BEFORE_ROPE;
}

static const kind kinds[] = {
    {"afm", as_afm, 0, false, ENTROPY, true, {0}},
    {"afm, activation checkpointing", as_afm, 0, false, ENTROPY, false, {.checkpointing = true}},
    {"afm, dropout", as_afm, 3, false, ENTROPY, false, {.dropout = 0.3f, .lora_dropout = 0.2f, .checkpointing = true}},
    {"afm, adapter on frozen weights", as_afm, 3, true, ENTROPY, false, {0}},
    {"afm, all weights and an adapter", as_afm, 3, false, ENTROPY, false, {0}},
    {"uniform", as_uniform, 0, false, ENTROPY, false, {0}},
    {"uniform, distilled", as_uniform, 0, false, REVERSE_KL, false, {0}},
    {"uniform, distilled by forward KL", as_uniform, 0, false, FORWARD_KL, false, {0}},
    {"llama", as_llama, 0, false, ENTROPY, false, {0}},
    {"qwen2, biases, adapter", as_qwen2, 2, false, ENTROPY, false, {0}},
    {"qwen3", as_qwen3, 0, false, ENTROPY, false, {0}},
};

enum { N_KIND = sizeof kinds / sizeof *kinds };

static void add_weights(subject *s)
{
    for (size_t i = 0; i < s->weights.tensors.n; i++) {
        const pp_tensor *t = &s->weights.tensors.items[i];
        add_param(s, t->name, t->data, t->n_elem, t->n_dim == 1 && !strstr(t->name, "bias") ? 1 : 0, i);
    }
}

static void add_adapter(subject *s, const kind *k)
{
    OK(pp_adapter_new(&s->weights.config, k->rank, 2 * (float)k->rank, 3, &s->adapter, err));
    for (int32_t i = 0; i < s->weights.config.n_layer * PP_N_SITE; i++) {
        const pp_lora_site *l = &s->adapter->sites[i];
        int32_t n_in, n_out;
        char name[64];
        if (!pp_site_shape(&s->weights.config, i / PP_N_SITE, (pp_site)(i % PP_N_SITE), &n_in, &n_out)) continue;
        snprintf(name, sizeof name, "layer %d, site %d, A", (int)i / PP_N_SITE, (int)i % PP_N_SITE);
        add_param(s, name, l->a, (size_t)(n_in * k->rank), 0, (uint64_t)(1000 + i));
        name[strlen(name) - 1] = 'B';
        for (int j = 0; j < n_out * k->rank; j++) /* a new one's B is zero */
            ((float *)(uintptr_t)l->b)[j] = (float)(pp_random_unit(4, (uint64_t)i, (uint64_t)j) - 0.5) / 4;
        add_param(s, name, l->b, (size_t)(n_out * k->rank), 0, (uint64_t)(2000 + i));
    }
}

static void setup(subject *s, const kind *k)
{
    pippin_config c = tiny_afm();
    k->change(&c);
    pp_kernels *none = NULL;
    pp_net_options options = k->options;
    *s = (subject){.objective = k->objective};
    make_batch(s, c.n_vocab, k->is_long ? N_TOK : 36);
    OK(pp_weights_random(&c, PIPPIN_F32, 1, &s->weights, err));
    if (!k->frozen) add_weights(s);
    if (k->rank) add_adapter(s, k);
    s->team = pp_team_create(2);
    options.max_tok = N_TOK;
    options.max_segment = N_SEGMENT;
    OK(pp_net_create(&s->weights, s->adapter ? &s->adapter->lora : NULL, none, s->team, &options, &s->net, err));
    s->net.training = options.dropout > 0;
    if (k->objective != ENTROPY) {
        options.inference = true;
        OK(pp_weights_random(&c, PIPPIN_F32, 2, &s->teacher_weights, err));
        OK(pp_net_create(&s->teacher_weights, NULL, none, s->team, &options, &s->teacher, err));
        pp_net_forward(&s->teacher, &s->batch);
    }
    point_grads(s);
}

static void teardown(subject *s)
{
    for (int i = 0; i < s->n_param; i++) free(s->params[i].grad);
    pp_net_free(&s->net);
    pp_net_free(&s->teacher);
    pp_team_free(s->team);
    pp_adapter_destroy(s->adapter);
    pp_weights_free(&s->weights);
    pp_weights_free(&s->teacher_weights);
}

static double loss_of(subject *s, bool backward)
{
    pp_net_forward(&s->net, &s->batch);
    if (s->objective == ENTROPY) return pp_net_cross_entropy(&s->net, 0.25, backward);
    return pp_net_distill(&s->net, &s->teacher,
                          s->objective == FORWARD_KL ? PIPPIN_DISTILL_FORWARD_KL : PIPPIN_DISTILL_REVERSE_KL, 0.5,
                          backward);
}

/* The loss with p moved by `steps` of 2^-15 along a direction of -1, 0 and 1. */
static double moved(subject *s, const param *p, const int8_t *direction, int steps)
{
    for (size_t i = 0; i < p->n; i++) p->value[i] += (float)(steps * direction[i]) * 0x1p-15f;
    const double loss = loss_of(s, false);
    for (size_t i = 0; i < p->n; i++) p->value[i] -= (float)(steps * direction[i]) * 0x1p-15f;
    return loss;
}

/* The largest difference between a tensor's derivative along a direction and finite differences (five points, error h^4),
   relative to the largest that such a derivative can be. */
static double worst_error(subject *s, const char **where)
{
    double worst = 0;
    for (int i = 0; i < s->n_param; i++) {
        const param *p = &s->params[i];
        int8_t *direction = malloc(p->n);
        double got = 0, size = 0;
        for (size_t j = 0; j < p->n; j++) {
            /* Along the gradient's signs for most, so that the derivative is no difference of large numbers. */
            const int along = p->grad[j] < 0 ? -1 : 1, any = (int)(pp_random_bits(7, (uint64_t)i, j) % 3) - 1;
            direction[j] = (int8_t)(j % 4 ? along : any);
            got += p->grad[j] * direction[j];
            size += fabs(p->grad[j]);
        }
        const double near = moved(s, p, direction, 1) - moved(s, p, direction, -1);
        const double far = moved(s, p, direction, 2) - moved(s, p, direction, -2);
        const double want = (8 * near - far) / (12 * 0x1p-15);
        const double error = size > 1e-9 ? fabs(got - want) / size : fabs(want) / 1e-3;
        if (error > worst) {
            worst = error;
            *where = p->name;
        }
        free(direction);
    }
    return worst;
}

static void gradients_are_those_of_the_loss(void **state)
{
    const kind *k = *state;
    const char *where = "";
    subject s;
    setup(&s, k);
    loss_of(&s, true);
    pp_net_backward(&s.net);
    const double worst = worst_error(&s, &where);
    print_message("%s: %d tensors, largest error %.1e, in %s\n", k->name, s.n_param, worst, where);
    assert_true(worst <= 1e-6);
    teardown(&s);
}

/* What is compared can fail: gradients at positions of which one is wrong are not those of the loss at the right ones. */
static void a_planted_fault_is_seen(void **state)
{
    (void)state;
    const char *where = "";
    subject s;
    setup(&s, &kinds[1]);
    position[20]++;
    loss_of(&s, true);
    pp_net_backward(&s.net);
    position[20]--;
    assert_true(worst_error(&s, &where) > 1e-5);
    teardown(&s);
}

/* KL(q || p) is KL(p || q) of the two in each other's place. */
static void forward_kl_is_the_teachers_reverse_one(void **state)
{
    (void)state;
    subject s;
    setup(&s, &(kind){.change = as_uniform, .objective = FORWARD_KL});
    const double forward = loss_of(&s, false);
    const double teachers = pp_net_distill(&s.teacher, &s.net, PIPPIN_DISTILL_REVERSE_KL, 0.5, false);
    const double own = pp_net_distill(&s.net, &s.teacher, PIPPIN_DISTILL_REVERSE_KL, 0.5, false);
    assert_true(forward > 0 && fabs(forward / teachers - 1) < 1e-12 && fabs(forward / own - 1) > 1e-3);
    teardown(&s);
}

int main(void)
{
    struct CMUnitTest tests[N_KIND + 2];
    for (size_t i = 0; i < N_KIND; i++)
        tests[i] = (struct CMUnitTest){kinds[i].name, gradients_are_those_of_the_loss, NULL, NULL,
                                       (void *)(uintptr_t)&kinds[i]};
    tests[N_KIND] = (struct CMUnitTest)cmocka_unit_test(a_planted_fault_is_seen);
    tests[N_KIND + 1] = (struct CMUnitTest)cmocka_unit_test(forward_kl_is_the_teachers_reverse_one);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
