/* Matrix products, c = alpha op(a) op(b) + beta c, for any strides, batches, and b read from the patches of an image, on CPU devices and wherever
 * work-groups are too small for gemm_groups.cl.
 *
 * Two ways to the same result; runtime/device/gemm_tiles.c chooses:
 *   panels  a is packed into panels of MR rows and b into panels of NR columns, so that the innermost loop reads
 *           both in order and keeps an MR x NR tile of c in registers:
 *                        +-- NR --+             pack_a, pack_b: one work-item packs K_SLICE steps of one panel
 *                      k |   b    |             gemm_panels: one work-item computes a block of panels
 *               +-- k --++--------+
 *             MR|   a   ||  c     |
 *               +-------++--------+
 *           At once: smaller products in one launch, each work-item packing for itself what it reads.
 *   direct  one work-item computes COLUMNS neighbours of one row of c, or (dots) one element: small products, no packing;
 *           lines: dots of rows of a and columns of b in register tiles;
 *           narrow: NARROW_ROWS rows of a c of at most COLUMNS columns; wide: columns of a c of few rows.
 *
 * Everywhere: a is [m, k], b [k, n], c [m, n], laid out as gemm_operands.clh says.
 * `summed` matrices of the batch are added up in c.  Element types as in common.clh; products are summed in T, in an order that sizes
 * decide, so that results repeat bit for bit.  beta = 0 does not read c. */
#include "gemm_operands.clh"
#include "tail.clh"

/* Vector of T that the device computes with, rows of the register tile, vectors in its row. */
#ifndef VW
#define VW 4
#endif
#ifndef MR
#define MR 6
#endif
#define NV 2
#define NR (NV * VW)
#define K_SLICE 384
#define COLUMNS 16
#define LINE 16 /* elements that are read at a time where a panel is packed along k */

#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define V CAT(T, VW)
#define VLOAD(p) CAT(vload, VW)(0, p)
#define VSTORE(v, p) CAT(vstore, VW)(v, 0, p)
/* Elements are stored as they are computed, so that vectors can be moved whole. */
#define WHOLE (S_TYPE == 1 || S_TYPE == 11 || S_TYPE == 6 || S_TYPE == 7)

/* ---- Packing.  A panel's step p holds its MR or NR elements of step p; those beyond the edge are 0.  Panel i of matrix z begins at
   i * panel_step + z * matrix_step. */

#if WHOLE
#define T4 CAT(T, 4)
/* out[q * step + r] = from[r * stride + q] for q and r below 4. */
inline void transpose_4x4(__global const S *restrict from, long stride, __global T *restrict out, int step)
{
    const T4 a = vload4(0, from), b = vload4(0, from + stride), c = vload4(0, from + 2 * stride), d = vload4(0, from + 3 * stride);
    vstore4((T4)(a.x, b.x, c.x, d.x), 0, out);
    vstore4((T4)(a.y, b.y, c.y, d.y), 0, out + step);
    vstore4((T4)(a.z, b.z, c.z, d.z), 0, out + 2 * step);
    vstore4((T4)(a.w, b.w, c.w, d.w), 0, out + 3 * step);
}
#endif

/* `lanes` lines that lie `stride` apart, LINE elements of each: contiguous ones are read a cache line at a time, since lines far apart would
   fall into the same sets of the cache. */
inline void pack_lines(__global const S *restrict from, long stride, __global T *restrict out, int lanes)
{
#if WHOLE
    for (int r = 0; r < lanes; r += 4) { /* the last four may begin before those before them end */
        const int first = min(r, lanes - 4);
        for (int q = 0; q < LINE; q += 4) transpose_4x4(from + first * stride + q, stride, out + q * lanes + first, lanes);
    }
#else
    for (int r = 0; r < lanes; r++) {
        for (int q = 0; q < LINE; q++) out[q * lanes + r] = LOAD(from, r * stride + q);
    }
#endif
}

/* K_SLICE steps of one panel of a, from step p0 on. */
inline void pack_panel_of_a(__global T *restrict out, __global const S *restrict from, long a_row, long a_column, int rows, int p0, int p1)
{
    int p = p0;
    if (rows == MR && a_row == 1) {
        for (; p < p1; p++, out += MR, from += a_column) {
            for (int r = 0; r < MR; r++) out[r] = LOAD(from, r);
        }
        return;
    }
    if (rows == MR && a_column == 1) {
        for (; p + LINE <= p1; p += LINE, out += LINE * MR, from += LINE) pack_lines(from, a_row, out, MR);
    }
    for (; p < p1; p++, out += MR, from += a_column) {
        for (int r = 0; r < MR; r++) out[r] = r < rows ? LOAD(from, r * a_row) : 0;
    }
}

/* Index space of all: panels, matrices of the batch, slices of k. */

#define PACK_OUT(at, panel, panel_step, matrix_step, lanes) \
    ((__global T *)(scratch + scratch_tensor + at) + (panel)*panel_step + get_global_id(1) * matrix_step + (long)p0 * (lanes))

__kernel void pack_a(__global uchar *scratch, long scratch_tensor, long at, A_PARAMS, int m, int k, long panel_step, long matrix_step)
{
    const int panel = get_global_id(0), first = panel * MR;
    const int p0 = get_global_id(2) * K_SLICE, p1 = min(k, p0 + K_SLICE);
    pack_panel_of_a(PACK_OUT(at, panel, panel_step, matrix_step, MR), A_MATRIX(get_global_id(1)) + first * a_row + p0 * a_column, a_row,
                    a_column, min(MR, m - first), p0, p1);
}

#if PATCHES
__kernel void pack_b(__global uchar *scratch, long scratch_tensor, long at, B_PARAMS, int n, int k, long panel_step, long matrix_step)
{
    const int panel = get_global_id(0), first = panel * NR, columns = min(NR, n - first);
    const int p0 = get_global_id(2) * K_SLICE, p1 = min(k, p0 + K_SLICE);
    __global T *restrict out = PACK_OUT(at, panel, panel_step, matrix_step, NR);
    __global const S *restrict from = B_MATRIX(get_global_id(1));
    Part column[NR];
    for (int j = 0; j < NR; j++) column[j] = B_COLUMN(first + min(j, columns - 1));
    for (int p = p0; p < p1; p++, out += NR) {
        const Part row = B_ROW(p);
        for (int j = 0; j < NR; j++) out[j] = j < columns ? B_AT(from, row, column[j]) : 0;
    }
}
#else
/* Steps p0 to p1 of one panel of b, whose column 0 `from` is. */
inline void pack_panel_of_b(__global T *restrict out, __global const S *restrict from, long b_row, long b_column, int columns, int p0,
                            int p1)
{
    int p = p0;
#if WHOLE
    if (columns == NR && b_column == 1) {
        for (; p < p1; p++, out += NR) {
            for (int v = 0; v < NV; v++) VSTORE(VLOAD(from + p * b_row + v * VW), out + v * VW);
        }
        return;
    }
#endif
    if (columns == NR && b_row == 1) {
        for (; p + LINE <= p1; p += LINE, out += LINE * NR) pack_lines(from + p, b_column, out, NR);
    }
    for (; p < p1; p++, out += NR) {
        for (int j = 0; j < NR; j++) out[j] = j < columns ? LOAD(from, p * b_row + j * b_column) : 0;
    }
}

__kernel void pack_b(__global uchar *scratch, long scratch_tensor, long at, B_PARAMS, int n, int k, long panel_step, long matrix_step)
{
    const int panel = get_global_id(0), first = panel * NR, p0 = get_global_id(2) * K_SLICE, p1 = min(k, p0 + K_SLICE);
    pack_panel_of_b(PACK_OUT(at, panel, panel_step, matrix_step, NR), B_MATRIX(get_global_id(1)) + first * b_column, b_row, b_column,
                    min(NR, n - first), p0, p1);
}
#endif

/* ---- The register tile ------------------------------------------------------------------------------------------------------ */
#include "tile.clh"

/* Index space: blocks of row_panels x column_panels panels, matrices of the batch.  k is walked in slices of k_slice steps, so that a slice of a
   panel of b stays in the first-level cache and those of a in the second. */
__kernel void gemm_panels(C_PARAMS, __global const uchar *a_packed, long a_tensor, long a_at, __global const uchar *b_packed, long b_tensor,
                          long b_at, int m, int n, int k, int k_slice, long a_matrix_step, long b_matrix_step, int row_panels,
                          int column_panels, REAL alpha, REAL beta TAIL_PARAMS)
{
    const long z = get_global_id(2);
    __global const T *a = (__global const T *)(a_packed + a_tensor + a_at) + z * a_matrix_step;
    __global const T *b = (__global const T *)(b_packed + b_tensor + b_at) + z * b_matrix_step;
    const int i0 = get_global_id(0) * row_panels, i1 = min(i0 + row_panels, (m + MR - 1) / MR);
    const int j0 = get_global_id(1) * column_panels, j1 = min(j0 + column_panels, (n + NR - 1) / NR);
    for (int p = 0; p < k; p += k_slice) {
        const int steps = min(k_slice, k - p);
        for (int j = j0; j < j1; j++) {
            for (int i = i0; i < i1; i++) {
                tile(C_MATRIX(z) + (long)i * MR * c_row + (long)j * NR, a + ((long)i * k + p) * MR, b + ((long)j * k + p) * NR, NR, steps,
                     c_row, m - i * MR, n - j * NR, alpha, p == 0 ? beta : 1);
            }
        }
    }
    STORED(z, i0 * MR, min(i1 * MR, m), j0 * NR, min(j1 * NR, n))
}

#if !PATCHES
/* Smaller products in one launch: a work-item packs what it reads, slice by slice of k, into `item_bytes` of scratch memory of its own.  Index space:
   blocks of row_panels x column_panels panels, matrices of the batch.  What is packed already (a_packed, b_packed: all panels of a matrix that all of the
   batch share, or absent) is not packed again, and where rows of b are contiguous it is taken as it lies, whole panels at least. */
__kernel void gemm_at_once(C_PARAMS, __global uchar *scratch, long scratch_tensor, long item_bytes, A_PARAMS, B_PARAMS,
                           __global const uchar *a_packed, long a_packed_tensor, __global const uchar *b_packed, long b_packed_tensor,
                           int m, int n, int k, int k_slice, int row_panels, int column_panels, REAL alpha, REAL beta TAIL_PARAMS)
{
    const long z = get_global_id(2), item = get_global_id(0) + get_global_size(0) * (get_global_id(1) + get_global_size(1) * z);
    /* b first, so that its vectors are aligned */
    __global T *b_own = (__global T *)(scratch + scratch_tensor + item * item_bytes), *a_own = b_own + NR * k_slice;
    __global const T *a_there = (__global const T *)(a_packed + a_packed_tensor),
                     *b_there = (__global const T *)(b_packed + b_packed_tensor);
    const int i0 = get_global_id(0) * row_panels, i1 = min(i0 + row_panels, (m + MR - 1) / MR);
    const int j0 = get_global_id(1) * column_panels, j1 = min(j0 + column_panels, (n + NR - 1) / NR);
    const bool has_a = a_packed_tensor >= 0, has_b = b_packed_tensor >= 0, in_place = WHOLE && b_column == 1 && !has_b;
    for (int p = 0; p < k; p += k_slice) {
        const int steps = min(k_slice, k - p);
        for (int i = i0; i < i1 && !has_a; i++)
            pack_panel_of_a(a_own + (i - i0) * MR * k_slice, A_MATRIX(z) + i * MR * a_row + p * a_column, a_row, a_column,
                            min(MR, m - i * MR), 0, steps);
        for (int j = j0; j < j1; j++) {
            __global const S *from = B_MATRIX(z) + j * NR * b_column + p * b_row;
            const bool as_it_lies = in_place && n - j * NR >= NR;
            if (!as_it_lies && !has_b) pack_panel_of_b(b_own, from, b_row, b_column, min(NR, n - j * NR), 0, steps);
            __global const T *right = has_b ? b_there + ((long)j * k + p) * NR : as_it_lies ? (__global const T *)from : b_own;
            for (int i = i0; i < i1; i++) {
                tile(C_MATRIX(z) + (long)i * MR * c_row + (long)j * NR,
                     has_a ? a_there + ((long)i * k + p) * MR : a_own + (i - i0) * MR * k_slice, right, as_it_lies ? b_row : NR, steps,
                     c_row, m - i * MR, n - j * NR, alpha, p == 0 ? beta : 1);
            }
        }
    }
    STORED(z, i0 * MR, min(i1 * MR, m), j0 * NR, min(j1 * NR, n))
}
#endif

/* ---- Without packing ---------------------------------------------------------------------------------------------------------- */

/* Index space: groups of COLUMNS columns, rows, matrices of the batch. */
__kernel void gemm_direct(C_PARAMS, A_PARAMS, B_PARAMS, int m, int n, int k, int summed, REAL alpha, REAL beta TAIL_PARAMS)
{
    const int first = get_global_id(0) * COLUMNS, i = get_global_id(1), z = get_global_id(2);
    if (first >= n || i >= m) return;
    const int columns = min(COLUMNS, n - first);
    Part column[COLUMNS];
    T sum[COLUMNS];
    for (int j = 0; j < COLUMNS; j++) {
        sum[j] = 0;
        column[j] = B_COLUMN(first + min(j, columns - 1));
    }
    for (int s = 0; s < summed; s++) {
        __global const S *left = A_MATRIX(z + s) + i * a_row, *right = B_MATRIX(z + s);
#if !PATCHES
        if (columns == COLUMNS && b_column == 1) {
            for (int p = 0; p < k; p++) {
                const T x = LOAD(left, p * a_column);
                for (int j = 0; j < COLUMNS; j++) sum[j] += x * LOAD(right, p * b_row + first + j);
            }
            continue;
        }
#endif
        for (int p = 0; p < k; p++) {
            const T x = LOAD(left, p * a_column);
            const Part row = B_ROW(p);
            for (int j = 0; j < columns; j++) sum[j] += x * B_AT(right, row, column[j]);
        }
    }
    for (int j = 0; j < columns; j++) store_element(C_MATRIX(z), i * c_row + first + j, sum[j], alpha, beta);
    STORED(z, i, i + 1, first, first + columns)
}

#if !PATCHES && WHOLE
/* Sums are variables of their own, not arrays: compilers for CPUs keep arrays in memory where they do not unroll. */
#if VW >= 16
#define NARROW_ROWS 8
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#else
#define NARROW_ROWS 6
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5)
#endif

/* c has at most COLUMNS columns, and rows of b are contiguous.  Index space: 1, groups of NARROW_ROWS rows, matrices of the batch. */
#define LINE_V CAT(T, 16)
#define NARROW_SUM(r) LINE_V sum##r = 0;
#define NARROW_ROW(r) __global const S *row##r = left + min(first + r, m - 1) * a_row;
#define NARROW_ADD(r) \
    sum##r += (LINE_V)(LOAD(row##r, 0)) * b_line; \
    row##r += a_column;
/* Into rows behind, which are stored afterwards, where the work-item has these. */
#define NARROW_STORE(r) \
    if (dense && r * n + COLUMNS <= rows * n) { \
        vstore16((T)alpha *sum##r, 0, C_MATRIX(z) + (first + r) * c_row); \
    } else if (r < rows) { \
        vstore16(sum##r, 0, line); \
        for (int j = 0; j < n; j++) store_element(C_MATRIX(z), (first + r) * c_row + j, line[j], alpha, beta); \
    }
__kernel void gemm_narrow(C_PARAMS, A_PARAMS, B_PARAMS, int m, int n, int k, int summed, REAL alpha, REAL beta TAIL_PARAMS)
{
    const int first = get_global_id(1) * NARROW_ROWS, rows = min(NARROW_ROWS, m - first), z = get_global_id(2);
    const bool dense = c_row == n && beta == 0 && alpha == (REAL)(T)alpha;
    T line[COLUMNS];
    if (first >= m) return;
    /* Rows of b that may be read as COLUMNS elements: what follows them is of b too, and in lanes that are not stored. */
    const long beyond = (k - 1) * b_row + n - COLUMNS;
    const int whole = beyond < 0 ? 0 : (int)min((long)k, beyond / b_row + 1);
    EACH(NARROW_SUM)
    for (int s = 0; s < summed; s++) {
        __global const S *left = A_MATRIX(z + s), *right = B_MATRIX(z + s);
        EACH(NARROW_ROW)
        for (int p = 0; p < whole; p++, right += b_row) {
            const LINE_V b_line = vload16(0, right);
            EACH(NARROW_ADD)
        }
        for (int p = whole; p < k; p++, right += b_row) {
            for (int j = 0; j < COLUMNS; j++) line[j] = j < n ? LOAD(right, j) : 0;
            const LINE_V b_line = vload16(0, line);
            EACH(NARROW_ADD)
        }
    }
    EACH(NARROW_STORE)
    STORED(z, first, first + rows, 0, n)
}

/* c has at most WIDE_ROWS rows and at least VW columns, and rows of b are contiguous.  b is read once, in order, a few rows at a time; the sums of
   a work-item lie in the nearest cache.  Index space: groups of `columns` columns, at most WIDE; 1; matrices of the batch.  The last vector of
   a row ends with it: what the vector before it has too is not stored again. */
#define WIDE 512
#define WIDE_ROWS 6
#define WIDE_STEPS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define WIDE_STEP 8
#define WIDE_FACTOR(p) const V x##p = (V)(LOAD(left, p * a_column));
#define WIDE_ADD(p) sum += x##p * VLOAD(right + p * b_row + at);
#define WIDE_AT(v) min(first + (v)*VW, n - VW)

/* sums [vectors][VW] of one row of c += rows p, p + 1 ... of b times elements of a; `steps` is WIDE_STEP or 1. */
inline void wide_add(T *sums, __global const S *left, long a_column, __global const S *right, long b_row, int first, int n, int vectors,
                     int steps)
{
    if (steps == 1) {
        const V x = (V)(LOAD(left, 0));
        for (int v = 0; v < vectors; v++) VSTORE(VLOAD(sums + v * VW) + x * VLOAD(right + WIDE_AT(v)), sums + v * VW);
        return;
    }
    WIDE_STEPS(WIDE_FACTOR)
    for (int v = 0; v < vectors; v++) {
        const int at = WIDE_AT(v);
        V sum = VLOAD(sums + v * VW);
        WIDE_STEPS(WIDE_ADD)
        VSTORE(sum, sums + v * VW);
    }
}

__kernel void gemm_wide(C_PARAMS, A_PARAMS, B_PARAMS, int m, int n, int k, int summed, REAL alpha, REAL beta, int columns TAIL_PARAMS)
{
    const int first = get_global_id(0) * columns, z = get_global_id(2);
    T sums[WIDE_ROWS * WIDE];
    if (first >= n) return;
    const int vectors = (min(columns, n - first) + VW - 1) / VW;
    for (int v = 0; v < WIDE_ROWS * WIDE; v += VW) VSTORE((V)(0), sums + v);
    for (int s = 0; s < summed; s++) {
        __global const S *left = A_MATRIX(z + s), *right = B_MATRIX(z + s);
        for (int p = 0; p < k;) {
            const int steps = p + WIDE_STEP <= k ? WIDE_STEP : 1;
            for (int i = 0; i < m; i++)
                wide_add(sums + i * WIDE, left + i * a_row + p * a_column, a_column, right + p * b_row, b_row, first, n, vectors, steps);
            p += steps;
        }
    }
    for (int i = 0; i < m; i++) {
        for (int j = first; j < min(first + vectors * VW, n); j++) {
            const int v = (j - first) / VW;
            store_element(C_MATRIX(z), i * c_row + j, sums[i * WIDE + v * VW + j - WIDE_AT(v)], alpha, beta);
        }
    }
    STORED(z, 0, m, first, min(first + vectors * VW, n))
}
#endif

/* ---- Both operands in lines along k: dots of LINE_ROWS rows of a and 4 or 5 columns of b at a time ---------------------------------- */

#if !PATCHES && WHOLE
#if VW >= 16
#define LINE_ROWS 4
#define LINES(X, COLUMNS_OF) X(0, COLUMNS_OF) X(1, COLUMNS_OF) X(2, COLUMNS_OF) X(3, COLUMNS_OF)
#else
#define LINE_ROWS 2
#define LINES(X, COLUMNS_OF) X(0, COLUMNS_OF) X(1, COLUMNS_OF)
#endif
#define FOUR_COLUMNS(X, r) X(r, 0) X(r, 1) X(r, 2) X(r, 3)
#define FIVE_COLUMNS(X, r) FOUR_COLUMNS(X, r) X(r, 4)

/* The sum of each vector's elements, of LINE_ROWS vectors. */
#if VW >= 16
inline void sum_each(T *sums, V a, V b, V c, V d)
{
    /* halves of two vectors, then quarters of four, are added side by side; then neighbours */
    const V ab = (V)(a.lo, b.lo) + (V)(a.hi, b.hi), cd = (V)(c.lo, d.lo) + (V)(c.hi, d.hi);
    const V four = (V)(ab.lo.lo, ab.hi.lo, cd.lo.lo, cd.hi.lo) + (V)(ab.lo.hi, ab.hi.hi, cd.lo.hi, cd.hi.hi);
    const CAT(T, 8) two = four.even + four.odd;
    vstore4(two.even + two.odd, 0, sums);
}
#define SUM_EACH(j) sum_each(sums, SUM_OF(0, j), SUM_OF(1, j), SUM_OF(2, j), SUM_OF(3, j))
#else
inline T sum_of(V v)
{
#if VW == 8
    const T4 four = v.lo + v.hi;
#elif VW == 4
    const T4 four = v;
#else
    const T4 four = (T4)(v, 0, 0);
#endif
    return (four.x + four.y) + (four.z + four.w);
}
#define SUM_EACH(j) sums[0] = sum_of(SUM_OF(0, j)), sums[1] = sum_of(SUM_OF(1, j))
#endif

#define SUM_OF(r, j) sum##r##_##j
#define LINE_SUM(r, j) V SUM_OF(r, j) = 0;
#define LINE_SUMS(r, COLUMNS_OF) COLUMNS_OF(LINE_SUM, r)
#define LINE_ROW(r, COLUMNS_OF) __global const S *row##r = a + min(r, rows - 1) * a_row;
#define LINE_COLUMN(r, j) __global const S *column##j = b + min(j, columns - 1) * b_column;
#define LINE_LOAD(r, j) const V b##j = VLOAD(column##j + p);
#define LINE_ADD_ONE(r, j) SUM_OF(r, j) += x##r * b##j;
#define LINE_ADD(r, COLUMNS_OF) \
    const V x##r = VLOAD(row##r + p); \
    COLUMNS_OF(LINE_ADD_ONE, r)
#define LINE_REST(r, j) \
    for (int q = p; q < k; q++) sums[r] += LOAD(row##r, q) * LOAD(column##j, q);
#define LINE_STORE(unused, j) \
    if (j < columns) { \
        SUM_EACH(j); \
        LINES(LINE_REST, j) \
        for (int r = 0; r < min(rows, LINE_ROWS); r++) store_element(c, r *c_row + j, sums[r], alpha, beta); \
    }
/* c [rows <= LINE_ROWS, columns <= 4 or 5] = alpha a b + beta c */
#define LINE_TILE(name, COLUMNS_OF) \
    inline void name(__global S *c, long c_row, __global const S *a, long a_row, __global const S *b, long b_column, int k, int rows, \
                     int columns, REAL alpha, REAL beta) \
    { \
        T sums[LINE_ROWS]; \
        int p = 0; \
        COLUMNS_OF(LINE_COLUMN, 0) \
        LINES(LINE_ROW, COLUMNS_OF) \
        LINES(LINE_SUMS, COLUMNS_OF) \
        for (; p + VW <= k; p += VW) { \
            COLUMNS_OF(LINE_LOAD, 0) \
            LINES(LINE_ADD, COLUMNS_OF) \
        } \
        COLUMNS_OF(LINE_STORE, 0) \
    }
LINE_TILE(tile_of_four, FOUR_COLUMNS)
LINE_TILE(tile_of_five, FIVE_COLUMNS)

/* The columns of b [k, n <= COLUMNS], whose rows are contiguous, as lines of length k. */
inline void lay_lines(__global const S *restrict b, long b_row, __global S *restrict out, int n, int k)
{
    /* Rows whose columns can be read by fours, what follows them being of b too. */
    const long beyond = (k - 1) * b_row + n - COLUMNS;
    const int whole = beyond < 0 ? 0 : (int)min((long)k, beyond / b_row + 1) / 4 * 4;
    for (int p = 0; p < whole; p += 4) {
        for (int j = 0; j < n; j += 4) transpose_4x4(b + p * b_row + j, b_row, out + (long)j * k + p, k);
    }
    for (int p = whole; p < k; p++) {
        for (int j = 0; j < n; j++) out[(long)j * k + p] = b[p * b_row + j];
    }
}

/* Rows of a are contiguous, and columns of b are, or b has at most COLUMNS columns and is laid into lines first: each work-item has `line_bytes` of
   scratch memory for that (0: columns are contiguous), with room for n rounded up to 4 lines.  Index space: groups of `item_rows` rows, groups of
   `item_columns` columns (all of them where lines are laid), matrices of the batch. */
__kernel void gemm_lines(C_PARAMS, A_PARAMS, B_PARAMS, int m, int n, int k, int summed, REAL alpha, REAL beta, __global uchar *scratch,
                         long scratch_tensor, long line_bytes, int item_rows, int item_columns TAIL_PARAMS)
{
    const int first = get_global_id(0) * item_rows, end = min(first + item_rows, m), z = get_global_id(2);
    const int from = get_global_id(1) * item_columns, to = min(from + item_columns, n);
    for (int s = 0; s < summed; s++) {
        __global const S *left = A_MATRIX(z + s), *right = B_MATRIX(z + s);
        long column = b_column;
        if (line_bytes > 0) {
            __global S *lines =
                (__global S *)(scratch + scratch_tensor + (get_global_id(0) + get_global_id(2) * get_global_size(0)) * line_bytes);
            lay_lines(right, b_row, lines, n, k);
            right = lines;
            column = k;
        }
        for (int i = first; i < end; i += LINE_ROWS) {
            for (int j = from, columns; j < to; j += columns) {
                __global S *c_tile = C_MATRIX(z) + i * c_row + j;
                __global const S *a_tile = left + i * a_row, *b_tile = right + j * column;
                const int rows = min(LINE_ROWS, end - i), tiles = (to - j + 4) / 5;
                const REAL scale = s == 0 ? beta : 1;
                columns = (to - j + tiles - 1) / tiles; /* of tiles of equal size, so that few columns are computed for nothing */
                if (columns > 4) tile_of_five(c_tile, c_row, a_tile, a_row, b_tile, column, k, rows, columns, alpha, scale);
                else tile_of_four(c_tile, c_row, a_tile, a_row, b_tile, column, k, rows, columns, alpha, scale);
            }
        }
    }
    STORED(z, first, end, from, to)
}
#endif

#if !PATCHES
/* Both operands have k as their contiguous axis.  Index space: columns, rows, matrices of the batch. */
__kernel void gemm_dots(C_PARAMS, A_PARAMS, B_PARAMS, int m, int n, int k, int summed, REAL alpha, REAL beta TAIL_PARAMS)
{
    const int j = get_global_id(0), i = get_global_id(1), z = get_global_id(2);
    if (j >= n || i >= m) return;
    T lane[COLUMNS], sum = 0;
    for (int q = 0; q < COLUMNS; q++) lane[q] = 0;
    for (int s = 0; s < summed; s++) {
        __global const S *left = A_MATRIX(z + s) + i * a_row, *right = B_MATRIX(z + s) + j * b_column;
        int p = 0;
        for (; p + COLUMNS <= k; p += COLUMNS) {
            for (int q = 0; q < COLUMNS; q++) lane[q] += LOAD(left, p + q) * LOAD(right, p + q);
        }
        for (; p < k; p++) sum += LOAD(left, p) * LOAD(right, p);
    }
    for (int q = 0; q < COLUMNS; q++) sum += lane[q];
    store_element(C_MATRIX(z), i * c_row + j, sum, alpha, beta);
    STORED(z, i, i + 1, j, j + 1)
}
#endif
