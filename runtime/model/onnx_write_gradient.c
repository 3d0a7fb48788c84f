/* A request for a gradient becomes ONNX's Gradient (ai.onnx.preview.training), which names what it differentiates, and by what. */
#include "model/onnx_write.h"

#include <string.h>

static int put_text(onnx_writer *w, onnx_node *out, const char *name, const char *text)
{
    onnx_attribute *a = onnx_put_attribute(w, out, name, ONNX_STRING);
    if (!a) return AVAL_E_MEMORY;
    a->s = (ProtobufCBinaryData){ .len = strlen(text), .data = (uint8_t *)(uintptr_t)text };
    a->has_s = 1;
    return AVAL_OK;
}

/* The node's inputs from `first` up to `end`. */
static int put_names(onnx_writer *w, onnx_node *out, const char *name, size_t first, size_t end)
{
    onnx_attribute *a = onnx_put_attribute(w, out, name, ONNX_STRINGS);
    if (!a) return AVAL_E_MEMORY;
    a->strings = aval__arena_alloc(&w->file->arena, (end - first + 1) * sizeof *a->strings);
    if (!a->strings) return AVAL_E_MEMORY;
    for (size_t i = first; i < end; i++)
        a->strings[a->n_strings++] = (ProtobufCBinaryData){ .len = strlen(out->input[i]), .data = (uint8_t *)out->input[i] };
    return AVAL_OK;
}

/* What else `of` is computed from: inputs and weights, not by way of `wrt`.  In the order of ids. */
static int list_others(const onnx_writer *w, aval_value *of, const aval_value *wrt, bool *is_other)
{
    aval_node **order;
    size_t count;
    bool *is_read = aval__alloc_array(w->g->values.count, sizeof *is_read);
    int status = is_read ? aval__graph_order(w->g, &of, 1, &order, &count) : AVAL_E_MEMORY;
    if (status == AVAL_OK) {
        is_read[of->id] = true;
        for (size_t n = count; n-- > 0;) {
            bool reads = false;
            for (size_t i = 0; i < order[n]->n_outputs; i++) {
                const aval_value *output = order[n]->outputs[i];
                reads = reads || (output && output != wrt && is_read[output->id]);
            }
            for (size_t i = 0; reads && i < order[n]->n_inputs; i++)
                if (order[n]->inputs[i]) is_read[order[n]->inputs[i]->id] = true;
        }
        for (size_t i = 0; i < w->g->values.count; i++) {
            const aval_value *value = w->g->values.at[i];
            is_other[i] = is_read[i] && value != wrt && (value->kind == AVAL__INPUT || value->kind == AVAL__STATE);
        }
        aval__free(order);
    }
    aval__free(is_read);
    return status;
}

int onnx_write_gradient(onnx_writer *w, const aval_node *node)
{
    aval_value *of = node->inputs[0];
    const aval_value *wrt = node->inputs[1];
    if (node->n_inputs > 2 && node->inputs[2])
        return aval__fail(AVAL_E_UNSUPPORTED, "'%s' is a gradient of one's own upstream gradient, for which ONNX has no node",
                          aval__value_label(node->outputs[0]));
    bool *is_other = aval__arena_alloc(&w->file->arena, (w->g->values.count + 1) * sizeof *is_other);
    onnx_node *out = onnx_new_node(w, "Gradient", w->g->values.count, 1, 3);
    if (!out || !is_other) return AVAL_E_MEMORY;
    AVAL__TRY(list_others(w, of, wrt, is_other));
    out->domain = (char *)(uintptr_t)ONNX_TRAINING_DOMAIN;
    onnx_put_input(out, w->name_of[wrt->id]);
    for (size_t i = 0; i < w->g->values.count; i++)
        if (is_other[i]) onnx_put_input(out, w->name_of[i]);
    onnx_put_output(out, w->name_of[node->outputs[0]->id]);
    AVAL__TRY(put_names(w, out, "xs", 0, 1));
    AVAL__TRY(put_text(w, out, "y", w->name_of[of->id]));
    if (out->n_input > 1) AVAL__TRY(put_names(w, out, "zs", 1, out->n_input));
    AVAL__TRY(aval__vec_push(&w->file->all, node));
    return aval__vec_push(w->nodes, out);
}
