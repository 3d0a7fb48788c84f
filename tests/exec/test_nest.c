/* Parts of a tensor that is put together are made in their places, where nobody needs them elsewhere. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <string.h>

enum { N = 1000 };

static rig here;
static aval_value *x;
static float x_data[N];

static void begin(void)
{
    rig_environment(NULL);
    rig_open(&here);
    RIG_OK(aval_context_profile(here.context));
    x = rig_input(&here, "x", N);
    for (int i = 0; i < N; i++) x_data[i] = (float)(i % 17 - 8);
    rig_feed(&here, x, x_data, N);
}

static void end(void)
{
    rig_close(&here);
}

TestSuite(nest, .init = begin, .fini = end);

/* factor times x, by another operator than neighbours, so that each is a launch of its own. */
static aval_value *scaled(double factor)
{
    return aval_apply(here.graph, "CumSum", "exclusive=0",
                      aval_apply(here.graph, "Mul", NULL, x, aval_graph_number(here.graph, AVAL_FLOAT, factor)),
                      aval_graph_number(here.graph, AVAL_INT32, 0));
}

static float expected(double factor, size_t i)
{
    double sum = 0;
    for (size_t k = 0; k <= i; k++) sum += factor * x_data[k];
    return (float)sum;
}

static aval_value *joined(aval_value *a, aval_value *b)
{
    return aval_apply(here.graph, "Concat", "axis=0", a, b);
}

static void count_copies(void *user, const aval_profile_entry *entry)
{
    *(size_t *)user += strncmp(entry->command, "copy", 4) == 0;
}

static size_t run(aval_value *const *wanted, size_t n_wanted)
{
    size_t copies = 0;
    RIG_OK(aval_graph_status(here.graph));
    rig_run(&here, wanted, n_wanted);
    RIG_OK(aval_session_profile(here.session, count_copies, &copies));
    return copies;
}

/* `value` is parts one behind the other, each factor times the sums of x. */
static void expect_parts(aval_value *value, const double *factors, size_t n)
{
    static float found[8 * N];
    RIG_OK(aval_session_read(here.session, value, found, n * N * sizeof *found));
    for (size_t part = 0; part < n; part++)
        for (size_t i = 0; i < N; i++)
            cr_assert_float_eq(found[part * N + i], expected(factors[part], i), 1e-2, "part %zu, element %zu: found %g", part, i,
                               found[part * N + i]);
}

#define EXPECT_PARTS(value, ...) \
    expect_parts(value, (const double[]){ __VA_ARGS__ }, sizeof((const double[]){ __VA_ARGS__ }) / sizeof(double))

Test(nest, parts_that_are_needed_nowhere_else_are_not_copied)
{
    aval_value *y = joined(scaled(1), scaled(2));
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(run(AVAL_VALUES(y)), 0);
        EXPECT_PARTS(y, 1, 2);
    }
}

Test(nest, a_whole_may_be_a_part)
{
    aval_value *y = joined(scaled(3), joined(joined(scaled(1), scaled(2)), scaled(4)));
    cr_expect_eq(run(AVAL_VALUES(y)), 0);
    EXPECT_PARTS(y, 3, 1, 2, 4);
}

Test(nest, a_part_twice_is_copied_once)
{
    aval_value *a = scaled(2), *y = joined(a, a);
    cr_expect_eq(run(AVAL_VALUES(y)), 1);
    EXPECT_PARTS(y, 2, 2);
}

Test(nest, a_part_that_is_wanted_or_given_is_copied)
{
    aval_value *a = scaled(2), *y = joined(a, scaled(3)), *z = joined(scaled(1), x);
    cr_expect_eq(run(AVAL_VALUES(y, a, z)), 2);
    EXPECT_PARTS(y, 2, 3);
    EXPECT_PARTS(a, 2);
    float found[2 * N];
    RIG_OK(aval_session_read(here.session, z, found, sizeof found));
    for (int i = 0; i < N; i++) cr_assert_eq(found[N + i], x_data[i]);
}

/* The first reader after it writes over what it reads, were it not for the other. */
Test(nest, a_part_that_is_read_later_stays_what_it_is)
{
    aval_value *a = scaled(2), *y = joined(a, scaled(3));
    aval_value *doubled = aval_apply(here.graph, "Add", NULL, y, y), *z = joined(aval_apply(here.graph, "Neg", NULL, a), scaled(5));
    run(AVAL_VALUES(doubled, z));
    EXPECT_PARTS(doubled, 4, 6);
    EXPECT_PARTS(z, -2, 5);
}

Test(nest, two_wholes_of_one_part)
{
    aval_value *a = scaled(2), *y = joined(a, scaled(3)), *z = joined(scaled(1), a);
    cr_expect_eq(run(AVAL_VALUES(y, z)), 1);
    EXPECT_PARTS(y, 2, 3);
    EXPECT_PARTS(z, 1, 2);
}
