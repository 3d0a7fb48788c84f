/* Halves on a device: numbers become halves, and halves numbers, bit by bit as on the host, whether they go through memory or are rounded between
 * two nodes of one launch. */
#include "exec/rig.h"
#include "op/op.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CODES = 0x7c01, NEAR = 4, NUMBERS = 2 * CODES * NEAR + 8 };

/* Each half, the middle between it and the next, and the floats beside that middle, with both signs; then what is far from all halves. */
static float *numbers(void)
{
    static const float others[8] = { INFINITY, -INFINITY, NAN, 3e38f, -3e38f, 1e-30f, -1e-45f, 1e5f };
    float *x = malloc(NUMBERS * sizeof *x);
    cr_assert_not_null(x);
    for (int code = 0; code < CODES; code++) {
        float low = code < 0x7c00 ? aval__half_to_float((uint16_t)code) : 65536,
              high = code < 0x7bff ? aval__half_to_float((uint16_t)(code + 1)) : 65536;
        float middle = (low + high) / 2, near[NEAR] = { low, nextafterf(middle, 0), middle, nextafterf(middle, INFINITY) };
        for (int i = 0; i < NEAR; i++) {
            x[(2 * code + 0) * NEAR + i] = near[i];
            x[(2 * code + 1) * NEAR + i] = -near[i];
        }
    }
    memcpy(x + NUMBERS - 8, others, sizeof others);
    return x;
}

static void check_halves(const uint16_t *halves, const float *x)
{
    for (int i = 0; i < NUMBERS; i++) {
        uint16_t expected = aval__half_from_float(x[i]);
        if (isnan(x[i])) cr_assert(isnan(aval__half_to_float(halves[i])), "NaN became %#x", halves[i]);
        else cr_assert_eq(halves[i], expected, "%a became %#x, expected %#x", (double)x[i], halves[i], expected);
    }
}

static void check_floats(const float *found, const uint16_t *halves)
{
    for (int i = 0; i < NUMBERS; i++) {
        float expected = aval__half_to_float(halves[i]);
        if (isnan(expected)) cr_assert(isnan(found[i]), "half %#x became %a", halves[i], (double)found[i]);
        else
            cr_assert_eq(memcmp(&found[i], &expected, sizeof expected), 0, "half %#x became %a, expected %a", halves[i], (double)found[i],
                         (double)expected);
    }
}

Test(halves, are_rounded_and_read_as_on_the_host)
{
    rig r;
    rig_environment(NULL);
    rig_open(&r);
    float *x = numbers(), *floats = malloc(NUMBERS * sizeof *floats);
    uint16_t *halves = malloc(NUMBERS * sizeof *halves);
    cr_assert(floats != NULL && halves != NULL);
    aval_value *in = rig_input(&r, "x", NUMBERS), *half = aval_apply(r.graph, "Cast", "to=10", in);
    aval_value *rounded = aval_apply(r.graph, "Cast", "to=1", half);
    aval_value *stored = aval_graph_input(r.graph, "h", AVAL_FLOAT16, AVAL_SHAPE(NUMBERS)),
               *read = aval_apply(r.graph, "Cast", "to=1", stored);
    RIG_OK(aval_graph_status(r.graph));
    rig_feed(&r, in, x, NUMBERS);
    rig_run(&r, &half, 1);
    RIG_OK(aval_session_read(r.session, half, halves, NUMBERS * sizeof *halves));
    check_halves(halves, x);
    rig_run(&r, &rounded, 1);
    RIG_OK(aval_session_read(r.session, rounded, floats, NUMBERS * sizeof *floats));
    check_floats(floats, halves);
    RIG_OK(aval_session_feed(r.session, stored, halves, NUMBERS * sizeof *halves, NULL));
    rig_run(&r, &read, 1);
    RIG_OK(aval_session_read(r.session, read, floats, NUMBERS * sizeof *floats));
    check_floats(floats, halves);
    free(halves);
    free(floats);
    free(x);
    rig_close(&r);
}
