/* Cross-entropy of class labels: SoftmaxCrossEntropyLoss works from scores and stays finite however large they are,
 * NegativeLogLikelihoodLoss from logarithms of probabilities.  The same kernels make both. */
#include "support.h"

#include "cross_entropy.cl.h"

/* Scores [batch, classes, d1 ...], labels [batch, d1 ...]: a row of scores for each label. */
typedef struct loss {
    const aval_tensor *scores, *labels, *weights;
    int64_t rows, classes, inner, ignored;
    int none, mean; /* reduction */
    int normal; /* scores are logarithms of probabilities */
} loss;

static int loss_read(const aval_host *host, aval_call *call, loss *l, int normal)
{
    l->normal = normal;
    l->scores = host->input(call, 0);
    l->labels = host->input(call, 1);
    l->weights = host->n_inputs(call) > 2 ? host->input(call, 2) : NULL;
    uint32_t rank = host->rank(l->scores);
    int fits = rank >= 2 && host->rank(l->labels) == rank - 1;
    for (uint32_t i = 0; fits && i < rank - 1; i++) fits = host->dims(l->labels)[i] == host->dims(l->scores)[i == 0 ? 0 : i + 1];
    if (!fits)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "labels must have the shape of scores without axis 1 (the classes); scores have %u axes, labels %u",
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

static int infer_either(const aval_host *host, aval_call *call, int normal)
{
    loss l;
    TRY(loss_read(host, call, &l, normal));
    aval_type type = host->type(l.scores);
    TRY(host->set_output(call, 0, type, l.none ? host->rank(l.labels) : 0, host->dims(l.labels)));
    return host->n_outputs(call) > 1 ? aval_infer_like(host, call, 1, 0) : 0;
}

/* So few scores that one work-item of a CPU is done with them before another launch would have begun. */
#define AT_ONCE 2048

static int is_small(const aval_host *host, aval_call *call, const loss *l)
{
    return host->device(call)->group == 1 && l->rows * (l->classes < 16 ? 16 : l->classes) <= AT_ONCE;
}

/* Rows a work-item; of those that lie side by side CPUs take some at once (EACH_ROWS of scores.clh). */
#define BESIDE 16
static int64_t loss_chunk(const aval_device_info *device, const loss *l)
{
    int64_t chunk = chunk_of(device, l->rows, l->classes);
    return device->group > 1 || l->inner < BESIDE ? chunk : (chunk + BESIDE - 1) / BESIDE * BESIDE;
}

/* Scores are read more than once: the rows are made.  Of logarithms only the labels' are needed. */
static int take_producer(const aval_host *host, aval_call *call, const loss *l)
{
    return l->normal ? take_head(host, call, l->scores, l->inner > 1 ? l->inner : l->classes)
                     : take_scores(host, call, l->scores, NULL, l->inner);
}

static int record_forward(const aval_host *host, aval_call *call, int normal)
{
    const aval_tensor *y = host->output(call, 0), *log_prob = host->n_outputs(call) > 1 ? host->output(call, 1) : NULL, *rows = y;
    const aval_device_info *device = host->device(call);
    loss l;
    TRY(loss_read(host, call, &l, normal));
    if (l.rows == 0 || l.classes == 0) return l.none || y == NULL ? 0 : host->fill(call, y, l.mean ? (double)NAN : 0.0);
    TRY(take_producer(host, call, &l));
    if (!l.none && y != NULL && is_small(host, call, &l))
        return host->launch(call, AVAL_LAUNCH(.kernel = "loss_at_once", BY_GROUPS(1, 1), .i_type = (uint32_t)host->type(l.labels),
                                              AVAL_ARGS(AVAL_READ(l.scores), AVAL_READ(l.labels), AVAL_READ(l.weights), AVAL_WRITE(y),
                                                        AVAL_WRITE(log_prob), AVAL_I64(l.rows), AVAL_I64(l.classes), AVAL_I64(l.inner),
                                                        AVAL_I64(l.ignored), AVAL_I32(l.normal), AVAL_I32(l.mean))));
    if (!l.none || y == NULL) rows = host->scratch(call, sum_type(host->type(l.scores)), l.rows);
    if (rows == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for the losses of rows");
    int64_t chunk = loss_chunk(device, &l), near = NEAR_ELEMENTS / l.classes / BESIDE * BESIDE;
    /* rows that lie side by side are made together before they are read */
    if (device->group == 1 && l.inner > 1 && chunk > near) chunk = near < 1 ? 1 : near;
    TRY(host->launch(call, AVAL_LAUNCH(.kernel = "loss_rows", BY_CHUNKS(device, l.rows, chunk), .i_type = (uint32_t)host->type(l.labels),
                                       .d_type = (uint32_t)host->type(rows),
                                       AVAL_ARGS(AVAL_READ(l.scores), AVAL_READ(l.labels), AVAL_READ(l.weights), AVAL_WRITE(rows),
                                                 AVAL_WRITE(log_prob), AVAL_I64(l.rows), AVAL_I64(chunk), AVAL_I64(l.classes),
                                                 AVAL_I64(l.inner), AVAL_I64(l.ignored), AVAL_I32(l.normal)))));
    if (l.none || y == NULL) return 0;
    return host->launch(call, AVAL_LAUNCH(.kernel = "loss_total", BY_GROUPS(device->group, 1), .s_type = (uint32_t)host->type(l.scores),
                                          .i_type = (uint32_t)host->type(l.labels), .d_type = (uint32_t)host->type(rows),
                                          AVAL_ARGS(AVAL_READ(rows), AVAL_READ(l.labels), AVAL_READ(l.weights), AVAL_WRITE(y),
                                                    AVAL_I64(l.rows), AVAL_I64(l.classes), AVAL_I64(l.ignored), AVAL_I32(l.mean))));
}

static int record_backward(const aval_host *host, aval_call *call, int normal)
{
    const aval_tensor *g = host->upstream(call, 0), *g_log = host->n_outputs(call) > 1 ? host->upstream(call, 1) : NULL;
    const aval_tensor *dx = host->gradient(call, 0), *factor = NULL;
    const aval_device_info *device = host->device(call);
    uint32_t group = device->group;
    loss l;
    TRY(loss_read(host, call, &l, normal));
    aval_type type = host->type(l.scores), wide = sum_type(type);
    if (host->count(dx) == 0) return 0;
    /* Where each row weighs 1 their sum is known. */
    int alike = l.weights == NULL && l.ignored == INT64_MIN;
    if (l.mean && g != NULL && !alike) {
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
    int64_t chunk = loss_chunk(device, &l);
    return host->launch(call,
                        AVAL_LAUNCH(.kernel = "loss_backward", BY_CHUNKS(device, l.rows, chunk), .s_type = (uint32_t)type,
                                    .i_type = (uint32_t)host->type(l.labels), .d_type = (uint32_t)wide,
                                    AVAL_ARGS(AVAL_READ(normal ? NULL : l.scores), AVAL_READ(l.labels), AVAL_READ(l.weights), AVAL_READ(g),
                                              AVAL_READ(factor), AVAL_READ(g_log), AVAL_WRITE(dx), AVAL_I64(l.rows), AVAL_I64(chunk),
                                              AVAL_I64(l.classes), AVAL_I64(l.inner), AVAL_I64(l.ignored), AVAL_I32(!l.none),
                                              AVAL_I32(l.normal), AVAL_REAL(l.mean && alike ? 1.0 / (double)l.rows : 1.0))));
}

/* log sum exp of a row of `length` scores, `step` elements apart. */
static double log_of_sum(const double *x, int64_t length, int64_t step)
{
    double best = -INFINITY, sum = 0;
    for (int64_t j = 0; j < length; j++) best = fmax(best, x[j * step]);
    for (int64_t j = 0; j < length; j++) sum += exp(x[j * step] - best);
    return best + log(sum);
}

static int compute(const aval_host *host, aval_call *call, int normal)
{
    const aval_tensor *y = host->output(call, 0), *log_prob = host->n_outputs(call) > 1 ? host->output(call, 1) : NULL;
    loss l;
    TRY(loss_read(host, call, &l, normal));
    const double *x = host->real(call, l.scores), *weights = l.weights == NULL ? NULL : host->real(call, l.weights);
    const int64_t *labels = host->integer(call, l.labels);
    double *result = y == NULL ? NULL : host->real(call, y), *logs = log_prob == NULL ? NULL : host->real(call, log_prob);
    double total = 0, weight_sum = 0;
    for (int64_t r = 0; r < l.rows; r++) {
        int64_t at = r / l.inner * l.classes * l.inner + r % l.inner, label = labels[r];
        int is_class = label >= 0 && label < l.classes, counts = label != l.ignored && is_class;
        double weight = label == l.ignored ? 0.0 : !is_class ? (double)NAN : weights == NULL ? 1.0 : weights[label];
        double shift = normal ? 0.0 : log_of_sum(x + at, l.classes, l.inner);
        double value = counts ? -weight * (x[at + label * l.inner] - shift) : weight;
        for (int64_t j = 0; j < l.classes && logs != NULL; j++) logs[at + j * l.inner] = x[at + j * l.inner] - shift;
        if (l.none && result != NULL) result[r] = value;
        total += value;
        weight_sum += weight;
    }
    if (!l.none && result != NULL) result[0] = l.mean ? total / weight_sum : total;
    return 0;
}

/* ---- The table -------------------------------------------------------------------------------------------------------------- */

#define KIND(prefix, normal) \
    static int prefix##_infer(const aval_host *host, aval_call *call) \
    { \
        return infer_either(host, call, normal); \
    } \
    static int prefix##_forward(const aval_host *host, aval_call *call) \
    { \
        return record_forward(host, call, normal); \
    } \
    static int prefix##_backward(const aval_host *host, aval_call *call) \
    { \
        return record_backward(host, call, normal); \
    } \
    static int prefix##_reference(const aval_host *host, aval_call *call) \
    { \
        return compute(host, call, normal); \
    }
KIND(scores, 0)
KIND(normal, 1)

#define LOSS(op_name, prefix, scores_name, scores_flags, kept, labels_name, weights_name, ...) \
    .size = sizeof(aval_op), .name = op_name, .since = 12, .deterministic = 1, \
    .inputs = AVAL_PORTS({ .name = scores_name, .flags = (scores_flags) }, \
                         { .name = labels_name, .types = AVAL_TYPE_SET(AVAL_INT32) | AVAL_TYPE_SET(AVAL_INT64) }, \
                         { .name = weights_name, .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) }), \
    .outputs = AVAL_PORTS(__VA_ARGS__), .infer = prefix##_infer, .forward = prefix##_forward, .backward = prefix##_backward, \
    .reference = prefix##_reference, .keeps = (kept) | AVAL_KEEP_INPUT(1) | AVAL_KEEP_INPUT(2), .zero_gradient = 6, \
    .attrs = AVAL_ATTRS({ .name = "reduction", .type = AVAL_ATTR_STRING, .initial = "'mean'", .doc = "none, sum or mean" }, \
                        { .name = "ignore_index", .type = AVAL_ATTR_INT, .doc = "rows with this label count for nothing" })
#define LOSS_SAMPLES \
    { .inputs = "[3,5] i64[3]{0,4,2}" }, { .inputs = "[3,5] i32[3]{0,4,2}", .attrs = "reduction='sum'" }, \
        { .inputs = "[3,5] i64[3]{0,4,2} [5]{0.5..2}" }, { .inputs = "[3,5] i64[3]{0,4,2}", .attrs = "reduction='none'" }, \
        { .inputs = "[3,5] i64[3]{0,4,2} [5]{0.5..2}", .attrs = "ignore_index=4" }, { .inputs = "[2,3,2,2] i64[2,2,2]{0,1,2,0,1,2,0,1}" }, \
        { .inputs = "[2,3,1,2,1,2] i64[2,1,2,1,2]{0,1,2,0,1,2,0,1} [3]{0.5..2}", .attrs = "reduction='none' ignore_index=1" }, \
        { .inputs = "[2,5,19] i64[2,19]{0..4}", .why = "rows side by side, by vectors and a rest" }, \
        { .inputs = "[2,5,35] i64[2,35]{0..4} [5]{0.5..2}", .attrs = "reduction='none' ignore_index=2" }, { .inputs = "[1,1] i64[1]{0}" }, \
        { .inputs = "[0,3] i64[0]", .attrs = "reduction='sum'" }, \
        { .inputs = "[3,3] i64[3]{0,7,-100}", \
          .attrs = "reduction='none' ignore_index=-100", \
          .flags = AVAL_NO_GRADIENT_CHECK, \
          .why = "NaN for a label that is no class, 0 for the ignored one" }, \
    { \
        .inputs = "[700,100] i64[700]{0..99}", .size_class = AVAL_LARGE \
    }

static const aval_op scores_op = {
    LOSS("SoftmaxCrossEntropyLoss", scores, "scores", AVAL_ROW_HEADED, AVAL_KEEP_INPUT(0), "labels", "weights", { .name = "output" },
         { .name = "log_prob", .flags = AVAL_OPTIONAL }),
    .doc = "Negative logarithm of the label's share in the softmax of scores, each, summed or on (weighted) average; NaN where a label is "
           "neither a class nor ignore_index.",
    .samples = AVAL_SAMPLES(LOSS_SAMPLES, { .inputs = "[2,3]{1000,-1000,0,-1000,1000,1000} i64[2]{1,2}",
                                            .flags = AVAL_NO_GRADIENT_CHECK,
                                            .why = "infinite without the max" }),
};
static const aval_op normal_op = {
    LOSS("NegativeLogLikelihoodLoss", normal, "input", AVAL_HEADED, 0, "target", "weight", { .name = "loss" }),
    .doc =
        "Minus the input, a logarithm of probabilities, at the label, each, summed or on (weighted) average; NaN where a label is neither "
        "a class nor ignore_index.",
    .samples = AVAL_SAMPLES(LOSS_SAMPLES),
};

AVAL_PLUGIN("cross_entropy", "0.1.0", AVAL_SOURCES({ "cross_entropy.cl", cross_entropy_cl }), &scores_op, &normal_op)
