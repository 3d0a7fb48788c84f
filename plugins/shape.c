/* Views: operators that give the same elements another shape, at no cost.  Reshape, Flatten, Squeeze, Unsqueeze, Identity.  All are aliases
 * of their input; their gradients are reshapes back. */
#include "support.h"

static int alias_forward(const aval_host *host, aval_call *call)
{
    return host->alias(call, host->output(call, 0), host->input(call, 0), 0);
}

static int alias_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *g;
    TRY(reshaped(host, call, host->upstream(call, 0), host->rank(x), host->dims(x), &g));
    return host->yield(call, 0, g);
}

static int alias_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    for (int64_t i = 0; i < host->count(x); i++) move_element(host, call, host->output(call, 0), i, x, i);
    return 0;
}

/* 0 stands for the input's length at that axis (unless allowzero), one -1 for what is left. */
static int reshape_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t dims[AVAL_MAX_RANK], rest = -1;
    size_t rank;
    TRY(known_ints(host, call, 1, "shape", dims, AVAL_MAX_RANK, &rank));
    for (size_t i = 0; i < rank; i++) {
        if (dims[i] == 0 && !host->attr_int(call, "allowzero")) {
            if (i >= host->rank(x))
                return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input shape has a 0 at %zu, but input data has %u axes only", i,
                                  (unsigned)host->rank(x));
            dims[i] = host->dims(x)[i];
        }
        if (dims[i] < -1 || (dims[i] == -1 && rest >= 0))
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input shape has %lld at %zu, expected lengths and at most one -1",
                              (long long)dims[i], i);
        if (dims[i] == -1) rest = (int64_t)i;
    }
    if (rest >= 0) {
        dims[rest] = 1;
        int64_t known = product(dims, rank);
        dims[rest] = known == 0 ? 0 : host->count(x) / known;
    }
    if (product(dims, rank) != host->count(x))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input data has %lld elements, which do not fill the wanted shape of %lld",
                          (long long)host->count(x), (long long)product(dims, rank));
    return host->set_output(call, 0, host->type(x), (uint32_t)rank, dims);
}

static int flatten_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t rank = host->rank(x), axis = host->attr_int(call, "axis");
    if (axis < 0) axis += rank;
    if (axis < 0 || axis > rank)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute axis is %lld, expected -%lld to %lld",
                          (long long)host->attr_int(call, "axis"), (long long)rank, (long long)rank);
    const int64_t dims[] = { product(host->dims(x), (size_t)axis), product(host->dims(x) + axis, (size_t)(rank - axis)) };
    return host->set_output(call, 0, host->type(x), 2, dims);
}

/* Marks `axes` among `rank` ones. */
static int mark_axes(const aval_host *host, aval_call *call, const int64_t *axes, size_t count, uint32_t rank, int *marked)
{
    for (uint32_t i = 0; i < AVAL_MAX_RANK; i++) marked[i] = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t axis = aval_axis(axes[i], rank);
        if (axis < 0 || marked[axis])
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "axes: axis %lld is %s", (long long)axes[i],
                              axis < 0 ? "out of range" : "given twice");
        marked[axis] = 1;
    }
    return 0;
}

/* Without `axes` (NULL) all axes of length 1 go. */
static int squeeze(const aval_host *host, aval_call *call, const int64_t *axes, size_t count)
{
    const aval_tensor *x = host->input(call, 0);
    int marked[AVAL_MAX_RANK];
    int64_t dims[AVAL_MAX_RANK];
    uint32_t rank = 0;
    TRY(mark_axes(host, call, axes, axes == NULL ? 0 : count, host->rank(x), marked));
    for (uint32_t i = 0; i < host->rank(x); i++) {
        int64_t length = host->dims(x)[i];
        if (marked[i] && length != 1)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "axis %u has length %lld, expected 1 to take it away", (unsigned)i,
                              (long long)length);
        if (axes == NULL ? length != 1 : !marked[i]) dims[rank++] = length;
    }
    return host->set_output(call, 0, host->type(x), rank, dims);
}

static int squeeze_infer(const aval_host *host, aval_call *call)
{
    int64_t axes[AVAL_MAX_RANK];
    size_t count;
    TRY(known_ints(host, call, 1, "axes", axes, AVAL_MAX_RANK, &count));
    return squeeze(host, call, host->input(call, 1) == NULL ? NULL : axes, count);
}

static int squeeze_infer_1(const aval_host *host, aval_call *call)
{
    size_t count;
    const int64_t *axes = host->attr_ints(call, "axes", &count);
    return squeeze(host, call, axes, count);
}

static int unsqueeze(const aval_host *host, aval_call *call, const int64_t *axes, size_t count)
{
    const aval_tensor *x = host->input(call, 0);
    int marked[AVAL_MAX_RANK];
    int64_t dims[AVAL_MAX_RANK];
    size_t rank = host->rank(x) + count;
    if (rank > AVAL_MAX_RANK)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "the result would have %zu axes, expected at most %d", rank, AVAL_MAX_RANK);
    TRY(mark_axes(host, call, axes, count, (uint32_t)rank, marked));
    for (uint32_t i = 0, from = 0; i < rank; i++) dims[i] = marked[i] ? 1 : host->dims(x)[from++];
    return host->set_output(call, 0, host->type(x), (uint32_t)rank, dims);
}

static int unsqueeze_infer(const aval_host *host, aval_call *call)
{
    int64_t axes[AVAL_MAX_RANK];
    size_t count;
    TRY(known_ints(host, call, 1, "axes", axes, AVAL_MAX_RANK, &count));
    return unsqueeze(host, call, axes, count);
}

static int unsqueeze_infer_1(const aval_host *host, aval_call *call)
{
    size_t count;
    const int64_t *axes = host->attr_ints(call, "axes", &count);
    return unsqueeze(host, call, axes, count);
}

#define ALIAS(op_name, op_version) \
    .size = sizeof(aval_op), .name = op_name, .since = op_version, .deterministic = 1, .forward = alias_forward, \
    .backward_body = alias_backward, .reference = alias_reference

static const aval_op reshape_op = {
    ALIAS("Reshape", 5),
    .role = AVAL_ROLE_RESHAPE,
    .doc = "The same elements in another shape.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_STORED },
                         { .name = "shape", .flags = AVAL_SHAPE_INPUT, .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .outputs = AVAL_PORTS({ .name = "reshaped", .types = AVAL_STORED }),
    .infer = reshape_infer,
    .zero_gradient = 2,
    .attrs = AVAL_ATTRS({ .name = "allowzero", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: a 0 in shape is a length of 0" }),
    .samples = AVAL_SAMPLES({ .inputs = "[2,6] i64[2]{3,4}" }, { .inputs = "[2,6] i64[3]{0,-1,2}" }, { .inputs = "[1] i64[0]" },
                            { .inputs = "[0,3] i64[2]{3,0}", .attrs = "allowzero=1" }, { .inputs = "i64[4]{1,2,3,4} i64[2]{2,2}" }),
};
static const aval_op flatten_op = {
    ALIAS("Flatten", 1),
    .doc = "A matrix of the same elements: axes before `axis` are its rows.",
    .inputs = AVAL_PORTS({ .name = "input", .types = AVAL_STORED }),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
    .attrs = AVAL_ATTRS({ .name = "axis", .type = AVAL_ATTR_INT, .initial = "1", .doc = "first axis of the columns" }),
    .infer = flatten_infer,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3,4]" }, { .inputs = "[2,3,4]", .attrs = "axis=0" },
                            { .inputs = "[2,3,4]", .attrs = "axis=-1" }, { .inputs = "[0,3]" }),
};
static const aval_op squeeze_op = {
    ALIAS("Squeeze", 13),
    .doc = "Takes axes of length 1 away: those named, or all.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_STORED },
                         { .name = "axes", .flags = AVAL_SHAPE_INPUT | AVAL_OPTIONAL, .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .outputs = AVAL_PORTS({ .name = "squeezed", .types = AVAL_STORED }),
    .infer = squeeze_infer,
    .zero_gradient = 2,
    .samples = AVAL_SAMPLES({ .inputs = "[1,3,1] i64[1]{-1}" }, { .inputs = "[1,3,1]" }, { .inputs = "[1,0] i64[1]{0}" }),
};
static const aval_op squeeze_op_1 = {
    ALIAS("Squeeze", 1),
    .doc = "Takes axes of length 1 away: those named, or all.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_STORED }),
    .outputs = AVAL_PORTS({ .name = "squeezed", .types = AVAL_STORED }),
    .attrs = AVAL_ATTRS({ .name = "axes", .type = AVAL_ATTR_INTS, .doc = "those to take away; all of length 1 without it" }),
    .infer = squeeze_infer_1,
    .samples = AVAL_SAMPLES({ .inputs = "[1,3,1]", .attrs = "axes=[-1]" }, { .inputs = "[1,3,1]" }),
};
static const aval_op unsqueeze_op_1 = {
    ALIAS("Unsqueeze", 1),
    .doc = "Puts in axes of length 1, at the places that they have in the result.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_STORED }),
    .outputs = AVAL_PORTS({ .name = "expanded", .types = AVAL_STORED }),
    .attrs = AVAL_ATTRS({ .name = "axes", .type = AVAL_ATTR_INTS, .required = 1, .doc = "the places" }),
    .infer = unsqueeze_infer_1,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]", .attrs = "axes=[0,-1]" }, { .inputs = "[]", .attrs = "axes=[0]" }),
};
static const aval_op unsqueeze_op = {
    ALIAS("Unsqueeze", 13),
    .doc = "Puts in axes of length 1, at the places that they have in the result.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_STORED },
                         { .name = "axes", .flags = AVAL_SHAPE_INPUT, .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .outputs = AVAL_PORTS({ .name = "expanded", .types = AVAL_STORED }),
    .infer = unsqueeze_infer,
    .zero_gradient = 2,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3] i64[2]{0,-1}" }, { .inputs = "[] i64[1]{0}" }, { .inputs = "[0] i64[1]{1}" }),
};

static const aval_op identity_op = {
    ALIAS("Identity", 1),
    .doc = "The input.",
    .inputs = AVAL_PORTS({ .name = "input", .types = AVAL_STORED }),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]" }, { .inputs = "[]" }, { .inputs = "[0]" }, { .inputs = "b[2]{0,1}" }),
};

AVAL_PLUGIN("shape", "0.1.0", NULL, &reshape_op, &flatten_op, &squeeze_op, &squeeze_op_1, &unsqueeze_op, &unsqueeze_op_1, &identity_op)
