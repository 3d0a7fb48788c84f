/* Judging a case: every output against the reference, every gradient against differences, the repetition against the first run. */
#include "check/judge.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const aval__type_row aval__type_rows[] = {
    { AVAL_FLOAT, "float", 1e-5, 1e-4, 1e-4, 1e-3 },
    /* a factor of 1.0001 in a derivative must fail */
    { AVAL_DOUBLE, "double", 1e-11, 1e-9, 1e-9, 1e-6 },
    /* half a unit in the last place of a half is 4.9e-4 */
    { AVAL_FLOAT16, "float16", 1e-3, 4e-3, 2e-3, 1e-2 },
    { .name = NULL },
};

void aval__judge_tell(aval__judge *j, size_t device, const aval_check_result *result)
{
    aval__witness *w = &j->witnesses[device];
    const aval_device_info *info = j->runner->device(j->runner->user, device);
    aval_check_result r = *result;
    r.size = sizeof r;
    r.op = j->what->op;
    r.device = info->name;
    r.device_number = j->runner->number(j->runner->user, device);
    r.sample = j->what->sample->inputs;
    r.attrs = j->what->sample->attrs == NULL ? "" : j->what->sample->attrs;
    r.type = j->row->name;
    if (r.message == NULL) r.message = "";
    if (r.blame == NULL) r.blame = "";
    if (r.fate == NULL) r.fate = "";
    if (r.likely == NULL) r.likely = "";
    if (r.detail == NULL) r.detail = "";
    *(r.passed > 0 ? &j->passed : r.passed == 0 ? &j->failed : &j->skipped) += 1;
    *(r.passed > 0 ? &w->verdict.passed : r.passed == 0 ? &w->verdict.failed : &w->verdict.skipped) += 1;
    if (r.passed > 0) w->verdict.error = fmax(w->verdict.error, r.error);
    char *folder = NULL;
    if (r.passed == 0 && r.folder == NULL && j->c != NULL && j->options->failures != NULL) folder = aval__failure_folder(j, device);
    if (r.folder == NULL) r.folder = folder == NULL ? "" : folder;
    if (r.value == NULL) r.value = "";
    if (r.passed >= 0) w->compared = true;
    if (r.passed == 0) {
        w->failed = true;
        j->forward_failed =
            j->forward_failed || strncmp(r.what, "forward", 7) == 0 || (strcmp(r.what, "run") == 0 && strcmp(r.fate, "error") == 0);
        w->blamed = w->blamed || strcmp(r.blame, "device") == 0;
        if (w->verdict.message[0] == 0) snprintf(w->verdict.message, sizeof w->verdict.message, "%s: %s", r.what, r.message);
        aval__text_add(&w->log, "%s: %s\n", r.what, r.message);
        if (r.likely[0] != 0) aval__text_add(&w->log, "likely: %s\n", r.likely);
        aval__text_add(&w->log, "%s", r.detail);
    }
    if (j->report != NULL) j->report(j->user, &r);
    aval__free(folder);
}

void aval__check_put_element(aval__text *text, const aval_tensor *t, size_t element)
{
    int64_t at[AVAL_MAX_RANK];
    for (int32_t axis = t->rank; axis-- > 0;) {
        int64_t length = t->dims[axis] > 0 ? t->dims[axis] : 1;
        at[axis] = (int64_t)element % length;
        element /= (size_t)length;
    }
    aval__text_add(text, "[");
    for (int32_t axis = 0; axis < t->rank; axis++) aval__text_add(text, "%s%lld", axis == 0 ? "" : ",", (long long)at[axis]);
    aval__text_add(text, "]");
}

double *aval__check_reals(const aval__host_tensor *t)
{
    size_t count = (size_t)aval__tensor_count(&t->tensor);
    double *out = aval__alloc_array(count, sizeof *out);
    for (size_t e = 0; out != NULL && e < count; e++) out[e] = t->real != NULL ? t->real[e] : (double)t->integer[e];
    return out;
}

/* ---- Shapes ------------------------------------------------------------------------------------------------------------------- */

/* What the i-th result must look like. */
static const aval_tensor *shape_of(const aval__judge *j, size_t i)
{
    const aval__case *c = j->c;
    return i < c->n_outputs ? &j->expected[i].tensor : &c->inputs[c->gradients[i - c->n_outputs].input].tensor;
}

/* Takes a witness out that gives tensors of wrong shapes; what it says of those cannot be compared. */
static void check_shapes(aval__judge *j, size_t device)
{
    aval__witness *w = &j->witnesses[device];
    const aval__case *c = j->c;
    aval__text message = { 0 };
    size_t n = c->n_outputs + c->n_gradients;
    if (w->results.count != n) aval__text_add(&message, "the run gave %zu tensors, expected %zu", w->results.count, n);
    for (size_t i = 0; i < n && message.at == NULL; i++) {
        const aval_tensor *found = &w->results.at[i].tensor, *expected = shape_of(j, i);
        if (aval__tensor_same_shape(found, expected) && found->type == expected->type) continue;
        if (i < c->n_outputs) aval__text_add(&message, "%s", c->output_names[i]);
        else aval__case_gradient_name(&message, c, &c->gradients[i - c->n_outputs]);
        aval__text_add(&message, ": the device gives ");
        aval__tensor_print(&message, found);
        aval__text_add(&message, ", the referee ");
        aval__tensor_print(&message, expected);
    }
    if (message.at == NULL) return;
    w->ran = false;
    aval__judge_tell(j, device, &(aval_check_result){ .what = "shapes", .passed = 0, .error = INFINITY, .message = message.at });
    aval__text_release(&message);
}

/* ---- Forward -------------------------------------------------------------------------------------------------------------------- */

static double loosened(const aval__judge *j, double row, double sample)
{
    return j->row->type == AVAL_DOUBLE ? row : fmax(row, sample);
}

/* Sums of large terms that cancel cannot be better than their terms: measured only where it matters. */
static int refine_scales(aval__judge *j, aval__question *q, const double *found, const aval__difference *difference, bool *changed)
{
    const aval__case *c = j->c;
    (void)found;
    (void)difference;
    if (q->tolerance.scales != NULL) return 0;
    if (j->scales == NULL) {
        j->scales = aval__alloc_array(c->n_outputs + 1, sizeof *j->scales);
        if (j->scales == NULL) return AVAL_E_MEMORY;
        for (size_t o = 0; o < c->n_outputs; o++) {
            j->scales[o] = aval__alloc_array((size_t)aval__tensor_count(&j->expected[o].tensor), sizeof(double));
            if (j->scales[o] == NULL) return AVAL_E_MEMORY;
        }
        AVAL__TRY(aval__referee_scales(j->referee, j->expected, j->scales));
    }
    q->tolerance.scales = j->scales[q->tensor];
    *changed = true;
    return 0;
}

static int judge_forward(aval__judge *j, size_t o)
{
    const aval__case *c = j->c;
    const aval__host_tensor *expected = &j->expected[o];
    aval__text name = { 0 };
    aval__text_add(&name, "forward %s", c->output_names[o]);
    double *reals = aval__check_reals(expected);
    int status = reals == NULL || name.failed ? AVAL_E_MEMORY : 0;
    if (status == 0) {
        aval__question q = { .name = name.at,
                             .tensor = o,
                             .shape = &expected->tensor,
                             .expected = reals,
                             .count = (size_t)aval__tensor_count(&expected->tensor) };
        if (expected->real != NULL) {
            q.refine = refine_scales;
            q.tolerance.atol = loosened(j, j->row->atol, c->sample->atol);
            q.tolerance.rtol = loosened(j, j->row->rtol, c->sample->rtol);
        }
        status = aval__judge_question(j, &q);
    }
    aval__free(reals);
    aval__text_release(&name);
    return status;
}

/* ---- Gradients ------------------------------------------------------------------------------------------------------------------ */

static double largest_of(const double *x, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        if (isfinite(x[i])) largest = fmax(largest, fabs(x[i]));
    }
    return largest;
}

/* A step of the referee's may have crossed a kink: smaller ones cross fewer. */
static int refine_step(aval__judge *j, aval__question *q, const double *found, const aval__difference *difference, bool *changed)
{
    const unsigned most = 4096; /* looks in all */
    const double divisors[] = { 16, 256 };
    aval__differences *d = &j->differences[q->along->input];
    (void)difference;
    if (q->low != NULL || q->refined > 0) return 0;
    for (size_t k = 0; k < q->count && q->refined < most; k++) {
        const double allowed = q->tolerance.atol + q->tolerance.rtol * fmax(fabs(q->expected[k]), q->tolerance.least_scale);
        for (size_t i = 0; i < 2 && !(fabs(found[k] - q->expected[k]) <= allowed); i++, q->refined++) {
            AVAL__TRY(aval__referee_refine(j->referee, d, k, divisors[i]));
            *changed = true;
        }
    }
    return 0;
}

static int judge_gradient(aval__judge *j, size_t number)
{
    const aval__case *c = j->c;
    const aval__case_gradient *g = &c->gradients[number];
    const aval__differences *d = &j->differences[g->input];
    const aval_tensor *shape = &c->inputs[g->input].tensor;
    uint32_t port = (uint32_t)1 << aval__input_port(c->def, g->input);
    double largest = largest_of(d->by_output[g->output], d->count);
    aval__text name = { 0 };
    aval__text_add(&name, "gradient ");
    aval__case_gradient_name(&name, c, g);
    aval__question q = { .name = name.at,
                         .tensor = c->n_outputs + number,
                         .shape = shape,
                         .tolerance = { .atol = loosened(j, j->row->grad_atol, c->sample->grad_atol),
                                        .rtol = loosened(j, j->row->grad_rtol, c->sample->grad_rtol),
                                        .least_scale = largest },
                         .expected = d->by_output[g->output],
                         .low = c->kinked ? d->low[g->output] : NULL,
                         .high = c->kinked ? d->high[g->output] : NULL,
                         .count = d->count,
                         .along = d,
                         .output = g->output,
                         .refine = refine_step };
    if (d->elements > 0) j->compared_ports |= port;
    if (largest > 0) j->moved_ports |= port;
    int status = name.failed ? AVAL_E_MEMORY : aval__judge_question(j, &q);
    aval__text_release(&name);
    return status;
}

/* ---- The case ------------------------------------------------------------------------------------------------------------------- */

static void judge_repeat(aval__judge *j, size_t device)
{
    const aval__case *c = j->c;
    int64_t differs = j->witnesses[device].results.differs;
    bool others = false; /* some other device repeats itself */
    aval__text message = { 0 };
    if (differs == AVAL__ONCE) return;
    for (size_t d = 0; d < j->n_witnesses; d++) others = others || (j->witnesses[d].ran && j->witnesses[d].results.differs == AVAL__SAME);
    if (differs >= 0) {
        aval__text_add(&message, "two equal runs gave different bits (the first and the %s) in ",
                       j->witnesses[device].results.again_run == 3 ? "third" : "second");
        if ((size_t)differs < c->n_outputs) aval__text_add(&message, "%s", c->output_names[differs]);
        else aval__case_gradient_name(&message, c, &c->gradients[(size_t)differs - c->n_outputs]);
    } else {
        aval__text_add(&message, "%lld runs gave equal bits", (long long)j->witnesses[device].results.runs);
    }
    const aval_check_result result = { .what = "repeat",
                                       .passed = differs < 0,
                                       .error = differs < 0 ? 0 : INFINITY,
                                       .blame = differs >= 0 && others ? "device" : "",
                                       .message = message.at };
    aval__judge_tell(j, device, &result);
    aval__text_release(&message);
}

int aval__judge_prepare(aval__judge *j)
{
    const aval__case *c = j->c;
    for (size_t g = 0; g < c->n_gradients; g++) {
        size_t input = c->gradients[g].input;
        if (j->differences[input].by_output == NULL) AVAL__TRY(aval__referee_differences(j->referee, input, &j->differences[input]));
    }
    return 0;
}

int aval__judge_case(aval__judge *j)
{
    const aval__case *c = j->c;
    bool any = false;
    for (size_t d = 0; d < j->n_witnesses; d++) {
        if (j->witnesses[d].ran) check_shapes(j, d);
        any = any || j->witnesses[d].ran;
    }
    if (!any) return 0;
    for (size_t o = 0; o < c->n_outputs; o++) AVAL__TRY(judge_forward(j, o));
    for (size_t g = 0; g < c->n_gradients; g++) AVAL__TRY(judge_gradient(j, g));
    for (size_t d = 0; d < j->n_witnesses; d++) {
        if (j->witnesses[d].ran) judge_repeat(j, d);
    }
    return 0;
}
