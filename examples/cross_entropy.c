/* Course, cases 6 and 7: softmax and cross-entropy, their gradient and Jacobian; why the loss is asymmetric; and why it is made from
 * scores: loss and gradient stay finite however large these are. */
#include "support.h"

/* Row i of the Jacobian dy/dz is the gradient of y_i: upstream 1 at i, 0 elsewhere. */
static void print_jacobian(lab *l, aval_value *y, aval_value *z)
{
    double jacobian[9];
    for (int64_t i = 0; i < 3; i++) {
        float unit[3] = { 0, 0, 0 };
        unit[i] = 1;
        aval_value *upstream = aval_graph_constant(l->g, AVAL_FLOAT, AVAL_SHAPE(1, 3), unit);
        numbers(l, aval_graph_gradient(l->g, y, z, upstream), jacobian + 3 * i, 3);
    }
    print_rows("Jacobian", jacobian, 3, 3, 3);
}

static void print_entropy(lab *l, const char *name, const double *p, const double *q)
{
    double gradient[3];
    aval_value *a = given(l, "p", AVAL_SHAPE(3), p), *b = given(l, "q", AVAL_SHAPE(3), q);
    aval_value *h = aval_apply(l->g, "aval::CrossEntropy", NULL, a, b);
    printf("%-24s %8.4f\n", name, number(l, h));
    numbers(l, aval_graph_gradient(l->g, h, b, NULL), gradient, 3);
    print_rows("  gradient by the second", gradient, 1, 3, 3);
}

int main(void)
{
    const double scores[] = { 1.7, 1.4, -1.3 }, one_hot[] = { 0, 1, 0 }, huge[] = { 1000, -1000, 0, 1000, -1000, 0 };
    double y_hat[3], gradient[6], losses[2];
    lab l = lab_open();
    aval_value *z = given(&l, "z", AVAL_SHAPE(1, 3), scores);
    aval_value *y = aval_apply(l.g, "Softmax", NULL, z);
    aval_value *loss = aval_apply(l.g, "SoftmaxCrossEntropyLoss", NULL, z, labels(&l, AVAL_SHAPE(1), (const int64_t[]){ 1 }));

    numbers(&l, y, y_hat, 3);
    print_rows("softmax", y_hat, 1, 3, 3);
    printf("cross-entropy            %8.4f\n", number(&l, loss));
    numbers(&l, aval_graph_gradient(l.g, loss, z, NULL), gradient, 3);
    print_rows("gradient", gradient, 1, 3, 3);
    print_jacobian(&l, y, z);

    print_entropy(&l, "H(y, y_hat)", one_hot, y_hat); /* -log y_hat of the target; where y is 0 nothing is added */
    print_entropy(&l, "H(y_hat, y)", y_hat, one_hot); /* log 0: infinite */
    print_entropy(&l, "H(y, y)", one_hot, one_hot); /* 0 log 0 is 0, and so is its gradient */

    aval_value *far = given(&l, "far", AVAL_SHAPE(2, 3), huge);
    aval_value *each =
        aval_apply(l.g, "SoftmaxCrossEntropyLoss", "reduction='none'", far, labels(&l, AVAL_SHAPE(2), (const int64_t[]){ 0, 1 }));
    numbers(&l, each, losses, 2);
    print_rows("at scores of +-1000", losses, 1, 2, 1);
    numbers(&l, aval_graph_gradient(l.g, each, far, NULL), gradient, 6);
    print_rows("  gradients", gradient, 2, 3, 1);
    lab_close(&l);
    return 0;
}
