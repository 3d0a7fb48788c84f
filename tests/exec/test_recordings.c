/* Recorded runs (cl_khr_command_buffer, which PoCL has) give the bytes that launches one by one give, however buffers change in between. */
#include "aval/opencl.h"
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(recordings, .timeout = 120);

enum { ROWS = 6, INNER = 8, COLUMNS = 5, STEPS = 12 };

typedef struct training {
    rig r;
    aval_value *x, *loss, *updated;
    unsigned long launches[STEPS]; /* one by one, of each step */
    float losses[STEPS], weights[INNER * COLUMNS];
} training;

/* The mean of relu(x w)^2, and w moved against its gradient. */
static void make(training *t, const char *recorded, const char *provider)
{
    rig_environment(NULL);
    setenv("AVAL_COMMAND_BUFFERS", recorded, 1);
    setenv("AVAL_GEMM", provider, 1);
    rig_open(&t->r);
    RIG_OK(aval_context_select_device(t->r.context, "cpu"));
    aval_graph *g = t->r.graph;
    for (size_t i = 0; i < INNER * COLUMNS; i++) t->weights[i] = (float)((i * 37 + 11) % 101) / 100 - 0.4f;
    RIG_OK(aval_store_set(t->r.store, "w", AVAL_FLOAT, AVAL_SHAPE(INNER, COLUMNS), t->weights));
    aval_value *w = aval_graph_state(g, "w", AVAL_FLOAT, AVAL_SHAPE(INNER, COLUMNS)), *rate = rig_scalar_state(&t->r, "rate", 0.1f);
    RIG_OK(aval_store_fill(t->r.store, "v", AVAL_FLOAT, AVAL_SHAPE(INNER, COLUMNS), 0));
    aval_value *v = aval_graph_state(g, "v", AVAL_FLOAT, AVAL_SHAPE(INNER, COLUMNS));
    t->x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(ROWS, INNER));
    aval_value *y = aval_apply(g, "Relu", NULL, aval_apply(g, "MatMul", NULL, t->x, w));
    t->loss = aval_apply(g, "ReduceMean", "keepdims=0", aval_apply(g, "Mul", NULL, y, y));
    t->updated = aval_apply(g, "Sgd", "momentum=0.5", w, aval_graph_gradient(g, t->loss, w, NULL), v, rate);
    cr_assert_not_null(t->updated, "%s", aval_error());
}

static void step(training *t, int number)
{
    float x[ROWS * INNER];
    for (size_t i = 0; i < ROWS * INNER; i++) x[i] = (float)((i * 53 + 17 * (size_t)number) % 97) / 40 - 1;
    RIG_OK(aval_session_feed(t->r.session, t->x, x, sizeof x, NULL));
    rig_layer()->reset();
    rig_run(&t->r, AVAL_VALUES(t->loss, t->updated));
    t->launches[number] = rig_layer()->count(AVAL_LAYER_LAUNCHES);
    RIG_OK(aval_session_read(t->r.session, t->loss, &t->losses[number], sizeof(float)));
}

static void finish(training *t)
{
    RIG_OK(aval_store_get(t->r.store, "w", t->weights, sizeof t->weights));
    rig_close(&t->r);
}

static void expect_equal(const training *recorded, const training *plain)
{
    cr_assert_neq(plain->losses[0], plain->losses[STEPS - 1]);
    for (int i = 0; i < STEPS; i++)
        cr_expect_eq(memcmp(&recorded->losses[i], &plain->losses[i], sizeof(float)), 0, "step %d: %a, not %a", i,
                     (double)recorded->losses[i], (double)plain->losses[i]);
    cr_expect_eq(memcmp(recorded->weights, plain->weights, sizeof plain->weights), 0);
}

static void train(training *t, const char *recorded, const char *provider)
{
    make(t, recorded, provider);
    for (int i = 0; i < STEPS; i++) step(t, i);
    finish(t);
}

Test(recordings, take_the_place_of_all_launches_once_both_buffers_of_the_inputs_were_seen_twice)
{
    static training recorded, plain;
    train(&plain, "0", "tiles");
    train(&recorded, "1", "tiles");
    expect_equal(&recorded, &plain);
    cr_assert_geq(plain.launches[STEPS - 1], 4);
    cr_expect_eq(recorded.launches[0], plain.launches[0]);
    for (int i = 5; i < STEPS; i++) cr_expect_eq(recorded.launches[i], 0, "step %d: %lu launches", i, recorded.launches[i]);
}

Test(recordings, stand_between_the_products_of_other_libraries)
{
    static training recorded, plain;
    train(&plain, "0", "clblast");
    train(&recorded, "1", "clblast");
    expect_equal(&recorded, &plain);
    cr_expect_lt(recorded.launches[STEPS - 1], plain.launches[STEPS - 1]);
    cr_expect_gt(recorded.launches[STEPS - 1], 0, "CLBlast's are not recorded");
}

/* A buffer of the caller's, in aval's cl_context. */
static cl_mem make_buffer(training *t, const float *content, size_t bytes)
{
    cl_context context;
    cl_int code;
    RIG_OK(aval_context_opencl(t->r.context, 0, &context, NULL, NULL));
    cl_mem mem = clCreateBuffer(context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, bytes, (void *)content, &code);
    cr_assert_eq(code, CL_SUCCESS);
    return mem;
}

/* The weights go on in a buffer of the caller's half-way. */
static void train_with_a_move(training *t, const char *recorded)
{
    make(t, recorded, "tiles");
    for (int i = 0; i < STEPS / 2; i++) step(t, i);
    RIG_OK(aval_store_get(t->r.store, "w", t->weights, sizeof t->weights));
    cl_mem mem = make_buffer(t, t->weights, sizeof t->weights);
    RIG_OK(aval_store_bind_mem(t->r.store, "w", AVAL_FLOAT, AVAL_SHAPE(INNER, COLUMNS), mem));
    clReleaseMemObject(mem);
    for (int i = STEPS / 2; i < STEPS; i++) step(t, i);
    finish(t);
}

Test(recordings, follow_a_state_into_another_buffer)
{
    static training recorded, plain;
    train_with_a_move(&plain, "0");
    train_with_a_move(&recorded, "1");
    expect_equal(&recorded, &plain);
    cr_expect_eq(recorded.launches[STEPS / 2 - 1], 0);
    cr_expect_eq(recorded.launches[STEPS / 2], plain.launches[STEPS / 2], "what was recorded before is not used any more");
    cr_expect_eq(recorded.launches[STEPS - 1], 0);
}

/* An input in the caller's buffer: one buffer, run after run, with nothing between that waits; then another. */
static void train_unfed(training *t, const char *recorded)
{
    float x[2][ROWS * INNER];
    make(t, recorded, "tiles");
    for (int which = 0; which < 2; which++) {
        for (size_t i = 0; i < ROWS * INNER; i++) x[which][i] = (float)((i * 53 + 29 * (size_t)which) % 97) / 40 - 1;
        cl_mem mem = make_buffer(t, x[which], sizeof x[which]);
        RIG_OK(aval_session_bind_mem(t->r.session, t->x, mem, NULL));
        clReleaseMemObject(mem);
        for (int i = 0; i < 40; i++) rig_run(&t->r, AVAL_VALUES(t->loss, t->updated));
        RIG_OK(aval_session_read(t->r.session, t->loss, &t->losses[which * (STEPS - 1)], sizeof(float)));
    }
    finish(t);
}

Test(recordings, may_be_enqueued_while_they_are_under_way)
{
    static training recorded, plain;
    train_unfed(&plain, "0");
    train_unfed(&recorded, "1");
    expect_equal(&recorded, &plain);
}

Test(recordings, are_not_made_on_cpus_unless_asked_for_and_a_wrong_wish_is_refused)
{
    static training t;
    train(&t, "", "tiles");
    cr_expect_gt(t.launches[STEPS - 1], 0);
    aval_context *ctx = NULL;
    setenv("AVAL_COMMAND_BUFFERS", "yes", 1);
    cr_assert_eq(aval_context_create(&ctx), AVAL_OK);
    aval_graph *g = aval_graph_create(ctx);
    aval_session *s = NULL;
    cr_assert_eq(aval_session_create(ctx, g, NULL, &s), AVAL_OK);
    aval_value *y = aval_apply(g, "Tanh", NULL, aval_graph_constant(g, AVAL_FLOAT, AVAL_SHAPE(1), &(float){ 1 }));
    cr_expect_eq(aval_session_run(s, AVAL_VALUES(y)), AVAL_E_ARGUMENT);
    cr_expect_not_null(strstr(aval_error(), "AVAL_COMMAND_BUFFERS is 'yes'"), "%s", aval_error());
    aval_session_release(s);
    aval_graph_release(g);
    aval_context_release(ctx);
}
