/* Arithmetic on elements: sums, products, quotients, remainders, powers, extremes and limits.  Max, Min, Sum and Mean of any number of
 * tensors, and Clip, are bodies of ops of two. */
#include "elementwise.h"

#include "support.h"

/* ---- Of one and two tensors ------------------------------------------------------------------------------------------------- */

static const aval_op add = {
    ELEMENTWISE("Add", 7, "A + B"),
    .role = AVAL_ROLE_ADD,
    .doc = "Sum of two tensors, which broadcast.",
    .inputs = AVAL_PORTS(IN("A"), IN_LIKE("B", 0)),
    .outputs = AVAL_PORTS(OUT("C")),
    .samples = AVAL_SAMPLES(BINARY_SHAPES(-1, 1), INTEGERS("i64[3]{-7,0,9} i64[1]{2}"), INTEGERS("u8[3]{7,0,250} u8[1]{9}"),
                            INTEGERS("i16[2]{32767,-1} i16[1]{1}")),
};
static const aval_op sub = {
    ELEMENTWISE("Sub", 7, "A - B"),
    .doc = "Difference of two tensors, which broadcast.",
    .inputs = AVAL_PORTS(IN("A"), IN_LIKE("B", 0)),
    .outputs = AVAL_PORTS(OUT("C")),
    .samples = AVAL_SAMPLES(BINARY_SHAPES(-1, 1), INTEGERS("i32[3]{-7,0,9} i32[1]{2}"), INTEGERS("u32[2]{7,4294967295} u32[1]{9}")),
};
static const aval_op mul = {
    ELEMENTWISE("Mul", 7, "A * B"),
    .doc = "Product of two tensors, which broadcast.",
    .inputs = AVAL_PORTS(IN("A"), IN_LIKE("B", 0)),
    .outputs = AVAL_PORTS(OUT("C")),
    .samples = AVAL_SAMPLES(BINARY_SHAPES(-2, 2), INTEGERS("i32[3]{-7,0,9} i32[1]{2}"), INTEGERS("u32[2]{7,4294967295} u32[1]{9}")),
};
static const aval_op division = {
    ELEMENTWISE("Div", 7, "A / B"),
    DERIVATIVES("1 / B", "-C / B"),
    .doc = "Quotient of two tensors, which broadcast; integers round towards 0.",
    .inputs = AVAL_PORTS(IN("A"), IN_LIKE("B", 0)),
    .outputs = AVAL_PORTS(OUT("C")),
    .samples = AVAL_SAMPLES(BINARY_SHAPES(0.5, 2), INTEGERS("i32[4]{-7,0,9,7} i32[4]{2,1,-2,7}"),
                            INTEGERS("u64[2]{18446744073709549568,7} u64[2]{2,9}"), INTEGERS("u32[2]{4294967295,7} u32[2]{2,9}"),
                            INTEGERS("i8[3]{-128,7,5} i8[3]{-1,0,-3}")),
};
static const aval_op modulo = {
    ELEMENTWISE("Mod", 10, "fmod != 0 ? fmod(A, B) : mod(A, B)"),
    .doc = "The remainder of A / B, which broadcast: with the sign of B, or with fmod=1 that of A.  Integers: by 0 it is 0.",
    .inputs = AVAL_PORTS(IN("A"), IN_LIKE("B", 0)),
    .outputs = AVAL_PORTS(OUT("C")),
    .attrs = AVAL_ATTRS({ .name = "fmod", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: the sign is that of the dividend, as in C" }),
    .subgradient = "1 by A where it jumps",
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]{5.5,-5.5,4.25,-0.5,7,0.25} [3]{2,-2,1.5}", .attrs = "fmod=1" },
                            { .inputs = "[2,3]{5.5,-5.5,4.25,-0.5,7,0.25} [3]{2,-2,1.5}" }, { .inputs = "[] []{0.75}", .attrs = "fmod=1" },
                            { .inputs = "[0,3] [3]", .attrs = "fmod=1" },
                            { .inputs = "[257,259]{0.1..0.9} [259]{1..2}", .attrs = "fmod=1", .size_class = AVAL_LARGE },
                            INTEGERS("i32[6]{-4,7,5,4,-7,8} i32[6]{2,-3,8,-2,3,0}"), INTEGERS("u64[2]{18446744073709549568,7} u64[1]{10}"),
                            { .inputs = "i8[6]{-4,7,5,4,-7,8} i8[6]{2,-3,8,-2,3,5}", .attrs = "fmod=1", .why = "integers" }),
};
static const aval_op power = {
    ELEMENTWISE("Pow", 7, "pow(X, Y)"),
    DERIVATIVES("Y == 0 ? 0 : Y * pow(X, Y - 1)", "X == 0 && Y >= 0 ? 0 : Z * log(X)"),
    .doc = "X to the power of Y, which broadcast; the result has the type of X.",
    .infer = infer_first,
    .inputs = AVAL_PORTS(IN("X"), IN("Y")),
    .outputs = AVAL_PORTS(OUT("Z")),
    .subgradient = "at X = 0 the derivative by Y is 0 where Y >= 0",
    .samples = AVAL_SAMPLES(BINARY_SHAPES(0.5, 2), KINK("[4]{0,0,2,-2} [4]{0,2,0,3}"), INTEGERS("i32[4]{-3,2,1,-1} i64[4]{3,-1,-9,-9}"),
                            INTEGERS("u64[2]{3,2} u64[2]{40,63}"), { .inputs = "f32[3]{1.5,-2,2} i32[3]{2,3,-1}", .why = "mixed types" },
                            { .inputs = "i64[4]{1,4,9,7} f32[4]{4,0.5,-1,0}", .why = "mixed types: computed as float, cut off" }),
};
static const aval_op neg = {
    ELEMENTWISE("Neg", 1, "-X"),
    .doc = "The opposite number.",
    .inputs = AVAL_PORTS(IN("X")),
    .outputs = AVAL_PORTS(OUT("Y")),
    .samples = AVAL_SAMPLES(UNARY_SHAPES(-1, 1), INTEGERS("i32[3]{-7,0,9}")),
};
static const aval_op absolute = {
    ELEMENTWISE("Abs", 1, "X < 0 ? -X : X"),
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
    ELEMENTWISE("Reciprocal", 1, "1 / X"),
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
/* ---- Of any number of tensors ------------------------------------------------------------------------------------------------ */

/* All inputs put together from the first to the last, two at a time. */
static int fold(const aval_host *host, aval_call *call, const char *op, const aval_tensor **result)
{
    *result = host->input(call, 0);
    if (host->n_inputs(call) == 1) return host->apply(call, "Identity", NULL, 1, result, 1, result);
    for (size_t i = 1; i < host->n_inputs(call); i++) {
        const aval_tensor *pair[] = { *result, host->input(call, i) };
        TRY(host->apply(call, op, NULL, 2, pair, 1, result));
    }
    return 0;
}

#define FOLDED(function, op) \
    static int function(const aval_host *host, aval_call *call) \
    { \
        const aval_tensor *result; \
        TRY(fold(host, call, op, &result)); \
        return host->yield(call, 0, result); \
    }
FOLDED(body_max, "aval::Maximum")
FOLDED(body_min, "aval::Minimum")
FOLDED(body_sum, "Add")

static int body_mean(const aval_host *host, aval_call *call)
{
    const aval_tensor *result;
    text attrs = { 0 };
    TRY(fold(host, call, "Add", &result));
    text_real(&attrs, "factor", 1 / (double)host->n_inputs(call));
    TRY(host->apply(call, "aval::Scale", attrs.at, 1, &result, 1, &result));
    return host->yield(call, 0, result);
}

#define VARIADIC(variable, op_name, function, output_name, its_types, rule, summary, ...) \
    static const aval_op variable = { \
        .size = sizeof(aval_op), \
        .name = op_name, \
        .since = 1, \
        .deterministic = 1, \
        .doc = summary, \
        .infer = infer_first, \
        .body = function, \
        .inputs = AVAL_PORTS({ .name = "data_0", .flags = AVAL_VARIADIC, .types = (its_types) }), \
        .outputs = AVAL_PORTS(PORT(output_name, its_types)), \
        .subgradient = rule, \
        .samples = AVAL_SAMPLES({ .inputs = "[2,3]" }, { .inputs = "[2,3] [3] [2,1]" }, { .inputs = "[0,3] [3]" }, \
                                { .inputs = "[] [1] []" }, __VA_ARGS__), \
    }
#define TIES KINK("[3]{1,2,3} [3]{1,3,2} [3]{1,3,3}")
VARIADIC(max, "Max", body_max, "max", AVAL_NUMBERS, "the first winner at ties", "The largest of any number of tensors, which broadcast.",
         TIES, INTEGERS("u64[3]{1,18446744073709549568,3} u64[1]{2}"), INTEGERS("i8[3]{-128,0,127} i8[3]{1,-1,5}"));
VARIADIC(min, "Min", body_min, "min", AVAL_NUMBERS, "the first winner at ties", "The smallest of any number of tensors, which broadcast.",
         TIES, INTEGERS("u64[3]{1,18446744073709549568,3} u64[1]{2}"), INTEGERS("u16[3]{65535,0,127} u16[3]{1,1,5}"));
VARIADIC(sum, "Sum", body_sum, "sum", AVAL_FLOATS, NULL, "The sum of any number of tensors, which broadcast.",
         { .inputs = "[257,259] [259]", .size_class = AVAL_LARGE });
VARIADIC(mean, "Mean", body_mean, "mean", AVAL_FLOATS, NULL, "The mean of any number of tensors, which broadcast.",
         { .inputs = "[257,259] [259]", .size_class = AVAL_LARGE });

/* ---- Limits ------------------------------------------------------------------------------------------------------------------- */

/* min(max(input, low), high), so that `high` wins where it is below `low`. */
static int body_clip(const aval_host *host, aval_call *call)
{
    static const char *const limits[] = { NULL, "aval::Maximum", "aval::Minimum" };
    const aval_tensor *result = host->input(call, 0);
    for (size_t i = 1; i < 3; i++) {
        const aval_tensor *pair[] = { result, i < host->n_inputs(call) ? host->input(call, i) : NULL };
        if (pair[1] != NULL) TRY(host->apply(call, limits[i], NULL, 2, pair, 1, &result));
    }
    if (result == host->input(call, 0)) TRY(host->apply(call, "Identity", NULL, 1, &result, 1, &result));
    return host->yield(call, 0, result);
}

#define LIMIT(port_name) \
    { \
        .name = port_name, .flags = AVAL_OPTIONAL, .types = AVAL_NUMBERS, .like = AVAL_LIKE(0) \
    }
static const aval_op clip = {
    .size = sizeof(aval_op),
    .name = "Clip",
    .since = 11,
    .deterministic = 1,
    .body = body_clip,
    .doc = "The input, limited to the range from min to max.",
    .inputs = AVAL_PORTS(IN("input"), LIMIT("min"), LIMIT("max")),
    .outputs = AVAL_PORTS(OUT("output")),
    .subgradient = "1 at the limits",
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,5] []{-0.4} []{0.3}" }, { .inputs = "[2,5] []{-0.4}" }, { .inputs = "[2,5] - []{0.3}" }, { .inputs = "[2,5]" },
        { .inputs = "[0] []{-0.4} []{0.3}" }, KINK("[3]{-1,0,1} []{-1} []{1}"), INTEGERS("i8[3]{-128,0,127} i8[]{-5} i8[]{5}"),
        { .inputs = "[3]{-3,0,3} []{1} []{-1}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "limits the wrong way round: max wins" }),
};
static const aval_op clip_by_attributes = {
    ELEMENTWISE("Clip", 1, "min(max(input, min), max)"),
    DERIVATIVES("input >= min && input <= max ? 1 : 0"),
    .doc = "The input, limited to the range from min to max.",
    .inputs = AVAL_PORTS(REAL("input")),
    .outputs = AVAL_PORTS(REAL("output")),
    .attrs = AVAL_ATTRS(FLOAT_ATTR("min", "-3.402823466e+38", "least result"), FLOAT_ATTR("max", "3.402823466e+38", "largest result")),
    .subgradient = "1 at the limits",
    .samples = AVAL_SAMPLES({ .inputs = "[2,5]", .attrs = "min=-0.4 max=0.3" }, { .inputs = "[]" }, { .inputs = "[0]", .attrs = "max=0.3" },
                            { .inputs = "[3]{-1,0,1}", .attrs = "min=-1 max=1", .flags = AVAL_NO_GRADIENT_CHECK, .why = "kinks" }),
};

AVAL_PLUGIN("elementwise", "0.1.0", NULL, &add, &sub, &mul, &division, &modulo, &power, &neg, &absolute, &square, &reciprocal, &scale,
            &maximum, &minimum, &max, &min, &sum, &mean, &clip, &clip_by_attributes)
