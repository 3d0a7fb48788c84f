/* Attribute texts and sample texts. */
#include "op/op.h"

#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <string.h>

static const aval_attr declared[] = {
    { .name = "axis", .type = AVAL_ATTR_INT, .initial = "-1" },
    { .name = "alpha", .type = AVAL_ATTR_FLOAT, .initial = "inf" },
    { .name = "mode", .type = AVAL_ATTR_STRING },
    { .name = "pads", .type = AVAL_ATTR_INTS },
    { .name = "scales", .type = AVAL_ATTR_FLOATS, .initial = "[0.5,1e-3]" },
    { .name = NULL },
};

Test(attrs, defaults_are_filled_in_and_absent_ones_left_out)
{
    aval__arena arena = { 0 };
    aval__attrs a;
    cr_assert_eq(aval__attrs_parse(&arena, declared, NULL, &a), AVAL_OK);
    cr_assert_eq(a.count, 3);
    cr_assert_eq(aval__attrs_find(&a, "axis")->integer, -1);
    cr_assert(isinf(aval__attrs_find(&a, "alpha")->real));
    cr_assert_eq(aval__attrs_find(&a, "scales")->reals.at[1], 1e-3);
    cr_assert_null(aval__attrs_find(&a, "mode"));
    cr_assert(aval__attrs_find(&a, "axis")->from_default);
    aval__arena_release(&arena);
}

Test(attrs, a_printed_text_reads_back_as_itself_in_a_locale_with_commas)
{
    static const char text[] = "axis=2 alpha=0.1 mode='it\\'s \\\\ x=1' pads=[1,-2,9223372036854775807] scales=[]";
    setlocale(LC_ALL, "de_DE.UTF-8");
    aval__arena arena = { 0 };
    aval__attrs a, copy;
    aval__text printed = { 0 };
    cr_assert_eq(aval__attrs_parse(&arena, declared, text, &a), AVAL_OK, "%s", aval_error());
    cr_assert_str_eq(aval__attrs_find(&a, "mode")->text, "it's \\ x=1");
    void *memory = aval__arena_alloc(&arena, aval__attrs_bytes(&a));
    cr_assert_not_null(memory);
    aval__attrs_copy(&a, memory, &copy);
    aval__attrs_print(&printed, &copy, false);
    cr_assert_str_eq(printed.at, text);
    aval__text_release(&printed);
    aval__arena_release(&arena);
}

Test(attrs, what_does_not_fit_is_refused_by_name)
{
    static const char *const cases[][2] = {
        { "axes=1", "no attribute 'axes'; there is axis, alpha, mode, pads, scales" },
        { "axis=1 axis=2", "attribute axis is given twice" },
        { "axis=1.5", "attribute axis: expected an integer, e.g. 1, found '1.5'" },
        { "axis=99999999999999999999", "attribute axis" },
        { "axis", "expected attributes as name=value, found 'axis'" },
        { "=1", "expected attributes as name=value" },
        { "alpha=x", "attribute alpha: expected a number" },
        { "mode=same", "attribute mode: expected a text, e.g. 'same'" },
        { "mode='same", "closing '" },
        { "pads=[1,2", "attribute pads" },
        { "pads=[1,,2]", "attribute pads" },
        { "pads=1", "expected integers, e.g. [1,2], found '1'" },
        { "scales=[1 2]", "attribute scales" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        aval__arena arena = { 0 };
        aval__attrs a;
        cr_assert_eq(aval__attrs_parse(&arena, declared, cases[i][0], &a), AVAL_E_ARGUMENT, "'%s' is accepted", cases[i][0]);
        cr_assert(strstr(aval_error(), cases[i][1]), "'%s' gave '%s'", cases[i][0], aval_error());
        aval__arena_release(&arena);
    }
}

Test(attrs, a_required_one_must_be_given)
{
    static const aval_attr required[] = { { .name = "to", .type = AVAL_ATTR_INT, .required = 1 }, { .name = NULL } };
    aval__arena arena = { 0 };
    aval__attrs a;
    cr_assert_eq(aval__attrs_parse(&arena, required, "", &a), AVAL_E_ARGUMENT);
    cr_assert(strstr(aval_error(), "attribute to must be given"));
    cr_assert_eq(aval__attrs_parse(&arena, required, "to=010", &a), AVAL_OK);
    cr_assert_eq(a.at[0].integer, 10, "010 is decimal");
    aval__arena_release(&arena);
}

Test(sample, types_shapes_values_ranges_and_absent_inputs_are_read)
{
    aval__arena arena = { 0 };
    aval__sample_input *in;
    size_t n;
    cr_assert_eq(aval__sample_parse(&arena, "[2,3] i64[2]{1, -7} f16[3]{-2..5} - [] b[0] f[1]{0.1..1}", &in, &n), AVAL_OK, "%s",
                 aval_error());
    cr_assert_eq(n, 7);
    cr_assert(in[0].follows && in[0].tensor.rank == 2 && in[0].tensor.dims[1] == 3);
    cr_assert(!in[1].follows && in[1].tensor.type == AVAL_INT64 && in[1].n_values == 2 && in[1].values[1] == -7);
    cr_assert(in[2].tensor.type == AVAL_FLOAT16 && in[2].has_range && in[2].low == -2 && in[2].high == 5);
    cr_assert(in[3].absent);
    cr_assert(in[4].tensor.rank == 0 && !in[4].absent);
    cr_assert(in[5].tensor.type == AVAL_BOOL && in[5].tensor.dims[0] == 0);
    cr_assert(in[6].follows && in[6].low == 0.1 && in[6].high == 1);
    cr_assert_eq(aval__sample_parse(&arena, "", &in, &n), AVAL_OK);
    cr_assert_eq(n, 0);
    aval__arena_release(&arena);
}

Test(sample, what_is_no_sample_is_refused)
{
    static const char *const bad[] = { "[2",        "2",           "[-1]",   "q[2]", "[2]{1}", "[2]{1,2", "[2]{5..1}",
                                       "[2]{..1}",  "[1]{1..2,3}", "[1][1]", "-[1]", "[1]{x}", "[1,,2]",  "[1,1,1,1,1,1,1,1,1]",
                                       "[2]{1,2,3}" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        aval__arena arena = { 0 };
        aval__sample_input *in;
        size_t n;
        cr_assert_lt(aval__sample_parse(&arena, bad[i], &in, &n), 0, "'%s' is accepted", bad[i]);
        aval__arena_release(&arena);
    }
}
