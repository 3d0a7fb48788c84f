/* Making a plan: the stages in their order, on a copy of the user's graph. */
#include "plan/planner.h"

#include <string.h>

#define FOLD_BYTES ((size_t)64 * 1024) /* constants up to this size are computed while planning */

/* ---- The copy ------------------------------------------------------------------------------------------------------------------------------ */

static int map_wanted(aval__planner *p)
{
    const aval__plan_request *request = p->request;
    p->wanted = aval__arena_alloc(&p->scratch, sizeof *p->wanted * request->n_wanted);
    if (!p->wanted) return AVAL_E_MEMORY;
    for (size_t i = 0; i < request->n_wanted; i++) {
        const aval_value *v = request->wanted[i];
        if (!v || v->graph != request->graph || v->dead)
            return aval__fail(AVAL_E_ARGUMENT, "wanted value %zu: expected a value of this graph, found %s", i,
                              !v        ? "NULL"
                              : v->dead ? "one that was removed"
                                        : "one of another graph");
        p->wanted[i] = p->g->values.at[v->id];
    }
    return AVAL_OK;
}

static bool has_gradients(const aval_graph *g)
{
    for (size_t n = 0; n < g->nodes.count; n++)
        if (!g->nodes.at[n]->dead && g->nodes.at[n]->kind == AVAL__GRADIENT_REQUEST) return true;
    return false;
}

/* What was fed, and what the host knows of other values. */
static int bind_values(aval__planner *p)
{
    const aval__plan_request *request = p->request;
    bool cut = !has_gradients(p->g);
    for (uint32_t i = 0; i < p->n_user_values; i++) {
        aval_value *v = p->g->values.at[i];
        const aval_tensor *shape = request->shapes ? request->shapes[i] : NULL;
        const void *content = request->contents ? request->contents[i] : NULL;
        if (v->dead) continue;
        if (v->kind == AVAL__INPUT && shape) AVAL__TRY(aval__graph_bind(v, shape));
        if (v->kind == AVAL__CONSTANT || !content) continue;
        v->data = content;
        if (v->kind != AVAL__PRODUCED) continue;
        v->tensor = *shape;
        if (cut && (v->producer->n_outputs == 1 || v->producer->kind == AVAL__LOOP)) {
            v->kind = AVAL__INPUT;
            v->producer = NULL;
        }
    }
    return AVAL_OK;
}

/* The value of the user's graph that the last failure of inference waits for: the missing one itself, or where that stands in a body, one that
   it is computed from. */
static uint32_t find_missing(const aval__planner *p)
{
    const aval_value *v = p->g ? p->g->missing : NULL;
    for (size_t steps = 0; v && v->id >= p->n_user_values && steps < p->g->nodes.count; steps++) {
        const aval_value *next = NULL;
        for (uint32_t i = 0; v->producer && i < v->producer->n_inputs && !next; i++) {
            const aval_value *input = v->producer->inputs[i];
            if (input && !input->data) next = input;
        }
        v = next;
    }
    return v && v->id < p->n_user_values && !v->data ? v->id : AVAL__NONE;
}

/* ---- The stages ------------------------------------------------------------------------------------------------------------------------------ */

static int allocate_tables(aval__planner *p)
{
    aval__arena *arena = &p->scratch;
    size_t n_values = p->g->values.count, n_nodes = p->g->nodes.count;
    p->device_of = aval__arena_alloc(arena, sizeof *p->device_of * n_nodes);
    p->cluster_of = aval__arena_alloc(arena, sizeof *p->cluster_of * n_nodes);
    p->stage = aval__arena_alloc(arena, sizeof *p->stage * n_nodes);
    p->partner_of = aval__arena_alloc(arena, sizeof *p->partner_of * n_nodes);
    p->home = aval__arena_alloc(arena, sizeof *p->home * n_values);
    p->root_state = aval__arena_alloc(arena, sizeof *p->root_state * n_values);
    p->item_of = aval__arena_alloc(arena, sizeof *p->item_of * n_values);
    p->used = aval__arena_alloc(arena, n_values);
    p->updated = aval__arena_alloc(arena, n_values);
    p->kept = aval__arena_alloc(arena, n_values);
    p->needed = aval__arena_alloc(arena, n_values);
    p->words.place = aval__arena_alloc(arena, sizeof *p->words.place * n_values);
    bool all = p->words.place && p->device_of && p->cluster_of && p->stage && p->partner_of && p->home && p->root_state && p->item_of &&
               p->used && p->updated && p->kept && p->needed;
    return all ? AVAL_OK : AVAL_E_MEMORY;
}

/* Values that checks compare, and those that are kept to be read, lie as the user's graph has them; so do those that devices hand to each other. */
static int lay_out_blocks(aval__planner *p)
{
    const aval__plan_request *request = p->request;
    const aval_device_info *device = request->devices[0];
    if (request->blocks == AVAL__BLOCKS_NONE || request->memory != AVAL_MEMORY_ARENA || request->n_devices > 1) return AVAL_OK;
    return aval__graph_block(p->g, p->wanted, request->n_wanted, device, aval__vector_floats(device), request->blocks == AVAL__BLOCKS_ALL,
                             &p->nodes, &p->n_nodes);
}

static int run_stages(aval__planner *p)
{
    const aval__plan_request *request = p->request;
    /* guarded plans are for checks, in which an op of constants alone is to run on the device too */
    size_t fold_bytes = request->memory == AVAL_MEMORY_GUARDED ? 0 : FOLD_BYTES;
    AVAL__TRY(aval__graph_fold(p->g, p->wanted, request->n_wanted, fold_bytes, &p->nodes, &p->n_nodes));
    AVAL__TRY(lay_out_blocks(p));
    p->plan->statistics.nodes = p->n_nodes;
    AVAL__TRY(allocate_tables(p));
    for (size_t i = 0; i < request->n_wanted; i++) p->kept[p->wanted[i]->id] = true;
    if (request->memory == AVAL_MEMORY_RETAINED) memset(p->kept, true, p->n_user_values);
    memcpy(p->needed, p->kept, p->g->values.count);

    AVAL__TRY(aval__planner_place(p));
    AVAL__TRY(aval__fuse_clusters(&p->scratch, p->g, p->nodes, p->n_nodes, p->device_of, p->needed, &p->clusters, &p->n_clusters,
                                  p->cluster_of, p->stage));
    AVAL__TRY(aval__fuse_tails(p->g, p->nodes, p->n_nodes, p->device_of, p->stage, p->clusters, p->n_clusters, p->partner_of));
    if (request->least_head > 0)
        AVAL__TRY(aval__fuse_heads(&p->scratch, p->g, p->nodes, p->n_nodes, p->device_of, p->needed, request->least_head, &p->clusters,
                                   &p->n_clusters, p->cluster_of, p->stage, p->partner_of));
    if (request->joins != AVAL__JOINS_NONE && !p->recomputation) /* they keep what they wait for in memory */
        AVAL__TRY(
            aval__fuse_join(&p->scratch, p->g, p->root_state, p->updated, request->devices, request->joins, p->clusters, p->n_clusters));
    AVAL__TRY(aval__planner_units(p));
    AVAL__TRY(aval__planner_order(p));
    AVAL__TRY(aval__planner_recompute(p));
    AVAL__TRY(aval__planner_record(p));
    AVAL__TRY(aval__planner_memory(p));
    return aval__planner_finish(p);
}

static void release_planner(aval__planner *p)
{
    aval__shared_release(p);
    aval__vec_release(&p->words.list);
    aval__vec_release(&p->numbers);
    aval__free(p->nodes);
    aval__vec_release(&p->items);
    aval__vec_release(&p->units);
    aval__vec_release(&p->links);
    aval__vec_release(&p->readers);
    aval__vec_release(&p->order);
    aval__vec_release(&p->storages);
    aval__vec_release(&p->steps);
    aval__vec_release(&p->args);
    aval__vec_release(&p->slots);
    aval__vec_release(&p->written);
    aval__vec_release(&p->products);
    aval__vec_release(&p->notes);
    aval__text_release(&p->text);
    aval__arena_release(&p->unit_scratch);
    aval__arena_release(&p->scratch);
    aval_graph_release(p->g);
}

static int check_request(const aval__plan_request *request)
{
    if (request->n_devices == 0) return aval__fail(AVAL_E_ARGUMENT, "planning: expected at least one device, found none");
    if (request->graph->status < 0)
        return aval__fail(request->graph->status, "%s", request->graph->message ? request->graph->message : "the graph has an error");
    return AVAL_OK;
}

int aval__plan_attempt(const aval__plan_request *request, aval__refusals *refusals, aval__arena *texts, aval__recomputation *recomputation,
                       aval__plan **out)
{
    aval__planner p = { .request = request, .refusals = refusals, .refusal_texts = texts, .recomputation = recomputation };
    int status = check_request(request);
    if (status < 0) goto done;
    p.plan = aval__alloc(sizeof *p.plan);
    if (!p.plan) {
        status = AVAL_E_MEMORY;
        goto done;
    }
    AVAL__TRY_DONE(aval__plan_key(request, &p.plan->hash, &p.numbers));
    AVAL__TRY_DONE(aval__graph_copy(request->graph, &p.g));
    p.n_user_values = (uint32_t)p.g->values.count;
    AVAL__TRY_DONE(map_wanted(&p));
    AVAL__TRY_DONE(bind_values(&p));
    AVAL__TRY_DONE(aval__graph_expand(p.g, p.wanted, request->n_wanted, request->strict));
    double start = aval__seconds();
    AVAL__TRY_DONE(run_stages(&p));
    p.plan->statistics.seconds = aval__seconds() - start - p.proof_seconds;
    *out = p.plan;
done:
    if (request->missing) *request->missing = status == AVAL_E_CONTENT ? find_missing(&p) : AVAL__NONE;
    release_planner(&p);
    if (status < 0) aval__plan_release(p.plan);
    return status;
}

/* Again for each device that turned out unable to run a node: each attempt knows one more refusal, so they end. */
int aval__plan_make(const aval__plan_request *request, aval__plan **out)
{
    bool bounded = request->memory_bound > 0 && request->memory == AVAL_MEMORY_ARENA;
    aval__refusals refusals = { 0 };
    aval__recomputation recomputation = { 0 };
    aval__arena texts = { 0 };
    size_t known;
    int status;
    do {
        known = refusals.count;
        aval__arena_clear(&recomputation.arena);
        status = aval__plan_attempt(request, &refusals, &texts, bounded ? &recomputation : NULL, out);
    } while (status < 0 && refusals.count > known);
    if (status == AVAL_OK && bounded && aval__plan_largest_arena(*out) > request->memory_bound)
        status = aval__plan_bound(request, &refusals, &texts, &recomputation, out);
    aval__vec_release(&refusals);
    aval__arena_release(&recomputation.arena);
    aval__arena_release(&texts);
    return status;
}

void aval__plan_release(aval__plan *plan)
{
    if (!plan) return;
    aval__free((void *)plan->steps);
    aval__free((void *)plan->written);
    aval__arena_release(&plan->arena);
    aval__free(plan);
}
