/* `aval ops` tells on which devices an operator passed its last check. */
#include "command.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void begin(void)
{
    command_begin();
    setenv("AVAL_CACHE_DIR", "cache", 1);
}

TestSuite(remembered, .init = begin, .fini = command_end, .timeout = 120);

Test(remembered, a_check_is_told_by_ops_and_none_is_told_so)
{
    const command_outcome *o = command_run("ops Tanh");
    cr_expect_not_null(strstr(o->out, "not checked on this machine"), "%s", o->out);
    o = command_run("check Tanh --quick --quiet");
    cr_assert_eq(o->exit_code, 0, "%s", o->err);
    o = command_run("ops Tanh");
    cr_expect_not_null(strstr(o->out, ": passes "), "%s", o->out);
    cr_expect_not_null(strstr(o->out, "small samples"), "%s", o->out);
    o = command_run("ops");
    const char *row = strstr(o->out, "\nTanh ");
    cr_assert_not_null(row);
    cr_expect_not_null(strstr(row, "passes on 1 "));
    cr_expect_not_null(strstr(o->out, "not checked"));
}

Test(remembered, a_device_that_fails_is_told_apart_from_its_twin)
{
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    setenv("AVAL_LAYER_SPLIT", "1", 1);
    setenv("AVAL_LAYER_LIE", "off:7", 1);
    const command_outcome *o = command_run("check Tanh --all-devices --quick --quiet");
    cr_assert_eq(o->exit_code, 1, "%s", o->err);
    o = command_run("ops Tanh --json");
    json_t *all = json_loads(o->out, 0, NULL), *checked = json_object_get(json_array_get(all, 0), "checked");
    cr_assert_eq(json_array_size(checked), 2);
    size_t failed = 0;
    for (size_t i = 0; i < 2; i++)
        failed += strcmp(json_string_value(json_object_get(json_array_get(checked, i), "result")), "failed") == 0;
    cr_expect_eq(failed, 1, "%s", o->out);
    json_decref(all);
    o = command_run("ops");
    cr_expect_not_null(strstr(o->out, "FAILS on 1, passes on 1"));
}
