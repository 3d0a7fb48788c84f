/* Sessions through the whole pipeline: planned, bound and run on PoCL with the built plugins. */
#include "exec/rig.h"
#include "fail_alloc.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

TestSuite(session, .timeout = 120);

Test(session, computes_a_value_and_its_gradient)
{
    rig r;
    float x[3] = { 1, -2, 3 }, y[3], dx[3];
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 3), *out = aval_apply(r.graph, "Mul", NULL, in, in);
    aval_value *gradient = aval_graph_gradient(r.graph, out, in, NULL);
    rig_feed(&r, in, x, 3);
    rig_run(&r, AVAL_VALUES(out, gradient));
    RIG_OK(aval_session_read(r.session, out, y, sizeof y));
    RIG_OK(aval_session_read(r.session, gradient, dx, sizeof dx));
    for (int i = 0; i < 3; i++) {
        cr_expect_float_eq(y[i], x[i] * x[i], 1e-6);
        cr_expect_float_eq(dx[i], 2 * x[i], 1e-6);
    }
    RIG_OK(aval_session_read(r.session, in, y, sizeof y)); /* inputs are read back as fed */
    cr_expect_eq(memcmp(x, y, sizeof x), 0);
    rig_close(&r);
}

/* w := w - lr * d(sum (w x)^2)/dw, the smallest training step. */
static aval_value *build_training(rig *r, aval_value **x)
{
    *x = rig_input(r, "x", 4);
    aval_value *w = rig_state(r, "w", 4, 1), *v = rig_state(r, "v", 4, 0), *lr = rig_scalar_state(r, "lr", 0.125f);
    aval_value *y = aval_apply(r->graph, "Mul", NULL, w, *x), *loss = aval_apply(r->graph, "Mul", NULL, y, y);
    aval_value *dw = aval_graph_gradient(r->graph, loss, w, NULL);
    aval_value *updated = aval_apply(r->graph, "aval::Sgd", NULL, w, dw, v, lr);
    cr_assert(updated, "%d %s", aval_graph_status(r->graph), aval_error());
    return updated;
}

Test(session, states_are_updated_in_the_store_and_follow_its_changes)
{
    rig r;
    aval_value *x;
    float one[4] = { 1, 1, 1, 1 }, w[4], lr = 0.25f;
    rig_open(&r);
    aval_value *updated = build_training(&r, &x);
    rig_feed(&r, x, one, 4);
    rig_run(&r, AVAL_VALUES(updated)); /* w = 1 - 0.125 * 2 = 0.75 */
    rig_run(&r, AVAL_VALUES(updated)); /* w = 0.75 * 0.75 */
    RIG_OK(aval_store_get(r.store, "w", w, sizeof w));
    cr_expect_float_eq(w[3], 0.5625f, 1e-6);
    RIG_OK(aval_store_set(r.store, "lr", AVAL_FLOAT, AVAL_SCALAR, &lr));
    rig_run(&r, AVAL_VALUES(updated)); /* w = 0.5625 * 0.5 */
    RIG_OK(aval_store_get(r.store, "w", w, sizeof w));
    cr_expect_float_eq(w[0], 0.28125f, 1e-6);
    RIG_OK(aval_store_remove(r.store, "w"));
    RIG_OK(aval_store_fill(r.store, "w", AVAL_FLOAT, AVAL_SHAPE(4), 2)); /* another buffer under the same name */
    rig_run(&r, AVAL_VALUES(updated));
    cr_expect_float_eq(rig_first(&r, updated, 4), 1, 1e-6);
    rig_close(&r);
}

Test(session, a_step_after_the_first_allocates_builds_and_plans_nothing)
{
    rig r;
    aval_value *x;
    float data[4] = { 1, 1, 1, 1 };
    rig_open(&r);
    aval_value *updated = build_training(&r, &x);
    aval_value *wanted[] = { updated };
    rig_feed(&r, x, data, 4);
    rig_run(&r, wanted, 1);
    RIG_OK(aval_session_wait(r.session));
    const aval_layer *layer = rig_layer();
    aval_counters before = rig_counters(&r);
    layer->reset();
    fail_alloc_at(0);
    for (int i = 0; i < 5; i++) {
        rig_feed(&r, x, data, 4);
        rig_run(&r, wanted, 1);
    }
    size_t allocations = fail_alloc_count();
    fail_alloc_off();
    aval_counters after = rig_counters(&r);
    cr_expect_eq(allocations, 0, "%zu allocations on the host", allocations);
    cr_expect_eq(layer->count(AVAL_LAYER_BUFFERS), 0);
    cr_expect_eq(layer->count(AVAL_LAYER_KERNELS), 0);
    cr_expect_eq(layer->count(AVAL_LAYER_BUILDS), 0);
    cr_expect_gt(layer->count(AVAL_LAYER_LAUNCHES), 0);
    cr_expect_eq(after.plans_made, before.plans_made);
    cr_expect_eq(after.plans_reused, before.plans_reused);
    cr_expect_eq(after.runs, before.runs + 5);
    rig_close(&r);
}

/* tanh(tanh(... x)), `depth` times: a graph that is edited back and forth. */
static aval_value *chain(aval_graph *g, aval_value *x, int depth)
{
    while (depth-- > 0) x = aval_apply(g, "Tanh", NULL, aval_apply(g, "Exp", NULL, x));
    return x;
}

Test(session, alternating_between_three_depths_plans_and_builds_nothing_after_the_first_round)
{
    rig r;
    float x[2] = { 0.5f, 1 };
    aval_value *depths[3];
    aval_counters first = { 0 };
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 2);
    aval_value *end = aval_apply(r.graph, "Add", NULL, in, in);
    for (int d = 0; d < 3; d++) depths[d] = chain(r.graph, in, d + 1);
    const aval_layer *layer = NULL;
    for (int round = 0; round < 3; round++) {
        for (int d = 0; d < 3; d++) {
            aval_value *wanted[] = { end };
            RIG_OK(aval_node_set_input(end->producer, 0, depths[d])); /* an edit a run */
            rig_feed(&r, in, x, 2);
            rig_run(&r, wanted, 1);
            double expected = x[0];
            for (int i = 0; i <= d; i++) expected = tanh(exp(expected));
            cr_expect_float_eq(rig_first(&r, end, 2), expected + x[0], 1e-5);
        }
        if (round == 0) {
            first = rig_counters(&r);
            layer = rig_layer();
            layer->reset();
        }
    }
    cr_expect_eq(first.plans_made, 3);
    cr_expect_eq(rig_counters(&r).plans_made, 3);
    cr_expect_eq(layer->count(AVAL_LAYER_BUILDS), 0);
    cr_expect_eq(layer->count(AVAL_LAYER_BUFFERS), 0);
    rig_close(&r);
}

Test(session, another_session_reuses_the_plans_of_the_context)
{
    rig r;
    float x[2] = { 0.5f, 1 };
    aval_session *other;
    aval_counters counters = { .size = sizeof counters };
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 2), *wanted[] = { chain(r.graph, in, 2) };
    rig_feed(&r, in, x, 2);
    rig_run(&r, wanted, 1);
    RIG_OK(aval_session_create(r.context, r.graph, r.store, &other));
    RIG_OK(aval_session_feed(other, in, x, sizeof x, NULL));
    RIG_OK(aval_session_run(other, wanted, 1));
    RIG_OK(aval_session_counters(other, &counters));
    cr_expect_eq(counters.plans_made, 0);
    cr_expect_eq(counters.plans_reused, 1);
    aval_session_release(other);
    rig_close(&r);
}

Test(session, each_of_100_quick_steps_sees_its_own_input)
{
    enum { N = 20000 };
    rig r;
    float *x = malloc(N * sizeof *x), sum[2];
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", N), *total = rig_state(&r, "total", N, 0);
    aval_value *wanted[] = { aval_apply(r.graph, "aval::Accumulate", NULL, total, in) };
    for (int step = 0; step < 100; step++) {
        for (int i = 0; i < N; i++) x[i] = (float)(step * (i & 1 ? 1 : 2));
        rig_feed(&r, in, x, N);
        for (int i = 0; i < N; i++) x[i] = NAN; /* the caller's again as soon as feed returns */
        rig_run(&r, wanted, 1);
    }
    float *all = malloc(N * sizeof *all);
    RIG_OK(aval_store_get(r.store, "total", all, N * sizeof *all));
    sum[0] = all[N - 2];
    sum[1] = all[N - 1];
    cr_expect_eq(sum[0], 9900, "found %g", (double)sum[0]);
    cr_expect_eq(sum[1], 4950, "found %g", (double)sum[1]);
    free(all);
    free(x);
    rig_close(&r);
}

Test(session, free_dimensions_follow_what_is_fed)
{
    rig r;
    float x[6] = { 1, 2, 3, 4, 5, 6 }, y[6];
    size_t rank;
    int64_t dims[AVAL_MAX_RANK];
    rig_open(&r);
    aval_value *in = aval_graph_input(r.graph, "x", AVAL_FLOAT, AVAL_SHAPE(-1, 2)), *out = aval_apply(r.graph, "Neg", NULL, in);
    for (int64_t rows = 3; rows >= 1; rows -= 2) {
        size_t bytes = (size_t)rows * 2 * sizeof *x;
        RIG_OK(aval_session_feed(r.session, in, x, bytes, (const int64_t[]){ rows, 2 }));
        rig_run(&r, AVAL_VALUES(out));
        RIG_OK(aval_session_read(r.session, out, y, bytes));
        RIG_OK(aval_session_shape(r.session, out, &rank, dims));
        cr_expect(rank == 2 && dims[0] == rows && dims[1] == 2);
        cr_expect_eq(y[2 * rows - 1], -x[2 * rows - 1]);
    }
    cr_expect_eq(aval_session_feed(r.session, in, x, 8, NULL), AVAL_E_SHAPE);
    cr_expect_eq(aval_session_feed(r.session, in, x, 12, (const int64_t[]){ 1, 3 }), AVAL_E_SHAPE);
    cr_expect(strstr(aval_error(), "axis 1") && strstr(aval_error(), "2") && strstr(aval_error(), "3"), "%s", aval_error());
    rig_close(&r);
}

Test(session, the_content_of_a_fed_shape_is_planned_with)
{
    rig r;
    float x[6] = { 1, 2, 3, 4, 5, 6 };
    static const int64_t shapes[2][2] = { { 2, 3 }, { 3, 2 } };
    size_t rank;
    int64_t dims[AVAL_MAX_RANK];
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 6), *shape = aval_graph_input(r.graph, "shape", AVAL_INT64, AVAL_SHAPE(2));
    aval_value *out = aval_apply(r.graph, "Reshape", NULL, in, shape);
    rig_feed(&r, in, x, 6);
    for (int i = 0; i < 4; i++) {
        RIG_OK(aval_session_feed(r.session, shape, shapes[i % 2], sizeof shapes[0], NULL));
        rig_run(&r, AVAL_VALUES(out));
        RIG_OK(aval_session_shape(r.session, out, &rank, dims));
        cr_expect(rank == 2 && dims[0] == shapes[i % 2][0] && dims[1] == shapes[i % 2][1]);
        cr_expect_eq(rig_first(&r, out, 6), 1);
    }
    cr_expect_eq(rig_counters(&r).plans_made, 2);
    rig_close(&r);
}

Test(session, states_constants_and_inputs_can_be_wanted_too)
{
    rig r;
    float x[1] = { 2 };
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 1), *state = rig_state(&r, "w", 1, 3), *number = aval_graph_number(r.graph, AVAL_FLOAT, 5);
    aval_value *folded = aval_apply(r.graph, "Add", NULL, number, number);
    rig_feed(&r, in, x, 1);
    rig_run(&r, AVAL_VALUES(in, state, number, folded));
    cr_expect_eq(rig_first(&r, in, 1), 2);
    cr_expect_eq(rig_first(&r, state, 1), 3);
    cr_expect_eq(rig_first(&r, number, 1), 5);
    cr_expect_eq(rig_first(&r, folded, 1), 10);
    rig_close(&r);
}

Test(session, empty_tensors_run)
{
    rig r;
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 0), *out = aval_apply(r.graph, "Neg", NULL, in);
    rig_feed(&r, in, NULL, 0);
    rig_run(&r, AVAL_VALUES(out));
    RIG_OK(aval_session_read(r.session, out, NULL, 0));
    rig_close(&r);
}

Test(session, two_contexts_live_in_one_process)
{
    rig a, b;
    float x = 2, y = 3;
    rig_open(&a);
    rig_open(&b);
    aval_value *in_a = rig_input(&a, "x", 1), *in_b = rig_input(&b, "x", 1);
    aval_value *out_a = aval_apply(a.graph, "Mul", NULL, in_a, in_a), *out_b = aval_apply(b.graph, "Neg", NULL, in_b);
    rig_feed(&a, in_a, &x, 1);
    rig_feed(&b, in_b, &y, 1);
    rig_run(&a, AVAL_VALUES(out_a));
    rig_run(&b, AVAL_VALUES(out_b));
    cr_expect_eq(rig_first(&a, out_a, 1), 4);
    rig_close(&a);
    cr_expect_eq(rig_first(&b, out_b, 1), -3);
    rig_close(&b);
}

/* OpenCL allows 5 units in the last place. */
Test(session, tanh_is_as_exact_as_opencl_asks_for)
{
    enum { COUNT = 40000 };
    static float x[COUNT], y[COUNT];
    rig r;
    for (int i = 0; i < COUNT; i++) x[i] = (i % 2 == 0 ? 1 : -1) * ldexpf(1 + (float)(i % 97) / 97, i / 800 - 40); /* 2^-40 to 2^10 */
    x[0] = NAN;
    x[1] = INFINITY;
    x[2] = -INFINITY;
    x[3] = -0.0f;
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", COUNT), *out = aval_apply(r.graph, "Tanh", NULL, in);
    rig_feed(&r, in, x, COUNT);
    rig_run(&r, AVAL_VALUES(out));
    RIG_OK(aval_session_read(r.session, out, y, sizeof y));
    cr_expect(isnan(y[0]) && y[1] == 1 && y[2] == -1 && y[3] == 0 && signbit(y[3]));
    for (int i = 4; i < COUNT; i++) {
        const double exact = tanh((double)x[i]), unit = ldexp(1, ilogb(exact) - 23);
        cr_assert(fabs(y[i] - exact) <= 5 * unit, "tanh(%a) is %a, expected %a", (double)x[i], (double)y[i], exact);
    }
    rig_close(&r);
}

/* ---- Modes ----------------------------------------------------------------------------------------------------------------- */

Test(session, retained_mode_keeps_every_value_and_arena_mode_says_so)
{
    rig r;
    float x[2] = { 1, 2 };
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 2), *a = aval_apply(r.graph, "Exp", NULL, in), *b = aval_apply(r.graph, "Neg", NULL, a);
    aval_value *c = aval_apply(r.graph, "Tanh", NULL, b);
    rig_feed(&r, in, x, 2);
    float *y = x;
    cr_expect_eq(aval_session_read(r.session, c, y, 8), AVAL_E_ARGUMENT);
    cr_expect(strstr(aval_error(), "no run"), "%s", aval_error());
    rig_run(&r, AVAL_VALUES(c));
    cr_expect_eq(aval_session_read(r.session, a, y, 8), AVAL_E_ARGUMENT);
    cr_expect(strstr(aval_error(), "AVAL_MEMORY_RETAINED"), "%s", aval_error());
    RIG_OK(aval_session_set_memory(r.session, AVAL_MEMORY_RETAINED));
    rig_run(&r, AVAL_VALUES(c));
    cr_expect_float_eq(rig_first(&r, a, 2), exp(1), 1e-5);
    cr_expect_float_eq(rig_first(&r, b, 2), -exp(1), 1e-5);
    cr_expect_float_eq(rig_first(&r, c, 2), tanh(-exp(1)), 1e-5);
    rig_close(&r);
}

Test(session, anomaly_mode_names_node_value_element_and_input_ranges)
{
    rig r;
    float x[3] = { 1, -4, 9 };
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 3), *root = aval_apply(r.graph, "Sqrt", NULL, in);
    aval_value *out = aval_apply(r.graph, "Neg", NULL, root);
    aval_node_set_name(root->producer, "bad_root");
    RIG_OK(aval_session_set_memory(r.session, AVAL_MEMORY_RETAINED));
    RIG_OK(aval_session_set_anomaly(r.session, 1));
    rig_feed(&r, in, x, 3);
    cr_assert_eq(aval_session_run(r.session, AVAL_VALUES(out)), AVAL_E_ANOMALY);
    cr_expect(strstr(aval_error(), "element 1"), "%s", aval_error());
    cr_expect(strstr(aval_error(), "-4 .. 9"), "%s", aval_error());
    x[1] = 4;
    rig_feed(&r, in, x, 3);
    rig_run(&r, AVAL_VALUES(out));
    rig_close(&r);
}

/* An op whose kernel writes one element too many, or one too early when told so. */
static int overrun_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    return host->set_output(call, 0, host->type(x), host->rank(x), host->dims(x));
}

static int overrun_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    return host->launch(call, AVAL_LAUNCH(.kernel = "overrun", .global = { (uint64_t)host->count(x) + 1 },
                                          AVAL_ARGS(AVAL_WRITE(y), AVAL_READ(x), AVAL_I64(host->attr_int(call, "shift")))));
}

static int overrun_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    for (int64_t i = 0; i < host->count(x); i++) host->real(call, y)[i] = host->real(call, x)[i];
    return 0;
}

static const aval_op overrun = {
    .size = sizeof(aval_op),
    .name = "Overrun",
    .domain = "test",
    .since = 1,
    .doc = "Copies, and writes out of range.",
    .inputs = AVAL_PORTS({ .name = "x" }),
    .outputs = AVAL_PORTS({ .name = "y" }),
    .attrs = AVAL_ATTRS({ .name = "shift", .type = AVAL_ATTR_INT, .initial = "0", .doc = "first element" }),
    .infer = overrun_infer,
    .forward = overrun_forward,
    .reference = overrun_reference,
    .deterministic = 1,
    .samples = AVAL_SAMPLES({ .inputs = "[2]" }),
};

static const aval_plugin planted = {
    .abi = AVAL_PLUGIN_ABI,
    .size = sizeof(aval_plugin),
    .name = "planted",
    .version = "1",
    .ops = (const aval_op *const[]){ &overrun, NULL },
    .sources =
        (const aval_kernel_source[]){ { "overrun.cl", "__kernel void overrun(__global float *y, long yo, __global const float *x, long xo, "
                                                      "long shift)\n{ long i = get_global_id(0); y[yo + i + shift] = 1; }\n" },
                                      { NULL, NULL } },
};

Test(session, guarded_mode_names_the_value_and_side_of_an_overrun)
{
    static const char *const sides[] = { "after", "before" };
    rig r;
    float x[3] = { 1, 2, 3 };
    rig_open(&r);
    RIG_OK(aval__registry_add(aval__context_registry(r.context), &planted, "planted"));
    aval_value *in = rig_input(&r, "x", 3);
    RIG_OK(aval_session_set_memory(r.session, AVAL_MEMORY_GUARDED));
    rig_feed(&r, in, x, 3);
    for (int i = 0; i < 2; i++) {
        aval_value *out = aval_apply(r.graph, "test::Overrun", i ? "shift=-1" : NULL, in);
        cr_assert(out, "%d %s", aval_graph_status(r.graph), aval_error());
        aval_value_set_name(out, "victim");
        cr_expect_eq(aval_session_run(r.session, AVAL_VALUES(out)), AVAL_E_CHECK);
        cr_expect(strstr(aval_error(), "victim") && strstr(aval_error(), sides[i]), "%s", aval_error());
    }
    aval_value *good = aval_apply(r.graph, "Neg", NULL, in);
    rig_run(&r, AVAL_VALUES(good));
    cr_expect_eq(rig_first(&r, good, 3), -1);
    rig_close(&r);
}

/* ---- Errors ---------------------------------------------------------------------------------------------------------------- */

Test(session, what_is_missing_is_named)
{
    rig r;
    float x[2] = { 1, 2 };
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 2), *lost = aval_graph_state(r.graph, "lost", AVAL_FLOAT, AVAL_SHAPE(2));
    aval_value *out = aval_apply(r.graph, "Add", NULL, in, lost);
    cr_expect_eq(aval_session_run(r.session, AVAL_VALUES(out)), AVAL_E_ARGUMENT);
    cr_expect(strstr(aval_error(), "'x'") && strstr(aval_error(), "fed"), "%s", aval_error());
    rig_feed(&r, in, x, 2);
    cr_expect_eq(aval_session_run(r.session, AVAL_VALUES(out)), AVAL_E_UNKNOWN);
    cr_expect(strstr(aval_error(), "'lost'") && strstr(aval_error(), "aval_store_set"), "%s", aval_error());
    RIG_OK(aval_store_fill(r.store, "lost", AVAL_FLOAT, AVAL_SHAPE(3), 1));
    cr_expect_eq(aval_session_run(r.session, AVAL_VALUES(out)), AVAL_E_SHAPE);
    RIG_OK(aval_store_remove(r.store, "lost"));
    RIG_OK(aval_store_fill(r.store, "lost", AVAL_FLOAT, AVAL_SHAPE(2), 1));
    rig_run(&r, AVAL_VALUES(out));
    cr_expect_eq(rig_first(&r, out, 2), 2);
    cr_expect_eq(aval_session_read(r.session, out, x, 4), AVAL_E_ARGUMENT);
    cr_expect(strstr(aval_error(), "8 bytes") && strstr(aval_error(), "4"), "%s", aval_error());
    cr_expect_eq(aval_session_feed(r.session, in, x, 4, NULL), AVAL_E_ARGUMENT);
    cr_expect_eq(aval_session_feed(r.session, out, x, 8, NULL), AVAL_E_ARGUMENT);
    cr_expect_eq(aval_session_run(r.session, AVAL_VALUES(NULL)), AVAL_E_ARGUMENT);
    rig_close(&r);
}

Test(session, an_allocation_larger_than_the_device_allows_names_the_value)
{
    rig r;
    rig_open(&r);
    RIG_OK(aval__context_ready(r.context));
    uint64_t most = aval__device_info(aval__context_device(r.context, 0))->largest_allocation_bytes;
    aval_value *huge = aval_graph_input(r.graph, "huge", AVAL_FLOAT, AVAL_SHAPE((int64_t)(most / 4 + 100)));
    aval_value *out = aval_apply(r.graph, "Neg", NULL, huge);
    cr_expect_eq(aval_session_run(r.session, AVAL_VALUES(out)), AVAL_E_DEVICE_MEMORY, "%s", aval_error());
    rig_close(&r);
}

/* One session from the making of the context to its end. */
static int whole_life(void)
{
    aval_context *ctx;
    aval_graph *g = NULL;
    aval_store *store = NULL;
    aval_session *s = NULL;
    float x[4] = { 1, 2, 3, 4 }, y[4];
    int status = aval_context_create(&ctx);
    if (status < 0) return status;
    g = aval_graph_create(ctx);
    status = g ? aval_store_create(ctx, &store) : AVAL_E_MEMORY;
    if (status == AVAL_OK) status = aval_store_fill(store, "w", AVAL_FLOAT, AVAL_SHAPE(4), 1);
    if (status == AVAL_OK) status = aval_session_create(ctx, g, store, &s);
    if (status == AVAL_OK) {
        aval_value *in = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(4)), *w = aval_graph_state(g, "w", AVAL_FLOAT, AVAL_SHAPE(4));
        aval_value *out = aval_apply(g, "aval::Accumulate", NULL, w, in);
        status = aval_graph_status(g);
        if (status == AVAL_OK) status = aval_session_feed(s, in, x, sizeof x, NULL);
        if (status == AVAL_OK) status = aval_session_run(s, AVAL_VALUES(out));
        if (status == AVAL_OK) status = aval_session_read(s, out, y, sizeof y);
        if (status == AVAL_OK) status = aval_store_get(store, "w", y, sizeof y);
    }
    aval_session_release(s);
    aval_store_release(store);
    aval_graph_release(g);
    aval_context_release(ctx);
    return status;
}

Test(session, every_failing_opencl_call_is_an_error_and_leaks_no_object)
{
    rig_environment(NULL);
    RIG_OK(whole_life()); /* loads the platform and the cache on disk */
    const aval_layer *layer = rig_layer();
    for (unsigned i = 0; layer->function(i); i++) {
        const char *function = layer->function(i);
        layer->reset();
        RIG_OK(whole_life());
        unsigned long calls = layer->calls(function);
        for (unsigned long n = 1; n <= calls; n++) {
            layer->reset();
            cr_assert_eq(layer->fail(function, n, 0), 0);
            int status = whole_life();
            cr_expect(status <= 0);
            if (status < 0) cr_expect(aval_error()[0] != 0, "%s without a message", function);
            if (!strstr(function, "Release"))
                cr_expect_eq(layer->count(AVAL_LAYER_MADE), layer->count(AVAL_LAYER_RELEASED), "%s %lu: %s: %lu made, %lu released",
                             function, n, aval_error(), layer->count(AVAL_LAYER_MADE), layer->count(AVAL_LAYER_RELEASED));
        }
    }
}

Test(session, every_failing_allocation_is_an_error_and_leaks_nothing)
{
    rig_environment(NULL);
    RIG_OK(whole_life());
    for (size_t n = 1;; n++) {
        fail_alloc_at(n);
        int status = whole_life();
        size_t count = fail_alloc_count(), left = fail_alloc_outstanding();
        fail_alloc_off();
        cr_expect_eq(left, 0, "allocation %zu: %zu left, %s", n, left, aval_error());
        if (count < n) {
            cr_expect_eq(status, AVAL_OK, "%s", aval_error());
            break;
        }
        cr_assert_lt(n, 20000);
    }
}

Test(session, a_matrix_product_is_right_with_every_provider)
{
    static const char *const providers[] = { "clblast", "tiles" };
    enum { M = 5, K = 7, N = 6 };
    float a[M * K], b[K * N], c[M * N];
    for (int i = 0; i < M * K; i++) a[i] = (float)(i % 5) - 2;
    for (int i = 0; i < K * N; i++) b[i] = (float)(i % 7) - 3;
    for (size_t p = 0; p < 2; p++) {
        rig r;
        setenv("AVAL_GEMM", providers[p], 1);
        rig_open(&r);
        aval_value *x = aval_graph_input(r.graph, "a", AVAL_FLOAT, AVAL_SHAPE(M, K)),
                   *y = aval_graph_input(r.graph, "b", AVAL_FLOAT, AVAL_SHAPE(K, N));
        aval_value *out = aval_apply(r.graph, "MatMul", NULL, x, y);
        RIG_OK(aval_session_feed(r.session, x, a, sizeof a, NULL));
        RIG_OK(aval_session_feed(r.session, y, b, sizeof b, NULL));
        rig_run(&r, AVAL_VALUES(out));
        RIG_OK(aval_session_read(r.session, out, c, sizeof c));
        for (int i = 0; i < M; i++)
            for (int j = 0; j < N; j++) {
                float expected = 0;
                for (int k = 0; k < K; k++) expected += a[i * K + k] * b[k * N + j];
                cr_expect_float_eq(c[i * N + j], expected, 1e-4, "%s [%d,%d]", providers[p], i, j);
            }
        rig_close(&r);
    }
}

Test(session, a_launch_that_fails_names_kernel_device_and_code)
{
    rig r;
    float x[2] = { 1, 2 };
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 2), *out = aval_apply(r.graph, "Neg", NULL, in);
    rig_feed(&r, in, x, 2);
    rig_run(&r, AVAL_VALUES(out));
    cr_assert_eq(rig_layer()->fail("clEnqueueNDRangeKernel", 1, CL_OUT_OF_RESOURCES), 0);
    cr_expect_lt(aval_session_run(r.session, AVAL_VALUES(out)), 0);
    cr_expect(strstr(aval_error(), "clEnqueueNDRangeKernel: CL_OUT_OF_RESOURCES") && strstr(aval_error(), "kernel ") &&
                  strstr(aval_error(), "device 0 '"),
              "%s", aval_error());
    rig_run(&r, AVAL_VALUES(out)); /* the session can go on */
    cr_expect_eq(rig_first(&r, out, 2), -1);
    rig_close(&r);
}
