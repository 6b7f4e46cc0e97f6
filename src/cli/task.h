/* task.h - eval --task: conversations with a known answer are answered, and the answers scored. */
#ifndef PP_CLI_TASK_H
#define PP_CLI_TASK_H

#include "cli/score.h"
#include "cli/talk.h"

/* What the arguments of eval begin with. */
typedef struct pp_task_args {
    pp_talk talk;
    const char *file, *metric, *answers, *save_answers, *compare, *choices, *errors, *against;
    double share;
    int32_t votes, limit, batch;
    bool guard;
} pp_task_args;

extern const pp_option pp_options_task[];

/* 0 or PP_EXIT_USAGE: options of tasks without a task, and those that have no effect together. */
int pp_task_check(const pp_task_args *task);
int pp_task_run(const pp_task_args *task);

/* ---- rows (task_rows.c): what is read from files, a line each; all that fails does so after a message ---- */

typedef struct pp_row {
    size_t line;
    json_t *root;                 /* as it stands in the file */
    const char *user, *reference; /* the last that the user says, NULL if nothing; the text of the last message */
    char *answer, *other;         /* what is scored, and what it is compared with; owned, NULL: none yet */
    json_t *errors;
    pp_note *notes; /* [n_note] */
    size_t n_note;
    uint64_t order; /* rows are summed in an order of their own, by what they hold */
} pp_row;

typedef struct pp_rows {
    const char *path;
    pp_row *items;
    size_t n, room;
} pp_rows;

/* The first `limit` rows, 0: all. A row is a conversation, or a prompt with its completion. pp_rows_free in any case. */
int pp_rows_read(const char *path, size_t limit, pp_rows *out);
void pp_rows_free(pp_rows *rows);
/* An answer a row, from lines of {"answer"} or of conversations, or of text (.txt); more of them than rows where there is a
   limit only. */
int pp_rows_read_answers(pp_rows *rows, const char *path, bool limited, bool is_other);
/* What was damaged in the user's text of every row: {"errors": [{"word", "wrong", "right", "kind"}]}, `word` counting runs
   of ASCII letters of the reference. */
int pp_rows_read_errors(pp_rows *rows, const char *path);
int pp_rows_save_answers(const pp_rows *rows, pp_writer *writer); /* and commits them */
void pp_rows_cut(pp_rows *rows, size_t n);                        /* the first n are left */
void pp_rows_sort(pp_rows *rows);
/* One line about a row. */
int pp_row_bad(const char *path, size_t line, const char *format, ...) PP_PRINTF(3, 4);

/* ---- a closed vocabulary (choices.c) ---- */

typedef struct pp_choice {
    const char *label;
    size_t place; /* among the lines of the file */
} pp_choice;

typedef struct pp_choices {
    char *text;
    pp_choice *items; /* [n] in the order of their bytes, each label once */
    size_t n;
    size_t n_rising, n_falling; /* neighbours in references that stand in the file's order, and that do not */
} pp_choices;

/* An answer as far as it is written. Zeroed before pp_choices_begin, which may be called again; pp_chosen_free at the end. */
typedef struct pp_chosen {
    pp_buffer text;
    size_t begun;          /* where in it the label at hand begins */
    bool *used;            /* [n] labels that are behind a separator */
    const pp_choice *last; /* the last of them; NULL: none yet */
} pp_chosen;

/* A label a line. pp_choices_free in any case. */
int pp_choices_read(const char *path, pp_choices *out);
void pp_choices_free(pp_choices *choices);
const pp_choice *pp_choices_find(const pp_choices *choices, const char *label, size_t n); /* NULL: no label is that */
/* Is a reference's label the one that its last was followed by? Told of all of them before the first answer. */
void pp_choices_note(pp_choices *choices, const pp_choice *last, const pp_choice *next);
/* What the references have in common: all of their labels stand in the file's order, and there were some to see it by. Then only
   labels that come later in the file than its last one may go on with an answer; else all that it has not yet. */
bool pp_choices_ordered(const pp_choices *choices);
/* An answer without a word; false without memory. */
bool pp_choices_begin(const pp_choices *choices, pp_chosen *answer);
bool pp_choices_ends(const pp_choices *choices, const pp_chosen *answer); /* may it end here? */
/* May `piece` [n] come next? Only what goes on to labels that may follow, with ", " between. */
bool pp_choices_allow(const pp_choices *choices, const pp_chosen *answer, const char *piece, size_t n);
/* Takes such a piece into the answer. False without memory. */
bool pp_choices_take(const pp_choices *choices, pp_chosen *answer, const char *piece, size_t n);
/* Counts the labels of an answer that is over: votes[i]++ for items[i]. */
void pp_choices_count(const pp_choices *choices, const pp_chosen *answer, uint32_t *votes);
/* An answer of the labels with at least `least` votes, or of the first with the most where there are none. False without memory. */
bool pp_choices_elect(const pp_choices *choices, const uint32_t *votes, uint32_t least, pp_chosen *answer);
/* Leaves whole labels of an answer that was cut. */
void pp_choices_cut(const pp_choices *choices, pp_chosen *answer);
void pp_chosen_free(pp_chosen *answer);

/* ---- a model's answers (task_answer.c) ---- */

typedef struct pp_answered {
    size_t n_row, n_tok, n_cut; /* rows answered before Ctrl-C; tokens; answers that reached the limit */
    double seconds;
    size_t n_drafted, n_accepted; /* guesses, and those of them that were right */
    size_t n_compared,
        n_same; /* tokens of the answers that `against` was asked for, and those that it finds likeliest too */
} pp_answered;

/* Fills the rows' answers. choices: NULL for free text. */
int pp_task_answer(const pp_task_args *task, pp_rows *rows, const pp_choices *choices, pp_answered *out);

/* ---- results (task_report.c) ---- */

typedef struct pp_task_result {
    const pp_task_args *task;
    const pp_rows *rows;
    const pp_metric *metric;
    const pp_answered *answered; /* NULL: answers came from a file */
    const pp_choices *choices;   /* that a model was held to; NULL: none */
    size_t n_wanted;             /* rows that there were to answer */
} pp_task_result;

/* Scores the rows and prints figures. */
int pp_task_report(const pp_task_result *result);

#endif
