/* Convolution of images.  Conv is a body of aval::Convolution and an addition of the bias, which fuses with what follows.  Forward and
 * weight gradient are matrix products with the patches of the images; the data gradient is one into columns, which a kernel sums up
 * into images, some images at a time so that the columns stay small. */
#include "window.h"

#include "conv.cl.h"

#define COLUMNS_BYTES ((int64_t)32 << 20) /* most memory for columns, as long as one image fits */

/* Per group: weights [maps, depth], images [channels, height, width], depth = channels * kernel. */
typedef struct conv {
    aval_patches patches; /* of one group: channels are those of the group */
    int64_t images, groups, maps, depth, pixels; /* maps, depth of one group; pixels: of an output map */
    int64_t x_step, y_step; /* elements of an image, all groups */
} conv;

static int conv_read(const aval_host *host, aval_call *call, conv *c)
{
    const aval_tensor *x = host->input(call, 0), *w = host->input(call, 1);
    if (host->rank(x) != 4 || host->rank(w) != 4)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "inputs X and W have %u and %u axes, expected 4 and 4: only images are convolved",
                          (unsigned)host->rank(x), (unsigned)host->rank(w));
    const int64_t *dx = host->dims(x), *dw = host->dims(w);
    int64_t kernel[2];
    c->groups = host->attr_int(call, "group");
    if (c->groups < 1 || dx[1] != dw[1] * c->groups || dw[0] % c->groups != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "input W has %lld channels, but input X has %lld and group is %lld; and W's %lld maps must "
                          "be a multiple of group",
                          (long long)dw[1], (long long)dx[1], (long long)c->groups, (long long)dw[0]);
    TRY(window_ints(host, call, "kernel_shape", 2, 1, 0x7fffffff, kernel));
    for (int i = 0; i < 2; i++) {
        c->patches.kernel[i] = dw[2 + i];
        if (kernel[i] != 0x7fffffff && kernel[i] != dw[2 + i])
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "attribute kernel_shape has %lld at %d, but input W has %lld",
                              (long long)kernel[i], i, (long long)dw[2 + i]);
    }
    TRY(window_read(host, call, x, 0, &c->patches));
    c->images = dx[0];
    c->x_step = dx[1] * dx[2] * dx[3];
    c->patches.channels = dw[1];
    c->maps = dw[0] / c->groups;
    c->depth = dw[1] * dw[2] * dw[3];
    c->pixels = c->patches.out[0] * c->patches.out[1];
    c->y_step = dw[0] * c->pixels;
    return 0;
}

static int conv_infer(const aval_host *host, aval_call *call)
{
    conv c;
    TRY(conv_read(host, call, &c));
    const int64_t dims[] = { c.images, c.maps * c.groups, c.patches.out[0], c.patches.out[1] };
    return host->set_output(call, 0, host->type(host->input(call, 0)), 4, dims);
}

/* Operands of group g. */
static aval_operand weights_of(const conv *c, const aval_tensor *w, int64_t g)
{
    return (aval_operand){ .tensor = w, .offset = g * c->maps * c->depth, .ld = c->depth };
}

static aval_operand maps_of(const conv *c, const aval_tensor *y, int64_t g)
{
    return (aval_operand){ .tensor = y, .offset = g * c->maps * c->pixels, .ld = c->pixels, .batch_stride = c->y_step };
}

static aval_operand images_of(const conv *c, const aval_tensor *x, int64_t g)
{
    int64_t group = c->patches.channels * c->patches.height * c->patches.width;
    return (aval_operand){ .tensor = x, .offset = g * group, .batch_stride = c->x_step, .patches = &c->patches };
}

static int conv_forward(const aval_host *host, aval_call *call)
{
    conv c;
    TRY(conv_read(host, call, &c));
    if (host->count(host->output(call, 0)) == 0) return 0;
    for (int64_t g = 0; g < c.groups; g++)
        TRY(host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                           .m = c.maps,
                                           .n = c.pixels,
                                           .k = c.depth,
                                           .batch = c.images,
                                           .alpha = 1,
                                           .a = weights_of(&c, host->input(call, 1), g),
                                           .b = images_of(&c, host->input(call, 0), g),
                                           .c = maps_of(&c, host->output(call, 0), g) }));
    return 0;
}

/* columns = weights^T upstream, then columns into images, for `some` images from `first` on. */
static int data_gradient(const aval_host *host, aval_call *call, const conv *c, const aval_tensor *columns, int64_t group, int64_t first,
                         int64_t some)
{
    const aval_patches *p = &c->patches;
    aval_operand weights = weights_of(c, host->input(call, 1), group), up = maps_of(c, host->upstream(call, 0), group);
    weights.transposed = 1;
    up.offset += first * c->y_step;
    TRY(host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                       .m = c->depth,
                                       .n = c->pixels,
                                       .k = c->maps,
                                       .batch = some,
                                       .alpha = 1,
                                       .a = weights,
                                       .b = up,
                                       .c = { .tensor = columns, .ld = c->pixels, .batch_stride = c->depth * c->pixels } }));
    int64_t image = p->channels * p->height * p->width;
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "columns_to_images", EACH(some * image),
                          AVAL_ARGS(AVAL_READ(columns), AVAL_UPDATE(host->gradient(call, 0)), AVAL_I64(first * c->x_step + group * image),
                                    AVAL_I64(some), AVAL_I64(p->channels), AVAL_I64(p->height), AVAL_I64(p->width), AVAL_I64(p->kernel[0]),
                                    AVAL_I64(p->kernel[1]), AVAL_I64(p->stride[0]), AVAL_I64(p->stride[1]), AVAL_I64(p->pad[0]),
                                    AVAL_I64(p->pad[1]), AVAL_I64(p->dilation[0]), AVAL_I64(p->dilation[1]), AVAL_I64(p->out[0]),
                                    AVAL_I64(p->out[1]), AVAL_I64(c->x_step))));
}

static int conv_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *dx = host->gradient(call, 0), *dw = host->gradient(call, 1);
    conv c;
    TRY(conv_read(host, call, &c));
    int nothing = c.images * c.y_step == 0;
    if (dw != NULL && nothing && !host->accumulate(call, 1)) TRY(host->fill(call, dw, 0));
    if (dx != NULL && nothing) TRY(host->fill(call, dx, 0));
    if (nothing) return 0;
    for (int64_t g = 0; dw != NULL && g < c.groups; g++) {
        aval_operand patches = images_of(&c, x, g);
        patches.transposed = 1;
        TRY(host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                           .m = c.maps,
                                           .n = c.depth,
                                           .k = c.pixels,
                                           .batch = c.images,
                                           .alpha = 1,
                                           .beta = host->accumulate(call, 1),
                                           .sum = 1,
                                           .a = maps_of(&c, host->upstream(call, 0), g),
                                           .b = patches,
                                           .c = weights_of(&c, dw, g) }));
    }
    if (dx == NULL) return 0;
    int64_t bytes = host->type(x) == AVAL_DOUBLE  ? 8
                    : host->type(x) == AVAL_FLOAT ? 4
                                                  : 2,
            some = COLUMNS_BYTES / (c.depth * c.pixels * bytes);
    some = some < 1 ? 1 : some > c.images ? c.images : some;
    const aval_tensor *columns = host->scratch(call, host->type(x), some * c.depth * c.pixels);
    if (columns == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for columns of %lld images", (long long)some);
    for (int64_t g = 0; g < c.groups; g++) {
        for (int64_t first = 0; first < c.images; first += some)
            TRY(data_gradient(host, call, &c, columns, g, first, c.images - first < some ? c.images - first : some));
    }
    return 0;
}

/* One element of the output. */
static double conv_element(const conv *c, const double *x, const double *w, int64_t oy, int64_t ox)
{
    const aval_patches *p = &c->patches;
    double sum = 0;
    for (int64_t k = 0; k < c->depth; k++) {
        int64_t channel = k / p->kernel[1] / p->kernel[0], kh = k / p->kernel[1] % p->kernel[0], kw = k % p->kernel[1];
        int64_t iy = oy * p->stride[0] + kh * p->dilation[0] - p->pad[0], ix = ox * p->stride[1] + kw * p->dilation[1] - p->pad[1];
        if (iy >= 0 && iy < p->height && ix >= 0 && ix < p->width) sum += x[(channel * p->height + iy) * p->width + ix] * w[k];
    }
    return sum;
}

static int conv_reference(const aval_host *host, aval_call *call)
{
    conv c;
    TRY(conv_read(host, call, &c));
    const double *x = host->real(call, host->input(call, 0)), *w = host->real(call, host->input(call, 1));
    double *y = host->real(call, host->output(call, 0));
    for (int64_t i = 0; i < host->count(host->output(call, 0)); i++) {
        int64_t pixel = i % c.pixels, map = i / c.pixels % (c.maps * c.groups), image = i / c.y_step, group = map / c.maps;
        const double *channels = x + image * c.x_step + group * c.patches.channels * c.patches.height * c.patches.width;
        y[i] = conv_element(&c, channels, w + map * c.depth, pixel / c.patches.out[1], pixel % c.patches.out[1]);
    }
    return 0;
}

static int conv_body(const aval_host *host, aval_call *call)
{
    static const char *const lists[] = { "kernel_shape", "strides", "pads", "dilations" };
    const aval_tensor *pair[] = { host->input(call, 0), host->input(call, 1) }, *y,
                      *bias = host->n_inputs(call) > 2 ? host->input(call, 2) : NULL;
    text attrs = { 0 };
    text_int(&attrs, "group", host->attr_int(call, "group"));
    for (size_t i = 0; i < 4; i++) {
        size_t n;
        const int64_t *values = host->attr_ints(call, lists[i], &n);
        if (values != NULL && n > 0) text_ints(&attrs, lists[i], values, n);
    }
    text_word(&attrs, "auto_pad", host->attr_string(call, "auto_pad"));
    TRY(host->apply(call, "aval::Convolution", attrs.at, 2, pair, 1, &y));
    if (bias != NULL) {
        const int64_t dims[] = { 1, host->count(bias), 1, 1 };
        TRY(reshaped(host, call, bias, 4, dims, &bias));
        TRY(host->apply(call, "Add", NULL, 2, (const aval_tensor *const[]){ y, bias }, 1, &y));
    }
    return host->yield(call, 0, y);
}

static int conv_body_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *w = host->input(call, 1), *bias = host->n_inputs(call) > 2 ? host->input(call, 2) : NULL;
    TRY(conv_infer(host, call));
    if (bias != NULL && (host->rank(bias) != 1 || host->dims(bias)[0] != host->dims(w)[0]))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input B has %lld elements, expected one for each of %lld maps",
                          (long long)host->count(bias), (long long)host->dims(w)[0]);
    return 0;
}

#define GROUP_ATTR \
    { \
        .name = "group", .type = AVAL_ATTR_INT, .initial = "1", .doc = "channels are convolved in so many separate groups" \
    }

static const aval_op convolution_op = {
    .size = sizeof(aval_op),
    .name = "Convolution",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .doc = "Convolution of images, without a bias.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "W", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS(GROUP_ATTR, WINDOW_ATTRS),
    .infer = conv_infer,
    .forward = conv_forward,
    .backward = conv_backward,
    .reference = conv_reference,
    .keeps = AVAL_KEEP_INPUT(0) | AVAL_KEEP_INPUT(1),
    .accumulates = 2,
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,3,5,6] [4,3,3,3]" }, { .inputs = "[2,3,5,6] [4,3,3,2]", .attrs = "strides=[2,1] pads=[1,0,2,1]" },
        { .inputs = "[2,4,6,6] [4,2,3,3]", .attrs = "group=2 dilations=[2,1] auto_pad='SAME_UPPER'" },
        { .inputs = "[1,3,7,6] [3,1,2,2]", .attrs = "group=3 strides=[2,2] auto_pad='SAME_LOWER'", .why = "each channel by itself" },
        { .inputs = "[1,1,1,1] [1,1,1,1]" }, { .inputs = "[0,2,3,3] [1,2,2,2]" },
        { .inputs = "[3,8,24,25] [16,8,3,3]", .attrs = "pads=[1,1,1,1]", .size_class = AVAL_LARGE }),
};
static const aval_op conv_op = {
    .size = sizeof(aval_op),
    .name = "Conv",
    .since = 11,
    .deterministic = 1,
    .doc = "Convolution of images, with a bias for each map.",
    .inputs =
        AVAL_PORTS({ .name = "X" }, { .name = "W", .like = AVAL_LIKE(0) }, { .name = "B", .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS(GROUP_ATTR, WINDOW_ATTRS),
    .infer = conv_body_infer,
    .body = conv_body,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3,5,6] [4,3,3,3] [4]", .attrs = "pads=[1,1,1,1]" }, { .inputs = "[2,3,5,6] [4,3,3,3]" },
                            { .inputs = "[2,4,6,6] [4,2,3,3] [4]", .attrs = "group=2 strides=[2,2] kernel_shape=[3,3] auto_pad='VALID'" }),
};

static const aval_op *const ops[] = { &convolution_op, &conv_op, NULL };
static const aval_kernel_source sources[] = { { .name = "conv.cl", .text = conv_cl }, { .name = NULL } };

AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = {
    .abi = AVAL_PLUGIN_ABI,
    .size = sizeof(aval_plugin),
    .name = "conv",
    .version = "0.1.0",
    .ops = ops,
    .sources = sources,
};
