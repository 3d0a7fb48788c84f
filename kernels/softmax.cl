/* Softmax and its logarithm along one axis.  Tensors are [outer, length, inner]; element j of row
 * (o, i) lies at (o * length + j) * inner + i.  The largest score is taken off first, so that nothing overflows. */
#include "common.clh"

/* Place of element 0 of row r. */
#define ROW_AT(r) ((r) / inner * length * inner + (r) % inner)

/* Largest score of a row, and the sum of exp(score - largest); reached by all lanes. */
static ACC row_max(__local ACC *shared, __global const S *x, long length, long inner)
{
    ACC best = LOAD(x, 0);
    for (long j = LANE; j < length; j += WG) best = fmax(best, (ACC)LOAD(x, j * inner));
    return group_max(shared, best);
}

static ACC row_sum(__local ACC *shared, __global const S *x, long length, long inner, ACC best)
{
    ACC sum = 0;
    for (long j = LANE; j < length; j += WG) sum += exp(LOAD(x, j * inner) - best);
    return group_sum(shared, sum);
}

/* y = softmax(x), or its logarithm.  Groups: rows = outer * inner; length >= 1. */
__kernel void softmax_forward(__global const S *x, long x_at, __global S *y, long y_at, long rows, long length, long inner, int logarithm)
{
    __local ACC shared[WG];
    GROUP_GUARD(rows);
    x += x_at + ROW_AT(GROUP);
    y += y_at + ROW_AT(GROUP);
    ACC best = row_max(shared, x, length, inner), sum = row_sum(shared, x, length, inner, best);
    if (logarithm) {
        ACC shift = log(sum);
        for (long j = LANE; j < length; j += WG) STORE(y, j * inner, LOAD(x, j * inner) - best - shift);
    } else {
        ACC factor = 1 / sum;
        for (long j = LANE; j < length; j += WG) STORE(y, j * inner, exp(LOAD(x, j * inner) - best) * factor);
    }
}

/* dx_j = y_j (g_j - sum_k g_k y_k); of the logarithm dx_j = g_j - exp(y_j) sum_k g_k.  Groups: rows. */
__kernel void softmax_backward(__global const S *y, long y_at, __global const S *g, long g_at, __global S *dx, long dx_at, long rows,
                               long length, long inner, int logarithm)
{
    __local ACC shared[WG];
    GROUP_GUARD(rows);
    y += y_at + ROW_AT(GROUP);
    g += g_at + ROW_AT(GROUP);
    dx += dx_at + ROW_AT(GROUP);
    ACC sum = 0;
    for (long j = LANE; j < length; j += WG) sum += LOAD(g, j * inner) * (logarithm ? (T)1 : LOAD(y, j * inner));
    sum = group_sum(shared, sum);
    for (long j = LANE; j < length; j += WG) {
        T yj = LOAD(y, j * inner), gj = LOAD(g, j * inner);
        STORE(dx, j * inner, logarithm ? gj - exp(yj) * sum : yj * (gj - sum));
    }
}
