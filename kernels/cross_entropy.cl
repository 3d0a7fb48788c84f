/* Cross-entropy of rows of scores, or of logarithms of probabilities (`normal`), with a label each.  Tensors are [outer, length, inner];
 * element j of row (o, i) lies at (o * length + j) * inner + i.  The largest score is taken off first, so that nothing overflows. */
#include "common.clh"
#include "scores.clh"

/* Weight of a row: 0 where its label is `ignored`, NaN where it is no class (which must not pass unseen), else that of its class (1 without
   weights: weights_at < 0). */
static ACC label_weight(long label, __global const S *weights, long weights_at, long length, long ignored)
{
    if (label == ignored) return 0;
    if (label < 0 || label >= length) return NAN;
    return weights_at < 0 ? (ACC)1 : (ACC)LOAD(weights, weights_at + label);
}

/* losses[r] = -weight * log softmax(x)[label], or -weight * x[label] where `normal`; log_prob, when it is wanted (offset >= 0), is
   log softmax(x).  Groups: rows. */
__kernel void loss_rows(__global const S *x, long x_at, __global const I *labels, long labels_at, __global const S *weights, long weights_at,
                        __global D *losses, long losses_at, __global S *log_prob, long log_prob_at, long rows, long length, long inner,
                        long ignored, int normal)
{
    __local ACC shared[WG];
    GROUP_GUARD(rows);
    x += x_at + ROW_AT(GROUP);
    ACC best = 0, shift = 0;
    if (!normal) {
        best = row_max(shared, x, length, inner);
        shift = log(row_sum(shared, x, length, inner, best));
    }
    if (log_prob_at >= 0) {
        log_prob += log_prob_at + ROW_AT(GROUP);
        for (long j = LANE; j < length; j += WG) STORE(log_prob, j * inner, LOAD(x, j * inner) - best - shift);
    }
    if (LANE > 0) return;
    long label = LOAD_I(labels, labels_at + GROUP);
    ACC weight = label_weight(label, weights, weights_at, length, ignored), loss = 0;
    if (isnan(weight)) loss = weight;
    else if (weight != 0) loss = -weight * (LOAD(x, label * inner) - best - shift);
    STORE_D(losses, losses_at + GROUP, loss);
}

#ifndef WIDE
#define WIDE 0 /* 1: loss_total writes its result in type D, for loss_backward */
#endif
#if WIDE
#define TOTAL D
#define STORE_TOTAL STORE_D
#else
#define TOTAL S
#define STORE_TOTAL STORE
#endif

/* total = sum of losses (1 when absent), divided by the sum of weights where `mean`.  One group. */
__kernel void loss_total(__global const D *losses, long losses_at, __global const I *labels, long labels_at, __global const S *weights,
                         long weights_at, __global TOTAL *total, long total_at, long rows, long length, long ignored, int mean)
{
    __local ACC shared[WG];
    GROUP_GUARD(1);
    ACC sum = 0, weight = 0;
    for (long r = LANE; r < rows; r += WG) {
        if (losses_at >= 0) sum += LOAD_D(losses, losses_at + r);
        weight += label_weight(LOAD_I(labels, labels_at + r), weights, weights_at, length, ignored);
    }
    sum = losses_at >= 0 ? group_sum(shared, sum) : (ACC)1;
    weight = group_sum(shared, weight);
    if (LANE == 0) STORE_TOTAL(total, total_at, mean ? sum / weight : sum);
}

/* dx_j = u weight (softmax_j - [j = label]), without softmax_j where `normal`, + gl_j - softmax_j sum_k gl_k, with u the gradient of the row's loss: g of the row, or
   where `one` g[0] * factor[0] for all rows (factor absent: 1), and gl that of log_prob.  g or gl may be absent.  Groups: rows. */
__kernel void loss_backward(__global const S *x, long x_at, __global const I *labels, long labels_at, __global const S *weights,
                            long weights_at, __global const S *g, long g_at, __global const D *factor, long factor_at, __global const S *gl,
                            long gl_at, __global S *dx, long dx_at, long rows, long length, long inner, long ignored, int one, int normal)
{
    __local ACC shared[WG];
    GROUP_GUARD(rows);
    x += x_at + ROW_AT(GROUP);
    dx += dx_at + ROW_AT(GROUP);
    ACC best = 0, inverse = 0, up = 0, sum = 0;
    if (!normal) {
        best = row_max(shared, x, length, inner);
        inverse = 1 / row_sum(shared, x, length, inner, best);
    }
    long label = LOAD_I(labels, labels_at + GROUP);
    ACC weight = label_weight(label, weights, weights_at, length, ignored);
    if (g_at >= 0 && weight != 0) up = weight * LOAD(g, g_at + (one ? 0 : GROUP)) * (factor_at >= 0 ? LOAD_D(factor, factor_at) : (TD)1);
    if (gl_at >= 0) {
        gl += gl_at + ROW_AT(GROUP);
        for (long j = LANE; j < length; j += WG) sum += LOAD(gl, j * inner);
        sum = group_sum(shared, sum);
    }
    for (long j = LANE; j < length; j += WG) {
        ACC p = normal ? (ACC)0 : exp(LOAD(x, j * inner) - best) * inverse, d = up * (p - (j == label ? 1 : 0));
        if (gl_at >= 0) d += LOAD(gl, j * inner) - p * sum;
        STORE(dx, j * inner, d);
    }
}
