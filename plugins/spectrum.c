/* Tables for work on spectra: HannWindow, HammingWindow, BlackmanWindow, MelWeightMatrix.  They depend on numbers that the host knows when
 * it plans, so each is a constant of the plan. */
#include "support.h"

#include <stdlib.h>

#define PI 3.14159265358979323846

/* ---- Numbers in inputs ------------------------------------------------------------------------------------------------------------------ */

/* The number in input i, of any integer or real type that the ports below allow. */
static int number_in(const aval_host *host, aval_call *call, size_t i, const char *name, double *number)
{
    const aval_tensor *t = host->input(call, i);
    const void *content = host->content(call, i);
    if (host->count(t) != 1)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %s has %lld elements, expected one", name, (long long)host->count(t));
    if (content == NULL) return host->fail(call, AVAL_NEEDS_CONTENT, "input %s: its content is not known when shapes are worked out", name);
    switch (host->type(t)) {
    case AVAL_INT32: *number = *(const int32_t *)content; break;
    case AVAL_INT64: *number = (double)*(const int64_t *)content; break;
    case AVAL_DOUBLE: *number = *(const double *)content; break;
    default: *number = (double)*(const float *)content;
    }
    return 0;
}

/* The type that a table is made in: it is then cast, since not every device has doubles. */
static int output_type(const aval_host *host, aval_call *call, aval_type *type)
{
    int64_t given = host->attr_int(call, "output_datatype");
    *type = (aval_type)given;
    if (given <= AVAL_NONE || given >= AVAL_TYPES || !(AVAL_NUMBERS & AVAL_TYPE_SET(given)))
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "attribute output_datatype: element type %lld cannot be made", (long long)given);
    return 0;
}

/* Yields a table of doubles as the output's type; the table is freed. */
static int yield_table(const aval_host *host, aval_call *call, double *table, uint32_t rank, const int64_t *dims)
{
    aval_type type;
    int status = output_type(host, call, &type);
    size_t count = (size_t)product(dims, rank);
    float *narrow = malloc((count + 1) * sizeof *narrow);
    const aval_tensor *t = NULL;
    text attrs = { 0 };
    if (status == 0 && narrow == NULL) status = host->fail(call, AVAL_PLUGIN_NO_MEMORY, "no memory for a table of %zu numbers", count);
    for (size_t i = 0; i < count && status == 0; i++) narrow[i] = (float)table[i];
    if (status == 0)
        t = type == AVAL_DOUBLE ? host->constant(call, type, rank, dims, table) : host->constant(call, AVAL_FLOAT, rank, dims, narrow);
    free(table);
    free(narrow);
    if (status < 0) return status;
    text_int(&attrs, "to", type);
    TRY(host->apply(call, "Cast", attrs.at, 1, &t, 1, &t));
    return host->yield(call, 0, t);
}

static double *new_table(size_t count)
{
    return calloc(count + 1, sizeof(double));
}

/* ---- Windows ------------------------------------------------------------------------------------------------------------------------------ */

static int window_infer(const aval_host *host, aval_call *call)
{
    double size;
    aval_type type;
    TRY(number_in(host, call, 0, "size", &size));
    TRY(output_type(host, call, &type));
    const int64_t length = (int64_t)size;
    return host->set_output(call, 0, type, 1, &length);
}

/* a0 - a1 cos(2 pi i / n) + a2 cos(4 pi i / n), n being the length of the period. */
static int window_body(const aval_host *host, aval_call *call, double a0, double a1, double a2)
{
    double size;
    TRY(number_in(host, call, 0, "size", &size));
    const int64_t length = (int64_t)size;
    double period = host->attr_int(call, "periodic") ? size : size - 1, *table = new_table((size_t)length);
    if (table == NULL) return host->fail(call, AVAL_PLUGIN_NO_MEMORY, "no memory for a window of %lld", (long long)length);
    for (int64_t i = 0; i < length; i++) {
        double angle = period == 0 ? PI : 2 * PI * (double)i / period; /* a symmetric window of one element is its middle */
        table[i] = a0 - a1 * cos(angle) + a2 * cos(2 * angle);
    }
    return yield_table(host, call, table, 1, &length);
}

static int hann_body(const aval_host *host, aval_call *call)
{
    return window_body(host, call, 0.5, 0.5, 0);
}

static int hamming_body(const aval_host *host, aval_call *call)
{
    return window_body(host, call, 25.0 / 46.0, 21.0 / 46.0, 0);
}

static int blackman_body(const aval_host *host, aval_call *call)
{
    return window_body(host, call, 0.42, 0.5, 0.08);
}

/* ---- MelWeightMatrix ------------------------------------------------------------------------------------------------------------------------ */

typedef struct mel {
    int64_t bins, terms; /* mel bins, and terms of the spectrum */
    double length, rate, low, high; /* of the transform; Hz */
} mel;

static int mel_read(const aval_host *host, aval_call *call, mel *m)
{
    double bins;
    TRY(number_in(host, call, 0, "num_mel_bins", &bins));
    TRY(number_in(host, call, 1, "dft_length", &m->length));
    TRY(number_in(host, call, 2, "sample_rate", &m->rate));
    TRY(number_in(host, call, 3, "lower_edge_hertz", &m->low));
    TRY(number_in(host, call, 4, "upper_edge_hertz", &m->high));
    m->bins = (int64_t)bins;
    m->terms = (int64_t)m->length / 2 + 1;
    if (bins < 0 || m->length < 1 || m->rate <= 0 || m->low < 0 || m->high < m->low || m->high > m->rate / 2)
        return host->fail(
            call, AVAL_PLUGIN_BAD_ARGUMENT,
            "%g mel bins from %g to %g Hz at a sample rate of %g and a length of %g: expected 0 <= lower <= upper <= half the rate", bins,
            m->low, m->high, m->rate, m->length);
    return 0;
}

static int mel_infer(const aval_host *host, aval_call *call)
{
    mel m;
    aval_type type;
    TRY(mel_read(host, call, &m));
    TRY(output_type(host, call, &type));
    return host->set_output(call, 0, type, 2, (const int64_t[]){ m.terms, m.bins });
}

/* The term of the spectrum at which edge i of the bins lies; edges are evenly spaced in mel. */
static int64_t edge_of(const mel *m, int64_t i)
{
    double low = 2595 * log10(1 + m->low / 700), high = 2595 * log10(1 + m->high / 700);
    double at = low + (double)i * (high - low) / (double)(m->bins + 2), hertz = 700 * (pow(10, at / 2595) - 1);
    int64_t term = (int64_t)floor((m->length + 1) * hertz / m->rate);
    return term < m->terms ? term : m->terms - 1;
}

/* Each bin is a triangle over the terms from the edge before its middle to the one after. */
static int mel_body(const aval_host *host, aval_call *call)
{
    mel m;
    TRY(mel_read(host, call, &m));
    const int64_t dims[] = { m.terms, m.bins };
    double *table = new_table((size_t)(m.terms * m.bins));
    if (table == NULL) return host->fail(call, AVAL_PLUGIN_NO_MEMORY, "no memory for %lld mel bins", (long long)m.bins);
    for (int64_t b = 0; b < m.bins; b++) {
        int64_t left = edge_of(&m, b), middle = edge_of(&m, b + 1), right = edge_of(&m, b + 2);
        if (left == middle) table[middle * m.bins + b] = 1;
        for (int64_t j = left; j <= middle && left < middle; j++) table[j * m.bins + b] = (double)(j - left) / (double)(middle - left);
        for (int64_t j = middle; j < right; j++) table[j * m.bins + b] = (double)(right - j) / (double)(right - middle);
    }
    return yield_table(host, call, table, 2, dims);
}

/* ---- The table ------------------------------------------------------------------------------------------------------------------------------- */

#define WHOLE (AVAL_TYPE_SET(AVAL_INT32) | AVAL_TYPE_SET(AVAL_INT64))
#define NUMBER(port_name, port_types) \
    { \
        .name = port_name, .flags = AVAL_SHAPE_INPUT, .types = port_types \
    }
#define TYPE \
    { \
        .name = "output_datatype", .type = AVAL_ATTR_INT, .initial = "1", .doc = "ONNX's number of the element type" \
    }
#define WINDOW(op_name, function, summary) \
    { \
        .size = sizeof(aval_op), .name = op_name, .since = 17, .deterministic = 1, .doc = summary, .infer = window_infer, \
        .body = function, .inputs = AVAL_PORTS(NUMBER("size", WHOLE)), .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_NUMBERS }), \
        .attrs = AVAL_ATTRS( \
            TYPE, \
            { .name = "periodic", .type = AVAL_ATTR_INT, .initial = "1", .doc = "0: symmetric, the last element equals the first" }), \
        .zero_gradient = 1, \
        .samples = AVAL_SAMPLES({ .inputs = "i64[]{10}" }, { .inputs = "i32[]{9}", .attrs = "periodic=0" }, { .inputs = "i64[]{1}" }, \
                                { .inputs = "i64[]{0}" }, { .inputs = "i64[]{1}", .attrs = "periodic=0" }, \
                                { .inputs = "i64[]{7}", .attrs = "output_datatype=11" }), \
    }

static const aval_op hann = WINDOW("HannWindow", hann_body, "The window 0.5 - 0.5 cos(2 pi i / n).");
static const aval_op hamming = WINDOW("HammingWindow", hamming_body, "The window 25/46 - 21/46 cos(2 pi i / n).");
static const aval_op blackman = WINDOW("BlackmanWindow", blackman_body, "The window 0.42 - 0.5 cos(2 pi i / n) + 0.08 cos(4 pi i / n).");
static const aval_op mel_op = {
    .size = sizeof(aval_op),
    .name = "MelWeightMatrix",
    .since = 17,
    .deterministic = 1,
    .doc = "The matrix that turns the terms of a spectrum into bins that are evenly spaced in mel.",
    .inputs = AVAL_PORTS(NUMBER("num_mel_bins", WHOLE), NUMBER("dft_length", WHOLE), NUMBER("sample_rate", WHOLE),
                         NUMBER("lower_edge_hertz", AVAL_TYPE_SET(AVAL_FLOAT) | AVAL_TYPE_SET(AVAL_DOUBLE)),
                         NUMBER("upper_edge_hertz", AVAL_TYPE_SET(AVAL_FLOAT) | AVAL_TYPE_SET(AVAL_DOUBLE))),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_NUMBERS }),
    .attrs = AVAL_ATTRS(TYPE),
    .infer = mel_infer,
    .body = mel_body,
    .zero_gradient = 31,
    .samples = AVAL_SAMPLES({ .inputs = "i64[]{8} i64[]{16} i64[]{8192} f32[]{0} f32[]{4096}" },
                            { .inputs = "i32[]{4} i32[]{64} i32[]{16000} f32[]{300} f32[]{8000}", .attrs = "output_datatype=11" }),
};

AVAL_PLUGIN("spectrum", "0.1.0", NULL, &hann, &hamming, &blackman, &mel_op)
