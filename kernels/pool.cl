/* Pooling over windows of images [planes, in], a plane being a channel of an image; results are [planes, out].  See window.clh for windows and
 * RUN.  Work-items: rows (or elements, see RUN) of a plane of the
 * result, planes. */
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

/* True where v takes the place of the best so far: the first of the largest, NaN before all. */
#define IS_LARGER(v, best) (!((v) <= (best)) && !IS_NAN(best))

/* The largest elements of RUN neighbouring windows, and their places in the plane x; -1 for windows that see nothing. */
static void largest_anywhere(__global const S *x, int first, int length, int oy, int oz, T *best, int *place, WINDOW_PARAMETERS)
{
    for (int j = 0; j < length; j++) {
        best[j] = NOTHING;
        place[j] = -1;
    }
    for (int kz = 0; kz < kernel_z; kz++) {
        for (int ky = 0; ky < kernel_y; ky++) {
            const int z = oz * stride_z + kz * dilation_z - pad_z, row = oy * stride_y + ky * dilation_y - pad_y;
            if (!INSIDE(z, in_z) || !INSIDE(row, in_y)) continue;
            for (int kx = 0; kx < kernel_x; kx++) {
                const int column = first * stride_x + kx * dilation_x - pad_x, at = (z * in_y + row) * in_x + column;
                for (int j = 0; j < length; j++) {
                    if (!INSIDE(column + j * stride_x, in_x)) continue;
                    const T v = LOAD(x, at + j * stride_x);
                    if (place[j] >= 0 && !IS_LARGER(v, best[j])) continue;
                    best[j] = v;
                    place[j] = at + j * stride_x;
                }
            }
        }
    }
}

#if RUN == 16
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define T16 CAT(T, 16)
#if S_TYPE == 11 || S_TYPE == 7
#define MASK16 long16
#else
#define MASK16 int16
#endif
#if S_TYPE == 10
#define LOAD16(p) vload_half16(0, p)
#else
#define LOAD16(p) CAT(convert_, T16)(vload16(0, p))
#endif

static T16 load_strided(__global const S *p, int stride)
{
    T each[16];
    if (stride == 1) return LOAD16(p);
    if (stride == 2) return (T16)(LOAD16(p).even, LOAD16(p + 16).even);
    for (int j = 0; j < 16; j++) each[j] = LOAD(p, j * stride);
    return vload16(0, each);
}

/* The same where the windows lie in the image, and 16 elements from each tap on in x; those beyond the row's end mean nothing. */
static void largest_inside(__global const S *x, int first, int oy, int oz, T *best, int *place, WINDOW_PARAMETERS)
{
    const int16 steps = (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) * stride_x;
    const int begin = ((oz * stride_z - pad_z) * in_y + oy * stride_y - pad_y) * in_x + first * stride_x - pad_x;
    T16 most = load_strided(x + begin, stride_x);
    int16 at = begin + steps;
    for (int kz = 0; kz < kernel_z; kz++) {
        for (int ky = 0; ky < kernel_y; ky++) {
            for (int kx = 0; kx < kernel_x; kx++) {
                const int from = begin + (kz * dilation_z * in_y + ky * dilation_y) * in_x + kx * dilation_x;
                const T16 v = load_strided(x + from, stride_x);
                const MASK16 larger = IS_LARGER(v, most);
                at = select(at, from + steps, convert_int16(larger));
                most = select(most, v, larger);
            }
        }
    }
    vstore16(most, 0, best);
    vstore16(at, 0, place);
}
#endif

/* y = the largest element of each window, places: where it lies in x. */
__kernel void max_pool(__global const S *x, long x_at, __global S *y, long y_at, __global long *places, long places_at, int columns_first,
                       WINDOW_PARAMETERS)
{
    const int oy = ROW(out_x) % out_y, oz = ROW(out_x) / out_y;
    if (oz >= out_z) return;
    const long plane = get_global_id(1) * IN_PLANE;
    x += x_at + plane;
    EACH_RUN(first, out_x)
    {
        const int length = min(RUN, out_x - first);
        T best[RUN];
        int place[RUN];
#if RUN == 16
        const int z = oz * stride_z - pad_z, row = oy * stride_y - pad_y, column = first * stride_x - pad_x;
        const int last_z = z + (kernel_z - 1) * dilation_z, last_row = row + (kernel_y - 1) * dilation_y, reach = (kernel_x - 1) * dilation_x;
        const bool inside = z >= 0 && row >= 0 && column >= 0 && last_z < in_z && last_row < in_y &&
                            column + (length - 1) * stride_x + reach < in_x;
        const long end = ((long)last_z * in_y + last_row) * in_x + column + reach + 16 * stride_x;
        if (inside && end <= get_global_size(1) * IN_PLANE - plane)
            largest_inside(x, first, oy, oz, best, place, WINDOW);
        else
#endif
            largest_anywhere(x, first, length, oy, oz, best, place, WINDOW);
        const long to = get_global_id(1) * OUT_PLANE + (oz * out_y + oy) * out_x + first;
        for (int j = 0; j < length; j++) STORE(y, y_at + to + j, best[j]);
        if (places_at < 0) continue;
        for (int j = 0; j < length; j++)
            places[places_at + to + j] = place[j] < 0 ? -1 : plane + (columns_first ? to_columns(place[j], in_z, in_y, in_x) : place[j]);
    }
}

/* The windows along x that may see elements first .. first + RUN - 1. */
#define FIRST_WINDOW max(0, (first + pad_x - (kernel_x - 1) * dilation_x + stride_x - 1) / stride_x)
#define END_WINDOW min(out_x, (min(first + RUN, in_x) - 1 + pad_x) / stride_x + 1)

/* dx = the sum of g over the windows whose largest element it is, in their order. */
__kernel void max_pool_backward(__global const S *g, long g_at, __global const long *places, long places_at, __global S *dx, long dx_at,
                                int columns_first, WINDOW_PARAMETERS)
{
    const int iy = ROW(in_x) % in_y, iz = ROW(in_x) / in_y;
    if (iz >= in_z) return;
    const long plane = get_global_id(1) * IN_PLANE, from = get_global_id(1) * OUT_PLANE;
    EACH_RUN(first, in_x)
    {
        const int at = (iz * in_y + iy) * in_x + first, length = min(RUN, in_x - first), begin = FIRST_WINDOW, end = END_WINDOW;
        ACC sum[RUN];
        for (int j = 0; j < RUN; j++) sum[j] = 0;
        for (int kz = kernel_z - 1; kz >= 0; kz--) {
            const int oz = window_at(iz + pad_z - kz * dilation_z, stride_z, out_z);
            for (int ky = kernel_y - 1; oz >= 0 && ky >= 0; ky--) {
                const int oy = window_at(iy + pad_y - ky * dilation_y, stride_y, out_y);
                if (oy < 0) continue;
                const long windows = from + (oz * out_y + oy) * out_x;
                for (int ox = begin; ox < end; ox++) {
                    const long place = places[places_at + windows + ox] - plane;
                    const long element = (columns_first ? from_columns(place, in_z, in_y, in_x) : place) - at;
                    if (element >= 0 && element < length) sum[element] += LOAD(g, g_at + windows + ox);
                }
            }
        }
        for (int j = 0; j < length; j++) STORE(dx, dx_at + plane + at + j, sum[j]);
    }
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
    const int oy = ROW(out_x) % out_y, oz = ROW(out_x) / out_y;
    if (oz >= out_z) return;
    x += x_at + get_global_id(1) * IN_PLANE;
    EACH_RUN(first, out_x)
    {
        const int length = min(RUN, out_x - first);
        ACC sum[RUN];
        for (int j = 0; j < RUN; j++) sum[j] = 0;
        for (int kz = 0; kz < kernel_z; kz++) {
            for (int ky = 0; ky < kernel_y; ky++) {
                const int z = oz * stride_z + kz * dilation_z - pad_z, row = oy * stride_y + ky * dilation_y - pad_y;
                if (!INSIDE(z, in_z) || !INSIDE(row, in_y)) continue;
                for (int kx = 0; kx < kernel_x; kx++) {
                    const int column = first * stride_x + kx * dilation_x - pad_x, at = (z * in_y + row) * in_x + column;
                    if (column >= 0 && column + (length - 1) * stride_x < in_x) {
                        for (int j = 0; j < length; j++) sum[j] += LOAD(x, at + j * stride_x);
                    } else {
                        for (int j = 0; j < length; j++) {
                            if (INSIDE(column + j * stride_x, in_x)) sum[j] += LOAD(x, at + j * stride_x);
                        }
                    }
                }
            }
        }
        const long to = y_at + get_global_id(1) * OUT_PLANE + (oz * out_y + oy) * out_x + first;
        for (int j = 0; j < length; j++) STORE(y, to + j, sum[j] / DIVISOR(oz, oy, first + j));
    }
}

/* x = the sum of y over the windows that see an element, divided as window_sum divides. */
__kernel void window_spread(__global const S *y, long y_at, __global S *x, long x_at, int divide, WINDOW_PARAMETERS)
{
    const int iy = ROW(in_x) % in_y, iz = ROW(in_x) / in_y;
    if (iz >= in_z) return;
    y += y_at + get_global_id(1) * OUT_PLANE;
    EACH_RUN(first, in_x)
    {
        const int length = min(RUN, in_x - first), begin = FIRST_WINDOW, end = END_WINDOW;
        ACC sum[RUN];
        for (int j = 0; j < RUN; j++) sum[j] = 0;
        for (int kz = kernel_z - 1; kz >= 0; kz--) {
            const int oz = window_at(iz + pad_z - kz * dilation_z, stride_z, out_z);
            for (int ky = kernel_y - 1; oz >= 0 && ky >= 0; ky--) {
                const int oy = window_at(iy + pad_y - ky * dilation_y, stride_y, out_y);
                for (int ox = begin; oy >= 0 && ox < end; ox++) {
                    const ACC share = LOAD(y, (oz * out_y + oy) * out_x + ox) / DIVISOR(oz, oy, ox);
                    for (int kx = 0; kx < kernel_x; kx++) {
                        const int element = ox * stride_x + kx * dilation_x - pad_x - first;
                        if (element >= 0 && element < length) sum[element] += share;
                    }
                }
            }
        }
        const long to = x_at + get_global_id(1) * IN_PLANE + (iz * in_y + iy) * in_x + first;
        for (int j = 0; j < length; j++) STORE(x, to + j, sum[j]);
    }
}
