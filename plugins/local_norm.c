/* Normalisations as bodies: LRN over neighbouring channels, LpNormalization to a norm of 1, MeanVarianceNormalization over any axes. */
#include "support.h"

typedef const aval_tensor *tensor;

static int binary(const aval_host *host, aval_call *call, const char *op, const char *attrs, tensor a, tensor b, tensor *out)
{
    const tensor inputs[] = { a, b };
    return host->apply(call, op, attrs, 2, inputs, 1, out);
}

static int unary(const aval_host *host, aval_call *call, const char *op, const char *attrs, tensor x, tensor *out)
{
    return host->apply(call, op, attrs, 1, &x, 1, out);
}

/* ---- LRN ----------------------------------------------------------------------------------------------------------------------------- */

static int lrn_infer(const aval_host *host, aval_call *call)
{
    tensor x = host->input(call, 0);
    if (host->rank(x) < 2)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input X has %u axes, expected at least 2: batch and channels",
                          (unsigned)host->rank(x));
    if (host->attr_int(call, "size") < 1)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute size is %lld, expected at least 1",
                          (long long)host->attr_int(call, "size"));
    return aval_infer_like(host, call, 0, 0);
}

/* The sum of the channels around each, `ahead` before it and `behind` after it: a resampling along them whose weights are all 1. */
static int sum_channels(const aval_host *host, aval_call *call, int64_t ahead, int64_t behind, tensor x, tensor *out)
{
    const int64_t channels = host->dims(x)[1], window = ahead + behind + 1, dims[] = { channels, window };
    const aval_type type = host->type(x) == AVAL_DOUBLE ? AVAL_DOUBLE : AVAL_FLOAT;
    int32_t *starts = malloc((2 * (size_t)channels + 1) * sizeof *starts);
    double *ones = malloc((size_t)(channels * window + 1) * sizeof *ones);
    tensor inputs[5] = { x };
    text attrs = { 0 };
    int status = starts != NULL && ones != NULL
                     ? 0
                     : host->fail(call, AVAL_PLUGIN_NO_MEMORY, "no memory for windows of %lld channels", (long long)channels);
    for (int64_t i = 0; status >= 0 && i < channels; i++) {
        starts[i] = (int32_t)(i - ahead);
        starts[channels + i] = (int32_t)(i - behind);
    }
    for (int64_t i = 0; status >= 0 && i < channels * window; i++) ones[i] = 1;
    if (status >= 0) status = constant_reals(host, call, type, ones, 2, dims, &inputs[2]);
    if (status >= 0) {
        inputs[1] = host->constant(call, AVAL_INT32, 1, &channels, starts);
        inputs[3] = host->constant(call, AVAL_INT32, 1, &channels, starts + channels);
        inputs[4] = inputs[2];
        text_int(&attrs, "axis", 1);
        status = host->apply(call, "aval::Interpolate", attrs.at, 5, inputs, 1, out);
    }
    free(ones);
    free(starts);
    return status;
}

static int lrn_body(const aval_host *host, aval_call *call)
{
    tensor x = host->input(call, 0), t;
    const int64_t size = host->attr_int(call, "size"), most = host->dims(x)[1]; /* no window sees more */
    const int64_t ahead = (size - 1) / 2, behind = size / 2;
    text attrs = { 0 };
    text_real(&attrs, "alpha", host->attr_float(call, "alpha") / (double)size);
    text_real(&attrs, "beta", host->attr_float(call, "beta"));
    text_real(&attrs, "bias", host->attr_float(call, "bias"));
    TRY(unary(host, call, "aval::Square", NULL, x, &t));
    TRY(sum_channels(host, call, ahead < most ? ahead : most, behind < most ? behind : most, t, &t));
    TRY(binary(host, call, "aval::LRNTerm", attrs.at, x, t, &t));
    return host->yield(call, 0, t);
}

/* ---- LpNormalization ------------------------------------------------------------------------------------------------------------------ */

static int lp_infer(const aval_host *host, aval_call *call)
{
    uint32_t rank = host->rank(host->input(call, 0));
    int64_t p = host->attr_int(call, "p");
    if (aval_axis(host->attr_int(call, "axis"), rank) < 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute axis is %lld, out of range for %u axes",
                          (long long)host->attr_int(call, "axis"), (unsigned)rank);
    if (p != 1 && p != 2) return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute p is %lld, expected 1 or 2", (long long)p);
    return aval_infer_like(host, call, 0, 0);
}

static int lp_body(const aval_host *host, aval_call *call)
{
    tensor x = host->input(call, 0), norm, y;
    const int64_t axis = host->attr_int(call, "axis");
    TRY(binary(host, call, host->attr_int(call, "p") == 1 ? "ReduceL1" : "ReduceL2", NULL, x, constant_ints(host, call, &axis, 1), &norm));
    TRY(binary(host, call, "aval::QuotientOrZero", NULL, x, norm, &y));
    return host->yield(call, 0, y);
}

/* ---- MeanVarianceNormalization --------------------------------------------------------------------------------------------------------- */

static int variance_body(const aval_host *host, aval_call *call)
{
    size_t n;
    const int64_t *given = host->attr_ints(call, "axes", &n);
    tensor x = host->input(call, 0), axes = constant_ints(host, call, given, n), mean, distance, t;
    TRY(binary(host, call, "ReduceMean", NULL, x, axes, &mean));
    TRY(binary(host, call, "Sub", NULL, x, mean, &distance));
    TRY(unary(host, call, "aval::Square", NULL, distance, &t));
    TRY(binary(host, call, "ReduceMean", NULL, t, axes, &t));
    TRY(binary(host, call, "aval::OverDeviation", NULL, distance, t, &t));
    return host->yield(call, 0, t);
}

/* ---- The table -------------------------------------------------------------------------------------------------------------------------- */

#define EXPRESSION(op_name, expression, first, second) \
    .size = sizeof(aval_op), .name = op_name, .domain = "aval", .since = 1, .deterministic = 1, .expressions = AVAL_TEXTS(expression), \
    .inputs = AVAL_PORTS({ .name = first }, { .name = second, .like = AVAL_LIKE(0) }), .outputs = AVAL_PORTS({ .name = "Y" })
#define NUMBER(attr_name, value, summary) \
    { \
        .name = attr_name, .type = AVAL_ATTR_FLOAT, .initial = value, .doc = summary \
    }
#define COUNT(attr_name, value, summary) \
    { \
        .name = attr_name, .type = AVAL_ATTR_INT, .initial = value, .doc = summary \
    }
#define NORM(op_name, version, body_function) \
    .size = sizeof(aval_op), .name = op_name, .since = version, .deterministic = 1, .inputs = AVAL_PORTS({ .name = "X" }), \
    .outputs = AVAL_PORTS({ .name = "Y" }), .body = body_function

static const aval_op lrn_term = {
    EXPRESSION("LRNTerm", "X * pow(bias + alpha * sum, -beta)", "X", "sum"),
    .doc = "X / (bias + alpha sum)^beta.",
    .attrs = AVAL_ATTRS(NUMBER("alpha", "1e-4", "factor of the sum"), NUMBER("beta", "0.75", "exponent"), NUMBER("bias", "1", "added")),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3] [2,3]{0..4}", .attrs = "alpha=0.5" }, { .inputs = "[0] [0]" }),
};
static const aval_op lrn = {
    NORM("LRN", 1, lrn_body),
    .doc = "Each element divided by a power of the sum of the squares in `size` neighbouring channels.",
    .attrs = AVAL_ATTRS(NUMBER("alpha", "1e-4", "factor of the mean of squares"), NUMBER("beta", "0.75", "exponent"),
                        NUMBER("bias", "1", "added to it"),
                        { .name = "size", .type = AVAL_ATTR_INT, .required = 1, .doc = "channels that are summed over" }),
    .infer = lrn_infer,
    .samples =
        AVAL_SAMPLES({ .inputs = "[2,5,3,4]", .attrs = "size=3 alpha=0.3" },
                     { .inputs = "[2,5,3]", .attrs = "size=4 alpha=0.5 beta=0.5 bias=2" }, { .inputs = "[0,3,2,2]", .attrs = "size=3" }),
};
static const aval_op quotient = {
    EXPRESSION("QuotientOrZero", "norm == 0 ? 0 : X / norm", "X", "norm"),
    .doc = "X / norm, 0 where norm is 0.",
    .samples = AVAL_SAMPLES({ .inputs = "[2,3] [2,1]{0.5..2}" },
                            { .inputs = "[2]{0,0} [1]{0}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "it jumps at 0" }),
};
static const aval_op lp = {
    NORM("LpNormalization", 1, lp_body),
    .doc = "Divided by the L1 or L2 norm along an axis; 0 where that is 0.",
    .attrs = AVAL_ATTRS(COUNT("axis", "-1", "the axis along which norms are taken"), COUNT("p", "2", "1 or 2")),
    .infer = lp_infer,
    .samples = AVAL_SAMPLES({ .inputs = "[3,5]{0.3..1}" }, { .inputs = "[2,3,4]", .attrs = "axis=1 p=1", .flags = AVAL_DISTINCT },
                            { .inputs = "[0,3]" }),
};
static const aval_op over_deviation = {
    EXPRESSION("OverDeviation", "X * rsqrt(variance + 1e-18)", "X", "variance"),
    .doc = "X over the square root of the variance.",
    .samples = AVAL_SAMPLES({ .inputs = "[2,3] [2,1]{0.5..2}" }, { .inputs = "[0] [0]" }),
};
static const aval_op mean_variance = {
    NORM("MeanVarianceNormalization", 9, variance_body),
    .doc = "Brought to mean 0 and variance 1 over axes together.",
    .attrs = AVAL_ATTRS({ .name = "axes", .type = AVAL_ATTR_INTS, .initial = "[0,2,3]", .doc = "the axes; all others are kept apart" }),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3,4,5]" }, { .inputs = "[5,4]", .attrs = "axes=[1]" }, { .inputs = "[0,3,2,2]" }),
};

AVAL_PLUGIN("local_norm", "0.1.0", NULL, &lrn_term, &lrn, &quotient, &lp, &over_deviation, &mean_variance)
