/* Course, case 22: loss surfaces.  The saddle of x^2 - y^2 at 0; that of a 2-2-1 tanh net where all its weights are 0 (gradient 0, eigenvalues of the
 * Hessian, by differences of gradients, of both signs); and around a trained net a profile along a line and the surface over two directions. */
#include "curvature.h"
#include "picture.h"
#include "support.h"

enum { MOST = 6, SIDE = 25, EXAMPLES = 4 };

/* A loss with all its parameters in one state "theta" of n numbers. */
typedef struct landscape {
    lab l;
    aval_value *theta, *loss, *gradient;
    int n;
} landscape;

static void put(landscape *s, const double *theta)
{
    weight(&s->l, "theta", AVAL_SHAPE(s->n), theta);
}

static double height(landscape *s, const double *theta)
{
    put(s, theta);
    return number(&s->l, s->loss);
}

static void slope(landscape *s, const double *theta, double *g)
{
    put(s, theta);
    numbers(&s->l, s->gradient, g, (size_t)s->n);
}

static aval_value *part(landscape *s, int64_t from, int64_t to, size_t rank, const int64_t *dims)
{
    aval_graph *g = s->l.g;
    const int64_t rank_of = (int64_t)rank;
    aval_value *slice = aval_apply(g, "Slice", NULL, s->theta, labels(&s->l, AVAL_SHAPE(1), &from), labels(&s->l, AVAL_SHAPE(1), &to));
    return aval_apply(g, "Reshape", NULL, slice, labels(&s->l, AVAL_SHAPE(rank_of), dims));
}

static landscape open_landscape(int n)
{
    const double zeros[MOST] = { 0 };
    landscape s = { .l = lab_open(), .n = n };
    s.theta = weight(&s.l, "theta", AVAL_SHAPE(n), zeros);
    return s;
}

/* x^2 - y^2 */
static landscape make_saddle(void)
{
    const double signs[] = { 1, -1 };
    landscape s = open_landscape(2);
    aval_value *squares = aval_apply(s.l.g, "aval::Square", NULL, s.theta);
    s.loss =
        aval_apply(s.l.g, "ReduceSum", "keepdims=0", aval_apply(s.l.g, "Mul", NULL, squares, given(&s.l, "signs", AVAL_SHAPE(2), signs)));
    s.gradient = aval_graph_gradient(s.l.g, s.loss, s.theta, NULL);
    return s;
}

/* A net 2-2-1 with tanh and without biases that learns AND. */
static landscape make_net(void)
{
    const double x[] = { -1, -1, -1, 1, 1, -1, 1, 1 }, y[] = { -1, -1, -1, 1 };
    landscape s = open_landscape(6);
    aval_value *w1 = part(&s, 0, 4, AVAL_SHAPE(2, 2)), *w2 = part(&s, 4, 6, AVAL_SHAPE(2, 1));
    aval_value *hidden =
        aval_apply(s.l.g, "Tanh", NULL, aval_apply(s.l.g, "MatMul", NULL, given(&s.l, "x", AVAL_SHAPE(EXAMPLES, 2), x), w1));
    aval_value *out = aval_apply(s.l.g, "MatMul", NULL, hidden, w2);
    s.loss = aval_apply(s.l.g, "aval::MeanSquaredError", NULL, out, given(&s.l, "y", AVAL_SHAPE(EXAMPLES, 1), y));
    s.gradient = aval_graph_gradient(s.l.g, s.loss, s.theta, NULL);
    must(aval_graph_status(s.l.g));
    return s;
}

/* Norm of the gradient and eigenvalues of the Hessian at theta. */
static void examine(landscape *s, const char *name, const double *theta, double *norm, double *least, double *largest)
{
    const double step = 1e-2; /* floats: the error of rounding is 1e-7 / step */
    double hessian[MOST * MOST], vectors[MOST * MOST], above[MOST], below[MOST], at[MOST], g[MOST];
    slope(s, theta, g);
    *norm = 0;
    for (int i = 0; i < s->n; i++) *norm += g[i] * g[i];
    *norm = sqrt(*norm);
    for (int i = 0; i < s->n; i++) {
        for (int k = 0; k < s->n; k++) at[k] = theta[k];
        at[i] = theta[i] + step;
        slope(s, at, above);
        at[i] = theta[i] - step;
        slope(s, at, below);
        for (int k = 0; k < s->n; k++) hessian[i * s->n + k] = (above[k] - below[k]) / (2 * step);
    }
    for (int i = 0; i < s->n; i++) { /* what rounding made asymmetric */
        for (int k = 0; k < i; k++) hessian[i * s->n + k] = hessian[k * s->n + i] = 0.5 * (hessian[i * s->n + k] + hessian[k * s->n + i]);
    }
    eigen(hessian, vectors, s->n);
    *least = INFINITY, *largest = -INFINITY;
    printf("%-28s loss %.4f, norm of the gradient %.2g, eigenvalues", name, height(s, theta), *norm);
    for (int i = 0; i < s->n; i++) {
        double value = hessian[i * s->n + i];
        *least = fmin(*least, value), *largest = fmax(*largest, value);
        printf(" %.2f", fabs(value) < 0.005 ? 0 : value);
    }
    printf("\n");
}

/* Around `centre`: the height along direction a, and over a and b, each -range to range. */
static void draw(landscape *s, const char *folder, const char *name, const char *title, const double *centre, const double *a,
                 const double *b, double range)
{
    static double surface[SIDE * SIDE], line[SIDE];
    char file[64];
    for (int i = 0; i < SIDE * SIDE; i++) {
        double u = range * (2.0 * (i % SIDE) / (SIDE - 1) - 1), v = range * (2.0 * (i / SIDE) / (SIDE - 1) - 1), at[MOST];
        for (int k = 0; k < s->n; k++) at[k] = centre[k] + u * a[k] + v * b[k];
        surface[i] = height(s, at);
        if (i / SIDE == SIDE / 2) line[i % SIDE] = surface[i];
    }
    expect(isfinite(surface[0]));
    if (folder == NULL) return;
    snprintf(file, sizeof file, "%s_surface.svg", name);
    chart shown = { file, title, "along a", "along b", -range, range, -range, range, 0 };
    draw_surface(folder, &shown, surface, SIDE, SIDE);
    snprintf(file, sizeof file, "%s_profile.svg", name);
    shown.y_label = "loss";
    draw_curves(folder, &shown, &(const curve){ "loss", line, SIDE }, 1);
}

int main(int argc, char **argv)
{
    const double zero[MOST] = { 0 }, first[MOST] = { 1 }, second[MOST] = { 0, 1 };
    const double a[MOST] = { 0.6, -0.2, 0.1, 0.5, -0.4, 0.3 }, b[MOST] = { 0.1, 0.5, -0.6, 0.2, 0.3, 0.5 };
    double norm, least, largest, theta[MOST] = { 0.3, -0.2, 0.4, 0.1, 0.5, -0.3 }, g[MOST];
    landscape saddle = make_saddle(), net = make_net();
    examine(&saddle, "x^2 - y^2 at 0", zero, &norm, &least, &largest);
    expect(norm == 0);
    expect_near(least, -2, 1e-3);
    expect_near(largest, 2, 1e-3);
    draw(&saddle, picture_folder(argc, argv), "saddle", "x^2 - y^2", zero, first, second, 1);

    examine(&net, "net 2-2-1, all weights 0", zero, &norm, &least, &largest);
    expect(norm == 0 && least < -0.5 && largest > 0.5);
    draw(&net, picture_folder(argc, argv), "net_at_zero", "Loss of the net 2-2-1 around weights of 0", zero, a, b, 2);

    for (int i = 0; i < 400; i++) { /* from anywhere else it is left behind */
        slope(&net, theta, g);
        for (int k = 0; k < net.n; k++) theta[k] -= 0.2 * g[k];
    }
    examine(&net, "the same net, trained", theta, &norm, &least, &largest);
    expect(norm < 0.05 && least > -0.05 && largest > 0.5);
    draw(&net, picture_folder(argc, argv), "net_trained", "Loss around the trained net", theta, a, b, 2);
    lab_close(&saddle.l);
    lab_close(&net.l);
    return 0;
}
