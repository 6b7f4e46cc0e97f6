/* scalar_attend.h - the plain truth of attention, a part of scalar.c. */

/* The weights of one head's next n keys, from their scores; returns what earlier sums are to be multiplied by. */
static float weigh(float *p, int n, float *max, double *sum)
{
    float before = *max;
    for (int j = 0; j < n; j++) *max = fmaxf(*max, p[j]);
    float correction = exp_of(before - *max);
    *sum *= (double)correction;
    for (int j = 0; j < n; j++) {
        p[j] = exp_of(p[j] - *max);
        *sum += (double)p[j];
    }
    return correction;
}

static size_t slot_of(const pp_attend *a, int j) { return (size_t)(a->slots ? a->slots[j] : j); }

/* One head of one token that sees the keys first .. last - 1. */
static void attend_head(pippin_type type, const pp_attend *a, const float *q, int last, float *out, float *max,
                        float *total)
{
    size_t d_head = (size_t)a->d_head;
    float *p = a->scratch;
    double sum = 0;
    for (int first = a->first; first < last; first += PP_ATTEND_BLOCK) {
        int n = PP_MIN(PP_ATTEND_BLOCK, last - first);
        for (int j = 0; j < n; j++)
            p[j] = a->scale * dot(type, q, row_of(type, a->k, slot_of(a, first + j), d_head), a->d_head);
        float correction = weigh(p, n, max, &sum);
        for (size_t i = 0; i < d_head; i++) {
            double o = 0;
            for (int j = 0; j < n; j++)
                o += (double)p[j] * (double)element(type, row_of(type, a->v, slot_of(a, first + j), d_head), i);
            out[i] = (float)((double)(out[i] * correction) + o);
        }
    }
    *total = (float)sum;
}

/* ---- int8: see pp_attend_levels ---- */

/* Codes of q, as floats; returns their scale. */
static float round_query(float *codes, const float *q, int d_head)
{
    const float levels = pp_attend_levels(d_head), most = k_absmax(q, d_head);
    const float inverse = most > PP_ATTEND_LEAST ? levels / most : 0;
    for (int i = 0; i < d_head; i++) {
        const float x = q[i] * inverse;
        codes[i] = isnan(x) ? 0 : rintf(x);
    }
    return most / levels;
}

/* Codes of weights from scores, their sum in *sum; returns the unit of the codes. */
static float weigh_i8(const pp_attend *a, float *p, int first, int n, float top, float *sum)
{
    float largest = 0;
    *sum = 0;
    for (int j = 0; j < n; j++) {
        const float e = exp_of(p[j] - top), code = rintf(e * PP_ATTEND_LEVELS);
        *sum += code;
        p[j] = a->v_scales ? e * a->v_scales[slot_of(a, first + j)] : code;
        largest = fmaxf(largest, p[j]);
    }
    if (!a->v_scales) return a->v_scale;
    const float inverse = largest > PP_ATTEND_LEAST ? PP_ATTEND_LEVELS / largest : 0;
    for (int j = 0; j < n; j++) p[j] = rintf(p[j] * inverse);
    return largest;
}

static void attend_head_i8(const pp_attend *a, const float *q, int last, float *out, float *max, float *total)
{
    const size_t d_head = (size_t)a->d_head;
    float *codes = a->scratch, *p = codes + d_head;
    const float q_scale = round_query(codes, q, a->d_head);
    *total = 0;
    for (int first = a->first; first < last; first += PP_ATTEND_BLOCK) {
        const int n = PP_MIN(PP_ATTEND_BLOCK, last - first);
        float top = -FLT_MAX, sum;
        for (int j = 0; j < n; j++) {
            const size_t slot = slot_of(a, first + j);
            int32_t dot = 0;
            for (size_t i = 0; i < d_head; i++) dot += (int)codes[i] * ((const int8_t *)a->k)[slot * d_head + i];
            p[j] = (float)dot * (a->scale * (a->k_scales ? a->k_scales[slot] : a->k_scale) * q_scale);
            top = fmaxf(top, p[j]);
        }
        const float unit = weigh_i8(a, p, first, n, top, &sum), most = fmaxf(*max, top);
        const float before = exp_of(*max - most), now = exp_of(top - most) * (1 / PP_ATTEND_LEVELS);
        *max = most;
        *total = *total * before + sum * now;
        for (size_t i = 0; i < d_head; i++) {
            int32_t mix = 0;
            for (int j = 0; j < n; j++) mix += (int)p[j] * ((const int8_t *)a->v)[slot_of(a, first + j) * d_head + i];
            out[i] = fmaf((float)mix, unit * now, out[i] * before);
        }
    }
}

static void attend(pippin_type type, const pp_attend *a)
{
    for (int t = 0; t < a->n_tok; t++)
        for (int g = 0; g < a->n_group; g++) {
            const int last = PP_MIN(a->first + PP_ATTEND_SPLIT, a->n_key + t), at = t * a->n_group + g;
            const size_t in = (size_t)(g * a->d_head);
            const float *q = a->q + (size_t)t * a->q_stride + in;
            float *out = a->out + (size_t)t * a->out_stride + in;
            memset(out, 0, (size_t)a->d_head * sizeof *out);
            a->max[at] = -FLT_MAX;
            if (type == PIPPIN_I8)
                attend_head_i8(a, q, last, out, &a->max[at], &a->sum[at]);
            else
                attend_head(type, a, q, last, out, &a->max[at], &a->sum[at]);
        }
}

static void k_attend_merge(float *out, float *max, float *sum, const float *part, float part_max, float part_sum,
                           int d_head)
{
    const float most = fmaxf(*max, part_max), ours = exp_of(*max - most), theirs = exp_of(part_max - most);
    for (int i = 0; i < d_head; i++) out[i] = out[i] * ours + part[i] * theirs;
    *sum = *sum * ours + part_sum * theirs;
    *max = most;
}

static void k_attend_f32(const pp_attend *a) { attend(PIPPIN_F32, a); }
static void k_attend_bf16(const pp_attend *a) { attend(PIPPIN_BF16, a); }
static void k_attend_i8(const pp_attend *a) { attend(PIPPIN_I8, a); }
