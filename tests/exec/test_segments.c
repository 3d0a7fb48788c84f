/* Shapes that only a run can tell: what planning must know is computed first. */
#include "exec/rig.h"

#include <criterion/criterion.h>

/* y = x[6] in the shape that numbers, which are real until they are cast, say: no shape input reads them directly. */
static aval_value *reshape_by(rig *r, aval_value *x, aval_value *numbers)
{
    aval_value *shape = aval_apply(r->graph, "Cast", "to=7", numbers);
    return aval_apply(r->graph, "Reshape", NULL, x, shape);
}

static void expect_dims(rig *r, const aval_value *value, int64_t rows, int64_t cols)
{
    size_t rank = 0;
    int64_t dims[AVAL_MAX_RANK];
    RIG_OK(aval_session_shape(r->session, value, &rank, dims));
    cr_expect(rank == 2 && dims[0] == rows && dims[1] == cols, "rank %zu, %lld x %lld", rank, (long long)dims[0], (long long)dims[1]);
    cr_expect_eq(aval_session_type(r->session, value), AVAL_FLOAT);
}

Test(segments, a_computed_shape_is_read_before_the_rest_is_planned)
{
    rig r;
    float x[6] = { 1, 2, 3, 4, 5, 6 }, out[6];
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 6), *numbers = rig_input(&r, "numbers", 2);
    aval_value *y = aval_apply(r.graph, "Neg", NULL, reshape_by(&r, in, aval_apply(r.graph, "Abs", NULL, numbers)));
    rig_feed(&r, in, x, 6);
    for (int round = 0; round < 4; round++) { /* two shapes in turn */
        rig_feed(&r, numbers, round % 2 ? (float[]){ 3, -2 } : (float[]){ -2, 3 }, 2);
        rig_run(&r, &y, 1);
        expect_dims(&r, y, round % 2 ? 3 : 2, round % 2 ? 2 : 3);
        RIG_OK(aval_session_read(r.session, y, out, sizeof out));
        cr_expect_eq(out[5], -6);
    }
    cr_expect_eq(rig_counters(&r).plans_made, 3, "%llu plans",
                 (unsigned long long)rig_counters(&r).plans_made); /* the segment's, and two */
    rig_close(&r);
}

Test(segments, contents_that_need_each_other_are_computed_in_their_order)
{
    rig r;
    float x[6] = { 1, 2, 3, 4, 5, 6 }, two[2] = { 2, 3 }, out[6];
    int64_t axis[1] = { 1 };
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 6), *numbers = rig_input(&r, "numbers", 2);
    aval_value *grid = reshape_by(&r, in, numbers); /* [2,3] */
    aval_value *sums = aval_apply(r.graph, "ReduceSum", "keepdims=0", grid, aval_graph_constant(r.graph, AVAL_INT64, AVAL_SHAPE(1), axis));
    /* sums is 6, 15: of which 6 / 6 and 15 / 2.5 are a shape again */
    aval_value *parts = aval_graph_constant(r.graph, AVAL_FLOAT, AVAL_SHAPE(2), (float[]){ 6, 2.5f });
    aval_value *y = reshape_by(&r, grid, aval_apply(r.graph, "Div", NULL, sums, parts));
    rig_feed(&r, in, x, 6);
    rig_feed(&r, numbers, two, 2);
    rig_run(&r, (aval_value *[]){ y, grid, sums }, 3);
    expect_dims(&r, y, 1, 6);
    expect_dims(&r, grid, 2, 3);
    RIG_OK(aval_session_read(r.session, y, out, sizeof out));
    cr_expect_eq(out[5], 6);
    rig_close(&r);
}

Test(segments, a_wanted_value_that_planning_had_to_know_can_be_read)
{
    rig r;
    float x[6] = { 0 }, two[2] = { 2, 3 };
    int64_t dims[2] = { 0 };
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 6), *numbers = rig_input(&r, "numbers", 2);
    aval_value *shape = aval_apply(r.graph, "Cast", "to=7", numbers), *y = aval_apply(r.graph, "Reshape", NULL, in, shape);
    rig_feed(&r, in, x, 6);
    rig_feed(&r, numbers, two, 2);
    rig_run(&r, (aval_value *[]){ y, shape }, 2);
    RIG_OK(aval_session_read(r.session, shape, dims, sizeof dims));
    cr_expect(dims[0] == 2 && dims[1] == 3);
    cr_expect_eq(aval_session_type(r.session, shape), AVAL_INT64);
    rig_close(&r);
}

Test(segments, gradients_go_through_what_was_computed_first)
{
    rig r;
    float x[6] = { 1, 2, 3, 4, 5, 6 }, out[6];
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 6);
    aval_value *square = aval_apply(r.graph, "Mul", NULL, in, in);
    /* the last two squares, 25 and 36, over 25 and 6 are the shape */
    aval_value *from = aval_graph_constant(r.graph, AVAL_INT64, AVAL_SHAPE(1), (int64_t[]){ 4 });
    aval_value *to = aval_graph_constant(r.graph, AVAL_INT64, AVAL_SHAPE(1), (int64_t[]){ 6 });
    aval_value *parts = aval_graph_constant(r.graph, AVAL_FLOAT, AVAL_SHAPE(2), (float[]){ 25, 6 });
    aval_value *last = aval_apply(r.graph, "Slice", NULL, square, from, to);
    aval_value *y = reshape_by(&r, square, aval_apply(r.graph, "Div", NULL, last, parts));
    aval_value *dx = aval_graph_gradient(r.graph, y, in, NULL);
    rig_feed(&r, in, x, 6);
    rig_run(&r, (aval_value *[]){ y, dx }, 2);
    expect_dims(&r, y, 1, 6);
    RIG_OK(aval_session_read(r.session, dx, out, sizeof out));
    for (int i = 0; i < 6; i++) cr_expect_float_eq(out[i], 2 * x[i], 1e-6, "%g", (double)out[i]);
    rig_close(&r);
}

Test(segments, a_state_may_say_a_shape)
{
    rig r;
    float x[6] = { 0 };
    int64_t shape[2] = { 3, 2 };
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 6), *state = aval_graph_state(r.graph, "shape", AVAL_INT64, AVAL_SHAPE(2));
    aval_value *y = aval_apply(r.graph, "Reshape", NULL, in, state);
    RIG_OK(aval_store_set(r.store, "shape", AVAL_INT64, AVAL_SHAPE(2), shape));
    rig_feed(&r, in, x, 6);
    rig_run(&r, &y, 1);
    expect_dims(&r, y, 3, 2);
    shape[0] = 1, shape[1] = 6;
    RIG_OK(aval_store_set(r.store, "shape", AVAL_INT64, AVAL_SHAPE(2), shape));
    rig_run(&r, &y, 1);
    expect_dims(&r, y, 1, 6);
    rig_close(&r);
}

Test(segments, what_does_not_fit_once_it_is_known_is_said)
{
    rig r;
    float x[6] = { 0 }, wrong[2] = { 4, 4 };
    rig_open(&r);
    aval_value *in = rig_input(&r, "x", 6), *numbers = rig_input(&r, "numbers", 2), *y = reshape_by(&r, in, numbers);
    rig_feed(&r, in, x, 6);
    rig_feed(&r, numbers, wrong, 2);
    cr_expect_eq(aval_session_run(r.session, AVAL_VALUES(y)), AVAL_E_SHAPE, "%s", aval_error());
    rig_feed(&r, numbers, (float[]){ 6, 1 }, 2);
    rig_run(&r, &y, 1);
    expect_dims(&r, y, 6, 1);
    rig_close(&r);
}

/* ---- One of two ------------------------------------------------------------------------------------------------------------------------ */

static aval_value *reshape_to(rig *r, aval_value *x, int64_t rows, int64_t cols)
{
    aval_value *shape = aval_graph_constant(r->graph, AVAL_INT64, AVAL_SHAPE(2), (int64_t[]){ rows, cols });
    return aval_apply(r->graph, "Reshape", NULL, x, shape);
}

Test(segments, of_two_branches_only_the_one_taken_is_computed_or_need_fit)
{
    rig r;
    float x[6] = { 1, 2, 3, 4, 5, 6 }, dx[6];
    rig_open(&r);
    aval_value *in = aval_graph_input(r.graph, "x", AVAL_FLOAT, AVAL_SHAPE(-1)),
               *sure = aval_graph_input(r.graph, "sure", AVAL_BOOL, AVAL_SCALAR);
    aval_value *six = aval_apply(r.graph, "Mul", NULL, reshape_to(&r, in, 2, 3), reshape_to(&r, in, 2, 3));
    aval_value *four = aval_apply(r.graph, "Neg", NULL, reshape_to(&r, in, 2, 2));
    aval_value *y = aval_apply(r.graph, "Choose", NULL, sure, six, four), *back = aval_graph_gradient(r.graph, y, in, NULL);
    RIG_OK(aval_session_feed(r.session, in, x, sizeof x, (int64_t[]){ 6 }));
    RIG_OK(aval_session_feed(r.session, sure, &(char){ 1 }, 1, NULL));
    rig_run(&r, (aval_value *[]){ y, back }, 2);
    expect_dims(&r, y, 2, 3);
    RIG_OK(aval_session_read(r.session, back, dx, sizeof dx));
    cr_expect_eq(dx[5], 12);
    RIG_OK(aval_session_feed(r.session, sure, &(char){ 0 }, 1, NULL));
    cr_expect_eq(aval_session_run(r.session, AVAL_VALUES(y)), AVAL_E_SHAPE, "%s", aval_error());
    RIG_OK(aval_session_feed(r.session, in, x, 4 * sizeof *x, (int64_t[]){ 4 }));
    rig_run(&r, (aval_value *[]){ y, back }, 2);
    expect_dims(&r, y, 2, 2);
    RIG_OK(aval_session_read(r.session, back, dx, 4 * sizeof *dx));
    cr_expect_eq(dx[3], -1);
    rig_close(&r);
}
