/* One context used by eight threads, for ThreadSanitizer: a plain program, since Criterion does not start under it.
 *
 * Each thread trains a net of its own and must get, bit for bit, what a thread alone gets; between steps it reads what threads share: the
 * lists of devices and operators, logs, errors, plans.  Half of the threads have the same graph, so that they want the same plan and the same
 * programs at the same moment.
 *
 * `threads race` plants a race beside all that: ThreadSanitizer must report that one, or its silence says nothing. */
#include "aval/aval.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 8
#define STEPS 6
#define ROWS 16
#define INPUTS 8
#define CLASSES 3

typedef struct worker {
    aval_context *ctx;
    int number;
    float losses[STEPS];
    bool failed;
    char message[512];
} worker;

static atomic_size_t logged;
static bool plant_race;
static size_t unguarded;

static void count_log(void *user, int level, const char *message)
{
    (void)user, (void)level, (void)message;
    logged++;
}

static int check(worker *w, int status, const char *what)
{
    if (status >= 0) return status;
    w->failed = true;
    snprintf(w->message, sizeof w->message, "%s: %s", what, aval_error());
    return status;
}

/* Threads of one kind have hidden layers of one width, and one of two activations. */
static int width_of(int number)
{
    return 4 + number % 4 * 3;
}

static int set_states(aval_store *store, int width)
{
    int status = aval_store_random(store, "w0", AVAL_FLOAT, AVAL_SHAPE(INPUTS, width), AVAL_INIT_HE, 1, 7);
    if (status == AVAL_OK) status = aval_store_random(store, "w1", AVAL_FLOAT, AVAL_SHAPE(width, CLASSES), AVAL_INIT_HE, 1, 7);
    if (status == AVAL_OK) status = aval_store_fill(store, "v0", AVAL_FLOAT, AVAL_SHAPE(INPUTS, width), 0);
    if (status == AVAL_OK) status = aval_store_fill(store, "v1", AVAL_FLOAT, AVAL_SHAPE(width, CLASSES), 0);
    return status == AVAL_OK ? aval_store_fill(store, "lr", AVAL_FLOAT, AVAL_SCALAR, 0.1) : status;
}

typedef struct net {
    aval_graph *graph;
    aval_store *store;
    aval_session *session;
    aval_value *x, *target, *wanted[3];
} net;

static int open_net(worker *w, net *n)
{
    int width = width_of(w->number);
    aval_graph *g = n->graph = aval_graph_create(w->ctx);
    if (g == NULL) return AVAL_E_MEMORY;
    int status = aval_store_create(w->ctx, &n->store);
    if (status == AVAL_OK) status = set_states(n->store, width);
    if (status == AVAL_OK) status = aval_session_create(w->ctx, g, n->store, &n->session);
    if (status < 0) return status;
    aval_value *w0 = aval_graph_state(g, "w0", AVAL_FLOAT, AVAL_SHAPE(INPUTS, width));
    aval_value *w1 = aval_graph_state(g, "w1", AVAL_FLOAT, AVAL_SHAPE(width, CLASSES));
    aval_value *v0 = aval_graph_state(g, "v0", AVAL_FLOAT, AVAL_SHAPE(INPUTS, width));
    aval_value *v1 = aval_graph_state(g, "v1", AVAL_FLOAT, AVAL_SHAPE(width, CLASSES));
    aval_value *lr = aval_graph_state(g, "lr", AVAL_FLOAT, AVAL_SCALAR);
    n->x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(ROWS, INPUTS));
    n->target = aval_graph_input(g, "target", AVAL_INT64, AVAL_SHAPE(ROWS));
    aval_value *hidden = aval_apply(g, w->number % 2 == 0 ? "Tanh" : "Relu", NULL, aval_apply(g, "MatMul", NULL, n->x, w0));
    aval_value *loss = aval_apply(g, "SoftmaxCrossEntropyLoss", NULL, aval_apply(g, "MatMul", NULL, hidden, w1), n->target);
    n->wanted[0] = loss;
    n->wanted[1] = aval_apply(g, "aval::Sgd", NULL, w0, aval_graph_gradient(g, loss, w0, NULL), v0, lr);
    n->wanted[2] = aval_apply(g, "aval::Sgd", NULL, w1, aval_graph_gradient(g, loss, w1, NULL), v1, lr);
    return aval_graph_status(g);
}

static void close_net(net *n)
{
    aval_session_release(n->session);
    aval_store_release(n->store);
    aval_graph_release(n->graph);
}

/* What all threads share, read and written; and an error, which is each thread's own. */
static void look_around(worker *w)
{
    aval_value *wrong;
    size_t ops = aval_op_count(w->ctx), devices = aval_device_count(w->ctx);
    for (size_t i = 0; i < ops; i++) (void)aval_op_plugin(w->ctx, aval_op_at(w->ctx, i));
    for (size_t i = 0; i < devices; i++) (void)aval_device_info_at(w->ctx, i);
    aval_context_log(w->ctx, count_log, NULL);
    aval_graph *g = aval_graph_create(w->ctx);
    char name[32];
    snprintf(name, sizeof name, "NoSuchOp%d", w->number);
    wrong = aval_apply(g, name, NULL, aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(1)));
    if (wrong != NULL || aval_graph_status(g) == AVAL_OK || strstr(aval_error(), name) == NULL) {
        w->failed = true;
        snprintf(w->message, sizeof w->message, "expected this thread's own error about %s, found '%s'", name, aval_error());
    }
    aval_graph_release(g);
}

static void *work(void *argument)
{
    worker *w = argument;
    net n = { 0 };
    float x[ROWS * INPUTS];
    int64_t target[ROWS];
    if (plant_race) unguarded++; /* before any lock, which would order it by chance */
    for (int i = 0; i < ROWS * INPUTS; i++) x[i] = (float)(i * 13 % 29) / 14 - 1;
    for (int i = 0; i < ROWS; i++) target[i] = i * 5 % CLASSES;
    int status = check(w, open_net(w, &n), "building");
    for (int step = 0; step < STEPS && status >= 0; step++) {
        status = check(w, aval_session_feed(n.session, n.x, x, sizeof x, NULL), "feeding");
        if (status >= 0) status = check(w, aval_session_feed(n.session, n.target, target, sizeof target, NULL), "feeding");
        if (status >= 0) status = check(w, aval_session_run(n.session, n.wanted, 3), "running");
        if (status >= 0) status = check(w, aval_session_read(n.session, n.wanted[0], &w->losses[step], sizeof(float)), "reading");
        if ((step + w->number) % 2 == 0) look_around(w); /* its locks order threads that would else be found to race */
    }
    close_net(&n);
    return NULL;
}

/* The same threads' work, one after the other or all at once, on a context of its own. */
static int run(worker *workers, bool at_once)
{
    aval_context *ctx;
    pthread_t threads[THREADS];
    int failures = 0;
    if (aval_context_create(&ctx) < 0) return 1;
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){ .ctx = ctx, .number = i };
        if (!at_once) work(&workers[i]);
        else if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0) return 1;
    }
    for (int i = 0; at_once && i < THREADS; i++) pthread_join(threads[i], NULL);
    aval_context_release(ctx);
    for (int i = 0; i < THREADS; i++) {
        if (workers[i].failed) fprintf(stderr, "thread %d: %s\n", i, workers[i].message);
        failures += workers[i].failed;
    }
    return failures;
}

int main(int argc, char **argv)
{
    static worker together[THREADS], alone[THREADS];
    plant_race = argc > 1 && strcmp(argv[1], "race") == 0;
    int failures = run(together, true) + run(alone, false);
    for (int i = 0; i < THREADS; i++) {
        if (memcmp(together[i].losses, alone[i].losses, sizeof alone[i].losses) == 0) continue;
        fprintf(stderr, "thread %d: other losses than alone, the last %g instead of %g\n", i, together[i].losses[STEPS - 1],
                alone[i].losses[STEPS - 1]);
        failures++;
    }
    printf("%d threads, %d steps each: %d failures, %zu log messages, %zu unguarded\n", THREADS, STEPS, failures, (size_t)logged,
           unguarded);
    return failures > 0;
}
