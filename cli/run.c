/* `aval run`: an ONNX model on arrays from files; outputs and gradients become files. */
#include "arrays.h"
#include "files.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct arguments {
    cli_files files;
    char *weights; /* safetensors; NULL: those of the model */
    char *folder;
    char *output; /* one .npz instead of files in the folder; NULL: none */
    int gradients, anomaly;
} arguments;

/* What is computed and written. */
typedef struct result {
    const char *prefix, *name; /* "grad_" and "conv1.weight" */
    aval_value *value;
} result;

typedef struct job {
    arguments *a;
    const aval_model *model;
    aval_graph *graph;
    aval_session *session;
    result *results;
    size_t n_results, room;
    json_t *rows; /* NULL: text */
    bool quiet;
} job;

/* ---- What is computed --------------------------------------------------------------------------------------------------------------------- */

static int add_result(job *j, const char *prefix, const char *name, aval_value *value)
{
    if (j->n_results == j->room) {
        size_t room = 2 * j->room + 16;
        result *grown = realloc(j->results, room * sizeof *grown);
        if (grown == NULL) return cli_fail(CLI_DEVICE, "out of memory");
        j->results = grown;
        j->room = room;
    }
    j->results[j->n_results++] = (result){ prefix, name, value };
    return CLI_OK;
}

static int run(const job *j)
{
    aval_value **wanted = calloc(j->n_results + 1, sizeof(aval_value *));
    if (wanted == NULL) return cli_fail(CLI_DEVICE, "out of memory");
    for (size_t i = 0; i < j->n_results; i++) wanted[i] = j->results[i].value;
    int status = aval_session_run(j->session, wanted, j->n_results);
    free(wanted);
    return status < 0 ? cli_fail_status(status) : CLI_OK;
}

static int add_gradient(job *j, const char *name, aval_value *wrt, const cli_targets *targets)
{
    aval_value *gradient;
    int code = cli_gradient(j->model, j->session, wrt, targets, &gradient);
    return code != CLI_OK || gradient == NULL ? code : add_result(j, "grad_", name, gradient);
}

static int add_gradients(job *j)
{
    const aval_store *store = aval_model_store(j->model);
    cli_targets targets;
    int code = cli_files_targets(&j->a->files, j->model, j->session, &targets);
    for (size_t i = 0; i < aval_model_input_count(j->model) && code == CLI_OK; i++)
        code = add_gradient(j, aval_model_input_name(j->model, i), aval_model_input(j->model, i), &targets);
    for (size_t i = 0; i < aval_store_count(store) && code == CLI_OK; i++) {
        int type;
        size_t rank;
        int64_t dims[AVAL_MAX_RANK];
        const char *name = aval_store_name(store, i);
        int status = aval_store_shape(store, name, &type, &rank, dims);
        code = status < 0 ? cli_fail_status(status) : add_gradient(j, name, aval_graph_state(j->graph, name, type, rank, dims), &targets);
    }
    return code;
}

/* ---- Files that are written ----------------------------------------------------------------------------------------------------------------- */

static int print_file(const job *j, char file[PATH_MAX], const result *r)
{
    int length = snprintf(file, PATH_MAX, "%s/", j->a->folder);
    int more = length < PATH_MAX ? snprintf(file + length, (size_t)(PATH_MAX - length), "%s%s.npy", r->prefix, r->name) : 0;
    if (length + more >= PATH_MAX) return cli_fail(CLI_USAGE, "the name '%s' is too long for a file", r->name);
    for (char *c = file + length; *c != 0; c++)
        if (*c == '/') *c = '_';
    return CLI_OK;
}

static void tell(const job *j, const result *r, const aval_array *array, const char *file)
{
    if (j->rows != NULL) {
        json_t *shape = json_array();
        for (size_t i = 0; i < array->rank; i++) json_array_append_new(shape, json_integer(array->dims[i]));
        json_array_append_new(j->rows, json_pack("{ss ss ss so ss}", "name", r->name, "kind", r->prefix[0] != 0 ? "gradient" : "output",
                                                 "type", aval_type_name(array->type), "shape", shape, "file", file));
    } else if (!j->quiet) {
        printf("%s: %s[", file, aval_type_name(array->type));
        for (size_t i = 0; i < array->rank; i++) printf("%s%lld", i > 0 ? "," : "", (long long)array->dims[i]);
        printf("]\n");
    }
}

static int write_result(const job *j, const result *r)
{
    char file[PATH_MAX];
    aval_array array = { .size = sizeof array };
    int code = print_file(j, file, r);
    if (code != CLI_OK) return code;
    int status = cli_array_of(j->session, r->value, &array);
    if (status == AVAL_OK) status = aval_array_write(file, &array);
    if (status == AVAL_OK) tell(j, r, &array, file);
    aval_free(array.data);
    return status < 0 ? cli_fail_status(status) : CLI_OK;
}

/* All results in one archive, under their names. */
static int write_archive(const job *j)
{
    aval_array *arrays = calloc(j->n_results + 1, sizeof *arrays);
    char(*names)[PATH_MAX] = calloc(j->n_results + 1, sizeof *names);
    const char **list = calloc(j->n_results + 1, sizeof *list);
    int status = arrays != NULL && names != NULL && list != NULL ? AVAL_OK : AVAL_E_MEMORY;
    for (size_t i = 0; i < j->n_results && status == AVAL_OK; i++) {
        const result *r = &j->results[i];
        snprintf(names[i], sizeof *names, "%s%s", r->prefix, r->name);
        list[i] = names[i];
        status = cli_array_of(j->session, r->value, &arrays[i]);
    }
    if (status == AVAL_OK) status = aval_archive_write(j->a->output, list, arrays, j->n_results, 0);
    for (size_t i = 0; i < j->n_results && arrays != NULL; i++) {
        if (status == AVAL_OK) tell(j, &j->results[i], &arrays[i], j->a->output);
        aval_free(arrays[i].data);
    }
    free(arrays);
    free(names);
    free(list);
    return status < 0 ? cli_fail_status(status) : CLI_OK;
}

static int write_results(const job *j)
{
    int code = CLI_OK;
    if (j->a->output != NULL) return write_archive(j);
    mkdir(j->a->folder, 0777); /* where it is there, or cannot be made, writing tells */
    for (size_t i = 0; i < j->n_results && code == CLI_OK; i++) code = write_result(j, &j->results[i]);
    return code;
}

/* What comes from files beside the model. */
static int open_files(job *j)
{
    int status = AVAL_OK;
    const aval_weights_options options = { .size = sizeof options, .allow = AVAL_ALLOW_MISSING, .convert = 1 };
    if (j->a->weights != NULL) status = aval_store_load_weights(aval_model_store(j->model), j->a->weights, &options, NULL);
    return status < 0 ? cli_fail_status(status) : CLI_OK;
}

static int feed_inputs(const job *j)
{
    int code = CLI_OK;
    for (size_t i = 0; i < aval_model_input_count(j->model) && code == CLI_OK; i++) {
        const char *name = aval_model_input_name(j->model, i);
        if (!cli_files_has(&j->a->files, j->model, i))
            code = cli_fail(CLI_USAGE, "input '%s' is missing: give it by --input '%s=FILE.npy'", name, name);
        else code = cli_files_feed(&j->a->files, j->model, i, j->session);
    }
    return code;
}

static int work(job *j)
{
    int code = open_files(j);
    if (code == CLI_OK) code = cli_files_check(&j->a->files, j->model);
    if (code == CLI_OK) code = feed_inputs(j);
    for (size_t i = 0; i < aval_model_output_count(j->model) && code == CLI_OK; i++)
        code = add_result(j, "", aval_model_output_name(j->model, i), aval_model_output(j->model, i));
    if (code == CLI_OK) code = run(j);
    if (code == CLI_OK && j->a->gradients) { /* only now the types of all outputs are known */
        code = add_gradients(j);
        if (code == CLI_OK) code = run(j);
    }
    return code == CLI_OK ? write_results(j) : code;
}

static int run_model(const cli_options *options, arguments *a)
{
    aval_context *ctx = NULL;
    aval_model *m = NULL;
    job j = { .a = a, .quiet = options->common.quiet, .rows = options->common.json ? json_array() : NULL };
    int status = cli_context_create(options, &ctx);
    if (status == AVAL_OK) status = aval_model_load(ctx, options->rest[0], &m);
    if (status == AVAL_OK) status = cli_need_device(ctx);
    if (status == AVAL_OK) status = aval_session_create(ctx, aval_model_graph(m), aval_model_store(m), &j.session);
    if (status == AVAL_OK && a->anomaly) status = aval_session_set_memory(j.session, AVAL_MEMORY_RETAINED);
    if (status == AVAL_OK && a->anomaly) status = aval_session_set_anomaly(j.session, 1);
    j.model = m;
    j.graph = aval_model_graph(m);
    int code = status < 0 ? cli_fail_status(status) : work(&j);
    if (j.rows != NULL) {
        int printed = cli_print_json(j.rows);
        if (code == CLI_OK) code = printed;
    }
    free(j.results);
    aval_session_release(j.session);
    aval_model_release(m);
    aval_context_release(ctx);
    return code;
}

int cli_run(int argc, const char **argv)
{
    arguments a = { 0 };
    cli_options options;
    int code;
    const struct poptOption own[] = {
        { "input", 0, POPT_ARG_ARGV, &a.files.inputs, 0, "an input (or a weight) from a file, .npy, .npz or TensorProto; may be repeated",
          "NAME=FILE" },
        { "inputs", 0, POPT_ARG_STRING, &a.files.archive, 0, "all other inputs from one .npz, by their names", "FILE.npz" },
        { "weights", 0, POPT_ARG_STRING, &a.weights, 0, "weights from a safetensors file; those that it lacks stay the model's", "FILE" },
        { "output-dir", 0, POPT_ARG_STRING, &a.folder, 0, "folder for the outputs, NAME.npy each [.]", "DIR" },
        { "output", 0, POPT_ARG_STRING, &a.output, 0, "all of them in one .npz instead", "FILE.npz" },
        { "gradients", 0, POPT_ARG_NONE, &a.gradients, 0,
          "write d(sum of upstream x outputs) by each input and weight too, as grad_NAME.npy", NULL },
        { "upstream", 0, POPT_ARG_ARGV, &a.files.upstreams, 0, "upstream gradient of an output [ones]; may be repeated", "NAME=FILE" },
        { "anomaly", 0, POPT_ARG_NONE, &a.anomaly, 0, "end at the first node, forward or backward, that makes NaN or infinity; slow",
          NULL },
        POPT_TABLEEND,
    };
    if (cli_options_parse(&options, cli_command_find("run"), own, 1, 1, argc, argv, &code)) {
        if (a.folder == NULL) a.folder = strdup(".");
        if (a.folder == NULL) code = cli_fail(CLI_DEVICE, "out of memory");
        else if (a.files.upstreams != NULL && !a.gradients)
            code = cli_fail(CLI_USAGE, "--upstream says what --gradients starts from: give both");
        else code = run_model(&options, &a);
        cli_options_release(&options);
    }
    free(a.folder);
    free(a.output);
    free(a.weights);
    cli_files_release(&a.files);
    return code;
}
