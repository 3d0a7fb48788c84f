/* What a step waits for, and what is copied for it: counted by the layer. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 4096

TestSuite(waiting, .timeout = 120);

/* A state that each run adds the first input's elements to. */
static aval_value *build_sum(rig *r, aval_value **x)
{
    *x = rig_input(r, "x", COUNT);
    return aval_apply(r->graph, "aval::Accumulate", NULL, rig_state(r, "sum", COUNT, 0), *x);
}

static float *aligned_floats(float value)
{
    float *data = aligned_alloc(4096, COUNT * sizeof *data);
    cr_assert(data);
    for (size_t i = 0; i < COUNT; i++) data[i] = value;
    return data;
}

static unsigned long moved(const aval_layer *layer)
{
    return layer->count(AVAL_LAYER_READS) + layer->count(AVAL_LAYER_WRITES) + layer->count(AVAL_LAYER_COPIES);
}

/* build_sum in a new rig, fed and run once; the layer counts what comes after. */
static aval_value *start_sum(rig *r, aval_value **x, const float *data)
{
    rig_open(r);
    aval_value *sum = build_sum(r, x);
    rig_feed(r, *x, data, COUNT);
    rig_run(r, &sum, 1);
    rig_layer()->reset();
    return sum;
}

Test(waiting, steps_wait_for_nothing_and_read_nothing)
{
    rig r;
    aval_value *x;
    rig_open(&r);
    aval_value *sum = build_sum(&r, &x);
    float *data = aligned_floats(1);
    rig_feed(&r, x, data, COUNT);
    rig_run(&r, &sum, 1);
    RIG_OK(aval_session_wait(r.session));
    const aval_layer *layer = rig_layer();
    layer->reset();
    for (int i = 0; i < 10; i++) {
        rig_feed(&r, x, data, COUNT);
        rig_run(&r, &sum, 1);
    }
    cr_expect_eq(layer->calls("clFinish"), 0);
    cr_expect_eq(layer->calls("clWaitForEvents"), 0);
    cr_expect_eq(layer->count(AVAL_LAYER_READS), 0);
    cr_expect_eq(layer->count(AVAL_LAYER_WRITES), 10, "expected one copy a feed, found %lu", layer->count(AVAL_LAYER_WRITES));
    cr_expect_eq(layer->count(AVAL_LAYER_COPIES), 0);
    cr_expect_eq(rig_first(&r, sum, COUNT), 11);
    free(data);
    rig_close(&r);
}

Test(waiting, a_state_is_read_behind_a_step_while_later_ones_are_under_way)
{
    rig r;
    aval_value *x;
    aval_read *read;
    float *data = aligned_floats(1), *seen = aligned_floats(0);
    aval_value *sum = start_sum(&r, &x, data);
    const aval_layer *layer = rig_layer();
    RIG_OK(aval_store_get_later(r.store, "sum", seen, COUNT * sizeof *seen, &read));
    for (int i = 0; i < 5; i++) rig_run(&r, &sum, 1);
    cr_expect_eq(layer->calls("clWaitForEvents"), 0);
    cr_expect_eq(layer->count(AVAL_LAYER_READS), 1);
    RIG_OK(aval_read_wait(read));
    cr_expect_eq(seen[0], 1);
    cr_expect_eq(seen[COUNT - 1], 1);
    cr_expect_eq(rig_first(&r, sum, COUNT), 6);
    RIG_OK(aval_read_wait(NULL));
    cr_expect_eq(aval_store_get_later(r.store, "none", seen, 4, &read), AVAL_E_UNKNOWN);
    cr_expect_eq(aval_store_get_later(r.store, "sum", seen, 4, &read), AVAL_E_ARGUMENT);
    free(data);
    free(seen);
    rig_close(&r);
}

Test(waiting, an_input_that_is_fed_in_place_is_never_copied)
{
    rig r;
    aval_value *x;
    float *data[] = { aligned_floats(1), aligned_floats(10) };
    rig_open(&r);
    aval_value *sum = build_sum(&r, &x);
    RIG_OK(aval_session_feed_in_place(r.session, x, data[0], COUNT * sizeof(float), NULL));
    rig_run(&r, &sum, 1);
    RIG_OK(aval_session_wait(r.session));
    const aval_layer *layer = rig_layer();
    layer->reset();
    for (int i = 0; i < 6; i++) {
        RIG_OK(aval_session_feed_in_place(r.session, x, data[i % 2], COUNT * sizeof(float), NULL));
        rig_run(&r, &sum, 1);
    }
    RIG_OK(aval_session_wait(r.session));
    cr_expect_eq(moved(layer), 0, "%lu reads, writes and copies", moved(layer));
    cr_expect_eq(rig_first(&r, sum, COUNT), 34);
    float *back = aligned_floats(0);
    RIG_OK(aval_session_read(r.session, x, back, COUNT * sizeof *back));
    cr_expect_eq(back[COUNT - 1], 10);
    rig_close(&r);
    free(data[0]);
    free(data[1]);
    free(back);
}

Test(waiting, what_cannot_be_read_in_place_is_copied)
{
    rig r;
    aval_value *x;
    float *data = aligned_floats(2), *odd = malloc((COUNT + 1) * sizeof *odd);
    cr_assert(odd);
    rig_open(&r);
    aval_value *sum = build_sum(&r, &x);
    for (size_t i = 0; i <= COUNT; i++) odd[i] = 1;
    size_t skipped = (uintptr_t)odd % 8 == 0; /* no multiple of any device's alignment */
    rig_feed(&r, x, data, COUNT);
    rig_run(&r, &sum, 1);
    const aval_layer *layer = rig_layer();
    layer->reset();
    RIG_OK(aval_session_feed_in_place(r.session, x, odd + skipped, COUNT * sizeof *odd, NULL));
    memset(odd, 0, (COUNT + 1) * sizeof *odd); /* it is the caller's again */
    rig_run(&r, &sum, 1);
    cr_expect_eq(layer->count(AVAL_LAYER_WRITES), 1);
    cr_expect_eq(rig_first(&r, sum, COUNT), 3);
    RIG_OK(aval_session_set_memory(r.session, AVAL_MEMORY_GUARDED));
    RIG_OK(aval_session_feed_in_place(r.session, x, data, COUNT * sizeof *data, NULL));
    rig_run(&r, &sum, 1);
    cr_expect_eq(rig_first(&r, sum, COUNT), 5);
    cr_expect_eq(aval_session_feed_in_place(r.session, x, data, 4, NULL), AVAL_E_ARGUMENT);
    cr_expect_eq(aval_session_feed_in_place(r.session, x, NULL, COUNT * sizeof *data, NULL), AVAL_E_ARGUMENT);
    rig_close(&r);
    free(data);
    free(odd);
}

/* From the second feed on the caller's memory is copied once, to the device, before the call returns. */
Test(waiting, what_is_fed_again_goes_straight_to_the_device)
{
    rig r;
    aval_value *x;
    float *data = aligned_floats(1), *back = aligned_floats(0);
    aval_value *sum = start_sum(&r, &x, data);
    const aval_layer *layer = rig_layer();
    for (size_t i = 0; i < COUNT; i++) data[i] = 5;
    rig_feed(&r, x, data, COUNT);
    cr_expect_eq(layer->count(AVAL_LAYER_WRITES), 1, "before it is run");
    memset(data, 0, COUNT * sizeof *data); /* it is the caller's again */
    rig_run(&r, &sum, 1);
    rig_run(&r, &sum, 1);
    cr_expect_eq(layer->count(AVAL_LAYER_WRITES), 1);
    cr_expect_eq(rig_first(&r, sum, COUNT), 11);
    RIG_OK(aval_session_read(r.session, x, back, COUNT * sizeof *back));
    cr_expect_eq(back[0], 5);
    cr_expect_eq(back[COUNT - 1], 5);
    cr_expect_eq(aval_session_feed(r.session, x, data, 4, NULL), AVAL_E_ARGUMENT);
    rig_close(&r);
    free(data);
    free(back);
}

/* What was fed to one plan's buffer is there for another, whichever runs next; from then on both get it from the host. */
Test(waiting, what_two_plans_read_is_fed_to_both)
{
    rig r;
    aval_value *x;
    float *data = aligned_floats(1), *total = aligned_floats(0);
    rig_open(&r);
    aval_value *sum = build_sum(&r, &x), *negative = aval_apply(r.graph, "Neg", NULL, x);
    for (int i = 1; i <= 6; i++) {
        for (size_t k = 0; k < COUNT; k++) data[k] = (float)i;
        rig_feed(&r, x, data, COUNT);
        memset(data, 0, COUNT * sizeof *data);
        if (i % 2 == 0) rig_run(&r, &sum, 1);
        if (i > 2) {
            rig_run(&r, &negative, 1);
            cr_expect_eq(rig_first(&r, negative, COUNT), (float)-i);
        }
        if (i % 2 == 1) rig_run(&r, &sum, 1);
        RIG_OK(aval_store_get(r.store, "sum", total, COUNT * sizeof *total));
        cr_expect_eq(total[COUNT - 1], (float)(i * (i + 1) / 2), "after %d", i);
    }
    rig_close(&r);
    free(data);
    free(total);
}

/* A plan that is no more, since the graph was edited. */
Test(waiting, what_was_fed_straight_to_a_plan_is_there_for_the_next_one)
{
    rig r;
    aval_value *x;
    float *data = aligned_floats(1);
    rig_open(&r);
    aval_value *sum = build_sum(&r, &x);
    for (int i = 0; i < 3; i++) {
        rig_feed(&r, x, data, COUNT);
        rig_run(&r, &sum, 1);
    }
    for (size_t i = 0; i < COUNT; i++) data[i] = 7;
    rig_feed(&r, x, data, COUNT);
    aval_value *twice = aval_apply(r.graph, "Add", NULL, x, x);
    rig_run(&r, &twice, 1);
    cr_expect_eq(rig_first(&r, twice, COUNT), 14);
    RIG_OK(aval_session_set_memory(r.session, AVAL_MEMORY_GUARDED));
    rig_feed(&r, x, data, COUNT);
    rig_run(&r, &twice, 1);
    cr_expect_eq(rig_first(&r, twice, COUNT), 14);
    rig_close(&r);
    free(data);
}
