/* Pooling over windows of 1 to 3 axes.  MaxPool keeps the place of each window's winner, so that its gradient looks windows up instead of
 * adding from several places at once.  Sums over windows (aval::PoolSum) and their gradient (aval::PoolSpread) are each other's
 * gradient; averages and norms are bodies of the first.  Global pooling is a reduction. */
#include "window.h"

#include "pool.cl.h"

/* Reads kernel_shape, which all pools need, and the rest of the window. */
static int pool_read(const aval_host *host, aval_call *call, int ceil_mode, window *w)
{
    const aval_tensor *x = host->input(call, 0);
    TRY(window_space(host, call, "X", x, &w->axes, w->at.in));
    if (product(w->at.in, WINDOW_SPACE) > INT32_MAX / 4)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "input X has %lld elements a channel, expected at most %d",
                          (long long)product(w->at.in, WINDOW_SPACE), INT32_MAX / 4);
    for (size_t i = 0; i < WINDOW_SPACE; i++) w->at.kernel[i] = 1;
    TRY(window_ints(host, call, "kernel_shape", w->axes, 1, 0, w->at.kernel + WINDOW_SPACE - w->axes));
    return window_read(host, call, x, ceil_mode, w);
}

static int64_t planes_of(const aval_host *host, const aval_tensor *x)
{
    return host->dims(x)[0] * host->dims(x)[1];
}

/* Element of x that tap `tap` of window `at` sees, counted in its plane; -1 outside. */
static int64_t seen(const window *w, int64_t at, int64_t tap)
{
    const aval_patches *p = &w->at;
    int64_t place[WINDOW_SPACE], result = 0;
    int inside = 1;
    for (int i = WINDOW_SPACE - 1; i >= 0; i--) {
        place[i] = at % p->out[i] * p->stride[i] + tap % p->kernel[i] * p->dilation[i] - p->pad[i];
        inside &= place[i] >= 0 && place[i] < p->in[i];
        at /= p->out[i];
        tap /= p->kernel[i];
    }
    for (int i = 0; i < WINDOW_SPACE; i++) result = result * p->in[i] + place[i];
    return inside ? result : -1;
}

/* ---- MaxPool --------------------------------------------------------------------------------------------------------------------------- */

static int max_pool_read(const aval_host *host, aval_call *call, window *w)
{
    return pool_read(host, call, host->attr_int(call, "ceil_mode") != 0, w);
}

static int max_pool_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    window w;
    TRY(max_pool_read(host, call, &w));
    for (size_t i = 0; i < host->n_outputs(call); i++)
        TRY(window_output(host, call, i, i == 0 ? host->type(x) : AVAL_INT64, host->dims(x)[0], w.at.channels, w.axes, w.at.out));
    return 0;
}

/* Length of square windows of neighbours in images of at most two axes, which kernels are built for; 0 for others. */
static int64_t common_side(const window *w)
{
    const aval_patches *p = &w->at;
    int flat = p->in[0] == 1 && p->kernel[0] == 1 && p->stride[0] == 1 && p->pad[0] == 0 && p->dilation[0] == 1;
    int square = p->kernel[1] == p->kernel[2] && p->stride[1] == p->stride[2] && p->dilation[1] == 1 && p->dilation[2] == 1;
    return flat && square && p->kernel[2] >= 2 && p->kernel[2] <= 3 && p->stride[2] <= 2 ? p->kernel[2] : 0;
}

/* True where a CPU pools rows of windows by vectors: pool_rows has room for the columns of 16 windows (LINE of pool.cl). */
static int by_rows(const window *w, int64_t run)
{
    const aval_patches *p = &w->at;
    return run > 1 && (p->kernel[2] - 1) * p->dilation[2] + 16 * p->stride[2] <= 1024;
}

/* places: NULL, or of the largest; sum: 1 for sums, divided as `divide` says. */
static int pool_rows(const aval_host *host, aval_call *call, const window *w, const aval_tensor *places, int columns_first, int sum,
                     int64_t divide)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    const aval_patches *p = &w->at;
    int64_t planes = planes_of(host, x), rows = planes * p->out[0] * p->out[1], side = common_side(w);
    int64_t item_rows = chunk_of(host->device(call), rows, p->in[2] * p->kernel[0] * p->kernel[1]);
    return host->launch(call, AVAL_LAUNCH(.kernel = "pool_rows",
                                          AVAL_DEFINES({ "RUN", window_run(host, call) }, { "SIDE", side },
                                                       { "STEP", side > 0 ? p->stride[2] : 1 }, { "SUM", sum }),
                                          .global = { (uint64_t)((rows + item_rows - 1) / item_rows) }, .local = { 1 },
                                          AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(y), AVAL_WRITE(places), AVAL_I32(columns_first),
                                                    AVAL_I32(divide), AVAL_I64(planes), AVAL_I64(item_rows), WINDOW_ARGS(*p))));
}

static int max_pool_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0),
                      *places = host->n_outputs(call) > 1 ? host->output(call, 1) : NULL;
    window w;
    TRY(max_pool_read(host, call, &w));
    if (host->count(y) == 0) return 0;
    int columns_first = host->attr_int(call, "storage_order") != 0;
    int64_t run = window_run(host, call);
    if (by_rows(&w, run)) return pool_rows(host, call, &w, places, columns_first, 0, 0);
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "max_pool", .dims = 2, AVAL_DEFINES({ "RUN", 1 }),
                          .global = { window_items(w.at.out, 1), (uint64_t)planes_of(host, x) },
                          AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(y), AVAL_WRITE(places), AVAL_I32(columns_first), WINDOW_ARGS(w.at))));
}

/* No two windows share an element. */
static int are_apart(const window *w)
{
    for (int i = 0; i < WINDOW_SPACE; i++)
        if ((w->at.kernel[i] - 1) * w->at.dilation[i] >= w->at.stride[i]) return 0;
    return 1;
}

static int max_pool_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *dx = host->gradient(call, 0), *g = host->upstream(call, 0), *places = host->output(call, 1);
    const aval_device_info *device = host->device(call);
    window w;
    TRY(max_pool_read(host, call, &w));
    if (host->count(dx) == 0) return 0;
    if (g == NULL || host->count(g) == 0) return host->fill(call, dx, 0);
    const aval_arg columns_first = AVAL_I32(host->attr_int(call, "storage_order") != 0);
    int64_t run = window_run(host, call), planes = planes_of(host, dx), apart = are_apart(&w);
    /* Halves would be rounded at each addition. */
    if (run == 1 || planes < device->compute_units || (!apart && host->type(dx) == AVAL_FLOAT16))
        return host->launch(call,
                            AVAL_LAUNCH(.kernel = "max_pool_backward", .dims = 2, AVAL_DEFINES({ "RUN", run }),
                                        .global = { window_items(w.at.in, run), (uint64_t)planes },
                                        AVAL_ARGS(AVAL_READ(g), AVAL_READ(places), AVAL_WRITE(dx), columns_first, WINDOW_ARGS(w.at))));
    int64_t item_planes = chunk_of(device, planes, product(w.at.in, WINDOW_SPACE));
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "max_pool_scatter", AVAL_DEFINES({ "RUN", run }),
                          .global = { (uint64_t)((planes + item_planes - 1) / item_planes) }, .local = { 1 },
                          AVAL_ARGS(AVAL_READ(g), AVAL_READ(places), AVAL_WRITE(dx), columns_first, AVAL_I32(apart), AVAL_I64(planes),
                                    AVAL_I64(item_planes), THREE(w.at.in), AVAL_I32(product(w.at.out, WINDOW_SPACE)))));
}

/* Element `at` of a plane, counted with the first axis fastest. */
static int64_t to_columns(const aval_patches *p, int64_t at)
{
    return at / p->in[2] / p->in[1] + p->in[0] * (at / p->in[2] % p->in[1] + p->in[1] * (at % p->in[2]));
}

static int max_pool_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0),
                      *places = host->n_outputs(call) > 1 ? host->output(call, 1) : NULL;
    int floats = (AVAL_FLOATS & AVAL_TYPE_SET(host->type(x))) != 0, columns = host->attr_int(call, "storage_order") != 0;
    window w;
    TRY(max_pool_read(host, call, &w));
    int64_t pixels = product(w.at.out, WINDOW_SPACE), taps = product(w.at.kernel, WINDOW_SPACE), in = product(w.at.in, WINDOW_SPACE);
    for (int64_t i = 0; i < planes_of(host, x) * pixels; i++) {
        int64_t plane = i / pixels * in, winner = -1;
        for (int64_t tap = 0; tap < taps; tap++) {
            int64_t at = seen(&w, i % pixels, tap);
            if (at < 0) continue;
            int better = winner < 0 || (floats ? host->real(call, x)[plane + at] > host->real(call, x)[plane + winner]
                                               : host->integer(call, x)[plane + at] > host->integer(call, x)[plane + winner]);
            if (better) winner = at;
        }
        if (y != NULL && floats) host->real(call, y)[i] = winner < 0 ? (double)-INFINITY : host->real(call, x)[plane + winner];
        if (y != NULL && !floats) host->integer(call, y)[i] = winner < 0 ? 0 : host->integer(call, x)[plane + winner];
        if (places != NULL) host->integer(call, places)[i] = winner < 0 ? -1 : plane + (columns ? to_columns(&w.at, winner) : winner);
    }
    return 0;
}

/* ---- Sums over windows ------------------------------------------------------------------------------------------------------------------- */

enum { DIVIDE_NOT, DIVIDE_BY_SEEN, DIVIDE_BY_ALL };

/* Windows whose lengths are all given: `shape` of the result, the other's from the input. */
static int sums_read(const aval_host *host, aval_call *call, int spread, window *w)
{
    aval_patches *p = &w->at;
    TRY(window_space(host, call, spread ? "Y" : "X", host->input(call, 0), &w->axes, spread ? p->out : p->in));
    TRY(window_axes(host, call, "shape", w->axes, 0, 1, spread ? p->in : p->out));
    TRY(window_axes(host, call, "kernel_shape", w->axes, 1, 1, p->kernel));
    TRY(window_axes(host, call, "strides", w->axes, 1, 1, p->stride));
    TRY(window_axes(host, call, "dilations", w->axes, 1, 1, p->dilation));
    TRY(window_axes(host, call, "pads", w->axes, 0, 0, p->pad));
    p->channels = host->dims(host->input(call, 0))[1];
    return 0;
}

static int sums_infer(const aval_host *host, aval_call *call, int spread)
{
    const aval_tensor *from = host->input(call, 0);
    window w;
    TRY(sums_read(host, call, spread, &w));
    return window_output(host, call, 0, host->type(from), host->dims(from)[0], w.at.channels, w.axes, spread ? w.at.in : w.at.out);
}

static int spread_rows(const aval_host *host, aval_call *call, const window *w)
{
    const aval_tensor *y = host->input(call, 0), *x = host->output(call, 0);
    const aval_patches *p = &w->at;
    int64_t planes = planes_of(host, x), rows = planes * p->in[0] * p->in[1];
    int64_t item_rows = chunk_of(host->device(call), rows, p->in[2] * p->kernel[0] * p->kernel[1]);
    return host->launch(call, AVAL_LAUNCH(.kernel = "spread_rows", AVAL_DEFINES({ "RUN", window_run(host, call) }),
                                          .global = { (uint64_t)((rows + item_rows - 1) / item_rows) }, .local = { 1 },
                                          AVAL_ARGS(AVAL_READ(y), AVAL_WRITE(x), AVAL_I32(host->attr_int(call, "divide")), AVAL_I64(planes),
                                                    AVAL_I64(item_rows), WINDOW_ARGS(*p))));
}

static int sums_forward(const aval_host *host, aval_call *call, int spread)
{
    const aval_tensor *from = host->input(call, 0), *to = host->output(call, 0);
    window w;
    TRY(sums_read(host, call, spread, &w));
    if (host->count(to) == 0) return 0;
    if (host->count(from) == 0) return host->fill(call, to, 0);
    int64_t run = window_run(host, call);
    if (by_rows(&w, run))
        return spread ? spread_rows(host, call, &w) : pool_rows(host, call, &w, NULL, 0, 1, host->attr_int(call, "divide"));
    return host->launch(
        call, AVAL_LAUNCH(.kernel = spread ? "window_spread" : "window_sum", .dims = 2, AVAL_DEFINES({ "RUN", run }),
                          .global = { window_items(spread ? w.at.in : w.at.out, run), (uint64_t)planes_of(host, from) },
                          AVAL_ARGS(AVAL_READ(from), AVAL_WRITE(to), AVAL_I32(host->attr_int(call, "divide")), WINDOW_ARGS(w.at))));
}

static int sums_reference(const aval_host *host, aval_call *call, int spread)
{
    const aval_tensor *from = host->input(call, 0), *to = host->output(call, 0);
    int64_t divide = host->attr_int(call, "divide");
    window w;
    TRY(sums_read(host, call, spread, &w));
    int64_t pixels = product(w.at.out, WINDOW_SPACE), taps = product(w.at.kernel, WINDOW_SPACE), in = product(w.at.in, WINDOW_SPACE);
    double *x = host->real(call, spread ? to : from), *y = host->real(call, spread ? from : to);
    for (int64_t i = 0; i < host->count(to); i++) host->real(call, to)[i] = 0;
    for (int64_t i = 0; i < planes_of(host, from) * pixels; i++) {
        double divisor = 0, *plane = x + i / pixels * in, sum = 0;
        for (int64_t tap = 0; tap < taps; tap++) {
            int64_t at = seen(&w, i % pixels, tap);
            divisor += divide == DIVIDE_BY_ALL || at >= 0;
            if (at >= 0) sum += plane[at];
        }
        if (divide == DIVIDE_NOT || divisor == 0) divisor = 1;
        if (!spread) y[i] = sum / divisor;
        for (int64_t tap = 0; spread && tap < taps; tap++) {
            int64_t at = seen(&w, i % pixels, tap);
            if (at >= 0) plane[at] += y[i] / divisor;
        }
    }
    return 0;
}

/* The gradient of either is the other of the upstream gradient. */
static int sums_backward(const aval_host *host, aval_call *call, const char *other)
{
    static const char *const lists[] = { "kernel_shape", "strides", "pads", "dilations" };
    const aval_tensor *up = host->upstream(call, 0), *like = host->input(call, 0), *result;
    text attrs = { 0 };
    text_int(&attrs, "divide", host->attr_int(call, "divide"));
    text_ints(&attrs, "shape", host->dims(like) + 2, host->rank(like) - 2);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        size_t n;
        const int64_t *values = host->attr_ints(call, lists[i], &n);
        if (n > 0) text_ints(&attrs, lists[i], values, n);
    }
    TRY(host->apply(call, other, attrs.at, 1, &up, 1, &result));
    return host->yield(call, 0, result);
}

#define SUMS(name, spread, other) \
    static int name##_infer(const aval_host *host, aval_call *call) \
    { \
        return sums_infer(host, call, spread); \
    } \
    static int name##_forward(const aval_host *host, aval_call *call) \
    { \
        return sums_forward(host, call, spread); \
    } \
    static int name##_backward(const aval_host *host, aval_call *call) \
    { \
        return sums_backward(host, call, other); \
    } \
    static int name##_reference(const aval_host *host, aval_call *call) \
    { \
        return sums_reference(host, call, spread); \
    }
SUMS(window_sum, 0, "aval::PoolSpread")
SUMS(window_spread, 1, "aval::PoolSum")

/* aval::PoolSum over the windows that the node's attributes say. */
static int apply_sum(const aval_host *host, aval_call *call, const aval_tensor *x, int divide, const aval_tensor **y)
{
    window w;
    text attrs = { 0 };
    TRY(pool_read(host, call, host->attr_int(call, "ceil_mode") != 0, &w));
    const size_t skipped = WINDOW_SPACE - w.axes;
    text_int(&attrs, "divide", divide);
    text_ints(&attrs, "shape", w.at.out + skipped, w.axes);
    text_ints(&attrs, "kernel_shape", w.at.kernel + skipped, w.axes);
    text_ints(&attrs, "strides", w.at.stride + skipped, w.axes);
    text_ints(&attrs, "dilations", w.at.dilation + skipped, w.axes);
    text_ints(&attrs, "pads", w.at.pad + skipped, w.axes);
    return host->apply(call, "aval::PoolSum", attrs.at, 1, &x, 1, y);
}

static int average_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *y;
    TRY(apply_sum(host, call, host->input(call, 0), host->attr_int(call, "count_include_pad") != 0 ? DIVIDE_BY_ALL : DIVIDE_BY_SEEN, &y));
    return host->yield(call, 0, y);
}

static int pool_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    window w;
    TRY(pool_read(host, call, host->attr_int(call, "ceil_mode") != 0, &w));
    return window_output(host, call, 0, host->type(x), host->dims(x)[0], w.at.channels, w.axes, w.at.out);
}

/* (sum of |x|^p over the windows, or all axes of space)^(1/p) */
static int norm_body(const aval_host *host, aval_call *call, int global)
{
    const aval_tensor *x = host->input(call, 0), *y;
    int64_t axes[AVAL_MAX_RANK];
    text attrs = { 0 };
    text_int(&attrs, "p", host->attr_int(call, "p"));
    if (host->attr_int(call, "p") < 1)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute p is %lld, expected at least 1", (long long)host->attr_int(call, "p"));
    TRY(host->apply(call, "aval::NormTerm", attrs.at, 1, &x, 1, &y));
    if (global) {
        size_t n = 0;
        for (uint32_t i = 2; i < host->rank(x); i++) axes[n++] = i;
        const aval_tensor *inputs[] = { y, constant_ints(host, call, axes, n) };
        TRY(host->apply(call, "ReduceSum", "noop_with_empty_axes=1", 2, inputs, 1, &y));
    } else {
        TRY(apply_sum(host, call, y, DIVIDE_NOT, &y));
    }
    TRY(host->apply(call, "aval::NormRoot", attrs.at, 1, &y, 1, &y));
    return host->yield(call, 0, y);
}

static int lp_body(const aval_host *host, aval_call *call)
{
    return norm_body(host, call, 0);
}

/* ---- Global pools -------------------------------------------------------------------------------------------------------------------- */

static int global_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t dims[AVAL_MAX_RANK];
    if (host->rank(x) < 2)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input X has %u axes, expected at least 2", (unsigned)host->rank(x));
    for (uint32_t i = 0; i < host->rank(x); i++) dims[i] = i < 2 ? host->dims(x)[i] : 1;
    return host->set_output(call, 0, host->type(x), host->rank(x), dims);
}

static int global_body(const aval_host *host, aval_call *call, const char *reduction)
{
    const aval_tensor *x = host->input(call, 0), *y;
    int64_t axes[AVAL_MAX_RANK];
    uint32_t n = 0;
    for (uint32_t i = 2; i < host->rank(x); i++) axes[n++] = i;
    const aval_tensor *inputs[] = { x, constant_ints(host, call, axes, n) };
    TRY(host->apply(call, reduction, "noop_with_empty_axes=1", 2, inputs, 1, &y));
    return host->yield(call, 0, y);
}

static int global_average_body(const aval_host *host, aval_call *call)
{
    return global_body(host, call, "ReduceMean");
}

static int global_max_body(const aval_host *host, aval_call *call)
{
    return global_body(host, call, "ReduceMax");
}

static int global_lp_body(const aval_host *host, aval_call *call)
{
    return norm_body(host, call, 1);
}

/* ---- Definitions ----------------------------------------------------------------------------------------------------------------------- */

#define CEIL_ATTR \
    { \
        .name = "ceil_mode", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: a last window may end outside" \
    }
#define NORM_ATTR \
    { \
        .name = "p", .type = AVAL_ATTR_INT, .initial = "2", .doc = "the exponent" \
    }
#define ONE_TO_ONE .inputs = AVAL_PORTS({ .name = "X" }), .outputs = AVAL_PORTS({ .name = "Y" })
#define OP(op_domain, op_name, version, text) \
    .size = sizeof(aval_op), .name = op_name, .domain = op_domain, .since = version, .deterministic = 1, .doc = text

#define POOLED (AVAL_FLOATS | AVAL_TYPE_SET(AVAL_UINT8) | AVAL_TYPE_SET(AVAL_INT8))

static const aval_op max_pool_op = {
    OP(NULL, "MaxPool", 1, "The largest element of each window over 1 to 3 axes, and where it lies in X."),
    .inputs = AVAL_PORTS({ .name = "X", .types = POOLED }),
    .outputs = AVAL_PORTS({ .name = "Y", .like = AVAL_LIKE(0), .types = POOLED },
                          { .name = "Indices", .flags = AVAL_OPTIONAL, .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .attrs = AVAL_ATTRS(WINDOW_ATTRS, CEIL_ATTR,
                        { .name = "storage_order",
                          .type = AVAL_ATTR_INT,
                          .initial = "0",
                          .doc = "Indices count with the last axis fastest; 1: with the first" }),
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
        { .inputs = "[1,2,6,5]", .attrs = "kernel_shape=[3,2] strides=[2,2] storage_order=1", .flags = AVAL_DISTINCT },
        { .inputs = "[2,2,9]", .attrs = "kernel_shape=[3] strides=[2] pads=[1,1]", .flags = AVAL_DISTINCT },
        { .inputs = "[1,2,4,5,6]", .attrs = "kernel_shape=[2,2,3] strides=[1,2,2] storage_order=1", .flags = AVAL_DISTINCT },
        { .inputs = "[1,1,2,3]{1,1,1,1,2,2}",
          .attrs = "kernel_shape=[2,2]",
          .flags = AVAL_NO_GRADIENT_CHECK,
          .why = "ties: differences say nothing there" },
        { .inputs = "u8[1,2,4,4]", .attrs = "kernel_shape=[2,2] strides=[2,2]" }, { .inputs = "[0,1,2,2]", .attrs = "kernel_shape=[2,2]" },
        { .inputs = "[1,1,1,1]", .attrs = "kernel_shape=[1,1]" },
        { .inputs = "[4,8,48,50]", .attrs = "kernel_shape=[2,2] strides=[2,2]", .flags = AVAL_DISTINCT, .size_class = AVAL_LARGE },
        { .inputs = "[2,3,40,37]",
          .attrs = "kernel_shape=[5,4] strides=[2,3] dilations=[1,2] pads=[1,2,0,1]",
          .flags = AVAL_DISTINCT,
          .size_class = AVAL_LARGE },
        { .inputs = "[1,1,1,1300]",
          .attrs = "kernel_shape=[1,2] dilations=[1,1100]",
          .flags = AVAL_DISTINCT,
          .size_class = AVAL_LARGE,
          .why = "windows that reach over more columns than are gone through at a time" }),
};

#define SUMS_ATTRS(of_shape) \
    AVAL_ATTRS({ .name = "shape", .type = AVAL_ATTR_INTS, .required = 1, .doc = of_shape }, \
               { .name = "kernel_shape", .type = AVAL_ATTR_INTS, .required = 1, .doc = "lengths of the window, an axis each" }, \
               { .name = "strides", .type = AVAL_ATTR_INTS, .doc = "from one window to the next; 1 without it" }, \
               { .name = "pads", .type = AVAL_ATTR_INTS, .doc = "elements before each axis of X; 0 without it" }, \
               { .name = "dilations", .type = AVAL_ATTR_INTS, .doc = "from one element of a window to the next; 1 without it" }, \
               { .name = "divide", \
                 .type = AVAL_ATTR_INT, \
                 .initial = "0", \
                 .doc = "1: by the window's elements in the image, 2: by all its elements" })

static const aval_op window_sum_op = {
    OP("aval", "PoolSum", 1, "The sum of each window's elements, or their mean."),
    ONE_TO_ONE,
    .attrs = SUMS_ATTRS("lengths of Y's axes of space"),
    .infer = window_sum_infer,
    .forward = window_sum_forward,
    .backward_body = window_sum_backward,
    .reference = window_sum_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[2,2,5,6]", .attrs = "shape=[3,3] kernel_shape=[2,3] strides=[2,2] pads=[1,1] divide=1" },
                            { .inputs = "[2,2,5,6]", .attrs = "shape=[4,3] kernel_shape=[3,2] dilations=[1,3]  pads=[0,0] divide=2" },
                            { .inputs = "[1,2,9]", .attrs = "shape=[4] kernel_shape=[3] strides=[2]" },
                            { .inputs = "[0,1,2,2]", .attrs = "shape=[1,1] kernel_shape=[2,2]" },
                            { .inputs = "[2,8,40,50]",
                              .attrs = "shape=[20,25] kernel_shape=[3,3] strides=[2,2] pads=[1,1] divide=1",
                              .size_class = AVAL_LARGE },
                            { .inputs = "[1,2,6,1300]",
                              .attrs = "shape=[6,1300] kernel_shape=[3,5] pads=[1,4] dilations=[1,2] divide=1",
                              .size_class = AVAL_LARGE,
                              .why = "more columns than are gone through at a time" },
                            { .inputs = "[1,1,1,1300]",
                              .attrs = "shape=[1,200] kernel_shape=[1,2] dilations=[1,1100] divide=2",
                              .size_class = AVAL_LARGE,
                              .why = "windows that reach over more columns than that" }),
};

static const aval_op window_spread_op = {
    OP("aval", "PoolSpread", 1, "Each element added to all that its window sees: the gradient of PoolSum."),
    .inputs = AVAL_PORTS({ .name = "Y" }),
    .outputs = AVAL_PORTS({ .name = "X" }),
    .attrs = SUMS_ATTRS("lengths of X's axes of space"),
    .infer = window_spread_infer,
    .forward = window_spread_forward,
    .backward_body = window_spread_backward,
    .reference = window_spread_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[2,2,3,3]", .attrs = "shape=[5,6] kernel_shape=[2,3] strides=[2,2] pads=[1,1] divide=1" },
                            { .inputs = "[1,2,2,3,2]", .attrs = "shape=[3,5,4] kernel_shape=[2,3,2] strides=[1,1,2] divide=2" },
                            { .inputs = "[0,1,2,2]", .attrs = "shape=[3,3] kernel_shape=[2,2]" },
                            { .inputs = "[1,2,4,300]",
                              .attrs = "shape=[8,600] kernel_shape=[3,3] strides=[2,2] pads=[1,1] divide=1",
                              .size_class = AVAL_LARGE,
                              .why = "more columns than are made at a time" }),
};

static const aval_op average_op = {
    OP(NULL, "AveragePool", 1, "The mean of each window over 1 to 3 axes."),
    ONE_TO_ONE,
    .attrs = AVAL_ATTRS(WINDOW_ATTRS, CEIL_ATTR,
                        { .name = "count_include_pad", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: pads count as elements" }),
    .infer = pool_infer,
    .body = average_body,
    .samples =
        AVAL_SAMPLES({ .inputs = "[2,3,6,6]", .attrs = "kernel_shape=[2,2] strides=[2,2]" },
                     { .inputs = "[1,2,5,6]", .attrs = "kernel_shape=[3,2] strides=[2,2] pads=[1,1,1,0] ceil_mode=1" },
                     { .inputs = "[1,2,5,6]", .attrs = "kernel_shape=[3,2] strides=[2,2] pads=[1,1,1,0] ceil_mode=1 count_include_pad=1" },
                     { .inputs = "[1,2,7]", .attrs = "kernel_shape=[3] auto_pad='SAME_LOWER'" },
                     { .inputs = "[1,1,5,4,3]", .attrs = "kernel_shape=[2,2,2] dilations=[2,1,1]" }),
};

/* |x|^p and its root, for norms: the root's derivative at 0, where it has none, is 0. */
static const aval_op norm_term_op = {
    OP("aval", "NormTerm", 1, "|x|^p"),
    ONE_TO_ONE,
    .attrs = AVAL_ATTRS(NORM_ATTR),
    .expressions = AVAL_TEXTS("pow(abs(X), p)"),
    .derivatives = (const char *const[]){ "p * pow(abs(X), p - 1) * sign(X)" },
    .n_derivatives = 1,
    .subgradient = "0 at 0",
    .samples = AVAL_SAMPLES({ .inputs = "[2,5]", .attrs = "p=2" }, { .inputs = "[7]{0.1..2}", .attrs = "p=1" },
                            { .inputs = "[3]", .attrs = "p=3" }),
};

static const aval_op norm_root_op = {
    OP("aval", "NormRoot", 1, "x^(1/p)"),
    ONE_TO_ONE,
    .attrs = AVAL_ATTRS(NORM_ATTR),
    .expressions = AVAL_TEXTS("pow(X, 1 / p)"),
    .derivatives = (const char *const[]){ "X > 0 ? pow(X, 1 / p - 1) / p : 0" },
    .n_derivatives = 1,
    .subgradient = "0 at 0",
    .samples = AVAL_SAMPLES({ .inputs = "[2,5]{0.2..3}", .attrs = "p=2" }, { .inputs = "[3]{0.5..9}", .attrs = "p=3" }),
};

static const aval_op lp_op = {
    OP(NULL, "LpPool", 1, "The p-norm of each window over 1 to 3 axes."),
    ONE_TO_ONE,
    .attrs = AVAL_ATTRS(WINDOW_ATTRS, CEIL_ATTR, NORM_ATTR),
    .infer = pool_infer,
    .body = lp_body,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3,6,6]", .attrs = "kernel_shape=[2,2] strides=[2,2]" },
                            { .inputs = "[1,2,6,5]{0.1..2}", .attrs = "kernel_shape=[3,2] pads=[1,0,1,1] p=1" },
                            { .inputs = "[1,2,7]", .attrs = "kernel_shape=[3] strides=[2] dilations=[2] p=3" }),
};

static const aval_op global_average_op = {
    OP(NULL, "GlobalAveragePool", 1, "The mean of each channel of each image."),
    ONE_TO_ONE,
    .infer = global_infer,
    .body = global_average_body,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3,4,5]" }, { .inputs = "[1,1,1,1]" }, { .inputs = "[2,3]" }, { .inputs = "[0,2,3,3]" }),
};

static const aval_op global_max_op = {
    OP(NULL, "GlobalMaxPool", 1, "The largest element of each channel of each image."),
    ONE_TO_ONE,
    .infer = global_infer,
    .body = global_max_body,
    .subgradient = "as ReduceMax has it",
    .samples = AVAL_SAMPLES({ .inputs = "[2,3,4,5]", .flags = AVAL_DISTINCT }, { .inputs = "[1,1,1,1]" }, { .inputs = "[2,3]" },
                            { .inputs = "[0,2,3,3]" }),
};

static const aval_op global_lp_op = {
    OP(NULL, "GlobalLpPool", 1, "The p-norm of each channel of each image."),
    ONE_TO_ONE,
    .attrs = AVAL_ATTRS(NORM_ATTR),
    .infer = global_infer,
    .body = global_lp_body,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3,4,5]" }, { .inputs = "[1,2,3]{0.1..2}", .attrs = "p=3" }, { .inputs = "[0,2,3,3]" }),
};

AVAL_PLUGIN("pool", "0.1.0", AVAL_SOURCES({ "pool.cl", pool_cl }), &max_pool_op, &window_sum_op, &window_spread_op, &average_op,
            &norm_term_op, &norm_root_op, &lp_op, &global_average_op, &global_max_op, &global_lp_op)
