/* Names and sizes of the element types, one row a number of aval_type. */
#include "base/base.h"

static const struct type_row {
    const char *name; /* ONNX's spelling */
    size_t bytes; /* 0: of no fixed size, or in no tensor of ours */
} type_rows[AVAL_TYPES] = {
    [AVAL_NONE] = { "none", 0 },
    [AVAL_FLOAT] = { "float", 4 },
    [AVAL_UINT8] = { "uint8", 1 },
    [AVAL_INT8] = { "int8", 1 },
    [AVAL_UINT16] = { "uint16", 2 },
    [AVAL_INT16] = { "int16", 2 },
    [AVAL_INT32] = { "int32", 4 },
    [AVAL_INT64] = { "int64", 8 },
    [AVAL_STRING] = { "string", 0 },
    [AVAL_BOOL] = { "bool", 1 },
    [AVAL_FLOAT16] = { "float16", 2 },
    [AVAL_DOUBLE] = { "double", 8 },
    [AVAL_UINT32] = { "uint32", 4 },
    [AVAL_UINT64] = { "uint64", 8 },
    [AVAL_COMPLEX64] = { "complex64", 8 },
    [AVAL_COMPLEX128] = { "complex128", 16 },
    [AVAL_BFLOAT16] = { "bfloat16", 2 },
    [AVAL_FLOAT8E4M3FN] = { "float8e4m3fn", 1 },
    [AVAL_FLOAT8E4M3FNUZ] = { "float8e4m3fnuz", 1 },
    [AVAL_FLOAT8E5M2] = { "float8e5m2", 1 },
    [AVAL_FLOAT8E5M2FNUZ] = { "float8e5m2fnuz", 1 },
    [AVAL_UINT4] = { "uint4", 1 }, /* in a byte of its own: two in one would break "an element's address" everywhere */
    [AVAL_INT4] = { "int4", 1 },
    [AVAL_FLOAT4E2M1] = { "float4e2m1", 0 },
};

const char *aval_type_name(int type)
{
    return type >= 0 && type < AVAL_TYPES ? type_rows[type].name : "?";
}

size_t aval_type_bytes(int type)
{
    return type >= 0 && type < AVAL_TYPES ? type_rows[type].bytes : 0;
}
