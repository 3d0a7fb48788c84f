/* Arenas of training graphs of the usual shapes are at most 1.1 times as large as what is alive at once. */
#include "harness.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define MOST_WEIGHTS 256

typedef struct net {
    fixture f;
    aval_value *weights[MOST_WEIGHTS];
    size_t n_weights;
} net;

/* A layer with a weight of its own, then an activation. */
static aval_value *layer(net *n, aval_value *x, int64_t rows, int64_t columns)
{
    char name[32];
    snprintf(name, sizeof name, "w%zu", n->n_weights);
    aval_value *w = n->weights[n->n_weights++] = make_state(&n->f, name, rows, columns);
    aval_value *y = aval_apply(n->f.g, "Mix", NULL, x, w);
    return aval_apply(n->f.g, "Mul", NULL, y, y);
}

/* Updates of all weights from their gradients. */
static void train(net *n, aval_value *loss)
{
    aval_value *wanted[MOST_WEIGHTS + 1];
    for (size_t i = 0; i < n->n_weights; i++)
        wanted[i] = aval_apply(n->f.g, "Step", NULL, n->weights[i], aval_graph_gradient(n->f.g, loss, n->weights[i], NULL));
    wanted[n->n_weights] = loss;
    aval__plan *plan = fixture_plan(&n->f, wanted, n->n_weights + 1);
    cr_assert_gt(plan->statistics.live_bytes, 0);
    cr_assert_leq(plan->statistics.arena_bytes * 10, plan->statistics.live_bytes * 11, "arena %llu, live %llu",
                  (unsigned long long)plan->statistics.arena_bytes, (unsigned long long)plan->statistics.live_bytes);
    aval__plan_release(plan);
    fixture_close(&n->f);
}

Test(plan_arena, of_a_residual_net_is_tight)
{
    net n = { 0 };
    fixture_open(&n.f);
    aval_value *x = make_input(&n.f, "x", 512, 100);
    for (int stage = 0; stage < 3; stage++) {
        for (int i = 0; i < 9; i++) x = aval_apply(n.f.g, "Add", NULL, x, layer(&n, layer(&n, x, 16 << stage, 9), 16 << stage, 9));
        x = aval_apply(n.f.g, "Half", NULL, x);
    }
    train(&n, layer(&n, x, 64, 10));
}

Test(plan_arena, of_a_u_net_is_tight)
{
    net n = { 0 };
    aval_value *skips[5];
    fixture_open(&n.f);
    aval_value *x = make_input(&n.f, "x", 1024, 64);
    for (int i = 0; i < 5; i++) {
        skips[i] = x = layer(&n, layer(&n, x, 9, 64 << i), 9, 64 << i);
        x = aval_apply(n.f.g, "Half", NULL, x);
    }
    for (int i = 4; i >= 0; i--) {
        x = aval_apply(n.f.g, "Add", NULL, aval_apply(n.f.g, "Double", NULL, x), skips[i]);
        x = layer(&n, layer(&n, x, 9, 64 << i), 9, 64 << i);
    }
    train(&n, x);
}

Test(plan_arena, of_a_transformer_is_tight)
{
    net n = { 0 };
    fixture_open(&n.f);
    aval_value *x = make_input(&n.f, "x", 128, 256);
    for (int i = 0; i < 12; i++) {
        aval_value *q = layer(&n, x, 256, 256), *k = layer(&n, x, 256, 256), *v = layer(&n, x, 256, 256);
        aval_value *scores = aval_apply(n.f.g, "Mix", NULL, aval_apply(n.f.g, "Double", NULL, q), k);
        aval_value *mixed = layer(&n, aval_apply(n.f.g, "Mix", NULL, aval_apply(n.f.g, "Half", NULL, scores), v), 256, 256);
        x = aval_apply(n.f.g, "Add", NULL, x, mixed);
        aval_value *wide = layer(&n, aval_apply(n.f.g, "Double", NULL, aval_apply(n.f.g, "Double", NULL, x)), 256, 1024);
        x = aval_apply(n.f.g, "Add", NULL, x, layer(&n, aval_apply(n.f.g, "Half", NULL, aval_apply(n.f.g, "Half", NULL, wide)), 1024, 256));
    }
    train(&n, x);
}
