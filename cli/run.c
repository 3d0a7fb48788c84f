/* `aval run`: an ONNX model on arrays from files; outputs and gradients become files. */
#include "arrays.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct arguments {
    char **inputs, **upstreams; /* NAME=FILE, end with NULL; NULL: none */
    char *archive; /* .npz with inputs by their names; NULL: none */
    char *weights; /* safetensors; NULL: those of the model */
    char *folder;
    char *output; /* one .npz instead of files in the folder; NULL: none */
    int gradients;
} arguments;

/* What is computed and written. */
typedef struct result {
    const char *prefix, *name; /* "grad_" and "conv1.weight" */
    aval_value *value;
} result;

typedef struct job {
    const arguments *a;
    const aval_model *model;
    aval_archive *archive; /* of inputs; NULL: none */
    aval_graph *graph;
    aval_session *session;
    result *results;
    size_t n_results, room;
    json_t *rows; /* NULL: text */
    bool quiet;
} job;

/* ---- Files given as NAME=FILE ----------------------------------------------------------------------------------------------------------- */

/* The file of NAME=FILE when the name is this one; NULL: it is another. */
static const char *file_for(const char *pair, const char *name)
{
    size_t length = strlen(name);
    return strncmp(pair, name, length) == 0 && pair[length] == '=' ? pair + length + 1 : NULL;
}

static const char *find_file(char *const *pairs, const char *name)
{
    const char *found = NULL;
    for (size_t i = 0; pairs != NULL && pairs[i] != NULL; i++)
        if (file_for(pairs[i], name) != NULL) found = file_for(pairs[i], name);
    return found;
}

static bool is_input(const aval_model *m, const char *pair)
{
    for (size_t i = 0; i < aval_model_input_count(m); i++)
        if (file_for(pair, aval_model_input_name(m, i)) != NULL) return true;
    return false;
}

static bool is_output(const aval_model *m, const char *pair)
{
    for (size_t i = 0; i < aval_model_output_count(m); i++)
        if (file_for(pair, aval_model_output_name(m, i)) != NULL) return true;
    return false;
}

/* A weight is given as an input is; its content in the store is replaced. */
static int set_weight(const job *j, const char *pair, bool *found)
{
    aval_store *store = aval_model_store(j->model);
    *found = false;
    for (size_t i = 0; i < aval_store_count(store); i++) {
        const char *name = aval_store_name(store, i), *file = file_for(pair, name);
        if (file == NULL) continue;
        aval_array array = { .size = sizeof array };
        *found = true;
        int status = cli_array_read(file, name, &array);
        if (status == AVAL_OK) status = aval_store_set(store, name, array.type, array.rank, array.dims, array.data);
        aval_free(array.data);
        return status;
    }
    return AVAL_OK;
}

static int list_names(const job *j, char *const *pairs, const char *option, size_t count,
                      const char *(*name)(const aval_model *model, size_t i))
{
    char names[1000] = "";
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s'%s'", i > 0 ? ", " : "", name(j->model, i));
    }
    return cli_fail(CLI_USAGE, "%s %s: expected NAME=FILE.npy (or .npz) with one of %s", option, *pairs,
                    count > 0 ? names : "none (there are none)");
}

static int check_pairs(const job *j)
{
    for (char *const *pair = j->a->inputs; pair != NULL && *pair != NULL; pair++) {
        bool found = is_input(j->model, *pair);
        int status = found ? AVAL_OK : set_weight(j, *pair, &found);
        if (status < 0) return cli_fail_status(status);
        if (!found) return list_names(j, pair, "--input", aval_model_input_count(j->model), aval_model_input_name);
    }
    for (char *const *pair = j->a->upstreams; pair != NULL && *pair != NULL; pair++)
        if (!is_output(j->model, *pair))
            return list_names(j, pair, "--upstream", aval_model_output_count(j->model), aval_model_output_name);
    return CLI_OK;
}

/* `own`: a file of this input alone; else the archive of several. */
static int feed_file(const job *j, const aval_value *input, const char *name, const char *own)
{
    aval_array array = { .size = sizeof array };
    const char *file = own != NULL ? own : j->a->archive;
    int status = own != NULL ? cli_array_read(file, name, &array) : aval_archive_read(j->archive, name, &array);
    if (status < 0) return cli_fail_status(status);
    int code = CLI_OK;
    if (array.type != aval_value_type(input) || array.rank != (size_t)aval_value_rank(input))
        code = cli_fail(CLI_USAGE, "input '%s' is %s with %d axes, but '%s' holds %s with %zu", name,
                        aval_type_name(aval_value_type(input)), aval_value_rank(input), file, aval_type_name(array.type), array.rank);
    else if ((status = aval_session_feed(j->session, input, array.data, array.bytes, array.dims)) < 0) code = cli_fail_status(status);
    aval_free(array.data);
    return code;
}

static int feed_inputs(const job *j)
{
    int code = CLI_OK;
    for (size_t i = 0; i < aval_model_input_count(j->model) && code == CLI_OK; i++) {
        const char *name = aval_model_input_name(j->model, i), *file = find_file(j->a->inputs, name);
        if (file == NULL && j->archive == NULL)
            code = cli_fail(CLI_USAGE, "input '%s' is missing: give it by --input '%s=FILE.npy'", name, name);
        else code = feed_file(j, aval_model_input(j->model, i), name, file);
    }
    return code;
}

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

static bool is_float(int type)
{
    return type > 0 && (AVAL_FLOATS & AVAL_TYPE_SET(type)) != 0;
}

/* The upstream gradient of an output as an input that is fed; *upstream stays NULL, for ones, where none is given. */
static int add_upstream(const job *j, size_t output, aval_value **upstream)
{
    const char *name = aval_model_output_name(j->model, output), *file = find_file(j->a->upstreams, name);
    if (file == NULL) return CLI_OK;
    aval_array array = { .size = sizeof array };
    int status = cli_array_read(file, name, &array);
    if (status == AVAL_OK) {
        *upstream = aval_graph_input(j->graph, name, array.type, array.rank, array.dims);
        status =
            *upstream == NULL ? aval_graph_status(j->graph) : aval_session_feed(j->session, *upstream, array.data, array.bytes, array.dims);
    }
    aval_free(array.data);
    return status < 0 ? cli_fail_status(status) : CLI_OK;
}

/* d(sum over all outputs of upstream x output) / d wrt */
static int add_gradient(job *j, const char *name, aval_value *wrt, aval_value *const *upstreams)
{
    aval_value *sum = NULL;
    if (!is_float(aval_value_type(wrt))) return CLI_OK;
    for (size_t i = 0; i < aval_model_output_count(j->model); i++) {
        aval_value *output = aval_model_output(j->model, i);
        if (!is_float(aval_session_type(j->session, output))) continue;
        aval_value *one = aval_graph_gradient(j->graph, output, wrt, upstreams[i]);
        sum = sum == NULL ? one : aval_apply(j->graph, "Add", NULL, sum, one);
    }
    int status = aval_graph_status(j->graph);
    if (status < 0) return cli_fail_status(status);
    return sum == NULL ? CLI_OK : add_result(j, "grad_", name, sum);
}

static int add_gradients(job *j)
{
    const aval_store *store = aval_model_store(j->model);
    aval_value **upstreams = calloc(aval_model_output_count(j->model) + 1, sizeof(aval_value *));
    int code = upstreams != NULL ? CLI_OK : cli_fail(CLI_DEVICE, "out of memory");
    for (size_t i = 0; i < aval_model_output_count(j->model) && code == CLI_OK; i++) code = add_upstream(j, i, &upstreams[i]);
    for (size_t i = 0; i < aval_model_input_count(j->model) && code == CLI_OK; i++)
        code = add_gradient(j, aval_model_input_name(j->model, i), aval_model_input(j->model, i), upstreams);
    for (size_t i = 0; i < aval_store_count(store) && code == CLI_OK; i++) {
        int type;
        size_t rank;
        int64_t dims[AVAL_MAX_RANK];
        const char *name = aval_store_name(store, i);
        int status = aval_store_shape(store, name, &type, &rank, dims);
        code = status < 0 ? cli_fail_status(status) : add_gradient(j, name, aval_graph_state(j->graph, name, type, rank, dims), upstreams);
    }
    free(upstreams);
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
    if (j->a->archive != NULL) status = aval_archive_open(j->a->archive, &j->archive);
    if (status == AVAL_OK && j->a->weights != NULL)
        status = aval_store_load_weights(aval_model_store(j->model), j->a->weights, &options, NULL);
    return status < 0 ? cli_fail_status(status) : CLI_OK;
}

static int work(job *j)
{
    int code = open_files(j);
    if (code == CLI_OK) code = check_pairs(j);
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

static int run_model(const cli_options *options, const arguments *a)
{
    aval_context *ctx = NULL;
    aval_model *m = NULL;
    job j = { .a = a, .quiet = options->common.quiet, .rows = options->common.json ? json_array() : NULL };
    int status = cli_context_create(options, &ctx);
    if (status == AVAL_OK) status = aval_model_load(ctx, options->rest[0], &m);
    if (status == AVAL_OK) status = cli_need_device(ctx);
    if (status == AVAL_OK) status = aval_session_create(ctx, aval_model_graph(m), aval_model_store(m), &j.session);
    j.model = m;
    j.graph = aval_model_graph(m);
    int code = status < 0 ? cli_fail_status(status) : work(&j);
    if (j.rows != NULL) {
        int printed = cli_print_json(j.rows);
        if (code == CLI_OK) code = printed;
    }
    free(j.results);
    aval_archive_release(j.archive);
    aval_session_release(j.session);
    aval_model_release(m);
    aval_context_release(ctx);
    return code;
}

static void free_texts(char **texts)
{
    for (size_t i = 0; texts != NULL && texts[i] != NULL; i++) free(texts[i]);
    free(texts);
}

int cli_run(int argc, const char **argv)
{
    arguments a = { 0 };
    cli_options options;
    int code;
    const struct poptOption own[] = {
        { "input", 0, POPT_ARG_ARGV, &a.inputs, 0, "an input (or a weight) from a file, .npy, .npz or TensorProto; may be repeated",
          "NAME=FILE" },
        { "inputs", 0, POPT_ARG_STRING, &a.archive, 0, "all other inputs from one .npz, by their names", "FILE.npz" },
        { "weights", 0, POPT_ARG_STRING, &a.weights, 0, "weights from a safetensors file; those that it lacks stay the model's", "FILE" },
        { "output-dir", 0, POPT_ARG_STRING, &a.folder, 0, "folder for the outputs, NAME.npy each [.]", "DIR" },
        { "output", 0, POPT_ARG_STRING, &a.output, 0, "all of them in one .npz instead", "FILE.npz" },
        { "gradients", 0, POPT_ARG_NONE, &a.gradients, 0,
          "write d(sum of upstream x outputs) by each input and weight too, as grad_NAME.npy", NULL },
        { "upstream", 0, POPT_ARG_ARGV, &a.upstreams, 0, "upstream gradient of an output [ones]; may be repeated", "NAME=FILE" },
        POPT_TABLEEND,
    };
    if (cli_options_parse(&options, cli_command_find("run"), own, 1, 1, argc, argv, &code)) {
        if (a.folder == NULL) a.folder = strdup(".");
        if (a.folder == NULL) code = cli_fail(CLI_DEVICE, "out of memory");
        else if (a.upstreams != NULL && !a.gradients) code = cli_fail(CLI_USAGE, "--upstream says what --gradients starts from: give both");
        else code = run_model(&options, &a);
        cli_options_release(&options);
    }
    free(a.folder);
    free(a.output);
    free(a.archive);
    free(a.weights);
    free_texts(a.inputs);
    free_texts(a.upstreams);
    return code;
}
