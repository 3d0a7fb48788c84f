/* Plans of random graphs, run by the simulator: liveness, aliases, updates, accumulation and copies between devices are right. */
#include "harness.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static uint64_t state;
static simulated found; /* in all plans that were simulated */

static uint32_t draw(uint32_t limit)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % limit;
}

static aval_value *add_random_node(fixture *f, aval_value **values, size_t count)
{
    static const char *const ops[] = { "Mix",  "Mix",  "Same", "Add",  "Mul",  "Neg",  "Mul",
                                       "Meet", "Take", "Take", "Rows", "Rows", "Pick", "Pick" };
    uint32_t op = draw(f->request.least_head > 0 ? 14 : 7);
    size_t near = count > 6 && draw(3) ? 6 : count;
    aval_value *inputs[] = { values[count - 1 - draw((uint32_t)near)], values[draw((uint32_t)count)] };
    aval_node *node = aval_graph_node(f->g, ops[op], NULL, inputs, op == 2 || op == 5 ? 1 : 2);
    if (f->request.n_devices > 1 && draw(4) == 0) aval_node_place(node, (int)draw(2));
    return aval_node_output(node, 0);
}

/* Arenas of a plan; each keeps to what one allocation may have. */
static size_t count_arenas(const aval__plan *plan, uint64_t largest_allocation_bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n_slots; i++) {
        if (plan->slots[i].kind != AVAL__SLOT_ARENA) continue;
        cr_assert_leq(plan->slots[i].bytes, largest_allocation_bytes);
        n++;
    }
    return n;
}

/* A graph with gradients and updates; returns how many values are wanted. */
static size_t build_random(fixture *f, uint64_t seed, aval_value **wanted)
{
    aval_value *values[64], *weights[3];
    size_t count = 0, n_wanted = 0;
    state = seed * 977 + 13;
    values[count++] = make_input(f, "x", 3, 4);
    for (int i = 0; i < 3; i++) values[count++] = weights[i] = make_state(f, i == 0 ? "a" : i == 1 ? "b" : "c", 3, 4);
    size_t n_nodes = 4 + draw(24);
    for (size_t i = 0; i < n_nodes; i++, count++) values[count] = add_random_node(f, values, count);
    wanted[n_wanted++] = values[count - 1];
    wanted[n_wanted++] = values[4 + draw((uint32_t)count - 4)];
    for (int i = 0; i < 3; i++) {
        aval_value *gradient = aval_graph_gradient(f->g, values[count - 1], weights[i], NULL);
        if (draw(3) == 0) wanted[n_wanted++] = gradient;
        if (f->request.least_head > 0 && draw(3) == 0)
            wanted[n_wanted++] = aval_apply(f->g, "Adapt", NULL, values[count - 1 - draw(4)], weights[i]);
        else if (draw(4)) wanted[n_wanted++] = aval_apply(f->g, draw(2) ? "Step" : "Update", NULL, weights[i], gradient);
    }
    cr_assert_eq(aval_graph_status(f->g), 0, "%s", aval_error());
    return n_wanted;
}

static aval__joins joins; /* of the plans to come */

/* Returns how many arenas the plan has. */
static size_t plan_random(uint64_t seed, aval_memory_mode mode, size_t n_devices, uint64_t largest_allocation_bytes, int64_t least_head)
{
    fixture f;
    aval_value *wanted[16];
    fixture_open(&f);
    f.request.memory = mode;
    f.request.n_devices = n_devices;
    f.request.least_head = least_head;
    f.request.joins = joins;
    for (size_t i = 0; i < 2; i++) f.infos[i].largest_allocation_bytes = largest_allocation_bytes;
    size_t n_wanted = build_random(&f, seed, wanted);
    aval__plan *plan = fixture_plan(&f, wanted, n_wanted);
    simulated counts = simulate(&f, plan, wanted, n_wanted);
    found.computed += counts.computed;
    found.made += counts.made;
    found.joints += counts.joints;
    found.with_others += counts.with_others;
    found.twice += counts.twice;
    size_t n_arenas = count_arenas(plan, largest_allocation_bytes);
    aval__plan_release(plan);
    fixture_close(&f);
    return n_arenas;
}

Test(random_plans, every_read_finds_its_value_in_arenas)
{
    for (uint64_t seed = 0; seed < 500; seed++) plan_random(seed, AVAL_MEMORY_ARENA, 1, 1 << 20, 0);
}

Test(random_plans, every_read_finds_its_value_in_guarded_slots)
{
    for (uint64_t seed = 0; seed < 500; seed++) plan_random(seed, AVAL_MEMORY_GUARDED, 1, 1 << 20, 0);
}

Test(random_plans, every_read_finds_its_value_when_all_are_retained)
{
    for (uint64_t seed = 0; seed < 500; seed++) plan_random(seed, AVAL_MEMORY_RETAINED, 1, 1 << 20, 0);
}

Test(random_plans, every_read_finds_its_value_on_two_devices)
{
    for (uint64_t seed = 0; seed < 500; seed++) plan_random(seed, AVAL_MEMORY_ARENA, 2, 1 << 20, 0);
}

Test(random_plans, every_read_finds_its_value_where_launches_compute_what_they_read)
{
    for (uint64_t seed = 0; seed < 1000; seed++) plan_random(seed, AVAL_MEMORY_ARENA, 1 + seed % 2, 1 << 20, 1);
    cr_expect(found.computed > 100 && found.made > 100 && found.with_others > 20 && found.twice > 10,
              "%zu and %zu heads, %zu with others, %zu nodes of clusters that were cut", found.computed, found.made, found.with_others,
              found.twice);
    found = (simulated){ 0 };
    for (uint64_t seed = 0; seed < 500; seed++) plan_random(seed, AVAL_MEMORY_GUARDED, 1, 1 << 20, 1);
    cr_expect(found.computed > 50 && found.made > 50 && found.with_others > 10 && found.twice > 4,
              "%zu and %zu heads, %zu with others, %zu nodes of clusters that were cut", found.computed, found.made, found.with_others,
              found.twice);
}

Test(random_plans, every_read_finds_its_value_where_clusters_share_launches)
{
    joins = AVAL__JOINS_ALL;
    for (uint64_t seed = 0; seed < 1000; seed++) plan_random(seed, AVAL_MEMORY_ARENA, 1 + seed % 2, 1 << 20, (int64_t)(seed % 3) / 2);
    cr_expect_gt(found.joints, 100, "%zu joints", found.joints);
    found.joints = 0;
    for (uint64_t seed = 0; seed < 500; seed++) plan_random(seed, AVAL_MEMORY_GUARDED, 1, 1 << 20, 0);
    cr_expect_gt(found.joints, 50, "%zu joints", found.joints);
    found.joints = 0;
    for (uint64_t seed = 0; seed < 500; seed++) plan_random(seed, AVAL_MEMORY_RETAINED, 1, 1 << 20, 0);
    cr_expect_gt(found.joints, 50, "%zu joints", found.joints);
}

/* A value takes 64 bytes, so three of them fill an arena. */
Test(random_plans, every_read_finds_its_value_in_several_arenas_where_one_allocation_holds_little)
{
    size_t most = 0;
    for (uint64_t seed = 0; seed < 500; seed++) {
        size_t n_arenas = plan_random(seed, AVAL_MEMORY_ARENA, 1, 192, 0);
        most = n_arenas > most ? n_arenas : most;
    }
    cr_assert_gt(most, 2);
}

/* ---- Bounded memory ----------------------------------------------------------------------------------------------------------- */

static uint64_t largest_arena(const aval__plan *plan)
{
    uint64_t bytes[2] = { 0 };
    for (size_t i = 0; i < plan->n_slots; i++)
        if (plan->slots[i].kind == AVAL__SLOT_ARENA) bytes[plan->slots[i].device] += plan->slots[i].bytes;
    return bytes[0] > bytes[1] ? bytes[0] : bytes[1];
}

/* A plan within the bound, run by the simulator; returns how many of its units run again. */
static uint64_t plan_bounded(fixture *f, aval_value *const *wanted, size_t n_wanted, uint64_t bound)
{
    f->request.memory_bound = bound;
    aval__plan *plan = fixture_plan(f, wanted, n_wanted);
    cr_assert_leq(largest_arena(plan), bound);
    cr_assert_eq(plan->statistics.recomputed > 0, plan->statistics.recomputed_share > 0);
    simulate(f, plan, wanted, n_wanted);
    uint64_t recomputed = plan->statistics.recomputed;
    aval__plan_release(plan);
    return recomputed;
}

/* The least that a random graph can do with: what the refusal of a bound of 1 byte says, which is kept to, while one byte less is not.
   Returns how many units run again for it. */
static uint64_t plan_least(uint64_t seed, size_t n_devices)
{
    fixture f;
    aval_value *wanted[16];
    unsigned long long least = 0;
    fixture_open(&f);
    f.request.n_devices = n_devices;
    f.request.least_head = (int64_t)(seed % 2);
    f.request.joins = AVAL__JOINS_ALL; /* which plans of bounded memory do without */
    size_t n_wanted = build_random(&f, seed, wanted);
    f.request.memory_bound = 1;
    int status = fixture_plan_status(&f, wanted, n_wanted);
    if (status == AVAL_OK) { /* all lies in states */
        fixture_close(&f);
        return 0;
    }
    cr_assert_eq(status, AVAL_E_DEVICE_MEMORY, "%s", aval_error());
    const char *said = strstr(aval_error(), "at least ");
    cr_assert(said != NULL && sscanf(said, "at least %llu", &least) == 1 && least > 1, "%s", aval_error());
    uint64_t recomputed = plan_bounded(&f, wanted, n_wanted, least);
    f.request.memory_bound = least - 1;
    cr_assert_eq(fixture_plan_status(&f, wanted, n_wanted), AVAL_E_DEVICE_MEMORY);
    fixture_close(&f);
    return recomputed;
}

Test(random_plans, every_read_finds_its_value_in_the_least_memory)
{
    uint64_t recomputed = 0;
    for (uint64_t seed = 0; seed < 500; seed++) recomputed += plan_least(seed, 1);
    cr_assert_gt(recomputed, 100);
}

Test(random_plans, every_read_finds_its_value_in_the_least_memory_of_two_devices)
{
    uint64_t recomputed = 0;
    for (uint64_t seed = 0; seed < 200; seed++) recomputed += plan_least(seed, 2);
    cr_assert_gt(recomputed, 20);
}
