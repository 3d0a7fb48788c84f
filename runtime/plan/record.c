/* Recording: each unit, in order, gives its steps.  Here: which storage an item lies in, steps and arguments; recorders' functions are in
 * record_node.c, clusters in record_cluster.c. */
#include "plan/planner.h"

#include <string.h>

uint64_t aval__planner_alignment(const aval__planner *p, uint32_t device)
{
    uint64_t alignment = p->request->devices[device]->alignment_bytes;
    return aval__align(alignment > 0 ? alignment : 1, AVAL__MIN_ALIGNMENT);
}

/* ---- Storages ------------------------------------------------------------------------------------------------------------------------ */

int aval__planner_add_storage(aval__planner *p, uint32_t device, uint64_t bytes, const aval_value *value, uint32_t first, uint32_t *out)
{
    *out = (uint32_t)p->storages.count;
    return aval__vec_push(&p->storages, (aval__storage){ .bytes = aval__align(bytes > 0 ? bytes : 1, aval__planner_alignment(p, device)),
                                                         .device = device,
                                                         .slot = AVAL__NONE,
                                                         .inside = AVAL__NONE,
                                                         .first = first,
                                                         .last = first,
                                                         .value = value });
}

void aval__record_locate(aval__recording *r, uint32_t item, uint32_t storage, uint64_t offset_bytes)
{
    aval__item *it = &r->p->items.at[item];
    aval__storage *s = &r->p->storages.at[storage];
    it->storage = storage;
    it->offset_bytes = offset_bytes;
    if (it->last_use > s->last) s->last = it->last_use;
}

int aval__record_own_storage(aval__recording *r, uint32_t item)
{
    uint32_t storage;
    const aval__item it = r->p->items.at[item];
    AVAL__TRY(aval__planner_add_storage(r->p, r->device, it.bytes, it.value, r->position, &storage));
    aval__record_locate(r, item, storage, 0);
    return AVAL_OK;
}

int aval__planner_fixed_slot(aval__planner *p, uint32_t item)
{
    static const aval__slot_kind kinds[] = {
        [AVAL__INPUT] = AVAL__SLOT_INPUT, [AVAL__STATE] = AVAL__SLOT_STATE, [AVAL__CONSTANT] = AVAL__SLOT_CONSTANT
    };
    aval__item *it = &p->items.at[item];
    const aval_value *v = it->value;
    if (it->storage != AVAL__NONE) return AVAL_OK;
    uint64_t guard = v->kind == AVAL__STATE ? 0 : aval__planner_guard(p, it->device);
    aval__slot slot = { .kind = kinds[v->kind],
                        .device = it->device,
                        .bytes = (it->bytes > 0 || guard > 0 ? it->bytes : 1) + 2 * guard,
                        .guard_bytes = guard,
                        .value = v->id,
                        .tensor = v->tensor };
    if (v->kind != AVAL__CONSTANT || v->name) {
        slot.name = aval__arena_text(&p->plan->arena, aval__value_label(v));
        if (!slot.name) return AVAL_E_MEMORY;
    }
    if (v->kind == AVAL__CONSTANT) {
        slot.data = aval__arena_copy(&p->plan->arena, v->data, it->bytes);
        if (!slot.data) return AVAL_E_MEMORY;
    }
    AVAL__TRY(aval__planner_add_storage(p, it->device, it->bytes, v, 0, &it->storage));
    p->storages.at[it->storage].slot = (uint32_t)p->slots.count;
    p->storages.at[it->storage].offset = guard;
    p->storages.at[it->storage].last = AVAL__AFTER;
    return aval__vec_push(&p->slots, slot);
}

/* ---- Steps ----------------------------------------------------------------------------------------------------------------------------- */

int aval__record_step(aval__recording *r, aval__step_kind kind, aval__step **out)
{
    AVAL__TRY(aval__vec_push(&r->p->steps, (aval__step){ .kind = kind, .device = r->device, .node = r->label }));
    *out = &r->p->steps.at[r->p->steps.count - 1];
    return AVAL_OK;
}

int aval__record_tensor_arg(aval__planner *p, uint32_t storage, uint64_t offset_bytes, int type, bool written)
{
    uint8_t bytes = (uint8_t)aval_type_bytes(type);
    return aval__vec_push(
        &p->args,
        (aval__arg){
            .kind = AVAL__ARG_TENSOR, .slot = storage, .bytes = bytes, .written = written, .offset = (int64_t)(offset_bytes / bytes) });
}

int aval__record_value_arg(aval__planner *p, aval_arg_kind given, const void *data, uint8_t bytes)
{
    aval__arg arg = { .kind = AVAL__ARG_VALUE, .given = (uint32_t)given, .bytes = bytes };
    memcpy(arg.data, data, bytes);
    return aval__vec_push(&p->args, arg);
}

int aval__record_args(aval__planner *p, aval__step *step)
{
    step->n_args = (uint32_t)p->args.count;
    step->args = aval__arena_copy(&p->plan->arena, p->args.at, p->args.count * sizeof *p->args.at);
    p->args.count = 0;
    return step->args ? AVAL_OK : AVAL_E_MEMORY;
}

int aval__record_fill_range(aval__recording *r, const aval__port *port, int64_t first, int64_t count, double value)
{
    aval__step *step;
    uint32_t bytes = (uint32_t)aval_type_bytes(port->tensor.type);
    if (count == 0) return AVAL_OK;
    AVAL__TRY(aval__record_step(r, AVAL__STEP_FILL, &step));
    step->to = (aval__place){ port->storage, (int64_t)port->offset_bytes + first * bytes };
    step->bytes = (uint64_t)count * bytes;
    step->pattern_bytes = bytes;
    aval__convert(step->pattern, port->tensor.type, &value, AVAL_DOUBLE, 1);
    return AVAL_OK;
}

int aval__record_copy_bytes(aval__recording *r, aval__place to, aval__place from, uint32_t from_device, uint64_t bytes)
{
    aval__step *step;
    if (bytes == 0 || (from_device == r->device && to.slot == from.slot && to.offset == from.offset)) return AVAL_OK;
    AVAL__TRY(aval__record_step(r, AVAL__STEP_COPY, &step));
    step->to = to;
    step->from = from;
    step->from_device = from_device;
    step->bytes = bytes;
    return AVAL_OK;
}

/* ---- Units -------------------------------------------------------------------------------------------------------------------------------- */

/* Decimal digits before `end`; snprintf takes a fifth of the time of planning. */
static char *put_digits(char *end, uint32_t number)
{
    do *--end = (char)('0' + number % 10);
    while (number /= 10);
    return end;
}

static int label_node(aval__planner *p, const aval_node *node, const char **label)
{
    char number[10], *end = number + sizeof number, *digits = put_digits(end, node->id);
    aval__text *text = &p->text;
    text->length = 0;
    if (node->name) {
        aval__text_put(text, node->name, strlen(node->name));
    } else {
        aval__text_put(text, "node ", 5);
        aval__text_put(text, digits, (size_t)(end - digits));
    }
    aval__text_put(text, " (", 2);
    aval__text_put(text, node->def->name, strlen(node->def->name));
    aval__text_put(text, ")", 1);
    if (text->failed) return AVAL_E_MEMORY;
    *label = aval__arena_text(&p->plan->arena, text->at);
    return *label ? AVAL_OK : AVAL_E_MEMORY;
}

/* What to call the unit: "conv1 (Conv)", "node 17 (Conv)", "copy of 'w'"; clusters of several nodes get "fused Mul, Add" with their kernel. */
static int label_unit(aval__planner *p, const aval__unit *u, const char **label)
{
    aval__text *text = &p->text;
    if (u->node && u->cluster && u->cluster->n_nodes > 1) return AVAL_OK;
    if (u->node) return label_node(p, u->node, label);
    text->length = 0;
    aval__text_add(text, "copy of '%s'", aval__value_label(p->items.at[aval__unit_reads(p, u)[0]].value));
    if (text->failed) return AVAL_E_MEMORY;
    *label = aval__arena_text(&p->plan->arena, text->at);
    return *label ? AVAL_OK : AVAL_E_MEMORY;
}

static int record_copy(aval__recording *r)
{
    aval__planner *p = r->p;
    uint32_t from = aval__unit_reads(p, r->unit)[0], to = aval__unit_writes(p, r->unit)[0];
    AVAL__TRY(aval__record_own_storage(r, to));
    const aval__item *a = &p->items.at[from], *b = &p->items.at[to];
    return aval__record_copy_bytes(r, (aval__place){ b->storage, (int64_t)b->offset_bytes },
                                   (aval__place){ a->storage, (int64_t)a->offset_bytes }, a->device, a->bytes);
}

bool aval__unit_overwrites(const aval__planner *p, const aval__unit *u, uint32_t i, uint32_t end)
{
    const uint32_t *writes = aval__unit_writes(p, u);
    const aval__item *item = &p->items.at[writes[i]];
    uint32_t first = i + 1;
    if (u->head) { /* whose outputs come after the node's */
        end = u->n_writes - (uint32_t)u->head->n_outputs;
        first = i < end ? end : 0;
    }
    for (uint32_t k = first; (u->tail || u->head) && k < end; k++) {
        const aval__item *other = writes[k] == AVAL__NONE ? NULL : &p->items.at[writes[k]];
        if (other && other->storage == item->storage && other->offset_bytes == item->offset_bytes) return true;
    }
    return false;
}

/* Outputs `first` to `end` - 1 of the unit are complete after the last step. */
static int list_written(aval__planner *p, const aval__unit *u, uint32_t first, uint32_t end)
{
    aval__step *step = &p->steps.at[p->steps.count - 1];
    step->first_value = (uint32_t)p->written.count;
    for (uint32_t i = first; i < end; i++) {
        uint32_t index = aval__unit_writes(p, u)[i];
        if (index == AVAL__NONE || p->items.at[index].storage == AVAL__NONE || aval__unit_overwrites(p, u, i, end)) continue;
        const aval__item *item = &p->items.at[index];
        aval__located located = { .value = item->value->id,
                                  .device = item->device,
                                  .place = { item->storage, (int64_t)item->offset_bytes } };
        AVAL__TRY(aval__keep_tensor(p, &item->value->tensor, &located.tensor));
        AVAL__TRY(aval__vec_push(&p->written, located));
        step->n_values++;
    }
    return AVAL_OK;
}

static uint64_t scratch_bytes(const aval__planner *p, size_t first_storage)
{
    uint64_t bytes = 0;
    for (size_t i = first_storage; i < p->storages.count; i++)
        if (!p->storages.at[i].value) bytes += 2 * p->storages.at[i].bytes;
    return bytes;
}

/* Bytes that a unit with steps moves; `first_storage` is the first of its own. */
static uint64_t moved_bytes(const aval__recording *r, size_t first_storage)
{
    const aval__planner *p = r->p;
    const aval__unit *u = r->unit;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < u->n_reads + u->n_writes; i++) {
        uint32_t item = aval__unit_reads(p, u)[i]; /* writes follow */
        if (item != AVAL__NONE && p->items.at[item].storage != AVAL__NONE) bytes += p->items.at[item].bytes;
    }
    if (u->head) { /* its result is read once more where a launch of its own wrote it, and goes to no memory where an output replaces it */
        const aval__item *headed = &p->items.at[aval__planner_item(p, u->head->headed, u->device)];
        bool replaced = r->rows && !headed->kept && headed->n_readers == 0;
        bytes += headed->storage == AVAL__NONE || r->rows ? 0 : headed->bytes;
        return bytes - (replaced ? headed->bytes : 0) + scratch_bytes(p, first_storage);
    }
    if (!u->tail) return bytes + scratch_bytes(p, first_storage);
    /* Between a product and a cluster of its own what it gives is read once more; to a tail it does not come from memory, nor go there alone. */
    const aval__item *product = &p->items.at[aval__planner_item(p, u->tail->product, u->device)];
    if (!r->tail_is_done) bytes += product->bytes;
    else if (!product->kept && product->n_readers == 0) bytes -= product->bytes;
    return bytes + scratch_bytes(p, first_storage);
}

int aval__record_apart(aval__recording *r, const aval__cluster *cluster)
{
    const aval__unit alone = { .node = cluster->nodes[0], .cluster = cluster };
    const char *label = r->label;
    size_t n_steps = r->p->steps.count;
    r->cluster = cluster;
    AVAL__TRY(label_unit(r->p, &alone, &r->label));
    AVAL__TRY(aval__record_cluster(r));
    r->label = label;
    if (cluster != r->unit->head || r->p->steps.count == n_steps) return AVAL_OK;
    return list_written(r->p, r->unit, r->unit->n_writes - (uint32_t)cluster->n_outputs, r->unit->n_writes);
}

/* Which work-groups the unit's node takes.  Products are other recorders' launches: they see the device as it is. */
static int choose_groups(aval__recording *r)
{
    aval__planner *p = r->p;
    const aval__plan_hooks *hooks = p->request->hooks;
    r->info = p->request->devices[r->device];
    if (!r->unit->node || r->unit->cluster || !hooks->groups) return AVAL_OK;
    AVAL__TRY(hooks->groups(hooks->user, r->device, r->unit->node, &r->groups));
    if (r->groups.tree == 0 || r->groups.tree == r->info->group) return AVAL_OK;
    aval_device_info *seen = aval__arena_copy(&p->unit_scratch, r->info, sizeof *seen);
    if (!seen) return AVAL_E_MEMORY;
    seen->group = r->groups.tree;
    r->info = seen;
    return AVAL_OK;
}

static bool is_learning(const aval__planner *p)
{
    return p->recomputation && p->recomputation->budget == 0;
}

static int record_unit(aval__planner *p, uint32_t unit)
{
    aval__unit *u = &p->units.at[unit];
    aval__recording r = { .p = p, .unit = u, .position = u->position, .device = u->device };
    size_t n_steps = p->steps.count, n_storages = p->storages.count, n_products = p->products.count, listed = n_steps;
    uint32_t first_output = 0;
    aval__arena_clear(&p->unit_scratch);
    for (uint32_t i = 0; u->again && i < u->n_writes; i++)
        if (aval__unit_writes(p, u)[i] != AVAL__NONE) aval__planner_replace_item(p, aval__unit_writes(p, u)[i]);
    AVAL__TRY(label_unit(p, u, &r.label));
    AVAL__TRY(choose_groups(&r));
    aval__planner_begin_once(p, u);
    for (uint32_t i = 0; i < u->n_reads; i++) {
        uint32_t item = aval__unit_reads(p, u)[i];
        if (item != AVAL__NONE && p->items.at[item].producer == AVAL__NONE) AVAL__TRY(aval__planner_fixed_slot(p, item));
    }
    r.cluster = u->cluster;
    int status = !u->node ? record_copy(&r) : u->cluster ? aval__record_cluster(&r) : aval__record_node(&r);
    if (status == AVAL_E_UNSUPPORTED && u->node && !u->cluster) aval__planner_refuse(p, u->node, u->device); /* the next attempt knows it */
    if (status == AVAL_OK && u->tail && !r.tail_is_done) {
        first_output = u->node->n_outputs;
        if (p->steps.count > n_steps) AVAL__TRY(list_written(p, u, 0, first_output));
        listed = p->steps.count;
        status = aval__record_apart(&r, u->tail);
    }
    if (status < 0) return status;
    aval__record_nest(&r, n_steps);
    aval__planner_end_once(p, u, n_steps);
    AVAL__TRY(aval__planner_prove(p, u, &r.groups, n_steps));
    bool silent = p->steps.count == n_steps;
    uint64_t moved = silent ? 0 : moved_bytes(&r, n_storages);
    if (is_learning(p)) aval__planner_learn(p, unit, n_steps, n_storages, n_products, moved);
    if (silent) return AVAL_OK;
    p->plan->statistics.moved_bytes += moved;
    if (p->steps.count == listed) return AVAL_OK;
    return list_written(p, u, first_output, u->n_writes - (u->head && r.head == NULL ? (uint32_t)u->head->n_outputs : 0));
}

int aval__planner_record(aval__planner *p)
{
    /* One step a unit or two, where a product packs its operands: growing from nothing would copy all of it several times, and room that is
       not used is never touched. */
    AVAL__TRY(aval__vec_reserve(&p->steps, 2 * p->order.count));
    AVAL__TRY(aval__vec_reserve(&p->written, p->items.count));
    AVAL__TRY(aval__vec_reserve(&p->storages, p->items.count));
    if (is_learning(p)) AVAL__TRY(aval__planner_prepare_learning(p));
    for (size_t i = 0; i < p->order.count; i++) AVAL__TRY(record_unit(p, p->order.at[i]));
    for (uint32_t i = 0; i < p->items.count; i++)
        if (p->items.at[i].kept && p->items.at[i].producer == AVAL__NONE) AVAL__TRY(aval__planner_fixed_slot(p, i));
    return AVAL_OK;
}
