/* Shape inference, the host table's phases, and the referee, with ops that are linked in. */
#include "op/op.h"

#include <criterion/criterion.h>
#include <string.h>

/* y = x, of the shape of x without its first axis; calls what its attribute says. */
static int drop_axis(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    const char *misuse = host->attr_string(call, "misuse");
    if (host->rank(x) == 0) return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input X has no axis to drop");
    if (strcmp(misuse, "gemm") == 0) (void)host->gemm(call, NULL); /* and drops the code */
    if (strcmp(misuse, "upstream") == 0 && host->upstream(call, 0)) return 0;
    if (strcmp(misuse, "int") == 0) (void)host->attr_int(call, "misuse");
    if (strcmp(misuse, "silent") == 0) return AVAL_PLUGIN_UNSUPPORTED;
    if (strcmp(misuse, "nothing") == 0) return 0;
    if (strcmp(misuse, "content") == 0 && !host->content(call, 0)) return host->fail(call, AVAL_NEEDS_CONTENT, "what is in X?");
    return host->set_output(call, 0, host->type(x), host->rank(x) - 1, host->dims(x) + 1);
}

static int sum_first_axis(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    const double *from = host->real(call, x);
    double *to = host->real(call, y);
    int64_t inner = host->count(y), rows = host->dims(x)[0];
    for (int64_t i = 0; from && to && i < rows * inner; i++) to[i % inner] += from[i];
    return 0;
}

static const aval_op drop = {
    .size = sizeof(aval_op),
    .name = "Drop",
    .since = 1,
    .doc = "Sums over the first axis.",
    .inputs = AVAL_PORTS({ .name = "X" }, { .name = "W", .flags = AVAL_OPTIONAL, .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS({ .name = "misuse", .type = AVAL_ATTR_STRING }),
    .infer = drop_axis,
    .forward = sum_first_axis,
    .reference = sum_first_axis,
    .samples = AVAL_SAMPLES({ .inputs = "[2]" }),
};

static const aval_op scaled = {
    .size = sizeof(aval_op),
    .name = "Scaled",
    .domain = "aval",
    .since = 1,
    .doc = "a x + b",
    .inputs = AVAL_PORTS({ .name = "x", .types = AVAL_ANY }, { .name = "b", .types = AVAL_ANY }),
    .outputs = AVAL_PORTS({ .name = "y", .types = AVAL_ANY, .updates = AVAL_UPDATES(0) }),
    .attrs = AVAL_ATTRS({ .name = "a", .type = AVAL_ATTR_FLOAT, .initial = "2" }),
    .expressions = AVAL_TEXTS("a * x + b"),
    .samples = AVAL_SAMPLES({ .inputs = "[2] [2]" }),
};

static const aval_op *const ops[] = { &drop, &scaled, NULL };
static const aval_plugin table = { .abi = AVAL_PLUGIN_ABI, .size = sizeof table, .name = "t", .version = "1", .ops = ops };

static aval_tensor tensor(int type, size_t rank, const int64_t *dims)
{
    aval_tensor t;
    cr_assert_eq(aval__tensor_set(&t, type, rank, dims), AVAL_OK);
    return t;
}

/* Infers one node of `op`; returns the status, its message in aval_error. */
static int infer(const char *op, const char *text, const aval_tensor *const *inputs, size_t n, aval_tensor *y)
{
    aval__arena arena = { 0 };
    aval__registry *r;
    aval__attrs attrs;
    cr_assert_eq(aval__registry_create(NULL, &r), AVAL_OK);
    cr_assert_eq(aval__registry_add(r, &table, "memory"), AVAL_OK, "%s", aval_error());
    const aval__opdef *def = aval__registry_find(r, op, 0);
    cr_assert_eq(aval__attrs_parse(&arena, def->op->attrs, text, &attrs), AVAL_OK);
    int status = aval__infer(def, &attrs, "n1", inputs, n, (aval_tensor *const[]){ y }, 1, NULL, NULL);
    aval__registry_release(r);
    aval__arena_release(&arena);
    return status;
}

Test(infer, an_ops_own_function_and_the_broadcasting_rule_give_shapes)
{
    aval_tensor x = tensor(AVAL_DOUBLE, AVAL_SHAPE(4, 3)), b = tensor(AVAL_DOUBLE, AVAL_SHAPE(3)), y;
    cr_assert_eq(infer("Drop", "", (const aval_tensor *const[]){ &x, NULL }, 2, &y), AVAL_OK, "%s", aval_error());
    cr_assert(y.type == AVAL_DOUBLE && y.rank == 1 && y.dims[0] == 3);
    cr_assert_eq(infer("Scaled", "", (const aval_tensor *const[]){ &x, &b }, 2, &y), AVAL_OK, "%s", aval_error());
    cr_assert(aval__tensor_same_shape(&x, &y));
}

Test(infer, what_does_not_fit_is_refused_with_op_node_and_input)
{
    aval_tensor x = tensor(AVAL_FLOAT, AVAL_SHAPE(4, 3)), d = tensor(AVAL_DOUBLE, AVAL_SHAPE(3)), i = tensor(AVAL_INT64, AVAL_SHAPE(3));
    aval_tensor s = tensor(AVAL_FLOAT, AVAL_SCALAR), four = tensor(AVAL_FLOAT, AVAL_SHAPE(4)), y;
    const struct {
        const char *op, *attrs;
        const aval_tensor *inputs[3];
        size_t n;
        int status;
        const char *message;
    } cases[] = {
        { "Drop", "", { 0 }, 0, AVAL_E_ARGUMENT, "Drop 'n1': expected at least 1 inputs, found 0: input X is missing" },
        { "Drop", "", { NULL, &x }, 2, AVAL_E_ARGUMENT, "Drop 'n1': input X (number 0) must not be absent" },
        { "Drop", "", { &x, &x, &x }, 3, AVAL_E_ARGUMENT, "Drop 'n1': expected at most 2 inputs, found 3" },
        { "Drop", "", { &i }, 1, AVAL_E_TYPE, "Drop 'n1': input X is int64, but must be one of float, float16, double" },
        { "Drop", "", { &x, &d }, 2, AVAL_E_TYPE, "Drop 'n1': input W is double, but input X is float" },
        { "Drop", "", { &s }, 1, AVAL_E_SHAPE, "Drop 'n1': input X has no axis to drop" },
        { "Drop", "misuse='gemm'", { &x }, 1, AVAL_E_PLUGIN, "Drop 'n1': op 'Drop' called host function gemm while shapes are inferred" },
        { "Drop", "misuse='upstream'", { &x }, 1, AVAL_E_PLUGIN, "called host function upstream while shapes are inferred" },
        { "Drop", "misuse='int'", { &x }, 1, AVAL_E_PLUGIN, "asked for attribute misuse by host function attr_int" },
        { "Drop", "misuse='silent'", { &x }, 1, AVAL_E_UNSUPPORTED, "gave no reason" },
        { "Drop", "misuse='nothing'", { &x }, 1, AVAL_E_PLUGIN, "infer said nothing of output Y" },
        { "Drop", "misuse='content'", { &x }, 1, AVAL_E_CONTENT, "what is in X?" },
        { "Scaled", "", { &x, &four }, 2, AVAL_E_SHAPE, "aval::Scaled 'n1': shapes float[4,3] and float[4] do not broadcast together" },
        { "Scaled", "", { &four, &s }, 2, AVAL_OK, "" },
        { "Scaled", "", { &s, &four }, 2, AVAL_E_SHAPE, "output y updates input x, so it must be float[], but is float[4]" },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int status = infer(cases[c].op, cases[c].attrs, cases[c].inputs, cases[c].n, &y);
        cr_assert_eq(status, cases[c].status, "case %zu: %d %s", c, status, aval_error());
        if (status < 0) cr_assert(strstr(aval_error(), cases[c].message), "case %zu: %s", c, aval_error());
    }
}

/* ---- The referee -------------------------------------------------------------------------------------------------------------------- */

static int refer(const char *op, const char *text, const aval__host_tensor *const *inputs, size_t n, aval__host_tensor *y)
{
    aval__arena arena = { 0 };
    aval__registry *r;
    aval__attrs attrs;
    cr_assert_eq(aval__registry_create(NULL, &r), AVAL_OK);
    cr_assert_eq(aval__registry_add(r, &table, "memory"), AVAL_OK, "%s", aval_error());
    const aval__opdef *def = aval__registry_find(r, op, 0);
    cr_assert_eq(aval__attrs_parse(&arena, def->op->attrs, text, &attrs), AVAL_OK);
    int status = aval__reference(def, &attrs, NULL, inputs, n, (aval__host_tensor *const[]){ y }, 1);
    aval__registry_release(r);
    aval__arena_release(&arena);
    return status;
}

static aval__host_tensor host(int type, size_t rank, const int64_t *dims, const void *data)
{
    aval__host_tensor t;
    aval_tensor shape = tensor(type, rank, dims);
    cr_assert_eq(aval__host_tensor_make(&t, &shape), AVAL_OK);
    if (data) aval__host_tensor_from(&t, data);
    return t;
}

Test(reference, expressions_broadcast_in_double_and_integers_wrap_as_their_type)
{
    static const float x_data[] = { 1, 2, 3, 4, 5, 6 }, b_data[] = { 10, 20 };
    static const uint8_t n_data[] = { 100, 200 }, one = 1;
    aval__host_tensor x = host(AVAL_FLOAT, AVAL_SHAPE(2, 3), x_data), b = host(AVAL_FLOAT, AVAL_SHAPE(2, 1), b_data);
    aval__host_tensor y = host(AVAL_FLOAT, AVAL_SHAPE(2, 3), NULL);
    cr_assert_eq(refer("Scaled", "a=0.5", (const aval__host_tensor *const[]){ &x, &b }, 2, &y), AVAL_OK, "%s", aval_error());
    static const double expected[] = { 10.5, 11, 11.5, 22, 22.5, 23 };
    for (size_t i = 0; i < 6; i++) cr_assert_eq(y.real[i], expected[i]);

    aval__host_tensor n = host(AVAL_UINT8, AVAL_SHAPE(2), n_data), c = host(AVAL_UINT8, AVAL_SCALAR, &one);
    aval__host_tensor m = host(AVAL_UINT8, AVAL_SHAPE(2), NULL);
    cr_assert_eq(refer("Scaled", "a=2", (const aval__host_tensor *const[]){ &n, &c }, 2, &m), AVAL_OK, "%s", aval_error());
    cr_assert(m.integer[0] == 201 && m.integer[1] == (401 & 255));

    aval__host_tensor *all[] = { &x, &b, &y, &n, &c, &m };
    for (size_t i = 0; i < 6; i++) aval__host_tensor_release(all[i]);
}

Test(reference, recorders_run_their_function_and_asking_for_the_wrong_kind_fails)
{
    static const double x_data[] = { 1, 2, 3, 4 };
    static const int64_t n_data[] = { 1, 2, 3, 4 };
    aval__host_tensor x = host(AVAL_DOUBLE, AVAL_SHAPE(2, 2), x_data), y = host(AVAL_DOUBLE, AVAL_SHAPE(2), NULL);
    aval__host_tensor n = host(AVAL_INT64, AVAL_SHAPE(2, 2), n_data);
    cr_assert_eq(refer("Drop", "", (const aval__host_tensor *const[]){ &x }, 1, &y), AVAL_OK);
    cr_assert(y.real[0] == 4 && y.real[1] == 6);
    cr_assert_eq(refer("Drop", "", (const aval__host_tensor *const[]){ &n }, 1, &y), AVAL_E_TYPE);
    cr_assert(strstr(aval_error(), "Drop: reference asked for real of a tensor that holds int64"), "%s", aval_error());
    aval__host_tensor_release(&x);
    aval__host_tensor_release(&y);
    aval__host_tensor_release(&n);
}
