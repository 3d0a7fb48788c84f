/* The geometry of a convolution of images x with filters w into maps y, as the plugins of its products share it. */
#ifndef AVAL_PLUGINS_CONVOLUTION_H
#define AVAL_PLUGINS_CONVOLUTION_H

#include "window.h"

/* Per group: w [maps, depth], images of x [channels, in], of y [maps, out]; depth = channels * taps. */
typedef struct conv {
    size_t axes;
    aval_patches at; /* of one group: channels are those of the group */
    int64_t images, groups, maps, depth;
    int64_t places, taps, pixels; /* elements of a channel of x, of a filter's channel, of a map of y */
} conv;

/* Which input is x, w, y; -1: it is the output, whose lengths are the attribute `shape`. */
typedef struct roles {
    int x, w, y;
} roles;

/* How windows move, of an op with the attributes strides, dilations and pads (before each axis). */
static inline int conv_steps(const aval_host *host, aval_call *call, conv *c)
{
    aval_patches *p = &c->at;
    TRY(window_axes(host, call, "strides", c->axes, 1, 1, p->stride));
    TRY(window_axes(host, call, "dilations", c->axes, 1, 1, p->dilation));
    return window_ints(host, call, "pads", c->axes, -(INT32_MAX / 4), 0, p->pad + WINDOW_SPACE - c->axes);
}

/* What follows from the lengths, groups, channels and maps. */
static inline void conv_count(conv *c)
{
    c->places = product(c->at.in, WINDOW_SPACE);
    c->taps = product(c->at.kernel, WINDOW_SPACE);
    c->pixels = product(c->at.out, WINDOW_SPACE);
    c->depth = c->at.channels * c->taps;
}

static inline int conv_geometry(const aval_host *host, aval_call *call, const roles *r, conv *c)
{
    aval_patches *p = &c->at;
    const struct {
        const char *name;
        int input;
        int64_t *three;
    } tensors[] = { { "X", r->x, p->in }, { "W", r->w, p->kernel }, { "Y", r->y, p->out } };
    size_t axes[3] = { 0 };
    *p = (aval_patches){ .pad = { 0, 0, 0 } };
    for (size_t i = 0; i < 3; i++)
        if (tensors[i].input >= 0)
            TRY(window_space(host, call, tensors[i].name, host->input(call, (size_t)tensors[i].input), &axes[i], tensors[i].three));
    c->axes = axes[0] > 0 ? axes[0] : axes[1];
    for (size_t i = 0; i < 3; i++) {
        if (tensors[i].input < 0) TRY(window_axes(host, call, "shape", c->axes, 0, 1, tensors[i].three));
        else if (axes[i] != c->axes)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "inputs have %zu and %zu axes of space, expected equally many", c->axes,
                              axes[i]);
    }
    return conv_steps(host, call, c);
}

static inline int conv_read(const aval_host *host, aval_call *call, const roles *r, conv *c)
{
    const int64_t *x = r->x < 0 ? NULL : host->dims(host->input(call, (size_t)r->x));
    const int64_t *w = r->w < 0 ? NULL : host->dims(host->input(call, (size_t)r->w));
    const int64_t *y = r->y < 0 ? NULL : host->dims(host->input(call, (size_t)r->y));
    TRY(conv_geometry(host, call, r, c));
    c->groups = host->attr_int(call, "group");
    if (c->groups < 1)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute group is %lld, expected at least 1", (long long)c->groups);
    int64_t channels = x != NULL ? x[1] : product_of(w[1], c->groups), maps = y != NULL ? y[1] : w[0];
    if (channels % c->groups != 0 || maps % c->groups != 0 || (w != NULL && (w[0] != maps || product_of(w[1], c->groups) != channels)))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "input W has %lld channels and %lld maps for images of %lld channels, maps of %lld and group %lld: expected "
                          "channels = W's times group, and both multiples of group",
                          (long long)(w != NULL ? w[1] : channels / c->groups), (long long)(w != NULL ? w[0] : maps), (long long)channels,
                          (long long)maps, (long long)c->groups);
    if (x != NULL && y != NULL && x[0] != y[0])
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "inputs X and Y have %lld and %lld images, expected equally many", (long long)x[0],
                          (long long)y[0]);
    c->images = x != NULL ? x[0] : y[0];
    c->at.channels = channels / c->groups;
    c->maps = maps / c->groups;
    conv_count(c);
    return 0;
}

/* CPUs have kernels for products with patches in groups, however few channels these have, and for patches that are images as they lie. */
static inline int takes_patches(const aval_device_info *device)
{
    return device->kind == AVAL_DEVICE_CPU && device->group == 1;
}

/* Those for channels in blocks count in int: whether all images and maps fit. */
static inline int takes_blocks(const aval_device_info *device, const conv *c)
{
    const int64_t groups = product_of(c->images, c->groups);
    return takes_patches(device) && product_of(groups, product_of(c->at.channels, c->places)) <= INT32_MAX / 4 &&
           product_of(groups, product_of(c->maps, c->pixels)) <= INT32_MAX / 4;
}

/* The element of a channel of x that a filter's tap sees at a pixel; -1: padding. */
static inline int64_t place_under(const aval_patches *p, int64_t pixel, int64_t tap)
{
    int64_t at = 0, place[WINDOW_SPACE];
    for (int i = WINDOW_SPACE - 1; i >= 0; i--) {
        place[i] = pixel % p->out[i] * p->stride[i] + tap % p->kernel[i] * p->dilation[i] - p->pad[i];
        if (place[i] < 0 || place[i] >= p->in[i]) return -1;
        pixel /= p->out[i];
        tap /= p->kernel[i];
    }
    for (int i = 0; i < WINDOW_SPACE; i++) at = at * p->in[i] + place[i];
    return at;
}

#endif
