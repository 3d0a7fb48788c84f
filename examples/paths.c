/* Course, cases 12 and 13: the gradients of a value that is used more than once add up, dz/dx = sum over j of dz/dy_j dy_j/dx; and the gradient
 * of a maximum goes to the winner alone. */
#include "support.h"

enum { N = 3, PATHS = 3 };

static void fan_out(lab *l)
{
    const double at[N] = { 0.5, -1, 2 };
    double all[N], path[N], sum[N] = { 0, 0, 0 };
    aval_value *x = given(l, "x", AVAL_SHAPE(N), at);
    aval_value *y[PATHS] = { aval_apply(l->g, "Sin", NULL, x), aval_apply(l->g, "aval::Square", NULL, x),
                             aval_apply(l->g, "aval::Scale", "factor=3", x) };
    aval_value *z = aval_apply(l->g, "Add", NULL, aval_apply(l->g, "Mul", NULL, y[0], y[1]), y[2]); /* z = sin(x) x^2 + 3 x */

    numbers(l, aval_graph_gradient(l->g, z, x, NULL), all, N);
    print_rows("dz/dx", all, 1, N, 4);
    for (int j = 0; j < PATHS; j++) {
        aval_value *dz_dy = aval_graph_gradient(l->g, z, y[j], NULL);
        numbers(l, aval_graph_gradient(l->g, y[j], x, dz_dy), path, N); /* dz/dy_j is the upstream gradient */
        print_rows("  by one path", path, 1, N, 4);
        for (int i = 0; i < N; i++) sum[i] += path[i];
    }
    for (int i = 0; i < N; i++) {
        expect_near(all[i], sum[i], 1e-5);
        expect_near(all[i], cos(at[i]) * at[i] * at[i] + sin(at[i]) * 2 * at[i] + 3, 1e-5);
    }
}

static void winner(lab *l, const char *title, double a, double b, double c)
{
    aval_value *z[] = { given_number(l, "z1", a), given_number(l, "z2", b), given_number(l, "z3", c) };
    aval_value *max = aval_apply(l->g, "Max", NULL, z[0], z[1], z[2]);
    printf("%s max(%g, %g, %g) = %g, gradients", title, a, b, c, number(l, max));
    for (int i = 0; i < 3; i++) printf(" %g", number(l, aval_graph_gradient(l->g, max, z[i], NULL)));
    printf("\n");
}

int main(void)
{
    lab l = lab_open();
    fan_out(&l);
    winner(&l, "the winner takes all:", 1, 5, 3);
    winner(&l, "of equals the first: ", 2, 4, 4);
    lab_close(&l);
    return 0;
}
