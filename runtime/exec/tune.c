/* Tuning for users: the products of a plan are collected as it is made, and the device layer finds the fastest way of each class. */
#include "exec/tune.h"
#include "exec/session.h"

#include <string.h>

#define USUAL_SECONDS 60

int aval__context_meet(aval_context *ctx, uint32_t device, const aval_gemm *gemm, int type)
{
    struct aval__met *all = ctx->met;
    aval__met_product m = { .device = device, .gemm = *gemm, .type = type };
    if (!all || gemm->groups > 0 || aval__gemm_in_blocks(gemm) || (type != AVAL_FLOAT && type != AVAL_DOUBLE)) return AVAL_OK;
    aval__tuning_class(gemm, type, m.class);
    for (size_t i = 0; i < all->products.count; i++)
        if (all->products.at[i].device == device && strcmp(all->products.at[i].class, m.class) == 0) return AVAL_OK;
    if (gemm->b.patches) m.patches = *gemm->b.patches;
    return aval__vec_push(&all->products, m);
}

typedef struct teller {
    aval_tune_function report;
    void *user;
    uint32_t device;
} teller;

static void tell(const teller *t, const aval__choice *choice)
{
    for (size_t i = 0; t->report && i < choice->tried.count; i++) {
        const aval__candidate *tried = &choice->tried.at[i];
        char variant[AVAL__VARIANT_LENGTH];
        aval__variant_print(&tried->variant, variant);
        t->report(t->user, &(aval_tune_row){
                               .size = sizeof(aval_tune_row),
                               .device = t->device,
                               .product = choice->class,
                               .variant = variant,
                               .ms = 1e3 * tried->seconds,
                               .gflops = tried->seconds > 0 ? 1e-9 * choice->flops / tried->seconds : 0,
                               .right = tried->right,
                               .chosen = tried->chosen,
                               .untuned = i == 0,
                               .complete = choice->complete,
                               .gbytes_per_s = tried->seconds > 0 ? 1e-9 * choice->bytes / tried->seconds : 0,
                           });
    }
}

static int tune_product(aval_context *ctx, aval__met_product *m, double seconds, bool remember, const teller *to)
{
    aval__choice choice;
    aval__device *device = ctx->opened.at[m->device];
    if (m->gemm.b.patches) m->gemm.b.patches = &m->patches;
    int status = aval__tuning_pick(device, &m->gemm, m->type, seconds, NULL, 0, &choice);
    if (status == AVAL_E_UNSUPPORTED) return AVAL_OK; /* too large to be tried: it stays as it is */
    if (status < 0) return status;
    tell(to, &choice);
    if (remember) status = aval__tuning_set(device, choice.class, &choice.tried.at[choice.best].variant, true);
    aval__choice_release(&choice);
    return status;
}

static bool is_known(const aval_context *ctx, aval__met_product *m)
{
    if (m->gemm.b.patches) m->gemm.b.patches = &m->patches;
    return aval__tuning_find(aval__device_info(ctx->opened.at[m->device]), &m->gemm, m->type, NULL).provider != NULL;
}

static int tune_node(aval_context *ctx, aval__met_node *m, double seconds, bool remember, const teller *to)
{
    aval__choice choice;
    int status = aval__groups_pick(ctx, m, seconds, &choice);
    if (status == AVAL_E_UNSUPPORTED) return AVAL_OK;
    if (status < 0) return status;
    if (choice.tried.count > 1) { /* else all sizes launch the same: there is nothing to choose */
        tell(to, &choice);
        if (remember) status = aval__tuning_set(ctx->opened.at[m->device], choice.class, &choice.tried.at[choice.best].variant, true);
    }
    aval__choice_release(&choice);
    return status;
}

static bool is_known_node(const aval_context *ctx, const aval__met_node *m)
{
    const aval__variant found = aval__tuning_find_class(ctx->opened.at[m->device], m->class);
    return aval__variant_has_groups(&found);
}

/* Time is shared out evenly among the classes that are left.  Under the lock. */
static int tune_all(aval_context *ctx, struct aval__met *all, const aval_tune_options *o, teller *to, size_t *left)
{
    double end = aval__seconds() + (o->seconds > 0 ? o->seconds : USUAL_SECONDS);
    size_t n_products = all->products.count, n = n_products + all->nodes.count;
    *left = 0;
    for (size_t i = 0; i < n; i++) {
        aval__met_product *product = i < n_products ? &all->products.at[i] : NULL;
        aval__met_node *node = product ? NULL : &all->nodes.at[i - n_products];
        double rest = end - aval__seconds(), share = rest / (double)(n - i);
        to->device = product ? product->device : node->device;
        if (!o->again && !o->dry && (product ? is_known(ctx, product) : is_known_node(ctx, node))) continue;
        if (rest <= 0) ++*left;
        else if (product) AVAL__TRY(tune_product(ctx, product, share, !o->dry, to));
        else AVAL__TRY(tune_node(ctx, node, share, !o->dry, to));
    }
    return AVAL_OK;
}

/* ---- CLBlast's parameters --------------------------------------------------------------------------------------------------------- */

/* `products` has room for all. */
static size_t list_products(struct aval__met *all, uint32_t device, int type, const aval_gemm **products)
{
    size_t n = 0;
    for (size_t i = 0; i < all->products.count; i++) {
        aval__met_product *m = &all->products.at[i];
        if (m->device == device && m->type == type && !m->gemm.b.patches) products[n++] = &m->gemm;
    }
    return n;
}

static int tune_clblast_of(aval_context *ctx, const aval_gemm **products, size_t n, uint32_t device, int type, const aval_tune_options *o,
                           teller *to)
{
    aval__choice choice;
    int status = aval__clblast_tune(ctx->opened.at[device], type, products, n, o->seconds > 0 ? o->seconds : USUAL_SECONDS, &choice);
    if (status == AVAL_E_UNSUPPORTED) return AVAL_OK;
    if (status < 0) return status;
    to->device = device;
    tell(to, &choice);
    if (!o->dry) status = aval__tuning_set(ctx->opened.at[device], choice.class, &choice.tried.at[choice.best].variant, true);
    aval__choice_release(&choice);
    return status;
}

/* Each device and type may take all the time: mostly there is one.  Under the lock. */
static int tune_clblast(aval_context *ctx, struct aval__met *all, const aval_tune_options *o, teller *to)
{
    static const int types[] = { AVAL_FLOAT, AVAL_DOUBLE };
    const size_t n_types = sizeof types / sizeof *types;
    const aval_gemm **products = aval__alloc_array(all->products.count, sizeof *products);
    int status = products ? AVAL_OK : AVAL_E_MEMORY;
    for (size_t i = 0; i < ctx->opened.count * n_types && status == AVAL_OK; i++) {
        size_t n = list_products(all, (uint32_t)(i / n_types), types[i % n_types], products);
        if (n > 0) status = tune_clblast_of(ctx, products, n, (uint32_t)(i / n_types), types[i % n_types], o, to);
    }
    aval__free(products);
    return status;
}

int aval_session_tune(aval_session *s, aval_value *const *wanted, size_t n_wanted, const aval_tune_options *options,
                      aval_tune_function report, void *user, size_t *left)
{
    AVAL__NEED(s, "a session");
    aval_context *ctx = s->context;
    aval_tune_options o = { 0 };
    struct aval__met all = { 0 };
    aval__shared_plan *plan = NULL;
    teller to = { .report = report, .user = user };
    size_t none;
    if (options) memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    AVAL__TRY(aval__context_ready(ctx));
    aval__context_lock(ctx);
    aval__context_forget_plans(ctx);
    ctx->met = &all;
    int status = aval__session_plan(s, wanted, n_wanted, &plan);
    ctx->met = NULL;
    aval__shared_plan_drop(ctx, plan);
    if (left) *left = 0;
    if (status == AVAL_OK && o.clblast) status = tune_clblast(ctx, &all, &o, &to);
    else if (status == AVAL_OK) status = tune_all(ctx, &all, &o, &to, left ? left : &none);
    aval__context_forget_plans(ctx);
    aval__context_unlock(ctx);
    aval__met_release(&all);
    return status;
}

/* ---- What is remembered ------------------------------------------------------------------------------------------------------------ */

static void tell_remembered(void *user, const char *class, const aval__variant *variant)
{
    const teller *t = user;
    char text[AVAL__VARIANT_LENGTH];
    aval__variant_print(variant, text);
    t->report(t->user, &(aval_tune_row){ .size = sizeof(aval_tune_row),
                                         .device = t->device,
                                         .product = class,
                                         .variant = text,
                                         .right = 1,
                                         .chosen = 1,
                                         .complete = 1 });
}

int aval_context_tuned(aval_context *ctx, aval_tune_function report, void *user)
{
    AVAL__NEED(ctx, "a context");
    AVAL__NEED(report, "a function to report to");
    AVAL__TRY(aval__context_ready(ctx));
    for (size_t i = 0; i < ctx->opened.count; i++) {
        teller to = { .report = report, .user = user, .device = (uint32_t)i };
        aval__tuning_visit(ctx->opened.at[i], tell_remembered, &to);
    }
    return AVAL_OK;
}

int aval_context_forget_tuned(aval_context *ctx)
{
    AVAL__NEED(ctx, "a context");
    AVAL__TRY(aval__context_ready(ctx));
    int status = AVAL_OK;
    aval__context_lock(ctx);
    for (size_t i = 0; i < ctx->opened.count && status == AVAL_OK; i++) status = aval__tuning_forget(ctx->opened.at[i]);
    aval__context_forget_plans(ctx);
    aval__context_unlock(ctx);
    return status;
}

int aval_context_ignore_tuned(aval_context *ctx)
{
    AVAL__NEED(ctx, "a context");
    aval__context_lock(ctx);
    int status = ctx->devices ? AVAL_OK : aval__devices_create(&ctx->log, &ctx->devices);
    if (status == AVAL_OK) aval__devices_ignore_tuning(ctx->devices);
    aval__context_unlock(ctx);
    return status;
}

uint64_t aval__context_tuning(const aval_context *ctx)
{
    uint64_t stamp = 0;
    for (size_t i = 0; i < ctx->opened.count; i++) stamp = 31 * stamp + aval__tuning_stamp(ctx->opened.at[i]);
    if (ctx->trial_of) stamp = aval__hash64(&ctx->trial, sizeof ctx->trial, stamp + (uintptr_t)ctx->trial_of);
    return stamp;
}
