/* Initializers.  Those become constants that shapes are computed from, since planning must know their content; all others of real
 * numbers are states, which can be trained. */
#include "model/onnx.h"

#include <string.h>

#define SMALL_ELEMENTS 64 /* initializers up to this size become constants where shapes may be computed from them */

/* Operators whose result does not depend on the content of their input. */
static const char *const only_shapes[] = { "Shape", "Size" };

static bool reads_content(const onnx_node *node)
{
    for (size_t i = 0; i < sizeof only_shapes / sizeof *only_shapes; i++)
        if (strcmp(onnx_text(node->op_type), only_shapes[i]) == 0) return false;
    return true;
}

static int add(onnx_names *names, const char *name)
{
    aval_value *there;
    return !name[0] || onnx_names_find(names, name, &there) ? AVAL_OK : onnx_names_add(names, name, NULL);
}

static bool gives_content(const onnx_names *names, const onnx_node *node)
{
    aval_value *there;
    for (size_t i = 0; i < node->n_output; i++)
        if (onnx_names_find(names, node->output[i], &there)) return reads_content(node);
    return false;
}

int onnx_content_names(const onnx_reader *r, const onnx_scope *scope, const onnx_graph *graph, onnx_names *out)
{
    for (size_t n = graph->n_node; n-- > 0;) { /* readers before producers */
        const onnx_node *node = graph->node[n];
        const aval__opdef *def = onnx_definition(r, scope, node);
        bool all = gives_content(out, node);
        for (size_t i = 0; i < node->n_input; i++) {
            size_t port = def && def->n_inputs ? aval__input_port(def, i) : 0;
            bool shape = def && port < def->n_inputs && def->op->inputs[port].flags & AVAL_SHAPE_INPUT;
            if (all || shape) AVAL__TRY(add(out, node->input[i]));
        }
    }
    return AVAL_OK;
}

/* ---- Initializers ------------------------------------------------------------------------------------------------------------------- */

static int add_state(onnx_reader *r, const onnx_scope *scope, const char *name, const aval_tensor *shape, const void *data,
                     aval_value **value)
{
    aval__text full = { 0 };
    aval__text_add(&full, "%s%s", scope->path, name);
    *value = full.failed ? NULL : aval_graph_state(r->g, full.at, shape->type, (size_t)shape->rank, shape->dims);
    aval__text_release(&full);
    if (!*value) return r->g->status < 0 ? aval_graph_status(r->g) : AVAL_E_MEMORY;
    return aval__vec_push(&r->out->states, (aval__onnx_state){ *value, data });
}

static int add_initializer(onnx_reader *r, onnx_scope *scope, const onnx_names *contents, const onnx_tensor *t)
{
    aval_tensor shape;
    const void *data;
    aval_value *value = NULL, *there;
    const char *name = onnx_text(t->name);
    int status = onnx_tensor_read(&r->out->arena, r->folder, t, &shape, &data);
    if (status == AVAL_E_UNSUPPORTED) AVAL__TRY(onnx_problem(r, aval__fail_in(status, "initializer '%.200s'", name)));
    else if (status < 0) return aval__fail_in(status, "initializer '%.200s'", name);
    else {
        bool is_float = (AVAL_FLOATS & AVAL_TYPE_SET(shape.type)) != 0;
        bool known = aval__tensor_count(&shape) <= SMALL_ELEMENTS && onnx_names_find(contents, name, &there);
        if (is_float && !known && name[0]) AVAL__TRY(add_state(r, scope, name, &shape, data, &value));
        else AVAL__TRY(aval__graph_add_constant(r->g, &shape, data, &value));
    }
    AVAL__TRY(onnx_names_add(&scope->names, name, value));
    if (value && !value->name && name[0]) aval_value_set_name(value, name);
    return r->g->status;
}

int onnx_add_initializers(onnx_reader *r, onnx_scope *scope, const onnx_graph *graph)
{
    onnx_names contents = { 0 };
    int status = onnx_content_names(r, scope, graph, &contents);
    for (size_t i = 0; i < graph->n_initializer && status == AVAL_OK; i++)
        status = add_initializer(r, scope, &contents, graph->initializer[i]);
    onnx_names_release(&contents);
    return status;
}
