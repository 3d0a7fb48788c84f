/* Course, case 21: in a deep net of sigmoids the gradient fades from layer to layer, since sigma' is at most 1/4.  Its norm by layer: plain, with
 * batch normalisation before and after the activation, and with residual links. */
#include "picture.h"
#include "support.h"

enum { DEPTH = 10, WIDTH = 16, EXAMPLES = 32, FORMS = 4 };
enum { PLAIN, NORM_BEFORE, NORM_AFTER, RESIDUAL };
static const char *const names[FORMS] = { "plain", "batch norm before", "batch norm after", "residual links" };

static aval_value *normalise(lab *l, aval_value *x, int layer, int form)
{
    char name[4][32];
    for (int i = 0; i < 4; i++)
        snprintf(name[i], sizeof name[i], "%d.%s%d", form, (const char *[]){ "scale", "shift", "mean", "var" }[i], layer);
    aval_value *inputs[] = { x, constant_weight(l, name[0], AVAL_SHAPE(WIDTH), 1), constant_weight(l, name[1], AVAL_SHAPE(WIDTH), 0),
                             constant_weight(l, name[2], AVAL_SHAPE(WIDTH), 0), constant_weight(l, name[3], AVAL_SHAPE(WIDTH), 1) };
    return aval_node_output(aval_graph_node(l->g, "BatchNormalization", "training_mode=1", inputs, 5), 0);
}

/* Norms of dL/dW by layer, relative to the last one's. */
static void measure(lab *l, int form, aval_value *x, aval_value *y, double *norms)
{
    aval_value *h = x, *weights[DEPTH];
    char name[32];
    for (int k = 0; k < DEPTH; k++) {
        snprintf(name, sizeof name, "%d.W%d", form, k);
        weights[k] = random_weight(l, name, AVAL_SHAPE(WIDTH, WIDTH), AVAL_INIT_XAVIER, 1, (uint64_t)k);
        aval_value *a = aval_apply(l->g, "MatMul", NULL, h, weights[k]);
        if (form == NORM_BEFORE) a = normalise(l, a, k, form);
        a = aval_apply(l->g, "Sigmoid", NULL, a);
        if (form == NORM_AFTER) a = normalise(l, a, k, form);
        h = form == RESIDUAL ? aval_apply(l->g, "Add", NULL, h, a) : a;
    }
    aval_value *loss = aval_apply(l->g, "aval::MeanSquaredError", NULL, h, y);
    printf("%-18s", names[form]);
    for (int k = DEPTH - 1; k >= 0; k--) {
        double g[WIDTH * WIDTH], sum = 0;
        numbers(l, aval_graph_gradient(l->g, loss, weights[k], NULL), g, COUNT(g));
        for (size_t i = 0; i < COUNT(g); i++) sum += g[i] * g[i];
        norms[k] = sqrt(sum);
    }
    for (int k = 0; k < DEPTH; k++) printf(" %8.1e", norms[k]);
    printf("   first / last %.1e\n", norms[0] / norms[DEPTH - 1]);
}

int main(int argc, char **argv)
{
    static double norms[FORMS][DEPTH], x_data[EXAMPLES * WIDTH], y_data[EXAMPLES * WIDTH];
    curve drawn[FORMS];
    for (int i = 0; i < EXAMPLES * WIDTH; i++) x_data[i] = sin(3.0 * i * i), y_data[i] = 0.5 + 0.4 * sin(7.0 * i);
    lab l = lab_open();
    aval_value *x = given(&l, "x", AVAL_SHAPE(EXAMPLES, WIDTH), x_data), *y = given(&l, "y", AVAL_SHAPE(EXAMPLES, WIDTH), y_data);
    for (int form = 0; form < FORMS; form++) {
        measure(&l, form, x, y, norms[form]);
        drawn[form] = (curve){ names[form], norms[form], DEPTH };
    }
    expect(norms[PLAIN][0] < 1e-4 * norms[PLAIN][DEPTH - 1]);
    for (int form = NORM_BEFORE; form < FORMS; form++)
        expect(norms[form][0] / norms[form][DEPTH - 1] > 100 * norms[PLAIN][0] / norms[PLAIN][DEPTH - 1]);
    if (picture_folder(argc, argv) != NULL) {
        const chart shown = { "deep_sigmoid.svg",
                              "Gradients in ten layers of sigmoids",
                              "layer",
                              "norm of the gradient by its weights",
                              .x_from = 1,
                              .x_to = DEPTH,
                              .logarithmic = 1 };
        draw_curves(argv[1], &shown, drawn, FORMS);
    }
    lab_close(&l);
    return 0;
}
