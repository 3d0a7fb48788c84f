/* The three products between images x, filters w and maps y that convolution and its gradients are made of:
 *
 *     aval::Convolution            y = x * w      gradients: by x the second, by w the third
 *     aval::ConvolutionTransposed  x = y *' w                by y the first,  by w the third
 *     aval::ConvolutionWeights     w = x' * y                by x the second, by y the first
 *
 * each linear in both inputs, so that the gradients are these ops again, as often as one likes.  The first and the third are matrix products
 * with the patches of images; the second is one with the patches of y, for each phase of the strides.  Groups of few channels have kernels
 * of their own. */
#include "convolution.h"

#include "convolution.cl.h"

static const roles convolution = { 0, 1, -1 }, transposed = { -1, 1, 0 }, weights = { 0, -1, 1 };

#define FEW 8 /* channels or maps of a group below which its matrices are too narrow for a product of their own */

static int conv_output(const aval_host *host, aval_call *call, const roles *r)
{
    conv c;
    TRY(conv_read(host, call, r, &c));
    aval_type type = host->type(host->input(call, 0));
    if (r->y < 0) return window_output(host, call, 0, type, c.images, c.groups * c.maps, c.axes, c.at.out);
    if (r->x < 0) return window_output(host, call, 0, type, c.images, c.groups * c.at.channels, c.axes, c.at.in);
    return window_output(host, call, 0, type, c.groups * c.maps, c.at.channels, c.axes, c.at.kernel);
}

static int convolution_infer(const aval_host *host, aval_call *call)
{
    return conv_output(host, call, &convolution);
}

static int transposed_infer(const aval_host *host, aval_call *call)
{
    return conv_output(host, call, &transposed);
}

static int weights_infer(const aval_host *host, aval_call *call)
{
    return conv_output(host, call, &weights);
}

/* ---- Operands ------------------------------------------------------------------------------------------------------------------------
 * of all groups of all images: [images, groups] matrices of images and maps, [groups] of filters. */

static aval_operand filters_of(const conv *c, const aval_tensor *w)
{
    return (aval_operand){ .tensor = w, .ld = c->depth, .batch_stride = c->maps * c->depth };
}

static aval_operand maps_of(const conv *c, const aval_tensor *y)
{
    return (aval_operand){ .tensor = y, .ld = c->pixels, .batch_stride = c->maps * c->pixels };
}

/* A filter of one element that meets each element of the image once: patches are the image as it lies. */
static int is_pointwise(const conv *c)
{
    for (int i = 0; i < WINDOW_SPACE; i++)
        if (c->at.kernel[i] != 1 || c->at.stride[i] != 1 || c->at.pad[i] != 0 || c->at.in[i] != c->at.out[i]) return 0;
    return 1;
}

static aval_operand images_of(const conv *c, const aval_tensor *x)
{
    return (aval_operand){
        .tensor = x, .ld = c->places, .batch_stride = c->at.channels * c->places, .patches = is_pointwise(c) ? NULL : &c->at
    };
}

static int has_few(const aval_host *host, aval_call *call, const conv *c)
{
    return c->groups > 1 && (c->maps < FEW || c->at.channels < FEW) && !takes_patches(host->device(call));
}

/* ---- y = x * w --------------------------------------------------------------------------------------------------------------------- */

static int convolution_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *w = host->input(call, 1), *y = host->output(call, 0);
    conv c;
    TRY(conv_read(host, call, &convolution, &c));
    if (host->count(y) == 0) return 0;
    if (has_few(host, call, &c)) {
        int64_t run = window_run(host, call);
        return host->launch(call, AVAL_LAUNCH(.kernel = "convolve", .dims = 2, AVAL_DEFINES({ "RUN", run }),
                                              .global = { window_items(c.at.out, run), (uint64_t)(c.images * c.groups * c.maps) },
                                              AVAL_ARGS(AVAL_READ(x), AVAL_READ(w), AVAL_WRITE(y), AVAL_I32(c.at.channels),
                                                        AVAL_I32(c.maps), AVAL_I32(c.groups), WINDOW_ARGS(c.at))));
    }
    aval_operand images = images_of(&c, x);
    if (host->device(call)->kind == AVAL_DEVICE_CPU) images.patches = &c.at;
    return host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                          .m = c.maps,
                                          .n = c.pixels,
                                          .k = c.depth,
                                          .batch = c.images * c.groups,
                                          .groups = c.groups,
                                          .alpha = 1,
                                          .whole = 1,
                                          .a = filters_of(&c, w),
                                          .b = images,
                                          .c = maps_of(&c, y) });
}

/* ---- Channels in blocks ------------------------------------------------------------------------------------------------------------ */

static double bytes_of(const aval_host *host, const aval_tensor *t, int64_t elements)
{
    return (double)elements * (host->type(t) == AVAL_DOUBLE ? 8 : host->type(t) == AVAL_FLOAT16 ? 2 : 4);
}

/* Depthwise convolution of blocks copies no images with borders; results of others need not be turned from vectors of maps. */
static int convolution_blocks_gain(const aval_host *host, aval_call *call, const aval_device_info *device, int64_t block,
                                   aval_blocks_gain *gain)
{
    const aval_tensor *x = host->input(call, 0);
    const uint32_t of_x = 1, of_y = 1u << AVAL_BLOCKED_OUTPUT;
    conv c;
    (void)block;
    TRY(conv_read(host, call, &convolution, &c));
    if (!takes_blocks(device, &c)) return 0;
    const int depthwise = c.groups > 1 && c.at.channels == 1 && c.maps == 1;
    if (c.groups > 1 && !depthwise) return 0;
    gain->may = of_x | of_y;
    gain->together = (uint32_t)depthwise;
    gain->saved[0] = depthwise ? 2 * bytes_of(host, x, host->count(x)) : 0;
    gain->saved[AVAL_BLOCKED_OUTPUT] = (depthwise ? 2 : 0.5) * bytes_of(host, x, c.images * c.groups * c.maps * c.pixels);
    return 0;
}

static const aval_blocks convolution_blocks = { .size = sizeof(aval_blocks),
                                                .op = "aval::BlockedConvolution",
                                                .gain = convolution_blocks_gain };

/* ---- x = y *' w -------------------------------------------------------------------------------------------------------------------- */

/* Elements first, first + stride ... of x along each axis see the same taps of w, first_tap, first_tap + step ...: they are a convolution of y
   with those taps in reverse. */
typedef struct phase {
    aval_patches of_y; /* channels: maps; out: elements of the phase */
    int64_t first[WINDOW_SPACE], first_tap[WINDOW_SPACE], step[WINDOW_SPACE];
} phase;

#define MOST_PHASES 1024 /* each takes two launches */

static int64_t common_divisor(int64_t a, int64_t b)
{
    return b == 0 ? a : common_divisor(b, a % b);
}

/* Element f + i * stride of x meets tap k of window o where f + i * stride + pad = o * stride + k * dilation. */
static void phase_axis(const aval_patches *x, int i, int64_t f, phase *p)
{
    int64_t stride = x->stride[i], dilation = x->dilation[i], divisor = common_divisor(stride, dilation), tap = 0;
    p->first[i] = f;
    p->step[i] = stride / divisor;
    while (tap < p->step[i] && (f + x->pad[i] - tap * dilation) % stride != 0) tap++;
    int64_t taps = tap < p->step[i] && tap < x->kernel[i] ? (x->kernel[i] - tap + p->step[i] - 1) / p->step[i] : 0;
    int64_t newest = taps > 0 ? (f + x->pad[i] - tap * dilation) / stride : 0; /* window of i = 0 and the first tap */
    p->first_tap[i] = tap;
    p->of_y.in[i] = x->out[i];
    p->of_y.kernel[i] = taps;
    p->of_y.stride[i] = 1;
    p->of_y.dilation[i] = dilation / divisor;
    p->of_y.pad[i] = (taps - 1) * p->of_y.dilation[i] - newest;
    p->of_y.out[i] = f < x->in[i] ? (x->in[i] - f + stride - 1) / stride : 0;
}

static phase phase_of(const conv *c, int64_t number)
{
    phase p;
    memset(&p, 0, sizeof p);
    p.of_y.channels = c->maps;
    for (int i = WINDOW_SPACE - 1; i >= 0; number /= c->at.stride[i--]) phase_axis(&c->at, i, number % c->at.stride[i], &p);
    return p;
}

/* A phase: turned filters times the patches of y, into x itself when it is the only one. */
static int record_phase(const aval_host *host, aval_call *call, const conv *c, const phase *p, int only, const aval_tensor *turned,
                        const aval_tensor *part)
{
    const aval_tensor *y = host->input(call, 0), *w = host->input(call, 1), *x = host->output(call, 0);
    int64_t taps = product(p->of_y.kernel, WINDOW_SPACE), places = product(p->of_y.out, WINDOW_SPACE), channels = c->at.channels;
    if (taps == 0 || places == 0) return 0;
    TRY(host->launch(call, AVAL_LAUNCH(.kernel = "turn_filters", .dims = 3,
                                       .global = { (uint64_t)c->maps, (uint64_t)channels, (uint64_t)c->groups },
                                       AVAL_ARGS(AVAL_READ(w), AVAL_UPDATE(turned), AVAL_I32(c->maps), AVAL_I32(channels),
                                                 THREE(c->at.kernel), THREE(p->of_y.kernel), THREE(p->first_tap), THREE(p->step)))));
    TRY(host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                       .m = channels,
                                       .n = places,
                                       .k = c->maps * taps,
                                       .batch = c->images * c->groups,
                                       .groups = c->groups,
                                       .alpha = 1,
                                       .whole = only != 0,
                                       .a = { .tensor = turned, .ld = c->maps * taps, .batch_stride = channels * c->maps * taps },
                                       .b = { .tensor = y, .batch_stride = c->maps * c->pixels, .patches = &p->of_y },
                                       .c = { .tensor = only ? x : part, .ld = places, .batch_stride = channels * places } }));
    if (only) return 0;
    int64_t run = window_run(host, call);
    return host->launch(call, AVAL_LAUNCH(.kernel = "spread_phase", .dims = 2, AVAL_DEFINES({ "RUN", run }),
                                          .global = { window_items(p->of_y.out, run), (uint64_t)(c->images * c->groups * channels) },
                                          AVAL_ARGS(AVAL_READ(part), AVAL_UPDATE(x), THREE(c->at.in), THREE(p->of_y.out), THREE(p->first),
                                                    THREE(c->at.stride))));
}

static int pointwise_transposed(const aval_host *host, aval_call *call, const conv *c)
{
    aval_operand filters = filters_of(c, host->input(call, 1));
    filters.transposed = 1;
    return host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                          .m = c->at.channels,
                                          .n = c->pixels,
                                          .k = c->maps,
                                          .batch = c->images * c->groups,
                                          .groups = c->groups,
                                          .alpha = 1,
                                          .whole = 1,
                                          .a = filters,
                                          .b = maps_of(c, host->input(call, 0)),
                                          .c = images_of(c, host->output(call, 0)) });
}

static int transposed_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->input(call, 0), *w = host->input(call, 1), *x = host->output(call, 0), *turned, *part = NULL;
    conv c;
    TRY(conv_read(host, call, &transposed, &c));
    int64_t phases = product(c.at.stride, WINDOW_SPACE), most = 0;
    int holes = 0;
    if (host->count(x) == 0) return 0;
    if (host->count(y) == 0 || c.depth == 0) return host->fill(call, x, 0);
    if (has_few(host, call, &c) || phases > MOST_PHASES) {
        int64_t run = window_run(host, call);
        return host->launch(call, AVAL_LAUNCH(.kernel = "convolve_transposed", .dims = 2, AVAL_DEFINES({ "RUN", run }),
                                              .global = { window_items(c.at.in, run), (uint64_t)(c.images * c.groups * c.at.channels) },
                                              AVAL_ARGS(AVAL_READ(y), AVAL_READ(w), AVAL_WRITE(x), AVAL_I32(c.at.channels),
                                                        AVAL_I32(c.maps), AVAL_I32(c.groups), WINDOW_ARGS(c.at))));
    }
    if (is_pointwise(&c) && (c.groups == 1 || !takes_patches(host->device(call)))) return pointwise_transposed(host, call, &c);
    for (int64_t i = 0; i < phases; i++) {
        phase p = phase_of(&c, i);
        int64_t places = product(p.of_y.out, WINDOW_SPACE);
        if (places > most) most = places;
        if (places > 0 && product(p.of_y.kernel, WINDOW_SPACE) == 0) holes = 1;
    }
    turned = host->scratch(call, host->type(w), c.groups * c.at.channels * c.maps * c.taps);
    if (phases > 1) part = host->scratch(call, host->type(x), c.images * c.groups * c.at.channels * most);
    if (turned == NULL || (phases > 1 && part == NULL)) return host->fail(call, AVAL_PLUGIN_NO_MEMORY, "no memory for a phase");
    if (holes) TRY(host->fill(call, x, 0));
    for (int64_t i = 0; i < phases; i++) {
        phase p = phase_of(&c, i);
        TRY(record_phase(host, call, &c, &p, phases == 1, turned, part));
    }
    return 0;
}

/* ---- w = x' * y -------------------------------------------------------------------------------------------------------------------- */

static int weights_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->input(call, 1), *w = host->output(call, 0);
    conv c;
    TRY(conv_read(host, call, &weights, &c));
    if (host->count(w) == 0) return 0;
    if (host->count(y) == 0) return host->fill(call, w, 0);
    if (has_few(host, call, &c)) {
        const uint32_t group = host->device(call)->group;
        return host->launch(call,
                            AVAL_LAUNCH(.kernel = "convolve_weights", BY_GROUPS_WITH(group, host->count(w), "RUN", window_run(host, call)),
                                        AVAL_ARGS(AVAL_READ(x), AVAL_READ(y), AVAL_WRITE(w), AVAL_I32(c.images), AVAL_I32(c.at.channels),
                                                  AVAL_I32(c.maps), AVAL_I32(c.groups), WINDOW_ARGS(c.at))));
    }
    aval_operand patches = images_of(&c, x);
    if (c.groups > 1 && takes_patches(host->device(call))) patches.patches = &c.at;
    patches.transposed = 1;
    return host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                          .m = c.maps,
                                          .n = c.depth,
                                          .k = c.pixels,
                                          .batch = c.images * c.groups,
                                          .groups = c.groups,
                                          .alpha = 1,
                                          .sum = 1,
                                          .whole = 1,
                                          .a = maps_of(&c, y),
                                          .b = patches,
                                          .c = filters_of(&c, w) });
}

/* ---- Gradients: these ops again ------------------------------------------------------------------------------------------------------ */

/* op(a, b), whose result has `like`'s lengths, is the gradient of input i. */
static int yield_product(const aval_host *host, aval_call *call, size_t i, const char *op, const aval_tensor *a, const aval_tensor *b)
{
    static const char *const lists[] = { "strides", "pads", "dilations" };
    const aval_tensor *like = host->input(call, i), *result;
    text attrs = { 0 };
    if (host->gradient(call, i) == NULL) return 0;
    text_int(&attrs, "group", host->attr_int(call, "group"));
    for (size_t l = 0; l < 3; l++) {
        size_t n;
        const int64_t *values = host->attr_ints(call, lists[l], &n);
        if (n > 0) text_ints(&attrs, lists[l], values, n);
    }
    text_ints(&attrs, "shape", host->dims(like) + 2, host->rank(like) - 2);
    TRY(host->apply(call, op, attrs.at, 2, (const aval_tensor *const[]){ a, b }, 1, &result));
    return host->yield(call, i, result);
}

static int convolution_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *up = host->upstream(call, 0);
    TRY(yield_product(host, call, 0, "aval::ConvolutionTransposed", up, host->input(call, 1)));
    return yield_product(host, call, 1, "aval::ConvolutionWeights", host->input(call, 0), up);
}

static int transposed_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *up = host->upstream(call, 0);
    TRY(yield_product(host, call, 0, "aval::Convolution", up, host->input(call, 1)));
    return yield_product(host, call, 1, "aval::ConvolutionWeights", up, host->input(call, 0));
}

static int weights_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *up = host->upstream(call, 0);
    TRY(yield_product(host, call, 0, "aval::ConvolutionTransposed", host->input(call, 1), up));
    return yield_product(host, call, 1, "aval::Convolution", host->input(call, 0), up);
}

/* ---- References ---------------------------------------------------------------------------------------------------------------------- */

/* Pixels beside each other along the last axis whose places, of a tap, lie in x: places[i] is first + i * step. */
typedef struct run {
    int64_t pixel, place, step;
    int64_t length; /* 0: none */
} run;

/* The run of a row of pixels; `row` is its first. */
static run find_run(const aval_patches *p, int64_t row, int64_t tap)
{
    const int last = WINDOW_SPACE - 1;
    run r = { .step = p->stride[last] };
    int64_t end = p->out[last];
    while (end > 0 && place_under(p, row + end - 1, tap) < 0) end--;
    for (int64_t i = 0; i < end && r.length == 0; i++) {
        r.pixel = row + i;
        r.place = place_under(p, r.pixel, tap);
        if (r.place >= 0) r.length = end - i;
    }
    return r;
}

/* Adds to one of x, w, y what the other two give of a run and its tap, which w begins at. */
static void reference_run(const conv *c, const roles *r, const run *at, double *x, double *w, double *y)
{
    const int64_t channels = c->at.channels, maps = c->groups * c->maps, step = at->step;
    for (int64_t map = 0; map < c->images * maps; map++) {
        double *image = x + (map / maps * c->groups + map % maps / c->maps) * channels * c->places + at->place;
        double *filter = w + map % maps * channels * c->taps, *out = y + map * c->pixels + at->pixel;
        for (int64_t channel = 0; channel < channels; channel++, image += c->places, filter += c->taps) {
            const double factor = *filter;
            double sum = 0;
            if (r->y < 0)
                for (int64_t i = 0; i < at->length; i++) out[i] += image[i * step] * factor;
            else if (r->x < 0)
                for (int64_t i = 0; i < at->length; i++) image[i * step] += out[i] * factor;
            else
                for (int64_t i = 0; i < at->length; i++) sum += image[i * step] * out[i];
            if (r->w < 0) *filter += sum;
        }
    }
}

static int reference(const aval_host *host, aval_call *call, const roles *r)
{
    conv c;
    TRY(conv_read(host, call, r, &c));
    const aval_tensor *out = host->output(call, 0);
    const int of[] = { r->x, r->w, r->y };
    double *at[3];
    for (int i = 0; i < 3; i++) at[i] = host->real(call, of[i] < 0 ? out : host->input(call, (size_t)of[i]));
    for (int64_t i = 0; i < host->count(out); i++) host->real(call, out)[i] = 0;
    for (int64_t row = 0; row < c.pixels; row += c.at.out[WINDOW_SPACE - 1]) {
        for (int64_t tap = 0; tap < c.taps; tap++) {
            const run seen = find_run(&c.at, row, tap);
            if (seen.length > 0) reference_run(&c, r, &seen, at[0], at[1] + tap, at[2]);
        }
    }
    return 0;
}

static int convolution_reference(const aval_host *host, aval_call *call)
{
    return reference(host, call, &convolution);
}

static int transposed_reference(const aval_host *host, aval_call *call)
{
    return reference(host, call, &transposed);
}

static int weights_reference(const aval_host *host, aval_call *call)
{
    return reference(host, call, &weights);
}

/* ---- Definitions --------------------------------------------------------------------------------------------------------------------- */

#define CONV_ATTRS(of_shape) \
    AVAL_ATTRS({ .name = "group", .type = AVAL_ATTR_INT, .initial = "1", .doc = "channels are convolved in so many separate groups" }, \
               { .name = "shape", .type = AVAL_ATTR_INTS, .required = 1, .doc = of_shape }, \
               { .name = "strides", .type = AVAL_ATTR_INTS, .doc = "from one window to the next; 1 without it" }, \
               { .name = "pads", .type = AVAL_ATTR_INTS, .doc = "zeros before each axis of X, negative: cut off; 0 without it" }, \
               { .name = "dilations", .type = AVAL_ATTR_INTS, .doc = "from one element of a window to the next; 1 without it" })

static const aval_op convolution_op = {
    .size = sizeof(aval_op),
    .name = "Convolution",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .products = AVAL_PRODUCT_OUTPUT(0),
    .blocks = &convolution_blocks,
    .doc = "Images X convolved with filters W: the sums of products that Conv adds a bias to.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "W", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = CONV_ATTRS("lengths of Y's axes of space"),
    .infer = convolution_infer,
    .forward = convolution_forward,
    .backward_body = convolution_backward,
    .reference = convolution_reference,
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,3,5,6] [4,3,3,3]", .attrs = "shape=[3,4]" },
        { .inputs = "[2,3,5,6] [4,3,3,2]", .attrs = "shape=[3,6] strides=[2,1] pads=[1,0]" },
        { .inputs = "[2,4,6,6] [4,2,3,3]", .attrs = "shape=[6,6] group=2 dilations=[2,1] pads=[2,1]" },
        { .inputs = "[1,3,7,6] [3,1,2,2]", .attrs = "shape=[4,3] group=3 strides=[2,2] pads=[1,0]", .why = "each channel by itself" },
        { .inputs = "[2,3,9] [5,3,4]", .attrs = "shape=[4] strides=[2] dilations=[1] pads=[1]", .why = "one axis" },
        { .inputs = "[1,2,4,5,6] [3,2,2,3,2]", .attrs = "shape=[3,2,5] strides=[1,2,1] pads=[0,1,0]", .why = "three axes" },
        { .inputs = "[2,6,5,5] [4,6,1,1]", .attrs = "shape=[5,5]", .why = "one element: a plain product" },
        { .inputs = "[2,6,5,5] [4,6,1,1]", .attrs = "shape=[3,3] strides=[2,2]" },
        { .inputs = "[1,1,1,1] [1,1,1,1]", .attrs = "shape=[1,1]" }, { .inputs = "[0,2,3,3] [1,2,2,2]", .attrs = "shape=[2,2]" },
        { .inputs = "[2,3,4,4] [2,3,3,3]", .attrs = "shape=[4,4] pads=[-1,1]", .why = "a negative pad" },
        { .inputs = "[3,8,24,25] [16,8,3,3]", .attrs = "shape=[24,25] pads=[1,1]", .size_class = AVAL_LARGE },
        { .inputs = "[9,16,8,8] [20,16,3,3]", .attrs = "shape=[8,8] pads=[1,1]", .size_class = AVAL_LARGE, .why = "rows of half a vector" },
        { .inputs = "[5,17,18,15] [20,17,3,3]",
          .attrs = "shape=[18,15] pads=[1,1]",
          .size_class = AVAL_LARGE,
          .why = "Winograd's filtering" },
        { .inputs = "[2,16,14,13] [33,16,5,5]", .attrs = "shape=[14,13] pads=[2,2]", .size_class = AVAL_LARGE },
        { .inputs = "[2,8,17,31] [24,8,5,3]", .attrs = "shape=[9,11] strides=[2,3] pads=[2,1]", .size_class = AVAL_LARGE },
        { .inputs = "[2,16,5,9,17] [9,16,2,3,2]", .attrs = "shape=[4,7,16]", .size_class = AVAL_LARGE },
        { .inputs = "[2,32,28,28] [32,1,3,3]", .attrs = "shape=[28,28] group=32 pads=[1,1]", .size_class = AVAL_LARGE },
        { .inputs = "[3,40,7,7] [80,1,3,3]",
          .attrs = "shape=[7,7] group=40 pads=[1,1]",
          .size_class = AVAL_LARGE,
          .why = "planes that are gone through together" },
        { .inputs = "[1,3,113,120] [3,1,5,5]",
          .attrs = "shape=[57,60] group=3 strides=[2,2] pads=[2,2]",
          .size_class = AVAL_LARGE,
          .why = "planes in bands" },
        { .inputs = "[2,12,17,15] [21,4,3,3]",
          .attrs = "shape=[9,6] group=3 strides=[2,3] dilations=[1,2] pads=[1,2]",
          .size_class = AVAL_LARGE,
          .why = "several channels and maps of a group" },
        { .inputs = "[2,6,50] [6,1,7]", .attrs = "shape=[46] group=6 dilations=[2] pads=[4]", .size_class = AVAL_LARGE },
        { .inputs = "[2,4,5,9,17] [8,2,2,3,2]", .attrs = "shape=[4,5,16] group=2 strides=[1,2,1] pads=[0,1,0]", .size_class = AVAL_LARGE }),
};

static const aval_op transposed_op = {
    .size = sizeof(aval_op),
    .name = "ConvolutionTransposed",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .products = AVAL_PRODUCT_OUTPUT(0),
    .doc = "Each element of Y spreads its filter over X: the gradient of Convolution by its images.",
    .inputs = AVAL_PORTS({ .name = "Y" }, { .name = "W", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "X" }),
    .attrs = CONV_ATTRS("lengths of X's axes of space"),
    .infer = transposed_infer,
    .forward = transposed_forward,
    .backward_body = transposed_backward,
    .reference = transposed_reference,
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,4,3,4] [4,3,3,3]", .attrs = "shape=[5,6]" },
        { .inputs = "[2,4,3,6] [4,3,3,2]", .attrs = "shape=[5,6] strides=[2,1] pads=[1,0]" },
        { .inputs = "[1,4,3,3] [4,2,3,3]",
          .attrs = "shape=[8,7] strides=[3,2] dilations=[2,2] pads=[1,0]",
          .why = "phases that no tap reaches" },
        { .inputs = "[1,2,2,2] [2,3,1,1]", .attrs = "shape=[5,4] strides=[2,2]" },
        { .inputs = "[2,4,6,6] [4,2,3,3]", .attrs = "shape=[6,6] group=2 pads=[1,1]" },
        { .inputs = "[2,3,4] [3,2,3]", .attrs = "shape=[10] strides=[3]" },
        { .inputs = "[1,2,2,3,2] [2,3,2,2,3]", .attrs = "shape=[3,6,4] strides=[1,2,1]" },
        { .inputs = "[1,2,2,2] [2,3,3,3]", .attrs = "shape=[43,43] strides=[40,40]", .why = "many phases" },
        { .inputs = "[0,2,3,3] [2,1,2,2]", .attrs = "shape=[4,4]" },
        { .inputs = "[2,6,4,5] [6,1,3,3]", .attrs = "shape=[8,9] group=6 strides=[2,2] pads=[1,1]", .why = "each channel by itself" },
        { .inputs = "[2,24,14,14] [24,2,3,3]", .attrs = "shape=[14,14] group=12 pads=[1,1]", .size_class = AVAL_LARGE },
        { .inputs = "[2,24,14,17] [24,1,5,3]", .attrs = "shape=[28,33] group=24 strides=[2,2] pads=[2,1]", .size_class = AVAL_LARGE },
        { .inputs = "[3,16,24,25] [16,8,3,3]", .attrs = "shape=[24,25] pads=[1,1]", .size_class = AVAL_LARGE },
        { .inputs = "[3,16,12,13] [16,9,3,4]", .attrs = "shape=[24,25] strides=[2,2] pads=[1,1]", .size_class = AVAL_LARGE }),
};

static const aval_op weights_op = {
    .size = sizeof(aval_op),
    .name = "ConvolutionWeights",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .products = AVAL_PRODUCT_OUTPUT(0),
    .doc = "The gradient of Convolution by its filters: products of Y with what the filters saw of X, summed over images.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "Y", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "W" }),
    .attrs = CONV_ATTRS("lengths of W's axes of space"),
    .infer = weights_infer,
    .forward = weights_forward,
    .backward_body = weights_backward,
    .reference = weights_reference,
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,3,5,6] [2,4,3,4]", .attrs = "shape=[3,3]" },
        { .inputs = "[2,3,5,6] [2,4,3,6]", .attrs = "shape=[3,2] strides=[2,1] pads=[1,0]" },
        { .inputs = "[2,4,6,6] [2,4,6,6]", .attrs = "shape=[3,3] group=2 dilations=[2,1] pads=[2,1]" },
        { .inputs = "[2,3,9] [2,5,4]", .attrs = "shape=[4] strides=[2] pads=[1]" },
        { .inputs = "[1,2,4,5,6] [1,3,3,2,5]", .attrs = "shape=[2,3,2] strides=[1,2,1] pads=[0,1,0]" },
        { .inputs = "[2,6,5,5] [2,4,5,5]", .attrs = "shape=[1,1]" }, { .inputs = "[0,2,3,3] [0,1,2,2]", .attrs = "shape=[2,2]" },
        { .inputs = "[2,6,4,5] [2,6,4,5]", .attrs = "shape=[3,3] group=6 pads=[1,1]", .why = "each channel by itself" },
        { .inputs = "[9,40,7,7] [9,40,7,7]", .attrs = "shape=[3,3] group=40 pads=[1,1]", .size_class = AVAL_LARGE },
        { .inputs = "[2,12,113,60] [2,9,57,30]",
          .attrs = "shape=[5,3] group=3 strides=[2,2] pads=[2,1]",
          .size_class = AVAL_LARGE,
          .why = "planes in bands" },
        { .inputs = "[9,16,9,8] [9,20,9,8]", .attrs = "shape=[3,3] pads=[1,1]", .size_class = AVAL_LARGE },
        { .inputs = "[5,8,17,31] [5,33,9,11]", .attrs = "shape=[5,3] strides=[2,3] pads=[2,1]", .size_class = AVAL_LARGE }),
};

AVAL_PLUGIN("convolution", "0.1.0", AVAL_SOURCES({ "convolution.cl", convolution_cl }), &convolution_op, &transposed_op, &weights_op)
