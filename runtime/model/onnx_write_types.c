/* Types of what goes into a model and comes out of it.  ONNX wants them said; below free dimensions aval knows them only once shapes are fed,
 * so they are inferred with numbers in place of what is free: dimensions that move with those are free too. */
#include "model/onnx_write.h"

#include <stdio.h>
#include <string.h>

static bool all_known(const aval__onnx_port *outputs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!aval__tensor_known(&outputs[i].value->tensor)) return false;
    return true;
}

/* Types of the outputs when each free dimension is `size`; false: nothing fits that size. */
static int infer_with(const aval_graph *g, const aval__onnx_port *outputs, size_t count, int64_t size, aval_tensor *types, bool *fits)
{
    aval_graph *copy = NULL;
    int status = AVAL_OK;
    aval_value **wanted = aval__alloc_array(count, sizeof(aval_value *));
    if (!wanted) return AVAL_E_MEMORY;
    AVAL__TRY_DONE(aval__graph_copy(g, &copy));
    for (size_t i = 0; i < copy->values.count; i++) {
        aval_value *value = copy->values.at[i];
        for (int32_t d = 0; value->kind == AVAL__INPUT && d < value->tensor.rank; d++)
            if (value->tensor.dims[d] < 0) value->tensor.dims[d] = size;
    }
    for (size_t i = 0; i < count; i++) wanted[i] = copy->values.at[outputs[i].value->id];
    status = aval__graph_infer(copy, wanted, count);
    *fits = status == AVAL_OK;
    for (size_t i = 0; i < count && *fits; i++) types[i] = wanted[i]->tensor;
    if (status != AVAL_E_MEMORY) status = AVAL_OK; /* a size that does not fit is no failure of writing */
done:
    aval_graph_release(copy);
    aval__free(wanted);
    return status;
}

static void free_what_moves(aval_tensor *type, const aval_tensor *other)
{
    if (type->rank != other->rank) type->rank = -1;
    for (int32_t d = 0; d < type->rank; d++)
        if (type->dims[d] != other->dims[d]) type->dims[d] = -1;
}

int aval__onnx_output_types(const aval_graph *g, const aval__onnx_port *outputs, size_t count, aval_tensor *types)
{
    static const int64_t sizes[] = { 8, 12, 1, 2, 16, 32, 64, 224, 3, 4 };
    int status = AVAL_OK;
    size_t fitted = 0;
    for (size_t i = 0; i < count; i++) types[i] = outputs[i].value->tensor;
    if (all_known(outputs, count)) return AVAL_OK;
    aval_tensor *found = aval__alloc_array(count, sizeof *found);
    if (!found) return AVAL_E_MEMORY;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes && fitted < 2 && status == AVAL_OK; s++) {
        bool fits = false;
        status = infer_with(g, outputs, count, sizes[s], found, &fits);
        for (size_t i = 0; i < count && fits; i++) {
            if (fitted == 0) types[i] = found[i];
            else free_what_moves(&types[i], &found[i]);
        }
        fitted += fits;
    }
    aval__free(found);
    return status;
}

/* ---- As messages ------------------------------------------------------------------------------------------------------------------------ */

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

static int write_dim(onnx_writer *w, const char *name, int32_t axis, int64_t size, Aval__Onnx__Dimension **out)
{
    Aval__Onnx__Dimension *d = aval__arena_alloc(&w->file->arena, sizeof *d);
    if (!d) return AVAL_E_MEMORY;
    aval__onnx__dimension__init(d);
    *out = d;
    if (size >= 0) {
        d->dim_value = size;
        d->has_dim_value = 1;
        return AVAL_OK;
    }
    aval__text text = { 0 };
    aval__text_add(&text, "%s.%d", name, (int)axis);
    d->dim_param = text.failed ? NULL : aval__arena_text(&w->file->arena, text.at);
    aval__text_release(&text);
    return d->dim_param ? AVAL_OK : AVAL_E_MEMORY;
}

static int write_shape(onnx_writer *w, const char *name, const aval_tensor *t, Aval__Onnx__TensorType *out)
{
    Aval__Onnx__Shape *shape = aval__arena_alloc(&w->file->arena, sizeof *shape);
    Aval__Onnx__Dimension **dims = aval__arena_alloc(&w->file->arena, (AVAL_MAX_RANK + 1) * sizeof *dims);
    if (!shape || !dims) return AVAL_E_MEMORY;
    aval__onnx__shape__init(shape);
    shape->dim = dims;
    shape->n_dim = (size_t)t->rank;
    for (int32_t i = 0; i < t->rank; i++) AVAL__TRY(write_dim(w, name, i, t->dims[i], &dims[i]));
    out->shape = shape;
    return AVAL_OK;
}

int onnx_write_type(onnx_writer *w, const char *name, const aval_tensor *t, onnx_info **out)
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
    return t->rank < 0 ? AVAL_OK : write_shape(w, name, t, tensor);
}
