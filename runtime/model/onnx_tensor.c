/* TensorProto: shape and content, raw, typed, or in a file of its own. */
#include "model/onnx.h"

#include <inttypes.h>
#include <string.h>

#define IN_FILE_OF_ITS_OWN 1 /* TensorProto.DataLocation.EXTERNAL */

int onnx_tensor_shape(const onnx_tensor *t, aval_tensor *shape)
{
    int type = t->data_type;
    if (t->has_segment) return aval__fail(AVAL_E_UNSUPPORTED, "a tensor in segments");
    if (type <= AVAL_NONE || type >= AVAL_TYPES) return aval__fail(AVAL_E_FORMAT, "expected an element type, found number %d", type);
    if (aval_type_bytes(type) == 0 || type == AVAL_COMPLEX64 || type == AVAL_COMPLEX128)
        return aval__fail(AVAL_E_UNSUPPORTED, "elements of type %s", aval_type_name(type));
    if (t->n_dims > AVAL_MAX_RANK)
        return aval__fail(AVAL_E_UNSUPPORTED, "a tensor of %zu axes (there may be %d)", t->n_dims, AVAL_MAX_RANK);
    for (size_t i = 0; i < t->n_dims; i++)
        if (t->dims[i] < 0) return aval__fail(AVAL_E_FORMAT, "expected axis %zu to be 0 or more, found %" PRId64, i, t->dims[i]);
    int status = aval__tensor_set(shape, type, t->n_dims, t->dims);
    return status < 0 ? aval__fail_in(AVAL_E_FORMAT, "its shape") : AVAL_OK;
}

/* ---- Typed content ------------------------------------------------------------------------------------------------------------------- */

/* Where elements of a type lie when they are not raw, and how many bytes one has there. */
typedef struct typed {
    const void *data;
    size_t count, bytes;
} typed;

static typed typed_content(const onnx_tensor *t)
{
    switch (t->data_type) {
    case AVAL_FLOAT: return (typed){ t->float_data, t->n_float_data, sizeof(float) };
    case AVAL_DOUBLE: return (typed){ t->double_data, t->n_double_data, sizeof(double) };
    case AVAL_INT64: return (typed){ t->int64_data, t->n_int64_data, sizeof(int64_t) };
    case AVAL_UINT32:
    case AVAL_UINT64: return (typed){ t->uint64_data, t->n_uint64_data, sizeof(uint64_t) };
    default: return (typed){ t->int32_data, t->n_int32_data, sizeof(int32_t) }; /* all types of 32 bits and less */
    }
}

static int read_typed(aval__arena *arena, const onnx_tensor *t, size_t count, const void **data)
{
    typed from = typed_content(t);
    size_t bytes = aval_type_bytes(t->data_type);
    if (from.count != count) return aval__fail(AVAL_E_FORMAT, "expected %zu elements, found %zu", count, from.count);
    *data = from.data;
    if (bytes == from.bytes && count > 0) return AVAL_OK;
    unsigned char *to = aval__arena_alloc(arena, count * bytes + 1);
    if (!to) return AVAL_E_MEMORY;
    /* The low bytes of a wider integer are the narrower one: the format and all machines that aval runs on are little endian. */
    for (size_t i = 0; i < count; i++) memcpy(to + i * bytes, (const unsigned char *)from.data + i * from.bytes, bytes);
    *data = to;
    return AVAL_OK;
}

/* ---- All ------------------------------------------------------------------------------------------------------------------------------- */

static int read_raw(const onnx_tensor *t, size_t bytes, const void **data)
{
    if (t->raw_data.len != bytes) return aval__fail(AVAL_E_FORMAT, "expected %zu bytes of elements, found %zu", bytes, t->raw_data.len);
    *data = bytes > 0 ? t->raw_data.data : (const void *)"";
    return AVAL_OK;
}

/* Kernels take a bool for a byte of 0 or 1, whatever a file says. */
static int normalise_bools(aval__arena *arena, size_t count, const void **data)
{
    const unsigned char *from = *data;
    unsigned char *to = aval__arena_alloc(arena, count + 1);
    if (!to) return AVAL_E_MEMORY;
    for (size_t i = 0; i < count; i++) to[i] = from[i] != 0;
    *data = to;
    return AVAL_OK;
}

static bool is_packed(int type)
{
    return (AVAL_SMALL_INTS & AVAL_TYPE_SET(type)) != 0;
}

/* Files have two elements of 4 bits in a byte, the first in its low half; here each has a byte. */
static int unpack(aval__arena *arena, int type, size_t count, const void **data)
{
    const unsigned char *from = *data;
    unsigned char *to = aval__arena_alloc(arena, count + 1);
    if (!to) return AVAL_E_MEMORY;
    for (size_t i = 0; i < count; i++) {
        unsigned bits = (unsigned)from[i / 2] >> (i % 2 * 4) & 15u;
        to[i] = (unsigned char)(type == AVAL_INT4 && bits > 7 ? bits | 0xf0u : bits);
    }
    *data = to;
    return AVAL_OK;
}

int onnx_tensor_read(aval__arena *arena, const char *folder, const onnx_tensor *t, aval_tensor *shape, const void **data)
{
    AVAL__TRY(onnx_tensor_shape(t, shape));
    size_t count = (size_t)aval__tensor_count(shape), stored = is_packed(shape->type) ? count / 2 + count % 2 : count;
    size_t bytes = stored * aval_type_bytes(shape->type);
    if (t->data_location == IN_FILE_OF_ITS_OWN) AVAL__TRY(onnx_external_read(arena, folder, t, bytes, data));
    else if (t->has_raw_data) AVAL__TRY(read_raw(t, bytes, data));
    else AVAL__TRY(read_typed(arena, t, stored, data));
    if (is_packed(shape->type)) return unpack(arena, shape->type, count, data);
    return shape->type == AVAL_BOOL ? normalise_bools(arena, count, data) : AVAL_OK;
}
