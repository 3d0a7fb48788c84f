/* Training: data sets, the built-in nets, the loop, checkpoints.  Stands on the public API alone; names operators in tables. */
#ifndef AVAL_TRAIN_H
#define AVAL_TRAIN_H

#include "base/base.h"

struct aval_dataset {
    size_t count, height, width, classes;
    uint8_t *images; /* [count, height, width] */
    uint8_t *labels; /* [count] */
    uint8_t largest; /* of all pixels: what they are divided by, 16 for the digits, 255 for MNIST */
};

/* One built-in net: adds its layers to a graph, from the image values [batch, pixels] to the raw outputs [batch, classes]. */
typedef struct aval__net {
    const char *name;
    const char *doc;
    int (*build)(aval_graph *g, aval_store *store, const aval_train_options *options, const aval_dataset *data, bool training,
                 aval_value *images, aval_value **scores);
} aval__net;
extern const aval__net aval__nets[]; /* ends with a NULL name */

/* A random order of 0 .. count - 1, from the seed and the epoch: the same on every machine. */
void aval__shuffle(uint32_t *order, size_t count, uint64_t seed, uint64_t epoch);

#endif
