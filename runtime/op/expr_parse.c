/* The parser of expressions: recursive descent for unary operators, functions and ?:, precedence climbing for the binary ones. */
#include "op/expr.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#define MOST_NESTING 200 /* parentheses and operators inside each other: the parser's recursion stays on the stack */

typedef struct parser {
    aval__builder *b;
    const aval__names *names;
    const char *text, *at;
    uint32_t depth;
} parser;

/* The message names what stands at the place, since the end of the text is easily overlooked. */
static uint32_t expected(parser *p, const char *what)
{
    if (p->b->status < 0) return 0;
    size_t column = (size_t)(p->at - p->text);
    if (*p->at == 0) p->b->status = aval__fail(AVAL_E_ARGUMENT, "expected %s at %zu in '%s', found its end", what, column + 1, p->text);
    else p->b->status = aval__fail(AVAL_E_ARGUMENT, "expected %s at %zu in '%s', found '%s'", what, column + 1, p->text, p->at);
    return 0;
}

static void skip_space(parser *p)
{
    while (isspace((unsigned char)*p->at)) p->at++;
}

static bool accept(parser *p, char c)
{
    skip_space(p);
    if (*p->at != c) return false;
    p->at++;
    return true;
}

static uint32_t parse_choice(parser *p);

static uint32_t unknown_function(parser *p)
{
    aval__text what = { 0 };
    aval__text_add(&what, "a function (there are");
    for (uint32_t i = AVAL__X_POW, n = 0; i < aval__operation_count; i++) {
        if (!isalpha((unsigned char)aval__operations[i].name[0])) continue;
        aval__text_add(&what, "%s %s", n++ > 0 ? "," : "", aval__operations[i].name);
    }
    aval__text_add(&what, ")");
    expected(p, what.failed ? "a function of the grammar" : what.at);
    aval__text_release(&what);
    return 0;
}

static uint32_t parse_function(parser *p, const char *name, size_t length)
{
    uint32_t kind = AVAL__X_POW, arg[AVAL__X_ARGS] = { 0 };
    for (; kind < aval__operation_count; kind++) {
        const char *known = aval__operations[kind].name;
        if (strlen(known) == length && memcmp(known, name, length) == 0) break;
    }
    if (kind == aval__operation_count) {
        p->at = name;
        return unknown_function(p);
    }
    accept(p, '(');
    for (uint32_t i = 0; i < aval__operations[kind].arity && p->b->status >= 0; i++) {
        if (i > 0 && !accept(p, ',')) return expected(p, "',' and another argument");
        arg[i] = parse_choice(p);
    }
    if (!accept(p, ')')) return expected(p, "')'");
    return aval__build(p->b, kind, arg);
}

static uint32_t unknown_name(parser *p)
{
    aval__text what = { 0 };
    aval__text_add(&what, "the name of an input or a numeric attribute");
    if (p->names != NULL && p->names->list != NULL) {
        aval__text_add(&what, " (there are ");
        p->names->list(p->names->user, &what);
        aval__text_add(&what, ")");
    }
    expected(p, what.failed ? "a name that is known" : what.at);
    aval__text_release(&what);
    return 0;
}

static uint32_t parse_name(parser *p)
{
    const char *name = p->at;
    while (isalnum((unsigned char)*p->at) || *p->at == '_') p->at++;
    size_t length = (size_t)(p->at - name);
    skip_space(p);
    if (*p->at == '(') return parse_function(p, name, length);
    aval__leaf leaf = { 0 };
    if (p->names != NULL && p->names->resolve(p->names->user, name, length, &leaf)) return aval__build_leaf(p->b, leaf);
    if (length == 3 && memcmp(name, "inf", 3) == 0) return aval__build_number(p->b, INFINITY);
    p->at = name;
    return unknown_name(p);
}

static uint32_t parse_primary(parser *p)
{
    double number;
    if (accept(p, '(')) {
        uint32_t inner = parse_choice(p);
        return accept(p, ')') ? inner : expected(p, "')'");
    }
    if (isalpha((unsigned char)*p->at) || *p->at == '_') return parse_name(p);
    if ((isdigit((unsigned char)*p->at) || *p->at == '.') && aval__parse_real(p->at, &p->at, &number))
        return aval__build_number(p->b, number);
    return expected(p, "a number, a name or '('");
}

static uint32_t parse_unary(parser *p)
{
    skip_space(p);
    bool negative = *p->at == '-';
    uint32_t kind = negative ? AVAL__X_NEG : *p->at == '~' ? AVAL__X_INVERT : AVAL__X_NOT;
    if (kind == AVAL__X_NOT && (*p->at != '!' || p->at[1] == '=')) return parse_primary(p);
    if (++p->depth > MOST_NESTING) return expected(p, "less nesting");
    p->at++;
    uint32_t arg[AVAL__X_ARGS] = { parse_unary(p) };
    p->depth--;
    if (p->b->status < 0) return 0;
    const aval__expr_node *operand = &p->b->nodes.at[arg[0]];
    if (negative && operand->kind == AVAL__X_NUMBER) return aval__build_number(p->b, -operand->number);
    return aval__build(p->b, kind, arg);
}

/* The binary operator at the place, the longest that fits; AVAL__X_LEAF: none. */
static uint32_t binary_operator(parser *p)
{
    uint32_t found = AVAL__X_LEAF;
    size_t longest = 0;
    skip_space(p);
    for (uint32_t kind = AVAL__X_ADD; kind <= AVAL__X_OR; kind++) {
        size_t length = strlen(aval__operations[kind].name);
        if (length > longest && strncmp(p->at, aval__operations[kind].name, length) == 0) {
            found = kind;
            longest = length;
        }
    }
    return found;
}

/* Operators that bind at least as tightly as `least`; all are left-associative. */
static uint32_t parse_binary(parser *p, uint32_t least)
{
    uint32_t arg[AVAL__X_ARGS] = { parse_unary(p) };
    while (p->b->status >= 0) {
        uint32_t kind = binary_operator(p);
        if (kind == AVAL__X_LEAF || aval__operations[kind].binds < least) break;
        p->at += strlen(aval__operations[kind].name);
        arg[1] = parse_binary(p, aval__operations[kind].binds + 1);
        arg[0] = aval__build(p->b, kind, arg);
    }
    return arg[0];
}

static uint32_t parse_choice(parser *p)
{
    if (++p->depth > MOST_NESTING) return expected(p, "less nesting");
    uint32_t arg[AVAL__X_ARGS] = { parse_binary(p, aval__operations[AVAL__X_OR].binds) };
    if (p->b->status >= 0 && accept(p, '?')) {
        arg[1] = parse_choice(p);
        if (!accept(p, ':')) return expected(p, "':'");
        arg[2] = parse_choice(p);
        arg[0] = aval__build(p->b, AVAL__X_SELECT, arg);
    }
    p->depth--;
    return arg[0];
}

uint32_t aval__build_parsed(aval__builder *b, const char *text, const aval__names *names)
{
    parser p = { .b = b, .names = names, .text = text, .at = text };
    uint32_t root = parse_choice(&p);
    skip_space(&p);
    return *p.at == 0 ? root : expected(&p, "an operator or the end");
}

int aval__expr_parse(aval__arena *arena, const char *text, const aval__names *names, const aval__expr **out)
{
    aval__builder b = { 0 };
    uint32_t root = aval__build_parsed(&b, text, names);
    int status = b.status;
    *out = aval__build_finish(&b, arena, root);
    if (status < 0) return status;
    return *out == NULL ? AVAL_E_UNSUPPORTED : AVAL_OK;
}
