/* table.c - which kernels this CPU gets. */
#include <string.h>

#include "kernels/level.h"

void pp_kernels_fill(pp_kernels *table, pp_isa highest)
{
    /* In rising order, so that what a level does not set stays as the one below left it. */
    static void (*const set[PP_ISA_COUNT])(pp_kernels *) = {
        [PP_ISA_SCALAR] = pp_kernels_set_scalar,
#if defined(__x86_64__)
        [PP_ISA_AVX2] = pp_kernels_set_avx2,
        [PP_ISA_AVX512] = pp_kernels_set_avx512,
        [PP_ISA_AVX512VNNI] = pp_kernels_set_avx512vnni,
#elif defined(__aarch64__)
        [PP_ISA_NEON] = pp_kernels_set_neon,
        [PP_ISA_NEON_DOTPROD] = pp_kernels_set_neon_dotprod,
        [PP_ISA_NEON_I8MM] = pp_kernels_set_neon_i8mm,
#endif
    };
    for (pp_isa isa = PP_ISA_SCALAR; isa < PP_ISA_COUNT && isa <= highest; isa++)
        if (set[isa] && pp_isa_supported(isa)) {
            set[isa](table);
            table->isa = isa;
        }
}

#if defined(__x86_64__)
#define LEVELS "scalar, avx2, avx512 or avx512vnni"
#elif defined(__aarch64__)
#define LEVELS "scalar, neon, neon-dotprod or neon-i8mm"
#else
#define LEVELS "scalar"
#endif

pippin_status pp_kernels_choose(pp_kernels *table, const char *cpu, pippin_error *err)
{
    pp_isa isa = PP_ISA_SCALAR;
    if (!cpu) {
        pp_kernels_fill(table, PP_ISA_COUNT);
        return PIPPIN_OK;
    }
    while (isa < PP_ISA_COUNT && strcmp(cpu, pp_isa_name(isa)) != 0) isa++;
    if (isa == PP_ISA_COUNT) return pp_fail(err, PIPPIN_E_ARGUMENT, "cpu: \"%s\" is no kernel level; use " LEVELS, cpu);
    if (!pp_isa_here(isa))
        return pp_fail(err, PIPPIN_E_ARGUMENT, "cpu: %s is a level of another architecture; here use " LEVELS, cpu);
    pp_kernels_fill(table, isa);
    if (table->isa != isa)
        return pp_fail(err, PIPPIN_E_ARGUMENT, "cpu: this machine does not run %s; the highest level it has is %s", cpu,
                       pp_isa_name(table->isa));
    return PIPPIN_OK;
}

pp_matmul_kernel pp_kernels_matmul(const pp_kernels *table, pippin_type type)
{
    switch (type) {
    case PIPPIN_F32: return table->matmul_f32;
    case PIPPIN_F16: return table->matmul_f16;
    case PIPPIN_BF16: return table->matmul_bf16;
    default: return NULL;
    }
}

pp_block_kernel pp_kernels_blocks(const pp_kernels *table, pippin_type type)
{
    switch (type) {
#define CASE(name, which, ...)                                                                                         \
    case which: return table->matmul_##name;
        PP_BLOCK_FORMS(CASE)
#undef CASE
    default: return NULL;
    }
}
