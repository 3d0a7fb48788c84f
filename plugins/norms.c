/* Reductions made of a function of each element and a sum: ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSum, ReduceLogSumExp.  Bodies, so
 * that the functions fuse with their neighbours; where the gradient by parts would divide 0 by 0 or lose digits it is a formula. */
#include "reduction.h"

typedef const aval_tensor *tensor;

static int unary(const aval_host *host, aval_call *call, const char *op, tensor x, tensor *out)
{
    return host->apply(call, op, NULL, 1, &x, 1, out);
}

static int binary(const aval_host *host, aval_call *call, const char *op, tensor a, tensor b, tensor *out)
{
    const tensor inputs[] = { a, b };
    return host->apply(call, op, NULL, 2, inputs, 1, out);
}

/* `x` reduced by `op` as this call's axes and attributes say. */
static int reduced(const aval_host *host, aval_call *call, const char *op, tensor x, int64_t keepdims, tensor *out)
{
    const tensor inputs[] = { x, host->n_inputs(call) > 1 ? host->input(call, 1) : NULL };
    text attrs = { 0 };
    text_int(&attrs, "keepdims", keepdims);
    text_int(&attrs, "noop_with_empty_axes", host->attr_int(call, "noop_with_empty_axes"));
    return host->apply(call, op, attrs.at, inputs[1] == NULL ? 1 : 2, inputs, 1, out);
}

/* noop_with_empty_axes=1 without axes: the result is the input itself, not a function of its elements. */
static int is_noop(const aval_host *host, aval_call *call)
{
    tensor axes = host->n_inputs(call) > 1 ? host->input(call, 1) : NULL;
    return host->attr_int(call, "noop_with_empty_axes") && (axes == NULL || host->count(axes) == 0);
}

/* after(sum of before(x)); either may be NULL. */
static int sum_body(const aval_host *host, aval_call *call, const char *before, const char *after)
{
    tensor t = host->input(call, 0);
    if (is_noop(host, call)) {
        TRY(unary(host, call, "Identity", t, &t));
        return host->yield(call, 0, t);
    }
    if (before != NULL) TRY(unary(host, call, before, t, &t));
    TRY(reduced(host, call, "ReduceSum", t, host->attr_int(call, "keepdims"), &t));
    if (after != NULL) TRY(unary(host, call, after, t, &t));
    return host->yield(call, 0, t);
}

static int l1_body(const aval_host *host, aval_call *call)
{
    return sum_body(host, call, "Abs", NULL);
}

static int l2_body(const aval_host *host, aval_call *call)
{
    return sum_body(host, call, "aval::Square", "Sqrt");
}

static int square_body(const aval_host *host, aval_call *call)
{
    return sum_body(host, call, "aval::Square", NULL);
}

static int log_body(const aval_host *host, aval_call *call)
{
    return sum_body(host, call, NULL, "Log");
}

/* exp(x - m) and their sums, where m is the largest x, so that nothing overflows, or 0 where that is infinite; axes are kept. */
static int exponentials(const aval_host *host, aval_call *call, tensor *largest, tensor *each, tensor *sum)
{
    tensor x = host->input(call, 0);
    TRY(reduced(host, call, "ReduceMax", x, 1, largest));
    TRY(unary(host, call, "aval::ZeroForInfinite", *largest, largest));
    TRY(binary(host, call, "Sub", x, *largest, each));
    TRY(unary(host, call, "Exp", *each, each));
    return reduced(host, call, "ReduceSum", *each, 1, sum);
}

static int log_exp_body(const aval_host *host, aval_call *call)
{
    tensor largest, each, sum, t;
    if (is_noop(host, call)) return sum_body(host, call, NULL, NULL);
    TRY(exponentials(host, call, &largest, &each, &sum));
    TRY(unary(host, call, "Log", sum, &t));
    TRY(binary(host, call, "Add", t, largest, &t));
    if (!host->attr_int(call, "keepdims")) {
        tensor y = host->output(call, 0);
        TRY(reshaped(host, call, t, host->rank(y), host->dims(y), &t));
    }
    return host->yield(call, 0, t);
}

/* g exp(x - m) / sum, made anew: exp(x - y) would have the rounding error of y in its exponent. */
static int log_exp_backward(const aval_host *host, aval_call *call)
{
    tensor largest, each, sum, g;
    reduction r;
    if (is_noop(host, call)) return host->yield(call, 0, host->upstream(call, 0));
    TRY(plan_reduction(host, call, &r));
    TRY(exponentials(host, call, &largest, &each, &sum));
    TRY(with_axes_kept(host, call, &r, host->upstream(call, 0), &g));
    TRY(binary(host, call, "Div", g, sum, &g));
    TRY(binary(host, call, "Mul", each, g, &g));
    return host->yield(call, 0, g);
}

static int l2_backward(const aval_host *host, aval_call *call)
{
    tensor inputs[3] = { host->input(call, 0) }, g;
    reduction r;
    if (is_noop(host, call)) return host->yield(call, 0, host->upstream(call, 0));
    TRY(plan_reduction(host, call, &r));
    TRY(with_axes_kept(host, call, &r, host->output(call, 0), &inputs[1]));
    TRY(with_axes_kept(host, call, &r, host->upstream(call, 0), &inputs[2]));
    TRY(host->apply(call, "aval::NormGradient", NULL, 3, inputs, 1, &g));
    return host->yield(call, 0, g);
}

/* ---- The table ----------------------------------------------------------------------------------------------------------------- */

#define OF_NOTHING(reason) \
    { \
        .inputs = "[2,0] i64[1]{1}", .why = reason \
    }
#define INTEGERS \
    { \
        .inputs = "i32[2,3]{1,2,3,4,5,-6} i64[1]{0}", .why = "integers" \
    }

static const aval_op l1 = {
    REDUCTION("ReduceL1", 18, AVAL_NUMBERS, 0),
    .doc = "Sum of the absolute values over axes.",
    .body = l1_body,
    .subgradient = "0 at 0",
    .samples = AVAL_SAMPLES(REDUCTION_SHAPES(-1, 1, AVAL_DISTINCT), OF_NOTHING("0"), INTEGERS,
                            { .inputs = "[3]{-1,0,1}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "a kink" }),
};
static const aval_op l2 = {
    REDUCTION("ReduceL2", 18, 0, 0),
    .doc = "Square root of the sum of the squares over axes.",
    .body = l2_body,
    .backward_body = l2_backward,
    .subgradient = "0 where all elements are 0",
    .samples = AVAL_SAMPLES(REDUCTION_SHAPES(0.5, 1.5, 0), OF_NOTHING("0"),
                            { .inputs = "[3]{0,0,0}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "a kink" }),
};
static const aval_op sum_square = {
    REDUCTION("ReduceSumSquare", 18, AVAL_NUMBERS, 0),
    .doc = "Sum of the squares over axes.",
    .body = square_body,
    .samples = AVAL_SAMPLES(REDUCTION_SHAPES(-1, 1, 0), OF_NOTHING("0")),
};
static const aval_op log_sum = {
    REDUCTION("ReduceLogSum", 18, 0, 0),
    .doc = "Logarithm of the sum over axes.",
    .body = log_body,
    .samples = AVAL_SAMPLES(REDUCTION_SHAPES(0.5, 1.5, 0), OF_NOTHING("-inf")),
};
static const aval_op log_sum_exp = {
    REDUCTION("ReduceLogSumExp", 18, 0, 0),
    .doc = "Logarithm of the sum of the exponentials over axes, without overflow.",
    .body = log_exp_body,
    .backward_body = log_exp_backward,
    .samples = AVAL_SAMPLES(REDUCTION_SHAPES(-3, 3, 0), OF_NOTHING("-inf"),
                            { .inputs = "[2,300] i64[1]{1}", .low = -500, .high = 500, .why = "overflows without the largest" }),
};
OLDER_REDUCTION(older_l1, "ReduceL1", AVAL_NUMBERS, -1, 1);
OLDER_REDUCTION(older_l2, "ReduceL2", 0, 0.5, 1.5);
OLDER_REDUCTION(older_sum_square, "ReduceSumSquare", AVAL_NUMBERS, -1, 1);
OLDER_REDUCTION(older_log_sum, "ReduceLogSum", 0, 0.5, 1.5);
OLDER_REDUCTION(older_log_sum_exp, "ReduceLogSumExp", 0, -3, 3);

#define EXPRESSION(op_name, expression) \
    .size = sizeof(aval_op), .name = op_name, .domain = "aval", .since = 1, .deterministic = 1, .expressions = AVAL_TEXTS(expression)

static const aval_op zero_for_infinite = {
    EXPRESSION("ZeroForInfinite", "isinf(X) ? 0 : X"),
    .doc = "X, but 0 where it is infinite.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]" }, { .inputs = "[0]" }),
};
static const aval_op norm_gradient = {
    EXPRESSION("NormGradient", "Y == 0 ? 0 : G * X / Y"),
    .doc = "The gradient of a Euclidean norm Y by X, where G is that of Y; 0 where Y is 0.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "Y", .like = AVAL_LIKE(0) }, { .name = "G", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "D" }),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3] [2,1]{0.5..2} [2,1]" },
                            { .inputs = "[2]{0,0} [1]{0} [1]", .flags = AVAL_NO_GRADIENT_CHECK, .why = "it jumps at 0" }),
};

AVAL_PLUGIN("norms", "0.1.0", NULL, &l1, &l2, &sum_square, &log_sum, &log_sum_exp, &older_l1, &older_l2, &older_sum_square, &older_log_sum,
            &older_log_sum_exp, &zero_for_infinite, &norm_gradient)
