/* Joints: clusters that compute the same on other tensors are one launch, with the bits of launches of their own. */
#include "exec/context.h"
#include "exec/rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 40

typedef struct made {
    aval_value *wanted[2 * MOST];
    size_t n_wanted;
} made;

typedef made (*builder)(rig *r);

static aval_value *filled(rig *r, const char *kind, size_t number, int64_t count)
{
    static float data[20000];
    char name[32];
    cr_assert_leq((size_t)count, sizeof data / sizeof data[0]);
    snprintf(name, sizeof name, "%s%zu", kind, number);
    for (int64_t i = 0; i < count; i++) data[i] = (float)((i * 7919 + (int64_t)number * 4001 + kind[0]) % 2003) / 1001.5f - 1;
    aval_value *v = aval_graph_input(r->graph, name, AVAL_FLOAT, 1, &count);
    rig_feed(r, v, data, (size_t)count);
    return v;
}

static aval_value *state(rig *r, const char *kind, size_t number, int64_t count)
{
    char name[32];
    snprintf(name, sizeof name, "%s%zu", kind, number);
    return rig_state(r, name, count, 0.25f + (float)number / 64);
}

static int64_t size_of(size_t number)
{
    static const int64_t sizes[] = { 2, 17, 64, 5000, 3, 300, 12289, 63, 65 };
    return sizes[number % (sizeof sizes / sizeof sizes[0])];
}

/* Updates of `n` weights and velocities. */
static made updates(rig *r, size_t n, const char *attrs)
{
    made m = { .n_wanted = 2 * n };
    aval_value *lr = rig_scalar_state(r, "lr", 0.1f);
    for (size_t i = 0; i < n; i++) {
        int64_t count = size_of(i);
        aval_value *inputs[] = { state(r, "w", i, count), filled(r, "g", i, count), state(r, "v", i, count), lr };
        aval_node *node = aval_graph_node(r->graph, "Sgd", attrs, inputs, 4);
        m.wanted[2 * i] = aval_node_output(node, 0);
        m.wanted[2 * i + 1] = aval_node_output(node, 1);
    }
    return m;
}

static made few_updates(rig *r)
{
    return updates(r, 5, "momentum=0.9");
}

static made many_updates(rig *r)
{
    return updates(r, MOST, "momentum=0.9 weight_decay=0.01");
}

/* Two sorts of updates, and one that is alone with its attribute. */
static made mixed_updates(rig *r)
{
    made m = updates(r, 6, "momentum=0.5");
    aval_value *inputs[] = { state(r, "w", 7, 9), filled(r, "g", 7, 9), state(r, "v", 7, 9),
                             aval_graph_state(r->graph, "lr", AVAL_FLOAT, 0, NULL) };
    m.wanted[m.n_wanted++] = aval_node_output(aval_graph_node(r->graph, "Sgd", "momentum=0.25", inputs, 4), 0);
    return m;
}

/* Results that are wanted, of several nodes, with an attribute and another element type: nothing is updated. */
static made results(rig *r)
{
    made m = { .n_wanted = 7 };
    aval_value *scale = filled(r, "s", 0, 1);
    for (size_t i = 0; i < m.n_wanted; i++) {
        aval_value *y = aval_apply(r->graph, "Elu", "alpha=0.7", aval_apply(r->graph, "Mul", NULL, filled(r, "x", i, size_of(i)), scale));
        m.wanted[i] = aval_apply(r->graph, "Cast", "to=10", y);
    }
    return m;
}

/* Each writes over what the other reads: y is wanted, and computed from x, which two read. */
static made of_one_input(rig *r)
{
    made m = { .n_wanted = 4 };
    aval_value *x = aval_apply(r->graph, "ReduceSum", "keepdims=0", filled(r, "x", 0, 64)), *inputs[2];
    inputs[0] =
        aval_apply(r->graph, "CumSum", NULL, filled(r, "x", 1, 64), aval_graph_constant(r->graph, AVAL_INT64, 0, NULL, &(int64_t){ 0 }));
    inputs[1] =
        aval_apply(r->graph, "CumSum", NULL, filled(r, "x", 2, 64), aval_graph_constant(r->graph, AVAL_INT64, 0, NULL, &(int64_t){ 0 }));
    m.wanted[0] = aval_apply(r->graph, "Sub", NULL, inputs[0], inputs[1]);
    m.wanted[1] = aval_apply(r->graph, "Sub", NULL, inputs[1], inputs[0]);
    m.wanted[2] = aval_apply(r->graph, "Sub", NULL, inputs[0], filled(r, "x", 3, 64));
    m.wanted[3] = aval_apply(r->graph, "Mul", NULL, inputs[1], x);
    return m;
}

/* The same device, called a GPU: expressions are computed an element a work-item. */
static void call_gpu(rig *r)
{
    static aval_device_info gpu;
    RIG_OK(aval__context_ready(r->context));
    gpu = *r->context->infos.at[0];
    gpu.kind = AVAL_DEVICE_GPU;
    r->context->infos.at[0] = &gpu;
}

static bool as_gpu;

/* In a context of its own; *bytes and *plan are to be freed. */
static size_t run(builder build, const char *joins, aval_memory_mode mode, unsigned char **bytes, char **plan)
{
    rig r;
    setenv("AVAL_JOINS", joins, 1);
    rig_open(&r);
    if (as_gpu) call_gpu(&r);
    made m = build(&r);
    return rig_outcome(&r, mode, m.wanted, m.n_wanted, bytes, plan);
}

/* Equal bits with joints and without; `joint` is in the plan with them. */
static void check(builder build, aval_memory_mode mode, const char *joint)
{
    unsigned char *apart, *together;
    char *plan_apart, *plan_together;
    size_t n = run(build, "0", mode, &apart, &plan_apart);
    cr_assert_eq(run(build, "1", mode, &together, &plan_together), n);
    cr_expect_arr_eq(apart, together, n, "%s", joint);
    cr_expect_neq(strstr(plan_together, joint), NULL, "%s in\n%s", joint, plan_together);
    cr_expect_eq(strstr(plan_apart, joint), NULL, "%s", plan_apart);
    free(apart);
    free(together);
    aval_free(plan_apart);
    aval_free(plan_together);
}

static void check_modes(builder build, const char *joint)
{
    check(build, AVAL_MEMORY_ARENA, joint);
    check(build, AVAL_MEMORY_GUARDED, joint);
    check(build, AVAL_MEMORY_RETAINED, joint);
}

Test(joins, updates_of_small_and_large_states_have_the_bits_of_launches_of_their_own)
{
    check_modes(few_updates, "5 times Sgd");
}

Test(joins, more_updates_than_one_kernel_has_parameters_for_are_several_launches)
{
    check_modes(many_updates, "13 times Sgd");
}

Test(joins, updates_with_other_attributes_stay_apart)
{
    check_modes(mixed_updates, "6 times Sgd");
}

Test(joins, wanted_results_of_several_nodes_share_a_launch)
{
    check_modes(results, "7 times fused Mul, Elu, Cast");
}

Test(joins, no_result_is_written_over_what_another_member_reads)
{
    check_modes(of_one_input, "times Sub");
}

Test(joins, as_gpus_compute_them)
{
    as_gpu = true;
    check_modes(many_updates, "13 times Sgd");
    check_modes(results, "7 times fused Mul, Elu, Cast");
}

/* What fills the device on its own has a launch of its own, unless it is asked otherwise. */
Test(joins, only_small_ones_share_a_launch_where_nothing_is_said)
{
    unsigned char *bytes;
    char *plan;
    run(few_updates, "", AVAL_MEMORY_ARENA, &bytes, &plan);
    cr_expect_neq(strstr(plan, "times Sgd"), NULL, "%s", plan);
    free(bytes);
    aval_free(plan);
}
