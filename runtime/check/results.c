/* Results as bytes and back: a head, then each tensor (and each of the run that gave other bits) as type, rank, dimensions and elements in its own type, then the programs' texts.
 * A tensor's elements are filled up to a multiple of 8 bytes, so that the next tensor is aligned for every element type. */
#include "check/results.h"
#include "check/bytes.h"

#include <string.h>

#define MAGIC 0x0153544c55534552ull /* "RESULTS" and 1, so that other bytes are told apart */

typedef struct head {
    uint64_t magic, count, programs;
    int64_t differs, again_run, runs;
} head;

typedef struct tensor_head {
    int32_t type, rank;
    int64_t dims[AVAL_MAX_RANK];
} tensor_head;

int aval__results_make(aval__results *r, size_t count)
{
    *r = (aval__results){ .count = count, .differs = AVAL__ONCE };
    r->at = aval__alloc_array(count + 1, sizeof *r->at);
    return r->at == NULL ? AVAL_E_MEMORY : AVAL_OK;
}

void aval__results_release(aval__results *r)
{
    for (size_t i = 0; r->at != NULL && i < r->count; i++) aval__host_tensor_release(&r->at[i]);
    for (size_t i = 0; r->programs != NULL && i < r->n_programs; i++) {
        aval__free(r->programs[i].name);
        aval__free(r->programs[i].options);
        aval__free(r->programs[i].text);
    }
    for (size_t i = 0; r->again != NULL && i < r->count; i++) aval__host_tensor_release(&r->again[i]);
    aval__free(r->again);
    aval__free(r->at);
    aval__free(r->programs);
    *r = (aval__results){ 0 };
}

static size_t filled_up(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

static int put_tensor(aval__text *out, const aval__host_tensor *t)
{
    size_t bytes = aval__tensor_bytes(&t->tensor);
    tensor_head h = { .type = t->tensor.type, .rank = t->tensor.rank };
    memcpy(h.dims, t->tensor.dims, sizeof h.dims);
    aval__text_put(out, (const char *)&h, sizeof h);
    void *data = aval__alloc(filled_up(bytes));
    if (data == NULL) return AVAL_E_MEMORY;
    aval__host_tensor_to(t, data);
    aval__text_put(out, data, filled_up(bytes));
    aval__free(data);
    return AVAL_OK;
}

int aval__results_pack(const aval__results *r, void **bytes, size_t *size)
{
    const head h = { .magic = MAGIC,
                     .count = r->count,
                     .programs = r->n_programs,
                     .differs = r->differs,
                     .runs = r->runs,
                     .again_run = r->again != NULL ? r->again_run : 0 };
    aval__text out = { 0 };
    int status = AVAL_OK;
    aval__text_put(&out, (const char *)&h, sizeof h);
    for (size_t i = 0; i < r->count; i++) AVAL__TRY_DONE(put_tensor(&out, &r->at[i]));
    for (size_t i = 0; r->again != NULL && i < r->count; i++) AVAL__TRY_DONE(put_tensor(&out, &r->again[i]));
    for (size_t i = 0; i < r->n_programs; i++) {
        aval__bytes_put_text(&out, r->programs[i].name);
        aval__bytes_put_text(&out, r->programs[i].options);
        aval__bytes_put_text(&out, r->programs[i].text);
    }
    *size = out.length;
    *bytes = aval__text_take(&out);
    if (*bytes == NULL) status = AVAL_E_MEMORY;
done:
    aval__text_release(&out);
    return status;
}

static int take_tensor(aval__reader *r, aval__host_tensor *out)
{
    tensor_head h;
    aval_tensor shape;
    const void *at = aval__reader_take(r, sizeof h);
    if (at == NULL) return aval__reader_fail("they end within a tensor's shape");
    memcpy(&h, at, sizeof h);
    if (h.rank < 0 || h.rank > AVAL_MAX_RANK) return aval__reader_fail("a tensor has an impossible rank");
    AVAL__TRY(aval__tensor_set(&shape, h.type, (size_t)h.rank, h.dims));
    const void *data = aval__tensor_known(&shape) ? aval__reader_take(r, filled_up(aval__tensor_bytes(&shape))) : NULL;
    if (data == NULL) return aval__reader_fail("they end within a tensor");
    AVAL__TRY(aval__host_tensor_make(out, &shape));
    aval__host_tensor_from(out, data);
    return AVAL_OK;
}

int aval__results_unpack(const void *bytes, size_t size, aval__results *out)
{
    aval__reader r = { .at = bytes, .left = size };
    head h;
    *out = (aval__results){ 0 };
    const void *at = aval__reader_take(&r, sizeof h);
    if (at == NULL) return aval__reader_fail("they have no head");
    memcpy(&h, at, sizeof h);
    if (h.magic != MAGIC || h.count > size || h.programs > size) return aval__reader_fail("they have a wrong head");
    AVAL__TRY(aval__results_make(out, (size_t)h.count));
    int status = AVAL_OK;
    for (size_t i = 0; i < out->count; i++) AVAL__TRY_DONE(take_tensor(&r, &out->at[i]));
    if (h.again_run > 0) {
        out->again = aval__alloc_array(out->count + 1, sizeof *out->again);
        if (out->again == NULL) AVAL__TRY_DONE(AVAL_E_MEMORY);
        out->again_run = h.again_run == 2 ? 2 : 3;
        for (size_t i = 0; i < out->count; i++) AVAL__TRY_DONE(take_tensor(&r, &out->again[i]));
    }
    out->programs = aval__alloc_array((size_t)h.programs + 1, sizeof *out->programs);
    if (out->programs == NULL) AVAL__TRY_DONE(AVAL_E_MEMORY);
    out->n_programs = (size_t)h.programs;
    for (size_t i = 0; i < out->n_programs; i++) {
        AVAL__TRY_DONE(aval__reader_text(&r, &out->programs[i].name));
        AVAL__TRY_DONE(aval__reader_text(&r, &out->programs[i].options));
        AVAL__TRY_DONE(aval__reader_text(&r, &out->programs[i].text));
    }
    out->runs = h.runs;
    out->differs = h.differs < (int64_t)out->count && h.differs >= AVAL__ONCE ? h.differs : AVAL__ONCE;
done:
    if (status < 0) aval__results_release(out);
    return status;
}
