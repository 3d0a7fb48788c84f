/* Course, case 8: three losses on the same two scores.  Hinge reaches 0 and stops; cross-entropy goes on pushing the scores apart; softmax
 * with squared error hardly trains where it is most wrong.  With a folder as argument it draws the curves. */
#include "picture.h"
#include "support.h"

enum { STEPS = 200, LOSSES = 3 };
static const char *const names[LOSSES] = { "hinge", "cross-entropy", "squared error" };

static aval_value *make_loss(lab *l, int which, aval_value *scores)
{
    const double target[] = { 0, 1 };
    aval_value *label = labels(l, AVAL_SHAPE(1), (const int64_t[]){ 1 });
    if (which == 0) return aval_apply(l->g, "aval::MulticlassHinge", NULL, scores, label);
    if (which == 1) return aval_apply(l->g, "SoftmaxCrossEntropyLoss", NULL, scores, label);
    aval_value *y = given(l, "target", AVAL_SHAPE(1, 2), target);
    aval_value *miss = aval_apply(l->g, "Sub", NULL, aval_apply(l->g, "Softmax", NULL, scores), y);
    return aval_apply(l->g, "ReduceSum", "keepdims=0", aval_apply(l->g, "aval::Square", NULL, miss));
}

int main(int argc, char **argv)
{
    static double curves[LOSSES][STEPS], gaps[LOSSES][STEPS];
    const double start[] = { 10, -10 }; /* as wrong as can be: the target is the second class */
    lab l = lab_open();
    int doubles = lab_use_doubles(&l);
    for (int which = 0; which < LOSSES; which++) {
        double gradient[2], scores[2];
        aval_value *s = weight(&l, names[which], AVAL_SHAPE(1, 2), start);
        aval_value *loss = make_loss(&l, which, s);
        numbers(&l, aval_graph_gradient(l.g, loss, s, NULL), gradient, 2);
        printf("%-14s at (10, -10): gradient %.3g %.3g\n", names[which], gradient[0], gradient[1]);
        if (which == 1) expect(gradient[0] > 0.99 && gradient[1] < -0.99);
        /* in floats 1 - y_hat of the first class is lost altogether */
        if (which == 2) expect(fabs(gradient[1] + 8.24e-9) < 0.01e-9 && (!doubles || fabs(gradient[0] - 8.24e-9) < 0.01e-9));

        descent d = descend(&l, loss, &s, 1, 0.5, 0);
        for (int i = 0; i < STEPS; i++) {
            curves[which][i] = steps(&l, &d, 1);
            stored(&l, names[which], scores, 2);
            gaps[which][i] = scores[1] - scores[0];
        }
        printf("  loss %.4g -> %.4g, scores apart by %.3f after %d steps, %.3f after %d\n", curves[which][0], curves[which][STEPS - 1],
               gaps[which][STEPS / 2 - 1], STEPS / 2, gaps[which][STEPS - 1], STEPS);
    }
    expect(curves[0][STEPS / 2] == 0 && gaps[0][STEPS - 1] == gaps[0][STEPS / 2]); /* hinge: done, for ever */
    for (int i = 1; i < STEPS; i++) expect(curves[1][i] > 0 && gaps[1][i] > gaps[1][i - 1]); /* cross-entropy: never done */
    expect(curves[2][STEPS - 1] > 1.99); /* squared error: has not begun */
    if (picture_folder(argc, argv) != NULL) {
        const curve drawn[] = { { names[0], curves[0], STEPS }, { names[1], curves[1], STEPS }, { names[2], curves[2], STEPS } };
        const chart shown = {
            "loss_curves.svg", "Three losses from scores (10, -10), target the second: hinge ends at 0", "step", "loss", .x_to = STEPS - 1,
            .logarithmic = 1
        };
        draw_curves(argv[1], &shown, drawn, LOSSES);
    }
    lab_close(&l);
    return 0;
}
