/* The models that `aval check` knows: built-in nets by name, and ONNX files.  Made alike in the parent and in each child. */
#include "check.h"
#include "files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FREE_LENGTH 8 /* of free axes of a file's inputs, but the first, which is the batch; unless the description has another "length" */

static const char *const nets[] = { "linear", "mlp", "lenet" };

bool check_model_named(const char *name)
{
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        if (strcmp(name, nets[i]) == 0) return true;
    }
    return cli_is_onnx(name);
}

/* ---- Built-in nets --------------------------------------------------------------------------------------------------------- */

static int feed_net(void *user, aval_session *s, uint64_t step)
{
    const check_model *m = user;
    return aval_train_feed(s, m->graph, &m->train, m->data, step);
}

static int open_net(aval_context *ctx, check_model *m)
{
    int status = aval_dataset_open_digits(1, &m->data);
    if (status < 0) return status;
    m->library.feed = feed_net;
    return aval_train_graph(ctx, &m->train, m->data, m->train.batch, &m->graph, &m->store, &m->wanted, &m->n_wanted);
}

/* ---- ONNX files: random inputs, and the gradients of the outputs' squares by every weight --------------------------------------------- */

/* Vigna's splitmix64: the same numbers in every process. */
static uint64_t random_bits(uint64_t seed, uint64_t step, uint64_t input, uint64_t element)
{
    uint64_t x =
        seed * 0x9e3779b97f4a7c15u + step * 0xbf58476d1ce4e5b9u + (input + 1) * 0x94d049bb133111ebu + element * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Reals in -1 .. 1; whole numbers 0 and 1, since they are mostly indices and flags. */
static int feed_input(const check_model *m, aval_session *s, size_t i, uint64_t step)
{
    aval_value *input = aval_model_input(m->file, i);
    int type = aval_value_type(input), rank = aval_value_rank(input), status = AVAL_E_MEMORY;
    int64_t dims[AVAL_MAX_RANK] = { 0 };
    size_t count = 1, bytes = aval_type_bytes(type);
    for (int axis = 0; axis < rank; axis++) {
        dims[axis] = aval_value_dims(input)[axis];
        if (dims[axis] < 0) dims[axis] = axis == 0 ? (int64_t)m->train.batch : m->length;
        count *= (size_t)dims[axis];
    }
    bool real = (AVAL_FLOATS & AVAL_TYPE_SET(type)) != 0;
    double *numbers = malloc((count + 1) * sizeof *numbers);
    void *data = malloc(count * bytes + 1);
    for (size_t e = 0; numbers != NULL && e < count; e++) {
        uint64_t bits = random_bits(m->train.seed, step, i, e);
        numbers[e] = real ? (double)(bits >> 11) * 0x1p-52 - 1 : (double)(bits & 1);
    }
    if (numbers != NULL && data != NULL) status = aval_convert(data, type, numbers, AVAL_DOUBLE, count);
    if (status == AVAL_OK) status = aval_session_feed(s, input, data, count * bytes, dims);
    free(numbers);
    free(data);
    return status;
}

static int feed_file(void *user, aval_session *s, uint64_t step)
{
    const check_model *m = user;
    int status = AVAL_OK;
    for (size_t i = 0; status == AVAL_OK && i < aval_model_input_count(m->file); i++) status = feed_input(m, s, i, step);
    return status;
}

/* d(y^2)/d(every weight), for one output.  Squares, since the sum of a softmax has no gradient. */
static void add_gradients(check_model *m, aval_value *output)
{
    aval_value *squares = aval_apply(m->graph, "Mul", NULL, output, output);
    aval_value_set_name(squares, "squares");
    for (size_t i = 0; i < aval_store_count(m->store); i++) {
        aval_value *weight = aval_graph_find(m->graph, aval_store_name(m->store, i));
        if (weight != NULL && (AVAL_FLOATS & AVAL_TYPE_SET(aval_value_type(weight))) != 0)
            m->wanted[m->n_wanted++] = aval_graph_gradient(m->graph, squares, weight, NULL);
    }
}

static int open_file(aval_context *ctx, check_model *m, bool forward_only)
{
    int status = aval_model_load(ctx, m->train.net, &m->file);
    if (status < 0) return status;
    m->graph = aval_model_graph(m->file);
    m->store = aval_model_store(m->file);
    size_t n_outputs = aval_model_output_count(m->file);
    m->wanted = calloc((n_outputs + 1) * (aval_store_count(m->store) + 1), sizeof *m->wanted);
    if (m->wanted == NULL) return AVAL_E_MEMORY;
    m->library.feed = feed_file;
    bool gradients = false;
    for (size_t i = 0; i < n_outputs; i++) {
        aval_value *output = aval_model_output(m->file, i);
        m->wanted[m->n_wanted++] = output;
        int type = aval_value_type(output); /* below free axes it is not known yet: then most likely a real one */
        bool real = type == AVAL_NONE || (AVAL_FLOATS & AVAL_TYPE_SET(type)) != 0;
        if (!real || forward_only || gradients) continue;
        gradients = true; /* those of the first are enough */
        add_gradients(m, output);
    }
    return aval_graph_status(m->graph);
}

/* ---- Both ------------------------------------------------------------------------------------------------------------------- */

int check_model_open(aval_context *ctx, json_t *spec, check_model *m)
{
    json_int_t batch = 0, length = FREE_LENGTH;
    int forward_only = 0;
    const char *net = NULL, *seed = "0", *layers = NULL, *only = NULL;
    *m = (check_model){ .data = NULL };
    if (json_unpack(spec, "{s:s, s:I, s:s, s:b, s?s, s?s, s?I}", "net", &net, "batch", &batch, "seed", &seed, "forward", &forward_only,
                    "layers", &layers, "only", &only, "length", &length) != 0)
        return AVAL_E_FORMAT;
    m->length = length;
    m->train = (aval_train_options){ .size = sizeof m->train,
                                     .net = net,
                                     .layers = layers,
                                     .batch = (uint64_t)batch,
                                     .seed = strtoull(seed, NULL, 10),
                                     .given = AVAL_GIVEN_SEED };
    int status = cli_is_onnx(net) ? open_file(ctx, m, forward_only != 0) : open_net(ctx, m);
    const char *slash = strrchr(net, '/');
    m->library.size = sizeof m->library;
    m->library.name = slash == NULL ? net : slash + 1;
    m->library.graph = m->graph;
    m->library.store = m->store;
    m->library.wanted = m->wanted;
    m->library.n_wanted = m->n_wanted;
    m->library.user = m;
    m->library.only = only;
    return status;
}

int64_t check_model_free(const check_model *m, bool batch)
{
    for (size_t i = 0; m->file != NULL && i < aval_model_input_count(m->file); i++) {
        const aval_value *input = aval_model_input(m->file, i);
        for (int axis = 0; axis < aval_value_rank(input); axis++) {
            if (aval_value_dims(input)[axis] < 0 && (axis == 0) == batch) return batch ? (int64_t)m->train.batch : m->length;
        }
    }
    return m->file == NULL && batch ? (int64_t)m->train.batch : 1;
}

size_t check_model_layers(const check_model *m, int64_t *widths, size_t most)
{
    size_t n = 0;
    char name[64];
    for (; m->file == NULL && n < most; n++) {
        int type;
        size_t rank;
        int64_t dims[AVAL_MAX_RANK];
        snprintf(name, sizeof name, "dense%zu.bias", n + 1);
        if (aval_store_shape(m->store, name, &type, &rank, dims) < 0 || rank != 1) break;
        widths[n] = dims[0];
    }
    return n;
}

/* The type is the store's: NumPy has no name for some. */
static int set_state(aval_store *store, const char *name, const aval_array *content)
{
    int type, status = aval_store_shape(store, name, &type, NULL, NULL);
    size_t count = 1;
    if (status < 0) return status;
    for (size_t axis = 0; axis < content->rank; axis++) count *= (size_t)content->dims[axis];
    void *data = malloc(count * aval_type_bytes(type) + 1);
    if (data == NULL) return AVAL_E_MEMORY;
    status = aval_convert(data, type, content->data, content->type, count);
    if (status == AVAL_OK) status = aval_store_set(store, name, type, content->rank, content->dims, data);
    free(data);
    return status;
}

int check_model_set_states(const check_model *m, const char *folder, const json_t *names)
{
    int status = AVAL_OK;
    for (size_t i = 0; i < json_array_size(names) && status == AVAL_OK; i++) {
        char file[4096];
        aval_array content = { .size = sizeof content };
        const char *name = json_string_value(json_array_get(names, i));
        snprintf(file, sizeof file, "%s/state_%zu.npy", folder, i);
        status = name == NULL ? AVAL_E_FORMAT : aval_array_read(file, &content);
        if (status == AVAL_OK) status = set_state(m->store, name, &content);
        aval_free(content.data);
    }
    return status;
}

void check_model_close(check_model *m)
{
    if (m->file != NULL) { /* which holds graph and store */
        free(m->wanted);
        aval_model_release(m->file);
    } else {
        aval_free(m->wanted);
        aval_graph_release(m->graph);
        aval_store_release(m->store);
    }
    aval_dataset_release(m->data);
    *m = (check_model){ .data = NULL };
}
