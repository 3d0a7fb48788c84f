/* Expressions as texts: OpenCL C for kernels, the grammar for drawings and messages.  Nothing here depends on the locale. */
#include "op/expr.h"

#include <math.h>
#include <string.h>

/* ---- Numbers in OpenCL C ------------------------------------------------------------------------------------------------------ */

/* "0x1.8p+1": exactly the double, from its bits (printf's %a has the locale's decimal comma). */
static void put_hexadecimal(aval__text *text, double x)
{
    uint64_t bits, fraction;
    if (signbit(x)) aval__text_put(text, "-", 1);
    x = fabs(x);
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52), digits = 13;
    fraction = bits & ((UINT64_C(1) << 52) - 1);
    int lead = exponent != 0; /* denormal doubles: 0x0.…p-1022 */
    while (digits > 0 && (fraction & 15) == 0) {
        fraction >>= 4;
        digits--;
    }
    aval__text_add(text, "0x%d", lead);
    if (digits > 0) aval__text_add(text, ".%0*llx", digits, (unsigned long long)fraction);
    aval__text_add(text, "p%+d", x == 0 ? 0 : lead ? exponent - 1023 : -1022);
}

static void put_real(aval__text *text, double x, bool is_float)
{
    if (is_float) x = (double)(float)x;
    if (isnan(x)) aval__text_add(text, "NAN");
    else if (isinf(x)) aval__text_add(text, is_float ? "(%sINFINITY)" : "(%s(double)INFINITY)", x < 0 ? "-" : "");
    else {
        if (signbit(x)) aval__text_put(text, "(", 1);
        put_hexadecimal(text, x);
        if (is_float) aval__text_put(text, "f", 1);
        if (signbit(x)) aval__text_put(text, ")", 1);
    }
}

/* C has no negative literals: the least number is written as a difference. */
static void put_integer(aval__text *text, int64_t x, int type)
{
    if (type == AVAL_UINT64) aval__text_add(text, "%lluUL", (unsigned long long)x);
    else if (type == AVAL_INT32) {
        x = x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : x;
        if (x == INT32_MIN) aval__text_add(text, "(-2147483647 - 1)");
        else aval__text_add(text, x < 0 ? "(%lld)" : "%lld", (long long)x);
    } else if (x == INT64_MIN) aval__text_add(text, "(-9223372036854775807L - 1)");
    else aval__text_add(text, x < 0 ? "(%lldL)" : "%lldL", (long long)x);
}

static bool is_real(int type)
{
    return type == AVAL_FLOAT || type == AVAL_DOUBLE;
}

void aval__expr_number(aval__text *text, double x, int type)
{
    if (is_real(type)) put_real(text, x, type == AVAL_FLOAT);
    else put_integer(text, aval__saturate(x, type == AVAL_UINT64), type);
}

/* ---- OpenCL C -------------------------------------------------------------------------------------------------------------------- */

/* Where the spelling of a node lies in one text of all spellings. */
struct spelling {
    size_t at, length;
};

struct printing {
    const aval__expr *e;
    int type;
    const aval__expr_writer *writer;
    aval__text spellings;
    struct spelling *of; /* by node */
};

static void put_operand(struct printing *p, aval__text *value, uint32_t node, bool as_float)
{
    if (as_float) aval__text_put(value, "((float)", 8);
    aval__text_put(value, p->spellings.at + p->of[node].at, p->of[node].length);
    if (as_float) aval__text_put(value, ")", 1);
}

const char *aval__expr_type(int type)
{
    return type == AVAL_FLOAT    ? "float"
           : type == AVAL_DOUBLE ? "double"
           : type == AVAL_INT32  ? "int"
           : type == AVAL_INT64  ? "long"
                                 : "ulong";
}

/* The table's template with operands and types put in. */
static void put_operation(struct printing *p, aval__text *value, const aval__expr_node *node)
{
    const aval__operation *operation = &aval__operations[node->kind];
    bool real = is_real(p->type), as_float = !real && operation->int_code == NULL;
    const char *at = real || as_float ? operation->code : operation->int_code;
    const char *type = aval__expr_type(p->type), *unsigned_type = p->type == AVAL_INT32 ? "uint" : "ulong";
    if (as_float) aval__text_add(value, "convert_%s_sat(", type);
    for (; *at != 0; at++) {
        size_t plain = strcspn(at, "$");
        aval__text_put(value, at, plain);
        at += plain;
        if (*at == 0) break;
        at++;
        if (*at == 'T') aval__text_put(value, type, strlen(type));
        else if (*at == 'U') aval__text_put(value, unsigned_type, strlen(unsigned_type));
        else put_operand(p, value, node->arg[*at - '0'], as_float);
    }
    if (as_float) aval__text_put(value, ")", 1);
}

int aval__expr_print(aval__text *result, const aval__expr *e, int type, const aval__expr_writer *writer)
{
    struct printing p = { .e = e, .type = type, .writer = writer, .of = aval__alloc_array(e->count, sizeof *p.of) };
    aval__text value = { 0 };
    int status = p.of == NULL ? AVAL_E_MEMORY : AVAL_OK;
    for (uint32_t i = 0; i < e->count && status >= 0; i++) {
        const aval__expr_node *node = &e->at[i];
        p.of[i].at = p.spellings.length;
        if (node->kind == AVAL__X_NUMBER) aval__expr_number(&p.spellings, node->number, type);
        else if (node->kind == AVAL__X_LEAF) writer->leaf(writer->user, &p.spellings, node->leaf);
        else {
            value.length = 0;
            put_operation(&p, &value, node);
            if (!value.failed) aval__text_add(&p.spellings, "t%u", writer->temporary(writer->user, value.at));
        }
        p.of[i].length = p.spellings.length - p.of[i].at;
        if (value.failed || p.spellings.failed) status = AVAL_E_MEMORY;
    }
    if (status >= 0) put_operand(&p, result, e->count - 1, false);
    if (status >= 0 && result->failed) status = AVAL_E_MEMORY;
    aval__text_release(&value);
    aval__text_release(&p.spellings);
    aval__free(p.of);
    return status;
}

/* ---- The grammar ------------------------------------------------------------------------------------------------------------------ */

#define MOST_SHOWN 2000 /* characters; a text shows shared parts as often as they are used, so it may grow without bound */

struct showing {
    const aval__expr *e;
    aval__text *text;
    size_t start;
    void (*leaf)(void *user, aval__text *text, aval__leaf leaf);
    void *user;
};

static void show(struct showing *s, uint32_t at, uint32_t least);

/* -1 counts as a unary operator: 2 - -1 is fine, but -1 is no operand of a function's name. */
static void show_number(struct showing *s, double x, uint32_t least)
{
    bool braces = signbit(x) && least > aval__operations[AVAL__X_NEG].binds;
    if (braces) aval__text_put(s->text, "(", 1);
    aval__text_real(s->text, x);
    if (braces) aval__text_put(s->text, ")", 1);
}

static void show_operands(struct showing *s, const aval__expr_node *node)
{
    const aval__operation *operation = &aval__operations[node->kind];
    if (node->kind == AVAL__X_SELECT) {
        show(s, node->arg[0], AVAL__B_OR);
        aval__text_put(s->text, " ? ", 3);
        show(s, node->arg[1], AVAL__B_CHOICE);
        aval__text_put(s->text, " : ", 3);
        show(s, node->arg[2], AVAL__B_CHOICE);
    } else if (node->kind >= AVAL__X_POW) {
        aval__text_add(s->text, "%s(", operation->name);
        for (uint32_t i = 0; i < operation->arity; i++) {
            if (i > 0) aval__text_put(s->text, ", ", 2);
            show(s, node->arg[i], AVAL__B_CHOICE);
        }
        aval__text_put(s->text, ")", 1);
    } else if (operation->arity == 1) {
        aval__text_add(s->text, "%s", operation->name);
        show(s, node->arg[0], operation->binds);
    } else {
        show(s, node->arg[0], operation->binds);
        aval__text_add(s->text, " %s ", operation->name);
        show(s, node->arg[1], operation->binds + 1);
    }
}

/* Node `at` as an operand of something that binds as tightly as `least`. */
static void show(struct showing *s, uint32_t at, uint32_t least)
{
    const aval__expr_node *node = &s->e->at[at];
    if (s->text->failed || s->text->length - s->start > MOST_SHOWN) {
        aval__text_put(s->text, "...", 3);
        return;
    }
    if (node->kind == AVAL__X_NUMBER) show_number(s, node->number, least);
    else if (node->kind == AVAL__X_LEAF) s->leaf(s->user, s->text, node->leaf);
    else {
        bool braces = aval__operations[node->kind].binds < least;
        if (braces) aval__text_put(s->text, "(", 1);
        show_operands(s, node);
        if (braces) aval__text_put(s->text, ")", 1);
    }
}

void aval__expr_show(aval__text *text, const aval__expr *e, void (*leaf)(void *user, aval__text *text, aval__leaf leaf), void *user)
{
    struct showing s = { .e = e, .text = text, .start = text->length, .leaf = leaf, .user = user };
    show(&s, e->count - 1, AVAL__B_CHOICE);
}
