/* Conversion of elements on the host.  Every element goes through a double or an int64, whichever holds it exactly, and is
 * rounded once. */
#include "op/op.h"

#include <math.h>
#include <string.h>

/* ---- One element ---------------------------------------------------------------------------------------------------------------- */

typedef enum kind { REAL, SIGNED, UNSIGNED } kind;

typedef struct number {
    kind kind;
    int64_t integer; /* SIGNED, UNSIGNED: its bits */
    double real; /* REAL */
} number;

static double real_of(number x)
{
    return x.kind == REAL ? x.real : x.kind == SIGNED ? (double)x.integer : (double)(uint64_t)x.integer;
}

/* Integers keep their low bits, as in C.  Real numbers go towards 0; what is out of range becomes the type's last number and NaN 0, which
   C leaves open. */
#define INTEGER_TYPE(name, type, its_kind, least, most) \
    static number load_##name(const void *from, size_t i) \
    { \
        return (number){ .kind = its_kind, .integer = (int64_t)((const type *)from)[i] }; \
    } \
    static void store_##name(void *to, size_t i, number x) \
    { \
        type *out = (type *)to + i; \
        if (x.kind != REAL) *out = (type)x.integer; \
        else if (isnan(x.real)) *out = 0; \
        else if (x.real >= (double)(most)) *out = (most); \
        else if (x.real <= (double)(least)) *out = (least); \
        else *out = (type)x.real; \
    }

INTEGER_TYPE(int8, int8_t, SIGNED, INT8_MIN, INT8_MAX)
INTEGER_TYPE(uint8, uint8_t, UNSIGNED, 0, UINT8_MAX)
INTEGER_TYPE(int16, int16_t, SIGNED, INT16_MIN, INT16_MAX)
INTEGER_TYPE(uint16, uint16_t, UNSIGNED, 0, UINT16_MAX)
INTEGER_TYPE(int32, int32_t, SIGNED, INT32_MIN, INT32_MAX)
INTEGER_TYPE(uint32, uint32_t, UNSIGNED, 0, UINT32_MAX)
INTEGER_TYPE(int64, int64_t, SIGNED, INT64_MIN, INT64_MAX)
INTEGER_TYPE(uint64, uint64_t, UNSIGNED, 0, UINT64_MAX)

/* Four bits lie in a byte of their own.  Real numbers go to the nearest, as ONNX has it for these types. */
static int64_t nearest(double x, double least, double most)
{
    return isnan(x) ? 0 : (int64_t)nearbyint(fmin(fmax(x, least), most));
}

static void store_uint4(void *to, size_t i, number x)
{
    ((uint8_t *)to)[i] = (uint8_t)((x.kind == REAL ? nearest(x.real, 0, 15) : x.integer) & 15);
}

static void store_int4(void *to, size_t i, number x)
{
    int64_t low = (x.kind == REAL ? nearest(x.real, -8, 7) : x.integer) & 15;
    ((int8_t *)to)[i] = (int8_t)(low > 7 ? low - 16 : low);
}

static number load_bool(const void *from, size_t i)
{
    return (number){ .kind = UNSIGNED, .integer = ((const uint8_t *)from)[i] != 0 };
}

static void store_bool(void *to, size_t i, number x)
{
    ((uint8_t *)to)[i] = x.kind == REAL ? x.real != 0 : x.integer != 0;
}

static number load_float(const void *from, size_t i)
{
    return (number){ .real = ((const float *)from)[i] };
}

static void store_float(void *to, size_t i, number x)
{
    /* not by way of double, which would round twice */
    ((float *)to)[i] = x.kind == REAL ? (float)x.real : x.kind == SIGNED ? (float)x.integer : (float)(uint64_t)x.integer;
}

static number load_double(const void *from, size_t i)
{
    return (number){ .real = ((const double *)from)[i] };
}

static void store_double(void *to, size_t i, number x)
{
    ((double *)to)[i] = real_of(x);
}

#define SMALL_FLOAT_TYPE(name, bits, number_of_type) \
    static number load_##name(const void *from, size_t i) \
    { \
        return (number){ .real = aval__small_float_value(number_of_type, ((const bits *)from)[i]) }; \
    } \
    static void store_##name(void *to, size_t i, number x) \
    { \
        ((bits *)to)[i] = (bits)aval__small_float_code(number_of_type, real_of(x)); \
    }

SMALL_FLOAT_TYPE(half, uint16_t, AVAL_FLOAT16)
SMALL_FLOAT_TYPE(bfloat16, uint16_t, AVAL_BFLOAT16)
SMALL_FLOAT_TYPE(e4m3fn, uint8_t, AVAL_FLOAT8E4M3FN)
SMALL_FLOAT_TYPE(e4m3fnuz, uint8_t, AVAL_FLOAT8E4M3FNUZ)
SMALL_FLOAT_TYPE(e5m2, uint8_t, AVAL_FLOAT8E5M2)
SMALL_FLOAT_TYPE(e5m2fnuz, uint8_t, AVAL_FLOAT8E5M2FNUZ)

/* ---- Many ------------------------------------------------------------------------------------------------------------------------ */

static const struct element {
    number (*load)(const void *from, size_t i);
    void (*store)(void *to, size_t i, number x);
} elements[AVAL_TYPES] = {
    [AVAL_FLOAT] = { load_float, store_float },
    [AVAL_DOUBLE] = { load_double, store_double },
    [AVAL_FLOAT16] = { load_half, store_half },
    [AVAL_BFLOAT16] = { load_bfloat16, store_bfloat16 },
    [AVAL_FLOAT8E4M3FN] = { load_e4m3fn, store_e4m3fn },
    [AVAL_FLOAT8E4M3FNUZ] = { load_e4m3fnuz, store_e4m3fnuz },
    [AVAL_FLOAT8E5M2] = { load_e5m2, store_e5m2 },
    [AVAL_FLOAT8E5M2FNUZ] = { load_e5m2fnuz, store_e5m2fnuz },
    [AVAL_BOOL] = { load_bool, store_bool },
    [AVAL_INT4] = { load_int8, store_int4 },
    [AVAL_UINT4] = { load_uint8, store_uint4 },
    [AVAL_INT8] = { load_int8, store_int8 },
    [AVAL_UINT8] = { load_uint8, store_uint8 },
    [AVAL_INT16] = { load_int16, store_int16 },
    [AVAL_UINT16] = { load_uint16, store_uint16 },
    [AVAL_INT32] = { load_int32, store_int32 },
    [AVAL_UINT32] = { load_uint32, store_uint32 },
    [AVAL_INT64] = { load_int64, store_int64 },
    [AVAL_UINT64] = { load_uint64, store_uint64 },
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
    bool holds = AVAL_REALS & AVAL_TYPE_SET(type) ? !isfinite(x) || isfinite(back) : back == x;
    if (holds) return AVAL_OK;
    return aval__fail(AVAL_E_ARGUMENT, "%g is no number of element type %s", x, aval_type_name(type));
}
