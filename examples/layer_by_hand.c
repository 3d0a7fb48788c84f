/* Course, case 15: the backward pass of an MLP layer a = W h + b, f(a) = tanh a, with W 4x3, by hand and by aval.  With g = dL/df:
 * g <- g * f'(a), dL/dW = g h^T (of the same form as W), dL/db = g, and dL/dh = W^T g goes on to the layer below. */
#include "support.h"

enum { ROWS = 4, COLUMNS = 3 };

static const double w_data[ROWS * COLUMNS] = { 0.2, -0.5, 0.1, 1.5, 0.3, -0.7, -0.4, 0.8, 0.6, 0.9, -0.2, 0.05 };
static const double h_data[COLUMNS] = { 1, -2, 0.5 }, b_data[ROWS] = { 0.1, -0.1, 0, 0.3 }, g_data[ROWS] = { 1, -0.5, 2, 0.25 };

static void by_hand(double *dw, double *db, double *dh)
{
    for (int j = 0; j < COLUMNS; j++) dh[j] = 0;
    for (int i = 0; i < ROWS; i++) {
        double a = b_data[i];
        for (int j = 0; j < COLUMNS; j++) a += w_data[i * COLUMNS + j] * h_data[j];
        double f = tanh(a), g = g_data[i] * (1 - f * f);
        db[i] = g;
        for (int j = 0; j < COLUMNS; j++) {
            dw[i * COLUMNS + j] = g * h_data[j];
            dh[j] += w_data[i * COLUMNS + j] * g;
        }
    }
}

static void compare(lab *l, const char *name, aval_value *gradient, const double *hand, size_t rows, size_t columns)
{
    double found[ROWS * COLUMNS];
    numbers(l, gradient, found, rows * columns);
    print_rows(name, found, rows, columns, 4);
    for (size_t i = 0; i < rows * columns; i++) expect_near(found[i], hand[i], 1e-5);
}

int main(void)
{
    double dw[ROWS * COLUMNS], db[ROWS], dh[COLUMNS];
    lab l = lab_open();
    aval_value *w = given(&l, "W", AVAL_SHAPE(ROWS, COLUMNS), w_data), *h = given(&l, "h", AVAL_SHAPE(COLUMNS, 1), h_data);
    aval_value *b = given(&l, "b", AVAL_SHAPE(ROWS, 1), b_data), *upstream = given(&l, "g", AVAL_SHAPE(ROWS, 1), g_data);
    aval_value *a = aval_apply(l.g, "Add", NULL, aval_apply(l.g, "MatMul", NULL, w, h), b);
    aval_value *f = aval_apply(l.g, "Tanh", NULL, a);

    by_hand(dw, db, dh);
    compare(&l, "dL/dW = g h^T", aval_graph_gradient(l.g, f, w, upstream), dw, ROWS, COLUMNS);
    compare(&l, "dL/db = g", aval_graph_gradient(l.g, f, b, upstream), db, ROWS, 1);
    compare(&l, "dL/dh = W^T g", aval_graph_gradient(l.g, f, h, upstream), dh, COLUMNS, 1);
    lab_close(&l);
    return 0;
}
