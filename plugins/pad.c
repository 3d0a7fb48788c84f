/* Operators that make tensors larger: Pad, CenterCropPad, Tile, Expand.  A tile of many axes is a pad that wraps around. */
#include "walk.h"

#include "shape.cl.h"

#include <string.h>

/* ---- Padding, as the kernel does it -------------------------------------------------------------------------------------------------- */

typedef enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP } pad_mode;

/* Index i of the output along each axis is index i - before of the input; `after` only says how long the output is.  Both may be negative. */
typedef struct padding {
    pad_mode mode;
    uint32_t rank;
    int64_t before[AVAL_MAX_RANK], after[AVAL_MAX_RANK];
} padding;

/* The index of the input that stands at `i`, which may lie outside 0 .. length - 1; -1: the constant. */
static int64_t pad_index(pad_mode mode, int64_t i, int64_t length)
{
    if (i >= 0 && i < length) return i;
    int64_t period = mode == PAD_REFLECT ? 2 * (length - 1) : length;
    switch (mode) {
    case PAD_CONSTANT: return -1;
    case PAD_EDGE: return i < 0 ? 0 : length - 1;
    case PAD_REFLECT:
    case PAD_WRAP: break;
    }
    i = period == 0 ? 0 : (i % period + period) % period;
    return i < length ? i : period - i;
}

/* Axes that are not padded are merged with their neighbours. */
static int pad_launch(const aval_host *host, aval_call *call, const aval_tensor *value, const padding *p)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    int64_t to[8] = { 1, 1, 1, 1, 1, 1, 1, 1 }, from[8] = { 1, 1, 1, 1, 1, 1, 1, 1 }, before[8] = { 0 };
    uint32_t first = 8;
    int merges = 0;
    for (uint32_t i = p->rank; i-- > 0;) {
        int moved = p->before[i] != 0 || p->after[i] != 0;
        if (moved || !merges) first--;
        to[first] *= host->dims(y)[i];
        from[first] *= host->dims(x)[i];
        before[first] = p->before[i];
        merges = !moved;
    }
    if (host->count(y) == 0) return 0;
    walk w = walk_over(host->device(call), to + first, 8 - first);
    return host->launch(call, AVAL_LAUNCH(.kernel = "pad", BY_WALK(host->device(call), w), .s_type = aval_carrier(host->type(y)),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_READ(value), AVAL_WRITE(y), AVAL_I32((int)p->mode), WALK(w),
                                                    EIGHT(from), EIGHT(before))));
}

static void pad_reference_run(const aval_host *host, aval_call *call, const aval_tensor *value, const padding *p)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    for (int64_t i = 0; i < host->count(y); i++) {
        int64_t rest = i, at = 0, stride = 1;
        for (uint32_t a = p->rank; a-- > 0;) {
            int64_t length = host->dims(x)[a], index = pad_index(p->mode, rest % host->dims(y)[a] - p->before[a], length);
            rest /= host->dims(y)[a];
            at = index < 0 || at < 0 ? -1 : at + index * stride;
            stride *= length;
        }
        if (at >= 0) move_element(host, call, y, i, x, at);
        else if (value != NULL) move_element(host, call, y, i, value, 0);
        else if (AVAL_REALS & AVAL_TYPE_SET(host->type(y))) host->real(call, y)[i] = 0;
        else host->integer(call, y)[i] = 0;
    }
}

/* No axis is so long; sums and negatives of such numbers fit. */
#define MOST_PAD ((int64_t)1 << 40)

/* Reads attribute mode; pads hold all befores, then all afters, of `axes` (none: of all). */
static int pad_fill(const aval_host *host, aval_call *call, const int64_t *pads, size_t n_pads, const int64_t *axes, size_t n_axes,
                    padding *p)
{
    static const char *const names[] = { "constant", "reflect", "edge", "wrap" };
    const char *mode = host->attr_string(call, "mode");
    *p = (padding){ .rank = host->rank(host->input(call, 0)) };
    while (p->mode <= PAD_WRAP && strcmp(names[p->mode], mode) != 0) p->mode++;
    if (p->mode > PAD_WRAP)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute mode is '%s', expected constant, reflect, edge or wrap", mode);
    size_t n = axes == NULL ? p->rank : n_axes;
    if (n_pads != 2 * n) return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "pads has %zu numbers, expected %zu: two an axis", n_pads, 2 * n);
    for (size_t i = 0; i < n_pads; i++)
        if (pads[i] < -MOST_PAD || pads[i] > MOST_PAD)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "pads: number %zu is %lld, expected at most 2^40 either way", i,
                              (long long)pads[i]);
    for (size_t i = 0; i < n; i++) {
        int64_t axis = axes == NULL ? (int64_t)i : aval_axis(axes[i], p->rank);
        if (axis < 0) return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "axes: axis %lld is out of range", (long long)axes[i]);
        p->before[axis] = pads[i];
        p->after[axis] = pads[n + i];
    }
    return 0;
}

static int pad_infer_as(const aval_host *host, aval_call *call, const padding *p)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t dims[AVAL_MAX_RANK];
    for (uint32_t i = 0; i < p->rank; i++) {
        int sum =
            !__builtin_add_overflow(host->dims(x)[i], p->before[i], &dims[i]) && !__builtin_add_overflow(dims[i], p->after[i], &dims[i]);
        if (!sum || dims[i] < 0 || (host->dims(x)[i] == 0 && dims[i] > 0 && p->mode != PAD_CONSTANT))
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "axis %u of length %lld cannot be padded by %lld and %lld", (unsigned)i,
                              (long long)host->dims(x)[i], (long long)p->before[i], (long long)p->after[i]);
    }
    return host->set_output(call, 0, host->type(x), p->rank, dims);
}

/* ---- Pad ------------------------------------------------------------------------------------------------------------------------------ */

static int pad_plan(const aval_host *host, aval_call *call, padding *p)
{
    int64_t pads[2 * AVAL_MAX_RANK], axes[AVAL_MAX_RANK];
    size_t n_pads, n_axes;
    TRY(known_ints(host, call, 1, "pads", pads, 2 * AVAL_MAX_RANK, &n_pads));
    TRY(known_ints(host, call, 3, "axes", axes, AVAL_MAX_RANK, &n_axes));
    return pad_fill(host, call, pads, n_pads, host->input(call, 3) == NULL ? NULL : axes, n_axes, p);
}

static int pad_infer(const aval_host *host, aval_call *call)
{
    padding p;
    const aval_tensor *value = host->input(call, 2);
    TRY(pad_plan(host, call, &p));
    if (value != NULL && host->count(value) != 1)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input constant_value has %lld elements, expected 1", (long long)host->count(value));
    return pad_infer_as(host, call, &p);
}

static int pad_forward(const aval_host *host, aval_call *call)
{
    padding p;
    TRY(pad_plan(host, call, &p));
    return pad_launch(host, call, host->input(call, 2), &p);
}

static int pad_reference(const aval_host *host, aval_call *call)
{
    padding p;
    TRY(pad_plan(host, call, &p));
    pad_reference_run(host, call, host->input(call, 2), &p);
    return 0;
}

/* t padded by constants before and after all axes. */
static int apply_pad(const aval_host *host, aval_call *call, const aval_tensor *t, const int64_t *pads, uint32_t rank,
                     const aval_tensor *value, const aval_tensor **out)
{
    const aval_tensor *inputs[] = { t, constant_ints(host, call, pads, 2 * (size_t)rank), value };
    return host->apply(call, "Pad", NULL, value == NULL ? 2 : 3, inputs, 1, out);
}

/* The gradient by the constant: what reached the places that hold it. */
static int pad_backward_value(const aval_host *host, aval_call *call, const padding *p)
{
    const aval_tensor *x = host->input(call, 0), *value = host->input(call, 2), *g = host->upstream(call, 0), *t, *filling;
    int64_t pads[2 * AVAL_MAX_RANK];
    const double one = 1;
    text zeros = { 0 };
    for (uint32_t i = 0; i < p->rank; i++) {
        pads[i] = p->before[i];
        pads[p->rank + i] = p->after[i];
    }
    TRY(constant_reals(host, call, host->type(x), &one, 0, NULL, &filling));
    text_ints(&zeros, "dims", host->dims(x), p->rank);
    text_int(&zeros, "type", host->type(x));
    TRY(host->apply(call, "aval::Fill", zeros.at, 0, NULL, 1, &t));
    TRY(apply_pad(host, call, t, pads, p->rank, filling, &t));
    if (p->mode == PAD_CONSTANT) TRY(host->apply(call, "Mul", NULL, 2, (const aval_tensor *const[]){ g, t }, 1, &t));
    TRY(host->apply(call, "ReduceSum", "keepdims=0", 1, &t, 1, &t));
    TRY(reshaped(host, call, t, host->rank(value), host->dims(value), &t));
    return host->yield(call, 2, t);
}

/* Axis by axis: each element of the input gets the sum over the places that it was copied to.  Which those are says a pad of indices. */
static int pad_backward_copies(const aval_host *host, aval_call *call, const padding *p, const aval_tensor **g)
{
    const int64_t *dims = host->dims(host->input(call, 0));
    int64_t now[AVAL_MAX_RANK];
    for (uint32_t a = 0; a < p->rank; a++) now[a] = dims[a] + p->before[a] + p->after[a];
    for (uint32_t a = 0; a < p->rank; a++) {
        if (p->before[a] == 0 && p->after[a] == 0) continue;
        const int64_t pads[] = { p->before[a], p->after[a] };
        const aval_tensor *inputs[] = { *g, NULL }, *indices[] = { NULL, constant_ints(host, call, pads, 2) };
        text attrs = { 0 }, mode = { 0 };
        text_word(&mode, "mode", host->attr_string(call, "mode"));
        TRY(counting(host, call, 0, dims[a], 1, 0, &indices[0]));
        TRY(host->apply(call, "Pad", mode.at, 2, indices, 1, &inputs[1]));
        now[a] = dims[a];
        text_ints(&attrs, "dims", now, p->rank);
        text_int(&attrs, "axis", a);
        TRY(host->apply(call, "aval::GatherGradient", attrs.at, 2, inputs, 1, g));
    }
    return 0;
}

static int pad_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *g = host->upstream(call, 0);
    int64_t pads[2 * AVAL_MAX_RANK];
    padding p;
    TRY(pad_plan(host, call, &p));
    for (uint32_t i = 0; i < p.rank; i++) {
        pads[i] = -p.before[i];
        pads[p.rank + i] = -p.after[i];
    }
    if (host->gradient(call, 2) != NULL) TRY(pad_backward_value(host, call, &p));
    if (host->gradient(call, 0) == NULL) return 0;
    if (p.mode == PAD_CONSTANT) TRY(apply_pad(host, call, g, pads, p.rank, NULL, &g));
    else TRY(pad_backward_copies(host, call, &p, &g));
    return host->yield(call, 0, g);
}

/* Before opset 11 the numbers are attributes. */
static int pad_plan_2(const aval_host *host, aval_call *call, padding *p)
{
    size_t n_pads;
    const int64_t *pads = host->attr_ints(call, "pads", &n_pads);
    return pad_fill(host, call, pads, n_pads, NULL, 0, p);
}

static int pad_infer_2(const aval_host *host, aval_call *call)
{
    padding p;
    TRY(pad_plan_2(host, call, &p));
    return pad_infer_as(host, call, &p);
}

static int pad_body_2(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *inputs[3] = { x, NULL, NULL };
    size_t n_pads;
    const int64_t *pads = host->attr_ints(call, "pads", &n_pads);
    const double value = host->attr_float(call, "value");
    text mode = { 0 };
    inputs[1] = constant_ints(host, call, pads, n_pads);
    TRY(constant_reals(host, call, host->type(x), &value, 0, NULL, &inputs[2]));
    text_word(&mode, "mode", host->attr_string(call, "mode"));
    TRY(host->apply(call, "Pad", mode.at, 3, inputs, 1, &x));
    return host->yield(call, 0, x);
}

/* ---- CenterCropPad ---------------------------------------------------------------------------------------------------------------------- */

/* What is too long loses, and what is too short gets, equally much on both sides; the odd one at the end. */
static int center_pads(const aval_host *host, aval_call *call, int64_t pads[2 * AVAL_MAX_RANK], int64_t dims[AVAL_MAX_RANK])
{
    const aval_tensor *x = host->input(call, 0);
    int64_t shape[AVAL_MAX_RANK];
    size_t n, n_axes;
    uint32_t rank = host->rank(x);
    const int64_t *axes = host->attr_ints(call, "axes", &n_axes);
    TRY(known_ints(host, call, 1, "shape", shape, AVAL_MAX_RANK, &n));
    if (n != (axes == NULL ? rank : n_axes))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input shape has %zu numbers, expected one an axis, %zu", n,
                          axes == NULL ? (size_t)rank : n_axes);
    for (uint32_t i = 0; i < rank; i++) {
        pads[i] = pads[rank + i] = 0;
        dims[i] = host->dims(x)[i];
    }
    for (size_t i = 0; i < n; i++) {
        int64_t axis = axes == NULL ? (int64_t)i : aval_axis(axes[i], rank);
        if (axis < 0 || shape[i] < 0)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT,
                              axis < 0 ? "attribute axes: number %zu is out of range" : "input shape: number %zu is negative", i);
        int64_t more = shape[i] - dims[axis];
        pads[axis] = more / 2;
        pads[rank + axis] = more - more / 2;
        dims[axis] = shape[i];
    }
    return 0;
}

static int center_infer(const aval_host *host, aval_call *call)
{
    int64_t pads[2 * AVAL_MAX_RANK], dims[AVAL_MAX_RANK];
    TRY(center_pads(host, call, pads, dims));
    return host->set_output(call, 0, host->type(host->input(call, 0)), host->rank(host->input(call, 0)), dims);
}

static int center_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->input(call, 0);
    int64_t pads[2 * AVAL_MAX_RANK], dims[AVAL_MAX_RANK];
    TRY(center_pads(host, call, pads, dims));
    TRY(apply_pad(host, call, y, pads, host->rank(y), NULL, &y));
    return host->yield(call, 0, y);
}

/* ---- Tile ------------------------------------------------------------------------------------------------------------------------------ */

static int tile_plan(const aval_host *host, aval_call *call, padding *p)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t repeats[AVAL_MAX_RANK];
    size_t n;
    TRY(known_ints(host, call, 1, "repeats", repeats, AVAL_MAX_RANK, &n));
    *p = (padding){ .mode = PAD_WRAP, .rank = host->rank(x) };
    if (n != p->rank)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input repeats has %zu numbers, expected one an axis, %u", n, (unsigned)p->rank);
    for (size_t i = 0; i < n; i++) {
        if (repeats[i] < 0)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "input repeats: number %zu is %lld, expected 0 or more", i,
                              (long long)repeats[i]);
        if (__builtin_mul_overflow(host->dims(x)[i], repeats[i] - 1, &p->after[i]))
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "axis %zu of length %lld cannot be repeated %lld times", i,
                              (long long)host->dims(x)[i], (long long)repeats[i]);
    }
    return 0;
}

static int tile_infer(const aval_host *host, aval_call *call)
{
    padding p;
    TRY(tile_plan(host, call, &p));
    return pad_infer_as(host, call, &p);
}

/* The box of the result: of each axis its copies and its elements, but those that the last copies are of are one row with them. */
typedef struct tiling {
    int64_t dims[2 * AVAL_MAX_RANK], from[2 * AVAL_MAX_RANK]; /* from `first` on */
    int64_t period;
    uint32_t first;
} tiling;

static void tile_axis(tiling *t, int64_t length, int64_t from)
{
    if (length == 1) return;
    if (t->first < 2 * AVAL_MAX_RANK - 1 && from == t->from[t->first] * t->dims[t->first]) t->dims[t->first] *= length;
    else {
        t->dims[--t->first] = length;
        t->from[t->first] = from;
    }
}

static tiling tile_box(const aval_host *host, const aval_tensor *x, const aval_tensor *y)
{
    tiling t = { .period = 1, .first = 2 * AVAL_MAX_RANK };
    int64_t stride = 1;
    for (uint32_t i = host->rank(x); i-- > 0; stride *= host->dims(x)[i]) {
        const int64_t length = host->dims(x)[i], copies = host->dims(y)[i] / length;
        if (t.first == 2 * AVAL_MAX_RANK) {
            t.period *= length;
            tile_axis(&t, copies == 1 && i > 0 ? 1 : copies * t.period, 0);
        } else {
            tile_axis(&t, length, stride);
            tile_axis(&t, copies, 0);
        }
    }
    return t;
}

static int tile_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    const aval_device_info *device = host->device(call);
    int64_t from[8];
    padding p;
    TRY(tile_plan(host, call, &p));
    if (host->count(y) == 0) return 0;
    const tiling t = tile_box(host, x, y);
    const uint32_t rank = 2 * AVAL_MAX_RANK - t.first;
    if (rank > 8) return pad_launch(host, call, NULL, &p);
    right_aligned(t.from + t.first, rank, 0, from);
    walk w = walk_over(device, t.dims + t.first, rank);
    return host->launch(call, AVAL_LAUNCH(.kernel = "tile", BY_WALK(device, w), .s_type = aval_carrier(host->type(y)),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(y), AVAL_I64(t.period), WALK(w), EIGHT(from))));
}

static int tile_reference(const aval_host *host, aval_call *call)
{
    padding p;
    TRY(tile_plan(host, call, &p));
    pad_reference_run(host, call, NULL, &p);
    return 0;
}

/* The sum over the copies, axis by axis. */
static int tile_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0), *g = host->upstream(call, 0);
    int64_t dims[AVAL_MAX_RANK];
    uint32_t rank = host->rank(x);
    for (uint32_t i = 0; i < rank; i++) dims[i] = host->dims(y)[i];
    for (uint32_t i = 0; i < rank; i++) {
        int64_t length = host->dims(x)[i];
        if (dims[i] == length) continue;
        const int64_t copies[] = { product(dims, i), length == 0 ? 0 : dims[i] / length, length * product(dims + i + 1, rank - i - 1) };
        const aval_tensor *sum[] = { NULL, constant_ints(host, call, (const int64_t[]){ 1 }, 1) };
        TRY(reshaped(host, call, g, 3, copies, &sum[0]));
        TRY(host->apply(call, "ReduceSum", "keepdims=0", 2, sum, 1, &g));
        dims[i] = length;
    }
    TRY(reshaped(host, call, g, rank, dims, &g));
    return host->yield(call, 0, g);
}

/* ---- Expand ----------------------------------------------------------------------------------------------------------------- */

static int expand_dims(const aval_host *host, aval_call *call, uint32_t *rank, int64_t *dims)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t shape[AVAL_MAX_RANK];
    size_t n;
    TRY(known_ints(host, call, 1, "shape", shape, AVAL_MAX_RANK, &n));
    *rank = host->rank(x) > n ? host->rank(x) : (uint32_t)n;
    for (uint32_t i = 0; i < *rank; i++) {
        int64_t a = i + host->rank(x) < *rank ? 1 : host->dims(x)[i + host->rank(x) - *rank];
        int64_t b = i + n < *rank ? 1 : shape[i + n - *rank];
        if (a != b && a != 1 && b != 1)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                              "axis %u: length %lld of the input and %lld of the wanted shape do not broadcast", (unsigned)i, (long long)a,
                              (long long)b);
        dims[i] = a == 1 ? b : a;
    }
    return 0;
}

static int expand_infer(const aval_host *host, aval_call *call)
{
    int64_t dims[AVAL_MAX_RANK];
    uint32_t rank;
    TRY(expand_dims(host, call, &rank, dims));
    return host->set_output(call, 0, host->type(host->input(call, 0)), rank, dims);
}

static int expand_body(const aval_host *host, aval_call *call)
{
    int64_t dims[AVAL_MAX_RANK];
    uint32_t rank;
    text attrs = { 0 };
    const aval_tensor *x = host->input(call, 0);
    TRY(expand_dims(host, call, &rank, dims));
    text_ints(&attrs, "dims", dims, rank);
    TRY(host->apply(call, "aval::Broadcast", attrs.at, 1, &x, 1, &x));
    return host->yield(call, 0, x);
}

#define SIZES_INPUT(port_name, port_flags) \
    { \
        .name = port_name, .flags = AVAL_SHAPE_INPUT | (port_flags), .types = AVAL_TYPE_SET(AVAL_INT64) | AVAL_TYPE_SET(AVAL_INT32) \
    }
#define PAD_MODE(modes) \
    { \
        .name = "mode", .type = AVAL_ATTR_STRING, .initial = "'constant'", .doc = modes \
    }

static const aval_op pad_op = {
    .size = sizeof(aval_op),
    .name = "Pad",
    .since = 11,
    .deterministic = 1,
    .kernels = "shape.cl",
    .doc = "The input with more, or (negative pads) fewer, elements at the ends of its axes.",
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_STORED }, SIZES_INPUT("pads", 0),
                         { .name = "constant_value", .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0), .types = AVAL_STORED },
                         SIZES_INPUT("axes", AVAL_OPTIONAL)),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
    .attrs = AVAL_ATTRS(PAD_MODE("constant; reflect: mirrored at the edge; edge: the edge again; wrap: from the other end")),
    .zero_gradient = 10,
    .infer = pad_infer,
    .forward = pad_forward,
    .backward_body = pad_backward,
    .reference = pad_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[3,4] i64[4]{1,0,0,2} []" }, { .inputs = "[2,3,2] i64[6]{0,1,-1,0,2,0} []", .why = "crops, too" },
                            { .inputs = "[3,4] i64[4]{2,3,1,2}", .attrs = "mode='reflect'" },
                            { .inputs = "[1,3] i64[4]{1,5,1,9}", .attrs = "mode='reflect'", .why = "longer than the input; one element" },
                            { .inputs = "[3,4] i64[4]{2,-1,1,2}", .attrs = "mode='edge'" },
                            { .inputs = "[2,3] i64[2]{4,5} - i64[1]{-1}", .attrs = "mode='wrap'" },
                            { .inputs = "[2,2,3] i32[4]{1,0,0,1} [1] i32[2]{0,2}" }, { .inputs = "[] i64[0]" },
                            { .inputs = "[0,2] i64[4]{1,0,1,0} []" }, { .inputs = "i64[3]{1,2,3} i64[2]{1,1} i64[]{7}" },
                            { .inputs = "[1,2,1,2,1,2,1,2] i64[16]{1,0,1,0,1,0,1,0,0,1,0,1,0,1,0,1}", .why = "highest rank" },
                            { .inputs = "[300,257] i64[4]{1,2,3,4}", .attrs = "mode='reflect'", .size_class = AVAL_LARGE },
                            { .inputs = "[2,5000] i64[4]{1,6000,1,9000}",
                              .attrs = "mode='reflect'",
                              .size_class = AVAL_LARGE,
                              .why = "rows of several pieces" },
                            { .inputs = "[2,5000] i64[4]{1,6000,1,-1} []", .size_class = AVAL_LARGE, .why = "rows of several pieces" }),
};
static const aval_op pad_op_2 = {
    .size = sizeof(aval_op),
    .name = "Pad",
    .since = 2,
    .deterministic = 1,
    .doc = "The input with more, or (negative pads) fewer, elements at the ends of its axes.",
    .inputs = AVAL_PORTS({ .name = "data" }),
    .outputs = AVAL_PORTS({ .name = "output" }),
    .attrs = AVAL_ATTRS(PAD_MODE("constant, reflect or edge"),
                        { .name = "pads", .type = AVAL_ATTR_INTS, .required = 1, .doc = "before each axis, then after each" },
                        { .name = "value", .type = AVAL_ATTR_FLOAT, .initial = "0", .doc = "the constant" }),
    .infer = pad_infer_2,
    .body = pad_body_2,
    .samples = AVAL_SAMPLES({ .inputs = "[3,4]", .attrs = "pads=[1,0,0,2] value=0.5" },
                            { .inputs = "[3,4]", .attrs = "pads=[1,0,0,2] mode='edge'" }),
};
static const aval_op center_op = {
    .size = sizeof(aval_op),
    .name = "CenterCropPad",
    .since = 18,
    .deterministic = 1,
    .doc = "The middle of the input, or the input in the middle of zeros, in the wanted shape.",
    .inputs = AVAL_PORTS({ .name = "input_data", .types = AVAL_STORED }, SIZES_INPUT("shape", 0)),
    .outputs = AVAL_PORTS({ .name = "output_data", .types = AVAL_STORED }),
    .attrs = AVAL_ATTRS({ .name = "axes", .type = AVAL_ATTR_INTS, .doc = "those that shape speaks of; all without it" }),
    .zero_gradient = 2,
    .infer = center_infer,
    .body = center_body,
    .samples = AVAL_SAMPLES({ .inputs = "[5,4] i64[2]{2,7}" }, { .inputs = "[5,4] i64[1]{3}", .attrs = "axes=[-1]" },
                            { .inputs = "[3,0] i64[2]{3,2}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "an empty input" }),
};
static const aval_op tile_op = {
    .size = sizeof(aval_op),
    .name = "Tile",
    .since = 6,
    .deterministic = 1,
    .kernels = "shape.cl",
    .doc = "The input, repeated along each axis.",
    .inputs = AVAL_PORTS({ .name = "input", .types = AVAL_STORED }, SIZES_INPUT("repeats", 0)),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
    .zero_gradient = 2,
    .infer = tile_infer,
    .forward = tile_forward,
    .backward_body = tile_backward,
    .reference = tile_reference,
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,3] i64[2]{2,3}" }, { .inputs = "[2,1,2] i64[3]{1,4,1}" },
        { .inputs = "[2,1,2,1,2,1,2,2] i64[8]{2,1,2,1,2,1,2,2}", .why = "more axes than a walk has" },
        { .inputs = "[2,3,2,3] i64[4]{3,1,1,2}" }, { .inputs = "[2,3] i64[2]{1,1}", .why = "nothing to repeat" }, { .inputs = "[] i64[0]" },
        { .inputs = "[2,3] i64[2]{1,0}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "nothing comes out" }, { .inputs = "[0,3] i64[2]{2,2}" },
        { .inputs = "b[2]{0,1} i64[1]{3}" }, { .inputs = "[13,17] i64[2]{20,19}", .size_class = AVAL_LARGE },
        { .inputs = "[2,3001] i64[2]{2,3}", .size_class = AVAL_LARGE, .why = "rows of several pieces" }),
};
static const aval_op expand_op = {
    .size = sizeof(aval_op),
    .name = "Expand",
    .since = 8,
    .deterministic = 1,
    .doc = "The input repeated to a shape to which both broadcast.",
    .inputs = AVAL_PORTS({ .name = "input", .types = AVAL_STORED }, SIZES_INPUT("shape", 0)),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
    .infer = expand_infer,
    .body = expand_body,
    .zero_gradient = 2,
    .samples = AVAL_SAMPLES({ .inputs = "[3,1] i64[3]{2,1,4}" }, { .inputs = "[3,4] i64[1]{1}" }, { .inputs = "[] i64[2]{2,3}" },
                            { .inputs = "[1,3] i64[2]{0,3}" }, { .inputs = "[1] i64[0]" }),
};

AVAL_PLUGIN("pad", "0.1.0", AVAL_SOURCES({ "shape.cl", shape_cl }), &pad_op, &pad_op_2, &center_op, &tile_op, &expand_op)
