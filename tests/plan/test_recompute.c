/* Recomputation: how far it gets, at what cost, and what it must not touch. */
#include "fail_alloc.h"
#include "harness.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define MOST_LAYERS 128

/* A chain of layers with a weight each, trained: returns how many values are wanted. */
static size_t build_chain(fixture *f, size_t layers, aval_value **wanted)
{
    aval_value *weights[MOST_LAYERS], *x = make_input(f, "x", 64, 64);
    for (size_t i = 0; i < layers; i++) {
        char name[24];
        snprintf(name, sizeof name, "w%zu", i);
        weights[i] = make_state(f, name, 1, 64);
        x = aval_apply(f->g, "Mul", NULL, x, x);
        x = aval_apply(f->g, "Mix", NULL, x, weights[i]);
    }
    for (size_t i = 0; i < layers; i++)
        wanted[i] = aval_apply(f->g, "Step", NULL, weights[i], aval_graph_gradient(f->g, x, weights[i], NULL));
    wanted[layers] = x;
    return layers + 1;
}

static aval__plan_statistics plan_chain(size_t layers, uint64_t bound)
{
    fixture f;
    aval_value *wanted[MOST_LAYERS + 1];
    fixture_open(&f);
    f.request.memory_bound = bound;
    size_t n_wanted = build_chain(&f, layers, wanted);
    aval__plan *plan = fixture_plan(&f, wanted, n_wanted);
    simulate(&f, plan, wanted, n_wanted);
    aval__plan_statistics statistics = plan->statistics;
    aval__plan_release(plan);
    fixture_close(&f);
    return statistics;
}

Test(recompute, a_chain_of_64_layers_fits_a_quarter_of_its_memory_for_half_a_step_more)
{
    aval__plan_statistics whole = plan_chain(64, 0), quarter = plan_chain(64, whole.arena_bytes / 4);
    cr_assert_eq(whole.recomputed, 0);
    cr_assert_leq(quarter.arena_bytes, whole.arena_bytes / 4);
    cr_assert_eq(quarter.unbounded_arena_bytes, whole.arena_bytes);
    cr_assert_gt(quarter.recomputed, 0);
    cr_assert_lt(quarter.recomputed_share, 0.5, "%g", quarter.recomputed_share);
}

Test(recompute, cost_grows_as_the_bound_shrinks)
{
    uint64_t whole = plan_chain(64, 0).arena_bytes;
    double share = 0;
    for (uint64_t tenths = 9; tenths >= 3; tenths--) {
        aval__plan_statistics now = plan_chain(64, whole * tenths / 10);
        cr_assert_geq(now.recomputed_share, share * 0.95);
        share = now.recomputed_share;
    }
}

Test(recompute, a_bound_that_is_kept_anyway_changes_nothing)
{
    aval__plan_statistics whole = plan_chain(8, 0), same = plan_chain(8, whole.arena_bytes);
    cr_assert_eq(same.arena_bytes, whole.arena_bytes);
    cr_assert_eq(same.launches, whole.launches);
    cr_assert_eq(same.recomputed, 0);
}

Test(recompute, no_allocation_that_fails_leaks)
{
    fixture f;
    aval_value *wanted[MOST_LAYERS + 1];
    fixture_open(&f);
    f.request.memory_bound = plan_chain(6, 0).arena_bytes / 2;
    size_t n_wanted = build_chain(&f, 6, wanted);
    cr_assert_eq(fixture_plan_status(&f, wanted, n_wanted), AVAL_OK); /* derivatives are in the registry from here on */
    for (size_t n = 1;; n += 1 + n / 16) {
        fail_alloc_at(n);
        int status = fixture_plan_status(&f, wanted, n_wanted);
        size_t left = fail_alloc_outstanding(), count = fail_alloc_count();
        fail_alloc_off();
        cr_assert(status == 0 || status == AVAL_E_MEMORY, "allocation %zu: %s", n, aval_error());
        cr_assert_eq(left, 0, "allocation %zu: %zu are left", n, left);
        if (count < n) break;
    }
    fixture_close(&f);
}
