/* Training: data sets, the built-in nets, the loop, checkpoints.  Stands on the public API and base alone; what a person can choose (nets,
 * activations, losses, optimisers) are rows of tables here, and only these rows name operators. */
#ifndef AVAL_TRAIN_H
#define AVAL_TRAIN_H

#include "base/base.h"

#include <stdio.h>

/* ---- Data ------------------------------------------------------------------------------------------------------------------- */

struct aval_dataset {
    size_t count, channels, height, width, classes; /* classes: 1 + the largest label */
    int type; /* of the elements: AVAL_UINT8, or AVAL_FLOAT, which are taken as they are */
    void *images; /* [count, channels, height, width] */
    uint32_t *labels; /* [count] */
    double largest; /* what elements are divided by: the largest pixel, at least 1, of IDX files (16 for the digits, 255 for MNIST); 255 for
                       pictures, 1 for floats */
    char **names; /* of the classes, for aval__free each; NULL: they are numbers */
};
size_t aval__dataset_elements(const aval_dataset *data); /* of one example */
void aval__dataset_count_classes(aval_dataset *data); /* from the labels */

/* The content of an IDX file of uint8.  `rank` dims are expected: 3 for images, 1 for labels. */
typedef struct aval__idx {
    size_t rank;
    size_t dims[3];
    uint8_t *bytes; /* for aval__free */
} aval__idx;

/* Reads a file, or bytes that lie in memory (`name` is for messages); either may be gzipped. */
int aval__idx_open(const char *file, size_t rank, aval__idx *out);
int aval__idx_parse(const char *name, const uint8_t *raw, size_t n_raw, size_t rank, aval__idx *out);

/* A random order of 0 .. count - 1, from the seed and the epoch: the same on every machine. */
void aval__shuffle(uint32_t *order, size_t count, uint64_t seed, uint64_t epoch);

/* ---- What a person can choose -------------------------------------------------------------------------------------------------- */

typedef struct aval__builder aval__builder;

typedef struct aval__parameter {
    char *name;
    aval_value *value;
    bool decays; /* weight decay applies: weights yes, biases no */
} aval__parameter;

typedef struct aval__activation {
    const char *name, *op, *attrs;
    aval_initializer initializer; /* of the weights before it */
    double gain; /* factor of the initialisation */
} aval__activation;

typedef struct aval__loss {
    const char *name, *op, *attrs; /* inputs: scores [batch, classes] and targets; output: the mean over the batch */
    bool one_hot; /* targets are float [batch, classes], else int64 labels [batch] */
    double (*output_bias)(double frequency); /* the best constant score of a class that makes up this share of the targets */
} aval__loss;

typedef struct aval__optimizer {
    const char *name;
    /* Adds the update of one parameter and its moments, and pushes all their new contents to b->updates. */
    int (*update)(aval__builder *b, const aval__parameter *parameter, aval_value *gradient);
} aval__optimizer;

/* One built-in net: adds its layers, from the scaled images to the raw outputs [batch, classes]. */
typedef struct aval__net {
    const char *name, *doc;
    const char *layers; /* default widths of its hidden dense layers; NULL: it has none */
    double lr; /* default learning rate, with the default momentum */
    bool planar; /* images are [batch, 1, height, width], else [batch, pixels] */
    int (*build)(aval__builder *b, aval_value *images, aval_value **scores); /* NULL: aval__import_build instead */
} aval__net;

/* Each ends with a NULL name. */
extern const aval__activation aval__activations[];
extern const aval__loss aval__losses[];
extern const aval__optimizer aval__optimizers[];
extern const aval__net aval__nets[];
#define AVAL__NET_IMPORTED "onnx" /* the row that stands for a model from a file */

#define AVAL__MOST_LAYERS 64
#define AVAL__MOST_CHANNELS 16 /* of pictures */

/* The options of a training with defaults filled in, names looked up and numbers checked. */
typedef struct aval__recipe {
    aval_train_options options; /* texts are owned by the arena */
    const aval__net *net;
    const aval__activation *activation;
    const aval__loss *loss;
    const aval__optimizer *optimizer;
    int64_t layers[AVAL__MOST_LAYERS];
    size_t n_layers;
    aval__arena arena;
} aval__recipe;

/* Finds a row by its name in a table whose rows start with `const char *name`; NULL, with a message that lists the names there are. */
const void *aval__choose(const char *what, const char *name, const void *table, size_t row_bytes);

/* `saved` is the text of the recipe that is resumed, or NULL.  What the options leave open comes from there, then from the defaults;
   what shapes the net or the order of the examples must not differ from it. */
int aval__recipe_make(const aval_train_options *options, const char *saved, aval__recipe *out);
void aval__recipe_release(aval__recipe *recipe);
/* "net=mlp\nlayers=128\n...": what aval__recipe_make takes as `saved`. */
void aval__recipe_print(aval__text *text, const aval__recipe *recipe);

/* ---- Networks ------------------------------------------------------------------------------------------------------------------- */

/* A graph under construction. */
struct aval__builder {
    aval_context *ctx;
    aval_graph *g;
    aval_store *store;
    const aval__recipe *recipe;
    const aval_dataset *data;
    bool training; /* dropout and updates belong to training only */
    AVAL__VEC(aval__parameter) parameters;
    AVAL__VEC(aval_value *) updates; /* new contents of states that a step must compute */
    aval__arena arena;
    AVAL__VEC(const char *) fresh; /* a model's weights that are not the file's, but of its new head; in the arena */
};

/* Parameters are made in the store unless they are there already (a checkpoint, or the graph for evaluation), of the right shape. */
typedef struct aval__initial {
    int initializer; /* aval_initializer; 0: filled with `scale` */
    double scale;
    const void *values; /* not NULL: these, in the state's element type */
} aval__initial;
int aval__builder_state(aval__builder *b, const char *name, int type, size_t rank, const int64_t *dims, const aval__initial *initial,
                        aval_value **out);
int aval__builder_parameter(aval__builder *b, const char *name, size_t rank, const int64_t *dims, const aval__initial *initial, bool decays,
                            aval_value **out);

/* In training: dropout behind hidden layer number `layer`, if the recipe asks for it. */
int aval__builder_dropout(aval__builder *b, size_t layer, aval_value **x);
/* The best constant scores for the training targets: [classes], for aval__free. */
int aval__builder_output_bias(const aval__builder *b, float **out);

/* The graph of training or evaluation with the values that the loop feeds, runs and reads. */
typedef struct aval__network {
    aval_graph *g;
    aval_model *model; /* that the graph is of; NULL: a built-in net */
    aval_value *images; /* of the data's type, in the shape that the net wants */
    size_t rank; /* of the images */
    int64_t dims[AVAL_MAX_RANK]; /* of the images; the first is the batch */
    size_t classes; /* columns of the scores */
    aval_value *targets;
    aval_value *examples; /* training: float [], the number of examples of the batch */
    aval_value *scores, *loss;
    aval_value **wanted; /* training: all updates of a step; evaluation: scores and loss */
    size_t n_wanted;
    uint64_t parameters; /* how many numbers are trained */
} aval__network;

/* What a network's inputs are called. */
#define AVAL__INPUT_IMAGES "images"
#define AVAL__INPUT_LABELS "labels"
#define AVAL__INPUT_TARGETS "targets"
#define AVAL__INPUT_EXAMPLES "examples"

/* State that the loop owns: the sum of losses over the examples of the epoch, and the position (epochs done, steps done in the next). */
#define AVAL__STATE_LOSS "train.loss"
#define AVAL__STATE_RATE "train.lr"
#define AVAL__STATE_POSITION "train.position"
#define AVAL__STATE_RECIPE "train.recipe"

/* `batch` -1: free. */
int aval__network_create(aval_context *ctx, aval_store *store, const aval__recipe *recipe, const aval_dataset *data, bool training,
                         int64_t batch, aval__network *out);
void aval__network_release(aval__network *network);

/* A model from a file as a network (import.c): reads it, operates on it as the recipe says, and makes entries in the builder's store of those of
   its weights that are not there yet. */
int aval__import_open(aval__builder *b, aval_model **model);
/* Puts the data's pictures in place of the model's input; scores and, in training, parameters. */
int aval__import_build(aval__builder *b, int64_t batch, aval__network *out);
/* Brings operators that differ in training and afterwards (mode.c) into the builder's mode, with the updates of a step; `ends` are the graph's
   outputs, and are brought up to date. */
int aval__import_mode(aval__builder *b, aval_value **ends, size_t n_ends);
/* How a net takes pictures. */
typedef enum aval__layout { AVAL__FLAT, AVAL__PLANAR, AVAL__INTERLEAVED } aval__layout;
/* That of the model's input, for this data; *repeated: gray pictures for three channels.  AVAL_E_SHAPE when they do not fit. */
int aval__import_layout(const aval_dataset *data, const aval_value *input, aval__layout *layout, bool *repeated);
/* Pixels as the net wants them: floats, scaled.  `planar`: axis 1 has the channels. */
int aval__scaled_images(aval__builder *b, aval_value *images, bool planar, aval_value **scaled);
/* "0.5" or "0.485,0.456,0.406" as numbers, one or `channels`; NULL: `initial`. */
int aval__channel_numbers(const char *what, const char *text, size_t channels, double initial, double *numbers, size_t *count);
/* Writes the trained net as an ONNX file, with its card (card.c) beside it. */
int aval__export(aval_context *ctx, aval_store *store, const aval__recipe *recipe, const aval_dataset *data, const char *file);

/* ---- Pictures ----------------------------------------------------------------------------------------------------------------------- */

/* A picture in memory: [height, width, 3] red, green, blue. */
typedef struct aval__picture {
    size_t height, width;
    uint8_t *rgb; /* for aval__free */
} aval__picture;
/* PNG or JPEG, whichever the file is.  Transparent parts lie on white. */
int aval__picture_read(const char *file, aval__picture *out);
int aval__picture_parse(FILE *in, const char *file, aval__picture *out); /* from the start of `in`; the name is for messages */
/* Where a picture is taken from, in its pixels. */
typedef struct aval__frame {
    double top, left, height, width;
} aval__frame;
/* The frame as [channels, height, width] in 0..1, each pixel the mean (by a triangle) of what it covers; channels: 1 (gray) or 3.  What lies outside
   of the picture is 0. */
int aval__picture_sample(const aval__picture *picture, const aval__frame *frame, size_t channels, size_t height, size_t width, float *out);

struct aval_card {
    size_t channels, height, width;
    aval__layout layout;
    double mean[3], deviation[3];
    size_t resize; /* 0: stretched */
    bool dark, scores;
    double ink; /* 0: the whole picture */
    char **labels; /* n_labels, for aval__free each */
    size_t n_labels;
};
/* A card from an open file, for aval_card_release; the name is for messages. */
int aval__card_parse(FILE *in, const char *file, aval_card **card);
/* The picture as the card's model takes it, a [1, ...] of float for aval_free.  The picture's pixels are changed. */
int aval__card_fit(const aval_card *card, aval__picture *picture, aval_array *array);
extern const char *const aval__layout_names[]; /* in cards, by aval__layout */
/* FILE.json for FILE.onnx; a name that ends in .json is the card's own. */
int aval__card_name(aval__text *name, const char *file);
/* card_write.c: what stands beside FILE.onnx as FILE.json. */
int aval__card_write(const char *file, const aval__recipe *recipe, const aval_dataset *data, aval__layout layout, bool repeated);

/* ---- Running them ------------------------------------------------------------------------------------------------------------------ */

/* A network bound to the devices, with room for a batch on the host. */
typedef struct aval__runner {
    aval__network network;
    aval_session *session;
    const aval_dataset *data;
    const aval__recipe *recipe;
    uint8_t *images; /* [batch, elements], in the data's type */
    void *targets; /* int64 [batch], or float [batch, classes] */
    size_t fed_examples; /* what the input `examples` holds */
} aval__runner;
/* `shape`: the data set that the net is made for; `data`: the one that is fed.  For aval__runner_release, after a failure too. */
int aval__runner_create(aval__runner *r, aval_context *ctx, aval_store *store, const aval__recipe *recipe, const aval_dataset *shape,
                        const aval_dataset *data, bool training, size_t batch);
void aval__runner_release(aval__runner *r);
/* Feeds the n examples order[0] .. order[n - 1] of those from `first` on; without an order the examples themselves. */
int aval__runner_feed(aval__runner *r, const uint32_t *order, size_t first, size_t n);

/* ---- Checkpoints ------------------------------------------------------------------------------------------------------------------ */

typedef struct aval__position {
    uint64_t epochs, steps; /* epochs done, and steps done in the one that is under way */
} aval__position;

/* `data`: what was trained on, whose pixel scale goes into the metadata. */
int aval__checkpoint_save(aval_store *store, const aval__recipe *recipe, aval__position position, const aval_dataset *data,
                          const char *file);
/* Loads the file into the store; *recipe_text is for aval__free. */
int aval__checkpoint_load(aval_store *store, const char *file, char **recipe_text, aval__position *position);

#endif
