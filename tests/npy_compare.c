/*
 * npy_compare.c - how far one float32 .npy file of rows is from another: `npy_compare A B BOUND` prints the largest
 * |a - b| of a row over the largest |b| of the same row, and exits 1 above BOUND, 2 when there is nothing to compare.
 * `npy_compare Q P kl` takes the rows for logits and prints the mean KL(p || q) of all but the last row, in nats.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct matrix {
    size_t n_row, n_col;
    float *values; /* [n_row][n_col], to be freed */
} matrix;

static bool fail(const char *path, const char *why)
{
    fprintf(stderr, "npy_compare: %s: %s\n", path, why);
    return false;
}

/* Version 1.0, little-endian float32, C order, two dimensions: what pippin writes, and the golden cases are. */
static bool read_header(FILE *file, const char *path, matrix *out)
{
    unsigned char start[10];
    char header[4096];
    unsigned long long n_row, n_col;
    if (fread(start, 1, sizeof start, file) != sizeof start || memcmp(start, "\x93NUMPY\x01\x00", 8) != 0)
        return fail(path, "not a .npy file of version 1.0");
    const size_t size = start[8] + 256u * start[9];
    if (size >= sizeof header || fread(header, 1, size, file) != size) return fail(path, "the header is cut short");
    header[size] = 0;
    if (!strstr(header, "'<f4'") || !strstr(header, "'fortran_order': False"))
        return fail(path, "not float32 in C order");
    const char *shape = strstr(header, "'shape': (");
    if (!shape || sscanf(shape, "'shape': (%llu, %llu)", &n_row, &n_col) != 2)
        return fail(path, "not of two dimensions");
    if (n_row == 0 || n_col == 0 || n_row > UINT32_MAX || n_col > UINT32_MAX / 4)
        return fail(path, "an impossible shape");
    out->n_row = (size_t)n_row;
    out->n_col = (size_t)n_col;
    return true;
}

static bool read_matrix(const char *path, matrix *out)
{
    FILE *file = fopen(path, "rb");
    *out = (matrix){0};
    if (!file) return fail(path, "cannot be opened");
    bool good = read_header(file, path, out);
    if (good) {
        const size_t n = out->n_row * out->n_col;
        out->values = malloc(n * sizeof *out->values);
        good = out->values && fread(out->values, sizeof *out->values, n, file) == n && fgetc(file) == EOF;
        if (!good) fail(path, "does not hold as many values as its shape says");
    }
    fclose(file);
    return good;
}

/* The largest difference of any row, relative to the row's largest value; infinite where a value is not finite. */
static double distance(const matrix *a, const matrix *b, size_t *worst_row)
{
    double worst = -1;
    for (size_t i = 0; i < a->n_row; i++) {
        double difference = 0, largest = 0;
        for (size_t j = 0; j < a->n_col; j++) {
            const double x = (double)a->values[i * a->n_col + j], y = (double)b->values[i * a->n_col + j];
            difference = isfinite(x) && isfinite(y) ? fmax(difference, fabs(x - y)) : (double)INFINITY;
            largest = fmax(largest, fabs(y));
            if (!isfinite(difference)) break;
        }
        const double relative = difference == 0 ? 0 : difference / largest;
        if (relative > worst) {
            worst = relative;
            *worst_row = i;
        }
    }
    return worst;
}

static double log_probability(const float *row, size_t n, size_t i)
{
    double largest = -(double)INFINITY, sum = 0;
    for (size_t j = 0; j < n; j++) largest = fmax(largest, (double)row[j]);
    for (size_t j = 0; j < n; j++) sum += exp((double)row[j] - largest);
    return (double)row[i] - largest - log(sum);
}

static double divergence(const matrix *q, const matrix *p)
{
    double sum = 0;
    for (size_t i = 0; i + 1 < p->n_row; i++)
        for (size_t j = 0; j < p->n_col; j++) {
            const double log_p = log_probability(p->values + i * p->n_col, p->n_col, j);
            sum += exp(log_p) * (log_p - log_probability(q->values + i * p->n_col, p->n_col, j));
        }
    return sum / (double)(p->n_row - 1);
}

int main(int argc, char **argv)
{
    char *end = NULL;
    const bool kl = argc == 4 && strcmp(argv[3], "kl") == 0;
    const double bound = argc == 4 && !kl ? strtod(argv[3], &end) : -1;
    if (argc != 4 || (!kl && (end == argv[3] || *end || !(bound >= 0)))) {
        fprintf(stderr, "usage: npy_compare A.npy B.npy BOUND|kl\n");
        return 2;
    }
    matrix a, b = {0};
    int code = 2;
    if (read_matrix(argv[1], &a) && read_matrix(argv[2], &b)) {
        if (a.n_row != b.n_row || a.n_col != b.n_col) {
            fprintf(stderr, "npy_compare: shapes differ: [%zu, %zu] and [%zu, %zu]\n", a.n_row, a.n_col, b.n_row,
                    b.n_col);
        } else if (kl) {
            printf("%.6f\n", divergence(&a, &b));
            code = 0;
        } else {
            size_t row = 0;
            const double worst = distance(&a, &b, &row);
            printf("%.3g at row %zu, bound %g\n", worst, row, bound);
            code = worst <= bound ? 0 : 1;
        }
    }
    free(a.values);
    free(b.values);
    return code;
}
