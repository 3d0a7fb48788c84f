/* What the plugins of reductions share: which axes are reduced, how they merge, and the shape of the result. */
#ifndef AVAL_PLUGINS_REDUCTION_H
#define AVAL_PLUGINS_REDUCTION_H

#include "support.h"

#define SIDES 4 /* most kept, or reduced, axes after merging: kinds alternate over at most AVAL_MAX_RANK axes */

/* Axes of one kind after merging, right-aligned: unused leading ones have length 1. */
typedef struct axis_set {
    int64_t lengths[SIDES], strides[SIDES], count;
} axis_set;

typedef struct reduction {
    int reduced[AVAL_MAX_RANK];
    uint32_t rank;
    axis_set over, kept;
} reduction;

static inline void add_axis(axis_set *set, int merge, int64_t length, int64_t stride)
{
    if (merge) {
        set->lengths[SIDES - 1] *= length;
        set->strides[SIDES - 1] = stride;
    } else {
        for (int i = 0; i < SIDES - 1; i++) {
            set->lengths[i] = set->lengths[i + 1];
            set->strides[i] = set->strides[i + 1];
        }
        set->lengths[SIDES - 1] = length;
        set->strides[SIDES - 1] = stride;
    }
    set->count *= length;
}

static inline int mark_reduced(const aval_host *host, aval_call *call, reduction *r, const char *where, const int64_t *axes, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t axis = aval_axis(axes[i], r->rank);
        if (axis < 0)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "%s axes: axis %lld is out of range for %u axes", where, (long long)axes[i],
                              (unsigned)r->rank);
        r->reduced[axis] = 1;
    }
    return 0;
}

/* Which axes are reduced: those of input 1; all where it is absent or empty, unless noop_with_empty_axes. */
static inline int read_axes(const aval_host *host, aval_call *call, reduction *r)
{
    const aval_tensor *x = host->input(call, 0), *axes = host->n_inputs(call) > 1 ? host->input(call, 1) : NULL;
    r->rank = host->rank(x);
    int64_t n = axes == NULL ? 0 : host->count(axes);
    for (uint32_t i = 0; i < r->rank; i++) r->reduced[i] = n == 0 && !host->attr_int(call, "noop_with_empty_axes");
    if (n == 0) return 0;
    const int64_t *content = host->content(call, 1);
    if (content == NULL) return host->fail(call, AVAL_NEEDS_CONTENT, "input axes: its content is not known when shapes are worked out");
    return mark_reduced(host, call, r, "input", content, n);
}

static inline int plan_reduction(const aval_host *host, aval_call *call, reduction *r)
{
    TRY(read_axes(host, call, r));
    const int64_t *dims = host->dims(host->input(call, 0));
    r->over = r->kept = (axis_set){ { 1, 1, 1, 1 }, { 0, 0, 0, 0 }, 1 };
    int64_t stride = product(dims, r->rank);
    int last = -1;
    for (uint32_t i = 0; i < r->rank; i++) {
        stride = dims[i] == 0 ? 0 : stride / dims[i];
        if (dims[i] == 1) continue;
        add_axis(r->reduced[i] ? &r->over : &r->kept, last == r->reduced[i], dims[i], stride);
        last = r->reduced[i];
    }
    return 0;
}

static inline int set_reduced_shape(const aval_host *host, aval_call *call, const reduction *r)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t dims[AVAL_MAX_RANK];
    uint32_t rank = 0;
    for (uint32_t i = 0; i < r->rank; i++) {
        if (!r->reduced[i]) dims[rank++] = host->dims(x)[i];
        else if (host->attr_int(call, "keepdims")) dims[rank++] = 1;
    }
    return host->set_output(call, 0, host->type(x), rank, dims);
}

static inline int reduce_infer(const aval_host *host, aval_call *call)
{
    reduction r;
    TRY(read_axes(host, call, &r));
    return set_reduced_shape(host, call, &r);
}

/* A tensor of the result's shape with the reduced axes back in place, each of length 1. */
static inline int with_axes_kept(const aval_host *host, aval_call *call, const reduction *r, const aval_tensor *t, const aval_tensor **out)
{
    const int64_t *dims = host->dims(host->input(call, 0));
    int64_t ones[AVAL_MAX_RANK];
    for (uint32_t i = 0; i < r->rank; i++) ones[i] = r->reduced[i] ? 1 : dims[i];
    *out = t;
    return host->rank(t) == r->rank ? 0 : reshaped(host, call, t, r->rank, ones, out);
}

/* ---- Forms before opset 13 (ReduceSum) and 18 (the others): axes are an attribute ------------------------------------------------------- */

static inline int older_reduce_infer(const aval_host *host, aval_call *call)
{
    reduction r = { .rank = host->rank(host->input(call, 0)) };
    size_t n;
    const int64_t *axes = host->attr_ints(call, "axes", &n);
    for (uint32_t i = 0; i < r.rank; i++) r.reduced[i] = n == 0;
    TRY(mark_reduced(host, call, &r, "attribute", axes, (int64_t)n));
    return set_reduced_shape(host, call, &r);
}

static inline int older_reduce_body(const aval_host *host, aval_call *call, const char *op)
{
    size_t n;
    const int64_t *axes = host->attr_ints(call, "axes", &n);
    const aval_tensor *inputs[] = { host->input(call, 0), n == 0 ? NULL : constant_ints(host, call, axes, n) }, *y;
    text attrs = { 0 };
    text_int(&attrs, "keepdims", host->attr_int(call, "keepdims"));
    TRY(host->apply(call, op, attrs.at, n == 0 ? 1 : 2, inputs, 1, &y));
    return host->yield(call, 0, y);
}

/* ---- Rows of the families' tables -------------------------------------------------------------------------------------------------------- */

#define KEEPDIMS \
    { \
        .name = "keepdims", .type = AVAL_ATTR_INT, .initial = "1", .doc = "1: reduced axes stay, with length 1" \
    }
#define REDUCTION(op_name, op_version, element_types, data_flags) \
    .size = sizeof(aval_op), .name = op_name, .since = op_version, .deterministic = 1, .infer = reduce_infer, \
    .inputs = AVAL_PORTS({ .name = "data", .flags = data_flags, .types = element_types }, \
                         { .name = "axes", .flags = AVAL_OPTIONAL | AVAL_SHAPE_INPUT, .types = AVAL_TYPE_SET(AVAL_INT64) }), \
    .outputs = AVAL_PORTS({ .name = "reduced", .types = element_types }), .zero_gradient = 2, \
    .attrs = AVAL_ATTRS( \
        KEEPDIMS, { .name = "noop_with_empty_axes", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: no axes means none, not all" })

/* The older form of `op_name` as a variable of its own. */
#define OLDER_REDUCTION(variable, op_name, element_types, range_low, range_high) \
    static int variable##_body(const aval_host *host, aval_call *call) \
    { \
        return older_reduce_body(host, call, op_name); \
    } \
    static const aval_op variable = { \
        .size = sizeof(aval_op), \
        .name = op_name, \
        .since = 1, \
        .deterministic = 1, \
        .doc = "The form of opset 1, whose axes are an attribute.", \
        .inputs = AVAL_PORTS({ .name = "data", .types = element_types }), \
        .outputs = AVAL_PORTS({ .name = "reduced", .types = element_types }), \
        .attrs = AVAL_ATTRS({ .name = "axes", .type = AVAL_ATTR_INTS, .doc = "the axes; all without it" }, KEEPDIMS), \
        .infer = older_reduce_infer, \
        .body = variable##_body, \
        .samples = AVAL_SAMPLES( \
            { .inputs = "[3,5]", .attrs = "axes=[1]", .low = range_low, .high = range_high, .flags = AVAL_DISTINCT }, \
            { .inputs = "[2,3,4]", .attrs = "axes=[0,-1] keepdims=0", .low = range_low, .high = range_high, .flags = AVAL_DISTINCT }, \
            { .inputs = "[3,5]", .low = range_low, .high = range_high, .flags = AVAL_DISTINCT }), \
    }

#define REDUCTION_SHAPES(range_low, range_high, extra_flags) \
    { .inputs = "[3,5] i64[1]{1}", .low = (range_low), .high = (range_high), .flags = (extra_flags) }, \
        { .inputs = "[3,5] i64[1]{0}", .low = (range_low), .high = (range_high), .flags = (extra_flags) }, \
        { .inputs = "[3,5]", .low = (range_low), .high = (range_high), .flags = (extra_flags) }, \
        { .inputs = "[3,5]", .attrs = "noop_with_empty_axes=1", .low = (range_low), .high = (range_high), .flags = (extra_flags) }, \
        { .inputs = "[2,3,4,5] i64[2]{0,-1}", .attrs = "keepdims=0", .low = (range_low), .high = (range_high), .flags = (extra_flags) }, \
        { .inputs = "[2,3,4,5] i64[2]{1,3}", .low = (range_low), .high = (range_high), .flags = (extra_flags) }, \
        { .inputs = "[2,1,3,2,1,2,3,2] i64[4]{0,2,4,6}", \
          .attrs = "keepdims=0", \
          .low = (range_low), \
          .high = (range_high), \
          .flags = (extra_flags) }, \
        { .inputs = "[1]", .low = (range_low), .high = (range_high) }, { .inputs = "[]", .low = (range_low), .high = (range_high) }, \
    { \
        .inputs = "[0,3] i64[1]{1}" \
    }

#endif
