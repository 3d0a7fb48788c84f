/* Softmax and its logarithm along one axis.  The largest score is taken off first, so that nothing overflows. */
#include "common.clh"
#include "scores.clh"

/* y = softmax(x), or its logarithm.  Groups: rows = outer * inner; length >= 1. */
__kernel void softmax_forward(__global const S *x, long x_at, __global S *y, long y_at, long rows, long length, long inner, int logarithm)
{
    __local ACC shared[WG];
    GROUP_GUARD(rows);
    x += x_at + ROW_AT(GROUP);
    y += y_at + ROW_AT(GROUP);
    ACC best = row_max(shared, x, length, inner), sum = row_sum(shared, x, length, inner, best), factor = 1 / sum, shift = best + log(sum);
    long j = LANE;
#if WG == 1
    if (inner == 1 && logarithm) {
        for (; j + VN <= length; j += VN) VSTORE(y, j, VLOAD(x, j) - shift);
    } else if (inner == 1) {
        for (; j + VN <= length; j += VN) VSTORE(y, j, exp(VLOAD(x, j) - best) * factor);
    }
#endif
    for (; j < length; j += WG) {
        ACC v = LOAD(x, j * inner);
        STORE(y, j * inner, logarithm ? v - shift : exp(v - best) * factor);
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
    long j = LANE;
#if WG == 1
    if (inner == 1) {
        V total = 0;
        if (logarithm) {
            for (; j + VN <= length; j += VN) total += VLOAD(g, j);
        } else {
            for (; j + VN <= length; j += VN) total += VLOAD(g, j) * VLOAD(y, j);
        }
        sum = vector_sum(total);
    }
#endif
    for (; j < length; j += WG) sum += LOAD(g, j * inner) * (logarithm ? (T)1 : LOAD(y, j * inner));
    sum = group_sum(shared, sum);
    j = LANE;
#if WG == 1
    if (inner == 1 && logarithm) {
        for (; j + VN <= length; j += VN) VSTORE(dx, j, VLOAD(g, j) - exp(VLOAD(y, j)) * sum);
    } else if (inner == 1) {
        for (; j + VN <= length; j += VN) VSTORE(dx, j, VLOAD(y, j) * (VLOAD(g, j) - sum));
    }
#endif
    for (; j < length; j += WG) {
        T yj = LOAD(y, j * inner), gj = LOAD(g, j * inner);
        STORE(dx, j * inner, logarithm ? gj - exp(yj) * sum : yj * (gj - sum));
    }
}

#if WG == 1
/* The same for VN neighbouring rows at once, on CPUs.  Work-items: outer * (inner / VN), inner being a multiple of VN. */
__kernel void softmax_columns(__global const S *x, long x_at, __global S *y, long y_at, long outer, long length, long inner, int logarithm)
{
    long blocks = inner / VN, i = get_global_id(0), at = i / blocks * length * inner + i % blocks * VN;
    if (i >= outer * blocks) return;
    x += x_at + at;
    y += y_at + at;
    V best = VLOAD(x, 0), sum = 0;
    for (long j = 1; j < length; j++) best = fmax(best, VLOAD(x, j * inner));
    for (long j = 0; j < length; j++) sum += exp(VLOAD(x, j * inner) - best);
    V factor = 1 / sum, shift = best + log(sum);
    if (logarithm) {
        for (long j = 0; j < length; j++) VSTORE(y, j * inner, VLOAD(x, j * inner) - shift);
    } else {
        for (long j = 0; j < length; j++) VSTORE(y, j * inner, exp(VLOAD(x, j * inner) - best) * factor);
    }
}

__kernel void softmax_columns_backward(__global const S *y, long y_at, __global const S *g, long g_at, __global S *dx, long dx_at, long outer,
                                       long length, long inner, int logarithm)
{
    long blocks = inner / VN, i = get_global_id(0), at = i / blocks * length * inner + i % blocks * VN;
    if (i >= outer * blocks) return;
    y += y_at + at;
    g += g_at + at;
    dx += dx_at + at;
    V sum = 0;
    if (logarithm) {
        for (long j = 0; j < length; j++) sum += VLOAD(g, j * inner);
        for (long j = 0; j < length; j++) VSTORE(dx, j * inner, VLOAD(g, j * inner) - exp(VLOAD(y, j * inner)) * sum);
    } else {
        for (long j = 0; j < length; j++) sum += VLOAD(g, j * inner) * VLOAD(y, j * inner);
        for (long j = 0; j < length; j++) VSTORE(dx, j * inner, VLOAD(y, j * inner) * (VLOAD(g, j * inner) - sum));
    }
}
#endif
