/* NonMaxSuppression.  How many boxes are left says only the search itself, each step of which waits for the one before: so the host does it, once
 * infer has got the content of the boxes, and the device gets the result. */
#include "support.h"

/* What the op is given; boxes [batches, n, 4], scores [batches, classes, n]. */
typedef struct suppression {
    const float *boxes, *scores;
    int64_t batches, classes, n, most;
    double overlap, score;
    int has_score, centered;
} suppression;

typedef struct rectangle {
    double low[2], high[2];
} rectangle;

static int read_number(const aval_host *host, aval_call *call, size_t i, const char *name, double initial, double *value)
{
    *value = initial;
    return host->input(call, i) == NULL || host->count(host->input(call, i)) == 0 ? 0 : known_number(host, call, i, name, value);
}

static int read_floats(const aval_host *host, aval_call *call, size_t i, const char *name, const float **values)
{
    static const float none = 0;
    *values = host->count(host->input(call, i)) == 0 ? &none : host->content(call, i);
    if (*values != NULL) return 0;
    return host->fail(call, AVAL_NEEDS_CONTENT, "input %s: its content says how many boxes are left, and is not known", name);
}

static int read_suppression(const aval_host *host, aval_call *call, suppression *s)
{
    const aval_tensor *boxes = host->input(call, 0), *scores = host->input(call, 1), *least = host->input(call, 4);
    const int64_t *b = host->dims(boxes), *c = host->dims(scores);
    double most;
    if (host->rank(boxes) != 3 || host->rank(scores) != 3 || b[2] != 4 || b[0] != c[0] || b[1] != c[2])
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "expected boxes [batches, n, 4] and scores [batches, classes, n], found %u and %u axes, or lengths that differ",
                          (unsigned)host->rank(boxes), (unsigned)host->rank(scores));
    *s = (suppression){ .batches = b[0], .classes = c[1], .n = b[1], .has_score = least != NULL && host->count(least) > 0 };
    s->centered = host->attr_int(call, "center_point_box") != 0;
    TRY(read_floats(host, call, 0, "boxes", &s->boxes));
    TRY(read_floats(host, call, 1, "scores", &s->scores));
    TRY(read_number(host, call, 2, "max_output_boxes_per_class", 0, &most));
    TRY(read_number(host, call, 3, "iou_threshold", 0, &s->overlap));
    TRY(read_number(host, call, 4, "score_threshold", 0, &s->score));
    s->most = most < 0 ? 0 : most > (double)s->n ? s->n : (int64_t)most;
    return 0;
}

/* Corners come in any order. */
static rectangle box_at(const suppression *s, int64_t i)
{
    const float *b = s->boxes + 4 * i;
    rectangle r;
    for (int k = 0; k < 2; k++) {
        double first = s->centered ? b[k] - b[2 + k] / 2.0 : b[k], second = s->centered ? b[k] + b[2 + k] / 2.0 : b[2 + k];
        r.low[k] = fmin(first, second);
        r.high[k] = fmax(first, second);
    }
    return r;
}

static double area(const rectangle *r)
{
    return (r->high[0] - r->low[0]) * (r->high[1] - r->low[1]);
}

/* Do two boxes share more than the threshold of the area that they cover together? */
static int overlap(const suppression *s, int64_t a, int64_t b)
{
    rectangle x = box_at(s, a), y = box_at(s, b), both;
    for (int k = 0; k < 2; k++) {
        both.low[k] = fmax(x.low[k], y.low[k]);
        both.high[k] = fmin(x.high[k], y.high[k]);
        if (both.high[k] <= both.low[k]) return 0;
    }
    return area(&both) / (area(&x) + area(&y) - area(&both)) > s->overlap;
}

/* By falling score; of equal ones the first. */
static int by_score(const void *a, const void *b, void *user)
{
    const float *scores = user;
    int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
    if (scores[i] != scores[j]) return scores[i] > scores[j] ? -1 : 1;
    return (i > j) - (i < j);
}

/* The boxes that one class of one batch keeps go to `kept` [most]; `order` [n] is scratch.  Returns how many they are. */
static int64_t keep_boxes(const suppression *s, int64_t batch, int64_t class, int64_t *order, int64_t *kept)
{
    const float *scores = s->scores + (batch * s->classes + class) * s->n;
    int64_t n = 0, count = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (!isnan(scores[i]) && (!s->has_score || scores[i] > s->score)) order[n++] = i;
    qsort_r(order, (size_t)n, sizeof *order, by_score, (void *)scores);
    for (int64_t i = 0; i < n && count < s->most; i++) {
        int fits = 1;
        for (int64_t k = 0; k < count && fits; k++) fits = !overlap(s, batch * s->n + order[i], batch * s->n + kept[k]);
        if (fits) kept[count++] = order[i];
    }
    return count;
}

/* The result [*count, 3]: batch, class and box of each that is left.  The caller frees it; NULL: out of memory. */
static int64_t *suppress(const suppression *s, int64_t *count)
{
    size_t room = (size_t)(s->batches * s->classes * s->most);
    int64_t *order = malloc(((size_t)(s->n + s->most) + 1) * sizeof *order), *result = malloc((3 * room + 1) * sizeof *result);
    *count = 0;
    for (int64_t pair = 0; order != NULL && result != NULL && pair < s->batches * s->classes; pair++) {
        int64_t *kept = order + s->n, n = keep_boxes(s, pair / s->classes, pair % s->classes, order, kept);
        for (int64_t k = 0; k < n; k++, ++*count) {
            result[3 * *count] = pair / s->classes;
            result[3 * *count + 1] = pair % s->classes;
            result[3 * *count + 2] = kept[k];
        }
    }
    if (order == NULL) {
        free(result);
        result = NULL;
    }
    free(order);
    return result;
}

static int run_suppression(const aval_host *host, aval_call *call, int64_t dims[2], int64_t **result)
{
    suppression s = { 0 };
    TRY(read_suppression(host, call, &s));
    *result = suppress(&s, &dims[0]);
    dims[1] = 3;
    return *result == NULL ? host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "out of memory for %lld boxes", (long long)s.n) : 0;
}

static int suppress_infer(const aval_host *host, aval_call *call)
{
    int64_t dims[2], *result = NULL;
    TRY(run_suppression(host, call, dims, &result));
    free(result);
    return host->set_output(call, 0, AVAL_INT64, 2, dims);
}

static int suppress_body(const aval_host *host, aval_call *call)
{
    int64_t dims[2], *result = NULL;
    TRY(run_suppression(host, call, dims, &result));
    const aval_tensor *y = host->constant(call, AVAL_INT64, 2, dims, result);
    free(result);
    return host->yield(call, 0, y);
}

#define NUMBER_INPUT(port_name, type) \
    { \
        .name = port_name, .flags = AVAL_SHAPE_INPUT | AVAL_OPTIONAL, .types = AVAL_TYPE_SET(type) \
    }
#define BOXES "[1,6,4]{0,0,1,1,0,0.1,1,1.1,0,-0.1,1,0.9,0,10,1,11,0,10.1,1,11.1,0,100,1,101} "
#define SCORES "[1,1,6]{0.9,0.75,0.6,0.95,0.5,0.3} "

static const aval_op suppress_op = {
    .size = sizeof(aval_op),
    .name = "NonMaxSuppression",
    .since = 10,
    .deterministic = 1,
    .doc = "The best boxes of each class, without those that overlap a better one: rows of batch, class and box.",
    .inputs = AVAL_PORTS({ .name = "boxes", .flags = AVAL_SHAPE_INPUT, .types = AVAL_TYPE_SET(AVAL_FLOAT) },
                         { .name = "scores", .flags = AVAL_SHAPE_INPUT, .types = AVAL_TYPE_SET(AVAL_FLOAT) },
                         NUMBER_INPUT("max_output_boxes_per_class", AVAL_INT64), NUMBER_INPUT("iou_threshold", AVAL_FLOAT),
                         NUMBER_INPUT("score_threshold", AVAL_FLOAT)),
    .outputs = AVAL_PORTS({ .name = "selected_indices", .types = AVAL_TYPE_SET(AVAL_INT64) }),
    .zero_gradient = 31,
    .attrs = AVAL_ATTRS({ .name = "center_point_box",
                          .type = AVAL_ATTR_INT,
                          .initial = "0",
                          .doc = "0: boxes are two corners, y first; 1: the middle, width and height" }),
    .infer = suppress_infer,
    .body = suppress_body,
    .samples = AVAL_SAMPLES({ .inputs = BOXES SCORES "i64[1]{3} [1]{0.5} [1]{0}" }, { .inputs = BOXES SCORES "i64[]{2}" },
                            { .inputs = BOXES SCORES "i64[1]{9} [1]{0.5} [1]{0.7}", .attrs = "center_point_box=1" },
                            { .inputs = BOXES SCORES, .why = "none is wanted" }, { .inputs = "[1,0,4] [1,2,0] i64[1]{3}" }),
};

AVAL_PLUGIN("suppress", "0.1.0", NULL, &suppress_op)
