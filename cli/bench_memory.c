/* Benchmark of memory planning: arena bytes against the most bytes alive at once, for training graphs of three kinds of networks. */
#include "bench.h"
#include "nets.h"

#include <stdio.h>

static int plan_net(bench *b, const net_kind *kind)
{
    net n;
    aval_session *s = NULL;
    char *text = NULL;
    aval_counters counters = { .size = sizeof counters };
    int status = net_open(b->ctx, kind, kind->batches[0], false, &n);
    if (status == 0) status = aval_session_create(b->ctx, n.g, n.store, &s);
    if (status == 0) status = aval_session_plan_text(s, n.wanted, n.n_wanted, &text);
    if (status == 0) status = aval_session_counters(s, &counters);
    if (status == 0) {
        char shape[96];
        snprintf(shape, sizeof shape, "%s batch %lld, %.1f MB alive", kind->name, (long long)n.batch, 1e-6 * (double)counters.live_bytes);
        double ms = 1e3 * counters.plan_seconds;
        bench_row row = { .name = "memory", .shape = shape, .figure_name = "arena_over_live" };
        bench_times(&row, &ms, 1);
        row.figure = counters.live_bytes == 0 ? 0 : (double)counters.arena_bytes / (double)counters.live_bytes;
        status = bench_report(b, &row);
    }
    aval_free(text);
    aval_session_release(s);
    net_close(&n);
    return status;
}

int bench_memory(bench *b)
{
    static const char *const nets[] = { "resnet20", "unet", "transformer" };
    int status = 0;
    for (size_t i = 0; status == 0 && i < sizeof nets / sizeof *nets; i++) status = plan_net(b, net_find(nets[i]));
    return status;
}
