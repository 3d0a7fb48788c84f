/* Dropout.  Its random numbers follow from a state (seed, counter), which the op updates, so that a run can be repeated
 * and all devices draw the same. */
#include "philox.h"
#include "support.h"

#include "random.cl.h"

static const aval_tensor *given(const aval_host *host, aval_call *call, size_t i)
{
    return i < host->n_inputs(call) ? host->input(call, i) : NULL;
}

static const aval_tensor *wanted(const aval_host *host, aval_call *call, size_t i)
{
    return i < host->n_outputs(call) ? host->output(call, i) : NULL;
}

static int dropout_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *state = given(host, call, 3);
    size_t n = host->n_outputs(call);
    for (size_t i = 1; i < 3; i++) {
        if (given(host, call, i) != NULL && host->count(host->input(call, i)) != 1)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %s has %lld elements, expected 1", i == 1 ? "ratio" : "training_mode",
                              (long long)host->count(host->input(call, i)));
    }
    if (state != NULL && host->count(state) != 2)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input state has %lld elements, expected 2: seed and counter",
                          (long long)host->count(state));
    TRY(aval_infer_like(host, call, 0, 0));
    if (n > 1) TRY(host->set_output(call, 1, AVAL_BOOL, host->rank(x), host->dims(x)));
    return n > 2 ? host->set_output(call, 2, AVAL_INT64, 1, (const int64_t[]){ 2 }) : 0;
}

static uint32_t ratio_type(const aval_host *host, aval_call *call)
{
    const aval_tensor *ratio = given(host, call, 1);
    return ratio == NULL ? AVAL_FLOAT : (uint32_t)host->type(ratio);
}

static int dropout_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *training = given(host, call, 2), *state = given(host, call, 3),
                      *next = wanted(host, call, 2);
    int64_t n = host->count(x);
    if (n > 0)
        TRY(host->launch(call, AVAL_LAUNCH(.kernel = "dropout_forward", EACH((n + 3) / 4), .d_type = ratio_type(host, call),
                                           AVAL_ARGS(AVAL_READ(x), AVAL_READ(given(host, call, 1)), AVAL_READ(training), AVAL_READ(state),
                                                     AVAL_WRITE(host->output(call, 0)), AVAL_WRITE(wanted(host, call, 1)), AVAL_I64(n),
                                                     AVAL_I64(host->attr_int(call, "seed"))))));
    if (next == NULL) return 0;
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "dropout_next", EACH(1), .s_type = (uint32_t)host->type(x), .d_type = ratio_type(host, call),
                          AVAL_ARGS(AVAL_READ(state), AVAL_READ(training), AVAL_WRITE(next), AVAL_I64(host->attr_int(call, "seed")))));
}

static int dropout_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *dx = host->gradient(call, 0);
    if (host->upstream(call, 0) == NULL) return host->fill(call, dx, 0);
    if (host->count(dx) == 0) return 0;
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "dropout_backward", EACH(host->count(dx)), .d_type = ratio_type(host, call),
                          AVAL_ARGS(AVAL_READ(host->upstream(call, 0)), AVAL_READ(given(host, call, 1)), AVAL_READ(given(host, call, 2)),
                                    AVAL_READ(host->output(call, 1)), AVAL_WRITE(dx), AVAL_I64(host->count(dx)))));
}

static int dropout_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *ratio_in = given(host, call, 1), *training_in = given(host, call, 2), *state = given(host, call, 3);
    const aval_tensor *x = host->input(call, 0), *mask = wanted(host, call, 1), *next = wanted(host, call, 2);
    double ratio = ratio_in == NULL ? 0.5 : host->real(call, ratio_in)[0];
    int active = training_in != NULL && host->integer(call, training_in)[0] != 0;
    uint64_t seed = (uint64_t)(state == NULL ? host->attr_int(call, "seed") : host->integer(call, state)[0]);
    uint64_t counter = state == NULL ? 0 : (uint64_t)host->integer(call, state)[1];
    uint32_t words[4] = { 0, 0, 0, 0 };
    for (int64_t i = 0; i < host->count(x); i++) {
        if (i % 4 == 0) philox((uint64_t)i / 4, seed, counter, words);
        int kept = !active || !(philox_uniform(words[i % 4]) < (double)(float)ratio);
        host->real(call, host->output(call, 0))[i] = kept ? host->real(call, x)[i] / (active ? 1 - ratio : 1) : 0;
        if (mask != NULL) host->integer(call, mask)[i] = kept;
    }
    if (next != NULL) {
        host->integer(call, next)[0] = (int64_t)seed;
        host->integer(call, next)[1] = (int64_t)(counter + (uint64_t)active);
    }
    return 0;
}

/* ONNX's Dropout with one more, optional input: the state. */
static const aval_op dropout_op = {
    .size = sizeof(aval_op),
    .name = "Dropout",
    .since = 12,
    .deterministic = 1,
    .doc = "In training each element becomes 0 with probability ratio, and the others grow so that the mean stays.",
    .inputs = AVAL_PORTS({ .name = "data" }, { .name = "ratio", .flags = AVAL_OPTIONAL },
                         { .name = "training_mode", .flags = AVAL_OPTIONAL, .types = AVAL_BOOLS },
                         { .name = "state", .flags = AVAL_OPTIONAL, .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .outputs = AVAL_PORTS({ .name = "output" }, { .name = "mask", .flags = AVAL_OPTIONAL, .types = AVAL_BOOLS },
                          { .name = "state_out", .flags = AVAL_OPTIONAL, .types = AVAL_TYPE_SET(AVAL_INT64), .updates = AVAL_UPDATES(3) }),
    .attrs = AVAL_ATTRS({ .name = "seed", .type = AVAL_ATTR_INT, .initial = "0", .doc = "seed where there is no state" }),
    .infer = dropout_infer,
    .forward = dropout_forward,
    .backward = dropout_backward,
    .reference = dropout_reference,
    .keeps = AVAL_KEEP_INPUT(1) | AVAL_KEEP_INPUT(2) | AVAL_KEEP_OUTPUT(1),
    .zero_gradient = 14,
    .samples = AVAL_SAMPLES({ .inputs = "[5,7] []{0.3} b[]{1} i64[2]{7,3}" },
                            { .inputs = "[5,7] []{0.3} b[]{0} i64[2]{7,3}", .why = "evaluation" }, { .inputs = "[5,7]" },
                            { .inputs = "[0] []{0.3} b[]{1} i64[2]{7,3}" }, { .inputs = "[1] - b[]{1}", .attrs = "seed=5" },
                            { .inputs = "[257,259] []{0.5} b[]{1} i64[2]{7,4294967296}", .size_class = AVAL_LARGE }),
};

/* The older form trains never: that was the business of who ran it. */
static int older_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    TRY(aval_infer_like(host, call, 0, 0));
    return host->n_outputs(call) > 1 ? host->set_output(call, 1, AVAL_BOOL, host->rank(x), host->dims(x)) : 0;
}

static int older_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *results[2];
    size_t n = host->n_outputs(call) > 1 ? 2 : 1;
    TRY(host->apply(call, "Dropout", NULL, 1, &x, n, results));
    for (size_t i = 0; i < n; i++) TRY(host->yield(call, i, results[i]));
    return 0;
}

static const aval_op older_dropout_op = {
    .size = sizeof(aval_op),
    .name = "Dropout",
    .since = 7,
    .deterministic = 1,
    .doc = "The older form, which passes its input on, as after training.",
    .inputs = AVAL_PORTS({ .name = "data" }),
    .outputs = AVAL_PORTS({ .name = "output" }, { .name = "mask", .flags = AVAL_OPTIONAL, .types = AVAL_BOOLS }),
    .attrs = AVAL_ATTRS({ .name = "ratio", .type = AVAL_ATTR_FLOAT, .initial = "0.5", .doc = "of no effect after training" }),
    .infer = older_infer,
    .body = older_body,
    .samples = AVAL_SAMPLES({ .inputs = "[5,7]", .attrs = "ratio=0.3" }, { .inputs = "[0]" }),
};

AVAL_PLUGIN("random", "0.1.0", AVAL_SOURCES({ "random.cl", random_cl }), &dropout_op, &older_dropout_op)
