/* NumPy's .npy: a magic number, the length of a header that is a Python dictionary, elements.  Written as version 1.0, read as 1.0 to 3.0
 * (which differ in the width of the length, and in what names of fields may hold). */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

#define MAGIC "\x93NUMPY"
#define MAGIC_BYTES 6
#define PREFIX_BYTES 10 /* magic, version, length of the header */

/* Element types and what NumPy calls them; all machines that aval runs on are little endian. */
static const struct {
    int type;
    const char *name;
} type_names[] = {
    { AVAL_FLOAT, "<f4" }, { AVAL_DOUBLE, "<f8" }, { AVAL_FLOAT16, "<f2" }, { AVAL_INT32, "<i4" },
    { AVAL_INT64, "<i8" }, { AVAL_UINT8, "|u1" },  { AVAL_INT8, "|i1" },    { AVAL_BOOL, "|b1" },
    { AVAL_INT16, "<i2" }, { AVAL_UINT16, "<u2" }, { AVAL_UINT32, "<u4" },  { AVAL_UINT64, "<u8" },
};
#define TYPE_NAMES (sizeof type_names / sizeof *type_names)

bool aval__npy_is(const void *bytes, size_t count)
{
    return count >= PREFIX_BYTES && memcmp(bytes, MAGIC, MAGIC_BYTES) == 0;
}

/* ---- Reading ------------------------------------------------------------------------------------------------------------------------ */

typedef struct header_text {
    const char *at, *end;
} header_text;

/* What stands behind 'key': in the dictionary. */
static int find_key(const header_text *h, const char *key, const char **value)
{
    size_t length = strlen(key);
    for (const char *at = h->at; at + length < h->end; at++) {
        if (memcmp(at, key, length) != 0) continue;
        at += length;
        while (at < h->end && *at == ' ') at++;
        *value = at;
        if (at < h->end) return AVAL_OK;
    }
    return aval__fail(AVAL_E_FORMAT, "the header of a .npy file lacks %s", key);
}

static int read_type(const header_text *h, int *type)
{
    const char *at = NULL;
    AVAL__TRY(find_key(h, "'descr':", &at));
    for (size_t i = 0; i < TYPE_NAMES; i++) {
        const char *name = type_names[i].name;
        bool fits = h->end - at >= 5 && (at[0] == '\'' || at[0] == '"') && at[4] == at[0];
        /* the byte order of single bytes is written as any of |, < and = */
        if (fits && memcmp(at + 2, name + 1, 2) == 0 && (at[1] == name[0] || at[1] == '=' || (name[2] == '1' && at[1] == '<'))) {
            *type = type_names[i].type;
            return AVAL_OK;
        }
    }
    return aval__fail(AVAL_E_UNSUPPORTED, "elements of NumPy's type %.*s", (int)(h->end - at < 8 ? h->end - at : 8), at);
}

static int read_dims(const header_text *h, size_t *rank, int64_t dims[AVAL_MAX_RANK])
{
    const char *at = NULL;
    AVAL__TRY(find_key(h, "'shape':", &at));
    if (*at++ != '(') return aval__fail(AVAL_E_FORMAT, "the shape of a .npy file is no tuple");
    for (*rank = 0; at < h->end && *at != ')'; ++*rank) {
        if (*rank == AVAL_MAX_RANK) return aval__fail(AVAL_E_UNSUPPORTED, "an array of more than %d axes", AVAL_MAX_RANK);
        if (!aval__parse_int(at, &at, &dims[*rank]) || dims[*rank] < 0)
            return aval__fail(AVAL_E_FORMAT, "axis %zu of a .npy file is not a number from 0 on", *rank);
        while (at < h->end && (*at == ' ' || *at == ',')) at++;
    }
    return at < h->end ? AVAL_OK : aval__fail(AVAL_E_FORMAT, "the header of a .npy file ends within the shape");
}

static int read_header(const header_text *h, aval_tensor *shape)
{
    int type = AVAL_NONE;
    size_t rank = 0;
    int64_t dims[AVAL_MAX_RANK];
    const char *order = NULL;
    AVAL__TRY(read_type(h, &type));
    AVAL__TRY(find_key(h, "'fortran_order':", &order));
    AVAL__TRY(read_dims(h, &rank, dims));
    if (*order == 'T' && rank > 1)
        return aval__fail(AVAL_E_UNSUPPORTED, "an array with its columns first: save it by numpy.ascontiguousarray");
    int status = aval__tensor_set(shape, type, rank, dims);
    return status < 0 ? aval__fail_in(AVAL_E_FORMAT, "the shape of a .npy file") : AVAL_OK;
}

int aval__npy_parse(const void *bytes, size_t count, aval_tensor *shape, const void **data)
{
    const unsigned char *at = bytes;
    if (!aval__npy_is(bytes, count)) return aval__fail(AVAL_E_FORMAT, "expected a .npy file");
    size_t prefix = at[6] == 1 ? PREFIX_BYTES : PREFIX_BYTES + 2, length = (size_t)at[8] | (size_t)at[9] << 8;
    if (at[6] < 1 || at[6] > 3) return aval__fail(AVAL_E_FORMAT, "a .npy file of version %d (there are 1 to 3)", at[6]);
    if (at[6] > 1 && count >= prefix) length |= (size_t)at[10] << 16 | (size_t)at[11] << 24;
    if (count < prefix || length > count - prefix) return aval__fail(AVAL_E_FORMAT, "a .npy file ends within its header");

    char *text = aval__alloc(length + 1); /* ends with 0, so that no number is read beyond it */
    if (!text) return AVAL_E_MEMORY;
    memcpy(text, at + prefix, length);
    int status = read_header(&(header_text){ text, text + length }, shape);
    aval__free(text);
    if (status < 0) return status;
    if (count - prefix - length != aval__tensor_bytes(shape))
        return aval__fail(AVAL_E_FORMAT, "the shape of a .npy file needs %zu bytes of elements, found %zu", aval__tensor_bytes(shape),
                          count - prefix - length);
    *data = at + prefix + length;
    return AVAL_OK;
}

/* ---- Writing ------------------------------------------------------------------------------------------------------------------------ */

static const char *name_of(int type)
{
    for (size_t i = 0; i < TYPE_NAMES; i++)
        if (type_names[i].type == type) return type_names[i].name;
    return NULL;
}

bool aval__npy_has(int type)
{
    return name_of(type) != NULL;
}

/* Magic, length and dictionary, padded so that the elements begin at a multiple of 64. */
int aval__npy_header(aval__text *out, const aval_tensor *t)
{
    const char *type = name_of(t->type);
    if (!type) return aval__fail(AVAL_E_TYPE, "elements of type %s cannot be written as .npy", aval_type_name(t->type));
    aval__text dictionary = { 0 };
    aval__text_add(&dictionary, "{'descr': '%s', 'fortran_order': False, 'shape': (", type);
    for (int32_t i = 0; i < t->rank; i++) aval__text_add(&dictionary, "%lld,%s", (long long)t->dims[i], i + 1 < t->rank ? " " : "");
    aval__text_add(&dictionary, "), }");
    while ((PREFIX_BYTES + dictionary.length + 1) % 64 != 0 && !dictionary.failed) aval__text_put(&dictionary, " ", 1);
    aval__text_put(&dictionary, "\n", 1);
    const char length[2] = { (char)(dictionary.length & 255), (char)(dictionary.length >> 8) };
    aval__text_put(out, MAGIC "\x01\x00", MAGIC_BYTES + 2);
    aval__text_put(out, length, sizeof length);
    aval__text_put(out, dictionary.at ? dictionary.at : "", dictionary.length);
    bool failed = dictionary.failed || out->failed;
    aval__text_release(&dictionary);
    return failed ? AVAL_E_MEMORY : AVAL_OK;
}

int aval__npy_write(const char *file, const aval_tensor *shape, const void *data)
{
    int status = AVAL_OK;
    aval__text header = { 0 };
    aval__safe_file safe = { .fd = -1 };
    AVAL__TRY_DONE(aval__npy_header(&header, shape));
    AVAL__TRY_DONE(aval__safe_file_open(&safe, file));
    AVAL__TRY_DONE(aval__safe_file_write(&safe, header.at, header.length));
    AVAL__TRY_DONE(aval__safe_file_write(&safe, data, aval__tensor_bytes(shape)));
    AVAL__TRY_DONE(aval__safe_file_rename(&safe));
done:
    if (status < 0) aval__fail_in(status, "'%s'", file);
    aval__safe_file_release(&safe);
    aval__text_release(&header);
    return status;
}
