/* Course, case 19: a graph that changes between two steps: a layer is put in, one is taken out, and the depth follows the data.  Gradients follow
 * by themselves, and a form that was there before is not planned again. */
#include "support.h"

enum { EXAMPLES = 8, WIDTH = 4, DEEPEST = 3 };

typedef struct net {
    aval_value *h[DEEPEST + 1], *weights[DEEPEST + 1]; /* h[k]: after k layers; the last weights are the head's */
    aval_node *head;
    aval_value *loss;
    descent training[DEEPEST + 1]; /* by depth */
} net;

static net make_net(lab *l, const double *x, const double *y)
{
    net n;
    char name[8];
    n.h[0] = given(l, "x", AVAL_SHAPE(EXAMPLES, WIDTH), x);
    for (int k = 0; k < DEEPEST; k++) {
        snprintf(name, sizeof name, "W%d", k + 1);
        n.weights[k] = random_weight(l, name, AVAL_SHAPE(WIDTH, WIDTH), AVAL_INIT_XAVIER, 1, 3);
        n.h[k + 1] = aval_apply(l->g, "Tanh", NULL, aval_apply(l->g, "MatMul", NULL, n.h[k], n.weights[k]));
    }
    n.weights[DEEPEST] = random_weight(l, "head", AVAL_SHAPE(WIDTH, 1), AVAL_INIT_XAVIER, 1, 3);
    n.head = aval_graph_node(l->g, "MatMul", NULL, AVAL_VALUES(n.h[1], n.weights[DEEPEST]));
    n.loss = aval_apply(l->g, "aval::MeanSquaredError", NULL, aval_node_output(n.head, 0), given(l, "y", AVAL_SHAPE(EXAMPLES, 1), y));
    for (int depth = 1; depth <= DEEPEST; depth++) {
        aval_value *trained[DEEPEST + 1] = { n.weights[DEEPEST] };
        for (int k = 0; k < depth; k++) trained[k + 1] = n.weights[k];
        n.training[depth] = descend(l, n.loss, trained, (size_t)depth + 1, 0.1, 0);
    }
    return n;
}

/* From now on the head reads what `depth` layers make. */
static void set_depth(lab *l, net *n, int depth)
{
    must(aval_node_set_input(n->head, 0, n->h[depth]));
    must(aval_graph_status(l->g));
}

static double train_and_check(lab *l, net *n, int depth)
{
    set_depth(l, n, depth);
    must(aval_check_gradient(l->s, n->loss, n->weights, (size_t)depth, NULL, NULL));
    return steps(l, &n->training[depth], 20);
}

int main(void)
{
    double x[EXAMPLES * WIDTH], y[EXAMPLES];
    for (int i = 0; i < EXAMPLES * WIDTH; i++) x[i] = sin(5.0 * i);
    for (int i = 0; i < EXAMPLES; i++) y[i] = x[i * WIDTH] * x[i * WIDTH + 1];
    lab l = lab_open();
    net n = make_net(&l, x, y);
    printf("1 layer:                loss %.4f\n", train_and_check(&l, &n, 1));
    printf("one put in, 2 layers:   loss %.4f\n", train_and_check(&l, &n, 2));
    printf("another, 3 layers:      loss %.4f\n", train_and_check(&l, &n, 3));
    printf("two taken out, 1 layer: loss %.4f\n", train_and_check(&l, &n, 1));

    aval_counters before = { .size = sizeof before }, after = before;
    must(aval_session_counters(l.s, &before));
    for (int i = 0; i < 60; i++) {
        int depth = 1 + (int)(fabs(x[i % (EXAMPLES * WIDTH)]) * 2.999); /* the data says how deep */
        set_depth(&l, &n, depth);
        step(&l, &n.training[depth]);
    }
    must(aval_session_counters(l.s, &after));
    printf("60 steps of changing depth: %llu new plans, %llu programs built\n", (unsigned long long)(after.plans_made - before.plans_made),
           (unsigned long long)(after.programs_built - before.programs_built));
    expect(after.plans_made == before.plans_made && after.programs_built == before.programs_built);
    lab_close(&l);
    return 0;
}
