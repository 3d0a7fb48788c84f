/* Derivatives of expression ops as ops: what they read, the author's texts, derivatives of derivatives. */
#include "op/op.h"

#include <criterion/criterion.h>
#include <math.h>

static const aval_sample one[] = { { .inputs = "[2]" }, { .inputs = NULL } };
static const aval_sample two[] = { { .inputs = "[2] [2]" }, { .inputs = NULL } };

#define TEST_OP(op_name, ...) \
    { \
        .size = sizeof(aval_op), .name = op_name, .domain = "aval", .since = 1, .doc = "test", .deterministic = 1, __VA_ARGS__ \
    }
#define X AVAL_PORTS({ .name = "x" })
#define XZ AVAL_PORTS({ .name = "x" }, { .name = "z" })
#define Y AVAL_PORTS({ .name = "y" })

static const aval_op own_op = TEST_OP("Own", .inputs = X, .outputs = Y, .expressions = AVAL_TEXTS("tanh(x)"), .n_derivatives = 1,
                                      .derivatives = (const char *const[]){ "1 - y * y" }, .samples = one);
static const aval_op power_op = TEST_OP("Square", .inputs = XZ, .outputs = Y, .expressions = AVAL_TEXTS("x * x * z"), .samples = two);
static const aval_op step_op = TEST_OP("Stairs", .inputs = XZ, .outputs = Y, .expressions = AVAL_TEXTS("floor(x) + z"), .samples = two);
static const aval_op pair_op = TEST_OP("Pair", .inputs = XZ, .outputs = AVAL_PORTS({ .name = "sum" }, { .name = "product" }),
                                       .expressions = AVAL_TEXTS("x + z", "x * z"), .samples = two);
static const aval_plugin plugin = { .abi = AVAL_PLUGIN_ABI,
                                    .size = sizeof(aval_plugin),
                                    .name = "test",
                                    .version = "1",
                                    .ops = (const aval_op *const[]){ &own_op, &power_op, &step_op, &pair_op, NULL } };

static aval__registry *registry;

static void make_registry(void)
{
    cr_assert_eq(aval__registry_create(NULL, &registry), AVAL_OK);
    cr_assert_eq(aval__registry_add(registry, &plugin, "test"), AVAL_OK, "%s", aval_error());
}

static void release_registry(void)
{
    aval__registry_release(registry);
}

TestSuite(derived, .init = make_registry, .fini = release_registry);

static const aval__opdef *derivative(const aval__opdef *def, size_t input)
{
    const aval__opdef *out = NULL;
    cr_assert_eq(aval__opdef_derivative(registry, def, input, &out), AVAL_OK, "%s", aval_error());
    return out;
}

static double leaf_real(const void *user, aval__leaf leaf)
{
    return ((const double *)user)[leaf.index];
}

static void expect_source(const aval__opdef *def, size_t i, aval__leaf_kind kind, uint32_t index)
{
    cr_assert_lt(i, def->n_sources);
    cr_expect_eq(def->sources[i].kind, kind, "%s, source %zu", def->name, i);
    cr_expect_eq(def->sources[i].index, index, "%s, source %zu", def->name, i);
}

Test(derived, an_authors_text_keeps_the_output_it_names)
{
    const aval__opdef *d = derivative(aval__registry_find(registry, "aval::Own", 0), 0);
    cr_expect_str_eq(d->name, "Own'0");
    cr_expect_eq(d->n_sources, 2);
    expect_source(d, 0, AVAL__LEAF_OUTPUT, 0);
    expect_source(d, 1, AVAL__LEAF_UPSTREAM, 0);
    cr_expect_eq(aval__expr_real(d->outputs[0], leaf_real, (const double[]){ 0.5, 3 }), 2.25);
    cr_expect_eq(derivative(aval__registry_find(registry, "aval::Own", 0), 0), d, "made once");
}

Test(derived, a_derivative_can_be_derived_again)
{
    /* g (1 - y^2) by y, upstream h: -2 y g h */
    const aval__opdef *d = derivative(derivative(aval__registry_find(registry, "aval::Own", 0), 0), 0);
    double leaves[3] = { 0 };
    cr_expect_str_eq(d->name, "Own'0'0");
    for (size_t i = 0; i < d->n_sources; i++) {
        leaves[i] = d->sources[i].kind == AVAL__LEAF_UPSTREAM ? 5 : d->sources[i].index == 0 ? 0.5 : 3;
    }
    cr_expect_eq(aval__expr_real(d->outputs[0], leaf_real, leaves), -15);
}

Test(derived, only_what_the_product_reads_is_an_input)
{
    const aval__opdef *by_z = derivative(aval__registry_find(registry, "aval::Square", 0), 1);
    cr_expect_eq(by_z->n_sources, 2);
    expect_source(by_z, 0, AVAL__LEAF_INPUT, 0);
    expect_source(by_z, 1, AVAL__LEAF_UPSTREAM, 0);
    aval__leaf leaf;
    const aval__opdef *plain = derivative(aval__registry_find(registry, "aval::Stairs", 0), 1);
    cr_expect(aval__expr_is_leaf(plain->outputs[0], &leaf), "the upstream itself");
    expect_source(plain, 0, AVAL__LEAF_UPSTREAM, 0);
}

Test(derived, a_derivative_that_is_zero_everywhere_is_none)
{
    cr_expect_null(derivative(aval__registry_find(registry, "aval::Stairs", 0), 0));
}

Test(derived, products_are_summed_over_outputs)
{
    /* by x: g0 + z g1 */
    const aval__opdef *d = derivative(aval__registry_find(registry, "aval::Pair", 0), 0);
    double leaves[3] = { 0 };
    cr_assert_eq(d->n_sources, 3);
    for (size_t i = 0; i < 3; i++) leaves[i] = d->sources[i].kind == AVAL__LEAF_INPUT ? 7 : d->sources[i].index == 0 ? 2 : 3;
    cr_expect_eq(aval__expr_real(d->outputs[0], leaf_real, leaves), 23);
}
