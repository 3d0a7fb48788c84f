/* The store on its own: entries, random numbers, files, moving to a device and back. */
#include "exec/rig.h"
#include "fail_alloc.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static aval_context *context;
static aval_store *store;

static void open_store(void)
{
    rig_environment(NULL);
    RIG_OK(aval_context_create(&context));
    RIG_OK(aval_store_create(context, &store));
}

static void close_store(void)
{
    aval_store_release(store);
    aval_context_release(context);
}

TestSuite(store, .init = open_store, .fini = close_store);

Test(store, entries_keep_their_order_and_content)
{
    float x[2] = { 1, 2 }, y[2];
    RIG_OK(aval_store_set(store, "b", AVAL_FLOAT, AVAL_SHAPE(2), x));
    RIG_OK(aval_store_fill(store, "a", AVAL_INT64, AVAL_SCALAR, 7));
    RIG_OK(aval_store_fill(store, "c", AVAL_BOOL, AVAL_SHAPE(3), 1));
    RIG_OK(aval_store_remove(store, "a"));
    cr_assert_eq(aval_store_count(store), 2);
    cr_expect_str_eq(aval_store_name(store, 0), "b");
    cr_expect_str_eq(aval_store_name(store, 1), "c");
    cr_expect_null(aval_store_name(store, 2));
    RIG_OK(aval_store_get(store, "b", y, sizeof y));
    cr_expect_eq(memcmp(x, y, sizeof x), 0);
    int type;
    size_t rank;
    int64_t dims[AVAL_MAX_RANK];
    RIG_OK(aval_store_shape(store, "c", &type, &rank, dims));
    cr_expect(type == AVAL_BOOL && rank == 1 && dims[0] == 3);
}

Test(store, wrong_use_is_refused_with_what_was_expected)
{
    float x[2];
    RIG_OK(aval_store_fill(store, "w", AVAL_FLOAT, AVAL_SHAPE(2), 0));
    cr_expect_eq(aval_store_set(store, "w", AVAL_FLOAT, AVAL_SHAPE(1), x), AVAL_E_SHAPE);
    cr_expect(strstr(aval_error(), "float[2]") && strstr(aval_error(), "float[1]"), "%s", aval_error());
    cr_expect_eq(aval_store_fill(store, "w", AVAL_INT32, AVAL_SHAPE(2), 0), AVAL_E_TYPE);
    cr_expect_eq(aval_store_get(store, "w", x, 4), AVAL_E_ARGUMENT);
    cr_expect(strstr(aval_error(), "8 bytes"), "%s", aval_error());
    cr_expect_eq(aval_store_get(store, "v", x, 4), AVAL_E_UNKNOWN);
    cr_expect(strstr(aval_error(), "'v'") && strstr(aval_error(), "aval_store_set"), "%s", aval_error());
    cr_expect_eq(aval_store_random(store, "i", AVAL_INT64, AVAL_SHAPE(2), AVAL_INIT_NORMAL, 1, 0), AVAL_E_TYPE);
    cr_expect_eq(aval_store_random(store, "i", AVAL_FLOAT, AVAL_SHAPE(2), 99, 1, 0), AVAL_E_ARGUMENT);
    cr_expect_eq(aval_store_set(store, NULL, AVAL_FLOAT, AVAL_SCALAR, x), AVAL_E_ARGUMENT);
    cr_expect_eq(aval_store_count(store), 1);
}

Test(store, random_numbers_depend_on_seed_and_name_alone)
{
    static const char *const names[] = { "a", "b", "a2" };
    double x[3][5], again[3];
    for (int i = 0; i < 3; i++) RIG_OK(aval_store_random(store, names[i], AVAL_DOUBLE, AVAL_SHAPE(5), AVAL_INIT_NORMAL, 1, 3));
    for (int i = 0; i < 3; i++) RIG_OK(aval_store_get(store, names[i], x[i], sizeof x[i]));
    cr_expect_neq(memcmp(x[0], x[1], sizeof x[0]), 0);
    cr_expect_neq(memcmp(x[0], x[2], sizeof x[0]), 0);
    RIG_OK(aval_store_remove(store, "a"));
    RIG_OK(aval_store_random(store, "a", AVAL_DOUBLE, AVAL_SHAPE(3), AVAL_INIT_NORMAL, 1, 3));
    RIG_OK(aval_store_get(store, "a", again, sizeof again));
    cr_expect_eq(memcmp(x[0], again, sizeof again), 0, "the first elements do not depend on how many follow");
    RIG_OK(aval_store_random(store, "a", AVAL_DOUBLE, AVAL_SHAPE(3), AVAL_INIT_NORMAL, 1, 4));
    RIG_OK(aval_store_get(store, "a", again, sizeof again));
    cr_expect_neq(memcmp(x[0], again, sizeof again), 0);
}

/* Mean and standard deviation of 40,000 numbers: within 5 standard errors of what the initialiser says. */
Test(store, initialisers_have_their_mean_and_deviation)
{
    enum { IN = 100, OUT = 400, N = IN * OUT };
    static const struct {
        int initializer;
        double scale, deviation;
    } cases[] = {
        { AVAL_INIT_UNIFORM, 2, 2 / 1.7320508 },
        { AVAL_INIT_NORMAL, 3, 3 },
        { AVAL_INIT_HE, 1, 0.14142136 }, /* sqrt(2 / 100) */
        { AVAL_INIT_XAVIER, 1, 0.10954451 / 1.7320508 }, /* sqrt(6 / 500) / sqrt 3 */
    };
    double *x = malloc(N * sizeof *x);
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        double sum = 0, squares = 0;
        RIG_OK(aval_store_random(store, "x", AVAL_DOUBLE, AVAL_SHAPE(IN, OUT), cases[c].initializer, cases[c].scale, 1));
        RIG_OK(aval_store_get(store, "x", x, N * sizeof *x));
        for (int i = 0; i < N; i++) {
            sum += x[i];
            squares += x[i] * x[i];
        }
        cr_expect_lt(fabs(sum / N), 5 * cases[c].deviation / 200, "mean of case %zu", c);
        cr_expect_lt(fabs(sqrt(squares / N) / cases[c].deviation - 1), 5 / 200.0, "deviation of case %zu", c);
    }
    free(x);
}

/* From an independent Philox 4x32-10 that gives Random123's known answers, and XXH3's hash of "x": a change here would change every training
   run that anybody has recorded. */
Test(store, uniform_numbers_are_those_of_philox)
{
    static const double expected[6] = { -0.6781772149261087, -0.7496800955850631,  0.23460095492191613,
                                        -0.3645561703015119, -0.04838162218220532, 0.45890196110121906 };
    double x[6];
    RIG_OK(aval_store_random(store, "x", AVAL_DOUBLE, AVAL_SHAPE(6), AVAL_INIT_UNIFORM, 1, 0x123456789));
    RIG_OK(aval_store_get(store, "x", x, sizeof x));
    for (int i = 0; i < 6; i++) cr_expect_eq(x[i], expected[i], "element %d: %.17g", i, x[i]);
}

Test(store, a_filter_has_the_fans_of_its_window)
{
    float x[64 * 3 * 3 * 3];
    double squares = 0;
    RIG_OK(aval_store_random(store, "w", AVAL_FLOAT, AVAL_SHAPE(64, 3, 3, 3), AVAL_INIT_HE, 1, 1));
    RIG_OK(aval_store_get(store, "w", x, sizeof x));
    for (size_t i = 0; i < 64 * 27; i++) squares += (double)x[i] * x[i];
    cr_expect_lt(fabs(sqrt(squares / (64 * 27)) / sqrt(2.0 / 27) - 1), 0.1);
}

Test(store, a_file_brings_back_every_entry)
{
    char file[] = "/tmp/aval-store-XXXXXX";
    aval_store *other;
    float x[3] = { 1, -0.0f, 3 }, y[3];
    int64_t step;
    close(mkstemp(file));
    RIG_OK(aval_store_set(store, "z", AVAL_FLOAT, AVAL_SHAPE(3), x));
    RIG_OK(aval_store_fill(store, "step", AVAL_INT64, AVAL_SCALAR, 12));
    RIG_OK(aval_store_fill(store, "half", AVAL_FLOAT16, AVAL_SHAPE(2, 2), 0.5));
    RIG_OK(aval_store_save(store, file, (const char *const[]){ "made by", "a test", NULL }));
    RIG_OK(aval_store_create(context, &other));
    RIG_OK(aval_store_load(other, file));
    cr_assert_eq(aval_store_count(other), 3);
    cr_expect_str_eq(aval_store_name(other, 0), "z");
    RIG_OK(aval_store_get(other, "z", y, sizeof y));
    cr_expect_eq(memcmp(x, y, sizeof x), 0);
    RIG_OK(aval_store_get(other, "step", &step, sizeof step));
    cr_expect_eq(step, 12);
    aval_store_release(other);
    unlink(file);
}

Test(store, a_file_that_does_not_fit_changes_nothing)
{
    char file[] = "/tmp/aval-store-XXXXXX";
    aval_store *other;
    float a;
    close(mkstemp(file));
    RIG_OK(aval_store_fill(store, "a", AVAL_FLOAT, AVAL_SCALAR, 1));
    RIG_OK(aval_store_fill(store, "b", AVAL_FLOAT, AVAL_SHAPE(2), 1));
    RIG_OK(aval_store_save(store, file, NULL));
    RIG_OK(aval_store_create(context, &other));
    RIG_OK(aval_store_fill(other, "a", AVAL_FLOAT, AVAL_SCALAR, 5));
    RIG_OK(aval_store_fill(other, "b", AVAL_FLOAT, AVAL_SHAPE(3), 5));
    cr_expect_eq(aval_store_load(other, file), AVAL_E_SHAPE);
    cr_expect(strstr(aval_error(), file) && strstr(aval_error(), "'b'"), "%s", aval_error());
    RIG_OK(aval_store_get(other, "a", &a, sizeof a));
    cr_expect_eq(a, 5);
    aval_store_release(other);
    unlink(file);
}

Test(store, content_survives_the_way_to_a_device_and_back)
{
    float x[300], y[300], one = 0.25f;
    aval_tensor shape, scalar;
    cl_mem buffer;
    uint64_t generation, before;
    for (int i = 0; i < 300; i++) x[i] = (float)i;
    aval__tensor_set(&shape, AVAL_FLOAT, 1, (const int64_t[]){ 300 });
    aval__tensor_set(&scalar, AVAL_FLOAT, 0, NULL);
    RIG_OK(aval__context_ready(context));
    aval__device *device = aval__context_device(context, 0);
    RIG_OK(aval_store_set(store, "x", AVAL_FLOAT, AVAL_SHAPE(300), x));
    RIG_OK(aval_store_fill(store, "lr", AVAL_FLOAT, AVAL_SCALAR, 1));
    RIG_OK(aval__store_buffer(store, "x", &shape, device, &buffer, &generation));
    RIG_OK(aval__store_buffer(store, "lr", &scalar, device, &buffer, &generation));
    before = aval__store_generation(store);
    RIG_OK(aval_store_get(store, "x", y, sizeof y));
    cr_expect_eq(memcmp(x, y, sizeof x), 0);
    x[7] = -1; /* set while it is on the device: there, and without a new buffer */
    RIG_OK(aval_store_set(store, "x", AVAL_FLOAT, AVAL_SHAPE(300), x));
    RIG_OK(aval_store_set(store, "lr", AVAL_FLOAT, AVAL_SCALAR, &one));
    RIG_OK(aval_store_get(store, "x", y, sizeof y));
    cr_expect_eq(memcmp(x, y, sizeof x), 0);
    RIG_OK(aval_store_get(store, "lr", y, sizeof one));
    cr_expect_eq(y[0], one);
    cr_expect_eq(aval__store_generation(store), before);
    cr_expect_eq(aval__store_buffer(store, "x", &scalar, device, &buffer, &generation), AVAL_E_SHAPE);
    cr_expect_eq(aval__store_buffer(store, "none", &scalar, device, &buffer, &generation), AVAL_E_UNKNOWN);
}

static int fill_and_load(const char *file)
{
    aval_store *made;
    int status = aval_store_create(context, &made);
    if (status < 0) return status;
    status = aval_store_random(made, "w", AVAL_FLOAT, AVAL_SHAPE(20), AVAL_INIT_HE, 1, 1);
    if (status == AVAL_OK) status = aval_store_load(made, file);
    if (status == AVAL_OK) status = aval_store_save(made, file, NULL);
    aval_store_release(made);
    return status;
}

/* jansson's own failures read as a damaged or impossible header. */
Test(store, every_failing_allocation_is_an_error_and_leaks_nothing)
{
    char file[] = "/tmp/aval-store-XXXXXX";
    close(mkstemp(file));
    RIG_OK(aval_store_fill(store, "a", AVAL_FLOAT, AVAL_SHAPE(5), 1));
    RIG_OK(aval_store_save(store, file, NULL));
    for (size_t n = 1;; n++) {
        fail_alloc_at(n);
        int status = fill_and_load(file);
        size_t count = fail_alloc_count(), left = fail_alloc_outstanding();
        fail_alloc_off();
        cr_expect_eq(left, 0, "allocation %zu: %zu left", n, left);
        if (count < n) {
            cr_expect_eq(status, AVAL_OK, "%s", aval_error());
            break;
        }
        cr_assert_lt(n, 1000);
    }
    unlink(file);
}
