/* Benchmark of loading: a ResNet-50 (He et al. 2015, 25.6 million weights) written as an ONNX file, read back and planned for one picture of
 * 224 x 224. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define REPEATS 3

typedef struct maker {
    aval_graph *g;
    aval_store *store;
    size_t n_states;
    int status;
} maker;

/* A state of equal numbers: what they are takes no part in loading. */
static aval_value *state(maker *m, size_t rank, const int64_t *dims, double value)
{
    char name[32];
    snprintf(name, sizeof name, "w%zu", m->n_states++);
    if (m->status == 0) m->status = aval_store_fill(m->store, name, AVAL_FLOAT, rank, dims, value);
    return aval_graph_state(m->g, name, AVAL_FLOAT, rank, dims);
}

static aval_value *conv(maker *m, aval_value *x, int64_t in, int64_t out, int64_t kernel, int64_t stride)
{
    char attrs[96];
    long long pad = (long long)(kernel / 2), step = (long long)stride;
    snprintf(attrs, sizeof attrs, "pads=[%lld,%lld,%lld,%lld] strides=[%lld,%lld]", pad, pad, pad, pad, step, step);
    aval_value *w = state(m, AVAL_SHAPE(out, in, kernel, kernel), 0.01);
    aval_value *y = aval_apply(m->g, "Conv", attrs, x, w);
    aval_value *scale = state(m, AVAL_SHAPE(out), 1), *shift = state(m, AVAL_SHAPE(out), 0);
    aval_value *mean = state(m, AVAL_SHAPE(out), 0), *variance = state(m, AVAL_SHAPE(out), 1);
    return aval_apply(m->g, "BatchNormalization", NULL, y, scale, shift, mean, variance);
}

static aval_value *relu(maker *m, aval_value *x)
{
    return aval_apply(m->g, "Relu", NULL, x);
}

/* 1 x 1 to fewer channels, 3 x 3, 1 x 1 to four times as many, beside a way around. */
static aval_value *bottleneck(maker *m, aval_value *x, int64_t in, int64_t width, int64_t stride)
{
    aval_value *around = in == 4 * width && stride == 1 ? x : conv(m, x, in, 4 * width, 1, stride);
    aval_value *y = relu(m, conv(m, x, in, width, 1, 1));
    y = relu(m, conv(m, y, width, width, 3, stride));
    return relu(m, aval_apply(m->g, "Add", NULL, conv(m, y, width, 4 * width, 1, 1), around));
}

static aval_value *resnet50(maker *m)
{
    static const int64_t blocks[4] = { 3, 4, 6, 3 };
    int64_t channels = 64;
    aval_value *x = relu(m, conv(m, aval_graph_input(m->g, "x", AVAL_FLOAT, AVAL_SHAPE(1, 3, 224, 224)), 3, 64, 7, 2));
    x = aval_apply(m->g, "MaxPool", "kernel_shape=[3,3] strides=[2,2] pads=[1,1,1,1]", x);
    for (int64_t stage = 0; stage < 4; stage++)
        for (int64_t block = 0; block < blocks[stage]; block++) {
            int64_t width = INT64_C(64) << stage;
            x = bottleneck(m, x, channels, width, stage > 0 && block == 0 ? 2 : 1);
            channels = 4 * width;
        }
    x = aval_apply(m->g, "Flatten", NULL, aval_apply(m->g, "GlobalAveragePool", NULL, x));
    aval_value *w = state(m, AVAL_SHAPE(1000, 2048), 0.01), *b = state(m, AVAL_SHAPE(1000), 0);
    return aval_apply(m->g, "Gemm", "transB=1", x, w, b);
}

static int write_model(bench *b, const char *file)
{
    maker m = { .g = aval_graph_create(b->ctx) };
    m.status = aval_store_create(b->ctx, &m.store);
    aval_value *y = resnet50(&m);
    int status = m.status == 0 ? aval_graph_status(m.g) : m.status;
    if (status == 0) status = aval_model_save(m.g, m.store, &y, (const char *const[]){ "y" }, 1, file);
    aval_store_release(m.store);
    aval_graph_release(m.g);
    return status;
}

/* Milliseconds of both together. */
static int load_and_plan(bench *b, const char *file, double *ms, aval_counters *counters)
{
    aval_model *model = NULL;
    aval_session *s = NULL;
    char *text = NULL;
    double start = cli_seconds();
    int status = aval_model_load(b->ctx, file, &model);
    if (status == 0) status = aval_session_create(b->ctx, aval_model_graph(model), aval_model_store(model), &s);
    aval_value *y = aval_model_output(model, 0);
    if (status == 0) status = aval_session_plan_text(s, AVAL_VALUES(y), &text);
    *ms = 1e3 * (cli_seconds() - start);
    if (status == 0) status = aval_session_counters(s, counters);
    aval_free(text);
    aval_session_release(s);
    aval_model_release(model);
    return status;
}

int bench_load(bench *b)
{
    const char *folder = getenv("TMPDIR");
    char file[512];
    double ms[REPEATS];
    aval_counters counters = { .size = sizeof counters };
    snprintf(file, sizeof file, "%s/aval-bench-load-XXXXXX", folder != NULL ? folder : "/tmp");
    int fd = mkstemp(file);
    if (fd < 0) {
        b->failed = true;
        cli_fail(CLI_DEVICE, "%s cannot be made", file);
        return 0;
    }
    close(fd);
    int status = write_model(b, file);
    for (size_t i = 0; i < REPEATS && status == 0; i++) status = load_and_plan(b, file, &ms[i], &counters);
    unlink(file);
    if (status < 0) return status;
    char shape[96];
    snprintf(shape, sizeof shape, "resnet50 from a file, %.1f MB alive", 1e-6 * (double)counters.live_bytes);
    bench_row row = { .name = "load", .shape = shape, .figure_name = "arena_over_live" };
    bench_times(&row, ms, REPEATS);
    row.figure = counters.live_bytes == 0 ? 0 : (double)counters.arena_bytes / (double)counters.live_bytes;
    return bench_report(b, &row);
}
