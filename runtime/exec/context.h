/* The context's inside: devices, plugins and the cache of plans.  Private to exec. */
#ifndef AVAL_EXEC_CONTEXT_H
#define AVAL_EXEC_CONTEXT_H

#include "exec/exec.h"
#include "exec/table.h"

#include <pthread.h>

/* A plan that several sessions may have bound.  Leaves the cache when it was not asked for the longest; goes when nobody holds it. */
typedef struct aval__shared_plan {
    aval__hash key;
    aval__plan *plan;
    size_t holders; /* bindings, and the cache while it is in there */
    UT_hash_handle hh; /* iterates from the least recently used */
} aval__shared_plan;

struct aval_context {
    _Atomic size_t holders; /* the user, graphs, stores and sessions: gone with the last */
    pthread_mutex_t lock; /* of all below; recursive, so that a log function may call back */
    aval__log log;
    aval__registry *registry;
    bool plugins_chosen; /* loaded by the user, or the default ones are in */
    aval__devices *devices; /* NULL: not listed yet */
    AVAL__VEC(size_t) selected; /* indices, in order of preference */
    AVAL__VEC(aval__device *) opened; /* as many once the context is ready */
    AVAL__VEC(const aval_device_info *) infos; /* of the opened ones */
    bool ready;
    bool profiled; /* devices keep the times of commands */
    aval__plan_hooks hooks;
    aval__shared_plan *plans; /* uthash */
    struct aval__met *met; /* where planning puts the products that it meets; NULL: nowhere */
    const aval__opdef *trial_of; /* nodes of it take `trial` for their work-groups, others what the device has; NULL: what was tuned */
    aval__groups trial;
    int checks; /* under way, which judge for themselves */
    bool insists; /* known answers are not asked for */
    struct aval__known_answer *answers; /* uthash; known.c */
    AVAL__VEC(aval__verdicts *) known; /* by selected device; NULL: nothing is kept of it */
    bool remembered_read; /* `remembered` is of all devices in the cache folder */
    AVAL__VEC(aval__verdicts *) remembered;
};

/* One more holder, and one less: what was made from a context may be released after it. */
void aval__context_hold(aval_context *ctx);
void aval__context_drop(aval_context *ctx);

/* Selects a device that is to work in the caller's cl_context and on his queue, which may be NULL. */
int aval__context_bring(aval_context *ctx, cl_context context, cl_device_id id, cl_command_queue queue);

/* Loads the default plugins unless there are some.  Under the lock. */
int aval__context_plugins(aval_context *ctx);

/* Known answers (known.c): the hook of planning, and what it found out: put on disk, and given back. */
int aval__context_prove(void *user, uint32_t device, const aval__plan_unit *unit);
void aval__context_save_known(aval_context *ctx);
void aval__context_forget_known(aval_context *ctx);
/* What was read of verdicts is forgotten, and read again when asked for. */
void aval__context_forget_verdicts(aval_context *ctx);

/* Tuning (tune.c): a product that planning meets, and what decides which way products are computed, as a number (0: nothing was tuned). */
int aval__context_meet(aval_context *ctx, uint32_t device, const aval_gemm *gemm, int type);
uint64_t aval__context_tuning(const aval_context *ctx);
/* The hook of planning for work-groups (groups.c). */
int aval__context_groups(void *user, uint32_t device, const aval_node *node, aval__groups *out);

/* The plan for a request: from the cache, or made.  *made tells which.  For aval__shared_plan_drop. */
int aval__context_plan(aval_context *ctx, const aval__plan_request *request, const aval__hash *key, aval__shared_plan **out, bool *made);
void aval__shared_plan_drop(aval_context *ctx, aval__shared_plan *plan);
/* Empties the cache. */
void aval__context_forget_plans(aval_context *ctx);

#endif
