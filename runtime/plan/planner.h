/* What the stages of planning share while a plan is made.  Private to plan.
 *
 *   unit     what is ordered and recorded as a whole: a cluster of expressions, any other node, or one copy of a value
 *   item     a value as it lies on one device; a value that is read on two devices has two, with a copy unit between
 *   storage  bytes of one device in which one or several items lie: an output that aliases an input or is written in place shares it
 *
 * All but the growing arrays lies in `scratch`, which is given back when planning ends; the plan's parts lie in plan->arena. */
#ifndef AVAL_PLAN_PLANNER_H
#define AVAL_PLAN_PLANNER_H

#include "plan/fuse.h"

#define AVAL__NONE UINT32_MAX /* no item, unit, storage */
#define AVAL__AFTER UINT32_MAX /* position: after the last unit */
#define AVAL__MIN_ALIGNMENT 64u /* of offsets; a multiple of every element's bytes */

typedef struct aval__item {
    const aval_value *value;
    uint32_t device;
    uint32_t next; /* the same value on another device, AVAL__NONE at the end */
    uint32_t producer; /* unit, AVAL__NONE: there before the run */
    uint32_t updater; /* unit that writes the state's new content over this item, AVAL__NONE: nobody */
    uint32_t first_reader, n_readers; /* planner->readers: units, each once */
    uint32_t unread; /* readers that are not in the order yet */
    bool kept; /* must be readable after the run */
    bool in_state; /* lies where its state lies: the state itself, or its new content */
    /* while recording */
    uint32_t last_use; /* position of the last unit that reads it, AVAL__AFTER when kept */
    uint32_t overwritten; /* position at which a state's new content is written over it, AVAL__AFTER: never */
    uint32_t storage;
    uint64_t bytes; /* of the value; the value itself lies far away */
    uint64_t offset_bytes; /* in the storage */
} aval__item;

typedef struct aval__unit {
    const aval_node *node;
    const aval__cluster *cluster; /* both NULL: a copy of reads[0] to writes[0] */
    const aval__cluster *tail; /* of the node: computed by its product's launches, or after them; NULL: none */
    const aval__cluster *head; /* of the node: computed by its launches that read it, or before them; NULL: none */
    uint32_t device;
    uint32_t
        first_link; /* planner->links: n_reads items, then n_writes; AVAL__NONE for absent ones; those of tail or head come after the node's */
    uint32_t n_reads, n_writes;
    uint32_t blocked; /* items that it reads and that are not there yet */
    uint32_t held; /* readers of states that this unit updates, not in the order yet */
    uint32_t position;
    uint32_t rank; /* among units that are equally good: the order of the graph */
    bool once; /* gives the same in every run, see once.c; known when it is recorded */
    bool again; /* computes what another unit has computed before; its results take the place of that one's */
    int64_t growth_bytes; /* memory in use after it less before it, as far as known */
} aval__unit;

typedef struct aval__storage {
    uint64_t bytes; /* aligned */
    uint64_t offset; /* bytes in the slot, or in the storage that it lies inside */
    uint32_t device;
    uint32_t slot; /* AVAL__NONE: to be placed by memory.c */
    uint32_t inside; /* a storage that was made later, of which it is a part, see nest.c; AVAL__NONE: none */
    uint32_t first, last; /* positions between which it is in use; last AVAL__AFTER: read after the run */
    const aval_value *value; /* for messages; NULL: scratch */
} aval__storage;

/* A device that turned out unable to run a node.  Plans of a request number their nodes alike, so it holds for the next attempt. */
typedef struct aval__refusal {
    uint32_t node, device;
    const char *why;
} aval__refusal;
typedef AVAL__VEC(aval__refusal) aval__refusals;

/* What attempts at a plan of bounded memory know of each other: they have the same units and items, in the same order, before any runs again.
   The first one, of budget 0, is the plan without recomputation and fills the lists. */
typedef struct aval__recomputation {
    uint64_t budget; /* bytes of intermediates alive at once on a device; 0: as many as there are */
    bool out_of_reach; /* found by the attempt: no order keeps to the budget */
    aval__arena arena;
    /* by unit */
    uint64_t *scratch_bytes;
    double *cost; /* bytes that it moves, and what else takes as long, see learn.c */
    /* by item */
    uint64_t *bytes; /* in an arena; 0: it lies in a state, an input or a constant */
    uint32_t *shares; /* input of its unit in whose bytes it lies, AVAL__NONE */
    bool *overwrites; /* that input's content is gone then; else the item is a part of it */
} aval__recomputation;

typedef struct aval__planner {
    const aval__plan_request *request;
    aval__recomputation *recomputation; /* NULL: memory is not bounded */
    aval__refusals *refusals; /* of the attempts before, and what this one finds */
    aval__arena *refusal_texts;
    aval_graph *g; /* the copy */
    uint32_t n_user_values; /* ids below are the user's */
    aval__numbering numbers; /* of the user's values; while a plan is made, its lists hold ids */
    aval_value **wanted; /* of the copy */
    aval__plan *plan;
    aval__arena scratch;
    aval__arena unit_scratch; /* of the unit that is being recorded */

    aval_node **nodes; /* topological */
    size_t n_nodes;
    uint32_t *device_of; /* by node id */
    uint32_t *home; /* by value id: device where it is made */
    uint32_t *root_state; /* by value id: the state whose (new) content it is, AVAL__NONE */
    bool *used; /* by value id: wanted, read by a node of the plan, or an update that goes with one that is */
    bool *updated; /* by value id: a node writes a new content over it */
    bool *kept; /* by value id: wanted, or retained */
    bool *needed; /* by value id: must be in memory whoever reads it: kept, or the new content of a state */
    aval__cluster *clusters;
    size_t n_clusters;
    uint32_t *cluster_of; /* by node id */
    uint32_t *stage; /* by node id, see fuse.h */
    uint32_t *partner_of; /* by node id: the cluster that may be its tail or its head, AVAL__NONE */

    AVAL__VEC(aval__item) items;
    uint32_t *item_of; /* by value id: its item at home, AVAL__NONE; the others follow by `next` */
    AVAL__VEC(aval__unit) units;
    AVAL__VEC(uint32_t) links;
    AVAL__VEC(uint32_t) readers;
    AVAL__VEC(uint32_t) order; /* units by position */
    AVAL__VEC(aval__storage) storages;

    /* Until memory.c: slots of args and places are storages, their offsets are relative to these; tensor args carry their element's bytes. */
    AVAL__VEC(aval__step) steps;
    AVAL__VEC(aval__arg) args; /* of the launch at hand */
    AVAL__VEC(aval__slot) slots;
    AVAL__VEC(aval__located) written;
    AVAL__VEC(aval__product) products;
    AVAL__VEC(const char *) notes;
    struct aval__shared_entry *shared; /* sources, generated kernels and tensors, by hash */
    const aval_tensor *last_kept; /* neighbours are often alike */
    aval__fuse_words words; /* for keys of generated kernels */
    double proof_seconds; /* spent in known answers, which build kernels and run them */
    aval__text text; /* reused for labels and options */
} aval__planner;

static inline uint32_t *aval__unit_reads(const aval__planner *p, const aval__unit *u)
{
    return p->links.at + u->first_link;
}
static inline uint32_t *aval__unit_writes(const aval__planner *p, const aval__unit *u)
{
    return p->links.at + u->first_link + u->n_reads;
}
static inline uint64_t aval__align(uint64_t bytes, uint64_t alignment)
{
    return (bytes + alignment - 1) / alignment * alignment;
}

/* The stages, in their order. */
int aval__planner_place(aval__planner *p); /* device_of, home, root_state, notes */
int aval__planner_units(aval__planner *p); /* items and units, copies between devices */
int aval__planner_order(aval__planner *p); /* order */
int aval__planner_recompute(aval__planner *p); /* order and more units, where memory is bounded */
int aval__planner_record(aval__planner *p); /* steps on storages */
int aval__planner_memory(aval__planner *p); /* offsets and slots of storages; steps on slots */
int aval__planner_finish(aval__planner *p); /* the plan's lists */

/* One attempt at a plan.  *out stays NULL on failure. */
int aval__plan_attempt(const aval__plan_request *request, aval__refusals *refusals, aval__arena *texts, aval__recomputation *recomputation,
                       aval__plan **out);
/* A plan whose arenas keep to request->memory_bound bytes each, from what the attempt without recomputation found; *plan is that attempt's,
   and is replaced.  AVAL_E_DEVICE_MEMORY tells the least bound that can be kept to. */
int aval__plan_bound(const aval__plan_request *request, aval__refusals *refusals, aval__arena *texts, aval__recomputation *recomputation,
                     aval__plan **plan);
/* The largest of the plan's devices' arenas. */
uint64_t aval__plan_largest_arena(const aval__plan *plan);

/* Until when each item is needed, and when a state's content is replaced, from positions and item->last_use (AVAL__AFTER: not read). */
void aval__planner_set_lifetimes(aval__planner *p);
/* The lists of recomputation, and what the unit that was just recorded adds to them; what was there before it says what is its own. */
int aval__planner_prepare_learning(aval__planner *p);
void aval__planner_learn(aval__planner *p, uint32_t unit, size_t first_step, size_t first_storage, size_t first_product,
                         uint64_t moved_bytes);
/* Whether output i of the unit is gone when its launches are done: one of those between i and `end`, of its tail, lies in the same place, or, of a head,
   one of the node. */
bool aval__unit_overwrites(const aval__planner *p, const aval__unit *u, uint32_t i, uint32_t end);
/* From here on the item is the one that its value has on its device. */
void aval__planner_replace_item(aval__planner *p, uint32_t item);

/* Notes, for another attempt at planning, that the device cannot run the node; the reason is this thread's message.  Nothing is noted where
   no other device may be taken: then the message is the user's. */
void aval__planner_refuse(aval__planner *p, const aval_node *node, uint32_t device);

/* Whether what is in the item is the same in every run, until the store is changed; of units that were recorded. */
bool aval__item_lasts(const aval__planner *p, uint32_t item);
/* Whether the unit, run again, gives the same and nothing else is changed. */
bool aval__unit_is_repeatable(const aval__planner *p, const aval__unit *u);
/* Before and after a unit is recorded: finds out whether its steps are to run once, and keeps what they give. */
void aval__planner_begin_once(aval__planner *p, aval__unit *u);
void aval__planner_end_once(aval__planner *p, const aval__unit *u, size_t first_step);

/* Asks the hook whether the unit's device may be trusted with it; `first_step` is the first of its steps. */
int aval__planner_prove(aval__planner *p, const aval__unit *u, const aval__groups *groups, size_t first_step);

/* Output `port` of a node that is the new content of an input: which input, else AVAL__NONE. */
uint32_t aval__updated_input(const aval_node *node, uint32_t port);
/* The item of a value on a device; AVAL__NONE when there is none (yet). */
uint32_t aval__planner_item(const aval__planner *p, const aval_value *value, uint32_t device);
int aval__planner_add_item(aval__planner *p, const aval_value *value, uint32_t device, uint32_t producer, uint32_t *out);
/* A unit that copies item `from` to a new item of the same value on `device`.  Its readers are the caller's business. */
int aval__planner_add_copy(aval__planner *p, uint32_t from, uint32_t device, uint32_t *unit, uint32_t *item);
int aval__planner_add_storage(aval__planner *p, uint32_t device, uint64_t bytes, const aval_value *value, uint32_t first, uint32_t *out);
uint64_t aval__planner_alignment(const aval__planner *p, uint32_t device);
/* Bytes of the guard bands around values on this device; 0: the plan has none. */
uint64_t aval__planner_guard(const aval__planner *p, uint32_t device);

/* Where to put what is written: a storage each. */
typedef struct aval__interval {
    uint64_t bytes, offset;
    uint32_t first, last; /* inclusive */
} aval__interval;

/* Sets each interval's offset so that those that overlap in time do not overlap in space and none crosses a multiple of
   `span_bytes`; *total_bytes is the end of the last.  `live_bytes` is the most that is alive at once: no way can do with less.
   `intervals` is sorted by first; last < n_positions. */
int aval__offsets_assign(aval__interval *intervals, size_t count, uint32_t n_positions, uint64_t span_bytes, uint64_t live_bytes,
                         uint64_t *total_bytes);

/* ---- Recording: one unit at a time ------------------------------------------------------------------------------------------- */

#define AVAL__MOST_MET 16

typedef struct aval__packed aval__packed; /* record_packed.c */

/* A tensor as a recorder sees it: the handle is the address of `tensor`. */
typedef struct aval__port {
    aval_tensor tensor;
    const char *role; /* "input", "output" ..., for messages */
    uint32_t index; /* input or output `index` */
    uint32_t item; /* AVAL__NONE: scratch, or not there to be read */
    uint32_t storage; /* AVAL__NONE: not yet, or not there */
    uint64_t offset_bytes;
    bool readable, writable, written;
    struct aval__port *next; /* of the scratch tensors */
} aval__port;

typedef struct aval__recording {
    aval__planner *p;
    const aval__unit *unit;
    uint32_t position, device;
    const aval_device_info *info; /* of the device, with the work-group that the node's kernels take */
    aval__groups groups;
    const char *label;
    const aval_kernel_source *source; /* of launches */
    aval__port *ports; /* inputs, outputs; in backward then upstreams and gradients */
    size_t n_ports;
    const aval_tensor **inputs, **outputs, **upstreams, **gradients;
    bool *accumulates; /* by input */
    size_t n_inputs, n_outputs;
    aval__port *scratch;
    const aval__cluster *cluster; /* that is recorded, as launch or as tail */
    const struct aval__graft *tail; /* of the product that is being recorded; NULL: none */
    const struct aval__graft *head; /* taken by the node; NULL: none */
    const aval__port *rows; /* of the head: the input that launches make in memory; NULL: they compute it as they read it */
    bool rows_are_made; /* by a launch that is recorded */
    bool tail_is_done;
    struct {
        aval__hash key;
        aval__packed *packed;
    } met[AVAL__MOST_MET]; /* operands of this unit's products, see record_packed.c */
    size_t n_met;
} aval__recording;

/* *out: the packed copy of operand 0 (a) or 1 (b) that this product may share with others, NULL: it is to pack for itself. */
int aval__record_meet_operand(aval__recording *r, const aval__port *port, const aval_gemm *gemm, int operand, aval__packed **out);
/* The copy as a tensor of this call, written by steps here if it is not there yet. */
int aval__record_packed(aval_call *call, const aval_gemm *gemm, int type, const aval__gemm_choice *choice, int operand,
                        aval__packed *packed, const aval_tensor **out);
/* A cluster as the tail or head of a node: what its launches are built with. */
typedef struct aval__graft {
    const char *text; /* to stand before the kernels */
    aval__hash hash; /* of the text */
    const char *nodes; /* "Add, Relu" */
    aval__fused_kernel kernel; /* arguments */
} aval__graft;

/* Leaves out copies of a unit that does nothing else, where what is copied can be made in its place instead; `first_step` is the unit's first. */
void aval__record_nest(aval__recording *r, size_t first_step);
/* Gives storages that lie inside others their slots and offsets, once those have theirs. */
void aval__planner_settle_nested(aval__planner *p);
int aval__record_launch(aval_call *call, const aval_launch *launch);
/* The port of a handle, NULL: it is not of this call. */
aval__port *aval__record_port(const aval__recording *r, const aval_tensor *t);
/* The ability AVAL_STRIDES. */
int aval__record_alias_strided(aval_call *call, const aval_tensor *t, const aval_tensor *of, int64_t offset, const int64_t *strides);
const int64_t *aval__record_strides(const aval_call *call, const aval_tensor *t);
int aval__record_gemm(aval_call *call, const aval_gemm *gemm);
const aval_tensor *aval__record_scratch(aval_call *call, int type, int64_t count);
/* Scratch memory of `bytes` bytes in *storage, which is in use until this unit at least; AVAL__NONE: it becomes a new one, to be written. */
const aval_tensor *aval__record_scratch_in(aval_call *call, int64_t bytes, uint32_t *storage);
/* The port of a handle, checked for what is to be done with it; `what` names the function in messages. */
int aval__record_readable(aval_call *call, const aval_tensor *t, const char *what, aval__port **out);
int aval__record_writable(aval_call *call, const aval_tensor *t, const char *what, aval__port **out);
/* A new step of this unit, zeroed but for kind, device and node. */
int aval__record_step(aval__recording *r, aval__step_kind kind, aval__step **out);
/* The words for kernel arguments. */
int aval__record_tensor_arg(aval__planner *p, uint32_t storage, uint64_t offset_bytes, int type, bool written);
int aval__record_value_arg(aval__planner *p, aval_arg_kind given, const void *data, uint8_t bytes);
int aval__record_args(aval__planner *p, aval__step *step); /* gives the arguments at hand to the launch */
int aval__record_fill_range(aval__recording *r, const aval__port *port, int64_t first, int64_t count, double value);
int aval__record_copy_bytes(aval__recording *r, aval__place to, aval__place from, uint32_t from_device, uint64_t bytes);

/* One node of a recorder, and one cluster of expressions (r->cluster). */
int aval__record_node(aval__recording *r);
int aval__record_cluster(aval__recording *r);
/* Makes the unit's cluster the tail of the product that is about to be recorded (r->tail), if it can be.  Kernels that store the product's result
   are launched with the macro AVAL__TAIL_MACRO then, and get the tail's text and arguments. */
#define AVAL__TAIL_MACRO "TAIL"
int aval__record_begin_tail(aval__recording *r, const aval_gemm *gemm, const aval__port *c);
/* The abilities AVAL_HEADS and AVAL_ROW_HEADS. */
int aval__record_take_head(aval_call *call, const aval_tensor *t, int64_t run);
int aval__record_take_rows(aval_call *call, const aval_tensor *t, const aval_tensor *over);
/* Whether all that the unit's head gives is, or will be, where it is to be after its launches. */
int aval__record_check_head(const aval__recording *r);
/* Whether the port is what the unit's head gives, and is not in memory. */
bool aval__record_waits(const aval__recording *r, const aval__port *port);
/* A cluster of the unit, which is none of its launches' tail or head, as a launch of its own; the node's label stays. */
int aval__record_apart(aval__recording *r, const aval__cluster *cluster);
int aval__record_graft_args(aval__recording *r, const aval__graft *graft);
/* Where the cluster's outputs lie, but for `computed` (NULL: none), and an argument of its kernel. */
int aval__record_place_outputs(aval__recording *r, const aval_value *computed);
int aval__record_fused_arg(aval__recording *r, const aval__fused_arg *arg);
/* Puts an item into a storage, or into one of its own. */
void aval__record_locate(aval__recording *r, uint32_t item, uint32_t storage, uint64_t offset_bytes);
int aval__record_own_storage(aval__recording *r, uint32_t item);
/* Makes sure that an item which is there before the run has its slot. */
int aval__planner_fixed_slot(aval__planner *p, uint32_t item);

/* The kernel source of a recorder's launch (graft NULL: it has neither tail nor head), and of a generated kernel; equal ones are one object. */
int aval__source_of_launch(aval__planner *p, const aval_kernel_source *source, const aval_launch *launch, int s_type,
                           const aval__graft *graft, const aval__source **out);
int aval__source_of_text(aval__planner *p, const char *name, const char *text, const char *options, const aval__source **out);
/* A table by key; what is found there is of the kind that the key was made for. */
int aval__share(aval__planner *p, aval__hash key, const void *thing);
const void *aval__find_shared(const aval__planner *p, aval__hash key); /* NULL: none yet */
/* The plan's own text that equals `text`; NULL: out of memory. */
const char *aval__keep_text(aval__planner *p, const char *text);
/* The plan's own tensor that equals `t`. */
int aval__keep_tensor(aval__planner *p, const aval_tensor *t, const aval_tensor **out);
void aval__shared_release(aval__planner *p);

#endif
