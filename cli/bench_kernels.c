/* Benchmarks of the kernels that most time goes into: matrix products, and fused expressions, which the memory's bandwidth bounds. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST_RUNS 1000
#define LEAST_RUNS 5
#define SECONDS 0.5 /* that a case is repeated for */

/* Runs until SECONDS have passed, each run waited for; the first plans, builds and warms the caches. */
static int time_runs(aval_session *s, aval_value *y, bench_row *row)
{
    double ms[MOST_RUNS], from = 0;
    size_t n = 0;
    int status = aval_session_run(s, AVAL_VALUES(y));
    if (status == 0) status = aval_session_wait(s);
    for (from = bench_seconds(); status == 0 && n < MOST_RUNS && (n < LEAST_RUNS || bench_seconds() - from < SECONDS); n++) {
        double start = bench_seconds();
        status = aval_session_run(s, AVAL_VALUES(y));
        if (status == 0) status = aval_session_wait(s);
        ms[n] = 1e3 * (bench_seconds() - start);
    }
    if (status == 0) bench_times(row, ms, n);
    return status;
}

/* Feeds `count` small numbers of both signs. */
static int feed(aval_session *s, const aval_value *input, size_t count)
{
    float *data = malloc(count * sizeof *data);
    if (data == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < count; i++) data[i] = (float)(i % 13) / 8 - 0.75f;
    int status = aval_session_feed(s, input, data, count * sizeof *data, NULL);
    free(data);
    return status;
}

/* ---- gemm ---- */

static int bench_product(bench *b, int64_t m, int64_t n, int64_t k)
{
    aval_graph *g = aval_graph_create(b->ctx);
    aval_session *s = NULL;
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(m, k)), *w = aval_graph_input(g, "w", AVAL_FLOAT, AVAL_SHAPE(k, n));
    aval_value *y = aval_apply(g, "MatMul", NULL, x, w);
    char shape[64];
    snprintf(shape, sizeof shape, "%lld x %lld x %lld", (long long)m, (long long)n, (long long)k);
    bench_row row = { .name = "gemm", .shape = shape };
    int status = aval_graph_status(g);
    if (status == 0) status = aval_session_create(b->ctx, g, NULL, &s);
    if (status == 0) status = feed(s, x, (size_t)(m * k));
    if (status == 0) status = feed(s, w, (size_t)(k * n));
    if (status == 0) status = time_runs(s, y, &row);
    if (status == 0) {
        row.gflops = 2e-6 * (double)m * (double)n * (double)k / row.median_ms;
        status = bench_report(b, &row);
    }
    aval_session_release(s);
    aval_graph_release(g);
    return status;
}

int bench_gemm(bench *b)
{
    /* m, n, k; the first four are those of a hidden layer of 512 on MNIST: forward, its weights' gradient, its output, one image */
    static const int64_t sizes[][3] = {
        { 128, 512, 784 }, { 512, 784, 128 }, { 128, 10, 512 },  { 1, 1000, 2048 },    { 32, 32, 32 },
        { 64, 64, 64 },    { 256, 256, 256 }, { 512, 512, 512 }, { 1024, 1024, 1024 }, { 2048, 2048, 2048 }
    };
    int status = 0;
    for (size_t i = 0; status == 0 && i < sizeof sizes / sizeof *sizes; i++)
        status = bench_product(b, sizes[i][0], sizes[i][1], sizes[i][2]);
    return status;
}

/* ---- elementwise ---- */

/* relu(a x + b), one launch that reads x and writes y; gigabytes a second are of both. */
int bench_elementwise(bench *b)
{
    const size_t count = (size_t)16 << 20;
    const float factor = 2, bias = 0.5f;
    aval_graph *g = aval_graph_create(b->ctx);
    aval_session *s = NULL;
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE((int64_t)count));
    aval_value *a = aval_graph_input(g, "a", AVAL_FLOAT, AVAL_SCALAR), *c = aval_graph_input(g, "b", AVAL_FLOAT, AVAL_SCALAR);
    aval_value *y = aval_apply(g, "Relu", NULL, aval_apply(g, "Add", NULL, aval_apply(g, "Mul", NULL, x, a), c));
    bench_row row = { .name = "elementwise", .shape = "relu(a x + b), 16M floats" };
    int status = aval_graph_status(g);
    if (status == 0) status = aval_session_create(b->ctx, g, NULL, &s);
    if (status == 0) status = feed(s, x, count);
    if (status == 0) status = aval_session_feed(s, a, &factor, sizeof factor, NULL);
    if (status == 0) status = aval_session_feed(s, c, &bias, sizeof bias, NULL);
    if (status == 0) status = time_runs(s, y, &row);
    if (status == 0) {
        row.gbytes_per_s = 1e-6 * 2 * (double)(count * sizeof(float)) / row.median_ms;
        status = bench_report(b, &row);
    }
    aval_session_release(s);
    aval_graph_release(g);
    return status;
}
