/* aval_check_gradient: the gradients of a user's graph against differences.  The faults are those planted in planted.c. */
#include "check/check.h"
#include "fail_alloc.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 3, COLUMNS = 4 };

typedef struct bench {
    aval_context *ctx;
    aval_graph *g;
    aval_store *store;
    aval_session *s;
    aval_value *x, *b, *product, *y;
    size_t results, compared; /* told by the check */
} bench;

static void collect(void *user, const aval_gradient_result *result)
{
    bench *t = user;
    t->results++;
    t->compared += result->compared;
}

static int fill(aval_store *store, const char *name, int type, size_t rank, const int64_t *dims)
{
    return aval_store_random(store, name, type, rank, dims, AVAL_INIT_UNIFORM, 1, 3);
}

/* y = tanh(Planted(x, b) times itself); x is an input of free length, b a state.  For close_bench, on failure too. */
static int open_bench(bench *t, int fault, int type)
{
    char file[512];
    double data[ROWS * COLUMNS];
    *t = (bench){ 0 };
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        if (type == AVAL_DOUBLE) data[i] = 0.1 * sin(i);
        else ((float *)(void *)data)[i] = 0.1f * (float)sin(i);
    }
    snprintf(file, sizeof file, "%s/planted/planted_%d.so", AVAL_TEST_BINARY_DIR, fault);
    AVAL__TRY(aval_context_create(&t->ctx));
    AVAL__TRY(aval_context_load_plugins(t->ctx, AVAL_TEST_PLUGINS, NULL));
    AVAL__TRY(aval_context_load_plugin(t->ctx, file));
    t->g = aval_graph_create(t->ctx);
    if (t->g == NULL) return AVAL_E_MEMORY;
    AVAL__TRY(aval_store_create(t->ctx, &t->store));
    AVAL__TRY(aval_session_create(t->ctx, t->g, t->store, &t->s));
    AVAL__TRY(fill(t->store, "b", type, AVAL_SHAPE(COLUMNS)));
    t->x = aval_graph_input(t->g, "x", type, AVAL_SHAPE(-1, COLUMNS));
    t->b = aval_graph_state(t->g, "b", type, AVAL_SHAPE(COLUMNS));
    aval_value *planted = aval_apply(t->g, "my::Planted", NULL, t->x, t->b);
    t->product = aval_apply(t->g, "Mul", NULL, planted, planted);
    t->y = aval_apply(t->g, "Tanh", NULL, t->product);
    AVAL__TRY(aval_graph_status(t->g));
    return aval_session_feed(t->s, t->x, data, ROWS * COLUMNS * aval_type_bytes(type), (const int64_t[]){ ROWS, COLUMNS });
}

static void close_bench(bench *t)
{
    aval_session_release(t->s);
    aval_store_release(t->store);
    aval_graph_release(t->g);
    aval_context_release(t->ctx);
}

static int check(bench *t)
{
    return aval_check_gradient(t->s, t->y, (aval_value *const[]){ t->x, t->b }, 2, collect, t);
}

static void expect_right(int type)
{
    bench t;
    cr_assert_eq(open_bench(&t, 0, type), 0, "%s", aval_error());
    cr_expect_eq(check(&t), 0, "%s", aval_error());
    cr_expect_eq(t.results, 2);
    cr_expect_eq(t.compared, ROWS * COLUMNS + COLUMNS);
    close_bench(&t);
}

static void expect_wrong(int fault, int type, const char *message)
{
    bench t;
    cr_assert_eq(open_bench(&t, fault, type), 0, "%s", aval_error());
    cr_expect_eq(check(&t), AVAL_E_CHECK);
    cr_expect_not_null(strstr(aval_error(), message), "%s", aval_error());
    close_bench(&t);
}

Test(graph_check, passes_right_gradients_in_floats_and_doubles)
{
    expect_right(AVAL_FLOAT);
    expect_right(AVAL_DOUBLE);
}

Test(graph_check, names_the_wrong_gradient)
{
    expect_wrong(1, AVAL_DOUBLE, "1 of 2 gradients of 'v"); /* a factor of 1.0001 by x */
    expect_wrong(1, AVAL_DOUBLE, "that by 'x'");
    expect_wrong(4, AVAL_FLOAT, "that by 'b'"); /* a sum that is missing */
}

Test(graph_check, leaves_the_graph_as_it_was)
{
    bench t;
    char *before, *after;
    cr_assert_eq(open_bench(&t, 0, AVAL_FLOAT), 0, "%s", aval_error());
    cr_assert_eq(aval_graph_text(t.g, &before), 0);
    cr_assert_eq(check(&t), 0, "%s", aval_error());
    cr_assert_eq(aval_graph_text(t.g, &after), 0);
    cr_expect_str_eq(before, after);
    aval_free(before);
    aval_free(after);
    close_bench(&t);
}

Test(graph_check, compares_large_tensors_along_directions)
{
    bench t;
    cr_assert_eq(open_bench(&t, 0, AVAL_FLOAT), 0, "%s", aval_error());
    cr_assert_eq(fill(t.store, "wide", AVAL_FLOAT, AVAL_SHAPE(7001)), 0);
    aval_value *wide = aval_graph_state(t.g, "wide", AVAL_FLOAT, AVAL_SHAPE(7001));
    aval_value *sum = aval_apply(t.g, "ReduceSum", "keepdims=0", aval_apply(t.g, "Tanh", NULL, wide));
    cr_expect_eq(aval_check_gradient(t.s, sum, &wide, 1, collect, &t), 0, "%s", aval_error());
    cr_expect(t.compared > 400 && t.compared <= 512, "%zu directions", t.compared);
    close_bench(&t);
}

Test(graph_check, refuses_what_it_cannot_move)
{
    bench t;
    cr_assert_eq(open_bench(&t, 0, AVAL_FLOAT), 0, "%s", aval_error());
    cr_expect_eq(aval_check_gradient(t.s, t.y, &t.product, 1, NULL, NULL), AVAL_E_ARGUMENT);
    cr_expect_not_null(strstr(aval_error(), "neither an input nor a state"), "%s", aval_error());
    aval_value *stranger = aval_graph_input(t.g, "stranger", AVAL_FLOAT, AVAL_SHAPE(2));
    cr_expect_eq(aval_check_gradient(t.s, t.y, &stranger, 1, NULL, NULL), AVAL_E_ARGUMENT);
    cr_expect_not_null(strstr(aval_error(), "does not depend on 'stranger'"), "%s", aval_error());
    aval_value *twice = aval_apply(t.g, "Add", NULL, stranger, stranger);
    cr_expect_eq(aval_check_gradient(t.s, twice, &stranger, 1, NULL, NULL), AVAL_E_ARGUMENT);
    cr_expect_not_null(strstr(aval_error(), "'stranger' was never fed"), "%s", aval_error());
    close_bench(&t);
}

Test(graph_check, every_failing_allocation_is_an_error_and_leaks_nothing, .timeout = 300)
{
    for (size_t n = 1;; n += 1 + n / 64) { /* each of the first, then fewer of the many that interpreting repeats */
        bench t;
        fail_alloc_at(n);
        int status = open_bench(&t, 0, AVAL_FLOAT);
        if (status == 0) status = check(&t);
        size_t count = fail_alloc_count();
        close_bench(&t);
        size_t left = fail_alloc_outstanding();
        fail_alloc_off();
        cr_expect_eq(left, 0, "allocation %zu: %zu left, %s", n, left, aval_error());
        if (count >= n) continue; /* what the error is depends on whose allocation failed */
        cr_expect_eq(status, 0, "%s", aval_error());
        break;
    }
}
