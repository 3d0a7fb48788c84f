/* What was found and what was expected at the elements of one tensor. */
#include "check/diagnose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Elements that are chosen of a tensor whose derivatives are known along directions only: each costs the referee two runs. */
#define MOST_CHOSEN 112
#define MOST_SHOWN 5

/* Evenly, from first to end. */
static void choose_range(size_t *at, size_t *n, size_t first, size_t end, size_t count)
{
    for (size_t k = 0; k < count && first < end; k++)
        at[(*n)++] = first + (size_t)((double)(end - first) * ((double)k + 0.5) / (double)count);
}

static int by_number(const void *a, const void *b)
{
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* Both ends, around 2^16, in the block that failed, and some of all. */
static void choose_elements(aval__evidence *e, size_t worst)
{
    const aval__differences *d = e->q->along;
    const size_t limit = 65536;
    size_t n = 0, first = worst < d->n_blocks ? worst * d->block : 0;
    size_t end = first + d->block < d->elements ? first + d->block : d->elements, kept = 0;
    for (size_t k = 0; k < 12 && k < d->elements; k++) {
        e->at[n++] = k;
        e->at[n++] = d->elements - 1 - k;
    }
    for (size_t k = limit - 4; k < limit + 4 && k < d->elements; k++) e->at[n++] = k;
    choose_range(e->at, &n, first, end, 32);
    choose_range(e->at, &n, 0, d->elements, MOST_CHOSEN - n);
    qsort(e->at, n, sizeof *e->at, by_number);
    for (size_t k = 0; k < n; k++) {
        if (kept == 0 || e->at[kept - 1] != e->at[k]) e->at[kept++] = e->at[k];
    }
    e->n = kept;
}

static int ask_elements(aval__evidence *e)
{
    double *by_output = aval__alloc_array(e->j->c->n_outputs + 1, sizeof *by_output);
    int status = by_output == NULL ? AVAL_E_MEMORY : 0;
    for (size_t k = 0; status == 0 && k < e->n; k++) {
        status = aval__referee_element(e->j->referee, e->q->along, e->at[k], by_output);
        e->expected[k] = by_output[e->q->output];
    }
    aval__free(by_output);
    return status;
}

static double expected_at(const aval__question *q, size_t element, double found)
{
    if (q->low == NULL || !isfinite(q->low[element]) || !isfinite(q->high[element])) return q->expected[element];
    return isfinite(found) ? fmin(fmax(found, q->low[element]), q->high[element]) : q->expected[element];
}

/* Of a direction of many elements the tolerance says nothing of each: there it is of the largest element. */
static void judge_elements(aval__evidence *e)
{
    const aval__tolerance *t = &e->q->tolerance;
    double least = e->whole ? t->least_scale : 0;
    for (size_t k = 0; !e->whole && k < e->n; k++) {
        if (isfinite(e->expected[k])) least = fmax(least, fabs(e->expected[k]));
    }
    for (size_t k = 0; k < e->n; k++) {
        double scale = fmax(fabs(e->expected[k]), least);
        if (t->scales != NULL) scale = fmax(scale, t->scales[e->at[k]]);
        e->allowed[k] = t->atol + t->rtol * scale;
        bool same = e->found[k] == e->expected[k] || (isnan(e->found[k]) && isnan(e->expected[k]));
        e->bad[k] = !same && !(fabs(e->found[k] - e->expected[k]) <= e->allowed[k]);
        e->n_bad += e->bad[k];
    }
}

static void take_again(aval__evidence *e)
{
    const aval__results *r = &e->j->witnesses[e->device].results;
    if (r->again == NULL || r->again_run != 3) {
        aval__free(e->again);
        e->again = NULL;
        return;
    }
    const aval__host_tensor *t = &r->again[e->q->tensor];
    for (size_t k = 0; k < e->n; k++) e->again[k] = t->real != NULL ? t->real[e->at[k]] : (double)t->integer[e->at[k]];
}

int aval__evidence_gather(aval__judge *j, const aval__question *q, size_t device, const double *found, size_t worst, aval__evidence *e)
{
    bool whole = q->along == NULL || q->along->block == 1;
    size_t room = whole ? q->count : MOST_CHOSEN;
    *e = (aval__evidence){ .j = j, .q = q, .device = device, .whole = whole };
    e->at = aval__alloc_array(room, sizeof *e->at);
    e->found = aval__alloc_array(room, sizeof *e->found);
    e->expected = aval__alloc_array(room, sizeof *e->expected);
    e->allowed = aval__alloc_array(room, sizeof *e->allowed);
    e->again = aval__alloc_array(room, sizeof *e->again);
    e->bad = aval__alloc_array(room, sizeof *e->bad);
    if (e->at == NULL || e->found == NULL || e->expected == NULL || e->allowed == NULL || e->again == NULL || e->bad == NULL)
        return AVAL_E_MEMORY;
    e->n = whole ? q->count : 0;
    for (size_t k = 0; k < e->n; k++) {
        e->at[k] = k;
        e->expected[k] = expected_at(q, k, found[k]);
    }
    if (!whole) {
        choose_elements(e, worst);
        AVAL__TRY(ask_elements(e));
    }
    for (size_t k = 0; k < e->n; k++) e->found[k] = found[e->at[k]];
    judge_elements(e);
    take_again(e);
    return 0;
}

void aval__evidence_release(aval__evidence *e)
{
    aval__free(e->at);
    aval__free(e->found);
    aval__free(e->expected);
    aval__free(e->allowed);
    aval__free(e->again);
    aval__free(e->bad);
}

static double error_of(const aval__evidence *e, size_t k)
{
    double off = fabs(e->found[k] - e->expected[k]);
    if (!e->bad[k]) return 0;
    return isfinite(off) && e->allowed[k] > 0 ? off / e->allowed[k] : INFINITY;
}

void aval__evidence_print(const aval__evidence *e, aval__text *text)
{
    size_t taken[MOST_SHOWN];
    for (size_t line = 0; line < MOST_SHOWN && line < e->n_bad; line++) {
        size_t worst = SIZE_MAX;
        for (size_t k = 0; k < e->n; k++) {
            bool before = false;
            for (size_t i = 0; i < line; i++) before = before || taken[i] == k;
            if (e->bad[k] && !before && (worst == SIZE_MAX || error_of(e, k) > error_of(e, worst))) worst = k;
        }
        taken[line] = worst;
        aval__check_put_element(text, e->q->shape, e->at[worst]);
        aval__text_add(text, " found %.9g, expected %.9g, off by %.3g (%.3g times the tolerance)\n", aval__check_shown(e->found[worst]),
                       aval__check_shown(e->expected[worst]), aval__check_shown(e->found[worst] - e->expected[worst]), error_of(e, worst));
    }
    if (e->n_bad > MOST_SHOWN)
        aval__text_add(text, "and %zu more of %zu elements%s\n", e->n_bad - MOST_SHOWN, e->n, e->whole ? "" : " looked at");
}
