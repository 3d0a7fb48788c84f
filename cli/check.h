/* The parts of `aval check`: the command (check.c), the processes in which devices run (check_process.c, check_worker.c, and between them
 * check_wire.c), and the reports (check_report.c, check_once.c, check_junit.c, check_html.c). */
#ifndef AVAL_CLI_CHECK_H
#define AVAL_CLI_CHECK_H

#include "cli.h"

/* ---- Processes: each device is run by a child, so that a driver that crashes, hangs or eats memory is a row in the report -------- */

typedef struct check_limits {
    double seconds; /* that an op may keep its device busy */
    size_t memory_bytes; /* of address space a child may use; 0: as much as there is */
    unsigned crashes; /* cases of an op that may end a child one after the other before the op is left */
    bool goes_on; /* an op is not left when one of its cases hangs */
    size_t children; /* of a device, 1 to 3: cases of several element types run at the same time */
} check_limits;

typedef struct check_crew check_crew;

/* Children for these devices (indices for aval_device_info_at), started at first use.  NULL: no memory. */
check_crew *check_crew_create(aval_context *ctx, const cli_options *options, const size_t *devices, size_t n_devices,
                              const check_limits *limits);
const aval_check_runner *check_crew_runner(const check_crew *crew);
void check_crew_release(check_crew *crew); /* ends the children */

/* As an aval_model_runner, for the model that `spec` describes (check_model.c); `spec` must outlive it. */
aval_model_runner check_crew_model_runner(check_crew *crew, json_t *spec);

/* The child's side: takes cases from stdin, gives results on stdout, until stdin ends.  Returns an exit code. */
int check_worker(aval_context *ctx);

/* ---- A case and its results as lines of JSON -------------------------------------------------------------------------------------- */

json_t *check_case_to_json(const aval_check_case *c);
/* The texts belong to `line`.  false: it is no case. */
bool check_case_from_json(json_t *line, aval_check_case *c, aval_sample *sample);
/* Bytes in hexadecimal, as a JSON text, and back (for free; NULL: it is none). */
json_t *check_bytes_to_json(const void *bytes, size_t n);
void *check_bytes_from_json(const json_t *text, size_t *n);
json_t *check_results_to_json(int status, const char *message, const void *results, size_t bytes);
/* *results is for free(), *message belongs to `line`.  false: these are no results. */
bool check_results_from_json(json_t *line, int *status, const char **message, void **results, size_t *bytes);

/* ---- Models ---------------------------------------------------------------------------------------------------------------------------------- */

typedef struct check_model {
    aval_train_options train; /* texts are the spec's; of a file, `net` is its name */
    aval_dataset *data; /* of a built-in net */
    aval_model *file; /* NULL: a built-in net */
    int64_t length; /* of a file's free axes, but the batch's */
    aval_graph *graph;
    aval_store *store;
    aval_value **wanted;
    size_t n_wanted;
    aval_check_model library; /* its `user` is this struct, which must stay where it is */
} check_model;

/* Is it what a model is called, and not an operator? */
bool check_model_named(const char *name);
/* Makes the model that `spec` describes ({"net": ..., "batch": ..., "seed": ..., "forward": ..., "layers": ..., "only": ..., "length": ...}, the last three where they
   are); for check_model_close, after a failure too. */
int check_model_open(aval_context *ctx, json_t *spec, check_model *m);
/* Sets the states that a failure's folder has; `names` is case.json's "states". */
int check_model_set_states(const check_model *m, const char *folder, const json_t *names);
void check_model_close(check_model *m);
/* The length of the free axes, of the batch or of all others; 1: there are none, so that it cannot be smaller. */
int64_t check_model_free(const check_model *m, bool batch);
/* Widths of a built-in net's hidden dense layers, `most` at most; returns how many. */
size_t check_model_layers(const check_model *m, int64_t *widths, size_t most);

/* The folder that a failed step of a model has left. */
typedef struct check_failure {
    aval_context *ctx;
    check_crew *crew; /* NULL: in this process */
    const char *folder;
    json_t *all; /* its case.json */
} check_failure;

/* The step alone, from the states before it, of the model that `spec` describes.  A net with layers of other widths than the folder's has other states: those it
   starts with.  `failures`, `label`: as in aval_check_steps_options. */
int check_failure_run(const check_failure *f, json_t *spec, const char *failures, const char *label, aval_check_function report,
                      void *user);
/* Looks for the smallest model that still fails so, and leaves its folder in `failures`.  Tells what it is on stdout (`json`: as JSON).  Returns an exit code. */
int check_failure_shrink(const check_failure *f, const char *failures, bool json);

/* ---- Reports ---------------------------------------------------------------------------------------------------------------------------- */

typedef struct check_report check_report;

/* `names` [n_devices] label the columns; they are copied.  NULL: no memory. */
check_report *check_report_create(const cli_options *options, const size_t *numbers, const char *const *names, size_t n_devices);
void check_report_release(check_report *report);
/* An aval_check_function; `user` is the report. */
void check_report_take(void *user, const aval_check_result *result);
size_t check_report_count(const check_report *report);
size_t check_report_failed(const check_report *report);

/* Failures of runs that say the same but for numbers and types, until the operator's end; NULL: none. */
typedef struct check_once check_once;
bool check_once_takes(const aval_check_result *result);
void check_once_take(check_once **all, const aval_check_result *result);
/* A line each, with the cases that it struck; then there are none any more. */
void check_once_print(check_once **all, bool with_device);
void check_once_release(check_once **all);

/* The exit code that the results mean. */
int check_report_code(const check_report *report);
/* Table and totals, or JSON; returns an exit code that is not CLI_OK when they cannot be written. */
int check_report_print(check_report *report);
/* The results so far, an object each; the report's. */
json_t *check_report_results(const check_report *report);

/* JUnit's XML; returns an exit code. */
int check_junit_write(const char *file, json_t *results);

/* One page of HTML. */
typedef struct check_page {
    aval_context *ctx;
    const size_t *devices; /* indices for aval_device_info_at */
    size_t n_devices;
    const char *command; /* that made it */
    const char *again; /* "aval check", with what an operator's check needs besides its name and device */
} check_page;
/* Returns an exit code. */
int check_html_write(const char *file, const check_page *page, const json_t *results);

#endif
