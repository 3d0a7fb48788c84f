/* Losses of elements as frameworks have them: mean squared error, Huber, smooth L1, Kullback-Leibler divergence, focal.  Bodies of
 * expressions, so that their gradients follow by themselves. */
#include "loss.h"

/* The terms of an expression of the two inputs, with this call's attributes `names`, reduced. */
static int body_of(const aval_host *host, aval_call *call, const char *term, const char *const *names)
{
    tensor terms;
    text attrs = { 0 };
    for (; names != NULL && *names != NULL; names++) text_real(&attrs, *names, host->attr_float(call, *names));
    TRY(apply2(host, call, term, attrs.at, host->input(call, 0), host->input(call, 1), &terms));
    return yield_reduced(host, call, terms);
}

static int body_huber(const aval_host *host, aval_call *call)
{
    return body_of(host, call, "aval::HuberTerm", AVAL_TEXTS("delta"));
}

static int body_smooth(const aval_host *host, aval_call *call)
{
    return body_of(host, call, "aval::SmoothL1Term", AVAL_TEXTS("beta"));
}

/* ---- Mean squared error ------------------------------------------------------------------------------------------------------ */

static int infer_scalar(const aval_host *host, aval_call *call)
{
    return host->set_output(call, 0, host->type(host->input(call, 0)), 0, NULL);
}

static int body_squared(const aval_host *host, aval_call *call)
{
    tensor t;
    TRY(apply2(host, call, "Sub", NULL, host->input(call, 0), host->input(call, 1), &t));
    TRY(apply1(host, call, "aval::Square", NULL, t, &t));
    TRY(apply1(host, call, "ReduceMean", "keepdims=0", t, &t));
    return host->yield(call, 0, t);
}

/* ---- Kullback-Leibler divergence --------------------------------------------------------------------------------------------- */

/* batchmean is the sum over the length of the first axis, as the mathematical definition has it. */
static int is_batchmean(const aval_host *host, aval_call *call)
{
    return strcmp(host->attr_string(call, "reduction"), "batchmean") == 0;
}

static int infer_divergence(const aval_host *host, aval_call *call)
{
    tensor x = host->input(call, 0);
    if (!is_batchmean(host, call)) return infer_each(host, call);
    if (host->rank(x) == 0) return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "reduction is batchmean, but the input has no axis");
    TRY(check_shapes(host, call));
    return infer_scalar(host, call);
}

static int body_divergence(const aval_host *host, aval_call *call)
{
    tensor x = host->input(call, 0), terms;
    text factor = { 0 };
    const char *term = host->attr_int(call, "log_target") ? "aval::LogDivergenceTerm" : "aval::DivergenceTerm";
    TRY(apply2(host, call, term, NULL, x, host->input(call, 1), &terms));
    if (!is_batchmean(host, call)) return yield_reduced(host, call, terms);
    text_real(&factor, "factor", 1.0 / (double)host->dims(x)[0]);
    TRY(apply1(host, call, "ReduceSum", "keepdims=0", terms, &terms));
    TRY(apply1(host, call, "aval::Scale", factor.at, terms, &terms));
    return host->yield(call, 0, terms);
}

/* ---- Focal loss --------------------------------------------------------------------------------------------------------------- */

static int body_focal(const aval_host *host, aval_call *call)
{
    tensor scores = host->input(call, 0), targets = host->input(call, 1), weights, terms;
    text attrs = { 0 };
    text_real(&attrs, "alpha", host->attr_float(call, "alpha"));
    text_real(&attrs, "gamma", host->attr_float(call, "gamma"));
    TRY(apply2(host, call, "aval::FocalWeight", attrs.at, scores, targets, &weights));
    TRY(apply2(host, call, "aval::LogisticTerm", NULL, scores, targets, &terms));
    TRY(apply2(host, call, "Mul", NULL, weights, terms, &terms));
    return yield_reduced(host, call, terms);
}

/* ---- The table ------------------------------------------------------------------------------------------------------------------ */

#define PAIR(first, second) AVAL_PORTS({ .name = first }, { .name = second, .like = AVAL_LIKE(0) })
#define NUMBER(attr_name, value, summary) \
    { \
        .name = attr_name, .type = AVAL_ATTR_FLOAT, .initial = value, .doc = summary \
    }
#define PAIR_SAMPLES(range) \
    { .inputs = "[3,5]" range " [3,5]" range }, { .inputs = "[3,5]" range " [3,5]" range, .attrs = "reduction='none'" }, \
        { .inputs = "[1]" range " [1]" range, .attrs = "reduction='sum'" }, \
    { \
        .inputs = "[0] [0]", .attrs = "reduction='sum'" \
    }

static const aval_op squared = {
    LOSS("MeanSquaredError", infer_scalar, body_squared),
    .doc = "The mean of the squares of the differences.",
    .inputs = PAIR("predictions", "targets"),
    .samples = AVAL_SAMPLES({ .inputs = "[3,5] [3,5]" }, { .inputs = "[1] [1]" }, { .inputs = "[3,5] [5]" }),
};
static const aval_op huber_term = {
    TERM("HuberTerm", "abs(x - target) <= delta ? 0.5 * (x - target) * (x - target) : delta * (abs(x - target) - 0.5 * delta)"),
    .doc = "Half the square of a difference of at most delta, and linear from there on.",
    .inputs = PAIR("x", "target"),
    .attrs = AVAL_ATTRS(NUMBER("delta", "1", "where the straight part begins")),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]{-2..2} [2,3]{-2..2}" }, { .inputs = "[] []", .attrs = "delta=0.3" }, { .inputs = "[0] [0]" },
                            { .inputs = "[2]{1,3} [2]{0,0}", .why = "where the pieces meet, and beyond" }),
};
static const aval_op huber = {
    LOSS("HuberLoss", infer_each, body_huber),
    .doc = "Huber's loss: half the square of differences up to delta, delta times the difference beyond.",
    .inputs = PAIR("predictions", "targets"),
    .attrs = AVAL_ATTRS(NUMBER("delta", "1", "where the straight part begins"), REDUCTION),
    .samples = AVAL_SAMPLES(PAIR_SAMPLES("{-2..2}"), { .inputs = "[7] [7]", .attrs = "delta=0.3" }),
};
static const aval_op smooth_term = {
    TERM("SmoothL1Term", "abs(x - target) < beta ? 0.5 * (x - target) * (x - target) / beta : abs(x - target) - 0.5 * beta"),
    .doc = "The absolute difference, with a parabola below beta.",
    .inputs = PAIR("x", "target"),
    .attrs = AVAL_ATTRS(NUMBER("beta", "1", "where the parabola ends")),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]{-2..2} [2,3]{-2..2}" }, { .inputs = "[] []", .attrs = "beta=0.3" },
                            { .inputs = "[5]{-2..2} [5]{-2..2}", .attrs = "beta=0" }, { .inputs = "[0] [0]" }),
};
static const aval_op smooth = {
    LOSS("SmoothL1Loss", infer_each, body_smooth),
    .doc = "The absolute difference less beta / 2, and a parabola below beta.",
    .inputs = PAIR("predictions", "targets"),
    .attrs = AVAL_ATTRS(NUMBER("beta", "1", "where the parabola ends"), REDUCTION),
    .samples = AVAL_SAMPLES(PAIR_SAMPLES("{-2..2}"), { .inputs = "[7] [7]", .attrs = "beta=0.3" }),
};
static const aval_op divergence_term = {
    TERM("DivergenceTerm", "p <= 0 ? 0 : p * (log(p) - log_q)"),
    .doc = "p (log p - log q), where 0 log 0 is 0.",
    .inputs = PAIR("log_q", "p"),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]{-3..0} [2,3]{0.1..1}" }, { .inputs = "[] []{0.1..1}" }, { .inputs = "[0] [0]" },
                            { .inputs = "[2] [2]{0,1}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "0 log 0 is 0" }),
};
static const aval_op log_divergence_term = {
    TERM("LogDivergenceTerm", "exp(log_p) * (log_p - log_q)"),
    .doc = "p (log p - log q) from logarithms.",
    .inputs = PAIR("log_q", "log_p"),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]{-3..0} [2,3]{-3..0}" }, { .inputs = "[] []" }, { .inputs = "[0] [0]" }),
};
static const aval_op divergence = {
    LOSS("KLDivergence", infer_divergence, body_divergence),
    .doc = "Kullback-Leibler divergence of targets from predicted logarithms of probabilities: the sum of p (log p - log q).",
    .inputs = PAIR("log_predictions", "targets"),
    .attrs = AVAL_ATTRS({ .name = "reduction", .type = AVAL_ATTR_STRING, .initial = "'mean'", .doc = "none, sum, mean or batchmean" },
                        { .name = "log_target", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: targets are logarithms too" }),
    .samples = AVAL_SAMPLES({ .inputs = "[3,5]{-3..0} [3,5]{0.1..1}" },
                            { .inputs = "[3,5]{-3..0} [3,5]{0.1..1}", .attrs = "reduction='batchmean'" },
                            { .inputs = "[3,5]{-3..0} [3,5]{-3..0}", .attrs = "reduction='none' log_target=1" },
                            { .inputs = "[0] [0]", .attrs = "reduction='sum'" }),
};
static const aval_op focal_weight = {
    TERM("FocalWeight", "(alpha < 0 ? 1 : alpha * target + (1 - alpha) * (1 - target)) * "
                        "pow(sigmoid(score) * (1 - target) + sigmoid(-score) * target, gamma)"),
    .doc = "(1 - p)^gamma times the weight of the class, p being the probability that sigmoid(score) gives to the target.",
    .inputs = PAIR("score", "target"),
    .attrs =
        AVAL_ATTRS(NUMBER("alpha", "0.25", "weight of targets of 1; below 0: none"), NUMBER("gamma", "2", "how much easy ones count less")),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3]{-3..3} [2,3]{0..1}" }, { .inputs = "[] []{0..1}", .attrs = "alpha=-1 gamma=1.5" },
                            { .inputs = "[0] [0]" }),
};
static const aval_op focal = {
    LOSS("FocalLoss", infer_each, body_focal),
    .doc = "Binary cross-entropy with logits in which well-classified elements count less (Lin et al. 2017, Focal loss for dense object "
           "detection).",
    .inputs = PAIR("scores", "targets"),
    .attrs = AVAL_ATTRS(NUMBER("alpha", "0.25", "weight of targets of 1; below 0: none"),
                        NUMBER("gamma", "2", "how much easy ones count less"), REDUCTION),
    .samples = AVAL_SAMPLES(
        { .inputs = "[3,5]{-3..3} [3,5]{0..1}" }, { .inputs = "[3,5]{-3..3} [3,5]{0..1}", .attrs = "reduction='none' gamma=3 alpha=-1" },
        { .inputs = "[4]{-3..3} [4]{0,1,1,0}", .attrs = "reduction='sum'" }, { .inputs = "[0] [0]", .attrs = "reduction='sum'" }),
};

AVAL_PLUGIN("regression", "0.1.0", NULL, &squared, &huber_term, &huber, &smooth_term, &smooth, &divergence_term, &log_divergence_term,
            &divergence, &focal_weight, &focal)
