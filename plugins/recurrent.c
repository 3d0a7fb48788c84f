/* RNN, LSTM and GRU as bodies: an LSTM that is nothing but usual as one aval::LstmSteps a direction, all else unrolled over time.  There states are
 * kept turned, [hidden, batch], so that the gates of a product are parts of its rows, which lie in memory as they are and cost no copy.  The products with R of all steps share one operand, whose gradient is therefore
 * added up in one buffer; those with W do not depend on one another and are one product for all steps. */
#include "support.h"

#include <string.h>
#include <strings.h>

/* Inputs; those that an op has not come last in it. */
enum { X, W, R, B, SEQUENCE_LENS, INITIAL_H, INITIAL_C, P };
enum { MOST_GATES = 4, MOST_ACTIVATIONS = 3, STEPS = 4096 /* most time steps: each is some ten nodes */ };

/* The kinds of networks.  One step makes new states of old ones. */
typedef struct network network;
typedef struct kind {
    int64_t gates, states, activations;
    const char *usual; /* activations of a direction */
    int (*step)(const aval_host *host, aval_call *call, const network *n, const aval_tensor *const *from_x, const aval_tensor **states);
} kind;

typedef struct activation {
    const char *op;
    text attrs;
} activation;

/* X [time, batch, inputs], W [directions, gates hidden, inputs], R [directions, gates hidden, hidden], B [directions, 2 gates hidden]; with
   layout 1 batch is the first axis of X, Y and the states. */
struct network {
    const kind *kind;
    int64_t time, batch, inputs, hidden, directions;
    int reversed, batch_first, linear_before_reset, coupled;
    int turned; /* states are [hidden, batch], else [batch, hidden] */
    double clip; /* 0: none */
    /* of the direction that is being built */
    activation f[MOST_ACTIVATIONS];
    const aval_tensor *r; /* [gates hidden, hidden] */
    const aval_tensor *bias; /* of the products with R, [gates hidden, 1]; NULL where it is in those with W already */
    const aval_tensor *peepholes[3]; /* [hidden, 1] of the input, output and forget gate, or NULL */
};

static const aval_tensor *given(const aval_host *host, aval_call *call, size_t i)
{
    return i < host->n_inputs(call) ? host->input(call, i) : NULL;
}

/* ---- Reading ------------------------------------------------------------------------------------------------------------------------------ */

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

static int expect_state(const aval_host *host, aval_call *call, const network *n, size_t i, const char *name)
{
    if (n->batch_first) return expect_shape(host, call, i, name, n->batch, n->directions, n->hidden);
    return expect_shape(host, call, i, name, n->directions, n->batch, n->hidden);
}

static int read_attributes(const aval_host *host, aval_call *call, network *n)
{
    const char *direction = host->attr_string(call, "direction");
    n->reversed = strcmp(direction, "reverse") == 0;
    n->directions = strcmp(direction, "bidirectional") == 0 ? 2 : 1;
    if (n->directions == 1 && !n->reversed && strcmp(direction, "forward") != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute direction is '%s', expected forward, reverse or bidirectional",
                          direction);
    n->batch_first = host->attr_int(call, "layout") != 0;
    n->clip = host->attr_given(call, "clip") ? host->attr_float(call, "clip") : 0;
    n->linear_before_reset = n->kind->gates == 3 && host->attr_int(call, "linear_before_reset") != 0;
    n->coupled = n->kind->gates == 4 && host->attr_int(call, "input_forget") != 0;
    return 0;
}

static int read_network(const aval_host *host, aval_call *call, const kind *k, network *n)
{
    const aval_tensor *x = host->input(call, X), *r = host->input(call, R), *lens = given(host, call, SEQUENCE_LENS);
    memset(n, 0, sizeof *n);
    n->kind = k;
    TRY(read_attributes(host, call, n));
    if (host->rank(x) != 3 || host->rank(r) != 3)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "inputs X and R have %u and %u axes, expected 3 and 3", (unsigned)host->rank(x),
                          (unsigned)host->rank(r));
    n->time = host->dims(x)[n->batch_first];
    n->batch = host->dims(x)[!n->batch_first];
    n->inputs = host->dims(x)[2];
    n->hidden = host->dims(r)[2];
    if (host->attr_given(call, "hidden_size") && host->attr_int(call, "hidden_size") != n->hidden)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "attribute hidden_size is %lld, but input R has %lld",
                          (long long)host->attr_int(call, "hidden_size"), (long long)n->hidden);
    if (lens != NULL && (host->rank(lens) != 1 || host->dims(lens)[0] != n->batch))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input sequence_lens has %lld elements, expected one for each of %lld sequences",
                          (long long)host->count(lens), (long long)n->batch);
    TRY(expect_shape(host, call, W, "W", n->directions, k->gates * n->hidden, n->inputs));
    TRY(expect_shape(host, call, R, "R", n->directions, k->gates * n->hidden, n->hidden));
    TRY(expect_shape(host, call, B, "B", n->directions, 2 * k->gates * n->hidden, -1));
    TRY(expect_shape(host, call, P, "P", n->directions, 3 * n->hidden, -1));
    TRY(expect_state(host, call, n, INITIAL_H, "initial_h"));
    return expect_state(host, call, n, INITIAL_C, "initial_c");
}

static int infer(const aval_host *host, aval_call *call, const kind *k)
{
    network n;
    TRY(read_network(host, call, k, &n));
    aval_type type = host->type(host->input(call, X));
    const int64_t time_first[] = { n.time, n.directions, n.batch, n.hidden }, batch_first[] = { n.batch, n.time, n.directions, n.hidden };
    const int64_t last[] = { n.directions, n.batch, n.hidden }, last_of_batch[] = { n.batch, n.directions, n.hidden };
    TRY(host->set_output(call, 0, type, 4, n.batch_first ? batch_first : time_first));
    for (size_t i = 1; i < host->n_outputs(call); i++) TRY(host->set_output(call, i, type, 3, n.batch_first ? last_of_batch : last));
    return 0;
}

/* ---- Activations: ONNX's names, and which of activation_alpha and activation_beta each takes ------------------------------------------------- */

static const struct {
    const char *name, *op;
    int takes; /* 1: alpha, 3: alpha and beta */
} activations[] = { { "Affine", "aval::Affine", 3 },
                    { "Elu", "Elu", 1 },
                    { "HardSigmoid", "HardSigmoid", 3 },
                    { "LeakyRelu", "LeakyRelu", 1 },
                    { "Relu", "Relu", 0 },
                    { "ScaledTanh", "aval::ScaledTanh", 3 },
                    { "Sigmoid", "Sigmoid", 0 },
                    { "Softplus", "Softplus", 0 },
                    { "Softsign", "Softsign", 0 },
                    { "Tanh", "Tanh", 0 },
                    { "ThresholdedRelu", "ThresholdedRelu", 1 } };
#define N_ACTIVATIONS (sizeof activations / sizeof activations[0])

/* The word `number` of a text with spaces between words; NULL when it has fewer. */
static const char *word_at(const char *words, int64_t number, size_t *length)
{
    for (words += strspn(words, " "); number > 0; number--) {
        words += strcspn(words, " ");
        words += strspn(words, " ");
    }
    *length = strcspn(words, " ");
    return *length > 0 ? words : NULL;
}

/* The activations of direction d.  Factors are taken in order by those that have them. */
static int read_activations(const aval_host *host, aval_call *call, network *n, int64_t d)
{
    const char *words = host->attr_given(call, "activations") ? host->attr_string(call, "activations") : "";
    size_t n_alpha, n_beta, alpha = 0, beta = 0;
    const double *alphas = host->attr_floats(call, "activation_alpha", &n_alpha),
                 *betas = host->attr_floats(call, "activation_beta", &n_beta);
    int usual = words[strspn(words, " ")] == 0;
    for (int64_t i = 0; i < (d + 1) * n->kind->activations; i++) {
        size_t length, a = 0;
        const char *word = usual ? word_at(n->kind->usual, i % n->kind->activations, &length) : word_at(words, i, &length);
        if (word == NULL)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute activations is '%s', expected %lld names", words,
                              (long long)(n->directions * n->kind->activations));
        while (a < N_ACTIVATIONS && (strlen(activations[a].name) != length || strncasecmp(activations[a].name, word, length) != 0)) a++;
        if (a == N_ACTIVATIONS)
            return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "attribute activations has '%.*s', which is none of ONNX's", (int)length,
                              word);
        activation *f = &n->f[i % n->kind->activations];
        memset(f, 0, sizeof *f);
        f->op = activations[a].op;
        if (activations[a].takes & 1 && alpha < n_alpha) text_real(&f->attrs, "alpha", alphas[alpha++]);
        if (activations[a].takes & 2 && beta < n_beta) text_real(&f->attrs, "beta", betas[beta++]);
    }
    return 0;
}

/* ---- Steps of bodies ------------------------------------------------------------------------------------------------------------------------ */

static int binary(const aval_host *host, aval_call *call, const char *op, const aval_tensor *a, const aval_tensor *b,
                  const aval_tensor **out)
{
    const aval_tensor *in[] = { a, b };
    return host->apply(call, op, NULL, 2, in, 1, out);
}

/* x itself where perm is NULL. */
static int transpose(const aval_host *host, aval_call *call, const aval_tensor *x, const char *perm, const aval_tensor **out)
{
    *out = x;
    if (perm == NULL) return 0;
    return host->apply(call, "Transpose", perm, 1, &x, 1, out);
}

static int split(const aval_host *host, aval_call *call, const aval_tensor *x, int64_t count, const aval_tensor **parts);

/* More parts than one Split can name: groups of them first. */
static int split_groups(const aval_host *host, aval_call *call, const aval_tensor *x, int64_t count, const aval_tensor **parts)
{
    const int64_t length = host->dims(x)[0] / count, enough = (count + AVAL_MAX_PORTS - 1) / AVAL_MAX_PORTS,
                  groups = enough < AVAL_MAX_PORTS ? enough : AVAL_MAX_PORTS;
    const aval_tensor *group[AVAL_MAX_PORTS];
    int64_t first[AVAL_MAX_PORTS + 1], lengths[AVAL_MAX_PORTS];
    for (int64_t i = 0; i <= groups; i++) first[i] = count * i / groups;
    for (int64_t i = 0; i < groups; i++) lengths[i] = (first[i + 1] - first[i]) * length;
    const aval_tensor *const inputs[] = { x, constant_ints(host, call, lengths, (size_t)groups) };
    TRY(host->apply(call, "Split", NULL, 2, inputs, (size_t)groups, group));
    for (int64_t i = 0; i < groups; i++) TRY(split(host, call, group[i], first[i + 1] - first[i], parts + first[i]));
    return 0;
}

/* x in `count` equal parts along its first axis. */
static int split(const aval_host *host, aval_call *call, const aval_tensor *x, int64_t count, const aval_tensor **parts)
{
    text attrs = { 0 };
    if (count == 1) {
        parts[0] = x;
        return 0;
    }
    if (count > AVAL_MAX_PORTS) return split_groups(host, call, x, count, parts);
    text_int(&attrs, "num_outputs", count);
    return host->apply(call, "Split", attrs.at, 1, &x, (size_t)count, parts);
}

/* Direction d of x [directions, ...], in the shape `dims`. */
static int direction_of(const aval_host *host, aval_call *call, const network *n, const aval_tensor *x, int64_t d, uint32_t rank,
                        const int64_t *dims, const aval_tensor **out)
{
    const aval_tensor *parts[2];
    TRY(split(host, call, x, n->directions, parts));
    return reshaped(host, call, parts[d], rank, dims, out);
}

/* f(x), x limited first where there is a clip. */
static int activate(const aval_host *host, aval_call *call, const network *n, int f, const aval_tensor *x, const aval_tensor **out)
{
    text attrs = { 0 };
    if (n->clip > 0) {
        text_real(&attrs, "limit", n->clip);
        TRY(host->apply(call, "aval::Limit", attrs.at, 1, &x, 1, &x));
    }
    return host->apply(call, n->f[f].op, n->f[f].attrs.at, 1, &x, 1, out);
}

/* Parts first .. first + count - 1 of R h, with their biases. */
static int products(const aval_host *host, aval_call *call, const network *n, int64_t first, int64_t count, const aval_tensor *h,
                    const aval_tensor **parts)
{
    const int64_t starts = first * n->hidden, ends = (first + count) * n->hidden, axis = 0;
    const aval_tensor *bounds[] = { constant_ints(host, call, &starts, 1), constant_ints(host, call, &ends, 1),
                                    constant_ints(host, call, &axis, 1) };
    const aval_tensor *r = n->r, *bias = n->bias, *all;
    if (count < n->kind->gates) {
        TRY(host->apply(call, "Slice", NULL, 4, (const aval_tensor *const[]){ r, bounds[0], bounds[1], bounds[2] }, 1, &r));
        if (bias != NULL)
            TRY(host->apply(call, "Slice", NULL, 4, (const aval_tensor *const[]){ bias, bounds[0], bounds[1], bounds[2] }, 1, &bias));
    }
    TRY(binary(host, call, "aval::MatrixProduct", r, h, &all));
    if (bias != NULL) TRY(binary(host, call, "Add", all, bias, &all));
    return split(host, call, all, count, parts);
}

static int rnn_step(const aval_host *host, aval_call *call, const network *n, const aval_tensor *const *from_x, const aval_tensor **states)
{
    const aval_tensor *sum;
    TRY(products(host, call, n, 0, 1, states[0], &sum));
    TRY(binary(host, call, "Add", from_x[0], sum, &sum));
    return activate(host, call, n, 0, sum, &states[0]);
}

/* Gate i's sum: of the input, the state before, and the cell through its peephole. */
static int lstm_sum(const aval_host *host, aval_call *call, const network *n, const aval_tensor *from_x, const aval_tensor *from_h,
                    int peephole, const aval_tensor *cell, const aval_tensor **sum)
{
    const aval_tensor *seen;
    TRY(binary(host, call, "Add", from_x, from_h, sum));
    if (peephole < 0 || n->peepholes[peephole] == NULL) return 0;
    TRY(binary(host, call, "Mul", n->peepholes[peephole], cell, &seen));
    return binary(host, call, "Add", *sum, seen, sum);
}

/* Gates in ONNX's order: input, output, forget, cell. */
static int lstm_step(const aval_host *host, aval_call *call, const network *n, const aval_tensor *const *from_x, const aval_tensor **states)
{
    const aval_tensor *from_h[4], *input, *output, *forget, *content, *kept, *added, *cell = states[1];
    TRY(products(host, call, n, 0, 4, states[0], from_h));
    TRY(lstm_sum(host, call, n, from_x[0], from_h[0], 0, cell, &input));
    TRY(activate(host, call, n, 0, input, &input));
    if (n->coupled) {
        TRY(host->apply(call, "aval::Affine", "alpha=-1 beta=1", 1, &input, 1, &forget));
    } else {
        TRY(lstm_sum(host, call, n, from_x[2], from_h[2], 2, cell, &forget));
        TRY(activate(host, call, n, 0, forget, &forget));
    }
    TRY(lstm_sum(host, call, n, from_x[3], from_h[3], -1, NULL, &content));
    TRY(activate(host, call, n, 1, content, &content));
    TRY(binary(host, call, "Mul", forget, cell, &kept));
    TRY(binary(host, call, "Mul", input, content, &added));
    TRY(binary(host, call, "Add", kept, added, &cell));
    TRY(lstm_sum(host, call, n, from_x[1], from_h[1], 1, cell, &output));
    TRY(activate(host, call, n, 0, output, &output));
    TRY(activate(host, call, n, 2, cell, &content));
    states[1] = cell;
    return binary(host, call, "Mul", output, content, &states[0]);
}

/* Gates in ONNX's order: update, reset, hidden.  h = (1 - update) new + update old. */
static int gru_step(const aval_host *host, aval_call *call, const network *n, const aval_tensor *const *from_x, const aval_tensor **states)
{
    const aval_tensor *from_h[3], *update, *reset, *old = states[0], *hidden, *rest;
    TRY(products(host, call, n, 0, n->linear_before_reset ? 3 : 2, old, from_h));
    TRY(binary(host, call, "Add", from_x[0], from_h[0], &update));
    TRY(activate(host, call, n, 0, update, &update));
    TRY(binary(host, call, "Add", from_x[1], from_h[1], &reset));
    TRY(activate(host, call, n, 0, reset, &reset));
    if (n->linear_before_reset) {
        TRY(binary(host, call, "Mul", reset, from_h[2], &hidden));
    } else {
        TRY(binary(host, call, "Mul", reset, old, &hidden));
        TRY(products(host, call, n, 2, 1, hidden, &hidden));
    }
    TRY(binary(host, call, "Add", from_x[2], hidden, &hidden));
    TRY(activate(host, call, n, 1, hidden, &hidden));
    TRY(binary(host, call, "Sub", old, hidden, &rest));
    TRY(binary(host, call, "Mul", update, rest, &rest));
    return binary(host, call, "Add", hidden, rest, &states[0]);
}

static const kind rnn = { 1, 1, 1, "Tanh", rnn_step }, lstm = { 4, 2, 3, "Sigmoid Tanh Tanh", lstm_step },
                  gru = { 3, 1, 2, "Sigmoid Tanh", gru_step };

/* ---- A direction ------------------------------------------------------------------------------------------------------------------------------ */

/* The biases of direction d: of the products with W, and n->bias. */
static int read_bias(const aval_host *host, aval_call *call, network *n, int64_t d, const aval_tensor **of_w)
{
    const aval_tensor *both, *parts[2];
    const int64_t dims[] = { 2 * n->kind->gates * n->hidden, 1 };
    *of_w = n->bias = NULL;
    if (given(host, call, B) == NULL) return 0;
    TRY(direction_of(host, call, n, host->input(call, B), d, 2, dims, &both));
    TRY(split(host, call, both, 2, parts));
    *of_w = parts[0];
    n->bias = parts[1];
    if (n->linear_before_reset) return 0; /* the reset gate multiplies that of R */
    n->bias = NULL;
    return binary(host, call, "Add", parts[0], parts[1], of_w);
}

/* parts[t * gates + g] [hidden, batch]: what the input of step t gives to gate g. */
static int input_parts(const aval_host *host, aval_call *call, network *n, int64_t d, const aval_tensor *turned_x,
                       const aval_tensor **parts)
{
    const int64_t rows = n->kind->gates * n->hidden, w_dims[] = { rows, n->inputs }, all_dims[] = { n->time * rows, n->batch };
    const aval_tensor *w, *bias, *all;
    TRY(direction_of(host, call, n, host->input(call, W), d, 2, w_dims, &w));
    TRY(read_bias(host, call, n, d, &bias));
    TRY(binary(host, call, "MatMul", w, turned_x, &all));
    if (bias != NULL) TRY(binary(host, call, "Add", all, bias, &all));
    TRY(reshaped(host, call, all, 2, all_dims, &all));
    return split(host, call, all, n->time * n->kind->gates, parts);
}

/* The first state of direction d: input i, or zeros. */
static int first_state(const aval_host *host, aval_call *call, const network *n, size_t i, int64_t d, const aval_tensor **out)
{
    const int64_t dims[] = { n->turned ? n->hidden : n->batch, n->turned ? n->batch : n->hidden };
    const char *const perms[2][2] = { { NULL, "perm=[1,0,2]" }, { "perm=[0,2,1]", "perm=[1,2,0]" } };
    text attrs = { 0 };
    if (given(host, call, i) != NULL) {
        TRY(transpose(host, call, host->input(call, i), perms[n->turned][n->batch_first], out));
        return direction_of(host, call, n, *out, d, 2, dims, out);
    }
    text_ints(&attrs, "dims", dims, 2);
    text_int(&attrs, "type", host->type(host->input(call, X)));
    return host->apply(call, "aval::Fill", attrs.at, 0, NULL, 1, out);
}

static int read_direction(const aval_host *host, aval_call *call, network *n, int64_t d, const aval_tensor **states)
{
    const int64_t r_dims[] = { n->kind->gates * n->hidden, n->hidden }, p_dims[] = { 3 * n->hidden, 1 };
    const aval_tensor *all;
    TRY(read_activations(host, call, n, d));
    TRY(direction_of(host, call, n, host->input(call, R), d, 2, r_dims, &n->r));
    if (given(host, call, P) != NULL) {
        TRY(direction_of(host, call, n, host->input(call, P), d, 2, p_dims, &all));
        TRY(split(host, call, all, 3, n->peepholes));
    }
    for (int64_t i = 0; i < n->kind->states; i++) TRY(first_state(host, call, n, INITIAL_H + (size_t)i, d, &states[i]));
    return 0;
}

/* Sequences that ended before step t keep their states, and their output is 0: choose [batch] says which go on. */
static int hold_ended(const aval_host *host, aval_call *call, const network *n, int64_t t, const aval_tensor *const *before,
                      const aval_tensor **states, const aval_tensor **output)
{
    const aval_tensor *lens = given(host, call, SEQUENCE_LENS), *goes_on, *zero;
    const int32_t step = (int32_t)t;
    const int64_t one = 1;
    text attrs = { 0 };
    *output = states[0];
    if (lens == NULL) return 0;
    TRY(binary(host, call, "Less", host->constant(call, AVAL_INT32, 1, &one, &step), lens, &goes_on));
    text_ints(&attrs, "dims", &one, 1);
    text_int(&attrs, "type", host->type(host->input(call, X)));
    TRY(host->apply(call, "aval::Fill", attrs.at, 0, NULL, 1, &zero));
    TRY(host->apply(call, "Where", NULL, 3, (const aval_tensor *const[]){ goes_on, states[0], zero }, 1, output));
    for (int64_t i = 0; i < n->kind->states; i++)
        TRY(host->apply(call, "Where", NULL, 3, (const aval_tensor *const[]){ goes_on, states[i], before[i] }, 1, &states[i]));
    return 0;
}

/* Is it not what aval::LstmSteps computes?  That has the usual activations, and nothing that only step by step can be said. */
static int choose_turned(const aval_host *host, aval_call *call, network *n)
{
    const char *const usual[] = { "Sigmoid", "Tanh", "Tanh" };
    n->turned = n->kind != &lstm || n->clip > 0 || n->coupled || given(host, call, P) != NULL || given(host, call, SEQUENCE_LENS) != NULL;
    for (int64_t d = 0; d < n->directions && !n->turned; d++) {
        TRY(read_activations(host, call, n, d));
        for (int i = 0; i < 3; i++) n->turned |= strcmp(n->f[i].op, usual[i]) != 0;
    }
    return 0;
}

/* A direction as one node for all steps, in ONNX's own layout: x [time, batch, inputs], all [time, 1, batch, hidden], states [1, batch, hidden]. */
static int run_steps(const aval_host *host, aval_call *call, network *n, int64_t d, const aval_tensor *x, const aval_tensor **all,
                     const aval_tensor **states)
{
    const int64_t w_dims[] = { 4 * n->hidden, n->inputs }, r_dims[] = { 4 * n->hidden, n->hidden };
    const int64_t x_dims[] = { n->time * n->batch, n->inputs }, from_x_dims[] = { n->time, n->batch, 4 * n->hidden };
    const int64_t y_dims[] = { n->time, 1, n->batch, n->hidden };
    const aval_tensor *in[3], *r, *first[2], *from_x, *made[3];
    TRY(reshaped(host, call, x, 2, x_dims, &in[0]));
    TRY(direction_of(host, call, n, host->input(call, W), d, 2, w_dims, &in[1]));
    TRY(direction_of(host, call, n, host->input(call, R), d, 2, r_dims, &r));
    TRY(read_bias(host, call, n, d, &in[2]));
    if (in[2] != NULL) TRY(reshaped(host, call, in[2], 1, w_dims, &in[2]));
    for (size_t s = 0; s < 2; s++) TRY(first_state(host, call, n, INITIAL_H + s, d, &first[s]));
    TRY(host->apply(call, "Gemm", "transB=1", in[2] != NULL ? 3 : 2, in, 1, &from_x));
    TRY(reshaped(host, call, from_x, 3, from_x_dims, &from_x));
    TRY(host->apply(call, "aval::LstmSteps", n->reversed || d == 1 ? "reversed=1" : NULL, 4,
                    (const aval_tensor *const[]){ from_x, r, first[0], first[1] }, 3, made));
    for (size_t s = 0; s < 2; s++) TRY(reshaped(host, call, made[1 + s], 3, y_dims + 1, &states[s]));
    return reshaped(host, call, made[0], 4, y_dims, all);
}

/* Outputs of all steps [time, 1, hidden, batch] and last states [1, hidden, batch] of direction d. */
static int run_direction(const aval_host *host, aval_call *call, network *n, int64_t d, const aval_tensor *turned_x,
                         const aval_tensor **all, const aval_tensor **states)
{
    const aval_tensor *parts[STEPS], *outputs[STEPS], *before[2];
    const int64_t step_dims[] = { 1, 1, n->hidden, n->batch };
    TRY(read_direction(host, call, n, d, states));
    TRY(input_parts(host, call, n, d, turned_x, parts));
    for (int64_t i = 0; i < n->time; i++) {
        int64_t t = n->reversed || d == 1 ? n->time - 1 - i : i;
        for (int64_t s = 0; s < n->kind->states; s++) before[s] = states[s];
        TRY(n->kind->step(host, call, n, parts + t * n->kind->gates, states));
        TRY(hold_ended(host, call, n, t, before, states, &outputs[t]));
        TRY(reshaped(host, call, outputs[t], 4, step_dims, &outputs[t]));
    }
    for (int64_t s = 0; s < n->kind->states; s++) TRY(reshaped(host, call, states[s], 3, step_dims + 1, &states[s]));
    return host->apply(call, "Concat", "axis=0", (size_t)n->time, outputs, 1, all);
}

/* Both directions of output i joined along `axis`, turned where perm is not NULL, and yielded. */
static int yield_joined(const aval_host *host, aval_call *call, const network *n, size_t i, int64_t axis, const aval_tensor *const *parts,
                        const char *perm)
{
    const aval_tensor *all = parts[0];
    if (i >= host->n_outputs(call)) return 0;
    if (n->directions > 1) TRY(host->apply(call, "Concat", axis == 0 ? "axis=0" : "axis=1", 2, parts, 1, &all));
    TRY(transpose(host, call, all, perm, &all));
    return host->yield(call, i, all);
}

/* How X comes from ONNX's layouts, and Y and the last states go back: by whether states are turned, and whether batch is first.  NULL: as it is. */
static const struct {
    const char *x, *y, *state;
} ways[2][2] = { { { NULL, NULL, NULL }, { "perm=[1,0,2]", "perm=[2,0,1,3]", "perm=[1,0,2]" } },
                 { { "perm=[0,2,1]", "perm=[0,1,3,2]", "perm=[0,2,1]" }, { "perm=[1,2,0]", "perm=[3,0,1,2]", "perm=[2,0,1]" } } };

static int body(const aval_host *host, aval_call *call, const kind *k)
{
    const aval_tensor *x, *all[2], *states[2][2], *last[2];
    network n;
    TRY(read_network(host, call, k, &n));
    TRY(choose_turned(host, call, &n));
    if (n.time < 1 || (n.turned && n.time * k->gates > STEPS))
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "input X has %lld time steps, expected 1 to %lld", (long long)n.time,
                          (long long)(STEPS / k->gates));
    TRY(transpose(host, call, host->input(call, X), ways[n.turned][n.batch_first].x, &x));
    for (int64_t d = 0; d < n.directions; d++) TRY((n.turned ? run_direction : run_steps)(host, call, &n, d, x, &all[d], states[d]));
    TRY(yield_joined(host, call, &n, 0, 1, all, ways[n.turned][n.batch_first].y));
    for (int64_t s = 0; s < k->states; s++) {
        for (int64_t d = 0; d < n.directions; d++) last[d] = states[d][s];
        TRY(yield_joined(host, call, &n, 1 + (size_t)s, 0, last, ways[n.turned][n.batch_first].state));
    }
    return 0;
}

/* ---- Definitions ------------------------------------------------------------------------------------------------------------------------------ */

#define FUNCTIONS(name) \
    static int name##_infer(const aval_host *host, aval_call *call) \
    { \
        return infer(host, call, &name); \
    } \
    static int name##_body(const aval_host *host, aval_call *call) \
    { \
        return body(host, call, &name); \
    }
FUNCTIONS(rnn)
FUNCTIONS(lstm)
FUNCTIONS(gru)

#define STATE(port_name) \
    { \
        .name = port_name, .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) \
    }
#define PORTS \
    { .name = "X" }, { .name = "W", .like = AVAL_LIKE(0) }, { .name = "R", .like = AVAL_LIKE(0) }, STATE("B"), \
        { .name = "sequence_lens", .flags = AVAL_OPTIONAL, .types = AVAL_TYPE_SET(AVAL_INT32) }, STATE("initial_h")
#define ATTRS \
    { .name = "hidden_size", .type = AVAL_ATTR_INT, .doc = "as R has it" }, \
        { .name = "direction", .type = AVAL_ATTR_STRING, .initial = "'forward'", .doc = "forward, reverse or bidirectional" }, \
        { .name = "layout", .type = AVAL_ATTR_INT, .initial = "0", .doc = "0: time is the first axis, 1: batch is" }, \
        { .name = "activations", .type = AVAL_ATTR_STRING, .doc = "names with spaces between, for each direction" }, \
        { .name = "activation_alpha", .type = AVAL_ATTR_FLOATS, .doc = "factors, in order, of the activations that have one" }, \
        { .name = "activation_beta", .type = AVAL_ATTR_FLOATS, .doc = "the same for second factors" }, \
    { \
        .name = "clip", .type = AVAL_ATTR_FLOAT, .doc = "limit of what activations are given; none without it" \
    }
#define OUTPUTS \
    { .name = "Y", .flags = AVAL_OPTIONAL }, \
    { \
        .name = "Y_h", .flags = AVAL_OPTIONAL \
    }
#define OP(op_name, text) .size = sizeof(aval_op), .name = op_name, .since = 7, .deterministic = 1, .doc = text, .zero_gradient = 16

static const aval_op rnn_op = {
    OP("RNN", "A simple recurrent network over a sequence: h = f(W x + R h + B)."),
    .inputs = AVAL_PORTS(PORTS),
    .outputs = AVAL_PORTS(OUTPUTS),
    .attrs = AVAL_ATTRS(ATTRS),
    .infer = rnn_infer,
    .body = rnn_body,
    .samples = AVAL_SAMPLES({ .inputs = "[3,2,4] [1,3,4] [1,3,3] [1,6]" },
                            { .inputs = "[2,3,2] [2,2,2] [2,2,2] - i32[2]{2,3} [2,2,2]",
                              .attrs = "direction='bidirectional' layout=1 activations='Affine ScaledTanh' activation_alpha=[0.5,0.7] "
                                       "activation_beta=[0.1,1.5]" },
                            { .inputs = "[2,1,2] [1,2,2] [1,2,2]",
                              .attrs = "activations='LeakyRelu' clip=0.3",
                              .flags = AVAL_NO_GRADIENT_CHECK,
                              .why = "kinks at the limits" }),
};

static const aval_op lstm_op = {
    OP("LSTM", "Long short-term memory over a sequence."),
    .inputs = AVAL_PORTS(PORTS, STATE("initial_c"), STATE("P")),
    .outputs = AVAL_PORTS(OUTPUTS, { .name = "Y_c", .flags = AVAL_OPTIONAL }),
    .attrs = AVAL_ATTRS(ATTRS, { .name = "input_forget", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: forget = 1 - input" }),
    .infer = lstm_infer,
    .body = lstm_body,
    .samples = AVAL_SAMPLES({ .inputs = "[2,2,4] [2,12,4] [2,12,3] [2,24]", .attrs = "direction='bidirectional'" },
                            { .inputs = "[1,1,1] [1,4,1] [1,4,1]" },
                            { .inputs = "[9,1,2] [1,4,2] [1,4,1]", .why = "more gates in all than one Split can name" },
                            { .inputs = "[2,2,2] [1,8,2] [1,8,2] [1,16] i32[2]{1,2} [1,2,2] [1,2,2] [1,6]",
                              .attrs = "direction='reverse'",
                              .why = "peepholes and sequences that end early" },
                            { .inputs = "[2,3,2] [1,8,2] [1,8,2] - - [2,1,2] [2,1,2]",
                              .attrs = "layout=1 hidden_size=2 input_forget=1 activations='HardSigmoid Softsign Tanh'" }),
};

static const aval_op gru_op = {
    OP("GRU", "Gated recurrent units over a sequence."),
    .inputs = AVAL_PORTS(PORTS),
    .outputs = AVAL_PORTS(OUTPUTS),
    .attrs = AVAL_ATTRS(ATTRS, { .name = "linear_before_reset",
                                 .type = AVAL_ATTR_INT,
                                 .initial = "0",
                                 .doc = "1: the reset gate multiplies the product with R, not the state before it" }),
    .infer = gru_infer,
    .body = gru_body,
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,2,4] [1,9,4] [1,9,3] [1,18]" },
        { .inputs = "[2,2,3] [2,6,3] [2,6,2] [2,12] i32[2]{2,1} [2,2,2]", .attrs = "direction='bidirectional' linear_before_reset=1" },
        { .inputs = "[2,3,2] [1,6,2] [1,6,2] - - [2,1,2]", .attrs = "layout=1 direction='reverse'" }),
};

AVAL_PLUGIN("recurrent", "0.1.0", NULL, &rnn_op, &lstm_op, &gru_op)
