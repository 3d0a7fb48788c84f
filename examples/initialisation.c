/* Course, case 4: the nearer the raw outputs of an untrained network are to what is wanted, the easier training is.  The output bias from the targets
 * (a class's log share; a number's mean), and the scale of the weights (He for ReLU, Xavier for tanh): first losses, and after 30 steps. */
#include "support.h"

enum { EXAMPLES = 200, IN = 8, HIDDEN = 32, DEPTH = 6, STEPS = 30 };

static double x_data[EXAMPLES * IN];

/* A net IN-HIDDEN-2 for classes of which the first has nine of ten examples, or for a number around 50; loss before and after training. */
static void output_bias(int classes, int from_targets, double *first, double *last)
{
    int64_t target[EXAMPLES];
    double y[EXAMPLES], mean = 0, bias[2] = { 0, 0 };
    for (int i = 0; i < EXAMPLES; i++) {
        target[i] = i % 10 == 0;
        y[i] = 50 + x_data[i * IN] + 0.5 * x_data[i * IN + 1];
        mean += y[i] / EXAMPLES;
    }
    if (from_targets) bias[0] = classes ? log(0.9) : mean, bias[1] = log(0.1);
    lab l = lab_open();
    int64_t columns = classes ? 2 : 1;
    aval_value *w[] = { random_weight(&l, "w1", AVAL_SHAPE(IN, HIDDEN), AVAL_INIT_HE, 1, 1),
                        constant_weight(&l, "b1", AVAL_SHAPE(HIDDEN), 0),
                        random_weight(&l, "w2", AVAL_SHAPE(HIDDEN, columns), AVAL_INIT_UNIFORM, 0.05, 1),
                        weight(&l, "b2", AVAL_SHAPE(columns), bias) };
    aval_value *out = dense(&l, dense(&l, given(&l, "x", AVAL_SHAPE(EXAMPLES, IN), x_data), w[0], w[1], "Relu"), w[2], w[3], NULL);
    aval_value *loss = classes ? aval_apply(l.g, "SoftmaxCrossEntropyLoss", NULL, out, labels(&l, AVAL_SHAPE(EXAMPLES), target))
                               : aval_apply(l.g, "aval::MeanSquaredError", NULL, out, given(&l, "y", AVAL_SHAPE(EXAMPLES, 1), y));
    descent d = descend(&l, loss, w, COUNT(w), classes ? 0.1 : 0.01, 0);
    *first = steps(&l, &d, 1);
    *last = steps(&l, &d, STEPS);
    printf("%-24s output bias %-16s first loss %9.4f, after %d steps %.4f\n", classes ? "classes 9 : 1" : "numbers around 50",
           from_targets ? "from the targets" : "0", *first, STEPS, *last);
    lab_close(&l);
}

/* Standard deviation of the activations after each of DEPTH layers. */
static double spread(const char *activation, const char *name, int initializer, double scale)
{
    lab l = lab_open();
    double h_data[EXAMPLES * HIDDEN], deviation = 0;
    aval_value *h = given(&l, "x", AVAL_SHAPE(EXAMPLES, IN), x_data);
    printf("%-6s %-22s standard deviation by layer", activation, name);
    for (int k = 0; k < DEPTH; k++) {
        char weights[8];
        double sum = 0;
        snprintf(weights, sizeof weights, "w%d", k);
        aval_value *w = random_weight(&l, weights, AVAL_SHAPE(k == 0 ? IN : HIDDEN, HIDDEN), initializer, scale, 9);
        h = aval_apply(l.g, activation, NULL, aval_apply(l.g, "MatMul", NULL, h, w));
        numbers(&l, h, h_data, COUNT(h_data));
        for (size_t i = 0; i < COUNT(h_data); i++) sum += h_data[i] * h_data[i];
        deviation = sqrt(sum / COUNT(h_data));
        printf(" %7.2g", deviation);
    }
    printf("\n");
    lab_close(&l);
    return deviation;
}

int main(void)
{
    double first[2][2], last[2][2];
    for (int i = 0; i < EXAMPLES * IN; i++) x_data[i] = 1.4142 * sin(1.7 * i * i + i % IN);
    for (int classes = 0; classes < 2; classes++) {
        for (int from = 0; from < 2; from++) output_bias(classes, from, &first[classes][from], &last[classes][from]);
        expect(first[classes][1] < 0.6 * first[classes][0] && last[classes][1] < last[classes][0]);
    }
    double he = spread("Relu", "He", AVAL_INIT_HE, 1), small = spread("Relu", "normal 0.05", AVAL_INIT_NORMAL, 0.05),
           large = spread("Relu", "normal 1", AVAL_INIT_NORMAL, 1);
    expect(he > 0.3 && he < 3 && small < 0.01 * he && large > 100 * he);
    double xavier = spread("Tanh", "Xavier", AVAL_INIT_XAVIER, 1), full = spread("Tanh", "normal 1", AVAL_INIT_NORMAL, 1);
    expect(xavier > 0.1 && xavier < 0.8 && full > 0.8); /* full: nearly all units at -1 or 1, where tanh has no slope */
    return 0;
}
