/* What `aval tune` and `aval bench tune` share: the products of a net or of one shape, tuned. */
#ifndef AVAL_CLI_TUNE_H
#define AVAL_CLI_TUNE_H

#include "cli.h"
#include "nets.h"

typedef struct tune_shape {
    int64_t m, n, k; /* [m, n] = [m, k] [k, n] */
} tune_shape;

/* "512x512x784" */
bool tune_shape_read(const char *text, tune_shape *out);
/* As aval_session_tune; return a status. */
int tune_product(aval_context *ctx, const tune_shape *shape, const aval_tune_options *options, aval_tune_function report, void *user,
                 size_t *left);
int tune_net(aval_context *ctx, const net_kind *kind, int64_t batch, const aval_tune_options *options, aval_tune_function report,
             void *user, size_t *left);

#endif
