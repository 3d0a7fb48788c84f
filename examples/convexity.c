/* Course, case 24: convex and not.  Linear regression, logistic regression and a linear SVM reach the same loss from ten starts, a small net does not;
 * and random search against gradient descent at the same number of evaluations. */
#include "support.h"

enum { EXAMPLES = 40, IN = 2, HIDDEN = 2, STARTS = 10, STEPS = 500, MODELS = 4 };
enum { LINEAR, LOGISTIC, SVM, NET };
static const char *const names[MODELS] = { "linear regression", "logistic regression", "linear SVM", "net 2-2-1, tanh" };

typedef struct model {
    lab l;
    aval_value *weights[4], *loss;
    int n;
    descent d;
} model;

/* A small decay makes the convex losses strictly so: the SVM's and the logistic one's minimum is then a point. */
static aval_value *decayed(model *m, aval_value *loss)
{
    for (int i = 0; i < m->n; i++) {
        aval_value *square = aval_apply(m->l.g, "ReduceSum", "keepdims=0", aval_apply(m->l.g, "aval::Square", NULL, m->weights[i]));
        loss = aval_apply(m->l.g, "Add", NULL, loss, aval_apply(m->l.g, "aval::Scale", "factor=0.005", square));
    }
    return loss;
}

/* mean of max(0, 1 - label * score), labels -1 and 1 */
static aval_value *margin_loss(lab *l, aval_value *scores, aval_value *labels_of)
{
    aval_value *margin =
        aval_apply(l->g, "Sub", NULL, aval_graph_number(l->g, l->type, 1), aval_apply(l->g, "Mul", NULL, scores, labels_of));
    return aval_apply(l->g, "ReduceMean", "keepdims=0", aval_apply(l->g, "Relu", NULL, margin));
}

static model make_model(int which)
{
    double x[EXAMPLES * IN], y[EXAMPLES];
    model m = { .l = lab_open(), .n = which == NET ? 4 : 2 };
    for (int i = 0; i < EXAMPLES; i++) {
        x[2 * i] = 2 * sin(3.0 * i), x[2 * i + 1] = 2 * cos(5.0 * i * i);
        double line = x[2 * i] - 0.5 * x[2 * i + 1] + 0.3 + 0.5 * sin(11.0 * i);
        if (which == LINEAR) y[i] = line;
        else if (which == NET) y[i] = x[2 * i] * x[2 * i + 1] > 0 ? 1 : -1; /* XOR of the signs */
        else y[i] = which == LOGISTIC ? line > 0 : line > 0 ? 1 : -1;
    }
    aval_value *in = given(&m.l, "x", AVAL_SHAPE(EXAMPLES, IN), x), *targets = given(&m.l, "y", AVAL_SHAPE(EXAMPLES, 1), y);
    int64_t last = IN;
    if (which == NET) {
        m.weights[2] = constant_weight(&m.l, "w1", AVAL_SHAPE(IN, HIDDEN), 0);
        m.weights[3] = constant_weight(&m.l, "b1", AVAL_SHAPE(HIDDEN), 0);
        in = dense(&m.l, in, m.weights[2], m.weights[3], "Tanh");
        last = HIDDEN;
    }
    m.weights[0] = constant_weight(&m.l, "w", AVAL_SHAPE(last, 1), 0);
    m.weights[1] = constant_weight(&m.l, "b", AVAL_SHAPE(1), 0);
    aval_value *scores = dense(&m.l, in, m.weights[0], m.weights[1], NULL);
    aval_value *loss = which == SVM        ? margin_loss(&m.l, scores, targets)
                       : which == LOGISTIC ? aval_apply(m.l.g, "aval::SigmoidCrossEntropyLoss", NULL, scores, targets)
                                           : aval_apply(m.l.g, "aval::MeanSquaredError", NULL, scores, targets);
    m.loss = which == NET ? loss : decayed(&m, loss);
    m.d = descend(&m.l, m.loss, m.weights, (size_t)m.n, which == SVM ? 0.02 : 0.1, 0.9);
    return m;
}

static void start_at(model *m, uint64_t seed)
{
    char velocity[32];
    for (int i = 0; i < m->n; i++) {
        aval_value *w = m->weights[i];
        snprintf(velocity, sizeof velocity, "%s.velocity", aval_value_name(w));
        random_weight(&m->l, aval_value_name(w), (size_t)aval_value_rank(w), aval_value_dims(w), AVAL_INIT_NORMAL, 1, seed);
        constant_weight(&m->l, velocity, (size_t)aval_value_rank(w), aval_value_dims(w), 0);
    }
}

/* Losses that ten starts end at: lowest and highest. */
static void from_ten_starts(int which, double *low, double *high)
{
    model m = make_model(which);
    *low = INFINITY, *high = -INFINITY;
    for (uint64_t seed = 1; seed <= STARTS; seed++) {
        start_at(&m, seed);
        double loss = (steps(&m.l, &m.d, STEPS), number(&m.l, m.loss));
        *low = fmin(*low, loss), *high = fmax(*high, loss);
    }
    printf("%-20s ten starts end between %.5f and %.5f\n", names[which], *low, *high);
    lab_close(&m.l);
}

static void search_against_descent(void)
{
    enum { EVALUATIONS = 300 };
    model m = make_model(NET);
    double best = INFINITY;
    for (uint64_t seed = 1; seed <= EVALUATIONS; seed++) {
        start_at(&m, seed);
        best = fmin(best, number(&m.l, m.loss));
    }
    start_at(&m, 3);
    steps(&m.l, &m.d, EVALUATIONS);
    double descended = number(&m.l, m.loss);
    printf("%d evaluations: random search %.4f, gradient descent %.4f\n", EVALUATIONS, best, descended);
    expect(descended < best);
    lab_close(&m.l);
}

int main(void)
{
    for (int which = 0; which < MODELS; which++) {
        double low, high;
        from_ten_starts(which, &low, &high);
        if (which == NET) expect(high - low > 0.05);
        else expect(high - low < (which == SVM ? 5e-3 : 1e-4)); /* the SVM's steps go to and fro over its edges */
    }
    search_against_descent();
    return 0;
}
