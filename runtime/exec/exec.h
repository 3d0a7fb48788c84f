/* Running plans: the context, the store, sessions and copies between devices.
 *
 * A session looks up (or makes) the plan for the graph as it is now, binds it once (buffers, cl_kernels with their arguments set), and
 * from then on a run only points slots and enqueues. */
#ifndef AVAL_EXEC_H
#define AVAL_EXEC_H

#include "device/device.h"
#include "device/verdicts.h"
#include "graph/graph.h"
#include "plan/plan.h"

/* ---- Context --------------------------------------------------------------------------------------------------------------------------- */

/* Loads the default plugins and opens the selected devices, if that has not happened yet; any thread. */
int aval__context_ready(aval_context *ctx);
/* As it is: loads nothing. */
aval__registry *aval__context_registry(aval_context *ctx);
/* The context's lock; may be taken again by the thread that has it.  Planning needs it, since definitions of derivatives are added to the
   registry. */
void aval__context_lock(aval_context *ctx);
void aval__context_unlock(aval_context *ctx);
const aval__log *aval__context_log(const aval_context *ctx);
/* The opened devices in order of preference (after aval__context_ready). */
size_t aval__context_device_count(const aval_context *ctx);
aval__device *aval__context_device(const aval_context *ctx, size_t i);
bool aval__context_profiled(const aval_context *ctx);
/* Between the two, no device is asked for known answers: a check judges for itself. */
void aval__context_check(aval_context *ctx, bool begin);
/* The callbacks that planning for this context's devices uses; `user` is the context. */
const aval__plan_hooks *aval__context_hooks(aval_context *ctx);

/* What is remembered of a device (by its index for aval_device_info_at), for aval__verdicts_close.  *out is NULL when nothing is to be kept
   between processes. */
int aval__context_verdicts(aval_context *ctx, size_t device, aval__verdicts **out);
/* Changes when the plugin's file does. */
uint64_t aval__plugin_stamp(const aval__opdef *def);
/* "Conv 22": how verdicts of kind AVAL__VERDICT_CHECK speak of an operator. */
void aval__verdict_subject(aval__text *text, const aval__opdef *def);
#define AVAL__VERDICT_CHECK "check"

/* ---- Store ------------------------------------------------------------------------------------------------------------------------------ */

/* The entry's buffer on a device, with its present content: made, or moved from where it is.  Owned by the store; *generation changes
   when the buffer does (so that bound kernels can be re-pointed).  AVAL_E_UNKNOWN says how to give the state a value;
   AVAL_E_SHAPE when `shape` differs from the entry's. */
int aval__store_buffer(aval_store *store, const char *name, const aval_tensor *shape, aval__device *device, cl_mem *buffer,
                       uint64_t *generation);
/* Goes up whenever any entry is made, moved or removed (not when its content is set): while it stays, all buffers are where they were. */
uint64_t aval__store_generation(const aval_store *store);
/* Goes up when a content may have become another one: it was set, or a plan has updated it (aval__store_change, which who runs such a plan calls).
   0 where a caller has a buffer in his own hands, so that nobody knows. */
uint64_t aval__store_changes(const aval_store *store);
void aval__store_change(aval_store *store);

/* ---- Sessions ----------------------------------------------------------------------------------------------------------------------------- */

/* Shows the plan for what is wanted, without binding or running it; returns what `visit` returns. */
int aval__session_visit_plan(aval_session *s, aval_value *const *wanted, size_t n_wanted, int (*visit)(void *user, const aval__plan *plan),
                             void *user);

/* Bindings that the session makes from now on ask their kernels, see aval__binding_create: for checks of plugins that nobody has checked yet. */
void aval__session_ask_parameters(aval_session *s);

/* ---- Bindings: a plan bound to devices ---------------------------------------------------------------------------------------------------- */

typedef struct aval__binding aval__binding;

/* Makes buffers and kernels.  The plan must outlive it.  `asks`: in guarded mode kernels are asked for their parameters' types even where that takes
   one more build, as with PoCL. */
int aval__binding_create(aval_context *ctx, const aval__plan *plan, bool asks, aval__binding **out);
void aval__binding_release(aval__binding *binding);
/* Copies a fed input into the slot's spare buffer and points the slot at it. */
int aval__binding_feed(aval__binding *binding, uint32_t slot, const void *data, size_t bytes);
/* The buffer that aval__binding_feed writes next; NULL: it is not made yet, or not to be given away (guard bands, a caller's buffer). */
cl_mem aval__binding_next_input(const aval__binding *binding, uint32_t slot);
/* Points the slot at the caller's buffer, which is retained until the slot is fed or bound again. */
int aval__binding_bind(aval__binding *binding, uint32_t slot, cl_mem buffer);
/* Points state slots at the store's buffers where that changed, then enqueues all steps. */
int aval__binding_run(aval__binding *binding, aval_store *store, bool anomaly);
/* The times of the last run's commands (aval_session_profile). */
int aval__binding_profile(aval__binding *binding, aval_profile_function report, void *user);
/* As aval__binding_run; `after` is called when a step was enqueued, and may wait for it, read and write.  NULL: nothing is. */
int aval__binding_run_steps(aval__binding *binding, aval_store *store, int (*after)(void *user, aval__binding *binding, size_t step),
                            void *user);
/* Reads a located value; waits. */
int aval__binding_read(aval__binding *binding, const aval__located *value, void *data, size_t bytes);
int aval__binding_wait(aval__binding *binding);
/* The buffer that a located value lies in. */
int aval__binding_place(aval__binding *binding, const aval__located *value, cl_mem *buffer);
/* An event for the end of the last run.  Where several devices have run, those behind the first are waited for. */
int aval__binding_end(aval__binding *binding, cl_event *end);
/* Guarded mode: AVAL_E_CHECK names the value and the side on which a guard band was overwritten. */
int aval__binding_check_guards(aval__binding *binding);

/* ---- Sessions, for checks ---------------------------------------------------------------------------------------------------------------- */

aval_context *aval__session_context(const aval_session *s);
/* The content of an input or state that the next run would read, in double on the host; for aval__host_tensor_release. */
int aval__session_content(aval_session *s, const aval_value *value, aval__host_tensor *out);

/* A value as a launch of the session's plan has left it. */
typedef struct aval__traced {
    const char *name;
    const char *launch; /* "launch 3 of 40, node 7 (Relu): fused:fused" */
    uint32_t number; /* in the plan, see aval__plan_key: equal for the same graph on every device */
    int64_t id; /* in the session's graph; -1: planning made the value */
    double reach; /* the largest magnitude among the floats that the launch has read, as far as they are still there; 0: not known */
    const aval_tensor *shape;
    size_t bytes;
} aval__traced;
/* Sees the content, and may change it for all launches to come (*replaced). */
typedef int (*aval__trace_function)(void *user, const aval__traced *value, void *content, bool *replaced);
/* As aval_session_run, waiting after each launch for `visit`. */
int aval__session_trace(aval_session *s, aval_value *const *wanted, size_t n_wanted, aval__trace_function visit, void *user);

#endif
