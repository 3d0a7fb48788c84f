/* Matrix products of every provider against a double loop: transposes, batches, sums, offsets, scales, types, patches. */
#include "harness.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct product {
    int64_t m, n, k, batch;
    unsigned a_transposed, b_transposed, c_transposed, sum, a_shared, b_shared;
    double alpha, beta;
    int64_t shift; /* extra elements before each matrix and after each row */
    int type;
    const aval_patches *patches;
    int64_t groups, block; /* block: 0, or of b's images and of c */
} product;

/* An operand on the host: its stored matrices, all in one array. */
typedef struct stored {
    double *at;
    int64_t count;
    placed device;
} stored;

/* Small multiples of 1/4, so that sums in float are exact and a wrong element cannot hide in a tolerance. */
static double number(uint64_t *state, int type)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    int64_t x = (int64_t)(*state >> 33) % 9;
    if (type == AVAL_UINT8) return (double)(x % 3);
    return aval_type_bytes(type) == 8 && type == AVAL_INT64 ? (double)(x - 4) : type == AVAL_INT32 ? (double)(x - 4) : (double)(x - 4) / 4;
}

static stored make(harness *h, uint64_t *state, int type, int64_t count)
{
    stored s = { .at = calloc((size_t)count + 1, sizeof(double)), .count = count };
    unsigned char *raw = malloc((size_t)count * aval_type_bytes(type) + 1);
    for (int64_t i = 0; i < count; i++) s.at[i] = number(state, type);
    aval__convert(raw, type, s.at, AVAL_DOUBLE, (size_t)count);
    s.device = harness_tensor(h, type, 5, count);
    harness_write(h, &s.device, raw);
    free(raw);
    return s;
}

static void release(stored *s)
{
    clReleaseMemObject(s->device.buffer);
    free(s->at);
}

static double patch_at(const aval_patches *p, const double *image, int64_t f, int64_t q)
{
    int64_t at = 0, taps = p->kernel[0] * p->kernel[1] * p->kernel[2], channel = f / taps;
    for (int64_t i = 0, below = taps, places = p->out[0] * p->out[1] * p->out[2]; i < 3; i++) {
        below /= p->kernel[i];
        places /= p->out[i];
        int64_t from = q / places % p->out[i] * p->stride[i] - p->pad[i] + f / below % p->kernel[i] * p->dilation[i];
        if (from < 0 || from >= p->in[i]) return 0;
        at = at * p->in[i] + from;
    }
    return image[channel * p->in[0] * p->in[1] * p->in[2] + at];
}

/* Where element `at` of rows of n, one after the other, lies in blocks of rows. */
static int64_t place_of(int64_t at, int64_t n, int64_t block)
{
    if (block == 0) return at;
    return (at / n / block * n + at % n) * block + at / n % block;
}

static int64_t image_count(const aval_patches *p)
{
    return p->channels * p->in[0] * p->in[1] * p->in[2];
}

static double matrix_at(const aval_operand *o, const double *data, int64_t z, int64_t row, int64_t column)
{
    const double *matrix = data + o->offset + z * o->batch_stride;
    if (o->patches != NULL) return patch_at(o->patches, matrix, o->transposed ? column : row, o->transposed ? row : column);
    return matrix[o->transposed ? column * o->ld + row : row * o->ld + column];
}

/* The operand's matrix z, as rows of what is multiplied with what: a [m, k], b [n, k]. */
static void gather(const aval_operand *o, const double *data, int64_t z, int64_t rows, int64_t columns, bool by_columns, double *to)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t q = 0; q < columns; q++) *to++ = by_columns ? matrix_at(o, data, z, q, i) : matrix_at(o, data, z, i, q);
}

static void add_products(const product *p, const double *a, const double *b, double *sums)
{
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++) {
            double sum = 0;
            for (int64_t q = 0; q < p->k; q++) sum += a[i * p->k + q] * b[j * p->k + q];
            sums[i * p->n + j] += sum;
        }
}

static void expect(const product *p, const aval_gemm *g, const stored *a, const stored *b, double *c)
{
    const int64_t batch = p->batch ? p->batch : 1, groups = p->groups ? p->groups : 1;
    double *rows = calloc((size_t)(p->m * p->k) + 1, sizeof *rows), *columns = calloc((size_t)(p->n * p->k) + 1, sizeof *columns);
    double *sums = calloc((size_t)(p->m * p->n) + 1, sizeof *sums), *images = calloc((size_t)b->count + 1, sizeof *images);
    for (int64_t i = 0; i < b->count; i++)
        images[i] = b->at[p->block > 0 ? place_of(i, p->patches->in[0] * p->patches->in[1] * p->patches->in[2], p->block) : i];
    for (int64_t z = 0; z < aval__gemm_results(g); z++) {
        memset(sums, 0, (size_t)(p->m * p->n) * sizeof *sums);
        for (int64_t i = z; i < (p->sum ? batch : z + 1); i += groups) {
            gather(&g->a, a->at, p->groups && !p->sum ? i % groups : i, p->m, p->k, false, rows);
            gather(&g->b, images, i, p->n, p->k, true, columns);
            add_products(p, rows, columns, sums);
        }
        for (int64_t i = 0; i < p->m * p->n; i++) {
            int64_t row = i / p->n, column = i % p->n;
            int64_t at = g->c.offset + z * g->c.batch_stride + (p->c_transposed ? column * g->c.ld + row : row * g->c.ld + column);
            double *to = c + place_of(at, p->n, p->block);
            *to = p->alpha * sums[i] + (p->beta != 0 ? p->beta * *to : 0);
        }
    }
    free(rows);
    free(columns);
    free(sums);
    free(images);
}

/* What c becomes, from equal numbers for every provider, and packed or not: computed once a product, which takes longer than all of them. */
static void expect_once(const product *p, const aval_gemm *g, const stored *a, const stored *b, stored *c)
{
    static struct {
        product of;
        aval_patches patches;
        double *c;
    } last;
    const aval_patches none = { 0 }, *patches = p->patches == NULL ? &none : p->patches;
    const size_t bytes = (size_t)c->count * sizeof *c->at;
    if (last.c == NULL || memcmp(&last.of, p, sizeof *p) != 0 || memcmp(&last.patches, patches, sizeof *patches) != 0) {
        expect(p, g, a, b, c->at);
        free(last.c);
        last.c = malloc(bytes + 1);
        last.of = *p;
        last.patches = *patches;
        memcpy(last.c, c->at, bytes);
    }
    memcpy(c->at, last.c, bytes);
}

/* An operand of the given shape, stored with `shift` before each matrix and after each row; *count is what it needs. */
static aval_operand lay(const product *p, int64_t rows, int64_t columns, unsigned transposed, bool shared, int64_t *count)
{
    int64_t stored_rows = transposed ? columns : rows, ld = (transposed ? rows : columns) + p->shift, batch = p->batch ? p->batch : 1;
    int64_t step = shared ? 0 : stored_rows * ld + p->shift;
    *count = p->shift + (batch - 1) * step + stored_rows * ld;
    return (aval_operand){ .offset = p->shift, .ld = ld, .batch_stride = step, .transposed = transposed };
}

static bool supported(const aval__gemm_provider *provider, const aval_device_info *info, const aval_gemm *g, int type, unsigned packed)
{
    if (g->groups > 0 && !provider->takes_groups) return false;
    if (g->b_block > 0 && (provider->takes_blocks == NULL || !provider->takes_blocks(info, g, type))) return false;
    if (provider->supports(info, g, type) == AVAL_OK) return true;
    return packed != 0 && provider->supports_packed && provider->supports_packed(info, g, type, packed);
}

static void check_packed(harness *h, const aval__gemm_provider *provider, const product *p, unsigned packed)
{
    uint64_t state = 42;
    int64_t a_count, b_count, c_count;
    aval_gemm g = { .size = sizeof g,
                    .m = p->m,
                    .n = p->n,
                    .k = p->k,
                    .batch = p->batch,
                    .alpha = p->alpha,
                    .beta = p->beta,
                    .sum = p->sum,
                    .groups = p->groups,
                    .b_block = p->block,
                    .c_block = p->block };
    g.a = lay(p, p->m, p->k, p->a_transposed, p->a_shared, &a_count);
    g.b = lay(p, p->k, p->n, p->b_transposed, p->b_shared, &b_count);
    g.c = lay(p, p->m, p->n, p->c_transposed, p->sum && p->groups == 0, &c_count);
    if (p->patches != NULL) {
        g.b.patches = p->patches;
        g.b.batch_stride = p->b_shared ? 0 : image_count(p->patches) + p->shift;
        b_count = p->shift + (p->batch ? p->batch : 1) * (image_count(p->patches) + p->shift);
    }
    if (!supported(provider, aval__device_info(h->device), &g, p->type, packed)) return;
    for (int i = 0; i < 2; i++)
        if (packed >> i & 1 && provider->packed_bytes(aval__device_info(h->device), &g, p->type, i) == 0) return;
    stored a = make(h, &state, p->type, a_count), b = make(h, &state, p->type, b_count), c = make(h, &state, p->type, c_count);
    g.a.tensor = &a.device.tensor;
    g.b.tensor = &b.device.tensor;
    g.c.tensor = &c.device.tensor;
    cr_assert_eq(harness_gemm_packed(h, provider, &g, p->type, packed), AVAL_OK, "%s: %s", provider->name, aval_error());
    expect_once(p, &g, &a, &b, &c);
    unsigned char *raw = malloc((size_t)c_count * aval_type_bytes(p->type) + 1);
    double *found = malloc((size_t)(c_count + 1) * sizeof *found);
    harness_read(h, &c.device, raw);
    aval__convert(found, AVAL_DOUBLE, raw, p->type, (size_t)c_count);
    double tolerance = p->type == AVAL_FLOAT16 ? 2e-3 : p->type == AVAL_DOUBLE ? 1e-12 : provider == &aval__gemm_winograd ? 2e-4 : 1e-5;
    for (int64_t i = 0; i < c_count; i++) {
        double wanted = p->type == AVAL_UINT8 ? fmod(c.at[i], 256) : c.at[i];
        if (fabs(found[i] - wanted) <= tolerance * (1 + fabs(wanted))) continue;
        cr_assert_fail(
            "%s, packed %u, type %s, %lld x %lld x %lld, batch %lld, a%s b%s c%s%s%s, alpha %g beta %g: element %lld is %g, expected %g",
            provider->name, packed, aval_type_name(p->type), (long long)p->m, (long long)p->n, (long long)p->k, (long long)p->batch,
            p->a_transposed ? "'" : "", p->b_transposed ? "'" : "", p->c_transposed ? "'" : "", p->sum ? ", summed" : "",
            p->patches ? ", patches" : "", p->alpha, p->beta, (long long)i, found[i], wanted);
    }
    free(raw);
    free(found);
    release(&a);
    release(&b);
    release(&c);
}

/* By a provider as a product alone, and with operands that were packed before. */
static void check(harness *h, const aval__gemm_provider *provider, const product *p)
{
    for (unsigned packed = 0; packed < (provider->packed_bytes ? 4u : 1u); packed++) check_packed(h, provider, p, packed);
}

static const aval__gemm_provider *const providers[] = { &aval__gemm_clblast,  &aval__gemm_groups,  &aval__gemm_direct,
                                                        &aval__gemm_winograd, &aval__gemm_patches, &aval__gemm_tiles };
#define N_PROVIDERS (sizeof providers / sizeof providers[0])

static void check_all(const product *products, size_t count)
{
    harness h;
    harness_open(&h);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < N_PROVIDERS; j++) check(&h, providers[j], &products[i]);
    }
    harness_close(&h);
}
#define CHECK_ALL(products) check_all(products, sizeof(products) / sizeof(products)[0])

static const struct {
    int64_t m, n, k;
} shapes[] = { { 1, 1, 1 },    { 5, 3, 2 },     { 1, 100, 64 },   { 100, 1, 33 }, { 16, 16, 16 },  { 31, 47, 300 }, { 14, 32, 257 },
               { 64, 10, 96 }, { 20, 16, 5 },   { 9, 3, 40 },     { 3, 200, 40 }, { 1, 1000, 16 }, { 6, 128, 9 },   { 33, 13, 70 },
               { 5, 61, 66 },  { 1, 1000, 77 }, { 130, 10, 513 }, { 28, 32, 20 }, { 50, 64, 70 },  { 18, 96, 33 },  { 38, 40, 400 } };

Test(gemm, agrees_with_a_double_loop_for_every_shape_and_transposition)
{
    harness h;
    harness_open(&h);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        for (unsigned forms = 0; forms < 8; forms++) {
            const product p = { .m = shapes[s].m,
                                .n = shapes[s].n,
                                .k = shapes[s].k,
                                .a_transposed = forms & 1,
                                .b_transposed = forms >> 1 & 1,
                                .c_transposed = forms >> 2,
                                .alpha = 1,
                                .shift = (int64_t)(forms % 3),
                                .type = AVAL_FLOAT };
            for (size_t j = 0; j < N_PROVIDERS; j++) check(&h, providers[j], &p);
        }
    }
    harness_close(&h);
}

Test(gemm, agrees_for_every_storage_type)
{
    static const int types[] = { AVAL_FLOAT, AVAL_DOUBLE, AVAL_FLOAT16, AVAL_INT32, AVAL_INT64, AVAL_UINT8 };
    harness h;
    harness_open(&h);
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        for (unsigned forms = 0; forms < 4; forms++) {
            const product small = {
                .m = 5, .n = 7, .k = 9, .a_transposed = forms & 1, .b_transposed = forms >> 1, .alpha = 1, .beta = 1, .type = types[t]
            };
            const product large = { .m = 33,
                                    .n = 49,
                                    .k = 270,
                                    .a_transposed = forms & 1,
                                    .b_transposed = forms >> 1,
                                    .alpha = 2,
                                    .beta = 1,
                                    .type = types[t],
                                    .shift = 1 };
            for (size_t j = 0; j < N_PROVIDERS; j++) {
                check(&h, providers[j], &small);
                check(&h, providers[j], &large);
            }
        }
    }
    harness_close(&h);
}

Test(gemm, scales_and_adds_to_what_c_holds)
{
    static const product products[] = {
        { .m = 40, .n = 50, .k = 300, .alpha = 0.5, .beta = -2, .type = AVAL_FLOAT, .shift = 3 },
        { .m = 3, .n = 4, .k = 5, .alpha = -1, .beta = 0.25, .type = AVAL_FLOAT },
        { .m = 40, .n = 50, .k = 0, .alpha = 1, .beta = 0.5, .type = AVAL_FLOAT },
        { .m = 40, .n = 50, .k = 0, .alpha = 1, .beta = 0, .type = AVAL_FLOAT },
    };
    CHECK_ALL(products);
}

Test(gemm, loops_over_batches_and_sums_them_on_request)
{
    static const product products[] = {
        { .m = 30, .n = 40, .k = 50, .batch = 3, .alpha = 1, .type = AVAL_FLOAT, .shift = 2 },
        { .m = 30, .n = 40, .k = 50, .batch = 3, .alpha = 1, .type = AVAL_FLOAT, .a_shared = 1, .b_transposed = 1 },
        { .m = 30, .n = 40, .k = 50, .batch = 3, .alpha = 1, .type = AVAL_FLOAT, .b_shared = 1, .a_transposed = 1 },
        { .m = 30, .n = 40, .k = 50, .batch = 3, .alpha = 2, .beta = 1, .sum = 1, .type = AVAL_FLOAT, .b_transposed = 1 },
        { .m = 30, .n = 40, .k = 50, .batch = 3, .alpha = 1, .sum = 1, .type = AVAL_FLOAT16 },
        { .m = 3, .n = 4, .k = 5, .batch = 4, .alpha = 1, .beta = 1, .sum = 1, .type = AVAL_FLOAT, .shift = 1 },
        { .m = 3, .n = 4, .k = 5, .batch = 4, .alpha = 1, .a_transposed = 1, .type = AVAL_FLOAT },
        { .m = 3, .n = 4, .k = 40, .batch = 4, .alpha = 1, .b_transposed = 1, .sum = 1, .type = AVAL_FLOAT },
    };
    CHECK_ALL(products);
}

/* 40 MB of packed panels: more than one round of packing, the last one shorter. */
Test(gemm, packs_a_large_batch_in_rounds)
{
    static const product products[] = {
        { .m = 64, .n = 256, .k = 600, .batch = 57, .alpha = 1, .sum = 1, .beta = 1, .type = AVAL_FLOAT },
        { .m = 28, .n = 64, .k = 900, .batch = 101, .alpha = 1, .type = AVAL_FLOAT, .a_shared = 1 },
    };
    harness h;
    harness_open(&h);
    /* llvmpipe (Mesa 22.3) silently ends all loops of a work-item after 65,535 iterations together. */
    if (strstr(aval__device_info(h.device)->name, "llvmpipe") != NULL) {
        harness_close(&h);
        cr_skip_test("llvmpipe cuts long loops short");
    }
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++) check(&h, &aval__gemm_tiles, &products[i]);
    harness_close(&h);
}

Test(gemm, nothing_is_launched_where_c_is_empty)
{
    static const product products[] = { { .m = 0, .n = 4, .k = 4, .alpha = 1, .type = AVAL_FLOAT },
                                        { .m = 4, .n = 0, .k = 4, .alpha = 1, .type = AVAL_FLOAT } };
    harness h;
    harness_open(&h);
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < N_PROVIDERS; j++) check(&h, providers[j], &products[i]);
    }
    cr_expect_eq(h.launches, 0);
    harness_close(&h);
}

Test(gemm, reads_patches_of_an_image_with_strides_pads_and_dilation)
{
    static const aval_patches forms[] = {
        { .channels = 3,
          .in = { 1, 9, 11 },
          .kernel = { 1, 3, 3 },
          .stride = { 1, 1, 1 },
          .pad = { 0, 1, 1 },
          .dilation = { 1, 1, 1 },
          .out = { 1, 9, 11 } },
        { .channels = 2,
          .in = { 1, 12, 10 },
          .kernel = { 1, 5, 2 },
          .stride = { 1, 2, 3 },
          .pad = { 0, 2, 0 },
          .dilation = { 1, 1, 2 },
          .out = { 1, 6, 3 } },
        { .channels = 1, .in = { 1, 4, 4 }, .kernel = { 1, 1, 1 }, .stride = { 1, 1, 1 }, .dilation = { 1, 1, 1 }, .out = { 1, 4, 4 } },
        { .channels = 2,
          .in = { 5, 6, 7 },
          .kernel = { 3, 2, 2 },
          .stride = { 2, 1, 1 },
          .pad = { 1, -1, 1 },
          .dilation = { 1, 2, 1 },
          .out = { 3, 3, 8 } },
        { .channels = 3,
          .in = { 1, 7, 6 },
          .kernel = { 1, 3, 3 },
          .stride = { 1, 1, 1 },
          .pad = { 0, 1, 1 },
          .dilation = { 1, 1, 1 },
          .out = { 1, 7, 6 } },
        { .channels = 8,
          .in = { 1, 9, 37 },
          .kernel = { 1, 3, 3 },
          .stride = { 1, 1, 2 },
          .pad = { 0, 1, 1 },
          .dilation = { 1, 1, 1 },
          .out = { 1, 9, 19 } },
        { .channels = 20, .in = { 2, 4, 4 }, .kernel = { 2, 2, 2 }, .stride = { 1, 1, 1 }, .dilation = { 1, 1, 1 }, .out = { 1, 3, 3 } },
    };
    static const int64_t rows[] = { 2, 41 };
    harness h;
    harness_open(&h);
    for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
        for (unsigned variant = 0; variant < 8; variant++) {
            const aval_patches *form = &forms[f];
            int64_t filter = form->channels * form->kernel[0] * form->kernel[1] * form->kernel[2];
            int64_t positions = form->out[0] * form->out[1] * form->out[2];
            bool transposed = variant & 1;
            const product p = { .m = rows[variant >> 1 & 1],
                                .n = transposed ? filter : positions,
                                .k = transposed ? positions : filter,
                                .b_transposed = transposed,
                                .batch = 3,
                                .sum = variant >> 2,
                                .a_shared = !transposed,
                                .alpha = 1,
                                .shift = 1,
                                .type = f == 1 ? AVAL_DOUBLE : AVAL_FLOAT,
                                .patches = &forms[f] };
            for (size_t j = 0; j < N_PROVIDERS; j++) check(&h, providers[j], &p);
        }
    }
    harness_close(&h);
}

/* Images whose last squares are cut, with pads, maps that are no whole vectors, and blocks of some rows of them. */
Test(gemm, transforms_squares_of_images_with_small_filters)
{
    static const struct {
        int64_t channels, maps, batch, in[2], kernel, pad[2], out[2];
    } cases[] = {
        { 16, 16, 5, { 16, 16 }, 3, { 1, 1 }, { 16, 16 } },  { 20, 33, 3, { 23, 19 }, 3, { 1, 0 }, { 23, 17 } },
        { 33, 18, 7, { 11, 14 }, 5, { 2, 2 }, { 11, 14 } },  { 17, 50, 9, { 10, 13 }, 5, { 4, 3 }, { 14, 15 } },
        { 16, 35, 4, { 17, 18 }, 3, { -1, 2 }, { 13, 20 } }, { 64, 16, 1, { 40, 61 }, 3, { 1, 1 }, { 40, 61 } },
        { 40, 100, 1, { 14, 13 }, 3, { 1, 1 }, { 14, 13 } }, { 16, 200, 1, { 29, 27 }, 3, { 1, 1 }, { 29, 27 } },
    };
    harness h;
    harness_open(&h);
    if (aval__device_info(h.device)->kind != AVAL_DEVICE_CPU || aval__device_info(h.device)->group > 1) {
        harness_close(&h);
        cr_skip_test("winograd is for CPU devices");
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int64_t kernel = cases[i].kernel;
        const aval_patches form = { .channels = cases[i].channels,
                                    .in = { 1, cases[i].in[0], cases[i].in[1] },
                                    .kernel = { 1, kernel, kernel },
                                    .stride = { 1, 1, 1 },
                                    .pad = { 0, cases[i].pad[0], cases[i].pad[1] },
                                    .dilation = { 1, 1, 1 },
                                    .out = { 1, cases[i].out[0], cases[i].out[1] } };
        const product p = { .m = cases[i].maps,
                            .n = cases[i].out[0] * cases[i].out[1],
                            .k = cases[i].channels * kernel * kernel,
                            .batch = cases[i].batch,
                            .a_shared = true,
                            .alpha = 0.5,
                            .type = AVAL_FLOAT,
                            .patches = &form };
        const size_t launches = h.launches;
        check(&h, &aval__gemm_winograd, &p);
        cr_expect_gt(h.launches, launches, "case %zu was left out", i);
    }
    harness_close(&h);
}

/* Rows of windows that fill tiles, and those that leave one or most of one over; maps that fill a vector, three, or panels but for some. */
Test(gemm, filters_that_are_packed_meet_windows_in_every_height_of_a_tile)
{
    static const struct {
        int64_t channels, maps, batch, in[2], kernel, stride, pad, type;
        double beta;
    } cases[] = {
        { 70, 100, 1, { 13, 13 }, 1, 1, 0, AVAL_FLOAT, 0 },  { 70, 100, 2, { 13, 13 }, 1, 1, 0, AVAL_FLOAT, 0.5 },
        { 90, 16, 3, { 5, 3 }, 1, 1, 0, AVAL_FLOAT, 0 },     { 90, 65, 1, { 1, 9 }, 1, 1, 0, AVAL_FLOAT, 0 },
        { 40, 48, 20, { 7, 7 }, 3, 1, 1, AVAL_FLOAT, 0 },    { 40, 33, 2, { 11, 13 }, 3, 1, 1, AVAL_FLOAT, 1 },
        { 30, 31, 1, { 26, 27 }, 5, 2, 2, AVAL_FLOAT, 0 },   { 60, 20, 1, { 9, 18 }, 3, 2, 0, AVAL_FLOAT, 0 },
        { 70, 34, 1, { 13, 13 }, 1, 1, 0, AVAL_FLOAT16, 0 }, { 70, 34, 2, { 13, 13 }, 3, 1, 1, AVAL_DOUBLE, 0.25 },
        { 200, 5, 1, { 10, 10 }, 1, 1, 0, AVAL_FLOAT, 0 },
    };
    harness h;
    harness_open(&h);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int64_t kernel = cases[i].kernel, stride = cases[i].stride, pad = cases[i].pad;
        aval_patches form = { .channels = cases[i].channels,
                              .in = { 1, cases[i].in[0], cases[i].in[1] },
                              .kernel = { 1, kernel, kernel },
                              .stride = { 1, stride, stride },
                              .pad = { 0, pad, pad },
                              .dilation = { 1, 1, 1 },
                              .out = { 1 } };
        for (int axis = 1; axis < 3; axis++) form.out[axis] = (form.in[axis] + 2 * pad - kernel) / stride + 1;
        const product p = { .m = cases[i].maps,
                            .n = form.out[1] * form.out[2],
                            .k = cases[i].channels * kernel * kernel,
                            .batch = cases[i].batch,
                            .a_shared = true,
                            .alpha = 0.5,
                            .beta = cases[i].beta,
                            .type = (int)cases[i].type,
                            .patches = &form };
        check(&h, &aval__gemm_patches, &p);
    }
    harness_close(&h);
}

/* Planes in bands, in runs and alone; one map to more than a tile has; whole vectors of windows and less. */
Test(gemm, convolves_groups_of_few_channels)
{
    static const aval_patches forms[] = {
        { 1, { 1, 7, 7 }, { 1, 3, 3 }, { 1, 1, 1 }, { 0, 1, 1 }, { 1, 1, 1 }, { 1, 7, 7 }, NULL },
        { 1, { 1, 130, 45 }, { 1, 3, 3 }, { 1, 2, 2 }, { 0, 1, 1 }, { 1, 1, 1 }, { 1, 65, 23 }, NULL },
        { 2, { 1, 90, 80 }, { 1, 5, 3 }, { 1, 1, 1 }, { 0, 2, 1 }, { 1, 1, 1 }, { 1, 90, 80 }, NULL },
        { 3, { 1, 9, 40 }, { 1, 2, 4 }, { 1, 3, 2 }, { 0, -1, 3 }, { 1, 2, 3 }, { 1, 4, 19 }, NULL },
        { 1, { 1, 1, 50 }, { 1, 1, 3 }, { 1, 1, 3 }, { 0, 0, 2 }, { 1, 1, 2 }, { 1, 1, 17 }, NULL },
        { 5, { 6, 5, 7 }, { 2, 3, 2 }, { 1, 2, 1 }, { 1, 1, 0 }, { 1, 1, 1 }, { 7, 3, 6 }, NULL },
        { 9, { 1, 6, 6 }, { 1, 1, 1 }, { 1, 4, 1 }, { 0, 0, 0 }, { 1, 1, 1 }, { 1, 2, 6 }, NULL },
    };
    static const int64_t maps[] = { 1, 2, 3, 11 };
    harness h;
    harness_open(&h);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0] * 16; i++) {
        const aval_patches *form = &forms[i / 16];
        const int64_t depth = form->channels * form->kernel[0] * form->kernel[1] * form->kernel[2],
                      windows = form->out[0] * form->out[1] * form->out[2];
        const bool filters = i & 1;
        const product p = { .m = maps[i / 4 % 4],
                            .n = filters ? depth : windows,
                            .k = filters ? windows : depth,
                            .a_transposed = !filters && i & 4,
                            .b_transposed = filters,
                            .batch = i & 2 ? 42 : 18,
                            .groups = i & 2 ? 42 : 6,
                            .sum = filters,
                            .alpha = 1 + 0.5 * (double)(i & 1),
                            .beta = i & 2 ? 0.5 : 0,
                            .type = (int[]){ AVAL_FLOAT, AVAL_DOUBLE, AVAL_FLOAT16 }[i % 3],
                            .patches = form };
        check(&h, &aval__gemm_direct, &p);
    }
    harness_close(&h);
}

/* Rows of one tile, of several that share windows, and shorter ones; windows that compilers know and wide ones; whole planes and parts of them. */
Test(gemm, convolves_each_channel_of_blocks_by_itself)
{
    static const aval_patches forms[] = {
        { 1, { 1, 7, 7 }, { 1, 3, 3 }, { 1, 1, 1 }, { 0, 1, 1 }, { 1, 1, 1 }, { 1, 7, 7 }, NULL },
        { 1, { 1, 130, 45 }, { 1, 3, 3 }, { 1, 2, 2 }, { 0, 1, 1 }, { 1, 1, 1 }, { 1, 65, 23 }, NULL },
        { 1, { 1, 19, 80 }, { 1, 5, 9 }, { 1, 1, 1 }, { 0, 2, 4 }, { 1, 1, 1 }, { 1, 19, 80 }, NULL },
        { 1, { 1, 9, 40 }, { 1, 2, 4 }, { 1, 3, 2 }, { 0, -1, 3 }, { 1, 2, 3 }, { 1, 4, 19 }, NULL },
        { 1, { 1, 1, 50 }, { 1, 1, 3 }, { 1, 1, 3 }, { 0, 0, 2 }, { 1, 1, 2 }, { 1, 1, 17 }, NULL },
        { 1, { 6, 5, 3 }, { 2, 3, 2 }, { 1, 2, 1 }, { 1, 1, 0 }, { 1, 1, 1 }, { 7, 3, 2 }, NULL },
    };
    harness h;
    harness_open(&h);
    for (size_t i = 0; i < sizeof forms / sizeof forms[0] * 12; i++) {
        const aval_patches *form = &forms[i / 12];
        const product p = { .m = 1,
                            .n = form->out[0] * form->out[1] * form->out[2],
                            .k = form->kernel[0] * form->kernel[1] * form->kernel[2],
                            .a_transposed = i & 1,
                            .batch = i & 1 ? 96 : 48,
                            .groups = 48,
                            .block = 4 << i / 4 % 3,
                            .alpha = 1 + 0.5 * (double)(i & 1),
                            .beta = i & 2 ? 0.5 : 0,
                            .type = (int[]){ AVAL_FLOAT, AVAL_DOUBLE, AVAL_FLOAT16 }[i % 3],
                            .patches = form };
        check(&h, &aval__gemm_direct, &p);
    }
    harness_close(&h);
}

Test(gemm, repeats_bit_for_bit)
{
    harness h;
    harness_open(&h);
    enum { M = 50, N = 60, K = 700 };
    float *a = malloc(sizeof(float) * M * K), *b = malloc(sizeof(float) * K * N), *first = malloc(sizeof(float) * M * N),
          *again = malloc(sizeof(float) * M * N);
    for (int i = 0; i < M * K; i++) a[i] = sinf((float)i);
    for (int i = 0; i < K * N; i++) b[i] = cosf((float)i);
    placed pa = harness_tensor(&h, AVAL_FLOAT, 0, M * K), pb = harness_tensor(&h, AVAL_FLOAT, 0, K * N),
           pc = harness_tensor(&h, AVAL_FLOAT, 0, M * N);
    harness_write(&h, &pa, a);
    harness_write(&h, &pb, b);
    const aval_gemm g = { .size = sizeof g,
                          .m = M,
                          .n = N,
                          .k = K,
                          .alpha = 1,
                          .a = { .tensor = &pa.tensor, .ld = K },
                          .b = { .tensor = &pb.tensor, .ld = N },
                          .c = { .tensor = &pc.tensor, .ld = N } };
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(harness_gemm(&h, &aval__gemm_tiles, &g, AVAL_FLOAT), AVAL_OK, "%s", aval_error());
        harness_read(&h, &pc, i == 0 ? first : again);
        if (i > 0) cr_expect_eq(memcmp(first, again, sizeof(float) * M * N), 0);
    }
    free(a), free(b), free(first), free(again);
    clReleaseMemObject(pa.buffer), clReleaseMemObject(pb.buffer), clReleaseMemObject(pc.buffer);
    harness_close(&h);
}
