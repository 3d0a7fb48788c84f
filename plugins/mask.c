/* Operators that choose elements by their place: Trilu, OneHot.  Both compare an index with counting numbers, so that they fuse with what
 * stands around them. */
#include "support.h"

/* ---- Trilu -------------------------------------------------------------------------------------------------------------------------- */

static int trilu_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *k = host->input(call, 1);
    if (host->rank(x) < 2) return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input has %u axes, expected 2 or more", (unsigned)host->rank(x));
    if (k != NULL && host->count(k) != 1)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input k has %lld elements, expected 1", (long long)host->count(k));
    return aval_infer_like(host, call, 0, 0);
}

/* Row and column decide: zero where the column is left of (upper), or right of (lower), the diagonal, which is at row + k. */
static int trilu_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *k = host->input(call, 1), *sides[2], *choice[3];
    uint32_t rank = host->rank(x);
    const int64_t *dims = host->dims(x);
    text zero = { 0 };
    TRY(counting(host, call, 0, dims[rank - 1], 2, 1, &sides[0]));
    TRY(counting(host, call, 0, dims[rank - 2], 2, 0, &sides[1]));
    if (k != NULL) {
        TRY(reshaped(host, call, k, 0, NULL, &k));
        TRY(host->apply(call, "Add", NULL, 2, (const aval_tensor *const[]){ sides[1], k }, 1, &sides[1]));
    }
    TRY(host->apply(call, host->attr_int(call, "upper") ? "Less" : "Greater", NULL, 2, sides, 1, &choice[0]));
    text_int(&zero, "type", host->type(x));
    TRY(host->apply(call, "aval::Fill", zero.at, 0, NULL, 1, &choice[1]));
    choice[2] = x;
    TRY(host->apply(call, "Where", NULL, 3, choice, 1, &x));
    return host->yield(call, 0, x);
}

/* ---- OneHot ------------------------------------------------------------------------------------------------------------------------- */

static int onehot_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *indices = host->input(call, 0), *values = host->input(call, 2);
    uint32_t rank = host->rank(indices) + 1;
    int64_t axis = aval_axis(host->attr_int(call, "axis"), rank), dims[AVAL_MAX_RANK];
    double depth = 0;
    TRY(known_number(host, call, 1, "depth", &depth));
    if (axis < 0 || rank > AVAL_MAX_RANK)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute axis is %lld, and the result would have %u axes, expected at most %d",
                          (long long)host->attr_int(call, "axis"), (unsigned)rank, AVAL_MAX_RANK);
    if (host->count(values) != 2 || !(depth >= 0 && depth < 9e15))
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "input values has %lld elements and depth is %g, expected 2 and 0 or more",
                          (long long)host->count(values), depth);
    for (uint32_t i = 0, from = 0; i < rank; i++) dims[i] = i == axis ? (int64_t)depth : host->dims(indices)[from++];
    return host->set_output(call, 0, host->type(values), rank, dims);
}

/* Element i of the pair `values` as a scalar. */
static int take_value(const aval_host *host, aval_call *call, int64_t i, const aval_tensor **out)
{
    const int64_t end = i + 1;
    const aval_tensor *part[] = { host->input(call, 2), constant_ints(host, call, &i, 1), constant_ints(host, call, &end, 1) };
    TRY(host->apply(call, "Slice", NULL, 3, part, 1, out));
    return reshaped(host, call, *out, 0, NULL, out);
}

/* indices as int64, with an axis of length 1 where the result has the classes, and negative ones counted from the end. */
static int onehot_indices(const aval_host *host, aval_call *call, int64_t depth, int64_t axis, const aval_tensor **out)
{
    const aval_tensor *indices = host->input(call, 0), *y = host->output(call, 0), *negative[2], *choice[3];
    const int64_t zero = 0;
    int64_t dims[AVAL_MAX_RANK];
    for (uint32_t i = 0; i < host->rank(y); i++) dims[i] = i == axis ? 1 : host->dims(y)[i];
    if (host->type(indices) != AVAL_INT64) TRY(host->apply(call, "Cast", "to=7", 1, &indices, 1, &indices));
    TRY(reshaped(host, call, indices, host->rank(y), dims, &indices));
    negative[0] = indices;
    negative[1] = host->constant(call, AVAL_INT64, 0, NULL, &zero);
    TRY(host->apply(call, "Less", NULL, 2, negative, 1, &choice[0]));
    negative[1] = host->constant(call, AVAL_INT64, 0, NULL, &depth);
    TRY(host->apply(call, "Add", NULL, 2, negative, 1, &choice[1]));
    choice[2] = indices;
    return host->apply(call, "Where", NULL, 3, choice, 1, out);
}

static int onehot_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->output(call, 0), *sides[2], *choice[3];
    uint32_t rank = host->rank(y);
    int64_t axis = aval_axis(host->attr_int(call, "axis"), rank), depth = host->dims(y)[axis];
    TRY(onehot_indices(host, call, depth, axis, &sides[0]));
    TRY(counting(host, call, 0, depth, rank, (uint32_t)axis, &sides[1]));
    TRY(host->apply(call, "Equal", NULL, 2, sides, 1, &choice[0]));
    TRY(take_value(host, call, 1, &choice[1]));
    TRY(take_value(host, call, 0, &choice[2]));
    TRY(host->apply(call, "Where", NULL, 3, choice, 1, &y));
    return host->yield(call, 0, y);
}

static const aval_op trilu_op = {
    .size = sizeof(aval_op),
    .name = "Trilu",
    .since = 14,
    .deterministic = 1,
    .doc = "The upper, or lower, triangle of matrices; the rest is zero.",
    .inputs =
        AVAL_PORTS({ .name = "input", .types = AVAL_ANY }, { .name = "k", .flags = AVAL_OPTIONAL, .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_ANY }),
    .zero_gradient = 2,
    .attrs = AVAL_ATTRS({ .name = "upper", .type = AVAL_ATTR_INT, .initial = "1", .doc = "0: the lower triangle" }),
    .infer = trilu_infer,
    .body = trilu_body,
    .samples = AVAL_SAMPLES({ .inputs = "[4,5]" }, { .inputs = "[4,5] i64[]{-1}" }, { .inputs = "[2,4,3] i64[1]{1}", .attrs = "upper=0" },
                            { .inputs = "[3,3] i64[]{9}" }, { .inputs = "[0,3] i64[]{0}" }, { .inputs = "[1,1]", .attrs = "upper=0" },
                            { .inputs = "i64[2,2]{1,2,3,4}" }),
};
static const aval_op onehot_op = {
    .size = sizeof(aval_op),
    .name = "OneHot",
    .since = 9,
    .deterministic = 1,
    .doc = "values [off, on]: on where a class is the one that indices name, off elsewhere; off everywhere for an index out of range.",
    .inputs = AVAL_PORTS({ .name = "indices", .types = AVAL_NUMBERS },
                         { .name = "depth", .flags = AVAL_SHAPE_INPUT, .types = AVAL_NUMBERS }, { .name = "values", .types = AVAL_ANY }),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_ANY }),
    .zero_gradient = 3,
    .attrs = AVAL_ATTRS({ .name = "axis", .type = AVAL_ATTR_INT, .initial = "-1", .doc = "where the result has the axis of the classes" }),
    .infer = onehot_infer,
    .body = onehot_body,
    .samples =
        AVAL_SAMPLES({ .inputs = "i64[4]{0,2,-1,7} i64[]{5} [2]" }, { .inputs = "i32[2,2]{0,1,2,-3} i64[1]{3} [2]", .attrs = "axis=1" },
                     { .inputs = "f32[2]{1,0} f32[]{2} [2]{0,1}", .attrs = "axis=0" }, { .inputs = "i64[]{1} i64[]{3} i64[2]{5,7}" },
                     { .inputs = "i64[0] i64[]{3} [2]" }),
};

AVAL_PLUGIN("mask", "0.1.0", NULL, &trilu_op, &onehot_op)
