/* Running sums along one axis of x [outer, length, inner].  Element j of row (o, i) lies at (o * length + j) * inner + i; a row is made in
 * chunks, so that a long one occupies the whole device.  Backwards (`reverse`) place j counts from the end. */
#include "common.clh"

#if WG == 1
#define COLUMNS 16 /* neighbouring rows of a work-item in scan_columns */
#else
#define COLUMNS 1
#endif

/* totals [rows, chunks].  Work-items: rows * chunks, rows = outer * inner. */
__kernel void scan_totals(__global const S *x, long x_at, __global D *totals, long totals_at, long rows, long length, long inner,
                          long chunks, long chunk, int reverse)
{
    long i = get_global_id(0), r = i / chunks, first = i % chunks * chunk, end = min(first + chunk, length);
    if (r >= rows) return;
    ACC sum = 0;
    x += x_at + r / inner * length * inner + r % inner;
    for (long j = first; j < end; j++) sum += LOAD(x, (reverse ? length - 1 - j : j) * inner);
    STORE_D(totals, totals_at + i, (TD)sum);
}

/* y_j = x_0 + ... + x_j, without x_j where `exclusive`.  totals may be absent where there is one chunk.  Work-items: rows * chunks. */
__kernel void scan_rows(__global const S *x, long x_at, __global S *y, long y_at, __global const D *totals, long totals_at, long rows,
                        long length, long inner, long chunks, long chunk, int reverse, int exclusive)
{
    long i = get_global_id(0), r = i / chunks, c = i % chunks, first = c * chunk, end = min(first + chunk, length);
    if (r >= rows) return;
    ACC sum = 0;
    for (long k = 0; k < c; k++) sum += LOAD_D(totals, totals_at + r * chunks + k);
    x += x_at + r / inner * length * inner + r % inner;
    y += y_at + r / inner * length * inner + r % inner;
    for (long j = first; j < end; j++) {
        long at = (reverse ? length - 1 - j : j) * inner;
        ACC v = LOAD(x, at);
        STORE(y, at, exclusive ? sum : sum + v);
        sum += v;
    }
}

/* The same for neighbouring rows side by side, in one piece.  Work-items: outer * ceil(inner / COLUMNS). */
__kernel void scan_columns(__global const S *x, long x_at, __global S *y, long y_at, long outer, long length, long inner, int reverse,
                           int exclusive)
{
    long blocks = (inner + COLUMNS - 1) / COLUMNS, i = get_global_id(0), o = i / blocks, column = i % blocks * COLUMNS;
    if (o >= outer) return;
    int n = COLUMNS == 1 ? 1 : (int)min(inner - column, (long)COLUMNS);
    ACC sum[COLUMNS];
    for (int k = 0; k < COLUMNS; k++) sum[k] = 0;
    x += x_at + o * length * inner + column;
    y += y_at + o * length * inner + column;
    for (long j = 0; j < length; j++) {
        long at = (reverse ? length - 1 - j : j) * inner;
        for (int k = 0; k < n; k++) {
            ACC v = LOAD(x, at + k), with = sum[k] + v;
            STORE(y, at + k, exclusive ? sum[k] : with);
            sum[k] = with;
        }
    }
}
