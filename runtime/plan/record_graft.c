/* A cluster that is computed by the launches of a recorder's node, as the tail of its product or the head of what it reads.  Before the node's launches
 * are recorded it is made ready, those that store the product's result or read the head's are built with it.  Where that cannot be the cluster is
 * a launch of its own: a tail's behind the node's launches, a head's before the first that reads its result. */
#include "plan/planner.h"

#include <string.h>

static int list_nodes(aval__planner *p, const aval__cluster *c, const char **out)
{
    aval__text *text = &p->text;
    text->length = 0;
    for (size_t i = 0; i < c->n_nodes; i++) aval__text_add(text, "%s%s", i > 0 ? ", " : "", c->nodes[i]->def->name);
    *out = text->failed ? NULL : aval__arena_text(&p->scratch, text->at);
    return *out ? AVAL_OK : AVAL_E_MEMORY;
}

/* `grid` NULL: a head, `rows`: that launches make in memory. */
static int make_graft(aval__recording *r, const aval__grid *grid, bool rows, aval__hash key, const aval__graft **out)
{
    aval__planner *p = r->p;
    const aval_device_info *device = r->info;
    aval__graft *made = aval__arena_alloc(&p->scratch, sizeof *made);
    if (!made) return AVAL_E_MEMORY;
    if (grid) AVAL__TRY(aval__fuse_tail(&p->scratch, r->cluster, grid, device, &made->kernel));
    else AVAL__TRY(aval__fuse_head(&p->scratch, r->cluster, rows, device, &made->kernel));
    made->text = made->kernel.text;
    made->hash = aval__hash_bytes(made->text, strlen(made->text));
    AVAL__TRY(list_nodes(p, r->cluster, &made->nodes));
    AVAL__TRY(aval__share(p, key, made));
    *out = made;
    return AVAL_OK;
}

/* r->cluster as a graft; `salt` tells apart those of one cluster. */
static int find_graft(aval__recording *r, const aval__grid *grid, bool rows, uint64_t salt, const aval__graft **out)
{
    aval__planner *p = r->p;
    const aval_device_info *device = r->info;
    aval__hash key;
    AVAL__TRY(aval__fuse_key(&p->words, r->cluster, device, &key));
    key.low ^= salt;
    *out = aval__find_shared(p, key);
    if (!*out) AVAL__TRY(make_graft(r, grid, rows, key, out));
    return aval__fuse_arguments(r->cluster, grid, device,
                                &(aval__fused_kernel){ .args = (*out)->kernel.args, .n_args = (*out)->kernel.n_args });
}

static int relabel(aval__recording *r, const char *between, const aval__graft *graft)
{
    aval__text *text = &r->p->text;
    text->length = 0;
    aval__text_add(text, "%s %s %s", r->label, between, graft->nodes);
    r->label = text->failed ? NULL : aval__arena_text(&r->p->plan->arena, text->at);
    return r->label ? AVAL_OK : AVAL_E_MEMORY;
}

int aval__record_graft_args(aval__recording *r, const aval__graft *graft)
{
    for (size_t i = 0; i < graft->kernel.n_args; i++) {
        const aval__fused_arg *arg = &graft->kernel.args[i];
        AVAL__TRY(aval__record_fused_arg(r, arg));
        /* written by the same launch: not what it reads from memory */
        if (arg->kind == AVAL__FUSED_INPUT && r->cluster->inputs[arg->index] == r->cluster->product)
            r->p->args.at[r->p->args.count - 1].written = true;
    }
    return AVAL_OK;
}

/* ---- Tails ------------------------------------------------------------------------------------------------------------------------------- */

/* Whether the product gives all elements of its tensor, one after the other. */
static bool fills(const aval_gemm *gemm)
{
    int64_t batch = aval__gemm_results(gemm);
    if (!gemm->whole || gemm->c.transposed || gemm->c.offset != 0 || gemm->c.ld != gemm->n) return false;
    if (batch > 1 && gemm->c.batch_stride != gemm->m * gemm->n) return false;
    return batch * gemm->m * gemm->n == aval__tensor_count(gemm->c.tensor);
}

static bool find_grid(const aval_gemm *gemm, const aval__cluster *tail, aval__grid *grid)
{
    const int64_t groups = gemm->groups > 0 ? gemm->groups : 1, rows = groups * gemm->m; /* of groups one behind the other, see fills */
    const int64_t images = aval__gemm_results(gemm) / groups;
    if (gemm->c_block == 0) return aval__fuse_grid(tail, images, 0, rows, gemm->n, grid);
    return aval__fuse_grid(tail, images, rows / gemm->c_block, gemm->n, gemm->c_block, grid);
}

int aval__record_begin_tail(aval__recording *r, const aval_gemm *gemm, const aval__port *c)
{
    aval__planner *p = r->p;
    const aval__cluster *tail = r->unit->tail;
    aval__grid grid;
    if (c->item == AVAL__NONE || p->items.at[c->item].value != tail->product || !fills(gemm) || !find_grid(gemm, tail, &grid))
        return AVAL_OK;
    const bool blocked = grid.blocks > 0;
    const uint64_t text[] = { grid.along_row, grid.product, blocked ? (uint64_t)grid.columns : 0, blocked ? grid.same_rows : 0 };
    r->cluster = tail;
    AVAL__TRY(find_graft(r, &grid, false, aval__hash64(text, sizeof text, 0x7a11), &r->tail));
    AVAL__TRY(aval__record_place_outputs(r, NULL));
    return relabel(r, "with", r->tail);
}

/* ---- Heads ------------------------------------------------------------------------------------------------------------------------------- */

bool aval__record_waits(const aval__recording *r, const aval__port *port)
{
    return r->unit->head && port->item != AVAL__NONE && port->storage == AVAL__NONE &&
           r->p->items.at[port->item].value == r->unit->head->headed;
}

/* Whether only the node reads the head's result, which need not be in memory. */
static bool is_alone(const aval__recording *r, const aval__port *port)
{
    const aval__item *item = &r->p->items.at[port->item];
    return !item->kept && !item->in_state && item->n_readers == 0;
}

static bool is_read_once(const aval__recording *r, const aval__port *port)
{
    const aval__opdef *def = r->unit->node->def;
    return (def->op->inputs[aval__input_port(def, port->index)].flags & AVAL_READ_ONCE) != 0;
}

int aval__record_take_head(aval_call *call, const aval_tensor *t, int64_t run)
{
    aval__recording *r = call->user;
    aval__port *port = aval__record_port(r, t);
    if (!port || call->phase != AVAL_PHASE_FORWARD || run < 1)
        return aval__fail(AVAL_E_PLUGIN, "take of aval_heads: expected an input of forward and a run of 1 or more elements");
    if (r->head) return aval__record_waits(r, port);
    if (!aval__record_waits(r, port)) return 0;
    if (!is_alone(r, port) || (r->unit->head->n_outputs > 1 && !is_read_once(r, port))) return 0;
    if (!aval__fuse_runs(r->unit->head, run, r->info)) return 0;
    r->cluster = r->unit->head;
    AVAL__TRY(find_graft(r, NULL, false, 0x4ead, &r->head));
    AVAL__TRY(aval__record_place_outputs(r, r->cluster->headed));
    AVAL__TRY(relabel(r, "of", r->head));
    return 1;
}

/* ---- Heads whose rows launches make in memory ------------------------------------------------------------------------------------------------ */

/* Whether the head's result may lie where an output will be written. */
static bool may_lie_under(const aval__recording *r, const aval__port *head, const aval__port *output)
{
    if (!is_alone(r, head) || output->storage != AVAL__NONE) return false;
    return output->tensor.type == head->tensor.type && aval__tensor_count(&output->tensor) == aval__tensor_count(&head->tensor);
}

static int place_rows(aval__recording *r, aval__port *port, aval__port *over)
{
    aval__planner *p = r->p;
    if (over && may_lie_under(r, port, over)) {
        AVAL__TRY(aval__record_own_storage(r, over->item));
        over->storage = p->items.at[over->item].storage;
        aval__record_locate(r, port->item, over->storage, over->offset_bytes);
    }
    AVAL__TRY(aval__record_place_outputs(r, NULL));
    port->storage = p->items.at[port->item].storage;
    port->offset_bytes = p->items.at[port->item].offset_bytes;
    return AVAL_OK;
}

int aval__record_take_rows(aval_call *call, const aval_tensor *t, const aval_tensor *over)
{
    aval__recording *r = call->user;
    aval__port *port = aval__record_port(r, t), *output = over ? aval__record_port(r, over) : NULL;
    uint64_t by_groups = r->info->group > 1;
    if (!port || call->phase != AVAL_PHASE_FORWARD || (over && (!output || !output->writable || output->written)))
        return aval__fail(AVAL_E_PLUGIN,
                          "take of aval_row_heads: expected an input of forward, and NULL or an output that nothing was written to");
    if (!aval__record_waits(r, port)) return 0;
    r->cluster = r->unit->head;
    AVAL__TRY(find_graft(r, NULL, true, 0x4ead + 1 + by_groups, &r->head));
    AVAL__TRY(place_rows(r, port, output && output->item != AVAL__NONE ? output : NULL));
    r->rows = port;
    AVAL__TRY(relabel(r, "of", r->head));
    return 1;
}

int aval__record_check_head(const aval__recording *r)
{
    const aval__cluster *head = r->unit->head;
    bool missing = head && (r->rows ? !r->rows_are_made
                                    : !r->head && head->n_outputs > 1 &&
                                          r->p->items.at[aval__planner_item(r->p, head->headed, r->device)].storage == AVAL__NONE);
    if (!missing) return AVAL_OK;
    return aval__fail(AVAL_E_PLUGIN, "%s: expected a launch that reads each input which is AVAL_ROW_HEADED, found none", r->label);
}
