/* Activations: what networks apply to each element between their layers.  A table, one row each. */
#include "elementwise.h"

#include "support.h"

#include <string.h>

#define ALPHA(value, text) .attrs = AVAL_ATTRS(FLOAT_ATTR("alpha", value, text))
#define OVERFLOW(text) \
    { \
        .inputs = text, .flags = AVAL_NO_GRADIENT_CHECK, .why = "exp overflows in one of the usual forms" \
    }
#define SAMPLES(low, high, ...) .samples = AVAL_SAMPLES(UNARY_SHAPES(low, high), __VA_ARGS__)
#define WITH(text, attributes) \
    { \
        .inputs = text, .attrs = attributes \
    }

UNARY(sigmoid, "Sigmoid", 1, "X", "Y", "sigmoid(X)", "1 / (1 + exp(-X)).", DERIVATIVES("Y * (1 - Y)"),
      SAMPLES(-3, 3, OVERFLOW("[4]{-1000,-90,90,1000}")));
UNARY(leaky_relu, "LeakyRelu", 1, "X", "Y", "X < 0 ? alpha * X : X", "X where it is positive, else alpha times X.",
      DERIVATIVES("X > 0 ? 1 : alpha"), ALPHA("0.01", "slope of the negative half"), .subgradient = "alpha at X = 0",
      SAMPLES(-1, 1, KINK("[3]{-1,0,1}"), WITH("[5]", "alpha=0.3")));
UNARY(elu, "Elu", 1, "X", "Y", "X < 0 ? alpha * expm1(X) : X", "X where it is positive, else alpha (exp(X) - 1).",
      DERIVATIVES("X > 0 ? 1 : Y + alpha"), ALPHA("1", "minus the limit to the left"), .subgradient = "alpha at X = 0",
      SAMPLES(-2, 2, KINK("[3]{-1,0,1}"), WITH("[5]", "alpha=2"), OVERFLOW("[4]{-1000,-90,90,1000}")));
UNARY(celu, "Celu", 12, "X", "Y", "X < 0 ? alpha * expm1(X / alpha) : X", "X where it is positive, else alpha (exp(X / alpha) - 1).",
      DERIVATIVES("X > 0 ? 1 : exp(X / alpha)"), ALPHA("1", "minus the limit to the left"), .subgradient = "1 at X = 0",
      SAMPLES(-2, 2, KINK("[3]{-1,0,1}"), WITH("[5]", "alpha=2"), OVERFLOW("[4]{-1000,-90,90,1000}")));
UNARY(selu, "Selu", 6, "X", "Y", "gamma * (X > 0 ? X : alpha * expm1(X))",
      "gamma times X where it is positive, else gamma alpha (exp(X) - 1).", DERIVATIVES("X > 0 ? gamma : Y + gamma * alpha"),
      .attrs = AVAL_ATTRS(FLOAT_ATTR("alpha", "1.67326319217681884765625", "minus the limit to the left, before gamma"),
                          FLOAT_ATTR("gamma", "1.05070102214813232421875", "slope of the positive half")),
      .subgradient = "gamma alpha at X = 0",
      SAMPLES(-2, 2, KINK("f32[3]{-1,0,1}"), WITH("[5]", "alpha=2 gamma=3"), OVERFLOW("[4]{-1000,-90,90,1000}")));
UNARY(softplus, "Softplus", 1, "X", "Y", "(X > 0 ? X : 0) + log1p(exp(-abs(X)))", "log(1 + exp(X)), without overflow.",
      DERIVATIVES("sigmoid(X)"), SAMPLES(-3, 3, OVERFLOW("[4]{-1000,-90,90,1000}")));
UNARY(softsign, "Softsign", 1, "input", "output", "input / (1 + abs(input))", "X / (1 + |X|).",
      DERIVATIVES("1 / ((1 + abs(input)) * (1 + abs(input)))"), SAMPLES(-3, 3, { .inputs = "[3]{-1,0,1}" }));
#define TANH_SOFTPLUS "tanh((X > 0 ? X : 0) + log1p(exp(-abs(X))))"
UNARY(mish, "Mish", 18, "X", "Y", "X * " TANH_SOFTPLUS, "X tanh(log(1 + exp(X))).",
      DERIVATIVES(TANH_SOFTPLUS " + X * sigmoid(X) * (1 - " TANH_SOFTPLUS " * " TANH_SOFTPLUS ")"),
      SAMPLES(-3, 3, OVERFLOW("[4]{-1000,-90,90,1000}")));
UNARY(hard_swish, "HardSwish", 14, "X", "Y", "X * max(0, min(1, X / 6 + 0.5))", "X times the line X / 6 + 0.5, clipped to 0..1.",
      DERIVATIVES("X <= -3 ? 0 : X >= 3 ? 1 : X / 3 + 0.5"), .subgradient = "0 at X = -3, 1 at X = 3",
      SAMPLES(-2.9, 2.9, { .inputs = "[4]{-90,-3.5,3.5,90}", .why = "beyond the line" }, KINK("[3]{-3,0,3}")));
UNARY(thresholded_relu, "ThresholdedRelu", 10, "X", "Y", "X > alpha ? X : 0", "X where it is above alpha, else 0.",
      DERIVATIVES("X > alpha ? 1 : 0"), ALPHA("1", "the threshold"), .subgradient = "0 at X = alpha",
      SAMPLES(-3, 3, WITH("[5]", "alpha=0.3"), { .inputs = "[3]{0,0.5,1.5}", .why = "both sides of where it jumps" }));
UNARY(hard_sigmoid, "HardSigmoid", 1, "X", "Y", "max(0, min(1, alpha * X + beta))", "The line alpha X + beta, clipped to 0..1.",
      DERIVATIVES("alpha * X + beta > 0 && alpha * X + beta < 1 ? alpha : 0"),
      .attrs = AVAL_ATTRS(FLOAT_ATTR("alpha", "0.2", "slope of the line"), FLOAT_ATTR("beta", "0.5", "its value at 0")),
      .subgradient = "0 at both ends of the line",
      SAMPLES(-5, 5, { .inputs = "[4]{-0.5,0.25,0.75,2}", .attrs = "alpha=1 beta=0", .why = "the gate of a linear zone" },
              { .inputs = "[3]{0,0.5,1}", .attrs = "alpha=1 beta=0", .flags = AVAL_NO_GRADIENT_CHECK, .why = "kinks" }));
UNARY(step, "Step", 1, "X", "Y", "X > 0 ? 1 : 0", "1 where X is positive, else 0: an all-or-none gate.", .domain = "aval",
      .zero_gradient = 1, .subgradient = "0 everywhere, at X = 0 too",
      SAMPLES(-3, 3, { .inputs = "[3]{-1,0,1}", .why = "where it jumps" }));
UNARY(gelu_erf, "GeluErf", 1, "X", "Y", "0.5 * X * (1 + erf(0.7071067811865476 * X))", "X times the normal distribution's share below X.",
      .domain = "aval", DERIVATIVES("0.5 * (1 + erf(0.7071067811865476 * X)) + 0.3989422804014327 * X * exp(-0.5 * X * X)"),
      SAMPLES(-3, 3, OVERFLOW("[4]{-1000,-90,90,1000}")));
/* Far from 0 the slope's second part is less than a double's precision, but not where a device's tanh stays below 1. */
#define GELU_TANH "tanh(0.7978845608028654 * X * (1 + 0.044715 * X * X))"
UNARY(gelu_tanh, "GeluTanh", 1, "X", "Y", "0.5 * X * (1 + " GELU_TANH ")",
      "The approximation of GeluErf by tanh (Hendrycks and Gimpel, 2016).", .domain = "aval",
      DERIVATIVES("0.5 * (1 + " GELU_TANH ") + (abs(X) > 7 ? 0 : 0.3989422804014327 * X * (1 - " GELU_TANH " * " GELU_TANH
                  ") * (1 + 0.134145 * X * X))"),
      SAMPLES(-3, 3, OVERFLOW("[4]{-90,-9,9,90}")));

static const aval_op relu = {
    ELEMENTWISE("Relu", 1, "X < 0 ? 0 : X"),
    DERIVATIVES("Y > 0 ? 1 : 0"),
    .doc = "X where it is positive, else 0.",
    .inputs = AVAL_PORTS(IN("X")),
    .outputs = AVAL_PORTS(OUT("Y")),
    .subgradient = "0 at X = 0",
    SAMPLES(-1, 1, KINK("[3]{-1,0,1}"), INTEGERS("i32[3]{-7,0,9}"), INTEGERS("i8[3]{-128,0,127}")),
};
static const aval_op shrink = {
    ELEMENTWISE("Shrink", 9, "input < -lambd ? input + bias : input > lambd ? input - bias : 0"),
    .doc = "The input moved towards 0 by bias where it is further than lambd from 0, else 0.",
    .inputs = AVAL_PORTS(IN("input")),
    .outputs = AVAL_PORTS(OUT("output")),
    .attrs = AVAL_ATTRS(FLOAT_ATTR("bias", "0", "how far elements move"), FLOAT_ATTR("lambd", "0.5", "below this distance from 0 is 0")),
    .subgradient = "0 at both ends",
    SAMPLES(-3, 3, WITH("[2,5]", "bias=1.5 lambd=1.5"), { .inputs = "i32[3]{-2,1,2}", .attrs = "bias=1 lambd=1.5", .why = "integers" }),
};

static int infer_prelu(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *slope = host->input(call, 1);
    uint32_t rank = host->rank(x), own = host->rank(slope);
    int fits = own <= rank;
    for (uint32_t i = 0; fits && i < own; i++) {
        int64_t length = host->dims(slope)[i];
        fits = length == 1 || length == host->dims(x)[rank - own + i];
    }
    if (!fits)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "input slope does not broadcast to the shape of X: from the last axis on, "
                          "expected lengths of 1 or those of X");
    return aval_infer_like(host, call, 0, 0);
}

static const aval_op prelu = {
    ELEMENTWISE("PRelu", 7, "X < 0 ? slope * X : X"),
    DERIVATIVES("X > 0 ? 1 : slope", "X < 0 ? X : 0"),
    .infer = infer_prelu,
    .doc = "X where it is positive, else slope times X; slope broadcasts to X.",
    .inputs = AVAL_PORTS(IN("X"), IN_LIKE("slope", 0)),
    .outputs = AVAL_PORTS(OUT("Y")),
    .subgradient = "slope at X = 0",
    .samples = AVAL_SAMPLES({ .inputs = "[2,3] [2,3]" }, { .inputs = "[3,4,5] [5]" }, { .inputs = "[2,3,4,5] [3,1,1]" },
                            { .inputs = "[] []" }, { .inputs = "[0,3] [3]" }, { .inputs = "[257,259] [259]", .size_class = AVAL_LARGE },
                            KINK("[3]{-1,0,1} [1]{0.25}"), INTEGERS("i32[3]{-7,0,9} i32[]{2}")),
};

/* Activations of recurrent networks that are no operators of ONNX's. */
#define X_TO_Y(op_name, summary, expression) \
    .size = sizeof(aval_op), .name = op_name, .domain = "aval", .since = 1, .deterministic = 1, .doc = summary, \
    .inputs = AVAL_PORTS({ .name = "X" }), .outputs = AVAL_PORTS({ .name = "Y" }), .expressions = AVAL_TEXTS(expression)
#define FACTORS(a, b) \
    AVAL_ATTRS({ .name = "alpha", .type = AVAL_ATTR_FLOAT, .initial = a, .doc = "first factor" }, \
               { .name = "beta", .type = AVAL_ATTR_FLOAT, .initial = b, .doc = "second factor" })

static const aval_op affine_op = {
    X_TO_Y("Affine", "alpha X + beta", "alpha * X + beta"),
    .attrs = FACTORS("1", "0"),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]", .attrs = "alpha=0.5 beta=2" }),
};

static const aval_op scaled_tanh_op = {
    X_TO_Y("ScaledTanh", "alpha tanh(beta X)", "alpha * tanh(beta * X)"),
    .attrs = FACTORS("1", "1"),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]", .attrs = "alpha=0.5 beta=2" }),
};

static const aval_op limit_op = {
    X_TO_Y("Limit", "X limited to -limit .. limit", "min(max(X, -limit), limit)"),
    .attrs = AVAL_ATTRS({ .name = "limit", .type = AVAL_ATTR_FLOAT, .initial = "inf", .doc = "largest magnitude" }),
    .derivatives = (const char *const[]){ "X >= -limit && X <= limit ? 1 : 0" },
    .n_derivatives = 1,
    .subgradient = "1 at the limits",
    .samples = AVAL_SAMPLES({ .inputs = "[4]{-2,-0.5,0.7,3}", .attrs = "limit=1" }),
};

static int body_gelu(const aval_host *host, aval_call *call)
{
    const char *approximate = host->attr_string(call, "approximate");
    const aval_tensor *x = host->input(call, 0), *y;
    int exact = strcmp(approximate, "none") == 0;
    if (!exact && strcmp(approximate, "tanh") != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute approximate is '%s', expected none or tanh", approximate);
    TRY(host->apply(call, exact ? "aval::GeluErf" : "aval::GeluTanh", NULL, 1, &x, 1, &y));
    return host->yield(call, 0, y);
}

static const aval_op gelu = {
    .size = sizeof(aval_op),
    .name = "Gelu",
    .since = 20,
    .deterministic = 1,
    .body = body_gelu,
    .doc = "X times the normal distribution's share below X, exactly or by tanh.",
    .inputs = AVAL_PORTS(REAL("X")),
    .outputs = AVAL_PORTS(REAL("Y")),
    .attrs = AVAL_ATTRS({ .name = "approximate", .type = AVAL_ATTR_STRING, .initial = "'none'", .doc = "none, or tanh" }),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]" }, { .inputs = "[2,3]", .attrs = "approximate='tanh'" }, { .inputs = "[0]" }),
};

AVAL_PLUGIN("activation", "0.1.0", NULL, &sigmoid, &relu, &leaky_relu, &elu, &celu, &selu, &softplus, &softsign, &mish, &hard_swish,
            &thresholded_relu, &hard_sigmoid, &step, &affine_op, &scaled_tanh_op, &limit_op, &gelu_erf, &gelu_tanh, &gelu, &shrink, &prelu)
