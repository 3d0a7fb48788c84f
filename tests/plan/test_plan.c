/* What a plan must be: errors, limits, keys, places, and that every failed allocation is an error without a leak. */
#include "fail_alloc.h"
#include "harness.h"

#include <criterion/criterion.h>
#include <string.h>

#define WANT(...) AVAL_VALUES(__VA_ARGS__)

static void expect_error(fixture *f, aval_value *wanted, int code, const char *const *parts)
{
    cr_assert_eq(fixture_plan_status(f, &wanted, 1), code, "%s", aval_error());
    for (; *parts; parts++) cr_assert(strstr(aval_error(), *parts), "expected '%s' in: %s", *parts, aval_error());
}

#define EXPECT_ERROR(f, wanted, code, ...) expect_error(f, wanted, code, AVAL_TEXTS(__VA_ARGS__))

Test(plan_errors, an_output_that_is_never_written_is_named_with_its_op)
{
    fixture f;
    fixture_open(&f);
    EXPECT_ERROR(&f, aval_apply(f.g, "Lazy", NULL, make_input(&f, "x", 2, 2)), AVAL_E_PLUGIN, "Lazy", "output 0 was not written");
    fixture_close(&f);
}

Test(plan_errors, an_input_must_not_be_written)
{
    fixture f;
    fixture_open(&f);
    EXPECT_ERROR(&f, aval_apply(f.g, "Greedy", NULL, make_input(&f, "x", 2, 2)), AVAL_E_PLUGIN, "Greedy", "input 0 must not be written");
    fixture_close(&f);
}

Test(plan_errors, backward_must_not_read_what_it_does_not_keep)
{
    fixture f;
    fixture_open(&f);
    aval_value *x = make_input(&f, "x", 2, 2), *y = aval_apply(f.g, "Forgetful", NULL, x);
    EXPECT_ERROR(&f, aval_graph_gradient(f.g, y, x, NULL), AVAL_E_PLUGIN, "Forgetful", "input 0", "keep");
    fixture_close(&f);
}

Test(plan_errors, a_value_larger_than_an_allocation_may_be_is_named_with_both_sizes)
{
    fixture f;
    fixture_open(&f);
    f.infos[0].largest_allocation_bytes = 4096;
    aval_value *y = aval_apply(f.g, "Mix", NULL, make_input(&f, "x", 2, 2), make_input(&f, "w", 2, 2));
    aval_value *big = aval_graph_input(f.g, "big", AVAL_FLOAT, AVAL_SHAPE(64, 32));
    aval_value *z = aval_apply(f.g, "Neg", NULL, big);
    cr_assert_eq(fixture_plan_status(&f, WANT(y)), 0, "%s", aval_error());
    EXPECT_ERROR(&f, z, AVAL_E_DEVICE_MEMORY, "big", "8192", "4096");
    fixture_close(&f);
}

Test(plan_errors, a_plan_larger_than_the_device_names_what_holds_most)
{
    fixture f;
    fixture_open(&f);
    f.infos[0].memory_bytes = 10000;
    aval_value *x = aval_graph_input(f.g, "wide", AVAL_FLOAT, AVAL_SHAPE(64, 32));
    EXPECT_ERROR(&f, aval_apply(f.g, "Neg", NULL, x), AVAL_E_DEVICE_MEMORY, "wide", "10000", "16384");
    fixture_close(&f);
}

Test(plan_placement, a_node_that_the_first_device_cannot_run_goes_to_the_next_with_a_note)
{
    fixture f;
    fixture_open(&f);
    f.infos[0].fp64 = 0;
    aval_value *x = aval_graph_input(f.g, "x", AVAL_DOUBLE, AVAL_SHAPE(2, 2));
    aval_value *y = aval_apply(f.g, "Mix", NULL, x, x);
    EXPECT_ERROR(&f, y, AVAL_E_UNSUPPORTED, "Mix", "first", "double");
    f.request.n_devices = 2;
    aval__plan *plan = fixture_plan(&f, WANT(y));
    cr_assert_eq(plan->steps[0].device, 1);
    cr_assert_eq(plan->n_notes, 1);
    cr_assert(strstr(plan->notes[0], "double"), "%s", plan->notes[0]);
    aval__plan_release(plan);
    fixture_close(&f);
}

/* Whether there is local memory enough shows when the launch is recorded: then the node is placed again. */
Test(plan_placement, a_node_that_needs_more_local_memory_than_the_first_device_has_goes_to_the_next)
{
    fixture f;
    fixture_open(&f);
    f.infos[0].local_bytes = 500;
    aval_value *x = make_input(&f, "x", 2, 2), *w = make_input(&f, "w", 2, 2);
    aval_value *y = aval_apply(f.g, "Local", NULL, aval_apply(f.g, "Mix", NULL, x, w));
    aval_value *dx = aval_graph_gradient(f.g, y, x, NULL);
    EXPECT_ERROR(&f, y, AVAL_E_UNSUPPORTED, "Local", "first", "1000 bytes of local memory");
    f.request.n_devices = 2;
    aval__plan *plan = fixture_plan(&f, WANT(y, dx));
    for (size_t i = 0; i < plan->n_steps; i++) {
        const aval__step *step = &plan->steps[i];
        if (step->kind != AVAL__STEP_LAUNCH) continue;
        bool elsewhere = strcmp(step->kernel, "local") == 0 || strcmp(step->kernel, "scale_backward") == 0;
        cr_expect_eq(step->device, elsewhere ? 1 : 0, "%s: its backward follows it, the rest stays", step->kernel);
    }
    cr_assert_eq(plan->n_notes, 1);
    cr_expect(strstr(plan->notes[0], "(Local) runs on device 1 'second'"), "%s", plan->notes[0]);
    cr_expect(strstr(plan->notes[0], "1000 bytes of local memory are more than device 'first' has (500)"), "%s", plan->notes[0]);
    aval__plan_release(plan);
    plan = fixture_plan(&f, WANT(y));
    simulate(&f, plan, &y, 1);
    aval__plan_release(plan);

    aval_node_place(y->producer, 0); /* by hand: nowhere else */
    EXPECT_ERROR(&f, y, AVAL_E_UNSUPPORTED, "Local", "first", "1000 bytes of local memory");
    f.infos[1].local_bytes = 100;
    aval_node_place(y->producer, -1);
    EXPECT_ERROR(&f, y, AVAL_E_UNSUPPORTED, "Local", "first", "second");
    fixture_close(&f);
}

Test(plan_placement, a_value_is_copied_once_to_a_device_that_reads_it_twice)
{
    fixture f;
    fixture_open(&f);
    f.request.n_devices = 2;
    aval_value *x = make_input(&f, "x", 2, 2), *y = aval_apply(f.g, "Mix", NULL, x, x), *ends[2];
    for (int i = 0; i < 2; i++) {
        aval_node *node = aval_graph_node(f.g, "Mix", NULL, AVAL_VALUES(y, y));
        aval_node_place(node, 1);
        ends[i] = aval_node_output(node, 0);
    }
    aval__plan *plan = fixture_plan(&f, WANT(ends[0], ends[1]));
    cr_assert_eq(plan->statistics.copies, 1);
    simulate(&f, plan, ends, 2);
    aval__plan_release(plan);
    fixture_close(&f);
}

Test(plan_states, a_reader_that_needs_the_update_reads_a_copy_of_the_old_content)
{
    fixture f;
    fixture_open(&f);
    aval_value *w = make_state(&f, "w", 2, 2), *x = make_input(&f, "x", 2, 2);
    aval_value *part = aval_apply(f.g, "Rest", NULL, w); /* lies in the state */
    aval_value *updated = aval_apply(f.g, "Update", NULL, w, x);
    aval_value *wanted[] = { part, updated };
    aval__plan *plan = fixture_plan(&f, wanted, 2);
    cr_assert_eq(plan->statistics.copies, 1, "the alias is wanted after the update");
    simulate(&f, plan, wanted, 2);
    aval__plan_release(plan);
    fixture_close(&f);
}

Test(plan_launches, options_and_work_sizes_are_in_their_normal_form)
{
    fixture f;
    fixture_open(&f);
    aval_value *y = aval_apply(f.g, "Mix", NULL, make_input(&f, "x", 3, 3), make_input(&f, "w", 3, 3));
    aval__plan *plan = fixture_plan(&f, WANT(y));
    cr_assert_eq(plan->n_steps, 1);
    cr_assert_str_eq(plan->steps[0].source->options, "-DS_TYPE=1 -DI_TYPE=7 -DD_TYPE=1 -DWG=4");
    cr_assert_eq(plan->steps[0].global[0], 12, "9 rounded up to a multiple of 4");
    aval__plan_release(plan);
    fixture_close(&f);
}

Test(plan_launches, nothing_is_launched_for_tensors_without_elements)
{
    fixture f;
    fixture_open(&f);
    aval_value *x = make_input(&f, "x", 0, 3);
    aval_value *y = aval_apply(f.g, "Neg", NULL, aval_apply(f.g, "Mix", NULL, x, x));
    aval__plan *plan = fixture_plan(&f, WANT(y));
    cr_assert_eq(plan->n_steps, 0);
    cr_assert_eq(plan->n_located, 1);
    aval__plan_release(plan);
    fixture_close(&f);
}

Test(plan_gemm, the_hook_decides_between_a_step_and_launches)
{
    fixture f;
    fixture_open(&f);
    aval_value *y = aval_apply(f.g, "Product", NULL, make_input(&f, "a", 2, 3), make_input(&f, "b", 3, 4));
    f.choice = (aval__gemm_choice){ .provider = 7, .scratch_bytes = 100 };
    aval__plan *plan = fixture_plan(&f, WANT(y));
    cr_assert_eq(plan->steps[0].kind, AVAL__STEP_GEMM);
    cr_assert_eq(plan->steps[0].provider, 7);
    cr_assert_geq(plan->slots[plan->steps[0].scratch.slot].bytes, 100);
    aval__plan_release(plan);
    f.choice.records = true;
    plan = fixture_plan(&f, WANT(y));
    cr_assert_eq(plan->steps[0].kind, AVAL__STEP_LAUNCH);
    cr_assert_str_eq(plan->steps[0].source->name, "gemm.cl");
    aval__plan_release(plan);
    fixture_close(&f);
}

static size_t count_launches(const aval__plan *plan, const char *kernel, size_t *n_once)
{
    size_t n = *n_once = 0;
    for (size_t i = 0; i < plan->n_steps; i++) {
        if (plan->steps[i].kind != AVAL__STEP_LAUNCH || strcmp(plan->steps[i].kernel, kernel) != 0) continue;
        n++;
        *n_once += plan->steps[i].once;
    }
    return n;
}

Test(plan_gemm, what_nothing_updates_is_packed_once_for_all_runs)
{
    fixture f;
    size_t once;
    fixture_open(&f);
    f.choice = (aval__gemm_choice){ .records = true, .packed_bytes = { 64, 64 } };
    aval_value *w = make_state(&f, "w", 3, 3), *x = make_input(&f, "x", 2, 3);
    aval_value *y = aval_apply(f.g, "Product", NULL, aval_apply(f.g, "Product", NULL, x, w), w);
    aval__plan *plan = fixture_plan(&f, WANT(y));
    cr_expect_eq(count_launches(plan, "pack", &once), 1, "w, for both products; x is read once");
    cr_expect_eq(once, 1);
    aval__plan_release(plan);
    f.request.memory = AVAL_MEMORY_GUARDED;
    plan = fixture_plan(&f, WANT(y));
    cr_expect_eq(count_launches(plan, "pack", &once), 1, "by the second product");
    cr_expect_eq(once, 0, "all memory is overwritten before each run");
    aval__plan_release(plan);
    fixture_close(&f);
}

Test(plan_gemm, an_updated_state_is_packed_in_each_run_and_its_new_content_apart)
{
    fixture f;
    size_t once;
    fixture_open(&f);
    f.choice = (aval__gemm_choice){ .records = true, .packed_bytes = { 0, 64 } };
    aval_value *w = make_state(&f, "w", 3, 3), *x = make_input(&f, "x", 3, 3);
    aval_value *y = aval_apply(f.g, "Product", NULL, aval_apply(f.g, "Product", NULL, x, w), w);
    aval_value *updated = aval_apply(f.g, "Update", NULL, w, y);
    aval_value *z = aval_apply(f.g, "Product", NULL, x, updated);
    aval__plan *plan = fixture_plan(&f, WANT(y, z));
    cr_expect_eq(count_launches(plan, "pack", &once), 1, "the old content, by the second product that reads it; the new one is read once");
    cr_expect_eq(once, 0);
    aval__plan_release(plan);
    fixture_close(&f);
}

Test(plan_gemm, without_an_inner_dimension_the_result_is_filled)
{
    fixture f;
    fixture_open(&f);
    aval_value *y = aval_apply(f.g, "Product", NULL, make_input(&f, "a", 2, 0), make_input(&f, "b", 0, 4));
    aval__plan *plan = fixture_plan(&f, WANT(y));
    cr_assert_eq(f.n_chosen, 0);
    cr_assert_eq(plan->n_steps, 1);
    cr_assert_eq(plan->steps[0].kind, AVAL__STEP_FILL);
    cr_assert_eq(plan->steps[0].bytes, 2 * 4 * 4);
    aval__plan_release(plan);
    fixture_close(&f);
}

Test(plan_memory, each_failing_allocation_is_an_error_and_nothing_leaks)
{
    fixture f;
    fixture_open(&f);
    f.request.n_devices = 2;
    aval_value *x = make_input(&f, "x", 2, 2), *w = make_state(&f, "w", 2, 2);
    aval_value *y = aval_apply(f.g, "Mul", NULL, aval_apply(f.g, "Mix", NULL, x, w), w);
    aval_value *wanted[] = { y, aval_apply(f.g, "Update", NULL, w, aval_graph_gradient(f.g, y, w, NULL)) };
    aval__plan_release(fixture_plan(&f, wanted, 2)); /* definitions that the registry derives once are there from now on */
    for (size_t n = 1;; n++) {
        fail_alloc_at(n);
        int status = fixture_plan_status(&f, wanted, 2);
        size_t left = fail_alloc_outstanding(), count = fail_alloc_count();
        fail_alloc_off();
        cr_assert(status == 0 || status == AVAL_E_MEMORY, "allocation %zu: %s", n, aval_error());
        cr_assert_eq(left, 0, "allocation %zu: %zu are left", n, left);
        if (count < n) break;
    }
    fixture_close(&f);
}

Test(plan_states, a_node_that_needs_old_and_new_content_is_refused_by_name)
{
    fixture f;
    fixture_open(&f);
    aval_value *w = make_state(&f, "w", 2, 2), *x = make_input(&f, "x", 2, 2);
    aval_value *updated = aval_apply(f.g, "Update", NULL, w, x);
    EXPECT_ERROR(&f, aval_apply(f.g, "Mix", NULL, w, updated), AVAL_E_GRAPH, "Mix", "Update", "'w'");
    fixture_close(&f);
}

Test(plan_print, each_step_has_a_line_and_the_last_line_has_the_memory)
{
    fixture f;
    aval__text text = { 0 };
    fixture_open(&f);
    aval_value *y = aval_apply(f.g, "Neg", NULL, aval_apply(f.g, "Mix", NULL, make_input(&f, "x", 2, 2), make_input(&f, "w", 2, 2)));
    aval__plan *plan = fixture_plan(&f, WANT(y));
    aval__plan_print(&text, plan);
    cr_assert(strstr(text.at, "test.cl:mix global 4 local 4"), "%s", text.at);
    cr_assert(strstr(text.at, "2 nodes, 2 launches, 0 copies; arena 64 bytes, live 64 bytes"), "%s", text.at);
    aval__text_release(&text);
    aval__plan_release(plan);
    fixture_close(&f);
}

/* ---- What a plan moves ---------------------------------------------------------------------------------------------------------------- */

Test(plan_bytes, a_chain_of_expressions_moves_the_least_and_views_move_nothing)
{
    fixture f;
    fixture_open(&f);
    aval_value *x = make_input(&f, "x", 4, 8), *w = make_input(&f, "w", 4, 8);
    aval_value *y = aval_apply(f.g, "Neg", NULL, aval_apply(f.g, "Add", NULL, x, w));
    aval__plan *plan = fixture_plan(&f, WANT(y));
    cr_expect_eq(plan->statistics.moved_bytes, 3 * 128, "two tensors of 32 floats are read, one is written");
    cr_expect_eq(plan->statistics.least_bytes, 3 * 128);
    aval__plan_release(plan);

    aval_value *z = aval_apply(f.g, "Neg", NULL, aval_apply(f.g, "Same", NULL, aval_apply(f.g, "Mix", NULL, x, w)));
    plan = fixture_plan(&f, WANT(z));
    cr_expect_eq(plan->statistics.moved_bytes, 5 * 128, "what lies between two launches is written and read");
    cr_expect_eq(plan->statistics.least_bytes, 3 * 128);
    aval__plan_release(plan);
    fixture_close(&f);
}
