/* Normalisation of rows, by kernels that read each row once from memory: aval::NormalizeRows, and LayerNormalization, InstanceNormalization,
 * GroupNormalization and RMSNormalization, which are bodies of it, since they differ only in what a row is and which elements share a
 * scale. */
#include "support.h"

#include "row_norm.cl.h"

/* ---- NormalizeRows ----------------------------------------------------------------------------------------------------------------- */

/* x as [rows, length]; element e of all has scale and bias (e / inner) % channels. */
typedef struct rows {
    const aval_tensor *x, *scale, *bias;
    int64_t rows, length, inner, channels, outer; /* outer: how often each scale is used on `inner` neighbours */
    int center;
    double epsilon;
} rows;

static const aval_tensor *given(const aval_host *host, aval_call *call, size_t i)
{
    return i < host->n_inputs(call) ? host->input(call, i) : NULL;
}

static const aval_tensor *wanted(const aval_host *host, aval_call *call, size_t i)
{
    return i < host->n_outputs(call) ? host->output(call, i) : NULL;
}

static int rows_read(const aval_host *host, aval_call *call, rows *r)
{
    r->x = host->input(call, 0);
    r->scale = given(host, call, 1);
    r->bias = given(host, call, 2);
    r->length = host->attr_int(call, "length");
    r->inner = host->attr_int(call, "inner");
    r->center = host->attr_int(call, "center") != 0;
    r->epsilon = host->attr_float(call, "epsilon");
    int64_t count = host->count(r->x);
    const aval_tensor *sized = r->scale != NULL ? r->scale : r->bias;
    r->channels = sized == NULL ? 1 : host->count(sized);
    if (r->length < 0 || (r->length == 0 ? count != 0 : count % r->length != 0))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "attribute length is %lld, expected a divisor of the %lld elements",
                          (long long)r->length, (long long)count);
    if (r->inner < 1 || r->length % r->inner != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute inner is %lld, expected a divisor of length, %lld",
                          (long long)r->inner, (long long)r->length);
    if (r->bias != NULL && host->count(r->bias) != r->channels)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input bias has %lld elements, expected %lld as scale",
                          (long long)host->count(r->bias), (long long)r->channels);
    if (sized != NULL && count > 0 &&
        (r->channels == 0 || count % (r->inner * r->channels) != 0 || (r->inner == 1 && r->channels != r->length)))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "%lld scales do not fit rows of %lld elements, %lld of which share one",
                          (long long)r->channels, (long long)r->length, (long long)r->inner);
    r->rows = r->length == 0 ? 0 : count / r->length;
    r->outer = count == 0 ? 0 : count / r->inner / r->channels;
    return 0;
}

static int rows_infer(const aval_host *host, aval_call *call)
{
    rows r;
    TRY(rows_read(host, call, &r));
    TRY(aval_infer_like(host, call, 0, 0));
    for (size_t i = 1; i < host->n_outputs(call); i++) TRY(host->set_output(call, i, sum_type(host->type(r.x)), 1, &r.rows));
    return 0;
}

static int rows_forward(const aval_host *host, aval_call *call)
{
    rows r;
    TRY(rows_read(host, call, &r));
    if (r.rows == 0) return 0;
    const aval_tensor *y = host->output(call, 0);
    TRY(take_rows(host, call, r.x, y));
    if (y == NULL) y = host->scratch(call, host->type(r.x), host->count(r.x));
    if (y == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for the normalised rows");
    int64_t chunk = chunk_of(host->device(call), r.rows, r.length);
    return host->launch(
        call,
        AVAL_LAUNCH(.kernel = "norm_rows", BY_CHUNKS(host->device(call), r.rows, chunk), .d_type = (uint32_t)sum_type(host->type(r.x)),
                    AVAL_ARGS(AVAL_READ(r.x), AVAL_READ(r.scale), AVAL_READ(r.bias), AVAL_WRITE(y), AVAL_WRITE(wanted(host, call, 1)),
                              AVAL_WRITE(wanted(host, call, 2)), AVAL_I64(r.rows), AVAL_I64(chunk), AVAL_I64(r.length), AVAL_I64(r.inner),
                              AVAL_I64(r.channels), AVAL_I32(r.center), AVAL_REAL(r.epsilon))));
}

/* Adds up the parts [chunks, 2, channels] of the gradients of scale and bias. */
static int total_parts(const aval_host *host, aval_call *call, const rows *r, const aval_tensor *parts, int64_t chunks)
{
    const aval_tensor *dscale = host->gradient(call, 1), *dbias = r->bias == NULL ? NULL : host->gradient(call, 2);
    aval_type type = host->type(r->x);
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "scale_total", EACH(r->channels), AVAL_DEFINES({ "WG", host->device(call)->group }),
                          .s_type = (uint32_t)type, .d_type = (uint32_t)sum_type(type),
                          AVAL_ARGS(AVAL_READ(parts), AVAL_WRITE(dscale), AVAL_WRITE(dbias), AVAL_I64(chunks), AVAL_I64(r->channels))));
}

/* All gradients in one pass, where a work-item walks over whole rows whose elements have a scale each. */
static int gradients_at_once(const aval_host *host, aval_call *call, const rows *r, const aval_tensor *g)
{
    aval_type wide = sum_type(host->type(r->x));
    int64_t chunk = chunk_of(host->device(call), r->rows, r->length), chunks = (r->rows + chunk - 1) / chunk;
    const aval_tensor *parts = host->scratch(call, wide, chunks * 2 * r->length);
    if (parts == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for partial sums");
    TRY(host->launch(call, AVAL_LAUNCH(.kernel = "norm_rows_gradients", BY_GROUPS(1, chunks), .d_type = (uint32_t)wide,
                                       AVAL_ARGS(AVAL_READ(r->x), AVAL_READ(g), AVAL_READ(r->scale), AVAL_READ(host->output(call, 1)),
                                                 AVAL_READ(host->output(call, 2)), AVAL_WRITE(host->gradient(call, 0)), AVAL_WRITE(parts),
                                                 AVAL_I64(r->rows), AVAL_I64(chunk), AVAL_I64(r->length), AVAL_I32(r->center)))));
    return total_parts(host, call, r, parts, chunks);
}

static int scale_backward(const aval_host *host, aval_call *call, const rows *r, const aval_tensor *g)
{
    const aval_tensor *mean = host->output(call, 1), *inverse = host->output(call, 2), *parts;
    const aval_tensor *dscale = r->scale == NULL ? NULL : host->gradient(call, 1),
                      *dbias = r->bias == NULL ? NULL : host->gradient(call, 2);
    const aval_device_info *device = host->device(call);
    aval_type type = host->type(r->x), wide = sum_type(type);
    int64_t chunks = r->outer, chunk = 1;
    if (dscale == NULL && dbias == NULL) return 0;
    if (r->inner == 1) { /* some four parts for each core, or enough for a GPU */
        int64_t columns = device->group > 1 ? 1 : type == AVAL_DOUBLE ? 8 : 16, blocks = (r->length + columns - 1) / columns;
        chunks = (int64_t)device->compute_units * (device->group > 1 ? 1024 : 4) / blocks;
        if (chunks > r->rows / 16) chunks = r->rows / 16;
        if (chunks < 1) chunks = 1;
        chunk = (r->rows + chunks - 1) / chunks;
        chunks = (r->rows + chunk - 1) / chunk;
        parts = host->scratch(call, wide, chunks * 2 * r->channels);
        if (parts == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for partial sums");
        TRY(host->launch(call, AVAL_LAUNCH(.kernel = "scale_columns", EACH(chunks * blocks), AVAL_DEFINES({ "WG", device->group }),
                                           .d_type = (uint32_t)wide,
                                           AVAL_ARGS(AVAL_READ(r->x), AVAL_READ(g), AVAL_READ(mean), AVAL_READ(inverse), AVAL_WRITE(parts),
                                                     AVAL_I64(r->rows), AVAL_I64(r->length), AVAL_I64(chunks), AVAL_I64(chunk)))));
    } else {
        parts = host->scratch(call, wide, chunks * 2 * r->channels);
        if (parts == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for partial sums");
        TRY(host->launch(call,
                         AVAL_LAUNCH(.kernel = "scale_segments", BY_GROUPS(device->group, r->outer * r->channels), .d_type = (uint32_t)wide,
                                     AVAL_ARGS(AVAL_READ(r->x), AVAL_READ(g), AVAL_READ(mean), AVAL_READ(inverse), AVAL_WRITE(parts),
                                               AVAL_I64(r->outer), AVAL_I64(r->length), AVAL_I64(r->inner), AVAL_I64(r->channels)))));
    }
    return total_parts(host, call, r, parts, chunks);
}

static int rows_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *dx = host->gradient(call, 0), *g = host->upstream(call, 0);
    const aval_tensor *gm = host->n_outputs(call) > 1 ? host->upstream(call, 1) : NULL;
    const aval_tensor *gi = host->n_outputs(call) > 2 ? host->upstream(call, 2) : NULL;
    rows r;
    TRY(rows_read(host, call, &r));
    for (size_t i = 1; i < 3 && i < host->n_inputs(call) && (g == NULL || r.rows == 0); i++) {
        if (host->gradient(call, i) != NULL) TRY(host->fill(call, host->gradient(call, i), 0));
    }
    if (r.rows == 0) return 0;
    const aval_device_info *device = host->device(call);
    int of_scale = host->gradient(call, 1) != NULL || (r.bias != NULL && host->gradient(call, 2) != NULL);
    if (device->group == 1 && dx != NULL && g != NULL && gm == NULL && gi == NULL && r.inner == 1 && r.scale != NULL && of_scale)
        return gradients_at_once(host, call, &r, g);
    if (g != NULL) TRY(scale_backward(host, call, &r, g));
    if (dx == NULL) return 0;
    int64_t chunk = chunk_of(device, r.rows, r.length);
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "norm_rows_backward", BY_CHUNKS(device, r.rows, chunk), .d_type = (uint32_t)sum_type(host->type(r.x)),
                          AVAL_ARGS(AVAL_READ(r.x), AVAL_READ(g), AVAL_READ(r.scale), AVAL_READ(host->output(call, 1)),
                                    AVAL_READ(host->output(call, 2)), AVAL_READ(gm), AVAL_READ(gi), AVAL_WRITE(dx), AVAL_I64(r.rows),
                                    AVAL_I64(chunk), AVAL_I64(r.length), AVAL_I64(r.inner), AVAL_I64(r.channels), AVAL_I32(r.center))));
}

static int rows_reference(const aval_host *host, aval_call *call)
{
    rows r;
    TRY(rows_read(host, call, &r));
    const aval_tensor *out[] = { wanted(host, call, 0), wanted(host, call, 1), wanted(host, call, 2) };
    const double *scale = r.scale == NULL ? NULL : host->real(call, r.scale), *bias = r.bias == NULL ? NULL : host->real(call, r.bias);
    for (int64_t row = 0; row < r.rows; row++) {
        const double *x = host->real(call, r.x) + row * r.length;
        double mean = 0, variance = 0, n = (double)r.length;
        for (int64_t i = 0; i < r.length && r.center; i++) mean += x[i] / n;
        for (int64_t i = 0; i < r.length; i++) variance += (x[i] - mean) * (x[i] - mean) / n;
        double inverse = 1 / sqrt(variance + r.epsilon);
        for (int64_t i = 0; i < r.length && out[0] != NULL; i++) {
            int64_t e = row * r.length + i, c = e / r.inner % r.channels;
            host->real(call, out[0])[e] = (x[i] - mean) * inverse * (scale == NULL ? 1 : scale[c]) + (bias == NULL ? 0 : bias[c]);
        }
        if (out[1] != NULL) host->real(call, out[1])[row] = mean;
        if (out[2] != NULL) host->real(call, out[2])[row] = inverse;
    }
    return 0;
}

/* ---- Bodies ------------------------------------------------------------------------------------------------------------------------ */

/* x normalised in rows of `length`, of which `inner` neighbours share a scale; outputs: y, mean, inverse. */
static int normalized(const aval_host *host, aval_call *call, int64_t length, int64_t inner, int center, const aval_tensor *scale,
                      const aval_tensor *bias, const aval_tensor **outputs)
{
    const aval_tensor *inputs[] = { host->input(call, 0), scale, bias };
    text attrs = { 0 };
    text_int(&attrs, "length", length);
    text_int(&attrs, "inner", inner < 1 ? 1 : inner);
    text_int(&attrs, "center", center);
    text_real(&attrs, "epsilon", host->attr_float(call, "epsilon"));
    return host->apply(call, "aval::NormalizeRows", attrs.at, bias != NULL ? 3 : scale != NULL ? 2 : 1, inputs, 3, outputs);
}

/* A scale or bias that broadcasts to the normalised axes, as one number for each of their elements. */
static int spread_scale(const aval_host *host, aval_call *call, const aval_tensor *t, uint32_t rank, const int64_t *dims,
                        const aval_tensor **out)
{
    text attrs = { 0 };
    *out = t;
    if (t == NULL || host->count(t) == product(dims, rank)) return 0;
    text_ints(&attrs, "dims", dims, rank);
    return host->apply(call, "aval::Broadcast", attrs.at, 1, &t, 1, out);
}

static int layer_axis(const aval_host *host, aval_call *call, uint32_t *axis)
{
    uint32_t rank = host->rank(host->input(call, 0));
    int64_t given_axis = aval_axis(host->attr_int(call, "axis"), rank);
    *axis = (uint32_t)given_axis;
    if (given_axis >= 0) return 0;
    return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute axis is %lld, out of range for %u axes",
                      (long long)host->attr_int(call, "axis"), (unsigned)rank);
}

/* Scale and B must broadcast to the axes from `axis` on. */
static int layer_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    uint32_t axis, rank = host->rank(x);
    int64_t dims[AVAL_MAX_RANK];
    TRY(layer_axis(host, call, &axis));
    for (size_t i = 1; i < host->n_inputs(call); i++) {
        const aval_tensor *t = host->input(call, i);
        for (uint32_t d = 0; t != NULL && d < host->rank(t); d++) {
            int64_t at = (int64_t)rank - host->rank(t) + d, length = host->dims(t)[d];
            if (length == 1 || (at >= axis && length == host->dims(x)[at])) continue;
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                              "input %zu has length %lld at its axis %u, expected 1 or that of the normalised axis of X it lies at", i,
                              (long long)length, (unsigned)d);
        }
    }
    for (uint32_t i = 0; i < rank; i++) dims[i] = i < axis ? host->dims(x)[i] : 1;
    TRY(aval_infer_like(host, call, 0, 0));
    for (size_t i = 1; i < host->n_outputs(call); i++) TRY(host->set_output(call, i, sum_type(host->type(x)), rank, dims));
    return 0;
}

static int layer_body_of(const aval_host *host, aval_call *call, int center)
{
    const aval_tensor *x = host->input(call, 0), *scale, *bias, *outputs[3];
    uint32_t axis, rank = host->rank(x);
    TRY(layer_axis(host, call, &axis));
    const int64_t *dims = host->dims(x) + axis;
    TRY(spread_scale(host, call, given(host, call, 1), rank - axis, dims, &scale));
    TRY(spread_scale(host, call, given(host, call, 2), rank - axis, dims, &bias));
    TRY(normalized(host, call, product(dims, rank - axis), 1, center, scale, bias, outputs));
    TRY(host->yield(call, 0, outputs[0]));
    for (size_t i = 1; i < host->n_outputs(call); i++) {
        const aval_tensor *saved;
        TRY(reshaped(host, call, outputs[i], host->rank(host->output(call, i)), host->dims(host->output(call, i)), &saved));
        TRY(host->yield(call, i, saved));
    }
    return 0;
}

static int layer_body(const aval_host *host, aval_call *call)
{
    return layer_body_of(host, call, 1);
}

static int rms_body(const aval_host *host, aval_call *call)
{
    return layer_body_of(host, call, 0);
}

/* Inputs 1 and 2 have one element for each of `count` channels or groups of X. */
static int check_scales(const aval_host *host, aval_call *call, int64_t count, const char *of)
{
    static const char *const names[] = { "X", "scale", "bias" };
    for (size_t i = 1; i < 3; i++) {
        if (host->count(host->input(call, i)) != count)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %s has %lld elements, expected one for each of %lld %s", names[i],
                              (long long)host->count(host->input(call, i)), (long long)count, of);
    }
    return aval_infer_like(host, call, 0, 0);
}

static int channels_of(const aval_host *host, aval_call *call, int64_t *channels, int64_t *inner)
{
    const aval_tensor *x = host->input(call, 0);
    if (host->rank(x) < 2)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input X has %u axes, expected at least 2: batch and channels",
                          (unsigned)host->rank(x));
    *channels = host->dims(x)[1];
    *inner = product(host->dims(x) + 2, host->rank(x) - 2);
    return 0;
}

static int instance_infer(const aval_host *host, aval_call *call)
{
    int64_t channels, inner;
    TRY(channels_of(host, call, &channels, &inner));
    return check_scales(host, call, channels, "channels");
}

/* A row for each channel of each example. */
static int instance_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *outputs[3], *x = host->input(call, 0);
    int64_t channels, inner;
    TRY(channels_of(host, call, &channels, &inner));
    if (inner == 1) { /* nothing varies within a row: the result is the bias */
        const int64_t dims[] = { 1, channels };
        const aval_tensor *y;
        text attrs = { 0 };
        TRY(reshaped(host, call, host->input(call, 2), 2, dims, &y));
        text_ints(&attrs, "dims", host->dims(x), 2);
        TRY(host->apply(call, "aval::Broadcast", attrs.at, 1, &y, 1, &y));
        TRY(reshaped(host, call, y, host->rank(x), host->dims(x), &y));
        return host->yield(call, 0, y);
    }
    TRY(normalized(host, call, inner, inner, 1, host->input(call, 1), host->input(call, 2), outputs));
    return host->yield(call, 0, outputs[0]);
}

static int group_read(const aval_host *host, aval_call *call, int64_t *channels, int64_t *inner, int64_t *groups)
{
    TRY(channels_of(host, call, channels, inner));
    *groups = host->attr_int(call, "num_groups");
    if (*groups >= 1 && *channels % *groups == 0) return 0;
    return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute num_groups is %lld, expected a divisor of the %lld channels",
                      (long long)*groups, (long long)*channels);
}

static int group_infer(const aval_host *host, aval_call *call)
{
    int64_t channels, inner, groups;
    TRY(group_read(host, call, &channels, &inner, &groups));
    return check_scales(host, call, channels, "channels");
}

static int older_group_infer(const aval_host *host, aval_call *call)
{
    int64_t channels, inner, groups;
    TRY(group_read(host, call, &channels, &inner, &groups));
    return check_scales(host, call, groups, "groups");
}

/* A row for each group of channels of each example.  Where a channel is one element of few channels, scale and bias are applied apart. */
static int group_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *outputs[3], *x = host->input(call, 0), *scale, *bias, *y;
    int64_t channels, inner, groups;
    TRY(group_read(host, call, &channels, &inner, &groups));
    int64_t length = channels / groups * inner;
    if (inner > 1 || groups == 1) {
        TRY(normalized(host, call, length, inner, 1, host->input(call, 1), host->input(call, 2), outputs));
        return host->yield(call, 0, outputs[0]);
    }
    int64_t dims[AVAL_MAX_RANK] = { 1, channels };
    for (uint32_t i = 2; i < host->rank(x); i++) dims[i] = 1;
    TRY(normalized(host, call, length, 1, 1, NULL, NULL, outputs));
    TRY(reshaped(host, call, host->input(call, 1), host->rank(x), dims, &scale));
    TRY(reshaped(host, call, host->input(call, 2), host->rank(x), dims, &bias));
    TRY(host->apply(call, "Mul", NULL, 2, (const aval_tensor *const[]){ outputs[0], scale }, 1, &y));
    TRY(host->apply(call, "Add", NULL, 2, (const aval_tensor *const[]){ y, bias }, 1, &y));
    return host->yield(call, 0, y);
}

/* Before opset 21 scale and bias belong to groups: each serves all channels of its group. */
static int older_group_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *inputs[3] = { host->input(call, 0) }, *y;
    int64_t channels, inner, groups;
    text attrs = { 0 };
    TRY(group_read(host, call, &channels, &inner, &groups));
    const int64_t column[] = { groups, 1 }, spread[] = { groups, channels / groups };
    for (size_t i = 1; i < 3; i++) {
        text dims = { 0 };
        text_ints(&dims, "dims", spread, 2);
        TRY(reshaped(host, call, host->input(call, i), 2, column, &inputs[i]));
        TRY(host->apply(call, "aval::Broadcast", dims.at, 1, &inputs[i], 1, &inputs[i]));
        TRY(reshaped(host, call, inputs[i], 1, &channels, &inputs[i]));
    }
    text_int(&attrs, "num_groups", groups);
    text_real(&attrs, "epsilon", host->attr_float(call, "epsilon"));
    TRY(host->apply(call, "GroupNormalization", attrs.at, 3, inputs, 1, &y));
    return host->yield(call, 0, y);
}

/* ---- The table --------------------------------------------------------------------------------------------------------------------- */

#define EPSILON \
    { \
        .name = "epsilon", .type = AVAL_ATTR_FLOAT, .initial = "1e-5", .doc = "added to the variance" \
    }
#define STASH \
    { \
        .name = "stash_type", .type = AVAL_ATTR_INT, .initial = "1", .doc = "sums are always kept in float, or double for doubles" \
    }
#define LAYER_AXIS \
    { \
        .name = "axis", .type = AVAL_ATTR_INT, .initial = "-1", .doc = "first of the axes that are normalised" \
    }
#define SCALED(op_name, version, x_name, scale_name, bias_name) \
    .size = sizeof(aval_op), .name = op_name, .since = version, .deterministic = 1, \
    .inputs = AVAL_PORTS({ .name = x_name }, { .name = scale_name, .like = AVAL_LIKE(0) }, { .name = bias_name, .like = AVAL_LIKE(0) })

static const aval_op rows_op = {
    .size = sizeof(aval_op),
    .name = "NormalizeRows",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .doc = "Each row of `length` elements brought to mean 0 and variance 1, then scaled and moved; LayerNormalization and its kin are made "
           "of it.",
    .inputs = AVAL_PORTS({ .name = "X", .flags = AVAL_ROW_HEADED }, { .name = "scale", .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) },
                         { .name = "bias", .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }, { .name = "mean", .flags = AVAL_OPTIONAL }, { .name = "inverse", .flags = AVAL_OPTIONAL }),
    .attrs = AVAL_ATTRS({ .name = "length", .type = AVAL_ATTR_INT, .required = 1, .doc = "elements of a row" },
                        { .name = "inner", .type = AVAL_ATTR_INT, .initial = "1", .doc = "neighbours that share a scale" },
                        { .name = "center", .type = AVAL_ATTR_INT, .initial = "1", .doc = "0: the mean is taken as 0" }, EPSILON),
    .infer = rows_infer,
    .forward = rows_forward,
    .backward = rows_backward,
    .reference = rows_reference,
    .keeps = AVAL_KEEP_INPUT(0) | AVAL_KEEP_INPUT(1) | AVAL_KEEP_INPUT(2) | AVAL_KEEP_OUTPUT(1) | AVAL_KEEP_OUTPUT(2),
    .samples =
        AVAL_SAMPLES({ .inputs = "[3,5] [5]{0.5..2} [5]", .attrs = "length=5" }, { .inputs = "[3,5]", .attrs = "length=5" },
                     { .inputs = "[3,40] [40]{0.5..2}", .attrs = "length=40 center=0" }, { .inputs = "[3,5] - [5]", .attrs = "length=5" },
                     { .inputs = "[2,3,7] [3]{0.5..2} [3]", .attrs = "length=7 inner=7" },
                     { .inputs = "[2,4,19] [4]{0.5..2} [4]", .attrs = "length=38 inner=19", .why = "two channels a row" },
                     { .inputs = "[0,5] [5] [5]", .attrs = "length=5" }, { .inputs = "[1] [1] [1]", .attrs = "length=1 epsilon=0.1" },
                     { .inputs = "[300,260] [260]{0.5..2} [260]", .attrs = "length=260", .size_class = AVAL_LARGE },
                     { .inputs = "[8,6,1500] [6]{0.5..2} [6]", .attrs = "length=4500 inner=1500", .size_class = AVAL_LARGE }),
};
static const aval_op layer_op = {
    .size = sizeof(aval_op),
    .name = "LayerNormalization",
    .since = 17,
    .deterministic = 1,
    .doc = "All axes from `axis` on brought to mean 0 and variance 1 together, then scaled and moved.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "Scale", .like = AVAL_LIKE(0) },
                         { .name = "B", .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }, { .name = "Mean", .flags = AVAL_OPTIONAL }, { .name = "InvStdDev", .flags = AVAL_OPTIONAL }),
    .attrs = AVAL_ATTRS(LAYER_AXIS, EPSILON, STASH),
    .infer = layer_infer,
    .body = layer_body,
    .samples = AVAL_SAMPLES({ .inputs = "[3,5] [5]{0.5..2} [5]" }, { .inputs = "[2,3,4] [3,4]{0.5..2}", .attrs = "axis=1" },
                            { .inputs = "[2,3,4] [4]{0.5..2} [3,1]", .attrs = "axis=1 epsilon=0.1", .why = "scale and bias broadcast" },
                            { .inputs = "[2,3] [2,3]{0.5..2} [2,3]", .attrs = "axis=0" }, { .inputs = "[0,3] [3] [3]" },
                            { .inputs = "[130,520] [520]{0.5..2} [520]", .size_class = AVAL_LARGE }),
};
static const aval_op rms_op = {
    .size = sizeof(aval_op),
    .name = "RMSNormalization",
    .since = 23,
    .deterministic = 1,
    .doc = "All axes from `axis` on divided by their root mean square, then scaled.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "scale", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS(LAYER_AXIS, EPSILON, STASH),
    .infer = layer_infer,
    .body = rms_body,
    .samples = AVAL_SAMPLES({ .inputs = "[3,5] [5]{0.5..2}" }, { .inputs = "[2,3,4] [3,4]{0.5..2}", .attrs = "axis=1" },
                            { .inputs = "[0,3] [3]" }),
};
static const aval_op instance_op = {
    SCALED("InstanceNormalization", 1, "input", "scale", "B"),
    .doc = "Each channel of each example brought to mean 0 and variance 1, then scaled and moved.",
    .outputs = AVAL_PORTS({ .name = "output" }),
    .attrs = AVAL_ATTRS(EPSILON),
    .infer = instance_infer,
    .body = instance_body,
    .samples = AVAL_SAMPLES({ .inputs = "[2,3,4,5] [3]{0.5..2} [3]" }, { .inputs = "[2,3,7] [3]{0.5..2} [3]", .attrs = "epsilon=0.1" },
                            { .inputs = "[2,3,1] [3] [3]", .flags = AVAL_NO_GRADIENT_CHECK, .why = "one element: the bias alone is left" },
                            { .inputs = "[0,3,4] [3] [3]" }, { .inputs = "[4,5,60,61] [5]{0.5..2} [5]", .size_class = AVAL_LARGE }),
};
#define GROUPS AVAL_ATTRS(EPSILON, { .name = "num_groups", .type = AVAL_ATTR_INT, .required = 1, .doc = "of channels" }, STASH)
static const aval_op group_op = {
    SCALED("GroupNormalization", 21, "X", "scale", "bias"),
    .doc = "Groups of channels of each example brought to mean 0 and variance 1, then each channel scaled and moved.",
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = GROUPS,
    .infer = group_infer,
    .body = group_body,
    .samples = AVAL_SAMPLES({ .inputs = "[2,4,3,5] [4]{0.5..2} [4]", .attrs = "num_groups=2" },
                            { .inputs = "[2,6] [6]{0.5..2} [6]", .attrs = "num_groups=2 epsilon=0.1" },
                            { .inputs = "[2,4,3] [4]{0.5..2} [4]", .attrs = "num_groups=1" },
                            { .inputs = "[0,4,3] [4] [4]", .attrs = "num_groups=4" }),
};
static const aval_op older_group_op = {
    SCALED("GroupNormalization", 18, "X", "scale", "bias"),
    .doc = "The form before opset 21: scale and bias belong to groups.",
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = GROUPS,
    .infer = older_group_infer,
    .body = older_group_body,
    .samples = AVAL_SAMPLES({ .inputs = "[2,4,3,5] [2]{0.5..2} [2]", .attrs = "num_groups=2" }),
};

AVAL_PLUGIN("row_norm", "0.1.0", AVAL_SOURCES({ "row_norm.cl", row_norm_cl }), &rows_op, &layer_op, &rms_op, &instance_op, &group_op,
            &older_group_op)
