/* Col2Im: columns of patches added up into images of 1 to 3 axes; its gradient reads the patches again. */
#include "window.h"

#include "columns.cl.h"

/* Lengths from a shape input, into the last of three. */
static int read_lengths(const aval_host *host, aval_call *call, size_t input, const char *name, size_t axes, int64_t *three)
{
    const int64_t *content = host->content(call, input);
    if (content == NULL) return host->fail(call, AVAL_NEEDS_CONTENT, "input %s must be known", name);
    if (host->count(host->input(call, input)) != (int64_t)axes)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "inputs image_shape and block_shape have %zu and %lld numbers, expected equally many", axes,
                          (long long)host->count(host->input(call, input)));
    for (size_t i = 0; i < WINDOW_SPACE; i++) three[i] = 1;
    for (size_t i = 0; i < axes; i++) {
        if (content[i] < 1 || content[i] > INT32_MAX / 4)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "input %s has %lld at %zu, expected at least 1", name, (long long)content[i],
                              i);
        three[WINDOW_SPACE - axes + i] = content[i];
    }
    return 0;
}

/* *planes: images times channels. */
static int read_columns(const aval_host *host, aval_call *call, window *w, int64_t *planes)
{
    const aval_tensor *columns = host->input(call, 0);
    int64_t pads[2 * WINDOW_SPACE];
    aval_patches *p = &w->at;
    w->axes = (size_t)host->count(host->input(call, 1));
    if (host->rank(columns) != 3 || w->axes < 1 || w->axes > WINDOW_SPACE)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input has %u axes and image_shape %zu numbers, expected 3, and 1 to 3",
                          (unsigned)host->rank(columns), w->axes);
    TRY(read_lengths(host, call, 1, "image_shape", w->axes, p->in));
    TRY(read_lengths(host, call, 2, "block_shape", w->axes, p->kernel));
    TRY(window_axes(host, call, "strides", w->axes, 1, 1, p->stride));
    TRY(window_axes(host, call, "dilations", w->axes, 1, 1, p->dilation));
    TRY(window_ints(host, call, "pads", 2 * w->axes, 0, 0, pads));
    for (size_t i = 0; i < WINDOW_SPACE; i++) {
        size_t given = i + w->axes - WINDOW_SPACE; /* wraps for an axis in front, on purpose */
        int there = i + w->axes >= WINDOW_SPACE;
        int64_t room = p->in[i] + (there ? pads[given] + pads[w->axes + given] : 0) - (p->kernel[i] - 1) * p->dilation[i] - 1;
        p->pad[i] = there ? pads[given] : 0;
        p->out[i] = room < 0 ? 0 : room / p->stride[i] + 1;
    }
    int64_t taps = product(p->kernel, WINDOW_SPACE), windows = product(p->out, WINDOW_SPACE), channels = host->dims(columns)[1];
    if (channels % taps != 0 || host->dims(columns)[2] != windows)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input is [%lld,%lld,%lld], expected a multiple of %lld and %lld windows",
                          (long long)host->dims(columns)[0], (long long)channels, (long long)host->dims(columns)[2], (long long)taps,
                          (long long)windows);
    p->channels = channels / taps;
    *planes = host->dims(columns)[0] * p->channels;
    return 0;
}

static int columns_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *columns = host->input(call, 0);
    int64_t planes;
    window w;
    TRY(read_columns(host, call, &w, &planes));
    return window_output(host, call, 0, host->type(columns), host->dims(columns)[0], w.at.channels, w.axes, w.at.in);
}

static int columns_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->output(call, 0);
    int64_t planes, run = window_run(host, call);
    window w;
    TRY(read_columns(host, call, &w, &planes));
    if (host->count(x) == 0) return 0;
    if (host->count(host->input(call, 0)) == 0) return host->fill(call, x, 0);
    return host->launch(call, AVAL_LAUNCH(.kernel = "columns_to_images", .dims = 2, AVAL_DEFINES({ "RUN", run }),
                                          .global = { window_items(w.at.in, run), (uint64_t)planes },
                                          AVAL_ARGS(AVAL_READ(host->input(call, 0)), AVAL_WRITE(x), WINDOW_ARGS(w.at))));
}

static int columns_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *columns = host->gradient(call, 0);
    int64_t planes, run = window_run(host, call);
    window w;
    TRY(read_columns(host, call, &w, &planes));
    if (host->count(columns) == 0) return 0;
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "images_to_columns", .dims = 3, AVAL_DEFINES({ "RUN", run }),
                          .global = { window_items(w.at.out, run), (uint64_t)product(w.at.kernel, WINDOW_SPACE), (uint64_t)planes },
                          AVAL_ARGS(AVAL_READ(host->upstream(call, 0)), AVAL_WRITE(columns), WINDOW_ARGS(w.at))));
}

static int columns_reference(const aval_host *host, aval_call *call)
{
    const double *columns = host->real(call, host->input(call, 0));
    double *x = host->real(call, host->output(call, 0));
    int64_t planes;
    window w;
    TRY(read_columns(host, call, &w, &planes));
    const aval_patches *p = &w.at;
    int64_t taps = product(p->kernel, WINDOW_SPACE), windows = product(p->out, WINDOW_SPACE), places = product(p->in, WINDOW_SPACE);
    for (int64_t i = 0; i < planes * places; i++) x[i] = 0;
    for (int64_t i = 0; i < planes * taps * windows; i++) {
        int64_t at = 0, place[WINDOW_SPACE], in_window = i % windows, tap = i / windows % taps;
        int inside = 1;
        for (int a = WINDOW_SPACE - 1; a >= 0; a--) {
            place[a] = in_window % p->out[a] * p->stride[a] + tap % p->kernel[a] * p->dilation[a] - p->pad[a];
            inside &= place[a] >= 0 && place[a] < p->in[a];
            in_window /= p->out[a];
            tap /= p->kernel[a];
        }
        for (int a = 0; a < WINDOW_SPACE; a++) at = at * p->in[a] + place[a];
        if (inside) x[i / windows / taps * places + at] += columns[i];
    }
    return 0;
}

#define LENGTHS(port) \
    { \
        .name = port, .flags = AVAL_SHAPE_INPUT, .types = AVAL_TYPE_SET(AVAL_INT64) \
    }

static const aval_op col2im_op = {
    .size = sizeof(aval_op),
    .name = "Col2Im",
    .since = 18,
    .deterministic = 1,
    .doc = "Images of 1 to 3 axes from columns of their blocks, which add up where they overlap.",
    .inputs = AVAL_PORTS({ .name = "input" }, LENGTHS("image_shape"), LENGTHS("block_shape")),
    .outputs = AVAL_PORTS({ .name = "output" }),
    .attrs = AVAL_ATTRS({ .name = "strides", .type = AVAL_ATTR_INTS, .doc = "from one block to the next; 1 without it" },
                        { .name = "pads", .type = AVAL_ATTR_INTS, .doc = "elements before each axis, then behind each; 0 without it" },
                        { .name = "dilations", .type = AVAL_ATTR_INTS, .doc = "from one element of a block to the next; 1 without it" }),
    .infer = columns_infer,
    .forward = columns_forward,
    .backward = columns_backward,
    .reference = columns_reference,
    .zero_gradient = 6,
    .samples = AVAL_SAMPLES({ .inputs = "[1,5,5] i64[2]{5,5} i64[2]{1,5}" },
                            { .inputs = "[2,12,6] i64[2]{5,4} i64[2]{3,2}", .attrs = "strides=[2,1] pads=[0,0,1,0]" },
                            { .inputs = "[1,8,4] i64[2]{4,5} i64[2]{2,2}", .attrs = "dilations=[2,3]" },
                            { .inputs = "[2,3,6] i64[1]{7} i64[1]{3}", .attrs = "pads=[1,0]" },
                            { .inputs = "[1,10,12] i64[3]{3,4,5} i64[3]{1,1,5}" }, { .inputs = "[0,4,4] i64[2]{3,3} i64[2]{2,2}" }),
};

AVAL_PLUGIN("columns", "0.1.0", AVAL_SOURCES({ "columns.cl", columns_cl }), &col2im_op)
