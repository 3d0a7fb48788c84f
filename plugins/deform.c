/* DeformConv (Dai et al. 2017, Zhu et al. 2019): a body of aval::DeformColumns, which reads patches at moved places, and a convolution of
 * those columns with filters of one element. */
#include "window.h"

#include "deform.cl.h"

enum { X, OFFSET, MASK }; /* of DeformColumns */

typedef struct deform {
    window w;
    int64_t images, channels, groups, taps, pixels;
} deform;

static int deform_read(const aval_host *host, aval_call *call, deform *d)
{
    const aval_tensor *x = host->input(call, X), *offset = host->input(call, OFFSET),
                      *mask = host->n_inputs(call) > MASK ? host->input(call, MASK) : NULL;
    aval_patches *p = &d->w.at;
    if (host->rank(x) != 4 || host->rank(offset) != 4 || (mask != NULL && host->rank(mask) != 4))
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "inputs X and offset have %u and %u axes, expected 4 and 4: images with two axes",
                          (unsigned)host->rank(x), (unsigned)host->rank(offset));
    size_t axes;
    d->w.axes = 2;
    TRY(window_space(host, call, "X", x, &axes, p->in));
    TRY(window_space(host, call, "offset", offset, &axes, p->out));
    for (size_t i = 0; i < WINDOW_SPACE; i++) p->kernel[i] = 1;
    TRY(window_ints(host, call, "kernel_shape", 2, 1, 0, p->kernel + 1));
    TRY(window_axes(host, call, "strides", 2, 1, 1, p->stride));
    TRY(window_axes(host, call, "dilations", 2, 1, 1, p->dilation));
    TRY(window_axes(host, call, "pads", 2, 0, 0, p->pad));
    d->images = host->dims(x)[0];
    d->channels = host->dims(x)[1];
    d->groups = host->attr_int(call, "offset_group");
    d->taps = product(p->kernel, WINDOW_SPACE);
    d->pixels = product(p->out, WINDOW_SPACE);
    if (d->groups < 1 || d->channels % d->groups != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input X has %lld channels, expected a multiple of offset_group, %lld",
                          (long long)d->channels, (long long)d->groups);
    if (host->dims(offset)[0] != d->images || host->dims(offset)[1] != product((const int64_t[]){ 2, d->groups, d->taps }, 3))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input offset is [%lld,%lld,..], expected [%lld,%lld,..]",
                          (long long)host->dims(offset)[0], (long long)host->dims(offset)[1], (long long)d->images,
                          (long long)(2 * d->groups * d->taps));
    if (mask != NULL && (2 * host->count(mask) != host->count(offset) || host->dims(mask)[1] != d->groups * d->taps))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input mask has %lld elements, expected half of offset's %lld",
                          (long long)host->count(mask), (long long)host->count(offset));
    return 0;
}

#define TWO(values) AVAL_I32((values)[1]), AVAL_I32((values)[2])
#define DEFORM_ARGS(d) \
    AVAL_I32((d).channels), AVAL_I32((d).groups), TWO((d).w.at.in), TWO((d).w.at.kernel), TWO((d).w.at.stride), TWO((d).w.at.pad), \
        TWO((d).w.at.dilation), TWO((d).w.at.out)

static int deform_infer(const aval_host *host, aval_call *call)
{
    deform d;
    TRY(deform_read(host, call, &d));
    return window_output(host, call, 0, host->type(host->input(call, X)), d.images, d.channels * d.taps, 2, d.w.at.out);
}

static int deform_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *mask = host->n_inputs(call) > MASK ? host->input(call, MASK) : NULL, *columns = host->output(call, 0);
    deform d;
    TRY(deform_read(host, call, &d));
    if (host->count(columns) == 0) return 0;
    return host->launch(call, AVAL_LAUNCH(.kernel = "deform_columns", .dims = 3,
                                          .global = { (uint64_t)d.pixels, (uint64_t)d.taps, (uint64_t)(d.images * d.channels) },
                                          AVAL_ARGS(AVAL_READ(host->input(call, X)), AVAL_READ(host->input(call, OFFSET)), AVAL_READ(mask),
                                                    AVAL_WRITE(columns), DEFORM_ARGS(d))));
}

static int deform_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, X), *offset = host->input(call, OFFSET), *g = host->upstream(call, 0);
    const aval_tensor *mask = host->n_inputs(call) > MASK ? host->input(call, MASK) : NULL;
    const aval_tensor *dx = host->gradient(call, X), *d_offset = host->gradient(call, OFFSET),
                      *d_mask = mask ? host->gradient(call, MASK) : NULL;
    deform d;
    TRY(deform_read(host, call, &d));
    if ((d_offset != NULL || d_mask != NULL) && host->count(offset) > 0)
        TRY(host->launch(call, AVAL_LAUNCH(.kernel = "deform_backward_places", .dims = 3, .s_type = host->type(x),
                                           .global = { (uint64_t)d.pixels, (uint64_t)d.taps, (uint64_t)(d.images * d.groups) },
                                           AVAL_ARGS(AVAL_READ(x), AVAL_READ(offset), AVAL_READ(mask), AVAL_READ(g), AVAL_WRITE(d_offset),
                                                     AVAL_WRITE(d_mask), DEFORM_ARGS(d)))));
    if (dx == NULL || host->count(dx) == 0) return 0;
    const aval_tensor *sums = host->scratch(call, sum_type(host->type(x)), host->count(x));
    return host->launch(call,
                        AVAL_LAUNCH(.kernel = "deform_backward_images", EACH(d.images * d.channels), .d_type = sum_type(host->type(x)),
                                    AVAL_ARGS(AVAL_READ(offset), AVAL_READ(mask), AVAL_READ(g), AVAL_UPDATE(sums), AVAL_WRITE(dx),
                                              AVAL_I32(d.images * d.channels), DEFORM_ARGS(d))));
}

/* x at a place between elements, 0 outside. */
static double between(const aval_patches *p, const double *x, double row, double column)
{
    double sum = 0, top = floor(row), left = floor(column);
    for (int i = 0; i < 4; i++) {
        double r = top + i / 2, c = left + i % 2;
        if (r < 0 || r >= (double)p->in[1] || c < 0 || c >= (double)p->in[2]) continue;
        sum += (1 - fabs(row - r)) * (1 - fabs(column - c)) * x[(int64_t)r * p->in[2] + (int64_t)c];
    }
    return sum;
}

static int deform_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *mask = host->n_inputs(call) > MASK ? host->input(call, MASK) : NULL;
    const double *x = host->real(call, host->input(call, X)), *offset = host->real(call, host->input(call, OFFSET));
    const double *factor = mask == NULL ? NULL : host->real(call, mask);
    double *columns = host->real(call, host->output(call, 0));
    deform d;
    TRY(deform_read(host, call, &d));
    const aval_patches *p = &d.w.at;
    for (int64_t i = 0; i < host->count(host->output(call, 0)); i++) {
        int64_t pixel = i % d.pixels, tap = i / d.pixels % d.taps, plane = i / d.pixels / d.taps;
        int64_t set = plane / d.channels * d.groups + plane % d.channels / (d.channels / d.groups),
                at = (set * d.taps + tap) * d.pixels + pixel;
        int64_t place = (set * d.taps + tap) * 2 * d.pixels + pixel;
        double row = (double)(pixel / p->out[2] * p->stride[1] - p->pad[1] + tap / p->kernel[2] * p->dilation[1]) + offset[place];
        double column =
            (double)(pixel % p->out[2] * p->stride[2] - p->pad[2] + tap % p->kernel[2] * p->dilation[2]) + offset[place + d.pixels];
        columns[i] = between(p, x + plane * p->in[1] * p->in[2], row, column) * (factor == NULL ? 1 : factor[at]);
    }
    return 0;
}

/* ---- DeformConv: X, W, offset, B, mask ------------------------------------------------------------------------------------------------ */

static const aval_tensor *given(const aval_host *host, aval_call *call, size_t i)
{
    return i < host->n_inputs(call) ? host->input(call, i) : NULL;
}

static int conv_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *w = host->input(call, 1), *offset = host->input(call, 2), *bias = given(host, call, 3);
    if (host->rank(x) != 4 || host->rank(w) != 4 || host->rank(offset) != 4)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "inputs X, W and offset have %u, %u and %u axes, expected 4: images with two axes",
                          (unsigned)host->rank(x), (unsigned)host->rank(w), (unsigned)host->rank(offset));
    if (host->attr_int(call, "group") < 1 || product_of(host->dims(w)[1], host->attr_int(call, "group")) != host->dims(x)[1])
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input W has %lld channels, but input X has %lld and group is %lld",
                          (long long)host->dims(w)[1], (long long)host->dims(x)[1], (long long)host->attr_int(call, "group"));
    if (bias != NULL && host->count(bias) != host->dims(w)[0])
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input B has %lld elements, expected one for each of %lld maps",
                          (long long)host->count(bias), (long long)host->dims(w)[0]);
    const int64_t dims[] = { host->dims(x)[0], host->dims(w)[0], host->dims(offset)[2], host->dims(offset)[3] };
    return host->set_output(call, 0, host->type(x), 4, dims);
}

static int conv_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *w = host->input(call, 1), *bias = given(host, call, 3), *mask = given(host, call, 4), *y;
    const int64_t *filters = host->dims(w), *out = host->dims(host->input(call, 2)) + 2;
    const int64_t flat[] = { filters[0], filters[1] * filters[2] * filters[3], 1, 1 };
    int64_t pads[4], two[2];
    text columns = { 0 }, product_attrs = { 0 };
    text_ints(&columns, "kernel_shape", filters + 2, 2);
    TRY(window_ints(host, call, "strides", 2, 1, 1, two));
    text_ints(&columns, "strides", two, 2);
    TRY(window_ints(host, call, "dilations", 2, 1, 1, two));
    text_ints(&columns, "dilations", two, 2);
    TRY(window_ints(host, call, "pads", 4, 0, 0, pads));
    text_ints(&columns, "pads", pads, 2);
    text_int(&columns, "offset_group", host->attr_int(call, "offset_group"));
    const aval_tensor *seen[] = { x, host->input(call, 2), mask };
    TRY(host->apply(call, "aval::DeformColumns", columns.at, mask == NULL ? 2 : 3, seen, 1, &y));
    TRY(reshaped(host, call, w, 4, flat, &w));
    text_int(&product_attrs, "group", host->attr_int(call, "group"));
    text_ints(&product_attrs, "shape", out, 2);
    TRY(host->apply(call, "aval::Convolution", product_attrs.at, 2, (const aval_tensor *const[]){ y, w }, 1, &y));
    if (bias != NULL) {
        TRY(reshaped(host, call, bias, 4, (const int64_t[]){ 1, host->count(bias), 1, 1 }, &bias));
        TRY(host->apply(call, "Add", NULL, 2, (const aval_tensor *const[]){ y, bias }, 1, &y));
    }
    return host->yield(call, 0, y);
}

#define GEOMETRY(of_pads) \
    { .name = "kernel_shape", .type = AVAL_ATTR_INTS, .doc = "lengths of the window, an axis each" }, \
        { .name = "strides", .type = AVAL_ATTR_INTS, .doc = "from one window to the next; 1 without it" }, \
        { .name = "dilations", .type = AVAL_ATTR_INTS, .doc = "from one element of a window to the next; 1 without it" }, \
        { .name = "pads", .type = AVAL_ATTR_INTS, .doc = of_pads }, \
    { \
        .name = "offset_group", .type = AVAL_ATTR_INT, .initial = "1", .doc = "so many sets of offsets, each for its share of channels" \
    }

static const aval_op columns_op = {
    .size = sizeof(aval_op),
    .name = "DeformColumns",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .doc = "Patches of images read between elements, at places that offsets move; times mask.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "offset", .like = AVAL_LIKE(0) },
                         { .name = "mask", .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "columns" }),
    .attrs = AVAL_ATTRS(GEOMETRY("zeros before each axis; 0 without it")),
    .infer = deform_infer,
    .forward = deform_forward,
    .backward = deform_backward,
    .reference = deform_reference,
    .keeps = AVAL_KEEP_INPUT(X) | AVAL_KEEP_INPUT(OFFSET) | AVAL_KEEP_INPUT(MASK),
    .subgradient = "by offset, where it meets an element: that of the elements behind",
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,2,4,5] [2,8,3,4]{0.1..0.9}", .attrs = "kernel_shape=[2,2]" },
        { .inputs = "[1,4,5,4] [1,36,3,2]{-0.9..-0.1} [1,18,3,2]", .attrs = "kernel_shape=[3,3] strides=[2,2] pads=[1,1] offset_group=2" },
        { .inputs = "[1,2,3,3] [1,4,3,2]{5.1..5.8}", .attrs = "kernel_shape=[1,2] dilations=[1,2] pads=[0,1]", .why = "outside" },
        { .inputs = "[0,1,2,2] [0,2,2,2]", .attrs = "kernel_shape=[1,1]" }),
};

static const aval_op deform_op = {
    .size = sizeof(aval_op),
    .name = "DeformConv",
    .since = 19,
    .deterministic = 1,
    .doc = "Convolution of images whose windows' elements are moved by offsets, weighted by mask.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "W", .like = AVAL_LIKE(0) }, { .name = "offset", .like = AVAL_LIKE(0) },
                         { .name = "B", .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) },
                         { .name = "mask", .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs =
        AVAL_ATTRS({ .name = "group", .type = AVAL_ATTR_INT, .initial = "1", .doc = "channels are convolved in so many separate groups" },
                   GEOMETRY("zeros before each axis, then behind each; 0 without it")),
    .infer = conv_infer,
    .body = conv_body,
    .samples = AVAL_SAMPLES({ .inputs = "[1,2,4,4] [3,2,2,2] [1,8,3,3]{0.1..0.9}", .attrs = "kernel_shape=[2,2]" },
                            { .inputs = "[1,4,4,3] [2,2,2,2] [1,16,3,2]{-0.9..-0.1} [2] [1,8,3,2]", .attrs = "group=2 offset_group=2" }),
};

AVAL_PLUGIN("deform", "0.1.0", AVAL_SOURCES({ "deform.cl", deform_cl }), &columns_op, &deform_op)
