/* x86_avx2.c - the kernels for AVX2, FMA and F16C. */
#if defined(__x86_64__)
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/level.h"

#include "kernels/lanes_avx2.h"

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

void pp_kernels_set_avx2(pp_kernels *t)
{
#define SET(name, type, parameters) t->name = k_##name;
    PP_KERNELS(SET)
#undef SET
}
#endif
