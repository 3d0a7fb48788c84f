/* `aval check` finds faults planted in a plugin, says where they are, and finds none in the healthy twin. */
#include "check/check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct found {
    size_t passed, failed;
    char what[64], message[512]; /* of the first failure */
} found;

static void collect(void *user, const aval_check_result *result)
{
    found *f = user;
    if (result->passed > 0) f->passed++;
    if (result->passed == 0 && f->failed++ == 0) {
        snprintf(f->what, sizeof f->what, "%s", result->what);
        snprintf(f->message, sizeof f->message, "%s", result->message);
    }
}

static int check_planted(int fault, found *f)
{
    aval_context *ctx;
    char file[512];
    *f = (found){ 0 };
    cr_assert_eq(aval_context_create(&ctx), 0);
    snprintf(file, sizeof file, "%s/planted/planted_%d.so", AVAL_TEST_BINARY_DIR, fault);
    cr_assert_eq(aval_context_load_plugins(ctx, AVAL_TEST_PLUGINS, NULL), 0, "%s", aval_error());
    cr_assert_eq(aval_context_load_plugin(ctx, file), 0, "%s", aval_error());
    const aval_check_options options = { .size = sizeof options, .op = "my::Planted" };
    int status = aval_check_ops(ctx, &options, collect, f);
    aval_context_release(ctx);
    return status;
}

Test(check, passes_a_healthy_operator)
{
    found f;
    cr_assert_eq(check_planted(0, &f), 0, "%s: %s (%s)", f.what, f.message, aval_error());
    /* 2 samples x (float, double) x (forward, 2 gradients, repeat), and the shape that one sample says */
    cr_assert_eq(f.passed, 18, "%zu comparisons", f.passed);
}

Test(check, catches_a_factor_of_1_0001_in_backward)
{
    found f;
    cr_assert_eq(check_planted(1, &f), AVAL_E_CHECK);
    cr_assert_str_eq(f.what, "gradient dy/dx");
}

Test(check, catches_a_write_past_the_end_by_one)
{
    found f;
    cr_assert_eq(check_planted(2, &f), AVAL_E_CHECK);
    cr_assert_str_eq(f.what, "run");
    cr_assert_not_null(strstr(f.message, "guard"), "%s", f.message);
    cr_assert_not_null(strstr(f.message, "(Planted)"), "%s", f.message);
}

Test(check, catches_a_nan_at_one_element)
{
    found f;
    cr_assert_eq(check_planted(3, &f), AVAL_E_CHECK);
    cr_assert_str_eq(f.what, "forward y");
    cr_assert_not_null(strstr(f.message, "[2,3]"), "element 17 of [5,7] is [2,3]: %s", f.message);
}

Test(check, catches_a_missing_sum_over_a_broadcast_axis)
{
    found f;
    cr_assert_eq(check_planted(4, &f), AVAL_E_CHECK);
    cr_assert_str_eq(f.what, "gradient dy/db");
}

/* Mistakes of an author that no result would show are told when the op runs. */
static void expect_told(int fault, const char *message)
{
    found f;
    cr_expect_eq(check_planted(fault, &f), AVAL_E_CHECK);
    cr_expect_str_eq(f.what, "run");
    cr_expect_not_null(strstr(f.message, message), "%s", f.message);
}

Test(check, an_attribute_that_is_not_declared_is_named)
{
    expect_told(5, "asked for attribute nope, which the op does not declare");
}

Test(check, a_launch_of_no_work_items_for_an_output_with_elements_is_refused)
{
    expect_told(6, "launch forward: expected 1 or more work-items");
}

Test(check, a_launch_with_too_few_arguments_says_how_many_the_kernel_takes)
{
    expect_told(7, "the kernel has 8 parameters, but the launch's 4 arguments give it 7");
}

Test(check, a_kernel_that_is_not_there_is_told_with_those_that_are)
{
    expect_told(8, "has no kernel of this name, only: forward;backward_x;backward_b");
}

Test(check, catches_a_copy_past_the_end_of_both_tensors)
{
    expect_told(9, "guard band after it was overwritten");
}

Test(check, an_argument_of_another_type_is_named_with_both_types)
{
    expect_told(10, "parameter 7, `long n`, of the kernel does not take argument 4 of the launch, which is AVAL_I32 (int): give AVAL_I64");
}

Test(check, what_a_driver_takes_as_it_is_but_the_kernel_means_otherwise_is_told_before_the_launch)
{
    expect_told(17,
                "parameter 8, `int cols`, of the kernel does not take argument 5 of the launch, which is AVAL_F32 (float): give AVAL_I32");
    expect_told(18, "parameter 1, `float* y`, of the kernel does not take argument 1 of the launch, which is AVAL_I64 (long)");
    expect_told(19,
                "argument 2 of the launch is AVAL_WRITE or AVAL_UPDATE, but the kernel may only read its parameter 3, `const float* x`");
}

Test(check, an_array_of_a_launch_without_its_length_is_named)
{
    expect_told(11, "launch forward: args is given, but n_args is 0");
    expect_told(15, "launch forward: defines is given, but n_defines is 0");
}

Test(check, a_missing_kernel_name_and_missing_sources_are_told_apart)
{
    expect_told(12, "launch: kernel: expected the name of a function");
    expect_told(13, "the plugin has no kernel file: expected one in the `sources`");
}

Test(check, an_infer_that_flattens_the_shape_is_seen_by_what_the_sample_says)
{
    found f;
    cr_expect_eq(check_planted(16, &f), AVAL_E_CHECK);
    cr_expect_eq(f.failed, 3, "in float and double, what these have in common, and nothing else: %zu", f.failed);
    cr_expect_str_eq(f.what, "shapes");
    cr_expect_str_eq(f.message, "output y is float[35] by infer, but the sample says float[5,7]");
}

Test(check, an_unknown_operator_is_named)
{
    aval_context *ctx;
    cr_assert_eq(aval_context_create(&ctx), 0);
    cr_assert_eq(aval_context_load_plugins(ctx, AVAL_TEST_PLUGINS, NULL), 0);
    const aval_check_options options = { .size = sizeof options, .op = "NoSuchOp" };
    cr_assert_eq(aval_check_ops(ctx, &options, NULL, NULL), AVAL_E_UNKNOWN);
    cr_assert_not_null(strstr(aval_error(), "NoSuchOp"));
    const aval_check_options mistyped = { .size = sizeof mistyped, .op = "Sofmax" };
    cr_assert_eq(aval_check_ops(ctx, &mistyped, NULL, NULL), AVAL_E_UNKNOWN);
    cr_assert_not_null(strstr(aval_error(), "did you mean 'Softmax'?"), "%s", aval_error());
    aval_context_release(ctx);
}

Test(compare, a_nan_on_one_side_fails_and_on_both_passes)
{
    const double nan_at_1[] = { 1, NAN, 3 }, clean[] = { 1, 2, 3 };
    const aval__tolerance loose = { .atol = 1e9, .rtol = 1 };
    aval__difference d;
    cr_assert_not(aval__check_compare(nan_at_1, clean, 3, &loose, &d));
    cr_assert_eq(d.worst, 1);
    cr_assert_not(aval__check_compare(clean, nan_at_1, 3, &loose, &d));
    cr_assert(aval__check_compare(nan_at_1, nan_at_1, 3, &loose, &d));
}

Test(compare, infinities_must_be_equal)
{
    const double up[] = { INFINITY }, down[] = { -INFINITY }, large[] = { 1e300 };
    const aval__tolerance loose = { .atol = 1e9, .rtol = 1 };
    aval__difference d;
    cr_assert(aval__check_compare(up, up, 1, &loose, &d));
    cr_assert_not(aval__check_compare(up, down, 1, &loose, &d));
    cr_assert_not(aval__check_compare(large, up, 1, &loose, &d));
}

Test(compare, integers_must_be_equal_to_the_last_one)
{
    const double a[] = { 5, 6 }, b[] = { 5, 7 };
    const aval__tolerance exact = { 0 };
    aval__difference d;
    cr_assert(aval__check_compare(a, a, 2, &exact, &d));
    cr_assert_not(aval__check_compare(a, b, 2, &exact, &d));
    cr_assert_eq(d.worst, 1);
}
