/* Training steps and inference of known networks on random data: how long they take, and with --roofline where the time goes. */
#include "bench.h"
#include "nets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS 1.0 /* that a case is repeated for */
#define LEAST_STEPS 7
#define PROFILED_STEPS 15

static int step(const net *n, aval_session *s)
{
    int status = aval_session_run(s, n->wanted, n->n_wanted);
    return status < 0 ? status : aval_session_wait(s);
}

/* The first steps plan, build and warm the caches. */
static int warm_up(const bench *b, const net *n, aval_session *s)
{
    int status = net_feed(n, s);
    for (int i = 0; status == 0 && b->steps == 0 && i < 3; i++) status = step(n, s);
    return status;
}

static int time_steps(bench *b, const net_kind *kind, const net *n, aval_session *s)
{
    double ms[BENCH_MOST_STEPS], from = cli_seconds();
    size_t steps = 0;
    int status = 0;
    size_t least = b->steps > 0 ? b->steps : LEAST_STEPS, most = b->steps > 0 ? b->steps : BENCH_MOST_STEPS;
    for (; status == 0 && steps < most && (steps < least || cli_seconds() - from < SECONDS); steps++) {
        double start = cli_seconds();
        status = step(n, s);
        ms[steps] = 1e3 * (cli_seconds() - start);
    }
    if (status < 0) return status;
    char shape[64];
    snprintf(shape, sizeof shape, "%s, batch %lld", n->inference ? "inference" : "step", (long long)n->batch);
    bench_row row = { .name = kind->name, .shape = shape, .figure_name = "examples_per_second" };
    bench_times(&row, ms, steps);
    row.figure = 1e3 * (double)n->batch / row.median_ms;
    return bench_report(b, &row);
}

/* ---- Where the time goes ------------------------------------------------------------------------------------------------------ */

typedef struct launch_row {
    char node[96], command[48];
    double us[PROFILED_STEPS], bytes, flops; /* sorted times of the steps */
    double start_us, end_us; /* in the last step */
    size_t device;
    double median_us, least_us; /* of this device: what its memory and arithmetic would take */
} launch_row;

typedef struct profile {
    launch_row *rows;
    size_t n, capacity;
    size_t at, step; /* row of the step that is being read */
    bool failed;
} profile;

static void collect(void *user, const aval_profile_entry *entry)
{
    profile *p = user;
    if (p->at == p->n) {
        if (p->n == p->capacity) {
            size_t capacity = p->capacity == 0 ? 64 : 2 * p->capacity;
            launch_row *rows = realloc(p->rows, capacity * sizeof *rows);
            p->failed = p->failed || rows == NULL;
            if (rows == NULL) return;
            p->rows = rows;
            p->capacity = capacity;
        }
        p->rows[p->n++] = (launch_row){ .bytes = entry->bytes, .flops = entry->flops, .device = entry->device };
        snprintf(p->rows[p->at].node, sizeof p->rows->node, "%s", entry->node);
        snprintf(p->rows[p->at].command, sizeof p->rows->command, "%s", entry->command);
    }
    launch_row *row = &p->rows[p->at++];
    row->us[p->step] = entry->end_us - entry->start_us;
    row->start_us = entry->start_us;
    row->end_us = entry->end_us;
}

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int by_lost_time(const void *a, const void *b)
{
    const launch_row *x = a, *y = b;
    double lost_x = x->median_us - x->least_us, lost_y = y->median_us - y->least_us;
    return (lost_x < lost_y) - (lost_x > lost_y);
}

static void judge(profile *p, const bench_peaks *peaks)
{
    for (size_t i = 0; i < p->n; i++) {
        launch_row *row = &p->rows[i];
        qsort(row->us, PROFILED_STEPS, sizeof *row->us, by_time);
        row->median_us = row->us[PROFILED_STEPS / 2];
        double moving = 1e-3 * row->bytes / peaks->gbytes_per_s, computing = 1e-3 * row->flops / peaks->gflops;
        row->least_us = moving > computing ? moving : computing;
    }
}

static int print_rows(bench *b, const net_kind *kind, const net *n, const profile *p, const bench_peaks *peaks)
{
    double total = 0, least = 0;
    for (size_t i = 0; i < p->n; i++) {
        total += p->rows[i].median_us;
        least += p->rows[i].least_us;
    }
    for (size_t i = 0; b->rows != NULL && i < p->n; i++) {
        const launch_row *row = &p->rows[i];
        json_t *object = json_pack("{s:s, s:I, s:s, s:s, s:f, s:f, s:f, s:f}", "name", kind->name, "batch", (json_int_t)n->batch, "node",
                                   row->node, "command", row->command, "median_us", row->median_us, "bytes", row->bytes, "flops",
                                   row->flops, "least_us", row->least_us);
        if (object == NULL || json_array_append_new(b->rows, object) < 0) return AVAL_E_MEMORY;
    }
    if (b->rows != NULL) return 0;
    printf("%s, batch %lld: %zu commands of %.0f us in all; %.0f us (%.0f %%) would do at %.1f GB/s, which large tensors get here, and "
           "%.0f GFLOP/s, which large products get (more than 100 %%: from caches)\n",
           kind->name, (long long)n->batch, p->n, total, least, 100 * least / total, peaks->gbytes_per_s, peaks->gflops);
    printf("%9s %8s %8s %9s %9s  %s\n", "us", "lost us", "of peak", "GB/s", "GFLOP/s", "command and node");
    for (size_t i = 0; i < p->n; i++) {
        const launch_row *row = &p->rows[i];
        printf("%9.1f %8.1f %7.0f%% %9.2f %9.1f  %s: %s\n", row->median_us, row->median_us - row->least_us,
               100 * row->least_us / row->median_us, 1e-3 * row->bytes / row->median_us, 1e-3 * row->flops / row->median_us, row->command,
               row->node);
    }
    return 0;
}

/* The Trace Event Format, which Perfetto and chrome://tracing open: a track a device, a slice a command; the last step. */
static int write_trace(const char *file, aval_context *ctx, const net_kind *kind, const profile *p)
{
    json_t *events = json_array();
    for (size_t i = 0; i < p->n; i++) {
        const launch_row *row = &p->rows[i];
        json_array_append_new(events, json_pack("{s:s, s:s, s:s, s:f, s:f, s:i, s:i, s:{s:f, s:f}}", "name", row->node, "cat", row->command,
                                                "ph", "X", "ts", row->start_us, "dur", row->end_us - row->start_us, "pid", 1, "tid",
                                                (int)row->device, "args", "bytes", row->bytes, "flops", row->flops));
    }
    for (int64_t d = 0; d < aval_selected_count(ctx); d++) {
        const aval_device_info *info = aval_device_info_at(ctx, (size_t)aval_selected_device(ctx, (size_t)d));
        json_array_append_new(events, json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "name", "thread_name", "ph", "M", "pid", 1, "tid", (int)d,
                                                "args", "name", info ? info->name : "device"));
    }
    json_array_append_new(events,
                          json_pack("{s:s, s:s, s:i, s:{s:s}}", "name", "process_name", "ph", "M", "pid", 1, "args", "name", kind->name));
    json_t *trace = json_pack("{s:o, s:s}", "traceEvents", events, "displayTimeUnit", "ns");
    int failed = trace == NULL || json_dump_file(trace, file, JSON_COMPACT) < 0;
    json_decref(trace);
    return failed ? cli_fail(CLI_DEVICE, "%s cannot be written", file) : CLI_OK;
}

static int profile_steps(bench *b, const net_kind *kind, const net *n, aval_session *s)
{
    profile p = { 0 };
    bench_peaks peaks;
    int status = bench_measure_peaks(b, &peaks);
    for (p.step = 0; status == 0 && p.step < PROFILED_STEPS; p.step++) {
        p.at = 0;
        status = step(n, s);
        if (status == 0) status = aval_session_profile(s, collect, &p);
        if (p.failed) status = AVAL_E_MEMORY;
    }
    if (status == 0) judge(&p, &peaks);
    if (status == 0 && b->trace != NULL && write_trace(b->trace, b->ctx, kind, &p) != CLI_OK) b->failed = true;
    if (status == 0) qsort(p.rows, p.n, sizeof *p.rows, by_lost_time);
    if (status == 0) status = print_rows(b, kind, n, &p, &peaks);
    free(p.rows);
    return status;
}

int bench_net(bench *b, const net_kind *kind)
{
    const int64_t asked[] = { (int64_t)b->batch, 0 }, *batches = b->batch > 0 ? asked : kind->batches;
    int status = 0;
    for (; status == 0 && *batches > 0; batches++) {
        net n;
        aval_session *s = NULL;
        status = net_open(b->ctx, kind, *batches, b->inference || kind->inference, &n);
        if (status == 0 && b->save != NULL)
            status = aval_model_save(n.g, n.store, n.wanted, (const char *const[]){ "y" }, n.n_wanted, b->save);
        if (status == 0) status = aval_session_create(b->ctx, n.g, n.store, &s);
        if (status == 0) status = warm_up(b, &n, s);
        if (status == 0) status = b->roofline ? profile_steps(b, kind, &n, s) : time_steps(b, kind, &n, s);
        aval_session_release(s);
        net_close(&n);
    }
    return status;
}
