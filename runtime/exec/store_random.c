/* Fills and random numbers for the store.
 *
 * Random numbers come from Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): block b of an entry is
 * philox(counter = (b, hash of the name), key = seed), four words each, so an entry's numbers depend on nothing but the seed, its name
 * and the element's index: neither on the order in which entries are made nor on the machine.  Word w becomes the uniform number
 * (w + 0.5) / 2^32 in (0, 1); normal numbers are made from pairs of words by Box and Muller. */
#include "exec/store.h"

#include <math.h>
#include <string.h>

#define CHUNK 256 /* elements converted at a time; a multiple of the four of a block */

typedef struct stream {
    uint64_t seed, name;
} stream;

static void philox(const stream *s, uint64_t block, uint32_t out[4])
{
    uint32_t c[4] = { (uint32_t)block, (uint32_t)(block >> 32), (uint32_t)s->name, (uint32_t)(s->name >> 32) };
    uint32_t k[2] = { (uint32_t)s->seed, (uint32_t)(s->seed >> 32) };
    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)0xD2511F53u * c[0], q = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t next[4] = { (uint32_t)(q >> 32) ^ c[1] ^ k[0], (uint32_t)q, (uint32_t)(p >> 32) ^ c[3] ^ k[1], (uint32_t)p };
        memcpy(c, next, sizeof c);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

static double uniform(uint32_t word)
{
    return (word + 0.5) * 0x1p-32;
}

static void four_uniform(const stream *s, uint64_t block, double scale, double out[4])
{
    uint32_t words[4];
    philox(s, block, words);
    for (int i = 0; i < 4; i++) out[i] = scale * (2 * uniform(words[i]) - 1);
}

static void four_normal(const stream *s, uint64_t block, double scale, double out[4])
{
    static const double two_pi = 6.283185307179586476925286766559;
    uint32_t words[4];
    philox(s, block, words);
    for (int i = 0; i < 4; i += 2) {
        double radius = scale * sqrt(-2 * log(uniform(words[i]))), angle = two_pi * uniform(words[i + 1]);
        out[i] = radius * cos(angle);
        out[i + 1] = radius * sin(angle);
    }
}

/* Fans as aval.h says: matrix [in, out], filter [out, in, k...], vector [n], scalar. */
static void fans(const aval_tensor *t, double *fan_in, double *fan_out)
{
    double window = 1;
    for (int32_t i = 2; i < t->rank; i++) window *= (double)t->dims[i];
    *fan_in = t->rank == 0 ? 1 : (double)t->dims[0];
    *fan_out = t->rank < 2 ? *fan_in : (double)t->dims[1];
    if (t->rank > 2) {
        *fan_in = (double)t->dims[1] * window;
        *fan_out = (double)t->dims[0] * window;
    }
    *fan_in = fmax(*fan_in, 1); /* of empty tensors */
    *fan_out = fmax(*fan_out, 1);
}

static double plain(const aval_tensor *t)
{
    (void)t;
    return 1;
}

static double he(const aval_tensor *t)
{
    double fan_in, fan_out;
    fans(t, &fan_in, &fan_out);
    return sqrt(2 / fan_in);
}

static double xavier(const aval_tensor *t)
{
    double fan_in, fan_out;
    fans(t, &fan_in, &fan_out);
    return sqrt(6 / (fan_in + fan_out));
}

static const struct initializer {
    int id; /* aval_initializer */
    double (*scale)(const aval_tensor *t);
    void (*four)(const stream *s, uint64_t block, double scale, double out[4]);
} initializers[] = {
    { AVAL_INIT_UNIFORM, plain, four_uniform },
    { AVAL_INIT_NORMAL, plain, four_normal },
    { AVAL_INIT_HE, he, four_normal },
    { AVAL_INIT_XAVIER, xavier, four_uniform },
};

int aval_store_random(aval_store *store, const char *name, int type, size_t rank, const int64_t *dims, int initializer, double scale,
                      uint64_t seed)
{
    AVAL__NEED(store, "a store");
    const struct initializer *init = NULL;
    aval_tensor tensor;
    for (size_t i = 0; i < sizeof initializers / sizeof initializers[0]; i++)
        if (initializers[i].id == initializer) init = &initializers[i];
    if (!isfinite(scale)) return aval__fail(AVAL_E_ARGUMENT, "a finite scale is expected, found %g", scale);
    if (!init) return aval__fail(AVAL_E_ARGUMENT, "initializer %d is none of aval_initializer's", initializer);
    AVAL__TRY(aval__tensor_set(&tensor, type, rank, dims));
    if (!(AVAL_FLOATS & AVAL_TYPE_SET(type)))
        return aval__fail(AVAL_E_TYPE, "state '%s': random numbers are float, double or float16, found %s", name ? name : "",
                          aval_type_name(type));
    AVAL__TRY(aval__store_check(store, name, &tensor));

    size_t count = (size_t)aval__tensor_count(&tensor), item = aval_type_bytes(type);
    unsigned char *data = aval__alloc_array(count, item);
    if (!data) return AVAL_E_MEMORY;
    stream s = { seed, aval__hash64(name, strlen(name), 0) };
    scale *= init->scale(&tensor);
    for (size_t at = 0; at < count; at += CHUNK) {
        double numbers[CHUNK];
        size_t n = count - at < CHUNK ? count - at : CHUNK;
        for (size_t i = 0; i < n; i += 4) init->four(&s, (at + i) / 4, scale, numbers + i);
        aval__convert(data + at * item, type, numbers, AVAL_DOUBLE, n);
    }
    int status = aval__store_write(store, name, &tensor, data);
    aval__free(data);
    return status;
}

int aval_store_fill(aval_store *store, const char *name, int type, size_t rank, const int64_t *dims, double value)
{
    AVAL__NEED(store, "a store");
    aval_tensor tensor;
    AVAL__TRY(aval__tensor_set(&tensor, type, rank, dims));
    if (!(AVAL_STORED & AVAL_TYPE_SET(type)))
        return aval__fail(AVAL_E_TYPE, "state '%s' of type %s cannot be filled with a number", name ? name : "", aval_type_name(type));
    AVAL__TRY(aval__store_check(store, name, &tensor));
    unsigned char element[sizeof(double)];
    int code = aval__convert_number(element, type, value);
    if (code < 0) return aval__fail_in(code, "state '%s'", name);

    size_t count = (size_t)aval__tensor_count(&tensor), item = aval_type_bytes(type);
    unsigned char *data = aval__alloc_array(count, item);
    if (!data) return AVAL_E_MEMORY;
    for (size_t i = 0; i < count; i++) memcpy(data + i * item, element, item);
    int status = aval__store_write(store, name, &tensor, data);
    aval__free(data);
    return status;
}
