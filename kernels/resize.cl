/* Resampling along one axis by a table (plugins/resize_table.h). */
#include "common.clh"
#include "walk.clh"

#define RUN 16 /* sums at a time of a work-item that makes a row */

#if WG == 1
/* n elements along the axis that is resampled, where that is the last: x is a row of `length` elements. */
static void resample_row(__global S *restrict y, __global const S *restrict x, __global const int *restrict starts,
                         __global const D *restrict weights, int length, int taps, long n)
{
    for (long first = 0; first < n; first += RUN) {
        const int few = (int)min((long)RUN, n - first);
        ACC sum[RUN];
        for (int j = 0; j < few; j++) sum[j] = 0;
        for (int k = 0; k < taps; k++) {
            for (int j = 0; j < few; j++) {
                const int at = starts[first + j] + k;
                const bool inside = at >= 0 && at < length;
                const T product = (T)LOAD_D(weights, (first + j) * taps + k) * LOAD(x, inside ? at : 0);
                sum[j] += inside ? product : 0;
            }
        }
        for (int j = 0; j < few; j++) STORE(y, first + j, sum[j]);
    }
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
        if (is7 == 1) resample_row(y + place, x + own, starts + first_i, weights + weights_at + first_i * taps, (int)length, (int)taps, PIECE_LENGTH);
        else if (is7 == 0 && xs7 == 1) {
            const long start = starts[first_i], end = min(taps, length - start), w = weights_at + first_i * taps;
            for (long first = 0; first < PIECE_LENGTH; first += RUN) {
                const int few = (int)min((long)RUN, PIECE_LENGTH - first);
                ACC sum[RUN];
                for (int j = 0; j < RUN; j++) sum[j] = 0;
                for (long k = max(0L, -start); k < end; k++) {
                    const T weight = (T)LOAD_D(weights, w + k);
                    const long from = own + (start + k) * step + first;
                    for (int j = 0; j < few; j++) sum[j] += weight * LOAD(x, from + j);
                }
                for (int j = 0; j < few; j++) STORE(y, place + first + j, sum[j]);
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
