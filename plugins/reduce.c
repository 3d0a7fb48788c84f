/* Reductions over any set of axes that have kernels: ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd.  The gradients of sum, mean
 * and product are bodies of expressions, which fuse with what reads them; those of the largest and the smallest have kernels of their own
 * beside the others.  The reductions made of these are in norms.c. */
#include "reduction.h"

#include "reduce.cl.h"

/* ---- Forward ------------------------------------------------------------------------------------------------------------------- */

/* As in reduce.cl, where MEAN is a sum with a factor. */
typedef enum combination { SUM = 0, LARGEST = 1, SMALLEST = 2, PRODUCT = 3, MEAN = 4 } combination;

#define AXES_ARGS(set) \
    AVAL_I64((set).lengths[1]), AVAL_I64((set).lengths[2]), AVAL_I64((set).lengths[3]), AVAL_I64((set).strides[0]), \
        AVAL_I64((set).strides[1]), AVAL_I64((set).strides[2]), AVAL_I64((set).strides[3])

/* One launch: from x to y [results, chunks]. */
typedef struct stage {
    const aval_tensor *x, *y;
    aval_type type; /* of x, which is NULL where it is empty */
    combination kind;
    int64_t chunks, chunk; /* parts of each result, and elements of a part */
    int64_t over; /* 1, or for a mean how many elements the sum is divided by */
} stage;

/* The macros of both kernels are the same, so that they share a program. */
#define STAGE_LAUNCH(s, group) \
    .s_type = (uint32_t)(s)->type, .d_type = (uint32_t)host->type((s)->y), \
    AVAL_DEFINES({ "WG", group }, { "COMBINATION", (s)->kind == MEAN ? SUM : (s)->kind })
#define STAGE_SCALE(s) AVAL_REAL(1.0 / (double)(s)->over), AVAL_I64((s)->over > 0 ? (s)->over : 1)

static int launch_any(const aval_host *host, aval_call *call, const stage *s, const axis_set *kept, const axis_set *over)
{
    uint32_t group = host->device(call)->group;
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "reduce_any", .global = { (uint64_t)(kept->count * s->chunks) * group }, .local = { group },
                          STAGE_LAUNCH(s, group),
                          AVAL_ARGS(AVAL_READ(s->x), AVAL_WRITE(s->y), AVAL_I64(kept->count), AVAL_I64(over->count), AVAL_I64(s->chunks),
                                    AVAL_I64(s->chunk), AXES_ARGS(*kept), AXES_ARGS(*over), STAGE_SCALE(s))));
}

static int launch_columns(const aval_host *host, aval_call *call, const stage *s, int64_t outer, int64_t length, int64_t inner,
                          int64_t blocks)
{
    uint32_t group = host->device(call)->group, together = group == 1 ? 1 : 0; /* on CPUs a work-item has hundreds of columns to do */
    return host->launch(call, AVAL_LAUNCH(.kernel = "reduce_columns", EACH(outer * s->chunks * blocks), .local = { together },
                                          STAGE_LAUNCH(s, group),
                                          AVAL_ARGS(AVAL_READ(s->x), AVAL_WRITE(s->y), AVAL_I64(outer), AVAL_I64(length), AVAL_I64(inner),
                                                    AVAL_I64(s->chunks), AVAL_I64(s->chunk), STAGE_SCALE(s))));
}

/* In how many parts of at least `least` elements each of `results` results is made, so that some `wanted` parts occupy the device; none
   is empty.  Unsigned sums have no type for their parts. */
static int64_t choose_chunks(aval_type type, int64_t results, int64_t wanted, int64_t length, int64_t least, int64_t *chunk)
{
    int64_t chunks = wanted / results, most = length / least;
    if (chunks > most) chunks = most;
    *chunk = length;
    if (chunks <= 1 || type == AVAL_UINT32 || type == AVAL_UINT64) return 1;
    *chunk = (length + chunks - 1) / chunks;
    return (length + *chunk - 1) / *chunk;
}

static aval_type part_type(aval_type type)
{
    return (AVAL_FLOATS & AVAL_TYPE_SET(type)) != 0 ? sum_type(type) : AVAL_INT64;
}

/* y [outer, inner] from x [outer, length, inner]. */
static int record_columns(const aval_host *host, aval_call *call, stage last, int64_t outer, int64_t length, int64_t inner)
{
    const aval_device_info *device = host->device(call);
    const int64_t columns = device->group == 1 ? 512 : 1, blocks = (inner + columns - 1) / columns; /* as in reduce.cl */
    stage first = last;
    first.chunks = choose_chunks(last.type, outer * blocks, (int64_t)device->compute_units * (device->group == 1 ? 4 : 1024), length, 64,
                                 &first.chunk);
    if (first.chunks > 1) {
        first.over = 1;
        first.y = host->scratch(call, part_type(last.type), outer * first.chunks * inner);
        if (first.y == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for partial results");
        TRY(launch_columns(host, call, &first, outer, length, inner, blocks));
        last.x = first.y;
        last.type = host->type(first.y);
        length = first.chunks;
    }
    last.chunks = 1;
    last.chunk = length;
    return launch_columns(host, call, &last, outer, length, inner, blocks);
}

static int record_rows(const aval_host *host, aval_call *call, stage last, axis_set kept, axis_set over)
{
    stage first = last;
    first.chunks = choose_chunks(last.type, kept.count, 64, over.count, 4096, &first.chunk);
    if (first.chunks > 1) {
        first.over = 1;
        first.y = host->scratch(call, part_type(last.type), kept.count * first.chunks);
        if (first.y == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for partial results");
        TRY(launch_any(host, call, &first, &kept, &over));
        last.x = first.y;
        last.type = host->type(first.y);
        kept = (axis_set){ { 1, 1, 1, kept.count }, { 0, 0, 0, first.chunks }, kept.count };
        over = (axis_set){ { 1, 1, 1, first.chunks }, { 0, 0, 0, 1 }, first.chunks };
    }
    last.chunks = 1;
    last.chunk = over.count;
    return launch_any(host, call, &last, &kept, &over);
}

/* Whether x is [outer, length, inner], of which length is reduced and inner is more than 1. */
static int is_columns(const reduction *r)
{
    return r->over.lengths[2] == 1 && r->kept.lengths[1] == 1 && r->kept.strides[3] == 1 && r->kept.lengths[3] > 1 && r->over.count > 0 &&
           r->over.count <= UINT32_MAX;
}

static int record_reduction(const aval_host *host, aval_call *call, combination kind)
{
    const aval_tensor *x = host->input(call, 0);
    reduction r;
    TRY(plan_reduction(host, call, &r));
    if (r.kept.count == 0) return 0;
    stage s = { .x = r.over.count > 0 ? x : NULL,
                .y = host->output(call, 0),
                .type = host->type(x),
                .kind = kind,
                .over = kind == MEAN ? r.over.count : 1 };
    const int64_t columns = is_columns(&r) ? r.kept.lengths[3] : 0;
    TRY(take_head(host, call, x, columns > 0 ? columns : r.over.strides[3] == 1 ? r.over.lengths[3] : 1));
    if (columns > 0) return record_columns(host, call, s, r.kept.lengths[2], r.over.count, columns);
    return record_rows(host, call, s, r.kept, r.over);
}

/* ---- Gradients ----------------------------------------------------------------------------------------------------------------- */

static int winner_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0), *g = host->upstream(call, 0), *dx = host->gradient(call, 0);
    uint32_t group = host->device(call)->group;
    reduction r;
    int64_t chunk, columns = group == 1 ? 16 : 1; /* as in reduce.cl */
    TRY(plan_reduction(host, call, &r));
    if (host->count(dx) == 0) return 0;
    if (is_columns(&r)) {
        int64_t inner = r.kept.lengths[3], outer = r.kept.lengths[2];
        return host->launch(call, AVAL_LAUNCH(.kernel = "winner_columns", EACH(outer * ((inner + columns - 1) / columns)),
                                              AVAL_DEFINES({ "WG", group }, { "COMBINATION", SUM }),
                                              AVAL_ARGS(AVAL_READ(x), AVAL_READ(y), AVAL_READ(g), AVAL_WRITE(dx), AVAL_I64(outer),
                                                        AVAL_I64(r.over.count), AVAL_I64(inner))));
    }
    int64_t chunks = choose_chunks(host->type(x), r.kept.count, 64, r.over.count, 4096, &chunk);
    const aval_tensor *winners = host->scratch(call, AVAL_INT64, r.kept.count * chunks);
    if (winners == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for the places of winners");
    TRY(host->launch(call,
                     AVAL_LAUNCH(.kernel = "winner_find", BY_GROUPS_WITH(group, r.kept.count * chunks, "COMBINATION", SUM),
                                 AVAL_ARGS(AVAL_READ(x), AVAL_READ(y), AVAL_WRITE(winners), AVAL_I64(r.kept.count), AVAL_I64(r.over.count),
                                           AVAL_I64(chunks), AVAL_I64(chunk), AXES_ARGS(r.kept), AXES_ARGS(r.over)))));
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "winner_spread", BY_GROUPS_WITH(group, r.kept.count * chunks, "COMBINATION", SUM),
                          .s_type = (uint32_t)host->type(x),
                          AVAL_ARGS(AVAL_READ(winners), AVAL_READ(g), AVAL_WRITE(dx), AVAL_I64(r.kept.count), AVAL_I64(r.over.count),
                                    AVAL_I64(chunks), AVAL_I64(chunk), AXES_ARGS(r.kept), AXES_ARGS(r.over))));
}

/* Whether the axes that are left are the last ones: then what has their shape broadcasts to the input's. */
static int leaves_last(const reduction *r)
{
    uint32_t i = r->rank;
    while (i > 0 && !r->reduced[i - 1]) i--;
    while (i > 0 && r->reduced[i - 1]) i--;
    return i == 0;
}

/* The upstream gradient, broadcast to the input's shape: where need be with the reduced axes back in place as 1. */
static int spread(const aval_host *host, aval_call *call, const aval_tensor **out)
{
    reduction r;
    text attrs = { 0 };
    TRY(plan_reduction(host, call, &r));
    text_ints(&attrs, "dims", host->dims(host->input(call, 0)), r.rank);
    *out = host->upstream(call, 0);
    if (!leaves_last(&r)) TRY(with_axes_kept(host, call, &r, *out, out));
    return host->apply(call, "aval::Broadcast", attrs.at, 1, out, 1, out);
}

static int sum_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *g;
    TRY(spread(host, call, &g));
    return host->yield(call, 0, g);
}

static int mean_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *g;
    reduction r;
    text factor = { 0 };
    TRY(plan_reduction(host, call, &r));
    TRY(spread(host, call, &g));
    text_real(&factor, "factor", r.over.count == 0 ? 0.0 : 1.0 / (double)r.over.count);
    TRY(host->apply(call, "aval::Scale", factor.at, 1, &g, 1, &g));
    return host->yield(call, 0, g);
}

/* The product of all others, also where one of them is 0: from the product of those that are not and the number of zeros. */
static int product_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *axes = host->n_inputs(call) > 1 ? host->input(call, 1) : NULL, *g, *others, *zeros;
    reduction r;
    text attrs = { 0 };
    size_t n = axes == NULL ? 1 : 2;
    TRY(plan_reduction(host, call, &r));
    text_int(&attrs, "noop_with_empty_axes", host->attr_int(call, "noop_with_empty_axes"));
    TRY(host->apply(call, "aval::OneForZero", NULL, 1, &x, 1, &others));
    TRY(host->apply(call, "ReduceProd", attrs.at, n, (const aval_tensor *const[]){ others, axes }, 1, &others));
    TRY(host->apply(call, "aval::IsZero", NULL, 1, &x, 1, &zeros));
    TRY(host->apply(call, "ReduceSum", attrs.at, n, (const aval_tensor *const[]){ zeros, axes }, 1, &zeros));
    TRY(with_axes_kept(host, call, &r, host->upstream(call, 0), &g));
    TRY(host->apply(call, "aval::ProductOfOthers", NULL, 4, (const aval_tensor *const[]){ x, others, zeros, g }, 1, &g));
    return host->yield(call, 0, g);
}

/* ---- Reference ----------------------------------------------------------------------------------------------------------------- */

/* Result of element `at` of the input. */
static int64_t result_of(const reduction *r, const int64_t *dims, int64_t at)
{
    int64_t result = 0, stride = 1;
    for (uint32_t i = r->rank; i-- > 0;) {
        if (!r->reduced[i]) {
            result += at % dims[i] * stride;
            stride *= dims[i];
        }
        at /= dims[i];
    }
    return result;
}

static double combine_real(combination kind, double a, double b)
{
    if (kind == LARGEST) return a >= b || a != a ? a : b;
    if (kind == SMALLEST) return a <= b || a != a ? a : b;
    return kind == PRODUCT ? a * b : a + b;
}

static int64_t combine_integer(combination kind, int64_t a, int64_t b)
{
    if (kind == LARGEST) return a >= b ? a : b;
    if (kind == SMALLEST) return a <= b ? a : b;
    return kind == PRODUCT ? (int64_t)((uint64_t)a * (uint64_t)b) : (int64_t)((uint64_t)a + (uint64_t)b);
}

/* The least and the largest number of an integer type. */
static int64_t limit(aval_type type, int largest)
{
    switch (type) {
    case AVAL_BOOL: return largest ? 1 : 0;
    case AVAL_UINT8: return largest ? UINT8_MAX : 0;
    case AVAL_INT8: return largest ? INT8_MAX : INT8_MIN;
    case AVAL_UINT16: return largest ? UINT16_MAX : 0;
    case AVAL_INT16: return largest ? INT16_MAX : INT16_MIN;
    case AVAL_INT32: return largest ? INT32_MAX : INT32_MIN;
    case AVAL_UINT32: return largest ? UINT32_MAX : 0;
    case AVAL_UINT64: return largest ? -1 : 0; /* all bits */
    default: return largest ? INT64_MAX : INT64_MIN;
    }
}

static int reference_of(const aval_host *host, aval_call *call, combination kind)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    reduction r;
    TRY(plan_reduction(host, call, &r));
    int floats = (AVAL_FLOATS & AVAL_TYPE_SET(host->type(x))) != 0;
    double real = kind == LARGEST ? -INFINITY : kind == SMALLEST ? INFINITY : kind == PRODUCT;
    int64_t integer = kind == LARGEST || kind == SMALLEST ? limit(host->type(x), kind == SMALLEST) : kind == PRODUCT;
    for (int64_t o = 0; o < host->count(y); o++) {
        if (floats) host->real(call, y)[o] = real;
        else host->integer(call, y)[o] = integer;
    }
    for (int64_t i = 0; i < host->count(x); i++) {
        int64_t o = result_of(&r, host->dims(x), i);
        if (floats) host->real(call, y)[o] = combine_real(kind, host->real(call, y)[o], host->real(call, x)[i]);
        else host->integer(call, y)[o] = combine_integer(kind, host->integer(call, y)[o], host->integer(call, x)[i]);
    }
    for (int64_t o = 0; o < host->count(y) && kind == MEAN; o++) {
        if (floats) host->real(call, y)[o] /= (double)r.over.count;
        else if (r.over.count > 0) host->integer(call, y)[o] /= r.over.count;
    }
    return 0;
}

/* ---- The table ----------------------------------------------------------------------------------------------------------------- */

#define KIND(name, kind) \
    static int name##_forward(const aval_host *host, aval_call *call) \
    { \
        return record_reduction(host, call, kind); \
    } \
    static int name##_reference(const aval_host *host, aval_call *call) \
    { \
        return reference_of(host, call, kind); \
    }
KIND(sum, SUM)
KIND(mean, MEAN)
KIND(largest, LARGEST)
KIND(smallest, SMALLEST)
KIND(product, PRODUCT)

#define LARGE(extra_flags) \
    { .inputs = "[257,259] i64[1]{0}", .size_class = AVAL_LARGE, .flags = (extra_flags) }, \
        { .inputs = "[257,259] i64[1]{1}", .size_class = AVAL_LARGE, .flags = (extra_flags) }, \
        { .inputs = "[257,259]", .size_class = AVAL_LARGE, .flags = (extra_flags) }, \
        { .inputs = "[3,70,5,67] i64[2]{0,2}", .size_class = AVAL_LARGE, .flags = (extra_flags), .why = "runs, and chunks of columns" }, \
    { \
        .inputs = "[2,3,17] i64[1]{1}", .flags = (extra_flags) \
    }
#define INTEGERS(text, reason) \
    { \
        .inputs = text, .why = reason \
    }
#define EXTREME(op_name, prefix) \
    REDUCTION(op_name, 18, AVAL_NUMBERS | AVAL_BOOLS, AVAL_HEADED | AVAL_READ_ONCE), \
        .forward = prefix##_forward, .backward = winner_backward, .reference = prefix##_reference, \
        .keeps = AVAL_KEEP_INPUT(0) | AVAL_KEEP_OUTPUT(0), .subgradient = "the first winner at ties", \
        .samples = AVAL_SAMPLES( \
            REDUCTION_SHAPES(-1, 1, AVAL_DISTINCT), LARGE(AVAL_DISTINCT), \
            { .inputs = "[2,3]{1,2,2,3,3,3} i64[1]{1}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "ties: differences say nothing there" }, \
            { .inputs = "[2,0] i64[1]{1}", .why = "of nothing: an infinity" }, \
            INTEGERS("i32[2,0] i64[1]{1}", "of nothing: the limit of the type"), \
            INTEGERS("b[2,0] i64[1]{1}", "of nothing: the limit of the type"), INTEGERS("i64[2,3]{1,2,3,4,5,-6} i64[1]{0}", "integers"), \
            INTEGERS("b[2,3]{1,0,1,0,0,1} i64[1]{1}", "truth values"))

static const aval_op sum_op = {
    REDUCTION("ReduceSum", 13, AVAL_NUMBERS, AVAL_HEADED | AVAL_READ_ONCE),
    .role = AVAL_ROLE_REDUCE_SUM,
    .doc = "Sum over axes.",
    .forward = sum_forward,
    .backward_body = sum_backward,
    .reference = sum_reference,
    .samples = AVAL_SAMPLES(REDUCTION_SHAPES(-1, 1, 0), LARGE(0), { .inputs = "[2,0] i64[1]{1}", .why = "a sum of nothing is 0" },
                            INTEGERS("i64[2,3]{1,2,3,4,5,-6} i64[1]{0}", "integers")),
};
static const aval_op mean_op = {
    REDUCTION("ReduceMean", 18, AVAL_NUMBERS, AVAL_HEADED | AVAL_READ_ONCE),
    .doc = "Mean over axes; of integers cut off towards 0.",
    .forward = mean_forward,
    .backward_body = mean_backward,
    .reference = mean_reference,
    .samples = AVAL_SAMPLES(REDUCTION_SHAPES(-1, 1, 0), LARGE(0), INTEGERS("i32[2,3]{1,2,4,-4,5,-6} i64[1]{1}", "integers")),
};
static const aval_op max_op = { EXTREME("ReduceMax", largest), .doc = "Largest element over axes." };
static const aval_op min_op = { EXTREME("ReduceMin", smallest), .doc = "Smallest element over axes." };
static const aval_op product_op = {
    REDUCTION("ReduceProd", 18, AVAL_NUMBERS, AVAL_HEADED | AVAL_READ_ONCE),
    .doc = "Product over axes.",
    .forward = product_forward,
    .backward_body = product_backward,
    .reference = product_reference,
    .samples = AVAL_SAMPLES(REDUCTION_SHAPES(0.5, 1.5, 0), { .inputs = "[3,4]{0,2,3,4,0,0,5,6,1,-2,3,1} i64[1]{1}", .why = "zeros" },
                            { .inputs = "[2,0] i64[1]{1}", .why = "a product of nothing is 1" },
                            { .inputs = "[257,259] i64[1]{1}", .low = 0.98, .high = 1.02, .size_class = AVAL_LARGE },
                            INTEGERS("i64[2,3]{1,2,3,4,5,-6} i64[1]{0}", "integers")),
};
OLDER_REDUCTION(older_sum, "ReduceSum", AVAL_NUMBERS, -1, 1);
OLDER_REDUCTION(older_mean, "ReduceMean", AVAL_NUMBERS, -1, 1);
OLDER_REDUCTION(older_max, "ReduceMax", AVAL_NUMBERS, -1, 1);
OLDER_REDUCTION(older_min, "ReduceMin", AVAL_NUMBERS, -1, 1);
OLDER_REDUCTION(older_product, "ReduceProd", AVAL_NUMBERS, 0.5, 1.5);

#define EXPRESSION(op_name, expression) \
    .size = sizeof(aval_op), .name = op_name, .domain = "aval", .since = 1, .deterministic = 1, .expressions = AVAL_TEXTS(expression)

static const aval_op one_for_zero = {
    EXPRESSION("OneForZero", "X == 0 ? 1 : X"),
    .doc = "X, but 1 where it is 0.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]" }, { .inputs = "[3]{0,-2,3}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "it jumps at 0" }),
};
static const aval_op is_zero = {
    EXPRESSION("IsZero", "X == 0 ? 1 : 0"),
    .doc = "1 where X is 0, else 0, as a number.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .zero_gradient = 1,
    .samples = AVAL_SAMPLES({ .inputs = "[3]{0,-2,3}" }),
};
static const aval_op product_of_others = {
    EXPRESSION("ProductOfOthers", "zeros == 0 ? G * product / X : zeros == 1 && X == 0 ? G * product : 0"),
    .zero_gradient = 4,
    .doc = "The gradient of a product by X: `product` is that of all factors that are not 0, `zeros` the number of the others.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "product", .like = AVAL_LIKE(0) }, { .name = "zeros", .like = AVAL_LIKE(0) },
                         { .name = "G", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]{0.5..1.5} [2,1] [2,1]{0,0} [2,1]" },
                            { .inputs = "[3]{0,2,3} [1]{6} [1]{1} [1]{2}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "one zero" },
                            { .inputs = "[3]{0,0,3} [1]{3} [1]{2} [1]{2}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "two zeros" }),
};

AVAL_PLUGIN("reduce", "0.1.0", AVAL_SOURCES({ "reduce.cl", reduce_cl }), &sum_op, &mean_op, &max_op, &min_op, &product_op, &older_sum,
            &older_mean, &older_max, &older_min, &older_product, &one_for_zero, &is_zero, &product_of_others)
