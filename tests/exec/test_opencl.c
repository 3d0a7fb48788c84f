/* Interoperation: a caller's cl_context, queue and buffers.  What is copied, retained and released is what the OpenCL layer counts. */
#include "aval/opencl.h"
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

TestSuite(opencl, .timeout = 120);

#define COUNT 4

/* What the caller owns. */
typedef struct own {
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
} own;

static void own_open(own *o)
{
    cl_platform_id platform;
    cl_int code;
    rig_environment(NULL);
    cr_assert_eq(clGetPlatformIDs(1, &platform, NULL), CL_SUCCESS);
    cr_assert_eq(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &o->device, NULL), CL_SUCCESS);
    o->context = clCreateContext(NULL, 1, &o->device, NULL, NULL, &code);
    cr_assert_eq(code, CL_SUCCESS);
    o->queue = clCreateCommandQueue(o->context, o->device, 0, &code);
    cr_assert_eq(code, CL_SUCCESS);
}

static void own_close(own *o)
{
    clReleaseCommandQueue(o->queue);
    clReleaseContext(o->context);
}

static cl_mem own_buffer(const own *o, const void *content, size_t bytes)
{
    cl_int code;
    cl_mem mem = clCreateBuffer(o->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, bytes, (void *)content, &code);
    cr_assert_eq(code, CL_SUCCESS);
    return mem;
}

static cl_uint references(cl_mem mem)
{
    cl_uint count = 0;
    cr_assert_eq(clGetMemObjectInfo(mem, CL_MEM_REFERENCE_COUNT, sizeof count, &count, NULL), CL_SUCCESS);
    return count;
}

/* The first element where a value of the last run lies, read on the caller's queue. */
static float first_in_place(const own *o, rig *r, const aval_value *value)
{
    cl_mem mem;
    size_t offset, bytes;
    float found = NAN;
    RIG_OK(aval_session_mem(r->session, value, &mem, &offset, &bytes));
    cr_expect_eq(bytes, COUNT * sizeof(float));
    cr_assert_eq(clEnqueueReadBuffer(o->queue, mem, CL_TRUE, offset, sizeof found, &found, 0, NULL, NULL), CL_SUCCESS);
    return found;
}

static void own_write(const own *o, cl_mem mem, const float *content)
{
    cr_assert_eq(clEnqueueWriteBuffer(o->queue, mem, CL_TRUE, 0, COUNT * sizeof *content, content, 0, NULL, NULL), CL_SUCCESS);
}

/* A context with the caller's objects, and y = exp(x). */
static aval_value *open_exp(own *o, rig *r, aval_value **x)
{
    own_open(o);
    rig_open(r);
    RIG_OK(aval_context_use_opencl(r->context, o->context, o->device, o->queue));
    *x = rig_input(r, "x", COUNT);
    return aval_apply(r->graph, "Exp", NULL, *x);
}

Test(opencl, a_bound_input_is_read_in_place_and_an_output_is_used_where_it_lies)
{
    own o;
    rig r;
    aval_value *x, *y = open_exp(&o, &r, &x);
    const float one[COUNT] = { 1, 1, 1, 1 }, two[COUNT] = { 2, 2, 2, 2 };
    cl_mem mem = own_buffer(&o, one, sizeof one);
    RIG_OK(aval_session_bind_mem(r.session, x, mem, NULL));
    rig_run(&r, AVAL_VALUES(y));
    cr_expect_float_eq(first_in_place(&o, &r, y), expf(1), 1e-5);
    own_write(&o, mem, two); /* the next run reads what is there then */
    const aval_layer *layer = rig_layer();
    layer->reset();
    rig_run(&r, AVAL_VALUES(y));
    RIG_OK(aval_session_wait(r.session));
    cr_expect_eq(layer->count(AVAL_LAYER_LAUNCHES), 1);
    cr_expect_eq(layer->count(AVAL_LAYER_READS) + layer->count(AVAL_LAYER_WRITES) + layer->count(AVAL_LAYER_COPIES), 0);
    cr_expect_eq(layer->count(AVAL_LAYER_BUFFERS), 0);
    cr_expect_float_eq(first_in_place(&o, &r, y), expf(2), 1e-5);
    float back[COUNT];
    RIG_OK(aval_session_read(r.session, x, back, sizeof back));
    cr_expect_eq(memcmp(back, two, sizeof two), 0);
    cl_mem bound;
    RIG_OK(aval_session_mem(r.session, x, &bound, NULL, NULL));
    cr_expect_eq(bound, mem);
    clReleaseMemObject(mem);
    rig_close(&r);
    own_close(&o);
}

Test(opencl, binding_allocates_no_buffers_of_its_own_for_inputs)
{
    own o;
    rig r;
    aval_value *x, *y = open_exp(&o, &r, &x);
    const float one[COUNT] = { 1, 1, 1, 1 };
    cl_mem mem = own_buffer(&o, one, sizeof one);
    const aval_layer *layer = rig_layer();
    layer->reset();
    RIG_OK(aval_session_bind_mem(r.session, x, mem, NULL));
    rig_run(&r, AVAL_VALUES(y));
    cr_expect_eq(layer->count(AVAL_LAYER_BUFFERS), 1, "expected the arena alone, found %lu", layer->count(AVAL_LAYER_BUFFERS));
    clReleaseMemObject(mem);
    rig_close(&r);
    own_close(&o);
}

Test(opencl, feeding_and_binding_take_turns)
{
    own o;
    rig r;
    aval_value *x, *y = open_exp(&o, &r, &x);
    const float numbers[3][COUNT] = { { 1, 1, 1, 1 }, { 2, 2, 2, 2 }, { 3, 3, 3, 3 } };
    cl_mem first = own_buffer(&o, numbers[0], sizeof numbers[0]), second = own_buffer(&o, numbers[1], sizeof numbers[1]);
    for (int round = 0; round < 3; round++) {
        RIG_OK(aval_session_bind_mem(r.session, x, first, NULL));
        rig_run(&r, AVAL_VALUES(y));
        cr_expect_float_eq(first_in_place(&o, &r, y), expf(1), 1e-5);
        RIG_OK(aval_session_bind_mem(r.session, x, second, NULL));
        rig_run(&r, AVAL_VALUES(y));
        cr_expect_float_eq(first_in_place(&o, &r, y), expf(2), 1e-4);
        rig_feed(&r, x, numbers[2], COUNT);
        rig_run(&r, AVAL_VALUES(y));
        cr_expect_float_eq(first_in_place(&o, &r, y), expf(3), 1e-3);
    }
    cr_expect_eq(references(first), 1, "a buffer that is not bound any more is not held");
    cr_expect_eq(references(second), 1);
    clReleaseMemObject(first);
    clReleaseMemObject(second);
    rig_close(&r);
    own_close(&o);
}

Test(opencl, a_state_in_the_callers_buffer_is_updated_there)
{
    own o;
    rig r;
    float w[COUNT] = { 1, 1, 1, 1 };
    own_open(&o);
    rig_open(&r);
    RIG_OK(aval_context_use_opencl(r.context, o.context, o.device, o.queue));
    cl_mem mem = own_buffer(&o, w, sizeof w), found;
    RIG_OK(aval_store_bind_mem(r.store, "w", AVAL_FLOAT, AVAL_SHAPE(COUNT), mem));
    aval_value *x = rig_input(&r, "x", COUNT), *state = aval_graph_state(r.graph, "w", AVAL_FLOAT, AVAL_SHAPE(COUNT));
    aval_value *v = rig_state(&r, "v", COUNT, 0), *lr = rig_scalar_state(&r, "lr", 0.25f);
    aval_value *updated = aval_apply(r.graph, "aval::Sgd", NULL, state, x, v, lr);
    rig_feed(&r, x, (const float[]){ 1, 1, 1, 1 }, COUNT);
    rig_run(&r, AVAL_VALUES(updated));
    cr_assert_eq(clEnqueueReadBuffer(o.queue, mem, CL_TRUE, 0, sizeof w, w, 0, NULL, NULL), CL_SUCCESS);
    cr_expect_float_eq(w[COUNT - 1], 0.75f, 1e-6);
    RIG_OK(aval_store_mem(r.store, "w", &found, NULL));
    cr_expect_eq(found, mem);
    RIG_OK(aval_session_mem(r.session, state, &found, NULL, NULL));
    cr_expect_eq(found, mem);
    cr_expect_float_eq(first_in_place(&o, &r, v), 1, 1e-6); /* the store's own */
    RIG_OK(aval_store_remove(r.store, "w"));
    rig_close(&r);
    cr_expect_eq(references(mem), 1);
    clReleaseMemObject(mem);
    own_close(&o);
}

Test(opencl, a_run_waits_for_the_callers_events_and_gives_one_of_its_own)
{
    own o;
    rig r;
    cl_int code, state = CL_COMPLETE;
    aval_value *x, *y = open_exp(&o, &r, &x);
    const float one[COUNT] = { 1, 1, 1, 1 };
    cl_mem mem = own_buffer(&o, one, sizeof one);
    cl_event gate = clCreateUserEvent(o.context, &code), done = NULL;
    cr_assert_eq(code, CL_SUCCESS);
    RIG_OK(aval_session_bind_mem(r.session, x, mem, NULL));
    RIG_OK(aval_session_run_after(r.session, AVAL_VALUES(y), &gate, 1, &done));
    cr_assert_eq(clGetEventInfo(done, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL), CL_SUCCESS);
    cr_expect_neq(state, CL_COMPLETE, "the run did not wait for the event");
    cr_assert_eq(clSetUserEventStatus(gate, CL_COMPLETE), CL_SUCCESS);
    cr_assert_eq(clWaitForEvents(1, &done), CL_SUCCESS);
    cr_expect_float_eq(first_in_place(&o, &r, y), expf(1), 1e-5);
    clReleaseEvent(done);
    clReleaseEvent(gate);
    clReleaseMemObject(mem);
    rig_close(&r);
    own_close(&o);
}

Test(opencl, shapes_that_lie_in_a_bound_buffer_are_read_at_each_run)
{
    own o;
    rig r;
    aval_value *x;
    open_exp(&o, &r, &x);
    aval_value *shape = aval_graph_input(r.graph, "shape", AVAL_INT64, AVAL_SHAPE(2));
    aval_value *y = aval_apply(r.graph, "Reshape", NULL, x, shape);
    const int64_t shapes[2][2] = { { 2, 2 }, { 1, 4 } };
    int64_t dims[AVAL_MAX_RANK];
    size_t rank;
    cl_mem mem = own_buffer(&o, shapes[0], sizeof shapes[0]);
    rig_feed(&r, x, (const float[]){ 1, 2, 3, 4 }, COUNT);
    RIG_OK(aval_session_bind_mem(r.session, shape, mem, NULL));
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(clEnqueueWriteBuffer(o.queue, mem, CL_TRUE, 0, sizeof shapes[i], shapes[i], 0, NULL, NULL), CL_SUCCESS);
        rig_run(&r, AVAL_VALUES(y));
        RIG_OK(aval_session_shape(r.session, y, &rank, dims));
        cr_expect_eq(rank, 2);
        cr_expect_eq(dims[0], shapes[i][0], "run %d", i);
    }
    clReleaseMemObject(mem);
    rig_close(&r);
    own_close(&o);
}

Test(opencl, buffers_made_in_avals_own_context_can_be_bound)
{
    rig r;
    own o = { 0 };
    rig_open(&r);
    aval_value *x = rig_input(&r, "x", COUNT), *y = aval_apply(r.graph, "Exp", NULL, x);
    RIG_OK(aval_context_opencl(r.context, 0, &o.context, &o.device, &o.queue));
    cl_mem mem = own_buffer(&o, (const float[]){ 1, 1, 1, 1 }, COUNT * sizeof(float));
    RIG_OK(aval_session_bind_mem(r.session, x, mem, NULL));
    rig_run(&r, AVAL_VALUES(y));
    cr_expect_float_eq(first_in_place(&o, &r, y), expf(1), 1e-5);
    cr_expect_eq(aval_context_opencl(r.context, 1, &o.context, NULL, NULL), AVAL_E_ARGUMENT);
    clReleaseMemObject(mem);
    rig_close(&r);
}

Test(opencl, a_sub_device_is_listed_and_computes)
{
    own o;
    rig r;
    cl_int code;
    cl_device_id part;
    own_open(&o);
    const cl_device_partition_property first[] = { CL_DEVICE_PARTITION_BY_COUNTS, 1, CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0 };
    cr_assert_eq(clCreateSubDevices(o.device, first, 1, &part, NULL), CL_SUCCESS);
    cl_context context = clCreateContext(NULL, 1, &part, NULL, NULL, &code);
    cr_assert_eq(code, CL_SUCCESS);
    rig_open(&r);
    size_t listed = aval_device_count(r.context);
    RIG_OK(aval_context_use_opencl(r.context, context, part, NULL));
    cr_expect_eq(aval_device_count(r.context), listed + 1);
    cr_expect_eq(aval_selected_device(r.context, 0), (int64_t)listed);
    cr_expect_eq(aval_device_info_at(r.context, listed)->compute_units, 1);
    aval_value *x = rig_input(&r, "x", COUNT), *y = aval_apply(r.graph, "Exp", NULL, x);
    rig_feed(&r, x, (const float[]){ 1, 1, 1, 1 }, COUNT);
    rig_run(&r, AVAL_VALUES(y));
    cr_expect_float_eq(rig_first(&r, y, COUNT), expf(1), 1e-5);
    rig_close(&r);
    clReleaseContext(context);
    clReleaseDevice(part);
    own_close(&o);
}

Test(opencl, what_was_given_is_given_back)
{
    own o;
    rig r;
    const aval_layer *layer;
    rig_environment(NULL);
    clGetPlatformIDs(0, NULL, NULL); /* loads the layer */
    layer = rig_layer();
    layer->reset();
    aval_value *x, *y = open_exp(&o, &r, &x);
    cl_mem mem = own_buffer(&o, (const float[]){ 1, 1, 1, 1 }, COUNT * sizeof(float));
    RIG_OK(aval_session_bind_mem(r.session, x, mem, NULL));
    clReleaseMemObject(mem); /* the session has its own reference */
    own_close(&o); /* and so has the context */
    rig_run(&r, AVAL_VALUES(y));
    cr_expect_float_eq(rig_first(&r, y, COUNT), expf(1), 1e-5);
    rig_close(&r);
    cr_expect_eq(layer->count(AVAL_LAYER_MADE), layer->count(AVAL_LAYER_RELEASED));
}

/* ---- What is refused ----------------------------------------------------------------------------------------------------------------- */

static void expect_message(int status, int expected, const char *part)
{
    cr_expect_eq(status, expected, "%d", status);
    cr_expect(strstr(aval_error(), part), "expected '%s' in: %s", part, aval_error());
}

Test(opencl, objects_that_do_not_belong_together_are_refused)
{
    own o, other;
    rig r;
    cl_int code;
    own_open(&o);
    own_open(&other);
    rig_open(&r);
    cl_command_queue unordered = clCreateCommandQueue(o.context, o.device, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &code);
    cr_assert_eq(code, CL_SUCCESS);
    expect_message(aval_context_use_opencl(r.context, o.context, o.device, other.queue), AVAL_E_ARGUMENT, "another cl_context");
    expect_message(aval_context_use_opencl(r.context, o.context, o.device, unordered), AVAL_E_ARGUMENT, "out of order");
    RIG_OK(aval_context_use_opencl(r.context, o.context, o.device, o.queue));
    expect_message(aval_context_use_opencl(r.context, other.context, o.device, NULL), AVAL_E_ARGUMENT, "given before");
    RIG_OK(aval_context_profile(r.context));
    expect_message(aval_context_opencl(r.context, 0, NULL, NULL, NULL), AVAL_E_ARGUMENT, "CL_QUEUE_PROFILING_ENABLE");
    clReleaseCommandQueue(unordered);
    rig_close(&r);
    own_close(&o);
    own_close(&other);
}

Test(opencl, buffers_that_do_not_fit_are_refused)
{
    own o, other;
    rig r;
    aval_value *x, *y = open_exp(&o, &r, &x);
    const float one[COUNT] = { 1, 1, 1, 1 };
    own_open(&other);
    cl_mem small = own_buffer(&o, one, sizeof one - 1), foreign = own_buffer(&other, one, sizeof one),
           fine = own_buffer(&o, one, sizeof one);
    expect_message(aval_session_bind_mem(r.session, x, small, NULL), AVAL_E_ARGUMENT, "'x' has 16 bytes, found a cl_mem of 15");
    expect_message(aval_session_bind_mem(r.session, y, fine, NULL), AVAL_E_ARGUMENT, "not an input");
    RIG_OK(aval_session_bind_mem(r.session, x, foreign, NULL));
    expect_message(aval_session_run(r.session, AVAL_VALUES(y)), AVAL_E_ARGUMENT, "another cl_context");
    expect_message(aval_store_bind_mem(r.store, "w", AVAL_FLOAT, AVAL_SHAPE(COUNT), foreign), AVAL_E_ARGUMENT, "no selected device");
    expect_message(aval_session_mem(r.session, y, NULL, NULL, NULL), AVAL_E_ARGUMENT, "no run was completed");
    RIG_OK(aval_session_bind_mem(r.session, x, fine, NULL)); /* and nothing was spoilt */
    rig_run(&r, AVAL_VALUES(y));
    cr_expect_float_eq(first_in_place(&o, &r, y), expf(1), 1e-5);
    RIG_OK(aval_session_set_memory(r.session, AVAL_MEMORY_GUARDED));
    expect_message(aval_session_run(r.session, AVAL_VALUES(y)), AVAL_E_UNSUPPORTED, "guard bands");
    expect_message(aval_context_use_opencl(r.context, other.context, other.device, NULL), AVAL_E_ARGUMENT, "too late");
    clReleaseMemObject(small);
    clReleaseMemObject(foreign);
    clReleaseMemObject(fine);
    rig_close(&r);
    own_close(&o);
    own_close(&other);
}

Test(opencl, null_is_an_error_everywhere)
{
    own o;
    rig r;
    aval_value *x, *y = open_exp(&o, &r, &x);
    cl_mem mem = own_buffer(&o, (const float[]){ 1, 1, 1, 1 }, COUNT * sizeof(float));
    const int found[] = {
        aval_context_use_opencl(NULL, o.context, o.device, o.queue),
        aval_context_use_opencl(r.context, NULL, o.device, o.queue),
        aval_context_use_opencl(r.context, o.context, NULL, o.queue),
        aval_context_opencl(NULL, 0, NULL, NULL, NULL),
        aval_session_bind_mem(NULL, x, mem, NULL),
        aval_session_bind_mem(r.session, NULL, mem, NULL),
        aval_session_bind_mem(r.session, x, NULL, NULL),
        aval_session_mem(NULL, y, NULL, NULL, NULL),
        aval_session_mem(r.session, NULL, NULL, NULL, NULL),
        aval_session_run_after(NULL, AVAL_VALUES(y), NULL, 0, NULL),
        aval_session_run_after(r.session, AVAL_VALUES(y), NULL, 1, NULL),
        aval_session_run_after(r.session, AVAL_VALUES(y), (const cl_event[]){ NULL }, 1, NULL),
        aval_store_bind_mem(NULL, "w", AVAL_FLOAT, AVAL_SHAPE(COUNT), mem),
        aval_store_bind_mem(r.store, NULL, AVAL_FLOAT, AVAL_SHAPE(COUNT), mem),
        aval_store_bind_mem(r.store, "w", AVAL_FLOAT, AVAL_SHAPE(COUNT), NULL),
        aval_store_mem(NULL, "w", NULL, NULL),
    };
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) cr_expect_eq(found[i], AVAL_E_ARGUMENT, "call %zu: %d", i, found[i]);
    cr_expect_eq(aval_store_mem(r.store, NULL, NULL, NULL), AVAL_E_UNKNOWN);
    clReleaseMemObject(mem);
    rig_close(&r);
    own_close(&o);
}
