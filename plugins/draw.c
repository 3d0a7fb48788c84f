/* Operators that make random numbers.  These follow from the attribute `seed`, or where there is one from a state (seed, counter) that the
 * op updates; they are the same on every device, but for the last digits of the functions that normal numbers are made with. */
#include "elementwise.h"

#include "philox.h"
#include "support.h"

#include "draw.cl.h"

#include <string.h>

#define STATES AVAL_TYPE_SET(AVAL_INT64)

/* ONNX has seeds as floats: a whole number stands for itself, any other for its bits. */
static int64_t seed_of(const aval_host *host, aval_call *call)
{
    double seed = host->attr_float(call, "seed");
    int64_t bits;
    if (fabs(seed) < 0x1p53 && seed == floor(seed)) return (int64_t)seed;
    memcpy(&bits, &seed, sizeof bits);
    return bits;
}

static const aval_tensor *state_of(const aval_host *host, aval_call *call)
{
    return host->n_inputs(call) > 0 ? host->input(call, 0) : NULL;
}

static int expect_type(const aval_host *host, aval_call *call, int64_t type, uint64_t allowed)
{
    if (type > AVAL_NONE && type < AVAL_TYPES && allowed & AVAL_TYPE_SET(type)) return 0;
    return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "attribute dtype: element type %lld cannot be drawn here", (long long)type);
}

/* ---- RandomUniform and RandomNormal ----------------------------------------------------------------------------------------------- */

static int draw_infer(const aval_host *host, aval_call *call)
{
    size_t rank;
    const int64_t *dims = host->attr_ints(call, "shape", &rank);
    const aval_tensor *state = state_of(host, call);
    TRY(expect_type(host, call, host->attr_int(call, "dtype"), AVAL_FLOATS));
    if (state != NULL && host->count(state) != 2)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input state has %lld elements, expected 2: seed and counter",
                          (long long)host->count(state));
    TRY(host->set_output(call, 0, (aval_type)host->attr_int(call, "dtype"), (uint32_t)rank, dims));
    return host->n_outputs(call) > 1 ? host->set_output(call, 1, AVAL_INT64, 1, (const int64_t[]){ 2 }) : 0;
}

static int draw(const aval_host *host, aval_call *call, int normal, double low, double high)
{
    const aval_tensor *y = host->output(call, 0), *state = state_of(host, call);
    const aval_tensor *next = host->n_outputs(call) > 1 ? host->output(call, 1) : NULL;
    const aval_device_info *device = host->device(call);
    int64_t n = host->count(y), seed = seed_of(host, call), blocks = (n + 3) / 4, chunk = chunk_of(device, blocks, 4);
    if (n > 0)
        TRY(host->launch(call, AVAL_LAUNCH(.kernel = "draw", EACH((blocks + chunk - 1) / chunk), .local = { device->group == 1 },
                                           AVAL_ARGS(AVAL_WRITE(y), AVAL_READ(state), AVAL_I64(n), AVAL_I64(chunk), AVAL_I64(seed),
                                                     AVAL_I32(normal), AVAL_REAL(low), AVAL_REAL(high)))));
    if (next == NULL) return 0;
    return host->launch(call, AVAL_LAUNCH(.kernel = "draw_next", EACH(1), .s_type = (uint32_t)host->type(y),
                                          AVAL_ARGS(AVAL_READ(state), AVAL_WRITE(next), AVAL_I64(seed))));
}

static int uniform_forward(const aval_host *host, aval_call *call)
{
    return draw(host, call, 0, host->attr_float(call, "low"), host->attr_float(call, "high"));
}

static int normal_forward(const aval_host *host, aval_call *call)
{
    return draw(host, call, 1, host->attr_float(call, "mean"), host->attr_float(call, "scale"));
}

/* Number i of a stream, by two words of its block. */
static double number(const uint32_t words[4], int64_t i, int normal)
{
    if (!normal) return philox_uniform(words[i % 4]);
    double radius = sqrt(-2 * log(philox_uniform(words[i % 4 / 2 * 2]) + 0x1p-24));
    double angle = 6.283185307179586476925286766559 * philox_uniform(words[i % 4 / 2 * 2 + 1]);
    return radius * (i % 2 == 0 ? cos(angle) : sin(angle));
}

static int draw_reference(const aval_host *host, aval_call *call, int normal, double low, double scale)
{
    const aval_tensor *y = host->output(call, 0), *state = state_of(host, call);
    const aval_tensor *next = host->n_outputs(call) > 1 ? host->output(call, 1) : NULL;
    uint64_t seed = (uint64_t)(state == NULL ? seed_of(host, call) : host->integer(call, state)[0]);
    uint64_t counter = state == NULL ? 0 : (uint64_t)host->integer(call, state)[1];
    uint32_t words[4] = { 0 };
    for (int64_t i = 0; i < host->count(y); i++) {
        if (i % 4 == 0) philox((uint64_t)i / 4, seed, counter, words);
        host->real(call, y)[i] = low + scale * number(words, i, normal);
    }
    if (next == NULL) return 0;
    host->integer(call, next)[0] = (int64_t)seed;
    host->integer(call, next)[1] = (int64_t)(counter + 1);
    return 0;
}

static int uniform_reference(const aval_host *host, aval_call *call)
{
    double low = host->attr_float(call, "low");
    return draw_reference(host, call, 0, low, host->attr_float(call, "high") - low);
}

static int normal_reference(const aval_host *host, aval_call *call)
{
    return draw_reference(host, call, 1, host->attr_float(call, "mean"), host->attr_float(call, "scale"));
}

/* ---- Bodies ----------------------------------------------------------------------------------------------------------------------- */

static aval_type like_type(const aval_host *host, aval_call *call)
{
    int64_t type = host->attr_int(call, "dtype");
    return type == 0 ? host->type(host->input(call, 0)) : (aval_type)type;
}

static int like_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    TRY(expect_type(host, call, like_type(host, call), AVAL_FLOATS));
    return host->set_output(call, 0, like_type(host, call), host->rank(x), host->dims(x));
}

/* A tensor of the input's shape by `op`, whose attributes a and b are the node's. */
static int body_like(const aval_host *host, aval_call *call, const char *op, const char *a, const char *b)
{
    const aval_tensor *x = host->input(call, 0), *y;
    text attrs = { 0 };
    text_ints(&attrs, "shape", host->dims(x), host->rank(x));
    text_int(&attrs, "dtype", like_type(host, call));
    text_real(&attrs, "seed", host->attr_float(call, "seed"));
    text_real(&attrs, a, host->attr_float(call, a));
    text_real(&attrs, b, host->attr_float(call, b));
    TRY(host->apply(call, op, attrs.at, 0, NULL, 1, &y));
    return host->yield(call, 0, y);
}

static int uniform_like(const aval_host *host, aval_call *call)
{
    return body_like(host, call, "RandomUniform", "low", "high");
}

static int normal_like(const aval_host *host, aval_call *call)
{
    return body_like(host, call, "RandomNormal", "mean", "scale");
}

static int bernoulli_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    TRY(expect_type(host, call, like_type(host, call), AVAL_STORED));
    return host->set_output(call, 0, like_type(host, call), host->rank(x), host->dims(x));
}

/* Numbers from 0 to 1 below x; drawn as floats, since a half may round up to 1. */
static int bernoulli_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *pair[2] = { NULL, x }, *y;
    text attrs = { 0 }, to = { 0 };
    text_ints(&attrs, "shape", host->dims(x), host->rank(x));
    text_real(&attrs, "seed", host->attr_float(call, "seed"));
    text_int(&to, "to", like_type(host, call));
    TRY(host->apply(call, "RandomUniform", attrs.at, 0, NULL, 1, &pair[0]));
    TRY(host->apply(call, "Cast", "to=1", 1, &pair[1], 1, &pair[1]));
    TRY(host->apply(call, "Less", NULL, 2, pair, 1, &y));
    TRY(host->apply(call, "Cast", to.at, 1, &y, 1, &y));
    return host->yield(call, 0, y);
}

/* ---- Multinomial ------------------------------------------------------------------------------------------------------------------ */

static int multinomial_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t samples = host->attr_int(call, "sample_size");
    TRY(expect_type(host, call, host->attr_int(call, "dtype"), AVAL_TYPE_SET(AVAL_INT32) | AVAL_TYPE_SET(AVAL_INT64)));
    if (host->rank(x) != 2 || host->dims(x)[1] < 1)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "the input has %u axes, expected 2: batch and classes, of which there is at least one", (unsigned)host->rank(x));
    if (samples < 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute sample_size is %lld, expected 0 or more", (long long)samples);
    return host->set_output(call, 0, (aval_type)host->attr_int(call, "dtype"), 2, (const int64_t[]){ host->dims(x)[0], samples });
}

static int multinomial_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    if (host->count(y) == 0) return 0;
    return host->launch(call, AVAL_LAUNCH(.kernel = "multinomial", EACH(host->count(y)), .d_type = (uint32_t)host->type(y),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(y), AVAL_I64(host->dims(y)[0]), AVAL_I64(host->dims(y)[1]),
                                                    AVAL_I64(host->dims(x)[1]), AVAL_I64(seed_of(host, call)))));
}

static int64_t choose(const double *x, int64_t classes, double u)
{
    double highest = x[0], sum = 0, below = 0;
    int64_t chosen = 0;
    for (int64_t c = 1; c < classes; c++) highest = fmax(highest, x[c]);
    for (int64_t c = 0; c < classes; c++) sum += exp(x[c] - highest);
    for (int64_t c = 0; c + 1 < classes; c++) {
        below += exp(x[c] - highest);
        if (sum * u >= below) chosen = c + 1;
    }
    return chosen;
}

static int multinomial_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    int64_t classes = host->dims(x)[1], samples = host->dims(y)[1];
    uint32_t words[4] = { 0 };
    for (int64_t i = 0; i < host->count(y); i++) {
        if (i % 4 == 0) philox((uint64_t)i / 4, (uint64_t)seed_of(host, call), 0, words);
        host->integer(call, y)[i] = choose(host->real(call, x) + i / samples * classes, classes, philox_uniform(words[i % 4]));
    }
    return 0;
}

/* ---- Definitions ------------------------------------------------------------------------------------------------------------------ */

#define SEED FLOAT_ATTR("seed", "0", "chooses the numbers")
#define DTYPE(value, text) \
    { \
        .name = "dtype", .type = AVAL_ATTR_INT, .initial = value, .doc = text \
    }
#define LIKE_DTYPE DTYPE("0", "ONNX's number of the element type; 0: the input's")

#define HALVES \
    { \
        .inputs = "", .attrs = "shape=[5] dtype=10 seed=0.5", .rtol = 1e-3, .why = "the result is rounded to half" \
    }

#define DRAW(variable, op_name, which, low, high, summary, ...) \
    static const aval_op variable = { \
        .size = sizeof(aval_op), \
        .name = op_name, \
        .since = 1, \
        .deterministic = 1, \
        .doc = summary, \
        .inputs = AVAL_PORTS({ .name = "state", .flags = AVAL_OPTIONAL, .types = STATES }), \
        .outputs = \
            AVAL_PORTS(REAL("output"), { .name = "state_out", .flags = AVAL_OPTIONAL, .types = STATES, .updates = AVAL_UPDATES(0) }), \
        .attrs = AVAL_ATTRS(low, high, SEED, DTYPE("1", "ONNX's number of the element type"), \
                            { .name = "shape", .type = AVAL_ATTR_INTS, .required = 1, .doc = "of the result" }), \
        .infer = draw_infer, \
        .forward = which##_forward, \
        .reference = which##_reference, \
        .samples = AVAL_SAMPLES(__VA_ARGS__, { .inputs = "", .attrs = "shape=[0,3]" }, { .inputs = "i64[2]{7,3}", .attrs = "shape=[5]" }, \
                                { .inputs = "i64[2]{7,4294967296}", .attrs = "shape=[257,259] seed=1", .size_class = AVAL_LARGE }), \
    }
#define LOW FLOAT_ATTR("low", "0", "least number")
#define HIGH FLOAT_ATTR("high", "1", "where numbers end")
#define MEAN FLOAT_ATTR("mean", "0", "of the numbers")
#define SCALE FLOAT_ATTR("scale", "1", "their standard deviation")
DRAW(random_uniform, "RandomUniform", uniform, LOW, HIGH, "Numbers drawn evenly from low to high.",
     { .inputs = "", .attrs = "shape=[2,3] low=-2 high=3 seed=5" }, HALVES, { .inputs = "", .attrs = "shape=[] dtype=11" });
DRAW(random_normal, "RandomNormal", normal, MEAN, SCALE, "Numbers drawn from a normal distribution.",
     { .inputs = "", .attrs = "shape=[2,3] mean=-2 scale=3 seed=5" }, HALVES, { .inputs = "", .attrs = "shape=[] dtype=11" });

#define LIKE(variable, op_name, function, low, high, summary) \
    static const aval_op variable = { \
        .size = sizeof(aval_op), \
        .name = op_name, \
        .since = 1, \
        .deterministic = 1, \
        .doc = summary, \
        .infer = like_infer, \
        .body = function, \
        .no_gradient = "reads the shape alone", \
        .zero_gradient = 1, \
        .inputs = AVAL_PORTS(PORT("input", AVAL_STORED)), \
        .outputs = AVAL_PORTS(REAL("output")), \
        .attrs = AVAL_ATTRS(low, high, SEED, LIKE_DTYPE), \
        .samples = \
            AVAL_SAMPLES({ .inputs = "[2,3]", .attrs = "seed=4" }, { .inputs = "i32[5]", .attrs = "dtype=1" }, { .inputs = "[0]" }), \
    }
LIKE(random_uniform_like, "RandomUniformLike", uniform_like, LOW, HIGH, "Numbers drawn evenly from low to high, in the input's shape.");
LIKE(random_normal_like, "RandomNormalLike", normal_like, MEAN, SCALE, "Numbers drawn from a normal distribution, in the input's shape.");

static const aval_op bernoulli = {
    .size = sizeof(aval_op),
    .name = "Bernoulli",
    .since = 15,
    .deterministic = 1,
    .doc = "1 with the input's probability, else 0.",
    .infer = bernoulli_infer,
    .body = bernoulli_body,
    .zero_gradient = 1,
    .inputs = AVAL_PORTS(REAL("input")),
    .outputs = AVAL_PORTS(PORT("output", AVAL_STORED)),
    .attrs = AVAL_ATTRS(SEED, LIKE_DTYPE),
    .no_gradient = "what is drawn jumps",
    .samples = AVAL_SAMPLES({ .inputs = "[20]", .low = 0, .high = 1 }, { .inputs = "[2,3]{0,1,0,1,0,1}", .attrs = "dtype=9" },
                            { .inputs = "[5]", .low = 0, .high = 1, .attrs = "dtype=7 seed=3" }, { .inputs = "[0]" }),
};
static const aval_op multinomial = {
    .size = sizeof(aval_op),
    .name = "Multinomial",
    .since = 7,
    .deterministic = 1,
    .doc = "Classes drawn by chance; the input holds the logarithms of their weights, [batch, classes].",
    .infer = multinomial_infer,
    .forward = multinomial_forward,
    .reference = multinomial_reference,
    .zero_gradient = 1,
    .inputs = AVAL_PORTS(REAL("input")),
    .outputs = AVAL_PORTS(PORT("output", AVAL_TYPE_SET(AVAL_INT32) | AVAL_TYPE_SET(AVAL_INT64))),
    .attrs = AVAL_ATTRS(SEED, DTYPE("6", "int32 (6) or int64 (7)"),
                        { .name = "sample_size", .type = AVAL_ATTR_INT, .initial = "1", .doc = "how many are drawn for each row" }),
    .no_gradient = "what is drawn jumps",
    .samples =
        AVAL_SAMPLES({ .inputs = "[2,3]", .attrs = "sample_size=20 seed=2" }, { .inputs = "[3,1]", .attrs = "dtype=7" },
                     { .inputs = "[1,4]{-90,90,-90,90}", .attrs = "sample_size=9", .why = "exp overflows without the largest taken off" },
                     { .inputs = "[0,3]" }),
};

AVAL_PLUGIN("draw", "0.1.0", AVAL_SOURCES({ "draw.cl", draw_cl }), &random_uniform, &random_normal, &random_uniform_like,
            &random_normal_like, &bernoulli, &multinomial)
