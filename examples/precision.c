/* Course, case 2: a mean with its precision 1/sigma^2 predicted, trained by the Gaussian negative log-likelihood, where the noise grows with x.  Why not the
 * variance: its gradient is -e^2 / (2 v^2) + 1 / (2 v), which explodes where the net is sure and wrong; the precision's, e^2 / 2 - 1 / (2 p), does not. */
#include "picture.h"
#include "support.h"

enum { POINTS = 128, HIDDEN = 12, STEPS = 600 };

/* Normal numbers without a library: Box and Muller over a fixed sequence. */
static double normal(int i)
{
    double u = fmod(0.5 + i * 0.6180339887498949, 1), v = fmod(0.5 + i * 0.7548776662466927, 1);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static double sigma(double x)
{
    return 0.05 + 0.3 * (x + 1);
}

static aval_value *likelihood(lab *l, int by_precision, aval_value *mean, aval_value *spread, aval_value *y)
{
    if (!by_precision) spread = aval_apply(l->g, "Reciprocal", NULL, spread); /* `spread` is the variance */
    return aval_apply(l->g, "aval::GaussianNegativeLogLikelihood", NULL, mean, spread, y);
}

/* One sure and wrong prediction: off by 1 at a standard deviation of 0.03. */
static double gradient_when_wrong(lab *l, int by_precision)
{
    aval_value *spread = given_number(l, "spread", by_precision ? 1 / 0.0009 : 0.0009);
    aval_value *loss = likelihood(l, by_precision, given_number(l, "mean", 0), spread, given_number(l, "target", 1));
    return number(l, aval_graph_gradient(l->g, loss, spread, NULL));
}

/* Trains mean and spread; *rise is the most that the loss went up in a step. */
static double train(int by_precision, double rate, const double *x, const double *y, double *found_sigma, double *rise)
{
    double spread_data[POINTS];
    lab l = lab_open();
    aval_value *w[] = { random_weight(&l, "w1", AVAL_SHAPE(1, HIDDEN), AVAL_INIT_UNIFORM, 2, 8),
                        random_weight(&l, "b1", AVAL_SHAPE(HIDDEN), AVAL_INIT_UNIFORM, 1, 8),
                        random_weight(&l, "w_mean", AVAL_SHAPE(HIDDEN, 1), AVAL_INIT_XAVIER, 1, 8),
                        constant_weight(&l, "b_mean", AVAL_SHAPE(1), 0),
                        random_weight(&l, "w_spread", AVAL_SHAPE(HIDDEN, 1), AVAL_INIT_XAVIER, 1, 8),
                        constant_weight(&l, "b_spread", AVAL_SHAPE(1), 0) };
    aval_value *hidden = dense(&l, given(&l, "x", AVAL_SHAPE(POINTS, 1), x), w[0], w[1], "Tanh");
    aval_value *mean = dense(&l, hidden, w[2], w[3], NULL), *spread = dense(&l, hidden, w[4], w[5], "Softplus"); /* positive */
    aval_value *loss = likelihood(&l, by_precision, mean, spread, given(&l, "y", AVAL_SHAPE(POINTS, 1), y));
    descent d = descend(&l, loss, w, COUNT(w), rate, 0);
    double before = steps(&l, &d, 1), now = before;
    *rise = 0;
    for (int i = 1; i < STEPS; i++, before = now) {
        now = steps(&l, &d, 1);
        if (!(now - before <= *rise)) *rise = now - before; /* NaN too */
    }
    numbers(&l, spread, spread_data, POINTS);
    for (int i = 0; i < POINTS; i++) found_sigma[i] = sqrt(by_precision ? 1 / spread_data[i] : spread_data[i]);
    lab_close(&l);
    return now;
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "variance", "precision" };
    static const double rates[] = { 0.04, 0.25 };
    static double x[POINTS], y[POINTS], found[2][2][POINTS], wanted[POINTS];
    double last[2][2], rise[2][2], wrong[2];
    for (int i = 0; i < POINTS; i++) {
        x[i] = 2.0 * i / (POINTS - 1) - 1;
        wanted[i] = sigma(x[i]);
        y[i] = sin(3 * x[i]) + wanted[i] * normal(i);
    }
    lab l = lab_open();
    for (int p = 0; p < 2; p++) {
        wrong[p] = gradient_when_wrong(&l, p);
        printf("%-9s gradient where sure and wrong: %.4g\n", names[p], wrong[p]);
        for (int r = 0; r < 2; r++) {
            last[p][r] = train(p, rates[r], x, y, found[p][r], &rise[p][r]);
            printf("  learning rate %.2f: loss %.3f, largest rise %.2g; sigma at x = -1, 0, 1: %.2f %.2f %.2f\n", rates[r], last[p][r],
                   rise[p][r], found[p][r][0], found[p][r][POINTS / 2], found[p][r][POINTS - 1]);
        }
    }
    lab_close(&l);
    printf("true sigma: %.2f %.2f %.2f\n", wanted[0], wanted[POINTS / 2], wanted[POINTS - 1]);
    expect_near(wrong[1], 0.5 * (1 - 0.0009), 1e-3);
    expect(fabs(wrong[0]) > 1e5 * fabs(wrong[1]));
    expect(rise[1][0] < 0.05 && rise[0][0] > 0.5); /* the precision's loss falls, the variance's jumps */
    expect(isfinite(last[1][1]) &&
           !(last[0][1] < last[1][1] + 0.5)); /* faster, the precision still trains; the variance is lost: NaN, or far above */
    expect(found[1][0][0] < 0.7 * found[1][0][POINTS - 1]); /* it saw the noise grow */
    if (picture_folder(argc, argv) != NULL) {
        const curve drawn[] = { { "sigma by precision", found[1][0], POINTS },
                                { "sigma by variance", found[0][0], POINTS },
                                { "true sigma", wanted, POINTS } };
        const chart shown = { "precision.svg", "Predicted noise", "x", "sigma", .x_from = -1, .x_to = 1 };
        draw_curves(argv[1], &shown, drawn, 3);
    }
    return 0;
}
