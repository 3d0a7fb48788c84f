/* GridSample: an image [length] read at points that a grid names, -1 and 1 being its edges; and the gradients by the image and by the grid.
 * Images are [n, channels, d, h, w], points [n, points, axes] with x first; two axes are three of which d is 1.  An axis gives a point up to
 * four elements with weights; what lies outside is left out, or is the nearest edge, or is mirrored.
 * The four are components of vectors, again from the first where there are fewer, and the present one is the first: vectors are turned from tap to tap, since
 * arrays that are indexed by a variable would lie in memory. */
#include "common.clh"
#include "sort.clh"

#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define T4 CAT(T, 4)
#define INLINE __attribute__((always_inline)) /* what is pointed to would lie in memory */
#define NEAREST 0
#define LINEAR 1
#define CUBIC 2
#define ZEROS 0
#define BORDER 1
#define REFLECTION 2
#define CUBIC_A ((T)-0.75f)
#define MOST_TAPS 64 /* four along each of three axes */

/* What a point reads along one axis. */
typedef struct {
    int count; /* 1, 2 or 4 */
    int4 at; /* -1: outside */
    T4 weights, slopes; /* slopes: derivatives of the weights by the grid */
} axis_taps;

/* x mirrored at low and high until it lies between them; *sign is that of the derivative. */
static T reflected(T x, T low, T high, T *sign)
{
    T range = high - low;
    if (x >= low && x <= high) return x;
    if (!(range > 0)) {
        *sign = 0;
        return low;
    }
    T over = x < low ? low - x : x - high;
    T turns = floor(over / range), rest = over - turns * range;
    int even = fmod(turns, (T)2) == 0;
    if ((x < low) == even) {
        *sign = x < low ? -1 : 1;
        return low + rest;
    }
    *sign = x < low ? 1 : -1;
    return high - rest;
}

static T cubic_weight(T x)
{
    x = fabs(x);
    if (x <= 1) return ((CUBIC_A + 2) * x - (CUBIC_A + 3)) * x * x + 1;
    return ((CUBIC_A * x - 5 * CUBIC_A) * x + 8 * CUBIC_A) * x - 4 * CUBIC_A;
}

static T cubic_slope(T x)
{
    T a = fabs(x), s = a <= 1 ? (3 * (CUBIC_A + 2) * a - 2 * (CUBIC_A + 3)) * a : (3 * CUBIC_A * a - 10 * CUBIC_A) * a + 8 * CUBIC_A;
    return x < 0 ? -s : s;
}

static long tap_place(long i, long length, int padding, int align)
{
    T sign = 1, half_of = align ? 0 : (T)0.5f;
    if (i >= 0 && i < length) return i;
    if (padding == ZEROS) return -1;
    if (padding == REFLECTION) i = (long)reflected((T)i, -half_of, (T)(length - 1) + half_of, &sign);
    return clamp(i, 0L, length - 1);
}

/* Coordinate n of a point along an axis of `length` elements.  A point that is no number, or far outside, reads next to the edge. */
INLINE static void taps_of(T n, long length, int mode, int padding, int align, axis_taps *t)
{
    T half_of = align ? 0 : (T)0.5f, low = -half_of, high = (T)(length - 1) + half_of;
    T slope = (align ? (T)(length - 1) : (T)length) / 2, sign = 1;
    T x = align ? (n + 1) / 2 * (T)(length - 1) : ((n + 1) * (T)length - 1) / 2;
    if (mode == NEAREST) x = rint(x);
    if (padding == BORDER && (x < low || x > high)) {
        x = clamp(x, (T)0, (T)(length - 1));
        sign = 0;
    }
    if (padding == REFLECTION) x = reflected(x, low, high, &sign);
    x = x > (T)-4 ? min(x, (T)(length + 4)) : (T)-4;
    long base = (long)floor(x);
    slope *= sign;
    t->count = mode == CUBIC ? 4 : mode == LINEAR ? 2 : 1;
    t->at = 0;
    t->weights = t->slopes = 0;
    for (int k = 0; k < 4; k++) { /* the newest is the last component, so that after four the first is tap 0 */
        long at = t->count == 1 ? t->at.w : t->at.z;
        T weight = t->count == 1 ? t->weights.w : t->weights.z, slope_at = t->count == 1 ? t->slopes.w : t->slopes.z;
        if (k < t->count) {
            const long i = base + k - (mode == CUBIC ? 1 : 0);
            const T distance = x - (T)i;
            at = tap_place(i, length, padding, align);
            weight = mode == CUBIC ? cubic_weight(distance) : mode == LINEAR ? 1 - fabs(distance) : 1;
            slope_at = mode == CUBIC ? slope * cubic_slope(distance) : mode == LINEAR ? (k == 0 ? -slope : slope) : 0;
        }
        t->at = (int4)(t->at.yzw, (int)at);
        t->weights = (T4)(t->weights.yzw, weight);
        t->slopes = (T4)(t->slopes.yzw, slope_at);
    }
}

/* Point i of the grid: x, y and z. */
INLINE static void taps_of_point(__global const S *grid, long at, int axes, long d, long h, long w, int mode, int padding, int align,
                                 axis_taps *x, axis_taps *y, axis_taps *z)
{
    taps_of(LOAD(grid, at), w, mode, padding, align, x);
    taps_of(LOAD(grid, at + 1), h, mode, padding, align, y);
    if (axes == 3) {
        taps_of(LOAD(grid, at + 2), d, mode, padding, align, z);
    } else {
        z->count = 1;
        z->at = 0;
        z->weights = 1;
        z->slopes = 0;
    }
}

/* The element of an image that the present taps of the three read together; -1: outside. */
INLINE static long tap_element(const axis_taps *x, const axis_taps *y, const axis_taps *z, long h, long w)
{
    return x->at.x < 0 || y->at.x < 0 || z->at.x < 0 ? -1 : ((long)z->at.x * h + y->at.x) * w + x->at.x;
}

INLINE static void turn(axis_taps *t)
{
    t->at = t->at.yzwx;
    t->weights = t->weights.yzwx;
    t->slopes = t->slopes.yzwx;
}

/* From tap k to the next, x first; from the last to the first. */
INLINE static void turn_all(axis_taps *x, axis_taps *y, axis_taps *z, int k)
{
    turn(x);
    if (((k + 1) & (x->count - 1)) == 0) turn(y);
    if (((k + 1) & (x->count * y->count - 1)) == 0) turn(z);
}

/* y [n, channels, points].  Work-items: n * points. */
__kernel NARROW void grid_sample(__global const S *image, long image_at, __global const S *grid, long grid_at, __global S *out, long out_at,
                                 long n, long channels, long points, int axes, long d, long h, long w, int mode, int padding, int align)
{
    long i = get_global_id(0), size = d * h * w;
    if (i >= n * points) return;
    axis_taps x, y, z;
    taps_of_point(grid, grid_at + i * axes, axes, d, h, w, mode, padding, align, &x, &y, &z);
#if WG == 1
    /* A CPU keeps arrays in its nearest cache: what the taps read is listed once for all channels. */
    long at[MOST_TAPS];
    T weights[MOST_TAPS];
    int taps = 0;
    for (int k = 0; k < x.count * y.count * z.count; k++) {
        const long element = tap_element(&x, &y, &z, h, w);
        if (element >= 0) {
            at[taps] = element;
            weights[taps++] = x.weights.x * y.weights.x * z.weights.x;
        }
        turn_all(&x, &y, &z, k);
    }
#endif
    for (long c = 0; c < channels; c++) {
        long from = image_at + (i / points * channels + c) * size;
        ACC sum = 0;
#if WG == 1
        for (int k = 0; k < taps; k++) sum += weights[k] * LOAD(image, from + at[k]);
#else
        for (int k = 0; k < x.count * y.count * z.count; k++) {
            const long at = tap_element(&x, &y, &z, h, w);
            if (at >= 0) sum += x.weights.x * y.weights.x * z.weights.x * LOAD(image, from + at);
            turn_all(&x, &y, &z, k);
        }
#endif
        STORE(out, out_at + (i / points * channels + c) * points + i % points, sum);
    }
}

/* dgrid [n, points, axes].  Work-items: n * points. */
__kernel NARROW void grid_gradient(__global const S *image, long image_at, __global const S *grid, long grid_at, __global const S *g,
                                   long g_at, __global S *dgrid, long dgrid_at, long n, long channels, long points, int axes, long d,
                                   long h, long w, int mode, int padding, int align)
{
    long i = get_global_id(0), size = d * h * w;
    if (i >= n * points) return;
    axis_taps x, y, z;
    ACC by_x = 0, by_y = 0, by_z = 0;
    taps_of_point(grid, grid_at + i * axes, axes, d, h, w, mode, padding, align, &x, &y, &z);
    image_at += i / points * channels * size;
    g_at += i / points * channels * points + i % points;
    for (long c = 0; c < channels; c++, image_at += size, g_at += points) {
        const T upstream = LOAD(g, g_at);
        for (int k = 0; k < x.count * y.count * z.count; k++) {
            const long at = tap_element(&x, &y, &z, h, w);
            if (at >= 0) {
                const T value = upstream * LOAD(image, image_at + at);
                by_x += value * x.slopes.x * y.weights.x * z.weights.x;
                by_y += value * x.weights.x * y.slopes.x * z.weights.x;
                by_z += value * x.weights.x * y.weights.x * z.slopes.x;
            }
            turn_all(&x, &y, &z, k);
        }
    }
    STORE(dgrid, dgrid_at + i * axes, by_x);
    STORE(dgrid, dgrid_at + i * axes + 1, by_y);
    if (axes == 3) STORE(dgrid, dgrid_at + i * axes + 2, by_z);
}

/* Which element of the images [n, d * h * w] each tap reads, as keys (n * d * h * w: none), and its weight: [n, points, taps].
   Work-items: n * points. */
__kernel NARROW void grid_keys(__global const S *grid, long grid_at, __global uint *keys, long keys_at, __global ACC *weights,
                               long weights_at, long n, long points, int taps, int axes, long d, long h, long w, int mode, int padding,
                               int align)
{
    long i = get_global_id(0), size = d * h * w;
    if (i >= n * points) return;
    axis_taps x, y, z;
    taps_of_point(grid, grid_at + i * axes, axes, d, h, w, mode, padding, align, &x, &y, &z);
    for (int k = 0; k < taps; k++) {
        const long at = tap_element(&x, &y, &z, h, w);
        keys[keys_at + i * taps + k] = (uint)(at < 0 ? n * size : i / points * size + at);
        weights[weights_at + i * taps + k] = x.weights.x * y.weights.x * z.weights.x;
        turn_all(&x, &y, &z, k);
    }
}

/* dimage [n, channels, size]: the sum over the taps that read an element, in the order of the points.  Work-items: n * channels * size. */
__kernel void grid_image_gradient(__global const S *g, long g_at, __global const uint *sorted, long sorted_at, __global const uint *order,
                                  long order_at, __global const ACC *weights, long weights_at, __global S *dimage, long dimage_at, long n,
                                  long channels, long size, long points, int taps)
{
    long i = get_global_id(0), batch = i / size / channels, count = n * points * taps;
    if (batch >= n) return;
    uint key = (uint)(batch * size + i % size);
    sorted += sorted_at;
    g += g_at + i / size * points;
    ACC sum = 0;
    for (long k = sort_find(sorted, count, key); k < count && sorted[k] == key; k++) {
        uint tap = order[order_at + k];
        sum += weights[weights_at + tap] * LOAD(g, tap / (uint)taps % points);
    }
    STORE(dimage, dimage_at + i, sum);
}
