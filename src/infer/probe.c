/* probe.c - what this machine reads and multiplies at best, measured beside what a model does. */
#include <string.h>

#include "infer/infer.h"

/* More than any cache: what is read comes from memory. */
enum { READ_BYTES = 256 << 20 };

struct pippin_probe {
    pp_kernels kernels;
    pp_team *team;
    int turns;       /* of the multiplying loop: some 10 ms */
    uint32_t *words; /* [READ_BYTES / 4] */
    atomic_uint sum; /* so that the work is not in vain */
};

pippin_status pippin_probe_create(int32_t n_threads, const char *cpu, pippin_probe **out, pippin_error *err)
{
    *out = NULL;
    pippin_probe *p = pp_alloc_zero(1, sizeof *p);
    if (!p) return pp_fail_memory(err, "probe", sizeof *p);
    pippin_status status = pp_kernels_choose(&p->kernels, cpu, err);
    if (status == PIPPIN_OK && (n_threads < 0 || n_threads > 256))
        status = pp_fail(err, PIPPIN_E_ARGUMENT, "threads: %d, expected 1 to 256, or 0 for one a core", (int)n_threads);
    if (status == PIPPIN_OK) {
        p->team = pp_team_create(n_threads ? n_threads : pp_cpu_count());
        p->words = pp_alloc(READ_BYTES);
        if (!p->team || !p->words) status = pp_fail_memory(err, "probe", READ_BYTES);
    }
    if (status != PIPPIN_OK) {
        pippin_probe_free(p);
        return status;
    }
    p->turns = p->kernels.isa == PP_ISA_SCALAR ? 1000 : 100000;
    pp_advise_whole(p->words, READ_BYTES);
    memset(p->words, 1, READ_BYTES); /* or all pages would be the same one */
    *out = p;
    return PIPPIN_OK;
}

void pippin_probe_free(pippin_probe *p)
{
    if (!p) return;
    pp_team_free(p->team);
    pp_free(p->words);
    pp_free(p);
}

static void read_task(void *arg, int thread, int n_thread)
{
    pippin_probe *p = arg;
    size_t first, last;
    pp_team_share(READ_BYTES / sizeof *p->words, 1024, thread, n_thread, &first, &last);
    atomic_fetch_add(&p->sum, p->kernels.probe_read(p->words + first, last - first));
}

static void multiply_task(void *arg, int thread, int n_thread)
{
    pippin_probe *p = arg;
    (void)n_thread;
    const int8_t x[4] = {(int8_t)thread, 2, 3, 4};
    atomic_fetch_add(&p->sum, p->kernels.probe_multiply(x, p->turns));
}

double pippin_probe_read(pippin_probe *p)
{
    const double start = pp_seconds();
    pp_team_run(p->team, read_task, p);
    return (double)READ_BYTES / (pp_seconds() - start);
}

double pippin_probe_multiply(pippin_probe *p)
{
    const double start = pp_seconds();
    pp_team_run(p->team, multiply_task, p);
    return (double)p->turns * PP_PROBE_PRODUCTS * pp_team_size(p->team) / (pp_seconds() - start);
}
