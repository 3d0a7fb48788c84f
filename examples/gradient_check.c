/* Course, case 18: a gradient check by centred differences, (f(theta_i + e) - f(theta_i - e)) / 2e, of any graph: one call.  It passes for a small
 * classifier; and where a gradient is wrong, here one that a step hides, it says so. */
#include "support.h"

enum { EXAMPLES = 5, IN = 4, HIDDEN = 6, CLASSES = 3 };

static void print_result(void *user, const aval_gradient_result *r)
{
    (void)user;
    printf("gradient by %-2s %2zu elements: %s\n", r->value, r->compared, r->passed ? "as by differences" : "differs");
}

int main(void)
{
    double x_data[EXAMPLES * IN];
    for (int i = 0; i < EXAMPLES * IN; i++) x_data[i] = cos(3.0 * i);
    lab l = lab_open();
    aval_value *x = given(&l, "x", AVAL_SHAPE(EXAMPLES, IN), x_data);
    aval_value *w[] = { random_weight(&l, "w1", AVAL_SHAPE(IN, HIDDEN), AVAL_INIT_XAVIER, 1, 7),
                        random_weight(&l, "b1", AVAL_SHAPE(HIDDEN), AVAL_INIT_UNIFORM, 0.1, 7),
                        random_weight(&l, "w2", AVAL_SHAPE(HIDDEN, CLASSES), AVAL_INIT_XAVIER, 1, 7),
                        random_weight(&l, "b2", AVAL_SHAPE(CLASSES), AVAL_INIT_UNIFORM, 0.1, 7), x };
    aval_value *scores = dense(&l, dense(&l, x, w[0], w[1], "Tanh"), w[2], w[3], NULL);
    aval_value *loss =
        aval_apply(l.g, "SoftmaxCrossEntropyLoss", NULL, scores, labels(&l, AVAL_SHAPE(EXAMPLES), (const int64_t[]){ 0, 2, 1, 1, 0 }));
    must(aval_check_gradient(l.s, loss, w, COUNT(w), print_result, NULL));

    /* Floor declares the derivative 0.  Of x - floor(x) that is right nearly everywhere; of a thousand steps per unit it is not what a
       difference over many of them sees. */
    aval_value *steps_of =
        aval_apply(l.g, "aval::Scale", "factor=1e-7", aval_apply(l.g, "Floor", NULL, aval_apply(l.g, "aval::Scale", "factor=1e7", x)));
    int status = aval_check_gradient(l.s, steps_of, &x, 1, print_result, NULL);
    expect(status == AVAL_E_CHECK);
    printf("%s\n", aval_status_text(status));
    lab_close(&l);
    return 0;
}
