/* Windows that slide over images, as convolution and pooling share them: ONNX's attributes kernel_shape, strides, pads, dilations,
 * auto_pad and (pooling) ceil_mode. */
#ifndef AVAL_PLUGINS_WINDOW_H
#define AVAL_PLUGINS_WINDOW_H

#include "support.h"

#include <string.h>

#define WINDOW_ATTRS \
    { .name = "kernel_shape", .type = AVAL_ATTR_INTS, .doc = "height and width of the window" }, \
        { .name = "strides", .type = AVAL_ATTR_INTS, .doc = "from one window to the next; 1 without it" }, \
        { .name = "pads", .type = AVAL_ATTR_INTS, .doc = "rows above, columns before, rows below, columns after; 0 without it" }, \
        { .name = "dilations", .type = AVAL_ATTR_INTS, .doc = "from one element of a window to the next; 1 without it" }, \
    { \
        .name = "auto_pad", .type = AVAL_ATTR_STRING, .initial = "'NOTSET'", .doc = "NOTSET: pads; SAME_UPPER, SAME_LOWER, VALID" \
    }

/* Attribute `name` with `count` numbers not below `least`, or `initial` for each when it is absent. */
static inline int window_ints(const aval_host *host, aval_call *call, const char *name, size_t count, int64_t least, int64_t initial,
                              int64_t *out)
{
    size_t n;
    const int64_t *values = host->attr_ints(call, name, &n);
    for (size_t i = 0; i < count; i++) out[i] = values == NULL || n == 0 ? initial : n == count ? values[i] : least - 1;
    for (size_t i = 0; i < count; i++) {
        if (out[i] < least)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute %s has %zu numbers, expected %zu, each at least %lld", name, n,
                              count, (long long)least);
    }
    return 0;
}

/* Windows over x [batch, channels, height, width]; the window's size is in w->kernel already.  ceil_mode: a last window that begins
   inside the padded image counts although it ends outside. */
static inline int window_read(const aval_host *host, aval_call *call, const aval_tensor *x, int ceil_mode, aval_patches *w)
{
    int64_t pads[4];
    const char *mode = host->attr_string(call, "auto_pad");
    int same = strcmp(mode, "SAME_UPPER") == 0 || strcmp(mode, "SAME_LOWER") == 0, set = strcmp(mode, "NOTSET") == 0;
    if (!same && !set && strcmp(mode, "VALID") != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute auto_pad is '%s', expected NOTSET, SAME_UPPER, SAME_LOWER or VALID",
                          mode);
    TRY(window_ints(host, call, "strides", 2, 1, 1, w->stride));
    TRY(window_ints(host, call, "dilations", 2, 1, 1, w->dilation));
    TRY(window_ints(host, call, "pads", 4, 0, 0, pads));
    w->channels = host->dims(x)[1];
    w->height = host->dims(x)[2];
    w->width = host->dims(x)[3];
    for (int i = 0; i < 2; i++) {
        int64_t length = i == 0 ? w->height : w->width, extent = (w->kernel[i] - 1) * w->dilation[i] + 1;
        int64_t before = set ? pads[i] : 0, after = set ? pads[i + 2] : 0;
        if (same) {
            w->out[i] = (length + w->stride[i] - 1) / w->stride[i];
            int64_t total = (w->out[i] - 1) * w->stride[i] + extent - length;
            total = total < 0 ? 0 : total;
            w->pad[i] = strcmp(mode, "SAME_LOWER") == 0 ? total - total / 2 : total / 2;
            continue;
        }
        int64_t room = length + before + after - extent;
        w->pad[i] = before;
        w->out[i] = room < 0 ? 0 : (room + (ceil_mode ? w->stride[i] - 1 : 0)) / w->stride[i] + 1;
        if (ceil_mode && w->out[i] > 0 && (w->out[i] - 1) * w->stride[i] >= length + before) w->out[i]--;
    }
    return 0;
}

#endif
