/* Known answers at first use: before a plan uses a kernel on a device for the first time, a small case of it is run there and compared with the
 * host's referee.  The verdict is remembered beside the programs.
 *
 * What is tried is a unit of a plan: a cluster of expressions, with its own kernel, on inputs of a few elements; or one operator given by
 * kernels, forward or backward, on its smallest sample. */
#ifndef AVAL_EXEC_KNOWN_H
#define AVAL_EXEC_KNOWN_H

#include "exec/context.h"

/* A case: a graph of its own whose inputs have contents. */
typedef struct aval__known {
    aval_context *ctx;
    aval_graph *graph;
    aval_store *store;
    size_t n_inputs;
    aval_value **values; /* NULL: absent */
    aval__host_tensor *contents; /* as the element type holds them */
    size_t n_wanted;
    aval_value **wanted; /* outputs; with `differentiate` only the first, which is what is differentiated */
    bool differentiate;
    aval_value *upstream;
    aval__host_tensor weights; /* content of `upstream` */
    aval_value **gradients; /* by input, NULL: none */
    double atol, rtol; /* rtol is of a tensor's largest element */
    aval__arena arena;
} aval__known;

/* known_case.c.  `draw`: which of the possible contents.  *exists false: there is no such case, and nothing to say against the device. */
int aval__known_make(aval_context *ctx, uint32_t device, const aval__plan_unit *unit, unsigned draw, aval__known *k, bool *exists);
/* A node at its full size, forward with all outputs or backward with the gradients that it gives.  Contents come with aval__known_fill; before a run that
   is compared, aval__known_reset puts those of states back. */
int aval__known_make_node(aval_context *ctx, uint32_t device, const aval_node *node, aval__known *k);
int aval__known_fill(aval__known *k);
int aval__known_reset(aval__known *k);
void aval__known_release(aval__known *k);

/* known_run.c.  AVAL_E_CHECK with what differs; other failures are the device's too. */
int aval__known_run(aval__known *k);
/* Its parts: contents given to a session; what is to be run (at most n_wanted + n_inputs values), as a count; a result; what the host finds for each of
   `wanted`; and AVAL_E_CHECK where two differ.  Host tensors are for aval__host_tensor_release. */
int aval__known_feed(const aval__known *k, aval_session *s);
size_t aval__known_list(const aval__known *k, aval_value **results);
int aval__known_read(aval_session *s, const aval_value *value, const aval_tensor *shape, aval__host_tensor *out);
int aval__known_expect(const aval__known *k, aval__host_tensor *out);
int aval__known_compare(const aval__known *k, const aval__host_tensor *found, const aval__host_tensor *expected);

#endif
