/*
 * low_matrix.h - the panel of low.h and its tiles, for ARM's I8MM. Its instruction multiplies 2 rows by 2 tokens over 8 columns, so
 * the panel holds two rows side by side with the columns of two steps.
 */
enum {
    MATRIX_ROWS = 2,
    MATRICES = PP_LOW_ROWS / MATRIX_ROWS
}; /* of the panel: [n_step / 2][MATRICES][2 rows][8 columns] */

/* Two steps' codes of four rows become two matrices. */
INLINE void put_matrices(uint8_t *to, int32x4_t first, int32x4_t second)
{
    vst1q_u8(to, u8_of(vzip1q_s32(first, second)));
    vst1q_u8(to + 16, u8_of(vzip2q_s32(first, second)));
}

/* One group's codes of n_step times four columns; where n_step is odd (eight bits), four columns of 0 follow. */
INLINE void low_unpack(int bits, const uint8_t *codes, int n_step, uint8_t *panel)
{
    const int32x4_t mask = vdupq_n_s32((int)(0x01010101u * ((1u << bits) - 1)));
    const int steps = PP_MAX(2, 8 / bits), bytes = steps * bits / 8 * PP_LOW_BLOCK;
    for (int s = 0; s < n_step; s += steps, codes += bytes, panel += steps * PP_LOW_BLOCK) {
        low_fetch(codes, bytes);
        UNROLL for (int four = 0; four < PP_LOW_ROWS / 4; four++)
        {
            const int32x4_t w = load_codes(codes + 16 * four);
            uint8_t *to = panel + 32 * four;
            if (bits == 8)
                put_matrices(to, w, s + 1 < n_step ? load_codes(codes + PP_LOW_BLOCK + 16 * four) : vdupq_n_s32(0));
            else
                UNROLL for (int j = 0; j < steps; j += 2)
                    put_matrices(to + j * PP_LOW_BLOCK, vandq_s32(j ? shift_codes(w, bits * j) : w, mask),
                                 vandq_s32(shift_codes(w, bits * (j + 1)), mask));
        }
    }
}

/* Eight columns of two tokens; of the last step of an odd number there are four. */
INLINE int8x16_t two_tokens(const int8_t *x0, const int8_t *x1, bool four)
{
    if (!four) return vcombine_s8(vld1_s8(x0), vld1_s8(x1));
    const uint64_t a = load_few((const uint8_t *)x0, 4), b = load_few((const uint8_t *)x1, 4);
    return vcombine_s8(vcreate_s8(a), vcreate_s8(b));
}

/* acc += the matrices of two steps times the tokens; the last token is taken twice where it has no other. */
INLINE void multiply_matrices(int n_x, const int8_t *x, size_t x_stride, bool four, const uint8_t *panel,
                              int32x4_t acc[][MATRICES / 2])
{
    int8x16_t tokens[LOW_PANEL_TOKENS / 2];
    UNROLL for (int i = 0; i < n_x; i += 2) tokens[i / 2] =
        two_tokens(x + (size_t)i * x_stride, x + (size_t)PP_MIN(i + 1, n_x - 1) * x_stride, four);
    UNROLL for (int r = 0; r < MATRICES / 2; r++)
    {
        const uint8x16_t w = vld1q_u8(panel + 16 * r);
        UNROLL for (int i = 0; i < n_x; i += 2) acc[i / 2][r] = vusmmlaq_s32(acc[i / 2][r], w, tokens[i / 2]);
    }
}

/* dot[i] = token i times vectors v and v + 1 of the panel's rows, for i < n_x. */
INLINE void low_panel_multiply(int bits, int n_x, const int8_t *x, size_t x_stride, const uint8_t *panel, int v,
                               int n_step, ivec dot[LOW_PANEL_TOKENS][2])
{
    int32x4_t acc[LOW_PANEL_TOKENS / 2]
                 [MATRICES / 2]; /* [pair of tokens][pair of rows]: row 0 with both, row 1 with both */
    UNROLL for (int i = 0; i < n_x; i += 2) UNROLL for (int r = 0; r < MATRICES / 2; r++) acc[i / 2][r] =
        vdupq_n_s32(0);
    panel += v * LANES * 8;
    for (int s = 0; s + 1 < n_step; s += 2, panel += 2 * PP_LOW_BLOCK, x += 8)
        multiply_matrices(n_x, x, x_stride, false, panel, acc);
    if (bits == 8 && n_step % 2) multiply_matrices(n_x, x, x_stride, true, panel, acc);
    UNROLL for (int i = 0; i < n_x; i += 2) UNROLL for (int c = 0; c < 2; c++)
    {
        const int32x4_t *a = &acc[i / 2][4 * c];
        dot[i][c] = (ivec){vuzp1q_s32(a[0], a[1]), vuzp1q_s32(a[2], a[3])};
        if (i + 1 < n_x) dot[i + 1][c] = (ivec){vuzp2q_s32(a[0], a[1]), vuzp2q_s32(a[2], a[3])};
    }
}

/* As in low_panel.h, where codes are unpacked as they are multiplied; of one panel. */
INLINE void low_panel_dots(int bits, bool fresh, int n_group, int n_x, const int8_t *x, size_t x_stride,
                           const low_panels *p, int v, ivec dot[LOW_PANEL_TOKENS][PANEL_VECTORS])
{
    _Static_assert(PANEL_GROUPS == 1, "panels of matrices are multiplied one by one");
    (void)n_group;
    if (fresh && v == 0) low_unpack(bits, p->codes, p->n_step, p->panel);
    low_panel_multiply(bits, n_x, x, x_stride, p->panel, v, p->n_step, dot);
}

/* As in low_panel.h. */
INLINE void low_put_steps(uint8_t *panel, int s, int v, ivec first, ivec second)
{
    uint8_t *to = panel + s * PP_LOW_BLOCK + v * LANES * 8;
    put_matrices(to, first.lo, second.lo);
    put_matrices(to + 32, first.hi, second.hi);
}

INLINE void low_panel_add(int bits, int n_x, const int8_t *x, size_t x_stride, const uint8_t *panel, int v, int n_step,
                          const ivec *scale, ivec total[LOW_PANEL_TOKENS][2])
{
    ivec dot[LOW_PANEL_TOKENS][2];
    low_panel_multiply(bits, n_x, x, x_stride, panel, v, n_step, dot);
    UNROLL for (int i = 0; i < n_x; i++) UNROLL for (int h = 0; h < 2; h++) total[i][h] =
        scale ? i_add_scaled(total[i][h], dot[i][h], scale[h]) : dot[i][h];
}
