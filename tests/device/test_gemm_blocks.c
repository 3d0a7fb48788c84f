/* Convolutions whose images or results have their channels in blocks: the same as without, which test_gemm.c holds against a double loop. */
#include "harness.h"

#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(gemm_blocks);

/* Rows of [rows, n] in blocks, [rows / block][n][block]: where element `at` lies then. */
static int64_t place_of(int64_t at, int64_t n, int64_t block)
{
    if (block == 0) return at;
    return (at / n / block * n + at % n) * block + at / n % block;
}

/* Multiples of 1/4 whose sums are exact, so that no order of adding shows. */
static double number(int64_t i, int64_t salt)
{
    return (double)((i * 7919 + salt) % 13 % 9 - 4) / 4;
}

static placed filled(harness *h, int type, int64_t count, int64_t n, int64_t block, int64_t salt)
{
    double *data = malloc((size_t)count * sizeof *data);
    unsigned char *raw = malloc((size_t)count * aval_type_bytes(type));
    for (int64_t i = 0; i < count; i++) data[place_of(i, n, block)] = number(i, salt);
    aval__convert(raw, type, data, AVAL_DOUBLE, (size_t)count);
    placed p = harness_tensor(h, type, 3, count);
    harness_write(h, &p, raw);
    free(data);
    free(raw);
    return p;
}

/* c, its rows one after the other; count elements, which the caller frees. */
static double *product(harness *h, const aval_gemm *gemm, int type, unsigned packed)
{
    aval_gemm g = *gemm;
    const int64_t places = g.b.patches->in[0] * g.b.patches->in[1] * g.b.patches->in[2], count = g.batch * g.m * g.n;
    placed a = filled(h, type, g.m * g.k, 1, 0, 1), b = filled(h, type, g.batch * g.b.batch_stride, places, g.b_block, 2),
           c = filled(h, type, count, g.n, g.c_block, 3);
    double *found = malloc((size_t)count * sizeof *found), *rows = malloc((size_t)count * sizeof *rows);
    unsigned char *raw = malloc((size_t)count * aval_type_bytes(type));
    g.a.tensor = &a.tensor;
    g.b.tensor = &b.tensor;
    g.c.tensor = &c.tensor;
    const aval__gemm_provider *provider = g.b_block > 0 || g.c_block > 0 ? &aval__gemm_patches : &aval__gemm_tiles;
    cr_assert_eq(harness_gemm_packed(h, provider, &g, type, packed), AVAL_OK, "%s", aval_error());
    harness_read(h, &c, raw);
    aval__convert(found, AVAL_DOUBLE, raw, type, (size_t)count);
    for (int64_t i = 0; i < count; i++) rows[i] = found[place_of(i, g.n, g.c_block)];
    clReleaseMemObject(a.buffer);
    clReleaseMemObject(b.buffer);
    clReleaseMemObject(c.buffer);
    free(found);
    free(raw);
    return rows;
}

/* Blocks of vectors, of parts of them and of several, and of none; windows that fill tiles and that leave some over; too few for one; copied images. */
Test(gemm_blocks, convolve_the_same_as_channels_one_after_the_other)
{
    static const struct {
        int64_t channels, maps, batch, in[2], kernel, stride, pad, dilation, blocks[2];
    } cases[] = {
        { 32, 48, 1, { 13, 14 }, 1, 1, 0, 1, { 16, 16 } },  { 32, 80, 2, { 7, 7 }, 1, 1, 0, 1, { 16, 16 } },
        { 48, 64, 1, { 2, 3 }, 1, 1, 0, 1, { 16, 16 } },    { 24, 40, 1, { 9, 7 }, 1, 1, 0, 1, { 8, 8 } },
        { 12, 36, 3, { 5, 15 }, 3, 1, 1, 1, { 4, 4 } },     { 3, 32, 1, { 23, 29 }, 3, 2, 1, 1, { 0, 16 } },
        { 32, 20, 1, { 13, 14 }, 1, 1, 0, 1, { 16, 0 } },   { 32, 48, 1, { 11, 30 }, 1, 2, 0, 1, { 16, 16 } },
        { 16, 32, 20, { 9, 8 }, 3, 1, 1, 1, { 16, 32 } },   { 6, 15, 2, { 12, 17 }, 2, 3, 0, 1, { 3, 5 } },
        { 16, 48, 1, { 17, 19 }, 3, 1, -1, 2, { 16, 24 } }, { 1, 16, 1, { 30, 31 }, 5, 2, 2, 1, { 0, 16 } },
        { 8, 8, 1, { 1, 40 }, 1, 1, 0, 1, { 0, 4 } },
    };
    const int types[] = { AVAL_FLOAT, AVAL_DOUBLE, AVAL_FLOAT16 };
    harness h;
    harness_open(&h);
    if (aval__device_info(h.device)->kind != AVAL_DEVICE_CPU) cr_skip_test("patches computes on CPUs");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0] * 6; i++) {
        const int64_t kernel = cases[i / 6].kernel, stride = cases[i / 6].stride, pad = cases[i / 6].pad, dilation = cases[i / 6].dilation;
        const int type = types[i % 3];
        if (type == AVAL_DOUBLE && !aval__device_info(h.device)->fp64) continue;
        aval_patches form = { .channels = cases[i / 6].channels,
                              .in = { 1, cases[i / 6].in[0], cases[i / 6].in[1] },
                              .kernel = { 1, kernel, kernel },
                              .stride = { 1, stride, stride },
                              .pad = { 0, pad, pad },
                              .dilation = { 1, dilation, dilation },
                              .out = { 1 } };
        for (int axis = 1; axis < 3; axis++) form.out[axis] = (form.in[axis] + 2 * pad - (kernel - 1) * dilation - 1) / stride + 1;
        aval_gemm g = { .size = sizeof g,
                        .m = cases[i / 6].maps,
                        .n = form.out[1] * form.out[2],
                        .k = form.channels * kernel * kernel,
                        .batch = cases[i / 6].batch,
                        .alpha = i % 2 ? 0.5 : 1,
                        .beta = i % 6 > 2 ? 0.25 : 0,
                        .a = { .ld = form.channels * kernel * kernel },
                        .b = { .patches = &form, .batch_stride = form.channels * form.in[1] * form.in[2] } };
        g.c.ld = g.n;
        g.c.batch_stride = g.m * g.n;
        double *wanted = product(&h, &g, type, 0);
        g.b_block = cases[i / 6].blocks[0];
        g.c_block = cases[i / 6].blocks[1];
        cr_assert(aval__gemm_patches.takes_blocks(aval__device_info(h.device), &g, type), "case %zu", i);
        for (unsigned packed = 0; packed < 2; packed++) {
            double *found = product(&h, &g, type, packed);
            for (int64_t j = 0; j < g.batch * g.m * g.n; j++)
                cr_assert_eq(found[j], wanted[j], "case %zu, packed %u: element %lld is %g, expected %g", i, packed, (long long)j, found[j],
                             wanted[j]);
            free(found);
        }
        free(wanted);
    }
    harness_close(&h);
}

Test(gemm_blocks, that_reach_over_several_groups_are_not_taken)
{
    aval_patches form = {
        .channels = 8, .in = { 1, 9, 9 }, .kernel = { 1, 1, 1 }, .stride = { 1, 1, 1 }, .dilation = { 1, 1, 1 }, .out = { 1, 9, 9 }
    };
    const aval_device_info cpu = { .size = sizeof cpu, .kind = AVAL_DEVICE_CPU, .group = 1, .max_group = 256, .name = "fake", .fp64 = 1 };
    aval_gemm g = { .size = sizeof g, .m = 16, .n = 81, .k = 8, .batch = 1, .alpha = 1, .b_block = 8, .c_block = 16, .a = { .ld = 8 } };
    g.b = (aval_operand){ .patches = &form, .batch_stride = 8 * 81 };
    g.c = (aval_operand){ .ld = 81, .batch_stride = 16 * 81 };
    cr_expect(aval__gemm_patches.takes_blocks(&cpu, &g, AVAL_FLOAT));
    cr_expect_not(aval__gemm_patches.takes_blocks(&cpu, &g, AVAL_INT32));
    g.b_block = 16;
    cr_expect_not(aval__gemm_patches.takes_blocks(&cpu, &g, AVAL_FLOAT));
    g.b_block = 8;
    g.c_block = 32;
    cr_expect_not(aval__gemm_patches.takes_blocks(&cpu, &g, AVAL_FLOAT));
    g.c_block = 16;
    form.in[1] = form.out[1] = form.in[2] = form.out[2] = 1 << 14;
    g.n = g.c.ld = 1 << 28;
    cr_expect_not(aval__gemm_patches.takes_blocks(&cpu, &g, AVAL_FLOAT), "an image of 2^31 elements");
}
