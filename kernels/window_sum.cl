/* Sums over a window of neighbouring channels of x [outer, channels, inner]. */
#include "common.clh"

/* y of channel c is the sum of the channels c - ahead to c + behind, those that there are.  Work-items: n, all elements. */
__kernel void window_sum(__global const S *x, long x_at, __global S *y, long y_at, long n, long channels, long inner, long ahead,
                         long behind)
{
    long i = get_global_id(0), c = i / inner % channels;
    if (i >= n) return;
    long first = max(c - ahead, 0L), last = min(c + behind, channels - 1);
    ACC sum = 0;
    x += x_at + i - c * inner;
    for (long k = first; k <= last; k++) sum += LOAD(x, k * inner);
    STORE(y, y_at + i, sum);
}
