/* Slice: a part of a tensor, by steps along axes. */
#include "box.h"

#include "shape.cl.h"

/* ---- Slice ------------------------------------------------------------------------------------------------------------------ */

/* Clamps as ONNX says: each axis takes the elements start, start + step, ... before end. */
static int64_t slice_axis(int64_t length, int64_t start, int64_t end, int64_t step, int64_t *first)
{
    *first = 0;
    if (length == 0) return 0;
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? length : length - 1;
    if (start < 0) start += length;
    if (end < 0 && end > INT64_MIN + length) end += length;
    start = start < 0 ? 0 : start > high ? high : start;
    end = end < low ? low : end > high ? high : end;
    *first = start;
    int64_t span = step > 0 ? end - start : start - end, size = step > 0 ? step : -step;
    return span <= 0 ? 0 : (span + size - 1) / size;
}

/* Lists of numbers as ONNX names them; without `axes` the first ones are meant, without `steps` they are 1. */
typedef struct slices {
    int64_t starts[AVAL_MAX_RANK], ends[AVAL_MAX_RANK], axes[AVAL_MAX_RANK], steps[AVAL_MAX_RANK];
    size_t count;
} slices;

/* `from` walks the input, `to` the output. */
static int slices_box(const aval_host *host, aval_call *call, const slices *s, box *b)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t strides[AVAL_MAX_RANK];
    *b = (box){ .rank = host->rank(x) };
    row_major(host->dims(x), b->rank, strides);
    for (uint32_t i = 0; i < b->rank; i++) {
        b->dims[i] = host->dims(x)[i];
        b->from[i] = strides[i];
    }
    for (size_t i = 0; i < s->count; i++) {
        int64_t axis = aval_axis(s->axes[i], b->rank), step = s->steps[i], first;
        if (axis < 0 || s->steps[i] == 0)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT,
                              axis < 0 ? "axes: number %zu is out of range" : "steps: number %zu is 0, expected another", i);
        int64_t length = host->dims(x)[axis], most = length + (length < INT64_MAX); /* a longer step takes no more either */
        step = step > most ? most : step < -most ? -most : step;
        b->dims[axis] = slice_axis(length, s->starts[i], s->ends[i], step, &first);
        b->from_first += first * strides[axis];
        b->from[axis] = strides[axis] * step;
    }
    row_major(b->dims, b->rank, b->to);
    return 0;
}

static int slice_box(const aval_host *host, aval_call *call, box *b)
{
    static const char *const names[] = { "starts", "ends", "axes", "steps" };
    slices s;
    int64_t *lists[] = { s.starts, s.ends, s.axes, s.steps };
    TRY(known_ints(host, call, 1, "starts", s.starts, AVAL_MAX_RANK, &s.count));
    for (size_t i = 0; i < s.count; i++) {
        s.axes[i] = (int64_t)i;
        s.steps[i] = 1;
    }
    for (size_t i = 1; i < 4; i++) {
        size_t count;
        TRY(known_ints(host, call, i + 1, names[i], lists[i], AVAL_MAX_RANK, &count));
        if (host->input(call, i + 1) != NULL && count != s.count)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %s has %zu numbers, expected %zu as in starts", names[i], count, s.count);
    }
    return slices_box(host, call, &s, b);
}

/* Before opset 10 the numbers are attributes. */
static int slice_box_1(const aval_host *host, aval_call *call, box *b)
{
    slices s;
    size_t n_ends, n_axes;
    const int64_t *starts = host->attr_ints(call, "starts", &s.count), *ends = host->attr_ints(call, "ends", &n_ends);
    const int64_t *axes = host->attr_ints(call, "axes", &n_axes);
    if (s.count > AVAL_MAX_RANK || n_ends != s.count || (axes != NULL && n_axes != s.count))
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT,
                          "attributes starts, ends and axes have %zu, %zu and %zu numbers, expected equally many, at most %d", s.count,
                          n_ends, n_axes, AVAL_MAX_RANK);
    for (size_t i = 0; i < s.count; i++) {
        s.starts[i] = starts[i];
        s.ends[i] = ends[i];
        s.axes[i] = axes == NULL ? (int64_t)i : axes[i];
        s.steps[i] = 1;
    }
    return slices_box(host, call, &s, b);
}

static int set_slice(const aval_host *host, aval_call *call, const box *b)
{
    return host->set_output(call, 0, host->type(host->input(call, 0)), b->rank, b->dims);
}

/* The gradient is zero around the slice. */
static int return_box(const aval_host *host, aval_call *call, const box *b)
{
    const aval_tensor *dx = host->gradient(call, 0);
    if (host->count(dx) == 0) return 0;
    box back = { .rank = b->rank, .to_first = b->from_first };
    for (uint32_t i = 0; i < b->rank; i++) {
        back.dims[i] = b->dims[i];
        back.to[i] = b->from[i];
        back.from[i] = b->to[i];
    }
    TRY(host->fill(call, dx, 0));
    return box_copy(host, call, dx, host->upstream(call, 0), back);
}

static int reference_box(const aval_host *host, aval_call *call, const box *b)
{
    box_reference(host, call, host->output(call, 0), host->input(call, 0), b);
    return 0;
}

#define SLICE_FUNCTIONS(suffix) \
    static int slice_infer##suffix(const aval_host *host, aval_call *call) \
    { \
        box b; \
        TRY(slice_box##suffix(host, call, &b)); \
        return set_slice(host, call, &b); \
    } \
    static int slice_forward##suffix(const aval_host *host, aval_call *call) \
    { \
        box b; \
        TRY(slice_box##suffix(host, call, &b)); \
        return box_take(host, call, host->output(call, 0), &b); \
    } \
    static int slice_backward##suffix(const aval_host *host, aval_call *call) \
    { \
        box b; \
        TRY(slice_box##suffix(host, call, &b)); \
        return return_box(host, call, &b); \
    } \
    static int slice_reference##suffix(const aval_host *host, aval_call *call) \
    { \
        box b; \
        TRY(slice_box##suffix(host, call, &b)); \
        return reference_box(host, call, &b); \
    }

SLICE_FUNCTIONS()
SLICE_FUNCTIONS(_1)

#define NUMBERS_INPUT(port_name, port_flags) \
    { \
        .name = port_name, .flags = AVAL_SHAPE_INPUT | (port_flags), .types = AVAL_TYPE_SET(AVAL_INT64) | AVAL_TYPE_SET(AVAL_INT32) \
    }

static const aval_op slice_op = {
    .size = sizeof(aval_op),
    .name = "Slice",
    .since = 10,
    .deterministic = 1,
    .kernels = "shape.cl",
    .doc = "A part of the input: from starts to ends by steps, along axes.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_STORED }, NUMBERS_INPUT("starts", 0), NUMBERS_INPUT("ends", 0),
                         NUMBERS_INPUT("axes", AVAL_OPTIONAL), NUMBERS_INPUT("steps", AVAL_OPTIONAL)),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
    .zero_gradient = 30,
    .infer = slice_infer,
    .forward = slice_forward,
    .backward = slice_backward,
    .reference = slice_reference,
    .samples = AVAL_SAMPLES(
        { .inputs = "[5,4] i64[1]{1} i64[1]{3}" }, { .inputs = "[5,4] i64[2]{0,1} i64[2]{5,-1} i64[2]{0,1} i64[2]{2,1}" },
        { .inputs = "[5,4] i64[1]{-1} i64[1]{-100} i64[1]{1} i64[1]{-1}", .why = "backwards" },
        { .inputs = "[5,4] i64[1]{2} i64[1]{2}", .why = "nothing" }, { .inputs = "[0,4] i64[1]{0} i64[1]{9}" },
        { .inputs = "[1] i64[1]{0} i64[1]{1}" }, { .inputs = "[5,4] i32[1]{-3} i32[1]{100} i32[1]{0} i32[1]{1}" },
        { .inputs = "[257,259] i64[1]{3} i64[1]{1000} i64[1]{1}", .size_class = AVAL_LARGE },
        { .inputs = "[3,9001] i64[1]{-2} i64[1]{0} i64[1]{1} i64[1]{-2}", .size_class = AVAL_LARGE, .why = "rows of several pieces" }),
};
static const aval_op slice_op_1 = {
    .size = sizeof(aval_op),
    .name = "Slice",
    .since = 1,
    .deterministic = 1,
    .kernels = "shape.cl",
    .doc = "A part of the input: from starts to ends, along axes.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_STORED }),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
    .attrs = AVAL_ATTRS({ .name = "starts", .type = AVAL_ATTR_INTS, .required = 1, .doc = "first index of each axis" },
                        { .name = "ends", .type = AVAL_ATTR_INTS, .required = 1, .doc = "index after the last" },
                        { .name = "axes", .type = AVAL_ATTR_INTS, .doc = "which axes; the first ones without it" }),
    .infer = slice_infer_1,
    .forward = slice_forward_1,
    .backward = slice_backward_1,
    .reference = slice_reference_1,
    .samples = AVAL_SAMPLES({ .inputs = "[5,4]", .attrs = "starts=[1] ends=[3]" },
                            { .inputs = "[5,4]", .attrs = "starts=[0,1] ends=[1000,-1] axes=[1,0]" }),
};

AVAL_PLUGIN("slice", "0.1.0", AVAL_SOURCES({ "shape.cl", shape_cl }), &slice_op, &slice_op_1)
