/* x86_avx512vnni.c - products of integers, and the probes, for AVX-512 with VNNI; all else is as AVX-512 has it. */
#if defined(__x86_64__)
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/level.h"

#include "kernels/lanes_avx512.h"

#include "kernels/exp.h"
#include "kernels/attend.h"
#include "kernels/attend_i8.h"
#include "kernels/low.h"
#include "kernels/blocks.h"
#include "kernels/probe.h"

void pp_kernels_set_avx512vnni(pp_kernels *t)
{
    t->matmul_q2 = k_matmul_q2;
    t->matmul_q4 = k_matmul_q4;
    t->matmul_q8 = k_matmul_q8;
#define SET(name, ...) t->matmul_##name = k_matmul_##name;
    PP_BLOCK_FORMS(SET)
#undef SET
    t->attend_i8 = k_attend_i8;
    t->sums_i8 = k_sums_i8;
    t->probe_read = k_probe_read;
    t->probe_multiply = k_probe_multiply;
}
#endif
