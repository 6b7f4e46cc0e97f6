/* system.c - clock, memory use, cores, and what the CPU and the operating system support together. */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "base/base.h"

double pp_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

uint64_t pp_peak_rss(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#ifdef __APPLE__
    return (uint64_t)usage.ru_maxrss; /* bytes there, kilobytes elsewhere */
#else
    return (uint64_t)usage.ru_maxrss * 1024;
#endif
}

int pp_cpu_count(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        int n = CPU_COUNT(&set);
        if (n > 0) return n;
    }
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

bool pp_isa_here(pp_isa isa)
{
    if (isa == PP_ISA_SCALAR) return true;
#if defined(__x86_64__)
    return isa >= PP_ISA_AVX2 && isa <= PP_ISA_AVX512VNNI;
#elif defined(__aarch64__)
    return isa >= PP_ISA_NEON && isa <= PP_ISA_NEON_I8MM;
#else
    return false;
#endif
}

#if defined(__aarch64__) && defined(__APPLE__)
static bool has(const char *feature)
{
    int yes = 0;
    size_t size = sizeof yes;
    return sysctlbyname(feature, &yes, &size, NULL, 0) == 0 && yes;
}
#endif

bool pp_isa_supported(pp_isa isa)
{
    if (isa == PP_ISA_SCALAR) return true;
#if defined(__x86_64__)
    /* The builtins also ask the operating system (XGETBV) whether it saves the wide registers; not every compiler's knows
       F16C, which is bit 29 of leaf 1. */
    unsigned eax, ebx, ecx = 0, edx;
    __builtin_cpu_init();
    bool f16c = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & 1u << 29);
    bool avx2 = f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (isa == PP_ISA_AVX2) return avx2;
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (isa == PP_ISA_AVX512) return avx512;
    if (isa == PP_ISA_AVX512VNNI) return avx512 && __builtin_cpu_supports("avx512vnni");
#elif defined(__aarch64__)
    bool dotprod = false, i8mm = false;
#if defined(__linux__)
    dotprod = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
    i8mm = getauxval(AT_HWCAP2) & HWCAP2_I8MM;
#elif defined(__APPLE__)
    dotprod = has("hw.optional.arm.FEAT_DotProd");
    i8mm = has("hw.optional.arm.FEAT_I8MM");
#endif
    if (isa == PP_ISA_NEON) return true;
    if (isa == PP_ISA_NEON_DOTPROD) return dotprod;
    if (isa == PP_ISA_NEON_I8MM) return dotprod && i8mm;
#endif
    return false;
}

const char *pp_isa_name(pp_isa isa)
{
    static const char *const names[PP_ISA_COUNT] = {"scalar", "avx2",         "avx512",   "avx512vnni",
                                                    "neon",   "neon-dotprod", "neon-i8mm"};
    return (unsigned)isa < PP_ISA_COUNT ? names[isa] : "unknown";
}
