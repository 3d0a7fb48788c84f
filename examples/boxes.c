/* Course, cases 10 and 11: backpropagation with a value box and a gradient box at each variable, printed, and with a folder as argument drawn
 * (DOT and SVG): f = (u + v) w, and f = w3 ReLU(w1 x1 + w2 x2 + b) with its unit on and off. */
#include "picture.h"
#include "support.h"

enum { MOST = 12 };

typedef struct drawing {
    lab *l;
    box boxes[MOST];
    aval_value *values[MOST];
    int n;
} drawing;

static int variable(drawing *d, const char *name, double number)
{
    d->boxes[d->n] = (box){ .name = name };
    d->values[d->n] = given_number(d->l, name, number);
    return d->n++;
}

/* b < 0: an operation of one variable. */
static int operation(drawing *d, const char *name, const char *op, int a, int b)
{
    d->boxes[d->n] = (box){ .name = name, .op = op, .from = { a, b }, .n_from = b < 0 ? 1 : 2 };
    d->values[d->n] = b < 0 ? aval_apply(d->l->g, op, NULL, d->values[a]) : aval_apply(d->l->g, op, NULL, d->values[a], d->values[b]);
    return d->n++;
}

/* The last variable is f.  Values and gradients are computed in one run. */
static void fill_and_print(drawing *d, const char *title)
{
    aval_value *wanted[2 * MOST];
    for (int i = 0; i < d->n; i++) {
        wanted[i] = d->values[i];
        wanted[d->n + i] = aval_graph_gradient(d->l->g, d->values[d->n - 1], d->values[i], NULL);
    }
    must(aval_session_run(d->l->s, wanted, 2 * (size_t)d->n));
    printf("%s\n", title);
    for (int i = 0; i < d->n; i++) {
        read_numbers(d->l, wanted[i], &d->boxes[i].value, 1);
        read_numbers(d->l, wanted[d->n + i], &d->boxes[i].gradient, 1);
        printf("  %-3s %-5s value %4g  gradient %4g\n", d->boxes[i].name, d->boxes[i].op == NULL ? "" : d->boxes[i].op, d->boxes[i].value,
               d->boxes[i].gradient + 0.0); /* no -0 */
    }
}

static void draw(const char *folder, const drawing *d, const char *dot, const char *svg, const char *title)
{
    if (folder == NULL) return;
    draw_boxes_dot(folder, dot, d->boxes, d->n);
    draw_boxes_svg(folder, svg, title, d->boxes, d->n);
}

static void product_of_sum(lab *l, const char *folder)
{
    drawing d = { .l = l };
    int u = variable(&d, "u", 2), v = variable(&d, "v", 3), w = variable(&d, "w", 4);
    int t = operation(&d, "t", "Add", u, v);
    operation(&d, "f", "Mul", t, w);
    fill_and_print(&d, "f = (u + v) w");
    draw(folder, &d, "product_of_sum.dot", "product_of_sum.svg", "f = (u + v) w");
}

static void rectified_unit(lab *l, const char *folder, double bias, const char *dot, const char *svg)
{
    drawing d = { .l = l };
    int w1 = variable(&d, "w1", 2), x1 = variable(&d, "x1", 1), w2 = variable(&d, "w2", -1), x2 = variable(&d, "x2", 3);
    int b = variable(&d, "b", bias), w3 = variable(&d, "w3", 3);
    int p = operation(&d, "p", "Mul", w1, x1), q = operation(&d, "q", "Mul", w2, x2);
    int s = operation(&d, "s", "Add", p, q), z = operation(&d, "z", "Add", s, b);
    int r = operation(&d, "r", "Relu", z, -1);
    operation(&d, "f", "Mul", w3, r);
    fill_and_print(&d, bias > 0 ? "f = w3 ReLU(w1 x1 + w2 x2 + b), b = 2" : "b = -2: the unit is off, no gradient passes");
    draw(folder, &d, dot, svg, "f = w3 ReLU(w1 x1 + w2 x2 + b)");
}

int main(int argc, char **argv)
{
    const char *folder = picture_folder(argc, argv);
    lab l = lab_open();
    product_of_sum(&l, folder);
    rectified_unit(&l, folder, 2, "unit_on.dot", "unit_on.svg");
    rectified_unit(&l, folder, -2, "unit_off.dot", "unit_off.svg");
    lab_close(&l);
    return 0;
}
