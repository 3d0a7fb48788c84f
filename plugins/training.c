/* Optimisers as ONNX defines them (ai.onnx.preview.training): Momentum, Adagrad, Adam.  Each formula is there three times: as an expression that
 * gives the new contents, as the same one updating its states (for graphs of aval's own: an update is one launch), and as ONNX's node, which
 * takes any number of tensors and is a body of the first. */
#include "support.h"

#include <string.h>

/* ---- The formulas: R learning rate, T steps so far (0: the first), X weight, G its gradient, V velocity, H sum or mean of squares ------ */

#define REGULAR "(norm_coefficient * X + G)"
#define MOMENTUM_V "(alpha * V + (T > 0 ? beta : 1) * " REGULAR ")"
#define MOMENTUM_X "X - R * (nesterov != 0 ? " REGULAR " + alpha * " MOMENTUM_V " : " MOMENTUM_V ")"
#define ADAGRAD_H "(H + " REGULAR " * " REGULAR ")"
#define ADAGRAD_X "X - R / (1 + T * decay_factor) * " REGULAR " / (sqrt(" ADAGRAD_H ") + epsilon)"
#define ADAM_V "(alpha * V + (1 - alpha) * " REGULAR ")"
#define ADAM_H "(beta * H + (1 - beta) * " REGULAR " * " REGULAR ")"
#define ADAM_RATE "(T > 0 ? R * sqrt(1 - pow(beta, T)) / (1 - pow(alpha, T)) : R)"
#define ADAM_X "(1 - norm_coefficient_post) * (X - " ADAM_RATE " * " ADAM_V " / (sqrt(" ADAM_H ") + epsilon))"

/* Outputs are like the tensors of the weight, whose shape all must have; R and T are one number each. */
static int infer_step(const aval_host *host, aval_call *call)
{
    const aval_tensor *w = host->input(call, 2);
    for (size_t i = 0; i < host->n_inputs(call); i++) {
        const aval_tensor *t = host->input(call, i);
        int same = host->rank(t) == host->rank(w);
        for (uint32_t d = 0; same && d < host->rank(w); d++) same = host->dims(t)[d] == host->dims(w)[d];
        if (i < 2 && (host->count(t) != 1 || host->rank(t) > host->rank(w)))
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %s has %lld elements, expected one number without axes",
                              i == 0 ? "R" : "T", (long long)host->count(t));
        if (i > 2 && !same)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %zu has another shape than the weight, expected the same", i);
    }
    for (size_t o = 0; o + 3 < host->n_inputs(call); o++) {
        int status = aval_infer_like(host, call, o, o == 0 ? 2 : o + 3); /* the gradient has no new content */
        if (status < 0) return status;
    }
    return 0;
}

#define NUMBER(label, value, text) \
    { \
        .name = label, .type = AVAL_ATTR_FLOAT, .initial = value, .doc = text \
    }
#define NORM NUMBER("norm_coefficient", "0", "L2 regularisation: added to the gradient, times the weight")
#define MOMENTUM_NUMBERS \
    NUMBER("alpha", "0.9", "share of the velocity that is kept"), NUMBER("beta", "1", "factor of the gradient after the first step"), NORM
#define ADAGRAD_NUMBERS \
    NUMBER("decay_factor", "0", "how the learning rate falls with the steps"), NUMBER("epsilon", "1e-6", "added to the root"), NORM
#define ADAM_NUMBERS \
    NUMBER("alpha", "0.9", "share of the velocity that is kept"), NUMBER("beta", "0.999", "share of the mean square that is kept"), \
        NUMBER("epsilon", "1e-6", "added to the root"), NORM, \
        NUMBER("norm_coefficient_post", "0", "share of the new weight that is taken away")

#define HEADS \
    { .name = "R" }, { .name = "T", .types = AVAL_TYPE_SET(AVAL_INT64) }, { .name = "X" }, \
    { \
        .name = "G" \
    }
#define NEW(label, i) \
    { \
        .name = label, .updates = i \
    }
#define ONE_STATE(kind) "[]{0.1} i64[]{" kind "} [2,3] [2,3] [2,3]{0.1..1}"
#define TWO_STATES(kind) ONE_STATE(kind) " [2,3]{0.1..1}"
#define STEP_SAMPLES(some, more) \
    AVAL_SAMPLES({ .inputs = some("0"), .why = "the first step" }, { .inputs = some("7"), .attrs = "norm_coefficient=0.01 " more }, \
                 { .inputs = some("2"), .attrs = more })

#define STEP(variable, label, summary, gradient_zeros, formulas, ports, news, numbers, cases) \
    static const aval_op variable = { .size = sizeof(aval_op), \
                                      .name = label, \
                                      .domain = "aval", \
                                      .since = 1, \
                                      .deterministic = 1, \
                                      .doc = summary, \
                                      .inputs = ports, \
                                      .outputs = news, \
                                      .attrs = numbers, \
                                      .infer = infer_step, \
                                      .zero_gradient = gradient_zeros, \
                                      .expressions = formulas, \
                                      .no_gradient = "an update ends a step", \
                                      .samples = cases }

#define MOMENTUM(variable, label, summary, x, v) \
    STEP(variable, label, summary, 31, AVAL_TEXTS(MOMENTUM_X, MOMENTUM_V), AVAL_PORTS(HEADS, { .name = "V" }), \
         AVAL_PORTS(NEW("X_new", x), NEW("V_new", v)), \
         AVAL_ATTRS(MOMENTUM_NUMBERS, \
                    { .name = "nesterov", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: looks one step of momentum ahead" }), \
         STEP_SAMPLES(ONE_STATE, "alpha=0.95 beta=0.1 nesterov=1"))
#define ADAGRAD(variable, label, summary, x, h) \
    STEP(variable, label, summary, 31, AVAL_TEXTS(ADAGRAD_X, ADAGRAD_H), AVAL_PORTS(HEADS, { .name = "H" }), \
         AVAL_PORTS(NEW("X_new", x), NEW("H_new", h)), AVAL_ATTRS(ADAGRAD_NUMBERS), STEP_SAMPLES(ONE_STATE, "decay_factor=0.1"))
#define ADAM(variable, label, summary, x, v, h) \
    STEP(variable, label, summary, 63, AVAL_TEXTS(ADAM_X, ADAM_V, ADAM_H), AVAL_PORTS(HEADS, { .name = "V" }, { .name = "H" }), \
         AVAL_PORTS(NEW("X_new", x), NEW("V_new", v), NEW("H_new", h)), AVAL_ATTRS(ADAM_NUMBERS), \
         STEP_SAMPLES(TWO_STATES, "alpha=0.95 beta=0.9 norm_coefficient_post=0.1"))

MOMENTUM(momentum_step, "MomentumStep", "What a step of gradient descent with momentum makes of a weight and its velocity.", 0, 0);
ADAGRAD(adagrad_step, "AdagradStep", "What a step of Adagrad makes of a weight and its sum of squares.", 0, 0);
ADAM(adam_step, "AdamStep", "What a step of Adam makes of a weight, its velocity and its mean square.", 0, 0, 0);
MOMENTUM(momentum, "Momentum", "One step of gradient descent with momentum, as ONNX has it.", AVAL_UPDATES(2), AVAL_UPDATES(4));
ADAGRAD(adagrad, "Adagrad", "One step of Adagrad (Duchi et al. 2011), as ONNX has it.", AVAL_UPDATES(2), AVAL_UPDATES(4));
ADAM(adam, "Adam", "One step of Adam (Kingma and Ba 2015), as ONNX has it.", AVAL_UPDATES(2), AVAL_UPDATES(4), AVAL_UPDATES(5));

/* ---- ONNX's nodes: R, T, all weights, all their gradients, all velocities ... -> all new weights, all new velocities ... --------------------- */

/* How many kinds of tensors there are: weight, gradient and states. */
static size_t kinds_of(const aval_host *host, const aval_call *call, size_t states, size_t *tensors)
{
    size_t kinds = 2 + states, given = host->n_inputs(call) - 2;
    *tensors = given % kinds == 0 ? given / kinds : 0;
    return kinds;
}

static int infer_each(const aval_host *host, aval_call *call, size_t states)
{
    size_t tensors, kinds = kinds_of(host, call, states, &tensors);
    if (tensors == 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "found %zu tensors after R and T, expected a multiple of %zu",
                          host->n_inputs(call) - 2, kinds);
    for (size_t o = 0; o < tensors * (kinds - 1); o++) TRY(aval_infer_like(host, call, o, 2 + (o < tensors ? o : o + tensors)));
    return 0;
}

static int step_each(const aval_host *host, aval_call *call, const char *op, const char *attrs, size_t states)
{
    size_t tensors, kinds = kinds_of(host, call, states, &tensors);
    for (size_t t = 0; t < tensors; t++) {
        const aval_tensor *in[6] = { host->input(call, 0), host->input(call, 1) }, *out[3];
        for (size_t k = 0; k < kinds; k++) in[2 + k] = host->input(call, 2 + k * tensors + t);
        TRY(host->apply(call, op, attrs, 2 + kinds, in, kinds - 1, out));
        for (size_t k = 0; k + 1 < kinds; k++) TRY(host->yield(call, k * tensors + t, out[k]));
    }
    return 0;
}

static void pass_real(const aval_host *host, const aval_call *call, text *attrs, const char *name)
{
    text_real(attrs, name, host->attr_float(call, name));
}

static int infer_one_state(const aval_host *host, aval_call *call)
{
    return infer_each(host, call, 1);
}

static int infer_two_states(const aval_host *host, aval_call *call)
{
    return infer_each(host, call, 2);
}

static int momentum_body(const aval_host *host, aval_call *call)
{
    text attrs = { 0 };
    const char *mode = host->attr_string(call, "mode");
    if (strcmp(mode, "standard") != 0 && strcmp(mode, "nesterov") != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "mode is '%s', expected 'standard' or 'nesterov'", mode);
    pass_real(host, call, &attrs, "alpha");
    pass_real(host, call, &attrs, "beta");
    pass_real(host, call, &attrs, "norm_coefficient");
    text_int(&attrs, "nesterov", strcmp(mode, "nesterov") == 0);
    return step_each(host, call, "aval::MomentumStep", attrs.at, 1);
}

static int adagrad_body(const aval_host *host, aval_call *call)
{
    text attrs = { 0 };
    pass_real(host, call, &attrs, "decay_factor");
    pass_real(host, call, &attrs, "epsilon");
    pass_real(host, call, &attrs, "norm_coefficient");
    return step_each(host, call, "aval::AdagradStep", attrs.at, 1);
}

static int adam_body(const aval_host *host, aval_call *call)
{
    text attrs = { 0 };
    pass_real(host, call, &attrs, "alpha");
    pass_real(host, call, &attrs, "beta");
    pass_real(host, call, &attrs, "epsilon");
    pass_real(host, call, &attrs, "norm_coefficient");
    pass_real(host, call, &attrs, "norm_coefficient_post");
    return step_each(host, call, "aval::AdamStep", attrs.at, 2);
}

#define ONNX_NODE(variable, label, summary, states, steps, numbers, some, more) \
    static const aval_op variable = { .size = sizeof(aval_op), \
                                      .name = label, \
                                      .domain = "ai.onnx.preview.training", \
                                      .since = 1, \
                                      .deterministic = 1, \
                                      .doc = summary, \
                                      .inputs = AVAL_PORTS({ .name = "R" }, { .name = "T", .types = AVAL_TYPE_SET(AVAL_INT64) }, \
                                                           { .name = "inputs", .flags = AVAL_VARIADIC }), \
                                      .outputs = AVAL_PORTS({ .name = "outputs", .flags = AVAL_VARIADIC }), \
                                      .attrs = numbers, \
                                      .infer = states, \
                                      .zero_gradient = 7, \
                                      .no_gradient = "an update ends a step", \
                                      .body = steps, \
                                      .samples = AVAL_SAMPLES({ .inputs = some("0") }, \
                                                              { .inputs = some("3"), .attrs = "norm_coefficient=0.01 " more }) }

ONNX_NODE(onnx_momentum, "Momentum", "Steps of gradient descent with momentum for any number of weights.", infer_one_state, momentum_body,
          AVAL_ATTRS(MOMENTUM_NUMBERS,
                     { .name = "mode", .type = AVAL_ATTR_STRING, .initial = "'standard'", .doc = "'standard' or 'nesterov'" }),
          ONE_STATE, "mode='nesterov'");
ONNX_NODE(onnx_adagrad, "Adagrad", "Steps of Adagrad for any number of weights.", infer_one_state, adagrad_body,
          AVAL_ATTRS(ADAGRAD_NUMBERS), ONE_STATE, "decay_factor=0.1");
ONNX_NODE(onnx_adam, "Adam", "Steps of Adam for any number of weights.", infer_two_states, adam_body, AVAL_ATTRS(ADAM_NUMBERS), TWO_STATES,
          "alpha=0.95");

AVAL_PLUGIN("training", "0.1.0", NULL, &momentum_step, &adagrad_step, &adam_step, &momentum, &adagrad, &adam, &onnx_momentum, &onnx_adagrad,
            &onnx_adam)
