/* Tensors on the host for the referee, which computes in double, and in int64 for integers and bools. */
#include "op/op.h"

static bool is_real(int type)
{
    return type >= 0 && type < AVAL_TYPES && (AVAL_TYPE_SET(type) & AVAL_REALS);
}

int aval__host_tensor_make(aval__host_tensor *t, const aval_tensor *shape)
{
    *t = (aval__host_tensor){ 0 };
    if (!aval__tensor_known(shape)) return aval__fail(AVAL_E_SHAPE, "expected a tensor whose shape is known, found a free one");
    size_t count = (size_t)aval__tensor_count(shape);
    if (is_real(shape->type)) t->real = aval__alloc_array(count, sizeof *t->real);
    else t->integer = aval__alloc_array(count, sizeof *t->integer);
    if (!t->real && !t->integer) return AVAL_E_MEMORY;
    t->tensor = *shape;
    return AVAL_OK;
}

void aval__host_tensor_release(aval__host_tensor *t)
{
    aval__free(t->real);
    aval__free(t->integer);
    *t = (aval__host_tensor){ 0 };
}

void aval__host_tensor_from(aval__host_tensor *t, const void *data)
{
    size_t count = (size_t)aval__tensor_count(&t->tensor);
    if (t->real) aval__convert(t->real, AVAL_DOUBLE, data, t->tensor.type, count);
    else aval__convert(t->integer, AVAL_INT64, data, t->tensor.type, count);
}

void aval__host_tensor_to(const aval__host_tensor *t, void *data)
{
    size_t count = (size_t)aval__tensor_count(&t->tensor);
    if (t->real) aval__convert(data, t->tensor.type, t->real, AVAL_DOUBLE, count);
    else aval__convert(data, t->tensor.type, t->integer, AVAL_INT64, count);
}
