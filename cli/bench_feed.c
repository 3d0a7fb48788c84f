/* Benchmark of feeding: a batch is fed, and one launch sums it up, step after step. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

#define REPEATS 9
#define BYTES_A_REPEAT ((int64_t)64 << 20)

static int take_steps(aval_session *s, const aval_value *x, aval_value *y, const float *data, int64_t count, int64_t steps)
{
    int status = 0;
    for (int64_t i = 0; status == 0 && i < steps; i++) {
        status = aval_session_feed(s, x, data, (size_t)count * sizeof *data, NULL);
        if (status == 0) status = aval_session_run(s, AVAL_VALUES(y));
    }
    return status == 0 ? aval_session_wait(s) : status;
}

static int time_feeding(bench *b, int64_t count)
{
    char shape[64];
    double ms[REPEATS];
    int64_t bytes = count * (int64_t)sizeof(float), most = BYTES_A_REPEAT / bytes, steps = most < 8 ? 8 : most > 400 ? 400 : most;
    float *data = calloc((size_t)count, sizeof *data);
    aval_session *s = NULL;
    aval_graph *g = aval_graph_create(b->ctx);
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(count)), *y = aval_apply(g, "ReduceSum", "keepdims=0", x);
    int status = data == NULL ? AVAL_E_MEMORY : aval_graph_status(g);
    if (status == 0) status = aval_session_create(b->ctx, g, NULL, &s);
    if (status == 0) status = take_steps(s, x, y, data, count, 3);
    for (size_t i = 0; status == 0 && i < REPEATS; i++) {
        double start = cli_seconds();
        status = take_steps(s, x, y, data, count, steps);
        ms[i] = 1e3 * (cli_seconds() - start) / (double)steps;
    }
    snprintf(shape, sizeof shape, "%lld floats and their sum", (long long)count);
    bench_row row = { .name = "feed", .shape = shape };
    if (status == 0) bench_times(&row, ms, REPEATS);
    if (status == 0) row.gbytes_per_s = 1e-6 * (double)bytes / row.median_ms;
    if (status == 0) status = bench_report(b, &row);
    aval_session_release(s);
    aval_graph_release(g);
    free(data);
    return status;
}

int bench_feed_step(bench *b)
{
    static const int64_t counts[] = { 25088, 98304, 401408,
                                      4 << 20 }; /* batches of MNIST (32, 512) and of 32 pictures of 3 x 32 x 32, and 16 MB */
    int status = 0;
    for (size_t i = 0; status == 0 && i < sizeof counts / sizeof *counts; i++) status = time_feeding(b, counts[i]);
    return status;
}
