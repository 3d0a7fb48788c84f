/* Convolutions with 3 x 3 or 5 x 5 filters, of strides and dilations 1, on CPU devices with fewer multiplications: Winograd's minimal filtering
 * over the points 0, 1, -1, 2, -2 and infinity (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015).
 * runtime/device/gemm_winograd.c records it.
 *
 * Images are cut into squares of SIDE x SIDE elements that overlap, each for OUT x OUT windows, OUT = SIDE + 1 - FILTER.  Squares and filters
 * are transformed to SIDE x SIDE points, at each of which sums over channels are products of matrices:
 *   filters  [panels of LANES maps, points, channels, LANES]           winograd_filters: in the order that they are read in
 *   squares  [points, squares, channels, padded to whole vectors]
 *   sums     [points, squares, LANES], of one panel of maps
 * and what is back-transformed are the windows.  Lanes are channels, then maps; both need images with those side by side (`turn_in`, `turn_out`), as they
 * are where the image's channels or the result's rows lie in blocks of VW: X_BLOCKS and C_BLOCKS are 1 then.
 * A work-item has room of its own for squares and sums, and goes through blocks of rows of squares with some or all panels.
 * Sums are kept in float, in a fixed order.  Sizes are int; all buffers are one scratch buffer of bytes, in which `at` are byte offsets, but for filters
 * that were transformed once for many products. */
#include "common.clh"
#include "tail.clh"

#ifndef VW
#define VW 8
#endif
#ifndef NV
#define NV 2
#endif
#ifndef X_BLOCKS
#define X_BLOCKS 0
#endif
#ifndef C_BLOCKS
#define C_BLOCKS 0
#endif
#ifndef FILTER
#define FILTER 3
#endif
#define SIDE 6
#define POINTS (SIDE * SIDE)
#define OUT (SIDE + 1 - FILTER)
#define LANES (NV * VW)
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define V CAT(T, VW)
#define T4 CAT(T, 4)
#define VLOAD(p) CAT(vload, VW)(0, p)
#define VSTORE(v, p) CAT(vstore, VW)(v, 0, p)

#define SCRATCH __global uchar *scratch, long scratch_tensor
#define PART(at) ((__global T *)(scratch + scratch_tensor + (at)))

/* ---- Filters ----------------------------------------------------------------------------------------------------------------------- */

/* The filter's polynomial at each point, divided by the product of the point's distances from the others. */
inline void filter_points(const V *g, V *at)
{
    V even = g[0] + g[2], odd = g[1], even2 = g[0] + 4 * g[2], odd2 = 2 * g[1];
#if FILTER == 5
    even += g[4];
    odd += g[3];
    even2 += 16 * g[4];
    odd2 += 8 * g[3];
#endif
    at[0] = g[0] * (T)(1.0 / 4);
    at[1] = (even + odd) * (T)(-1.0 / 6);
    at[2] = (even - odd) * (T)(-1.0 / 6);
    at[3] = (even2 + odd2) * (T)(1.0 / 24);
    at[4] = (even2 - odd2) * (T)(1.0 / 24);
    at[5] = g[FILTER - 1];
}

/* Work-items: channels, vectors of maps in whole panels; those beyond m repeat the last. */
__kernel void winograd_filters(__global const S *a, long a_tensor, long a_offset, long a_row, SCRATCH, long at, int m)
{
    const int channel = get_global_id(0), channels = get_global_size(0), first = get_global_id(1) * VW;
    const long point_step = (long)channels * LANES;
    __global T *to = PART(at) + (long)(first / LANES) * POINTS * point_step + channel * LANES + first % LANES;
    V half_way[SIDE][FILTER], line[FILTER], points[SIDE];
    a += a_tensor + a_offset + channel * FILTER * FILTER;
#pragma unroll
    for (int x = 0; x < FILTER; x++) {
#pragma unroll
        for (int y = 0; y < FILTER; y++) {
            T each[VW];
            for (int i = 0; i < VW; i++) each[i] = LOAD(a, min(first + i, m - 1) * a_row + y * FILTER + x);
            line[y] = VLOAD(each);
        }
        filter_points(line, points);
#pragma unroll
        for (int y = 0; y < SIDE; y++) half_way[y][x] = points[y];
    }
#pragma unroll
    for (int y = 0; y < SIDE; y++) {
        filter_points(half_way[y], points);
#pragma unroll
        for (int x = 0; x < SIDE; x++) VSTORE(points[x], to + (y * SIDE + x) * point_step);
    }
}

/* ---- Images with channels side by side ---------------------------------------------------------------------------------------------- */

/* Four vectors of four, turned: to[i * to_step] = element i of each. */
inline void turn_square(__global T *to, int to_step, T4 x, T4 y, T4 z, T4 w)
{
    vstore4((T4)(x.s0, y.s0, z.s0, w.s0), 0, to);
    vstore4((T4)(x.s1, y.s1, z.s1, w.s1), 0, to + to_step);
    vstore4((T4)(x.s2, y.s2, z.s2, w.s2), 0, to + 2 * to_step);
    vstore4((T4)(x.s3, y.s3, z.s3, w.s3), 0, to + 3 * to_step);
}

/* Rows row .. row + rows - 1 and columns -pad_x .. columns - pad_x - 1 of VW channels in a block, with zeros outside: to [rows, columns, VW]. */
inline void copy_in(__global T *restrict to, __global const S *restrict from, int row, int rows, int columns, int in_y, int in_x, int pad_x)
{
    const int first = clamp(pad_x, 0, columns), end = clamp(in_x + pad_x, first, columns);
    for (int y = row; y < row + rows; y++, to += columns * VW) {
        const bool inside = (uint)y < (uint)in_y;
        __global const S *line = from + (y * in_x - pad_x) * VW;
        for (int x = 0; x < (inside ? first : columns); x++) VSTORE((V)(0), to + x * VW);
        for (int x = first; inside && x < end; x++) VSTORE(VLOAD(line + x * VW), to + x * VW);
        for (int x = end; inside && x < columns; x++) VSTORE((V)(0), to + x * VW);
    }
}

/* Rows row .. row + rows - 1 and columns -pad_x .. columns - pad_x - 1 of `some` channels, with zeros outside: to [rows, columns, VW]. */
inline void turn_in(__global T *to, __global const S *from, int some, int row, int rows, int columns, int in_y, int in_x, int pad_x)
{
    const int first = clamp(pad_x, 0, columns), end = clamp(in_x + pad_x, first, columns);
    for (int y = row; y < row + rows; y++, to += columns * VW) {
        const bool inside = (uint)y < (uint)in_y;
        for (int x = 0; x < (inside ? first : columns); x++) VSTORE((V)(0), to + x * VW);
        if (!inside) continue;
        for (int x = end; x < columns; x++) VSTORE((V)(0), to + x * VW);
        __global const S *line = from + y * in_x - pad_x;
        for (int c = 0; c < VW; c += 4) {
            __global const S *a = line + min(c, some - 1) * in_y * in_x, *b = line + min(c + 1, some - 1) * in_y * in_x;
            __global const S *d = line + min(c + 2, some - 1) * in_y * in_x, *e = line + min(c + 3, some - 1) * in_y * in_x;
            int x = first;
            for (; x + 4 <= end; x += 4)
                turn_square(to + x * VW + c, VW, vload4(0, a + x), vload4(0, b + x), vload4(0, d + x), vload4(0, e + x));
            for (; x < end; x++) vstore4((T4)(a[x], b[x], d[x], e[x]), 0, to + x * VW + c);
        }
    }
}

/* Columns 0 .. out_x - 1 of a row of VW maps back: from [columns, VW] to a row of each of `some` maps, `step` elements apart. */
inline void turn_out(__global S *to, long step, int some, __global const T *from, int out_x, T alpha)
{
    for (int c = 0; c < some; c += 4) {
        __global const T *lanes = from + c;
        const int end = c + 4 <= some ? out_x / 4 * 4 : 0;
        for (int x = 0; x < end; x += 4) {
            __global const T *p = lanes + x * VW;
            turn_square(to + c * step + x, step, alpha * vload4(0, p), alpha * vload4(0, p + VW), alpha * vload4(0, p + 2 * VW),
                        alpha * vload4(0, p + 3 * VW));
        }
        for (int x = end; x < out_x; x++) {
            for (int j = 0; j < min(4, some - c); j++) to[(c + j) * step + x] = alpha * lanes[x * VW + j];
        }
    }
}

/* The same where maps lie in blocks of VW. */
inline void copy_out(__global S *restrict to, __global const T *restrict from, int out_x, T alpha)
{
    for (int x = 0; x < out_x; x++) VSTORE(alpha * VLOAD(from + x * VW), to + x * VW);
}

/* ---- Transforms ------------------------------------------------------------------------------------------------------------------ */

/* Six elements of a square, by which a window's polynomial is told at each point. */
#define SQUARE_POINTS(to, d0, d1, d2, d3, d4, d5) \
    { \
        const V even = d4 - 4 * d2, odd = d3 - 4 * d1, even2 = d4 - d2, odd2 = 2 * (d3 - d1); \
        to(0) = 4 * d0 - 5 * d2 + d4; \
        to(1) = even + odd; \
        to(2) = even - odd; \
        to(3) = even2 + odd2; \
        to(4) = even2 - odd2; \
        to(5) = 4 * d1 - 5 * d3 + d5; \
    }

/* to [points, point_step]: one square of VW channels, from [rows, columns, VW]. */
inline void transform_square(__global T *to, long point_step, __global const T *from, int columns)
{
    V half_way[SIDE][SIDE];
#pragma unroll
    for (int x = 0; x < SIDE; x++) {
#define ELEMENT(y) VLOAD(from + ((y)*columns + x) * VW)
#define HALF_WAY(y) half_way[y][x]
        const V d0 = ELEMENT(0), d1 = ELEMENT(1), d2 = ELEMENT(2), d3 = ELEMENT(3), d4 = ELEMENT(4), d5 = ELEMENT(5);
        SQUARE_POINTS(HALF_WAY, d0, d1, d2, d3, d4, d5)
    }
#pragma unroll
    for (int y = 0; y < SIDE; y++) {
        V points[SIDE];
#define POINT(x) points[x]
        SQUARE_POINTS(POINT, half_way[y][0], half_way[y][1], half_way[y][2], half_way[y][3], half_way[y][4], half_way[y][5])
#pragma unroll
        for (int x = 0; x < SIDE; x++) VSTORE(points[x], to + (y * SIDE + x) * point_step);
    }
}

/* Windows from the sums at the points: the coefficients of the product of polynomials. */
#if OUT == 4
#define WINDOWS_OF(to, s0, s1, s2, s3, s4, s5) \
    { \
        const V even = s1 + s2, odd = s1 - s2, even2 = s3 + s4, odd2 = s3 - s4; \
        to(0) = s0 + even + even2; \
        to(1) = odd + 2 * odd2; \
        to(2) = even + 4 * even2; \
        to(3) = odd + 8 * odd2 + s5; \
    }
#else
#define WINDOWS_OF(to, s0, s1, s2, s3, s4, s5) \
    { \
        to(0) = s0 + (s1 + s2) + (s3 + s4); \
        to(1) = (s1 - s2) + 2 * (s3 - s4) + s5; \
    }
#endif

/* OUT x OUT windows of VW maps, to [rows, columns, VW]. */
inline void transform_back(__global T *to, int columns, __global const T *sums, long point_step)
{
    V half_way[OUT][SIDE];
#pragma unroll
    for (int x = 0; x < SIDE; x++) {
#define SUM_AT(y) VLOAD(sums + ((y)*SIDE + x) * point_step)
        const V s0 = SUM_AT(0), s1 = SUM_AT(1), s2 = SUM_AT(2), s3 = SUM_AT(3), s4 = SUM_AT(4), s5 = SUM_AT(5);
        WINDOWS_OF(HALF_WAY, s0, s1, s2, s3, s4, s5)
    }
#pragma unroll
    for (int y = 0; y < OUT; y++) {
        V windows[OUT];
#define WINDOW_AT(x) windows[x]
        WINDOWS_OF(WINDOW_AT, half_way[y][0], half_way[y][1], half_way[y][2], half_way[y][3], half_way[y][4], half_way[y][5])
#pragma unroll
        for (int x = 0; x < OUT; x++) VSTORE(windows[x], to + (y * columns + x) * VW);
    }
}

/* ---- Products ---------------------------------------------------------------------------------------------------------------------- */

#define MANY_REGISTERS (VW >= 16)
#define LAID __global
#include "sums.clh"
#define MULTIPLY_ROW(r) \
    { \
        const V factor = (V)(squares[r * step]); \
        EACH_VECTOR(MULTIPLY_ONE, r) \
    }

/* sums [squares, LANES] = squares [squares, step] filters [channels, LANES], of one tile. */
#define MULTIPLY(name, EACH_SQUARE) \
    inline void name(__global T *restrict sums, __global const T *restrict squares, int step, __global const T *restrict filters, \
                     int channels) \
    { \
        EACH_SQUARE(DECLARE) \
        for (int channel = 0; channel < channels; channel++, squares++, filters += LANES) { \
            EACH_LOAD(LOAD_LANES) \
            EACH_SQUARE(MULTIPLY_ROW) \
        } \
        EACH_SQUARE(LAY_ROW) \
    }
MULTIPLY(multiply_tall, EACH_TALL)
MULTIPLY(multiply_low, EACH_LOW)
MULTIPLY(multiply_lowest, EACH_LOWEST)

/* Squares of each tile of a block of `count`. */
inline int tile_height(int count)
{
    const int tiles = (count + TALL - 1) / TALL, each = (count + tiles - 1) / tiles;
    return each > LOW ? TALL : each > LOWEST ? LOW : LOWEST;
}

/* All squares of a block, `count` or one whole tile at least; the last tile begins earlier where it would reach over the end. */
inline void multiply(__global T *restrict sums, __global const T *restrict squares, int step, int count, int height,
                     __global const T *restrict filters, int channels)
{
    for (int i = 0; i < count; i += height) {
        const int at = max(0, min(i, count - height));
        if (height == TALL) multiply_tall(sums + at * LANES, squares + at * step, step, filters, channels);
        else if (height == LOW) multiply_low(sums + at * LANES, squares + at * step, step, filters, channels);
        else multiply_lowest(sums + at * LANES, squares + at * step, step, filters, channels);
    }
}

/* Work-items: groups of item_blocks of the blocks of all images, which have `squares_y` rows of `squares_x` squares each, in blocks of block_rows rows;
   groups of item_panels panels.  Each has room for a block, work_step bytes from work_at on. */
__kernel void winograd(__global S *c, long c_tensor, long c_offset, long c_batch, long c_row, __global const S *x, long x_tensor,
                       long x_offset, long x_batch, __global const uchar *filters, long filters_tensor, SCRATCH, long work_at,
                       long work_step, int channels, int in_y, int in_x, int pad_y, int pad_x, int m, int out_y, int out_x, int squares_y,
                       int squares_x, int block_rows, int item_blocks, int item_panels, int blocks, REAL alpha TAIL_PARAMS)
{
    const int columns = squares_x * OUT + FILTER - 1, most = max(block_rows * squares_x, TALL), step = (channels + VW - 1) / VW * VW;
    /* A vector more from point to point: steps of whole pages would meet the same set of the cache. */
    const int square_step = most * step + VW, sum_step = most * LANES + VW;
    const int panels = (m + LANES - 1) / LANES, image_blocks = (squares_y + block_rows - 1) / block_rows;
    const int first_panel = get_global_id(1) * item_panels, end_panel = min(first_panel + item_panels, panels);
    __global T *turned = PART(work_at + (long)(get_global_id(1) * get_global_size(0) + get_global_id(0)) * work_step);
    __global const T *all_filters = (__global const T *)(filters + filters_tensor);
    __global T *squares = turned + (block_rows * OUT + FILTER - 1) * columns * VW, *sums = squares + POINTS * square_step;
    __global T *windows = sums + POINTS * sum_step;
    const int first_block = get_global_id(0) * item_blocks;
    for (int block = first_block; block < min(first_block + item_blocks, blocks); block++) {
        const int image = block / image_blocks, row = block % image_blocks * block_rows, rows = min(block_rows, squares_y - row);
        const int count = rows * squares_x, height = tile_height(count);
        for (int i = count; i < height; i++) {
            for (int point = 0; point < POINTS; point++) {
                for (int channel = 0; channel < step; channel += VW) VSTORE((V)(0), squares + point * square_step + i * step + channel);
            }
        }
        for (int channel = 0; channel < channels; channel += VW) {
#if X_BLOCKS
            copy_in(turned, x + x_tensor + x_offset + image * x_batch + channel * in_y * in_x, row * OUT - pad_y, rows * OUT + FILTER - 1, columns,
                    in_y, in_x, pad_x);
#else
            turn_in(turned, x + x_tensor + x_offset + image * x_batch + channel * in_y * in_x, min(VW, channels - channel),
                    row * OUT - pad_y, rows * OUT + FILTER - 1, columns, in_y, in_x, pad_x);
#endif
            for (int i = 0; i < count; i++) {
                transform_square(squares + i * step + channel, square_step, turned + (i / squares_x * columns + i % squares_x) * OUT * VW,
                                 columns);
            }
        }
        for (int panel = first_panel; panel < end_panel; panel++) {
            for (int point = 0; point < POINTS; point++) {
                multiply(sums + point * sum_step, squares + point * square_step, step, count, height,
                         all_filters + ((long)panel * POINTS + point) * channels * LANES, channels);
            }
            for (int v = 0; v < NV && panel * LANES + v * VW < m; v++) {
                const int map = panel * LANES + v * VW;
                for (int y = 0; y < rows; y++) {
                    for (int i = 0; i < squares_x; i++) {
                        transform_back(windows + i * OUT * VW, squares_x * OUT, sums + (y * squares_x + i) * LANES + v * VW, sum_step);
                    }
                    for (int line = 0; line < min(OUT, out_y - (row + y) * OUT); line++) {
#if C_BLOCKS
                        copy_out(c + c_tensor + c_offset + image * c_batch + map * c_row + ((row + y) * OUT + line) * out_x * VW,
                                 windows + line * squares_x * OUT * VW, out_x, alpha);
#else
                        turn_out(c + c_tensor + c_offset + image * c_batch + map * c_row + ((row + y) * OUT + line) * out_x, c_row,
                                 min(VW, m - map), windows + line * squares_x * OUT * VW, out_x, alpha);
#endif
                    }
                }
#if C_BLOCKS
                STORED(image * (m / VW) + map / VW, row * OUT * out_x, min((row + rows) * OUT, out_y) * out_x, 0, VW)
#endif
            }
#if !C_BLOCKS
            STORED(image, panel * LANES, min((panel + 1) * LANES, m), row * OUT * out_x, min((row + rows) * OUT, out_y) * out_x)
#endif
        }
    }
}
