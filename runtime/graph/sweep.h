/* The state of one reverse sweep; shared by sweep.c and the messages of nopath.c. */
#ifndef AVAL_GRAPH_SWEEP_H
#define AVAL_GRAPH_SWEEP_H

#include "graph/parts.h"

typedef struct aval__sweep {
    aval_graph *g;
    aval_value *of;
    bool strict;
    aval__arena arena; /* the arrays by value id, which hold the values there were when the sweep began */
    aval_node **nodes; /* that `of` needs, producers first */
    size_t n_nodes;
    bool *reached; /* depends on a value whose gradient is wanted */
    bool *active; /* and `of` depends on it: has a gradient */
    bool *own; /* its gradient so far is the output of one backward recorder, made for it alone */
    aval_value **gradient; /* sum of the contributions so far */
} aval__sweep;

/* Whether a gradient passes from a node's outputs to its input i. */
typedef enum aval__link {
    AVAL__LINK_OPEN,
    AVAL__LINK_TYPE, /* integers and bools have none; the input may be absent, too */
    AVAL__LINK_ZERO /* the derivative is 0 everywhere */
} aval__link;
int aval__sweep_link(const aval__sweep *s, const aval_node *node, size_t i, aval__link *link);
bool aval__is_float(const aval_value *value);

/* No path leads from `wrt` to s->of: an error when strict, else a warning; both say where each path stops. */
int aval__sweep_report_no_path(aval__sweep *s, const aval_value *wrt);

#endif
