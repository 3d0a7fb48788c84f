/* Matrix products with the patches of images in groups, of few channels and maps each, on CPU devices: depthwise and grouped convolution, and their
 * gradients by the filters.  runtime/device/gemm_direct.c records them.  Such products read each image once or twice for all that they compute of it, so
 * that what counts is one pass over memory: a work-item goes through planes (an image's channels of a group), a band at a time, and multiplies a copy in its
 * nearest cache (planes.clh).  Of channels that lie in blocks it needs no copy.
 * Element types as in common.clh; sums are kept in T, in a fixed order.  Sizes are int; all buffers are one scratch buffer of bytes, in which `at` are
 * byte offsets. */
#include "common.clh"
#include "window.clh"

#ifndef MR
#define MR 1
#endif
#ifndef NV
#define NV 1
#endif
#ifndef BLOCK
#define BLOCK 16
#endif
#include "vector.clh"

#include "planes.clh"

#include "tail.clh"

#define SCRATCH __global uchar *scratch, long scratch_tensor
#define PART(type, at) ((__global type *)(scratch + scratch_tensor + (at)))

/* ---- c = a patches ------------------------------------------------------------------------------------------------------------------ */

/* Filters of a group as they are computed with, [panels, k, MR]; rows beyond m are 0. */
static void pack_filters(__global T *to, __global const S *a, long a_row, long a_column, int m, int k)
{
    for (int first = 0; first < m; first += MR) {
        for (int p = 0; p < k; p++) {
            for (int r = 0; r < MR; r++) *to++ = first + r < m ? LOAD(a, (first + r) * a_row + p * a_column) : 0;
        }
    }
}

#define MULTIPLY_ROW(r) \
    { \
        const V factor = (V)(filters[p * MR + r]); \
        EACH_VECTOR(MULTIPLY_ONE, r) \
    }
#define LOAD_SEEN(v) const V b##v = VPEEK(seen + v * VN);
#define KEEP_ONE(r, v) VPOKE(sums + r * step + v * VN, SUM(r, v) * (V)(alpha));
#define KEEP_ROW(r) EACH_VECTOR(KEEP_ONE, r)

/* sums [MR, step] = alpha filters' [k, MR] times what taps see of elements 0 .. count - 1 of a sheet, and of those up to the end of the last vectors. */
static void sum_windows(__global T *restrict sums, int step, __global const T *restrict filters, __global const int *restrict places,
                        __global const T *restrict copy, int k, int count, T alpha)
{
    for (int first = 0; first < count; first += NV * VN, sums += NV * VN, copy += NV * VN) {
        EACH_ROW(DECLARE)
        for (int p = 0; p < k; p++) {
            __global const T *seen = copy + places[p];
            EACH_LOAD(LOAD_SEEN)
            EACH_ROW(MULTIPLY_ROW)
        }
        EACH_ROW(KEEP_ROW)
    }
}

/* A row of windows into c. */
static void store_row(__global S *restrict c, __global const T *restrict sums, int count, REAL beta)
{
    int i = 0;
    if (beta != 0) {
        for (; i < count; i++) STORE(c, i, (T)(sums[i] + beta * LOAD(c, i)));
        return;
    }
    for (; i + VN <= count; i += VN) VSTORE(c, i, VPEEK(sums + i));
    if (count >= VN) {
        if (i < count) VSTORE(c, count - VN, VPEEK(sums + count - VN));
        return;
    }
    for (; i + 4 <= count; i += 4) STORE4(c, i, vload4(0, sums + i));
    if (count >= 4) {
        if (i < count) STORE4(c, count - 4, vload4(0, sums + count - 4));
        return;
    }
    for (; i < count; i++) STORE(c, i, sums[i]);
}

/* Work-items: runs of item_units units: an image's band of band_slices slices of windows, of out_z, in run_groups groups.  What is done for one plane after
   the other in each step reads no memory that was just written in other pieces, which processors wait for.  x [images, groups, channels, in].  A work-item
   has item_bytes of scratch: filters, places from places_at on, sums from sums_at on, [rows of filters, sums_step], and from copy_at on copies of channels
   of copy_step elements. */
__kernel void direct_windows(__global S *c, long c_tensor, long c_offset, long c_batch, long c_row, __global const S *x, long x_tensor,
                             long x_offset, __global const S *a, long a_tensor, long a_offset, long a_batch, long a_row, long a_column,
                             SCRATCH, long item_bytes, long places_at, long sums_at, long copy_at, int sums_step, int copy_step, int groups,
                             int run_groups, int channels, int m, int k, int units, int item_units, int bands, int band_slices,
                             WINDOW_PARAMETERS, REAL alpha, REAL beta TAIL_PARAMS)
{
    const int first_unit = get_global_id(0) * item_units, runs = (groups + run_groups - 1) / run_groups, rows = (m + MR - 1) / MR * MR,
              pitch = SHEET(x, out_x), plane_rows = SHEET(y, out_y), slices = SHEET(z, band_slices);
    const long own = get_global_id(0) * item_bytes;
    __global T *filters = PART(T, own), *sums = PART(T, own + sums_at), *copy = PART(T, own + copy_at);
    __global int *places = PART(int, own + places_at);
    for (int p = 0; p < k; p++) {
        const int tap = p % TAPS, at_z = tap / (kernel_y * kernel_x) * dilation_z, at_y = tap / kernel_x % kernel_y * dilation_y,
                  at_x = tap % kernel_x * dilation_x;
        const int sheet = (at_z % SEEN(z) * SEEN(y) + at_y % SEEN(y)) * SEEN(x) + at_x % SEEN(x);
        places[p] = p / TAPS * copy_step + ((sheet * slices + at_z / SEEN(z)) * plane_rows + at_y / SEEN(y)) * pitch + at_x / SEEN(x);
    }
    int bordered = 0; /* groups whose copies have zeros around them */
    for (int unit = first_unit; unit < min(first_unit + item_units, units); unit++) {
        const int image = unit / bands / runs, group = unit / bands % runs * run_groups, some_groups = min(run_groups, groups - group),
                  first = unit % bands * band_slices, some = min(band_slices, out_z - first);
        const long plane = (long)image * groups + group;
        copy_planes(copy, copy_step, x + x_tensor + x_offset + plane * channels * IN_PLANE, some_groups * channels,
                    bands > 1 || some_groups > bordered, first, slices, plane_rows, pitch, SEEN(y), 1, SEEN(x), 1, WINDOW);
        bordered = max(bordered, some_groups);
        for (int i = 0; i < some_groups; i++)
            pack_filters(filters + i * rows * k, a + a_tensor + a_offset + (group + i) * a_batch, a_row, a_column, m, k);
        for (int row = 0; row < some_groups * rows; row += MR) {
            sum_windows(sums + row * sums_step, sums_step, filters + row * k, places, copy + row / rows * channels * copy_step, k,
                        ((some - 1) * plane_rows + out_y - 1) * pitch + out_x, alpha);
        }
        for (int i = 0; i < some_groups; i++) {
            for (int map = 0; map < m; map++) {
                __global S *result = c + c_tensor + c_offset + (plane + i) * c_batch + map * c_row + first * out_y * out_x;
                __global const T *from = sums + (i * rows + map) * sums_step;
                for (int z = 0; z < some; z++) {
                    for (int y = 0; y < out_y; y++, result += out_x) store_row(result, from + (z * plane_rows + y) * pitch, out_x, beta);
                }
            }
        }
        STORED(image, group * m, (group + some_groups) * m, first * out_y * out_x, (first + some) * out_y * out_x)
    }
}

/* ---- c = sum of a patches' ------------------------------------------------------------------------------------------------------------ */

#if S_TYPE == 11
#define MASK long8
#define LANES_OF_V ((long8)(0, 1, 2, 3, 4, 5, 6, 7))
#else
#define MASK int16
#define LANES_OF_V ((int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#endif

#define SEEN_BY(r) __global const T *restrict seen##r = copy + places[min(r, taps - 1)];
#define ADD_SEEN(r) SUM(r, 0) += map * VPEEK(seen##r + i);
#define ADD_PART(r) SUM(r, 0) += map * select((V)(0), VPEEK(seen##r + i), inside);
#define ADD_UP(r) \
    if (r < taps) VPOKE(sums + r * VN, (add ? VPEEK(sums + r * VN) : (V)(0)) + SUM(r, 0));

/* sums [taps, VN] of what up to MR taps see of `count` windows times a map's elements there; add: to what is there. */
static void sum_taps(__global T *restrict sums, bool add, __global const int *restrict places, int taps, __global const T *restrict copy,
                     __global const S *restrict maps, int count)
{
    int i = 0;
    EACH_ROW(SEEN_BY)
    EACH_ROW(DECLARE)
    for (; i + VN <= count; i += VN) {
        const V map = VLOAD(maps, i);
        EACH_ROW(ADD_SEEN)
    }
    if (i < count) {
        const MASK inside = LANES_OF_V < (MASK)(count - i);
        const V map = load_part(maps, i, count - i, 0);
        EACH_ROW(ADD_PART)
    }
    EACH_ROW(ADD_UP)
}

/* Sums [parts, groups, m, k].  Work-items: runs of item_units units: run_groups groups of a part, which has part_images images.  A copy of a channel has sheets
   for all taps along y and x, as long as out_y and out_x, so that windows lie as in a.  A work-item has item_bytes of scratch, from items_at on: places,
   sums of vectors from sums_at on, and from copy_at on copies of channels of copy_step elements. */
__kernel void direct_filters(SCRATCH, long parts_at, long items_at, long item_bytes, long sums_at, long copy_at, __global const S *x,
                             long x_tensor, long x_offset, __global const S *a, long a_tensor, long a_offset, long a_batch, long a_row,
                             int copy_step, int groups, int run_groups, int channels, int m, int k, int units, int item_units, int images,
                             int part_images, int band_slices, WINDOW_PARAMETERS)
{
    const int first_unit = get_global_id(0) * item_units, runs = (groups + run_groups - 1) / run_groups, slices = SHEET(z, band_slices);
    const long own = items_at + get_global_id(0) * item_bytes;
    __global int *places = PART(int, own);
    __global T *sums = PART(T, own + sums_at), *copy = PART(T, own + copy_at);
    for (int p = 0; p < k; p++) {
        const int tap = p % TAPS, at_z = tap / (kernel_y * kernel_x) * dilation_z;
        const int sheet = at_z % SEEN(z) * kernel_y * kernel_x + tap % (kernel_y * kernel_x);
        places[p] = p / TAPS * copy_step + (sheet * slices + at_z / SEEN(z)) * out_y * out_x;
    }
    int bordered = 0; /* groups whose copies have zeros around them */
    for (int unit = first_unit; unit < min(first_unit + item_units, units); unit++) {
        const int group = unit % runs * run_groups, some_groups = min(run_groups, groups - group), first_image = unit / runs * part_images,
                  end = min(first_image + part_images, images);
        for (int image = first_image; image < end; image++) {
            const long plane = (long)image * groups + group;
            for (int first = 0; first < out_z; first += band_slices) {
                const int count = min(band_slices, out_z - first) * out_y * out_x;
                const bool add = image > first_image || first > 0;
                copy_planes(copy, copy_step, x + x_tensor + x_offset + plane * channels * IN_PLANE, some_groups * channels,
                            band_slices < out_z || some_groups > bordered, first, slices, out_y, out_x, kernel_y, dilation_y, kernel_x,
                            dilation_x, WINDOW);
                bordered = max(bordered, some_groups);
                for (int row = 0; row < some_groups * m; row++) {
                    for (int p = 0; p < k; p += MR) {
                        sum_taps(sums + (row * k + p) * VN, add, places + p, min(MR, k - p), copy + row / m * channels * copy_step,
                                 a + a_tensor + a_offset + (plane + row / m) * a_batch + row % m * a_row + (long)first * out_y * out_x,
                                 count);
                    }
                }
            }
        }
        __global T *part = PART(T, parts_at) + ((long)(unit / runs) * groups + group) * m * k;
        for (int i = 0; i < some_groups * m * k; i++) part[i] = vector_sum(VPEEK(sums + i * VN));
    }
}

/* c = alpha sum of all parts + beta c.  Work-items: rows of all groups. */
__kernel void direct_sum(__global S *c, long c_tensor, long c_offset, long c_batch, long c_row, SCRATCH, long parts_at, int groups, int m,
                         int k, int parts, REAL alpha, REAL beta TAIL_PARAMS)
{
    const int row = get_global_id(0);
    __global const T *sums = PART(T, parts_at) + (long)row * k;
    c += c_tensor + c_offset + row / m * c_batch + row % m * c_row;
    for (int p = 0; p < k; p++) {
        T sum = 0;
        for (int part = 0; part < parts; part++) sum += sums[(long)part * groups * m * k + p];
        sum = (T)(alpha * sum);
        if (beta != 0) sum += (T)(beta * LOAD(c, p));
        STORE(c, p, sum);
    }
    STORED(0, row, row + 1, 0, k)
}

/* ---- c = a patches of channels in blocks, each by itself ------------------------------------------------------------------------------- */

/* Narrow windows are known when this is compiled: what neighbouring ones see of a row is loaded once then. */
#ifdef KERNEL_X
#define UNROLL_TAPS _Pragma("unroll")
#else
#define UNROLL_TAPS
#define KERNEL_X kernel_x
#define STRIDE_X stride_x
#define DILATION_X dilation_x
#endif

/* A pixel's block of channels is one vector here, so that neither strides nor borders stand in the way of vectors along rows: nothing is copied. */
#define JOINED(a, b) a##b
#define NAMED(a, b) JOINED(a, b)
#define BV NAMED(T, BLOCK)
#define BPEEK(p) NAMED(vload, BLOCK)(0, (p))
#define BPOKE(p, v) NAMED(vstore, BLOCK)((v), 0, (p))
#if S_TYPE == 10
#define BLOAD(p) NAMED(vload_half, BLOCK)(0, (p))
#else
#define BLOAD(p) BPEEK(p)
#endif

/* filters [taps, BLOCK] of a block's channels. */
static void pack_block(__global T *to, __global const S *a, long a_channel, long a_tap, int taps)
{
    for (int tap = 0; tap < taps; tap++) {
        for (int i = 0; i < BLOCK; i++) *to++ = LOAD(a, i * a_channel + tap * a_tap);
    }
}

static void store_block(__global S *c, BV v, REAL beta)
{
#if S_TYPE == 10
    T line[BLOCK];
    BPOKE(line, v);
    for (int i = 0; i < BLOCK; i++) STORE(c, i, beta != 0 ? line[i] + beta * LOAD(c, i) : line[i]);
#else
    BPOKE(c, beta != 0 ? v + (BV)(beta)*BPEEK(c) : v);
#endif
}

#define DECLARE_WINDOW(r) BV SUM(r, 0) = 0;
#define ADD_INSIDE(r) SUM(r, 0) += factor * BLOAD(seen + (column + r * STRIDE_X) * BLOCK);
#define ADD_BORDER(r) SUM(r, 0) += factor * BLOAD(INSIDE(first + column + r * STRIDE_X, in_x) ? seen + (column + r * STRIDE_X) * BLOCK : zeros);
#define STORE_WINDOW(r) store_block(c + r * BLOCK, SUM(r, 0) * (BV)(alpha), beta);
/* SUMs of what row (z, y) of the image and the windows along it have in common. */
#define SUM_TAPS(ADD) \
    for (int tap_z = 0; tap_z < kernel_z; tap_z++) { \
        const int at_z = z + tap_z * dilation_z; \
        if (!INSIDE(at_z, in_z)) continue; \
        for (int tap_y = 0; tap_y < kernel_y; tap_y++) { \
            const int at_y = y + tap_y * dilation_y; \
            if (!INSIDE(at_y, in_y)) continue; \
            __global const T *filter = filters + (tap_z * kernel_y + tap_y) * KERNEL_X * BLOCK; \
            __global const S *seen = x + ((at_z * in_y + at_y) * in_x + first) * BLOCK; \
            UNROLL_TAPS \
            for (int tap = 0; tap < KERNEL_X; tap++) { \
                const int column = tap * DILATION_X; \
                const BV factor = BPEEK(filter + tap * BLOCK); \
                EACH_ROW(ADD) \
            } \
        } \
    }

/* MR neighbouring windows, the first of which begins in the image, a block's, at (z, y, first).  What it sees beyond columns is `zeros`. */
static void store_windows(__global S *restrict c, __global const S *restrict x, __global const T *restrict filters,
                          __global const S *restrict zeros, int z, int y, int first, REAL alpha, REAL beta, WINDOW_PARAMETERS)
{
    EACH_ROW(DECLARE_WINDOW)
    if (first >= 0 && first + (MR - 1) * STRIDE_X + (KERNEL_X - 1) * DILATION_X < in_x) {
        SUM_TAPS(ADD_INSIDE)
    } else {
        SUM_TAPS(ADD_BORDER)
    }
    EACH_ROW(STORE_WINDOW)
}

/* c [planes, out, BLOCK] of x [planes, in, BLOCK], planes being [images, blocks].  Work-items: as many rows of windows of all planes as any other, a band of
   band_rows at a time.  A work-item has item_bytes of scratch: filters, and from zeros_at on a block of zeros.  Where a row does not end with a tile, the last
   begins before the one before it ends: MR is at most out_x, and 1 where beta is not 0. */
__kernel void direct_blocks(__global S *c, long c_tensor, long c_offset, __global const S *x, long x_tensor, long x_offset,
                            __global const S *a, long a_tensor, long a_offset, long a_channel, long a_tap, SCRATCH, long item_bytes,
                            long zeros_at, long rows, int items, int blocks, int band_rows, WINDOW_PARAMETERS, REAL alpha, REAL beta TAIL_PARAMS)
{
    const int item = get_global_id(0), plane_rows = out_z * out_y;
    const long own = item * item_bytes, end = rows * (item + 1) / items;
    __global T *filters = PART(T, own);
    __global S *zeros = PART(S, own + zeros_at);
    int packed = -1, some;
    for (int i = 0; i < BLOCK; i++) STORE(zeros, i, 0);
    for (long row = rows * item / items; row < end; row += some) {
        const int plane = row / plane_rows, block = plane % blocks, first = row % plane_rows;
        some = min(min(plane_rows - first, band_rows), (int)min(end - row, (long)band_rows));
        if (block != packed) pack_block(filters, a + a_tensor + a_offset + block * BLOCK * a_channel, a_channel, a_tap, TAPS);
        packed = block;
        for (int i = first; i < first + some; i++) {
            __global S *result = c + c_tensor + c_offset + ((long)plane * plane_rows + i) * out_x * BLOCK;
            for (int window = 0; window < out_x; window += MR) {
                const int from = min(window, out_x - MR);
                store_windows(result + from * BLOCK, x + x_tensor + x_offset + plane * IN_PLANE * BLOCK, filters, zeros,
                              i / out_y * stride_z - pad_z, i % out_y * stride_y - pad_y, from * stride_x - pad_x, alpha, beta, WINDOW);
            }
        }
        STORED(plane, first * out_x, (first + some) * out_x, 0, BLOCK)
    }
}
