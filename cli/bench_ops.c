/* aval bench OP: an operator's large samples (the first one where it has none), forward alone and with all gradients. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

#define SECONDS 0.3 /* for each way of each sample */

static int report(bench *b, const char *op, const aval_sample *sample, const char *type, const char *what, const aval_check_time *t)
{
    char shape[512];
    snprintf(shape, sizeof shape, "%s%s%s, %s, %s", sample->inputs, sample->attrs ? " " : "", sample->attrs ? sample->attrs : "", type,
             what);
    bench_row row = { .name = op, .shape = shape, .median_ms = t->median_ms, .min_ms = t->min_ms, .max_ms = t->max_ms };
    if (t->median_ms > 0) row.gbytes_per_s = 1e-6 * (double)t->bytes / t->median_ms;
    return bench_report(b, &row);
}

/* In float; in double where the operator takes no float. */
static int time_sample(bench *b, const char *op, const aval_sample *sample)
{
    static const struct {
        int type;
        const char *name;
    } types[] = { { AVAL_FLOAT, "float" }, { AVAL_DOUBLE, "double" } };
    aval_check_case what = { .size = sizeof what, .op = op, .sample = sample };
    aval_check_times times;
    int status = AVAL_E_TYPE;
    for (size_t i = 0; status == AVAL_E_TYPE && i < sizeof types / sizeof *types; i++) {
        what.type = types[i].type;
        status = aval_check_times_of(b->ctx, &what, SECONDS, &times);
        if (status < 0) continue;
        status = report(b, op, sample, types[i].name, "forward", &times.forward);
        if (status == 0 && times.both.median_ms > 0) status = report(b, op, sample, types[i].name, "both ways", &times.both);
    }
    return status;
}

int bench_op(bench *b, const aval_op *op, const char *name)
{
    size_t timed = 0;
    int status = 0;
    for (const aval_sample *s = op->samples; status == 0 && s->inputs != NULL; s++) {
        if (s->size_class != AVAL_LARGE) continue;
        status = time_sample(b, name, s);
        timed++;
    }
    return status < 0 || timed > 0 ? status : time_sample(b, name, op->samples);
}
