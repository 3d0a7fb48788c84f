/* The launches of kernels/sort.clh: 32-bit keys in order, with the places that they came from. */
#ifndef AVAL_PLUGINS_SORT_H
#define AVAL_PLUGINS_SORT_H

#include "support.h"

#define SORT_FEW 256 /* up to so many keys one launch ranks them all against each other */

typedef struct sorting {
    const aval_tensor *keys, *order; /* uint32 [n] */
    int64_t n;
    uint32_t s_type, i_type; /* of the op's other launches, so that all are of one program */
} sorting;

/* How the digits of one pass are counted: `parts` work-items, each with a stretch of the keys. */
typedef struct sort_digits {
    int64_t parts, stretch;
    uint32_t bits;
} sort_digits;

/* CPUs count bytes, with counts that stay in the cache; GPUs half bytes, so that thousands of work-items have counts of their own. */
static inline sort_digits sort_plan(const aval_device_info *device, int64_t n)
{
    int cpu = device->group == 1;
    int64_t most = cpu ? 2 * (int64_t)device->compute_units : 4096, least = cpu ? 1024 : 64;
    int64_t parts = (n + least - 1) / least;
    sort_digits d = { .parts = parts < most ? parts : most, .bits = cpu ? 8 : 4 };
    d.stretch = (n + d.parts - 1) / d.parts;
    return d;
}

static inline int sort_pass(const aval_host *host, aval_call *call, const sorting *s, const sort_digits *d, uint32_t shift,
                            const aval_tensor *counts, const aval_tensor *keys, const aval_tensor *from, const aval_tensor *keys_to,
                            const aval_tensor *to)
{
    uint32_t group = host->device(call)->group;
    int64_t digits = (int64_t)1 << d->bits;
    TRY(host->launch(call, AVAL_LAUNCH(.kernel = "sort_count", EACH(d->parts), .s_type = s->s_type, .i_type = s->i_type,
                                       AVAL_DEFINES({ "WG", group }),
                                       AVAL_ARGS(AVAL_READ(keys), AVAL_WRITE(counts), AVAL_I64(s->n), AVAL_I32(d->parts),
                                                 AVAL_I64(d->stretch), AVAL_I32(shift), AVAL_I32(digits)))));
    TRY(host->launch(call, AVAL_LAUNCH(.kernel = "sort_scan", BY_GROUPS(group, 1), .s_type = s->s_type, .i_type = s->i_type,
                                       AVAL_ARGS(AVAL_UPDATE(counts), AVAL_I64(d->parts * digits)))));
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "sort_place", EACH(d->parts), .s_type = s->s_type, .i_type = s->i_type, AVAL_DEFINES({ "WG", group }),
                          AVAL_ARGS(AVAL_READ(keys), AVAL_READ(from), AVAL_UPDATE(counts), AVAL_WRITE(keys_to), AVAL_WRITE(to),
                                    AVAL_I64(s->n), AVAL_I32(d->parts), AVAL_I64(d->stretch), AVAL_I32(shift), AVAL_I32(digits))));
}

/* Sorts s->n keys, which are at most `largest` and are lost by it.  Equal ones keep their order. */
static inline int sort_keys(const aval_host *host, aval_call *call, const aval_tensor *keys, int64_t largest, sorting *s)
{
    const aval_tensor *keys_at[2] = { host->scratch(call, AVAL_UINT32, s->n), keys };
    const aval_tensor *order_at[2] = { host->scratch(call, AVAL_UINT32, s->n), NULL };
    s->keys = keys_at[0];
    s->order = order_at[0];
    if (s->n <= SORT_FEW)
        return host->launch(call, AVAL_LAUNCH(.kernel = "sort_few", EACH(s->n), .s_type = s->s_type, .i_type = s->i_type,
                                              AVAL_DEFINES({ "WG", host->device(call)->group }),
                                              AVAL_ARGS(AVAL_READ(keys), AVAL_WRITE(s->keys), AVAL_WRITE(s->order), AVAL_I64(s->n))));
    sort_digits d = sort_plan(host->device(call), s->n);
    const aval_tensor *counts = host->scratch(call, AVAL_UINT32, d.parts << d.bits);
    int next = 0; /* to which pair of tensors the pass goes */
    order_at[1] = host->scratch(call, AVAL_UINT32, s->n);
    for (uint32_t shift = 0; shift == 0 || largest >> shift > 0; shift += d.bits, next = !next) {
        TRY(sort_pass(host, call, s, &d, shift, counts, keys, shift == 0 ? NULL : s->order, keys_at[next], order_at[next]));
        keys = s->keys = keys_at[next];
        s->order = order_at[next];
    }
    return 0;
}

#endif
