/* What a failure leaves, how it is seen again, and made smaller. */
#include "command.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(failures, .init = command_begin, .fini = command_end, .timeout = 120);

#define PLANTED(fault) "--plugin " AVAL_TEST_BINARY_DIR "/planted/planted_" #fault ".so "

static bool has_file(const char *folder, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, R_OK) == 0;
}

/* Checks the planted op, which must fail; the folder of its first failure. */
static const char *fail(const char *plugin)
{
    char arguments[1024];
    snprintf(arguments, sizeof arguments, "check my::Planted %s", plugin);
    const command_outcome *o = command_run(arguments);
    cr_assert_eq(o->exit_code, 1, "%s", o->out);
    const char *folder = command_first_entry("aval-failures");
    cr_assert_str_not_empty(folder);
    return folder;
}

Test(failures, leave_inputs_kernels_results_and_the_command_to_see_them_again)
{
    const char *folder = fail(PLANTED(3));
    static const char *const files[] = { "case.json",      "README.txt",         "input_0.npy", "input_1.npy",    "upstream_0.npy",
                                         "expected_y.npy", "expected_dy_dx.npy", "found_y.npy", "found_dy_dx.npy" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) cr_expect(has_file(folder, files[i]), "%s/%s is missing", folder, files[i]);
    char path[1024];
    snprintf(path, sizeof path, "%s/README.txt", folder);
    char *text = command_read(path);
    cr_expect_not_null(strstr(text, "aval check --replay "), "%s", text);
    cr_expect_not_null(strstr(text, "-DFAULT=3"), "build options: %s", text);
    cr_expect_not_null(strstr(text, "driver"), "%s", text);
    cr_expect_not_null(strstr(text, "forward y"), "%s", text);
    free(text);
}

Test(failures, are_seen_again_by_replay)
{
    char arguments[1024];
    snprintf(arguments, sizeof arguments, "check --json --replay %s " PLANTED(3), fail(PLANTED(3)));
    const command_outcome *o = command_run(arguments);
    cr_expect_eq(o->exit_code, 1);
    cr_expect_not_null(strstr(o->out, "found nan"), "%s", o->out);
}

Test(failures, of_shapes_that_the_sample_says_are_seen_again_too)
{
    char arguments[1024];
    snprintf(arguments, sizeof arguments, "check --replay %s " PLANTED(16), fail(PLANTED(16)));
    const command_outcome *o = command_run(arguments);
    cr_expect_eq(o->exit_code, 1);
    cr_expect_not_null(strstr(o->out, "[35] by infer, but the sample says "), "%s", o->out);
}

Test(failures, that_were_mended_pass_when_replayed)
{
    char arguments[1024];
    snprintf(arguments, sizeof arguments, "check --replay %s " PLANTED(0), fail(PLANTED(3)));
    const command_outcome *o = command_run(arguments);
    cr_expect_eq(o->exit_code, 0, "%s", o->out);
}

Test(failures, are_made_as_small_as_still_fails)
{
    char arguments[1024];
    const char *folder = fail(PLANTED(4)); /* a missing sum over rows needs two of them */
    snprintf(arguments, sizeof arguments, "check --shrink --failures small --replay %s " PLANTED(4), folder);
    const command_outcome *o = command_run(arguments);
    cr_expect_eq(o->exit_code, 1);
    cr_expect_not_null(strstr(o->out, "[2,1] [1]"), "%s", o->out);
    cr_expect_str_not_empty(command_first_entry("small"));
}

/* A CI server shows what a failure's element holds; the folder that it names is one that was left. */
Test(failures, in_junit_say_the_mistake_and_how_to_see_it_again)
{
    char folder[512] = "";
    command_run("check --quiet --junit results.xml my::Planted " PLANTED(4));
    char *xml = command_read("results.xml");
    cr_expect_not_null(strstr(xml, "likely: "), "%s", xml);
    const char *again = strstr(xml, "\nto see it again: aval check --replay aval-failures/");
    cr_assert_not_null(again, "%s", xml);
    cr_assert_eq(sscanf(again, "\nto see it again: aval check --replay %511s", folder), 1);
    char arguments[1024];
    snprintf(arguments, sizeof arguments, "check --replay %s " PLANTED(4), folder);
    cr_expect_eq(command_run(arguments)->exit_code, 1, "%s is no failure's", folder);
    free(xml);
}

/* In how many runs the cases of an operator gave equal bits, as the results in JSON say in their order. */
static void expect_runs(const char *options, const char *first, const char *second)
{
    char arguments[512], text[128];
    snprintf(arguments, sizeof arguments, "check --json --quick --type float %s Softmax", options);
    const command_outcome *o = command_run(arguments);
    cr_expect_eq(o->exit_code, 0, "%s", o->out);
    const char *at = o->out;
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "\"%s runs gave equal bits\"", i == 0 ? first : second);
        at = strstr(at, text);
        cr_assert_not_null(at, "%s: no %s in %s", options, text, o->out);
        at += strlen(text);
    }
}

Test(failures, equal_bits_are_asked_for_in_as_many_runs_as_said)
{
    expect_runs("", "3", "3");
    expect_runs("--repeats 10", "11", "11");
    expect_runs("--first-repeats 10", "11", "3");
}

/* How often a text stands in another. */
static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    while ((text = strstr(text, part)) != NULL) text += strlen(part), n++;
    return n;
}

Test(failures, that_strike_every_case_are_told_once_with_their_number)
{
    const command_outcome *o = command_run("check my::Planted " PLANTED(10));
    cr_expect_eq(o->exit_code, 1);
    cr_expect_eq(count(o->out, "`long n`"), 1, "%s", o->out);
    cr_expect_not_null(strstr(o->out, "run, in 4 cases: type float, sample [5,7] [7]; type double, sample [5,7] [7]; type float"), "%s",
                       o->out);
    cr_expect_not_null(strstr(o->out, "; and 1 more: "), "%s", o->out);
    o = command_run("check --json my::Planted " PLANTED(10));
    cr_expect_eq(count(o->out, "`long n`"), 4, "each has a row of its own for programs: %s", o->out);
}

Test(failures, that_end_the_process_say_what_it_most_likely_is_and_what_shows_the_line)
{
#ifdef AVAL_TEST_SANITIZED
    cr_skip_test("the sanitizer ends the process in its own way");
#endif
    const command_outcome *o = command_run("check my::Planted " PLANTED(14));
    cr_expect_eq(o->exit_code, 3, "%s", o->out);
    cr_expect_not_null(strstr(o->out, "by signal 11"), "%s", o->out);
    cr_expect_not_null(strstr(o->out, "Most likely a kernel reads or writes outside its tensors: is there an `if (i >= n) return;`"), "%s",
                       o->out);
    cr_expect_not_null(strstr(o->out, "oclgrind --build-options -cl-opt-disable aval check --in-process --quick --plugin "), "%s", o->out);
    cr_expect_not_null(strstr(o->out, "planted_14.so my::Planted"), "%s", o->out);
}

Test(failures, in_a_plugins_c_code_are_told_from_those_in_its_kernels)
{
#ifdef AVAL_TEST_SANITIZED
    cr_skip_test("the sanitizer ends the process in its own way");
#endif
    const command_outcome *o = command_run("check my::Planted " PLANTED(22));
    cr_expect_eq(o->exit_code, 3, "%s", o->out);
    cr_expect_not_null(strstr(o->out, "crashed"), "%s", o->out);
    cr_expect_not_null(
        strstr(o->out, "(Segmentation fault) in the plugin's C code of my::Planted, while forward is recorded, inputs [5,7] [7]"), "%s",
        o->out);
    cr_expect_null(strstr(o->out, "Most likely a kernel"), "%s", o->out);
    o = command_run("check my::Planted " PLANTED(24)); /* references run in the program itself, not in the device's child */
    cr_expect_not_null(
        strstr(o->err, "(Segmentation fault) in the plugin's C code of my::Planted, while its reference runs, inputs [5,7] [7]"), "%s",
        o->err);
}

Test(failures, that_are_endless_loops_of_a_plugins_c_code_name_the_function)
{
    const command_outcome *o = command_run("check --timeout 1 my::Planted " PLANTED(23));
    cr_expect_eq(o->exit_code, 3, "%s", o->out);
    cr_expect_not_null(strstr(o->out, "hung"), "%s", o->out);
    cr_expect_not_null(strstr(o->out, "of my::Planted, while forward is recorded, inputs [5,7] [7]"), "%s", o->out);
    o = command_run("check --timeout 1 my::Planted " PLANTED(25));
    cr_expect_eq(o->exit_code, 3, "%s", o->out);
    cr_expect_not_null(
        strstr(o->err, "no end within 1 seconds (--timeout) in the plugin's C code of my::Planted, while its reference runs"), "%s",
        o->err);
}

Test(failures, of_an_op_without_infer_say_which_shapes_nobody_has_said)
{
    const command_outcome *o = command_run("check my::Planted " PLANTED(20));
    cr_expect_eq(o->exit_code, 1, "%s", o->out);
    cr_expect_not_null(strstr(o->out, "the operator has no .infer, so output y has the shape and the type of input x"), "%s", o->out);
    o = command_run("check my::Planted " PLANTED(3));
    cr_expect_null(strstr(o->out, ".infer"), "%s", o->out);
}

Test(failures, a_gradient_that_is_not_there_is_told_though_nothing_fails)
{
    const command_outcome *o = command_run("check my::Planted " PLANTED(21));
    cr_expect_eq(o->exit_code, 0, "%s", o->out);
    cr_expect_not_null(strstr(o->out, "the operator has no .backward, so it has no gradient and none was compared"), "%s", o->out);
    o = command_run("check --forward my::Planted " PLANTED(21));
    cr_expect_null(strstr(o->out, ".backward"), "%s", o->out);
    o = command_run("check my::Planted " PLANTED(0));
    cr_expect_null(strstr(o->out, ".backward"), "%s", o->out);
}

/* On a device that is wrong everywhere: the first operators are told in some detail, those that follow in a line, all of them counted. */
Test(failures, of_a_device_that_is_wrong_in_much_are_counted_and_not_all_told)
{
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    setenv("AVAL_LAYER_LIE", "skip:1", 1);
    setenv("AVAL_LAYER_LIAR", "0", 1);
    const command_outcome *o =
        command_run("check --quick --type float --forward Abs Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor");
    cr_expect_eq(o->exit_code, 1, "%s", o->out);
    cr_expect_not_null(strstr(o->out, "failed: Abs: and "), "%s", o->out);
    cr_expect_not_null(strstr(o->out, "device 0 failed in 13 of 13 operators"), "%s", o->out);
    cr_expect_eq(count(o->out, "failed: Floor, "), 1, "%s", o->out);
    cr_expect_gt(count(o->out, "failed: Acos, "), 1, "%s", o->out);
    cr_expect_lt(strlen(o->out), 13 * 2000, "%s", o->out);
}

Test(failures, name_the_device_as_the_user_counts)
{
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    setenv("AVAL_LAYER_SPLIT", "1", 1);
    const command_outcome *o = command_run("devices");
    if (!strstr(o->out, "\n1  ")) cr_skip("PoCL has one core and cannot be split");
    o = command_run("check my::Planted --device 1 " PLANTED(2));
    cr_expect_eq(o->exit_code, 1, "%s", o->out);
    cr_expect_not_null(strstr(o->out, "guard band after it was overwritten (device 1 '"), "%s", o->out);
}

Test(failures, a_folder_that_is_none_is_refused)
{
    const command_outcome *o = command_run("check --replay nowhere");
    cr_expect_eq(o->exit_code, 2, "%s", o->err);
    cr_expect_not_null(strstr(o->err, "nowhere/case.json"), "%s", o->err);
    o = command_run("check --shrink");
    cr_expect_eq(o->exit_code, 2);
    o = command_run("check Tanh --timeout 0");
    cr_expect_eq(o->exit_code, 2);
}
