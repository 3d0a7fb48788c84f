/* Optimisers as operators: expressions whose outputs are the new content of their states, so that an update is one launch and fuses with
 * what precedes it. */
#include "aval/plugin.h"

/* Weight and velocity have one shape, the learning rate is one number for all. */
static int infer_sgd(const aval_host *host, aval_call *call)
{
    static const char *const names[] = { "W", "G", "V" };
    const aval_tensor *w = host->input(call, 0);
    for (size_t i = 1; i < 3; i++) {
        const aval_tensor *t = host->input(call, i);
        int same = host->rank(t) == host->rank(w);
        for (uint32_t d = 0; same && d < host->rank(w); d++) same = host->dims(t)[d] == host->dims(w)[d];
        if (!same) return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %s has another shape than input W, expected the same", names[i]);
    }
    if (host->count(host->input(call, 3)) != 1 || host->rank(host->input(call, 3)) > host->rank(w))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input LR has %lld elements, expected one number without axes",
                          (long long)host->count(host->input(call, 3)));
    int status = aval_infer_like(host, call, 0, 0);
    return status < 0 ? status : aval_infer_like(host, call, 1, 2);
}

static int infer_accumulate(const aval_host *host, aval_call *call)
{
    return aval_infer_like(host, call, 0, 0);
}

#define DECAYED "(G + weight_decay * W)"
#define VELOCITY "(momentum * V + " DECAYED ")"

/* PyTorch's formula:  g = G + weight_decay W;  V' = momentum V + g;  W' = W - LR (nesterov ? g + momentum V' : V'). */
static const aval_op sgd = {
    .size = sizeof(aval_op),
    .name = "Sgd",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .doc = "One step of gradient descent with momentum, Nesterov's form and weight decay.",
    .inputs = AVAL_PORTS({ .name = "W" }, { .name = "G" }, { .name = "V" }, { .name = "LR" }),
    .outputs = AVAL_PORTS({ .name = "W_new", .updates = AVAL_UPDATES(0) }, { .name = "V_new", .updates = AVAL_UPDATES(2) }),
    .attrs =
        AVAL_ATTRS({ .name = "momentum", .type = AVAL_ATTR_FLOAT, .initial = "0", .doc = "share of the velocity that is kept" },
                   { .name = "nesterov", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: looks one step of momentum ahead" },
                   { .name = "weight_decay", .type = AVAL_ATTR_FLOAT, .initial = "0", .doc = "added to the gradient, times the weight" }),
    .infer = infer_sgd,
    .zero_gradient = 15,
    .expressions = AVAL_TEXTS("W - LR * (nesterov != 0 ? " DECAYED " + momentum * " VELOCITY " : " VELOCITY ")", VELOCITY),
    .no_gradient = "an update ends a step",
    .samples = AVAL_SAMPLES({ .inputs = "[2,3] [2,3] [2,3] []{0.1}" },
                            { .inputs = "[2,3] [2,3] [2,3] []{0.1}", .attrs = "momentum=0.9 weight_decay=0.01" },
                            { .inputs = "[2,3] [2,3] [2,3] []{0.1}", .attrs = "momentum=0.9 weight_decay=0.01 nesterov=1" },
                            { .inputs = "[] [] [] []{0.1}" }, { .inputs = "[0] [0] [0] []{0.1}" },
                            { .inputs = "[257,259] [257,259] [257,259] []{0.1}", .attrs = "momentum=0.9", .size_class = AVAL_LARGE }),
};
static const aval_op accumulate = {
    .size = sizeof(aval_op),
    .name = "Accumulate",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .doc = "Adds a value to a state: what is summed up over steps need not be read after each.",
    .inputs = AVAL_PORTS({ .name = "sum", .types = AVAL_NUMBERS }, { .name = "value", .types = AVAL_NUMBERS }),
    .outputs = AVAL_PORTS({ .name = "sum_new", .types = AVAL_NUMBERS, .updates = AVAL_UPDATES(0) }),
    .infer = infer_accumulate,
    .zero_gradient = 3,
    .expressions = AVAL_TEXTS("sum + value"),
    .no_gradient = "an update ends a step",
    .samples = AVAL_SAMPLES({ .inputs = "[2,3] [2,3]" }, { .inputs = "[] []" }, { .inputs = "[0] [0]" },
                            { .inputs = "i64[2]{1,2} i64[2]{3,-4}", .why = "integers" }),
};

AVAL_PLUGIN("optimize", "0.1.0", NULL, &sgd, &accumulate)
