/* Weights of others: names by rules, what is missing, unexpected or of another shape in one message, conversions. */
#include "exec/rig.h"
#include "fail_alloc.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static aval_context *context;
static aval_store *store, *other;
static char file[64];

static void open_stores(void)
{
    rig_environment(NULL);
    snprintf(file, sizeof file, "/tmp/aval-weights-XXXXXX");
    int fd = mkstemp(file);
    cr_assert(fd >= 0);
    close(fd);
    RIG_OK(aval_context_create(&context));
    RIG_OK(aval_store_create(context, &store));
    RIG_OK(aval_store_create(context, &other));
    /* what torch.nn.Sequential(Linear(3, 2), BatchNorm1d(2)) exports */
    RIG_OK(aval_store_set(other, "0.weight", AVAL_FLOAT, AVAL_SHAPE(2, 3), (const float[]){ 1, 2, 3, 4, 5, 6 }));
    RIG_OK(aval_store_set(other, "0.bias", AVAL_FLOAT, AVAL_SHAPE(2), (const float[]){ 7, 8 }));
    RIG_OK(aval_store_set(other, "1.running_mean", AVAL_DOUBLE, AVAL_SHAPE(2), (const double[]){ 0.5, 0.25 }));
    RIG_OK(aval_store_set(other, "1.num_batches_tracked", AVAL_INT64, AVAL_SCALAR, (const int64_t[]){ 9 }));
    RIG_OK(aval_store_save(other, file, NULL));
    RIG_OK(aval_store_fill(store, "dense.0.w", AVAL_FLOAT, AVAL_SHAPE(3, 2), -1));
    RIG_OK(aval_store_fill(store, "dense.0.bias", AVAL_FLOAT, AVAL_SHAPE(2), -1));
    RIG_OK(aval_store_fill(store, "mean", AVAL_FLOAT, AVAL_SHAPE(2), -1));
}

static void close_stores(void)
{
    unlink(file);
    aval_store_release(store);
    aval_store_release(other);
    aval_context_release(context);
}

TestSuite(weights, .init = open_stores, .fini = close_stores);

static const aval_weight_rule rules[] = {
    { .file = "*.num_batches_tracked" },
    { .file = "*.weight", .store = "dense.*.w", .transposed = 1 },
    { .file = "1.running_mean", .store = "mean" },
    { .file = "0.*", .store = "dense.0.*" },
    { .file = NULL },
};

static void expect_content(const char *name, size_t count, const float *expected)
{
    float found[6];
    RIG_OK(aval_store_get(store, name, found, count * sizeof *found));
    for (size_t i = 0; i < count; i++) cr_expect_eq(found[i], expected[i], "%s[%zu] is %g", name, i, (double)found[i]);
}

Test(weights, rules_rename_transpose_leave_out_and_convert)
{
    const aval_weights_options options = { .size = sizeof options, .rules = rules, .convert = 1 };
    aval_weights_report report = { .size = sizeof report };
    RIG_OK(aval_store_load_weights(store, file, &options, &report));
    cr_expect(report.loaded == 3 && report.missing == 0 && report.unexpected == 0);
    expect_content("dense.0.w", 6, (const float[]){ 1, 4, 2, 5, 3, 6 });
    expect_content("dense.0.bias", 2, (const float[]){ 7, 8 });
    expect_content("mean", 2, (const float[]){ 0.5f, 0.25f });
}

Test(weights, what_is_missing_and_unexpected_stands_in_one_message_and_nothing_changes)
{
    cr_expect_eq(aval_store_load_weights(store, file, NULL, NULL), AVAL_E_UNKNOWN);
    cr_expect_not_null(strstr(aval_error(), "the file lacks 3 of the store: 'dense.0.w', 'dense.0.bias', 'mean'"), "%s", aval_error());
    cr_expect_not_null(strstr(aval_error(), "the store lacks 4 of the file: "), "%s", aval_error());
    cr_expect_not_null(strstr(aval_error(), "'0.weight'"), "%s", aval_error());
    expect_content("mean", 2, (const float[]){ -1, -1 });
}

Test(weights, missing_and_unexpected_names_may_be_allowed_and_are_counted)
{
    const aval_weights_options options = { .size = sizeof options,
                                           .rules = &rules[3],
                                           .allow = AVAL_ALLOW_MISSING | AVAL_ALLOW_UNEXPECTED };
    aval_weights_report report = { .size = sizeof report };
    RIG_OK(aval_store_load_weights(store, file, &options, &report));
    cr_expect(report.loaded == 1 && report.missing == 2 && report.unexpected == 3, "%zu, %zu, %zu", report.loaded, report.missing,
              report.unexpected);
    expect_content("dense.0.bias", 2, (const float[]){ 7, 8 });
}

Test(weights, all_shapes_and_types_that_do_not_fit_are_named)
{
    const aval_weight_rule straight[] = {
        { .file = "0.weight", .store = "dense.0.w" },
        { .file = "0.bias", .store = "dense.0.bias" },
        { .file = "1.running_mean", .store = "mean" },
        { .file = "*.num_batches_tracked" },
        { .file = NULL },
    };
    const aval_weights_options options = { .size = sizeof options, .rules = straight };
    cr_expect_eq(aval_store_load_weights(store, file, &options, NULL), AVAL_E_SHAPE);
    cr_expect_not_null(strstr(aval_error(), "'0.weight' is float[2,3] in the file, but 'dense.0.w' float[3,2] in the store"), "%s",
                       aval_error());
    cr_expect_not_null(strstr(aval_error(), "'1.running_mean' is double[2] in the file, but 'mean' float[2] in the store (`convert`"), "%s",
                       aval_error());
    expect_content("dense.0.bias", 2, (const float[]){ -1, -1 });
}

Test(weights, two_that_become_one_are_refused)
{
    const aval_weight_rule both[] = { { .file = "0.bias", .store = "mean" },
                                      { .file = "1.running_mean", .store = "mean" },
                                      { .file = NULL } };
    const aval_weights_options options = { .size = sizeof options, .rules = both, .allow = 3, .convert = 1 };
    cr_expect_eq(aval_store_load_weights(store, file, &options, NULL), AVAL_E_ARGUMENT);
    cr_expect_not_null(strstr(aval_error(), "2 entries of the file are to become 'mean'"), "%s", aval_error());
    aval_weights_options grown = { .size = 1 };
    cr_expect_eq(aval_store_load_weights(store, file, &grown, NULL), AVAL_E_ARGUMENT);
}

Test(weights, each_failing_allocation_is_an_error_without_a_leak)
{
    const aval_weights_options options = { .size = sizeof options, .rules = rules, .convert = 1 };
    for (size_t n = 1;; n++) {
        fail_alloc_at(n);
        int status = aval_store_load_weights(store, file, &options, NULL);
        size_t outstanding = fail_alloc_outstanding(), allocations = fail_alloc_count();
        fail_alloc_off();
        cr_assert(status == AVAL_OK || status == AVAL_E_MEMORY, "allocation %zu: %d, %s", n, status, aval_error());
        cr_assert_eq(outstanding, 0, "allocation %zu: %zu were not given back", n, outstanding);
        if (allocations < n) break;
        cr_assert_eq(status, AVAL_E_MEMORY, "allocation %zu", n);
    }
}
