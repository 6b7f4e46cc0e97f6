/* arm_neon.c - the kernels for Advanced SIMD as every 64-bit ARM has it. */
#if defined(__aarch64__)
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/level.h"

#include "kernels/lanes_neon.h"

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

void pp_kernels_set_neon(pp_kernels *t)
{
#define SET(name, type, parameters) t->name = k_##name;
    PP_KERNELS(SET)
#undef SET
}
#endif
