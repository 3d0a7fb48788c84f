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
    bool times;
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

/* ---- One set of data ---------------------------------------------------------------------------------------------------------------- */

static int feed(aval_session *s, const aval_model *m, const char *folder, char *why, size_t bytes)
{
    int status = AVAL_OK;
    for (size_t i = 0; i < aval_model_input_count(m) && status == AVAL_OK; i++) {
        char file[PATH_MAX];
        aval_array array = { .size = sizeof array };
        const aval_value *input = aval_model_input(m, i);
        print_path(file, "%s/input_%zu.pb", folder, i);
        status = aval_array_read(file, &array);
        if (status == AVAL_OK && (!cli_types_agree(aval_value_type(input), array.type) || (size_t)aval_value_rank(input) != array.rank)) {
            snprintf(why, bytes, "input_%zu.pb has another type or rank than the model's input", i);
            status = AVAL_E_FORMAT;
        } else {
            if (status == AVAL_OK) status = aval_session_feed(s, input, array.data, array.bytes, array.dims);
            if (status < 0) snprintf(why, bytes, "%s", aval_error());
        }
        aval_free(array.data);
    }
    return status;
}

/* The result of an output beside what the file expects. */
static int compare_output(aval_session *s, const aval_value *output, const char *name, const char *file, char *why, size_t bytes)
{
    aval_array expected = { .size = sizeof expected }, found = { .size = sizeof found };
    int status = aval_array_read(file, &expected);
    if (status == AVAL_OK) status = cli_array_of(s, output, &found);
    if (status < 0) snprintf(why, bytes, "%s", aval_error());
    else if (!cli_arrays_agree(&found, &expected, name, why, bytes)) status = AVAL_E_CHECK;
    aval_free(expected.data);
    aval_free(found.data);
    return status;
}

static int run_set(aval_session *s, const aval_model *m, const char *folder, char *why, size_t bytes)
{
    size_t n_outputs = aval_model_output_count(m);
    aval_value **wanted = calloc(n_outputs + 1, sizeof(aval_value *));
    if (wanted == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < n_outputs; i++) wanted[i] = aval_model_output(m, i);
    int status = feed(s, m, folder, why, bytes);
    if (status == AVAL_OK) {
        status = aval_session_run(s, wanted, n_outputs);
        if (status < 0) snprintf(why, bytes, "%s", aval_error());
    }
    for (size_t i = 0; i < n_outputs && status == AVAL_OK; i++) {
        char file[PATH_MAX];
        print_path(file, "%s/output_%zu.pb", folder, i);
        status = compare_output(s, wanted[i], aval_model_output_name(m, i), file, why, bytes);
    }
    free(wanted);
    return status;
}

/* ---- One case ----------------------------------------------------------------------------------------------------------------------- */

static int run_sets(aval_context *ctx, const aval_model *m, const char *folder, char *why, size_t bytes)
{
    aval_session *s = NULL;
    size_t sets = 0;
    int status = aval_session_create(ctx, aval_model_graph(m), aval_model_store(m), &s);
    if (status < 0) snprintf(why, bytes, "%s", aval_error());
    for (; status == AVAL_OK; sets++) {
        char set[PATH_MAX];
        print_path(set, "%s/test_data_set_%zu", folder, sets);
        if (!is_there(set)) break;
        status = run_set(s, m, set, why, bytes);
    }
    aval_session_release(s);
    if (status < 0 || sets > 0) return status;
    snprintf(why, bytes, "there is no folder test_data_set_0");
    return AVAL_E_UNKNOWN;
}

static int run_case(aval_context *ctx, const char *folder, char *why, size_t bytes)
{
    char file[PATH_MAX];
    aval_model *m = NULL;
    print_path(file, "%s/model.onnx", folder);
    int status = aval_model_load(ctx, file, &m);
    if (status == AVAL_OK) {
        status = run_sets(ctx, m, folder, why, bytes);
    } else {
        const char *message = aval_error(); /* begins with the file, which the line names anyway */
        size_t prefix = strlen(file);
        snprintf(why, bytes, "%s", strncmp(message, file, prefix) == 0 && message[prefix] == ':' ? message + prefix + 2 : message);
    }
    aval_model_release(m);
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
    int status = run_case(t->ctx, folder, why, sizeof why);
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
    int times = 0, code;
    cli_options options;
    const struct poptOption own[] = {
        { "filter", 0, POPT_ARG_STRING, &filter, 0, "only cases whose name is like this ('test_conv*')", "GLOB" },
        { "times", 0, POPT_ARG_NONE, &times, 0, "say what each case took", NULL },
        POPT_TABLEEND,
    };
    if (cli_options_parse(&options, cli_command_find("test-onnx"), own, 1, 1, argc, argv, &code)) {
        tally t = { .filter = filter, .times = times != 0, .rows = options.common.json ? json_array() : NULL };
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
