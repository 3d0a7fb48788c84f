/* Gather, GatherElements, GatherND, and their gradient, which is an op of its own: a kernel that computes, where gathers only copy, and an
 * ordinary node of a body, so that it can be differentiated again. */
#include "box.h"
#include "index.h"

#include "index.cl.h"
#include "scatter.cl.h"

/* ---- What the three have in common ------------------------------------------------------------------------------------------------- */

/* What the kernel walks over, y, with strides of the indices (to) and of the data (from). */
static box gather_box(const index_map *m)
{
    box b = { .rank = 3, .dims = { m->outer, m->count, m->inner }, .to = { 0, 1, 0 }, .from = { m->rows * m->inner, 0, 1 } };
    if (m->form == INDEX_TUPLES)
        b = (box){ .rank = 3,
                   .dims = { m->count / m->per_batch, m->per_batch, m->inner },
                   .to = { m->per_batch * m->depth, m->depth, 0 },
                   .from = { m->batch_rows * m->inner, 0, 1 } };
    if (m->form == INDEX_ELEMENTS) {
        b = (box){ .rank = 8 };
        memcpy(b.dims, m->dims, sizeof b.dims);
        memcpy(b.from, m->strides, sizeof b.from);
        row_major(b.dims, b.rank, b.to);
    }
    box_simplify(&b);
    return b;
}

static int gather_launch(const aval_host *host, aval_call *call, const index_map *m)
{
    const aval_tensor *x = host->input(call, 0), *indices = host->input(call, 1), *y = host->output(call, 0);
    int64_t of_indices[8], of_x[8], lengths[8] = { m->form == INDEX_AXIS ? m->rows : m->length },
                                    steps[8] = { m->form == INDEX_AXIS ? m->inner : m->step };
    int depth = m->form == INDEX_TUPLES ? m->depth : 1;
    if (host->count(y) == 0) return 0;
    if (host->count(x) == 0) return host->fill(call, y, 0);
    for (int k = 0; m->form == INDEX_TUPLES && k < depth; k++) {
        lengths[k] = m->dims[k];
        steps[k] = m->strides[k] * m->inner;
    }
    box b = gather_box(m);
    walk w = walk_over(host->device(call), b.dims, b.rank);
    right_aligned(b.to, b.rank, 0, of_indices);
    right_aligned(b.from, b.rank, 0, of_x);
    return host->launch(call, AVAL_LAUNCH(.kernel = "gather", BY_WALK_WITH(host->device(call), w, "DEPTH", depth),
                                          .s_type = aval_carrier(host->type(x)), .i_type = (uint32_t)host->type(indices),
                                          AVAL_ARGS(AVAL_READ(x), AVAL_READ(indices), AVAL_WRITE(y), WALK(w), EIGHT(of_indices),
                                                    EIGHT(of_x), EIGHT(lengths), EIGHT(steps))));
}

static void gather_on_host(const aval_host *host, aval_call *call, const index_map *m)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    const int64_t *indices = host->integer(call, host->input(call, 1));
    for (int64_t i = 0; i < host->count(y); i++) {
        int64_t j = i / m->inner % m->count, o = i / m->inner / m->count, row = index_row(m, indices, j);
        if (row >= 0) move_element(host, call, y, i, x, (o * m->rows + row) * m->inner + i % m->inner);
        else if (AVAL_REALS & AVAL_TYPE_SET(host->type(y))) host->real(call, y)[i] = 0;
        else host->integer(call, y)[i] = 0;
    }
}

/* The gradient op with the op's own way of reading indices. */
static int gather_backward_by(const aval_host *host, aval_call *call, index_form form, const char *attr)
{
    const aval_tensor *x = host->input(call, 0), *inputs[] = { host->upstream(call, 0), host->input(call, 1) }, *g;
    text attrs = { 0 };
    text_ints(&attrs, "dims", host->dims(x), host->rank(x));
    text_int(&attrs, attr, host->attr_int(call, attr));
    text_word(&attrs, "form", index_forms[form]);
    TRY(host->apply(call, "aval::GatherGradient", attrs.at, 2, inputs, 1, &g));
    return host->yield(call, 0, g);
}

#define GATHER_FUNCTIONS(name, form, attr) \
    static int name##_forward(const aval_host *host, aval_call *call) \
    { \
        index_map m; \
        TRY(name##_map(host, call, &m)); \
        return gather_launch(host, call, &m); \
    } \
    static int name##_reference(const aval_host *host, aval_call *call) \
    { \
        index_map m; \
        TRY(name##_map(host, call, &m)); \
        gather_on_host(host, call, &m); \
        return 0; \
    } \
    static int name##_backward(const aval_host *host, aval_call *call) \
    { \
        return gather_backward_by(host, call, form, attr); \
    }

/* ---- Gather -------------------------------------------------------------------------------------------------------------------------- */

static int gather_map(const aval_host *host, aval_call *call, index_map *m)
{
    const aval_tensor *x = host->input(call, 0);
    return index_along_axis(host, call, host->input(call, 1), host->dims(x), host->rank(x), m);
}

static int gather_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *indices = host->input(call, 1);
    int64_t axis = aval_axis(host->attr_int(call, "axis"), host->rank(x)), dims[2 * AVAL_MAX_RANK];
    uint32_t rank = 0;
    index_map m;
    TRY(gather_map(host, call, &m));
    for (uint32_t i = 0; i < axis; i++) dims[rank++] = host->dims(x)[i];
    for (uint32_t i = 0; i < host->rank(indices); i++) dims[rank++] = host->dims(indices)[i];
    for (uint32_t i = (uint32_t)axis + 1; i < host->rank(x); i++) dims[rank++] = host->dims(x)[i];
    if (rank > AVAL_MAX_RANK)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "the result would have %u axes, expected at most %d", (unsigned)rank, AVAL_MAX_RANK);
    return host->set_output(call, 0, host->type(x), rank, dims);
}

GATHER_FUNCTIONS(gather, INDEX_AXIS, "axis")

/* ---- GatherElements ------------------------------------------------------------------------------------------------------------------- */

static int elements_map(const aval_host *host, aval_call *call, index_map *m)
{
    const aval_tensor *x = host->input(call, 0);
    return index_elements(host, call, host->input(call, 1), host->dims(x), host->rank(x), m);
}

static int elements_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *indices = host->input(call, 1);
    index_map m;
    TRY(elements_map(host, call, &m));
    return host->set_output(call, 0, host->type(host->input(call, 0)), host->rank(indices), host->dims(indices));
}

GATHER_FUNCTIONS(elements, INDEX_ELEMENTS, "axis")

/* ---- GatherND -------------------------------------------------------------------------------------------------------------------------- */

static int tuples_map(const aval_host *host, aval_call *call, index_map *m)
{
    const aval_tensor *x = host->input(call, 0);
    return index_tuples(host, call, host->input(call, 1), host->dims(x), host->rank(x), host->attr_int(call, "batch_dims"), m);
}

static int tuples_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *indices = host->input(call, 1);
    int64_t dims[2 * AVAL_MAX_RANK];
    uint32_t rank = 0;
    index_map m;
    TRY(tuples_map(host, call, &m));
    for (uint32_t i = 0; i + 1 < host->rank(indices); i++) dims[rank++] = host->dims(indices)[i];
    for (uint32_t i = (uint32_t)(host->attr_int(call, "batch_dims") + m.depth); i < host->rank(x); i++) dims[rank++] = host->dims(x)[i];
    if (rank > AVAL_MAX_RANK)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "the result would have %u axes, expected at most %d", (unsigned)rank, AVAL_MAX_RANK);
    return host->set_output(call, 0, host->type(x), rank, dims);
}

GATHER_FUNCTIONS(tuples, INDEX_TUPLES, "batch_dims")

/* ---- The gradient of all three ------------------------------------------------------------------------------------------------------------ */

static int gradient_map(const aval_host *host, aval_call *call, index_map *m)
{
    const char *form = host->attr_string(call, "form");
    const aval_tensor *indices = host->input(call, 1);
    size_t rank;
    const int64_t *dims = host->attr_ints(call, "dims", &rank);
    if (strcmp(form, index_forms[INDEX_AXIS]) == 0) return index_along_axis(host, call, indices, dims, (uint32_t)rank, m);
    if (strcmp(form, index_forms[INDEX_ELEMENTS]) == 0) return index_elements(host, call, indices, dims, (uint32_t)rank, m);
    if (strcmp(form, index_forms[INDEX_TUPLES]) == 0)
        return index_tuples(host, call, indices, dims, (uint32_t)rank, host->attr_int(call, "batch_dims"), m);
    return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute form is '%s', expected axis, elements or tuples", form);
}

static int gradient_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *g = host->input(call, 0);
    size_t rank;
    const int64_t *dims = host->attr_ints(call, "dims", &rank);
    index_map m;
    TRY(gradient_map(host, call, &m));
    if (host->count(g) != m.outer * m.count * m.inner)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input upstream has %lld elements, expected %lld", (long long)host->count(g),
                          (long long)(m.outer * m.count * m.inner));
    return host->set_output(call, 0, host->type(g), (uint32_t)rank, dims);
}

static int gradient_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *g = host->input(call, 0), *dx = host->output(call, 0);
    index_map m;
    sorting s = { 0 };
    TRY(gradient_map(host, call, &m));
    if (host->count(dx) == 0) return 0;
    if (host->count(g) == 0) return host->fill(call, dx, 0);
    TRY(index_sort(host, call, &m, host->input(call, 1), (uint32_t)host->type(g), &s));
    /* A group for a row of few columns would have nothing to do for most of it. */
    uint32_t group = m.inner < 16 ? 1 : host->device(call)->group;
    int64_t results = m.outer * m.rows, chunk = chunk_of(host->device(call), results, m.inner);
    return host->launch(call, AVAL_LAUNCH(.kernel = "sum_rows", .global = { (uint64_t)((results + chunk - 1) / chunk) * group },
                                          .local = { group == 1 && host->device(call)->group > 1 ? 0 : group },
                                          AVAL_DEFINES({ "WG", group }), .i_type = s.i_type,
                                          AVAL_ARGS(AVAL_READ(g), AVAL_READ(s.keys), AVAL_READ(s.order), AVAL_WRITE(dx), AVAL_I64(m.outer),
                                                    AVAL_I64(m.rows), AVAL_I64(m.count), AVAL_I64(m.inner), AVAL_I64(chunk))));
}

static int gradient_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *g = host->input(call, 0), *dx = host->output(call, 0);
    const int64_t *indices = host->integer(call, host->input(call, 1));
    index_map m;
    TRY(gradient_map(host, call, &m));
    for (int64_t i = 0; i < host->count(dx); i++) host->real(call, dx)[i] = 0;
    for (int64_t i = 0; i < host->count(g); i++) {
        int64_t j = i / m.inner % m.count, o = i / m.inner / m.count, row = index_row(&m, indices, j);
        if (row >= 0) host->real(call, dx)[(o * m.rows + row) * m.inner + i % m.inner] += host->real(call, g)[i];
    }
    return 0;
}

static int gradient_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *inputs[] = { host->upstream(call, 0), host->input(call, 1) }, *g = host->input(call, 0);
    const char *form = host->attr_string(call, "form");
    int tuples = strcmp(form, index_forms[INDEX_TUPLES]) == 0, elements = strcmp(form, index_forms[INDEX_ELEMENTS]) == 0;
    text attrs = { 0 };
    text_int(&attrs, tuples ? "batch_dims" : "axis", host->attr_int(call, tuples ? "batch_dims" : "axis"));
    TRY(host->apply(call, tuples ? "GatherND" : elements ? "GatherElements" : "Gather", attrs.at, 2, inputs, 1, &g));
    return host->yield(call, 0, g);
}

/* ---- Definitions --------------------------------------------------------------------------------------------------------------------------- */

#define GATHER(op_name, op_version, function) \
    .size = sizeof(aval_op), .name = op_name, .since = op_version, .deterministic = 1, .kernels = "index.cl", .infer = function##_infer, \
    .forward = function##_forward, .backward_body = function##_backward, .reference = function##_reference, .zero_gradient = 2, \
    .inputs = AVAL_PORTS({ .name = "data", .types = AVAL_STORED }, { .name = "indices", .types = INDEX_TYPES }), \
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED })
#define INDEX_AXIS_ATTR \
    { \
        .name = "axis", .type = AVAL_ATTR_INT, .initial = "0", .doc = "the axis that indices count along" \
    }
#define BATCH_ATTR \
    { \
        .name = "batch_dims", .type = AVAL_ATTR_INT, .initial = "0", \
        .doc = "so many first axes are those of batches with indices of their own" \
    }

static const aval_op gather_op = {
    GATHER("Gather", 1, gather),
    .doc = "Rows of the input along an axis, as indices name them; those out of range give 0.",
    .attrs = AVAL_ATTRS(INDEX_AXIS_ATTR),
    .samples = AVAL_SAMPLES(
        { .inputs = "[5,3] i64[4]{0,2,2,-1}", .why = "a row twice, and one from the end" },
        { .inputs = "[2,5,3] i32[2,2]{4,0,1,1}", .attrs = "axis=1" }, { .inputs = "[5,3] i64[]{2}" }, { .inputs = "[5,3] i64[0]" },
        { .inputs = "[1] i64[1]{0}" }, { .inputs = "[5,3] i64[3]{7,-6,1}", .why = "out of range" },
        { .inputs = "[40,33] i64[300]{0..39}", .why = "enough for a sort by digits" },
        { .inputs = "[300,257] i64[64]{0..299}", .size_class = AVAL_LARGE },
        { .inputs = "[3,2,2501] i64[3]{2,-3,9}", .size_class = AVAL_LARGE, .why = "rows of several pieces" },
        { .inputs = "[2,9] i64[5001]{-9..9}", .attrs = "axis=1", .size_class = AVAL_LARGE, .why = "rows of several pieces" },
        { .inputs = "[70000,2] i64[5000]{0..69999}", .size_class = AVAL_LARGE, .why = "more rows than two digits have" }),
};
static const aval_op elements_op = {
    GATHER("GatherElements", 11, elements),
    .doc = "An element of the input for each index: at the index along an axis, at its own place along the others; 0 out of range.",
    .attrs = AVAL_ATTRS(INDEX_AXIS_ATTR),
    .samples =
        AVAL_SAMPLES({ .inputs = "[3,3] i64[2,3]{1,2,0,2,0,-3}" }, { .inputs = "[3,4] i32[2,3]{0,0,-1,3,3,3}", .attrs = "axis=1" },
                     { .inputs = "[2,3,4] i64[2,2,3]{0,1,2,2,1,0,5,1,-3,0,0,0}", .attrs = "axis=-2", .why = "an index out of range" },
                     { .inputs = "[3,2] i64[0,2]" }, { .inputs = "[4] i64[1]{3}" },
                     { .inputs = "[70,9] i64[70,9]{-9..8}", .attrs = "axis=1", .why = "enough for a sort by digits" },
                     { .inputs = "[300,257] i64[200,250]{0..299}", .size_class = AVAL_LARGE }),
};
static const aval_op tuples_op = {
    GATHER("GatherND", 11, tuples),
    .doc = "Slices of the input, each named by several indices; 0 out of range.",
    .attrs = AVAL_ATTRS(BATCH_ATTR),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3] i64[3,2]{0,0,1,-1,0,0}" }, { .inputs = "[3,2,2] i64[2,1,2]{0,1,2,0}" },
                            { .inputs = "[2,3,4] i64[2,2,1]{1,1,2,0}", .attrs = "batch_dims=1" },
                            { .inputs = "[2,3] i32[3,1]{1,5,-2}", .why = "an index out of range" }, { .inputs = "[4] i64[1]{2}" },
                            { .inputs = "[2,3] i64[0,2]" }, { .inputs = "[9,8,3] i64[300,2]{-8..7}", .why = "enough for a sort by digits" },
                            { .inputs = "[90,80,13] i64[3000,2]{0..79}", .size_class = AVAL_LARGE }),
};
static const aval_op gradient_op = {
    .size = sizeof(aval_op),
    .name = "GatherGradient",
    .domain = "aval",
    .since = 1,
    .deterministic = 1,
    .kernels = "scatter.cl",
    .doc = "The gradient of gathers: each row of the result is the sum of the rows that indices took from it, in their order.",
    .inputs = AVAL_PORTS({ .name = "upstream" }, { .name = "indices", .types = INDEX_TYPES }),
    .outputs = AVAL_PORTS({ .name = "output" }),
    .zero_gradient = 2,
    .attrs = AVAL_ATTRS({ .name = "dims", .type = AVAL_ATTR_INTS, .required = 1, .doc = "shape of the result" },
                        { .name = "form",
                          .type = AVAL_ATTR_STRING,
                          .initial = "'axis'",
                          .doc = "axis: of Gather; elements: of GatherElements; tuples: of GatherND" },
                        INDEX_AXIS_ATTR, BATCH_ATTR),
    .infer = gradient_infer,
    .forward = gradient_forward,
    .backward_body = gradient_backward,
    .reference = gradient_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[4,3] i64[4]{0,2,2,-1}", .attrs = "dims=[5,3]" },
                            { .inputs = "[2,2,3] i32[2]{4,0}", .attrs = "dims=[2,5,3] axis=1" },
                            { .inputs = "[2,3] i64[2,3]{1,2,0,2,0,-3}", .attrs = "dims=[3,3] form='elements'" },
                            { .inputs = "[2,2,4] i64[2,2,1]{1,1,2,0}", .attrs = "dims=[2,3,4] form='tuples' batch_dims=1" }),
};

AVAL_PLUGIN("gather", "0.1.0", AVAL_SOURCES({ "index.cl", index_cl }, { "scatter.cl", scatter_cl }), &gather_op, &elements_op, &tuples_op,
            &gradient_op)
