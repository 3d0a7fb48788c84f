/* The list of devices, selectors, opening and closing. */
#include "../layer/layer.h"
#include "harness.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const aval__log no_log;

/* A list as a machine with these devices would give. */
static aval__devices *fake_devices(void)
{
    static const struct {
        const char *platform, *name;
        uint32_t kind, units;
        const char *refusal;
    } rows[] = {
        { "PoCL", "pthread-cpu", AVAL_DEVICE_CPU, 64, NULL },
        { "Mesa", "llvmpipe (256 bits)", AVAL_DEVICE_GPU, 128, NULL },
        { "Acme", "Rocket 10", AVAL_DEVICE_GPU, 20, NULL },
        { "Acme", "Rocket 20", AVAL_DEVICE_GPU, 40, NULL },
        { "Acme", "Museum piece", AVAL_DEVICE_OTHER, 1000, "it supports only an OpenCL older than 1.2" },
    };
    aval__devices *devices = aval__alloc(sizeof *devices);
    devices->log = &no_log;
    pthread_mutex_init(&devices->lock, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        aval__listed l = { .platform_name = aval__copy_text(rows[i].platform),
                           .name = aval__copy_text(rows[i].name),
                           .refusal = rows[i].refusal };
        l.info = (aval_device_info){ .size = sizeof l.info, .kind = rows[i].kind, .compute_units = rows[i].units, .name = l.name };
        cr_assert_eq(aval__vec_push(&devices->list, l), AVAL_OK);
    }
    return devices;
}

Test(devices, a_driver_that_does_not_start_is_named_with_the_likely_reason)
{
    char folder[] = "/tmp/aval-vendors-XXXXXX", file[64];
    aval__devices *devices;
    cr_assert(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/broken.icd", folder);
    FILE *icd = fopen(file, "w");
    cr_assert(icd);
    fputs("/nonexistent/driver.so\n", icd);
    fclose(icd);
    setenv("OCL_ICD_VENDORS", folder, 1);
    cr_assert_eq(aval__devices_create(&no_log, &devices), AVAL_OK, "%s", aval_error());
    cr_assert_eq(aval__devices_count(devices), 0);
    cr_expect_eq(aval__devices_fail_none(devices), AVAL_E_UNKNOWN);
    cr_expect(strstr(aval_error(), "(broken.icd): they did not start"), "%s", aval_error());
    cr_expect(strstr(aval_error(), "POCL_CACHE_DIR"), "%s", aval_error());
    aval__devices_release(devices);
    remove(file);
    remove(folder);
}

Test(devices, every_device_says_what_it_can_do)
{
    aval__devices *devices;
    unsetenv("AVAL_GROUP");
    cr_assert_eq(aval__devices_create(&no_log, &devices), AVAL_OK, "%s", aval_error());
    cr_assert_gt(aval__devices_count(devices), 0);
    for (size_t i = 0; i < aval__devices_count(devices); i++) {
        const aval_device_info *info = aval__devices_info(devices, i);
        cr_expect(info->name[0] != 0 && info->platform[0] != 0 && info->driver[0] != 0);
        cr_expect_geq(info->compute_units, 1);
        cr_expect_geq(info->float_vector_width, 1);
        cr_expect_geq(info->largest_allocation_bytes, 1 << 20);
        cr_expect_geq(info->alignment_bytes, 64);
        cr_expect_eq(info->alignment_bytes & (info->alignment_bytes - 1), 0);
        if (info->kind == AVAL_DEVICE_CPU) cr_expect_eq(info->group, 1);
    }
    cr_expect_null(aval__devices_info(devices, aval__devices_count(devices)));
    aval__devices_release(devices);
}

Test(devices, a_machine_without_a_platform_has_an_empty_list)
{
    aval__devices *devices;
    size_t index;
    setenv("OCL_ICD_VENDORS", "/nonexistent", 1);
    unsetenv("OPENCL_LAYERS");
    cr_assert_eq(aval__devices_create(&no_log, &devices), AVAL_OK, "%s", aval_error());
    cr_expect_eq(aval__devices_count(devices), 0);
    cr_expect_eq(aval__devices_best(devices, &index), AVAL_E_UNKNOWN);
    cr_expect_not_null(strstr(aval_error(), "install the OpenCL driver"), "%s", aval_error());
    aval__devices_release(devices);
}

Test(devices, the_environment_sets_the_group_of_reductions)
{
    aval__devices *devices;
    setenv("AVAL_GROUP", "64", 1);
    cr_assert_eq(aval__devices_create(&no_log, &devices), AVAL_OK, "%s", aval_error());
    cr_expect_eq(aval__devices_info(devices, 0)->group, 64);
    aval__devices_release(devices);
    setenv("AVAL_GROUP", "48", 1);
    cr_expect_eq(aval__devices_create(&no_log, &devices), AVAL_E_ARGUMENT);
    cr_expect_not_null(strstr(aval_error(), "AVAL_GROUP is '48'"), "%s", aval_error());
}

Test(devices, a_selector_is_an_index_a_kind_or_part_of_a_name)
{
    static const struct {
        const char *selector;
        int status;
        size_t index;
        const char *message;
    } cases[] = {
        { "2", AVAL_OK, 2, NULL },
        { "cpu", AVAL_OK, 0, NULL },
        { "CPU", AVAL_OK, 0, NULL },
        { "rocket 2", AVAL_OK, 3, NULL },
        { "pocl/pthread", AVAL_OK, 0, NULL },
        { "gpu", AVAL_E_ARGUMENT, 0, "1 (gpu, Mesa/llvmpipe (256 bits)); 2 (gpu, Acme/Rocket 10); 3" },
        { "Rocket", AVAL_E_ARGUMENT, 0, "several devices match, name one by its number: 2 (gpu, Acme/Rocket 10); 3 (gpu, Acme/Rocket 20)" },
        { "Quantum", AVAL_E_UNKNOWN, 0, "no device matches; there is: 0 (cpu, PoCL/pthread-cpu)" },
        { "9", AVAL_E_UNKNOWN, 0, "no device has this number" },
        { "-1", AVAL_E_UNKNOWN, 0, "no device has this number" },
        { "", AVAL_E_ARGUMENT, 0, "empty" },
        { "museum", AVAL_E_UNSUPPORTED, 0, "older than 1.2" },
        { "4", AVAL_E_UNSUPPORTED, 0, "older than 1.2" },
    };
    aval__devices *devices = fake_devices();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t found = 99;
        int status = aval__devices_find(devices, cases[i].selector, &found);
        cr_expect_eq(status, cases[i].status, "'%s': %d %s", cases[i].selector, status, aval_error());
        if (status == AVAL_OK) cr_expect_eq(found, cases[i].index, "'%s': %zu", cases[i].selector, found);
        else cr_expect_not_null(strstr(aval_error(), cases[i].message), "'%s': %s", cases[i].selector, aval_error());
    }
    aval__devices_release(devices);
}

Test(devices, the_best_is_a_gpu_with_most_compute_units_and_no_software_renderer)
{
    aval__devices *devices = fake_devices();
    size_t best;
    cr_assert_eq(aval__devices_best(devices, &best), AVAL_OK);
    cr_expect_eq(best, 3);
    devices->list.at[2].refusal = devices->list.at[3].refusal = "broken";
    cr_assert_eq(aval__devices_best(devices, &best), AVAL_OK);
    cr_expect_eq(best, 0, "a CPU driver comes before llvmpipe");
    aval__devices_release(devices);
}

Test(devices, a_device_that_cannot_be_used_is_not_opened)
{
    aval__devices *devices = fake_devices();
    aval__device *device;
    cr_expect_eq(aval__device_open(devices, 4, &device), AVAL_E_UNSUPPORTED);
    cr_expect_not_null(strstr(aval_error(), "'Museum piece' cannot be used: it supports only an OpenCL older than 1.2"), "%s",
                       aval_error());
    cr_expect_eq(aval__device_open(devices, 5, &device), AVAL_E_UNKNOWN);
    aval__devices_release(devices);
}

Test(devices, opening_twice_gives_the_same_device_until_both_are_closed)
{
    aval__devices *devices;
    aval__device *first, *second;
    cr_assert_eq(aval__devices_create(&no_log, &devices), AVAL_OK, "%s", aval_error());
    cr_assert_eq(aval__device_open(devices, 0, &first), AVAL_OK, "%s", aval_error());
    cr_assert_eq(aval__device_open(devices, 0, &second), AVAL_OK, "%s", aval_error());
    cr_expect_eq(first, second);
    aval__device_close(first);
    cr_expect_eq(clFinish(aval__device_queue(second)), CL_SUCCESS);
    aval__device_close(second);
    cr_expect_null(devices->list.at[0].open);
    aval__devices_release(devices);
}

Test(devices, abilities_that_a_driver_does_not_report_are_not_assumed)
{
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    setenv("AVAL_LAYER_HIDE", "fp64,local=1024,group=32,allocation=4096", 1);
    aval__devices *devices;
    cr_assert_eq(aval__devices_create(&no_log, &devices), AVAL_OK, "%s", aval_error());
    const aval_device_info *info = aval__devices_info(devices, 0);
    cr_expect_eq(info->fp64, 0);
    cr_expect_eq(info->local_bytes, 1024);
    cr_expect_eq(info->max_group, 32);
    cr_expect_eq(info->largest_allocation_bytes, 4096);
    aval__devices_release(devices);
}
