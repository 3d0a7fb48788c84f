/* Conversion of elements on the host.  Every element goes through a double or an int64, whichever holds it exactly, and is
 * rounded once. */
#include "op/op.h"

#include <math.h>
#include <string.h>

/* ---- Half precision: 1 sign, 5 exponent (bias 15), 10 mantissa bits ---------------------------------------------------------- */

#define HALF_INFINITY 0x7c00u
#define HALF_NAN 0x7e00u
#define HALF_OVERFLOW 65520.0 /* from here on the nearest half would need an exponent that is none: 65504 + half a step */
#define HALF_LEAST_NORMAL 0x1p-14

static uint16_t half_from_double(double x)
{
    unsigned sign = signbit(x) ? 0x8000u : 0;
    double a = fabs(x);
    if (isnan(x)) return (uint16_t)(sign | HALF_NAN);
    if (a >= HALF_OVERFLOW) return (uint16_t)(sign | HALF_INFINITY);
    if (a < HALF_LEAST_NORMAL) return (uint16_t)(sign | (unsigned)nearbyint(a * 0x1p24)); /* may round up to the least normal */
    int exponent;
    double mantissa = frexp(a, &exponent); /* in [0.5, 1) */
    /* The mantissa's leading 1 and a carry from rounding both add 1 to the exponent field: hence 14 - 1. */
    unsigned bits = (unsigned)(exponent + 13) << 10;
    return (uint16_t)(sign | (bits + (unsigned)nearbyint(mantissa * 2048)));
}

uint16_t aval__half_from_float(float x)
{
    return half_from_double(x);
}

float aval__half_to_float(uint16_t x)
{
    unsigned exponent = (x >> 10) & 31u, mantissa = x & 1023u;
    float a;
    if (exponent == 31) a = mantissa ? NAN : INFINITY;
    else if (exponent == 0) a = ldexpf((float)mantissa, -24);
    else a = ldexpf((float)(mantissa + 1024), (int)exponent - 25);
    return x & 0x8000u ? -a : a;
}

/* ---- One element ---------------------------------------------------------------------------------------------------------------- */

typedef struct number {
    bool integral;
    int64_t integer;
    double real;
} number;

/* Toward zero as in C; where C leaves the result open (NaN, out of range) 0 and the nearest number. */
static int64_t integer_of(number x)
{
    if (x.integral) return x.integer;
    if (isnan(x.real)) return 0;
    if (x.real >= 0x1p63) return INT64_MAX;
    if (x.real < -0x1p63) return INT64_MIN;
    return (int64_t)x.real;
}

static double real_of(number x)
{
    return x.integral ? (double)x.integer : x.real;
}

#define INTEGER_TYPE(name, type) \
    static number load_##name(const void *from, size_t i) \
    { \
        return (number){ .integral = true, .integer = (int64_t)((const type *)from)[i] }; \
    } \
    static void store_##name(void *to, size_t i, number x) \
    { \
        ((type *)to)[i] = (type)integer_of(x); \
    }

INTEGER_TYPE(int8, int8_t)
INTEGER_TYPE(uint8, uint8_t)
INTEGER_TYPE(int16, int16_t)
INTEGER_TYPE(uint16, uint16_t)
INTEGER_TYPE(int32, int32_t)
INTEGER_TYPE(uint32, uint32_t)
INTEGER_TYPE(int64, int64_t)

static number load_bool(const void *from, size_t i)
{
    return (number){ .integral = true, .integer = ((const uint8_t *)from)[i] != 0 };
}

static void store_bool(void *to, size_t i, number x)
{
    ((uint8_t *)to)[i] = x.integral ? x.integer != 0 : x.real != 0;
}

static number load_float(const void *from, size_t i)
{
    return (number){ .real = ((const float *)from)[i] };
}

static void store_float(void *to, size_t i, number x)
{
    ((float *)to)[i] = x.integral ? (float)x.integer : (float)x.real; /* not by way of double, which would round twice */
}

static number load_double(const void *from, size_t i)
{
    return (number){ .real = ((const double *)from)[i] };
}

static void store_double(void *to, size_t i, number x)
{
    ((double *)to)[i] = real_of(x);
}

static number load_half(const void *from, size_t i)
{
    return (number){ .real = aval__half_to_float(((const uint16_t *)from)[i]) };
}

static void store_half(void *to, size_t i, number x)
{
    ((uint16_t *)to)[i] = half_from_double(real_of(x));
}

/* ---- Many ------------------------------------------------------------------------------------------------------------------------ */

static const struct element {
    number (*load)(const void *from, size_t i);
    void (*store)(void *to, size_t i, number x);
} elements[AVAL_TYPES] = {
    [AVAL_FLOAT] = { load_float, store_float }, [AVAL_DOUBLE] = { load_double, store_double },
    [AVAL_FLOAT16] = { load_half, store_half }, [AVAL_BOOL] = { load_bool, store_bool },
    [AVAL_INT8] = { load_int8, store_int8 },    [AVAL_UINT8] = { load_uint8, store_uint8 },
    [AVAL_INT16] = { load_int16, store_int16 }, [AVAL_UINT16] = { load_uint16, store_uint16 },
    [AVAL_INT32] = { load_int32, store_int32 }, [AVAL_UINT32] = { load_uint32, store_uint32 },
    [AVAL_INT64] = { load_int64, store_int64 },
};

void aval__convert(void *to, int to_type, const void *from, int from_type, size_t count)
{
    if (to_type == from_type) {
        if (count) memcpy(to, from, count * aval_type_bytes(to_type));
        return;
    }
    const struct element *reader = &elements[from_type], *writer = &elements[to_type];
    for (size_t i = 0; i < count; i++) writer->store(to, i, reader->load(from, i));
}

int aval_convert(void *to, int to_type, const void *from, int from_type, size_t count)
{
    const int types[] = { from_type, to_type };
    AVAL__NEED(count == 0 || (to && from), "memory for the elements");
    for (size_t i = 0; i < 2; i++)
        if (types[i] < 0 || types[i] >= AVAL_TYPES || !elements[types[i]].load)
            return aval__fail(AVAL_E_TYPE, "elements of type %d (%s) cannot be converted", types[i], aval_type_name(types[i]));
    aval__convert(to, to_type, from, from_type, count);
    return AVAL_OK;
}

int aval__convert_number(void *to, int type, double x)
{
    double back;
    if (type < 0 || type >= AVAL_TYPES || !elements[type].store)
        return aval__fail(AVAL_E_TYPE, "a number cannot be of element type %d (%s)", type, aval_type_name(type));
    aval__convert(to, type, &x, AVAL_DOUBLE, 1);
    aval__convert(&back, AVAL_DOUBLE, to, type, 1);
    bool holds = AVAL_FLOATS & AVAL_TYPE_SET(type) ? !isfinite(x) || isfinite(back) : back == x;
    if (holds) return AVAL_OK;
    return aval__fail(AVAL_E_ARGUMENT, "%g is no number of element type %s", x, aval_type_name(type));
}
