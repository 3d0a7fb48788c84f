/* NULL for a handle, an array or a place for a result is refused with a message in every public call; releasing NULL does nothing. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <string.h>

/* The message says NULL, and names no function that is not public. */
static void expect_message(const char *call)
{
    const char *error = aval_error(), *colon = strstr(error, ": ");
    cr_expect(strstr(error, "NULL"), "%s: %s", call, error);
    if (strstr(error, "is needed, found NULL") && colon) cr_expect_eq(memcmp(error, "aval_", 5), 0, "%s: %s", call, error);
    cr_expect_null(strstr(error, "aval__"), "%s: %s", call, error);
}

#define REFUSED(call) \
    do { \
        aval__fail(AVAL_E_INTERNAL, "an older message"); \
        cr_expect_eq((call), AVAL_E_ARGUMENT, "%s was not refused", #call); \
        expect_message(#call); \
    } while (0)
/* For calls that return no status. */
#define NOTHING(call) \
    do { \
        aval__fail(AVAL_E_INTERNAL, "an older message"); \
        cr_expect(!(call), "%s gave something", #call); \
        expect_message(#call); \
    } while (0)

static const int64_t dims[] = { 2, 2 };
static float data[4];

Test(nulls, no_context)
{
    aval_store *store;
    aval_session *session;
    rig_environment(NULL);
    REFUSED(aval_context_create(NULL));
    REFUSED(aval_context_load_plugin(NULL, "x.so"));
    REFUSED(aval_context_load_plugins(NULL, "folder", NULL));
    REFUSED(aval_context_select_device(NULL, "cpu"));
    NOTHING(aval_device_count(NULL));
    NOTHING(aval_device_info_at(NULL, 0));
    cr_expect(aval_device_refusal(NULL, 0));
    REFUSED(aval_selected_count(NULL));
    REFUSED(aval_selected_device(NULL, 0));
    NOTHING(aval_op_count(NULL));
    NOTHING(aval_op_at(NULL, 0));
    NOTHING(aval_op_plugin(NULL, NULL));
    REFUSED(aval_op_verdicts(NULL, NULL, NULL, NULL));
    NOTHING(aval_graph_find(NULL, "x"));
    NOTHING(aval_graph_create(NULL));
    REFUSED(aval_store_create(NULL, &store));
    REFUSED(aval_session_create(NULL, NULL, NULL, &session));
    REFUSED(aval_warm(NULL, NULL));
    aval_context_log(NULL, NULL, NULL);
    cr_expect_str_eq(aval_op_forward_kind(NULL), "");
    cr_expect_str_eq(aval_op_gradient_kind(NULL), "");
    aval_context_release(NULL);
    aval_free(NULL);
}

Test(nulls, no_graph_node_or_value)
{
    char *text;
    NOTHING(aval_graph_input(NULL, "x", AVAL_FLOAT, 2, dims));
    NOTHING(aval_graph_state(NULL, "x", AVAL_FLOAT, 2, dims));
    NOTHING(aval_graph_constant(NULL, AVAL_FLOAT, 2, dims, data));
    NOTHING(aval_graph_number(NULL, AVAL_FLOAT, 1));
    NOTHING(aval_graph_node(NULL, "Add", NULL, NULL, 0));
    NOTHING(aval_graph_gradient(NULL, NULL, NULL, NULL));
    REFUSED(aval_graph_status(NULL));
    REFUSED(aval_graph_replace(NULL, NULL, NULL));
    REFUSED(aval_graph_text(NULL, &text));
    REFUSED(aval_graph_dot(NULL, &text));
    REFUSED(aval_graph_remove_value(NULL, NULL));
    REFUSED(aval_node_set_input(NULL, 0, NULL));
    cr_expect_eq(aval_graph_remove_node(NULL, NULL), AVAL_E_ARGUMENT);
    cr_expect_null(aval_node_output(NULL, 0));
    cr_expect_eq(aval_node_output_count(NULL), 0);
    cr_expect_str_eq(aval_value_name(NULL), "");
    cr_expect_eq(aval_value_type(NULL), AVAL_NONE);
    cr_expect_eq(aval_value_rank(NULL), -1);
    cr_expect_null(aval_value_dims(NULL));
    aval_node_set_name(NULL, "x");
    aval_value_set_name(NULL, "x");
    aval_node_place(NULL, 0);
    aval_graph_release(NULL);
}

Test(nulls, no_store)
{
    REFUSED(aval_store_set(NULL, "a", AVAL_FLOAT, 2, dims, data));
    REFUSED(aval_store_fill(NULL, "a", AVAL_FLOAT, 2, dims, 0));
    REFUSED(aval_store_random(NULL, "a", AVAL_FLOAT, 2, dims, AVAL_INIT_NORMAL, 1, 0));
    REFUSED(aval_store_remove(NULL, "a"));
    REFUSED(aval_store_shape(NULL, "a", NULL, NULL, NULL));
    REFUSED(aval_store_get(NULL, "a", data, sizeof data));
    REFUSED(aval_store_save(NULL, "file", NULL));
    REFUSED(aval_store_load(NULL, "file"));
    NOTHING(aval_store_count(NULL));
    NOTHING(aval_store_name(NULL, 0));
    aval_store_release(NULL);
}

Test(nulls, no_session)
{
    aval_counters counters = { .size = sizeof counters };
    char *text;
    REFUSED(aval_session_set_memory(NULL, AVAL_MEMORY_ARENA));
    REFUSED(aval_session_set_anomaly(NULL, 1));
    REFUSED(aval_session_set_strict(NULL, 1));
    REFUSED(aval_session_feed(NULL, NULL, data, sizeof data, NULL));
    REFUSED(aval_session_run(NULL, NULL, 0));
    REFUSED(aval_session_read(NULL, NULL, data, sizeof data));
    REFUSED(aval_session_shape(NULL, NULL, NULL, NULL));
    REFUSED(aval_session_wait(NULL));
    REFUSED(aval_session_counters(NULL, &counters));
    REFUSED(aval_session_plan_text(NULL, NULL, 0, &text));
    aval_session_release(NULL);
}

/* The first error of building sticks to the graph; this one is looked at and cleared. */
#define BUILD_REFUSED(g, call) \
    do { \
        NOTHING(call); \
        cr_expect_eq(aval_graph_status(g), AVAL_E_ARGUMENT, "%s", #call); \
    } while (0)

Test(nulls, no_arrays_and_no_places_for_results)
{
    rig r;
    aval_session *session;
    rig_open(&r);
    REFUSED(aval_context_load_plugin(r.context, NULL));
    REFUSED(aval_context_select_device(r.context, NULL));
    cr_expect_null(aval_op_plugin(r.context, NULL));

    BUILD_REFUSED(r.graph, aval_graph_input(r.graph, "x", AVAL_FLOAT, 2, NULL));
    BUILD_REFUSED(r.graph, aval_graph_state(r.graph, "x", AVAL_FLOAT, 2, NULL));
    BUILD_REFUSED(r.graph, aval_graph_constant(r.graph, AVAL_FLOAT, 2, NULL, data));
    BUILD_REFUSED(r.graph, aval_graph_constant(r.graph, AVAL_FLOAT, 2, dims, NULL));
    BUILD_REFUSED(r.graph, aval_graph_node(r.graph, "Add", NULL, NULL, 2));
    BUILD_REFUSED(r.graph, aval_graph_node(r.graph, NULL, NULL, NULL, 0));
    BUILD_REFUSED(r.graph, aval_graph_gradient(r.graph, NULL, NULL, NULL));
    REFUSED(aval_graph_text(r.graph, NULL));
    REFUSED(aval_graph_dot(r.graph, NULL));

    REFUSED(aval_store_create(r.context, NULL));
    REFUSED(aval_store_set(r.store, "a", AVAL_FLOAT, 2, NULL, data));
    REFUSED(aval_store_set(r.store, "a", AVAL_FLOAT, 2, dims, NULL));
    REFUSED(aval_store_fill(r.store, "a", AVAL_FLOAT, 2, NULL, 1));
    REFUSED(aval_store_random(r.store, "a", AVAL_FLOAT, 2, NULL, AVAL_INIT_NORMAL, 1, 0));
    REFUSED(aval_store_save(r.store, NULL, NULL));
    REFUSED(aval_store_load(r.store, NULL));
    RIG_OK(aval_store_fill(r.store, "a", AVAL_FLOAT, 2, dims, 1));
    REFUSED(aval_store_get(r.store, "a", NULL, sizeof data));

    aval_value *x = rig_input(&r, "x", 4);
    REFUSED(aval_session_create(r.context, r.graph, NULL, NULL));
    REFUSED(aval_session_create(r.context, NULL, NULL, &session));
    REFUSED(aval_session_feed(r.session, NULL, data, sizeof data, NULL));
    REFUSED(aval_session_feed(r.session, x, NULL, sizeof data, NULL));
    REFUSED(aval_session_run(r.session, NULL, 1));
    REFUSED(aval_session_run(r.session, (aval_value *const[]){ NULL }, 1));
    RIG_OK(aval_session_feed(r.session, x, data, sizeof data, NULL));
    REFUSED(aval_session_read(r.session, x, NULL, sizeof data));
    REFUSED(aval_session_read(r.session, NULL, data, sizeof data));
    REFUSED(aval_session_counters(r.session, NULL));
    REFUSED(aval_session_plan_text(r.session, NULL, 0, NULL));
    rig_close(&r);
}
