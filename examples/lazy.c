/* Course, case 9: lazy evaluation.  Building a graph computes nothing; asking for a value computes what that value needs, on the device, and
 * nothing else: the other branch here reads an input that is never fed, which nobody notices until it is asked for. */
#include "support.h"

#include <string.h>

static aval_counters count(lab *l)
{
    aval_counters c = { .size = sizeof c };
    must(aval_session_counters(l->s, &c));
    return c;
}

int main(void)
{
    const double data[] = { 1, 2, 3, 4 };
    lab l = lab_open();
    aval_value *x = given(&l, "x", AVAL_SHAPE(2, 2), data);
    aval_value *missing = aval_graph_input(l.g, "missing", AVAL_FLOAT, AVAL_SHAPE(2, 2));
    aval_value *cheap = aval_apply(l.g, "ReduceSum", "keepdims=0", aval_apply(l.g, "Tanh", NULL, x));
    aval_value *other = aval_apply(l.g, "MatMul", NULL, x, missing);
    aval_value *gradient = aval_graph_gradient(l.g, cheap, x, NULL);
    must(aval_graph_status(l.g));
    printf("built: %llu plans, %llu launches\n", (unsigned long long)count(&l).plans_made, (unsigned long long)count(&l).launches);
    expect(count(&l).plans_made == 0 && count(&l).launches == 0 && count(&l).programs_built == 0);

    printf("sum of tanh x = %.4f\n", number(&l, cheap)); /* `other` and the gradient are left out */
    uint64_t forward = count(&l).launches, nodes = count(&l).plan_nodes;
    expect(forward > 0);
    must(aval_session_run(l.s, AVAL_VALUES(cheap, gradient)));
    uint64_t both = count(&l).launches - forward;
    expect(count(&l).plan_nodes > nodes && both >= forward); /* a gradient costs only when it is asked for */
    number(&l, cheap);
    expect(count(&l).launches == forward + both + forward && count(&l).plans_made == 2); /* the first plan is still there */

    expect(aval_session_run(l.s, &other, 1) < 0 && strstr(aval_error(), "missing") != NULL);
    printf("asked for the other branch: %s\n", aval_error());
    feed(&l, missing, AVAL_SHAPE(2, 2), data);
    double product[4];
    numbers(&l, other, product, 4);
    print_rows("fed, then asked", product, 2, 2, 0);
    lab_close(&l);
    return 0;
}
