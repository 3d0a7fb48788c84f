/* Definitions: labels for messages, kinds for listings, names for expressions, and the backward of a recorder as a definition. */
#include "op/registry.h"

#include <string.h>

void aval__opdef_label(aval__text *text, const aval__opdef *def)
{
    if (*def->domain) aval__text_add(text, "%s::%s", def->domain, def->name);
    else aval__text_add(text, "%s", def->name);
}

size_t aval__ports_count(const aval_port *ports)
{
    size_t n = 0;
    while (ports && ports[n].name) n++;
    return n;
}

/* ---- Kinds --------------------------------------------------------------------------------------------------------------------------- */

const char *aval_op_forward_kind(const aval_op *op)
{
    AVAL__NEED_OR("", op, "an operator");
    return op->expressions ? "expression" : op->forward ? "kernels" : "body";
}

/* Does no input have a derivative other than 0?  Integers and bools have none. */
static bool is_constant(const aval_op *op)
{
    for (size_t i = 0; op->inputs && op->inputs[i].name; i++) {
        uint64_t types = op->inputs[i].types ? op->inputs[i].types : AVAL_FLOATS;
        if (types & AVAL_FLOATS && !(op->zero_gradient >> i & 1u)) return false;
    }
    return true;
}

const char *aval_op_gradient_kind(const aval_op *op)
{
    AVAL__NEED_OR("", op, "an operator");
    if (op->backward) return "kernels";
    if (op->backward_body) return "body";
    if (is_constant(op)) return "zero";
    return op->expressions ? "expression" : op->body ? "body" : "none";
}

/* ---- Names in expressions -------------------------------------------------------------------------------------------------------------- */

static bool is_name(const char *candidate, const char *name, size_t length)
{
    return strncmp(candidate, name, length) == 0 && !candidate[length];
}

static bool find_port(const aval_port *ports, const char *name, size_t length, uint32_t *index)
{
    for (size_t i = 0; ports && ports[i].name; i++) {
        if (is_name(ports[i].name, name, length)) {
            *index = (uint32_t)i;
            return true;
        }
    }
    return false;
}

static bool resolve_forward(void *user, const char *name, size_t length, aval__leaf *leaf)
{
    const aval_op *op = user;
    leaf->kind = AVAL__LEAF_INPUT;
    if (find_port(op->inputs, name, length, &leaf->index)) return true;
    leaf->kind = AVAL__LEAF_ATTR;
    for (size_t i = 0; op->attrs && op->attrs[i].name; i++) {
        bool number = op->attrs[i].type == AVAL_ATTR_INT || op->attrs[i].type == AVAL_ATTR_FLOAT;
        if (number && is_name(op->attrs[i].name, name, length)) {
            leaf->index = (uint32_t)i;
            return true;
        }
    }
    return false;
}

static bool resolve_derivative(void *user, const char *name, size_t length, aval__leaf *leaf)
{
    const aval_op *op = user;
    if (resolve_forward(user, name, length, leaf)) return true;
    leaf->kind = AVAL__LEAF_OUTPUT;
    return find_port(op->outputs, name, length, &leaf->index);
}

static void list_ports(const aval_port *ports, aval__text *text)
{
    for (size_t i = 0; ports && ports[i].name; i++) aval__text_add(text, "%s%s", i ? ", " : "", ports[i].name);
}

static void list_forward(void *user, aval__text *text)
{
    const aval_op *op = user;
    list_ports(op->inputs, text);
    for (size_t i = 0; op->attrs && op->attrs[i].name; i++)
        if (op->attrs[i].type == AVAL_ATTR_INT || op->attrs[i].type == AVAL_ATTR_FLOAT) aval__text_add(text, ", %s", op->attrs[i].name);
}

static void list_derivative(void *user, aval__text *text)
{
    list_forward(user, text);
    aval__text_add(text, ", ");
    list_ports(((const aval_op *)user)->outputs, text);
}

aval__names aval__op_names(const aval_op *op, bool outputs)
{
    return (aval__names){ .resolve = outputs ? resolve_derivative : resolve_forward,
                          .user = (void *)op,
                          .list = outputs ? list_derivative : list_forward };
}

/* ---- Backward of a recorder --------------------------------------------------------------------------------------------------------------- */

static size_t count_bits(uint64_t bits)
{
    size_t n = 0;
    for (; bits; bits &= bits - 1) n++;
    return n;
}

static int make_backward(aval__arena *arena, const aval__opdef *of, size_t key, const aval__opdef **out)
{
    (void)key;
    aval__opdef *def = aval__arena_alloc(arena, sizeof *def);
    char *name = aval__arena_alloc(arena, strlen(of->name) + 2);
    if (!def || !name) return AVAL_E_MEMORY;
    memcpy(name, of->name, strlen(of->name));
    name[strlen(of->name)] = '\'';
    *def = (aval__opdef){
        .kind = AVAL__BACKWARD,
        .op = of->op,
        .name = name,
        .domain = of->domain,
        .plugin = of->plugin,
        .forward_of = of,
        .source = of->source,
        .n_inputs = count_bits(of->op->keeps) + of->n_outputs + count_bits(of->op->accumulates),
        .n_outputs = of->n_inputs,
        .variadic = of->variadic,
    };
    *out = def;
    return AVAL_OK;
}

const aval__opdef *aval__opdef_backward(aval__registry *registry, const aval__opdef *def)
{
    if (!def->op->backward) {
        aval__fail(AVAL_E_GRADIENT, "op '%s' has no backward recorder", def->name);
        return NULL;
    }
    const aval__opdef *out;
    return aval__registry_derived(registry, def, AVAL__KEY_BACKWARD, make_backward, &out) < 0 ? NULL : out;
}
