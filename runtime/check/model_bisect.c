/* From a step that differs to the launch that is to blame.
 *
 * The step is run again launch by launch.  What the leader's launches make takes the place of what the other device's launches have made before
 * the next one runs, so that every launch reads equal inputs on both: what still differs is the launch's own doing, and rounding of earlier ones
 * is not. */
#include "check/judge.h"
#include "check/model_judge.h"

#include <math.h>
#include <string.h>

/* ---- Traces --------------------------------------------------------------------------------------------------------------------------- */

/* All devices that take part and have no trace yet, on what `instead` says (NULL: on their own). */
static int trace_devices(aval__model_judge *j, const bool *asked, const aval__bundle *instead)
{
    aval__bundle request = { .command = AVAL__MODEL_TRACE, .step = j->step };
    int status = aval__bundle_copy(&request, &j->states, AVAL__PIECE_STATE);
    if (status == AVAL_OK && instead != NULL) status = aval__bundle_copy(&request, instead, AVAL__PIECE_TRACED);
    if (status == AVAL_OK) status = aval__model_ask(j, &request, asked);
    aval__bundle_release(&request);
    return status;
}

static int trace_one(aval__model_judge *j, size_t device)
{
    bool *asked = aval__alloc_array(j->n + 1, sizeof *asked);
    if (asked == NULL) return AVAL_E_MEMORY;
    asked[device] = true;
    int status = trace_devices(j, asked, NULL);
    aval__free(asked);
    return status;
}

/* The leader's, then those of all others on the leader's inputs, once a step: others may vote. */
static int trace_all(aval__model_judge *j)
{
    aval__model_witness *leader = &j->witnesses[j->leader];
    if (leader->trace.pieces.count > 0) return AVAL_OK;
    bool *asked = aval__alloc_array(j->n + 1, sizeof *asked);
    if (asked == NULL) return AVAL_E_MEMORY;
    int status = trace_one(j, j->leader);
    for (size_t d = 0; d < j->n; d++) asked[d] = d != j->leader && j->witnesses[d].alive;
    if (status == AVAL_OK && leader->alive) status = trace_devices(j, asked, &leader->trace);
    aval__free(asked);
    return status;
}

/* ---- Who is wrong ----------------------------------------------------------------------------------------------------------------------- */

typedef enum verdict { NOBODY_KNOWS, LEADER_IS_WRONG, OTHER_IS_WRONG } verdict;

/* How many compilers stand behind what the device found for the value. */
static size_t count_support(const aval__model_judge *j, size_t device, int64_t number)
{
    const aval__piece *own = aval__bundle_find_number(&j->witnesses[device].trace, number);
    size_t votes = 0;
    for (size_t d = 0; own != NULL && d < j->n; d++) {
        const aval__piece *other = aval__bundle_find_number(&j->witnesses[d].trace, number);
        aval__difference difference;
        bool counted = other == NULL || !aval__model_compare(other, own, own->reach, &difference);
        for (size_t k = 0; k < d && !counted; k++) {
            const aval__piece *before = aval__bundle_find_number(&j->witnesses[k].trace, number);
            counted = before != NULL && aval__model_compare(before, own, own->reach, &difference) &&
                      strcmp(j->runner->compiler(j->runner->user, k), j->runner->compiler(j->runner->user, d)) == 0;
        }
        votes += !counted;
    }
    return votes;
}

static verdict decide_by_vote(const aval__model_judge *j, size_t device, int64_t number, aval__text *why)
{
    size_t leader = count_support(j, j->leader, number), other = count_support(j, device, number);
    if (leader + other < 3 || leader == other) return NOBODY_KNOWS;
    aval__text_add(why, "; outvoted, %zu compilers to %zu", leader > other ? leader : other, leader > other ? other : leader);
    return leader > other ? OTHER_IS_WRONG : LEADER_IS_WRONG;
}

static verdict nearer(double leader, double other, double right)
{
    double a = isfinite(leader) ? fabs(leader - right) : INFINITY, b = isfinite(other) ? fabs(other - right) : INFINITY;
    return a > 3 * b ? LEADER_IS_WRONG : b > 3 * a ? OTHER_IS_WRONG : NOBODY_KNOWS;
}

static double element_of(const aval__piece *p, size_t element)
{
    double *reals = aval__piece_reals(p), x = reals == NULL ? NAN : reals[element];
    aval__free(reals);
    return x;
}

/* For values that are no part of a gradient, the referee has them. */
static verdict decide_by_referee(const aval__model_judge *j, const aval__piece *leader, const aval__piece *other, size_t element,
                                 aval__text *why)
{
    for (size_t i = 0; leader->id >= 0 && i < j->refereed.at.count; i++) {
        if ((size_t)leader->id >= j->expected[i].count) continue;
        const aval__host_tensor *t = &j->expected[i].at[leader->id];
        if (t->real == NULL || !aval__tensor_same_shape(&t->tensor, &leader->shape)) continue;
        verdict v = nearer(element_of(leader, element), element_of(other, element), t->real[element]);
        if (v != NOBODY_KNOWS) aval__text_add(why, "; the referee finds %.9g", t->real[element]);
        return v;
    }
    return NOBODY_KNOWS;
}

/* d(sum of referee's value) / d(element of an input or state), by a centred difference. */
static int differentiate(aval__graph_referee *r, uint32_t wrt, size_t element, double *out)
{
    aval__host_tensor *moved = &r->contents[wrt], above = { 0 }, below = { 0 };
    const double old = moved->real[element], step = 6e-6 * fmax(fabs(old), 0.1);
    moved->real[element] = old + step;
    int status = aval__graph_referee_evaluate(r, &above);
    moved->real[element] = old - step;
    if (status == AVAL_OK) status = aval__graph_referee_evaluate(r, &below);
    moved->real[element] = old;
    *out = 0;
    for (size_t e = 0; status == AVAL_OK && e < (size_t)aval__tensor_count(&r->of->tensor); e++)
        *out += (above.real[e] - below.real[e]) / (2 * step);
    aval__host_tensor_release(&above);
    aval__host_tensor_release(&below);
    return status;
}

/* The request of which a result is the answer, where its upstream gradient is all ones; NULL: it is no gradient. */
static const aval_node *request_of(const aval__model_judge *j, const aval__piece *p)
{
    if (p->role != AVAL__PIECE_VALUE || p->id < 0) return NULL;
    const aval_node *node = j->model->graph->values.at[p->id]->producer;
    return node != NULL && node->kind == AVAL__GRADIENT_REQUEST && node->inputs[2] == NULL ? node : NULL;
}

/* A launch within a gradient has no reference; but the gradients that follow from it have: differences, where the devices are furthest apart. */
static int decide_by_differences(aval__model_judge *j, size_t device, verdict *v, aval__text *why)
{
    const aval__bundle *leader = &j->witnesses[j->leader].answer, *other = &j->witnesses[device].answer;
    for (size_t i = 0; i < leader->pieces.count && *v == NOBODY_KNOWS; i++) {
        const aval__piece *p = &leader->pieces.at[i], *q = aval__bundle_find(other, AVAL__PIECE_VALUE, p->name);
        const aval_node *request = request_of(j, p);
        aval__difference apart;
        if (request == NULL || q == NULL || aval__model_compare(q, p, 0, &apart)) continue;
        for (size_t r = 0; r < j->refereed.at.count && *v == NOBODY_KNOWS; r++) {
            uint32_t wrt = request->inputs[1]->id;
            double right;
            if (j->refereed.at.at[r] != request->inputs[0] || j->referees[r].given == NULL || j->referees[r].given[wrt] == NULL) continue;
            if (j->referees[r].contents[wrt].real == NULL) continue;
            AVAL__TRY(differentiate(&j->referees[r], wrt, apart.worst, &right));
            *v = nearer(element_of(p, apart.worst), element_of(q, apart.worst), right);
            if (*v == NOBODY_KNOWS) continue;
            aval__text_add(why, "; in the %s it leads to, element ", p->name);
            aval__check_put_element(why, &p->shape, apart.worst);
            aval__text_add(why, " is %.9g by differences", right);
        }
    }
    return AVAL_OK;
}

/* ---- Telling ------------------------------------------------------------------------------------------------------------------------------ */

static void put_found(const aval__model_judge *j, size_t device, const aval__piece *p, size_t element, aval__text *text)
{
    aval__text_add(text, "%.9g on device ", element_of(p, element));
    aval__model_put_device(j, device, text);
}

static void put_again(const aval__model_judge *j, aval__text *text)
{
    if (j->options->again != NULL) aval__text_add(text, "; to see it again: %s", j->options->again);
}

/* Says of which launch `p` is, and where the two are furthest apart. */
static void put_launch(const aval__piece *p, const aval__difference *apart, aval__text *text)
{
    aval__text_add(text, "%s: '%s' ", p->launch, p->name);
    aval__tensor_print(text, &p->shape);
    aval__text_add(text, ", element ");
    aval__check_put_element(text, &p->shape, apart->worst);
    aval__text_add(text, " is ");
}

static int tell_launch(aval__model_judge *j, size_t device, const aval__piece *leader, const aval__piece *other,
                       const aval__difference *apart)
{
    aval__text message = { 0 }, why = { 0 };
    verdict v = decide_by_vote(j, device, other->number, &why);
    int status = AVAL_OK;
    if (v == NOBODY_KNOWS) v = decide_by_referee(j, leader, other, apart->worst, &why);
    if (v == NOBODY_KNOWS) AVAL__TRY_DONE(decide_by_differences(j, device, &v, &why));
    put_launch(other, apart, &message);
    put_found(j, device, other, apart->worst, &message);
    aval__text_add(&message, " and ");
    put_found(j, j->leader, leader, apart->worst, &message);
    aval__text_add(&message, ", for equal inputs (%.3g times the tolerance)%s", apart->error, why.at == NULL ? "" : why.at);
    if (v == NOBODY_KNOWS) aval__text_add(&message, "; which of both is wrong, `aval check` of the operator on both may tell");
    put_again(j, &message);
    if (message.failed || why.failed) AVAL__TRY_DONE(AVAL_E_MEMORY);
    const aval_check_result result = {
        .passed = 0, .error = apart->error, .message = message.at, .blame = v == NOBODY_KNOWS ? "" : "device"
    };
    const aval__model_evidence others = { .found = other, .other = leader, .other_device = j->leader },
                               leaders = { .found = leader, .other = other, .other_device = device };
    if (v != LEADER_IS_WRONG) AVAL__TRY_DONE(aval__model_fail(j, device, "first launch", &result, &others));
    if (v != OTHER_IS_WRONG) AVAL__TRY_DONE(aval__model_fail(j, j->leader, "first launch", &result, &leaders));
done:
    aval__text_release(&message);
    aval__text_release(&why);
    return status;
}

int aval__model_bisect(aval__model_judge *j, size_t device, bool *found)
{
    *found = false;
    AVAL__TRY(trace_all(j));
    const aval__bundle *leader = &j->witnesses[j->leader].trace, *other = &j->witnesses[device].trace;
    *found = !j->witnesses[j->leader].alive || !j->witnesses[device].alive; /* lost on the way, which was told */
    for (size_t i = 0; i < other->pieces.count && !*found; i++) {
        const aval__piece *q = &other->pieces.at[i], *p = aval__bundle_find_number(leader, q->number);
        aval__difference apart;
        if (p == NULL || aval__model_compare(q, p, fmax(p->reach, q->reach), &apart)) continue;
        *found = true;
        AVAL__TRY(tell_launch(j, device, p, q, &apart));
    }
    return AVAL_OK;
}

/* ---- Against the referee, and against itself ------------------------------------------------------------------------------------------- */

/* The first traced value that differs from the referee's; NULL: none does by itself. */
static const aval__piece *find_first_wrong(const aval__model_judge *j, size_t device, const aval__host_tensor **right,
                                           aval__difference *apart)
{
    const double loose = 10; /* as the result itself was compared */
    const aval__bundle *trace = &j->witnesses[device].trace;
    for (size_t i = 0; i < trace->pieces.count; i++) {
        const aval__piece *p = &trace->pieces.at[i];
        for (size_t r = 0; p->id >= 0 && r < j->refereed.at.count; r++) {
            if ((size_t)p->id >= j->expected[r].count) continue;
            const aval__host_tensor *t = &j->expected[r].at[p->id];
            if (t->real == NULL || !aval__tensor_same_shape(&t->tensor, &p->shape)) continue;
            if (aval__model_compare_referee(p, t, loose, apart)) break;
            *right = t;
            return p;
        }
    }
    return NULL;
}

/* Some other device gives what the referee gives. */
static bool others_are_right(const aval__model_judge *j, size_t device, const char *what)
{
    const double loose = 10; /* as the result itself was compared */
    for (size_t d = 0; d < j->n; d++) {
        const aval__piece *p = aval__bundle_find(&j->witnesses[d].answer, AVAL__PIECE_VALUE, what);
        aval__difference apart;
        for (size_t r = 0; d != device && p != NULL && r < j->refereed.at.count; r++) {
            const aval_value *value = j->refereed.at.at[r];
            if (p->id != value->id || j->expected[r].at == NULL) continue;
            if (aval__model_compare_referee(p, &j->expected[r].at[value->id], loose, &apart)) return true;
        }
    }
    return false;
}

int aval__model_bisect_referee(aval__model_judge *j, size_t device, const char *what, const aval__difference *difference)
{
    aval__text message = { 0 };
    aval__difference apart;
    const aval__host_tensor *right = NULL;
    AVAL__TRY(trace_one(j, device));
    if (!j->witnesses[device].alive) return AVAL_OK;
    const aval__piece *first = find_first_wrong(j, device, &right, &apart);
    if (first != NULL) {
        put_launch(first, &apart, &message);
        put_found(j, device, first, apart.worst, &message);
        aval__text_add(&message, ", the referee finds %.9g (%.3g times the tolerance)", right->real[apart.worst], apart.error);
    } else {
        aval__text_add(&message, "%s differs from the referee's by %.3g times the tolerance, and no launch's values by themselves", what,
                       difference->error);
    }
    put_again(j, &message);
    int status = message.failed ? AVAL_E_MEMORY : AVAL_OK;
    if (status == AVAL_OK)
        status = aval__model_fail(j, device, first != NULL ? "first launch" : what,
                                  &(aval_check_result){ .passed = 0,
                                                        .error = first != NULL ? apart.error : difference->error,
                                                        .blame = others_are_right(j, device, what) ? "device" : "",
                                                        .message = message.at },
                                  &(aval__model_evidence){ .found = first, .right = right });
    aval__bundle_release(&j->witnesses[device].trace);
    aval__text_release(&message);
    return status;
}

int aval__model_bisect_repeat(aval__model_judge *j, size_t device)
{
    aval__text message = { 0 };
    aval__model_witness *w = &j->witnesses[device];
    AVAL__TRY(trace_one(j, device));
    aval__bundle first = w->trace;
    w->trace = (aval__bundle){ 0 };
    int status = w->alive ? trace_one(j, device) : AVAL_OK;
    aval__text_add(&message, "two equal runs gave different bits in %s", w->answer.differs);
    for (size_t i = 0; status == AVAL_OK && i < first.pieces.count && i < w->trace.pieces.count; i++) {
        if (aval__piece_same_bits(&first.pieces.at[i], &w->trace.pieces.at[i])) continue;
        aval__text_add(&message, "; the first launch to do so is %s ('%s')", first.pieces.at[i].launch, first.pieces.at[i].name);
        break;
    }
    put_again(j, &message);
    if (message.failed) status = AVAL_E_MEMORY;
    if (status == AVAL_OK && w->alive)
        status = aval__model_fail(j, device, "repeat", &(aval_check_result){ .passed = 0, .error = INFINITY, .message = message.at }, NULL);
    aval__bundle_release(&first);
    aval__bundle_release(&w->trace);
    aval__text_release(&message);
    return status;
}
