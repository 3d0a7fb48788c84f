/* docs/devices.md tells what aval chooses for devices of each vendor: the table there is made here, from devices that exist as numbers only, and must be equal.
 * AVAL_WRITE_DOCS=1 writes it anew. */
#include "harness.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE AVAL_TEST_SOURCE_DIR "/docs/devices.md"
#define BEGIN "<!-- made by tests/device/test_choices.c -->\n"
#define END "<!-- to here -->\n"

/* As the vendors' drivers describe them. */
#define GPU(title, units, fp64_, fp16_, unified, group, local_kb) \
    { \
        .size = sizeof(aval_device_info), .name = title, .kind = AVAL_DEVICE_GPU, .compute_units = units, .fp64 = fp64_, .fp16 = fp16_, \
        .unified_memory = unified, .float_vector_width = 1, .max_group = group, .local_bytes = (local_kb) << 10 \
    }
#define CPU(title, units, floats) \
    { \
        .size = sizeof(aval_device_info), .name = title, .kind = AVAL_DEVICE_CPU, .compute_units = units, .fp64 = 1, .unified_memory = 1, \
        .float_vector_width = floats, .max_group = 4096, .local_bytes = 256 << 10 \
    }
static const aval_device_info devices[] = {
    GPU("AMD, RX 6800 (ROCm, rusticl)", 30, 1, 1, 0, 1024, 64),
    GPU("NVIDIA, RTX 3060", 28, 1, 0, 0, 1024, 48),
    GPU("Intel, Iris Xe of 96 units", 96, 0, 1, 1, 512, 64),
    GPU("ARM, Mali-G78 of 14 cores", 14, 0, 1, 1, 512, 32),
    GPU("Apple, M1 (OpenCL 1.2)", 8, 0, 0, 1, 256, 32),
    GPU("a small one of work-groups of 32", 2, 0, 0, 1, 32, 16),
    CPU("CPU with AVX2, PoCL", 8, 8),
    CPU("CPU with AVX-512, PoCL", 8, 16),
};
#define N_DEVICES (sizeof devices / sizeof devices[0])

static const aval_patches window = { .channels = 64,
                                     .in = { 1, 56, 56 },
                                     .kernel = { 1, 3, 3 },
                                     .stride = { 1, 1, 1 },
                                     .pad = { 0, 1, 1 },
                                     .dilation = { 1, 1, 1 },
                                     .out = { 1, 56, 56 } };
static const struct {
    const char *title;
    int type;
    int64_t m, n, k, batch;
    unsigned sum, a_shared;
    const aval_patches *patches; /* of b */
} cases[] = {
    { "1024 x 1024 x 1024", AVAL_FLOAT, 1024, 1024, 1024, 1, 0, 0, NULL },
    { "the same in half", AVAL_FLOAT16, 1024, 1024, 1024, 1, 0, 0, NULL },
    { "96 of 64 x 64 x 64", AVAL_FLOAT, 64, 64, 64, 96, 0, 0, NULL },
    { "1 x 1000 x 2048 in int32", AVAL_INT32, 1, 1000, 2048, 1, 0, 0, NULL },
    { "3 x 3 convolution of 8 images of 56 x 56, 64 to 64 channels", AVAL_FLOAT, 64, 56 * 56, 64 * 9, 8, 0, 1, &window },
    { "its gradient by the filters", AVAL_FLOAT, 64, 64 * 9, 56 * 56, 8, 1, 0, &window },
};
#define N_CASES (sizeof cases / sizeof cases[0])

/* ---- What a provider records --------------------------------------------------------------------------------------------------- */

typedef struct seen {
    char kernel[64]; /* of the launch that tells its arithmetic, else of the last */
    bool told;
    int64_t side, blocks, parts, items;
    size_t launches;
} seen;

static int64_t define_of(const aval_launch *l, const char *name)
{
    for (size_t i = 0; i < l->n_defines; i++) {
        if (strcmp(l->defines[i].name, name) == 0) return l->defines[i].value;
    }
    return 0;
}

static int note_launch(aval_call *call, const aval_launch *l)
{
    seen *s = call->user;
    s->launches++;
    if (s->told) return AVAL_OK;
    s->told = l->flops > 0;
    snprintf(s->kernel, sizeof s->kernel, "%s", l->kernel);
    s->side = define_of(l, "SIDE");
    s->blocks = define_of(l, "BLOCKS");
    s->items = (int64_t)(l->global[0] * l->global[1] * l->global[2]);
    s->parts = (int64_t)l->global[2];
    return AVAL_OK;
}

static const aval__call_table table = { .launch = note_launch };

static void put(char *text, size_t room, const char *format, ...)
{
    va_list args;
    size_t used = strlen(text);
    va_start(args, format);
    vsnprintf(text + used, room - used, format, args);
    va_end(args);
}

static void put_choice(char *text, size_t room, const aval_device_info *info, size_t number)
{
    aval_tensor t = { .type = cases[number].type, .rank = 1, .dims = { 1 } };
    const int64_t m = cases[number].m, n = cases[number].n, k = cases[number].k;
    const bool patches = cases[number].patches != NULL;
    const aval_gemm g = { .size = sizeof g,
                          .m = m,
                          .n = n,
                          .k = k,
                          .batch = cases[number].batch,
                          .alpha = 1,
                          .sum = cases[number].sum,
                          .a = { .tensor = &t, .ld = k, .batch_stride = cases[number].a_shared ? 0 : m * k },
                          .b = { .tensor = &t,
                                 .ld = n,
                                 .batch_stride = patches ? 64 * 56 * 56 : k * n,
                                 .transposed = patches && cases[number].sum,
                                 .patches = cases[number].patches },
                          .c = { .tensor = &t, .ld = n, .batch_stride = m * n } };
    size_t chosen;
    if (aval__gemm_choose(info, &g, t.type, 0, &chosen) < 0) {
        put(text, room, " none |");
        return;
    }
    const aval__gemm_provider *provider = aval__gemm_provider_at(chosen);
    put(text, room, " %s", provider->name);
    if (provider->record != NULL) {
        aval_tensor scratch = { .type = AVAL_UINT8, .rank = 1, .dims = { (int64_t)provider->scratch_bytes(info, &g, t.type, 0) } };
        seen s = { .launches = 0 };
        aval_call call = { .phase = AVAL_PHASE_FORWARD, .table = &table, .user = &s };
        const aval_tensor *packed[2] = { NULL, NULL };
        cr_assert_eq(provider->record(info, &g, t.type, scratch.dims[0] > 0 ? &scratch : NULL, packed, false, &call), AVAL_OK, "%s",
                     aval_error());
        if (s.side > 0) {
            put(text, room, ", %lld x %lld", (long long)(4 * s.side * s.blocks), (long long)(4 * s.side));
            put(text, room, ", %lld groups", (long long)(s.items / (s.side * s.side)));
            if (s.launches > 1) put(text, room, " in %lld parts", (long long)(cases[number].sum ? s.parts : s.parts / cases[number].batch));
        } else {
            put(text, room, " (%s)", s.kernel);
        }
    }
    put(text, room, " |");
}

static void make_table(char *text, size_t room)
{
    put(text, room,
        "| device | units | local KB | group | launches are split above | fp64 | fp16 arithmetic |\n| --- | --- | --- | --- | --- | --- | "
        "--- |\n");
    for (size_t i = 0; i < N_DEVICES; i++) {
        const aval_device_info *d = &devices[i];
        const double work = aval__usual_work(d);
        put(text, room, "| %s | %u | %llu | %u |", d->name, d->compute_units, (unsigned long long)d->local_bytes >> 10,
            aval__usual_group(d));
        if (work > 0) put(text, room, " %.0f GFLOP", work / 1e9);
        else put(text, room, " never");
        put(text, room, " | %s | %s |\n", d->fp64 ? "yes" : "no", d->fp16 ? "yes" : "no");
    }
    put(text, room, "\n| product |");
    for (size_t i = 0; i < N_DEVICES; i++) put(text, room, " %s |", devices[i].name);
    put(text, room, "\n| --- |");
    for (size_t i = 0; i < N_DEVICES; i++) put(text, room, " --- |");
    for (size_t c = 0; c < N_CASES; c++) {
        put(text, room, "\n| %s |", cases[c].title);
        for (size_t i = 0; i < N_DEVICES; i++) {
            aval_device_info info = devices[i];
            info.group = aval__usual_group(&info);
            put_choice(text, room, &info, c);
        }
    }
    put(text, room, "\n");
}

/* ---- Sub-groups ---------------------------------------------------------------------------------------------------------------- */

Test(choices, sub_groups_are_asked_for_where_the_compiler_does_not_choose)
{
    const size_t xe[] = { 8, 16, 32 }, large[] = { 32, 16 }, one[] = { 64 }, huge[] = { 4096 };
    cr_expect_eq(aval__usual_sub_group(xe, 3), 0, "the compiler takes the largest that spills nothing");
    cr_expect_eq(aval__usual_sub_group(large, 2), 16);
    cr_expect_eq(aval__usual_sub_group(one, 1), 64);
    cr_expect_eq(aval__usual_sub_group(huge, 1), 0, "no work-group has so many");
    cr_expect_eq(aval__usual_sub_group(NULL, 0), 0);
}

/* ---- The page ------------------------------------------------------------------------------------------------------------------ */

static char *read_page(void)
{
    FILE *in = fopen(PAGE, "r");
    cr_assert_not_null(in, "%s", PAGE);
    char *text = calloc(1, 1 << 16);
    cr_assert_lt(fread(text, 1, (1 << 16) - 1, in), (1 << 16) - 1);
    fclose(in);
    return text;
}

Test(choices, cpus_take_tiles_and_gpus_take_clblast_where_it_can)
{
    const aval_patches patches = {
        .channels = 1, .in = { 1, 4, 4 }, .kernel = { 1, 2, 2 }, .stride = { 1, 1, 1 }, .dilation = { 1, 1, 1 }, .out = { 1, 3, 3 }
    };
    aval_gemm g = { .size = sizeof g, .m = 4, .n = 9, .k = 4, .a.ld = 4, .b.ld = 9, .c.ld = 9 };
    aval_device_info cpu = { .size = sizeof cpu, .kind = AVAL_DEVICE_CPU, .group = 1, .max_group = 256, .name = "fake", .fp64 = 1 },
                     gpu = cpu;
    gpu.kind = AVAL_DEVICE_GPU;
    gpu.group = 256;
    gpu.local_bytes = 32 << 10;
    size_t found;
    unsetenv("AVAL_GEMM");
    cr_assert_eq(aval__gemm_choose(&cpu, &g, AVAL_FLOAT, 0, &found), AVAL_OK);
    cr_expect_str_eq(aval__gemm_provider_at(found)->name, "tiles");
    cr_assert_eq(aval__gemm_choose(&gpu, &g, AVAL_DOUBLE, 0, &found), AVAL_OK);
    cr_expect_str_eq(aval__gemm_provider_at(found)->name, "clblast");
    cr_assert_eq(aval__gemm_choose(&gpu, &g, AVAL_FLOAT16, 0, &found), AVAL_OK);
    cr_expect_str_eq(aval__gemm_provider_at(found)->name, "groups");
    g.batch = 12;
    cr_assert_eq(aval__gemm_choose(&gpu, &g, AVAL_FLOAT, 0, &found), AVAL_OK);
    cr_expect_str_eq(aval__gemm_provider_at(found)->name, "groups", "one launch instead of 12");
    g.batch = 0;
    setenv("AVAL_GEMM", "clblast", 1);
    cr_assert_eq(aval__gemm_choose(&cpu, &g, AVAL_FLOAT, 0, &found), AVAL_OK);
    cr_expect_str_eq(aval__gemm_provider_at(found)->name, "clblast");
    gpu.max_group = 32;
    cr_assert_eq(aval__gemm_choose(&gpu, &g, AVAL_FLOAT, 0, &found), AVAL_OK);
    cr_expect_str_eq(aval__gemm_provider_at(found)->name, "tiles", "CLBlast's groups are larger");
    g.b.patches = &patches;
    cr_assert_eq(aval__gemm_choose(&cpu, &g, AVAL_FLOAT, 0, &found), AVAL_OK);
    cr_expect_str_eq(aval__gemm_provider_at(found)->name, "tiles");
    g.groups = g.batch = 2;
    g.a.batch_stride = g.b.batch_stride = 16;
    cr_expect_not(aval__gemm_takes_groups(&cpu, &g, AVAL_FLOAT), "AVAL_GEMM takes none");
    unsetenv("AVAL_GEMM");
    cr_expect(aval__gemm_takes_groups(&cpu, &g, AVAL_FLOAT));
    cr_assert_eq(aval__gemm_choose(&cpu, &g, AVAL_FLOAT, 0, &found), AVAL_OK);
    cr_expect_str_eq(aval__gemm_provider_at(found)->name, "direct");
    cr_expect_not(aval__gemm_takes_groups(&gpu, &g, AVAL_FLOAT));
    g.groups = 0;
    setenv("AVAL_GEMM", "magic", 1);
    cr_expect_eq(aval__gemm_choose(&cpu, &g, AVAL_FLOAT, 0, &found), AVAL_E_ARGUMENT);
    cr_expect_not_null(strstr(aval_error(), "expected clblast, groups, direct, winograd, patches or tiles"));
    unsetenv("AVAL_GEMM");
    gpu.fp64 = 0;
    cr_expect_eq(aval__gemm_choose(&gpu, &g, AVAL_DOUBLE, 0, &found), AVAL_E_UNSUPPORTED);
}

/* Channels in blocks, each by itself: vectors of OpenCL's, one block for images and results, and sizes that are ints. */
Test(choices, direct_takes_each_channel_of_blocks_by_itself)
{
    aval_patches patches = { .channels = 1,
                             .in = { 1, 4, 4 },
                             .kernel = { 1, 3, 3 },
                             .stride = { 1, 1, 1 },
                             .pad = { 0, 1, 1 },
                             .dilation = { 1, 1, 1 },
                             .out = { 1, 4, 4 } };
    const aval_gemm whole = { .size = sizeof whole,
                              .m = 1,
                              .n = 16,
                              .k = 9,
                              .batch = 96,
                              .groups = 48,
                              .b_block = 16,
                              .c_block = 16,
                              .a = { .ld = 9, .batch_stride = 9 },
                              .b = { .patches = &patches, .batch_stride = 16 },
                              .c = { .ld = 16, .batch_stride = 16 } };
    const aval_device_info cpu = { .size = sizeof cpu, .kind = AVAL_DEVICE_CPU, .group = 1, .max_group = 256, .name = "fake", .fp64 = 1 };
    aval_device_info other = cpu;
    size_t found;
    unsetenv("AVAL_GEMM");
    for (int64_t block = 1; block <= 24; block++) {
        aval_gemm g = whole;
        g.b_block = g.c_block = block;
        cr_expect_eq(aval__gemm_direct.takes_blocks(&cpu, &g, AVAL_FLOAT), block == 4 || block == 8 || block == 16, "%d", (int)block);
    }
    cr_assert_eq(aval__gemm_choose(&cpu, &whole, AVAL_FLOAT, 0, &found), AVAL_OK);
    cr_expect_str_eq(aval__gemm_provider_at(found)->name, "direct");
    setenv("AVAL_GEMM", "tiles", 1);
    cr_expect(aval__gemm_takes_groups(&cpu, &whole, AVAL_FLOAT), "of groups that share a block none is a product by itself");
    unsetenv("AVAL_GEMM");
    aval_gemm g = whole;
    g.c_block = 8;
    cr_expect_not(aval__gemm_direct.takes_blocks(&cpu, &g, AVAL_FLOAT));
    other.group = 64;
    cr_expect_not(aval__gemm_direct.takes_blocks(&other, &whole, AVAL_FLOAT));
    patches.pad[2] = INT32_MAX / 64;
    cr_expect_not(aval__gemm_direct.takes_blocks(&cpu, &whole, AVAL_FLOAT), "16 times that are not an int");
    patches.pad[2] = 1;
    patches.stride[1] = (int64_t)1 << 40;
    cr_expect_not(aval__gemm_direct.takes_blocks(&cpu, &whole, AVAL_FLOAT));
    patches.stride[1] = 1;
    patches.in[1] = patches.in[2] = 1 << 14;
    g = whole;
    g.b.batch_stride = patches.in[1] * patches.in[2];
    cr_expect_not(aval__gemm_direct.takes_blocks(&cpu, &g, AVAL_FLOAT), "a block of 2^32 elements");
}

Test(choices, of_the_page_about_devices_are_what_is_chosen)
{
    static char table_text[1 << 15];
    unsetenv("AVAL_GEMM");
    unsetenv("AVAL_GROUP");
    make_table(table_text, sizeof table_text);
    char *page = read_page(), *begin = strstr(page, BEGIN), *end = strstr(page, END);
    cr_assert(begin != NULL && end != NULL && begin < end, "%s has no place for the table", PAGE);
    begin += strlen(BEGIN);
    const char *write = getenv("AVAL_WRITE_DOCS");
    if (write != NULL && strcmp(write, "1") == 0) {
        FILE *out = fopen(PAGE, "w");
        cr_assert_not_null(out);
        fprintf(out, "%.*s%s%s", (int)(begin - page), page, table_text, end);
        fclose(out);
    } else {
        cr_expect(strlen(table_text) == (size_t)(end - begin) && strncmp(table_text, begin, strlen(table_text)) == 0,
                  "docs/devices.md tells of other choices than these (AVAL_WRITE_DOCS=1 writes them there):\n%s", table_text);
    }
    free(page);
}
