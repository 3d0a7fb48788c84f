/* aval train: what it prints, what it refuses. */
#include "program.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

TestSuite(train_command, .init = program_begin, .fini = program_end);

static const uint8_t images[] = { 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4 };
static const uint8_t labels[] = { 0, 0, 8, 1, 0, 0, 0, 2, 1, 0 };

/* A folder of two images each to train and to test on. */
static void write_data(void)
{
    program_write("train-images-idx3-ubyte", images, sizeof images);
    program_write("train-labels-idx1-ubyte", labels, sizeof labels);
    program_write("t10k-images-idx3-ubyte", images, sizeof images);
    program_write("t10k-labels-idx1-ubyte", labels, sizeof labels);
}

Test(train_command, prints_device_epochs_and_the_test_accuracy_last)
{
    const outcome *o = program_expect_ok("train linear --epochs 2");
    cr_expect_eq(strncmp(o->out, "training linear on ", 19), 0, "%s", o->out);
    cr_expect_not_null(strstr(o->out, "1438 examples of 8 x 8 pixels"), "%s", o->out);
    cr_expect_not_null(strstr(o->out, "epoch   2/2  loss "), "%s", o->out);
    cr_expect_str_empty(o->err, "progress bars are for terminals: %s", o->err);
    double percent, right;
    cr_assert_eq(sscanf(program_last_line(o), "test accuracy %lf %% (%lf of 359)", &percent, &right), 2, "%s", o->out);
    cr_expect_lt(fabs(100 * right / 359 - percent), 0.006);
}

Test(train_command, no_rate_is_printed_where_every_step_built_kernels)
{
    const outcome *o = program_expect_ok("train linear --epochs 1 --batch 100000");
    cr_expect_null(strstr(o->out, "examples/s"), "%s", o->out);
}

Test(train_command, quiet_prints_the_last_line_only)
{
    const outcome *o = program_expect_ok("train linear --epochs 1 --quiet");
    cr_expect_eq(strncmp(o->out, "test accuracy ", 14), 0, "%s", o->out);
}

Test(train_command, stops_after_so_many_steps_without_a_test_and_saves_where_told)
{
    const outcome *o = program_expect_ok("train linear --stop-after 2 --quiet");
    cr_expect_str_empty(o->out, "%s", o->out);
    cr_expect_neq(access("aval-interrupted.safetensors", F_OK), 0, "that file is for interrupted trainings");
    o = program_expect_ok("train linear --stop-after 2 --save s.safetensors");
    cr_expect_not_null(strstr(program_last_line(o), "saved to s.safetensors"), "%s", o->out);
    o = program_expect_ok("train --resume s.safetensors --epochs 1 --quiet");
    cr_expect_eq(strncmp(o->out, "test accuracy ", 14), 0, "%s", o->out);
}

Test(train_command, json_is_one_object)
{
    json_t *o = json_loads(program_expect_ok("train linear --epochs 2 --json")->out, 0, NULL);
    cr_assert_not_null(o);
    cr_expect_eq(json_array_size(json_object_get(o, "epochs")), 2);
    cr_expect_gt(json_real_value(json_object_get(o, "seconds_to_first_step")), 0);
    cr_expect_gt(json_real_value(json_object_get(o, "test_accuracy")), 0.5);
    json_decref(o);
}

Test(train_command, trains_on_a_folder_of_idx_files)
{
    write_data();
    const outcome *o = program_expect_ok("train mlp --layers 4 --epochs 1 --data .");
    cr_expect_not_null(strstr(program_last_line(o), "of 2)"), "%s", o->out);
}

Test(train_command, bad_data_is_refused_with_2)
{
    program_expect_refused("train --data /nowhere", 2, "/nowhere");
    write_data();
    program_write("train-images-idx3-ubyte", images, sizeof images - 1);
    program_expect_refused("train --data .", 2, "truncated");
    program_write("train-images-idx3-ubyte", labels, sizeof labels);
    program_expect_refused("train --data .", 2, "magic");
    const uint8_t one_label[] = { 0, 0, 8, 1, 0, 0, 0, 1, 1 };
    program_write("train-images-idx3-ubyte", images, sizeof images);
    program_write("train-labels-idx1-ubyte", one_label, sizeof one_label);
    program_expect_refused("train --data .", 2, "2 images");
    const uint8_t wider[] = { 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2 };
    write_data();
    program_write("t10k-images-idx3-ubyte", wider, sizeof wider);
    program_expect_refused("train --data . --quiet", 2, "1 x 1");
}

Test(train_command, numbers_are_decimal_and_in_their_range)
{
    const char *const refused[] = { "--lr nan",       "--lr 0",
                                    "--lr inf",       "--lr 0x1p-4",
                                    "--momentum nan", "--momentum 1",
                                    "--dropout nan",  "--dropout 1",
                                    "--epochs 0x10",  "--weight-decay nan",
                                    "--batch ''",     "--seed=-1",
                                    "--stop-after 0", "--seed 18446744073709551616",
                                    "--memory 0",     "--memory 20MB",
                                    "--memory -1",    "--memory 99999999999G" };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        char arguments[128], option[64];
        snprintf(arguments, sizeof arguments, "train linear --quiet %s", refused[i]);
        snprintf(option, sizeof option, "%.*s", (int)strcspn(refused[i], " ="), refused[i]);
        program_expect_refused(arguments, 2, option);
    }
    program_expect_ok("train linear --quiet --epochs 1 --seed 18446744073709551615");
}

Test(train_command, what_the_device_cannot_hold_is_refused_with_2)
{
    program_expect_refused("train mlp --quiet --layers 1000000000", 2, "dense1.weight");
    program_expect_refused("train lenet --quiet --memory 1K", 2, "at least");
}

Test(train_command, a_bound_of_memory_changes_no_result)
{
    char all[128];
    snprintf(all, sizeof all, "%.100s", program_expect_ok("train lenet --quiet --epochs 1")->out);
    cr_expect_str_eq(program_expect_ok("train lenet --quiet --epochs 1 --memory 500K")->out, all);
}

Test(train_command, checkpoints_resume_and_bad_ones_are_refused)
{
    program_expect_ok("train linear --epochs 1 --save a.safetensors");
    const outcome *o = program_expect_ok("train --epochs 2 --resume a.safetensors");
    cr_expect_eq(strncmp(o->out, "going on from a.safetensors on ", 31), 0, "%s", o->out);
    cr_expect_not_null(strstr(o->out, "epoch   2/2"), "%s", o->out);
    program_expect_refused("train mlp --quiet --resume a.safetensors", 2, "made with net linear");
    program_expect_refused("train --quiet --resume nothing.safetensors", 2, "nothing.safetensors");
    program_write("b.safetensors", "hello", 5);
    program_expect_refused("train --quiet --resume b.safetensors", 2, "b.safetensors");
    program_expect_refused("train --quiet linear --epochs 1 --save /nowhere/x", 2, "/nowhere/x");
}
