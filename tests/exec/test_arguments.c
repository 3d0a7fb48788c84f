/* Numbers and states that do not fit are refused with both sides named. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

TestSuite(arguments, .timeout = 120);

Test(arguments, numbers_that_an_element_type_cannot_hold_are_refused)
{
    static const struct {
        int type;
        double number;
        int status;
    } cases[] = {
        { AVAL_UINT8, 1e9, AVAL_E_ARGUMENT },   { AVAL_UINT8, -1, AVAL_E_ARGUMENT },    { AVAL_UINT8, 255, AVAL_OK },
        { AVAL_INT32, 0.5, AVAL_E_ARGUMENT },   { AVAL_INT32, NAN, AVAL_E_ARGUMENT },   { AVAL_INT32, -2147483648.0, AVAL_OK },
        { AVAL_INT64, 1e300, AVAL_E_ARGUMENT }, { AVAL_BOOL, 2, AVAL_E_ARGUMENT },      { AVAL_BOOL, 1, AVAL_OK },
        { AVAL_FLOAT, 0.1, AVAL_OK },           { AVAL_FLOAT, 1e300, AVAL_E_ARGUMENT }, { AVAL_FLOAT, INFINITY, AVAL_OK },
        { AVAL_FLOAT16, 1e6, AVAL_E_ARGUMENT }, { AVAL_DOUBLE, NAN, AVAL_OK },
    };
    rig r;
    rig_open(&r);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        aval_value *constant = aval_graph_number(r.graph, cases[i].type, cases[i].number);
        cr_expect_eq(constant != NULL, cases[i].status == AVAL_OK, "%s %g", aval_type_name(cases[i].type), cases[i].number);
        cr_expect_eq(aval_graph_status(r.graph), cases[i].status);
        char name[] = { 's', (char)('a' + i), 0 };
        cr_expect_eq(aval_store_fill(r.store, name, cases[i].type, AVAL_SHAPE(2), cases[i].number), cases[i].status, "%s %g",
                     aval_type_name(cases[i].type), cases[i].number);
    }
    cr_expect_null(aval_graph_number(r.graph, AVAL_COMPLEX64, 1));
    cr_expect_eq(aval_graph_status(r.graph), AVAL_E_TYPE);
    cr_expect_eq(aval_store_random(r.store, "n", AVAL_FLOAT, AVAL_SHAPE(2), AVAL_INIT_NORMAL, NAN, 0), AVAL_E_ARGUMENT);
    rig_close(&r);
}

Test(arguments, a_state_of_another_shape_is_told_from_both_sides)
{
    rig r;
    rig_open(&r);
    RIG_OK(aval_store_fill(r.store, "w", AVAL_FLOAT, AVAL_SHAPE(3), 0));
    aval_value *w = aval_graph_state(r.graph, "w", AVAL_FLOAT, AVAL_SHAPE(2));
    aval_value *sum = aval_apply(r.graph, "Add", NULL, w, w);
    cr_expect_eq(aval_session_run(r.session, AVAL_VALUES(sum)), AVAL_E_SHAPE);
    cr_expect(strstr(aval_error(), "state 'w' is float[3] in the store, but the graph has it as float[2]"), "%s", aval_error());
    cr_expect_eq(aval_store_fill(r.store, "w", AVAL_FLOAT, AVAL_SHAPE(2), 0), AVAL_E_SHAPE);
    cr_expect(strstr(aval_error(), "but was given as float[2]: remove it first"), "%s", aval_error());
    rig_close(&r);
}
