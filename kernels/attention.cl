/* Scaled dot-product attention, y = softmax(scale q k^T + mask) v, without ever writing the matrix of scores (Dao et al. 2022, FlashAttention).
 *
 * A work-group takes a block of ROWS rows (queries; backward by k and v: keys) and walks over tiles of TILE rows of the other side; scores of
 * a tile live in local memory, on CPUs (WG = 1) in private memory. Forward keeps the largest score and the sum so far of each row
 * (online softmax) and writes their logarithm `sums`, from which backward makes the same probabilities again.
 *
 *        tile of k, v                 local: block [ROWS][WIDTH], tiles [TILE][WIDTH], scores [ROWS][TILE]
 *      +-------------+                private: of each own row its part of the result
 *  q   |   scores    |                On GPUs LANES = WG / ROWS work-items share a row: scores by columns, results by elements.
 *      +-------------+
 *
 * HEAD, a multiple of 16, is the least that holds an element of q and k (d numbers) and of v (dv): blocks and tiles are padded with 0.
 * Each tensor is [batch, heads, rows, d] with strides of its own and d side by side; `share` heads of q have one head of k and v.  The mask is
 * added to scores, [batch, heads, rows of q, rows of k] with strides that may be 0.  With `causal` row i sees the keys 0 to i. */
#include "common.clh"

#ifndef HEAD
#define HEAD 64
#endif
#define TILE 16
#define ROWS (HEAD <= 64 || WG == 1 ? 16 : 8)

#if WG == 1
#include "vector.clh"
#define SPACE __private
#define WIDTH HEAD
#define LANES 1
#define OWN 16 /* rows of a work-item */
#define ROW(i) (i)
#define WAIT
#else
#define SPACE __local
#define WIDTH (HEAD + 1) /* odd: neighbouring rows begin in different banks */
#define LANES (WG / ROWS)
#define OWN 1
#define ROW(i) (LANE / LANES)
#define WAIT barrier(CLK_LOCAL_MEM_FENCE)
#endif
#define COLUMN (LANE % LANES)
#define PART (HEAD / LANES) /* elements of a row's result that a work-item holds: every LANES-th */

/* Strides of one tensor, in elements: from one batch, head and row to the next. */
#define STRIDES(t) long t##_batch, long t##_head, long t##_row
#define SIZES int heads, int share, int lq, int lk, int d, int dv, REAL scale, int causal
#define MASK_STRIDES long mask_batch, long mask_head, long mask_q, long mask_k

/* ---- Blocks and tiles ------------------------------------------------------------------------------------------------------------------ */

/* to[r] = factor * row first + r of `from`, 0 beyond the `rows` there are and beyond `width`. */
static void load_rows(SPACE T (*to)[WIDTH], __global const S *from, long step, int first, int count, int rows, int width, T factor)
{
    for (int r = 0; r < count; r++) {
        int n = first + r < rows ? width : 0;
        __global const S *row = from + (long)(first + r) * step;
        for (int j = LANE; j < n; j += WG) to[r][j] = LOAD(row, j) * factor;
        for (int j = n + LANE; j < HEAD; j += WG) to[r][j] = 0;
    }
}

/* scores[r][c] = block[r] . tile[c] */
static void multiply(SPACE T (*block)[WIDTH], SPACE T (*tile)[WIDTH], SPACE T (*scores)[TILE])
{
#if WG == 1
    for (int from = 0; from < ROWS; from += 4) {
        for (int c = 0; c < TILE; c++) {
            V a = 0, b = 0, e = 0, f = 0;
            for (int j = 0; j < HEAD; j += VN) {
                V t = VPEEK(&tile[c][j]);
                a += VPEEK(&block[from][j]) * t;
                b += VPEEK(&block[from + 1][j]) * t;
                e += VPEEK(&block[from + 2][j]) * t;
                f += VPEEK(&block[from + 3][j]) * t;
            }
            scores[from][c] = vector_sum(a);
            scores[from + 1][c] = vector_sum(b);
            scores[from + 2][c] = vector_sum(e);
            scores[from + 3][c] = vector_sum(f);
        }
    }
#else
    /* Unrolled further, loads would be gathered in more registers than AMD's compiler has for gfx1100. */
#pragma unroll 1
    for (int c = COLUMN; c < TILE; c += LANES) {
        T sum = 0;
#pragma unroll 4
        for (int j = 0; j < HEAD; j++) sum += block[ROW(0)][j] * tile[c][j];
        scores[ROW(0)][c] = sum;
    }
#endif
}

/* result[r] += sum over c of factors[r][c] tile[c] */
static void add_product(T (*result)[PART], SPACE T (*factors)[TILE], SPACE T (*tile)[WIDTH])
{
#if WG == 1
    for (int from = 0; from < ROWS; from += 4) {
        for (int j = 0; j < HEAD; j += VN) {
            V a = VPEEK(&result[from][j]), b = VPEEK(&result[from + 1][j]), e = VPEEK(&result[from + 2][j]),
              f = VPEEK(&result[from + 3][j]);
            for (int c = 0; c < TILE; c++) {
                V t = VPEEK(&tile[c][j]);
                a += factors[from][c] * t;
                b += factors[from + 1][c] * t;
                e += factors[from + 2][c] * t;
                f += factors[from + 3][c] * t;
            }
            VPOKE(&result[from][j], a);
            VPOKE(&result[from + 1][j], b);
            VPOKE(&result[from + 2][j], e);
            VPOKE(&result[from + 3][j], f);
        }
    }
#else
#pragma unroll 1
    for (int c = 0; c < TILE; c++) {
        T factor = factors[ROW(0)][c];
        for (int j = 0; j < PART; j++) result[0][j] += factor * tile[c][COLUMN + j * LANES];
    }
#endif
}

static void clear(T (*result)[PART])
{
    for (int i = 0; i < OWN; i++)
        for (int j = 0; j < PART; j++) result[i][j] = 0;
}

/* Row first + r of `to` = factor * result[r], where it exists. */
__attribute__((always_inline)) static void store_row(__global S *to, long step, int row, int rows, int width, T *result, T factor)
{
    if (row >= rows) return;
    to += (long)row * step;
#if WG > 1
#pragma unroll /* a result that is not found by a number known while compiling would lie in memory */
#endif
    for (int j = 0; j < PART; j++)
        if (COLUMN + j * LANES < width) STORE(to, COLUMN + j * LANES, result[j] * factor);
}

/* Adds the mask to scores of rows from i on and columns from j on (steps are the mask's along both), and takes out what must not be seen:
   beyond the ends, and keys after the query where `causal` (1: rows are queries, -1: columns are). */
static void add_mask(SPACE T (*scores)[TILE], __global const S *mask, int masked, long row_step, long column_step, int i, int rows, int j,
                     int columns, int causal)
{
    for (int own = 0; own < OWN; own++) {
        int r = ROW(own);
        for (int c = COLUMN; c < TILE; c += LANES) {
            int inside = i + r < rows && j + c < columns && !(causal > 0 && j + c > i + r) && !(causal < 0 && i + r > j + c);
            if (!inside) scores[r][c] = -INFINITY;
            else if (masked) scores[r][c] += LOAD(mask, (i + r) * row_step + (j + c) * column_step);
        }
    }
}

/* ---- Forward ------------------------------------------------------------------------------------------------------------------------------- */

/* Groups: batch * heads * ceil(lq / ROWS).  sums [batch * heads, lq] may be absent; a row that sees no key has y = 0 and the sum -inf. */
__kernel NARROW void attention_forward(__global const S *q, long q_at, __global const S *k, long k_at, __global const S *v, long v_at,
                                       __global const S *mask, long mask_at, __global S *y, long y_at, __global D *sums, long sums_at,
                                       long groups, SIZES, STRIDES(q), STRIDES(k), STRIDES(v), STRIDES(y), MASK_STRIDES)
{
    SPACE T block[ROWS][WIDTH], keys[TILE][WIDTH], values[TILE][WIDTH], scores[ROWS][TILE], shares[ROWS][TILE];
    T result[OWN][PART], best[OWN], sum[OWN];
    GROUP_GUARD(groups);
    int blocks = (lq + ROWS - 1) / ROWS, first = (int)(GROUP % blocks) * ROWS, end = causal ? min(lk, first + ROWS) : lk;
    long pair = GROUP / blocks, b = pair / heads, h = pair % heads;
    k += k_at + b * k_batch + h / share * k_head;
    v += v_at + b * v_batch + h / share * v_head;
    mask += mask_at + b * mask_batch + h * mask_head;
    load_rows(block, q + q_at + b * q_batch + h * q_head, q_row, first, ROWS, lq, d, scale);
    clear(result);
    for (int i = 0; i < OWN; i++) {
        best[i] = -INFINITY;
        sum[i] = 0;
    }
    for (int j = 0; j < end; j += TILE) {
        load_rows(keys, k, k_row, j, TILE, lk, d, 1);
        load_rows(values, v, v_row, j, TILE, lk, dv, 1);
        WAIT;
        multiply(block, keys, scores);
        add_mask(scores, mask, mask_at >= 0, mask_q, mask_k, first, lq, j, lk, causal != 0);
        WAIT;
        for (int i = 0; i < OWN; i++) {
            T largest = best[i];
            for (int c = 0; c < TILE; c++) largest = fmax(largest, scores[ROW(i)][c]);
            T base = largest == -INFINITY ? (T)0 : largest, fade = exp(best[i] - base);
            best[i] = largest;
            sum[i] *= fade;
            for (int e = 0; e < PART; e++) result[i][e] *= fade;
#if WG == 1
            V total = 0;
            for (int c = 0; c < TILE; c += VN) {
                V share_of = exp(VPEEK(&scores[i][c]) - base);
                VPOKE(&shares[i][c], share_of);
                total += share_of;
            }
            sum[i] += vector_sum(total);
#else
            for (int c = COLUMN; c < TILE; c += LANES) shares[ROW(i)][c] = exp(scores[ROW(i)][c] - base);
            WAIT;
            for (int c = 0; c < TILE; c++) sum[i] += shares[ROW(i)][c];
#endif
        }
        add_product(result, shares, values);
        WAIT;
    }
    for (int i = 0; i < OWN; i++) {
        int row = first + ROW(i);
        store_row(y + y_at + b * y_batch + h * y_head, y_row, row, lq, dv, result[i], sum[i] > 0 ? 1 / sum[i] : (T)0);
        if (COLUMN == 0 && row < lq && sums_at >= 0)
            STORE_D(sums, sums_at + pair * lq + row, sum[i] > 0 ? best[i] + log(sum[i]) : -INFINITY);
    }
}

/* ---- Backward -------------------------------------------------------------------------------------------------------------------------------- */

/* means [batch * heads, lq] = g . y of each row, less the gradient gs of its sum (gs may be absent).  Work-items: n = batch * heads * lq. */
__kernel void attention_means(__global const S *g, long g_at, __global const S *y, long y_at, __global const D *gs, long gs_at,
                              __global D *means, long means_at, long n, int heads, int lq, int dv, STRIDES(y))
{
    long i = get_global_id(0), pair = i / lq, at = pair / heads * y_batch + pair % heads * y_head + i % lq * y_row;
    if (i >= n) return;
    ACC sum = 0;
    for (int j = 0; j < dv && g_at >= 0; j++) sum += LOAD(g, g_at + at + j) * LOAD(y, y_at + at + j);
    if (gs_at >= 0) sum -= LOAD_D(gs, gs_at + i);
    STORE_D(means, means_at + i, sum);
}

/* scores become shares exp(score - sum), and slopes (g . v) become share * (slope - mean), the gradients of scores.  `row` of queries is ROW,
   or the column where `turned`. */
static void make_slopes(SPACE T (*scores)[TILE], SPACE T (*slopes)[TILE], __global const D *sums, __global const D *means, int i, int j,
                        int lq, int turned)
{
    for (int own = 0; own < OWN; own++) {
        int r = ROW(own);
        for (int c = COLUMN; c < TILE; c += LANES) {
            int row = turned ? j + c : i + r;
            T sum = row < lq ? LOAD_D(sums, row) : (TD)0, mean = row < lq ? LOAD_D(means, row) : (TD)0;
            T share_of = scores[r][c] == -INFINITY || sum == -INFINITY ? (T)0 : exp(scores[r][c] - sum);
            scores[r][c] = share_of;
            slopes[r][c] = share_of * (slopes[r][c] - mean);
        }
    }
}

/* dq = scale * sum over keys of slope * k.  g may be absent.  Groups: batch * heads * ceil(lq / ROWS). */
__kernel NARROW void attention_backward_q(__global const S *q, long q_at, __global const S *k, long k_at, __global const S *v, long v_at,
                                          __global const S *mask, long mask_at, __global const S *g, long g_at, __global const D *sums,
                                          long sums_at, __global const D *means, long means_at, __global S *dq, long dq_at, long groups,
                                          SIZES, STRIDES(q), STRIDES(k), STRIDES(v), STRIDES(y), MASK_STRIDES)
{
    SPACE T block[ROWS][WIDTH], ups[ROWS][WIDTH], tile[TILE][WIDTH], scores[ROWS][TILE], slopes[ROWS][TILE];
    T result[OWN][PART];
    GROUP_GUARD(groups);
    int blocks = (lq + ROWS - 1) / ROWS, first = (int)(GROUP % blocks) * ROWS, end = causal ? min(lk, first + ROWS) : lk;
    long pair = GROUP / blocks, b = pair / heads, h = pair % heads;
    k += k_at + b * k_batch + h / share * k_head;
    v += v_at + b * v_batch + h / share * v_head;
    mask += mask_at + b * mask_batch + h * mask_head;
    load_rows(block, q + q_at + b * q_batch + h * q_head, q_row, first, ROWS, lq, d, scale);
    load_rows(ups, g + g_at + b * y_batch + h * y_head, y_row, first, ROWS, g_at >= 0 ? lq : 0, dv, 1);
    clear(result);
    for (int j = 0; j < end; j += TILE) {
        load_rows(tile, v, v_row, j, TILE, lk, dv, 1);
        WAIT;
        multiply(ups, tile, slopes);
        WAIT;
        load_rows(tile, k, k_row, j, TILE, lk, d, 1);
        WAIT;
        multiply(block, tile, scores);
        add_mask(scores, mask, mask_at >= 0, mask_q, mask_k, first, lq, j, lk, causal != 0);
        make_slopes(scores, slopes, sums + sums_at + pair * lq, means + means_at + pair * lq, first, j, lq, 0);
        WAIT;
        add_product(result, slopes, tile);
        WAIT;
    }
    for (int i = 0; i < OWN; i++) store_row(dq + dq_at + b * q_batch + h * q_head, q_row, first + ROW(i), lq, d, result[i], scale);
}

/* dk = scale * sum over queries of slope * q, dv = sum of share * g, over all heads of q that share the head.  Either may be absent, g too.
   Groups: batch * heads / share * ceil(lk / ROWS). */
__kernel NARROW void attention_backward_kv(__global const S *q, long q_at, __global const S *k, long k_at, __global const S *v, long v_at,
                                           __global const S *mask, long mask_at, __global const S *g, long g_at, __global const D *sums,
                                           long sums_at, __global const D *means, long means_at, __global S *dk, long dk_at,
                                           __global S *d_v, long d_v_at, long groups, SIZES, STRIDES(q), STRIDES(k), STRIDES(v), STRIDES(y),
                                           MASK_STRIDES)
{
    SPACE T block[ROWS][WIDTH], values[ROWS][WIDTH], tile[TILE][WIDTH], ups[TILE][WIDTH], scores[ROWS][TILE], slopes[ROWS][TILE];
    T by_k[OWN][PART], by_v[OWN][PART];
    GROUP_GUARD(groups);
    int blocks = (lk + ROWS - 1) / ROWS, first = (int)(GROUP % blocks) * ROWS, begin = causal ? first / TILE * TILE : 0;
    long pair = GROUP / blocks, b = pair / (heads / share), own = pair % (heads / share);
    load_rows(block, k + k_at + b * k_batch + own * k_head, k_row, first, ROWS, lk, d, 1);
    load_rows(values, v + v_at + b * v_batch + own * v_head, v_row, first, ROWS, lk, dv, 1);
    clear(by_k);
    clear(by_v);
    for (long h = own * share; h < (own + 1) * share; h++) {
        long at = (b * heads + h) * lq;
        for (int i = begin; i < lq; i += TILE) {
            load_rows(tile, q + q_at + b * q_batch + h * q_head, q_row, i, TILE, lq, d, scale);
            load_rows(ups, g + g_at + b * y_batch + h * y_head, y_row, i, TILE, g_at >= 0 ? lq : 0, dv, 1);
            WAIT;
            multiply(block, tile, scores);
            multiply(values, ups, slopes);
            add_mask(scores, mask + mask_at + b * mask_batch + h * mask_head, mask_at >= 0, mask_k, mask_q, first, lk, i, lq,
                     -(causal != 0));
            make_slopes(scores, slopes, sums + sums_at + at, means + means_at + at, first, i, lq, 1);
            WAIT;
            add_product(by_v, scores, ups);
            add_product(by_k, slopes, tile);
            WAIT;
        }
    }
    for (int i = 0; i < OWN; i++) {
        if (dk_at >= 0) store_row(dk + dk_at + b * k_batch + own * k_head, k_row, first + ROW(i), lk, d, by_k[i], 1);
        if (d_v_at >= 0) store_row(d_v + d_v_at + b * v_batch + own * v_head, v_row, first + ROW(i), lk, dv, by_v[i], 1);
    }
}

/* The gradient of the mask [batches, masks, mask_lq, mask_lk], each 1 where it broadcasts: sums of slopes.  Score by score, since masks that are
   learned are small or have to be written whole anyway.  Work-items: n, its elements. */
__kernel NARROW void attention_backward_mask(__global const S *q, long q_at, __global const S *k, long k_at, __global const S *v, long v_at,
                                             __global const S *mask, long mask_at, __global const S *g, long g_at, __global const D *sums,
                                             long sums_at, __global const D *means, long means_at, __global S *dmask, long dmask_at, long n,
                                             long batch, long batches, long masks, long mask_lq, long mask_lk, SIZES, STRIDES(q),
                                             STRIDES(k), STRIDES(v), STRIDES(y))
{
    long e = get_global_id(0);
    if (e >= n) return;
    long own_k = e % mask_lk, own_q = e / mask_lk % mask_lq, own_h = e / mask_lk / mask_lq % masks, own_b = e / mask_lk / mask_lq / masks;
    T bias = LOAD(mask, mask_at + e);
    ACC total = 0;
    for (long b = own_b; b < batch; b += batches) {
        for (long h = own_h; h < heads; h += masks) {
            for (long i = own_q; i < lq; i += mask_lq) {
                T sum = LOAD_D(sums, sums_at + (b * heads + h) * lq + i), mean = LOAD_D(means, means_at + (b * heads + h) * lq + i);
                __global const S *row = q + q_at + b * q_batch + h * q_head + i * q_row,
                                 *up = g + g_at + b * y_batch + h * y_head + i * y_row;
                for (long j = own_k; j < lk && !(causal && j > i) && sum != -INFINITY; j += mask_lk) {
                    __global const S *key = k + k_at + b * k_batch + h / share * k_head + j * k_row;
                    __global const S *value = v + v_at + b * v_batch + h / share * v_head + j * v_row;
                    T score = 0, slope = 0;
                    for (int c = 0; c < d; c++) score += LOAD(row, c) * LOAD(key, c);
                    for (int c = 0; c < dv && g_at >= 0; c++) slope += LOAD(up, c) * LOAD(value, c);
                    total += exp(score * scale + bias - sum) * (slope - mean);
                }
            }
        }
    }
    STORE(dmask, dmask_at + e, total);
}
