/* Fourier transforms: DFT and STFT are bodies of aval::Fourier, a linear map whose gradient is a map of the same kind.  The windows and
 * MelWeightMatrix are in spectrum.c. */
#include "support.h"

#include "fourier.cl.h"

#include <stdlib.h>

/* ---- aval::Fourier ------------------------------------------------------------------------------------------------------------------- */

/* x [outer, length, inner, parts] to y [outer, count, inner, results]. */
typedef struct fourier {
    int64_t outer, length, inner, parts, n, count, results;
} fourier;

static int fourier_read(const aval_host *host, aval_call *call, fourier *f)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t rank = host->rank(x), axis = aval_axis(host->attr_int(call, "axis"), (uint32_t)rank);
    const int64_t *dims = host->dims(x);
    if (rank < 2 || (dims[rank - 1] != 1 && dims[rank - 1] != 2))
        return host->fail(
            call, AVAL_PLUGIN_BAD_SHAPE,
            "the input must have at least two axes, the last of length 1 (real) or 2 (real and imaginary); it has %lld axes%s",
            (long long)rank, rank < 2 ? "" : ", the last of another length");
    if (axis < 0 || axis == rank - 1)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "the axis is %lld, expected one of the %lld before the last",
                          (long long)host->attr_int(call, "axis"), (long long)rank - 1);
    *f = (fourier){ .outer = product(dims, (size_t)axis),
                    .length = dims[axis],
                    .inner = product(dims + axis + 1, (size_t)(rank - axis - 2)),
                    .parts = dims[rank - 1],
                    .n = host->attr_int(call, "length"),
                    .count = host->attr_int(call, "count"),
                    .results = host->attr_int(call, "results") };
    if (f->n < 1 || f->count < 0 || f->results < 1 || f->results > 2)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT,
                          "attributes length, count and results are %lld, %lld and %lld, expected at least 1, at least 0, and 1 or 2",
                          (long long)f->n, (long long)f->count, (long long)f->results);
    return 0;
}

static int fourier_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t dims[AVAL_MAX_RANK];
    fourier f;
    TRY(fourier_read(host, call, &f));
    for (uint32_t i = 0; i < host->rank(x); i++) dims[i] = host->dims(x)[i];
    dims[aval_axis(host->attr_int(call, "axis"), host->rank(x))] = f.count;
    dims[host->rank(x) - 1] = f.results;
    return host->set_output(call, 0, host->type(x), host->rank(x), dims);
}

/* A small factor of what is left of n; a large prime is a factor by itself. */
static int64_t next_radix(int64_t rest)
{
    if (rest % 4 == 0) return 4;
    for (int64_t f = 2; f * f <= rest; f++)
        if (rest % f == 0) return f;
    return rest;
}

static int fourier_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0), *from, *to;
    aval_type wide = sum_type(host->type(x));
    fourier f;
    TRY(fourier_read(host, call, &f));
    int64_t rows = f.outer * f.inner;
    int sign = host->attr_int(call, "sign") < 0 ? -1 : 1;
    if (host->count(y) == 0) return 0;
    from = host->scratch(call, wide, 2 * rows * f.n);
    to = host->scratch(call, wide, 2 * rows * f.n);
    if (from == NULL || to == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for the transform");
    TRY(host->launch(call,
                     AVAL_LAUNCH(.kernel = "fourier_load", EACH(rows * f.n), .s_type = (uint32_t)host->type(x), .d_type = (uint32_t)wide,
                                 AVAL_ARGS(AVAL_READ(f.length == 0 ? NULL : x), AVAL_WRITE(from), AVAL_I64(rows), AVAL_I64(f.n),
                                           AVAL_I64(f.length), AVAL_I64(f.inner), AVAL_I32(f.parts)))));
    for (int64_t width = 1; width < f.n;) {
        int64_t radix = next_radix(f.n / width);
        TRY(host->launch(call, AVAL_LAUNCH(.kernel = "fourier_pass", EACH(rows * f.n), .s_type = (uint32_t)host->type(x),
                                           .d_type = (uint32_t)wide,
                                           AVAL_ARGS(AVAL_READ(from), AVAL_WRITE(to), AVAL_I64(rows), AVAL_I64(f.n), AVAL_I64(width),
                                                     AVAL_I64(radix), AVAL_I32(sign)))));
        const aval_tensor *done = to;
        to = from;
        from = done;
        width *= radix;
    }
    return host->launch(call, AVAL_LAUNCH(.kernel = "fourier_store", EACH(rows * f.count), .s_type = (uint32_t)host->type(x),
                                          .d_type = (uint32_t)wide,
                                          AVAL_ARGS(AVAL_READ(from), AVAL_WRITE(y), AVAL_I64(rows), AVAL_I64(f.n), AVAL_I64(f.count),
                                                    AVAL_I64(f.inner), AVAL_I32(f.results), AVAL_REAL(host->attr_float(call, "scale")))));
}

/* The map's transpose: the other sign, and lengths and parts of both sides exchanged. */
static int fourier_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *g = host->upstream(call, 0);
    fourier f;
    text attrs = { 0 };
    TRY(fourier_read(host, call, &f));
    text_int(&attrs, "axis", host->attr_int(call, "axis"));
    text_int(&attrs, "length", f.n);
    text_int(&attrs, "count", f.length);
    text_int(&attrs, "results", f.parts);
    text_int(&attrs, "sign", host->attr_int(call, "sign") < 0 ? 1 : -1);
    text_real(&attrs, "scale", host->attr_float(call, "scale"));
    TRY(host->apply(call, "aval::Fourier", attrs.at, 1, &g, 1, &g));
    return host->yield(call, 0, g);
}

/* By definition, term by term. */
static int fourier_reference(const aval_host *host, aval_call *call)
{
    const double turn = 6.283185307179586477 * (host->attr_int(call, "sign") < 0 ? -1 : 1), scale = host->attr_float(call, "scale");
    const double *x = host->real(call, host->input(call, 0));
    double *y = host->real(call, host->output(call, 0));
    fourier f;
    TRY(fourier_read(host, call, &f));
    int64_t terms = f.length < f.n ? f.length : f.n;
    for (int64_t r = 0; r < f.outer * f.inner; r++) {
        for (int64_t k = 0; k < f.count; k++) {
            double real = 0, imaginary = 0;
            for (int64_t t = 0; t < terms && k < f.n; t++) {
                const double *v = x + ((r / f.inner * f.length + t) * f.inner + r % f.inner) * f.parts;
                double angle = turn * (double)(k * t % f.n) / (double)f.n, b = f.parts == 2 ? v[1] : 0;
                real += v[0] * cos(angle) - b * sin(angle);
                imaginary += v[0] * sin(angle) + b * cos(angle);
            }
            double *to = y + ((r / f.inner * f.count + k) * f.inner + r % f.inner) * f.results;
            to[0] = real * scale;
            if (f.results == 2) to[1] = imaginary * scale;
        }
    }
    return 0;
}

/* ---- DFT ------------------------------------------------------------------------------------------------------------------------------ */

/* The number in input i, or `otherwise` where it is absent. */
static int number_in(const aval_host *host, aval_call *call, size_t i, const char *name, int64_t otherwise, int64_t *number)
{
    const aval_tensor *t = i < host->n_inputs(call) ? host->input(call, i) : NULL;
    *number = otherwise;
    if (t == NULL) return 0;
    const void *content = host->content(call, i);
    if (host->count(t) != 1)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %s has %lld elements, expected one", name, (long long)host->count(t));
    if (content == NULL) return host->fail(call, AVAL_NEEDS_CONTENT, "input %s: its content is not known when shapes are worked out", name);
    *number = host->type(t) == AVAL_INT32 ? *(const int32_t *)content : *(const int64_t *)content;
    return 0;
}

typedef struct dft {
    int64_t axis, n, count;
    int inverse;
} dft;

/* `axis` is an attribute before opset 20 and input 2 since. */
static int dft_read(const aval_host *host, aval_call *call, int axis_is_input, dft *d)
{
    const aval_tensor *x = host->input(call, 0);
    uint32_t rank = host->rank(x);
    int64_t given;
    if (axis_is_input) TRY(number_in(host, call, 2, "axis", -2, &given));
    else given = host->attr_int(call, "axis");
    d->axis = aval_axis(given, rank);
    if (d->axis < 0 || d->axis + 1 >= rank)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "the axis is %lld, expected one of the %d before the last", (long long)given,
                          (int)rank - 1);
    TRY(number_in(host, call, 1, "dft_length", host->dims(x)[d->axis], &d->n));
    if (d->n < 1)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "the length of the transform is %lld, expected at least 1", (long long)d->n);
    d->count = host->attr_int(call, "onesided") ? d->n / 2 + 1 : d->n;
    d->inverse = host->attr_int(call, "inverse") != 0;
    return 0;
}

static int dft_infer_of(const aval_host *host, aval_call *call, int axis_is_input)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t dims[AVAL_MAX_RANK];
    dft d;
    TRY(dft_read(host, call, axis_is_input, &d));
    for (uint32_t i = 0; i < host->rank(x); i++) dims[i] = host->dims(x)[i];
    dims[d.axis] = d.count;
    dims[host->rank(x) - 1] = 2;
    return host->set_output(call, 0, host->type(x), host->rank(x), dims);
}

static int apply_fourier(const aval_host *host, aval_call *call, const aval_tensor *x, const dft *d, const aval_tensor **y)
{
    text attrs = { 0 };
    text_int(&attrs, "axis", d->axis);
    text_int(&attrs, "length", d->n);
    text_int(&attrs, "count", d->count);
    text_int(&attrs, "sign", d->inverse ? 1 : -1);
    text_real(&attrs, "scale", d->inverse ? 1.0 / (double)d->n : 1.0);
    return host->apply(call, "aval::Fourier", attrs.at, 1, &x, 1, y);
}

static int dft_body_of(const aval_host *host, aval_call *call, int axis_is_input)
{
    const aval_tensor *y;
    dft d;
    TRY(dft_read(host, call, axis_is_input, &d));
    TRY(apply_fourier(host, call, host->input(call, 0), &d, &y));
    return host->yield(call, 0, y);
}

static int dft_infer(const aval_host *host, aval_call *call)
{
    return dft_infer_of(host, call, 1);
}

static int dft_body(const aval_host *host, aval_call *call)
{
    return dft_body_of(host, call, 1);
}

static int older_dft_infer(const aval_host *host, aval_call *call)
{
    return dft_infer_of(host, call, 0);
}

static int older_dft_body(const aval_host *host, aval_call *call)
{
    return dft_body_of(host, call, 0);
}

/* ---- STFT ----------------------------------------------------------------------------------------------------------------------------- */

typedef struct stft {
    int64_t step, frame, frames, parts;
    const aval_tensor *window;
} stft;

/* The signal is [batch, length, parts], or [batch, length] as PyTorch writes a real one; the window, else frame_length, else the whole signal
   says how long a frame is. */
static int stft_read(const aval_host *host, aval_call *call, stft *s)
{
    const aval_tensor *x = host->input(call, 0);
    if (host->rank(x) != 2 && host->rank(x) != 3)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input signal has %u axes, expected batch, length, and at most one of 1 or 2 parts",
                          (unsigned)host->rank(x));
    s->window = host->n_inputs(call) > 2 ? host->input(call, 2) : NULL;
    s->parts = host->rank(x) == 3 ? host->dims(x)[2] : 1;
    TRY(number_in(host, call, 1, "frame_step", 0, &s->step));
    TRY(number_in(host, call, 3, "frame_length", s->window != NULL ? host->count(s->window) : host->dims(x)[1], &s->frame));
    if (s->step < 1 || s->frame < 1 || s->frame > host->dims(x)[1] || (s->window != NULL && host->count(s->window) != s->frame))
        return host->fail(
            call, AVAL_PLUGIN_BAD_ARGUMENT,
            "frames of %lld elements, %lld apart, with a window of %lld do not fit a signal of %lld: expected a step of at least 1, and a "
            "window as long as a frame",
            (long long)s->frame, (long long)s->step, s->window == NULL ? (long long)s->frame : (long long)host->count(s->window),
            (long long)host->dims(x)[1]);
    s->frames = 1 + (host->dims(x)[1] - s->frame) / s->step;
    return 0;
}

static int64_t stft_count(const aval_host *host, aval_call *call, const stft *s)
{
    return host->attr_int(call, "onesided") ? s->frame / 2 + 1 : s->frame;
}

static int stft_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    stft s;
    TRY(stft_read(host, call, &s));
    return host->set_output(call, 0, host->type(x), 4, (const int64_t[]){ host->dims(x)[0], s.frames, stft_count(host, call, &s), 2 });
}

/* The signal's elements frame by frame: [batch, frames, frame, parts]. */
static int take_frames(const aval_host *host, aval_call *call, const stft *s, const aval_tensor **out)
{
    const aval_tensor *x = host->input(call, 0), *pair[2] = { x, NULL };
    const int64_t shape[] = { s->frames, s->frame };
    int64_t *places = malloc((size_t)(s->frames * s->frame) * sizeof *places);
    if (places == NULL) return host->fail(call, AVAL_PLUGIN_NO_MEMORY, "no memory for the places of %lld frames", (long long)s->frames);
    for (int64_t i = 0; i < s->frames * s->frame; i++) places[i] = i / s->frame * s->step + i % s->frame;
    pair[1] = host->constant(call, AVAL_INT64, 2, shape, places);
    free(places);
    if (host->rank(x) == 2) {
        const int64_t whole[] = { host->dims(x)[0], host->dims(x)[1], 1 };
        TRY(reshaped(host, call, x, 3, whole, &pair[0]));
    }
    return host->apply(call, "Gather", "axis=1", 2, pair, 1, out);
}

static int stft_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *frames = NULL, *window, *y;
    stft s;
    TRY(stft_read(host, call, &s));
    TRY(take_frames(host, call, &s, &frames));
    if (s.window != NULL) {
        const int64_t dims[] = { s.frame, 1 };
        TRY(reshaped(host, call, s.window, 2, dims, &window));
        TRY(host->apply(call, "Mul", NULL, 2, (const aval_tensor *const[]){ frames, window }, 1, &frames));
    }
    const dft d = { .axis = 2, .n = s.frame, .count = stft_count(host, call, &s), .inverse = 0 };
    TRY(apply_fourier(host, call, frames, &d, &y));
    return host->yield(call, 0, y);
}

/* ---- The table --------------------------------------------------------------------------------------------------------------------------- */

#define WHOLE (AVAL_TYPE_SET(AVAL_INT32) | AVAL_TYPE_SET(AVAL_INT64))
#define NUMBER(port_name, port_flags) \
    { \
        .name = port_name, .flags = AVAL_SHAPE_INPUT | (port_flags), .types = WHOLE \
    }
#define INTEGER(attr_name, value, summary) \
    { \
        .name = attr_name, .type = AVAL_ATTR_INT, .initial = value, .doc = summary \
    }
#define ONESIDED(value) INTEGER("onesided", value, "1: only the first half of the terms and one, since those of a real signal mirror")

static const aval_op fourier_op = {
    .size = sizeof(aval_op),
    .name = "Fourier",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .doc =
        "y_k = scale times the sum over t of x_t exp(sign 2 pi i k t / length) along an axis; the last axis has real and imaginary parts.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS(
        INTEGER("axis", "-2", "the axis of t and k"),
        { .name = "length", .type = AVAL_ATTR_INT, .required = 1, .doc = "of the transform: x is cut off there, or 0 beyond its end" },
        { .name = "count", .type = AVAL_ATTR_INT, .required = 1, .doc = "how many y are kept; those beyond length are 0" },
        INTEGER("results", "2", "1: the real part only"), INTEGER("sign", "-1", "of the exponent"),
        { .name = "scale", .type = AVAL_ATTR_FLOAT, .initial = "1", .doc = "factor of the result" }),
    .infer = fourier_infer,
    .forward = fourier_forward,
    .backward_body = fourier_backward,
    .reference = fourier_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[2,8,1]", .attrs = "length=8 count=8" }, { .inputs = "[2,6,2]", .attrs = "length=6 count=4" },
                            { .inputs = "[2,5,3,2]",
                              .attrs = "axis=1 length=7 count=9 sign=1 scale=0.5 results=1",
                              .why = "padded, and more terms than there are" },
                            { .inputs = "[5,2]", .attrs = "length=3 count=3", .why = "cut off" },
                            { .inputs = "[1,1]", .attrs = "length=1 count=1" }, { .inputs = "[0,4,1]", .attrs = "length=4 count=3" },
                            { .inputs = "[30,1]", .attrs = "length=30 count=16" },
                            { .inputs = "[3,0,2]", .attrs = "length=2 count=2", .why = "nothing but padding" },
                            { .inputs = "[2100,16,2]", .attrs = "length=16 count=16", .size_class = AVAL_LARGE }),
};
static const aval_op dft_op = {
    .size = sizeof(aval_op),
    .name = "DFT",
    .since = 20,
    .deterministic = 1,
    .doc = "The discrete Fourier transform along an axis, or its inverse.",
    .inputs = AVAL_PORTS({ .name = "input" }, NUMBER("dft_length", AVAL_OPTIONAL), NUMBER("axis", AVAL_OPTIONAL)),
    .outputs = AVAL_PORTS({ .name = "output" }),
    .attrs = AVAL_ATTRS(INTEGER("inverse", "0", "1: the inverse, divided by the length"), ONESIDED("0")),
    .infer = dft_infer,
    .body = dft_body,
    .zero_gradient = 6,
    .samples = AVAL_SAMPLES({ .inputs = "[2,6,1]" }, { .inputs = "[2,6,2]", .attrs = "inverse=1" },
                            { .inputs = "[2,5,3,1] i64[]{8} i64[]{1}", .attrs = "onesided=1" }, { .inputs = "[2,5,3,2] - i64[]{-2}" }),
};
static const aval_op older_dft_op = {
    .size = sizeof(aval_op),
    .name = "DFT",
    .since = 17,
    .deterministic = 1,
    .doc = "The form before opset 20, whose axis is an attribute.",
    .inputs = AVAL_PORTS({ .name = "input" }, NUMBER("dft_length", AVAL_OPTIONAL)),
    .outputs = AVAL_PORTS({ .name = "output" }),
    .attrs = AVAL_ATTRS(INTEGER("axis", "1", "the axis that is transformed"),
                        INTEGER("inverse", "0", "1: the inverse, divided by the length"), ONESIDED("0")),
    .infer = older_dft_infer,
    .body = older_dft_body,
    .zero_gradient = 2,
    .samples = AVAL_SAMPLES({ .inputs = "[2,6,1]" }, { .inputs = "[2,5,3,2] i64[]{4}", .attrs = "axis=2 inverse=1" }),
};
static const aval_op stft_op = {
    .size = sizeof(aval_op),
    .name = "STFT",
    .since = 17,
    .deterministic = 1,
    .doc = "The Fourier transforms of frames of a signal, which may overlap, each times a window.",
    .inputs = AVAL_PORTS({ .name = "signal" }, NUMBER("frame_step", 0), { .name = "window", .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) },
                         NUMBER("frame_length", AVAL_OPTIONAL)),
    .outputs = AVAL_PORTS({ .name = "output" }),
    .attrs = AVAL_ATTRS(ONESIDED("1")),
    .infer = stft_infer,
    .body = stft_body,
    .zero_gradient = 10,
    .samples = AVAL_SAMPLES({ .inputs = "[2,20,1] i64[]{4} [8]" }, { .inputs = "[1,11,2] i64[]{3} - i64[]{5}", .attrs = "onesided=0" },
                            { .inputs = "[1,6,1] i64[]{1} [6] i64[]{6}" },
                            { .inputs = "[2,9] i64[]{2} [4]", .why = "real, without an axis of parts" }),
};

AVAL_PLUGIN("signal", "0.1.0", AVAL_SOURCES({ "fourier.cl", fourier_cl }), &fourier_op, &dft_op, &older_dft_op, &stft_op)
