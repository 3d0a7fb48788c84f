/* Matrix products with the patches of images on CPU devices, without writing the patches: runtime/device/gemm_patches.c records them.
 *
 * The images are copied once with their pads around them (pad_images), the columns of a row sorted by their remainder by the stride, so
 * that what a filter element sees of one row of windows lies side by side: at the window's place plus an offset that belongs to the filter
 * element alone.  Both products keep a tile of sums in registers:
 *   over_pixels  c = a patches: MR rows of c times NV vectors of windows, each vector VW windows of one row, or of ROWS rows where rows are
 *                short.  a is packed into panels of MR rows (pack_filters).
 *   over_maps    c = sum over images of a patches', turned: MR filter elements times NV vectors of rows of a, which are packed with a
 *                window's rows side by side (pack_maps).  Parts of the sum are put together by sum_parts.
 * Element types as in common.clh; sums are kept in T, in a fixed order.  Sizes are int; all buffers are one scratch buffer of bytes, in
 * which `at` are byte offsets and steps count elements of T. */
#include "common.clh"

#ifndef VW
#define VW 8
#endif
#ifndef MR
#define MR 4
#endif
#ifndef NV
#define NV 2
#endif
#ifndef ROWS
#define ROWS 1
#endif

#if VW == 16
#define HALF 8
#define QUARTER 4
#elif VW == 8
#define HALF 4
#else
#define HALF 2
#endif
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define V CAT(T, VW)
#define VLOAD(p) CAT(vload, VW)(0, p)
#define VSTORE(v, p) CAT(vstore, VW)(v, 0, p)
/* Elements are stored as they are computed, so that vectors can be moved whole. */
#define WHOLE (S_TYPE == 1 || S_TYPE == 11 || S_TYPE == 6 || S_TYPE == 7)

#define SCRATCH __global uchar *scratch, long scratch_tensor
#define PART(type, at) ((__global type *)(scratch + scratch_tensor + (at)))

#if MR == 4
#define EACH_ROW(X) X(0) X(1) X(2) X(3)
#elif MR == 6
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5)
#elif MR == 8
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#else
#error "MR: 4 or 6 rows (16 vector registers) or 8 (32)"
#endif
#define SUM(r, v) c##r##_##v
#if NV == 2
#define EACH_VECTOR(X, r) X(r, 0) X(r, 1)
#define EACH_LOAD(X) X(0) X(1)
#elif NV == 3
#define EACH_VECTOR(X, r) X(r, 0) X(r, 1) X(r, 2)
#define EACH_LOAD(X) X(0) X(1) X(2)
#else
#define EACH_VECTOR(X, r) X(r, 0)
#define EACH_LOAD(X) X(0)
#endif
#define DECLARE_ONE(r, v) V SUM(r, v) = 0;
#define DECLARE(r) EACH_VECTOR(DECLARE_ONE, r)
#define MULTIPLY_ONE(r, v) SUM(r, v) += factor * b##v;

/* ---- Packing ------------------------------------------------------------------------------------------------------------------- */

/* Images with their pads, and where each filter element sees the first window.  Work-items: channels, images.  `width` elements for each remainder
   of a row's columns by stride_x; `rows` rows for each of `planes`. */
__kernel void pad_images(__global const S *x, long x_tensor, long x_offset, long x_batch, SCRATCH, long at, long places_at, int in_z, int in_y,
                         int in_x, int pad_z, int pad_y, int pad_x, int kernel_z, int kernel_y, int kernel_x, int dilation_z, int dilation_y,
                         int dilation_x, int stride_x, int planes, int rows, int width)
{
    const long channel = get_global_id(0), image = get_global_id(1);
    const int taps = kernel_z * kernel_y * kernel_x;
    for (int i = 0; image == 0 && i < taps; i++) {
        const int tap_x = i % kernel_x * dilation_x, tap_y = i / kernel_x % kernel_y * dilation_y, tap_z = i / kernel_x / kernel_y * dilation_z;
        PART(int, places_at)[channel * taps + i] =
            (((int)channel * planes + tap_z) * rows + tap_y) * stride_x * width + tap_x % stride_x * width + tap_x / stride_x;
    }
    __global const S *from = x + x_tensor + x_offset + image * x_batch + channel * in_z * in_y * in_x;
    __global T *restrict to = PART(T, at) + (image * get_global_size(0) + channel) * planes * rows * stride_x * width;
    for (int row = 0; row < planes * rows; row++) {
        const int z = row / rows - pad_z, y = row % rows - pad_y;
        const bool inside = (uint)z < (uint)in_z && (uint)y < (uint)in_y;
        __global const S *line = from + (z * in_y + y) * in_x;
        for (int phase = 0; phase < stride_x; phase++, to += width) {
            /* elements i with 0 <= i * stride_x + phase - pad_x < in_x */
            const int shift = phase - pad_x;
            const int first = !inside ? width : clamp((stride_x - 1 - shift) / stride_x, 0, width);
            const int end = !inside || in_x <= shift ? first : clamp((in_x - shift + stride_x - 1) / stride_x, first, width);
            for (int i = 0; i < first; i++) to[i] = 0;
            if (stride_x == 1) {
                for (int i = first; i < end; i++) to[i] = LOAD(line, i + shift);
            } else {
                for (int i = first; i < end; i++) to[i] = LOAD(line, i * stride_x + shift);
            }
            for (int i = end; i < width; i++) to[i] = 0;
        }
    }
}

/* Panels of MR rows of a; rows beyond m are 0.  Work-items: panels. */
__kernel void pack_filters(__global const S *a, long a_tensor, long a_offset, long a_row, long a_column, SCRATCH, long at, int m, int k)
{
    const int first = get_global_id(0) * MR;
    __global T *restrict to = PART(T, at) + (long)first * k;
    a += a_tensor + a_offset;
    for (int p = 0; p < k; p++, to += MR) {
        for (int r = 0; r < MR; r++) to[r] = first + r < m ? LOAD(a, (first + r) * a_row + p * a_column) : 0;
    }
}

#define T4 CAT(T, 4)
#if S_TYPE == 10
#define LOAD4(p, i) vload_half4(0, (p) + (i))
#else
#define LOAD4(p, i) vload4(0, (p) + (i))
#endif

/* Rows of a side by side for each pixel, NV vectors of them; rows beyond m are 0.  Work-items: panels of rows, images. */
__kernel void pack_maps(__global const S *a, long a_tensor, long a_offset, long a_batch, long a_row, SCRATCH, long at, int m, int pixels)
{
    enum { LANES = NV * VW };
    const int first = get_global_id(0) * LANES, rows = min(LANES, m - first);
    const long image = get_global_id(1);
    __global T *restrict to = PART(T, at) + (image * get_global_size(0) + get_global_id(0)) * pixels * LANES;
    a += a_tensor + a_offset + image * a_batch + first * a_row;
    /* Sixteen pixels at a time: reading one of each row in turn would meet the same sets of the cache.  Squares of 4 x 4 are turned in registers. */
    for (int p = 0; p < pixels; p += 16, to += 16 * LANES) {
        const int some = min(16, pixels - p);
        for (int r = 0; r < LANES; r += 4) {
            for (int q = 0; q < some; q += 4) {
                __global const S *from = a + r * a_row + p + q;
                __global T *square = to + q * LANES + r;
                if (r + 4 <= rows && q + 4 <= some) {
                    const T4 x = LOAD4(from, 0), y = LOAD4(from, a_row), z = LOAD4(from, 2 * a_row), w = LOAD4(from, 3 * a_row);
                    vstore4((T4)(x.s0, y.s0, z.s0, w.s0), 0, square);
                    vstore4((T4)(x.s1, y.s1, z.s1, w.s1), 0, square + LANES);
                    vstore4((T4)(x.s2, y.s2, z.s2, w.s2), 0, square + 2 * LANES);
                    vstore4((T4)(x.s3, y.s3, z.s3, w.s3), 0, square + 3 * LANES);
                } else {
                    for (int i = 0; i < min(4, some - q); i++) {
                        for (int j = 0; j < 4; j++) square[i * LANES + j] = r + j < rows ? LOAD(from, j * a_row + i) : 0;
                    }
                }
            }
        }
    }
}

/* ---- c = a patches ------------------------------------------------------------------------------------------------------------- */

/* What the sums of VW windows are stored to: c begins the row of c, pixel is the first window's.  `lanes` windows of each of `lines` rows are
   there.  spill: the vector may run over into the windows behind, which are stored afterwards. */
inline void store_vector(V sum, __global S *restrict c, int pixel, int lanes, int lines, int out_x, bool spill, REAL alpha, REAL beta)
{
#if WHOLE
    const bool dense = lanes * lines == VW && (lines == 1 || lanes == out_x);
    if (dense || spill) {
        __global S *to = c + pixel;
        VSTORE((V)((T)alpha) * sum + (beta != 0 ? (V)((T)beta) * VLOAD(to) : (V)(0)), to);
        return;
    }
#endif
    T edge[VW];
    VSTORE(sum, edge);
    for (int l = 0; l < lines; l++) {
        for (int j = 0; j < lanes; j++) {
            const int to = pixel + l * out_x + j;
            T x = (T)(alpha * edge[l * (VW / ROWS) + j]);
            if (beta != 0) x += (T)(beta * LOAD(c, to));
            STORE(c, to, x);
        }
    }
}

#if ROWS == 1
#define BASES(v) const int base##v = place_of(vector + v, 0, per_row, rows, out_y, step_z, step_y);
#define LOAD_WINDOWS(v) const V b##v = VLOAD(seen + base##v);
#elif ROWS == 2
#define BASES(v) \
    const int base##v = place_of(vector + v, 0, per_row, rows, out_y, step_z, step_y), \
              base##v##b = place_of(vector + v, 1, per_row, rows, out_y, step_z, step_y);
#define LOAD_WINDOWS(v) const V b##v = (V)(CAT(vload, HALF)(0, seen + base##v), CAT(vload, HALF)(0, seen + base##v##b));
#else
#define BASES(v) \
    const int base##v = place_of(vector + v, 0, per_row, rows, out_y, step_z, step_y), \
              base##v##b = place_of(vector + v, 1, per_row, rows, out_y, step_z, step_y), \
              base##v##c = place_of(vector + v, 2, per_row, rows, out_y, step_z, step_y), \
              base##v##d = place_of(vector + v, 3, per_row, rows, out_y, step_z, step_y);
#define LOAD_WINDOWS(v) \
    const V b##v = (V)(CAT(vload, QUARTER)(0, seen + base##v), CAT(vload, QUARTER)(0, seen + base##v##b), \
                       CAT(vload, QUARTER)(0, seen + base##v##c), CAT(vload, QUARTER)(0, seen + base##v##d));
#endif

/* Where line `line` of a vector of windows begins in the padded image. */
inline int place_of(int vector, int line, int per_row, int rows, int out_y, int step_z, int step_y)
{
    const int row = min(vector / per_row * ROWS + line, rows - 1);
    return row / out_y * step_z + row % out_y * step_y + vector % per_row * VW;
}

#define MULTIPLY_FILTER(r) \
    { \
        const V factor = (V)(a[r]); \
        EACH_VECTOR(MULTIPLY_ONE, r) \
    }
#define STORE_ONE(r, v) \
    if (r < m && vector + v < end) { \
        const int row = (vector + v) / per_row * ROWS, x = (vector + v) % per_row * VW; \
        store_vector(SUM(r, v), c + r * c_row, row * out_x + x, min(VW / ROWS, out_x - x), min(ROWS, rows - row), out_x, \
                     ROWS == 1 && beta == 0 && row * out_x + x + VW <= limit, alpha, beta); \
    }
#define STORE_ROW(r) EACH_VECTOR(STORE_ONE, r)

/* Sums of vectors `vector` .. `vector` + NV - 1 with one panel; those from `end` on are not stored. */
inline void pixels_tile(__global S *restrict c, long c_row, int m, __global const T *restrict a, __global const int *restrict places,
                        __global const T *restrict image, int k, int vector, int end, int per_row, int rows, int out_y, int out_x,
                        int step_z, int step_y, REAL alpha, REAL beta)
{
    /* Up to this window a vector may run over: those behind are stored after it, by this work-item. */
    const int limit = end / per_row * out_x + end % per_row * VW;
    EACH_LOAD(BASES)
    EACH_ROW(DECLARE)
    for (int p = 0; p < k; p++, a += MR) {
        __global const T *seen = image + places[p];
        EACH_LOAD(LOAD_WINDOWS)
        EACH_ROW(MULTIPLY_FILTER)
    }
    EACH_ROW(STORE_ROW)
}

/* Work-items: blocks of vectors of windows, blocks of panels, images.  rows: of windows in all planes; per_row: vectors of a row. */
__kernel void over_pixels(__global S *c, long c_tensor, long c_offset, long c_batch, long c_row, SCRATCH, long a_at, long places_at, long x_at,
                          int image_step, int m, int k, int vectors, int item_vectors, int item_panels, int per_row, int rows, int out_y,
                          int out_x, int step_z, int step_y, REAL alpha, REAL beta)
{
    const int first = get_global_id(0) * item_vectors, end = min(first + item_vectors, vectors);
    const int panel = get_global_id(1) * item_panels, panels = min(panel + item_panels, (m + MR - 1) / MR);
    __global const T *image = PART(T, x_at) + get_global_id(2) * image_step;
    c += c_tensor + c_offset + get_global_id(2) * c_batch;
    for (int i = panel; i < panels; i++) {
        for (int vector = first; vector < end; vector += NV) {
            pixels_tile(c + (long)i * MR * c_row, c_row, m - i * MR, PART(T, a_at) + (long)i * MR * k, PART(int, places_at), image, k, vector,
                        end, per_row, rows, out_y, out_x, step_z, step_y, alpha, beta);
        }
    }
}

/* ---- c = sum of a patches' ------------------------------------------------------------------------------------------------------- */

#define SEEN_BY(r) __global const T *restrict seen##r = image + places[min(r, taps - 1)];
#define MULTIPLY_TAP(r) \
    { \
        const V factor = (V)(seen##r[at + x]); \
        EACH_VECTOR(MULTIPLY_ONE, r) \
    }
#define LOAD_MAPS(v) const V b##v = VLOAD(maps + v * VW);
#define ADD_ONE(r, v) if (r < taps) VSTORE((add ? VLOAD(sums + (r * NV + v) * VW) : (V)(0)) + SUM(r, v), sums + (r * NV + v) * VW);
#define ADD_ROW(r) EACH_VECTOR(ADD_ONE, r)

/* sums [taps, NV * VW] of some images; add: to what is there. */
inline void maps_tile(__global T *restrict sums, bool add, __global const int *restrict places, int taps, __global const T *restrict image,
                      int image_step, __global const T *restrict maps, int maps_step, int images, int rows, int out_y, int out_x, int step_z,
                      int step_y)
{
    EACH_ROW(DECLARE)
    for (int i = 0; i < images; i++, image += image_step, maps += maps_step) {
        EACH_ROW(SEEN_BY)
        for (int row = 0; row < rows; row++) {
            const int at = row / out_y * step_z + row % out_y * step_y;
            for (int x = 0; x < out_x; x++, maps += NV * VW) {
                EACH_LOAD(LOAD_MAPS)
                EACH_ROW(MULTIPLY_TAP)
            }
        }
    }
    EACH_ROW(ADD_ROW)
}

/* Work-items: blocks of tiles of filter elements, panels of maps, parts of the images.  Each walks its images `block` at a time, so that their
   maps stay in the cache.  Sums [parts, panels, k, NV * VW]. */
__kernel void over_maps(SCRATCH, long places_at, long x_at, long maps_at, long sums_at, int image_step, int maps_step, int images, int part_images,
                        int block, int k, int item_tiles, int rows, int out_y, int out_x, int step_z, int step_y, int add)
{
    const int first = get_global_id(0) * item_tiles * MR, end = min(first + item_tiles * MR, k);
    const int panel = get_global_id(1), part = get_global_id(2), last = min(images, (part + 1) * part_images), row_maps = rows * out_x * NV * VW;
    __global T *sums = PART(T, sums_at) + ((long)part * get_global_size(1) + panel) * k * NV * VW;
    for (int i = part * part_images; i < last; i += block) {
        for (int tap = first; tap < end; tap += MR) {
            maps_tile(sums + tap * NV * VW, add || i > part * part_images, PART(int, places_at) + tap, min(MR, k - tap),
                      PART(T, x_at) + (long)i * image_step, image_step, PART(T, maps_at) + (long)i * maps_step + (long)panel * row_maps,
                      maps_step - row_maps, min(block, last - i), rows, out_y, out_x, step_z, step_y);
        }
    }
}

/* c = alpha sum of all parts + beta c.  Work-items: blocks of TAPS of k, m. */
#define TAPS 64
__kernel void sum_parts(__global S *c, long c_tensor, long c_offset, long c_row, SCRATCH, long sums_at, int k, int parts, int panels, REAL alpha,
                        REAL beta)
{
    const int first = get_global_id(0) * TAPS, map = get_global_id(1);
    const long part_step = (long)panels * k * NV * VW, to = c_tensor + c_offset + map * c_row;
    __global const T *sums = PART(T, sums_at) + (long)(map / (NV * VW)) * k * NV * VW + map % (NV * VW);
    for (int tap = first; tap < min(first + TAPS, k); tap++) {
        T sum = 0;
        for (int part = 0; part < parts; part++) sum += sums[part * part_step + tap * NV * VW];
        sum = (T)(alpha * sum);
        if (beta != 0) sum += (T)(beta * LOAD(c, to + tap));
        STORE(c, to + tap, sum);
    }
}
