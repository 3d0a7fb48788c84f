/* The operations of expressions, one row each: value on the host, OpenCL C, derivatives.  A new function is a new row. */
#include "op/expr.h"

#include <math.h>

int64_t aval__saturate(double x, bool natural)
{
    if (isnan(x)) return 0;
    if (natural) return x <= 0 ? 0 : x >= 0x1p64 ? -1 : (int64_t)(uint64_t)x;
    if (x >= 0x1p63) return INT64_MAX;
    if (x < -0x1p63) return INT64_MIN;
    return (int64_t)x;
}

/* ---- In double --------------------------------------------------------------------------------------------------------------- */

#define REAL(name, value) \
    static double real_##name(const double *a) \
    { \
        return (value); \
    }

REAL(neg, -a[0])
REAL(not, !(a[0] != 0))
REAL(add, a[0] + a[1])
REAL(sub, a[0] - a[1])
REAL(mul, a[0] * a[1])
REAL(div, a[0] / a[1])
REAL(lt, a[0] < a[1])
REAL(le, a[0] <= a[1])
REAL(gt, a[0] > a[1])
REAL(ge, a[0] >= a[1])
REAL(eq, a[0] == a[1])
REAL(ne, a[0] != a[1])
REAL(and, a[0] != 0 && a[1] != 0)
REAL(or, a[0] != 0 || a[1] != 0)
REAL(select, a[0] != 0 ? a[1] : a[2])
REAL(abs, fabs(a[0]))
REAL(acos, acos(a[0]))
REAL(acosh, acosh(a[0]))
REAL(asin, asin(a[0]))
REAL(asinh, asinh(a[0]))
REAL(atan, atan(a[0]))
REAL(atanh, atanh(a[0]))
REAL(ceil, ceil(a[0]))
REAL(cos, cos(a[0]))
REAL(cosh, cosh(a[0]))
REAL(erf, erf(a[0]))
REAL(exp, exp(a[0]))
REAL(expm1, expm1(a[0]))
REAL(floor, floor(a[0]))
REAL(fmod, fmod(a[0], a[1]))
REAL(isinf, isinf(a[0]) != 0)
REAL(isnan, isnan(a[0]) != 0)
REAL(log, log(a[0]))
REAL(log1p, log1p(a[0]))
REAL(max, a[0] >= a[1] || isnan(a[0]) ? a[0] : a[1]) /* NaN wins, as in ONNX and numpy */
REAL(min, a[0] <= a[1] || isnan(a[0]) ? a[0] : a[1])
REAL(pow, pow(a[0], a[1]))
REAL(round, nearbyint(a[0])) /* half to even: the rounding mode is never changed */
REAL(rsqrt, 1 / sqrt(a[0]))
REAL(sigmoid, 1 / (1 + exp(-a[0])))
REAL(sign, (a[0] > 0) - (a[0] < 0))
REAL(sin, sin(a[0]))
REAL(sinh, sinh(a[0]))
REAL(sqrt, sqrt(a[0]))
REAL(tan, tan(a[0]))
REAL(tanh, tanh(a[0]))

/* The remainder with the sign of the divisor. */
static double real_mod(const double *a)
{
    double rest = fmod(a[0], a[1]);
    return rest != 0 && (rest < 0) != (a[1] < 0) ? rest + a[1] : rest;
}

/* ---- In int64: sums, differences and products wrap; a division by zero gives 0 instead of a trap ------------------------------ */

#define INTEGER(name, value) \
    static int64_t int_##name(const int64_t *a) \
    { \
        return (value); \
    }
#define WRAP(operator) (int64_t)((uint64_t)a[0] operator(uint64_t) a[1])

INTEGER(neg, (int64_t)(0 - (uint64_t)a[0]))
INTEGER(not, !a[0])
INTEGER(add, WRAP(+))
INTEGER(sub, WRAP(-))
INTEGER(mul, WRAP(*))
INTEGER(invert, ~a[0])
INTEGER(div, a[1] == 0 ? 0 : a[1] == -1 ? int_neg(a) : a[0] / a[1])
INTEGER(lt, a[0] < a[1])
INTEGER(le, a[0] <= a[1])
INTEGER(gt, a[0] > a[1])
INTEGER(ge, a[0] >= a[1])
INTEGER(eq, a[0] == a[1])
INTEGER(ne, a[0] != a[1])
INTEGER(shift_left, (uint64_t)a[1] >= 64 ? 0 : (int64_t)((uint64_t)a[0] << a[1]))
INTEGER(shift_right, a[0] >> ((uint64_t)a[1] >= 64 ? 63 : a[1]))
INTEGER(bit_and, a[0] & a[1])
INTEGER(bit_xor, a[0] ^ a[1])
INTEGER(bit_or, a[0] | a[1])
INTEGER(and, a[0] && a[1])
INTEGER(or, a[0] || a[1])
INTEGER(select, a[0] ? a[1] : a[2])
INTEGER(abs, a[0] < 0 ? int_neg(a) : a[0])
INTEGER(same, a[0])
INTEGER(nonzero, a[0] != 0)
INTEGER(never, 0 * a[0])
INTEGER(fmod, a[1] == 0 || a[1] == -1 ? 0 : a[0] % a[1])
INTEGER(max, a[0] >= a[1] ? a[0] : a[1])
INTEGER(min, a[0] <= a[1] ? a[0] : a[1])
INTEGER(sign, (a[0] > 0) - (a[0] < 0))

static int64_t int_mod(const int64_t *a)
{
    int64_t rest = int_fmod(a);
    return rest != 0 && (rest < 0) != (a[1] < 0) ? rest + a[1] : rest;
}

/* a[0] to the power a[1] by squaring. */
static int64_t natural_pow(const int64_t *a)
{
    uint64_t base = (uint64_t)a[0], result = 1;
    for (uint64_t n = (uint64_t)a[1]; n != 0; n >>= 1) {
        if (n & 1) result *= base;
        base *= base;
    }
    return (int64_t)result;
}

/* A negative power is 1 / x^n towards zero. */
static int64_t int_pow(const int64_t *a)
{
    if (a[1] < 0) return a[0] == 1 ? 1 : a[0] == -1 ? (a[1] % 2 ? -1 : 1) : 0;
    return natural_pow(a);
}

/* ---- In uint64, where that differs --------------------------------------------------------------------------------------------------- */

#define NATURAL(name, value) \
    static int64_t natural_##name(const int64_t *a) \
    { \
        const uint64_t x = (uint64_t)a[0], y = (uint64_t)a[1]; \
        return (int64_t)(value); \
    }

NATURAL(div, y == 0 ? 0 : x / y)
NATURAL(lt, x < y)
NATURAL(le, x <= y)
NATURAL(gt, x > y)
NATURAL(ge, x >= y)
NATURAL(shift_right, y >= 64 ? 0 : x >> y)
NATURAL(fmod, y == 0 ? 0 : x % y)
NATURAL(max, x >= y ? x : y)
NATURAL(min, x <= y ? x : y)

/* ---- Operators on bits, of real numbers through int64 ------------------------------------------------------------------------------- */

#define BITS(name) \
    static double real_##name(const double *a) \
    { \
        const int64_t n[] = { aval__saturate(a[0], false), aval__saturate(a[1], false) }; \
        return (double)int_##name(n); \
    }

BITS(invert)
BITS(shift_left)
BITS(shift_right)
BITS(bit_and)
BITS(bit_xor)
BITS(bit_or)

/* ---- The table ------------------------------------------------------------------------------------------------------------------- */

#define INFIX(op, tight, id, its_natural, int_text, ...) \
    { \
        .name = op, .arity = 2, .binds = AVAL__B_##tight, .real = real_##id, .integer = int_##id, .natural = its_natural, \
        .code = "$0 " op " $1", .int_code = int_text, .by = { \
            __VA_ARGS__ \
        } \
    }
#define COMPARISON(op, tight, id, its_natural) INFIX(op, tight, id, its_natural, "$0 " op " $1", NULL)
#define BITWISE(op, tight, id, its_natural, text) \
    { \
        .name = op, .arity = 2, .binds = AVAL__B_##tight, .real = real_##id, .integer = int_##id, .natural = its_natural, \
        .code = "($T)((long)$0 " op " (long)$1)", .int_code = text \
    }
/* A function that is only computed in floating point, with its derivatives. */
#define FUNCTION(id, n, text, ...) \
    { \
        .name = #id, .arity = n, .binds = AVAL__B_ATOM, .real = real_##id, .code = text, .by = { __VA_ARGS__ } \
    }
/* One of kernels/functions.clh. */
#define OF_FLOATS(id, derivative) FUNCTION(id, 1, "aval_of(" #id ", $0)", derivative)
#define EXACT(id, n, text, int_id, its_natural, int_text, ...) \
    { \
        .name = #id, .arity = n, .binds = AVAL__B_ATOM, .real = real_##id, .integer = int_##int_id, .natural = its_natural, .code = text, \
        .int_code = int_text, .by = { \
            __VA_ARGS__ \
        } \
    }

/* Derivatives that are 1 or 0 by a condition are written with ?:, never as a factor: 0 times an infinite factor would be NaN. */
const aval__operation aval__operations[] = {
    [AVAL__X_NUMBER] = { .name = "number", .binds = AVAL__B_ATOM },
    [AVAL__X_LEAF] = { .name = "leaf", .binds = AVAL__B_ATOM },
    [AVAL__X_NEG] = { "-", 1, AVAL__B_UNARY, real_neg, int_neg, NULL, "-$0", "($T)(0 - ($U)$0)", { "-1" } },
    [AVAL__X_NOT] = { "!", 1, AVAL__B_UNARY, real_not, int_not, NULL, "$0 == 0", "$0 == 0", { NULL } },
    [AVAL__X_INVERT] = { "~", 1, AVAL__B_UNARY, real_invert, int_invert, NULL, "($T)~(long)$0", "~$0", { NULL } },
    [AVAL__X_ADD] = INFIX("+", SUM, add, NULL, "($T)(($U)$0 + ($U)$1)", "1", "1"),
    [AVAL__X_SUB] = INFIX("-", SUM, sub, NULL, "($T)(($U)$0 - ($U)$1)", "1", "-1"),
    [AVAL__X_MUL] = INFIX("*", PRODUCT, mul, NULL, "($T)(($U)$0 * ($U)$1)", "b", "a"),
    [AVAL__X_DIV] = INFIX("/", PRODUCT, div, natural_div, "aval_int_div($T, $U, $0, $1)", "1 / b", "-y / b"),
    [AVAL__X_LT] = COMPARISON("<", ORDER, lt, natural_lt),
    [AVAL__X_LE] = COMPARISON("<=", ORDER, le, natural_le),
    [AVAL__X_GT] = COMPARISON(">", ORDER, gt, natural_gt),
    [AVAL__X_GE] = COMPARISON(">=", ORDER, ge, natural_ge),
    [AVAL__X_EQ] = COMPARISON("==", EQUAL, eq, NULL),
    [AVAL__X_NE] = COMPARISON("!=", EQUAL, ne, NULL),
    [AVAL__X_SHIFT_LEFT] = BITWISE("<<", SHIFT, shift_left, NULL, "aval_shift_left($T, $U, $0, $1)"),
    [AVAL__X_SHIFT_RIGHT] = BITWISE(">>", SHIFT, shift_right, natural_shift_right, "aval_shift_right($T, $U, $0, $1)"),
    [AVAL__X_BIT_AND] = BITWISE("&", BIT_AND, bit_and, NULL, "$0 & $1"),
    [AVAL__X_BIT_XOR] = BITWISE("^", BIT_XOR, bit_xor, NULL, "$0 ^ $1"),
    [AVAL__X_BIT_OR] = BITWISE("|", BIT_OR, bit_or, NULL, "$0 | $1"),
    [AVAL__X_AND] = { "&&", 2, AVAL__B_AND, real_and, int_and, NULL, "($0 != 0) & ($1 != 0)", "($0 != 0) & ($1 != 0)", { NULL } },
    [AVAL__X_OR] = { "||", 2, AVAL__B_OR, real_or, int_or, NULL, "($0 != 0) | ($1 != 0)", "($0 != 0) | ($1 != 0)", { NULL } },
    [AVAL__X_SELECT] = { "?:",
                         3,
                         AVAL__B_CHOICE,
                         real_select,
                         int_select,
                         NULL,
                         "$0 != 0 ? $1 : $2",
                         "$0 != 0 ? $1 : $2",
                         { NULL, "a ? 1 : 0", "a ? 0 : 1" } },
    /* By the base: 0 x inf would be NaN at base 0 and power 0.  By the power: only where log exists; x^b at x = 0 and b > 0 is 0 for all b. */
    [AVAL__X_POW] = EXACT(pow, 2, "aval_of_two(pow, $0, $1)", pow, natural_pow, "aval_int_pow($T, $0, $1)",
                          "b == 0 ? 0 : b * pow(a, b - 1)", "a > 0 ? y * log(a) : 0"),
    [AVAL__X_FUNCTIONS] = EXACT(abs, 1, "fabs($0)", abs, int_same, "$0 < 0 ? ($T)(0 - ($U)$0) : $0", "sign(a)"),
    OF_FLOATS(acos, "-rsqrt(1 - a * a)"),
    OF_FLOATS(acosh, "rsqrt(a * a - 1)"),
    OF_FLOATS(asin, "rsqrt(1 - a * a)"),
    OF_FLOATS(asinh, "rsqrt(a * a + 1)"),
    OF_FLOATS(atan, "1 / (1 + a * a)"),
    OF_FLOATS(atanh, "1 / (1 - a * a)"),
    EXACT(ceil, 1, "ceil($0)", same, NULL, "$0", NULL),
    OF_FLOATS(cos, "-sin(a)"),
    OF_FLOATS(cosh, "sinh(a)"),
    OF_FLOATS(erf, "1.1283791670955126 * exp(-a * a)"), /* 2 / sqrt(pi) */
    FUNCTION(exp, 1, "exp($0)", "y"),
    OF_FLOATS(expm1, "exp(a)"),
    EXACT(floor, 1, "floor($0)", same, NULL, "$0", NULL),
    EXACT(fmod, 2, "aval_of_two(fmod, $0, $1)", fmod, natural_fmod, "aval_int_mod($T, $0, $1)", "1", "(y - a) / b"),
    EXACT(isinf, 1, "isinf($0)", never, NULL, "0", NULL),
    EXACT(isnan, 1, "isnan($0)", never, NULL, "0", NULL),
    OF_FLOATS(log, "1 / a"),
    OF_FLOATS(log1p, "1 / (1 + a)"),
    EXACT(max, 2, "aval_max($0, $1)", max, natural_max, "$0 >= $1 ? $0 : $1", "a >= b ? 1 : 0", "a >= b ? 0 : 1"),
    EXACT(min, 2, "aval_min($0, $1)", min, natural_min, "$0 <= $1 ? $0 : $1", "a <= b ? 1 : 0", "a <= b ? 0 : 1"),
    EXACT(mod, 2, "aval_of_two(mod, $0, $1)", mod, natural_fmod, "aval_int_floor_mod($T, $0, $1)", "1", "(y - a) / b"),
    EXACT(round, 1, "aval_of(rint, $0)", same, NULL, "$0", NULL),
    FUNCTION(rsqrt, 1, "rsqrt($0)", "-0.5 * y / a"),
    FUNCTION(sigmoid, 1, "aval_sigmoid($0)", "y * (1 - y)"),
    EXACT(sign, 1, "($0 > 0) - ($0 < 0)", sign, int_nonzero, "($0 > 0) - ($0 < 0)", NULL),
    OF_FLOATS(sin, "cos(a)"),
    OF_FLOATS(sinh, "cosh(a)"),
    FUNCTION(sqrt, 1, "sqrt($0)", "0.5 / y"), /* infinite at 0, as mathematics has it */
    OF_FLOATS(tan, "1 + y * y"),
    OF_FLOATS(tanh, "1 - y * y"),
};

const uint32_t aval__operation_count = sizeof aval__operations / sizeof *aval__operations;
