/* All time steps of an LSTM without peepholes, with the usual activations, as one operator: what plugins/recurrent.c makes of ONNX's where it can.
 * Each step is a product with the recurrent weights and one launch for the cell; the gradient of the weights is one product over all steps, which
 * step by step would read and write them as often.  Tensors lie turned, [hidden, batch]: see kernels/lstm.cl. */
#include "lstm.cl.h"
#include "support.h"

enum { X, R, B, H, C }; /* inputs */
enum { Y, CELLS, GATES }; /* outputs */
#define SUM_ROWS 64 /* as in lstm.cl */

/* X [time, 4 hidden, batch], R [4 hidden, hidden], B [4 hidden], H and C [hidden, batch]; Y and CELLS [time, hidden, batch], GATES as X. */
typedef struct lstm {
    int64_t time, hidden, batch;
    int64_t cells; /* hidden * batch */
    int reversed;
} lstm;

static int expect(const aval_host *host, aval_call *call, size_t i, const char *name, uint32_t rank, int64_t a, int64_t b)
{
    const aval_tensor *t = host->input(call, i);
    if (t == NULL || (host->rank(t) == rank && host->dims(t)[0] == a && (rank < 2 || host->dims(t)[1] == b))) return 0;
    return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %s has another shape than the expected %s%lld,%lld]", name,
                      rank == 1 ? "one axis of [" : "[", (long long)a, (long long)b);
}

static int read_shapes(const aval_host *host, aval_call *call, lstm *l)
{
    const aval_tensor *x = host->input(call, X);
    if (host->rank(x) != 3 || host->dims(x)[1] % 4 != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input X has %u axes, expected [time, 4 hidden, batch]", (unsigned)host->rank(x));
    *l = (lstm){ .time = host->dims(x)[0],
                 .hidden = host->dims(x)[1] / 4,
                 .batch = host->dims(x)[2],
                 .reversed = host->attr_int(call, "reversed") != 0 };
    l->cells = product_of(l->hidden, l->batch);
    TRY(expect(host, call, R, "R", 2, 4 * l->hidden, l->hidden));
    TRY(expect(host, call, B, "B", 1, 4 * l->hidden, 1));
    TRY(expect(host, call, H, "H", 2, l->hidden, l->batch));
    return expect(host, call, C, "C", 2, l->hidden, l->batch);
}

static int infer(const aval_host *host, aval_call *call)
{
    lstm l;
    TRY(read_shapes(host, call, &l));
    aval_type type = host->type(host->input(call, X));
    const int64_t states[] = { l.time, l.hidden, l.batch }, gates[] = { l.time, 4 * l.hidden, l.batch };
    TRY(host->set_output(call, Y, type, 3, states));
    TRY(host->set_output(call, CELLS, type, 3, states));
    return host->set_output(call, GATES, type, 3, gates);
}

/* ---- Launches ----------------------------------------------------------------------------------------------------------------------------------- */

/* Time step number i in the order of computing, and where its old states are: of input H (C), or of the step before in Y (CELLS). */
typedef struct step {
    int64_t t;
    const aval_tensor *h, *c;
    int64_t from; /* elements */
} step;

static step step_at(const aval_host *host, aval_call *call, const lstm *l, int64_t i)
{
    int64_t t = l->reversed ? l->time - 1 - i : i;
    if (i == 0) return (step){ .t = t, .h = host->input(call, H), .c = host->input(call, C) };
    return (step){ .t = t, .h = host->output(call, Y), .c = host->output(call, CELLS), .from = (l->reversed ? t + 1 : t - 1) * l->cells };
}

/* Cells that a work-item walks over. */
static int64_t cells_each(const aval_device_info *device, int64_t cells)
{
    const int64_t least = 1024, vector = 16;
    if (device->group > 1) return 1;
    int64_t even = (cells + 2 * device->compute_units - 1) / (2 * (device->compute_units > 0 ? (int64_t)device->compute_units : 1));
    return ((even > least ? even : least) + vector - 1) / vector * vector;
}

#define WIDTH_OF(device) AVAL_DEFINES({ "WG", (device)->group })

static int forward(const aval_host *host, aval_call *call)
{
    lstm l;
    TRY(read_shapes(host, call, &l));
    const aval_device_info *device = host->device(call);
    const aval_tensor *gates = host->output(call, GATES), *y = host->output(call, Y), *cells = host->output(call, CELLS);
    int64_t chunk = cells_each(device, l.cells);
    if (l.cells == 0) return 0;
    for (int64_t i = 0; i < l.time; i++) {
        step s = step_at(host, call, &l, i);
        TRY(host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                           .m = 4 * l.hidden,
                                           .n = l.batch,
                                           .k = l.hidden,
                                           .alpha = 1,
                                           .a = { .tensor = host->input(call, R), .ld = l.hidden },
                                           .b = { .tensor = s.h, .offset = s.from, .ld = l.batch },
                                           .c = { .tensor = gates, .offset = s.t * 4 * l.cells, .ld = l.batch } }));
        TRY(host->launch(call, AVAL_LAUNCH(.kernel = "lstm_cell", EACH((l.cells + chunk - 1) / chunk), WIDTH_OF(device),
                                           AVAL_ARGS(AVAL_READ(host->input(call, X)), AVAL_READ(host->input(call, B)), AVAL_READ(s.c),
                                                     AVAL_UPDATE(gates), AVAL_UPDATE(cells), AVAL_UPDATE(y), AVAL_I64(s.t * 4 * l.cells),
                                                     AVAL_I64(s.from), AVAL_I64(s.t * l.cells), AVAL_I32(l.batch), AVAL_I64(l.cells),
                                                     AVAL_I64(chunk)))));
    }
    return 0;
}

/* Sums of dx over all steps with what the recurrent weights were multiplied by: the steps that read Y as one product, then the first. */
static int weight_gradient(const aval_host *host, aval_call *call, const lstm *l, const aval_tensor *dx, const aval_tensor *dr)
{
    const step first = step_at(host, call, l, 0);
    aval_gemm g = { .size = sizeof g,
                    .m = 4 * l->hidden,
                    .n = l->hidden,
                    .k = l->batch,
                    .batch = l->time - 1,
                    .alpha = 1,
                    .beta = host->accumulate(call, R),
                    .sum = 1,
                    .a = { .tensor = dx, .ld = l->batch, .batch_stride = 4 * l->cells },
                    .b = { .tensor = host->output(call, Y), .ld = l->batch, .batch_stride = l->cells, .transposed = 1 },
                    .c = { .tensor = dr, .ld = l->hidden } };
    if (l->reversed) g.b.offset = l->cells;
    else g.a.offset = 4 * l->cells;
    if (l->time > 1) {
        TRY(host->gemm(call, &g));
        g.beta = 1;
    }
    g.batch = 1;
    g.a.offset = first.t * 4 * l->cells;
    g.b = (aval_operand){ .tensor = first.h, .ld = l->batch, .transposed = 1 };
    return host->gemm(call, &g);
}

static int bias_gradient(const aval_host *host, aval_call *call, const lstm *l, const aval_tensor *dx, const aval_tensor *db)
{
    const aval_device_info *device = host->device(call);
    int64_t rows = 4 * l->hidden, chunk = chunk_of(device, rows, l->time * l->batch);
    if (chunk > SUM_ROWS) chunk = SUM_ROWS;
    return host->launch(call, AVAL_LAUNCH(.kernel = "lstm_bias_backward", BY_CHUNKS(device, rows, chunk),
                                          AVAL_ARGS(AVAL_READ(dx), AVAL_WRITE(db), AVAL_I64(rows), AVAL_I32(l->time), AVAL_I32(l->batch),
                                                    AVAL_I64(chunk))));
}

/* Without a step or a cell nothing comes back but what was given to H and C, which is nothing too. */
static int zero_gradients(const aval_host *host, aval_call *call)
{
    for (size_t i = 0; i < 5; i++) {
        const aval_tensor *d = host->gradient(call, i);
        if (d != NULL && !(i == R && host->accumulate(call, R))) TRY(host->fill(call, d, 0));
    }
    return 0;
}

static int backward(const aval_host *host, aval_call *call)
{
    lstm l;
    TRY(read_shapes(host, call, &l));
    if (l.time * l.cells == 0) return zero_gradients(host, call);
    const aval_device_info *device = host->device(call);
    const aval_tensor *dx = host->gradient(call, X), *dh = host->gradient(call, H), *dc = host->gradient(call, C);
    const aval_type type = host->type(host->output(call, Y));
    const int wants_h = dh != NULL;
    int64_t chunk = cells_each(device, l.cells);
    if (dx == NULL) dx = host->scratch(call, type, l.time * 4 * l.cells);
    if (dh == NULL) dh = host->scratch(call, type, l.cells);
    if (dc == NULL) dc = host->scratch(call, type, l.cells);
    for (int64_t i = l.time - 1; i >= 0; i--) {
        step s = step_at(host, call, &l, i);
        const int last = i == l.time - 1;
        TRY(host->launch(call,
                         AVAL_LAUNCH(.kernel = "lstm_cell_backward", EACH((l.cells + chunk - 1) / chunk), WIDTH_OF(device),
                                     AVAL_ARGS(AVAL_READ(host->output(call, GATES)), AVAL_READ(host->output(call, CELLS)), AVAL_READ(s.c),
                                               AVAL_READ(host->upstream(call, Y)), AVAL_READ(host->upstream(call, CELLS)),
                                               AVAL_READ(host->upstream(call, GATES)), AVAL_READ(last ? NULL : dh), AVAL_UPDATE(dc),
                                               AVAL_UPDATE(dx), AVAL_I64(s.t * 4 * l.cells), AVAL_I64(s.from), AVAL_I64(s.t * l.cells),
                                               AVAL_I32(!last), AVAL_I64(l.cells), AVAL_I64(chunk)))));
        if (i == 0 && !wants_h) break;
        TRY(host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                           .m = l.hidden,
                                           .n = l.batch,
                                           .k = 4 * l.hidden,
                                           .alpha = 1,
                                           .a = { .tensor = host->input(call, R), .ld = l.hidden, .transposed = 1 },
                                           .b = { .tensor = dx, .offset = s.t * 4 * l.cells, .ld = l.batch },
                                           .c = { .tensor = dh, .ld = l.batch } }));
    }
    if (host->gradient(call, B) != NULL) TRY(bias_gradient(host, call, &l, dx, host->gradient(call, B)));
    return host->gradient(call, R) != NULL ? weight_gradient(host, call, &l, dx, host->gradient(call, R)) : 0;
}

/* ---- The specification ---------------------------------------------------------------------------------------------------------------------------- */

static int reference(const aval_host *host, aval_call *call)
{
    lstm l;
    TRY(read_shapes(host, call, &l));
    const double *x = host->real(call, host->input(call, X)), *r = host->real(call, host->input(call, R));
    const double *bias = host->input(call, B) != NULL ? host->real(call, host->input(call, B)) : NULL;
    double *gates = host->real(call, host->output(call, GATES));
    for (int64_t i = 0; i < l.time; i++) {
        const step s = step_at(host, call, &l, i);
        const double *h = host->real(call, s.h) + s.from, *before = host->real(call, s.c) + s.from;
        double *y = host->real(call, host->output(call, Y)) + s.t * l.cells,
               *cells = host->real(call, host->output(call, CELLS)) + s.t * l.cells;
        double *gate = gates + s.t * 4 * l.cells;
        for (int64_t row = 0; row < 4 * l.hidden; row++) {
            for (int64_t b = 0; b < l.batch; b++) {
                double sum = x[(s.t * 4 * l.hidden + row) * l.batch + b] + (bias != NULL ? bias[row] : 0);
                for (int64_t p = 0; p < l.hidden; p++) sum += r[row * l.hidden + p] * h[p * l.batch + b];
                gate[row * l.batch + b] = row < 3 * l.hidden ? 1 / (1 + exp(-sum)) : tanh(sum);
            }
        }
        for (int64_t e = 0; e < l.cells; e++) {
            cells[e] = gate[2 * l.cells + e] * before[e] + gate[e] * gate[3 * l.cells + e];
            y[e] = gate[l.cells + e] * tanh(cells[e]);
        }
    }
    return 0;
}

static const aval_op steps_op = {
    .size = sizeof(aval_op),
    .name = "LstmSteps",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .doc = "All time steps of an LSTM: of X [time, 4 hidden, batch], what the input gives to the gates, and the first states.",
    .inputs =
        AVAL_PORTS({ .name = "X" }, { .name = "R", .like = AVAL_LIKE(0) }, { .name = "B", .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) },
                   { .name = "H", .like = AVAL_LIKE(0) }, { .name = "C", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }, { .name = "cells" }, { .name = "gates" }),
    .attrs = AVAL_ATTRS({ .name = "reversed", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: from the last step to the first" }),
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .reference = reference,
    .keeps = AVAL_KEEP_INPUT(R) | AVAL_KEEP_INPUT(H) | AVAL_KEEP_INPUT(C) | AVAL_KEEP_OUTPUT(Y) | AVAL_KEEP_OUTPUT(CELLS) |
             AVAL_KEEP_OUTPUT(GATES),
    .accumulates = 1u << R,
    .samples = AVAL_SAMPLES({ .inputs = "[3,12,2] [12,3] [12] [3,2] [3,2]" }, { .inputs = "[1,4,1] [4,1] - [1,1] [1,1]" },
                            { .inputs = "[3,8,2] [8,2] - [2,2] [2,2]", .attrs = "reversed=1" },
                            { .inputs = "[2,20,16] [20,5] [20] [5,16] [5,16]", .why = "rows that are whole vectors" },
                            { .inputs = "[0,8,2] [8,2] [8] [2,2] [2,2]", .why = "no step" }, { .inputs = "[2,8,0] [8,2] [8] [2,0] [2,0]" },
                            { .inputs = "[4,260,33] [260,65] [260] [65,33] [65,33]", .size_class = AVAL_LARGE }),
};

static const aval_op *const ops[] = { &steps_op, NULL };
static const aval_kernel_source sources[] = { { .name = "lstm.cl", .text = lstm_cl }, { .name = NULL } };

AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = {
    .abi = AVAL_PLUGIN_ABI,
    .size = sizeof(aval_plugin),
    .name = "lstm",
    .version = "0.1.0",
    .ops = ops,
    .sources = sources,
};
