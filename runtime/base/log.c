/* Warnings and notes to the function that the user gave, and the clock. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void aval__log_write(const aval__log *log, int level, const char *format, ...)
{
    if (!log || !log->function) return;
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    char start[1024]; /* a message that memory is short must get out without any */
    int length = vsnprintf(start, sizeof start, format, list);
    if (length >= 0 && (size_t)length >= sizeof start) {
        char *whole = aval__alloc((size_t)length + 1);
        if (whole) vsnprintf(whole, (size_t)length + 1, format, again);
        log->function(log->user, level, whole ? whole : start);
        aval__free(whole);
    } else if (length >= 0) {
        log->function(log->user, level, start);
    }
    va_end(again);
    va_end(list);
}

double aval__seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double aval__median(double *numbers, size_t n)
{
    qsort(numbers, n, sizeof *numbers, by_size);
    return numbers[n / 2];
}
