/* Checks of models: what the worker (runs the model on one device) and the judge (compares what the workers answer) share.  Private to
 * check. */
#ifndef AVAL_CHECK_MODEL_H
#define AVAL_CHECK_MODEL_H

#include "check/bundle.h"
#include "exec/exec.h"

/* Values of the model's graph. */
typedef struct aval__model_values {
    AVAL__VEC(aval_value *) at;
} aval__model_values;

/* Whatever its size says that the caller does not know is zero. */
aval_check_model aval__model_taken(const aval_check_model *model);
/* Does a step compute this? */
bool aval__model_has(const aval_check_model *model, const aval_value *value);
/* What a step computes: the one value of `only`, or what is wanted, what is differentiated, and every gradient that the graph asks for. */
int aval__model_results(const aval_check_model *model, aval__model_values *out);
/* What the referee can tell of: what is differentiated, or else what is wanted, but for new contents of states. */
int aval__model_refereed(const aval_check_model *model, aval__model_values *out);
/* It is the new content of a state. */
bool aval__model_updates_state(const aval_value *value);
/* "value loss", "gradient dloss/dW": what a result is called. */
int aval__model_name(const aval_value *value, aval__text *out);

/* States of the store as pieces, and back. */
int aval__model_read_states(aval_store *store, aval__piece_role role, aval__bundle *out);
int aval__model_set_states(aval_store *store, const aval__bundle *from);

#endif
