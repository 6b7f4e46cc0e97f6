/* positions.c - eval --by-position: what is predicted, in buckets of how many tokens stand before it. */
#include "cli/positions.h"

#include <string.h>

enum { MAX_POSITION = 1 << 20 }; /* as --ctx */

void pp_positions_close(pp_positions *p)
{
    pp_free(p->ends.items);
    pp_free(p->buckets);
    *p = (pp_positions){0};
}

static bool add_end(pp_ids *ends, size_t *n_room, int64_t end)
{
    if (!pp_make_room(&ends->items, ends->n, n_room, sizeof *ends->items)) return false;
    ends->items[ends->n++] = (int32_t)end;
    return true;
}

static int bad_edges(const char *edges)
{
    return pp_error(PP_EXIT_USAGE,
                    "--by-position: found \"%s\", expected double, or the last position of each bucket, rising from 1 "
                    "to %d, such as 512 (which goes on with 1024, 1536, ...) or 64,128,512; see pippin help eval",
                    edges, MAX_POSITION);
}

int pp_positions_open(pp_positions *p, const char *edges)
{
    size_t n_room = 0;
    *p = (pp_positions){0};
    if (strcmp(edges, "double") == 0) {
        for (int64_t end = 1; end <= MAX_POSITION; end *= 2)
            if (!add_end(&p->ends, &n_room, end)) return pp_no_memory();
        return 0;
    }
    int64_t end, before = 0;
    for (const char *at = edges;; at++, before = end) {
        const size_t n = strcspn(at, ",");
        if (!pp_parse_int(at, n, before + 1, MAX_POSITION, &end)) return bad_edges(edges);
        if (!add_end(&p->ends, &n_room, end)) return pp_no_memory();
        at += n;
        if (!*at) return 0;
    }
}

/* ---- where buckets end ---- */

static size_t last_step(const pp_ids *ends)
{
    return (size_t)(ends->items[ends->n - 1] - (ends->n > 1 ? ends->items[ends->n - 2] : 0));
}

static size_t end_of(const pp_ids *ends, size_t bucket)
{
    if (bucket < ends->n) return (size_t)ends->items[bucket];
    return (size_t)ends->items[ends->n - 1] + (bucket - ends->n + 1) * last_step(ends);
}

static size_t bucket_of(const pp_ids *ends, size_t position)
{
    const size_t end = (size_t)ends->items[ends->n - 1];
    if (position > end) return ends->n + (position - end - 1) / last_step(ends);
    size_t bucket = 0;
    while ((size_t)ends->items[bucket] < position) bucket++;
    return bucket;
}

/* ---- what is in them ---- */

bool pp_positions_add(pp_positions *p, size_t position, double nll)
{
    const size_t bucket = bucket_of(&p->ends, position);
    for (; p->n <= bucket; p->n++) {
        if (!pp_make_room(&p->buckets, p->n, &p->n_room, sizeof *p->buckets)) return false;
        p->buckets[p->n] = (pp_bucket){0};
    }
    p->buckets[bucket].n_tok++;
    p->buckets[bucket].nll += nll;
    p->longest = PP_MAX(p->longest, position);
    return true;
}

static size_t first_in(const pp_positions *p, size_t i) { return i ? end_of(&p->ends, i - 1) + 1 : 1; }

/* The last bucket ends where the longest context did. */
static size_t last_in(const pp_positions *p, size_t i) { return PP_MIN(end_of(&p->ends, i), p->longest); }

json_t *pp_positions_json(const pp_positions *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->n; i++)
        json_array_append_new(list, json_pack("{s:I, s:I, s:I, s:o}", "first", (json_int_t)first_in(p, i), "last",
                                              (json_int_t)last_in(p, i), "tokens", (json_int_t)p->buckets[i].n_tok,
                                              "nll", pp_json_number(p->buckets[i].nll)));
    return list;
}

int pp_positions_print(const pp_positions *p)
{
    pp_table table = pp_table_of(NULL, "rrrr");
    pp_cell(&table, "position");
    pp_cell(&table, "to");
    pp_cell(&table, "tokens");
    pp_cell(&table, "nats a token");
    for (size_t i = 0; i < p->n; i++) {
        const pp_bucket *b = &p->buckets[i];
        pp_cell(&table, "%zu", first_in(p, i));
        pp_cell(&table, "%zu", last_in(p, i));
        pp_cell(&table, "%zu", b->n_tok);
        pp_cell(&table, "%.6f", b->nll / (double)b->n_tok);
    }
    return pp_table_print(&table, false);
}
