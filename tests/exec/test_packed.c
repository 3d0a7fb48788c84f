/* Weights that products have packed once: packed again when, and only when, their content may have changed. */
#include "exec/rig.h"

#include "aval/opencl.h"

#include <criterion/criterion.h>
#include <string.h>

enum { N = 64 };

static aval_context *context;
static aval_store *store;
static aval_graph *g;
static aval_session *s;
static aval_value *y;
static float x_data[N * N], w_data[N * N];

static void open_product(void)
{
    rig_environment(NULL);
    RIG_OK(aval_context_create(&context));
    RIG_OK(aval_context_profile(context));
    RIG_OK(aval_store_create(context, &store));
    g = aval_graph_create(context);
    for (int i = 0; i < N * N; i++) {
        x_data[i] = (float)(i % 7);
        w_data[i] = (float)(i % 5);
    }
    RIG_OK(aval_store_set(store, "w", AVAL_FLOAT, AVAL_SHAPE(N, N), w_data));
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(N, N)), *w = aval_graph_state(g, "w", AVAL_FLOAT, AVAL_SHAPE(N, N));
    y = aval_apply(g, "MatMul", NULL, x, w);
    RIG_OK(aval_session_create(context, g, store, &s));
    RIG_OK(aval_session_feed(s, x, x_data, sizeof x_data, NULL));
}

static void close_product(void)
{
    aval_session_release(s);
    aval_graph_release(g);
    aval_store_release(store);
    aval_context_release(context);
}

TestSuite(packed, .init = open_product, .fini = close_product);

static void count_packing(void *user, const aval_profile_entry *entry)
{
    *(size_t *)user += strncmp(entry->command, "pack_", 5) == 0;
}

/* Runs, and tells how many launches have packed something; the result must be what w holds now. */
static size_t run(void)
{
    float found[N * N], now[N * N];
    size_t packing = 0;
    RIG_OK(aval_session_run(s, AVAL_VALUES(y)));
    RIG_OK(aval_session_profile(s, count_packing, &packing));
    RIG_OK(aval_session_read(s, y, found, sizeof found));
    RIG_OK(aval_store_get(store, "w", now, sizeof now));
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            float sum = 0;
            for (int p = 0; p < N; p++) sum += x_data[i * N + p] * now[p * N + j];
            cr_assert_float_eq(found[i * N + j], sum, 1e-2, "row %d, column %d", i, j);
        }
    }
    return packing;
}

static bool packs(void)
{
    size_t first = run();
    if (first == 0) cr_skip_test("this device's products pack nothing");
    return first > 0;
}

Test(packed, a_weight_is_packed_in_the_first_run_and_again_when_it_was_set)
{
    if (!packs()) return;
    cr_expect_eq(run(), 0);
    for (int i = 0; i < N * N; i++) w_data[i] = (float)(i % 3);
    RIG_OK(aval_store_set(store, "w", AVAL_FLOAT, AVAL_SHAPE(N, N), w_data));
    cr_expect_eq(run(), 1);
    cr_expect_eq(run(), 0);
    RIG_OK(aval_store_remove(store, "w"));
    RIG_OK(aval_store_fill(store, "w", AVAL_FLOAT, AVAL_SHAPE(N, N), 2));
    cr_expect_eq(run(), 1);
}

Test(packed, a_weight_is_packed_again_when_another_session_has_updated_it)
{
    if (!packs()) return;
    aval_graph *other = aval_graph_create(context);
    aval_value *w = aval_graph_state(other, "w", AVAL_FLOAT, AVAL_SHAPE(N, N)),
               *v = aval_graph_state(other, "v", AVAL_FLOAT, AVAL_SHAPE(N, N));
    aval_value *lr = aval_graph_state(other, "lr", AVAL_FLOAT, AVAL_SCALAR);
    aval_value *step = aval_apply(other, "aval::Sgd", NULL, w, w, v, lr);
    aval_session *training = NULL;
    RIG_OK(aval_store_fill(store, "v", AVAL_FLOAT, AVAL_SHAPE(N, N), 0));
    RIG_OK(aval_store_fill(store, "lr", AVAL_FLOAT, AVAL_SCALAR, 0.5));
    RIG_OK(aval_session_create(context, other, store, &training));
    run();
    for (int i = 0; i < 2; i++) {
        RIG_OK(aval_session_run(training, AVAL_VALUES(step)));
        cr_expect_eq(run(), 1);
        cr_expect_eq(run(), 0);
    }
    aval_session_release(training);
    aval_graph_release(other);
}

Test(packed, a_weight_in_a_callers_hands_is_packed_in_each_run)
{
    cl_mem mem;
    if (!packs()) return;
    RIG_OK(aval_store_mem(store, "w", &mem, NULL));
    cr_expect_eq(run(), 1);
    cr_expect_eq(run(), 1);
}

/* Copies for all runs lie in the arena beside values that come and go: nothing of a run may lie there. */
Test(packed, copies_stay_while_the_values_of_a_run_come_and_go)
{
    enum { LAYERS = 6, WIDE = 200 };
    static float weights[WIDE * WIDE], first[N * N], later[N * N];
    aval_value *h = aval_graph_input(g, "h", AVAL_FLOAT, AVAL_SHAPE(N, N));
    for (int i = 0; i < WIDE * WIDE; i++) weights[i] = (float)(i % 11 - 5) * 0.02f;
    for (int i = 0; i < LAYERS; i++) {
        char name[] = { 'v', (char)('0' + i), 0 };
        const int64_t rows = i == 0 ? N : WIDE - 8 * (i - 1), columns = i == LAYERS - 1 ? N : WIDE - 8 * i;
        RIG_OK(aval_store_set(store, name, AVAL_FLOAT, AVAL_SHAPE(rows, columns), weights));
        h = aval_apply(g, "Tanh", NULL, aval_apply(g, "MatMul", NULL, h, aval_graph_state(g, name, AVAL_FLOAT, AVAL_SHAPE(rows, columns))));
    }
    RIG_OK(aval_session_feed(s, aval_graph_find(g, "h"), x_data, sizeof x_data, NULL));
    for (int turn = 0; turn < 4; turn++) {
        RIG_OK(aval_session_run(s, AVAL_VALUES(h)));
        RIG_OK(aval_session_read(s, h, turn == 0 ? first : later, sizeof first));
        if (turn > 0) cr_assert_arr_eq(first, later, sizeof first, "run %d", turn);
    }
}

/* One filter, two images: what suits the filters' order for one need not for the other. */
Test(packed, a_filter_meets_images_of_several_sizes)
{
    enum { CHANNELS = 20, MAPS = 24, MOST = 40 };
    static const int64_t sides[] = { 13, 40, 5, 27 }, kernels[] = { 1, 3 };
    static float weights[MAPS * CHANNELS * 9], image[CHANNELS * MOST * MOST], found[MAPS * MOST * MOST];
    for (int i = 0; i < MAPS * CHANNELS * 9; i++) weights[i] = (float)(i % 11 - 5) * 0.25f;
    for (int i = 0; i < CHANNELS * MOST * MOST; i++) image[i] = (float)(i % 7 - 3);
    for (size_t j = 0; j < 2; j++) {
        const int64_t kernel = kernels[j], pad = kernel / 2;
        aval_value *outputs[4],
            *filter = aval_graph_state(g, kernel == 1 ? "one" : "three", AVAL_FLOAT, AVAL_SHAPE(MAPS, CHANNELS, kernel, kernel));
        RIG_OK(aval_store_set(store, kernel == 1 ? "one" : "three", AVAL_FLOAT, AVAL_SHAPE(MAPS, CHANNELS, kernel, kernel), weights));
        for (size_t i = 0; i < 4; i++) {
            char name[] = { 'i', (char)('0' + i), (char)('0' + kernel), 0 };
            aval_value *in = aval_graph_input(g, name, AVAL_FLOAT, AVAL_SHAPE(1, CHANNELS, sides[i], sides[i]));
            outputs[i] = aval_apply(g, "Relu", NULL, aval_apply(g, "Conv", kernel == 1 ? NULL : "pads=[1,1,1,1]", in, filter));
            RIG_OK(aval_session_feed(s, in, image, sizeof(float) * (size_t)(CHANNELS * sides[i] * sides[i]), NULL));
        }
        for (int turn = 0; turn < 2; turn++) RIG_OK(aval_session_run(s, outputs, 4));
        for (size_t i = 0; i < 4; i++) {
            const int64_t side = sides[i];
            RIG_OK(aval_session_read(s, outputs[i], found, sizeof(float) * (size_t)(MAPS * side * side)));
            for (int64_t at = 0; at < MAPS * side * side; at++) {
                const int64_t map = at / (side * side), row = at / side % side, column = at % side;
                float sum = 0;
                for (int64_t q = 0; q < CHANNELS * kernel * kernel; q++) {
                    const int64_t from_y = row + q / kernel % kernel - pad, from_x = column + q % kernel - pad;
                    if (from_y < 0 || from_y >= side || from_x < 0 || from_x >= side) continue;
                    sum += weights[map * CHANNELS * kernel * kernel + q] * image[(q / kernel / kernel * side + from_y) * side + from_x];
                }
                cr_assert_float_eq(found[at], sum > 0 ? sum : 0, 2e-2, "filter of %d, image of %d, element %d", (int)kernel, (int)side,
                                   (int)at);
            }
        }
    }
}
