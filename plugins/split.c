/* Split and Concat: tensors taken apart and put together along an axis.  Each is the other's gradient. */
#include "box.h"

#include "shape.cl.h"

/* ---- Split ---------------------------------------------------------------------------------------------------------------------- */

#define MAX_PARTS AVAL_MAX_PORTS

/* The lengths of the parts: given, or as equal as may be with the last one shorter. */
static int part_lengths(const aval_host *host, aval_call *call, const int64_t *given, size_t n_given, size_t n, int64_t *lengths)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t axis = aval_axis(host->attr_int(call, "axis"), host->rank(x)), left;
    if (axis < 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute axis is %lld, out of range for %u axes",
                          (long long)host->attr_int(call, "axis"), (unsigned)host->rank(x));
    left = host->dims(x)[axis];
    if (n < 1 || n > MAX_PARTS || (n_given > 0 && n_given != n))
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "%zu lengths are given for %zu outputs, expected equally many, 1 to %d", n_given,
                          n, MAX_PARTS);
    int64_t part = (left + (int64_t)n - 1) / (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        lengths[i] = n_given > 0 ? given[i] : left < part ? left : part;
        if (lengths[i] < 0 || lengths[i] > left)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "part %zu is %lld long, of which %lld are left", i, (long long)lengths[i],
                              (long long)left);
        left -= lengths[i];
    }
    if (left != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "the parts leave %lld of %lld elements over", (long long)left,
                          (long long)host->dims(x)[axis]);
    return 0;
}

/* As many parts as lengths are given, or num_outputs says, or outputs are asked for. */
static int split_lengths(const aval_host *host, aval_call *call, size_t *n, int64_t *lengths)
{
    const aval_tensor *split = host->input(call, 1);
    const int64_t *given = split == NULL ? NULL : host->content(call, 1);
    size_t n_given = split == NULL ? 0 : (size_t)host->count(split);
    if (split != NULL && given == NULL)
        return host->fail(call, AVAL_NEEDS_CONTENT, "input split: its content is not known when shapes are worked out");
    *n = host->n_outputs(call);
    if (n_given > 0) *n = n_given;
    else if (host->attr_given(call, "num_outputs")) *n = (size_t)host->attr_int(call, "num_outputs");
    return part_lengths(host, call, given, n_given, *n, lengths);
}

/* Before opset 13 the lengths are an attribute. */
static int split_lengths_2(const aval_host *host, aval_call *call, size_t *n, int64_t *lengths)
{
    size_t n_given;
    const int64_t *given = host->attr_ints(call, "split", &n_given);
    *n = n_given > 0 ? n_given : host->n_outputs(call);
    return part_lengths(host, call, given, n_given, *n, lengths);
}

/* The part that begins at *start along the axis; *start moves on. */
static box split_box(const aval_host *host, aval_call *call, int64_t length, int64_t *start)
{
    const aval_tensor *x = host->input(call, 0);
    box b = { .rank = host->rank(x) };
    int64_t axis = aval_axis(host->attr_int(call, "axis"), b.rank);
    for (uint32_t d = 0; d < b.rank; d++) b.dims[d] = d == axis ? length : host->dims(x)[d];
    row_major(b.dims, b.rank, b.to);
    row_major(host->dims(x), b.rank, b.from);
    b.from_first = *start * b.from[axis];
    *start += length;
    return b;
}

/* What is done with each part: its output may be one that nobody asked for. */
#define SPLIT_FUNCTION(name, lengths_of, each) \
    static int name(const aval_host *host, aval_call *call) \
    { \
        int64_t lengths[MAX_PARTS], start = 0; \
        size_t n; \
        TRY(lengths_of(host, call, &n, lengths)); \
        for (size_t i = 0; i < n; i++) { \
            box b = split_box(host, call, lengths[i], &start); \
            TRY(each(host, call, i, &b)); \
        } \
        return 0; \
    }

static int set_part(const aval_host *host, aval_call *call, size_t i, const box *b)
{
    return host->set_output(call, i, host->type(host->input(call, 0)), b->rank, b->dims);
}

static int take_part(const aval_host *host, aval_call *call, size_t i, const box *b)
{
    return host->output(call, i) == NULL ? 0 : box_take(host, call, host->output(call, i), b);
}

static int reference_part(const aval_host *host, aval_call *call, size_t i, const box *b)
{
    if (host->output(call, i) != NULL) box_reference(host, call, host->output(call, i), host->input(call, 0), b);
    return 0;
}

SPLIT_FUNCTION(split_infer, split_lengths, set_part)
SPLIT_FUNCTION(split_forward, split_lengths, take_part)
SPLIT_FUNCTION(split_reference, split_lengths, reference_part)
SPLIT_FUNCTION(split_infer_2, split_lengths_2, set_part)
SPLIT_FUNCTION(split_forward_2, split_lengths_2, take_part)
SPLIT_FUNCTION(split_reference_2, split_lengths_2, reference_part)

static int split_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *parts[MAX_PARTS], *g;
    size_t n = host->n_outputs(call);
    text attrs = { 0 };
    for (size_t i = 0; i < n; i++) {
        const aval_tensor *y = host->output(call, i);
        text zero = { 0 };
        text_ints(&zero, "dims", host->dims(y), host->rank(y));
        text_int(&zero, "type", host->type(y));
        parts[i] = host->upstream(call, i);
        if (parts[i] == NULL) TRY(host->apply(call, "aval::Fill", zero.at, 0, NULL, 1, &parts[i]));
    }
    text_int(&attrs, "axis", host->attr_int(call, "axis"));
    TRY(host->apply(call, "Concat", attrs.at, n, parts, 1, &g));
    return host->yield(call, 0, g);
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

#define SPLIT \
    .size = sizeof(aval_op), .name = "Split", .deterministic = 1, .kernels = "shape.cl", .doc = "The input in parts along an axis.", \
    .outputs = AVAL_PORTS({ .name = "outputs", .flags = AVAL_VARIADIC, .types = AVAL_STORED }), .backward_body = split_backward
#define SPLIT_AXIS \
    { \
        .name = "axis", .type = AVAL_ATTR_INT, .initial = "0", .doc = "the axis that is cut" \
    }

static const aval_op split_op = {
    SPLIT,
    .since = 13,
    .inputs = AVAL_PORTS({ .name = "input", .types = AVAL_STORED },
                         { .name = "split", .flags = AVAL_SHAPE_INPUT | AVAL_OPTIONAL, .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .attrs = AVAL_ATTRS(SPLIT_AXIS, { .name = "num_outputs", .type = AVAL_ATTR_INT, .doc = "how many parts; the last one may be shorter" }),
    .zero_gradient = 2,
    .infer = split_infer,
    .forward = split_forward,
    .reference = split_reference,
    .samples =
        AVAL_SAMPLES({ .inputs = "[6,2] i64[3]{1,3,2}" }, { .inputs = "[2,7]", .attrs = "axis=-1 num_outputs=3", .why = "uneven" },
                     { .inputs = "[2,4,3] i64[2]{0,4}", .attrs = "axis=1", .why = "an empty part" }, { .inputs = "[3]", .why = "one part" },
                     { .inputs = "[0,4]", .attrs = "axis=1 num_outputs=2" }, { .inputs = "i64[4]{1,2,3,4}", .attrs = "num_outputs=2" },
                     { .inputs = "[259,258]", .attrs = "axis=1 num_outputs=2", .size_class = AVAL_LARGE }),
};
static const aval_op split_op_2 = {
    SPLIT,
    .since = 2,
    .inputs = AVAL_PORTS({ .name = "input", .types = AVAL_STORED }),
    .attrs = AVAL_ATTRS(SPLIT_AXIS, { .name = "split", .type = AVAL_ATTR_INTS, .doc = "the parts' lengths; equal ones without it" }),
    .infer = split_infer_2,
    .forward = split_forward_2,
    .reference = split_reference_2,
    .samples = AVAL_SAMPLES({ .inputs = "[6,2]", .attrs = "split=[1,3,2]" }),
};
static const aval_op concat_op = {
    .size = sizeof(aval_op),
    .name = "Concat",
    .since = 4,
    .deterministic = 1,
    .kernels = "shape.cl",
    .doc = "Tensors joined along an axis.",
    .inputs = AVAL_PORTS({ .name = "inputs", .flags = AVAL_VARIADIC, .types = AVAL_STORED }),
    .outputs = AVAL_PORTS({ .name = "concat_result", .types = AVAL_STORED }),
    .attrs = AVAL_ATTRS({ .name = "axis", .type = AVAL_ATTR_INT, .required = 1, .doc = "the axis along which they are joined" }),
    .infer = concat_infer,
    .forward = concat_forward,
    .backward_body = concat_backward,
    .reference = concat_reference,
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,3] [4,3]", .attrs = "axis=0" }, { .inputs = "[2,3] [2,1] [2,2]", .attrs = "axis=-1" },
        { .inputs = "[2,3]", .attrs = "axis=0" }, { .inputs = "[2,0] [2,3]", .attrs = "axis=1" },
        { .inputs = "[1] [1]", .attrs = "axis=0" }, { .inputs = "[257,130] [257,129]", .attrs = "axis=1", .size_class = AVAL_LARGE },
        { .inputs = "[2,3,3001] [2,1,3001]", .attrs = "axis=1", .size_class = AVAL_LARGE, .why = "rows of several pieces" }),
};

AVAL_PLUGIN("split", "0.1.0", AVAL_SOURCES({ "shape.cl", shape_cl }), &split_op, &split_op_2, &concat_op)
