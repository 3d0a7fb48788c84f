/* The runner of a model check that needs no other process. */
#include "check/model_judge.h"

struct aval__model_here {
    aval_context *ctx;
    aval_model_worker *worker;
    int status;
    void *answer;
    size_t bytes;
    aval_model_runner runner;
};

static const aval_device_info *here_device(void *user, size_t device)
{
    const aval__model_here *h = user;
    (void)device;
    return aval_device_info_at(h->ctx, (size_t)aval_selected_device(h->ctx, 0));
}

static size_t here_number(void *user, size_t device)
{
    const aval__model_here *h = user;
    int64_t number = aval_selected_device(h->ctx, device);
    return number < 0 ? 0 : (size_t)number;
}

static const char *here_compiler(void *user, size_t device)
{
    return here_device(user, device)->platform;
}

static void here_begin(void *user, size_t device, const void *request, size_t bytes)
{
    aval__model_here *h = user;
    (void)device;
    aval__free(h->answer);
    h->answer = NULL;
    h->status = aval_model_worker_answer(h->worker, request, bytes, &h->answer, &h->bytes);
}

static void here_finish(void *user, size_t device, aval_check_outcome *outcome)
{
    const aval__model_here *h = user;
    (void)device;
    outcome->status = h->status;
    outcome->message = h->status < 0 ? aval_error() : "";
    outcome->results = h->answer;
    outcome->bytes = h->bytes;
}

int aval__model_here_create(aval_context *ctx, const aval_check_model *model, aval__model_here **out)
{
    *out = NULL;
    AVAL__TRY(aval__context_ready(ctx));
    aval__model_here *h = aval__alloc(sizeof *h);
    if (h == NULL) return AVAL_E_MEMORY;
    h->ctx = ctx;
    h->runner = (aval_model_runner){ .size = sizeof h->runner,
                                     .user = h,
                                     .n_devices = 1,
                                     .device = here_device,
                                     .number = here_number,
                                     .compiler = here_compiler,
                                     .begin = here_begin,
                                     .finish = here_finish };
    int status = aval_model_worker_create(ctx, model, &h->worker);
    if (status < 0) aval__free(h);
    else *out = h;
    return status;
}

const aval_model_runner *aval__model_here_runner(const aval__model_here *h)
{
    return &h->runner;
}

void aval__model_here_release(aval__model_here *h)
{
    if (h == NULL) return;
    aval_model_worker_release(h->worker);
    aval__free(h->answer);
    aval__free(h);
}
