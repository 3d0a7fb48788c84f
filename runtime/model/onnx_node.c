/* ONNX nodes become nodes of the graph: the definition is the newest that the model's operator set has, attributes become a text, names
 * become values. */
#include "model/onnx.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

#define MOST_LINES 100 /* of the list of problems */

int onnx_problem(onnx_reader *r, int code)
{
    if (code == AVAL_E_MEMORY) return code;
    if (code != AVAL_E_UNSUPPORTED && code != AVAL_E_TYPE && r->code == 0) r->code = code;
    if (r->n_problems++ < MOST_LINES) aval__text_add(&r->problems, "\n  %s", aval_error());
    return r->problems.failed ? AVAL_E_MEMORY : AVAL_OK;
}

/* Puts "node 'conv1' (Conv): " before the message. */
static int blame(const onnx_scope *scope, const onnx_node *node, int code)
{
    const char *name = onnx_text(node->name), *domain = onnx_text(node->domain);
    const char *first = node->n_output > 0 ? node->output[0] : "";
    return aval__fail_in(code, "node '%s%.200s' (%.100s%s%.100s)", scope->path, name[0] ? name : first, domain, domain[0] ? "::" : "",
                         onnx_text(node->op_type));
}

/* ---- Operators ---------------------------------------------------------------------------------------------------------------------- */

/* ONNX's own domain has two spellings. */
static const char *spelling(const char *domain)
{
    return strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

int64_t onnx_version_of(const onnx_scope *scope, const char *domain)
{
    for (size_t i = 0; i < scope->n_opsets; i++)
        if (strcmp(spelling(onnx_text(scope->opsets[i]->domain)), spelling(domain)) == 0) return scope->opsets[i]->version;
    return 0;
}

static const aval__opdef *find(const onnx_reader *r, const onnx_node *node, int64_t version)
{
    char label[NAME_MAX];
    const char *domain = spelling(onnx_text(node->domain)), *name = onnx_text(node->op_type);
    if (strlen(domain) + strlen(name) + 10 > sizeof label || strchr(name, ':')) return NULL;
    strcpy(label, domain[0] ? domain : "ai.onnx");
    strcat(strcat(label, "::"), name);
    return aval__registry_find(r->g->registry, label, version > UINT32_MAX || version < 0 ? 0 : (uint32_t)version);
}

const aval__opdef *onnx_definition(const onnx_reader *r, const onnx_scope *scope, const onnx_node *node)
{
    int64_t version = onnx_version_of(scope, onnx_text(node->domain));
    return version > 0 ? find(r, node, version) : NULL;
}

static int fail_operator(const onnx_reader *r, const onnx_scope *scope, const onnx_node *node)
{
    int64_t version = onnx_version_of(scope, onnx_text(node->domain));
    const aval__opdef *newest = find(r, node, 0);
    if (version <= 0)
        return aval__fail(AVAL_E_UNSUPPORTED, "the model does not say which version of the operators of domain '%.100s' it uses",
                          onnx_text(node->domain));
    if (!newest) return aval__fail(AVAL_E_UNSUPPORTED, "operator %.100s", onnx_text(node->op_type));
    return aval__fail(AVAL_E_UNSUPPORTED, "operator %s as of version %" PRId64 " (there is that of %u)", newest->name, version,
                      (unsigned)newest->op->since);
}

/* ---- Inputs and outputs -------------------------------------------------------------------------------------------------------------- */

/* Scopes are at most ONNX_MOST_DEPTH deep. */
int onnx_find_value(onnx_reader *r, onnx_scope *scope, const char *name, aval_value **value)
{
    aval_value *outer = NULL;
    if (onnx_names_find(&scope->names, name, value)) return AVAL_OK;
    if (!scope->outer) return AVAL_E_UNKNOWN;
    AVAL__TRY(onnx_find_value(r, scope->outer, name, &outer));
    *value = outer;
    if (!scope->body || !outer) return AVAL_OK;
    AVAL__TRY(onnx_capture(r, scope->body, outer, value));
    return onnx_names_add(&scope->names, name, *value);
}

static int find_value(onnx_reader *r, onnx_scope *scope, const char *name, aval_value **value)
{
    *value = NULL;
    int status = name[0] ? onnx_find_value(r, scope, name, value) : AVAL_OK;
    if (status != AVAL_E_UNKNOWN) return status;
    return aval__fail(
        AVAL_E_FORMAT,
        "its input '%.200s' is neither an input nor an initializer nor computed before it: a tensor is missing, or there is a "
        "cycle",
        name);
}

/* *broken: one comes from something that cannot be done. */
static int find_inputs(onnx_reader *r, onnx_scope *scope, const onnx_node *node, aval_value **inputs, bool *broken)
{
    *broken = false;
    for (size_t i = 0; i < node->n_input; i++) {
        AVAL__TRY(find_value(r, scope, node->input[i], &inputs[i]));
        *broken = *broken || (node->input[i][0] && !inputs[i]);
    }
    return AVAL_OK;
}

/* A name of the file, with the path before it.  In files that aval wrote it is there already. */
static void add_path(const onnx_scope *scope, const char *name, aval__text *full)
{
    bool there = strncmp(name, scope->path, strlen(scope->path)) == 0;
    aval__text_add(full, "%s%s", there ? "" : scope->path, name);
}

static int name_value(const onnx_scope *scope, const char *name, aval_value *value)
{
    if (value->name) return AVAL_OK;
    aval__text full = { 0 };
    add_path(scope, name, &full);
    if (!full.failed) aval_value_set_name(value, full.at);
    int status = full.failed ? AVAL_E_MEMORY : value->graph->status;
    aval__text_release(&full);
    return status;
}

int onnx_name_outputs(onnx_scope *scope, const onnx_node *node, aval_value *const *outputs)
{
    for (size_t i = 0; i < node->n_output; i++) {
        if (!node->output[i][0]) continue;
        AVAL__TRY(onnx_names_add(&scope->names, node->output[i], outputs ? outputs[i] : NULL));
        if (outputs && outputs[i]) AVAL__TRY(name_value(scope, node->output[i], outputs[i]));
    }
    return AVAL_OK;
}

/* ---- Attributes ------------------------------------------------------------------------------------------------------------------------ */

/* Those of the node, with references to the function's own replaced by what the call gave; absent there is absent here. */
static int resolve_attrs(onnx_reader *r, const onnx_scope *scope, const onnx_node *node, onnx_attrs *out)
{
    onnx_attr *at = aval__arena_alloc(&r->out->arena, (node->n_attribute + 1) * sizeof *at);
    if (!at) return AVAL_E_MEMORY;
    *out = (onnx_attrs){ .at = at };
    for (size_t i = 0; i < node->n_attribute; i++) {
        const onnx_attribute *content = node->attribute[i];
        const char *reference = onnx_text(content->ref_attr_name);
        if (reference[0]) content = onnx_attrs_find(&scope->given, reference);
        if (content) at[out->count++] = (onnx_attr){ onnx_text(node->attribute[i]->name), content };
    }
    return AVAL_OK;
}

/* A tensor that is an attribute in ONNX and an input here. */
static int add_tensor_inputs(onnx_reader *r, const aval__opdef *def, const onnx_attrs *attrs, aval_value **inputs, size_t *n_inputs)
{
    for (size_t i = 0; i < def->n_inputs; i++) {
        aval_tensor shape;
        const void *data;
        const onnx_attribute *content = onnx_attrs_find(attrs, def->op->inputs[i].name);
        if (!content || !content->t || inputs[i]) continue;
        AVAL__TRY(onnx_tensor_read(&r->out->arena, r->folder, content->t, &shape, &data));
        AVAL__TRY(aval__graph_add_constant(r->g, &shape, data, &inputs[i]));
        if (*n_inputs <= i) *n_inputs = i + 1;
    }
    return AVAL_OK;
}

/* ---- Constants: the one operator that has no inputs and whose attribute is its output ------------------------------------------------- */

static int constant_of(onnx_reader *r, const onnx_attrs *attrs, aval_value **out)
{
    if (attrs->count != 1) return aval__fail(AVAL_E_FORMAT, "expected one attribute, found %zu", attrs->count);
    const onnx_attribute *a = attrs->at[0].content;
    int type = onnx_attribute_type_of(a);
    aval_tensor shape;
    const void *data = NULL;
    double few[1];
    int64_t n_floats = (int64_t)a->n_floats, n_ints = (int64_t)a->n_ints;
    switch (type) {
    case ONNX_TENSOR:
        if (!a->t) return aval__fail(AVAL_E_FORMAT, "its tensor is missing");
        AVAL__TRY(onnx_tensor_read(&r->out->arena, r->folder, a->t, &shape, &data));
        break;
    case ONNX_FLOAT:
        AVAL__TRY(aval__tensor_set(&shape, AVAL_FLOAT, 0, NULL));
        memcpy(few, &a->f, sizeof a->f);
        data = few;
        break;
    case ONNX_INT:
        AVAL__TRY(aval__tensor_set(&shape, AVAL_INT64, 0, NULL));
        memcpy(few, &a->i, sizeof a->i);
        data = few;
        break;
    case ONNX_FLOATS:
        AVAL__TRY(aval__tensor_set(&shape, AVAL_FLOAT, 1, &n_floats));
        data = a->floats;
        break;
    case ONNX_INTS:
        AVAL__TRY(aval__tensor_set(&shape, AVAL_INT64, 1, &n_ints));
        data = a->ints;
        break;
    default: return aval__fail(AVAL_E_UNSUPPORTED, "attribute %.100s", attrs->at[0].name);
    }
    return aval__graph_add_constant(r->g, &shape, data, out);
}

static int add_constant(onnx_reader *r, onnx_scope *scope, const onnx_node *node, const onnx_attrs *attrs)
{
    aval_value *value = NULL;
    if (node->n_output != 1) return aval__fail(AVAL_E_FORMAT, "expected one output, found %zu", node->n_output);
    int status = constant_of(r, attrs, &value);
    if (status == AVAL_E_UNSUPPORTED) AVAL__TRY(onnx_problem(r, blame(scope, node, status)));
    else if (status < 0) return status;
    return onnx_name_outputs(scope, node, value ? &value : NULL);
}

/* ---- Nodes ------------------------------------------------------------------------------------------------------------------------------- */

static size_t without_absent(aval_value *const *inputs, size_t count)
{
    while (count > 0 && !inputs[count - 1]) count--;
    return count;
}

/* An op that updates states, where what it would update is none (the model feeds or computes it): its form in aval's own domain, which gives
   the new content as an ordinary result. */
static const aval__opdef *form_without_updates(const onnx_reader *r, const aval__opdef *def, const onnx_node *node,
                                               aval_value *const *inputs, size_t n_inputs)
{
    const aval__opdef *other = NULL;
    char label[NAME_MAX] = "aval::";
    for (size_t i = 0; i < node->n_output && i < def->n_outputs && strlen(def->name) + 10 < sizeof label; i++) {
        size_t state = def->op->outputs[i].updates;
        if (state == 0 || state > n_inputs || !inputs[state - 1] || inputs[state - 1]->kind == AVAL__STATE || !node->output[i][0]) continue;
        other = aval__registry_find(r->g->registry, strcat(label, def->name), 0);
        break;
    }
    return other ? other : def;
}

/* *made stays NULL where a problem was found. */
static int make_node(onnx_reader *r, const onnx_scope *scope, const onnx_node *node, const onnx_attrs *given, aval_value **inputs,
                     size_t n_inputs, bool broken, aval_node **made)
{
    const aval__opdef *def = onnx_definition(r, scope, node);
    aval__arena arena = { 0 };
    aval__text text = { 0 };
    aval__attrs attrs;
    int status = AVAL_OK;
    if (!def) AVAL__TRY_DONE(fail_operator(r, scope, node));
    def = form_without_updates(r, def, node, inputs, n_inputs);
    size_t n_outputs = node->n_output > def->n_outputs ? node->n_output : def->n_outputs;
    bool many = def->op->outputs[def->n_outputs - 1].flags & AVAL_VARIADIC;
    if (n_outputs > AVAL_MAX_PORTS || (n_outputs > def->n_outputs && !many))
        AVAL__TRY_DONE(aval__fail(AVAL_E_UNSUPPORTED, "%zu outputs (there may be %zu)", node->n_output,
                                  many ? (size_t)AVAL_MAX_PORTS : def->n_outputs));
    AVAL__TRY_DONE(onnx_attrs_text(given, def->op, &text));
    AVAL__TRY_DONE(onnx_attrs_seed(given, def->op, r->n_nodes, &text));
    AVAL__TRY_DONE(aval__attrs_parse(&arena, def->op->attrs, text.at, &attrs));
    if (broken) goto done;
    AVAL__TRY_DONE(add_tensor_inputs(r, def, given, inputs, &n_inputs));
    AVAL__TRY_DONE(aval__graph_check_inputs(r->g, def, inputs, n_inputs));
    AVAL__TRY_DONE(aval__graph_add_node(r->g, def, &attrs, inputs, n_inputs, n_outputs, made));
done:
    aval__text_release(&text);
    aval__arena_release(&arena);
    return status;
}

static int name_node(const onnx_scope *scope, const onnx_node *node, aval_node *made)
{
    aval__text full = { 0 };
    if (!onnx_text(node->name)[0]) return AVAL_OK;
    add_path(scope, node->name, &full);
    if (!full.failed) aval_node_set_name(made, full.at);
    int status = full.failed ? AVAL_E_MEMORY : made->graph->status;
    aval__text_release(&full);
    return status;
}

static int add_op(onnx_reader *r, onnx_scope *scope, const onnx_node *node, const onnx_attrs *attrs, aval_value **inputs, bool broken)
{
    aval_node *made = NULL;
    size_t n_inputs = without_absent(inputs, node->n_input);
    int status = make_node(r, scope, node, attrs, inputs, n_inputs, broken, &made);
    if (status == AVAL_E_FORMAT || status == AVAL_E_IO) return status;
    if (status < 0) AVAL__TRY(onnx_problem(r, blame(scope, node, status)));
    if (made) AVAL__TRY(name_node(scope, node, made));
    return onnx_name_outputs(scope, node, made ? made->outputs : NULL);
}

/* Functions, and operators with graphs in their attributes: several nodes in the place of one. */
static int add_several(onnx_reader *r, onnx_scope *scope, const onnx_node *node, const onnx_function *function, const onnx_attrs *attrs,
                       aval_value *const *inputs)
{
    aval_value **outputs = aval__alloc_array(node->n_output, sizeof(aval_value *));
    if (!outputs) return AVAL_E_MEMORY;
    int status = function ? onnx_call(r, scope, node, function, attrs, inputs, node->n_input, outputs)
                          : onnx_control_of(node)(r, scope, node, attrs, inputs, outputs);
    if (status == AVAL_E_UNSUPPORTED) status = onnx_problem(r, blame(scope, node, status));
    if (status == AVAL_OK) status = onnx_name_outputs(scope, node, outputs);
    aval__free(outputs);
    return status;
}

int onnx_make_form(onnx_reader *r, const char *op, uint32_t version, const char *attrs, aval_value *const *inputs, size_t n_inputs,
                   aval_value **outputs, size_t n)
{
    const aval__opdef *def = aval__registry_find(r->g->registry, op, version);
    aval__arena arena = { 0 };
    aval__attrs parsed;
    aval_node *made = NULL;
    if (!def) return aval__fail(AVAL_E_UNSUPPORTED, "no loaded plugin has the operator %s, which it needs", op);
    bool many = def->op->outputs[def->n_outputs - 1].flags & AVAL_VARIADIC;
    int status = aval__attrs_parse(&arena, def->op->attrs, attrs ? attrs : "", &parsed);
    if (status == AVAL_OK) status = aval__graph_add_node(r->g, def, &parsed, inputs, n_inputs, many ? n : 0, &made);
    for (size_t i = 0; status == AVAL_OK && i < n; i++) outputs[i] = made->outputs[i];
    aval__arena_release(&arena);
    return status;
}

int onnx_make(onnx_reader *r, const char *op, const char *attrs, aval_value *const *inputs, size_t n_inputs, aval_value **outputs, size_t n)
{
    return onnx_make_form(r, op, 0, attrs, inputs, n_inputs, outputs, n);
}

static int add_node(onnx_reader *r, onnx_scope *scope, const onnx_node *node)
{
    onnx_attrs attrs;
    bool broken;
    if (++r->n_nodes > ONNX_MOST_NODES) return aval__fail(AVAL_E_FORMAT, "more than %d nodes", ONNX_MOST_NODES);
    AVAL__TRY(resolve_attrs(r, scope, node, &attrs));
    const onnx_function *function = onnx_function_of(r, node);
    bool several = function || onnx_control_of(node);
    if (!function && strcmp(onnx_text(node->op_type), "Constant") == 0 && !*spelling(onnx_text(node->domain)))
        return add_constant(r, scope, node, &attrs);
    aval_value **inputs = aval__alloc_array(node->n_input + AVAL_MAX_PORTS, sizeof(aval_value *)); /* and tensors that are attributes */
    if (!inputs) return AVAL_E_MEMORY;
    int status = find_inputs(r, scope, node, inputs, &broken);
    if (status == AVAL_OK)
        status = several ? add_several(r, scope, node, function, &attrs, inputs) : add_op(r, scope, node, &attrs, inputs, broken);
    aval__free(inputs);
    return status;
}

int onnx_add_nodes(onnx_reader *r, onnx_scope *scope, onnx_node *const *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int status = add_node(r, scope, nodes[i]);
        if (status < 0 && !r->blamed) blame(scope, nodes[i], status); /* the innermost, not each call on the way to it */
        r->blamed = r->blamed || status < 0;
        if (status < 0) return status;
    }
    return AVAL_OK;
}
