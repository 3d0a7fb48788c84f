/* The context's cache of plans, least recently used: a program that goes back and forth between a few graphs or shapes plans each of
 * them once. */
#include "exec/context.h"

#define MOST_PLANS 64

static void drop(aval__shared_plan *plan)
{
    if (--plan->holders > 0) return;
    aval__plan_release(plan->plan);
    aval__free(plan);
}

static void forget(aval_context *ctx, aval__shared_plan *plan)
{
    HASH_DEL(ctx->plans, plan);
    drop(plan);
}

void aval__context_forget_plans(aval_context *ctx)
{
    while (ctx->plans) forget(ctx, ctx->plans);
}

void aval__shared_plan_drop(aval_context *ctx, aval__shared_plan *plan)
{
    if (!plan) return;
    aval__context_lock(ctx);
    drop(plan);
    aval__context_unlock(ctx);
}

/* Puts it at the end, which is where the most recently used ones are.  A cache that cannot grow is no failure. */
static void remember(aval_context *ctx, aval__shared_plan *plan)
{
    HASH_ADD(hh, ctx->plans, key, sizeof plan->key, plan);
    if (!plan->hh.tbl) return;
    plan->holders++;
    if (HASH_COUNT(ctx->plans) > MOST_PLANS) forget(ctx, ctx->plans);
}

int aval__context_plan(aval_context *ctx, const aval__plan_request *request, const aval__hash *key, aval__shared_plan **out, bool *made)
{
    int status = AVAL_OK;
    aval__shared_plan *plan = NULL;
    aval__context_lock(ctx);
    HASH_FIND(hh, ctx->plans, key, sizeof *key, plan);
    *made = plan == NULL;
    if (plan) {
        HASH_DEL(ctx->plans, plan);
        plan->holders--;
    } else {
        plan = aval__alloc(sizeof *plan);
        status = plan ? aval__plan_make(request, &plan->plan) : AVAL_E_MEMORY;
        aval__context_save_known(ctx);
        if (status < 0) {
            aval__free(plan);
            goto done;
        }
        plan->key = *key;
    }
    plan->holders++;
    remember(ctx, plan);
    *out = plan;
done:
    aval__context_unlock(ctx);
    return status;
}
