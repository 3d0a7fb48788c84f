/* Networks to measure with: training steps and inference of known networks on random data, built through the public API. */
#ifndef AVAL_CLI_NETS_H
#define AVAL_CLI_NETS_H

#include "aval/aval.h"

#include <stdbool.h>

#define NETS_MOST_PARAMETERS 256

typedef struct net {
    const char *name;
    aval_context *ctx;
    aval_model *model; /* NULL: a known network */
    aval_graph *g; /* these two are the model's where there is one */
    aval_store *store; /* parameters, velocities, running statistics, learning rate: all with a content */
    int64_t batch;
    bool inference; /* the result is wanted, nothing is learnt */
    aval_value *input, *labels; /* labels: NULL for nets that learn to give 0, and in inference */
    aval_value *output;
    size_t classes;
    aval_value *parameters[NETS_MOST_PARAMETERS];
    size_t n_parameters;
    aval_value *loss;
    aval_value *wanted[1 + 2 * NETS_MOST_PARAMETERS]; /* the output; of a training step: the loss, then each parameter's update */
    size_t n_wanted;
    int status; /* first error of the store */
} net;

typedef struct net_kind {
    const char *name;
    const char *doc;
    const int64_t *batches; /* that are measured where the user names none; ends with 0 */
    void (*build)(net *n);
    bool inference; /* measured so, not in training */
} net_kind;

extern const net_kind net_kinds[]; /* ends with a NULL name */
const net_kind *net_find(const char *name); /* NULL: none */

/* Graph and store of a training step, or of inference; net_close in either case.  Returns a status. */
int net_open(aval_context *ctx, const net_kind *kind, int64_t batch, bool inference, net *n);
/* Inference of the model in an ONNX file; free first axes of its inputs are the batch.  `file` is its name, and must outlive it. */
int net_open_model(aval_context *ctx, const char *file, int64_t batch, net *n);
void net_close(net *n);
/* Gives a session of the net's graph random examples; integers and bools that a model reads are 0. */
int net_feed(const net *n, aval_session *s);

#endif
