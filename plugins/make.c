/* Operators that make tensors from shapes, or from a few numbers: Fill, Shape, Size, ConstantOfShape, Range, EyeLike. */
#include "box.h"

#include "shape.cl.h"

#define RANGE_TYPES \
    (AVAL_TYPE_SET(AVAL_FLOAT) | AVAL_TYPE_SET(AVAL_DOUBLE) | AVAL_TYPE_SET(AVAL_INT16) | AVAL_TYPE_SET(AVAL_INT32) | \
     AVAL_TYPE_SET(AVAL_INT64))

/* ---- Fill ----------------------------------------------------------------------------------------------------------------------- */

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
    int floats = (AVAL_REALS & AVAL_TYPE_SET(host->type(y))) != 0;
    for (int64_t i = 0; i < host->count(y); i++) {
        if (floats) host->real(call, y)[i] = value;
        else host->integer(call, y)[i] = (int64_t)value;
    }
    return 0;
}

/* ---- Shape and Size ------------------------------------------------------------------------------------------------------------- */

/* The axes from attribute start to before attribute end, both counted from the end when negative, and clamped. */
static void shape_range(const aval_host *host, const aval_call *call, int64_t *first, int64_t *count)
{
    int64_t rank = host->rank(host->input(call, 0)), start = host->attr_int(call, "start"), end = rank;
    if (host->attr_given(call, "end")) end = host->attr_int(call, "end");
    start += start < 0 ? rank : 0;
    end += end < 0 ? rank : 0;
    *first = start < 0 ? 0 : start > rank ? rank : start;
    end = end > rank ? rank : end;
    *count = end > *first ? end - *first : 0;
}

static int shape_infer(const aval_host *host, aval_call *call)
{
    int64_t first, count;
    shape_range(host, call, &first, &count);
    return host->set_output(call, 0, AVAL_INT64, 1, &count);
}

static int shape_forward(const aval_host *host, aval_call *call)
{
    const int64_t *dims = host->dims(host->input(call, 0));
    int64_t d[AVAL_MAX_RANK] = { 0 }, first, count;
    shape_range(host, call, &first, &count);
    for (int64_t i = 0; i < count; i++) d[i] = dims[first + i];
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "shape", EACH(count),
                          AVAL_ARGS(AVAL_WRITE(host->output(call, 0)), AVAL_I32(count), AVAL_I64(d[0]), AVAL_I64(d[1]), AVAL_I64(d[2]),
                                    AVAL_I64(d[3]), AVAL_I64(d[4]), AVAL_I64(d[5]), AVAL_I64(d[6]), AVAL_I64(d[7]))));
}

static int shape_reference(const aval_host *host, aval_call *call)
{
    int64_t first, count;
    shape_range(host, call, &first, &count);
    for (int64_t i = 0; i < count; i++) host->integer(call, host->output(call, 0))[i] = host->dims(host->input(call, 0))[first + i];
    return 0;
}

static int size_infer(const aval_host *host, aval_call *call)
{
    return host->set_output(call, 0, AVAL_INT64, 0, NULL);
}

static int size_forward(const aval_host *host, aval_call *call)
{
    return host->fill(call, host->output(call, 0), (double)host->count(host->input(call, 0)));
}

static int size_reference(const aval_host *host, aval_call *call)
{
    host->integer(call, host->output(call, 0))[0] = host->count(host->input(call, 0));
    return 0;
}

/* ---- ConstantOfShape ------------------------------------------------------------------------------------------------------------ */

static int constant_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *value = host->input(call, 1);
    int64_t dims[AVAL_MAX_RANK];
    size_t rank;
    TRY(known_ints(host, call, 0, "input", dims, AVAL_MAX_RANK, &rank));
    for (size_t i = 0; i < rank; i++)
        if (dims[i] < 0)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "input: length %lld at %zu, expected 0 or more", (long long)dims[i], i);
    if (value != NULL && host->count(value) != 1)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input value has %lld elements, expected 1", (long long)host->count(value));
    return host->set_output(call, 0, value == NULL ? AVAL_FLOAT : host->type(value), (uint32_t)rank, dims);
}

/* Every element of the output is the one of the value: a box that stands still there. */
static box constant_box(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->output(call, 0);
    return (box){ .rank = 1, .dims = { host->count(y) }, .to = { 1 }, .from = { 0 } };
}

static int constant_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *value = host->input(call, 1), *y = host->output(call, 0);
    return value == NULL ? host->fill(call, y, 0) : box_copy(host, call, y, value, constant_box(host, call));
}

static int constant_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *value = host->input(call, 1), *y = host->output(call, 0);
    box b = constant_box(host, call);
    if (value != NULL) box_reference(host, call, y, value, &b);
    else
        for (int64_t i = 0; i < host->count(y); i++) host->real(call, y)[i] = 0;
    return 0;
}

static int constant_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *value = host->input(call, 1), *g = host->upstream(call, 0);
    TRY(host->apply(call, "ReduceSum", "keepdims=0", 1, &g, 1, &g));
    TRY(reshaped(host, call, g, host->rank(value), host->dims(value), &g));
    return host->yield(call, 1, g);
}

/* ---- Range ---------------------------------------------------------------------------------------------------------------------- */

static int range_infer(const aval_host *host, aval_call *call)
{
    double start = 0, limit = 0, delta = 0;
    TRY(known_number(host, call, 0, "start", &start));
    TRY(known_number(host, call, 1, "limit", &limit));
    TRY(known_number(host, call, 2, "delta", &delta));
    double count = ceil((limit - start) / delta);
    if (!(count < 9e15)) /* not a number, too */
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "from %g to %g by %g: expected a finite number of elements", start, limit, delta);
    const int64_t length = count > 0 ? (int64_t)count : 0;
    return host->set_output(call, 0, host->type(host->input(call, 0)), 1, &length);
}

static int range_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->output(call, 0);
    return host->launch(call, AVAL_LAUNCH(.kernel = "range", EACH(host->count(y)),
                                          AVAL_ARGS(AVAL_READ(host->input(call, 0)), AVAL_READ(host->input(call, 2)), AVAL_WRITE(y),
                                                    AVAL_I64(host->count(y)))));
}

/* start + i * delta modulo 2^64, as devices count. */
static int64_t wrapping_step(int64_t start, int64_t i, int64_t delta)
{
    return (int64_t)((uint64_t)start + (uint64_t)i * (uint64_t)delta);
}

static int range_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *start = host->input(call, 0), *delta = host->input(call, 2), *y = host->output(call, 0);
    int floats = (AVAL_REALS & AVAL_TYPE_SET(host->type(y))) != 0;
    for (int64_t i = 0; i < host->count(y); i++) {
        if (floats) host->real(call, y)[i] = host->real(call, start)[0] + (double)i * host->real(call, delta)[0];
        else host->integer(call, y)[i] = wrapping_step(host->integer(call, start)[0], i, host->integer(call, delta)[0]);
    }
    return 0;
}

/* ---- EyeLike -------------------------------------------------------------------------------------------------------------------- */

static int eye_type(const aval_host *host, const aval_call *call)
{
    return host->attr_given(call, "dtype") ? (int)host->attr_int(call, "dtype") : (int)host->type(host->input(call, 0));
}

static int eye_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    if (host->rank(x) != 2) return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input has %u axes, expected 2", (unsigned)host->rank(x));
    return host->set_output(call, 0, (aval_type)eye_type(host, call), 2, host->dims(x));
}

static int eye_body(const aval_host *host, aval_call *call)
{
    const int64_t *dims = host->dims(host->input(call, 0));
    const aval_tensor *sides[2], *y;
    text attrs = { 0 };
    TRY(counting(host, call, host->attr_int(call, "k"), dims[0], 2, 0, &sides[0]));
    TRY(counting(host, call, 0, dims[1], 2, 1, &sides[1]));
    TRY(host->apply(call, "Equal", NULL, 2, sides, 1, &y));
    text_int(&attrs, "to", eye_type(host, call));
    TRY(host->apply(call, "Cast", attrs.at, 1, &y, 1, &y));
    return host->yield(call, 0, y);
}

#define MAKES(op_name, op_version) .size = sizeof(aval_op), .name = op_name, .since = op_version, .deterministic = 1

static const aval_op fill_op = {
    MAKES("Fill", 1),
    .domain = "aval",
    .role = AVAL_ROLE_FILL,
    .doc = "A tensor of equal elements.",
    .inputs = (const aval_port[]){ { .name = NULL } },
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
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
    MAKES("Shape", 1),
    .doc = "The shape of the input as a tensor.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_STORED, .flags = AVAL_SHAPE_ONLY }),
    .outputs = AVAL_PORTS({ .name = "shape", .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .zero_gradient = 1,
    .attrs = AVAL_ATTRS({ .name = "start", .type = AVAL_ATTR_INT, .initial = "0", .doc = "first axis" },
                        { .name = "end", .type = AVAL_ATTR_INT, .doc = "axis after the last; the number of axes without it" }),
    .infer = shape_infer,
    .forward = shape_forward,
    .reference = shape_reference,
    .no_gradient = "reads the shape alone",
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]" }, { .inputs = "[]" }, { .inputs = "[0,1,2]" },
                            { .inputs = "[2,3,4,5]", .attrs = "start=1 end=-1" }, { .inputs = "[2,3]", .attrs = "start=-9 end=9" },
                            { .inputs = "[2,3]", .attrs = "start=1 end=1", .why = "nothing" }),
};
static const aval_op size_op = {
    MAKES("Size", 1),
    .doc = "How many elements the input has.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_STORED, .flags = AVAL_SHAPE_ONLY }),
    .outputs = AVAL_PORTS({ .name = "size", .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .zero_gradient = 1,
    .infer = size_infer,
    .forward = size_forward,
    .reference = size_reference,
    .no_gradient = "reads the shape alone",
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]" }, { .inputs = "[]" }, { .inputs = "[0,3]" }),
};
static const aval_op constant_op = {
    MAKES("ConstantOfShape", 9),
    .doc = "A tensor of the wanted shape with equal elements.",
    .inputs = AVAL_PORTS({ .name = "input", .flags = AVAL_SHAPE_INPUT, .types = AVAL_TYPE_SET(AVAL_INT64) },
                         { .name = "value", .flags = AVAL_OPTIONAL, .types = AVAL_STORED }),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
    .zero_gradient = 1,
    .infer = constant_infer,
    .forward = constant_forward,
    .backward_body = constant_backward,
    .reference = constant_reference,
    .samples = AVAL_SAMPLES({ .inputs = "i64[2]{2,3} [1]" }, { .inputs = "i64[0]" }, { .inputs = "i64[2]{0,3} [1]" },
                            { .inputs = "i64[1]{4} i64[1]{-7}" }, { .inputs = "i64[3]{3,1,2}", .why = "float zeros without a value" }),
};
static const aval_op range_op = {
    MAKES("Range", 11),
    .doc = "start, start + delta, ... before limit.",
    .inputs = AVAL_PORTS({ .name = "start", .flags = AVAL_SHAPE_INPUT, .types = RANGE_TYPES },
                         { .name = "limit", .flags = AVAL_SHAPE_INPUT, .like = AVAL_LIKE(0), .types = RANGE_TYPES },
                         { .name = "delta", .flags = AVAL_SHAPE_INPUT, .like = AVAL_LIKE(0), .types = RANGE_TYPES }),
    .outputs = AVAL_PORTS({ .name = "output", .types = RANGE_TYPES }),
    .zero_gradient = 7,
    .infer = range_infer,
    .forward = range_forward,
    .reference = range_reference,
    .no_gradient = "its inputs say a shape",
    .samples = AVAL_SAMPLES({ .inputs = "[]{1} []{5} []{1.5}" }, { .inputs = "i64[]{10} i64[]{4} i64[]{-2}", .why = "downwards" },
                            { .inputs = "i32[]{3} i32[]{3} i32[]{1}", .why = "nothing" }, { .inputs = "i64[]{0} i64[]{70000} i64[]{1}" }),
};
static const aval_op eye_op = {
    MAKES("EyeLike", 9),
    .doc = "Ones on a diagonal and zeros elsewhere, in the shape of the input.",
    .inputs = AVAL_PORTS({ .name = "input", .types = AVAL_STORED }),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
    .zero_gradient = 1,
    .attrs = AVAL_ATTRS({ .name = "dtype", .type = AVAL_ATTR_INT, .doc = "ONNX's number of the element type; the input's without it" },
                        { .name = "k", .type = AVAL_ATTR_INT, .initial = "0", .doc = "the diagonal: 1 is the first above the main one" }),
    .infer = eye_infer,
    .body = eye_body,
    .no_gradient = "reads the shape alone",
    .samples = AVAL_SAMPLES({ .inputs = "[3,4]" }, { .inputs = "[4,3]", .attrs = "k=-1" }, { .inputs = "i64[2,2]", .attrs = "dtype=1 k=5" },
                            { .inputs = "[0,2]" }, { .inputs = "[1,1]" }),
};

AVAL_PLUGIN("make", "0.1.0", AVAL_SOURCES({ "shape.cl", shape_cl }), &fill_op, &shape_op, &size_op, &constant_op, &range_op, &eye_op)
