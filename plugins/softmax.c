/* Softmax and its logarithm along one axis; before opset 13 over all axes from one on. */
#include "support.h"

#include "softmax.cl.h"

/* ---- Softmax, LogSoftmax ---------------------------------------------------------------------------------------------------- */

static int softmax_infer(const aval_host *host, aval_call *call)
{
    uint32_t rank = host->rank(host->input(call, 0));
    if (aval_axis(host->attr_int(call, "axis"), rank) < 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute axis is %lld, out of range for %u axes",
                          (long long)host->attr_int(call, "axis"), (unsigned)rank);
    return aval_infer_like(host, call, 0, 0);
}

static aval_split softmax_split(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    return aval_split_at(host, x, aval_axis(host->attr_int(call, "axis"), host->rank(x)));
}

/* On CPUs neighbouring rows are taken by vectors (VN in vector.clh): so many of them a work-item, a multiple; 0: they are too few. */
static int64_t column_width(const aval_host *host, aval_call *call, aval_split s)
{
    const aval_device_info *device = host->device(call);
    int64_t vector = host->type(host->input(call, 0)) == AVAL_DOUBLE ? 8 : 16;
    if (device->group > 1 || s.inner < vector) return 0;
    int64_t pieces = (int64_t)(device->compute_units > 0 ? device->compute_units : 1) * PIECES_PER_UNIT;
    int64_t even = s.outer * s.inner / pieces, most = NEAR_ELEMENTS / s.length, width = even < most ? even : most;
    width = (width + vector - 1) / vector * vector;
    return width < vector ? vector : width < s.inner ? width : s.inner;
}

/* Members of aval_launch. */
#define BY_COLUMNS(s, width) BY_GROUPS(1, (s).outer *(((s).inner + (width)-1) / (width)))

static int record_softmax(const aval_host *host, aval_call *call, int logarithm)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    aval_split s = softmax_split(host, call);
    if (host->count(x) == 0) return 0;
    int64_t width = column_width(host, call, s);
    TRY(take_scores(host, call, x, y, s.inner));
    if (width > 0)
        return host->launch(call, AVAL_LAUNCH(.kernel = "softmax_columns", BY_COLUMNS(s, width),
                                              AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(y), AVAL_I64(s.outer), AVAL_I64(s.length),
                                                        AVAL_I64(s.inner), AVAL_I64(width), AVAL_I32(logarithm))));
    const aval_device_info *device = host->device(call);
    int64_t rows = s.outer * s.inner, chunk = chunk_of(device, rows, s.length);
    return host->launch(call, AVAL_LAUNCH(.kernel = "softmax_forward", BY_CHUNKS(device, rows, chunk),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(y), AVAL_I64(rows), AVAL_I64(chunk), AVAL_I64(s.length),
                                                    AVAL_I64(s.inner), AVAL_I32(logarithm))));
}

static int record_softmax_backward(const aval_host *host, aval_call *call, int logarithm)
{
    const aval_tensor *y = host->output(call, 0), *g = host->upstream(call, 0), *dx = host->gradient(call, 0);
    aval_split s = softmax_split(host, call);
    if (host->count(dx) == 0) return 0;
    int64_t width = column_width(host, call, s);
    if (width > 0)
        return host->launch(call, AVAL_LAUNCH(.kernel = "softmax_columns_backward", BY_COLUMNS(s, width),
                                              AVAL_ARGS(AVAL_READ(y), AVAL_READ(g), AVAL_WRITE(dx), AVAL_I64(s.outer), AVAL_I64(s.length),
                                                        AVAL_I64(s.inner), AVAL_I64(width), AVAL_I32(logarithm))));
    const aval_device_info *device = host->device(call);
    int64_t rows = s.outer * s.inner, chunk = chunk_of(device, rows, s.length);
    return host->launch(call, AVAL_LAUNCH(.kernel = "softmax_backward", BY_CHUNKS(device, rows, chunk),
                                          AVAL_ARGS(AVAL_READ(y), AVAL_READ(g), AVAL_WRITE(dx), AVAL_I64(rows), AVAL_I64(chunk),
                                                    AVAL_I64(s.length), AVAL_I64(s.inner), AVAL_I32(logarithm))));
}

/* log softmax of a row of `length` scores, `step` elements apart. */
static void log_softmax(const double *x, double *y, int64_t length, int64_t step)
{
    double best = -INFINITY, sum = 0;
    for (int64_t j = 0; j < length; j++) best = fmax(best, x[j * step]);
    for (int64_t j = 0; j < length; j++) sum += exp(x[j * step] - best);
    for (int64_t j = 0; j < length; j++) y[j * step] = x[j * step] - best - log(sum);
}

static int log_softmax_reference(const aval_host *host, aval_call *call)
{
    const double *x = host->real(call, host->input(call, 0));
    double *y = host->real(call, host->output(call, 0));
    aval_split s = softmax_split(host, call);
    for (int64_t r = 0; r < s.outer * s.inner; r++) {
        int64_t at = r / s.inner * s.length * s.inner + r % s.inner;
        log_softmax(x + at, y + at, s.length, s.inner);
    }
    return 0;
}

static int softmax_reference(const aval_host *host, aval_call *call)
{
    TRY(log_softmax_reference(host, call));
    double *y = host->real(call, host->output(call, 0));
    for (int64_t i = 0; i < host->count(host->output(call, 0)); i++) y[i] = exp(y[i]);
    return 0;
}

static int softmax_forward(const aval_host *host, aval_call *call)
{
    return record_softmax(host, call, 0);
}

static int softmax_backward(const aval_host *host, aval_call *call)
{
    return record_softmax_backward(host, call, 0);
}

static int log_softmax_forward(const aval_host *host, aval_call *call)
{
    return record_softmax(host, call, 1);
}

static int log_softmax_backward(const aval_host *host, aval_call *call)
{
    return record_softmax_backward(host, call, 1);
}

/* ---- Before opset 13 ------------------------------------------------------------------------------------------------------------ */

static int flat_body(const aval_host *host, aval_call *call, const char *op)
{
    const aval_tensor *x = host->input(call, 0), *t;
    text attrs = { 0 };
    text_int(&attrs, "axis", aval_axis(host->attr_int(call, "axis"), host->rank(x)));
    TRY(host->apply(call, "Flatten", attrs.at, 1, &x, 1, &t));
    TRY(host->apply(call, op, "axis=1", 1, &t, 1, &t));
    TRY(reshaped(host, call, t, host->rank(x), host->dims(x), &t));
    return host->yield(call, 0, t);
}

static int flat_softmax_body(const aval_host *host, aval_call *call)
{
    return flat_body(host, call, "Softmax");
}

static int flat_log_softmax_body(const aval_host *host, aval_call *call)
{
    return flat_body(host, call, "LogSoftmax");
}

/* ---- The table -------------------------------------------------------------------------------------------------------------------- */

#define FLAT(op_name, body_function) \
    .size = sizeof(aval_op), .name = op_name, .since = 1, .deterministic = 1, \
    .doc = "The form before opset 13: axes from `axis` on are one.", .inputs = AVAL_PORTS({ .name = "input" }), \
    .outputs = AVAL_PORTS({ .name = "output" }), .infer = softmax_infer, .body = body_function, \
    .attrs = AVAL_ATTRS({ .name = "axis", .type = AVAL_ATTR_INT, .initial = "1", .doc = "first of the axes that are normalised" }), \
    .samples = AVAL_SAMPLES({ .inputs = "[3,5]" }, { .inputs = "[2,3,4]" }, { .inputs = "[2,3,4]", .attrs = "axis=2" }, \
                            { .inputs = "[2,3]", .attrs = "axis=0" }, { .inputs = "[0,3]" })
#define AXIS_ATTR AVAL_ATTRS({ .name = "axis", .type = AVAL_ATTR_INT, .initial = "-1", .doc = "the axis that is normalised" })
#define SOFTMAX_SAMPLES \
    AVAL_SAMPLES({ .inputs = "[3,5]" }, { .inputs = "[2,3,4]", .attrs = "axis=1" }, { .inputs = "[1]" }, { .inputs = "[0,3]" }, \
                 { .inputs = "[4,1000]", .low = -50, .high = 50, .why = "overflows without the max" }, \
                 { .inputs = "[2,5,19]", .attrs = "axis=1", .why = "rows side by side, by vectors and a rest" }, \
                 { .inputs = "[3,35]", .why = "a vector and a rest" }, \
                 { .inputs = "[257,259]", .attrs = "axis=0", .size_class = AVAL_LARGE })

/* Softmax along one axis.  y_i = exp(x_i - max x) / sum_j exp(x_j - max x) */
static const aval_op softmax_op = {
    .size = sizeof(aval_op),
    .name = "Softmax",
    .since = 13,
    .deterministic = 1,
    .doc = "Exponentials along an axis, normalised to sum to one.",
    .inputs = AVAL_PORTS({ .name = "input", .flags = AVAL_ROW_HEADED }),
    .outputs = AVAL_PORTS({ .name = "output" }),
    .attrs = AXIS_ATTR,
    .infer = softmax_infer,
    .forward = softmax_forward,
    .backward = softmax_backward,
    .reference = softmax_reference,
    .keeps = AVAL_KEEP_OUTPUT(0),
    .samples = SOFTMAX_SAMPLES,
};
static const aval_op log_softmax_op = {
    .size = sizeof(aval_op),
    .name = "LogSoftmax",
    .since = 13,
    .deterministic = 1,
    .doc = "The logarithm of Softmax.",
    .inputs = AVAL_PORTS({ .name = "input", .flags = AVAL_ROW_HEADED }),
    .outputs = AVAL_PORTS({ .name = "output" }),
    .attrs = AXIS_ATTR,
    .infer = softmax_infer,
    .forward = log_softmax_forward,
    .backward = log_softmax_backward,
    .reference = log_softmax_reference,
    .keeps = AVAL_KEEP_OUTPUT(0),
    .samples = SOFTMAX_SAMPLES,
};
/* The forms before opset 13: all axes from `axis` on are one. */
static const aval_op flat_softmax_op = { FLAT("Softmax", flat_softmax_body) };
static const aval_op flat_log_softmax_op = { FLAT("LogSoftmax", flat_log_softmax_body) };

AVAL_PLUGIN("softmax", "0.1.0", AVAL_SOURCES({ "softmax.cl", softmax_cl }), &softmax_op, &log_softmax_op, &flat_softmax_op,
            &flat_log_softmax_op)
