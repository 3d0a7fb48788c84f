/* The order of releases is free: a session keeps what it works on. */
#include "exec/rig.h"

#include <criterion/criterion.h>

TestSuite(lifetimes, .timeout = 120);

enum { CONTEXT, GRAPH, STORE, SESSION, HANDLES };

static void release(rig *r, int handle)
{
    if (handle == CONTEXT) aval_context_release(r->context);
    if (handle == GRAPH) aval_graph_release(r->graph);
    if (handle == STORE) aval_store_release(r->store);
    if (handle == SESSION) aval_session_release(r->session);
}

/* Releases in the order of the permutation's number; while the session is there, it runs between any two. */
static void release_in_order(int permutation)
{
    rig r;
    int left[HANDLES] = { CONTEXT, GRAPH, STORE, SESSION };
    float expected = 1;
    bool running = true;
    rig_open(&r);
    aval_value *state = rig_state(&r, "sum", 1, 0), *one = aval_graph_number(r.graph, AVAL_FLOAT, 1);
    aval_value *sum = aval_apply(r.graph, "Accumulate", NULL, state, one);
    for (int n = HANDLES; n > 0; permutation /= n, n--) {
        if (running) {
            rig_run(&r, AVAL_VALUES(sum));
            cr_assert_eq(rig_first(&r, sum, 1), expected++);
        }
        int chosen = permutation % n;
        release(&r, left[chosen]);
        running = running && left[chosen] != SESSION;
        for (int i = chosen; i + 1 < n; i++) left[i] = left[i + 1];
    }
}

Test(lifetimes, handles_may_be_released_in_any_order_and_the_session_still_runs)
{
    for (int permutation = 0; permutation < 24; permutation++) release_in_order(permutation);
}

static void count_message(void *user, int level, const char *message)
{
    (void)level;
    (void)message;
    ++*(int *)user;
}

Test(lifetimes, the_log_function_is_not_called_after_the_context_was_released)
{
    rig r;
    int messages = 0;
    rig_open(&r);
    aval_context_log(r.context, count_message, &messages);
    aval_value *x = rig_state(&r, "x", 1, 0), *y = rig_state(&r, "y", 1, 0);
    aval_value *pathless = aval_graph_gradient(r.graph, x, y, NULL), *another = aval_graph_gradient(r.graph, y, x, NULL);
    rig_run(&r, AVAL_VALUES(pathless));
    cr_expect_eq(messages, 1, "%d", messages);
    aval_context_release(r.context);
    rig_run(&r, AVAL_VALUES(another));
    cr_expect_eq(messages, 1, "%d", messages);
    aval_session_release(r.session);
    aval_store_release(r.store);
    aval_graph_release(r.graph);
}
