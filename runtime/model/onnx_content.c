/* Which initializers become constants: those that shapes are computed from, since planning must know their content; all others are states,
 * which can be trained. */
#include "model/onnx.h"

#include <string.h>

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

int onnx_content_names(const onnx_reader *r, const onnx_scope *scope, onnx_names *out)
{
    const onnx_graph *graph = r->model->graph;
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
