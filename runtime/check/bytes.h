/* Texts and numbers as bytes between processes.  Nothing that is read is believed: it may come from a process that a driver has damaged. */
#ifndef AVAL_CHECK_BYTES_H
#define AVAL_CHECK_BYTES_H

#include "base/base.h"

/* Where bytes are read; `left` is never more than there is. */
typedef struct aval__reader {
    const unsigned char *at;
    size_t left;
} aval__reader;

/* The next bytes, which stay the sender's; NULL: there are not so many. */
const void *aval__reader_take(aval__reader *r, uint64_t bytes);
/* As aval__bytes_put_text wrote it; *out is for aval__free. */
int aval__reader_text(aval__reader *r, char **out);
/* "the results of a run are damaged: <what>". */
int aval__reader_fail(const char *what);

void aval__bytes_put_text(aval__text *out, const char *text);

#endif
