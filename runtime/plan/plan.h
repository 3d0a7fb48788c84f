/* The plan: an immutable schedule of launches and copies on (slot, offset) addresses, made from an expanded graph.  Knows no OpenCL:
 * what it must know of devices comes as aval_device_info and callbacks, so that tests pass fakes.
 *
 *     expanded graph -> drop, fold -> blocks -> place (+ copies) -> fuse -> order -> record launches -> memory -> plan
 */
#ifndef AVAL_PLAN_H
#define AVAL_PLAN_H

#include "graph/graph.h"

/* ---- What is launched --------------------------------------------------------------------------------------------------------- */

/* A kernel source with its build options; equal sources are one object within a plan.  The source is an embedded kernel file
   (lives as long as the plugin) or generated (lives as long as the plan). */
typedef struct aval__source {
    const char *name; /* "reduce.cl", or "fused" */
    const char *text;
    aval__hash hash; /* of the text */
    const char *options; /* "-DS_TYPE=1 -DI_TYPE=7 -DD_TYPE=1 -DWG=1", normalised, so that equal builds have equal options */
} aval__source;

typedef enum aval__arg_kind {
    AVAL__ARG_TENSOR, /* two kernel arguments: buffer of `slot`, then offset in elements as cl_long */
    AVAL__ARG_VALUE, /* `bytes` bytes of `data` */
    AVAL__ARG_LOCAL /* `local_bytes` bytes of local memory */
} aval__arg_kind;

/* Kept small: there are ten or twenty a launch. */
typedef struct aval__arg {
    uint8_t kind; /* aval__arg_kind */
    bool absent; /* tensor: an optional one that is not there; offset is -1, slot any valid one */
    bool written; /* tensor */
    uint8_t bytes; /* of the value; of the tensor's element */
    union {
        uint32_t slot; /* tensor */
        uint32_t given; /* value: the aval_arg_kind that the launch has, for messages */
    };
    union {
        int64_t offset; /* tensor: elements */
        unsigned char data[8]; /* value */
        uint64_t local_bytes;
    };
} aval__arg;

/* How much arithmetic is in a step that says so, or computes (a part of) a matrix product. */
typedef struct aval__product {
    uint32_t step;
    double flops;
    const char *tuned; /* as aval__gemm_choice has it; NULL: nothing was tuned */
} aval__product;

typedef enum aval__step_kind { AVAL__STEP_LAUNCH, AVAL__STEP_GEMM, AVAL__STEP_COPY, AVAL__STEP_FILL } aval__step_kind;

typedef struct aval__place {
    uint32_t slot;
    int64_t offset; /* bytes */
} aval__place;

/* A plan has one a launch, so what only one kind has shares its bytes with what only another has: planning is bound by memory. */
typedef struct aval__step {
    aval__step_kind kind;
    uint32_t device; /* index into plan->devices; for a copy between devices: the one that receives */
    bool once; /* gives the same in every run, until the store is changed by someone else than this plan */
    const char *node; /* what to call it in messages: "conv1 (Conv)", "fused Mul, Add, Relu" */
    uint32_t first_value, n_values; /* plan->written: values that are complete after this step */
    uint64_t bytes; /* COPY and FILL: to be written; GEMM: of the scratch memory, 0: none */
    uint32_t n_args; /* LAUNCH, else 0 */
    union {
        struct { /* LAUNCH */
            uint32_t dims;
            const aval__source *source;
            const char *kernel;
            uint64_t global[3], local[3]; /* global is a multiple of local; local[0] 0: OpenCL chooses */
            const aval__arg *args;
        };
        struct { /* GEMM that the provider runs itself: operands' tensors are resolved to places */
            uint32_t provider; /* as the callback chose */
            int32_t type;
            const aval_gemm *gemm; /* its tensors are for type and shape only */
            aval__place a, b, c, scratch;
        };
        struct { /* COPY (within a device, or from device `from_device`) and FILL */
            uint32_t from_device;
            uint32_t pattern_bytes;
            aval__place to, from;
            unsigned char pattern[8];
        };
    };
} aval__step;

/* ---- Memory ---------------------------------------------------------------------------------------------------------------------- */

typedef enum aval__slot_kind {
    AVAL__SLOT_ARENA, /* intermediates of one device */
    AVAL__SLOT_INPUT, /* a fed value; can be re-pointed between runs */
    AVAL__SLOT_STATE, /* an entry of the store */
    AVAL__SLOT_CONSTANT /* filled once, when the plan is bound */
} aval__slot_kind;

typedef struct aval__slot {
    aval__slot_kind kind;
    uint32_t device;
    uint64_t bytes; /* at least 1; guard bands included */
    uint64_t guard_bytes; /* guarded mode: bytes before and after the content, else 0 */
    uint32_t value; /* number (see aval__plan_key) of the input, state or constant */
    const char *name; /* of the state or input */
    aval_tensor tensor;
    const void *data; /* constant's content */
} aval__slot;

/* A value that can be read after the run, or was wanted. */
typedef struct aval__located {
    uint32_t value; /* number, see aval__plan_key */
    uint32_t device;
    aval__place place;
    const aval_tensor *tensor; /* the plan's; equal ones may be one */
    const char *name; /* label of the value, for messages */
} aval__located;

typedef struct aval__segment {
    uint32_t first_step, n_steps;
} aval__segment; /* ends where a size must be read from a device before the rest can be planned */

typedef struct aval__plan_statistics {
    uint64_t nodes; /* after gradients are in */
    uint64_t launches, copies;
    uint64_t arena_bytes; /* sum over devices */
    uint64_t live_bytes; /* most bytes of intermediates alive at once, sum over devices */
    /* Bytes of all that the steps read and write, each operand of a step once, scratch memory of a node written and read; and the least that
       any plan must move: what is there before, if it is read, once, and what must be there afterwards once. */
    uint64_t moved_bytes, least_bytes;
    double seconds; /* spent planning, gradients and known answers not counted */
    /* Where request->memory_bound made it necessary: units that run again, the time that they take by a model of bytes and arithmetic, as a
       share of the time that all take without them, and arena_bytes without them. */
    uint64_t recomputed;
    double recomputed_share;
    uint64_t unbounded_arena_bytes;
} aval__plan_statistics;

typedef struct aval__plan {
    aval__arena arena; /* all of it but steps and written, which are too large to be copied when they are complete */
    aval__hash hash;
    size_t n_devices;
    const aval_device_info *const *devices;
    const size_t *device_numbers; /* as in the request */
    const aval__step *steps;
    size_t n_steps;
    const aval__segment *segments;
    size_t n_segments;
    const aval__slot *slots;
    size_t n_slots;
    const aval__located *located; /* sorted by value */
    size_t n_located;
    const aval__located *written; /* see aval__step.first_value (for anomaly mode and messages) */
    size_t n_written;
    const aval__product *products; /* by step */
    size_t n_products;
    const char *const *notes; /* which op went elsewhere and why, a line each */
    size_t n_notes;
    aval__plan_statistics statistics;
} aval__plan;

/* ---- What planning asks of the devices --------------------------------------------------------------------------------------------- */

typedef struct aval__gemm_choice {
    uint32_t provider; /* its number, kept in the plan */
    const char *name; /* "clblast", "tiles" */
    uint64_t scratch_bytes;
    char tuned[160]; /* with which parameters, where measuring has decided: "tiles method=panels rows=14"; else "" */
    bool apart; /* its groups are products by themselves, for each of which a choice is to be made; the rest is not set then */
    bool records; /* true: `record` gives ordinary launches; false: the session calls the provider */
    /* Of a and b: asked whether one packed copy can serve this product and others, answered with its bytes (0: the provider has no use
       for it), then given to gemm_record. */
    bool many[2];
    uint64_t packed_bytes[2];
    const aval_tensor *packed[2]; /* NULL: none */
    bool takes_tail; /* its launches that store the result can be built with a tail: they have the macro TAIL then, see kernels/tail.clh */
    bool with_tail; /* to `record`: they are */
} aval__gemm_choice;

/* Sizes of work-groups of a node's launches; 0: as on the device otherwise. */
typedef struct aval__groups {
    uint32_t tree; /* what its recorder finds as aval_device_info.group: work-items that make a result together */
    uint32_t open; /* along the first axis where the recorder leaves it open */
} aval__groups;

/* What a device is asked to compute as a whole: a cluster of expressions by one generated kernel, or one node by its op's kernels. */
typedef struct aval__plan_unit {
    bool cluster;
    aval_node *const *nodes; /* of the planning copy, in topological order */
    size_t n_nodes;
    aval_value *const *inputs, *const *outputs; /* of a cluster: what is read from memory, and written to it */
    size_t n_inputs, n_outputs;
    int type; /* element type that it is mainly on */
    const aval__source *source; /* of its first launch */
    aval__groups groups; /* of a node: what its kernels were built with */
} aval__plan_unit;

typedef struct aval__plan_hooks {
    void *user;
    /* Chooses who computes a matrix product of this type and shape on device `device`. */
    int (*gemm_choose)(void *user, uint32_t device, const aval_gemm *gemm, int type, aval__gemm_choice *choice);
    /* For choices that record: launches through `host->launch` of the call, from kernel source *source (set before the first). */
    int (*gemm_record)(void *user, uint32_t device, const aval_gemm *gemm, int type, const aval__gemm_choice *choice,
                       const aval_tensor *scratch, aval_call *call, const aval_kernel_source **source);
    /* For choices with packed_bytes: the launches that write the packed copy of operand 0 (a) or 1 (b) into `to`, of type uint8. */
    int (*gemm_pack)(void *user, uint32_t device, const aval_gemm *gemm, int type, const aval__gemm_choice *choice, int operand,
                     const aval_tensor *to, aval_call *call, const aval_kernel_source **source);
    /* May be NULL.  What was measured to be fastest for a node, which a recorder gives; *out is zeroed before. */
    int (*groups)(void *user, uint32_t device, const aval_node *node, aval__groups *out);
    /* May be NULL.  AVAL_E_CHECK with a message: this device is not to be trusted with this unit, another may be. */
    int (*prove)(void *user, uint32_t device, const aval__plan_unit *unit);
} aval__plan_hooks;

/* Which clusters share a launch with others that compute the same: none, all that can, or those which alone would leave much of the device idle. */
typedef enum aval__joins { AVAL__JOINS_NONE, AVAL__JOINS_ALL, AVAL__JOINS_WHERE_THEY_PAY } aval__joins;

/* Where channels of images lie in blocks of a vector: nowhere, wherever they can, or where ops say that it saves more than it costs. */
typedef enum aval__blocks { AVAL__BLOCKS_NONE, AVAL__BLOCKS_ALL, AVAL__BLOCKS_WHERE_THEY_PAY } aval__blocks;

typedef struct aval__plan_request {
    const aval_graph *graph; /* as the user built it; not changed */
    aval_value *const *wanted; /* of that graph */
    size_t n_wanted;
    const aval_tensor *const *shapes; /* by value id: shape of what is fed or whose content is known, NULL: as declared */
    /* By value id: content that the host knows, NULL: not known.  A value with one that a node computes is taken as an input, so that what leads
       to it is not run again; unless the graph has gradients, which must find their way
       through it, or the node computes other values too (those of a loop come together). */
    const void *const *contents;
    uint32_t
        *missing; /* may be NULL.  After AVAL_E_CONTENT: id of the value whose content must be known first; UINT32_MAX: none would help */
    const aval_device_info *const *devices; /* the selected ones, in order of preference */
    size_t n_devices;
    const size_t *device_numbers; /* what the user calls them; NULL: 0, 1, 2 ... */
    const aval__plan_hooks *hooks;
    aval_memory_mode memory;
    uint64_t memory_bound; /* bytes of a device's arena (AVAL_MEMORY_ARENA only); 0: none */
    bool strict;
    int64_t least_head; /* elements from which on launches compute what they read instead of finding it in memory; 0: never */
    aval__joins joins; /* which small clusters share a launch */
    aval__blocks blocks; /* of plans for one device, in arena mode */
    uint64_t tuning; /* of what `hooks` choose by, besides shapes and devices: plans of another number are others */
    const aval__log *log;
} aval__plan_request;

/* Device `device` of a plan or request, for messages: as the user counts all devices. */
static inline uint32_t aval__device_number(const size_t *numbers, uint32_t device)
{
    return numbers ? (uint32_t)numbers[device] : device;
}

/* What the result depends on, as a hash; the key of plan caches.  A plan speaks of values by number: numbers->at[number] is the value's
   id in this request's graph; greater numbers are those of values that planning made.  So a plan serves every request of equal key, whatever the ids.  What has no name is called in messages as
   in the request that the plan was made for.  *numbers is reused; for aval__vec_release. */
int aval__plan_key(const aval__plan_request *request, aval__hash *key, aval__numbering *numbers);
int aval__plan_make(const aval__plan_request *request, aval__plan **out);
void aval__plan_release(aval__plan *plan);
void aval__plan_print(aval__text *text, const aval__plan *plan);

#endif
