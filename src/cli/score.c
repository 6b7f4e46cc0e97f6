/* score.c - metrics: what a row's answer counts for, and figures from sums of counts. */
#include <math.h>
#include <string.h>

#include "cli/score.h"
#include "cli/words.h"

static bool put(pp_scores *s, size_t stat, double value)
{
    if (value == 0) return true;
    if (!pp_make_room(&s->counts, s->n_count, &s->count_room, sizeof *s->counts)) return false;
    s->counts[s->n_count++] = (pp_tally){(uint32_t)stat, value};
    return true;
}

static double ratio(double a, double b) { return b > 0 ? a / b : NAN; }

/* 2PR / (P + R): of what was right, what was said and is not there, and what is there and was not said. */
static double f1(double right, double spare, double missed) { return ratio(2 * right, 2 * right + spare + missed); }

/* The text without white space at its ends. */
static pp_word trimmed(const char *text, size_t n)
{
    while (n && pp_is_space(text[n - 1])) n--;
    while (n && pp_is_space(*text)) {
        text++;
        n--;
    }
    return (pp_word){text, n};
}

static bool same_text(const char *a, const char *b)
{
    return pp_word_same(trimmed(a, strlen(a)), trimmed(b, strlen(b)));
}

/* ---- exact, rouge-l ---- */

enum { ROWS, EXACT, N_EXACT };

static bool count_exact(pp_scores *s, const pp_case *c)
{
    return put(s, ROWS, 1) && put(s, EXACT, same_text(c->reference, c->answer));
}

static void evaluate_exact(const pp_scores *s, const double *sums, double *out)
{
    (void)s;
    out[0] = ratio(sums[EXACT], sums[ROWS]);
}

enum { ROUGE_F = N_EXACT, ROUGE_P, ROUGE_R, N_ROUGE };

static bool count_rouge(pp_scores *s, const pp_case *c)
{
    pp_words reference = {0}, answer = {0};
    size_t n = 0;
    bool good = pp_words_of(c->reference, false, &reference) && pp_words_of(c->answer, false, &answer) &&
                pp_words_common(&reference, &answer, &n) && count_exact(s, c);
    /* Nothing to say, and nothing said. */
    const bool empty = !reference.n && !answer.n;
    good = good && put(s, ROUGE_F, pp_words_f1(n, reference.n, answer.n)) &&
           put(s, ROUGE_P,
               empty      ? 1
               : answer.n ? (double)n / (double)answer.n
                          : 0) &&
           put(s, ROUGE_R,
               empty         ? 1
               : reference.n ? (double)n / (double)reference.n
                             : 0);
    pp_free(reference.items);
    pp_free(answer.items);
    return good;
}

static void evaluate_rouge(const pp_scores *s, const double *sums, double *out)
{
    (void)s;
    out[0] = ratio(sums[ROUGE_F], sums[ROWS]);
    out[1] = ratio(sums[ROUGE_P], sums[ROWS]);
    out[2] = ratio(sums[ROUGE_R], sums[ROWS]);
    out[3] = ratio(sums[EXACT], sums[ROWS]);
}

/* ---- sets of labels ---- */

enum { LABEL_RIGHT, LABEL_SPARE, LABEL_MISSED, N_LABEL };

json_t *pp_labels_of(const char *text)
{
    json_t *list = json_array(), *seen = json_object();
    bool good = list && seen;
    while (good && *text) {
        const size_t n = strcspn(text, ",");
        const pp_word label = trimmed(text, n);
        char *name = pp_strndup(label.text, label.n);
        good = name != NULL;
        if (good && label.n && !json_object_get(seen, name))
            good = json_object_set_new(seen, name, json_true()) == 0 &&
                   json_array_append_new(list, json_string(name)) == 0;
        pp_free(name);
        text += n + (text[n] == ',');
    }
    json_decref(seen);
    if (good) return list;
    json_decref(list);
    return NULL;
}

static bool has_label(const json_t *list, const char *label)
{
    const json_t *item;
    size_t i;
    json_array_foreach (list, i, item)
        if (strcmp(json_string_value(item), label) == 0) return true;
    return false;
}

/* Counts the labels of a list: `found` where the other list has them, else `lone`. found N_LABEL: not counted. */
static bool count_list(pp_scores *s, const json_t *list, const json_t *other, size_t found, size_t lone, size_t *n_lone)
{
    const json_t *item;
    size_t i, number;
    json_array_foreach (list, i, item) {
        const char *label = json_string_value(item);
        const size_t stat = has_label(other, label) ? found : lone;
        *n_lone += stat == lone;
        if (stat == N_LABEL) continue;
        if (!pp_scores_name(s, label, &number) || !put(s, N_EXACT + number * N_LABEL + stat, 1)) return false;
    }
    return true;
}

static bool count_labels(pp_scores *s, const pp_case *c)
{
    json_t *reference = pp_labels_of(c->reference), *answer = pp_labels_of(c->answer);
    size_t n_lone = 0;
    const bool good = reference && answer && put(s, ROWS, 1) &&
                      count_list(s, reference, answer, LABEL_RIGHT, LABEL_MISSED, &n_lone) &&
                      count_list(s, answer, reference, N_LABEL, LABEL_SPARE, &n_lone) && put(s, EXACT, n_lone == 0);
    json_decref(reference);
    json_decref(answer);
    return good;
}

static void evaluate_labels(const pp_scores *s, const double *sums, double *out)
{
    double right = 0, spare = 0, missed = 0, sum_f1 = 0, n = 0;
    for (size_t i = 0; i < s->n_name; i++) {
        const double *label = sums + N_EXACT + i * N_LABEL;
        right += label[LABEL_RIGHT];
        spare += label[LABEL_SPARE];
        missed += label[LABEL_MISSED];
        const double f = f1(label[LABEL_RIGHT], label[LABEL_SPARE], label[LABEL_MISSED]);
        if (isnan(f)) continue; /* in none of the rows that were drawn */
        sum_f1 += f;
        n++;
    }
    out[0] = f1(right, spare, missed);
    out[1] = ratio(right, right + spare);
    out[2] = ratio(right, right + missed);
    out[3] = ratio(sum_f1, n);
    out[4] = ratio(sums[EXACT], sums[ROWS]);
}

/* ---- corrections ---- */

enum {
    WRONG = N_EXACT, /* words that the reference changes */
    PUT_RIGHT,
    CLEAN, /* words that it does not */
    DAMAGED,
    CHANGED, /* words that the answer changes */
    CLEAN_ROWS,
    LEFT_ALONE,
    N_CORRECTION
};
enum { KIND_ALL, KIND_RIGHT, N_KIND };

typedef struct correction {
    pp_words user, reference, answer;
    pp_link *wanted, *made; /* [user.n] what stands for each word in reference and answer */
} correction;

static bool is_kept(const correction *x, size_t i, const pp_words *to, pp_link link)
{
    return link.n == 1 && pp_word_same(x->user.items[i], to->items[link.first]);
}

static bool is_right(const correction *x, size_t i)
{
    const pp_link a = x->wanted[i], b = x->made[i];
    bool same = a.n == b.n;
    for (size_t k = 0; same && k < a.n; k++)
        same = pp_word_same(x->reference.items[a.first + k], x->answer.items[b.first + k]);
    return same;
}

static bool align(correction *x, const pp_case *c)
{
    if (!pp_words_of(c->user, true, &x->user) || !pp_words_of(c->reference, true, &x->reference) ||
        !pp_words_of(c->answer, true, &x->answer))
        return false;
    x->wanted = pp_alloc_zero(x->user.n + 1, sizeof *x->wanted);
    x->made = pp_alloc_zero(x->user.n + 1, sizeof *x->made);
    return x->wanted && x->made && pp_words_align(&x->user, &x->reference, x->wanted) &&
           pp_words_align(&x->user, &x->answer, x->made);
}

static bool count_words(pp_scores *s, const correction *x)
{
    double n[N_CORRECTION] = {0};
    for (size_t i = 0; i < x->user.n; i++) {
        const bool clean = is_kept(x, i, &x->reference, x->wanted[i]), kept = is_kept(x, i, &x->answer, x->made[i]);
        n[clean ? CLEAN : WRONG]++;
        n[CHANGED] += !kept;
        n[DAMAGED] += clean && !kept;
        n[PUT_RIGHT] += !clean && is_right(x, i);
    }
    bool good = true;
    for (size_t stat = WRONG; stat <= CHANGED; stat++) good = good && put(s, stat, n[stat]);
    return good;
}

/* An error was put right where all words are that it made wrong. */
static bool count_notes(pp_scores *s, const correction *x, const pp_case *c)
{
    for (size_t k = 0; k < c->n_note; k++) {
        const char *first = c->user + c->notes[k].first, *last = first + c->notes[k].n;
        bool right = true;
        size_t number;
        for (size_t i = 0; i < x->user.n; i++) {
            const pp_word word = x->user.items[i];
            if (word.text < last && word.text + word.n > first) right = right && is_right(x, i);
        }
        if (!pp_scores_name(s, c->notes[k].kind, &number) || !put(s, N_CORRECTION + number * N_KIND + KIND_ALL, 1) ||
            !put(s, N_CORRECTION + number * N_KIND + KIND_RIGHT, right))
            return false;
    }
    return true;
}

static bool count_corrections(pp_scores *s, const pp_case *c)
{
    correction x = {0};
    const bool clean = same_text(c->user, c->reference);
    const bool good = align(&x, c) && count_exact(s, c) && count_words(s, &x) && count_notes(s, &x, c) &&
                      put(s, CLEAN_ROWS, clean) && put(s, LEFT_ALONE, clean && same_text(c->user, c->answer));
    pp_free(x.user.items);
    pp_free(x.reference.items);
    pp_free(x.answer.items);
    pp_free(x.wanted);
    pp_free(x.made);
    return good;
}

static void evaluate_corrections(const pp_scores *s, const double *sums, double *out)
{
    const double precision = ratio(sums[PUT_RIGHT], sums[CHANGED]), recall = ratio(sums[PUT_RIGHT], sums[WRONG]);
    out[0] = recall;
    out[1] = ratio(sums[DAMAGED], sums[CLEAN]);
    out[2] = precision;
    /* F with a beta of 0.5, written so that it is a number also where nothing was changed. */
    out[3] = ratio(1.25 * sums[PUT_RIGHT], sums[CHANGED] + 0.25 * sums[WRONG]);
    out[4] = ratio(sums[EXACT], sums[ROWS]);
    out[5] = ratio(sums[LEFT_ALONE], sums[CLEAN_ROWS]);
    for (size_t i = 0; i < s->n_name; i++) {
        const double *kind = sums + N_CORRECTION + i * N_KIND;
        out[6 + i] = ratio(kind[KIND_RIGHT], kind[KIND_ALL]);
    }
}

size_t pp_scores_kind_count(const pp_scores *s, size_t kind)
{
    double n = 0;
    for (size_t i = 0; i < s->n_count; i++)
        if (s->counts[i].stat == N_CORRECTION + kind * N_KIND + KIND_ALL) n += s->counts[i].value;
    return (size_t)n;
}

/* ---- items of JSON ---- */

enum { VALID = N_EXACT, ITEM_RIGHT, ITEM_SPARE, ITEM_MISSED, N_ITEM };

static bool add_item(json_t *items, json_t *value)
{
    char small[256], *text = small;
    const size_t flags = JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY;
    const size_t n = value ? json_dumpb(value, NULL, 0, flags) : 0;
    if (n >= sizeof small) text = pp_alloc(n + 1);
    bool good = n && text && json_dumpb(value, text, n, flags) == n;
    if (good) {
        text[n] = 0;
        const json_int_t before = json_integer_value(json_object_get(items, text));
        good = json_object_set_new(items, text, json_integer(before + 1)) == 0;
    }
    if (text != small) pp_free(text);
    json_decref(value);
    return good;
}

/* The items of a value, each with how often it is there: elements of a list; of an object its keys with each element of
   their lists, or with their values; anything else is one item. NULL without memory. */
static json_t *items_of(json_t *value)
{
    json_t *items = json_object(), *inner, *element;
    const char *key;
    size_t i;
    bool good = items != NULL;
    if (json_is_array(value)) {
        json_array_foreach (value, i, element) good = good && add_item(items, json_incref(element));
    } else if (json_is_object(value)) {
        json_object_foreach (value, key, inner) {
            if (!json_is_array(inner))
                good = good && add_item(items, json_pack("[s, O]", key, inner));
            else
                json_array_foreach (inner, i, element)
                    good = good && add_item(items, json_pack("[s, O]", key, element));
        }
    } else
        good = good && add_item(items, json_incref(value));
    if (good) return items;
    json_decref(items);
    return NULL;
}

static double count_items(const json_t *items)
{
    json_t *n;
    const char *key;
    json_int_t sum = 0;
    json_object_foreach ((json_t *)items, key, n) sum += json_integer_value(n);
    return (double)sum;
}

static double count_common(json_t *a, const json_t *b)
{
    json_t *n;
    const char *key;
    json_int_t sum = 0;
    json_object_foreach (a, key, n) {
        const json_int_t other = json_integer_value(json_object_get(b, key));
        sum += PP_MIN(json_integer_value(n), other);
    }
    return (double)sum;
}

static bool count_json(pp_scores *s, const pp_case *c)
{
    json_error_t error;
    json_t *reference = json_loads(c->reference, JSON_DECODE_ANY, &error);
    json_t *answer = json_loads(c->answer, JSON_DECODE_ANY, &error);
    json_t *wanted = reference ? items_of(reference) : json_object(), *made = answer ? items_of(answer) : json_object();
    bool good = wanted && made;
    const double right = good ? count_common(wanted, made) : 0;
    good = good && put(s, ROWS, 1) && put(s, VALID, answer != NULL) && put(s, EXACT, json_equal(reference, answer)) &&
           put(s, ITEM_RIGHT, right) && put(s, ITEM_SPARE, count_items(made) - right) &&
           put(s, ITEM_MISSED, count_items(wanted) - right);
    json_decref(reference);
    json_decref(answer);
    json_decref(wanted);
    json_decref(made);
    return good;
}

static void evaluate_json(const pp_scores *s, const double *sums, double *out)
{
    (void)s;
    out[0] = f1(sums[ITEM_RIGHT], sums[ITEM_SPARE], sums[ITEM_MISSED]);
    out[1] = ratio(sums[ITEM_RIGHT], sums[ITEM_RIGHT] + sums[ITEM_SPARE]);
    out[2] = ratio(sums[ITEM_RIGHT], sums[ITEM_RIGHT] + sums[ITEM_MISSED]);
    out[3] = ratio(sums[VALID], sums[ROWS]);
    out[4] = ratio(sums[EXACT], sums[ROWS]);
}

/* ---- the table ---- */

const pp_metric *pp_metric_find(const char *name)
{
    static const pp_metric metrics[] = {
        {"rouge-l", {"rouge_l", "precision", "recall", "exact"}, N_ROUGE, 0, count_rouge, evaluate_rouge},
        {"exact", {"exact"}, N_EXACT, 0, count_exact, evaluate_exact},
        {"labels",
         {"micro_f1", "precision", "recall", "macro_f1", "exact"},
         N_EXACT,
         N_LABEL,
         count_labels,
         evaluate_labels},
        {"corrections",
         {"corrected", "damaged", "precision", "f0.5", "sentences_right", "clean_left_alone"},
         N_CORRECTION,
         N_KIND,
         count_corrections,
         evaluate_corrections},
        {"json", {"f1", "precision", "recall", "valid", "exact"}, N_ITEM, 0, count_json, evaluate_json}};
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        if (strcmp(metrics[i].name, name) == 0) return &metrics[i];
    return NULL;
}
