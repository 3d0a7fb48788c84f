/* Tensors whose content lies in a file of its own, beside the model: only within the model's folder, since a model that names any other
 * file would have it read, and perhaps written out again, by whoever loads it. */
#include "model/onnx.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *entry(const onnx_tensor *t, const char *key)
{
    for (size_t i = 0; i < t->n_external_data; i++)
        if (strcmp(onnx_text(t->external_data[i]->key), key) == 0) return onnx_text(t->external_data[i]->value);
    return NULL;
}

/* A number that may be absent. */
static int read_number(const onnx_tensor *t, const char *key, uint64_t absent, uint64_t *out)
{
    const char *text = entry(t, key), *end = text;
    int64_t number = 0;
    *out = absent;
    if (!text) return AVAL_OK;
    if (!aval__parse_int(text, &end, &number) || *end || number < 0)
        return aval__fail(AVAL_E_FORMAT, "external data: expected %s to be a number from 0 on, found '%.40s'", key, text);
    *out = (uint64_t)number;
    return AVAL_OK;
}

/* The file, with every link on the way resolved, must lie below the folder. */
static int find_file(const char *folder, const char *location, char found[PATH_MAX])
{
    char root[PATH_MAX], joined[PATH_MAX];
    if (!location[0] || location[0] == '/' || strstr(location, "..") || strlen(folder) + strlen(location) + 2 > sizeof joined)
        return aval__fail(AVAL_E_FORMAT, "external data: expected a file within the model's folder, found '%.200s'", location);
    if (!realpath(folder, root)) return aval__fail(AVAL_E_IO, "'%s' cannot be opened: %s", folder, strerror(errno));
    strcpy(joined, root);
    strcat(strcat(joined, "/"), location);
    if (!realpath(joined, found))
        return aval__fail(AVAL_E_IO, "external data: '%s' beside the model cannot be opened: %s", location, strerror(errno));
    size_t length = strlen(root);
    if (strncmp(found, root, length) != 0 || (found[length] != '/' && length > 1))
        return aval__fail(AVAL_E_FORMAT, "external data: '%s' is a link that leads out of the model's folder", location);
    return AVAL_OK;
}

static int read_part(int fd, uint64_t offset, unsigned char *to, size_t bytes)
{
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = pread(fd, to + done, bytes - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return aval__fail(AVAL_E_IO, "external data cannot be read: %s", n < 0 ? strerror(errno) : "the file became shorter");
        done += (size_t)n;
    }
    return AVAL_OK;
}

int onnx_external_read(aval__arena *arena, const char *folder, const onnx_tensor *t, size_t bytes, const void **data)
{
    char file[PATH_MAX];
    uint64_t offset, length;
    struct stat about;
    int status = AVAL_OK;
    const char *location = entry(t, "location");
    if (!folder) return aval__fail(AVAL_E_UNSUPPORTED, "external data of a model that lies in no folder");
    if (!location) return aval__fail(AVAL_E_FORMAT, "external data without a location");
    AVAL__TRY(read_number(t, "offset", 0, &offset));
    AVAL__TRY(read_number(t, "length", bytes, &length));
    if (length != bytes) return aval__fail(AVAL_E_FORMAT, "external data: expected %zu bytes, found length %" PRIu64, bytes, length);
    AVAL__TRY(find_file(folder, location, file));

    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); /* a pipe would wait for ever */
    if (fd < 0) return aval__fail(AVAL_E_IO, "'%s' cannot be opened: %s", file, strerror(errno));
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        AVAL__TRY_DONE(aval__fail(AVAL_E_FORMAT, "external data: '%s' is no regular file", location));
    if (offset > (uint64_t)about.st_size || bytes > (uint64_t)about.st_size - offset)
        AVAL__TRY_DONE(aval__fail(AVAL_E_FORMAT, "external data: expected %zu bytes from byte %" PRIu64 " of '%s' on, which has %lld",
                                  bytes, offset, location, (long long)about.st_size));
    unsigned char *memory = aval__arena_alloc(arena, bytes + 1);
    if (!memory) AVAL__TRY_DONE(AVAL_E_MEMORY);
    AVAL__TRY_DONE(read_part(fd, offset, memory, bytes));
    *data = memory;
done:
    close(fd);
    return status;
}
