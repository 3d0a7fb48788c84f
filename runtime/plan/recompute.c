/* Recomputation: an order of units in which intermediates that would not fit into the budget are given up and computed again before
 * their next reader.
 *
 * The order is gone through as a device would, with the bytes in use counted.  Where a unit's results do not fit, contents are given up: the
 * one whose making again costs least for each byte and each position that it is not needed.  To the cost of a content belongs that of all
 * it is made from that is not there either, and of what is missing and made from it (Kirisame et al., "Dynamic Tensor Rematerialization", ICLR 2021;
 * their victim is the one not used for longest, while a plan knows the next use, as in Belady's rule).  When a unit reads what is not
 * there, its producer runs again before it, and the producers of what that one reads.  A unit runs again whole, with the kernels that it had, so that
 * the same bits come out.
 *
 * What updates a state never runs again, nor does what has read a state's content that is overwritten by then. */
#include "plan/planner.h"

#include <string.h>

#define MOST_AGAIN 4.0 /* times the cost of a run without recomputation: beyond it a budget counts as out of reach */
#define MOST_CHAIN 64 /* units that are looked at for the cost of one content */

/* What there is of an item (of those that there were before) at the present position. */
typedef struct content {
    uint32_t version; /* item that holds it; AVAL__NONE: it is not there */
    uint32_t buffer; /* where, index of simulation.buffers */
    uint32_t next_in_buffer; /* item */
    uint32_t next_use, end_use; /* simulation.uses: those to come */
    uint32_t deadline; /* the last position that it can be made again for */
    uint32_t locks; /* units at hand that need it */
    bool fixed; /* lies outside the arena */
    bool lasting; /* cannot be made again as long as it is needed */
} content;

typedef struct buffer {
    uint64_t bytes;
    uint32_t device;
    uint32_t first; /* item; AVAL__NONE: the buffer is free */
    uint32_t place; /* in simulation.live */
} buffer;

typedef struct simulation {
    aval__planner *p;
    aval__recomputation *known;
    uint32_t n_items; /* before; versions come after */
    content *contents; /* by item */
    bool *repeatable; /* by unit */
    uint32_t *uses; /* positions of readers, sorted, as planner->readers */
    uint64_t *used; /* bytes by device */
    uint32_t *stamps; /* by unit: the last search that met it */
    uint32_t stamp;
    uint32_t position; /* in the order before */
    double again, limit; /* cost */
    AVAL__VEC(buffer) buffers;
    AVAL__VEC(uint32_t) live; /* buffers */
    AVAL__VEC(uint32_t) stack; /* units: each waits for the one above it */
    AVAL__VEC(uint32_t) order; /* what comes out */
    AVAL__VEC(uint32_t) origins; /* of versions: the item of before */
} simulation;

static uint32_t origin(const simulation *s, uint32_t item)
{
    return item < s->n_items ? item : s->origins.at[item - s->n_items];
}

static const uint32_t *reads_of(const simulation *s, uint32_t unit)
{
    return aval__unit_reads(s->p, &s->p->units.at[unit]);
}

static const uint32_t *writes_of(const simulation *s, uint32_t unit)
{
    return aval__unit_writes(s->p, &s->p->units.at[unit]);
}

/* ---- What can be made again ------------------------------------------------------------------------------------------------- */

static bool is_deterministic(const aval_node *node)
{
    const aval__opdef *def = node->def->kind == AVAL__BACKWARD ? node->def->forward_of : node->def;
    return def->kind == AVAL__EXPRESSION || (def->op && def->op->deterministic);
}

bool aval__unit_is_repeatable(const aval__planner *p, const aval__unit *u)
{
    if (!u->node || (!u->cluster && !is_deterministic(u->node))) return false; /* NULL: a copy between devices */
    for (uint32_t i = 0; i < u->n_writes; i++) {
        uint32_t item = aval__unit_writes(p, u)[i];
        if (item == AVAL__NONE) continue;
        const aval__item *it = &p->items.at[item];
        if (it->kept || it->in_state || p->root_state[it->value->id] != AVAL__NONE) return false;
        if (!u->cluster && i < u->node->n_outputs && aval__node_base(u->node, i)) return false; /* it is written over the partial sum */
    }
    return true;
}

/* The last position at which this input of a unit is there, or can be. */
static uint32_t last_there(const simulation *s, uint32_t item)
{
    const aval__item *it = &s->p->items.at[item];
    if (s->contents[item].fixed) return it->overwritten;
    return s->repeatable[it->producer] ? s->contents[item].deadline : it->last_use;
}

static void set_deadlines(simulation *s)
{
    const aval__planner *p = s->p;
    for (uint32_t i = 0; i < p->units.count; i++) s->repeatable[i] = aval__unit_is_repeatable(p, &p->units.at[i]);
    for (size_t at = 0; at < p->order.count; at++) {
        uint32_t unit = p->order.at[at], deadline = AVAL__AFTER;
        const uint32_t *reads = reads_of(s, unit), *writes = writes_of(s, unit);
        for (uint32_t i = 0; i < p->units.at[unit].n_reads; i++) {
            uint32_t last = reads[i] == AVAL__NONE ? AVAL__AFTER : last_there(s, reads[i]);
            if (last < deadline) deadline = last;
        }
        for (uint32_t i = 0; i < p->units.at[unit].n_writes; i++) {
            if (writes[i] == AVAL__NONE) continue;
            content *c = &s->contents[writes[i]];
            c->deadline = deadline;
            c->lasting = !s->repeatable[unit] || deadline < p->items.at[writes[i]].last_use;
        }
    }
}

static int prepare(simulation *s)
{
    aval__planner *p = s->p;
    aval__arena *arena = &p->scratch;
    s->n_items = (uint32_t)p->items.count;
    s->contents = aval__arena_alloc(arena, sizeof *s->contents * p->items.count);
    s->repeatable = aval__arena_alloc(arena, sizeof *s->repeatable * p->units.count);
    s->stamps = aval__arena_alloc(arena, sizeof *s->stamps * p->units.count);
    s->uses = aval__arena_alloc(arena, sizeof *s->uses * p->readers.count);
    s->used = aval__arena_alloc(arena, sizeof *s->used * p->request->n_devices);
    if (!s->contents || !s->repeatable || !s->stamps || !s->uses || !s->used) return AVAL_E_MEMORY;
    for (uint32_t i = 0; i < s->n_items; i++) {
        const aval__item *it = &p->items.at[i];
        bool fixed = it->producer == AVAL__NONE || it->in_state;
        s->contents[i] = (content){ .version = fixed ? i : AVAL__NONE, .buffer = AVAL__NONE, .fixed = fixed };
        s->contents[i].next_use = s->contents[i].end_use = it->first_reader;
    }
    for (uint32_t at = 0; at < p->order.count; at++) {
        const uint32_t *reads = reads_of(s, p->order.at[at]);
        for (uint32_t i = 0; i < p->units.at[p->order.at[at]].n_reads; i++) {
            content *c = reads[i] == AVAL__NONE ? NULL : &s->contents[reads[i]];
            if (!c || (c->end_use > c->next_use && s->uses[c->end_use - 1] == at)) continue; /* absent, or read twice */
            s->uses[c->end_use++] = at;
        }
    }
    set_deadlines(s);
    return AVAL_OK;
}

/* ---- Contents come and go ----------------------------------------------------------------------------------------------------- */

/* Position of the next reader from the present one on; AVAL__AFTER: none, or after the run. */
static uint32_t next_use(simulation *s, uint32_t item)
{
    content *c = &s->contents[item];
    while (c->next_use < c->end_use && s->uses[c->next_use] < s->position) c->next_use++;
    return c->next_use < c->end_use ? s->uses[c->next_use] : AVAL__AFTER;
}

static void drop_buffer(simulation *s, uint32_t index)
{
    buffer *b = &s->buffers.at[index];
    uint32_t last = s->live.at[--s->live.count];
    s->used[b->device] -= b->bytes;
    s->live.at[b->place] = last;
    s->buffers.at[last].place = b->place;
}

static void drop(simulation *s, uint32_t item)
{
    content *c = &s->contents[item];
    buffer *b = &s->buffers.at[c->buffer];
    uint32_t *link = &b->first;
    while (*link != item) link = &s->contents[*link].next_in_buffer;
    *link = c->next_in_buffer;
    if (b->first == AVAL__NONE) drop_buffer(s, c->buffer);
    c->version = AVAL__NONE;
}

/* The buffer that a result goes into: that of an input, of which it is a part or which it may be written over; AVAL__NONE: one of its own. */
static uint32_t shared_buffer(simulation *s, uint32_t item, bool again)
{
    uint32_t shared = s->known->shares[item];
    if (shared == AVAL__NONE || s->contents[shared].fixed) return AVAL__NONE;
    if (!s->known->overwrites[item]) return s->contents[shared].buffer;
    uint32_t next = next_use(s, shared);
    bool last = next == AVAL__AFTER || (!again && next == s->position && s->contents[shared].next_use + 1 == s->contents[shared].end_use);
    return last && s->contents[shared].locks == 1 ? s->contents[shared].buffer : AVAL__NONE;
}

static int put(simulation *s, uint32_t item, uint32_t version, uint32_t shared)
{
    content *c = &s->contents[item];
    c->version = version;
    c->buffer = shared;
    if (c->buffer == AVAL__NONE) {
        buffer made = {
            .bytes = s->known->bytes[item], .device = s->p->items.at[item].device, .first = AVAL__NONE, .place = (uint32_t)s->live.count
        };
        c->buffer = (uint32_t)s->buffers.count;
        s->used[made.device] += made.bytes;
        AVAL__TRY(aval__vec_push(&s->buffers, made));
        AVAL__TRY(aval__vec_push(&s->live, c->buffer));
    }
    c->next_in_buffer = s->buffers.at[c->buffer].first;
    s->buffers.at[c->buffer].first = item;
    return AVAL_OK;
}

/* Gives back what nobody reads any more. */
static void release(simulation *s, uint32_t item, bool done)
{
    content *c = &s->contents[item];
    if (c->fixed || c->version == AVAL__NONE || c->locks > 0 || s->p->items.at[item].kept) return;
    uint32_t next = next_use(s, item);
    if (next == AVAL__AFTER || (done && next == s->position && c->next_use + 1 == c->end_use)) drop(s, item);
}

/* ---- What to give up --------------------------------------------------------------------------------------------------------------- */

static bool met(simulation *s, uint32_t unit)
{
    bool before = s->stamps[unit] == s->stamp;
    s->stamps[unit] = s->stamp;
    return before;
}

static bool missing(const simulation *s, uint32_t item)
{
    return item != AVAL__NONE && s->contents[origin(s, item)].version == AVAL__NONE;
}

/* The cost of making an item again as things are: with all that is missing before it, and what is missing after it and would need it. */
static double chain_cost(simulation *s, uint32_t item)
{
    uint32_t chain[MOST_CHAIN], n = 0;
    double cost = 0;
    const aval__planner *p = s->p;
    if (!met(s, p->items.at[item].producer)) chain[n++] = p->items.at[item].producer;
    for (uint32_t at = 0; at < n; at++) {
        const aval__unit *u = &p->units.at[chain[at]];
        cost += s->known->cost[chain[at]];
        for (uint32_t i = 0; i < u->n_reads; i++) {
            uint32_t read = aval__unit_reads(p, u)[i];
            uint32_t producer = missing(s, read) ? p->items.at[origin(s, read)].producer : AVAL__NONE;
            if (producer != AVAL__NONE && n < MOST_CHAIN && !met(s, producer)) chain[n++] = producer;
        }
    }
    const aval__item *it = &p->items.at[item];
    for (uint32_t i = 0; i < it->n_readers; i++) {
        uint32_t reader = p->readers.at[it->first_reader + i];
        const uint32_t *writes = writes_of(s, reader);
        for (uint32_t j = 0; j < p->units.at[reader].n_writes; j++)
            if (missing(s, writes[j]) && p->units.at[reader].position < s->position && next_use(s, writes[j]) != AVAL__AFTER &&
                !met(s, reader))
                cost += s->known->cost[reader];
    }
    return cost;
}

/* How good it is to keep the buffer: cost by byte and time; negative: it cannot be given up. */
static double worth(simulation *s, const buffer *b)
{
    uint32_t next = AVAL__AFTER;
    double cost = 0;
    s->stamp++;
    for (uint32_t i = b->first; i != AVAL__NONE; i = s->contents[i].next_in_buffer) {
        const content *c = &s->contents[i];
        if (c->locks > 0 || c->lasting || s->p->items.at[i].kept) return -1;
    }
    for (uint32_t i = b->first; i != AVAL__NONE; i = s->contents[i].next_in_buffer) {
        uint32_t use = next_use(s, i);
        if (use < next) next = use;
        cost += chain_cost(s, i);
    }
    return cost / ((double)b->bytes * (double)(next - s->position + 1));
}

/* Makes room for so many bytes; false: there is nothing more to give up. */
static bool make_room(simulation *s, uint32_t device, uint64_t bytes)
{
    while (s->used[device] + bytes > s->known->budget) {
        uint32_t victim = AVAL__NONE;
        double least = 0;
        for (size_t i = 0; i < s->live.count; i++) {
            const buffer *b = &s->buffers.at[s->live.at[i]];
            if (b->device != device || b->bytes == 0) continue;
            double value = worth(s, b);
            if (value < 0 || (victim != AVAL__NONE && value >= least)) continue;
            victim = s->live.at[i];
            least = value;
        }
        if (victim == AVAL__NONE) return false;
        while (s->buffers.at[victim].first != AVAL__NONE) drop(s, s->buffers.at[victim].first);
    }
    return true;
}

/* ---- Running units --------------------------------------------------------------------------------------------------------------------- */

static void lock_reads(simulation *s, uint32_t unit, bool on)
{
    const uint32_t *reads = reads_of(s, unit);
    for (uint32_t i = 0; i < s->p->units.at[unit].n_reads; i++)
        if (reads[i] != AVAL__NONE) s->contents[origin(s, reads[i])].locks += on ? 1u : UINT32_MAX;
}

/* A unit that computes again what `unit` has, into items of its own. */
static int add_again(simulation *s, uint32_t unit, uint32_t *out)
{
    aval__planner *p = s->p;
    aval__unit again = p->units.at[unit];
    uint32_t first_link = (uint32_t)p->links.count;
    *out = (uint32_t)p->units.count;
    again.again = true;
    for (uint32_t i = 0; i < again.n_reads + again.n_writes; i++) {
        uint32_t link = p->links.at[again.first_link + i];
        if (i >= again.n_reads && link != AVAL__NONE) {
            aval__item version = p->items.at[link];
            version.producer = *out;
            AVAL__TRY(aval__vec_push(&s->origins, link));
            link = (uint32_t)p->items.count;
            AVAL__TRY(aval__vec_push(&p->items, version));
        }
        AVAL__TRY(aval__vec_push(&p->links, link));
    }
    again.first_link = first_link;
    return aval__vec_push(&p->units, again);
}

static uint64_t room_for(simulation *s, uint32_t unit, bool again)
{
    uint64_t bytes = s->known->scratch_bytes[unit];
    const uint32_t *writes = writes_of(s, unit);
    for (uint32_t i = 0; i < s->p->units.at[unit].n_writes; i++) {
        if (writes[i] == AVAL__NONE || s->contents[writes[i]].fixed) continue;
        if (shared_buffer(s, writes[i], again) == AVAL__NONE) bytes += s->known->bytes[writes[i]];
    }
    return bytes;
}

/* All that the unit reads is there. */
static int run(simulation *s, uint32_t unit, bool again)
{
    aval__planner *p = s->p;
    uint32_t now = unit;
    const uint32_t n_reads = p->units.at[unit].n_reads, n_writes = p->units.at[unit].n_writes;
    for (uint32_t i = 0; again && i < n_writes; i++) { /* what is there of its results is replaced */
        uint32_t item = writes_of(s, unit)[i];
        if (item != AVAL__NONE && s->contents[item].version != AVAL__NONE) drop(s, item);
    }
    if (again) s->again += s->known->cost[unit];
    s->known->out_of_reach = s->again > s->limit || !make_room(s, p->units.at[unit].device, room_for(s, unit, again));
    if (s->known->out_of_reach) return AVAL_E_DEVICE_MEMORY;
    if (again) AVAL__TRY(add_again(s, unit, &now));
    AVAL__TRY(aval__vec_push(&s->order, now));
    uint32_t *links = aval__unit_reads(p, &p->units.at[now]);
    for (uint32_t i = 0; i < n_reads; i++)
        if (links[i] != AVAL__NONE) links[i] = s->contents[origin(s, links[i])].version;
    for (uint32_t i = 0; i < n_writes; i++) {
        uint32_t item = writes_of(s, unit)[i];
        if (item != AVAL__NONE && !s->contents[item].fixed) AVAL__TRY(put(s, item, writes_of(s, now)[i], shared_buffer(s, item, again)));
    }
    lock_reads(s, unit, false);
    for (uint32_t i = 0; i < n_reads; i++)
        if (reads_of(s, unit)[i] != AVAL__NONE) release(s, origin(s, reads_of(s, unit)[i]), !again);
    for (uint32_t i = 0; i < n_writes; i++)
        if (writes_of(s, unit)[i] != AVAL__NONE) release(s, writes_of(s, unit)[i], false);
    return AVAL_OK;
}

static uint32_t first_missing(const simulation *s, uint32_t unit)
{
    const uint32_t *reads = reads_of(s, unit);
    for (uint32_t i = 0; i < s->p->units.at[unit].n_reads; i++)
        if (missing(s, reads[i])) return origin(s, reads[i]);
    return AVAL__NONE;
}

/* The unit in its place in the order, after all that has to run again for it. */
static int perform(simulation *s, uint32_t unit)
{
    s->stack.count = 0;
    lock_reads(s, unit, true);
    AVAL__TRY(aval__vec_push(&s->stack, unit));
    while (s->stack.count > 0) {
        uint32_t top = s->stack.at[s->stack.count - 1], item = first_missing(s, top);
        if (item == AVAL__NONE) {
            AVAL__TRY(run(s, top, s->stack.count > 1));
            s->stack.count--;
            continue;
        }
        const content *c = &s->contents[item];
        uint32_t producer = s->p->items.at[item].producer;
        if (!s->repeatable[producer] || c->deadline < s->position)
            return aval__fail(AVAL_E_INTERNAL, "value '%s' was given up and cannot be computed again: please report this",
                              aval__value_label(s->p->items.at[item].value));
        lock_reads(s, producer, true);
        AVAL__TRY(aval__vec_push(&s->stack, producer));
    }
    return AVAL_OK;
}

/* The planner's order becomes the new one. */
static int set_order(simulation *s)
{
    aval__planner *p = s->p;
    AVAL__TRY(aval__vec_reserve(&p->order, s->order.count));
    if (s->order.count > 0) memcpy(p->order.at, s->order.at, s->order.count * sizeof *s->order.at);
    p->order.count = s->order.count;
    for (size_t i = 0; i < p->items.count; i++) p->items.at[i].last_use = AVAL__AFTER; /* not read */
    for (uint32_t at = 0; at < p->order.count; at++) {
        p->units.at[p->order.at[at]].position = at;
        const uint32_t *reads = reads_of(s, p->order.at[at]);
        for (uint32_t i = 0; i < p->units.at[p->order.at[at]].n_reads; i++)
            if (reads[i] != AVAL__NONE) p->items.at[reads[i]].last_use = at;
    }
    aval__planner_set_lifetimes(p);
    return AVAL_OK;
}

int aval__planner_recompute(aval__planner *p)
{
    aval__recomputation *known = p->recomputation;
    simulation s = { .p = p, .known = known };
    uint32_t n_units = (uint32_t)p->units.count;
    int status = AVAL_OK;
    if (!known || known->budget == 0) return AVAL_OK;
    AVAL__TRY_DONE(prepare(&s));
    for (uint32_t i = 0; i < n_units; i++) s.limit += MOST_AGAIN * known->cost[i];
    for (s.position = 0; s.position < p->order.count; s.position++) AVAL__TRY_DONE(perform(&s, p->order.at[s.position]));
    p->plan->statistics.recomputed = p->units.count - n_units;
    p->plan->statistics.recomputed_share = s.limit > 0 ? MOST_AGAIN * s.again / s.limit : 0;
    status = set_order(&s);
done:
    aval__vec_release(&s.buffers);
    aval__vec_release(&s.live);
    aval__vec_release(&s.stack);
    aval__vec_release(&s.order);
    aval__vec_release(&s.origins);
    return status;
}
