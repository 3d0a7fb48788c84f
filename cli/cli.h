/* The program `aval`, on the public API alone.  A command is one file with one function and a row in main.c's table; options common to
 * all are in options.c, exit codes and messages in report.c. */
#ifndef AVAL_CLI_H
#define AVAL_CLI_H

#include "aval/aval.h"

#include <jansson.h>
#include <popt.h>
#include <stdbool.h>

/* The contract with scripts. */
enum cli_exit {
    CLI_OK = 0,
    CLI_DIFFERENCE = 1, /* a check found one */
    CLI_USAGE = 2, /* wrong use or bad input */
    CLI_DEVICE = 3, /* a device, driver or machine failed; output cannot be written */
    CLI_INTERRUPTED = 130 /* by Ctrl-C, as shells have it: 128 + SIGINT */
};

typedef struct cli_command {
    const char *name;
    const char *arguments; /* for the usage line */
    const char *doc; /* one line */
    int (*run)(int argc, const char **argv); /* argv[0] is "aval NAME"; returns an exit code */
} cli_command;
extern const cli_command cli_commands[]; /* ends with a NULL name */
const cli_command *cli_command_find(const char *name);

/* Options that every command takes. */
typedef struct cli_common {
    char **devices, **plugins; /* end with NULL; NULL: none given */
    int json, quiet, insist;
} cli_common;

/* Parses the command's own options (ends with POPT_TABLEEND; may be empty) and the common ones.  true: go on, with what is left as
   arguments (*rest ends with NULL, *n_rest of them, to be released by cli_options_release); false: leave with *exit_code. */
typedef struct cli_options {
    cli_common common;
    poptContext popt;
    const char **rest;
    size_t n_rest;
} cli_options;
bool cli_options_parse(cli_options *options, const cli_command *command, const struct poptOption *own, size_t least, size_t most, int argc,
                       const char **argv, int *exit_code);
void cli_options_release(cli_options *options);

/* A context set up as the common options say, warnings to stderr. */
int cli_context_create(const cli_options *options, aval_context **ctx);
/* AVAL_E_DEVICE, with a message, when the machine has no device at all; AVAL_E_ARGUMENT when the environment keeps aval from looking. */
int cli_need_device(aval_context *ctx);
/* "PLATFORM/DEVICE" of the first selected device. */
int cli_device_name(aval_context *ctx, char *name, size_t bytes);

/* From here on a crash in a plugin's C code is told, with the operator and what it was called for, before the program ends by it, as is a call that
   takes more than `seconds` of processor time (0: no bound).  On stderr, or as a line of JSON to the descriptor `answer` (-1: none); with one, SIGVTALRM
   asks for the call under way, and ends the program. */
void cli_watch_plugins(int answer, double seconds);

/* A number given as text; NULL: not given, *value stays.  CLI_USAGE, with a message, when it is none or out of range. */
int cli_real(const char *option, const char *text, double *value);
int cli_count(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *value);
/* "400000", or with a suffix of 2^10, 2^20 or 2^30: "64K", "20M", "1G". */
int cli_bytes(const char *option, const char *text, uint64_t *value);

/* Of a clock that never goes back. */
double cli_seconds(void);

/* The operators that are called `name`, with or without a domain: several plugins may have one each.  *at is where to look from, 0 at first, and
   is moved behind the one that is found; `full` gets its name with its domain.  NULL: there is no more. */
const aval_op *cli_op_next(aval_context *ctx, const char *name, size_t *at, char *full, size_t bytes);
/* CLI_USAGE, with a message, when no operator is called so. */
int cli_op_check(aval_context *ctx, const char *name);
/* All operators as a table in Markdown (docs/operators.md); returns an exit code. */
int cli_ops_table(aval_context *ctx);

/* "aval: " and one line on stderr; returns `exit_code`. */
int cli_fail(int exit_code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The library's last error in one line on stderr; returns the exit code that belongs to the status. */
int cli_fail_status(int status);
/* Prints and releases the JSON value; returns CLI_OK, or CLI_DEVICE when there is no memory.  Failed output is found by cli_end_output. */
int cli_print_json(json_t *value);
/* At the end of a command: CLI_DEVICE, with a message, when a part of its output could not be written; else `exit_code`. */
int cli_end_output(int exit_code);
/* Called for each candidate: puts " (did you mean 'x'?)" into `hint` ("" at first) when it is the nearest to `wrong` so far, and few edits
   away.  *best is its distance. */
void cli_hint(const char *wrong, const char *candidate, size_t *best, char *hint, size_t hint_bytes);

int cli_bench(int argc, const char **argv);
int cli_check(int argc, const char **argv);
int cli_devices(int argc, const char **argv);
int cli_graph(int argc, const char **argv);
int cli_help(int argc, const char **argv);
int cli_new_op(int argc, const char **argv);
int cli_ops(int argc, const char **argv);
int cli_predict(int argc, const char **argv);
int cli_run(int argc, const char **argv);
int cli_test_onnx(int argc, const char **argv);
int cli_train(int argc, const char **argv);
int cli_tune(int argc, const char **argv);
int cli_warm(int argc, const char **argv);

#endif
