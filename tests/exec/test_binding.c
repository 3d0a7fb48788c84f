/* Bindings of plans that are written by hand, for what planned graphs are too small to show. */
#include "exec/binding.h"
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(binding, .timeout = 120);

static const char increment_text[] = "__kernel void increment(__global float *x, long xo, __global const float *none, long no)\n"
                                     "{ x[xo + get_global_id(0)] += no < 0 ? 1 : 100; }\n";

/* `n_steps` launches that each add 1 to the four floats of a state. */
typedef struct increments {
    aval__plan plan;
    aval__source source;
    aval__arg args[2];
    aval__slot slot;
    const aval_device_info *device;
    aval__step *steps;
} increments;

static void make_increments(increments *m, rig *r, size_t n_steps)
{
    RIG_OK(aval__context_ready(r->context));
    RIG_OK(aval_store_fill(r->store, "x", AVAL_FLOAT, AVAL_SHAPE(4), 0));
    m->device = aval__device_info(aval__context_device(r->context, 0));
    m->source = (aval__source){
        .name = "increment.cl", .text = increment_text, .hash = aval__hash_bytes(increment_text, sizeof increment_text), .options = ""
    };
    m->args[0] = (aval__arg){ .kind = AVAL__ARG_TENSOR, .written = true };
    m->args[1] = (aval__arg){ .kind = AVAL__ARG_TENSOR, .absent = true, .offset = -1 };
    m->slot = (aval__slot){ .kind = AVAL__SLOT_STATE, .bytes = 16, .name = "x" };
    aval__tensor_set(&m->slot.tensor, AVAL_FLOAT, 1, (const int64_t[]){ 4 });
    m->steps = calloc(n_steps, sizeof *m->steps);
    cr_assert(m->steps);
    for (size_t i = 0; i < n_steps; i++)
        m->steps[i] = (aval__step){ .kind = AVAL__STEP_LAUNCH,
                                    .node = "increment",
                                    .source = &m->source,
                                    .kernel = "increment",
                                    .dims = 1,
                                    .global = { 4 },
                                    .args = m->args,
                                    .n_args = 2 };
    m->plan = (aval__plan){ .n_devices = 1, .devices = &m->device, .steps = m->steps, .n_steps = n_steps, .slots = &m->slot, .n_slots = 1 };
}

Test(binding, launches_beyond_the_bound_share_kernels_and_run_all_the_same)
{
    rig r;
    increments m;
    aval__binding *b;
    float x[4];
    size_t n = AVAL__MOST_KERNELS + 7;
    rig_open(&r);
    make_increments(&m, &r, n);
    RIG_OK(aval__binding_create(r.context, &m.plan, false, &b));
    cr_expect_eq(rig_layer()->count(AVAL_LAYER_KERNELS), AVAL__MOST_KERNELS + 1);
    RIG_OK(aval__binding_run(b, r.store, false));
    RIG_OK(aval_store_get(r.store, "x", x, sizeof x));
    cr_expect_eq(x[3], (float)n, "found %g", (double)x[3]);
    aval__binding_release(b);
    free(m.steps);
    rig_close(&r);
}

Test(binding, an_absent_tensor_is_passed_with_offset_minus_one)
{
    rig r;
    increments m;
    aval__binding *b;
    float x[4];
    rig_open(&r);
    make_increments(&m, &r, 1);
    RIG_OK(aval__binding_create(r.context, &m.plan, false, &b));
    RIG_OK(aval__binding_run(b, r.store, false));
    RIG_OK(aval_store_get(r.store, "x", x, sizeof x));
    cr_expect_eq(x[0], 1);
    aval__binding_release(b);
    free(m.steps);
    rig_close(&r);
}

Test(binding, a_plan_that_does_not_build_names_kernel_file_and_device)
{
    rig r;
    increments m;
    aval__binding *b = NULL;
    rig_open(&r);
    make_increments(&m, &r, 1);
    m.source.text = "__kernel void increment(__global flaot *x) {}";
    m.source.hash = aval__hash_bytes(m.source.text, strlen(m.source.text));
    cr_expect_eq(aval__binding_create(r.context, &m.plan, false, &b), AVAL_E_BUILD);
    cr_expect_null(b);
    cr_expect(strstr(aval_error(), "increment.cl") && strstr(aval_error(), m.device->name), "%s", aval_error());
    free(m.steps);
    rig_close(&r);
}
