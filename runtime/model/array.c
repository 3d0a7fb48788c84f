/* Arrays in files, for users: .npy and .npz in and out, ONNX's TensorProto in. */
#include "model/model.h"

#include <string.h>

static int parse(aval__arena *arena, const unsigned char *bytes, size_t count, aval_tensor *shape, const void **data)
{
    if (aval__npz_is(bytes, count)) return aval__fail(AVAL_E_FORMAT, "an archive of arrays, which aval_archive_open reads");
    return aval__npy_is(bytes, count) ? aval__npy_parse(bytes, count, shape, data)
                                      : aval__onnx_tensor_parse(arena, bytes, count, shape, data);
}

static int check_size(const aval_array *array)
{
    if (array->size == sizeof *array) return AVAL_OK;
    return aval__fail(AVAL_E_ARGUMENT, "array->size is %zu, expected %zu", array->size, sizeof *array);
}

int aval__array_take(const aval_tensor *shape, const void *data, aval_array *array)
{
    void *copy = aval__alloc(aval__tensor_bytes(shape) + 1);
    if (!copy) return AVAL_E_MEMORY;
    *array = (aval_array){ .size = sizeof *array, .type = shape->type, .rank = (size_t)shape->rank, .data = copy };
    array->bytes = aval__tensor_bytes(shape);
    memcpy(array->dims, shape->dims, sizeof shape->dims);
    memcpy(copy, data, array->bytes);
    return AVAL_OK;
}

int aval__array_shape(const aval_array *array, aval_tensor *shape)
{
    AVAL__TRY(check_size(array));
    AVAL__TRY(aval__tensor_set(shape, array->type, array->rank, array->dims));
    if (array->bytes != aval__tensor_bytes(shape) || (!array->data && array->bytes > 0))
        return aval__fail(AVAL_E_ARGUMENT, "an array of %zu bytes was expected, found %zu", aval__tensor_bytes(shape),
                          array->data ? array->bytes : 0);
    return AVAL_OK;
}

int aval_array_read(const char *file, aval_array *array)
{
    AVAL__NEED(file, "a file name");
    AVAL__NEED(array, "a place for the array");
    AVAL__TRY(check_size(array));
    int status = AVAL_OK;
    aval__mapped map = { 0 };
    aval__arena arena = { 0 };
    aval_tensor shape;
    const void *data;
    AVAL__TRY_DONE(aval__file_map(file, SIZE_MAX / 2, &map));
    AVAL__TRY_DONE(parse(&arena, map.at, map.bytes, &shape, &data));
    AVAL__TRY_DONE(aval__array_take(&shape, data, array));
done:
    if (status < 0) aval__fail_in(status, "'%s'", file);
    aval__file_unmap(&map);
    aval__arena_release(&arena);
    return status;
}

int aval_array_write(const char *file, const aval_array *array)
{
    aval_tensor shape;
    AVAL__NEED(file, "a file name");
    AVAL__NEED(array, "an array");
    AVAL__TRY(aval__array_shape(array, &shape));
    return aval__npy_write(file, &shape, array->data);
}

/* ---- Archives ------------------------------------------------------------------------------------------------------------------------- */

struct aval_archive {
    char *file;
    aval__mapped map;
    aval__npz npz;
};

int aval_archive_open(const char *file, aval_archive **archive)
{
    AVAL__NEED(archive, "a place for the archive");
    AVAL__NEED(file, "a file name");
    int status = AVAL_OK;
    *archive = NULL;
    aval_archive *made = aval__alloc(sizeof *made);
    if (!made) return AVAL_E_MEMORY;
    made->file = aval__copy_text(file);
    if (!made->file) AVAL__TRY_DONE(AVAL_E_MEMORY);
    AVAL__TRY_DONE(aval__file_map(file, SIZE_MAX / 2, &made->map));
    AVAL__TRY_DONE(aval__npz_parse(made->map.at, made->map.bytes, &made->npz));
    *archive = made;
done:
    if (status < 0) {
        aval__fail_in(status, "'%s'", file);
        aval_archive_release(made);
    }
    return status;
}

void aval_archive_release(aval_archive *archive)
{
    if (!archive) return;
    aval__npz_release(&archive->npz);
    aval__file_unmap(&archive->map);
    aval__free(archive->file);
    aval__free(archive);
}

size_t aval_archive_count(const aval_archive *archive)
{
    AVAL__NEED_OR(0, archive, "an archive");
    return archive->npz.count;
}

const char *aval_archive_name(const aval_archive *archive, size_t i)
{
    AVAL__NEED_OR(NULL, archive, "an archive");
    return i < archive->npz.count ? archive->npz.at[i].name : NULL;
}

static int find(const aval__npz *npz, const char *name, size_t *index)
{
    aval__text names = { 0 };
    for (*index = 0; *index < npz->count; ++*index)
        if (strcmp(npz->at[*index].name, name) == 0) return AVAL_OK;
    for (size_t i = 0; i < npz->count && i < 20; i++) aval__text_add(&names, "%s'%.60s'", i > 0 ? ", " : "", npz->at[i].name);
    int status = aval__fail(AVAL_E_UNKNOWN, "no array '%.200s': there are %s", name, npz->count > 0 && names.at ? names.at : "none");
    aval__text_release(&names);
    return status;
}

static int read_member(const aval__npz *npz, const char *name, aval_array *array)
{
    size_t i;
    unsigned char *bytes = NULL;
    aval_tensor shape;
    const void *data;
    AVAL__TRY(find(npz, name, &i));
    int status = aval__npz_unpack(npz, i, &bytes);
    if (status == AVAL_OK) status = aval__npy_parse(bytes, (size_t)npz->at[i].bytes, &shape, &data);
    if (status == AVAL_OK) status = aval__array_take(&shape, data, array);
    aval__free(bytes);
    return status;
}

int aval_archive_read(const aval_archive *archive, const char *name, aval_array *array)
{
    AVAL__NEED(archive, "an archive");
    AVAL__NEED(name, "the name of an array");
    AVAL__NEED(array, "a place for the array");
    AVAL__TRY(check_size(array));
    int status = read_member(&archive->npz, name, array);
    return status < 0 ? aval__fail_in(status, "'%s'", archive->file) : AVAL_OK;
}

int aval_archive_write(const char *file, const char *const *names, const aval_array *arrays, size_t count, int compress)
{
    AVAL__NEED(file, "a file name");
    AVAL__NEED(names || count == 0, "names of the arrays");
    AVAL__NEED(arrays || count == 0, "arrays");
    int status = AVAL_OK;
    aval__npz_array *parts = aval__alloc_array(count, sizeof *parts);
    if (!parts) return AVAL_E_MEMORY;
    for (size_t i = 0; i < count && status == AVAL_OK; i++) {
        parts[i].name = names[i];
        parts[i].data = arrays[i].data;
        status = names[i] ? aval__array_shape(&arrays[i], &parts[i].shape) : aval__fail(AVAL_E_ARGUMENT, "its name is NULL");
        for (size_t k = 0; k < i && status == AVAL_OK; k++)
            if (strcmp(names[k], names[i]) == 0) status = aval__fail(AVAL_E_ARGUMENT, "another has this name");
        if (status < 0) aval__fail_in(status, "array %zu, '%s'", i, names[i] ? names[i] : "");
    }
    if (status == AVAL_OK) status = aval__npz_write(file, parts, count, compress != 0);
    aval__free(parts);
    return status;
}
