/* Softmax and what is made from it: LogSoftmax and the cross-entropy loss, which works from scores and stays finite however large
 * they are; and the mean squared error as a body. */
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

static int record_softmax(const aval_host *host, aval_call *call, int logarithm)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    aval_split s = softmax_split(host, call);
    if (host->count(x) == 0) return 0;
    return host->launch(call, AVAL_LAUNCH(.kernel = "softmax_forward", BY_GROUPS(host->device(call)->group, s.outer * s.inner),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(y), AVAL_I64(s.outer * s.inner), AVAL_I64(s.length),
                                                    AVAL_I64(s.inner), AVAL_I32(logarithm))));
}

static int record_softmax_backward(const aval_host *host, aval_call *call, int logarithm)
{
    const aval_tensor *y = host->output(call, 0), *g = host->upstream(call, 0), *dx = host->gradient(call, 0);
    aval_split s = softmax_split(host, call);
    if (host->count(dx) == 0) return 0;
    return host->launch(call, AVAL_LAUNCH(.kernel = "softmax_backward", BY_GROUPS(host->device(call)->group, s.outer * s.inner),
                                          AVAL_ARGS(AVAL_READ(y), AVAL_READ(g), AVAL_WRITE(dx), AVAL_I64(s.outer * s.inner),
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

/* ---- SoftmaxCrossEntropyLoss ------------------------------------------------------------------------------------------------ */

/* Scores [batch, classes, d1 ...], labels [batch, d1 ...]: a row of scores for each label. */
typedef struct loss {
    const aval_tensor *scores, *labels, *weights;
    int64_t rows, classes, inner, ignored;
    int none, mean; /* reduction */
} loss;

static int loss_read(const aval_host *host, aval_call *call, loss *l)
{
    l->scores = host->input(call, 0);
    l->labels = host->input(call, 1);
    l->weights = host->n_inputs(call) > 2 ? host->input(call, 2) : NULL;
    uint32_t rank = host->rank(l->scores);
    int fits = rank >= 2 && host->rank(l->labels) == rank - 1;
    for (uint32_t i = 0; fits && i < rank - 1; i++) fits = host->dims(l->labels)[i] == host->dims(l->scores)[i == 0 ? 0 : i + 1];
    if (!fits)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "labels must have the shape of scores without axis 1 (the classes); scores have %u axes, "
                          "labels %u",
                          (unsigned)rank, (unsigned)host->rank(l->labels));
    l->rows = host->count(l->labels);
    l->classes = host->dims(l->scores)[1];
    l->inner = product(host->dims(l->scores) + 2, rank - 2);
    if (l->weights != NULL && host->count(l->weights) != l->classes)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input weights has %lld elements, expected one for each of %lld classes",
                          (long long)host->count(l->weights), (long long)l->classes);
    const char *reduction = host->attr_string(call, "reduction");
    l->none = reduction[0] == 'n';
    l->mean = reduction[0] == 'm';
    if (!l->none && !l->mean && reduction[0] != 's')
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute reduction is '%s', expected none, sum or mean", reduction);
    /* without the attribute nothing is ignored: no label is the smallest number */
    l->ignored = host->attr_given(call, "ignore_index") ? host->attr_int(call, "ignore_index") : INT64_MIN;
    return 0;
}

static int loss_infer(const aval_host *host, aval_call *call)
{
    loss l;
    TRY(loss_read(host, call, &l));
    aval_type type = host->type(l.scores);
    TRY(host->set_output(call, 0, type, l.none ? host->rank(l.labels) : 0, host->dims(l.labels)));
    return host->n_outputs(call) > 1 ? aval_infer_like(host, call, 1, 0) : 0;
}

static int loss_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->output(call, 0), *log_prob = host->n_outputs(call) > 1 ? host->output(call, 1) : NULL, *rows = y;
    uint32_t group = host->device(call)->group;
    loss l;
    TRY(loss_read(host, call, &l));
    if (l.rows == 0 || l.classes == 0) return l.none || y == NULL ? 0 : host->fill(call, y, l.mean ? (double)NAN : 0.0);
    if (!l.none || y == NULL) rows = host->scratch(call, sum_type(host->type(l.scores)), l.rows);
    if (rows == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for the losses of rows");
    TRY(host->launch(
        call, AVAL_LAUNCH(.kernel = "loss_rows", BY_GROUPS(group, l.rows), .i_type = (uint32_t)host->type(l.labels),
                          .d_type = (uint32_t)host->type(rows),
                          AVAL_ARGS(AVAL_READ(l.scores), AVAL_READ(l.labels), AVAL_READ(l.weights), AVAL_WRITE(rows), AVAL_WRITE(log_prob),
                                    AVAL_I64(l.rows), AVAL_I64(l.classes), AVAL_I64(l.inner), AVAL_I64(l.ignored)))));
    if (l.none || y == NULL) return 0;
    return host->launch(call, AVAL_LAUNCH(.kernel = "loss_total", BY_GROUPS(group, 1), .s_type = (uint32_t)host->type(l.scores),
                                          .i_type = (uint32_t)host->type(l.labels), .d_type = (uint32_t)host->type(rows),
                                          AVAL_ARGS(AVAL_READ(rows), AVAL_READ(l.labels), AVAL_READ(l.weights), AVAL_WRITE(y),
                                                    AVAL_I64(l.rows), AVAL_I64(l.classes), AVAL_I64(l.ignored), AVAL_I32(l.mean))));
}

static int loss_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *g = host->upstream(call, 0), *g_log = host->n_outputs(call) > 1 ? host->upstream(call, 1) : NULL;
    const aval_tensor *dx = host->gradient(call, 0), *factor = NULL;
    uint32_t group = host->device(call)->group;
    loss l;
    TRY(loss_read(host, call, &l));
    aval_type type = host->type(l.scores), wide = sum_type(type);
    if (host->count(dx) == 0) return 0;
    if (l.mean && g != NULL) {
        factor = host->scratch(call, wide, 1);
        if (factor == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for the sum of weights");
        /* WIDE makes a program of its own: only where the types differ */
        const aval_define defines[] = { { "WG", group }, { "WIDE", 1 } };
        TRY(host->launch(call, AVAL_LAUNCH(.kernel = "loss_total", .global = { group }, .local = { group }, .defines = defines,
                                           .n_defines = wide == type ? 1 : 2, .s_type = (uint32_t)type,
                                           .i_type = (uint32_t)host->type(l.labels), .d_type = (uint32_t)wide,
                                           AVAL_ARGS(AVAL_READ(NULL), AVAL_READ(l.labels), AVAL_READ(l.weights), AVAL_WRITE(factor),
                                                     AVAL_I64(l.rows), AVAL_I64(l.classes), AVAL_I64(l.ignored), AVAL_I32(1)))));
    }
    return host->launch(call, AVAL_LAUNCH(.kernel = "loss_backward", BY_GROUPS(group, l.rows), .s_type = (uint32_t)type,
                                          .i_type = (uint32_t)host->type(l.labels), .d_type = (uint32_t)wide,
                                          AVAL_ARGS(AVAL_READ(l.scores), AVAL_READ(l.labels), AVAL_READ(l.weights), AVAL_READ(g),
                                                    AVAL_READ(factor), AVAL_READ(g_log), AVAL_WRITE(dx), AVAL_I64(l.rows),
                                                    AVAL_I64(l.classes), AVAL_I64(l.inner), AVAL_I64(l.ignored), AVAL_I32(!l.none))));
}

static int loss_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->output(call, 0), *log_prob = host->n_outputs(call) > 1 ? host->output(call, 1) : NULL;
    loss l;
    TRY(loss_read(host, call, &l));
    const double *x = host->real(call, l.scores), *weights = l.weights == NULL ? NULL : host->real(call, l.weights);
    const int64_t *labels = host->integer(call, l.labels);
    double *result = y == NULL ? NULL : host->real(call, y), *logs = log_prob == NULL ? NULL : host->real(call, log_prob);
    double total = 0, weight_sum = 0;
    for (int64_t r = 0; r < l.rows; r++) {
        int64_t at = r / l.inner * l.classes * l.inner + r % l.inner, label = labels[r];
        int is_class = label >= 0 && label < l.classes, counts = label != l.ignored && is_class;
        double weight = label == l.ignored ? 0.0 : !is_class ? (double)NAN : weights == NULL ? 1.0 : weights[label];
        double best = -INFINITY, sum = 0;
        for (int64_t j = 0; j < l.classes; j++) best = fmax(best, x[at + j * l.inner]);
        for (int64_t j = 0; j < l.classes; j++) sum += exp(x[at + j * l.inner] - best);
        double value = counts ? -weight * (x[at + label * l.inner] - best - log(sum)) : weight;
        if (logs != NULL) log_softmax(x + at, logs + at, l.classes, l.inner);
        if (l.none && result != NULL) result[r] = value;
        total += value;
        weight_sum += weight;
    }
    if (!l.none && result != NULL) result[0] = l.mean ? total / weight_sum : total;
    return 0;
}

/* ---- MeanSquaredError ------------------------------------------------------------------------------------------------------- */

static int squared_infer(const aval_host *host, aval_call *call)
{
    return host->set_output(call, 0, host->type(host->input(call, 0)), 0, NULL);
}

static int squared_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *pair[] = { host->input(call, 0), host->input(call, 1) }, *t;
    TRY(host->apply(call, "Sub", NULL, 2, pair, 1, &t));
    TRY(host->apply(call, "aval::Square", NULL, 1, (const aval_tensor *const[]){ t }, 1, &t));
    TRY(host->apply(call, "ReduceMean", "keepdims=0", 1, (const aval_tensor *const[]){ t }, 1, &t));
    return host->yield(call, 0, t);
}

#define AXIS_ATTR AVAL_ATTRS({ .name = "axis", .type = AVAL_ATTR_INT, .initial = "-1", .doc = "the axis that is normalised" })
#define SOFTMAX_SAMPLES \
    AVAL_SAMPLES({ .inputs = "[3,5]" }, { .inputs = "[2,3,4]", .attrs = "axis=1" }, { .inputs = "[1]" }, { .inputs = "[0,3]" }, \
                 { .inputs = "[4,1000]", .low = -50, .high = 50, .why = "overflows without the max" }, \
                 { .inputs = "[257,259]", .attrs = "axis=0", .size_class = AVAL_LARGE })

/* Softmax along one axis.  y_i = exp(x_i - max x) / sum_j exp(x_j - max x) */
static const aval_op softmax_op = {
    .size = sizeof(aval_op),
    .name = "Softmax",
    .since = 13,
    .deterministic = 1,
    .doc = "Exponentials along an axis, normalised to sum to one.",
    .inputs = AVAL_PORTS({ .name = "input" }),
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
    .inputs = AVAL_PORTS({ .name = "input" }),
    .outputs = AVAL_PORTS({ .name = "output" }),
    .attrs = AXIS_ATTR,
    .infer = softmax_infer,
    .forward = log_softmax_forward,
    .backward = log_softmax_backward,
    .reference = log_softmax_reference,
    .keeps = AVAL_KEEP_OUTPUT(0),
    .samples = SOFTMAX_SAMPLES,
};
static const aval_op loss_op = {
    .size = sizeof(aval_op),
    .name = "SoftmaxCrossEntropyLoss",
    .since = 13,
    .deterministic = 1,
    .doc = "Negative logarithm of the label's share in the softmax of scores, each, summed or on (weighted) average; NaN where a label is "
           "neither a class nor ignore_index.",
    .inputs = AVAL_PORTS({ .name = "scores" }, { .name = "labels", .types = AVAL_TYPE_SET(AVAL_INT32) | AVAL_TYPE_SET(AVAL_INT64) },
                         { .name = "weights", .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "output" }, { .name = "log_prob", .flags = AVAL_OPTIONAL }),
    .attrs = AVAL_ATTRS({ .name = "reduction", .type = AVAL_ATTR_STRING, .initial = "'mean'", .doc = "none, sum or mean" },
                        { .name = "ignore_index", .type = AVAL_ATTR_INT, .doc = "rows with this label count for nothing" }),
    .infer = loss_infer,
    .forward = loss_forward,
    .backward = loss_backward,
    .reference = loss_reference,
    .keeps = AVAL_KEEP_INPUT(0) | AVAL_KEEP_INPUT(1) | AVAL_KEEP_INPUT(2),
    .zero_gradient = 6,
    .samples = AVAL_SAMPLES(
        { .inputs = "[3,5] i64[3]{0,4,2}" }, { .inputs = "[3,5] i32[3]{0,4,2}", .attrs = "reduction='sum'" },
        { .inputs = "[3,5] i64[3]{0,4,2} [5]{0.5..2}" }, { .inputs = "[3,5] i64[3]{0,4,2}", .attrs = "reduction='none'" },
        { .inputs = "[3,5] i64[3]{0,4,2} [5]{0.5..2}", .attrs = "ignore_index=4" }, { .inputs = "[2,3,2,2] i64[2,2,2]{0,1,2,0,1,2,0,1}" },
        { .inputs = "[1,1] i64[1]{0}" }, { .inputs = "[0,3] i64[0]", .attrs = "reduction='sum'" },
        { .inputs = "[3,3] i64[3]{0,7,-100}",
          .attrs = "reduction='none' ignore_index=-100",
          .flags = AVAL_NO_GRADIENT_CHECK,
          .why = "NaN for a label that is no class, 0 for the ignored one" },
        { .inputs = "[2,3]{1000,-1000,0,-1000,1000,1000} i64[2]{1,2}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "infinite without the max" },
        { .inputs = "[700,100] i64[700]{0..99}", .size_class = AVAL_LARGE }),
};
static const aval_op squared_op = {
    .size = sizeof(aval_op),
    .name = "MeanSquaredError",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .doc = "The mean of the squares of the differences.",
    .inputs = AVAL_PORTS({ .name = "predictions" }, { .name = "targets", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "loss" }),
    .infer = squared_infer,
    .body = squared_body,
    .samples = AVAL_SAMPLES({ .inputs = "[3,5] [3,5]" }, { .inputs = "[1] [1]" }, { .inputs = "[3,5] [5]" }),
};

static const aval_op *const ops[] = { &softmax_op, &log_softmax_op, &loss_op, &squared_op, NULL };
static const aval_kernel_source sources[] = { { .name = "softmax.cl", .text = softmax_cl }, { .name = NULL } };

AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = {
    .abi = AVAL_PLUGIN_ABI,
    .size = sizeof(aval_plugin),
    .name = "softmax",
    .version = "0.1.0",
    .ops = ops,
    .sources = sources,
};
