/* Whole trainings on the digits: accuracy, bitwise reproducibility, resuming, interruption. */
#include "train/train.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char folder[64], first_file[96], second_file[96];
static aval_context *ctx;
static aval_dataset *train_data, *test_data;

static void begin(void)
{
    setenv("OCL_ICD_VENDORS", "/etc/OpenCL/vendors/pocl.icd", 0); /* the platform that is always there; another by the environment */
    snprintf(folder, sizeof folder, "/tmp/aval-test-train-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(first_file, sizeof first_file, "%s/first.safetensors", folder);
    snprintf(second_file, sizeof second_file, "%s/second.safetensors", folder);
    cr_assert_eq(aval_context_create(&ctx), 0);
    cr_assert_eq(aval_context_load_plugins(ctx, AVAL_TEST_PLUGINS, NULL), 0, "%s", aval_error());
    cr_assert_eq(aval_dataset_open_digits(1, &train_data), 0, "%s", aval_error());
    cr_assert_eq(aval_dataset_open_digits(0, &test_data), 0, "%s", aval_error());
}

static void end(void)
{
    aval_dataset_release(train_data);
    aval_dataset_release(test_data);
    aval_context_release(ctx);
    unlink(first_file);
    unlink(second_file);
    rmdir(folder);
}

TestSuite(training, .init = begin, .fini = end);

static aval_train_report train(aval_train_options options)
{
    aval_train_report report = { .size = sizeof report };
    options.size = sizeof options;
    int status = aval_train(ctx, &options, train_data, test_data, NULL, NULL, &report);
    cr_assert_eq(status, 0, "%s", aval_error());
    return report;
}

static double mean_accuracy(aval_train_options options, uint64_t seeds)
{
    double sum = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        options.seed = seed;
        sum += train(options).test_accuracy;
    }
    return sum / (double)seeds;
}

static void expect_same_files(const char *a, const char *b)
{
    FILE *f = fopen(a, "rb"), *g = fopen(b, "rb");
    cr_assert(f != NULL && g != NULL);
    size_t at = 0;
    int x, y;
    do {
        x = getc(f);
        y = getc(g);
        cr_assert_eq(x, y, "%s and %s differ at byte %zu", a, b, at);
        at++;
    } while (x != EOF);
    cr_expect_gt(at, 1000);
    fclose(f);
    fclose(g);
}

Test(training, mlp_reaches_96_percent_in_the_mean_of_5_seeds)
{
    double accuracy = mean_accuracy((aval_train_options){ .net = "mlp" }, 5);
    cr_expect_geq(accuracy, 0.96, "found %g", accuracy);
}

Test(training, lenet_reaches_97_percent)
{
    double accuracy = mean_accuracy((aval_train_options){ .net = "lenet" }, 1);
    cr_expect_geq(accuracy, 0.97, "found %g", accuracy);
}

Test(training, linear_reaches_92_percent)
{
    double accuracy = mean_accuracy((aval_train_options){ .net = "linear" }, 1);
    cr_expect_geq(accuracy, 0.92, "found %g", accuracy);
}

Test(training, every_activation_and_loss_learns)
{
    for (const aval__activation *a = aval__activations; a->name != NULL; a++) {
        for (const aval__loss *l = aval__losses; l->name != NULL; l++) {
            double accuracy = train((aval_train_options){ .activation = a->name, .loss = l->name, .epochs = 5 }).test_accuracy;
            cr_expect_geq(accuracy, 0.88, "%s with %s: %g", a->name, l->name, accuracy);
        }
    }
}

Test(training, nesterov_weight_decay_and_dropout_learn)
{
    aval_train_options o = { .nesterov = 1, .weight_decay = 1e-4, .dropout = 0.2, .layers = "64,64", .epochs = 5 };
    double accuracy = train(o).test_accuracy;
    cr_expect_geq(accuracy, 0.9, "found %g", accuracy);
}

Test(training, one_seed_gives_the_same_bits_twice_and_another_seed_others)
{
    aval_train_options o = { .epochs = 2, .dropout = 0.1, .seed = 5, .save = first_file };
    double loss = train(o).train_loss;
    o.save = second_file;
    cr_expect_eq(train(o).train_loss, loss);
    expect_same_files(first_file, second_file);
    o.seed = 6;
    cr_expect_neq(train(o).train_loss, loss);
}

Test(training, resuming_after_an_epoch_goes_on_bit_for_bit)
{
    aval_train_options o = { .epochs = 3, .dropout = 0.1, .save = first_file };
    train(o);
    o.epochs = 1;
    o.save = second_file;
    train(o);
    train((aval_train_options){ .epochs = 3, .resume = second_file, .save = second_file });
    expect_same_files(first_file, second_file);
}

Test(training, resuming_in_the_middle_of_an_epoch_goes_on_bit_for_bit)
{
    aval_train_options o = { .epochs = 2, .dropout = 0.1, .save = first_file };
    aval_train_report whole = train(o);
    o.save = second_file;
    o.stop_after_steps = 17;
    aval_train_report part = train(o);
    cr_expect_eq(part.interrupted, 1);
    cr_expect_eq(part.steps, 17);
    aval_train_report rest = train((aval_train_options){ .resume = second_file, .save = second_file });
    cr_expect_eq(part.steps + rest.steps, whole.steps);
    cr_expect_eq(rest.train_loss, whole.train_loss);
    expect_same_files(first_file, second_file);
}

Test(training, a_finished_checkpoint_is_evaluated_only)
{
    double accuracy = train((aval_train_options){ .epochs = 1, .save = first_file }).test_accuracy;
    aval_train_report again = train((aval_train_options){ .resume = first_file });
    cr_expect_eq(again.steps, 0);
    cr_expect_eq(again.test_accuracy, accuracy);
}

static int stop_at_once(void *user, const aval_train_progress *p)
{
    (void)p;
    ++*(int *)user;
    return 1;
}

Test(training, a_callback_ends_it_after_saving)
{
    int calls = 0;
    aval_train_options o = { .size = sizeof o, .save_interrupted = first_file };
    aval_train_report report = { .size = sizeof report };
    cr_assert_eq(aval_train(ctx, &o, train_data, test_data, stop_at_once, &calls, &report), 0, "%s", aval_error());
    cr_expect_eq(calls, 1);
    cr_expect_eq(report.steps, 1);
    cr_expect_eq(report.interrupted, 1);
    cr_expect_eq(access(first_file, R_OK), 0);
}

static int remember(void *user, const aval_train_progress *p)
{
    if (p->epoch_done) *(aval_train_progress *)user = *p;
    return 0;
}

Test(training, progress_and_report_tell_the_same)
{
    aval_train_progress last = { 0 };
    aval_train_options o = { .size = sizeof o, .epochs = 2 };
    aval_train_report report = { .size = sizeof report };
    cr_assert_eq(aval_train(ctx, &o, train_data, test_data, remember, &last, &report), 0, "%s", aval_error());
    cr_expect_eq(last.epoch, 2);
    cr_expect_eq(last.step, 45);
    cr_expect_eq(last.loss, report.train_loss);
    cr_expect_eq(last.test_accuracy, report.test_accuracy);
    cr_expect_eq(report.parameters, 64 * 128 + 128 + 128 * 128 + 128 + 128 * 10 + 10);
}

Test(training, the_first_loss_is_that_of_the_best_constant_answer)
{
    /* 10 classes, nearly balanced: log 10, since the untrained output layer is small and its bias is the frequencies' logarithm */
    aval_train_options o = { .stop_after_steps = 1, .lr = 1e-9, .epochs = 1, .batch = 1438 };
    double loss = train(o).train_loss;
    cr_expect_float_eq(loss, log(10), 0.1, "found %g", loss);
}

Test(training, divergence_is_an_error_that_names_the_learning_rate)
{
    aval_train_options o = { .size = sizeof o, .lr = 1e6, .epochs = 3, .loss = "mse" };
    cr_expect_eq(aval_train(ctx, &o, train_data, test_data, NULL, NULL, NULL), AVAL_E_ANOMALY);
    cr_expect_not_null(strstr(aval_error(), "learning rate"), "%s", aval_error());
}

Test(training, anomaly_mode_ends_at_the_first_node_that_makes_infinity)
{
    aval_train_options o = { .size = sizeof o, .lr = 1e30, .epochs = 3, .loss = "mse", .anomaly = 1 };
    cr_expect_eq(aval_train(ctx, &o, train_data, test_data, NULL, NULL, NULL), AVAL_E_ANOMALY);
    cr_expect_not_null(strstr(aval_error(), "dense1"), "%s", aval_error());
}

static int count_steps(void *user, const aval_train_progress *p)
{
    *(uint64_t *)user = p->step;
    return 0;
}

/* With a step a read of the loss, as where a step takes long. */
Test(training, divergence_ends_the_epoch_where_it_is_seen)
{
    uint64_t steps = 0;
    aval_train_options o = { .size = sizeof o, .lr = 1e30, .epochs = 1, .batch = 1, .loss = "mse" };
    cr_expect_eq(aval_train(ctx, &o, train_data, test_data, count_steps, &steps, NULL), AVAL_E_ANOMALY);
    cr_expect_lt(steps, 1438);
}

Test(training, divergence_by_weight_decay_is_told_as_such)
{
    aval_train_options o = { .size = sizeof o, .weight_decay = 100, .epochs = 3 };
    cr_expect_eq(aval_train(ctx, &o, train_data, test_data, NULL, NULL, NULL), AVAL_E_ANOMALY);
    cr_expect_not_null(strstr(aval_error(), "a weight decay of 100"), "%s", aval_error());
}

static int remember_first(void *user, const aval_train_progress *p)
{
    double *first = user;
    if (p->epoch == 2 && p->step == 1) *first = p->loss;
    return 0;
}

/* One batch is the whole epoch but an example: the loss shown at step 1 of epoch 2 is that of the step. */
Test(training, progress_begins_an_epoch_with_its_own_loss)
{
    double first = 0;
    aval_train_progress last = { 0 };
    aval_train_options o = { .size = sizeof o, .epochs = 1, .batch = 1437, .seed = 3 };
    cr_assert_eq(aval_train(ctx, &o, train_data, test_data, remember, &last, NULL), 0);
    o.epochs = 2;
    cr_assert_eq(aval_train(ctx, &o, train_data, test_data, remember_first, &first, NULL), 0);
    cr_expect_gt(first, 0);
    cr_expect_neq(first, last.loss);
}

Test(training, a_place_that_cannot_be_written_is_found_before_the_first_step)
{
    int calls = 0;
    aval_train_options o = { .size = sizeof o, .save = "/nowhere/a.safetensors" };
    cr_expect_eq(aval_train(ctx, &o, train_data, test_data, stop_at_once, &calls, NULL), AVAL_E_IO);
    cr_expect_eq(calls, 0);
}

Test(training, a_layer_larger_than_the_device_allows_is_refused_before_anything_runs)
{
    aval_train_options o = { .size = sizeof o, .layers = "1000000000" };
    cr_expect_eq(aval_train(ctx, &o, train_data, test_data, NULL, NULL, NULL), AVAL_E_DEVICE_MEMORY);
    cr_expect_not_null(strstr(aval_error(), "dense1.weight"), "%s", aval_error());
}

Test(training, a_file_that_is_no_checkpoint_is_refused)
{
    aval_store *store;
    cr_assert_eq(aval_store_create(ctx, &store), 0);
    cr_assert_eq(aval_store_fill(store, "x", AVAL_FLOAT, AVAL_SHAPE(2), 1), 0);
    cr_assert_eq(aval_store_save(store, first_file, NULL), 0, "%s", aval_error());
    aval_store_release(store);
    aval_train_options o = { .size = sizeof o, .resume = first_file };
    cr_expect_eq(aval_train(ctx, &o, train_data, test_data, NULL, NULL, NULL), AVAL_E_FORMAT);
    cr_expect_not_null(strstr(aval_error(), first_file), "%s", aval_error());
}
