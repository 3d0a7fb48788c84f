/* Single tensors in files, for users: .npy in and out, ONNX's TensorProto in. */
#include "model/model.h"

#include <limits.h>
#include <string.h>

static int parse(aval__arena *arena, const unsigned char *bytes, size_t count, aval_tensor *shape, const void **data)
{
    return aval__npy_is(bytes, count) ? aval__npy_parse(bytes, count, shape, data)
                                      : aval__onnx_tensor_parse(arena, bytes, count, shape, data);
}

static int check_size(const aval_array *array)
{
    if (array->size == sizeof *array) return AVAL_OK;
    return aval__fail(AVAL_E_ARGUMENT, "array->size is %zu, expected %zu", array->size, sizeof *array);
}

int aval_array_read(const char *file, aval_array *array)
{
    AVAL__NEED(file, "a file name");
    AVAL__NEED(array, "a place for the array");
    AVAL__TRY(check_size(array));
    int status = AVAL_OK;
    unsigned char *bytes = NULL;
    size_t count = 0;
    aval__arena arena = { 0 };
    aval_tensor shape;
    const void *data;
    AVAL__TRY_DONE(aval__file_read(file, SIZE_MAX - 1, &bytes, &count));
    AVAL__TRY_DONE(parse(&arena, bytes, count, &shape, &data));
    *array = (aval_array){ .size = sizeof *array, .type = shape.type, .rank = (size_t)shape.rank, .bytes = aval__tensor_bytes(&shape) };
    memcpy(array->dims, shape.dims, sizeof shape.dims);
    array->data = aval__alloc(array->bytes + 1);
    if (!array->data) AVAL__TRY_DONE(AVAL_E_MEMORY);
    memcpy(array->data, data, array->bytes);
done:
    if (status < 0) aval__fail_in(status, "'%s'", file);
    aval__free(bytes);
    aval__arena_release(&arena);
    return status;
}

int aval_array_write(const char *file, const aval_array *array)
{
    AVAL__NEED(file, "a file name");
    AVAL__NEED(array, "an array");
    AVAL__TRY(check_size(array));
    aval_tensor shape;
    AVAL__TRY(aval__tensor_set(&shape, array->type, array->rank, array->dims));
    if (array->bytes != aval__tensor_bytes(&shape) || (!array->data && array->bytes > 0))
        return aval__fail(AVAL_E_ARGUMENT, "an array of %zu bytes was expected, found %zu", aval__tensor_bytes(&shape),
                          array->data ? array->bytes : 0);
    return aval__npy_write(file, &shape, array->data);
}
