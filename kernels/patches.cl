/* Matrix products with the patches of images on CPU devices, without writing the patches: runtime/device/gemm_patches.c records them.
 *
 * An image is copied with its pads around it (padded.clh), the columns of a row sorted by their remainder by the stride, so that what a filter element sees
 * of one row of windows lies side by side: at the window's place plus an offset that belongs to the filter element alone (list_places).  Where
 * windows are single elements that are all seen, the image itself is such a row.  Both products keep a tile of sums in registers:
 *   over_pixels  c = a patches: MR rows of c times NV vectors of windows, each vector VW windows of one row, or of ROWS rows where rows are
 *                short.  Rows of a are read as they lie, or from a copy (pack_filters) where they do not lie so.
 *   over_windows the same with filters that were packed once for many products: up to TALL windows of one row times NV vectors of maps.  Rows of windows
 *                fill such tiles better than vectors, and what is stored costs more, since it is turned; not so into blocks of channels, which are
 *                vectors of maps.  Windows are read one by one, so that rows of an image are copied with all their columns, and an image may lie in
 *                blocks, [channels / block][places][block].
 *   over_maps    c = sum over images of a patches', turned: MR filter elements times NV vectors of rows of a, which are packed with a
 *                window's rows side by side.  Parts of the sum are put together by sum_parts.
 * Where there are images for all, a work-item copies and packs its own (`own`), a few at a time, which stay in its cache; else all are copied
 * and packed before (pad_images, pack_maps).
 * Element types as in common.clh; sums are kept in T, in a fixed order.  Sizes are int; all buffers are one scratch buffer of bytes, in
 * which `at` are byte offsets and steps count elements of T. */
#include "common.clh"
#include "tail.clh"

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
/* Of over_windows: elements from a window to the next; maps that lie side by side in c, 0: one after the other. */
#ifndef STEP
#define STEP 1
#endif
#ifndef C_BLOCK
#define C_BLOCK 0
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
#define MANY_REGISTERS (MR == 8)
#define LAID __private
#include "sums.clh"
#include "padded.clh"

/* ---- Packing ------------------------------------------------------------------------------------------------------------------- */

/* Where each filter element sees the first window.  Work-items: channels. */
__kernel void list_places(SCRATCH, long places_at, int kernel_z, int kernel_y, int kernel_x, int dilation_z, int dilation_y, int dilation_x,
                          int seen_x, int planes, int plane_rows, int width, int in_block)
{
    const int channel = get_global_id(0), taps = kernel_z * kernel_y * kernel_x;
    for (int i = 0; i < taps; i++) {
        const int tap_x = i % kernel_x * dilation_x, tap_y = i / kernel_x % kernel_y * dilation_y,
                  tap_z = i / kernel_x / kernel_y * dilation_z;
        const int row = (channel / in_block * planes + tap_z) * plane_rows + tap_y;
        PART(int, places_at)[channel * taps + i] = ((row * seen_x + tap_x % seen_x) * width + tap_x / seen_x) * in_block + channel % in_block;
    }
}

/* Work-items: blocks of channels, images, parts of item_rows of a block's rows. */
__kernel void pad_images(__global const S *x, long x_tensor, long x_offset, long x_batch, SCRATCH, long at, IMAGE_PARAMS, int item_rows)
{
    const long channel = get_global_id(0) * in_block, channels = get_global_size(0) * in_block, image = get_global_id(1);
    const int first = get_global_id(2) * item_rows;
    pad_rows(PART(T, at) + (image * channels + channel) * planes * plane_rows * seen_x * width,
             x + x_tensor + x_offset + image * x_batch + channel * in_z * in_y * in_x, first, min(first + item_rows, planes * plane_rows),
             true, IMAGE);
}

/* Rows of a as they are computed with, [m, k].  Work-items: rows. */
__kernel void pack_filters(__global const S *a, long a_tensor, long a_offset, long a_row, long a_column, SCRATCH, long at, int k)
{
    __global T *restrict to = PART(T, at) + (long)get_global_id(0) * k;
    a += a_tensor + a_offset + get_global_id(0) * a_row;
    for (int p = 0; p < k; p++) to[p] = LOAD(a, p * a_column);
}

/* Rows of a side by side for each pixel, NV vectors of them; rows beyond m are 0. */
#define LANES (NV * VW)
inline void pack_panel(__global T *restrict to, __global const S *restrict a, long a_row, int rows, int pixels)
{
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

/* Work-items: panels of LANES rows, images. */
__kernel void pack_maps(__global const S *a, long a_tensor, long a_offset, long a_batch, long a_row, SCRATCH, long at, int m, int pixels)
{
    const int first = get_global_id(0) * LANES;
    const long image = get_global_id(1);
    pack_panel(PART(T, at) + (image * get_global_size(0) + get_global_id(0)) * pixels * LANES,
               a + a_tensor + a_offset + image * a_batch + first * a_row, a_row, min(LANES, m - first), pixels);
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

/* What is there of VW elements from p on; 0 behind. */
inline V load_some(__global const T *p, int some)
{
    T edge[VW];
    for (int j = 0; j < VW; j++) edge[j] = j < some ? p[j] : 0;
    return VLOAD(edge);
}

#define FILTER_ROW(r) __global const T *restrict a##r = a + min(r, m - 1) * a_row;
#define MULTIPLY_FILTER(r) \
    { \
        const V factor = (V)(a##r[p]); \
        EACH_VECTOR(MULTIPLY_ONE, r) \
    }
#define LOAD_SOME(v) const V b##v = load_some(image + places[p] + base##v, end_of_image - places[p] - base##v);
#define STORE_ONE(r, v) \
    if (r < m && vector + v < end) { \
        const int row = (vector + v) / per_row * ROWS, x = (vector + v) % per_row * VW; \
        store_vector(SUM(r, v), c + r * c_row, row * out_x + x, min(VW / ROWS, out_x - x), min(ROWS, rows - row), out_x, \
                     ROWS == 1 && beta == 0 && row * out_x + x + VW <= limit, alpha, beta); \
    }
#define STORE_ROW(r) EACH_VECTOR(STORE_ONE, r)

/* Sums of vectors `vector` .. `vector` + NV - 1 with MR rows of a; those from `end` on are not stored.  From filter element `safe` on vectors
   reach over the image's end. */
inline void pixels_tile(__global S *restrict c, long c_row, int m, __global const T *restrict a, long a_row,
                        __global const int *restrict places, __global const T *restrict image, int end_of_image, int k, int safe,
                        int vector, int end, int per_row, int rows, int out_y, int out_x, int step_z, int step_y, REAL alpha, REAL beta)
{
    /* Up to this window a vector may run over: those behind are stored after it, by this work-item. */
    const int limit = end / per_row * out_x + end % per_row * VW;
    EACH_LOAD(BASES)
    EACH_ROW(FILTER_ROW)
    EACH_ROW(DECLARE)
    for (int p = 0; p < safe; p++) {
        __global const T *seen = image + places[p];
        EACH_LOAD(LOAD_WINDOWS)
        EACH_ROW(MULTIPLY_FILTER)
    }
#if ROWS == 1
    for (int p = safe; p < k; p++) {
        EACH_LOAD(LOAD_SOME)
        EACH_ROW(MULTIPLY_FILTER)
    }
#endif
    EACH_ROW(STORE_ROW)
}

/* The window that vector v begins with, or the end of the last. */
#define PIXEL(v) (min((v) / per_row * ROWS, rows) * out_x + (v) % per_row * VW)

/* Work-items: blocks of vectors of windows, blocks of panels of MR rows, groups of item_images images.  rows: of windows in all planes;
   per_row: vectors of a row.  Rows of a panel meet `block` vectors before the next panel does, so that what these see of the image stays in the
   cache.  A copy of an image has image_step elements.
   channel_step > 0: the image is x as it lies, windows are its elements, of so many a channel; own: the work-item copies each image, and has
   all its vectors and panels.  a_at < 0: a as it lies. */
__kernel void over_pixels(__global S *c, long c_tensor, long c_offset, long c_batch, long c_row, __global const S *x, long x_tensor,
                          long x_offset, long x_batch, __global const S *a, long a_tensor, long a_offset, long a_row, SCRATCH, long a_at,
                          __global const uchar *listed, long listed_tensor, long places_at, long x_at, int own, int channels, IMAGE_PARAMS,
                          int image_step, int channel_step, int images, int item_images, int m, int k, int vectors, int item_vectors,
                          int item_panels, int block, int per_row, int rows, int out_y, int out_x, int step_z, int step_y, REAL alpha,
                          REAL beta TAIL_PARAMS)
{
    const int first = get_global_id(0) * item_vectors, end = min(first + item_vectors, vectors);
    const int panel = get_global_id(1) * item_panels, panels = min(panel + item_panels, (m + MR - 1) / MR);
    const int first_image = get_global_id(2) * item_images, last_image = min(first_image + item_images, images);
    __global const T *filters = a_at < 0 ? (__global const T *)(a + a_tensor + a_offset) : PART(T, a_at);
    __global const int *places = (__global const int *)(listed + listed_tensor + places_at);
    for (int z = first_image; z < last_image; z++) {
        __global T *copy = PART(T, x_at) + (long)(own ? get_global_id(2) : z) * image_step;
        __global const S *original = x + x_tensor + x_offset + z * x_batch;
        __global S *result = c + c_tensor + c_offset + z * c_batch;
        if (own) pad_image(copy, original, channels, z == first_image, IMAGE);
        __global const T *image = channel_step > 0 ? (__global const T *)original : copy;
        for (int begin = first; begin < end; begin += block) {
            for (int i = panel; i < panels; i++) {
                for (int vector = begin; vector < min(begin + block, end); vector += NV) {
                    const int free = image_step - min(vector + NV, vectors) * VW; /* behind the last vector, from the first channel on */
                    const int safe = channel_step == 0 ? k : free < 0 ? 0 : min(k, free / channel_step + 1);
                    pixels_tile(result + (long)i * MR * c_row, c_row, m - i * MR, filters + i * MR * a_row, a_row, places, image,
                                image_step, k, safe, vector, end, per_row, rows, out_y, out_x, step_z, step_y, alpha, beta);
                }
            }
        }
        STORED(z, panel * MR, min(panels * MR, m), PIXEL(first), PIXEL(end))
    }
}

/* ---- c = a patches, maps side by side ------------------------------------------------------------------------------------------- */

/* Rows of a side by side, [panels, k, LANES]; those beyond m are 0.  Work-items: panels. */
__kernel void pack_lanes(__global const S *a, long a_tensor, long a_offset, long a_row, long a_column, SCRATCH, long at, int m, int k)
{
    const int first = get_global_id(0) * LANES;
    __global T *restrict to = PART(T, at) + (long)first * k;
    a += a_tensor + a_offset;
    for (int p = 0; p < k; p++) {
        for (int r = 0; r < LANES; r++) to[p * LANES + r] = first + r < m ? LOAD(a, (first + r) * a_row + p * a_column) : 0;
    }
}

#define MULTIPLY_WINDOW(r) \
    { \
        const V factor = (V)(seen[r * STEP]); \
        EACH_VECTOR(MULTIPLY_ONE, r) \
    }

/* Blocks are whole vectors, which are stored as they are. */
#define STORES_VECTORS (C_BLOCK > 0 && C_BLOCK % VW == 0 && WHOLE)
#if C_BLOCK
/* Where a map of c [maps / C_BLOCK][windows][C_BLOCK] begins; c_row: windows. */
#define MAP_AT(map) ((long)((map) / C_BLOCK) * c_row * C_BLOCK + (map) % C_BLOCK)
#endif
#if STORES_VECTORS
#define STORE_LANES(r, v) \
    if (v == 0 || map + v * VW < maps) ((__global loose_vector *)(c + MAP_AT(map + v * VW) + r * C_BLOCK))->lanes = SUM(r, v);
#define STORE_WINDOW(r) EACH_VECTOR(STORE_LANES, r)
#define STORE_TILE(EACH_WINDOW) \
    if (c != 0) { \
        EACH_WINDOW(STORE_WINDOW) \
        return; \
    }
#else
#define STORE_TILE(EACH_WINDOW)
#endif

/* sums [windows, LANES] of so many neighbours in a row, the first of which `image` begins with.  Or they are stored to c, if that is not NULL: from its
   first window on, in maps from `map` on. */
#define WINDOWS_TILE(name, EACH_WINDOW) \
    inline void name(__global S *restrict c, long c_row, int map, int maps, T *sums, __global const T *restrict filters, \
                     __global const int *restrict places, __global const T *restrict image, int k) \
    { \
        EACH_WINDOW(DECLARE) \
        for (int p = 0; p < k; p++, filters += LANES) { \
            __global const T *seen = image + places[p]; \
            EACH_LOAD(LOAD_LANES) \
            EACH_WINDOW(MULTIPLY_WINDOW) \
        } \
        STORE_TILE(EACH_WINDOW) \
        EACH_WINDOW(LAY_ROW) \
    }
WINDOWS_TILE(tall_tile, EACH_TALL)
WINDOWS_TILE(low_tile, EACH_LOW)
WINDOWS_TILE(lowest_tile, EACH_LOWEST)

/* c [maps, windows] = alpha sums' + beta c */
inline void store_turned(__global S *restrict c, long c_row, const T *sums, int maps, int windows, REAL alpha, REAL beta)
{
    int i = 0;
#if WHOLE
    for (; beta == 0 && windows >= 4 && i + 4 <= maps; i += 4) {
        for (int q = 0; q < windows; q += 4) { /* the last four may begin before those before them end */
            const int at = min(q, windows - 4);
            const T *from = sums + at * LANES + i;
            __global S *to = c + i * c_row + at;
            const T4 factor = (T4)((T)alpha), x = factor * vload4(0, from), y = factor * vload4(0, from + LANES),
                     z = factor * vload4(0, from + 2 * LANES), w = factor * vload4(0, from + 3 * LANES);
            vstore4((T4)(x.s0, y.s0, z.s0, w.s0), 0, to);
            vstore4((T4)(x.s1, y.s1, z.s1, w.s1), 0, to + c_row);
            vstore4((T4)(x.s2, y.s2, z.s2, w.s2), 0, to + 2 * c_row);
            vstore4((T4)(x.s3, y.s3, z.s3, w.s3), 0, to + 3 * c_row);
        }
    }
#endif
    for (; i < maps; i++) {
        for (int q = 0; q < windows; q++) {
            T x = (T)(alpha * sums[q * LANES + i]);
            if (beta != 0) x += (T)(beta * LOAD(c, i * c_row + q));
            STORE(c, i * c_row + q, x);
        }
    }
}

#if C_BLOCK
/* c [maps / C_BLOCK][windows][C_BLOCK] = alpha sums + beta c, in maps from `map` on and from c's first window on. */
inline void store_blocks(__global S *restrict c, long c_row, const T *sums, int map, int maps, int windows, REAL alpha, REAL beta)
{
#if STORES_VECTORS
    for (int i = 0; i < min(LANES, maps - map); i += VW) {
        for (int q = 0; q < windows; q++) {
            __global loose_vector *to = (__global loose_vector *)(c + MAP_AT(map + i) + q * C_BLOCK);
            to->lanes = (V)((T)alpha) * VLOAD(sums + q * LANES + i) + (beta != 0 ? (V)((T)beta) * to->lanes : (V)(0));
        }
    }
#else
    for (int i = 0; i < min(LANES, maps - map); i++) {
        for (int q = 0; q < windows; q++) {
            const long to = MAP_AT(map + i) + q * C_BLOCK;
            T x = (T)(alpha * sums[q * LANES + i]);
            if (beta != 0) x += (T)(beta * LOAD(c, to));
            STORE(c, to, x);
        }
    }
#endif
}
#endif

/* The window that a unit begins with, or the end of the last. */
#define WINDOW(unit) ((unit) / per_row * out_x + (unit) % per_row * TALL)

/* The tail of windows first to end - 1 of some maps: of rows of the result, or of columns of the matrices that its blocks are. */
#if C_BLOCK
#define STORED_LANES(image, first_map, end_map, first, end) \
    for (int map = first_map, next; map < end_map; map = next) { \
        next = min((map / C_BLOCK + 1) * C_BLOCK, end_map); \
        STORED((image) * (m / C_BLOCK) + map / C_BLOCK, first, end, map % C_BLOCK, map % C_BLOCK + next - map) \
    }
#else
#define STORED_LANES STORED
#endif

/* Work-items: blocks of units of up to TALL windows of a row, which has per_row of them; blocks of panels of LANES maps; groups of item_images images.
   A panel meets `block` units before the next panel does; each `stored` of them get their tail at once.  filters: as pack_lanes has written them, and
   list_places their places.
   as_it_lies: the image is x, and its one row of windows has at least TALL.  Other arguments as of over_pixels. */
__kernel void over_windows(__global S *c, long c_tensor, long c_offset, long c_batch, long c_row, __global const S *x, long x_tensor,
                           long x_offset, long x_batch, __global const uchar *packed, long packed_tensor, long filters_at, long places_at,
                           SCRATCH, long x_at, int own, int as_it_lies, int channels, IMAGE_PARAMS, int image_step, int images,
                           int item_images, int m, int k, int units, int item_units, int item_panels, int block, int stored, int per_row,
                           int out_y, int out_x, int step_z, int step_y, REAL alpha, REAL beta TAIL_PARAMS)
{
    const int first = get_global_id(0) * item_units, end = min(first + item_units, units);
    const int panel = get_global_id(1) * item_panels, panels = min(panel + item_panels, (m + LANES - 1) / LANES);
    const int first_image = get_global_id(2) * item_images, last_image = min(first_image + item_images, images);
    __global const T *filters = (__global const T *)(packed + packed_tensor + filters_at);
    __global const int *places = (__global const int *)(packed + packed_tensor + places_at);
    T sums[TALL * LANES];
    for (int z = first_image; z < last_image; z++) {
        __global T *copy = PART(T, x_at) + (long)(own ? get_global_id(2) : z) * image_step;
        __global const S *original = x + x_tensor + x_offset + z * x_batch;
        __global S *result = c + c_tensor + c_offset + z * c_batch;
        if (own) pad_image(copy, original, channels, z == first_image, IMAGE);
        __global const T *image = as_it_lies ? (__global const T *)original : copy;
        for (int begin = first; begin < end; begin += block) {
            const int stop = min(begin + block, end);
            for (int i = panel * LANES; i < min(panels * LANES, m); i += LANES) {
                for (int some = begin; some < stop; some += stored) {
                    const int until = min(some + stored, stop);
                    for (int unit = some; unit < until; unit++) {
                        const int row = unit / per_row, at = unit % per_row * TALL, windows = min(TALL, out_x - at);
                        const int height = windows > LOW ? TALL : windows > LOWEST ? LOW : LOWEST;
                        const int before =
                            as_it_lies ? min(at, height - windows) : 0; /* windows that are computed again, lest they are beyond the end */
                        __global const T *seen = image + row / out_y * step_z + row % out_y * step_y + (at - before) * STEP,
                                         *lanes = filters + (long)i * k;
#if C_BLOCK
                        __global S *to = result + (long)(row * out_x + at) * C_BLOCK;
                        const bool whole = STORES_VECTORS && windows == height && alpha == 1 && beta == 0;
#define TILE whole ? to : 0, c_row, i, m, sums, lanes, places, seen, k
#else
#define TILE 0, 0, 0, 0, sums, lanes, places, seen, k
#endif
                        if (height == TALL) tall_tile(TILE);
                        else if (height == LOW) low_tile(TILE);
                        else lowest_tile(TILE);
#if C_BLOCK
                        if (!whole) store_blocks(to, c_row, sums + before * LANES, i, m, windows, alpha, beta);
#else
                        store_turned(result + i * c_row + row * out_x + at, c_row, sums + before * LANES, min(LANES, m - i), windows, alpha,
                                     beta);
#endif
                    }
                    STORED_LANES(z, i, min(i + LANES, m), WINDOW(some), WINDOW(until))
                }
            }
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
#define ADD_ONE(r, v) \
    if (r < taps) VSTORE((add ? VLOAD(sums + (r * NV + v) * VW) : (V)(0)) + SUM(r, v), sums + (r * NV + v) * VW);
#define ADD_ROW(r) EACH_VECTOR(ADD_ONE, r)

/* sums [taps, NV * VW] of some images; add: to what is there. */
inline void maps_tile(__global T *restrict sums, bool add, __global const int *restrict places, int taps, __global const T *restrict image,
                      int image_step, __global const T *restrict maps, int maps_step, int images, int rows, int out_y, int out_x,
                      int step_z, int step_y)
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
   maps stay in the cache.  Sums [parts, panels, k, LANES].  own: the work-item copies its images and packs their maps, and has all tiles and
   panels of its part. */
__kernel void over_maps(SCRATCH, long places_at, long x_at, long maps_at, long sums_at, __global const S *x, long x_tensor, long x_offset,
                        long x_batch, __global const S *a, long a_tensor, long a_offset, long a_batch, long a_row, int own, int channels,
                        IMAGE_PARAMS, int image_step, int m, int panels, int images, int part_images, int block, int k, int item_tiles,
                        int rows, int out_y, int out_x, int step_z, int step_y, int add)
{
    const int first = get_global_id(0) * item_tiles * MR, end = min(first + item_tiles * MR, k);
    const int part = get_global_id(2), last = min(images, (part + 1) * part_images), pixels = rows * out_x,
              maps_step = panels * pixels * LANES;
    const int first_panel = own ? 0 : get_global_id(1), end_panel = own ? panels : first_panel + 1;
    for (int i = part * part_images; i < last; i += block) {
        const int count = min(block, last - i);
        __global T *copies = PART(T, x_at) + (long)(own ? part * block : i) * image_step;
        __global T *maps = PART(T, maps_at) + (long)(own ? part * block : i) * maps_step;
        for (int j = 0; own && j < count; j++) {
            pad_image(copies + j * image_step, x + x_tensor + x_offset + (i + j) * x_batch, channels, i == part * part_images, IMAGE);
            for (int panel = 0; panel < panels; panel++) {
                pack_panel(maps + (long)j * maps_step + panel * pixels * LANES,
                           a + a_tensor + a_offset + (i + j) * a_batch + (long)panel * LANES * a_row, a_row, min(LANES, m - panel * LANES),
                           pixels);
            }
        }
        for (int panel = first_panel; panel < end_panel; panel++) {
            __global T *sums = PART(T, sums_at) + ((long)part * panels + panel) * k * LANES;
            for (int tap = first; tap < end; tap += MR) {
                maps_tile(sums + tap * LANES, add || i > part * part_images, PART(int, places_at) + tap, min(MR, k - tap), copies,
                          image_step, maps + (long)panel * pixels * LANES, maps_step - pixels * LANES, count, rows, out_y, out_x, step_z,
                          step_y);
            }
        }
    }
}

/* c = alpha sum of all parts + beta c.  Work-items: blocks of TAPS of k, m. */
#define TAPS 64
__kernel void sum_parts(__global S *c, long c_tensor, long c_offset, long c_row, SCRATCH, long sums_at, int k, int parts, int panels,
                        REAL alpha, REAL beta TAIL_PARAMS)
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
    STORED(0, map, map + 1, first, min(first + TAPS, k))
}
