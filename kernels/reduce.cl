/* Sums (MAXIMUM=0) or largest elements (MAXIMUM=1) over any set of axes.
 *
 * The host merges neighbouring axes of the same kind, so that at most four kept and four reduced ones are left.  `k1 k2 k3` are the
 * lengths of the last three kept axes, `ks0 .. ks3` the strides of all four in x, in elements; r1 .. and rs0 .. say the same of the reduced. */
#include "common.clh"

#ifndef MAXIMUM
#define MAXIMUM 0
#endif
#if MAXIMUM
#define COMBINE(a, b) ((a) >= (b) || (a) != (a) ? (a) : (b))
#define GROUP_COMBINE group_max
#else
#define COMBINE(a, b) ((a) + (b))
#define GROUP_COMBINE group_sum
#endif

/* Sums of integers are exact and have no factor. */
#if S_TYPE == 1 || S_TYPE == 10 || S_TYPE == 11
#define SCALED(sum) ((sum) * scale)
#else
#define SCALED(sum) (sum)
#endif

#define COLUMNS 8 /* columns of a work-item in reduce_columns */

/* Where element i of an axis set of lengths (any, d1, d2, d3) with strides s0 .. s3 lies. */
static long place(long i, long d1, long d2, long d3, long s0, long s1, long s2, long s3)
{
    long at = 0;
    if (d3 != 1) {
        at += i % d3 * s3;
        i /= d3;
    }
    if (d2 != 1) {
        at += i % d2 * s2;
        i /= d2;
    }
    if (d1 != 1) {
        at += i % d1 * s1;
        i /= d1;
    }
    return at + i * s0;
}

/* y [results, chunks]: element (o, c) combines `chunk` of the `length` elements of result o, times `scale`.
   Groups: results * chunks.  Each chunk has an element where MAXIMUM. */
__kernel void reduce_any(__global const S *x, long x_at, __global D *y, long y_at, long results, long length, long chunks, long chunk, long k1,
                         long k2, long k3, long ks0, long ks1, long ks2, long ks3, long r1, long r2, long r3, long rs0, long rs1, long rs2,
                         long rs3, REAL scale)
{
    __local ACC shared[WG];
    long o = GROUP / chunks, first = GROUP % chunks * chunk, end = min(first + chunk, length);
    GROUP_GUARD(results * chunks);
    x += x_at + place(o, k1, k2, k3, ks0, ks1, ks2, ks3);
#if MAXIMUM
    ACC sum = LOAD(x, place(first, r1, r2, r3, rs0, rs1, rs2, rs3));
#else
    ACC sum = 0;
#endif
    if (r1 == 1 && r2 == 1 && r3 == 1) {
        for (long i = first + LANE; i < end; i += WG) {
            ACC v = LOAD(x, i * rs0);
            sum = COMBINE(sum, v);
        }
    } else {
        for (long i = first + LANE; i < end; i += WG) {
            ACC v = LOAD(x, place(i, r1, r2, r3, rs0, rs1, rs2, rs3));
            sum = COMBINE(sum, v);
        }
    }
    sum = GROUP_COMBINE(shared, sum);
    if (LANE == 0) STORE_D(y, y_at + GROUP, (TD)SCALED(sum));
}

/* x [outer, length, inner] to y [outer, inner].  Work-items: outer * ceil(inner / COLUMNS), each with COLUMNS neighbouring columns.
   length is below 2^32: a counter of 64 bits is what makes Intel's compiler spill. */
__kernel void reduce_columns(__global const S *x, long x_at, __global D *y, long y_at, long outer, long length, long inner, REAL scale)
{
    long blocks = (inner + COLUMNS - 1) / COLUMNS, i = get_global_id(0), o = i / blocks, column = i % blocks * COLUMNS;
    if (o >= outer) return;
    ACC sum[COLUMNS];
    x += x_at + o * length * inner + column;
    y += y_at + o * inner + column;
    if (column + COLUMNS <= inner) {
        for (int c = 0; c < COLUMNS; c++) sum[c] = LOAD(x, c);
        for (uint r = 1; r < (uint)length; r++) {
            for (int c = 0; c < COLUMNS; c++) {
                ACC v = LOAD(x, r * inner + c);
                sum[c] = COMBINE(sum[c], v);
            }
        }
        /* Where half is stored in software, NVIDIA's compiler would keep the sums in memory instead. */
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) STORE_D(y, c, (TD)SCALED(sum[c]));
        return;
    }
    for (int c = 0; column + c < inner; c++) {
        ACC one = LOAD(x, c);
        for (long r = 1; r < length; r++) {
            ACC v = LOAD(x, r * inner + c);
            one = COMBINE(one, v);
        }
        STORE_D(y, c, (TD)SCALED(one));
    }
}

/* Gradient of the largest: dx is g at the first element of each result that equals y, else 0.  Work-items: results. */
__kernel void reduce_winner(__global const S *x, long x_at, __global const S *y, long y_at, __global const S *g, long g_at, __global S *dx,
                            long dx_at, long results, long length, long k1, long k2, long k3, long ks0, long ks1, long ks2, long ks3, long r1,
                            long r2, long r3, long rs0, long rs1, long rs2, long rs3)
{
    long o = get_global_id(0);
    if (o >= results) return;
    long base = place(o, k1, k2, k3, ks0, ks1, ks2, ks3);
    T best = LOAD(y, y_at + o), up = LOAD(g, g_at + o);
    int found = 0;
    for (long i = 0; i < length; i++) {
        long at = base + place(i, r1, r2, r3, rs0, rs1, rs2, rs3);
        int wins = !found && LOAD(x, x_at + at) == best;
        STORE(dx, dx_at + at, wins ? up : (T)0);
        found |= wins;
    }
}
