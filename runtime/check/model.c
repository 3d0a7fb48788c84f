/* What worker and judge of a model check both know of the model. */
#include "check/model.h"

#include <string.h>

static int push_once(aval__model_values *list, aval_value *value)
{
    for (size_t i = 0; i < list->at.count; i++) {
        if (list->at.at[i] == value) return AVAL_OK;
    }
    return aval__vec_push(&list->at, value);
}

static bool is_request(const aval_node *node)
{
    return !node->dead && node->kind == AVAL__GRADIENT_REQUEST;
}

aval_check_model aval__model_taken(const aval_check_model *model)
{
    aval_check_model taken = { .size = sizeof taken };
    memcpy(&taken, model, model->size < sizeof taken ? model->size : sizeof taken);
    return taken;
}

bool aval__model_has(const aval_check_model *model, const aval_value *value)
{
    aval__text name = { 0 };
    if (model->only == NULL) return true;
    bool has = aval__model_name(value, &name) == AVAL_OK && strcmp(name.at, model->only) == 0;
    aval__text_release(&name);
    return has;
}

static int find_only(const aval_check_model *model, aval__model_values *out)
{
    const aval_graph *g = model->graph;
    for (size_t v = 0; v < g->values.count; v++) {
        aval_value *value = g->values.at[v];
        bool dead = value->producer == NULL || value->producer->dead;
        if (!dead && aval__model_has(model, value)) return aval__vec_push(&out->at, value);
    }
    return aval__fail(AVAL_E_ARGUMENT, "no node of the model makes a '%s'", model->only);
}

int aval__model_results(const aval_check_model *model, aval__model_values *out)
{
    const aval_graph *g = model->graph;
    if (model->only != NULL) return find_only(model, out);
    for (size_t i = 0; i < model->n_wanted; i++) AVAL__TRY(push_once(out, model->wanted[i]));
    for (size_t n = 0; n < g->nodes.count; n++) {
        if (!is_request(g->nodes.at[n])) continue;
        AVAL__TRY(push_once(out, g->nodes.at[n]->inputs[0]));
        AVAL__TRY(push_once(out, g->nodes.at[n]->outputs[0]));
    }
    return AVAL_OK;
}

bool aval__model_updates_state(const aval_value *value)
{
    return value->producer != NULL && value->producer->kind == AVAL__OP && aval__node_updates(value->producer, value->port) != NULL;
}

int aval__model_refereed(const aval_check_model *model, aval__model_values *out)
{
    const aval_graph *g = model->graph;
    for (size_t n = 0; n < g->nodes.count; n++) {
        const aval_node *node = g->nodes.at[n];
        if (is_request(node) && aval__model_has(model, node->outputs[0])) AVAL__TRY(push_once(out, node->inputs[0]));
    }
    if (out->at.count > 0) return AVAL_OK;
    aval__model_values results = { 0 };
    int status = model->only == NULL ? AVAL_OK : aval__model_results(model, &results);
    aval_value *const *told = model->only == NULL ? model->wanted : results.at.at;
    const size_t n_told = model->only == NULL ? model->n_wanted : results.at.count;
    for (size_t i = 0; status == AVAL_OK && i < n_told; i++) {
        if (!aval__model_updates_state(told[i])) status = aval__vec_push(&out->at, told[i]);
    }
    aval__vec_release(&results.at);
    return status;
}

int aval_check_model_results(const aval_check_model *model, void (*visit)(void *user, const char *name), void *user)
{
    AVAL__NEED(model && model->graph && model->wanted, "a model with a graph and wanted values");
    AVAL__NEED(visit, "a function for the names");
    const aval_check_model taken = aval__model_taken(model);
    aval__model_values results = { 0 };
    int status = aval__model_results(&taken, &results);
    for (size_t i = 0; status == AVAL_OK && i < results.at.count; i++) {
        aval__text name = { 0 };
        status = aval__model_name(results.at.at[i], &name);
        if (status == AVAL_OK) visit(user, name.at);
        aval__text_release(&name);
    }
    aval__vec_release(&results.at);
    return status;
}

int aval__model_name(const aval_value *value, aval__text *out)
{
    const aval_node *producer = value->producer;
    if (producer != NULL && is_request(producer))
        aval__text_add(out, "gradient d%s/d%s", aval__value_label(producer->inputs[0]), aval__value_label(producer->inputs[1]));
    else if (aval__model_updates_state(value))
        aval__text_add(out, "update of %s", aval__value_label(aval__node_updates(producer, value->port)));
    else aval__text_add(out, "value %s", aval__value_label(value));
    return out->failed ? AVAL_E_MEMORY : AVAL_OK;
}

/* ---- States ----------------------------------------------------------------------------------------------------------------------- */

int aval__model_read_states(aval_store *store, aval__piece_role role, aval__bundle *out)
{
    size_t count = store == NULL ? 0 : aval_store_count(store);
    for (size_t i = 0; i < count; i++) {
        const char *name = aval_store_name(store, i);
        int type;
        size_t rank;
        int64_t dims[AVAL_MAX_RANK];
        aval_tensor shape;
        AVAL__TRY(aval_store_shape(store, name, &type, &rank, dims));
        AVAL__TRY(aval__tensor_set(&shape, type, rank, dims));
        aval__piece *piece = aval__bundle_add(out, role, name, &shape);
        if (piece == NULL) return AVAL_E_MEMORY;
        AVAL__TRY(aval_store_get(store, name, piece->data, aval__tensor_bytes(&shape)));
    }
    return AVAL_OK;
}

int aval__model_set_states(aval_store *store, const aval__bundle *from)
{
    for (size_t i = 0; store != NULL && i < from->pieces.count; i++) {
        const aval__piece *p = &from->pieces.at[i];
        if (p->role != AVAL__PIECE_STATE) continue;
        AVAL__TRY(aval_store_set(store, p->name, p->shape.type, (size_t)p->shape.rank, p->shape.dims, p->data));
    }
    return AVAL_OK;
}
