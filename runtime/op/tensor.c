/* Shapes: sizes with overflow checked, and numpy's broadcasting rule. */
#include "op/op.h"

#include <inttypes.h>

bool aval__tensor_known(const aval_tensor *t)
{
    if (t->type == AVAL_NONE || t->rank < 0) return false;
    for (int32_t i = 0; i < t->rank; i++) {
        if (t->dims[i] < 0) return false;
    }
    return true;
}

int64_t aval__tensor_count(const aval_tensor *t)
{
    int64_t count = 1;
    for (int32_t i = 0; i < t->rank; i++) count *= t->dims[i];
    return count;
}

bool aval__tensor_same_shape(const aval_tensor *a, const aval_tensor *b)
{
    if (a->rank != b->rank) return false;
    for (int32_t i = 0; i < a->rank; i++) {
        if (a->dims[i] != b->dims[i]) return false;
    }
    return true;
}

size_t aval__tensor_bytes(const aval_tensor *t)
{
    return (size_t)aval__tensor_count(t) * aval_type_bytes(t->type);
}

/* Zero dimensions count as 1 here, so that any order of multiplication stays in range. */
static bool fits(size_t item_bytes, size_t rank, const int64_t *dims)
{
    uint64_t bytes = item_bytes;
    for (size_t i = 0; i < rank; i++) {
        uint64_t dim = dims[i] > 0 ? (uint64_t)dims[i] : 1;
        if (bytes > (uint64_t)INT64_MAX / dim) return false;
        bytes *= dim;
    }
    return true;
}

int aval__tensor_set(aval_tensor *t, int type, size_t rank, const int64_t *dims)
{
    if (aval_type_bytes(type) == 0) {
        return aval__fail(AVAL_E_TYPE, "expected an element type that a tensor can have, found number %d (%s)", type, aval_type_name(type));
    }
    if (rank > AVAL_MAX_RANK) return aval__fail(AVAL_E_SHAPE, "expected at most %d axes, found %zu", AVAL_MAX_RANK, rank);
    if (rank > 0 && !dims) return aval__fail(AVAL_E_ARGUMENT, "expected the lengths of %zu axes, found NULL", rank);
    for (size_t i = 0; i < rank; i++) {
        if (dims[i] < -1) {
            return aval__fail(AVAL_E_SHAPE, "expected axis %zu to have 0 or more elements, or -1 for a free size, found %" PRId64, i,
                              dims[i]);
        }
    }
    if (!fits(aval_type_bytes(type), rank, dims)) {
        return aval__fail(AVAL_E_SHAPE, "expected a tensor of fewer than 2^63 bytes, found a shape of %zu axes whose product is more",
                          rank);
    }
    aval_tensor set = { .type = (int32_t)type, .rank = (int32_t)rank };
    for (size_t i = 0; i < rank; i++) set.dims[i] = dims[i];
    *t = set;
    return AVAL_OK;
}

void aval__tensor_print(aval__text *text, const aval_tensor *t)
{
    aval__text_add(text, "%s", t->type == AVAL_NONE ? "?" : aval_type_name(t->type));
    if (t->rank < 0) {
        aval__text_add(text, "[...]");
        return;
    }
    aval__text_add(text, "[");
    for (int32_t i = 0; i < t->rank; i++) {
        if (i) aval__text_add(text, ",");
        if (t->dims[i] < 0) aval__text_add(text, "?");
        else aval__text_add(text, "%" PRId64, t->dims[i]);
    }
    aval__text_add(text, "]");
}

/* ---- Broadcasting ---------------------------------------------------------------------------------------------------------- */

static int fail_to_fit(const aval_tensor *a, const aval_tensor *b)
{
    aval__text text = { 0 };
    aval__tensor_print(&text, a);
    aval__text_add(&text, " and ");
    aval__tensor_print(&text, b);
    int status = text.failed ? AVAL_E_MEMORY
                             : aval__fail(AVAL_E_SHAPE,
                                          "shapes %s do not broadcast together: from the last axis on, sizes must be equal or 1", text.at);
    aval__text_release(&text);
    return status;
}

/* Size of the axis that is `from_end` axes before the last; 1 where the tensor has none. */
static int64_t size_from_end(const aval_tensor *t, int32_t from_end)
{
    return from_end < t->rank ? t->dims[t->rank - 1 - from_end] : 1;
}

int aval__broadcast(const aval_tensor *const *t, size_t n, size_t *rank, int64_t dims[AVAL_MAX_RANK])
{
    int32_t highest = 0;
    for (size_t i = 0; i < n; i++) {
        if (!t[i]) continue;
        if (t[i]->rank < 0) return aval__fail(AVAL_E_SHAPE, "the shape of input %zu is not known yet", i);
        if (t[i]->rank > highest) highest = t[i]->rank;
    }
    for (int32_t axis = 0; axis < highest; axis++) {
        int64_t size = 1;
        const aval_tensor *owner = NULL; /* of a size other than 1 and free */
        for (size_t i = 0; i < n; i++) {
            int64_t own = t[i] ? size_from_end(t[i], axis) : 1;
            if (own == 1) continue;
            if (own == -1) {
                if (!owner) size = -1; /* whatever is fed must be 1 or fit the others: checked when it is */
                continue;
            }
            if (owner && size != own) return fail_to_fit(owner, t[i]);
            owner = t[i];
            size = own;
        }
        dims[highest - 1 - axis] = size;
    }
    *rank = (size_t)highest;
    return AVAL_OK;
}

size_t aval__broadcast_axes(const aval_tensor *from, const aval_tensor *to, int64_t axes[AVAL_MAX_RANK])
{
    size_t count = 0;
    int32_t added = from->rank - to->rank;
    for (int32_t i = 0; i < from->rank; i++) {
        if (i < added || (to->dims[i - added] == 1 && from->dims[i] != 1)) axes[count++] = i;
    }
    return count;
}
