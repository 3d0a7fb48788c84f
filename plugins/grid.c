/* GridSample and AffineGrid: images read at points that a grid names.  The gradient by the image sorts what the points read, so that sums
 * are the same in each run. */
#include "sort.h"

#include "grid.cl.h"

#include <string.h>

/* The numbers of kernels/grid.cl. */
enum { NEAREST, LINEAR, CUBIC };
enum { ZEROS, BORDER, REFLECTION };

/* X [n, channels, d, h, w] and points [n, points, axes]; d is 1 for images of two axes. */
typedef struct sampling {
    int64_t n, channels, points, size;
    int64_t d, h, w;
    int axes, mode, padding, align;
} sampling;

static int read_modes(const aval_host *host, aval_call *call, sampling *s)
{
    static const char *const modes[] = { "nearest", "linear", "cubic" }, *const older[] = { "nearest", "bilinear", "bicubic" };
    static const char *const paddings[] = { "zeros", "border", "reflection" };
    const char *mode = host->attr_string(call, "mode"), *padding = host->attr_string(call, "padding_mode");
    s->mode = s->padding = -1;
    for (int i = 0; i < 3; i++) {
        if (strcmp(modes[i], mode) == 0 || strcmp(older[i], mode) == 0) s->mode = i;
        if (strcmp(paddings[i], padding) == 0) s->padding = i;
    }
    s->align = host->attr_int(call, "align_corners") != 0;
    if (s->mode < 0 || s->padding < 0)
        return host->fail(
            call, AVAL_PLUGIN_BAD_ARGUMENT,
            "attributes mode and padding_mode are '%s' and '%s', expected nearest, linear or cubic, and zeros, border or reflection", mode,
            padding);
    return 0;
}

static int read_sampling(const aval_host *host, aval_call *call, sampling *s)
{
    const aval_tensor *x = host->input(call, 0), *grid = host->input(call, 1);
    const int64_t *dims = host->dims(x), *of = host->dims(grid);
    uint32_t rank = host->rank(x);
    TRY(read_modes(host, call, s));
    s->axes = (int)rank - 2;
    if (rank < 4 || rank > 5 || host->rank(grid) != rank || of[0] != dims[0] || of[rank - 1] != s->axes)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "input X has %u axes and grid %u, expected [N,C,H,W] and [N,Ho,Wo,2], or [N,C,D,H,W] and [N,Do,Ho,Wo,3]",
                          (unsigned)rank, (unsigned)host->rank(grid));
    s->n = dims[0];
    s->channels = dims[1];
    s->d = rank == 5 ? dims[2] : 1;
    s->h = dims[rank - 2];
    s->w = dims[rank - 1];
    if (s->d > INT32_MAX || s->h > INT32_MAX || s->w > INT32_MAX)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED,
                          "the images of X are %lld x %lld x %lld, expected fewer than 2^31 elements in each axis", (long long)s->d,
                          (long long)s->h, (long long)s->w);
    s->size = s->d * s->h * s->w;
    s->points = product(of + 1, rank - 2);
    if (s->size == 0 && s->n * s->points > 0)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input X has images without elements, of which points cannot be read");
    return 0;
}

static int sample_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *grid = host->input(call, 1);
    int64_t dims[AVAL_MAX_RANK];
    sampling s = { 0 };
    TRY(read_sampling(host, call, &s));
    dims[0] = s.n;
    dims[1] = s.channels;
    for (int i = 0; i < s.axes; i++) dims[2 + i] = host->dims(grid)[1 + i];
    return host->set_output(call, 0, host->type(x), host->rank(x), dims);
}

#define SAMPLING_ARGS(s) \
    AVAL_I32((s).axes), AVAL_I64((s).d), AVAL_I64((s).h), AVAL_I64((s).w), AVAL_I32((s).mode), AVAL_I32((s).padding), AVAL_I32((s).align)

static int sample_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->output(call, 0);
    sampling s = { 0 };
    TRY(read_sampling(host, call, &s));
    if (host->count(y) == 0) return 0;
    return host->launch(call, AVAL_LAUNCH(.kernel = "grid_sample", EACH(s.n * s.points), AVAL_DEFINES({ "WG", host->device(call)->group }),
                                          AVAL_ARGS(AVAL_READ(host->input(call, 0)), AVAL_READ(host->input(call, 1)), AVAL_WRITE(y),
                                                    AVAL_I64(s.n), AVAL_I64(s.channels), AVAL_I64(s.points), SAMPLING_ARGS(s))));
}

/* ---- Backward ---------------------------------------------------------------------------------------------------------------------------- */

static int by_grid(const aval_host *host, aval_call *call, const sampling *s)
{
    return host->launch(call,
                        AVAL_LAUNCH(.kernel = "grid_gradient", EACH(s->n * s->points), AVAL_DEFINES({ "WG", host->device(call)->group }),
                                    AVAL_ARGS(AVAL_READ(host->input(call, 0)), AVAL_READ(host->input(call, 1)),
                                              AVAL_READ(host->upstream(call, 0)), AVAL_WRITE(host->gradient(call, 1)), AVAL_I64(s->n),
                                              AVAL_I64(s->channels), AVAL_I64(s->points), SAMPLING_ARGS(*s))));
}

static int by_image(const aval_host *host, aval_call *call, const sampling *s)
{
    const aval_tensor *grid = host->input(call, 1), *dx = host->gradient(call, 0), *g = host->upstream(call, 0);
    uint32_t group = host->device(call)->group;
    int64_t taps = 1, count;
    for (int i = 0; i < s->axes; i++) taps *= s->mode == CUBIC ? 4 : s->mode == LINEAR ? 2 : 1;
    count = s->n * s->points * taps;
    if (count >= INT32_MAX || s->n * s->size >= INT32_MAX)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "the points read %lld elements of %lld, expected fewer than 2^31 each",
                          (long long)count, (long long)(s->n * s->size));
    const aval_tensor *keys = host->scratch(call, AVAL_UINT32, count), *weights = host->scratch(call, sum_type(host->type(g)), count);
    sorting sorted = { .n = count, .s_type = (uint32_t)host->type(g) };
    TRY(host->launch(call, AVAL_LAUNCH(.kernel = "grid_keys", EACH(s->n * s->points), AVAL_DEFINES({ "WG", group }),
                                       AVAL_ARGS(AVAL_READ(grid), AVAL_WRITE(keys), AVAL_WRITE(weights), AVAL_I64(s->n),
                                                 AVAL_I64(s->points), AVAL_I32(taps), SAMPLING_ARGS(*s)))));
    TRY(sort_keys(host, call, keys, s->n * s->size, &sorted));
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "grid_image_gradient", EACH(host->count(dx)), AVAL_DEFINES({ "WG", group }),
                          AVAL_ARGS(AVAL_READ(g), AVAL_READ(sorted.keys), AVAL_READ(sorted.order), AVAL_READ(weights), AVAL_WRITE(dx),
                                    AVAL_I64(s->n), AVAL_I64(s->channels), AVAL_I64(s->size), AVAL_I64(s->points), AVAL_I32(taps))));
}

static int sample_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *dx = host->gradient(call, 0), *dgrid = host->gradient(call, 1);
    sampling s = { 0 };
    TRY(read_sampling(host, call, &s));
    if (dgrid != NULL && host->count(dgrid) > 0) TRY(by_grid(host, call, &s));
    if (dx == NULL || host->count(dx) == 0) return 0;
    return s.points == 0 ? host->fill(call, dx, 0) : by_image(host, call, &s);
}

/* ---- Reference --------------------------------------------------------------------------------------------------------------------------- */

static double mirrored(double x, double low, double high)
{
    double range = high - low, from_low = fmod(fabs(x - low), 2 * range);
    if (!(range > 0)) return low;
    return low + (from_low > range ? 2 * range - from_low : from_low);
}

static double cubic(double x)
{
    const double a = -0.75;
    x = fabs(x);
    return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* The weight of element i along an axis for coordinate n: summed over all taps that lead to it. */
static double axis_weight(const sampling *s, double n, int64_t length, int64_t i)
{
    double low = s->align ? 0 : -0.5, high = (double)(length - 1) - low, sum = 0;
    double x = s->align ? (n + 1) / 2 * (double)(length - 1) : ((n + 1) * (double)length - 1) / 2;
    if (s->mode == NEAREST) x = rint(x);
    if (s->padding == BORDER && (x < low || x > high)) x = x < low ? 0 : (double)(length - 1);
    if (s->padding == REFLECTION) x = mirrored(x, low, high);
    for (int k = -1; k <= 2; k++) {
        double at = floor(x) + k, distance = fabs(x - at);
        double weight = s->mode == NEAREST ? k == 0 : s->mode == LINEAR ? fmax(0, 1 - distance) : cubic(distance);
        if (s->padding == BORDER) at = fmin(fmax(at, 0), (double)(length - 1));
        if (s->padding == REFLECTION) at = mirrored(at, low, high);
        if (at == (double)i) sum += weight;
    }
    return sum;
}

static double read_point(const aval_host *host, aval_call *call, const sampling *s, int64_t from, int64_t point)
{
    const double *image = host->real(call, host->input(call, 0)) + from, *at = host->real(call, host->input(call, 1)) + point * s->axes;
    double sum = 0;
    for (int64_t z = 0; z < s->d; z++) {
        double wz = s->axes == 3 ? axis_weight(s, at[2], s->d, z) : 1;
        for (int64_t y = 0; y < s->h && wz != 0; y++) {
            double wy = axis_weight(s, at[1], s->h, y) * wz;
            for (int64_t x = 0; x < s->w && wy != 0; x++) sum += wy * axis_weight(s, at[0], s->w, x) * image[(z * s->h + y) * s->w + x];
        }
    }
    return sum;
}

static int sample_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->output(call, 0);
    sampling s = { 0 };
    TRY(read_sampling(host, call, &s));
    for (int64_t i = 0; i < host->count(y); i++) {
        int64_t channel = i / s.points; /* of all images */
        host->real(call, y)[i] = read_point(host, call, &s, channel * s.size, channel / s.channels * s.points + i % s.points);
    }
    return 0;
}

/* ---- AffineGrid -------------------------------------------------------------------------------------------------------------------------- */

/* size: [N,C,H,W] or [N,C,D,H,W]. */
static int affine_size(const aval_host *host, aval_call *call, int64_t size[5], size_t *n)
{
    const aval_tensor *theta = host->input(call, 0);
    TRY(known_ints(host, call, 1, "size", size, 5, n));
    int64_t axes = (int64_t)*n - 2;
    if (*n < 4 || host->rank(theta) != 3 || host->dims(theta)[0] != size[0] || host->dims(theta)[1] != axes ||
        host->dims(theta)[2] != axes + 1)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "expected theta [N,2,3] and size [N,C,H,W], or [N,3,4] and [N,C,D,H,W], found %zu numbers in size, and theta of "
                          "another shape",
                          *n);
    for (size_t i = 0; i < *n; i++)
        if (size[i] < 0) return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "input size: number %zu is negative", i);
    return 0;
}

static int affine_infer(const aval_host *host, aval_call *call)
{
    int64_t size[5] = { 0 }, dims[5];
    size_t n = 0;
    TRY(affine_size(host, call, size, &n));
    dims[0] = size[0];
    for (size_t i = 2; i < n; i++) dims[i - 1] = size[i];
    dims[n - 1] = (int64_t)n - 2;
    return host->set_output(call, 0, host->type(host->input(call, 0)), (uint32_t)n, dims);
}

/* Where element i of an axis lies between -1 and 1. */
static double grid_place(int64_t i, int64_t length, int align)
{
    if (align) return length == 1 ? -1 : -1 + 2 * (double)i / (double)(length - 1);
    return (2 * (double)i + 1) / (double)length - 1;
}

/* All points [points, axes + 1], x first and a last 1, times theta. */
static int affine_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *theta = host->input(call, 0), *y = host->output(call, 0), *product_of[2];
    int64_t size[5] = { 0 };
    size_t n = 0;
    int align = host->attr_int(call, "align_corners") != 0;
    TRY(affine_size(host, call, size, &n));
    int64_t axes = (int64_t)n - 2, points = product(size + 2, n - 2), dims[] = { points, axes + 1 };
    double *places = malloc(((size_t)(points * (axes + 1)) + 1) * sizeof *places);
    if (places == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "out of memory for a grid of %lld points", (long long)points);
    for (int64_t p = 0; p < points; p++) {
        int64_t rest = p;
        for (int64_t a = 0; a < axes; a++) { /* x is the last axis of size */
            int64_t length = size[n - 1 - (size_t)a];
            places[p * (axes + 1) + a] = grid_place(rest % length, length, align);
            rest /= length;
        }
        places[p * (axes + 1) + axes] = 1;
    }
    int status = constant_reals(host, call, host->type(theta), places, 2, dims, &product_of[0]);
    free(places);
    TRY(status);
    TRY(host->apply(call, "Transpose", "perm=[0,2,1]", 1, &theta, 1, &product_of[1]));
    TRY(host->apply(call, "MatMul", NULL, 2, product_of, 1, &theta));
    TRY(reshaped(host, call, theta, host->rank(y), host->dims(y), &y));
    return host->yield(call, 0, y);
}

static const aval_op sample_op = {
    .size = sizeof(aval_op),
    .name = "GridSample",
    .since = 16,
    .deterministic = 1,
    .doc = "Images read at the points that a grid names, between -1 and 1 at their edges.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "grid", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS({ .name = "mode",
                          .type = AVAL_ATTR_STRING,
                          .initial = "'linear'",
                          .doc = "nearest, linear or cubic; bilinear and bicubic are their older names" },
                        { .name = "padding_mode",
                          .type = AVAL_ATTR_STRING,
                          .initial = "'zeros'",
                          .doc = "outside is 0 (zeros), the nearest edge (border) or the image mirrored (reflection)" },
                        { .name = "align_corners",
                          .type = AVAL_ATTR_INT,
                          .initial = "0",
                          .doc = "1: -1 and 1 are the middles of the outermost elements; else their outer edges" }),
    .infer = sample_infer,
    .forward = sample_forward,
    .backward = sample_backward,
    .keeps = AVAL_KEEP_INPUT(0) | AVAL_KEEP_INPUT(1),
    .reference = sample_reference,
    .samples = AVAL_SAMPLES(
        { .inputs = "[2,2,3,4] [2,3,2,2]{-1.3..1.3}" }, { .inputs = "[1,2,3,4] [1,3,2,2]{-1.3..1.3}", .attrs = "align_corners=1" },
        { .inputs = "[1,2,3,4] [1,3,2,2]{-2.9..2.9}", .attrs = "padding_mode='border'" },
        { .inputs = "[1,2,3,4] [1,3,2,2]{-4.9..4.9}", .attrs = "padding_mode='reflection'" },
        { .inputs = "[1,2,3,4] [1,3,2,2]{-4.9..4.9}", .attrs = "padding_mode='reflection' align_corners=1 mode='bicubic'" },
        { .inputs = "[1,1,4,5] [1,3,2,2]{-1.3..1.3}", .attrs = "mode='cubic'" },
        { .inputs = "[1,1,4,5] [1,3,2,2]{-1.3..1.3}", .attrs = "mode='cubic' padding_mode='border'" },
        { .inputs = "[1,2,3,4] [1,3,2,2]{-1.3..1.3}", .attrs = "mode='nearest'" },
        { .inputs = "[1,2,3,4,2] [1,2,3,2,3]{-1.3..1.3}", .attrs = "padding_mode='border' align_corners=1" },
        { .inputs = "[1,1,1,1] [1,2,2,2]",
          .attrs = "align_corners=1 padding_mode='reflection'",
          .flags = AVAL_NO_GRADIENT_CHECK,
          .why = "one element: nothing to mirror at, and a kink everywhere" },
        { .inputs = "[1,0,2,2] [1,2,2,2]" }, { .inputs = "[1,2,2,2] [1,0,2,2]" },
        { .inputs = "[1,2,9,8] [1,11,13,2]{-1.1..1.1}", .why = "enough for a sort by digits" }),
};
static const aval_op affine_op = {
    .size = sizeof(aval_op),
    .name = "AffineGrid",
    .since = 20,
    .deterministic = 1,
    .doc = "The points of an image, turned, scaled and moved by matrices: a grid for GridSample.",
    .inputs = AVAL_PORTS({ .name = "theta" }, { .name = "size", .flags = AVAL_SHAPE_INPUT, .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .outputs = AVAL_PORTS({ .name = "grid" }),
    .zero_gradient = 2,
    .attrs = AVAL_ATTRS({ .name = "align_corners",
                          .type = AVAL_ATTR_INT,
                          .initial = "0",
                          .doc = "1: -1 and 1 are the middles of the outermost elements; else their outer edges" }),
    .infer = affine_infer,
    .body = affine_body,
    .samples = AVAL_SAMPLES({ .inputs = "[2,2,3] i64[4]{2,3,4,5}" }, { .inputs = "[2,2,3] i64[4]{2,3,1,3}", .attrs = "align_corners=1" },
                            { .inputs = "[1,3,4] i64[5]{1,1,2,3,4}" }),
};

AVAL_PLUGIN("grid", "0.1.0", AVAL_SOURCES({ "grid.cl", grid_cl }), &sample_op, &affine_op)
