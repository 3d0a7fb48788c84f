/* Operators that treat each element by itself, given as expressions: the runtime derives their gradients, generates their kernels
 * and fuses neighbours into one launch.  Derivatives written here are those that are numerically better or cheaper than the derived ones,
 * mostly because they need the output only.  Max, Min and Clip are bodies of the two binary ops aval::Maximum and aval::Minimum. */
#include "aval/plugin.h"

#define IN(port_name) \
    { \
        .name = port_name, .types = AVAL_NUMBERS \
    }
#define IN_LIKE(port_name, other) \
    { \
        .name = port_name, .types = AVAL_NUMBERS, .like = AVAL_LIKE(other) \
    }
#define REAL(port_name) \
    { \
        .name = port_name \
    }
#define REAL_LIKE(port_name, other) \
    { \
        .name = port_name, .like = AVAL_LIKE(other) \
    }
#define BOOL(port_name) \
    { \
        .name = port_name, .types = AVAL_BOOLS \
    }
#define OUT(port_name) \
    { \
        .name = port_name, .types = AVAL_ANY \
    }

/* Shapes that every op of one input meets. */
#define UNARY_SHAPES(range_low, range_high) \
    { .inputs = "[2,3]", .low = (range_low), .high = (range_high) }, { .inputs = "[]", .low = (range_low), .high = (range_high) }, \
        { .inputs = "[0,3]" }, { .inputs = "[1]", .low = (range_low), .high = (range_high) }, \
        { .inputs = "[1,2,1,3,1,2,1,2]", .low = (range_low), .high = (range_high) }, \
    { \
        .inputs = "[257,259]", .low = (range_low), .high = (range_high), .size_class = AVAL_LARGE \
    }
/* ... and of two inputs. */
#define BINARY_SHAPES(range_low, range_high) \
    { .inputs = "[2,3] [2,3]", .low = (range_low), .high = (range_high) }, \
        { .inputs = "[2,1,3] [4,1]", .low = (range_low), .high = (range_high) }, \
        { .inputs = "[] []", .low = (range_low), .high = (range_high) }, \
        { .inputs = "[2,3] []", .low = (range_low), .high = (range_high) }, { .inputs = "[0,3] [3]" }, \
        { .inputs = "[1] [1]", .low = (range_low), .high = (range_high) }, \
        { .inputs = "[1,2,1,3,1,2,1,2] [2,1,2,1,3,1,2,1]", .low = (range_low), .high = (range_high) }, \
    { \
        .inputs = "[257,259] [259]", .low = (range_low), .high = (range_high), .size_class = AVAL_LARGE \
    }
#define INTEGERS(text) \
    { \
        .inputs = text, .why = "integers" \
    }
#define KINK(text) \
    { \
        .inputs = text, .flags = AVAL_NO_GRADIENT_CHECK, .why = "kinks and ties: differences say nothing there" \
    }

/* What the rows have in common.  `op_version` is the opset that last changed the op. */
#define ELEMENTWISE(op_name, op_version, text) \
    .size = sizeof(aval_op), .name = op_name, .since = op_version, .deterministic = 1, .expressions = AVAL_TEXTS(text)
#define DERIVATIVES(...) \
    .derivatives = (const char *const[]){ __VA_ARGS__ }, .n_derivatives = sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)

static int infer_bool(const aval_host *host, aval_call *call)
{
    return aval_infer_broadcast(host, call, 0, AVAL_BOOL);
}

static int infer_where(const aval_host *host, aval_call *call)
{
    return aval_infer_broadcast(host, call, 0, host->type(host->input(call, 1)));
}

static int infer_first(const aval_host *host, aval_call *call)
{
    return aval_infer_broadcast(host, call, 0, host->type(host->input(call, 0)));
}

static int infer_cast(const aval_host *host, aval_call *call)
{
    int64_t to = host->attr_int(call, "to");
    const aval_tensor *x = host->input(call, 0);
    if (to <= AVAL_NONE || to >= AVAL_TYPES || !(AVAL_STORED & AVAL_TYPE_SET(to)))
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED,
                          "attribute to: element type %lld cannot be made, expected a float, an integer or bool, no texts and no "
                          "complex numbers",
                          (long long)to);
    return host->set_output(call, 0, (aval_type)to, host->rank(x), host->dims(x));
}

/* The shape of `dims`, to which the input must broadcast. */
static int infer_broadcast_to(const aval_host *host, aval_call *call)
{
    size_t rank;
    const int64_t *dims = host->attr_ints(call, "dims", &rank);
    const aval_tensor *x = host->input(call, 0);
    if (rank > AVAL_MAX_RANK || rank < host->rank(x))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "attribute dims has %zu axes, expected %u (those of the input) to %d", rank,
                          (unsigned)host->rank(x), AVAL_MAX_RANK);
    for (uint32_t i = 0; i < host->rank(x); i++) {
        int64_t from = host->dims(x)[i], to = dims[rank - host->rank(x) + i];
        if (from != 1 && from != to)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input has length %lld at axis %u, which does not broadcast to %lld",
                              (long long)from, (unsigned)i, (long long)to);
    }
    return host->set_output(call, 0, host->type(x), (uint32_t)rank, dims);
}

/* ---- Arithmetic ------------------------------------------------------------------------------------------------------------- */

static const aval_op add = {
    ELEMENTWISE("Add", 14, "A + B"),
    .role = AVAL_ROLE_ADD,
    .doc = "Sum of two tensors, which broadcast.",
    .inputs = AVAL_PORTS(IN("A"), IN_LIKE("B", 0)),
    .outputs = AVAL_PORTS(OUT("C")),
    .samples = AVAL_SAMPLES(BINARY_SHAPES(-1, 1), INTEGERS("i64[3]{-7,0,9} i64[1]{2}")),
};
static const aval_op sub = {
    ELEMENTWISE("Sub", 14, "A - B"),
    .doc = "Difference of two tensors, which broadcast.",
    .inputs = AVAL_PORTS(IN("A"), IN_LIKE("B", 0)),
    .outputs = AVAL_PORTS(OUT("C")),
    .samples = AVAL_SAMPLES(BINARY_SHAPES(-1, 1), INTEGERS("i32[3]{-7,0,9} i32[1]{2}")),
};
static const aval_op mul = {
    ELEMENTWISE("Mul", 14, "A * B"),
    .doc = "Product of two tensors, which broadcast.",
    .inputs = AVAL_PORTS(IN("A"), IN_LIKE("B", 0)),
    .outputs = AVAL_PORTS(OUT("C")),
    .samples = AVAL_SAMPLES(BINARY_SHAPES(-2, 2), INTEGERS("i32[3]{-7,0,9} i32[1]{2}")),
};
static const aval_op division = {
    ELEMENTWISE("Div", 14, "A / B"),
    DERIVATIVES("1 / B", "-C / B"),
    .doc = "Quotient of two tensors, which broadcast; integers round towards 0.",
    .inputs = AVAL_PORTS(IN("A"), IN_LIKE("B", 0)),
    .outputs = AVAL_PORTS(OUT("C")),
    .samples = AVAL_SAMPLES(BINARY_SHAPES(0.5, 2), INTEGERS("i32[4]{-7,0,9,7} i32[4]{2,1,-2,7}")),
};
static const aval_op power = {
    ELEMENTWISE("Pow", 15, "pow(X, Y)"),
    DERIVATIVES("Y == 0 ? 0 : Y * pow(X, Y - 1)", "X == 0 && Y >= 0 ? 0 : Z * log(X)"),
    .doc = "X to the power of Y, which broadcast.",
    .inputs = AVAL_PORTS(REAL("X"), REAL_LIKE("Y", 0)),
    .outputs = AVAL_PORTS(REAL("Z")),
    .subgradient = "at X = 0 the derivative by Y is 0 where Y >= 0",
    .samples = AVAL_SAMPLES(BINARY_SHAPES(0.5, 2), KINK("[4]{0,0,2,-2} [4]{0,2,0,3}")),
};
static const aval_op neg = {
    ELEMENTWISE("Neg", 13, "-X"),
    .doc = "The opposite number.",
    .inputs = AVAL_PORTS(IN("X")),
    .outputs = AVAL_PORTS(OUT("Y")),
    .samples = AVAL_SAMPLES(UNARY_SHAPES(-1, 1), INTEGERS("i32[3]{-7,0,9}")),
};
static const aval_op absolute = {
    ELEMENTWISE("Abs", 13, "X < 0 ? -X : X"),
    DERIVATIVES("X > 0 ? 1 : X < 0 ? -1 : 0"),
    .doc = "The absolute value.",
    .inputs = AVAL_PORTS(IN("X")),
    .outputs = AVAL_PORTS(OUT("Y")),
    .subgradient = "0 at X = 0",
    .samples = AVAL_SAMPLES(UNARY_SHAPES(-1, 1), KINK("[3]{-1,0,1}"), INTEGERS("i32[3]{-7,0,9}")),
};
static const aval_op square = {
    ELEMENTWISE("Square", 1, "X * X"),
    .domain = "aval",
    .doc = "X times X.",
    .inputs = AVAL_PORTS(IN("X")),
    .outputs = AVAL_PORTS(OUT("Y")),
    .samples = AVAL_SAMPLES(UNARY_SHAPES(-2, 2)),
};
static const aval_op reciprocal = {
    ELEMENTWISE("Reciprocal", 13, "1 / X"),
    DERIVATIVES("-Y * Y"),
    .doc = "One divided by X.",
    .inputs = AVAL_PORTS(REAL("X")),
    .outputs = AVAL_PORTS(REAL("Y")),
    .samples = AVAL_SAMPLES(UNARY_SHAPES(0.5, 2)),
};
static const aval_op scale = {
    ELEMENTWISE("Scale", 1, "factor * X"),
    .domain = "aval",
    .doc = "X times a number that is fixed when the graph is built.",
    .inputs = AVAL_PORTS(REAL("X")),
    .outputs = AVAL_PORTS(REAL("Y")),
    .attrs = AVAL_ATTRS({ .name = "factor", .type = AVAL_ATTR_FLOAT, .required = 1, .doc = "the number" }),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]", .attrs = "factor=-1.5" }, { .inputs = "[0]", .attrs = "factor=2" }),
};

/* ---- Functions -------------------------------------------------------------------------------------------------------------- */

static const aval_op exponential = {
    ELEMENTWISE("Exp", 13, "exp(input)"),  DERIVATIVES("output"),
    .doc = "e to the power of the input.", .inputs = AVAL_PORTS(REAL("input")),
    .outputs = AVAL_PORTS(REAL("output")), .samples = AVAL_SAMPLES(UNARY_SHAPES(-3, 3)),
};
static const aval_op logarithm = {
    ELEMENTWISE("Log", 13, "log(input)"),          .doc = "The natural logarithm.",
    .inputs = AVAL_PORTS(REAL("input")),           .outputs = AVAL_PORTS(REAL("output")),
    .samples = AVAL_SAMPLES(UNARY_SHAPES(0.5, 3)),
};
static const aval_op square_root = {
    ELEMENTWISE("Sqrt", 13, "sqrt(X)"), DERIVATIVES("0.5 / Y"),           .doc = "The square root.",
    .inputs = AVAL_PORTS(REAL("X")),    .outputs = AVAL_PORTS(REAL("Y")), .samples = AVAL_SAMPLES(UNARY_SHAPES(0.5, 3)),
};
static const aval_op sine = {
    ELEMENTWISE("Sin", 7, "sin(input)"),          .doc = "The sine.",
    .inputs = AVAL_PORTS(REAL("input")),          .outputs = AVAL_PORTS(REAL("output")),
    .samples = AVAL_SAMPLES(UNARY_SHAPES(-3, 3)),
};
static const aval_op cosine = {
    ELEMENTWISE("Cos", 7, "cos(input)"),          .doc = "The cosine.",
    .inputs = AVAL_PORTS(REAL("input")),          .outputs = AVAL_PORTS(REAL("output")),
    .samples = AVAL_SAMPLES(UNARY_SHAPES(-3, 3)),
};
static const aval_op error_function = {
    ELEMENTWISE("Erf", 13, "erf(input)"),
    DERIVATIVES("1.1283791670955126 * exp(-input * input)"),
    .doc = "The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to the input.",
    .inputs = AVAL_PORTS(REAL("input")),
    .outputs = AVAL_PORTS(REAL("output")),
    .samples = AVAL_SAMPLES(UNARY_SHAPES(-2, 2)),
};

/* ---- Activations ------------------------------------------------------------------------------------------------------------ */

static const aval_op hyperbolic_tangent = {
    ELEMENTWISE("Tanh", 13, "tanh(input)"), DERIVATIVES("1 - output * output"),    .doc = "The hyperbolic tangent.",
    .inputs = AVAL_PORTS(REAL("input")),    .outputs = AVAL_PORTS(REAL("output")), .samples = AVAL_SAMPLES(UNARY_SHAPES(-3, 3)),
};
static const aval_op sigmoid = {
    ELEMENTWISE("Sigmoid", 13, "sigmoid(X)"),
    DERIVATIVES("Y * (1 - Y)"),
    .doc = "1 / (1 + exp(-X)).",
    .inputs = AVAL_PORTS(REAL("X")),
    .outputs = AVAL_PORTS(REAL("Y")),
    .samples = AVAL_SAMPLES(
        UNARY_SHAPES(-3, 3),
        { .inputs = "[4]{-1000,-90,90,1000}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "exp overflows in one of the two usual forms" }),
};
static const aval_op relu = {
    ELEMENTWISE("Relu", 14, "X < 0 ? 0 : X"),
    DERIVATIVES("Y > 0 ? 1 : 0"),
    .doc = "X where it is positive, else 0.",
    .inputs = AVAL_PORTS(IN("X")),
    .outputs = AVAL_PORTS(OUT("Y")),
    .subgradient = "0 at X = 0",
    .samples = AVAL_SAMPLES(UNARY_SHAPES(-1, 1), KINK("[3]{-1,0,1}"), INTEGERS("i32[3]{-7,0,9}")),
};
static const aval_op leaky_relu = {
    ELEMENTWISE("LeakyRelu", 16, "X < 0 ? alpha * X : X"),
    DERIVATIVES("X > 0 ? 1 : alpha"),
    .doc = "X where it is positive, else alpha times X.",
    .inputs = AVAL_PORTS(REAL("X")),
    .outputs = AVAL_PORTS(REAL("Y")),
    .subgradient = "alpha at X = 0",
    .attrs = AVAL_ATTRS({ .name = "alpha", .type = AVAL_ATTR_FLOAT, .initial = "0.01", .doc = "slope of the negative half" }),
    .samples = AVAL_SAMPLES(UNARY_SHAPES(-1, 1), KINK("[3]{-1,0,1}"), { .inputs = "[5]", .attrs = "alpha=0.3" }),
};
static const aval_op softplus = {
    ELEMENTWISE("Softplus", 1, "(X > 0 ? X : 0) + log1p(exp(-abs(X)))"),
    DERIVATIVES("sigmoid(X)"),
    .doc = "log(1 + exp(X)), without overflow.",
    .inputs = AVAL_PORTS(REAL("X")),
    .outputs = AVAL_PORTS(REAL("Y")),
    .samples =
        AVAL_SAMPLES(UNARY_SHAPES(-3, 3),
                     { .inputs = "[4]{-1000,-90,90,1000}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "exp overflows in the plain form" }),
};

/* ---- Choices ---------------------------------------------------------------------------------------------------------------- */

/* Comparisons are written so that a NaN on either side comes out. */
static const aval_op maximum = {
    ELEMENTWISE("Maximum", 1, "B > A || B != B ? B : A"),
    .domain = "aval",
    DERIVATIVES("B > A ? 0 : 1", "B > A ? 1 : 0"),
    .doc = "The larger of two tensors, which broadcast.",
    .inputs = AVAL_PORTS(IN("A"), IN_LIKE("B", 0)),
    .outputs = AVAL_PORTS(OUT("C")),
    .subgradient = "A at ties",
    .samples = AVAL_SAMPLES(BINARY_SHAPES(-1, 1), KINK("[3]{-1,0,1} [3]{-1,1,0}"), INTEGERS("i32[3]{-7,0,9} i32[1]{2}")),
};
static const aval_op minimum = {
    ELEMENTWISE("Minimum", 1, "B < A || B != B ? B : A"),
    .domain = "aval",
    DERIVATIVES("B < A ? 0 : 1", "B < A ? 1 : 0"),
    .doc = "The smaller of two tensors, which broadcast.",
    .inputs = AVAL_PORTS(IN("A"), IN_LIKE("B", 0)),
    .outputs = AVAL_PORTS(OUT("C")),
    .subgradient = "A at ties",
    .samples = AVAL_SAMPLES(BINARY_SHAPES(-1, 1), KINK("[3]{-1,0,1} [3]{-1,1,0}"), INTEGERS("i32[3]{-7,0,9} i32[1]{2}")),
};
static const aval_op where = {
    ELEMENTWISE("Where", 16, "condition ? X : Y"),
    .infer = infer_where,
    .zero_gradient = 1,
    .doc = "X where the condition holds, else Y; all three broadcast.",
    .inputs = AVAL_PORTS(BOOL("condition"), { .name = "X", .types = AVAL_ANY }, { .name = "Y", .types = AVAL_ANY, .like = AVAL_LIKE(1) }),
    .outputs = AVAL_PORTS(OUT("output")),
    .samples = AVAL_SAMPLES({ .inputs = "b[2,3] [2,3] [2,3]" }, { .inputs = "b[2,1] [3] []" }, { .inputs = "b[] [0,3] [3]" },
                            { .inputs = "b[3]{1,0,1} i64[3]{1,2,3} i64[1]{-4}", .why = "integers" },
                            { .inputs = "b[257,259] [257,1] [259]", .size_class = AVAL_LARGE }),
};

#define COMPARISON(variable, op_name, op_version, text, summary) \
    static const aval_op variable = { \
        ELEMENTWISE(op_name, op_version, text), \
        .infer = infer_bool, \
        .zero_gradient = 3, \
        .doc = summary, \
        .inputs = AVAL_PORTS(IN("A"), IN_LIKE("B", 0)), \
        .outputs = AVAL_PORTS(BOOL("C")), \
        .subgradient = "no gradient: the result is a truth value", \
        .samples = AVAL_SAMPLES({ .inputs = "[2,3] [3]" }, { .inputs = "[4]{0,1,2,1} [4]{0,2,1,1}", .why = "ties" }, \
                                { .inputs = "[0] []" }, INTEGERS("i64[3]{-7,0,9} i64[]{0}")), \
    }
COMPARISON(greater, "Greater", 13, "A > B", "Whether A is larger than B; they broadcast.");
COMPARISON(less, "Less", 13, "A < B", "Whether A is smaller than B; they broadcast.");
COMPARISON(equal, "Equal", 13, "A == B", "Whether A equals B; they broadcast.");

/* ---- Type and shape --------------------------------------------------------------------------------------------------------- */

#define SATURATE \
    { \
        .name = "saturate", .type = AVAL_ATTR_INT, .initial = "1", \
        .doc = "0: what an 8-bit float cannot hold becomes infinity or NaN; else its largest number" \
    }
#define CONVERSION(text, number, reason) \
    { \
        .inputs = text, .attrs = number, .flags = AVAL_NO_GRADIENT_CHECK, .why = reason \
    }
#define FLOAT8_EDGES "[12]{0.47892547,-0.81910545,1e6,1e-7,inf,-inf,-1e-7,464,465,57344,0.0107421875,-248}"

static const aval_op cast = {
    ELEMENTWISE("Cast", 13, "input"),
    .role = AVAL_ROLE_CAST,
    .infer = infer_cast,
    .doc = "The input's elements in another element type: real numbers are cut off towards 0 and limited to the range of integers, larger "
           "integers keep their low bits.",
    .inputs = AVAL_PORTS({ .name = "input", .types = AVAL_STORED }),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
    .attrs = AVAL_ATTRS({ .name = "to", .type = AVAL_ATTR_INT, .required = 1, .doc = "ONNX's number of the element type" }, SATURATE),
    .samples = AVAL_SAMPLES(
        { .inputs = "[4]{-1.5,0,0.25,3}", .attrs = "to=1" }, { .inputs = "[2,3]", .attrs = "to=11" },
        { .inputs = "[4]{-1.5,0,0.25,3}", .attrs = "to=10" },
        { .inputs = "[4]{-1.5,-0.5,0.5,2.5}", .attrs = "to=6", .flags = AVAL_NO_GRADIENT_CHECK, .why = "integers have no gradient" },
        { .inputs = "[4]{-1.5,0,0.5,2.5}", .attrs = "to=9", .flags = AVAL_NO_GRADIENT_CHECK, .why = "truth values have no gradient" },
        { .inputs = "i64[3]{-7,0,9}", .attrs = "to=1" }, { .inputs = "b[3]{1,0,1}", .attrs = "to=7" }, { .inputs = "[0]", .attrs = "to=1" },
        CONVERSION("[5]{-300,-1.5,300,inf,-inf}", "to=3", "a real number outside the range of int8"),
        CONVERSION("[5]{-300,1.5,300,inf,-inf}", "to=2", "... of uint8"),
        CONVERSION("f32[5]{-3e9,-2.5,3e9,inf,-inf}", "to=6", "... of int32"),
        CONVERSION("f32[4]{-1,3e9,5e9,inf}", "to=12", "... of uint32"),
        CONVERSION("f32[5]{-1e19,2.5,1e19,inf,-inf}", "to=7", "... of int64"),
        CONVERSION("f32[5]{-1,2.5,1e19,2e19,-inf}", "to=13", "... of uint64"), CONVERSION("i64[4]{-1,255,300,-129}", "to=3", "low bits"),
        CONVERSION("i32[4]{-1,255,70000,-129}", "to=4", "low bits"),
        CONVERSION("u32[3]{1,4294967295,70000}", "to=1", "large unsigned numbers"),
        CONVERSION("i64[2]{-1,-9223372036854775808}", "to=13", "large unsigned numbers"),
        CONVERSION("u64[2]{1,9223372036854775808}", "to=1", "large unsigned numbers"),
        CONVERSION("u64[2]{1,9223372036854775808}", "to=9", "truth"),
        CONVERSION("[6]{-9.5,-2.5,0.5,1.5,7.5,99}", "to=22", "int4 rounds to the nearest"),
        CONVERSION("[4]{-1,2.5,3.5,99}", "to=21", "... and uint4"), CONVERSION("i32[4]{-9,7,8,23}", "to=22", "low bits"),
        CONVERSION("i4[3]{-8,-1,7}", "to=1", "4 bits"), CONVERSION("u4[3]{0,9,15}", "to=22", "low bits"),
        CONVERSION("f32[6]{1.00390625,1.01171875,-3e38,inf,1e-40,0}", "to=16", "ties to even"),
        CONVERSION("bf16[2]{1.5,-3e38}", "to=1", "bfloat16"), CONVERSION(FLOAT8_EDGES, "to=17", "saturates"),
        CONVERSION(FLOAT8_EDGES, "to=18", "saturates"), CONVERSION(FLOAT8_EDGES, "to=19", "saturates"),
        CONVERSION(FLOAT8_EDGES, "to=20", "saturates"), CONVERSION(FLOAT8_EDGES, "to=17 saturate=0", "infinities"),
        CONVERSION(FLOAT8_EDGES, "to=18 saturate=0", "infinities"), CONVERSION(FLOAT8_EDGES, "to=19 saturate=0", "infinities"),
        CONVERSION(FLOAT8_EDGES, "to=20 saturate=0", "infinities"), CONVERSION("f8e4m3fn[4]{448,-0.001953125,0.3,inf}", "to=1", "8 bits"),
        CONVERSION("f8e5m2[4]{57344,-1.52587890625e-05,0.3,inf}", "to=10", "8 bits"),
        CONVERSION("f8e4m3fnuz[3]{240,-0.0009765625,0.3}", "to=1", "8 bits"),
        CONVERSION("f8e5m2fnuz[3]{57344,-7.62939453125e-06,0.3}", "to=1", "8 bits")),
};
static const aval_op broadcast = {
    ELEMENTWISE("Broadcast", 1, "X"),
    .domain = "aval",
    .infer = infer_broadcast_to,
    .doc = "X repeated to a shape that is fixed when the graph is built.",
    .inputs = AVAL_PORTS({ .name = "X", .types = AVAL_ANY }),
    .outputs = AVAL_PORTS(OUT("Y")),
    .attrs = AVAL_ATTRS({ .name = "dims", .type = AVAL_ATTR_INTS, .required = 1, .doc = "the shape, to which X broadcasts" }),
    .samples = AVAL_SAMPLES({ .inputs = "[2,1]", .attrs = "dims=[3,2,4]" }, { .inputs = "[]", .attrs = "dims=[2,3]" },
                            { .inputs = "[1,3]", .attrs = "dims=[0,3]" }, { .inputs = "[3]", .attrs = "dims=[3]" }),
};

/* ---- Bodies ----------------------------------------------------------------------------------------------------------------- */

static int fold(const aval_host *host, aval_call *call, const char *op)
{
    const aval_tensor *result = host->input(call, 0);
    if (host->n_inputs(call) == 1) {
        int status = host->apply(call, "Identity", NULL, 1, &result, 1, &result);
        if (status < 0) return status;
    }
    for (size_t i = 1; i < host->n_inputs(call); i++) {
        const aval_tensor *pair[] = { result, host->input(call, i) };
        int status = host->apply(call, op, NULL, 2, pair, 1, &result);
        if (status < 0) return status;
    }
    return host->yield(call, 0, result);
}

static int body_max(const aval_host *host, aval_call *call)
{
    return fold(host, call, "aval::Maximum");
}

static int body_min(const aval_host *host, aval_call *call)
{
    return fold(host, call, "aval::Minimum");
}

/* min(max(input, low), high), so that `high` wins where it is below `low`. */
static int body_clip(const aval_host *host, aval_call *call)
{
    static const char *const ops[] = { NULL, "aval::Maximum", "aval::Minimum" };
    const aval_tensor *result = host->input(call, 0);
    int status = 0;
    for (size_t i = 1; i < 3; i++) {
        const aval_tensor *pair[] = { result, i < host->n_inputs(call) ? host->input(call, i) : NULL };
        if (pair[1] != NULL) status = host->apply(call, ops[i], NULL, 2, pair, 1, &result);
        if (status < 0) return status;
    }
    if (result == host->input(call, 0)) status = host->apply(call, "Identity", NULL, 1, &result, 1, &result);
    return status < 0 ? status : host->yield(call, 0, result);
}

#define EXTREME(variable, op_name, function, summary) \
    static const aval_op variable = { \
        .size = sizeof(aval_op), \
        .name = op_name, \
        .since = 13, \
        .deterministic = 1, \
        .doc = summary, \
        .infer = infer_first, \
        .body = function, \
        .inputs = AVAL_PORTS({ .name = "data_0", .flags = AVAL_VARIADIC, .types = AVAL_NUMBERS }), \
        .outputs = AVAL_PORTS(OUT("result")), \
        .subgradient = "the first winner at ties", \
        .samples = AVAL_SAMPLES({ .inputs = "[2,3]" }, { .inputs = "[2,3] [3] [2,1]" }, { .inputs = "[0,3] [3]" }, \
                                KINK("[3]{1,2,3} [3]{1,3,2} [3]{1,3,3}")), \
    }
EXTREME(max, "Max", body_max, "The largest of any number of tensors, which broadcast.");
EXTREME(min, "Min", body_min, "The smallest of any number of tensors, which broadcast.");

static const aval_op clip = {
    .size = sizeof(aval_op),
    .name = "Clip",
    .since = 13,
    .deterministic = 1,
    .body = body_clip,
    .doc = "The input, limited to the range from min to max.",
    .inputs = AVAL_PORTS(IN("input"), { .name = "min", .flags = AVAL_OPTIONAL, .types = AVAL_NUMBERS, .like = AVAL_LIKE(0) },
                         { .name = "max", .flags = AVAL_OPTIONAL, .types = AVAL_NUMBERS, .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS(OUT("output")),
    .subgradient = "1 at the limits",
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,5] []{-0.4} []{0.3}" }, { .inputs = "[2,5] []{-0.4}" }, { .inputs = "[2,5] - []{0.3}" }, { .inputs = "[2,5]" },
        { .inputs = "[0] []{-0.4} []{0.3}" }, KINK("[3]{-1,0,1} []{-1} []{1}"),
        { .inputs = "[3]{-3,0,3} []{1} []{-1}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "limits the wrong way round: max wins" }),
};

static const aval_op *const ops[] = {
    &add,
    &sub,
    &mul,
    &division,
    &power,
    &neg,
    &absolute,
    &square,
    &reciprocal,
    &scale,
    &exponential,
    &logarithm,
    &square_root,
    &sine,
    &cosine,
    &error_function,
    &hyperbolic_tangent,
    &sigmoid,
    &relu,
    &leaky_relu,
    &softplus,
    &maximum,
    &minimum,
    &where,
    &greater,
    &less,
    &equal,
    &cast,
    &broadcast,
    &max,
    &min,
    &clip,
    NULL,
};

AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = {
    .abi = AVAL_PLUGIN_ABI,
    .size = sizeof(aval_plugin),
    .name = "elementwise",
    .version = "0.1.0",
    .ops = ops,
};
