/* Course, case 17: a recurrent cell, next = tanh(W_x x^T + W_h h^T), with x (1,10), h (1,20), W_x (20,10), W_h (20,20) and next (20,1).  Backward
 * with an upstream gradient of ones (20,1); one of (1,20) is refused; all gradients are compared with differences. */
#include "support.h"

#include <string.h>

enum { IN = 10, STATE = 20 };

static void print_result(void *user, const aval_gradient_result *r)
{
    (void)user;
    printf("gradient by %-3s %3zu elements compared with differences: %s\n", r->value, r->compared, r->passed ? "equal" : "DIFFERENT");
}

int main(void)
{
    double ones[STATE], next[STATE], hand[STATE * IN], found[STATE * IN], x_data[IN];
    lab l = lab_open();
    aval_value *x = random_weight(&l, "x", AVAL_SHAPE(1, IN), AVAL_INIT_UNIFORM, 1, 1);
    aval_value *h = random_weight(&l, "h", AVAL_SHAPE(1, STATE), AVAL_INIT_UNIFORM, 1, 1);
    aval_value *wx = random_weight(&l, "W_x", AVAL_SHAPE(STATE, IN), AVAL_INIT_XAVIER, 1, 1);
    aval_value *wh = random_weight(&l, "W_h", AVAL_SHAPE(STATE, STATE), AVAL_INIT_XAVIER, 1, 1);
    aval_value *sum = aval_apply(l.g, "Add", NULL, aval_apply(l.g, "MatMul", NULL, wx, aval_apply(l.g, "Transpose", NULL, x)),
                                 aval_apply(l.g, "MatMul", NULL, wh, aval_apply(l.g, "Transpose", NULL, h)));
    aval_value *out = aval_apply(l.g, "Tanh", NULL, sum);
    expect(aval_value_dims(out)[0] == STATE && aval_value_dims(out)[1] == 1);

    for (int i = 0; i < STATE; i++) ones[i] = 1;
    aval_value *upstream = given(&l, "upstream", AVAL_SHAPE(STATE, 1), ones);
    aval_value *dwx = aval_graph_gradient(l.g, out, wx, upstream);
    must(aval_session_run(l.s, AVAL_VALUES(out, dwx)));
    read_numbers(&l, out, next, STATE);
    read_numbers(&l, dwx, found, COUNT(found));
    stored(&l, "x", x_data, IN);
    for (int i = 0; i < STATE * IN; i++) {
        hand[i] = (1 - next[i / IN] * next[i / IN]) * x_data[i % IN];
        expect_near(found[i], hand[i], 1e-5);
    }

    aval_value *row = given(&l, "row", AVAL_SHAPE(1, STATE), ones);
    expect(aval_graph_gradient(l.g, out, wx, row) == NULL);
    int status = aval_graph_status(l.g);
    printf("refused: %s\n", aval_error());
    expect(status == AVAL_E_SHAPE && strstr(aval_error(), "[1,20]") != NULL && strstr(aval_error(), "[20,1]") != NULL);

    must(aval_check_gradient(l.s, out, (aval_value *const[]){ x, h, wx, wh }, 4, print_result, NULL));
    lab_close(&l);
    return 0;
}
