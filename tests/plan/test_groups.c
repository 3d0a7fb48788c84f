/* Work-groups of launches whose recorder leaves their size open. */
#include "harness.h"

#include <criterion/criterion.h>
#include <string.h>

/* The launch of "Update" on rows x columns elements. */
static aval__step plan_update(int64_t rows, int64_t columns, uint32_t max_group)
{
    fixture f;
    aval__step found = { 0 };
    fixture_open(&f);
    f.infos[0].max_group = max_group;
    aval_value *y = aval_apply(f.g, "Update", NULL, make_state(&f, "w", rows, columns), make_input(&f, "x", rows, columns));
    aval__plan *plan = fixture_plan(&f, &y, 1);
    for (size_t i = 0; i < plan->n_steps; i++) {
        const aval__step *step = &plan->steps[i];
        if (step->kind == AVAL__STEP_LAUNCH && strcmp(step->kernel, "update") == 0) found = *step;
    }
    aval__plan_release(plan);
    fixture_close(&f);
    cr_assert_gt(found.local[0], 0, "there is no launch of 'update' with a work-group");
    return found;
}

/* A compiler such as PoCL's builds a kernel anew for every size it meets. */
Test(groups, are_the_same_whatever_the_global_size)
{
    uint64_t usual = plan_update(64, 64, 256).local[0];
    for (int64_t rows = 1; rows < 12; rows++) {
        aval__step step = plan_update(rows, 13, 256);
        cr_expect_eq(step.local[0], usual, "%d x 13: %d", (int)rows, (int)step.local[0]);
        cr_expect(step.local[1] == 1 && step.local[2] == 1);
    }
}

Test(groups, cover_all_elements_by_whole_groups)
{
    for (int64_t rows = 1; rows < 12; rows++) {
        aval__step step = plan_update(rows, 13, 256);
        cr_expect_eq(step.global[0] % step.local[0], 0);
        cr_expect(step.global[0] >= (uint64_t)(13 * rows) && step.global[0] < (uint64_t)(13 * rows) + step.local[0]);
    }
}

Test(groups, are_no_larger_than_the_device_allows)
{
    cr_expect_eq(plan_update(9, 9, 16).local[0], 16);
    cr_expect_eq(plan_update(9, 9, 1).local[0], 1);
}

/* ---- Those that were measured ---------------------------------------------------------------------------------------------------- */

static int by_eight(void *user, uint32_t device, const aval_node *node, aval__groups *out)
{
    (void)device;
    ++*(int *)user;
    cr_expect(out->tree == 0 && out->open == 0);
    if (strcmp(node->def->name, "Update") == 0) *out = (aval__groups){ .tree = 4, .open = 8 };
    return AVAL_OK;
}

static int remember_groups(void *user, uint32_t device, const aval__plan_unit *unit)
{
    (void)device;
    (void)user;
    if (!unit->cluster) cr_expect(unit->groups.tree == 4 && unit->groups.open == 8, "the question is about these");
    return AVAL_OK;
}

Test(groups, are_those_that_were_measured_for_the_node)
{
    fixture f;
    int asked = 0;
    fixture_open(&f);
    f.hooks.user = &asked;
    f.hooks.groups = by_eight;
    f.hooks.prove = remember_groups;
    aval_value *y = aval_apply(f.g, "Update", NULL, make_state(&f, "w", 9, 9), make_input(&f, "x", 9, 9));
    aval__plan *plan = fixture_plan(&f, &y, 1);
    cr_expect_eq(asked, 1);
    for (size_t i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].kind == AVAL__STEP_LAUNCH) cr_expect_eq(plan->steps[i].local[0], 8);
    aval__plan_release(plan);
    fixture_close(&f);
}
