/* What the providers that record their products as launches (gemm_*.c but gemm_clblast.c) have in common: arguments gathered one by one, and
 * the sizes that kernels count in. */
#ifndef AVAL_DEVICE_GEMM_RECORD_H
#define AVAL_DEVICE_GEMM_RECORD_H

#include "device/private.h"
#include "op/op.h"

#define AVAL__MOST_GEMM_ARGS 56

typedef struct aval__gemm_launch {
    aval_call *call;
    const aval_tensor *scratch; /* NULL: none is needed */
    int type;
    aval_arg args[AVAL__MOST_GEMM_ARGS];
    size_t n_args;
    double flops; /* of the next launch */
} aval__gemm_launch;

static inline int64_t divide_up(int64_t x, int64_t by)
{
    return (x + by - 1) / by;
}

static inline int64_t smaller(int64_t x, int64_t y)
{
    return x < y ? x : y;
}

/* What launches are divided among; 1 where the device does not say. */
static inline int64_t unit_count(const aval_device_info *info)
{
    return info->compute_units > 0 ? info->compute_units : 1;
}

/* Sizes are int in the kernels. */
static inline bool fits_int(int64_t x)
{
    return x >= 0 && x <= INT32_MAX / 4;
}

/* Bytes of the type that kernels on gemm_operands.clh compute elements of a storage type in; 0: they cannot be built for it. */
static inline uint32_t operand_bytes(int type)
{
    static const struct {
        int type;
        uint32_t bytes;
    } types[] = { { AVAL_FLOAT, 4 }, { AVAL_FLOAT16, 4 }, { AVAL_DOUBLE, 8 }, { AVAL_UINT8, 4 },
                  { AVAL_INT8, 4 },  { AVAL_INT32, 4 },   { AVAL_INT64, 8 } };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (types[i].type == type) return types[i].bytes;
    }
    return 0;
}

static inline void push(aval__gemm_launch *l, aval_arg arg)
{
    l->args[l->n_args++] = arg;
}

static inline void push_ints(aval__gemm_launch *l, const int64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++) push(l, (aval_arg)AVAL_I32(values[i]));
}
#define INTS(l, ...) push_ints(l, (const int64_t[]){ __VA_ARGS__ }, sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t))

static inline void push_longs(aval__gemm_launch *l, const int64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++) push(l, (aval_arg)AVAL_I64(values[i]));
}
#define LONGS(l, ...) push_longs(l, (const int64_t[]){ __VA_ARGS__ }, sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t))

/* alpha and beta are float in the kernels, or double with double. */
static inline void push_scales(aval__gemm_launch *l, double alpha, double beta)
{
    uint32_t kind = l->type == AVAL_DOUBLE ? AVAL_ARG_REAL : AVAL_ARG_FLOAT;
    push(l, (aval_arg){ .kind = kind, .real = alpha });
    push(l, (aval_arg){ .kind = kind, .real = beta });
}

/* The result: with beta 0 nothing of it is read. */
static inline void push_result(aval__gemm_launch *l, const aval_tensor *c, double beta)
{
    push(l, beta == 0 ? (aval_arg)AVAL_WRITE(c) : (aval_arg)AVAL_UPDATE(c));
}

/* Launches with the arguments pushed so far; the next ones are another launch's.  `side` is that of the square work-group. */
static inline int launch(aval__gemm_launch *l, const char *kernel, int64_t x, int64_t y, int64_t z, int64_t side,
                         const aval_define *defines, size_t n_defines)
{
    const aval_launch launch = { .size = sizeof launch,
                                 .kernel = kernel,
                                 .dims = 3,
                                 .global = { (uint64_t)(divide_up(x, side) * side), (uint64_t)(divide_up(y, side) * side), (uint64_t)z },
                                 .local = { (uint64_t)side, (uint64_t)side, 1 },
                                 .args = l->args,
                                 .n_args = l->n_args,
                                 .defines = defines,
                                 .n_defines = n_defines,
                                 .s_type = (uint32_t)l->type,
                                 .flops = l->flops };
    l->n_args = 0;
    l->flops = 0;
    return aval__host.launch(l->call, &launch);
}

#endif
