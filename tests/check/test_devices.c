/* `aval check` over PoCL split in two, one half of which lies (tests/layer/lie.c): each fault is caught, and pinned on that half. */
#include "command.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

TestSuite(lying_device, .init = command_begin, .fini = command_end, .timeout = 120);
/* These wait for time limits: a ctest of their own, which --quick leaves out (extra.cmake). */
TestSuite(slow_device, .init = command_begin, .fini = command_end, .timeout = 120);

static const char *last_output; /* of check_with, until it runs again */

typedef struct tally {
    size_t passed, failed, blamed; /* blamed: failures that are said to be the device's */
    char fates[256]; /* "error hung " ... */
    char message[512]; /* of the first failure */
} tally;

static void count(json_t *results, json_int_t device, tally *t)
{
    size_t i;
    json_t *r;
    *t = (tally){ 0 };
    json_array_foreach(results, i, r)
    {
        const char *fate = json_string_value(json_object_get(r, "fate"));
        if (json_integer_value(json_object_get(r, "device_number")) != device) continue;
        if (strcmp(json_string_value(json_object_get(r, "result")), "passed") == 0) t->passed++;
        if (strcmp(json_string_value(json_object_get(r, "result")), "failed") != 0) continue;
        if (t->failed++ == 0) snprintf(t->message, sizeof t->message, "%s", json_string_value(json_object_get(r, "message")));
        t->blamed += strcmp(json_string_value(json_object_get(r, "blame")), "device") == 0;
        size_t length = strlen(t->fates);
        snprintf(t->fates + length, sizeof t->fates - length, "%s ", fate);
    }
}

/* Checks an op with device 1 lying; *liar is what was found of it.  The honest half must be found honest. */
static int check_with(const char *op, const char *lie, const char *options, tally *liar)
{
    tally honest;
    char arguments[512];
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    setenv("AVAL_LAYER_SPLIT", "1", 1);
    setenv("AVAL_LAYER_LIE", lie, 1);
    snprintf(arguments, sizeof arguments, "check %s --all-devices --quick --json %s", op, options);
    const command_outcome *o = command_run(arguments);
    last_output = o->out;
    json_t *results = json_loads(o->out, 0, NULL);
    cr_assert_not_null(results, "%s", o->err);
    count(results, 0, &honest);
    count(results, 1, liar);
    json_decref(results);
    cr_expect_eq(honest.failed, 0, "the honest device was blamed: %s", honest.message);
    cr_expect_gt(honest.passed, 0);
    printf("lie %-8s %3zu failures, %3zu said to be the device's; the first: %.120s\n", lie, liar->failed, liar->blamed, liar->message);
    return o->exit_code;
}

static void expect_caught(const char *op, const char *lie)
{
    tally liar;
    int code = check_with(op, lie, "", &liar);
    cr_expect_eq(code, 1, "%s: exit code %d", lie, code);
    cr_expect_gt(liar.blamed, 0, "%s: %zu failures, none of them said to be the device's; the first: %s", lie, liar.failed, liar.message);
}

Test(lying_device, a_kernel_that_does_not_run_is_caught)
{
    expect_caught("Tanh", "skip:4");
}

Test(lying_device, a_stale_buffer_is_caught)
{
    expect_caught("Tanh", "stale:3");
}

Test(lying_device, a_write_lost_at_the_end_of_a_buffer_is_caught)
{
    expect_caught("Tanh", "tail:7");
}

Test(lying_device, a_nan_once_in_a_while_is_caught)
{
    expect_caught("Tanh", "nan:7");
}

Test(lying_device, an_element_off_by_a_thousandth_is_caught)
{
    expect_caught("Tanh", "off:7");
}

Test(lying_device, results_of_11_binary_digits_are_caught)
{
    expect_caught("Tanh", "fast");
}

Test(lying_device, an_event_that_completes_too_early_is_caught)
{
    expect_caught("Tanh", "early:3");
}

Test(lying_device, a_wrong_binary_from_the_drivers_cache_is_caught)
{
    expect_caught("Add Sub", "binary");
}

/* What OpenCL leaves to the device is no fault of it: `aval devices` tells it as a property. */
static void expect_allowed(const char *op, const char *property)
{
    tally other;
    cr_expect_eq(check_with(op, property, "", &other), 0, "%s: %s", property, other.message);
    cr_expect(other.failed == 0 && other.passed > 0);
}

Test(lying_device, another_order_of_sums_is_no_fault)
{
    expect_allowed("Gemm", "order");
}

Test(lying_device, denormals_that_become_0_are_a_property_and_no_fault)
{
    expect_allowed("Exp", "flush"); /* exp(-87.5) and below, where samples go there */
    const command_outcome *o = command_run("devices");
    cr_expect_not_null(strstr(o->out, "denormals: kept"), "%s", o->out);
    setenv("AVAL_LAYER_HIDE", "denormals", 1);
    o = command_run("devices");
    cr_expect_not_null(strstr(o->out, "denormals: may become 0"), "%s", o->out);
    cr_expect_null(strstr(o->out, "denormals: kept"), "%s", o->out);
}

Test(lying_device, a_failing_call_is_a_row_with_its_name)
{
    tally liar;
    cr_expect_eq(check_with("Tanh", "fail:4", "", &liar), 1);
    cr_expect_gt(liar.passed, 0);
    cr_expect_not_null(strstr(liar.fates, "error"), "%s", liar.fates);
    cr_expect_not_null(strstr(liar.message, "CL_OUT_OF_RESOURCES"), "%s", liar.message);
}

/* What became of the liar's cases, a letter a row: . passed, X lost, s skipped, f failed. */
static const char *fates_in_order(const char *results_text)
{
    static char letters[1024];
    size_t i, n = 0;
    json_t *r, *results = json_loads(results_text, 0, NULL);
    json_array_foreach(results, i, r)
    {
        const char *result = json_string_value(json_object_get(r, "result"));
        if (json_integer_value(json_object_get(r, "device_number")) != 1 || n + 1 == sizeof letters) continue;
        bool lost = json_string_value(json_object_get(r, "fate"))[0] != 0;
        letters[n++] = strcmp(result, "passed") == 0 ? '.' : lost ? 'X' : result[0];
    }
    letters[n] = 0;
    json_decref(results);
    return letters;
}

Test(lying_device, a_crash_is_a_row_and_not_the_end)
{
    tally liar;
    cr_expect_eq(check_with("Softmax", "crash:50", "", &liar), 3, "a lost device is no difference");
    cr_expect_not_null(strstr(liar.message, "signal 6"), "%s", liar.message);
    const char *fates = fates_in_order(last_output);
    const char *crash = strchr(fates, 'X');
    cr_assert_not_null(crash, "%s", fates);
    cr_expect_not_null(strstr(crash, ".X."), "cases behind the first crash run in a new process, up to its own crash, and so on: %s",
                       fates);
    cr_expect_null(strpbrk(fates, "sf"), "nothing else is lost: %s", fates);
}

Test(lying_device, an_operator_that_crashes_in_every_case_is_left)
{
    tally liar;
    cr_expect_eq(check_with("Tanh Exp", "crash:1", "", &liar), 3);
    cr_expect_str_eq(fates_in_order(last_output), "XXXsXXXs", "three cases of each");
}

Test(slow_device, a_device_that_hangs_is_ended_after_the_time_limit)
{
    tally liar;
    cr_expect_eq(check_with("Tanh", "hang:5", "--timeout 15", &liar), 3);
    cr_expect_str_eq(liar.fates, "hung ");
    cr_expect_not_null(strstr(liar.message, "15 seconds"), "%s", liar.message);
}

Test(slow_device, a_case_that_hangs_is_made_as_small_as_still_hangs)
{
    tally liar;
    char arguments[1024];
    cr_expect_eq(check_with("Tanh", "hang:2", "--timeout 10", &liar), 3);
    snprintf(arguments, sizeof arguments, "check --shrink --timeout 3 --failures small --replay %s", command_first_entry("aval-failures"));
    const command_outcome *o = command_run(arguments);
    cr_expect_eq(o->exit_code, 1, "%s", o->err);
    cr_expect_not_null(strstr(o->out, "still fails has inputs [1"), "%s", o->out);
    cr_expect_str_not_empty(command_first_entry("small"));
}

Test(slow_device, a_device_that_works_for_ever_is_ended_after_the_time_limit)
{
    tally liar;
    cr_expect_eq(check_with("Tanh", "spin:5", "--timeout 10", &liar), 3);
    cr_expect_str_eq(liar.fates, "hung ");
    cr_expect_gt(liar.passed + liar.failed, 0);
}

/* The time limit is one of processor time: what a busy machine keeps waiting is no hang. */
Test(slow_device, a_device_that_is_slow_since_the_machine_is_busy_is_no_fault)
{
    tally liar;
    time_t start = time(NULL);
    cr_expect_eq(check_with("Tanh", "dawdle:25", "--timeout 5", &liar), 0, "%s", liar.message);
    cr_expect_geq(time(NULL) - start, 7, "the device answered at once");
    cr_expect_str_eq(liar.fates, "");
    cr_expect_gt(liar.passed, 10);
}

#ifndef AVAL_TEST_SANITIZED /* sanitizers need all the addresses there are */
Test(lying_device, a_driver_that_takes_all_memory_ends_at_its_limit)
{
    tally liar;
    cr_expect_eq(check_with("Tanh", "eat:5", "--memory 8000", &liar), 3);
    cr_expect_eq(strncmp(liar.fates, "crashed ", 8), 0, "%s", liar.fates);
}
#endif

/* Their files hold what the host has, and replay reads them. */
Test(lying_device, a_failure_in_a_type_that_numpy_does_not_have_is_written_and_read_again)
{
    tally liar;
    cr_expect_eq(check_with("DequantizeLinear", "fail:1", "", &liar), 1, "%s", liar.message);
    const command_outcome *o = command_run(
        "check --json --replay aval-failures/$(grep -lF '\"inputs\": \"i4[' aval-failures/*/case.json | head -n 1 | cut -d/ -f2)");
    json_t *results = json_loads(o->out, 0, NULL);
    cr_assert_not_null(results, "%s", o->err);
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(results, 0), "what")), "run", "%s", o->out);
    cr_expect_not_null(strstr(o->out, "CL_OUT_OF_RESOURCES"), "%s", o->out);
    json_decref(results);
}

/* Its plan has copies beside its launches. */
Test(lying_device, a_failure_of_an_operator_with_copies_does_not_lose_the_device)
{
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    setenv("AVAL_LAYER_SPLIT", "1", 1);
    setenv("AVAL_LAYER_LIE", "off:31", 1);
    const command_outcome *o = command_run("check BatchNormalization --all-devices --quick --json");
    cr_expect_eq(o->exit_code, 1, "%s", o->err);
    cr_expect_null(strstr(o->out, "the device was lost"), "the sources of the failure were asked for in vain");
}

Test(lying_device, two_honest_halves_agree)
{
    tally second;
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    setenv("AVAL_LAYER_SPLIT", "1", 1);
    const command_outcome *o = command_run("check Tanh Gemm --all-devices --quick --json --junit results.xml");
    json_t *results = json_loads(o->out, 0, NULL);
    cr_assert_eq(o->exit_code, 0, "%s", o->err);
    count(results, 1, &second);
    json_decref(results);
    cr_expect_gt(second.passed, 100);
    char *xml = command_read("results.xml");
    cr_expect_not_null(strstr(xml, "<testsuite name="));
    cr_expect_not_null(strstr(xml, "id=\"1\""), "a suite a device");
    cr_expect_not_null(strstr(xml, "failures=\"0\" errors=\"0\""));
    free(xml);
}
