/* Messages, exit codes and JSON: what scripts depend on. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Statuses not listed are wrong use or bad input.  AVAL_E_DEVICE_MEMORY is one of those: what an allocation needs is known before
   anything runs, so the remedy is another input. */
static const struct {
    int status, exit_code;
} exit_codes[] = {
    { AVAL_OK, CLI_OK },           { AVAL_E_CHECK, CLI_DIFFERENCE }, { AVAL_E_DEVICE, CLI_DEVICE },           { AVAL_E_BUILD, CLI_DEVICE },
    { AVAL_E_MEMORY, CLI_DEVICE }, { AVAL_E_INTERNAL, CLI_DEVICE },  { AVAL_E_INTERRUPTED, CLI_INTERRUPTED },
};

/* One line, whatever a compiler's log in it has. */
static void print_line(const char *text)
{
    fputs("aval: ", stderr);
    for (const char *c = text; *c != 0; c++) fputc(*c == '\n' || *c == '\r' ? ' ' : *c, stderr);
    fputc('\n', stderr);
}

int cli_fail(int exit_code, const char *format, ...)
{
    char text[2048];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    print_line(text);
    return exit_code;
}

int cli_fail_status(int status)
{
    const char *message = aval_error();
    print_line(message[0] != 0 ? message : aval_status_text(status));
    for (size_t i = 0; i < sizeof exit_codes / sizeof exit_codes[0]; i++) {
        if (exit_codes[i].status == status) return exit_codes[i].exit_code;
    }
    return CLI_USAGE;
}

int cli_print_json(json_t *value)
{
    if (value == NULL) return cli_fail(CLI_DEVICE, "no memory for the JSON");
    json_dumpf(value, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(value);
    return CLI_OK;
}

int cli_end_output(int exit_code)
{
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if ((fflush(stdout) == 0 && !failed) || exit_code == CLI_DEVICE) return exit_code; /* one message is enough */
    return cli_fail(CLI_DEVICE, "the output cannot be written%s%s", errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
}

void cli_hint(const char *wrong, const char *candidate, size_t *best, char *hint, size_t hint_bytes)
{
    size_t found = aval_word_distance(wrong, candidate), most = strlen(candidate) / 3 + 1;
    if (found > most || (hint[0] != 0 && found >= *best)) return;
    *best = found;
    snprintf(hint, hint_bytes, " (did you mean '%s'?)", candidate);
}
