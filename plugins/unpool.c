/* MaxUnpool: undoes MaxPool's choice.  Indices count in the shape that the pool's windows give, whatever shape is wanted. */
#include "window.h"

#include "unpool.cl.h"

static int64_t planes_of(const aval_host *host, const aval_tensor *x)
{
    return host->dims(x)[0] * host->dims(x)[1];
}

/* small: the lengths that I counts in; large: those of the output. */
static int unpool_read(const aval_host *host, aval_call *call, size_t *axes, int64_t *small, int64_t *large)
{
    const aval_tensor *x = host->input(call, 0), *shape = host->n_inputs(call) > 2 ? host->input(call, 2) : NULL;
    const int64_t *wanted = shape == NULL ? NULL : host->content(call, 2);
    int64_t in[WINDOW_SPACE], kernel[WINDOW_SPACE], stride[WINDOW_SPACE], pads[2 * WINDOW_SPACE];
    TRY(window_space(host, call, "X", x, axes, in));
    for (size_t i = 0; i < WINDOW_SPACE; i++) small[i] = large[i] = kernel[i] = 1;
    TRY(window_ints(host, call, "kernel_shape", *axes, 1, 0, kernel + WINDOW_SPACE - *axes));
    TRY(window_axes(host, call, "strides", *axes, 1, 1, stride));
    TRY(window_ints(host, call, "pads", 2 * *axes, 0, 0, pads));
    if (shape != NULL && wanted == NULL) return host->fail(call, AVAL_NEEDS_CONTENT, "input output_shape must be known");
    if (shape != NULL && host->count(shape) != (int64_t)*axes + 2)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input output_shape has %lld elements, expected %zu", (long long)host->count(shape),
                          *axes + 2);
    for (size_t i = 0; i < *axes; i++) {
        size_t at = WINDOW_SPACE - *axes + i;
        small[at] = (in[at] - 1) * stride[at] - pads[i] - pads[*axes + i] + kernel[at];
        large[at] = wanted == NULL ? small[at] : wanted[2 + i];
        if (small[at] < 0 || large[at] < 0)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "axis %zu of the result would have length %lld, expected 0 or more", at,
                              (long long)(small[at] < 0 ? small[at] : large[at]));
    }
    return 0;
}

static int unpool_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *places = host->input(call, 1);
    int64_t small[WINDOW_SPACE], large[WINDOW_SPACE];
    size_t axes;
    TRY(unpool_read(host, call, &axes, small, large));
    if (host->rank(places) != host->rank(x) || host->count(places) != host->count(x))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "inputs X and I have %lld and %lld elements, expected the same shape",
                          (long long)host->count(x), (long long)host->count(places));
    return window_output(host, call, 0, host->type(x), host->dims(x)[0], host->dims(x)[1], axes, large);
}

static int unpool_launch(const aval_host *host, aval_call *call, int backward)
{
    const aval_tensor *from = backward ? host->upstream(call, 0) : host->input(call, 0), *places = host->input(call, 1);
    const aval_tensor *to = backward ? host->gradient(call, 0) : host->output(call, 0);
    int64_t small[WINDOW_SPACE], large[WINDOW_SPACE], planes = planes_of(host, places);
    size_t axes;
    TRY(unpool_read(host, call, &axes, small, large));
    if (!backward || host->count(from) == 0) TRY(host->fill(call, to, 0));
    if (host->count(places) == 0 || host->count(from) == 0 || host->count(to) == 0) return 0;
    int64_t items = backward ? host->count(places) : planes, elements = host->count(places) / planes;
    return host->launch(call, AVAL_LAUNCH(.kernel = backward ? "max_unpool_backward" : "max_unpool", EACH(items),
                                          AVAL_ARGS(AVAL_READ(from), AVAL_READ(places), AVAL_UPDATE(to), AVAL_I64(planes),
                                                    AVAL_I64(elements), THREE(small), THREE(large))));
}

static int unpool_forward(const aval_host *host, aval_call *call)
{
    return unpool_launch(host, call, 0);
}

static int unpool_backward(const aval_host *host, aval_call *call)
{
    return host->gradient(call, 0) == NULL ? 0 : unpool_launch(host, call, 1);
}

static int unpool_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    const int64_t *places = host->integer(call, host->input(call, 1));
    int64_t small[WINDOW_SPACE], large[WINDOW_SPACE];
    size_t axes;
    TRY(unpool_read(host, call, &axes, small, large));
    int64_t in_plane = product(small, WINDOW_SPACE), elements = host->count(x) / (planes_of(host, x) > 0 ? planes_of(host, x) : 1);
    for (int64_t i = 0; i < host->count(y); i++) host->real(call, y)[i] = 0;
    for (int64_t i = 0; i < host->count(x); i++) {
        int64_t plane = i / elements, at = places[i] - plane * in_plane;
        int64_t column = at % small[2], row = at / small[2] % small[1], z = at / small[2] / small[1];
        if (at < 0 || at >= in_plane || z >= large[0] || row >= large[1] || column >= large[2]) continue;
        host->real(call, y)[((plane * large[0] + z) * large[1] + row) * large[2] + column] = host->real(call, x)[i];
    }
    return 0;
}

static const aval_op unpool_op = {
    .size = sizeof(aval_op),
    .name = "MaxUnpool",
    .since = 9,
    .deterministic = 1,
    .doc = "X's elements put back to where MaxPool found them, zeros elsewhere; of several put to one place the last.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "I", .types = AVAL_TYPE_SET(AVAL_INT64) },
                         { .name = "output_shape", .flags = AVAL_OPTIONAL | AVAL_SHAPE_INPUT, .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .outputs = AVAL_PORTS({ .name = "output" }),
    .attrs = AVAL_ATTRS({ .name = "kernel_shape", .type = AVAL_ATTR_INTS, .required = 1, .doc = "of the pool" },
                        { .name = "strides", .type = AVAL_ATTR_INTS, .doc = "of the pool; 1 without it" },
                        { .name = "pads", .type = AVAL_ATTR_INTS, .doc = "of the pool; 0 without it" }),
    .infer = unpool_infer,
    .forward = unpool_forward,
    .backward = unpool_backward,
    .reference = unpool_reference,
    .keeps = AVAL_KEEP_INPUT(1) | AVAL_KEEP_INPUT(2),
    .zero_gradient = 6,
    .samples = AVAL_SAMPLES({ .inputs = "[1,1,2,2] i64[1,1,2,2]{5,7,13,15}", .attrs = "kernel_shape=[2,2] strides=[2,2]" },
                            { .inputs = "[1,1,2,2] i64[1,1,2,2]{5,7,13,15} i64[4]{1,1,5,5}", .attrs = "kernel_shape=[2,2] strides=[2,2]" },
                            { .inputs = "[1,2,3] i64[1,2,3]{1,2,4,6,9,10}", .attrs = "kernel_shape=[2] strides=[2]" },
                            { .inputs = "[0,1,2,2] i64[0,1,2,2]", .attrs = "kernel_shape=[2,2] strides=[2,2]" }),
};

AVAL_PLUGIN("unpool", "0.1.0", AVAL_SOURCES({ "unpool.cl", unpool_cl }), &unpool_op)
