/* Normalisations as bodies: LRN over neighbouring channels, LpNormalization to a norm of 1, MeanVarianceNormalization over any axes. */
#include "support.h"

#include "window_sum.cl.h"

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

/* ---- Sums over neighbouring channels ------------------------------------------------------------------------------------------------- */

static int window_infer(const aval_host *host, aval_call *call)
{
    tensor x = host->input(call, 0);
    if (host->rank(x) < 2)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input X has %u axes, expected at least 2: batch and channels",
                          (unsigned)host->rank(x));
    int64_t ahead = host->attr_int(call, "ahead"), behind = host->attr_int(call, "behind");
    if (ahead < 0 || behind < 0 || ahead > INT32_MAX || behind > INT32_MAX)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attributes ahead and behind are %lld and %lld, expected 0 to 2^31 - 1",
                          (long long)ahead, (long long)behind);
    return aval_infer_like(host, call, 0, 0);
}

static int window_forward(const aval_host *host, aval_call *call)
{
    tensor x = host->input(call, 0);
    aval_split s = aval_split_at(host, x, 1);
    if (host->count(x) == 0) return 0;
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "window_sum", EACH(host->count(x)),
                          AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(host->output(call, 0)), AVAL_I64(host->count(x)), AVAL_I64(s.length),
                                    AVAL_I64(s.inner), AVAL_I64(host->attr_int(call, "ahead")), AVAL_I64(host->attr_int(call, "behind")))));
}

static int window_backward(const aval_host *host, aval_call *call)
{
    tensor g;
    text attrs = { 0 };
    text_int(&attrs, "ahead", host->attr_int(call, "behind"));
    text_int(&attrs, "behind", host->attr_int(call, "ahead"));
    TRY(unary(host, call, "aval::ChannelWindowSum", attrs.at, host->upstream(call, 0), &g));
    return host->yield(call, 0, g);
}

static int window_reference(const aval_host *host, aval_call *call)
{
    tensor x = host->input(call, 0);
    aval_split s = aval_split_at(host, x, 1);
    int64_t ahead = host->attr_int(call, "ahead"), behind = host->attr_int(call, "behind");
    for (int64_t i = 0; i < host->count(x); i++) {
        int64_t c = i / s.inner % s.length;
        double sum = 0;
        for (int64_t k = 0; k < s.length; k++)
            if (k >= c - ahead && k <= c + behind) sum += host->real(call, x)[i + (k - c) * s.inner];
        host->real(call, host->output(call, 0))[i] = sum;
    }
    return 0;
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

static int lrn_body(const aval_host *host, aval_call *call)
{
    tensor x = host->input(call, 0), t;
    int64_t size = host->attr_int(call, "size");
    text window = { 0 }, attrs = { 0 };
    text_int(&window, "ahead", (size - 1) / 2);
    text_int(&window, "behind", size / 2);
    text_real(&attrs, "alpha", host->attr_float(call, "alpha") / (double)size);
    text_real(&attrs, "beta", host->attr_float(call, "beta"));
    text_real(&attrs, "bias", host->attr_float(call, "bias"));
    TRY(unary(host, call, "aval::Square", NULL, x, &t));
    TRY(unary(host, call, "aval::ChannelWindowSum", window.at, t, &t));
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

static const aval_op window_sum = {
    .size = sizeof(aval_op),
    .name = "ChannelWindowSum",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .doc = "The sum of neighbouring channels: of each, some ahead of it and some behind.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS(COUNT("ahead", "0", "channels before"), COUNT("behind", "0", "channels after")),
    .infer = window_infer,
    .forward = window_forward,
    .backward_body = window_backward,
    .reference = window_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[2,5,3]", .attrs = "ahead=1 behind=2" }, { .inputs = "[2,3]", .attrs = "behind=9" },
                            { .inputs = "[0,3]" }, { .inputs = "[3,50,500]", .attrs = "ahead=2 behind=2", .size_class = AVAL_LARGE }),
};
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

AVAL_PLUGIN("local_norm", "0.1.0", AVAL_SOURCES({ "window_sum.cl", window_sum_cl }), &window_sum, &lrn_term, &lrn, &quotient, &lp,
            &over_deviation, &mean_variance)
