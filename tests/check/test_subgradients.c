/* The rules at kinks and ties, which differences cannot tell: exact gradients with an upstream of ones.  Every op that states a rule has a
 * row. */
#include "check/check.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST 8

typedef struct rule {
    const char *op, *attrs;
    size_t n_inputs;
    struct {
        size_t rank;
        int64_t dims[4];
        float values[MOST];
        float gradient[MOST];
    } inputs[3];
    int extra_type; /* of a further input that is a constant vector; AVAL_NONE: none */
    int64_t n_extra;
    const void *extra;
    size_t extra_at; /* where it stands among the inputs; 0: behind them */
} rule;

#define VECTOR(n) .rank = 1, .dims = { n }
#define EXTRA(element, count, data) .extra_type = element, .n_extra = count, .extra = data
#define NO_EXTRA .extra_type = AVAL_NONE

static const int64_t axis_1 = 1, class_0 = 0, first_2 = 2;
static const int64_t places[2] = { 0, 0 };
static const uint8_t others[2] = { 0, 0 };

static const rule rules[] = {
    { "Abs", NULL, 1, { { VECTOR(3), { -2, 0, 2 }, { -1, 0, 1 } } }, NO_EXTRA },
    { "Relu", NULL, 1, { { VECTOR(3), { -2, 0, 2 }, { 0, 0, 1 } } }, NO_EXTRA },
    { "LeakyRelu", "alpha=0.25", 1, { { VECTOR(3), { -2, 0, 2 }, { 0.25f, 0.25f, 1 } } }, NO_EXTRA },
    { "Max", NULL, 2, { { VECTOR(3), { 1, 2, 3 }, { 0, 1, 1 } }, { VECTOR(3), { 3, 2, 1 }, { 1, 0, 0 } } }, NO_EXTRA },
    { "Min", NULL, 2, { { VECTOR(3), { 1, 2, 3 }, { 1, 1, 0 } }, { VECTOR(3), { 3, 2, 1 }, { 0, 0, 1 } } }, NO_EXTRA },
    { "aval::Maximum", NULL, 2, { { VECTOR(3), { 1, 2, 3 }, { 0, 1, 1 } }, { VECTOR(3), { 3, 2, 1 }, { 1, 0, 0 } } }, NO_EXTRA },
    { "aval::Minimum", NULL, 2, { { VECTOR(3), { 1, 2, 3 }, { 1, 1, 0 } }, { VECTOR(3), { 3, 2, 1 }, { 0, 0, 1 } } }, NO_EXTRA },
    { "Clip",
      NULL,
      3,
      { { VECTOR(5), { -2, -1, 0, 1, 2 }, { 0, 1, 1, 1, 0 } },
        { .values = { -1 }, .gradient = { 1 } },
        { .values = { 1 }, .gradient = { 1 } } },
      NO_EXTRA },
    { "Pow", NULL, 2, { { VECTOR(2), { 0, 2 }, { 0, 4 } }, { VECTOR(2), { 2, 2 }, { 0, 2.7725887f } } }, NO_EXTRA },
    { "ReduceMax", NULL, 1, { { 2, { 2, 3 }, { 1, 2, 2, 3, 3, 3 }, { 0, 1, 0, 1, 0, 0 } } }, EXTRA(AVAL_INT64, 1, &axis_1) },
    { "ReduceMin", NULL, 1, { { 2, { 2, 3 }, { 2, 1, 1, 3, 3, 3 }, { 0, 1, 0, 1, 0, 0 } } }, EXTRA(AVAL_INT64, 1, &axis_1) },
    { "TopK", NULL, 1, { { VECTOR(4), { 1, 3, 3, 3 }, { 0, 1, 1, 0 } } }, EXTRA(AVAL_INT64, 1, &first_2) },
    { "ReduceL1", NULL, 1, { { VECTOR(3), { -2, 0, 2 }, { -1, 0, 1 } } }, NO_EXTRA },
    { "ReduceL2", NULL, 1, { { VECTOR(3), { 0, 0, 0 }, { 0, 0, 0 } } }, NO_EXTRA },
    { "MaxPool", "kernel_shape=[2,2]", 1, { { 4, { 1, 1, 2, 3 }, { 1, 1, 1, 1, 2, 2 }, { 0, 0, 0, 0, 2, 0 } } }, NO_EXTRA },
    { "ScatterElements",
      "reduction='max'",
      2,
      { { VECTOR(2), { 1, 2 }, { 0, 1 } }, { VECTOR(2), { 3, 3 }, { 1, 0 } } },
      AVAL_INT64,
      2,
      places,
      1 },
    { "ScatterND",
      "reduction='min'",
      2,
      { { VECTOR(2), { 1, 2 }, { 1, 1 } }, { .values = { 1 }, .gradient = { 0 } } },
      AVAL_INT64,
      1,
      places,
      1 },
    { "HardSigmoid", "alpha=1 beta=0", 1, { { VECTOR(3), { 0, 0.5f, 1 }, { 0, 1, 0 } } }, NO_EXTRA },
    { "Elu", "alpha=0.5", 1, { { VECTOR(2), { 0, 2 }, { 0.5f, 1 } } }, NO_EXTRA },
    { "Celu", "alpha=2", 1, { { VECTOR(2), { 0, 2 }, { 1, 1 } } }, NO_EXTRA },
    { "Selu", "alpha=2 gamma=3", 1, { { VECTOR(2), { 0, 2 }, { 6, 3 } } }, NO_EXTRA },
    { "HardSwish", NULL, 1, { { VECTOR(3), { -3, 0, 3 }, { 0, 0.5f, 1 } } }, NO_EXTRA },
    { "ThresholdedRelu", "alpha=1", 1, { { VECTOR(3), { 0, 1, 2 }, { 0, 0, 1 } } }, NO_EXTRA },
    { "Shrink", "lambd=1", 1, { { VECTOR(4), { -1, 0, 1, 2 }, { 0, 0, 0, 1 } } }, NO_EXTRA },
    { "PRelu",
      NULL,
      2,
      { { VECTOR(3), { -2, 0, 2 }, { 0.25f, 0.25f, 1 } }, { VECTOR(3), { 0.25f, 0.25f, 0.25f }, { -2, 0, 0 } } },
      NO_EXTRA },
    { "Mod", "fmod=1", 2, { { VECTOR(2), { 4, 5 }, { 1, 1 } }, { VECTOR(2), { 2, 2 }, { -2, -2 } } }, NO_EXTRA },
    { "aval::CrossEntropyTerm", NULL, 2, { { VECTOR(2), { 0, 1 }, { 0, 0.6931472f } }, { VECTOR(2), { 0, 0.5f }, { 0, -2 } } }, NO_EXTRA },
    { "aval::CrossEntropy", NULL, 2, { { VECTOR(2), { 0, 1 }, { 0, 0.6931472f } }, { VECTOR(2), { 0, 0.5f }, { 0, -2 } } }, NO_EXTRA },
    { "aval::HingeTerm", NULL, 2, { { VECTOR(2), { 0, 1 }, { 0, 1 } }, { VECTOR(2), { 1, 0 }, { 0, -1 } } }, EXTRA(AVAL_BOOL, 2, others) },
    { "aval::MulticlassHinge", NULL, 1, { { 2, { 1, 3 }, { 1, 0, 1 }, { -1, 0, 1 } } }, EXTRA(AVAL_INT64, 1, &class_0) },
    { "MaxPool", "kernel_shape=[2,2]", 1, { { 4, { 1, 1, 2, 2 }, { 5, 5, 5, 5 }, { 1, 0, 0, 0 } } }, NO_EXTRA },
    { "GlobalMaxPool", NULL, 1, { { 4, { 1, 1, 2, 2 }, { 5, 5, 5, 5 }, { 1, 0, 0, 0 } } }, NO_EXTRA },
    { "MaxRoiPool",
      "pooled_shape=[1,1]",
      2,
      { { 4, { 1, 1, 2, 2 }, { 5, 5, 5, 5 }, { 1, 0, 0, 0 } }, { 2, { 1, 5 }, { 0, 0, 0, 1, 1 }, { 0 } } },
      NO_EXTRA },
    { "RoiAlign", /* one sample in the middle of four elements */
      "mode='max' sampling_ratio=1 coordinate_transformation_mode='output_half_pixel'",
      2,
      { { 4, { 1, 1, 2, 2 }, { 1, 1, 1, 1 }, { 0.25f, 0, 0, 0 } }, { 2, { 1, 4 }, { 0, 0, 1, 1 }, { 0 } } },
      EXTRA(AVAL_INT64, 1, &class_0) },
    { "aval::DeformColumns", /* rows of the offset's gradient: down, then to the right; outside the image is 0 */
      "kernel_shape=[1,1]",
      2,
      { { 4, { 1, 1, 2, 2 }, { 1, 2, 3, 5 }, { 1, 1, 1, 1 } }, { 4, { 1, 2, 2, 2 }, { 0 }, { 2, 3, -3, -5, 1, -2, 2, -5 } } },
      NO_EXTRA },
    { "aval::Limit", "limit=1", 1, { { VECTOR(5), { -2, -1, 0, 1, 2 }, { 0, 1, 1, 1, 0 } } }, NO_EXTRA },
    { "aval::NormTerm", "p=1", 1, { { VECTOR(3), { -2, 0, 2 }, { -1, 0, 1 } } }, NO_EXTRA },
    { "aval::NormRoot", "p=2", 1, { { VECTOR(2), { 0, 4 }, { 0, 0.25f } } }, NO_EXTRA },
};

static size_t count_of(const rule *r, size_t i)
{
    size_t count = 1;
    for (size_t d = 0; d < r->inputs[i].rank; d++) count *= (size_t)r->inputs[i].dims[d];
    return count;
}

static aval_value *make_inputs(aval_graph *g, const rule *r, aval_value **inputs)
{
    size_t n = r->n_inputs;
    for (size_t i = 0; i < n; i++) {
        char name[2] = { (char)('a' + i), 0 };
        inputs[i] = aval_graph_input(g, name, AVAL_FLOAT, r->inputs[i].rank, r->inputs[i].dims);
    }
    aval_value *all[4] = { inputs[0], inputs[1], inputs[2] };
    if (r->extra_type != AVAL_NONE) {
        size_t at = r->extra_at ? r->extra_at : n;
        for (size_t i = n++; i > at; i--) all[i] = all[i - 1];
        all[at] = aval_graph_constant(g, r->extra_type, 1, &r->n_extra, r->extra);
    }
    return aval_node_output(aval_graph_node(g, r->op, r->attrs, all, n), 0);
}

static void check_rule(aval_context *ctx, const rule *r)
{
    aval_value *inputs[3] = { NULL }, *gradients[3];
    aval_session *s;
    aval_graph *g = aval_graph_create(ctx);
    aval_value *y = make_inputs(g, r, inputs);
    cr_assert_not_null(y, "%s: %s", r->op, aval_error());
    for (size_t i = 0; i < r->n_inputs; i++) gradients[i] = aval_graph_gradient(g, y, inputs[i], NULL);
    cr_assert_eq(aval_session_create(ctx, g, NULL, &s), 0);
    for (size_t i = 0; i < r->n_inputs; i++)
        cr_assert_eq(aval_session_feed(s, inputs[i], r->inputs[i].values, count_of(r, i) * sizeof(float), NULL), 0, "%s", aval_error());
    cr_assert_eq(aval_session_run(s, gradients, r->n_inputs), 0, "%s: %s", r->op, aval_error());
    for (size_t i = 0; i < r->n_inputs; i++) {
        float found[MOST];
        cr_assert_eq(aval_session_read(s, gradients[i], found, count_of(r, i) * sizeof(float)), 0, "%s", aval_error());
        for (size_t e = 0; e < count_of(r, i); e++)
            cr_expect_float_eq(found[e], r->inputs[i].gradient[e], 1e-6, "%s, input %zu, element %zu: found %g, the rule says %g", r->op, i,
                               e, (double)found[e], (double)r->inputs[i].gradient[e]);
    }
    aval_session_release(s);
    aval_graph_release(g);
}

static aval_context *open_context(void)
{
    aval_context *ctx;
    setenv("OCL_ICD_VENDORS", "/etc/OpenCL/vendors/pocl.icd", 0);
    cr_assert_eq(aval_context_create(&ctx), 0);
    cr_assert_eq(aval_context_load_plugins(ctx, AVAL_TEST_PLUGINS, NULL), 0, "%s", aval_error());
    return ctx;
}

Test(subgradient, is_what_the_rule_says, .timeout = 120)
{
    aval_context *ctx = open_context();
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) check_rule(ctx, &rules[i]);
    aval_context_release(ctx);
}

static bool has_rule(const aval_op *op)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const char *colon = strstr(rules[i].op, "::");
        bool ours = op->domain != NULL && op->domain[0] != 0;
        if (ours == (colon != NULL) && strcmp(colon == NULL ? rules[i].op : colon + 2, op->name) == 0) return true;
    }
    return false;
}

Test(subgradient, every_op_that_states_a_rule_has_a_row_here)
{
    aval_context *ctx = open_context();
    for (size_t i = 0; i < aval_op_count(ctx); i++) {
        const aval_op *op = aval_op_at(ctx, i);
        const char *kind = aval_op_gradient_kind(op);
        if (op->subgradient == NULL || strcmp(kind, "none") == 0 || strcmp(kind, "zero") == 0) continue;
        cr_expect(has_rule(op), "%s: '%s'", op->name, op->subgradient);
    }
    aval_context_release(ctx);
}
