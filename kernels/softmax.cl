/* Softmax and its logarithm along one axis.  The largest score is taken off first, so that nothing overflows. */
#include "common.clh"
#include "head_rows.clh"
#include "scores.clh"

#if WG == 1
/* One row that lies in one piece: exp(x - best) times 1 / sum, or x - best - log(sum).  `kept`: y has exp(x - best). */
static void write_line(__global const S *from, __global S *to, long length, ACC best, ACC sum, int logarithm, bool kept)
{
    const ACC factor = 1 / sum, shift = logarithm ? best + log(sum) : best;
    long j = 0;
    if (logarithm) {
        for (; j + VN <= length; j += VN) VSTORE(to, j, VLOAD(from, j) - shift);
    } else if (kept) {
        for (; j + VN <= length; j += VN) VSTORE(to, j, VLOAD(to, j) * factor);
    } else {
        for (; j + VN <= length; j += VN) VSTORE(to, j, vector_exp(VLOAD(from, j) - best) * factor);
    }
    for (; j < length; j++) {
        if (kept) STORE(to, j, LOAD(to, j) * factor);
        else STORE(to, j, logarithm ? LOAD(from, j) - shift : exp(LOAD(from, j) - best) * factor);
    }
}
#endif

/* One row, whose elements are `inner` apart; reached by all lanes. */
static void any_row(__local ACC *shared, __global const S *from, __global S *to, long length, long inner, int logarithm)
{
    const ACC best = row_max(shared, from, length, inner), sum = row_sum(shared, from, length, inner, best, to, false);
    const ACC factor = 1 / sum, shift = logarithm ? best + log(sum) : best;
    for (long j = LANE; j < length; j += WG) {
        const ACC v = LOAD(from, j * inner);
        STORE(to, j * inner, logarithm ? v - shift : exp(v - best) * factor);
    }
}

/* y = softmax(x), or its logarithm.  Results: rows = outer * inner; length >= 1.  y may be x. */
__kernel void softmax_forward(__global const S *x, long x_at, __global S *y, long y_at, long rows, long chunk, long length, long inner,
                              int logarithm HEAD_PARAMS)
{
    __local ACC shared[WG];
#if WG == 1
    if (inner == 1) {
        const bool kept = KEPT(inner) && !logarithm;
        EACH_FEW(r, n, rows)
        {
            __global const S *from = x + x_at + r * length;
            __global S *to = y + y_at + r * length;
            HEAD_ROWS(r * length, n * length);
            ACC best[TOGETHER], sum[TOGETHER];
            for (int q = 0; q < n; q++) best[q] = line_max(from + q * length, length);
            for (int q = 0; q < n; q++) sum[q] = line_sum(from + q * length, length, best[q], to + q * length, kept);
            for (int q = 0; q < n; q++) write_line(from + q * length, to + q * length, length, best[q], sum[q], logarithm, kept);
        }
        return;
    }
#endif
    EACH_RESULT(r, rows)
    {
        MAKE_ROW(r);
        any_row(shared, x + x_at + ROW_AT(r), y + y_at + ROW_AT(r), length, inner, logarithm);
    }
}

#if WG == 1
/* The sum over a row in one piece of g y, or of g where it is the logarithm's. */
static ACC line_product(__global const S *out, __global const S *up, long length, int logarithm)
{
    V total = 0;
    long j = 0;
    if (logarithm) {
        for (; j + VN <= length; j += VN) total += VLOAD(up, j);
    } else {
        for (; j + VN <= length; j += VN) total += VLOAD(up, j) * VLOAD(out, j);
    }
    ACC sum = vector_sum(total);
    for (; j < length; j++) sum += LOAD(up, j) * (logarithm ? (T)1 : LOAD(out, j));
    return sum;
}

static void write_line_gradient(__global const S *out, __global const S *up, __global S *to, long length, ACC sum, int logarithm)
{
    long j = 0;
    if (logarithm) {
        for (; j + VN <= length; j += VN) VSTORE(to, j, VLOAD(up, j) - vector_exp(VLOAD(out, j)) * sum);
    } else {
        for (; j + VN <= length; j += VN) VSTORE(to, j, VLOAD(out, j) * (VLOAD(up, j) - sum));
    }
    for (; j < length; j++) STORE(to, j, logarithm ? LOAD(up, j) - exp(LOAD(out, j)) * sum : LOAD(out, j) * (LOAD(up, j) - sum));
}
#endif

static void any_row_gradient(__local ACC *shared, __global const S *out, __global const S *up, __global S *to, long length, long inner,
                             int logarithm)
{
    ACC sum = 0;
    for (long j = LANE; j < length; j += WG) sum += LOAD(up, j * inner) * (logarithm ? (T)1 : LOAD(out, j * inner));
    sum = group_sum(shared, sum);
    for (long j = LANE; j < length; j += WG) {
        const T yj = LOAD(out, j * inner), gj = LOAD(up, j * inner);
        STORE(to, j * inner, logarithm ? gj - exp(yj) * sum : yj * (gj - sum));
    }
}

/* dx_j = y_j (g_j - sum_k g_k y_k); of the logarithm dx_j = g_j - exp(y_j) sum_k g_k.  Results: rows. */
__kernel void softmax_backward(__global const S *y, long y_at, __global const S *g, long g_at, __global S *dx, long dx_at, long rows,
                               long chunk, long length, long inner, int logarithm)
{
    __local ACC shared[WG];
#if WG == 1
    if (inner == 1) {
        EACH_FEW(r, n, rows)
        {
            const long first = r * length;
            ACC sum[TOGETHER];
            for (int q = 0; q < n; q++) {
                const long at = first + q * length;
                sum[q] = line_product(y + y_at + at, g + g_at + at, length, logarithm);
            }
            for (int q = 0; q < n; q++) {
                const long at = first + q * length;
                write_line_gradient(y + y_at + at, g + g_at + at, dx + dx_at + at, length, sum[q], logarithm);
            }
        }
        return;
    }
#endif
    EACH_RESULT(r, rows)
    {
        any_row_gradient(shared, y + y_at + ROW_AT(r), g + g_at + ROW_AT(r), dx + dx_at + ROW_AT(r), length, inner, logarithm);
    }
}

#if WG == 1
/* VN neighbouring rows at once, of at most NEAR_VECTORS elements. */
static void write_near_columns(__global const S *x, __global S *y, long length, long inner, int logarithm)
{
    V kept[NEAR_VECTORS];
    const V best = fetch_columns(x, kept, length, inner);
    if (logarithm) {
        V sum = 0;
        for (long j = 0; j < length; j++) sum += vector_exp(kept[j] - best);
        const V shift = best + log(sum);
        for (long j = 0; j < length; j++) VSTORE(y, j * inner, kept[j] - shift);
    } else {
        const V factor = 1 / exp_columns(kept, length, best);
        for (long j = 0; j < length; j++) VSTORE(y, j * inner, kept[j] * factor);
    }
}

/* VN neighbouring rows of any length. */
static void write_columns(__global const S *x, __global S *y, long length, long inner, int logarithm)
{
    V best = VLOAD(x, 0), sum = 0;
    for (long j = 1; j < length; j++) best = fmax(best, VLOAD(x, j * inner));
    for (long j = 0; j < length; j++) sum += vector_exp(VLOAD(x, j * inner) - best);
    const V factor = 1 / sum, shift = best + log(sum);
    if (logarithm) {
        for (long j = 0; j < length; j++) VSTORE(y, j * inner, VLOAD(x, j * inner) - shift);
    } else {
        for (long j = 0; j < length; j++) VSTORE(y, j * inner, vector_exp(VLOAD(x, j * inner) - best) * factor);
    }
}

static void write_near_gradients(__global const S *y, __global const S *g, __global S *dx, long length, long inner, int logarithm)
{
    V out[NEAR_VECTORS], up[NEAR_VECTORS], sum = 0;
    for (long j = 0; j < length; j++) {
        out[j] = VLOAD(y, j * inner);
        up[j] = VLOAD(g, j * inner);
        sum += logarithm ? up[j] : up[j] * out[j];
    }
    for (long j = 0; j < length; j++) VSTORE(dx, j * inner, logarithm ? up[j] - vector_exp(out[j]) * sum : out[j] * (up[j] - sum));
}

static void write_column_gradients(__global const S *y, __global const S *g, __global S *dx, long length, long inner, int logarithm)
{
    V sum = 0;
    if (logarithm) {
        for (long j = 0; j < length; j++) sum += VLOAD(g, j * inner);
        for (long j = 0; j < length; j++) VSTORE(dx, j * inner, VLOAD(g, j * inner) - vector_exp(VLOAD(y, j * inner)) * sum);
    } else {
        for (long j = 0; j < length; j++) sum += VLOAD(g, j * inner) * VLOAD(y, j * inner);
        for (long j = 0; j < length; j++) VSTORE(dx, j * inner, VLOAD(y, j * inner) * (VLOAD(g, j * inner) - sum));
    }
}

/* For CPUs, where `width` neighbouring rows at most are a work-item's, of each of `outer` blocks of inner ones.  Work-items: outer * ceil(inner / width). */
#define WIDE_ITEM(at, n) \
    const long pieces = (inner + width - 1) / width, item = get_global_id(0), begin = item % pieces * width; \
    const long at = item / pieces * length * inner + begin, n = min(width, inner - begin); \
    if (item >= outer * pieces) return

__kernel void softmax_columns(__global const S *x, long x_at, __global S *y, long y_at, long outer, long length, long inner, long width,
                              int logarithm HEAD_PARAMS)
{
    WIDE_ITEM(at, n);
    MAKE_COLUMNS(at, n);
    x += x_at + at;
    y += y_at + at;
    long i = 0;
    for (; length <= NEAR_VECTORS && i + VN <= n; i += VN) write_near_columns(x + i, y + i, length, inner, logarithm);
    for (; i + VN <= n; i += VN) write_columns(x + i, y + i, length, inner, logarithm);
    for (; i < n; i++) any_row(0, x + i, y + i, length, inner, logarithm);
}

__kernel void softmax_columns_backward(__global const S *y, long y_at, __global const S *g, long g_at, __global S *dx, long dx_at,
                                       long outer, long length, long inner, long width, int logarithm)
{
    WIDE_ITEM(at, n);
    y += y_at + at;
    g += g_at + at;
    dx += dx_at + at;
    long i = 0;
    for (; length <= NEAR_VECTORS && i + VN <= n; i += VN) write_near_gradients(y + i, g + i, dx + i, length, inner, logarithm);
    for (; i + VN <= n; i += VN) write_column_gradients(y + i, g + i, dx + i, length, inner, logarithm);
    for (; i < n; i++) any_row_gradient(0, y + i, g + i, dx + i, length, inner, logarithm);
}
#endif
