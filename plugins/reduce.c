/* Reductions over any set of axes: ReduceSum, ReduceMean, ReduceMax.  The gradients of sum and mean are bodies (the upstream gradient,
 * broadcast), which fuse with what reads them. */
#include "support.h"

#include "reduce.cl.h"

#define SIDES 4 /* most kept, or reduced, axes after merging: kinds alternate over at most AVAL_MAX_RANK axes */

/* Axes of one kind after merging, right-aligned: unused leading ones have length 1. */
typedef struct axis_set {
    int64_t lengths[SIDES], strides[SIDES], count;
} axis_set;

typedef struct reduction {
    int reduced[AVAL_MAX_RANK];
    uint32_t rank;
    axis_set over, kept;
} reduction;

static void add_axis(axis_set *set, int merge, int64_t length, int64_t stride)
{
    if (merge) {
        set->lengths[SIDES - 1] *= length;
        set->strides[SIDES - 1] = stride;
    } else {
        for (int i = 0; i < SIDES - 1; i++) {
            set->lengths[i] = set->lengths[i + 1];
            set->strides[i] = set->strides[i + 1];
        }
        set->lengths[SIDES - 1] = length;
        set->strides[SIDES - 1] = stride;
    }
    set->count *= length;
}

/* Which axes are reduced: those of input 1; all where it is absent or empty, unless noop_with_empty_axes. */
static int read_axes(const aval_host *host, aval_call *call, reduction *r)
{
    const aval_tensor *x = host->input(call, 0), *axes = host->n_inputs(call) > 1 ? host->input(call, 1) : NULL;
    r->rank = host->rank(x);
    int64_t n = axes == NULL ? 0 : host->count(axes);
    for (uint32_t i = 0; i < r->rank; i++) r->reduced[i] = n == 0 && !host->attr_int(call, "noop_with_empty_axes");
    if (n == 0) return 0;
    const int64_t *content = host->content(call, 1);
    if (content == NULL) return host->fail(call, AVAL_NEEDS_CONTENT, "input axes: its content is not known when shapes are worked out");
    for (int64_t i = 0; i < n; i++) {
        int64_t axis = aval_axis(content[i], r->rank);
        if (axis < 0)
            return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "input axes: axis %lld is out of range for %u axes", (long long)content[i],
                              (unsigned)r->rank);
        r->reduced[axis] = 1;
    }
    return 0;
}

static int plan_reduction(const aval_host *host, aval_call *call, reduction *r)
{
    TRY(read_axes(host, call, r));
    const int64_t *dims = host->dims(host->input(call, 0));
    r->over = r->kept = (axis_set){ { 1, 1, 1, 1 }, { 0, 0, 0, 0 }, 1 };
    int64_t stride = product(dims, r->rank);
    int last = -1;
    for (uint32_t i = 0; i < r->rank; i++) {
        stride = dims[i] == 0 ? 0 : stride / dims[i];
        if (dims[i] == 1) continue;
        add_axis(r->reduced[i] ? &r->over : &r->kept, last == r->reduced[i], dims[i], stride);
        last = r->reduced[i];
    }
    return 0;
}

static int reduce_infer(const aval_host *host, aval_call *call)
{
    reduction r;
    TRY(read_axes(host, call, &r));
    const aval_tensor *x = host->input(call, 0);
    int64_t dims[AVAL_MAX_RANK];
    uint32_t rank = 0;
    for (uint32_t i = 0; i < r.rank; i++) {
        if (!r.reduced[i]) dims[rank++] = host->dims(x)[i];
        else if (host->attr_int(call, "keepdims")) dims[rank++] = 1;
    }
    return host->set_output(call, 0, host->type(x), rank, dims);
}

/* The largest of nothing is no number. */
static int reduce_max_infer(const aval_host *host, aval_call *call)
{
    TRY(reduce_infer(host, call));
    reduction r;
    TRY(plan_reduction(host, call, &r));
    if (r.over.count == 0 && r.kept.count > 0)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input data has no element along the reduced axes, expected at least one");
    return 0;
}

#define AXES_ARGS(set) \
    AVAL_I64((set).lengths[1]), AVAL_I64((set).lengths[2]), AVAL_I64((set).lengths[3]), AVAL_I64((set).strides[0]), \
        AVAL_I64((set).strides[1]), AVAL_I64((set).strides[2]), AVAL_I64((set).strides[3])

static int launch_any(const aval_host *host, aval_call *call, const aval_tensor *x, const aval_tensor *y, const axis_set *kept,
                      const axis_set *over, int64_t chunks, double factor, int maximum)
{
    uint32_t group = host->device(call)->group;
    int64_t chunk = (over->count + chunks - 1) / chunks;
    return host->launch(call,
                        AVAL_LAUNCH(.kernel = "reduce_any", BY_GROUPS_WITH(group, kept->count * chunks, "MAXIMUM", maximum),
                                    .d_type = (uint32_t)host->type(y),
                                    AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(y), AVAL_I64(kept->count), AVAL_I64(over->count), AVAL_I64(chunks),
                                              AVAL_I64(chunk), AXES_ARGS(*kept), AXES_ARGS(*over), AVAL_REAL(factor))));
}

/* Few results of many elements are made in two launches, of which the first fills a scratch tensor [results, chunks], so that a
   sum over everything does not run on one core. */
static int record_reduction(const aval_host *host, aval_call *call, int maximum, int mean)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    reduction r;
    TRY(plan_reduction(host, call, &r));
    double factor = mean ? 1.0 / (double)r.over.count : 1.0;
    if (r.kept.count == 0) return 0;
    if (r.over.count == 0) return host->fill(call, y, mean ? (double)NAN : 0.0);
    if (r.over.lengths[2] == 1 && r.kept.lengths[1] == 1 && r.kept.strides[3] == 1 && r.kept.lengths[3] > 1 && r.over.count <= UINT32_MAX) {
        int64_t inner = r.kept.lengths[3], outer = r.kept.lengths[2];
        return host->launch(call,
                            AVAL_LAUNCH(.kernel = "reduce_columns", EACH(outer * ((inner + 7) / 8)), AVAL_DEFINES({ "MAXIMUM", maximum }),
                                        AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(y), AVAL_I64(outer), AVAL_I64(r.over.count), AVAL_I64(inner),
                                                  AVAL_REAL(factor))));
    }
    const int64_t wanted_groups = 64, least_chunk = 4096;
    int64_t chunks = wanted_groups / r.kept.count, most = r.over.count / least_chunk;
    if (chunks > most) chunks = most;
    aval_type type = host->type(x);
    if (chunks <= 1 || !(AVAL_FLOATS & AVAL_TYPE_SET(type))) return launch_any(host, call, x, y, &r.kept, &r.over, 1, factor, maximum);
    int64_t chunk = (r.over.count + chunks - 1) / chunks;
    chunks = (r.over.count + chunk - 1) / chunk; /* none is empty */
    const aval_tensor *parts = host->scratch(call, sum_type(type), r.kept.count * chunks);
    if (parts == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for partial results");
    TRY(launch_any(host, call, x, parts, &r.kept, &r.over, chunks, 1.0, maximum));
    axis_set results = { { 1, 1, 1, r.kept.count }, { 0, 0, 0, chunks }, r.kept.count },
             rows = { { 1, 1, 1, chunks }, { 0, 0, 0, 1 }, chunks };
    return launch_any(host, call, parts, y, &results, &rows, 1, factor, maximum);
}

static int sum_forward(const aval_host *host, aval_call *call)
{
    return record_reduction(host, call, 0, 0);
}

static int mean_forward(const aval_host *host, aval_call *call)
{
    return record_reduction(host, call, 0, 1);
}

static int max_forward(const aval_host *host, aval_call *call)
{
    return record_reduction(host, call, 1, 0);
}

static int max_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *dx = host->gradient(call, 0);
    reduction r;
    TRY(plan_reduction(host, call, &r));
    if (host->count(dx) == 0) return 0;
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "reduce_winner", EACH(r.kept.count),
                          AVAL_ARGS(AVAL_READ(host->input(call, 0)), AVAL_READ(host->output(call, 0)), AVAL_READ(host->upstream(call, 0)),
                                    AVAL_WRITE(dx), AVAL_I64(r.kept.count), AVAL_I64(r.over.count), AXES_ARGS(r.kept), AXES_ARGS(r.over))));
}

/* The upstream gradient with the reduced axes back in place as 1, broadcast to the input's shape. */
static int spread(const aval_host *host, aval_call *call, const aval_tensor **out)
{
    reduction r;
    TRY(plan_reduction(host, call, &r));
    const int64_t *dims = host->dims(host->input(call, 0));
    int64_t ones[AVAL_MAX_RANK];
    for (uint32_t i = 0; i < r.rank; i++) ones[i] = r.reduced[i] ? 1 : dims[i];
    text attrs = { 0 };
    text_ints(&attrs, "dims", dims, r.rank);
    *out = host->upstream(call, 0);
    if (host->rank(*out) != r.rank) TRY(reshaped(host, call, *out, r.rank, ones, out));
    return host->apply(call, "aval::Broadcast", attrs.at, 1, out, 1, out);
}

static int sum_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *g;
    TRY(spread(host, call, &g));
    return host->yield(call, 0, g);
}

static int mean_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *g;
    reduction r;
    text factor = { 0 };
    TRY(plan_reduction(host, call, &r));
    TRY(spread(host, call, &g));
    text_real(&factor, "factor", r.over.count == 0 ? 0.0 : 1.0 / (double)r.over.count);
    TRY(host->apply(call, "aval::Scale", factor.at, 1, &g, 1, &g));
    return host->yield(call, 0, g);
}

/* Result of element `at` of the input. */
static int64_t result_of(const reduction *r, const int64_t *dims, int64_t at)
{
    int64_t result = 0, stride = 1;
    for (uint32_t i = r->rank; i-- > 0;) {
        if (!r->reduced[i]) {
            result += at % dims[i] * stride;
            stride *= dims[i];
        }
        at /= dims[i];
    }
    return result;
}

static int reference_of(const aval_host *host, aval_call *call, int maximum, int mean)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    reduction r;
    TRY(plan_reduction(host, call, &r));
    int floats = (AVAL_FLOATS & AVAL_TYPE_SET(host->type(x))) != 0;
    for (int64_t o = 0; o < host->count(y); o++) {
        if (floats) host->real(call, y)[o] = maximum ? (double)-INFINITY : mean && r.over.count == 0 ? (double)NAN : 0.0;
        else host->integer(call, y)[o] = maximum ? INT64_MIN : 0;
    }
    for (int64_t i = 0; i < host->count(x); i++) {
        int64_t o = result_of(&r, host->dims(x), i);
        if (floats) {
            double v = host->real(call, x)[i], *sum = &host->real(call, y)[o];
            *sum = maximum ? (*sum >= v || *sum != *sum ? *sum : v) : *sum + (mean ? v / (double)r.over.count : v);
        } else {
            int64_t v = host->integer(call, x)[i], *sum = &host->integer(call, y)[o];
            *sum = maximum ? (*sum >= v ? *sum : v) : *sum + v;
        }
    }
    return 0;
}

static int sum_reference(const aval_host *host, aval_call *call)
{
    return reference_of(host, call, 0, 0);
}

static int mean_reference(const aval_host *host, aval_call *call)
{
    return reference_of(host, call, 0, 1);
}

static int max_reference(const aval_host *host, aval_call *call)
{
    return reference_of(host, call, 1, 0);
}

#define REDUCTION(op_name, op_version, element_types) \
    .size = sizeof(aval_op), .name = op_name, .since = op_version, .deterministic = 1, \
    .inputs = AVAL_PORTS({ .name = "data", .types = element_types }, \
                         { .name = "axes", .flags = AVAL_OPTIONAL | AVAL_SHAPE_INPUT, .types = AVAL_TYPE_SET(AVAL_INT64) }), \
    .outputs = AVAL_PORTS({ .name = "reduced", .types = element_types }), .zero_gradient = 2, \
    .attrs = \
        AVAL_ATTRS({ .name = "keepdims", .type = AVAL_ATTR_INT, .initial = "1", .doc = "1: reduced axes stay, with length 1" }, \
                   { .name = "noop_with_empty_axes", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: no axes means none, not all" })

#define REDUCTION_SHAPES(extra_flags) \
    { .inputs = "[3,5] i64[1]{1}", .flags = extra_flags }, { .inputs = "[3,5] i64[1]{0}", .flags = extra_flags }, \
        { .inputs = "[3,5]", .flags = extra_flags }, { .inputs = "[3,5]", .attrs = "noop_with_empty_axes=1", .flags = extra_flags }, \
        { .inputs = "[2,3,4,5] i64[2]{0,-1}", .attrs = "keepdims=0", .flags = extra_flags }, \
        { .inputs = "[2,3,4,5] i64[2]{1,3}", .flags = extra_flags }, { .inputs = "[2,3,17] i64[1]{1}", .flags = extra_flags }, \
        { .inputs = "[2,1,3,2,1,2,3,2] i64[4]{0,2,4,6}", .attrs = "keepdims=0", .flags = extra_flags }, { .inputs = "[1]" }, \
        { .inputs = "[]" }, { .inputs = "[0,3] i64[1]{1}" }, \
        { .inputs = "[257,259] i64[1]{0}", .size_class = AVAL_LARGE, .flags = extra_flags }, \
    { \
        .inputs = "[257,259]", .size_class = AVAL_LARGE, .flags = extra_flags \
    }

static const aval_op sum_op = {
    REDUCTION("ReduceSum", 13, AVAL_NUMBERS),
    .role = AVAL_ROLE_REDUCE_SUM,
    .doc = "Sum over axes.",
    .infer = reduce_infer,
    .forward = sum_forward,
    .backward_body = sum_backward,
    .reference = sum_reference,
    .samples = AVAL_SAMPLES(REDUCTION_SHAPES(0), { .inputs = "[2,0] i64[1]{1}", .why = "a sum of nothing is 0" },
                            { .inputs = "i64[2,3]{1,2,3,4,5,-6} i64[1]{0}", .why = "integers" }),
};
static const aval_op mean_op = {
    REDUCTION("ReduceMean", 18, AVAL_FLOATS),
    .doc = "Mean over axes.",
    .infer = reduce_infer,
    .forward = mean_forward,
    .backward_body = mean_backward,
    .reference = mean_reference,
    .samples = AVAL_SAMPLES(REDUCTION_SHAPES(0)),
};
static const aval_op max_op = {
    REDUCTION("ReduceMax", 18, AVAL_NUMBERS),
    .doc = "Largest element over axes.",
    .infer = reduce_max_infer,
    .forward = max_forward,
    .backward = max_backward,
    .reference = max_reference,
    .keeps = AVAL_KEEP_INPUT(0) | AVAL_KEEP_OUTPUT(0),
    .subgradient = "the first winner at ties",
    .samples = AVAL_SAMPLES(
        REDUCTION_SHAPES(AVAL_DISTINCT),
        { .inputs = "[2,3]{1,2,2,3,3,3} i64[1]{1}", .flags = AVAL_NO_GRADIENT_CHECK, .why = "ties: differences say nothing there" },
        { .inputs = "i64[2,3]{1,2,3,4,5,-6} i64[1]{0}", .why = "integers" }),
};

static const aval_op *const ops[] = { &sum_op, &mean_op, &max_op, NULL };
static const aval_kernel_source sources[] = { { .name = "reduce.cl", .text = reduce_cl }, { .name = NULL } };

AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = {
    .abi = AVAL_PLUGIN_ABI,
    .size = sizeof(aval_plugin),
    .name = "reduce",
    .version = "0.1.0",
    .ops = ops,
    .sources = sources,
};
