/* Operators whose results have as many elements as the data says: NonZero, Compress, Unique.  A plan needs to know how many those are, so
 * infer asks for the content; and since the host has it then, the host also finds which elements they are.  What is left for the device is a
 * Gather, which has a gradient. */
#include "support.h"

#include <string.h>

static int ask_content(const aval_host *host, aval_call *call, size_t i, const char *name, const void **content)
{
    *content = host->count(host->input(call, i)) == 0 ? "" : host->content(call, i);
    if (*content != NULL) return 0;
    return host->fail(call, AVAL_NEEDS_CONTENT, "input %s: its content says how large the result is, and is not known", name);
}

static int fail_memory(const aval_host *host, aval_call *call)
{
    return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "out of memory for indices");
}

/* ---- Elements of any type on the host ---------------------------------------------------------------------------------------------------- */

typedef enum number_kind { REAL_NUMBER, SIGNED_NUMBER, UNSIGNED_NUMBER } number_kind;

typedef struct number {
    number_kind kind;
    double real;
    int64_t integer; /* of unsigned ones the bits */
} number;

static double from_half(uint16_t bits)
{
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double x = exponent == 31 ? (mantissa ? NAN : INFINITY) : exponent == 0 ? ldexp(mantissa, -24) : ldexp(mantissa + 1024, exponent - 25);
    return bits >> 15 ? -x : x;
}

static number element_of(aval_type type, const void *data, int64_t i)
{
    switch (type) {
    case AVAL_FLOAT: return (number){ .real = ((const float *)data)[i] };
    case AVAL_DOUBLE: return (number){ .real = ((const double *)data)[i] };
    case AVAL_FLOAT16: return (number){ .real = from_half(((const uint16_t *)data)[i]) };
    case AVAL_INT8: return (number){ .kind = SIGNED_NUMBER, .integer = ((const int8_t *)data)[i] };
    case AVAL_INT16: return (number){ .kind = SIGNED_NUMBER, .integer = ((const int16_t *)data)[i] };
    case AVAL_INT32: return (number){ .kind = SIGNED_NUMBER, .integer = ((const int32_t *)data)[i] };
    case AVAL_INT64: return (number){ .kind = SIGNED_NUMBER, .integer = ((const int64_t *)data)[i] };
    case AVAL_UINT16: return (number){ .kind = UNSIGNED_NUMBER, .integer = ((const uint16_t *)data)[i] };
    case AVAL_UINT32: return (number){ .kind = UNSIGNED_NUMBER, .integer = ((const uint32_t *)data)[i] };
    case AVAL_UINT64: return (number){ .kind = UNSIGNED_NUMBER, .integer = (int64_t)((const uint64_t *)data)[i] };
    default: return (number){ .kind = UNSIGNED_NUMBER, .integer = ((const uint8_t *)data)[i] }; /* uint8, bool */
    }
}

/* NaN comes after all numbers, and equals itself. */
static int compare_numbers(number a, number b)
{
    if (a.kind == SIGNED_NUMBER) return (a.integer > b.integer) - (a.integer < b.integer);
    if (a.kind == UNSIGNED_NUMBER) return ((uint64_t)a.integer > (uint64_t)b.integer) - ((uint64_t)a.integer < (uint64_t)b.integer);
    if (isnan(a.real) || isnan(b.real)) return (isnan(a.real) != 0) - (isnan(b.real) != 0);
    return (a.real > b.real) - (a.real < b.real);
}

static int is_zero(number x)
{
    return x.kind == REAL_NUMBER ? x.real == 0 : x.integer == 0;
}

/* ---- NonZero and Compress ------------------------------------------------------------------------------------------------------------------ */

static int64_t count_nonzero(aval_type type, const void *data, int64_t count)
{
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) n += !is_zero(element_of(type, data, i));
    return n;
}

/* A scalar has no axes, so that its result is empty, 0 by 0 or 0 by 1. */
static int nonzero_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    const void *data;
    TRY(ask_content(host, call, 0, "X", &data));
    const int64_t dims[] = { host->rank(x), count_nonzero(host->type(x), data, host->count(x)) };
    return host->set_output(call, 0, AVAL_INT64, 2, dims);
}

/* indices [rank, n]: where the n elements other than 0 are. */
static void nonzero_write(const aval_host *host, const aval_tensor *x, const void *data, int64_t n, int64_t *indices)
{
    for (int64_t i = 0, at = 0; i < host->count(x); i++) {
        int64_t rest = i;
        if (is_zero(element_of(host->type(x), data, i))) continue;
        for (uint32_t a = host->rank(x); a-- > 0; rest /= host->dims(x)[a]) indices[a * n + at] = rest % host->dims(x)[a];
        at++;
    }
}

static int nonzero_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y;
    const int64_t *dims = host->dims(host->output(call, 0));
    const void *data;
    TRY(ask_content(host, call, 0, "X", &data));
    int64_t *indices = malloc(((size_t)(dims[0] * dims[1]) + 1) * sizeof *indices);
    if (indices == NULL) return fail_memory(host, call);
    nonzero_write(host, x, data, dims[1], indices);
    y = host->constant(call, AVAL_INT64, 2, dims, indices);
    free(indices);
    return host->yield(call, 0, y);
}

/* Without attribute axis the input is taken as a vector. */
static int compress_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *condition = host->input(call, 1);
    int along = host->attr_given(call, "axis");
    int64_t axis = along ? aval_axis(host->attr_int(call, "axis"), host->rank(x)) : 0, dims[AVAL_MAX_RANK];
    const void *data;
    if (axis < 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute axis is %lld, out of range for %u axes",
                          (long long)host->attr_int(call, "axis"), (unsigned)host->rank(x));
    int64_t length = along ? host->dims(x)[axis] : host->count(x);
    if (host->rank(condition) != 1 || host->count(condition) > length)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input condition has %u axes and %lld elements, expected a vector of at most %lld",
                          (unsigned)host->rank(condition), (long long)host->count(condition), (long long)length);
    TRY(ask_content(host, call, 1, "condition", &data));
    for (uint32_t i = 0; along && i < host->rank(x); i++) dims[i] = host->dims(x)[i];
    dims[axis] = count_nonzero(AVAL_BOOL, data, host->count(condition));
    return host->set_output(call, 0, host->type(x), along ? host->rank(x) : 1, dims);
}

static int compress_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *condition = host->input(call, 1), *picked[] = { host->input(call, 0), NULL }, *y;
    int along = host->attr_given(call, "axis");
    const int64_t count = host->count(picked[0]);
    text attrs = { 0 };
    if (!along) TRY(reshaped(host, call, picked[0], 1, &count, &picked[0]));
    TRY(host->apply(call, "NonZero", NULL, 1, &condition, 1, &picked[1]));
    TRY(reshaped(host, call, picked[1], 1, &host->dims(picked[1])[1], &picked[1]));
    text_int(&attrs, "axis", along ? host->attr_int(call, "axis") : 0);
    TRY(host->apply(call, "Gather", attrs.at, 2, picked, 1, &y));
    return host->yield(call, 0, y);
}

/* ---- Unique -------------------------------------------------------------------------------------------------------------------------------- */

/* What is compared: slices along an axis, or the elements. */
typedef struct slices {
    aval_type type;
    const void *data;
    aval_split split;
    int along; /* 0: elements */
    int64_t axis;
} slices;

/* Everything that Unique gives, in `sorted` order or that of the first occurrences. */
typedef struct uniques {
    int64_t n, length; /* different slices, of all */
    int64_t *order, *first, *inverse, *counts; /* order: scratch; each [length] */
} uniques;

static int read_slices(const aval_host *host, aval_call *call, slices *s)
{
    const aval_tensor *x = host->input(call, 0);
    *s = (slices){ .type = host->type(x), .along = host->attr_given(call, "axis"), .split = { 1, host->count(x), 1 } };
    if (s->along) s->axis = aval_axis(host->attr_int(call, "axis"), host->rank(x));
    if (s->axis < 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute axis is %lld, out of range for %u axes",
                          (long long)host->attr_int(call, "axis"), (unsigned)host->rank(x));
    if (s->along) s->split = aval_split_at(host, x, s->axis);
    return ask_content(host, call, 0, "X", &s->data);
}

static int compare_slices(const slices *s, int64_t a, int64_t b)
{
    for (int64_t o = 0; o < s->split.outer; o++) {
        for (int64_t c = 0; c < s->split.inner; c++) {
            int64_t at_a = (o * s->split.length + a) * s->split.inner + c, at_b = (o * s->split.length + b) * s->split.inner + c;
            int order = compare_numbers(element_of(s->type, s->data, at_a), element_of(s->type, s->data, at_b));
            if (order != 0) return order;
        }
    }
    return 0;
}

/* Equal slices in the order of their places. */
static int by_slice(const void *a, const void *b, void *user)
{
    int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
    int order = compare_slices(user, i, j);
    return order != 0 ? order : (i > j) - (i < j);
}

static int by_number(const void *a, const void *b)
{
    int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
    return (i > j) - (i < j);
}

/* Finds u->order and, for each slice, the first one that equals it: u->inverse holds that until they are numbered. */
static void group_slices(slices *s, uniques *u)
{
    u->n = 0;
    for (int64_t i = 0; i < u->length; i++) u->order[i] = i;
    qsort_r(u->order, (size_t)u->length, sizeof *u->order, by_slice, s);
    for (int64_t i = 0; i < u->length; i++) {
        int is_new = i == 0 || compare_slices(s, u->order[i - 1], u->order[i]) != 0;
        if (is_new) u->first[u->n++] = u->order[i];
        u->inverse[u->order[i]] = u->first[u->n - 1];
    }
}

/* The number of each unique slice, by its place, goes where order was. */
static void number_slices(uniques *u, int sorted)
{
    if (!sorted) qsort(u->first, (size_t)u->n, sizeof *u->first, by_number);
    for (int64_t k = 0; k < u->n; k++) {
        u->order[u->first[k]] = k;
        u->counts[k] = 0;
    }
    for (int64_t i = 0; i < u->length; i++) {
        u->inverse[i] = u->order[u->inverse[i]];
        u->counts[u->inverse[i]]++;
    }
}

/* One piece of memory, u->order, which the caller frees. */
static int find_uniques(const aval_host *host, aval_call *call, slices *s, uniques *u)
{
    TRY(read_slices(host, call, s));
    *u = (uniques){ .length = s->split.length };
    u->order = malloc((4 * (size_t)u->length + 1) * sizeof *u->order);
    if (u->order == NULL) return fail_memory(host, call);
    u->first = u->order + u->length;
    u->inverse = u->first + u->length;
    u->counts = u->inverse + u->length;
    group_slices(s, u);
    number_slices(u, host->attr_int(call, "sorted") != 0);
    return 0;
}

static int unique_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t dims[AVAL_MAX_RANK];
    slices s = { 0 };
    uniques u = { 0 };
    TRY(find_uniques(host, call, &s, &u));
    free(u.order);
    for (uint32_t i = 0; s.along && i < host->rank(x); i++) dims[i] = host->dims(x)[i];
    dims[s.axis] = u.n;
    TRY(host->set_output(call, 0, host->type(x), s.along ? host->rank(x) : 1, dims));
    TRY(host->set_output(call, 1, AVAL_INT64, 1, &u.n));
    TRY(host->set_output(call, 2, AVAL_INT64, 1, &u.length));
    return host->set_output(call, 3, AVAL_INT64, 1, &u.n);
}

static int unique_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *picked[] = { host->input(call, 0), NULL }, *lists[3], *y;
    text attrs = { 0 };
    slices s = { 0 };
    uniques u = { 0 };
    TRY(find_uniques(host, call, &s, &u));
    lists[0] = host->constant(call, AVAL_INT64, 1, &u.n, u.first);
    lists[1] = host->constant(call, AVAL_INT64, 1, &u.length, u.inverse);
    lists[2] = host->constant(call, AVAL_INT64, 1, &u.n, u.counts);
    free(u.order);
    picked[1] = lists[0];
    if (!s.along) TRY(reshaped(host, call, picked[0], 1, &u.length, &picked[0]));
    text_int(&attrs, "axis", s.axis);
    TRY(host->apply(call, "Gather", attrs.at, 2, picked, 1, &y));
    TRY(host->yield(call, 0, y));
    for (size_t i = 1; i < host->n_outputs(call); i++) TRY(host->yield(call, i, lists[i - 1]));
    return 0;
}

static const aval_op nonzero_op = {
    .size = sizeof(aval_op),
    .name = "NonZero",
    .since = 9,
    .deterministic = 1,
    .doc = "Where the elements other than zero are: a row of indices for each axis.",
    .inputs = AVAL_PORTS({ .name = "X", .flags = AVAL_SHAPE_INPUT, .types = AVAL_ANY }),
    .outputs = AVAL_PORTS({ .name = "Y", .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .zero_gradient = 1,
    .infer = nonzero_infer,
    .body = nonzero_body,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]{0,1,-2,0,0,0.5}" }, { .inputs = "b[4]{0,0,1,1}" }, { .inputs = "[]{1}" },
                            { .inputs = "i64[2]{0,0}" }, { .inputs = "[0,2]" }),
};
static const aval_op compress_op = {
    .size = sizeof(aval_op),
    .name = "Compress",
    .since = 9,
    .deterministic = 1,
    .doc = "The slices along an axis, or the elements, for which the condition holds.",
    .inputs = AVAL_PORTS({ .name = "input", .types = AVAL_STORED },
                         { .name = "condition", .flags = AVAL_SHAPE_INPUT, .types = AVAL_TYPE_SET(AVAL_BOOL) }),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
    .zero_gradient = 2,
    .attrs = AVAL_ATTRS({ .name = "axis", .type = AVAL_ATTR_INT, .doc = "the axis of the slices; without it, elements are taken" }),
    .infer = compress_infer,
    .body = compress_body,
    .samples = AVAL_SAMPLES({ .inputs = "[3,2] b[3]{0,1,1}", .attrs = "axis=0" }, { .inputs = "[3,2] b[2]{0,1}", .attrs = "axis=-1" },
                            { .inputs = "[3,2] b[5]{0,1,0,0,1}" }, { .inputs = "[3] b[2]{0,0}" }),
};
static const aval_op unique_op = {
    .size = sizeof(aval_op),
    .name = "Unique",
    .since = 11,
    .deterministic = 1,
    .doc = "The different elements, or slices along an axis; where each is first, which of them each element is, and how many are alike.",
    .inputs = AVAL_PORTS({ .name = "X", .flags = AVAL_SHAPE_INPUT, .types = AVAL_ANY }),
    .outputs =
        AVAL_PORTS({ .name = "Y", .types = AVAL_ANY }, { .name = "indices", .flags = AVAL_OPTIONAL, .types = AVAL_TYPE_SET(AVAL_INT64) },
                   { .name = "inverse_indices", .flags = AVAL_OPTIONAL, .types = AVAL_TYPE_SET(AVAL_INT64) },
                   { .name = "counts", .flags = AVAL_OPTIONAL, .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .attrs = AVAL_ATTRS(
        { .name = "axis", .type = AVAL_ATTR_INT, .doc = "the axis of the slices; without it, elements are compared" },
        { .name = "sorted", .type = AVAL_ATTR_INT, .initial = "1", .doc = "1: ascending; else in the order in which they occur" }),
    .infer = unique_infer,
    .body = unique_body,
    .samples = AVAL_SAMPLES({ .inputs = "[6]{2,1,1,3,4,3}" }, { .inputs = "[6]{2,1,1,3,4,3}", .attrs = "sorted=0" },
                            { .inputs = "[4,2]{1,0,1,0,2,3,0,5}", .attrs = "axis=0" },
                            { .inputs = "i64[2,3]{1,1,2,5,5,-7}", .attrs = "axis=1" }, { .inputs = "[0]" }, { .inputs = "b[3]{1,0,1}" }),
};

AVAL_PLUGIN("pick", "0.1.0", NULL, &nonzero_op, &compress_op, &unique_op)
