/* aval graph MODEL.onnx: the model's graph, the boxes of its values and gradients where its inputs are given, or the plan of a run. */
#include "arrays.h"
#include "graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_ELEMENTS 6 /* a longer tensor is summed up */

/* A value and its gradient, found by the value's address. */
typedef struct box {
    const aval_value *value;
    aval_value *gradient;
} box;

typedef struct picture {
    graph_arguments *a;
    aval_model *model;
    aval_graph *g;
    aval_session *session; /* NULL: nothing was run */
    aval_value **wanted; /* the outputs, then gradients */
    size_t n_wanted, n_outputs;
    box *boxes; /* sorted by address */
    size_t n_boxes;
} picture;

static bool has_inputs(const graph_arguments *a)
{
    return a->files.inputs != NULL || a->files.archive != NULL;
}

/* ---- Boxes ----------------------------------------------------------------------------------------------------------------------------- */

/* "[1 2 3]", or smallest, mean and largest. */
static void print_numbers(const aval_array *array, char *text, size_t bytes)
{
    size_t count = array->bytes / aval_type_bytes(array->type), length = 0;
    double *x = malloc((count + 1) * sizeof *x), least = INFINITY, most = -INFINITY, sum = 0;
    if (x == NULL || aval_convert(x, AVAL_DOUBLE, array->data, array->type, count) < 0) goto done;
    for (size_t i = 0; i < count; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
        sum += x[i];
    }
    if (count > SHOWN_ELEMENTS) {
        snprintf(text, bytes, "%.4g .. %.4g, mean %.4g", least + 0.0, most + 0.0, sum / (double)count + 0.0); /* no -0 */
        goto done;
    }
    length += (size_t)snprintf(text, bytes, "%s", array->rank > 0 ? "[" : "");
    for (size_t i = 0; i < count; i++) length += (size_t)snprintf(text + length, bytes - length, "%s%.4g", i > 0 ? " " : "", x[i] + 0.0);
    if (array->rank > 0) snprintf(text + length, bytes - length, "]");
done:
    free(x);
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const box *)a)->value, y = (uintptr_t)((const box *)b)->value;
    return (x > y) - (x < y);
}

/* What the last run has of a value: of a branch that was not taken, nothing. */
static bool content_of(const picture *p, const aval_value *value, aval_array *array)
{
    *array = (aval_array){ .size = sizeof *array };
    if (cli_array_of(p->session, value, array) == AVAL_OK) return true;
    aval_free(array->data);
    array->data = NULL;
    if (aval_value_kind_of(value) != AVAL_VALUE_STATE) return false;
    aval_store *store = aval_model_store(p->model);
    const char *name = aval_value_name(value);
    if (aval_store_shape(store, name, &array->type, &array->rank, array->dims) < 0) return false;
    array->bytes = aval_type_bytes(array->type);
    for (size_t i = 0; i < array->rank; i++) array->bytes *= (size_t)array->dims[i];
    array->data = malloc(array->bytes + 1);
    return array->data != NULL && aval_store_get(store, name, array->data, array->bytes) == AVAL_OK;
}

static void note(void *user, const aval_value *value, aval_value_note *out)
{
    const picture *p = user;
    aval_array array;
    if (content_of(p, value, &array)) {
        size_t length = (size_t)snprintf(out->type, sizeof out->type, "%s[", aval_type_name(array.type));
        for (size_t i = 0; i < array.rank && length < sizeof out->type; i++)
            length += (size_t)snprintf(out->type + length, sizeof out->type - length, "%s%lld", i > 0 ? "," : "", (long long)array.dims[i]);
        if (length < sizeof out->type) snprintf(out->type + length, sizeof out->type - length, "]");
        print_numbers(&array, out->value, sizeof out->value);
    }
    aval_free(array.data);
    const box *found = p->n_boxes > 0 ? bsearch(&(box){ .value = value }, p->boxes, p->n_boxes, sizeof *p->boxes, by_address) : NULL;
    if (found == NULL || cli_array_of(p->session, found->gradient, &array) < 0) return;
    print_numbers(&array, out->gradient, sizeof out->gradient);
    aval_free(array.data);
}

/* ---- Runs ------------------------------------------------------------------------------------------------------------------------------ */

static int run(const picture *p)
{
    int status = aval_session_run(p->session, p->wanted, p->n_wanted);
    return status < 0 ? cli_fail_status(status) : CLI_OK;
}

static int add_box(picture *p, const aval_value *value, const cli_targets *targets)
{
    for (size_t i = 0; i < p->n_boxes; i++)
        if (p->boxes[i].value == value) return CLI_OK;
    box *grown = realloc(p->boxes, (p->n_boxes + 1) * sizeof *grown);
    if (grown == NULL) return cli_fail(CLI_DEVICE, "out of memory");
    p->boxes = grown;
    aval_value *gradient;
    int code = cli_gradient(p->model, p->session, (aval_value *)(uintptr_t)value, targets, &gradient);
    if (code == CLI_OK && gradient != NULL) p->boxes[p->n_boxes++] = (box){ value, gradient };
    return code;
}

/* The gradient by each value that the outputs may depend on. */
static int add_boxes(picture *p, const cli_targets *targets)
{
    int code = CLI_OK;
    for (size_t n = 0, count = aval_graph_node_count(p->g); n < count && code == CLI_OK; n++) {
        aval_node *node = aval_graph_node_at(p->g, n);
        for (size_t i = 0; i < aval_node_input_count(node) && code == CLI_OK; i++)
            if (aval_node_input(node, i) != NULL && aval_value_kind_of(aval_node_input(node, i)) != AVAL_VALUE_CONSTANT)
                code = add_box(p, aval_node_input(node, i), targets);
    }
    for (size_t i = 0; i < p->n_outputs && code == CLI_OK; i++) code = add_box(p, p->wanted[i], targets);
    return code;
}

static int want_gradients(picture *p)
{
    cli_targets targets;
    int code = cli_files_targets(&p->a->files, p->model, p->session, &targets);
    if (code == CLI_OK) code = add_boxes(p, &targets);
    aval_value **grown = code == CLI_OK ? realloc(p->wanted, (p->n_wanted + p->n_boxes + 1) * sizeof(aval_value *)) : NULL;
    if (grown == NULL) return code == CLI_OK ? cli_fail(CLI_DEVICE, "out of memory") : code;
    p->wanted = grown;
    for (size_t i = 0; i < p->n_boxes; i++) p->wanted[p->n_wanted++] = p->boxes[i].gradient;
    qsort(p->boxes, p->n_boxes, sizeof *p->boxes, by_address);
    return CLI_OK;
}

/* Feeds the inputs that have a file.  Of the others, a free first axis is the batch, and gets its size, so that shapes are known. */
static int give_inputs(const picture *p)
{
    int code = CLI_OK;
    for (size_t i = 0; i < aval_model_input_count(p->model) && code == CLI_OK; i++) {
        aval_value *input = aval_model_input(p->model, i);
        int64_t dims[AVAL_MAX_RANK];
        int rank = aval_value_rank(input), type = aval_value_type(input);
        if (cli_files_has(&p->a->files, p->model, i)) {
            code = cli_files_feed(&p->a->files, p->model, i, p->session);
            continue;
        }
        if (has_inputs(p->a))
            return cli_fail(CLI_USAGE, "input '%s' is missing: give all inputs, or none", aval_model_input_name(p->model, i));
        if (rank < 1 || aval_value_dims(input)[0] >= 0) continue;
        memcpy(dims, aval_value_dims(input), (size_t)rank * sizeof *dims);
        dims[0] = p->a->examples > 0 ? (int64_t)p->a->examples : 1;
        int status = aval_graph_replace(p->g, input, aval_graph_input(p->g, aval_value_name(input), type, (size_t)rank, dims));
        if (status < 0) code = cli_fail_status(status);
    }
    return code;
}

static int show(picture *p, bool json)
{
    char *text = NULL;
    int code = CLI_OK, status;
    if (p->a->plan) status = aval_session_plan_text(p->session, p->wanted, p->n_wanted, &text);
    else if (p->a->text) status = aval_graph_text(p->g, &text);
    else status = aval_graph_draw(p->g, p->wanted, p->n_outputs, has_inputs(p->a) ? note : NULL, p, &text);
    code = status < 0 ? cli_fail_status(status) : graph_show(p->a, json, text);
    aval_free(text);
    return code;
}

static int draw(picture *p, aval_context *ctx, bool json)
{
    bool runs = has_inputs(p->a) && !p->a->text;
    int status = AVAL_OK, code = cli_files_check(&p->a->files, p->model);
    if (code != CLI_OK) return code;
    p->n_outputs = p->n_wanted = aval_model_output_count(p->model);
    p->wanted = calloc(p->n_outputs + 1, sizeof(aval_value *));
    if (p->wanted == NULL) return cli_fail(CLI_DEVICE, "out of memory");
    for (size_t i = 0; i < p->n_outputs; i++) p->wanted[i] = aval_model_output(p->model, i);
    if (runs || p->a->plan) {
        status = cli_need_device(ctx);
        if (status == AVAL_OK) status = aval_session_create(ctx, p->g, aval_model_store(p->model), &p->session);
        if (status == AVAL_OK) status = aval_session_set_memory_bound(p->session, p->a->memory_bound);
        if (status == AVAL_OK && !p->a->plan) status = aval_session_set_memory(p->session, AVAL_MEMORY_RETAINED);
        if (status < 0) return cli_fail_status(status);
    }
    code = give_inputs(p);
    if (code == CLI_OK && runs) code = run(p); /* then the types of all values are known */
    if (code == CLI_OK && p->a->gradients) code = want_gradients(p);
    if (code == CLI_OK && p->a->gradients && !p->a->plan) code = run(p);
    return code == CLI_OK ? show(p, json) : code;
}

int graph_of_model(const cli_options *options, graph_arguments *a)
{
    aval_context *ctx = NULL;
    picture p = { .a = a };
    if (a->gradients && !has_inputs(a)) return cli_fail(CLI_USAGE, "--gradients needs the inputs: --input NAME=FILE.npy");
    int status = cli_context_create(options, &ctx);
    if (status == AVAL_OK) status = aval_model_load(ctx, options->rest[0], &p.model);
    p.g = aval_model_graph(p.model);
    int code = status < 0 ? cli_fail_status(status) : draw(&p, ctx, options->common.json);
    free(p.wanted);
    free(p.boxes);
    aval_session_release(p.session);
    aval_model_release(p.model);
    aval_context_release(ctx);
    return code;
}
