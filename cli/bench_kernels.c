/* Benchmarks of the kernels that most time goes into: matrix products, and fused expressions, which the memory's bandwidth bounds. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST_RUNS 1000
#define LEAST_RUNS 5
#define QUEUED 8 /* products that are enqueued before they are waited for */
#define SECONDS 0.5 /* that a case is repeated for */

int bench_time_runs(aval_session *s, aval_value *const *wanted, size_t n_wanted, size_t queued, bench_row *row)
{
    double ms[MOST_RUNS], from = 0;
    size_t n = 0;
    int status = aval_session_run(s, wanted, n_wanted);
    if (status == 0) status = aval_session_wait(s);
    for (from = cli_seconds(); status == 0 && n < MOST_RUNS && (n < LEAST_RUNS || cli_seconds() - from < SECONDS); n++) {
        double start = cli_seconds();
        for (size_t i = 0; status == 0 && i < queued; i++) status = aval_session_run(s, wanted, n_wanted);
        if (status == 0) status = aval_session_wait(s);
        ms[n] = 1e3 * (cli_seconds() - start) / (double)queued;
    }
    if (status == 0) bench_times(row, ms, n);
    return status;
}

static int time_runs(aval_session *s, aval_value *y, size_t queued, bench_row *row)
{
    return bench_time_runs(s, AVAL_VALUES(y), queued, row);
}

int bench_feed(aval_session *s, const aval_value *input, size_t count)
{
    float *data = malloc(count * sizeof *data);
    if (data == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < count; i++) data[i] = (float)(i % 13) / 8 - 0.75f;
    int status = aval_session_feed(s, input, data, count * sizeof *data, NULL);
    free(data);
    return status;
}

/* ---- gemm ---- */

static int time_product(bench *b, int64_t m, int64_t n, int64_t k, bench_row *row)
{
    aval_graph *g = aval_graph_create(b->ctx);
    aval_session *s = NULL;
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(m, k)), *w = aval_graph_input(g, "w", AVAL_FLOAT, AVAL_SHAPE(k, n));
    aval_value *y = aval_apply(g, "MatMul", NULL, x, w);
    int status = aval_graph_status(g);
    if (status == 0) status = aval_session_create(b->ctx, g, NULL, &s);
    if (status == 0) status = bench_feed(s, x, (size_t)(m * k));
    if (status == 0) status = bench_feed(s, w, (size_t)(k * n));
    if (status == 0) status = time_runs(s, y, QUEUED, row);
    if (status == 0) row->gflops = 2e-6 * (double)m * (double)n * (double)k / row->median_ms;
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
    for (size_t i = 0; status == 0 && i < sizeof sizes / sizeof *sizes; i++) {
        char shape[64];
        const int64_t *z = sizes[i];
        snprintf(shape, sizeof shape, "%lld x %lld x %lld", (long long)z[0], (long long)z[1], (long long)z[2]);
        bench_row row = { .name = "gemm", .shape = shape };
        status = time_product(b, z[0], z[1], z[2], &row);
        if (status == 0) status = bench_report(b, &row);
    }
    return status;
}

/* ---- conv ---- */

/* Images, channels, side, maps, filter, stride, groups; padded so that stride 1 keeps the side. */
typedef struct conv_size {
    int64_t images, channels, side, maps, filter, stride, groups;
} conv_size;

/* The convolution alone, then each gradient alone. */
static int time_conv_ways(bench *b, const conv_size *z, aval_session *s, aval_value *const ways[3])
{
    static const char *const names[] = { "", ", by images", ", by filters" };
    const double taps = (double)(z->channels / z->groups * z->filter * z->filter), out = (double)((z->side - 1) / z->stride + 1);
    int status = 0;
    for (size_t i = 0; status == 0 && i < 3; i++) {
        char shape[128], groups[32] = "";
        if (z->groups > 1) snprintf(groups, sizeof groups, " in %lld groups", (long long)z->groups);
        snprintf(shape, sizeof shape, "%lld x %lld x %lld^2, %lld of %lld^2 / %lld%s%s", (long long)z->images, (long long)z->channels,
                 (long long)z->side, (long long)z->maps, (long long)z->filter, (long long)z->stride, groups, names[i]);
        bench_row row = { .name = "conv", .shape = shape };
        status = time_runs(s, ways[i], QUEUED, &row);
        if (status == 0) row.gflops = 2e-6 * (double)(z->images * z->maps) * out * out * taps / row.median_ms;
        if (status == 0) status = bench_report(b, &row);
    }
    return status;
}

static int time_conv(bench *b, const conv_size *z)
{
    char attrs[160];
    const int64_t pad = z->filter / 2, out = (z->side - 1) / z->stride + 1, channels = z->channels / z->groups;
    const int64_t x_dims[] = { z->images, z->channels, z->side, z->side }, w_dims[] = { z->maps, channels, z->filter, z->filter },
                  y_dims[] = { z->images, z->maps, out, out };
    aval_graph *g = aval_graph_create(b->ctx);
    aval_session *s = NULL;
    snprintf(attrs, sizeof attrs, "pads=[%lld,%lld,%lld,%lld] strides=[%lld,%lld] group=%lld", (long long)pad, (long long)pad,
             (long long)pad, (long long)pad, (long long)z->stride, (long long)z->stride, (long long)z->groups);
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, 4, x_dims), *w = aval_graph_input(g, "w", AVAL_FLOAT, 4, w_dims);
    aval_value *upstream = aval_graph_input(g, "upstream", AVAL_FLOAT, 4, y_dims), *y = aval_apply(g, "Conv", attrs, x, w);
    aval_value *const ways[] = { y, aval_graph_gradient(g, y, x, upstream), aval_graph_gradient(g, y, w, upstream) };
    int status = aval_graph_status(g);
    if (status == 0) status = aval_session_create(b->ctx, g, NULL, &s);
    if (status == 0) status = bench_feed(s, x, (size_t)(z->images * z->channels * z->side * z->side));
    if (status == 0) status = bench_feed(s, w, (size_t)(z->maps * channels * z->filter * z->filter));
    if (status == 0) status = bench_feed(s, upstream, (size_t)(z->images * z->maps * out * out));
    if (status == 0) status = time_conv_ways(b, z, s, ways);
    aval_session_release(s);
    aval_graph_release(g);
    return status;
}

int bench_conv(bench *b)
{
    /* two of ResNet-20, batch 32; three of ResNet-50, one image; two of a LeNet, batch 64; six of MobileNetV2, one image, and one in a batch of 16;
       two of ResNeXt-50, one image */
    static const conv_size sizes[] = { { 32, 16, 32, 16, 3, 1, 1 },    { 32, 32, 16, 64, 3, 2, 1 },     { 1, 64, 56, 64, 3, 1, 1 },
                                       { 1, 256, 14, 1024, 1, 1, 1 },  { 1, 512, 28, 1024, 1, 2, 1 },   { 64, 1, 28, 32, 5, 1, 1 },
                                       { 64, 32, 14, 64, 5, 1, 1 },    { 1, 32, 112, 32, 3, 1, 32 },    { 1, 96, 112, 96, 3, 2, 96 },
                                       { 1, 144, 56, 144, 3, 1, 144 }, { 1, 192, 28, 192, 3, 2, 192 },  { 1, 576, 14, 576, 3, 1, 576 },
                                       { 1, 960, 7, 960, 3, 1, 960 },  { 16, 192, 28, 192, 3, 1, 192 }, { 1, 128, 56, 128, 3, 1, 32 },
                                       { 1, 512, 14, 512, 3, 1, 32 } };
    int status = 0;
    for (size_t i = 0; status == 0 && i < sizeof sizes / sizeof *sizes; i++) status = time_conv(b, &sizes[i]);
    return status;
}

/* ---- elementwise ---- */

#define ELEMENTS ((size_t)16 << 20)

/* relu(a x + b), one launch that reads x and writes y; gigabytes a second are of both. */
static int time_elementwise(bench *b, bench_row *row)
{
    const float factor = 2, bias = 0.5f;
    aval_graph *g = aval_graph_create(b->ctx);
    aval_session *s = NULL;
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE((int64_t)ELEMENTS));
    aval_value *a = aval_graph_input(g, "a", AVAL_FLOAT, AVAL_SCALAR), *c = aval_graph_input(g, "b", AVAL_FLOAT, AVAL_SCALAR);
    aval_value *y = aval_apply(g, "Relu", NULL, aval_apply(g, "Add", NULL, aval_apply(g, "Mul", NULL, x, a), c));
    int status = aval_graph_status(g);
    if (status == 0) status = aval_session_create(b->ctx, g, NULL, &s);
    if (status == 0) status = bench_feed(s, x, ELEMENTS);
    if (status == 0) status = aval_session_feed(s, a, &factor, sizeof factor, NULL);
    if (status == 0) status = aval_session_feed(s, c, &bias, sizeof bias, NULL);
    if (status == 0) status = time_runs(s, y, 1, row);
    if (status == 0) row->gbytes_per_s = 1e-6 * 2 * (double)(ELEMENTS * sizeof(float)) / row->median_ms;
    aval_session_release(s);
    aval_graph_release(g);
    return status;
}

int bench_elementwise(bench *b)
{
    bench_row row = { .name = "elementwise", .shape = "relu(a x + b), 16M floats" };
    int status = time_elementwise(b, &row);
    return status < 0 ? status : bench_report(b, &row);
}

/* ---- peaks ---- */

#define CHAIN 28 /* products and sums that stay one launch */
#define CHAIN_ELEMENTS ((size_t)1 << 20)

/* x = x a + b, again and again: arithmetic in registers. */
static int time_chain(bench *b, bench_row *row)
{
    aval_graph *g = aval_graph_create(b->ctx);
    aval_session *s = NULL;
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE((int64_t)CHAIN_ELEMENTS)), *y = x;
    aval_value *a = aval_graph_number(g, AVAL_FLOAT, 0.5), *c = aval_graph_number(g, AVAL_FLOAT, 0.25);
    for (int i = 0; i < CHAIN; i++) y = aval_apply(g, "Add", NULL, aval_apply(g, "Mul", NULL, y, a), c);
    int status = aval_graph_status(g);
    if (status == 0) status = aval_session_create(b->ctx, g, NULL, &s);
    if (status == 0) status = bench_feed(s, x, CHAIN_ELEMENTS);
    if (status == 0) status = time_runs(s, y, 1, row);
    if (status == 0) row->gflops = 1e-6 * 2 * CHAIN * (double)CHAIN_ELEMENTS / row->min_ms;
    aval_session_release(s);
    aval_graph_release(g);
    return status;
}

int bench_measure_peaks(bench *b, bench_peaks *peaks)
{
    bench_row stream = { 0 }, chain = { 0 }, product = { 0 };
    int status = time_elementwise(b, &stream);
    if (status == 0) status = time_chain(b, &chain);
    if (status == 0) status = time_product(b, 1024, 1024, 1024, &product);
    if (status < 0) return status;
    peaks->gbytes_per_s = stream.gbytes_per_s * stream.median_ms / stream.min_ms;
    double gflops = product.gflops * product.median_ms / product.min_ms;
    peaks->gflops = gflops > chain.gflops ? gflops : chain.gflops;
    return 0;
}
