/* Resampling along one axis by a table (plugins/resize_table.h). */
#include "common.clh"
#include "walk.clh"

#ifndef TAPS
#define TAPS 0
#endif
#define RUN 16 /* sums at a time of a work-item that makes a row */

/* Weights of an output: a number where they are few, so that loops over them are none. */
#if TAPS > 0
#define N_TAPS TAPS
#else
#define N_TAPS ((int)taps)
#endif

#if WG == 1
/* Do RUN outputs read nothing but elements of the row? */
static bool all_inside(__global const int *starts, int taps, int length)
{
    int low = 0, high = 0;
    for (int j = 0; j < RUN; j++) {
        low = min(low, starts[j]);
        high = max(high, starts[j]);
    }
    return low == 0 && high <= length - taps;
}

/* n elements along the axis that is resampled, where that is the last: x is a row of `length` elements. */
static void resample_row(__global S *restrict y, __global const S *restrict x, __global const int *restrict starts,
                         __global const D *restrict weights, int length, int taps, long n)
{
    for (long first = 0; first < n; first += RUN, y += RUN, starts += RUN, weights += RUN * N_TAPS) {
        if (first + RUN <= n && all_inside(starts, N_TAPS, length)) {
#pragma unroll
            for (int j = 0; j < RUN; j++) {
                ACC sum = 0;
                for (int k = 0; k < N_TAPS; k++) sum += (T)LOAD_D(weights, j * N_TAPS + k) * LOAD(x, starts[j] + k);
                STORE(y, j, sum);
            }
        } else {
            for (int j = 0; j < min((long)RUN, n - first); j++) {
                const long start = starts[j], end = min((long)N_TAPS, length - start);
                ACC sum = 0;
                for (long k = max(0L, -start); k < end; k++) sum += (T)LOAD_D(weights, j * N_TAPS + k) * LOAD(x, start + k);
                STORE(y, j, sum);
            }
        }
    }
}

/* The same n <= RUN times with the same weights, where what belongs to one sum lies `step` apart and the sums beside each other. */
static void resample_columns(__global S *restrict y, __global const S *restrict x, __global const D *restrict weights, long step, int taps,
                             int n)
{
    ACC sum[RUN];
    for (int j = 0; j < n; j++) sum[j] = 0;
    for (int k = 0; k < taps; k++) {
        const T weight = (T)LOAD_D(weights, k);
        for (int j = 0; j < n; j++) sum[j] += weight * LOAD(x, k * step + j);
    }
    for (int j = 0; j < n; j++) STORE(y, j, sum[j]);
}
#endif

/* y [d0 .. d7], of which place i of the axis that is resampled is the sum over k of weights [count, taps] at (i, k) times x at place starts [count] at i,
   plus k, of that axis, which is `length` long with `step` elements between neighbours.  An element's i is sum i_a is_a, and it counts from sum i_a xs_a of x
   on.  The gradient is the same with the transposed table.  Work-items: the walk's, over y. */
__kernel void interpolate(__global const S *x, long x_at, __global const int *starts, long starts_at, __global const D *weights,
                          long weights_at, __global S *y, long y_at, long length, long step, long taps, WALK, EIGHT(is), EIGHT(xs))
{
    x += x_at;
    y += y_at;
    starts += starts_at;
    EACH_PIECE
    {
        const long first_i = WALKED(is) + PIECE_AT * is7, own = WALKED(xs) + PIECE_AT * xs7;
#if WG == 1
        if (is7 == 1)
            resample_row(y + place, x + own, starts + first_i, weights + weights_at + first_i * taps, (int)length, (int)taps, PIECE_LENGTH);
        else if (is7 == 0 && xs7 == 1) {
            const long start = starts[first_i], k = max(0L, -start), few = min(taps, length - start) - k;
            __global const D *of_place = weights + weights_at + first_i * taps + k;
            for (long j = 0; j < PIECE_LENGTH; j += RUN) {
                __global const S *from = x + own + (start + k) * step + j;
                if (j + RUN <= PIECE_LENGTH && few == N_TAPS) resample_columns(y + place + j, from, of_place, step, N_TAPS, RUN);
                else resample_columns(y + place + j, from, of_place, step, (int)few, (int)min((long)RUN, PIECE_LENGTH - j));
            }
        } else
#endif
            for (long j = 0; j < PIECE_LENGTH; j++) {
                const long i = first_i + j * is7, start = starts[i], end = min(taps, length - start), w = weights_at + i * taps;
                ACC sum = 0;
                for (long k = max(0L, -start); k < end; k++) sum += (T)LOAD_D(weights, w + k) * LOAD(x, own + j * xs7 + (start + k) * step);
                STORE(y, place + j, sum);
            }
    }
}
