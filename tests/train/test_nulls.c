/* NULL in the calls for checks, data and training; tests/exec/test_nulls.c has those for all else. */
#include "base/base.h"

#include <criterion/criterion.h>
#include <string.h>

#define REFUSED(call) \
    do { \
        aval__fail(AVAL_E_INTERNAL, "an older message"); \
        cr_expect_eq((call), AVAL_E_ARGUMENT, "%s was not refused", #call); \
        cr_expect(strstr(aval_error(), "NULL"), "%s: %s", #call, aval_error()); \
    } while (0)

Test(nulls, are_refused_where_data_is_opened_and_told_about)
{
    size_t height = 7, width = 7;
    aval_dataset *data;
    REFUSED(aval_dataset_open_idx("images", "labels", NULL));
    REFUSED(aval_dataset_open_idx(NULL, "labels", &data));
    REFUSED(aval_dataset_open_folder("folder", 1, NULL));
    REFUSED(aval_dataset_open_folder(NULL, 1, &data));
    REFUSED(aval_dataset_open_digits(1, NULL));
    cr_expect_eq(aval_dataset_count(NULL), 0);
    cr_expect_eq(aval_dataset_classes(NULL), 0);
    aval_dataset_shape(NULL, &height, &width);
    cr_expect_eq(height, 7);
    aval_dataset_release(NULL);
}

Test(nulls, are_refused_by_training_and_checks)
{
    aval_context *ctx;
    aval_dataset *data;
    char *text;
    const aval_train_options options = { .size = sizeof options };
    cr_assert_eq(aval_context_create(&ctx), AVAL_OK, "%s", aval_error());
    cr_assert_eq(aval_dataset_open_digits(0, &data), AVAL_OK, "%s", aval_error());
    aval_dataset_shape(data, NULL, NULL);
    REFUSED(aval_train(NULL, &options, data, data, NULL, NULL, NULL));
    REFUSED(aval_train(ctx, NULL, data, data, NULL, NULL, NULL));
    REFUSED(aval_train(ctx, &options, NULL, data, NULL, NULL, NULL));
    REFUSED(aval_train(ctx, &options, data, NULL, NULL, NULL, NULL));
    REFUSED(aval_train_graph(NULL, &options, data, 1, NULL, NULL, NULL, NULL));
    REFUSED(aval_train_graph(ctx, NULL, data, 1, NULL, NULL, NULL, NULL));
    REFUSED(aval_train_graph(ctx, &options, data, 1, NULL, NULL, NULL, NULL));
    REFUSED(aval_check_ops(NULL, NULL, NULL, NULL));
    REFUSED(aval_check_run(ctx, NULL, NULL, NULL));
    REFUSED(aval_check_replay(ctx, NULL, NULL, NULL, NULL));
    REFUSED(aval_check_shrink(ctx, NULL, NULL, &text));
    REFUSED(aval_check_gradient(NULL, NULL, NULL, 0, NULL, NULL));
    REFUSED(aval_check_model_results(NULL, NULL, NULL));
    aval_dataset_release(data);
    aval_context_release(ctx);
}
