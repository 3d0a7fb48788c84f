/* Shapes, broadcasting, and conversion of elements. */
#include "op/op.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static aval_tensor shaped(size_t rank, const int64_t *dims)
{
    aval_tensor t;
    cr_assert_eq(aval__tensor_set(&t, AVAL_FLOAT, rank, dims), AVAL_OK);
    return t;
}

#define T(...) shaped(AVAL_SHAPE(__VA_ARGS__))

Test(tensor, sizes_beyond_63_bits_bad_types_and_nine_axes_are_refused)
{
    aval_tensor t;
    cr_assert_eq(aval__tensor_set(&t, AVAL_FLOAT, AVAL_SHAPE(INT64_MAX / 4, 2)), AVAL_E_SHAPE);
    cr_assert_eq(aval__tensor_set(&t, AVAL_FLOAT, AVAL_SHAPE(INT64_MAX, INT64_MAX, 0)), AVAL_E_SHAPE);
    cr_assert_eq(aval__tensor_set(&t, AVAL_FLOAT, AVAL_SHAPE(INT64_MAX / 4)), AVAL_OK);
    cr_assert_eq(aval__tensor_set(&t, AVAL_FLOAT, AVAL_SHAPE(-2)), AVAL_E_SHAPE);
    cr_assert_eq(aval__tensor_set(&t, AVAL_FLOAT, AVAL_SHAPE(1, 1, 1, 1, 1, 1, 1, 1, 1)), AVAL_E_SHAPE);
    cr_assert_eq(aval__tensor_set(&t, AVAL_STRING, AVAL_SHAPE(1)), AVAL_E_TYPE);
    cr_assert_eq(aval__tensor_set(&t, 99, AVAL_SHAPE(1)), AVAL_E_TYPE);
    cr_assert_eq(aval__tensor_set(&t, AVAL_INT64, AVAL_SCALAR), AVAL_OK);
    cr_assert_eq(aval__tensor_bytes(&t), 8);
}

Test(broadcast, follows_numpys_rule_with_ones_zeros_and_free_sizes)
{
    aval_tensor a = T(2, 1, 3), b = T(4, 1), c = T(-1, 3), d = T(0, 3), s = shaped(AVAL_SCALAR);
    size_t rank;
    int64_t dims[AVAL_MAX_RANK];
    cr_assert_eq(aval__broadcast((const aval_tensor *const[]){ &a, NULL, &b, &s }, 4, &rank, dims), AVAL_OK);
    cr_assert(rank == 3 && dims[0] == 2 && dims[1] == 4 && dims[2] == 3);
    cr_assert_eq(aval__broadcast((const aval_tensor *const[]){ &b, &c }, 2, &rank, dims), AVAL_OK);
    cr_assert(rank == 2 && dims[0] == 4 && dims[1] == 3);
    cr_assert_eq(aval__broadcast((const aval_tensor *const[]){ &a, &c }, 2, &rank, dims), AVAL_OK);
    cr_assert(rank == 3 && dims[1] == -1);
    cr_assert_eq(aval__broadcast((const aval_tensor *const[]){ &a, &d }, 2, &rank, dims), AVAL_OK);
    cr_assert(rank == 3 && dims[1] == 0);
    cr_assert_eq(aval__broadcast((const aval_tensor *const[]){ &s, &d, &b }, 3, &rank, dims), AVAL_E_SHAPE);
    cr_assert(strstr(aval_error(), "float[0,3] and float[4,1]"), "%s", aval_error());
}

Test(broadcast, a_gradient_is_summed_over_added_and_stretched_axes)
{
    aval_tensor from = T(2, 4, 3), to = T(1, 3), one = T(1, 1), s = shaped(AVAL_SCALAR);
    int64_t axes[AVAL_MAX_RANK];
    cr_assert_eq(aval__broadcast_axes(&from, &to, axes), 2);
    cr_assert(axes[0] == 0 && axes[1] == 1);
    cr_assert_eq(aval__broadcast_axes(&from, &s, axes), 3);
    cr_assert_eq(aval__broadcast_axes(&from, &from, axes), 0);
    cr_assert_eq(aval__broadcast_axes(&one, &one, axes), 0);
}

Test(half, all_65536_halves_survive_the_way_to_float_and_back)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float x = aval__half_to_float((uint16_t)h);
        uint16_t back = aval__half_from_float(x);
        bool nan = (h & 0x7c00u) == 0x7c00u && (h & 0x3ffu);
        if (nan) cr_assert(isnan(x) && (back & 0x7c00u) == 0x7c00u && (back & 0x3ffu));
        else cr_assert_eq(back, h, "%#x gave %a and %#x", h, (double)x, back);
    }
    cr_assert_eq(aval__half_to_float(0x3c00), 1.0f);
    cr_assert_eq(aval__half_to_float(0x7bff), 65504.0f);
    cr_assert_eq(aval__half_to_float(0x0001), 0x1p-24f);
}

Test(half, between_two_neighbours_the_nearer_is_taken_and_the_even_one_at_a_tie)
{
    for (uint32_t h = 0; h < 0x7bffu; h++) {
        float low = aval__half_to_float((uint16_t)h), high = aval__half_to_float((uint16_t)(h + 1)), middle = low + (high - low) / 2;
        cr_assert_eq(aval__half_from_float(middle), h % 2 ? h + 1 : h);
        cr_assert_eq(aval__half_from_float(nextafterf(middle, low)), h);
        cr_assert_eq(aval__half_from_float(nextafterf(middle, high)), h + 1);
        cr_assert_eq(aval__half_from_float(-middle), 0x8000u | (h % 2 ? h + 1 : h));
    }
    cr_assert_eq(aval__half_from_float(65519.996f), 0x7bff);
    cr_assert_eq(aval__half_from_float(65520.0f), 0x7c00);
    cr_assert_eq(aval__half_from_float(1e30f), 0x7c00);
}

Test(convert, keeps_integers_exact_and_rounds_once)
{
    int64_t big = ((int64_t)1 << 62) + ((int64_t)1 << 38) + 1, back; /* by way of double it would be a tie, and round down */
    float f;
    aval__convert(&f, AVAL_FLOAT, &big, AVAL_INT64, 1);
    cr_assert_eq(f, (float)big);
    double d = 1 + 0x1p-11 + 0x1p-40; /* just above a tie of halves; by way of float it would be one */
    uint16_t h;
    aval__convert(&h, AVAL_FLOAT16, &d, AVAL_DOUBLE, 1);
    cr_assert_eq(h, 0x3c01);
    double odd[] = { NAN, 1e300, -1e300, -1.9, 0.5 };
    static const int64_t expected[] = { 0, INT64_MAX, INT64_MIN, -1, 0 };
    for (size_t i = 0; i < 5; i++) {
        aval__convert(&back, AVAL_INT64, &odd[i], AVAL_DOUBLE, 1);
        cr_assert_eq(back, expected[i]);
    }
    uint8_t b;
    aval__convert(&b, AVAL_BOOL, &odd[4], AVAL_DOUBLE, 1);
    cr_assert_eq(b, 1, "0.5 is true, though it is 0 as an integer");
    int32_t n = -1;
    aval__convert(&b, AVAL_UINT8, &n, AVAL_INT32, 1);
    cr_assert_eq(b, 255);
}

Test(convert, real_numbers_stop_at_the_ends_of_integer_types_and_integers_keep_their_low_bits)
{
    static const struct {
        int type;
        double x;
        int64_t expected;
    } reals[] = { { AVAL_INT8, 1e3, 127 },
                  { AVAL_INT8, -128.9, -128 },
                  { AVAL_UINT16, -1, 0 },
                  { AVAL_UINT16, 1e9, 65535 },
                  { AVAL_UINT32, 4294967295.5, 4294967295 },
                  { AVAL_INT32, NAN, 0 },
                  { AVAL_UINT64, INFINITY, -1 },
                  { AVAL_UINT64, 0x1p63, INT64_MIN },
                  { AVAL_INT4, -9, -8 },
                  { AVAL_INT4, 2.5, 2 },
                  { AVAL_UINT4, 3.5, 4 },
                  { AVAL_UINT4, 99, 15 } };
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        uint64_t held = 0;
        int64_t back;
        aval__convert(&held, reals[i].type, &reals[i].x, AVAL_DOUBLE, 1);
        aval__convert(&back, AVAL_INT64, &held, reals[i].type, 1);
        cr_expect_eq(back, reals[i].expected, "%g as %s is %lld", reals[i].x, aval_type_name(reals[i].type), (long long)back);
    }
    uint64_t large = UINT64_C(0xfffffffffffff80b), held = 0;
    double d;
    aval__convert(&held, AVAL_INT4, &large, AVAL_UINT64, 1);
    cr_expect_eq((int8_t)held, -5);
    aval__convert(&d, AVAL_DOUBLE, &large, AVAL_UINT64, 1);
    cr_expect_eq(d, 0x1p64 - 2048);
}

/* Every code of an 8-bit float is a number that comes back, and the middle of two neighbours goes to the even one. */
Test(small_float, all_codes_come_back_and_ties_go_to_the_even_code)
{
    static const struct {
        int type;
        unsigned largest; /* its code */
        double value;
    } formats[] = { { AVAL_FLOAT8E4M3FN, 0x7e, 448 },
                    { AVAL_FLOAT8E4M3FNUZ, 0x7f, 240 },
                    { AVAL_FLOAT8E5M2, 0x7b, 57344 },
                    { AVAL_FLOAT8E5M2FNUZ, 0x7f, 57344 },
                    { AVAL_BFLOAT16, 0x7f7f, 0x1.fep127 } };
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        int type = formats[f].type;
        cr_expect_eq(aval__small_float_value(type, (uint16_t)formats[f].largest), formats[f].value, "%s", aval_type_name(type));
        for (unsigned code = 0; code < formats[f].largest; code++) {
            double low = aval__small_float_value(type, (uint16_t)code), high = aval__small_float_value(type, (uint16_t)(code + 1));
            cr_assert_lt(low, high, "%s %x", aval_type_name(type), code);
            cr_assert_eq(aval__small_float_code(type, low), code, "%s %x", aval_type_name(type), code);
            cr_assert_eq(aval__small_float_code(type, (low + high) / 2), code + code % 2, "%s %x", aval_type_name(type), code);
        }
        cr_expect(isnan(aval__small_float_value(type, aval__small_float_code(type, NAN))));
    }
}

Test(small_float, what_is_too_large_saturates_or_leaves_the_numbers)
{
    cr_expect_eq(aval__round_small_float(AVAL_FLOAT8E4M3FN, 464, false), 448, "a tie goes to the even code");
    cr_expect(isnan(aval__round_small_float(AVAL_FLOAT8E4M3FN, 464.5, false)));
    cr_expect_eq(aval__round_small_float(AVAL_FLOAT8E4M3FN, -INFINITY, true), -448);
    cr_expect(isnan(aval__round_small_float(AVAL_FLOAT8E4M3FNUZ, 248, false)), "... which the largest here is not");
    cr_expect_eq(aval__round_small_float(AVAL_FLOAT8E5M2, 1e6, true), 57344);
    cr_expect_eq(aval__round_small_float(AVAL_FLOAT8E5M2, -1e6, false), -INFINITY);
    cr_expect_eq(aval__round_small_float(AVAL_FLOAT8E5M2, INFINITY, true), 57344);
    cr_expect_eq(aval__round_small_float(AVAL_BFLOAT16, 1e39, true), INFINITY);
    cr_expect(!signbit(aval__round_small_float(AVAL_FLOAT8E5M2FNUZ, -1e-9, true)), "this type has no minus zero");
}
