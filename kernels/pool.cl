/* Pooling over windows of images [planes, in], a plane being a channel of an image; results are [planes, out].  See window.clh for windows and
 * RUN.  Work-items: runs of the rows of a plane of the result, planes. */
#include "common.clh"
#include "window.clh"

#define IS_NAN(x) ((x) != (x)) /* a macro, so that no compiler wonders about it where x is an integer */
#if S_TYPE == 1 || S_TYPE == 10 || S_TYPE == 11
#define NOTHING ((T)-INFINITY)
#else
#define NOTHING ((T)0)
#endif

/* Element `at` of a plane, counted with the last axis fastest, counted with the first axis fastest; and back. */
static long to_columns(long at, int in_z, int in_y, int in_x)
{
    return at / in_x / in_y + in_z * (at / in_x % in_y + in_y * (at % in_x));
}

static long from_columns(long at, int in_z, int in_y, int in_x)
{
    return (at % in_z * in_y + at / in_z % in_y) * in_x + at / in_z / in_y;
}

/* y = the largest element of each window, the first at ties, NaN before all; places: where it lies in x. */
__kernel void max_pool(__global const S *x, long x_at, __global S *y, long y_at, __global long *places, long places_at, int columns_first,
                       WINDOW_PARAMETERS)
{
    int runs = (out_x + RUN - 1) / RUN, i = get_global_id(0), first = i % runs * RUN, oy = i / runs % out_y, oz = i / runs / out_y;
    if (oz >= out_z) return;
    long plane = get_global_id(1) * IN_PLANE, to = get_global_id(1) * OUT_PLANE + (oz * out_y + oy) * out_x + first;
    T best[RUN];
    int place[RUN];
    for (int j = 0; j < RUN; j++) {
        best[j] = NOTHING;
        place[j] = -1;
    }
    x += x_at + plane;
    for (int tap = 0; tap < TAPS; tap++) {
        int z = oz * stride_z + tap / kernel_x / kernel_y * dilation_z - pad_z;
        int row = oy * stride_y + tap / kernel_x % kernel_y * dilation_y - pad_y;
        if (!INSIDE(z, in_z) || !INSIDE(row, in_y)) continue;
        int column = first * stride_x + tap % kernel_x * dilation_x - pad_x, at = (z * in_y + row) * in_x;
        for (int j = 0; j < RUN; j++) {
            int from = column + j * stride_x;
            if (!INSIDE(from, in_x)) continue;
            T v = LOAD(x, at + from);
            if (place[j] < 0 || v > best[j] || (IS_NAN(v) && !IS_NAN(best[j]))) {
                best[j] = v;
                place[j] = at + from;
            }
        }
    }
    for (int j = 0; j < min(RUN, out_x - first); j++) STORE(y, y_at + to + j, best[j]);
    if (places_at < 0) return;
    for (int j = 0; j < min(RUN, out_x - first); j++)
        places[places_at + to + j] = place[j] < 0 ? -1 : plane + (columns_first ? to_columns(place[j], in_z, in_y, in_x) : place[j]);
}

/* The windows along x that may see elements first .. first + RUN - 1. */
#define FIRST_WINDOW max(0, (first + pad_x - (kernel_x - 1) * dilation_x + stride_x - 1) / stride_x)
#define END_WINDOW min(out_x, (min(first + RUN, in_x) - 1 + pad_x) / stride_x + 1)

/* dx = the sum of g over the windows whose largest element it is, in their order. */
__kernel void max_pool_backward(__global const S *g, long g_at, __global const long *places, long places_at, __global S *dx, long dx_at,
                                int columns_first, WINDOW_PARAMETERS)
{
    int runs = (in_x + RUN - 1) / RUN, i = get_global_id(0), first = i % runs * RUN, iy = i / runs % in_y, iz = i / runs / in_y;
    if (iz >= in_z) return;
    long plane = get_global_id(1) * IN_PLANE, from = get_global_id(1) * OUT_PLANE;
    int at = (iz * in_y + iy) * in_x + first, length = min(RUN, in_x - first);
    ACC sum[RUN];
    for (int j = 0; j < RUN; j++) sum[j] = 0;
    for (int tap = kernel_z * kernel_y - 1; tap >= 0; tap--) {
        int oz = window_at(iz + pad_z - tap / kernel_y * dilation_z, stride_z, out_z);
        int oy = window_at(iy + pad_y - tap % kernel_y * dilation_y, stride_y, out_y);
        if (oz < 0 || oy < 0) continue;
        long windows = from + (oz * out_y + oy) * out_x;
        for (int ox = FIRST_WINDOW; ox < END_WINDOW; ox++) {
            long place = places[places_at + windows + ox] - plane;
            long element = (columns_first ? from_columns(place, in_z, in_y, in_x) : place) - at;
            if (element >= 0 && element < length) sum[element] += LOAD(g, g_at + windows + ox);
        }
    }
    for (int j = 0; j < length; j++) STORE(dx, dx_at + plane + at + j, sum[j]);
}

/* How many taps of a window that begins at `start` lie in the image. */
static int taps_within(int start, int kernel_length, int dilation, int length)
{
    int first = start >= 0 ? 0 : (dilation - 1 - start) / dilation;
    int end = start >= length ? 0 : min(kernel_length, (length - start + dilation - 1) / dilation);
    return max(0, end - first);
}

/* What a window's sum is divided by: 1; with divide 1 its elements in the image (1 where there is none); with divide 2 all its elements. */
#define DIVISOR(oz, oy, ox) \
    (divide == 0 ? 1 : \
     divide == 2 ? TAPS : \
                   max(1, taps_within((oz)*stride_z - pad_z, kernel_z, dilation_z, in_z) * \
                              taps_within((oy)*stride_y - pad_y, kernel_y, dilation_y, in_y) * \
                              taps_within((ox)*stride_x - pad_x, kernel_x, dilation_x, in_x)))

/* y = the sum of each window's elements, divided. */
__kernel void window_sum(__global const S *x, long x_at, __global S *y, long y_at, int divide, WINDOW_PARAMETERS)
{
    int runs = (out_x + RUN - 1) / RUN, i = get_global_id(0), first = i % runs * RUN, oy = i / runs % out_y, oz = i / runs / out_y;
    if (oz >= out_z) return;
    ACC sum[RUN];
    for (int j = 0; j < RUN; j++) sum[j] = 0;
    x += x_at + get_global_id(1) * IN_PLANE;
    for (int tap = 0; tap < TAPS; tap++) {
        int z = oz * stride_z + tap / kernel_x / kernel_y * dilation_z - pad_z;
        int row = oy * stride_y + tap / kernel_x % kernel_y * dilation_y - pad_y;
        if (!INSIDE(z, in_z) || !INSIDE(row, in_y)) continue;
        int column = first * stride_x + tap % kernel_x * dilation_x - pad_x, at = (z * in_y + row) * in_x;
        for (int j = 0; j < RUN; j++) {
            int from = column + j * stride_x;
            if (INSIDE(from, in_x)) sum[j] += LOAD(x, at + from);
        }
    }
    long to = y_at + get_global_id(1) * OUT_PLANE + (oz * out_y + oy) * out_x + first;
    for (int j = 0; j < min(RUN, out_x - first); j++) STORE(y, to + j, sum[j] / DIVISOR(oz, oy, first + j));
}

/* x = the sum of y over the windows that see an element, divided as window_sum divides. */
__kernel void window_spread(__global const S *y, long y_at, __global S *x, long x_at, int divide, WINDOW_PARAMETERS)
{
    int runs = (in_x + RUN - 1) / RUN, i = get_global_id(0), first = i % runs * RUN, iy = i / runs % in_y, iz = i / runs / in_y;
    if (iz >= in_z) return;
    int length = min(RUN, in_x - first);
    ACC sum[RUN];
    for (int j = 0; j < RUN; j++) sum[j] = 0;
    y += y_at + get_global_id(1) * OUT_PLANE;
    for (int tap = kernel_z * kernel_y - 1; tap >= 0; tap--) {
        int oz = window_at(iz + pad_z - tap / kernel_y * dilation_z, stride_z, out_z);
        int oy = window_at(iy + pad_y - tap % kernel_y * dilation_y, stride_y, out_y);
        if (oz < 0 || oy < 0) continue;
        for (int ox = FIRST_WINDOW; ox < END_WINDOW; ox++) {
            ACC share = LOAD(y, (oz * out_y + oy) * out_x + ox) / DIVISOR(oz, oy, ox);
            for (int kx = 0; kx < kernel_x; kx++) {
                int element = ox * stride_x + kx * dilation_x - pad_x - first;
                if (element >= 0 && element < length) sum[element] += share;
            }
        }
    }
    long to = x_at + get_global_id(1) * IN_PLANE + (iz * in_y + iy) * in_x + first;
    for (int j = 0; j < length; j++) STORE(x, to + j, sum[j]);
}
