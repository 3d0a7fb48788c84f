/* `aval test-onnx`: ONNX's backend test cases.  A case is a folder with model.onnx and folders test_data_set_N, which hold inputs and expected
 * outputs as TensorProto files.  A case is passed when all outputs agree, skipped when aval says that it cannot do what the model asks for,
 * and failed otherwise. */
#include "arrays.h"

#include <dirent.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum verdict { PASSED, FAILED, SKIPPED, VERDICTS } verdict;

static const char *const verdict_names[] = { [PASSED] = "passed", [FAILED] = "failed", [SKIPPED] = "skipped" };

typedef struct tally {
    aval_context *ctx;
    const char *filter; /* NULL: all */
    bool times, round_trip;
    json_t *rows; /* NULL: text */
    size_t counts[VERDICTS];
} tally;

/* What aval says that it cannot do is no wrong result. */
static verdict verdict_of(int status)
{
    return status == AVAL_OK ? PASSED : status == AVAL_E_UNSUPPORTED || status == AVAL_E_TYPE ? SKIPPED : FAILED;
}

/* A path that is too long is cut off, and then found nowhere. */
__attribute__((format(printf, 2, 3))) static void print_path(char path[PATH_MAX], const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(path, PATH_MAX, format, list);
    va_end(list);
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* A model with its session. */
typedef struct running {
    aval_model *model;
    aval_session *session;
} running;

/* Where a reason is written. */
typedef struct reason {
    char *text;
    size_t bytes;
} reason;

static int explain(const reason *why, int status)
{
    if (status < 0) snprintf(why->text, why->bytes, "%s", aval_error());
    return status;
}

/* ---- One set of data ---------------------------------------------------------------------------------------------------------------- */

static int feed_input(const running *r, size_t i, const char *file, const reason *why)
{
    aval_array array = { .size = sizeof array };
    const aval_value *input = aval_model_input(r->model, i);
    int status = explain(why, aval_array_read(file, &array));
    if (status < 0) return status;
    if (!cli_types_agree(aval_value_type(input), array.type) || (size_t)aval_value_rank(input) != array.rank) {
        snprintf(why->text, why->bytes, "input_%zu.pb has another type or rank than the model's input", i);
        status = AVAL_E_FORMAT;
    } else {
        status = explain(why, aval_session_feed(r->session, input, array.data, array.bytes, array.dims));
    }
    aval_free(array.data);
    return status;
}

/* Feeds what is in the folder, and runs. */
static int run_set(const running *r, const char *folder, const reason *why)
{
    size_t n_outputs = aval_model_output_count(r->model);
    int status = AVAL_OK;
    for (size_t i = 0; i < aval_model_input_count(r->model) && status == AVAL_OK; i++) {
        char file[PATH_MAX];
        print_path(file, "%s/input_%zu.pb", folder, i);
        status = feed_input(r, i, file, why);
    }
    if (status < 0) return status;
    aval_value **wanted = calloc(n_outputs + 1, sizeof(aval_value *));
    if (wanted == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < n_outputs; i++) wanted[i] = aval_model_output(r->model, i);
    status = explain(why, aval_session_run(r->session, wanted, n_outputs));
    free(wanted);
    return status;
}

/* An output beside what the file expects. */
static int compare_output(const running *r, size_t i, const char *file, const reason *why)
{
    aval_array expected = { .size = sizeof expected }, found = { .size = sizeof found };
    int status = aval_array_read(file, &expected);
    if (status == AVAL_OK) status = cli_array_of(r->session, aval_model_output(r->model, i), &found);
    explain(why, status);
    if (status == AVAL_OK && !cli_arrays_agree(&found, &expected, aval_model_output_name(r->model, i), why->text, why->bytes))
        status = AVAL_E_CHECK;
    aval_free(expected.data);
    aval_free(found.data);
    return status;
}

static int compare_outputs(const running *r, const char *folder, const reason *why)
{
    int status = AVAL_OK;
    for (size_t i = 0; i < aval_model_output_count(r->model) && status == AVAL_OK; i++) {
        char file[PATH_MAX];
        print_path(file, "%s/output_%zu.pb", folder, i);
        status = compare_output(r, i, file, why);
    }
    return status;
}

/* The model as it was written must give the very same bytes. */
static int compare_copies(const running *r, const running *copy, const reason *why)
{
    int status = AVAL_OK;
    for (size_t i = 0; i < aval_model_output_count(r->model) && status == AVAL_OK; i++) {
        aval_array a = { .size = sizeof a }, b = { .size = sizeof b };
        status = explain(why, cli_array_of(r->session, aval_model_output(r->model, i), &a));
        if (status == AVAL_OK) status = explain(why, cli_array_of(copy->session, aval_model_output(copy->model, i), &b));
        if (status == AVAL_OK && (a.type != b.type || a.rank != b.rank || a.bytes != b.bytes || memcmp(a.data, b.data, a.bytes) != 0)) {
            snprintf(why->text, why->bytes, "output '%s' differs after writing and reading the model", aval_model_output_name(r->model, i));
            status = AVAL_E_CHECK;
        }
        aval_free(a.data);
        aval_free(b.data);
    }
    return status;
}

/* ---- One case ----------------------------------------------------------------------------------------------------------------------- */

static int open_model(aval_context *ctx, const char *file, running *r, const reason *why)
{
    int status = aval_model_load(ctx, file, &r->model);
    if (status < 0) {
        const char *message = aval_error(); /* begins with the file, which the line names anyway */
        size_t prefix = strlen(file);
        snprintf(why->text, why->bytes, "%s",
                 strncmp(message, file, prefix) == 0 && message[prefix] == ':' ? message + prefix + 2 : message);
        return status;
    }
    return explain(why, aval_session_create(ctx, aval_model_graph(r->model), aval_model_store(r->model), &r->session));
}

static void close_model(running *r)
{
    aval_session_release(r->session);
    aval_model_release(r->model);
}

/* The model once more, by way of a file that aval writes. */
static int open_copy(aval_context *ctx, const running *r, running *copy, const reason *why)
{
    char file[] = "/tmp/aval-onnx-XXXXXX";
    int fd = mkstemp(file), status = AVAL_E_MEMORY;
    size_t n = aval_model_output_count(r->model);
    aval_value **outputs = calloc(n + 1, sizeof(aval_value *));
    const char **names = calloc(n + 1, sizeof *names);
    if (fd >= 0) close(fd);
    if (fd < 0 || outputs == NULL || names == NULL) goto done;
    for (size_t i = 0; i < n; i++) outputs[i] = aval_model_output(r->model, i), names[i] = aval_model_output_name(r->model, i);
    status = explain(why, aval_model_save(aval_model_graph(r->model), aval_model_store(r->model), outputs, names, n, file));
    if (status == AVAL_OK) status = open_model(ctx, file, copy, why);
done:
    if (fd >= 0) unlink(file);
    free(outputs);
    free(names);
    return status;
}

static int run_sets(const running *r, const running *copy, const char *folder, const reason *why)
{
    size_t sets = 0;
    int status = AVAL_OK;
    for (; status == AVAL_OK; sets++) {
        char set[PATH_MAX];
        print_path(set, "%s/test_data_set_%zu", folder, sets);
        if (!is_there(set)) break;
        status = run_set(r, set, why);
        if (status == AVAL_OK) status = compare_outputs(r, set, why);
        if (status == AVAL_OK && copy->model != NULL) status = run_set(copy, set, why);
        if (status == AVAL_OK && copy->model != NULL) status = compare_copies(r, copy, why);
    }
    if (status < 0 || sets > 0) return status;
    snprintf(why->text, why->bytes, "there is no folder test_data_set_0");
    return AVAL_E_UNKNOWN;
}

static int run_case(const tally *t, const char *folder, const reason *why)
{
    char file[PATH_MAX];
    running r = { NULL, NULL }, copy = { NULL, NULL };
    print_path(file, "%s/model.onnx", folder);
    int status = open_model(t->ctx, file, &r, why);
    if (status == AVAL_OK && t->round_trip) status = open_copy(t->ctx, &r, &copy, why);
    if (status == AVAL_OK) status = run_sets(&r, &copy, folder, why);
    close_model(&copy);
    close_model(&r);
    return status;
}

static void in_one_line(char *text)
{
    for (char *c = text; *c != 0; c++)
        if (*c == '\n') *c = ' ';
}

static void tell(tally *t, const char *name, verdict v, const char *why, double seconds)
{
    t->counts[v]++;
    if (t->rows != NULL)
        json_array_append_new(t->rows,
                              json_pack("{ss ss ss sf}", "case", name, "verdict", verdict_names[v], "reason", why, "seconds", seconds));
    else if (v != PASSED) printf("%s: %s: %s\n", name, verdict_names[v], why);
    else if (t->times) printf("%s: passed\n", name);
    if (t->rows == NULL && t->times) printf("%s: %.3f s\n", name, seconds);
}

static void test_case(tally *t, const char *folder, const char *name)
{
    char why[2000] = "";
    if (t->filter != NULL && fnmatch(t->filter, name, 0) != 0) return;
    double start = cli_seconds();
    int status = run_case(t, folder, &(reason){ why, sizeof why });
    in_one_line(why);
    tell(t, name, verdict_of(status), why, cli_seconds() - start);
}

/* ---- All of a folder ------------------------------------------------------------------------------------------------------------------ */

static int no_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* In the order of bytes, whatever the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != 0 ? slash + 1 : path;
}

static int test_folder(tally *t, const char *folder)
{
    char path[PATH_MAX];
    struct dirent **entries = NULL;
    print_path(path, "%s/model.onnx", folder);
    if (is_there(path)) {
        test_case(t, folder, last_part(folder));
        return CLI_OK;
    }
    int count = scandir(folder, &entries, no_hidden, by_name);
    if (count < 0) return cli_fail(CLI_USAGE, "'%s': a folder of ONNX test cases was expected", folder);
    for (int i = 0; i < count; i++) {
        print_path(path, "%s/%s/model.onnx", folder, entries[i]->d_name);
        bool is_case = is_there(path);
        print_path(path, "%s/%s", folder, entries[i]->d_name);
        if (is_case) test_case(t, path, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return CLI_OK;
}

static int report(const tally *t)
{
    if (t->rows == NULL) printf("%zu passed, %zu failed, %zu skipped\n", t->counts[PASSED], t->counts[FAILED], t->counts[SKIPPED]);
    if (t->counts[PASSED] + t->counts[FAILED] + t->counts[SKIPPED] == 0)
        return cli_fail(CLI_USAGE, "no test case was found: a folder with folders that hold model.onnx was expected");
    return t->counts[FAILED] > 0 ? CLI_DIFFERENCE : CLI_OK;
}

int cli_test_onnx(int argc, const char **argv)
{
    char *filter = NULL;
    int times = 0, round_trip = 0, code;
    cli_options options;
    const struct poptOption own[] = {
        { "filter", 0, POPT_ARG_STRING, &filter, 0, "only cases whose name is like this ('test_conv*')", "GLOB" },
        { "times", 0, POPT_ARG_NONE, &times, 0, "say what each case took", NULL },
        { "round-trip", 0, POPT_ARG_NONE, &round_trip, 0, "write each model and read it again: it must give the same bytes", NULL },
        POPT_TABLEEND,
    };
    if (cli_options_parse(&options, cli_command_find("test-onnx"), own, 1, 1, argc, argv, &code)) {
        tally t = {
            .filter = filter, .times = times != 0, .round_trip = round_trip != 0, .rows = options.common.json ? json_array() : NULL
        };
        int status = cli_context_create(&options, &t.ctx);
        if (status == AVAL_OK) status = cli_need_device(t.ctx);
        code = status < 0 ? cli_fail_status(status) : test_folder(&t, options.rest[0]);
        if (code == CLI_OK) code = report(&t);
        if (t.rows != NULL) {
            int printed = cli_print_json(t.rows);
            if (code == CLI_OK) code = printed;
        }
        aval_context_release(t.ctx);
        cli_options_release(&options);
    }
    free(filter);
    return code;
}
