/* Contents that the host knows: constants, what was fed and read on the host, and what follows from these through the ops' references.
 * Shape inference asks for them (axes, target shapes). */
#include "graph/parts.h"

#include <string.h>

/* A longer chain of shape arithmetic counts as unknown; folding reaches it all the same. */
#define MAX_DEPTH 256

/* Of a derivative the ports of the op are not its own. */
static bool has_flag(const aval_node *node, size_t i, uint32_t flag)
{
    const aval__opdef *def = node->def;
    return !def->forward_of && def->n_inputs && def->op->inputs[aval__input_port(def, i)].flags & flag;
}

bool aval__node_reads_shape_only(const aval_node *node, size_t i)
{
    return has_flag(node, i, AVAL_SHAPE_ONLY);
}

bool aval__node_reads_a_shape(const aval_node *node, size_t i)
{
    return has_flag(node, i, AVAL_SHAPE_INPUT);
}

int aval__node_compute(aval__arena *arena, const aval_node *node, const void *data[AVAL_MAX_PORTS])
{
    int status = AVAL_OK;
    size_t made = 0, n = node->n_inputs + node->n_outputs;
    aval__host_tensor *tensors = aval__alloc_array(n, sizeof *tensors);
    const aval__host_tensor **inputs = aval__alloc_array(node->n_inputs, sizeof *inputs);
    aval__host_tensor *outputs[AVAL_MAX_PORTS] = { 0 };
    if (!tensors || !inputs) AVAL__TRY_DONE(AVAL_E_MEMORY);

    for (size_t i = 0; i < node->n_inputs; i++) {
        const aval_value *value = node->inputs[i];
        if (!value) continue;
        if (aval__node_reads_shape_only(node, i)) tensors[made].tensor = value->tensor;
        else AVAL__TRY_DONE(aval__host_tensor_make(&tensors[made], &value->tensor));
        if (!aval__node_reads_shape_only(node, i)) aval__host_tensor_from(&tensors[made], value->data);
        inputs[i] = &tensors[made++];
    }
    for (size_t i = 0; i < node->n_outputs; i++) {
        AVAL__TRY_DONE(aval__host_tensor_make(&tensors[made], &node->outputs[i]->tensor));
        outputs[i] = &tensors[made++];
    }
    AVAL__TRY_DONE(aval__reference(node->def, &node->attrs, node->name, inputs, node->n_inputs, outputs, node->n_outputs));
    for (size_t i = 0; i < node->n_outputs; i++) {
        void *bytes = aval__arena_alloc(arena, aval__tensor_bytes(&outputs[i]->tensor) + 1);
        if (!bytes) AVAL__TRY_DONE(AVAL_E_MEMORY);
        aval__host_tensor_to(outputs[i], bytes);
        data[i] = bytes;
    }
done:
    for (size_t i = 0; i < made; i++) aval__host_tensor_release(&tensors[i]);
    aval__free(tensors);
    aval__free(inputs);
    return status;
}

static bool is_beyond_bound(const aval_value *value)
{
    return value->graph->most_content > 0 && aval__tensor_bytes(&value->tensor) > value->graph->most_content;
}

static bool can_compute(const aval_node *node)
{
    if (node->kind != AVAL__OP || node->dead || node->n_outputs > AVAL_MAX_PORTS) return false;
    if (node->def->kind != AVAL__EXPRESSION && node->def->kind != AVAL__KERNELS) return false;
    for (size_t i = 0; i < node->n_outputs; i++)
        if (!node->outputs[i] || !aval__tensor_known(&node->outputs[i]->tensor) || aval__node_updates(node, i) ||
            is_beyond_bound(node->outputs[i]))
            return false;
    return true;
}

static int get(aval__contents *contents, aval_value *value, unsigned depth, const void **data)
{
    *data = value->data;
    if (*data || value->kind != AVAL__PRODUCED || depth == MAX_DEPTH || !can_compute(value->producer)) return AVAL_OK;
    aval_node *node = value->producer;
    for (size_t i = 0; i < node->n_inputs; i++) {
        const void *input = NULL;
        if (!node->inputs[i] || (aval__node_reads_shape_only(node, i) && aval__tensor_known(&node->inputs[i]->tensor))) continue;
        AVAL__TRY(get(contents, node->inputs[i], depth + 1, &input));
        if (!input) return AVAL_OK;
    }
    const void *made[AVAL_MAX_PORTS];
    bool planning = value->graph->planning;
    AVAL__TRY(aval__node_compute(planning ? &value->graph->arena : &contents->arena, node, made));
    for (size_t i = 0; i < node->n_outputs; i++) {
        if (!planning) AVAL__TRY(aval__vec_push(&contents->made, node->outputs[i]));
        node->outputs[i]->data = made[i];
    }
    *data = value->data;
    return AVAL_OK;
}

/* Nothing is computed from what was made up: it counts for the node alone that asks. */
static int make_up(aval__contents *contents, aval_value *value, const void **data)
{
    aval__host_tensor made;
    void *bytes = aval__arena_alloc(&contents->arena, aval__tensor_bytes(&value->tensor) + 1);
    if (!bytes) return AVAL_E_MEMORY;
    AVAL__TRY(aval__host_tensor_make(&made, &value->tensor));
    for (int64_t i = 0; i < aval__tensor_count(&value->tensor); i++) {
        if (made.real) made.real[i] = (double)value->graph->made_up;
        if (made.integer) made.integer[i] = value->graph->made_up;
    }
    aval__host_tensor_to(&made, bytes);
    aval__host_tensor_release(&made);
    *data = bytes;
    return AVAL_OK;
}

int aval__contents_get(aval__contents *contents, aval_value *value, const void **data)
{
    AVAL__TRY(get(contents, value, 0, data));
    if (*data || value->graph->made_up == 0 || !aval__tensor_known(&value->tensor) || is_beyond_bound(value)) return AVAL_OK;
    return make_up(contents, value, data);
}

/* A graph that is still edited must not remember what was computed: its inputs may change. */
void aval__contents_release(aval__contents *contents)
{
    for (size_t i = 0; i < contents->made.count; i++) contents->made.at[i]->data = NULL;
    aval__vec_release(&contents->made);
    aval__arena_release(&contents->arena);
}

int aval__value_content(aval_value *value, void *data, size_t bytes, bool *known)
{
    aval__contents contents = { 0 };
    const void *found = NULL;
    int status = aval__contents_get(&contents, value, &found);
    *known = found && aval__tensor_bytes(&value->tensor) == bytes;
    if (*known) memcpy(data, found, bytes);
    aval__contents_release(&contents);
    return status;
}
