/* Simplification, for derivatives only: x * 0 becomes 0 and x - x becomes 0 whatever x is, sums of equal terms become products, numbers
 * are folded and stand first.  A text as its author wrote it is never changed by these rules. */
#include "op/expr.h"

#include <math.h>

static bool is_number(const aval__builder *b, uint32_t i, double *x)
{
    const aval__expr_node *node = &b->nodes.at[i];
    if (node->kind != AVAL__X_NUMBER) return false;
    *x = node->number;
    return true;
}

static bool is_equal_to(const aval__builder *b, uint32_t i, double x)
{
    double number;
    return is_number(b, i, &number) && number == x;
}

static uint32_t plain(aval__builder *b, uint32_t kind, uint32_t x, uint32_t y)
{
    return aval__build(b, kind, (const uint32_t[AVAL__X_ARGS]){ x, y, 0 });
}

static uint32_t simple(aval__builder *b, uint32_t kind, uint32_t x, uint32_t y)
{
    return aval__build_simple(b, kind, (const uint32_t[AVAL__X_ARGS]){ x, y, 0 });
}

/* Node i as factor x rest. */
static double split_factor(const aval__builder *b, uint32_t i, uint32_t *rest)
{
    const aval__expr_node *node = &b->nodes.at[i];
    double factor = 1;
    *rest = i;
    if (node->kind == AVAL__X_NEG) {
        *rest = node->arg[0];
        factor = -1;
    } else if (node->kind == AVAL__X_MUL && is_number(b, node->arg[0], &factor)) *rest = node->arg[1];
    return factor;
}

static uint32_t scaled(aval__builder *b, double factor, uint32_t x)
{
    if (b->status < 0 || factor == 1) return x;
    if (factor == 0) return aval__build_number(b, 0);
    if (factor == -1) return plain(b, AVAL__X_NEG, x, 0);
    return plain(b, AVAL__X_MUL, aval__build_number(b, factor), x);
}

/* x + sign y. */
static uint32_t sum(aval__builder *b, uint32_t x, uint32_t y, double sign)
{
    uint32_t x_rest, y_rest;
    if (is_equal_to(b, y, 0)) return x;
    if (is_equal_to(b, x, 0)) return sign > 0 ? y : simple(b, AVAL__X_NEG, y, 0);
    double x_factor = split_factor(b, x, &x_rest), y_factor = sign * split_factor(b, y, &y_rest);
    if (x_rest == y_rest) return scaled(b, x_factor + y_factor, x_rest);
    const aval__expr_node p = b->nodes.at[x], q = b->nodes.at[y];
    if (p.kind == AVAL__X_SELECT && q.kind == AVAL__X_SELECT && p.arg[0] == q.arg[0]) {
        uint32_t arg[AVAL__X_ARGS] = { p.arg[0], sum(b, p.arg[1], q.arg[1], sign), 0 };
        if (b->status < 0) return 0;
        arg[2] = sum(b, p.arg[2], q.arg[2], sign);
        return aval__build_simple(b, AVAL__X_SELECT, arg);
    }
    if (y_factor < 0) return plain(b, AVAL__X_SUB, x, scaled(b, -y_factor, y_rest));
    if (x_factor < 0) return plain(b, AVAL__X_SUB, y, scaled(b, -x_factor, x_rest));
    if (sign < 0) y = scaled(b, y_factor, y_rest);
    return x < y ? plain(b, AVAL__X_ADD, x, y) : plain(b, AVAL__X_ADD, y, x);
}

static uint32_t product(aval__builder *b, uint32_t x, uint32_t y);

/* x times c ? p : q with a number for p or q: c ? x p : x q, so that a factor 0 never meets an infinite x. */
static bool product_of_select(aval__builder *b, uint32_t select, uint32_t x, uint32_t *out)
{
    const aval__expr_node node = b->nodes.at[select];
    double number;
    if (node.kind != AVAL__X_SELECT || (!is_number(b, node.arg[1], &number) && !is_number(b, node.arg[2], &number))) return false;
    uint32_t arg[AVAL__X_ARGS] = { node.arg[0], product(b, x, node.arg[1]), 0 };
    if (b->status >= 0) arg[2] = product(b, x, node.arg[2]);
    *out = aval__build_simple(b, AVAL__X_SELECT, arg);
    return true;
}

/* x times c / y is c (x / y): one rounding less than the product with a reciprocal. */
static bool product_of_reciprocal(aval__builder *b, uint32_t reciprocal, uint32_t x, double factor, uint32_t *out)
{
    const aval__expr_node node = b->nodes.at[reciprocal];
    double number;
    if (node.kind != AVAL__X_DIV || !is_number(b, node.arg[0], &number)) return false;
    *out = scaled(b, factor * number, plain(b, AVAL__X_DIV, x, node.arg[1]));
    return true;
}

static uint32_t product(aval__builder *b, uint32_t x, uint32_t y)
{
    double x_number, y_number;
    uint32_t out;
    if (b->status < 0) return 0;
    if (is_equal_to(b, x, 0) || is_equal_to(b, y, 0)) return aval__build_number(b, 0);
    if (is_number(b, y, &y_number)) {
        uint32_t other = x;
        x = y;
        y = other;
    }
    double factor = split_factor(b, y, &y);
    if (is_number(b, x, &x_number)) return scaled(b, x_number * factor, y);
    factor *= split_factor(b, x, &x);
    if (product_of_select(b, x, y, &out) || product_of_select(b, y, x, &out))
        return b->status < 0 ? 0 : product(b, aval__build_number(b, factor), out);
    if (product_of_reciprocal(b, y, x, factor, &out) || product_of_reciprocal(b, x, y, factor, &out)) return out;
    return scaled(b, factor, x < y ? plain(b, AVAL__X_MUL, x, y) : plain(b, AVAL__X_MUL, y, x));
}

static uint32_t quotient(aval__builder *b, uint32_t x, uint32_t y)
{
    if (is_equal_to(b, y, 1)) return x;
    if (is_equal_to(b, x, 0)) return x;
    double number, factor = split_factor(b, x, &x);
    if (factor != 1 && is_number(b, x, &number)) return plain(b, AVAL__X_DIV, aval__build_number(b, factor * number), y);
    return scaled(b, factor, plain(b, AVAL__X_DIV, x, y));
}

static uint32_t power(aval__builder *b, uint32_t x, uint32_t y)
{
    if (is_equal_to(b, y, 0)) return aval__build_number(b, 1);
    if (is_equal_to(b, y, 1)) return x;
    if (is_equal_to(b, y, 2)) return plain(b, AVAL__X_MUL, x, x);
    return plain(b, AVAL__X_POW, x, y);
}

static uint32_t negative(aval__builder *b, uint32_t x)
{
    const aval__expr_node node = b->nodes.at[x];
    if (node.kind == AVAL__X_SUB) return plain(b, AVAL__X_SUB, node.arg[1], node.arg[0]);
    double factor = split_factor(b, x, &x);
    return scaled(b, -factor, x);
}

static uint32_t choice(aval__builder *b, const uint32_t arg[AVAL__X_ARGS])
{
    double condition;
    if (is_number(b, arg[0], &condition)) return condition != 0 ? arg[1] : arg[2];
    return arg[1] == arg[2] ? arg[1] : aval__build(b, AVAL__X_SELECT, arg);
}

/* An operation on numbers only.  One whose result is not a number stays as it is: the grammar cannot write NaN. */
static bool fold(aval__builder *b, uint32_t kind, const uint32_t arg[AVAL__X_ARGS], uint32_t *out)
{
    double a[AVAL__X_ARGS] = { 0 };
    for (uint32_t i = 0; i < aval__operations[kind].arity; i++) {
        if (!is_number(b, arg[i], &a[i])) return false;
    }
    double value = aval__operations[kind].real(a);
    if (isnan(value)) return false;
    *out = aval__build_number(b, value);
    return true;
}

uint32_t aval__build_simple(aval__builder *b, uint32_t kind, const uint32_t arg[AVAL__X_ARGS])
{
    uint32_t out = 0;
    if (b->status < 0 || fold(b, kind, arg, &out)) return out;
    switch (kind) {
    case AVAL__X_NEG: return negative(b, arg[0]);
    case AVAL__X_ADD: return sum(b, arg[0], arg[1], 1);
    case AVAL__X_SUB: return sum(b, arg[0], arg[1], -1);
    case AVAL__X_MUL: return product(b, arg[0], arg[1]);
    case AVAL__X_DIV: return quotient(b, arg[0], arg[1]);
    case AVAL__X_POW: return power(b, arg[0], arg[1]);
    case AVAL__X_SELECT: return choice(b, arg);
    default: return aval__build(b, kind, arg);
    }
}
