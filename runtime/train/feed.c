/* Feeding a network with examples of a data set. */
#include "train/train.h"

#include <string.h>

static int make_room(aval__runner *r, size_t batch, size_t classes)
{
    r->images = aval__alloc_array(batch, aval__dataset_elements(r->data) * aval_type_bytes(r->data->type));
    r->targets = aval__alloc_array(batch, r->recipe->loss->one_hot ? classes * sizeof(float) : sizeof(int64_t));
    return r->images == NULL || r->targets == NULL ? AVAL_E_MEMORY : AVAL_OK;
}

int aval__runner_create(aval__runner *r, aval_context *ctx, aval_store *store, const aval__recipe *recipe, const aval_dataset *shape,
                        const aval_dataset *data, bool training, size_t batch)
{
    r->data = data;
    r->recipe = recipe;
    AVAL__TRY(aval__network_create(ctx, store, recipe, shape, training, -1, &r->network));
    AVAL__TRY(make_room(r, batch, r->network.classes));
    return aval_session_create(ctx, r->network.g, store, &r->session);
}

void aval__runner_release(aval__runner *r)
{
    aval_session_release(r->session);
    aval__network_release(&r->network);
    aval__free(r->images);
    aval__free(r->targets);
}

int aval__runner_feed(aval__runner *r, const uint32_t *order, size_t first, size_t n)
{
    const aval_dataset *data = r->data;
    size_t bytes = aval__dataset_elements(data) * aval_type_bytes(data->type), classes = r->network.classes;
    bool one_hot = r->recipe->loss->one_hot;
    size_t target_bytes = n * (one_hot ? classes * sizeof(float) : sizeof(int64_t));
    if (one_hot) memset(r->targets, 0, target_bytes);
    for (size_t i = 0; i < n; i++) {
        size_t example = order != NULL ? order[first + i] : first + i;
        memcpy(r->images + i * bytes, (const uint8_t *)data->images + example * bytes, bytes);
        if (one_hot) ((float *)r->targets)[i * classes + data->labels[example]] = 1;
        else ((int64_t *)r->targets)[i] = data->labels[example];
    }
    const int64_t targets[2] = { (int64_t)n, (int64_t)classes };
    r->network.dims[0] = (int64_t)n;
    AVAL__TRY(aval_session_feed(r->session, r->network.images, r->images, n * bytes, r->network.dims));
    AVAL__TRY(aval_session_feed(r->session, r->network.targets, r->targets, target_bytes, targets));
    if (r->network.examples != NULL && r->fed_examples != n) {
        float examples = (float)n;
        AVAL__TRY(aval_session_feed(r->session, r->network.examples, &examples, sizeof examples, NULL));
        r->fed_examples = n;
    }
    return AVAL_OK;
}

/* The examples of a step: those that a training of the same options takes in its first epoch. */
static int feed_step(aval__runner *r, uint64_t step)
{
    const aval_train_options *o = &r->recipe->options;
    size_t count = r->data->count, batch = o->batch < count ? (size_t)o->batch : count, steps = count / batch;
    uint32_t *order = aval__alloc_array(count, sizeof *order);
    if (order == NULL) return AVAL_E_MEMORY;
    aval__shuffle(order, count, o->seed, 0);
    int status = make_room(r, batch, r->network.classes);
    if (status == AVAL_OK) status = aval__runner_feed(r, order, (size_t)(step % steps) * batch, batch);
    aval__free(order);
    return status;
}

AVAL_API int aval_train_feed(aval_session *s, const aval_graph *g, const aval_train_options *options, const aval_dataset *data,
                             uint64_t step)
{
    AVAL__NEED(s, "a session");
    AVAL__NEED(g, "a graph");
    AVAL__NEED(options, "a struct of options");
    AVAL__NEED(data, "a data set");
    aval__recipe recipe;
    if (data->count == 0) return aval__fail(AVAL_E_ARGUMENT, "the data set has no examples: at least one was expected");
    AVAL__TRY(aval__recipe_make(options, NULL, &recipe));
    aval__runner r = { .session = s, .data = data, .recipe = &recipe };
    r.network.images = aval_graph_find(g, AVAL__INPUT_IMAGES);
    r.network.targets = aval_graph_find(g, recipe.loss->one_hot ? AVAL__INPUT_TARGETS : AVAL__INPUT_LABELS);
    r.network.examples = aval_graph_find(g, AVAL__INPUT_EXAMPLES);
    r.network.classes = data->classes;
    r.network.rank = aval_value_rank(r.network.images) > 0 ? (size_t)aval_value_rank(r.network.images) : 0;
    if (r.network.rank > 0) memcpy(r.network.dims, aval_value_dims(r.network.images), r.network.rank * sizeof *r.network.dims);
    int status = r.network.images == NULL || r.network.targets == NULL
                     ? aval__fail(AVAL_E_GRAPH, "this graph was not made by aval_train_graph with these options")
                     : feed_step(&r, step);
    aval__free(r.images);
    aval__free(r.targets);
    aval__recipe_release(&recipe);
    return status;
}
