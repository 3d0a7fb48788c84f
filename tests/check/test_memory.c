/* Each allocation of a case's making and judging fails in turn: a clean error, nothing left behind, and no verdict out of thin air. */
#include "check/judge.h"
#include "fail_alloc.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

typedef struct replayed {
    aval_device_info info;
    void *results;
    size_t bytes;
} replayed;

static const aval_device_info *device(void *user, size_t i)
{
    (void)i;
    return &((replayed *)user)->info;
}

static size_t number(void *user, size_t i)
{
    (void)user;
    return i;
}

static const char *compiler(void *user, size_t i)
{
    (void)user;
    (void)i;
    return "a";
}

static void begin(void *user, size_t i, const aval_check_case *c)
{
    (void)user;
    (void)i;
    (void)c;
}

static void finish(void *user, size_t i, aval_check_outcome *outcome)
{
    const replayed *r = user;
    (void)i;
    outcome->results = r->results;
    outcome->bytes = r->bytes;
}

static int judge(aval_context *ctx, const aval_check_options *options, const aval_check_case *what, size_t *passed, size_t *failed)
{
    aval__judge j;
    int status = aval__judge_open(&j, ctx, options, NULL, NULL);
    if (status == 0) status = aval__check_case(&j, what, &aval__type_rows[0]);
    *passed = j.passed;
    *failed = j.failed;
    aval__judge_close(&j);
    return status;
}

/* The case is run once; then it is judged again and again, with the device's results from the first time. */
static void fail_each(const char *op, const aval_sample *sample)
{
    aval_context *ctx;
    replayed r = { .results = NULL };
    setenv("OCL_ICD_VENDORS", "/etc/OpenCL/vendors/pocl.icd", 0);
    cr_assert_eq(aval_context_create(&ctx), 0);
    cr_assert_eq(aval_context_load_plugins(ctx, AVAL_TEST_PLUGINS, NULL), 0, "%s", aval_error());
    const aval_check_case what = { .size = sizeof what, .op = op, .sample = sample, .type = AVAL_FLOAT };
    cr_assert_eq(aval_check_run(ctx, &what, &r.results, &r.bytes), 0, "%s", aval_error());
    r.info = *aval_device_info_at(ctx, 0);
    const aval_check_runner runner = { .size = sizeof runner,
                                       .user = &r,
                                       .n_devices = 2,
                                       .device = device,
                                       .number = number,
                                       .compiler = compiler,
                                       .begin = begin,
                                       .finish = finish };
    const aval_check_options options = { .size = sizeof options, .runner = &runner };
    size_t all, passed, failed, n = 1;
    cr_assert_eq(judge(ctx, &options, &what, &all, &failed), 0);
    cr_assert_gt(all, 0);
    cr_assert_eq(failed, 0);
    for (;; n++) {
        fail_alloc_at(n);
        int status = judge(ctx, &options, &what, &passed, &failed);
        size_t count = fail_alloc_count(), left = fail_alloc_outstanding();
        fail_alloc_off();
        cr_assert_eq(left, 0, "allocation %zu failed: %zu blocks were not given back", n, left);
        if (count < n) break;
        cr_assert(status == AVAL_E_MEMORY || failed > 0 || passed == all, "allocation %zu failed: status %d, %zu of %zu passed", n, status,
                  passed, all);
    }
    cr_assert_gt(n, 50);
    aval_free(r.results);
    aval_context_release(ctx);
}

Test(check_memory, a_case_is_given_up_cleanly_when_memory_ends, .timeout = 120)
{
    fail_each("Tanh", &(const aval_sample){ .inputs = "[2,3]" });
}

Test(check_memory, a_case_at_kinks_with_two_outputs_is_given_up_cleanly_when_memory_ends, .timeout = 120)
{
    fail_each("SoftmaxCrossEntropyLoss", &(const aval_sample){ .inputs = "[2,3] i64[2]{1,2}", .flags = AVAL_NO_GRADIENT_CHECK });
}
