/* The context: where plugins and devices come from, and what is said when there are none; warming. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static aval_context *context;

static void open_context(void)
{
    rig_environment(NULL);
    RIG_OK(aval_context_create(&context));
}

static void close_context(void)
{
    aval_context_release(context);
}

TestSuite(context, .init = open_context, .fini = close_context, .timeout = 300);
TestSuite(warming, .init = open_context, .fini = close_context, .timeout = 300);

Test(context, plugins_load_with_the_first_graph_and_need_no_device)
{
    setenv("OCL_ICD_VENDORS", "/nowhere", 1);
    aval_graph *g = aval_graph_create(context);
    cr_assert(g);
    cr_expect(aval_graph_node(g, "Neg", NULL, AVAL_VALUES(aval_graph_number(g, AVAL_FLOAT, 1))), "%s", aval_error());
    cr_expect_eq(aval_graph_status(g), AVAL_OK);
    aval_graph_release(g);
}

Test(context, without_any_device_the_message_says_what_to_install)
{
    setenv("OCL_ICD_VENDORS", "/nowhere", 1);
    cr_expect_eq(aval_device_count(context), 0);
    cr_expect_eq(aval__context_ready(context), AVAL_E_UNKNOWN);
    cr_expect(strstr(aval_error(), "pocl-opencl-icd"), "%s", aval_error());
    cr_expect_lt(aval_selected_count(context), 0);
}

Test(context, a_missing_plugin_folder_is_an_error_of_the_graph)
{
    setenv("AVAL_PLUGIN_PATH", "/nowhere/plugins", 1);
    aval_graph *g = aval_graph_create(context);
    cr_assert(g);
    cr_expect_lt(aval_graph_status(g), 0);
    cr_expect(strstr(aval_error(), "/nowhere/plugins"), "%s", aval_error());
    aval_graph_release(g);
}

Test(context, what_sticks_to_a_graph_is_said_by_feeding_and_running_it)
{
    setenv("AVAL_PLUGIN_PATH", "/nowhere/plugins", 1);
    const float data[2] = { 1, 2 };
    aval_graph *g = aval_graph_create(context);
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(2)), *y = aval_apply(g, "Tanh", NULL, x);
    aval_session *s;
    RIG_OK(aval_session_create(context, g, NULL, &s));
    int fed = aval_session_feed(s, x, data, sizeof data, NULL);
    cr_expect(fed < 0 && strstr(aval_error(), "/nowhere/plugins"), "%s", aval_error());
    cr_expect_eq(aval_session_run(s, AVAL_VALUES(y)), fed);
    cr_expect(strstr(aval_error(), "/nowhere/plugins"), "%s", aval_error());
    aval_session_release(s);
    aval_graph_release(g);
}

Test(context, a_folder_of_refused_plugins_only_gives_the_reason)
{
    char folder[] = AVAL_TEST_BINARY_DIR "/refused-XXXXXX", file[sizeof folder + 16];
    aval_context *fresh;
    cr_assert(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/broken.so", folder);
    FILE *broken = fopen(file, "w");
    cr_assert(broken);
    fputs("no shared object", broken);
    fclose(broken);
    setenv("AVAL_PLUGIN_PATH", folder, 1);
    RIG_OK(aval_context_create(&fresh));
    cr_expect_eq(aval_op_count(fresh), 0);
    cr_expect(strstr(aval_error(), "AVAL_PLUGIN_PATH: every plugin was refused (1), the last one so: "), "%s", aval_error());
    cr_expect(strstr(aval_error(), "broken.so"), "%s", aval_error());
    aval_context_release(fresh);
    remove(file);
    remove(folder);
}

Test(context, lists_operators_with_their_plugin)
{
    size_t count = aval_op_count(context);
    cr_assert_gt(count, 10);
    for (size_t i = 0; i < count; i++) {
        const aval_op *op = aval_op_at(context, i);
        cr_assert(op);
        cr_expect(strstr(aval_op_plugin(context, op), ".so"), "%s", op->name);
    }
    cr_expect_null(aval_op_at(context, count));
}

Test(context, the_environment_selects_when_the_program_does_not)
{
    setenv("AVAL_DEVICE", "no such device", 1);
    cr_expect_eq(aval_selected_count(context), AVAL_E_UNKNOWN);
    cr_expect(strstr(aval_error(), "AVAL_DEVICE") && strstr(aval_error(), "no such device"), "%s", aval_error());
    setenv("AVAL_DEVICE", "cpu,0", 1); /* the same device twice counts once */
    cr_expect_eq(aval_selected_count(context), 1);
    cr_expect_eq(aval_selected_device(context, 0), 0);
    cr_expect_eq(aval_selected_device(context, 1), AVAL_E_ARGUMENT);
}

Test(context, a_device_cannot_be_selected_after_the_first_use)
{
    RIG_OK(aval_context_select_device(context, "cpu"));
    RIG_OK(aval__context_ready(context));
    cr_expect_eq(aval_context_select_device(context, "0"), AVAL_E_ARGUMENT);
    cr_expect(strstr(aval_error(), "too late"), "%s", aval_error());
}

/* A graph, store and session of the thread's own, 20 steps; returns how many gave the right result. */
static void *use_context(void *number)
{
    float x = (float)(size_t)number, y;
    size_t right = 0;
    aval_store *store = NULL;
    aval_session *s = NULL;
    aval_graph *g = aval_graph_create(context);
    if (g && aval_store_create(context, &store) == AVAL_OK && aval_session_create(context, g, store, &s) == AVAL_OK) {
        aval_value *in = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SCALAR), *square = aval_apply(g, "Mul", NULL, in, in);
        aval_value *slope = aval_graph_gradient(g, square, in, NULL);
        for (int i = 0; i < 20; i++, x += 1) {
            bool good = aval_session_feed(s, in, &x, sizeof x, NULL) == AVAL_OK &&
                        aval_session_run(s, AVAL_VALUES(square, slope)) == AVAL_OK && aval_session_read(s, slope, &y, sizeof y) == AVAL_OK;
            right += good && y == 2 * x;
        }
    }
    aval_session_release(s);
    aval_store_release(store);
    aval_graph_release(g);
    return (void *)right;
}

Test(context, several_threads_use_one_context)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) cr_assert_eq(pthread_create(&threads[i], NULL, use_context, (void *)i), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *right;
        pthread_join(threads[i], &right);
        cr_expect_eq((size_t)right, 20, "thread %zu: %zu of 20 steps", i, (size_t)right);
    }
}

Test(warming, builds_every_operator_once)
{
    size_t built = 0, again = 1;
    RIG_OK(aval_warm(context, &built));
    RIG_OK(aval_warm(context, &again));
    cr_expect_eq(again, 0, "%zu programs were built a second time", again);
}
