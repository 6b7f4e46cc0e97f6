/* x86_avx512.c - the kernels for AVX-512 F, BW, DQ and VL. */
#if defined(__x86_64__)
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/level.h"

#include "kernels/lanes_avx512.h"

#include "kernels/matmul.h"
#include "kernels/exp.h"
#include "kernels/vector.h"
#include "kernels/attend.h"
#include "kernels/attend_float.h"
#include "kernels/attend_i8.h"
#include "kernels/gemm.h"
#include "kernels/backward.h"
#include "kernels/low.h"
#include "kernels/blocks.h"
#include "kernels/probe.h"

void pp_kernels_set_avx512(pp_kernels *t)
{
#define SET(name, type, parameters) t->name = k_##name;
    PP_KERNELS(SET)
#undef SET
}
#endif
