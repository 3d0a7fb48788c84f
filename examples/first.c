/* The first program: a value and its gradient, y = x tanh(x) and dy/dx. */
#include <aval/aval.h>
#include <stdio.h>

int main(void)
{
    float x_data[] = { 0.5f, 2 }, y_data[2], dx_data[2];
    aval_context *ctx = NULL;
    aval_session *s = NULL;
    aval_graph *g = aval_context_create(&ctx) ? NULL : aval_graph_create(ctx);
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(2));
    aval_value *y = aval_apply(g, "Mul", NULL, x, aval_apply(g, "Tanh", NULL, x)), *dx = aval_graph_gradient(g, y, x, NULL);
    int failed = aval_session_create(ctx, g, NULL, &s) || aval_session_feed(s, x, x_data, sizeof x_data, NULL) ||
                 aval_session_run(s, AVAL_VALUES(y, dx)) || aval_session_read(s, y, y_data, sizeof y_data) ||
                 aval_session_read(s, dx, dx_data, sizeof dx_data);
    if (failed) fprintf(stderr, "first: %s\n", aval_error());
    else printf("y = %.4f %.4f, dy/dx = %.4f %.4f\n", y_data[0], y_data[1], dx_data[0], dx_data[1]);
    aval_session_release(s);
    aval_graph_release(g);
    aval_context_release(ctx);
    return failed;
}
