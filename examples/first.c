/* The first program: a value and its gradient, y = tanh(x w) and d(sum of y)/dw. */
#include <aval/aval.h>
#include <stdio.h>

int main(void)
{
    const float x_data[] = { 1, 2, 3, 4 }, w_data[] = { 0.5f, -0.25f };
    float y_data[2], dw_data[2];
    aval_context *ctx = NULL;
    aval_session *s = NULL;
    int failed = aval_context_create(&ctx);
    aval_graph *g = aval_graph_create(ctx);
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(2, 2));
    aval_value *w = aval_graph_input(g, "w", AVAL_FLOAT, AVAL_SHAPE(2, 1));
    aval_value *y = aval_apply(g, "Tanh", NULL, aval_apply(g, "MatMul", NULL, x, w));
    aval_value *dw = aval_graph_gradient(g, y, w, NULL);
    failed = failed || aval_session_create(ctx, g, NULL, &s) || aval_session_feed(s, x, x_data, sizeof x_data, NULL) ||
             aval_session_feed(s, w, w_data, sizeof w_data, NULL) || aval_session_run(s, AVAL_VALUES(y, dw)) ||
             aval_session_read(s, y, y_data, sizeof y_data) || aval_session_read(s, dw, dw_data, sizeof dw_data);
    if (failed) fprintf(stderr, "first: %s\n", aval_error());
    else printf("y = %.4f %.4f, dw = %.4f %.4f\n", y_data[0], y_data[1], dw_data[0], dw_data[1]);
    aval_session_release(s);
    aval_graph_release(g);
    aval_context_release(ctx);
    return failed;
}
