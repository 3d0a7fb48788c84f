/* The graph of a training step, and the one for evaluation over the same states: input scaling, net, loss, gradients, updates.
 *
 * The loss of a step is not read: it is summed, weighted by the examples of the batch, in a state on the device, so that no step waits
 * for the one before.  Whoever wants the mean so far reads that state when he likes. */
#include "train/train.h"

/* Images come as bytes, a quarter of what floats would take on the way to the device, and are scaled to 0..1 there. */
static aval_value *scaled_images(aval__builder *b, int64_t batch, aval_value **images)
{
    const aval_dataset *data = b->data;
    int64_t height = (int64_t)data->height, width = (int64_t)data->width;
    if (b->recipe->net->planar) *images = aval_graph_input(b->g, AVAL__INPUT_IMAGES, AVAL_UINT8, AVAL_SHAPE(batch, 1, height, width));
    else *images = aval_graph_input(b->g, AVAL__INPUT_IMAGES, AVAL_UINT8, AVAL_SHAPE(batch, height * width));
    aval_value *floats = aval_apply(b->g, "Cast", "to=1", *images);
    return aval_apply(b->g, "Mul", NULL, floats, aval_graph_number(b->g, AVAL_FLOAT, 1.0 / data->largest));
}

static int add_loss(aval__builder *b, int64_t batch, aval__network *n)
{
    const aval__loss *loss = b->recipe->loss;
    if (loss->one_hot) n->targets = aval_graph_input(b->g, AVAL__INPUT_TARGETS, AVAL_FLOAT, AVAL_SHAPE(batch, (int64_t)b->data->classes));
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
    out->g = b.g = aval_graph_create(ctx);
    if (b.g == NULL) {
        status = AVAL_E_MEMORY;
        goto done;
    }
    AVAL__TRY_DONE(recipe->net->build(&b, scaled_images(&b, batch, &out->images), &out->scores));
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
    if (status < 0) aval__network_release(out);
    return status;
}

void aval__network_release(aval__network *network)
{
    aval_graph_release(network->g);
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
    int status = aval_store_create(ctx, store);
    if (status < 0) goto done;
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
