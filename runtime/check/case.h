/* A case: one sample of one operator in one element type, as a graph of one node with its contents.  Private to check. */
#ifndef AVAL_CHECK_CASE_H
#define AVAL_CHECK_CASE_H

#include "check/check.h"

typedef struct aval__case_gradient {
    size_t output, input; /* d(upstream of output . output) / d(input) */
    aval_value *value; /* the request in the graph */
} aval__case_gradient;

typedef struct aval__case {
    aval_context *ctx;
    const aval__opdef *def;
    const aval_sample *sample;
    int type; /* under test */
    uint64_t seed;

    aval_graph *graph;
    aval_store *store;
    aval_node *node;
    size_t n_inputs;
    aval_value **values; /* NULL: absent */
    aval__host_tensor *inputs; /* contents, rounded to their storage type, so that device and referee see the same numbers */
    size_t n_outputs;
    aval_value **outputs;
    aval_value **upstream_values; /* NULL: that output is no float */
    aval__host_tensor *upstreams;
    size_t n_gradients;
    aval__case_gradient *gradients;
    aval__arena arena;
} aval__case;

/* *skip says why this sample does not exist in this type; NULL: it does, and *c is made (for aval__case_release, on failure too). */
int aval__case_make(aval_context *ctx, const aval__opdef *def, size_t sample, int type, uint64_t seed, bool gradients, aval__case *c,
                    const char **skip);
void aval__case_release(aval__case *c);

/* Runs the case on the context's first device in guarded mode.  Results are by output and by gradient; made here, the caller's. */
int aval__case_run(aval__case *c, aval__host_tensor *outputs, aval__host_tensor *gradients);

/* ---- The referee ---- */

/* The outputs for these inputs in double on the host; made here, the caller's. */
int aval__referee_forward(const aval__case *c, const aval__host_tensor *inputs, aval__host_tensor *outputs);
/* Per element, how far an output moves when the inputs' elements move by a relative unit with random signs: what sums of large terms that
   cancel are measured by.  `scales` has one array an output, of its size. */
int aval__referee_scales(const aval__case *c, const aval__host_tensor *outputs, double *const *scales);

/* Derivatives by centred differences of the referee, for all outputs at once: element by element up to AVAL__EACH_ELEMENT elements, above
   that along one random direction of signs within each block of at most AVAL__BLOCK elements. */
#define AVAL__EACH_ELEMENT 1024
#define AVAL__BLOCK 4096
typedef struct aval__differences {
    size_t count; /* elements, or blocks */
    size_t block; /* elements in a direction: 1, or AVAL__BLOCK */
    double **by_output; /* [n_outputs][count]; NULL where the output has no upstream */
    double *signs; /* [elements of the input] when block > 1, else NULL */
} aval__differences;
int aval__referee_differences(const aval__case *c, size_t input, aval__differences *d);
void aval__differences_release(aval__differences *d, size_t n_outputs);

/* A number in [0, 1) that depends on nothing but its arguments. */
double aval__check_random(uint64_t seed, uint64_t stream, uint64_t index);

#endif
