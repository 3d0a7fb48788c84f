/* Work-groups of what computes no product (reductions, softmax, norms, pooling ...), chosen by measuring: which sizes a recorder's launches have is a
 * property of the device, until `aval tune` has tried others on the node's own shapes.
 *
 * A class is an op with its attributes and the types and shapes of its inputs, sizes as in classes of products.  Only nodes whose inputs are numbers
 * that may be anything (floating-point) or are known to the host have one, since the trial makes their contents up.  What is tried must
 * pass the op's known answer with these work-groups, and give the referee's result at full size; gradients those of the device's own
 * work-groups, which passed their known answer too. */
#include "exec/session.h"
#include "exec/tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_ELEMENTS ((int64_t)1 << 23) /* of a node's inputs */
#define LEAST_ELEMENTS 4096 /* below, starting a launch is what takes time */
#define MOST_KNOWN 8 /* elements of an input whose content is part of the class */
#define ROUND_SECONDS 0.003
#define MOST_REPEATS 64
#define MOST_ROUNDS 16

/* ---- Classes --------------------------------------------------------------------------------------------------------------------------- */

static const aval__opdef *forward_of(const aval_node *node)
{
    return node->def->kind == AVAL__BACKWARD ? node->def->forward_of : node->def;
}

static const aval_value *input_of(const aval_node *node, size_t i)
{
    bool readable;
    return node->def->kind == AVAL__BACKWARD ? aval__backward_input(node, i, &readable) : node->inputs[i];
}

static size_t count_inputs(const aval_node *node)
{
    return node->def->kind == AVAL__BACKWARD ? node->forward->n_inputs : node->n_inputs;
}

static bool is_float(const aval_value *value)
{
    return (AVAL_REALS & AVAL_TYPE_SET(value->tensor.type)) != 0;
}

/* Of backward, upstream gradients of other outputs than the first make another case than the one that is tried. */
static bool has_usual_upstream(const aval_node *node)
{
    if (node->def->kind != AVAL__BACKWARD) return true;
    for (uint32_t i = 1; i < node->forward->n_outputs; i++)
        if (aval__backward_upstream(node, i)) return false;
    return aval__backward_upstream(node, 0) != NULL;
}

static bool may_be_tried(const aval_node *node)
{
    int64_t elements = 0;
    if (node->kind != AVAL__OP || (node->def->kind != AVAL__KERNELS && node->def->kind != AVAL__BACKWARD)) return false;
    if (forward_of(node)->op->products != 0 || !has_usual_upstream(node)) return false;
    for (size_t i = 0; i < count_inputs(node); i++) {
        const aval_value *value = input_of(node, i);
        if (!value) continue;
        int64_t count = aval__tensor_count(&value->tensor);
        if (count == 0 || (!is_float(value) && (!value->data || count > MOST_KNOWN))) return false;
        elements += count;
    }
    return elements >= LEAST_ELEMENTS && elements <= MOST_ELEMENTS;
}

static void put_input(aval__text *text, const aval_value *value)
{
    const aval_tensor *t = &value->tensor;
    aval__text_add(text, " %s", aval_type_name(t->type));
    for (int32_t d = 0; d < t->rank; d++) aval__text_add(text, "%s%lld", d == 0 ? " " : "x", (long long)aval__tuning_round(t->dims[d]));
    if (is_float(value)) return;
    int64_t known[MOST_KNOWN];
    int64_t count = aval__tensor_count(t);
    aval__convert(known, AVAL_INT64, value->data, t->type, (size_t)count);
    for (int64_t i = 0; i < count; i++) aval__text_add(text, "%s%lld", i == 0 ? " = " : " ", (long long)known[i]);
}

/* "ReduceSum 13 float 512x1024, int64 1 = 1, keepdims=0, 1a2b3c4d": the last is the plugin's, whose kernels were measured.  False: it has none. */
static bool name_class(const aval_node *node, char out[AVAL__CLASS_LENGTH])
{
    aval__text text = { 0 };
    bool backward = node->def->kind == AVAL__BACKWARD;
    const char *separator = "";
    if (!may_be_tried(node)) return false;
    aval__verdict_subject(&text, forward_of(node));
    if (backward) aval__text_add(&text, " backward");
    for (uint32_t i = 0; backward && i < node->n_outputs; i++)
        if (node->outputs[i]) aval__text_add(&text, " %u", (unsigned)i);
    for (size_t i = 0; i < count_inputs(node); i++) {
        aval__text_add(&text, "%s", separator);
        separator = ",";
        if (input_of(node, i)) put_input(&text, input_of(node, i));
    }
    aval__text_add(&text, ", ");
    aval__attrs_print(&text, backward ? &node->forward->attrs : &node->attrs, false);
    aval__text_add(&text, " %08x", (unsigned)aval__plugin_stamp(forward_of(node)));
    bool made = !text.failed;
    if (made && text.length < AVAL__CLASS_LENGTH) memcpy(out, text.at, text.length + 1);
    else if (made)
        snprintf(out, AVAL__CLASS_LENGTH, "%.120s... %016llx", text.at, (unsigned long long)aval__hash64(text.at, text.length, 0));
    for (char *c = out; made && *c; c++)
        if ((unsigned char)*c < ' ') *c = '_'; /* of a text attribute */
    aval__text_release(&text);
    return made;
}

/* ---- While planning -------------------------------------------------------------------------------------------------------------------- */

static int meet(aval_context *ctx, uint32_t device, const aval_node *node, const char *class)
{
    struct aval__met *all = ctx->met;
    aval__met_node m = { .device = device, .def = node->def };
    for (size_t i = 0; i < all->nodes.count; i++)
        if (all->nodes.at[i].device == device && strcmp(all->nodes.at[i].class, class) == 0) return AVAL_OK;
    memcpy(m.class, class, sizeof m.class);
    int status = aval__known_make_node(ctx, device, node, &m.k);
    if (status == AVAL_OK) status = aval__vec_push(&all->nodes, m);
    if (status < 0) aval__known_release(&m.k);
    return status;
}

int aval__context_groups(void *user, uint32_t device, const aval_node *node, aval__groups *out)
{
    aval_context *ctx = user;
    char class[AVAL__CLASS_LENGTH];
    if (ctx->trial_of) {
        if (node->def == ctx->trial_of) *out = ctx->trial;
        return AVAL_OK;
    }
    bool remembered = aval__tuning_has_groups(ctx->opened.at[device]);
    if ((!remembered && !ctx->met) || !name_class(node, class)) return AVAL_OK;
    if (ctx->met) AVAL__TRY(meet(ctx, device, node, class));
    if (!remembered) return AVAL_OK;
    const aval__variant found = aval__tuning_find_class(ctx->opened.at[device], class);
    *out = (aval__groups){ .tree = (uint32_t)found.knobs[AVAL__KNOB_GROUP], .open = (uint32_t)found.knobs[AVAL__KNOB_OPEN] };
    return AVAL_OK;
}

void aval__met_release(struct aval__met *met)
{
    for (size_t i = 0; i < met->nodes.count; i++) aval__known_release(&met->nodes.at[i].k);
    aval__vec_release(&met->nodes);
    aval__vec_release(&met->products);
}

/* ---- A node on trial ------------------------------------------------------------------------------------------------------------------- */

/* With its work-groups, bound. */
typedef struct attempt {
    aval__groups groups;
    aval_session *s;
    uint64_t signature;
} attempt;

typedef struct trial {
    aval_context *ctx;
    aval__met_node *m;
    aval_value **results;
    size_t n_results;
    aval__host_tensor *expected; /* by result */
    bool has_expected;
    AVAL__VEC(attempt) attempts;
    size_t current;
} trial;

static void begin_trial(trial *t, const aval__groups *groups)
{
    t->ctx->trial_of = t->m->def;
    t->ctx->trial = *groups;
}

static int end_trial(trial *t, int status)
{
    t->ctx->trial_of = NULL;
    return status;
}

static int sign(void *user, const aval__plan *plan)
{
    uint64_t *signature = user;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const aval__step *step = &plan->steps[i];
        if (step->kind != AVAL__STEP_LAUNCH) continue;
        *signature = aval__hash64(step->source->options, strlen(step->source->options), *signature);
        *signature = aval__hash64(step->kernel, strlen(step->kernel), *signature);
        *signature = aval__hash64(step->global, sizeof step->global, *signature);
        *signature = aval__hash64(step->local, sizeof step->local, *signature);
    }
    return AVAL_OK;
}

static int run(const trial *t, aval_session *s)
{
    AVAL__TRY(aval_session_run(s, t->results, t->n_results));
    return aval_session_wait(s);
}

/* Planned with the question of the op's known answer, and run once. */
static int make_attempt(trial *t, attempt *a)
{
    bool insists = t->ctx->insists;
    a->signature = 0;
    AVAL__TRY(aval_session_create(t->ctx, t->m->k.graph, t->m->k.store, &a->s));
    AVAL__TRY(aval__known_feed(&t->m->k, a->s));
    t->ctx->insists = false;
    int status = aval__session_visit_plan(a->s, t->results, t->n_results, sign, &a->signature);
    if (status == AVAL_OK) status = run(t, a->s);
    t->ctx->insists = insists;
    return status;
}

static int record(void *user, const aval__variant *variant, uint64_t *signature)
{
    trial *t = user;
    attempt a = { .groups = { .tree = (uint32_t)variant->knobs[AVAL__KNOB_GROUP], .open = (uint32_t)variant->knobs[AVAL__KNOB_OPEN] } };
    for (t->current = 0; t->current < t->attempts.count; t->current++) {
        const attempt *made = &t->attempts.at[t->current];
        if (made->groups.tree != a.groups.tree || made->groups.open != a.groups.open) continue;
        *signature = made->signature;
        return AVAL_OK;
    }
    begin_trial(t, &a.groups);
    int status = end_trial(t, make_attempt(t, &a));
    if (status == AVAL_OK) status = aval__vec_push(&t->attempts, a);
    if (status < 0) aval_session_release(a.s);
    *signature = a.signature;
    return status;
}

/* What this attempt gives, against what is expected; of gradients the first attempt's are. */
static int compare(trial *t, aval_session *s, bool *right)
{
    *right = true;
    for (size_t i = 0; i < t->n_results; i++) {
        aval__host_tensor found = { 0 };
        AVAL__TRY(aval__known_read(s, t->results[i], &t->results[i]->tensor, &found));
        if (!t->has_expected) {
            t->expected[i] = found;
            continue;
        }
        if (aval__known_compare(&t->m->k, &found, &t->expected[i]) < 0) *right = false;
        aval__host_tensor_release(&found);
    }
    t->has_expected = true;
    return AVAL_OK;
}

static int judge(void *user, bool *right)
{
    trial *t = user;
    attempt *a = &t->attempts.at[t->current];
    *right = false;
    AVAL__TRY(aval__known_reset(&t->m->k));
    begin_trial(t, &a->groups);
    int status = run(t, a->s);
    if (status == AVAL_OK) status = compare(t, a->s, right);
    return end_trial(t, status);
}

static int time_round(const trial *t, aval_session *s, size_t repeats, double *seconds)
{
    double start = aval__seconds();
    for (size_t i = 0; i < repeats; i++) AVAL__TRY(aval_session_run(s, t->results, t->n_results));
    AVAL__TRY(aval_session_wait(s));
    *seconds = (aval__seconds() - start) / (double)repeats;
    return AVAL_OK;
}

static int time_rounds(const trial *t, aval_session *s, size_t rounds, double *seconds)
{
    double times[MOST_ROUNDS], one;
    if (rounds > MOST_ROUNDS) rounds = MOST_ROUNDS;
    AVAL__TRY(time_round(t, s, 1, &one));
    double repeats = ROUND_SECONDS / (one > 1e-7 ? one : 1e-7);
    for (size_t i = 0; i < rounds; i++)
        AVAL__TRY(time_round(t, s, repeats < 1 ? 1 : repeats > MOST_REPEATS ? MOST_REPEATS : (size_t)repeats, &times[i]));
    *seconds = aval__median(times, rounds);
    return AVAL_OK;
}

static int time_attempt(void *user, size_t rounds, double *seconds)
{
    trial *t = user;
    attempt *a = &t->attempts.at[t->current];
    begin_trial(t, &a->groups);
    return end_trial(t, time_rounds(t, a->s, rounds, seconds));
}

static double moved_bytes(const trial *t)
{
    double bytes = 0;
    for (size_t i = 0; i < t->m->k.n_inputs; i++)
        if (t->m->k.values[i]) bytes += (double)aval__tensor_bytes(&t->m->k.values[i]->tensor);
    for (size_t i = 0; i < t->n_results; i++) bytes += (double)aval__tensor_bytes(&t->results[i]->tensor);
    return bytes;
}

static int prepare(trial *t)
{
    aval__known *k = &t->m->k;
    t->results = aval__alloc_array(k->n_wanted + k->n_inputs, sizeof(aval_value *));
    t->expected = aval__alloc_array(k->n_wanted + k->n_inputs, sizeof *t->expected);
    if (!t->results || !t->expected) return AVAL_E_MEMORY;
    t->n_results = aval__known_list(k, t->results);
    AVAL__TRY(aval__known_fill(k));
    if (k->differentiate) return AVAL_OK;
    t->has_expected = true;
    return aval__known_expect(k, t->expected);
}

int aval__groups_pick(aval_context *ctx, aval__met_node *m, double seconds, aval__choice *out)
{
    trial t = { .ctx = ctx, .m = m };
    const aval__contest contest = { .user = &t, .record = record, .judge = judge, .time = time_attempt };
    *out = (aval__choice){ 0 };
    memcpy(out->class, m->class, sizeof m->class);
    int status = prepare(&t);
    if (status < 0 && status != AVAL_E_MEMORY) status = AVAL_E_UNSUPPORTED; /* the referee cannot say */
    if (status == AVAL_OK) {
        out->bytes = moved_bytes(&t);
        status = aval__tuning_pick_groups(ctx->infos.at[m->device], &contest, seconds, out);
    }
    for (size_t i = 0; i < t.attempts.count; i++) aval_session_release(t.attempts.at[i].s);
    aval__vec_release(&t.attempts);
    for (size_t i = 0; i < t.n_results; i++) aval__host_tensor_release(&t.expected[i]);
    aval__free(t.results);
    aval__free(t.expected);
    return status;
}
