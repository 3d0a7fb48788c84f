/* Operators that give the elements another order: Transpose, DepthToSpace, SpaceToDepth, ReverseSequence. */
#include "aval/strides.h"
#include "box.h"

#include "shape.cl.h"

#include <string.h>

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
    const aval_strides *strides = host->extension(call, AVAL_STRIDES);
    int taken = strides == NULL ? 0 : strides->alias(call, host->output(call, 0), host->input(call, 0), 0, b.from);
    if (taken != 0) return taken < 0 ? taken : 0;
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

/* ---- DepthToSpace and SpaceToDepth: a transposition between two views ---------------------------------------------------------------- */

static int check_image(const aval_host *host, aval_call *call, int64_t *block)
{
    *block = host->attr_int(call, "blocksize");
    if (host->rank(host->input(call, 0)) != 4 || *block < 1 || *block > INT32_MAX / 4)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "input has %u axes and attribute blocksize is %lld, expected images [N,C,H,W] and a size of 1 to 2^29",
                          (unsigned)host->rank(host->input(call, 0)), (long long)*block);
    return 0;
}

static int depth_to_space_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    const int64_t *d = host->dims(x);
    const char *mode = host->attr_string(call, "mode");
    int64_t b;
    TRY(check_image(host, call, &b));
    if (d[1] % (b * b) != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input has %lld channels, expected a multiple of %lld", (long long)d[1],
                          (long long)(b * b));
    if (strcmp(mode, "DCR") != 0 && strcmp(mode, "CRD") != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute mode is '%s', expected 'DCR' or 'CRD'", mode);
    return host->set_output(call, 0, host->type(x), 4, (const int64_t[]){ d[0], d[1] / (b * b), product_of(d[2], b), product_of(d[3], b) });
}

static int space_to_depth_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    const int64_t *d = host->dims(x);
    int64_t b;
    TRY(check_image(host, call, &b));
    if (d[2] % b != 0 || d[3] % b != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input is %lld high and %lld wide, expected multiples of %lld", (long long)d[2],
                          (long long)d[3], (long long)b);
    return host->set_output(call, 0, host->type(x), 4, (const int64_t[]){ d[0], d[1] * b * b, d[2] / b, d[3] / b });
}

/* x seen as `dims` (6 axes), transposed by `perm`, in the shape of the output. */
static int blocks(const aval_host *host, aval_call *call, const int64_t *dims, const int64_t *perm)
{
    const aval_tensor *y = host->output(call, 0), *t;
    text attrs = { 0 };
    text_ints(&attrs, "perm", perm, 6);
    TRY(reshaped(host, call, host->input(call, 0), 6, dims, &t));
    TRY(host->apply(call, "Transpose", attrs.at, 1, &t, 1, &t));
    TRY(reshaped(host, call, t, host->rank(y), host->dims(y), &t));
    return host->yield(call, 0, t);
}

static int depth_to_space_body(const aval_host *host, aval_call *call)
{
    const int64_t *d = host->dims(host->input(call, 0)), b = host->attr_int(call, "blocksize"), c = d[1] / (b * b);
    int depth_first = strcmp(host->attr_string(call, "mode"), "DCR") == 0;
    const int64_t dcr[] = { d[0], b, b, c, d[2], d[3] }, crd[] = { d[0], c, b, b, d[2], d[3] };
    return depth_first ? blocks(host, call, dcr, (const int64_t[]){ 0, 3, 4, 1, 5, 2 })
                       : blocks(host, call, crd, (const int64_t[]){ 0, 1, 4, 2, 5, 3 });
}

static int space_to_depth_body(const aval_host *host, aval_call *call)
{
    const int64_t *d = host->dims(host->input(call, 0)), b = host->attr_int(call, "blocksize");
    const int64_t dims[] = { d[0], d[1], d[2] / b, b, d[3] / b, b };
    return blocks(host, call, dims, (const int64_t[]){ 0, 3, 5, 1, 2, 4 });
}

/* ---- ReverseSequence: its own gradient --------------------------------------------------------------------------------------------- */

static int reverse_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *lengths = host->input(call, 1);
    int64_t time = host->attr_int(call, "time_axis"), batch = host->attr_int(call, "batch_axis");
    if (host->rank(x) < 2 || time < 0 || batch < 0 || time > 1 || batch > 1 || time == batch)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT,
                          "attributes time_axis and batch_axis are %lld and %lld for %u axes, expected 0 and 1, or 1 and 0",
                          (long long)time, (long long)batch, (unsigned)host->rank(x));
    if (host->count(lengths) != host->dims(x)[batch])
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input sequence_lens has %lld lengths, expected one a sequence, %lld",
                          (long long)host->count(lengths), (long long)host->dims(x)[batch]);
    return aval_infer_like(host, call, 0, 0);
}

/* How far apart neighbours in time and in the batch are, in elements. */
static void reverse_steps(const aval_host *host, const aval_call *call, int64_t *time_step, int64_t *batch_step)
{
    const aval_tensor *x = host->input(call, 0);
    *time_step = aval_split_at(host, x, host->attr_int(call, "time_axis")).inner;
    *batch_step = aval_split_at(host, x, host->attr_int(call, "batch_axis")).inner;
}

static int reverse_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *lengths = host->input(call, 1);
    int64_t time_step, batch_step;
    reverse_steps(host, call, &time_step, &batch_step);
    if (host->count(x) == 0) return 0;
    const int64_t dims[] = { host->dims(x)[0], host->dims(x)[1], time_step < batch_step ? time_step : batch_step };
    walk w = walk_over(host->device(call), dims, 3);
    return host->launch(call, AVAL_LAUNCH(.kernel = "reverse_sequence", BY_WALK(host->device(call), w),
                                          .s_type = aval_carrier(host->type(x)), .i_type = (uint32_t)host->type(lengths),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_READ(lengths), AVAL_WRITE(host->output(call, 0)),
                                                    AVAL_I32(host->attr_int(call, "time_axis")), AVAL_I64(time_step), WALK(w))));
}

static int reverse_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *lengths = host->input(call, 1);
    int64_t time_step, batch_step, time = host->dims(x)[host->attr_int(call, "time_axis")];
    reverse_steps(host, call, &time_step, &batch_step);
    for (int64_t i = 0; i < host->count(x); i++) {
        int64_t t = i / time_step % time, length = host->integer(call, lengths)[i / batch_step % host->count(lengths)];
        int64_t from = t < length && length <= time ? length - 1 - t : t;
        move_element(host, call, host->output(call, 0), i, x, i + (from - t) * time_step);
    }
    return 0;
}

static int reverse_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *inputs[] = { host->upstream(call, 0), host->input(call, 1) }, *g;
    text attrs = { 0 };
    text_int(&attrs, "time_axis", host->attr_int(call, "time_axis"));
    text_int(&attrs, "batch_axis", host->attr_int(call, "batch_axis"));
    TRY(host->apply(call, "ReverseSequence", attrs.at, 2, inputs, 1, &g));
    return host->yield(call, 0, g);
}

static const aval_op transpose_op = {
    .size = sizeof(aval_op),
    .name = "Transpose",
    .role = AVAL_ROLE_TRANSPOSE,
    .since = 1,
    .deterministic = 1,
    .kernels = "shape.cl",
    .doc = "The axes in another order.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_STORED }),
    .outputs = AVAL_PORTS({ .name = "transposed", .types = AVAL_STORED }),
    .attrs = AVAL_ATTRS({ .name = "perm", .type = AVAL_ATTR_INTS, .doc = "axis of the input for each of the output; reversed without it" }),
    .infer = transpose_infer,
    .forward = transpose_forward,
    .backward_body = transpose_backward,
    .reference = transpose_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]" }, { .inputs = "[2,3,4,5]", .attrs = "perm=[0,2,3,1]" }, { .inputs = "[]" },
                            { .inputs = "[0,3]" }, { .inputs = "[2,1,3]", .attrs = "perm=[1,0,2]", .why = "moves nothing" },
                            { .inputs = "[1]" }, { .inputs = "[1,2,1,3,1,2,1,2]" },
                            { .inputs = "[2,37,3,21]", .attrs = "perm=[3,2,0,1]", .why = "neither strips nor squares are whole" },
                            { .inputs = "i8[3,18,9]{-9..9}", .attrs = "perm=[0,2,1]" }, { .inputs = "i64[2,2]{1,2,3,4}" },
                            { .inputs = "[257,259]", .size_class = AVAL_LARGE }),
};
static const aval_op depth_to_space_op = {
    .size = sizeof(aval_op),
    .name = "DepthToSpace",
    .since = 1,
    .deterministic = 1,
    .doc = "Channels become blocks of pixels.",
    .inputs = AVAL_PORTS({ .name = "input", .types = AVAL_STORED }),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
    .attrs = AVAL_ATTRS({ .name = "blocksize", .type = AVAL_ATTR_INT, .required = 1, .doc = "height and width of a block" },
                        { .name = "mode",
                          .type = AVAL_ATTR_STRING,
                          .initial = "'DCR'",
                          .doc = "DCR: the block's pixel is the slower part of the channel; CRD: the faster" }),
    .infer = depth_to_space_infer,
    .body = depth_to_space_body,
    .samples =
        AVAL_SAMPLES({ .inputs = "[1,8,2,3]", .attrs = "blocksize=2" }, { .inputs = "[2,12,1,2]", .attrs = "blocksize=2 mode='CRD'" },
                     { .inputs = "[0,4,2,2]", .attrs = "blocksize=2" }, { .inputs = "[1,1,1,1]", .attrs = "blocksize=1" }),
};
static const aval_op space_to_depth_op = {
    .size = sizeof(aval_op),
    .name = "SpaceToDepth",
    .since = 1,
    .deterministic = 1,
    .doc = "Blocks of pixels become channels.",
    .inputs = AVAL_PORTS({ .name = "input", .types = AVAL_STORED }),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
    .attrs = AVAL_ATTRS({ .name = "blocksize", .type = AVAL_ATTR_INT, .required = 1, .doc = "height and width of a block" }),
    .infer = space_to_depth_infer,
    .body = space_to_depth_body,
    .samples = AVAL_SAMPLES({ .inputs = "[1,2,4,6]", .attrs = "blocksize=2" }, { .inputs = "[2,3,3,3]", .attrs = "blocksize=3" },
                            { .inputs = "[0,1,2,2]", .attrs = "blocksize=2" }),
};
static const aval_op reverse_op = {
    .size = sizeof(aval_op),
    .name = "ReverseSequence",
    .since = 10,
    .deterministic = 1,
    .kernels = "shape.cl",
    .doc = "The first elements of each sequence in the opposite order, as many as its length says.",
    .inputs = AVAL_PORTS({ .name = "input", .types = AVAL_STORED }, { .name = "sequence_lens", .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .outputs = AVAL_PORTS({ .name = "Y", .types = AVAL_STORED }),
    .zero_gradient = 2,
    .attrs = AVAL_ATTRS({ .name = "time_axis", .type = AVAL_ATTR_INT, .initial = "0", .doc = "0 or 1" },
                        { .name = "batch_axis", .type = AVAL_ATTR_INT, .initial = "1", .doc = "0 or 1, the other one" }),
    .infer = reverse_infer,
    .forward = reverse_forward,
    .backward_body = reverse_backward,
    .reference = reverse_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[4,3,2] i64[3]{4,2,1}" }, { .inputs = "[3,4] i64[3]{3,0,4}", .attrs = "time_axis=1 batch_axis=0" },
                            { .inputs = "[0,2] i64[2]{0,0}" }),
};

AVAL_PLUGIN("move", "0.1.0", AVAL_SOURCES({ "shape.cl", shape_cl }), &transpose_op, &depth_to_space_op, &space_to_depth_op, &reverse_op)
