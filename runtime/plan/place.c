/* Which device runs each node: the one the user named, else the first that can run it; a backward node follows its forward node where that
 * device can.  Whether one can shows here (element types), or when the node's launches are recorded (local memory, work-groups, products):
 * then that is noted as a refusal and the plan is made again. */
#include "plan/planner.h"

#include <string.h>

/* What a device must be able to do for values of an element type.  Types without a row need nothing special. */
typedef struct ability {
    int type;
    size_t member; /* of aval_device_info, a uint32_t */
    const char *lack;
} ability;

static const ability abilities[] = {
    { AVAL_DOUBLE, offsetof(aval_device_info, fp64), "it cannot compute in double" },
};

static const char *lack_for_type(const aval_device_info *info, int type)
{
    if (aval_type_bytes(type) == 0) return "elements of this type are not supported on any device";
    for (size_t i = 0; i < sizeof abilities / sizeof abilities[0]; i++) {
        uint32_t able;
        memcpy(&able, (const char *)info + abilities[i].member, sizeof able);
        if (abilities[i].type == type && !able) return abilities[i].lack;
    }
    return NULL;
}

static const char *find_refusal(const aval__planner *p, uint32_t device, const aval_node *node)
{
    for (size_t i = 0; i < p->refusals->count; i++) {
        const aval__refusal *r = &p->refusals->at[i];
        if (r->device == device && r->node == node->id) return r->why;
    }
    return NULL;
}

/* Why the device cannot run the node, NULL when it can.  *culprit is the value in question, NULL: none. */
static const char *lack_for_node(const aval__planner *p, uint32_t device, const aval_node *node, const aval_value **culprit)
{
    const aval_device_info *info = p->request->devices[device];
    for (int side = 0; side < 2; side++) {
        aval_value *const *values = side ? node->outputs : node->inputs;
        uint32_t n = side ? node->n_outputs : node->n_inputs;
        for (uint32_t i = 0; i < n; i++) {
            const char *lack = values[i] ? lack_for_type(info, values[i]->tensor.type) : NULL;
            if (lack) {
                *culprit = values[i];
                return lack;
            }
        }
    }
    *culprit = NULL;
    return find_refusal(p, device, node);
}

void aval__planner_refuse(aval__planner *p, const aval_node *node, uint32_t device)
{
    const aval_node *leader = node->forward ? node->forward : node;
    if (node->device >= 0 || leader->device >= 0 || p->request->n_devices < 2 || find_refusal(p, device, node)) return;
    const char *why = aval__arena_text(p->refusal_texts, aval_error());
    if (why) aval__vec_push(p->refusals, (aval__refusal){ node->id, device, why }); /* without memory the first message stays */
}

static void add_reason(const aval__planner *p, uint32_t device, const aval_node *node, aval__text *text)
{
    const aval_value *culprit = NULL;
    const char *lack = lack_for_node(p, device, node, &culprit);
    if (!lack) return;
    aval__text_add(text, "%sdevice %u '%s': %s", text->length ? "; " : "", aval__device_number(p->request->device_numbers, device),
                   p->request->devices[device]->name, lack);
    if (!culprit) return;
    aval__text_add(text, " (value '%s' is ", aval__value_label(culprit));
    aval__tensor_print(text, &culprit->tensor);
    aval__text_add(text, ")");
}

/* The error of a node that no device (device AVAL__NONE: any) can run. */
static int fail_unplaced(aval__planner *p, const aval_node *node, uint32_t device)
{
    aval__text reasons = { 0 }, label = { 0 };
    for (uint32_t d = 0; d < p->request->n_devices; d++)
        if (device == AVAL__NONE || d == device) add_reason(p, d, node, &reasons);
    aval__node_label(&label, node);
    int status = aval__fail(AVAL_E_UNSUPPORTED, "%s: expected %s that can run it, but %s; select another device or change the element type",
                            label.at ? label.at : "a node", device == AVAL__NONE ? "a selected device" : "the device it was placed on",
                            reasons.at ? reasons.at : "none can");
    aval__text_release(&reasons);
    aval__text_release(&label);
    return status;
}

static int add_note(aval__planner *p, const aval_node *node, uint32_t device)
{
    int status = AVAL_OK;
    aval__text note = { 0 }, reasons = { 0 };
    for (uint32_t d = 0; d < device; d++) add_reason(p, d, node, &reasons);
    aval__node_label(&note, node);
    aval__text_add(&note, " runs on device %u '%s': %s", aval__device_number(p->request->device_numbers, device),
                   p->request->devices[device]->name, reasons.at ? reasons.at : "");
    const char *kept = note.failed || reasons.failed ? NULL : aval__arena_text(&p->plan->arena, note.at);
    if (!kept) status = AVAL_E_MEMORY;
    else status = aval__vec_push(&p->notes, kept);
    aval__text_release(&note);
    aval__text_release(&reasons);
    return status;
}

/* The device of the forward node, of which a backward one follows; AVAL__NONE: there is none. */
static uint32_t device_to_follow(const aval__planner *p, const aval_node *node)
{
    const aval_node *forward = node->forward;
    if (!forward) return AVAL__NONE;
    if (p->device_of[forward->id] != AVAL__NONE) return p->device_of[forward->id];
    return forward->device >= 0 && (uint32_t)forward->device < p->request->n_devices ? (uint32_t)forward->device : AVAL__NONE;
}

static int place_node(aval__planner *p, const aval_node *node, uint32_t *device)
{
    const aval_value *culprit;
    uint32_t n_devices = (uint32_t)p->request->n_devices, followed = device_to_follow(p, node);
    if (node->device >= 0) {
        if ((uint32_t)node->device >= n_devices) {
            aval__text label = { 0 };
            aval__node_label(&label, node);
            int status = aval__fail(AVAL_E_ARGUMENT, "%s is placed on the selected device %d, counted from 0, but only %u %s selected",
                                    label.at ? label.at : "a node", node->device, n_devices, n_devices == 1 ? "is" : "are");
            aval__text_release(&label);
            return status;
        }
        *device = (uint32_t)node->device;
    } else if (followed != AVAL__NONE && (node->forward->device >= 0 || !lack_for_node(p, followed, node, &culprit))) *device = followed;
    else {
        for (uint32_t d = 0; d < n_devices; d++) {
            if (lack_for_node(p, d, node, &culprit)) continue;
            *device = d;
            return d > 0 ? add_note(p, node, d) : AVAL_OK;
        }
        return fail_unplaced(p, node, AVAL__NONE);
    }
    return lack_for_node(p, *device, node, &culprit) ? fail_unplaced(p, node, *device) : AVAL_OK;
}

uint32_t aval__updated_input(const aval_node *node, uint32_t port)
{
    if (!node->def->updates || port >= node->def->n_outputs) return AVAL__NONE;
    uint32_t updates = node->def->op->outputs[port].updates;
    return updates && updates <= node->n_inputs && node->inputs[updates - 1] ? updates - 1 : AVAL__NONE;
}

static int fail_state(int code, const aval_node *node, const char *state, const char *what)
{
    aval__text label = { 0 };
    aval__node_label(&label, node);
    int status = aval__fail(code, "%s updates state '%s' %s", label.at ? label.at : "a node", state, what);
    aval__text_release(&label);
    return status;
}

/* The state that an output of the node brings up to date lives where the node runs. */
static int place_states(aval__planner *p, const aval_node *node, uint32_t device)
{
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        uint32_t input = node->outputs[i] ? aval__updated_input(node, i) : AVAL__NONE;
        if (input == AVAL__NONE || !p->used[node->outputs[i]->id]) continue; /* a content that nobody asked for is not stored */
        const aval_value *old = node->inputs[input];
        uint32_t state = p->root_state[old->id];
        if (state == AVAL__NONE) continue;
        const char *name = aval__value_label(p->g->values.at[state]);
        if (p->updated[old->id])
            return fail_state(AVAL_E_GRAPH, node, name, "a second time from the same content; let it update what the first update made");
        if (p->home[state] != AVAL__NONE && p->home[state] != device)
            return fail_state(AVAL_E_UNSUPPORTED, node, name, "on another device than an earlier update; place both nodes on one device");
        p->home[state] = device;
        p->updated[old->id] = true;
        p->root_state[node->outputs[i]->id] = state;
        p->needed[node->outputs[i]->id] = true;
    }
    return AVAL_OK;
}

int aval__planner_place(aval__planner *p)
{
    size_t n_values = p->g->values.count;
    memset(p->device_of, 0xff, sizeof *p->device_of * p->g->nodes.count);
    memset(p->home, 0xff, sizeof *p->home * n_values);
    for (size_t i = 0; i < n_values; i++) {
        const aval_value *v = p->g->values.at[i];
        p->root_state[i] = v->kind == AVAL__STATE ? (uint32_t)i : AVAL__NONE;
    }
    for (size_t i = 0; i < p->request->n_wanted; i++) p->used[p->wanted[i]->id] = true;
    for (size_t i = p->n_nodes; i-- > 0;) { /* all readers of what a node makes come before it */
        aval__node_need_updates(p->nodes[i], p->used);
        for (uint32_t j = 0; j < p->nodes[i]->n_inputs; j++)
            if (p->nodes[i]->inputs[j]) p->used[p->nodes[i]->inputs[j]->id] = true;
    }
    for (size_t i = 0; i < p->n_nodes; i++) {
        const aval_node *node = p->nodes[i];
        uint32_t device = 0;
        AVAL__TRY(place_node(p, node, &device));
        p->device_of[node->id] = device;
        for (uint32_t j = 0; j < node->n_outputs; j++)
            if (node->outputs[j]) p->home[node->outputs[j]->id] = device;
        AVAL__TRY(place_states(p, node, device));
    }
    /* What nobody makes lies with its first reader; what only is wanted, on the first device. */
    for (size_t i = 0; i < p->n_nodes; i++) {
        const aval_node *node = p->nodes[i];
        for (uint32_t j = 0; j < node->n_inputs; j++) {
            const aval_value *v = node->inputs[j];
            if (v && p->home[v->id] == AVAL__NONE) p->home[v->id] = p->device_of[node->id];
        }
    }
    for (size_t i = 0; i < p->request->n_wanted; i++)
        if (p->home[p->wanted[i]->id] == AVAL__NONE) p->home[p->wanted[i]->id] = 0;
    return AVAL_OK;
}
