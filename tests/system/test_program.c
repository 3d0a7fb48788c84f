/* The commands that do not train, and wrong use of the program. */
#include "program.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

TestSuite(program, .init = program_begin, .fini = program_end);

static json_t *parse(const outcome *o)
{
    json_error_t error;
    json_t *value = json_loads(o->out, 0, &error);
    cr_assert_not_null(value, "%s", error.text);
    return value;
}

Test(program, wrong_use_ends_with_2_and_says_what_there_is)
{
    program_expect_refused("", 2, "aval help");
    program_expect_refused("trian", 2, "did you mean 'train'?");
    program_expect_refused("xyzzy", 2, "devices, ops, train, predict, check");
    program_expect_refused("--json", 2, "a command was expected");
    program_expect_refused("train --epocs 3", 2, "did you mean '--epochs'?");
    program_expect_refused("train --xyzzy", 2, "--momentum");
    program_expect_refused("train --lr abc", 2, "--lr");
    program_expect_refused("train --epochs 0", 2, "--epochs");
    program_expect_refused("train --batch -3", 2, "--batch");
    program_expect_refused("train mlp lenet", 2, "unexpected argument 'lenet'");
    program_expect_refused("graph", 2, "usage: aval graph MODEL or NET");
    program_expect_refused("graph mlp --dot --plan", 2, "one of");
    program_expect_refused("graph mlp --svg --json", 2, "one of");
    program_expect_refused("bench step --batch 0", 2, "--batch");
    program_expect_refused("help xyzzy", 2, "no command 'xyzzy'");
}

Test(program, unknown_things_are_named_with_what_there_is)
{
    program_expect_refused("train resnet", 2, "unknown net 'resnet': there are linear, mlp, lenet");
    program_expect_refused("graph resnet", 2, "linear, mlp, lenet");
    program_expect_refused("train --activation step", 2, "relu, leaky_relu, tanh, sigmoid");
    program_expect_refused("train --device xyzzy", 2, "xyzzy");
    program_expect_refused("devices --plugin nowhere.so", 2, "nowhere.so");
    program_expect_refused("ops Sofmax", 2, "did you mean 'Softmax'?");
    program_expect_refused("ops relu", 2, "did you mean 'Relu'?");
    program_expect_refused("check Sofmax", 2, "did you mean 'Softmax'?");
    program_expect_refused("check Tanh --seed=-1", 2, "--seed");
    program_expect_refused("check Tanh relu", 2, "did you mean 'Relu'?");
}

Test(program, help_and_version_end_with_0)
{
    cr_expect_not_null(strstr(program_expect_ok("--help")->out, "aval COMMAND"));
    cr_expect_not_null(strstr(program_expect_ok("help train")->out, "--weight-decay"));
    cr_expect_not_null(strstr(program_expect_ok("train --help")->out, "--weight-decay"));
    cr_expect_eq(strncmp(program_expect_ok("--version")->out, "aval 0.", 7), 0);
    cr_expect_eq(strncmp(program_expect_ok("ops --version")->out, "aval 0.", 7), 0);
    cr_expect_not_null(strstr(program_expect_ok("help")->out, "AVAL_CACHE_DIR"));
    cr_expect_null(strstr(program_expect_ok("help warm")->out, "Options of this command"), "it has none");
}

Test(program, devices_are_listed_with_index_kind_and_name)
{
    cr_expect_not_null(strstr(program_expect_ok("devices")->out, "compute units"));
    json_t *all = parse(program_expect_ok("devices --json"));
    cr_assert_gt(json_array_size(all), 0);
    cr_expect(json_is_string(json_object_get(json_array_get(all, 0), "kind")));
    cr_expect(json_is_true(json_object_get(json_array_get(all, 0), "taken")));
    json_decref(all);
}

Test(program, no_platform_at_all_ends_with_3)
{
    setenv("OCL_ICD_VENDORS", "/nowhere", 1);
    program_expect_refused("devices", 3, "pocl-opencl-icd");
    const char *const commands[] = { "train", "graph mlp --plan", "check Tanh", "bench step", "warm", "tune" };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) program_expect_refused(commands[i], 3, "no OpenCL device");
    const outcome *o = program_run("devices --json");
    cr_expect_eq(o->exit_code, 3);
    cr_expect_str_eq(o->out, "[]\n");
    cr_expect_eq(strncmp(program_expect_ok("graph mlp")->out, "digraph", 7), 0, "a drawing needs no device");
}

Test(program, a_wrong_environment_is_wrong_use)
{
    setenv("AVAL_GROUP", "3", 1);
    program_expect_refused("train", 2, "AVAL_GROUP");
    program_expect_refused("devices", 2, "AVAL_GROUP");
}

Test(program, ops_are_listed_and_described)
{
    cr_expect_not_null(strstr(program_expect_ok("ops")->out, "SoftmaxCrossEntropyLoss"));
    cr_expect_not_null(strstr(program_expect_ok("ops LeakyRelu")->out, "attribute alpha = 0.01"));
    cr_expect_not_null(strstr(program_expect_ok("ops aval::Sgd")->out, "the new content of its input 0"));
    json_t *all = parse(program_expect_ok("ops --json LeakyRelu Tanh"));
    cr_assert_eq(json_array_size(all), 2);
    json_t *op = json_array_get(all, 0), *attr = json_array_get(json_object_get(op, "attributes"), 0);
    cr_expect_eq(json_array_size(json_object_get(op, "inputs")), 1);
    cr_expect_eq(json_array_size(json_object_get(op, "outputs")), 1);
    cr_expect_str_eq(json_string_value(json_object_get(attr, "name")), "alpha");
    cr_expect_str_eq(json_string_value(json_object_get(attr, "default")), "0.01");
    json_decref(all);
}

Test(program, a_net_is_drawn_and_planned)
{
    cr_expect_eq(strncmp(program_expect_ok("graph mlp")->out, "digraph", 7), 0);
    cr_expect_not_null(strstr(program_expect_ok("graph lenet --text")->out, "Conv"));
    cr_expect_gt(strlen(program_expect_ok("graph mlp --plan --batch 16")->out), 100);
    const char *bounded = program_expect_ok("graph lenet --plan --memory 500K")->out;
    cr_expect_not_null(strstr(bounded, "bounded: arena"));
    program_expect_refused("graph lenet --plan --memory 1", 2, "at least");
    program_expect_refused("graph lenet --memory 500K", 2, "--plan");
    json_t *o = parse(program_expect_ok("graph mlp --plan --json"));
    cr_expect_str_eq(json_string_value(json_object_get(o, "form")), "plan");
    json_decref(o);
}

Test(program, an_operator_without_the_only_element_type_asked_for_is_no_failure)
{
    const outcome *o = program_run("check And --type=float16");
    cr_expect_eq(o->exit_code, 1, "nothing was compared");
    cr_expect_not_null(strstr(o->err, "nothing was compared of And"), "%s", o->err);
    cr_expect_not_null(strstr(o->out, "skipped: And, coverage, type float16"), "%s", o->out);
    cr_expect_null(strstr(o->out, "failures are in"), "%s", o->out);
}

Test(program, one_op_is_checked)
{
    const outcome *o = program_expect_ok("check Tanh");
    cr_expect_not_null(strstr(program_last_line(o), " 0 failed"), "%s", o->out);
    json_t *all = parse(program_expect_ok("check Tanh --json"));
    cr_expect_gt(json_array_size(all), 0);
    json_decref(all);
}

Test(program, an_operator_is_found_without_its_domain)
{
    cr_expect_not_null(strstr(program_last_line(program_expect_ok("check Accumulate --forward")), " 0 failed"));
    setenv("AVAL_PLUGIN_PATH", program_folder, 1); /* a folder without plugins */
    const outcome *o = program_run("ops Relu");
    cr_expect_eq(o->exit_code, 2);
    cr_expect_not_null(strstr(o->err, "no operators"), "%s", o->err);
}
