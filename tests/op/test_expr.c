/* Expressions: parsing, values, derivatives against centred differences, and texts. */
#include "op/op.h"

#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <string.h>

static bool resolve(void *user, const char *name, size_t length, aval__leaf *leaf)
{
    (void)user;
    if (length != 1 || name[0] < 'x' || name[0] > 'z') return false;
    *leaf = (aval__leaf){ AVAL__LEAF_INPUT, (uint32_t)(name[0] - 'x') };
    return true;
}

static const aval__names names = { .resolve = resolve };

static double leaf_real(const void *user, aval__leaf leaf)
{
    return ((const double *)user)[leaf.index];
}

static int64_t leaf_integer(const void *user, aval__leaf leaf)
{
    return ((const int64_t *)user)[leaf.index];
}

static const aval__expr *parse(aval__arena *arena, const char *text)
{
    const aval__expr *e = NULL;
    cr_assert_eq(aval__expr_parse(arena, text, &names, &e), AVAL_OK, "%s: %s", text, aval_error());
    return e;
}

static double value_at(const char *text, double x, double y)
{
    aval__arena arena = { 0 };
    double value = aval__expr_real(parse(&arena, text), leaf_real, (const double[]){ x, y, 0 });
    aval__arena_release(&arena);
    return value;
}

static void show_leaf(void *user, aval__text *text, aval__leaf leaf)
{
    (void)user;
    aval__text_add(text, "%c", "xyz"[leaf.index]);
}

static char *shown(const aval__expr *e)
{
    aval__text text = { 0 };
    aval__expr_show(&text, e, show_leaf, NULL);
    return aval__text_take(&text);
}

Test(expr, operators_bind_as_in_c)
{
    cr_expect_eq(value_at("1 + 2 * 3 - 8 / 4 / 2", 0, 0), 6);
    cr_expect_eq(value_at("x < y == 1 && !(x > y) || 0", 1, 2), 1);
    cr_expect_eq(value_at("x > 0 ? 1 : y > 0 ? 2 : 3", -1, -1), 3);
    cr_expect_eq(value_at("-x - -y", 1, 2), 1);
    cr_expect_eq(value_at("2 != 2", 0, 0), 0);
    cr_expect_eq(value_at("max(x, y) * 10 + min(x, y)", 2, 3), 32);
    cr_expect_eq(value_at("round(2.5) + round(3.5)", 0, 0), 6);
    cr_expect(isinf(value_at("-inf", 0, 0)));
    cr_expect_eq(value_at("1 | 6 & 3 ^ 8 << 1 + 1", 0, 0), 1 | ((6 & 3) ^ (8 << 2)));
    cr_expect_eq(value_at("x & 1 == 1", 3, 0), 1, "== before &, as in C");
    cr_expect_eq(value_at("mod(x, y)", -5.5, 2), 0.5);
}

Test(expr, nan_wins_max_and_min)
{
    cr_expect(isnan(value_at("max(x, y)", NAN, 1)));
    cr_expect(isnan(value_at("max(x, y)", 1, NAN)));
    cr_expect(isnan(value_at("min(x, y)", 1, NAN)));
}

Test(expr, integers_wrap_and_never_trap)
{
    static const struct {
        const char *text;
        int64_t x, y, expected;
    } cases[] = { { "x / y", 7, 0, 0 },
                  { "x / y", INT64_MIN, -1, INT64_MIN },
                  { "fmod(x, y)", INT64_MIN, -1, 0 },
                  { "x + y", INT64_MAX, 1, INT64_MIN },
                  { "x / y", -7, 2, -3 },
                  { "pow(x, y)", -3, 3, -27 },
                  { "pow(x, y)", 2, -1, 0 },
                  { "max(x, -inf)", -5, 0, -5 },
                  { "abs(x) + sign(x)", -4, 0, 3 },
                  { "sqrt(x)", 49, 0, 7 },
                  { "mod(x, y)", -7, 3, 2 },
                  { "mod(x, y)", 7, -3, -2 },
                  { "mod(x, y)", 7, 0, 0 },
                  { "x << y", 1, 70, 0 },
                  { "x >> y", -8, 1, -4 },
                  { "~x & 7 | x ^ y", 5, 1, 6 } };
    aval__arena arena = { 0 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t leaves[3] = { cases[i].x, cases[i].y, 0 };
        cr_expect_eq(aval__expr_integer(parse(&arena, cases[i].text), false, leaf_integer, leaves), cases[i].expected, "%s", cases[i].text);
    }
    aval__arena_release(&arena);
}

Test(expr, large_unsigned_numbers_are_compared_and_divided_as_such)
{
    static const struct {
        const char *text;
        uint64_t x, y, expected;
    } cases[] = { { "x > y", UINT64_MAX, 1, 1 },
                  { "max(x, y)", UINT64_MAX, 1, UINT64_MAX },
                  { "x / y", UINT64_MAX, 2, UINT64_MAX / 2 },
                  { "x / y", 5, UINT64_MAX, 0 },
                  { "fmod(x, y)", UINT64_MAX, 10, 5 },
                  { "x >> y", UINT64_MAX, 63, 1 },
                  { "abs(x) + sign(x)", UINT64_MAX - 1, 0, UINT64_MAX },
                  { "max(x, -inf)", 7, 0, 7 },
                  { "pow(x, y)", 3, 40, UINT64_C(12157665459056928801) } };
    aval__arena arena = { 0 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t leaves[3] = { (int64_t)cases[i].x, (int64_t)cases[i].y, 0 };
        cr_expect_eq((uint64_t)aval__expr_integer(parse(&arena, cases[i].text), true, leaf_integer, leaves), cases[i].expected, "%s",
                     cases[i].text);
    }
    aval__arena_release(&arena);
}

Test(expr, errors_say_where_and_what_was_expected)
{
    static const struct {
        const char *text, *message;
    } cases[] = { { "x + (y", "expected ')' at 7 in 'x + (y'" },
                  { "x +", "a number, a name or '(' at 4" },
                  { "x y", "an operator or the end at 3" },
                  { "q", "the name of an input or a numeric attribute at 1" },
                  { "1 + foo(x)", "expected a function (there are pow, abs, acos" },
                  { "max(x)", "',' and another argument at 6" },
                  { "x ? y", "':' at 6" },
                  { "", "a number, a name or '(' at 1" },
                  { "exp(x, y)", "')' at 6" } };
    aval__arena arena = { 0 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const aval__expr *e;
        cr_expect_eq(aval__expr_parse(&arena, cases[i].text, &names, &e), AVAL_E_ARGUMENT, "%s", cases[i].text);
        cr_expect_not_null(strstr(aval_error(), cases[i].message), "%s: %s", cases[i].text, aval_error());
    }
    aval__arena_release(&arena);
}

Test(expr, deep_nesting_is_refused_instead_of_overflowing_the_stack)
{
    static char text[200001];
    const aval__expr *e;
    aval__arena arena = { 0 };
    for (size_t i = 0; i < 3; i++) {
        memset(text, "(-!"[i], sizeof text - 1);
        cr_expect_eq(aval__expr_parse(&arena, text, &names, &e), AVAL_E_ARGUMENT);
    }
    aval__arena_release(&arena);
}

Test(expr, derivatives_match_centred_differences)
{
    static const struct {
        const char *text;
        double low, high; /* smooth there */
    } cases[] = { { "x + y * x - y", -2, 2 },
                  { "x / y", 0.5, 3 },
                  { "-x * y", -2, 2 },
                  { "abs(x)", 0.1, 3 },
                  { "abs(x)", -3, -0.1 },
                  { "cos(x * y)", -2, 2 },
                  { "cosh(x)", -2, 2 },
                  { "erf(x)", -2, 2 },
                  { "exp(x * y)", -1, 1 },
                  { "expm1(x)", -1, 1 },
                  { "log(x + y)", 0.5, 3 },
                  { "log1p(x)", -0.5, 3 },
                  { "max(x, y * y)", 2, 3 },
                  { "min(x, y * y)", 2, 3 },
                  { "pow(x, y)", 0.5, 2 },
                  { "pow(x, 3)", -2, 2 },
                  { "pow(x, 2)", -2, 2 },
                  { "pow(2, x)", -2, 2 },
                  { "rsqrt(x)", 0.5, 3 },
                  { "sigmoid(x)", -5, 5 },
                  { "sin(x)", -2, 2 },
                  { "sinh(x)", -2, 2 },
                  { "sqrt(x * y)", 0.5, 3 },
                  { "tan(x)", -1, 1 },
                  { "tanh(x * y)", -2, 2 },
                  { "fmod(x, 10) * y", 1, 4 },
                  { "x > 10 ? y : x * y * y", -2, 2 },
                  { "floor(x) * 0 + ceil(0.5) + round(0.2) + sign(0.3) * y + x", -2, 2 },
                  { "sigmoid(x) * (1 - tanh(y)) / (1 + x * x)", -3, 3 } };
    const double h = 6e-6;
    aval__arena arena = { 0 };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const aval__expr *e = parse(&arena, cases[c].text);
        for (uint32_t by = 0; by < 2; by++) {
            const aval__expr *d = aval__expr_derivative(&arena, e, (aval__leaf){ AVAL__LEAF_INPUT, by });
            cr_assert_not_null(d);
            for (int k = 0; k < 50; k++) {
                double t = (k + 0.5) / 50, at[3] = { cases[c].low + (cases[c].high - cases[c].low) * t,
                                                     cases[c].low + (cases[c].high - cases[c].low) * fmod(7 * t, 1), 0 };
                double more[3] = { at[0], at[1], 0 }, less[3] = { at[0], at[1], 0 };
                more[by] += h;
                less[by] -= h;
                double expected = (aval__expr_real(e, leaf_real, more) - aval__expr_real(e, leaf_real, less)) / (2 * h);
                double found = aval__expr_real(d, leaf_real, at);
                cr_assert(fabs(found - expected) <= 1e-7 * (1 + fabs(expected)), "%s by %u at %g %g: %.12g, differences give %.12g",
                          cases[c].text, by, at[0], at[1], found, expected);
            }
        }
    }
    aval__arena_release(&arena);
}

static double derivative_at(const char *text, uint32_t by, double x, double y)
{
    aval__arena arena = { 0 };
    const aval__expr *d = aval__expr_derivative(&arena, parse(&arena, text), (aval__leaf){ AVAL__LEAF_INPUT, by });
    double value = aval__expr_real(d, leaf_real, (const double[]){ x, y, 0 });
    aval__arena_release(&arena);
    return value;
}

Test(expr, derivatives_follow_the_rules_at_kinks_and_ends)
{
    cr_expect_eq(derivative_at("max(x, y)", 0, 1, 1), 1, "the first argument wins a tie");
    cr_expect_eq(derivative_at("max(x, y)", 1, 1, 1), 0);
    cr_expect_eq(derivative_at("min(x, y)", 0, 1, 1), 1);
    cr_expect_eq(derivative_at("abs(x)", 0, 0, 0), 0);
    cr_expect(isinf(derivative_at("sqrt(x)", 0, 0, 0)));
    cr_expect_eq(derivative_at("pow(x, y)", 0, 0, 0), 0);
    cr_expect_eq(derivative_at("pow(x, y)", 1, 0, 2), 0);
    cr_expect_eq(derivative_at("pow(x, y)", 0, -3, 2), -6);
    cr_expect_eq(derivative_at("x > 0 ? sqrt(x) : 0", 0, -1, 0), 0, "the branch that is not taken has an undefined derivative");
    cr_expect_eq(derivative_at("max(0, sqrt(x) - 1)", 0, 0, 0), 0, "an infinite factor behind a zero one");
}

Test(expr, derivatives_are_simplified)
{
    static const struct {
        const char *text, *expected;
    } cases[] = { { "x", "1" },
                  { "3 * x", "3" },
                  { "x * x", "2 * x" },
                  { "pow(x, 2)", "2 * x" },
                  { "floor(x)", "0" },
                  { "y", "0" },
                  { "x > 0 ? x : y * x", "x > 0 ? 1 : y" },
                  { "x - y", "1" },
                  { "- - x", "1" },
                  { "exp(x)", "exp(x)" },
                  { "log(x)", "1 / x" } };
    aval__arena arena = { 0 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = shown(aval__expr_derivative(&arena, parse(&arena, cases[i].text), (aval__leaf){ AVAL__LEAF_INPUT, 0 }));
        cr_expect_str_eq(text, cases[i].expected, "%s gives %s", cases[i].text, text);
        aval__free(text);
    }
    aval__arena_release(&arena);
}

Test(expr, tenth_derivative_of_tanh_stays_small)
{
    aval__arena arena = { 0 };
    const aval__expr *e = parse(&arena, "tanh(x)");
    for (int i = 0; i < 10; i++) {
        e = aval__expr_derivative(&arena, e, (aval__leaf){ AVAL__LEAF_INPUT, 0 });
        cr_assert_not_null(e, "derivative %d: %s", i + 1, aval_error());
    }
    /* The series of tanh at 0 has no even powers; the 9th derivative there is 7936, so near 0 the 10th is 7936' = -353792 x + ... */
    double x = 1e-6, found = aval__expr_real(e, leaf_real, &x);
    cr_expect(fabs(found / x + 353792) < 1, "%g", found / x);
    aval__arena_release(&arena);
}

Test(expr, a_shown_text_parses_to_the_same_text)
{
    static const char *const texts[] = { "x - (y - z)",    "x / (y * z)",        "(x > 0 ? y : z) + 1", "-(x + y) * -2",
                                         "!(x && y || z)", "pow(max(x, y), -z)", "x - -1e-05",          "~(x | y) & (z << (x >> y))",
                                         "(x & y) == z" };
    aval__arena arena = { 0 };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const double at[3] = { 1.5, -0.25, 3 };
        const aval__expr *e = parse(&arena, texts[i]);
        char *once = shown(e), *twice = shown(parse(&arena, once));
        double a = aval__expr_real(e, leaf_real, at), b = aval__expr_real(parse(&arena, once), leaf_real, at);
        cr_expect(a == b || (isnan(a) && isnan(b)), "%s became %s", texts[i], once);
        cr_expect_str_eq(once, twice);
        aval__free(once);
        aval__free(twice);
    }
    aval__arena_release(&arena);
}

static void number_is(double x, int type, const char *expected)
{
    aval__text text = { 0 };
    aval__expr_number(&text, x, type);
    cr_expect_str_eq(text.at, expected, "%g: %s, expected %s", x, text.at, expected);
    aval__text_release(&text);
}

Test(expr, numbers_in_kernels_are_exact_in_any_locale)
{
    setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is installed; the text has no way to see a locale */
    number_is(1.5, AVAL_FLOAT, "0x1.8p+0f");
    number_is(-0.1, AVAL_DOUBLE, "(-0x1.999999999999ap-4)");
    number_is(0, AVAL_FLOAT, "0x0p+0f");
    number_is(1e300, AVAL_FLOAT, "(INFINITY)");
    number_is(-INFINITY, AVAL_DOUBLE, "(-(double)INFINITY)");
    number_is(5e-324, AVAL_DOUBLE, "0x0.0000000000001p-1022");
    number_is(-1e30, AVAL_INT32, "(-2147483647 - 1)");
    number_is(2.9, AVAL_INT64, "2L");
}

struct lines {
    aval__text text;
    uint32_t count;
};

static uint32_t add_line(void *user, const char *value)
{
    struct lines *lines = user;
    aval__text_add(&lines->text, "t%u = %s;", lines->count, value);
    return lines->count++;
}

static void lines_leaf(void *user, aval__text *text, aval__leaf leaf)
{
    show_leaf(user, text, leaf);
}

Test(expr, shared_parts_are_printed_once)
{
    aval__arena arena = { 0 };
    struct lines lines = { 0 };
    aval__text result = { 0 };
    const aval__expr_writer writer = { .leaf = lines_leaf, .temporary = add_line, .user = &lines };
    cr_assert_eq(aval__expr_print(&result, parse(&arena, "exp(x) * exp(x) + sigmoid(x)"), AVAL_FLOAT, &writer), AVAL_OK);
    cr_expect_str_eq(lines.text.at, "t0 = exp(x);t1 = t0 * t0;t2 = aval_sigmoid(x);t3 = t1 + t2;");
    cr_expect_str_eq(result.at, "t3");
    aval__text_release(&lines.text);
    aval__text_release(&result);
    aval__arena_release(&arena);
}
