/* Matrix products on GPUs, c = alpha op(a) op(b) + beta c, by work-groups that share tiles in local memory: runtime/device/gemm_groups.c records them.
 *
 * A work-group of SIDE x SIDE work-items makes a tile of TILE_I x TILE_J elements of c.  It walks the steps of k, TK at a time: all fetch a part of the tiles
 * of a and b into registers, put it into local memory, and multiply, each for its own 4 BLOCKS x 4 elements, while the next part is on its way.
 *
 *                         TILE_J               a work-item's elements: BLOCKS of 4 x 4, SIDE blocks apart, so that neighbours read neighbouring
 *                       +--------+               blocks of b's tile and store neighbouring vectors of c
 *                    TK |   b    |
 *             +-- TK --++--------+             tiles in local memory are [TK, TILE_I] and [TK, TILE_J], with 8 elements of padding behind each
 *       TILE_I|   a    ||   c    |               4 rows; element (p, i) lies at i ^ p % 4 of row p
 *             +--------++--------+
 *
 * So what 32 work-items write at a time, be it along i or along p, lies in 32 banks, and vectors of 4 stay together: their elements only change
 * places, by p % 4, which is known while compiling.
 *
 * Memory, for 32 work-items at a time:
 *   a, b     neighbours fetch neighbours along the contiguous axis of the operand, along k (A_ALONG_K, B_ALONG_K) TK of them: 64 bytes.  With
 *            patches, along a row of windows: neighbours where windows are 1 apart.
 *   c        vectors of 4, 16 neighbours of a row.
 *
 * Steps of all `summed` matrices and of k are counted in one: work-group z is part z % parts of matrix z / parts of the batch, and makes `part_steps` of these
 * groups of TK steps.  With SPLIT its sums go into scratch memory, [matrix, part, m, n], which add_parts adds up in the order of the parts; so few tiles
 * still give all of a device work.  Products are summed in T.  beta = 0 does not read c. */
#include "gemm_operands.clh"

#ifndef SIDE
#define SIDE 16
#endif
#ifndef BLOCKS
#define BLOCKS 1
#endif
#ifndef TK
#define TK 16
#endif
#ifndef A_ALONG_K
#define A_ALONG_K 1
#endif
#ifndef B_ALONG_K
#define B_ALONG_K 0
#endif
#ifndef SPLIT
#define SPLIT 0
#endif
#define ITEMS (SIDE * SIDE)
#define TILE_I (4 * BLOCKS * SIDE) /* rows of c, and of a */
#define TILE_J (4 * SIDE) /* columns of c, and of b */
#define FETCHED_A (TK * TILE_I / ITEMS) /* elements that a work-item fetches */
#define FETCHED_B (TK * TILE_J / ITEMS)

#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define T4 CAT(T, 4)

/* ---- Unrolled by the preprocessor: arrays would lie in memory where a compiler does not unroll --------------------------------- */

#define EACH_OF_2(X) X(0) X(1)
#define EACH_OF_4(X) EACH_OF_2(X) X(2) X(3)
#define EACH_OF_8(X) EACH_OF_4(X) X(4) X(5) X(6) X(7)
#if FETCHED_B == 2
#define EACH_B(X) EACH_OF_2(X)
#elif FETCHED_B == 4
#define EACH_B(X) EACH_OF_4(X)
#elif FETCHED_B == 8
#define EACH_B(X) EACH_OF_8(X)
#else
#error "TK * 4 / SIDE: 2, 4 or 8"
#endif
#if FETCHED_A == 2
#define EACH_A(X) EACH_OF_2(X)
#elif FETCHED_A == 4
#define EACH_A(X) EACH_OF_4(X)
#elif FETCHED_A == 8
#define EACH_A(X) EACH_OF_8(X)
#else
#error "TK * 4 * BLOCKS / SIDE: 2, 4 or 8"
#endif
#if BLOCKS == 1
#define EACH_ROW(X) X(0, 0, x) X(0, 1, y) X(0, 2, z) X(0, 3, w)
#elif BLOCKS == 2
#define EACH_ROW(X) X(0, 0, x) X(0, 1, y) X(0, 2, z) X(0, 3, w) X(1, 0, x) X(1, 1, y) X(1, 2, z) X(1, 3, w)
#else
#error "BLOCKS: 1 or 2"
#endif

/* ---- Tiles in local memory ------------------------------------------------------------------------------------------------------ */

/* Which elements of a tile a work-item fetches: element e is (A_P, A_I), (B_P, B_I). */
#if ITEMS / TK >= 8 /* lines that 32 work-items walk at a time are 4 apart: in other banks */
#define LINE_OF(x) ((x) / 8 * 8 + (x) % 2 * 4 + (x) / 2 % 4)
#else
#define LINE_OF(x) (x)
#endif
#define ALONG_K_P (item % TK)
#define ALONG_K_I(e) (LINE_OF(item / TK) + (e) * (ITEMS / TK))
#define ALONG_I_P(e, tile) (item / (tile) + (e) * (ITEMS / (tile)))
#define ALONG_I_I(tile) (item % (tile))
#if ITEMS % TILE_I != 0 || ITEMS % TK != 0
#error "a work-group fetches whole rows of a tile"
#endif
#if A_ALONG_K
#define A_P(e) ALONG_K_P
#define A_I(e) ALONG_K_I(e)
#define A_APART (ITEMS / TK) /* from one element that a work-item fetches to its next */
#else
#define A_P(e) ALONG_I_P(e, TILE_I)
#define A_I(e) ALONG_I_I(TILE_I)
#define A_APART (ITEMS / TILE_I)
#endif
#if B_ALONG_K
#define B_P(e) ALONG_K_P
#define B_I(e) ALONG_K_I(e)
#define B_APART (ITEMS / TK)
#else
#define B_P(e) ALONG_I_P(e, TILE_J)
#define B_I(e) ALONG_I_I(TILE_J)
#define B_APART (ITEMS / TILE_J)
#endif

#define ROW(tile, p) ((p) * (tile) + (p) / 4 * 8)
/* Element 0 of those that a work-item fetches lies at PLACE, and element e, `apart` further along k or i, at a distance that is known while compiling:
   along i, `apart` is 2 or 4 and p of element 0 below that, so that both together decide p / 4 and p % 4; along k it is a multiple of 4. */
#define PLACE(tile, p, i) (ROW(tile, p) + ((i) ^ ((p) % 4)))
#define PUT(to, tile, along_k, place, apart, e, x) \
    ((__local T *)(to))[((place) ^ ((along_k) ? 0 : (e) * (apart) % 4)) + ((along_k) ? (e) * (apart) : ROW(tile, (e) * (apart)))] = x
/* Block `block` of row p, whose elements lie in an order that p % 4 decides. */
#define BLOCK(from, tile, p, block) from[ROW(tile, p) / 4 + (block)]
#define TILE_BLOCKS(tile) (TK * (tile) / 4 + TK / 2)

/* ---- What a work-item fetches: FETCHED elements along one axis of each tile ------------------------------------------------------ */

/* Elements that are there, from a work-item's first on, of a tile's (p, i) with p below k and i below `lines`. */
#define THERE(along_k, p, i, lines) ((along_k) ? ((p) < k ? (lines) - (i) : 0) : ((i) < (lines) ? k - (p) : 0))
#define DECLARE_A(e) T a##e;
#define DECLARE_B(e) T b##e;
#define FETCH_A(e) \
    a##e = (e) * A_APART < a_there ? LOAD(from_a, 0) : 0; \
    from_a += a_apart;
#if PATCHES
/* What the axis with several elements contributes is looked up: rows of b, which change with the steps, or its columns. */
#define FETCH_B(e) b##e = (e) * B_APART < b_there ? B_AT(from_b, B_ALONG_K ? own : shared[B_P(e)], B_ALONG_K ? shared[B_I(e)] : own) : 0;
#define FROM_B(matrix, first) (matrix)
#else
#define FETCH_B(e) \
    b##e = (e) * B_APART < b_there ? LOAD(from_b, 0) : 0; \
    from_b += b_apart;
#define FROM_B(matrix, first) ((matrix) + b_item + (B_ALONG_K ? first : first * b_row))
#endif
#define FETCH(step) \
    { \
        const int first = (step) % steps * TK; \
        const int a_there = THERE(A_ALONG_K, first + A_P(0), row0 + A_I(0), m), \
                  b_there = THERE(B_ALONG_K, first + B_P(0), column0 + B_I(0), n); \
        __global const S *from_a = A_MATRIX(matrix + (step) / steps) + a_item + (A_ALONG_K ? first : first * a_column); \
        __global const S *from_b = FROM_B(B_MATRIX(matrix + (step) / steps), first); \
        EACH_A(FETCH_A) \
        EACH_B(FETCH_B) \
    }
#define PUT_A(e) PUT(a_tile, TILE_I, A_ALONG_K, a_place, A_APART, e, a##e);
#define PUT_B(e) PUT(b_tile, TILE_J, B_ALONG_K, b_place, B_APART, e, b##e);

/* ---- Products ------------------------------------------------------------------------------------------------------------------- */

/* Row r of the work-item's block f: a vector of sums, and the component that a's vector holds it in. */
#define SUM(f, r) sum##f##r
#define DECLARE_SUM(f, r, component) T4 SUM(f, r) = 0;
#define MULTIPLY(f, r, component) SUM(f, r) += (T4)(left##f.component) * right;
#if BLOCKS == 1
#define LEFT(p, order) const T4 left0 = BLOCK(a_tile, TILE_I, p, y).order;
#else
#define LEFT(p, order) const T4 left0 = BLOCK(a_tile, TILE_I, p, y).order, left1 = BLOCK(a_tile, TILE_I, p, y + SIDE).order;
#endif
#define STEP(p, order) \
    { \
        LEFT(p, order) \
        const T4 right = BLOCK(b_tile, TILE_J, p, x).order; \
        EACH_ROW(MULTIPLY) \
    }

/* Four neighbours of a row of c, of which `there` are inside. */
static void store_four(__global S *c, long at, T4 sum, int there, REAL alpha, REAL beta)
{
    if (there >= 4 && alpha == 1 && beta == 0) {
#if S_TYPE == 10
        vstore_half4_rte(sum, 0, c + at);
        return;
#elif S_TYPE == 1 || S_TYPE == 11 || S_TYPE == 6 || S_TYPE == 7
        vstore4(sum, 0, c + at);
        return;
#endif
    }
    if (there > 0) store_element(c, at, sum.x, alpha, beta);
    if (there > 1) store_element(c, at + 1, sum.y, alpha, beta);
    if (there > 2) store_element(c, at + 2, sum.z, alpha, beta);
    if (there > 3) store_element(c, at + 3, sum.w, alpha, beta);
}

static void keep_four(__global T *sums, long at, T4 sum, int there)
{
    if (there >= 4) {
        vstore4(sum, 0, sums + at);
        return;
    }
    if (there > 0) sums[at] = sum.x;
    if (there > 1) sums[at + 1] = sum.y;
    if (there > 2) sums[at + 2] = sum.z;
}

#if SPLIT
#define RESULT_PARAMS __global uchar *scratch, long scratch_tensor
#define KEEP(i, sum) keep_four(c, (long)(i)*n + column, sum, n - column)
#else
#define RESULT_PARAMS C_PARAMS
#define KEEP(i, sum) store_four(c, (long)(i)*c_row + column, sum, n - column, alpha, beta)
#endif
#define KEEP_SUM(f, r, component) \
    if (row0 + 4 * (y + f * SIDE) + r < m) KEEP(row0 + 4 * (y + f * SIDE) + r, SUM(f, r));

/* Index space: columns of c by tiles, rows by tiles (SIDE work-items a tile along both), matrices of the batch times parts. */
__kernel NARROW __attribute__((reqd_work_group_size(SIDE, SIDE, 1))) void gemm_groups(RESULT_PARAMS, A_PARAMS, B_PARAMS, int m, int n,
                                                                                      int k, int summed, int parts, int part_steps,
                                                                                      REAL alpha, REAL beta)
{
    __local T4 a_tile[TILE_BLOCKS(TILE_I)], b_tile[TILE_BLOCKS(TILE_J)];
    const int x = get_local_id(0), y = get_local_id(1), item = x + SIDE * y;
    const int column0 = (int)get_global_id(0) / SIDE * TILE_J, row0 = (int)get_global_id(1) / SIDE * TILE_I;
    const int z = get_global_id(2), matrix = z / parts, part = z % parts;
    const int steps = (k + TK - 1) / TK, begin = part * part_steps, end = min(begin + part_steps, steps * summed);
#if SPLIT
    __global T *c = (__global T *)(scratch + scratch_tensor) + (long)z * m * n;
#else
    c = C_MATRIX(matrix);
#endif
    const int a_place = PLACE(TILE_I, A_P(0), A_I(0)), b_place = PLACE(TILE_J, B_P(0), B_I(0));
    const long a_item = A_ALONG_K ? (row0 + A_I(0)) * a_row + A_P(0) : row0 + A_I(0) + A_P(0) * a_column;
    const long a_apart = A_APART * (A_ALONG_K ? a_row : a_column);
#if PATCHES
    __local Part shared[B_ALONG_K ? TILE_J : TK];
    Part own = B_COLUMN(min(column0 + B_I(0), n - 1));
    if (B_ALONG_K) {
        for (int j = item; j < TILE_J; j += ITEMS) shared[j] = B_COLUMN(min(column0 + j, n - 1));
    }
#define NEXT_PARTS(step) \
    if (B_ALONG_K) own = B_ROW((step) % steps * TK + B_P(0)); \
    else if (item < TK) shared[item] = B_ROW((step) % steps * TK + item);
    NEXT_PARTS(begin)
    barrier(CLK_LOCAL_MEM_FENCE);
#else
    const long b_item = B_ALONG_K ? (column0 + B_I(0)) * b_column + B_P(0) : column0 + B_I(0) + B_P(0) * b_row;
    const long b_apart = B_APART * (B_ALONG_K ? b_column : b_row);
#define NEXT_PARTS(step)
#endif
    EACH_ROW(DECLARE_SUM)
    EACH_A(DECLARE_A)
    EACH_B(DECLARE_B)
    FETCH(begin)
#if PATCHES
    barrier(CLK_LOCAL_MEM_FENCE); /* the table is written anew */
#endif
    int step = begin;
    do { /* a part has a step at least; a loop that may have none holds its sums twice on Intel's */
        EACH_A(PUT_A)
        EACH_B(PUT_B)
        NEXT_PARTS(step + 1)
        barrier(CLK_LOCAL_MEM_FENCE);
        if (step + 1 < end) FETCH(step + 1)
        for (int p = 0; p < TK; p += 4) {
            STEP(p, xyzw)
            STEP(p + 1, yxwz)
            STEP(p + 2, zwxy)
            STEP(p + 3, wzyx)
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    } while (++step < end);
    const int column = column0 + 4 * x;
    EACH_ROW(KEEP_SUM)
}

/* Index space: elements of c, matrices of the batch. */
__kernel void add_parts(C_PARAMS, __global const uchar *scratch, long scratch_tensor, int m, int n, int parts, REAL alpha, REAL beta)
{
    const long at = get_global_id(0), z = get_global_id(1), count = (long)m * n;
    if (at >= count) return;
    __global const T *sums = (__global const T *)(scratch + scratch_tensor) + z * parts * count + at;
    T sum = 0;
    for (int part = 0; part < parts; part++) sum += sums[part * count];
    store_element(C_MATRIX(z), at / n * c_row + at % n, sum, alpha, beta);
}
