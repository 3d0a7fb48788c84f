/* aval tune: what it tells, remembers and forgets. */
#include "program.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void begin(void)
{
    program_begin();
    setenv("AVAL_CACHE_DIR", program_folder, 1);
}

TestSuite(tune, .init = begin, .fini = program_end, .timeout = 300);

static size_t count(json_t *rows, const char *what)
{
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) n += json_is_true(json_object_get(json_array_get(rows, i), what));
    return n;
}

Test(tune, tells_each_way_and_its_choice_which_is_listed_until_it_is_forgotten)
{
    json_t *rows = json_loads(program_expect_ok("tune 48x40x56 --budget 5 --json")->out, 0, NULL);
    cr_assert_gt(json_array_size(rows), 1);
    cr_expect_eq(count(rows, "untuned"), 1);
    cr_expect_eq(count(rows, "chosen"), 1);
    cr_expect_eq(count(rows, "right"), json_array_size(rows));
    json_decref(rows);
    cr_expect_not_null(strstr(program_expect_ok("tune --list")->out, "float 48 x 40 x 56 "));
    rows = json_loads(program_expect_ok("tune --list --json")->out, 0, NULL);
    cr_expect_eq(json_array_size(rows), 1);
    json_decref(rows);
    cr_expect_not_null(strstr(program_expect_ok("tune 48x40x56")->out, "0 classes of products and ops were tuned"), "it is known");
    program_expect_ok("tune --forget");
    cr_expect_str_eq(program_expect_ok("tune --list")->out, "nothing is tuned on this device\n");
}

Test(tune, nets_are_tuned_in_their_time_and_plans_tell_it)
{
    const outcome *o = program_expect_ok("tune mlp --batch 4 --budget 0.5");
    cr_expect_not_null(strstr(o->out, "classes of products and ops were tuned"), "%s", o->out);
    o = program_expect_ok("tune mlp --batch 4 --budget 0.001"); /* which may be enough to try the untuned way */
    cr_expect(strstr(o->out, "there was no time") != NULL || strstr(o->out, "not to the end") != NULL, "%s", o->out);
}

Test(tune, parameters_of_clblast_are_chosen_and_taken_by_the_next_process)
{
    json_t *rows = json_loads(program_expect_ok("tune --clblast 100x70x90 --json --budget 0.01")->out, 0, NULL);
    cr_assert_geq(json_array_size(rows), 1);
    cr_expect_eq(count(rows, "untuned"), 1);
    cr_expect_eq(count(rows, "chosen"), 1);
    cr_expect_eq(count(rows, "right"), json_array_size(rows));
    json_decref(rows);
    cr_expect_not_null(strstr(program_expect_ok("tune --list")->out, "float, parameters of CLBlast"));
    setenv("AVAL_GEMM", "clblast", 1);
    program_expect_ok("check MatMul --quick --type float");
}

Test(tune, wrong_use_is_refused)
{
    program_expect_refused("tune --clblast", 2, "one net, model or product");
    program_expect_refused("tune 48x40", 2, "'48x40' is no network");
    program_expect_refused("tune 0x1x1", 2, "no product");
    program_expect_refused("tune mlp --budget 0", 2, "seconds above 0");
    program_expect_refused("tune mlp --list", 2, "for all that is remembered");
    program_expect_refused("tune --list --forget", 2, "one of");
    program_expect_refused("tune missing.onnx", 2, "missing.onnx");
}
