/* NumPy's .npz out: each array as a .npy file, stored or deflated, then the directory.  Archives of 4 GB and more are refused, as reading
 * does (npz.c). */
#include "model/model.h"

#include <string.h>
#include <zlib.h>

#define MOST_BYTES (UINT32_MAX - 1u) /* of the archive: the largest number stands for zip64 */
#define MOST_ARRAYS 65534u
#define VERSION 20 /* of zip, that deflated members need */
#define NAMES_IN_UTF8 0x800u
#define FIRST_DAY 0x21u /* of MS-DOS: 1 January 1980, so that equal arrays give equal files */

typedef struct writer {
    aval__safe_file file;
    uint64_t at; /* bytes written */
    aval__text directory;
    bool compress;
} writer;

static void put(aval__text *out, uint32_t number, unsigned bytes)
{
    char le[4];
    for (unsigned i = 0; i < bytes; i++) le[i] = (char)(number >> (8 * i) & 255u);
    aval__text_put(out, le, bytes);
}

/* A member's packed content, and what its headers say of it. */
typedef struct member {
    const char *name;
    aval__text header; /* of the .npy file */
    const void *data; /* of the .npy file behind its header */
    size_t data_bytes;
    unsigned char *deflated; /* NULL: stored */
    uint32_t packed, bytes, checksum;
} member;

static uint32_t checksum_of(const member *m)
{
    uLong sum = crc32(crc32(0, NULL, 0), (const Bytef *)m->header.at, (uInt)m->header.length);
    return (uint32_t)crc32(sum, m->data_bytes > 0 ? m->data : (const Bytef *)"", (uInt)m->data_bytes);
}

static int deflate_member(member *m)
{
    z_stream stream = { 0 };
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return aval__fail(AVAL_E_MEMORY, "no memory to deflate '%s'", m->name);
    uLong most = deflateBound(&stream, m->bytes);
    m->deflated = most <= MOST_BYTES ? aval__alloc(most) : NULL;
    stream.next_out = m->deflated;
    stream.avail_out = (uInt)most;
    stream.next_in = (Bytef *)m->header.at;
    stream.avail_in = (uInt)m->header.length;
    int code = m->deflated ? deflate(&stream, Z_NO_FLUSH) : Z_MEM_ERROR;
    stream.next_in = (Bytef *)(uintptr_t)m->data;
    stream.avail_in = (uInt)m->data_bytes;
    if (code == Z_OK) code = deflate(&stream, Z_FINISH);
    m->packed = (uint32_t)(most - stream.avail_out);
    deflateEnd(&stream);
    return code == Z_STREAM_END ? AVAL_OK : aval__fail(AVAL_E_MEMORY, "no memory to deflate '%s'", m->name);
}

/* The fields that a member's local header and its entry in the directory share. */
static void put_fields(aval__text *out, const member *m)
{
    put(out, VERSION, 2);
    put(out, NAMES_IN_UTF8, 2);
    put(out, m->deflated ? 8 : 0, 2);
    put(out, 0, 2);
    put(out, FIRST_DAY, 2);
    put(out, m->checksum, 4);
    put(out, m->packed, 4);
    put(out, m->bytes, 4);
    put(out, (uint32_t)strlen(m->name) + 4, 2); /* and .npy */
    put(out, 0, 2);
}

static void put_entry(writer *w, const member *m)
{
    aval__text_put(&w->directory, "PK\1\2", 4);
    put(&w->directory, VERSION, 2);
    put_fields(&w->directory, m);
    put(&w->directory, 0, 4); /* no comment, first file */
    put(&w->directory, 0, 2);
    put(&w->directory, 0, 4);
    put(&w->directory, (uint32_t)w->at, 4);
    aval__text_add(&w->directory, "%s.npy", m->name);
}

static int put_bytes(writer *w, const void *data, size_t bytes)
{
    if (bytes > MOST_BYTES - w->at)
        return aval__fail(AVAL_E_UNSUPPORTED, "a .npz file holds less than 4 GB: write it in parts, or as safetensors");
    w->at += bytes;
    return aval__safe_file_write(&w->file, data, bytes);
}

static int write_member(writer *w, const member *m)
{
    int status = AVAL_OK;
    aval__text local = { 0 };
    put_entry(w, m);
    aval__text_put(&local, "PK\3\4", 4);
    put_fields(&local, m);
    aval__text_add(&local, "%s.npy", m->name);
    if (local.failed || w->directory.failed) AVAL__TRY_DONE(AVAL_E_MEMORY);
    AVAL__TRY_DONE(put_bytes(w, local.at, local.length));
    if (m->deflated) AVAL__TRY_DONE(put_bytes(w, m->deflated, m->packed));
    else {
        AVAL__TRY_DONE(put_bytes(w, m->header.at, m->header.length));
        AVAL__TRY_DONE(put_bytes(w, m->data, m->data_bytes));
    }
done:
    aval__text_release(&local);
    return status;
}

static int write_array(writer *w, const aval__npz_array *array)
{
    int status = AVAL_OK;
    member m = { .name = array->name, .data = array->data, .data_bytes = aval__tensor_bytes(&array->shape) };
    if (!m.name || !m.name[0] || strlen(m.name) > 60000) return aval__fail(AVAL_E_ARGUMENT, "an array of a .npz file needs a name");
    AVAL__TRY_DONE(aval__npy_header(&m.header, &array->shape));
    if (m.data_bytes > MOST_BYTES - m.header.length)
        AVAL__TRY_DONE(aval__fail(AVAL_E_UNSUPPORTED, "a .npz file holds arrays of less than 4 GB: write it as .npy"));
    m.bytes = m.packed = (uint32_t)(m.header.length + m.data_bytes);
    m.checksum = checksum_of(&m);
    if (w->compress) AVAL__TRY_DONE(deflate_member(&m));
    AVAL__TRY_DONE(write_member(w, &m));
done:
    aval__free(m.deflated);
    aval__text_release(&m.header);
    return status < 0 ? aval__fail_in(status, "array '%s'", m.name) : AVAL_OK;
}

static int write_directory(writer *w, size_t count)
{
    int status = AVAL_OK;
    aval__text end = { 0 };
    uint64_t at = w->at;
    AVAL__TRY_DONE(put_bytes(w, w->directory.at ? w->directory.at : "", w->directory.length));
    aval__text_put(&end, "PK\5\6", 4);
    put(&end, 0, 4); /* the one file of the archive */
    put(&end, (uint32_t)count, 2);
    put(&end, (uint32_t)count, 2);
    put(&end, (uint32_t)w->directory.length, 4);
    put(&end, (uint32_t)at, 4);
    put(&end, 0, 2);
    if (end.failed) AVAL__TRY_DONE(AVAL_E_MEMORY);
    AVAL__TRY_DONE(put_bytes(w, end.at, end.length));
done:
    aval__text_release(&end);
    return status;
}

int aval__npz_write(const char *file, const aval__npz_array *arrays, size_t count, bool compress)
{
    int status = AVAL_OK;
    writer w = { .file = { .fd = -1 }, .compress = compress };
    if (count > MOST_ARRAYS) return aval__fail(AVAL_E_UNSUPPORTED, "'%s': a .npz file holds at most %u arrays", file, MOST_ARRAYS);
    AVAL__TRY_DONE(aval__safe_file_open(&w.file, file));
    for (size_t i = 0; i < count; i++) AVAL__TRY_DONE(write_array(&w, &arrays[i]));
    AVAL__TRY_DONE(write_directory(&w, count));
    AVAL__TRY_DONE(aval__safe_file_rename(&w.file));
done:
    if (status < 0) aval__fail_in(status, "'%s'", file);
    aval__safe_file_release(&w.file);
    aval__text_release(&w.directory);
    return status;
}
