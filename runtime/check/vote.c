/* One tensor, several devices: who is wrong?
 *
 * The referee knows best where it can tell element by element.  Along a direction of many elements an error may hide; there the devices are
 * held against each other too, and where two differ the referee takes the derivative by that element alone.  When a device fails, the
 * others tell whether the device is to blame or the operator: those with one compiler have one vote together. */
#include "check/diagnose.h"

#include <math.h>
#include <string.h>

typedef struct ballot {
    aval__judge *j;
    aval__question *q;
    double **found; /* by device; NULL: no witness */
    double **along; /* what is compared with the referee: `found`, or projected */
    aval__difference *difference; /* from the referee */
    bool *passed;
    bool *alone; /* `difference` is by an element that another device pointed at, not by a direction */
    size_t *party; /* devices that agree have the same number */
} ballot;

static int open_ballot(ballot *b)
{
    size_t n = b->j->n_witnesses;
    b->found = aval__alloc_array(n, sizeof *b->found);
    b->along = aval__alloc_array(n, sizeof *b->along);
    b->difference = aval__alloc_array(n, sizeof *b->difference);
    b->passed = aval__alloc_array(n, sizeof *b->passed);
    b->alone = aval__alloc_array(n, sizeof *b->alone);
    b->party = aval__alloc_array(n, sizeof *b->party);
    if (b->found == NULL || b->along == NULL || b->difference == NULL) return AVAL_E_MEMORY;
    if (b->passed == NULL || b->alone == NULL || b->party == NULL) return AVAL_E_MEMORY;
    for (size_t d = 0; d < n; d++) {
        if (!b->j->witnesses[d].ran) continue;
        b->found[d] = aval__check_reals(&b->j->witnesses[d].results.at[b->q->tensor]);
        if (b->found[d] == NULL) return AVAL_E_MEMORY;
        b->along[d] = b->found[d];
        if (b->q->along == NULL) continue;
        b->along[d] = aval__alloc_array(b->q->count, sizeof(double));
        if (b->along[d] == NULL) return AVAL_E_MEMORY;
        aval__differences_project(b->q->along, b->found[d], b->along[d]);
    }
    return 0;
}

static void close_ballot(ballot *b)
{
    for (size_t d = 0; d < b->j->n_witnesses; d++) {
        if (b->along != NULL && b->found != NULL && b->along[d] != b->found[d]) aval__free(b->along[d]);
        if (b->found != NULL) aval__free(b->found[d]);
    }
    aval__free(b->found);
    aval__free(b->along);
    aval__free(b->difference);
    aval__free(b->passed);
    aval__free(b->alone);
    aval__free(b->party);
}

/* A gradient may be so small that the tolerance would let zeros pass for it. */
static bool is_missing(const aval__question *q, const double *found, aval__difference *difference)
{
    const double least = 1e-6;
    size_t largest = 0;
    for (size_t k = 0; k < q->count; k++) {
        if (found[k] != 0) return false;
        if (fabs(q->expected[k]) > fabs(q->expected[largest])) largest = k;
    }
    if (q->along == NULL || q->low != NULL || q->count == 0 || !(fabs(q->expected[largest]) > least)) return false;
    *difference = (aval__difference){ .error = INFINITY, .worst = largest, .compared = q->count };
    return true;
}

/* At kinks the nearest of all right values is what is expected.  Beside a pole or a jump to infinity there is no derivative, and
   nothing is wrong. */
static double nearest_right(const aval__question *q, size_t element, double found)
{
    double low = q->low[element], high = q->high[element];
    if (!isfinite(low) || !isfinite(high)) return found;
    return isfinite(found) ? fmin(fmax(found, low), high) : low; /* fmin would drop a NaN */
}

static int compare_referee(ballot *b, size_t d)
{
    const aval__question *q = b->q;
    double *nearest = NULL;
    if (q->low != NULL) {
        nearest = aval__alloc_array(q->count, sizeof *nearest);
        if (nearest == NULL) return AVAL_E_MEMORY;
        for (size_t e = 0; e < q->count; e++) nearest[e] = nearest_right(q, e, b->along[d][e]);
    }
    b->passed[d] = aval__check_compare(b->along[d], nearest != NULL ? nearest : q->expected, q->count, &q->tolerance, &b->difference[d]);
    if (b->passed[d]) b->passed[d] = !is_missing(q, b->along[d], &b->difference[d]);
    aval__free(nearest);
    return 0;
}

static int ask_referee(ballot *b)
{
    for (size_t d = 0; d < b->j->n_witnesses; d++) {
        bool changed = true;
        if (b->found[d] == NULL) continue;
        AVAL__TRY(compare_referee(b, d));
        while (!b->passed[d] && changed && b->q->refine != NULL) {
            changed = false;
            AVAL__TRY(b->q->refine(b->j, b->q, b->along[d], &b->difference[d], &changed));
            if (changed) AVAL__TRY(compare_referee(b, d));
        }
    }
    return 0;
}

/* Two results that are each right may lie on either side of what is. */
static bool agree(const ballot *b, size_t one, size_t other, aval__difference *difference)
{
    aval__tolerance wide = b->q->tolerance;
    size_t count = (size_t)aval__tensor_count(b->q->shape);
    wide.atol *= 2;
    wide.rtol *= 2;
    if (b->q->along != NULL && b->q->along->block > 1) {
        /* the largest along a direction is that of a sum of many: elements are held against the largest element */
        wide.least_scale = 0;
        for (size_t e = 0; e < count; e++) {
            if (isfinite(b->found[one][e])) wide.least_scale = fmax(wide.least_scale, fabs(b->found[one][e]));
        }
    }
    return aval__check_compare(b->found[one], b->found[other], count, &wide, difference);
}

static double miss(double found, double expected)
{
    return isfinite(found) ? fabs(found - expected) : INFINITY;
}

/* Both are right along the directions, and differ at an element: the referee's derivative by that element tells which is wrong. */
static int decide_pair(ballot *b, size_t one, size_t other, const aval__difference *apart)
{
    const aval__differences *d = b->q->along;
    double *by_output = aval__alloc_array(b->j->c->n_outputs + 1, sizeof *by_output);
    if (by_output == NULL) return AVAL_E_MEMORY;
    int status = aval__referee_element(b->j->referee, d, apart->worst, by_output);
    double right = by_output[b->q->output];
    size_t wrong = miss(b->found[one][apart->worst], right) > miss(b->found[other][apart->worst], right) ? one : other;
    aval__free(by_output);
    AVAL__TRY(status);
    b->passed[wrong] = false;
    b->alone[wrong] = true;
    b->difference[wrong] = *apart;
    return 0;
}

static int find_parties(ballot *b)
{
    size_t n = b->j->n_witnesses;
    bool hidden = b->q->along != NULL && b->q->along->block > 1;
    for (size_t d = 0; d < n; d++) b->party[d] = d;
    for (size_t one = 0; one < n; one++) {
        for (size_t other = one + 1; other < n; other++) {
            aval__difference apart;
            if (b->found[one] == NULL || b->found[other] == NULL) continue;
            bool same = agree(b, one, other, &apart);
            if (!same && hidden && b->passed[one] && b->passed[other]) AVAL__TRY(decide_pair(b, one, other, &apart));
            if (!same) continue;
            size_t from = b->party[other], to = b->party[one];
            for (size_t d = 0; d < n; d++) {
                if (b->party[d] == from) b->party[d] = to;
            }
        }
    }
    return 0;
}

/* How many compilers stand behind a party; SIZE_MAX: behind all of them together. */
static size_t count_votes(const ballot *b, size_t party)
{
    const aval_check_runner *runner = b->j->runner;
    size_t votes = 0;
    for (size_t d = 0; d < b->j->n_witnesses; d++) {
        if (b->found[d] == NULL || (party != SIZE_MAX && b->party[d] != party)) continue;
        bool counted = false;
        for (size_t k = 0; k < d; k++) {
            if (b->found[k] == NULL || (party != SIZE_MAX && b->party[k] != party)) continue;
            counted = counted || strcmp(runner->compiler(runner->user, k), runner->compiler(runner->user, d)) == 0;
        }
        if (!counted) votes++;
    }
    return votes;
}

static size_t count_found(const ballot *b, bool passed_only)
{
    size_t n = 0;
    for (size_t d = 0; d < b->j->n_witnesses; d++) n += b->found[d] != NULL && (!passed_only || b->passed[d]);
    return n;
}

/* Names of the devices of a party; with `passed`, of all that are right. */
static void put_devices(aval__text *text, const ballot *b, size_t party, bool passed)
{
    const char *between = "";
    for (size_t d = 0; d < b->j->n_witnesses; d++) {
        if (b->found[d] == NULL || (passed ? !b->passed[d] : b->party[d] != party)) continue;
        aval__text_add(text, "%s%zu (%s)", between, b->j->runner->number(b->j->runner->user, d),
                       b->j->runner->device(b->j->runner->user, d)->name);
        between = ", ";
    }
}

/* Who is to blame for the failure of device d, in a word and a sentence. */
static const char *blame(const ballot *b, size_t d, aval__text *why)
{
    size_t n = count_found(b, false), votes = count_votes(b, SIZE_MAX), own = count_votes(b, b->party[d]);
    if (n < 2) return "";
    for (size_t k = 0; votes >= 3 && k < b->j->n_witnesses; k++) {
        if (b->found[k] == NULL || b->party[k] == b->party[d] || 2 * count_votes(b, b->party[k]) <= votes) continue;
        aval__text_add(why, "; outvoted: ");
        put_devices(why, b, b->party[k], false);
        aval__text_add(why, " agree with each other and not with this device");
        return "device";
    }
    if (count_found(b, true) > 0) {
        aval__text_add(why, "; the referee finds right: device ");
        put_devices(why, b, 0, true);
        return "device";
    }
    if (2 * own > votes && (own > 1 || votes == 1)) {
        bool together = true;
        for (size_t k = 0; k < b->j->n_witnesses; k++) together = together && (b->found[k] == NULL || b->party[k] == b->party[d]);
        if (together) {
            aval__text_add(why, "; all %zu devices agree, so look at the operator's kernels and its reference%s, not at the devices", n,
                           votes == 1 ? " (and at the devices' common compiler)" : "");
            return "operator";
        }
    }
    return "";
}

/* "; x = 0.5": the inputs' elements that belong to an element of a result, where their shapes broadcast to its shape. */
static void put_inputs(aval__text *text, const aval__case *c, const aval_tensor *shape, size_t element)
{
    for (size_t i = 0; i < c->n_inputs; i++) {
        const aval_tensor *t = &c->inputs[i].tensor;
        size_t rest = element, at = 0, step = 1;
        bool fits = c->values[i] != NULL && t->rank <= shape->rank && aval__tensor_count(t) > 0;
        for (int32_t axis = shape->rank - 1, own = t->rank - 1; fits && axis >= 0; axis--, own--) {
            size_t index = rest % (size_t)shape->dims[axis];
            rest /= (size_t)shape->dims[axis];
            if (own < 0) continue;
            fits = t->dims[own] == 1 || t->dims[own] == shape->dims[axis];
            if (t->dims[own] != 1) at += index * step;
            step *= (size_t)t->dims[own];
        }
        if (!fits) continue;
        double x = c->inputs[i].real != NULL ? c->inputs[i].real[at] : (double)c->inputs[i].integer[at];
        aval__text_add(text, "; %s = %.9g", c->def->op->inputs[aval__input_port(c->def, i)].name, x);
    }
}

/* Where the device is off, and by how much; *ulps in the type under test. */
static void put_failure(aval__text *text, const ballot *b, size_t d, double *ulps)
{
    const aval__question *q = b->q;
    size_t worst = b->difference[d].worst;
    if (q->along != NULL && q->along->block > 1) {
        size_t from = worst * q->along->block, to = from + q->along->block - 1;
        if (b->alone[d]) {
            aval__check_put_element(text, q->shape, worst);
            aval__text_add(text, ": found %.9g, and right along all directions of many elements, but not here",
                           aval__check_shown(b->found[d][worst]));
            return;
        }
        if (worst >= q->along->n_blocks) aval__text_add(text, worst == q->along->n_blocks ? "first element" : "last element");
        else aval__text_add(text, "along a direction in elements %zu to %zu", from, to < q->along->elements ? to : q->along->elements - 1);
    } else {
        aval__check_put_element(text, q->shape, worst);
    }
    double found = b->along[d][worst], expected = q->expected[worst];
    *ulps = aval__check_ulps(found, expected, q->shape->type);
    aval__text_add(text, ": found %.9g, %s %.9g (%.3g times the tolerance, %.3g ULP", aval__check_shown(found),
                   q->along != NULL ? "by differences" : "expected", aval__check_shown(expected), b->difference[d].error, *ulps);
    if (q->low != NULL) aval__text_add(text, "; right is all from %.9g to %.9g", q->low[worst], q->high[worst]);
    aval__text_add(text, ")");
    if (q->along == NULL || q->along->block == 1) put_inputs(text, b->j->c, q->shape, worst);
}

static double worst_ulps(const ballot *b, size_t d)
{
    if (b->q->count == 0) return 0;
    return aval__check_ulps(b->along[d][b->difference[d].worst], b->q->expected[b->difference[d].worst], b->q->shape->type);
}

/* Looks for the mistake.  Of an op that fails everywhere the first failures tell enough. */
static int diagnose(ballot *b, size_t d, aval__text *likely, aval__text *detail)
{
    const unsigned most = 16; /* an op */
    aval__evidence e;
    if (b->j->diagnosed++ >= most) return 0;
    int status = aval__evidence_gather(b->j, b->q, d, b->found[d], b->alone[d] ? 0 : b->difference[d].worst, &e);
    if (status == 0) status = aval__diagnose(&e, likely);
    if (status == 0) aval__evidence_print(&e, detail);
    aval__evidence_release(&e);
    return status;
}

static int announce(ballot *b, size_t d)
{
    aval__text message = { 0 }, likely = { 0 }, detail = { 0 };
    aval_check_result result = { .what = b->q->name, .passed = b->passed[d], .error = b->difference[d].error, .blame = "" };
    int status = 0;
    if (b->passed[d]) result.ulps = worst_ulps(b, d);
    else {
        put_failure(&message, b, d, &result.ulps);
        result.blame = blame(b, d, &message);
        status = diagnose(b, d, &likely, &detail);
    }
    result.message = message.at;
    result.likely = likely.at;
    result.detail = detail.at;
    aval__judge_tell(b->j, d, &result);
    aval__text_release(&message);
    aval__text_release(&likely);
    aval__text_release(&detail);
    return status;
}

int aval__judge_question(aval__judge *j, aval__question *q)
{
    ballot b = { .j = j, .q = q };
    int status = 0;
    AVAL__TRY_DONE(open_ballot(&b));
    AVAL__TRY_DONE(ask_referee(&b));
    AVAL__TRY_DONE(find_parties(&b));
    for (size_t d = 0; d < j->n_witnesses; d++) {
        if (b.found[d] != NULL) AVAL__TRY_DONE(announce(&b, d));
    }
done:
    close_ballot(&b);
    return status;
}
