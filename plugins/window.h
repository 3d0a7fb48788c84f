/* Windows that slide over images of one to three axes, as convolution and pooling share them: ONNX's attributes kernel_shape, strides,
 * pads, dilations, auto_pad and (pooling) ceil_mode.  kernels/window.clh is the other side. */
#ifndef AVAL_PLUGINS_WINDOW_H
#define AVAL_PLUGINS_WINDOW_H

#include "support.h"

#include <string.h>

#define WINDOW_SPACE 3 /* most spatial axes; fewer stand last, with axes of length 1 in front */

#define WINDOW_ATTRS \
    { .name = "kernel_shape", .type = AVAL_ATTR_INTS, .doc = "lengths of the window, an axis each" }, \
        { .name = "strides", .type = AVAL_ATTR_INTS, .doc = "from one window to the next; 1 without it" }, \
        { .name = "pads", .type = AVAL_ATTR_INTS, .doc = "elements before each axis, then behind each; 0 without it" }, \
        { .name = "dilations", .type = AVAL_ATTR_INTS, .doc = "from one element of a window to the next; 1 without it" }, \
    { \
        .name = "auto_pad", .type = AVAL_ATTR_STRING, .initial = "'NOTSET'", .doc = "NOTSET: pads; SAME_UPPER, SAME_LOWER, VALID" \
    }

typedef struct window {
    size_t axes; /* spatial axes of the tensor */
    aval_patches at; /* channels are the tensor's */
    int64_t behind[WINDOW_SPACE]; /* pad behind the last element */
} window;

#define THREE(values) AVAL_I32((values)[0]), AVAL_I32((values)[1]), AVAL_I32((values)[2])
/* WINDOW_PARAMETERS of window.clh. */
#define WINDOW_ARGS(p) THREE((p).in), THREE((p).kernel), THREE((p).stride), THREE((p).pad), THREE((p).dilation), THREE((p).out)

/* Elements of a row that a work-item makes at a time: RUN in window.clh. */
static inline int64_t window_run(const aval_host *host, aval_call *call)
{
    return host->device(call)->group > 1 ? 1 : 16;
}

/* Work-items for rows of planes [depth, rows, length]: one a row, or one an element. */
static inline uint64_t window_items(const int64_t *dims, int64_t run)
{
    return (uint64_t)(dims[0] * dims[1] * (run > 1 ? 1 : dims[2]));
}

/* Attribute `name` with `count` numbers not below `least`, or `initial` for each when it is absent; an `initial` below `least` that is not -1
   says that the attribute must be there. */
static inline int window_ints(const aval_host *host, aval_call *call, const char *name, size_t count, int64_t least, int64_t initial,
                              int64_t *out)
{
    size_t n;
    const int64_t *values = host->attr_ints(call, name, &n);
    for (size_t i = 0; i < count; i++) out[i] = values == NULL || n == 0 ? initial : n == count ? values[i] : least - 1;
    for (size_t i = 0; i < count; i++) {
        int absent = n == 0 && initial == -1;
        if ((out[i] < least && !absent) || out[i] > INT32_MAX / 4)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute %s has %zu numbers, expected %zu, each at least %lld", name, n,
                              count, (long long)least);
    }
    return 0;
}

/* The same for one number a spatial axis, in the last of three. */
static inline int window_axes(const aval_host *host, aval_call *call, const char *name, size_t axes, int64_t least, int64_t initial,
                              int64_t *three)
{
    for (size_t i = 0; i < WINDOW_SPACE; i++) three[i] = initial;
    return window_ints(host, call, name, axes, least, initial, three + WINDOW_SPACE - axes);
}

/* Lengths of the axes of space, which are dims[2] and on. */
static inline int window_lengths(const aval_host *host, aval_call *call, const char *name, const int64_t *dims, size_t axes, int64_t *three)
{
    for (size_t i = 0; i < WINDOW_SPACE; i++) three[i] = 1;
    for (size_t i = 0; i < axes; i++) {
        three[WINDOW_SPACE - axes + i] = dims[2 + i];
        if (dims[2 + i] > INT32_MAX / 4)
            return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "input %s has length %lld, expected at most %d in each axis of space", name,
                              (long long)dims[2 + i], INT32_MAX / 4);
    }
    return 0;
}

/* Lengths of x [images, channels, axes ...], and how many axes there are. */
static inline int window_space(const aval_host *host, aval_call *call, const char *name, const aval_tensor *x, size_t *axes, int64_t *three)
{
    uint32_t rank = host->rank(x);
    if (rank < 3 || rank > 2 + WINDOW_SPACE)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "input %s has %u axes, expected 3 to 5: images, channels and 1 to 3 of space",
                          name, (unsigned)rank);
    *axes = rank - 2;
    return window_lengths(host, call, name, host->dims(x), *axes, three);
}

/* The pads that auto_pad stands for along one axis, and the number of windows; `total` is what the windows reach beyond the image. */
static inline void window_same(const char *mode, int64_t total, int64_t *before, int64_t *behind)
{
    total = total < 0 ? 0 : total;
    *before = strcmp(mode, "SAME_LOWER") == 0 ? total - total / 2 : total / 2;
    *behind = total - *before;
}

static inline int window_mode(const aval_host *host, aval_call *call, const char **mode)
{
    static const char *const modes[] = { "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID" };
    *mode = host->attr_string(call, "auto_pad");
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(*mode, modes[i]) == 0) return 0;
    return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute auto_pad is '%s', expected NOTSET, SAME_UPPER, SAME_LOWER or VALID",
                      *mode);
}

/* Pads before and behind each axis; 0 where auto_pad says something else than NOTSET. */
static inline int window_pads(const aval_host *host, aval_call *call, window *w)
{
    int64_t pads[2 * WINDOW_SPACE];
    const char *mode = host->attr_string(call, "auto_pad");
    TRY(window_ints(host, call, "pads", 2 * w->axes, 0, 0, pads));
    for (size_t i = 0; i < WINDOW_SPACE; i++) {
        size_t given = i + w->axes - WINDOW_SPACE; /* wraps for an axis in front, on purpose */
        int set = i + w->axes >= WINDOW_SPACE && strcmp(mode, "NOTSET") == 0;
        w->at.pad[i] = set ? pads[given] : 0;
        w->behind[i] = set ? pads[w->axes + given] : 0;
    }
    return 0;
}

/* Windows over x; the window's lengths are in w->at.kernel already.  ceil_mode: a last window that begins inside the image or the pad
   before it counts although it ends outside. */
static inline int window_read(const aval_host *host, aval_call *call, const aval_tensor *x, int ceil_mode, window *w)
{
    const char *mode;
    aval_patches *p = &w->at;
    TRY(window_mode(host, call, &mode));
    TRY(window_space(host, call, "X", x, &w->axes, p->in));
    TRY(window_axes(host, call, "strides", w->axes, 1, 1, p->stride));
    TRY(window_axes(host, call, "dilations", w->axes, 1, 1, p->dilation));
    TRY(window_pads(host, call, w));
    p->channels = host->dims(x)[1];
    for (int i = 0; i < WINDOW_SPACE; i++) {
        int64_t length = p->in[i], extent = (p->kernel[i] - 1) * p->dilation[i] + 1;
        if (strncmp(mode, "SAME", 4) == 0) {
            p->out[i] = (length + p->stride[i] - 1) / p->stride[i];
            window_same(mode, (p->out[i] - 1) * p->stride[i] + extent - length, &p->pad[i], &w->behind[i]);
            continue;
        }
        int64_t room = length + p->pad[i] + w->behind[i] - extent;
        p->out[i] = room < 0 ? 0 : (room + (ceil_mode ? p->stride[i] - 1 : 0)) / p->stride[i] + 1;
        if (ceil_mode && p->out[i] > 0 && (p->out[i] - 1) * p->stride[i] >= length + p->pad[i]) p->out[i]--;
    }
    return 0;
}

/* Output `out`: [images, channels, windows ...]. */
static inline int window_output(const aval_host *host, aval_call *call, size_t out, aval_type type, int64_t images, int64_t channels,
                                size_t axes, const int64_t *three)
{
    int64_t dims[2 + WINDOW_SPACE] = { images, channels };
    for (size_t i = 0; i < axes; i++) dims[2 + i] = three[WINDOW_SPACE - axes + i];
    return host->set_output(call, out, type, (uint32_t)(2 + axes), dims);
}

#endif
