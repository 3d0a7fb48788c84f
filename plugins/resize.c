/* Resize and Upsample: axis by axis, each by a table of weights (resize_table.h); and Interpolate, the kernel that applies a table. */
#include "box.h"
#include "resize_table.h"

#include "resize.cl.h"

#define MOST_UNROLLED 4 /* weights of an output whose number the kernel is built for: those of a cubic */

/* ---- Interpolate --------------------------------------------------------------------------------------------------------------------- */

static int interpolate_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *starts = host->input(call, 1), *weights = host->input(call, 2);
    int64_t axis = aval_axis(host->attr_int(call, "axis"), host->rank(x)), dims[AVAL_MAX_RANK];
    if (axis < 0 || host->rank(weights) != 2 || host->dims(weights)[0] != host->count(starts))
        return host->fail(
            call, AVAL_PLUGIN_BAD_SHAPE,
            "attribute axis is %lld for %u axes and there are %lld starts, expected an axis, and a row of weights for each start",
            (long long)host->attr_int(call, "axis"), (unsigned)host->rank(x), (long long)host->count(starts));
    for (uint32_t i = 0; i < host->rank(x); i++) dims[i] = i == axis ? host->count(starts) : host->dims(x)[i];
    return host->set_output(call, 0, host->type(x), host->rank(x), dims);
}

static int interpolate_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *starts = host->input(call, 1), *weights = host->input(call, 2);
    const aval_tensor *y = host->output(call, 0);
    aval_split s = aval_split_at(host, x, aval_axis(host->attr_int(call, "axis"), host->rank(x)));
    if (host->count(y) == 0) return 0;
    if (host->count(x) == 0 || host->count(weights) == 0) return host->fill(call, y, 0);
    /* The walk over y, with strides of the table (to) and of x (from). */
    box b = { .rank = 3, .dims = { s.outer, host->count(starts), s.inner }, .to = { 0, 1, 0 }, .from = { s.length * s.inner, 0, 1 } };
    int64_t of_table[8], of_x[8];
    box_simplify(&b);
    const int64_t taps = host->dims(weights)[1];
    walk w = walk_over(host->device(call), b.dims, b.rank);
    right_aligned(b.to, b.rank, 0, of_table);
    right_aligned(b.from, b.rank, 0, of_x);
    return host->launch(call,
                        AVAL_LAUNCH(.kernel = "interpolate", BY_WALK_WITH(host->device(call), w, "TAPS", taps <= MOST_UNROLLED ? taps : 0),
                                    .s_type = (uint32_t)host->type(x), .d_type = (uint32_t)host->type(weights),
                                    AVAL_ARGS(AVAL_READ(x), AVAL_READ(starts), AVAL_READ(weights), AVAL_WRITE(y), AVAL_I64(s.length),
                                              AVAL_I64(s.inner), AVAL_I64(taps), WALK(w), EIGHT(of_table), EIGHT(of_x))));
}

static int interpolate_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    const int64_t *starts = host->integer(call, host->input(call, 1)), taps = host->dims(host->input(call, 2))[1];
    const double *weights = host->real(call, host->input(call, 2));
    aval_split s = aval_split_at(host, x, aval_axis(host->attr_int(call, "axis"), host->rank(x)));
    int64_t count = host->count(host->input(call, 1));
    for (int64_t n = 0; n < host->count(y); n++) {
        int64_t i = n / s.inner % count, o = n / s.inner / count;
        double sum = 0;
        for (int64_t k = 0; k < taps; k++) {
            int64_t j = starts[i] + k;
            if (j >= 0 && j < s.length) sum += weights[i * taps + k] * host->real(call, x)[(o * s.length + j) * s.inner + n % s.inner];
        }
        host->real(call, y)[n] = sum;
    }
    return 0;
}

static int interpolate_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *inputs[] = { host->upstream(call, 0), host->input(call, 3), host->input(call, 4), host->input(call, 1),
                                    host->input(call, 2) };
    const aval_tensor *g;
    text attrs = { 0 };
    text_int(&attrs, "axis", host->attr_int(call, "axis"));
    TRY(host->apply(call, "aval::Interpolate", attrs.at, 5, inputs, 1, &g));
    return host->yield(call, 0, g);
}

/* ---- What a node of Resize asks for ------------------------------------------------------------------------------------------------------ */

#define MOST_LENGTH 0x1p40 /* of an axis, so that no scale of a file leaves the range of integers */
#define MOST_TABLE (INT64_C(1) << 26) /* places of an axis, each a row of a table on the host */

typedef struct resizing {
    resize_rule rule;
    uint32_t rank;
    resize_axis axes[AVAL_MAX_RANK];
    double extrapolation;
} resizing;

/* Attribute `name` as the number of its value among `values`. */
static int read_choice(const aval_host *host, aval_call *call, const char *name, const char *const *values, int *choice)
{
    const char *value = host->attr_string(call, name);
    for (*choice = 0; values[*choice] != NULL; ++*choice)
        if (strcmp(values[*choice], value) == 0) return 0;
    return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute %s is '%s', which it cannot be", name, value);
}

static int read_rule(const aval_host *host, aval_call *call, resize_rule *r)
{
    static const char *const modes[] = { "nearest", "linear", "cubic", NULL };
    static const char *const nearest[] = { "round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL };
    static const char *const places[] = {
        "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize", NULL
    };
    int mode = 0, rounding = 0, place = 0;
    TRY(read_choice(host, call, "mode", modes, &mode));
    TRY(read_choice(host, call, "nearest_mode", nearest, &rounding));
    TRY(read_choice(host, call, "coordinate_transformation_mode", places, &place));
    *r = (resize_rule){ .mode = (resize_mode)mode,
                        .nearest = (resize_nearest)rounding,
                        .place = (resize_place)place,
                        .antialias = host->attr_int(call, "antialias") != 0 && mode != RESIZE_NEAREST,
                        .exclude_outside = host->attr_int(call, "exclude_outside") != 0,
                        .cubic_a = host->attr_float(call, "cubic_coeff_a") };
    return 0;
}

/* Scales from sizes: each for itself, or one for all, so that the aspect ratio stays. */
static int keep_aspect(const aval_host *host, aval_call *call, const int64_t *axes, size_t n, resizing *r)
{
    static const char *const policies[] = { "stretch", "not_larger", "not_smaller", NULL };
    int policy = 0;
    TRY(read_choice(host, call, "keep_aspect_ratio_policy", policies, &policy));
    if (policy == 0 || n == 0) return 0;
    double scale = r->axes[axes[0]].scale;
    for (size_t i = 1; i < n; i++) {
        double other = r->axes[axes[i]].scale;
        if (policy == 1 ? other < scale : other > scale) scale = other;
    }
    for (size_t i = 0; i < n; i++) {
        resize_axis *a = &r->axes[axes[i]];
        a->scale = scale;
        a->count = (int64_t)(scale * (double)a->length + 0.5);
    }
    return 0;
}

static int read_axes(const aval_host *host, aval_call *call, int64_t *axes, size_t *n)
{
    uint32_t rank = host->rank(host->input(call, 0));
    const int64_t *given = host->attr_ints(call, "axes", n);
    if (given == NULL) *n = rank;
    for (size_t i = 0; i < *n; i++) {
        axes[i < AVAL_MAX_RANK ? i : 0] = given == NULL ? (int64_t)i : aval_axis(given[i], rank);
        if (i >= AVAL_MAX_RANK || axes[i] < 0)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute axes: number %zu is out of range", i);
    }
    return 0;
}

static int check_axis(const aval_host *host, aval_call *call, size_t i, const resize_axis *a)
{
    if (a->scale > 0 && a->count >= 0 && a->count <= MOST_TABLE && a->length <= INT32_MAX && (a->length > 0 || a->count == 0)) return 0;
    return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "axis %zu of length %lld cannot become %lld long at scale %g", i, (long long)a->length,
                      (long long)a->count, a->scale);
}

/* Inputs X, roi, scales, sizes.  The last two say the same: exactly one of them has elements. */
static int read_resizing(const aval_host *host, aval_call *call, resizing *r)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t axes[AVAL_MAX_RANK], sizes[AVAL_MAX_RANK];
    double roi[2 * AVAL_MAX_RANK], scales[AVAL_MAX_RANK];
    size_t n = 0, n_roi = 0, n_scales = 0, n_sizes = 0;
    *r = (resizing){ .rank = host->rank(x), .extrapolation = host->attr_float(call, "extrapolation_value") };
    TRY(read_rule(host, call, &r->rule));
    TRY(read_axes(host, call, axes, &n));
    if (r->rule.place == PLACE_CROP) TRY(known_reals(host, call, 1, "roi", roi, 2 * AVAL_MAX_RANK, &n_roi));
    TRY(known_reals(host, call, 2, "scales", scales, AVAL_MAX_RANK, &n_scales));
    TRY(known_ints(host, call, 3, "sizes", sizes, AVAL_MAX_RANK, &n_sizes));
    if (n_scales + n_sizes != n || (n_scales > 0 && n_sizes > 0) || (r->rule.place == PLACE_CROP && n_roi != 2 * n))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "inputs roi, scales and sizes have %zu, %zu and %zu numbers, expected one scale or size for each of %zu axes%s",
                          n_roi, n_scales, n_sizes, n, r->rule.place == PLACE_CROP ? ", and two of roi" : "");
    for (uint32_t i = 0; i < r->rank; i++)
        r->axes[i] = (resize_axis){ .length = host->dims(x)[i], .count = host->dims(x)[i], .scale = 1, .roi = { 0, 1 } };
    for (size_t i = 0; i < n; i++) {
        resize_axis *a = &r->axes[axes[i]];
        if (n_scales > 0 && !(scales[i] >= 0 && scales[i] * (double)a->length < MOST_LENGTH))
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT,
                              "scales: expected numbers from 0 on that give axes of fewer than 2^40 elements, found %g", scales[i]);
        a->scale = n_scales > 0 ? scales[i] : a->length == 0 ? 1 : (double)sizes[i] / (double)a->length;
        a->count = n_scales > 0 ? (int64_t)floor(scales[i] * (double)a->length) : sizes[i];
        if (n_roi > 0) a->roi[0] = roi[i], a->roi[1] = roi[n + i];
        if (a->count > 0) TRY(check_axis(host, call, i, a));
    }
    if (n_sizes > 0) TRY(keep_aspect(host, call, axes, n, r));
    return 0;
}

static int resize_infer(const aval_host *host, aval_call *call)
{
    int64_t dims[AVAL_MAX_RANK];
    resizing r = { 0 };
    TRY(read_resizing(host, call, &r));
    for (uint32_t i = 0; i < r.rank; i++) dims[i] = r.axes[i].count;
    return host->set_output(call, 0, host->type(host->input(call, 0)), r.rank, dims);
}

/* ---- Its body ---------------------------------------------------------------------------------------------------------------------------- */

/* The table's weights in float, or double for doubles. */
static int weights_constant(const aval_host *host, aval_call *call, aval_type type, const resize_table *t, const aval_tensor **out)
{
    const int64_t dims[] = { t->count, t->taps };
    return constant_reals(host, call, type == AVAL_DOUBLE ? AVAL_DOUBLE : AVAL_FLOAT, t->weights, 2, dims, out);
}

static int apply_table(const aval_host *host, aval_call *call, const resize_table *t, const resize_table *back, uint32_t axis,
                       const aval_tensor **y)
{
    aval_type type = host->type(*y);
    text attrs = { 0 };
    text_int(&attrs, "axis", axis);
    if (!(AVAL_FLOATS & AVAL_TYPE_SET(type))) { /* the nearest: a copy, of any type */
        const aval_tensor *inputs[] = { *y, host->constant(call, AVAL_INT32, 1, &t->count, t->starts) };
        return host->apply(call, "Gather", attrs.at, 2, inputs, 1, y);
    }
    const aval_tensor *inputs[] = { *y, host->constant(call, AVAL_INT32, 1, &t->count, t->starts), NULL,
                                    host->constant(call, AVAL_INT32, 1, &back->count, back->starts), NULL };
    TRY(weights_constant(host, call, type, t, &inputs[2]));
    TRY(weights_constant(host, call, type, back, &inputs[4]));
    return host->apply(call, "aval::Interpolate", attrs.at, 5, inputs, 1, y);
}

/* The constant where the axis leaves the region. */
static int extrapolate(const aval_host *host, aval_call *call, const resize_table *t, uint32_t axis, double value, const aval_tensor **y)
{
    int64_t dims[AVAL_MAX_RANK];
    for (uint32_t i = 0; i < host->rank(*y); i++) dims[i] = i == axis ? t->count : 1;
    const aval_tensor *choice[] = { host->constant(call, AVAL_BOOL, host->rank(*y), dims, t->outside), NULL, *y };
    if (AVAL_FLOATS & AVAL_TYPE_SET(host->type(*y))) {
        TRY(constant_reals(host, call, host->type(*y), &value, 0, NULL, &choice[1]));
    } else {
        const int64_t whole = (int64_t)value;
        text to = { 0 };
        text_int(&to, "to", host->type(*y));
        choice[1] = host->constant(call, AVAL_INT64, 0, NULL, &whole);
        TRY(host->apply(call, "Cast", to.at, 1, &choice[1], 1, &choice[1]));
    }
    return host->apply(call, "Where", NULL, 3, choice, 1, y);
}

static int resize_along(const aval_host *host, aval_call *call, const resizing *r, uint32_t axis, const aval_tensor **y)
{
    resize_table table = { 0 }, back = { 0 };
    int made = resize_build(&r->rule, &r->axes[axis], &table) && resize_transpose(&table, r->axes[axis].length, &back);
    int status =
        made ? apply_table(host, call, &table, &back, axis, y)
             : host->fail(call, AVAL_PLUGIN_UNSUPPORTED,
                          "axis %lld of %lld elements becomes one of %lld, which takes a table of weights beyond 2^22 or beyond memory",
                          (long long)axis, (long long)r->axes[axis].length, (long long)r->axes[axis].count);
    if (status >= 0 && table.any_outside) status = extrapolate(host, call, &table, axis, r->extrapolation, y);
    resize_release(&table);
    resize_release(&back);
    return status;
}

/* Axes that become shorter come first, so that the others have less to do; and the last axis, whose neighbours lie beside each other, where there is less. */
static int resize_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->input(call, 0);
    aval_type type = host->type(y);
    resizing r = { 0 };
    TRY(read_resizing(host, call, &r));
    if (r.rule.mode != RESIZE_NEAREST && !(AVAL_FLOATS & AVAL_TYPE_SET(type)))
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "input X is of an integer type, which only mode nearest takes: cast it");
    for (int shorter = 1; shorter >= 0; shorter--) {
        for (uint32_t k = 0; k < r.rank; k++) {
            const uint32_t i = shorter ? k : r.rank - 1 - k;
            const resize_axis *a = &r.axes[i];
            int same = a->scale == 1 && a->count == a->length && a->roi[0] == 0 && a->roi[1] == 1;
            if (!same && (a->count < a->length) == shorter) TRY(resize_along(host, call, &r, i, &y));
        }
    }
    if (y == host->input(call, 0)) TRY(host->apply(call, "Identity", NULL, 1, &y, 1, &y));
    return host->yield(call, 0, y);
}

/* ---- Older forms: a Resize that knows less ------------------------------------------------------------------------------------------------- */

/* X by scales, with corners where they were. */
static int upsample_by(const aval_host *host, aval_call *call, const aval_tensor *scales)
{
    const aval_tensor *inputs[] = { host->input(call, 0), NULL, scales }, *y;
    text attrs = { 0 };
    text_word(&attrs, "mode", host->attr_string(call, "mode"));
    text_word(&attrs, "coordinate_transformation_mode", "asymmetric");
    text_word(&attrs, "nearest_mode", "floor");
    TRY(host->apply(call, "Resize", attrs.at, 3, inputs, 1, &y));
    return host->yield(call, 0, y);
}

static int upsample_body(const aval_host *host, aval_call *call)
{
    return upsample_by(host, call, host->input(call, 1));
}

static int upsample_set(const aval_host *host, aval_call *call, const double *scales, size_t n)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t dims[AVAL_MAX_RANK];
    if (n != host->rank(x))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "scales has %zu numbers, expected one an axis, %u", n, (unsigned)host->rank(x));
    for (size_t i = 0; i < n; i++) {
        double length = floor((double)(float)scales[i] * (double)host->dims(x)[i]);
        if (!(length >= 0 && length < 9e15))
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "scales: number %zu is %g for %lld elements, expected a length of 0 or more", i,
                              scales[i], (long long)host->dims(x)[i]);
        dims[i] = (int64_t)length;
    }
    return host->set_output(call, 0, host->type(x), (uint32_t)n, dims);
}

static int upsample_infer(const aval_host *host, aval_call *call)
{
    double scales[AVAL_MAX_RANK];
    size_t n = 0;
    TRY(known_reals(host, call, 1, "scales", scales, AVAL_MAX_RANK, &n));
    return upsample_set(host, call, scales, n);
}

static int upsample_infer_7(const aval_host *host, aval_call *call)
{
    size_t n;
    const double *scales = host->attr_floats(call, "scales", &n);
    return upsample_set(host, call, scales, n);
}

static int upsample_body_7(const aval_host *host, aval_call *call)
{
    float floats[AVAL_MAX_RANK] = { 0 };
    size_t n;
    const double *scales = host->attr_floats(call, "scales", &n);
    for (size_t i = 0; i < n && i < AVAL_MAX_RANK; i++) floats[i] = (float)scales[i];
    const int64_t count = (int64_t)n;
    return upsample_by(host, call, host->constant(call, AVAL_FLOAT, 1, &count, floats));
}

/* ---- Definitions --------------------------------------------------------------------------------------------------------------------------- */

#define SCALES_INPUT(port_flags) \
    { \
        .name = "scales", .flags = AVAL_SHAPE_INPUT | (port_flags), .types = AVAL_TYPE_SET(AVAL_FLOAT) \
    }
#define RESIZE_PORTS(...) \
    .inputs = AVAL_PORTS({ .name = "X", .types = AVAL_STORED }, __VA_ARGS__), .outputs = AVAL_PORTS({ .name = "Y", .types = AVAL_STORED })
#define UPSAMPLE_MODE \
    { \
        .name = "mode", .type = AVAL_ATTR_STRING, .initial = "'nearest'", .doc = "nearest or linear" \
    }

static const aval_op interpolate_op = {
    .size = sizeof(aval_op),
    .name = "Interpolate",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .doc = "Sums of neighbours along an axis: output i is that of weights[i] and the elements from starts[i] on.  back_starts and "
           "back_weights say "
           "the same in the other direction, for the gradient.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "starts", .types = AVAL_TYPE_SET(AVAL_INT32) }, { .name = "weights" },
                         { .name = "back_starts", .types = AVAL_TYPE_SET(AVAL_INT32) }, { .name = "back_weights" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .zero_gradient = 30,
    .attrs = AVAL_ATTRS({ .name = "axis", .type = AVAL_ATTR_INT, .required = 1, .doc = "the axis that changes its length" }),
    .infer = interpolate_infer,
    .forward = interpolate_forward,
    .backward_body = interpolate_backward,
    .reference = interpolate_reference,
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,3,2] i32[2]{0,1} f[2,2]{0.25,0.75,0.5,0.5} i32[3]{0,0,0} f[3,2]{0.25,0,0.75,0.5,0,0.5}", .attrs = "axis=1" },
        { .inputs = "[2,0] i32[0] f[0,1] i32[0] f[0,1]", .attrs = "axis=1" }),
};
static const aval_op resize_op = {
    .size = sizeof(aval_op),
    .name = "Resize",
    .since = 11,
    .deterministic = 1,
    .doc = "The input resampled along its axes, by scales or to sizes.",
    RESIZE_PORTS(
        { .name = "roi", .flags = AVAL_SHAPE_INPUT | AVAL_OPTIONAL, .types = AVAL_TYPE_SET(AVAL_FLOAT) | AVAL_TYPE_SET(AVAL_DOUBLE) },
        SCALES_INPUT(AVAL_OPTIONAL), { .name = "sizes", .flags = AVAL_SHAPE_INPUT | AVAL_OPTIONAL, .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .zero_gradient = 14,
    .attrs = AVAL_ATTRS({ .name = "mode", .type = AVAL_ATTR_STRING, .initial = "'nearest'", .doc = "nearest, linear or cubic" },
                        { .name = "nearest_mode",
                          .type = AVAL_ATTR_STRING,
                          .initial = "'round_prefer_floor'",
                          .doc = "round_prefer_floor, round_prefer_ceil, floor or ceil" },
                        { .name = "coordinate_transformation_mode",
                          .type = AVAL_ATTR_STRING,
                          .initial = "'half_pixel'",
                          .doc = "half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners, asymmetric or tf_crop_and_resize" },
                        { .name = "cubic_coeff_a", .type = AVAL_ATTR_FLOAT, .initial = "-0.75", .doc = "a of the cubic" },
                        { .name = "exclude_outside",
                          .type = AVAL_ATTR_INT,
                          .initial = "0",
                          .doc = "1: what lies outside has no weight; else it is the nearest edge" },
                        { .name = "extrapolation_value",
                          .type = AVAL_ATTR_FLOAT,
                          .initial = "0",
                          .doc = "the result outside of roi, with tf_crop_and_resize" },
                        { .name = "antialias", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: smaller results see all elements" },
                        { .name = "axes", .type = AVAL_ATTR_INTS, .doc = "those that roi, scales and sizes speak of; all without it" },
                        { .name = "keep_aspect_ratio_policy",
                          .type = AVAL_ATTR_STRING,
                          .initial = "'stretch'",
                          .doc = "of sizes: stretch; not_larger or not_smaller: one scale for all axes" }),
    .infer = resize_infer,
    .body = resize_body,
    .samples = AVAL_SAMPLES(
        { .inputs = "[1,1,2,3] - f32[4]{1,1,2,3}" }, { .inputs = "[1,2,4,5] - - i64[4]{1,2,2,3}", .attrs = "nearest_mode='ceil'" },
        { .inputs = "[1,1,2,3] - f32[2]{2,1.5}", .attrs = "mode='linear' axes=[2,3]" },
        { .inputs = "[1,2,4,4] - f32[4]{1,1,0.6,0.6}", .attrs = "mode='linear' antialias=1" },
        { .inputs = "[1,2,4,4] - f32[4]{1,1,0.6,0.6}", .attrs = "mode='cubic' antialias=1 exclude_outside=1" },
        { .inputs = "[4,4] - f32[2]{2,0.8}", .attrs = "mode='cubic' cubic_coeff_a=-0.5 coordinate_transformation_mode='align_corners'" },
        { .inputs = "[4,5] f32[4]{0.4,0.6,1.2,0.1} - i64[2]{3,4}",
          .attrs = "mode='linear' coordinate_transformation_mode='tf_crop_and_resize' extrapolation_value=10",
          .why = "a region that runs backwards, and one that leaves the input" },
        { .inputs = "[3,4] - - i64[2]{7,8}", .attrs = "keep_aspect_ratio_policy='not_larger' mode='linear'" },
        { .inputs = "[5] - f32[1]{0.25}", .attrs = "mode='linear' coordinate_transformation_mode='pytorch_half_pixel'" },
        { .inputs = "[7] - f32[1]{0.5}", .attrs = "mode='linear' coordinate_transformation_mode='half_pixel_symmetric'" },
        { .inputs = "[2,3] - f32[2]{1,1}", .why = "nothing to do" }, { .inputs = "i64[3]{1,2,3} - f32[1]{2}" },
        { .inputs = "[0,2] - f32[2]{2,2}" }, { .inputs = "[1] - - i64[1]{3}", .attrs = "mode='cubic'" },
        { .inputs = "[1,2,130,140] - f32[4]{1,1,2,2}", .attrs = "mode='linear'", .size_class = AVAL_LARGE },
        { .inputs = "[2,2501] - f32[2]{2,2}", .attrs = "mode='linear'", .size_class = AVAL_LARGE, .why = "rows of several pieces" },
        { .inputs = "[2,3,4500] - f32[3]{1,2,1}", .attrs = "mode='linear'", .size_class = AVAL_LARGE, .why = "rows of several pieces" }),
};
static const aval_op resize_op_10 = {
    .size = sizeof(aval_op),
    .name = "Resize",
    .since = 10,
    .deterministic = 1,
    .doc = "The input resampled along its axes by scales; the corner of the result is that of the input.",
    RESIZE_PORTS(SCALES_INPUT(0)),
    .zero_gradient = 2,
    .attrs = AVAL_ATTRS(UPSAMPLE_MODE),
    .infer = upsample_infer,
    .body = upsample_body,
    .samples = AVAL_SAMPLES({ .inputs = "[1,1,2,4] f32[4]{1,1,2,0.5}" }, { .inputs = "[2,4] f32[2]{2,2}", .attrs = "mode='linear'" }),
};
static const aval_op upsample_op = {
    .size = sizeof(aval_op),
    .name = "Upsample",
    .since = 9,
    .deterministic = 1,
    .doc = "The older name of Resize: by scales, and the corner of the result is that of the input.",
    RESIZE_PORTS(SCALES_INPUT(0)),
    .zero_gradient = 2,
    .attrs = AVAL_ATTRS(UPSAMPLE_MODE),
    .infer = upsample_infer,
    .body = upsample_body,
    .samples = AVAL_SAMPLES({ .inputs = "[1,1,2,2] f32[4]{1,1,2,3}" }, { .inputs = "[2,2] f32[2]{2,1.5}", .attrs = "mode='linear'" }),
};
static const aval_op upsample_op_7 = {
    .size = sizeof(aval_op),
    .name = "Upsample",
    .since = 7,
    .deterministic = 1,
    .doc = "The older name of Resize: by scales, and the corner of the result is that of the input.",
    .inputs = AVAL_PORTS({ .name = "X", .types = AVAL_STORED }),
    .outputs = AVAL_PORTS({ .name = "Y", .types = AVAL_STORED }),
    .attrs = AVAL_ATTRS(UPSAMPLE_MODE, { .name = "scales", .type = AVAL_ATTR_FLOATS, .required = 1, .doc = "of each axis" }),
    .infer = upsample_infer_7,
    .body = upsample_body_7,
    .samples = AVAL_SAMPLES({ .inputs = "[1,1,2,2]", .attrs = "scales=[1,1,2,3]" }),
};

AVAL_PLUGIN("resize", "0.1.0", AVAL_SOURCES({ "resize.cl", resize_cl }), &interpolate_op, &resize_op, &resize_op_10, &upsample_op,
            &upsample_op_7)
