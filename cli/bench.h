/* Benchmarks of `aval bench`: a case is a row of a table with a function that measures and reports rows. */
#ifndef AVAL_CLI_BENCH_H
#define AVAL_CLI_BENCH_H

#include "cli.h"
#include "nets.h"

#define BENCH_MOST_STEPS 500 /* of a network that are timed */

/* One measurement; fields that do not apply are 0 (or NULL). */
typedef struct bench_row {
    const char *name, *shape;
    double median_ms, min_ms, max_ms;
    double gflops, gbytes_per_s;
    const char *figure_name; /* what `figure` is, e.g. "us_per_launch" */
    double figure;
} bench_row;

typedef struct bench {
    aval_context *ctx;
    json_t *rows; /* NULL: print lines */
    size_t batch; /* 0: as each case has it */
    size_t steps; /* of nets: so many, the first one included; 0: many, after the first ones */
    int inference; /* nets: forward alone, instead of a training step */
    int roofline; /* nets: where the time of a step goes, instead of how long it takes */
    uint64_t memory; /* nets: bytes that intermediates are to keep to, against a step without; 0: no bound */
    const char *save; /* nets: ONNX file for what is measured; NULL: none */
    const char *trace; /* file for the commands' times; NULL: none */
    const char *plot; /* SVG file for the commands under the device's roof; NULL: none */
    bool failed; /* some file could not be written; the message is out */
} bench;

/* The most that the device was seen to do. */
typedef struct bench_peaks {
    double gbytes_per_s, gflops;
} bench_peaks;
/* Measures them, a second in all: relu(a x + b) over 16M floats; a product of 1024 x 1024, and a chain of multiplications and additions in
   registers. */
int bench_measure_peaks(bench *b, bench_peaks *peaks);

int bench_report(bench *b, const bench_row *row);

/* Times in milliseconds, sorted: median, min and max go to the row. */
void bench_times(bench_row *row, double *ms, size_t count);

/* Runs until half a second has passed, `queued` runs at a time before they are waited for, as the launches of a network are; the first plans,
   builds and warms the caches.  Times are of one run. */
int bench_time_runs(aval_session *s, aval_value *const *wanted, size_t n_wanted, size_t queued, bench_row *row);
/* Feeds `count` small floats of both signs. */
int bench_feed(aval_session *s, const aval_value *input, size_t count);

/* The cases; each returns a status. */
int bench_plan(bench *b);
int bench_launch(bench *b);
int bench_memory(bench *b);
int bench_load(bench *b);
int bench_step(bench *b);
int bench_gemm(bench *b);
int bench_conv(bench *b);
int bench_start(bench *b);
int bench_tune(bench *b);
int bench_elementwise(bench *b);
int bench_feed_step(bench *b);
int bench_rows(bench *b);
/* `name`: with its domain. */
int bench_op(bench *b, const aval_op *op, const char *name);
int bench_net(bench *b, const net_kind *kind);
/* An ONNX model, forward on made-up inputs. */
int bench_model(bench *b, const char *file);
/* A net's steps within b->memory beside those without that bound: arenas, and the cost predicted and measured. */
int bench_bounded(bench *b, const net *n);

#endif
