/*
 * packed.c - weights as they are run: matrices of GGUF's block types packed for integer kernels, by all threads, one matrix after
 * the other, each of whose mapped pages goes back before the next: at most one copy and a matrix are in memory. What the file
 * has stays mapped for what needs it as it is: embedding rows, saving, the reference.
 */
#include <string.h>

#include "model/model.h"

typedef struct pack_args {
    const pp_linear *l;
    uint8_t *to;
} pack_args;

static void pack_task(void *arg, int thread, int n_thread)
{
    const pack_args *a = arg;
    const size_t rows = (size_t)a->l->n_out, columns = (size_t)a->l->n_in;
    const size_t group = pp_packed_bytes(a->l->type, PP_LOW_ROWS, columns);
    size_t first, last;
    pp_team_share(rows, PP_LOW_ROWS, thread, n_thread, &first, &last);
    for (size_t row = first; row < last; row += PP_LOW_ROWS)
        pp_pack_rows(a->l->type, a->l->w, rows, columns, row, a->to + row / PP_LOW_ROWS * group);
}

static bool wants_packing(const pp_linear *l) { return l->w && pp_block_form_of(l->type, &(pp_block_form){0}); }

static pippin_status pack(pp_packed *p, pp_team *team, pp_linear *l, pippin_error *err)
{
    if (!wants_packing(l)) return PIPPIN_OK;
    const size_t bytes = pp_packed_bytes(l->type, (size_t)l->n_out, (size_t)l->n_in);
    uint8_t *to = pp_alloc(bytes);
    if (!to) return pp_fail_memory(err, p->weights.tensors.source, bytes);
    pp_advise_whole(to, bytes);
    p->blocks[p->n_block++] = to;
    p->bytes += bytes;
    pp_team_run_worth(team, 4 * (uint64_t)l->n_out * (uint64_t)l->n_in, pack_task, &(pack_args){l, to});
    pp_tensors_forget(&p->weights.tensors, l->w, (size_t)l->n_out * pp_type_bytes(l->type, (size_t)l->n_in));
    l->packed = to;
    return PIPPIN_OK;
}

static size_t count(const pp_weights *w)
{
    size_t n = wants_packing(&w->head);
    for (int32_t i = 0; i < w->config.n_layer; i++)
        for (pp_site site = PP_Q; site < PP_N_SITE; site++) n += wants_packing(&w->layers[i].site[site]);
    return n;
}

pippin_status pp_weights_pack(const pp_weights *from, pp_team *team, pp_packed *out, pippin_error *err)
{
    const size_t n = count(from), n_layer = (size_t)from->config.n_layer;
    *out = (pp_packed){.weights = *from};
    if (n == 0) return PIPPIN_OK;
    out->layers = pp_alloc_zero(n_layer, sizeof *out->layers);
    out->blocks = pp_alloc_zero(n, sizeof *out->blocks);
    pippin_status status = out->layers && out->blocks
                               ? PIPPIN_OK
                               : pp_fail_memory(err, from->tensors.source, n_layer * sizeof *out->layers);
    if (status == PIPPIN_OK) {
        memcpy(out->layers, from->layers, n_layer * sizeof *out->layers);
        out->weights.layers = out->layers;
    }
    for (size_t i = 0; i < n_layer && status == PIPPIN_OK; i++)
        for (pp_site site = PP_Q; site < PP_N_SITE && status == PIPPIN_OK; site++)
            status = pack(out, team, &out->layers[i].site[site], err);
    if (status == PIPPIN_OK) status = pack(out, team, &out->weights.head, err);
    if (status != PIPPIN_OK) pp_packed_free(out);
    return status;
}

void pp_packed_free(pp_packed *p)
{
    for (size_t i = 0; i < p->n_block; i++) pp_free(p->blocks[i]);
    pp_free(p->blocks);
    pp_free(p->layers);
    *p = (pp_packed){0};
}
