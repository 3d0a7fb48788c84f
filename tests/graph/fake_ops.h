/* A plugin table that is linked into the tests: the fewest ops that strain the graph.  None of them runs on a device. */
#ifndef AVAL_TEST_FAKE_OPS_H
#define AVAL_TEST_FAKE_OPS_H

#include "graph/graph.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#define SAMPLE(text) AVAL_SAMPLES({ .inputs = text })
#define UNARY AVAL_PORTS({ .name = "x" })
#define BINARY AVAL_PORTS({ .name = "a" }, { .name = "b" })
#define RESULT AVAL_PORTS({ .name = "y" })

/* ---- Recorders: forward and backward are never called here ----------------------------------------------------------------------- */

static int fake_record(const aval_host *host, aval_call *call)
{
    return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "this op is not for devices");
}

static int copy_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    int64_t count = host->count(y);
    int real = host->type(y) == AVAL_FLOAT || host->type(y) == AVAL_DOUBLE;
    for (int64_t i = 0; i < count; i++) {
        if (real) host->real(call, y)[i] = host->real(call, x)[i];
        else host->integer(call, y)[i] = host->integer(call, x)[i];
    }
    return 0;
}

static int product_reference(const aval_host *host, aval_call *call)
{
    const double *a = host->real(call, host->input(call, 0)), *b = host->real(call, host->input(call, 1));
    double *y = host->real(call, host->output(call, 0));
    for (int64_t i = 0, n = host->count(host->output(call, 0)); i < n; i++) y[i] = a[i] * b[i];
    return 0;
}

static int first_infer(const aval_host *host, aval_call *call)
{
    return aval_infer_like(host, call, 0, 0);
}

static int fill_infer(const aval_host *host, aval_call *call)
{
    size_t rank = 0;
    const int64_t *dims = host->attr_ints(call, "dims", &rank);
    return host->set_output(call, 0, (aval_type)host->attr_int(call, "type"), (uint32_t)rank, dims);
}

static int fill_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->output(call, 0);
    for (int64_t i = 0, n = host->count(y); i < n; i++) host->real(call, y)[i] = host->attr_float(call, "value");
    return 0;
}

static int cast_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    return host->set_output(call, 0, (aval_type)host->attr_int(call, "to"), host->rank(x), host->dims(x));
}

static int reshape_infer(const aval_host *host, aval_call *call)
{
    const int64_t *shape = host->content(call, 1);
    if (!shape) return host->fail(call, AVAL_NEEDS_CONTENT, "the content of shape is not known");
    return host->set_output(call, 0, host->type(host->input(call, 0)), (uint32_t)host->count(host->input(call, 1)), shape);
}

static int sum_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    const int64_t *axes = host->content(call, 1), *dims = host->dims(x);
    int64_t out[AVAL_MAX_RANK];
    uint32_t rank = 0;
    if (!axes) return host->fail(call, AVAL_NEEDS_CONTENT, "the content of axes is not known");
    for (uint32_t i = 0; i < host->rank(x); i++) {
        int summed = 0;
        for (int64_t k = 0; k < host->count(host->input(call, 1)); k++) summed |= axes[k] == (int64_t)i;
        if (!summed || host->attr_int(call, "keepdims")) out[rank++] = summed ? 1 : dims[i];
    }
    return host->set_output(call, 0, host->type(x), rank, out);
}

static int sum_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    const int64_t *axes = host->integer(call, host->input(call, 1)), *dims = host->dims(x);
    int64_t n_axes = host->count(host->input(call, 1));
    double *y = host->real(call, host->output(call, 0));
    const double *from = host->real(call, x);
    for (int64_t e = 0, n = host->count(x); e < n; e++) {
        int64_t rest = e, to = 0, stride = 1;
        for (uint32_t i = host->rank(x); i-- > 0;) {
            int64_t at = rest % dims[i], summed = 0;
            rest /= dims[i];
            for (int64_t k = 0; k < n_axes; k++) summed |= axes[k] == (int64_t)i;
            if (summed) continue;
            to += at * stride;
            stride *= dims[i];
        }
        y[to] += from[e];
    }
    return 0;
}

static int steer_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    return host->set_output(call, 0, AVAL_INT64, host->rank(x), host->dims(x));
}

/* ---- Bodies -------------------------------------------------------------------------------------------------------------------------- */

/* cube = x x x, as a body of two products */
static int cube_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *square, *cube;
    int status = host->apply(call, "Mul", NULL, 2, (const aval_tensor *[]){ x, x }, 1, &square);
    if (status == 0) status = host->apply(call, "Mul", NULL, 2, (const aval_tensor *[]){ square, x }, 1, &cube);
    return status < 0 ? status : host->yield(call, 0, cube);
}

/* A body that uses a body: x^9 */
static int ninth_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *cube, *ninth;
    int status = host->apply(call, "Cube", NULL, 1, (const aval_tensor *[]){ host->input(call, 0) }, 1, &cube);
    if (status == 0) status = host->apply(call, "Cube", NULL, 1, (const aval_tensor *[]){ cube }, 1, &ninth);
    return status < 0 ? status : host->yield(call, 0, ninth);
}

/* Yields its input, one value twice, and a constant */
static int odd_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *square;
    float three = 3;
    const aval_tensor *constant = host->constant(call, AVAL_FLOAT, 0, NULL, &three);
    int status = host->apply(call, "Mul", NULL, 2, (const aval_tensor *[]){ x, x }, 1, &square);
    if (status == 0) status = host->yield(call, 0, x);
    if (status == 0) status = host->yield(call, 1, square);
    if (status == 0) status = host->yield(call, 2, square);
    return status < 0 ? status : host->yield(call, 3, constant);
}

static int odd_infer(const aval_host *host, aval_call *call)
{
    for (size_t i = 0; i < 3; i++) {
        int status = aval_infer_like(host, call, i, 0);
        if (status < 0) return status;
    }
    return host->set_output(call, 3, AVAL_FLOAT, 0, NULL);
}

static int endless_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *y;
    int status = host->apply(call, "Endless", NULL, 1, (const aval_tensor *[]){ host->input(call, 0) }, 1, &y);
    return status < 0 ? status : host->yield(call, 0, y);
}

/* y = x^2 by kernels; its backward is a body: dx = 2 x up, written as (x + x) up */
static int square_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *up = host->upstream(call, 0), *twice, *dx;
    int status = host->apply(call, "Add", NULL, 2, (const aval_tensor *[]){ x, x }, 1, &twice);
    if (status == 0) status = host->apply(call, "Mul", NULL, 2, (const aval_tensor *[]){ twice, up }, 1, &dx);
    return status < 0 ? status : host->yield(call, 0, dx);
}

static int square_reference(const aval_host *host, aval_call *call)
{
    const double *x = host->real(call, host->input(call, 0));
    double *y = host->real(call, host->output(call, 0));
    for (int64_t i = 0, n = host->count(host->output(call, 0)); i < n; i++) y[i] = x[i] * x[i];
    return 0;
}

/* (2 x, 3 x) by kernels; backward is a body that leaves out what has no upstream gradient */
static int twin_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *up[] = { host->upstream(call, 0), host->upstream(call, 1) }, *parts[2] = { NULL }, *sum;
    for (size_t i = 0; i < 2; i++) {
        int status = up[i] ? host->apply(call, "Scale", i ? "by=3" : "by=2", 1, &up[i], 1, &parts[i]) : 0;
        if (status < 0) return status;
    }
    if (!parts[0] || !parts[1]) return host->yield(call, 0, parts[0] ? parts[0] : parts[1]);
    int status = host->apply(call, "Add", NULL, 2, parts, 1, &sum);
    return status < 0 ? status : host->yield(call, 0, sum);
}

static int twin_infer(const aval_host *host, aval_call *call)
{
    int status = aval_infer_like(host, call, 0, 0);
    return status < 0 ? status : aval_infer_like(host, call, 1, 0);
}

static int twin_reference(const aval_host *host, aval_call *call)
{
    const double *x = host->real(call, host->input(call, 0));
    for (size_t k = 0; k < 2; k++) {
        double *y = host->real(call, host->output(call, k));
        for (int64_t i = 0, n = host->count(host->input(call, 0)); i < n; i++) y[i] = (double)(k + 2) * x[i];
    }
    return 0;
}

/* Mistakes of an author, by number */
static int mistaken_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = x;
    int status = 0;
    switch (host->attr_int(call, "mistake")) {
    case 0: status = host->apply(call, "Scale", "bye=3", 1, &x, 1, &y); break;
    case 1: status = host->apply(call, "Skale", "by=3", 1, &x, 1, &y); break;
    case 2: status = host->apply(call, "Scale", "by=3", 1, NULL, 1, &y); break;
    case 3: status = host->apply(call, NULL, NULL, 1, &x, 1, &y); break;
    default: status = host->apply(call, "Fill", "dims=[1]", 0, NULL, 1, &y); break;
    }
    return status < 0 ? status : host->yield(call, 0, y);
}

/* ---- The table ----------------------------------------------------------------------------------------------------------------------- */

#define OP(variable, ...) static const aval_op variable = { .size = sizeof(aval_op), .since = 1, .doc = "A test op.", __VA_ARGS__ }

OP(op_add, .name = "Add", .role = AVAL_ROLE_ADD, .inputs = BINARY, .outputs = RESULT, .expressions = AVAL_TEXTS("a + b"),
   .samples = SAMPLE("[2] [2]"));
OP(op_mul, .name = "Mul", .inputs = BINARY, .outputs = RESULT, .expressions = AVAL_TEXTS("a * b"), .samples = SAMPLE("[2] [2]"));
OP(op_tanh, .name = "Tanh", .inputs = UNARY, .outputs = RESULT, .expressions = AVAL_TEXTS("tanh(x)"), .samples = SAMPLE("[2]"));
OP(op_floor, .name = "Floor", .inputs = UNARY, .outputs = RESULT, .expressions = AVAL_TEXTS("floor(x)"), .samples = SAMPLE("[2]"));
OP(op_scale, .name = "Scale", .inputs = UNARY, .outputs = RESULT,
   .attrs = AVAL_ATTRS({ .name = "by", .type = AVAL_ATTR_FLOAT, .initial = "2" }), .expressions = AVAL_TEXTS("by * x"),
   .samples = SAMPLE("[2]"));
OP(op_cast, .name = "Cast", .role = AVAL_ROLE_CAST, .inputs = AVAL_PORTS({ .name = "x", .types = AVAL_ANY }),
   .outputs = AVAL_PORTS({ .name = "y", .types = AVAL_ANY }), .attrs = AVAL_ATTRS({ .name = "to", .type = AVAL_ATTR_INT, .required = 1 }),
   .infer = cast_infer, .expressions = AVAL_TEXTS("x"), .samples = AVAL_SAMPLES({ .inputs = "[2]", .attrs = "to=1" }));
OP(op_fill, .name = "Fill", .role = AVAL_ROLE_FILL, .inputs = (const aval_port[]){ { .name = NULL } },
   .outputs = AVAL_PORTS({ .name = "y", .types = AVAL_ANY }),
   .attrs = AVAL_ATTRS({ .name = "dims", .type = AVAL_ATTR_INTS, .initial = "[]" },
                       { .name = "value", .type = AVAL_ATTR_FLOAT, .initial = "0" },
                       { .name = "type", .type = AVAL_ATTR_INT, .initial = "1" }),
   .infer = fill_infer, .forward = fake_record, .reference = fill_reference, .samples = SAMPLE(""));
OP(op_sum, .name = "Sum", .role = AVAL_ROLE_REDUCE_SUM,
   .inputs = AVAL_PORTS({ .name = "x" }, { .name = "axes", .types = AVAL_TYPE_SET(AVAL_INT64), .flags = AVAL_SHAPE_INPUT }),
   .outputs = RESULT, .attrs = AVAL_ATTRS({ .name = "keepdims", .type = AVAL_ATTR_INT, .initial = "1" }), .infer = sum_infer,
   .forward = fake_record, .backward = fake_record, .reference = sum_reference, .samples = SAMPLE("[2] i64[1]{0}"));
OP(op_reshape, .name = "Reshape", .role = AVAL_ROLE_RESHAPE,
   .inputs = AVAL_PORTS({ .name = "x" }, { .name = "shape", .types = AVAL_TYPE_SET(AVAL_INT64), .flags = AVAL_SHAPE_INPUT }),
   .outputs = RESULT, .infer = reshape_infer, .forward = fake_record, .backward = fake_record, .reference = copy_reference,
   .samples = SAMPLE("[2] i64[1]{2}"));
OP(op_product, .name = "Product", .inputs = BINARY, .outputs = RESULT, .infer = first_infer, .forward = fake_record,
   .backward = fake_record, .keeps = AVAL_KEEP_INPUT(1) | AVAL_KEEP_OUTPUT(0), .accumulates = 2, .reference = product_reference,
   .samples = SAMPLE("[2] [2]"));
OP(op_opaque, .name = "Opaque", .inputs = UNARY, .outputs = RESULT, .forward = fake_record, .reference = copy_reference,
   .samples = SAMPLE("[2]"));
OP(op_step, .name = "Step", .inputs = UNARY, .outputs = RESULT, .forward = fake_record, .reference = copy_reference, .zero_gradient = 1,
   .samples = SAMPLE("[2]"));
OP(op_steer, .name = "ToInt", .inputs = UNARY, .outputs = AVAL_PORTS({ .name = "y", .types = AVAL_INTS }), .infer = steer_infer,
   .forward = fake_record, .backward = fake_record, .reference = copy_reference, .samples = SAMPLE("[2]"));
OP(op_square, .name = "Square", .inputs = UNARY, .outputs = RESULT, .forward = fake_record, .backward_body = square_backward,
   .reference = square_reference, .samples = SAMPLE("[2]"));
OP(op_cube, .name = "Cube", .inputs = UNARY, .outputs = RESULT, .body = cube_body, .samples = SAMPLE("[2]"));
OP(op_ninth, .name = "Ninth", .inputs = UNARY, .outputs = RESULT, .body = ninth_body, .samples = SAMPLE("[2]"));
OP(op_endless, .name = "Endless", .inputs = UNARY, .outputs = RESULT, .body = endless_body, .samples = SAMPLE("[2]"));
OP(op_mistaken, .name = "Mistaken", .domain = "my", .inputs = UNARY, .outputs = RESULT,
   .attrs = AVAL_ATTRS({ .name = "mistake", .type = AVAL_ATTR_INT, .initial = "0" }), .body = mistaken_body, .samples = SAMPLE("[2]"));
OP(op_odd, .name = "Odd", .inputs = UNARY,
   .outputs = AVAL_PORTS({ .name = "same" }, { .name = "once" }, { .name = "again" }, { .name = "three" }), .infer = odd_infer,
   .body = odd_body, .samples = SAMPLE("[2]"));
OP(op_update, .name = "Update", .inputs = AVAL_PORTS({ .name = "w" }, { .name = "by" }),
   .outputs = AVAL_PORTS({ .name = "w_new", .updates = AVAL_UPDATES(0) }), .expressions = AVAL_TEXTS("w + by"),
   .samples = SAMPLE("[2] [2]"));

OP(op_pair, .name = "Pair", .inputs = BINARY, .outputs = AVAL_PORTS({ .name = "y" }, { .name = "z" }), .forward = fake_record,
   .backward = fake_record, .keeps = AVAL_KEEP_INPUT(0), .reference = copy_reference, .samples = SAMPLE("[2] [2]"));

OP(op_twin, .name = "Twin", .inputs = UNARY, .outputs = AVAL_PORTS({ .name = "y" }, { .name = "z" }), .infer = twin_infer,
   .forward = fake_record, .backward_body = twin_backward, .reference = twin_reference, .samples = SAMPLE("[2]"));

static const aval_plugin fake_plugin = {
    .abi = AVAL_PLUGIN_ABI,
    .size = sizeof(aval_plugin),
    .name = "fake",
    .version = "1",
    .ops = (const aval_op *const[]){ &op_add,     &op_mul,      &op_tanh,   &op_floor,  &op_scale, &op_cast,   &op_fill, &op_sum,
                                     &op_reshape, &op_product,  &op_opaque, &op_step,   &op_steer, &op_square, &op_cube, &op_ninth,
                                     &op_endless, &op_mistaken, &op_odd,    &op_update, &op_pair,  &op_twin,   NULL },
};

/* ---- Helpers --------------------------------------------------------------------------------------------------------------------------- */

/* Warnings that came, for tests that look for them. */
typedef struct warnings {
    char last[1024];
    int count;
} warnings;

static inline void keep_warning(void *user, int level, const char *message)
{
    warnings *w = user;
    w->count += level == AVAL_LOG_WARNING;
    strncpy(w->last, message, sizeof w->last - 1);
}

typedef struct fixture {
    aval__registry *registry;
    aval__log log;
    warnings warned;
    aval_graph *g;
} fixture;

static inline void start(fixture *f)
{
    memset(f, 0, sizeof *f);
    f->log = (aval__log){ keep_warning, &f->warned };
    cr_assert_eq(aval__registry_create(&f->log, &f->registry), 0, "%s", aval_error());
    cr_assert_eq(aval__registry_add(f->registry, &fake_plugin, "fake"), 0, "%s", aval_error());
    f->g = aval__graph_create(f->registry, &f->log);
    cr_assert_not_null(f->g);
}

static inline void finish(fixture *f)
{
    aval_graph_release(f->g);
    aval__registry_release(f->registry);
}

static inline void expect_built(aval_graph *g)
{
    cr_assert_eq(aval_graph_status(g), 0, "%s", aval_error());
}

/* The message must have the text in it. */
static inline void expect_message(const char *part)
{
    cr_assert_not_null(strstr(aval_error(), part), "expected '%s' in the message, found: %s", part, aval_error());
}

/* Expands a copy for `wanted`. */
static inline aval_graph *expanded(fixture *f, aval_value *const *wanted, size_t n)
{
    aval_graph *copy = NULL;
    expect_built(f->g);
    cr_assert_eq(aval__graph_copy(f->g, &copy), 0);
    cr_assert_eq(aval__graph_expand(copy, wanted, n, false), 0, "%s", aval_error());
    return copy;
}

/* First element of a value when every element of input `x` is `at`; expands a copy first. */
static inline double evaluate(fixture *f, aval_value *wanted, aval_value *const *inputs, const double *at, size_t n_inputs)
{
    aval_graph *copy = expanded(f, &wanted, 1);
    aval__host_tensor contents[8] = { 0 };
    const aval__host_tensor **by_id = calloc(f->g->values.count, sizeof *by_id);
    for (size_t i = 0; i < n_inputs; i++) {
        cr_assert_eq(aval__host_tensor_make(&contents[i], &inputs[i]->tensor), 0);
        for (int64_t k = 0; k < aval__tensor_count(&inputs[i]->tensor); k++) contents[i].real[k] = at[i];
        by_id[inputs[i]->id] = &contents[i];
    }
    aval__interpretation result;
    cr_assert_eq(aval__graph_interpret(copy, &wanted, 1, by_id, &result), 0, "%s", aval_error());
    double y = result.at[wanted->id].real[0];
    aval__interpretation_release(&result);
    for (size_t i = 0; i < n_inputs; i++) aval__host_tensor_release(&contents[i]);
    free(by_id);
    aval_graph_release(copy);
    return y;
}

/* How many nodes of an op the expanded graph needs. */
static inline size_t count_ops(const aval_graph *g, aval_value *const *wanted, size_t n, const char *op)
{
    aval_node **order;
    size_t count, found = 0;
    cr_assert_eq(aval__graph_order(g, wanted, n, &order, &count), 0, "%s", aval_error());
    for (size_t i = 0; i < count; i++) found += order[i]->def && strcmp(order[i]->def->name, op) == 0;
    aval__free(order);
    return found;
}

#endif
