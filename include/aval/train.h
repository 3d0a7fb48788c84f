/* Training: data sets, the training loop, and the card that says what pictures a model takes.  A part of aval/aval.h, which includes it. */
#ifndef AVAL_TRAIN_API_H
#define AVAL_TRAIN_API_H

#include "aval/aval.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Data and training --------------------------------------------------------------------------------------------------- */

typedef struct aval_dataset aval_dataset;

/* IDX files (LeCun's format), plain or .gz: images [count, height, width] of uint8 and labels [count].  */
AVAL_API int aval_dataset_open_idx(const char *images, const char *labels, aval_dataset **data);
/* train-images-idx3-ubyte[.gz] and its three siblings in a folder; `train` 1: the training half, 0: the test half. */
AVAL_API int aval_dataset_open_folder(const char *folder, int train, aval_dataset **data);
/* The 1,797 handwritten digits (8x8) that lie in the library. */
AVAL_API int aval_dataset_open_digits(int train, aval_dataset **data);
AVAL_API void aval_dataset_release(aval_dataset *data);
AVAL_API size_t aval_dataset_count(const aval_dataset *data);
AVAL_API size_t aval_dataset_classes(const aval_dataset *data);
AVAL_API void aval_dataset_shape(const aval_dataset *data, size_t *height, size_t *width);

typedef struct aval_train_progress {
    size_t size;
    uint64_t epoch, epochs, step, steps; /* epoch from 1; step within it from 1 */
    int epoch_done; /* 1: the fields below are of the whole epoch */
    double loss; /* mean so far */
    double test_accuracy, test_loss; /* 0..1; valid when epoch_done */
    double examples_per_second;
    double seconds_to_first_step; /* from aval_train's start to the end of the first step */
} aval_train_progress;
/* Returns 0 to go on; anything else ends the training after saving. */
typedef int (*aval_train_function)(void *user, const aval_train_progress *progress);

/* Numbers of a training whose 0 is meant, not left open. */
typedef enum aval_train_given {
    AVAL_GIVEN_LR = 1,
    AVAL_GIVEN_MOMENTUM = 2,
    AVAL_GIVEN_NESTEROV = 4,
    AVAL_GIVEN_WEIGHT_DECAY = 8,
    AVAL_GIVEN_DROPOUT = 16,
    AVAL_GIVEN_SEED = 32
} aval_train_given;

/* Every text may be NULL and every number 0 for what a resumed checkpoint has, or else its default, which stands in brackets. */
typedef struct aval_train_options {
    size_t size;
    const char *net; /* linear, mlp, lenet [mlp] */
    const char *layers; /* widths of the hidden dense layers: "512,512" [mlp: "128,128", lenet: "256"; linear has none] */
    const char *activation; /* relu, leaky_relu, tanh, sigmoid [relu] */
    const char *loss; /* cross_entropy, mse [cross_entropy] */
    const char *optimizer; /* sgd [sgd] */
    double lr; /* learning rate [0.1; lenet: 0.03; a model: 0.01] */
    double momentum; /* [0.9]; negative: 0 */
    int nesterov;
    double weight_decay;
    double dropout; /* after each hidden layer */
    uint64_t batch; /* [32] */
    uint64_t epochs; /* in all, those of a resumed checkpoint included [20] */
    uint64_t seed; /* [0] */
    const char *save; /* file for the checkpoint [none] */
    const char *resume; /* checkpoint to go on from [none] */
    uint64_t stop_after_steps; /* ends, after saving, when so many steps of this call are done [never] */
    const char *save_interrupted; /* file for the checkpoint of a training that `progress` ended [save] */
    uint32_t given; /* AVAL_GIVEN_...: 0 is meant in these, as in a training that is resumed without its dropout */
    /* A model from an ONNX file in place of a built-in net; its first output, or what it is cut at, must be scores [batch, classes].  Trained are its
       weights of type float with at least one axis, but statistics of batch normalisation. */
    const char *model; /* the file [none] */
    const char *cut; /* aval_model_cut [the model as it is] */
    const char *head; /* aval_model_add_head, with `activation` and `seed` [none] */
    const char *freeze; /* weights of the file that stay as they are: names with ',' between, in which * and ? stand for others [none] */
    const char *mean,
        *std; /* pixels, divided as aval_train says, become (pixel - mean) / std: a number, or one a channel with ',' between [0, 1] */
    const char *save_model; /* ONNX file for what was trained, written at the end, with a card for aval_card_open beside it [none] */
    uint64_t memory; /* bytes on each device that the intermediates of a step keep to, see aval_session_set_memory_bound [no bound] */
    int anomaly; /* not 0: ends at the first node, forward or backward, that makes NaN or infinity, see aval_session_set_anomaly; slow */
} aval_train_options;

typedef struct aval_train_report {
    size_t size;
    uint64_t steps, parameters;
    double train_loss, test_loss, test_accuracy;
    double examples_per_second; /* median over epochs */
    double seconds, seconds_to_first_step;
    int interrupted;
} aval_train_report;

/* Trains, and tests after each epoch.  Pixels are divided by the largest of the training images (16 for the digits, 255 for MNIST); a
   checkpoint's metadata names it as `pixels_divided_by`, beside `net`, `recipe` (all options), `epochs` done and `steps_in_next`, the steps done in
   the epoch under way.  That files can be written is found out before the first step. */
AVAL_API int aval_train(aval_context *ctx, const aval_train_options *options, aval_dataset *train, aval_dataset *test,
                        aval_train_function progress, void *user, aval_train_report *report);
/* The training graph of a built-in net, for drawing and planning; batch 0: free.  *wanted are the n_wanted values that a step computes, an
   array for aval_free; graph and store are released as any. */
AVAL_API int aval_train_graph(aval_context *ctx, const aval_train_options *options, const aval_dataset *data, uint64_t batch,
                              aval_graph **g, aval_store **store, aval_value ***wanted, size_t *n_wanted);
/* Feeds the inputs of such a graph with the examples that step `step` (from 0, in the order of the first epoch, beginning again at its end) of
   this training takes. */
AVAL_API int aval_train_feed(aval_session *s, const aval_graph *g, const aval_train_options *options, const aval_dataset *data,
                             uint64_t step);

/* ---- Pictures: a model's card ----

   FILE.json beside FILE.onnx says how a picture becomes the model's input, and what its outputs mean.  aval_train writes it with `save_model`; for a
   model from elsewhere it is written by hand.  A JSON object; all but the size may be left out:

       "height": 224, "width": 224    pixels that the model takes
       "channels": 3                  3 (red, green, blue) or 1 (gray)                                   [3]
       "layout": "NCHW"               or "NHWC", or "flat": [1, channels x height x width]               ["NCHW"]
       "mean": [0.485, 0.456, 0.406]  of pixels in 0..1, one number or one a channel; each becomes       [0]
       "std": [0.229, 0.224, 0.225]   (pixel - mean) / std                                               [1]
       "resize": 256                  the shorter side is made so long, then the middle is cut out       [the picture is stretched]
       "background": "dark"           pictures with a bright border (ink on paper) are inverted          [as they are]
       "ink": 0.8                     dark backgrounds: what stands out is centred and fills so much     [the whole picture]
       "scores": true                 outputs are scores, of which softmax makes probabilities           [false]
       "labels": ["cat", "dog"]       names of the classes, in the order of the output                   [numbers] */
typedef struct aval_card aval_card;
/* `file` is the card's, or that of the model, whose card it then is.  AVAL_E_UNKNOWN: there is none; AVAL_E_FORMAT: with what is wrong. */
AVAL_API int aval_card_open(const char *file, aval_card **card);
AVAL_API void aval_card_release(aval_card *card);
/* Reads a PNG or JPEG file as the model's input, float with a batch of 1; the data is for aval_free.  AVAL_E_UNSUPPORTED: another format, or one that
   this library was built without.  What is transparent is white, or black below what is drawn in white. */
AVAL_API int aval_card_picture(const aval_card *card, const char *picture, aval_array *array);
AVAL_API size_t aval_card_label_count(const aval_card *card);
/* NULL when i is out of range.  Lives as long as the card. */
AVAL_API const char *aval_card_label(const aval_card *card, size_t i);
/* 1: a softmax makes probabilities of the model's outputs; 0: they are such. */
AVAL_API int aval_card_scores(const aval_card *card);

#ifdef __cplusplus
}
#endif

#endif
