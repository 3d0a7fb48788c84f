/* The referee of a whole graph: what a session's next run would compute, in double on the host by the operators' references.  Private to
 * check. */
#ifndef AVAL_CHECK_GRAPH_REFEREE_H
#define AVAL_CHECK_GRAPH_REFEREE_H

#include "exec/exec.h"

typedef struct aval__graph_referee {
    aval_graph *copy; /* expanded, for the host */
    aval_value *of; /* in the copy: what is computed */
    aval__host_tensor *contents; /* of the inputs and states that it is computed from, by value id; may be moved between evaluations */
    const aval__host_tensor **given; /* the same as the interpreter takes it; NULL: not needed */
    size_t count; /* values of the user's graph */
} aval__graph_referee;

/* `of`: a value of the session's graph, of which no gradient is a part.  For aval__graph_referee_close, after a failure too. */
int aval__graph_referee_open(aval_session *s, const aval_value *of, aval__graph_referee *out);
void aval__graph_referee_close(aval__graph_referee *r);
/* All values that it needs, by value id; those of the user's graph have their ids. */
int aval__graph_referee_all(const aval__graph_referee *r, aval__interpretation *out);
/* `of` alone; *result is made. */
int aval__graph_referee_evaluate(const aval__graph_referee *r, aval__host_tensor *result);

#endif
