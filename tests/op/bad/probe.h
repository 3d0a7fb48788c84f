/* A small plugin with one expression op, right in every field.  A file that plants a mistake defines the macro of its field before
 * it includes this. */
#include "aval/plugin.h"

#ifndef PROBE_ABI
#define PROBE_ABI AVAL_PLUGIN_ABI
#endif
#ifndef PROBE_SIZE
#define PROBE_SIZE sizeof(aval_plugin)
#endif
#ifndef PROBE_OP_SIZE
#define PROBE_OP_SIZE sizeof(aval_op)
#endif
#ifndef PROBE_NAME
#define PROBE_NAME "Probe"
#endif
#ifndef PROBE_EXPRESSION
#define PROBE_EXPRESSION "alpha * x"
#endif
#ifndef PROBE_N_DERIVATIVES
#define PROBE_N_DERIVATIVES 1
#endif
#ifndef PROBE_SAMPLES
#define PROBE_SAMPLES AVAL_SAMPLES({ .inputs = "[2,3]" })
#endif
#ifndef PROBE_OPS
#define PROBE_OPS &probe, NULL
#endif

static const aval_op probe = {
    .size = PROBE_OP_SIZE,
    .name = PROBE_NAME,
    .domain = "test",
    .since = 1,
    .doc = "The input, scaled.",
    .inputs = AVAL_PORTS({ .name = "x" }),
    .outputs = AVAL_PORTS({ .name = "y" }),
    .attrs = AVAL_ATTRS({ .name = "alpha", .type = AVAL_ATTR_FLOAT, .initial = "0.5" }),
    .expressions = AVAL_TEXTS(PROBE_EXPRESSION),
    .derivatives = AVAL_TEXTS("alpha"),
    .n_derivatives = PROBE_N_DERIVATIVES,
    .deterministic = 1,
    .samples = PROBE_SAMPLES,
};

static const aval_op *const ops[] = { PROBE_OPS };

#ifndef PROBE_NO_SYMBOL
AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = { .abi = PROBE_ABI, .size = PROBE_SIZE, .name = "probe", .version = "1", .ops = ops };
#else
AVAL_PLUGIN_EXPORT extern const aval_op *const *const some_other_symbol;
const aval_op *const *const some_other_symbol = ops;
#endif
