/* Reading and writing what goes between processes: see bytes.h. */
#include "check/bytes.h"

#include <string.h>

const void *aval__reader_take(aval__reader *r, uint64_t bytes)
{
    const void *at = r->at;
    if (bytes > r->left) return NULL;
    r->at += bytes;
    r->left -= (size_t)bytes;
    return at;
}

int aval__reader_fail(const char *what)
{
    return aval__fail(AVAL_E_FORMAT, "the results of a run are damaged: %s", what);
}

int aval__reader_text(aval__reader *r, char **out)
{
    uint64_t length;
    const void *at = aval__reader_take(r, sizeof length);
    if (at != NULL) {
        memcpy(&length, at, sizeof length);
        at = aval__reader_take(r, length);
    }
    if (at == NULL) return aval__reader_fail("they end within a text");
    *out = aval__alloc((size_t)length + 1);
    if (*out == NULL) return AVAL_E_MEMORY;
    memcpy(*out, at, (size_t)length);
    return AVAL_OK;
}

void aval__bytes_put_text(aval__text *out, const char *text)
{
    uint64_t length = strlen(text);
    aval__text_put(out, (const char *)&length, sizeof length);
    aval__text_put(out, text, length);
}
