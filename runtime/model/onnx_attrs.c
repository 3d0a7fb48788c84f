/* Attributes of ONNX nodes as attribute texts of aval's ops. */
#include "model/onnx.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

int onnx_attribute_type_of(const onnx_attribute *a)
{
    if (a->has_type && a->type) return a->type;
    if (a->has_f) return ONNX_FLOAT;
    if (a->has_i) return ONNX_INT;
    if (a->has_s) return ONNX_STRING;
    if (a->t) return ONNX_TENSOR;
    if (a->has_g) return ONNX_GRAPH;
    return a->n_floats ? ONNX_FLOATS : a->n_ints ? ONNX_INTS : a->n_strings ? ONNX_STRINGS : 0;
}

const onnx_attribute *onnx_attrs_find(const onnx_attrs *attrs, const char *name)
{
    for (size_t i = 0; i < attrs->count; i++)
        if (strcmp(attrs->at[i].name, name) == 0) return attrs->at[i].content;
    return NULL;
}

static void put_escaped(aval__text *out, ProtobufCBinaryData text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = (char)text.data[i];
        aval__text_add(out, c == '\'' || c == '\\' ? "\\%c" : "%c", c);
    }
}

static void put_float(aval__text *out, const onnx_attribute *a)
{
    aval__text_real(out, (double)a->f);
}

static void put_int(aval__text *out, const onnx_attribute *a)
{
    aval__text_add(out, "%" PRId64, a->i);
}

static void put_string(aval__text *out, const onnx_attribute *a)
{
    aval__text_add(out, "'");
    put_escaped(out, a->s);
    aval__text_add(out, "'");
}

/* Several texts become one, with spaces between: the names of activations, "Sigmoid Tanh Tanh". */
static void put_strings(aval__text *out, const onnx_attribute *a)
{
    aval__text_add(out, "'");
    for (size_t i = 0; i < a->n_strings; i++) {
        if (i) aval__text_add(out, " ");
        put_escaped(out, a->strings[i]);
    }
    aval__text_add(out, "'");
}

static void put_floats(aval__text *out, const onnx_attribute *a)
{
    aval__text_add(out, "[");
    for (size_t i = 0; i < a->n_floats; i++) {
        if (i) aval__text_add(out, ",");
        aval__text_real(out, (double)a->floats[i]);
    }
    aval__text_add(out, "]");
}

static void put_ints(aval__text *out, const onnx_attribute *a)
{
    aval__text_add(out, "[");
    for (size_t i = 0; i < a->n_ints; i++) aval__text_add(out, "%s%" PRId64, i ? "," : "", a->ints[i]);
    aval__text_add(out, "]");
}

/* How a type of ONNX's becomes one of aval's. */
static const struct conversion {
    const char *name;
    int aval_type; /* 0: none */
    void (*put)(aval__text *out, const onnx_attribute *a);
} conversions[] = {
    [ONNX_FLOAT] = { "a number", AVAL_ATTR_FLOAT, put_float },
    [ONNX_INT] = { "an integer", AVAL_ATTR_INT, put_int },
    [ONNX_STRING] = { "a text", AVAL_ATTR_STRING, put_string },
    [ONNX_TENSOR] = { "a tensor", 0, NULL },
    [ONNX_GRAPH] = { "a graph", 0, NULL },
    [ONNX_FLOATS] = { "numbers", AVAL_ATTR_FLOATS, put_floats },
    [ONNX_INTS] = { "integers", AVAL_ATTR_INTS, put_ints },
    [ONNX_STRINGS] = { "texts", AVAL_ATTR_STRING, put_strings },
    [ONNX_TENSORS] = { "tensors", 0, NULL },
    [ONNX_GRAPHS] = { "graphs", 0, NULL },
};

static const aval_attr *find_declared(const aval_op *op, const char *name)
{
    const aval_attr *declared = op->attrs;
    while (declared && declared->name && strcmp(declared->name, name) != 0) declared++;
    return declared && declared->name ? declared : NULL;
}

static bool is_port(const aval_op *op, const char *name)
{
    for (const aval_port *port = op->inputs; port && port->name; port++)
        if (strcmp(port->name, name) == 0) return true;
    return false;
}

/* A text that ends early would not be the one that the file has. */
static bool holds_zero(const onnx_attribute *a)
{
    bool found = a->has_s && a->s.len && memchr(a->s.data, 0, a->s.len);
    for (size_t i = 0; i < a->n_strings; i++) found = found || (a->strings[i].len && memchr(a->strings[i].data, 0, a->strings[i].len));
    return found;
}

static bool holds_nan(const onnx_attribute *a)
{
    bool found = a->has_f && isnan(a->f);
    for (size_t i = 0; i < a->n_floats; i++) found = found || isnan(a->floats[i]);
    return found;
}

static int put_attr(const onnx_attr *attr, const aval_op *op, aval__text *out)
{
    int type = onnx_attribute_type_of(attr->content);
    const aval_attr *declared = find_declared(op, attr->name);
    if (type == ONNX_TENSOR && !declared && is_port(op, attr->name)) return AVAL_OK; /* becomes that input */
    bool known = type > 0 && (size_t)type < sizeof conversions / sizeof *conversions;
    const char *kind = known ? conversions[type].name : "of an unknown kind";
    if (!declared) return aval__fail(AVAL_E_UNSUPPORTED, "attribute %.100s (%s)", attr->name, kind);
    if (!known || conversions[type].aval_type != (int)declared->type || holds_zero(attr->content))
        return aval__fail(AVAL_E_UNSUPPORTED, "attribute %s as %s", declared->name, kind);
    if (holds_nan(attr->content)) return aval__fail(AVAL_E_FORMAT, "attribute %s: expected numbers, found NaN", declared->name);
    aval__text_add(out, "%s%s=", out->length ? " " : "", declared->name);
    conversions[type].put(out, attr->content);
    return AVAL_OK;
}

int onnx_attrs_seed(const onnx_attrs *attrs, const aval_op *op, size_t number, aval__text *out)
{
    const aval_attr *seed = find_declared(op, "seed");
    if (!seed || onnx_attrs_find(attrs, "seed")) return AVAL_OK;
    aval__text_add(out, "%sseed=%zu", out->length ? " " : "", number);
    return out->failed ? AVAL_E_MEMORY : AVAL_OK;
}

int onnx_attrs_text(const onnx_attrs *attrs, const aval_op *op, aval__text *out)
{
    for (size_t i = 0; i < attrs->count; i++) AVAL__TRY(put_attr(&attrs->at[i], op, out));
    return out->failed ? aval__fail(AVAL_E_MEMORY, "out of memory for the attributes of a node") : AVAL_OK;
}
