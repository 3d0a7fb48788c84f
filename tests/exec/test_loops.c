/* Loops of ONNX models: gradients through turns, whose number the file, an input or the computation itself tells.  That results are right,
 * tests/onnx/control says (tests/onnx/run.sh). */
#include "exec/rig.h"
#include "fail_alloc.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CASES AVAL_TEST_SOURCE_DIR "/tests/onnx/control/"

typedef struct loop_rig {
    rig r;
    aval_model *model;
    aval_session *session;
} loop_rig;

static void open_case(loop_rig *l, const char *name)
{
    rig_open(&l->r);
    char file[1000];
    snprintf(file, sizeof file, CASES "%s/model.onnx", name);
    RIG_OK(aval_model_load(l->r.context, file, &l->model));
    RIG_OK(aval_session_create(l->r.context, aval_model_graph(l->model), aval_model_store(l->model), &l->session));
}

static void close_case(loop_rig *l)
{
    aval_session_release(l->session);
    aval_model_release(l->model);
    rig_close(&l->r);
}

static void feed(loop_rig *l, size_t input, const void *data, size_t bytes)
{
    RIG_OK(aval_session_feed(l->session, aval_model_input(l->model, input), data, bytes, NULL));
}

/* Newton's iteration ends by itself; its derivative is that of the root. */
Test(loops, gradients_go_through_turns_that_the_computation_counts)
{
    loop_rig l;
    float a[3] = { 2, 9, 100 }, start[3] = { 1, 1, 1 }, root[3], slope[3];
    open_case(&l, "newton");
    aval_value *y = aval_model_output(l.model, 0);
    aval_value *gradient = aval_graph_gradient(aval_model_graph(l.model), y, aval_model_input(l.model, 0), NULL);
    for (int round = 0; round < 2; round++) {
        a[2] = round ? 1 : 100; /* fewer turns */
        feed(&l, 0, a, sizeof a);
        feed(&l, 1, start, sizeof start);
        RIG_OK(aval_session_run(l.session, AVAL_VALUES(y, gradient)));
        RIG_OK(aval_session_read(l.session, y, root, sizeof root));
        RIG_OK(aval_session_read(l.session, gradient, slope, sizeof slope));
        for (int i = 0; i < 3; i++) {
            cr_expect_float_eq(root[i], sqrtf(a[i]), 1e-4, "root of %g: %g", a[i], root[i]);
            cr_expect_float_eq(slope[i], 0.5f / sqrtf(a[i]), 1e-4, "slope at %g: %g", a[i], slope[i]);
        }
    }
    close_case(&l);
}

static double run_recurrence(loop_rig *l)
{
    float totals[5];
    double sum = 0;
    RIG_OK(aval_session_run(l->session, AVAL_VALUES(aval_model_output(l->model, 1))));
    RIG_OK(aval_session_read(l->session, aval_model_output(l->model, 1), totals, sizeof totals));
    for (int i = 0; i < 5; i++) sum += totals[i];
    return sum;
}

/* Of a state, by a centred difference of the sum of all that the loop stacks. */
static void expect_gradient(loop_rig *l, const char *state, const float *gradient, size_t count)
{
    const float step = 1e-2f;
    aval_store *store = aval_model_store(l->model);
    float w[16];
    size_t rank;
    int64_t dims[AVAL_MAX_RANK];
    RIG_OK(aval_store_shape(store, state, NULL, &rank, dims));
    for (size_t i = 0; i < count; i++) {
        double sums[2];
        RIG_OK(aval_store_get(store, state, w, count * sizeof *w));
        float kept = w[i];
        for (int side = 0; side < 2; side++) {
            w[i] = kept + (side ? step : -step);
            RIG_OK(aval_store_set(store, state, AVAL_FLOAT, rank, dims, w));
            sums[side] = run_recurrence(l);
        }
        w[i] = kept;
        RIG_OK(aval_store_set(store, state, AVAL_FLOAT, rank, dims, w));
        double expected = (sums[1] - sums[0]) / (2 * step);
        cr_expect_float_eq(gradient[i], expected, 2e-3, "%s[%zu]: %g, expected %g", state, i, gradient[i], expected);
    }
}

Test(loops, weights_used_in_each_turn_get_the_sum_of_its_gradients)
{
    loop_rig l;
    int64_t trips = 5;
    unsigned char go = 1;
    float steps[30], start[8], dw[12], du[16];
    for (int i = 0; i < 30; i++) steps[i] = (float)(i % 7) * 0.3f - 1;
    for (int i = 0; i < 8; i++) start[i] = (float)(i % 3) * 0.4f - 0.5f;
    open_case(&l, "recurrence");
    aval_graph *g = aval_model_graph(l.model);
    aval_value *w = aval_graph_find(g, "w"), *u = aval_graph_find(g, "last/body/u");
    cr_assert(w && u, "a weight of the loop is no state of the model");
    aval_value *wanted[2] = { aval_graph_gradient(g, aval_model_output(l.model, 1), w, NULL),
                              aval_graph_gradient(g, aval_model_output(l.model, 1), u, NULL) };
    feed(&l, 0, &trips, sizeof trips);
    feed(&l, 1, &go, sizeof go);
    feed(&l, 2, steps, sizeof steps);
    feed(&l, 3, start, sizeof start);
    RIG_OK(aval_session_run(l.session, wanted, 2));
    RIG_OK(aval_session_read(l.session, wanted[0], dw, sizeof dw));
    RIG_OK(aval_session_read(l.session, wanted[1], du, sizeof du));
    expect_gradient(&l, "w", dw, 12);
    expect_gradient(&l, "last/body/u", du, 16);
    close_case(&l);
}

static size_t count_loops(const aval_model *model)
{
    size_t loops = 0;
    const aval_graph *g = aval_model_graph(model);
    for (size_t i = 0; i < aval_graph_node_count(g); i++) loops += aval_graph_node_at(g, i) && !aval_node_op(aval_graph_node_at(g, i));
    return loops;
}

Test(loops, as_many_turns_as_the_file_says_are_nodes_when_it_is_read)
{
    loop_rig l;
    open_case(&l, "growing");
    cr_expect_eq(count_loops(l.model), 0, "%zu loops are left", count_loops(l.model));
    close_case(&l);
}

/* ---- Written -------------------------------------------------------------------------------------------------------------------------------- */

static int save_model(const aval_model *model, const char *file)
{
    aval_value *outputs[4];
    const char *names[4];
    size_t n = aval_model_output_count(model);
    for (size_t i = 0; i < n; i++) outputs[i] = aval_model_output(model, i), names[i] = aval_model_output_name(model, i);
    return aval_model_save(aval_model_graph(model), aval_model_store(model), outputs, names, n, file);
}

/* That they compute the same, tests/onnx/control says by `aval test-onnx --round-trip`. */
Test(loops, a_loop_that_is_written_is_a_loop_when_it_is_read)
{
    static const struct {
        const char *name;
        size_t loops;
    } cases[] = { { "newton", 1 }, { "recurrence", 1 }, { "nested", 3 }, { "scan_axes", 1 } };
    char file[] = "/tmp/aval-loops-XXXXXX";
    cr_assert_geq(close(mkstemp(file)), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        loop_rig l;
        aval_model *copy;
        open_case(&l, cases[i].name);
        cr_assert_eq(count_loops(l.model), cases[i].loops, "%s has %zu loops", cases[i].name, count_loops(l.model));
        RIG_OK(save_model(l.model, file));
        RIG_OK(aval_model_load(l.r.context, file, &copy));
        cr_expect_eq(count_loops(copy), cases[i].loops, "%s has %zu loops after it was written", cases[i].name, count_loops(copy));
        aval_model_release(copy);
        close_case(&l);
    }
    unlink(file);
}

Test(loops, each_failing_allocation_of_writing_is_an_error_without_a_leak)
{
    static const char *const cases[] = { "branches", "recurrence", "nested", "scan_axes" };
    char file[] = "/tmp/aval-loops-XXXXXX";
    cr_assert_geq(close(mkstemp(file)), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        loop_rig l;
        open_case(&l, cases[i]);
        RIG_OK(save_model(l.model, file)); /* what the store keeps from its first reading is no leak */
        for (size_t n = 1;; n++) {
            fail_alloc_at(n);
            int status = save_model(l.model, file);
            size_t outstanding = fail_alloc_outstanding(), allocations = fail_alloc_count();
            fail_alloc_off();
            cr_assert(status == AVAL_OK || status == AVAL_E_MEMORY, "%s, allocation %zu: %d, %s", cases[i], n, status, aval_error());
            cr_assert_eq(outstanding, 0, "%s, allocation %zu: %zu were not given back", cases[i], n, outstanding);
            if (allocations < n) break;
        }
        close_case(&l);
    }
    unlink(file);
}
