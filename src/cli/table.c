/* table.c - rows of cells, printed as aligned text or as markdown. */
#include <string.h>

#include "cli/cli.h"

pp_table pp_table_of(const char *title, const char *align)
{
    pp_table table = {.title = title};
    snprintf(table.align, sizeof table.align, "%s", align);
    table.n_col = strlen(table.align);
    return table;
}

void pp_cell(pp_table *table, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (table->failed) return;
    if (table->n_cell == table->n_room) {
        size_t n_room = table->n_room ? 2 * table->n_room : 64;
        char **cells = pp_grow(table->cells, table->n_cell, n_room, sizeof *cells);
        if (!cells) {
            table->failed = true;
            return;
        }
        table->cells = cells;
        table->n_room = n_room;
    }
    table->cells[table->n_cell] = pp_strdup(text);
    if (table->cells[table->n_cell])
        table->n_cell++;
    else
        table->failed = true;
}

/* Characters, not bytes: names may be in any language. */
static size_t text_width(const char *text)
{
    size_t n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void print_row(const pp_table *table, char *const *row, const size_t *widths)
{
    size_t n = table->n_col; /* nothing is padded at the end of a line */
    while (n && !*row[n - 1]) n--;
    for (size_t col = 0; col < n; col++) {
        const int padding = (int)(widths[col] - text_width(row[col]));
        const bool right = table->align[col] == 'r';
        pp_print("  %*s%s%*s", right ? padding : 0, "", row[col], right || col + 1 == n ? 0 : padding, "");
    }
    pp_print("\n");
}

static void print_text(const pp_table *table, const size_t *widths)
{
    size_t first = table->n_col; /* the header goes when nothing is in it */
    for (size_t i = 0; i < table->n_col && i < table->n_cell; i++)
        if (*table->cells[i]) first = 0;
    if (table->title) pp_heading(table->title);
    for (size_t i = first; i + table->n_col <= table->n_cell; i += table->n_col)
        print_row(table, table->cells + i, widths);
}

static void print_dashes(size_t n, bool right)
{
    pp_print("| ");
    for (size_t i = right; i < n; i++) pp_print("-");
    pp_print(right ? ": " : " ");
}

static void print_markdown(const pp_table *table, const size_t *widths)
{
    if (table->title) pp_print("### %s\n\n", table->title);
    for (size_t i = 0; i < table->n_cell; i++) {
        size_t col = i % table->n_col;
        int padding = (int)(PP_MAX(widths[col], 3) - text_width(table->cells[i]));
        bool right = table->align[col] == 'r';
        pp_print("| %*s%s%*s ", right ? padding : 0, "", table->cells[i], right ? 0 : padding, "");
        if (col + 1 < table->n_col) continue;
        pp_print("|\n");
        if (i + 1 != table->n_col) continue;
        for (size_t j = 0; j < table->n_col; j++) print_dashes(PP_MAX(widths[j], 3), table->align[j] == 'r');
        pp_print("|\n");
    }
}

int pp_table_print(pp_table *table, bool markdown)
{
    size_t widths[PP_MAX_COLUMN] = {0};
    for (size_t i = 0; i < table->n_cell; i++) {
        size_t width = text_width(table->cells[i]), *widest = &widths[i % table->n_col];
        *widest = PP_MAX(*widest, width);
    }
    if (!table->failed) (markdown ? print_markdown : print_text)(table, widths);
    for (size_t i = 0; i < table->n_cell; i++) pp_free(table->cells[i]);
    pp_free(table->cells);
    table->cells = NULL;
    return table->failed ? pp_no_memory() : 0;
}
