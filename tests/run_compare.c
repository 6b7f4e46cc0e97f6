/*
 * run_compare.c - what training runs left behind, as figures that scripts compare:
 *
 *   run_compare losses DIR EXPECTED   the largest relative difference of the losses; EXPECTED: a golden case's expected.json
 *                                     or another run's folder
 *   run_compare norms DIR EXPECTED    the same of the gradient norms
 *   run_compare weights GOT WANTED FROM
 *                                     ||got - wanted|| / ||wanted - from|| over all tensors of three safetensors files
 *   run_compare levels MODEL          the most different values in a row: of a layer's matrix, and of the embedding
 *   run_compare whole DIR             names what is torn or left over in a run's folder, else its newest checkpoint's step
 *   run_compare killed DIR            the same of a run that was killed: what was being written may be left over
 *
 * Exit 1: not whole; 2: nothing to compare.
 */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/files.h"

static _Noreturn void fail(const char *name, const char *why)
{
    fprintf(stderr, "run_compare: %s: %s\n", name, why);
    exit(2);
}

/* ---- rows of numbers ---- */

enum { MAX_ROW = 100000 };

typedef struct series {
    double values[MAX_ROW];
    size_t n;
} series;

static void from_metrics(const char *dir, bool norms, series *out)
{
    pippin_error err;
    pp_metric *rows;
    size_t n;
    if (pp_metrics_read(dir, &rows, &n, &err) != PIPPIN_OK) fail(dir, err.text);
    for (size_t i = 0; i < n && out->n < MAX_ROW; i++)
        if (!rows[i].is_eval) out->values[out->n++] = norms ? rows[i].grad_norm : rows[i].loss;
    pp_free(rows);
}

static void from_expected(const char *path, bool norms, series *out)
{
    json_error_t at;
    json_t *root = json_load_file(path, 0, &at);
    const json_t *array = json_object_get(root, norms ? "grad_norms" : "losses");
    for (size_t i = 0; i < json_array_size(array) && i < MAX_ROW; i++)
        out->values[out->n++] = json_number_value(json_array_get(array, i));
    json_decref(root);
}

static int compare_series(const char *got, const char *wanted, bool norms)
{
    static series a, b;
    double worst = 0;
    from_metrics(got, norms, &a);
    if (pp_path_is_dir(wanted))
        from_metrics(wanted, norms, &b);
    else
        from_expected(wanted, norms, &b);
    if (a.n == 0 || a.n != b.n) fail(got, "not as many steps as were expected");
    for (size_t i = 0; i < a.n; i++) {
        const double d = fabs(a.values[i] - b.values[i]) / fabs(b.values[i]);
        if (!(d <= worst)) worst = isfinite(d) ? d : (double)INFINITY;
    }
    printf("%.2e\n", worst);
    return 0;
}

/* ---- tensors ---- */

static void open_file(const char *path, pp_tensors *out)
{
    pippin_error err;
    if (pp_safetensors_open(path, out, &err) != PIPPIN_OK) fail(path, err.text);
}

static const float *floats(const pp_tensors *file, const pp_tensor *like)
{
    const pp_tensor *t = pp_tensors_find(file, like->name);
    if (!t || t->type != PIPPIN_F32 || t->n_elem != like->n_elem) fail(file->source, like->name);
    return t->data;
}

static int compare_weights(const char *got_path, const char *wanted_path, const char *from_path)
{
    pp_tensors got, wanted, from;
    double error = 0, way = 0;
    open_file(got_path, &got);
    open_file(wanted_path, &wanted);
    open_file(from_path, &from);
    if (got.n != wanted.n) fail(got_path, "not as many tensors as were expected");
    for (size_t i = 0; i < wanted.n; i++) {
        const pp_tensor *t = &wanted.items[i];
        const float *a = floats(&got, t), *b = floats(&wanted, t), *c = floats(&from, t);
        for (size_t k = 0; k < t->n_elem; k++) {
            error += pow((double)a[k] - (double)b[k], 2);
            way += pow((double)b[k] - (double)c[k], 2);
        }
    }
    printf("%.2e\n", way > 0 && isfinite(error) ? sqrt(error / way) : (double)INFINITY);
    pp_tensors_free(&got);
    pp_tensors_free(&wanted);
    pp_tensors_free(&from);
    return 0;
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static size_t distinct_values(const float *row, size_t n)
{
    float *sorted = malloc(n * sizeof *sorted);
    size_t count = n > 0;
    if (!sorted) fail("memory", "too little");
    memcpy(sorted, row, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    for (size_t i = 1; i < n; i++) count += sorted[i] > sorted[i - 1];
    free(sorted);
    return count;
}

static int count_levels(const char *path)
{
    pp_tensors file;
    size_t most[2] = {0};
    open_file(path, &file);
    for (size_t i = 0; i < file.n; i++) {
        const pp_tensor *t = &file.items[i];
        if (t->n_dim != 2 || t->type != PIPPIN_F32) continue;
        const bool outer = strstr(t->name, "embed") || strstr(t->name, "lm_head");
        for (int64_t row = 0; row < t->shape[0]; row++) {
            const size_t n = distinct_values((const float *)t->data + row * t->shape[1], (size_t)t->shape[1]);
            if (n > most[outer]) most[outer] = n;
        }
    }
    printf("matrices %zu, embedding %zu\n", most[0], most[1]);
    pp_tensors_free(&file);
    return 0;
}

/* ---- whole ---- */

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, 1 << 22);
    if (!text) fail("memory", "too little");
    if (file) {
        const size_t n = fread(text, 1, (1 << 22) - 1, file);
        text[n] = 0;
        fclose(file);
    }
    return text;
}

static const char cut_short[] = "its last line is cut short";

/* Every line an object; the steps rise by one; no line cut short. */
static const char *lines_fault(const char *path)
{
    char *text = read_text(path);
    const char *fault = NULL;
    int64_t last = -1;
    for (char *at = text; *at && !fault;) {
        char *end = strchr(at, '\n');
        if (!end) {
            fault = cut_short;
            break;
        }
        json_error_t where;
        json_t *row = json_loadb(at, (size_t)(end - at), 0, &where);
        const int64_t step = json_integer_value(json_object_get(row, "step"));
        if (!row) fault = "a line is no JSON";
        const bool is_eval = json_object_get(row, "eval_loss") != NULL;
        if (!fault && json_object_get(row, "step") && !is_eval) {
            if (last >= 0 && step != last + 1) fault = "its steps have a gap or a repetition";
            last = step;
        }
        json_decref(row);
        at = end + 1;
    }
    free(text);
    return fault;
}

/* Tags open and close in order, and nothing comes after the last. */
static const char *svg_fault(const char *path)
{
    char *text = read_text(path);
    int depth = 0, n_tag = 0;
    const char *fault = NULL;
    for (char *p = strchr(text, '<'); p && !fault; p = strchr(p + 1, '<')) {
        const char *end = strchr(p, '>');
        if (!end)
            fault = "a tag is cut short";
        else if (p[1] == '/')
            depth--;
        else if (p[1] != '?' && p[1] != '!' && end[-1] != '/')
            depth++;
        n_tag++;
    }
    const size_t n = strlen(text);
    if (!fault && (n_tag == 0 || depth != 0 || n < 7 || strcmp(text + n - 7, "</svg>\n") != 0))
        fault = "it does not end where its first tag does";
    free(text);
    return fault;
}

static const char *tensors_fault(const char *path)
{
    static pippin_error err;
    pp_tensors file;
    if (pp_safetensors_open(path, &file, &err) != PIPPIN_OK) return err.text;
    pp_tensors_free(&file);
    return NULL;
}

/*
 * Files must be whole however the run ended: while one is written it has another name. metrics.jsonl alone grows in place; after
 * a run that did not end, its last line may be cut short, which is said.
 */
static int check_folder(const char *dir, bool ended)
{
    pippin_error err;
    int64_t step;
    int code = 0;
    bool torn = false;
    DIR *list = opendir(dir);
    if (!list) fail(dir, "no such folder");
    for (const struct dirent *e; (e = readdir(list));) {
        char path[4096];
        const char *fault = NULL;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (strstr(e->d_name, ".tmp-"))
            fault = ended ? "was left over" : NULL;
        else if (pp_path_ends(path, ".safetensors"))
            fault = tensors_fault(path);
        else if (pp_path_ends(path, ".jsonl"))
            fault = lines_fault(path);
        else if (pp_path_ends(path, ".svg"))
            fault = svg_fault(path);
        if (!ended && fault == cut_short) {
            torn = true;
            continue;
        }
        if (!fault) continue;
        printf("%s: %s\n", e->d_name, fault);
        code = 1;
    }
    closedir(list);
    if (pp_checkpoint_find(dir, &step, &err) != PIPPIN_OK) fail(dir, err.text);
    if (code == 0) printf("whole, newest checkpoint %lld%s\n", (long long)step, torn ? ", a line cut short" : "");
    return code;
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    if (strcmp(what, "losses") == 0 && argc == 4) return compare_series(argv[2], argv[3], false);
    if (strcmp(what, "norms") == 0 && argc == 4) return compare_series(argv[2], argv[3], true);
    if (strcmp(what, "weights") == 0 && argc == 5) return compare_weights(argv[2], argv[3], argv[4]);
    if (strcmp(what, "levels") == 0 && argc == 3) return count_levels(argv[2]);
    if (strcmp(what, "whole") == 0 && argc == 3) return check_folder(argv[2], true);
    if (strcmp(what, "killed") == 0 && argc == 3) return check_folder(argv[2], false);
    fprintf(stderr,
            "usage: run_compare losses|norms DIR EXPECTED, weights GOT WANTED FROM, levels MODEL, whole|killed DIR\n");
    return 2;
}
