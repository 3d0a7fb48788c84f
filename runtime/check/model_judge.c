/* Comparing the steps of a model between devices, and with the referee: see model_judge.h. */
#include "check/model_judge.h"
#include "check/judge.h"

#include <math.h>
#include <string.h>

/* ---- Tolerances --------------------------------------------------------------------------------------------------------------------- */

/* What rounding may do, by element type; types that are not here (integers) must be equal. */
static const struct {
    int type;
    double rtol, noise, least; /* of the element, of the largest element, and whatever their size */
} roundings[] = {
    { AVAL_FLOAT, 1e-4, 1e-5, 1e-12 },
    { AVAL_DOUBLE, 1e-9, 1e-11, 1e-24 },
    { AVAL_FLOAT16, 4e-3, 1e-3, 1e-7 },
    { AVAL_BFLOAT16, 3e-2, 8e-3, 1e-7 },
};

static aval__tolerance tolerance_for(int type, const double *expected, size_t count, double reach, double loose)
{
    aval__tolerance t = { 0 };
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        if (isfinite(expected[i])) largest = fmax(largest, fabs(expected[i]));
    }
    for (size_t i = 0; i < sizeof roundings / sizeof *roundings; i++) {
        if (roundings[i].type != type) continue;
        t.rtol = loose * roundings[i].rtol;
        /* sums of terms that cancel are as exact as their terms are large */
        t.atol = loose * (roundings[i].least + roundings[i].noise * fmax(largest, 0.4 * reach));
    }
    return t;
}

bool aval__model_compare(const aval__piece *found, const aval__piece *expected, double reach, aval__difference *difference)
{
    *difference = (aval__difference){ .error = INFINITY };
    if (found == NULL || found->shape.type != expected->shape.type || !aval__tensor_same_shape(&found->shape, &expected->shape))
        return false;
    size_t count = (size_t)aval__tensor_count(&expected->shape);
    double *a = aval__piece_reals(found), *b = aval__piece_reals(expected);
    bool same = false;
    if (a != NULL && b != NULL) {
        const aval__tolerance t = tolerance_for(expected->shape.type, b, count, reach, 1);
        same = aval__check_compare(a, b, count, &t, difference);
    }
    aval__free(a);
    aval__free(b);
    return same;
}

bool aval__model_compare_referee(const aval__piece *found, const aval__host_tensor *expected, double loose, aval__difference *difference)
{
    *difference = (aval__difference){ .error = INFINITY };
    if (!aval__tensor_same_shape(&found->shape, &expected->tensor)) return false;
    size_t count = (size_t)aval__tensor_count(&expected->tensor);
    double *a = aval__piece_reals(found), *b = aval__check_reals(expected);
    bool same = false;
    if (a != NULL && b != NULL) {
        const aval__tolerance t = tolerance_for(found->shape.type, b, count, 0, loose);
        same = aval__check_compare(a, b, count, &t, difference);
    }
    aval__free(a);
    aval__free(b);
    return same;
}

/* ---- Telling ------------------------------------------------------------------------------------------------------------------------- */

void aval__model_tell(aval__model_judge *j, size_t device, const char *what, const aval_check_result *result)
{
    aval_check_result r = *result;
    aval__text text = { 0 };
    if (r.passed > 0) aval__text_add(&text, "%llu steps", (unsigned long long)(j->step - j->options->first));
    else aval__text_add(&text, "step %llu", (unsigned long long)j->step + 1);
    r.size = sizeof r;
    r.op = j->model->name == NULL ? "model" : j->model->name;
    r.device = j->runner->device(j->runner->user, device)->name;
    r.device_number = j->runner->number(j->runner->user, device);
    r.sample = text.at == NULL ? "" : text.at;
    r.attrs = "";
    r.type = "float";
    r.what = what;
    if (r.message == NULL) r.message = "";
    if (r.blame == NULL) r.blame = "";
    if (r.fate == NULL) r.fate = "";
    if (r.likely == NULL) r.likely = "";
    if (r.detail == NULL) r.detail = "";
    if (r.value == NULL) r.value = "";
    if (r.folder == NULL) r.folder = "";
    j->passed += r.passed > 0;
    j->failed += r.passed == 0;
    if (r.passed == 0) j->witnesses[device].alive = false;
    if (j->report != NULL) j->report(j->user, &r);
    aval__text_release(&text);
}

void aval__model_put_device(const aval__model_judge *j, size_t device, aval__text *text)
{
    aval__text_add(text, "%zu (%s)", j->runner->number(j->runner->user, device), j->runner->device(j->runner->user, device)->name);
}

/* ---- Asking -------------------------------------------------------------------------------------------------------------------------- */

static int hear(aval__model_judge *j, size_t device, bool trace)
{
    aval__model_witness *w = &j->witnesses[device];
    aval_check_outcome outcome = { .size = sizeof outcome, .fate = "error" };
    aval__bundle *into = trace ? &w->trace : &w->answer;
    aval__bundle_release(into);
    j->runner->finish(j->runner->user, device, &outcome);
    if (outcome.status == 0) outcome.status = aval__bundle_unpack(outcome.results, outcome.bytes, into);
    if (!trace) w->ran = outcome.status == 0;
    if (outcome.status == 0) return AVAL_OK;
    const char *message = outcome.message != NULL && outcome.message[0] != 0 ? outcome.message : aval_error();
    char *kept = aval__copy_text(message); /* the folder may ask the device for more */
    if (kept == NULL) return AVAL_E_MEMORY;
    int status = aval__model_fail(j, device, "run",
                                  &(aval_check_result){ .passed = 0, .error = INFINITY, .message = kept, .fate = outcome.fate }, NULL);
    aval__free(kept);
    return status;
}

int aval__model_ask(aval__model_judge *j, const aval__bundle *request, const bool *asked)
{
    void *bytes;
    size_t size;
    int status = aval__bundle_pack(request, &bytes, &size);
    if (status < 0) return status;
    for (size_t d = 0; d < j->n; d++) {
        if (asked[d]) j->runner->begin(j->runner->user, d, bytes, size);
    }
    for (size_t d = 0; d < j->n; d++) {
        int heard = asked[d] ? hear(j, d, request->command == AVAL__MODEL_TRACE) : AVAL_OK;
        if (heard < 0) status = heard;
    }
    aval__free(bytes);
    return status;
}
