/* Checks: operators, nets and a user's own graphs, on devices against the host's referee and against each other.  A part of aval/aval.h, which
 * includes it. */
#ifndef AVAL_CHECK_API_H
#define AVAL_CHECK_API_H

#include "aval/aval.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Operators ---------------------------------------------------------------------------------------------------------- */

/* A check makes cases from the operators' samples, has each run on the devices, and judges what they give: against the referee (the op's
   reference in double on the host, and centred differences of it) and against each other. */

/* One comparison of one device's result. */
typedef struct aval_check_result {
    size_t size;
    const char *op;
    const char *device; /* its name */
    const char *sample; /* its inputs text */
    const char *attrs;
    const char *type; /* element type under test */
    const char *what; /* "forward Y", "gradient dY/dX", "gradient d(all)/dX", "repeat", "run", "coverage"; at the
                         end of an op "pattern", when the cases that fail have something in common */
    int passed; /* 1 passed, 0 failed, -1 skipped */
    double error; /* largest, in units of the tolerance */
    const char *message; /* why it failed or was skipped, with the worst element and its inputs; passed: "", of "repeat" its runs */
    size_t device_number; /* its index for aval_device_info_at */
    double ulps; /* the error at the worst element in units in the last place of what was expected; of the element type under test */
    const char *blame; /* failed: "device" (others disagree with it), "operator" (all devices agree, the referee does not), or "" */
    const char *fate; /* what = "run": "error", or how the runner lost its device: "crashed", "hung" ...; "" otherwise */
    const char *likely; /* failed: the mistake that fits what was found, and how many elements it explains; "" where none fits */
    const char *detail; /* failed: the worst elements, a line each; "" */
    const char *value; /* of a model's "first launch": what it makes, as aval_check_model.only takes it; "" otherwise */
    const char *folder; /* failed: the folder that it leaves; "" where it leaves none */
} aval_check_result;
typedef void (*aval_check_function)(void *user, const aval_check_result *result);

/* One sample in one element type: all that a run depends on. */
typedef struct aval_check_case {
    size_t size;
    const char *op; /* "Conv", "aval::Sgd" */
    const aval_sample *sample;
    int type;
    uint64_t seed; /* of inputs and upstream gradients */
    int forward_only;
    const char *contents; /* folder of a failure, whose inputs are taken instead of random ones; NULL: none */
    int repeats; /* of deterministic operators: runs in all that must give equal bits; 3 at least */
    int sources; /* 1: nothing is run; the results are the kernel sources that would be */
} aval_check_case;

/* Runs a case on the context's first selected device, twice where the op is deterministic.  *results, for aval_free, are bytes for
   aval_check_runner.finish; they mean nothing to others. */
AVAL_API int aval_check_run(aval_context *ctx, const aval_check_case *c, void **results, size_t *bytes);

/* Of one run, in milliseconds, and what it reads and writes at the least: inputs, outputs, upstream gradients and gradients once each. */
typedef struct aval_check_time {
    double median_ms, min_ms, max_ms;
    uint64_t bytes;
} aval_check_time;
typedef struct aval_check_times {
    size_t size;
    aval_check_time forward;
    aval_check_time both; /* forward with all gradients, of all outputs together where there are several; 0: there are none */
} aval_check_times;
/* How long a case takes on the context's first selected device, in plain memory, after a first run that plans and builds: runs one at a time for
   `seconds` each way, 5 at least.  AVAL_E_TYPE: the sample does not exist in this type. */
AVAL_API int aval_check_times_of(aval_context *ctx, const aval_check_case *c, double seconds, aval_check_times *times);

/* What became of a run; texts and results live until the runner's next call for this device. */
typedef struct aval_check_outcome {
    size_t size;
    int status; /* 0, or the aval_status that aval_check_run gave */
    const char *message; /* of a failure */
    const char *fate; /* "error" when the run returned a failure; else how the device was lost: "crashed", "hung" ... */
    int skip; /* 1: this and the op's further cases cannot be run on this device; the op's failure has been told */
    const void *results;
    size_t bytes;
} aval_check_outcome;

/* Who runs cases on devices, so that a program may do it in other processes.  All begin before the first finishes. */
typedef struct aval_check_runner {
    size_t size;
    void *user;
    size_t n_devices;
    const aval_device_info *(*device)(void *user, size_t device);
    /* Its index for aval_device_info_at. */
    size_t (*number)(void *user, size_t device);
    /* Devices with one compiler err together, so they have one vote. */
    const char *(*compiler)(void *user, size_t device);
    void (*begin)(void *user, size_t device, const aval_check_case *c);
    void (*finish)(void *user, size_t device, aval_check_outcome *outcome);
    /* May be NULL.  Tells between begin and finish of a case of one that is likely to follow, so that it may be begun in advance; begin is called for it as
       for any, with equal content, or never. */
    void (*expect)(void *user, size_t device, const aval_check_case *c);
} aval_check_runner;

typedef struct aval_check_options {
    size_t size;
    const char *op; /* NULL: all loaded ops */
    uint64_t seed;
    int quick; /* 1: no samples of class AVAL_LARGE; software renderers and simulators are spared them anyway */
    int forward_only;
    const aval_check_runner *runner; /* NULL: in this process, on the first selected device */
    int repeats; /* as in aval_check_case */
    const char *failures; /* folder in which each failed case leaves one of its own; NULL: none */
    int type; /* AVAL_FLOAT, AVAL_DOUBLE or AVAL_FLOAT16: samples in this element type only; 0: in each */
    int first_repeats; /* as `repeats`, of each operator's first sample alone, where that is more: for slow devices */
} aval_check_options;

/* 0: all passed; AVAL_E_CHECK: a difference, or nothing was compared. */
AVAL_API int aval_check_ops(aval_context *ctx, const aval_check_options *options, aval_check_function report, void *user);
/* The case of a failure's folder once more. */
AVAL_API int aval_check_replay(aval_context *ctx, const char *folder, const aval_check_options *options, aval_check_function report,
                               void *user);
/* Makes the shapes of a failure's case smaller while it still fails, and leaves the smallest in `options->failures`.  *inputs, for
   aval_free, is its sample text.  AVAL_E_CHECK when the case does not fail (any more). */
AVAL_API int aval_check_shrink(aval_context *ctx, const char *folder, const aval_check_options *options, char **inputs);

/* What the last check of an operator on a device found (aval_check_ops; `aval check`).  It is remembered in the cache folder, by device and
   driver; texts live until `visit` returns. */
typedef struct aval_op_verdict {
    size_t size;
    const char *device; /* "PLATFORM/NAME" */
    const char *driver; /* the one that was checked */
    uint64_t passed, failed, skipped; /* comparisons */
    double error; /* largest of those that passed, in units of the tolerance */
    int64_t when; /* seconds since 1970 */
    int outdated; /* 1: the operator's plugin is another since */
    const char *extent; /* "", or what the check left out: "small samples", "forward only" */
    const char *message; /* of the first failure */
} aval_op_verdict;
typedef void (*aval_op_verdict_function)(void *user, const aval_op_verdict *verdict);
/* Calls `visit` for each device of which something is remembered, here now or not.  Opens no device. */
AVAL_API int aval_op_verdicts(aval_context *ctx, const aval_op *op, aval_op_verdict_function visit, void *user);

/* ---- Graphs and nets ---------------------------------------------------------------------------------------------------- */

/* One gradient of a graph against differences. */
typedef struct aval_gradient_result {
    size_t size;
    const char *value; /* what it is the gradient by */
    size_t compared; /* elements, or in large tensors directions of random signs in blocks of elements */
    double error; /* largest, in units of the tolerance */
    size_t worst; /* its element, or the first of its block */
    double found, expected; /* there: by the device, by differences */
    int passed;
} aval_gradient_result;
typedef void (*aval_gradient_function)(void *user, const aval_gradient_result *result);

/* The gradients of any value of a graph by inputs and states, as the session's devices compute them for what is fed and stored, against centred
   differences (f(x + e) - f(x - e)) / 2e, which are taken in double on the host by the operators' references.  The upstream gradient is
   random.  The graph is as before afterwards.  `report` may be NULL.  0: all agree; AVAL_E_CHECK: one does not, and the message says which,
   where and by how much. */
AVAL_API int aval_check_gradient(aval_session *s, aval_value *of, aval_value *const *wrt, size_t n_wrt, aval_gradient_function report,
                                 void *user);

/* A model as checks run it, the same in every process: a graph, its states at the start, what a step computes, and what it is fed.  All of it
   must outlive the check. */
typedef struct aval_check_model {
    size_t size;
    const char *name; /* for results */
    aval_graph *graph;
    aval_store *store; /* NULL where the graph has no state */
    aval_value *const *wanted;
    size_t n_wanted;
    /* Feeds the inputs of step `step`, from 0: the same numbers in every process. */
    int (*feed)(void *user, aval_session *s, uint64_t step);
    void *user;
    /* NULL: a step computes `wanted` and all gradients that the graph asks for.  Else this one value alone: "value V", "gradient dL/dV" or "update of V". */
    const char *only;
} aval_check_model;

/* Calls `visit` with the name of each result that a step of the model computes, in the form of `only`. */
AVAL_API int aval_check_model_results(const aval_check_model *model, void (*visit)(void *user, const char *name), void *user);

/* Runs a model's steps on the context's first selected device, for a judge in another process.  Requests and answers are bytes that mean
   nothing to others; *answer is for aval_free. */
typedef struct aval_model_worker aval_model_worker;
AVAL_API int aval_model_worker_create(aval_context *ctx, const aval_check_model *model, aval_model_worker **worker);
AVAL_API int aval_model_worker_answer(aval_model_worker *worker, const void *request, size_t request_bytes, void **answer, size_t *bytes);
AVAL_API void aval_model_worker_release(aval_model_worker *worker);

/* Who carries requests to workers and answers back, a worker a device.  Members as in aval_check_runner. */
typedef struct aval_model_runner {
    size_t size;
    void *user;
    size_t n_devices;
    const aval_device_info *(*device)(void *user, size_t device);
    size_t (*number)(void *user, size_t device);
    const char *(*compiler)(void *user, size_t device);
    void (*begin)(void *user, size_t device, const void *request, size_t bytes);
    void (*finish)(void *user, size_t device, aval_check_outcome *outcome);
} aval_model_runner;

typedef struct aval_check_steps_options {
    size_t size;
    uint64_t steps; /* 0: 1 */
    int gradients; /* 1: no steps: the gradients of the first one against differences (aval_check_gradient) */
    const aval_model_runner *runner; /* NULL: in this process, on the first selected device */
    const char *again; /* the command that makes this check, for messages; NULL: none */
    uint64_t first; /* the step to begin with, from the states that the model's store has */
    const char *failures; /* folder in which each failure leaves one of its own; NULL: none */
    const char *description; /* JSON by which the caller makes the model again, kept as "model" in the folder's case.json; NULL: {} */
    const char *label; /* that names of folders have behind the model's; NULL: none */
} aval_check_steps_options;

/* Runs steps of a model on every device, each from equal states, and compares the results of each step, all gradients that the graph asks for and
   all states; what the differentiated values are is compared with the referee on the host too, and each step is repeated for equal bits.
   Where a device differs, the step is run again launch by launch, each on equal inputs, which names the first launch whose result differs;
   where none does, rounding was amplified (beside a kink), which is no fault.  Each device also trains on its own: how far the devices
   drift apart is told, and is no fault either.
   Each failure leaves a folder where the options say so: states and inputs of its step, what was found and expected, kernel sources.
   Results have the model's name as `op`, and in `what` "value V", "gradient dL/dV", "state S", "repeat", "run", or "drift" (always passed;
   its message tells how far).  0: all passed; AVAL_E_CHECK: a difference. */
AVAL_API int aval_check_steps(aval_context *ctx, const aval_check_model *model, const aval_check_steps_options *options,
                              aval_check_function report, void *user);

#ifdef __cplusplus
}
#endif

#endif
