/* What was found out about devices, remembered from one process to the next: a JSON file a device in the cache folder.
 *
 * Entries have a kind ("check": what `aval check` found of an operator) and a subject (the operator).  A file is of one device, driver and
 * version of aval: where these are others by now, all in it is forgotten.  A file that is damaged or cannot be read is an empty one. */
#ifndef AVAL_DEVICE_VERDICTS_H
#define AVAL_DEVICE_VERDICTS_H

#include "base/base.h"

typedef struct aval__verdict {
    uint64_t stamp; /* of what was tried (a plugin's file, a kernel's source): with another stamp the verdict is of something else */
    uint64_t passed, failed, skipped;
    double error; /* largest of what passed, in units of the tolerance */
    int64_t when; /* seconds since 1970 */
    char extent[32]; /* "", or what was left out: "quick" */
    char message[256]; /* of the first failure, or what was found; "" */
} aval__verdict;

typedef struct aval__verdicts aval__verdicts;

/* The folder of all that is kept between processes: AVAL_CACHE_DIR, else $XDG_CACHE_HOME/aval, else ~/.cache/aval; made with mode 0700.
   For aval__free; NULL: there is to be none, or it cannot be used, which is then a warning. */
char *aval__cache_choose(const aval__log *log);

/* What is remembered of the device: the `ordinal`-th (from 0) of those that are called the same. */
int aval__verdicts_open(const char *folder, const aval_device_info *info, size_t ordinal, aval__verdicts **out);
/* Those of every device that ever had some, whether it is there now or not; the function that is called is their owner. */
int aval__verdicts_visit(const char *folder, int (*take)(void *user, aval__verdicts *verdicts), void *user);
void aval__verdicts_close(aval__verdicts *v);

const char *aval__verdicts_device(const aval__verdicts *v); /* "PLATFORM/NAME" */
const char *aval__verdicts_driver(const aval__verdicts *v);
bool aval__verdicts_find(const aval__verdicts *v, const char *kind, const char *subject, aval__verdict *out);
/* In memory; in place of an older one of that subject. */
int aval__verdicts_add(aval__verdicts *v, const char *kind, const char *subject, const aval__verdict *verdict);
/* Those of a kind, in no order. */
void aval__verdicts_list(const aval__verdicts *v, const char *kind,
                         void (*take)(void *user, const char *subject, const aval__verdict *verdict), void *user);
/* All of a kind that there are so far; from the file too, once saved. */
int aval__verdicts_forget(aval__verdicts *v, const char *kind);
/* Puts what was added into the file, beside what other processes have put there meanwhile.  False where it cannot be written: a verdict that
   is not remembered is found again. */
bool aval__verdicts_save(aval__verdicts *v);

#endif
