/* Normalisation over the batch.  The running statistics are states that the op updates; what backward needs (mean and inverse deviation
 * of the batch) are two outputs more than ONNX has.  In training kernels do it (aval::NormalizeBatch); in inference it is an expression, which runs
 * in one launch with the activation and the residual sum that follow. */
#include "support.h"

#include "normalize.cl.h"

/* x as [batch, channels, inner]. */
typedef struct norm {
    int64_t batch, channels, inner, count; /* count: elements of a channel */
} norm;

static int norm_read(const aval_host *host, aval_call *call, norm *p)
{
    static const char *const names[] = { "X", "scale", "B", "input_mean", "input_var" };
    const aval_tensor *x = host->input(call, 0);
    uint32_t rank = host->rank(x);
    if (rank < 2)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input X has %u axes, expected at least 2: batch and channels", (unsigned)rank);
    p->batch = host->dims(x)[0];
    p->channels = host->dims(x)[1];
    p->inner = product(host->dims(x) + 2, rank - 2);
    p->count = p->batch * p->inner;
    for (size_t i = 1; i < 5; i++) {
        if (host->count(host->input(call, i)) != p->channels)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %s has %lld elements, expected one for each of %lld channels", names[i],
                              (long long)host->count(host->input(call, i)), (long long)p->channels);
    }
    return 0;
}

static int norm_infer(const aval_host *host, aval_call *call)
{
    norm p;
    TRY(norm_read(host, call, &p));
    aval_type wide = sum_type(host->type(host->input(call, 0)));
    size_t n = host->n_outputs(call);
    TRY(aval_infer_like(host, call, 0, 0));
    for (size_t i = 1; i < n && i < 3; i++) TRY(aval_infer_like(host, call, i, i + 2));
    for (size_t i = 3; i < n; i++) TRY(host->set_output(call, i, wide, 1, &p.channels));
    return 0;
}

/* Work-items of the kernels that give an element each: planes of a channel on CPUs, else elements. */
static int64_t norm_items(const aval_host *host, aval_call *call, const norm *p)
{
    return p->batch * p->channels * (host->device(call)->group == 1 ? 1 : p->inner);
}

/* On CPUs one launch does all of a channel, where there are channels enough to keep each core at work. */
static int by_channels(const aval_host *host, aval_call *call, const norm *p)
{
    const aval_device_info *device = host->device(call);
    return device->group == 1 && p->inner > 1 && p->channels >= 4 * (int64_t)device->compute_units;
}

static const aval_tensor *wanted(const aval_host *host, aval_call *call, size_t i)
{
    return i < host->n_outputs(call) ? host->output(call, i) : NULL;
}

static int norm_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *mean = wanted(host, call, 3), *inverse = wanted(host, call, 4),
                      *y = host->output(call, 0);
    aval_type wide = sum_type(host->type(x));
    norm p;
    TRY(norm_read(host, call, &p));
    if (p.channels == 0) return 0;
    if (mean == NULL) mean = host->scratch(call, wide, p.channels);
    if (inverse == NULL) inverse = host->scratch(call, wide, p.channels);
    if (mean == NULL || inverse == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for the statistics");
    int at_once = by_channels(host, call, &p) && y != NULL && host->count(x) > 0;
    /* elsewhere x is read a second time from afar, by all work-items, of which a channel occupies few */
    if (at_once) TRY(take_rows(host, call, x, y));
    TRY(host->launch(call,
                     AVAL_LAUNCH(.kernel = "batch_statistics", BY_GROUPS(host->device(call)->group, p.channels), .d_type = (uint32_t)wide,
                                 AVAL_ARGS(AVAL_READ(x), AVAL_READ(host->input(call, 3)), AVAL_READ(host->input(call, 4)),
                                           AVAL_WRITE(wanted(host, call, 1)), AVAL_WRITE(wanted(host, call, 2)), AVAL_WRITE(mean),
                                           AVAL_WRITE(inverse), AVAL_READ(host->input(call, 1)), AVAL_READ(host->input(call, 2)),
                                           AVAL_WRITE(at_once ? y : NULL), AVAL_I64(p.channels), AVAL_I64(p.count), AVAL_I64(p.inner),
                                           AVAL_REAL(host->attr_float(call, "epsilon")), AVAL_REAL(host->attr_float(call, "momentum"))))));
    if (host->count(x) == 0 || at_once) return 0;
    int64_t items = norm_items(host, call, &p);
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "batch_apply", EACH(items), .d_type = (uint32_t)wide, AVAL_DEFINES({ "WG", host->device(call)->group }),
                          AVAL_ARGS(AVAL_READ(x), AVAL_READ(host->input(call, 1)), AVAL_READ(host->input(call, 2)), AVAL_READ(mean),
                                    AVAL_READ(inverse), AVAL_WRITE(y), AVAL_I64(items), AVAL_I64(p.channels), AVAL_I64(p.inner))));
}

static const aval_tensor *upstream(const aval_host *host, aval_call *call, size_t i)
{
    return i < host->n_outputs(call) ? host->upstream(call, i) : NULL;
}

static int norm_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *g = host->upstream(call, 0), *mean = host->output(call, 3),
                      *inverse = host->output(call, 4);
    const aval_tensor *dx = host->gradient(call, 0), *gm = upstream(host, call, 3), *gi = upstream(host, call, 4), *sums;
    aval_type wide = sum_type(host->type(x));
    uint32_t group = host->device(call)->group;
    norm p;
    TRY(norm_read(host, call, &p));
    for (size_t i = 1; i < 3 && g == NULL; i++) {
        if (host->gradient(call, i) != NULL) TRY(host->fill(call, host->gradient(call, i), 0));
    }
    if (p.channels == 0) return 0;
    sums = host->scratch(call, wide, 2 * p.channels);
    if (sums == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for the sums over channels");
    int at_once = by_channels(host, call, &p) && g != NULL && gm == NULL && gi == NULL && dx != NULL && host->count(dx) > 0;
    if (g != NULL)
        TRY(host->launch(
            call, AVAL_LAUNCH(.kernel = "batch_sums", BY_GROUPS(group, p.channels), .d_type = (uint32_t)wide,
                              AVAL_ARGS(AVAL_READ(x), AVAL_READ(g), AVAL_READ(host->input(call, 1)), AVAL_READ(mean), AVAL_READ(inverse),
                                        AVAL_WRITE(sums), AVAL_WRITE(host->gradient(call, 1)), AVAL_WRITE(host->gradient(call, 2)),
                                        AVAL_WRITE(at_once ? dx : NULL), AVAL_I64(p.channels), AVAL_I64(p.count), AVAL_I64(p.inner)))));
    if (dx == NULL || host->count(dx) == 0 || at_once) return 0;
    int64_t items = norm_items(host, call, &p);
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "batch_backward", EACH(items), .d_type = (uint32_t)wide, AVAL_DEFINES({ "WG", group }),
                          AVAL_ARGS(AVAL_READ(x), AVAL_READ(g), AVAL_READ(host->input(call, 1)), AVAL_READ(mean), AVAL_READ(inverse),
                                    AVAL_READ(g == NULL ? NULL : sums), AVAL_READ(gm), AVAL_READ(gi), AVAL_WRITE(dx), AVAL_I64(items),
                                    AVAL_I64(p.channels), AVAL_I64(p.count), AVAL_I64(p.inner))));
}

/* Element i of channel c. */
static int64_t norm_at(const norm *p, int64_t c, int64_t i)
{
    return (i / p->inner * p->channels + c) * p->inner + i % p->inner;
}

static int norm_reference(const aval_host *host, aval_call *call)
{
    norm p;
    TRY(norm_read(host, call, &p));
    const double *in[5];
    double *out[5], epsilon = host->attr_float(call, "epsilon"), momentum = host->attr_float(call, "momentum");
    for (size_t i = 0; i < 5; i++) {
        const aval_tensor *y = wanted(host, call, i);
        in[i] = host->real(call, host->input(call, i));
        out[i] = y == NULL ? NULL : host->real(call, y);
    }
    for (int64_t c = 0; c < p.channels; c++) {
        double mean = 0, variance = 0, n = (double)p.count;
        for (int64_t i = 0; i < p.count; i++) mean += in[0][norm_at(&p, c, i)] / n;
        for (int64_t i = 0; i < p.count; i++) variance += pow(in[0][norm_at(&p, c, i)] - mean, 2) / n;
        double inverse = 1 / sqrt(variance + epsilon);
        for (int64_t i = 0; i < p.count && out[0] != NULL; i++)
            out[0][norm_at(&p, c, i)] = (in[0][norm_at(&p, c, i)] - mean) * inverse * in[1][c] + in[2][c];
        if (out[1] != NULL) out[1][c] = momentum * in[3][c] + (1 - momentum) * mean;
        if (out[2] != NULL) out[2][c] = momentum * in[4][c] + (1 - momentum) * variance;
        if (out[3] != NULL) out[3][c] = mean;
        if (out[4] != NULL) out[4][c] = inverse;
    }
    return 0;
}

#define EPSILON \
    { \
        .name = "epsilon", .type = AVAL_ATTR_FLOAT, .initial = "1e-5", .doc = "added to the variance" \
    }
#define MOMENTUM \
    { \
        .name = "momentum", .type = AVAL_ATTR_FLOAT, .initial = "0.9", .doc = "share of the running statistics that stays" \
    }
#define TRAINING_MODE \
    { \
        .name = "training_mode", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: with the batch's statistics" \
    }
#define NORM_INPUTS(flags_of_x) \
    AVAL_PORTS({ .name = "X", .flags = (flags_of_x) }, { .name = "scale", .like = AVAL_LIKE(0) }, { .name = "B", .like = AVAL_LIKE(0) }, \
               { .name = "input_mean", .like = AVAL_LIKE(0) }, { .name = "input_var", .like = AVAL_LIKE(0) })
#define NORM_OUTPUTS \
    AVAL_PORTS({ .name = "Y" }, { .name = "running_mean", .flags = AVAL_OPTIONAL, .updates = AVAL_UPDATES(3) }, \
               { .name = "running_var", .flags = AVAL_OPTIONAL, .updates = AVAL_UPDATES(4) }, \
               { .name = "saved_mean", .flags = AVAL_OPTIONAL }, { .name = "saved_inverse", .flags = AVAL_OPTIONAL })

static const aval_op training_op = {
    .size = sizeof(aval_op),
    .name = "NormalizeBatch",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .doc = "BatchNormalization in training: with the batch's statistics, towards which the running ones are moved.",
    .inputs = NORM_INPUTS(AVAL_ROW_HEADED),
    .outputs = NORM_OUTPUTS,
    .attrs = AVAL_ATTRS(EPSILON, MOMENTUM),
    .infer = norm_infer,
    .forward = norm_forward,
    .backward = norm_backward,
    .reference = norm_reference,
    .zero_gradient = 24,
    .keeps = AVAL_KEEP_INPUT(0) | AVAL_KEEP_INPUT(1) | AVAL_KEEP_OUTPUT(3) | AVAL_KEEP_OUTPUT(4),
    .samples = AVAL_SAMPLES(
        { .inputs = "[4,3,2,5] [3]{0.5..2} [3] [3] [3]{0.5..2}" },
        { .inputs = "[6,2] [2]{0.5..2} [2] [2] [2]{0.5..2}", .attrs = "momentum=0.5" },
        { .inputs = "[3,64,3,7] [64]{0.5..2} [64] [64] [64]{0.5..2}", .why = "channels enough that CPUs take all of one at once" },
        { .inputs = "[16,5,30,31] [5]{0.5..2} [5] [5] [5]{0.5..2}", .size_class = AVAL_LARGE }),
};

/* ---- Inference ---------------------------------------------------------------------------------------------------------------------- */

#define EXPRESSION(op_name, expression) \
    .size = sizeof(aval_op), .name = op_name, .domain = "aval", .since = 1, .deterministic = 1, .expressions = AVAL_TEXTS(expression)

static int inverse_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *variance = host->input(call, 0);
    return host->set_output(call, 0, sum_type(host->type(variance)), host->rank(variance), host->dims(variance));
}

static const aval_op inverse_op = {
    EXPRESSION("InverseDeviation", "1 / sqrt(variance + epsilon)"),
    .doc = "What a variable of that variance is multiplied by to vary by 1, in the type of sums.",
    .inputs = AVAL_PORTS({ .name = "variance" }),
    .outputs = AVAL_PORTS({ .name = "inverse" }),
    .attrs = AVAL_ATTRS(EPSILON),
    .infer = inverse_infer,
    .samples = AVAL_SAMPLES({ .inputs = "[3]{0.5..2}" }, { .inputs = "[0]", .attrs = "epsilon=0.5" }),
};
static const aval_op standardize_op = {
    EXPRESSION("Standardize", "(X - mean) * (inverse * scale) + B"),
    .doc = "X brought to mean 0 and deviation 1, then scaled and moved; all else broadcasts to X.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "mean" }, { .name = "inverse" }, { .name = "scale" }, { .name = "B" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3,4] [3,1] [3,1]{0.5..2} [3,1] [3,1]" }, { .inputs = "[0,3] [3] [3] [3] [3]" }),
};

/* With the running statistics, which stay. */
static int inference_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *mean = host->input(call, 3), *inverse, *y, *inputs[5];
    int64_t along[AVAL_MAX_RANK] = { host->dims(x)[1] }; /* a number a channel, standing along axis 1 */
    text epsilon = { 0 }, type = { 0 };
    text_real(&epsilon, "epsilon", host->attr_float(call, "epsilon"));
    text_int(&type, "to", sum_type(host->type(mean)));
    TRY(host->apply(call, "aval::InverseDeviation", epsilon.at, 1, (const aval_tensor *const[]){ host->input(call, 4) }, 1, &inverse));
    const aval_tensor *const each[] = { x, mean, inverse, host->input(call, 1), host->input(call, 2) };
    for (uint32_t i = 2; i < host->rank(x); i++) along[i - 1] = 1;
    inputs[0] = x;
    for (size_t i = 1; i < 5; i++) TRY(reshaped(host, call, each[i], host->rank(x) - 1, along, &inputs[i]));
    TRY(host->apply(call, "aval::Standardize", NULL, 5, inputs, 1, &y));
    TRY(host->yield(call, 0, y));
    for (size_t i = 1; i < 3 && i < host->n_outputs(call); i++) TRY(host->yield(call, i, host->input(call, i + 2)));
    if (host->n_outputs(call) <= 3) return 0;
    TRY(host->apply(call, "Cast", type.at, 1, &mean, 1, &mean));
    TRY(host->yield(call, 3, mean));
    return host->n_outputs(call) > 4 ? host->yield(call, 4, inverse) : 0;
}

static int norm_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *inputs[5], *outputs[5];
    text attrs = { 0 };
    if (host->attr_int(call, "training_mode") == 0) return inference_body(host, call);
    for (size_t i = 0; i < 5; i++) inputs[i] = host->input(call, i);
    text_real(&attrs, "epsilon", host->attr_float(call, "epsilon"));
    text_real(&attrs, "momentum", host->attr_float(call, "momentum"));
    TRY(host->apply(call, "aval::NormalizeBatch", attrs.at, 5, inputs, 5, outputs));
    for (size_t i = 0; i < host->n_outputs(call); i++) TRY(host->yield(call, i, outputs[i]));
    return 0;
}

/* y = (x - mean) / sqrt(variance + epsilon) * scale + B, with the batch's statistics in training and the running ones else. */
static const aval_op norm_op = {
    .size = sizeof(aval_op),
    .name = "BatchNormalization",
    .since = 14,
    .deterministic = 1,
    .doc = "Each channel normalised by its mean and variance, then scaled and moved.",
    .inputs = NORM_INPUTS(0),
    .outputs = NORM_OUTPUTS,
    .attrs = AVAL_ATTRS(EPSILON, MOMENTUM, TRAINING_MODE),
    .infer = norm_infer,
    .body = norm_body,
    .zero_gradient = 24,
    .samples =
        AVAL_SAMPLES({ .inputs = "[4,3,2,5] [3]{0.5..2} [3] [3] [3]{0.5..2}", .attrs = "training_mode=1" },
                     { .inputs = "[4,3,2,5] [3]{0.5..2} [3] [3] [3]{0.5..2}" },
                     { .inputs = "[6,2] [2]{0.5..2} [2] [2] [2]{0.5..2}", .attrs = "training_mode=1 momentum=0.5" },
                     { .inputs = "[0,2] [2]{0.5..2} [2] [2] [2]{0.5..2}" }, { .inputs = "[1,1] [1] [1] [1] [1]{0.5..2}" },
                     { .inputs = "[3,64,3,7] [64]{0.5..2} [64] [64] [64]{0.5..2}",
                       .attrs = "training_mode=1",
                       .why = "channels enough that CPUs take all of one at once" },
                     { .inputs = "[16,5,30,31] [5]{0.5..2} [5] [5] [5]{0.5..2}", .attrs = "training_mode=1", .size_class = AVAL_LARGE }),
};

/* ---- New running statistics as results, where those that come in are no state ------------------------------------------------------- */

static int averaged(const aval_host *host, aval_call *call, const char *op, size_t i, const aval_tensor *statistic)
{
    const aval_tensor *pair[] = { host->input(call, i), statistic }, *y;
    text type = { 0 }, attrs = { 0 };
    text_int(&type, "to", host->type(pair[0]));
    text_real(&attrs, "momentum", host->attr_float(call, "momentum"));
    if (i == 4) text_real(&attrs, "epsilon", host->attr_float(call, "epsilon"));
    TRY(host->apply(call, "Cast", type.at, 1, &statistic, 1, &pair[1]));
    TRY(host->apply(call, op, attrs.at, 2, pair, 1, &y));
    return host->yield(call, i - 2, y);
}

static int results_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *inputs[5], *outputs[5], *same;
    int64_t training = host->attr_int(call, "training_mode");
    text attrs = { 0 };
    for (size_t i = 0; i < 5; i++) inputs[i] = host->input(call, i);
    text_real(&attrs, "epsilon", host->attr_float(call, "epsilon"));
    text_int(&attrs, "training_mode", training);
    TRY(host->apply(call, "BatchNormalization", attrs.at, 5, inputs, 5, outputs));
    TRY(host->yield(call, 0, outputs[0]));
    if (training != 0) {
        TRY(averaged(host, call, "aval::MovingAverage", 3, outputs[3]));
        return averaged(host, call, "aval::MovingVariance", 4, outputs[4]);
    }
    for (size_t i = 3; i < 5; i++) {
        TRY(host->apply(call, "Identity", NULL, 1, &inputs[i], 1, &same));
        TRY(host->yield(call, i - 2, same));
    }
    return 0;
}

static const aval_op average_op = {
    EXPRESSION("MovingAverage", "momentum * old + (1 - momentum) * mean"),
    .outputs = AVAL_PORTS({ .name = "new" }),
    .doc = "A statistic moved towards that of a batch.",
    .inputs = AVAL_PORTS({ .name = "old" }, { .name = "mean", .like = AVAL_LIKE(0) }),
    .attrs = AVAL_ATTRS(MOMENTUM),
    .samples = AVAL_SAMPLES({ .inputs = "[3] [3]" }, { .inputs = "[0] [0]", .attrs = "momentum=0.5" }),
};
static const aval_op variance_op = {
    EXPRESSION("MovingVariance", "momentum * old + (1 - momentum) * (1 / (inverse * inverse) - epsilon)"),
    .outputs = AVAL_PORTS({ .name = "new" }),
    .doc = "A variance moved towards that of a batch, of which 1 / sqrt(variance + epsilon) is given.",
    .inputs = AVAL_PORTS({ .name = "old" }, { .name = "inverse", .like = AVAL_LIKE(0) }),
    .attrs = AVAL_ATTRS(MOMENTUM, { .name = "epsilon", .type = AVAL_ATTR_FLOAT, .initial = "1e-5", .doc = "as it was added" }),
    .samples = AVAL_SAMPLES({ .inputs = "[3] [3]{0.5..2}" }, { .inputs = "[0] [0]", .attrs = "momentum=0.5" }),
};
static const aval_op results_op = {
    .size = sizeof(aval_op),
    .name = "BatchNormalization",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .doc = "BatchNormalization whose new running statistics are results like others: what comes in need be no state.",
    .inputs = NORM_INPUTS(0),
    .outputs =
        AVAL_PORTS({ .name = "Y" }, { .name = "running_mean", .flags = AVAL_OPTIONAL }, { .name = "running_var", .flags = AVAL_OPTIONAL }),
    .attrs = AVAL_ATTRS(EPSILON, MOMENTUM, TRAINING_MODE),
    .infer = norm_infer,
    .body = results_body,
    .samples = AVAL_SAMPLES({ .inputs = "[4,3,2,5] [3]{0.5..2} [3] [3] [3]{0.5..2}", .attrs = "training_mode=1" },
                            { .inputs = "[6,2] [2]{0.5..2} [2] [2] [2]{0.5..2}", .attrs = "training_mode=1 momentum=0.5" }),
};

/* ---- Older forms -------------------------------------------------------------------------------------------------------------------------- */

/* Before opset 14 running statistics are what is normalised with, unless all five outputs are asked for, which nothing exports. */
static int older_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *inputs[5], *y;
    text attrs = { 0 };
    if (host->attr_int(call, "spatial") != 1)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "attribute spatial is %lld, expected 1: statistics that belong to channels",
                          (long long)host->attr_int(call, "spatial"));
    for (size_t i = 0; i < 5; i++) inputs[i] = host->input(call, i);
    text_real(&attrs, "epsilon", host->attr_float(call, "epsilon"));
    TRY(host->apply(call, "BatchNormalization", attrs.at, 5, inputs, 1, &y));
    return host->yield(call, 0, y);
}

static const aval_op older_norm_op = {
    .size = sizeof(aval_op),
    .name = "BatchNormalization",
    .since = 1,
    .deterministic = 1,
    .doc = "The form before opset 14, for inference.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "scale", .like = AVAL_LIKE(0) }, { .name = "B", .like = AVAL_LIKE(0) },
                         { .name = "mean", .like = AVAL_LIKE(0) }, { .name = "var", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS({ .name = "epsilon", .type = AVAL_ATTR_FLOAT, .initial = "1e-5", .doc = "added to the variance" },
                        { .name = "momentum", .type = AVAL_ATTR_FLOAT, .initial = "0.9", .doc = "of training; not used" },
                        { .name = "spatial", .type = AVAL_ATTR_INT, .initial = "1", .doc = "statistics belong to channels: 1" },
                        { .name = "is_test", .type = AVAL_ATTR_INT, .initial = "1", .doc = "of opset 6: 1, for inference" },
                        { .name = "consumed_inputs", .type = AVAL_ATTR_INTS, .doc = "of opset 1; not used" }),
    .body = older_body,
    .zero_gradient = 24,
    .samples = AVAL_SAMPLES({ .inputs = "[4,3,2,5] [3]{0.5..2} [3] [3] [3]{0.5..2}" }),
};

AVAL_PLUGIN("normalize", "0.1.0", AVAL_SOURCES({ "normalize.cl", normalize_cl }), &norm_op, &training_op, &inverse_op, &standardize_op,
            &older_norm_op, &results_op, &average_op, &variance_op)
