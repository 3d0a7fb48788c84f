/* Training steps and inference of known networks, and inference of models, on random data: how long they take, and with --roofline where the time goes. */
#include "bench.h"
#include "bench_profile.h"
#include "nets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS 1.0 /* that a case is repeated for */
#define LEAST_STEPS 7

static int step(const net *n, aval_session *s)
{
    int status = aval_session_run(s, n->wanted, n->n_wanted);
    return status < 0 ? status : aval_session_wait(s);
}

/* The first steps plan, build and warm the caches. */
static int warm_up(const bench *b, const net *n, aval_session *s)
{
    int status = net_feed(n, s);
    for (int i = 0; status == 0 && b->steps == 0 && i < 3; i++) status = step(n, s);
    return status;
}

static int time_steps(bench *b, const net *n, aval_session *s)
{
    double ms[BENCH_MOST_STEPS], from = cli_seconds();
    size_t steps = 0;
    int status = 0;
    size_t least = b->steps > 0 ? b->steps : LEAST_STEPS, most = b->steps > 0 ? b->steps : BENCH_MOST_STEPS;
    for (; status == 0 && steps < most && (steps < least || cli_seconds() - from < SECONDS); steps++) {
        double start = cli_seconds();
        status = step(n, s);
        ms[steps] = 1e3 * (cli_seconds() - start);
    }
    if (status < 0) return status;
    char shape[64];
    snprintf(shape, sizeof shape, "%s, batch %lld", n->inference ? "inference" : "step", (long long)n->batch);
    bench_row row = { .name = n->name, .shape = shape, .figure_name = "examples_per_second" };
    bench_times(&row, ms, steps);
    row.figure = 1e3 * (double)n->batch / row.median_ms;
    return bench_report(b, &row);
}

static int profile_steps(bench *b, const net *n, aval_session *s)
{
    bench_profile *p = NULL;
    int status = bench_profile_create(&p);
    for (size_t i = 0; status == 0 && i < BENCH_PROFILED_STEPS; i++) {
        status = step(n, s);
        if (status == 0) status = bench_profile_read(p, s);
    }
    if (status == 0) status = bench_profile_show(p, b, n);
    bench_profile_release(p);
    return status;
}

static int bench_opened(bench *b, const net *n)
{
    aval_session *s = NULL;
    if (b->memory > 0) return bench_bounded(b, n);
    int status = aval_session_create(b->ctx, n->g, n->store, &s);
    if (status == 0) status = warm_up(b, n, s);
    if (status == 0) status = b->roofline ? profile_steps(b, n, s) : time_steps(b, n, s);
    aval_session_release(s);
    return status;
}

int bench_net(bench *b, const net_kind *kind)
{
    const int64_t asked[] = { (int64_t)b->batch, 0 }, *batches = b->batch > 0 ? asked : kind->batches;
    int status = 0;
    for (; status == 0 && *batches > 0; batches++) {
        net n;
        status = net_open(b->ctx, kind, *batches, b->inference || kind->inference, &n);
        if (status == 0 && b->save != NULL)
            status = aval_model_save(n.g, n.store, n.wanted, (const char *const[]){ "y" }, n.n_wanted, b->save);
        if (status == 0) status = bench_opened(b, &n);
        net_close(&n);
    }
    return status;
}

int bench_model(bench *b, const char *file)
{
    net n;
    int status = net_open_model(b->ctx, file, b->batch > 0 ? (int64_t)b->batch : 1, &n);
    if (status == 0) status = bench_opened(b, &n);
    net_close(&n);
    return status;
}
