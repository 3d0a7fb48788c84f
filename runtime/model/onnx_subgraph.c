/* Operators whose attributes are graphs.  Of an If the nodes of both branches are added to the graph, where they see the names around them;
 * planning drops the branch that is not taken.  What turns has a graph of its own (onnx_loop.c). */
#include "model/onnx.h"

#include <string.h>

const char *onnx_path_within(onnx_reader *r, const onnx_scope *scope, const onnx_node *node, const char *part)
{
    aval__text path = { 0 };
    const char *name = onnx_text(node->name);
    if (!name[0] && node->n_output > 0) name = node->output[0];
    aval__text_add(&path, "%s%.200s/%s", scope->path, name, part);
    char *kept = path.failed ? NULL : aval__arena_text(&r->out->arena, path.at);
    aval__text_release(&path);
    return kept;
}

/* ---- Graphs within nodes ------------------------------------------------------------------------------------------------------------ */

int onnx_graph_of(onnx_reader *r, const onnx_attrs *attrs, const char *name, const onnx_graph **out)
{
    const onnx_attribute *a = onnx_attrs_find(attrs, name);
    if (!a || !a->has_g) return aval__fail(AVAL_E_FORMAT, "attribute %s, a graph, is missing", name);
    return onnx_unpack_graph(r, &a->g, out);
}

static int name_inputs(onnx_scope *inner, const onnx_graph *graph, aval_value *const *inputs, size_t n_inputs)
{
    if (graph->n_input != n_inputs) return aval__fail(AVAL_E_FORMAT, "expected a graph of %zu inputs, found %zu", n_inputs, graph->n_input);
    for (size_t i = 0; i < n_inputs; i++) AVAL__TRY(onnx_names_add(&inner->names, onnx_text(graph->input[i]->name), inputs[i]));
    return AVAL_OK;
}

int onnx_take_outputs(onnx_reader *r, onnx_scope *inner, const onnx_graph *graph, aval_value **outputs, size_t n_outputs)
{
    if (graph->n_output != n_outputs)
        return aval__fail(AVAL_E_FORMAT, "expected a graph of %zu outputs, found %zu", n_outputs, graph->n_output);
    for (size_t i = 0; i < n_outputs; i++) {
        const char *name = onnx_text(graph->output[i]->name);
        int status = onnx_find_value(r, inner, name, &outputs[i]);
        if (status == AVAL_E_UNKNOWN) return aval__fail(AVAL_E_FORMAT, "nothing gives the output '%.200s' of its graph", name);
        AVAL__TRY(status);
    }
    return AVAL_OK;
}

/* The nodes of an attribute's graph, with these values for its inputs. */
static int add_graph(onnx_reader *r, onnx_scope *outer, const onnx_graph *graph, const char *path, aval_value *const *inputs,
                     size_t n_inputs, aval_value **outputs, size_t n_outputs)
{
    onnx_scope inner = {
        .outer = outer, .path = path, .opsets = outer->opsets, .n_opsets = outer->n_opsets, .given = outer->given, .depth = outer->depth + 1
    };
    int status = AVAL_OK;
    if (!path) return AVAL_E_MEMORY;
    if (inner.depth > ONNX_MOST_DEPTH) return aval__fail(AVAL_E_FORMAT, "graphs within graphs are more than %d deep", ONNX_MOST_DEPTH);
    AVAL__TRY_DONE(name_inputs(&inner, graph, inputs, n_inputs));
    AVAL__TRY_DONE(onnx_add_initializers(r, &inner, graph));
    AVAL__TRY_DONE(onnx_add_nodes(r, &inner, graph->node, graph->n_node));
    AVAL__TRY_DONE(onnx_take_outputs(r, &inner, graph, outputs, n_outputs));
done:
    onnx_names_release(&inner.names);
    return status;
}

/* ---- If --------------------------------------------------------------------------------------------------------------------------------- */

static int choose(onnx_reader *r, aval_value *condition, aval_value *const *yes, aval_value *const *no, size_t count, aval_value **outputs)
{
    for (size_t i = 0; i < count; i++) {
        outputs[i] = NULL;
        if (!condition || !yes[i] || !no[i]) continue; /* what is missing has been told */
        AVAL__TRY(onnx_make(r, "aval::Choose", NULL, (aval_value *[]){ condition, yes[i], no[i] }, 3, &outputs[i], 1));
    }
    return AVAL_OK;
}

static int add_if(onnx_reader *r, onnx_scope *scope, const onnx_node *node, const onnx_attrs *attrs, aval_value *const *inputs,
                  aval_value **outputs)
{
    const onnx_graph *yes, *no;
    size_t n = node->n_output;
    if (node->n_input != 1) return aval__fail(AVAL_E_FORMAT, "expected one input, found %zu", node->n_input);
    AVAL__TRY(onnx_graph_of(r, attrs, "then_branch", &yes));
    AVAL__TRY(onnx_graph_of(r, attrs, "else_branch", &no));
    const unsigned char *known = inputs[0] && inputs[0]->tensor.type == AVAL_BOOL ? inputs[0]->data : NULL;
    const char *yes_path = onnx_path_within(r, scope, node, "then/"), *no_path = onnx_path_within(r, scope, node, "else/");
    if (known && aval__tensor_count(&inputs[0]->tensor) == 1)
        return add_graph(r, scope, *known ? yes : no, *known ? yes_path : no_path, NULL, 0, outputs, n);
    aval_value **both = aval__alloc_array(2 * n, sizeof(aval_value *));
    if (!both) return AVAL_E_MEMORY;
    int status = add_graph(r, scope, yes, yes_path, NULL, 0, both, n);
    if (status == AVAL_OK) status = add_graph(r, scope, no, no_path, NULL, 0, both + n, n);
    if (status == AVAL_OK) status = choose(r, inputs[0], both, both + n, n, outputs);
    aval__free(both);
    return status;
}

/* ---- Which ------------------------------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *domain, *op;
    onnx_control add;
} controls[] = {
    { "", "If", add_if },
    { "", "Loop", onnx_add_loop },
    { "", "Scan", onnx_add_scan },
    { "ai.onnx.preview.training", "Gradient", onnx_add_gradient },
};

onnx_control onnx_control_of(const onnx_node *node)
{
    const char *domain = onnx_text(node->domain);
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    for (size_t i = 0; i < sizeof controls / sizeof *controls; i++)
        if (strcmp(controls[i].domain, domain) == 0 && strcmp(controls[i].op, onnx_text(node->op_type)) == 0) return controls[i].add;
    return NULL;
}
