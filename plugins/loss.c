/* Losses of a course on feed-forward networks, as bodies of expressions, so that their gradients, second ones too, follow by themselves:
 * multiclass hinge, Gaussian negative log-likelihood by precision, cross-entropy of probabilities and of logits, and softmax over several
 * groups of outputs with its loss.  Each reduces its terms as the attribute `reduction` says. */
#include "loss.h"

#include <stdlib.h>

/* ---- Multiclass hinge ----------------------------------------------------------------------------------------------------------- */

static int infer_hinge(const aval_host *host, aval_call *call)
{
    tensor scores = host->input(call, 0), labels = host->input(call, 1);
    if (host->rank(scores) != 2 || host->rank(labels) != 1 || host->dims(scores)[0] != host->dims(labels)[0])
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "scores must have 2 axes, [examples, classes], and labels one, [examples]; scores have %u, labels %u%s",
                          (unsigned)host->rank(scores), (unsigned)host->rank(labels),
                          host->rank(scores) == 2 && host->rank(labels) == 1 ? " of another length" : "");
    return infer_reduced(host, call, 1, host->dims(labels));
}

/* Whether column j is the row's label: labels [rows] -> bool [rows, classes]. */
static int label_mask(const aval_host *host, aval_call *call, tensor labels, int64_t classes, tensor *mask)
{
    const int64_t column[] = { host->count(labels), 1 }, row[] = { 1, classes };
    int64_t *numbers = malloc(((size_t)classes + 1) * sizeof *numbers);
    if (numbers == NULL) return host->fail(call, AVAL_PLUGIN_NO_MEMORY, "no memory for the numbers of %lld classes", (long long)classes);
    for (int64_t i = 0; i < classes; i++) numbers[i] = i;
    tensor indices = host->constant(call, AVAL_INT64, 2, row, numbers);
    free(numbers);
    if (host->type(labels) != AVAL_INT64) TRY(apply1(host, call, "Cast", "to=7", labels, &labels));
    TRY(reshaped(host, call, labels, 2, column, &labels));
    return apply2(host, call, "Equal", NULL, labels, indices, mask);
}

static int body_hinge(const aval_host *host, aval_call *call)
{
    tensor scores = host->input(call, 0), mask, own, terms;
    const int64_t axis = 1;
    tensor axes = constant_ints(host, call, &axis, 1), zero;
    TRY(label_mask(host, call, host->input(call, 1), host->dims(scores)[1], &mask));
    text fill = { 0 };
    text_int(&fill, "type", host->type(scores));
    TRY(host->apply(call, "aval::Fill", fill.at, 0, NULL, 1, &zero));
    TRY(host->apply(call, "Where", NULL, 3, (const tensor[]){ mask, scores, zero }, 1, &own));
    TRY(apply2(host, call, "ReduceSum", "keepdims=1", own, axes, &own));
    TRY(host->apply(call, "aval::HingeTerm", NULL, 3, (const tensor[]){ scores, own, mask }, 1, &terms));
    TRY(apply2(host, call, "ReduceSum", "keepdims=0", terms, axes, &terms));
    return yield_reduced(host, call, terms);
}

/* ---- Losses of elements ----------------------------------------------------------------------------------------------------------- */

static int body_gaussian(const aval_host *host, aval_call *call)
{
    tensor terms;
    TRY(host->apply(call, "aval::GaussianTerm", NULL, 3,
                    (const tensor[]){ host->input(call, 0), host->input(call, 1), host->input(call, 2) }, 1, &terms));
    return yield_reduced(host, call, terms);
}

static int body_logistic(const aval_host *host, aval_call *call)
{
    tensor terms;
    TRY(apply2(host, call, "aval::LogisticTerm", NULL, host->input(call, 0), host->input(call, 1), &terms));
    return yield_reduced(host, call, terms);
}

static int body_cross_entropy(const aval_host *host, aval_call *call)
{
    tensor terms;
    TRY(apply2(host, call, "aval::CrossEntropyTerm", NULL, host->input(call, 0), host->input(call, 1), &terms));
    return yield_reduced(host, call, terms);
}

/* ---- Groups of exclusive outputs ------------------------------------------------------------------------------------------------ */

/* The attribute `groups` must add up to the last axis. */
static int check_groups(const aval_host *host, aval_call *call)
{
    size_t n;
    const int64_t *groups = host->attr_ints(call, "groups", &n);
    tensor x = host->input(call, 0);
    int64_t sum = 0, last = host->rank(x) == 0 ? 0 : host->dims(x)[host->rank(x) - 1];
    for (size_t i = 0; i < n; i++) {
        if (groups[i] < 1)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute groups has %lld, expected at least 1", (long long)groups[i]);
        sum += groups[i];
    }
    if (n == 0 || sum != last)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "attribute groups adds up to %lld, but the last axis has length %lld",
                          (long long)sum, (long long)last);
    return 0;
}

static int infer_groups(const aval_host *host, aval_call *call)
{
    TRY(check_groups(host, call));
    return aval_infer_like(host, call, 0, 0);
}

static int infer_groups_loss(const aval_host *host, aval_call *call)
{
    size_t n;
    tensor scores = host->input(call, 0), labels = host->input(call, 1);
    TRY(check_groups(host, call));
    host->attr_ints(call, "groups", &n);
    if (host->rank(scores) != 2 || host->rank(labels) != 2 || host->dims(labels)[0] != host->dims(scores)[0] ||
        host->dims(labels)[1] != (int64_t)n)
        return host->fail(
            call, AVAL_PLUGIN_BAD_SHAPE,
            "scores must have the shape [examples, outputs] and labels [examples, groups], here with %zu groups; they have %u and "
            "%u axes",
            n, (unsigned)host->rank(scores), (unsigned)host->rank(labels));
    return infer_reduced(host, call, 1, host->dims(scores));
}

/* Elements `from` to `to` of the last axis. */
static int part(const aval_host *host, aval_call *call, tensor x, int64_t from, int64_t to, tensor *out)
{
    const int64_t axis = (int64_t)host->rank(x) - 1;
    const tensor inputs[] = { x, constant_ints(host, call, &from, 1), constant_ints(host, call, &to, 1),
                              constant_ints(host, call, &axis, 1) };
    return host->apply(call, "Slice", NULL, 4, inputs, 1, out);
}

static int body_groups(const aval_host *host, aval_call *call)
{
    size_t n;
    const int64_t *groups = host->attr_ints(call, "groups", &n);
    tensor x = host->input(call, 0), joined = NULL;
    int64_t from = 0;
    for (size_t i = 0; i < n; from += groups[i++]) {
        tensor y;
        TRY(part(host, call, x, from, from + groups[i], &y));
        TRY(apply1(host, call, "Softmax", "axis=-1", y, &y));
        if (joined == NULL) joined = y;
        else TRY(apply2(host, call, "Concat", "axis=-1", joined, y, &joined));
    }
    return host->yield(call, 0, joined);
}

/* The loss of an example is the sum of its groups' cross-entropies. */
static int body_groups_loss(const aval_host *host, aval_call *call)
{
    size_t n;
    const int64_t *groups = host->attr_ints(call, "groups", &n);
    tensor scores = host->input(call, 0), labels = host->input(call, 1), sum = NULL;
    int64_t from = 0;
    for (size_t i = 0; i < n; from += groups[i++]) {
        const int64_t rows = host->dims(scores)[0];
        tensor own, label, loss;
        TRY(part(host, call, scores, from, from + groups[i], &own));
        TRY(part(host, call, labels, (int64_t)i, (int64_t)i + 1, &label));
        TRY(reshaped(host, call, label, 1, &rows, &label));
        TRY(apply2(host, call, "SoftmaxCrossEntropyLoss", "reduction='none'", own, label, &loss));
        if (sum == NULL) sum = loss;
        else TRY(apply2(host, call, "Add", NULL, sum, loss, &sum));
    }
    return yield_reduced(host, call, sum);
}

/* ---- The table ------------------------------------------------------------------------------------------------------------------ */

#define GROUPS \
    { \
        .name = "groups", .type = AVAL_ATTR_INTS, .required = 1, .doc = "length of each group of outputs, in order" \
    }
#define LABELS \
    { \
        .name = "labels", .types = AVAL_TYPE_SET(AVAL_INT32) | AVAL_TYPE_SET(AVAL_INT64) \
    }

static const aval_op hinge_term = {
    TERM("HingeTerm", "own_label || score - own + 1 < 0 ? 0 : score - own + 1"),
    DERIVATIVES("own_label || score - own + 1 <= 0 ? 0 : 1", "own_label || score - own + 1 <= 0 ? 0 : -1", NULL),
    .zero_gradient = 4,
    .doc = "How far a score comes nearer than 1 to the score of the right class; 0 for the right class itself.",
    .inputs = AVAL_PORTS({ .name = "score" }, { .name = "own", .like = AVAL_LIKE(0) }, { .name = "own_label", .types = AVAL_BOOLS }),
    .subgradient = "0 where the margin is exactly 1",
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,3]{-2..2} [2,1]{-2..2} b[2,3]{1,0,0,0,0,1}" }, { .inputs = "[] [] b[]{0}" }, { .inputs = "[0,3] [0,1] b[0,3]" },
        { .inputs = "[2]{0,1} [2]{1,0} b[2]{0,0}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "margins of exactly 1 and 2" }),
};
static const aval_op hinge = {
    LOSS("MulticlassHinge", infer_hinge, body_hinge),
    .doc = "Multiclass hinge loss: the sum over the wrong classes of max(0, score - score of the right class + 1).",
    .inputs = AVAL_PORTS({ .name = "scores" }, LABELS),
    .attrs = AVAL_ATTRS(REDUCTION),
    .subgradient = "0 where a margin is exactly 1",
    .samples = AVAL_SAMPLES({ .inputs = "[3,5] i64[3]{0,4,2}" }, { .inputs = "[3,5] i32[3]{0,4,2}", .attrs = "reduction='sum'" },
                            { .inputs = "[3,3]{2.3,4.1,-2.1,1.7,5.4,2.3,1.7,1.4,-1.3} i64[3]{0,1,2}", .attrs = "reduction='none'" },
                            { .inputs = "[1,1] i64[1]{0}" }, { .inputs = "[0,3] i64[0]", .attrs = "reduction='sum'" },
                            { .inputs = "[8,8200] i64[8]{0,8199,1,2,3,4,5,6}", .low = -9, .high = 9, .size_class = AVAL_LARGE }),
};
static const aval_op gaussian_term = {
    TERM("GaussianTerm", "0.5 * (precision * (target - mean) * (target - mean) - log(precision)) + 0.91893853320467274"),
    .doc = "-log of the normal density at the target, given its mean and precision 1/sigma^2.",
    .inputs = AVAL_PORTS({ .name = "mean" }, { .name = "precision", .like = AVAL_LIKE(0) }, { .name = "target", .like = AVAL_LIKE(0) }),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3] [2,3]{0.5..2} [2,3]" }, { .inputs = "[2,3] []{0.5..2} [3]" }, { .inputs = "[0] [0] [0]" },
                            { .inputs = "[257,259] [257,259]{0.5..2} [257,259]", .size_class = AVAL_LARGE }),
};
static const aval_op gaussian = {
    LOSS("GaussianNegativeLogLikelihood", infer_each, body_gaussian),
    .doc = "-log likelihood of targets under normal densities with predicted means and precisions 1/sigma^2 (positive).",
    .inputs = AVAL_PORTS({ .name = "mean" }, { .name = "precision", .like = AVAL_LIKE(0) }, { .name = "target", .like = AVAL_LIKE(0) }),
    .attrs = AVAL_ATTRS(REDUCTION),
    .samples =
        AVAL_SAMPLES({ .inputs = "[3,5] [3,5]{0.5..2} [3,5]" }, { .inputs = "[3,5] [3,5]{0.5..2} [3,5]", .attrs = "reduction='none'" },
                     { .inputs = "[1] [1]{0.5..2} [1]" }, { .inputs = "[0] [0] [0]", .attrs = "reduction='sum'" }),
};
static const aval_op logistic_term = {
    TERM("LogisticTerm", "max(score, 0) - score * target + log1p(exp(-abs(score)))"),
    DERIVATIVES("sigmoid(score) - target", "-score"),
    .doc = "Cross-entropy of a target in 0..1 and sigmoid(score), without overflow.",
    .inputs = AVAL_PORTS({ .name = "score" }, { .name = "target", .like = AVAL_LIKE(0) }),
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,3]{-3..3} [2,3]{0..1}" }, { .inputs = "[] []" }, { .inputs = "[0] [0]" },
        { .inputs = "[4]{-1000,-90,90,1000} [4]{1,0,1,0}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "exp overflows in the plain form" },
        { .inputs = "[257,259]{-9..9} [257,259]{0..1}", .size_class = AVAL_LARGE }),
};
static const aval_op logistic = {
    LOSS("SigmoidCrossEntropyLoss", infer_each, body_logistic),
    .doc = "Binary cross-entropy with logits: each element is a yes or no of its own, as for several labels at once.",
    .inputs = AVAL_PORTS({ .name = "scores" }, { .name = "targets", .like = AVAL_LIKE(0) }),
    .attrs = AVAL_ATTRS(REDUCTION),
    .samples = AVAL_SAMPLES({ .inputs = "[3,5]{-3..3} [3,5]{0..1}" }, { .inputs = "[3,5]{-3..3} [3,5]{0..1}", .attrs = "reduction='none'" },
                            { .inputs = "[1] [1]" }, { .inputs = "[0] [0]", .attrs = "reduction='sum'" }),
};
static const aval_op cross_entropy_term = {
    TERM("CrossEntropyTerm", "p == 0 && q == 0 ? 0 : -p * log(q)"),
    DERIVATIVES("p == 0 && q == 0 ? 0 : -log(q)", "p == 0 ? 0 : -p / q"),
    .doc = "-p log q, where 0 log 0 is 0.",
    .inputs = AVAL_PORTS({ .name = "p" }, { .name = "q", .like = AVAL_LIKE(0) }),
    .subgradient = "0 where p and q are 0",
    .samples =
        AVAL_SAMPLES({ .inputs = "[2,3]{0.1..1} [2,3]{0.1..1}" }, { .inputs = "[] []", .low = 0.1, .high = 1 }, { .inputs = "[0] [0]" },
                     { .inputs = "[3]{0,0,1} [3]{0,1,0}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "0 log 0 is 0, 1 log 0 infinite" }),
};
static const aval_op cross_entropy = {
    LOSS("CrossEntropy", infer_each, body_cross_entropy),
    .doc = "H(p, q) = -sum of p log q of two distributions; 0 log 0 is 0 and has the gradient 0.",
    .inputs = AVAL_PORTS({ .name = "p" }, { .name = "q", .like = AVAL_LIKE(0) }),
    .attrs =
        AVAL_ATTRS({ .name = "reduction", .type = AVAL_ATTR_STRING, .initial = "'sum'", .doc = "none, sum or mean over all elements" }),
    .subgradient = "0 where p and q are 0",
    .samples =
        AVAL_SAMPLES({ .inputs = "[3,5]{0.1..1} [3,5]{0.1..1}" }, { .inputs = "[5]{0.1..1} [5]{0.1..1}", .attrs = "reduction='none'" },
                     { .inputs = "[1]{1} [1]{0.5}" }, { .inputs = "[0] [0]" }),
};
static const aval_op grouped_softmax = {
    .size = sizeof(aval_op),
    .name = "GroupedSoftmax",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .doc = "Softmax within each of several groups of outputs, which lie one behind the other on the last axis.",
    .inputs = AVAL_PORTS({ .name = "scores" }),
    .outputs = AVAL_PORTS({ .name = "probabilities" }),
    .attrs = AVAL_ATTRS(GROUPS),
    .infer = infer_groups,
    .body = body_groups,
    .samples = AVAL_SAMPLES({ .inputs = "[3,9]", .attrs = "groups=[2,3,4]" }, { .inputs = "[5]", .attrs = "groups=[5]" },
                            { .inputs = "[2,2,3]", .attrs = "groups=[1,2]" }, { .inputs = "[0,3]", .attrs = "groups=[1,2]" }),
};
static const aval_op grouped_loss = {
    LOSS("GroupedSoftmaxCrossEntropyLoss", infer_groups_loss, body_groups_loss),
    .doc = "Cross-entropy of GroupedSoftmax, from scores: of each example the sum over its groups, each with a label of its own.",
    .inputs = AVAL_PORTS({ .name = "scores" }, LABELS),
    .attrs = AVAL_ATTRS(GROUPS, REDUCTION),
    .samples = AVAL_SAMPLES({ .inputs = "[3,9] i64[3,3]{0,2,3,1,1,0,1,0,1}", .attrs = "groups=[2,3,4]" },
                            { .inputs = "[3,5] i64[3,1]{0,4,2}", .attrs = "groups=[5] reduction='none'" },
                            { .inputs = "[2,3] i32[2,2]{0,1,0,0}", .attrs = "groups=[1,2] reduction='sum'" }),
};

AVAL_PLUGIN("loss", "0.1.0", NULL, &hinge_term, &hinge, &gaussian_term, &gaussian, &logistic_term, &logistic, &cross_entropy_term,
            &cross_entropy, &grouped_softmax, &grouped_loss)
