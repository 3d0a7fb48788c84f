/* Sums, largest and smallest elements and products (COMBINATION 0 to 3) over any set of axes.
 *
 * The host merges neighbouring axes of the same kind, so that at most four kept and four reduced ones are left.  `k1 k2 k3` are the
 * lengths of the last three kept axes, `ks0 .. ks3` the strides of all four in x, in elements; r1 .. and rs0 .. say the same of the
 * reduced.  A result over many elements is made of chunks: first [results, chunks], then the same kernel again over those. */
#include "axes.clh"
#include "common.clh"
#include "head.clh"

/* Tests for NaN, x != x, are written for integers too. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wtautological-compare"
#endif

#ifndef COMBINATION
#define COMBINATION 0
#endif

/* The least and the largest number of the type: what nothing at all has as its largest and its smallest. */
#if S_TYPE == 1 || S_TYPE == 10 || S_TYPE == 11
#define LEAST (-INFINITY)
#define MOST INFINITY
#elif S_TYPE == 2
#define LEAST 0
#define MOST UCHAR_MAX
#elif S_TYPE == 9
#define LEAST 0
#define MOST 1
#elif S_TYPE == 3
#define LEAST CHAR_MIN
#define MOST CHAR_MAX
#elif S_TYPE == 4
#define LEAST 0
#define MOST USHRT_MAX
#elif S_TYPE == 5
#define LEAST SHRT_MIN
#define MOST SHRT_MAX
#elif S_TYPE == 6
#define LEAST INT_MIN
#define MOST INT_MAX
#elif S_TYPE == 7
#define LEAST LONG_MIN
#define MOST LONG_MAX
#elif S_TYPE == 12
#define LEAST 0
#define MOST UINT_MAX
#else
#define LEAST 0
#define MOST ULONG_MAX
#endif

/* Of the largest and the smallest the first wins a tie, and NaN wins over numbers. */
#if COMBINATION == 0
#define NEUTRAL 0
#define COMBINE(a, b) ((a) + (b))
#elif COMBINATION == 1
#define NEUTRAL LEAST
#define COMBINE(a, b) ((a) >= (b) || (a) != (a) ? (a) : (b))
#elif COMBINATION == 2
#define NEUTRAL MOST
#define COMBINE(a, b) ((a) <= (b) || (a) != (a) ? (a) : (b))
#else
#define NEUTRAL 1
#define COMBINE(a, b) ((a) * (b))
#endif

/* A mean of integers is cut off towards 0. */
#if S_TYPE == 1 || S_TYPE == 10 || S_TYPE == 11
#define SCALED(sum) ((sum)*scale)
#else
#define SCALED(sum) ((sum) / divisor)
#endif

/* On CPUs several results, or parts of one, are made side by side, so that the compiler uses vectors. */
#if WG == 1
#define PARTS 16
#define COLUMNS 512 /* columns of a work-item in reduce_columns: long runs of memory, and sums that stay in the nearest cache */
#define WINNER_COLUMNS 16 /* ... and in winner_columns */
#else
#define COLUMNS 1
#define WINNER_COLUMNS 1
#endif

#if WG == 1
#define LINE \
    512 /* elements that a head computes, and stores others beside, before they are combined: stores and sums do not vectorise together */

/* All n elements from x on, neighbours. */
static ACC whole_run(ROW x, long n HEAD_PARAMS)
{
    ACC part[PARTS], rest = NEUTRAL;
    long i = 0;
    for (int p = 0; p < PARTS; p++) part[p] = NEUTRAL;
#if HEAD_STORES
    ACC line[LINE];
    while (i + PARTS <= n) {
        const int some = (int)min((n - i) / PARTS * PARTS, (long)LINE);
#pragma clang loop vectorize(assume_safety)
        for (int j = 0; j < some; j++) line[j] = ELEMENT(x, i + j);
        for (int j = 0; j < some; j += PARTS) {
            for (int p = 0; p < PARTS; p++) part[p] = COMBINE(part[p], line[j + p]);
        }
        i += some;
    }
#else
    for (; i + PARTS <= n; i += PARTS) {
        for (int p = 0; p < PARTS; p++) {
            ACC v = ELEMENT(x, i + p);
            part[p] = COMBINE(part[p], v);
        }
    }
#endif
    for (; i < n; i++) {
        ACC v = ELEMENT(x, i);
        rest = COMBINE(rest, v);
    }
    for (int half_of = PARTS / 2; half_of > 0; half_of /= 2) {
        for (int p = 0; p < half_of; p++) part[p] = COMBINE(part[p], part[p + half_of]);
    }
    return COMBINE(part[0], rest);
}
#endif

static ACC group_combine(__local ACC *shared, ACC x)
{
#if WG > 1
    shared[LANE] = x;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_of = WG / 2; half_of > 0; half_of /= 2) {
        if (LANE < half_of) shared[LANE] = COMBINE(shared[LANE], shared[LANE + half_of]);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    x = shared[0];
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    return x;
}

/* y [results, chunks]: element (o, c) combines `chunk` of the `length` elements of result o, times `scale` (integers: over `divisor`).
   Groups: results * chunks. */
__kernel void reduce_any(__global const S *x, long x_at, __global D *y, long y_at, long results, long length, long chunks, long chunk,
                         long k1, long k2, long k3, long ks0, long ks1, long ks2, long ks3, long r1, long r2, long r3, long rs0, long rs1,
                         long rs2, long rs3, REAL scale, long divisor HEAD_PARAMS)
{
    __local ACC shared[WG];
    long o = GROUP / chunks, first = GROUP % chunks * chunk, end = min(first + chunk, length);
    GROUP_GUARD(results * chunks);
    ROWS_FROM(x, x_at, place(o, k1, k2, k3, ks0, ks1, ks2, ks3));
    ACC sum = NEUTRAL;
#if WG == 1
    /* by runs along the last reduced axis, so that places are worked out once a run */
    for (long i = first; i < end;) {
        long at = i % r3, n = min(r3 - at, end - i), run = place(i, r1, r2, r3, rs0, rs1, rs2, rs3);
        if (rs3 == 1) {
            ACC v = whole_run(ROW_FROM(x, run), n HEAD_ARGS);
            sum = COMBINE(sum, v);
        } else {
            for (long j = 0; j < n; j++) {
                ACC v = ELEMENT(ROW_FROM(x, run + j * rs3), 0);
                sum = COMBINE(sum, v);
            }
        }
        i += n;
    }
#else
    if (r1 == 1 && r2 == 1 && r3 == length) {
        for (long i = first + LANE; i < end; i += WG) {
            ACC v = ELEMENT(ROW_FROM(x, i * rs3), 0);
            sum = COMBINE(sum, v);
        }
    } else {
        for (long i = first + LANE; i < end; i += WG) {
            ACC v = ELEMENT(ROW_FROM(x, place(i, r1, r2, r3, rs0, rs1, rs2, rs3)), 0);
            sum = COMBINE(sum, v);
        }
    }
    sum = group_combine(shared, sum);
#endif
    if (LANE == 0) STORE_D(y, y_at + GROUP, (TD)SCALED(sum));
}

/* x [outer, length, inner] to y [outer, chunks, inner], chunk c from rows c * chunk on.  Work-items: outer * chunks * ceil(inner / COLUMNS),
   each with COLUMNS neighbouring columns.  chunk is below 2^32: a counter of 64 bits is what makes Intel's compiler spill. */
__kernel void reduce_columns(__global const S *x, long x_at, __global D *y, long y_at, long outer, long length, long inner, long chunks,
                             long chunk, REAL scale, long divisor HEAD_PARAMS)
{
    long blocks = (inner + COLUMNS - 1) / COLUMNS, i = get_global_id(0), column = i % blocks * COLUMNS, c = i / blocks % chunks;
    long o = i / blocks / chunks;
    uint rows = (uint)min(chunk, length - c * chunk);
    if (o >= outer) return;
    ROWS_FROM(x, x_at, (o * length + c * chunk) * inner + column);
    y += y_at + (o * chunks + c) * inner + column;
    int n = COLUMNS == 1 ? 1 : (int)min(inner - column, (long)COLUMNS);
    ACC sum[COLUMNS];
    for (int k = 0; k < n; k++) sum[k] = NEUTRAL;
    for (uint r = 0; r < rows; r++) {
        ROW row = ROW_FROM(x, r * inner);
#if HEAD_STORES
#pragma clang loop vectorize(assume_safety)
#endif
        for (int k = 0; k < n; k++) {
            ACC v = ELEMENT(row, k);
            sum[k] = COMBINE(sum[k], v);
        }
    }
    for (int k = 0; k < n; k++) STORE_D(y, k, (TD)SCALED(sum[k]));
}

/* ---- The gradient of the largest or smallest: that of the result at the first element that equals it, else 0 ----------------------- */

/* Where NaN won, the first NaN. */
#define WINS(x, best) ((x) == (best) || ((x) != (x) && (best) != (best)))

#if WG == 1
/* The first of n elements, `step` apart, that wins; n where none does.  Blocks are looked through without a branch, by vectors. */
static long first_win(__global const S *x, long step, long n, T best)
{
    long i = 0;
    for (; step == 1 && i + PARTS <= n; i += PARTS) {
        int any = 0;
        for (int p = 0; p < PARTS; p++) {
            T v = LOAD(x, i + p);
            any |= WINS(v, best);
        }
        if (any) break;
    }
    for (; i < n; i++) {
        T v = LOAD(x, i * step);
        if (WINS(v, best)) break;
    }
    return i;
}
#endif

/* winners [results, chunks]: the first winning element of each chunk, `length` where there is none.  Groups: results * chunks. */
__kernel void winner_find(__global const S *x, long x_at, __global const S *y, long y_at, __global long *winners, long winners_at,
                          long results, long length, long chunks, long chunk, long k1, long k2, long k3, long ks0, long ks1, long ks2,
                          long ks3, long r1, long r2, long r3, long rs0, long rs1, long rs2, long rs3)
{
    __local long shared[WG];
    long o = GROUP / chunks, first = GROUP % chunks * chunk, end = min(first + chunk, length), found = length;
    GROUP_GUARD(results * chunks);
    x += x_at + place(o, k1, k2, k3, ks0, ks1, ks2, ks3);
    T best = LOAD(y, y_at + o);
#if WG == 1
    for (long i = first; i < end && found == length;) {
        long at = i % r3, n = min(r3 - at, end - i), here = first_win(x + place(i, r1, r2, r3, rs0, rs1, rs2, rs3), rs3, n, best);
        if (here < n) found = i + here;
        i += n;
    }
#else
    for (long i = first + LANE; i < end && found == length; i += WG) {
        T v = LOAD(x, place(i, r1, r2, r3, rs0, rs1, rs2, rs3));
        if (WINS(v, best)) found = i;
    }
    shared[LANE] = found;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_of = WG / 2; half_of > 0; half_of /= 2) {
        if (LANE < half_of) shared[LANE] = min(shared[LANE], shared[LANE + half_of]);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    found = shared[0];
#endif
    if (LANE == 0) winners[winners_at + GROUP] = found;
}

/* dx is g of its result at the first winner of all chunks, else 0.  Groups: results * chunks. */
__kernel void winner_spread(__global const long *winners, long winners_at, __global const S *g, long g_at, __global S *dx, long dx_at,
                            long results, long length, long chunks, long chunk, long k1, long k2, long k3, long ks0, long ks1, long ks2,
                            long ks3, long r1, long r2, long r3, long rs0, long rs1, long rs2, long rs3)
{
    long o = GROUP / chunks, first = GROUP % chunks * chunk, end = min(first + chunk, length), winner = length;
    GROUP_GUARD(results * chunks);
    dx += dx_at + place(o, k1, k2, k3, ks0, ks1, ks2, ks3);
    for (long c = 0; c < chunks && winner == length; c++) winner = winners[winners_at + o * chunks + c];
    T up = LOAD(g, g_at + o);
#if WG == 1
    for (long i = first; i < end;) {
        long at = i % r3, n = min(r3 - at, end - i);
        __global S *run = dx + place(i, r1, r2, r3, rs0, rs1, rs2, rs3);
        if (rs3 == 1) {
            for (long j = 0; j < n; j++) STORE(run, j, (T)0);
        } else {
            for (long j = 0; j < n; j++) STORE(run, j * rs3, (T)0);
        }
        if (winner >= i && winner < i + n) STORE(run, (winner - i) * rs3, up);
        i += n;
    }
#else
    for (long i = first + LANE; i < end; i += WG) STORE(dx, place(i, r1, r2, r3, rs0, rs1, rs2, rs3), i == winner ? up : (T)0);
#endif
}

/* x [outer, length, inner], y and g [outer, inner], in one pass.  Work-items: outer * ceil(inner / WINNER_COLUMNS); length is below 2^32. */
__kernel void winner_columns(__global const S *x, long x_at, __global const S *y, long y_at, __global const S *g, long g_at, __global S *dx,
                             long dx_at, long outer, long length, long inner)
{
    long blocks = (inner + WINNER_COLUMNS - 1) / WINNER_COLUMNS, i = get_global_id(0), o = i / blocks, column = i % blocks * WINNER_COLUMNS;
    if (o >= outer) return;
    int n = WINNER_COLUMNS == 1 ? 1 : (int)min(inner - column, (long)WINNER_COLUMNS);
    T best[WINNER_COLUMNS], up[WINNER_COLUMNS]; /* up becomes 0 once it is given */
    for (int k = 0; k < n; k++) {
        best[k] = LOAD(y, y_at + o * inner + column + k);
        up[k] = LOAD(g, g_at + o * inner + column + k);
    }
    x += x_at + o * length * inner + column;
    dx += dx_at + o * length * inner + column;
    for (uint r = 0; r < (uint)length; r++) {
        for (int k = 0; k < n; k++) {
            T v = LOAD(x, r * inner + k);
            int wins = WINS(v, best[k]);
            STORE(dx, r * inner + k, wins ? up[k] : (T)0);
            up[k] = wins ? (T)0 : up[k];
        }
    }
}
