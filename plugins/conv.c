/* Conv and ConvTranspose: attributes turned into the explicit geometry of aval::Convolution and aval::ConvolutionTransposed, and the
 * addition of the bias, which fuses with what follows. */
#include "window.h"

/* result = op(x, w) with the geometry of `at`, its spatial lengths being `shape`; then the bias, one number a channel. */
static int convolved(const aval_host *host, aval_call *call, const char *op, const window *w, const int64_t *shape)
{
    const aval_tensor *pair[] = { host->input(call, 0), host->input(call, 1) }, *y,
                      *bias = host->n_inputs(call) > 2 ? host->input(call, 2) : NULL;
    const size_t skipped = WINDOW_SPACE - w->axes;
    text attrs = { 0 };
    text_int(&attrs, "group", host->attr_int(call, "group"));
    text_ints(&attrs, "strides", w->at.stride + skipped, w->axes);
    text_ints(&attrs, "pads", w->at.pad + skipped, w->axes);
    text_ints(&attrs, "dilations", w->at.dilation + skipped, w->axes);
    text_ints(&attrs, "shape", shape + skipped, w->axes);
    TRY(host->apply(call, op, attrs.at, 2, pair, 1, &y));
    if (bias != NULL) {
        const int64_t dims[2 + WINDOW_SPACE] = { 1, host->count(bias), 1, 1, 1 };
        TRY(reshaped(host, call, bias, (uint32_t)(2 + w->axes), dims, &bias));
        TRY(host->apply(call, "Add", NULL, 2, (const aval_tensor *const[]){ y, bias }, 1, &y));
    }
    return host->yield(call, 0, y);
}

/* The filters' lengths, which kernel_shape repeats; W [maps, channels, ...] of X's rank. */
static int read_filters(const aval_host *host, aval_call *call, window *w)
{
    const aval_tensor *x = host->input(call, 0), *filters = host->input(call, 1);
    int64_t given[WINDOW_SPACE];
    TRY(window_space(host, call, "W", filters, &w->axes, w->at.kernel));
    if (host->rank(x) != host->rank(filters))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "inputs X and W have %u and %u axes, expected equally many", (unsigned)host->rank(x),
                          (unsigned)host->rank(filters));
    TRY(window_axes(host, call, "kernel_shape", w->axes, 0, -1, given));
    for (size_t i = 0; i < WINDOW_SPACE; i++)
        if (given[i] >= 0 && given[i] != w->at.kernel[i])
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "attribute kernel_shape has %lld, but input W %lld", (long long)given[i],
                              (long long)w->at.kernel[i]);
    return 0;
}

/* `channels` of W's two first axes are the group's share of X's channels, `maps` the result's. */
static int check_channels(const aval_host *host, aval_call *call, int64_t channels, int64_t maps)
{
    int64_t group = host->attr_int(call, "group"), have = host->dims(host->input(call, 0))[1];
    const aval_tensor *bias = host->n_inputs(call) > 2 ? host->input(call, 2) : NULL;
    if (group < 1 || product_of(channels, group) != have)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input W has %lld channels, but input X has %lld and group is %lld",
                          (long long)channels, (long long)have, (long long)group);
    if (bias != NULL && (host->rank(bias) != 1 || host->dims(bias)[0] != maps))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input B has %lld elements, expected one for each of %lld maps",
                          (long long)host->count(bias), (long long)maps);
    return 0;
}

/* ---- Conv ---------------------------------------------------------------------------------------------------------------------------- */

static int conv_read(const aval_host *host, aval_call *call, window *w)
{
    TRY(read_filters(host, call, w));
    const int64_t *filters = host->dims(host->input(call, 1));
    int64_t group = host->attr_int(call, "group");
    TRY(check_channels(host, call, filters[1], filters[0]));
    if (filters[0] % group != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input W has %lld maps, expected a multiple of group, %lld", (long long)filters[0],
                          (long long)group);
    return window_read(host, call, host->input(call, 0), 0, w);
}

static int conv_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    window w;
    TRY(conv_read(host, call, &w));
    return window_output(host, call, 0, host->type(x), host->dims(x)[0], host->dims(host->input(call, 1))[0], w.axes, w.at.out);
}

static int conv_body(const aval_host *host, aval_call *call)
{
    window w;
    TRY(conv_read(host, call, &w));
    return convolved(host, call, "aval::Convolution", &w, w.at.out);
}

/* ---- ConvTranspose ------------------------------------------------------------------------------------------------------------------- */

/* Lengths of the result and the pads: given, or what auto_pad and output_shape leave over. */
static int transpose_pads(const aval_host *host, aval_call *call, window *w, int64_t *shape)
{
    int64_t extra[WINDOW_SPACE], wanted[WINDOW_SPACE];
    const char *mode;
    size_t n;
    TRY(window_mode(host, call, &mode));
    TRY(window_pads(host, call, w));
    TRY(window_axes(host, call, "output_padding", w->axes, 0, 0, extra));
    host->attr_ints(call, "output_shape", &n);
    if (n == w->axes + 2) /* older exporters name images and channels too */
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute output_shape has %zu numbers, expected the %zu axes of space", n,
                          w->axes);
    TRY(window_axes(host, call, "output_shape", w->axes, 0, -1, wanted));
    for (int i = 0; i < WINDOW_SPACE; i++) {
        int same = strncmp(mode, "SAME", 4) == 0;
        int64_t all = (w->at.in[i] - 1) * w->at.stride[i] + extra[i] + (w->at.kernel[i] - 1) * w->at.dilation[i] + 1;
        shape[i] = all - w->at.pad[i] - w->behind[i];
        if (wanted[i] < 0 && !same) continue;
        shape[i] = wanted[i] >= 0 ? wanted[i] : w->at.in[i] * w->at.stride[i];
        int64_t total = all - shape[i];
        w->at.pad[i] = strcmp(mode, "SAME_UPPER") == 0 ? total / 2 : total - total / 2;
        if (total < 0) w->at.pad[i] = 0; /* the result is longer than what is reached: zeros behind */
    }
    return 0;
}

static int transpose_read(const aval_host *host, aval_call *call, window *w, int64_t *shape)
{
    TRY(read_filters(host, call, w));
    const aval_tensor *x = host->input(call, 0);
    const int64_t *filters = host->dims(host->input(call, 1));
    int64_t group = host->attr_int(call, "group");
    TRY(check_channels(host, call, group > 0 ? filters[0] / group : 0, group > 0 ? product_of(filters[1], group) : 0));
    TRY(window_space(host, call, "X", x, &w->axes, w->at.in));
    TRY(window_axes(host, call, "strides", w->axes, 1, 1, w->at.stride));
    TRY(window_axes(host, call, "dilations", w->axes, 1, 1, w->at.dilation));
    TRY(transpose_pads(host, call, w, shape));
    for (int i = 0; i < WINDOW_SPACE; i++)
        if (shape[i] < 0)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "attribute pads leaves %lld elements of an axis, expected 0 or more",
                              (long long)shape[i]);
    return 0;
}

static int transpose_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t shape[WINDOW_SPACE];
    window w;
    TRY(transpose_read(host, call, &w, shape));
    return window_output(host, call, 0, host->type(x), host->dims(x)[0],
                         product_of(host->dims(host->input(call, 1))[1], host->attr_int(call, "group")), w.axes, shape);
}

static int transpose_body(const aval_host *host, aval_call *call)
{
    int64_t shape[WINDOW_SPACE];
    window w;
    TRY(transpose_read(host, call, &w, shape));
    return convolved(host, call, "aval::ConvolutionTransposed", &w, shape);
}

/* ---- Definitions ------------------------------------------------------------------------------------------------------------------- */

#define GROUP_ATTR \
    { \
        .name = "group", .type = AVAL_ATTR_INT, .initial = "1", .doc = "channels are convolved in so many separate groups" \
    }
#define CONV_PORTS \
    AVAL_PORTS({ .name = "X" }, { .name = "W", .like = AVAL_LIKE(0) }, { .name = "B", .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) })

static const aval_op conv_op = {
    .size = sizeof(aval_op),
    .name = "Conv",
    .since = 1,
    .deterministic = 1,
    .doc = "Convolution over 1 to 3 axes, with a bias for each map.",
    .inputs = CONV_PORTS,
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS(GROUP_ATTR, WINDOW_ATTRS),
    .infer = conv_infer,
    .body = conv_body,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3,5,6] [4,3,3,3] [4]", .attrs = "pads=[1,1,1,1]" }, { .inputs = "[2,3,5,6] [4,3,3,3]" },
                            { .inputs = "[2,4,6,6] [4,2,3,3] [4]", .attrs = "group=2 strides=[2,2] kernel_shape=[3,3] auto_pad='VALID'" },
                            { .inputs = "[2,4,6,7] [4,4,3,2]", .attrs = "strides=[2,2] dilations=[1,2] auto_pad='SAME_UPPER'" },
                            { .inputs = "[1,3,7,6] [3,1,2,2]", .attrs = "group=3 strides=[2,2] auto_pad='SAME_LOWER'" },
                            { .inputs = "[2,3,9] [5,3,4] [5]", .attrs = "pads=[1,2] strides=[2]" },
                            { .inputs = "[1,2,4,5,6] [3,2,2,3,2] [3]", .attrs = "pads=[0,1,0,1,1,0]" }),
};

static const aval_op transpose_op = {
    .size = sizeof(aval_op),
    .name = "ConvTranspose",
    .since = 1,
    .deterministic = 1,
    .doc = "Transposed convolution over 1 to 3 axes: each element spreads its filter over the result; with a bias for each map.",
    .inputs = CONV_PORTS,
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS(GROUP_ATTR, WINDOW_ATTRS,
                        { .name = "output_padding", .type = AVAL_ATTR_INTS, .doc = "further elements behind each axis; 0 without it" },
                        { .name = "output_shape", .type = AVAL_ATTR_INTS, .doc = "lengths of the result, which decide the pads" }),
    .infer = transpose_infer,
    .body = transpose_body,
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,3,4,5] [3,4,3,3] [4]" }, { .inputs = "[1,3,3,3] [3,2,3,3]", .attrs = "strides=[3,2] pads=[1,2,1,2]" },
        { .inputs = "[1,2,3,3] [2,2,3,3]", .attrs = "strides=[3,2] output_shape=[10,8]" },
        { .inputs = "[1,2,3,3] [2,2,3,3] [2]", .attrs = "strides=[2,2] output_padding=[1,1] pads=[1,1,1,1]" },
        { .inputs = "[1,2,3,3] [2,2,2,2]", .attrs = "dilations=[2,2] strides=[2,3] auto_pad='SAME_UPPER'" },
        { .inputs = "[1,4,3,4] [4,2,3,3] [4]", .attrs = "group=2 strides=[2,2] auto_pad='SAME_LOWER'" },
        { .inputs = "[2,3,4] [3,2,3]", .attrs = "strides=[2]" }, { .inputs = "[1,2,3,2,3] [2,1,2,3,2] [1]", .attrs = "strides=[2,1,2]" },
        { .inputs = "[1,2,2,2] [2,1,2,2]", .attrs = "output_shape=[9,9]", .why = "longer than what is reached" }),
};

AVAL_PLUGIN("conv", "0.1.0", NULL, &conv_op, &transpose_op)
