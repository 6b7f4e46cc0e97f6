/* task_answer.h - what the two ways to answer rows share: any text (task_answer.c), labels (task_labels.c). */
#ifndef PP_CLI_TASK_ANSWER_H
#define PP_CLI_TASK_ANSWER_H

#include "cli/task.h"

/* What a row asks, and what its answer took. */
typedef struct pp_question {
    pp_prompt prompt;
    size_t n_tok, n_drafted, n_accepted, n_compared, n_same; /* as in pp_answered */
    bool cut;                                                /* at the limit of tokens */
} pp_question;

typedef struct pp_answerer {
    const pp_task_args *task;
    pp_rows *rows;
    const pp_choices *choices; /* NULL: any text */
    pp_loaded loaded;          /* with a session for each row that is answered at once */
    const pippin_tokenizer *tokenizer;
    pippin_session *against; /* a draft that is asked for each token of the answers; NULL: none */
    pp_question *questions;  /* [rows->n] */
    size_t max_tokens;       /* of an answer */
    size_t n_done;           /* rows that have theirs */
    double since;
} pp_answerer;

/* The row's answer is this text. 0 or an exit code after a message. */
int pp_answer_keep(pp_answerer *a, size_t row, const pp_buffer *text, size_t n_tok, bool cut);
/* How far they are, for those who wait. */
void pp_answer_tell(const pp_answerer *a);
/* Asks a->against what comes after the prompt, and after each token of the answer, its end too (task_against.c). 0 or an exit code. */
int pp_answer_against(pp_answerer *a, size_t row, const int32_t *ids, const pippin_generate_result *r);
/* All rows with labels of a->choices, or those that were done at Ctrl-C. The same. */
int pp_answer_labels(pp_answerer *a);

#endif
