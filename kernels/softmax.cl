/* Softmax and its logarithm along one axis.  The largest score is taken off first, so that nothing overflows. */
#include "common.clh"
#include "scores.clh"

/* y = softmax(x), or its logarithm.  Results: rows = outer * inner; length >= 1. */
__kernel void softmax_forward(__global const S *x, long x_at, __global S *y, long y_at, long rows, long chunk, long length, long inner,
                              int logarithm)
{
    __local ACC shared[WG];
    EACH_RESULT(r, rows)
    {
        __global const S *from = x + x_at + ROW_AT(r);
        __global S *to = y + y_at + ROW_AT(r);
        const bool kept = KEPT(inner) && !logarithm;
        const ACC best = row_max(shared, from, length, inner), sum = row_sum(shared, from, length, inner, best, to, kept);
        const ACC factor = 1 / sum, shift = logarithm ? best + log(sum) : best;
        long j = LANE;
#if WG == 1
        if (inner == 1 && logarithm) {
            for (; j + VN <= length; j += VN) VSTORE(to, j, VLOAD(from, j) - shift);
        } else if (kept) {
            for (; j + VN <= length; j += VN) VSTORE(to, j, VLOAD(to, j) * factor);
        } else if (inner == 1) {
            for (; j + VN <= length; j += VN) VSTORE(to, j, vector_exp(VLOAD(from, j) - best) * factor);
        }
#endif
        for (; j < length; j += WG) {
            if (kept) {
                STORE(to, j, LOAD(to, j) * factor);
            } else {
                const ACC v = LOAD(from, j * inner);
                STORE(to, j * inner, logarithm ? v - shift : exp(v - best) * factor);
            }
        }
    }
}

/* dx_j = y_j (g_j - sum_k g_k y_k); of the logarithm dx_j = g_j - exp(y_j) sum_k g_k.  Results: rows. */
__kernel void softmax_backward(__global const S *y, long y_at, __global const S *g, long g_at, __global S *dx, long dx_at, long rows,
                               long chunk, long length, long inner, int logarithm)
{
    __local ACC shared[WG];
    EACH_RESULT(r, rows)
    {
        __global const S *out = y + y_at + ROW_AT(r), *up = g + g_at + ROW_AT(r);
        __global S *to = dx + dx_at + ROW_AT(r);
        ACC sum = 0;
        long j = LANE;
#if WG == 1
        if (inner == 1) {
            V total = 0;
            if (logarithm) {
                for (; j + VN <= length; j += VN) total += VLOAD(up, j);
            } else {
                for (; j + VN <= length; j += VN) total += VLOAD(up, j) * VLOAD(out, j);
            }
            sum = vector_sum(total);
        }
#endif
        for (; j < length; j += WG) sum += LOAD(up, j * inner) * (logarithm ? (T)1 : LOAD(out, j * inner));
        sum = group_sum(shared, sum);
        j = LANE;
#if WG == 1
        if (inner == 1 && logarithm) {
            for (; j + VN <= length; j += VN) VSTORE(to, j, VLOAD(up, j) - vector_exp(VLOAD(out, j)) * sum);
        } else if (inner == 1) {
            for (; j + VN <= length; j += VN) VSTORE(to, j, VLOAD(out, j) * (VLOAD(up, j) - sum));
        }
#endif
        for (; j < length; j += WG) {
            const T yj = LOAD(out, j * inner), gj = LOAD(up, j * inner);
            STORE(to, j * inner, logarithm ? gj - exp(yj) * sum : yj * (gj - sum));
        }
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
    for (long j = 0; j < length; j++) sum += vector_exp(VLOAD(x, j * inner) - best);
    V factor = 1 / sum, shift = best + log(sum);
    if (logarithm) {
        for (long j = 0; j < length; j++) VSTORE(y, j * inner, VLOAD(x, j * inner) - shift);
    } else {
        for (long j = 0; j < length; j++) VSTORE(y, j * inner, vector_exp(VLOAD(x, j * inner) - best) * factor);
    }
}

__kernel void softmax_columns_backward(__global const S *y, long y_at, __global const S *g, long g_at, __global S *dx, long dx_at,
                                       long outer, long length, long inner, int logarithm)
{
    long blocks = inner / VN, i = get_global_id(0), at = i / blocks * length * inner + i % blocks * VN;
    if (i >= outer * blocks) return;
    y += y_at + at;
    g += g_at + at;
    dx += dx_at + at;
    V sum = 0;
    if (logarithm) {
        for (long j = 0; j < length; j++) sum += VLOAD(g, j * inner);
        for (long j = 0; j < length; j++) VSTORE(dx, j * inner, VLOAD(g, j * inner) - vector_exp(VLOAD(y, j * inner)) * sum);
    } else {
        for (long j = 0; j < length; j++) sum += VLOAD(g, j * inner) * VLOAD(y, j * inner);
        for (long j = 0; j < length; j++) VSTORE(dx, j * inner, VLOAD(y, j * inner) * (VLOAD(g, j * inner) - sum));
    }
}
#endif
