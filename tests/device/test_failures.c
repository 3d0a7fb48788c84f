/* Each OpenCL call fails in turn: a clean error, and nothing leaks. */
#include "../layer/layer.h"
#include "fail_alloc.h"
#include "harness.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const aval__log no_log;

/* What a program does with this layer: list, open, build (from source, then from disk), a product by each provider, close. */
static int use_device(void)
{
    static const char source[] = "__kernel void none(void) { }";
    int status = AVAL_OK;
    harness h = { 0 };
    cl_program program;
    AVAL__TRY_DONE(aval__devices_create(&no_log, &h.devices));
    size_t best;
    AVAL__TRY_DONE(aval__devices_best(h.devices, &best));
    AVAL__TRY_DONE(aval__device_open(h.devices, best, &h.device));
    AVAL__TRY_DONE(aval__device_program(h.device, "none.cl", source, aval__hash_bytes(source, sizeof source), "", &program));
    aval__device_close(h.device);
    h.device = NULL;
    AVAL__TRY_DONE(aval__device_open(h.devices, best, &h.device));
    AVAL__TRY_DONE(aval__device_program(h.device, "none.cl", source, aval__hash_bytes(source, sizeof source), "", &program));
done:
    aval__device_close(h.device);
    aval__devices_release(h.devices);
    return status;
}

Test(failures, of_each_call_leave_a_message_and_no_leak)
{
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    const char *folder = harness_cache_folder();
    cr_assert_eq(use_device(), AVAL_OK, "%s", aval_error());
    const aval_layer *layer = aval_layer_open();
    cr_assert_not_null(layer, "the OpenCL layer is not loaded");
    size_t failed = 0;
    for (unsigned f = 0; layer->function(f) != NULL; f++) {
        const char *name = layer->function(f);
        if (strncmp(name, "clRelease", 9) == 0) continue; /* a failed release leaks by itself */
        layer->reset();
        harness_remove_folder(folder);
        cr_assert_eq(use_device(), AVAL_OK, "%s", aval_error());
        unsigned long calls = layer->calls(name);
        for (unsigned long n = 1; n <= calls; n++) {
            layer->reset();
            harness_remove_folder(folder);
            cr_assert_eq(layer->fail(name, n, 0), 0);
            int status = use_device();
            if (status < 0) {
                failed++;
                cr_expect(aval_error()[0] != 0, "%s %lu: no message", name, n);
            }
            cr_expect_eq(layer->count(AVAL_LAYER_MADE), layer->count(AVAL_LAYER_RELEASED), "%s, call %lu: %lu made, %lu released", name, n,
                         layer->count(AVAL_LAYER_MADE), layer->count(AVAL_LAYER_RELEASED));
        }
    }
    cr_expect_geq(failed, 5, "%zu calls failed: the layer is not doing its work", failed);
    harness_remove_folder(folder);
}

Test(failures, of_each_host_allocation_leave_a_message_and_no_leak)
{
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    const char *folder = harness_cache_folder();
    fail_alloc_at(0);
    cr_assert_eq(use_device(), AVAL_OK, "%s", aval_error());
    const aval_layer *layer = aval_layer_open();
    cr_assert_not_null(layer);
    size_t total = fail_alloc_count(), failed = 0;
    cr_assert_geq(total, 10);
    for (size_t n = 1; n <= total; n++) {
        layer->reset();
        harness_remove_folder(folder);
        fail_alloc_at(n);
        int status = use_device();
        size_t outstanding = fail_alloc_outstanding();
        fail_alloc_off();
        cr_expect(status == AVAL_OK || status == AVAL_E_MEMORY, "allocation %zu: %d, %s", n, status, aval_error());
        if (status < 0) failed++;
        cr_expect_eq(outstanding, 0, "allocation %zu: %zu are not freed", n, outstanding);
        cr_expect_eq(layer->count(AVAL_LAYER_MADE), layer->count(AVAL_LAYER_RELEASED), "allocation %zu: an OpenCL object leaks", n);
    }
    cr_expect_geq(failed, 5);
    harness_remove_folder(folder);
}

Test(failures, of_a_call_name_it_and_its_code)
{
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    setenv("AVAL_CACHE_DIR", "", 1);
    cr_assert_eq(use_device(), AVAL_OK, "%s", aval_error());
    const aval_layer *layer = aval_layer_open();
    cr_assert_not_null(layer);
    cr_assert_eq(layer->fail("clCreateContext", 1, CL_OUT_OF_RESOURCES), 0);
    cr_expect_eq(use_device(), AVAL_E_DEVICE);
    cr_expect_not_null(strstr(aval_error(), "clCreateContext: CL_OUT_OF_RESOURCES (device 0"), "%s", aval_error());
    cr_assert_eq(layer->fail("clBuildProgram", 1, CL_OUT_OF_HOST_MEMORY), 0);
    cr_expect_eq(use_device(), AVAL_E_BUILD);
    cr_expect_not_null(strstr(aval_error(), "clBuildProgram: CL_OUT_OF_HOST_MEMORY"), "%s", aval_error());
    /* A build that fails once, without a mistake in the source, is the driver's business. */
    cr_assert_eq(layer->fail("clBuildProgram", 1, CL_BUILD_PROGRAM_FAILURE), 0);
    cr_expect_eq(use_device(), AVAL_OK, "%s", aval_error());
    cr_expect_eq(layer->fail("clNoSuchCall", 1, 0), -1);
}

/* CLBlast's own program table is emptied, and the context given back, when the last device closes. */
Test(failures, a_product_by_clblast_leaves_nothing_behind)
{
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    harness h;
    harness_open(&h);
    const aval_layer *layer = aval_layer_open();
    cr_assert_not_null(layer);
    placed x = harness_tensor(&h, AVAL_FLOAT, 0, 64);
    const aval_gemm g = { .size = sizeof g,
                          .m = 8,
                          .n = 8,
                          .k = 8,
                          .alpha = 1,
                          .a = { .tensor = &x.tensor, .ld = 8 },
                          .b = { .tensor = &x.tensor, .ld = 8 },
                          .c = { .tensor = &x.tensor, .ld = 8 } };
    float ones[64] = { 1 };
    harness_write(&h, &x, ones);
    cr_assert_eq(harness_gemm(&h, &aval__gemm_clblast, &g, AVAL_FLOAT), AVAL_OK, "%s", aval_error());
    cr_assert_eq(layer->fail("clEnqueueNDRangeKernel", 1, CL_OUT_OF_RESOURCES), 0);
    cr_expect_lt(harness_gemm(&h, &aval__gemm_clblast, &g, AVAL_FLOAT), 0);
    cr_expect_not_null(strstr(aval_error(), "CLBlastSgemmWithTempBuffer"), "%s", aval_error());
    clReleaseMemObject(x.buffer);
    harness_close(&h);
    cr_expect_eq(layer->count(AVAL_LAYER_MADE), layer->count(AVAL_LAYER_RELEASED), "%lu made, %lu released", layer->count(AVAL_LAYER_MADE),
                 layer->count(AVAL_LAYER_RELEASED));
}
