/* Thresholds, roundings and the clipped line, as expressions.  All but the clipped line have the derivative 0 wherever they have one: they
 * declare it, so that a gradient through them is exactly 0 and no error.  A network behind such a gate never learns (docs/course.md, 14). */
#include "aval/plugin.h"

#define STEPWISE(variable, op_name, op_version, op_domain, text, summary, rule) \
    static const aval_op variable = { \
        .size = sizeof(aval_op), \
        .name = op_name, \
        .domain = op_domain, \
        .since = op_version, \
        .deterministic = 1, \
        .doc = summary, \
        .inputs = AVAL_PORTS({ .name = "X" }), \
        .outputs = AVAL_PORTS({ .name = "Y" }), \
        .expressions = AVAL_TEXTS(text), \
        .zero_gradient = 1, \
        .subgradient = rule, \
        .samples = AVAL_SAMPLES({ .inputs = "[2,3]", .low = -3, .high = 3 }, { .inputs = "[]" }, { .inputs = "[0,3]" }, \
                                { .inputs = "[9]{-2.5,-1.5,-1,-0.5,0,0.5,1,1.5,2.5}", .why = "where it jumps" }, \
                                { .inputs = "[257,259]", .low = -9, .high = 9, .size_class = AVAL_LARGE }), \
    }
STEPWISE(step, "Step", 1, "aval", "X > 0 ? 1 : 0", "1 where X is positive, else 0: an all-or-none gate.", "0 everywhere, at X = 0 too");
STEPWISE(sign, "Sign", 13, NULL, "sign(X)", "-1, 0 or 1.", "0 everywhere, at X = 0 too");
STEPWISE(ceiling, "Ceil", 13, NULL, "ceil(X)", "The least integer that is not below X.", "0 everywhere, at integers too");
STEPWISE(floored, "Floor", 13, NULL, "floor(X)", "The largest integer that is not above X.", "0 everywhere, at integers too");
STEPWISE(rounded, "Round", 11, NULL, "round(X)", "The nearest integer, of two the even one.", "0 everywhere, at halves too");

static const aval_op hard_sigmoid = {
    .size = sizeof(aval_op),
    .name = "HardSigmoid",
    .since = 6,
    .deterministic = 1,
    .doc = "The line alpha X + beta, clipped to 0..1.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS({ .name = "alpha", .type = AVAL_ATTR_FLOAT, .initial = "0.2", .doc = "slope of the line" },
                        { .name = "beta", .type = AVAL_ATTR_FLOAT, .initial = "0.5", .doc = "its value at 0" }),
    .expressions = AVAL_TEXTS("max(0, min(1, alpha * X + beta))"),
    .derivatives = (const char *const[]){ "alpha * X + beta > 0 && alpha * X + beta < 1 ? alpha : 0" },
    .n_derivatives = 1,
    .subgradient = "0 at both ends of the line",
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]", .low = -5, .high = 5 }, { .inputs = "[]" }, { .inputs = "[0,3]" },
                            { .inputs = "[4]{-0.5,0.25,0.75,2}", .attrs = "alpha=1 beta=0", .why = "the gate of a linear zone" },
                            { .inputs = "[3]{0,0.5,1}", .attrs = "alpha=1 beta=0", .flags = AVAL_NO_GRADIENT_CHECK, .why = "kinks" }),
};

static const aval_op *const ops[] = { &step, &sign, &ceiling, &floored, &rounded, &hard_sigmoid, NULL };

AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = {
    .abi = AVAL_PLUGIN_ABI,
    .size = sizeof(aval_plugin),
    .name = "threshold",
    .version = "0.1.0",
    .ops = ops,
};
