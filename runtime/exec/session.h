/* A session's inside, shared by the files session*.c.
 *
 * Feeding keeps a copy on the host; the next run carries it to the device if the plan reads that input.  So the order of feeding and
 * planning is free, and a session that changes between plans has every input at hand.  From the second time on, an input that one plan alone reads goes
 * straight to its buffer there instead, and is read back where it is needed elsewhere after all. */
#ifndef AVAL_EXEC_SESSION_H
#define AVAL_EXEC_SESSION_H

#include "exec/context.h"

/* Plans that a session keeps bound, with their buffers: training and evaluation, each with a smaller last batch, and a few more. */
#define AVAL__MOST_BINDINGS 8
/* Inputs that say shapes are small; larger ones are never read while planning. */
#define AVAL__CONTENT_BYTES 4096

typedef struct aval__fed {
    uint64_t version; /* 0: never fed; goes up with each feed of any input */
    uint64_t born; /* of the input that was fed: another one may have its id by now */
    bool content; /* shape inference may read it, so plans depend on its content */
    aval_tensor tensor;
    cl_mem mem; /* where the content lies: the caller's own buffer (aval/opencl.h), or a binding's; retained; NULL: it is in `data` */
    bool lent; /* `mem` is the binding's that it was fed to directly, and is not written before the next feed */
    bool several; /* more than one plan reads it: it is kept in `data` */
    void *data; /* of an input with `mem`: what was read from there for planning */
    size_t capacity;
} aval__fed;

typedef struct aval__bound_plan {
    aval__hash key;
    aval__shared_plan *shared;
    aval__binding *binding;
    uint64_t *carried; /* by slot: version of the input that the binding has */
    UT_hash_handle hh; /* iterates from the least recently used */
} aval__bound_plan;

struct aval_session {
    aval_context *context;
    aval_graph *graph;
    aval_store *store; /* may be NULL */
    aval_memory_mode memory;
    bool anomaly, strict;
    bool asks; /* see aval__session_ask_parameters */
    uint64_t memory_bound; /* bytes; 0: none */
    AVAL__VEC(aval__fed) fed; /* by value id */
    uint64_t feeds;
    uint64_t changes; /* goes up when a fed shape, a content that planning reads, or a mode changes */
    /* Values whose content planning for `wanted` needs, those first that others need.  Before each run they are computed by plans of their own
       (segments) where a node computes them, read, and then stand in `fed`. */
    AVAL__VEC(aval_value *) asked;
    /* What the current plan was found for: while nothing of it changes, a run goes straight to the binding. */
    AVAL__VEC(aval_value *) wanted;
    uint64_t graph_generation, seen_changes;
    aval__numbering numbers; /* by number that the plan gives a value: its id in the graph */
    AVAL__VEC(uint32_t) number_of; /* the other way round; UINT32_MAX: the plan does not know it */
    struct aval__turning *turning; /* a list: sessions for the turns of loops */
    aval__bound_plan *current; /* NULL: look again */
    aval__bound_plan *bindings; /* uthash */
    bool ran; /* the last run was completed with `current` */
    aval_counters counters;
};

/* What this value of the session's graph was fed, or what it was found to be by a segment; NULL: nothing. */
aval__fed *aval__session_fed(const aval_session *s, const aval_value *value);
/* Finds or makes the plan for what is wanted, without binding it.  For aval__shared_plan_drop. */
int aval__session_plan(aval_session *s, aval_value *const *wanted, size_t n_wanted, aval__shared_plan **out);
/* Makes s->current the bound plan for what is wanted. */
int aval__session_prepare(aval_session *s, aval_value *const *wanted, size_t n_wanted);
/* As before a run: `current` is the bound plan for what is wanted, and has what was fed. */
int aval__session_ready(aval_session *s, aval_value *const *wanted, size_t n_wanted);
void aval__session_release_bindings(aval_session *s, const aval__bound_plan *kept); /* but the one that is kept, if any */

/* ---- session.c, for segments ---- */

/* The shape of what is fed: as declared, with free dimensions taken from `dims`. */
int aval__session_fed_shape(const aval_session *s, const aval_value *input, const int64_t *dims, aval_tensor *out);
/* The input's content is in `mem`, which is retained, until it is fed again. */
int aval__session_keep_mem(aval_session *s, const aval_value *input, const aval_tensor *shape, cl_mem mem);
/* Reads an input from the caller's buffer to the host, for planning and for who asks; `data` has room for it. */
int aval__session_read_mem(const aval_session *s, const aval_value *input, const aval__fed *fed, void *data);
/* The selected device whose cl_context a buffer is of; NULL: none. */
aval__device *aval__context_device_of(const aval_context *ctx, cl_mem mem);
/* Room for `bytes` bytes in fed->data, whose content is lost. */
int aval__fed_reserve(aval__fed *fed, size_t bytes);
/* Notes that it was fed, with this shape. */
void aval__session_note_fed(aval_session *s, aval__fed *fed, const aval_value *value, const aval_tensor *shape);
/* The content is no more where `mem` says. */
void aval__fed_forget_mem(aval__fed *fed);
/* session_place.c: feeds the buffer of the bound plan that alone reads the input.  *done false: that cannot be, and nothing was done. */
int aval__session_feed_directly(aval_session *s, const aval_value *input, const aval_tensor *shape, const void *data, bool *done);
/* An input that was fed directly is in `data` again, from now on, since another plan reads it too. */
int aval__session_bring_back(aval_session *s, const aval_value *input, aval__fed *fed);
/* Keeps a copy of an input's content, or of what another value was found to be. */
int aval__session_keep(aval_session *s, const aval_value *value, const aval_tensor *shape, const void *data);
/* Brings to the devices what a plan reads and was fed since it last ran; `numbers` as the plan counts values. */
int aval__session_carry(aval_session *s, aval__bound_plan *bound, const aval__numbering *numbers);
/* Where a plan keeps the value of that number; NULL: nowhere. */
const aval__located *aval__plan_locate(const aval__plan *plan, uint32_t number);
/* Where the last run has left a value that a node computes. */
int aval__session_locate(const aval_session *s, const aval_value *value, const aval__located **out);
/* AVAL_E_ARGUMENT unless it is a value of the session's graph. */
int aval__session_owns(const aval_session *s, const aval_value *value);

/* ---- session_plan.c, for segments ---- */

/* What is looked for, and what is found on the way. */
typedef struct aval__look {
    aval_value *const *wanted;
    size_t n_wanted;
    size_t n_asked; /* the first so many of s->asked are known */
    aval__numbering *numbers; /* of the plan */
    aval__hash key;
    uint32_t missing; /* after AVAL_E_CONTENT: id of the value whose content must be known; UINT32_MAX: none would help */
} aval__look;

/* *bound, where `bound` is not NULL, becomes the session's binding if there is one; else *out becomes the plan. */
int aval__session_look(aval_session *s, aval__look *look, aval__bound_plan **bound, aval__shared_plan **out);
/* Makes *bound of the plan, which it takes over, unless it was found already. */
int aval__session_bind(aval_session *s, const aval__look *look, aval__shared_plan *shared, aval__bound_plan **bound);

/* ---- session_segment.c ---- */

/* As aval__session_look, with all contents that planning asks for computed first. */
int aval__session_look_through(aval_session *s, aval__look *look, aval__bound_plan **bound, aval__shared_plan **out);
/* Computes and keeps the contents of values, with the first `n_asked` of those asked for known.  *missing: one more is needed first. */
int aval__session_compute(aval_session *s, aval_value *const *values, size_t n_values, size_t n_asked, uint32_t *missing);
/* Keeps the content of a state, or of an input that lies in a caller's buffer, as it is now. */
int aval__session_keep_source(aval_session *s, const aval_value *value);
/* Does the content of one, when it is found, bring that of the other?  A loop's outputs come together. */
static inline bool aval__session_found_with(const aval_value *asked, const aval_value *value)
{
    return asked == value || (asked->kind == AVAL__PRODUCED && value->kind == AVAL__PRODUCED && asked->producer == value->producer &&
                              value->producer->kind == AVAL__LOOP);
}
/* True when runs compute contents first. */
bool aval__session_has_segments(const aval_session *s);
/* Is it a value whose content the last run computed first? */
bool aval__session_asked(const aval_session *s, const aval_value *value);

/* ---- session_loop.c ---- */

/* Takes the turns of a loop whose number shows only on the way, and keeps all of its outputs; as aval__session_compute. */
int aval__session_take_turns(aval_session *s, aval_node *loop, size_t n_asked, uint32_t *missing);
void aval__session_release_turning(aval_session *s);

#endif
