/* The context: made empty, so that it can be configured; plugins are loaded when the first graph is made, devices opened when the first
 * session runs.  Only selected devices are opened, because opening one may start its whole driver. */
#include "exec/context.h"
#include "device/tuning.h"

#include <stdlib.h>
#include <string.h>

/* ---- Planning callbacks ---------------------------------------------------------------------------------------------------- */

static int gemm_choose(void *user, uint32_t device, const aval_gemm *gemm, int type, aval__gemm_choice *choice)
{
    aval_context *ctx = user;
    const aval_device_info *info = aval__device_info(ctx->opened.at[device]);
    size_t number;
    choice->apart = gemm->groups > 0 && !aval__gemm_takes_groups(info, gemm, type);
    if (choice->apart) return AVAL_OK;
    AVAL__TRY(aval__context_meet(ctx, device, gemm, type));
    AVAL__TRY(aval__gemm_choose(info, gemm, type, (choice->many[0] ? 1u : 0) | (choice->many[1] ? 2u : 0), &number));
    const aval__gemm_provider *provider = aval__gemm_provider_at(number);
    choice->provider = (uint32_t)number;
    choice->name = provider->name;
    const aval__variant tuned = aval__tuning_find(info, gemm, type, provider);
    if (tuned.provider) aval__variant_print(&tuned, choice->tuned);
    unsigned packed = 0;
    for (int i = 0; i < 2 && provider->packed_bytes; i++) {
        choice->packed_bytes[i] = choice->many[i] ? provider->packed_bytes(info, gemm, type, i) : 0;
        if (choice->packed_bytes[i] > 0) packed |= 1u << i;
    }
    choice->scratch_bytes = provider->scratch_bytes ? provider->scratch_bytes(info, gemm, type, packed) : 0;
    choice->records = provider->record != NULL;
    choice->takes_tail = aval__gemm_takes_tail(provider, info, gemm, type);
    return AVAL_OK;
}

static int gemm_record(void *user, uint32_t device, const aval_gemm *gemm, int type, const aval__gemm_choice *choice,
                       const aval_tensor *scratch, aval_call *call, const aval_kernel_source **source)
{
    const aval_context *ctx = user;
    const aval__gemm_provider *provider = aval__gemm_provider_at(choice->provider);
    *source = provider->source;
    return provider->record(aval__device_info(ctx->opened.at[device]), gemm, type, scratch, choice->packed, choice->with_tail, call);
}

static int gemm_pack(void *user, uint32_t device, const aval_gemm *gemm, int type, const aval__gemm_choice *choice, int operand,
                     const aval_tensor *to, aval_call *call, const aval_kernel_source **source)
{
    const aval_context *ctx = user;
    const aval__gemm_provider *provider = aval__gemm_provider_at(choice->provider);
    *source = provider->source;
    return provider->pack(aval__device_info(ctx->opened.at[device]), gemm, type, operand, to, call);
}

/* ---- Making and giving back ------------------------------------------------------------------------------------------------ */

static int make_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t how;
    if (pthread_mutexattr_init(&how) != 0) return aval__fail(AVAL_E_MEMORY, "a lock cannot be made");
    int code = pthread_mutexattr_settype(&how, PTHREAD_MUTEX_RECURSIVE);
    if (code == 0) code = pthread_mutex_init(lock, &how);
    pthread_mutexattr_destroy(&how);
    return code == 0 ? AVAL_OK : aval__fail(AVAL_E_MEMORY, "a lock cannot be made: %s", strerror(code));
}

int aval_context_create(aval_context **ctx)
{
    AVAL__NEED(ctx, "a place for the context");
    *ctx = NULL;
    aval_context *made = aval__alloc(sizeof *made);
    if (!made) return AVAL_E_MEMORY;
    int status = make_lock(&made->lock);
    if (status < 0) {
        aval__free(made);
        return status;
    }
    made->holders = 1;
    made->hooks = (aval__plan_hooks){ .user = made,
                                      .gemm_choose = gemm_choose,
                                      .gemm_record = gemm_record,
                                      .gemm_pack = gemm_pack,
                                      .groups = aval__context_groups,
                                      .prove = aval__context_prove };
    const char *insists = getenv("AVAL_INSIST");
    made->insists = insists && insists[0] && strcmp(insists, "0") != 0;
    status = aval__registry_create(&made->log, &made->registry);
    if (status < 0) {
        aval_context_release(made);
        return status;
    }
    *ctx = made;
    return AVAL_OK;
}

void aval__context_hold(aval_context *ctx)
{
    ctx->holders++;
}

void aval__context_drop(aval_context *ctx)
{
    if (--ctx->holders > 0) return;
    aval__context_forget_plans(ctx);
    aval__context_forget_verdicts(ctx);
    aval__context_forget_known(ctx);
    for (size_t i = 0; i < ctx->opened.count; i++) aval__device_close(ctx->opened.at[i]);
    aval__vec_release(&ctx->opened);
    aval__vec_release(&ctx->infos);
    aval__vec_release(&ctx->selected);
    if (ctx->devices) aval__devices_release(ctx->devices);
    if (ctx->registry) aval__registry_release(ctx->registry);
    pthread_mutex_destroy(&ctx->lock);
    aval__free(ctx);
}

void aval_context_release(aval_context *ctx)
{
    if (!ctx) return;
    aval_context_log(ctx, NULL, NULL); /* the user's part of it ends here, whoever still holds the context */
    aval__context_drop(ctx);
}

void aval_context_log(aval_context *ctx, aval_log_function log, void *user)
{
    AVAL__NEED_OR(, ctx, "a context");
    aval__context_lock(ctx);
    ctx->log = (aval__log){ .function = log, .user = user };
    aval__context_unlock(ctx);
}

void aval__context_lock(aval_context *ctx)
{
    pthread_mutex_lock(&ctx->lock);
}

void aval__context_unlock(aval_context *ctx)
{
    pthread_mutex_unlock(&ctx->lock);
}

/* ---- Devices --------------------------------------------------------------------------------------------------------------- */

static int list_devices(aval_context *ctx)
{
    return ctx->devices ? AVAL_OK : aval__devices_create(&ctx->log, &ctx->devices);
}

static int select_index(aval_context *ctx, size_t index)
{
    for (size_t i = 0; i < ctx->selected.count; i++)
        if (ctx->selected.at[i] == index) return AVAL_OK;
    return aval__vec_push(&ctx->selected, index);
}

static int select_device(aval_context *ctx, const char *selector)
{
    size_t index;
    AVAL__TRY(list_devices(ctx));
    AVAL__TRY(aval__devices_find(ctx->devices, selector, &index));
    return select_index(ctx, index);
}

int aval_context_select_device(aval_context *ctx, const char *selector)
{
    AVAL__NEED(ctx, "a context");
    if (!selector) return aval__fail(AVAL_E_ARGUMENT, "a device selector is needed, found NULL");
    aval__context_lock(ctx);
    int status = ctx->ready ? aval__fail(AVAL_E_ARGUMENT,
                                         "device '%s' is selected too late: devices are chosen before the first session runs", selector)
                            : select_device(ctx, selector);
    aval__context_unlock(ctx);
    return status;
}

static int bring_device(aval_context *ctx, cl_context context, cl_device_id id, cl_command_queue queue)
{
    size_t index;
    if (ctx->ready) return aval__fail(AVAL_E_ARGUMENT, "a cl_context is given too late: devices are chosen before the first session runs");
    AVAL__TRY(list_devices(ctx));
    AVAL__TRY(aval__devices_bring(ctx->devices, context, id, queue, &index));
    return select_index(ctx, index);
}

int aval__context_bring(aval_context *ctx, cl_context context, cl_device_id id, cl_command_queue queue)
{
    aval__context_lock(ctx);
    int status = bring_device(ctx, context, id, queue);
    aval__context_unlock(ctx);
    return status;
}

int aval_context_profile(aval_context *ctx)
{
    AVAL__NEED(ctx, "a context");
    aval__context_lock(ctx);
    int status = list_devices(ctx);
    if (status == AVAL_OK && ctx->ready)
        status = aval__fail(AVAL_E_ARGUMENT, "profiling is asked for too late: devices are opened when the first session runs");
    if (status == AVAL_OK) {
        aval__devices_profile(ctx->devices);
        ctx->profiled = true;
    }
    aval__context_unlock(ctx);
    return status;
}

/* AVAL_DEVICE: selectors with ',' between. */
static int select_from_environment(aval_context *ctx, const char *selectors)
{
    int status = AVAL_OK;
    char *copy = aval__copy_text(selectors), *rest = NULL;
    if (!copy) return AVAL_E_MEMORY;
    for (char *one = strtok_r(copy, ",", &rest); one && status == AVAL_OK; one = strtok_r(NULL, ",", &rest))
        status = select_device(ctx, one);
    if (status < 0) {
        aval__fail_in(status, "AVAL_DEVICE");
        ctx->selected.count = 0;
    }
    aval__free(copy);
    return status;
}

/* A device that did not answer may do so when it is asked again: an empty list is not kept. */
static int fail_none(aval_context *ctx)
{
    int status = aval__devices_fail_none(ctx->devices);
    aval__devices_release(ctx->devices);
    ctx->devices = NULL;
    return status;
}

/* What is selected, by the user, the environment or us.  Under the lock. */
static int settle_selection(aval_context *ctx)
{
    const char *named = getenv("AVAL_DEVICE");
    size_t best;
    AVAL__TRY(list_devices(ctx));
    if (aval__devices_count(ctx->devices) == 0) return fail_none(ctx);
    if (ctx->selected.count == 0 && named && named[0]) AVAL__TRY(select_from_environment(ctx, named));
    if (ctx->selected.count > 0) return AVAL_OK;
    AVAL__TRY(aval__devices_best(ctx->devices, &best));
    return aval__vec_push(&ctx->selected, best);
}

static int open_devices(aval_context *ctx)
{
    AVAL__TRY(settle_selection(ctx));
    while (ctx->opened.count < ctx->selected.count) {
        size_t index = ctx->selected.at[ctx->opened.count];
        const char *refusal = aval__devices_refusal(ctx->devices, index);
        if (refusal)
            return aval__fail(AVAL_E_UNSUPPORTED, "device %zu '%s' cannot be used: %s", index,
                              aval__devices_info(ctx->devices, index)->name, refusal);
        AVAL__TRY(aval__vec_reserve(&ctx->opened, ctx->opened.count + 1));
        AVAL__TRY(aval__vec_reserve(&ctx->infos, ctx->opened.count + 1));
        AVAL__TRY(aval__device_open(ctx->devices, index, &ctx->opened.at[ctx->opened.count]));
        ctx->infos.at[ctx->opened.count] = aval__device_info(ctx->opened.at[ctx->opened.count]);
        ctx->opened.count++;
    }
    return AVAL_OK;
}

int aval__context_ready(aval_context *ctx)
{
    aval__context_lock(ctx);
    int status = ctx->ready ? AVAL_OK : aval__context_plugins(ctx);
    if (status == AVAL_OK && !ctx->ready) {
        status = open_devices(ctx);
        ctx->ready = status == AVAL_OK;
    }
    aval__context_unlock(ctx);
    return status;
}

size_t aval_device_count(aval_context *ctx)
{
    AVAL__NEED_OR(0, ctx, "a context");
    aval__context_lock(ctx);
    size_t count = list_devices(ctx) < 0 ? 0 : aval__devices_count(ctx->devices);
    aval__context_unlock(ctx);
    return count;
}

const aval_device_info *aval_device_info_at(aval_context *ctx, size_t i)
{
    return i < aval_device_count(ctx) ? aval__devices_info(ctx->devices, i) : NULL;
}

const char *aval_device_refusal(aval_context *ctx, size_t i)
{
    return i < aval_device_count(ctx) ? aval__devices_refusal(ctx->devices, i) : "there is no such device";
}

int64_t aval_selected_count(aval_context *ctx)
{
    AVAL__NEED(ctx, "a context");
    aval__context_lock(ctx);
    int status = settle_selection(ctx);
    int64_t count = status < 0 ? status : (int64_t)ctx->selected.count;
    aval__context_unlock(ctx);
    return count;
}

int64_t aval_selected_device(aval_context *ctx, size_t i)
{
    int64_t count = aval_selected_count(ctx);
    if (count < 0) return count;
    if (i < (size_t)count) return (int64_t)ctx->selected.at[i];
    return aval__fail(AVAL_E_ARGUMENT, "selected device %zu was asked for, but %lld are selected", i, (long long)count);
}

/* ---- For the rest of exec and the layers above ----------------------------------------------------------------------------- */

aval__registry *aval__context_registry(aval_context *ctx)
{
    return ctx->registry;
}

bool aval__context_profiled(const aval_context *ctx)
{
    return ctx->profiled;
}

const aval__log *aval__context_log(const aval_context *ctx)
{
    return &ctx->log;
}

size_t aval__context_device_count(const aval_context *ctx)
{
    return ctx->opened.count;
}

aval__device *aval__context_device(const aval_context *ctx, size_t i)
{
    return ctx->opened.at[i];
}

const aval__plan_hooks *aval__context_hooks(aval_context *ctx)
{
    return &ctx->hooks;
}
