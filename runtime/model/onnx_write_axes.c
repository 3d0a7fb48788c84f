/* Shapes of what comes out of a model, and the names of their dimensions.  ONNX wants them said; below free dimensions aval knows them only
 * once shapes are fed, so they are inferred with numbers in place of what is free: dimensions that move with those are free too.  One that
 * moves with a dimension of an input alone, and as it does, has that one's name. */
#include "model/onnx_write.h"

#include <string.h>

/* A free dimension of an input. */
typedef struct free_axis {
    uint32_t value;
    int32_t axis;
    const char *name;
} free_axis;

/* Free dimensions are `size` while shapes are inferred, those of one name `other`. */
typedef struct trial {
    int64_t size, other;
    const char *name; /* NULL: none is told apart */
    const free_axis *axes;
    size_t n_axes;
} trial;

/* Different names of dimensions that are looked at: each costs an inference of all shapes. */
#define MOST_NAMES 16

static bool all_known(const aval__onnx_port *ports, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!aval__tensor_known(&ports[i].value->tensor)) return false;
    return true;
}

static void set_sizes(aval_graph *copy, const trial *t)
{
    for (size_t i = 0; i < copy->values.count; i++) {
        aval_value *value = copy->values.at[i];
        for (int32_t d = 0; value->kind == AVAL__INPUT && d < value->tensor.rank; d++)
            if (value->tensor.dims[d] < 0) value->tensor.dims[d] = t->size;
    }
    for (size_t i = 0; i < t->n_axes; i++) {
        const free_axis *axis = &t->axes[i];
        if (t->name && strcmp(axis->name, t->name) == 0) copy->values.at[axis->value]->tensor.dims[axis->axis] = t->other;
    }
}

/* Types of these values with such sizes; false: they do not fit. */
static int infer_with(const aval_graph *g, const aval__onnx_port *ports, size_t count, const trial *t, aval_tensor *types, bool *fits)
{
    aval_graph *copy = NULL;
    int status = AVAL_OK;
    aval_value **wanted = aval__alloc_array(count, sizeof(aval_value *));
    if (!wanted) return AVAL_E_MEMORY;
    AVAL__TRY_DONE(aval__graph_copy(g, &copy));
    set_sizes(copy, t);
    for (size_t i = 0; i < count; i++) wanted[i] = copy->values.at[ports[i].value->id];
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

/* `first` takes the types with the first size that fits, and `fitting` that size and a second one; 0: there is none. */
static int find_types(const aval_graph *g, const aval__onnx_port *ports, size_t count, aval_tensor *types, aval_tensor *first,
                      int64_t fitting[2])
{
    static const int64_t sizes[] = { 8, 12, 1, 2, 16, 32, 64, 224, 3, 4 };
    int status = AVAL_OK;
    size_t fitted = 0;
    fitting[0] = fitting[1] = 0;
    for (size_t i = 0; i < count; i++) types[i] = ports[i].value->tensor;
    if (all_known(ports, count)) return AVAL_OK;
    aval_tensor *found = aval__alloc_array(count, sizeof *found);
    if (!found) return AVAL_E_MEMORY;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes && fitted < 2 && status == AVAL_OK; s++) {
        bool fits = false;
        status = infer_with(g, ports, count, &(trial){ .size = sizes[s] }, found, &fits);
        for (size_t i = 0; i < count && fits; i++) {
            if (fitted == 0) types[i] = first[i] = found[i];
            else free_what_moves(&types[i], &found[i]);
        }
        if (fits) fitting[fitted++] = sizes[s];
    }
    aval__free(found);
    return status;
}

int aval__onnx_output_types(const aval_graph *g, const aval__onnx_port *outputs, size_t count, aval_tensor *types)
{
    int64_t fitting[2];
    aval_tensor *first = aval__alloc_array(count, sizeof *first);
    if (!first) return AVAL_E_MEMORY;
    int status = find_types(g, outputs, count, types, first, fitting);
    aval__free(first);
    return status;
}

/* ---- Names of dimensions ------------------------------------------------------------------------------------------------------------------- */

const char *onnx_axis_name(onnx_writer *w, const aval_value *value, const char *name, int32_t axis)
{
    size_t length = 0;
    const char *own = value ? aval__value_axis_name(value, axis, &length) : NULL;
    aval__text text = { 0 };
    if (length > 0) aval__text_add(&text, "%.*s", (int)length, own);
    else aval__text_add(&text, "%s.%d", name, (int)axis);
    const char *kept = text.failed ? NULL : aval__arena_text(&w->file->arena, text.at);
    aval__text_release(&text);
    return kept;
}

typedef AVAL__VEC(free_axis) free_axes;

static int find_free_axes(onnx_writer *w, free_axes *out)
{
    for (size_t i = 0; i < w->g->values.count; i++) {
        const aval_value *value = w->g->values.at[i];
        for (int32_t d = 0; value->kind == AVAL__INPUT && w->name_of[i] && d < value->tensor.rank; d++) {
            if (value->tensor.dims[d] >= 0) continue;
            const char *name = onnx_axis_name(w, value, w->name_of[i], d);
            if (!name) return AVAL_E_MEMORY;
            AVAL__TRY(aval__vec_push(out, (free_axis){ value->id, d, name }));
        }
    }
    return AVAL_OK;
}

static bool came_before(const free_axes *axes, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(axes->at[i].name, axes->at[index].name) == 0) return true;
    return false;
}

/* Gives the name of the trial to what moves with it. */
static void name_what_moves(const aval_tensor *type, const aval_tensor *first, const aval_tensor *found, const trial *t, onnx_axes *names)
{
    for (int32_t d = 0; d < type->rank && found->rank == type->rank; d++)
        if (type->dims[d] < 0 && !names->at[d] && first->dims[d] == t->size && found->dims[d] == t->other) names->at[d] = t->name;
}

static int name_axes(onnx_writer *w, const aval__onnx_port *ports, size_t count, const aval_tensor *types, const aval_tensor *first,
                     const int64_t fitting[2], onnx_axes *names)
{
    free_axes axes = { 0 };
    int status = AVAL_OK;
    aval_tensor *found = aval__alloc_array(count, sizeof *found);
    if (!found) AVAL__TRY_DONE(AVAL_E_MEMORY);
    AVAL__TRY_DONE(find_free_axes(w, &axes));
    for (size_t i = 0, tried = 0; i < axes.count && tried < MOST_NAMES; i++) {
        const trial t = { fitting[0], fitting[1], axes.at[i].name, axes.at, axes.count };
        bool fits = false;
        if (came_before(&axes, i)) continue;
        AVAL__TRY_DONE(infer_with(w->g, ports, count, &t, found, &fits));
        for (size_t p = 0; p < count && fits; p++) name_what_moves(&types[p], &first[p], &found[p], &t, &names[p]);
        tried++;
    }
done:
    aval__free(found);
    aval__vec_release(&axes);
    return status;
}

static bool all_named(size_t count, const aval_tensor *types, const onnx_axes *names)
{
    for (size_t i = 0; i < count; i++)
        for (int32_t d = 0; d < types[i].rank; d++)
            if (types[i].dims[d] < 0 && !names[i].at[d]) return false;
    return true;
}

/* The file that the model was read from may have called them something, and the inputs' names tell of the others. */
static int take_own_names(onnx_writer *w, const aval_value *value, const aval_tensor *type, onnx_axes *names)
{
    for (int32_t d = 0; d < type->rank; d++) {
        size_t length;
        (void)aval__value_axis_name(value, d, &length);
        if (type->dims[d] < 0 && length > 0 && !(names->at[d] = onnx_axis_name(w, value, "", d))) return AVAL_E_MEMORY;
    }
    return AVAL_OK;
}

int onnx_find_types(onnx_writer *w, const aval__onnx_port *ports, size_t count, aval_tensor *types, onnx_axes *names)
{
    int64_t fitting[2];
    int status = AVAL_OK;
    aval_tensor *first = aval__alloc_array(count, sizeof *first);
    if (!first) return AVAL_E_MEMORY;
    AVAL__TRY_DONE(find_types(w->g, ports, count, types, first, fitting));
    for (size_t i = 0; i < count; i++) {
        names[i] = (onnx_axes){ { NULL } };
        AVAL__TRY_DONE(take_own_names(w, ports[i].value, &types[i], &names[i]));
    }
    if (fitting[1] != 0 && !all_named(count, types, names)) AVAL__TRY_DONE(name_axes(w, ports, count, types, first, fitting, names));
done:
    aval__free(first);
    return status;
}
