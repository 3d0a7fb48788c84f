/* Tails of matrix products: the same bits as launches of their own, for every provider and way to a product, and all that may follow one. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 40000

typedef struct form {
    int64_t m, n, k, batch; /* batch 0: matrices; else batch axes */
} form;

typedef struct made {
    aval_value *wanted[4];
    size_t n_wanted;
} made;

typedef made (*builder)(rig *r, const form *f);

static aval_value *filled(rig *r, const char *name, size_t rank, const int64_t *dims)
{
    static float data[MOST];
    int64_t count = 1;
    for (size_t i = 0; i < rank; i++) count *= dims[i];
    cr_assert_leq(count, MOST);
    for (int64_t i = 0; i < count; i++) data[i] = (float)((i * 7919 + (int64_t)strlen(name) * 31) % 2003) / 1001.5f - 1;
    aval_value *v = aval_graph_input(r->graph, name, AVAL_FLOAT, rank, dims);
    rig_feed(r, v, data, (size_t)count);
    return v;
}

/* The same as a state: a weight that is packed once. */
static aval_value *stored(rig *r, const char *name, size_t rank, const int64_t *dims)
{
    static float data[MOST];
    int64_t count = 1;
    for (size_t i = 0; i < rank; i++) count *= dims[i];
    cr_assert_leq(count, MOST);
    for (int64_t i = 0; i < count; i++) data[i] = (float)((i * 6131) % 1009) / 504.5f - 1;
    RIG_OK(aval_store_set(r->store, name, AVAL_FLOAT, rank, dims, data));
    return aval_graph_state(r->graph, name, AVAL_FLOAT, rank, dims);
}

static aval_value *two(rig *r, const char *op, aval_value *a, aval_value *b)
{
    return aval_apply(r->graph, op, NULL, a, b);
}

static aval_value *product(rig *r, const form *f)
{
    const int64_t a[] = { f->batch, f->m, f->k }, b[] = { f->batch, f->k, f->n };
    size_t skip = f->batch == 0;
    return two(r, "MatMul", filled(r, "a", 3 - skip, a + skip), filled(r, "bb", 3 - skip, b + skip));
}

static made bias_and_activation(rig *r, const form *f)
{
    aval_value *y = two(r, "Add", product(r, f), filled(r, "bias", 1, &f->n));
    return (made){ { aval_apply(r->graph, "Relu", NULL, y) }, 1 };
}

/* The bias is a view of a view, which come after a product of inputs. */
static made bias_that_comes_later(rig *r, const form *f)
{
    aval_value *bias = aval_apply(r->graph, "Flatten", "axis=0", filled(r, "bias", 1, &f->n));
    return (made){ { two(r, "Add", product(r, f), aval_apply(r->graph, "Flatten", "axis=1", bias)) }, 1 };
}

static made row_bias_scaled(rig *r, const form *f)
{
    const int64_t column[] = { f->m, 1 }, one[] = { 1 };
    aval_value *y = two(r, "Mul", two(r, "Add", product(r, f), filled(r, "rows", 2, column)), filled(r, "scale", 1, one));
    return (made){ { aval_apply(r->graph, "LeakyRelu", "alpha=0.3", y) }, 1 };
}

static made residual_and_product(rig *r, const form *f)
{
    const int64_t dims[] = { f->batch, f->m, f->n };
    size_t skip = f->batch == 0;
    aval_value *p = product(r, f), *other = filled(r, "residual", 3 - skip, dims + skip);
    aval_value *sum = two(r, "Add", p, other);
    return (made){ { p, sum, aval_apply(r->graph, "Tanh", NULL, sum) }, 3 };
}

static made kept_as_half(rig *r, const form *f)
{
    return (made){ { aval_apply(r->graph, "Cast", "to=10", aval_apply(r->graph, "Neg", NULL, product(r, f))) }, 1 };
}

/* d sum(relu(a b)^2) / da through a product whose gradient meets the activation's. */
static made gradient_of_activation(rig *r, const form *f)
{
    const int64_t a[] = { f->m, f->k }, b[] = { f->k, f->n }, c[] = { f->n, f->k };
    aval_value *x = filled(r, "a", 2, a), *w = filled(r, "bb", 2, b), *u = filled(r, "ccc", 2, c), *up = filled(r, "up", 2, a);
    aval_value *h = aval_apply(r->graph, "Relu", NULL, two(r, "MatMul", x, w)), *y = two(r, "MatMul", h, u);
    return (made){ { aval_graph_gradient(r->graph, y, x, up), aval_graph_gradient(r->graph, y, w, up), y }, 3 };
}

typedef aval_value *(*source)(rig *r, const char *name, size_t rank, const int64_t *dims);

/* m maps of k channels, images of n x n, filters of 3 x 3 or of one element. */
static made convolution(rig *r, const form *f, int64_t side, source filters)
{
    const int64_t x[] = { f->batch, f->k, f->n, f->n }, w[] = { f->m, f->k, side, side };
    aval_value *y = aval_apply(r->graph, "Conv", side == 3 ? "pads=[1,1,1,1]" : NULL, filled(r, "x", 4, x), filters(r, "ww", 4, w),
                               filled(r, "bias", 1, &f->m));
    return (made){ { aval_apply(r->graph, "Relu", NULL, y) }, 1 };
}

static made convolution_of_three(rig *r, const form *f)
{
    return convolution(r, f, 3, filled);
}

static made convolution_by_weights_of_three(rig *r, const form *f)
{
    return convolution(r, f, 3, stored);
}

static made convolution_by_weights_of_one(rig *r, const form *f)
{
    return convolution(r, f, 1, stored);
}

static made convolution_of_one(rig *r, const form *f)
{
    return convolution(r, f, 1, filled);
}

/* The same in groups of one map and k channels, or of three maps and k channels. */
static made convolution_in_groups(rig *r, const form *f)
{
    char attrs[64];
    const int64_t groups = f->m == 3 ? 1 : f->m % 3 == 0 ? f->m / 3 : f->m;
    const int64_t x[] = { f->batch, groups * f->k, f->n, f->n }, w[] = { f->m, f->k, 3, 3 };
    snprintf(attrs, sizeof attrs, "group=%lld strides=[2,2] pads=[1,1,1,1]", (long long)groups);
    aval_value *y = aval_apply(r->graph, "Conv", attrs, filled(r, "x", 4, x), filled(r, "ww", 4, w), filled(r, "bias", 1, &f->m));
    return (made){ { aval_apply(r->graph, "Relu", NULL, y) }, 1 };
}

/* A cluster behind each gradient, whose images it is the product of in the first, and of which filters are in the second. */
static made gradients_of_groups(rig *r, const form *f)
{
    char attrs[64];
    const int64_t x[] = { f->batch, f->m * f->k, f->n, f->n }, w[] = { f->m, f->k, 3, 3 }, y[] = { f->batch, f->m, f->n, f->n };
    snprintf(attrs, sizeof attrs, "group=%lld pads=[1,1,1,1]", (long long)f->m);
    aval_value *images = filled(r, "x", 4, x), *filters = filled(r, "ww", 4, w), *upstream = filled(r, "up", 4, y);
    aval_value *maps = aval_apply(r->graph, "Conv", attrs, images, filters);
    aval_value *by_images = aval_graph_gradient(r->graph, maps, images, upstream),
               *by_filters = aval_graph_gradient(r->graph, maps, filters, upstream);
    return (made){ { aval_apply(r->graph, "Relu", NULL, by_images), aval_apply(r->graph, "Tanh", NULL, by_filters) }, 2 };
}

/* In a context of its own; *bytes and *plan are to be freed. */
static size_t run(builder build, const form *f, const char *tails, aval_memory_mode mode, unsigned char **bytes, char **plan)
{
    rig r;
    setenv("AVAL_TAILS", tails, 1);
    rig_open(&r);
    made m = build(&r, f);
    return rig_outcome(&r, mode, m.wanted, m.n_wanted, bytes, plan);
}

/* Equal bits with tails and without; the plan has one with `kernel`, and fewer launches. */
static void check(builder build, const form *f, aval_memory_mode mode, const char *kernel)
{
    unsigned char *apart, *together;
    char *plan_apart, *plan_together, wanted[64];
    size_t n = run(build, f, "0", mode, &apart, &plan_apart);
    cr_assert_eq(run(build, f, "1", mode, &together, &plan_together), n);
    cr_expect_arr_eq(apart, together, n, "%lld x %lld x %lld, batch %lld", (long long)f->m, (long long)f->n, (long long)f->k,
                     (long long)f->batch);
    snprintf(wanted, sizeof wanted, ":%s ", kernel);
    const char *tail = strstr(plan_together, ") with ");
    cr_assert_neq(tail, NULL, "a tail in\n%s", plan_together);
    cr_expect_neq(strstr(tail, wanted), NULL, "%s in\n%s", kernel, plan_together);
    cr_expect_eq(strstr(plan_apart, ") with "), NULL, "no tail in\n%s", plan_apart);
    free(apart);
    free(together);
    aval_free(plan_apart);
    aval_free(plan_together);
}

static void check_modes(builder build, const form *f, const char *kernel)
{
    check(build, f, AVAL_MEMORY_ARENA, kernel);
    check(build, f, AVAL_MEMORY_GUARDED, kernel);
    check(build, f, AVAL_MEMORY_RETAINED, kernel);
}

/* Sizes that each way to a product is chosen for (runtime/device/gemm_tiles.c), none of them whole tiles; k of several slices too. */
static const struct {
    form f;
    const char *kernel;
} ways[] = {
    { { 45, 71, 500, 0 }, "gemm_at_once" }, { { 30, 41, 50, 3 }, "gemm_at_once" }, { { 31, 10, 96, 0 }, "gemm_lines" },
    { { 33, 13, 20, 0 }, "gemm_narrow" },   { { 3, 200, 40, 0 }, "gemm_wide" },    { { 5, 3, 2, 0 }, "gemm_direct" },
};

Test(tails, a_bias_by_column_and_an_activation_give_the_bits_of_launches_of_their_own)
{
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) check(bias_and_activation, &ways[i].f, AVAL_MEMORY_ARENA, ways[i].kernel);
    check_modes(bias_and_activation, &ways[0].f, ways[0].kernel);
}

Test(tails, a_bias_by_row_a_scalar_and_an_attribute)
{
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) check(row_bias_scaled, &ways[i].f, AVAL_MEMORY_ARENA, ways[i].kernel);
}

Test(tails, a_residual_and_the_product_wanted_too)
{
    for (size_t i = 0; i < 2; i++) check_modes(residual_and_product, &ways[i].f, ways[i].kernel);
}

Test(tails, another_element_type)
{
    check_modes(kept_as_half, &ways[0].f, ways[0].kernel);
}

Test(tails, the_gradient_of_an_activation_behind_a_product)
{
    check_modes(gradient_of_activation, &(const form){ 45, 71, 33, 0 }, "gemm_at_once");
}

Test(tails, convolutions)
{
    static const form forms[] = { { 9, 13, 5, 2 }, { 16, 7, 8, 9 } };
    for (size_t i = 0; i < 2; i++) {
        check_modes(convolution_of_three, &forms[i], "over_pixels");
        check(convolution_of_one, &forms[i], AVAL_MEMORY_ARENA, "gemm_panels");
    }
}

Test(tails, convolutions_in_groups)
{
    check_modes(convolution_in_groups, &(const form){ 13, 19, 1, 3 }, "direct_windows");
    check(convolution_in_groups, &(const form){ 12, 15, 5, 2 }, AVAL_MEMORY_ARENA, "direct_windows");
    check(convolution_in_groups, &(const form){ 7, 70, 1, 1 }, AVAL_MEMORY_ARENA, "direct_windows");
    check(gradients_of_groups, &(const form){ 7, 12, 1, 3 }, AVAL_MEMORY_ARENA, "direct_windows");
    check(gradients_of_groups, &(const form){ 7, 12, 3, 3 }, AVAL_MEMORY_ARENA, "direct_sum");
}

Test(tails, convolutions_whose_filters_are_packed_once)
{
    check_modes(convolution_of_three, &(const form){ 18, 23, 17, 2 }, "winograd");
    check(convolution_by_weights_of_three, &(const form){ 70, 13, 20, 1 }, AVAL_MEMORY_ARENA, "winograd");
    check(convolution_by_weights_of_three, &(const form){ 33, 5, 20, 2 }, AVAL_MEMORY_ARENA, "over_windows");
    check(convolution_by_weights_of_one, &(const form){ 32, 13, 100, 2 }, AVAL_MEMORY_ARENA, "over_windows");
}

Test(tails, the_fallback_of_devices_with_work_groups)
{
    setenv("AVAL_GROUP", "64", 1);
    setenv("AVAL_GEMM", "tiles", 1);
    check(bias_and_activation, &ways[0].f, AVAL_MEMORY_ARENA, "gemm_direct");
    check(row_bias_scaled, &ways[1].f, AVAL_MEMORY_ARENA, "gemm_direct");
}

Test(tails, a_product_waits_for_what_its_tail_reads)
{
    check(bias_that_comes_later, &ways[0].f, AVAL_MEMORY_ARENA, ways[0].kernel);
}

/* A position embedding is not the same for all rows of a batch that is one matrix. */
Test(tails, what_does_not_lie_as_the_product_does_stays_a_launch)
{
    rig r;
    char *plan;
    const int64_t a[] = { 4, 8, 16 }, b[] = { 16, 32 }, position[] = { 8, 32 };
    setenv("AVAL_TAILS", "1", 1);
    rig_open(&r);
    aval_value *y = two(&r, "Add", two(&r, "MatMul", filled(&r, "a", 3, a), filled(&r, "bb", 2, b)), filled(&r, "position", 2, position));
    RIG_OK(aval_session_plan_text(r.session, AVAL_VALUES(y), &plan));
    cr_expect_eq(strstr(plan, ") with "), NULL, "%s", plan);
    cr_expect_neq(strstr(plan, "(Add): fused"), NULL, "%s", plan);
    aval_free(plan);
    rig_close(&r);
}
