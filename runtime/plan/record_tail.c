/* A cluster as the tail of a product: before the product is recorded it is made ready, its launches that store the result are built with it, and
 * afterwards it counts as done.  Where that cannot be the cluster is a launch of its own. */
#include "plan/planner.h"

#include <string.h>

/* Whether the product gives all elements of its tensor, one after the other. */
static bool fills(const aval_gemm *gemm)
{
    int64_t batch = gemm->sum || gemm->batch == 0 ? 1 : gemm->batch;
    if (!gemm->whole || gemm->c.transposed || gemm->c.offset != 0 || gemm->c.ld != gemm->n) return false;
    if (batch > 1 && gemm->c.batch_stride != gemm->m * gemm->n) return false;
    return batch * gemm->m * gemm->n == aval__tensor_count(gemm->c.tensor);
}

static int list_nodes(aval__planner *p, const aval__cluster *c, const char **out)
{
    aval__text *text = &p->text;
    text->length = 0;
    for (size_t i = 0; i < c->n_nodes; i++) aval__text_add(text, "%s%s", i > 0 ? ", " : "", c->nodes[i]->def->name);
    *out = text->failed ? NULL : aval__arena_text(&p->scratch, text->at);
    return *out ? AVAL_OK : AVAL_E_MEMORY;
}

static int make_tail(aval__recording *r, const aval__grid *grid, aval__hash key)
{
    aval__planner *p = r->p;
    aval__tail *made = aval__arena_alloc(&p->scratch, sizeof *made);
    if (!made) return AVAL_E_MEMORY;
    AVAL__TRY(aval__fuse_tail(&p->scratch, r->cluster, grid, p->request->devices[r->device], &made->kernel));
    made->text = made->kernel.text;
    made->hash = aval__hash_bytes(made->text, strlen(made->text));
    AVAL__TRY(list_nodes(p, r->cluster, &made->nodes));
    AVAL__TRY(aval__share(p, key, made));
    r->tail = made;
    return AVAL_OK;
}

static int relabel(aval__recording *r)
{
    aval__text *text = &r->p->text;
    text->length = 0;
    aval__text_add(text, "%s with %s", r->label, r->tail->nodes);
    r->label = text->failed ? NULL : aval__arena_text(&r->p->plan->arena, text->at);
    return r->label ? AVAL_OK : AVAL_E_MEMORY;
}

int aval__record_begin_tail(aval__recording *r, const aval_gemm *gemm, const aval__port *c)
{
    aval__planner *p = r->p;
    const aval__cluster *tail = r->unit->tail;
    const aval_device_info *device = p->request->devices[r->device];
    aval__grid grid;
    aval__hash key;
    if (c->item == AVAL__NONE || p->items.at[c->item].value != tail->product || !fills(gemm)) return AVAL_OK;
    if (!aval__fuse_grid(tail, gemm->sum || gemm->batch == 0 ? 1 : gemm->batch, gemm->m, gemm->n, &grid)) return AVAL_OK;
    r->cluster = tail;
    AVAL__TRY(aval__fuse_key(&p->words, tail, device, &key));
    key.low ^= aval__hash64(&grid.along_row, sizeof grid.along_row, 0x7a11 + grid.product);
    r->tail = aval__find_shared(p, key);
    if (!r->tail) AVAL__TRY(make_tail(r, &grid, key));
    AVAL__TRY(
        aval__fuse_arguments(tail, &grid, device, &(aval__fused_kernel){ .args = r->tail->kernel.args, .n_args = r->tail->kernel.n_args }));
    AVAL__TRY(aval__record_place_outputs(r));
    return relabel(r);
}

int aval__record_tail_args(aval__recording *r)
{
    for (size_t i = 0; i < r->tail->kernel.n_args; i++) {
        const aval__fused_arg *arg = &r->tail->kernel.args[i];
        AVAL__TRY(aval__record_fused_arg(r, arg));
        /* written by the same launch: not what it reads from memory */
        if (arg->kind == AVAL__FUSED_INPUT && r->cluster->inputs[arg->index] == r->cluster->product)
            r->p->args.at[r->p->args.count - 1].written = true;
    }
    return AVAL_OK;
}
