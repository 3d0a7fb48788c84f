/* NumPy's .npz in: a zip archive whose members are .npy files, stored or deflated (PKWARE's APPNOTE, sections 4.3 and 4.4).
 *
 * The directory at the archive's end is what counts: NumPy's own writer leaves the sizes in front of the members open.  Archives of more than
 * 4 GB, or of more than 65,534 members, have a larger directory (zip64), which is not read and not written. */
#include "model/model.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define END_BYTES 22 /* the record at the archive's end, without the comment behind it */
#define ENTRY_BYTES 46 /* a member in the directory, without its name */
#define LOCAL_BYTES 30 /* what stands before a member's content, without its name */
#define MOST_COMMENT 65535
#define MOST_INFLATION 1032 /* deflate never makes more of a byte (zlib's technical details) */

enum { STORED = 0, DEFLATED = 8 };

static uint32_t two(const unsigned char *b)
{
    return (uint32_t)b[0] | (uint32_t)b[1] << 8;
}

static uint32_t four(const unsigned char *b)
{
    return two(b) | two(b + 2) << 16;
}

bool aval__npz_is(const void *bytes, size_t count)
{
    return count >= END_BYTES && (memcmp(bytes, "PK\3\4", 4) == 0 || memcmp(bytes, "PK\5\6", 4) == 0);
}

/* ---- The directory ------------------------------------------------------------------------------------------------------------------- */

typedef struct directory {
    size_t at, end, count;
} directory;

static int find_directory(const aval__npz *npz, directory *out)
{
    const unsigned char *b = npz->content;
    if (!aval__npz_is(b, npz->n_content)) return aval__fail(AVAL_E_FORMAT, "expected a .npz file, which is a zip archive");
    size_t at = npz->n_content - END_BYTES, least = at > MOST_COMMENT ? at - MOST_COMMENT : 0;
    while (memcmp(b + at, "PK\5\6", 4) != 0 || two(b + at + 20) != npz->n_content - END_BYTES - at)
        if (at-- == least) return aval__fail(AVAL_E_FORMAT, "a .npz file without a directory at its end (truncated?)");
    uint32_t count = two(b + at + 10), bytes = four(b + at + 12), offset = four(b + at + 16);
    if (count == UINT16_MAX || bytes == UINT32_MAX || offset == UINT32_MAX)
        return aval__fail(AVAL_E_UNSUPPORTED, "a .npz file of more than 4 GB or 65,534 arrays (zip64): write it in parts");
    if (two(b + at + 4) != 0 || two(b + at + 6) != 0 || two(b + at + 8) != count)
        return aval__fail(AVAL_E_UNSUPPORTED, "a zip archive in several files");
    if (offset > at || bytes != at - offset)
        return aval__fail(AVAL_E_FORMAT,
                          "the directory of a .npz file is damaged: %" PRIu32 " bytes from byte %" PRIu32 " on, in a file of %zu", bytes,
                          offset, npz->n_content);
    *out = (directory){ .at = offset, .end = at, .count = count };
    return AVAL_OK;
}

static int read_name(aval__npz *npz, const unsigned char *name, size_t length, const char **out)
{
    char *text = aval__arena_alloc(&npz->arena, length + 1);
    if (!text) return AVAL_E_MEMORY;
    memcpy(text, name, length);
    if (length == 0 || memchr(name, 0, length)) return aval__fail(AVAL_E_FORMAT, "array %zu of a .npz file has no name", npz->count);
    if (length > 4 && strcmp(text + length - 4, ".npy") == 0) text[length - 4] = 0;
    *out = text;
    return AVAL_OK;
}

static int check_member(const aval__npz *npz, const aval__npz_member *m, uint32_t flags)
{
    if (flags & 1) return aval__fail(AVAL_E_UNSUPPORTED, "array '%.200s' is encrypted", m->name);
    if (m->method != STORED && m->method != DEFLATED)
        return aval__fail(AVAL_E_UNSUPPORTED, "array '%.200s' is packed by zip's method %u (stored, 0, and deflated, 8, are read)", m->name,
                          m->method);
    if (m->packed == UINT32_MAX || m->bytes == UINT32_MAX || m->at == UINT32_MAX)
        return aval__fail(AVAL_E_UNSUPPORTED, "array '%.200s' takes more than 4 GB (zip64): write it as .npy", m->name);
    if (m->at + LOCAL_BYTES > npz->n_content || m->packed > npz->n_content - LOCAL_BYTES - m->at)
        return aval__fail(AVAL_E_FORMAT, "array '%.200s' lies outside the archive", m->name);
    if (m->method == STORED ? m->packed != m->bytes : m->bytes > m->packed * MOST_INFLATION)
        return aval__fail(AVAL_E_FORMAT, "array '%.200s': %" PRIu64 " bytes cannot become %" PRIu64, m->name, m->packed, m->bytes);
    return AVAL_OK;
}

static int read_entry(aval__npz *npz, size_t *at, size_t end)
{
    const unsigned char *b = npz->content + *at;
    if (end - *at < ENTRY_BYTES || memcmp(b, "PK\1\2", 4) != 0)
        return aval__fail(AVAL_E_FORMAT, "entry %zu in the directory of a .npz file is damaged", npz->count);
    size_t name = two(b + 28), length = ENTRY_BYTES + name + two(b + 30) + two(b + 32);
    if (length > end - *at) return aval__fail(AVAL_E_FORMAT, "entry %zu in the directory of a .npz file ends early", npz->count);
    aval__npz_member *m = &npz->at[npz->count];
    *m = (aval__npz_member){
        .at = four(b + 42), .packed = four(b + 20), .bytes = four(b + 24), .checksum = four(b + 16), .method = two(b + 10)
    };
    AVAL__TRY(read_name(npz, b + ENTRY_BYTES, name, &m->name));
    AVAL__TRY(check_member(npz, m, two(b + 8)));
    npz->count++;
    *at += length;
    return AVAL_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const aval__npz_member *const *)a)->name, (*(const aval__npz_member *const *)b)->name);
}

static int check_names(aval__npz *npz)
{
    const aval__npz_member **sorted = aval__arena_alloc(&npz->arena, (npz->count + 1) * sizeof *sorted);
    if (!sorted) return AVAL_E_MEMORY;
    for (size_t i = 0; i < npz->count; i++) sorted[i] = &npz->at[i];
    qsort(sorted, npz->count, sizeof *sorted, by_name);
    for (size_t i = 1; i < npz->count; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            return aval__fail(AVAL_E_FORMAT, "two arrays of a .npz file are called '%.200s'", sorted[i]->name);
    return AVAL_OK;
}

int aval__npz_parse(const void *bytes, size_t count, aval__npz *out)
{
    int status = AVAL_OK;
    directory d = { 0 };
    *out = (aval__npz){ .content = bytes, .n_content = count };
    AVAL__TRY_DONE(find_directory(out, &d));
    out->at = aval__arena_alloc(&out->arena, (d.count + 1) * sizeof *out->at);
    if (!out->at) AVAL__TRY_DONE(AVAL_E_MEMORY);
    while (out->count < d.count) AVAL__TRY_DONE(read_entry(out, &d.at, d.end));
    AVAL__TRY_DONE(check_names(out));
done:
    if (status < 0) aval__npz_release(out);
    return status;
}

void aval__npz_release(aval__npz *npz)
{
    aval__arena_release(&npz->arena);
    *npz = (aval__npz){ 0 };
}

/* ---- A member's content --------------------------------------------------------------------------------------------------------------- */

static int find_content(const aval__npz *npz, const aval__npz_member *m, const unsigned char **packed)
{
    const unsigned char *b = npz->content + m->at;
    size_t start = LOCAL_BYTES + two(b + 26) + two(b + 28);
    if (memcmp(b, "PK\3\4", 4) != 0 || start > npz->n_content - m->at || m->packed > npz->n_content - m->at - start)
        return aval__fail(AVAL_E_FORMAT, "array '%.200s' does not lie where the archive's directory says", m->name);
    *packed = b + start;
    return AVAL_OK;
}

/* Raw deflate, to exactly so many bytes. */
static int inflate_all(const aval__npz_member *m, const unsigned char *packed, unsigned char *to)
{
    z_stream stream = { .next_in = (Bytef *)(uintptr_t)packed, .avail_in = (uInt)m->packed, .next_out = to, .avail_out = (uInt)m->bytes };
    if (inflateInit2(&stream, -15) != Z_OK) return aval__fail(AVAL_E_MEMORY, "no memory to inflate array '%.200s'", m->name);
    int code = inflate(&stream, Z_FINISH);
    inflateEnd(&stream);
    if (code == Z_STREAM_END && stream.avail_out == 0) return AVAL_OK;
    return aval__fail(AVAL_E_FORMAT, "array '%.200s' is damaged: %s", m->name,
                      stream.msg ? stream.msg : "it inflates to another number of bytes than it should");
}

int aval__npz_unpack(const aval__npz *npz, size_t i, unsigned char **content)
{
    const aval__npz_member *m = &npz->at[i];
    const unsigned char *packed = NULL;
    int status = AVAL_OK;
    AVAL__TRY(find_content(npz, m, &packed));
    unsigned char *to = aval__alloc((size_t)m->bytes + 1);
    if (!to) return AVAL_E_MEMORY;
    if (m->method == STORED) memcpy(to, packed, (size_t)m->bytes);
    else AVAL__TRY_DONE(inflate_all(m, packed, to));
    uint32_t found = (uint32_t)crc32(crc32(0, NULL, 0), to, (uInt)m->bytes);
    if (found != m->checksum)
        status = aval__fail(AVAL_E_FORMAT, "array '%.200s' is damaged: expected the checksum %08" PRIx32 ", found %08" PRIx32, m->name,
                            m->checksum, found);
done:
    if (status < 0) aval__free(to);
    else *content = to;
    return status;
}
