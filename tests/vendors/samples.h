/* An operator's sample as a graph of one node with all its gradients, to be planned and not run. */
#ifndef AVAL_TEST_VENDORS_SAMPLES_H
#define AVAL_TEST_VENDORS_SAMPLES_H

#include "graph/graph.h"

typedef struct sample_graph {
    const aval__opdef *def;
    aval__arena arena;
    aval_graph *g;
    aval__sample_input *inputs;
    aval_value **values; /* NULL: absent */
    size_t n_inputs;
    AVAL__VEC(aval_value *) wanted;
} sample_graph;

/* `type` is given to the inputs that follow the type under test; *exists is false when one of them does not take it, and then there is no
   graph.  `heads`: what ports say may be made by the kernels that read it is a sum of two inputs.  For sample_graph_release, on failure too. */
int sample_graph_make(aval_context *ctx, const aval__opdef *def, const aval_sample *sample, int type, bool heads, bool *exists,
                      sample_graph *out);
void sample_graph_release(sample_graph *s);

#endif
