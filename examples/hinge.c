/* Course, case 5: the multiclass hinge loss L = sum over j != target of max(0, s_j - s_target + 1), and its gradients. */
#include "support.h"

int main(void)
{
    const double s[] = { 2.3, 4.1, -2.1, 1.7, 5.4, 2.3, 1.7, 1.4, -1.3 };
    double losses[3], gradient[9];
    lab l = lab_open();
    aval_value *scores = given(&l, "scores", AVAL_SHAPE(3, 3), s);
    aval_value *targets = labels(&l, AVAL_SHAPE(3), (const int64_t[]){ 0, 1, 2 }); /* classes are counted from 0 */
    aval_value *each = aval_apply(l.g, "aval::MulticlassHinge", "reduction='none'", scores, targets);
    aval_value *mean = aval_apply(l.g, "aval::MulticlassHinge", NULL, scores, targets);

    numbers(&l, each, losses, 3);
    print_rows("losses", losses, 1, 3, 2);
    printf("mean %.2f\n", number(&l, mean));

    /* Each class that comes too near pushes its own score down and the target's up, by 1 each. */
    numbers(&l, aval_graph_gradient(l.g, each, scores, NULL), gradient, 9);
    print_rows("gradients by the scores", gradient, 3, 3, 0);
    numbers(&l, aval_graph_gradient(l.g, mean, scores, NULL), gradient, 9);
    print_rows("of the mean", gradient, 3, 3, 4);
    lab_close(&l);
    return 0;
}
