/* What the plugins of losses share: terms that are reduced as the attribute `reduction` says, and rows of their tables. */
#ifndef AVAL_PLUGINS_LOSS_H
#define AVAL_PLUGINS_LOSS_H

#include "support.h"

#include <string.h>

typedef const aval_tensor *tensor;

static inline int apply1(const aval_host *host, aval_call *call, const char *op, const char *attrs, tensor a, tensor *out)
{
    return host->apply(call, op, attrs, 1, &a, 1, out);
}

static inline int apply2(const aval_host *host, aval_call *call, const char *op, const char *attrs, tensor a, tensor b, tensor *out)
{
    const tensor inputs[] = { a, b };
    return host->apply(call, op, attrs, 2, inputs, 1, out);
}

/* Yields the terms as they are, summed or averaged. */
static inline int yield_reduced(const aval_host *host, aval_call *call, tensor terms)
{
    const char *reduction = host->attr_string(call, "reduction");
    if (strcmp(reduction, "mean") == 0) TRY(apply1(host, call, "ReduceMean", "keepdims=0", terms, &terms));
    if (strcmp(reduction, "sum") == 0) TRY(apply1(host, call, "ReduceSum", "keepdims=0", terms, &terms));
    return host->yield(call, 0, terms);
}

/* Output 0: terms of shape `rank`, `dims`, reduced or not. */
static inline int infer_reduced(const aval_host *host, aval_call *call, uint32_t rank, const int64_t *dims)
{
    const char *reduction = host->attr_string(call, "reduction");
    int none = strcmp(reduction, "none") == 0;
    if (!none && strcmp(reduction, "mean") != 0 && strcmp(reduction, "sum") != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute reduction is '%s', expected none, sum or mean", reduction);
    return host->set_output(call, 0, host->type(host->input(call, 0)), none ? rank : 0, dims);
}

/* Inputs must have equal shapes: broadcasting would hide a forgotten axis. */
static inline int check_shapes(const aval_host *host, aval_call *call)
{
    tensor first = host->input(call, 0);
    for (size_t i = 1; i < host->n_inputs(call); i++) {
        tensor t = host->input(call, i);
        int same = host->rank(t) == host->rank(first);
        for (uint32_t d = 0; same && d < host->rank(t); d++) same = host->dims(t)[d] == host->dims(first)[d];
        if (!same)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %zu has another shape than input 0 (%u axes, %u axes), expected the same",
                              i, (unsigned)host->rank(t), (unsigned)host->rank(first));
    }
    return 0;
}

/* Losses whose terms have the shape of their inputs. */
static inline int infer_each(const aval_host *host, aval_call *call)
{
    TRY(check_shapes(host, call));
    return infer_reduced(host, call, host->rank(host->input(call, 0)), host->dims(host->input(call, 0)));
}

#define LOSS(op_name, infer_function, body_function) \
    .size = sizeof(aval_op), .name = op_name, .domain = "aval", .since = 1, .deterministic = 1, .infer = infer_function, \
    .body = body_function, .outputs = AVAL_PORTS({ .name = "loss" })
#define TERM(op_name, text) \
    .size = sizeof(aval_op), .name = op_name, .domain = "aval", .since = 1, .deterministic = 1, .expressions = AVAL_TEXTS(text), \
    .outputs = AVAL_PORTS({ .name = "term" })
#define REDUCTION \
    { \
        .name = "reduction", .type = AVAL_ATTR_STRING, .initial = "'mean'", .doc = "none, sum or mean" \
    }
#define DERIVATIVES(...) \
    .derivatives = (const char *const[]){ __VA_ARGS__ }, .n_derivatives = sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)

#endif
