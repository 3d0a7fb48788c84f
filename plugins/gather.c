/* Gather, and its gradient, which is an op of its own: a kernel that computes, where Gather's only copies, and an ordinary node of a
 * body, so that it can be differentiated again. */
#include "support.h"

#include "gather.cl.h"
#include "shape.cl.h"

static int gather_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *indices = host->input(call, 1);
    int64_t axis = aval_axis(host->attr_int(call, "axis"), host->rank(x)), dims[2 * AVAL_MAX_RANK];
    uint32_t rank = 0;
    if (axis < 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute axis is %lld, out of range for %u axes",
                          (long long)host->attr_int(call, "axis"), (unsigned)host->rank(x));
    for (uint32_t i = 0; i < axis; i++) dims[rank++] = host->dims(x)[i];
    for (uint32_t i = 0; i < host->rank(indices); i++) dims[rank++] = host->dims(indices)[i];
    for (uint32_t i = (uint32_t)axis + 1; i < host->rank(x); i++) dims[rank++] = host->dims(x)[i];
    if (rank > AVAL_MAX_RANK)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "the result would have %u axes, expected at most %d", (unsigned)rank, AVAL_MAX_RANK);
    return host->set_output(call, 0, host->type(x), rank, dims);
}

static aval_split gather_split(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    return aval_split_at(host, x, aval_axis(host->attr_int(call, "axis"), host->rank(x)));
}

static int gather_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *indices = host->input(call, 1), *y = host->output(call, 0);
    aval_split s = gather_split(host, call);
    if (host->count(y) == 0) return 0;
    if (host->count(x) == 0) return host->fill(call, y, 0);
    return host->launch(call, AVAL_LAUNCH(.kernel = "gather", EACH(host->count(y)), .s_type = aval_carrier(host->type(x)),
                                          .i_type = (uint32_t)host->type(indices),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_READ(indices), AVAL_WRITE(y), AVAL_I64(s.outer), AVAL_I64(s.length),
                                                    AVAL_I64(host->count(indices)), AVAL_I64(s.inner))));
}

static int gather_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *indices = host->input(call, 1), *y = host->output(call, 0);
    const int64_t *index = host->integer(call, indices), count = host->count(indices);
    int floats = (AVAL_REALS & AVAL_TYPE_SET(host->type(x))) != 0;
    aval_split s = gather_split(host, call);
    for (int64_t i = 0; i < host->count(y); i++) {
        int64_t o = i / s.inner / count, row = index[i / s.inner % count];
        if (row < 0) row += s.length;
        int64_t at = (o * s.length + row) * s.inner + i % s.inner;
        int inside = row >= 0 && row < s.length;
        if (floats) host->real(call, y)[i] = inside ? host->real(call, x)[at] : 0.0;
        else host->integer(call, y)[i] = inside ? host->integer(call, x)[at] : 0;
    }
    return 0;
}

static int gather_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *inputs[] = { host->upstream(call, 0), host->input(call, 1) }, *g;
    text attrs = { 0 };
    text_ints(&attrs, "dims", host->dims(x), host->rank(x));
    text_int(&attrs, "axis", host->attr_int(call, "axis"));
    TRY(host->apply(call, "aval::GatherGradient", attrs.at, 2, inputs, 1, &g));
    return host->yield(call, 0, g);
}

static int scatter_infer(const aval_host *host, aval_call *call)
{
    size_t rank;
    const int64_t *dims = host->attr_ints(call, "dims", &rank);
    if (aval_axis(host->attr_int(call, "axis"), (uint32_t)rank) < 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute axis is out of range for the %zu axes of attribute dims", rank);
    return host->set_output(call, 0, host->type(host->input(call, 0)), (uint32_t)rank, dims);
}

static aval_split scatter_split(const aval_host *host, aval_call *call)
{
    const aval_tensor *dx = host->output(call, 0);
    return aval_split_at(host, dx, aval_axis(host->attr_int(call, "axis"), host->rank(dx)));
}

static int scatter_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *g = host->input(call, 0), *indices = host->input(call, 1), *dx = host->output(call, 0);
    aval_split s = scatter_split(host, call);
    if (host->count(dx) == 0) return 0;
    return host->launch(call, AVAL_LAUNCH(.kernel = "gather_gradient", BY_GROUPS(host->device(call)->group, s.outer * s.length),
                                          .i_type = (uint32_t)host->type(indices),
                                          AVAL_ARGS(AVAL_READ(g), AVAL_READ(indices), AVAL_WRITE(dx), AVAL_I64(s.outer), AVAL_I64(s.length),
                                                    AVAL_I64(host->count(indices)), AVAL_I64(s.inner))));
}

static int scatter_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *g = host->input(call, 0), *indices = host->input(call, 1), *dx = host->output(call, 0);
    const int64_t *index = host->integer(call, indices), count = host->count(indices);
    aval_split s = scatter_split(host, call);
    for (int64_t i = 0; i < host->count(dx); i++) host->real(call, dx)[i] = 0;
    for (int64_t i = 0; i < host->count(g); i++) {
        int64_t o = i / s.inner / count, row = index[i / s.inner % count];
        if (row < 0) row += s.length;
        if (row >= 0 && row < s.length) host->real(call, dx)[(o * s.length + row) * s.inner + i % s.inner] += host->real(call, g)[i];
    }
    return 0;
}

static int scatter_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *inputs[] = { host->upstream(call, 0), host->input(call, 1) }, *g;
    text attrs = { 0 };
    text_int(&attrs, "axis", host->attr_int(call, "axis"));
    TRY(host->apply(call, "Gather", attrs.at, 2, inputs, 1, &g));
    return host->yield(call, 0, g);
}

#define INDEX_TYPES (AVAL_TYPE_SET(AVAL_INT32) | AVAL_TYPE_SET(AVAL_INT64))

static const aval_op gather_op = {
    .size = sizeof(aval_op),
    .name = "Gather",
    .since = 13,
    .deterministic = 1,
    .kernels = "shape.cl",
    .doc = "Rows of the input along an axis, as indices name them; those out of range give 0.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_STORED }, { .name = "indices", .types = INDEX_TYPES }),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
    .zero_gradient = 2,
    .attrs = AVAL_ATTRS({ .name = "axis", .type = AVAL_ATTR_INT, .initial = "0", .doc = "the axis that indices count along" }),
    .infer = gather_infer,
    .forward = gather_forward,
    .backward_body = gather_backward,
    .reference = gather_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[5,3] i64[4]{0,2,2,-1}", .why = "a row twice, and one from the end" },
                            { .inputs = "[2,5,3] i32[2,2]{4,0,1,1}", .attrs = "axis=1" }, { .inputs = "[5,3] i64[]{2}" },
                            { .inputs = "[5,3] i64[0]" }, { .inputs = "[1] i64[1]{0}" },
                            { .inputs = "[300,257] i64[64]{0..299}", .size_class = AVAL_LARGE }),
};
static const aval_op scatter_op = {
    .size = sizeof(aval_op),
    .name = "GatherGradient",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .kernels = "gather.cl",
    .doc = "The gradient of Gather: each row of the result is the sum of the rows that indices took from it, in their order.",
    .inputs = AVAL_PORTS({ .name = "upstream" }, { .name = "indices", .types = INDEX_TYPES }),
    .outputs = AVAL_PORTS({ .name = "output" }),
    .zero_gradient = 2,
    .attrs = AVAL_ATTRS({ .name = "dims", .type = AVAL_ATTR_INTS, .required = 1, .doc = "shape of the result" },
                        { .name = "axis", .type = AVAL_ATTR_INT, .initial = "0", .doc = "the axis that indices count along" }),
    .infer = scatter_infer,
    .forward = scatter_forward,
    .backward_body = scatter_backward,
    .reference = scatter_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[4,3] i64[4]{0,2,2,-1}", .attrs = "dims=[5,3]" },
                            { .inputs = "[2,2,3] i32[2]{4,0}", .attrs = "dims=[2,5,3] axis=1" }),
};

static const aval_op *const ops[] = { &gather_op, &scatter_op, NULL };
static const aval_kernel_source sources[] = { { .name = "shape.cl", .text = shape_cl },
                                              { .name = "gather.cl", .text = gather_cl },
                                              { .name = NULL } };

AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = {
    .abi = AVAL_PLUGIN_ABI,
    .size = sizeof(aval_plugin),
    .name = "gather",
    .version = "0.1.0",
    .ops = ops,
    .sources = sources,
};
