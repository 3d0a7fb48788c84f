/* A case on the context's first device. */
#include "check/failure.h"
#include "check/judge.h"

#include <string.h>

int aval__case_feed(aval_session *s, const aval_value *value, const aval__host_tensor *content)
{
    size_t bytes = aval__tensor_bytes(&content->tensor);
    void *data = aval__alloc(bytes);
    if (data == NULL) return AVAL_E_MEMORY;
    aval__host_tensor_to(content, data);
    int status = aval_session_feed(s, value, data, bytes, content->tensor.dims);
    aval__free(data);
    return status;
}

static int feed_all(aval__case *c, aval_session *s)
{
    for (size_t i = 0; i < c->n_inputs; i++) {
        if (c->values[i] != NULL && c->values[i]->kind == AVAL__INPUT) AVAL__TRY(aval__case_feed(s, c->values[i], &c->inputs[i]));
    }
    for (size_t o = 0; c->n_gradients > 0 && o <= c->n_outputs; o++) {
        if (c->upstream_values[o] != NULL) AVAL__TRY(aval__case_feed(s, c->upstream_values[o], &c->upstreams[o]));
    }
    return 0;
}

/* Gives states their content back, which a run before may have updated. */
static int set_states(aval__case *c)
{
    for (size_t i = 0; i < c->n_inputs; i++) {
        if (c->values[i] == NULL || c->values[i]->kind != AVAL__STATE) continue;
        const aval_tensor *t = &c->inputs[i].tensor;
        void *data = aval__alloc(aval__tensor_bytes(t));
        if (data == NULL) return AVAL_E_MEMORY;
        aval__host_tensor_to(&c->inputs[i], data);
        int status = aval_store_set(c->store, c->values[i]->name, t->type, (size_t)t->rank, t->dims, data);
        aval__free(data);
        AVAL__TRY(status);
    }
    return 0;
}

static int read_back(aval_session *s, const aval_value *value, aval__host_tensor *out)
{
    aval_tensor shape = value->tensor;
    size_t rank;
    AVAL__TRY(aval_session_shape(s, value, &rank, shape.dims));
    shape.rank = (int32_t)rank;
    AVAL__TRY(aval__host_tensor_make(out, &shape));
    size_t bytes = aval__tensor_bytes(&shape);
    void *data = aval__alloc(bytes);
    if (data == NULL) return AVAL_E_MEMORY;
    int status = aval_session_read(s, value, data, bytes);
    if (status == 0) aval__host_tensor_from(out, data);
    aval__free(data);
    return status;
}

/* What the case wants: outputs, then gradients; for aval__free. */
static aval_value **list_wanted(const aval__case *c, size_t *n)
{
    aval_value **wanted = aval__alloc_array(c->n_outputs + c->n_gradients + 1, sizeof(aval_value *));
    *n = 0;
    for (size_t o = 0; wanted != NULL && o < c->n_outputs; o++) wanted[(*n)++] = c->outputs[o];
    for (size_t k = 0; wanted != NULL && k < c->n_gradients; k++) wanted[(*n)++] = c->gradients[k].value;
    return wanted;
}

/* Bit for bit: -0 and 0, and two kinds of NaN, are different. */
static bool same_bits(const aval__host_tensor *a, const aval__host_tensor *b)
{
    size_t count = (size_t)aval__tensor_count(&a->tensor);
    if (!aval__tensor_same_shape(&a->tensor, &b->tensor)) return false;
    if (count == 0) return true;
    return a->real != NULL ? memcmp(a->real, b->real, count * sizeof(double)) == 0
                           : memcmp(a->integer, b->integer, count * sizeof(int64_t)) == 0;
}

static int run_once(aval__case *c, aval_session *s, aval_value *const *wanted, aval__results *results)
{
    AVAL__TRY(set_states(c));
    AVAL__TRY(aval_session_run(s, wanted, results->count));
    for (size_t i = 0; i < results->count; i++) AVAL__TRY(read_back(s, wanted[i], &results->at[i]));
    return 0;
}

/* In the same session.  The second run finds what the first has left behind, the third finds other poison than the first (see
   aval__binding_poison): what reads memory that it did not write gives other bits in one of them.  Those are kept. */
static int run_again(aval__case *c, aval_session *s, aval_value *const *wanted, aval__results *first)
{
    first->differs = AVAL__SAME;
    if (first->runs == 0) first->runs = 1;
    for (int run = 2; run <= 3 && first->differs == AVAL__SAME; run++) {
        aval__results other = { 0 };
        int status = aval__results_make(&other, first->count);
        if (status == 0) status = run_once(c, s, wanted, &other);
        for (size_t i = 0; status == 0 && i < first->count && first->differs == AVAL__SAME; i++) {
            if (!same_bits(&first->at[i], &other.at[i])) first->differs = (int64_t)i;
        }
        if (status == 0 && first->differs != AVAL__SAME) {
            first->again_run = run;
            first->again = other.at;
            other.at = NULL;
        }
        aval__results_release(&other);
        AVAL__TRY(status);
        first->runs += first->differs == AVAL__SAME;
    }
    return 0;
}

/* A fed session in guarded mode and what is asked of it.  Both are the caller's to give back, after a failure too (NULL: not made). */
static int open_guarded(aval__case *c, aval_session **s, aval_value ***wanted, size_t *n_wanted)
{
    *wanted = list_wanted(c, n_wanted);
    if (*wanted == NULL) return AVAL_E_MEMORY;
    AVAL__TRY(aval_session_create(c->ctx, c->graph, c->store, s));
    AVAL__TRY(aval_session_set_memory(*s, AVAL_MEMORY_GUARDED));
    if (!aval__op_is_held(c->def)) aval__session_ask_parameters(*s);
    return feed_all(c, *s);
}

int aval__case_run(aval__case *c, aval__results *results)
{
    aval_session *s = NULL;
    aval_value **wanted = NULL;
    size_t n;
    *results = (aval__results){ 0 };
    int status = open_guarded(c, &s, &wanted, &n);
    if (status < 0) goto done;
    AVAL__TRY_DONE(aval__results_make(results, n));
    AVAL__TRY_DONE(run_once(c, s, wanted, results));
    for (int left = c->repeats < 4 ? 1 : c->repeats / 2; c->def->op->deterministic != 0 && left > 0 && results->differs < 0; left--)
        AVAL__TRY_DONE(run_again(c, s, wanted, results));
done:
    if (status < 0) aval__results_release(results);
    aval_session_release(s);
    aval__free(wanted);
    return status;
}

/* ---- Sources ---------------------------------------------------------------------------------------------------------------- */

static int list_programs(void *user, const aval__plan *plan)
{
    aval__results *results = user;
    results->programs = aval__alloc_array(plan->n_steps + 1, sizeof *results->programs);
    if (results->programs == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const aval__source *source = aval__failure_new_source(plan, i);
        if (source == NULL) continue;
        aval__program_text *p = &results->programs[results->n_programs++];
        p->name = aval__copy_text(source->name);
        p->options = aval__copy_text(source->options);
        p->text = aval__copy_text(source->text);
        if (p->name == NULL || p->options == NULL || p->text == NULL) return AVAL_E_MEMORY;
    }
    return 0;
}

int aval__case_sources(aval__case *c, aval__results *results)
{
    aval_session *s = NULL;
    aval_value **wanted = NULL;
    size_t n;
    *results = (aval__results){ 0 };
    int status = open_guarded(c, &s, &wanted, &n);
    if (status < 0) goto done;
    AVAL__TRY_DONE(aval__results_make(results, 0));
    AVAL__TRY_DONE(aval__session_visit_plan(s, wanted, n, list_programs, results));
done:
    if (status < 0) aval__results_release(results);
    aval_session_release(s);
    aval__free(wanted);
    return status;
}

int aval_check_run(aval_context *ctx, const aval_check_case *what, void **bytes, size_t *size)
{
    AVAL__NEED(ctx, "a context");
    AVAL__NEED(what, "a case");
    AVAL__NEED(bytes && size, "a place for each result");
    aval__case c;
    aval__results results = { 0 };
    const char *skip;
    *bytes = NULL;
    int status = aval__case_make(ctx, what, &c, &skip);
    if (status == 0 && skip != NULL) status = aval__fail(AVAL_E_TYPE, "%s: %s", what->op, skip);
    if (status == 0) status = what->sources ? aval__case_sources(&c, &results) : aval__case_run(&c, &results);
    if (status == 0) status = aval__results_pack(&results, bytes, size);
    aval__results_release(&results);
    aval__case_release(&c);
    return status;
}
