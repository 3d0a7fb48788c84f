/* Whole files into memory. */
#include "model/model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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
