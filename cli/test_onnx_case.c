/* One of ONNX's backend test cases: feeds what its files say, runs, compares. */
#include "test_onnx.h"

#include "arrays.h"
#include "files.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void onnx_case_path(char path[PATH_MAX], const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(path, PATH_MAX, format, list);
    va_end(list);
}

bool onnx_case_is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* A model with its session. */
typedef struct running {
    aval_model *model;
    aval_session *session;
} running;

static int explain(const onnx_reason *why, int status)
{
    if (status < 0) snprintf(why->text, why->bytes, "%s", aval_error());
    return status;
}

/* ---- One set of data ---------------------------------------------------------------------------------------------------------------- */

static int feed_input(const running *r, size_t i, const char *file, const onnx_reason *why)
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

static int run_outputs(const running *r, const onnx_reason *why)
{
    size_t n_outputs = aval_model_output_count(r->model);
    aval_value **wanted = calloc(n_outputs + 1, sizeof(aval_value *));
    if (wanted == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < n_outputs; i++) wanted[i] = aval_model_output(r->model, i);
    int status = explain(why, aval_session_run(r->session, wanted, n_outputs));
    free(wanted);
    return status;
}

/* Feeds what is in the folder, and runs. */
static int run_set(const running *r, const char *folder, const onnx_reason *why)
{
    int status = AVAL_OK;
    for (size_t i = 0; i < aval_model_input_count(r->model) && status == AVAL_OK; i++) {
        char file[PATH_MAX];
        onnx_case_path(file, "%s/input_%zu.pb", folder, i);
        status = feed_input(r, i, file, why);
    }
    return status < 0 ? status : run_outputs(r, why);
}

/* A value beside what the file expects. */
static int compare_value(const running *r, const aval_value *value, const char *what, const char *file, const onnx_reason *why)
{
    aval_array expected = { .size = sizeof expected }, found = { .size = sizeof found };
    int status = aval_array_read(file, &expected);
    if (status == AVAL_OK) status = cli_array_of(r->session, value, &found);
    explain(why, status);
    if (status == AVAL_OK && !cli_arrays_agree(&found, &expected, what, why->text, why->bytes)) status = AVAL_E_CHECK;
    aval_free(expected.data);
    aval_free(found.data);
    return status;
}

static int compare_output(const running *r, size_t i, const char *file, const onnx_reason *why)
{
    char what[256];
    snprintf(what, sizeof what, "output '%s'", aval_model_output_name(r->model, i));
    return compare_value(r, aval_model_output(r->model, i), what, file, why);
}

static int compare_outputs(const running *r, const char *folder, const onnx_reason *why)
{
    int status = AVAL_OK;
    for (size_t i = 0; i < aval_model_output_count(r->model) && status == AVAL_OK; i++) {
        char file[PATH_MAX];
        onnx_case_path(file, "%s/output_%zu.pb", folder, i);
        status = compare_output(r, i, file, why);
    }
    return status;
}

/* ---- Gradients ----------------------------------------------------------------------------------------------------------------------- */

/* What is ours, not ONNX's: where a set of data has gradient_N.pb, it expects that gradient of sum of upstream x output by input N, upstream
   from upstream_N.pb, else ones. */
typedef struct gradients {
    const char *folder;
    size_t count; /* of inputs */
    aval_value **of; /* by input; NULL: nothing is expected */
} gradients;

static bool is_gradient_expected(const char *folder, size_t i)
{
    char file[PATH_MAX];
    onnx_case_path(file, "%s/gradient_%zu.pb", folder, i);
    return onnx_case_is_there(file);
}

static int find_targets(const running *r, const char *folder, cli_targets *targets)
{
    size_t n = aval_model_output_count(r->model), found = 0;
    cli_files files = { .upstreams = calloc(n + 1, sizeof(char *)) };
    int code = files.upstreams == NULL ? CLI_DEVICE : CLI_OK;
    for (size_t i = 0; i < n && code == CLI_OK; i++) {
        char file[PATH_MAX], *given = NULL;
        onnx_case_path(file, "%s/upstream_%zu.pb", folder, i);
        if (!onnx_case_is_there(file)) continue;
        if (asprintf(&given, "%s=%s", aval_model_output_name(r->model, i), file) < 0) code = CLI_DEVICE;
        else files.upstreams[found++] = given;
    }
    if (code == CLI_OK) code = cli_files_targets(&files, r->model, r->session, targets);
    cli_files_release(&files);
    return code == CLI_OK ? AVAL_OK : AVAL_E_GRADIENT;
}

static int run_gradients(const running *r, gradients *g, const onnx_reason *why)
{
    cli_targets targets;
    aval_value **wanted = calloc(g->count + 1, sizeof(aval_value *));
    size_t n_wanted = 0;
    int status = wanted == NULL ? AVAL_E_MEMORY : explain(why, find_targets(r, g->folder, &targets));
    for (size_t i = 0; i < g->count && status == AVAL_OK; i++) {
        if (!is_gradient_expected(g->folder, i)) continue;
        if (cli_gradient(r->model, r->session, aval_model_input(r->model, i), &targets, &g->of[i]) != CLI_OK) {
            status = explain(why, AVAL_E_GRADIENT);
        } else if (g->of[i] == NULL) {
            snprintf(why->text, why->bytes, "input '%s' has no gradient", aval_model_input_name(r->model, i));
            status = AVAL_E_GRADIENT;
        } else {
            wanted[n_wanted++] = g->of[i];
        }
    }
    if (status == AVAL_OK && n_wanted > 0) status = explain(why, aval_session_run(r->session, wanted, n_wanted));
    free(wanted);
    return status;
}

static int compare_gradients(const running *r, const char *folder, const onnx_reason *why)
{
    gradients g = { .folder = folder, .count = aval_model_input_count(r->model) };
    bool any = false;
    for (size_t i = 0; i < g.count; i++) any = any || is_gradient_expected(folder, i);
    if (!any) return AVAL_OK;
    g.of = calloc(g.count, sizeof(aval_value *));
    int status = g.of == NULL ? AVAL_E_MEMORY : run_gradients(r, &g, why);
    for (size_t i = 0; i < g.count && status == AVAL_OK; i++) {
        char file[PATH_MAX], what[256];
        if (g.of[i] == NULL) continue;
        onnx_case_path(file, "%s/gradient_%zu.pb", folder, i);
        snprintf(what, sizeof what, "gradient by '%s'", aval_model_input_name(r->model, i));
        status = compare_value(r, g.of[i], what, file, why);
    }
    free(g.of);
    return status;
}

/* ---- The model as it was written ------------------------------------------------------------------------------------------------------ */

/* It must give the very same bytes. */
static int compare_copies(const running *r, const running *copy, const onnx_reason *why)
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

static int open_model(aval_context *ctx, const char *file, running *r, const onnx_reason *why)
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
static int open_copy(aval_context *ctx, const running *r, const char *keep, running *copy, const onnx_reason *why)
{
    char passing[] = "/tmp/aval-onnx-XXXXXX";
    const char *file = keep != NULL ? keep : passing;
    int fd = keep != NULL ? -1 : mkstemp(passing), status = AVAL_E_MEMORY;
    size_t n = aval_model_output_count(r->model);
    aval_value **outputs = calloc(n + 1, sizeof(aval_value *));
    const char **names = calloc(n + 1, sizeof *names);
    if (fd >= 0) close(fd);
    if ((fd < 0 && keep == NULL) || outputs == NULL || names == NULL) goto done;
    for (size_t i = 0; i < n; i++) outputs[i] = aval_model_output(r->model, i), names[i] = aval_model_output_name(r->model, i);
    status = explain(why, aval_model_save(aval_model_graph(r->model), aval_model_store(r->model), outputs, names, n, file));
    if (status == AVAL_OK) status = open_model(ctx, file, copy, why);
done:
    if (fd >= 0) unlink(passing);
    free(outputs);
    free(names);
    return status;
}

static int run_sets(const running *r, const running *copy, const char *folder, const onnx_reason *why)
{
    size_t sets = 0;
    int status = AVAL_OK;
    for (; status == AVAL_OK; sets++) {
        char set[PATH_MAX];
        onnx_case_path(set, "%s/test_data_set_%zu", folder, sets);
        if (!onnx_case_is_there(set)) break;
        status = run_set(r, set, why);
        if (status == AVAL_OK) status = compare_outputs(r, set, why);
        if (status == AVAL_OK && copy->model != NULL) status = run_set(copy, set, why);
        if (status == AVAL_OK && copy->model != NULL) status = compare_copies(r, copy, why);
        if (status == AVAL_OK) status = compare_gradients(r, set, why);
    }
    if (status < 0 || sets > 0) return status;
    snprintf(why->text, why->bytes, "there is no folder test_data_set_0");
    return AVAL_E_UNKNOWN;
}

int onnx_case_run(aval_context *ctx, const char *folder, bool round_trip, const char *keep, const onnx_reason *why)
{
    char file[PATH_MAX];
    running r = { NULL, NULL }, copy = { NULL, NULL };
    onnx_case_path(file, "%s/model.onnx", folder);
    int status = open_model(ctx, file, &r, why);
    if (status == AVAL_OK && round_trip) status = open_copy(ctx, &r, keep, &copy, why);
    if (status == AVAL_OK) status = run_sets(&r, &copy, folder, why);
    close_model(&copy);
    close_model(&r);
    return status;
}

/* ---- Models without inputs in files ------------------------------------------------------------------------------------------------- */

/* As ONNX's runner does for its light models: from 0 to 1 in even steps. */
static int feed_steps(const running *r, const onnx_reason *why)
{
    for (size_t i = 0; i < aval_model_input_count(r->model); i++) {
        const aval_value *input = aval_model_input(r->model, i);
        int64_t dims[AVAL_MAX_RANK] = { 0 };
        size_t count = 1, rank = (size_t)aval_value_rank(input);
        for (size_t d = 0; d < rank; d++) {
            dims[d] = aval_value_dims(input)[d] < 0 ? 1 : aval_value_dims(input)[d];
            count *= (size_t)dims[d];
        }
        float *data = malloc((count + 1) * sizeof *data);
        if (data == NULL) return AVAL_E_MEMORY;
        for (size_t k = 0; k < count; k++) data[k] = (float)((double)k / (double)count);
        int status = explain(why, aval_session_feed(r->session, input, data, count * sizeof *data, dims));
        free(data);
        if (status < 0) return status;
    }
    return AVAL_OK;
}

int onnx_case_run_lone(aval_context *ctx, const char *file, const onnx_reason *why)
{
    running r = { NULL, NULL };
    int status = open_model(ctx, file, &r, why);
    if (status == AVAL_OK) status = feed_steps(&r, why);
    if (status == AVAL_OK) status = run_outputs(&r, why);
    for (size_t i = 0; i < aval_model_output_count(r.model) && status == AVAL_OK; i++) {
        char expected[PATH_MAX];
        onnx_case_path(expected, "%.*s_output_%zu.pb", (int)(strlen(file) - strlen(".onnx")), file, i);
        status = compare_output(&r, i, expected, why);
    }
    close_model(&r);
    return status;
}
