/* Matrix products: MatMul, and Gemm as a body of aval::MatrixProduct, so that the addition of C fuses with what follows and its
 * gradient is an ordinary sum.  All work is left to host->gemm; the gradients of both operands can be accumulated, so that weights used
 * at many places or times cost one buffer. */
#include "aval/strides.h"
#include "support.h"

/* ---- MatMul ----------------------------------------------------------------------------------------------------------------- */

/* A product with numpy's batch axes.  Axes from `inner` on are one batch of a gemm, on which each operand either moves evenly or
   stands still; those before are walked by hand. */
typedef struct matmul {
    int64_t m, n, k;
    uint32_t axes; /* batch axes of the result */
    int64_t dims[AVAL_MAX_RANK];
    int64_t a_strides[AVAL_MAX_RANK], b_strides[AVAL_MAX_RANK]; /* elements; 0 where the operand is broadcast */
    uint32_t inner; /* first axis of the batch */
    int64_t batch; /* product of dims from `inner` on */
    int64_t a_step, b_step; /* elements from one matrix of the batch to the next */
    const int64_t *a_given, *b_given; /* strides of all axes of an operand that is not row-major, NULL: it is */
} matmul;

/* Strides of an operand's batch axes, in elements: as `given`, or row-major with matrices of `matrix` elements. */
static void batch_strides(const int64_t *dims, uint32_t rank, int64_t matrix, uint32_t axes, const int64_t *given, int64_t *strides)
{
    int64_t stride = matrix;
    for (uint32_t i = 0; i < axes; i++) strides[i] = 0;
    for (uint32_t i = 0; rank > 2 && i < rank - 2; i++) {
        uint32_t from = rank - 3 - i;
        if (dims[from] != 1) strides[axes - 1 - i] = given != NULL ? given[from] : stride;
        stride *= dims[from];
    }
}

static int matmul_shapes(const aval_host *host, aval_call *call, matmul *p)
{
    const aval_tensor *a = host->input(call, 0), *b = host->input(call, 1);
    uint32_t ra = host->rank(a), rb = host->rank(b);
    const int64_t *da = host->dims(a), *db = host->dims(b);
    if (ra == 0 || rb == 0)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %s is a scalar, expected at least one axis", ra == 0 ? "A" : "B");
    int64_t inner_b = rb == 1 ? db[0] : db[rb - 2];
    p->m = ra == 1 ? 1 : da[ra - 2];
    p->k = da[ra - 1];
    p->n = rb == 1 ? 1 : db[rb - 1];
    if (p->k != inner_b)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "the last axis of A has length %lld, that of B to go with it has %lld; expected equal ones", (long long)p->k,
                          (long long)inner_b);
    uint32_t ba = ra > 2 ? ra - 2 : 0, bb = rb > 2 ? rb - 2 : 0;
    p->axes = ba > bb ? ba : bb;
    for (uint32_t i = 0; i < p->axes; i++) {
        int64_t x = i + ba < p->axes ? 1 : da[i + ba - p->axes], y = i + bb < p->axes ? 1 : db[i + bb - p->axes];
        if (x != y && x != 1 && y != 1)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "batch axis %u has length %lld in A and %lld in B, which do not broadcast",
                              (unsigned)i, (long long)x, (long long)y);
        p->dims[i] = x == 1 ? y : x;
    }
    batch_strides(da, ra, p->m * p->k, p->axes, p->a_given, p->a_strides);
    batch_strides(db, rb, p->k * p->n, p->axes, p->b_given, p->b_strides);
    return 0;
}

static int matmul_infer(const aval_host *host, aval_call *call)
{
    matmul p = { 0 };
    TRY(matmul_shapes(host, call, &p));
    uint32_t rank = p.axes;
    if (host->rank(host->input(call, 0)) > 1) p.dims[rank++] = p.m;
    if (host->rank(host->input(call, 1)) > 1) p.dims[rank++] = p.n;
    return host->set_output(call, 0, host->type(host->input(call, 0)), rank, p.dims);
}

/* Chooses the batch.  Where B has no batch axes, the rows of all matrices of A are rows of one. */
static int matmul_plan(const aval_host *host, aval_call *call, matmul *p)
{
    TRY(matmul_shapes(host, call, p));
    if (host->rank(host->input(call, 1)) <= 2 && p->a_given == NULL) {
        p->m *= product(p->dims, p->axes);
        p->axes = 0;
    }
    p->inner = p->axes;
    p->batch = 1;
    p->a_step = p->b_step = 0;
    while (p->inner > 0) {
        uint32_t i = p->inner - 1;
        int even_a = p->batch == 1 || p->dims[i] == 1 || p->a_strides[i] == p->a_step * p->batch;
        int even_b = p->batch == 1 || p->dims[i] == 1 || p->b_strides[i] == p->b_step * p->batch;
        if (!even_a || !even_b) break;
        if (p->batch == 1) {
            p->a_step = p->a_strides[i];
            p->b_step = p->b_strides[i];
        }
        p->batch *= p->dims[i];
        p->inner = i;
    }
    return 0;
}

/* Offsets of the operands at step `walk` of the axes walked by hand, and whether each is reached there for the first time. */
typedef struct position {
    int64_t a, b;
    int a_first, b_first;
} position;

static position matmul_position(const matmul *p, int64_t walk)
{
    position at = { 0, 0, 1, 1 };
    for (uint32_t i = p->inner; i-- > 0;) {
        int64_t index = walk % p->dims[i];
        walk /= p->dims[i];
        at.a += index * p->a_strides[i];
        at.b += index * p->b_strides[i];
        if (index > 0 && p->a_strides[i] == 0) at.a_first = 0;
        if (index > 0 && p->b_strides[i] == 0) at.b_first = 0;
    }
    return at;
}

/* Matrices of `columns` columns that are row-major, or lie as `given` says. */
static aval_operand operand_at(const aval_host *host, const aval_tensor *t, const int64_t *given, int64_t offset, int64_t columns,
                               int64_t step)
{
    aval_operand operand = { .tensor = t, .offset = offset, .ld = columns, .batch_stride = step };
    if (given == NULL) return operand;
    int64_t row = given[host->rank(t) - 2], column = given[host->rank(t) - 1];
    operand.transposed = column != 1;
    operand.ld = column != 1 ? column : row;
    return operand;
}

static int matmul_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *a = host->input(call, 0), *b = host->input(call, 1), *y = host->output(call, 0);
    const aval_strides *strides = host->extension(call, AVAL_STRIDES);
    matmul p = { 0 };
    if (strides != NULL) {
        p.a_given = strides->of(call, a);
        p.b_given = strides->of(call, b);
    }
    TRY(matmul_plan(host, call, &p));
    if (host->count(y) == 0) return 0;
    int64_t walks = product(p.dims, p.inner), matrix = p.m * p.n;
    for (int64_t w = 0; w < walks; w++) {
        position at = matmul_position(&p, w);
        TRY(host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                           .m = p.m,
                                           .n = p.n,
                                           .k = p.k,
                                           .batch = p.batch,
                                           .alpha = 1,
                                           .whole = walks == 1,
                                           .a = operand_at(host, a, p.a_given, at.a, p.k, p.a_step),
                                           .b = operand_at(host, b, p.b_given, at.b, p.n, p.b_step),
                                           .c = { .tensor = y, .offset = w * p.batch * matrix, .ld = p.n, .batch_stride = matrix } }));
    }
    return 0;
}

/* da = g b^T and db = a^T g, summed over the batches on which the operand stands still. */
static int matmul_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *a = host->input(call, 0), *b = host->input(call, 1), *g = host->upstream(call, 0);
    const aval_tensor *da = host->gradient(call, 0), *db = host->gradient(call, 1);
    matmul p = { 0 };
    TRY(matmul_plan(host, call, &p));
    int64_t walks = product(p.dims, p.inner), matrix = p.m * p.n;
    if (walks * p.batch == 0) { /* no product has taken part in anything */
        if (da != NULL && !host->accumulate(call, 0)) TRY(host->fill(call, da, 0));
        if (db != NULL && !host->accumulate(call, 1)) TRY(host->fill(call, db, 0));
        return 0;
    }
    for (int64_t w = 0; w < walks; w++) {
        position at = matmul_position(&p, w);
        aval_operand up = { .tensor = g, .offset = w * p.batch * matrix, .ld = p.n, .batch_stride = matrix };
        if (da != NULL)
            TRY(host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                               .m = p.m,
                                               .n = p.k,
                                               .k = p.n,
                                               .batch = p.batch,
                                               .alpha = 1,
                                               .beta = at.a_first ? host->accumulate(call, 0) : 1,
                                               .sum = p.batch > 1 && p.a_step == 0,
                                               .whole = walks == 1,
                                               .a = up,
                                               .b = { .tensor = b, .offset = at.b, .ld = p.n, .batch_stride = p.b_step, .transposed = 1 },
                                               .c = { .tensor = da, .offset = at.a, .ld = p.k, .batch_stride = p.a_step } }));
        if (db != NULL)
            TRY(host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                               .m = p.k,
                                               .n = p.n,
                                               .k = p.m,
                                               .batch = p.batch,
                                               .alpha = 1,
                                               .beta = at.b_first ? host->accumulate(call, 1) : 1,
                                               .sum = p.batch > 1 && p.b_step == 0,
                                               .whole = walks == 1,
                                               .a = { .tensor = a, .offset = at.a, .ld = p.k, .batch_stride = p.a_step, .transposed = 1 },
                                               .b = up,
                                               .c = { .tensor = db, .offset = at.b, .ld = p.n, .batch_stride = p.b_step } }));
    }
    return 0;
}

static int matmul_reference(const aval_host *host, aval_call *call)
{
    const double *a = host->real(call, host->input(call, 0)), *b = host->real(call, host->input(call, 1));
    double *y = host->real(call, host->output(call, 0));
    matmul p = { 0 };
    TRY(matmul_shapes(host, call, &p));
    p.inner = p.axes;
    int64_t walks = product(p.dims, p.axes);
    for (int64_t w = 0; w < walks; w++) {
        position at = matmul_position(&p, w);
        for (int64_t i = 0; i < p.m; i++) {
            for (int64_t j = 0; j < p.n; j++) {
                double sum = 0;
                for (int64_t l = 0; l < p.k; l++) sum += a[at.a + i * p.k + l] * b[at.b + l * p.n + j];
                y[(w * p.m + i) * p.n + j] = sum;
            }
        }
    }
    return 0;
}

/* ---- MatrixProduct and Gemm ------------------------------------------------------------------------------------------------- */

/* y [m, n] = alpha op(a) op(b), op as the attributes transA and transB say. */
typedef struct sizes {
    int64_t m, n, k, lda, ldb;
    uint32_t ta, tb;
} sizes;

static int product_sizes(const aval_host *host, aval_call *call, sizes *s)
{
    const aval_tensor *a = host->input(call, 0), *b = host->input(call, 1);
    if (host->rank(a) != 2 || host->rank(b) != 2)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "A has %u axes and B has %u, expected 2 and 2", (unsigned)host->rank(a),
                          (unsigned)host->rank(b));
    s->ta = host->attr_int(call, "transA") != 0;
    s->tb = host->attr_int(call, "transB") != 0;
    s->lda = host->dims(a)[1];
    s->ldb = host->dims(b)[1];
    s->m = host->dims(a)[s->ta ? 1 : 0];
    s->k = host->dims(a)[s->ta ? 0 : 1];
    s->n = host->dims(b)[s->tb ? 0 : 1];
    int64_t k = host->dims(b)[s->tb ? 1 : 0];
    if (k != s->k)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "A has %lld columns%s and B has %lld rows%s, expected as many", (long long)s->k,
                          s->ta ? " (transposed)" : "", (long long)k, s->tb ? " (transposed)" : "");
    return 0;
}

static int product_infer(const aval_host *host, aval_call *call)
{
    sizes s;
    TRY(product_sizes(host, call, &s));
    return host->set_output(call, 0, host->type(host->input(call, 0)), 2, (const int64_t[]){ s.m, s.n });
}

static int product_forward(const aval_host *host, aval_call *call)
{
    sizes s;
    TRY(product_sizes(host, call, &s));
    return host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                          .m = s.m,
                                          .n = s.n,
                                          .k = s.k,
                                          .alpha = host->attr_float(call, "alpha"),
                                          .whole = 1,
                                          .a = { .tensor = host->input(call, 0), .ld = s.lda, .transposed = s.ta },
                                          .b = { .tensor = host->input(call, 1), .ld = s.ldb, .transposed = s.tb },
                                          .c = { .tensor = host->output(call, 0), .ld = s.n } });
}

/* d op(a) = g op(b)^T, and its transpose d op(a)^T = op(b) g^T where a is stored transposed; the same for b. */
static int product_backward(const aval_host *host, aval_call *call)
{
    sizes s;
    TRY(product_sizes(host, call, &s));
    double alpha = host->attr_float(call, "alpha");
    const aval_tensor *g = host->upstream(call, 0), *da = host->gradient(call, 0), *db = host->gradient(call, 1);
    aval_operand a = { .tensor = host->input(call, 0), .ld = s.lda, .transposed = s.ta }, a_t = a, up = { .tensor = g, .ld = s.n },
                 up_t = up;
    aval_operand b = { .tensor = host->input(call, 1), .ld = s.ldb, .transposed = s.tb }, b_t = b;
    a_t.transposed = !s.ta;
    b_t.transposed = !s.tb;
    up_t.transposed = 1;
    if (da != NULL)
        TRY(host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                           .m = s.ta ? s.k : s.m,
                                           .n = s.ta ? s.m : s.k,
                                           .k = s.n,
                                           .alpha = alpha,
                                           .beta = host->accumulate(call, 0),
                                           .whole = 1,
                                           .a = s.ta ? b : up,
                                           .b = s.ta ? up_t : b_t,
                                           .c = { .tensor = da, .ld = s.lda } }));
    if (db != NULL)
        TRY(host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                           .m = s.tb ? s.n : s.k,
                                           .n = s.tb ? s.k : s.n,
                                           .k = s.m,
                                           .alpha = alpha,
                                           .beta = host->accumulate(call, 1),
                                           .whole = 1,
                                           .a = s.tb ? up_t : a_t,
                                           .b = s.tb ? a : up,
                                           .c = { .tensor = db, .ld = s.ldb } }));
    return 0;
}

static int product_reference(const aval_host *host, aval_call *call)
{
    sizes s;
    TRY(product_sizes(host, call, &s));
    const double *a = host->real(call, host->input(call, 0)), *b = host->real(call, host->input(call, 1));
    double *y = host->real(call, host->output(call, 0)), alpha = host->attr_float(call, "alpha");
    for (int64_t i = 0; i < s.m; i++) {
        for (int64_t j = 0; j < s.n; j++) {
            double sum = 0;
            for (int64_t l = 0; l < s.k; l++)
                sum += (s.ta ? a[l * s.lda + i] : a[i * s.lda + l]) * (s.tb ? b[j * s.ldb + l] : b[l * s.ldb + j]);
            y[i * s.n + j] = alpha * sum;
        }
    }
    return 0;
}

static int gemm_body(const aval_host *host, aval_call *call)
{
    double beta = host->attr_float(call, "beta");
    const aval_tensor *factors[] = { host->input(call, 0), host->input(call, 1) }, *result;
    const aval_tensor *c = host->n_inputs(call) > 2 ? host->input(call, 2) : NULL;
    text attrs = { 0 };
    text_real(&attrs, "alpha", host->attr_float(call, "alpha"));
    text_int(&attrs, "transA", host->attr_int(call, "transA"));
    text_int(&attrs, "transB", host->attr_int(call, "transB"));
    TRY(host->apply(call, "aval::MatrixProduct", attrs.at, 2, factors, 1, &result));
    if (c != NULL && beta != 1) {
        text factor = { 0 };
        text_real(&factor, "factor", beta);
        TRY(host->apply(call, "aval::Scale", factor.at, 1, &c, 1, &c));
    }
    if (c != NULL) TRY(host->apply(call, "Add", NULL, 2, (const aval_tensor *const[]){ result, c }, 1, &result));
    return host->yield(call, 0, result);
}

/* The product's shape, to which C must broadcast. */
static int gemm_infer(const aval_host *host, aval_call *call)
{
    sizes s;
    TRY(product_sizes(host, call, &s));
    const aval_tensor *c = host->n_inputs(call) > 2 ? host->input(call, 2) : NULL;
    const int64_t dims[] = { s.m, s.n };
    for (uint32_t i = 0; c != NULL && i < host->rank(c); i++) {
        int64_t length = host->dims(c)[i], axis = (int64_t)i + 2 - host->rank(c);
        if (axis < 0 || (length != 1 && length != dims[axis]))
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                              "axis %u of C has length %lld, which does not broadcast to the product's shape [%lld,%lld]", (unsigned)i,
                              (long long)length, (long long)s.m, (long long)s.n);
    }
    return host->set_output(call, 0, host->type(host->input(call, 0)), 2, dims);
}

#define GEMM_ATTRS \
    { .name = "alpha", .type = AVAL_ATTR_FLOAT, .initial = "1", .doc = "factor of the product" }, \
        { .name = "transA", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: A is transposed first" }, \
    { \
        .name = "transB", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: B is transposed first" \
    }

static const aval_op matmul_op = {
    .size = sizeof(aval_op),
    .name = "MatMul",
    .since = 1,
    .deterministic = 1,
    .products = AVAL_PRODUCT_OUTPUT(0) | AVAL_PRODUCT_GRADIENT(0) | AVAL_PRODUCT_GRADIENT(1),
    .doc = "Matrix product; axes before the last two are batches and broadcast, a vector is a row or column.",
    .inputs = AVAL_PORTS({ .name = "A", .flags = AVAL_STRIDED }, { .name = "B", .flags = AVAL_STRIDED, .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .infer = matmul_infer,
    .forward = matmul_forward,
    .backward = matmul_backward,
    .reference = matmul_reference,
    .keeps = AVAL_KEEP_INPUT(0) | AVAL_KEEP_INPUT(1),
    .accumulates = 3,
    .samples =
        AVAL_SAMPLES({ .inputs = "[3,5] [5,4]" }, { .inputs = "[1,1] [1,1]" }, { .inputs = "[2,3,5] [5,4]" },
                     { .inputs = "[2,3,5] [2,5,4]" }, { .inputs = "[3,5] [2,5,4]", .why = "A is broadcast" },
                     { .inputs = "[2,1,3,2] [3,2,4]", .why = "both are broadcast, on different axes" }, { .inputs = "[2,3,1,2,3] [1,3,4]" },
                     { .inputs = "[5] [5]" }, { .inputs = "[5] [5,3]" }, { .inputs = "[2,3,5] [5]" }, { .inputs = "[5] [2,5,3]" },
                     { .inputs = "[0,3] [3,2]" }, { .inputs = "[2,0] [0,3]", .why = "a sum of nothing is 0" },
                     { .inputs = "[0,2,3] [3,2]" }, { .inputs = "[67,129] [129,65]", .size_class = AVAL_LARGE }),
};
static const aval_op product_op = {
    .size = sizeof(aval_op),
    .name = "MatrixProduct",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .products = AVAL_PRODUCT_OUTPUT(0) | AVAL_PRODUCT_GRADIENT(0) | AVAL_PRODUCT_GRADIENT(1),
    .doc = "alpha times the product of two matrices, each as it is or transposed.",
    .inputs = AVAL_PORTS({ .name = "A" }, { .name = "B", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS(GEMM_ATTRS),
    .infer = product_infer,
    .forward = product_forward,
    .backward = product_backward,
    .reference = product_reference,
    .keeps = AVAL_KEEP_INPUT(0) | AVAL_KEEP_INPUT(1),
    .accumulates = 3,
    .samples =
        AVAL_SAMPLES({ .inputs = "[3,5] [5,4]" }, { .inputs = "[5,3] [5,4]", .attrs = "transA=1" },
                     { .inputs = "[3,5] [4,5]", .attrs = "transB=1 alpha=-0.5" }, { .inputs = "[5,3] [4,5]", .attrs = "transA=1 transB=1" },
                     { .inputs = "[0,5] [5,4]" }, { .inputs = "[1,1] [1,1]" }, { .inputs = "[2,0] [0,3]" }),
};
static const aval_op gemm_op = {
    .size = sizeof(aval_op),
    .name = "Gemm",
    .since = 7,
    .deterministic = 1,
    .doc = "alpha A B + beta C; A and B may be transposed, C broadcasts.",
    .inputs =
        AVAL_PORTS({ .name = "A" }, { .name = "B", .like = AVAL_LIKE(0) }, { .name = "C", .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS(GEMM_ATTRS, { .name = "beta", .type = AVAL_ATTR_FLOAT, .initial = "1", .doc = "factor of C" }),
    .infer = gemm_infer,
    .body = gemm_body,
    .samples =
        AVAL_SAMPLES({ .inputs = "[3,5] [5,4] [4]" }, { .inputs = "[3,5] [5,4]" },
                     { .inputs = "[5,3] [4,5] [3,4]", .attrs = "transA=1 transB=1 alpha=0.5 beta=-2" }, { .inputs = "[3,5] [5,4] [3,1]" },
                     { .inputs = "[3,5] [5,4] []" }, { .inputs = "[3,5] [5,4] [1,4]", .attrs = "beta=0.3" },
                     { .inputs = "[0,5] [5,4] [4]" }, { .inputs = "[2,0] [0,4] [4]" }),
};

/* Before opset 7 C is broadcast only where `broadcast` says so, and then as it is now. */
static int older_gemm_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *inputs[] = { host->input(call, 0), host->input(call, 1), host->input(call, 2) }, *y;
    text attrs = { 0 };
    text_real(&attrs, "alpha", host->attr_float(call, "alpha"));
    text_real(&attrs, "beta", host->attr_float(call, "beta"));
    text_int(&attrs, "transA", host->attr_int(call, "transA"));
    text_int(&attrs, "transB", host->attr_int(call, "transB"));
    TRY(host->apply(call, "Gemm", attrs.at, 3, inputs, 1, &y));
    return host->yield(call, 0, y);
}

static const aval_op older_gemm_op = {
    .size = sizeof(aval_op),
    .name = "Gemm",
    .since = 1,
    .deterministic = 1,
    .doc = "The form before opset 7: C broadcasts where the attribute says so.",
    .inputs = AVAL_PORTS({ .name = "A" }, { .name = "B", .like = AVAL_LIKE(0) }, { .name = "C", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS(GEMM_ATTRS, { .name = "beta", .type = AVAL_ATTR_FLOAT, .initial = "1", .doc = "factor of C" },
                        { .name = "broadcast", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: C may broadcast" }),
    .infer = gemm_infer,
    .body = older_gemm_body,
    .samples = AVAL_SAMPLES({ .inputs = "[3,5] [5,4] [4]", .attrs = "broadcast=1 beta=0.5" },
                            { .inputs = "[5,3] [4,5] [3,4]", .attrs = "transA=1 transB=1" }),
};

AVAL_PLUGIN("linear", "0.1.0", NULL, &matmul_op, &product_op, &gemm_op, &older_gemm_op)
