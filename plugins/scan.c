/* CumSum: running sums along an axis.  Its gradient is the running sum of the upstream gradient from the other end. */
#include "support.h"

#include "scan.cl.h"

/* The axis is a number in input 1. */
static int scan_axis(const aval_host *host, aval_call *call, int64_t *axis)
{
    uint32_t rank = host->rank(host->input(call, 0));
    const aval_tensor *given = host->input(call, 1);
    int reference = host->phase(call) == AVAL_PHASE_REFERENCE; /* where integers of all types are int64 */
    const void *content = reference ? host->integer(call, given) : host->content(call, 1);
    if (host->count(given) != 1)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input axis has %lld elements, expected one", (long long)host->count(given));
    if (content == NULL) return host->fail(call, AVAL_NEEDS_CONTENT, "input axis: its content is not known when shapes are worked out");
    int64_t number = host->type(given) == AVAL_INT32 && !reference ? *(const int32_t *)content : *(const int64_t *)content;
    *axis = aval_axis(number, rank);
    if (*axis >= 0) return 0;
    return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "input axis is %lld, out of range for %u axes", (long long)number, (unsigned)rank);
}

static int scan_infer(const aval_host *host, aval_call *call)
{
    int64_t axis;
    TRY(scan_axis(host, call, &axis));
    return aval_infer_like(host, call, 0, 0);
}

/* Rows in few chunks, each of which adds up the totals of those before it. */
static int record_chunks(const aval_host *host, aval_call *call, aval_split s, int reverse, int exclusive)
{
    const aval_tensor *x = host->input(call, 0), *totals = NULL;
    const aval_device_info *device = host->device(call);
    const int64_t least = 1024, most = 64;
    int64_t rows = s.outer * s.inner, chunks = (int64_t)device->compute_units * (device->group == 1 ? 4 : 256) / rows;
    aval_type type = host->type(x), wide = (AVAL_FLOATS & AVAL_TYPE_SET(type)) != 0 ? sum_type(type) : AVAL_INT64;
    if (chunks > s.length / least) chunks = s.length / least;
    if (chunks > most) chunks = most;
    if (chunks < 1) chunks = 1;
    int64_t chunk = (s.length + chunks - 1) / chunks;
    chunks = (s.length + chunk - 1) / chunk;
    if (chunks > 1) {
        totals = host->scratch(call, wide, rows * chunks);
        if (totals == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for the sums of chunks");
        TRY(host->launch(call, AVAL_LAUNCH(.kernel = "scan_totals", EACH(rows * chunks), AVAL_DEFINES({ "WG", device->group }),
                                           .d_type = (uint32_t)wide,
                                           AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(totals), AVAL_I64(rows), AVAL_I64(s.length),
                                                     AVAL_I64(s.inner), AVAL_I64(chunks), AVAL_I64(chunk), AVAL_I32(reverse)))));
    }
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "scan_rows", EACH(rows * chunks), AVAL_DEFINES({ "WG", device->group }), .d_type = (uint32_t)wide,
                          AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(host->output(call, 0)), AVAL_READ(totals), AVAL_I64(rows), AVAL_I64(s.length),
                                    AVAL_I64(s.inner), AVAL_I64(chunks), AVAL_I64(chunk), AVAL_I32(reverse), AVAL_I32(exclusive))));
}

static int scan_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    const aval_device_info *device = host->device(call);
    int64_t axis, columns = 16; /* as in scan.cl */
    int reverse = host->attr_int(call, "reverse") != 0, exclusive = host->attr_int(call, "exclusive") != 0;
    TRY(scan_axis(host, call, &axis));
    aval_split s = aval_split_at(host, x, axis);
    if (host->count(x) == 0) return 0;
    if (device->group > 1 || s.inner == 1) return record_chunks(host, call, s, reverse, exclusive);
    aval_type type = host->type(x), wide = (AVAL_FLOATS & AVAL_TYPE_SET(type)) != 0 ? sum_type(type) : AVAL_INT64;
    return host->launch(call, AVAL_LAUNCH(.kernel = "scan_columns", EACH(s.outer * ((s.inner + columns - 1) / columns)),
                                          AVAL_DEFINES({ "WG", device->group }), .d_type = (uint32_t)wide,
                                          AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(host->output(call, 0)), AVAL_I64(s.outer), AVAL_I64(s.length),
                                                    AVAL_I64(s.inner), AVAL_I32(reverse), AVAL_I32(exclusive))));
}

static int scan_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *inputs[] = { host->upstream(call, 0), host->input(call, 1) }, *g;
    text attrs = { 0 };
    text_int(&attrs, "exclusive", host->attr_int(call, "exclusive"));
    text_int(&attrs, "reverse", !host->attr_int(call, "reverse"));
    TRY(host->apply(call, "CumSum", attrs.at, 2, inputs, 1, &g));
    return host->yield(call, 0, g);
}

static int scan_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    int floats = (AVAL_FLOATS & AVAL_TYPE_SET(host->type(x))) != 0, reverse = host->attr_int(call, "reverse") != 0;
    int exclusive = host->attr_int(call, "exclusive") != 0;
    int64_t axis;
    TRY(scan_axis(host, call, &axis));
    aval_split s = aval_split_at(host, x, axis);
    for (int64_t r = 0; r < s.outer * s.inner; r++) {
        double real = 0;
        int64_t integer = 0;
        for (int64_t j = 0; j < s.length; j++) {
            int64_t at = (r / s.inner * s.length + (reverse ? s.length - 1 - j : j)) * s.inner + r % s.inner;
            if (floats) {
                double v = host->real(call, x)[at];
                host->real(call, y)[at] = exclusive ? real : real + v;
                real += v;
            } else {
                int64_t v = host->integer(call, x)[at];
                host->integer(call, y)[at] = exclusive ? integer : integer + v;
                integer += v;
            }
        }
    }
    return 0;
}

static const aval_op cumsum = {
    .size = sizeof(aval_op),
    .name = "CumSum",
    .since = 11,
    .deterministic = 1,
    .doc = "The sum of the elements so far along an axis.",
    .inputs = AVAL_PORTS({ .name = "x", .types = AVAL_NUMBERS },
                         { .name = "axis", .flags = AVAL_SHAPE_INPUT, .types = AVAL_TYPE_SET(AVAL_INT32) | AVAL_TYPE_SET(AVAL_INT64) }),
    .outputs = AVAL_PORTS({ .name = "y", .types = AVAL_NUMBERS }),
    .attrs = AVAL_ATTRS({ .name = "exclusive", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: without the element itself" },
                        { .name = "reverse", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: from the end" }),
    .infer = scan_infer,
    .forward = scan_forward,
    .backward_body = scan_backward,
    .reference = scan_reference,
    .zero_gradient = 2,
    .samples = AVAL_SAMPLES({ .inputs = "[2,5] i64[]{1}" }, { .inputs = "[2,5] i32[1]{0}" },
                            { .inputs = "[2,5,3] i64[]{-2}", .attrs = "exclusive=1" }, { .inputs = "[2,5] i64[]{1}", .attrs = "reverse=1" },
                            { .inputs = "[7] i64[]{0}", .attrs = "exclusive=1 reverse=1" }, { .inputs = "[1] i64[]{0}" },
                            { .inputs = "[0,3] i64[]{0}" }, { .inputs = "[2,3,19] i64[]{1}", .attrs = "reverse=1" },
                            { .inputs = "i64[5]{1,2,3,4,-5} i64[]{0}", .why = "integers" },
                            { .inputs = "[2,40001] i64[]{1}", .attrs = "exclusive=1", .size_class = AVAL_LARGE, .why = "chunks" },
                            { .inputs = "[257,259] i64[]{0}", .attrs = "reverse=1", .size_class = AVAL_LARGE }),
};

AVAL_PLUGIN("scan", "0.1.0", AVAL_SOURCES({ "scan.cl", scan_cl }), &cumsum)
