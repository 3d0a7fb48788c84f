/* A plugin with one operator, y = 3 x + b (x [rows, cols], b [cols]), and one planted FAULT, by a number that the build sets:
 *   0 none   1 a factor of 1.0001 in backward   2 writes one element past the end   3 NaN at one element
 *   4 the sum over the broadcast axis is missing in b's gradient   5 an attribute that is not declared is asked for
 *   6 a launch of no work-items   7 a launch without its last argument   8 a kernel that is not there
 *   9 copies one element past the end from past the end of its input   10 an int where the kernel takes a long
 *   11 arguments without their number   12 launches without a kernel's name   13 a plugin without kernel sources   14 writes far outside, in the first page
 *   15 macros without their number   16 infer flattens the shape, which nothing but what the sample says of it shows
 *   17 a float where the kernel takes an int   18 the numbers before the tensors   19 the output where the kernel takes an input, and the other way round
 *   20 no infer, where the kernel means an output of half the size   21 no backward
 *   22 forward, C code, crashes   23 it does not end   24 the reference crashes   25 it does not end */
#include "aval/plugin.h"

#ifndef FAULT
#define FAULT 0
#endif

static const char source[] =
    "#if S_TYPE == 11\n"
    "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n"
    "#define S double\n"
    "#else\n"
    "#define S float\n"
    "#endif\n"
    "#define COLS long\n"
    "#if FAULT == 17\n"
    "#undef COLS\n"
    "#define COLS int\n"
    "#endif\n"
    "__kernel void forward(__global S *y, long y0, __global const S *x, long x0, __global const S *b, long b0, long n, COLS cols)\n"
    "{\n"
    "    long i = get_global_id(0);\n"
    "    if (i > n || (i == n && FAULT != 2 && FAULT != 9)) return;\n"
    "    y[y0 + i] = 3 * x[x0 + (i < n ? i : 0)] + b[b0 + i % cols];\n"
    "    if (FAULT == 9 && i == n) y[y0 + i] = x[x0 + i];\n"
    "    if (FAULT == 14) *(__global int *)((ulong)(y + i) & 0xff0) = 0;\n"
    "    if (FAULT == 3 && i == n / 2) y[y0 + i] = NAN;\n"
    "}\n"
    "__kernel void backward_x(__global S *dx, long dx0, __global const S *g, long g0, long n)\n"
    "{\n"
    "    long i = get_global_id(0);\n"
    "    if (i >= n) return;\n"
    "    dx[dx0 + i] = (FAULT == 1 ? (S)3 * (S)1.0001f : (S)3) * g[g0 + i];\n"
    "}\n"
    "__kernel void backward_b(__global S *db, long db0, __global const S *g, long g0, long rows, long cols)\n"
    "{\n"
    "    long j = get_global_id(0);\n"
    "    if (j >= cols) return;\n"
    "    S sum = 0;\n"
    "    for (long i = FAULT == 4 ? rows - 1 : 0; i < rows; i++) sum += g[g0 + i * cols + j];\n"
    "    db[db0 + j] = sum;\n"
    "}\n";

static inline void crash(void)
{
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
}

static inline void go_on_for_ever(void)
{
    for (volatile int i = 0; i == 0;) i = 0;
}

static int forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *b = host->input(call, 1), *y = host->output(call, 0);
    int64_t n = host->count(x);
    aval_arg args[] = { AVAL_WRITE(y), AVAL_READ(x), AVAL_READ(b), AVAL_I64(n), AVAL_I64(host->count(b)) };
    if (FAULT == 20) args[3] = (aval_arg)AVAL_I64(n / 2);
    if (FAULT == 10) args[3] = (aval_arg)AVAL_I32(n);
    if (FAULT == 17) args[4] = (aval_arg)AVAL_F32((float)host->count(b));
    if (FAULT == 18) args[0] = args[4], args[4] = (aval_arg)AVAL_WRITE(y);
    if (FAULT == 19) args[0] = args[1], args[1] = (aval_arg)AVAL_WRITE(y);
    const aval_define defines[] = { { "FAULT", FAULT } };
    if (FAULT == 5) host->attr_int(call, "nope");
    if (FAULT == 22) crash();
    if (FAULT == 23) go_on_for_ever();
    return host->launch(call, AVAL_LAUNCH(.kernel = FAULT == 12  ? NULL
                                                    : FAULT == 8 ? "forwards"
                                                                 : "forward",
                                          .global = { FAULT == 6 ? 0 : (uint64_t)n + 1 }, .defines = defines,
                                          .n_defines = FAULT == 15 ? 0 : 1, .args = args,
                                          .n_args = FAULT == 11  ? 0
                                                    : FAULT == 7 ? 4
                                                                 : 5));
}

static int backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *g = host->upstream(call, 0), *dx = host->gradient(call, 0), *db = host->gradient(call, 1);
    int64_t n = host->count(g), cols = host->count(host->input(call, 1));
    if (dx != NULL) {
        int status = host->launch(call, AVAL_LAUNCH(.kernel = "backward_x", .global = { (uint64_t)n }, AVAL_DEFINES({ "FAULT", FAULT }),
                                                    AVAL_ARGS(AVAL_WRITE(dx), AVAL_READ(g), AVAL_I64(n))));
        if (status < 0) return status;
    }
    if (db == NULL) return 0;
    return host->launch(call, AVAL_LAUNCH(.kernel = "backward_b", .global = { (uint64_t)cols }, AVAL_DEFINES({ "FAULT", FAULT }),
                                          AVAL_ARGS(AVAL_WRITE(db), AVAL_READ(g), AVAL_I64(n / cols), AVAL_I64(cols))));
}

static int reference(const aval_host *host, aval_call *call)
{
    const double *x = host->real(call, host->input(call, 0)), *b = host->real(call, host->input(call, 1));
    double *y = host->real(call, host->output(call, 0));
    int64_t n = host->count(host->input(call, 0)), cols = host->count(host->input(call, 1));
    if (FAULT == 24) crash();
    if (FAULT == 25) go_on_for_ever();
    for (int64_t i = 0; i < n; i++) y[i] = 3 * x[i] + b[i % cols];
    return 0;
}

static int infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *b = host->input(call, 1);
    const uint32_t rank = host->rank(x);
    int64_t n = host->count(x);
    if (rank == 0 || host->rank(b) != 1 || host->count(b) != host->dims(x)[rank - 1])
        return host->fail(call, -7, "b has an element a column of x");
    if (FAULT == 16) return host->set_output(call, 0, host->type(x), 1, &n);
    return host->set_output(call, 0, host->type(x), rank, host->dims(x));
}

static const aval_op planted = {
    .size = sizeof(aval_op),
    .name = "Planted",
    .domain = "my",
    .since = 1,
    .doc = "3 x + b, with a planted fault.",
    .inputs = AVAL_PORTS({ .name = "x", .types = AVAL_TYPE_SET(AVAL_FLOAT) | AVAL_TYPE_SET(AVAL_DOUBLE) },
                         { .name = "b", .types = AVAL_TYPE_SET(AVAL_FLOAT) | AVAL_TYPE_SET(AVAL_DOUBLE), .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "y" }),
    .infer = FAULT == 20 ? NULL : infer,
    .forward = forward,
    .backward = FAULT == 21 ? NULL : backward,
    .reference = reference,
    .deterministic = 1,
    .samples = AVAL_SAMPLES({ .inputs = "[5,7] [7]", AVAL_GIVES("[5,7]") }, { .inputs = "[16,16] [16]" }),
};

static const aval_op *const ops[] = { &planted, NULL };
static const aval_kernel_source sources[] = { { "planted.cl", source }, { NULL, NULL } };
AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = { .abi = AVAL_PLUGIN_ABI,
                                        .size = sizeof(aval_plugin),
                                        .name = "planted",
                                        .version = "1",
                                        .ops = ops,
                                        .sources = FAULT == 13 ? NULL : sources };
