/* What samples' inputs are drawn as: in no element type at a kink, where differences have no derivative to give. */
#include "check/case.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

enum { SEEDS = 40, INPUTS = 4, LENGTH = 64 };

static bool is_round(double x)
{
    return x * 64 == floor(x * 64);
}

static void check_contents(const aval__case *c, double low, double high)
{
    for (size_t i = 0; i < c->n_inputs; i++) {
        cr_assert_eq(aval__tensor_count(&c->inputs[i].tensor), LENGTH);
        for (size_t e = 0; e < LENGTH; e++) {
            double x = c->inputs[i].real[e];
            cr_expect(!is_round(x), "seed %d, input %zu, element %zu is %.17g", (int)c->seed, i, e, x);
            cr_expect(x >= low && x <= high, "seed %d, input %zu, element %zu is %.17g", (int)c->seed, i, e, x);
            for (size_t k = 0; k < i * LENGTH; k++) {
                double other = c->inputs[k / LENGTH].real[k % LENGTH];
                cr_expect(!is_round(x - other) && !is_round(x + other), "seed %d, inputs %zu and %zu: %.17g and %.17g", (int)c->seed, i,
                          k / LENGTH, x, other);
            }
        }
    }
}

static void check_range(int type, double low, double high)
{
    static const aval_sample sample = { .inputs = "[64] [64] [64] [64]" };
    aval_sample ranged = sample;
    aval_context *ctx;
    setenv("AVAL_PLUGIN_PATH", AVAL_TEST_PLUGINS, 1);
    cr_assert_eq(aval_context_create(&ctx), AVAL_OK);
    ranged.low = low;
    ranged.high = high;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        aval__case c;
        const char *skip;
        const aval_check_case what = { .size = sizeof what, .op = "Max", .sample = &ranged, .type = type, .seed = seed };
        cr_assert_eq(aval__case_make(ctx, &what, &c, &skip), 0, "%s", aval_error());
        cr_assert_eq(c.n_inputs, INPUTS);
        check_contents(&c, low, high);
        aval__case_release(&c);
    }
    aval_context_release(ctx);
}

Test(contents, halves_keep_off_round_numbers_and_off_those_of_other_inputs)
{
    check_range(AVAL_FLOAT16, -1, 1);
    check_range(AVAL_FLOAT16, -1.3, 1.3);
    check_range(AVAL_FLOAT16, 0.5, 1);
}

Test(contents, floats_and_doubles_do_too)
{
    check_range(AVAL_FLOAT, -4.9, 4.9);
    check_range(AVAL_DOUBLE, -4.9, 4.9);
}
