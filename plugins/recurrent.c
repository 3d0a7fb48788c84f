/* Recurrent networks as bodies, unrolled over time.  The products with R of all steps share one operand, whose gradient is therefore added up
 * in one buffer; those with W do not depend on one another and are one product for all steps. */
#include "support.h"

/* X [time, batch, inputs], W [directions, 4 hidden, inputs], R [directions, 4 hidden, hidden], B [directions, 8 hidden]; gates in ONNX's
   order: input, output, forget, cell. */
typedef struct lstm {
    int64_t time, batch, inputs, hidden, directions;
    int reversed; /* of the first direction */
} lstm;

enum { X, W, R, B, SEQUENCE_LENS, INITIAL_H, INITIAL_C, P };

static const aval_tensor *given(const aval_host *host, aval_call *call, size_t i)
{
    return i < host->n_inputs(call) ? host->input(call, i) : NULL;
}

static int expect_shape(const aval_host *host, aval_call *call, size_t i, const char *name, int64_t a, int64_t b, int64_t c)
{
    const aval_tensor *t = given(host, call, i);
    uint32_t rank = c < 0 ? 2 : 3;
    if (t == NULL) return 0;
    const int64_t *d = host->dims(t);
    if (host->rank(t) == rank && d[0] == a && d[1] == b && (c < 0 || d[2] == c)) return 0;
    return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                      c < 0 ? "input %s has another shape than the expected [%lld,%lld]"
                            : "input %s has another shape than the expected [%lld,%lld,%lld]",
                      name, (long long)a, (long long)b, (long long)c);
}

static int lstm_read(const aval_host *host, aval_call *call, lstm *l)
{
    const aval_tensor *x = host->input(call, X), *r = host->input(call, R);
    const char *direction = host->attr_string(call, "direction");
    if (host->rank(x) != 3 || host->rank(r) != 3)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "inputs X and R have %u and %u axes, expected 3 and 3", (unsigned)host->rank(x),
                          (unsigned)host->rank(r));
    if (given(host, call, SEQUENCE_LENS) != NULL || given(host, call, P) != NULL || host->attr_int(call, "layout") != 0)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "inputs sequence_lens and P, and layout=1, are not possible here");
    *l = (lstm){ host->dims(x)[0], host->dims(x)[1], host->dims(x)[2], host->dims(r)[2], direction[0] == 'b' ? 2 : 1, direction[0] == 'r' };
    if (direction[0] != 'f' && direction[0] != 'r' && direction[0] != 'b')
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute direction is '%s', expected forward, reverse or bidirectional",
                          direction);
    if (host->attr_given(call, "hidden_size") && host->attr_int(call, "hidden_size") != l->hidden)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "attribute hidden_size is %lld, but input R has %lld",
                          (long long)host->attr_int(call, "hidden_size"), (long long)l->hidden);
    TRY(expect_shape(host, call, W, "W", l->directions, 4 * l->hidden, l->inputs));
    TRY(expect_shape(host, call, R, "R", l->directions, 4 * l->hidden, l->hidden));
    TRY(expect_shape(host, call, B, "B", l->directions, 8 * l->hidden, -1));
    TRY(expect_shape(host, call, INITIAL_H, "initial_h", l->directions, l->batch, l->hidden));
    return expect_shape(host, call, INITIAL_C, "initial_c", l->directions, l->batch, l->hidden);
}

static int lstm_infer(const aval_host *host, aval_call *call)
{
    lstm l;
    TRY(lstm_read(host, call, &l));
    aval_type type = host->type(host->input(call, X));
    const int64_t all[] = { l.time, l.directions, l.batch, l.hidden };
    TRY(host->set_output(call, 0, type, 4, all));
    for (size_t i = 1; i < host->n_outputs(call); i++) TRY(host->set_output(call, i, type, 3, all + 1));
    return 0;
}

/* x from `start` up to `end` along an axis. */
static int slice(const aval_host *host, aval_call *call, const aval_tensor *x, int64_t axis, int64_t start, int64_t end,
                 const aval_tensor **out)
{
    const aval_tensor *in[] = { x, constant_ints(host, call, &start, 1), constant_ints(host, call, &end, 1),
                                constant_ints(host, call, &axis, 1) };
    return host->apply(call, "Slice", NULL, 4, in, 1, out);
}

/* Element i of the first axis, without that axis. */
static int element(const aval_host *host, aval_call *call, const aval_tensor *x, int64_t i, const aval_tensor **out)
{
    uint32_t rank = host->rank(x) - 1;
    int64_t dims[AVAL_MAX_RANK];
    for (uint32_t d = 0; d < rank; d++) dims[d] = host->dims(x)[d + 1];
    TRY(slice(host, call, x, 0, i, i + 1, out));
    return reshaped(host, call, *out, rank, dims, out);
}

static int unary(const aval_host *host, aval_call *call, const char *op, const aval_tensor *x, const aval_tensor **out)
{
    return host->apply(call, op, NULL, 1, &x, 1, out);
}

static int binary(const aval_host *host, aval_call *call, const char *op, const aval_tensor *a, const aval_tensor *b,
                  const aval_tensor **out)
{
    const aval_tensor *in[] = { a, b };
    return host->apply(call, op, NULL, 2, in, 1, out);
}

/* One step: h and c [batch, hidden] move on; from_x [batch, 4 hidden] is what the input gives, biases in it. */
static int step(const aval_host *host, aval_call *call, const lstm *l, const aval_tensor *from_x, const aval_tensor *r,
                const aval_tensor **h, const aval_tensor **c)
{
    static const char *const activations[] = { "Sigmoid", "Sigmoid", "Sigmoid", "Tanh" };
    const aval_tensor *pair[] = { *h, r }, *sum, *gate[4], *kept, *added, *out;
    TRY(host->apply(call, "aval::MatrixProduct", "transB=1", 2, pair, 1, &sum));
    TRY(binary(host, call, "Add", from_x, sum, &sum));
    for (int i = 0; i < 4; i++) {
        TRY(slice(host, call, sum, 1, i * l->hidden, (i + 1) * l->hidden, &gate[i]));
        TRY(unary(host, call, activations[i], gate[i], &gate[i]));
    }
    TRY(binary(host, call, "Mul", gate[2], *c, &kept));
    TRY(binary(host, call, "Mul", gate[0], gate[3], &added));
    TRY(binary(host, call, "Add", kept, added, c));
    TRY(unary(host, call, "Tanh", *c, &out));
    return binary(host, call, "Mul", gate[1], out, h);
}

/* [time, batch, 4 hidden]: the inputs of all steps times W, and both biases. */
static int input_products(const aval_host *host, aval_call *call, const lstm *l, int64_t d, const aval_tensor **out)
{
    const aval_tensor *w, *x, *b, *b_x, *b_h;
    const int64_t rows[] = { l->time * l->batch, l->inputs }, result[] = { l->time, l->batch, 4 * l->hidden };
    TRY(element(host, call, host->input(call, W), d, &w));
    TRY(reshaped(host, call, host->input(call, X), 2, rows, &x));
    const aval_tensor *pair[] = { x, w };
    TRY(host->apply(call, "aval::MatrixProduct", "transB=1", 2, pair, 1, out));
    if (given(host, call, B) != NULL) {
        TRY(element(host, call, host->input(call, B), d, &b));
        TRY(slice(host, call, b, 0, 0, 4 * l->hidden, &b_x));
        TRY(slice(host, call, b, 0, 4 * l->hidden, 8 * l->hidden, &b_h));
        TRY(binary(host, call, "Add", b_x, b_h, &b));
        TRY(binary(host, call, "Add", *out, b, out));
    }
    return reshaped(host, call, *out, 3, result, out);
}

/* The first state of direction d: input i, or zeros. */
static int first_state(const aval_host *host, aval_call *call, const lstm *l, size_t i, int64_t d, const aval_tensor **out)
{
    const int64_t dims[] = { l->batch, l->hidden };
    text attrs = { 0 };
    if (given(host, call, i) != NULL) return element(host, call, host->input(call, i), d, out);
    text_ints(&attrs, "dims", dims, 2);
    text_int(&attrs, "type", host->type(host->input(call, X)));
    return host->apply(call, "aval::Fill", attrs.at, 0, NULL, 1, out);
}

/* `part`, with the axes in front that the results have, joined to what is there along `axis`. */
static int append(const aval_host *host, aval_call *call, const aval_tensor *part, uint32_t front, int64_t axis, const aval_tensor **all)
{
    int64_t dims[AVAL_MAX_RANK] = { 1, 1 };
    uint32_t rank = host->rank(part);
    text attrs = { 0 };
    for (uint32_t i = 0; i < rank; i++) dims[front + i] = host->dims(part)[i];
    TRY(reshaped(host, call, part, front + rank, dims, &part));
    if (*all == NULL) {
        *all = part;
        return 0;
    }
    const aval_tensor *pair[] = { *all, part };
    text_int(&attrs, "axis", axis);
    return host->apply(call, "Concat", attrs.at, 2, pair, 1, all);
}

#define STEPS 4096 /* most time steps: each is some fifteen nodes */

static int lstm_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = NULL, *y_h = NULL, *y_c = NULL, *steps[STEPS];
    lstm l;
    TRY(lstm_read(host, call, &l));
    if (l.time < 1 || l.time > STEPS)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "input X has %lld time steps, expected 1 to %d", (long long)l.time, STEPS);
    for (int64_t d = 0; d < l.directions; d++) {
        const aval_tensor *from_x, *r, *h, *c, *x_t, *all;
        const int64_t dims[] = { 1, 1, l.batch, l.hidden };
        TRY(input_products(host, call, &l, d, &from_x));
        TRY(element(host, call, host->input(call, R), d, &r));
        TRY(first_state(host, call, &l, INITIAL_H, d, &h));
        TRY(first_state(host, call, &l, INITIAL_C, d, &c));
        for (int64_t i = 0; i < l.time; i++) {
            int64_t t = l.reversed || d == 1 ? l.time - 1 - i : i;
            TRY(element(host, call, from_x, t, &x_t));
            TRY(step(host, call, &l, x_t, r, &h, &c));
            TRY(reshaped(host, call, h, 4, dims, &steps[t]));
        }
        TRY(host->apply(call, "Concat", "axis=0", (size_t)l.time, steps, 1, &all));
        TRY(append(host, call, all, 0, 1, &y));
        TRY(append(host, call, h, 1, 0, &y_h));
        TRY(append(host, call, c, 1, 0, &y_c));
    }
    TRY(host->yield(call, 0, y));
    if (host->n_outputs(call) > 1) TRY(host->yield(call, 1, y_h));
    return host->n_outputs(call) > 2 ? host->yield(call, 2, y_c) : 0;
}

#define STATE(port_name) \
    { \
        .name = port_name, .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) \
    }

static const aval_op lstm_op = {
    .size = sizeof(aval_op),
    .name = "LSTM",
    .since = 14,
    .deterministic = 1,
    .doc = "Long short-term memory over a sequence.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "W", .like = AVAL_LIKE(0) }, { .name = "R", .like = AVAL_LIKE(0) }, STATE("B"),
                         { .name = "sequence_lens", .flags = AVAL_OPTIONAL, .types = AVAL_TYPE_SET(AVAL_INT32) }, STATE("initial_h"),
                         STATE("initial_c"), STATE("P")),
    .outputs = AVAL_PORTS({ .name = "Y" }, { .name = "Y_h", .flags = AVAL_OPTIONAL }, { .name = "Y_c", .flags = AVAL_OPTIONAL }),
    .attrs =
        AVAL_ATTRS({ .name = "hidden_size", .type = AVAL_ATTR_INT, .doc = "as R has it" },
                   { .name = "direction", .type = AVAL_ATTR_STRING, .initial = "'forward'", .doc = "forward, reverse or bidirectional" },
                   { .name = "layout", .type = AVAL_ATTR_INT, .initial = "0", .doc = "0: time is the first axis" }),
    .infer = lstm_infer,
    .body = lstm_body,
    .zero_gradient = 16,
    .samples =
        AVAL_SAMPLES({ .inputs = "[3,2,4] [1,12,4] [1,12,3] [1,24]" }, { .inputs = "[1,1,1] [1,4,1] [1,4,1]" },
                     { .inputs = "[3,2,4] [1,12,4] [1,12,3] [1,24] - [1,2,3] [1,2,3]", .attrs = "direction='reverse' hidden_size=3" },
                     { .inputs = "[2,2,3] [2,8,3] [2,8,2] [2,16]", .attrs = "direction='bidirectional'" }),
};

static const aval_op *const ops[] = { &lstm_op, NULL };

AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = {
    .abi = AVAL_PLUGIN_ABI,
    .size = sizeof(aval_plugin),
    .name = "recurrent",
    .version = "0.1.0",
    .ops = ops,
};
