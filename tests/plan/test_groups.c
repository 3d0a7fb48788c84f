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
