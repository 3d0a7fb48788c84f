/* The models that `aval check` knows by name, made alike in the parent and in each child. */
#include "check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const nets[] = { "linear", "mlp", "lenet" };

bool check_model_named(const char *name)
{
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        if (strcmp(name, nets[i]) == 0) return true;
    }
    return false;
}

static int feed(void *user, aval_session *s, uint64_t step)
{
    const check_model *m = user;
    return aval_train_feed(s, m->graph, &m->train, m->data, step);
}

int check_model_open(aval_context *ctx, json_t *spec, check_model *m)
{
    json_int_t batch = 0;
    const char *net = NULL, *seed = "0", *layers = NULL;
    *m = (check_model){ .data = NULL };
    if (json_unpack(spec, "{s:s, s:I, s:s, s?s}", "net", &net, "batch", &batch, "seed", &seed, "layers", &layers) != 0)
        return AVAL_E_FORMAT;
    m->train = (aval_train_options){ .size = sizeof m->train,
                                     .net = net,
                                     .layers = layers,
                                     .batch = (uint64_t)batch,
                                     .seed = strtoull(seed, NULL, 10),
                                     .given = AVAL_GIVEN_SEED };
    size_t n_wanted = 0;
    int status = aval_dataset_open_digits(1, &m->data);
    if (status == AVAL_OK) status = aval_train_graph(ctx, &m->train, m->data, m->train.batch, &m->graph, &m->store, &m->wanted, &n_wanted);
    m->library = (aval_check_model){ .size = sizeof m->library,
                                     .name = net,
                                     .graph = m->graph,
                                     .store = m->store,
                                     .wanted = m->wanted,
                                     .n_wanted = n_wanted,
                                     .feed = feed,
                                     .user = m };
    return status;
}

void check_model_close(check_model *m)
{
    aval_free(m->wanted);
    aval_graph_release(m->graph);
    aval_store_release(m->store);
    aval_dataset_release(m->data);
    *m = (check_model){ .data = NULL };
}
