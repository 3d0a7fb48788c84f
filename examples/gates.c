/* Course, case 14: a signal a from a network A times a gate g(b), with b from a network C.  An all-or-none gate gives C the gradient 0: C never
 * learns.  A sigmoid lets it learn; a line clipped to 0..1 does so while b is on its slope. */
#include "support.h"

static const char *const gate_ops[] = { "aval::Step", "Sigmoid", "HardSigmoid" };
static const char *const gate_attrs[] = { NULL, NULL, "alpha=1 beta=0" };
static const char *const gate_names[] = { "step", "sigmoid", "clipped" };
enum { STEP, SIGMOID, CLIPPED, GATES, POINTS = 16, HIDDEN = 6 };

/* out = g(w_C x) w_A x at x = 1, w_A = 0.5 */
static void one_weight(lab *l, int gate, double w_c)
{
    aval_value *x = given_number(l, "x", 1), *wa = given_number(l, "w_A", 0.5), *wc = given_number(l, "w_C", w_c);
    aval_value *a = aval_apply(l->g, "Mul", NULL, wa, x), *b = aval_apply(l->g, "Mul", NULL, wc, x);
    aval_value *out = aval_apply(l->g, "Mul", NULL, a, aval_apply(l->g, gate_ops[gate], gate_attrs[gate], b));
    double value = number(l, out), da = number(l, aval_graph_gradient(l->g, out, a, NULL)),
           dc = number(l, aval_graph_gradient(l->g, out, wc, NULL));
    printf("%-8s w_C %4.1f: out %.4f, d out/d a %.4f, d out/d w_C %.4f\n", gate_names[gate], w_c, value, da, dc);
}

/* A net 1-6-1 with the weights NAME.w1 ... NAME.b2; its last bias starts at `bias`. */
static aval_value *small_net(lab *l, const char *name, aval_value *x, double bias, aval_value **weights)
{
    char names[4][32];
    for (int i = 0; i < 4; i++) snprintf(names[i], sizeof names[i], "%s.%s%d", name, i % 2 == 0 ? "w" : "b", i / 2 + 1);
    weights[0] = random_weight(l, names[0], AVAL_SHAPE(1, HIDDEN), AVAL_INIT_UNIFORM, 2, 1);
    weights[1] = random_weight(l, names[1], AVAL_SHAPE(HIDDEN), AVAL_INIT_UNIFORM, 1, 2);
    weights[2] = random_weight(l, names[2], AVAL_SHAPE(HIDDEN, 1), AVAL_INIT_UNIFORM, 0.3, 3);
    weights[3] = constant_weight(l, names[3], AVAL_SHAPE(1), bias);
    return dense(l, dense(l, x, weights[0], weights[1], "Tanh"), weights[2], weights[3], NULL);
}

/* How far the four weights of a net are from `before` (their numbers one after the other), which is filled when `remember`. */
static double moved(lab *l, aval_value *const *weights, double *before, int remember)
{
    double now[HIDDEN], sum = 0;
    for (int i = 0, at = 0; i < 4; i++) {
        int n = i == 3 ? 1 : HIDDEN;
        stored(l, aval_value_name(weights[i]), now, (size_t)n);
        for (int k = 0; k < n; k++, at++) {
            if (remember) before[at] = now[k];
            sum += fabs(now[k] - before[at]);
        }
    }
    return sum;
}

/* Both nets are trained on y = max(0, x).  The gate's net starts at b near `bias`. */
static void train(int gate, double bias, double *a_moved, double *c_moved)
{
    double x_data[POINTS], y_data[POINTS], before[2][4 * HIDDEN], first, last;
    for (int i = 0; i < POINTS; i++) x_data[i] = 2.0 * i / (POINTS - 1) - 1, y_data[i] = fmax(0, x_data[i]);
    lab l = lab_open();
    aval_value *weights[8], *x = given(&l, "x", AVAL_SHAPE(POINTS, 1), x_data), *y = given(&l, "y", AVAL_SHAPE(POINTS, 1), y_data);
    aval_value *a = small_net(&l, "A", x, 0, weights), *b = small_net(&l, "C", x, bias, weights + 4);
    aval_value *out = aval_apply(l.g, "Mul", NULL, a, aval_apply(l.g, gate_ops[gate], gate_attrs[gate], b));
    descent d = descend(&l, aval_apply(l.g, "aval::MeanSquaredError", NULL, out, y), weights, 8, 0.2, 0.5);
    moved(&l, weights, before[0], 1);
    moved(&l, weights + 4, before[1], 1);
    first = steps(&l, &d, 1);
    last = steps(&l, &d, 200);
    *a_moved = moved(&l, weights, before[0], 0);
    *c_moved = moved(&l, weights + 4, before[1], 0);
    printf("%-8s b near %4.1f: loss %.4f -> %.4f, A's weights %s, C's %s\n", gate_names[gate], bias, first, last,
           *a_moved > 0 ? "moved" : "stayed", *c_moved > 0 ? "moved" : "stayed");
    expect(isfinite(last));
    lab_close(&l);
}

int main(void)
{
    double a, c;
    lab l = lab_open();
    one_weight(&l, STEP, 2); /* open: A's gradient passes unchanged, C gets none */
    one_weight(&l, STEP, -2); /* closed: neither gets one */
    one_weight(&l, SIGMOID, 2);
    one_weight(&l, CLIPPED, 2);
    one_weight(&l, CLIPPED, 0.5);
    lab_close(&l);
    train(STEP, 5, &a, &c);
    expect(a > 0.1 && c == 0);
    train(STEP, -5, &a, &c);
    expect(a == 0 && c == 0);
    train(SIGMOID, 0.5, &a, &c);
    expect(a > 0.1 && c > 0.1);
    train(CLIPPED, 5, &a, &c); /* b beyond the slope */
    expect(a > 0.1 && c == 0);
    train(CLIPPED, 0.5, &a, &c);
    expect(a > 0.1 && c > 0.1);
    return 0;
}
