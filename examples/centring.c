/* Course, case 20: when all inputs are positive, the gradients of all weights of one neuron share a sign, so that weights can only grow or shrink
 * together; centred to zero mean they don't, and training is faster. */
#include "picture.h"
#include "support.h"

enum { EXAMPLES = 40, IN = 4, HIDDEN = 6, STEPS = 150, RATES = 3 };
static const double rates[RATES] = { 0.03, 0.1, 0.3 };

/* Whether within each neuron (a column of w1's gradient) all signs are equal, for this one example. */
static int signs_shared(const double *gradient)
{
    for (int j = 0; j < HIDDEN; j++) {
        for (int i = 1; i < IN; i++) {
            if (gradient[i * HIDDEN + j] * gradient[j] < 0) return 0;
        }
    }
    return 1;
}

/* Trains at a learning rate; *shared counts the examples whose gradients share signs.  Loss by step in `losses`. */
static double train(const double *x_data, const double *y_data, double rate, int *shared, double *losses)
{
    lab l = lab_open();
    aval_value *x = aval_graph_input(l.g, "x", AVAL_FLOAT, AVAL_SHAPE(-1, IN)),
               *y = aval_graph_input(l.g, "y", AVAL_FLOAT, AVAL_SHAPE(-1, 1));
    aval_value *w[] = { random_weight(&l, "w1", AVAL_SHAPE(IN, HIDDEN), AVAL_INIT_XAVIER, 1, 5),
                        constant_weight(&l, "b1", AVAL_SHAPE(HIDDEN), 0),
                        random_weight(&l, "w2", AVAL_SHAPE(HIDDEN, 1), AVAL_INIT_XAVIER, 1, 5),
                        constant_weight(&l, "b2", AVAL_SHAPE(1), 0) };
    aval_value *out = dense(&l, dense(&l, x, w[0], w[1], "Tanh"), w[2], w[3], NULL);
    aval_value *loss = aval_apply(l.g, "aval::MeanSquaredError", NULL, out, y), *gradient = aval_graph_gradient(l.g, loss, w[0], NULL);
    *shared = 0;
    for (int i = 0; i < EXAMPLES; i++) {
        double g[IN * HIDDEN];
        feed(&l, x, AVAL_SHAPE(1, IN), x_data + i * IN);
        feed(&l, y, AVAL_SHAPE(1, 1), y_data + i);
        numbers(&l, gradient, g, COUNT(g));
        *shared += signs_shared(g);
    }
    feed(&l, x, AVAL_SHAPE(EXAMPLES, IN), x_data);
    feed(&l, y, AVAL_SHAPE(EXAMPLES, 1), y_data);
    descent d = descend(&l, loss, w, COUNT(w), rate, 0);
    for (int i = 0; i < STEPS; i++) losses[i] = steps(&l, &d, 1);
    lab_close(&l);
    return losses[STEPS - 1];
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "all positive", "centred" };
    static double losses[2][STEPS], tried[STEPS];
    double x[2][EXAMPLES * IN], y[EXAMPLES], mean[IN] = { 0 };
    double best[2] = { INFINITY, INFINITY };
    for (int i = 0; i < EXAMPLES * IN; i++) {
        x[0][i] = 2 + sin(37.0 * i * i + 11 * (i % IN)); /* 1 to 3 */
        mean[i % IN] += x[0][i] / EXAMPLES;
    }
    for (int i = 0; i < EXAMPLES * IN; i++) x[1][i] = x[0][i] - mean[i % IN];
    for (int i = 0; i < EXAMPLES; i++) y[i] = sin(x[1][i * IN]) - 0.5 * x[1][i * IN + 1] * x[1][i * IN + 2];

    for (int centred = 0; centred < 2; centred++) {
        int shared = 0;
        double rate = 0;
        for (int r = 0; r < RATES; r++) { /* each at its own best learning rate */
            double last = train(x[centred], y, rates[r], &shared, tried);
            if (!(last < best[centred])) continue;
            best[centred] = last;
            rate = rates[r];
            for (int i = 0; i < STEPS; i++) losses[centred][i] = tried[i];
        }
        printf("%-12s gradients share their signs in %2d of %d examples; loss after %d steps at its best rate, %g: %.4f\n", names[centred],
               shared, EXAMPLES, STEPS, rate, best[centred]);
        if (centred) expect(shared < EXAMPLES / 4);
        else expect(shared == EXAMPLES);
    }
    expect(best[1] < 0.8 * best[0]);
    if (picture_folder(argc, argv) != NULL) {
        const curve drawn[] = { { names[0], losses[0], STEPS }, { names[1], losses[1], STEPS } };
        const chart shown = { "centring.svg",  "The same examples before and after centring", "step", "loss", .x_to = STEPS - 1,
                              .logarithmic = 1 };
        draw_curves(argv[1], &shown, drawn, 2);
    }
    return 0;
}
