/* Floating-point types of 8 and 16 bits as bits, by their formats: sign, exponent, mantissa from the top. */
#include "op/op.h"

#include <math.h>

/* Codes are without the sign. */
static const struct format {
    int mantissa, bias; /* bits of the mantissa; what is added to exponents */
    unsigned largest; /* code of the largest finite number */
    unsigned infinity; /* 0: the type has none */
    unsigned nan; /* 0: "minus zero" is the one NaN, and there is no other minus zero */
    unsigned sign;
} formats[AVAL_TYPES] = {
    [AVAL_FLOAT16] = { 10, 15, 0x7bff, 0x7c00, 0x7e00, 0x8000 }, [AVAL_BFLOAT16] = { 7, 127, 0x7f7f, 0x7f80, 0x7fc0, 0x8000 },
    [AVAL_FLOAT8E4M3FN] = { 3, 7, 0x7e, 0, 0x7f, 0x80 },         [AVAL_FLOAT8E4M3FNUZ] = { 3, 8, 0x7f, 0, 0, 0x80 },
    [AVAL_FLOAT8E5M2] = { 2, 15, 0x7b, 0x7c, 0x7f, 0x80 },       [AVAL_FLOAT8E5M2FNUZ] = { 2, 16, 0x7f, 0, 0, 0x80 },
};

static unsigned signed_code(const struct format *f, bool negative, unsigned code)
{
    return negative && (code != 0 || f->nan != 0) ? code | f->sign : code;
}

uint16_t aval__small_float_code(int type, double x)
{
    const struct format *f = &formats[type];
    double a = fabs(x);
    if (isnan(x)) return (uint16_t)(f->nan == 0 ? f->sign : signed_code(f, signbit(x), f->nan));
    unsigned code = f->largest + 1;
    if (a < 0x1p200) { /* so that its exponent is in range */
        int exponent = a > 0 ? ilogb(a) : 0, least = 1 - f->bias;
        if (exponent < least || a == 0) exponent = least;
        /* Between 2^mantissa and twice that for normal numbers, below for the others; a carry from rounding goes to the exponent. */
        code = ((unsigned)(exponent - least) << f->mantissa) + (unsigned)nearbyint(ldexp(a, f->mantissa - exponent));
    }
    bool is_float8 = (AVAL_FLOAT8S & AVAL_TYPE_SET(type)) != 0;
    if (code > f->largest) code = f->infinity != 0 && (isinf(x) || !is_float8) ? f->infinity : f->largest;
    return (uint16_t)signed_code(f, signbit(x), code);
}

double aval__small_float_value(int type, uint16_t bits)
{
    const struct format *f = &formats[type];
    unsigned code = bits & (f->sign - 1), fraction = code & ((1u << f->mantissa) - 1);
    int exponent = (int)(code >> f->mantissa);
    double a;
    if (f->nan == 0 && bits == f->sign) return NAN;
    if (f->infinity != 0 && code == f->infinity) a = INFINITY;
    else if (code > f->largest) a = NAN;
    else if (exponent == 0) a = ldexp(fraction, 1 - f->bias - f->mantissa);
    else a = ldexp(fraction + (1u << f->mantissa), exponent - f->bias - f->mantissa);
    return (bits & f->sign) != 0 ? -a : a;
}

double aval__round_small_float(int type, double x, bool saturate)
{
    const struct format *f = &formats[type];
    double rounded = aval__small_float_value(type, aval__small_float_code(type, x));
    if ((AVAL_FLOAT8S & AVAL_TYPE_SET(type)) == 0 || isnan(x)) return rounded;
    double largest = aval__small_float_value(type, (uint16_t)f->largest), step = ldexp(1, ilogb(largest) - f->mantissa);
    if (saturate) return copysign(fmin(fabs(rounded), largest), rounded);
    /* The last number's mantissa decides a tie: up to the next number, which the type has not, where it is odd. */
    double limit = largest + step / 2;
    bool over = fabs(x) > limit || (fabs(x) == limit && f->largest % 2 == 1);
    return over ? (f->infinity != 0 ? copysign(INFINITY, x) : NAN) : rounded;
}

uint16_t aval__half_from_float(float x)
{
    return aval__small_float_code(AVAL_FLOAT16, x);
}

float aval__half_to_float(uint16_t x)
{
    return (float)aval__small_float_value(AVAL_FLOAT16, x);
}
