/* Pooling of images.  MaxPool keeps the place of each window's winner, so that its gradient looks windows up instead of adding from
 * several places at once; GlobalAveragePool is a mean. */
#include "window.h"

#include "pool.cl.h"

static int pool_read(const aval_host *host, aval_call *call, aval_patches *w)
{
    const aval_tensor *x = host->input(call, 0);
    if (host->rank(x) != 4)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "input X has %u axes, expected 4: only images are pooled",
                          (unsigned)host->rank(x));
    if (host->attr_int(call, "storage_order") != 0)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "attribute storage_order is %lld, expected 0: row-major",
                          (long long)host->attr_int(call, "storage_order"));
    TRY(window_ints(host, call, "kernel_shape", 2, 1, 0, w->kernel));
    return window_read(host, call, x, host->attr_int(call, "ceil_mode") != 0, w);
}

static int max_pool_infer(const aval_host *host, aval_call *call)
{
    aval_patches w;
    TRY(pool_read(host, call, &w));
    const aval_tensor *x = host->input(call, 0);
    const int64_t dims[] = { host->dims(x)[0], w.channels, w.out[0], w.out[1] };
    TRY(host->set_output(call, 0, host->type(x), 4, dims));
    return host->n_outputs(call) > 1 ? host->set_output(call, 1, AVAL_INT64, 4, dims) : 0;
}

#define WINDOW_ARGS(planes, w) \
    AVAL_I64(planes), AVAL_I64((w).height), AVAL_I64((w).width), AVAL_I64((w).kernel[0]), AVAL_I64((w).kernel[1]), \
        AVAL_I64((w).stride[0]), AVAL_I64((w).stride[1]), AVAL_I64((w).pad[0]), AVAL_I64((w).pad[1]), AVAL_I64((w).dilation[0]), \
        AVAL_I64((w).dilation[1]), AVAL_I64((w).out[0]), AVAL_I64((w).out[1])

static int max_pool_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *places = host->n_outputs(call) > 1 ? host->output(call, 1) : NULL;
    aval_patches w;
    TRY(pool_read(host, call, &w));
    int64_t planes = host->dims(x)[0] * w.channels, windows = planes * w.out[0] * w.out[1];
    if (windows == 0) return 0;
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "max_pool", EACH(windows),
                          AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(host->output(call, 0)), AVAL_WRITE(places), WINDOW_ARGS(planes, w))));
}

static int max_pool_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *dx = host->gradient(call, 0), *g = host->upstream(call, 0);
    aval_patches w;
    TRY(pool_read(host, call, &w));
    if (host->count(dx) == 0) return 0;
    if (g == NULL || host->count(g) == 0) return host->fill(call, dx, 0);
    int64_t planes = host->dims(dx)[0] * w.channels;
    return host->launch(call,
                        AVAL_LAUNCH(.kernel = "max_pool_backward", EACH(host->count(dx)),
                                    AVAL_ARGS(AVAL_READ(g), AVAL_READ(host->output(call, 1)), AVAL_WRITE(dx), WINDOW_ARGS(planes, w))));
}

static int max_pool_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0),
                      *places = host->n_outputs(call) > 1 ? host->output(call, 1) : NULL;
    const double *in = host->real(call, x);
    aval_patches w;
    TRY(pool_read(host, call, &w));
    int64_t windows = host->dims(x)[0] * w.channels * w.out[0] * w.out[1];
    for (int64_t i = 0; i < windows; i++) {
        int64_t ox = i % w.out[1], oy = i / w.out[1] % w.out[0], plane = i / w.out[1] / w.out[0], place = -1;
        for (int64_t k = 0; k < w.kernel[0] * w.kernel[1]; k++) {
            int64_t iy = oy * w.stride[0] + k / w.kernel[1] * w.dilation[0] - w.pad[0];
            int64_t ix = ox * w.stride[1] + k % w.kernel[1] * w.dilation[1] - w.pad[1], at = (plane * w.height + iy) * w.width + ix;
            if (iy < 0 || iy >= w.height || ix < 0 || ix >= w.width) continue;
            if (place < 0 || in[at] > in[place]) place = at;
        }
        if (y != NULL) host->real(call, y)[i] = place < 0 ? (double)-INFINITY : in[place];
        if (places != NULL) host->integer(call, places)[i] = place;
    }
    return 0;
}

static int global_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t dims[AVAL_MAX_RANK];
    if (host->rank(x) < 2)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input X has %u axes, expected at least 2", (unsigned)host->rank(x));
    for (uint32_t i = 0; i < host->rank(x); i++) dims[i] = i < 2 ? host->dims(x)[i] : 1;
    return host->set_output(call, 0, host->type(x), host->rank(x), dims);
}

static int global_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y;
    int64_t axes[AVAL_MAX_RANK];
    uint32_t n = 0;
    for (uint32_t i = 2; i < host->rank(x); i++) axes[n++] = i;
    const aval_tensor *inputs[] = { x, constant_ints(host, call, axes, n) };
    TRY(host->apply(call, "ReduceMean", "noop_with_empty_axes=1", 2, inputs, 1, &y));
    return host->yield(call, 0, y);
}

static const aval_op max_pool_op = {
    .size = sizeof(aval_op),
    .name = "MaxPool",
    .since = 12,
    .deterministic = 1,
    .doc = "The largest element of each window of an image, and where it lies in X.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Y" }, { .name = "Indices", .flags = AVAL_OPTIONAL, .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .attrs =
        AVAL_ATTRS(WINDOW_ATTRS, { .name = "ceil_mode", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: a last window may end outside" },
                   { .name = "storage_order", .type = AVAL_ATTR_INT, .initial = "0", .doc = "0: Indices are row-major" }),
    .infer = max_pool_infer,
    .forward = max_pool_forward,
    .backward = max_pool_backward,
    .reference = max_pool_reference,
    .keeps = AVAL_KEEP_OUTPUT(1),
    .subgradient = "the first winner at ties, row by row",
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,3,6,6]", .attrs = "kernel_shape=[2,2] strides=[2,2]", .flags = AVAL_DISTINCT },
        { .inputs = "[2,3,6,7]", .attrs = "kernel_shape=[3,2] strides=[2,1] pads=[1,1,1,0] ceil_mode=1", .flags = AVAL_DISTINCT },
        { .inputs = "[1,2,8,8]", .attrs = "kernel_shape=[2,3] dilations=[2,2] auto_pad='SAME_UPPER'", .flags = AVAL_DISTINCT },
        { .inputs = "[1,1,2,3]{1,1,1,1,2,2}",
          .attrs = "kernel_shape=[2,2]",
          .flags = AVAL_NO_GRADIENT_CHECK,
          .why = "ties: differences say nothing there" },
        { .inputs = "[0,1,2,2]", .attrs = "kernel_shape=[2,2]" }, { .inputs = "[1,1,1,1]", .attrs = "kernel_shape=[1,1]" },
        { .inputs = "[4,8,48,50]", .attrs = "kernel_shape=[2,2] strides=[2,2]", .flags = AVAL_DISTINCT, .size_class = AVAL_LARGE }),
};
static const aval_op global_op = {
    .size = sizeof(aval_op),
    .name = "GlobalAveragePool",
    .since = 1,
    .deterministic = 1,
    .doc = "The mean of each channel of each image.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .infer = global_infer,
    .body = global_body,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3,4,5]" }, { .inputs = "[1,1,1,1]" }, { .inputs = "[2,3]" }, { .inputs = "[0,2,3,3]" }),
};

static const aval_op *const ops[] = { &max_pool_op, &global_op, NULL };
static const aval_kernel_source sources[] = { { .name = "pool.cl", .text = pool_cl }, { .name = NULL } };

AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = {
    .abi = AVAL_PLUGIN_ABI,
    .size = sizeof(aval_plugin),
    .name = "pool",
    .version = "0.1.0",
    .ops = ops,
    .sources = sources,
};
