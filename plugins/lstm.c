/* All time steps of an LSTM without peepholes, with the usual activations, as one operator: what plugins/recurrent.c makes of ONNX's where it can.
 * On CPUs one launch takes all steps forward and one all steps back; elsewhere each step is a product with the recurrent weights and a launch for
 * the cell (kernels/lstm.cl says which when).  The gradient of the weights is one product over all steps, which step by step would read and write
 * them as often. */
#include "lstm.cl.h"
#include "support.h"

enum { X, R, H, C }; /* inputs */
enum { Y, LAST_Y, LAST_CELL, CELLS, GATES }; /* outputs */
#define K_SLICE 256 /* as in lstm.cl */
/* Multiplications that a compute unit does while a product and a cell are launched as two commands instead of a part of one (some ten microseconds;
   `aval bench lstm`), and rows below which a product takes as long as for so many: it waits for the weights. */
#define LAUNCHES ((int64_t)1 << 20)
#define LEAST_ROWS 4

/* X [time, batch, 4 hidden], R [4 hidden, hidden], H and C [batch, hidden]; Y and CELLS [time, batch, hidden], the last of each as H, GATES as X. */
typedef struct lstm {
    int64_t time, hidden, batch;
    int64_t cells; /* hidden * batch */
    int reversed;
} lstm;

static int expect(const aval_host *host, aval_call *call, size_t i, const char *name, int64_t rows, int64_t columns)
{
    const aval_tensor *t = host->input(call, i);
    if (host->rank(t) == 2 && host->dims(t)[0] == rows && host->dims(t)[1] == columns) return 0;
    return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %s has another shape than the expected [%lld,%lld]", name, (long long)rows,
                      (long long)columns);
}

static int read_shapes(const aval_host *host, aval_call *call, lstm *l)
{
    const aval_tensor *x = host->input(call, X);
    if (host->rank(x) != 3 || host->dims(x)[2] % 4 != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input X has %u axes, expected [time, batch, 4 hidden]", (unsigned)host->rank(x));
    *l = (lstm){ .time = host->dims(x)[0],
                 .batch = host->dims(x)[1],
                 .hidden = host->dims(x)[2] / 4,
                 .reversed = host->attr_int(call, "reversed") != 0 };
    l->cells = product_of(l->hidden, l->batch);
    TRY(expect(host, call, R, "R", 4 * l->hidden, l->hidden));
    TRY(expect(host, call, H, "H", l->batch, l->hidden));
    return expect(host, call, C, "C", l->batch, l->hidden);
}

static int infer(const aval_host *host, aval_call *call)
{
    lstm l;
    TRY(read_shapes(host, call, &l));
    aval_type type = host->type(host->input(call, X));
    const int64_t states[] = { l.time, l.batch, l.hidden }, gates[] = { l.time, l.batch, 4 * l.hidden };
    TRY(host->set_output(call, Y, type, 3, states));
    TRY(host->set_output(call, LAST_Y, type, 2, states + 1));
    TRY(host->set_output(call, LAST_CELL, type, 2, states + 1));
    TRY(host->set_output(call, CELLS, type, 3, states));
    return host->set_output(call, GATES, type, 3, gates);
}

/* ---- All steps at once -------------------------------------------------------------------------------------------------------------------------- */

/* The register tile of lstm.cl: NV vectors of VN numbers in NR rows; the sums fill two thirds of the vector registers that such devices have. */
typedef struct tile {
    int64_t vectors, rows;
    int64_t lanes; /* of a panel: PW in lstm.cl */
} tile;

static tile tile_of(const aval_device_info *device, aval_type type)
{
    const uint32_t floats = device->float_vector_width;
    tile t = { .vectors = floats >= 16 ? 2 : 1, .rows = floats >= 16 ? 8 : floats >= 8 ? 6 : 3 };
    t.lanes = t.vectors * (type == AVAL_DOUBLE ? 8 : 16);
    return t;
}

#define TILE_DEFINES(t) AVAL_DEFINES({ "WG", 1 }, { "NV", (t).vectors }, { "NR", (t).rows })

/* Sequences of a work-item, one work-item a compute unit; 0: step by step, which shares even a small batch among many units, is faster. */
static int64_t sequences_each(const aval_device_info *device, const lstm *l)
{
    const int64_t units = device->compute_units > 0 ? (int64_t)device->compute_units : 1, each = (l->batch + units - 1) / units;
    const int64_t weights = product_of(4 * l->hidden, l->hidden);
    const double at_once = (double)weights * (double)(each > LEAST_ROWS ? each : LEAST_ROWS);
    const double by_steps = (double)weights * (double)(l->batch > LEAST_ROWS ? l->batch : LEAST_ROWS) / (double)units + (double)LAUNCHES;
    return device->group == 1 && at_once <= by_steps ? each : 0;
}

#define BY_SEQUENCES(l, each) .global = { (uint64_t)(((l)->batch + (each)-1) / (each)) }, .local = { 1 }

static double flops(const lstm *l)
{
    return 8.0 * (double)l->time * (double)l->cells * (double)l->hidden;
}

/* R in panels: of its rows, gate by gate (forward), or of its columns (backward). */
static int pack(const aval_host *host, aval_call *call, const lstm *l, int backward, const aval_tensor **packed)
{
    const aval_type type = host->type(host->input(call, X));
    const tile t = tile_of(host->device(call), type);
    const int64_t gates = backward ? 1 : 4, steps = backward ? 4 * l->hidden : l->hidden;
    const int64_t panels = (l->hidden + t.lanes - 1) / t.lanes * gates;
    *packed = host->scratch(call, sum_type(type), product_of(panels * t.lanes, steps));
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "lstm_pack", .dims = 2, .global = { (uint64_t)panels, (uint64_t)((steps + K_SLICE - 1) / K_SLICE) },
                          .local = { 1, 1 }, TILE_DEFINES(t),
                          AVAL_ARGS(AVAL_READ(host->input(call, R)), AVAL_WRITE(*packed), AVAL_I64(l->hidden), AVAL_I64(steps),
                                    AVAL_I32(gates), AVAL_I64(backward ? 1 : l->hidden), AVAL_I64(backward ? l->hidden : 1))));
}

static int forward_at_once(const aval_host *host, aval_call *call, const lstm *l, int64_t each)
{
    const aval_tensor *packed;
    TRY(pack(host, call, l, 0, &packed));
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "lstm_steps", BY_SEQUENCES(l, each), .flops = flops(l),
                          TILE_DEFINES(tile_of(host->device(call), host->type(host->input(call, X)))),
                          AVAL_ARGS(AVAL_READ(host->input(call, X)), AVAL_READ(packed), AVAL_READ(host->input(call, H)),
                                    AVAL_READ(host->input(call, C)), AVAL_WRITE(host->output(call, GATES)),
                                    AVAL_UPDATE(host->output(call, CELLS)), AVAL_UPDATE(host->output(call, Y)),
                                    AVAL_WRITE(host->output(call, LAST_Y)), AVAL_WRITE(host->output(call, LAST_CELL)), AVAL_I32(l->time),
                                    AVAL_I32(l->reversed), AVAL_I64(l->batch), AVAL_I64(l->hidden), AVAL_I64(each))));
}

/* dh may be NULL. */
static int backward_at_once(const aval_host *host, aval_call *call, const lstm *l, int64_t each, const aval_tensor *dx,
                            const aval_tensor *dh, const aval_tensor *dc)
{
    const aval_tensor *packed;
    TRY(pack(host, call, l, 1, &packed));
    return host->launch(call, AVAL_LAUNCH(.kernel = "lstm_steps_backward", BY_SEQUENCES(l, each), .flops = flops(l),
                                          TILE_DEFINES(tile_of(host->device(call), host->type(host->output(call, Y)))),
                                          AVAL_ARGS(AVAL_READ(host->output(call, GATES)), AVAL_READ(host->output(call, CELLS)),
                                                    AVAL_READ(host->input(call, C)), AVAL_READ(packed), AVAL_READ(host->upstream(call, Y)),
                                                    AVAL_READ(host->upstream(call, LAST_Y)), AVAL_READ(host->upstream(call, LAST_CELL)),
                                                    AVAL_READ(host->upstream(call, CELLS)), AVAL_READ(host->upstream(call, GATES)),
                                                    AVAL_WRITE(dh), AVAL_UPDATE(dc), AVAL_UPDATE(dx), AVAL_I32(l->time),
                                                    AVAL_I32(l->reversed), AVAL_I64(l->batch), AVAL_I64(l->hidden), AVAL_I64(each))));
}

/* ---- Step by step -------------------------------------------------------------------------------------------------------------------------------- */

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

/* Units that a work-item walks over: vectors on CPUs. */
static int64_t units_each(const aval_device_info *device)
{
    return device->group > 1 ? 1 : 256;
}

#define BY_UNITS(device, l) \
    .dims = 2, .global = { (uint64_t)(((l)->hidden + units_each(device) - 1) / units_each(device)), (uint64_t)(l)->batch }, \
    AVAL_DEFINES({ "WG", (device)->group })

static int forward_step(const aval_host *host, aval_call *call, const lstm *l, int64_t i)
{
    const aval_device_info *device = host->device(call);
    const aval_tensor *gates = host->output(call, GATES);
    const step s = step_at(host, call, l, i);
    const int last = i == l->time - 1;
    TRY(host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                       .m = l->batch,
                                       .n = 4 * l->hidden,
                                       .k = l->hidden,
                                       .alpha = 1,
                                       .a = { .tensor = s.h, .offset = s.from, .ld = l->hidden },
                                       .b = { .tensor = host->input(call, R), .ld = l->hidden, .transposed = 1 },
                                       .c = { .tensor = gates, .offset = s.t * 4 * l->cells, .ld = 4 * l->hidden } }));
    return host->launch(
        call,
        AVAL_LAUNCH(.kernel = "lstm_cell", BY_UNITS(device, l),
                    AVAL_ARGS(AVAL_READ(host->input(call, X)), AVAL_READ(s.c), AVAL_UPDATE(gates), AVAL_UPDATE(host->output(call, CELLS)),
                              AVAL_UPDATE(host->output(call, Y)), AVAL_WRITE(last ? host->output(call, LAST_Y) : NULL),
                              AVAL_WRITE(last ? host->output(call, LAST_CELL) : NULL), AVAL_I64(s.t * 4 * l->cells), AVAL_I64(s.from),
                              AVAL_I64(s.t * l->cells), AVAL_I64(l->batch), AVAL_I64(l->hidden), AVAL_I64(units_each(device)))));
}

/* With `sends_back` dh becomes what the step sends back to the y before it. */
static int backward_step(const aval_host *host, aval_call *call, const lstm *l, int64_t i, const aval_tensor *dx, const aval_tensor *dh,
                         const aval_tensor *dc, int sends_back)
{
    const aval_device_info *device = host->device(call);
    const step s = step_at(host, call, l, i);
    const int last = i == l->time - 1;
    TRY(host->launch(call,
                     AVAL_LAUNCH(.kernel = "lstm_cell_backward", BY_UNITS(device, l),
                                 AVAL_ARGS(AVAL_READ(host->output(call, GATES)), AVAL_READ(host->output(call, CELLS)), AVAL_READ(s.c),
                                           AVAL_READ(host->upstream(call, Y)), AVAL_READ(last ? host->upstream(call, LAST_Y) : NULL),
                                           AVAL_READ(last ? host->upstream(call, LAST_CELL) : NULL), AVAL_READ(host->upstream(call, CELLS)),
                                           AVAL_READ(host->upstream(call, GATES)), AVAL_READ(last ? NULL : dh), AVAL_UPDATE(dc),
                                           AVAL_UPDATE(dx), AVAL_I64(s.t * 4 * l->cells), AVAL_I64(s.from), AVAL_I64(s.t * l->cells),
                                           AVAL_I32(!last), AVAL_I64(l->batch), AVAL_I64(l->hidden), AVAL_I64(units_each(device))))));
    if (!sends_back) return 0;
    return host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                          .m = l->batch,
                                          .n = l->hidden,
                                          .k = 4 * l->hidden,
                                          .alpha = 1,
                                          .a = { .tensor = dx, .offset = s.t * 4 * l->cells, .ld = 4 * l->hidden },
                                          .b = { .tensor = host->input(call, R), .ld = l->hidden },
                                          .c = { .tensor = dh, .ld = l->hidden } });
}

/* ---- Both ways ----------------------------------------------------------------------------------------------------------------------------------- */

static int forward(const aval_host *host, aval_call *call)
{
    lstm l;
    TRY(read_shapes(host, call, &l));
    if (l.cells == 0) return 0;
    if (l.time == 0) { /* the states stay */
        if (host->output(call, LAST_Y) != NULL) TRY(host->copy(call, host->output(call, LAST_Y), 0, host->input(call, H), 0, l.cells));
        if (host->output(call, LAST_CELL) == NULL) return 0;
        return host->copy(call, host->output(call, LAST_CELL), 0, host->input(call, C), 0, l.cells);
    }
    const int64_t each = sequences_each(host->device(call), &l);
    if (each > 0) return forward_at_once(host, call, &l, each);
    for (int64_t i = 0; i < l.time; i++) TRY(forward_step(host, call, &l, i));
    return 0;
}

/* Sums of dx over all steps with what the recurrent weights were multiplied by: the steps that read Y as one product, then the first. */
static int weight_gradient(const aval_host *host, aval_call *call, const lstm *l, const aval_tensor *dx, const aval_tensor *dr)
{
    const step first = step_at(host, call, l, 0);
    aval_gemm g = { .size = sizeof g,
                    .m = 4 * l->hidden,
                    .n = l->hidden,
                    .k = (l->time - 1) * l->batch,
                    .alpha = 1,
                    .beta = host->accumulate(call, R),
                    .a = { .tensor = dx, .ld = 4 * l->hidden, .transposed = 1 },
                    .b = { .tensor = host->output(call, Y), .ld = l->hidden },
                    .c = { .tensor = dr, .ld = l->hidden } };
    if (l->reversed) g.b.offset = l->cells;
    else g.a.offset = 4 * l->cells;
    if (l->time > 1) {
        TRY(host->gemm(call, &g));
        g.beta = 1;
    }
    g.k = l->batch;
    g.a.offset = first.t * 4 * l->cells;
    g.b = (aval_operand){ .tensor = first.h, .ld = l->hidden };
    return host->gemm(call, &g);
}

/* The gradient of a first state when there is no step: what was given to the last one. */
static int pass_gradient(const aval_host *host, aval_call *call, const lstm *l, size_t input, size_t output)
{
    const aval_tensor *d = host->gradient(call, input), *given = host->upstream(call, output);
    if (d == NULL || l->cells == 0) return 0;
    return given != NULL ? host->copy(call, d, 0, given, 0, l->cells) : host->fill(call, d, 0);
}

static int backward_of_nothing(const aval_host *host, aval_call *call, const lstm *l)
{
    const aval_tensor *dx = host->gradient(call, X), *dr = host->gradient(call, R);
    if (dx != NULL) TRY(host->fill(call, dx, 0));
    if (dr != NULL && !host->accumulate(call, R)) TRY(host->fill(call, dr, 0));
    TRY(pass_gradient(host, call, l, H, LAST_Y));
    return pass_gradient(host, call, l, C, LAST_CELL);
}

static int backward(const aval_host *host, aval_call *call)
{
    lstm l;
    TRY(read_shapes(host, call, &l));
    if (l.time * l.cells == 0) return backward_of_nothing(host, call, &l);
    const aval_tensor *dx = host->gradient(call, X), *dh = host->gradient(call, H), *dc = host->gradient(call, C);
    const aval_type type = host->type(host->output(call, Y));
    const int64_t each = sequences_each(host->device(call), &l);
    const int wants_h = dh != NULL;
    if (dx == NULL) dx = host->scratch(call, type, l.time * 4 * l.cells);
    if (dc == NULL) dc = host->scratch(call, type, l.cells);
    if (each > 0) {
        TRY(backward_at_once(host, call, &l, each, dx, dh, dc));
    } else {
        if (dh == NULL) dh = host->scratch(call, type, l.cells);
        for (int64_t i = l.time - 1; i >= 0; i--) TRY(backward_step(host, call, &l, i, dx, dh, dc, i > 0 || wants_h));
    }
    return host->gradient(call, R) != NULL ? weight_gradient(host, call, &l, dx, host->gradient(call, R)) : 0;
}

/* ---- The specification ---------------------------------------------------------------------------------------------------------------------------- */

static int reference(const aval_host *host, aval_call *call)
{
    lstm l;
    TRY(read_shapes(host, call, &l));
    const double *x = host->real(call, host->input(call, X)), *r = host->real(call, host->input(call, R));
    const double *h = host->real(call, host->input(call, H)), *before = host->real(call, host->input(call, C));
    double *last_y = host->real(call, host->output(call, LAST_Y)), *last_cell = host->real(call, host->output(call, LAST_CELL));
    for (int64_t i = 0; i < l.time; i++) {
        const int64_t t = l.reversed ? l.time - 1 - i : i;
        double *y = host->real(call, host->output(call, Y)) + t * l.cells,
               *cells = host->real(call, host->output(call, CELLS)) + t * l.cells;
        double *gates = host->real(call, host->output(call, GATES)) + t * 4 * l.cells;
        for (int64_t b = 0; b < l.batch; b++) {
            double *gate = gates + b * 4 * l.hidden;
            for (int64_t row = 0; row < 4 * l.hidden; row++) {
                double sum = x[(t * l.batch + b) * 4 * l.hidden + row];
                for (int64_t p = 0; p < l.hidden; p++) sum += r[row * l.hidden + p] * h[b * l.hidden + p];
                gate[row] = row < 3 * l.hidden ? 1 / (1 + exp(-sum)) : tanh(sum);
            }
            for (int64_t u = 0; u < l.hidden; u++) {
                const int64_t at = b * l.hidden + u;
                cells[at] = gate[2 * l.hidden + u] * before[at] + gate[u] * gate[3 * l.hidden + u];
                y[at] = gate[l.hidden + u] * tanh(cells[at]);
            }
        }
        h = y;
        before = cells;
    }
    for (int64_t e = 0; e < l.cells; e++) {
        last_y[e] = h[e];
        last_cell[e] = before[e];
    }
    return 0;
}

static const aval_op steps_op = {
    .size = sizeof(aval_op),
    .name = "LstmSteps",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .doc = "All time steps of an LSTM: of X [time, batch, 4 hidden], what the input and the bias give to the gates, and the first states.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "R", .like = AVAL_LIKE(0) }, { .name = "H", .like = AVAL_LIKE(0) },
                         { .name = "C", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }, { .name = "last_Y" }, { .name = "last_cell" }, { .name = "cells" }, { .name = "gates" }),
    .attrs = AVAL_ATTRS({ .name = "reversed", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: from the last step to the first" }),
    .infer = infer,
    .forward = forward,
    .backward = backward,
    .reference = reference,
    .keeps = AVAL_KEEP_INPUT(R) | AVAL_KEEP_INPUT(H) | AVAL_KEEP_INPUT(C) | AVAL_KEEP_OUTPUT(Y) | AVAL_KEEP_OUTPUT(CELLS) |
             AVAL_KEEP_OUTPUT(GATES),
    .accumulates = 1u << R,
    .samples =
        AVAL_SAMPLES({ .inputs = "[3,2,12] [12,3] [2,3] [2,3]" }, { .inputs = "[1,1,4] [4,1] [1,1] [1,1]" },
                     { .inputs = "[3,2,8] [8,2] [2,2] [2,2]", .attrs = "reversed=1" },
                     { .inputs = "[2,5,64] [64,16] [5,16] [5,16]", .why = "units that are whole vectors" },
                     { .inputs = "[0,2,8] [8,2] [2,2] [2,2]", .why = "no step" }, { .inputs = "[2,0,8] [8,2] [0,2] [0,2]" },
                     { .inputs = "[2,19,140] [140,35] [19,35] [19,35]",
                       .size_class = AVAL_LARGE,
                       .why = "more sequences than a work-item takes at a time" },
                     { .inputs = "[2,1,1028] [1028,257] [1,257] [1,257]", .size_class = AVAL_LARGE, .why = "weights in slices" },
                     { .inputs = "f32[2,1,1456] f32[1456,364] f32[1,364] f32[1,364]",
                       .size_class = AVAL_LARGE,
                       .why = "so few sequences that units of a CPU share each step; in one type, since so many weights take long" }),
};

AVAL_PLUGIN("lstm", "0.1.0", AVAL_SOURCES({ "lstm.cl", lstm_cl }), &steps_op)
