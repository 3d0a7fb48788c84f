/* A plugin of healthy operators and of the same with planted faults: a row of faults.h each.  The attribute `fault` carries the row's number to the
 * recorders, and the macro FAULT to the kernels. */
#include "aval/plugin.h"

#include "faults.cl.h"
#include "faults.h"

#include <math.h>

#define BUILT_FOR(fault) AVAL_DEFINES({ "FAULT", fault })

static int64_t fault_of(const aval_host *host, const aval_call *call)
{
    return host->attr_int(call, "fault");
}

/* ---- SQUARE: y = x^2 + 3 x ------------------------------------------------------------------------------------------------------ */

/* 2 where the recorder itself is at fault for this shape. */
static double shape_factor(const aval_host *host, const aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t fault = fault_of(host, call);
    uint32_t rank = host->rank(x);
    return (fault == 27 && rank > 1 && host->dims(x)[0] == 1) || (fault == 30 && rank == 0) || (fault == 31 && rank == AVAL_MAX_RANK) ? 2
                                                                                                                                      : 1;
}

static int square_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    if (fault_of(host, call) == 55 && host->rank(x) > 1)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input X has %u axes, expected 1", (unsigned)host->rank(x));
    return aval_infer_like(host, call, 0, 0);
}

static int square_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    int64_t n = host->count(x), fault = fault_of(host, call);
    const aval_tensor *order = host->scratch(call, AVAL_INT32, 1);
    if (n == 0) return 0;
    int status = host->fill(call, order, 0);
    if (status < 0) return status;
    const aval_arg args[] = { AVAL_READ(x), AVAL_WRITE(y), AVAL_UPDATE(order), AVAL_I64(n), AVAL_REAL(shape_factor(host, call)) };
    return host->launch(call, AVAL_LAUNCH(.kernel = "square_forward", .global = { (uint64_t)n + 1 }, .local = { 64 }, BUILT_FOR(fault),
                                          .args = args, .n_args = fault == 53 ? 4 : 5));
}

static int square_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *g = host->upstream(call, 0), *dx = host->gradient(call, 0);
    int64_t n = host->count(dx), fault = fault_of(host, call);
    if (n == 0 || fault == 14) return 0;
    return host->launch(call, AVAL_LAUNCH(.kernel = "square_backward", .global = { (uint64_t)n }, BUILT_FOR(fault),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_READ(g), AVAL_WRITE(dx), AVAL_I64(n), AVAL_REAL(1))));
}

static int square_reference(const aval_host *host, aval_call *call)
{
    const double *x = host->real(call, host->input(call, 0));
    double *y = host->real(call, host->output(call, 0));
    for (int64_t i = 0; i < host->count(host->input(call, 0)); i++) y[i] = x[i] * x[i] + 3 * x[i];
    return 0;
}

#define SQUARE(n) \
    .inputs = AVAL_PORTS({ .name = "X" }), .outputs = AVAL_PORTS({ .name = "Y" }), .attrs = AVAL_ATTRS(FAULT_ATTR(n)), \
    .infer = square_infer, .forward = square_forward, .backward = square_backward, .reference = square_reference, \
    .keeps = (n) == 33 ? 0 : AVAL_KEEP_INPUT(0), \
    .samples = AVAL_SAMPLES({ .inputs = "[2,100]" }, { .inputs = "[3,129]" }, { .inputs = "[1,2,1,2,2,2,3,3]" }, { .inputs = "[4,64]" }, \
                            { .inputs = "[70]" }, { .inputs = "[1,77]" }, { .inputs = "[]" }, { .inputs = "[1]" }, { .inputs = "[0]" }, \
                            { .inputs = "[257,259]", .size_class = AVAL_LARGE })

/* ---- BIAS: y = 3 x + b -------------------------------------------------------------------------------------------------------------- */

static int bias_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *b = host->input(call, 1), *y = host->output(call, 0);
    int64_t n = host->count(x);
    return host->launch(call, AVAL_LAUNCH(.kernel = "bias_forward", .global = { (uint64_t)n }, BUILT_FOR(fault_of(host, call)),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_READ(b), AVAL_WRITE(y), AVAL_I64(n), AVAL_I64(host->count(b)))));
}

static int bias_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *g = host->upstream(call, 0), *dx = host->gradient(call, 0), *db = host->gradient(call, 1);
    int64_t n = host->count(g), fault = fault_of(host, call);
    int status = 0;
    if (dx != NULL)
        status = host->launch(call, AVAL_LAUNCH(.kernel = "bias_backward_x", .global = { (uint64_t)n }, BUILT_FOR(fault),
                                                AVAL_ARGS(AVAL_READ(g), AVAL_WRITE(dx), AVAL_I64(n))));
    if (status < 0 || db == NULL) return status;
    int64_t cols = host->count(db);
    return host->launch(call, AVAL_LAUNCH(.kernel = "bias_backward_b", .global = { (uint64_t)cols }, BUILT_FOR(fault),
                                          AVAL_ARGS(AVAL_READ(g), AVAL_WRITE(db), AVAL_I64(n / cols), AVAL_I64(cols))));
}

static int bias_reference(const aval_host *host, aval_call *call)
{
    const double *x = host->real(call, host->input(call, 0)), *b = host->real(call, host->input(call, 1));
    double *y = host->real(call, host->output(call, 0));
    int64_t cols = host->count(host->input(call, 1));
    for (int64_t i = 0; i < host->count(host->input(call, 0)); i++) y[i] = 3 * x[i] + b[i % cols];
    return 0;
}

#define BIAS(n) \
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "B", .like = AVAL_LIKE(0) }), .outputs = AVAL_PORTS({ .name = "Y" }), \
    .attrs = AVAL_ATTRS(FAULT_ATTR(n)), .forward = bias_forward, .backward = bias_backward, .reference = bias_reference, \
    .samples = AVAL_SAMPLES({ .inputs = "[5,7] [7]" }, { .inputs = "[16,16] [16]" }, { .inputs = "[4,33] [33]" })

/* ---- PRODUCT: y = a b^2 ----------------------------------------------------------------------------------------------------------------- */

static int product_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *a = host->input(call, 0), *b = host->input(call, 1), *y = host->output(call, 0);
    int64_t n = host->count(a);
    return host->launch(call, AVAL_LAUNCH(.kernel = "product_forward", .global = { (uint64_t)n }, BUILT_FOR(fault_of(host, call)),
                                          AVAL_ARGS(AVAL_READ(a), AVAL_READ(b), AVAL_WRITE(y), AVAL_I64(n))));
}

static int product_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *a = host->input(call, 0), *b = host->input(call, 1), *g = host->upstream(call, 0);
    int64_t n = host->count(a);
    for (int which = 0; which < 2; which++) {
        const aval_tensor *d = host->gradient(call, (size_t)which);
        if (d == NULL) continue;
        int status = host->launch(
            call, AVAL_LAUNCH(.kernel = "product_backward", .global = { (uint64_t)n }, BUILT_FOR(fault_of(host, call)),
                              AVAL_ARGS(AVAL_READ(a), AVAL_READ(b), AVAL_READ(g), AVAL_WRITE(d), AVAL_I64(n), AVAL_I32(which))));
        if (status < 0) return status;
    }
    return 0;
}

static int product_reference(const aval_host *host, aval_call *call)
{
    const double *a = host->real(call, host->input(call, 0)), *b = host->real(call, host->input(call, 1));
    double *y = host->real(call, host->output(call, 0));
    for (int64_t i = 0; i < host->count(host->input(call, 0)); i++) y[i] = a[i] * b[i] * b[i];
    return 0;
}

#define PRODUCT(n) \
    .inputs = AVAL_PORTS({ .name = "A" }, { .name = "B", .like = AVAL_LIKE(0) }), .outputs = AVAL_PORTS({ .name = "Y" }), \
    .attrs = AVAL_ATTRS(FAULT_ATTR(n)), .forward = product_forward, .backward = product_backward, .reference = product_reference, \
    .keeps = AVAL_KEEP_INPUT(0) | AVAL_KEEP_INPUT(1), .samples = AVAL_SAMPLES({ .inputs = "[3,5] [3,5]" }, { .inputs = "[40] [40]" })

/* ---- MATRIX: y = x w ------------------------------------------------------------------------------------------------------------------------ */

static int matrix_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *w = host->input(call, 1);
    return host->set_output(call, 0, host->type(x), 2, (const int64_t[]){ host->dims(x)[0], host->dims(w)[1] });
}

static int matrix_launch(const aval_host *host, aval_call *call, const aval_tensor *a, const aval_tensor *b, const aval_tensor *c,
                         const int64_t sizes[3], const int64_t steps[4], int of_weights)
{
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "matrix", .global = { (uint64_t)(sizes[0] * sizes[1]) }, BUILT_FOR(fault_of(host, call)),
                          AVAL_ARGS(AVAL_READ(a), AVAL_READ(b), AVAL_WRITE(c), AVAL_I64(sizes[0]), AVAL_I64(sizes[1]), AVAL_I64(sizes[2]),
                                    AVAL_I64(steps[0]), AVAL_I64(steps[1]), AVAL_I64(steps[2]), AVAL_I64(steps[3]), AVAL_I32(of_weights))));
}

static int matrix_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *w = host->input(call, 1);
    int64_t m = host->dims(x)[0], k = host->dims(x)[1], n = host->dims(w)[1];
    return matrix_launch(host, call, x, w, host->output(call, 0), (const int64_t[]){ m, n, k }, (const int64_t[]){ k, 1, n, 1 }, 0);
}

/* dx = g w^T, dw = x^T g */
static int matrix_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *w = host->input(call, 1), *g = host->upstream(call, 0), *dx = host->gradient(call, 0),
                      *dw = host->gradient(call, 1);
    int64_t m = host->dims(x)[0], k = host->dims(x)[1], n = host->dims(w)[1];
    int status = dx == NULL ? 0 : matrix_launch(host, call, g, w, dx, (const int64_t[]){ m, k, n }, (const int64_t[]){ n, 1, 1, n }, 0);
    if (status < 0 || dw == NULL) return status;
    return matrix_launch(host, call, x, g, dw, (const int64_t[]){ k, n, m }, (const int64_t[]){ 1, k, n, 1 }, 1);
}

static int matrix_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *w = host->input(call, 1), *y = host->output(call, 0);
    int64_t m = host->dims(x)[0], k = host->dims(x)[1], n = host->dims(w)[1];
    for (int64_t i = 0; i < m * n; i++) {
        double sum = 0;
        for (int64_t l = 0; l < k; l++) sum += host->real(call, x)[i / n * k + l] * host->real(call, w)[l * n + i % n];
        host->real(call, y)[i] = sum;
    }
    return 0;
}

#define MATRIX(n) \
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "W", .like = AVAL_LIKE(0) }), .outputs = AVAL_PORTS({ .name = "Y" }), \
    .attrs = AVAL_ATTRS(FAULT_ATTR(n)), .infer = matrix_infer, .forward = matrix_forward, .backward = matrix_backward, \
    .reference = matrix_reference, .keeps = AVAL_KEEP_INPUT(0) | AVAL_KEEP_INPUT(1), \
    .samples = AVAL_SAMPLES({ .inputs = "[4,3] [3,5]" }, { .inputs = "[3,3] [3,3]" }, { .inputs = "[7,2] [2,6]" })

/* ---- RMS: y = x / sqrt(mean x^2 + epsilon) by rows ---------------------------------------------------------------------------------------- */

static int rms_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    int64_t cols = host->dims(x)[1], rows = host->dims(x)[0];
    return host->launch(call, AVAL_LAUNCH(.kernel = "rms_forward", .global = { (uint64_t)rows }, BUILT_FOR(fault_of(host, call)),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(y), AVAL_I64(rows), AVAL_I64(cols),
                                                    AVAL_REAL(host->attr_float(call, "epsilon")))));
}

static int rms_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *g = host->upstream(call, 0), *dx = host->gradient(call, 0);
    int64_t cols = host->dims(x)[1], rows = host->dims(x)[0];
    return host->launch(call, AVAL_LAUNCH(.kernel = "rms_backward", .global = { (uint64_t)rows }, BUILT_FOR(fault_of(host, call)),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_READ(g), AVAL_WRITE(dx), AVAL_I64(rows), AVAL_I64(cols),
                                                    AVAL_REAL(host->attr_float(call, "epsilon")))));
}

static int rms_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *t = host->input(call, 0);
    int64_t cols = host->dims(t)[1];
    const double *x = host->real(call, t);
    double *y = host->real(call, host->output(call, 0));
    for (int64_t i = 0; i < host->count(t); i += cols) {
        double sum = 0;
        for (int64_t j = 0; j < cols; j++) sum += x[i + j] * x[i + j];
        for (int64_t j = 0; j < cols; j++) y[i + j] = x[i + j] / sqrt(sum / (double)cols + host->attr_float(call, "epsilon"));
    }
    return 0;
}

#define RMS(n) \
    .inputs = AVAL_PORTS({ .name = "X" }), .outputs = AVAL_PORTS({ .name = "Y" }), \
    .attrs = AVAL_ATTRS(FAULT_ATTR(n), \
                        { .name = "epsilon", .type = AVAL_ATTR_FLOAT, .initial = "0.01", .doc = "added to the mean of squares" }), \
    .forward = rms_forward, .backward = rms_backward, .reference = rms_reference, .keeps = AVAL_KEEP_INPUT(0), \
    .samples = AVAL_SAMPLES({ .inputs = "[3,5]" }, { .inputs = "[4,17]" }, { .inputs = "[5,4]", .attrs = "epsilon=0.1" })

/* ---- SUM: along an axis of three -------------------------------------------------------------------------------------------------------------- */

static int sum_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t axis = host->attr_int(call, "axis"), dims[2];
    if (host->rank(x) != 3 || axis < 0 || axis > 2) return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "expected 3 axes and one of them");
    for (int64_t i = 0, n = 0; i < 3; i++) {
        if (i != axis) dims[n++] = host->dims(x)[i];
    }
    return host->set_output(call, 0, host->type(x), 2, dims);
}

static aval_split sum_split(const aval_host *host, const aval_call *call, const aval_tensor *x)
{
    int64_t axis = host->attr_int(call, "axis");
    return aval_split_at(host, x, fault_of(host, call) == 46 && host->phase(call) != AVAL_PHASE_REFERENCE ? (axis + 1) % 3 : axis);
}

static int sum_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    aval_split s = sum_split(host, call, x);
    if (host->count(x) == 0) return fault_of(host, call) == 49 || host->count(y) == 0 ? 0 : host->fill(call, y, 0);
    return host->launch(call,
                        AVAL_LAUNCH(.kernel = "sum_forward", .global = { (uint64_t)(s.outer * s.inner) }, BUILT_FOR(fault_of(host, call)),
                                    AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(y), AVAL_I64(s.outer), AVAL_I64(s.length), AVAL_I64(s.inner),
                                              AVAL_REAL(host->attr_float(call, "scale")))));
}

static int sum_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *g = host->upstream(call, 0), *dx = host->gradient(call, 0);
    aval_split s = sum_split(host, call, dx);
    if (host->count(dx) == 0) return 0;
    return host->launch(call,
                        AVAL_LAUNCH(.kernel = "sum_backward", .global = { (uint64_t)host->count(dx) }, BUILT_FOR(fault_of(host, call)),
                                    AVAL_ARGS(AVAL_READ(g), AVAL_WRITE(dx), AVAL_I64(s.outer), AVAL_I64(s.length), AVAL_I64(s.inner),
                                              AVAL_REAL(host->attr_float(call, "scale")))));
}

static int sum_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    aval_split s = sum_split(host, call, x);
    for (int64_t i = 0; i < host->count(y); i++) {
        double sum = 0;
        for (int64_t j = 0; j < s.length; j++) sum += host->real(call, x)[(i / s.inner * s.length + j) * s.inner + i % s.inner];
        host->real(call, y)[i] = host->attr_float(call, "scale") * sum;
    }
    return 0;
}

#define SUM(n) \
    .inputs = AVAL_PORTS({ .name = "X" }), .outputs = AVAL_PORTS({ .name = "Y" }), \
    .attrs = AVAL_ATTRS(FAULT_ATTR(n), { .name = "axis", .type = AVAL_ATTR_INT, .initial = "1", .doc = "summed over" }, \
                        { .name = "scale", .type = AVAL_ATTR_FLOAT, .initial = "1", .doc = "the sum is multiplied by it" }), \
    .infer = sum_infer, .forward = sum_forward, .backward = sum_backward, .reference = sum_reference, \
    .samples = AVAL_SAMPLES({ .inputs = "[4,4,4]" }, { .inputs = "[3,3,3]", .attrs = "axis=0" }, \
                            { .inputs = "[4,4,4]", .attrs = "axis=2 scale=2.5" }, { .inputs = "[3,5,2]", .attrs = "scale=-3" }, \
                            { .inputs = "[3,0,2]" })

/* ---- LIMIT: y = max(x, 0) ------------------------------------------------------------------------------------------------------------------------ */

/* Each element of the output from that of the input. */
static int launch_each(const aval_host *host, aval_call *call, const char *kernel)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    int64_t n = host->count(x);
    return host->launch(call, AVAL_LAUNCH(.kernel = kernel, .global = { (uint64_t)n }, BUILT_FOR(fault_of(host, call)),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(y), AVAL_I64(n))));
}

static int limit_forward(const aval_host *host, aval_call *call)
{
    return launch_each(host, call, "limit_forward");
}

static int limit_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *g = host->upstream(call, 0), *dx = host->gradient(call, 0);
    int64_t n = host->count(x);
    return host->launch(call, AVAL_LAUNCH(.kernel = "limit_backward", .global = { (uint64_t)n }, BUILT_FOR(fault_of(host, call)),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_READ(g), AVAL_WRITE(dx), AVAL_I64(n))));
}

static int limit_reference(const aval_host *host, aval_call *call)
{
    const double *x = host->real(call, host->input(call, 0));
    double *y = host->real(call, host->output(call, 0));
    for (int64_t i = 0; i < host->count(host->input(call, 0)); i++) y[i] = x[i] > 0 ? x[i] : 0;
    return 0;
}

#define LIMIT_OF(n, ...) \
    .inputs = AVAL_PORTS({ .name = "X" }), .outputs = AVAL_PORTS({ .name = "Y" }), .attrs = AVAL_ATTRS(FAULT_ATTR(n)), \
    .forward = limit_forward, .backward = limit_backward, .reference = limit_reference, .keeps = AVAL_KEEP_INPUT(0), \
    .subgradient = "0 at 0", .samples = AVAL_SAMPLES(__VA_ARGS__)
#define LIMIT(n) \
    LIMIT_OF(n, { .inputs = "[3,6]", .flags = AVAL_DISTINCT }, { .inputs = "[20]", .flags = AVAL_DISTINCT }, \
             { .inputs = "[6]{-1,0,1,0,2,0}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "ties" })
#define LIMIT_UNMARKED(n) LIMIT_OF(n, { .inputs = "[3,6]", .flags = AVAL_DISTINCT }, { .inputs = "[6]{-1,0,1,0,2,0}" })

/* ---- FLOOR: the whole part of 10 x --------------------------------------------------------------------------------------------------------------------- */

static int floor_forward(const aval_host *host, aval_call *call)
{
    return launch_each(host, call, "floor_forward");
}

static int floor_reference(const aval_host *host, aval_call *call)
{
    const double *x = host->real(call, host->input(call, 0));
    double *y = host->real(call, host->output(call, 0));
    for (int64_t i = 0; i < host->count(host->input(call, 0)); i++) y[i] = floor(10 * x[i]);
    return 0;
}

/* 0.7 as a float is less than 0.7, and 10 times it, as a float, is 7. */
#define FLOOR(n) \
    .inputs = AVAL_PORTS({ .name = "X" }), .outputs = AVAL_PORTS({ .name = "Y" }), .attrs = AVAL_ATTRS(FAULT_ATTR(n)), \
    .forward = floor_forward, .reference = floor_reference, .zero_gradient = 1, \
    .samples = AVAL_SAMPLES({ .inputs = "[3]{0.25,0.7,1.37}" }, { .inputs = "[20]" })

/* ---- COUNT: the sum of 64-bit integers ---------------------------------------------------------------------------------------------------------------- */

static int count_infer(const aval_host *host, aval_call *call)
{
    return host->set_output(call, 0, AVAL_INT64, 0, NULL);
}

static int count_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    return host->launch(call, AVAL_LAUNCH(.kernel = "count_forward", .global = { 1 }, BUILT_FOR(fault_of(host, call)),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(y), AVAL_I64(host->count(x)))));
}

static int count_reference(const aval_host *host, aval_call *call)
{
    const int64_t *x = host->integer(call, host->input(call, 0));
    int64_t sum = 0;
    for (int64_t i = 0; i < host->count(host->input(call, 0)); i++) sum += x[i];
    host->integer(call, host->output(call, 0))[0] = sum;
    return 0;
}

#define COUNT(n) \
    .inputs = AVAL_PORTS({ .name = "X", .types = AVAL_TYPE_SET(AVAL_INT64) }), \
    .outputs = AVAL_PORTS({ .name = "Y", .types = AVAL_TYPE_SET(AVAL_INT64) }), .attrs = AVAL_ATTRS(FAULT_ATTR(n)), .infer = count_infer, \
    .forward = count_forward, .reference = count_reference, \
    .samples = AVAL_SAMPLES({ .inputs = "i64[3]{3000000000,-7,2000000000}" }, { .inputs = "i64[2]{5,6}" })

/* ---- LOCAL: reversed in groups of four, through local memory --------------------------------------------------------------------------------------- */

static int local_launch(const aval_host *host, aval_call *call, const aval_tensor *from, const aval_tensor *to)
{
    int64_t n = host->count(from);
    return host->launch(call, AVAL_LAUNCH(.kernel = "local_forward", .global = { (uint64_t)n }, .local = { 4 },
                                          BUILT_FOR(fault_of(host, call)), AVAL_ARGS(AVAL_READ(from), AVAL_WRITE(to), AVAL_I64(n))));
}

static int local_forward(const aval_host *host, aval_call *call)
{
    return local_launch(host, call, host->input(call, 0), host->output(call, 0));
}

static int local_backward(const aval_host *host, aval_call *call)
{
    return local_launch(host, call, host->upstream(call, 0), host->gradient(call, 0));
}

static int local_reference(const aval_host *host, aval_call *call)
{
    const double *x = host->real(call, host->input(call, 0));
    double *y = host->real(call, host->output(call, 0));
    for (int64_t i = 0; i < host->count(host->input(call, 0)); i++) y[i] = 2 * x[i / 4 * 4 + 3 - i % 4];
    return 0;
}

#define LOCAL(n) \
    .inputs = AVAL_PORTS({ .name = "X" }), .outputs = AVAL_PORTS({ .name = "Y" }), .attrs = AVAL_ATTRS(FAULT_ATTR(n)), \
    .forward = local_forward, .backward = local_backward, .reference = local_reference, \
    .samples = AVAL_SAMPLES({ .inputs = "[8]" }, { .inputs = "[4,4]" })

/* ---- A row, an operator ------------------------------------------------------------------------------------------------------------------------------- */

#define FAULT_ATTR(n) \
    { \
        .name = "fault", .type = AVAL_ATTR_INT, .initial = #n, .doc = "the row of faults.h" \
    }
#define DEFINE(n, base, wrong, where, name_) \
    static const aval_op fault_##n = { .size = sizeof(aval_op), \
                                       .name = "Fault" #n, \
                                       .domain = "aval", \
                                       .since = 1, \
                                       .deterministic = 1, \
                                       .doc = "planted: " wrong ".", \
                                       base(n) };
FAULTS(DEFINE)

#define LIST(n, base, wrong, where, name_) &fault_##n,
static const aval_op *const ops[] = { FAULTS(LIST) NULL };
static const aval_kernel_source sources[] = { { .name = "faults.cl", .text = faults_cl }, { .name = NULL } };

AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = {
    .abi = AVAL_PLUGIN_ABI, .size = sizeof(aval_plugin), .name = "faults", .version = "1", .ops = ops, .sources = sources
};
