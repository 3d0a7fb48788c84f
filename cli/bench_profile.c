/* The commands of a network's step: collected, judged, printed, and written as a trace. */
#include "bench_profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bench_profile {
    bench_launch_row *rows;
    size_t n, capacity;
    size_t at, step; /* row of the step that is being read */
    bool failed;
};

static void collect(void *user, const aval_profile_entry *entry)
{
    bench_profile *p = user;
    if (p->at == p->n) {
        if (p->n == p->capacity) {
            size_t capacity = p->capacity == 0 ? 64 : 2 * p->capacity;
            bench_launch_row *rows = realloc(p->rows, capacity * sizeof *rows);
            p->failed = p->failed || rows == NULL;
            if (rows == NULL) return;
            p->rows = rows;
            p->capacity = capacity;
        }
        p->rows[p->n++] = (bench_launch_row){ .bytes = entry->bytes, .flops = entry->flops, .device = entry->device };
        snprintf(p->rows[p->at].node, sizeof p->rows->node, "%s", entry->node);
        snprintf(p->rows[p->at].command, sizeof p->rows->command, "%s", entry->command);
    }
    bench_launch_row *row = &p->rows[p->at++];
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
    const bench_launch_row *x = a, *y = b;
    double lost_x = x->median_us - x->least_us, lost_y = y->median_us - y->least_us;
    return (lost_x < lost_y) - (lost_x > lost_y);
}

static void judge(bench_profile *p, const bench_peaks *peaks)
{
    for (size_t i = 0; i < p->n; i++) {
        bench_launch_row *row = &p->rows[i];
        qsort(row->us, BENCH_PROFILED_STEPS, sizeof *row->us, by_time);
        row->median_us = row->us[BENCH_PROFILED_STEPS / 2];
        double moving = 1e-3 * row->bytes / peaks->gbytes_per_s, computing = 1e-3 * row->flops / peaks->gflops;
        row->least_us = moving > computing ? moving : computing;
    }
}

static int print_rows(bench *b, const net *n, const bench_profile *p, const bench_peaks *peaks)
{
    double total = 0, least = 0;
    for (size_t i = 0; i < p->n; i++) {
        total += p->rows[i].median_us;
        least += p->rows[i].least_us;
    }
    for (size_t i = 0; b->rows != NULL && i < p->n; i++) {
        const bench_launch_row *row = &p->rows[i];
        json_t *object = json_pack("{s:s, s:I, s:s, s:s, s:f, s:f, s:f, s:f}", "name", n->name, "batch", (json_int_t)n->batch, "node",
                                   row->node, "command", row->command, "median_us", row->median_us, "bytes", row->bytes, "flops",
                                   row->flops, "least_us", row->least_us);
        if (object == NULL || json_array_append_new(b->rows, object) < 0) return AVAL_E_MEMORY;
    }
    if (b->rows != NULL) return 0;
    printf("%s, batch %lld: %zu commands of %.0f us in all; %.0f us (%.0f %%) would do at %.1f GB/s, which large tensors get here, and "
           "%.0f GFLOP/s, which large products get (more than 100 %%: from caches)\n",
           n->name, (long long)n->batch, p->n, total, least, 100 * least / total, peaks->gbytes_per_s, peaks->gflops);
    printf("%9s %8s %8s %9s %9s  %s\n", "us", "lost us", "of peak", "GB/s", "GFLOP/s", "command and node");
    for (size_t i = 0; i < p->n; i++) {
        const bench_launch_row *row = &p->rows[i];
        printf("%9.1f %8.1f %7.0f%% %9.2f %9.1f  %s: %s\n", row->median_us, row->median_us - row->least_us,
               100 * row->least_us / row->median_us, 1e-3 * row->bytes / row->median_us, 1e-3 * row->flops / row->median_us, row->command,
               row->node);
    }
    return 0;
}

/* The Trace Event Format, which Perfetto and chrome://tracing open: a track a device, a slice a command; the last step. */
static int write_trace(const char *file, aval_context *ctx, const char *name, const bench_profile *p)
{
    json_t *events = json_array();
    for (size_t i = 0; i < p->n; i++) {
        const bench_launch_row *row = &p->rows[i];
        json_array_append_new(events, json_pack("{s:s, s:s, s:s, s:f, s:f, s:i, s:i, s:{s:f, s:f}}", "name", row->node, "cat", row->command,
                                                "ph", "X", "ts", row->start_us, "dur", row->end_us - row->start_us, "pid", 1, "tid",
                                                (int)row->device, "args", "bytes", row->bytes, "flops", row->flops));
    }
    for (int64_t d = 0; d < aval_selected_count(ctx); d++) {
        const aval_device_info *info = aval_device_info_at(ctx, (size_t)aval_selected_device(ctx, (size_t)d));
        json_array_append_new(events, json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "name", "thread_name", "ph", "M", "pid", 1, "tid", (int)d,
                                                "args", "name", info ? info->name : "device"));
    }
    json_array_append_new(events, json_pack("{s:s, s:s, s:i, s:{s:s}}", "name", "process_name", "ph", "M", "pid", 1, "args", "name", name));
    json_t *trace = json_pack("{s:o, s:s}", "traceEvents", events, "displayTimeUnit", "ns");
    int failed = trace == NULL || json_dump_file(trace, file, JSON_COMPACT) < 0;
    json_decref(trace);
    return failed ? cli_fail(CLI_DEVICE, "%s cannot be written", file) : CLI_OK;
}

int bench_profile_create(bench_profile **out)
{
    *out = calloc(1, sizeof **out);
    return *out == NULL ? AVAL_E_MEMORY : 0;
}

void bench_profile_release(bench_profile *p)
{
    if (p != NULL) free(p->rows);
    free(p);
}

int bench_profile_read(bench_profile *p, aval_session *s)
{
    p->at = 0;
    int status = aval_session_profile(s, collect, p);
    p->step++;
    return p->failed ? AVAL_E_MEMORY : status;
}

int bench_profile_show(bench_profile *p, bench *b, const net *n)
{
    bench_peaks peaks;
    char title[96];
    int status = bench_measure_peaks(b, &peaks);
    if (status < 0) return status;
    judge(p, &peaks);
    if (b->trace != NULL && write_trace(b->trace, b->ctx, n->name, p) != CLI_OK) b->failed = true;
    qsort(p->rows, p->n, sizeof *p->rows, by_lost_time);
    snprintf(title, sizeof title, "%s, batch %lld", n->name, (long long)n->batch);
    if (b->plot != NULL && bench_plot(b->plot, title, p->rows, p->n, &peaks) != CLI_OK) b->failed = true;
    return print_rows(b, n, p, &peaks);
}
