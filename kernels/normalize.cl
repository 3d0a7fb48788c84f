/* Batch normalisation of x [batch, channels, inner], channel by channel.  Statistics are kept in type D (float, or double for doubles).
 * With WG=1 (CPUs) a work-item walks over whole planes of `inner` contiguous elements, in vectors; else neighbouring work-items take neighbouring
 * elements. */
#include "common.clh"
#include "head_rows.clh"
#include "vector.clh"

#if WG == 1
#define PLANE(p, b) ((p) + ((b)*channels + c) * inner)
#else
/* Place of element i of channel c, i counting over batch and inner; and the channel of element i of all. */
#define SMALL(n) ((n) <= INT_MAX)
#define AT(i) \
    (SMALL(count) ? ((uint)(i) / (uint)inner * channels + c) * inner + (uint)(i) % (uint)inner \
                  : ((i) / inner * channels + c) * inner + (i) % inner)
#define CHANNEL(i) (SMALL(n) ? (uint)(i) / (uint)inner % (uint)channels : (i) / inner % channels)
#endif

/* Mean and variance of channel c, the same in all lanes; reached by all.  In one pass over memory: sums of d and d^2, d being the distance from the mean of
   some of the channel's elements, so that hardly anything cancels.  On CPUs a head (head_rows.clh) makes each plane before it is read. */
#if WG == 1
#define SAMPLE 16
static void channel_moments(__local ACC *shared, __global const S *x, long c, long channels, long count, long inner, ACC *average,
                            ACC *variance HEAD_PARAMS)
{
    const long planes = min(count / inner, (long)SAMPLE), sample = min(inner, (long)SAMPLE);
    ACC centre = 0, sum = 0, squares = 0;
    V sums = 0, square_sums = 0;
    for (long b = 0; b < planes; b++) {
        HEAD_ROWS((b * channels + c) * inner, inner);
        for (long i = 0; i < sample; i++) centre += LOAD(PLANE(x, b), i);
    }
    centre /= planes * sample;
    for (long b = 0; b * inner < count; b++) {
        __global const S *plane = PLANE(x, b);
        long i = 0;
        if (b >= planes) HEAD_ROWS((b * channels + c) * inner, inner);
        for (; i + VN <= inner; i += VN) {
            const V d = VLOAD(plane, i) - (V)(centre);
            sums += d;
            square_sums += d * d;
        }
        for (; i < inner; i++) {
            const ACC d = LOAD(plane, i) - centre;
            sum += d;
            squares += d * d;
        }
    }
    const ACC shift = (sum + vector_sum(sums)) / count, spread = (squares + vector_sum(square_sums)) / count - shift * shift;
    *average = centre + shift;
    *variance = spread < 0 ? 0 : spread;
}
#else
static void channel_moments(__local ACC *shared, __global const S *x, long c, long channels, long count, long inner, ACC *average,
                            ACC *variance HEAD_PARAMS)
{
    const long sample = min(count, (long)WG), apart = count / sample;
    ACC sum = 0, squares = 0;
    const ACC centre = group_sum(shared, LANE < sample ? (ACC)LOAD(x, AT(LANE * apart)) : (ACC)0) / sample;
    for (long i = LANE; i < count; i += WG) {
        const ACC d = LOAD(x, AT(i)) - centre;
        sum += d;
        squares += d * d;
    }
    const ACC shift = group_sum(shared, sum) / count, spread = group_sum(shared, squares) / count - shift * shift;
    *average = centre + shift;
    *variance = spread < 0 ? 0 : spread;
}
#endif

#if WG == 1
/* One plane of y = (x - average) * factor + shift. */
static void apply_plane(__global const S *x, __global S *y, long inner, T average, T factor, T shift)
{
    long i = 0;
    for (; i + VN <= inner; i += VN) VSTORE(y, i, (VLOAD(x, i) - (V)(average)) * (V)(factor) + (V)(shift));
    for (; i < inner; i++) STORE(y, i, (LOAD(x, i) - average) * factor + shift);
}
#endif

/* Mean and 1 / sqrt(variance + epsilon) of each channel.  Running statistics, moved towards those of the batch, are written where they are wanted
   (offset >= 0).  On CPUs y may be wanted too, as batch_apply makes it: a channel is
   still in a near cache then.  Groups: channels. */
__kernel void batch_statistics(__global const S *x, long x_at, __global const S *mean_in, long mean_in_at, __global const S *var_in,
                               long var_in_at, __global S *mean_out, long mean_out_at, __global S *var_out, long var_out_at,
                               __global D *mean, long mean_at, __global D *inverse, long inverse_at, __global const S *scale, long scale_at,
                               __global const S *bias, long bias_at, __global S *y, long y_at, long channels, long count, long inner,
                               REAL epsilon, REAL momentum HEAD_PARAMS)
{
    __local ACC shared[WG];
    const long c = GROUP;
    GROUP_GUARD(channels);
    ACC average, variance;
    channel_moments(shared, x + x_at, c, channels, count, inner, &average, &variance HEAD_ARGS);
    if (LANE > 0) return;
    const ACC deviation = 1 / sqrt(variance + epsilon);
    STORE_D(mean, mean_at + c, average);
    STORE_D(inverse, inverse_at + c, deviation);
    /* read by the lane that writes them: the outputs may lie in the same memory */
    if (mean_out_at >= 0) STORE(mean_out, mean_out_at + c, momentum * LOAD(mean_in, mean_in_at + c) + (1 - momentum) * average);
    if (var_out_at >= 0) STORE(var_out, var_out_at + c, momentum * LOAD(var_in, var_in_at + c) + (1 - momentum) * variance);
#if WG == 1
    if (y_at < 0) return;
    const T factor = deviation * LOAD(scale, scale_at + c), shift = LOAD(bias, bias_at + c);
    for (long b = 0; b * inner < count; b++) apply_plane(PLANE(x + x_at, b), PLANE(y + y_at, b), inner, average, factor, shift);
#endif
}

/* y = (x - mean) * inverse * scale + bias.  Work-items: with WG=1 `n` planes, else all `n` elements. */
__kernel void batch_apply(__global const S *x, long x_at, __global const S *scale, long scale_at, __global const S *bias, long bias_at,
                          __global const D *mean, long mean_at, __global const D *inverse, long inverse_at, __global S *y, long y_at,
                          long n, long channels, long inner)
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
    apply_plane(x + x_at + i * inner, y + y_at + i * inner, inner, average, factor, shift);
#else
    STORE(y, y_at + i, (LOAD(x, x_at + i) - average) * factor + shift);
#endif
}

/* What makes dx of a channel: dx = g * up + (x - average) * slope + added. */
typedef struct Slopes {
    ACC up, slope, added, average;
} Slopes;

/* dx = scale * inverse * (g - (sum g + xn * sum g xn) / count), xn the normalised x; the gradients gm and gi of mean and inverse come in too. */
static Slopes slopes_of(ACC average, ACC factor, ACC scale, ACC sum, ACC product, ACC gm, ACC gi, long count)
{
    const ACC a = scale * factor, added = gm - a * sum, normalised = -a * product - gi * factor * factor;
    const Slopes s = { a, normalised * factor / count, added / count, average };
    return s;
}

#if WG == 1
static void gradient_plane(__global const S *x, __global const S *g, __global S *dx, long inner, Slopes s)
{
    long i = 0;
    for (; i + VN <= inner; i += VN) VSTORE(dx, i, VLOAD(g, i) * (V)(s.up) + (VLOAD(x, i) - (V)(s.average)) * (V)(s.slope) + (V)(s.added));
    for (; i < inner; i++) STORE(dx, i, LOAD(g, i) * s.up + (LOAD(x, i) - s.average) * s.slope + s.added);
}
#endif

/* sums [2, channels]: of g, and of g times the normalised x; the same as gradients of bias and scale where wanted.  On CPUs dx may be wanted too, as
   batch_backward makes it without gm and gi.  Groups: channels. */
__kernel void batch_sums(__global const S *x, long x_at, __global const S *g, long g_at, __global const S *scale, long scale_at,
                         __global const D *mean, long mean_at, __global const D *inverse, long inverse_at, __global D *sums, long sums_at,
                         __global S *dscale, long dscale_at, __global S *dbias, long dbias_at, __global S *dx, long dx_at, long channels,
                         long count, long inner)
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
#if WG == 1
    if (dx_at < 0) return;
    const Slopes s = slopes_of(average, factor, LOAD(scale, scale_at + c), sum, product, 0, 0, count);
    for (long b = 0; b * inner < count; b++) gradient_plane(PLANE(x + x_at, b), PLANE(g + g_at, b), PLANE(dx + dx_at, b), inner, s);
#endif
}

/* dx by slopes_of; any of g (with sums), gm, gi may be absent.  Work-items: as of batch_apply. */
__kernel void batch_backward(__global const S *x, long x_at, __global const S *g, long g_at, __global const S *scale, long scale_at,
                             __global const D *mean, long mean_at, __global const D *inverse, long inverse_at, __global const D *sums,
                             long sums_at, __global const D *gm, long gm_at, __global const D *gi, long gi_at, __global S *dx, long dx_at,
                             long n, long channels, long count, long inner)
{
    const long i = get_global_id(0);
    if (i >= n) return;
#if WG == 1
    const long c = i % channels;
#else
    const long c = CHANNEL(i);
#endif
    const ACC sum = g_at >= 0 ? LOAD_D(sums, sums_at + c) : (TD)0, product = g_at >= 0 ? LOAD_D(sums, sums_at + channels + c) : (TD)0;
    const Slopes s = slopes_of(LOAD_D(mean, mean_at + c), LOAD_D(inverse, inverse_at + c), LOAD(scale, scale_at + c), sum, product,
                               gm_at >= 0 ? LOAD_D(gm, gm_at + c) : (TD)0, gi_at >= 0 ? LOAD_D(gi, gi_at + c) : (TD)0, count);
#if WG == 1
    if (g_at >= 0) {
        gradient_plane(x + x_at + i * inner, g + g_at + i * inner, dx + dx_at + i * inner, inner, s);
        return;
    }
    for (long k = i * inner; k < (i + 1) * inner; k++) STORE(dx, dx_at + k, (LOAD(x, x_at + k) - s.average) * s.slope + s.added);
#else
    const ACC up = g_at >= 0 ? (ACC)LOAD(g, g_at + i) : (ACC)0;
    STORE(dx, dx_at + i, up * s.up + (LOAD(x, x_at + i) - s.average) * s.slope + s.added);
#endif
}
