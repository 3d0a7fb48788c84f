/* Element types in generated kernels: how each is stored, what it is computed in, and how computed values become what the storage holds. */
#include "plan/fuse.h"

#include <string.h>

#define NATIVE(c_type, number) \
    { \
        .name = c_type, .arithmetic = number, .load = "$p[$i]", .store = "$p[$i] = $x", .from_real = "convert_" c_type "_sat($x)", \
        .from_integer = "(" c_type ")$x", .native = true \
    }
#define NARROW(c_type, number) \
    { \
        .name = c_type, .arithmetic = number, .load = "$p[$i]", .store = "$p[$i] = (" c_type ")$x", .from_real = "aval_to_" c_type "($x)", \
        .from_integer = "(" c_type ")$x" \
    }
/* numbers: mantissa, bias; see kernels/small_float.clh. */
#define FLOAT8(numbers, largest, infinity, nan, over) \
    { \
        .name = "uchar", .arithmetic = AVAL_FLOAT, .load = "aval_of_float8($p[$i], " numbers ", " infinity ", " nan ")", \
        .store = "$p[$i] = aval_to_float8($x, " numbers ", " largest ", " over ", " over ", " nan ")", \
        .from_real = FLOAT8_ROUNDED(numbers, largest, largest, infinity, nan), \
        .unsaturated = FLOAT8_ROUNDED(numbers, largest, over, infinity, nan), .small = true \
    }
#define FLOAT8_ROUNDED(numbers, largest, over, infinity, nan) \
    "aval_of_float8(aval_to_float8($x, " numbers ", " largest ", " over ", " over ", " nan "), " numbers ", " infinity ", " nan ")"

static const aval__fused_type types[AVAL_TYPES] = {
    [AVAL_FLOAT] = NATIVE("float", AVAL_FLOAT),
    [AVAL_DOUBLE] = NATIVE("double", AVAL_DOUBLE),
    [AVAL_INT32] = NATIVE("int", AVAL_INT32),
    [AVAL_INT64] = NATIVE("long", AVAL_INT64),
    [AVAL_UINT64] = NATIVE("ulong", AVAL_UINT64),
    [AVAL_INT8] = NARROW("char", AVAL_INT32),
    [AVAL_UINT8] = NARROW("uchar", AVAL_INT32),
    [AVAL_INT16] = NARROW("short", AVAL_INT32),
    [AVAL_UINT16] = NARROW("ushort", AVAL_INT32),
    [AVAL_UINT32] = NARROW("uint", AVAL_INT64), /* which holds all its numbers, so that comparisons and quotients come out right */
    [AVAL_BOOL] = { "uchar", AVAL_INT32, "$p[$i]", "$p[$i] = (uchar)$x", "$x != 0", "$x != 0", NULL, false, false },
    [AVAL_UINT4] = { "uchar", AVAL_INT32, "$p[$i]", "$p[$i] = (uchar)$x", "clamp(convert_int_sat_rte($x), 0, 15)", "(int)($x & 15)", NULL,
                     false, false },
    [AVAL_INT4] = { "char", AVAL_INT32, "$p[$i]", "$p[$i] = (char)$x", "clamp(convert_int_sat_rte($x), -8, 7)", "((int)($x & 15) ^ 8) - 8",
                    NULL, false, false },
    [AVAL_FLOAT16] = { "half", AVAL_FLOAT, "LOAD_HALF($p, $i)", "STORE_HALF($p, $i, $x)", "aval_round_half($x)", NULL, NULL, false, false },
    [AVAL_BFLOAT16] = { "ushort", AVAL_FLOAT, "aval_of_bfloat16($p[$i])", "$p[$i] = aval_to_bfloat16($x)",
                        "aval_of_bfloat16(aval_to_bfloat16($x))", NULL, NULL, false, true },
    [AVAL_FLOAT8E4M3FN] = FLOAT8("3, 7", "0x7e", "0", "0x7f", "0x7f"),
    [AVAL_FLOAT8E4M3FNUZ] = FLOAT8("3, 8", "0x7f", "0", "0", "0x80"),
    [AVAL_FLOAT8E5M2] = FLOAT8("2, 15", "0x7b", "0x7c", "0x7f", "0x7c"),
    [AVAL_FLOAT8E5M2FNUZ] = FLOAT8("2, 16", "0x7f", "0", "0", "0x80"),
};

const aval__fused_type *aval__fused_type_of(int type)
{
    return &types[type];
}

bool aval__fused_is_real(int arithmetic)
{
    return arithmetic == AVAL_FLOAT || arithmetic == AVAL_DOUBLE;
}

const char *aval__fused_rounding(int type, int from, bool saturate)
{
    const aval__fused_type *t = &types[type];
    if (t->native && t->arithmetic == from) return NULL;
    if (!aval__fused_is_real(from)) return t->from_integer;
    return !saturate && t->unsaturated != NULL ? t->unsaturated : t->from_real;
}

void aval__fused_put(aval__text *text, const char *template, const char *p, const char *i, const char *x)
{
    for (const char *at = template; *at != 0; at++) {
        const char *value = at[0] != '$' ? NULL : at[1] == 'p' ? p : at[1] == 'i' ? i : x;
        if (value == NULL) aval__text_put(text, at, 1);
        else {
            aval__text_put(text, value, strlen(value));
            at++;
        }
    }
}

/* ---- What nodes compute in ------------------------------------------------------------------------------------------------------- */

struct widest {
    const aval_node *node;
    int arithmetic;
};

static void widen(struct widest *w, int arithmetic)
{
    static const int by_width[] = { AVAL_INT32, AVAL_INT64, AVAL_UINT64, AVAL_FLOAT, AVAL_DOUBLE };
    bool passed = false; /* the widest so far stands before this one */
    for (size_t i = 0; i < sizeof by_width / sizeof *by_width; i++) {
        if (by_width[i] == arithmetic && passed) w->arithmetic = arithmetic;
        passed = passed || by_width[i] == w->arithmetic;
    }
}

static void widen_by_leaf(void *user, aval__leaf leaf)
{
    struct widest *w = user;
    const aval_value *input = leaf.kind == AVAL__LEAF_INPUT && leaf.index < w->node->n_inputs ? w->node->inputs[leaf.index] : NULL;
    if (input != NULL) widen(w, types[input->tensor.type].arithmetic);
}

int aval__fused_arithmetic(const aval_node *node, uint32_t output)
{
    int type = node->outputs[output]->tensor.type;
    struct widest w = { node, type == AVAL_BOOL ? AVAL_INT32 : types[type].arithmetic };
    if (!aval__fused_is_real(w.arithmetic)) aval__expr_leaves(node->def->outputs[output], widen_by_leaf, &w);
    return w.arithmetic;
}
