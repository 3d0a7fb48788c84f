/* IDX files (LeCun's format for MNIST): a magic number 0x000008RR (uint8 elements, RR axes), RR sizes as big-endian uint32, then
 * the bytes.  Files are untrusted: nothing is allocated on the word of a header that the file's length cannot keep. */
#include "train/train.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

/* deflate never makes more than this of a byte (zlib's technical details) */
#define MOST_INFLATION 1032

static bool is_gzip(const uint8_t *raw, size_t n)
{
    return n >= 2 && raw[0] == 0x1f && raw[1] == 0x8b;
}

/* Where the content comes from: the raw bytes, or what they inflate to. */
typedef struct source {
    const char *name;
    const uint8_t *raw;
    size_t n_raw, at; /* at: of plain bytes */
    bool zipped, ended; /* ended: gzip's checksum was seen, and is right */
    z_stream stream;
} source;

/* Reads up to `wanted` bytes; *got is less only at the end of the content. */
static int source_read(source *s, uint8_t *to, size_t wanted, size_t *got)
{
    if (!s->zipped) {
        *got = wanted < s->n_raw - s->at ? wanted : s->n_raw - s->at;
        memcpy(to, s->raw + s->at, *got);
        s->at += *got;
        return AVAL_OK;
    }
    *got = 0;
    int code = Z_OK;
    while (*got < wanted && code != Z_STREAM_END) {
        size_t piece = wanted - *got < 1u << 30 ? wanted - *got : 1u << 30;
        s->stream.next_out = to + *got;
        s->stream.avail_out = (uInt)piece;
        code = inflate(&s->stream, Z_NO_FLUSH);
        *got += piece - s->stream.avail_out;
        s->ended = code == Z_STREAM_END;
        if (code == Z_BUF_ERROR) break; /* the compressed bytes end early: seen by the caller as too few */
        if (code != Z_OK && code != Z_STREAM_END)
            return aval__fail(AVAL_E_FORMAT, "%s: the gzip data is damaged (%s)", s->name,
                              s->stream.msg ? s->stream.msg : "cannot be inflated");
    }
    return AVAL_OK;
}

static uint32_t big_endian(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static const char *kind_of(uint32_t magic)
{
    return magic == 0x801 ? ", a file of labels" : magic == 0x803 ? ", a file of images" : "";
}

static int read_header(source *s, size_t rank, aval__idx *out, uint64_t *declared)
{
    uint8_t header[16];
    size_t length = 4 + 4 * rank, got;
    AVAL__TRY(source_read(s, header, length, &got));
    if (got < 4) return aval__fail(AVAL_E_FORMAT, "%s: an IDX file was expected, found only %zu bytes", s->name, got);
    uint32_t magic = big_endian(header), expected = 0x800 + (uint32_t)rank;
    if (magic != expected)
        return aval__fail(AVAL_E_FORMAT, "%s: expected the magic number 0x%08x%s, found 0x%08x%s", s->name, expected, kind_of(expected),
                          magic, kind_of(magic));
    if (got < length)
        return aval__fail(AVAL_E_FORMAT, "%s: a header of %zu bytes was expected, found %zu: truncated", s->name, length, got);
    out->rank = rank;
    *declared = 1;
    for (size_t i = 0; i < rank; i++) {
        out->dims[i] = big_endian(header + 4 + 4 * i);
        if (out->dims[i] != 0 && *declared > UINT64_MAX / 2 / out->dims[i])
            return aval__fail(AVAL_E_FORMAT, "%s: the sizes in its header cannot be: their product passes 2^63", s->name);
        *declared *= out->dims[i];
    }
    return AVAL_OK;
}

/* "N bytes", or "at most N" where the compressed length already says that there are too few. */
static int truncated(const char *name, uint64_t declared, uint64_t found)
{
    return aval__fail(AVAL_E_FORMAT, "%s: truncated: its header promises %llu bytes of data, found %llu", name,
                      (unsigned long long)declared, (unsigned long long)found);
}

/* Inflates what is left, so that damage, which often shows as wrong lengths, is told as damage. */
static int check_rest(source *s)
{
    uint8_t piece[4096];
    size_t got = sizeof piece;
    while (s->zipped && !s->ended && got > 0) AVAL__TRY(source_read(s, piece, sizeof piece, &got));
    return AVAL_OK;
}

int aval__idx_parse(const char *name, const uint8_t *raw, size_t n_raw, size_t rank, aval__idx *out)
{
    source s = { .name = name, .raw = raw, .n_raw = n_raw, .zipped = is_gzip(raw, n_raw) };
    int status = AVAL_OK;
    *out = (aval__idx){ 0 };
    if (s.zipped) {
        if (n_raw > UINT32_MAX) return aval__fail(AVAL_E_UNSUPPORTED, "%s: compressed files above 4 GB are not read", name);
        s.stream.next_in = (Bytef *)(uintptr_t)raw;
        s.stream.avail_in = (uInt)n_raw;
        if (inflateInit2(&s.stream, 15 + 16) != Z_OK) return aval__fail(AVAL_E_MEMORY, "%s: no memory to inflate it", name);
    }
    uint64_t declared = 0;
    size_t got = 0;
    AVAL__TRY_DONE(read_header(&s, rank, out, &declared));
    uint64_t most = s.zipped ? (uint64_t)n_raw * MOST_INFLATION : n_raw - s.at;
    if (declared > most) {
        status = truncated(name, declared, most);
        goto done;
    }
    /* one byte more than declared, to see whether the file goes on */
    out->bytes = aval__alloc((size_t)declared + 1);
    if (out->bytes == NULL) {
        status = AVAL_E_MEMORY;
        goto done;
    }
    AVAL__TRY_DONE(source_read(&s, out->bytes, (size_t)declared + 1, &got));
    if (got < declared) status = truncated(name, declared, got);
    else if (got == declared && s.zipped && !s.ended)
        status = aval__fail(AVAL_E_FORMAT, "%s: truncated: the gzip data stops before the checksum that was expected at its end", name);
    else if (got > declared && (status = check_rest(&s)) == AVAL_OK)
        status = aval__fail(AVAL_E_FORMAT, "%s: longer than declared: its header promises %llu bytes of data, and more follow", name,
                            (unsigned long long)declared);
done:
    if (s.zipped) inflateEnd(&s.stream);
    if (status < 0) {
        aval__free(out->bytes);
        out->bytes = NULL;
    }
    return status;
}

static int read_file(const char *file, uint8_t **bytes, size_t *n)
{
    int status = AVAL_OK;
    AVAL__VEC(uint8_t) content = { 0 };
    FILE *in = fopen(file, "rb");
    if (in == NULL)
        return errno == ENOENT ? aval__fail(AVAL_E_UNKNOWN, "%s: no such file", file)
                               : aval__fail(AVAL_E_IO, "%s: cannot be opened: %s", file, strerror(errno));
    size_t got = 1;
    while (got > 0) {
        AVAL__TRY_DONE(aval__vec_reserve(&content, content.count + (1u << 20)));
        got = fread(content.at + content.count, 1, content.capacity - content.count, in);
        content.count += got;
    }
    if (ferror(in)) status = aval__fail(AVAL_E_IO, "%s: cannot be read: %s", file, strerror(errno));
done:
    fclose(in);
    if (status < 0) aval__vec_release(&content);
    *bytes = content.at;
    *n = content.count;
    return status;
}

int aval__idx_open(const char *file, size_t rank, aval__idx *out)
{
    uint8_t *raw = NULL;
    size_t n = 0;
    *out = (aval__idx){ 0 };
    AVAL__TRY(read_file(file, &raw, &n));
    int status = aval__idx_parse(file, raw, n, rank, out);
    aval__free(raw);
    return status;
}
