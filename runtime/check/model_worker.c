/* The worker of a model check: runs steps of the model on one device, from the states that it is given, and beside them a training of its own. */
#include "check/failure.h"
#include "check/model.h"

#include <string.h>

struct aval_model_worker {
    aval_context *ctx;
    aval_check_model model;
    aval__model_values results;
    aval_session *session; /* on the model's store, whose states come with each request */
    aval_store *own_store; /* NULL: the model has no states */
    aval_session *own; /* a training that is left alone */
};

/* ---- Making ---------------------------------------------------------------------------------------------------------------------- */

void aval_model_worker_release(aval_model_worker *worker)
{
    if (worker == NULL) return;
    aval_session_release(worker->session);
    aval_session_release(worker->own);
    aval_store_release(worker->own_store);
    aval__vec_release(&worker->results.at);
    aval__free(worker);
}

static int copy_store(aval_model_worker *w)
{
    aval__bundle states = { 0 };
    int status = AVAL_OK;
    if (w->model.store == NULL) return AVAL_OK;
    AVAL__TRY_DONE(aval_store_create(w->ctx, &w->own_store));
    AVAL__TRY_DONE(aval__model_read_states(w->model.store, AVAL__PIECE_STATE, &states));
    AVAL__TRY_DONE(aval__model_set_states(w->own_store, &states));
done:
    aval__bundle_release(&states);
    return status;
}

int aval_model_worker_create(aval_context *ctx, const aval_check_model *model, aval_model_worker **worker)
{
    AVAL__NEED(worker, "a place for the worker");
    *worker = NULL;
    AVAL__NEED(ctx, "a context");
    AVAL__NEED(model && model->graph && model->feed && model->wanted, "a model with a graph, wanted values and a function that feeds them");
    aval_model_worker *made = aval__alloc(sizeof *made);
    if (made == NULL) return AVAL_E_MEMORY;
    made->ctx = ctx;
    made->model = aval__model_taken(model);
    int status = aval_graph_status(model->graph);
    AVAL__TRY_DONE(status);
    AVAL__TRY_DONE(aval__model_results(&made->model, &made->results));
    AVAL__TRY_DONE(copy_store(made));
    AVAL__TRY_DONE(aval_session_create(ctx, model->graph, model->store, &made->session));
    AVAL__TRY_DONE(aval_session_create(ctx, model->graph, made->own_store, &made->own));
    *worker = made;
done:
    if (status < 0) aval_model_worker_release(made);
    return status;
}

/* ---- A step ------------------------------------------------------------------------------------------------------------------------ */

static int read_value(aval_session *s, const aval_value *value, aval__piece_role role, aval__bundle *out)
{
    aval_tensor shape = value->tensor;
    size_t rank;
    aval__text name = { 0 };
    AVAL__TRY(aval_session_shape(s, value, &rank, shape.dims));
    shape.rank = (int32_t)rank;
    shape.type = aval_session_type(s, value);
    int status = aval__model_name(value, &name);
    aval__piece *piece = status < 0 ? NULL : aval__bundle_add(out, role, name.at, &shape);
    aval__text_release(&name);
    if (piece == NULL) return AVAL_E_MEMORY;
    piece->id = value->id;
    return aval_session_read(s, value, piece->data, aval__tensor_bytes(&shape));
}

/* New contents of states are among the states. */
static int run_once(aval_model_worker *w, aval__bundle *out)
{
    AVAL__TRY(aval_session_run(w->session, w->results.at.at, w->results.at.count));
    for (size_t i = 0; i < w->results.at.count; i++) {
        if (!aval__model_updates_state(w->results.at.at[i])) AVAL__TRY(read_value(w->session, w->results.at.at[i], AVAL__PIECE_VALUE, out));
    }
    return aval__model_read_states(w->model.store, AVAL__PIECE_STATE, out);
}

/* From the same states once more: the first result whose bits differ is noted. */
static int run_again(aval_model_worker *w, const aval__bundle *before, aval__bundle *first)
{
    aval__bundle second = { 0 };
    int status = aval__model_set_states(w->model.store, before);
    AVAL__TRY_DONE(status);
    AVAL__TRY_DONE(run_once(w, &second));
    for (size_t i = 0; i < second.pieces.count && first->differs == NULL; i++) {
        if (aval__piece_same_bits(&first->pieces.at[i], &second.pieces.at[i])) continue;
        first->differs = aval__copy_text(first->pieces.at[i].name);
        if (first->differs == NULL) AVAL__TRY_DONE(AVAL_E_MEMORY);
    }
done:
    aval__bundle_release(&second);
    return status;
}

/* The device's own training; only its single numbers (losses), and its states with the last step, are told. */
static int step_own(aval_model_worker *w, uint64_t step, bool last, aval__bundle *out)
{
    AVAL__TRY(w->model.feed(w->model.user, w->own, step));
    AVAL__TRY(aval_session_run(w->own, w->results.at.at, w->results.at.count));
    for (size_t i = 0; i < w->results.at.count; i++) {
        const aval_value *value = w->results.at.at[i];
        if (aval_value_rank(value) == 0 && !aval__model_updates_state(value))
            AVAL__TRY(read_value(w->own, value, AVAL__PIECE_OWN_VALUE, out));
    }
    return last ? aval__model_read_states(w->own_store, AVAL__PIECE_OWN_STATE, out) : AVAL_OK;
}

static int do_step(aval_model_worker *w, const aval__bundle *request, aval__bundle *out)
{
    aval__bundle before = { 0 };
    int status = aval__model_set_states(w->model.store, request);
    AVAL__TRY_DONE(status);
    AVAL__TRY_DONE(aval__model_read_states(w->model.store, AVAL__PIECE_STATE, &before));
    AVAL__TRY_DONE(w->model.feed(w->model.user, w->session, request->step));
    AVAL__TRY_DONE(run_once(w, out));
    AVAL__TRY_DONE(run_again(w, &before, out));
    AVAL__TRY_DONE(step_own(w, request->step, request->last != 0, out));
done:
    aval__bundle_release(&before);
    return status;
}

/* ---- A step launch by launch --------------------------------------------------------------------------------------------------------- */

typedef struct trace {
    const aval__bundle *leader; /* what takes the place of what this device finds */
    aval__bundle *out;
} trace;

static int note_launch(void *user, const aval__traced *value, void *content, bool *replaced)
{
    trace *t = user;
    aval__piece *piece = aval__bundle_add(t->out, AVAL__PIECE_TRACED, value->name, value->shape);
    if (piece == NULL) return AVAL_E_MEMORY;
    piece->number = value->number;
    piece->id = value->id;
    piece->reach = value->reach;
    aval__free(piece->launch);
    piece->launch = aval__copy_text(value->launch);
    if (piece->launch == NULL) return AVAL_E_MEMORY;
    memcpy(piece->data, content, value->bytes);
    const aval__piece *instead = aval__bundle_find_number(t->leader, value->number);
    if (instead == NULL || instead->shape.type != value->shape->type || !aval__tensor_same_shape(&instead->shape, value->shape))
        return AVAL_OK;
    memcpy(content, instead->data, value->bytes);
    *replaced = true;
    return AVAL_OK;
}

static int do_trace(aval_model_worker *w, const aval__bundle *request, aval__bundle *out)
{
    trace t = { .leader = request, .out = out };
    AVAL__TRY(aval__model_set_states(w->model.store, request));
    AVAL__TRY(w->model.feed(w->model.user, w->session, request->step));
    return aval__session_trace(w->session, w->results.at.at, w->results.at.count, note_launch, &t);
}

/* ---- Gradients by differences ------------------------------------------------------------------------------------------------------- */

static void note_gradient(void *user, const aval_gradient_result *result)
{
    const aval__gradient_numbers numbers = { (double)result->compared, result->error, (double)result->worst, result->found,
                                             result->expected };
    const aval_tensor shape = { .type = AVAL_DOUBLE, .rank = 1, .dims = { sizeof numbers / sizeof(double) } };
    aval__piece *piece = aval__bundle_add(user, AVAL__PIECE_GRADIENT, result->value, &shape);
    if (piece != NULL) memcpy(piece->data, &numbers, sizeof numbers);
}

/* Every gradient of `of` that the graph asks for. */
static int check_gradients_of(aval_model_worker *w, aval_value *of, aval__bundle *out)
{
    const aval_graph *g = w->model.graph;
    AVAL__VEC(aval_value *) wrt = { 0 };
    int status = AVAL_OK;
    for (size_t n = 0; n < g->nodes.count; n++) {
        const aval_node *node = g->nodes.at[n];
        if (node->dead || node->kind != AVAL__GRADIENT_REQUEST || node->inputs[0] != of) continue;
        if (!aval__model_has(&w->model, node->outputs[0])) continue;
        if (node->inputs[1]->kind == AVAL__INPUT || node->inputs[1]->kind == AVAL__STATE)
            AVAL__TRY_DONE(aval__vec_push(&wrt, node->inputs[1]));
    }
    if (wrt.count > 0) status = aval_check_gradient(w->session, of, wrt.at, wrt.count, note_gradient, out);
    if (status == AVAL_E_CHECK) status = AVAL_OK; /* the judge will say it */
done:
    aval__vec_release(&wrt);
    return status;
}

static int do_gradients(aval_model_worker *w, const aval__bundle *request, aval__bundle *out)
{
    aval__model_values of = { 0 };
    int status = aval__model_set_states(w->model.store, request);
    AVAL__TRY_DONE(status);
    AVAL__TRY_DONE(w->model.feed(w->model.user, w->session, request->step));
    AVAL__TRY_DONE(aval__model_refereed(&w->model, &of));
    for (size_t i = 0; i < of.at.count; i++) AVAL__TRY_DONE(check_gradients_of(w, of.at.at[i], out));
done:
    aval__vec_release(&of.at);
    return status;
}

/* ---- Sources ------------------------------------------------------------------------------------------------------------------------- */

static int list_sources(void *user, const aval__plan *plan)
{
    aval__bundle *out = user;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const aval__source *source = aval__failure_new_source(plan, i);
        if (source == NULL) continue;
        const aval_tensor shape = { .type = AVAL_UINT8, .rank = 1, .dims = { (int64_t)strlen(source->text) + 1 } };
        aval__piece *piece = aval__bundle_add(out, AVAL__PIECE_SOURCE, source->name, &shape);
        if (piece == NULL) return AVAL_E_MEMORY;
        memcpy(piece->data, source->text, strlen(source->text) + 1);
        aval__free(piece->launch);
        piece->launch = aval__copy_text(source->options);
        if (piece->launch == NULL) return AVAL_E_MEMORY;
    }
    return AVAL_OK;
}

static int do_sources(aval_model_worker *w, const aval__bundle *request, aval__bundle *out)
{
    AVAL__TRY(aval__model_set_states(w->model.store, request));
    AVAL__TRY(w->model.feed(w->model.user, w->session, request->step));
    return aval__session_visit_plan(w->session, w->results.at.at, w->results.at.count, list_sources, out);
}

static int (*const commands[])(aval_model_worker *w, const aval__bundle *request, aval__bundle *out) = {
    [AVAL__MODEL_STEP] = do_step,
    [AVAL__MODEL_TRACE] = do_trace,
    [AVAL__MODEL_GRADIENTS] = do_gradients,
    [AVAL__MODEL_SOURCES] = do_sources,
};

int aval_model_worker_answer(aval_model_worker *worker, const void *request, size_t request_bytes, void **answer, size_t *bytes)
{
    AVAL__NEED(worker, "a worker");
    AVAL__NEED(request && answer && bytes, "a request and a place for each result");
    aval__bundle asked, out = { 0 };
    *answer = NULL;
    AVAL__TRY(aval__bundle_unpack(request, request_bytes, &asked));
    bool known = asked.command >= 0 && (size_t)asked.command < sizeof commands / sizeof *commands;
    int status = known ? commands[asked.command](worker, &asked, &out) : aval__fail(AVAL_E_FORMAT, "a request of an unknown kind");
    if (status == AVAL_OK) status = aval__bundle_pack(&out, answer, bytes);
    aval__bundle_release(&asked);
    aval__bundle_release(&out);
    return status;
}
