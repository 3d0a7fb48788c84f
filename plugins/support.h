/* What several of aval's own plugins share: launches by groups, and attribute texts for the nodes of bodies.  Inline, because a plugin
 * links nothing. */
#ifndef AVAL_PLUGINS_SUPPORT_H
#define AVAL_PLUGINS_SUPPORT_H

#include "aval/heads.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Returns from the calling function with the code when `call` fails. */
#define TRY(call) \
    do { \
        int try_status_ = (call); \
        if (try_status_ < 0) return try_status_; \
    } while (0)

/* Members of aval_launch: `results` results, each made by `group` work-items together (common.clh: GROUP and LANE).  `group` is
   aval_device_info.group; with 1 each work-item is a group by itself, so that few results still occupy all compute units. */
#define BY_GROUPS(group, results) .global = { (uint64_t)(results) * (group) }, .local = { (group) }, AVAL_DEFINES({ "WG", (group) })
/* The same with one more macro. */
#define BY_GROUPS_WITH(group, results, name, value) \
    .global = { (uint64_t)(results) * (group) }, .local = { (group) }, AVAL_DEFINES({ "WG", (group) }, { name, value })

/* What a work-item of a CPU walks over at least: about a microsecond of memory, what starting a work-group costs PoCL; and how many work-items each
   compute unit gets, so that one that is late leaves work to the others. */
#define PIECE_ELEMENTS 4096
#define PIECES_PER_UNIT 8

#define NEAR_ELEMENTS 8192 /* that stay in the nearest caches of a work-item */

/* The argument `chunk` of kernels with EACH_RESULT (common.clh): how many results of so many elements a work-item makes, 1 but on CPUs. */
static inline int64_t chunk_of(const aval_device_info *device, int64_t results, int64_t elements)
{
    int64_t pieces = (int64_t)(device->compute_units > 0 ? device->compute_units : 1) * PIECES_PER_UNIT;
    int64_t even = (results + pieces - 1) / pieces;
    int64_t least = PIECE_ELEMENTS / (elements < 1 ? 1 : elements);
    if (device->group > 1) return 1;
    return even > least ? even : least < 1 ? 1 : least;
}

/* BY_GROUPS for such kernels. */
#define BY_CHUNKS(device, results, chunk) BY_GROUPS((device)->group, ((results) + (chunk)-1) / (chunk))

/* Eight arguments: a number for each of AVAL_MAX_RANK axes. */
#define EIGHT(v) \
    AVAL_I64((v)[0]), AVAL_I64((v)[1]), AVAL_I64((v)[2]), AVAL_I64((v)[3]), AVAL_I64((v)[4]), AVAL_I64((v)[5]), AVAL_I64((v)[6]), \
        AVAL_I64((v)[7])

#define EACH(items) .global = { (uint64_t)(items) }

/* 1: the kernels compute t, an input that is AVAL_HEADED, as they read it: work-items that are no group in runs of `run` elements. */
static inline int take_head(const aval_host *host, aval_call *call, const aval_tensor *t, int64_t run)
{
    const aval_heads *heads = host->extension(call, AVAL_HEADS);
    if (host->device(call)->group > 1) run = 1;
    return heads == NULL || run < 1 ? 0 : heads->take(call, t, run);
}

/* 1: the next launch that reads t, an input that is AVAL_ROW_HEADED, makes its rows, in the place of y where nobody else reads them. */
static inline int take_rows(const aval_host *host, aval_call *call, const aval_tensor *t, const aval_tensor *y)
{
    const aval_row_heads *heads = host->extension(call, AVAL_ROW_HEADS);
    return heads == NULL ? 0 : heads->take(call, t, y);
}

/* The same for rows of [outer, length, inner], which kernels make by scores.clh. */
static inline int take_scores(const aval_host *host, aval_call *call, const aval_tensor *t, const aval_tensor *y, int64_t inner)
{
    return inner > 1 && host->device(call)->group > 1 ? 0 : take_rows(host, call, t, y);
}

static inline int64_t product(const int64_t *dims, size_t count)
{
    int64_t result = 1;
    for (size_t i = 0; i < count; i++) {
        if (dims[i] == 0) return 0;
        if (result > INT64_MAX / dims[i]) result = INT64_MAX; /* of a shape that a file asks for; no tensor has so many */
        else result *= dims[i];
    }
    return result;
}

/* The same for two lengths, neither negative. */
static inline int64_t product_of(int64_t a, int64_t b)
{
    return product((const int64_t[]){ a, b }, 2);
}

/* The element type that sums are kept in. */
static inline aval_type sum_type(aval_type type)
{
    return type == AVAL_DOUBLE ? AVAL_DOUBLE : AVAL_FLOAT;
}

/* The integer type that stands for all types of the same size. */
static inline uint32_t carrier(aval_type type)
{
    return aval_carrier(type);
}

/* Element f of `from` becomes element t of `to`, on the host. */
static inline void move_element(const aval_host *host, aval_call *call, const aval_tensor *to, int64_t t, const aval_tensor *from,
                                int64_t f)
{
    if (AVAL_REALS & AVAL_TYPE_SET(host->type(to))) host->real(call, to)[t] = host->real(call, from)[f];
    else host->integer(call, to)[t] = host->integer(call, from)[f];
}

/* The numbers of input i (axes, lengths ...; int32 or int64), at most `room`.  An absent input has none: *count is 0. */
static inline int known_ints(const aval_host *host, aval_call *call, size_t i, const char *name, int64_t *values, size_t room,
                             size_t *count)
{
    const aval_tensor *t = host->input(call, i);
    *count = t == NULL ? 0 : (size_t)host->count(t);
    if (*count > room) return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %s has %zu numbers, expected at most %zu", name, *count, room);
    if (*count == 0) return 0;
    if (host->phase(call) == AVAL_PHASE_REFERENCE) {
        for (size_t k = 0; k < *count; k++) values[k] = host->integer(call, t)[k];
        return 0;
    }
    const void *content = host->content(call, i);
    if (content == NULL) return host->fail(call, AVAL_NEEDS_CONTENT, "input %s: its content is not known when shapes are worked out", name);
    for (size_t k = 0; k < *count; k++)
        values[k] = host->type(t) == AVAL_INT32 ? ((const int32_t *)content)[k] : ((const int64_t *)content)[k];
    return 0;
}

/* The one number of input i. */
static inline int known_number(const aval_host *host, aval_call *call, size_t i, const char *name, double *value)
{
    const aval_tensor *t = host->input(call, i);
    if (host->count(t) != 1)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %s has %lld elements, expected 1", name, (long long)host->count(t));
    const void *content = host->content(call, i);
    if (content == NULL) return host->fail(call, AVAL_NEEDS_CONTENT, "input %s: its content is not known when shapes are worked out", name);
    switch (host->type(t)) {
    case AVAL_FLOAT: *value = *(const float *)content; return 0;
    case AVAL_DOUBLE: *value = *(const double *)content; return 0;
    case AVAL_INT16: *value = *(const int16_t *)content; return 0;
    case AVAL_INT32: *value = *(const int32_t *)content; return 0;
    case AVAL_INT64: *value = (double)*(const int64_t *)content; return 0;
    case AVAL_UINT8: *value = *(const uint8_t *)content; return 0;
    default:
        return host->fail(call, AVAL_PLUGIN_BAD_TYPE, "input %s: expected float, double or an int, found type %d", name, host->type(t));
    }
}

/* The real numbers of input i (float or double), at most `room`.  An absent input has none: *count is 0. */
static inline int known_reals(const aval_host *host, aval_call *call, size_t i, const char *name, double *values, size_t room,
                              size_t *count)
{
    const aval_tensor *t = host->input(call, i);
    *count = t == NULL ? 0 : (size_t)host->count(t);
    if (*count > room) return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %s has %zu numbers, expected at most %zu", name, *count, room);
    const void *content = *count == 0 ? NULL : host->content(call, i);
    if (*count > 0 && content == NULL)
        return host->fail(call, AVAL_NEEDS_CONTENT, "input %s: its content is not known when shapes are worked out", name);
    for (size_t k = 0; k < *count; k++)
        values[k] = host->type(t) == AVAL_DOUBLE ? ((const double *)content)[k] : ((const float *)content)[k];
    return 0;
}

/* ---- Attribute texts: text t = { 0 }; text_ints(&t, "dims", dims, rank); t.at ... ------------------------------------------------- */

typedef struct text {
    char at[512]; /* enough for a few lists of AVAL_MAX_RANK numbers */
    size_t length;
} text;

static inline void text_int(text *t, const char *name, int64_t value)
{
    int n = snprintf(t->at + t->length, sizeof t->at - t->length, "%s=%lld ", name, (long long)value);
    if (n > 0 && t->length + (size_t)n < sizeof t->at) t->length += (size_t)n;
}

/* A hexadecimal number with an integer mantissa: exact, and without the locale's decimal point. */
static inline void text_real(text *t, const char *name, double value)
{
    int exponent = 0, n;
    if (isnan(value)) n = snprintf(t->at + t->length, sizeof t->at - t->length, "%s=nan ", name);
    else if (isinf(value)) n = snprintf(t->at + t->length, sizeof t->at - t->length, "%s=%sinf ", name, value < 0 ? "-" : "");
    else {
        long long mantissa = (long long)ldexp(frexp(fabs(value), &exponent), 53);
        n = snprintf(t->at + t->length, sizeof t->at - t->length, "%s=%s0x%llxp%d ", name, value < 0 ? "-" : "",
                     (unsigned long long)mantissa, mantissa == 0 ? 0 : exponent - 53);
    }
    if (n > 0 && t->length + (size_t)n < sizeof t->at) t->length += (size_t)n;
}

static inline void text_ints(text *t, const char *name, const int64_t *values, size_t count)
{
    size_t at = t->length;
    int n = snprintf(t->at + at, sizeof t->at - at, "%s=[", name);
    for (size_t i = 0; i < count && n > 0 && at + (size_t)n < sizeof t->at; i++) {
        at += (size_t)n;
        n = snprintf(t->at + at, sizeof t->at - at, i == 0 ? "%lld" : ",%lld", (long long)values[i]);
    }
    if (n > 0 && at + (size_t)n < sizeof t->at) at += (size_t)n;
    n = snprintf(t->at + at, sizeof t->at - at, "] ");
    if (n > 0 && at + (size_t)n < sizeof t->at) t->length = at + (size_t)n;
}

static inline void text_word(text *t, const char *name, const char *value)
{
    int n = snprintf(t->at + t->length, sizeof t->at - t->length, "%s='%s' ", name, value);
    if (n > 0 && t->length + (size_t)n < sizeof t->at) t->length += (size_t)n;
}

/* ---- Steps of bodies -------------------------------------------------------------------------------------------------------- */

/* An int64 constant with one axis. */
static inline const aval_tensor *constant_ints(const aval_host *host, aval_call *call, const int64_t *values, size_t count)
{
    const int64_t length = (int64_t)count;
    return host->constant(call, AVAL_INT64, 1, &length, values);
}

/* Numbers of a float type as a constant; their own type is double for doubles only, since not every device has doubles. */
static inline int constant_reals(const aval_host *host, aval_call *call, aval_type type, const double *values, uint32_t rank,
                                 const int64_t *dims, const aval_tensor **out)
{
    int64_t count = product(dims, rank);
    text to = { 0 };
    float *floats = malloc(((size_t)count + 1) * sizeof *floats);
    if (floats == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "out of memory for a constant of %lld numbers", (long long)count);
    for (int64_t i = 0; i < count; i++) floats[i] = (float)values[i];
    *out =
        type == AVAL_DOUBLE ? host->constant(call, AVAL_DOUBLE, rank, dims, values) : host->constant(call, AVAL_FLOAT, rank, dims, floats);
    free(floats);
    if (type == AVAL_DOUBLE || type == AVAL_FLOAT) return 0;
    text_int(&to, "to", type);
    return host->apply(call, "Cast", to.at, 1, out, 1, out);
}

/* first, first + 1 ... as an int64 constant that lies along `axis` of `rank` ones; the other axes have length 1. */
static inline int counting(const aval_host *host, aval_call *call, int64_t first, int64_t count, uint32_t rank, uint32_t axis,
                           const aval_tensor **out)
{
    const aval_tensor *one = constant_ints(host, call, (const int64_t[]){ 1 }, 1), *range[3];
    int64_t dims[AVAL_MAX_RANK];
    const int64_t limit = first + count;
    for (uint32_t i = 0; i < rank; i++) dims[i] = i == axis ? count : 1;
    range[0] = constant_ints(host, call, &first, 1);
    range[1] = constant_ints(host, call, &limit, 1);
    range[2] = one;
    TRY(host->apply(call, "Range", NULL, 3, range, 1, out));
    const aval_tensor *view[] = { *out, constant_ints(host, call, dims, rank) };
    return host->apply(call, "Reshape", "allowzero=1", 2, view, 1, out);
}

/* x in the shape `dims`. */
static inline int reshaped(const aval_host *host, aval_call *call, const aval_tensor *x, uint32_t rank, const int64_t *dims,
                           const aval_tensor **out)
{
    const aval_tensor *inputs[] = { x, constant_ints(host, call, dims, rank) };
    return host->apply(call, "Reshape", "allowzero=1", 2, inputs, 1, out);
}

#endif
