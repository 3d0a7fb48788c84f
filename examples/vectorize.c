/* Course, case 16: vectorisation.  The net 3-4-1 with sigmoids, W1 (4,3), W2 (1,4), over m examples: one after the other in a loop; all at once
 * as the columns of X (3,m); and all at once as rows, X (m,3).  Values and gradients are equal, the times are not. */
#include "support.h"

#include <time.h>

enum { M = 400, IN = 3, HIDDEN = 4, GRADIENTS = IN * HIDDEN + HIDDEN };

static double x_columns[IN * M], x_rows[M * IN], y_data[M];

/* A form of the net with its loss, the sum of squares over the examples it is fed. */
typedef struct form {
    aval_value *x, *y, *wanted[3]; /* loss, dL/dW1, dL/dW2 */
} form;

static form make_form(lab *l, int columns, aval_value *w1, aval_value *w2)
{
    form f;
    aval_value *a;
    if (columns) {
        f.x = aval_graph_input(l->g, "X", AVAL_FLOAT, AVAL_SHAPE(IN, -1));
        f.y = aval_graph_input(l->g, "y", AVAL_FLOAT, AVAL_SHAPE(1, -1));
        a = aval_apply(l->g, "Sigmoid", NULL, aval_apply(l->g, "MatMul", NULL, w1, f.x)); /* (4,3) (3,m) */
        a = aval_apply(l->g, "Sigmoid", NULL, aval_apply(l->g, "MatMul", NULL, w2, a)); /* (1,4) (4,m) */
    } else {
        f.x = aval_graph_input(l->g, "X by rows", AVAL_FLOAT, AVAL_SHAPE(-1, IN));
        f.y = aval_graph_input(l->g, "y by rows", AVAL_FLOAT, AVAL_SHAPE(-1, 1));
        a = aval_apply(l->g, "Sigmoid", NULL, aval_apply(l->g, "Gemm", "transB=1", f.x, w1)); /* (m,3) (4,3)^T */
        a = aval_apply(l->g, "Sigmoid", NULL, aval_apply(l->g, "Gemm", "transB=1", a, w2)); /* (m,4) (1,4)^T */
    }
    aval_value *loss = aval_apply(l->g, "aval::Square", NULL, aval_apply(l->g, "Sub", NULL, a, f.y));
    f.wanted[0] = aval_apply(l->g, "ReduceSum", "keepdims=0", loss);
    f.wanted[1] = aval_graph_gradient(l->g, f.wanted[0], w1, NULL);
    f.wanted[2] = aval_graph_gradient(l->g, f.wanted[0], w2, NULL);
    must(aval_graph_status(l->g));
    return f;
}

/* Adds the loss and the gradients of `m` examples to `sums`. */
static void run(lab *l, const form *f, int columns, int64_t m, const double *x, const double *y, double *sums)
{
    double found[1 + GRADIENTS];
    const int64_t x_dims[] = { columns ? IN : m, columns ? m : IN }, y_dims[] = { columns ? 1 : m, columns ? m : 1 };
    feed(l, f->x, 2, x_dims, x);
    feed(l, f->y, 2, y_dims, y);
    must(aval_session_run(l->s, f->wanted, 3));
    read_numbers(l, f->wanted[0], found, 1);
    read_numbers(l, f->wanted[1], found + 1, IN * HIDDEN);
    read_numbers(l, f->wanted[2], found + 1 + IN * HIDDEN, HIDDEN);
    for (int i = 0; i <= GRADIENTS; i++) sums[i] += found[i];
}

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(void)
{
    static const struct {
        const char *name;
        int columns;
        int64_t m; /* examples at once */
        const double *x;
    } ways[] = { { "one by one", 1, 1, x_rows }, { "columns at once", 1, M, x_columns }, { "rows at once", 0, M, x_rows } };
    double sums[3][1 + GRADIENTS] = { { 0 } }, unused[1 + GRADIENTS] = { 0 };
    for (int i = 0; i < M; i++) {
        for (int j = 0; j < IN; j++) x_rows[i * IN + j] = x_columns[j * M + i] = sin(7.0 * i + 3 * j);
        y_data[i] = 0.5 + 0.5 * x_rows[i * IN] * x_rows[i * IN + 1];
    }
    lab l = lab_open();
    aval_value *w1 = random_weight(&l, "W1", AVAL_SHAPE(HIDDEN, IN), AVAL_INIT_XAVIER, 1, 1);
    aval_value *w2 = random_weight(&l, "W2", AVAL_SHAPE(1, HIDDEN), AVAL_INIT_XAVIER, 1, 2);
    form by_columns = make_form(&l, 1, w1, w2), by_rows = make_form(&l, 0, w1, w2);
    for (int w = 0; w < 3; w++) {
        const form *f = ways[w].columns ? &by_columns : &by_rows;
        run(&l, f, ways[w].columns, ways[w].m, ways[w].x, y_data, unused); /* the first run plans and builds */
        double start = now();
        for (int64_t i = 0; i < M; i += ways[w].m) run(&l, f, ways[w].columns, ways[w].m, ways[w].x + i * IN, y_data + i, sums[w]);
        printf("%-16s loss %.4f, dL/dW1[0] %.4f, %.2f ms\n", ways[w].name, sums[w][0], sums[w][1], 1e3 * (now() - start));
    }
    for (int i = 0; i <= GRADIENTS; i++) {
        expect_near(sums[1][i], sums[0][i], 1e-4);
        expect_near(sums[2][i], sums[1][i], 1e-4);
    }
    lab_close(&l);
    return 0;
}
