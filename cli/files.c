/* Files for what a model reads: inputs, weights and upstream gradients, each given as NAME=FILE; and the gradients that begin there. */
#include "files.h"
#include "arrays.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cli_is_onnx(const char *file)
{
    const char *dot = strrchr(file, '.');
    return dot != NULL && strcmp(dot, ".onnx") == 0;
}

bool cli_is_model(const char *name)
{
    return strchr(name, '/') != NULL || cli_is_onnx(name);
}

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
static int set_weight(const aval_model *m, const char *pair, bool *found)
{
    aval_store *store = aval_model_store(m);
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

static int list_names(const aval_model *m, char *const *pairs, const char *option, size_t count,
                      const char *(*name)(const aval_model *model, size_t i))
{
    char names[1000] = "";
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s'%s'", i > 0 ? ", " : "", name(m, i));
    }
    return cli_fail(CLI_USAGE, "%s %s: expected NAME=FILE.npy (or .npz) with one of %s", option, *pairs,
                    count > 0 ? names : "none (there are none)");
}

int cli_files_check(cli_files *files, const aval_model *m)
{
    for (char *const *pair = files->inputs; pair != NULL && *pair != NULL; pair++) {
        bool found = is_input(m, *pair);
        int status = found ? AVAL_OK : set_weight(m, *pair, &found);
        if (status < 0) return cli_fail_status(status);
        if (!found) return list_names(m, pair, "--input", aval_model_input_count(m), aval_model_input_name);
    }
    for (char *const *pair = files->upstreams; pair != NULL && *pair != NULL; pair++)
        if (!is_output(m, *pair)) return list_names(m, pair, "--upstream", aval_model_output_count(m), aval_model_output_name);
    int status = files->archive != NULL ? aval_archive_open(files->archive, &files->opened) : AVAL_OK;
    return status < 0 ? cli_fail_status(status) : CLI_OK;
}

bool cli_files_has(const cli_files *files, const aval_model *m, size_t i)
{
    return files->opened != NULL || find_file(files->inputs, aval_model_input_name(m, i)) != NULL;
}

int cli_files_feed(const cli_files *files, const aval_model *m, size_t i, aval_session *s)
{
    aval_array array = { .size = sizeof array };
    const aval_value *input = aval_model_input(m, i);
    const char *name = aval_model_input_name(m, i), *own = find_file(files->inputs, name), *file = own != NULL ? own : files->archive;
    int status = own != NULL ? cli_array_read(own, name, &array) : aval_archive_read(files->opened, name, &array), code = CLI_OK;
    if (status < 0) return cli_fail_status(status);
    if (array.type != aval_value_type(input) || array.rank != (size_t)aval_value_rank(input))
        code = cli_fail(CLI_USAGE, "input '%s' is %s with %d axes, but '%s' holds %s with %zu", name,
                        aval_type_name(aval_value_type(input)), aval_value_rank(input), file, aval_type_name(array.type), array.rank);
    else if ((status = aval_session_feed(s, input, array.data, array.bytes, array.dims)) < 0) code = cli_fail_status(status);
    aval_free(array.data);
    return code;
}

void cli_files_release(cli_files *files)
{
    char **const lists[] = { files->inputs, files->upstreams };
    for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++) {
        for (size_t i = 0; lists[l] != NULL && lists[l][i] != NULL; i++) free(lists[l][i]);
        free(lists[l]);
    }
    free(files->archive);
    aval_archive_release(files->opened);
    *files = (cli_files){ 0 };
}

/* ---- Gradients ------------------------------------------------------------------------------------------------------------------------- */

static bool is_float(int type)
{
    return type > 0 && (AVAL_FLOATS & AVAL_TYPE_SET(type)) != 0;
}

static int add_upstream(const char *name, const char *file, aval_graph *g, aval_session *s, aval_value **upstream)
{
    aval_array array = { .size = sizeof array };
    int status = cli_array_read(file, name, &array);
    if (status == AVAL_OK) {
        *upstream = aval_graph_input(g, name, array.type, array.rank, array.dims);
        status = *upstream == NULL ? aval_graph_status(g) : aval_session_feed(s, *upstream, array.data, array.bytes, array.dims);
    }
    aval_free(array.data);
    return status < 0 ? cli_fail_status(status) : CLI_OK;
}

/* The outputs of one type as one value to be differentiated: themselves where there is one, else the sum of upstream x output over them. */
static void add_target(const aval_model *m, aval_session *s, int type, aval_value *const *upstreams, cli_targets *out)
{
    aval_graph *g = aval_model_graph(m);
    aval_value *only = NULL, *of_only = NULL, *sum = NULL;
    size_t n = 0;
    for (size_t i = 0; i < aval_model_output_count(m); i++) {
        aval_value *output = aval_model_output(m, i);
        if (aval_session_type(s, output) != type) continue;
        if (n++ == 0) only = output, of_only = upstreams[i];
        aval_value *scaled = upstreams[i] != NULL ? aval_apply(g, "Mul", NULL, output, upstreams[i]) : output;
        aval_value *one = aval_apply(g, "ReduceSum", "keepdims=0", scaled);
        sum = sum == NULL ? one : aval_apply(g, "Add", NULL, sum, one);
    }
    if (n == 0) return;
    out->of[out->count] = n == 1 ? only : sum;
    out->upstreams[out->count++] = n == 1 ? of_only : NULL;
}

int cli_files_targets(const cli_files *files, const aval_model *m, aval_session *s, cli_targets *out)
{
    int code = CLI_OK;
    *out = (cli_targets){ .count = 0 };
    aval_value **upstreams = calloc(aval_model_output_count(m) + 1, sizeof(aval_value *));
    if (upstreams == NULL) return cli_fail(CLI_DEVICE, "out of memory");
    for (size_t i = 0; i < aval_model_output_count(m) && code == CLI_OK; i++) {
        const char *name = aval_model_output_name(m, i), *file = find_file(files->upstreams, name);
        if (file != NULL) code = add_upstream(name, file, aval_model_graph(m), s, &upstreams[i]);
    }
    for (int type = 0; type < AVAL_TYPES && code == CLI_OK; type++)
        if (is_float(type)) add_target(m, s, type, upstreams, out);
    free(upstreams);
    return code;
}

int cli_gradient(const aval_model *m, aval_session *s, aval_value *wrt, const cli_targets *targets, aval_value **gradient)
{
    aval_graph *g = aval_model_graph(m);
    int type = aval_value_type(wrt);
    *gradient = NULL;
    if (!is_float(type != AVAL_NONE ? type : aval_session_type(s, wrt))) return CLI_OK;
    for (size_t i = 0; i < targets->count; i++) {
        aval_value *one = aval_graph_gradient(g, targets->of[i], wrt, targets->upstreams[i]);
        *gradient = *gradient == NULL ? one : aval_apply(g, "Add", NULL, *gradient, one);
    }
    int status = aval_graph_status(g);
    return status < 0 ? cli_fail_status(status) : CLI_OK;
}
