/* Numbers of the command line.  They come as texts, so that what was not given (NULL) is no magic number, and NaN, hexadecimals and what the
 * type cannot hold are refused. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int cli_real(const char *option, const char *text, double *value)
{
    char *end = NULL;
    if (text == NULL) return CLI_OK;
    double found = strtod(text, &end);
    if (text[0] == 0 || *end != 0 || text[strspn(text, "+-.0123456789eE")] != 0 || !isfinite(found))
        return cli_fail(CLI_USAGE, "--%s: a decimal number was expected, found '%s'", option, text);
    *value = found;
    return CLI_OK;
}

int cli_count(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *value)
{
    if (text == NULL) return CLI_OK;
    errno = 0;
    unsigned long long found = strtoull(text, NULL, 10);
    bool digits = text[0] != 0 && text[strspn(text, "0123456789")] == 0;
    if (!digits || errno == ERANGE || found < least || found > most)
        return cli_fail(CLI_USAGE, "--%s: a whole number from %llu to %llu was expected, found '%s'", option, (unsigned long long)least,
                        (unsigned long long)most, text);
    *value = found;
    return CLI_OK;
}

int cli_bytes(const char *option, const char *text, uint64_t *value)
{
    static const char suffixes[] = "KMG";
    char *end;
    if (text == NULL) return CLI_OK;
    errno = 0;
    unsigned long long found = strtoull(text, &end, 10);
    const char *suffix = *end != 0 ? strchr(suffixes, *end) : NULL;
    unsigned shift = suffix != NULL ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
    bool whole = isdigit((unsigned char)text[0]) && (*end == 0 || (suffix != NULL && end[1] == 0));
    if (!whole || errno == ERANGE || found == 0 || found > UINT64_MAX >> shift)
        return cli_fail(CLI_USAGE, "--%s: a number of bytes from 1 on was expected, as in 400000, 64K, 20M or 1G, found '%s'", option,
                        text);
    *value = (uint64_t)found << shift;
    return CLI_OK;
}

double cli_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
