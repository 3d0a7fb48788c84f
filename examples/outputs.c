/* Course, case 2: output units and the losses that fit them, each on a small problem over x in -2..2: softmax for exclusive classes, sigmoid for
 * 0..1, tanh for -1..1, linear for any number.  Three more have programs of their own: multi_label, angle, precision. */
#include "support.h"

enum { POINTS = 48, HIDDEN = 12, LARGEST = 3 };

typedef struct unit {
    const char *name, *activation, *loss; /* activation: what makes an output from a score; NULL: none.  The loss takes `of_scores` */
    int of_scores, columns;
    double (*target)(double x);
    double bound; /* for the largest error at the end; for classes: the share of wrong ones */
} unit;

static double which_third(double x)
{
    return x < -0.7 ? 0 : x < 0.7 ? 1 : 2;
}

static double bump(double x)
{
    return 0.1 + 0.8 * exp(-x * x);
}

static double wave(double x)
{
    return 0.9 * sin(2 * x);
}

static double parabola(double x)
{
    return 1.5 * x * x - 2;
}

static const unit units[] = {
    { "softmax", "Softmax", "SoftmaxCrossEntropyLoss", 1, 3, which_third, 0.05 },
    { "sigmoid", "Sigmoid", "aval::SigmoidCrossEntropyLoss", 1, 1, bump, 0.1 },
    { "tanh", "Tanh", "aval::MeanSquaredError", 0, 1, wave, 0.15 },
    { "linear", NULL, "aval::MeanSquaredError", 0, 1, parabola, 0.4 },
};

/* The largest distance from the targets; of classes, the share of wrong ones. */
static double error_of(const unit *u, const double *out, const double *x)
{
    double worst = 0, wrong = 0;
    for (int i = 0; i < POINTS; i++) {
        int best = 0;
        for (int c = 1; c < u->columns; c++) best = out[i * u->columns + c] > out[i * u->columns + best] ? c : best;
        wrong += best != (int)u->target(x[i]);
        worst = fmax(worst, fabs(out[i] - u->target(x[i])));
    }
    return u->columns > 1 ? wrong / POINTS : worst;
}

static void train(const unit *u)
{
    double x[POINTS], y[POINTS], out[POINTS * LARGEST];
    int64_t classes[POINTS];
    for (int i = 0; i < POINTS; i++) {
        x[i] = 4.0 * i / (POINTS - 1) - 2;
        y[i] = u->target(x[i]);
        classes[i] = (int64_t)y[i];
    }
    lab l = lab_open();
    aval_value *w[] = { random_weight(&l, "w1", AVAL_SHAPE(1, HIDDEN), AVAL_INIT_UNIFORM, 2, 1),
                        random_weight(&l, "b1", AVAL_SHAPE(HIDDEN), AVAL_INIT_UNIFORM, 2, 1),
                        random_weight(&l, "w2", AVAL_SHAPE(HIDDEN, u->columns), AVAL_INIT_XAVIER, 1, 1),
                        constant_weight(&l, "b2", AVAL_SHAPE(u->columns), 0) };
    aval_value *scores = dense(&l, dense(&l, given(&l, "x", AVAL_SHAPE(POINTS, 1), x), w[0], w[1], "Tanh"), w[2], w[3], NULL);
    aval_value *output = u->activation == NULL ? scores : aval_apply(l.g, u->activation, NULL, scores);
    aval_value *targets = u->columns > 1 ? labels(&l, AVAL_SHAPE(POINTS), classes) : given(&l, "y", AVAL_SHAPE(POINTS, 1), y);
    aval_value *loss = aval_apply(l.g, u->loss, NULL, u->of_scores ? scores : output, targets);
    descent d = descend(&l, loss, w, COUNT(w), 0.1, 0.9);
    double first = steps(&l, &d, 1), last = steps(&l, &d, 800);
    numbers(&l, output, out, (size_t)(POINTS * u->columns));
    double error = error_of(u, out, x);
    printf("%-8s %-32s loss %8.4f -> %.4f, %s %.3f\n", u->name, u->loss, first, last,
           u->columns > 1 ? "share of wrong classes" : "largest error", error);
    expect(last < first && error <= u->bound);
    lab_close(&l);
}

int main(void)
{
    for (size_t i = 0; i < COUNT(units); i++) train(&units[i]);
    return 0;
}
