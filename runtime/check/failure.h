/* What folders of failures, of operators (failure.c) and of models (model_failure.c), are made of.  Private to check. */
#ifndef AVAL_CHECK_FAILURE_H
#define AVAL_CHECK_FAILURE_H

#include "op/op.h"

#define AVAL__FAILURE_FORMAT 1 /* of case.json */

/* It may be there already. */
int aval__failure_make_folder(const char *path);
int aval__failure_write_text(const char *folder, const char *name, const char *text);
/* KIND_NAME.npy; a tensor without content leaves none. */
int aval__failure_write_tensor(const char *folder, const char *kind, const char *name, const aval__host_tensor *t);

#endif
