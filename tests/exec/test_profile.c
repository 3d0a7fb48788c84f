/* Times of commands: each launch of the last run, what it moved and computed. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <string.h>

typedef struct seen {
    size_t n;
    double last_end, bytes, flops;
    bool in_order;
} seen;

static void look(void *user, const aval_profile_entry *entry)
{
    seen *s = user;
    s->in_order = s->in_order && entry->start_us >= s->last_end - 1 && entry->end_us >= entry->start_us;
    s->last_end = entry->end_us;
    s->bytes += entry->bytes;
    s->flops += entry->flops;
    s->n++;
    cr_expect_gt(strlen(entry->node), 0);
    cr_expect_gt(strlen(entry->command), 0);
}

static aval_value *product_and_relu(rig *r, int64_t m, int64_t k, int64_t n, aval_value **x, aval_value **w)
{
    *x = aval_graph_input(r->graph, "x", AVAL_FLOAT, AVAL_SHAPE(m, k));
    *w = aval_graph_input(r->graph, "w", AVAL_FLOAT, AVAL_SHAPE(k, n));
    return aval_apply(r->graph, "Relu", NULL, aval_apply(r->graph, "MatMul", NULL, *x, *w));
}

Test(profile, tells_times_bytes_and_arithmetic_of_the_last_run)
{
    rig r;
    aval_value *x, *w;
    float data[64 * 64] = { 0 };
    rig_open(&r);
    RIG_OK(aval_context_profile(r.context));
    aval_value *y = product_and_relu(&r, 64, 32, 16, &x, &w);
    rig_feed(&r, x, data, 64 * 32);
    rig_feed(&r, w, data, 32 * 16);
    for (int run = 0; run < 3; run++) rig_run(&r, AVAL_VALUES(y));
    seen s = { .in_order = true };
    RIG_OK(aval_session_profile(r.session, look, &s));
    cr_expect_geq(s.n, 2, "a product and an activation");
    cr_expect(s.in_order, "one queue, in order");
    cr_expect_eq(s.flops, 2.0 * 64 * 32 * 16);
    cr_expect_geq(s.bytes, 4.0 * (64 * 32 + 32 * 16 + 3 * 64 * 16), "x, w, their product thrice, at least");
    rig_close(&r);
}

Test(profile, is_asked_for_before_the_first_run_and_after_one)
{
    rig r;
    aval_value *x, *w;
    seen s = { 0 };
    rig_open(&r);
    aval_value *y = product_and_relu(&r, 4, 4, 4, &x, &w);
    (void)y;
    cr_expect_eq(aval_session_profile(r.session, look, &s), AVAL_E_ARGUMENT);
    cr_expect_neq(strstr(aval_error(), "aval_context_profile"), NULL, "%s", aval_error());
    rig_close(&r);
    rig_open(&r);
    RIG_OK(aval_context_profile(r.context));
    cr_expect_eq(aval_session_profile(r.session, look, &s), AVAL_E_ARGUMENT);
    cr_expect_neq(strstr(aval_error(), "aval_session_run"), NULL, "%s", aval_error());
    rig_close(&r);
}
