/* A device without doubles: what needs them is skipped with the reason, also where only an attribute asks for them. */
#include "check/check.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

typedef struct tally {
    size_t passed, failed, skipped, skipped_float;
} tally;

static void count(void *user, const aval_check_result *result)
{
    tally *t = user;
    if (result->passed > 0) t->passed++;
    else if (result->passed == 0) t->failed++;
    else t->skipped++;
    if (result->passed < 0 && strcmp(result->type, "float") == 0) t->skipped_float++;
    if (result->passed < 0) cr_expect_str_eq(result->message, "the device has no doubles");
    if (result->passed == 0) cr_log_error("%s %s %s: %s", result->sample, result->attrs, result->type, result->message);
}

Test(doubles, samples_that_need_them_are_skipped_on_a_device_without, .timeout = 120)
{
    tally t = { 0 };
    aval_context *ctx;
    setenv("OCL_ICD_VENDORS", "/etc/OpenCL/vendors/pocl.icd", 1);
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    setenv("AVAL_LAYER_HIDE", "fp64", 1);
    setenv("AVAL_PLUGIN_PATH", AVAL_TEST_PLUGINS, 1);
    cr_assert_eq(aval_context_create(&ctx), AVAL_OK);
    const aval_check_options options = { .size = sizeof options, .op = "Cast", .quick = 1 };
    cr_expect_eq(aval_check_ops(ctx, &options, count, &t), AVAL_OK, "%s", aval_error());
    cr_expect_gt(t.passed, 0);
    cr_expect_eq(t.failed, 0);
    cr_expect_gt(t.skipped_float, 0, "the sample that casts to double");
    cr_expect_gt(t.skipped, t.skipped_float, "those in doubles");
    aval_context_release(ctx);
}
