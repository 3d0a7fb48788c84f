/* Which known answers were given already, by whom, and what was right: in memory for the context, in the verdicts of each device for later
 * processes.  A verdict is of a kernel's source and options; it is forgotten with another driver or version of aval, and where the source
 * is another. */
#include "exec/known.h"

#include <string.h>
#include <time.h>

#define KIND "known answer 2" /* by the questions: older ones did not see errors that cancel in the gradient of a loss */
#define DRAWS 2 /* contents that must both give a wrong answer: one alone may lie at a jump */

struct aval__known_answer {
    struct {
        aval__hash subject;
        uint64_t device;
    } key;
    char *why; /* NULL: right */
    UT_hash_handle hh;
};

/* "Conv 11 float", "Conv 11 float backward" or "fused", then what names the source. */
static void put_subject(aval__text *text, const aval__plan_unit *unit, aval__hash source)
{
    char name[33];
    const aval__opdef *def = unit->nodes[0]->def, *op = def->kind == AVAL__BACKWARD ? def->forward_of : def;
    if (unit->cluster) aval__text_add(text, "fused");
    else {
        aval__verdict_subject(text, op);
        aval__text_add(text, " %s%s", aval_type_name(unit->type), def->kind == AVAL__BACKWARD ? " backward" : "");
    }
    aval__hash_text(source, name);
    aval__text_add(text, " %s", name);
}

static int hash_source(const aval__source *source, aval__hash *out)
{
    aval__text text = { 0 };
    aval__text_put(&text, (const char *)&source->hash, sizeof source->hash);
    aval__text_put(&text, source->options, strlen(source->options));
    int status = text.failed ? AVAL_E_MEMORY : AVAL_OK;
    if (status == AVAL_OK) *out = aval__hash_bytes(text.at, text.length);
    aval__text_release(&text);
    return status;
}

/* The device's verdicts; NULL: nothing is kept. */
static aval__verdicts *verdicts_of(aval_context *ctx, uint32_t device)
{
    while (ctx->known.count <= device) {
        aval__verdicts *v = NULL;
        aval__context_verdicts(ctx, ctx->selected.at[ctx->known.count], &v);
        if (aval__vec_push(&ctx->known, v) < 0) {
            aval__verdicts_close(v);
            return NULL;
        }
    }
    return ctx->known.at[device];
}

/* *why for aval__free; NULL: right, or nothing can be said. */
static int try(aval_context *ctx, uint32_t device, const aval__plan_unit *unit, char **why)
{
    int status = AVAL_E_CHECK;
    bool exists = true;
    struct aval__met *met = ctx->met;
    const aval__opdef *trial_of = ctx->trial_of;
    const aval__groups trial = ctx->trial;
    *why = NULL;
    ctx->met = NULL; /* products of the question are none of the plan that is being made */
    if (!unit->cluster) { /* the question is about kernels with these work-groups */
        ctx->trial_of = unit->nodes[0]->def;
        ctx->trial = unit->groups;
    }
    for (unsigned draw = 0; draw < DRAWS && exists && status == AVAL_E_CHECK; draw++) {
        aval__known k;
        status = aval__known_make(ctx, device, unit, draw, &k, &exists);
        if (status == AVAL_OK && exists) status = aval__known_run(&k);
        aval__known_release(&k);
    }
    ctx->met = met;
    ctx->trial_of = trial_of;
    ctx->trial = trial;
    if (status != AVAL_E_CHECK) return AVAL_OK; /* what fails in another way does so again, in words, when it is run in earnest */
    *why = aval__copy_text(aval_error());
    return *why ? AVAL_OK : AVAL_E_MEMORY;
}

/* From the device's verdicts, or by trying. */
static int find_out(aval_context *ctx, uint32_t device, const aval__plan_unit *unit, const char *subject, uint64_t stamp, char **why)
{
    aval__verdicts *kept = verdicts_of(ctx, device);
    aval__verdict verdict;
    if (kept && aval__verdicts_find(kept, KIND, subject, &verdict) && verdict.stamp == stamp) {
        *why = verdict.failed > 0 ? aval__copy_text(verdict.message) : NULL;
        return *why || verdict.failed == 0 ? AVAL_OK : AVAL_E_MEMORY;
    }
    AVAL__TRY(try(ctx, device, unit, why));
    verdict = (aval__verdict){ .stamp = stamp, .passed = *why == NULL, .failed = *why != NULL, .when = (int64_t)time(NULL) };
    if (*why) {
        aval__text text = { 0 };
        aval__text_add(&text, "%.*s", (int)sizeof verdict.message - 1, *why);
        if (text.at) memcpy(verdict.message, text.at, text.length + 1);
        aval__text_release(&text);
    }
    if (kept) aval__verdicts_add(kept, KIND, subject, &verdict); /* in print or not: one that is not remembered is found again */
    return AVAL_OK;
}

static int fail_refused(const aval_context *ctx, uint32_t device, const aval__plan_unit *unit, const char *why)
{
    aval__text label = { 0 };
    for (size_t i = 0; i < unit->n_nodes && i < 4; i++) aval__text_add(&label, "%s%s", i > 0 ? ", " : "", unit->nodes[i]->def->name);
    int status = aval__fail(AVAL_E_CHECK,
                            "device %zu '%s' gives a wrong answer to a known question about %s%s: %s; select another device, or insist "
                            "(AVAL_INSIST=1, --insist)",
                            ctx->selected.at[device], ctx->infos.at[device]->name, label.at ? label.at : "a kernel",
                            unit->n_nodes > 4 ? " ..." : "", why);
    aval__text_release(&label);
    return status;
}

int aval__context_prove(void *user, uint32_t device, const aval__plan_unit *unit)
{
    aval_context *ctx = user;
    struct aval__known_answer *answer = NULL, *fresh = NULL;
    aval__text subject = { 0 };
    aval__hash source;
    int status = AVAL_OK;
    if (ctx->insists || ctx->checks > 0) return AVAL_OK;
    AVAL__TRY(hash_source(unit->source, &source));
    put_subject(&subject, unit, source);
    if (subject.failed) AVAL__TRY_DONE(AVAL_E_MEMORY);
    fresh = aval__alloc(sizeof *fresh);
    if (!fresh) AVAL__TRY_DONE(AVAL_E_MEMORY);
    fresh->key.subject = aval__hash_bytes(subject.at, subject.length);
    fresh->key.device = device;
    HASH_FIND(hh, ctx->answers, &fresh->key, sizeof fresh->key, answer);
    if (!answer) {
        AVAL__TRY_DONE(find_out(ctx, device, unit, subject.at, source.low, &fresh->why));
        HASH_ADD(hh, ctx->answers, key, sizeof fresh->key, fresh);
        if (!fresh->hh.tbl) AVAL__TRY_DONE(AVAL_E_MEMORY);
        answer = fresh;
        fresh = NULL;
    }
    if (answer->why) status = fail_refused(ctx, device, unit, answer->why);
done:
    if (fresh) aval__free(fresh->why);
    aval__free(fresh);
    aval__text_release(&subject);
    return status;
}

void aval__context_save_known(aval_context *ctx)
{
    for (size_t i = 0; i < ctx->known.count; i++)
        if (ctx->known.at[i]) aval__verdicts_save(ctx->known.at[i]);
}

void aval__context_forget_known(aval_context *ctx)
{
    struct aval__known_answer *answer, *next;
    HASH_ITER (hh, ctx->answers, answer, next) {
        HASH_DEL(ctx->answers, answer);
        aval__free(answer->why);
        aval__free(answer);
    }
    for (size_t i = 0; i < ctx->known.count; i++) aval__verdicts_close(ctx->known.at[i]);
    aval__vec_release(&ctx->known);
}

void aval__context_check(aval_context *ctx, bool begin)
{
    aval__context_lock(ctx);
    ctx->checks += begin ? 1 : -1;
    aval__context_unlock(ctx);
}

int aval_context_insist(aval_context *ctx, int insist)
{
    AVAL__NEED(ctx, "a context");
    aval__context_lock(ctx);
    ctx->insists = insist != 0;
    aval__context_unlock(ctx);
    return AVAL_OK;
}
