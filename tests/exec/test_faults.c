/* Every single OpenCL call of small programs fails in turn: training, a training that is saved and taken up again, and one over two devices.  An error
 * that names the call and its code, nothing leaked in OpenCL or on the host, and a second try, in the same context wherever there is one, gives the
 * same bits as a program without the fault. */
#include "exec/rig.h"
#include "fail_alloc.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STEPS 2
#define MOST_DEVICES 2
#define MOST_FUNCTIONS 64 /* of the layer */

typedef struct training {
    rig r;
    aval_value *x, *target, *loss, *wanted[3];
    size_t n_wanted;
} training;

typedef struct outcome {
    float losses[STEPS], weights[12];
} outcome;

/* A program: `train` may be called again in the same context after it failed. */
typedef struct program {
    int (*train)(training *t, outcome *out);
    int devices; /* layers are spread over so many */
    bool opened; /* what finds, opens and builds is what another program here does, and fails there */
} program;

static char warnings[4096];
static char saved[64]; /* the file of the program that saves */

static void keep_warning(void *user, int level, const char *message)
{
    (void)user, (void)level;
    size_t length = strlen(warnings);
    snprintf(warnings + length, sizeof warnings - length, "%s\n", message);
}

/* ---- The programs ---------------------------------------------------------------------------------------------------------------- */

static int set_states(aval_store *store)
{
    static const float first[12] = { .1f, -.2f, .3f, -.4f, .5f, -.6f, .7f, -.8f, .9f, -1.f, 1.1f, -1.2f };
    static const float second[6] = { .3f, -.1f, .2f, .4f, -.5f, .6f };
    AVAL__TRY(aval_store_set(store, "w0", AVAL_FLOAT, AVAL_SHAPE(4, 3), first));
    AVAL__TRY(aval_store_set(store, "w1", AVAL_FLOAT, AVAL_SHAPE(3, 2), second));
    AVAL__TRY(aval_store_fill(store, "v0", AVAL_FLOAT, AVAL_SHAPE(4, 3), 0));
    AVAL__TRY(aval_store_fill(store, "v1", AVAL_FLOAT, AVAL_SHAPE(3, 2), 0));
    return aval_store_fill(store, "lr", AVAL_FLOAT, AVAL_SCALAR, 0.5);
}

static aval_value *place(aval_value *value, int device)
{
    if (value) aval_node_place(value->producer, device);
    return value;
}

/* Two layers, a loss, and an update of each weight. */
static int build(training *t, int devices)
{
    aval_graph *g = t->r.graph;
    int last = devices - 1;
    aval_value *w[2] = { aval_graph_state(g, "w0", AVAL_FLOAT, AVAL_SHAPE(4, 3)), aval_graph_state(g, "w1", AVAL_FLOAT, AVAL_SHAPE(3, 2)) };
    aval_value *v[2] = { aval_graph_state(g, "v0", AVAL_FLOAT, AVAL_SHAPE(4, 3)), aval_graph_state(g, "v1", AVAL_FLOAT, AVAL_SHAPE(3, 2)) };
    aval_value *lr = aval_graph_state(g, "lr", AVAL_FLOAT, AVAL_SCALAR);
    t->x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(5, 4));
    t->target = aval_graph_input(g, "target", AVAL_INT64, AVAL_SHAPE(5));
    aval_value *hidden = place(aval_apply(g, "Tanh", NULL, place(aval_apply(g, "MatMul", NULL, t->x, w[0]), 0)), 0);
    aval_value *scores = place(aval_apply(g, "MatMul", NULL, hidden, w[1]), last);
    t->loss = place(aval_apply(g, "SoftmaxCrossEntropyLoss", NULL, scores, t->target), last);
    t->wanted[t->n_wanted++] = t->loss;
    for (int i = 0; i < 2; i++) {
        aval_value *update = aval_apply(g, "aval::Sgd", NULL, w[i], aval_graph_gradient(g, t->loss, w[i], NULL), v[i], lr);
        t->wanted[t->n_wanted++] = place(update, i * last);
    }
    return aval_graph_status(g);
}

static int open_training(training *t, int devices)
{
    *t = (training){ 0 };
    AVAL__TRY(aval_context_create(&t->r.context));
    aval_context_log(t->r.context, keep_warning, NULL);
    t->r.graph = aval_graph_create(t->r.context);
    if (!t->r.graph) return AVAL_E_MEMORY;
    return build(t, devices);
}

/* A session and an empty store in place of those that there were. */
static int begin_anew(training *t)
{
    aval_session_release(t->r.session);
    aval_store_release(t->r.store);
    t->r.session = NULL;
    t->r.store = NULL;
    AVAL__TRY(aval_store_create(t->r.context, &t->r.store));
    return aval_session_create(t->r.context, t->r.graph, t->r.store, &t->r.session);
}

static int step(training *t, float *loss)
{
    float x[20];
    const int64_t target[5] = { 0, 1, 1, 0, 1 };
    for (int i = 0; i < 20; i++) x[i] = (float)(i * 7 % 11) / 5 - 1;
    AVAL__TRY(aval_session_feed(t->r.session, t->x, x, sizeof x, NULL));
    AVAL__TRY(aval_session_feed(t->r.session, t->target, target, sizeof target, NULL));
    AVAL__TRY(aval_session_run(t->r.session, t->wanted, t->n_wanted));
    return aval_session_read(t->r.session, t->loss, loss, sizeof *loss);
}

static int train(training *t, outcome *out)
{
    AVAL__TRY(begin_anew(t));
    AVAL__TRY(set_states(t->r.store));
    for (int i = 0; i < STEPS; i++) AVAL__TRY(step(t, &out->losses[i]));
    return aval_store_get(t->r.store, "w0", out->weights, sizeof out->weights);
}

/* The same two steps, the second from the file that the first has left. */
static int train_saved(training *t, outcome *out)
{
    AVAL__TRY(begin_anew(t));
    AVAL__TRY(set_states(t->r.store));
    AVAL__TRY(step(t, &out->losses[0]));
    AVAL__TRY(aval_store_save(t->r.store, saved, NULL));
    AVAL__TRY(begin_anew(t));
    AVAL__TRY(aval_store_load(t->r.store, saved));
    AVAL__TRY(step(t, &out->losses[1]));
    return aval_store_get(t->r.store, "w0", out->weights, sizeof out->weights);
}

/* ---- Their lives ------------------------------------------------------------------------------------------------------------------- */

/* A whole life in which a call may fail, and, `again` given, a second try after a failure: in the same context if that has found all devices. */
static int live(const program *p, outcome *out, outcome *again)
{
    training t;
    char message[1024];
    int status = open_training(&t, p->devices), second = AVAL_E_UNKNOWN;
    bool opened = status == AVAL_OK;
    if (opened) status = p->train(&t, out);
    snprintf(message, sizeof message, "%s", aval_error());
    if (status < 0 && again && opened) second = p->train(&t, again);
    rig_close(&t.r);
    if (status < 0 && again && second == AVAL_E_UNKNOWN) second = live(p, again, NULL);
    if (status < 0 && again) cr_expect_eq(second, AVAL_OK, "after '%s': %s", message, aval_error());
    return status < 0 ? aval__fail(status, "%s", message) : AVAL_OK;
}

/* The same in a context that stays, which has planned and built all before: the session's part of a life. */
static int live_in(training *t, const program *p, outcome *out, outcome *again)
{
    char message[1024];
    int status = p->train(t, out);
    snprintf(message, sizeof message, "%s", aval_error());
    if (status < 0 && again) cr_expect_eq(p->train(t, again), AVAL_OK, "after '%s': %s", message, aval_error());
    aval_session_release(t->r.session);
    aval_store_release(t->r.store);
    t->r.session = NULL;
    t->r.store = NULL;
    return status < 0 ? aval__fail(status, "%s", message) : AVAL_OK;
}

typedef struct tally {
    unsigned long calls, errors, missed;
} tally;

/* `kept` NULL: in a life of its own. */
static void fail_one(const program *p, training *kept, const char *function, unsigned long n, const outcome *expected, tally *told)
{
    static const int codes[] = { 0, CL_OUT_OF_RESOURCES, CL_DEVICE_NOT_AVAILABLE };
    const aval_layer *layer = rig_layer();
    outcome found = *expected, again = *expected;
    layer->reset();
    warnings[0] = 0;
    cr_assert_eq(layer->fail(function, n, codes[n % 3]), 0);
    if (!kept) fail_alloc_at(0);
    int status = kept ? live_in(kept, p, &found, &again) : live(p, &found, &again);
    size_t left = kept ? 0 : fail_alloc_outstanding(); /* a context keeps some for later */
    if (!kept) fail_alloc_off();
    told->calls++;
    told->errors += status < 0;
    told->missed += layer->calls(function) < n;
    if (status == AVAL_OK) cr_expect_arr_eq(&found, expected, sizeof found, "%s %lu: the fault was borne, with other results", function, n);
    cr_expect_arr_eq(&again, expected, sizeof again, "%s %lu: other results after the fault", function, n);
    if (status < 0)
        cr_expect(strstr(aval_error(), function) || strstr(warnings, function), "%s %lu is not named: %s", function, n, aval_error());
    cr_expect_eq(layer->count(AVAL_LAYER_MADE), layer->count(AVAL_LAYER_RELEASED), "%s %lu: %s: %lu made, %lu released", function, n,
                 aval_error(), layer->count(AVAL_LAYER_MADE), layer->count(AVAL_LAYER_RELEASED));
    cr_expect_eq(left, 0, "%s %lu: %s: %zu blocks of memory are not given back", function, n, aval_error(), left);
}

/* How often each function is called in a life: `whole`, and `session` of these by a session in a context that has planned already. */
static void count_calls(const program *p, training *kept, unsigned long whole[], unsigned long session[], outcome *expected)
{
    const aval_layer *layer = rig_layer();
    outcome same;
    layer->reset();
    RIG_OK(live(p, expected, NULL));
    for (unsigned f = 0; layer->function(f); f++) whole[f] = layer->calls(layer->function(f));
    RIG_OK(live_in(kept, p, &same, NULL));
    cr_expect_arr_eq(&same, expected, sizeof same);
    layer->reset();
    RIG_OK(live_in(kept, p, &same, NULL));
    for (unsigned f = 0; layer->function(f); f++) {
        session[f] = layer->calls(layer->function(f));
        if (strncmp(layer->function(f), "clRelease", 9) == 0) whole[f] = session[f] = 0; /* a failed release leaks by itself */
    }
}

/* Every call of every function in a life of the program.  Those that a session makes fail in one context, since a life costs a hundred times
 * as much; where a function is called outside of that, its calls fail in whole lives, unless those of another program are the same. */
static void fail_each(const program *p)
{
    unsigned long whole[MOST_FUNCTIONS] = { 0 }, session[MOST_FUNCTIONS] = { 0 };
    outcome expected = { 0 };
    tally told = { 0 };
    training kept;
    RIG_OK(live(p, &expected, NULL)); /* loads the platform, and builds */
    cr_assert_lt(expected.losses[1], expected.losses[0]);
    fail_alloc_at(0);
    RIG_OK(open_training(&kept, p->devices));
    count_calls(p, &kept, whole, session, &expected);
    for (unsigned f = 0; rig_layer()->function(f); f++) {
        for (unsigned long n = 1; n <= session[f]; n++) fail_one(p, &kept, rig_layer()->function(f), n, &expected, &told);
    }
    rig_close(&kept.r);
    cr_expect_eq(fail_alloc_outstanding(), 0, "%zu blocks of memory are not given back", fail_alloc_outstanding());
    fail_alloc_off();
    for (unsigned f = 0; rig_layer()->function(f); f++) {
        const char *function = rig_layer()->function(f);
        /* what the first device is asked, one alone is asked too, by a program of its own */
        unsigned long first = p->devices > 1 && strcmp(function, "clGetDeviceInfo") == 0 ? whole[f] / 2 + 1 : 1;
        for (unsigned long n = first; n <= whole[f] && whole[f] > session[f] && !p->opened; n++)
            fail_one(p, NULL, function, n, &expected, &told);
    }
    printf("%lu calls of OpenCL failed in turn; %lu were errors, the others were borne\n", told.calls, told.errors);
    cr_expect_geq(told.errors, 100);
    /* how often a device is asked whether it is done is not the same in each run */
    cr_expect_leq(told.missed * 20, told.calls, "%lu of %lu calls were not made", told.missed, told.calls);
}

TestSuite(faults, .timeout = 300);

Test(faults, of_each_call_of_a_training_are_named_leak_nothing_and_pass)
{
    rig_environment(NULL);
    fail_each(&(program){ .train = train, .devices = 1 });
}

Test(faults, of_each_call_of_a_training_that_is_saved_and_taken_up_again_are_named_leak_nothing_and_pass)
{
    snprintf(saved, sizeof saved, "/tmp/aval-faults-%ld.safetensors", (long)getpid());
    rig_environment(NULL);
    fail_each(&(program){ .train = train_saved, .devices = 1, .opened = true });
    cr_expect_eq(unlink(saved), 0);
}

Test(faults, of_each_call_of_a_training_on_two_devices_are_named_leak_nothing_and_pass)
{
    setenv("AVAL_LAYER_SPLIT", "1", 1);
    rig_environment(NULL);
    setenv("AVAL_DEVICE", "0,1", 1);
    if (sysconf(_SC_NPROCESSORS_ONLN) < MOST_DEVICES) cr_skip("PoCL has one core and cannot be split");
    fail_each(&(program){ .train = train, .devices = MOST_DEVICES });
}
