/* What every part of aval stands on: error messages, memory, growing arrays, texts, hashes.  Includes nothing of aval but the
 * public list of codes. */
#ifndef AVAL_BASE_H
#define AVAL_BASE_H

#include "aval/aval.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define AVAL__PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define AVAL__PRINTF(f, a)
#endif

/* ---- Errors: each thread has one message.  Every function that returns a negative code has set it. ----------------------- */

/* Sets the message and returns `code`. */
int aval__fail(int code, const char *format, ...) AVAL__PRINTF(2, 3);
int aval__fail_v(int code, const char *format, va_list list);
/* Puts "<text>: " before the message that is there and returns `code`: for callers that know more (node, file, device). */
int aval__fail_in(int code, const char *format, ...) AVAL__PRINTF(2, 3);

/* Returns from the calling function with the code when `call` fails; only where nothing has to be given back. */
#define AVAL__TRY(call) \
    do { \
        int try_status_ = (call); \
        if (try_status_ < 0) return try_status_; \
    } while (0)
/* Goes to the function's one exit with `status` set. */
#define AVAL__TRY_DONE(call) \
    do { \
        status = (call); \
        if (status < 0) goto done; \
    } while (0)

/* "aval_graph_input: a graph is needed, found NULL"; without the name where it is none of the public functions. */
int aval__fail_null(const char *function, const char *what);
/* At the start of a public function: fails with AVAL_E_ARGUMENT where a handle, an array or a place for a result is NULL.  `what` is
   "a session".  The second form is for functions that return no status. */
#define AVAL__NEED(given, what) AVAL__NEED_OR(AVAL_E_ARGUMENT, given, what)
#define AVAL__NEED_OR(result, given, what) \
    do { \
        if (!(given)) { \
            aval__fail_null(__func__, what); \
            return result; \
        } \
    } while (0)

/* ---- Memory.  All take sizes with overflow checked, set the message and return NULL when there is none left. -------------- */

void *aval__alloc(size_t bytes); /* zeroed; a request for 0 gives a valid pointer */
void *aval__alloc_array(size_t count, size_t item_bytes); /* zeroed */
void *aval__resize(void *memory, size_t count, size_t item_bytes); /* not zeroed; on failure `memory` stays as it was */
char *aval__copy_text(const char *text); /* NULL gives NULL without an error */
void aval__free(void *memory);

/* Memory given back all at once: the parts of a graph copy or a plan live together. */
typedef struct aval__arena {
    struct aval__arena_block *first;
} aval__arena;

void *aval__arena_alloc(aval__arena *arena, size_t bytes); /* zeroed, aligned for any type */
void *aval__arena_copy(aval__arena *arena, const void *data, size_t bytes);
char *aval__arena_text(aval__arena *arena, const char *text);
void aval__arena_clear(aval__arena *arena); /* empty, with a block kept for what comes next */
void aval__arena_release(aval__arena *arena); /* leaves it empty and usable */

/* ---- Growing arrays:  AVAL__VEC(int) v = { 0 };  aval__vec_push(&v, 3);  v.at[0] ... aval__vec_release(&v). ------------------ */

#define AVAL__VEC(type) \
    struct { \
        type *at; \
        size_t count, capacity; \
    }
/* 0, or AVAL_E_MEMORY with the array unchanged. */
#define aval__vec_reserve(v, n) aval__vec_grow((void **)&(v)->at, &(v)->capacity, (n), sizeof *(v)->at)
#define aval__vec_push(v, ...) \
    (aval__vec_reserve((v), (v)->count + 1) < 0 ? AVAL_E_MEMORY : ((v)->at[(v)->count++] = (__VA_ARGS__), AVAL_OK))
#define aval__vec_release(v) (aval__free((v)->at), (v)->at = NULL, (v)->count = (v)->capacity = 0)
int aval__vec_grow(void **at, size_t *capacity, size_t wanted, size_t item_bytes);

/* ---- Texts that grow.  After a failed append `failed` is set and the text stays valid; check once at the end. ---------------- */

typedef struct aval__text {
    char *at; /* always ends with 0 once something was appended */
    size_t length, capacity;
    bool failed;
} aval__text;

void aval__text_add(aval__text *t, const char *format, ...) AVAL__PRINTF(2, 3);
void aval__text_put(aval__text *t, const char *text, size_t length);
/* A number that reads back as the same double in any locale: "0.5", "1e-05", "inf". */
void aval__text_real(aval__text *t, double x);
void aval__text_release(aval__text *t);
/* Hands the text over (for aval__free); NULL with the message set when an append had failed. */
char *aval__text_take(aval__text *t);

/* Reads a decimal or hexadecimal number whatever the locale.  *end is after it; false when there is none. */
bool aval__parse_real(const char *text, const char **end, double *x);
bool aval__parse_int(const char *text, const char **end, int64_t *x);

/* ---- Hashes (xxHash): keys of caches ------------------------------------------------------------------------------------------ */

typedef struct aval__hash {
    uint64_t low, high;
} aval__hash;

aval__hash aval__hash_bytes(const void *data, size_t bytes);
uint64_t aval__hash64(const void *data, size_t bytes, uint64_t seed);
void aval__hash_text(aval__hash h, char out[33]); /* 32 hexadecimal digits and 0 */

/* ---- Log -------------------------------------------------------------------------------------------------------------------------- */

typedef struct aval__log {
    aval_log_function function; /* NULL: dropped */
    void *user;
} aval__log;
void aval__log_write(const aval__log *log, int level, const char *format, ...) AVAL__PRINTF(3, 4);

/* Seconds of a clock that never goes back. */
double aval__seconds(void);
/* Sorts them, upwards, and returns the one in the middle, of an even count the upper one; there is one at least. */
double aval__median(double *numbers, size_t n);

#endif
