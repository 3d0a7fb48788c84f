/* Resampling along one axis by a table (plugins/resize_table.h). */
#include "common.clh"

/* y [outer, count, inner] = sum over k of weights [count, taps] times x [outer, length, inner] from starts [count] on.  The gradient is the
   same with the transposed table.  Work-items: outer * count * inner. */
__kernel void interpolate(__global const S *x, long x_at, __global const int *starts, long starts_at, __global const D *weights,
                          long weights_at, __global S *y, long y_at, long outer, long length, long count, long inner, long taps)
{
    long n = get_global_id(0), i = n / inner % count, o = n / inner / count;
    if (o >= outer) return;
    long first = starts[starts_at + i], from = x_at + (o * length + first) * inner + n % inner;
    ACC sum = 0;
    for (long k = 0; k < taps; k++)
        if (first + k >= 0 && first + k < length) sum += (T)LOAD_D(weights, weights_at + i * taps + k) * LOAD(x, from + k * inner);
    STORE(y, y_at + n, sum);
}
