/* NumPy's .npy: a magic number, the length of a header that is a Python dictionary, elements.  A file is read by comparing its header with
 * the one that the expected tensor would be written with, so nothing of it is parsed. */
#include "check/npy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAGIC "\x93NUMPY\x01\x00"
#define MAGIC_BYTES 8

/* Element types and what NumPy calls them on a little-endian machine. */
static const struct {
    int type;
    const char *name;
} type_names[] = {
    { AVAL_FLOAT, "<f4" }, { AVAL_DOUBLE, "<f8" }, { AVAL_FLOAT16, "<f2" }, { AVAL_INT32, "<i4" }, { AVAL_INT64, "<i8" },
    { AVAL_UINT8, "|u1" }, { AVAL_INT8, "|i1" },   { AVAL_BOOL, "|b1" },    { AVAL_INT16, "<i2" }, { AVAL_UINT16, "<u2" },
};

/* Magic, length and dictionary, padded so that the elements begin at a multiple of 64. */
static int print_header(aval__text *out, const aval_tensor *t)
{
    const char *type = NULL;
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++) {
        if (type_names[i].type == t->type) type = type_names[i].name;
    }
    if (type == NULL) return aval__fail(AVAL_E_TYPE, "elements of type %s cannot be written as .npy", aval_type_name(t->type));
    aval__text dictionary = { 0 };
    aval__text_add(&dictionary, "{'descr': '%s', 'fortran_order': False, 'shape': (", type);
    for (int32_t i = 0; i < t->rank; i++) aval__text_add(&dictionary, "%lld,%s", (long long)t->dims[i], i + 1 < t->rank ? " " : "");
    aval__text_add(&dictionary, "), }");
    while ((MAGIC_BYTES + 2 + dictionary.length + 1) % 64 != 0) aval__text_put(&dictionary, " ", 1);
    aval__text_put(&dictionary, "\n", 1);
    const unsigned char length[2] = { (unsigned char)(dictionary.length & 255), (unsigned char)(dictionary.length >> 8) };
    aval__text_put(out, MAGIC, MAGIC_BYTES);
    aval__text_put(out, (const char *)length, sizeof length);
    aval__text_put(out, dictionary.at, dictionary.length);
    bool failed = dictionary.failed || out->failed;
    aval__text_release(&dictionary);
    return failed ? AVAL_E_MEMORY : AVAL_OK;
}

int aval__npy_write(const char *file, const aval__host_tensor *t)
{
    size_t bytes = aval__tensor_bytes(&t->tensor);
    aval__text header = { 0 };
    FILE *out = NULL;
    int status = AVAL_OK;
    void *data = aval__alloc(bytes);
    if (data == NULL) return AVAL_E_MEMORY;
    aval__host_tensor_to(t, data);
    AVAL__TRY_DONE(print_header(&header, &t->tensor));
    out = fopen(file, "wb");
    bool written = out != NULL && fwrite(header.at, 1, header.length, out) == header.length && fwrite(data, 1, bytes, out) == bytes;
    if (out != NULL && fclose(out) != 0) written = false;
    if (!written) status = aval__fail(AVAL_E_IO, "'%s' cannot be written: %s", file, strerror(errno));
done:
    aval__text_release(&header);
    aval__free(data);
    return status;
}

int aval__npy_read(const char *file, const aval_tensor *shape, aval__host_tensor *out)
{
    size_t bytes = aval__tensor_bytes(shape);
    aval__text header = { 0 };
    int status = AVAL_OK;
    FILE *in = NULL;
    char *content = NULL;
    AVAL__TRY_DONE(print_header(&header, shape));
    content = aval__alloc(header.length + bytes + 1);
    if (content == NULL) AVAL__TRY_DONE(AVAL_E_MEMORY);
    in = fopen(file, "rb");
    if (in == NULL) AVAL__TRY_DONE(aval__fail(AVAL_E_IO, "'%s' cannot be read: %s", file, strerror(errno)));
    size_t found = fread(content, 1, header.length + bytes + 1, in);
    if (found != header.length + bytes || memcmp(content, header.at, header.length) != 0)
        AVAL__TRY_DONE(aval__fail(AVAL_E_FORMAT, "'%s' is not what the case has there: expected %.*s and %zu bytes of elements", file,
                                  (int)(header.length - MAGIC_BYTES - 3), header.at + MAGIC_BYTES + 2, bytes));
    AVAL__TRY_DONE(aval__host_tensor_make(out, shape));
    aval__host_tensor_from(out, content + header.length);
done:
    if (in != NULL) fclose(in);
    aval__text_release(&header);
    aval__free(content);
    return status;
}
