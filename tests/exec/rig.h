/* What the tests of exec stand on: a context with the built plugins on one device, and shorthands that fail the test when they fail. */
#ifndef AVAL_TEST_RIG_H
#define AVAL_TEST_RIG_H

#include "exec/exec.h"
#include "layer/layer.h"

typedef struct rig {
    aval_context *context;
    aval_graph *graph;
    aval_store *store;
    aval_session *session;
} rig;

/* Sets what OpenCL and aval read from the environment; before the first OpenCL call of a test.  `platforms`: NULL for PoCL alone. */
void rig_environment(const char *platforms);
/* Context on the best device, with an empty graph, store and session. */
void rig_open(rig *r);
void rig_close(rig *r);
/* The OpenCL layer under this process; skips nothing: a test that asks for it needs it. */
const aval_layer *rig_layer(void);

aval_value *rig_input(rig *r, const char *name, int64_t count); /* float[count] */
aval_value *rig_state(rig *r, const char *name, int64_t count, float value); /* float[count], in the store too */
aval_value *rig_scalar_state(rig *r, const char *name, float value);
void rig_feed(rig *r, aval_value *input, const float *data, size_t count);
void rig_run(rig *r, aval_value *const *wanted, size_t n_wanted);
/* Runs what is wanted, closes the rig, and gives the bytes of all of it, one behind the other, with the plan's text: to be freed by free and
   aval_free. */
size_t rig_outcome(rig *r, aval_memory_mode mode, aval_value *const *wanted, size_t n_wanted, unsigned char **bytes, char **plan);
float rig_first(rig *r, aval_value *value, size_t count); /* first element of a value of `count` floats */
aval_counters rig_counters(rig *r);

#define RIG_OK(call) cr_assert_eq((call), AVAL_OK, "%s", aval_error())

#endif
