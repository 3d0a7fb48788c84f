/* Course, case 24: the share of saddle points among the critical points of small nets grows with their parameters.  Newton's method, which goes to critical
 * points of any kind, starts from many places at once: every row of `theta` is a net of its own, so that all gradients, and by differences all
 * Hessians, of all starts come from one run. */
#include "curvature.h"
#include "support.h"

enum { STARTS = 60, EXAMPLES = 12, UNITS = 3, LARGEST = 3 * UNITS, ROUNDS = 40 };

typedef struct nets {
    lab l;
    aval_value *theta, *gradient;
    int hidden, n; /* units; parameters of one net: 3 a unit */
} nets;

/* Rows of nets 1-hidden-1 with tanh, all on the same points: theta [rows, 3 hidden] -> d(sum of all losses) / d theta.  A little weight decay
   keeps the critical points from running off to infinity, where tanh is flat. */
static nets make_nets(int hidden)
{
    double x[EXAMPLES], y[EXAMPLES];
    const int64_t h = hidden, bounds[] = { 0, h, 2 * h, 3 * h }, axis[] = { 1 }, third[] = { 2 };
    nets s = { .l = lab_open(), .hidden = hidden, .n = 3 * hidden };
    expect(lab_use_doubles(&s.l)); /* main has asked before */
    for (int i = 0; i < EXAMPLES; i++) {
        x[i] = 3.0 * i / (EXAMPLES - 1) - 1.5;
        y[i] = sin(3 * x[i]) + 0.5 * x[i];
    }
    aval_graph *g = s.l.g;
    s.theta = aval_graph_input(g, "theta", s.l.type, AVAL_SHAPE(-1, s.n));
    aval_value *axes = labels(&s.l, AVAL_SHAPE(1), axis), *last = labels(&s.l, AVAL_SHAPE(1), third), *parts[3];
    for (int k = 0; k < 3; k++) {
        parts[k] = aval_apply(g, "Slice", NULL, s.theta, labels(&s.l, AVAL_SHAPE(1), bounds + k),
                              labels(&s.l, AVAL_SHAPE(1), bounds + k + 1), axes);
        parts[k] = aval_apply(g, "Unsqueeze", NULL, parts[k], last); /* [rows, hidden, 1] */
    }
    aval_value *sums = aval_apply(g, "Mul", NULL, parts[0], given(&s.l, "x", AVAL_SHAPE(1, 1, EXAMPLES), x));
    aval_value *units = aval_apply(g, "Tanh", NULL, aval_apply(g, "Add", NULL, sums, parts[1]));
    aval_value *out = aval_apply(g, "ReduceSum", "keepdims=1", aval_apply(g, "Mul", NULL, parts[2], units), axes); /* [rows, 1, examples] */
    aval_value *miss = aval_apply(g, "Sub", NULL, out, given(&s.l, "y", AVAL_SHAPE(1, 1, EXAMPLES), y));
    aval_value *error = aval_apply(g, "ReduceSum", "keepdims=0", aval_apply(g, "aval::Square", NULL, miss));
    aval_value *decay = aval_apply(g, "ReduceSum", "keepdims=0", aval_apply(g, "aval::Square", NULL, s.theta));
    aval_value *loss = aval_apply(g, "Add", NULL, error, aval_apply(g, "aval::Scale", "factor=0.05", decay));
    s.gradient = aval_graph_gradient(g, loss, s.theta, NULL);
    must(aval_graph_status(g));
    return s;
}

/* Row 0: the gradient at theta; rows 1 to 2 n: at theta moved by the step up and down along each parameter. */
static void probe(const double *theta, double *rows, int n, double step)
{
    for (int r = 0; r <= 2 * n; r++) {
        for (int k = 0; k < n; k++) rows[r * n + k] = theta[k];
        if (r > 0) rows[r * n + (r - 1) / 2] += r % 2 == 1 ? step : -step;
    }
}

/* From the probed gradients: the Hessian's eigenvalues on the diagonal of h, its eigenvectors. */
static void take_hessian(const double *g, double *h, double *vectors, int n, double step)
{
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < n; k++) {
            double one = g[(2 * i + 1) * n + k] - g[(2 * i + 2) * n + k], other = g[(2 * k + 1) * n + i] - g[(2 * k + 2) * n + i];
            h[i * n + k] = (one + other) / (4 * step);
        }
    }
    eigen(h, vectors, n);
}

/* A damped Newton step towards a zero of the gradient, no longer than 0.5.  Gives the gradient's norm. */
static double newton(double *theta, const double *g, const double *h, const double *vectors, int n)
{
    double move[LARGEST] = { 0 }, length = 0, norm = 0;
    for (int i = 0; i < n; i++) {
        double along = 0, value = h[i * n + i];
        for (int k = 0; k < n; k++) along += vectors[i * n + k] * g[k];
        for (int k = 0; k < n; k++) move[k] -= vectors[i * n + k] * along * value / (value * value + 1e-8);
        norm += g[i] * g[i];
    }
    for (int k = 0; k < n; k++) length += move[k] * move[k];
    for (int k = 0; k < n; k++) theta[k] += move[k] * fmin(1, 0.5 / sqrt(length + 1e-30));
    return sqrt(norm);
}

/* Share of saddles (an eigenvalue below 0) among the critical points that were reached. */
static double share_of_saddles(int hidden)
{
    static double theta[STARTS * LARGEST], rows[STARTS * (2 * LARGEST + 1) * LARGEST], g[STARTS * (2 * LARGEST + 1) * LARGEST];
    const double step = 1e-4;
    nets s = make_nets(hidden);
    int n = s.n, block = (2 * n + 1) * n, reached = 0, saddles = 0;
    for (int i = 0; i < STARTS * n; i++) theta[i] = 2.5 * sin(12.9898 * i + 78.233 * hidden + i * i);
    for (int round = 0; round <= ROUNDS; round++) {
        for (int i = 0; i < STARTS; i++) probe(theta + i * n, rows + i * block, n, step);
        feed(&s.l, s.theta, AVAL_SHAPE(STARTS * (2 * n + 1), n), rows);
        numbers(&s.l, s.gradient, g, (size_t)(STARTS * block));
        for (int i = 0; i < STARTS; i++) {
            double h[LARGEST * LARGEST], vectors[LARGEST * LARGEST], least = INFINITY, largest = 0;
            take_hessian(g + i * block, h, vectors, n, step);
            double norm = newton(theta + i * n, g + i * block, h, vectors, n);
            for (int k = 0; k < n; k++) least = fmin(least, h[k * n + k]), largest = fmax(largest, fabs(h[k * n + k]));
            if (round < ROUNDS || !(norm < 1e-6)) continue;
            reached++;
            saddles += least < -1e-4 * largest;
        }
    }
    lab_close(&s.l);
    printf("%d parameters: %2d of %d starts reached a critical point, %2d of these are saddles (%.2f)\n", n, reached, STARTS, saddles,
           reached > 0 ? 1.0 * saddles / reached : 0);
    expect(reached > STARTS / 4);
    return 1.0 * saddles / reached;
}

int main(void)
{
    double share[UNITS];
    lab l = lab_open();
    int doubles = lab_use_doubles(&l);
    lab_close(&l);
    if (!doubles) {
        printf("left out: differences of gradients need doubles, which this device has not\n");
        return 0;
    }
    for (int hidden = 1; hidden <= UNITS; hidden++) share[hidden - 1] = share_of_saddles(hidden);
    expect(share[UNITS - 1] > share[0]);
    return 0;
}
