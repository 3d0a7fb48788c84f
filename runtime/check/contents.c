/* What a case's inputs and upstream gradients hold: values and ranges of the sample, or the files of a failure's folder. */
#include "check/case.h"
#include "model/model.h"

#include <math.h>
#include <string.h>

double aval__check_random(uint64_t seed, uint64_t stream, uint64_t index)
{
    const uint64_t key[3] = { seed, stream, index };
    return (double)(aval__hash64(key, sizeof key, 0) >> 11) * 0x1p-53;
}

/* Values that lie evenly in the range in random order, so that no two are near each other and none is near a middle kink. */
static int fill_distinct(double *at, size_t count, double low, double high, uint64_t seed, uint64_t stream)
{
    uint32_t *order = aval__alloc_array(count, sizeof *order);
    if (order == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < count; i++) order[i] = (uint32_t)i;
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)(aval__check_random(seed, stream, i) * (double)i);
        uint32_t other = order[j];
        order[j] = order[i - 1];
        order[i - 1] = other;
    }
    for (size_t i = 0; i < count; i++) at[i] = low + (order[i] + 0.5) * (high - low) / (double)count;
    aval__free(order);
    return 0;
}

static void fill_real(aval__host_tensor *t, double low, double high, uint64_t seed, uint64_t stream)
{
    size_t count = (size_t)aval__tensor_count(&t->tensor);
    for (size_t i = 0; i < count; i++) t->real[i] = low + (high - low) * aval__check_random(seed, stream, i);
}

/* Drawn numbers must not lie at kinks, and halves are so few that some would.  Kinks are at round numbers, and where inputs are equal or add up
   to a round number.  So the last four binary digits of a number tell which input it is of, as 1, 3, 5 or 7: no such number is round, none of
   one input is equal to one of another, and neither their sums nor their differences are round. */
static void keep_off_kinks(aval__host_tensor *t, double low, double high, size_t input)
{
    const double period = 16, own = 2 * (double)(input % 4) + 1;
    size_t count = (size_t)aval__tensor_count(&t->tensor);
    for (size_t i = 0; i < count; i++) {
        double *x = &t->real[i], unit = aval__check_unit(*x, t->tensor.type), sign = *x < 0 ? -1 : 1;
        double near = sign * (floor(fabs(*x) / (period * unit)) * period + own) * unit;
        if (near < low) near += period * unit;
        if (near > high) near -= period * unit;
        if (unit > 0 && near >= low && near <= high) *x = near;
    }
}

static void fill_integer(aval__host_tensor *t, double low, double high, uint64_t seed, uint64_t stream)
{
    size_t count = (size_t)aval__tensor_count(&t->tensor);
    for (size_t i = 0; i < count; i++) {
        double x = aval__check_random(seed, stream, i);
        t->integer[i] = t->tensor.type == AVAL_BOOL ? x < 0.5 : (int64_t)fmin(floor(low + (high - low + 1) * x), high);
    }
}

static void fill_values(aval__host_tensor *t, const aval__sample_input *from)
{
    size_t count = (size_t)aval__tensor_count(&t->tensor);
    for (size_t i = 0; i < count; i++) {
        double x = from->values[i % from->n_values];
        uint64_t element = 0;
        if (t->real != NULL) t->real[i] = x;
        else {
            aval__convert(&element, t->tensor.type, &x, AVAL_DOUBLE, 1);
            aval__convert(&t->integer[i], AVAL_INT64, &element, t->tensor.type, 1);
        }
    }
}

static int round_to_storage(aval__host_tensor *t)
{
    void *data = aval__alloc(aval__tensor_bytes(&t->tensor));
    if (data == NULL) return AVAL_E_MEMORY;
    aval__host_tensor_to(t, data);
    aval__host_tensor_from(t, data);
    aval__free(data);
    return 0;
}

static int check_shape(const aval_tensor *found, const aval_tensor *expected)
{
    if (found->type == expected->type && aval__tensor_same_shape(found, expected)) return AVAL_OK;
    aval__text text = { 0 };
    aval__tensor_print(&text, expected);
    aval__text_add(&text, ", found ");
    aval__tensor_print(&text, found);
    int code = text.failed ? AVAL_E_MEMORY : aval__fail(AVAL_E_FORMAT, "not what the case has there: expected %s", text.at);
    aval__text_release(&text);
    return code;
}

aval_tensor aval__case_file_shape(const aval__host_tensor *t)
{
    aval_tensor shape = t->tensor;
    if (!aval__npy_has(shape.type)) shape.type = t->real != NULL ? AVAL_DOUBLE : AVAL_INT64;
    return shape;
}

/* The file must hold what `shape` says.  *out is made. */
static int read_npy(const char *file, const aval_tensor *shape, aval__host_tensor *out)
{
    aval_tensor found, written = { 0 };
    const void *data;
    unsigned char *bytes = NULL;
    size_t count;
    int status = aval__host_tensor_make(out, shape);
    if (status == AVAL_OK) written = aval__case_file_shape(out);
    if (status == AVAL_OK) status = aval__file_read(file, SIZE_MAX - 1, &bytes, &count);
    if (status == AVAL_OK) status = aval__npy_parse(bytes, count, &found, &data);
    if (status == AVAL_OK) status = check_shape(&found, &written);
    if (status == AVAL_OK && written.type == shape->type) aval__host_tensor_from(out, data); /* headers are padded: elements are aligned */
    else if (status == AVAL_OK && aval__tensor_count(shape) > 0)
        memcpy(out->real != NULL ? (void *)out->real : out->integer, data, aval__tensor_bytes(&written));
    aval__free(bytes);
    return status < 0 ? aval__fail_in(status, "'%s'", file) : AVAL_OK;
}

static int read_file(aval__host_tensor *t, const char *folder, const char *kind, size_t number)
{
    aval__text name = { 0 };
    aval__text_add(&name, "%s/%s_%zu.npy", folder, kind, number);
    const aval_tensor shape = t->tensor;
    aval__host_tensor_release(t);
    int status = name.failed ? AVAL_E_MEMORY : read_npy(name.at, &shape, t);
    aval__text_release(&name);
    return status;
}

int aval__case_fill_input(aval__case *c, size_t i, const aval__sample_input *from, const char *folder)
{
    aval__host_tensor *t = &c->inputs[i];
    double low = from->has_range ? from->low : c->sample->low, high = from->has_range ? from->high : c->sample->high;
    if (low == 0 && high == 0) low = -1, high = 1;
    if (folder != NULL) return read_file(t, folder, "input", i);
    if (from->has_values) fill_values(t, from);
    else if (t->real == NULL) fill_integer(t, low, high, c->seed, i);
    else if ((c->sample->flags & AVAL_DISTINCT) != 0)
        AVAL__TRY(fill_distinct(t->real, (size_t)aval__tensor_count(&t->tensor), low, high, c->seed, i));
    else {
        fill_real(t, low, high, c->seed, i);
        keep_off_kinks(t, low, high, i);
    }
    return round_to_storage(t);
}

int aval__case_fill_upstream(aval__case *c, size_t o, const char *folder)
{
    aval__host_tensor *t = &c->upstreams[o];
    if (folder != NULL) return read_file(t, folder, "upstream", o);
    fill_real(t, -1, 1, c->seed, 1000 + o);
    return round_to_storage(t);
}
