/* The mistake that fits what was found.
 *
 * Each row of `suspicions` supposes a mistake and says what it would give.  The row that explains all elements, or nearly all of many, is named,
 * the rows with fewer free numbers first.  Where only some elements are wrong, `places` says which, and the rows are tried on those.  What is named
 * is a fit, not a proof: the text says how many elements it explains. */
#include "check/diagnose.h"

#include <math.h>
#include <string.h>

/* ---- Mistakes that arithmetic shows ---------------------------------------------------------------------------------------------- */

static int suspect_zero(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    *any = variant == 0;
    for (size_t k = 0; k < e->n; k++) p[k] = 0;
    aval__text_add(says, "it is zero: nothing is computed there, or the gradient is not passed on");
    return 0;
}

static int suspect_sign(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    *any = variant == 0;
    for (size_t k = 0; k < e->n; k++) p[k] = -e->expected[k];
    aval__text_add(says, "wrong sign: a factor of -1");
    return 0;
}

/* The place of an element when the indices of two axes of equal length are exchanged, or when a matrix is read as its transpose. */
static bool exchanged(const aval_tensor *t, size_t element, size_t one, size_t other, size_t *place)
{
    if (t->rank == 2 && t->dims[0] != t->dims[1]) {
        size_t rows = (size_t)t->dims[0], columns = (size_t)t->dims[1];
        *place = element % rows * columns + element / rows;
        return true;
    }
    if (t->dims[one] != t->dims[other]) return false;
    int64_t step_one = 1, step_other = 1;
    for (int32_t k = t->rank - 1; k > (int32_t)one; k--) step_one *= t->dims[k];
    for (int32_t k = t->rank - 1; k > (int32_t)other; k--) step_other *= t->dims[k];
    int64_t i = (int64_t)element / step_one % t->dims[one], k = (int64_t)element / step_other % t->dims[other];
    *place = (size_t)((int64_t)element + (k - i) * step_one + (i - k) * step_other);
    return true;
}

static int suspect_transposed(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    const aval_tensor *t = e->q->shape;
    size_t one = variant / AVAL_MAX_RANK, other = variant % AVAL_MAX_RANK, place;
    *any = e->whole && one < (size_t)t->rank;
    for (size_t k = 0; *any && k < e->n; k++) {
        bool can = one < other && other < (size_t)t->rank && exchanged(t, k, one, other, &place);
        p[k] = can ? e->expected[place] : NAN;
    }
    aval__text_add(says, "transposed: axes %zu and %zu are exchanged", one, other);
    return 0;
}

/* The element `by` further along the axis; SIZE_MAX: there is none. */
static size_t neighbour(const aval_tensor *t, size_t element, size_t axis, int64_t by)
{
    int64_t step = 1;
    for (int32_t k = t->rank - 1; k > (int32_t)axis; k--) step *= t->dims[k];
    int64_t index = (int64_t)element / step % t->dims[axis] + by;
    return index < 0 || index >= t->dims[axis] ? SIZE_MAX : (size_t)((int64_t)element + by * step);
}

/* By one along an axis, either way.  What comes in at the edge is anybody's guess. */
static int suspect_shifted(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    const aval_tensor *t = e->q->shape;
    size_t axis = variant / 2;
    int64_t by = variant % 2 == 0 ? 1 : -1;
    *any = e->whole && axis < (size_t)t->rank;
    for (size_t k = 0; *any && k < e->n; k++) {
        size_t from = neighbour(t, k, axis, by);
        p[k] = t->dims[axis] < 3 ? NAN : from != SIZE_MAX ? e->expected[from] : e->n_bad > 2 ? e->found[k] : NAN;
    }
    aval__text_add(says, "off by one: shifted by %+lld along axis %zu", (long long)-by, axis);
    return 0;
}

/* Variant 0: of all elements. */
static int suspect_reversed(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    const aval_tensor *t = e->q->shape;
    *any = e->whole && variant <= (size_t)t->rank;
    if (*any && variant-- == 0) {
        for (size_t k = 0; k < e->n; k++) p[k] = e->n < 2 ? NAN : e->expected[e->n - 1 - k];
        aval__text_add(says, "the order of all elements is reversed");
        return 0;
    }
    for (size_t k = 0; *any && k < e->n; k++) {
        int64_t step = 1;
        for (int32_t i = t->rank - 1; i > (int32_t)variant; i--) step *= t->dims[i];
        int64_t index = (int64_t)k / step % t->dims[variant];
        p[k] = t->dims[variant] < 2 ? NAN : e->expected[(int64_t)k + (t->dims[variant] - 1 - 2 * index) * step];
    }
    aval__text_add(says, "the order along axis %zu is reversed", variant);
    return 0;
}

/* Least squares of found = factor * expected + offset over the wrong elements; false: too few to tell. */
static bool fit_line(const aval__evidence *e, bool with_offset, double *factor, double *offset)
{
    double n = 0, x = 0, y = 0, xx = 0, xy = 0;
    for (size_t k = 0; k < e->n; k++) {
        if (!e->bad[k]) continue;
        if (!isfinite(e->found[k]) || !isfinite(e->expected[k])) return false;
        n++;
        x += e->expected[k];
        y += e->found[k];
        xx += e->expected[k] * e->expected[k];
        xy += e->expected[k] * e->found[k];
    }
    double spread = with_offset ? n * xx - x * x : xx;
    if (n < (with_offset ? 4 : 3) || !(spread > 0)) return false;
    *factor = with_offset ? (n * xy - x * y) / spread : xy / xx;
    *offset = with_offset ? (y - *factor * x) / n : 0;
    return true;
}

/* " (1 / the length of axis 2)": where a factor may come from. */
static void put_origin(const aval__evidence *e, double factor, aval__text *says)
{
    const aval__case *c = e->j->c;
    for (size_t i = 0; i < c->n_inputs; i++) {
        const aval_tensor *t = &c->inputs[i].tensor;
        for (int32_t axis = 0; c->values[i] != NULL && axis < t->rank; axis++) {
            double length = (double)t->dims[axis];
            bool times = fabs(factor - length) < 1e-3 * length, divided = fabs(factor * length - 1) < 1e-3;
            if (length < 3 || (!times && !divided)) continue;
            aval__text_add(says, " (%sthe length of axis %d of input %s: a sum for a mean, or the reverse?)", divided ? "1 / " : "",
                           (int)axis, c->def->op->inputs[aval__input_port(c->def, i)].name);
            return;
        }
    }
}

static int suspect_factor(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    double factor, offset;
    *any = variant == 0 && fit_line(e, false, &factor, &offset);
    if (!*any) return 0;
    for (size_t k = 0; k < e->n; k++) p[k] = factor * e->expected[k];
    aval__text_add(says, "a constant factor of %.6g", factor);
    put_origin(e, factor, says);
    return 0;
}

static int suspect_offset(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    double n = 0, sum = 0;
    *any = variant == 0;
    for (size_t k = 0; k < e->n; k++) {
        if (!e->bad[k]) continue;
        n++;
        sum += e->found[k] - e->expected[k];
    }
    *any = *any && n >= 3 && isfinite(sum);
    for (size_t k = 0; *any && k < e->n; k++) p[k] = e->expected[k] + sum / n;
    aval__text_add(says, "a constant offset of %.6g: a missing or additional term", sum / n);
    return 0;
}

static int suspect_line(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    double factor, offset;
    *any = variant == 0 && e->n_bad >= 6 && fit_line(e, true, &factor, &offset);
    if (!*any) return 0;
    for (size_t k = 0; k < e->n; k++) p[k] = factor * e->expected[k] + offset;
    aval__text_add(says, "a factor of %.6g and an offset of %.6g: a term is missing or additional", factor, offset);
    return 0;
}

/* Integers of fewer bits than the result has. */
static int suspect_overflow(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    static const int bits[] = { 32, 16, 8 };
    *any = variant < sizeof bits / sizeof *bits && e->q->shape->type != AVAL_FLOAT && e->q->shape->type != AVAL_DOUBLE &&
           e->q->shape->type != AVAL_FLOAT16;
    if (!*any) return 0;
    double range = ldexp(1, bits[variant]);
    for (size_t k = 0; k < e->n; k++) {
        double rest = fmod(e->expected[k], range);
        p[k] = rest >= range / 2 ? rest - range : rest < -range / 2 ? rest + range : rest;
        if (p[k] != e->found[k]) p[k] = rest < 0 ? rest + range : rest; /* unsigned */
    }
    aval__text_add(says, "integer overflow: the result is right but for multiples of 2^%d", bits[variant]);
    return 0;
}

/* found - expected = factor * term, where the term is the upstream gradient, or that times an input of its shape, or such an input. */
static bool term_at(const aval__evidence *e, size_t variant, size_t k, double *term)
{
    const aval__case *c = e->j->c;
    const aval__host_tensor *u = e->q->along != NULL ? &c->upstreams[e->q->output] : NULL,
                            *x = variant == 0 ? NULL : &c->inputs[variant - 1];
    int64_t count = aval__tensor_count(e->q->shape);
    if ((u == NULL || e->q->output == c->n_outputs) && x == NULL) return false;
    if (u != NULL && (u->real == NULL || aval__tensor_count(&u->tensor) != count)) return false;
    if (x != NULL && (c->values[variant - 1] == NULL || x->real == NULL || aval__tensor_count(&x->tensor) != count)) return false;
    *term = (u == NULL ? 1 : u->real[e->at[k]]) * (x == NULL ? 1 : x->real[e->at[k]]);
    return true;
}

static int suspect_term(const aval__evidence *e, size_t variant, double *p, aval__text *says, bool *any)
{
    double both = 0, squares = 0, term;
    const aval__case *c = e->j->c;
    *any = variant <= c->n_inputs;
    for (size_t k = 0; k < e->n; k++) p[k] = NAN;
    for (size_t k = 0; *any && k < e->n; k++) {
        if (!term_at(e, variant, k, &term) || !isfinite(e->found[k])) return 0;
        both += (e->found[k] - e->expected[k]) * term;
        squares += term * term;
    }
    if (!*any || e->n_bad < 3 || !(squares > 0)) return 0;
    for (size_t k = 0; k < e->n; k++) {
        if (term_at(e, variant, k, &term)) p[k] = e->expected[k] + both / squares * term;
    }
    aval__text_add(says, "a term is %s: %.6g times %s%s%s", both < 0 ? "missing" : "additional", fabs(both / squares),
                   e->q->along != NULL ? "the upstream gradient" : "", e->q->along != NULL && variant > 0 ? " times " : "",
                   variant > 0 ? c->def->op->inputs[aval__input_port(c->def, variant - 1)].name : "");
    return 0;
}

/* Those without free numbers first. */
static const aval__suspicion suspicions[] = {
    aval__suspect_sample, /* the case is at fault, not the operator */
    suspect_zero,
    suspect_sign,
    aval__suspect_attribute,
    suspect_transposed,
    suspect_reversed,
    suspect_shifted,
    aval__suspect_other_input,
    suspect_overflow,
    aval__suspect_upstream,
    aval__suspect_exchange,
    aval__suspect_left_out,
    suspect_factor,
    suspect_offset,
    suspect_term,
    suspect_line,
};

/* ---- Which elements ----------------------------------------------------------------------------------------------------------------- */

/* A set of elements; *any: there is a variant of this number. */
typedef bool (*place_test)(const aval__evidence *e, size_t variant, size_t k, bool *any);

static bool at_last(const aval__evidence *e, size_t variant, size_t k, bool *any)
{
    *any = variant == 0;
    return e->at[k] + 1 == (size_t)aval__tensor_count(e->q->shape);
}

static bool at_first(const aval__evidence *e, size_t variant, size_t k, bool *any)
{
    *any = variant == 0;
    return e->at[k] == 0;
}

static int64_t index_along(const aval_tensor *t, size_t element, size_t axis)
{
    int64_t step = 1;
    for (int32_t k = t->rank - 1; k > (int32_t)axis; k--) step *= t->dims[k];
    return (int64_t)element / step % t->dims[axis];
}

static bool at_axis_end(const aval__evidence *e, size_t variant, size_t k, bool *any)
{
    const aval_tensor *t = e->q->shape;
    size_t axis = variant / 2;
    *any = axis < (size_t)t->rank;
    if (!*any || t->dims[axis] < 2) return false;
    return index_along(t, e->at[k], axis) == (variant % 2 ? 0 : t->dims[axis] - 1);
}

static size_t first_bad(const aval__evidence *e)
{
    size_t k = 0;
    while (!e->bad[k]) k++;
    return k;
}

/* All from the first wrong one on. */
static bool at_tail(const aval__evidence *e, size_t variant, size_t k, bool *any)
{
    *any = variant == 0 && first_bad(e) > 0;
    return *any && k >= first_bad(e);
}

/* One lane of groups of 2, 4 ... 256 work-items. */
static bool at_lane(const aval__evidence *e, size_t variant, size_t k, bool *any)
{
    size_t group = (size_t)2 << variant;
    *any = variant < 8 && e->n >= 2 * group;
    return *any && e->at[k] % group == e->at[first_bad(e)] % group;
}

static void say_tail(const aval__evidence *e, size_t variant, aval__text *says)
{
    size_t first = e->at[first_bad(e)], count = (size_t)aval__tensor_count(e->q->shape);
    (void)variant;
    aval__text_add(says, "only the elements from number %zu on", first);
    if (first >= 65528 && first <= 65544) aval__text_add(says, ", above 2^16: an index or a loop of 16 bits, or a limit on work-items");
    for (size_t group = 256; group >= 4; group /= 2) {
        if (first % group != 0 || count - first >= group) continue;
        aval__text_add(says, ", what is left over after full groups of %zu", group);
        return;
    }
}

static void say_last(const aval__evidence *e, size_t variant, aval__text *says)
{
    (void)e;
    (void)variant;
    aval__text_add(says, "only the last element");
}

static void say_first(const aval__evidence *e, size_t variant, aval__text *says)
{
    (void)e;
    (void)variant;
    aval__text_add(says, "only the first element");
}

static void say_axis_end(const aval__evidence *e, size_t variant, aval__text *says)
{
    (void)e;
    aval__text_add(says, "only the %s index along axis %zu: the edge", variant % 2 ? "first" : "last", variant / 2);
}

static void say_lane(const aval__evidence *e, size_t variant, aval__text *says)
{
    aval__text_add(says, "only every %zuth element, beginning with %zu: one work-item of each group", (size_t)2 << variant,
                   e->at[first_bad(e)]);
}

static const struct {
    place_test test;
    void (*say)(const aval__evidence *e, size_t variant, aval__text *says);
    double share; /* of the set that must be wrong; none outside may be */
} places[] = {
    { at_last, say_last, 1 },   { at_first, say_first, 1 }, { at_axis_end, say_axis_end, 0.8 },
    { at_lane, say_lane, 0.8 }, { at_tail, say_tail, 0.8 },
};

/* Where the wrong elements are; nothing: everywhere, or nowhere in particular. */
static void put_place(const aval__evidence *e, aval__text *says)
{
    if (e->n_bad == e->n) return;
    for (size_t row = 0; row < sizeof places / sizeof *places; row++) {
        bool any = true;
        for (size_t variant = 0; any; variant++) {
            size_t inside = 0, both = 0;
            for (size_t k = 0; k < e->n && any; k++) {
                bool in = places[row].test(e, variant, k, &any);
                inside += in;
                both += in && e->bad[k];
            }
            if (!any || both < e->n_bad || (double)both < places[row].share * (double)inside) continue;
            places[row].say(e, variant, says);
            return;
        }
    }
    if (e->n_bad > 1) {
        aval__text_add(says, "%zu of %zu elements%s", e->n_bad, e->n, e->whole ? "" : " looked at");
        return;
    }
    aval__text_add(says, "only element ");
    aval__check_put_element(says, e->q->shape, e->at[first_bad(e)]);
}

/* ---- What is no number ------------------------------------------------------------------------------------------------------------------ */

/* What the third run's poison reads as. */
static double poison_of(int type)
{
    unsigned char bytes[8];
    float single;
    double number;
    memset(bytes, 0x3f, sizeof bytes);
    memcpy(&single, bytes, sizeof single);
    memcpy(&number, bytes, sizeof number);
    return type == AVAL_FLOAT ? (double)single : type == AVAL_DOUBLE ? number : type == AVAL_FLOAT16 ? 1.8115234375 : (double)0x3f;
}

/* NaN in the first run, which NaN in unwritten memory gives: the third run, with a number there, tells more. */
static bool put_unwritten(const aval__evidence *e, aval__text *says)
{
    double poison = poison_of(e->q->shape->type);
    size_t same = 0, added = 0, finite = 0, nans = 0, infinities = 0;
    for (size_t k = 0; k < e->n; k++) {
        if (!e->bad[k]) continue;
        nans += isnan(e->found[k]) != 0;
        infinities += isinf(e->found[k]) != 0;
        if (e->again == NULL) continue;
        finite += isfinite(e->again[k]) != 0;
        same += e->again[k] == poison;
        added += fabs(e->again[k] - e->expected[k] - poison) <= e->allowed[k] + 1e-3 * poison * (e->q->shape->type == AVAL_FLOAT16);
    }
    if (infinities == e->n_bad) aval__text_add(says, "infinite: a division by zero, or an overflow");
    if (nans < e->n_bad) return infinities == e->n_bad;
    if (same == e->n_bad) aval__text_add(says, "never written");
    else if (added == e->n_bad) aval__text_add(says, "accumulates: it adds to what the memory held before, instead of writing");
    else if (finite > 0) aval__text_add(says, "depends on memory that nobody wrote: read out of range, or read before it is written");
    else aval__text_add(says, "NaN by computation: 0/0, the logarithm or root of a negative number, or an infinity minus itself");
    return true;
}

/* ---- The verdict ------------------------------------------------------------------------------------------------------------------------- */

/* Nearly all of many: a rounding here and there is no objection. */
static bool is_enough(size_t explained, size_t of)
{
    return explained >= (of < 50 ? of : of - of / 50);
}

/* How many elements a supposed mistake explains, of the wrong ones or of all; 0 when those are not enough. */
static size_t explained(const aval__evidence *e, const double *p, bool all)
{
    size_t wrong = 0, right = 0;
    for (size_t k = 0; k < e->n; k++) {
        bool fits = fabs(e->found[k] - p[k]) <= e->allowed[k] || e->found[k] == p[k];
        *(e->bad[k] ? &wrong : &right) += fits;
    }
    if (wrong == 0 || !is_enough(wrong, e->n_bad)) return 0;
    if (!all) return wrong;
    return is_enough(right, e->n - e->n_bad) ? wrong + right : 0;
}

/* The first row that explains enough; *fits 0: none. */
static int find_fit(const aval__evidence *e, bool all, double *p, aval__text *says, size_t *fits)
{
    *fits = 0;
    for (size_t row = 0; row < sizeof suspicions / sizeof *suspicions; row++) {
        bool any = true;
        for (size_t variant = 0; any; variant++) {
            aval__text name = { 0 };
            int status = suspicions[row](e, variant, p, &name, &any);
            size_t n = status < 0 || !any ? 0 : explained(e, p, all);
            if (n > 0) {
                aval__text_add(says, "%s", name.at);
                *fits = n;
            }
            aval__text_release(&name);
            if (status < 0 || *fits > 0) return status;
        }
    }
    return 0;
}

int aval__diagnose(const aval__evidence *e, aval__text *likely)
{
    aval__text what = { 0 }, place = { 0 };
    size_t fits = 0;
    int status = 0;
    if (e->n_bad == 0) return 0;
    double *p = aval__alloc_array(e->n, sizeof *p);
    if (p == NULL) return AVAL_E_MEMORY;
    put_place(e, &place);
    if (put_unwritten(e, &what)) {
        aval__text_add(likely, "%s%s%s", place.at == NULL ? "" : place.at, place.at == NULL ? "" : ": ", what.at);
        goto done;
    }
    AVAL__TRY_DONE(find_fit(e, true, p, &what, &fits));
    if (fits > 0) {
        aval__text_add(likely, "%s; explains %zu of %zu elements%s", what.at, fits, e->n, e->n == 1 ? ": a guess" : "");
        goto done;
    }
    AVAL__TRY_DONE(find_fit(e, false, p, &what, &fits));
    if (place.at != NULL) aval__text_add(likely, "%s%s", place.at, fits > 0 ? ": " : "");
    if (fits > 0)
        aval__text_add(likely, "%s; explains %zu of %zu wrong elements%s", what.at, fits, e->n_bad, e->n_bad == 1 ? ": a guess" : "");
done:
    aval__free(p);
    aval__text_release(&what);
    aval__text_release(&place);
    return status < 0 ? status : likely->failed ? AVAL_E_MEMORY : 0;
}
