/* Resampling along one axis by a table (plugins/resize_table.h). */
#include "common.clh"

/* Neighbours in memory that a work-item makes at a time: vectors on CPUs. */
#ifndef SIDE_BY_SIDE
#define SIDE_BY_SIDE 1
#endif

/* y = the sum of `rows` rows of x, `inner` apart, times their weights; `there` elements of them. */
static void weighted_sum(__global const S *x, __global const D *weights, __global S *y, long rows, long inner, int there)
{
    ACC sum[SIDE_BY_SIDE];
    for (int l = 0; l < there; l++) sum[l] = 0;
    for (long j = 0; j < rows; j++) {
        const T w = (T)LOAD_D(weights, j);
        for (int l = 0; l < there; l++) sum[l] += w * LOAD(x, j * inner + l);
    }
    for (int l = 0; l < there; l++) STORE(y, l, sum[l]);
}

/* y [outer, count, inner] = sum over k of weights [count, taps] times x [outer, length, inner] from starts [count] on.  The gradient is the
   same with the transposed table.  Work-items: ceil(outer * count * ceil(inner / SIDE_BY_SIDE) / chunk). */
__kernel void interpolate(__global const S *x, long x_at, __global const int *starts, long starts_at, __global const D *weights,
                          long weights_at, __global S *y, long y_at, long outer, long length, long count, long inner, long taps, long chunk)
{
    const long blocks = (inner + SIDE_BY_SIDE - 1) / SIDE_BY_SIDE, begin = get_global_id(0) * chunk;
    const long end = min(begin + chunk, outer * count * blocks);
    long block = begin % blocks, i = begin / blocks % count, row = begin / blocks;
    x += x_at + (row - i) / count * length * inner;
    for (long n = begin; n < end; n++) {
        const long start = starts[starts_at + i], skipped = max(-start, 0L), rows = min(taps, length - start) - skipped;
        const long column = block * SIDE_BY_SIDE;
        __global const S *from = x + (start + skipped) * inner + column;
        __global const D *some = weights + weights_at + i * taps + skipped;
        __global S *to = y + y_at + row * inner + column;
        if (column + SIDE_BY_SIDE <= inner) weighted_sum(from, some, to, rows, inner, SIDE_BY_SIDE);
        else weighted_sum(from, some, to, rows, inner, (int)(inner - column));
        if (++block < blocks) continue;
        block = 0;
        row++;
        if (++i < count) continue;
        i = 0;
        x += length * inner;
    }
}
