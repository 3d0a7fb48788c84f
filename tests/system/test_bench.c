/* aval bench on networks: what scripts read of it. */
#include "program.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(bench, .init = program_begin, .fini = program_end, .timeout = 300);

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *parsed = json_loads(text, 0, &error);
    cr_assert_neq(parsed, NULL, "no JSON: %s", error.text);
    return parsed;
}

/* What `aval bench` writes into the file that an option names. */
static void read_written(const char *option, char *text, size_t room)
{
    char file[] = "/tmp/aval-bench-XXXXXX", line[128];
    int fd = mkstemp(file);
    cr_assert_geq(fd, 0);
    snprintf(line, sizeof line, "bench mlp --batch 4 --%s %s", option, file);
    program_expect_ok(line);
    ssize_t bytes = read(fd, text, room - 1);
    close(fd);
    unlink(file);
    cr_assert_gt(bytes, 0);
    text[bytes] = 0;
}

Test(bench, roofline_tells_time_bytes_and_arithmetic_of_each_command)
{
    json_t *rows = parse(program_expect_ok("bench mlp --batch 4 --roofline --json")->out);
    double flops = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        cr_expect_str_eq(json_string_value(json_object_get(row, "name")), "mlp");
        cr_expect_gt(strlen(json_string_value(json_object_get(row, "command"))), 0);
        cr_expect_geq(json_real_value(json_object_get(row, "median_us")), 0);
        flops += json_real_value(json_object_get(row, "flops"));
    }
    /* forward, and twice as much for both gradients; that of the first layer's input is not wanted */
    cr_expect_eq(flops, 2.0 * 4 * (3 * (512 * 512 + 512 * 10) + 2 * 784 * 512), "%.0f", flops);
    json_decref(rows);
}

Test(bench, times_any_operator_by_name)
{
    json_t *rows = parse(program_expect_ok("bench Softmax aval::Sgd --json")->out);
    size_t both = 0, large = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        const char *shape = json_string_value(json_object_get(row, "shape"));
        both += strstr(shape, "both ways") != NULL;
        large += strstr(shape, "257") != NULL;
        cr_expect_gt(json_real_value(json_object_get(row, "median_ms")), 0, "%s", shape);
        cr_expect_gt(json_real_value(json_object_get(row, "gbytes_per_s")), 0, "%s", shape);
    }
    cr_expect_geq(both, 1, "Softmax has a gradient");
    cr_expect_geq(large, 2, "large samples are what is timed");
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(rows, json_array_size(rows) - 1), "name")), "aval::Sgd");
    json_decref(rows);
}

Test(bench, profile_writes_a_trace_with_a_slice_for_each_command)
{
    char text[200000];
    read_written("profile", text, sizeof text);
    json_t *trace = parse(text), *events = json_object_get(trace, "traceEvents");
    size_t slices = 0;
    double end = 0;
    for (size_t i = 0; i < json_array_size(events); i++) {
        json_t *event = json_array_get(events, i);
        if (strcmp(json_string_value(json_object_get(event, "ph")), "X") != 0) continue;
        double start = json_real_value(json_object_get(event, "ts"));
        cr_expect_geq(start, end - 1e-3, "commands of one queue follow each other");
        end = start + json_real_value(json_object_get(event, "dur"));
        slices++;
    }
    cr_expect_gt(slices, 20, "a training step of three layers");
    json_decref(trace);
}

Test(bench, plot_draws_the_commands_under_the_roof)
{
    char text[400000];
    read_written("plot", text, sizeof text);
    cr_expect_neq(strstr(text, "<svg"), NULL);
    cr_expect_neq(strstr(text, "</svg>"), NULL, "drawn to its end");
    cr_expect_neq(strstr(text, "gemm_"), NULL, "what loses most is called by name");
}

Test(bench, inference_computes_forward_alone_and_saves_what_it_measures)
{
    char file[] = "/tmp/aval-bench-XXXXXX.onnx", line[128];
    int fd = mkstemps(file, strlen(".onnx"));
    cr_assert_geq(fd, 0);
    close(fd);
    snprintf(line, sizeof line, "bench mlp --batch 4 --steps 1 --json --save %s", file);
    json_t *rows = parse(program_expect_ok(line)->out);
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(rows, 0), "shape")), "inference, batch 4");
    json_decref(rows);
    struct stat saved;
    cr_assert_eq(stat(file, &saved), 0);
    cr_expect_gt(saved.st_size, 4 * (784 * 512 + 512 * 512 + 512 * 10), "weights are in the file");

    /* the network, and the model that was saved */
    for (int model = 0; model < 2; model++) {
        snprintf(line, sizeof line, "bench %s --batch 4 --inference --roofline --json", model ? file : "mlp");
        rows = parse(program_expect_ok(line)->out);
        double flops = 0;
        for (size_t i = 0; i < json_array_size(rows); i++) flops += json_real_value(json_object_get(json_array_get(rows, i), "flops"));
        cr_expect_eq(flops, 2.0 * 4 * (784 * 512 + 512 * 512 + 512 * 10), "%.0f", flops);
        json_decref(rows);
    }
    snprintf(line, sizeof line, "bench %s", file);
    cr_expect_not_null(strstr(program_expect_ok(line)->out, "inference, batch 1"));
    unlink(file);
}

Test(bench, memory_tells_the_arena_and_the_cost_predicted_and_measured)
{
    json_t *rows = parse(program_expect_ok("bench resnet20 --batch 2 --memory 2M --json")->out), *last = json_array_get(rows, 2);
    cr_assert_eq(json_array_size(rows), 3);
    cr_expect_leq(json_integer_value(json_object_get(last, "arena_bytes")), 2 << 20);
    cr_expect_gt(json_integer_value(json_object_get(last, "unbounded_arena_bytes")), 2 << 20);
    cr_expect_gt(json_integer_value(json_object_get(last, "recomputed")), 0);
    cr_expect_gt(json_real_value(json_object_get(last, "predicted_share")), 0);
    cr_expect_gt(json_real_value(json_object_get(last, "measured_share")), -1);
    json_decref(rows);
    cr_expect_not_null(strstr(program_expect_ok("bench resnet20 --batch 2 --memory 2M")->out, "more time predicted"));
}

Test(bench, refuses_what_it_cannot_measure)
{
    program_expect_refused("bench resnet20 --batch 2 --memory 1K", 2, "at least");
    program_expect_refused("bench mlp --memory 0", 2, "memory");
    program_expect_refused("bench mlp --memory 20m", 2, "20m");
    program_expect_refused("bench --memory 20M", 2, "that are named");
    program_expect_refused("bench mlp lenet --save /tmp/x.onnx", 2, "name one");
    program_expect_refused("bench resnet", 2, "resnet20");
    program_expect_refused("bench /nowhere/net.onnx", 2, "/nowhere/net.onnx");
    program_expect_refused("bench /nowhere/net.onnx --save /tmp/x.onnx", 2, "writes one network");
    program_expect_refused("bench gemm --roofline", 2, "no network 'gemm'");
    program_expect_refused("bench mlp lenet --profile /tmp/trace.json", 2, "name one");
    program_expect_refused("bench mlp lenet --plot /tmp/roof.svg", 2, "name one");
    program_expect_refused("bench mlp --batch 2 --profile /nowhere/trace.json", 3, "/nowhere/trace.json cannot be written");
}
