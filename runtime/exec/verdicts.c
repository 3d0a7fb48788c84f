/* What is remembered of operators on devices, for the parts that find it out and for those who ask. */
#include "exec/context.h"

#include <string.h>
#include <sys/stat.h>

int aval__context_verdicts(aval_context *ctx, size_t device, aval__verdicts **out)
{
    *out = NULL;
    aval__context_lock(ctx);
    aval__context_forget_verdicts(ctx); /* there will be others */
    aval__context_unlock(ctx);
    const aval_device_info *info = aval_device_info_at(ctx, device);
    if (info == NULL) return aval__fail(AVAL_E_ARGUMENT, "there is no device %zu", device);
    char *folder = aval__cache_choose(&ctx->log);
    if (folder == NULL) return AVAL_OK;
    int status = aval__verdicts_open(folder, info, aval__devices_ordinal(ctx->devices, device), out);
    aval__free(folder);
    return status;
}

uint64_t aval__plugin_stamp(const aval__opdef *def)
{
    struct stat about;
    if (stat(aval__plugin_file(def->plugin), &about) != 0) return 0;
    const int64_t parts[] = { (int64_t)about.st_size, (int64_t)about.st_mtim.tv_sec, (int64_t)about.st_mtim.tv_nsec };
    return aval__hash64(parts, sizeof parts, 0);
}

void aval__verdict_subject(aval__text *text, const aval__opdef *def)
{
    aval__opdef_label(text, def);
    aval__text_add(text, " %u", (unsigned)def->op->since);
}

/* ---- For users ------------------------------------------------------------------------------------------------------------- */

void aval__context_forget_verdicts(aval_context *ctx)
{
    for (size_t i = 0; i < ctx->remembered.count; i++) aval__verdicts_close(ctx->remembered.at[i]);
    aval__vec_release(&ctx->remembered);
    ctx->remembered_read = false;
}

static int keep(void *user, aval__verdicts *verdicts)
{
    aval_context *ctx = user;
    if (aval__vec_push(&ctx->remembered, verdicts) == AVAL_OK) return AVAL_OK;
    aval__verdicts_close(verdicts);
    return AVAL_E_MEMORY;
}

/* Under the lock. */
static int read_remembered(aval_context *ctx)
{
    char *folder = ctx->remembered_read ? NULL : aval__cache_choose(&ctx->log);
    int status = folder == NULL ? AVAL_OK : aval__verdicts_visit(folder, keep, ctx);
    aval__free(folder);
    ctx->remembered_read = status == AVAL_OK;
    return status;
}

static void tell(const aval__verdicts *of, const aval__verdict *found, uint64_t stamp, aval_op_verdict_function visit, void *user)
{
    const aval_op_verdict verdict = { .size = sizeof verdict,
                                      .device = aval__verdicts_device(of),
                                      .driver = aval__verdicts_driver(of),
                                      .passed = found->passed,
                                      .failed = found->failed,
                                      .skipped = found->skipped,
                                      .error = found->error,
                                      .when = found->when,
                                      .outdated = found->stamp != stamp,
                                      .extent = found->extent,
                                      .message = found->message };
    visit(user, &verdict);
}

static const aval__opdef *find_def(aval_context *ctx, const aval_op *op)
{
    size_t count = aval_op_count(ctx);
    for (size_t i = 0; i < count; i++) {
        if (aval__registry_at(ctx->registry, i)->op == op) return aval__registry_at(ctx->registry, i);
    }
    aval__fail(AVAL_E_UNKNOWN, "operator '%s' is none of this context's", op->name);
    return NULL;
}

int aval_op_verdicts(aval_context *ctx, const aval_op *op, aval_op_verdict_function visit, void *user)
{
    AVAL__NEED(ctx, "a context");
    AVAL__NEED(op, "an operator");
    AVAL__NEED(visit, "a function to tell");
    aval__text subject = { 0 };
    const aval__opdef *def = find_def(ctx, op);
    if (def == NULL) return AVAL_E_UNKNOWN;
    aval__verdict_subject(&subject, def);
    aval__context_lock(ctx);
    int status = subject.failed ? AVAL_E_MEMORY : read_remembered(ctx);
    uint64_t stamp = aval__plugin_stamp(def);
    for (size_t i = 0; status == AVAL_OK && i < ctx->remembered.count; i++) {
        aval__verdict found;
        if (aval__verdicts_find(ctx->remembered.at[i], AVAL__VERDICT_CHECK, subject.at, &found))
            tell(ctx->remembered.at[i], &found, stamp, visit, user);
    }
    aval__context_unlock(ctx);
    aval__text_release(&subject);
    return status;
}
