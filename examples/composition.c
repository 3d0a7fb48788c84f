/* Course, case 1: a network is a composition, f(x) = f3(f2(f1(x))), and a directed acyclic graph: built, run, compared with the same functions
 * called one in the other, printed, and with a folder as argument drawn. */
#include "picture.h"
#include "support.h"

#include <string.h>

enum { IN = 3, HIDDEN = 4, OUT = 2 };
static const double w1[IN * HIDDEN] = { 0.5, -0.2, 0.1, 0.4, 0.3, 0.8, -0.5, 0.2, -0.6, 0.1, 0.9, -0.3 };
static const double w2[HIDDEN * OUT] = { 0.7, -0.4, 0.2, 0.5, -0.3, 0.6, 0.1, 0.9 };

static void f1(const double *x, double *h)
{
    for (int j = 0; j < HIDDEN; j++) {
        h[j] = 0;
        for (int i = 0; i < IN; i++) h[j] += x[i] * w1[i * HIDDEN + j];
        h[j] = fmax(0, h[j]);
    }
}

static void f2(const double *h, double *z)
{
    for (int j = 0; j < OUT; j++) {
        z[j] = 0;
        for (int i = 0; i < HIDDEN; i++) z[j] += h[i] * w2[i * OUT + j];
    }
}

static void f3(const double *z, double *y)
{
    double sum = exp(z[0]) + exp(z[1]);
    for (int j = 0; j < OUT; j++) y[j] = exp(z[j]) / sum;
}

int main(int argc, char **argv)
{
    const double x_data[IN] = { 1, -0.5, 2 };
    double h_data[HIDDEN], z_data[OUT], y_data[OUT], found[OUT];
    char *text;
    lab l = lab_open();
    aval_value *x = given(&l, "x", AVAL_SHAPE(1, IN), x_data);
    aval_value *h = aval_apply(l.g, "Relu", NULL, aval_apply(l.g, "MatMul", NULL, x, weight(&l, "w1", AVAL_SHAPE(IN, HIDDEN), w1)));
    aval_value *z = aval_apply(l.g, "MatMul", NULL, h, weight(&l, "w2", AVAL_SHAPE(HIDDEN, OUT), w2));
    aval_value *y = aval_apply(l.g, "Softmax", NULL, z);
    aval_value_set_name(h, "f1");
    aval_value_set_name(z, "f2");
    aval_value_set_name(y, "f3");

    numbers(&l, y, found, OUT);
    f1(x_data, h_data);
    f2(h_data, z_data);
    f3(z_data, y_data);
    print_rows("f3(f2(f1(x)))", found, 1, OUT, 4);
    for (int j = 0; j < OUT; j++) expect_near(found[j], y_data[j], 1e-5);

    must(aval_graph_text(l.g, &text));
    printf("%s", text);
    expect(strstr(text, "Relu") != NULL && strstr(text, "Softmax") != NULL);
    aval_free(text);
    if (picture_folder(argc, argv) != NULL) {
        must(aval_graph_dot(l.g, &text));
        FILE *f = picture_file(argv[1], "composition.dot");
        fputs(text, f);
        fclose(f);
        aval_free(text);
    }
    lab_close(&l);
    return 0;
}
