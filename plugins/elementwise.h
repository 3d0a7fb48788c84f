/* What the plugins of pointwise operators share: ports, samples and rows.  An operator is a row: its expression in the names of its inputs,
 * outputs and numeric attributes, from which the runtime derives gradients and kernels.  Derivatives written in a row are those that are
 * numerically better or cheaper than the derived ones, mostly because they need the output only.  `since` is the oldest opset whose form the
 * row computes. */
#ifndef AVAL_PLUGINS_ELEMENTWISE_H
#define AVAL_PLUGINS_ELEMENTWISE_H

#include "aval/plugin.h"

#define PORT(port_name, type_set) \
    { \
        .name = port_name, .types = (type_set) \
    }
#define PORT_LIKE(port_name, type_set, other) \
    { \
        .name = port_name, .types = (type_set), .like = AVAL_LIKE(other) \
    }
#define IN(port_name) PORT(port_name, AVAL_NUMBERS)
#define IN_LIKE(port_name, other) PORT_LIKE(port_name, AVAL_NUMBERS, other)
#define REAL(port_name) PORT(port_name, AVAL_FLOATS)
#define REAL_LIKE(port_name, other) PORT_LIKE(port_name, AVAL_FLOATS, other)
#define BOOL(port_name) PORT(port_name, AVAL_BOOLS)
#define OUT(port_name) PORT(port_name, AVAL_ANY)

/* Shapes that every op of one input meets. */
#define UNARY_SHAPES(range_low, range_high) \
    { .inputs = "[2,3]", .low = (range_low), .high = (range_high) }, { .inputs = "[]", .low = (range_low), .high = (range_high) }, \
        { .inputs = "[0,3]" }, { .inputs = "[1]", .low = (range_low), .high = (range_high) }, \
        { .inputs = "[1,2,1,3,1,2,1,2]", .low = (range_low), .high = (range_high) }, \
    { \
        .inputs = "[257,259]", .low = (range_low), .high = (range_high), .size_class = AVAL_LARGE \
    }
/* ... and of two inputs. */
#define BINARY_SHAPES(range_low, range_high) \
    { .inputs = "[2,3] [2,3]", .low = (range_low), .high = (range_high) }, \
        { .inputs = "[2,1,3] [4,1]", .low = (range_low), .high = (range_high) }, \
        { .inputs = "[] []", .low = (range_low), .high = (range_high) }, \
        { .inputs = "[2,3] []", .low = (range_low), .high = (range_high) }, { .inputs = "[0,3] [3]" }, \
        { .inputs = "[1] [1]", .low = (range_low), .high = (range_high) }, \
        { .inputs = "[1,2,1,3,1,2,1,2] [2,1,2,1,3,1,2,1]", .low = (range_low), .high = (range_high) }, \
    { \
        .inputs = "[257,259] [259]", .low = (range_low), .high = (range_high), .size_class = AVAL_LARGE \
    }
#define INTEGERS(text) \
    { \
        .inputs = text, .why = "integers" \
    }
#define KINK(text) \
    { \
        .inputs = text, .flags = AVAL_NO_GRADIENT_CHECK, .why = "kinks and ties: differences say nothing there" \
    }

/* What the rows have in common. */
#define ELEMENTWISE(op_name, op_version, text) \
    .size = sizeof(aval_op), .name = op_name, .since = op_version, .deterministic = 1, .expressions = AVAL_TEXTS(text)
#define DERIVATIVES(...) \
    .derivatives = (const char *const[]){ __VA_ARGS__ }, .n_derivatives = sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)

/* A row of one input and one output of floats; what follows are its samples and, where it has them, derivatives, attributes ... */
#define UNARY(variable, op_name, op_version, in, out, text, summary, ...) \
    static const aval_op variable = { ELEMENTWISE(op_name, op_version, text), .doc = summary, .inputs = AVAL_PORTS(REAL(in)), \
                                      .outputs = AVAL_PORTS(REAL(out)), __VA_ARGS__ }
#define FLOAT_ATTR(attr_name, value, text) \
    { \
        .name = attr_name, .type = AVAL_ATTR_FLOAT, .initial = value, .doc = text \
    }

static inline int infer_first(const aval_host *host, aval_call *call)
{
    return aval_infer_broadcast(host, call, 0, host->type(host->input(call, 0)));
}

#endif
