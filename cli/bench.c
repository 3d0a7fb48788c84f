/* aval bench: measures this machine's devices and aval itself. */
#include "bench.h"
#include "files.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench_case {
    const char *name;
    const char *doc;
    int (*run)(bench *b);
    bool named; /* runs only where it is named */
} bench_case;

static const bench_case cases[] = {
    { "plan", "planning chains and random graphs of 1,000 to 100,000 nodes", bench_plan, false },
    { "launch", "host time a launch (over the null device of the tests: aval's own time alone)", bench_launch, false },
    { "memory", "arena against the most bytes alive, training graphs of a ResNet, a U-Net and a transformer", bench_memory, false },
    { "load", "reading and planning a ResNet-50 of 102 MB, and its arena against the most bytes alive", bench_load, false },
    { "gemm", "matrix products of a network's layers and of squares", bench_gemm, false },
    { "conv", "convolutions of ResNets, a LeNet, a MobileNet and a ResNeXt, and their gradients", bench_conv, false },
    { "start", "a new process, from its start to the end of a training step of mlp", bench_start, false },
    { "tune", "products of the nets: the untuned choice against the best that tuning finds", bench_tune, true },
    { "elementwise", "relu(a x + b) in one launch, which the memory's bandwidth bounds", bench_elementwise, false },
    { "feed", "batches that are fed and summed up, step after step", bench_feed_step, false },
    { "rows", "an activation, softmax, normalisations and a loss, forward and with gradients", bench_rows, false },
    { "step", "training steps of the built-in nets on the digits", bench_step, false },
};

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

static bool is_op(aval_context *ctx, const char *name)
{
    char full[256];
    return cli_op_next(ctx, name, &(size_t){ 0 }, full, sizeof full) != NULL;
}

static bool is_case(const char *name)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(cases[i].name, name) == 0) return true;
    return net_find(name) != NULL;
}

/* CLI_USAGE, with a message that lists them, when an argument is no benchmark. */
static int check_names(aval_context *ctx, const cli_options *options, bool nets_only)
{
    for (size_t i = 0; i < options->n_rest; i++) {
        char names[256] = "";
        if (cli_is_onnx(options->rest[i])) continue;
        if (nets_only ? net_find(options->rest[i]) != NULL : is_case(options->rest[i]) || is_op(ctx, options->rest[i])) continue;
        for (size_t k = 0; !nets_only && k < sizeof cases / sizeof *cases; k++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s, ", cases[k].name);
        for (const net_kind *kind = net_kinds; kind->name; kind++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", kind->name, kind[1].name ? ", " : "");
        return cli_fail(CLI_USAGE, "no %s '%s'; there are %s%s, and models in files that end in .onnx", nets_only ? "network" : "benchmark",
                        options->rest[i], names, nets_only ? "" : ", every operator by name (`aval ops`)");
    }
    return CLI_OK;
}

static bool is_asked(const cli_options *options, const char *name)
{
    for (size_t i = 0; i < options->n_rest; i++)
        if (strcmp(options->rest[i], name) == 0) return true;
    return options->n_rest == 0;
}

/* Found out before anything is measured. */
static int check_writable(const char *file)
{
    FILE *f = fopen(file, "w");
    if (f == NULL) return cli_fail(CLI_DEVICE, "%s cannot be written: %s", file, strerror(errno));
    fclose(f);
    return CLI_OK;
}

static int run_op(bench *b, const char *name)
{
    char full[256];
    size_t at = 0;
    int status = 0;
    for (const aval_op *op; status == 0 && (op = cli_op_next(b->ctx, name, &at, full, sizeof full)) != NULL;)
        status = bench_op(b, op, full);
    return status;
}

static int run_cases(bench *b, const cli_options *options)
{
    int status = 0;
    for (size_t i = 0; status == 0 && !b->roofline && !b->inference && i < sizeof cases / sizeof *cases; i++)
        if (is_asked(options, cases[i].name) && (options->n_rest > 0 || !cases[i].named)) status = cases[i].run(b);
    for (const net_kind *kind = net_kinds; status == 0 && kind->name; kind++)
        if (is_asked(options, kind->name)) status = bench_net(b, kind);
    for (size_t i = 0; status == 0 && i < options->n_rest; i++)
        if (!is_case(options->rest[i]))
            status = cli_is_onnx(options->rest[i]) ? bench_model(b, options->rest[i]) : run_op(b, options->rest[i]);
    return status;
}

int cli_bench(int argc, const char **argv)
{
    int exit_code = CLI_OK;
    char *batch = NULL, *trace = NULL, *plot = NULL, *steps = NULL, *save = NULL, *memory = NULL;
    uint64_t examples = 0, step_count = 0;
    bench b = { 0 };
    const struct poptOption own[] = {
        { "batch", 'b', POPT_ARG_STRING, &batch, 0, "examples in a batch (of training steps)", "N" },
        { "inference", 0, POPT_ARG_NONE, &b.inference, 0, "of networks: forward alone, instead of a training step", NULL },
        { "save", 0, POPT_ARG_STRING, &save, 0, "write the network as an ONNX file (implies --inference)", "FILE" },
        { "steps", 0, POPT_ARG_STRING, &steps, 0, "of networks: time so many training steps, from the first on", "N" },
        { "memory", 0, POPT_ARG_STRING, &memory, 0,
          "of networks: steps that keep intermediates within so many bytes, by computing some again, beside steps without; suffixes K, M, "
          "G",
          "BYTES" },
        { "roofline", 0, POPT_ARG_NONE, &b.roofline, 0,
          "of networks: each command of a step against memory and arithmetic, the worst first", NULL },
        { "profile", 0, POPT_ARG_STRING, &trace, 0, "write the commands of a step as a trace that Perfetto opens (implies --roofline)",
          "FILE" },
        { "plot", 0, POPT_ARG_STRING, &plot, 0, "draw the commands under the device's roof, as SVG by gnuplot (implies --roofline)",
          "FILE" },
        POPT_TABLEEND,
    };
    cli_options options;
    if (!cli_options_parse(&options, cli_command_find("bench"), own, 0, 64, argc, argv, &exit_code)) goto done_options;
    if (trace != NULL || plot != NULL) b.roofline = 1;
    if (save != NULL) b.inference = 1;
    int status = cli_context_create(&options, &b.ctx);
    exit_code = status < 0 ? cli_fail_status(status) : check_names(b.ctx, &options, b.roofline || b.inference || memory != NULL);
    if (exit_code == CLI_OK) exit_code = cli_count("batch", batch, 1, INT_MAX, &examples);
    if (exit_code == CLI_OK) exit_code = cli_count("steps", steps, 1, BENCH_MOST_STEPS, &step_count);
    if (exit_code == CLI_OK) exit_code = cli_bytes("memory", memory, &b.memory);
    if (exit_code == CLI_OK && memory != NULL && (b.roofline || b.steps > 0 || options.n_rest == 0))
        exit_code = cli_fail(CLI_USAGE, "--memory compares steps of the networks that are named, without --steps and --roofline");
    if (exit_code == CLI_OK && (trace != NULL || plot != NULL) && options.n_rest != 1)
        exit_code =
            cli_fail(CLI_USAGE, "--profile and --plot write one network's step: name one, as in `aval bench mlp --batch 128 --plot FILE`");
    if (exit_code == CLI_OK && trace != NULL) exit_code = check_writable(trace);
    if (exit_code == CLI_OK && plot != NULL) exit_code = check_writable(plot);
    if (exit_code == CLI_OK && save != NULL && (options.n_rest != 1 || net_find(options.rest[0]) == NULL))
        exit_code = cli_fail(CLI_USAGE, "--save writes one network: name one, as in `aval bench resnet50 --save resnet50.onnx`");
    if (exit_code != CLI_OK) goto done;
    b.batch = (size_t)examples;
    b.steps = (size_t)step_count;
    b.trace = trace;
    b.plot = plot;
    b.save = save;
    if (options.common.json) b.rows = json_array();
    status = cli_need_device(b.ctx);
    if (status == AVAL_OK) status = aval_context_insist(b.ctx, 1); /* what is measured is not judged: `aval check` does that */
    if (status == AVAL_OK && b.roofline) status = aval_context_profile(b.ctx);
    if (status == AVAL_OK) status = run_cases(&b, &options);
    if (status < 0) exit_code = cli_fail_status(status);
    else if (b.rows != NULL) exit_code = cli_print_json(json_incref(b.rows));
    if (b.failed) exit_code = CLI_DEVICE;
done:
    json_decref(b.rows);
    aval_context_release(b.ctx);
    cli_options_release(&options);
done_options:
    free(batch);
    free(trace);
    free(plot);
    free(steps);
    free(memory);
    free(save);
    return exit_code;
}
