/*
 * plot.c - loss.svg: the training loss as it was and smoothed, the measured eval loss, and the learning rate below them. One
 * colour scheme for light pages and one for dark; no scripts; whatever the number of steps, two points a pixel column.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/files.h"

/* The drawing's units. Both panels share the x axis. */
enum { WIDTH = 860, HEIGHT = 520, LEFT = 64, RIGHT = 838, TOP = 88, BOTTOM = 376, RATE_TOP = 410, RATE_BOTTOM = 468 };
enum { MAX_EVALS = 400, ENOUGH_TO_SMOOTH = 12, ENOUGH_TO_CLIP = 200 };

typedef struct axis {
    double low, high, step; /* the values at both ends, and from tick to tick */
    double start, end;      /* where the ends lie */
    bool log;               /* low, high and ticks are those of a logarithmic scale */
} axis;

typedef struct curve {
    double *step, *value, *smooth; /* [n] finite values only; smooth may be value */
    size_t n;
} curve;

typedef struct plot {
    curve train, rate, eval;
    axis x, loss_axis, rate_axis;
    pp_writer out;
    pippin_error *err;
    pippin_status status; /* the first failure stays */
} plot;

static void put(plot *p, const char *format, ...) PP_PRINTF(2, 3);
static void put(plot *p, const char *format, ...)
{
    char text[2000];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (p->status == PIPPIN_OK && n > 0)
        p->status = pp_writer_write(&p->out, text, PP_MIN((size_t)n, sizeof text - 1), p->err);
}

/* Text of others, of which nothing is markup. */
static void put_text(plot *p, const char *text)
{
    for (; *text; text++) {
        const char c = (unsigned char)*text < 0x20 ? ' ' : *text;
        if (c == '<' || c == '&' || c == '>')
            put(p, "&#%d;", c);
        else
            put(p, "%c", c);
    }
}

/* ---- curves ---- */

typedef enum which { TRAIN, RATE, EVAL } which;

static double value_of(const pp_metric *row, which w)
{
    if (row->is_eval != (w == EVAL)) return NAN;
    return w == TRAIN ? row->loss : w == RATE ? row->lr : row->eval_loss;
}

static bool take_curve(const pp_metric *rows, size_t n, which w, curve *out)
{
    *out = (curve){.step = pp_alloc_zero(n, sizeof(double)), .value = pp_alloc_zero(n, sizeof(double))};
    out->smooth = out->value;
    if (!out->step || !out->value) return false;
    for (size_t i = 0; i < n; i++) {
        const double value = value_of(&rows[i], w);
        if (!isfinite(value)) continue;
        out->step[out->n] = (double)rows[i].step;
        out->value[out->n++] = value;
    }
    return true;
}

static void free_curve(curve *c)
{
    if (c->smooth != c->value) pp_free(c->smooth);
    pp_free(c->step);
    pp_free(c->value);
}

/*
 * The mean of a window around each point, a 25th of all wide. It begins with the first point alone and grows evenly to both
 * sides, so that a steep beginning stays where it is; at the end it is what there is of it, so that the last value is a mean.
 */
static bool smooth_curve(curve *c)
{
    if (c->n < ENOUGH_TO_SMOOTH) return true;
    double *sums = pp_alloc_zero(c->n + 1, sizeof *sums), *smooth = pp_alloc_zero(c->n, sizeof *smooth);
    if (!sums || !smooth) {
        pp_free(sums);
        pp_free(smooth);
        return false;
    }
    for (size_t i = 0; i < c->n; i++) sums[i + 1] = sums[i] + c->value[i];
    for (size_t i = 0; i < c->n; i++) {
        const size_t half = PP_MIN(i, PP_MAX(c->n / 50, (size_t)2)), first = i - half, end = PP_MIN(i + half + 1, c->n);
        smooth[i] = (sums[end] - sums[first]) / (double)(end - first);
    }
    pp_free(sums);
    c->smooth = smooth;
    return true;
}

static void widen(const double *values, size_t n, double *low, double *high)
{
    for (size_t i = 0; i < n; i++) {
        *low = fmin(*low, values[i]);
        *high = fmax(*high, values[i]);
    }
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What the loss axis must show: the smoothed line, every measurement, and the raw line but for its rarest spikes. */
static bool loss_range(const plot *p, double *low, double *high)
{
    const curve *t = &p->train;
    const size_t cut = t->n >= ENOUGH_TO_CLIP ? t->n / 200 : 0;
    double *sorted = pp_alloc_zero(t->n, sizeof *sorted);
    if (!sorted) return false;
    if (t->n) {
        memcpy(sorted, t->value, t->n * sizeof *sorted);
        qsort(sorted, t->n, sizeof *sorted, by_value);
        widen(sorted + cut, t->n - 2 * cut, low, high);
    }
    widen(t->smooth, t->n, low, high);
    widen(p->eval.value, p->eval.n, low, high);
    pp_free(sorted);
    return true;
}

/* ---- axes ---- */

/* 1, 2 or 5 times a power of ten, so that about n of them make the range. */
static double round_step(double range, double n)
{
    const double power = pow(10, floor(log10(range / n))), factor = range / n / power;
    return power * (factor < 1.5 ? 1 : factor < 3.5 ? 2 : factor < 7.5 ? 5 : 10);
}

static axis make_axis(double low, double high, double n, bool to_ticks, double start, double end)
{
    if (!(high >= low)) low = 0, high = 1;
    if (high - low <= 1e-9 * fabs(high)) {
        const double half = high != 0 ? fabs(high) / 2 : 1;
        low -= half;
        high += half;
    }
    const double step = round_step(high - low, n);
    if (to_ticks) {
        low = floor(low / step + 1e-6) * step;
        high = ceil(high / step - 1e-6) * step;
    }
    return (axis){low, high, step, start, end, false};
}

/* A loss that falls to a part of what it was would be a flat line for most of the run. */
static const double log_ticks[] = {1, 1.5, 2, 3, 4, 5, 7};
enum { N_LOG_TICK = sizeof log_ticks / sizeof *log_ticks, LOG_RATIO = 4 };

/* The i-th tick of a logarithmic axis, from 1 = 10^0 up or down. */
static double log_tick(int i)
{
    const int decade = (int)floor((double)i / N_LOG_TICK);
    return log_ticks[i - decade * N_LOG_TICK] * pow(10, decade);
}

static axis make_loss_axis(double low, double high)
{
    if (!(low > 1e-6 && high / low >= LOG_RATIO)) return make_axis(low, high, 6, true, BOTTOM, TOP);
    int first = 0, last = 0;
    while (log_tick(first) > low * 1.0001) first--;
    while (log_tick(first + 1) < low) first++;
    while (log_tick(last) < high * 0.9999) last++;
    return (axis){log_tick(first), log_tick(last), 0.5, BOTTOM, TOP, true};
}

static double place(const axis *a, double value)
{
    if (a->log) return a->start + log(fmax(value, a->low / 10) / a->low) / log(a->high / a->low) * (a->end - a->start);
    return a->start + (value - a->low) / (a->high - a->low) * (a->end - a->start);
}

/* The decimals that the distance of ticks needs; large ones in k and M, small ones in powers of ten. */
static const char *tick_text(const axis *a, double value, char text[48])
{
    const double largest = fmax(fabs(a->low), fabs(a->high));
    const double unit = largest >= 1e7 ? 1e6 : largest >= 1e4 ? 1e3 : 1;
    const double decimals = ceil(-log10(a->step / unit) - 1e-6);
    if (fabs(value) < a->step / 2) return "0";
    if (largest >= 1e11 || decimals > 4) {
        const int exponent = (int)floor(log10(fabs(value)) + 1e-9);
        snprintf(text, 48, "%.3ge%d", round(value / pow(10, exponent) * 100) / 100, exponent);
    } else {
        snprintf(text, 48, "%.*f%s", decimals > 0 ? (int)decimals : 0, value / unit,
                 unit > 1e3 ? "M"
                 : unit > 1 ? "k"
                            : "");
    }
    return text;
}

static void put_y_tick(plot *p, const axis *a, double value, const char *text)
{
    const double y = place(a, value);
    put(p, "<path class=\"grid\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" class=\"end\">%s</text>\n", LEFT, y,
        RIGHT, LEFT - 8, y + 4, text);
}

static void put_y_axis(plot *p, const axis *a)
{
    char text[48];
    if (!a->log) {
        for (int i = 0; i < 20 && a->low + i * a->step < a->high + a->step / 2; i++)
            put_y_tick(p, a, a->low + i * a->step, tick_text(a, a->low + i * a->step, text));
        return;
    }
    /* Over several decades only the powers of ten and five times those. */
    const int each = a->high / a->low > 100 ? 5 : 1;
    for (int i = -6 * N_LOG_TICK; log_tick(i) < a->high * 1.0001; i++) {
        if (log_tick(i) < a->low * 0.9999 || (i + 6 * N_LOG_TICK) % N_LOG_TICK % each) continue;
        snprintf(text, sizeof text, "%g", log_tick(i));
        put_y_tick(p, a, log_tick(i), text);
    }
}

static void put_x_axis(plot *p)
{
    char text[48];
    const axis *a = &p->x;
    const double first = ceil(a->low / a->step - 1e-6) * a->step;
    for (int i = 0; i < 20 && first + i * a->step <= a->high + 1e-6 * a->step; i++) {
        const double v = first + i * a->step, x = place(a, v);
        put(p, "<path class=\"grid\" d=\"M%.1f %dV%dM%.1f %dV%d\"/><text x=\"%.1f\" y=\"%d\" class=\"mid\">%s</text>\n",
            x, TOP, BOTTOM, x, RATE_TOP, RATE_BOTTOM, x, RATE_BOTTOM + 18, tick_text(a, v, text));
    }
    put(p, "<text x=\"%d\" y=\"%d\" class=\"mid\">step</text>\n", (LEFT + RIGHT) / 2, RATE_BOTTOM + 38);
}

/* ---- lines ---- */

static void put_point(plot *p, bool first, double x, double y)
{
    put(p, "%s%.5g %.5g", first ? "M" : "L", round(10 * x) / 10, round(10 * y) / 10);
}

/*
 * One stroke a pixel column: of the raw line from its lowest point there to its highest, in the order in which they came; of
 * lines that are smooth anyway, to one point of it.
 */
static void put_line(plot *p, const char *class, const curve *c, const double *values, const axis *y)
{
    const bool raw = values == c->value && c->smooth != c->value;
    put(p, "<path class=\"%s\" clip-path=\"url(#clip)\" d=\"", class);
    for (size_t i = 0, next; i < c->n; i = next) {
        const double column = floor(place(&p->x, c->step[i]));
        size_t low = i, high = i;
        for (next = i; next < c->n && floor(place(&p->x, c->step[next])) == column; next++) {
            if (raw && values[next] < values[low]) low = next;
            if (raw && values[next] > values[high]) high = next;
        }
        const size_t a = PP_MIN(low, high), b = PP_MAX(low, high);
        put_point(p, i == 0, a == b ? place(&p->x, c->step[a]) : column + 0.5, place(y, values[a]));
        if (a != b) put(p, "V%.5g", round(10 * place(y, values[b])) / 10);
    }
    put(p, "\"/>\n");
}

/* A dot is a line of no length with round ends. */
static void put_evals(plot *p)
{
    const curve *c = &p->eval;
    put_line(p, "eval", c, c->value, &p->loss_axis);
    put(p, "<path class=\"dots\" d=\"");
    for (size_t i = 0, each = c->n / MAX_EVALS + 1; i < c->n; i += each) {
        put_point(p, true, place(&p->x, c->step[i]), place(&p->loss_axis, c->value[i]));
        put(p, "h0");
    }
    put(p, "\"/>\n");
}

/* ---- around them ---- */

static void put_head(plot *p, const char *title)
{
    put(p,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
        "role=\"img\">\n<title>",
        WIDTH, HEIGHT, WIDTH, HEIGHT);
    put_text(p, title);
    put(p, "</title>\n<style>\n"
           "text{font:12px system-ui,-apple-system,\"Segoe UI\",sans-serif;fill:#656d76}\n"
           "path{fill:none;stroke-linejoin:round;stroke-linecap:round}\n"
           /* No variables: not every reader of SVG knows them, and the plain rules are what it then falls back to. */
           ".back{fill:#fff}.name,.key{fill:#1f2328}.grid{stroke:#e4e8ec;stroke-linecap:butt}\n"
           ".raw,.train{stroke:#0969da}.eval,.dots{stroke:#bc4c00}.rate{stroke:#1a7f37}\n"
           "@media(prefers-color-scheme:dark){.back{fill:#0d1117}text{fill:#9198a1}.name,.key{fill:#e6edf3}"
           ".grid{stroke:#272c33}.raw,.train{stroke:#58a6ff}.eval,.dots{stroke:#f0883e}.rate{stroke:#3fb950}}\n"
           ".name{font-size:16px;font-weight:600}.end{text-anchor:end}.mid{text-anchor:middle}\n"
           ".raw{stroke-width:1;opacity:.35}.train{stroke-width:2}.eval,.rate{stroke-width:1.5}.dots{stroke-width:7}\n"
           "</style>\n");
    put(p, "<clipPath id=\"clip\"><path d=\"M%d %dH%dV%dH%dZ\"/></clipPath>\n", LEFT, TOP - 2, RIGHT + 2,
        RATE_BOTTOM + 2, LEFT - 2);
    put(p, "<path d=\"M0 0H%dV%dH0Z\" class=\"back\"/>\n<text x=\"%d\" y=\"30\" class=\"name\">", WIDTH, HEIGHT, LEFT);
    put_text(p, title);
    put(p, "</text>\n");
}

/* Each curve with its name and where it stands now. */
static void put_legend(plot *p)
{
    int x = LEFT;
    char text[120];
    const curve *t = &p->train, *e = &p->eval;
    if (t->n) {
        snprintf(text, sizeof text, "train %.4g", t->smooth[t->n - 1]);
        if (t->smooth != t->value) put(p, "<path class=\"raw\" d=\"M%d 51l5 -6 5 9 5 -8 5 4\"/>", x);
        put(p, "<path class=\"train\" d=\"M%d 50h20\"/><text x=\"%d\" y=\"54\" class=\"key\">%s</text>\n", x, x + 28,
            text);
        x += 48 + 7 * (int)strlen(text);
    }
    if (e->n) {
        double best = e->value[0];
        for (size_t i = 0; i < e->n; i++) best = fmin(best, e->value[i]);
        snprintf(text, sizeof text, best < e->value[e->n - 1] ? "eval %.4g, best %.4g" : "eval %.4g",
                 e->value[e->n - 1], best);
        put(p,
            "<path class=\"eval\" d=\"M%d 50h20\"/><path class=\"dots\" d=\"M%d 50h0\"/><text x=\"%d\" y=\"54\" "
            "class=\"key\">%s</text>\n",
            x, x + 10, x + 28, text);
    }
    put(p, "<text x=\"%d\" y=\"%d\">loss, nats a token%s</text><text x=\"%d\" y=\"%d\">learning rate</text>\n", LEFT,
        TOP - 8, p->loss_axis.log ? ", logarithmic" : "", LEFT, RATE_TOP - 8);
    if (!t->n && !e->n)
        put(p, "<text x=\"%d\" y=\"%d\" class=\"mid\">no steps yet</text>\n", (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2);
}

static bool prepare(plot *p, const pp_metric *rows, size_t n)
{
    double low = INFINITY, high = -INFINITY, first = INFINITY, last = -INFINITY, rate = 0, none = 0;
    if (!take_curve(rows, n, TRAIN, &p->train) || !take_curve(rows, n, RATE, &p->rate) ||
        !take_curve(rows, n, EVAL, &p->eval))
        return false;
    if (!smooth_curve(&p->train) || !loss_range(p, &low, &high)) return false;
    for (size_t i = 0; i < n; i++) {
        first = fmin(first, (double)rows[i].step);
        last = fmax(last, (double)rows[i].step);
    }
    widen(p->rate.value, p->rate.n, &none, &rate);
    p->x = make_axis(first > last / 10 ? first : 0, last, 8, false, LEFT, RIGHT);
    p->x.step = fmax(p->x.step, 1);
    p->loss_axis = make_loss_axis(low, high);
    p->rate_axis = make_axis(0, rate > 0 ? rate : 1, 2, true, RATE_BOTTOM, RATE_TOP);
    return true;
}

static void draw(plot *p, const char *title)
{
    put_head(p, title);
    put_y_axis(p, &p->loss_axis);
    put_y_axis(p, &p->rate_axis);
    put_x_axis(p);
    if (p->train.smooth != p->train.value) put_line(p, "raw", &p->train, p->train.value, &p->loss_axis);
    if (p->train.n) put_line(p, "train", &p->train, p->train.smooth, &p->loss_axis);
    if (p->rate.n) put_line(p, "rate", &p->rate, p->rate.value, &p->rate_axis);
    if (p->eval.n) put_evals(p);
    put_legend(p);
    put(p, "</svg>\n");
}

pippin_status pp_plot_write(const char *dir, const char *title, const pp_metric *rows, size_t n, pippin_error *err)
{
    plot p = {.err = err};
    char *path = pp_path_join(dir, "loss.svg");
    if (!path || !prepare(&p, rows, n)) p.status = pp_fail_memory(err, dir, (uint64_t)n * 6 * sizeof(double));
    if (p.status == PIPPIN_OK) p.status = pp_writer_open(path, &p.out, err);
    if (p.status == PIPPIN_OK) draw(&p, title);
    if (p.status == PIPPIN_OK) p.status = pp_writer_commit(&p.out, err);
    pp_writer_abort(&p.out);
    free_curve(&p.train);
    free_curve(&p.rate);
    free_curve(&p.eval);
    pp_free(path);
    return p.status;
}
