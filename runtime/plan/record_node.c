/* Recorders: calls an op's forward or backward function once, with tensors that know where they lie, and turns what it asks for into
 * steps.  What a recorder may not do (read what it does not keep, write its inputs, leave an output unwritten) is an error here, since a
 * device would only show wrong numbers. */
#include "plan/planner.h"

#include <string.h>

static aval__recording *recording_of(const aval_call *call)
{
    return call->user;
}

/* ---- Handles ---------------------------------------------------------------------------------------------------------------------------- */

aval__port *aval__record_port(const aval__recording *r, const aval_tensor *t)
{
    uintptr_t first = (uintptr_t)r->ports, at = (uintptr_t)t;
    if (at >= first && at < first + r->n_ports * sizeof *r->ports && (at - first) % sizeof *r->ports == 0)
        return &r->ports[(at - first) / sizeof *r->ports];
    for (aval__port *port = r->scratch; port; port = port->next)
        if (t == &port->tensor) return port;
    return NULL;
}

/* Writes what the unit's head gives to memory. */
static int write_head(aval__recording *r, aval__port *port)
{
    AVAL__TRY(aval__record_apart(r, r->unit->head));
    port->storage = r->p->items.at[port->item].storage;
    port->offset_bytes = r->p->items.at[port->item].offset_bytes;
    return AVAL_OK;
}

int aval__record_readable(aval_call *call, const aval_tensor *t, const char *what, aval__port **out)
{
    aval__port *port = *out = aval__record_port(recording_of(call), t);
    if (!port) return aval__fail(AVAL_E_PLUGIN, "%s: expected a tensor of this call, found another pointer", what);
    if (aval__record_waits(recording_of(call), port)) return write_head(recording_of(call), port);
    if (port->writable && (port->written || port->readable)) return AVAL_OK;
    if (port->writable) return aval__fail(AVAL_E_PLUGIN, "%s: %s %u is read before it is written", what, port->role, port->index);
    if (!port->readable)
        return aval__fail(AVAL_E_PLUGIN, "%s: backward reads %s %u, which the op does not keep; add it to `keeps`", what, port->role,
                          port->index);
    return AVAL_OK;
}

int aval__record_writable(aval_call *call, const aval_tensor *t, const char *what, aval__port **out)
{
    aval__recording *r = recording_of(call);
    aval__port *port = *out = aval__record_port(r, t);
    if (!port) return aval__fail(AVAL_E_PLUGIN, "%s: expected a tensor of this call, found another pointer", what);
    if (!port->writable)
        return aval__fail(AVAL_E_PLUGIN, "%s: %s %u must not be written; write outputs, gradients and scratch", what, port->role,
                          port->index);
    if (port->storage == AVAL__NONE) {
        AVAL__TRY(aval__record_own_storage(r, port->item));
        port->storage = r->p->items.at[port->item].storage;
    }
    port->written = true;
    return AVAL_OK;
}

static const aval_tensor *scratch_in(aval_call *call, int type, int64_t count, uint32_t *storage)
{
    aval__recording *r = recording_of(call);
    aval__planner *p = r->p;
    bool there = *storage != AVAL__NONE;
    aval__port *port = aval__arena_alloc(&p->unit_scratch, sizeof *port);
    if (!port) return NULL;
    *port = (aval__port){ .role = "scratch", .item = AVAL__NONE, .writable = !there, .readable = there, .next = r->scratch };
    if (aval__tensor_set(&port->tensor, type, 1, &count) < 0) return NULL;
    if (!there && aval__planner_add_storage(p, r->device, aval__tensor_bytes(&port->tensor), NULL, r->position, storage) < 0) return NULL;
    if (p->storages.at[*storage].last < r->position) p->storages.at[*storage].last = r->position;
    port->storage = *storage;
    r->scratch = port;
    return &port->tensor;
}

const aval_tensor *aval__record_scratch(aval_call *call, int type, int64_t count)
{
    uint32_t storage = AVAL__NONE;
    return scratch_in(call, type, count, &storage);
}

const aval_tensor *aval__record_scratch_in(aval_call *call, int64_t bytes, uint32_t *storage)
{
    return scratch_in(call, AVAL_UINT8, bytes, storage);
}

/* ---- Host functions of these phases ----------------------------------------------------------------------------------------------------- */

static const void *record_content(const aval_call *call, size_t i)
{
    aval__recording *r = recording_of(call);
    const aval_node *node = r->unit->node;
    bool readable;
    const aval_value *value = NULL;
    if (call->phase == AVAL_PHASE_BACKWARD) value = aval__backward_input(node, i, &readable);
    else if (i < node->n_inputs) value = node->inputs[i];
    return value ? value->data : NULL;
}

static const aval_device_info *record_device(const aval_call *call)
{
    return recording_of(call)->info;
}

static const aval_tensor *record_upstream(const aval_call *call, size_t i)
{
    aval__recording *r = recording_of(call);
    return r->upstreams && i < r->n_outputs ? r->upstreams[i] : NULL;
}

static const aval_tensor *record_gradient(const aval_call *call, size_t i)
{
    aval__recording *r = recording_of(call);
    return r->gradients && i < r->n_inputs ? r->gradients[i] : NULL;
}

static int record_accumulate(const aval_call *call, size_t i)
{
    aval__recording *r = recording_of(call);
    return r->accumulates && i < r->n_inputs && r->accumulates[i];
}

static int check_range(const char *what, const aval_tensor *t, int64_t offset, int64_t count)
{
    int64_t there = aval__tensor_count(t);
    if (offset >= 0 && count >= 0 && offset <= there && count <= there - offset) return AVAL_OK;
    return aval__fail(AVAL_E_PLUGIN, "%s: elements %lld to %lld were asked for, but the tensor has %lld", what, (long long)offset,
                      (long long)(offset + count), (long long)there);
}

static int check_same_type(const char *what, const aval_tensor *a, const aval_tensor *b)
{
    if (a->type == b->type) return AVAL_OK;
    return aval__fail(AVAL_E_PLUGIN, "%s: expected two tensors of one element type, found %s and %s", what, aval_type_name(a->type),
                      aval_type_name(b->type));
}

static int record_copy(aval_call *call, const aval_tensor *to, int64_t to_offset, const aval_tensor *from, int64_t from_offset,
                       int64_t count)
{
    aval__port *target, *source;
    AVAL__TRY(aval__record_readable(call, from, "copy", &source));
    AVAL__TRY(aval__record_writable(call, to, "copy", &target));
    AVAL__TRY(check_same_type("copy", to, from));
    AVAL__TRY(check_range("copy", to, to_offset, count));
    AVAL__TRY(check_range("copy", from, from_offset, count));
    int64_t bytes = (int64_t)aval_type_bytes(to->type);
    aval__recording *r = recording_of(call);
    return aval__record_copy_bytes(r, (aval__place){ target->storage, (int64_t)target->offset_bytes + to_offset * bytes },
                                   (aval__place){ source->storage, (int64_t)source->offset_bytes + from_offset * bytes }, r->device,
                                   (uint64_t)(count * bytes));
}

static int record_fill(aval_call *call, const aval_tensor *t, double value)
{
    aval__port *port;
    AVAL__TRY(aval__record_writable(call, t, "fill", &port));
    return aval__record_fill_range(recording_of(call), port, 0, aval__tensor_count(t), value);
}

/* An output that is a part of what is read: it lies there.  Where it cannot (it has a place of its own already, or a state's new content
   is written there while it is still needed) it is copied. */
static int record_alias(aval_call *call, const aval_tensor *t, const aval_tensor *of, int64_t offset)
{
    aval__recording *r = recording_of(call);
    aval__planner *p = r->p;
    aval__port *port = aval__record_port(r, t), *source;
    AVAL__TRY(aval__record_readable(call, of, "alias", &source));
    if (!port || !port->writable || port->item == AVAL__NONE || port->written)
        return aval__fail(AVAL_E_PLUGIN, "alias: expected an output or gradient that nothing was written to yet");
    AVAL__TRY(check_same_type("alias", t, of));
    AVAL__TRY(check_range("alias", of, offset, aval__tensor_count(t)));

    aval__item *item = &p->items.at[port->item];
    uint32_t overwritten = source->item == AVAL__NONE ? AVAL__AFTER : p->items.at[source->item].overwritten;
    bool clash = overwritten != AVAL__AFTER && item->last_use >= overwritten;
    if (port->storage != AVAL__NONE || source->writable || clash) return record_copy(call, t, 0, of, offset, aval__tensor_count(t));
    port->storage = source->storage;
    port->offset_bytes = source->offset_bytes + (uint64_t)offset * aval_type_bytes(of->type);
    port->written = true;
    item->overwritten = overwritten;
    aval__record_locate(r, port->item, port->storage, port->offset_bytes);
    return AVAL_OK;
}

static const aval__call_table record_table = { .content = record_content,
                                               .device = record_device,
                                               .upstream = record_upstream,
                                               .gradient = record_gradient,
                                               .accumulate = record_accumulate,
                                               .scratch = aval__record_scratch,
                                               .launch = aval__record_launch,
                                               .gemm = aval__record_gemm,
                                               .copy = record_copy,
                                               .fill = record_fill,
                                               .alias = record_alias,
                                               .alias_strided = aval__record_alias_strided,
                                               .strides = aval__record_strides,
                                               .take_head = aval__record_take_head,
                                               .take_rows = aval__record_take_rows };

/* ---- Ports ---------------------------------------------------------------------------------------------------------------------------------- */

/* Fills a port for a value; its place is known when its item lies somewhere. */
static void set_port(aval__recording *r, aval__port *port, const aval_value *value, const char *role, size_t index, bool in_memory)
{
    *port = (aval__port){ .tensor = value->tensor, .role = role, .index = (uint32_t)index, .item = AVAL__NONE, .storage = AVAL__NONE };
    if (in_memory) port->item = aval__planner_item(r->p, value, r->device);
    if (port->item == AVAL__NONE) return;
    port->storage = r->p->items.at[port->item].storage;
    port->offset_bytes = r->p->items.at[port->item].offset_bytes;
}

/* Puts an output over a content that is there before (a state's old one, a partial sum): in the same place where that may be, else in
   its own with a copy of that content. */
static int start_from(aval__recording *r, aval__port *port, uint32_t origin, bool may_share)
{
    const aval__planner *p = r->p;
    aval__item *item = &p->items.at[port->item];
    const aval__item *old = &p->items.at[origin];
    if (item->storage == AVAL__NONE && may_share && p->storages.at[old->storage].slot == AVAL__NONE &&
        p->storages.at[old->storage].last <= r->position)
        aval__record_locate(r, port->item, old->storage, old->offset_bytes);
    if (item->storage == AVAL__NONE) AVAL__TRY(aval__record_own_storage(r, port->item));
    port->storage = item->storage;
    port->offset_bytes = item->offset_bytes;
    port->readable = true;
    return aval__record_copy_bytes(r, (aval__place){ item->storage, (int64_t)item->offset_bytes },
                                   (aval__place){ old->storage, (int64_t)old->offset_bytes }, r->device,
                                   aval__tensor_bytes(&item->value->tensor));
}

/* An output that updates an input has the input's address. */
static int set_updating_output(aval__recording *r, aval__port *port, uint32_t input)
{
    aval__planner *p = r->p;
    aval__port *old = &r->ports[input];
    if (p->items.at[port->item].in_state) {
        uint32_t state = aval__planner_item(p, p->g->values.at[p->root_state[p->items.at[port->item].value->id]], r->device);
        AVAL__TRY(aval__planner_fixed_slot(p, state));
        aval__record_locate(r, port->item, p->items.at[state].storage, 0);
    }
    AVAL__TRY(start_from(r, port, old->item, false));
    old->storage = port->storage;
    old->offset_bytes = port->offset_bytes;
    port->readable = false; /* through the input only, until it is written */
    return AVAL_OK;
}

static bool left_out(const aval__recording *r, const aval_node *node, size_t i)
{
    const aval_value *value = node->outputs[i];
    return !value || (!r->p->used[value->id] && !r->p->kept[value->id] && i < node->def->n_outputs &&
                      node->def->op->outputs[i].flags & AVAL_OPTIONAL);
}

static int set_forward_ports(aval__recording *r, const aval_node *node)
{
    for (size_t i = 0; i < r->n_inputs; i++) {
        if (!node->inputs[i]) continue;
        set_port(r, &r->ports[i], node->inputs[i], "input", i, true);
        r->ports[i].readable = true;
        r->inputs[i] = &r->ports[i].tensor;
    }
    for (size_t i = 0; i < r->n_outputs; i++) {
        aval__port *port = &r->ports[r->n_inputs + i];
        if (left_out(r, node, i)) continue;
        set_port(r, port, node->outputs[i], "output", i, true);
        port->writable = true;
        r->outputs[i] = &port->tensor;
        uint32_t updated = aval__updated_input(node, (uint32_t)i);
        if (updated != AVAL__NONE) AVAL__TRY(set_updating_output(r, port, updated));
    }
    return AVAL_OK;
}

static int set_backward_ports(aval__recording *r, const aval_node *node)
{
    aval__port *port = r->ports;
    for (size_t i = 0; i < r->n_inputs + r->n_outputs; i++, port++) {
        bool output = i >= r->n_inputs, readable;
        size_t index = output ? i - r->n_inputs : i;
        const aval_value *value = output ? aval__backward_output(node, index, &readable) : aval__backward_input(node, index, &readable);
        if (!value) continue;
        set_port(r, port, value, output ? "output" : "input", index, readable);
        port->readable = readable;
        *(output ? &r->outputs[index] : &r->inputs[index]) = &port->tensor;
    }
    for (size_t i = 0; i < r->n_outputs; i++, port++) {
        const aval_value *value = aval__backward_upstream(node, i);
        if (!value) continue;
        set_port(r, port, value, "upstream gradient", i, true);
        port->readable = true;
        r->upstreams[i] = &port->tensor;
    }
    for (size_t i = 0; i < r->n_inputs; i++, port++) {
        const aval_value *value = i < node->n_outputs ? node->outputs[i] : NULL;
        if (!value) continue;
        const aval_value *base = aval__node_base(node, i);
        set_port(r, port, value, "gradient", i, true);
        port->writable = true;
        r->gradients[i] = &port->tensor;
        r->accumulates[i] = base != NULL;
        if (base) AVAL__TRY(start_from(r, port, aval__planner_item(r->p, base, r->device), true));
    }
    return AVAL_OK;
}

static int check_written(const aval__recording *r)
{
    for (size_t i = 0; i < r->n_ports; i++) {
        const aval__port *port = &r->ports[i];
        if (!port->writable || port->written) continue;
        if (aval__tensor_count(&port->tensor) > 0)
            return aval__fail(AVAL_E_PLUGIN, "%s: %s %u was not written: expected a launch, copy, fill or alias that gives its content",
                              r->label, port->role, port->index);
    }
    return AVAL_OK;
}

/* Outputs without elements that no launch named have a place too. */
static int place_empty_outputs(aval__recording *r)
{
    for (size_t i = 0; i < r->n_ports; i++)
        if (r->ports[i].writable && r->p->items.at[r->ports[i].item].storage == AVAL__NONE)
            AVAL__TRY(aval__record_own_storage(r, r->ports[i].item));
    return AVAL_OK;
}

int aval__record_node(aval__recording *r)
{
    const aval_node *node = r->unit->node;
    bool backward = node->def->kind == AVAL__BACKWARD;
    const aval__opdef *def = backward ? node->def->forward_of : node->def;
    const aval_node *forward = backward ? node->forward : node;
    if (!backward && def->kind != AVAL__KERNELS)
        return aval__fail(AVAL_E_INTERNAL, "%s: expected an op with a forward recorder, found another kind: please report this", r->label);

    r->n_inputs = forward->n_inputs;
    r->n_outputs = forward->n_outputs;
    r->n_ports = (r->n_inputs + r->n_outputs) * (backward ? 2 : 1);
    r->source = def->source;
    aval__arena *arena = &r->p->unit_scratch;
    r->ports = aval__arena_alloc(arena, sizeof *r->ports * r->n_ports);
    const aval_tensor **handles = aval__arena_alloc(arena, sizeof *handles * (r->n_inputs + r->n_outputs) * 2);
    r->accumulates = aval__arena_alloc(arena, sizeof *r->accumulates * r->n_inputs);
    if (!r->ports || !handles || !r->accumulates) return AVAL_E_MEMORY;
    r->inputs = handles;
    r->outputs = r->inputs + r->n_inputs;
    r->upstreams = r->outputs + r->n_outputs;
    r->gradients = r->upstreams + r->n_outputs;
    AVAL__TRY(backward ? set_backward_ports(r, node) : set_forward_ports(r, node));

    aval_call call = { .phase = backward ? AVAL_PHASE_BACKWARD : AVAL_PHASE_FORWARD,
                       .def = def,
                       .attrs = &forward->attrs,
                       .node = node->name ? node->name : forward->name,
                       .inputs = r->inputs,
                       .outputs = r->outputs,
                       .n_inputs = r->n_inputs,
                       .n_outputs = r->n_outputs,
                       .table = &record_table,
                       .user = r };
    AVAL__TRY(aval__call_run(&call, backward ? def->op->backward : def->op->forward));
    AVAL__TRY(check_written(r));
    AVAL__TRY(aval__record_check_head(r));
    return place_empty_outputs(r);
}
