/* Cross-entropy of rows of scores, or of logarithms of probabilities (`normal`), with a label each.  Tensors are [outer, length, inner];
 * element j of row (o, i) lies at (o * length + j) * inner + i.  The largest score is taken off first, so that nothing overflows. */
#include "common.clh"
#include "head.clh"
#include "head_rows.clh"
#include "scores.clh"

/* Weight of a row: 0 where its label is `ignored`, NaN where it is no class (which must not pass unseen), else that of its class (1 without
   weights: weights_at < 0). */
static ACC label_weight(long label, __global const S *weights, long weights_at, long length, long ignored)
{
    if (label == ignored) return 0;
    if (label < 0 || label >= length) return NAN;
    return weights_at < 0 ? (ACC)1 : (ACC)LOAD(weights, weights_at + label);
}

#define COUNTS(weight) (!isnan(weight) && (weight) != 0)

#if HEAD
/* Element `label` of row r, computed here: of logarithms nothing else is read.  Runs are rows, or what lies beside an element; of groups elements. */
static T head_score(long r, long length, long inner, long label HEAD_PARAMS)
{
    const long at = ROW_AT(r) + label * inner, j = WG > 1 ? 0 : inner == 1 ? label : r % inner;
    ROWS_FROM(x, x_at, 0);
    return ELEMENT(ROW_FROM(x, at - j), j);
}
#define LOSS_OF(r, label, weight) (COUNTS(weight) ? -(weight)*head_score(r, length, inner, label HEAD_ARGS) : (weight))
#else
/* -weight * log softmax(x)[label], or -weight * x[label] where `normal`, of row r; reached by all lanes.  log_prob, where it is wanted (offset >= 0),
   becomes log softmax(x). */
static ACC row_loss(__local ACC *shared, __global const S *x, __global S *log_prob, long log_prob_at, long r, long length, long inner,
                    long label, ACC weight, int normal)
{
    ACC best = 0, shift = 0;
    x += ROW_AT(r);
    if (!normal) {
        best = row_max(shared, x, length, inner);
        shift = log(row_sum(shared, x, length, inner, best, 0, false));
    }
    if (log_prob_at >= 0) {
        log_prob += log_prob_at + ROW_AT(r);
        for (long j = LANE; j < length; j += WG) STORE(log_prob, j * inner, LOAD(x, j * inner) - best - shift);
    }
    return COUNTS(weight) ? -weight * (LOAD(x, label * inner) - best - shift) : weight;
}
#define LOSS_OF(r, label, weight) row_loss(shared, x + x_at, log_prob, log_prob_at, r, length, inner, label, weight, normal)
#endif

#if WG == 1 && !HEAD
/* The losses of VN rows side by side, whose scores, labels and results begin where these point, as row_loss has them. */
static void column_losses(__global const S *x, __global const I *labels, __global const S *weights, long weights_at, __global D *losses,
                          __global S *log_prob, bool logs, long length, long inner, long ignored)
{
    V kept[NEAR_VECTORS], sum = 0;
    T bests[VN], shifts[VN];
    const V best = fetch_columns(x, kept, length, inner);
    for (long j = 0; j < length; j++) sum += vector_exp(kept[j] - best);
    const V shift = log(sum);
    for (long j = 0; logs && j < length; j++) VSTORE(log_prob, j * inner, kept[j] - best - shift);
    VPOKE(bests, best);
    VPOKE(shifts, shift);
    for (long k = 0; k < VN; k++) {
        const long label = LOAD_I(labels, k);
        const ACC weight = label_weight(label, weights, weights_at, length, ignored);
        const T *score = (const T *)(kept + (COUNTS(weight) ? label : 0)) + k;
        STORE_D(losses, k, COUNTS(weight) ? -weight * (*score - bests[k] - shifts[k]) : weight);
    }
}
#endif

/* The losses of all rows; log_prob may be absent.  Results: rows. */
__kernel void loss_rows(__global const S *x, long x_at, __global const I *labels, long labels_at, __global const S *weights,
                        long weights_at, __global D *losses, long losses_at, __global S *log_prob, long log_prob_at, long rows, long chunk,
                        long length, long inner, long ignored, int normal HEAD_PARAMS)
{
    __local ACC shared[WG];
    EACH_ROWS(r, n, rows, !normal)
    {
        MAKE_ROW(r);
#if WG == 1 && !HEAD
        if (n > 1) {
            column_losses(x + x_at + ROW_AT(r), labels + labels_at + r, weights, weights_at, losses + losses_at + r,
                          log_prob + log_prob_at + ROW_AT(r), log_prob_at >= 0, length, inner, ignored);
            continue;
        }
#endif
        const long label = LOAD_I(labels, labels_at + r);
        const ACC weight = label_weight(label, weights, weights_at, length, ignored);
        const ACC loss = LOSS_OF(r, label, weight);
        if (LANE == 0) STORE_D(losses, losses_at + r, loss);
    }
}

#if WG == 1
/* Few rows on CPUs: their total at once, divided by the sum of weights where `mean`.  One work-item. */
__kernel void loss_at_once(__global const S *x, long x_at, __global const I *labels, long labels_at, __global const S *weights,
                           long weights_at, __global S *total, long total_at, __global S *log_prob, long log_prob_at, long rows,
                           long length, long inner, long ignored, int normal, int mean HEAD_PARAMS)
{
    __local ACC shared[WG];
    ACC sum = 0, weight_sum = 0;
    HEAD_ROWS(0, rows * length);
    for (long r = 0; r < rows; r++) {
        const long label = LOAD_I(labels, labels_at + r);
        const ACC weight = label_weight(label, weights, weights_at, length, ignored);
        sum += LOSS_OF(r, label, weight);
        weight_sum += weight;
    }
    STORE(total, total_at, mean ? sum / weight_sum : sum);
}
#endif

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

#if WG == 1 && D_TYPE != 10
/* The sum of n losses, which D holds as wide as they are summed. */
static ACC sum_losses(__global const D *losses, long n)
{
    V sum = 0, more = 0;
    ACC rest = 0;
    long i = 0;
    for (; i + 2 * VN <= n; i += 2 * VN) {
        sum += DLOAD(losses, i);
        more += DLOAD(losses, i + VN);
    }
    for (; i < n; i++) rest += LOAD_D(losses, i);
    return vector_sum(sum + more) + rest;
}
#endif

/* total = sum of losses (1 when absent), divided by the sum of weights where `mean`.  One group. */
__kernel void loss_total(__global const D *losses, long losses_at, __global const I *labels, long labels_at, __global const S *weights,
                         long weights_at, __global TOTAL *total, long total_at, long rows, long length, long ignored, int mean)
{
    __local ACC shared[WG];
    GROUP_GUARD(1);
    ACC sum = 0, weight = 0;
#if WG == 1 && D_TYPE != 10
    if (losses_at >= 0 && weights_at < 0 && ignored == LONG_MIN) { /* each row weighs 1, or its loss is NaN */
        sum = sum_losses(losses + losses_at, rows);
        STORE_TOTAL(total, total_at, mean ? sum / rows : sum);
        return;
    }
#endif
    for (long r = LANE; r < rows; r += WG) {
        if (losses_at >= 0) sum += LOAD_D(losses, losses_at + r);
        weight += label_weight(LOAD_I(labels, labels_at + r), weights, weights_at, length, ignored);
    }
    sum = losses_at >= 0 ? group_sum(shared, sum) : (ACC)1;
    weight = group_sum(shared, weight);
    if (LANE == 0) STORE_TOTAL(total, total_at, mean ? sum / weight : sum);
}

#if WG == 1
/* The gradients of VN rows side by side, by what loss_backward says; `up` is u weight of each, label as numbers of type T. */
static void column_gradients(__global const S *x, __global const S *up_log, bool logs, __global S *dx, long length, long inner, V label,
                             V up, int normal)
{
    V kept[NEAR_VECTORS], inverse = 0, sum = 0;
    if (!normal) {
        const V best = fetch_columns(x, kept, length, inner);
        inverse = 1 / exp_columns(kept, length, best);
    }
    for (long j = 0; logs && j < length; j++) sum += VLOAD(up_log, j * inner);
    for (long j = 0; j < length; j++) {
        const V p = normal ? inverse : kept[j] * inverse;
        V d = up * (p - (label == (V)(j) ? (V)(1) : (V)(0)));
        if (logs) d += VLOAD(up_log, j * inner) - p * sum;
        VSTORE(dx, j * inner, d);
    }
}
#endif

/* u weight of row r. */
#define UPSTREAM(r, weight) \
    (g_at >= 0 && (weight) != 0 ? share * (weight)*LOAD(g, g_at + (one ? 0 : (r))) * (factor_at >= 0 ? LOAD_D(factor, factor_at) : (TD)1) \
                                : (ACC)0)

/* dx_j = u weight (softmax_j - [j = label]), without softmax_j where `normal`, + gl_j - softmax_j sum_k gl_k, with u the gradient of the row's
   loss: `share` times g of the row, or where `one` g[0] * factor[0] for all rows (factor absent: 1), and gl that of log_prob.  g or gl may be
   absent.  Results: rows. */
__kernel void loss_backward(__global const S *x, long x_at, __global const I *labels, long labels_at, __global const S *weights,
                            long weights_at, __global const S *g, long g_at, __global const D *factor, long factor_at, __global const S *gl,
                            long gl_at, __global S *dx, long dx_at, long rows, long chunk, long length, long inner, long ignored, int one,
                            int normal, REAL share)
{
    __local ACC shared[WG];
    EACH_ROWS(r, n, rows, true)
    {
        __global const S *from = x + x_at + ROW_AT(r), *up_log = gl + gl_at + ROW_AT(r);
        __global S *to = dx + dx_at + ROW_AT(r);
#if WG == 1
        if (n > 1) {
            T numbers[VN], ups[VN];
            for (long k = 0; k < VN; k++) {
                const long label = LOAD_I(labels, labels_at + r + k);
                const ACC weight = label_weight(label, weights, weights_at, length, ignored);
                numbers[k] = label;
                ups[k] = UPSTREAM(r + k, weight);
            }
            column_gradients(from, up_log, gl_at >= 0, to, length, inner, VPEEK(numbers), VPEEK(ups), normal);
            continue;
        }
#endif
        ACC best = 0, inverse = 0, sum = 0;
        const bool kept = KEPT(inner) && !normal;
        if (!normal) {
            best = row_max(shared, from, length, inner);
            inverse = 1 / row_sum(shared, from, length, inner, best, to, kept);
        }
        const long label = LOAD_I(labels, labels_at + r);
        const ACC weight = label_weight(label, weights, weights_at, length, ignored), up = UPSTREAM(r, weight);
        if (gl_at >= 0) {
            for (long j = LANE; j < length; j += WG) sum += LOAD(up_log, j * inner);
            sum = group_sum(shared, sum);
        }
        long j = LANE;
#if WG == 1
        if (inner == 1 && (kept || normal) && gl_at < 0) { /* the label's element is taken care of last */
            const V scale = up * inverse;
            for (; j + VN <= length; j += VN) VSTORE(to, j, normal ? scale : VLOAD(to, j) * scale);
        }
        const long walked = j;
#endif
        for (; j < length; j += WG) {
            const ACC p = normal ? (ACC)0 : (kept ? (ACC)LOAD(to, j) : exp(LOAD(from, j * inner) - best)) * inverse;
            ACC d = up * (p - (j == label ? 1 : 0));
            if (gl_at >= 0) d += LOAD(up_log, j * inner) - p * sum;
            STORE(to, j * inner, d);
        }
#if WG == 1
        if (label >= 0 && label < walked) STORE(to, label, LOAD(to, label) - up);
#endif
    }
}
