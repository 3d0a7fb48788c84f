/* What indices name, as kernels/index.clh has it: rows of data [outer, rows, inner], one for each of `count` indices (or tuples of them).
 * The host's own form of it, for references, and the launches. */
#ifndef AVAL_PLUGINS_INDEX_H
#define AVAL_PLUGINS_INDEX_H

#include "sort.h"

#include <string.h>

#define INDEX_TYPES (AVAL_TYPE_SET(AVAL_INT32) | AVAL_TYPE_SET(AVAL_INT64))

typedef enum index_form {
    INDEX_AXIS, /* Gather: rows along an axis */
    INDEX_ELEMENTS, /* GatherElements: an index for each element */
    INDEX_TUPLES /* GatherND: several indices together name a slice */
} index_form;

static const char *const index_forms[] = { "axis", "elements", "tuples" };

/* Axes are right-aligned, as in kernels/index.clh. */
typedef struct index_map {
    index_form form;
    int64_t outer, rows, inner, count;
    int64_t dims[8], strides[8];
    int64_t length, step, per_batch, batch_rows;
    int first, depth;
} index_map;

static inline int64_t index_bounded(int64_t index, int64_t length)
{
    if (index < 0) index += length;
    return index >= 0 && index < length ? index : -1;
}

/* The row that index (tuple) i names, -1: out of range. */
static inline int64_t index_row(const index_map *m, const int64_t *indices, int64_t i)
{
    int64_t row = 0, rest = i;
    if (m->form == INDEX_AXIS) return index_bounded(indices[i], m->rows);
    if (m->form == INDEX_ELEMENTS) {
        int64_t index = index_bounded(indices[i], m->length);
        row = index * m->step;
        for (int a = 7; a >= m->first; rest /= m->dims[a--]) row += rest % m->dims[a] * m->strides[a];
        return index < 0 ? -1 : row;
    }
    for (int k = 0; k < m->depth; k++) {
        int64_t index = index_bounded(indices[i * m->depth + k], m->dims[k]);
        row = index < 0 || row < 0 ? -1 : row + index * m->strides[k];
    }
    return row < 0 ? -1 : i / m->per_batch * m->batch_rows + row;
}

static inline int index_along_axis(const aval_host *host, aval_call *call, const aval_tensor *indices, const int64_t *dims, uint32_t rank,
                                   index_map *m)
{
    int64_t axis = aval_axis(host->attr_int(call, "axis"), rank);
    if (axis < 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute axis is %lld, out of range for %u axes",
                          (long long)host->attr_int(call, "axis"), (unsigned)rank);
    *m = (index_map){ .form = INDEX_AXIS, .count = host->count(indices) };
    m->outer = product(dims, (size_t)axis);
    m->rows = dims[axis];
    m->inner = product(dims + axis + 1, rank - (size_t)axis - 1);
    return 0;
}

static inline int index_elements(const aval_host *host, aval_call *call, const aval_tensor *indices, const int64_t *dims, uint32_t rank,
                                 index_map *m)
{
    int64_t axis = aval_axis(host->attr_int(call, "axis"), rank), stride = 1;
    if (axis < 0 || host->rank(indices) != rank)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "attribute axis is %lld, and indices have %u axes: expected an axis of the data's %u",
                          (long long)host->attr_int(call, "axis"), (unsigned)host->rank(indices), (unsigned)rank);
    *m = (index_map){ .form = INDEX_ELEMENTS, .outer = 1, .rows = product(dims, rank), .inner = 1, .count = host->count(indices) };
    m->first = 8 - (int)rank;
    for (int i = 0; i < 8; i++) m->dims[i] = 1;
    for (uint32_t i = rank; i-- > 0; stride *= dims[i]) {
        int at = (int)i + 8 - (int)rank;
        m->dims[at] = host->dims(indices)[i];
        m->strides[at] = i == axis ? 0 : stride;
        if (i == axis) m->step = stride;
        else if (m->dims[at] > dims[i])
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "indices have length %lld at axis %u, expected at most the data's %lld",
                              (long long)m->dims[at], (unsigned)i, (long long)dims[i]);
    }
    m->length = dims[axis];
    return 0;
}

static inline int index_tuples(const aval_host *host, aval_call *call, const aval_tensor *indices, const int64_t *dims, uint32_t rank,
                               int64_t batch_dims, index_map *m)
{
    uint32_t n = host->rank(indices);
    const int64_t *of = host->dims(indices);
    int64_t depth = n == 0 ? 0 : of[n - 1], stride = 1;
    if (n == 0 || batch_dims < 0 || batch_dims >= n || depth < 1 || depth > (int64_t)rank - batch_dims)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "indices have %u axes and tuples of %lld, expected tuples of 1 to %lld for data with %u axes, %lld of batches",
                          (unsigned)n, (long long)depth, (long long)((int64_t)rank - batch_dims), (unsigned)rank, (long long)batch_dims);
    for (int64_t i = 0; i < batch_dims; i++)
        if (of[i] != dims[i])
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "indices have length %lld at batch axis %lld, expected the data's %lld",
                              (long long)of[i], (long long)i, (long long)dims[i]);
    *m = (index_map){ .form = INDEX_TUPLES, .outer = 1, .depth = (int)depth, .count = product(of, n - 1) };
    for (int64_t k = depth; k-- > 0; stride *= dims[batch_dims + k]) {
        m->dims[k] = dims[batch_dims + k];
        m->strides[k] = stride;
    }
    m->batch_rows = stride;
    m->rows = stride * product(dims, (size_t)batch_dims);
    m->inner = product(dims + batch_dims + depth, rank - (size_t)(batch_dims + depth));
    m->per_batch = product(of + batch_dims, n - 1 - (size_t)batch_dims);
    if (m->per_batch < 1) m->per_batch = 1; /* there is nothing to divide then */
    return 0;
}

/* ---- With kernels/scatter.cl ------------------------------------------------------------------------------------------------------------ */

/* The indices as keys, sorted; s_type is that of the op's other launches. */
static inline int index_sort(const aval_host *host, aval_call *call, const index_map *m, const aval_tensor *indices, uint32_t s_type,
                             sorting *s)
{
    if (m->rows >= INT32_MAX || m->count >= INT32_MAX)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "%lld rows and %lld indices: expected fewer than 2^31 each", (long long)m->rows,
                          (long long)m->count);
    *s = (sorting){ .n = m->count, .s_type = s_type, .i_type = (uint32_t)host->type(indices) };
    const aval_tensor *keys = host->scratch(call, AVAL_UINT32, m->count);
    uint32_t group = host->device(call)->group;
    if (m->form == INDEX_AXIS)
        TRY(host->launch(call, AVAL_LAUNCH(.kernel = "axis_keys", EACH(m->count), .s_type = s->s_type, .i_type = s->i_type,
                                           AVAL_DEFINES({ "WG", group }),
                                           AVAL_ARGS(AVAL_READ(indices), AVAL_WRITE(keys), AVAL_I64(m->count), AVAL_I64(m->rows)))));
    else if (m->form == INDEX_ELEMENTS)
        TRY(host->launch(
            call,
            AVAL_LAUNCH(.kernel = "element_keys", EACH(m->count), .s_type = s->s_type, .i_type = s->i_type, AVAL_DEFINES({ "WG", group }),
                        AVAL_ARGS(AVAL_READ(indices), AVAL_WRITE(keys), AVAL_I64(m->count), AVAL_I64(m->rows), AVAL_I32(m->first),
                                  AVAL_I64(m->length), AVAL_I64(m->step), EIGHT(m->dims), EIGHT(m->strides)))));
    else
        TRY(host->launch(
            call,
            AVAL_LAUNCH(.kernel = "tuple_keys", EACH(m->count), .s_type = s->s_type, .i_type = s->i_type, AVAL_DEFINES({ "WG", group }),
                        AVAL_ARGS(AVAL_READ(indices), AVAL_WRITE(keys), AVAL_I64(m->count), AVAL_I64(m->rows), AVAL_I64(m->per_batch),
                                  AVAL_I64(m->batch_rows), AVAL_I32(m->depth), EIGHT(m->dims), EIGHT(m->strides)))));
    return sort_keys(host, call, keys, m->rows, s);
}

#endif
