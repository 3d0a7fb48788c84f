/* Bundles: see bundle.h. */
#include "check/bundle.h"
#include "check/bytes.h"
#include "check/judge.h"

#include <string.h>

#define MAGIC 0x01454c444e554241ull /* "ABUNDLE" and 1, so that other bytes are told apart */

typedef struct head {
    uint64_t magic, count, step;
    int32_t command, last;
} head;

typedef struct piece_head {
    int64_t number, id, dims[AVAL_MAX_RANK];
    double reach;
    int32_t role, type, rank, unused;
} piece_head;

/* ---- Making -------------------------------------------------------------------------------------------------------------------- */

static void release_piece(aval__piece *p)
{
    aval__free(p->name);
    aval__free(p->launch);
    aval__free(p->data);
}

void aval__bundle_release(aval__bundle *b)
{
    for (size_t i = 0; i < b->pieces.count; i++) release_piece(&b->pieces.at[i]);
    aval__vec_release(&b->pieces);
    aval__free(b->differs);
    *b = (aval__bundle){ 0 };
}

aval__piece *aval__bundle_add(aval__bundle *b, aval__piece_role role, const char *name, const aval_tensor *shape)
{
    aval__piece p = { .role = (int32_t)role, .number = -1, .id = -1, .shape = *shape };
    p.name = aval__copy_text(name);
    p.launch = aval__copy_text("");
    p.data = aval__alloc(aval__tensor_bytes(shape) + 1);
    if (p.name != NULL && p.launch != NULL && p.data != NULL && aval__vec_push(&b->pieces, p) == AVAL_OK)
        return &b->pieces.at[b->pieces.count - 1];
    release_piece(&p);
    return NULL;
}

const aval__piece *aval__bundle_find(const aval__bundle *b, aval__piece_role role, const char *name)
{
    for (size_t i = 0; i < b->pieces.count; i++) {
        const aval__piece *p = &b->pieces.at[i];
        if (p->role == (int32_t)role && strcmp(p->name, name) == 0) return p;
    }
    return NULL;
}

const aval__piece *aval__bundle_find_number(const aval__bundle *b, int64_t number)
{
    for (size_t i = 0; i < b->pieces.count; i++) {
        if (b->pieces.at[i].role == AVAL__PIECE_TRACED && b->pieces.at[i].number == number) return &b->pieces.at[i];
    }
    return NULL;
}

int aval__bundle_copy(aval__bundle *to, const aval__bundle *from, aval__piece_role role)
{
    for (size_t i = 0; i < from->pieces.count; i++) {
        const aval__piece *p = &from->pieces.at[i];
        if (p->role != (int32_t)role) continue;
        aval__piece *copy = aval__bundle_add(to, role, p->name, &p->shape);
        if (copy == NULL) return AVAL_E_MEMORY;
        copy->number = p->number;
        copy->id = p->id;
        copy->reach = p->reach;
        memcpy(copy->data, p->data, aval__tensor_bytes(&p->shape));
    }
    return AVAL_OK;
}

double *aval__piece_reals(const aval__piece *piece)
{
    aval__host_tensor t = { 0 };
    if (aval__host_tensor_make(&t, &piece->shape) < 0) return NULL;
    aval__host_tensor_from(&t, piece->data);
    double *reals = aval__check_reals(&t);
    aval__host_tensor_release(&t);
    return reals;
}

bool aval__piece_same_bits(const aval__piece *a, const aval__piece *b)
{
    return a->shape.type == b->shape.type && aval__tensor_same_shape(&a->shape, &b->shape) &&
           memcmp(a->data, b->data, aval__tensor_bytes(&a->shape)) == 0;
}

/* ---- As bytes --------------------------------------------------------------------------------------------------------------------- */

int aval__bundle_pack(const aval__bundle *b, void **bytes, size_t *size)
{
    const head h = { .magic = MAGIC, .count = b->pieces.count, .step = b->step, .command = b->command, .last = b->last };
    aval__text out = { 0 };
    aval__text_put(&out, (const char *)&h, sizeof h);
    aval__bytes_put_text(&out, b->differs == NULL ? "" : b->differs);
    for (size_t i = 0; i < b->pieces.count; i++) {
        const aval__piece *p = &b->pieces.at[i];
        piece_head ph = {
            .number = p->number, .id = p->id, .reach = p->reach, .role = p->role, .type = p->shape.type, .rank = p->shape.rank
        };
        memcpy(ph.dims, p->shape.dims, sizeof ph.dims);
        aval__text_put(&out, (const char *)&ph, sizeof ph);
        aval__bytes_put_text(&out, p->name);
        aval__bytes_put_text(&out, p->launch);
        aval__text_put(&out, p->data, aval__tensor_bytes(&p->shape));
    }
    *size = out.length;
    *bytes = aval__text_take(&out);
    return *bytes == NULL ? AVAL_E_MEMORY : AVAL_OK;
}

static int take_piece(aval__reader *r, aval__bundle *b)
{
    piece_head h;
    aval_tensor shape;
    char *name = NULL, *launch = NULL;
    int status = AVAL_OK;
    const void *at = aval__reader_take(r, sizeof h);
    if (at == NULL) return aval__reader_fail("they end within a value's head");
    memcpy(&h, at, sizeof h);
    if (h.rank < 0 || h.rank > AVAL_MAX_RANK) return aval__reader_fail("a value has an impossible rank");
    AVAL__TRY(aval__tensor_set(&shape, h.type, (size_t)h.rank, h.dims));
    AVAL__TRY_DONE(aval__reader_text(r, &name));
    AVAL__TRY_DONE(aval__reader_text(r, &launch));
    const void *data = aval__tensor_known(&shape) ? aval__reader_take(r, aval__tensor_bytes(&shape)) : NULL;
    if (data == NULL) AVAL__TRY_DONE(aval__reader_fail("they end within a value"));
    aval__piece *p = aval__bundle_add(b, (aval__piece_role)h.role, name, &shape);
    if (p == NULL) AVAL__TRY_DONE(AVAL_E_MEMORY);
    memcpy(p->data, data, aval__tensor_bytes(&shape));
    p->number = h.number;
    p->id = h.id;
    p->reach = h.reach;
    aval__free(p->launch);
    p->launch = launch;
    launch = NULL;
done:
    aval__free(name);
    aval__free(launch);
    return status;
}

int aval__bundle_unpack(const void *bytes, size_t size, aval__bundle *b)
{
    aval__reader r = { .at = bytes, .left = size };
    head h;
    int status = AVAL_OK;
    *b = (aval__bundle){ 0 };
    const void *at = aval__reader_take(&r, sizeof h);
    if (at == NULL) return aval__reader_fail("they have no head");
    memcpy(&h, at, sizeof h);
    if (h.magic != MAGIC) return aval__reader_fail("they have a wrong head");
    b->step = h.step;
    b->command = h.command;
    b->last = h.last;
    AVAL__TRY_DONE(aval__reader_text(&r, &b->differs));
    for (uint64_t i = 0; i < h.count; i++) AVAL__TRY_DONE(take_piece(&r, b));
done:
    if (status < 0) aval__bundle_release(b);
    return status;
}
