/* Nodes as ONNX spells them. */
#include "model/onnx_write.h"

#include <limits.h>
#include <string.h>

/* Where aval's form of an operator has more inputs or outputs than ONNX's: states, and what backward keeps.  With the attribute `whole` ONNX
   wants all outputs, read or not. */
static const struct {
    const char *op;
    size_t inputs, outputs;
    const char *whole;
} limits[] = {
    { "Dropout", 3, 2, NULL },
    { "BatchNormalization", 5, 3, "training_mode" },
};

/* Inputs that are attributes in ONNX. */
static const struct {
    const char *op, *input;
} tensor_attributes[] = {
    { "ConstantOfShape", "value" },
};

/* Operators of aval's own domain that are forms of ONNX's, which a file has as those, from that operator set on. */
static const struct {
    const char *op;
    uint32_t least;
} forms[] = {
    { "BatchNormalization", 14 },
};

/* Attributes that are several texts in ONNX, and here one with spaces between. */
static const char *const text_lists[] = { "activations" };

/* 0: the operator is none of `forms`. */
static uint32_t least_of_form(const aval__opdef *def)
{
    for (size_t i = 0; strcmp(def->domain, "aval") == 0 && i < sizeof forms / sizeof *forms; i++)
        if (strcmp(forms[i].op, def->name) == 0) return forms[i].least;
    return 0;
}

const char *onnx_domain_of(const aval__opdef *def)
{
    return least_of_form(def) ? "" : def->domain;
}

static size_t limit(const aval_node *node, bool inputs, size_t count)
{
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        size_t most = inputs ? limits[i].inputs : limits[i].outputs;
        if (!*onnx_domain_of(node->def) && strcmp(limits[i].op, node->def->name) == 0 && count > most) return most;
    }
    return count;
}

/* How many of the node's outputs have to be written though nothing reads them. */
static size_t least_outputs(const aval_node *node)
{
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        if (!limits[i].whole || *onnx_domain_of(node->def) || strcmp(limits[i].op, node->def->name) != 0) continue;
        for (size_t a = 0; a < node->attrs.count; a++)
            if (strcmp(node->attrs.at[a].name, limits[i].whole) == 0 && node->attrs.at[a].integer != 0) return limits[i].outputs;
    }
    return 0;
}

bool onnx_is_tensor_attribute(const aval_node *node, size_t input)
{
    if (node->kind != AVAL__OP) return false;
    const aval_port *port = &node->def->op->inputs[aval__input_port(node->def, input)];
    for (size_t i = 0; i < sizeof tensor_attributes / sizeof *tensor_attributes; i++)
        if (strcmp(tensor_attributes[i].op, node->def->name) == 0 && strcmp(tensor_attributes[i].input, port->name) == 0)
            return !node->def->domain[0];
    return false;
}

/* ---- Attributes -------------------------------------------------------------------------------------------------------------------- */

onnx_attribute *onnx_put_attribute(onnx_writer *w, onnx_node *node, const char *name, onnx_attribute_type type)
{
    onnx_attribute *a = aval__arena_alloc(&w->file->arena, sizeof *a);
    if (!a) return NULL;
    aval__onnx__attribute__init(a);
    a->name = (char *)(uintptr_t)name;
    a->type = (int32_t)type;
    a->has_type = 1;
    node->attribute[node->n_attribute++] = a;
    return a;
}

static ProtobufCBinaryData bytes_of(const char *text, size_t length)
{
    return (ProtobufCBinaryData){ .len = length, .data = (uint8_t *)(uintptr_t)text };
}

static int put_texts(onnx_writer *w, const char *text, onnx_attribute *a)
{
    a->type = ONNX_STRINGS;
    a->strings = aval__arena_alloc(&w->file->arena, (strlen(text) + 1) * sizeof *a->strings);
    if (!a->strings) return AVAL_E_MEMORY;
    for (size_t length; *(text += strspn(text, " ")); text += length) {
        length = strcspn(text, " ");
        a->strings[a->n_strings++] = bytes_of(text, length);
    }
    return AVAL_OK;
}

static int put_text(onnx_writer *w, const aval__attr_value *value, onnx_attribute *a)
{
    for (size_t i = 0; i < sizeof text_lists / sizeof *text_lists; i++)
        if (strcmp(text_lists[i], value->name) == 0) return put_texts(w, value->text, a);
    a->s = bytes_of(value->text, strlen(value->text));
    a->has_s = 1;
    return AVAL_OK;
}

static int put_int(onnx_writer *w, const aval__attr_value *value, onnx_attribute *a)
{
    (void)w;
    a->i = value->integer;
    a->has_i = 1;
    return AVAL_OK;
}

static int put_float(onnx_writer *w, const aval__attr_value *value, onnx_attribute *a)
{
    (void)w;
    a->f = (float)value->real;
    a->has_f = 1;
    return AVAL_OK;
}

static int put_ints(onnx_writer *w, const aval__attr_value *value, onnx_attribute *a)
{
    (void)w;
    a->ints = (int64_t *)(uintptr_t)value->ints.at;
    a->n_ints = value->ints.count;
    return AVAL_OK;
}

static int put_floats(onnx_writer *w, const aval__attr_value *value, onnx_attribute *a)
{
    a->floats = aval__arena_alloc(&w->file->arena, (value->reals.count + 1) * sizeof *a->floats);
    if (!a->floats) return AVAL_E_MEMORY;
    for (size_t i = 0; i < value->reals.count; i++) a->floats[i] = (float)value->reals.at[i];
    a->n_floats = value->reals.count;
    return AVAL_OK;
}

static const struct {
    onnx_attribute_type type;
    int (*put)(onnx_writer *w, const aval__attr_value *value, onnx_attribute *a);
} kinds[] = {
    [AVAL_ATTR_INT] = { ONNX_INT, put_int },          [AVAL_ATTR_FLOAT] = { ONNX_FLOAT, put_float },
    [AVAL_ATTR_STRING] = { ONNX_STRING, put_text },   [AVAL_ATTR_INTS] = { ONNX_INTS, put_ints },
    [AVAL_ATTR_FLOATS] = { ONNX_FLOATS, put_floats },
};

int onnx_put_graph(onnx_writer *w, onnx_node *node, const char *name, const onnx_graph *graph)
{
    onnx_attribute *a = onnx_put_attribute(w, node, name, ONNX_GRAPH);
    size_t count = aval__onnx__graph__get_packed_size(graph);
    if (count > INT_MAX) return aval__fail(AVAL_E_UNSUPPORTED, "an ONNX file may have 2 GiB, found %zu bytes in one graph", count);
    uint8_t *bytes = aval__arena_alloc(&w->file->arena, count + 1);
    if (!a || !bytes) return AVAL_E_MEMORY;
    aval__onnx__graph__pack(graph, bytes);
    a->g = (ProtobufCBinaryData){ .len = count, .data = bytes };
    a->has_g = 1;
    return AVAL_OK;
}

static int add_tensor_attribute(onnx_writer *w, const aval_node *node, size_t input, onnx_node *out)
{
    const aval_value *value = node->inputs[input];
    if (value->kind != AVAL__CONSTANT)
        return aval__fail(AVAL_E_UNSUPPORTED, "input %zu of %s is an attribute in ONNX, so it must be a constant", input, node->def->name);
    onnx_attribute *a = onnx_put_attribute(w, out, node->def->op->inputs[input].name, ONNX_TENSOR);
    if (!a) return AVAL_E_MEMORY;
    a->t = onnx_write_tensor(w, &value->tensor, value->data);
    return a->t ? AVAL_OK : AVAL_E_MEMORY;
}

static int add_attributes(onnx_writer *w, const aval_node *node, onnx_node *out)
{
    for (size_t i = 0; i < node->attrs.count; i++) {
        const aval__attr_value *value = &node->attrs.at[i];
        if (value->from_default) continue;
        onnx_attribute *a = onnx_put_attribute(w, out, value->name, kinds[value->type].type);
        if (!a) return AVAL_E_MEMORY;
        AVAL__TRY(kinds[value->type].put(w, value, a));
    }
    for (size_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] && onnx_is_tensor_attribute(node, i)) AVAL__TRY(add_tensor_attribute(w, node, i, out));
    return AVAL_OK;
}

/* ---- Inputs and outputs --------------------------------------------------------------------------------------------------------------- */

static int add_inputs(onnx_writer *w, const aval_node *node, onnx_node *out)
{
    size_t most = limit(node, true, node->n_inputs);
    for (size_t i = 0; i < node->n_inputs; i++) {
        bool given = node->inputs[i] && !onnx_is_tensor_attribute(node, i);
        if (given && i >= most)
            return aval__fail(AVAL_E_UNSUPPORTED, "ONNX's %s has no input '%s'", node->def->name, node->def->op->inputs[i].name);
        out->input[i] = (char *)(uintptr_t)(given ? w->name_of[node->inputs[i]->id] : "");
        if (given) out->n_input = i + 1;
    }
    return AVAL_OK;
}

/* Is the output read by a node that is written, or is its own name that of an output of the model? */
static bool is_used(const onnx_writer *w, const aval_value *value)
{
    return value && w->used[value->id];
}

static int add_node_outputs(onnx_writer *w, const aval_node *node, onnx_node *out)
{
    size_t declared = node->def->n_outputs, most = limit(node, false, node->n_outputs), least = least_outputs(node);
    bool many = node->def->op->outputs[declared - 1].flags & AVAL_VARIADIC;
    for (size_t i = 0; i < node->n_outputs; i++) {
        const aval_port *port = &node->def->op->outputs[i < declared ? i : declared - 1];
        bool written = is_used(w, node->outputs[i]) || !(port->flags & AVAL_OPTIONAL) || (many && i + 1 >= declared) ||
                       (i < least && node->outputs[i]);
        if (written && i >= most) return aval__fail(AVAL_E_UNSUPPORTED, "ONNX's %s has no output '%s'", node->def->name, port->name);
        out->output[i] = (char *)(uintptr_t)(written ? w->name_of[node->outputs[i]->id] : "");
        if (written) out->n_output = i + 1;
    }
    return AVAL_OK;
}

/* ---- Nodes -------------------------------------------------------------------------------------------------------------------------------- */

onnx_node *onnx_new_node(onnx_writer *w, const char *op, size_t inputs, size_t outputs, size_t attributes)
{
    aval__arena *arena = &w->file->arena;
    onnx_node *n = aval__arena_alloc(arena, sizeof *n);
    if (!n) return NULL;
    aval__onnx__node__init(n);
    n->op_type = (char *)(uintptr_t)op;
    n->input = aval__arena_alloc(arena, (inputs + 1) * sizeof *n->input);
    n->output = aval__arena_alloc(arena, (outputs + 1) * sizeof *n->output);
    n->attribute = aval__arena_alloc(arena, (attributes + 1) * sizeof *n->attribute);
    return n->input && n->output && n->attribute ? n : NULL;
}

void onnx_put_input(onnx_node *node, const char *name)
{
    node->input[node->n_input++] = (char *)(uintptr_t)name;
}

void onnx_put_output(onnx_node *node, const char *name)
{
    node->output[node->n_output++] = (char *)(uintptr_t)name;
}

/* "aval::Scale" once, however many nodes there are. */
static void note_foreign(onnx_writer *w, const aval__opdef *def)
{
    aval__text label = { 0 }, *foreign = &w->file->foreign;
    aval__opdef_label(&label, def);
    if (!label.failed && (!foreign->at || !strstr(foreign->at, label.at)))
        aval__text_add(foreign, "%s%s", foreign->length ? ", " : "", label.at);
    aval__text_release(&label);
}

static int write_node(onnx_writer *w, const aval_node *node)
{
    onnx_node *out = onnx_new_node(w, node->def->name, node->n_inputs, node->n_outputs, node->attrs.count + node->n_inputs);
    if (!out) return AVAL_E_MEMORY;
    if (node->name) out->name = (char *)(uintptr_t)node->name;
    const char *domain = onnx_domain_of(node->def);
    if (domain[0]) out->domain = (char *)(uintptr_t)domain;
    if (strcmp(domain, "aval") == 0) note_foreign(w, node->def);
    if (w->file->least < least_of_form(node->def)) w->file->least = least_of_form(node->def);
    AVAL__TRY(add_inputs(w, node, out));
    AVAL__TRY(add_node_outputs(w, node, out));
    AVAL__TRY(add_attributes(w, node, out));
    AVAL__TRY(aval__vec_push(&w->file->all, node));
    return aval__vec_push(w->nodes, out);
}

static int (*const writers[])(onnx_writer *w, const aval_node *node) = {
    [AVAL__OP] = write_node,
    [AVAL__GRADIENT_REQUEST] = onnx_write_gradient,
    [AVAL__LOOP] = onnx_write_loop,
};

int onnx_write_node(onnx_writer *w, const aval_node *node)
{
    int status = writers[node->kind](w, node);
    if (status == AVAL_OK || status == AVAL_E_MEMORY) return status;
    aval__text label = { 0 };
    aval__node_label(&label, node);
    status = label.failed ? AVAL_E_MEMORY : aval__fail_in(status, "%s", label.at);
    aval__text_release(&label);
    return status;
}

int onnx_write_identity(onnx_writer *w, const char *from, const char *to)
{
    onnx_node *n = onnx_new_node(w, "Identity", 1, 1, 0);
    if (!n) return AVAL_E_MEMORY;
    onnx_put_input(n, from);
    onnx_put_output(n, to);
    return aval__vec_push(w->nodes, n);
}

int onnx_write_constant(onnx_writer *w, const char *name, const aval_tensor *shape, const void *data)
{
    onnx_node *n = onnx_new_node(w, "Constant", 0, 1, 1);
    onnx_attribute *a = n ? onnx_put_attribute(w, n, "value", ONNX_TENSOR) : NULL;
    if (!a) return AVAL_E_MEMORY;
    a->t = onnx_write_tensor(w, shape, data);
    if (!a->t) return AVAL_E_MEMORY;
    onnx_put_output(n, name);
    return aval__vec_push(w->nodes, n);
}
