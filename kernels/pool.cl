/* Pooling over windows of images [planes, in], a plane being a channel of an image; results are [planes, out].  See window.clh for windows and
 * RUN.  Work-items, where a kernel says nothing else: rows (or elements, see RUN) of a plane of the result, planes. */
#include "common.clh"
#include "window.clh"

#define IS_NAN(x) ((x) != (x)) /* a macro, so that no compiler wonders about it where x is an integer */
#if S_TYPE == 1 || S_TYPE == 10 || S_TYPE == 11
#define NOTHING ((T)-INFINITY)
#else
#define NOTHING ((T)0)
#endif

/* Element `at` of a plane, counted with the last axis fastest, counted with the first axis fastest; and back. */
static int to_columns(int at, int in_z, int in_y, int in_x)
{
    return at / in_x / in_y + in_z * (at / in_x % in_y + in_y * (at % in_x));
}

static int from_columns(int at, int in_z, int in_y, int in_x)
{
    return (at % in_z * in_y + at / in_z % in_y) * in_x + at / in_z / in_y;
}

/* Taps of a window that begins at `start` that lie in an axis of the image: first_tap .. end_tap - 1. */
static int first_tap(int start, int dilation)
{
    return start >= 0 ? 0 : (dilation - 1 - start) / dilation;
}

static int end_tap(int start, int kernel_length, int dilation, int length)
{
    return start >= length ? 0 : min(kernel_length, (length - start + dilation - 1) / dilation);
}

/* True where v takes the place of the best so far: the first of the largest, NaN before all. */
#define IS_LARGER(v, best) (!((v) <= (best)) && !IS_NAN(best))

/* The largest element of a window of the plane x, and its place; -1 for a window that sees nothing. */
static int largest_of_window(__global const S *x, int oz, int oy, int ox, T *best, WINDOW_PARAMETERS)
{
    const int from_z = oz * stride_z - pad_z, from_y = oy * stride_y - pad_y, from_x = ox * stride_x - pad_x;
    int place = -1;
    *best = NOTHING;
    for (int kz = 0; kz < kernel_z; kz++) {
        for (int ky = 0; ky < kernel_y; ky++) {
            const int z = from_z + kz * dilation_z, row = from_y + ky * dilation_y;
            if (!INSIDE(z, in_z) || !INSIDE(row, in_y)) continue;
            for (int kx = 0; kx < kernel_x; kx++) {
                const int column = from_x + kx * dilation_x, at = (z * in_y + row) * in_x + column;
                if (!INSIDE(column, in_x)) continue;
                const T v = LOAD(x, at);
                if (place >= 0 && !IS_LARGER(v, *best)) continue;
                *best = v;
                place = at;
            }
        }
    }
    return place;
}

/* y = the largest element of each window, places: where it lies in x.  Work-items: elements of a plane of the result, planes. */
__kernel void max_pool(__global const S *x, long x_at, __global S *y, long y_at, __global long *places, long places_at, int columns_first,
                       WINDOW_PARAMETERS)
{
    const int at = get_global_id(0);
    if (at >= OUT_PLANE) return;
    const long plane = get_global_id(1) * IN_PLANE, to = get_global_id(1) * OUT_PLANE + at;
    T best;
    const int place = largest_of_window(x + x_at + plane, at / out_x / out_y, at / out_x % out_y, at % out_x, &best, WINDOW);
    STORE(y, y_at + to, best);
    if (places_at >= 0) places[places_at + to] = place < 0 ? -1 : plane + (columns_first ? to_columns(place, in_z, in_y, in_x) : place);
}

#ifndef SIDE
#define SIDE 0
#define STEP 1
#endif

/* How many taps of a window that begins at `start` lie in the image. */
static int taps_within(int start, int kernel_length, int dilation, int length)
{
    return max(0, end_tap(start, kernel_length, dilation, length) - first_tap(start, dilation));
}

/* ---- By vectors, for CPU devices: the largest of windows, or with SUM=1 their sums ------------------------------------------------- */

#ifndef SUM
#define SUM 0
#endif
#if RUN > 1
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define T16 CAT(T, 16)
#if S_TYPE == 11
#define MASK16 long16
#else
#define MASK16 int16
#endif
#if S_TYPE == 10
#define LOAD16(p) vload_half16(0, p)
#define STORE16(v, p) STORE_HALF16(p, 0, v)
#else
#define LOAD16(p) CAT(convert_, T16)(vload16(0, p))
#define STORE16(v, p) vstore16(CAT(convert_, CAT(S, 16))(v), 0, p)
#endif
/* JOINED: what stands for `so_far` and element v; EMPTY: for no element; GIVEN: what a window is given. */
#if SUM
#define EMPTY ((T)0)
#define JOINED(v, so_far) ((so_far) + (v))
#elif S_TYPE == 1 || S_TYPE == 10 || S_TYPE == 11
#define EMPTY ((T)-INFINITY)
#define GIVEN(joined) (joined)
#else
#define EMPTY ((T)INT_MIN) /* below all elements, which are bytes */
#define GIVEN(joined) select(joined, (T16)(0), joined == (T16)(EMPTY))
#endif
#if !SUM
#define JOINED(v, so_far) select(so_far, v, (MASK16)((v) > (so_far) || IS_NAN(v)))
#endif
#define COUNT16 ((int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#define LINE 1024 /* columns of the image that are gone through at a time; as in plugins/pool.c */

static T16 every(const T *line, int stride)
{
    T each[16];
    if (stride == 1) return vload16(0, line);
    if (stride == 2) return (T16)(vload16(0, line).even, vload16(0, line + 16).even);
    for (int j = 0; j < 16; j++) each[j] = line[j * stride];
    return vload16(0, each);
}

static T16 every_of_image(__global const S *x, int stride)
{
    T each[16];
    if (stride == 1) return LOAD16(x);
    if (stride == 2) return (T16)(LOAD16(x).even, LOAD16(x + 16).even);
    for (int j = 0; j < 16; j++) each[j] = LOAD(x, j * stride);
    return vload16(0, each);
}

/* Rows of the image that a row of windows sees: taps of each axis, and where the first tap of all would lie. */
typedef struct {
    int first_z, end_z, first_y, end_y, at;
} seen_rows;

/* line[i] = what column `column + i` of the image has in the rows seen, joined, for i < span and up to 15 more; EMPTY outside.  At
   most `readable` elements of x are there. */
static void join_columns(T *line, int span, __global const S *x, long readable, int column, const seen_rows *rows, int step_z, int step_y,
                         int in_x)
{
    const int first = clamp(-column, 0, span), end = clamp(in_x - column, first, span);
    for (int i = 0; i < first; i++) line[i] = EMPTY;
    for (int i = first; i < end; i += 16) {
        T16 joined = EMPTY;
        for (int kz = rows->first_z; kz < rows->end_z; kz++) {
            for (int ky = rows->first_y; ky < rows->end_y; ky++) {
                const int at = rows->at + kz * step_z + ky * step_y + column + i;
                T16 v;
                if (at + 16 <= readable) {
                    v = LOAD16(x + at);
                } else {
                    T each[16];
                    for (int j = 0; j < 16; j++) each[j] = at + j < readable ? LOAD(x, at + j) : EMPTY;
                    v = vload16(0, each);
                }
                joined = JOINED(v, joined);
            }
        }
        vstore16(joined, 0, line + i);
    }
    for (int i = end; i < span; i += 16) vstore16((T16)(EMPTY), 0, line + i);
}

/* Sixteen windows that lie in x, each joined, the first window's first tap in column `column`. */
static T16 joined_inside(__global const S *x, int column, const seen_rows *rows, int step_z, int step_y, int kernel_x, int stride_x,
                         int dilation_x)
{
    T16 joined = EMPTY;
    for (int kz = rows->first_z; kz < rows->end_z; kz++) {
        for (int ky = rows->first_y; ky < rows->end_y; ky++) {
            for (int kx = 0; kx < kernel_x; kx++) {
                const T16 v = every_of_image(x + rows->at + kz * step_z + ky * step_y + column + kx * dilation_x, stride_x);
                joined = JOINED(v, joined);
            }
        }
    }
    return joined;
}

static T16 joined_of_line(const T *line, int kernel_x, int stride_x, int dilation_x)
{
    T16 joined = every(line, stride_x);
    for (int kx = 1; kx < kernel_x; kx++) {
        const T16 v = every(line + kx * dilation_x, stride_x);
        joined = JOINED(v, joined);
    }
    return joined;
}

/* Places of sixteen windows' largest elements `most`, the first window's first tap in column `column`: the first tap that is as large, sought
   from behind. */
static int16 places_of(T16 most, __global const S *x, int column, const seen_rows *rows, int step_z, int step_y, int in_x, int kernel_x,
                       int stride_x, int dilation_x)
{
    int16 place = -1;
    for (int kz = rows->end_z - 1; kz >= rows->first_z; kz--) {
        for (int ky = rows->end_y - 1; ky >= rows->first_y; ky--) {
            const int row = rows->at + kz * step_z + ky * step_y;
            for (int kx = kernel_x - 1; kx >= 0; kx--) {
                const int first = column + kx * dilation_x;
                const int16 columns = first + COUNT16 * stride_x;
                const T16 v = every_of_image(x + row + first, stride_x);
                const MASK16 same = v == most || IS_NAN(v);
                place = select(place, row + columns, convert_int16(same) && columns >= 0 && columns < in_x);
            }
        }
    }
    return place;
}

/* The first `length` of v to p + at, or all, where what is behind will be stored afterwards. */
static void store_windows(__global S *p, long at, T16 v, int length, bool all)
{
    T each[16];
    if (all) {
        STORE16(v, p + at);
        return;
    }
    vstore16(v, 0, each);
    for (int j = 0; j < length; j++) STORE(p, at + j, each[j]);
}

static void store_places(__global long *places, long at, int16 place, int length, bool all, long plane, int columns_first, int in_z,
                         int in_y, int in_x)
{
    int each[16];
    if (all && !columns_first) {
        vstore16(convert_long16(place) + (convert_long16(place >= 0) & plane), 0, places + at);
        return;
    }
    vstore16(place, 0, each);
    for (int j = 0; j < length; j++)
        places[at + j] = each[j] < 0 ? -1 : plane + (columns_first ? to_columns(each[j], in_z, in_y, in_x) : each[j]);
}

#if SUM
/* What the sums of sixteen windows are divided by, as DIVISOR below has it. */
static T16 divisors(int divide, const seen_rows *rows, int column, int in_x, int taps, int kernel_x, int stride_x, int dilation_x)
{
    if (divide != 1) return (T16)(divide == 0 ? 1 : taps);
    const int16 start = column + COUNT16 * stride_x;
    const int16 seen = min((in_x - start + dilation_x - 1) / dilation_x, kernel_x) - max((dilation_x - 1 - start) / dilation_x, 0);
    const int lines = max(rows->end_z - rows->first_z, 0) * max(rows->end_y - rows->first_y, 0);
    return CAT(convert_, T16)(max(max(seen, 0) * lines, 1));
}
#define GIVEN(joined) ((joined) / divisors(divide, &rows, column, in_x, TAPS, kernel_x, stride_x, dilation_x))
#endif

/* One row of windows from window `to` of all on, the last that this work-item stores being `end` - 1; x begins its plane.  Where windows
   overlap, columns are joined first, so that windows share this work. */
static void pool_row(__global const S *x, long readable, __global S *y, __global long *places, bool wants_places, int columns_first,
                     int divide, long plane, int oz, int oy, long to, long end, T *line, WINDOW_PARAMETERS)
{
    const int z = oz * stride_z - pad_z, from_y = oy * stride_y - pad_y, reach = (kernel_x - 1) * dilation_x;
    const int step_z = dilation_z * in_y * in_x, step_y = dilation_y * in_x;
    const seen_rows rows = { first_tap(z, dilation_z), end_tap(z, kernel_z, dilation_z, in_z), first_tap(from_y, dilation_y),
                             end_tap(from_y, kernel_y, dilation_y, in_y), (z * in_y + from_y) * in_x };
    const int first_row = rows.at + rows.first_z * step_z + rows.first_y * step_y;
    const int last_row = rows.at + (rows.end_z - 1) * step_z + (rows.end_y - 1) * step_y;
    /* Windows that share nothing are read from the image, where they lie in it and vectors do not reach over its end. */
    const bool direct = reach < stride_x && pad_x <= 0 && (out_x - 1) * stride_x - pad_x + reach < in_x &&
                        last_row + (out_x + 15) / 16 * 16 * stride_x - pad_x + reach <= readable;
    /* Windows at a time, whose columns fill the line. */
    const int some = max(16, (LINE - reach) / stride_x / 16 * 16);
    for (int first = 0; first < out_x; first += some) {
        const int count = min(some, out_x - first);
        if (!direct)
            join_columns(line, (count - 1) * stride_x + reach + 1, x, readable, first * stride_x - pad_x, &rows, step_z, step_y, in_x);
        for (int j = 0; j < count; j += 16) {
            const long at = to + first + j;
            const int length = min(16, count - j), column = (first + j) * stride_x - pad_x;
            const bool all = length == 16 || at + 16 <= end;
            const T16 joined = direct ? joined_inside(x, column, &rows, step_z, step_y, kernel_x, stride_x, dilation_x)
                                      : joined_of_line(line + j * stride_x, kernel_x, stride_x, dilation_x);
            store_windows(y, at, GIVEN(joined), length, all);
            if (!wants_places) continue;
            if (plane + first_row + column >= 0 && last_row + column + reach + 16 * stride_x <= readable) {
                const int16 place = places_of(joined, x, column, &rows, step_z, step_y, in_x, kernel_x, stride_x, dilation_x);
                store_places(places, at, place, length, all, plane, columns_first, in_z, in_y, in_x);
                continue;
            }
            for (int l = 0; l < length; l++) {
                T best;
                const int place = largest_of_window(x, oz, oy, first + j + l, &best, WINDOW);
                places[at + l] = place < 0 ? -1 : plane + (columns_first ? to_columns(place, in_z, in_y, in_x) : place);
            }
        }
    }
}

/* As max_pool, or with SUM as window_sum, which has no places.  Work-items: item_rows rows of windows each, counted through all planes.  16 windows
   are within LINE columns.  SIDE > 0: windows are SIDE x SIDE neighbours, STEP apart, of images of two axes; their loops are unrolled. */
__kernel void pool_rows(__global const S *x, long x_at, __global S *y, long y_at, __global long *places, long places_at, int columns_first,
                        int divide, long planes, long item_rows, WINDOW_PARAMETERS)
{
#if SIDE > 0
    in_z = out_z = kernel_z = stride_z = dilation_z = dilation_y = dilation_x = 1;
    pad_z = 0;
    kernel_y = kernel_x = SIDE;
    stride_y = stride_x = STEP;
#endif
    const int plane_rows = out_z * out_y;
    const long begin = get_global_id(0) * item_rows, end = min(begin + item_rows, planes * plane_rows);
    T line[LINE + 16]; /* vectors reach over the last window */
    long plane = begin / plane_rows * IN_PLANE;
    int oz = begin % plane_rows / out_y, oy = begin % out_y;
    x += x_at;
    y += y_at;
    if (places_at >= 0) places += places_at;
    for (long row = begin; row < end; row++) {
        pool_row(x + plane, planes * IN_PLANE - plane, y, places, !SUM && places_at >= 0, columns_first, divide, plane, oz, oy, row * out_x,
                 end * out_x, line, WINDOW);
        if (++oy < out_y) continue;
        oy = 0;
        if (++oz < out_z) continue;
        oz = 0;
        plane += IN_PLANE;
    }
}

/* dx = the sum of g over the windows whose largest element it is, in their order: as max_pool_backward, a work-item going through the windows
   of item_planes planes, which are its own.  apart: no two windows share an element. */
__kernel void max_pool_scatter(__global const S *g, long g_at, __global const long *places, long places_at, __global S *dx, long dx_at,
                               int columns_first, int apart, long planes, long item_planes, int in_z, int in_y, int in_x, int windows)
{
    const long begin = get_global_id(0) * item_planes, end = min(begin + item_planes, planes);
    g += g_at;
    places += places_at;
    dx += dx_at;
    for (long i = begin; i < end; i++) {
        const long plane = i * IN_PLANE;
        int at = 0;
        for (; at + 16 <= IN_PLANE; at += 16) STORE16((T16)(0), dx + plane + at);
        for (; at < IN_PLANE; at++) STORE(dx, plane + at, (T)0);
        for (long window = i * windows; window < (i + 1) * windows; window++) {
            long place = places[window];
            if (place < 0) continue;
            if (columns_first) place = plane + from_columns((int)(place - plane), in_z, in_y, in_x);
            STORE(dx, place, apart ? LOAD(g, window) : LOAD(dx, place) + LOAD(g, window));
        }
    }
}
#endif

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
                    const long element = (columns_first ? from_columns((int)place, in_z, in_y, in_x) : place) - at;
                    if (element >= 0 && element < length) sum[element] += LOAD(g, g_at + windows + ox);
                }
            }
        }
        for (int j = 0; j < length; j++) STORE(dx, dx_at + plane + at + j, sum[j]);
    }
}

/* What a window's sum is divided by: 1; with divide 1 its elements in the image (1 where there is none); with divide 2 all its elements. */
#define DIVISOR(oz, oy, ox) \
    (divide == 0   ? 1 \
     : divide == 2 ? TAPS \
                   : max(1, taps_within((oz)*stride_z - pad_z, kernel_z, dilation_z, in_z) * \
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
__kernel NARROW void window_spread(__global const S *y, long y_at, __global S *x, long x_at, int divide, WINDOW_PARAMETERS)
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

#if RUN > 1
#define SPAN 256 /* columns of the image that are made at a time */

/* The same by rows, for CPU devices.  What the windows of each column hand out is added up over the rows that see this row of the image, so that windows
   share this work, and then spread along x.  A window reaches over at most LINE columns.  Work-items: item_rows rows of the image each, counted
   through all planes. */
__kernel void spread_rows(__global const S *y, long y_at, __global S *x, long x_at, int divide, long planes, long item_rows,
                          WINDOW_PARAMETERS)
{
    const int reach = (kernel_x - 1) * dilation_x, plane_rows = in_z * in_y;
    const long first_row = get_global_id(0) * item_rows, end_row = min(first_row + item_rows, planes * plane_rows);
    T line[SPAN + LINE], sum[SPAN];
    for (long row = first_row; row < end_row; row++) {
        const int iz = row % plane_rows / in_y, iy = row % in_y;
        __global const S *from = y + y_at + row / plane_rows * OUT_PLANE;
        for (int first = 0; first < in_x; first += SPAN) {
            const int length = min(SPAN, in_x - first), begin = max(0, (first + pad_x - reach + stride_x - 1) / stride_x);
            const int end = min(out_x, (first + length - 1 + pad_x) / stride_x + 1);
            for (int i = 0; i < end - begin; i++) line[i] = 0;
            for (int kz = kernel_z - 1; kz >= 0; kz--) {
                const int oz = window_at(iz + pad_z - kz * dilation_z, stride_z, out_z);
                for (int ky = kernel_y - 1; oz >= 0 && ky >= 0; ky--) {
                    const int oy = window_at(iy + pad_y - ky * dilation_y, stride_y, out_y);
                    if (oy < 0) continue;
                    const T lines = divide != 1 ? 1
                                                : taps_within(oz * stride_z - pad_z, kernel_z, dilation_z, in_z) *
                                                      taps_within(oy * stride_y - pad_y, kernel_y, dilation_y, in_y);
                    const int at = (oz * out_y + oy) * out_x + begin;
                    for (int i = 0; i < end - begin; i++) line[i] += LOAD(from, at + i) / lines;
                }
            }
            for (int i = 0; divide != 0 && i < end - begin; i++) {
                const int start = (begin + i) * stride_x - pad_x;
                const bool whole = start >= 0 && start + reach < in_x;
                line[i] /= divide == 2 ? TAPS : whole ? kernel_x : max(1, taps_within(start, kernel_x, dilation_x, in_x));
            }
            for (int j = 0; j < length; j++) sum[j] = 0;
            for (int kx = kernel_x - 1; kx >= 0; kx--) {
                const int shift = kx * dilation_x - pad_x - first; /* window ox reaches element ox * stride_x + shift of the span */
                const int from_window = max(begin, max(0, stride_x - 1 - shift) / stride_x);
                const int to_window = shift >= length ? from_window : min(end, (length - 1 - shift) / stride_x + 1);
                if (stride_x == 1) {
                    for (int ox = from_window; ox < to_window; ox++) sum[ox + shift] += line[ox - begin];
                } else {
                    for (int ox = from_window; ox < to_window; ox++) sum[ox * stride_x + shift] += line[ox - begin];
                }
            }
            for (int j = 0; j < length; j++) STORE(x, x_at + row * in_x + first + j, sum[j]);
        }
    }
}
#endif
