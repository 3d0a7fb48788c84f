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

/* `grid` NULL: a head. */
static int make_graft(aval__recording *r, const aval__grid *grid, aval__hash key, const aval__graft **out)
{
    aval__planner *p = r->p;
    const aval_device_info *device = p->request->devices[r->device];
    aval__graft *made = aval__arena_alloc(&p->scratch, sizeof *made);
    if (!made) return AVAL_E_MEMORY;
    if (grid) AVAL__TRY(aval__fuse_tail(&p->scratch, r->cluster, grid, device, &made->kernel));
    else AVAL__TRY(aval__fuse_head(&p->scratch, r->cluster, device, &made->kernel));
    made->text = made->kernel.text;
    made->hash = aval__hash_bytes(made->text, strlen(made->text));
    AVAL__TRY(list_nodes(p, r->cluster, &made->nodes));
    AVAL__TRY(aval__share(p, key, made));
    *out = made;
    return AVAL_OK;
}

/* r->cluster as a graft; `salt` tells apart those of one cluster. */
static int find_graft(aval__recording *r, const aval__grid *grid, uint64_t salt, const aval__graft **out)
{
    aval__planner *p = r->p;
    const aval_device_info *device = p->request->devices[r->device];
    aval__hash key;
    AVAL__TRY(aval__fuse_key(&p->words, r->cluster, device, &key));
    key.low ^= salt;
    *out = aval__find_shared(p, key);
    if (!*out) AVAL__TRY(make_graft(r, grid, key, out));
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
    int64_t batch = gemm->sum || gemm->batch == 0 ? 1 : gemm->batch;
    if (!gemm->whole || gemm->c.transposed || gemm->c.offset != 0 || gemm->c.ld != gemm->n) return false;
    if (batch > 1 && gemm->c.batch_stride != gemm->m * gemm->n) return false;
    return batch * gemm->m * gemm->n == aval__tensor_count(gemm->c.tensor);
}

int aval__record_begin_tail(aval__recording *r, const aval_gemm *gemm, const aval__port *c)
{
    aval__planner *p = r->p;
    const aval__cluster *tail = r->unit->tail;
    aval__grid grid;
    if (c->item == AVAL__NONE || p->items.at[c->item].value != tail->product || !fills(gemm)) return AVAL_OK;
    if (!aval__fuse_grid(tail, gemm->sum || gemm->batch == 0 ? 1 : gemm->batch, gemm->m, gemm->n, &grid)) return AVAL_OK;
    r->cluster = tail;
    AVAL__TRY(find_graft(r, &grid, aval__hash64(&grid.along_row, sizeof grid.along_row, 0x7a11 + grid.product), &r->tail));
    AVAL__TRY(aval__record_place_outputs(r));
    return relabel(r, "with", r->tail);
}

/* ---- Heads ------------------------------------------------------------------------------------------------------------------------------- */

bool aval__record_waits(const aval__recording *r, const aval__port *port)
{
    return r->unit->head && port->item != AVAL__NONE && port->storage == AVAL__NONE &&
           r->p->items.at[port->item].value == r->unit->head->headed;
}

int aval__record_take_head(aval_call *call, const aval_tensor *t, int64_t run)
{
    aval__recording *r = call->user;
    aval__port *port = aval__record_port(r, t);
    if (!port || call->phase != AVAL_PHASE_FORWARD || run < 1)
        return aval__fail(AVAL_E_PLUGIN, "take of aval_heads: expected an input of forward and a run of 1 or more elements");
    if (r->head) return aval__record_waits(r, port);
    if (!aval__record_waits(r, port)) return 0;
    if (!aval__fuse_runs(r->unit->head, run, r->p->request->devices[r->device])) return 0;
    r->cluster = r->unit->head;
    AVAL__TRY(find_graft(r, NULL, 0x4ead, &r->head));
    AVAL__TRY(relabel(r, "of", r->head));
    return 1;
}
