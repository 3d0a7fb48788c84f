/* Mistakes whose results the referee can be asked for: what would it give if the upstream gradient were all ones, an attribute were left at
 * its default, two inputs were exchanged? */
#include "check/diagnose.h"
#include "check/referee.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The referee's answer at the evidence's elements for the case as it is now, or for another one; *any: it has one, of the same shape. */
static int ask(const aval__evidence *e, const aval__case *c, double *p, bool *any)
{
    const aval__question *q = e->q;
    aval__referee *r = NULL;
    aval__host_tensor *outputs = aval__alloc_array(c->n_outputs + 1, sizeof *outputs);
    double *by_output = aval__alloc_array(c->n_outputs + 1, sizeof *by_output);
    int status = outputs == NULL || by_output == NULL ? AVAL_E_MEMORY : 0;
    *any = false;
    if (status == 0) status = aval__referee_create(c, &r);
    if (status == 0) status = aval__referee_forward(r, c->inputs, outputs);
    if (status < 0) goto done;
    *any = true;
    for (size_t o = 0; o < c->n_outputs; o++)
        *any = *any && o < e->j->c->n_outputs && aval__tensor_same_shape(&outputs[o].tensor, &e->j->expected[o].tensor);
    if (!*any) goto done;
    const aval__host_tensor *t = q->along == NULL ? &outputs[q->tensor] : NULL;
    for (size_t k = 0; status == 0 && k < e->n; k++) {
        if (t != NULL) {
            p[k] = t->real != NULL ? t->real[e->at[k]] : (double)t->integer[e->at[k]];
            continue;
        }
        status = aval__referee_element(r, q->along, e->at[k], by_output);
        p[k] = by_output[q->output];
    }
done:
    for (size_t o = 0; outputs != NULL && o < c->n_outputs; o++) aval__host_tensor_release(&outputs[o]);
    aval__free(outputs);
    aval__free(by_output);
    aval__referee_release(r);
    return status;
}

/* A sum of all outputs has no upstream of its own to change. */
static bool is_single_gradient(const aval__evidence *e)
{
    return e->q->along != NULL && e->q->output < e->j->c->n_outputs;
}

/* ---- The upstream gradient ------------------------------------------------------------------------------------------------------ */

/* Elements whose index along the axis is `index` become 0, or with `others` all those whose is not. */
static void mask(aval__host_tensor *t, int32_t axis, int64_t index, bool others)
{
    int64_t inner = 1, length = t->tensor.dims[axis], count = aval__tensor_count(&t->tensor);
    for (int32_t k = axis + 1; k < t->tensor.rank; k++) inner *= t->tensor.dims[k];
    for (int64_t i = 0; i < count; i++) {
        if ((i / inner % length == index) != others) t->real[i] = 0;
    }
}

/* Variant 0: all ones.  Then for each axis of the output: only its first, only its last index, all but the first, all but the last. */
int aval__suspect_upstream(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    *any = is_single_gradient(e);
    if (!*any) return 0;
    aval__case *c = e->j->c;
    aval__host_tensor *u = &c->upstreams[e->q->output];
    size_t count = (size_t)aval__tensor_count(&u->tensor), axis = (variant - 1) / 4, last = (variant - 1) % 2;
    bool others = (variant - 1) / 2 % 2 == 0;
    *any = count > 0 && (variant == 0 || axis < (size_t)u->tensor.rank);
    if (!*any) return 0;
    double *kept = aval__alloc_array(count, sizeof *kept);
    if (kept == NULL) return AVAL_E_MEMORY;
    memcpy(kept, u->real, count * sizeof *kept);
    if (variant == 0) {
        for (size_t i = 0; i < count; i++) u->real[i] = 1;
        aval__text_add(says, "the upstream gradient is ignored: this is the derivative for an upstream of all ones");
    } else {
        mask(u, (int32_t)axis, last ? u->tensor.dims[axis] - 1 : 0, others);
        aval__text_add(says,
                       others ? "a missing sum over axis %zu of %s: only its %s index counts"
                              : "off by one: of axis %zu of %s the %s index is left out of the sum",
                       axis, c->output_names[e->q->output], last ? "last" : "first");
    }
    bool answered;
    int status = ask(e, c, p, &answered);
    for (size_t k = 0; !answered && k < e->n; k++) p[k] = NAN;
    memcpy(u->real, kept, count * sizeof *kept);
    aval__free(kept);
    return status;
}

/* ---- Inputs --------------------------------------------------------------------------------------------------------------------------- */

/* The gradient of the input number `variant` of the same size. */
int aval__suspect_other_input(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    const aval__case *c = e->j->c;
    *any = e->q->along != NULL && variant < c->n_inputs;
    if (!*any) return 0;
    const aval__differences *other = &e->j->differences[variant];
    for (size_t k = 0; k < e->n; k++) p[k] = NAN;
    if (variant == e->q->along->input || other->by_output == NULL || other->by_output[e->q->output] == NULL) return 0;
    if (!e->whole || other->block != 1 || other->count != e->n) return 0;
    memcpy(p, other->by_output[e->q->output], e->n * sizeof *p);
    aval__text_add(says, "this is the gradient of input %s: swapped gradients", c->def->op->inputs[aval__input_port(c->def, variant)].name);
    return 0;
}

/* The op with two of its inputs exchanged; variants are the pairs. */
int aval__suspect_exchange(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    aval__case *c = e->j->c;
    size_t n = c->n_inputs, one = n == 0 ? 0 : variant / n, other = n == 0 ? 0 : variant % n;
    *any = one < n;
    for (size_t k = 0; *any && k < e->n; k++) p[k] = NAN;
    if (!*any || one >= other || c->values[one] == NULL || c->values[other] == NULL) return 0;
    aval__host_tensor *a = &c->inputs[one], *b = &c->inputs[other];
    if (a->real == NULL || b->real == NULL || !aval__tensor_same_shape(&a->tensor, &b->tensor)) return 0;
    double *kept = a->real;
    bool answered;
    a->real = b->real;
    b->real = kept;
    int status = ask(e, c, p, &answered);
    b->real = a->real;
    a->real = kept;
    aval__text_add(says, "swapped inputs: the result is right for %s and %s exchanged",
                   c->def->op->inputs[aval__input_port(c->def, one)].name, c->def->op->inputs[aval__input_port(c->def, other)].name);
    return status;
}

/* The first or last index along an axis of an input counts as 0: a loop that starts or ends one off. */
int aval__suspect_left_out(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    aval__case *c = e->j->c;
    size_t input = variant / (2 * AVAL_MAX_RANK), axis = variant / 2 % AVAL_MAX_RANK, last = variant % 2;
    *any = e->q->along == NULL && input < c->n_inputs;
    for (size_t k = 0; *any && k < e->n; k++) p[k] = NAN;
    if (!*any || c->values[input] == NULL || c->inputs[input].real == NULL) return 0;
    aval__host_tensor *t = &c->inputs[input];
    size_t count = (size_t)aval__tensor_count(&t->tensor);
    if (axis >= (size_t)t->tensor.rank || count == 0 || t->tensor.dims[axis] < 2) return 0;
    double *kept = aval__alloc_array(count, sizeof *kept);
    if (kept == NULL) return AVAL_E_MEMORY;
    memcpy(kept, t->real, count * sizeof *kept);
    mask(t, (int32_t)axis, last ? t->tensor.dims[axis] - 1 : 0, false);
    bool answered;
    int status = ask(e, c, p, &answered);
    memcpy(t->real, kept, count * sizeof *kept);
    aval__free(kept);
    aval__text_add(says, "off by one: the %s element along axis %zu of input %s is left out", last ? "last" : "first", axis,
                   c->def->op->inputs[aval__input_port(c->def, input)].name);
    return status;
}

/* ---- Attributes ------------------------------------------------------------------------------------------------------------------------- */

/* Values that are tried for an attribute: its default, 0, then small integers. */
#define VALUES (2 + 2 * AVAL_MAX_RANK)

/* The value number k of attribute `row`; false: there is none, or it is what the sample has. */
static bool other_value(const aval__attr_value *row, const aval__attr_value *initial, size_t k, aval__attr_value *value, aval__text *says)
{
    *value = *row;
    if (k == 0) {
        if (row->from_default || initial == NULL) return false;
        *value = *initial;
        aval__text_add(says, "attribute %s is ignored: this is the result for its default", row->name);
        return true;
    }
    if (row->type == AVAL_ATTR_FLOAT && k == 1 && row->real != 0) {
        value->real = 0;
        aval__text_add(says, "%s is left out: this is the result for %s=0", row->name, row->name);
        return true;
    }
    if (row->type != AVAL_ATTR_INT || row->integer < -AVAL_MAX_RANK || row->integer > AVAL_MAX_RANK) return false;
    value->integer = (int64_t)k - 1 - AVAL_MAX_RANK;
    if (value->integer == row->integer) return false;
    aval__text_add(says, "attribute %s is taken wrongly: this is the result for %s=%lld", row->name, row->name, (long long)value->integer);
    return true;
}

/* Asks for the case with these attributes. */
static int ask_with(const aval__evidence *e, const aval__attrs *attrs, double *p)
{
    aval__text text = { 0 };
    aval__case other;
    const char *skip = NULL;
    bool answered = false;
    aval__attrs_print(&text, attrs, false);
    aval_sample sample = *e->j->what->sample;
    sample.attrs = text.at;
    aval_check_case what = *e->j->what;
    what.sample = &sample;
    int status = text.failed ? AVAL_E_MEMORY : aval__case_make(e->j->ctx, &what, &other, &skip);
    if (!text.failed) {
        if (status == 0 && skip == NULL) status = ask(e, &other, p, &answered);
        aval__case_release(&other);
    }
    for (size_t k = 0; !answered && k < e->n; k++) p[k] = NAN;
    aval__text_release(&text);
    return status == AVAL_E_MEMORY ? status : 0; /* the op may refuse the value */
}

int aval__suspect_attribute(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    const aval__case *c = e->j->c;
    const aval_attr *declared = c->def->op->attrs;
    aval__arena arena = { 0 };
    aval__attrs attrs, initial = { 0 };
    size_t number = variant / VALUES;
    *any = false;
    int status = aval__attrs_parse(&arena, declared, c->sample->attrs, &attrs);
    if (status < 0 || number >= attrs.count) goto done;
    *any = true;
    for (size_t k = 0; k < e->n; k++) p[k] = NAN;
    aval__attr_value *rows = aval__arena_copy(&arena, attrs.at, attrs.count * sizeof *rows), value;
    status = rows == NULL ? AVAL_E_MEMORY : 0;
    /* required attributes have no default, so that the parse of none fails */
    if (status == 0 && aval__attrs_parse(&arena, declared, NULL, &initial) < 0) initial.count = 0;
    if (status < 0 || !other_value(&rows[number], aval__attrs_find(&initial, rows[number].name), variant % VALUES, &value, says)) goto done;
    rows[number] = value;
    rows[number].from_default = 0;
    const aval__attrs changed = { .at = rows, .count = attrs.count };
    status = ask_with(e, &changed, p);
done:
    aval__arena_release(&arena);
    return status == AVAL_E_MEMORY ? status : 0;
}

/* ---- Samples at kinks and jumps ------------------------------------------------------------------------------------------------------- */

/* Wrong elements that are asked for, each two runs of the referee or three. */
#define MOST_KINKS 64

static int suspect_kink(const aval__evidence *e, double *p, aval__text *says)
{
    size_t n = e->j->c->n_outputs + 1;
    double *sides = aval__alloc_array(2 * n, sizeof *sides);
    int status = sides == NULL ? AVAL_E_MEMORY : 0;
    for (size_t k = 0; status == 0 && k < e->n; k++) {
        p[k] = e->expected[k];
        if (!e->bad[k]) continue;
        status = aval__referee_sides(e->j->referee, e->q->along, e->at[k], sides, sides + n);
        double low = sides[e->q->output], high = sides[n + e->q->output];
        if (status == 0 && high - low > e->allowed[k]) p[k] = fmin(fmax(e->found[k], low), high);
    }
    aval__free(sides);
    aval__text_add(says,
                   "the sample lies at a kink: what was found is between the derivatives from both sides; choose other numbers, or mark "
                   "it AVAL_NO_GRADIENT_CHECK and say why");
    return status;
}

/* The output is what the referee gives for inputs that are moved by a unit of rounding, and it is not for those that are not. */
static int suspect_jump(const aval__evidence *e, double *p, aval__text *says)
{
    const aval__case *c = e->j->c;
    const double unit = 1e-6;
    aval__host_tensor *moved = aval__alloc_array(c->n_outputs + 1, sizeof *moved);
    int status = moved == NULL ? AVAL_E_MEMORY : 0;
    for (size_t k = 0; k < e->n; k++) p[k] = e->expected[k];
    for (uint64_t draw = 0; status == 0 && draw < 16; draw++) {
        status = aval__referee_move(e->j->referee, unit, draw, moved);
        const aval__host_tensor *t = &moved[e->q->tensor];
        for (size_t k = 0; status == 0 && k < e->n; k++) {
            double x = t->real != NULL ? t->real[e->at[k]] : (double)t->integer[e->at[k]];
            if (e->bad[k] && fabs(x - e->found[k]) <= e->allowed[k]) p[k] = x;
        }
        aval__host_tensors_release(moved, c->n_outputs);
    }
    aval__free(moved);
    aval__text_add(
        says, "the sample lies at a jump: inputs that differ by %g of themselves give what was found; choose other numbers for it", unit);
    return status;
}

int aval__suspect_sample(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    *any = variant == 0 && e->n_bad <= MOST_KINKS && e->q->low == NULL;
    if (!*any) return 0;
    return e->q->along != NULL ? suspect_kink(e, p, says) : suspect_jump(e, p, says);
}
