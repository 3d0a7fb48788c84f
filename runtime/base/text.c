/* Texts that grow, and numbers in texts whatever the locale: files, kernels and attribute texts always have a point. */
#include "base/base.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Texts ---------------------------------------------------------------------------------------------------------------- */

/* Room for `more` characters and the 0. */
static bool make_room(aval__text *t, size_t more)
{
    if (t->failed) return false;
    if (more > SIZE_MAX - t->length - 1) {
        t->failed = true;
        aval__fail(AVAL_E_MEMORY, "out of memory: a text of %zu and %zu bytes was asked for", t->length, more);
        return false;
    }
    t->failed = aval__vec_grow((void **)&t->at, &t->capacity, t->length + more + 1, 1) < 0;
    return !t->failed;
}

void aval__text_put(aval__text *t, const char *text, size_t length)
{
    if (!make_room(t, length)) return;
    if (length) memcpy(t->at + t->length, text, length);
    t->length += length;
    t->at[t->length] = 0;
}

void aval__text_add(aval__text *t, const char *format, ...)
{
    va_list list, again;
    if (t->failed) return;
    va_start(list, format);
    va_copy(again, list);
    size_t room = t->capacity - t->length; /* most texts fit into what is there, and are formatted once */
    int length = vsnprintf(t->at ? t->at + t->length : NULL, room, format, list);
    va_end(list);
    if (length >= 0 && (size_t)length >= room) {
        if (t->at) t->at[t->length] = 0; /* should there be no more room, without the half that fitted */
        if (make_room(t, (size_t)length)) vsnprintf(t->at + t->length, (size_t)length + 1, format, again);
    }
    if (length >= 0 && !t->failed) t->length += (size_t)length;
    va_end(again);
}

void aval__text_release(aval__text *t)
{
    aval__free(t->at);
    *t = (aval__text){ 0 };
}

char *aval__text_take(aval__text *t)
{
    aval__text_put(t, "", 0); /* an empty text is a text too */
    char *taken = t->failed ? NULL : t->at;
    if (t->failed) aval__free(t->at);
    *t = (aval__text){ 0 };
    return taken;
}

/* ---- Words ------------------------------------------------------------------------------------------------------------------ */

#define LONGEST_WORD 63

size_t aval_word_distance(const char *a, const char *b)
{
    size_t row[LONGEST_WORD + 1], length = b ? strlen(b) : 0;
    if (!a) return length;
    if (length > LONGEST_WORD) return length; /* no name that anybody mistyped */
    for (size_t j = 0; j <= length; j++) row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = replaced < shorter ? replaced : shorter;
        }
    }
    return row[length];
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------------------- */

/* The C locale, made once in a process and kept: it is no state that a context could own, since it never differs. */
static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static locale_t get_c_locale(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_c_locale);
    return c_locale;
}

void aval__text_real(aval__text *t, double x)
{
    if (isnan(x)) {
        aval__text_add(t, "nan");
        return;
    }
    if (isinf(x)) {
        aval__text_add(t, x < 0 ? "-inf" : "inf");
        return;
    }
    char number[40];
    locale_t c = get_c_locale(), before = c ? uselocale(c) : (locale_t)0;
    /* The fewest digits that read back as the same number: 17 always do. */
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(number, sizeof number, "%.*g", digits, x);
        if (strtod(number, NULL) == x) break;
    }
    if (c) uselocale(before);
    aval__text_put(t, number, strlen(number));
}

bool aval__parse_real(const char *text, const char **end, double *x)
{
    char *after = NULL;
    locale_t c = get_c_locale();
    *x = c ? strtod_l(text, &after, c) : strtod(text, &after);
    *end = after;
    return after != text;
}

bool aval__parse_int(const char *text, const char **end, int64_t *x)
{
    char *after = NULL;
    const char *digits = text + strspn(text, " \t\n\v\f\r");
    if (*digits == '-' || *digits == '+') digits++;
    bool hexadecimal = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X'); /* but 010 is ten, not eight */
    int errno_before = errno;
    errno = 0;
    intmax_t number = strtoimax(text, &after, hexadecimal ? 16 : 10);
    bool out_of_range = errno == ERANGE || number > INT64_MAX || number < INT64_MIN;
    errno = errno_before;
    *end = after;
    *x = number;
    return after != text && !out_of_range;
}
