/* aval bench: measures this machine's devices and aval itself. */
#include "bench.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct bench_case {
    const char *name;
    const char *doc;
    int (*run)(bench *b);
} bench_case;

static const bench_case cases[] = {
    { "plan", "planning chains and random graphs of 1,000 to 100,000 nodes", bench_plan },
    { "launch", "host time a launch (over the null device of the tests: aval's own time alone)", bench_launch },
    { "memory", "arena against the most bytes alive, training graphs of a ResNet, a U-Net and a transformer", bench_memory },
    { "gemm", "matrix products of a network's layers and of squares", bench_gemm },
    { "elementwise", "relu(a x + b) in one launch, which the memory's bandwidth bounds", bench_elementwise },
    { "step", "training steps of the built-in nets on the digits", bench_step },
};

double bench_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_times(bench_row *row, double *ms, size_t count)
{
    qsort(ms, count, sizeof *ms, by_size);
    row->median_ms = ms[count / 2];
    row->min_ms = ms[0];
    row->max_ms = ms[count - 1];
}

int bench_report(bench *b, const bench_row *row)
{
    if (b->rows == NULL) {
        printf("%-11s %-34s %10.3f ms  (%.3f to %.3f)", row->name, row->shape, row->median_ms, row->min_ms, row->max_ms);
        if (row->gflops > 0) printf("  %.1f GFLOP/s", row->gflops);
        if (row->gbytes_per_s > 0) printf("  %.1f GB/s", row->gbytes_per_s);
        if (row->figure_name != NULL) printf("  %s %.4g", row->figure_name, row->figure);
        printf("\n");
        fflush(stdout);
        return 0;
    }
    json_t *object = json_pack("{s:s, s:s, s:f, s:f, s:f}", "name", row->name, "shape", row->shape, "median_ms", row->median_ms, "min_ms",
                               row->min_ms, "max_ms", row->max_ms);
    if (row->gflops > 0) json_object_set_new(object, "gflops", json_real(row->gflops));
    if (row->gbytes_per_s > 0) json_object_set_new(object, "gbytes_per_s", json_real(row->gbytes_per_s));
    if (row->figure_name != NULL) json_object_set_new(object, row->figure_name, json_real(row->figure));
    return json_array_append_new(b->rows, object) == 0 ? 0 : AVAL_E_MEMORY;
}

static const bench_case *find_case(const char *name)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(cases[i].name, name) == 0) return &cases[i];
    }
    return NULL;
}

int cli_bench(int argc, const char **argv)
{
    int exit_code = CLI_OK;
    char *batch = NULL;
    uint64_t examples = 0;
    const struct poptOption own[] = {
        { "batch", 'b', POPT_ARG_STRING, &batch, 0, "examples in a batch (of `step`)", "N" },
        POPT_TABLEEND,
    };
    cli_options options;
    bench b = { 0 };
    if (!cli_options_parse(&options, cli_command_find("bench"), own, 0, sizeof cases / sizeof *cases, argc, argv, &exit_code)) {
        free(batch);
        return exit_code;
    }
    for (size_t i = 0; i < options.n_rest && exit_code == CLI_OK; i++) {
        if (find_case(options.rest[i]) == NULL) {
            exit_code = cli_fail(CLI_USAGE, "no benchmark '%s'; there are plan, launch, memory, gemm, elementwise, step", options.rest[i]);
        }
    }
    if (exit_code == CLI_OK) exit_code = cli_count("batch", batch, 1, INT_MAX, &examples);
    if (exit_code != CLI_OK) goto done;
    b.batch = (size_t)examples;
    if (options.common.json) b.rows = json_array();
    int status = cli_context_create(&options, &b.ctx);
    if (status == AVAL_OK) status = cli_need_device(b.ctx);
    for (size_t i = 0; status == 0 && i < sizeof cases / sizeof *cases; i++) {
        bool asked = options.n_rest == 0;
        for (size_t k = 0; k < options.n_rest; k++) asked = asked || strcmp(options.rest[k], cases[i].name) == 0;
        if (asked) status = cases[i].run(&b);
    }
    if (status < 0) exit_code = cli_fail_status(status);
    else if (b.rows != NULL) exit_code = cli_print_json(json_incref(b.rows));
done:
    json_decref(b.rows);
    aval_context_release(b.ctx);
    cli_options_release(&options);
    free(batch);
    return exit_code;
}
