/*
 * gemm.h - products of whole matrices for any lanes_*.h: what training multiplies with, where either operand may be
 * transposed. After Goto and van de Geijn (2008): a block of B is packed for the L2 cache, a panel of A for L1, and a
 * tile of C stays in registers while one row of each passes.
 *
 * The law is kept by the order of k: each element of C has one accumulator, takes its products in ascending k, and is
 * added to C once for each GEMM_K of them; what else is in the tile or the block does not matter.
 */
enum {
    GEMM_M = TILE_ROWS,
    GEMM_N = 2 * LANES, /* a tile of C is GEMM_M x GEMM_N */
    GEMM_K = 256        /* k that a block takes */
};

_Static_assert((GEMM_M + 2) * GEMM_K + PP_GEMM_BLOCK <= PP_GEMM_SCRATCH, "a panel of A and a block of B");

/* Row j of the four from j on, elements k to k + 3; 0 past the n rows that are there. */
INLINE quad quad_of_row(const float *p, size_t stride, int j, int n)
{
    return j < n ? quad_load(p + (size_t)j * stride) : quad_zero();
}

/* 4 x 4 floats of rows j .. j + 3 at p, transposed to q, whose rows are `width` apart. */
INLINE void transpose_quads(const float *p, size_t stride, int j, int n, float *q, int width)
{
    quad row[4];
    UNROLL for (int i = 0; i < 4; i++) row[i] = quad_of_row(p, stride, j + i, n);
    quad_transpose(row);
    UNROLL for (int i = 0; i < 4; i++) quad_store(q + i * width, row[i]);
}

/*
 * `width` columns of n_k rows into [n_k][width], of which n are there and the rest become 0. Element (k, j) lies at
 * p[k * k_stride + j * j_stride]; one of the strides is 1. A width that no vector divides is written in whole vectors, whose
 * last elements the next row overwrites: two floats after the last row are lost.
 */
INLINE void pack(int width, float *to, const float *p, size_t k_stride, size_t j_stride, int n, int n_k)
{
    int k = 0;
    if (j_stride == 1) {
        for (; k < n_k; k++)
            for (int j = 0; j < width; j += LANES) {
                const float *from = p + (size_t)k * k_stride + j;
                const int some = PP_MAX(0, PP_MIN(n - j, LANES));
                v_store(to + k * width + j, some == LANES ? v_load(from) : v_load_n(from, some));
            }
        return;
    }
    for (; k + QUAD <= n_k; k += QUAD) /* the last quad first, for what it writes into the next row */
        for (int j = (width - 1) / QUAD * QUAD; j >= 0; j -= QUAD)
            transpose_quads(p + k, j_stride, j, n, to + k * width + j, width);
    for (; k < n_k; k++)
        for (int j = 0; j < width; j++) to[k * width + j] = j < n ? p[(size_t)k * k_stride + (size_t)j * j_stride] : 0;
}

/* The tile of C at c, m x n of it there: c (+)= a panel of A x a panel of B, both packed, over n_k. */
INLINE void gemm_tile(const float *a, const float *b, int n_k, float *c, size_t c_row, int m, int n, bool accumulate)
{
    vec acc[GEMM_M][2];
    UNROLL for (int i = 0; i < GEMM_M; i++) acc[i][0] = acc[i][1] = v_zero();
    for (int k = 0; k < n_k; k++) {
        const vec b0 = v_load(b + k * GEMM_N), b1 = v_load(b + k * GEMM_N + LANES);
        UNROLL for (int i = 0; i < GEMM_M; i++)
        {
            const vec ai = v_set1(a[k * GEMM_M + i]);
            acc[i][0] = v_fma(ai, b0, acc[i][0]);
            acc[i][1] = v_fma(ai, b1, acc[i][1]);
        }
    }
    const int first = PP_MIN(n, LANES), second = n - first;
    UNROLL for (int i = 0; i < GEMM_M; i++)
    {
        float *row = c + (size_t)i * c_row;
        if (i >= m) break;
        if (n == GEMM_N) {
            v_store(row, accumulate ? v_add(v_load(row), acc[i][0]) : acc[i][0]);
            v_store(row + LANES, accumulate ? v_add(v_load(row + LANES), acc[i][1]) : acc[i][1]);
        } else {
            v_store_n(row, accumulate ? v_add(v_load_n(row, first), acc[i][0]) : acc[i][0], first);
            if (second)
                v_store_n(row + LANES, accumulate ? v_add(v_load_n(row + LANES, second), acc[i][1]) : acc[i][1],
                          second);
        }
    }
}

/* Columns j0 .. j0 + n - 1 and k0 .. k0 + n_k - 1: packs them, then passes all rows of A by them. */
static void gemm_block(const pp_gemm *g, int j0, int n, int k0, int n_k, bool accumulate)
{
    float *panel = g->scratch, *wide = g->scratch + (GEMM_M + 2) * GEMM_K;
    for (int j = 0; j < n; j += GEMM_N)
        pack(GEMM_N, wide + (size_t)j * (size_t)n_k, g->b + (size_t)k0 * g->b_row + (size_t)(j0 + j) * g->b_col,
             g->b_row, g->b_col, PP_MIN(GEMM_N, n - j), n_k);
    for (int i = 0; i < g->m; i += GEMM_M) {
        const int m = PP_MIN(GEMM_M, g->m - i);
        pack(GEMM_M, panel, g->a + (size_t)i * g->a_row + (size_t)k0 * g->a_col, g->a_col, g->a_row, m, n_k);
        for (int j = 0; j < n; j += GEMM_N)
            gemm_tile(panel, wide + (size_t)j * (size_t)n_k, n_k, g->c + (size_t)i * g->c_row + j0 + j, g->c_row, m,
                      PP_MIN(GEMM_N, n - j), accumulate);
    }
}

static void k_gemm(const pp_gemm *g)
{
    const int deep = PP_MAX(1, PP_MIN(g->k, GEMM_K));
    const int wide = PP_GEMM_BLOCK / deep / GEMM_N * GEMM_N;
    for (int j = 0; j < g->n; j += wide) {
        const int n = PP_MIN(wide, g->n - j);
        int k = 0;
        do {
            gemm_block(g, j, n, k, PP_MIN(GEMM_K, g->k - k), g->accumulate || k > 0);
            k += GEMM_K;
        } while (k < g->k);
    }
}
