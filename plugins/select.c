/* Which element: ArgMax, ArgMin, Hardmax, TopK.  Indices have no gradient; that of TopK's values goes back to where they came from. */
#include "support.h"

#include <stdlib.h>

#include "select.cl.h"

/* ---- ArgMax, ArgMin ---------------------------------------------------------------------------------------------------------------- */

static int check_axis(const aval_host *host, aval_call *call)
{
    uint32_t rank = host->rank(host->input(call, 0));
    if (aval_axis(host->attr_int(call, "axis"), rank) >= 0) return 0;
    return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute axis is %lld, out of range for %u axes",
                      (long long)host->attr_int(call, "axis"), (unsigned)rank);
}

static aval_split split(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    return aval_split_at(host, x, aval_axis(host->attr_int(call, "axis"), host->rank(x)));
}

static int arg_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t dims[AVAL_MAX_RANK];
    uint32_t rank = 0;
    TRY(check_axis(host, call));
    int64_t axis = aval_axis(host->attr_int(call, "axis"), host->rank(x));
    for (uint32_t i = 0; i < host->rank(x); i++) {
        if (i != axis) dims[rank++] = host->dims(x)[i];
        else if (host->attr_int(call, "keepdims")) dims[rank++] = 1;
    }
    if (host->dims(x)[axis] == 0 && product(dims, rank) > 0)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input data has no element along axis %lld, expected at least one", (long long)axis);
    return host->set_output(call, 0, AVAL_INT64, rank, dims);
}

static int record_arg(const aval_host *host, aval_call *call, int smallest)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    uint32_t group = host->device(call)->group;
    aval_split s = split(host, call);
    int last = host->attr_int(call, "select_last_index") != 0;
    const int64_t columns = group == 1 ? 16 : 1; /* as in select.cl */
    if (host->count(y) == 0) return 0;
    if (s.inner > 1 && s.length <= INT32_MAX)
        return host->launch(call, AVAL_LAUNCH(.kernel = "arg_columns", EACH(s.outer * ((s.inner + columns - 1) / columns)),
                                              AVAL_DEFINES({ "WG", group }),
                                              AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(y), AVAL_I64(s.outer), AVAL_I64(s.length),
                                                        AVAL_I64(s.inner), AVAL_I32(smallest), AVAL_I32(last))));
    return host->launch(call, AVAL_LAUNCH(.kernel = "arg_rows", BY_GROUPS(group, s.outer * s.inner),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(y), AVAL_I64(s.outer * s.inner), AVAL_I64(s.length),
                                                    AVAL_I64(s.inner), AVAL_I32(smallest), AVAL_I32(last))));
}

static int max_forward(const aval_host *host, aval_call *call)
{
    return record_arg(host, call, 0);
}

static int min_forward(const aval_host *host, aval_call *call)
{
    return record_arg(host, call, 1);
}

/* Reads element i of a tensor of any type as a double; int64 above 2^53 loses digits, which no sample has. */
static double element(const aval_host *host, aval_call *call, const aval_tensor *t, int64_t i)
{
    int floats = (AVAL_FLOATS & AVAL_TYPE_SET(host->type(t))) != 0;
    return floats ? host->real(call, t)[i] : (double)host->integer(call, t)[i];
}

static int arg_reference(const aval_host *host, aval_call *call, int smallest)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    aval_split s = split(host, call);
    int last = host->attr_int(call, "select_last_index") != 0;
    for (int64_t r = 0; r < host->count(y); r++) {
        int64_t at = r / s.inner * s.length * s.inner + r % s.inner, winner = 0;
        for (int64_t j = 1; j < s.length; j++) {
            double best = element(host, call, x, at + winner * s.inner), v = element(host, call, x, at + j * s.inner);
            int ties = v == best || (isnan(v) && isnan(best));
            if (ties ? last : !isnan(best) && (isnan(v) || (smallest ? v < best : v > best))) winner = j;
        }
        host->integer(call, y)[r] = winner;
    }
    return 0;
}

static int max_reference(const aval_host *host, aval_call *call)
{
    return arg_reference(host, call, 0);
}

static int min_reference(const aval_host *host, aval_call *call)
{
    return arg_reference(host, call, 1);
}

/* ---- Hardmax ----------------------------------------------------------------------------------------------------------------------- */

static int hardmax_infer(const aval_host *host, aval_call *call)
{
    TRY(check_axis(host, call));
    return aval_infer_like(host, call, 0, 0);
}

/* 0, 1, 2 ... along an axis of x, with length 1 along the others. */
static int count_along(const aval_host *host, aval_call *call, const aval_tensor *x, int64_t axis, const aval_tensor **out)
{
    int64_t dims[AVAL_MAX_RANK], length = host->dims(x)[axis], *numbers = malloc(((size_t)length + 1) * sizeof *numbers);
    *out = NULL;
    if (numbers == NULL) return host->fail(call, AVAL_PLUGIN_NO_MEMORY, "no memory for the numbers of %lld places", (long long)length);
    for (uint32_t i = 0; i < host->rank(x); i++) dims[i] = i == axis ? length : 1;
    for (int64_t i = 0; i < length; i++) numbers[i] = i;
    *out = host->constant(call, AVAL_INT64, host->rank(x), dims, numbers);
    free(numbers);
    return 0;
}

/* 1 where the place along the axis is ArgMax's. */
static int hardmax_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *places, *winner, *t;
    int64_t axis = aval_axis(host->attr_int(call, "axis"), host->rank(x));
    text attrs = { 0 }, type = { 0 };
    if (host->count(x) == 0) {
        TRY(host->apply(call, "Identity", NULL, 1, &x, 1, &t));
        return host->yield(call, 0, t);
    }
    text_int(&attrs, "axis", axis);
    text_int(&type, "to", host->type(x));
    TRY(host->apply(call, "ArgMax", attrs.at, 1, &x, 1, &winner));
    TRY(count_along(host, call, x, axis, &places));
    TRY(host->apply(call, "Equal", NULL, 2, (const aval_tensor *const[]){ places, winner }, 1, &t));
    TRY(host->apply(call, "Cast", type.at, 1, &t, 1, &t));
    return host->yield(call, 0, t);
}

/* The form before opset 13: axes from `axis` on are one. */
static int flat_hardmax_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *t;
    text attrs = { 0 };
    text_int(&attrs, "axis", aval_axis(host->attr_int(call, "axis"), host->rank(x)));
    TRY(host->apply(call, "Flatten", attrs.at, 1, &x, 1, &t));
    TRY(host->apply(call, "Hardmax", "axis=1", 1, &t, 1, &t));
    TRY(reshaped(host, call, t, host->rank(x), host->dims(x), &t));
    return host->yield(call, 0, t);
}

/* ---- TopK -------------------------------------------------------------------------------------------------------------------------- */

#define RUN 64 /* as in select.cl */

static int top_infer_k(const aval_host *host, aval_call *call, int64_t k)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t dims[AVAL_MAX_RANK];
    TRY(check_axis(host, call));
    int64_t axis = aval_axis(host->attr_int(call, "axis"), host->rank(x));
    for (uint32_t i = 0; i < host->rank(x); i++) dims[i] = host->dims(x)[i];
    if (k < 0 || k > dims[axis])
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "K is %lld, expected 0 to %lld, the length of axis %lld", (long long)k,
                          (long long)dims[axis], (long long)axis);
    if (dims[axis] > INT32_MAX)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "axis %lld has length %lld, more than 2^31 - 1", (long long)axis,
                          (long long)dims[axis]);
    dims[axis] = k;
    TRY(host->set_output(call, 0, host->type(x), host->rank(x), dims));
    return host->set_output(call, 1, AVAL_INT64, host->rank(x), dims);
}

static int top_infer(const aval_host *host, aval_call *call)
{
    const int64_t *k = host->content(call, 1);
    if (host->count(host->input(call, 1)) != 1)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input K has %lld elements, expected one",
                          (long long)host->count(host->input(call, 1)));
    if (k == NULL) return host->fail(call, AVAL_NEEDS_CONTENT, "input K: its content is not known when shapes are worked out");
    return top_infer_k(host, call, *k);
}

static int top_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *values = host->output(call, 0), *indices = host->output(call, 1), *places, *other;
    uint32_t group = host->device(call)->group;
    int largest = host->attr_int(call, "largest") != 0;
    aval_split s = split(host, call);
    int64_t rows = s.outer * s.inner, k = *(const int64_t *)host->content(call, 1);
    if (rows * k == 0) return 0;
    if (group == 1) {
        const int64_t chunk = chunk_of(host->device(call), rows, s.length);
        places = host->scratch(call, AVAL_INT32, rows * k);
        if (places == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for places");
        return host->launch(call,
                            AVAL_LAUNCH(.kernel = "select_first", BY_CHUNKS(host->device(call), rows, chunk),
                                        AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(places), AVAL_WRITE(values), AVAL_WRITE(indices), AVAL_I64(rows),
                                                  AVAL_I64(s.length), AVAL_I64(s.inner), AVAL_I64(k), AVAL_I32(largest), AVAL_I64(chunk))));
    }
    places = host->scratch(call, AVAL_INT32, rows * s.length);
    other = host->scratch(call, AVAL_INT32, s.length > RUN ? rows * s.length : 1);
    if (places == NULL || other == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for places");
    TRY(host->launch(call, AVAL_LAUNCH(.kernel = "sort_runs", EACH(rows * s.length), AVAL_DEFINES({ "WG", group }),
                                       AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(places), AVAL_I64(rows), AVAL_I64(s.length), AVAL_I64(s.inner),
                                                 AVAL_I32(largest)))));
    for (int64_t width = RUN; width < s.length; width *= 2) {
        TRY(host->launch(call, AVAL_LAUNCH(.kernel = "merge_runs", EACH(rows * s.length), AVAL_DEFINES({ "WG", group }),
                                           AVAL_ARGS(AVAL_READ(x), AVAL_READ(places), AVAL_WRITE(other), AVAL_I64(rows), AVAL_I64(s.length),
                                                     AVAL_I64(s.inner), AVAL_I64(width), AVAL_I32(largest)))));
        const aval_tensor *sorted = other;
        other = places;
        places = sorted;
    }
    return host->launch(call, AVAL_LAUNCH(.kernel = "take_first", EACH(rows * k), AVAL_DEFINES({ "WG", group }),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_READ(places), AVAL_WRITE(values), AVAL_WRITE(indices),
                                                    AVAL_I64(rows), AVAL_I64(s.length), AVAL_I64(s.inner), AVAL_I64(k))));
}

static int top_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *dx = host->gradient(call, 0), *g = host->upstream(call, 0), *indices = host->output(call, 1);
    aval_split s = split(host, call);
    int64_t rows = s.outer * s.inner, k = rows == 0 ? 0 : host->count(indices) / rows;
    TRY(host->fill(call, dx, 0));
    if (rows * k == 0 || g == NULL) return 0;
    return host->launch(call, AVAL_LAUNCH(.kernel = "take_backward", EACH(rows * k), AVAL_DEFINES({ "WG", host->device(call)->group }),
                                          AVAL_ARGS(AVAL_READ(g), AVAL_READ(indices), AVAL_UPDATE(dx), AVAL_I64(rows), AVAL_I64(s.length),
                                                    AVAL_I64(s.inner), AVAL_I64(k))));
}

/* Whether element a stands before element b. */
static int stands_before(double a, int64_t place_a, double b, int64_t place_b, int largest)
{
    if (isnan(a) != isnan(b)) return largest ? isnan(a) : isnan(b);
    if (a == b || isnan(a)) return place_a < place_b;
    return largest ? a > b : a < b;
}

/* A row's elements, of either kind, asked of the host once: a check takes this reference for each difference. */
typedef struct row {
    const double *real; /* NULL: integers */
    const int64_t *integer;
    int64_t length, step;
    int largest;
} row;

static double row_value(const row *x, int64_t i)
{
    return x->real != NULL ? x->real[i * x->step] : (double)x->integer[i * x->step];
}

/* The first of those that stand behind `last` (-1: of all). */
static int64_t next_of(const row *x, int64_t last)
{
    const double bound = last < 0 ? 0 : row_value(x, last);
    double best = 0;
    int64_t first = -1;
    for (int64_t i = 0; i < x->length; i++) {
        double v = row_value(x, i);
        if (last >= 0 && !stands_before(bound, last, v, i, x->largest)) continue;
        if (first >= 0 && !stands_before(v, i, best, first, x->largest)) continue;
        first = i;
        best = v;
    }
    return first;
}

static int top_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *values = host->output(call, 0), *indices = host->output(call, 1);
    const int floats = (AVAL_FLOATS & AVAL_TYPE_SET(host->type(x))) != 0;
    const double *real = floats ? host->real(call, x) : NULL;
    const int64_t *integer = floats ? NULL : host->integer(call, x);
    aval_split s = split(host, call);
    int64_t k = *host->integer(call, host->input(call, 1));
    for (int64_t r = 0; r < s.outer * s.inner; r++) {
        int64_t from = r / s.inner * s.length * s.inner + r % s.inner, last = -1;
        const row elements = { floats ? real + from : NULL, floats ? NULL : integer + from, s.length, s.inner,
                               host->attr_int(call, "largest") != 0 };
        for (int64_t j = 0; j < k; j++) {
            int64_t to = r / s.inner * k * s.inner + j * s.inner + r % s.inner;
            last = next_of(&elements, last);
            if (indices != NULL) host->integer(call, indices)[to] = last;
            if (values != NULL && floats) host->real(call, values)[to] = elements.real[last * s.inner];
            if (values != NULL && !floats) host->integer(call, values)[to] = elements.integer[last * s.inner];
        }
    }
    return 0;
}

/* The form before opset 10: k is an attribute. */
static int older_top_infer(const aval_host *host, aval_call *call)
{
    return top_infer_k(host, call, host->attr_int(call, "k"));
}

static int older_top_body(const aval_host *host, aval_call *call)
{
    const int64_t k = host->attr_int(call, "k");
    const aval_tensor *inputs[] = { host->input(call, 0), constant_ints(host, call, &k, 1) }, *outputs[2];
    text attrs = { 0 };
    text_int(&attrs, "axis", host->attr_int(call, "axis"));
    TRY(host->apply(call, "TopK", attrs.at, 2, inputs, 2, outputs));
    TRY(host->yield(call, 0, outputs[0]));
    return host->yield(call, 1, outputs[1]);
}

/* ---- The table --------------------------------------------------------------------------------------------------------------------- */

#define AXIS(default_axis) \
    { \
        .name = "axis", .type = AVAL_ATTR_INT, .initial = default_axis, .doc = "the axis along which elements are compared" \
    }
#define ARG(op_name, prefix, summary) \
    { \
        .size = sizeof(aval_op), .name = op_name, .since = 1, .deterministic = 1, .doc = summary, \
        .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_NUMBERS }), \
        .outputs = AVAL_PORTS({ .name = "reduced", .types = AVAL_TYPE_SET(AVAL_INT64) }), \
        .attrs = AVAL_ATTRS( \
            AXIS("0"), { .name = "keepdims", .type = AVAL_ATTR_INT, .initial = "1", .doc = "1: the axis stays, with length 1" }, \
            { .name = "select_last_index", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: the last at ties, else the first" }), \
        .infer = arg_infer, .forward = prefix##_forward, .reference = prefix##_reference, .zero_gradient = 1, \
        .samples = AVAL_SAMPLES( \
            { .inputs = "[3,5]" }, { .inputs = "[3,5]", .attrs = "axis=-1 keepdims=0" }, { .inputs = "[2,3,4]", .attrs = "axis=1" }, \
            { .inputs = "[2,6]{2,1,2,1,2,1,1,1,1,1,1,1}", .attrs = "axis=1", .why = "ties" }, \
            { .inputs = "[2,6]{2,1,2,1,2,1,1,1,1,1,1,1}", .attrs = "axis=1 select_last_index=1", .why = "ties" }, \
            { .inputs = "[2,2]{1,1,1,1}", .attrs = "select_last_index=1", .why = "ties" }, { .inputs = "[1]" }, \
            { .inputs = "[0,3]", .attrs = "axis=1" }, { .inputs = "i32[2,3]{1,2,3,4,5,-6}", .attrs = "axis=1", .why = "integers" }, \
            { .inputs = "[257,300]", .attrs = "axis=1", .size_class = AVAL_LARGE }, { .inputs = "[257,300]", .size_class = AVAL_LARGE }), \
    }

static const aval_op arg_max = ARG("ArgMax", max, "The place of the largest element along an axis.");
static const aval_op arg_min = ARG("ArgMin", min, "The place of the smallest element along an axis.");

#define HARDMAX(version, default_axis, body_function) \
    .size = sizeof(aval_op), .name = "Hardmax", .since = version, .deterministic = 1, .inputs = AVAL_PORTS({ .name = "input" }), \
    .outputs = AVAL_PORTS({ .name = "output" }), .attrs = AVAL_ATTRS(AXIS(default_axis)), .infer = hardmax_infer, .body = body_function, \
    .zero_gradient = 1, \
    .samples = AVAL_SAMPLES({ .inputs = "[3,5]" }, { .inputs = "[2,3,4]", .attrs = "axis=1" }, \
                            { .inputs = "[1,4]{3,3,3,1}", .why = "ties" }, { .inputs = "[0,3]" })

static const aval_op hardmax = { HARDMAX(13, "-1", hardmax_body), .doc = "1 at the first of the largest elements along an axis, else 0." };
static const aval_op flat_hardmax = { HARDMAX(1, "1", flat_hardmax_body), .doc = "Hardmax over all axes from `axis` on, before opset 13." };
static const aval_op top_k = {
    .size = sizeof(aval_op),
    .name = "TopK",
    .since = 10,
    .deterministic = 1,
    .doc = "The K largest or smallest elements along an axis, in order, and their places; the first comes first at ties.",
    .inputs =
        AVAL_PORTS({ .name = "X", .types = AVAL_NUMBERS }, { .name = "K", .flags = AVAL_SHAPE_INPUT, .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .outputs = AVAL_PORTS({ .name = "Values", .types = AVAL_NUMBERS }, { .name = "Indices", .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .attrs = AVAL_ATTRS(AXIS("-1"), { .name = "largest", .type = AVAL_ATTR_INT, .initial = "1", .doc = "0: the smallest" },
                        { .name = "sorted", .type = AVAL_ATTR_INT, .initial = "1", .doc = "they always come in order" }),
    .infer = top_infer,
    .forward = top_forward,
    .backward = top_backward,
    .reference = top_reference,
    .zero_gradient = 2,
    .keeps = AVAL_KEEP_OUTPUT(1),
    .subgradient = "the first winner at ties",
    .samples = AVAL_SAMPLES({ .inputs = "[3,5] i64[1]{2}", .flags = AVAL_DISTINCT },
                            { .inputs = "[3,5] i64[1]{5}", .attrs = "largest=0", .flags = AVAL_DISTINCT },
                            { .inputs = "[2,5,3] i64[1]{2}", .attrs = "axis=1 sorted=0", .flags = AVAL_DISTINCT },
                            { .inputs = "[1] i64[1]{1}" }, { .inputs = "[3,5] i64[1]{0}" }, { .inputs = "[0,3] i64[1]{2}" },
                            { .inputs = "i32[2,6]{2,1,2,1,2,1,1,1,1,1,1,1} i64[1]{4}", .why = "ties" },
                            { .inputs = "i64[2,3]{1,2,3,4,5,-6} i64[1]{2}", .why = "integers" },
                            { .inputs = "[1,150,2] i64[1]{30}",
                              .attrs = "axis=1",
                              .flags = AVAL_DISTINCT,
                              .why = "runs are merged, of which the last is short" },
                            { .inputs = "[2,1000]{0..4} i64[1]{20}", .flags = AVAL_DISTINCT, .why = "runs are merged" },
                            { .inputs = "[8,9001] i64[1]{2}", .flags = AVAL_DISTINCT, .size_class = AVAL_LARGE }),
};
static const aval_op older_top_k = {
    .size = sizeof(aval_op),
    .name = "TopK",
    .since = 1,
    .deterministic = 1,
    .doc = "The form before opset 10, whose k is an attribute.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Values" }, { .name = "Indices", .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .attrs = AVAL_ATTRS(AXIS("-1"), { .name = "k", .type = AVAL_ATTR_INT, .required = 1, .doc = "how many" }),
    .infer = older_top_infer,
    .body = older_top_body,
    .samples = AVAL_SAMPLES({ .inputs = "[3,5]", .attrs = "k=2", .flags = AVAL_DISTINCT }),
};

AVAL_PLUGIN("select", "0.1.0", AVAL_SOURCES({ "select.cl", select_cl }), &arg_max, &arg_min, &hardmax, &flat_hardmax, &top_k, &older_top_k)
