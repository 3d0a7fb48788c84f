/* Launches that could run for seconds are split: the same bytes, by more launches. */
#include "rig.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 70, INNER = 65, COLUMNS = 130, IMAGES = 3, CHANNELS = 4, MAPS = 9, SIDE = 12 };

static void fill(float *to, size_t count)
{
    for (size_t i = 0; i < count; i++) to[i] = (float)((i * 37 + 11) % 101) / 50 - 1;
}

/* A product, a convolution with its gradients, a softmax, a sum and an expression; all results one after the other.  The number of launches of
   one run. */
static unsigned long run(float *results, size_t room, const char *group, const char *provider, const char *work)
{
    static float a[ROWS * INNER], b[INNER * COLUMNS], image[IMAGES * CHANNELS * SIDE * SIDE], filter[MAPS * CHANNELS * 9];
    rig r;
    setenv("AVAL_GROUP", group, 1);
    setenv("AVAL_GEMM", provider, 1);
    setenv("AVAL_LAUNCH_WORK", work, 1);
    rig_open(&r);
    fill(a, ROWS * INNER);
    fill(b, INNER * COLUMNS);
    fill(image, sizeof image / sizeof *image);
    fill(filter, sizeof filter / sizeof *filter);
    aval_value *x = aval_graph_input(r.graph, "a", AVAL_FLOAT, AVAL_SHAPE(ROWS, INNER)),
               *y = aval_graph_input(r.graph, "b", AVAL_FLOAT, AVAL_SHAPE(INNER, COLUMNS)),
               *u = aval_graph_input(r.graph, "image", AVAL_FLOAT, AVAL_SHAPE(IMAGES, CHANNELS, SIDE, SIDE)),
               *w = aval_graph_input(r.graph, "filter", AVAL_FLOAT, AVAL_SHAPE(MAPS, CHANNELS, 3, 3));
    aval_value *product = aval_apply(r.graph, "MatMul", NULL, x, y), *maps = aval_apply(r.graph, "Conv", "pads=[1,1,1,1]", u, w);
    aval_value *wanted[] = { product,
                             maps,
                             aval_apply(r.graph, "Softmax", "axis=1", product),
                             aval_apply(r.graph, "Tanh", NULL, product),
                             aval_graph_gradient(r.graph, maps, w, NULL),
                             aval_graph_gradient(r.graph, maps, u, NULL),
                             aval_apply(r.graph, "ReduceSum", NULL, maps) };
    const size_t n_wanted = sizeof wanted / sizeof *wanted;
    RIG_OK(aval_session_feed(r.session, x, a, sizeof a, NULL));
    RIG_OK(aval_session_feed(r.session, y, b, sizeof b, NULL));
    RIG_OK(aval_session_feed(r.session, u, image, sizeof image, NULL));
    RIG_OK(aval_session_feed(r.session, w, filter, sizeof filter, NULL));
    rig_run(&r, wanted, n_wanted);
    rig_layer()->reset();
    rig_run(&r, wanted, n_wanted);
    const unsigned long launches = rig_layer()->count(AVAL_LAYER_LAUNCHES);
    static const size_t counts[] = {
        ROWS * COLUMNS, IMAGES * MAPS * SIDE * SIDE, ROWS * COLUMNS, ROWS * COLUMNS, MAPS * CHANNELS * 9, IMAGES * CHANNELS * SIDE * SIDE, 1
    };
    size_t at = 0;
    for (size_t i = 0; i < n_wanted; at += counts[i++]) {
        cr_assert_leq(at + counts[i], room);
        RIG_OK(aval_session_read(r.session, wanted[i], results + at, counts[i] * sizeof(float)));
    }
    rig_close(&r);
    return launches;
}

enum { ROOM = 40000 };

static void expect_equal_bytes(const char *group, const char *provider, unsigned long least)
{
    static float whole[ROOM], split[ROOM];
    memset(whole, 0, sizeof whole);
    memset(split, 0, sizeof split);
    rig_environment(NULL);
    const unsigned long few = run(whole, ROOM, group, provider, "0"), many = run(split, ROOM, group, provider, "50000");
    cr_expect_geq(many, few + least, "%s: %lu launches became %lu", provider, few, many);
    for (size_t i = 0; i < ROOM; i++) cr_assert_eq(memcmp(whole + i, split + i, sizeof(float)), 0, "%s: element %zu", provider, i);
}

Test(long_launches, are_split_into_parts_that_give_the_same_bytes_as_gpus_run_them)
{
    expect_equal_bytes("64", "groups", 20);
}

Test(long_launches, of_clblast_are_split_by_rows)
{
    expect_equal_bytes("64", "clblast", 30);
}

Test(long_launches, of_cpus_are_split_where_a_bound_is_set)
{
    expect_equal_bytes("1", "tiles", 3);
}

Test(long_launches, a_bound_that_is_no_number_is_refused)
{
    aval_context *ctx = NULL;
    rig_environment(NULL);
    setenv("AVAL_LAUNCH_WORK", "much", 1);
    cr_assert_eq(aval_context_create(&ctx), AVAL_OK);
    cr_expect_eq(aval_context_select_device(ctx, "cpu"), AVAL_E_ARGUMENT);
    cr_expect_not_null(strstr(aval_error(), "AVAL_LAUNCH_WORK is 'much'"), "%s", aval_error());
    aval_context_release(ctx);
}
