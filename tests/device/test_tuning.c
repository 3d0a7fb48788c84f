/* Tuning: only what is right may win, within a budget; what was chosen is found by later processes, and nothing that is damaged, of another
 * device, or of no meaning. */
#include "device/tuning.h"
#include "device/verdicts.h"
#include "harness.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *folder;

static void begin(void)
{
    folder = harness_cache_folder();
    unsetenv("AVAL_GEMM");
    unsetenv("AVAL_TUNED");
}

static void end(void)
{
    harness_remove_folder(folder);
}

TestSuite(tuning, .init = begin, .fini = end, .timeout = 300);

static aval_gemm product(int64_t m, int64_t n, int64_t k)
{
    return (aval_gemm){
        .size = sizeof(aval_gemm), .m = m, .n = n, .k = k, .batch = 1, .alpha = 1, .a = { .ld = k }, .b = { .ld = n }, .c = { .ld = n }
    };
}

/* ---- Only what is right --------------------------------------------------------------------------------------------------------- */

static int supports_all(const aval_device_info *info, const aval_gemm *gemm, int type)
{
    (void)info;
    (void)gemm;
    (void)type;
    return AVAL_OK;
}

static int record_nothing(const aval_device_info *info, const aval_gemm *gemm, int type, const aval_tensor *scratch,
                          const aval_tensor *const *packed, bool tail, aval_call *call)
{
    (void)packed;
    (void)tail;
    (void)info;
    (void)gemm;
    (void)type;
    (void)scratch;
    (void)call;
    return AVAL_OK;
}

static aval_gemm shortened(const aval_gemm *gemm)
{
    aval_gemm g = *gemm;
    g.k--;
    return g;
}

static uint64_t scratch_of_short(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed)
{
    const aval_gemm g = shortened(gemm);
    return aval__gemm_tiles.scratch_bytes(info, &g, type, packed);
}

static int record_short(const aval_device_info *info, const aval_gemm *gemm, int type, const aval_tensor *scratch,
                        const aval_tensor *const *packed, bool tail, aval_call *call)
{
    const aval_gemm g = shortened(gemm);
    return aval__gemm_tiles.record(info, &g, type, scratch, packed, tail, call);
}

Test(tuning, a_wrong_way_never_wins_even_if_it_is_the_fastest)
{
    harness h;
    aval__gemm_provider idle = { .name = "idle", .supports = supports_all, .record = record_nothing };
    aval__gemm_provider hasty = { .name = "hasty", .supports = supports_all, .scratch_bytes = scratch_of_short, .record = record_short };
    hasty.source = aval__gemm_tiles.source;
    /* what only rounds is compared as strictly */
    aval__gemm_provider rounding = {
        .name = "rounding", .supports = supports_all, .scratch_bytes = scratch_of_short, .record = record_short
    };
    rounding.source = aval__gemm_tiles.source;
    rounding.rounds = true;
    const aval__variant planted[] = { { .provider = &idle }, { .provider = &hasty }, { .provider = &rounding } };
    const aval_gemm g = product(64, 96, 80);
    aval__choice choice;
    harness_open(&h);
    cr_assert_eq(aval__tuning_pick(h.device, &g, AVAL_FLOAT, 5, planted, 3, &choice), AVAL_OK, "%s", aval_error());
    size_t met = 0;
    for (size_t i = 0; i < choice.tried.count; i++) {
        const aval__candidate *c = &choice.tried.at[i];
        bool lies = c->variant.provider == &idle || c->variant.provider == &hasty || c->variant.provider == &rounding;
        met += lies;
        cr_expect_eq(c->right, !lies, "%s", c->variant.provider->name);
        cr_expect_eq(c->chosen, i == choice.best);
    }
    cr_expect_eq(met, 3, "all were tried");
    cr_expect(choice.tried.at[choice.best].right);
    aval__choice_release(&choice);
    harness_close(&h);
}

/* Products as convolutions, batches, sums and transposed operands make them: the host's result is the device's. */
Test(tuning, the_hosts_result_agrees_with_every_kind_of_product)
{
    harness h;
    const aval_patches patches = { .channels = 3,
                                   .in = { 1, 9, 11 },
                                   .kernel = { 1, 3, 3 },
                                   .stride = { 1, 2, 1 },
                                   .pad = { 0, 1, 1 },
                                   .dilation = { 1, 1, 1 },
                                   .out = { 1, 5, 11 } };
    const aval_gemm plain = product(37, 45, 51);
    aval_gemm turned = product(37, 45, 51), batch = product(20, 33, 18), sum = product(20, 33, 18), pixels = product(7, 55, 27);
    turned.a = (aval_operand){ .ld = 37, .transposed = 1 };
    turned.b = (aval_operand){ .ld = 51, .transposed = 1 };
    turned.c = (aval_operand){ .ld = 37, .transposed = 1 };
    batch.batch = sum.batch = pixels.batch = 3;
    batch.beta = 1;
    batch.a.batch_stride = sum.a.batch_stride = 20 * 18;
    batch.b.batch_stride = sum.b.batch_stride = 33 * 18;
    batch.c.batch_stride = 20 * 33;
    sum.sum = 1;
    sum.alpha = 0.3;
    pixels.b = (aval_operand){ .patches = &patches, .batch_stride = 3 * 9 * 11 };
    pixels.c.batch_stride = 7 * 55;
    aval_gemm maps = product(7, 27, 55);
    maps.batch = 3;
    maps.sum = 1;
    maps.a.batch_stride = 7 * 55;
    maps.b = (aval_operand){ .patches = &patches, .batch_stride = 3 * 9 * 11, .transposed = 1 };
    const aval_gemm *const kinds[] = { &plain, &turned, &batch, &sum, &pixels, &maps };
    harness_open(&h);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        aval__choice choice;
        cr_assert_eq(aval__tuning_pick(h.device, kinds[i], AVAL_FLOAT, 1, NULL, 0, &choice), AVAL_OK, "kind %zu: %s", i, aval_error());
        for (size_t k = 0; k < choice.tried.count; k++) {
            char name[AVAL__VARIANT_LENGTH];
            aval__variant_print(&choice.tried.at[k].variant, name);
            cr_expect(choice.tried.at[k].right, "%s: %s", choice.class, name);
        }
        aval__choice_release(&choice);
    }
    harness_close(&h);
}

/* Runs each value of each knob alone, and counts those that fit. */
static size_t judge_knobs(harness *h, const aval__gemm_provider *provider, const aval_gemm *gemm)
{
    aval__trial *trial;
    size_t judged = 0;
    cr_assert_eq(aval__trial_create(h->device, gemm, AVAL_FLOAT, &trial), AVAL_OK, "%s", aval_error());
    for (size_t r = 0; r < provider->tuner->n_ranges; r++) {
        const aval__knob_range *range = &provider->tuner->ranges[r];
        for (const int32_t *value = range->values; *value != 0; value++) {
            aval__variant v = { .provider = provider };
            char name[AVAL__VARIANT_LENGTH];
            bool right = false;
            uint64_t signature;
            v.knobs[range->knob] = *value;
            if (!provider->tuner->fits(aval__device_info(h->device), gemm, AVAL_FLOAT, &v)) continue;
            aval__variant_print(&v, name);
            cr_assert_eq(aval__trial_record(trial, &v, &signature), AVAL_OK, "%s: %s", name, aval_error());
            cr_assert_eq(aval__trial_judge(trial, &right), AVAL_OK, "%s: %s", name, aval_error());
            cr_expect(right, "%s", name);
            judged++;
        }
    }
    aval__trial_release(trial);
    return judged;
}

Test(tuning, every_tile_and_number_of_parts_of_groups_is_right)
{
    harness h;
    const aval_gemm g = product(70, 90, 1100);
    harness_open(&h);
    cr_expect_geq(judge_knobs(&h, &aval__gemm_groups, &g), 6);
    harness_close(&h);
}

/* Winograd's sums are no whole numbers: what rounding does to them is no fault. */
Test(tuning, every_block_of_winograd_is_right)
{
    harness h;
    const aval_patches patches = { .channels = 20,
                                   .in = { 1, 24, 24 },
                                   .kernel = { 1, 3, 3 },
                                   .stride = { 1, 1, 1 },
                                   .pad = { 0, 1, 1 },
                                   .dilation = { 1, 1, 1 },
                                   .out = { 1, 24, 24 } };
    aval_gemm g = product(24, 576, 180);
    g.batch = 5;
    g.b = (aval_operand){ .patches = &patches, .batch_stride = 20 * 576 };
    g.c.batch_stride = 24 * 576;
    harness_open(&h);
    size_t judged = judge_knobs(&h, &aval__gemm_winograd, &g);
    cr_expect(aval__device_info(h.device)->group > 1 || judged >= 6, "%zu of the values fit", judged);
    harness_close(&h);
}

Test(tuning, without_time_only_the_default_is_tried)
{
    harness h;
    const aval_gemm g = product(64, 96, 80);
    aval__choice choice;
    harness_open(&h);
    cr_assert_eq(aval__tuning_pick(h.device, &g, AVAL_FLOAT, 0, NULL, 0, &choice), AVAL_OK, "%s", aval_error());
    cr_expect_eq(choice.tried.count, 1);
    cr_expect_not(choice.complete);
    cr_expect(choice.tried.at[0].chosen);
    aval__choice_release(&choice);
    cr_expect_eq(aval__tuning_pick(h.device, &g, AVAL_FLOAT16, 1, NULL, 0, &choice), AVAL_E_UNSUPPORTED, "the host has no halves");
    harness_close(&h);
}

/* ---- Names ---------------------------------------------------------------------------------------------------------------------- */

Test(tuning, variants_are_read_as_they_are_written_and_nothing_else_is)
{
    aval__variant v;
    char text[AVAL__VARIANT_LENGTH];
    const char *const right[] = { "default", "clblast", "tiles method=panels rows=14 slice=256", "patches vectors=3 own=1" };
    const char *const wrong[] = { "",
                                  "tile",
                                  "tiles rows",
                                  "tiles rows=7",
                                  "tiles method=magic",
                                  "tiles colour=3",
                                  "clblast rows=6",
                                  "patches method=panels",
                                  "default rows=6",
                                  "tiles rows=99999999999999999999" };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        cr_assert(aval__variant_read(right[i], &v), "%s", right[i]);
        aval__variant_print(&v, text);
        cr_expect_str_eq(text, right[i]);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) cr_expect_not(aval__variant_read(wrong[i], &v), "%s", wrong[i]);
}

Test(tuning, classes_take_sizes_together_that_differ_by_little)
{
    char a[AVAL__CLASS_LENGTH], b[AVAL__CLASS_LENGTH];
    const aval_gemm one = product(128, 10, 512), near = product(127, 10, 500), far = product(128, 11, 512);
    aval__tuning_class(&one, AVAL_FLOAT, a);
    cr_expect_str_eq(a, "float 128 x 10 x 512");
    aval__tuning_class(&near, AVAL_FLOAT, b);
    cr_expect_str_eq(a, b);
    aval__tuning_class(&far, AVAL_FLOAT, b);
    cr_expect_str_neq(a, b, "small sizes are taken as they are");
    aval__tuning_class(&one, AVAL_DOUBLE, b);
    cr_expect_str_neq(a, b);
}

/* ---- CLBlast's parameters ---------------------------------------------------------------------------------------------------------- */

/* In a suite of its own, since each set is a build of CLBlast's programs. */
Test(clblast_parameters, every_set_is_right, .init = begin, .fini = end, .timeout = 600)
{
    harness h;
    aval_gemm large = product(150, 203, 177), turned = product(37, 45, 51), small = product(3, 5, 7);
    turned.a = (aval_operand){ .ld = 37, .transposed = 1 };
    turned.b = (aval_operand){ .ld = 51, .transposed = 1 };
    const aval_gemm *products[] = { &small, &turned, &large };
    aval__choice choice;
    harness_open(&h);
    size_t fit = 0;
    for (int32_t i = 1; i <= 7; i++) fit += aval__clblast_set_fits(aval__device_info(h.device), AVAL_FLOAT, i);
    cr_assert_eq(aval__clblast_tune(h.device, AVAL_FLOAT, products, 3, 600, &choice), AVAL_OK, "%s", aval_error());
    cr_expect_eq(choice.tried.at[0].variant.knobs[AVAL__KNOB_TILE], 0, "the database is first");
    cr_expect_eq(choice.tried.count, 1 + fit);
    for (size_t k = 0; k < choice.tried.count; k++)
        cr_expect(choice.tried.at[k].right, "set %d", (int)choice.tried.at[k].variant.knobs[AVAL__KNOB_TILE]);
    cr_expect_eq(choice.flops, 2.0 * (150 * 203 * 177 + 37 * 45 * 51 + 3 * 5 * 7));
    aval__choice_release(&choice);
    harness_close(&h);
}

Test(clblast_parameters, are_for_doubles_too, .init = begin, .fini = end, .timeout = 600)
{
    harness h;
    aval_gemm g = product(150, 203, 177);
    const aval_gemm *products[] = { &g };
    aval__choice choice;
    harness_open(&h);
    if (!aval__device_info(h.device)->fp64) cr_skip_test("the device has no doubles");
    cr_assert_eq(aval__clblast_tune(h.device, AVAL_DOUBLE, products, 1, 1e-3, &choice), AVAL_OK, "%s", aval_error());
    cr_expect_eq(choice.tried.count, 1);
    cr_expect_not(choice.complete);
    aval__choice_release(&choice);
    cr_assert_eq(aval__clblast_apply(h.device, AVAL_DOUBLE, 6), AVAL_OK, "%s", aval_error());
    cr_assert_eq(aval__clblast_tune(h.device, AVAL_DOUBLE, products, 1, 1e-3, &choice), AVAL_OK, "%s", aval_error());
    cr_expect(choice.tried.at[0].right);
    aval__choice_release(&choice);
    harness_close(&h);
}

Test(tuning, sets_of_parameters_beyond_the_device_are_not_tried)
{
    aval_device_info small = { .max_group = 64, .local_bytes = 16384 };
    cr_expect_not(aval__clblast_set_fits(&small, AVAL_FLOAT, 1), "its work-groups have 256 work-items");
    cr_expect(aval__clblast_set_fits(&small, AVAL_FLOAT, 3));
    small.local_bytes = 8192;
    cr_expect_not(aval__clblast_set_fits(&small, AVAL_FLOAT, 3), "its tiles have 8448 bytes");
    cr_expect(aval__clblast_set_fits(&small, AVAL_FLOAT, 6), "it has no local memory");
}

/* ---- What is remembered ------------------------------------------------------------------------------------------------------------ */

static void set(const char *class, const char *variant)
{
    harness h;
    aval__variant v;
    harness_open(&h);
    cr_assert(aval__variant_read(variant, &v));
    cr_assert_eq(aval__tuning_set(h.device, class, &v, true), AVAL_OK, "%s", aval_error());
    harness_close(&h);
}

/* As a new process would find it, on a device with this driver (NULL: its own). */
static aval__variant found(const aval_gemm *g, const char *driver)
{
    harness h;
    harness_open(&h);
    aval__listed *listed = (aval__listed *)(uintptr_t)h.device->listed;
    if (driver != NULL) listed->info.driver = driver;
    aval__variant v = aval__tuning_find(aval__device_info(h.device), g, AVAL_FLOAT, NULL);
    harness_close(&h);
    return v;
}

Test(tuning, a_choice_is_found_by_a_later_process_and_taken_by_its_products)
{
    const aval_gemm g = product(128, 512, 784);
    set("float 128 x 512 x 768", "tiles method=direct");
    cr_expect_eq(found(&g, NULL).provider, &aval__gemm_tiles);
    cr_expect_null(found(&g, "another driver").provider);
    setenv("AVAL_TUNED", "0", 1);
    cr_expect_null(found(&g, NULL).provider, "it is not to be taken");
    unsetenv("AVAL_TUNED");

    harness h;
    harness_open(&h);
    uint64_t before = aval__tuning_stamp(h.device);
    cr_expect_neq(before, 0);
    cr_expect_eq(aval__gemm_tiles.scratch_bytes(aval__device_info(h.device), &g, AVAL_FLOAT, 0), 0,
                 "a product without packing has no scratch");
    cr_assert_eq(aval__tuning_forget(h.device), AVAL_OK, "%s", aval_error());
    cr_expect_eq(aval__tuning_stamp(h.device), 0);
    harness_close(&h);
    cr_expect_null(found(&g, NULL).provider);
}

/* CLBlast pads operands to whole tiles: of 32 with this set. */
Test(tuning, remembered_parameters_are_given_to_clblast_before_its_first_product)
{
    harness h;
    const aval_gemm g = product(1500, 1500, 1500);
    set("float, parameters of CLBlast", "clblast tile=6");
    harness_open(&h);
    cr_expect_eq(aval__gemm_clblast.scratch_bytes(aval__device_info(h.device), &g, AVAL_FLOAT, 0), 3 * 1504 * 1504 * 4);
    harness_close(&h);
}

Test(tuning, of_many_processes_at_once_is_all_kept)
{
    const int n = 4;
    for (int i = 0; i < n; i++) {
        char class[64];
        snprintf(class, sizeof class, "float %d x 1 x 1", i + 1);
        pid_t pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0) {
            set(class, "tiles method=direct");
            _exit(0);
        }
    }
    for (int i = 0, status; i < n; i++) {
        cr_assert_gt(wait(&status), 0);
        cr_expect_eq(status, 0);
    }
    for (int i = 0; i < n; i++) {
        const aval_gemm g = product(i + 1, 1, 1);
        cr_expect_eq(found(&g, NULL).provider, &aval__gemm_tiles, "that of process %d is lost", i);
    }
}

static void replace_in_file(const char *command)
{
    char line[256];
    snprintf(line, sizeof line, command, folder);
    cr_assert_eq(system(line), 0);
}

Test(tuning, damaged_files_and_choices_without_a_meaning_are_none)
{
    const aval_gemm g = product(128, 512, 784);
    set("float 128 x 512 x 768", "tiles method=panels rows=14");
    replace_in_file("sed -i 's/rows=14/rows=15/' %s/verdicts-*.json");
    cr_expect_null(found(&g, NULL).provider, "no kernel has 15 rows");
    set("float 128 x 512 x 768", "tiles method=panels rows=14");
    cr_expect_eq(found(&g, NULL).knobs[AVAL__KNOB_ROWS], 14);
    replace_in_file("sed -i 's/\"stamp\": \"[0-9a-f]*\"/\"stamp\": \"17\"/' %s/verdicts-*.json");
    cr_expect_null(found(&g, NULL).provider, "it was measured with other kernels");
    set("float 128 x 512 x 768", "tiles method=panels rows=14");
    replace_in_file("truncate -s 60 %s/verdicts-*.json");
    cr_expect_null(found(&g, NULL).provider);
}

/* A class has many shapes: where one cannot be computed as another was, it is computed as untuned. */
Test(tuning, a_way_that_does_not_fit_a_shape_is_not_taken_for_it)
{
    harness h;
    aval__variant v;
    aval_gemm g = product(128, 40, 512);
    g.b = (aval_operand){ .ld = 512, .transposed = 1 };
    harness_open(&h);
    const aval_device_info *info = aval__device_info(h.device);
    uint64_t untuned = aval__gemm_tiles.scratch_bytes(info, &g, AVAL_FLOAT, 0);
    cr_assert(aval__variant_read("tiles method=narrow", &v)); /* for at most 16 columns */
    aval__tuning_try(h.device, &v);
    cr_expect_eq(aval__gemm_tiles.scratch_bytes(info, &g, AVAL_FLOAT, 0), untuned);
    aval__tuning_try(h.device, NULL);
    harness_close(&h);
}

/* ---- Work-groups ---------------------------------------------------------------------------------------------------------------- */

Test(tuning, variants_of_work_groups_are_read_as_they_are_printed)
{
    static const char *const wrong[] = { "default group=3", "default group=0",       "default group=2048",
                                         "default rows=6",  "default method=panels", "default group" };
    char text[AVAL__VARIANT_LENGTH];
    aval__variant v = { .knobs[AVAL__KNOB_GROUP] = 64, .knobs[AVAL__KNOB_OPEN] = 8 }, read;
    aval__variant_print(&v, text);
    cr_expect_str_eq(text, "default group=64 open=8");
    cr_assert(aval__variant_read(text, &read));
    cr_expect_eq(memcmp(&v, &read, sizeof v), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) cr_expect_not(aval__variant_read(wrong[i], &read), "%s", wrong[i]);
}

/* Sizes whose result is wrong are the fastest; above 64 all launch the same. */
typedef struct lying {
    int32_t group, open, smallest;
    size_t records, wrong_judged;
} lying;

static int record_lying(void *user, const aval__variant *variant, uint64_t *signature)
{
    lying *l = user;
    l->group = variant->knobs[AVAL__KNOB_GROUP];
    l->open = variant->knobs[AVAL__KNOB_OPEN];
    l->records++;
    if (l->group < l->smallest) l->smallest = l->group;
    *signature = (uint64_t)(l->group < 64 ? l->group : 64) + 1;
    return AVAL_OK;
}

static int judge_lying(void *user, bool *right)
{
    lying *l = user;
    *right = l->group != 8;
    l->wrong_judged += !*right;
    return AVAL_OK;
}

static int time_lying(void *user, size_t rounds, double *seconds)
{
    const lying *l = user;
    (void)rounds;
    *seconds = l->group == 8 ? 1e-6 : l->group == 32 ? 1e-4 : 1e-3;
    return AVAL_OK;
}

static aval__choice pick_lying(lying *l, int kind, uint32_t group)
{
    const aval_device_info info = { .size = sizeof info, .name = "fake", .kind = (uint32_t)kind, .group = group, .max_group = 128 };
    const aval__contest contest = { .user = l, .record = record_lying, .judge = judge_lying, .time = time_lying };
    aval__choice choice = { .class = "Softmax" };
    *l = (lying){ .smallest = INT32_MAX };
    cr_assert_eq(aval__tuning_pick_groups(&info, &contest, 60, &choice), AVAL_OK, "%s", aval_error());
    return choice;
}

Test(tuning, work_groups_are_the_fastest_of_those_that_are_right)
{
    lying l;
    aval__choice choice = pick_lying(&l, AVAL_DEVICE_CPU, 1);
    cr_expect_eq(choice.tried.count, 4, "1, 8, 32, and one of the rest, which launch the same; found %zu", choice.tried.count);
    cr_expect_eq(choice.tried.at[choice.best].variant.knobs[AVAL__KNOB_GROUP], 32);
    cr_expect_eq(l.wrong_judged, 1);
    cr_expect_eq(l.smallest, 1);
    aval__choice_release(&choice);
}

Test(tuning, single_work_items_are_not_tried_where_they_would_take_seconds)
{
    lying l;
    aval__choice choice = pick_lying(&l, AVAL_DEVICE_GPU, 64);
    cr_expect_eq(l.smallest, 8);
    cr_expect_eq(choice.tried.at[0].variant.knobs[AVAL__KNOB_GROUP], 64, "as it is untuned");
    aval__choice_release(&choice);
}
