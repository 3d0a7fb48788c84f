/* Derivatives by differences of the referee.
 *
 * With u the upstream gradient of output y, what backward should give for an input x is d(sum of u y)/dx.  Its centred difference is
 * (sum of u (y(x + h s) - y(x - h s))) / 2h, with s one element, or random signs within a block. */
#include "check/referee.h"

#include <math.h>
#include <string.h>

/* A difference step is this share of the input's largest magnitude: near the cube root of double's epsilon, where the error of the
   truncated series and that of rounding are equal. */
#define STEP 6e-6
/* Elements of inputs and outputs that may be passed over for the differences by one input: what decides between elements and blocks. */
#define MOST_WORK ((size_t)1 << 21)

static double sign_of(const aval__differences *d, size_t direction, size_t element)
{
    return d->signs == NULL || direction >= d->n_blocks ? 1 : d->signs[element];
}

/* The elements that a direction moves. */
static void range_of(const aval__differences *d, size_t direction, size_t *first, size_t *end)
{
    *first = direction < d->n_blocks ? direction * d->block : direction == d->n_blocks ? 0 : d->elements - 1;
    *end = direction < d->n_blocks ? *first + d->block : *first + 1;
    if (*end > d->elements) *end = d->elements;
}

/* Outputs with the elements of a range moved by `step` along the signs. */
static int move_range(aval__referee *r, const aval__differences *d, size_t direction, size_t first, size_t end, double step,
                      aval__host_tensor *outputs)
{
    double *x = r->moved[d->input].real;
    const double *old = r->c->inputs[d->input].real;
    for (size_t e = first; e < end; e++) x[e] = old[e] + step * sign_of(d, direction, e);
    int status = aval__referee_forward(r, r->moved, outputs);
    memcpy(x + first, old + first, (end - first) * sizeof *x);
    return status;
}

/* Sum of u (above - below), for each output and all together; by element, so that large equal parts cancel before they are rounded into a
   sum. */
static void weigh(const aval__case *c, const aval__host_tensor *above, const aval__host_tensor *below, double divisor, double *by_output)
{
    double joint = 0;
    for (size_t o = 0; o < c->n_outputs; o++) {
        if (c->upstream_values[o] == NULL) continue;
        double sum = 0;
        for (size_t e = 0, n = (size_t)aval__tensor_count(&above[o].tensor); e < n; e++) {
            double moves = above[o].real[e] - below[o].real[e];
            if (moves == 0) continue;
            sum += c->upstreams[o].real[e] * moves;
            if (c->joint != NULL) joint += c->joint[o][e] * moves;
        }
        by_output[o] = sum / divisor;
    }
    by_output[c->n_outputs] = joint / divisor;
}

typedef struct sides {
    aval__host_tensor *above, *at, *below;
} sides;

static int make_sides(sides *s, size_t n_outputs)
{
    s->above = aval__alloc_array(3 * (n_outputs + 1), sizeof *s->above);
    if (s->above == NULL) return AVAL_E_MEMORY;
    s->at = s->above + n_outputs + 1;
    s->below = s->at + n_outputs + 1;
    return 0;
}

static void release_sides(sides *s, size_t n_outputs)
{
    if (s->above != NULL) aval__host_tensors_release(s->above, 3 * (n_outputs + 1));
    aval__free(s->above);
}

/* Centred differences, and with `low` not NULL the smaller and the larger of the one-sided ones: n_outputs + 1 numbers each. */
static int difference(aval__referee *r, const aval__differences *d, size_t direction, size_t first, size_t end, double step,
                      double *centred, double *low, double *high)
{
    const aval__case *c = r->c;
    sides s;
    int status = make_sides(&s, c->n_outputs);
    if (status < 0) return status;
    AVAL__TRY_DONE(move_range(r, d, direction, first, end, step, s.above));
    AVAL__TRY_DONE(move_range(r, d, direction, first, end, -step, s.below));
    weigh(c, s.above, s.below, 2 * step, centred);
    if (low == NULL) goto done;
    AVAL__TRY_DONE(aval__referee_forward(r, r->moved, s.at));
    weigh(c, s.above, s.at, step, low);
    weigh(c, s.at, s.below, step, high);
    for (size_t o = 0; o <= c->n_outputs; o++) {
        double one = low[o], other = high[o];
        low[o] = fmin(one, other);
        high[o] = fmax(one, other);
    }
done:
    release_sides(&s, c->n_outputs);
    return status;
}

static void choose_directions(const aval__case *c, aval__differences *d)
{
    size_t work = 0;
    for (size_t o = 0; o < c->n_outputs; o++) work += 2 * (size_t)aval__tensor_count(&c->outputs[o]->tensor);
    for (size_t i = 0; i < c->n_inputs; i++) work += c->values[i] == NULL ? 0 : 2 * (size_t)aval__tensor_count(&c->inputs[i].tensor);
    size_t most = work == 0 ? MOST_WORK : MOST_WORK / work;
    if (most < 4) most = 4;
    d->block = c->kinked ? 1 : (d->elements + most - 1) / most;
    if (d->block == 0) d->block = 1;
    if (d->block > AVAL__BLOCK) d->block = AVAL__BLOCK;
    d->n_blocks = (d->elements + d->block - 1) / d->block;
    d->count = d->block > 1 ? d->n_blocks + 2 : d->n_blocks;
}

static int allocate_rows(const aval__case *c, aval__differences *d, double ***rows)
{
    *rows = aval__alloc_array(c->n_outputs + 1, sizeof **rows);
    if (*rows == NULL) return AVAL_E_MEMORY;
    for (size_t o = 0; o <= c->n_outputs; o++) {
        if (c->upstream_values[o] != NULL && ((*rows)[o] = aval__alloc_array(d->count, sizeof(double))) == NULL) return AVAL_E_MEMORY;
    }
    return 0;
}

static int allocate(const aval__case *c, aval__differences *d)
{
    AVAL__TRY(allocate_rows(c, d, &d->by_output));
    if (c->kinked) AVAL__TRY(allocate_rows(c, d, &d->low));
    if (c->kinked) AVAL__TRY(allocate_rows(c, d, &d->high));
    if (d->block == 1) return 0;
    d->signs = aval__alloc_array(d->elements, sizeof *d->signs);
    if (d->signs == NULL) return AVAL_E_MEMORY;
    for (size_t e = 0; e < d->elements; e++) d->signs[e] = aval__check_random(c->seed, 3000 + d->input, e) < 0.5 ? -1 : 1;
    return 0;
}

static void put_row(const aval__case *c, double **rows, size_t direction, const double *numbers)
{
    for (size_t o = 0; rows != NULL && o <= c->n_outputs; o++) {
        if (rows[o] != NULL) rows[o][direction] = numbers[o];
    }
}

static int take(aval__referee *r, aval__differences *d, size_t direction, double step)
{
    const aval__case *c = r->c;
    size_t first, end, n = c->n_outputs + 1;
    double *numbers = aval__alloc_array(3 * n, sizeof *numbers);
    if (numbers == NULL) return AVAL_E_MEMORY;
    range_of(d, direction, &first, &end);
    int status = difference(r, d, direction, first, end, step, numbers, c->kinked ? numbers + n : NULL, numbers + 2 * n);
    if (status == 0) {
        put_row(c, d->by_output, direction, numbers);
        put_row(c, d->low, direction, numbers + n);
        put_row(c, d->high, direction, numbers + 2 * n);
    }
    aval__free(numbers);
    return status;
}

int aval__referee_differences(aval__referee *r, size_t input, aval__differences *d)
{
    const aval__case *c = r->c;
    double largest = 0;
    *d = (aval__differences){ .input = input, .elements = (size_t)aval__tensor_count(&c->inputs[input].tensor) };
    choose_directions(c, d);
    AVAL__TRY(allocate(c, d));
    for (size_t e = 0; e < d->elements; e++) largest = fmax(largest, fabs(c->inputs[input].real[e]));
    d->step = STEP * (largest > 0 ? largest : 1);
    for (size_t k = 0; k < d->count; k++) AVAL__TRY(take(r, d, k, d->step));
    return 0;
}

int aval__referee_refine(aval__referee *r, aval__differences *d, size_t direction, double divisor)
{
    return take(r, d, direction, d->step / divisor);
}

int aval__referee_element(aval__referee *r, const aval__differences *d, size_t element, double *by_output)
{
    return difference(r, d, d->n_blocks, element, element + 1, d->step, by_output, NULL, NULL);
}

int aval__referee_sides(aval__referee *r, const aval__differences *d, size_t element, double *low, double *high)
{
    double *centred = aval__alloc_array(r->c->n_outputs + 1, sizeof *centred);
    if (centred == NULL) return AVAL_E_MEMORY;
    int status = difference(r, d, d->n_blocks, element, element + 1, d->step, centred, low, high);
    aval__free(centred);
    return status;
}

void aval__differences_project(const aval__differences *d, const double *found, double *along)
{
    for (size_t k = 0; k < d->count; k++) {
        size_t first, end;
        range_of(d, k, &first, &end);
        along[k] = 0;
        for (size_t e = first; e < end; e++) along[k] += sign_of(d, k, e) * found[e];
    }
}

static void release_rows(double **rows, size_t n_outputs)
{
    for (size_t o = 0; rows != NULL && o <= n_outputs; o++) aval__free(rows[o]);
    aval__free(rows);
}

void aval__differences_release(aval__differences *d, size_t n_outputs)
{
    release_rows(d->by_output, n_outputs);
    release_rows(d->low, n_outputs);
    release_rows(d->high, n_outputs);
    aval__free(d->signs);
    *d = (aval__differences){ 0 };
}
