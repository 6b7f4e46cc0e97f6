/* hooks.h - private to base: the hooks in force. */
#ifndef PP_BASE_HOOKS_H
#define PP_BASE_HOOKS_H

#include "pippin.h"

const pippin_hooks *pp_hooks(void);

#endif
