/* Attention without a matrix of scores in memory: aval::ScaledDotProductAttention, whose kernels make scores tile by tile, and ONNX's Attention
 * (without caches) as a body of it. */
#include "support.h"

#include "attention.cl.h"

#define MOST_HEAD 256 /* elements of q, k and v in one head */
#define GPU_GROUP 64 /* work-items that share a block of rows on devices that reduce by groups */

enum { Q, K, V, MASK };

/* A tensor as [batch, heads, rows, width]: strides in elements. */
typedef struct view {
    const aval_tensor *t;
    int64_t batch, head, row;
} view;

typedef struct attention {
    view q, k, v, y, mask; /* y's strides are those of its gradient too; mask.t may be NULL */
    int64_t batch, heads, share, lq, lk, d, dv; /* share: heads of q that have one head of k and v */
    int64_t mask_dims[4], mask_key;
    double scale;
    int causal;
} attention;

/* ---- Shapes ------------------------------------------------------------------------------------------------------------------------------- */

/* [batch, heads, rows, width], or [batch, rows, heads * width]: then `heads` says how many. */
static int read_view(const aval_host *host, aval_call *call, size_t i, const char *name, int64_t heads, view *v, int64_t dims[4])
{
    v->t = host->input(call, i);
    const int64_t *given = host->dims(v->t);
    uint32_t rank = host->rank(v->t);
    if (rank == 4) {
        for (int a = 0; a < 4; a++) dims[a] = given[a];
        *v = (view){ v->t, dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3] };
        return 0;
    }
    if (rank != 3 || heads < 1 || given[2] % heads != 0)
        return host->fail(
            call, AVAL_PLUGIN_BAD_SHAPE,
            "input %s has %u axes and %lld heads; expected 4 axes, or 3 of which the last is a multiple of the heads that the attributes "
            "give",
            name, (unsigned)rank, (long long)heads);
    dims[0] = given[0];
    dims[1] = heads;
    dims[2] = given[1];
    dims[3] = given[2] / heads;
    *v = (view){ v->t, given[1] * given[2], dims[3], given[2] };
    return 0;
}

/* The mask broadcasts to [batch, heads, lq, lk]. */
static int read_mask(const aval_host *host, aval_call *call, attention *a)
{
    const int64_t full[] = { a->batch, a->heads, a->lq, a->lk };
    int64_t strides[4], stride = 1;
    a->mask.t = host->n_inputs(call) > MASK ? host->input(call, MASK) : NULL;
    uint32_t rank = a->mask.t == NULL ? 0 : host->rank(a->mask.t);
    if (rank > 4) return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "the mask has %u axes, expected at most 4", (unsigned)rank);
    for (uint32_t i = 4; i-- > 0;) {
        a->mask_dims[i] = i + rank < 4 ? 1 : host->dims(a->mask.t)[i + rank - 4];
        if (a->mask_dims[i] != 1 && a->mask_dims[i] != full[i])
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "the mask has length %lld along %s, expected 1 or %lld",
                              (long long)a->mask_dims[i],
                              i == 0   ? "the batch"
                              : i == 1 ? "the heads"
                              : i == 2 ? "the queries"
                                       : "the keys",
                              (long long)full[i]);
        strides[i] = a->mask_dims[i] == 1 ? 0 : stride;
        stride *= a->mask_dims[i];
    }
    a->mask.batch = strides[0];
    a->mask.head = strides[1];
    a->mask.row = strides[2];
    a->mask_key = strides[3];
    return 0;
}

/* q_heads and kv_heads are used where inputs have three axes. */
static int read_attention(const aval_host *host, aval_call *call, attention *a)
{
    int64_t q[4], k[4], v[4];
    TRY(read_view(host, call, Q, "Q", host->attr_int(call, "q_num_heads"), &a->q, q));
    TRY(read_view(host, call, K, "K", host->attr_int(call, "kv_num_heads"), &a->k, k));
    TRY(read_view(host, call, V, "V", host->attr_int(call, "kv_num_heads"), &a->v, v));
    if (k[0] != q[0] || v[0] != q[0] || k[1] != v[1] || k[1] < 1 || q[1] % k[1] != 0 || k[2] != v[2] || k[3] != q[3])
        return host->fail(
            call, AVAL_PLUGIN_BAD_SHAPE,
            "Q [%lld,%lld,%lld,%lld], K [%lld,%lld,%lld,%lld] and V [%lld,%lld,%lld,%lld] do not go together: expected equal batches, "
            "heads of Q a multiple of those of K and V, as many rows in K and V, and as long rows in Q and K",
            (long long)q[0], (long long)q[1], (long long)q[2], (long long)q[3], (long long)k[0], (long long)k[1], (long long)k[2],
            (long long)k[3], (long long)v[0], (long long)v[1], (long long)v[2], (long long)v[3]);
    if (q[3] > MOST_HEAD || v[3] > MOST_HEAD || q[2] > INT32_MAX / 2 || k[2] > INT32_MAX / 2)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "heads of %lld and %lld elements, expected at most %d", (long long)q[3],
                          (long long)v[3], MOST_HEAD);
    a->batch = q[0];
    a->heads = q[1];
    a->share = q[1] / k[1];
    a->lq = q[2];
    a->lk = k[2];
    a->d = q[3];
    a->dv = v[3];
    a->causal = host->attr_int(call, "is_causal") != 0;
    a->scale = host->attr_float(call, "scale");
    if (a->scale == 0) a->scale = a->d > 0 ? 1 / sqrt((double)a->d) : 1;
    a->y = host->rank(a->q.t) == 4 ? (view){ NULL, a->heads * a->lq * a->dv, a->lq * a->dv, a->dv }
                                   : (view){ NULL, a->heads * a->lq * a->dv, a->dv, a->heads * a->dv };
    return read_mask(host, call, a);
}

static int set_shape(const aval_host *host, aval_call *call, const attention *a)
{
    aval_type type = host->type(a->q.t);
    if (host->rank(a->q.t) == 4) return host->set_output(call, 0, type, 4, (const int64_t[]){ a->batch, a->heads, a->lq, a->dv });
    return host->set_output(call, 0, type, 3, (const int64_t[]){ a->batch, a->lq, a->heads * a->dv });
}

static int dot_infer(const aval_host *host, aval_call *call)
{
    attention a;
    TRY(read_attention(host, call, &a));
    TRY(set_shape(host, call, &a));
    return host->set_output(call, 1, sum_type(host->type(a.q.t)), 3, (const int64_t[]){ a.batch, a.heads, a.lq });
}

/* ---- Launches ------------------------------------------------------------------------------------------------------------------------------ */

#define STRIDES(v) AVAL_I64((v).batch), AVAL_I64((v).head), AVAL_I64((v).row)
#define ALL_STRIDES(a) STRIDES((a)->q), STRIDES((a)->k), STRIDES((a)->v), STRIDES((a)->y)
#define MASK_STRIDES(a) STRIDES((a)->mask), AVAL_I64((a)->mask_key)
#define SIZES(a) \
    AVAL_I32((a)->heads), AVAL_I32((a)->share), AVAL_I32((a)->lq), AVAL_I32((a)->lk), AVAL_I32((a)->d), AVAL_I32((a)->dv), \
        AVAL_REAL((a)->scale), AVAL_I32((a)->causal)

/* The shape of blocks, as in attention.cl. */
typedef struct shape {
    int64_t group, head, rows;
} shape;

static shape shape_of(const aval_host *host, aval_call *call, const attention *a)
{
    int64_t widest = a->d > a->dv ? a->d : a->dv;
    shape s = { .group = host->device(call)->group > 1 ? GPU_GROUP : 1, .head = (widest + 15) / 16 * 16 };
    if (s.head == 0) s.head = 16;
    s.rows = s.head <= 64 || s.group == 1 ? 16 : 8;
    return s;
}

#define BLOCKS(s, count) \
    .global = { (uint64_t)((count) * (s).group) }, .local = { (uint64_t)(s).group }, AVAL_DEFINES({ "WG", (s).group }, { "HEAD", (s).head })

/* Of products that touch each pair of a query and a key; `lengths`: elements of the vectors that a pair multiplies, in all. */
static double flops(const attention *a, int64_t lengths)
{
    double pairs = (double)(a->batch * a->heads) * (double)a->lq * (double)a->lk;
    return 2 * pairs * (double)lengths * (a->causal ? 0.5 : 1);
}

static int dot_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->output(call, 0), *sums = host->n_outputs(call) > 1 ? host->output(call, 1) : NULL;
    attention a;
    TRY(read_attention(host, call, &a));
    shape s = shape_of(host, call, &a);
    aval_type type = host->type(a.q.t);
    int64_t groups = a.batch * a.heads * ((a.lq + s.rows - 1) / s.rows);
    if (groups == 0) return 0;
    if (y == NULL) y = host->scratch(call, type, a.batch * a.heads * a.lq * a.dv + 1);
    if (y == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for the result");
    return host->launch(call,
                        AVAL_LAUNCH(.kernel = "attention_forward", BLOCKS(s, groups), .s_type = (uint32_t)type,
                                    .d_type = (uint32_t)sum_type(type), .flops = flops(&a, a.d + a.dv),
                                    AVAL_ARGS(AVAL_READ(a.q.t), AVAL_READ(a.k.t), AVAL_READ(a.v.t), AVAL_READ(a.mask.t), AVAL_WRITE(y),
                                              AVAL_WRITE(sums), AVAL_I64(groups), SIZES(&a), ALL_STRIDES(&a), MASK_STRIDES(&a))));
}

static int zero(const aval_host *host, aval_call *call, const aval_tensor *t)
{
    return t == NULL || host->count(t) == 0 ? 0 : host->fill(call, t, 0);
}

static int mask_backward(const aval_host *host, aval_call *call, const attention *a, const aval_tensor *means)
{
    const aval_tensor *dmask = a->mask.t == NULL ? NULL : host->gradient(call, MASK);
    shape s = shape_of(host, call, a);
    if (dmask == NULL || host->count(dmask) == 0) return 0;
    return host->launch(
        call,
        AVAL_LAUNCH(.kernel = "attention_backward_mask", EACH(host->count(dmask)), AVAL_DEFINES({ "WG", s.group }, { "HEAD", s.head }),
                    .s_type = (uint32_t)host->type(a->q.t), .d_type = (uint32_t)host->type(means),
                    AVAL_ARGS(AVAL_READ(a->q.t), AVAL_READ(a->k.t), AVAL_READ(a->v.t), AVAL_READ(a->mask.t),
                              AVAL_READ(host->upstream(call, 0)), AVAL_READ(host->output(call, 1)), AVAL_READ(means), AVAL_WRITE(dmask),
                              AVAL_I64(host->count(dmask)), AVAL_I64(a->batch), AVAL_I64(a->mask_dims[0]), AVAL_I64(a->mask_dims[1]),
                              AVAL_I64(a->mask_dims[2]), AVAL_I64(a->mask_dims[3]), SIZES(a), ALL_STRIDES(a))));
}

static int dot_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *g = host->upstream(call, 0), *gs = host->n_outputs(call) > 1 ? host->upstream(call, 1) : NULL;
    const aval_tensor *sums = host->output(call, 1), *means, *dq = host->gradient(call, Q), *dk = host->gradient(call, K);
    const aval_tensor *dv = host->gradient(call, V);
    attention a;
    TRY(read_attention(host, call, &a));
    shape s = shape_of(host, call, &a);
    uint32_t type = (uint32_t)host->type(a.q.t), wide = (uint32_t)sum_type(host->type(a.q.t));
    int64_t rows = a.batch * a.heads * a.lq, q_groups = a.batch * a.heads * ((a.lq + s.rows - 1) / s.rows);
    int64_t k_groups = a.batch * (a.heads / a.share) * ((a.lk + s.rows - 1) / s.rows);
    if (rows == 0 || a.lk == 0) {
        for (size_t i = 0; i < host->n_inputs(call); i++) TRY(zero(host, call, host->gradient(call, i)));
        return 0;
    }
    means = host->scratch(call, (aval_type)wide, rows);
    if (means == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for the means of gradients");
    TRY(host->launch(call, AVAL_LAUNCH(.kernel = "attention_means", EACH(rows), AVAL_DEFINES({ "WG", s.group }, { "HEAD", s.head }),
                                       .s_type = type, .d_type = wide,
                                       AVAL_ARGS(AVAL_READ(g), AVAL_READ(host->output(call, 0)), AVAL_READ(gs), AVAL_WRITE(means),
                                                 AVAL_I64(rows), AVAL_I32(a.heads), AVAL_I32(a.lq), AVAL_I32(a.dv), STRIDES(a.y)))));
    if (dq != NULL && host->count(dq) > 0)
        TRY(host->launch(call, AVAL_LAUNCH(.kernel = "attention_backward_q", BLOCKS(s, q_groups), .s_type = type, .d_type = wide,
                                           .flops = flops(&a, 2 * a.d + a.dv),
                                           AVAL_ARGS(AVAL_READ(a.q.t), AVAL_READ(a.k.t), AVAL_READ(a.v.t), AVAL_READ(a.mask.t),
                                                     AVAL_READ(g), AVAL_READ(sums), AVAL_READ(means), AVAL_WRITE(dq), AVAL_I64(q_groups),
                                                     SIZES(&a), ALL_STRIDES(&a), MASK_STRIDES(&a)))));
    if (dk != NULL || dv != NULL)
        TRY(host->launch(call, AVAL_LAUNCH(.kernel = "attention_backward_kv", BLOCKS(s, k_groups), .s_type = type, .d_type = wide,
                                           .flops = flops(&a, 2 * a.d + 2 * a.dv),
                                           AVAL_ARGS(AVAL_READ(a.q.t), AVAL_READ(a.k.t), AVAL_READ(a.v.t), AVAL_READ(a.mask.t),
                                                     AVAL_READ(g), AVAL_READ(sums), AVAL_READ(means), AVAL_WRITE(dk), AVAL_WRITE(dv),
                                                     AVAL_I64(k_groups), SIZES(&a), ALL_STRIDES(&a), MASK_STRIDES(&a)))));
    return mask_backward(host, call, &a, means);
}

/* ---- Reference ------------------------------------------------------------------------------------------------------------------------------- */

/* What the tensors hold. */
typedef struct contents {
    const double *q, *k, *v, *mask;
} contents;

static const double *row_of(const double *content, const view *v, int64_t b, int64_t h, int64_t i)
{
    return content + b * v->batch + h * v->head + i * v->row;
}

/* The score of query i and key j, -inf where it must not be seen. */
static double score_of(const contents *of, const attention *a, const int64_t at[4])
{
    const double *q = row_of(of->q, &a->q, at[0], at[1], at[2]), *k = row_of(of->k, &a->k, at[0], at[1] / a->share, at[3]);
    double sum = 0;
    if (a->causal && at[3] > at[2]) return -INFINITY;
    for (int64_t c = 0; c < a->d; c++) sum += q[c] * k[c];
    sum *= a->scale;
    return of->mask == NULL ? sum : sum + row_of(of->mask, &a->mask, at[0], at[1], at[2])[at[3] * a->mask_key];
}

/* y [dv] of one query (NULL: not wanted) and what exp(scores - *largest) sum to.  One pass: a score beyond the largest so far makes what was
   summed before it smaller. */
static double query_reference(const contents *of, const attention *a, int64_t at[4], double *y, double *largest)
{
    double sum = 0;
    *largest = -INFINITY;
    for (int64_t c = 0; c < a->dv && y != NULL; c++) y[c] = 0;
    for (at[3] = 0; at[3] < a->lk; at[3]++) {
        double score = score_of(of, a, at), shrink = score > *largest ? exp(*largest - score) : 1;
        if (score == -INFINITY) continue;
        if (score > *largest) *largest = score;
        double share = exp(score - *largest);
        const double *v = row_of(of->v, &a->v, at[0], at[1] / a->share, at[3]);
        sum = sum * shrink + share;
        for (int64_t c = 0; c < a->dv && y != NULL; c++) y[c] = y[c] * shrink + share * v[c];
    }
    for (int64_t c = 0; c < a->dv && y != NULL && sum != 0; c++) y[c] /= sum;
    return sum;
}

static int dot_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *out[] = { host->output(call, 0), host->n_outputs(call) > 1 ? host->output(call, 1) : NULL };
    attention a;
    TRY(read_attention(host, call, &a));
    const contents of = { host->real(call, a.q.t), host->real(call, a.k.t), host->real(call, a.v.t),
                          a.mask.t == NULL ? NULL : host->real(call, a.mask.t) };
    double *ys = out[0] == NULL ? NULL : host->real(call, out[0]), *sums = out[1] == NULL ? NULL : host->real(call, out[1]);
    for (int64_t r = 0; r < a.batch * a.heads * a.lq; r++) {
        int64_t at[] = { r / a.lq / a.heads, r / a.lq % a.heads, r % a.lq, 0 };
        double *y = ys == NULL ? NULL : ys + at[0] * a.y.batch + at[1] * a.y.head + at[2] * a.y.row;
        double largest, sum = query_reference(&of, &a, at, y, &largest);
        if (sums != NULL) sums[r] = sum == 0 ? -INFINITY : largest + log(sum);
    }
    return 0;
}

/* ---- ONNX's Attention -------------------------------------------------------------------------------------------------------------------------- */

static int onnx_infer(const aval_host *host, aval_call *call)
{
    attention a;
    if (host->attr_float(call, "softcap") != 0)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "attribute softcap is %g, expected 0", host->attr_float(call, "softcap"));
    TRY(read_attention(host, call, &a));
    return set_shape(host, call, &a);
}

/* A mask of truth values is added as 0 where it holds, else -inf. */
static int onnx_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *inputs[] = { host->input(call, Q), host->input(call, K), host->input(call, V), NULL }, *y;
    size_t n = host->n_inputs(call) > MASK && host->input(call, MASK) != NULL ? 4 : 3;
    text attrs = { 0 }, none = { 0 };
    if (n == 4) inputs[MASK] = host->input(call, MASK);
    if (n == 4 && host->type(inputs[MASK]) == AVAL_BOOL) {
        const aval_tensor *choice[] = { inputs[MASK], NULL, NULL };
        text_int(&none, "type", host->type(inputs[Q]));
        TRY(host->apply(call, "aval::Fill", none.at, 0, NULL, 1, &choice[1])); /* 0, whose logarithm is -inf */
        TRY(host->apply(call, "Log", NULL, 1, &choice[1], 1, &choice[2]));
        TRY(host->apply(call, "Where", NULL, 3, choice, 1, &inputs[MASK]));
    }
    text_int(&attrs, "is_causal", host->attr_int(call, "is_causal"));
    text_int(&attrs, "q_num_heads", host->attr_int(call, "q_num_heads"));
    text_int(&attrs, "kv_num_heads", host->attr_int(call, "kv_num_heads"));
    text_real(&attrs, "scale", host->attr_float(call, "scale"));
    TRY(host->apply(call, "aval::ScaledDotProductAttention", attrs.at, n, inputs, 1, &y));
    return host->yield(call, 0, y);
}

/* ---- The table --------------------------------------------------------------------------------------------------------------------------------- */

#define INTEGER(attr_name, value, summary) \
    { \
        .name = attr_name, .type = AVAL_ATTR_INT, .initial = value, .doc = summary \
    }
#define HEADS \
    INTEGER("is_causal", "0", "1: query i sees the keys 0 to i"), INTEGER("q_num_heads", "0", "heads of Q, where inputs have three axes"), \
        INTEGER("kv_num_heads", "0", "heads of K and V, where inputs have three axes"), \
    { \
        .name = "scale", .type = AVAL_ATTR_FLOAT, .initial = "0", .doc = "factor of scores; 0: 1 / sqrt(length of a head)" \
    }

static const aval_op dot_op = {
    .size = sizeof(aval_op),
    .name = "ScaledDotProductAttention",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .doc = "softmax(scale Q K^T + mask) V for each head, without a matrix of scores in memory; 0 for a query that sees no key.",
    .inputs = AVAL_PORTS({ .name = "Q" }, { .name = "K", .like = AVAL_LIKE(0) }, { .name = "V", .like = AVAL_LIKE(0) },
                         { .name = "mask", .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }, { .name = "sums", .flags = AVAL_OPTIONAL }),
    .attrs = AVAL_ATTRS(HEADS),
    .infer = dot_infer,
    .forward = dot_forward,
    .backward = dot_backward,
    .reference = dot_reference,
    .keeps =
        AVAL_KEEP_INPUT(Q) | AVAL_KEEP_INPUT(K) | AVAL_KEEP_INPUT(V) | AVAL_KEEP_INPUT(MASK) | AVAL_KEEP_OUTPUT(0) | AVAL_KEEP_OUTPUT(1),
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,2,5,4] [2,2,7,4] [2,2,7,3]" }, { .inputs = "[1,2,19,8] [1,2,19,8] [1,2,19,8]", .attrs = "is_causal=1" },
        { .inputs = "[2,3,8] [2,21,4] [2,21,6]", .attrs = "q_num_heads=4 kv_num_heads=2 scale=0.7", .why = "three axes, shared heads" },
        { .inputs = "[2,2,3,4] [2,2,5,4] [2,2,5,4] [2,1,3,5]", .why = "a mask that broadcasts" },
        { .inputs = "[1,2,3,4] [1,2,5,4] [1,2,5,4] [5]" }, { .inputs = "[1,1,1,1] [1,1,1,1] [1,1,1,1]" },
        { .inputs = "[0,2,3,4] [0,2,5,4] [0,2,5,4]" },
        { .inputs = "[1,2,18,70] [1,2,18,70] [1,2,18,70]", .size_class = AVAL_LARGE, .why = "wider blocks" },
        { .inputs = "[1,1,3,4] [1,1,40,4] [1,1,40,4]",
          .low = -4, /* not further: a row that sees one key alone has gradients of what y lost when it was rounded to halves */
          .high = 4,
          .why = "shares from nearly 0 to nearly 1, over several tiles" },
        { .inputs = "[1,2,70,16] [1,2,90,16] [1,2,90,16]", .size_class = AVAL_LARGE },
        { .inputs = "[1,1,130,12] [1,1,130,12] [1,1,130,12]", .attrs = "is_causal=1", .size_class = AVAL_LARGE }),
};
static const aval_op onnx_op = {
    .size = sizeof(aval_op),
    .name = "Attention",
    .since = 23,
    .deterministic = 1,
    .doc = "Scaled dot-product attention, without caches of keys and values.",
    .inputs = AVAL_PORTS({ .name = "Q" }, { .name = "K", .like = AVAL_LIKE(0) }, { .name = "V", .like = AVAL_LIKE(0) },
                         { .name = "attn_mask", .flags = AVAL_OPTIONAL, .types = AVAL_FLOATS | AVAL_BOOLS }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS(HEADS, { .name = "softcap", .type = AVAL_ATTR_FLOAT, .initial = "0", .doc = "0: scores are not capped" },
                        INTEGER("softmax_precision", "1", "sums are always kept in float, or double for doubles"),
                        INTEGER("qk_matmul_output_mode", "0", "of an output that is not made")),
    .infer = onnx_infer,
    .body = onnx_body,
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,2,3,4] [2,2,5,4] [2,2,5,4]" },
        { .inputs = "[2,2,3,4] [2,2,5,4] [2,2,5,4] b[3,5]{1,0,1,0,1,0,0,0,0,0,0,0,0,0,1}", .why = "the second query sees nothing" },
        { .inputs = "[2,5,8] [2,5,8] [2,5,8] [5,5]", .attrs = "q_num_heads=2 kv_num_heads=2 is_causal=1" }),
};

AVAL_PLUGIN("attention", "0.1.0", AVAL_SOURCES({ "attention.cl", attention_cl }), &dot_op, &onnx_op)
