/* Asks whether a device may be trusted with a unit: once a plan for each generated kernel and for each operator's kernels in an element
 * type; a node and its tail or head are tried one by one.  The answer "no" is a refusal, as if the device could not run the unit at all. */
#include "plan/planner.h"

static int type_of(const aval_node *node)
{
    for (size_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i]) return node->inputs[i]->tensor.type;
    for (size_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i]) return node->outputs[i]->tensor.type;
    return AVAL_FLOAT;
}

/* Marks the question as asked; true: it was before. */
static bool was_asked(aval__planner *p, const aval__unit *u, const aval__cluster *c, const aval__plan_unit *asked)
{
    const uint64_t words[] = { 0x9a5ced, (uint64_t)(uintptr_t)asked->source, c ? 0 : (uint64_t)(uintptr_t)u->node->def,
                               (uint64_t)u->device << 32 | (uint64_t)asked->type, (uint64_t)asked->groups.tree << 32 | asked->groups.open };
    aval__hash key = aval__hash_bytes(words, sizeof words);
    if (aval__find_shared(p, key)) return true;
    aval__share(p, key, asked->source); /* without memory it is asked again */
    return false;
}

/* All that the unit's launch computes. */
static void refuse(aval__planner *p, const aval__unit *u, const aval__cluster *c)
{
    size_t n_members = c && c->joint ? c->joint->n_members : 1;
    if (!c) aval__planner_refuse(p, u->node, u->device);
    for (size_t m = 0; c && m < n_members; m++) {
        const aval__cluster *member = c->joint ? c->joint->members[m] : c;
        for (size_t i = 0; i < member->n_nodes; i++) aval__planner_refuse(p, member->nodes[i], u->device);
    }
}

/* `cluster` NULL: the unit's node. */
static int ask(aval__planner *p, const aval__unit *u, const aval__cluster *c, const aval__groups *groups, const aval__source *source)
{
    const aval__plan_hooks *hooks = p->request->hooks;
    aval_node *const alone[] = { (aval_node *)u->node };
    aval__plan_unit unit = { .cluster = c != NULL,
                             .nodes = c ? c->nodes : alone,
                             .n_nodes = c ? c->n_nodes : 1,
                             .type = type_of(c ? c->nodes[0] : u->node),
                             .source = source };
    if (!c) unit.groups = *groups;
    if (was_asked(p, u, c, &unit)) return AVAL_OK;
    if (c) {
        unit.inputs = c->inputs;
        unit.n_inputs = c->n_inputs;
        unit.outputs = c->outputs;
        unit.n_outputs = c->n_outputs;
    }
    double start = aval__seconds();
    int status = hooks->prove(hooks->user, u->device, &unit);
    p->proof_seconds += aval__seconds() - start;
    if (status == AVAL_E_CHECK) refuse(p, u, c);
    return status;
}

int aval__planner_prove(aval__planner *p, const aval__unit *u, const aval__groups *groups, size_t first_step)
{
    const aval__source *first = NULL, *last = NULL;
    /* guarded plans are what checks run, and what a proof itself is */
    if (!p->request->hooks->prove || !u->node || p->request->memory == AVAL_MEMORY_GUARDED) return AVAL_OK;
    for (size_t i = first_step; i < p->steps.count; i++) {
        if (p->steps.at[i].kind != AVAL__STEP_LAUNCH) continue;
        last = p->steps.at[i].source;
        if (!first) first = last;
    }
    if (!first) return AVAL_OK;
    AVAL__TRY(ask(p, u, u->cluster, groups, u->head ? last : first)); /* a head may be a launch of its own, before the node's */
    if (u->head) AVAL__TRY(ask(p, u, u->head, groups, first));
    return u->tail ? ask(p, u, u->tail, groups, last) : AVAL_OK;
}
