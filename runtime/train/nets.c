/* The built-in nets.  A new one is a function and a row of the table at the end. */
#include "train/train.h"

#include <stdio.h>

/* Names of a layer's tensors, e.g. "dense1.weight"; for aval__free. */
static char *tensor_name(const char *layer, size_t number, const char *tensor)
{
    aval__text name = { 0 };
    if (number > 0) aval__text_add(&name, "%s%zu.%s", layer, number, tensor);
    else aval__text_add(&name, "%s.%s", layer, tensor);
    return aval__text_take(&name);
}

/* Weight and bias of a layer; number 0: the only one of its kind. */
static int weights(aval__builder *b, const char *layer, size_t number, size_t rank, const int64_t *dims,
                   const aval__initial *weight_initial, int64_t n_bias, const aval__initial *bias_initial, aval_value **weight,
                   aval_value **bias)
{
    char *weight_name = tensor_name(layer, number, "weight"), *bias_name = tensor_name(layer, number, "bias");
    int status = weight_name == NULL || bias_name == NULL ? AVAL_E_MEMORY : AVAL_OK;
    if (status < 0) goto done;
    AVAL__TRY_DONE(aval__builder_parameter(b, weight_name, rank, dims, weight_initial, true, weight));
    AVAL__TRY_DONE(aval__builder_parameter(b, bias_name, 1, &n_bias, bias_initial, false, bias));
done:
    aval__free(weight_name);
    aval__free(bias_name);
    return status;
}

static aval__initial before_activation(const aval__builder *b)
{
    const aval__activation *a = b->recipe->activation;
    return (aval__initial){ .initializer = (int)a->initializer, .scale = a->gain };
}

static aval_value *activate(aval__builder *b, aval_value *x)
{
    return aval_apply(b->g, b->recipe->activation->op, b->recipe->activation->attrs, x);
}

/* "dense1": for drawings, and for who cuts the net there. */
static void name_layer(aval_value *x, const char *layer, size_t number)
{
    char name[32];
    snprintf(name, sizeof name, "%s%zu", layer, number);
    if (x != NULL) aval_value_set_name(x, name);
}

/* *x [batch, in] -> [batch, width]: product, bias, activation, dropout. */
static int hidden(aval__builder *b, size_t number, int64_t in, int64_t width, aval_value **x)
{
    aval_value *weight, *bias;
    aval__initial initial = before_activation(b);
    AVAL__TRY(weights(b, "dense", number, AVAL_SHAPE(in, width), &initial, width, &(aval__initial){ .scale = 0 }, &weight, &bias));
    *x = activate(b, aval_apply(b->g, "Gemm", NULL, *x, weight, bias));
    name_layer(*x, "dense", number);
    return aval__builder_dropout(b, number, x);
}

/* All hidden dense layers of the recipe, then the output layer, whose bias is the best constant answer for the targets and whose
   weights are small, so that an untrained net starts from that answer. */
static int dense_layers(aval__builder *b, int64_t in, aval_value *x, aval_value **scores)
{
    for (size_t i = 0; i < b->recipe->n_layers; i++) {
        AVAL__TRY(hidden(b, i + 1, in, b->recipe->layers[i], &x));
        in = b->recipe->layers[i];
    }
    int64_t classes = (int64_t)b->data->classes;
    float *answer;
    AVAL__TRY(aval__builder_output_bias(b, &answer));
    aval_value *weight = NULL, *bias = NULL;
    int status = weights(b, "output", 0, AVAL_SHAPE(in, classes), &(aval__initial){ .initializer = AVAL_INIT_XAVIER, .scale = 0.1 },
                         classes, &(aval__initial){ .values = answer }, &weight, &bias);
    aval__free(answer);
    AVAL__TRY(status);
    *scores = aval_apply(b->g, "Gemm", NULL, x, weight, bias);
    return AVAL_OK;
}

static int64_t pixels(const aval__builder *b)
{
    return (int64_t)aval__dataset_elements(b->data);
}

/* linear has no widths in its recipe, so that both nets are the same function. */
static int build_dense(aval__builder *b, aval_value *images, aval_value **scores)
{
    return dense_layers(b, pixels(b), images, scores);
}

/* A convolution that keeps the size, activation, and 2 x 2 maximum: *x [batch, in, h, w] -> [batch, filters, h / 2, w / 2]. */
static int convolution(aval__builder *b, size_t number, int64_t in, int64_t filters, int64_t kernel, aval_value **x)
{
    aval_value *weight, *bias;
    aval__initial initial = before_activation(b);
    const char *attrs = kernel == 5 ? "pads=[2,2,2,2]" : "pads=[1,1,1,1]";
    AVAL__TRY(weights(b, "conv", number, AVAL_SHAPE(filters, in, kernel, kernel), &initial, filters, &(aval__initial){ .scale = 0 },
                      &weight, &bias));
    *x = activate(b, aval_apply(b->g, "Conv", attrs, *x, weight, bias));
    *x = aval_apply(b->g, "MaxPool", "kernel_shape=[2,2] strides=[2,2]", *x);
    name_layer(*x, "conv", number);
    return AVAL_OK;
}

/* After LeCun et al. 1998 with today's widths and ReLUs.  On images below 16 x 16 kernels of 5 would see mostly padding. */
static int build_lenet(aval__builder *b, aval_value *images, aval_value **scores)
{
    int64_t height = (int64_t)b->data->height, width = (int64_t)b->data->width;
    if (height < 4 || width < 4)
        return aval__fail(AVAL_E_SHAPE, "lenet halves its images twice: at least 4 x 4 pixels were expected, found %lld x %lld",
                          (long long)height, (long long)width);
    bool small = height < 16 || width < 16;
    int64_t kernel = small ? 3 : 5, filters = small ? 16 : 32;
    aval_value *x = images;
    AVAL__TRY(convolution(b, 1, (int64_t)b->data->channels, filters, kernel, &x));
    AVAL__TRY(convolution(b, 2, filters, 2 * filters, kernel, &x));
    int64_t features = 2 * filters * (height / 2 / 2) * (width / 2 / 2);
    aval_value *shape = aval_graph_constant(b->g, AVAL_INT64, AVAL_SHAPE(2), (const int64_t[]){ -1, features });
    return dense_layers(b, features, aval_apply(b->g, "Reshape", NULL, x, shape), scores);
}

const aval__net aval__nets[] = {
    { "linear", "softmax regression: one dense layer", NULL, 0.1, false, build_dense },
    { "mlp", "dense layers (--layers) with activations between", "128,128", 0.1, false, build_dense },
    { "lenet", "two convolutions with 2 x 2 pooling, then dense layers (--layers)", "256", 0.03, true, build_lenet },
    { AVAL__NET_IMPORTED, "the model of an ONNX file", NULL, 0.01, false, NULL },
    { .name = NULL },
};
