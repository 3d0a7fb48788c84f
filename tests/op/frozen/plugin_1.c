/* A plugin as somebody wrote it when ABI 1 was settled, with an operator of each kind: compiled against the header of that day
 * (aval-plugin-1.h), loaded and checked by every later aval.  From then on neither file is changed: what breaks this test breaks users' plugins. */
#include "aval-plugin-1.h"

/* ---- An expression with a derivative of its own, an attribute, a kink ------------------------------------------------------------------ */

static const aval_op bend = {
    .size = sizeof(aval_op),
    .name = "Bend",
    .domain = "frozen",
    .since = 1,
    .deterministic = 1,
    .doc = "x above 0, a x below.",
    .inputs = AVAL_PORTS({ .name = "X", .doc = "anything" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS({ .name = "a", .type = AVAL_ATTR_FLOAT, .initial = "0.25", .doc = "the slope below 0" }),
    .expressions = AVAL_TEXTS("X > 0 ? X : a * X"),
    .derivatives = AVAL_TEXTS("X > 0 ? 1 : a"),
    .n_derivatives = 1,
    .subgradient = "a at 0",
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]", .flags = AVAL_DISTINCT }, { .inputs = "[]", .attrs = "a=0.5" }, { .inputs = "[0]" }),
};

/* ---- A body -------------------------------------------------------------------------------------------------------------------------------- */

static int energy_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    if (host->rank(x) == 0) return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "X: expected at least one axis, found a scalar");
    return host->set_output(call, 0, host->type(x), 0, NULL);
}

static int energy_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *square, *half, *scaled, *sum;
    aval_type type = host->type(x);
    const float single = 0.5f;
    const double twice = 0.5;
    const uint16_t small = 0x3800; /* 0.5 as a half */
    const void *data = type == AVAL_DOUBLE ? (const void *)&twice : type == AVAL_FLOAT16 ? (const void *)&small : (const void *)&single;
    half = host->constant(call, type, 0, NULL, data);
    int status = half ? 0 : AVAL_PLUGIN_UNSUPPORTED;
    if (status == 0) status = host->apply(call, "Mul", NULL, 2, (const aval_tensor *const[]){ x, x }, 1, &square);
    if (status == 0) status = host->apply(call, "Mul", NULL, 2, (const aval_tensor *const[]){ square, half }, 1, &scaled);
    if (status == 0) status = host->apply(call, "ReduceSum", "keepdims=0", 1, &scaled, 1, &sum);
    return status == 0 ? host->yield(call, 0, sum) : status;
}

static const aval_op energy = {
    .size = sizeof(aval_op),
    .name = "Energy",
    .domain = "frozen",
    .since = 1,
    .deterministic = 1,
    .doc = "Half the sum of squares.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .infer = energy_infer,
    .body = energy_body,
    .samples = AVAL_SAMPLES({ .inputs = "[2,5]" }, { .inputs = "[64]" }),
};

/* ---- Kernels: forward, backward, scratch, defines, a copy ------------------------------------------------------------------------------ */

static const char kernels[] = /* S: storage, T: arithmetic; LOAD and STORE by aval's common.clh are not to be had here */
    "#ifdef cl_khr_fp64\n#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n#endif\n"
    "#if S_TYPE == 11\n#define R double\n#define AT(x, i) x[i]\n#define PUT(v, x, i) x[i] = v\ntypedef double S;\n"
    "#elif S_TYPE == 10\n#define R float\n#define AT(x, i) vload_half(i, x)\n#define PUT(v, x, i) vstore_half(v, i, x)\ntypedef half S;\n"
    "#else\n#define R float\n#define AT(x, i) x[i]\n#define PUT(v, x, i) x[i] = v\ntypedef float S;\n#endif\n"
    "__kernel void reverse(__global const S *x, long x_at, __global S *y, long y_at, long n, long length, R factor)\n"
    "{\n    long i = get_global_id(0);\n    if (i >= n) return;\n    long from = i - i % length + length - 1 - i % length;\n"
    "    R v = AT(x, x_at + from) * factor * SIGN;\n    PUT(v, y, y_at + i);\n}\n";

/* y = -2 x with the last axis reversed; its own transpose. */
static int record(const aval_host *host, aval_call *call, const aval_tensor *from, const aval_tensor *to)
{
    aval_split s = aval_split_at(host, from, aval_axis(-1, host->rank(from)));
    int64_t n = host->count(from);
    if (n == 0) return 0;
    const aval_tensor *between = host->scratch(call, host->type(from), n);
    if (!between) return AVAL_PLUGIN_UNSUPPORTED;
    int status = host->launch(call, AVAL_LAUNCH(.kernel = "reverse", .dims = 1, .global = { (uint64_t)n },
                                                AVAL_ARGS(AVAL_READ(from), AVAL_WRITE(between), AVAL_I64(n), AVAL_I64(s.length),
                                                          AVAL_REAL(host->attr_float(call, "factor"))),
                                                AVAL_DEFINES({ "SIGN", -1 })));
    return status == 0 ? host->copy(call, to, 0, between, 0, n) : status;
}

static int flip_infer(const aval_host *host, aval_call *call)
{
    if (host->rank(host->input(call, 0)) == 0)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "X: expected at least one axis, found a scalar");
    return aval_infer_like(host, call, 0, 0);
}

static int flip_forward(const aval_host *host, aval_call *call)
{
    return record(host, call, host->input(call, 0), host->output(call, 0));
}

static int flip_backward(const aval_host *host, aval_call *call)
{
    return record(host, call, host->upstream(call, 0), host->gradient(call, 0));
}

static int flip_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    aval_split s = aval_split_at(host, x, aval_axis(-1, host->rank(x)));
    const double *from = host->real(call, x);
    double *to = host->real(call, y), factor = -host->attr_float(call, "factor");
    for (int64_t i = 0; i < host->count(x); i++) to[i] = factor * from[i - i % s.length + s.length - 1 - i % s.length];
    return 0;
}

static const aval_op flip = {
    .size = sizeof(aval_op),
    .name = "Flip",
    .domain = "frozen",
    .since = 1,
    .deterministic = 1,
    .doc = "-factor x, the last axis reversed.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS({ .name = "factor", .type = AVAL_ATTR_FLOAT, .initial = "2" }),
    .infer = flip_infer,
    .kernels = "frozen.cl",
    .forward = flip_forward,
    .backward = flip_backward,
    .reference = flip_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[3,4]" }, { .inputs = "[7]", .attrs = "factor=-0.5" }, { .inputs = "[0,3]" },
                            { .inputs = "[5,1]" }, { .inputs = "[300,301]", .size_class = AVAL_LARGE }),
};

/* ---- A matrix product, whose backward keeps inputs and may add -------------------------------------------------------------------------- */

static int outer_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *a = host->input(call, 0), *b = host->input(call, 1);
    if (host->rank(a) != 1 || host->rank(b) != 1) return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "expected two vectors");
    const int64_t dims[2] = { host->dims(a)[0], host->dims(b)[0] };
    return host->set_output(call, 0, host->type(a), 2, dims);
}

static int outer_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *a = host->input(call, 0), *b = host->input(call, 1), *y = host->output(call, 0);
    int64_t m = host->count(a), n = host->count(b);
    return host->gemm(call, &(const aval_gemm){ .size = sizeof(aval_gemm),
                                                .m = m,
                                                .n = n,
                                                .k = 1,
                                                .alpha = 1,
                                                .a = { .tensor = a, .ld = 1 },
                                                .b = { .tensor = b, .ld = n },
                                                .c = { .tensor = y, .ld = n } });
}

static int outer_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *a = host->input(call, 0), *b = host->input(call, 1), *g = host->upstream(call, 0);
    const aval_tensor *da = host->gradient(call, 0), *db = host->gradient(call, 1);
    int64_t m = host->count(a), n = host->count(b);
    int status = 0;
    if (da)
        status = host->gemm(call, &(const aval_gemm){ .size = sizeof(aval_gemm),
                                                      .m = m,
                                                      .n = 1,
                                                      .k = n,
                                                      .alpha = 1,
                                                      .beta = host->accumulate(call, 0),
                                                      .a = { .tensor = g, .ld = n },
                                                      .b = { .tensor = b, .ld = 1 },
                                                      .c = { .tensor = da, .ld = 1 } });
    if (status == 0 && db)
        status = host->gemm(call, &(const aval_gemm){ .size = sizeof(aval_gemm),
                                                      .m = 1,
                                                      .n = n,
                                                      .k = m,
                                                      .alpha = 1,
                                                      .a = { .tensor = a, .ld = m },
                                                      .b = { .tensor = g, .ld = n },
                                                      .c = { .tensor = db, .ld = n } });
    return status;
}

static int outer_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *a = host->input(call, 0), *b = host->input(call, 1), *y = host->output(call, 0);
    int64_t n = host->count(b);
    for (int64_t i = 0; i < host->count(y); i++) host->real(call, y)[i] = host->real(call, a)[i / n] * host->real(call, b)[i % n];
    return 0;
}

static const aval_op outer = {
    .size = sizeof(aval_op),
    .name = "Outer",
    .domain = "frozen",
    .since = 1,
    .deterministic = 1,
    .doc = "The outer product of two vectors.",
    .inputs = AVAL_PORTS({ .name = "A" }, { .name = "B", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y", .like = AVAL_LIKE(0) }),
    .infer = outer_infer,
    .forward = outer_forward,
    .backward = outer_backward,
    .keeps = AVAL_KEEP_INPUT(0) | AVAL_KEEP_INPUT(1),
    .accumulates = 1,
    .reference = outer_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[3] [4]" }, { .inputs = "[1] [5]" }),
};

/* ---- A view: content of a shape input, integers, an alias, any number of inputs --------------------------------------------------------- */

static int part_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    const int64_t *first = host->content(call, 1);
    if (!first) return host->fail(call, AVAL_NEEDS_CONTENT, "first is not known");
    if (host->rank(x) != 1 || *first < 0 || *first + 2 > host->dims(x)[0])
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "expected two elements from %lld on", (long long)*first);
    return host->set_output(call, 0, host->type(x), 1, (const int64_t[]){ 2 });
}

static int part_forward(const aval_host *host, aval_call *call)
{
    return host->alias(call, host->output(call, 0), host->input(call, 0), *(const int64_t *)host->content(call, 1));
}

static int part_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *dx = host->gradient(call, 0);
    int status = host->fill(call, dx, 0);
    return status == 0 ? host->copy(call, dx, *(const int64_t *)host->content(call, 1), host->upstream(call, 0), 0, 2) : status;
}

static int part_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    int64_t first = *(const int64_t *)host->content(call, 1);
    for (int64_t i = 0; i < 2; i++) host->real(call, y)[i] = host->real(call, x)[first + i];
    return 0;
}

static const aval_op part = {
    .size = sizeof(aval_op),
    .name = "Part",
    .domain = "frozen",
    .since = 1,
    .deterministic = 1,
    .doc = "Two elements of a vector.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "first", .types = AVAL_TYPE_SET(AVAL_INT64), .flags = AVAL_SHAPE_INPUT }),
    .outputs = AVAL_PORTS({ .name = "Y", .like = AVAL_LIKE(0) }),
    .infer = part_infer,
    .forward = part_forward,
    .backward = part_backward,
    .reference = part_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[5] i64[]{1}" }, { .inputs = "[2] i64[]{0}" }),
};

/* ---- A state that is updated in place ---------------------------------------------------------------------------------------------------- */

static const aval_op decay = {
    .size = sizeof(aval_op),
    .name = "Decay",
    .domain = "frozen",
    .since = 1,
    .deterministic = 1,
    .doc = "A running mean: 0.9 of what it was, and 0.1 of X.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "M" }),
    .outputs = AVAL_PORTS({ .name = "N", .updates = AVAL_UPDATES(1) }),
    .expressions = AVAL_TEXTS("0.9 * M + 0.1 * X"),
    .samples = AVAL_SAMPLES({ .inputs = "[4] [4]" }),
};

/* ---- No gradient, and why ------------------------------------------------------------------------------------------------------------------ */

static const aval_op parity = {
    .size = sizeof(aval_op),
    .name = "Parity",
    .domain = "frozen",
    .since = 1,
    .deterministic = 1,
    .doc = "Whether an integer is odd.",
    .inputs = AVAL_PORTS({ .name = "X", .types = AVAL_INTS }),
    .outputs = AVAL_PORTS({ .name = "Y", .types = AVAL_INTS, .like = AVAL_LIKE(0) }),
    .expressions = AVAL_TEXTS("X & 1"),
    .no_gradient = "integers have none",
    .samples = AVAL_SAMPLES({ .inputs = "i64[4]{-1,0,3,8}" }, { .inputs = "u8[3]{0,1,255}" }),
};

static const aval_op *const ops[] = { &bend, &energy, &flip, &outer, &part, &decay, &parity, NULL };
static const aval_kernel_source sources[] = { { .name = "frozen.cl", .text = kernels }, { .name = NULL } };

AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = {
    .abi = AVAL_PLUGIN_ABI, .size = sizeof(aval_plugin), .name = "frozen", .version = "1", .ops = ops, .sources = sources
};
