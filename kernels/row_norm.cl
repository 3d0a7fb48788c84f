/* Normalisation of rows x [rows, length] to mean 0 and variance 1, then scaled and moved: y = (x - mean) * inverse * scale + bias with
 * inverse = 1 / sqrt(variance + epsilon).  Element e of all has scale and bias (e / inner) % channels; length is a multiple of inner.  Without
 * `center` the mean is taken as 0.  scale and bias may be absent.  Statistics are kept in type D (float, or double for doubles). */
#include "common.clh"
#include "head_rows.clh"
#if WG == 1
#include "vector.clh"
#endif

#define SCALE(c) (scale_at >= 0 ? LOAD(scale, scale_at + (c)) : (T)1)
#define BIAS(c) (bias_at >= 0 ? LOAD(bias, bias_at + (c)) : (T)0)

/* ---- Forward ----------------------------------------------------------------------------------------------------------------------- */

#if WG == 1
/* Two sums each, since one addition would wait for the one before. */
static ACC row_sum(__global const S *x, long length)
{
    V sum = 0, other = 0;
    ACC rest = 0;
    long i = 0;
    for (; i + 2 * VN <= length; i += 2 * VN) {
        sum += VLOAD(x, i);
        other += VLOAD(x, i + VN);
    }
    for (; i + VN <= length; i += VN) sum += VLOAD(x, i);
    for (; i < length; i++) rest += LOAD(x, i);
    return vector_sum(sum + other) + rest;
}

/* The sum of (x - mean)^2. */
static ACC row_squares(__global const S *x, long length, ACC mean)
{
    V sum = 0, other = 0;
    ACC rest = 0;
    long i = 0;
    for (; i + 2 * VN <= length; i += 2 * VN) {
        const V d = VLOAD(x, i) - mean, e = VLOAD(x, i + VN) - mean;
        sum += d * d;
        other += e * e;
    }
    for (; i + VN <= length; i += VN) {
        const V d = VLOAD(x, i) - mean;
        sum += d * d;
    }
    for (; i < length; i++) {
        const ACC d = LOAD(x, i) - mean;
        rest += d * d;
    }
    return vector_sum(sum + other) + rest;
}
#endif

#if WG == 1
/* y = (x - average) * factor * scale + bias of one row; `first` is its first element among all. */
static void write_row(__global const S *x, __global S *y, __global const S *scale, long scale_at, __global const S *bias, long bias_at,
                      long first, long length, long inner, long channels, ACC average, ACC factor)
{
    if (inner == 1 && scale_at >= 0) { /* channels = length */
        long i = 0;
        scale += scale_at;
        if (bias_at >= 0) {
            for (; i + VN <= length; i += VN) VSTORE(y, i, (VLOAD(x, i) - average) * factor * VLOAD(scale, i) + VLOAD(bias, bias_at + i));
        } else {
            for (; i + VN <= length; i += VN) VSTORE(y, i, (VLOAD(x, i) - average) * factor * VLOAD(scale, i));
        }
        for (; i < length; i++) STORE(y, i, (LOAD(x, i) - average) * factor * LOAD(scale, i) + BIAS(i));
        return;
    }
    for (long from = 0; from < length; from += inner) {
        const long c = (first + from) / inner % channels;
        const T a = factor * SCALE(c), b = BIAS(c);
        long i = from;
        for (; i + VN <= from + inner; i += VN) VSTORE(y, i, (VLOAD(x, i) - average) * a + b);
        for (; i < from + inner; i++) STORE(y, i, (LOAD(x, i) - average) * a + b);
    }
}
#endif

/* mean and inverse [rows] may be absent.  Results: rows; length >= 1.  A head may make the rows; y may be x. */
__kernel void norm_rows(__global const S *x, long x_at, __global const S *scale, long scale_at, __global const S *bias, long bias_at,
                        __global S *y, long y_at, __global D *mean, long mean_at, __global D *inverse, long inverse_at, long rows,
                        long chunk, long length, long inner, long channels, int center, REAL epsilon HEAD_PARAMS)
{
#if WG == 1
    EACH_FEW(r, n, rows)
    {
        __global const S *from = x + x_at + r * length;
        HEAD_ROWS(r * length, n * length);
        ACC average[TOGETHER], factor[TOGETHER];
        for (int q = 0; q < n; q++) average[q] = center ? row_sum(from + q * length, length) / length : (ACC)0;
        for (int q = 0; q < n; q++) factor[q] = 1 / sqrt(row_squares(from + q * length, length, average[q]) / length + epsilon);
        for (int q = 0; q < n; q++) {
            const long first = (r + q) * length;
            if (mean_at >= 0) STORE_D(mean, mean_at + r + q, average[q]);
            if (inverse_at >= 0) STORE_D(inverse, inverse_at + r + q, factor[q]);
            write_row(x + x_at + first, y + y_at + first, scale, scale_at, bias, bias_at, first, length, inner, channels, average[q],
                      factor[q]);
        }
    }
#else
    __local ACC shared[WG];
    EACH_RESULT(r, rows)
    {
        const long first = r * length;
        __global const S *from = x + x_at + first;
        __global S *to = y + y_at + first;
        HEAD_ROWS(first, length);
        ACC average = 0, squares = 0;
        if (center) {
            for (long i = LANE; i < length; i += WG) average += LOAD(from, i);
            average = group_sum(shared, average) / length;
        }
        for (long i = LANE; i < length; i += WG) {
            const ACC d = LOAD(from, i) - average;
            squares += d * d;
        }
        squares = group_sum(shared, squares);
        const ACC factor = 1 / sqrt(squares / length + epsilon);
        if (LANE == 0 && mean_at >= 0) STORE_D(mean, mean_at + r, average);
        if (LANE == 0 && inverse_at >= 0) STORE_D(inverse, inverse_at + r, factor);
        for (long i = LANE; i < length; i += WG) {
            const long c = (first + i) / inner % channels;
            STORE(to, i, (LOAD(from, i) - average) * factor * SCALE(c) + BIAS(c));
        }
    }
#endif
}

/* ---- Backward by x ------------------------------------------------------------------------------------------------------------------- */

#if WG == 1
/* Adds the sums of u and of u (x - mean) over n elements from g and x on, u being g times a, or times scale[i] where that is given. */
static void add_sums(__global const S *g, __global const S *x, long n, ACC average, T a, __global const S *scale, int scaled, ACC *ups,
                     ACC *products)
{
    V sum = 0, product = 0;
    long i = 0;
    if (scaled) {
        for (; i + VN <= n; i += VN) {
            V up = VLOAD(g, i) * VLOAD(scale, i);
            sum += up;
            product += up * (VLOAD(x, i) - average);
        }
    } else {
        for (; i + VN <= n; i += VN) {
            V up = VLOAD(g, i) * a;
            sum += up;
            product += up * (VLOAD(x, i) - average);
        }
    }
    *ups += vector_sum(sum);
    *products += vector_sum(product);
    for (; i < n; i++) {
        ACC up = LOAD(g, i) * (scaled ? LOAD(scale, i) : a);
        *ups += up;
        *products += up * (LOAD(x, i) - average);
    }
}
#endif

#if WG == 1
/* dx = factor u + slope (x - average) + shift of one row, u = g * scale. */
static void write_gradient(__global const S *x, __global const S *g, __global S *dx, __global const S *scale, long scale_at, long first,
                           long length, long inner, long channels, ACC average, ACC factor, ACC slope, ACC shift)
{
    if (inner == 1 && scale_at >= 0) {
        long i = 0;
        scale += scale_at;
        for (; i + VN <= length; i += VN) VSTORE(dx, i, VLOAD(g, i) * VLOAD(scale, i) * factor + (VLOAD(x, i) - average) * slope + shift);
        for (; i < length; i++) STORE(dx, i, LOAD(g, i) * factor * LOAD(scale, i) + (LOAD(x, i) - average) * slope + shift);
        return;
    }
    for (long from = 0; from < length; from += inner) {
        const T a = factor * SCALE((first + from) / inner % channels);
        long i = from;
        for (; i + VN <= from + inner; i += VN) VSTORE(dx, i, VLOAD(g, i) * a + (VLOAD(x, i) - average) * slope + shift);
        for (; i < from + inner; i++) STORE(dx, i, LOAD(g, i) * a + (LOAD(x, i) - average) * slope + shift);
    }
}
#endif

/* With u = g * scale and xn the normalised x: dx = inverse * (u - mean(u) - xn * mean(u xn)) + gm / length - gi * inverse^2 * xn / length,
   where gm and gi are the gradients of mean and inverse.  Without `center` the mean takes no part.  Any of g, gm, gi may be absent.
   Results: rows. */
__kernel void norm_rows_backward(__global const S *x, long x_at, __global const S *g, long g_at, __global const S *scale, long scale_at,
                                 __global const D *mean, long mean_at, __global const D *inverse, long inverse_at, __global const D *gm,
                                 long gm_at, __global const D *gi, long gi_at, __global S *dx, long dx_at, long rows, long chunk,
                                 long length, long inner, long channels, int center)
{
    __local ACC shared[WG];
    EACH_RESULT(r, rows)
    {
        const long first = r * length;
        const ACC average = LOAD_D(mean, mean_at + r), factor = LOAD_D(inverse, inverse_at + r);
        __global const S *from = x + x_at + first, *up_row = g + g_at + first;
        __global S *to = dx + dx_at + first;
        ACC ups = 0, products = 0;
        if (g_at >= 0) {
#if WG == 1
            if (inner == 1 && scale_at >= 0) {
                add_sums(up_row, from, length, average, 1, scale + scale_at, 1, &ups, &products);
            } else {
                for (long k = 0; k < length; k += inner) {
                    const T a = SCALE((first + k) / inner % channels);
                    add_sums(up_row + k, from + k, inner, average, a, from, 0, &ups, &products);
                }
            }
#else
            for (long i = LANE; i < length; i += WG) {
                const ACC up = LOAD(up_row, i) * SCALE((first + i) / inner % channels);
                ups += up;
                products += up * (LOAD(from, i) - average);
            }
            ups = group_sum(shared, ups);
            products = group_sum(shared, products);
#endif
        }
        /* dx = factor u + slope (x - mean) + shift */
        ACC slope = -factor * factor * factor * products / length, shift = center ? -factor * ups / length : (ACC)0;
        if (gm_at >= 0 && center) shift += LOAD_D(gm, gm_at + r) / length;
        if (gi_at >= 0) slope -= LOAD_D(gi, gi_at + r) * factor * factor * factor / length;
        long i = LANE;
#if WG == 1
        if (g_at >= 0) {
            write_gradient(from, up_row, to, scale, scale_at, first, length, inner, channels, average, factor, slope, shift);
            i = length;
        }
#endif
        for (; i < length; i += WG) {
            const ACC u = g_at >= 0 ? LOAD(up_row, i) * SCALE((first + i) / inner % channels) : (ACC)0;
            STORE(to, i, factor * u + (LOAD(from, i) - average) * slope + shift);
        }
    }
}

/* ---- Backward by scale and bias -------------------------------------------------------------------------------------------------------- */

#if WG == 1
#define COLUMNS VN
#else
#define COLUMNS 1
#endif

/* parts [chunks, 2, length]: sums over `chunk` rows of g xn and of g, for inner = 1, where channels = length.
   Work-items: chunks * ceil(length / COLUMNS). */
__kernel void scale_columns(__global const S *x, long x_at, __global const S *g, long g_at, __global const D *mean, long mean_at,
                            __global const D *inverse, long inverse_at, __global D *parts, long parts_at, long rows, long length,
                            long chunks, long chunk)
{
    long blocks = (length + COLUMNS - 1) / COLUMNS, i = get_global_id(0), c = i / blocks, column = i % blocks * COLUMNS;
    if (c >= chunks) return;
    long end = min((c + 1) * chunk, rows);
    parts += parts_at + c * 2 * length + column;
    x += x_at + column;
    g += g_at + column;
#if WG == 1
    if (column + VN <= length) {
        V product = 0, sum = 0;
        for (long r = c * chunk; r < end; r++) {
            V up = VLOAD(g, r * length);
            product += up * (VLOAD(x, r * length) - LOAD_D(mean, mean_at + r)) * LOAD_D(inverse, inverse_at + r);
            sum += up;
        }
        T both[2 * VN];
#if VN == 16
        vstore16(product, 0, both);
        vstore16(sum, 1, both);
#else
        vstore8(product, 0, both);
        vstore8(sum, 1, both);
#endif
        for (int k = 0; k < VN; k++) {
            STORE_D(parts, k, both[k]);
            STORE_D(parts, length + k, both[VN + k]);
        }
        return;
    }
#endif
    for (int k = 0; k < COLUMNS && column + k < length; k++) {
        ACC product = 0, sum = 0;
        for (long r = c * chunk; r < end; r++) {
            ACC up = LOAD(g, r * length + k);
            product += up * (LOAD(x, r * length + k) - LOAD_D(mean, mean_at + r)) * LOAD_D(inverse, inverse_at + r);
            sum += up;
        }
        STORE_D(parts, k, product);
        STORE_D(parts, length + k, sum);
    }
}

#if WG == 1 && D_TYPE != 10
/* Both at once on CPUs, where a row stays in the nearest cache: dx as norm_rows_backward without gm and gi, and the parts of scale_columns, each of
   `chunk` rows, which are scale_total's to sum up.  inner = 1; scale is there.  Work-items: ceil(rows / chunk). */
__kernel void norm_rows_gradients(__global const S *x, long x_at, __global const S *g, long g_at, __global const S *scale, long scale_at,
                                  __global const D *mean, long mean_at, __global const D *inverse, long inverse_at, __global S *dx,
                                  long dx_at, __global D *parts, long parts_at, long rows, long chunk, long length, int center)
{
    const long whole = length / VN * VN;
    __global D *products_of = parts + parts_at + GROUP * 2 * length, *sums_of = products_of + length;
    scale += scale_at;
    for (long i = 0; i < 2 * length; i++) products_of[i] = 0;
    EACH_RESULT(r, rows)
    {
        const ACC average = LOAD_D(mean, mean_at + r), factor = LOAD_D(inverse, inverse_at + r);
        __global const S *from = x + x_at + r * length, *up_row = g + g_at + r * length;
        V ups = 0, products = 0;
        for (long i = 0; i < whole; i += VN) {
            const V up = VLOAD(up_row, i), d = VLOAD(from, i) - average, scaled = up * VLOAD(scale, i);
            ups += scaled;
            products += scaled * d;
            DSTORE(products_of, i, DLOAD(products_of, i) + up * (d * factor));
            DSTORE(sums_of, i, DLOAD(sums_of, i) + up);
        }
        ACC up_sum = vector_sum(ups), product = vector_sum(products);
        for (long i = whole; i < length; i++) {
            const T up = LOAD(up_row, i), d = LOAD(from, i) - average, scaled = up * LOAD(scale, i);
            up_sum += scaled;
            product += scaled * d;
            products_of[i] += up * (d * factor);
            sums_of[i] += up;
        }
        write_gradient(from, up_row, dx + dx_at + r * length, scale, 0, 0, length, 1, length, average, factor,
                       -factor * factor * factor * product / length, center ? -factor * up_sum / length : (ACC)0);
    }
}
#endif

/* The same where a scale serves `inner` neighbours: parts [outer, 2, channels], outer = rows * length / inner / channels.
   Groups: outer * channels. */
__kernel void scale_segments(__global const S *x, long x_at, __global const S *g, long g_at, __global const D *mean, long mean_at,
                             __global const D *inverse, long inverse_at, __global D *parts, long parts_at, long outer, long length,
                             long inner, long channels)
{
    __local ACC shared[WG];
    long first = GROUP * inner, row = first / length, c = GROUP % channels;
    GROUP_GUARD(outer * channels);
    ACC average = LOAD_D(mean, mean_at + row), product = 0, sum = 0;
    x += x_at + first;
    g += g_at + first;
#if WG == 1
    add_sums(g, x, inner, average, 1, x, 0, &sum, &product);
#else
    for (long i = LANE; i < inner; i += WG) {
        ACC up = LOAD(g, i);
        product += up * (LOAD(x, i) - average);
        sum += up;
    }
    product = group_sum(shared, product);
    sum = group_sum(shared, sum);
#endif
    if (LANE > 0) return;
    parts += parts_at + GROUP / channels * 2 * channels + c;
    STORE_D(parts, 0, product * LOAD_D(inverse, inverse_at + row));
    STORE_D(parts, channels, sum);
}

/* Sums of parts [chunks, 2, channels]; either result may be absent.  Work-items: channels. */
__kernel void scale_total(__global const D *parts, long parts_at, __global S *dscale, long dscale_at, __global S *dbias, long dbias_at,
                          long chunks, long channels)
{
    long c = get_global_id(0);
    if (c >= channels) return;
    ACC product = 0, sum = 0;
    for (long k = 0; k < chunks; k++) {
        product += LOAD_D(parts, parts_at + k * 2 * channels + c);
        sum += LOAD_D(parts, parts_at + (k * 2 + 1) * channels + c);
    }
    if (dscale_at >= 0) STORE(dscale, dscale_at + c, product);
    if (dbias_at >= 0) STORE(dbias, dbias_at + c, sum);
}
