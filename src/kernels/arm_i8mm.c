/* arm_i8mm.c - the same with I8MM, which multiplies matrices of bytes. */
#if defined(__aarch64__)
#include <string.h>

#include "kernels/level.h"

#include "kernels/lanes_neon.h"

#include "kernels/low.h"
#include "kernels/blocks.h"
#include "kernels/probe.h"

void pp_kernels_set_neon_i8mm(pp_kernels *t)
{
    t->matmul_q2 = k_matmul_q2;
    t->matmul_q4 = k_matmul_q4;
    t->matmul_q8 = k_matmul_q8;
#define SET(name, ...) t->matmul_##name = k_matmul_##name;
    PP_BLOCK_FORMS(SET)
#undef SET
    t->sums_i8 = k_sums_i8;
    t->probe_read = k_probe_read;
    t->probe_multiply = k_probe_multiply;
}
#endif
