/* safetensors (https://github.com/huggingface/safetensors): eight bytes of header length (little endian), a JSON object that gives each
 * tensor's type, shape and byte range, then the bytes of all tensors without gaps.  The format is little endian, as are all machines
 * that aval runs on.
 *
 * A file may come from anywhere, so nothing in it is believed: every length is checked against the file's before it is used. */
#include "model/model.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX_BYTES 8
#define LARGEST_HEADER_BYTES ((uint64_t)100 << 20) /* the format's own limit */
#define METADATA "__metadata__"

static const struct type_name {
    const char *name;
    int type;
} type_names[] = {
    { "F32", AVAL_FLOAT },
    { "F64", AVAL_DOUBLE },
    { "F16", AVAL_FLOAT16 },
    { "BF16", AVAL_BFLOAT16 },
    { "I8", AVAL_INT8 },
    { "I16", AVAL_INT16 },
    { "I32", AVAL_INT32 },
    { "I64", AVAL_INT64 },
    { "U8", AVAL_UINT8 },
    { "U16", AVAL_UINT16 },
    { "U32", AVAL_UINT32 },
    { "U64", AVAL_UINT64 },
    { "BOOL", AVAL_BOOL },
    { "F8_E4M3", AVAL_FLOAT8E4M3FN },
    { "F8_E5M2", AVAL_FLOAT8E5M2 },
    { "C64", AVAL_COMPLEX64 },
};
#define TYPE_NAMES (sizeof type_names / sizeof type_names[0])

static const char *name_of_type(int type)
{
    for (size_t i = 0; i < TYPE_NAMES; i++)
        if (type_names[i].type == type) return type_names[i].name;
    return NULL;
}

static int type_of_name(const char *name)
{
    for (size_t i = 0; name && i < TYPE_NAMES; i++)
        if (strcmp(type_names[i].name, name) == 0) return type_names[i].type;
    return AVAL_NONE;
}

/* ---- Writing --------------------------------------------------------------------------------------------------------------- */

/* Steals `value`; false when jansson is out of memory or a text is not UTF-8. */
static bool set_new(json_t *object, const char *key, json_t *value)
{
    return value && json_object_set_new(object, key, value) == 0;
}

static json_t *describe(const aval__safetensor *t, uint64_t begin, uint64_t end)
{
    json_t *item = json_object(), *shape = json_array();
    bool good = item && shape;
    for (int32_t i = 0; good && i < t->tensor.rank; i++) good = json_array_append_new(shape, json_integer(t->tensor.dims[i])) == 0;
    good = good && set_new(item, "dtype", json_string(name_of_type(t->tensor.type)));
    good = good && set_new(item, "shape", json_incref(shape));
    good = good && set_new(item, "data_offsets", json_pack("[I, I]", (json_int_t)begin, (json_int_t)end));
    json_decref(shape);
    if (good) return item;
    json_decref(item);
    return NULL;
}

/* The header as text, for free(). */
static int make_header(const aval__safetensor *tensors, size_t count, const char *const *metadata, char **text)
{
    json_t *header = json_object(), *pairs = metadata && metadata[0] ? json_object() : NULL;
    int status = AVAL_OK;
    bool good = header && (pairs || !metadata || !metadata[0]);
    for (size_t i = 0; good && pairs && metadata[i]; i += 2) good = set_new(pairs, metadata[i], json_string(metadata[i + 1]));
    if (pairs && good) good = set_new(header, METADATA, json_incref(pairs));
    uint64_t at = 0;
    for (size_t i = 0; good && i < count; i++) {
        if (!name_of_type(tensors[i].tensor.type)) {
            status = aval__fail(AVAL_E_TYPE, "'%s' is of type %s, which safetensors files cannot hold", tensors[i].name,
                                aval_type_name(tensors[i].tensor.type));
            goto done;
        }
        uint64_t bytes = aval__tensor_bytes(&tensors[i].tensor);
        good = set_new(header, tensors[i].name, describe(&tensors[i], at, at + bytes));
        at += bytes;
    }
    if (good) *text = json_dumps(header, JSON_COMPACT);
    if (!good || !*text)
        status = aval__fail(AVAL_E_ARGUMENT, "the header cannot be made: a name or metadata text is not UTF-8, or memory is short");
done:
    json_decref(pairs);
    json_decref(header);
    return status;
}

static int write_all(FILE *out, const char *text, const aval__safetensor *tensors, size_t count)
{
    size_t length = strlen(text), padded = (length + 7) & ~(size_t)7; /* so that the data starts aligned */
    unsigned char prefix[PREFIX_BYTES];
    for (unsigned i = 0; i < PREFIX_BYTES; i++) prefix[i] = (unsigned char)((uint64_t)padded >> (8 * i));
    bool good = fwrite(prefix, 1, sizeof prefix, out) == sizeof prefix && fwrite(text, 1, length, out) == length;
    for (size_t i = length; good && i < padded; i++) good = fputc(' ', out) != EOF;
    for (size_t i = 0; good && i < count; i++) {
        size_t bytes = aval__tensor_bytes(&tensors[i].tensor);
        good = bytes == 0 || fwrite(tensors[i].data, 1, bytes, out) == bytes;
    }
    return good && fflush(out) == 0 && fsync(fileno(out)) == 0 ? 0 : -1;
}

int aval__safetensors_write(const char *file, const aval__safetensor *tensors, size_t count, const char *const *metadata)
{
    int status = AVAL_OK;
    FILE *out = NULL;
    char *header = NULL;
    aval__safe_file safe = { .fd = -1 };

    AVAL__TRY_DONE(make_header(tensors, count, metadata, &header));
    AVAL__TRY_DONE(aval__safe_file_open(&safe, file));
    out = fdopen(safe.fd, "wb");
    if (!out) {
        status = aval__fail(AVAL_E_IO, "%s cannot be written: %s", safe.beside, strerror(errno));
        goto done;
    }
    safe.fd = -1;
    if (write_all(out, header, tensors, count) < 0)
        status = aval__fail(AVAL_E_IO, "%s cannot be written: %s", safe.beside, strerror(errno));
    if (fclose(out) != 0 && status == AVAL_OK) status = aval__fail(AVAL_E_IO, "%s cannot be written: %s", safe.beside, strerror(errno));
    if (status == AVAL_OK) status = aval__safe_file_rename(&safe);
done:
    aval__safe_file_release(&safe);
    free(header);
    return status;
}

/* ---- Reading --------------------------------------------------------------------------------------------------------------- */

/* A file's content in two parts behind its prefix. */
typedef struct parts {
    const char *header;
    size_t header_bytes;
    const unsigned char *data;
    size_t data_bytes;
} parts;

static int split(const unsigned char *bytes, size_t count, parts *out)
{
    if (count < PREFIX_BYTES)
        return aval__fail(AVAL_E_FORMAT, "expected a safetensors file, found %zu bytes: too short for its header's length", count);
    uint64_t length = 0;
    for (unsigned i = 0; i < PREFIX_BYTES; i++) length |= (uint64_t)bytes[i] << (8 * i);
    if (length > LARGEST_HEADER_BYTES || length > count - PREFIX_BYTES)
        return aval__fail(AVAL_E_FORMAT, "expected a safetensors file, found a header of %" PRIu64 " bytes in a file of %zu", length,
                          count);
    *out = (parts){ .header = (const char *)bytes + PREFIX_BYTES, .header_bytes = (size_t)length };
    out->data = bytes + PREFIX_BYTES + length;
    out->data_bytes = count - PREFIX_BYTES - out->header_bytes;
    return AVAL_OK;
}

static int read_shape(const char *name, const json_t *item, aval_tensor *tensor)
{
    const json_t *shape = json_object_get(item, "shape");
    const char *type_name = json_string_value(json_object_get(item, "dtype"));
    int type = type_of_name(type_name);
    int64_t dims[AVAL_MAX_RANK];
    if (type == AVAL_NONE) return aval__fail(AVAL_E_FORMAT, "'%s': dtype %s is not known", name, type_name ? type_name : "(none)");
    if (!json_is_array(shape)) return aval__fail(AVAL_E_FORMAT, "'%s' has no shape", name);
    size_t rank = json_array_size(shape);
    if (rank > AVAL_MAX_RANK) return aval__fail(AVAL_E_FORMAT, "'%s' has %zu axes, expected at most %d", name, rank, AVAL_MAX_RANK);
    for (size_t i = 0; i < rank; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return aval__fail(AVAL_E_FORMAT, "'%s': axis %zu of its shape is not a number from 0 on", name, i);
        dims[i] = json_integer_value(dim);
    }
    if (aval__tensor_set(tensor, type, rank, dims) < 0) return aval__fail(AVAL_E_FORMAT, "'%s': its shape cannot be used", name);
    return AVAL_OK;
}

static int read_tensor(const char *name, const json_t *item, uint64_t data_bytes, uint64_t *begin, uint64_t *end, aval_tensor *tensor)
{
    if (!json_is_object(item)) return aval__fail(AVAL_E_FORMAT, "'%s' is not described by an object", name);
    AVAL__TRY(read_shape(name, item, tensor));
    const json_t *offsets = json_object_get(item, "data_offsets");
    const json_t *from = json_array_get(offsets, 0), *to = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(from) || !json_is_integer(to) || json_integer_value(from) < 0 ||
        json_integer_value(to) < json_integer_value(from))
        return aval__fail(AVAL_E_FORMAT, "'%s': expected data_offsets [begin, end]", name);
    *begin = (uint64_t)json_integer_value(from);
    *end = (uint64_t)json_integer_value(to);
    if (*end > data_bytes)
        return aval__fail(AVAL_E_FORMAT, "'%s' ends at byte %" PRIu64 " of the data, but the file has only %" PRIu64 " (truncated?)", name,
                          *end, data_bytes);
    if (*end - *begin != aval__tensor_bytes(tensor))
        return aval__fail(AVAL_E_FORMAT, "'%s' has %" PRIu64 " bytes, its type and shape need %zu", name, *end - *begin,
                          aval__tensor_bytes(tensor));
    return AVAL_OK;
}

static int read_metadata(const json_t *pairs, aval__safetensors *out)
{
    const char *key;
    json_t *value;
    size_t n = 0;
    out->metadata = aval__arena_alloc(&out->arena, (2 * json_object_size(pairs) + 1) * sizeof *out->metadata);
    if (!out->metadata) return AVAL_E_MEMORY;
    json_object_foreach((json_t *)(uintptr_t)pairs, key, value)
    {
        if (!json_is_string(value)) return aval__fail(AVAL_E_FORMAT, "metadata '%s' is not a text", key);
        out->metadata[n] = aval__arena_text(&out->arena, key);
        out->metadata[n + 1] = aval__arena_text(&out->arena, json_string_value(value));
        if (!out->metadata[n] || !out->metadata[n + 1]) return AVAL_E_MEMORY;
        n += 2;
    }
    return AVAL_OK;
}

static int by_place(const void *a, const void *b)
{
    const aval__safetensor *x = *(aval__safetensor *const *)a, *y = *(aval__safetensor *const *)b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    size_t x_bytes = aval__tensor_bytes(&x->tensor), y_bytes = aval__tensor_bytes(&y->tensor); /* empty ones first */
    return (x_bytes > y_bytes) - (x_bytes < y_bytes);
}

/* The format has neither gaps nor overlaps: bytes that no tensor owns, or two do, mean a damaged or a crafted file. */
static int check_cover(aval__safetensors *out, uint64_t data_bytes)
{
    aval__safetensor **order = aval__arena_alloc(&out->arena, (out->count + 1) * sizeof(aval__safetensor *));
    if (!order) return AVAL_E_MEMORY;
    for (size_t i = 0; i < out->count; i++) order[i] = &out->at[i];
    qsort(order, out->count, sizeof *order, by_place);
    uint64_t at = 0;
    for (size_t i = 0; i < out->count; i++) {
        uint64_t begin = (uint64_t)((const unsigned char *)order[i]->data - out->data);
        if (begin != at)
            return aval__fail(AVAL_E_FORMAT, "'%s' begins at byte %" PRIu64 " of the data, expected %" PRIu64 " (gap or overlap)",
                              order[i]->name, begin, at);
        at += aval__tensor_bytes(&order[i]->tensor);
    }
    if (at != data_bytes)
        return aval__fail(AVAL_E_FORMAT, "the tensors take %" PRIu64 " bytes, but the file has %" PRIu64 " bytes of data", at, data_bytes);
    return AVAL_OK;
}

static int read_header(const json_t *header, aval__safetensors *out, uint64_t data_bytes)
{
    const char *name;
    json_t *item;
    AVAL__TRY(read_metadata(json_object_get(header, METADATA), out));
    out->at = aval__arena_alloc(&out->arena, (json_object_size(header) + 1) * sizeof *out->at);
    if (!out->at) return AVAL_E_MEMORY;
    json_object_foreach((json_t *)(uintptr_t)header, name, item)
    {
        if (strcmp(name, METADATA) == 0) continue;
        aval__safetensor *t = &out->at[out->count];
        uint64_t begin = 0, end = 0;
        AVAL__TRY(read_tensor(name, item, data_bytes, &begin, &end, &t->tensor));
        t->name = aval__arena_text(&out->arena, name);
        if (!t->name) return AVAL_E_MEMORY;
        t->data = out->data + begin;
        out->count++;
    }
    return check_cover(out, data_bytes);
}

int aval__safetensors_parse(const void *bytes, size_t count, aval__safetensors *out)
{
    int status = AVAL_OK;
    parts of = { 0 };
    json_t *json = NULL;
    json_error_t error;
    memset(out, 0, sizeof *out);
    AVAL__TRY_DONE(split(bytes, count, &of));
    out->data = of.data;
    json = json_loadb(of.header, of.header_bytes, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(json)) {
        status = aval__fail(AVAL_E_FORMAT, "expected a safetensors file, but its header is not a JSON object: %s",
                            json ? "it is another kind of value" : error.text);
        goto done;
    }
    status = read_header(json, out, of.data_bytes);
done:
    json_decref(json);
    if (status < 0) aval__safetensors_release(out);
    return status;
}

int aval__safetensors_read(const char *file, aval__safetensors *out)
{
    aval__mapped map;
    memset(out, 0, sizeof *out);
    int status = aval__file_map(file, SIZE_MAX / 2, &map);
    if (status == AVAL_OK) status = aval__safetensors_parse(map.at, map.bytes, out);
    if (status == AVAL_OK) out->map = map;
    else {
        aval__file_unmap(&map);
        aval__fail_in(status, "%s", file);
    }
    return status;
}

void aval__safetensors_release(aval__safetensors *file)
{
    aval__file_unmap(&file->map);
    aval__arena_release(&file->arena);
    memset(file, 0, sizeof *file);
}
