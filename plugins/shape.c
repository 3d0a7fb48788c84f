/* Operators that give the same elements another shape, at no cost: Reshape, Flatten, Squeeze, Unsqueeze; and Fill and Shape, which make
 * tensors from shapes alone.  All are aliases of their input; their gradients are reshapes back. */
#include "support.h"

#include "shape.cl.h"

#define AXES_INPUT \
    { \
        .name = "axes", .flags = AVAL_SHAPE_INPUT, .types = AVAL_TYPE_SET(AVAL_INT64) \
    }

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
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    int floats = (AVAL_FLOATS & AVAL_TYPE_SET(host->type(x))) != 0;
    for (int64_t i = 0; i < host->count(x); i++) {
        if (floats) host->real(call, y)[i] = host->real(call, x)[i];
        else host->integer(call, y)[i] = host->integer(call, x)[i];
    }
    return 0;
}

/* 0 stands for the input's length at that axis (unless allowzero), one -1 for what is left. */
static int reshape_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    const int64_t *wanted = host->content(call, 1);
    int64_t rank = host->count(host->input(call, 1)), dims[AVAL_MAX_RANK], rest = -1, known = 1;
    if (rank > AVAL_MAX_RANK)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input shape has %lld numbers, expected at most %d", (long long)rank, AVAL_MAX_RANK);
    if (wanted == NULL && rank > 0)
        return host->fail(call, AVAL_NEEDS_CONTENT, "input shape: its content is not known when shapes are worked out");
    for (int64_t i = 0; i < rank; i++) {
        dims[i] = wanted[i];
        if (dims[i] == 0 && !host->attr_int(call, "allowzero")) {
            if (i >= (int64_t)host->rank(x))
                return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input shape has a 0 at %lld, but input data has %u axes only", (long long)i,
                                  (unsigned)host->rank(x));
            dims[i] = host->dims(x)[i];
        }
        if (dims[i] < -1 || (dims[i] == -1 && rest >= 0))
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input shape has %lld at %lld, expected lengths and at most one -1",
                              (long long)dims[i], (long long)i);
        if (dims[i] == -1) rest = i;
        else known *= dims[i];
    }
    if (rest >= 0) dims[rest] = known == 0 ? 0 : host->count(x) / known;
    if (product(dims, (size_t)rank) != host->count(x))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input data has %lld elements, which do not fill the wanted shape of %lld",
                          (long long)host->count(x), (long long)product(dims, (size_t)rank));
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

/* Marks the axes that input 1 names, of `rank` axes. */
static int mark_axes(const aval_host *host, aval_call *call, uint32_t rank, int *marked)
{
    const int64_t *axes = host->content(call, 1);
    int64_t count = host->count(host->input(call, 1));
    for (uint32_t i = 0; i < AVAL_MAX_RANK; i++) marked[i] = 0;
    if (axes == NULL && count > 0)
        return host->fail(call, AVAL_NEEDS_CONTENT, "input axes: its content is not known when shapes are worked out");
    for (int64_t i = 0; i < count; i++) {
        int64_t axis = aval_axis(axes[i], rank);
        if (axis < 0 || marked[axis])
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "input axes: axis %lld is %s", (long long)axes[i],
                              axis < 0 ? "out of range" : "given twice");
        marked[axis] = 1;
    }
    return 0;
}

static int squeeze_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int marked[AVAL_MAX_RANK], all = host->n_inputs(call) < 2 || host->input(call, 1) == NULL;
    int64_t dims[AVAL_MAX_RANK];
    uint32_t rank = 0;
    if (!all) TRY(mark_axes(host, call, host->rank(x), marked));
    for (uint32_t i = 0; i < host->rank(x); i++) {
        int64_t length = host->dims(x)[i];
        if (!all && marked[i] && length != 1)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "axis %u has length %lld, expected 1 to take it away", (unsigned)i,
                              (long long)length);
        if (all ? length != 1 : !marked[i]) dims[rank++] = length;
    }
    return host->set_output(call, 0, host->type(x), rank, dims);
}

static int unsqueeze_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int marked[AVAL_MAX_RANK];
    int64_t dims[AVAL_MAX_RANK], rank = host->rank(x) + host->count(host->input(call, 1));
    if (rank > AVAL_MAX_RANK)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "the result would have %lld axes, expected at most %d", (long long)rank,
                          AVAL_MAX_RANK);
    TRY(mark_axes(host, call, (uint32_t)rank, marked));
    for (uint32_t i = 0, from = 0; i < rank; i++) dims[i] = marked[i] ? 1 : host->dims(x)[from++];
    return host->set_output(call, 0, host->type(x), (uint32_t)rank, dims);
}

#define ALIAS(op_name, op_version) \
    .size = sizeof(aval_op), .name = op_name, .since = op_version, .deterministic = 1, .forward = alias_forward, \
    .backward_body = alias_backward, .reference = alias_reference

static const aval_op reshape_op = {
    ALIAS("Reshape", 14),
    .role = AVAL_ROLE_RESHAPE,
    .doc = "The same elements in another shape.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_ANY },
                         { .name = "shape", .flags = AVAL_SHAPE_INPUT, .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .outputs = AVAL_PORTS({ .name = "reshaped", .types = AVAL_ANY }),
    .infer = reshape_infer,
    .zero_gradient = 2,
    .attrs = AVAL_ATTRS({ .name = "allowzero", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: a 0 in shape is a length of 0" }),
    .samples = AVAL_SAMPLES({ .inputs = "[2,6] i64[2]{3,4}" }, { .inputs = "[2,6] i64[3]{0,-1,2}" }, { .inputs = "[1] i64[0]" },
                            { .inputs = "[0,3] i64[2]{3,0}", .attrs = "allowzero=1" }, { .inputs = "i64[4]{1,2,3,4} i64[2]{2,2}" }),
};
static const aval_op flatten_op = {
    ALIAS("Flatten", 13),
    .doc = "A matrix of the same elements: axes before `axis` are its rows.",
    .inputs = AVAL_PORTS({ .name = "input", .types = AVAL_ANY }),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_ANY }),
    .attrs = AVAL_ATTRS({ .name = "axis", .type = AVAL_ATTR_INT, .initial = "1", .doc = "first axis of the columns" }),
    .infer = flatten_infer,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3,4]" }, { .inputs = "[2,3,4]", .attrs = "axis=0" },
                            { .inputs = "[2,3,4]", .attrs = "axis=-1" }, { .inputs = "[0,3]" }),
};
static const aval_op squeeze_op = {
    ALIAS("Squeeze", 13),
    .doc = "Takes axes of length 1 away: those named, or all.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_ANY },
                         { .name = "axes", .flags = AVAL_SHAPE_INPUT | AVAL_OPTIONAL, .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .outputs = AVAL_PORTS({ .name = "squeezed", .types = AVAL_ANY }),
    .infer = squeeze_infer,
    .zero_gradient = 2,
    .samples = AVAL_SAMPLES({ .inputs = "[1,3,1] i64[1]{-1}" }, { .inputs = "[1,3,1]" }, { .inputs = "[1,0] i64[1]{0}" }),
};
static const aval_op unsqueeze_op = {
    ALIAS("Unsqueeze", 13),
    .doc = "Puts in axes of length 1, at the places that they have in the result.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_ANY }, AXES_INPUT),
    .outputs = AVAL_PORTS({ .name = "expanded", .types = AVAL_ANY }),
    .infer = unsqueeze_infer,
    .zero_gradient = 2,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3] i64[2]{0,-1}" }, { .inputs = "[] i64[1]{0}" }, { .inputs = "[0] i64[1]{1}" }),
};

/* ---- Fill and Shape --------------------------------------------------------------------------------------------------------- */

static int fill_infer(const aval_host *host, aval_call *call)
{
    size_t rank;
    const int64_t *dims = host->attr_ints(call, "dims", &rank);
    int64_t type = host->attr_int(call, "type");
    if (type <= AVAL_NONE || type >= AVAL_TYPES || !(AVAL_ANY & AVAL_TYPE_SET(type)))
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "attribute type: element type %lld cannot be made here", (long long)type);
    return host->set_output(call, 0, (aval_type)type, (uint32_t)rank, dims);
}

static int fill_forward(const aval_host *host, aval_call *call)
{
    return host->fill(call, host->output(call, 0), host->attr_float(call, "value"));
}

static int fill_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->output(call, 0);
    double value = host->attr_float(call, "value");
    int floats = (AVAL_FLOATS & AVAL_TYPE_SET(host->type(y))) != 0;
    for (int64_t i = 0; i < host->count(y); i++) {
        if (floats) host->real(call, y)[i] = value;
        else host->integer(call, y)[i] = (int64_t)value;
    }
    return 0;
}

static int shape_infer(const aval_host *host, aval_call *call)
{
    const int64_t rank = host->rank(host->input(call, 0));
    return host->set_output(call, 0, AVAL_INT64, 1, &rank);
}

static int shape_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t d[AVAL_MAX_RANK] = { 0 };
    for (uint32_t i = 0; i < host->rank(x); i++) d[i] = host->dims(x)[i];
    if (host->rank(x) == 0) return 0;
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "shape", EACH(host->rank(x)),
                          AVAL_ARGS(AVAL_WRITE(host->output(call, 0)), AVAL_I32(host->rank(x)), AVAL_I64(d[0]), AVAL_I64(d[1]),
                                    AVAL_I64(d[2]), AVAL_I64(d[3]), AVAL_I64(d[4]), AVAL_I64(d[5]), AVAL_I64(d[6]), AVAL_I64(d[7]))));
}

static int shape_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    for (uint32_t i = 0; i < host->rank(x); i++) host->integer(call, host->output(call, 0))[i] = host->dims(x)[i];
    return 0;
}

static const aval_op fill_op = {
    .size = sizeof(aval_op),
    .name = "Fill",
    .domain = "aval",
    .since = 1,
    .role = AVAL_ROLE_FILL,
    .deterministic = 1,
    .doc = "A tensor of equal elements.",
    .inputs = (const aval_port[]){ { .name = NULL } },
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_ANY }),
    .attrs = AVAL_ATTRS({ .name = "dims", .type = AVAL_ATTR_INTS, .initial = "[]", .doc = "its shape" },
                        { .name = "value", .type = AVAL_ATTR_FLOAT, .initial = "0", .doc = "its elements" },
                        { .name = "type", .type = AVAL_ATTR_INT, .initial = "1", .doc = "ONNX's number of the element type" }),
    .infer = fill_infer,
    .forward = fill_forward,
    .reference = fill_reference,
    .samples = AVAL_SAMPLES({ .inputs = "", .attrs = "dims=[2,3] value=0.5" }, { .inputs = "", .attrs = "value=-3 type=7" },
                            { .inputs = "", .attrs = "dims=[0]" }, { .inputs = "", .attrs = "dims=[5] value=1 type=10" }),
};
static const aval_op shape_op = {
    .size = sizeof(aval_op),
    .name = "Shape",
    .since = 13,
    .deterministic = 1,
    .doc = "The shape of the input as a tensor.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_ANY }),
    .outputs = AVAL_PORTS({ .name = "shape", .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .zero_gradient = 1,
    .infer = shape_infer,
    .forward = shape_forward,
    .reference = shape_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]" }, { .inputs = "[]" }, { .inputs = "[0,1,2]" }),
};

static const aval_op *const ops[] = { &reshape_op, &flatten_op, &squeeze_op, &unsqueeze_op, &fill_op, &shape_op, NULL };
static const aval_kernel_source sources[] = { { .name = "shape.cl", .text = shape_cl }, { .name = NULL } };

AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = {
    .abi = AVAL_PLUGIN_ABI,
    .size = sizeof(aval_plugin),
    .name = "shape",
    .version = "0.1.0",
    .ops = ops,
    .sources = sources,
};
