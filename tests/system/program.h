/* Running the program `aval` and looking at what came of it. */
#ifndef AVAL_TEST_PROGRAM_H
#define AVAL_TEST_PROGRAM_H

#include <stddef.h>

typedef struct outcome {
    int exit_code; /* -1: killed by a signal */
    char out[65536], err[8192];
} outcome;

/* A folder of the test's own, the working directory of the program; gone after the test. */
void program_begin(void);
void program_end(void);
extern char program_folder[64];

/* Runs `aval ARGUMENTS` through the shell.  Static result, overwritten by the next call. */
const outcome *program_run(const char *arguments);
/* Expects the exit code, nothing on stdout, and exactly one line on stderr that starts with `aval: ` and contains `part`. */
void program_expect_refused(const char *arguments, int exit_code, const char *part);
/* Expects exit code 0; returns the outcome. */
const outcome *program_expect_ok(const char *arguments);
/* The last line of stdout, without its newline. */
const char *program_last_line(const outcome *o);
void program_write(const char *name, const void *bytes, size_t n);

#endif
