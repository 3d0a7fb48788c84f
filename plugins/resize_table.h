/* Resampling along one axis as a table: output i is the sum of `taps` elements of the input from starts[i] on, times weights.  So every mode and
 * coordinate transformation of ONNX's Resize is arithmetic on the host, and the device needs one kernel, for the gradient too: that is the
 * transposed table. */
#ifndef AVAL_PLUGINS_RESIZE_TABLE_H
#define AVAL_PLUGINS_RESIZE_TABLE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef enum resize_mode { RESIZE_NEAREST, RESIZE_LINEAR, RESIZE_CUBIC } resize_mode;
typedef enum resize_nearest { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, ROUND_FLOOR, ROUND_CEIL } resize_nearest;
typedef enum resize_place {
    PLACE_HALF_PIXEL,
    PLACE_SYMMETRIC, /* half_pixel_symmetric */
    PLACE_PYTORCH, /* pytorch_half_pixel */
    PLACE_CORNERS, /* align_corners */
    PLACE_ASYMMETRIC,
    PLACE_CROP /* tf_crop_and_resize */
} resize_place;

typedef struct resize_rule {
    resize_mode mode;
    resize_nearest nearest;
    resize_place place;
    int antialias, exclude_outside;
    double cubic_a;
} resize_rule;

/* One axis: `length` elements become `count`; the scale may differ from count / length.  roi: of PLACE_CROP, in parts of the axis. */
typedef struct resize_axis {
    int64_t length, count;
    double scale, roi[2];
} resize_axis;

/* Beyond so many weights the table is not made: their computation on the host alone would take longer than anyone waits. */
#define RESIZE_MOST_WEIGHTS ((int64_t)1 << 22)

typedef struct resize_table {
    int64_t count, taps; /* outputs, and weights of each */
    int32_t *starts; /* [count] */
    double *weights; /* [count, taps] */
    uint8_t *outside; /* [count], 1: lies outside the region, and all weights are 0 */
    int any_outside;
} resize_table;

static inline void resize_release(resize_table *t)
{
    free(t->starts);
    free(t->weights);
    free(t->outside);
    *t = (resize_table){ 0 };
}

/* 0: out of memory.  All is zero. */
static inline int resize_make(resize_table *t, int64_t count, int64_t taps)
{
    *t = (resize_table){ .count = count, .taps = taps };
    t->starts = calloc((size_t)count + 1, sizeof *t->starts);
    t->weights = calloc((size_t)(count * taps) + 1, sizeof *t->weights);
    t->outside = calloc((size_t)count + 1, 1);
    if (t->starts != NULL && t->weights != NULL && t->outside != NULL) return 1;
    resize_release(t);
    return 0;
}

/* Where output i lies in the input. */
static inline double resize_coordinate(const resize_rule *r, const resize_axis *a, int64_t i)
{
    double length = (double)a->length, width = a->scale * length, x = (double)i, half = (x + 0.5) / a->scale - 0.5;
    switch (r->place) {
    case PLACE_HALF_PIXEL: return half;
    case PLACE_SYMMETRIC: return length / 2 * (1 - (double)a->count / width) + half;
    case PLACE_PYTORCH: return width == 1 ? -0.5 : half;
    case PLACE_CORNERS: return width == 1 ? 0 : x * (length - 1) / (width - 1);
    case PLACE_ASYMMETRIC: return x / a->scale;
    case PLACE_CROP: break;
    }
    double span = (a->roi[1] - a->roi[0]) * (length - 1);
    return a->roi[0] * (length - 1) + (width == 1 ? span / 2 : x * span / (width - 1));
}

/* Elements that an output reads. */
static inline int64_t resize_taps(const resize_rule *r, const resize_axis *a)
{
    double reach = r->mode == RESIZE_CUBIC ? 2 : 1;
    if (r->mode == RESIZE_NEAREST) return 1;
    if (r->antialias && a->scale < 1) return 2 - 2 * (int64_t)(floor(-fmin(reach / a->scale, RESIZE_MOST_WEIGHTS)) + 1);
    return 2 * (int64_t)reach;
}

/* The kernel at distance x: a triangle, or Keys' cubic ("Cubic convolution interpolation for digital image processing", 1981). */
static inline double resize_weight(const resize_rule *r, double x)
{
    double a = r->cubic_a;
    x = fabs(x);
    if (r->mode == RESIZE_LINEAR) return x < 1 ? 1 - x : 0;
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static inline int64_t resize_nearest_index(resize_nearest mode, double x)
{
    double low = floor(x);
    switch (mode) {
    case ROUND_PREFER_FLOOR: return (int64_t)(x - low <= 0.5 ? low : low + 1);
    case ROUND_PREFER_CEIL: return (int64_t)(x - low < 0.5 ? low : low + 1);
    case ROUND_FLOOR: return (int64_t)low;
    case ROUND_CEIL: break;
    }
    return (int64_t)ceil(x);
}

static inline int64_t resize_clamped(int64_t i, int64_t length)
{
    return i < 0 ? 0 : i >= length ? length - 1 : i;
}

/* The weights of output i at coordinate x: those of what lies outside fall to the edge, or away.  `taps` may be more than the axis has. */
static inline void resize_row(const resize_rule *r, const resize_axis *a, resize_table *t, int64_t i, double x, int64_t taps)
{
    int64_t first = r->mode == RESIZE_NEAREST ? resize_nearest_index(r->nearest, x) : (int64_t)ceil(x) - taps / 2;
    int64_t start = resize_clamped(first, a->length);
    double squeeze = r->antialias && a->scale < 1 ? a->scale : 1, sum = 0, *weights = t->weights + i * t->taps;
    if (start > a->length - t->taps) start = a->length - t->taps;
    t->starts[i] = (int32_t)start;
    for (int64_t k = 0; k < taps; k++) {
        int64_t at = first + k;
        double weight = r->mode == RESIZE_NEAREST ? 1 : resize_weight(r, ((double)at - x) * squeeze);
        if (r->exclude_outside && (at < 0 || at >= a->length)) continue;
        weights[resize_clamped(at, a->length) - start] += weight;
        sum += weight;
    }
    for (int64_t k = 0; k < t->taps && (r->antialias || r->exclude_outside) && sum != 0; k++) weights[k] /= sum;
}

static inline int resize_build(const resize_rule *r, const resize_axis *a, resize_table *t)
{
    int64_t taps = resize_taps(r, a);
    if (a->count > RESIZE_MOST_WEIGHTS / taps || !resize_make(t, a->count, taps < a->length ? taps : a->length)) return 0;
    for (int64_t i = 0; i < a->count; i++) {
        double x = resize_coordinate(r, a, i);
        t->outside[i] = r->place == PLACE_CROP && !(x >= 0 && x <= (double)(a->length - 1));
        if (t->outside[i]) t->any_outside = 1;
        else resize_row(r, a, t, i, x, taps);
    }
    return 1;
}

/* Which outputs read input j: from low[j] to before high[j]; 0 and 0: none.  `ranges` holds both, [2, length], zero before. */
static inline int64_t resize_readers(const resize_table *t, int64_t length, int64_t *ranges)
{
    int64_t *low = ranges, *high = ranges + length, most = 1;
    for (int64_t i = 0; i < t->count; i++) {
        for (int64_t k = 0; k < t->taps; k++) {
            int64_t j = t->starts[i] + k;
            if (t->weights[i * t->taps + k] == 0) continue;
            if (high[j] == 0) low[j] = i;
            high[j] = i + 1;
            if (high[j] - low[j] > most) most = high[j] - low[j];
        }
    }
    return most;
}

/* What each of `length` inputs gives to the outputs. */
static inline int resize_transpose(const resize_table *t, int64_t length, resize_table *back)
{
    int64_t *ranges = calloc(2 * (size_t)length + 1, sizeof *ranges);
    if (ranges == NULL) return 0;
    int64_t taps = resize_readers(t, length, ranges);
    int made = resize_make(back, length, taps < t->count ? taps : t->count);
    for (int64_t j = 0; made && j < length; j++) {
        int64_t low = ranges[j] > t->count - back->taps ? t->count - back->taps : ranges[j];
        back->starts[j] = (int32_t)low;
        for (int64_t i = ranges[j]; i < ranges[length + j]; i++) {
            int64_t k = j - t->starts[i];
            if (k >= 0 && k < t->taps) back->weights[j * back->taps + i - low] = t->weights[i * t->taps + k];
        }
    }
    free(ranges);
    return made;
}

#endif
