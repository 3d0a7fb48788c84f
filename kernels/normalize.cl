/* Batch normalisation of x [batch, channels, inner], channel by channel.  Statistics are kept in type D (float, or double for doubles).
 * With WG=1 (CPUs) a work-item walks over whole planes of `inner` contiguous elements, in vectors; else neighbouring work-items take neighbouring
 * elements. */
#include "common.clh"
#include "vector.clh"

#if WG == 1
#define PLANE(p, b) ((p) + ((b)*channels + c) * inner)
#else
/* Place of element i of channel c, i counting over batch and inner; and the channel of element i of all. */
#define SMALL(n) ((n) <= INT_MAX)
#define AT(i) \
    (SMALL(count) ? ((uint)(i) / (uint)inner * channels + c) * inner + (uint)(i) % (uint)inner : ((i) / inner * channels + c) * inner + (i) % inner)
#define CHANNEL(i) (SMALL(n) ? (uint)(i) / (uint)inner % (uint)channels : (i) / inner % channels)
#endif

/* Sums over channel c of x - centre, or of its square. */
static ACC channel_sum(__global const S *x, long c, long channels, long count, long inner, ACC centre, int squared)
{
#if WG == 1
    V lanes = 0;
    ACC sum = 0;
    for (long b = 0; b * inner < count; b++) {
        __global const S *plane = PLANE(x, b);
        long i = 0;
        for (; i + VN <= inner; i += VN) {
            const V d = VLOAD(plane, i) - (V)(centre);
            lanes += squared ? d * d : d;
        }
        for (; i < inner; i++) {
            const ACC d = LOAD(plane, i) - centre;
            sum += squared ? d * d : d;
        }
    }
    return sum + vector_sum(lanes);
#else
    ACC sum = 0;
    for (long i = LANE; i < count; i += WG) {
        const ACC d = LOAD(x, AT(i)) - centre;
        sum += squared ? d * d : d;
    }
    return sum;
#endif
}

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
    /* read by the lane that writes them: the outputs may lie in the same memory */
    ACC old_average = 0, old_variance = 0;
    if (LANE == 0) {
        old_average = LOAD(mean_in, mean_in_at + c);
        old_variance = LOAD(var_in, var_in_at + c);
    }
    ACC average = old_average, variance = old_variance;
    if (training) {
        average = group_sum(shared, channel_sum(x + x_at, c, channels, count, inner, 0, 0)) / count;
        variance = group_sum(shared, channel_sum(x + x_at, c, channels, count, inner, average, 1)) / count;
    }
    if (LANE > 0) return;
    STORE_D(mean, mean_at + c, average);
    STORE_D(inverse, inverse_at + c, 1 / sqrt(variance + epsilon));
    if (mean_out_at >= 0) STORE(mean_out, mean_out_at + c, training ? momentum * old_average + (1 - momentum) * average : old_average);
    if (var_out_at >= 0) STORE(var_out, var_out_at + c, training ? momentum * old_variance + (1 - momentum) * variance : old_variance);
}

/* y = (x - mean) * inverse * scale + bias.  Work-items: with WG=1 `n` planes, else all `n` elements. */
__kernel void batch_apply(__global const S *x, long x_at, __global const S *scale, long scale_at, __global const S *bias, long bias_at,
                          __global const D *mean, long mean_at, __global const D *inverse, long inverse_at, __global S *y, long y_at, long n,
                          long channels, long inner)
{
    const long i = get_global_id(0);
    if (i >= n) return;
#if WG == 1
    const long c = i % channels;
#else
    const long c = CHANNEL(i);
#endif
    const T factor = LOAD_D(inverse, inverse_at + c) * LOAD(scale, scale_at + c), average = LOAD_D(mean, mean_at + c);
    const T shift = LOAD(bias, bias_at + c);
#if WG == 1
    long k = i * inner;
    const long end = k + inner;
    for (; k + VN <= end; k += VN) VSTORE(y, y_at + k, (VLOAD(x, x_at + k) - (V)(average)) * (V)(factor) + (V)(shift));
    for (; k < end; k++) STORE(y, y_at + k, (LOAD(x, x_at + k) - average) * factor + shift);
#else
    STORE(y, y_at + i, (LOAD(x, x_at + i) - average) * factor + shift);
#endif
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
#if WG == 1
    V sums_of_lanes = 0, products = 0;
    for (long b = 0; b * inner < count; b++) {
        __global const S *up = PLANE(g + g_at, b), *plane = PLANE(x + x_at, b);
        long i = 0;
        for (; i + VN <= inner; i += VN) {
            const V u = VLOAD(up, i);
            sums_of_lanes += u;
            products += u * (VLOAD(plane, i) - (V)(average));
        }
        for (; i < inner; i++) {
            const ACC u = LOAD(up, i);
            sum += u;
            product += u * (LOAD(plane, i) - average);
        }
    }
    sum += vector_sum(sums_of_lanes);
    product += vector_sum(products);
#else
    for (long i = LANE; i < count; i += WG) {
        ACC u = LOAD(g, g_at + AT(i));
        sum += u;
        product += u * (LOAD(x, x_at + AT(i)) - average);
    }
#endif
    sum = group_sum(shared, sum);
    product = group_sum(shared, product) * factor;
    if (LANE > 0) return;
    STORE_D(sums, sums_at + c, sum);
    STORE_D(sums, sums_at + channels + c, product);
    if (dbias_at >= 0) STORE(dbias, dbias_at + c, sum);
    if (dscale_at >= 0) STORE(dscale, dscale_at + c, product);
}

/* dx = scale * inverse * (g - (sum g + xn * sum g xn) / count) with training, xn the normalised x; else scale * inverse * g.  With training
   the gradients gm and gi of mean and inverse come in too; any of g, gm, gi may be absent.  That is g a + x b + d with numbers a, b, d of the
   channel.  Work-items: as of batch_apply. */
__kernel void batch_backward(__global const S *x, long x_at, __global const S *g, long g_at, __global const S *scale, long scale_at,
                             __global const D *mean, long mean_at, __global const D *inverse, long inverse_at, __global const D *sums,
                             long sums_at, __global const D *gm, long gm_at, __global const D *gi, long gi_at, __global S *dx, long dx_at,
                             long n, long channels, long count, long inner, int training)
{
    const long i = get_global_id(0);
    if (i >= n) return;
#if WG == 1
    const long c = i % channels;
#else
    const long c = CHANNEL(i);
#endif
    const ACC factor = LOAD_D(inverse, inverse_at + c), average = LOAD_D(mean, mean_at + c), a = LOAD(scale, scale_at + c) * factor;
    ACC added = 0, normalised = 0; /* what is added, and what xn is multiplied by */
    if (training && g_at >= 0) {
        added = -a * LOAD_D(sums, sums_at + c) / count;
        normalised = -a * LOAD_D(sums, sums_at + channels + c) / count;
    }
    if (training && gm_at >= 0) added += LOAD_D(gm, gm_at + c) / count;
    if (training && gi_at >= 0) normalised -= LOAD_D(gi, gi_at + c) * factor * factor / count;
    normalised *= factor;
#if WG == 1
    long k = i * inner;
    const long end = k + inner;
    for (; k + VN <= end; k += VN) {
        const V up = g_at >= 0 ? VLOAD(g, g_at + k) : (V)(0);
        VSTORE(dx, dx_at + k, up * (V)(a) + (VLOAD(x, x_at + k) - (V)(average)) * (V)(normalised) + (V)(added));
    }
    for (; k < end; k++) {
        const ACC up = g_at >= 0 ? (ACC)LOAD(g, g_at + k) : (ACC)0;
        STORE(dx, dx_at + k, up * a + (LOAD(x, x_at + k) - average) * normalised + added);
    }
#else
    const ACC up = g_at >= 0 ? (ACC)LOAD(g, g_at + i) : (ACC)0;
    STORE(dx, dx_at + i, up * a + (LOAD(x, x_at + i) - average) * normalised + added);
#endif
}
