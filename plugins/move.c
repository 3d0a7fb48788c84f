/* Operators that move elements: Transpose, Slice, Concat, Expand.  Copies do not compute, so their kernels run on an integer type of
 * the element's size.  What lies in memory as it is wanted becomes an alias or a plain copy. */
#include "support.h"

#include "shape.cl.h"

/* A copy between two boxes of equal lengths with strides and first elements of their own. */
typedef struct box {
    uint32_t rank;
    int64_t dims[AVAL_MAX_RANK], to[AVAL_MAX_RANK], from[AVAL_MAX_RANK];
    int64_t to_first, from_first;
} box;

static void row_major(const int64_t *dims, uint32_t rank, int64_t *strides)
{
    int64_t stride = 1;
    for (uint32_t i = rank; i-- > 0;) {
        strides[i] = stride;
        stride *= dims[i];
    }
}

/* Takes out axes of length 1 and merges those that move together. */
static void box_simplify(box *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->rank; i++) {
        if (b->dims[i] == 1) continue;
        if (n > 0 && b->to[n - 1] == b->to[i] * b->dims[i] && b->from[n - 1] == b->from[i] * b->dims[i]) {
            b->dims[n - 1] *= b->dims[i];
        } else {
            b->dims[n] = b->dims[i];
            n++;
        }
        b->to[n - 1] = b->to[i];
        b->from[n - 1] = b->from[i];
    }
    b->rank = n;
}

#define EIGHT(v) \
    AVAL_I64((v)[0]), AVAL_I64((v)[1]), AVAL_I64((v)[2]), AVAL_I64((v)[3]), AVAL_I64((v)[4]), AVAL_I64((v)[5]), AVAL_I64((v)[6]), \
        AVAL_I64((v)[7])

/* `to` need not be written whole. */
static int box_copy(const aval_host *host, aval_call *call, const aval_tensor *to, const aval_tensor *from, box b)
{
    int64_t count = product(b.dims, b.rank), d[8], ts[8], fs[8];
    if (count == 0) return 0;
    box_simplify(&b);
    if (b.rank == 0 || (b.rank == 1 && b.to[0] == 1 && b.from[0] == 1)) return host->copy(call, to, b.to_first, from, b.from_first, count);
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t axis = i + b.rank - 8; /* wraps below the first axis, on purpose */
        int used = i + b.rank >= 8;
        d[i] = used ? b.dims[axis] : 1;
        ts[i] = used ? b.to[axis] : 0;
        fs[i] = used ? b.from[axis] : 0;
    }
    return host->launch(call, AVAL_LAUNCH(.kernel = "copy_strided", EACH(count), .s_type = carrier(host->type(to)),
                                          AVAL_DEFINES({ "AXES", b.rank }),
                                          AVAL_ARGS(AVAL_UPDATE(to), AVAL_READ(from), AVAL_I64(count), AVAL_I64(b.to_first),
                                                    AVAL_I64(b.from_first), EIGHT(d), EIGHT(ts), EIGHT(fs))));
}

/* The same on the host. */
static void box_reference(const aval_host *host, aval_call *call, const aval_tensor *to, const aval_tensor *from, const box *b)
{
    int floats = (AVAL_FLOATS & AVAL_TYPE_SET(host->type(to))) != 0;
    int64_t count = product(b->dims, b->rank);
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, t = b->to_first, f = b->from_first;
        for (uint32_t a = b->rank; a-- > 0;) {
            t += rest % b->dims[a] * b->to[a];
            f += rest % b->dims[a] * b->from[a];
            rest /= b->dims[a];
        }
        if (floats) host->real(call, to)[t] = host->real(call, from)[f];
        else host->integer(call, to)[t] = host->integer(call, from)[f];
    }
}

/* ---- Transpose -------------------------------------------------------------------------------------------------------------- */

/* Axis i of the output is axis perm[i] of the input; without `perm` the axes are reversed. */
static int transpose_axes(const aval_host *host, aval_call *call, int64_t *perm)
{
    size_t n;
    const int64_t *given = host->attr_ints(call, "perm", &n);
    uint32_t rank = host->rank(host->input(call, 0)), seen = 0;
    if (given == NULL || n == 0) {
        for (uint32_t i = 0; i < rank; i++) perm[i] = rank - 1 - i;
        return 0;
    }
    for (size_t i = 0; i < n && n == rank; i++) {
        if (given[i] >= 0 && given[i] < rank) seen |= 1u << given[i];
        perm[i] = given[i];
    }
    if (n != rank || seen != (1u << rank) - 1)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute perm must name each of the %u axes once", (unsigned)rank);
    return 0;
}

static int transpose_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t perm[AVAL_MAX_RANK], dims[AVAL_MAX_RANK];
    TRY(transpose_axes(host, call, perm));
    for (uint32_t i = 0; i < host->rank(x); i++) dims[i] = host->dims(x)[perm[i]];
    return host->set_output(call, 0, host->type(x), host->rank(x), dims);
}

static int transpose_box(const aval_host *host, aval_call *call, box *b)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t perm[AVAL_MAX_RANK], strides[AVAL_MAX_RANK];
    TRY(transpose_axes(host, call, perm));
    *b = (box){ .rank = host->rank(x) };
    row_major(host->dims(x), b->rank, strides);
    for (uint32_t i = 0; i < b->rank; i++) {
        b->dims[i] = host->dims(x)[perm[i]];
        b->from[i] = strides[perm[i]];
    }
    row_major(b->dims, b->rank, b->to);
    return 0;
}

static int transpose_forward(const aval_host *host, aval_call *call)
{
    box b;
    TRY(transpose_box(host, call, &b));
    return box_copy(host, call, host->output(call, 0), host->input(call, 0), b);
}

static int transpose_reference(const aval_host *host, aval_call *call)
{
    box b;
    TRY(transpose_box(host, call, &b));
    box_reference(host, call, host->output(call, 0), host->input(call, 0), &b);
    return 0;
}

static int transpose_backward(const aval_host *host, aval_call *call)
{
    int64_t perm[AVAL_MAX_RANK], inverse[AVAL_MAX_RANK];
    uint32_t rank = host->rank(host->input(call, 0));
    const aval_tensor *g = host->upstream(call, 0);
    text attrs = { 0 };
    TRY(transpose_axes(host, call, perm));
    for (uint32_t i = 0; i < rank; i++) inverse[perm[i]] = i;
    text_ints(&attrs, "perm", inverse, rank);
    TRY(host->apply(call, "Transpose", attrs.at, 1, &g, 1, &g));
    return host->yield(call, 0, g);
}

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

/* `from` walks the input, `to` the output. */
static int slice_box(const aval_host *host, aval_call *call, box *b)
{
    const aval_tensor *x = host->input(call, 0);
    const int64_t *list[4] = { NULL, NULL, NULL, NULL }; /* starts, ends, axes, steps */
    int64_t n = host->count(host->input(call, 1)), strides[AVAL_MAX_RANK];
    for (size_t i = 1; i < 5 && i < host->n_inputs(call); i++) {
        if (host->input(call, i) == NULL) continue;
        list[i - 1] = host->content(call, i);
        if (list[i - 1] == NULL && n > 0)
            return host->fail(call, AVAL_NEEDS_CONTENT, "input %zu: its content is not known when shapes are worked out", i);
        if (host->count(host->input(call, i)) != n)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %zu has %lld numbers, expected %lld as in starts", i,
                              (long long)host->count(host->input(call, i)), (long long)n);
    }
    *b = (box){ .rank = host->rank(x) };
    row_major(host->dims(x), b->rank, strides);
    for (uint32_t i = 0; i < b->rank; i++) {
        b->dims[i] = host->dims(x)[i];
        b->from[i] = strides[i];
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t axis = aval_axis(list[2] == NULL ? i : list[2][i], b->rank), step = list[3] == NULL ? 1 : list[3][i], first;
        if (axis < 0 || step == 0)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT,
                              axis < 0 ? "input axes: number %lld is out of range" : "input steps: number %lld is 0", (long long)i);
        b->dims[axis] = slice_axis(host->dims(x)[axis], list[0][i], list[1][i], step, &first);
        b->from_first += first * strides[axis];
        b->from[axis] = strides[axis] * step;
    }
    row_major(b->dims, b->rank, b->to);
    return 0;
}

static int slice_infer(const aval_host *host, aval_call *call)
{
    box b;
    TRY(slice_box(host, call, &b));
    return host->set_output(call, 0, host->type(host->input(call, 0)), b.rank, b.dims);
}

/* A slice that lies in one piece is an alias. */
static int slice_forward(const aval_host *host, aval_call *call)
{
    box b, merged;
    TRY(slice_box(host, call, &b));
    merged = b;
    box_simplify(&merged);
    int whole = host->count(host->output(call, 0)) > 0 && (merged.rank == 0 || (merged.rank == 1 && merged.from[0] == 1));
    if (whole) return host->alias(call, host->output(call, 0), host->input(call, 0), b.from_first);
    return box_copy(host, call, host->output(call, 0), host->input(call, 0), b);
}

static int slice_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *dx = host->gradient(call, 0);
    box b;
    TRY(slice_box(host, call, &b));
    if (host->count(dx) == 0) return 0;
    box back = { .rank = b.rank, .to_first = b.from_first };
    for (uint32_t i = 0; i < b.rank; i++) {
        back.dims[i] = b.dims[i];
        back.to[i] = b.from[i];
        back.from[i] = b.to[i];
    }
    TRY(host->fill(call, dx, 0));
    return box_copy(host, call, dx, host->upstream(call, 0), back);
}

static int slice_reference(const aval_host *host, aval_call *call)
{
    box b;
    TRY(slice_box(host, call, &b));
    box_reference(host, call, host->output(call, 0), host->input(call, 0), &b);
    return 0;
}

/* ---- Concat ----------------------------------------------------------------------------------------------------------------- */

static int concat_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *first = host->input(call, 0);
    uint32_t rank = host->rank(first);
    int64_t axis = aval_axis(host->attr_int(call, "axis"), rank), dims[AVAL_MAX_RANK];
    if (axis < 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute axis is %lld, out of range for %u axes",
                          (long long)host->attr_int(call, "axis"), (unsigned)rank);
    for (uint32_t d = 0; d < rank; d++) dims[d] = host->dims(first)[d];
    for (size_t i = 1; i < host->n_inputs(call); i++) {
        const aval_tensor *t = host->input(call, i);
        for (uint32_t d = 0; d < rank; d++) {
            if (host->rank(t) != rank || (d != axis && host->dims(t)[d] != dims[d]))
                return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                                  "input %zu differs from input 0 at axis %u, which is not the one that is joined", i, (unsigned)d);
        }
        dims[axis] += host->dims(t)[axis];
    }
    return host->set_output(call, 0, host->type(first), rank, dims);
}

/* Where input i goes; *start is its first index along the axis and moves on. */
static box concat_box(const aval_host *host, aval_call *call, size_t i, int64_t *start)
{
    const aval_tensor *t = host->input(call, i), *y = host->output(call, 0);
    box b = { .rank = host->rank(t) };
    int64_t axis = aval_axis(host->attr_int(call, "axis"), b.rank);
    for (uint32_t d = 0; d < b.rank; d++) b.dims[d] = host->dims(t)[d];
    row_major(b.dims, b.rank, b.from);
    row_major(host->dims(y), b.rank, b.to);
    b.to_first = *start * b.to[axis];
    *start += b.dims[axis];
    return b;
}

static int concat_forward(const aval_host *host, aval_call *call)
{
    int64_t start = 0;
    for (size_t i = 0; i < host->n_inputs(call); i++)
        TRY(box_copy(host, call, host->output(call, 0), host->input(call, i), concat_box(host, call, i, &start)));
    return 0;
}

static int concat_reference(const aval_host *host, aval_call *call)
{
    int64_t start = 0;
    for (size_t i = 0; i < host->n_inputs(call); i++) {
        box b = concat_box(host, call, i, &start);
        box_reference(host, call, host->output(call, 0), host->input(call, i), &b);
    }
    return 0;
}

static int concat_backward(const aval_host *host, aval_call *call)
{
    int64_t start = 0, axis = aval_axis(host->attr_int(call, "axis"), host->rank(host->input(call, 0)));
    for (size_t i = 0; i < host->n_inputs(call); i++) {
        int64_t end = start + host->dims(host->input(call, i))[axis];
        if (host->gradient(call, i) != NULL) {
            const aval_tensor *part[] = { host->upstream(call, 0), constant_ints(host, call, &start, 1), constant_ints(host, call, &end, 1),
                                          constant_ints(host, call, &axis, 1) },
                              *g;
            TRY(host->apply(call, "Slice", NULL, 4, part, 1, &g));
            TRY(host->yield(call, i, g));
        }
        start = end;
    }
    return 0;
}

/* ---- Expand ----------------------------------------------------------------------------------------------------------------- */

static int expand_dims(const aval_host *host, aval_call *call, uint32_t *rank, int64_t *dims)
{
    const aval_tensor *x = host->input(call, 0);
    const int64_t *shape = host->content(call, 1);
    int64_t n = host->count(host->input(call, 1));
    if (n > AVAL_MAX_RANK)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input shape has %lld numbers, expected at most %d", (long long)n, AVAL_MAX_RANK);
    if (shape == NULL && n > 0)
        return host->fail(call, AVAL_NEEDS_CONTENT, "input shape: its content is not known when shapes are worked out");
    *rank = host->rank(x) > (uint32_t)n ? host->rank(x) : (uint32_t)n;
    for (uint32_t i = 0; i < *rank; i++) {
        int64_t a = i + host->rank(x) < *rank ? 1 : host->dims(x)[i + host->rank(x) - *rank];
        int64_t b = i + (uint32_t)n < *rank ? 1 : shape[i + (uint32_t)n - *rank];
        if (a != b && a != 1 && b != 1)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                              "axis %u: length %lld of the input and %lld of the wanted shape do not broadcast", (unsigned)i, (long long)a,
                              (long long)b);
        dims[i] = a == 1 ? b : a;
    }
    return 0;
}

static int expand_infer(const aval_host *host, aval_call *call)
{
    int64_t dims[AVAL_MAX_RANK];
    uint32_t rank;
    TRY(expand_dims(host, call, &rank, dims));
    return host->set_output(call, 0, host->type(host->input(call, 0)), rank, dims);
}

static int expand_body(const aval_host *host, aval_call *call)
{
    int64_t dims[AVAL_MAX_RANK];
    uint32_t rank;
    text attrs = { 0 };
    const aval_tensor *x = host->input(call, 0);
    TRY(expand_dims(host, call, &rank, dims));
    text_ints(&attrs, "dims", dims, rank);
    TRY(host->apply(call, "aval::Broadcast", attrs.at, 1, &x, 1, &x));
    return host->yield(call, 0, x);
}

#define NUMBERS_INPUT(port_name, port_flags) \
    { \
        .name = port_name, .flags = AVAL_SHAPE_INPUT | (port_flags), .types = AVAL_TYPE_SET(AVAL_INT64) \
    }

static const aval_op transpose_op = {
    .size = sizeof(aval_op),
    .name = "Transpose",
    .since = 13,
    .deterministic = 1,
    .kernels = "shape.cl",
    .doc = "The axes in another order.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_ANY }),
    .outputs = AVAL_PORTS({ .name = "transposed", .types = AVAL_ANY }),
    .attrs = AVAL_ATTRS({ .name = "perm", .type = AVAL_ATTR_INTS, .doc = "axis of the input for each of the output; reversed without it" }),
    .infer = transpose_infer,
    .forward = transpose_forward,
    .backward_body = transpose_backward,
    .reference = transpose_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]" }, { .inputs = "[2,3,4,5]", .attrs = "perm=[0,2,3,1]" }, { .inputs = "[]" },
                            { .inputs = "[0,3]" }, { .inputs = "[2,1,3]", .attrs = "perm=[1,0,2]", .why = "moves nothing" },
                            { .inputs = "[1]" }, { .inputs = "[1,2,1,3,1,2,1,2]" }, { .inputs = "i64[2,2]{1,2,3,4}" },
                            { .inputs = "[257,259]", .size_class = AVAL_LARGE }),
};
static const aval_op slice_op = {
    .size = sizeof(aval_op),
    .name = "Slice",
    .since = 13,
    .deterministic = 1,
    .kernels = "shape.cl",
    .doc = "A part of the input: from starts to ends by steps, along axes.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_ANY }, NUMBERS_INPUT("starts", 0), NUMBERS_INPUT("ends", 0),
                         NUMBERS_INPUT("axes", AVAL_OPTIONAL), NUMBERS_INPUT("steps", AVAL_OPTIONAL)),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_ANY }),
    .zero_gradient = 30,
    .infer = slice_infer,
    .forward = slice_forward,
    .backward = slice_backward,
    .reference = slice_reference,
    .samples = AVAL_SAMPLES(
        { .inputs = "[5,4] i64[1]{1} i64[1]{3}" }, { .inputs = "[5,4] i64[2]{0,1} i64[2]{5,-1} i64[2]{0,1} i64[2]{2,1}" },
        { .inputs = "[5,4] i64[1]{-1} i64[1]{-100} i64[1]{1} i64[1]{-1}", .why = "backwards" },
        { .inputs = "[5,4] i64[1]{2} i64[1]{2}", .why = "nothing" }, { .inputs = "[0,4] i64[1]{0} i64[1]{9}" },
        { .inputs = "[1] i64[1]{0} i64[1]{1}" }, { .inputs = "[257,259] i64[1]{3} i64[1]{1000} i64[1]{1}", .size_class = AVAL_LARGE }),
};
static const aval_op concat_op = {
    .size = sizeof(aval_op),
    .name = "Concat",
    .since = 13,
    .deterministic = 1,
    .kernels = "shape.cl",
    .doc = "Tensors joined along an axis.",
    .inputs = AVAL_PORTS({ .name = "inputs", .flags = AVAL_VARIADIC, .types = AVAL_ANY }),
    .outputs = AVAL_PORTS({ .name = "concat_result", .types = AVAL_ANY }),
    .attrs = AVAL_ATTRS({ .name = "axis", .type = AVAL_ATTR_INT, .required = 1, .doc = "the axis along which they are joined" }),
    .infer = concat_infer,
    .forward = concat_forward,
    .backward_body = concat_backward,
    .reference = concat_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3] [4,3]", .attrs = "axis=0" }, { .inputs = "[2,3] [2,1] [2,2]", .attrs = "axis=-1" },
                            { .inputs = "[2,3]", .attrs = "axis=0" }, { .inputs = "[2,0] [2,3]", .attrs = "axis=1" },
                            { .inputs = "[1] [1]", .attrs = "axis=0" },
                            { .inputs = "[257,130] [257,129]", .attrs = "axis=1", .size_class = AVAL_LARGE }),
};
static const aval_op expand_op = {
    .size = sizeof(aval_op),
    .name = "Expand",
    .since = 13,
    .deterministic = 1,
    .doc = "The input repeated to a shape to which both broadcast.",
    .inputs = AVAL_PORTS({ .name = "input", .types = AVAL_ANY }, NUMBERS_INPUT("shape", 0)),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_ANY }),
    .infer = expand_infer,
    .body = expand_body,
    .zero_gradient = 2,
    .samples = AVAL_SAMPLES({ .inputs = "[3,1] i64[3]{2,1,4}" }, { .inputs = "[3,4] i64[1]{1}" }, { .inputs = "[] i64[2]{2,3}" },
                            { .inputs = "[1,3] i64[2]{0,3}" }, { .inputs = "[1] i64[0]" }),
};
static const aval_op *const ops[] = { &transpose_op, &slice_op, &concat_op, &expand_op, NULL };
static const aval_kernel_source sources[] = { { .name = "shape.cl", .text = shape_cl }, { .name = NULL } };

AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = {
    .abi = AVAL_PLUGIN_ABI,
    .size = sizeof(aval_plugin),
    .name = "move",
    .version = "0.1.0",
    .ops = ops,
    .sources = sources,
};
