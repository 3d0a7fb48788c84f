/* my::NewOp: x / (1 + a |x|).  The formula is all there is: shapes, gradient and reference follow from it.
 * Change the formula, its words and its samples, and run ./check.sh; share/doc/aval/docs/writing-operators.md, where aval is installed, leads through it. */
#include "aval/plugin.h"

static const aval_op new_op_definition = {
    .size = sizeof(aval_op),
    .name = "NewOp",
    .domain = "my",
    .since = 1,
    .deterministic = 1,
    .doc = "x / (1 + a |x|), a squashing without exponentials.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS({ .name = "a", .type = AVAL_ATTR_FLOAT, .initial = "1", .doc = "how fast it bends" }),
    .expressions = AVAL_TEXTS("X / (1 + a * abs(X))"),
    .subgradient = "1 at 0", /* where the derivative jumps, or NULL */
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]" }, { .inputs = "[]", .attrs = "a=0.5" }, { .inputs = "[0]" },
                            { .inputs = "[512,1024]", .size_class = AVAL_LARGE }),
};

AVAL_PLUGIN("new_op", "0.1.0", NULL, &new_op_definition)
