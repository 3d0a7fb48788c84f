/* Course, case 2: an angle as an output, by its sine and cosine, with its error measured on the circle.  As a plain number it jumps from pi to -pi where
 * nothing happens to the input, and the net that must follow the jump is wrong around it. */
#include "support.h"

enum { POINTS = 60, HIDDEN = 12 };
static const double pi = 3.14159265358979323846;

/* The way from a to b on the circle, 0 to pi. */
static double apart(double a, double b)
{
    return fabs(remainder(a - b, 2 * pi));
}

/* Learns which way a vector points, with one output (the angle) or two (its sine and cosine).  Gives the largest error on the circle. */
static double learn(int outputs)
{
    double x[2 * POINTS], angle[POINTS], target[2 * POINTS], found[2 * POINTS], worst = 0, mean = 0;
    for (int i = 0; i < POINTS; i++) {
        angle[i] = -pi + 2 * pi * (i + 0.5) / POINTS;
        x[2 * i] = cos(angle[i]) * (1 + 0.3 * sin(5.0 * i)); /* of changing length */
        x[2 * i + 1] = sin(angle[i]) * (1 + 0.3 * sin(5.0 * i));
        if (outputs == 1) target[i] = angle[i];
        else target[2 * i] = sin(angle[i]), target[2 * i + 1] = cos(angle[i]);
    }
    lab l = lab_open();
    aval_value *w[] = { random_weight(&l, "w1", AVAL_SHAPE(2, HIDDEN), AVAL_INIT_XAVIER, 1, 6),
                        constant_weight(&l, "b1", AVAL_SHAPE(HIDDEN), 0),
                        random_weight(&l, "w2", AVAL_SHAPE(HIDDEN, outputs), AVAL_INIT_XAVIER, 1, 6),
                        constant_weight(&l, "b2", AVAL_SHAPE(outputs), 0) };
    aval_value *hidden = dense(&l, given(&l, "x", AVAL_SHAPE(POINTS, 2), x), w[0], w[1], "Tanh");
    aval_value *out = dense(&l, hidden, w[2], w[3], outputs == 1 ? NULL : "Tanh");
    aval_value *loss = aval_apply(l.g, "aval::MeanSquaredError", NULL, out, given(&l, "y", AVAL_SHAPE(POINTS, outputs), target));
    descent d = descend(&l, loss, w, COUNT(w), 0.05, 0.9);
    steps(&l, &d, 1000);
    numbers(&l, out, found, (size_t)(POINTS * outputs));
    for (int i = 0; i < POINTS; i++) {
        double error = apart(outputs == 1 ? found[i] : atan2(found[2 * i], found[2 * i + 1]), angle[i]);
        mean += error / POINTS;
        worst = fmax(worst, error);
    }
    printf("%-20s error on the circle: mean %5.1f, largest %5.1f degrees\n", outputs == 1 ? "angle as a number" : "sine and cosine",
           mean * 180 / pi, worst * 180 / pi);
    lab_close(&l);
    return worst;
}

int main(void)
{
    expect_near(apart(pi - 0.01, -pi + 0.01), 0.02, 1e-12);
    double number = learn(1), circle = learn(2);
    expect(circle < 0.2 && number > 4 * circle);
    return 0;
}
