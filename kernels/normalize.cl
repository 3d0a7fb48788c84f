/* Batch normalisation of x [batch, channels, inner], channel by channel.  Statistics are kept in type D (float, or double for doubles). */
#include "common.clh"

/* Place of element i of channel c, i counting over batch and inner. */
#define AT(i) (((i) / inner * channels + c) * inner + (i) % inner)

/* Mean and 1 / sqrt(variance + epsilon) of each channel: of x with training, which also moves the running statistics, else the running
   ones.  New running statistics are written where they are wanted (offset >= 0).  Groups: channels. */
__kernel void batch_statistics(__global const S *x, long x_at, __global const S *mean_in, long mean_in_at, __global const S *var_in,
                               long var_in_at, __global S *mean_out, long mean_out_at, __global S *var_out, long var_out_at, __global D *mean,
                               long mean_at, __global D *inverse, long inverse_at, long channels, long count, long inner, REAL epsilon, REAL momentum,
                               int training)
{
    __local ACC shared[WG];
    long c = GROUP;
    GROUP_GUARD(channels);
    ACC average = LOAD(mean_in, mean_in_at + c), variance = LOAD(var_in, var_in_at + c), old_average = average, old_variance = variance;
    if (training) {
        ACC sum = 0, squares = 0;
        for (long i = LANE; i < count; i += WG) sum += LOAD(x, x_at + AT(i));
        average = group_sum(shared, sum) / count;
        for (long i = LANE; i < count; i += WG) {
            ACC d = LOAD(x, x_at + AT(i)) - average;
            squares += d * d;
        }
        variance = group_sum(shared, squares) / count;
    }
    if (LANE > 0) return;
    STORE_D(mean, mean_at + c, average);
    STORE_D(inverse, inverse_at + c, 1 / sqrt(variance + epsilon));
    if (mean_out_at >= 0) STORE(mean_out, mean_out_at + c, training ? momentum * old_average + (1 - momentum) * average : old_average);
    if (var_out_at >= 0) STORE(var_out, var_out_at + c, training ? momentum * old_variance + (1 - momentum) * variance : old_variance);
}

/* y = (x - mean) * inverse * scale + bias.  Work-items: n, all elements. */
__kernel void batch_apply(__global const S *x, long x_at, __global const S *scale, long scale_at, __global const S *bias, long bias_at,
                          __global const D *mean, long mean_at, __global const D *inverse, long inverse_at, __global S *y, long y_at, long n,
                          long channels, long inner)
{
    long i = get_global_id(0), c = i / inner % channels;
    if (i >= n) return;
    T a = LOAD_D(inverse, inverse_at + c) * LOAD(scale, scale_at + c);
    STORE(y, y_at + i, (LOAD(x, x_at + i) - LOAD_D(mean, mean_at + c)) * a + LOAD(bias, bias_at + c));
}

/* sums [2, channels]: of g, and of g times the normalised x; the same as gradients of bias and scale where wanted.  Groups: channels. */
__kernel void batch_sums(__global const S *x, long x_at, __global const S *g, long g_at, __global const D *mean, long mean_at,
                         __global const D *inverse, long inverse_at, __global D *sums, long sums_at, __global S *dscale, long dscale_at,
                         __global S *dbias, long dbias_at, long channels, long count, long inner)
{
    __local ACC shared[WG];
    long c = GROUP;
    GROUP_GUARD(channels);
    ACC average = LOAD_D(mean, mean_at + c), factor = LOAD_D(inverse, inverse_at + c), sum = 0, product = 0;
    for (long i = LANE; i < count; i += WG) {
        ACC up = LOAD(g, g_at + AT(i));
        sum += up;
        product += up * (LOAD(x, x_at + AT(i)) - average);
    }
    sum = group_sum(shared, sum);
    product = group_sum(shared, product) * factor;
    if (LANE > 0) return;
    STORE_D(sums, sums_at + c, sum);
    STORE_D(sums, sums_at + channels + c, product);
    if (dbias_at >= 0) STORE(dbias, dbias_at + c, sum);
    if (dscale_at >= 0) STORE(dscale, dscale_at + c, product);
}

/* dx = scale * inverse * (g - (sum g + xn * sum g xn) / count) with training, xn the normalised x; else scale * inverse * g.  With training
   the gradients gm and gi of mean and inverse come in too; any of g, gm, gi may be absent.  Work-items: n. */
__kernel void batch_backward(__global const S *x, long x_at, __global const S *g, long g_at, __global const S *scale, long scale_at,
                             __global const D *mean, long mean_at, __global const D *inverse, long inverse_at, __global const D *sums,
                             long sums_at, __global const D *gm, long gm_at, __global const D *gi, long gi_at, __global S *dx, long dx_at,
                             long n, long channels, long count, long inner, int training)
{
    long i = get_global_id(0), c = i / inner % channels;
    if (i >= n) return;
    ACC factor = LOAD_D(inverse, inverse_at + c), d = g_at >= 0 ? (ACC)LOAD(g, g_at + i) : (ACC)0, saved = 0;
    if (training) {
        ACC xn = (LOAD(x, x_at + i) - LOAD_D(mean, mean_at + c)) * factor;
        if (g_at >= 0) d -= (LOAD_D(sums, sums_at + c) + xn * LOAD_D(sums, sums_at + channels + c)) / count;
        if (gm_at >= 0) saved += LOAD_D(gm, gm_at + c) / count;
        if (gi_at >= 0) saved -= LOAD_D(gi, gi_at + c) * factor * factor * xn / count;
    }
    STORE(dx, dx_at + i, LOAD(scale, scale_at + c) * factor * d + saved);
}
