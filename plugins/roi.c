/* Pooling of regions of interest (Girshick 2015; RoiAlign: He et al. 2017).  Where the regions lie is taken as given: only images have a
 * gradient, as everywhere. */
#include "support.h"

#include <string.h>

#include "roi.cl.h"

enum { X, ROIS, IMAGES };

typedef struct regions {
    int64_t images, channels, in_y, in_x, rois, out_y, out_x;
    double scale;
    int maximum, half_pixel; /* RoiAlign */
    int64_t samples;
} regions;

static int read_regions(const aval_host *host, aval_call *call, int64_t numbers, regions *r)
{
    const aval_tensor *x = host->input(call, X), *rois = host->input(call, ROIS);
    const int64_t *d = host->dims(x);
    if (host->rank(x) != 4 || host->rank(rois) != 2 || host->dims(rois)[1] != numbers)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "inputs X and rois have %u and %u axes, expected 4 and 2, rois with %lld numbers a row", (unsigned)host->rank(x),
                          (unsigned)host->rank(rois), (long long)numbers);
    if (host->count(x) > INT32_MAX / 4)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "input X has %lld elements, expected at most %d", (long long)host->count(x),
                          INT32_MAX / 4);
    *r = (regions){ .images = d[0], .channels = d[1], .in_y = d[2], .in_x = d[3], .rois = host->dims(rois)[0] };
    r->scale = host->attr_float(call, "spatial_scale");
    return 0;
}

static int check_outputs(const aval_host *host, aval_call *call, const regions *r)
{
    if (r->out_y >= 1 && r->out_x >= 1) return 0;
    return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "%lld x %lld bins are asked for, expected at least 1 x 1", (long long)r->out_y,
                      (long long)r->out_x);
}

static int set_output(const aval_host *host, aval_call *call, const regions *r)
{
    const int64_t dims[] = { r->rois, r->channels, r->out_y, r->out_x };
    return host->set_output(call, 0, host->type(host->input(call, X)), 4, dims);
}

#define ROI_ARGS(r) \
    AVAL_I32((r).images), AVAL_I32((r).channels), AVAL_I32((r).in_y), AVAL_I32((r).in_x), AVAL_I32((r).rois), AVAL_I32((r).out_y), \
        AVAL_I32((r).out_x), AVAL_REAL((r).scale)

/* ---- RoiAlign -------------------------------------------------------------------------------------------------------------------------- */

static int align_read(const aval_host *host, aval_call *call, regions *r)
{
    const char *mode = host->attr_string(call, "mode"), *pixels = host->attr_string(call, "coordinate_transformation_mode");
    TRY(read_regions(host, call, 4, r));
    if (strcmp(mode, "avg") != 0 && strcmp(mode, "max") != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute mode is '%s', expected avg or max", mode);
    if (strcmp(pixels, "half_pixel") != 0 && strcmp(pixels, "output_half_pixel") != 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT,
                          "attribute coordinate_transformation_mode is '%s', expected half_pixel or output_half_pixel", pixels);
    if (host->count(host->input(call, IMAGES)) != r->rois)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input batch_indices has %lld elements, expected one for each of %lld rois",
                          (long long)host->count(host->input(call, IMAGES)), (long long)r->rois);
    r->maximum = mode[0] == 'm';
    r->half_pixel = pixels[0] == 'h';
    r->samples = host->attr_int(call, "sampling_ratio");
    r->out_y = host->attr_int(call, "output_height");
    r->out_x = host->attr_int(call, "output_width");
    return check_outputs(host, call, r);
}

static int align_infer(const aval_host *host, aval_call *call)
{
    regions r;
    TRY(align_read(host, call, &r));
    return set_output(host, call, &r);
}

#define ALIGN_ARGS(r) AVAL_I32((r).maximum), AVAL_I32((r).half_pixel), AVAL_I32((r).samples), ROI_ARGS(r)

static int align_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->output(call, 0);
    regions r;
    TRY(align_read(host, call, &r));
    if (host->count(y) == 0) return 0;
    return host->launch(call, AVAL_LAUNCH(.kernel = "roi_align", EACH(host->count(y)),
                                          AVAL_ARGS(AVAL_READ(host->input(call, X)), AVAL_READ(host->input(call, ROIS)),
                                                    AVAL_READ(host->input(call, IMAGES)), AVAL_WRITE(y), ALIGN_ARGS(r))));
}

static int align_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, X), *dx = host->gradient(call, X), *g = host->upstream(call, 0);
    regions r;
    TRY(align_read(host, call, &r));
    if (dx == NULL || host->count(dx) == 0) return 0;
    if (host->count(g) == 0) return host->fill(call, dx, 0);
    const aval_type summed = sum_type(host->type(x));
    return host->launch(call, AVAL_LAUNCH(.kernel = "roi_align_backward", EACH(r.images * r.channels), .d_type = summed,
                                          AVAL_ARGS(AVAL_READ(x), AVAL_READ(host->input(call, ROIS)), AVAL_READ(host->input(call, IMAGES)),
                                                    AVAL_READ(g), AVAL_UPDATE(host->scratch(call, summed, host->count(x))), AVAL_WRITE(dx),
                                                    AVAL_I32(r.images * r.channels), ALIGN_ARGS(r))));
}

/* A sample of a bin: its four weighted elements summed, or the largest. */
static double sample_at(const regions *r, const double *x, double row, double column)
{
    double sum = 0, most = -INFINITY;
    if (row < -1 || row > (double)r->in_y || column < -1 || column > (double)r->in_x) return 0;
    row = fmin(fmax(row, 0), (double)(r->in_y - 1));
    column = fmin(fmax(column, 0), (double)(r->in_x - 1));
    for (int i = 0; i < 4; i++) {
        int64_t y = (int64_t)row + i / 2, z = (int64_t)column + i % 2;
        double weight = (i / 2 ? row - floor(row) : 1 - row + floor(row)) * (i % 2 ? column - floor(column) : 1 - column + floor(column));
        double v = weight * x[(y < r->in_y ? y : r->in_y - 1) * r->in_x + (z < r->in_x ? z : r->in_x - 1)];
        sum += v;
        most = fmax(most, v);
    }
    return r->maximum ? most : sum;
}

static double align_bin(const regions *r, const double *x, const double *roi, int64_t bin)
{
    double shift = r->half_pixel ? 0.5 : 0, left = roi[0] * r->scale - shift, top = roi[1] * r->scale - shift;
    double width = roi[2] * r->scale - shift - left, height = roi[3] * r->scale - shift - top, result = 0;
    if (!r->half_pixel) width = fmax(width, 1), height = fmax(height, 1);
    width /= (double)r->out_x;
    height /= (double)r->out_y;
    int64_t rows = r->samples > 0 ? r->samples : (int64_t)ceil(height), columns = r->samples > 0 ? r->samples : (int64_t)ceil(width);
    for (int64_t i = 0; i < rows * columns; i++) {
        double row = top + ((double)(bin / r->out_x) + ((double)(i / columns) + 0.5) / (double)rows) * height;
        double column = left + ((double)(bin % r->out_x) + ((double)(i % columns) + 0.5) / (double)columns) * width;
        double v = sample_at(r, x, row, column);
        if (!r->maximum) result += v / (double)(rows * columns);
        else if (i == 0 || v > result) result = v;
    }
    return result;
}

static int align_reference(const aval_host *host, aval_call *call)
{
    const double *x = host->real(call, host->input(call, X)), *rois = host->real(call, host->input(call, ROIS));
    const int64_t *images = host->integer(call, host->input(call, IMAGES));
    double *y = host->real(call, host->output(call, 0));
    regions r;
    TRY(align_read(host, call, &r));
    int64_t bins = r.out_y * r.out_x;
    for (int64_t i = 0; i < host->count(host->output(call, 0)); i++) {
        int64_t roi = i / bins / r.channels, plane = images[roi] * r.channels + i / bins % r.channels;
        int there = images[roi] >= 0 && images[roi] < r.images;
        y[i] = there ? align_bin(&r, x + plane * r.in_y * r.in_x, rois + 4 * roi, i % bins) : 0;
    }
    return 0;
}

/* Before version 16 there was no attribute for the coordinates: they were not moved by half an element. */
static int align_10_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *inputs[] = { host->input(call, X), host->input(call, ROIS), host->input(call, IMAGES) }, *y;
    text attrs = { 0 };
    text_word(&attrs, "coordinate_transformation_mode", "output_half_pixel");
    text_word(&attrs, "mode", host->attr_string(call, "mode"));
    text_int(&attrs, "output_height", host->attr_int(call, "output_height"));
    text_int(&attrs, "output_width", host->attr_int(call, "output_width"));
    text_int(&attrs, "sampling_ratio", host->attr_int(call, "sampling_ratio"));
    text_real(&attrs, "spatial_scale", host->attr_float(call, "spatial_scale"));
    TRY(host->apply(call, "RoiAlign", attrs.at, 3, inputs, 1, &y));
    return host->yield(call, 0, y);
}

static int align_10_infer(const aval_host *host, aval_call *call)
{
    regions r;
    TRY(read_regions(host, call, 4, &r));
    r.out_y = host->attr_int(call, "output_height");
    r.out_x = host->attr_int(call, "output_width");
    TRY(check_outputs(host, call, &r));
    return set_output(host, call, &r);
}

/* ---- MaxRoiPool ------------------------------------------------------------------------------------------------------------------------- */

static int pool_read(const aval_host *host, aval_call *call, regions *r)
{
    size_t n;
    const int64_t *shape = host->attr_ints(call, "pooled_shape", &n);
    TRY(read_regions(host, call, 5, r));
    if (n != 2) return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute pooled_shape has %zu numbers, expected 2", n);
    r->out_y = shape[0];
    r->out_x = shape[1];
    return check_outputs(host, call, r);
}

static int pool_infer(const aval_host *host, aval_call *call)
{
    regions r;
    TRY(pool_read(host, call, &r));
    return set_output(host, call, &r);
}

static int pool_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->output(call, 0);
    regions r;
    TRY(pool_read(host, call, &r));
    if (host->count(y) == 0) return 0;
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "max_roi_pool", EACH(host->count(y)),
                          AVAL_ARGS(AVAL_READ(host->input(call, X)), AVAL_READ(host->input(call, ROIS)), AVAL_WRITE(y), ROI_ARGS(r))));
}

static int pool_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, X), *dx = host->gradient(call, X), *g = host->upstream(call, 0);
    regions r;
    TRY(pool_read(host, call, &r));
    if (dx == NULL || host->count(dx) == 0) return 0;
    if (host->count(g) == 0) return host->fill(call, dx, 0);
    const aval_type summed = sum_type(host->type(x));
    return host->launch(call, AVAL_LAUNCH(.kernel = "max_roi_pool_backward", EACH(r.images * r.channels), .d_type = summed,
                                          AVAL_ARGS(AVAL_READ(x), AVAL_READ(host->input(call, ROIS)), AVAL_READ(g),
                                                    AVAL_UPDATE(host->scratch(call, summed, host->count(x))), AVAL_WRITE(dx),
                                                    AVAL_I32(r.images * r.channels), ROI_ARGS(r))));
}

static int64_t clamp(double x, int64_t high)
{
    return x < 0 ? 0 : x > (double)high ? high : (int64_t)x;
}

static int pool_reference(const aval_host *host, aval_call *call)
{
    const double *x = host->real(call, host->input(call, X)), *rois = host->real(call, host->input(call, ROIS));
    double *y = host->real(call, host->output(call, 0));
    regions r;
    TRY(pool_read(host, call, &r));
    int64_t bins = r.out_y * r.out_x;
    for (int64_t i = 0; i < host->count(host->output(call, 0)); i++) {
        const double *roi = rois + i / bins / r.channels * 5;
        if (roi[0] < 0 || roi[0] >= (double)r.images) {
            y[i] = 0;
            continue;
        }
        const double *plane = x + ((int64_t)roi[0] * r.channels + i / bins % r.channels) * r.in_y * r.in_x;
        double left = round(roi[1] * r.scale), top = round(roi[2] * r.scale), bin_y = (double)(i % bins / r.out_x);
        double bin_x = (double)(i % r.out_x), height = fmax(round(roi[4] * r.scale) - top + 1, 1) / (double)r.out_y;
        double width = fmax(round(roi[3] * r.scale) - left + 1, 1) / (double)r.out_x, most = -INFINITY;
        for (int64_t row = clamp(top + floor(bin_y * height), r.in_y); row < clamp(top + ceil((bin_y + 1) * height), r.in_y); row++)
            for (int64_t column = clamp(left + floor(bin_x * width), r.in_x); column < clamp(left + ceil((bin_x + 1) * width), r.in_x);
                 column++)
                most = fmax(most, plane[row * r.in_x + column]);
        y[i] = most == -INFINITY ? 0 : most;
    }
    return 0;
}

/* ---- Definitions ------------------------------------------------------------------------------------------------------------------------ */

#define SCALE_ATTR \
    { \
        .name = "spatial_scale", .type = AVAL_ATTR_FLOAT, .initial = "1", .doc = "of rois to X" \
    }
#define ALIGN_ATTRS \
    { .name = "mode", .type = AVAL_ATTR_STRING, .initial = "'avg'", .doc = "avg; max: the largest weighted element of all samples" }, \
        { .name = "output_height", .type = AVAL_ATTR_INT, .initial = "1", .doc = "rows of bins" }, \
        { .name = "output_width", .type = AVAL_ATTR_INT, .initial = "1", .doc = "columns of bins" }, \
        { .name = "sampling_ratio", .type = AVAL_ATTR_INT, .initial = "0", .doc = "samples along a bin's side, 0: as many as elements" }, \
        SCALE_ATTR
#define ALIGN_PORTS \
    AVAL_PORTS({ .name = "X" }, { .name = "rois", .like = AVAL_LIKE(0) }, { .name = "batch_indices", .types = AVAL_TYPE_SET(AVAL_INT64) })
#define OP(op_name, version, text) \
    .size = sizeof(aval_op), .name = op_name, .since = version, .deterministic = 1, .doc = text, .outputs = AVAL_PORTS({ .name = "Y" })

static const aval_op align_op = {
    OP("RoiAlign", 16, "Regions of images averaged over samples of bins, between elements; rois are x1 y1 x2 y2."),
    .inputs = ALIGN_PORTS,
    .attrs = AVAL_ATTRS(ALIGN_ATTRS, { .name = "coordinate_transformation_mode",
                                       .type = AVAL_ATTR_STRING,
                                       .initial = "'half_pixel'",
                                       .doc = "half_pixel: rois are moved by half an element; output_half_pixel: they are not" }),
    .infer = align_infer,
    .forward = align_forward,
    .backward = align_backward,
    .reference = align_reference,
    .zero_gradient = 6,
    .keeps = AVAL_KEEP_INPUT(X) | AVAL_KEEP_INPUT(ROIS) | AVAL_KEEP_INPUT(IMAGES),
    .subgradient = "max: the first of the largest",
    .samples =
        AVAL_SAMPLES({ .inputs = "[2,2,6,7] [3,4]{0.3,0.4,4.2,3.1,1.2,0.7,5.3,5.1,2.2,1.1,6.4,5.7} i64[3]{1,0,1}",
                       .attrs = "output_height=2 output_width=3 sampling_ratio=2" },
                     { .inputs = "[1,2,6,7] [2,4]{0.3,0.4,4.2,3.1,-3.3,1.2,12.4,9.7} i64[2]{0,0}",
                       .attrs = "output_height=2 output_width=2 spatial_scale=0.7 coordinate_transformation_mode='output_half_pixel'" },
                     { .inputs = "[1,2,6,7]{0.1..2} [2,4]{0.3,0.4,4.2,3.1,1.3,1.2,6.4,5.7} i64[2]{0,0}",
                       .attrs = "output_height=2 output_width=2 mode='max' sampling_ratio=2",
                       .flags = AVAL_DISTINCT },
                     { .inputs = "[1,1,2,2] [0,4] i64[0]" }),
};

static const aval_op align_10_op = {
    OP("RoiAlign", 10, "RoiAlign whose regions are not moved by half an element."),
    .inputs = ALIGN_PORTS,
    .attrs = AVAL_ATTRS(ALIGN_ATTRS),
    .infer = align_10_infer,
    .body = align_10_body,
    .zero_gradient = 6,
    .samples = AVAL_SAMPLES(
        { .inputs = "[1,2,6,7] [2,4]{0.3,0.4,4.2,3.1,1.3,1.2,6.4,5.7} i64[2]{0,9}", .attrs = "output_height=2 spatial_scale=0.7" }),
};

static const aval_op pool_op = {
    OP("MaxRoiPool", 1, "The largest elements of regions of images in bins; rois are image x1 y1 x2 y2."),
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "rois", .like = AVAL_LIKE(0) }),
    .attrs = AVAL_ATTRS({ .name = "pooled_shape", .type = AVAL_ATTR_INTS, .required = 1, .doc = "rows and columns of bins" }, SCALE_ATTR),
    .infer = pool_infer,
    .forward = pool_forward,
    .backward = pool_backward,
    .reference = pool_reference,
    .zero_gradient = 2,
    .keeps = AVAL_KEEP_INPUT(X) | AVAL_KEEP_INPUT(ROIS),
    .subgradient = "the first winner at ties, row by row",
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,2,6,7] [3,5]{1,0,0,4,3,0,1,1,5,5,1,2,2,9,5}", .attrs = "pooled_shape=[2,3]", .flags = AVAL_DISTINCT },
        { .inputs = "[1,2,6,7] [1,5]{0,1.2,2.1,9.3,8.4}", .attrs = "pooled_shape=[2,2] spatial_scale=0.5", .flags = AVAL_DISTINCT },
        { .inputs = "[1,1,2,2] [0,5]", .attrs = "pooled_shape=[1,1]" }),
};

AVAL_PLUGIN("roi", "0.1.0", AVAL_SOURCES({ "roi.cl", roi_cl }), &align_op, &align_10_op, &pool_op)
