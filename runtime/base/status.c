/* The codes and this thread's error message.  The message is a fixed buffer, so that a failure for want of memory can be told. */
#include "base/base.h"

#include <stdio.h>
#include <string.h>

#define MESSAGE_BYTES 4096

static _Thread_local char message[MESSAGE_BYTES];

static const struct status_row {
    int number;
    const char *name;
    const char *text;
} status_rows[] = {
#define STATUS_ROW(name, number, text) { number, "AVAL_" #name, text },
    AVAL_STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
};

static const struct status_row *find_status(int status)
{
    for (size_t i = 0; i < sizeof status_rows / sizeof *status_rows; i++) {
        if (status_rows[i].number == status) return &status_rows[i];
    }
    return NULL;
}

const char *aval_error(void)
{
    return message;
}

const char *aval_status_name(int status)
{
    const struct status_row *row = find_status(status);
    return row ? row->name : "?";
}

const char *aval_status_text(int status)
{
    const struct status_row *row = find_status(status);
    return row ? row->text : "a number that is no status of aval";
}

#define STRING_OF(x) #x
#define STRING(x) STRING_OF(x)

const char *aval_version(void)
{
    return STRING(AVAL_VERSION_MAJOR) "." STRING(AVAL_VERSION_MINOR) "." STRING(AVAL_VERSION_PATCH);
}

int aval__fail_v(int code, const char *format, va_list list)
{
    /* The arguments may point into the old message, so the new one is written beside it. */
    char text[MESSAGE_BYTES];
    vsnprintf(text, sizeof text, format, list);
    memcpy(message, text, sizeof text);
    return code;
}

int aval__fail(int code, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    aval__fail_v(code, format, list);
    va_end(list);
    return code;
}

int aval__fail_null(const char *function, const char *what)
{
    const bool public = strncmp(function, "aval_", 5) == 0 && function[5] != '_';
    return aval__fail(AVAL_E_ARGUMENT, "%s%s%s is needed, found NULL", public ? function : "", public ? ": " : "", what);
}

int aval__fail_in(int code, const char *format, ...)
{
    char before[MESSAGE_BYTES];
    memcpy(before, message, sizeof before);
    va_list list;
    va_start(list, format);
    aval__fail_v(code, format, list);
    va_end(list);
    size_t used = strlen(message);
    if (snprintf(message + used, sizeof message - used, ": %s", before) < 0) message[used] = 0;
    return code;
}
