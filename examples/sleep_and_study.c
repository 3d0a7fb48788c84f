/* Course, case 23: hours of sleep and of study, and the score: (3,5) 75, (5,1) 82, (10,2) 93; what does (8,3) give?  A net 2-3-1 with sigmoids,
 * inputs divided by the largest of their column, scores by 100.  The gradient over several examples is the sum of theirs. */
#include "picture.h"
#include "support.h"

enum { EXAMPLES = 3, IN = 2, HIDDEN = 3, POINTS = 300, STEPS = 20 };

int main(int argc, char **argv)
{
    const double hours[EXAMPLES][IN] = { { 3, 5 }, { 5, 1 }, { 10, 2 } }, scores[EXAMPLES] = { 75, 82, 93 }, largest[IN] = { 10, 5 };
    const double asked[IN] = { 8 / largest[0], 3 / largest[1] };
    double x_data[EXAMPLES * IN], y_data[EXAMPLES], all[IN * HIDDEN], one[IN * HIDDEN], sum[IN * HIDDEN] = { 0 };
    static double losses[POINTS];
    for (int i = 0; i < EXAMPLES * IN; i++) x_data[i] = hours[i / IN][i % IN] / largest[i % IN];
    for (int i = 0; i < EXAMPLES; i++) y_data[i] = scores[i] / 100;

    lab l = lab_open();
    aval_value *x = aval_graph_input(l.g, "hours", AVAL_FLOAT, AVAL_SHAPE(-1, IN)),
               *y = aval_graph_input(l.g, "score", AVAL_FLOAT, AVAL_SHAPE(-1, 1));
    aval_value *w[] = { random_weight(&l, "w1", AVAL_SHAPE(IN, HIDDEN), AVAL_INIT_NORMAL, 1, 4),
                        random_weight(&l, "w2", AVAL_SHAPE(HIDDEN, 1), AVAL_INIT_NORMAL, 1, 4) };
    aval_value *hidden = aval_apply(l.g, "Sigmoid", NULL, aval_apply(l.g, "MatMul", NULL, x, w[0]));
    aval_value *out = aval_apply(l.g, "Sigmoid", NULL, aval_apply(l.g, "MatMul", NULL, hidden, w[1]));
    aval_value *squares = aval_apply(l.g, "aval::Square", NULL, aval_apply(l.g, "Sub", NULL, y, out));
    aval_value *loss = aval_apply(l.g, "ReduceSum", "keepdims=0", aval_apply(l.g, "aval::Scale", "factor=0.5", squares));
    aval_value *gradient = aval_graph_gradient(l.g, loss, w[0], NULL);

    for (int i = 0; i < EXAMPLES; i++) {
        feed(&l, x, AVAL_SHAPE(1, IN), x_data + i * IN);
        feed(&l, y, AVAL_SHAPE(1, 1), y_data + i);
        numbers(&l, gradient, one, COUNT(one));
        for (size_t k = 0; k < COUNT(one); k++) sum[k] += one[k];
    }
    feed(&l, x, AVAL_SHAPE(EXAMPLES, IN), x_data);
    feed(&l, y, AVAL_SHAPE(EXAMPLES, 1), y_data);
    numbers(&l, gradient, all, COUNT(all));
    print_rows("gradient of all", all, IN, HIDDEN, 5);
    print_rows("sum of each one's", sum, IN, HIDDEN, 5);
    for (size_t k = 0; k < COUNT(all); k++) expect_near(all[k], sum[k], 1e-6);

    descent d = descend(&l, loss, w, 2, 2, 0.9);
    for (int i = 0; i < POINTS; i++) losses[i] = steps(&l, &d, STEPS);
    printf("loss %.5f -> %.7f\n", losses[0], losses[POINTS - 1]);
    expect(losses[POINTS - 1] < 0.01 * losses[0]);
    feed(&l, x, AVAL_SHAPE(1, IN), asked);
    double prediction = 100 * number(&l, out);
    printf("8 hours of sleep and 3 of study: %.1f\n", prediction);
    expect(prediction > 75 && prediction < 100);
    if (picture_folder(argc, argv) != NULL) {
        const chart shown = {
            "sleep_and_study.svg", "The net 2-3-1 learns three examples", "step", "loss", .x_from = STEPS, .x_to = POINTS * STEPS,
            .logarithmic = 1
        };
        draw_curves(argv[1], &shown, &(const curve){ "loss", losses, POINTS }, 1);
    }
    lab_close(&l);
    return 0;
}
