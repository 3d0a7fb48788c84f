/* Convolution of images whose channels lie in blocks of a vector, [images, channels / block, space ..., block]: what plans make of aval::Convolution
 * where that moves and computes less (runtime/graph/blocks.c). */
#include "convolution.h"

#include "blocks.cl.h"

typedef struct blocked {
    conv c;
    int64_t blocks[2]; /* of x and of y; 1: channels one after the other, as ONNX has them */
} blocked;

static int read_blocks(const aval_host *host, aval_call *call, blocked *b)
{
    size_t n;
    const int64_t *blocks = host->attr_ints(call, "blocks", &n);
    for (size_t i = 0; n == 2 && i < 2; i++) b->blocks[i] = blocks[i] > 1 ? blocks[i] : 1;
    if (n != 2 || blocks[0] < 0 || blocks[1] < 0 || blocks[0] > INT32_MAX || blocks[1] > INT32_MAX)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute blocks has %zu numbers, expected 2 of 0 or more: of X and of Y", n);
    return 0;
}

static int read_lengths(const aval_host *host, aval_call *call, blocked *b)
{
    const aval_tensor *x = host->input(call, 0), *w = host->input(call, 1);
    const uint32_t rank = host->rank(x) - (b->blocks[0] > 1);
    TRY(window_space(host, call, "W", w, &b->c.axes, b->c.at.kernel));
    if (rank != 2 + b->c.axes || (b->blocks[0] > 1 && host->dims(x)[rank] != b->blocks[0]))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input X has %u axes, expected [images, channels / %lld, %zu of space%s]",
                          (unsigned)host->rank(x), (long long)b->blocks[0], b->c.axes, b->blocks[0] > 1 ? ", block" : "");
    TRY(window_lengths(host, call, "X", host->dims(x), b->c.axes, b->c.at.in));
    TRY(window_axes(host, call, "shape", b->c.axes, 0, 1, b->c.at.out));
    return conv_steps(host, call, &b->c);
}

static int read_convolution(const aval_host *host, aval_call *call, blocked *b)
{
    const int64_t *w = host->dims(host->input(call, 1));
    *b = (blocked){ .c = { .groups = host->attr_int(call, "group") } };
    TRY(read_blocks(host, call, b));
    TRY(read_lengths(host, call, b));
    const int64_t channels = product_of(host->dims(host->input(call, 0))[1], b->blocks[0]);
    if (b->c.groups < 1 || product_of(w[1], b->c.groups) != channels || w[0] % b->c.groups != 0 || w[0] % b->blocks[1] != 0)
        return host->fail(
            call, AVAL_PLUGIN_BAD_SHAPE,
            "input W has %lld channels and %lld maps for images of %lld channels in %lld groups: expected channels = W's times "
            "groups, and maps that are a multiple of groups and of Y's block, %lld",
            (long long)w[1], (long long)w[0], (long long)channels, (long long)b->c.groups, (long long)b->blocks[1]);
    b->c.images = host->dims(host->input(call, 0))[0];
    b->c.at.channels = w[1];
    b->c.maps = w[0] / b->c.groups;
    conv_count(&b->c);
    return 0;
}

static int convolution_infer(const aval_host *host, aval_call *call)
{
    blocked b;
    TRY(read_convolution(host, call, &b));
    int64_t dims[3 + WINDOW_SPACE] = { b.c.images, b.c.groups * b.c.maps / b.blocks[1] };
    uint32_t rank = 2;
    for (size_t i = WINDOW_SPACE - b.c.axes; i < WINDOW_SPACE; i++) dims[rank++] = b.c.at.out[i];
    if (b.blocks[1] > 1) dims[rank++] = b.blocks[1];
    return host->set_output(call, 0, host->type(host->input(call, 0)), rank, dims);
}

static int is_vector(int64_t block)
{
    return block == 1 || block == 4 || block == 8 || block == 16;
}

/* What providers of products compute: on CPUs, all channels together or each by itself, in blocks of a vector. */
static int is_product(const aval_host *host, aval_call *call, const blocked *b)
{
    if (b->c.depth == 0 || !takes_blocks(host->device(call), &b->c)) return 0;
    if (!is_vector(b->blocks[0]) || !is_vector(b->blocks[1])) return 0;
    return b->c.groups == 1 || (b->c.at.channels == 1 && b->c.maps == 1 && b->blocks[0] == b->blocks[1] && b->blocks[0] > 1);
}

static int convolution_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *w = host->input(call, 1), *y = host->output(call, 0);
    blocked b;
    TRY(read_convolution(host, call, &b));
    if (host->count(y) == 0) return 0;
    if (!is_product(host, call, &b))
        return host->launch(
            call, AVAL_LAUNCH(.kernel = "convolve_blocks", EACH(host->count(y)),
                              AVAL_ARGS(AVAL_READ(x), AVAL_READ(w), AVAL_WRITE(y), AVAL_I32(b.c.images),
                                        AVAL_I32(b.c.groups * b.c.at.channels), AVAL_I32(b.c.at.channels), AVAL_I32(b.c.groups * b.c.maps),
                                        AVAL_I32(b.c.maps), AVAL_I32(b.blocks[0]), AVAL_I32(b.blocks[1]), WINDOW_ARGS(b.c.at))));
    return host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                          .m = b.c.maps,
                                          .n = b.c.pixels,
                                          .k = b.c.depth,
                                          .batch = b.c.images * b.c.groups,
                                          .groups = b.c.groups,
                                          .b_block = b.blocks[0] > 1 ? b.blocks[0] : 0,
                                          .c_block = b.blocks[1] > 1 ? b.blocks[1] : 0,
                                          .alpha = 1,
                                          .whole = 1,
                                          .a = { .tensor = w, .ld = b.c.depth, .batch_stride = b.c.maps * b.c.depth },
                                          .b = { .tensor = x, .batch_stride = b.c.at.channels * b.c.places, .patches = &b.c.at },
                                          .c = { .tensor = y, .ld = b.c.pixels, .batch_stride = b.c.maps * b.c.pixels } });
}

/* Where element (channel, place) of an image lies, in blocks. */
static int64_t element_of(int64_t channel, int64_t place, int64_t places, int64_t block)
{
    return (channel / block * places + place) * block + channel % block;
}

static int convolution_reference(const aval_host *host, aval_call *call)
{
    blocked b;
    TRY(read_convolution(host, call, &b));
    const double *x = host->real(call, host->input(call, 0)), *w = host->real(call, host->input(call, 1));
    double *y = host->real(call, host->output(call, 0));
    for (int64_t map = 0; map < b.c.images * b.c.groups * b.c.maps; map++) {
        const int64_t image = map / (b.c.groups * b.c.maps), own = map % (b.c.groups * b.c.maps);
        for (int64_t pixel = 0; pixel < b.c.pixels; pixel++) {
            double sum = 0;
            for (int64_t i = 0; i < b.c.depth; i++) {
                const int64_t channel = own / b.c.maps * b.c.at.channels + i / b.c.taps, place = place_under(&b.c.at, pixel, i % b.c.taps);
                if (place < 0) continue;
                sum += w[own * b.c.depth + i] *
                       x[image * b.c.groups * b.c.at.channels * b.c.places + element_of(channel, place, b.c.places, b.blocks[0])];
            }
            y[image * b.c.groups * b.c.maps * b.c.pixels + element_of(own, pixel, b.c.pixels, b.blocks[1])] = sum;
        }
    }
    return 0;
}

#define CASE(inputs_, attrs_, size, reason) \
    { \
        .inputs = inputs_, .attrs = attrs_, .flags = AVAL_NO_GRADIENT_CHECK, .size_class = size, .why = reason \
    }

static const aval_op convolution_op = {
    .size = sizeof(aval_op),
    .name = "BlockedConvolution",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .products = AVAL_PRODUCT_OUTPUT(0),
    .doc = "aval::Convolution of images whose channels lie in blocks, [images, channels / block, space ..., block].",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "W", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs =
        AVAL_ATTRS({ .name = "group", .type = AVAL_ATTR_INT, .initial = "1", .doc = "channels are convolved in so many separate groups" },
                   { .name = "shape", .type = AVAL_ATTR_INTS, .required = 1, .doc = "lengths of Y's axes of space" },
                   { .name = "strides", .type = AVAL_ATTR_INTS, .doc = "from one window to the next; 1 without it" },
                   { .name = "pads", .type = AVAL_ATTR_INTS, .doc = "zeros before each axis of X, negative: cut off; 0 without it" },
                   { .name = "dilations", .type = AVAL_ATTR_INTS, .doc = "from one element of a window to the next; 1 without it" },
                   { .name = "blocks", .type = AVAL_ATTR_INTS, .required = 1, .doc = "length of a block of X, of Y; 0: no blocks" }),
    .infer = convolution_infer,
    .forward = convolution_forward,
    .reference = convolution_reference,
    .no_gradient = "plans put it in the place of aval::Convolution when gradients are nodes already",
    .samples = AVAL_SAMPLES(
        CASE("[2,2,5,6,4] [8,8,3,3]", "shape=[5,6] pads=[1,1] blocks=[4,4]", AVAL_SMALL, "the commonest"),
        CASE("[2,3,5,6] [8,3,3,3]", "shape=[3,3] strides=[2,2] pads=[1,1] blocks=[0,8]", AVAL_SMALL, "into blocks"),
        CASE("[2,1,5,6,8] [3,8,1,1]", "shape=[5,6] blocks=[8,0]", AVAL_SMALL, "out of blocks"),
        CASE("[2,2,5,6,4] [8,1,3,3]", "group=8 shape=[5,6] pads=[1,1] blocks=[4,4]", AVAL_SMALL, "each channel by itself"),
        CASE("[1,2,7,6,4] [8,1,3,2]", "group=8 shape=[3,3] strides=[2,2] dilations=[2,1] pads=[1,0] blocks=[4,4]", AVAL_SMALL,
             "and stepwise"),
        CASE("[1,2,5,4,4] [8,4,3,3]", "group=2 shape=[5,4] pads=[1,1] blocks=[4,2]", AVAL_SMALL, "groups of several channels"),
        CASE("[2,1,9,4] [4,4,4]", "shape=[4] strides=[2] pads=[1] blocks=[4,4]", AVAL_SMALL, "one axis"),
        CASE("[1,1,3,4,5,4] [8,4,2,2,3]", "shape=[3,2,5] strides=[1,2,1] pads=[0,1,1] blocks=[4,8]", AVAL_SMALL, "three axes"),
        CASE("[2,2,3,20,4] [8,1,2,9]", "group=8 shape=[3,7] strides=[1,2] dilations=[2,1] pads=[1,-1] blocks=[4,4]", AVAL_SMALL,
             "wide windows, a negative pad"),
        CASE("[2,1,17,8] [8,1,3]", "group=8 shape=[13] pads=[2] dilations=[3] blocks=[8,8]", AVAL_SMALL, "one axis, each by itself"),
        CASE("[1,1,3,2,16] [16,1,3,3]", "group=16 shape=[7,9] pads=[4,4] blocks=[16,16]", AVAL_SMALL, "windows that see padding alone"),
        CASE("[0,2,3,3,4] [8,8,2,2]", "shape=[2,2] blocks=[4,4]", AVAL_SMALL, "no images"),
        CASE("[1,4,4,4] [4,4,3,3]", "shape=[4,4] pads=[-1,1] blocks=[0,0]", AVAL_SMALL, "no blocks, a negative pad"),
        CASE("[2,2,29,27,16] [48,32,1,1]", "shape=[29,27] blocks=[16,16]", AVAL_LARGE, "images as they lie"),
        CASE("[2,3,14,15,8] [24,24,1,1]", "shape=[14,15] blocks=[8,8]", AVAL_LARGE, "vectors of 8"),
        CASE("[1,24,20,21] [64,24,1,1]", "shape=[20,21] blocks=[0,16]", AVAL_LARGE, "an image as it lies into blocks"),
        CASE("[1,4,20,21,16] [24,64,1,1]", "shape=[20,21] blocks=[16,0]", AVAL_LARGE, "and out of them"),
        CASE("[3,2,17,30,16] [32,32,3,3]", "shape=[17,30] pads=[1,1] blocks=[16,16]", AVAL_LARGE, "3 x 3"),
        CASE("[1,3,60,57] [32,3,3,3]", "shape=[30,29] strides=[2,2] pads=[1,1] blocks=[0,16]", AVAL_LARGE, "the first of a net"),
        CASE("[1,2,23,24,16] [48,32,1,1]", "shape=[12,12] strides=[2,2] blocks=[16,16]", AVAL_LARGE, "every second element"),
        CASE("[1,1,112,112,16] [96,16,1,1]", "shape=[112,112] blocks=[16,16]", AVAL_LARGE, "MobileNetV2's: few channels to many"),
        CASE("[1,24,56,56] [144,24,1,1]", "shape=[56,56] blocks=[0,16]", AVAL_LARGE, "an odd number of vectors"),
        CASE("[1,9,56,56,16] [24,144,1,1]", "shape=[56,56] blocks=[16,0]", AVAL_LARGE, "out of blocks, one vector and a half"),
        CASE("[1,24,14,14,16] [64,384,1,1]", "shape=[14,14] blocks=[16,16]", AVAL_LARGE, "many channels to few"),
        CASE("[1,10,7,7,16] [960,160,1,1]", "shape=[7,7] blocks=[16,16]", AVAL_LARGE, "few windows"),
        CASE("[3,4,7,7,16] [64,1,3,3]", "group=64 shape=[7,7] pads=[1,1] blocks=[16,16]", AVAL_LARGE, "small planes of a channel each"),
        CASE("[1,3,56,57,16] [48,1,3,3]", "group=48 shape=[28,29] strides=[2,2] pads=[1,1] blocks=[16,16]", AVAL_LARGE, "every second"),
        CASE("[2,4,19,31,8] [32,1,5,5]", "group=32 shape=[19,31] pads=[2,2] blocks=[8,8]", AVAL_LARGE, "5 x 5, vectors of 8"),
        CASE("[1,2,9,50,41,4] [8,1,3,3,3]", "group=8 shape=[9,50,41] pads=[1,1,1] blocks=[4,4]", AVAL_LARGE, "three axes"),
        CASE("[1,60,7,7,16] [960,1,3,3]", "group=960 shape=[7,7] pads=[1,1] blocks=[16,16]", AVAL_LARGE, "MobileNetV2's, the last"),
        CASE("[1,24,14,14,16] [384,1,3,3]", "group=384 shape=[14,14] pads=[1,1] blocks=[16,16]", AVAL_LARGE, "two tiles a row"),
        CASE("[1,36,14,14,16] [576,1,3,3]", "group=576 shape=[7,7] strides=[2,2] pads=[1,1] blocks=[16,16]", AVAL_LARGE,
             "to the last planes"),
        CASE("[1,12,28,28,16] [192,1,3,3]", "group=192 shape=[14,14] strides=[2,2] pads=[1,1] blocks=[16,16]", AVAL_LARGE,
             "inside and beside"),
        CASE("[1,9,56,56,16] [144,1,3,3]", "group=144 shape=[56,56] pads=[1,1] blocks=[16,16]", AVAL_LARGE, "few borders"),
        CASE("[1,2,112,112,16] [32,1,3,3]", "group=32 shape=[112,112] pads=[1,1] blocks=[16,16]", AVAL_LARGE, "few planes, large ones"),
        CASE("[1,6,112,112,16] [96,1,3,3]", "group=96 shape=[56,56] strides=[2,2] pads=[1,1] blocks=[16,16]", AVAL_LARGE,
             "one that memory bounds")),
};

AVAL_PLUGIN("blocks", "0.1.0", AVAL_SOURCES({ "blocks.cl", blocks_cl }), &convolution_op)
