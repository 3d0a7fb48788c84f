#include "exec/rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>

void rig_environment(const char *platforms)
{
    if (platforms) setenv("OCL_ICD_VENDORS", platforms, 1);
    else setenv("OCL_ICD_VENDORS", "/etc/OpenCL/vendors/pocl.icd", 1);
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    setenv("AVAL_PLUGIN_PATH", AVAL_TEST_PLUGINS, 1);
    setenv("AVAL_CACHE_DIR", AVAL_TEST_BINARY_DIR "/test-cache-exec", 1);
    setenv("AVAL_INSIST", "1", 1); /* what known answers run would be counted; test_known.c asks for them */
    unsetenv("AVAL_DEVICE");
}

void rig_open(rig *r)
{
    rig_environment(NULL);
    RIG_OK(aval_context_create(&r->context));
    r->graph = aval_graph_create(r->context);
    RIG_OK(aval_store_create(r->context, &r->store));
    RIG_OK(aval_session_create(r->context, r->graph, r->store, &r->session));
}

void rig_close(rig *r)
{
    aval_session_release(r->session);
    aval_store_release(r->store);
    aval_graph_release(r->graph);
    aval_context_release(r->context);
}

const aval_layer *rig_layer(void)
{
    const aval_layer *layer = aval_layer_open();
    cr_assert(layer, "the OpenCL layer of the tests is not loaded: %s", AVAL_TEST_LAYER);
    return layer;
}

aval_value *rig_input(rig *r, const char *name, int64_t count)
{
    aval_value *value = aval_graph_input(r->graph, name, AVAL_FLOAT, AVAL_SHAPE(count));
    cr_assert(value, "%s", aval_error());
    return value;
}

aval_value *rig_state(rig *r, const char *name, int64_t count, float value)
{
    RIG_OK(aval_store_fill(r->store, name, AVAL_FLOAT, AVAL_SHAPE(count), value));
    return aval_graph_state(r->graph, name, AVAL_FLOAT, AVAL_SHAPE(count));
}

aval_value *rig_scalar_state(rig *r, const char *name, float value)
{
    RIG_OK(aval_store_fill(r->store, name, AVAL_FLOAT, AVAL_SCALAR, value));
    return aval_graph_state(r->graph, name, AVAL_FLOAT, AVAL_SCALAR);
}

void rig_feed(rig *r, aval_value *input, const float *data, size_t count)
{
    RIG_OK(aval_session_feed(r->session, input, data, count * sizeof *data, NULL));
}

void rig_run(rig *r, aval_value *const *wanted, size_t n_wanted)
{
    RIG_OK(aval_session_run(r->session, wanted, n_wanted));
}

size_t rig_outcome(rig *r, aval_memory_mode mode, aval_value *const *wanted, size_t n_wanted, unsigned char **bytes, char **plan)
{
    size_t total = 0, at = 0;
    RIG_OK(aval_graph_status(r->graph));
    RIG_OK(aval_session_set_memory(r->session, (int)mode));
    rig_run(r, wanted, n_wanted);
    for (size_t i = 0; i < n_wanted; i++) total += aval__tensor_bytes(&wanted[i]->tensor);
    *bytes = malloc(total);
    cr_assert_not_null(*bytes);
    for (size_t i = 0; i < n_wanted; i++) {
        size_t count = aval__tensor_bytes(&wanted[i]->tensor);
        RIG_OK(aval_session_read(r->session, wanted[i], *bytes + at, count));
        at += count;
    }
    RIG_OK(aval_session_plan_text(r->session, wanted, n_wanted, plan));
    rig_close(r);
    return total;
}

float rig_first(rig *r, aval_value *value, size_t count)
{
    float *data = malloc(count * sizeof *data), first;
    cr_assert(data);
    RIG_OK(aval_session_read(r->session, value, data, count * sizeof *data));
    first = data[0];
    free(data);
    return first;
}

aval_counters rig_counters(rig *r)
{
    aval_counters counters = { .size = sizeof counters };
    RIG_OK(aval_session_counters(r->session, &counters));
    return counters;
}
