/* The graph of a training step, and the one for evaluation over the same states: input scaling, net, loss, gradients, updates.
 *
 * The loss of a step is not read: it is summed, weighted by the examples of the batch, in a state on the device, so that no step waits
 * for the one before.  Whoever wants the mean so far reads that state when he likes. */
#include "train/train.h"

#include <string.h>

/* Images come as bytes, a quarter of what floats would take on the way to the device, and are scaled there. */
int aval__scaled_images(aval__builder *b, aval_value *images, bool planar, aval_value **scaled)
{
    const aval_train_options *o = &b->recipe->options;
    double mean[AVAL__MOST_CHANNELS], deviation[AVAL__MOST_CHANNELS];
    size_t n_mean = 1, n_deviation = 1, channels = planar ? b->data->channels : 1;
    AVAL__TRY(aval__channel_numbers("mean", o->mean, channels, 0, mean, &n_mean));
    AVAL__TRY(aval__channel_numbers("std", o->std, channels, 1, deviation, &n_deviation));
    aval_value *x = b->data->type == AVAL_FLOAT ? images : aval_apply(b->g, "Cast", "to=1", images);
    float factor[AVAL__MOST_CHANNELS], shift[AVAL__MOST_CHANNELS];
    size_t n = n_mean > n_deviation ? n_mean : n_deviation;
    bool shifted = false;
    for (size_t c = 0; c < n; c++) { /* (x / largest - mean) / std */
        double m = mean[n_mean > 1 ? c : 0], d = deviation[n_deviation > 1 ? c : 0];
        if (!(d > 0)) return aval__fail(AVAL_E_ARGUMENT, "std %s: numbers above 0 were expected", o->std);
        factor[c] = (float)(1 / (b->data->largest * d));
        shift[c] = (float)(-m / d);
        shifted = shifted || m != 0;
    }
    const int64_t dims[3] = { (int64_t)n, 1, 1 };
    size_t rank = n > 1 ? 3 : 0;
    if (n > 1 || factor[0] != 1) x = aval_apply(b->g, "Mul", NULL, x, aval_graph_constant(b->g, AVAL_FLOAT, rank, dims, factor));
    if (shifted) x = aval_apply(b->g, "Add", NULL, x, aval_graph_constant(b->g, AVAL_FLOAT, rank, dims, shift));
    *scaled = x;
    return AVAL_OK;
}

static int build_net(aval__builder *b, int64_t batch, aval__network *out)
{
    const aval_dataset *data = b->data;
    const aval__net *net = b->recipe->net;
    aval_value *scaled;
    if (net->planar) {
        const int64_t dims[4] = { batch, (int64_t)data->channels, (int64_t)data->height, (int64_t)data->width };
        memcpy(out->dims, dims, sizeof dims);
        out->rank = 4;
    } else {
        const int64_t dims[2] = { batch, (int64_t)aval__dataset_elements(data) };
        memcpy(out->dims, dims, sizeof dims);
        out->rank = 2;
    }
    out->classes = data->classes;
    out->images = aval_graph_input(b->g, AVAL__INPUT_IMAGES, data->type, out->rank, out->dims);
    AVAL__TRY(aval__scaled_images(b, out->images, net->planar, &scaled));
    return net->build(b, scaled, &out->scores);
}

static int add_loss(aval__builder *b, int64_t batch, aval__network *n)
{
    const aval__loss *loss = b->recipe->loss;
    if (loss->one_hot) n->targets = aval_graph_input(b->g, AVAL__INPUT_TARGETS, AVAL_FLOAT, AVAL_SHAPE(batch, (int64_t)n->classes));
    else n->targets = aval_graph_input(b->g, AVAL__INPUT_LABELS, AVAL_INT64, AVAL_SHAPE(batch));
    n->loss = aval_apply(b->g, loss->op, loss->attrs, n->scores, n->targets);
    aval_value_set_name(n->scores, "scores");
    aval_value_set_name(n->loss, "loss");
    return AVAL_OK;
}

static int add_updates(aval__builder *b, aval__network *n)
{
    for (size_t i = 0; i < b->parameters.count; i++) {
        const aval__parameter *p = &b->parameters.at[i];
        uint64_t numbers = 1;
        for (int axis = 0; axis < aval_value_rank(p->value); axis++) numbers *= (uint64_t)aval_value_dims(p->value)[axis];
        n->parameters += numbers;
        AVAL__TRY(b->recipe->optimizer->update(b, p, aval_graph_gradient(b->g, n->loss, p->value, NULL)));
    }
    aval_value *sum;
    AVAL__TRY(aval__builder_state(b, AVAL__STATE_LOSS, AVAL_FLOAT, AVAL_SCALAR, &(aval__initial){ .scale = 0 }, &sum));
    n->examples = aval_graph_input(b->g, AVAL__INPUT_EXAMPLES, AVAL_FLOAT, AVAL_SCALAR);
    aval_value *of_batch = aval_apply(b->g, "Mul", NULL, n->loss, n->examples);
    return aval__vec_push(&b->updates, aval_apply(b->g, "aval::Accumulate", NULL, sum, of_batch));
}

int aval__network_create(aval_context *ctx, aval_store *store, const aval__recipe *recipe, const aval_dataset *data, bool training,
                         int64_t batch, aval__network *out)
{
    aval__builder b = { .ctx = ctx, .store = store, .recipe = recipe, .data = data, .training = training };
    int status = AVAL_OK;
    *out = (aval__network){ 0 };
    if (recipe->net->build == NULL) AVAL__TRY_DONE(aval__import_open(&b, &out->model));
    else b.g = aval_graph_create(ctx);
    if (b.g == NULL) {
        status = AVAL_E_MEMORY;
        goto done;
    }
    out->g = b.g;
    AVAL__TRY_DONE(recipe->net->build == NULL ? aval__import_build(&b, batch, out) : build_net(&b, batch, out));
    AVAL__TRY_DONE(add_loss(&b, batch, out));
    if (training) {
        AVAL__TRY_DONE(add_updates(&b, out));
    } else {
        AVAL__TRY_DONE(aval__vec_push(&b.updates, out->scores));
        AVAL__TRY_DONE(aval__vec_push(&b.updates, out->loss));
    }
    status = aval_graph_status(b.g);
    out->wanted = b.updates.at;
    out->n_wanted = b.updates.count;
    b.updates.at = NULL;
done:
    for (size_t i = 0; i < b.parameters.count; i++) aval__free(b.parameters.at[i].name);
    aval__vec_release(&b.parameters);
    aval__vec_release(&b.updates);
    aval__vec_release(&b.fresh);
    aval__arena_release(&b.arena);
    if (status < 0) aval__network_release(out);
    return status;
}

void aval__network_release(aval__network *network)
{
    if (network->model != NULL) aval_model_release(network->model);
    else aval_graph_release(network->g);
    aval__free(network->wanted);
    *network = (aval__network){ 0 };
}

AVAL_API int aval_train_graph(aval_context *ctx, const aval_train_options *options, const aval_dataset *data, uint64_t batch,
                              aval_graph **g, aval_store **store, aval_value ***wanted, size_t *n_wanted)
{
    AVAL__NEED(ctx, "a context");
    AVAL__NEED(options, "a struct of options");
    AVAL__NEED(data, "a data set");
    AVAL__NEED(g && store && wanted && n_wanted, "a place for each result");
    aval__recipe recipe;
    aval__network network = { 0 };
    *g = NULL;
    *store = NULL;
    if (data->count == 0) return aval__fail(AVAL_E_ARGUMENT, "the data set has no examples: at least one was expected");
    AVAL__TRY(aval__recipe_make(options, NULL, &recipe));
    int status = AVAL_OK;
    if (recipe.options.model != NULL)
        AVAL__TRY_DONE(aval__fail(AVAL_E_UNSUPPORTED, "the training graph of a model from a file: a built-in net was expected"));
    AVAL__TRY_DONE(aval_store_create(ctx, store));
    AVAL__TRY_DONE(aval__network_create(ctx, *store, &recipe, data, true, batch > 0 ? (int64_t)batch : -1, &network));
    *g = network.g;
    *wanted = network.wanted;
    *n_wanted = network.n_wanted;
done:
    aval__recipe_release(&recipe);
    if (status < 0) {
        aval_store_release(*store);
        *store = NULL;
    }
    return status;
}
