/* One graph on several devices: PoCL's two halves, each with a context and a queue of its own, which share nothing. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 16384
#define LENGTH 64 /* nodes of a branch */

/* Selects both halves, one before the other. */
static void open_in_order(rig *r, const char *first, const char *second)
{
    setenv("AVAL_LAYER_SPLIT", "1", 1);
    rig_environment(NULL);
    RIG_OK(aval_context_create(&r->context));
    if (aval_device_count(r->context) < 2) cr_skip("PoCL has one core and cannot be split");
    RIG_OK(aval_context_select_device(r->context, first));
    RIG_OK(aval_context_select_device(r->context, second));
    r->graph = aval_graph_create(r->context);
    RIG_OK(aval_store_create(r->context, &r->store));
    RIG_OK(aval_session_create(r->context, r->graph, r->store, &r->session));
}

static void open_halves(rig *r)
{
    open_in_order(r, "0", "1");
}

/* Sums along an axis and broadcasts back, again and again: launches that are not fused into one. */
static aval_value *branch(rig *r, aval_value *x, int device)
{
    aval_value *axes = aval_graph_constant(r->graph, AVAL_INT64, AVAL_SHAPE(1), (const int64_t[]){ 0 });
    for (int i = 0; i < LENGTH; i++) {
        aval_value *mean = aval_apply(r->graph, "ReduceMean", NULL, x, axes);
        aval_node_place(mean->producer, device);
        x = aval_apply(r->graph, "Sub", NULL, x, mean);
        aval_node_place(x->producer, device);
        x = aval_apply(r->graph, "Sin", NULL, x);
        aval_node_place(x->producer, device);
    }
    return x;
}

/* y = tanh(x); branch(y) on each device; their sum on the first.  Built one branch after the other, as a user would. */
static aval_value *two_branches(rig *r, aval_value *in, int second_device)
{
    aval_value *y = aval_apply(r->graph, "Tanh", NULL, in);
    aval_node_place(y->producer, 0);
    aval_value *a = branch(r, y, 0), *b = branch(r, y, second_device);
    aval_value *sum = aval_apply(r->graph, "Add", NULL, a, b);
    aval_node_place(sum->producer, 0);
    return sum;
}

Test(several_devices, branches_run_at_the_same_time_and_give_what_one_device_gives, .timeout = 120)
{
    rig r;
    static float x[COUNT], together[COUNT], alone[COUNT];
    for (int i = 0; i < COUNT; i++) x[i] = (float)i / COUNT - 0.3f;
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    open_halves(&r);
    rig_layer()->profile();
    aval_value *in = rig_input(&r, "x", COUNT), *sum = two_branches(&r, in, 1), *reference = two_branches(&r, in, 0);
    /* The first step builds the programs.  That they can run at the same time is claimed, not that a machine with other work gives both a core each time. */
    unsigned long shared = 0;
    for (int step = 0; step < 2000 && (step < 2 || shared == 0); step++) {
        rig_feed(&r, in, x, COUNT);
        rig_layer()->together();
        rig_run(&r, AVAL_VALUES(sum));
        RIG_OK(aval_session_read(r.session, sum, together, sizeof together));
        shared = rig_layer()->together();
    }
    cr_expect_gt(shared, 0, "the devices worked one after the other");
    rig_feed(&r, in, x, COUNT);
    rig_run(&r, AVAL_VALUES(reference));
    RIG_OK(aval_session_read(r.session, reference, alone, sizeof alone));
    cr_expect_arr_eq(together, alone, sizeof alone);
    rig_close(&r);
}

/* The first half has no doubles (and the layer refuses programs in them): what is in doubles runs on the other, and the plan says so. */
Test(several_devices, an_op_that_the_first_cannot_run_runs_on_the_next_and_the_plan_says_why, .timeout = 120)
{
    rig r;
    char *text;
    double x[4] = { 0.25, 0.5, 1, 2 }, squares[4];
    float narrow[4];
    setenv("AVAL_LAYER_HIDE", "fp64", 1);
    setenv("AVAL_LAYER_HIDE_FROM", "0", 1);
    open_halves(&r);
    aval_value *in = aval_graph_input(r.graph, "x", AVAL_DOUBLE, AVAL_SHAPE(4));
    aval_value *square = aval_apply(r.graph, "Mul", NULL, in, in);
    aval_value *rounded = aval_apply(r.graph, "Cast", "to=1", square), *cube = aval_apply(r.graph, "Mul", NULL, rounded, rounded);
    RIG_OK(aval_session_feed(r.session, in, x, sizeof x, NULL));
    rig_run(&r, AVAL_VALUES(square, cube));
    RIG_OK(aval_session_read(r.session, square, squares, sizeof squares));
    RIG_OK(aval_session_read(r.session, cube, narrow, sizeof narrow));
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(squares[i], x[i] * x[i]);
        cr_expect_eq(narrow[i], (float)(squares[i] * squares[i]));
    }
    RIG_OK(aval_session_plan_text(r.session, AVAL_VALUES(square, cube), &text));
    cr_expect(strstr(text, "(Mul) runs on device 1"), "%s", text);
    cr_expect(strstr(text, "it cannot compute in double (value 'x' is"), "%s", text);
    cr_expect(strstr(text, "device 0 node 2 (Mul)"), "floats stay on the first: %s", text);
    aval_free(text);
    rig_close(&r);
}

Test(several_devices, a_plan_counts_devices_as_the_user_does_whatever_their_order)
{
    rig r;
    char *text;
    double x[4] = { 1, 2, 3, 4 };
    setenv("AVAL_LAYER_HIDE", "fp64", 1);
    setenv("AVAL_LAYER_HIDE_FROM", "1", 1);
    open_in_order(&r, "1", "0");
    aval_value *in = aval_graph_input(r.graph, "x", AVAL_DOUBLE, AVAL_SHAPE(4));
    aval_value *square = aval_apply(r.graph, "Mul", NULL, in, in);
    aval_value *sum = aval_apply(r.graph, "Cast", "to=1", square);
    aval_value *cube = aval_apply(r.graph, "Mul", NULL, sum, sum);
    RIG_OK(aval_session_feed(r.session, in, x, sizeof x, NULL));
    RIG_OK(aval_session_plan_text(r.session, AVAL_VALUES(square, cube), &text));
    cr_expect(strstr(text, "(Mul) runs on device 0 '"), "%s", text);
    cr_expect(strstr(text, ": device 1 '"), "the reason is the other's: %s", text);
    cr_expect(strstr(text, "device 1 node 2 (Mul)"), "floats stay on the first selected: %s", text);
    cr_expect(strstr(text, "from device 0,"), "%s", text);
    aval_free(text);
    rig_close(&r);
}

/* Each call of a run over both fails in turn.  What comes after is not hurt: copies that were on their way are forgotten. */
Test(several_devices, a_failed_run_leaves_the_next_one_right, .timeout = 240)
{
    static const char *const calls[] = { "clEnqueueNDRangeKernel", "clEnqueueReadBuffer", "clEnqueueWriteBuffer",       "clFlush",
                                         "clGetEventInfo",         "clWaitForEvents",     "clEnqueueMarkerWithWaitList" };
    rig r;
    float x[8] = { 1, 2, 3, 4, 5, 6, 7, 8 }, y[8];
    size_t failed = 0;
    open_halves(&r);
    aval_value *in = rig_input(&r, "x", 8), *value = in;
    for (int i = 0; i < 4; i++) { /* there and back, twice */
        value = aval_apply(r.graph, "Add", NULL, value, in);
        aval_node_place(value->producer, i % 2);
    }
    rig_feed(&r, in, x, 8);
    rig_run(&r, AVAL_VALUES(value));
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        for (unsigned long n = 1; n <= 12; n++) {
            rig_layer()->reset();
            cr_assert_eq(rig_layer()->fail(calls[c], n, 0), 0);
            rig_feed(&r, in, x, 8);
            int status = aval_session_run(r.session, AVAL_VALUES(value));
            failed += status < 0;
            if (status < 0) cr_expect(strncmp(aval_error(), calls[c], strlen(calls[c])) == 0, "%s %lu: %s", calls[c], n, aval_error());
            rig_layer()->reset();
            rig_feed(&r, in, x, 8);
            rig_run(&r, AVAL_VALUES(value));
            RIG_OK(aval_session_read(r.session, value, y, sizeof y));
            for (int i = 0; i < 8; i++) cr_assert_eq(y[i], 5 * x[i], "%s %lu: element %d", calls[c], n, i);
        }
    }
    cr_expect_geq(failed, 15);
    rig_close(&r);
}
