/* A model from an ONNX file as a network that is trained: its input becomes the data's pictures, its first output the scores, and its weights
 * parameters, but those that are frozen.  The graph for training and the one for evaluation each read the file; the weights of both are entries of
 * the training's store, which a checkpoint may have filled before. */
#include "train/train.h"

#include <fnmatch.h>
#include <string.h>

/* ---- Weights --------------------------------------------------------------------------------------------------------------------------- */

/* Copies what the training's store has not got yet, and empties the model's: each weight is held once. */
static int take_weight(aval__builder *b, aval_store *from, const char *name)
{
    int type, there_type;
    size_t rank, there_rank, count = 1;
    int64_t dims[AVAL_MAX_RANK], there[AVAL_MAX_RANK];
    AVAL__TRY(aval_store_shape(from, name, &type, &rank, dims));
    if (aval_store_shape(b->store, name, &there_type, &there_rank, there) == AVAL_OK) {
        if (there_type == type && there_rank == rank && memcmp(there, dims, rank * sizeof *dims) == 0) return AVAL_OK;
        return aval__fail(AVAL_E_SHAPE, "the checkpoint's '%s' has another shape or element type than the model's", name);
    }
    for (size_t i = 0; i < rank; i++) count *= (size_t)dims[i];
    size_t bytes = count * aval_type_bytes(type);
    void *data = aval__alloc(bytes);
    if (data == NULL) return AVAL_E_MEMORY;
    int status = aval_store_get(from, name, data, bytes);
    if (status == AVAL_OK) status = aval_store_set(b->store, name, type, rank, dims, data);
    aval__free(data);
    return status;
}

static int take_weights(aval__builder *b, aval_store *from)
{
    while (aval_store_count(from) > 0) {
        char *name = aval__copy_text(aval_store_name(from, aval_store_count(from) - 1));
        if (name == NULL) return AVAL_E_MEMORY;
        int status = take_weight(b, from, name);
        if (status == AVAL_OK) status = aval_store_remove(from, name);
        aval__free(name);
        AVAL__TRY(status);
    }
    return AVAL_OK;
}

int aval__import_open(aval__builder *b, aval_model **model)
{
    const aval_train_options *o = &b->recipe->options;
    AVAL__TRY(aval_model_load(b->ctx, o->model, model));
    aval_store *store = aval_model_store(*model);
    size_t own = aval_store_count(store);
    b->g = aval_model_graph(*model);
    if (o->cut != NULL) AVAL__TRY(aval_model_cut(*model, o->cut));
    if (o->head != NULL) AVAL__TRY(aval_model_add_head(*model, o->head, o->activation, o->seed));
    for (size_t i = own; i < aval_store_count(store); i++) {
        const char *name = aval__arena_text(&b->arena, aval_store_name(store, i));
        if (name == NULL) return AVAL_E_MEMORY;
        AVAL__TRY(aval__vec_push(&b->fresh, name));
    }
    return take_weights(b, store);
}

/* ---- What is trained ------------------------------------------------------------------------------------------------------------------- */

/* Inputs that are kept statistics, never trained. */
static const struct {
    const char *op;
    size_t input;
} statistics[] = { { "BatchNormalization", 3 }, { "BatchNormalization", 4 } };

static bool is_statistic(const aval_graph *g, const aval_value *state)
{
    for (size_t n = 0, count = aval_graph_node_count(g); n < count; n++) {
        const aval_node *node = aval_graph_node_at(g, n);
        const aval_op *op = aval_node_op(node);
        for (size_t i = 0; op != NULL && i < sizeof statistics / sizeof statistics[0]; i++)
            if (aval_node_input(node, statistics[i].input) == state && strcmp(op->name, statistics[i].op) == 0) return true;
    }
    return false;
}

/* "conv*,fc.bias" */
typedef struct freezing {
    const char *patterns[64];
    bool used[64];
    size_t n;
} freezing;

static int split_patterns(const char *text, aval__arena *arena, freezing *f)
{
    const size_t most = sizeof f->patterns / sizeof f->patterns[0];
    char *rest = text != NULL ? aval__arena_text(arena, text) : NULL, *save = NULL;
    if (rest == NULL) return text != NULL ? AVAL_E_MEMORY : AVAL_OK;
    for (const char *one = strtok_r(rest, ",", &save); one != NULL; one = strtok_r(NULL, ",", &save)) {
        if (f->n == most) return aval__fail(AVAL_E_ARGUMENT, "freeze: at most %zu names were expected; * stands for many", most);
        f->patterns[f->n++] = one;
    }
    return AVAL_OK;
}

static bool is_frozen(freezing *f, const char *name)
{
    bool frozen = false;
    for (size_t i = 0; i < f->n; i++)
        if (fnmatch(f->patterns[i], name, 0) == 0) frozen = f->used[i] = true;
    return frozen;
}

static bool is_fresh(const aval__builder *b, const char *name)
{
    for (size_t i = 0; i < b->fresh.count; i++)
        if (strcmp(b->fresh.at[i], name) == 0) return true;
    return false;
}

/* A name that fits nothing is a mistake: what was to stay would change. */
static int check_patterns(const freezing *f, aval_value *const *states, size_t n_states)
{
    const char *unused = NULL;
    for (size_t i = 0; i < f->n; i++)
        if (!f->used[i]) unused = f->patterns[i];
    if (unused == NULL) return AVAL_OK;
    aval__text names = { 0 };
    for (size_t i = 0; i < n_states && i < 8; i++) aval__text_add(&names, "%s'%s'", i > 0 ? ", " : "", aval_value_name(states[i]));
    int code = aval__fail(AVAL_E_UNKNOWN, "freeze '%s': the model has no such weight; there are %s%s", unused,
                          names.failed || n_states == 0 ? "none" : names.at, n_states > 8 ? " ..." : "");
    aval__text_release(&names);
    return code;
}

/* The weights that the scores depend on.  A number without axes is taken for a constant, as exporters write them. */
static int add_parameters(aval__builder *b, aval_value *scores)
{
    aval_value **states = NULL;
    size_t n_states = 0;
    freezing f = { .n = 0 };
    int status = AVAL_OK;
    AVAL__TRY_DONE(split_patterns(b->recipe->options.freeze, &b->arena, &f));
    AVAL__TRY_DONE(aval_graph_states(b->g, &scores, 1, &states, &n_states));
    for (size_t i = 0; i < n_states; i++) {
        const char *name = aval_value_name(states[i]);
        bool frozen = !is_fresh(b, name) && is_frozen(&f, name);
        if (frozen || aval_value_type(states[i]) != AVAL_FLOAT || aval_value_rank(states[i]) < 1 || is_statistic(b->g, states[i])) continue;
        aval__parameter parameter = { .value = states[i], .name = aval__copy_text(name), .decays = aval_value_rank(states[i]) > 1 };
        if (parameter.name == NULL) AVAL__TRY_DONE(AVAL_E_MEMORY);
        status = aval__vec_push(&b->parameters, parameter);
        if (status < 0) aval__free(parameter.name);
        if (status < 0) goto done;
    }
    AVAL__TRY_DONE(check_patterns(&f, states, n_states));
    if (b->parameters.count == 0)
        status = aval__fail(AVAL_E_ARGUMENT,
                            "nothing is left to train: the model has %zu weights, and all that are float tensors are frozen", n_states);
done:
    aval_free(states);
    return status;
}

/* ---- What goes in ---------------------------------------------------------------------------------------------------------------------- */

static bool fits(int64_t declared, size_t size)
{
    return declared < 0 || declared == (int64_t)size;
}

/* How the model's input holds pictures. */
static const struct form {
    size_t rank;
    int axes[3]; /* what stands on its axes behind the batch: 0 channels, 1 height, 2 width */
    aval__layout layout;
} forms[] = {
    { 4, { 0, 1, 2 }, AVAL__PLANAR }, { 4, { 1, 2, 0 }, AVAL__INTERLEAVED }, { 3, { 1, 2 }, AVAL__PLANAR }, /* of one channel */
};

/* *repeated: a gray picture goes into a model for colours. */
static bool fit_form(const struct form *form, const aval_dataset *data, const int64_t *declared, size_t rank, bool *repeated)
{
    const size_t sizes[] = { data->channels, data->height, data->width };
    *repeated = false;
    if (form->rank != rank || (rank == 3 && data->channels != 1)) return false;
    for (size_t i = 1; i < rank; i++) {
        int axis = form->axes[i - 1];
        if (fits(declared[i], sizes[axis])) continue;
        if (axis != 0 || data->channels != 1 || declared[i] != 3) return false;
        *repeated = true;
    }
    return true;
}

int aval__import_layout(const aval_dataset *data, const aval_value *input, aval__layout *layout, bool *repeated)
{
    const int64_t *dims = aval_value_dims(input);
    int rank = aval_value_rank(input), type = aval_value_type(input);
    *repeated = false;
    for (size_t i = 0; type == AVAL_FLOAT && i < sizeof forms / sizeof forms[0]; i++) {
        *layout = forms[i].layout;
        if (fit_form(&forms[i], data, dims, (size_t)rank, repeated)) return AVAL_OK;
    }
    int64_t elements = 1;
    for (int i = 1; i < rank; i++) elements *= dims[i];
    *layout = AVAL__FLAT;
    if (type == AVAL_FLOAT && rank >= 2 && (elements == (int64_t)aval__dataset_elements(data) || (rank == 2 && elements < 0)))
        return AVAL_OK;
    aval__text shape = { 0 };
    for (int i = 0; i < rank; i++) aval__text_add(&shape, i > 0 ? ", %lld" : "%lld", (long long)dims[i]);
    int code = aval__fail(AVAL_E_SHAPE, "the model's input '%s' is %s [%s], but an example of the data is float [%zu, %zu, %zu]",
                          aval_value_name(input), aval_type_name(type), shape.failed || rank == 0 ? "" : shape.at, data->channels,
                          data->height, data->width);
    aval__text_release(&shape);
    return code;
}

/* The pictures as they are in memory, [batch, channels, height, width], scaled, then in the layout of the model's input. */
static int build_input(aval__builder *b, int64_t batch, aval_value *input, aval__network *out)
{
    const aval_dataset *data = b->data;
    aval__layout layout;
    bool repeated;
    aval_value *x;
    AVAL__TRY(aval__import_layout(data, input, &layout, &repeated));
    out->rank = 4;
    const int64_t dims[4] = { batch, (int64_t)data->channels, (int64_t)data->height, (int64_t)data->width };
    memcpy(out->dims, dims, sizeof dims);
    out->images = aval_graph_input(b->g, AVAL__INPUT_IMAGES, data->type, 4, out->dims);
    AVAL__TRY(aval__scaled_images(b, out->images, true, &x));
    if (repeated)
        x = aval_apply(b->g, "Expand", NULL, x, aval_graph_constant(b->g, AVAL_INT64, AVAL_SHAPE(4), (const int64_t[]){ 1, 3, 1, 1 }));
    if (layout == AVAL__INTERLEAVED) x = aval_apply(b->g, "Transpose", "perm=[0,2,3,1]", x);
    int rank = aval_value_rank(input);
    if (layout == AVAL__FLAT || rank != 4) {
        int64_t shape[AVAL_MAX_RANK] = { -1 };
        for (int i = 1; i < rank; i++) shape[i] = aval_value_dims(input)[i];
        if (rank == 2) shape[1] = (int64_t)aval__dataset_elements(data);
        if (rank == 3 && layout == AVAL__PLANAR) shape[1] = (int64_t)data->height, shape[2] = (int64_t)data->width;
        x = aval_apply(b->g, "Reshape", NULL, x, aval_graph_constant(b->g, AVAL_INT64, AVAL_SHAPE(rank), shape));
    }
    return x != NULL ? aval_graph_replace(b->g, input, x) : aval_graph_status(b->g);
}

/* ---- What comes out -------------------------------------------------------------------------------------------------------------------- */

/* The output as scores [batch, classes].  A softmax at the end is a part of the loss, whose own would be a second one. */
static int build_scores(aval__builder *b, const aval_model *model, aval__network *out)
{
    int type;
    size_t rank;
    int64_t dims[AVAL_MAX_RANK];
    bool is_list = true;
    AVAL__TRY(aval_model_output_shape(model, 0, &type, &rank, dims));
    for (size_t i = 2; i < rank; i++) is_list = is_list && dims[i] == 1; /* SqueezeNet gives [batch, classes, 1, 1] */
    const char *name = aval_model_output_name(model, 0);
    if (type != AVAL_FLOAT || rank < 2 || !is_list || dims[1] < 1)
        return aval__fail(AVAL_E_SHAPE,
                          "the output '%s' is %s with %zu axes, %lld on the second: scores, float [batch, classes], were expected; "
                          "cut and head make them",
                          name, aval_type_name(type), rank, rank < 2 ? 0ll : (long long)dims[1]);
    if ((int64_t)b->data->classes > dims[1])
        return aval__fail(AVAL_E_SHAPE, "the output '%s' has scores of %lld classes, but labels go to %zu: a head of %zu was expected",
                          name, (long long)dims[1], b->data->classes - 1, b->data->classes);
    out->classes = (size_t)dims[1];
    out->scores = aval_model_output(model, 0);
    const aval_op *last = aval_node_op(aval_value_producer(out->scores));
    if (last != NULL && strcmp(last->name, "Softmax") == 0 && !b->recipe->loss->one_hot)
        out->scores = aval_node_input(aval_value_producer(out->scores), 0);
    if (rank > 2) out->scores = aval_apply(b->g, "Flatten", NULL, out->scores);
    return aval_graph_status(b->g);
}

int aval__import_build(aval__builder *b, int64_t batch, aval__network *out)
{
    if (aval_model_input_count(out->model) != 1)
        return aval__fail(AVAL_E_UNSUPPORTED, "the model has %zu inputs: one, for the data, was expected",
                          aval_model_input_count(out->model));
    AVAL__TRY(build_scores(b, out->model, out));
    AVAL__TRY(build_input(b, batch, aval_model_input(out->model, 0), out));
    if (b->training) AVAL__TRY(add_parameters(b, out->scores));
    return aval__import_mode(b, &out->scores, 1);
}
