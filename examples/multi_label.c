/* Course, case 2: several classes at once.  A point of the plane may lie in any of three discs, in none or in all.  The data form is a row of
 * zeros and ones for each example, the output a sigmoid for each class, the loss binary cross-entropy; and accuracy means three things: the share of
 * labels that are right, of examples whose labels are all right, and F1, which does not reward saying no to everything. */
#include "support.h"

enum { SIDE = 12, EXAMPLES = SIDE * SIDE, CLASSES = 3, HIDDEN = 16 };

static void make_data(double *x, double *y)
{
    static const double discs[CLASSES][3] = { { -0.3, 0.2, 0.6 }, { 0.3, 0.2, 0.6 }, { 0, -0.4, 0.5 } }; /* centre, radius */
    for (int i = 0; i < EXAMPLES; i++) {
        x[2 * i] = 2.0 * (i % SIDE) / (SIDE - 1) - 1;
        x[2 * i + 1] = 2.0 * (i / SIDE) / (SIDE - 1) - 1;
        for (int c = 0; c < CLASSES; c++) {
            double dx = x[2 * i] - discs[c][0], dy = x[2 * i + 1] - discs[c][1];
            y[i * CLASSES + c] = dx * dx + dy * dy < discs[c][2] * discs[c][2];
        }
    }
}

int main(void)
{
    double x[2 * EXAMPLES], y[EXAMPLES * CLASSES], p[EXAMPLES * CLASSES];
    make_data(x, y);
    lab l = lab_open();
    aval_value *w[] = { random_weight(&l, "w1", AVAL_SHAPE(2, HIDDEN), AVAL_INIT_UNIFORM, 3, 2),
                        random_weight(&l, "b1", AVAL_SHAPE(HIDDEN), AVAL_INIT_UNIFORM, 1, 2),
                        random_weight(&l, "w2", AVAL_SHAPE(HIDDEN, CLASSES), AVAL_INIT_XAVIER, 1, 2),
                        constant_weight(&l, "b2", AVAL_SHAPE(CLASSES), 0) };
    aval_value *hidden = dense(&l, given(&l, "x", AVAL_SHAPE(EXAMPLES, 2), x), w[0], w[1], "Tanh");
    aval_value *scores = dense(&l, hidden, w[2], w[3], NULL), *targets = given(&l, "y", AVAL_SHAPE(EXAMPLES, CLASSES), y);
    aval_value *loss = aval_apply(l.g, "aval::SigmoidCrossEntropyLoss", NULL, scores, targets);
    descent d = descend(&l, loss, w, COUNT(w), 0.5, 0.9);
    double first = steps(&l, &d, 1), last = steps(&l, &d, 1000);
    numbers(&l, aval_apply(l.g, "Sigmoid", NULL, scores), p, COUNT(p));

    int right = 0, all_right = 0, hits = 0, said = 0, are = 0, several = 0;
    for (int i = 0; i < EXAMPLES; i++) {
        int wrong = 0, count = 0;
        for (int c = 0; c < CLASSES; c++) {
            int yes = p[i * CLASSES + c] > 0.5, is = y[i * CLASSES + c] > 0.5;
            right += yes == is, wrong += yes != is, hits += yes && is, said += yes, are += is, count += yes;
        }
        all_right += wrong == 0;
        several += count > 1;
    }
    double of_labels = 1.0 * right / (EXAMPLES * CLASSES), of_examples = 1.0 * all_right / EXAMPLES, f1 = 2.0 * hits / (said + are);
    printf("loss %.4f -> %.4f: labels right %.3f, whole examples right %.3f, F1 %.3f; %d examples got several labels\n", first, last,
           of_labels, of_examples, f1, several);
    expect(of_labels > 0.95 && of_examples > 0.85 && of_examples <= of_labels && f1 > 0.9 && several > 5);
    lab_close(&l);
    return 0;
}
