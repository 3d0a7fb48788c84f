/* Keys of plans: what a plan depends on changes them, ids do not; and a plan's numbers of values hold in every graph of equal key. */
#include "harness.h"

#include <criterion/criterion.h>
#include <string.h>

/* What a request is made of, each with a usual content. */
typedef struct recipe {
    int64_t rows;
    const char *op, *attrs, *input_name, *node_name;
    aval_memory_mode memory;
    uint32_t units;
    int device;
    bool strict, swapped, wants_both;
    const float *constant;
} recipe;

static const float one = 1, two = 2;
static const recipe usual = { .rows = 2, .op = "Mix", .attrs = "to=1", .input_name = "x", .units = 1, .device = -1, .constant = &one };

static aval__hash key_of(recipe from)
{
    fixture f;
    aval__hash key;
    aval__numbering numbers = { 0 };
    fixture_open(&f);
    aval_value *x = make_input(&f, from.input_name, from.rows, 2), *w = make_input(&f, "w", from.rows, 2);
    aval_value *inputs[] = { from.swapped ? w : x, from.swapped ? x : w };
    aval_node *node = aval_graph_node(f.g, from.op, NULL, inputs, 2);
    if (from.node_name) aval_node_set_name(node, from.node_name);
    aval_node_place(node, from.device);
    aval_value *c = aval_graph_constant(f.g, AVAL_FLOAT, AVAL_SCALAR, from.constant);
    aval_value *y = aval_apply(f.g, "Mul", NULL, aval_apply(f.g, "Cast", from.attrs, aval_node_output(node, 0)), c);
    cr_assert_eq(aval_graph_status(f.g), 0, "%s", aval_error());
    f.request.wanted = (aval_value *[]){ y, x };
    f.request.n_wanted = from.wants_both ? 2 : 1;
    f.request.memory = from.memory;
    f.request.strict = from.strict;
    f.infos[0].compute_units = from.units;
    cr_assert_eq(aval__plan_key(&f.request, &key, &numbers), 0, "%s", aval_error());
    aval__vec_release(&numbers);
    fixture_close(&f);
    return key;
}

static bool differs(recipe changed)
{
    aval__hash a = key_of(usual), b = key_of(changed);
    return memcmp(&a, &b, sizeof a) != 0;
}

Test(plan_key, equal_requests_have_equal_keys_and_any_change_shows)
{
    recipe changed[12];
    size_t n = sizeof changed / sizeof changed[0];
    for (size_t i = 0; i < n; i++) changed[i] = usual;
    changed[0].rows = 3;
    changed[1].op = "Add";
    changed[2].attrs = "to=11";
    changed[3].input_name = "z";
    changed[4].node_name = "mix";
    changed[5].memory = AVAL_MEMORY_GUARDED;
    changed[6].units = 2;
    changed[7].device = 0;
    changed[8].strict = true;
    changed[9].swapped = true;
    changed[10].wants_both = true;
    changed[11].constant = &two;
    cr_expect_not(differs(usual));
    for (size_t i = 0; i < n; i++) cr_expect(differs(changed[i]), "change %zu", i);
}

/* Two graphs of the same links, made in another order and among removed and unneeded nodes: ids differ, numbers correspond. */
Test(plan_key, a_plan_fits_every_graph_of_equal_links_whatever_the_ids)
{
    fixture f;
    aval__numbering numbers[2] = { { 0 } };
    aval__hash keys[2];
    aval_value *ends[2], *xs[2];
    fixture_open(&f);
    for (int i = 0; i < 2; i++) {
        aval_value *w = i ? make_input(&f, "w", 2, 2) : NULL, *x = xs[i] = make_input(&f, "x", 2, 2);
        aval_value *gone = aval_apply(f.g, "Neg", NULL, x);
        if (!i) w = make_input(&f, "w", 2, 2);
        if (i) cr_assert_eq(aval_graph_remove_node(f.g, gone->producer), 0, "%s", aval_error());
        aval_value *half = aval_apply(f.g, "Neg", NULL, w);
        ends[i] = aval_apply(f.g, "Mix", NULL, aval_apply(f.g, "Mul", NULL, x, half), x);
        f.request.wanted = &ends[i];
        f.request.n_wanted = 1;
        cr_assert_eq(aval__plan_key(&f.request, &keys[i], &numbers[i]), 0, "%s", aval_error());
    }
    cr_assert_eq(memcmp(&keys[0], &keys[1], sizeof keys[0]), 0);
    aval__plan *plan = fixture_plan(&f, &ends[0], 1);
    cr_assert_eq(plan->n_located, 1);
    cr_assert_eq(numbers[0].count, numbers[1].count);
    cr_assert_eq(numbers[1].at[plan->located[0].value], ends[1]->id);
    for (size_t i = 0; i < plan->n_slots; i++)
        if (plan->slots[i].name && strcmp(plan->slots[i].name, "x") == 0) cr_assert_eq(numbers[1].at[plan->slots[i].value], xs[1]->id);
    for (int i = 0; i < 2; i++) aval__vec_release(&numbers[i]);
    aval__plan_release(plan);
    fixture_close(&f);
}
