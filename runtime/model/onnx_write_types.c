/* Tensors, types and names of dimensions as messages of onnx.proto. */
#include "model/onnx_write.h"

#include <string.h>

onnx_tensor *onnx_write_tensor(onnx_writer *w, const aval_tensor *shape, const void *data)
{
    onnx_tensor *t = aval__arena_alloc(&w->file->arena, sizeof *t);
    if (!t) return NULL;
    aval__onnx__tensor__init(t);
    t->data_type = shape->type;
    t->has_data_type = 1;
    t->dims = (int64_t *)(uintptr_t)shape->dims;
    t->n_dims = (size_t)shape->rank;
    t->raw_data = (ProtobufCBinaryData){ .len = aval__tensor_bytes(shape), .data = (uint8_t *)(uintptr_t)data };
    t->has_raw_data = 1;
    return t;
}

static int write_dim(onnx_writer *w, const char *axis, int64_t size, Aval__Onnx__Dimension **out)
{
    Aval__Onnx__Dimension *d = aval__arena_alloc(&w->file->arena, sizeof *d);
    if (!d || !axis) return AVAL_E_MEMORY;
    aval__onnx__dimension__init(d);
    d->has_dim_value = size >= 0;
    if (size >= 0) d->dim_value = size;
    else d->dim_param = (char *)(uintptr_t)axis;
    *out = d;
    return AVAL_OK;
}

static int write_shape(onnx_writer *w, const char *name, const aval_tensor *t, const onnx_axes *axes, Aval__Onnx__TensorType *out)
{
    Aval__Onnx__Shape *shape = aval__arena_alloc(&w->file->arena, sizeof *shape);
    Aval__Onnx__Dimension **dims = aval__arena_alloc(&w->file->arena, (AVAL_MAX_RANK + 1) * sizeof *dims);
    if (!shape || !dims) return AVAL_E_MEMORY;
    aval__onnx__shape__init(shape);
    shape->dim = dims;
    shape->n_dim = (size_t)t->rank;
    for (int32_t i = 0; i < t->rank; i++) {
        const char *axis = axes && axes->at[i] ? axes->at[i] : onnx_axis_name(w, NULL, name, i);
        AVAL__TRY(write_dim(w, axis, t->dims[i], &dims[i]));
    }
    out->shape = shape;
    return AVAL_OK;
}

int onnx_write_type(onnx_writer *w, const char *name, const aval_tensor *t, const onnx_axes *axes, onnx_info **out)
{
    onnx_info *info = aval__arena_alloc(&w->file->arena, sizeof *info);
    if (!info) return AVAL_E_MEMORY;
    aval__onnx__value_info__init(info);
    info->name = (char *)(uintptr_t)name;
    *out = info;
    if (t->type == AVAL_NONE) return AVAL_OK;
    Aval__Onnx__Type *type = aval__arena_alloc(&w->file->arena, sizeof *type);
    Aval__Onnx__TensorType *tensor = aval__arena_alloc(&w->file->arena, sizeof *tensor);
    if (!type || !tensor) return AVAL_E_MEMORY;
    aval__onnx__type__init(type);
    aval__onnx__tensor_type__init(tensor);
    tensor->elem_type = t->type;
    tensor->has_elem_type = 1;
    type->tensor_type = tensor;
    info->type = type;
    return t->rank < 0 ? AVAL_OK : write_shape(w, name, t, axes, tensor);
}
