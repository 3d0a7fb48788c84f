/* Heads: what a reduction reads is computed as it is read, with the bits of launches of their own. */
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 200000

typedef struct shape {
    size_t rank;
    int64_t dims[4];
} shape;

typedef struct made {
    aval_value *wanted[4];
    size_t n_wanted;
} made;

typedef made (*builder)(rig *r, const shape *s);

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

static aval_value *whole(rig *r, const char *name, const shape *s)
{
    return filled(r, name, s->rank, s->dims);
}

/* Of one axis only, that the others are broadcast along. */
static aval_value *along(rig *r, const char *name, const shape *s, size_t axis)
{
    int64_t dims[4] = { 1, 1, 1, 1 };
    dims[axis] = s->dims[axis];
    return filled(r, name, s->rank, dims);
}

static aval_value *two(rig *r, const char *op, aval_value *a, aval_value *b)
{
    return aval_apply(r->graph, op, NULL, a, b);
}

static aval_value *over(rig *r, const char *op, aval_value *x, size_t n, const int64_t *axes)
{
    const int64_t dims[] = { (int64_t)n };
    return two(r, op, x, aval_graph_constant(r->graph, AVAL_INT64, 1, dims, axes));
}

/* mean((a - b)^2) */
static made squared_error(rig *r, const shape *s)
{
    aval_value *d = two(r, "Sub", whole(r, "a", s), whole(r, "bb", s));
    return (made){ { aval_apply(r->graph, "ReduceMean", "keepdims=0", two(r, "Mul", d, d)) }, 1 };
}

/* Sums over the last axis, the first, and one in the middle. */
static made sums_of_scaled(rig *r, const shape *s, size_t axis)
{
    const int64_t over_axis = (int64_t)axis;
    aval_value *x = two(r, "Mul", whole(r, "a", s), along(r, "bb", s, s->rank - 1));
    return (made){ { over(r, "ReduceSum", aval_apply(r->graph, "Elu", "alpha=0.7", x), 1, &over_axis) }, 1 };
}

static made sums_of_rows(rig *r, const shape *s)
{
    return sums_of_scaled(r, s, s->rank - 1);
}

static made sums_of_columns(rig *r, const shape *s)
{
    return sums_of_scaled(r, s, 0);
}

static made largest_of_distances(rig *r, const shape *s)
{
    const int64_t axis = 0;
    aval_value *d = aval_apply(r->graph, "Abs", NULL, two(r, "Sub", whole(r, "a", s), along(r, "bb", s, 0)));
    return (made){ { over(r, "ReduceMax", d, 1, &axis) }, 1 };
}

/* Of what was a half for a moment. */
static made sum_of_halves(rig *r, const shape *s)
{
    aval_value *half = aval_apply(r->graph, "Cast", "to=10", aval_apply(r->graph, "Tanh", NULL, whole(r, "a", s)));
    return (made){ { aval_apply(r->graph, "ReduceSum", NULL, half) }, 1 };
}

/* A variance, whose mean is broadcast along rows. */
static made variance(rig *r, const shape *s)
{
    const int64_t axis = (int64_t)s->rank - 1;
    aval_value *x = whole(r, "a", s), *d = two(r, "Sub", x, over(r, "ReduceMean", x, 1, &axis));
    return (made){ { over(r, "ReduceMean", two(r, "Mul", d, d), 1, &axis) }, 1 };
}

/* ---- Rows that are made in memory by the kernels that read them -------------------------------------------------------------------------- */

/* Softmax of scores that are scaled by row and masked by column. */
static aval_value *scores(rig *r, const shape *s)
{
    return two(r, "Add", two(r, "Mul", whole(r, "a", s), along(r, "bb", s, 0)), along(r, "mask", s, s->rank - 1));
}

static made softmax_of_scores(rig *r, const shape *s)
{
    return (made){ { aval_apply(r->graph, "Softmax", "axis=-1", scores(r, s)) }, 1 };
}

/* Along the second axis, so that rows lie side by side; of one that is wide enough for vectors, and a rest. */
static made softmax_of_columns(rig *r, const shape *s)
{
    return (made){ { aval_apply(r->graph, "Softmax", "axis=1", scores(r, s)) }, 1 };
}

static made logarithm_of_columns(rig *r, const shape *s)
{
    return (made){ { aval_apply(r->graph, "LogSoftmax", "axis=0", aval_apply(r->graph, "Cast", "to=10", scores(r, s))) }, 1 };
}

static made softmax_of_doubles(rig *r, const shape *s)
{
    aval_value *x = two(r, "Mul", whole(r, "a", s), along(r, "bb", s, 1));
    return (made){ { aval_apply(r->graph, "Softmax", "axis=1", aval_apply(r->graph, "Cast", "to=11", x)) }, 1 };
}

/* Of rows that end in the middle of a run of what is broadcast. */
static made logarithm_of_halves(rig *r, const shape *s)
{
    aval_value *half = aval_apply(r->graph, "Cast", "to=10", two(r, "Mul", whole(r, "a", s), along(r, "bb", s, 1)));
    return (made){ { aval_apply(r->graph, "LogSoftmax", "axis=-1", half) }, 1 };
}

static aval_value *normalised(rig *r, const shape *s, aval_value *x)
{
    const shape last = { 1, { s->dims[s->rank - 1] } };
    return aval_apply(r->graph, "LayerNormalization", "axis=-1", x, whole(r, "scale", &last), whole(r, "bias of it", &last));
}

static made norm_of_sum(rig *r, const shape *s)
{
    return (made){ { normalised(r, s, two(r, "Add", whole(r, "a", s), whole(r, "bb", s))) }, 1 };
}

/* As in a residual branch: the sum goes on, as does what is made with it, and one of two launches reads what the other wrote. */
static made norm_of_sum_that_goes_on(rig *r, const shape *s)
{
    aval_value *sum = two(r, "Add", whole(r, "a", s), whole(r, "bb", s)), *sign = aval_apply(r->graph, "Sign", NULL, sum);
    aval_value *y = normalised(r, s, sum), *again = aval_apply(r->graph, "Softmax", "axis=-1", sum);
    return (made){ { y, two(r, "Add", sum, y), sign, again }, 4 };
}

/* Statistics of channels of a sum that goes on: the running ones are states, which the node updates; `also` reads one of them. */
static made batch_norm(rig *r, const shape *s, bool also)
{
    const shape channels = { 1, { s->dims[1] } };
    aval_value *sum = two(r, "Add", whole(r, "a", s), along(r, "bb", s, 1)), *mean = rig_state(r, "mean", s->dims[1], 0.5f);
    aval_value *inputs[] = { sum, whole(r, "scale", &channels), whole(r, "bias of it", &channels), mean,
                             rig_state(r, "var", s->dims[1], 1) };
    aval_node *node = aval_graph_node(r->graph, "BatchNormalization", "training_mode=1", inputs, 5);
    aval_value *y = aval_node_output(node, 0);
    aval_value *grad = aval_graph_gradient(r->graph, y, sum, filled(r, "upstream", s->rank, s->dims));
    aval_value *last = also ? two(r, "Mul", sum, aval_apply(r->graph, "ReduceSum", NULL, mean)) : two(r, "Mul", sum, y);
    return (made){ { y, aval_node_output(node, 1), grad, last }, 4 };
}

static made batch_norm_of_sum(rig *r, const shape *s)
{
    return batch_norm(r, s, false);
}

static made batch_norm_whose_mean_others_read(rig *r, const shape *s)
{
    return batch_norm(r, s, true);
}

static made batch_norm_of_halves(rig *r, const shape *s)
{
    const shape channels = { 1, { s->dims[1] } };
    aval_value *inputs[5] = { aval_apply(r->graph, "Cast", "to=10", two(r, "Mul", whole(r, "a", s), whole(r, "bb", s))) };
    for (int i = 1; i < 5; i++) inputs[i] = aval_apply(r->graph, "Cast", "to=10", whole(r, i < 3 ? "scale" : "statistics", &channels));
    return (made){ { aval_node_output(aval_graph_node(r->graph, "BatchNormalization", "training_mode=1", inputs, 5), 0) }, 1 };
}

/* With the gradients of a step. */
static made trained(rig *r, aval_value *y, aval_value *x)
{
    const int64_t *dims = aval_value_dims(y);
    aval_value *upstream = filled(r, "upstream", (size_t)aval_value_rank(y), dims);
    return (made){ { y, aval_graph_gradient(r->graph, y, x, upstream) }, 2 };
}

static made softmax_with_gradients(rig *r, const shape *s)
{
    aval_value *a = whole(r, "a", s), *x = two(r, "Mul", aval_apply(r->graph, "Tanh", NULL, a), along(r, "mask", s, s->rank - 1));
    return trained(r, aval_apply(r->graph, "Softmax", "axis=-1", x), a);
}

static made columns_with_gradients(rig *r, const shape *s)
{
    aval_value *a = whole(r, "a", s), *x = two(r, "Mul", aval_apply(r->graph, "Tanh", NULL, a), along(r, "mask", s, 1));
    return trained(r, aval_apply(r->graph, "Softmax", "axis=1", x), a);
}

/* Labels of scores whose classes are along axis 1. */
static aval_value *labels_of(rig *r, const shape *s)
{
    static int64_t labels[MOST];
    int64_t dims[4] = { s->dims[0] }, count = s->dims[0];
    for (size_t i = 2; i < s->rank; i++) dims[i - 1] = s->dims[i], count *= s->dims[i];
    for (int64_t i = 0; i < count; i++) labels[i] = i * 7 % s->dims[1];
    return aval_graph_constant(r->graph, AVAL_INT64, s->rank - 1, dims, labels);
}

static made cross_entropy(rig *r, const shape *s)
{
    return (made){ { two(r, "SoftmaxCrossEntropyLoss", scores(r, s), labels_of(r, s)) }, 1 };
}

/* The logarithms too, of halves, and what else reads the scores. */
static made cross_entropies_of_halves(rig *r, const shape *s)
{
    aval_value *x = aval_apply(r->graph, "Cast", "to=10", scores(r, s));
    aval_node *node = aval_graph_node(r->graph, "SoftmaxCrossEntropyLoss", "reduction='none'", (aval_value *[]){ x, labels_of(r, s) }, 2);
    return (made){ { aval_node_output(node, 0), aval_node_output(node, 1), aval_apply(r->graph, "Softmax", "axis=-1", x) }, 3 };
}

static made cross_entropy_with_gradients(rig *r, const shape *s)
{
    aval_value *a = whole(r, "a", s), *x = two(r, "Add", aval_apply(r->graph, "Tanh", NULL, a), along(r, "mask", s, 1));
    aval_value *loss = two(r, "SoftmaxCrossEntropyLoss", x, labels_of(r, s));
    return (made){ { loss, aval_graph_gradient(r->graph, loss, a, NULL) }, 2 };
}

/* Of which only the labels' elements are computed. */
static made likelihood(rig *r, const shape *s)
{
    aval_value *log = aval_apply(r->graph, "Log", NULL, aval_apply(r->graph, "Sigmoid", NULL, whole(r, "a", s)));
    return (made){ { two(r, "NegativeLogLikelihoodLoss", log, labels_of(r, s)) }, 1 };
}

/* Backward reads the probabilities, of which it makes all. */
static made likelihood_with_gradients_of_probabilities(rig *r, const shape *s)
{
    aval_value *a = whole(r, "a", s), *shares = aval_apply(r->graph, "Sigmoid", NULL, a);
    aval_value *loss = two(r, "NegativeLogLikelihoodLoss", aval_apply(r->graph, "Log", NULL, shares), labels_of(r, s));
    return (made){ { loss, aval_graph_gradient(r->graph, loss, a, NULL) }, 2 };
}

/* The same where the probabilities are wanted too, and where one is made with them that is. */
static made likelihood_of_wanted_probabilities(rig *r, const shape *s)
{
    made m = likelihood_with_gradients_of_probabilities(r, s);
    aval_value *a = whole(r, "c", s), *shares = aval_apply(r->graph, "Sigmoid", NULL, two(r, "Mul", a, along(r, "bb", s, 1)));
    aval_value *loss = two(r, "NegativeLogLikelihoodLoss", aval_apply(r->graph, "Log", NULL, shares), labels_of(r, s));
    return (made){ { m.wanted[0], m.wanted[1], loss, two(r, "Mul", shares, a) }, 4 };
}

static made likelihood_with_gradients(rig *r, const shape *s)
{
    aval_value *a = whole(r, "a", s), *x = two(r, "Mul", a, along(r, "bb", s, 1));
    aval_value *loss = two(r, "NegativeLogLikelihoodLoss", x, labels_of(r, s));
    return (made){ { loss, aval_graph_gradient(r->graph, loss, a, NULL) }, 2 };
}

static made norm_with_gradients(rig *r, const shape *s)
{
    aval_value *a = whole(r, "a", s);
    return trained(r, normalised(r, s, two(r, "Mul", aval_apply(r->graph, "Tanh", NULL, a), whole(r, "bb", s))), a);
}

/* A loss whose gradients are computed with it: by the launch that reads its terms. */
static made squared_error_with_gradients(rig *r, const shape *s)
{
    aval_value *a = whole(r, "a", s), *b = whole(r, "bb", s), *d = two(r, "Sub", a, b);
    aval_value *loss = aval_apply(r->graph, "ReduceMean", "keepdims=0", two(r, "Mul", d, d));
    return (made){ { loss, aval_graph_gradient(r->graph, loss, a, NULL), aval_graph_gradient(r->graph, loss, b, NULL) }, 3 };
}

/* Sums over one axis, and others that are made with what is summed, with a scale that is broadcast. */
static made sums_with_others(rig *r, const shape *s, size_t axis)
{
    const int64_t over_axis = (int64_t)axis;
    aval_value *a = whole(r, "a", s), *x = two(r, "Mul", aval_apply(r->graph, "Tanh", NULL, a), along(r, "bb", s, s->rank - 1));
    return (made){ { over(r, "ReduceSum", x, 1, &over_axis), aval_apply(r->graph, "Exp", NULL, x), two(r, "Add", a, x) }, 3 };
}

static made sums_of_rows_with_others(rig *r, const shape *s)
{
    return sums_with_others(r, s, s->rank - 1);
}

static made sums_of_columns_with_others(rig *r, const shape *s)
{
    return sums_with_others(r, s, 0);
}

/* In a context of its own; *bytes and *plan are to be freed. */
static size_t run(builder build, const shape *s, const char *heads, aval_memory_mode mode, unsigned char **bytes, char **plan)
{
    rig r;
    setenv("AVAL_HEADS", heads, 1);
    rig_open(&r);
    made m = build(&r, s);
    return rig_outcome(&r, mode, m.wanted, m.n_wanted, bytes, plan);
}

/* Equal bits with heads and without; `head` is in the plan with them. */
static void check(builder build, const shape *s, aval_memory_mode mode, const char *head)
{
    unsigned char *apart, *together;
    char *plan_apart, *plan_together;
    size_t n = run(build, s, "0", mode, &apart, &plan_apart);
    cr_assert_eq(run(build, s, "1", mode, &together, &plan_together), n);
    cr_expect_arr_eq(apart, together, n, "%s, %zu axes", head, s->rank);
    cr_expect_neq(strstr(plan_together, head), NULL, "%s in\n%s", head, plan_together);
    cr_expect_eq(strstr(plan_apart, head), NULL, "no %s in\n%s", head, plan_apart);
    free(apart);
    free(together);
    aval_free(plan_apart);
    aval_free(plan_together);
}

static const shape shapes[] = { { 2, { 3, 70 } }, { 1, { 100003 } }, { 3, { 5, 97, 130 } }, { 4, { 7, 3, 33, 16 } } };

Test(heads, a_mean_squared_error_gives_the_bits_of_launches_of_their_own)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) check(squared_error, &shapes[i], AVAL_MEMORY_ARENA, "of Sub, Mul");
    check(squared_error, &shapes[1], AVAL_MEMORY_GUARDED, "of Sub, Mul");
}

Test(heads, a_scale_by_column_and_an_attribute)
{
    check(sums_of_rows, &shapes[0], AVAL_MEMORY_ARENA, "of Mul, Elu");
    check(sums_of_rows, &shapes[2], AVAL_MEMORY_ARENA, "of Mul, Elu");
    check(sums_of_columns, &shapes[0], AVAL_MEMORY_ARENA, "of Mul, Elu");
    check(sums_of_columns, &shapes[0], AVAL_MEMORY_GUARDED, "of Mul, Elu");
}

Test(heads, the_largest_of_rows_from_one_broadcast_along_them)
{
    check(largest_of_distances, &shapes[0], AVAL_MEMORY_ARENA, "of Sub, Abs");
    check(largest_of_distances, &shapes[2], AVAL_MEMORY_ARENA, "of Sub, Abs");
}

Test(heads, another_element_type_is_rounded_to_as_in_memory)
{
    check(sum_of_halves, &shapes[2], AVAL_MEMORY_ARENA, "of Tanh, Cast");
}

Test(heads, a_variance_around_a_mean_by_row)
{
    check(variance, &shapes[0], AVAL_MEMORY_ARENA, "of Sub, Mul");
    check(variance, &shapes[2], AVAL_MEMORY_ARENA, "of Sub, Mul");
}

Test(heads, with_work_groups_too)
{
    setenv("AVAL_GROUP", "64", 1);
    check(squared_error, &shapes[1], AVAL_MEMORY_ARENA, "of Sub, Mul");
    check(sums_of_rows, &shapes[2], AVAL_MEMORY_ARENA, "of Mul, Elu");
    check(sums_of_columns, &shapes[3], AVAL_MEMORY_ARENA, "of Mul, Elu");
}

Test(heads, what_else_is_made_with_elements_that_are_read_once)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        check(squared_error_with_gradients, &shapes[i], AVAL_MEMORY_ARENA, "(ReduceMean) of Sub, Mul");
    check(squared_error_with_gradients, &shapes[2], AVAL_MEMORY_GUARDED, "(ReduceMean) of Sub, Mul");
    check(sums_of_rows_with_others, &shapes[2], AVAL_MEMORY_ARENA, "(ReduceSum) of Tanh, Mul");
    check(sums_of_columns_with_others, &shapes[0], AVAL_MEMORY_ARENA, "(ReduceSum) of Tanh, Mul");
    check(sums_of_columns_with_others, &shapes[0], AVAL_MEMORY_GUARDED, "(ReduceSum) of Tanh, Mul");
    setenv("AVAL_GROUP", "64", 1);
    check(squared_error_with_gradients, &shapes[1], AVAL_MEMORY_ARENA, "(ReduceMean) of Sub, Mul");
    check(sums_of_rows_with_others, &shapes[2], AVAL_MEMORY_ARENA, "(ReduceSum) of Tanh, Mul");
}

/* Equal bits, and the cluster `apart` in a launch of its own with heads too. */
static void check_apart(builder build, const shape *s, const char *apart)
{
    unsigned char *without, *with;
    char *plans[2];
    size_t n = run(build, s, "0", AVAL_MEMORY_ARENA, &without, &plans[0]);
    cr_assert_eq(run(build, s, "1", AVAL_MEMORY_ARENA, &with, &plans[1]), n);
    cr_expect_arr_eq(without, with, n);
    cr_expect_neq(strstr(plans[1], apart), NULL, "%s", plans[1]);
    cr_expect_eq(strstr(plans[1], ") of "), NULL, "%s", plans[1]);
    free(without);
    free(with);
    for (int i = 0; i < 2; i++) aval_free(plans[i]);
}

static const shape channels = { 4, { 20, 67, 5, 7 } }; /* so many channels that each is a work-item's, of more planes than are sampled */

Test(heads, a_batch_norm_makes_its_sum_where_a_work_item_has_a_channel)
{
    check(batch_norm_of_sum, &channels, AVAL_MEMORY_ARENA, "(NormalizeBatch) of Add");
    check(batch_norm_of_sum, &channels, AVAL_MEMORY_GUARDED, "(NormalizeBatch) of Add");
    check(batch_norm_of_halves, &channels, AVAL_MEMORY_ARENA, "(NormalizeBatch) of Mul, Cast");
    check_apart(batch_norm_of_sum, &shapes[3], "Add"); /* 3 channels */
    check_apart(batch_norm_whose_mean_others_read, &channels, "Add");
    setenv("AVAL_GROUP", "64", 1);
    check_apart(batch_norm_of_sum, &channels, "Add");
}

/* Runs of 1,584 elements that one of 16 is broadcast along. */
Test(heads, what_does_not_lie_in_the_runs_that_are_read_stays_a_launch)
{
    check_apart(sums_of_columns, &shapes[3], "fused Mul, Elu: fused:fused");
}

/* Lanes would take elements that are far apart. */
Test(heads, work_groups_make_only_rows_in_one_piece)
{
    setenv("AVAL_GROUP", "64", 1);
    check_apart(softmax_of_columns, &shapes[3], "fused Mul, Add: fused:fused");
    check_apart(cross_entropy, &shapes[2], "fused Mul, Add: fused:fused");
}

Test(heads, a_softmax_makes_its_scores)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (shapes[i].rank == 1) continue; /* neighbours of one softmax only: nothing is broadcast */
        check(softmax_of_scores, &shapes[i], AVAL_MEMORY_ARENA, "of Mul, Add");
        check(logarithm_of_halves, &shapes[i], AVAL_MEMORY_ARENA, "of Mul, Cast");
    }
    check(softmax_of_scores, &shapes[2], AVAL_MEMORY_GUARDED, "of Mul, Add");
}

Test(heads, a_norm_makes_its_sum)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) check(norm_of_sum, &shapes[i], AVAL_MEMORY_ARENA, "of Add");
    check(norm_of_sum, &shapes[0], AVAL_MEMORY_GUARDED, "of Add");
}

Test(heads, rows_that_others_read_too_are_made_in_memory)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        check(norm_of_sum_that_goes_on, &shapes[i], AVAL_MEMORY_ARENA, "of Add, Sign");
        check(norm_with_gradients, &shapes[i], AVAL_MEMORY_ARENA, "of Tanh, Mul");
        check(softmax_with_gradients, &shapes[i], AVAL_MEMORY_ARENA, "of Tanh, Mul");
    }
    check(norm_of_sum_that_goes_on, &shapes[2], AVAL_MEMORY_GUARDED, "of Add, Sign");
    check(norm_with_gradients, &shapes[2], AVAL_MEMORY_RETAINED, "of Tanh, Mul");
}

static const shape narrow = { 3, { 5, 11, 6 } }; /* less than a vector beside each element */

Test(heads, a_softmax_along_another_axis_makes_rows_that_lie_side_by_side)
{
    check(softmax_of_columns, &shapes[2], AVAL_MEMORY_ARENA, "(Softmax) of Mul, Add");
    check(softmax_of_columns, &shapes[3], AVAL_MEMORY_GUARDED, "(Softmax) of Mul, Add");
    check(softmax_of_columns, &narrow, AVAL_MEMORY_ARENA, "(Softmax) of Mul, Add");
    check(logarithm_of_columns, &shapes[2], AVAL_MEMORY_ARENA, "(LogSoftmax) of Mul, Add, Cast");
    check(softmax_of_doubles, &shapes[2], AVAL_MEMORY_ARENA, "(Softmax) of Mul, Cast");
    check(columns_with_gradients, &shapes[2], AVAL_MEMORY_ARENA, "(Softmax) of Tanh, Mul");
    check(columns_with_gradients, &narrow, AVAL_MEMORY_GUARDED, "(Softmax) of Tanh, Mul");
}

Test(heads, a_cross_entropy_makes_its_scores)
{
    check(cross_entropy, &shapes[0], AVAL_MEMORY_ARENA, "(SoftmaxCrossEntropyLoss) of Mul, Add");
    check(cross_entropies_of_halves, &shapes[2], AVAL_MEMORY_ARENA, "(SoftmaxCrossEntropyLoss) of Mul, Add, Cast");
    check(cross_entropy_with_gradients, &shapes[3], AVAL_MEMORY_ARENA, "(SoftmaxCrossEntropyLoss) of Tanh, Add");
    check(cross_entropy_with_gradients, &narrow, AVAL_MEMORY_GUARDED, "(SoftmaxCrossEntropyLoss) of Tanh, Add");
    setenv("AVAL_GROUP", "64", 1);
    check(cross_entropies_of_halves, &shapes[0], AVAL_MEMORY_ARENA, "(SoftmaxCrossEntropyLoss) of Mul, Add, Cast");
    check(cross_entropy_with_gradients, &shapes[0], AVAL_MEMORY_ARENA, "(SoftmaxCrossEntropyLoss) of Tanh, Add");
}

Test(heads, a_likelihood_computes_only_the_elements_of_its_labels)
{
    check(likelihood, &shapes[2], AVAL_MEMORY_ARENA, "(NegativeLogLikelihoodLoss) of Sigmoid, Log");
    check(likelihood_with_gradients, &shapes[0], AVAL_MEMORY_GUARDED, "(NegativeLogLikelihoodLoss) of Mul");
    check(likelihood_with_gradients, &shapes[3], AVAL_MEMORY_ARENA, "(NegativeLogLikelihoodLoss) of Mul");
    setenv("AVAL_GROUP", "64", 1);
    check(likelihood_with_gradients, &shapes[3], AVAL_MEMORY_ARENA, "(NegativeLogLikelihoodLoss) of Mul");
}

/* What else the cluster gives is computed apart, or by the launch of backward that alone reads it. */
Test(heads, a_likelihood_cuts_off_what_only_it_reads)
{
    const char *head = "(NegativeLogLikelihoodLoss) of Sigmoid, Log", *scaled = "(NegativeLogLikelihoodLoss) of Mul, Sigmoid, Log";
    check(likelihood_with_gradients_of_probabilities, &shapes[0], AVAL_MEMORY_GUARDED, head);
    check(likelihood_with_gradients_of_probabilities, &shapes[3], AVAL_MEMORY_ARENA, head);
    check(likelihood_with_gradients_of_probabilities, &shapes[3], AVAL_MEMORY_ARENA, "fused Sigmoid, Log'0, Sigmoid'0");
    check(likelihood_of_wanted_probabilities, &shapes[2], AVAL_MEMORY_ARENA, scaled);
    check(likelihood_of_wanted_probabilities, &shapes[2], AVAL_MEMORY_GUARDED, scaled);
    setenv("AVAL_GROUP", "64", 1);
    check(likelihood_with_gradients_of_probabilities, &shapes[3], AVAL_MEMORY_ARENA, head);
}

Test(heads, rows_are_made_by_work_groups_too)
{
    setenv("AVAL_GROUP", "64", 1);
    check(softmax_of_scores, &shapes[2], AVAL_MEMORY_ARENA, "of Mul, Add");
    check(logarithm_of_halves, &shapes[3], AVAL_MEMORY_ARENA, "of Mul, Cast");
    check(norm_of_sum_that_goes_on, &shapes[2], AVAL_MEMORY_ARENA, "of Add, Sign");
    check(norm_with_gradients, &shapes[0], AVAL_MEMORY_ARENA, "of Tanh, Mul");
}
