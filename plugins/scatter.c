/* ScatterElements, Scatter, ScatterND, and the gradient of those that multiply or take the smallest or largest.  Updates of one place are
 * taken in the order of their indices, so that the last one wins where nothing else is said; indices out of range are left out. */
#include "index.h"
#include "walk.h"

#include "scatter.cl.h"

/* The numbers of kernels/scatter.cl. */
typedef enum scatter_reduction { SCATTER_REPLACE, SCATTER_ADD, SCATTER_MULTIPLY, SCATTER_SMALLEST, SCATTER_LARGEST } scatter_reduction;

static const char *const reductions[] = { "none", "add", "mul", "min", "max" };

static int read_reduction(const aval_host *host, aval_call *call, scatter_reduction *r)
{
    const char *name = host->attr_string(call, "reduction");
    for (*r = SCATTER_REPLACE; *r <= SCATTER_LARGEST; ++*r)
        if (strcmp(reductions[*r], name) == 0) return 0;
    return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute reduction is '%s', expected none, add, mul, min or max", name);
}

static int elements_map(const aval_host *host, aval_call *call, index_map *m)
{
    const aval_tensor *x = host->input(call, 0);
    return index_elements(host, call, host->input(call, 1), host->dims(x), host->rank(x), m);
}

static int tuples_map(const aval_host *host, aval_call *call, index_map *m)
{
    const aval_tensor *x = host->input(call, 0);
    return index_tuples(host, call, host->input(call, 1), host->dims(x), host->rank(x), 0, m);
}

/* The map is that of the op's inputs data, indices, updates. */
static int scatter_infer(const aval_host *host, aval_call *call, const index_map *m)
{
    const aval_tensor *x = host->input(call, 0), *updates = host->input(call, 2);
    scatter_reduction r;
    TRY(read_reduction(host, call, &r));
    if (r != SCATTER_REPLACE && !(AVAL_NUMBERS & AVAL_TYPE_SET(host->type(x))))
        return host->fail(call, AVAL_PLUGIN_BAD_TYPE, "reduction '%s' needs numbers: cast data and updates", reductions[r]);
    if (host->count(updates) != m->count * m->inner)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input updates has %lld elements, expected %lld: %lld indices, each with %lld",
                          (long long)host->count(updates), (long long)(m->count * m->inner), (long long)m->count, (long long)m->inner);
    return aval_infer_like(host, call, 0, 0);
}

static int scatter_forward(const aval_host *host, aval_call *call, const index_map *m)
{
    const aval_tensor *x = host->input(call, 0), *updates = host->input(call, 2), *y = host->output(call, 0);
    sorting s = { 0 };
    scatter_reduction r = SCATTER_REPLACE;
    TRY(read_reduction(host, call, &r));
    if (host->count(y) > 0) TRY(host->copy(call, y, 0, x, 0, host->count(x)));
    if (host->count(y) == 0 || host->count(updates) == 0) return 0;
    uint32_t s_type = r == SCATTER_REPLACE ? aval_carrier(host->type(x)) : (uint32_t)host->type(x);
    TRY(index_sort(host, call, m, host->input(call, 1), s_type, &s));
    walk w = walk_over(host->device(call), (const int64_t[]){ m->count, m->inner }, 2);
    return host->launch(call, AVAL_LAUNCH(.kernel = "scatter_rows", WALK_ITEMS(host->device(call), w), .s_type = s_type, .i_type = s.i_type,
                                          AVAL_DEFINES({ "WG", host->device(call)->group }),
                                          AVAL_ARGS(AVAL_READ(updates), AVAL_READ(s.keys), AVAL_READ(s.order), AVAL_UPDATE(y),
                                                    AVAL_I64(m->rows), AVAL_I32((int)r), WALK(w))));
}

static double combined(scatter_reduction r, double a, double b)
{
    switch (r) {
    case SCATTER_REPLACE: break;
    case SCATTER_ADD: return a + b;
    case SCATTER_MULTIPLY: return a * b;
    case SCATTER_SMALLEST: return b < a || isnan(b) ? b : a;
    case SCATTER_LARGEST: return b > a || isnan(b) ? b : a;
    }
    return b;
}

static int64_t combined_integers(scatter_reduction r, int64_t a, int64_t b)
{
    switch (r) {
    case SCATTER_REPLACE: break;
    case SCATTER_ADD: return (int64_t)((uint64_t)a + (uint64_t)b);
    case SCATTER_MULTIPLY: return (int64_t)((uint64_t)a * (uint64_t)b);
    case SCATTER_SMALLEST: return b < a ? b : a;
    case SCATTER_LARGEST: return b > a ? b : a;
    }
    return b;
}

static int scatter_reference(const aval_host *host, aval_call *call, const index_map *m)
{
    const aval_tensor *x = host->input(call, 0), *updates = host->input(call, 2), *y = host->output(call, 0);
    const int64_t *indices = host->integer(call, host->input(call, 1));
    int reals = (AVAL_REALS & AVAL_TYPE_SET(host->type(x))) != 0;
    scatter_reduction r;
    TRY(read_reduction(host, call, &r));
    for (int64_t i = 0; i < host->count(x); i++) move_element(host, call, y, i, x, i);
    for (int64_t i = 0; i < host->count(updates); i++) {
        int64_t row = index_row(m, indices, i / m->inner), to = row * m->inner + i % m->inner;
        if (row < 0) continue;
        if (reals) host->real(call, y)[to] = combined(r, host->real(call, y)[to], host->real(call, updates)[i]);
        else host->integer(call, y)[to] = combined_integers(r, host->integer(call, y)[to], host->integer(call, updates)[i]);
    }
    return 0;
}

/* Where an update replaces, the data has no gradient; where it is added, both have it; the rest is an op of its own.  `gather` and `attrs`
   read back from where this op writes. */
static int scatter_backward(const aval_host *host, aval_call *call, const char *scatter, const char *gather, text attrs, index_form form)
{
    const aval_tensor *x = host->input(call, 0), *indices = host->input(call, 1), *updates = host->input(call, 2);
    const aval_tensor *g = host->upstream(call, 0), *of_data = g, *of_updates = NULL;
    scatter_reduction r = SCATTER_REPLACE;
    TRY(read_reduction(host, call, &r));
    if (r == SCATTER_REPLACE || r == SCATTER_ADD) {
        const aval_tensor *zeroed[] = { g, indices, NULL };
        text zeros = { 0 };
        text_ints(&zeros, "dims", host->dims(updates), host->rank(updates));
        text_int(&zeros, "type", host->type(x));
        TRY(host->apply(call, "aval::Fill", zeros.at, 0, NULL, 1, &zeroed[2]));
        if (r == SCATTER_REPLACE) TRY(host->apply(call, scatter, attrs.at, 3, zeroed, 1, &of_data));
        TRY(host->apply(call, gather, attrs.at, 2, zeroed, 1, &of_updates));
    } else {
        const aval_tensor *inputs[] = { x, indices, updates, g }, *both[2];
        text_word(&attrs, "form", index_forms[form]);
        text_word(&attrs, "reduction", reductions[r]);
        TRY(host->apply(call, "aval::ScatterGradient", attrs.at, 4, inputs, 2, both));
        of_data = both[0];
        of_updates = both[1];
    }
    if (host->gradient(call, 0) != NULL) TRY(host->yield(call, 0, of_data));
    return host->gradient(call, 2) == NULL ? 0 : host->yield(call, 2, of_updates);
}

#define SCATTER_FUNCTION(kind, phase) \
    static int kind##_##phase(const aval_host *host, aval_call *call) \
    { \
        index_map m = { .outer = 1 }; \
        TRY(kind##_map(host, call, &m)); \
        return scatter_##phase(host, call, &m); \
    }
SCATTER_FUNCTION(elements, infer)
SCATTER_FUNCTION(elements, forward)
SCATTER_FUNCTION(elements, reference)
SCATTER_FUNCTION(tuples, infer)
SCATTER_FUNCTION(tuples, forward)
SCATTER_FUNCTION(tuples, reference)

static int elements_backward(const aval_host *host, aval_call *call)
{
    text attrs = { 0 };
    text_int(&attrs, "axis", host->attr_int(call, "axis"));
    return scatter_backward(host, call, "ScatterElements", "GatherElements", attrs, INDEX_ELEMENTS);
}

static int tuples_backward(const aval_host *host, aval_call *call)
{
    return scatter_backward(host, call, "ScatterND", "GatherND", (text){ 0 }, INDEX_TUPLES);
}

/* Before opset 11 ScatterElements is Scatter. */
static int scatter_body_9(const aval_host *host, aval_call *call)
{
    const aval_tensor *inputs[] = { host->input(call, 0), host->input(call, 1), host->input(call, 2) }, *y;
    text attrs = { 0 };
    text_int(&attrs, "axis", host->attr_int(call, "axis"));
    TRY(host->apply(call, "ScatterElements", attrs.at, 3, inputs, 1, &y));
    return host->yield(call, 0, y);
}

/* ---- The gradient of products, smallest and largest ones ----------------------------------------------------------------------------- */

static int gradient_map(const aval_host *host, aval_call *call, index_map *m)
{
    return strcmp(host->attr_string(call, "form"), index_forms[INDEX_TUPLES]) == 0 ? tuples_map(host, call, m)
                                                                                   : elements_map(host, call, m);
}

static int gradient_infer(const aval_host *host, aval_call *call)
{
    index_map m = { .outer = 1 };
    scatter_reduction r = SCATTER_REPLACE;
    TRY(gradient_map(host, call, &m));
    TRY(read_reduction(host, call, &r));
    if (r < SCATTER_MULTIPLY)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute reduction is '%s', expected mul, min or max", reductions[r]);
    TRY(aval_infer_like(host, call, 0, 0));
    return aval_infer_like(host, call, 1, 2);
}

static int gradient_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *updates = host->input(call, 2), *g = host->input(call, 3);
    const aval_tensor *dx = host->output(call, 0), *du = host->output(call, 1);
    index_map m = { .outer = 1 };
    sorting s = { 0 };
    scatter_reduction r = SCATTER_REPLACE;
    TRY(gradient_map(host, call, &m));
    TRY(read_reduction(host, call, &r));
    if (host->count(x) == 0) return host->count(du) == 0 ? 0 : host->fill(call, du, 0);
    TRY(host->copy(call, dx, 0, g, 0, host->count(x)));
    if (host->count(updates) == 0) return 0;
    TRY(index_sort(host, call, &m, host->input(call, 1), (uint32_t)host->type(x), &s));
    return host->launch(call,
                        AVAL_LAUNCH(.kernel = "scatter_gradient", EACH(host->count(updates)), .s_type = s.s_type, .i_type = s.i_type,
                                    AVAL_DEFINES({ "WG", host->device(call)->group }),
                                    AVAL_ARGS(AVAL_READ(x), AVAL_READ(updates), AVAL_READ(s.keys), AVAL_READ(s.order), AVAL_UPDATE(dx),
                                              AVAL_WRITE(du), AVAL_I64(m.rows), AVAL_I64(m.count), AVAL_I64(m.inner), AVAL_I32((int)r))));
}

/* What the place `to` gets before update `stop` (< 0: after all), leaving update `skip` out; *winner: the update that it is, -1: the data. */
static double gather_place(const aval_host *host, aval_call *call, const index_map *m, scatter_reduction r, int64_t to, int64_t skip,
                           int64_t *winner)
{
    const int64_t *indices = host->integer(call, host->input(call, 1));
    const double *updates = host->real(call, host->input(call, 2));
    double a = r == SCATTER_MULTIPLY && skip == -1 ? 1 : host->real(call, host->input(call, 0))[to];
    *winner = -1;
    for (int64_t j = 0; j < m->count; j++) {
        int64_t i = j * m->inner + to % m->inner;
        if (i == skip || index_row(m, indices, j) != to / m->inner) continue;
        double b = combined(r, a, updates[i]);
        if (b != a) *winner = i;
        a = b;
    }
    return a;
}

static int gradient_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *updates = host->input(call, 2);
    const int64_t *indices = host->integer(call, host->input(call, 1));
    const double *g = host->real(call, host->input(call, 3));
    double *dx = host->real(call, host->output(call, 0)), *du = host->real(call, host->output(call, 1));
    index_map m = { .outer = 1 };
    scatter_reduction r = SCATTER_REPLACE;
    int64_t winner;
    TRY(gradient_map(host, call, &m));
    TRY(read_reduction(host, call, &r));
    for (int64_t i = 0; i < host->count(x); i++) {
        double others = gather_place(host, call, &m, r, i, -1, &winner);
        dx[i] = r == SCATTER_MULTIPLY ? g[i] * others : winner < 0 ? g[i] : 0;
    }
    for (int64_t i = 0; i < host->count(updates); i++) {
        int64_t row = index_row(&m, indices, i / m.inner), to = row * m.inner + i % m.inner;
        du[i] = 0;
        if (row < 0) continue;
        if (r == SCATTER_MULTIPLY) du[i] = g[to] * gather_place(host, call, &m, r, to, i, &winner);
        else gather_place(host, call, &m, r, to, -2, &winner);
        if (r != SCATTER_MULTIPLY && winner == i) du[i] = g[to];
    }
    return 0;
}

/* ---- Definitions --------------------------------------------------------------------------------------------------------------------------- */

#define SCATTER_PORTS \
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_STORED }, { .name = "indices", .types = INDEX_TYPES }, \
                         { .name = "updates", .like = AVAL_LIKE(0), .types = AVAL_STORED }), \
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }), .zero_gradient = 2
#define SCATTER(op_name, function) \
    .size = sizeof(aval_op), .name = op_name, .since = 11, .deterministic = 1, .kernels = "scatter.cl", SCATTER_PORTS, \
    .infer = function##_infer, .forward = function##_forward, .backward_body = function##_backward, .reference = function##_reference, \
    .subgradient = \
        "of equal smallest or largest ones the first has it, before all the data; where one place is replaced twice, both updates"
#define AXIS_ATTR \
    { \
        .name = "axis", .type = AVAL_ATTR_INT, .initial = "0", .doc = "the axis that indices count along" \
    }
#define REDUCTION_ATTR \
    { \
        .name = "reduction", .type = AVAL_ATTR_STRING, .initial = "'none'", \
        .doc = "how an update meets what is there: none (it replaces it), add, mul, min, max" \
    }

static const aval_op elements_op = {
    SCATTER("ScatterElements", elements),
    .doc = "data, where each update is put at its index along an axis, and at its own place along the others.",
    .attrs = AVAL_ATTRS(AXIS_ATTR, REDUCTION_ATTR),
    .samples =
        AVAL_SAMPLES({ .inputs = "[3,3] i64[2,3]{1,0,2,0,2,1} [2,3]" }, { .inputs = "[1,5] i32[1,2]{1,-2} [1,2]", .attrs = "axis=1" },
                     { .inputs = "[3,3] i64[2,3]{1,0,2,1,2,2} [2,3]", .attrs = "reduction='add'", .why = "several updates of one place" },
                     { .inputs = "[2,4] i64[2,3]{1,1,-1,0,1,9} [2,3]", .attrs = "axis=1 reduction='mul'", .why = "an index out of range" },
                     { .inputs = "[4] i64[6]{1,1,1,3,3,0} [6]", .attrs = "reduction='mul'", .why = "products of several" },
                     { .inputs = "[2,4] i64[2,3]{1,1,-1,0,1,1} [2,3]", .attrs = "axis=1 reduction='min'", .flags = AVAL_DISTINCT },
                     { .inputs = "[2,4] i64[2,3]{1,1,-1,0,1,1} [2,3]", .attrs = "axis=1 reduction='max'", .flags = AVAL_DISTINCT },
                     { .inputs = "i64[3]{1,2,3} i64[2]{0,0} i64[2]{5,7}", .attrs = "reduction='add'" },
                     { .inputs = "i64[3]{1,2,3} i64[2]{0,0} i64[2]{5,7}", .why = "the last one stays" }, { .inputs = "[3] i64[0] [0]" },
                     { .inputs = "[1] i64[1]{0} [1]", .attrs = "reduction='add'" },
                     { .inputs = "[60,9] i64[50,9]{-60..59} [50,9]", .attrs = "reduction='add'", .why = "enough for a sort by digits" },
                     { .inputs = "[300,257] i64[200,250]{0..299} [200,250]", .attrs = "reduction='add'", .size_class = AVAL_LARGE }),
};
static const aval_op scatter_op_9 = {
    .size = sizeof(aval_op),
    .name = "Scatter",
    .since = 9,
    .deterministic = 1,
    SCATTER_PORTS,
    .doc = "The older name of ScatterElements.",
    .attrs = AVAL_ATTRS(AXIS_ATTR),
    .body = scatter_body_9,
    .samples = AVAL_SAMPLES({ .inputs = "[1,5] i64[1,2]{1,3} [1,2]", .attrs = "axis=1" }),
};
static const aval_op tuples_op = {
    SCATTER("ScatterND", tuples),
    .doc = "data, where each update, a slice, is put at the place that several indices name.",
    .attrs = AVAL_ATTRS(REDUCTION_ATTR),
    .samples =
        AVAL_SAMPLES({ .inputs = "[8] i64[4,1]{4,3,1,-1} [4]" }, { .inputs = "[4,3,2] i64[2,1]{0,2} [2,3,2]" },
                     { .inputs = "[4,3,2] i64[3,2]{0,1,2,2,0,1} [3,2]", .attrs = "reduction='add'", .why = "one place twice" },
                     { .inputs = "[4,3] i64[3,1]{1,9,1} [3,3]", .attrs = "reduction='mul'", .why = "an index out of range" },
                     { .inputs = "[4,3] i64[3,1]{1,0,1} [3,3]", .attrs = "reduction='min'", .flags = AVAL_DISTINCT },
                     { .inputs = "[4,3] i64[3,1]{1,0,1} [3,3]", .attrs = "reduction='max'", .flags = AVAL_DISTINCT },
                     { .inputs = "b[3]{0,0,1} i64[1,1]{0} b[1]{1}" }, { .inputs = "[3,2] i64[0,1] [0,2]" },
                     { .inputs = "[20,7] i32[300,1]{0..19} [300,7]", .attrs = "reduction='add'", .why = "enough for a sort by digits" },
                     { .inputs = "[3,5001] i64[2,1]{2,0} [2,5001]", .size_class = AVAL_LARGE, .why = "rows of several pieces" },
                     { .inputs = "[300,257] i64[400,1]{0..299} [400,257]", .attrs = "reduction='add'", .size_class = AVAL_LARGE }),
};
static const aval_op gradient_op = {
    .size = sizeof(aval_op),
    .name = "ScatterGradient",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .kernels = "scatter.cl",
    .doc = "The gradients of a scatter that multiplies, or takes the smallest or largest, by its data and its updates.",
    .inputs = AVAL_PORTS({ .name = "data" }, { .name = "indices", .types = INDEX_TYPES }, { .name = "updates", .like = AVAL_LIKE(0) },
                         { .name = "upstream", .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "of_data" }, { .name = "of_updates" }),
    .attrs = AVAL_ATTRS(
        { .name = "form", .type = AVAL_ATTR_STRING, .initial = "'elements'", .doc = "elements: of ScatterElements; tuples: of ScatterND" },
        AXIS_ATTR, REDUCTION_ATTR),
    .infer = gradient_infer,
    .forward = gradient_forward,
    .reference = gradient_reference,
    .no_gradient = "it is a gradient by kernels, which is not differentiated again",
    .samples = AVAL_SAMPLES({ .inputs = "[4] i64[6]{1,1,1,3,9,0} [6] [4]", .attrs = "reduction='mul'" },
                            { .inputs = "[3,2] i64[3,1]{1,-2,0} [3,2] [3,2]", .attrs = "form='tuples' reduction='max'" },
                            { .inputs = "[2]{1,2} i64[3]{1,1,0} [3]{2,2,1} [2]",
                              .attrs = "reduction='max'",
                              .why = "ties: the first, and the data before all" },
                            { .inputs = "[3] i64[0] [0] [3]", .attrs = "reduction='min'" },
                            { .inputs = "[20,7] i64[300,1]{0..19} [300,7]{0.9..1.1} [20,7]", .attrs = "form='tuples' reduction='mul'" }),
};

AVAL_PLUGIN("scatter", "0.1.0", AVAL_SOURCES({ "scatter.cl", scatter_cl }), &elements_op, &scatter_op_9, &tuples_op, &gradient_op)
