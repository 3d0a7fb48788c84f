/* Checking operators: every sample in every float type that the device has, forward and gradients. */
#include "check/case.h"

#include <math.h>
#include <string.h>

/* What a comparison allows, by element type; a sample may loosen the float row with its reason. */
typedef struct type_row {
    int type;
    const char *name;
    double atol, rtol; /* forward */
    double grad_atol, grad_rtol; /* against differences; the scale is at least the largest gradient of the tensor */
} type_row;

static const type_row type_rows[] = {
    { AVAL_FLOAT, "float", 1e-5, 1e-4, 1e-4, 1e-3 },
    /* a factor of 1.0001 in a derivative must fail */
    { AVAL_DOUBLE, "double", 1e-11, 1e-9, 1e-9, 1e-6 },
    /* half a unit in the last place of a half is 4.9e-4 */
    { AVAL_FLOAT16, "float16", 1e-3, 4e-3, 2e-3, 1e-2 },
};

typedef struct checker {
    aval_context *ctx;
    const aval_check_options *options;
    aval_check_function report;
    void *user;
    size_t passed, failed, skipped;
    /* of the case under way */
    aval__case *c;
    const type_row *row;
} checker;

static void tell(checker *k, const char *what, int passed, double error, const char *message)
{
    if (passed > 0) k->passed++;
    else if (passed == 0) k->failed++;
    else k->skipped++;
    if (k->report == NULL) return;
    const aval__case *c = k->c;
    const aval_check_result result = { .size = sizeof result,
                                       .op = c->def->name,
                                       .device = aval__device_info(aval__context_device(k->ctx, 0))->name,
                                       .sample = c->sample->inputs,
                                       .attrs = c->sample->attrs == NULL ? "" : c->sample->attrs,
                                       .type = k->row->name,
                                       .what = what,
                                       .passed = passed,
                                       .error = error,
                                       .message = message };
    k->report(k->user, &result);
}

static void tell_text(checker *k, aval__text *what, int passed, double error, aval__text *message)
{
    tell(k, what->at == NULL ? "" : what->at, passed, error, message->at == NULL ? "" : message->at);
    aval__text_release(what);
    aval__text_release(message);
}

/* "[1,2]" for an element of a tensor. */
static void put_element(aval__text *text, const aval_tensor *t, size_t element)
{
    int64_t at[AVAL_MAX_RANK];
    for (int32_t axis = t->rank; axis-- > 0;) {
        at[axis] = (int64_t)element % t->dims[axis];
        element /= (size_t)t->dims[axis];
    }
    aval__text_add(text, "[");
    for (int32_t axis = 0; axis < t->rank; axis++) aval__text_add(text, "%s%lld", axis == 0 ? "" : ",", (long long)at[axis]);
    aval__text_add(text, "]");
}

/* Integers as doubles: exact below 2^53, and a difference above stays one. */
static double *as_real(const aval__host_tensor *t)
{
    size_t count = (size_t)aval__tensor_count(&t->tensor);
    double *out = aval__alloc_array(count, sizeof *out);
    for (size_t e = 0; out != NULL && e < count; e++) out[e] = t->real != NULL ? t->real[e] : (double)t->integer[e];
    return out;
}

static int check_forward(checker *k, size_t o, const aval__host_tensor *found, const aval__host_tensor *all_expected)
{
    aval__case *c = k->c;
    const aval__host_tensor *expected = &all_expected[o];
    aval__text what = { 0 }, message = { 0 };
    aval__text_add(&what, "forward %s", c->def->op->outputs[o].name);
    if (!aval__tensor_same_shape(&found->tensor, &expected->tensor) || found->tensor.type != expected->tensor.type) {
        aval__text_add(&message, "the device gives ");
        aval__tensor_print(&message, &found->tensor);
        aval__text_add(&message, ", the reference ");
        aval__tensor_print(&message, &expected->tensor);
        tell_text(k, &what, 0, INFINITY, &message);
        return 0;
    }
    size_t count = (size_t)aval__tensor_count(&found->tensor);
    double *a = as_real(found), *b = as_real(expected), **scales = NULL;
    int status = a == NULL || b == NULL ? AVAL_E_MEMORY : 0;
    aval__tolerance tolerance = { 0 };
    aval__difference difference;
    bool passed = false;
    if (status < 0) goto done;
    if (found->real != NULL) {
        bool loosened = k->row->type != AVAL_DOUBLE;
        tolerance.atol = loosened ? fmax(k->row->atol, c->sample->atol) : k->row->atol;
        tolerance.rtol = loosened ? fmax(k->row->rtol, c->sample->rtol) : k->row->rtol;
    }
    passed = aval__check_compare(a, b, count, &tolerance, &difference);
    if (!passed && found->real != NULL) {
        /* Sums of large terms that cancel cannot be better than their terms: measured only where it matters. */
        scales = aval__alloc_array(c->n_outputs + 1, sizeof *scales);
        if (scales == NULL) status = AVAL_E_MEMORY;
        for (size_t i = 0; status == 0 && i < c->n_outputs; i++) {
            scales[i] = aval__alloc_array((size_t)aval__tensor_count(&all_expected[i].tensor), sizeof(double));
            if (scales[i] == NULL) status = AVAL_E_MEMORY;
        }
        AVAL__TRY_DONE(status);
        AVAL__TRY_DONE(aval__referee_scales(c, all_expected, scales));
        tolerance.scales = scales[o];
        passed = aval__check_compare(a, b, count, &tolerance, &difference);
    }
    if (!passed) {
        put_element(&message, &found->tensor, difference.worst);
        aval__text_add(&message, ": found %.9g, expected %.9g (%.3g times the tolerance)", a[difference.worst], b[difference.worst],
                       difference.error);
    }
    tell_text(k, &what, passed, difference.error, &message);
done:
    for (size_t i = 0; scales != NULL && i < c->n_outputs; i++) aval__free(scales[i]);
    aval__free(scales);
    aval__free(a);
    aval__free(b);
    return status;
}

static double largest_of(const double *x, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        if (isfinite(x[i])) largest = fmax(largest, fabs(x[i]));
    }
    return largest;
}

/* One gradient against the differences, element by element or along the blocks' directions. */
static int check_gradient(checker *k, const aval__case_gradient *gradient, const aval__host_tensor *found, const aval__differences *d)
{
    aval__case *c = k->c;
    const double *expected = d->by_output[gradient->output];
    const aval_tensor *shape = &c->inputs[gradient->input].tensor;
    size_t elements = (size_t)aval__tensor_count(shape);
    aval__text what = { 0 }, message = { 0 };
    size_t port = aval__input_port(c->def, gradient->input);
    aval__text_add(&what, "gradient d%s/d%s", c->def->op->outputs[gradient->output].name, c->def->op->inputs[port].name);
    if (c->def->variadic && port + 1 == c->def->n_inputs) aval__text_add(&what, "[%zu]", gradient->input - port);
    if (!aval__tensor_same_shape(&found->tensor, shape)) {
        aval__text_add(&message, "the gradient has shape ");
        aval__tensor_print(&message, &found->tensor);
        aval__text_add(&message, ", its input ");
        aval__tensor_print(&message, shape);
        tell_text(k, &what, 0, INFINITY, &message);
        return 0;
    }
    double *sums = aval__alloc_array(d->count, sizeof *sums);
    if (sums == NULL) return AVAL_E_MEMORY;
    for (size_t e = 0; e < elements; e++) sums[e / d->block] += (d->signs == NULL ? 1 : d->signs[e]) * found->real[e];
    bool loosened = k->row->type != AVAL_DOUBLE;
    double largest = largest_of(expected, d->count);
    const aval__tolerance tolerance = { .atol = loosened ? fmax(k->row->grad_atol, c->sample->grad_atol) : k->row->grad_atol,
                                        .rtol = loosened ? fmax(k->row->grad_rtol, c->sample->grad_rtol) : k->row->grad_rtol,
                                        .least_scale = largest };
    aval__difference difference;
    bool passed = aval__check_compare(sums, expected, d->count, &tolerance, &difference);
    if (!passed) {
        if (d->block == 1) put_element(&message, shape, difference.worst);
        else
            aval__text_add(&message, "along a direction in elements %zu to %zu", difference.worst * d->block,
                           (difference.worst + 1) * d->block < elements ? (difference.worst + 1) * d->block - 1 : elements - 1);
        aval__text_add(&message, ": found %.9g, by differences %.9g (%.3g times the tolerance)", sums[difference.worst],
                       expected[difference.worst], difference.error);
    } else if (largest > 1e-6 && largest_of(found->real, elements) == 0) {
        passed = false;
        aval__text_add(&message, "the gradient is zero everywhere, by differences its largest element is %.9g", largest);
    }
    tell_text(k, &what, passed, difference.error, &message);
    aval__free(sums);
    return 0;
}

static int check_gradients(checker *k, const aval__host_tensor *found)
{
    aval__case *c = k->c;
    for (size_t i = 0; i < c->n_inputs; i++) {
        bool any = false;
        for (size_t g = 0; g < c->n_gradients; g++) any = any || c->gradients[g].input == i;
        if (!any) continue;
        aval__differences d = { 0 };
        int status = aval__referee_differences(c, i, &d);
        for (size_t g = 0; status == 0 && g < c->n_gradients; g++) {
            if (c->gradients[g].input == i) status = check_gradient(k, &c->gradients[g], &found[g], &d);
        }
        aval__differences_release(&d, c->n_outputs);
        AVAL__TRY(status);
    }
    return 0;
}

/* Bit for bit: -0 and 0, and two kinds of NaN, are different. */
static bool same_bits(const aval__host_tensor *a, const aval__host_tensor *b)
{
    size_t count = (size_t)aval__tensor_count(&a->tensor);
    if (count == 0) return true;
    return a->real != NULL ? memcmp(a->real, b->real, count * sizeof(double)) == 0
                           : memcmp(a->integer, b->integer, count * sizeof(int64_t)) == 0;
}

static void check_repeat(checker *k, const aval__host_tensor *first, const aval__host_tensor *second, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (same_bits(&first[i], &second[i])) continue;
        const aval__case *c = k->c;
        aval__text what = { 0 }, message = { 0 };
        aval__text_add(&what, "repeat");
        aval__text_add(&message, "two equal runs gave different bits in %s", i < c->n_outputs ? c->def->op->outputs[i].name : "a gradient");
        tell_text(k, &what, 0, INFINITY, &message);
        return;
    }
    tell(k, "repeat", 1, 0, "");
}

static int compare_case(checker *k, aval__host_tensor *first, aval__host_tensor *second, aval__host_tensor *expected)
{
    aval__case *c = k->c;
    AVAL__TRY(aval__case_run(c, first, first + c->n_outputs));
    AVAL__TRY(aval__referee_forward(c, c->inputs, expected));
    for (size_t o = 0; o < c->n_outputs; o++) AVAL__TRY(check_forward(k, o, &first[o], expected));
    AVAL__TRY(check_gradients(k, first + c->n_outputs));
    if (c->def->op->deterministic != 0) {
        AVAL__TRY(aval__case_run(c, second, second + c->n_outputs));
        check_repeat(k, first, second, c->n_outputs + c->n_gradients);
    }
    return 0;
}

static int check_case(checker *k)
{
    size_t n = k->c->n_outputs + k->c->n_gradients + 1;
    aval__host_tensor *all = aval__alloc_array(3 * n, sizeof *all);
    if (all == NULL) return AVAL_E_MEMORY;
    int status = compare_case(k, all, all + n, all + 2 * n);
    for (size_t i = 0; i < 3 * n; i++) aval__host_tensor_release(&all[i]);
    aval__free(all);
    return status;
}

static bool type_possible(const checker *k, const type_row *row, const aval_sample *sample)
{
    if (row->type == AVAL_DOUBLE) return aval__device_info(aval__context_device(k->ctx, 0))->fp64 != 0;
    /* halves of large samples have ties wherever one looks */
    return row->type != AVAL_FLOAT16 || sample->size_class == AVAL_SMALL;
}

static int check_op(checker *k, const aval__opdef *def)
{
    for (size_t s = 0; def->op->samples[s].inputs != NULL; s++) {
        const aval_sample *sample = &def->op->samples[s];
        if (sample->size_class == AVAL_LARGE && !k->options->large) continue;
        for (size_t t = 0; t < sizeof type_rows / sizeof *type_rows; t++) {
            aval__case c;
            const char *skip;
            k->row = &type_rows[t];
            k->c = &c;
            if (!type_possible(k, k->row, sample)) continue;
            int status = aval__case_make(k->ctx, def, s, k->row->type, k->options->seed, !k->options->forward_only, &c, &skip);
            if (status == 0 && skip == NULL) status = check_case(k);
            /* a case that cannot run is a failed check of this op; only the host's memory ends the whole */
            if (status < 0 && status != AVAL_E_MEMORY) tell(k, "run", 0, INFINITY, aval_error());
            aval__case_release(&c);
            if (status == AVAL_E_MEMORY) return status;
        }
    }
    return 0;
}

int aval_check_ops(aval_context *ctx, const aval_check_options *options, aval_check_function report, void *user)
{
    const aval_check_options defaults = { .size = sizeof defaults };
    checker k = { .ctx = ctx, .options = options == NULL ? &defaults : options, .report = report, .user = user };
    AVAL__TRY(aval__context_ready(ctx));
    const aval__registry *registry = aval__context_registry(ctx);
    if (k.options->op != NULL) {
        const aval__opdef *def = aval__registry_find(registry, k.options->op, 0);
        if (def == NULL) return aval__fail(AVAL_E_UNKNOWN, "there is no operator '%s'; `aval ops` lists them", k.options->op);
        AVAL__TRY(check_op(&k, def));
    } else {
        for (size_t i = 0; i < aval__registry_count(registry); i++) AVAL__TRY(check_op(&k, aval__registry_at(registry, i)));
    }
    if (k.failed > 0) return aval__fail(AVAL_E_CHECK, "%zu of %zu comparisons failed", k.failed, k.failed + k.passed);
    if (k.passed == 0) return aval__fail(AVAL_E_CHECK, "nothing was compared");
    return 0;
}
