/* What the plugins of quantised numbers share. */
#ifndef AVAL_PLUGINS_QUANTIZE_H
#define AVAL_PLUGINS_QUANTIZE_H

#include "elementwise.h"

#include "support.h"

#define BYTES (AVAL_TYPE_SET(AVAL_UINT8) | AVAL_TYPE_SET(AVAL_INT8))
#define SHORTS (AVAL_TYPE_SET(AVAL_UINT16) | AVAL_TYPE_SET(AVAL_INT16))
#define QUANTISED (BYTES | SHORTS | AVAL_SMALL_INTS | AVAL_FLOAT8S)
#define SCALES (AVAL_TYPE_SET(AVAL_FLOAT) | AVAL_TYPE_SET(AVAL_FLOAT16) | AVAL_TYPE_SET(AVAL_BFLOAT16))
#define INT32S AVAL_TYPE_SET(AVAL_INT32)

static inline const aval_tensor *given(const aval_host *host, aval_call *call, size_t i)
{
    return i < host->n_inputs(call) ? host->input(call, i) : NULL;
}

static inline int apply(const aval_host *host, aval_call *call, const char *op, const char *attrs, const aval_tensor *a,
                        const aval_tensor *b, const aval_tensor **out)
{
    return host->apply(call, op, attrs, b == NULL ? 1 : 2, (const aval_tensor *const[]){ a, b }, 1, out);
}

static inline int cast(const aval_host *host, aval_call *call, aval_type type, const aval_tensor **t)
{
    text attrs = { 0 };
    if (host->type(*t) == type) return 0;
    text_int(&attrs, "to", type);
    return apply(host, call, "Cast", attrs.at, *t, NULL, t);
}

#endif
