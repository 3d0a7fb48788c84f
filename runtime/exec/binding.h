/* A plan bound to devices: the inside of aval__binding, shared by the files binding*.c.
 *
 * All that a run needs is made once: a buffer for each slot, a kernel with its arguments set for each launch, staging memory for copies
 * between devices.  A run then only enqueues.  What may change between runs are the buffers of slots: inputs have two, so that the next
 * content can be copied while the devices still read the last, and states lie in the store.  Each slot therefore knows the kernel
 * arguments that are its buffer. */
#ifndef AVAL_EXEC_BINDING_H
#define AVAL_EXEC_BINDING_H

#include "device/commands.h"
#include "exec/exec.h"
#include "exec/table.h"

/* Launches beyond so many share one kernel for each function, whose arguments are set at each enqueue: kernels cost memory in every
   driver (a few KB each), and plans may have 100,000 launches. */
#define AVAL__MOST_KERNELS 20000

typedef struct aval__slot_use {
    uint32_t step;
    uint32_t arg; /* index of the kernel argument */
} aval__slot_use;

typedef struct aval__bound_slot {
    cl_mem buffer; /* what launches use now; NULL: a state before the first run, an input before it is fed */
    cl_mem buffers[2]; /* inputs: both, made when first fed; else the first is owned (states: none) */
    cl_mem bound; /* inputs: the caller's buffer that is in use instead, retained; NULL: none */
    cl_event used[2]; /* inputs: the end of the last run that read that buffer */
    uint32_t current; /* inputs: which of the two */
    bool fed;
    unsigned char poison; /* what its guard bands hold */
    uint64_t content; /* inputs and constants in guarded mode: hash of what was written there, and is to stay */
    uint64_t generation; /* of a state's buffer */
    uint32_t first_use, n_uses; /* binding->uses */
} aval__bound_slot;

typedef struct aval__bound_step {
    cl_kernel kernel; /* launches */
    bool shared; /* the kernel is another launch's too: arguments are set at each enqueue */
    bool set_local; /* false: OpenCL chooses the work-group */
    bool idle; /* nothing to do: no work-items, or no bytes */
    bool last; /* a launch after which the device has nothing to do in a run: its event is the run's end */
    size_t global[3], local[3];
    uint32_t split_axis; /* a launch that could run for long: it is enqueued `split_items` work-items of this axis at a time */
    size_t split_items; /* a multiple of the work-group; all of them where nothing is split */
    cl_mem scratch; /* products that a provider runs: its part of an arena; NULL: it needs none */
    uint64_t scratch_bytes;
    void *staging; /* copies between devices */
    cl_event sent; /* such a copy's read into `staging` on the device that it comes from; NULL: not begun, or passed on already */
    cl_event written; /* its last write, which reads `staging` */
    cl_event timed; /* profiling: the last run's command */
} aval__bound_step;

/* Kernels that are shared, by program and function. */
typedef struct aval__shared_kernel {
    struct {
        cl_program program;
        char name[64];
    } key;
    cl_kernel kernel;
    UT_hash_handle hh;
} aval__shared_kernel;

/* What a device does in a run over several: a step that is its own, or its half of a copy between two. */
typedef struct aval__action {
    enum { AVAL__ENQUEUE, AVAL__SEND, AVAL__RECEIVE } kind;
    uint32_t step;
} aval__action;

typedef struct aval__bound_device {
    aval__device *device;
    cl_command_queue transfers; /* inputs are copied on it, beside the launches; NULL: no inputs */
    cl_mem nothing; /* what absent optional tensors are passed as */
    cl_event end; /* of its last launch, while a run is enqueued; NULL: none has told */
    bool used;
    AVAL__VEC(aval__action) actions; /* where the plan copies between devices: what this one does, in order */
    size_t next; /* while a run is enqueued: the action that the device is at */
} aval__bound_device;

/* Launches of some steps in a row as one command buffer. */
typedef struct aval__stretch {
    uint32_t first, end; /* steps */
    uint32_t device;
    aval__commands_buffer commands;
} aval__stretch;

typedef struct aval__recording {
    uint64_t key; /* the buffers that it is for */
    uint64_t used; /* the number of the last run with them; 0: there is none */
    bool recorded;
    AVAL__VEC(aval__stretch) stretches; /* in order */
} aval__recording;

#define AVAL__MOST_RECORDINGS 4 /* a binding; inputs alternate between two sets of buffers */

struct aval__binding {
    aval_context *context;
    const aval__plan *plan;
    aval__bound_device *devices; /* as plan->devices */
    aval__bound_slot *slots; /* as plan->slots */
    aval__bound_step *steps; /* as plan->steps */
    aval__slot_use *uses;
    aval__shared_kernel *shared; /* uthash */
    size_t n_kernels;
    bool guarded; /* values have guard bands */
    bool asks; /* kernels are built once more where that is what makes them tell of their parameters */
    bool crosses; /* some step copies between devices */
    bool profiled; /* each step's command is kept until the next run */
    bool interrupted; /* a run over several devices failed on its way: copies may be half done */
    uint64_t runs; /* in guarded mode */
    aval_store *store; /* whose buffers are in use */
    uint64_t store_generation;
    bool updates; /* some step writes a state */
    bool skips_once; /* in this run: steps that are marked `once` have given what they would give */
    uint64_t once_changes; /* what aval__store_changes was when they did, 0: never */
    bool records; /* runs are recorded */
    uint64_t pointed; /* hash of which buffers the slots have that can be re-pointed */
    uint64_t n_recorded_runs;
    aval__recording recordings[AVAL__MOST_RECORDINGS];
};

/* Kernel argument `index` of a launch := a buffer.  Names kernel, device and node in the message. */
int aval__binding_set_buffer(const aval__binding *b, const aval__step *step, cl_kernel kernel, uint32_t index, cl_mem buffer);
/* The buffers of an input that is fed. */
int aval__binding_make_input(aval__binding *b, uint32_t slot);
/* AVAL_E_PLUGIN: the kernel has another number of parameters than the launch gives it. */
int aval__binding_check_parameters(const aval__binding *b, const aval__step *step, cl_kernel kernel);
/* In guarded mode, what a driver would take as it is: an int for a float, tensors in another order.  AVAL_E_PLUGIN names both sides; nothing where the driver
   does not tell of parameters. */
int aval__binding_check_types(const aval__binding *b, const aval__step *step, cl_kernel kernel);
/* All arguments of a launch.  AVAL_E_PLUGIN names the one that the kernel does not take, with the types on both sides. */
int aval__binding_set_args(const aval__binding *b, const aval__step *step, cl_kernel kernel);
/* Points a slot at another buffer. */
int aval__binding_point(aval__binding *b, uint32_t slot, cl_mem buffer);
/* "kernel relu, local 64, device 0 'pthread', node 3 (Relu)", for messages; in the thread's buffer. */
const char *aval__binding_where(const aval__binding *b, const aval__step *step);
cl_command_queue aval__binding_queue(const aval__binding *b, uint32_t device);

/* Device `device` of the plan as the user counts, for messages. */
static inline uint32_t aval__binding_number(const aval__binding *b, uint32_t device)
{
    return aval__device_number(b->plan->device_numbers, device);
}

/* Where the event of a step's command goes; NULL: it is not wanted. */
/* Releases it, if there is one, and leaves NULL. */
static inline void aval__drop_event(cl_event *event)
{
    if (*event) clReleaseEvent(*event);
    *event = NULL;
}
cl_event *aval__binding_timed(const aval__binding *b, aval__bound_step *bound);
/* Puts one step on its device's queue; a copy between devices waits for the sender. */
int aval__binding_enqueue(aval__binding *b, size_t step);
/* Whether runs of this binding can be recorded; once its steps are bound. */
bool aval__binding_can_record(const aval__binding *b);
/* All steps of a run, recorded ones as recorded. */
int aval__binding_enqueue_recorded(aval__binding *b);
/* Whenever a buffer that they may hold is let go. */
void aval__binding_forget_recordings(aval__binding *b);
/* Lists what each device does, for a plan with copies between devices; once. */
int aval__binding_list_actions(aval__binding *b);
/* All steps of such a plan, each device as far as it gets: none waits for another but where a copy makes it. */
int aval__binding_enqueue_devices(aval__binding *b);
/* A copy between devices, whole, waiting for the sender. */
int aval__binding_copy_across(aval__binding *b, size_t step);
int aval__binding_flush(aval__binding *b);
/* Adds to an out-of-memory message what of this binding takes how much memory; returns `code`. */
int aval__binding_explain_memory(const aval__binding *b, int code, uint32_t device);

/* Guarded mode: changes what the memory holds that the next run is to write.  The first run finds NaN there, the second what the first has left,
   the third a small positive number, and so on in turn: what reads its own output, or scratch memory before writing it, gives other results.  The bands
   around what is written hold the other of both, so that a kernel without a bound that copies band to band is seen. */
int aval__binding_poison(aval__binding *b);
/* Anomaly mode: AVAL_E_ANOMALY when what the step wrote holds NaN or infinity. */
int aval__binding_check_step(aval__binding *b, size_t step);
/* After the step has run: the largest finite magnitude in the float tensors that it has read and that are still there. */
int aval__binding_reach(aval__binding *b, size_t step, double *largest);

#endif
