/* The launch of a cluster of expressions, and where its outputs lie: in their state, over an input that dies here, or in memory of their
 * own. */
#include "plan/planner.h"

#include <string.h>

static aval__item *item_of(const aval__recording *r, const aval_value *value)
{
    return &r->p->items.at[aval__planner_item(r->p, value, r->device)];
}

/* The clusters that are computed by one launch. */
static size_t count_members(const aval__cluster *c)
{
    return c->joint ? c->joint->n_members : 1;
}

static const aval__cluster *member(const aval__cluster *c, size_t i)
{
    return c->joint ? c->joint->members[i] : c;
}

/* Whether another member of the joint reads from the storage: by other work-items than its own, or other elements. */
static bool others_read(const aval__recording *r, const aval__cluster *own, uint32_t storage)
{
    for (size_t m = 0; m < count_members(own); m++) {
        const aval__cluster *c = member(own, m);
        for (size_t i = 0; c != own && i < c->n_inputs; i++)
            if (item_of(r, c->inputs[i])->storage == storage) return true;
    }
    return false;
}

/* Whether output `out` may be written over input `in` of the cluster: the input is read here for the last time, element i of both is
   the same work-item's, and no other input has elements of the same storage in another place. */
static bool may_overwrite(const aval__recording *r, const aval__item *out, const aval__item *in)
{
    const aval__planner *p = r->p;
    const aval__storage *storage = &p->storages.at[in->storage];
    const aval_tensor *a = &in->value->tensor, *b = &out->value->tensor;
    if (storage->slot != AVAL__NONE || storage->last > r->position) return false;
    if (a->type != b->type || aval__tensor_count(a) != aval__tensor_count(b)) return false;
    if (storage->bytes != aval__align(aval__tensor_bytes(b), aval__planner_alignment(p, r->device))) return false;
    for (size_t i = 0; i < r->cluster->n_inputs; i++) {
        const aval__item *other = item_of(r, r->cluster->inputs[i]);
        if (other != in && other->storage == in->storage &&
            (other->offset_bytes != in->offset_bytes || aval__tensor_count(&other->value->tensor) != aval__tensor_count(a)))
            return false;
    }
    for (size_t i = 0; i < r->cluster->n_outputs; i++)
        if (item_of(r, r->cluster->outputs[i])->storage == in->storage) return false; /* taken by another output */
    if (others_read(r, r->cluster, in->storage)) return false;
    const aval_node *node = r->tail || r->unit->head ? r->unit->node : NULL;
    for (uint32_t i = 0; node && i < node->n_inputs; i++)
        if (node->inputs[i] && item_of(r, node->inputs[i])->storage == in->storage)
            return false; /* other work-items, or later ones, read it */
    return true;
}

static int place_output(aval__recording *r, uint32_t index)
{
    aval__planner *p = r->p;
    const aval__item *out = &p->items.at[index];
    if (out->in_state) {
        uint32_t state = aval__planner_item(p, p->g->values.at[p->root_state[out->value->id]], r->device);
        AVAL__TRY(aval__planner_fixed_slot(p, state));
        aval__record_locate(r, index, p->items.at[state].storage, 0);
        return AVAL_OK;
    }
    for (size_t i = 0; p->request->memory == AVAL_MEMORY_ARENA && i < r->cluster->n_inputs; i++) {
        const aval__item *in = item_of(r, r->cluster->inputs[i]);
        if (!may_overwrite(r, out, in)) continue;
        aval__record_locate(r, index, in->storage, in->offset_bytes);
        return AVAL_OK;
    }
    return aval__record_own_storage(r, index);
}

int aval__record_fused_arg(aval__recording *r, const aval__fused_arg *arg)
{
    aval__planner *p = r->p;
    float single = (float)arg->real;
    if (arg->kind == AVAL__FUSED_LONG) return aval__record_value_arg(p, AVAL_ARG_LONG, &arg->integer, sizeof arg->integer);
    if (arg->kind == AVAL__FUSED_REAL)
        return arg->type == AVAL_DOUBLE ? aval__record_value_arg(p, AVAL_ARG_REAL, &arg->real, sizeof arg->real)
                                        : aval__record_value_arg(p, AVAL_ARG_REAL, &single, sizeof single);
    bool written = arg->kind == AVAL__FUSED_OUTPUT;
    const aval__cluster *c = member(r->cluster, arg->member);
    const aval__item *item = item_of(r, written ? c->outputs[arg->index] : c->inputs[arg->index]);
    return aval__record_tensor_arg(p, item->storage, item->offset_bytes, item->value->tensor.type, written);
}

int aval__record_place_outputs(aval__recording *r, const aval_value *computed)
{
    for (size_t i = 0; i < r->cluster->n_outputs; i++) {
        uint32_t index = aval__planner_item(r->p, r->cluster->outputs[i], r->device);
        if (r->cluster->outputs[i] == computed || r->p->items.at[index].storage != AVAL__NONE)
            continue; /* in an output, see record_graft.c */
        AVAL__TRY(place_output(r, index));
    }
    return AVAL_OK;
}

/* A generated kernel and what all of its launches have in common. */
typedef struct shared_kernel {
    const aval__source *source;
    const char *label; /* of clusters of several nodes, and of joints: they have the same ops */
    aval__fused_kernel kernel; /* text and options are in `source` */
} shared_kernel;

static int label_cluster(aval__planner *p, const aval__cluster *c, const char **label)
{
    aval__text *text = &p->text;
    text->length = 0;
    if (c->joint) aval__text_add(text, "%zu times ", c->joint->n_members);
    if (c->n_nodes > 1) aval__text_put(text, "fused ", 6);
    for (size_t i = 0; i < c->n_nodes; i++) {
        const char *name = c->nodes[i]->def->name;
        aval__text_put(text, ", ", i > 0 ? 2 : 0);
        aval__text_put(text, name, strlen(name));
    }
    if (text->failed) return AVAL_E_MEMORY;
    *label = aval__arena_text(&p->plan->arena, text->at);
    return *label ? AVAL_OK : AVAL_E_MEMORY;
}

static int make_kernel(aval__recording *r, aval__hash key, const shared_kernel **out)
{
    aval__planner *p = r->p;
    const aval__cluster *c = r->cluster;
    shared_kernel *made = aval__arena_alloc(&p->scratch, sizeof *made);
    if (!made) return AVAL_E_MEMORY;
    AVAL__TRY(aval__fuse_kernel(&p->scratch, c, p->request->devices[r->device], &made->kernel));
    AVAL__TRY(aval__source_of_text(p, "fused", made->kernel.text, made->kernel.options, &made->source));
    made->kernel.kernel = aval__arena_text(&p->plan->arena, made->kernel.kernel);
    if (!made->kernel.kernel) return AVAL_E_MEMORY;
    if (c->n_nodes > 1 || c->joint) AVAL__TRY(label_cluster(p, c, &made->label));
    AVAL__TRY(aval__share(p, key, made));
    *out = made;
    return AVAL_OK;
}

static int add_launch(aval__recording *r, const shared_kernel *shared)
{
    aval__planner *p = r->p;
    aval__step *step;
    const aval__source *source = shared->source;
    aval__fused_kernel kernel = shared->kernel; /* its arguments are overwritten: nobody else needs them now */
    AVAL__TRY(aval__fuse_arguments(r->cluster, NULL, p->request->devices[r->device], &kernel));
    for (size_t i = 0; i < kernel.n_args; i++) AVAL__TRY(aval__record_fused_arg(r, &kernel.args[i]));
    if (shared->label) r->label = shared->label;
    AVAL__TRY(aval__record_step(r, AVAL__STEP_LAUNCH, &step));
    step->source = source;
    step->kernel = kernel.kernel;
    step->dims = 1;
    step->global[0] = kernel.local > 0 ? aval__align(kernel.global, kernel.local) : kernel.global;
    step->local[0] = kernel.local;
    step->global[1] = step->global[2] = 1;
    step->local[1] = step->local[2] = kernel.local > 0;
    return aval__record_args(p, step);
}

/* Joints share a kernel when they have as many members, with as much in common. */
static void mix_joint(const aval__joint *joint, size_t n_outputs, aval__hash *key)
{
    const uint64_t words[] = { joint->n_members, joint->shared };
    key->low ^= aval__hash64(words, sizeof words, 0x701);
    key->high ^= aval__hash64(joint->replaces, n_outputs * sizeof *joint->replaces, 0x702);
}

int aval__record_cluster(aval__recording *r)
{
    aval__planner *p = r->p;
    const aval__cluster *c = r->cluster;
    aval__hash key;
    for (size_t m = 0; m < count_members(c); m++) {
        r->cluster = member(c, m);
        AVAL__TRY(aval__record_place_outputs(r, NULL));
    }
    r->cluster = c;
    if (aval__tensor_count(c->space) == 0) return AVAL_OK;
    AVAL__TRY(aval__fuse_key(&p->words, c, p->request->devices[r->device], &key));
    if (c->joint) mix_joint(c->joint, c->n_outputs, &key);
    const shared_kernel *shared = aval__find_shared(p, key);
    if (!shared) AVAL__TRY(make_kernel(r, key, &shared));
    return add_launch(r, shared);
}
