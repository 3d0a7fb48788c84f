/* What folders of failures, of operators (failure.c) and of models (model_failure.c), are made of.  Private to check. */
#ifndef AVAL_CHECK_FAILURE_H
#define AVAL_CHECK_FAILURE_H

#include "plan/plan.h"

#include <jansson.h>

#define AVAL__FAILURE_FORMAT 1 /* of case.json */

/* It may be there already. */
int aval__failure_make_folder(const char *path);
int aval__failure_write_text(const char *folder, const char *name, const char *text);
/* What case.json says of a device, by which a replay finds it again; NULL: no memory. */
json_t *aval__failure_describe_device(const aval_device_info *info, size_t number);
/* case.json; `all` is released. */
int aval__failure_write_case(const char *folder, json_t *all);
/* The source of the plan's step, where no launch before has the same with equal options; NULL: there is nothing new. */
const aval__source *aval__failure_new_source(const aval__plan *plan, size_t step);
/* kernel_NUMBER_NAME, and a line of `list` with its build options. */
int aval__failure_write_source(const char *folder, size_t number, const char *name, const char *options, const char *text,
                               aval__text *list);
/* KIND_NAME.npy; a tensor without content leaves none. */
int aval__failure_write_tensor(const char *folder, const char *kind, const char *name, const aval__host_tensor *t);

#endif
