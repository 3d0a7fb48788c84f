/* Helpers for plugins, inline because a plugin links nothing.  A part of aval/plugin.h, which includes it. */
#ifndef AVAL_PLUGIN_HELP_H
#define AVAL_PLUGIN_HELP_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All that a plugin exports, at the end of its C file.  Sources are AVAL_SOURCES({ "x.cl", x_cl }), or NULL where there are no kernels:
       AVAL_PLUGIN("roll", "1.0", AVAL_SOURCES({ "roll.cl", roll_cl }), &roll) */
#define AVAL_SOURCES(...) AVAL_ROWS(aval_kernel_source, __VA_ARGS__, { 0 })
#define AVAL_PLUGIN(plugin_name, plugin_version, plugin_sources, ...) \
    static const aval_op *const aval_plugin_ops[] = { __VA_ARGS__, NULL }; \
    AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry; \
    const aval_plugin aval_plugin_entry = { .abi = AVAL_PLUGIN_ABI, \
                                            .size = sizeof(aval_plugin), \
                                            .name = (plugin_name), \
                                            .version = (plugin_version), \
                                            .ops = aval_plugin_ops, \
                                            .sources = (plugin_sources) };

/* An axis counted from the end when negative; -1 when it is out of range. */
static inline int64_t aval_axis(int64_t axis, uint32_t rank)
{
    if (axis < 0) axis += (int64_t)rank;
    return axis < 0 || axis >= (int64_t)rank ? -1 : axis;
}

/* The unsigned integer type of the same size, which stands for all types of that size in kernels that move elements and do not compute
   with them: as `.s_type = aval_carrier(type)` of a launch it makes one program a size, and serves AVAL_STORED. */
static inline uint32_t aval_carrier(aval_type type)
{
    const uint64_t set = AVAL_TYPE_SET(type);
    const uint64_t fours = AVAL_TYPE_SET(AVAL_FLOAT) | AVAL_TYPE_SET(AVAL_INT32) | AVAL_TYPE_SET(AVAL_UINT32);
    const uint64_t eights = AVAL_TYPE_SET(AVAL_DOUBLE) | AVAL_TYPE_SET(AVAL_INT64) | AVAL_TYPE_SET(AVAL_UINT64);
    const uint64_t twos =
        AVAL_TYPE_SET(AVAL_FLOAT16) | AVAL_TYPE_SET(AVAL_BFLOAT16) | AVAL_TYPE_SET(AVAL_INT16) | AVAL_TYPE_SET(AVAL_UINT16);
    return (set & fours) != 0 ? AVAL_UINT32 : (set & eights) != 0 ? AVAL_UINT64 : (set & twos) != 0 ? AVAL_UINT16 : AVAL_UINT8;
}

/* A tensor seen as outer x length x inner around one axis. */
typedef struct aval_split {
    int64_t outer, length, inner;
} aval_split;

static inline aval_split aval_split_at(const aval_host *host, const aval_tensor *t, int64_t axis)
{
    aval_split s = { 1, 1, 1 };
    uint32_t rank = host->rank(t);
    const int64_t *dims = host->dims(t);
    for (uint32_t i = 0; i < rank; i++) {
        if ((int64_t)i < axis) s.outer *= dims[i];
        else if ((int64_t)i == axis) s.length = dims[i];
        else s.inner *= dims[i];
    }
    return s;
}

/* The axis of t that the int attribute `attr` names, which may count from the end; a scalar has axis 0.  One that t has not fails the call: -1. */
static inline int64_t aval_axis_along(const aval_host *host, aval_call *call, const aval_tensor *t, const char *attr)
{
    int64_t given = host->attr_int(call, attr), axis = aval_axis(given, host->rank(t) > 0 ? host->rank(t) : 1);
    if (axis < 0)
        host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "%s: expected an axis of a tensor that has %u, found %lld", attr,
                   (unsigned)host->rank(t), (long long)given);
    return axis;
}

/* The same around the axis that `attr` names.  Of a scalar, axis 0 and -1 are its one line of one element. */
static inline aval_split aval_split_along(const aval_host *host, aval_call *call, const aval_tensor *t, const char *attr)
{
    return aval_split_at(host, t, aval_axis_along(host, call, t, attr));
}

/* Lines along the axis: outer * inner.  Line l begins at element aval_line(s, l) and has s.length elements, s.inner apart; kernels see the same by
   lines.clh, with the arguments AVAL_SPLIT(s). */
static inline uint64_t aval_lines(aval_split s)
{
    return (uint64_t)(s.outer * s.inner);
}
static inline int64_t aval_line(aval_split s, uint64_t number)
{
    int64_t line = (int64_t)number;
    return line / s.inner * s.length * s.inner + line % s.inner;
}
#define AVAL_SPLIT(s) AVAL_I64((s).outer *(s).inner), AVAL_I64((s).length), AVAL_I64((s).inner)

/* A launch of a work-item for each line of s.  The kernel takes the arguments that are given, and after them those of AVAL_SPLIT(s):
       host->launch(call, AVAL_LINES("prefix_max", s, AVAL_READ(x), AVAL_WRITE(y))) */
#define AVAL_LINES(kernel_name, s, ...) \
    AVAL_LAUNCH(.kernel = (kernel_name), .global = { aval_lines(s) }, AVAL_ARGS(__VA_ARGS__, AVAL_SPLIT(s)))

/* Members of an aval_op: named in a domain, with equal bits on every run, an input X and an output Y of its type.  With other ports an op writes them out. */
#define AVAL_OP_OF_X(op_domain, op_name, op_since) \
    .size = sizeof(aval_op), .name = (op_name), .domain = (op_domain), .since = (op_since), .deterministic = 1, \
    .inputs = AVAL_PORTS({ .name = "X" }), .outputs = AVAL_PORTS({ .name = "Y" })

/* The int attribute `axis`, counted from the end when negative: a row of AVAL_ATTRS, beside others. */
#define AVAL_AXIS \
    { \
        .name = "axis", .type = AVAL_ATTR_INT, .initial = "-1", .doc = "along which, from the end when negative" \
    }

/* Members of an aval_op that works along one axis and has no other attribute. */
#define AVAL_OP_ALONG_AXIS(op_domain, op_name, op_since) AVAL_OP_OF_X(op_domain, op_name, op_since), .attrs = AVAL_ATTRS(AVAL_AXIS)

/* Infer: output `out` has the shape and type of input `in`. */
static inline int aval_infer_like(const aval_host *host, aval_call *call, size_t out, size_t in)
{
    const aval_tensor *x = host->input(call, in);
    return host->set_output(call, out, host->type(x), host->rank(x), host->dims(x));
}

/* Infer: output 0 is input 0 without the axis that the int attribute `axis` names: one element a line, in the order of the lines.  A scalar, whose one line
   has one element, stays one.  An axis that the input has not fails the call. */
static inline int aval_infer_drop_axis(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    const int64_t *dims = host->dims(x);
    int64_t kept[AVAL_MAX_RANK] = { 0 }, axis = aval_axis_along(host, call, x, "axis");
    uint32_t rank = host->rank(x), n = 0;
    if (axis < 0) return AVAL_PLUGIN_BAD_ARGUMENT;
    for (uint32_t i = 0; i < rank; i++)
        if ((int64_t)i != axis) kept[n++] = dims[i];
    return host->set_output(call, 0, host->type(x), n, kept);
}

/* Infer: output `out` has element type `type` and the shape that all inputs broadcast to (numpy's rule). */
static inline int aval_infer_broadcast(const aval_host *host, aval_call *call, size_t out, aval_type type)
{
    int64_t dims[AVAL_MAX_RANK];
    uint32_t rank = 0;
    for (size_t i = 0; i < host->n_inputs(call); i++) {
        const aval_tensor *t = host->input(call, i);
        if (t != NULL && host->rank(t) > rank) rank = host->rank(t);
    }
    for (uint32_t d = 0; d < rank; d++) dims[d] = 1;
    for (size_t i = 0; i < host->n_inputs(call); i++) {
        const aval_tensor *t = host->input(call, i);
        uint32_t first = t == NULL ? rank : rank - host->rank(t);
        for (uint32_t d = first; d < rank; d++) {
            int64_t length = host->dims(t)[d - first];
            if (length == 1 || length == dims[d]) continue;
            if (dims[d] != 1)
                return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %zu has length %lld at axis %u of the result, expected 1 or %lld", i,
                                  (long long)length, (unsigned)d, (long long)dims[d]);
            dims[d] = length;
        }
    }
    return host->set_output(call, out, type, rank, dims);
}

#ifdef __cplusplus
}
#endif
#endif
