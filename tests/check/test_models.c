/* `aval check` of nets: steps compared between devices, and the first launch that differs named.  One of two halves of PoCL is given a
 * compiler that is wrong in one place (tests/layer/lie.c). */
#include "command.h"

#include "aval/aval.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void begin(void)
{
    command_begin();
    setenv("AVAL_CACHE_DIR", "cache", 1);
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    setenv("AVAL_LAYER_SPLIT", "1", 1);
}

TestSuite(models, .init = begin, .fini = command_end, .timeout = 300);

static const char *text_of(json_t *result, const char *key)
{
    return json_string_value(json_object_get(result, key));
}

/* The only failure of the command; for json_decref. */
static json_t *only_failure(const command_outcome *o, json_int_t device)
{
    json_t *all = json_loads(o->out, 0, NULL), *result, *found = NULL;
    size_t i, failed = 0;
    cr_assert_eq(o->exit_code, 1, "exit code %d: %s %s", o->exit_code, o->out, o->err);
    cr_assert_not_null(all, "%s", o->out);
    json_array_foreach(all, i, result)
    {
        if (strcmp(text_of(result, "result"), "failed") != 0) continue;
        failed++;
        found = result;
    }
    cr_assert_eq(failed, 1, "%zu failures: %s", failed, o->out);
    cr_expect_eq(json_integer_value(json_object_get(found, "device_number")), device, "%s", text_of(found, "message"));
    json_incref(found);
    json_decref(all);
    return found;
}

static void expect_launch(const char *command, json_int_t liar, const char *launch)
{
    json_t *failure = only_failure(command_run(command), liar);
    const char *message = text_of(failure, "message");
    cr_expect_str_eq(text_of(failure, "what"), "first launch");
    cr_expect_str_eq(text_of(failure, "blame"), "device", "%s", message);
    cr_expect_not_null(strstr(message, launch), "%s is not named: %s", launch, message);
    cr_expect_not_null(strstr(message, "to see it again: aval check "), "%s", message);
    json_decref(failure);
}

/* What this kernel, and those behind it in its file, load is off by a tenth. */
#define WRONG_FROM(kernel) "__kernel void " kernel "(=>\n#undef LOAD\n#define LOAD(p, i) (1.1f * (p)[i])\n__kernel void " kernel "("
#define WRONG_BACKWARD WRONG_FROM("loss_backward")

Test(models, two_honest_devices_agree_in_every_gradient_and_state)
{
    const command_outcome *o = command_run("check mlp linear --steps 3 --all-devices --json");
    cr_assert_eq(o->exit_code, 0, "%s %s", o->out, o->err);
    static const char *const told[] = { "value loss",
                                        "gradient dloss/ddense1.weight",
                                        "gradient dloss/doutput.bias",
                                        "state dense2.weight",
                                        "state dense1.bias.velocity",
                                        "repeat",
                                        "drift" };
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) cr_expect_not_null(strstr(o->out, told[i]), "%s was not compared", told[i]);
}

Test(models, the_first_launch_of_a_wrong_gradient_is_named_and_pinned_on_its_device)
{
    setenv("AVAL_LAYER_MISCOMPILE", WRONG_BACKWARD, 1);
    expect_launch("check mlp --steps 2 --all-devices --json", 1, ":loss_backward");
    const command_outcome *o = command_run("check mlp --steps 2 --all-devices");
    cr_expect_not_null(strstr(o->out, "to see it again: aval check mlp"), "%s", o->out);
    cr_expect_not_null(strstr(o->out, "see one again with: aval check --replay FOLDER"), "%s", o->out);
}

/* The step alone, from the states before it, on the device and the one beside it. */
Test(models, a_wrong_gradient_leaves_a_folder_that_shows_it_again)
{
    setenv("AVAL_LAYER_MISCOMPILE", WRONG_BACKWARD, 1);
    command_run("check mlp --steps 2 --all-devices --failures kept");
    const char *folder = command_first_entry("kept");
    cr_assert_str_eq(folder, "kept/mlp-step1-device1");
    char *readme = command_read("kept/mlp-step1-device1/README.txt");
    cr_expect_not_null(strstr(readme, ":loss_backward"), "%s", readme);
    cr_expect_not_null(strstr(readme, "aval check --replay kept/mlp-step1-device1"), "%s", readme);
    cr_expect_not_null(strstr(readme, "cross_entropy.cl  -D"), "%s", readme);
    free(readme);
    static const char *const files[] = { "state_0.npy", "input_images.npy", "input_labels.npy", "case.json" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128];
        snprintf(path, sizeof path, "kept/mlp-step1-device1/%s", files[i]);
        cr_expect_eq(access(path, R_OK), 0, "%s is missing", path);
    }
    static const char *const patterns[] = { "kept/mlp-step1-device1/found_*.npy", "kept/mlp-step1-device1/expected_*.npy" };
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        glob_t found;
        cr_expect_eq(glob(patterns[i], 0, NULL, &found), 0, "%s: nothing", patterns[i]);
        globfree(&found);
    }
    expect_launch("check --replay kept/mlp-step1-device1 --json", 1, ":loss_backward");
    unsetenv("AVAL_LAYER_MISCOMPILE");
    const command_outcome *o = command_run("check --replay kept/mlp-step1-device1");
    cr_expect_eq(o->exit_code, 0, "without the fault: %s %s", o->out, o->err);
    o = command_run("check --replay kept/mlp-step1-device1 --shrink --failures small");
    cr_expect_eq(o->exit_code, 1, "%d %s", o->exit_code, o->err);
    cr_expect_not_null(strstr(o->err, "does not fail, so there is nothing to shrink"), "%s", o->err);
    cr_expect_str_eq(command_first_entry("small"), "", "of a step that does not fail");
}

/* Wrong in batches of more than five alone. */
#define WRONG_IN_LARGE_BATCHES \
    "__kernel void loss_backward(=>\n#undef LOAD\n#define LOAD(p, i) ((rows > 5 ? 1.1f : 1) * (p)[i])\n__kernel void loss_backward("

Test(models, a_step_that_fails_is_made_as_small_as_still_fails)
{
    const char *const smallest = "kept/mlp-batch6-layers1-alone-step1-device1";
    char arguments[256];
    setenv("AVAL_LAYER_MISCOMPILE", WRONG_IN_LARGE_BATCHES, 1);
    command_run("check mlp --steps 2 --all-devices --failures kept");
    char *before = command_read("kept/mlp-step1-device1/case.json");
    const command_outcome *o = command_run("check --replay kept/mlp-step1-device1 --shrink --failures kept");
    cr_assert_eq(o->exit_code, 1, "%d %s %s", o->exit_code, o->out, o->err);
    cr_expect_not_null(strstr(o->out, "batch 6, layers 1, and computes gradient dloss/doutput.bias alone"), "%s", o->out);
    cr_expect_not_null(strstr(o->out, smallest), "%s", o->out);
    char *after = command_read("kept/mlp-step1-device1/case.json");
    cr_expect_str_eq(after, before, "the folder that it came from");
    snprintf(arguments, sizeof arguments, "check --replay %s --json", smallest);
    expect_launch(arguments, 1, ":loss_backward");
    snprintf(arguments, sizeof arguments, "check --replay %s --shrink --failures kept", smallest);
    o = command_run(arguments);
    cr_expect_eq(o->exit_code, 1, "%d %s", o->exit_code, o->err);
    cr_expect_not_null(strstr(o->err, "nothing smaller than"), "%s", o->err);
    unsetenv("AVAL_LAYER_MISCOMPILE");
    snprintf(arguments, sizeof arguments, "check --replay %s", smallest);
    o = command_run(arguments);
    cr_expect_eq(o->exit_code, 0, "without the fault: %s %s", o->out, o->err);
    free(before);
    free(after);
}

/* Wrong from the second step on: the folder has the states after the first. */
Test(models, a_later_step_is_shown_again_from_its_own_states)
{
    setenv("AVAL_LAYER_LIE", "nan:60", 1);
    command_run("check mlp --steps 3 --all-devices --failures kept");
    unsetenv("AVAL_LAYER_LIE");
    const char *folder = command_first_entry("kept");
    cr_assert_neq(folder[0], 0);
    char arguments[600];
    snprintf(arguments, sizeof arguments, "check --replay %s", folder);
    const command_outcome *o = command_run(arguments);
    cr_expect_eq(o->exit_code, 0, "an honest device: %s %s", o->out, o->err);
}

Test(models, a_leader_that_is_wrong_is_named_and_not_those_that_differ_from_it)
{
    setenv("AVAL_LAYER_MISCOMPILE", WRONG_BACKWARD, 1);
    setenv("AVAL_LAYER_LIAR", "0", 1);
    expect_launch("check mlp --steps 2 --all-devices --json", 0, ":loss_backward");
}

Test(models, the_first_launch_of_a_wrong_loss_is_named_by_the_referee)
{
    setenv("AVAL_LAYER_MISCOMPILE", WRONG_FROM("loss_rows"), 1);
    expect_launch("check mlp --steps 2 --all-devices --json", 1, "SoftmaxCrossEntropyLoss");
}

Test(models, a_fault_deep_in_a_convolutional_net_is_named)
{
    setenv("AVAL_LAYER_MISCOMPILE", WRONG_FROM("max_pool_scatter"), 1);
    expect_launch("check lenet --steps 1 --batch 4 --all-devices --json", 1, ":max_pool_scatter");
}

Test(models, a_device_that_does_not_repeat_itself_is_told_with_the_launch)
{
    setenv("AVAL_LAYER_LIE", "nan:30", 1);
    json_t *failure = only_failure(command_run("check mlp --steps 2 --all-devices --json"), 1);
    cr_expect_str_eq(text_of(failure, "what"), "repeat");
    cr_expect_not_null(strstr(text_of(failure, "message"), "launch "), "%s", text_of(failure, "message"));
    json_decref(failure);
}

Test(models, a_crash_in_a_step_is_a_row_and_the_others_go_on)
{
    setenv("AVAL_LAYER_LIE", "crash:60", 1);
    const command_outcome *o = command_run("check mlp --steps 2 --all-devices --json");
    cr_expect_eq(o->exit_code, 3);
    cr_expect_not_null(strstr(o->out, "\"crashed\""), "%s", o->out);
    cr_expect_not_null(strstr(o->out, "\"passed\""));
}

Test(models, all_gradients_are_checked_by_differences_with_one_command)
{
    unsetenv("AVAL_LAYER_SPLIT");
    const command_outcome *o = command_run("check mlp --layers 12,8 --gradients --json");
    cr_assert_eq(o->exit_code, 0, "%s %s", o->out, o->err);
    cr_expect_not_null(strstr(o->out, "gradient by dense1.weight"), "%s", o->out);
    cr_expect_not_null(strstr(o->out, "gradient by output.bias"));
    setenv("AVAL_LAYER_MISCOMPILE", WRONG_BACKWARD, 1);
    setenv("AVAL_LAYER_LIAR", "0", 1);
    o = command_run("check mlp --layers 12,8 --gradients");
    cr_expect_eq(o->exit_code, 1);
    cr_expect_not_null(strstr(o->out, "by differences"), "%s", o->out);
}

Test(models, one_device_is_held_against_the_referee_without_a_process_of_its_own_too)
{
    unsetenv("AVAL_LAYER_SPLIT");
    const command_outcome *o = command_run("check linear --steps 2 --in-process --json");
    cr_assert_eq(o->exit_code, 0, "%s %s", o->out, o->err);
    cr_expect_not_null(strstr(o->out, "value loss"));
}

/* y = tanh(x W), as a file: of free axes, or with a free batch alone. */
static void save_onnx(const char *file, int64_t inner)
{
    aval_context *ctx;
    aval_store *store;
    const int64_t shape[] = { inner < 0 ? 1 : inner, 4 }, as_column[] = { -1, 1 };
    cr_assert_eq(aval_context_create(&ctx), 0);
    cr_assert_eq(aval_context_load_plugins(ctx, AVAL_TEST_PLUGINS, NULL), 0, "%s", aval_error());
    cr_assert_eq(aval_store_create(ctx, &store), 0);
    cr_assert_eq(aval_store_random(store, "W", AVAL_FLOAT, 2, shape, AVAL_INIT_UNIFORM, 1, 7), 0);
    aval_graph *g = aval_graph_create(ctx);
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(-1, inner)), *w = aval_graph_state(g, "W", AVAL_FLOAT, 2, shape);
    if (inner < 0) x = aval_apply(g, "Reshape", NULL, x, aval_graph_constant(g, AVAL_INT64, AVAL_SHAPE(2), as_column));
    aval_value *y = aval_apply(g, "Tanh", NULL, aval_apply(g, "MatMul", NULL, x, w));
    cr_assert_eq(aval_model_save(g, store, (aval_value *const[]){ y }, (const char *[]){ "y" }, 1, file), 0, "%s", aval_error());
    aval_graph_release(g);
    aval_store_release(store);
    aval_context_release(ctx);
}

Test(models, a_file_is_fed_random_numbers_and_differentiated_by_its_weights)
{
    save_onnx("net.onnx", 3);
    const command_outcome *o = command_run("check net.onnx --steps 2 --all-devices --json");
    cr_assert_eq(o->exit_code, 0, "%s %s", o->out, o->err);
    cr_expect_not_null(strstr(o->out, "gradient dsquares/dW"), "%s", o->out);
    o = command_run("check net.onnx --gradients --json");
    cr_assert_eq(o->exit_code, 0, "%s %s", o->out, o->err);
    cr_expect_not_null(strstr(o->out, "gradient by W"), "%s", o->out);
    o = command_run("check net.onnx --forward --steps 1 --json");
    cr_assert_eq(o->exit_code, 0, "%s %s", o->out, o->err);
    cr_expect_null(strstr(o->out, "gradient"));
    o = command_run("check nowhere.onnx");
    cr_expect_eq(o->exit_code, 2);
    cr_expect_not_null(strstr(o->err, "nowhere.onnx"), "%s", o->err);
}

Test(models, a_file_is_made_smaller_along_its_free_axes_and_stops_at_the_launch)
{
    save_onnx("net.onnx", -1);
    setenv("AVAL_LAYER_MISCOMPILE", "aval_of(tanh, =>1.1f * aval_of(tanh, ", 1);
    command_run("check net.onnx --steps 1 --all-devices --failures kept");
    cr_assert_str_eq(command_first_entry("kept"), "kept/net.onnx-step1-device1");
    const command_outcome *o = command_run("check --replay kept/net.onnx-step1-device1 --shrink --failures small --json");
    json_t *all = json_loads(o->out, 0, NULL), *model = json_object_get(all, "model");
    cr_assert_eq(o->exit_code, 1, "%d %s %s", o->exit_code, o->out, o->err);
    cr_expect_eq(json_integer_value(json_object_get(model, "batch")), 1, "%s", o->out);
    cr_expect_eq(json_integer_value(json_object_get(model, "length")), 1, "%s", o->out);
    cr_expect_str_eq(text_of(model, "only"), "value y", "what the launch of tanh makes: %s", o->out);
    cr_expect_eq(access(text_of(all, "folder"), R_OK), 0, "%s", o->out);
    json_decref(all);
}

#ifndef AVAL_TEST_SANITIZED /* Mesa leaks what it keeps */
Test(models, different_compilers_agree_where_they_are)
{
    unsetenv("OCL_ICD_VENDORS");
    unsetenv("AVAL_LAYER_SPLIT");
    unsetenv("OPENCL_LAYERS");
    setenv("RUSTICL_ENABLE", "llvmpipe", 1);
    const command_outcome *o = command_run("check lenet mlp --steps 2 --batch 8 --all-devices --json");
    cr_expect_eq(o->exit_code, 0, "%s %s", o->out, o->err);
}
#endif
