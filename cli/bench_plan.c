/* Benchmarks of planning and launching: graphs without much arithmetic, so that what is measured is aval itself. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- plan: chains and random graphs with gradients ---- */

#define MOST_REPEATS 20

/* An attribute that differs makes a plan that no cache has. */
static double fresh_alpha(void)
{
    static double alpha = 0.01;
    return alpha += 1e-6;
}

static aval_value *leaky(aval_graph *g, aval_value *x)
{
    char attrs[64];
    snprintf(attrs, sizeof attrs, "alpha=%.6f", fresh_alpha());
    return aval_apply(g, "LeakyRelu", attrs, x);
}

/* A layer is three nodes (a product, a sum, an activation) that all become more in the gradient. */
static aval_value *chain(aval_graph *g, aval_value *x, aval_value *w, aval_value *b, size_t layers)
{
    for (size_t i = 0; i < layers; i++) {
        x = aval_apply(g, "MatMul", NULL, x, w);
        x = aval_apply(g, "Add", NULL, x, b);
        x = i == 0 ? leaky(g, x) : aval_apply(g, "Tanh", NULL, x);
    }
    return x;
}

/* Each node reads one or two of the 50 before it. */
static aval_value *random_graph(aval_graph *g, aval_value *x, aval_value *w, size_t nodes, unsigned seed)
{
    static const char *const ops[] = { "Add", "Mul", "Sub", "Tanh", "Sigmoid", "MatMul", "Softmax" };
    aval_value **values = malloc((nodes + 2) * sizeof *values);
    if (values == NULL) return NULL;
    size_t n = 0;
    values[n++] = leaky(g, x);
    unsigned state = seed * 2654435761u + 1;
    while (n < nodes) {
        state = state * 1664525u + 1013904223u;
        size_t op = (state >> 16) % 7, reach = n < 50 ? n : 50;
        aval_value *a = values[n - 1 - (state >> 8) % reach], *c = values[n - 1];
        if (op < 3) values[n] = aval_apply(g, ops[op], NULL, a, c);
        else if (op == 5) values[n] = aval_apply(g, ops[op], NULL, c, w);
        else values[n] = aval_apply(g, ops[op], NULL, c);
        n++;
    }
    aval_value *last = values[n - 1];
    free(values);
    return last;
}

static int plan_once(bench *b, int random, size_t nodes, aval_counters *counters)
{
    aval_graph *g = aval_graph_create(b->ctx);
    aval_session *s = NULL;
    char *text = NULL;
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(4, 8)), *w = aval_graph_input(g, "w", AVAL_FLOAT, AVAL_SHAPE(8, 8));
    aval_value *bias = aval_graph_input(g, "b", AVAL_FLOAT, AVAL_SHAPE(8));
    aval_value *y = random ? random_graph(g, x, w, nodes, 1) : chain(g, x, w, bias, nodes);
    aval_value *dx = aval_graph_gradient(g, y, x, NULL), *dw = aval_graph_gradient(g, y, w, NULL);
    int status = aval_graph_status(g);
    if (status == 0) status = aval_session_create(b->ctx, g, NULL, &s);
    if (status == 0) status = aval_session_plan_text(s, AVAL_VALUES(y, dx, dw), &text);
    if (status == 0) status = aval_session_counters(s, counters);
    aval_free(text);
    aval_session_release(s);
    aval_graph_release(g);
    return status;
}

int bench_plan(bench *b)
{
    static const size_t sizes[] = { 1000, 10000, 100000 }, repeats[] = { 20, 20, 7 }; /* short ones vary more */
    for (int random = 0; random < 2; random++) {
        double before = 0;
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            aval_counters counters = { .size = sizeof counters };
            /* how many forward nodes or layers give so many nodes once gradients are in: measured on the smallest */
            int status = plan_once(b, random, 100, &counters);
            if (status < 0) return status;
            double each = (double)counters.plan_nodes / 100;
            double ms[MOST_REPEATS];
            for (size_t r = 0; r < repeats[i]; r++) {
                status = plan_once(b, random, (size_t)((double)sizes[i] / each), &counters);
                if (status < 0) return status;
                ms[r] = 1e3 * counters.plan_seconds;
            }
            char shape[64];
            snprintf(shape, sizeof shape, "%s, %llu nodes", random ? "random" : "chain", (unsigned long long)counters.plan_nodes);
            bench_row row = { .name = "plan", .shape = shape };
            bench_times(&row, ms, repeats[i]);
            if (before > 0) {
                row.figure_name = "times_the_size_before";
                row.figure = row.median_ms / before;
            }
            before = row.median_ms;
            status = bench_report(b, &row);
            if (status < 0) return status;
        }
    }
    return 0;
}

/* ---- launch: host time a launch ---- */

int bench_launch(bench *b)
{
    enum { DEPTH = 500, RUNS = 40 };
    aval_graph *g = aval_graph_create(b->ctx);
    aval_session *s = NULL;
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(4, 8)), *y = x;
    /* a softmax fuses with nothing, so each is a launch */
    for (size_t i = 0; i < DEPTH; i++) y = aval_apply(g, "Softmax", NULL, y);
    const float data[32] = { 0 };
    double ms[RUNS];
    aval_counters counters = { .size = sizeof counters };
    int status = aval_graph_status(g);
    if (status == 0) status = aval_session_create(b->ctx, g, NULL, &s);
    if (status == 0) status = aval_session_feed(s, x, data, sizeof data, NULL);
    if (status == 0) status = aval_session_run(s, AVAL_VALUES(y));
    if (status == 0) status = aval_session_wait(s);
    if (status == 0) status = aval_session_counters(s, &counters);
    uint64_t a_run = counters.launches;
    for (size_t i = 0; status == 0 && i < RUNS; i++) {
        double start = cli_seconds();
        status = aval_session_run(s, AVAL_VALUES(y));
        ms[i] = 1e3 * (cli_seconds() - start);
        if (status == 0) status = aval_session_wait(s);
    }
    if (status == 0) {
        char shape[64];
        snprintf(shape, sizeof shape, "a run of %llu launches", (unsigned long long)a_run);
        bench_row row = { .name = "launch", .shape = shape, .figure_name = "us_per_launch" };
        bench_times(&row, ms, RUNS);
        row.figure = 1e3 * row.median_ms / (double)a_run;
        status = bench_report(b, &row);
    }
    aval_session_release(s);
    aval_graph_release(g);
    return status;
}
