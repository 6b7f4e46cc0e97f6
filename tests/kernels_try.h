/*
 * kernels_try.h - what kernels_test.c tries kernels with: random values, inputs that end where memory ends, outputs
 * between canaries, comparisons.
 */
#ifndef PP_TESTS_KERNELS_TRY_H
#define PP_TESTS_KERNELS_TRY_H

#include <float.h>
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/kernels.h"
#include "support.h"

enum { N_BUFFER = 12, BUFFER_BYTES = 4 << 20, PAD = 64, CANARY = 0xa5 };

static uint64_t seed, counter;
static int rounds_at_least;           /* of trials of exact kernels: PIPPIN_TEST_ROUNDS */
static uint8_t *buffer_end[N_BUFFER]; /* a page that faults begins here */
static char why[256];

static void make_buffers(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < N_BUFFER; i++) {
        uint8_t *p = mmap(NULL, BUFFER_BYTES + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || mprotect(p + BUFFER_BYTES, page, PROT_NONE) != 0) abort();
        buffer_end[i] = p + BUFFER_BYTES;
    }
}

/* A trial gives true, or false with the reason in `why`. */
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            snprintf(why, sizeof why, __VA_ARGS__);                                                                    \
            return false;                                                                                              \
        }                                                                                                              \
    } while (0)

/* ---- inputs ---- */

static double unit(void) { return pp_random_unit(seed, 0, counter++); }
static uint32_t bits32(void) { return (uint32_t)pp_random_bits(seed, 1, counter++); }
static int between(int low, int high) { return (int)(low + floor(unit() * ((double)high - low + 1))); }

/* Sizes around every vector width, and now and then a real one. */
static int size(int most)
{
    int n = between(0, 3) == 0 ? between(1, most) : between(1, 40);
    return between(0, 15) == 0 ? 2048 : PP_MIN(n, most);
}

typedef enum values { PLAIN, ZERO, TINY, HUGE_, MIXED, N_FINITE, ANY_BITS = N_FINITE } values;

static float value(values kind)
{
    float u = (float)(2 * unit() - 1), any;
    uint32_t bits = bits32();
    memcpy(&any, &bits, sizeof any);
    switch (kind) {
    case PLAIN: return u;
    case ZERO: return u < 0 ? -0.0f : 0.0f;
    case TINY: return u * 1e-39f; /* subnormal */
    case HUGE_: return u * 1e15f;
    case MIXED: return ldexpf(u, between(-30, 30));
    default:
        switch (between(0, 59)) {
        case 0: return u < 0 ? -INFINITY : INFINITY;
        case 1: return u < 0 ? -NAN : NAN;
        default: return any;
        }
    }
}

static values finite_values(void) { return (values)between(PLAIN, N_FINITE - 1); }

/* n_bytes that end where memory does. */
static void *input(int i, size_t n_bytes)
{
    assert_true(n_bytes <= BUFFER_BYTES);
    return buffer_end[i] - n_bytes;
}

static float *input_f32(int i, size_t n, values kind)
{
    float *x = input(i, n * sizeof *x);
    for (size_t j = 0; j < n; j++) x[j] = value(kind);
    return x;
}

static void *input_type(int i, pippin_type type, size_t n, values kind)
{
    char *x = input(i, pp_type_bytes(type, n));
    for (size_t j = 0; j < n; j++) {
        float f = value(kind);
        if (type == PIPPIN_F16) f = fmaxf(-60000, fminf(60000, f));
        if (type == PIPPIN_I8)
            x[j] = (char)between(-128, 127);
        else
            pp_encode_row(type, &f, x + pp_type_bytes(type, j), 1);
    }
    return x;
}

/* ---- outputs ---- */

/* n_bytes between canaries, the end of the second being the end of memory. */
static void *output(int i, size_t n_bytes)
{
    uint8_t *all = input(i, n_bytes + 2 * PAD);
    memset(all, CANARY, n_bytes + 2 * PAD);
    return all + PAD;
}

static bool intact(const void *y, size_t n_bytes)
{
    const uint8_t *before = (const uint8_t *)y - PAD, *after = (const uint8_t *)y + n_bytes;
    for (int i = 0; i < PAD; i++)
        if (before[i] != CANARY || after[i] != CANARY) return false;
    return true;
}

static bool same_bits(float a, float b) { return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b)); }

static bool near(double got, double want, double bound)
{
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    return got == want || fabs(got - want) <= bound;
}

/* relative = 0: the same bits. */
static bool compare_rows(const float *got, const float *want, size_t n, double relative)
{
    CHECK(intact(got, n * sizeof *got), "wrote outside a row of %zu", n);
    for (size_t i = 0; i < n; i++) {
        bool good = relative == 0 ? same_bits(got[i], want[i])
                                  : near((double)got[i], (double)want[i], relative * fabs((double)want[i]) + 0x1p-149);
        CHECK(good, "element %zu of %zu: %g, truth %g", i, n, (double)got[i], (double)want[i]);
    }
    return true;
}

static float *row_copy(int i, const float *x, int n)
{
    return memcpy(output(i, (size_t)n * sizeof *x), x, (size_t)n * sizeof *x);
}

#endif
