/* The simulator: an expanded copy of the graph, made as planning makes it, says what each step must read. */
#include "harness.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct simulation {
    const aval__plan *plan;
    aval_graph *g;
    aval__numbering numbers;
    size_t n_user_values;
    uint64_t **words; /* by slot: a tag for each 4 bytes */
    simulated counts;
    bool reached[1 << 16]; /* by value id: found while walking a cluster */
    const aval__step *computed_by[1 << 16]; /* by node id: the last launch that did, of expressions */
} simulation;

/* The value that the plan calls by this number. */
static const aval_value *numbered(const simulation *s, uint32_t number)
{
    return s->g->values.at[number < s->numbers.count ? s->numbers.at[number] : s->n_user_values + number - s->numbers.count];
}

static uint64_t tag(const aval_value *v, int64_t element)
{
    while (v->kind == AVAL__PRODUCED && v->producer->def->kind != AVAL__EXPRESSION) {
        const aval_node *n = v->producer;
        const char *name = n->def->name;
        if (strcmp(name, "Rest") == 0) element += n->inputs[0]->tensor.dims[1];
        else if (strcmp(name, "View") == 0 || strcmp(name, "Same") == 0) (void)0;
        else if (n->def->kind == AVAL__BACKWARD && strcmp(n->forward->def->name, "Same") == 0) {
            v = aval__backward_upstream(n, 0);
            continue;
        } else break;
        v = n->inputs[0];
    }
    return ((uint64_t)v->id + 1) << 32 | (uint64_t)element;
}

static uint64_t *words_at(const simulation *s, uint32_t slot, int64_t bytes)
{
    cr_assert_lt(slot, s->plan->n_slots);
    cr_assert(bytes % 4 == 0 && bytes >= 0);
    return s->words[slot] + bytes / 4;
}

static void expect(const simulation *s, uint32_t slot, int64_t bytes, const aval_value *v, const char *who)
{
    const uint64_t *words = words_at(s, slot, bytes);
    cr_assert_leq((uint64_t)bytes + aval__tensor_bytes(&v->tensor), s->plan->slots[slot].bytes, "%s", who);
    for (int64_t i = 0, n = aval__tensor_count(&v->tensor); i < n; i++)
        cr_assert_eq(words[i], tag(v, i), "%s: expected element %lld of value %u, found element %u of value %d", who, (long long)i, v->id,
                     (unsigned)words[i], (int)(words[i] >> 32) - 1);
}

static void put(const simulation *s, uint32_t slot, int64_t bytes, const aval_value *v)
{
    uint64_t *words = words_at(s, slot, bytes);
    cr_assert_leq((uint64_t)bytes + aval__tensor_bytes(&v->tensor), s->plan->slots[slot].bytes);
    for (int64_t i = 0, n = aval__tensor_count(&v->tensor); i < n; i++) words[i] = tag(v, i);
}

/* The value that a fused launch finds at an argument: any, but whole. */
static const aval_value *found(const simulation *s, const aval__arg *arg)
{
    uint64_t word = words_at(s, arg->slot, arg->offset * 4)[0];
    cr_assert_neq(word, 0, "a fused launch reads what was never written");
    return s->g->values.at[(word >> 32) - 1];
}

static void note_computed(simulation *s, const aval_node *node, const aval__step *step)
{
    s->counts.twice += s->computed_by[node->id] != NULL && s->computed_by[node->id] != step;
    s->computed_by[node->id] = step;
}

/* From an output back to values that the launch read. */
static void walk(simulation *s, const aval_value *v, const uint64_t *read, size_t n_read, const aval__step *step)
{
    bool found_here = false; /* perhaps several times: a value and its alias */
    for (size_t i = 0; i < n_read; i++)
        if (tag(v, 0) == read[i]) s->reached[i] = found_here = true;
    if (found_here) return;
    cr_assert(v->kind == AVAL__PRODUCED && v->producer->def->kind == AVAL__EXPRESSION, "%s does not read value %u", step->node, v->id);
    note_computed(s, v->producer, step);
    for (uint32_t i = 0; i < v->producer->n_inputs; i++) walk(s, v->producer->inputs[i], read, n_read, step);
}

/* What the arguments from `first` on are read for. */
static size_t list_read(simulation *s, const aval__step *step, uint32_t first, uint64_t *read)
{
    size_t n_read = 0;
    for (uint32_t i = first; i < step->n_args; i++)
        if (step->args[i].kind == AVAL__ARG_TENSOR && !step->args[i].written)
            read[n_read++] = tag(found(s, &step->args[i]), 0) | (uint32_t)words_at(s, step->args[i].slot, step->args[i].offset * 4)[0];
    memset(s->reached, 0, sizeof s->reached);
    return n_read;
}

/* What a joint finds where it writes, it may read there: what an update replaces. */
static size_t list_replaced(const simulation *s, const aval__step *step, uint64_t *read, size_t n_read)
{
    for (uint32_t i = 0; i < step->n_args; i++) {
        const aval__arg *arg = &step->args[i];
        if (arg->kind != AVAL__ARG_TENSOR || !arg->written) continue;
        uint64_t word = words_at(s, arg->slot, arg->offset * 4)[0];
        if (word != 0) read[n_read++] = word;
    }
    return n_read;
}

static void run_fused(simulation *s, const aval__step *step)
{
    uint64_t read[192];
    size_t n_read = list_read(s, step, 0, read), n_all = n_read;
    if (strstr(step->node, " times ")) {
        n_all = list_replaced(s, step, read, n_read);
        s->counts.joints++;
    }
    for (uint32_t i = 0; i < step->n_values; i++) {
        const aval_value *v = numbered(s, s->plan->written[step->first_value + i].value);
        note_computed(s, v->producer, step);
        for (uint32_t j = 0; j < v->producer->n_inputs; j++) walk(s, v->producer->inputs[j], read, n_all, step);
    }
    for (size_t i = 0; i < n_read; i++) cr_assert(s->reached[i], "%s reads what none of its nodes does", step->node);
    for (uint32_t i = 0; i < step->n_values; i++) {
        const aval__located *l = &s->plan->written[step->first_value + i];
        put(s, l->place.slot, l->place.offset, numbered(s, l->value));
    }
}

/* An input that a launch computes as it reads it, or makes in memory before it reads it, with all else that its head gives, from arguments behind
   the launch's own `n_own`. */
static void run_head(simulation *s, const aval__step *step, uint32_t n_own, const aval_node *node, uint32_t input)
{
    const aval__arg *arg = &step->args[input];
    uint64_t read[64];
    size_t n_read = list_read(s, step, n_own, read), n_stored = 0;
    walk(s, node->inputs[input], read, n_read, step);
    for (uint32_t i = 0; i < step->n_values; i++) {
        const aval_value *v = numbered(s, s->plan->written[step->first_value + i].value);
        if (v->producer != node) walk(s, v, read, n_read, step);
    }
    for (size_t i = 0; i < n_read; i++) cr_assert(s->reached[i], "%s reads what its head does not", step->node);
    if (!arg->absent) put(s, arg->slot, arg->offset * 4, node->inputs[input]);
    for (uint32_t i = 0; i < step->n_values; i++) {
        const aval__located *l = &s->plan->written[step->first_value + i];
        const aval_value *v = numbered(s, l->value);
        if (v->producer == node) continue;
        put(s, l->place.slot, l->place.offset, v);
        n_stored += v != node->inputs[input];
    }
    s->counts.computed += arg->absent;
    s->counts.made += !arg->absent;
    s->counts.with_others += n_stored > 0;
}

static void run_mix_backward(const simulation *s, const aval__step *step, const aval_node *node, const aval__arg *args)
{
    bool readable;
    size_t i = 1; /* which gradient: both have launches of their own, told apart by where they lie */
    expect(s, args[0].slot, args[0].offset * 4, aval__backward_input(node, 0, &readable), step->node);
    expect(s, args[1].slot, args[1].offset * 4, aval__backward_input(node, 1, &readable), step->node);
    expect(s, args[2].slot, args[2].offset * 4, aval__backward_upstream(node, 0), step->node);
    if (node->outputs[0] && (step[0].n_values == 0 || !node->outputs[1])) i = 0;
    const aval_value *base = aval__node_base(node, i);
    if (base) expect(s, args[3].slot, args[3].offset * 4, base, step->node);
    put(s, args[3].slot, args[3].offset * 4, node->outputs[i]);
}

static void run_launch(simulation *s, const aval__step *step)
{
    unsigned id = 0;
    bool fused = strcmp(step->source->name, "fused") == 0;
    for (uint32_t i = 0; i < step->n_args; i++)
        if (step->args[i].kind == AVAL__ARG_TENSOR) cr_assert_eq(s->plan->slots[step->args[i].slot].device, step->device);
    if (fused) {
        run_fused(s, step);
        return;
    }
    cr_assert_eq(sscanf(step->node, "node %u", &id), 1, "%s", step->node);
    const aval_node *node = s->g->nodes.at[id];
    if (node->def->kind == AVAL__BACKWARD) {
        run_mix_backward(s, step, node, step->args);
        return;
    }
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        if (step->args[i].absent || step->args[i].written) run_head(s, step, node->n_inputs + 2, node, i);
    }
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (!step->args[i].absent) expect(s, step->args[i].slot, step->args[i].offset * 4, node->inputs[i], step->node);
    put(s, step->args[node->n_inputs].slot, step->args[node->n_inputs].offset * 4, node->outputs[0]);
}

static void run_step(simulation *s, const aval__step *step)
{
    unsigned id = 0;
    switch (step->kind) {
    case AVAL__STEP_LAUNCH: run_launch(s, step); break;
    case AVAL__STEP_GEMM: cr_assert_fail("no products in random graphs"); break;
    case AVAL__STEP_COPY:
        cr_assert_eq(s->plan->slots[step->to.slot].device, step->device);
        cr_assert_eq(s->plan->slots[step->from.slot].device, step->from_device);
        memmove(words_at(s, step->to.slot, step->to.offset), words_at(s, step->from.slot, step->from.offset), step->bytes * 2);
        break;
    case AVAL__STEP_FILL:
        cr_assert_eq(sscanf(step->node, "node %u", &id), 1);
        put(s, step->to.slot, step->to.offset, s->g->nodes.at[id]->outputs[0]);
        break;
    }
}

simulated simulate(fixture *f, const aval__plan *plan, aval_value *const *wanted, size_t n_wanted)
{
    simulation *s = calloc(1, sizeof *s);
    aval_value **copies = calloc(n_wanted + 1, sizeof *copies);
    s->plan = plan;
    aval__hash hash;
    s->n_user_values = f->g->values.count;
    cr_assert_eq(aval__graph_hash(f->g, wanted, n_wanted, &hash, &s->numbers), 0);
    cr_assert_eq(aval__graph_copy(f->g, &s->g), 0);
    for (size_t i = 0; i < n_wanted; i++) copies[i] = s->g->values.at[wanted[i]->id];
    cr_assert_eq(aval__graph_expand(s->g, copies, n_wanted, false), 0, "%s", aval_error());
    aval_node **order = NULL;
    size_t n_nodes = 0;
    size_t fold_bytes = f->request.memory == AVAL_MEMORY_GUARDED ? 0 : (size_t)64 * 1024; /* as in plan/make.c */
    cr_assert_eq(aval__graph_fold(s->g, copies, n_wanted, fold_bytes, &order, &n_nodes), 0);
    aval__free(order);
    s->words = calloc(plan->n_slots, sizeof *s->words);
    for (size_t i = 0; i < plan->n_slots; i++) {
        s->words[i] = calloc(plan->slots[i].bytes / 4 + 1, sizeof **s->words);
        if (plan->slots[i].kind != AVAL__SLOT_ARENA)
            put(s, (uint32_t)i, (int64_t)plan->slots[i].guard_bytes, numbered(s, plan->slots[i].value));
    }
    for (size_t i = 0; i < plan->n_steps; i++) run_step(s, &plan->steps[i]);
    size_t n_found = 0;
    for (size_t i = 0; i < plan->n_located; i++) {
        const aval__located *l = &plan->located[i];
        const aval_value *v = numbered(s, l->value);
        for (size_t j = 0; j < n_wanted; j++) n_found += wanted[j]->id == v->id;
        if (v->kind != AVAL__STATE) expect(s, l->place.slot, l->place.offset, v, "at the end");
    }
    cr_assert_eq(n_found, n_wanted, "not all wanted values are located");
    for (size_t i = 0; i < plan->n_slots; i++) free(s->words[i]);
    free(s->words);
    free(copies);
    aval__vec_release(&s->numbers);
    aval_graph_release(s->g);
    simulated counts = s->counts;
    free(s);
    return counts;
}
