/* What `aval check` tells: failures as they happen, then operators by devices, then totals; or JSON, which has every result.  A device that is wrong in much
 * fails in thousands of comparisons, which nobody reads: of each kind that an operator fails in some are told, and the others counted. */
#include "check.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_KINDS 8 /* of failures of an operator on a device: "forward Y", "gradient dY/dX", "repeat" ... */
#define MOST_TOLD 2 /* failures of a kind */
#define MOST_OPS 5 /* failing operators of a device that are told in full: of those that follow one line each */

/* One operator on one device. */
typedef struct cell {
    size_t passed, failed, skipped;
    struct {
        char what[64];
        size_t told;
    } kinds[MOST_KINDS];
    size_t untold; /* failures that are counted only */
    bool brief;
    double error; /* largest of what passed, in units of the tolerance */
    char fate[16]; /* "" or how the device was lost */
} cell;

typedef struct row {
    char op[96];
    cell *cells; /* by column */
} row;

struct check_report {
    bool quiet, json;
    size_t n_devices;
    size_t *numbers;
    char **names;
    row *rows;
    size_t n_rows;
    size_t passed, failed, skipped, lost;
    json_t *results;
    size_t *failing; /* by column: operators */
    check_once *once; /* failures of the last row's operator that are not yet printed */
};

check_report *check_report_create(const cli_options *options, const size_t *numbers, const char *const *names, size_t n_devices)
{
    check_report *r = calloc(1, sizeof *r);
    if (r == NULL) return NULL;
    r->quiet = options->common.quiet;
    r->json = options->common.json;
    r->results = json_array();
    r->numbers = calloc(n_devices + 1, sizeof *r->numbers);
    r->names = calloc(n_devices + 1, sizeof *r->names);
    r->failing = calloc(n_devices + 1, sizeof *r->failing);
    bool complete = r->results != NULL && r->numbers != NULL && r->names != NULL && r->failing != NULL;
    for (size_t d = 0; complete && d < n_devices; d++) {
        r->numbers[d] = numbers[d];
        r->names[d] = strdup(names[d]);
        r->n_devices++;
        complete = r->names[d] != NULL;
    }
    if (complete) return r;
    check_report_release(r);
    return NULL;
}

void check_report_release(check_report *r)
{
    if (r == NULL) return;
    check_once_release(&r->once);
    for (size_t i = 0; i < r->n_rows; i++) free(r->rows[i].cells);
    for (size_t d = 0; d < r->n_devices; d++) free(r->names[d]);
    free(r->rows);
    free(r->names);
    free(r->numbers);
    free(r->failing);
    json_decref(r->results);
    free(r);
}

static size_t column_of(const check_report *r, size_t number)
{
    size_t d = 0;
    while (d + 1 < r->n_devices && r->numbers[d] != number) d++;
    return d;
}

/* What of the last row's operator is not told yet. */
static void end_row(check_report *r)
{
    if (r->json) return;
    check_once_print(&r->once, r->n_devices > 1);
    for (size_t d = 0; r->n_rows > 0 && d < r->n_devices; d++) {
        const row *last = &r->rows[r->n_rows - 1];
        if (last->cells[d].untold == 0 || last->cells[d].brief) continue;
        printf("failed: %s", last->op);
        if (r->n_devices > 1) printf(", device %zu", r->numbers[d]);
        printf(": and %zu more, which --json and --html FILE list\n", last->cells[d].untold);
    }
    fflush(stdout);
}

/* The op's row: results come op by op, so it is the last one or a new one.  NULL: no memory. */
static row *row_of(check_report *r, const char *op)
{
    if (r->n_rows > 0 && strcmp(r->rows[r->n_rows - 1].op, op) == 0) return &r->rows[r->n_rows - 1];
    end_row(r);
    row *rows = realloc(r->rows, (r->n_rows + 1) * sizeof *rows);
    if (rows == NULL) return NULL;
    r->rows = rows;
    row *last = &rows[r->n_rows];
    snprintf(last->op, sizeof last->op, "%s", op);
    last->cells = calloc(r->n_devices + 1, sizeof *last->cells);
    if (last->cells == NULL) return NULL;
    r->n_rows++;
    return last;
}

static const char *outcome_word(int passed)
{
    return passed > 0 ? "passed" : passed == 0 ? "failed" : "skipped";
}

static json_t *number_json(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *result_json(const check_report *r, const aval_check_result *result)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:s}", "op", result->op, "device",
                     r->names[column_of(r, result->device_number)], "device_number", (json_int_t)result->device_number, "sample",
                     result->sample, "attributes", result->attrs, "type", result->type, "what", result->what, "result",
                     outcome_word(result->passed), "error", number_json(result->error), "ulps", number_json(result->ulps), "blame",
                     result->blame, "fate", result->fate, "message", result->message, "likely", result->likely, "detail", result->detail,
                     "folder", result->folder);
}

/* The lines of a table. */
static void print_indented(const char *lines)
{
    for (size_t length; *lines != 0; lines += length + (lines[length] != 0)) {
        length = strcspn(lines, "\n");
        printf("    %.*s\n", (int)length, lines);
    }
}

/* Is this failure told, or counted only? */
static bool is_told(cell *c, const aval_check_result *result)
{
    size_t k = 0;
    if (c == NULL || strcmp(result->what, "pattern") == 0) return true;
    while (k + 1 < MOST_KINDS && c->kinds[k].told > 0 && strcmp(c->kinds[k].what, result->what) != 0) k++;
    snprintf(c->kinds[k].what, sizeof c->kinds[k].what, "%s", result->what);
    bool told = c->brief ? c->failed == 1 : c->kinds[k].told < MOST_TOLD;
    c->kinds[k].told += told;
    c->untold += !told;
    return told;
}

static void print_line(check_report *r, cell *c, const aval_check_result *result)
{
    bool property = strcmp(result->what, "drift") == 0; /* told, though nothing failed */
    if (property && !r->json && !r->quiet) printf("%s, device %zu: %s\n", result->op, result->device_number, result->message);
    if (r->json || result->passed > 0 || (result->passed < 0 && r->quiet)) return;
    if (check_once_takes(result)) {
        check_once_take(&r->once, result);
        return;
    }
    if (result->passed == 0 && !is_told(c, result)) return;
    printf("%s: %s, %s, type %s, sample %s%s%s", outcome_word(result->passed), result->op, result->what, result->type, result->sample,
           result->attrs[0] ? " " : "", result->attrs);
    if (r->n_devices > 1) printf(", device %zu", result->device_number);
    printf(": %s%s\n", result->blame[0] == 'd' ? "this device is wrong: " : "", result->message);
    if (result->likely[0] != 0) printf("  likely: %s\n", result->likely);
    if (c == NULL || !c->brief) print_indented(result->detail);
    fflush(stdout);
}

void check_report_take(void *user, const aval_check_result *result)
{
    check_report *r = user;
    bool lost = strcmp(result->fate, "crashed") == 0 || strcmp(result->fate, "hung") == 0;
    row *at = row_of(r, result->op);
    *(result->passed > 0 ? &r->passed : result->passed == 0 ? &r->failed : &r->skipped) += 1;
    r->lost += lost;
    cell *c = at == NULL ? NULL : &at->cells[column_of(r, result->device_number)];
    if (c != NULL) {
        size_t *failing = &r->failing[column_of(r, result->device_number)];
        if (result->passed == 0 && c->failed == 0) c->brief = ++*failing > MOST_OPS;
        *(result->passed > 0 ? &c->passed : result->passed == 0 ? &c->failed : &c->skipped) += 1;
        if (result->passed > 0 && result->error > c->error) c->error = result->error;
        if (lost) snprintf(c->fate, sizeof c->fate, "%s", result->fate);
    }
    json_array_append_new(r->results, result_json(r, result));
    print_line(r, c, result);
}

size_t check_report_count(const check_report *r)
{
    return r->passed + r->failed + r->skipped;
}

size_t check_report_failed(const check_report *r)
{
    return r->failed;
}

int check_report_code(const check_report *r)
{
    return r->failed == 0 ? CLI_OK : r->failed == r->lost ? CLI_DEVICE : CLI_DIFFERENCE;
}

json_t *check_report_results(const check_report *r)
{
    return r->results;
}

/* "ok 0.12": the largest error in units of the tolerance. */
static void print_cell(const cell *c)
{
    char text[32];
    if (c->fate[0] != 0) snprintf(text, sizeof text, "%s", c->fate);
    else if (c->failed > 0) snprintf(text, sizeof text, "%zu FAILED", c->failed);
    else if (c->passed > 0) snprintf(text, sizeof text, "ok %.2g", c->error);
    else snprintf(text, sizeof text, "-");
    printf("  %-10s", text);
}

static void print_table(const check_report *r)
{
    size_t width = 8;
    for (size_t i = 0; i < r->n_rows; i++) {
        if (strlen(r->rows[i].op) > width) width = strlen(r->rows[i].op);
    }
    for (size_t d = 0; d < r->n_devices; d++) printf("device %zu: %s\n", r->numbers[d], r->names[d]);
    printf("%-*s", (int)width, "operator");
    for (size_t d = 0; d < r->n_devices; d++) printf("  %-10zu", r->numbers[d]);
    printf("  ok: the largest error in units of the tolerance\n");
    for (size_t i = 0; i < r->n_rows; i++) {
        printf("%-*s", (int)width, r->rows[i].op);
        for (size_t d = 0; d < r->n_devices; d++) print_cell(&r->rows[i].cells[d]);
        printf("\n");
    }
}

int check_report_print(check_report *r)
{
    if (r->json) return cli_print_json(json_incref(r->results));
    end_row(r);
    if (!r->quiet) print_table(r);
    for (size_t d = 0; d < r->n_devices; d++)
        if (r->failing[d] > MOST_OPS)
            printf("device %zu failed in %zu of %zu operators: of all but the first %d one failure is told\n", r->numbers[d], r->failing[d],
                   r->n_rows, MOST_OPS);
    printf("%zu passed, %zu failed, %zu skipped\n", r->passed, r->failed, r->skipped);
    return CLI_OK;
}
