/* What it costs to keep the intermediates of a network's step within a bound: steps with and without it in turn, on the same weights. */
#include "bench.h"

#include <stdio.h>

#define SECONDS 2.0 /* for both */
#define LEAST_STEPS 7

typedef struct side {
    aval_session *s;
    aval_counters counters;
    double ms[BENCH_MOST_STEPS];
} side;

/* Plans, builds and warms the caches. */
static int open_side(const bench *b, const net *n, uint64_t bound, side *x)
{
    int status = aval_session_create(b->ctx, n->g, n->store, &x->s);
    if (status == 0) status = aval_session_set_memory_bound(x->s, bound);
    if (status == 0) status = net_feed(n, x->s);
    for (int i = 0; status == 0 && i < 3; i++) status = aval_session_run(x->s, n->wanted, n->n_wanted);
    if (status == 0) status = aval_session_wait(x->s);
    x->counters.size = sizeof x->counters;
    return status == 0 ? aval_session_counters(x->s, &x->counters) : status;
}

static int time_step(const net *n, side *x, size_t step)
{
    double start = cli_seconds();
    int status = aval_session_run(x->s, n->wanted, n->n_wanted);
    if (status == 0) status = aval_session_wait(x->s);
    x->ms[step] = 1e3 * (cli_seconds() - start);
    return status;
}

static int report_side(bench *b, const net *n, side *x, size_t steps, bench_row *row)
{
    char shape[96];
    snprintf(shape, sizeof shape, "%s, batch %lld, arena %.2f MB", n->inference ? "inference" : "step", (long long)n->batch,
             1e-6 * (double)x->counters.arena_bytes);
    *row = (bench_row){ .name = n->name, .shape = shape, .figure_name = "arena_bytes", .figure = (double)x->counters.arena_bytes };
    bench_times(row, x->ms, steps);
    return bench_report(b, row);
}

static int report_cost(bench *b, const char *name, const side *bounded, double measured)
{
    const aval_counters *c = &bounded->counters;
    if (b->rows != NULL) {
        json_t *object = json_pack("{s:s, s:s, s:I, s:I, s:I, s:f, s:f}", "name", name, "shape", "bounded", "arena_bytes",
                                   (json_int_t)c->arena_bytes, "unbounded_arena_bytes", (json_int_t)c->unbounded_arena_bytes, "recomputed",
                                   (json_int_t)c->recomputed, "predicted_share", c->recomputed_share, "measured_share", measured);
        return json_array_append_new(b->rows, object) == 0 ? 0 : AVAL_E_MEMORY;
    }
    printf("%-11s arena %.2f MB instead of %.2f (%.0f %%): %llu launches or groups of them run again; %.1f %% more time predicted, %.1f %% "
           "measured\n",
           name, 1e-6 * (double)c->arena_bytes, 1e-6 * (double)c->unbounded_arena_bytes,
           100 * (double)c->arena_bytes / (double)c->unbounded_arena_bytes, (unsigned long long)c->recomputed, 100 * c->recomputed_share,
           100 * measured);
    return 0;
}

int bench_bounded(bench *b, const net *n)
{
    side sides[2] = { 0 }; /* without and with the bound */
    bench_row rows[2];
    size_t steps = 0;
    int status = open_side(b, n, 0, &sides[0]);
    if (status == 0) status = open_side(b, n, b->memory, &sides[1]);
    double from = cli_seconds();
    for (; status == 0 && steps < BENCH_MOST_STEPS && (steps < LEAST_STEPS || cli_seconds() - from < SECONDS); steps++)
        for (int i = 0; status == 0 && i < 2; i++) status = time_step(n, &sides[i], steps);
    for (int i = 0; status == 0 && i < 2; i++) status = report_side(b, n, &sides[i], steps, &rows[i]);
    if (status == 0) status = report_cost(b, n->name, &sides[1], rows[1].median_ms / rows[0].median_ms - 1);
    for (int i = 0; i < 2; i++) aval_session_release(sides[i].s);
    return status;
}
