/* Whole files in memory: read, or mapped. */
#include "model/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_stream(FILE *in, size_t most, unsigned char **bytes, size_t *count)
{
    struct stat about;
    if (fstat(fileno(in), &about) != 0 || !S_ISREG(about.st_mode)) return aval__fail(AVAL_E_FORMAT, "expected a regular file");
    if ((uint64_t)about.st_size > most)
        return aval__fail(AVAL_E_FORMAT, "expected at most %zu bytes, found %lld", most, (long long)about.st_size);
    *count = (size_t)about.st_size;
    *bytes = aval__alloc(*count + 1);
    if (!*bytes) return AVAL_E_MEMORY;
    if (fread(*bytes, 1, *count, in) == *count) return AVAL_OK;
    aval__free(*bytes);
    return aval__fail(AVAL_E_IO, "cannot be read: %s", ferror(in) ? strerror(errno) : "it became shorter");
}

int aval__file_read(const char *file, size_t most, unsigned char **bytes, size_t *count)
{
    FILE *in = fopen(file, "rbe");
    if (!in) return aval__fail(errno == ENOENT ? AVAL_E_UNKNOWN : AVAL_E_IO, "cannot be opened: %s", strerror(errno));
    int status = read_stream(in, most, bytes, count);
    fclose(in);
    return status;
}

static int map(int fd, size_t most, aval__mapped *out)
{
    struct stat about;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) return aval__fail(AVAL_E_FORMAT, "expected a regular file");
    if ((uint64_t)about.st_size > most)
        return aval__fail(AVAL_E_FORMAT, "expected at most %zu bytes, found %lld", most, (long long)about.st_size);
    out->bytes = (size_t)about.st_size;
    out->at = (const unsigned char *)"";
    if (out->bytes == 0) return AVAL_OK; /* nothing can be mapped */
    void *memory = mmap(NULL, out->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED) {
        *out = (aval__mapped){ 0 };
        return aval__fail(AVAL_E_IO, "cannot be mapped into memory: %s", strerror(errno));
    }
    out->at = memory;
    return AVAL_OK;
}

int aval__file_map(const char *file, size_t most, aval__mapped *out)
{
    *out = (aval__mapped){ 0 };
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would wait for ever */
    if (fd < 0) return aval__fail(errno == ENOENT ? AVAL_E_UNKNOWN : AVAL_E_IO, "cannot be opened: %s", strerror(errno));
    int status = map(fd, most, out);
    close(fd); /* the mapping stays */
    return status;
}

void aval__file_unmap(aval__mapped *mapped)
{
    if (mapped->bytes > 0) munmap((void *)(uintptr_t)mapped->at, mapped->bytes);
    *mapped = (aval__mapped){ 0 };
}
