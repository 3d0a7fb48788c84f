/* Who is said to be wrong, by devices that are made up: each runs in this process, and some of them change what they found. */
#include "check/results.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_DEVICES 4

typedef struct crew {
    aval_context *ctx;
    aval_device_info info[MOST_DEVICES];
    const char *compilers[MOST_DEVICES];
    bool lies[MOST_DEVICES];
    size_t tensor, element; /* what a liar changes, in samples that are large enough */
    double factor;
    int status[MOST_DEVICES];
    void *results[MOST_DEVICES];
    size_t bytes[MOST_DEVICES];
} crew;

typedef struct seen {
    size_t passed, failed[MOST_DEVICES], blamed[MOST_DEVICES], operator_blamed;
    char message[512]; /* of the first failure */
    double ulps;
} seen;

static const aval_device_info *device(void *user, size_t i)
{
    return &((crew *)user)->info[i];
}

static size_t number(void *user, size_t i)
{
    (void)user;
    return i;
}

static const char *compiler(void *user, size_t i)
{
    return ((crew *)user)->compilers[i];
}

static void falsify(const crew *c, aval__results *r)
{
    aval__host_tensor *t = c->tensor < r->count ? &r->at[c->tensor] : NULL;
    if (t == NULL || t->real == NULL || (size_t)aval__tensor_count(&t->tensor) <= c->element) return;
    t->real[c->element] *= c->factor;
}

static void begin(void *user, size_t i, const aval_check_case *what)
{
    crew *c = user;
    aval__results r;
    aval_free(c->results[i]);
    c->results[i] = NULL;
    c->status[i] = aval_check_run(c->ctx, what, &c->results[i], &c->bytes[i]);
    if (c->status[i] < 0 || !c->lies[i]) return;
    cr_assert_eq(aval__results_unpack(c->results[i], c->bytes[i], &r), 0);
    falsify(c, &r);
    aval_free(c->results[i]);
    cr_assert_eq(aval__results_pack(&r, &c->results[i], &c->bytes[i]), 0);
    aval__results_release(&r);
}

static void finish(void *user, size_t i, aval_check_outcome *outcome)
{
    crew *c = user;
    outcome->status = c->status[i];
    outcome->message = "";
    outcome->results = c->results[i];
    outcome->bytes = c->bytes[i];
}

static void collect(void *user, const aval_check_result *r)
{
    seen *s = user;
    if (r->passed > 0) s->passed++;
    if (r->passed != 0) return;
    s->failed[r->device_number]++;
    s->blamed[r->device_number] += strcmp(r->blame, "device") == 0;
    s->operator_blamed += strcmp(r->blame, "operator") == 0;
    if (s->message[0] != 0) return;
    snprintf(s->message, sizeof s->message, "%s: %s", r->what, r->message);
    s->ulps = r->ulps;
}

/* Checks an op on devices with these compilers ("a" "b" ...). */
static seen check(crew *c, const char *op, size_t n, const char *const *compilers)
{
    seen s = { 0 };
    setenv("OCL_ICD_VENDORS", "/etc/OpenCL/vendors/pocl.icd", 0);
    cr_assert_eq(aval_context_create(&c->ctx), 0);
    cr_assert_eq(aval_context_load_plugins(c->ctx, AVAL_TEST_PLUGINS, NULL), 0, "%s", aval_error());
    int64_t selected = aval_selected_device(c->ctx, 0);
    cr_assert_geq(selected, 0);
    for (size_t i = 0; i < n; i++) {
        c->info[i] = *aval_device_info_at(c->ctx, (size_t)selected);
        c->compilers[i] = compilers[i];
    }
    const aval_check_runner runner = { .size = sizeof runner,
                                       .user = c,
                                       .n_devices = n,
                                       .device = device,
                                       .number = number,
                                       .compiler = compiler,
                                       .begin = begin,
                                       .finish = finish };
    const aval_check_options options = { .size = sizeof options, .op = op, .runner = &runner };
    int status = aval_check_ops(c->ctx, &options, collect, &s);
    cr_assert(status == 0 || status == AVAL_E_CHECK, "%s", aval_error());
    for (size_t i = 0; i < n; i++) aval_free(c->results[i]);
    aval_context_release(c->ctx);
    return s;
}

static const char *const three[] = { "a", "b", "c" }, *const twins[] = { "a", "a", "b" }, *const same[] = { "a", "a" };

TestSuite(vote, .timeout = 120);

Test(vote, of_three_devices_the_outlier_is_named)
{
    crew c = { .lies = { false, true, false }, .tensor = 0, .element = 1, .factor = 1.01 };
    seen s = check(&c, "Tanh", 3, three);
    cr_expect_eq(s.failed[0] + s.failed[2], 0, "%s", s.message);
    cr_expect_gt(s.blamed[1], 0);
    cr_expect_eq(s.blamed[1], s.failed[1]);
    cr_expect_not_null(strstr(s.message, "outvoted"), "%s", s.message);
}

Test(vote, what_all_devices_find_is_the_operators_fault)
{
    crew c = { .lies = { true, true, true }, .tensor = 0, .element = 1, .factor = 1.01 };
    seen s = check(&c, "Tanh", 3, three);
    cr_expect_gt(s.operator_blamed, 0);
    cr_expect_eq(s.blamed[0] + s.blamed[1] + s.blamed[2], 0, "%s", s.message);
}

Test(vote, twins_have_one_vote_so_the_referee_decides)
{
    crew c = { .lies = { true, true, false }, .tensor = 0, .element = 1, .factor = 1.01 };
    seen s = check(&c, "Tanh", 3, twins);
    cr_expect_gt(s.blamed[0], 0);
    cr_expect_gt(s.blamed[1], 0);
    cr_expect_eq(s.failed[2], 0, "two devices of one compiler must not outvote the third: %s", s.message);
    cr_expect_null(strstr(s.message, "outvoted"), "%s", s.message);
}

Test(vote, of_two_devices_the_referee_names_the_wrong_one)
{
    crew c = { .lies = { false, true }, .tensor = 1, .element = 0, .factor = -1 };
    seen s = check(&c, "Tanh", 2, same);
    cr_expect_eq(s.failed[0], 0, "%s", s.message);
    cr_expect_gt(s.blamed[1], 0);
    cr_expect_not_null(strstr(s.message, "the referee finds right: device 0"), "%s", s.message);
}

/* In a direction of thousands of elements the referee cannot see it; the other device can. */
Test(vote, an_element_that_a_direction_hides_is_seen_by_the_other_device)
{
    crew c = { .lies = { false, true }, .tensor = 1, .element = 33333, .factor = 1.02 };
    seen s = check(&c, "Neg", 2, same);
    cr_expect_eq(s.failed[0], 0, "%s", s.message);
    cr_expect_gt(s.failed[1], 0);
    cr_expect_not_null(strstr(s.message, "[128,181]"), "element 33333 of [257,259] is [128,181]: %s", s.message);
}

Test(vote, errors_are_told_in_ulp_with_their_inputs)
{
    crew c = { .lies = { true }, .tensor = 0, .element = 1, .factor = 1.01 };
    seen s = check(&c, "Tanh", 1, same);
    cr_expect_gt(s.failed[0], 0);
    cr_expect_not_null(strstr(s.message, "ULP"), "%s", s.message);
    cr_expect_not_null(strstr(s.message, "input = "), "%s", s.message);
    cr_expect(s.ulps > 0.005 * 8388608 && s.ulps < 0.05 * 8388608, "a hundredth is about 100,000 units of a float: %g", s.ulps);
}

Test(results, damaged_bytes_are_refused)
{
    aval__results r, again;
    void *bytes;
    size_t size;
    const aval_tensor shape = { .type = AVAL_FLOAT, .rank = 2, .dims = { 2, 3 } };
    cr_assert_eq(aval__results_make(&r, 1), 0);
    cr_assert_eq(aval__host_tensor_make(&r.at[0], &shape), 0);
    r.at[0].real[5] = 7;
    cr_assert_eq(aval__results_pack(&r, &bytes, &size), 0);
    cr_assert_eq(aval__results_unpack(bytes, size, &again), 0);
    cr_expect_float_eq(again.at[0].real[5], 7, 0);
    aval__results_release(&again);
    for (size_t cut = 0; cut < size; cut++) cr_expect_eq(aval__results_unpack(bytes, cut, &again), AVAL_E_FORMAT, "%zu bytes", cut);
    ((unsigned char *)bytes)[0] ^= 1;
    cr_expect_eq(aval__results_unpack(bytes, size, &again), AVAL_E_FORMAT);
    aval__results_release(&r);
    aval_free(bytes);
}
