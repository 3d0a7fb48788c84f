/* Each allocation fails in turn: a clean error, nothing left behind. */
#include "fail_alloc.h"
#include "train/train.h"

#include <criterion/criterion.h>

static void fail_each(int (*work)(void))
{
    size_t n = 1;
    for (;; n++) {
        fail_alloc_at(n);
        int status = work();
        size_t count = fail_alloc_count(), left = fail_alloc_outstanding();
        fail_alloc_off();
        cr_assert_eq(left, 0, "allocation %zu failed: %zu blocks were not given back", n, left);
        if (count < n) break;
        cr_assert_eq(status, AVAL_E_MEMORY, "allocation %zu failed: %s", n, aval_status_name(status));
    }
    cr_assert_gt(n, 2);
}

static int open_digits(void)
{
    aval_dataset *data;
    int status = aval_dataset_open_digits(0, &data);
    aval_dataset_release(data);
    return status;
}

Test(memory, a_data_set_is_refused_cleanly_when_memory_ends)
{
    fail_each(open_digits);
}

static int make_recipe(void)
{
    aval__recipe recipe;
    const aval_train_options o = { .size = sizeof o, .net = "lenet", .layers = "3,4", .epochs = 2 };
    int status = aval__recipe_make(&o, "net=lenet\nactivation=tanh\nlr=0.5\n", &recipe);
    if (status == AVAL_OK) aval__recipe_release(&recipe);
    return status;
}

Test(memory, a_recipe_is_refused_cleanly_when_memory_ends)
{
    fail_each(make_recipe);
}
