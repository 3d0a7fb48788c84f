/* Course, case 3: softmax over groups of outputs, several exclusive sets in one output vector, as in hierarchical classes: animal or vehicle; if an
 * animal, which of three; if a vehicle, which of two.  Forward, loss and gradient. */
#include "support.h"

enum { EXAMPLES = 2, OUTPUTS = 7, GROUPS = 3 };
static const int lengths[GROUPS] = { 2, 3, 2 };

int main(void)
{
    const double s[EXAMPLES * OUTPUTS] = { 2, -1, 0.5, 0.1, -0.3, 1, 1, 0, 3, -2, 0.2, 0.7, 1000, -1000 };
    const int64_t targets[EXAMPLES * GROUPS] = { 0, 1, 0, 1, 2, 0 };
    double p[EXAMPLES * OUTPUTS], g[EXAMPLES * OUTPUTS], losses[EXAMPLES];
    lab l = lab_open();
    aval_value *scores = given(&l, "scores", AVAL_SHAPE(EXAMPLES, OUTPUTS), s);
    aval_value *each = aval_apply(l.g, "aval::GroupedSoftmaxCrossEntropyLoss", "groups=[2,3,2] reduction='none'", scores,
                                  labels(&l, AVAL_SHAPE(EXAMPLES, GROUPS), targets));
    numbers(&l, aval_apply(l.g, "aval::GroupedSoftmax", "groups=[2,3,2]", scores), p, COUNT(p));
    numbers(&l, each, losses, EXAMPLES);
    numbers(&l, aval_graph_gradient(l.g, each, scores, NULL), g, COUNT(g));
    print_rows("probabilities", p, EXAMPLES, OUTPUTS, 3);
    print_rows("losses", losses, 1, EXAMPLES, 4);
    print_rows("gradients", g, EXAMPLES, OUTPUTS, 3);

    for (int e = 0; e < EXAMPLES; e++) {
        double loss = 0;
        for (int k = 0, at = e * OUTPUTS; k < GROUPS; at += lengths[k++]) {
            double sum = 0;
            int64_t target = targets[e * GROUPS + k];
            for (int i = 0; i < lengths[k]; i++) {
                sum += p[at + i];
                expect_near(g[at + i], p[at + i] - (i == target), 1e-5); /* y_hat - y within the group */
            }
            expect_near(sum, 1, 1e-5);
            loss -= log(p[at + target]);
        }
        expect_near(losses[e], loss, 1e-4);
    }
    must(aval_check_gradient(l.s, each, &scores, 1, NULL, NULL));
    lab_close(&l);
    return 0;
}
