/* Comparisons, logic, choices, and operators on the bits of integers. */
#include "elementwise.h"

#include "support.h"

#include <string.h>

static int infer_bool(const aval_host *host, aval_call *call)
{
    return aval_infer_broadcast(host, call, 0, AVAL_BOOL);
}

static int infer_second(const aval_host *host, aval_call *call)
{
    return aval_infer_broadcast(host, call, 0, host->type(host->input(call, 1)));
}

#define TRUTH "no gradient: the result is a truth value"

/* ---- Comparisons and tests -------------------------------------------------------------------------------------------------- */

#define COMPARISON(variable, op_name, op_version, its_types, text, summary) \
    static const aval_op variable = { \
        ELEMENTWISE(op_name, op_version, text), \
        .infer = infer_bool, \
        .zero_gradient = 3, \
        .doc = summary, \
        .inputs = AVAL_PORTS(PORT("A", its_types), PORT_LIKE("B", its_types, 0)), \
        .outputs = AVAL_PORTS(BOOL("C")), \
        .subgradient = TRUTH, \
        .samples = \
            AVAL_SAMPLES({ .inputs = "[2,3] [3]" }, { .inputs = "[4]{0,1,2,1} [4]{0,2,1,1}", .why = "ties" }, { .inputs = "[0] []" }, \
                         { .inputs = "[3]{inf,-inf,inf} [3]{inf,inf,1}", .why = "infinities" }, INTEGERS("i64[3]{-7,0,9} i64[]{0}"), \
                         INTEGERS("u64[3]{7,18446744073709549568,9} u64[]{9}"), INTEGERS("u32[2]{4294967295,1} u32[]{1}")), \
    }
COMPARISON(greater, "Greater", 7, AVAL_NUMBERS, "A > B", "Whether A is larger than B; they broadcast.");
COMPARISON(less, "Less", 7, AVAL_NUMBERS, "A < B", "Whether A is smaller than B; they broadcast.");
COMPARISON(greater_or_equal, "GreaterOrEqual", 12, AVAL_NUMBERS, "A >= B", "Whether A is not smaller than B; they broadcast.");
COMPARISON(less_or_equal, "LessOrEqual", 12, AVAL_NUMBERS, "A <= B", "Whether A is not larger than B; they broadcast.");
COMPARISON(equal, "Equal", 7, AVAL_ANY, "A == B", "Whether A equals B; they broadcast.");

#define TEST(variable, op_name, op_version, text, summary, ...) \
    static const aval_op variable = { \
        ELEMENTWISE(op_name, op_version, text), \
        .infer = infer_bool, \
        .zero_gradient = 1, \
        .doc = summary, \
        .inputs = AVAL_PORTS(PORT("X", AVAL_REALS)), \
        .outputs = AVAL_PORTS(BOOL("Y")), \
        .subgradient = TRUTH, \
        __VA_ARGS__, \
    }
TEST(is_nan, "IsNaN", 9, "isnan(X)", "Whether X is not a number.",
     .samples = AVAL_SAMPLES({ .inputs = "[2,3]" }, { .inputs = "[3]{inf,-inf,0}" }, { .inputs = "[0]" }, { .inputs = "bf16[2]{inf,1}" },
                             { .inputs = "f8e4m3fnuz[2]{1e9,1}" }));
TEST(is_infinite, "IsInf", 10, "X == inf && detect_positive != 0 || X == -inf && detect_negative != 0", "Whether X is infinite.",
     .attrs = AVAL_ATTRS({ .name = "detect_negative", .type = AVAL_ATTR_INT, .initial = "1", .doc = "0: minus infinity does not count" },
                         { .name = "detect_positive", .type = AVAL_ATTR_INT, .initial = "1", .doc = "0: infinity does not count" }),
     .samples = AVAL_SAMPLES({ .inputs = "[4]{inf,-inf,0,1e30}" }, { .inputs = "[3]{inf,-inf,0}", .attrs = "detect_negative=0" },
                             { .inputs = "[3]{inf,-inf,0}", .attrs = "detect_positive=0" }, { .inputs = "[0]" },
                             { .inputs = "f8e5m2[2]{inf,1}" }));

/* ---- Logic -------------------------------------------------------------------------------------------------------------------- */

#define LOGIC(variable, op_name, text, summary) \
    static const aval_op variable = { \
        ELEMENTWISE(op_name, 7, text), \
        .infer = infer_bool, \
        .doc = summary, \
        .inputs = AVAL_PORTS(BOOL("A"), BOOL("B")), \
        .outputs = AVAL_PORTS(BOOL("C")), \
        .samples = AVAL_SAMPLES({ .inputs = "b[4]{0,0,1,1} b[4]{0,1,0,1}" }, { .inputs = "b[2,3,1] b[4]" }, { .inputs = "b[] b[]" }, \
                                { .inputs = "b[0] b[1]" }), \
    }
LOGIC(both, "And", "A && B", "Whether both hold; they broadcast.");
LOGIC(any, "Or", "A || B", "Whether at least one holds; they broadcast.");
LOGIC(one, "Xor", "A != B", "Whether exactly one holds; they broadcast.");

static const aval_op negation = {
    ELEMENTWISE("Not", 1, "!X"),       .infer = infer_bool,
    .doc = "Whether X does not hold.", .inputs = AVAL_PORTS(BOOL("X")),
    .outputs = AVAL_PORTS(BOOL("Y")),  .samples = AVAL_SAMPLES({ .inputs = "b[2]{0,1}" }, { .inputs = "b[]" }, { .inputs = "b[0]" }),
};
static const aval_op where = {
    ELEMENTWISE("Where", 9, "condition ? X : Y"),
    .infer = infer_second,
    .zero_gradient = 1,
    .doc = "X where the condition holds, else Y; all three broadcast.",
    .inputs = AVAL_PORTS(BOOL("condition"), PORT("X", AVAL_STORED), PORT_LIKE("Y", AVAL_STORED, 1)),
    .outputs = AVAL_PORTS(PORT("output", AVAL_STORED)),
    .samples = AVAL_SAMPLES({ .inputs = "b[2,3] [2,3] [2,3]" }, { .inputs = "b[2,1] [3] []" }, { .inputs = "b[] [0,3] [3]" },
                            { .inputs = "b[3]{1,0,1} i64[3]{1,2,3} i64[1]{-4}", .why = "integers" },
                            { .inputs = "b[3]{1,0,1} bf16[3]{1,2,3} bf16[1]{-4}", .why = "a small float" },
                            { .inputs = "b[257,259] [257,1] [259]", .size_class = AVAL_LARGE }),
};

/* ---- Bits ----------------------------------------------------------------------------------------------------------------------- */

#define BITS(variable, op_name, op_version, op_domain, its_types, text, summary, ...) \
    static const aval_op variable = { \
        ELEMENTWISE(op_name, op_version, text), \
        .domain = op_domain, \
        .doc = summary, \
        .inputs = AVAL_PORTS(PORT("A", its_types), PORT_LIKE("B", its_types, 0)), \
        .outputs = AVAL_PORTS(PORT("C", its_types)), \
        .samples = AVAL_SAMPLES(__VA_ARGS__), \
    }
#define PATTERNS \
    { .inputs = "i32[4]{0,-1,12,1431655765} i32[4]{7,-8,10,-5}" }, { .inputs = "u8[2,2]{0,255,12,170} u8[2]{15,85}" }, \
        { .inputs = "u64[2]{18446744073709549568,5} u64[]{18446744073709547520}" }, \
    { \
        .inputs = "i16[0] i16[1]" \
    }
BITS(bit_and, "BitwiseAnd", 18, NULL, AVAL_INTS, "A & B", "The bits that both have; they broadcast.", PATTERNS);
BITS(bit_or, "BitwiseOr", 18, NULL, AVAL_INTS, "A | B", "The bits that at least one has; they broadcast.", PATTERNS);
BITS(bit_xor, "BitwiseXor", 18, NULL, AVAL_INTS, "A ^ B", "The bits that exactly one has; they broadcast.", PATTERNS);

static const aval_op bit_not = {
    ELEMENTWISE("BitwiseNot", 18, "~X"),
    .doc = "All bits turned over.",
    .inputs = AVAL_PORTS(PORT("X", AVAL_INTS)),
    .outputs = AVAL_PORTS(PORT("Y", AVAL_INTS)),
    .samples = AVAL_SAMPLES({ .inputs = "i32[3]{0,-1,12}" }, { .inputs = "u8[3]{0,255,12}" },
                            { .inputs = "u64[2]{18446744073709549568,5}" }, { .inputs = "u32[0]" }),
};

#define SHIFTS \
    { .inputs = "u8[5]{1,255,129,128,7} u8[5]{1,4,7,8,9}", .why = "8 places and more leave nothing" }, \
        { .inputs = "u64[2]{18446744073709549568,5} u64[2]{13,64}" }, { .inputs = "u16[2,2] u16[2]{3,0}", .low = 0, .high = 65535 }, \
        { .inputs = "u32[3]{4294967295,1,3} u32[3]{31,33,2}" }, \
    { \
        .inputs = "u8[0] u8[1]" \
    }
BITS(shift_left, "ShiftLeft", 1, "aval", AVAL_UNSIGNED, "A << B", "The bits of A moved up by B places; they broadcast.", SHIFTS);
BITS(shift_right, "ShiftRight", 1, "aval", AVAL_UNSIGNED, "A >> B", "The bits of A moved down by B places; they broadcast.", SHIFTS);

static int body_shift(const aval_host *host, aval_call *call)
{
    const char *direction = host->attr_string(call, "direction");
    const aval_tensor *inputs[] = { host->input(call, 0), host->input(call, 1) }, *y;
    int left = strcmp(direction, "LEFT") == 0;
    if (!left && strcmp(direction, "RIGHT") != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute direction is '%s', expected LEFT or RIGHT", direction);
    TRY(host->apply(call, left ? "aval::ShiftLeft" : "aval::ShiftRight", NULL, 2, inputs, 1, &y));
    return host->yield(call, 0, y);
}

static const aval_op bit_shift = {
    .size = sizeof(aval_op),
    .name = "BitShift",
    .since = 11,
    .deterministic = 1,
    .body = body_shift,
    .infer = infer_first,
    .doc = "The bits of X moved by Y places; they broadcast.",
    .inputs = AVAL_PORTS(PORT("X", AVAL_UNSIGNED), PORT_LIKE("Y", AVAL_UNSIGNED, 0)),
    .outputs = AVAL_PORTS(PORT("Z", AVAL_UNSIGNED)),
    .attrs = AVAL_ATTRS({ .name = "direction", .type = AVAL_ATTR_STRING, .required = 1, .doc = "LEFT: towards larger numbers, or RIGHT" }),
    .samples = AVAL_SAMPLES({ .inputs = "u8[3]{16,4,1} u8[3]{1,2,3}", .attrs = "direction='LEFT'" },
                            { .inputs = "u16[3]{16,4,1} u16[]{1}", .attrs = "direction='RIGHT'" }),
};

AVAL_PLUGIN("compare", "0.1.0", NULL, &greater, &less, &greater_or_equal, &less_or_equal, &equal, &is_nan, &is_infinite, &both, &any, &one,
            &negation, &where, &bit_and, &bit_or, &bit_xor, &bit_not, &shift_left, &shift_right, &bit_shift)
