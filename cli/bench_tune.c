/* aval bench tune: how far the untuned choice, which comes from a model of the device, is behind the best that tuning finds. */
#include "bench.h"
#include "tune.h"

#include <stdio.h>

#define SECONDS 90.0 /* for all, so that variants are left out rather than classes */

typedef struct bench_tuning {
    bench *b;
    double untuned_ms, worst;
    int status;
} bench_tuning;

/* The untuned way is told first of its class. */
static void take(void *user, const aval_tune_row *row)
{
    bench_tuning *t = user;
    if (row->untuned) t->untuned_ms = row->ms;
    if (!row->chosen || row->ms <= 0 || t->untuned_ms <= 0 || t->status < 0) return;
    char shape[256];
    snprintf(shape, sizeof shape, "%s: %s", row->product, row->untuned ? "untuned" : row->variant);
    bench_row out = { .name = "tune",
                      .shape = shape,
                      .median_ms = t->untuned_ms,
                      .min_ms = row->ms,
                      .max_ms = t->untuned_ms,
                      .gflops = row->gflops,
                      .figure_name = "untuned_over_tuned",
                      .figure = t->untuned_ms / row->ms };
    if (out.figure > t->worst) t->worst = out.figure;
    t->status = bench_report(t->b, &out);
}

int bench_tune(bench *b)
{
    static const tune_shape shapes[] = { { 512, 512, 512 }, { 1024, 1024, 1024 }, { 2048, 2048, 2048 }, { 256, 256, 256 },
                                         { 128, 512, 784 }, { 512, 784, 128 },    { 128, 10, 512 },     { 1, 1000, 2048 } };
    static const struct {
        const char *net;
        int64_t batch;
    } nets[] = { { "mlp", 128 }, { "lenet", 64 }, { "resnet20", 32 }, { "transformer", 8 } };
    bench_tuning t = { .b = b };
    aval_tune_options o = { .size = sizeof o, .dry = 1 };
    double end = cli_seconds() + SECONDS;
    const size_t n_shapes = sizeof shapes / sizeof *shapes, n_nets = sizeof nets / sizeof *nets, n = n_shapes + n_nets;
    int status = 0;
    for (size_t i = 0; status == 0 && i < n; i++) {
        /* a net has several classes, so it gets the time of as many shapes */
        double parts = (double)(i < n_shapes ? n_shapes - i + 4 * n_nets : 4 * (n - i)), rest = end - cli_seconds();
        o.seconds = rest > 0 ? rest * (i < n_shapes ? 1 : 4) / parts : 0.1;
        if (i < n_shapes) status = tune_product(b->ctx, &shapes[i], &o, take, &t, NULL);
        else status = tune_net(b->ctx, net_find(nets[i - n_shapes].net), nets[i - n_shapes].batch, &o, take, &t, NULL);
        if (status == 0) status = t.status;
    }
    bench_row all = { .name = "tune", .shape = "the worst of all", .figure_name = "untuned_over_tuned", .figure = t.worst };
    return status < 0 ? status : bench_report(b, &all);
}
