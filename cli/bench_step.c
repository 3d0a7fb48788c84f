/* Benchmark of whole training: the built-in nets on the embedded digits. */
#include "bench.h"

#include <stdio.h>

int bench_step(bench *b)
{
    static const char *const nets[] = { "linear", "mlp", "lenet" };
    aval_dataset *train = NULL, *test = NULL;
    int status = aval_dataset_open_digits(1, &train);
    if (status == 0) status = aval_dataset_open_digits(0, &test);
    for (size_t i = 0; status == 0 && i < sizeof nets / sizeof *nets; i++) {
        const aval_train_options options = { .size = sizeof options, .net = nets[i], .batch = b->batch, .epochs = 5 };
        aval_train_report report = { .size = sizeof report };
        status = aval_train(b->ctx, &options, train, test, NULL, NULL, &report);
        if (status < 0) break;
        char shape[64];
        size_t batch = b->batch == 0 ? 32 : b->batch;
        snprintf(shape, sizeof shape, "%s, batch %zu", nets[i], batch);
        /* the median epoch's time a step */
        double ms = report.examples_per_second > 0 ? 1e3 * (double)batch / report.examples_per_second : 0;
        bench_row row = { .name = "step", .shape = shape, .figure_name = "examples_per_second", .figure = report.examples_per_second };
        bench_times(&row, &ms, 1);
        status = bench_report(b, &row);
    }
    aval_dataset_release(train);
    aval_dataset_release(test);
    return status;
}
