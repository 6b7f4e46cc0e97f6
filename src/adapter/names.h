/* names.h - private to adapter: what each convention calls the A and B of a site. */
#ifndef PP_ADAPTER_NAMES_H
#define PP_ADAPTER_NAMES_H

#include "adapter/adapter.h"

enum { PP_ADAPTER_NAME = 200 };

/* toolkit: the toolkit's names, else mlx-lm's. */
void pp_adapter_tensor_name(const pippin_config *c, bool toolkit, int32_t layer, pp_site site, bool b,
                            char name[PP_ADAPTER_NAME]);

#endif
