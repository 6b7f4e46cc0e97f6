/* inspect.h - between inspect.c (the command, JSON) and describe.c (the tables for people). */
#ifndef PP_CLI_INSPECT_H
#define PP_CLI_INSPECT_H

#include "cli/cli.h"

json_t *pp_inspect_json(const pp_subject *subject);
int pp_inspect_print(const pp_subject *subject, bool markdown);
int pp_inspect_compare(const pp_subject *subjects, size_t n, bool markdown);

const char *pp_inspect_arch(const pippin_config *config);    /* as config.json's model_type says it */
int32_t pp_inspect_max_context(const pippin_config *config); /* 0: not known */
pippin_plan pp_inspect_plan(const pp_subject *subject, pippin_type type);

#endif
