/* Units and items: what is ordered and recorded as a whole, what it reads and writes on which device, and the copies between devices
 * that follow from it (a value is copied at most once to each device that reads it). */
#include "plan/planner.h"

#include <string.h>

uint32_t aval__planner_item(const aval__planner *p, const aval_value *value, uint32_t device)
{
    uint32_t item = p->item_of[value->id];
    while (item != AVAL__NONE && p->items.at[item].device != device) item = p->items.at[item].next;
    return item;
}

int aval__planner_add_item(aval__planner *p, const aval_value *value, uint32_t device, uint32_t producer, uint32_t *out)
{
    uint32_t item = (uint32_t)p->items.count;
    AVAL__TRY(aval__vec_push(&p->items, (aval__item){ .value = value,
                                                      .bytes = aval__tensor_bytes(&value->tensor),
                                                      .device = device,
                                                      .next = AVAL__NONE,
                                                      .producer = producer,
                                                      .updater = AVAL__NONE,
                                                      .overwritten = AVAL__AFTER,
                                                      .storage = AVAL__NONE }));
    *out = item;
    return AVAL_OK;
}

/* Makes the item findable by value and device; the first one of a value is the one at its home. */
static void enter_item(aval__planner *p, uint32_t item)
{
    uint32_t *link = &p->item_of[p->items.at[item].value->id];
    while (*link != AVAL__NONE) link = &p->items.at[*link].next;
    *link = item;
}

void aval__planner_replace_item(aval__planner *p, uint32_t item)
{
    aval__item *it = &p->items.at[item];
    uint32_t *link = &p->item_of[it->value->id];
    while (p->items.at[*link].device != it->device) link = &p->items.at[*link].next;
    it->next = p->items.at[*link].next;
    *link = item;
}

int aval__planner_add_copy(aval__planner *p, uint32_t from, uint32_t device, uint32_t *unit, uint32_t *item)
{
    *unit = (uint32_t)p->units.count;
    AVAL__TRY(aval__planner_add_item(p, p->items.at[from].value, device, *unit, item));
    uint32_t first_link = (uint32_t)p->links.count;
    AVAL__TRY(aval__vec_push(&p->links, from));
    AVAL__TRY(aval__vec_push(&p->links, *item));
    return aval__vec_push(&p->units, (aval__unit){ .device = device, .first_link = first_link, .n_reads = 1, .n_writes = 1 });
}

/* The item of a value that lies in no unit's output: input, state or constant, at home. */
static int home_item(aval__planner *p, const aval_value *value, uint32_t *out)
{
    *out = p->item_of[value->id];
    if (*out != AVAL__NONE) return AVAL_OK;
    if (value->kind == AVAL__PRODUCED)
        return aval__fail(AVAL_E_INTERNAL, "value '%s' is read before anything makes it: please report this", aval__value_label(value));
    AVAL__TRY(aval__planner_add_item(p, value, p->home[value->id], AVAL__NONE, out));
    p->items.at[*out].kept = p->kept[value->id];
    p->items.at[*out].in_state = value->kind == AVAL__STATE;
    enter_item(p, *out);
    return AVAL_OK;
}

/* The item that a unit on `device` reads a value from: the one there, else a copy.  Constants are filled on each device instead. */
static int readable_item(aval__planner *p, const aval_value *value, uint32_t device, uint32_t rank, uint32_t *out)
{
    uint32_t home, unit;
    AVAL__TRY(home_item(p, value, &home));
    *out = aval__planner_item(p, value, device);
    if (*out != AVAL__NONE) return AVAL_OK;
    if (value->kind == AVAL__CONSTANT) AVAL__TRY(aval__planner_add_item(p, value, device, AVAL__NONE, out));
    else {
        AVAL__TRY(aval__planner_add_copy(p, home, device, &unit, out));
        p->units.at[unit].rank = rank;
    }
    enter_item(p, *out);
    return AVAL_OK;
}

/* ---- Units of nodes and clusters ------------------------------------------------------------------------------------------------ */

static int add_outputs(aval__planner *p, uint32_t unit, aval_value *const *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t item;
        if (!values[i]) continue;
        AVAL__TRY(aval__planner_add_item(p, values[i], p->units.at[unit].device, unit, &item));
        p->items.at[item].kept = p->kept[values[i]->id];
        p->items.at[item].in_state = p->root_state[values[i]->id] != AVAL__NONE;
        enter_item(p, item);
    }
    return AVAL_OK;
}

static int add_cluster_outputs(aval__planner *p, uint32_t unit, const aval__cluster *c)
{
    if (!c->joint) return add_outputs(p, unit, c->outputs, c->n_outputs);
    for (size_t i = 0; i < c->joint->n_members; i++)
        AVAL__TRY(add_outputs(p, unit, c->joint->members[i]->outputs, c->joint->members[i]->n_outputs));
    return AVAL_OK;
}

static int add_units(aval__planner *p)
{
    bool *made = aval__arena_alloc(&p->scratch, p->n_clusters);
    if (!made) return AVAL_E_MEMORY;
    /* About as many; growing from nothing would copy all of it several times. */
    AVAL__TRY(aval__vec_reserve(&p->units, p->n_nodes));
    AVAL__TRY(aval__vec_reserve(&p->items, p->n_nodes));
    AVAL__TRY(aval__vec_reserve(&p->links, p->n_nodes * 3));
    for (size_t i = 0; i < p->n_nodes; i++) {
        const aval_node *node = p->nodes[i];
        uint32_t cluster = p->cluster_of[node->id], unit = (uint32_t)p->units.count;
        aval__unit u = { .node = node, .device = p->device_of[node->id], .rank = unit };
        if (cluster != AVAL__NONE) {
            if (made[cluster]) continue;
            made[cluster] = true;
            u.cluster = &p->clusters[cluster];
            if (u.cluster->product || u.cluster->headed) continue; /* with the node whose tail or head it may be */
            if (u.cluster->joint && u.cluster->joint->members[0] != u.cluster) continue; /* with the first one */
        }
        const aval__cluster *partner = p->partner_of[node->id] != AVAL__NONE ? &p->clusters[p->partner_of[node->id]] : NULL;
        if (partner) *(partner->headed ? &u.head : &u.tail) = partner;
        AVAL__TRY(aval__vec_push(&p->units, u));
        if (u.cluster) AVAL__TRY(add_cluster_outputs(p, unit, u.cluster));
        else AVAL__TRY(add_outputs(p, unit, node->outputs, node->n_outputs));
        if (partner) AVAL__TRY(add_outputs(p, unit, partner->outputs, partner->n_outputs));
    }
    return AVAL_OK;
}

/* The content that output `value` of the unit replaces, NULL: none, or made in the same unit.  It is read even where the op's expression
   does not, so that it is there before it is replaced. */
static const aval_value *replaced_value(const aval__planner *p, uint32_t unit, const aval_value *value)
{
    if (!value || p->root_state[value->id] == AVAL__NONE) return NULL;
    const aval_node *node = value->producer;
    const aval_value *old = node->inputs[aval__updated_input(node, value->port)];
    uint32_t item = p->item_of[old->id];
    return item != AVAL__NONE && p->items.at[item].producer == unit ? NULL : old;
}

static int link_read(aval__planner *p, uint32_t unit, const aval_value *value)
{
    uint32_t item = AVAL__NONE;
    if (value) item = aval__planner_item(p, value, p->units.at[unit].device);
    p->units.at[unit].n_reads++;
    return aval__vec_push(&p->links, item);
}

/* What a node or a cluster reads and writes. */
typedef struct part {
    aval_value *const *reads, *const *writes;
    size_t n_reads, n_writes;
    const aval_value *inner; /* read where it was made */
} part;

static part part_of_cluster(const aval__cluster *c)
{
    return (part){ c->inputs, c->outputs, c->n_inputs, c->n_outputs, c->product };
}

static int find_readable(aval__planner *p, uint32_t unit, const part *a)
{
    const aval__unit u = p->units.at[unit];
    uint32_t item;
    for (size_t i = 0; i < a->n_reads; i++)
        if (a->reads[i] && a->reads[i] != a->inner) AVAL__TRY(readable_item(p, a->reads[i], u.device, u.rank, &item));
    for (size_t i = 0; i < a->n_writes; i++) {
        const aval_value *old = replaced_value(p, unit, a->writes[i]);
        if (old) AVAL__TRY(readable_item(p, old, u.device, u.rank, &item));
    }
    return AVAL_OK;
}

static int link_reads(aval__planner *p, uint32_t unit, const part *a)
{
    for (size_t i = 0; i < a->n_reads; i++)
        if (!a->inner || a->reads[i] != a->inner) AVAL__TRY(link_read(p, unit, a->reads[i]));
    for (size_t i = 0; i < a->n_writes; i++) {
        const aval_value *old = replaced_value(p, unit, a->writes[i]);
        if (old) AVAL__TRY(link_read(p, unit, old));
    }
    return AVAL_OK;
}

static int link_writes(aval__planner *p, uint32_t unit, const part *a)
{
    uint32_t device = p->units.at[unit].device;
    p->units.at[unit].n_writes += (uint32_t)a->n_writes;
    for (size_t i = 0; i < a->n_writes; i++)
        AVAL__TRY(aval__vec_push(&p->links, a->writes[i] ? aval__planner_item(p, a->writes[i], device) : AVAL__NONE));
    return AVAL_OK;
}

static int link_unit(aval__planner *p, uint32_t unit)
{
    const aval__unit u = p->units.at[unit];
    part parts[AVAL__MOST_JOINED];
    size_t n = 0;
    if (u.cluster && u.cluster->joint)
        while (n < u.cluster->joint->n_members) parts[n] = part_of_cluster(u.cluster->joint->members[n]), n++;
    else if (u.cluster) parts[n++] = part_of_cluster(u.cluster);
    else parts[n++] = (part){ u.node->inputs, u.node->outputs, u.node->n_inputs, u.node->n_outputs, u.head ? u.head->headed : NULL };
    if (u.tail || u.head) parts[n++] = part_of_cluster(u.tail ? u.tail : u.head);
    /* Copies add links of their own, so they are made before this unit's links begin. */
    for (size_t i = 0; i < n; i++) AVAL__TRY(find_readable(p, unit, &parts[i]));
    p->units.at[unit].first_link = (uint32_t)p->links.count;
    for (size_t i = 0; i < n; i++) AVAL__TRY(link_reads(p, unit, &parts[i]));
    for (size_t i = 0; i < n; i++) AVAL__TRY(link_writes(p, unit, &parts[i]));
    return AVAL_OK;
}

/* ---- Updates and readers ---------------------------------------------------------------------------------------------------------- */

/* Says of each content of a state which unit replaces it.  A content that is replaced by the unit that makes it (two updates in one
   cluster) never lies in the state: it gets memory of its own. */
static void mark_updates(aval__planner *p, uint32_t n_units)
{
    for (uint32_t i = 0; i < n_units; i++) {
        const uint32_t *writes = aval__unit_writes(p, &p->units.at[i]);
        for (size_t j = 0; j < p->units.at[i].n_writes; j++) {
            const aval_value *value = writes[j] == AVAL__NONE ? NULL : p->items.at[writes[j]].value;
            if (!value || p->root_state[value->id] == AVAL__NONE) continue;
            const aval_node *node = value->producer;
            uint32_t old = aval__planner_item(p, node->inputs[aval__updated_input(node, value->port)], p->units.at[i].device);
            if (p->items.at[old].producer == i) p->items.at[old].in_state = false;
            else p->items.at[old].updater = i;
        }
    }
}

/* Lists each item's readers, each once. */
static int list_readers(aval__planner *p)
{
    uint32_t total = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < p->items.count; i++) {
            aval__item *item = &p->items.at[i];
            if (pass == 1) item->first_reader = total, total += item->n_readers, item->n_readers = 0;
            item->unread = AVAL__NONE; /* here: the reader listed last */
        }
        if (pass == 1) {
            AVAL__TRY(aval__vec_reserve(&p->readers, total));
            p->readers.count = total;
        }
        for (uint32_t i = 0; i < p->units.count; i++) {
            const uint32_t *reads = aval__unit_reads(p, &p->units.at[i]);
            for (uint32_t j = 0; j < p->units.at[i].n_reads; j++) {
                aval__item *item = reads[j] == AVAL__NONE ? NULL : &p->items.at[reads[j]];
                if (!item || item->unread == i) continue;
                if (pass == 1) p->readers.at[item->first_reader + item->n_readers] = i;
                item->n_readers++;
                item->unread = i;
            }
        }
    }
    for (size_t i = 0; i < p->items.count; i++) p->items.at[i].unread = p->items.at[i].n_readers;
    return AVAL_OK;
}

int aval__planner_units(aval__planner *p)
{
    uint32_t item;
    memset(p->item_of, 0xff, sizeof *p->item_of * p->g->values.count);
    AVAL__TRY(add_units(p));
    uint32_t n_units = (uint32_t)p->units.count; /* copies come after these, with their links */
    for (uint32_t i = 0; i < n_units; i++) AVAL__TRY(link_unit(p, i));
    for (size_t i = 0; i < p->request->n_wanted; i++) AVAL__TRY(home_item(p, p->wanted[i], &item));
    mark_updates(p, n_units);
    return list_readers(p);
}
