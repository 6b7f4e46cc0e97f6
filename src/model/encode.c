/* encode.c - the matrices of a model that is open, in fewer bits than its file has them: for drafts, whose cost is what they are read at. */
#include <string.h>

#include "model/model.h"

typedef struct encode_args {
    const pp_linear *from;
    void *to;
    int bits;
    float *rows; /* [n_thread][n_in] */
} encode_args;

static void encode_task(void *arg, int thread, int n_thread)
{
    const encode_args *a = arg;
    const size_t n_in = (size_t)a->from->n_in;
    float *row = a->rows + (size_t)thread * n_in;
    size_t first, last;
    /* Whole groups, so that no two threads write into one. */
    pp_team_share((size_t)a->from->n_out, PP_LOW_ROWS, thread, n_thread, &first, &last);
    for (size_t i = first; i < last; i++) {
        pp_matrix_decode(a->from->type, a->from->w, n_in, i, 0, n_in, row);
        pp_low_encode_row(a->bits, a->to, n_in, i, row, pp_low_best_scale(a->bits, row, NULL, n_in));
    }
}

static bool is_plain(const pp_linear *l) { return l->w && pp_type_block(l->type) == 1 && !pp_low_bits(l->type); }

static pippin_status encode(pp_weights *w, pp_linear *l, pippin_type type, pp_team *team, pippin_error *err)
{
    if (!is_plain(l)) return PIPPIN_OK;
    const size_t bytes = pp_matrix_bytes(type, (size_t)l->n_out, (size_t)l->n_in);
    encode_args a = {.from = l, .bits = pp_low_bits(type)};
    a.to = pp_alloc_zero(bytes, 1);
    a.rows = pp_alloc((size_t)pp_team_size(team) * (size_t)l->n_in * sizeof *a.rows);
    if (!a.to || !a.rows) {
        pp_free(a.to);
        pp_free(a.rows);
        return pp_fail_memory(err, w->tensors.source, bytes);
    }
    pp_team_run(team, encode_task, &a);
    pp_free(a.rows);
    l->w = a.to;
    l->type = type;
    return pp_tensors_own_block(&w->tensors, a.to, err);
}

pippin_status pp_weights_encode(pp_weights *w, pippin_type type, pippin_error *err)
{
    if (!pp_low_bits(type))
        return pp_fail(err, PIPPIN_E_ARGUMENT, "%s: matrices as %s in memory, expected q8, q4 or q2; or as they are",
                       w->tensors.source, pippin_type_name(type));
    pp_team *team = pp_team_create(pp_cpu_count());
    if (!team) return pp_fail_memory(err, w->tensors.source, sizeof team);
    const bool tied = w->head.w == w->embedding.w;
    pippin_status status = encode(w, &w->embedding, pp_type_of_embedding(type), team, err);
    if (tied)
        w->head = w->embedding;
    else if (status == PIPPIN_OK)
        status = encode(w, &w->head, pp_type_of_embedding(type), team, err);
    for (int32_t layer = 0; layer < w->config.n_layer; layer++)
        for (pp_site site = PP_Q; site < PP_N_SITE && status == PIPPIN_OK; site++)
            status = encode(w, &w->layers[layer].site[site], type, team, err);
    pp_team_free(team);
    return status;
}
