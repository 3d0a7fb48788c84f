/* Backpropagation by hand and by aval: f = (u + v) w at u = 2, v = 3, w = 4, as t = u + v and f = t w.  Each value is printed with the
 * gradient of f by it: t = 5, f = 20; df/df = 1, df/dw = t = 5, df/dt = w = 4, and through the sum df/du = df/dv = 4. */
#include <aval/aval.h>
#include <stdio.h>

enum { VALUES = 5 };

static int feed_all(aval_session *s, aval_value *const *inputs, const float *data, int n)
{
    for (int i = 0; i < n; i++) {
        int status = aval_session_feed(s, inputs[i], &data[i], sizeof data[i], NULL);
        if (status < 0) return status;
    }
    return AVAL_OK;
}

static int print_all(aval_session *s, aval_value *const *values, aval_value *const *gradients)
{
    for (int i = 0; i < VALUES; i++) {
        float value, gradient;
        int status = aval_session_read(s, values[i], &value, sizeof value);
        if (status == AVAL_OK) status = aval_session_read(s, gradients[i], &gradient, sizeof gradient);
        if (status < 0) return status;
        printf("%s = %g, df/d%s = %g\n", aval_value_name(values[i]), value, aval_value_name(values[i]), gradient);
    }
    return AVAL_OK;
}

int main(void)
{
    aval_context *ctx = NULL;
    aval_session *s = NULL;
    int status = aval_context_create(&ctx);
    aval_graph *g = aval_graph_create(ctx);
    aval_value *u = aval_graph_input(g, "u", AVAL_FLOAT, AVAL_SCALAR);
    aval_value *v = aval_graph_input(g, "v", AVAL_FLOAT, AVAL_SCALAR);
    aval_value *w = aval_graph_input(g, "w", AVAL_FLOAT, AVAL_SCALAR);
    aval_value *t = aval_apply(g, "Add", NULL, u, v);
    aval_value *f = aval_apply(g, "Mul", NULL, t, w);
    aval_value_set_name(t, "t");
    aval_value_set_name(f, "f");

    aval_value *const values[VALUES] = { u, v, w, t, f };
    aval_value *wanted[2 * VALUES]; /* the values, then their gradients */
    for (int i = 0; i < VALUES; i++) {
        wanted[i] = values[i];
        wanted[VALUES + i] = aval_graph_gradient(g, f, values[i], NULL);
    }
    if (status == AVAL_OK) status = aval_session_create(ctx, g, NULL, &s);
    if (status == AVAL_OK) status = feed_all(s, values, (const float[]){ 2, 3, 4 }, 3);
    if (status == AVAL_OK) status = aval_session_run(s, wanted, 2 * VALUES);
    if (status == AVAL_OK) status = print_all(s, values, wanted + VALUES);
    if (status < 0) fprintf(stderr, "backprop: %s\n", aval_error());
    aval_session_release(s);
    aval_graph_release(g);
    aval_context_release(ctx);
    return status < 0;
}
