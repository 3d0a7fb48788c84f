/* What a person can choose besides the net: activations, losses, optimisers.  A new one is a row. */
#include "train/train.h"

#include <math.h>

/* Gains: He et al. 2015 give sqrt(2 / (1 + alpha^2)) for a leaky ReLU of slope alpha; Glorot and Bengio 2010 four times the range for the
   logistic sigmoid. */
const aval__activation aval__activations[] = {
    { "relu", "Relu", NULL, AVAL_INIT_HE, 1 },
    { "leaky_relu", "LeakyRelu", "alpha=0.01", AVAL_INIT_HE, 0.99995 },
    { "tanh", "Tanh", NULL, AVAL_INIT_XAVIER, 1 },
    { "sigmoid", "Sigmoid", NULL, AVAL_INIT_XAVIER, 4 },
    { .name = NULL },
};

/* Softmax of these biases gives back the frequencies. */
static double log_frequency(double frequency)
{
    return log(frequency);
}

static double mean_target(double frequency)
{
    return frequency;
}

const aval__loss aval__losses[] = {
    { "cross_entropy", "SoftmaxCrossEntropyLoss", NULL, false, log_frequency },
    { "mse", "aval::MeanSquaredError", NULL, true, mean_target },
    { .name = NULL },
};

/* Stochastic gradient descent with momentum (Sutskever et al. 2013); the learning rate is a state, so that it can change between
   steps without a new plan. */
static int sgd_update(aval__builder *b, const aval__parameter *parameter, aval_value *gradient)
{
    const aval_train_options *o = &b->recipe->options;
    const aval_value *w = parameter->value;
    aval__text attrs = { 0 }, velocity_name = { 0 };
    aval_value *velocity, *rate;
    int status = AVAL_OK;
    aval__text_add(&velocity_name, "%s.velocity", parameter->name);
    aval__text_add(&attrs, "nesterov=%d momentum=", o->nesterov);
    aval__text_real(&attrs, o->momentum);
    aval__text_add(&attrs, " weight_decay=");
    aval__text_real(&attrs, parameter->decays ? o->weight_decay : 0);
    if (attrs.failed || velocity_name.failed) {
        status = aval__fail(AVAL_E_MEMORY, "no memory for the update of %s", parameter->name);
        goto done;
    }
    AVAL__TRY_DONE(aval__builder_state(b, velocity_name.at, AVAL_FLOAT, (size_t)aval_value_rank(w), aval_value_dims(w),
                                       &(aval__initial){ .scale = 0 }, &velocity));
    AVAL__TRY_DONE(aval__builder_state(b, AVAL__STATE_RATE, AVAL_FLOAT, AVAL_SCALAR, &(aval__initial){ .scale = o->lr }, &rate));
    aval_node *node = aval_graph_node(b->g, "aval::Sgd", attrs.at, AVAL_VALUES(parameter->value, gradient, velocity, rate));
    for (size_t i = 0; i < 2; i++) AVAL__TRY_DONE(aval__vec_push(&b->updates, aval_node_output(node, i)));
done:
    aval__text_release(&attrs);
    aval__text_release(&velocity_name);
    return status;
}

const aval__optimizer aval__optimizers[] = {
    { "sgd", sgd_update },
    { .name = NULL },
};
