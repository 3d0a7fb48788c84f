#include "harness.h"
#include "aval/heads.h"

#include <criterion/criterion.h>
#include <string.h>

#define UNARY_SAMPLE AVAL_SAMPLES({ .inputs = "[2,2]" })
#define BINARY_SAMPLE AVAL_SAMPLES({ .inputs = "[2,2] [2,2]" })
#define UNARY AVAL_PORTS({ .name = "x" })
#define BINARY AVAL_PORTS({ .name = "x" }, { .name = "w" })
#define HEADED AVAL_PORTS({ .name = "x", .flags = AVAL_HEADED | AVAL_READ_ONCE }, { .name = "w" })
#define HEADED_SAMPLE BINARY_SAMPLE
#define PICKED AVAL_PORTS({ .name = "x", .flags = AVAL_HEADED }, { .name = "w" })
#define PICKED_SAMPLE BINARY_SAMPLE
#define ROW_HEADED AVAL_PORTS({ .name = "x", .flags = AVAL_ROW_HEADED }, { .name = "w" })
#define ROW_HEADED_SAMPLE BINARY_SAMPLE
#define RESULT AVAL_PORTS({ .name = "y" })

/* Nothing is computed here: folding gets zeros. */
static int no_reference(const aval_host *host, aval_call *call)
{
    (void)host;
    (void)call;
    return 0;
}

/* Reads all inputs in order, writes the output. */
static int mix_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *y = host->output(call, 0);
    return host->launch(call, AVAL_LAUNCH(.kernel = "mix", .global = { (uint64_t)host->count(y) }, .local = { 4 },
                                          AVAL_ARGS(AVAL_READ(host->input(call, 0)), AVAL_READ(host->input(call, 1)), AVAL_WRITE(y),
                                                    AVAL_I64(host->count(y))),
                                          AVAL_DEFINES({ "WG", 4 })));
}

/* The same, and x may be computed as it is read. */
static int take_forward(const aval_host *host, aval_call *call)
{
    const aval_heads *heads = host->extension(call, AVAL_HEADS);
    int taken = heads->take(call, host->input(call, 0), host->dims(host->input(call, 0))[1]);
    return taken < 0 ? taken : mix_forward(host, call);
}

/* The same, and x may be made by the launch. */
static int rows_forward(const aval_host *host, aval_call *call)
{
    const aval_row_heads *heads = host->extension(call, AVAL_ROW_HEADS);
    int taken = heads->take(call, host->input(call, 0), host->output(call, 0));
    return taken < 0 ? taken : mix_forward(host, call);
}

/* Reads inputs and upstream gradient, writes or adds to each gradient. */
static int mix_backward(const aval_host *host, aval_call *call)
{
    for (size_t i = 0; i < 2; i++) {
        const aval_tensor *gradient = host->gradient(call, i);
        if (!gradient) continue;
        aval_arg out = AVAL_WRITE(gradient);
        if (host->accumulate(call, i)) out.kind = AVAL_ARG_UPDATE;
        aval_arg args[] = { AVAL_READ(host->input(call, 0)), AVAL_READ(host->input(call, 1)), AVAL_READ(host->upstream(call, 0)), out };
        int status = host->launch(
            call, AVAL_LAUNCH(.kernel = "mix_backward", .global = { (uint64_t)host->count(gradient) }, .args = args, .n_args = 4));
        if (status < 0) return status;
    }
    return 0;
}

/* Other sizes, as pooling and upsampling have them. */
static int scaled_infer(const aval_host *host, aval_call *call, int64_t times, int64_t over)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t dims[] = { host->dims(x)[0] * times / over, host->dims(x)[1] };
    return host->set_output(call, 0, host->type(x), 2, dims);
}

static int half_infer(const aval_host *host, aval_call *call)
{
    return scaled_infer(host, call, 1, 2);
}

static int double_infer(const aval_host *host, aval_call *call)
{
    return scaled_infer(host, call, 2, 1);
}

static int scale_forward(const aval_host *host, aval_call *call)
{
    return host->launch(call, AVAL_LAUNCH(.kernel = "scale", .global = { 1 },
                                          AVAL_ARGS(AVAL_READ(host->input(call, 0)), AVAL_WRITE(host->output(call, 0)))));
}

static int scale_backward(const aval_host *host, aval_call *call)
{
    return host->launch(call, AVAL_LAUNCH(.kernel = "scale_backward", .global = { 1 },
                                          AVAL_ARGS(AVAL_READ(host->upstream(call, 0)), AVAL_WRITE(host->gradient(call, 0)))));
}

static int view_infer(const aval_host *host, aval_call *call)
{
    int64_t count = host->count(host->input(call, 0));
    return host->set_output(call, 0, host->type(host->input(call, 0)), 1, &count);
}

static int view_forward(const aval_host *host, aval_call *call)
{
    return host->alias(call, host->output(call, 0), host->input(call, 0), 0);
}

static int view_backward(const aval_host *host, aval_call *call)
{
    return host->alias(call, host->gradient(call, 0), host->upstream(call, 0), 0);
}

/* The rows from the second on. */
static int rest_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    int64_t dims[] = { host->dims(x)[0] - 1, host->dims(x)[1] };
    return host->set_output(call, 0, host->type(x), 2, dims);
}

static int rest_forward(const aval_host *host, aval_call *call)
{
    return host->alias(call, host->output(call, 0), host->input(call, 0), host->dims(host->input(call, 0))[1]);
}

static int update_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *w = host->output(call, 0);
    return host->launch(call, AVAL_LAUNCH(.kernel = "update", .global = { (uint64_t)host->count(w) },
                                          AVAL_ARGS(AVAL_READ(host->input(call, 0)), AVAL_READ(host->input(call, 1)), AVAL_UPDATE(w))));
}

/* The other input is updated, and x may be made by the launch. */
static int adapt_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *w = host->output(call, 0);
    const aval_row_heads *heads = host->extension(call, AVAL_ROW_HEADS);
    int taken = heads->take(call, host->input(call, 0), NULL);
    if (taken < 0) return taken;
    return host->launch(call, AVAL_LAUNCH(.kernel = "adapt", .global = { (uint64_t)host->count(w) },
                                          AVAL_ARGS(AVAL_READ(host->input(call, 0)), AVAL_READ(host->input(call, 1)), AVAL_UPDATE(w),
                                                    AVAL_I64(host->count(w)))));
}

static int product_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *a = host->input(call, 0), *b = host->input(call, 1), *c = host->output(call, 0);
    int64_t n = host->dims(b)[1], k = host->dims(b)[0];
    return host->gemm(call, &(aval_gemm){ .size = sizeof(aval_gemm),
                                          .m = host->dims(a)[0],
                                          .n = n,
                                          .k = k,
                                          .alpha = 1,
                                          .whole = 1,
                                          .a = { .tensor = a, .ld = k },
                                          .b = { .tensor = b, .ld = n },
                                          .c = { .tensor = c, .ld = n } });
}

static int product_infer(const aval_host *host, aval_call *call)
{
    int64_t dims[] = { host->dims(host->input(call, 0))[0], host->dims(host->input(call, 1))[1] };
    return host->set_output(call, 0, host->type(host->input(call, 0)), 2, dims);
}

static int lazy_forward(const aval_host *host, aval_call *call)
{
    (void)host;
    (void)call;
    return 0;
}

static int greedy_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    return host->launch(call, AVAL_LAUNCH(.kernel = "greedy", .global = { 1 }, AVAL_ARGS(AVAL_WRITE(x))));
}

static int forgetful_backward(const aval_host *host, aval_call *call)
{
    return host->launch(call, AVAL_LAUNCH(.kernel = "forgetful", .global = { 1 },
                                          AVAL_ARGS(AVAL_READ(host->input(call, 0)), AVAL_WRITE(host->gradient(call, 0)))));
}

/* 1,000 bytes of local memory a group. */
static int local_forward(const aval_host *host, aval_call *call)
{
    return host->launch(call, AVAL_LAUNCH(.kernel = "local", .global = { 1 },
                                          AVAL_ARGS(AVAL_READ(host->input(call, 0)), AVAL_WRITE(host->output(call, 0)), AVAL_LOCAL(1000))));
}

static int fill_infer(const aval_host *host, aval_call *call)
{
    size_t rank = 0;
    const int64_t *dims = host->attr_ints(call, "dims", &rank);
    return host->set_output(call, 0, (aval_type)host->attr_int(call, "type"), (uint32_t)rank, dims);
}

static int cast_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    return host->set_output(call, 0, (aval_type)host->attr_int(call, "to"), host->rank(x), host->dims(x));
}

static int fill_forward(const aval_host *host, aval_call *call)
{
    return host->fill(call, host->output(call, 0), host->attr_float(call, "value"));
}

#define RECORDER(op_name, in, ...) \
    static const aval_op op_##op_name = { .size = sizeof(aval_op), \
                                          .name = #op_name, \
                                          .since = 1, \
                                          .doc = "Test op.", \
                                          .inputs = in, \
                                          .outputs = RESULT, \
                                          .reference = no_reference, \
                                          .deterministic = 1, \
                                          .samples = in##_SAMPLE, \
                                          __VA_ARGS__ }
#define EXPRESSION(op_name, in, text, ...) \
    static const aval_op op_##op_name = { .size = sizeof(aval_op), \
                                          .name = #op_name, \
                                          .since = 1, \
                                          .doc = "Test op.", \
                                          .inputs = in, \
                                          .outputs = RESULT, \
                                          .expressions = AVAL_TEXTS(text), \
                                          .deterministic = 1, \
                                          .samples = in##_SAMPLE, \
                                          __VA_ARGS__ }

RECORDER(Mix, BINARY, .forward = mix_forward, .backward = mix_backward, .keeps = AVAL_KEEP_INPUT(0) | AVAL_KEEP_INPUT(1), .accumulates = 2);
RECORDER(Meet, HEADED, .forward = mix_forward, .zero_gradient = 3, .no_gradient = "a test's");
RECORDER(Take, HEADED, .forward = take_forward, .zero_gradient = 3, .no_gradient = "a test's");
RECORDER(Pick, PICKED, .forward = take_forward, .zero_gradient = 3, .no_gradient = "a test's");
RECORDER(Rows, ROW_HEADED, .forward = rows_forward, .zero_gradient = 3, .no_gradient = "a test's");
RECORDER(Half, UNARY, .infer = half_infer, .forward = scale_forward, .backward = scale_backward);
RECORDER(Double, UNARY, .infer = double_infer, .forward = scale_forward, .backward = scale_backward);
RECORDER(View, UNARY, .infer = view_infer, .forward = view_forward);
RECORDER(Same, UNARY, .forward = view_forward, .backward = view_backward);
RECORDER(Rest, UNARY, .infer = rest_infer, .forward = rest_forward);
RECORDER(Product, BINARY, .infer = product_infer, .forward = product_forward, .products = AVAL_PRODUCT_OUTPUT(0));
RECORDER(Lazy, UNARY, .forward = lazy_forward);
RECORDER(Greedy, UNARY, .forward = greedy_forward);
RECORDER(Forgetful, UNARY, .forward = view_forward, .backward = forgetful_backward);
RECORDER(Local, UNARY, .forward = local_forward, .backward = scale_backward);
static const aval_op op_Update = { .size = sizeof(aval_op),
                                   .name = "Update",
                                   .since = 1,
                                   .doc = "Test op.",
                                   .inputs = BINARY,
                                   .outputs = AVAL_PORTS({ .name = "y", .updates = AVAL_UPDATES(0) }),
                                   .forward = update_forward,
                                   .reference = no_reference,
                                   .deterministic = 1,
                                   .samples = BINARY_SAMPLE };
static const aval_op op_Adapt = { .size = sizeof(aval_op),
                                  .name = "Adapt",
                                  .since = 1,
                                  .doc = "Test op.",
                                  .inputs = ROW_HEADED,
                                  .outputs = AVAL_PORTS({ .name = "y", .updates = AVAL_UPDATES(1) }),
                                  .forward = adapt_forward,
                                  .reference = no_reference,
                                  .deterministic = 1,
                                  .samples = BINARY_SAMPLE };
static const aval_op op_Step = { .size = sizeof(aval_op),
                                 .name = "Step",
                                 .since = 1,
                                 .doc = "Test op.",
                                 .inputs = BINARY,
                                 .outputs = AVAL_PORTS({ .name = "y", .updates = AVAL_UPDATES(0) }),
                                 .expressions = AVAL_TEXTS("x - 0.1 * w"),
                                 .deterministic = 1,
                                 .samples = BINARY_SAMPLE };
static const aval_op op_Fill = { .size = sizeof(aval_op),
                                 .name = "Fill",
                                 .since = 1,
                                 .doc = "Test op.",
                                 .role = AVAL_ROLE_FILL,
                                 .inputs = AVAL_PORTS({ .name = NULL }),
                                 .outputs = RESULT,
                                 .attrs = AVAL_ATTRS({ .name = "dims", .type = AVAL_ATTR_INTS, .required = 1 },
                                                     { .name = "value", .type = AVAL_ATTR_FLOAT, .required = 1 },
                                                     { .name = "type", .type = AVAL_ATTR_INT, .required = 1 }),
                                 .infer = fill_infer,
                                 .forward = fill_forward,
                                 .reference = no_reference,
                                 .deterministic = 1,
                                 .samples = AVAL_SAMPLES({ .inputs = "", .attrs = "dims=[2] value=1 type=1" }) };
EXPRESSION(Add, BINARY, "x + w", .role = AVAL_ROLE_ADD);
EXPRESSION(Mul, BINARY, "x * w", .role = AVAL_ROLE_NONE);
static const aval_op op_Cast = { .size = sizeof(aval_op),
                                 .name = "Cast",
                                 .since = 1,
                                 .doc = "Test op.",
                                 .role = AVAL_ROLE_CAST,
                                 .inputs = UNARY,
                                 .outputs = RESULT,
                                 .attrs = AVAL_ATTRS({ .name = "to", .type = AVAL_ATTR_INT, .required = 1 }),
                                 .infer = cast_infer,
                                 .expressions = AVAL_TEXTS("x"),
                                 .deterministic = 1,
                                 .samples = AVAL_SAMPLES({ .inputs = "[2]", .attrs = "to=1" }) };
EXPRESSION(Neg, UNARY, "-x", .role = AVAL_ROLE_NONE);

static const aval_plugin plugin = {
    .abi = AVAL_PLUGIN_ABI,
    .size = sizeof(aval_plugin),
    .name = "plan-tests",
    .version = "1",
    .ops = (const aval_op *const[]){ &op_Mix,     &op_Meet, &op_Take,   &op_Pick,      &op_Rows,   &op_View,   &op_Same,  &op_Rest,
                                     &op_Product, &op_Lazy, &op_Greedy, &op_Forgetful, &op_Update, &op_Adapt,  &op_Step,  &op_Fill,
                                     &op_Add,     &op_Mul,  &op_Neg,    &op_Cast,      &op_Half,   &op_Double, &op_Local, NULL },
    .sources = (const aval_kernel_source[]){ { "test.cl", "/* no kernel is built here */" }, { NULL, NULL } }
};

static int choose(void *user, uint32_t device, const aval_gemm *gemm, int type, aval__gemm_choice *choice)
{
    fixture *f = user;
    (void)device;
    (void)gemm;
    (void)type;
    f->n_chosen++;
    *choice = f->choice;
    return 0;
}

static int record(void *user, uint32_t device, const aval_gemm *gemm, int type, const aval__gemm_choice *choice, const aval_tensor *scratch,
                  aval_call *call, const aval_kernel_source **source)
{
    (void)user;
    (void)device;
    (void)type;
    (void)choice;
    static const aval_kernel_source own = { "gemm.cl", "/* a product */" };
    *source = &own;
    return aval__host.launch(call, AVAL_LAUNCH(.kernel = "product", .global = { 1 },
                                               AVAL_ARGS(AVAL_READ(gemm->a.tensor), AVAL_READ(gemm->b.tensor), AVAL_WRITE(gemm->c.tensor),
                                                         AVAL_UPDATE(scratch))));
}

static int pack(void *user, uint32_t device, const aval_gemm *gemm, int type, const aval__gemm_choice *choice, int operand,
                const aval_tensor *to, aval_call *call, const aval_kernel_source **source)
{
    (void)user;
    (void)device;
    (void)type;
    (void)choice;
    static const aval_kernel_source own = { "gemm.cl", "/* a product */" };
    *source = &own;
    return aval__host.launch(call, AVAL_LAUNCH(.kernel = "pack", .global = { 1 },
                                               AVAL_ARGS(AVAL_READ(operand == 0 ? gemm->a.tensor : gemm->b.tensor), AVAL_WRITE(to))));
}

void fixture_open(fixture *f)
{
    *f = (fixture){ 0 };
    cr_assert_eq(aval__registry_create(NULL, &f->registry), 0, "%s", aval_error());
    cr_assert_eq(aval__registry_add(f->registry, &plugin, "harness.c"), 0, "%s", aval_error());
    f->g = aval__graph_create(f->registry, NULL);
    for (int i = 0; i < 2; i++) {
        f->infos[i] = (aval_device_info){ .size = sizeof(aval_device_info),
                                          .platform = "fake",
                                          .name = i ? "second" : "first",
                                          .vendor = "v",
                                          .driver = "1",
                                          .version = "OpenCL 1.2",
                                          .kind = AVAL_DEVICE_CPU,
                                          .address_bits = 64,
                                          .fp64 = 1,
                                          .float_vector_width = 4,
                                          .group = 1,
                                          .max_group = 256,
                                          .local_bytes = 4096,
                                          .alignment_bytes = 64,
                                          .memory_bytes = (uint64_t)1 << 40,
                                          .largest_allocation_bytes = (uint64_t)1 << 38 };
        f->devices[i] = &f->infos[i];
    }
    f->hooks = (aval__plan_hooks){ .user = f, .gemm_choose = choose, .gemm_record = record, .gemm_pack = pack };
    f->request = (aval__plan_request){ .graph = f->g, .devices = f->devices, .n_devices = 1, .hooks = &f->hooks };
}

void fixture_close(fixture *f)
{
    aval_graph_release(f->g);
    aval__registry_release(f->registry);
}

aval__plan *fixture_plan(fixture *f, aval_value *const *wanted, size_t n_wanted)
{
    aval__plan *plan = NULL;
    f->request.wanted = wanted;
    f->request.n_wanted = n_wanted;
    cr_assert_eq(aval__plan_make(&f->request, &plan), 0, "%s", aval_error());
    return plan;
}

int fixture_plan_status(fixture *f, aval_value *const *wanted, size_t n_wanted)
{
    aval__plan *plan = NULL;
    f->request.wanted = wanted;
    f->request.n_wanted = n_wanted;
    int status = aval__plan_make(&f->request, &plan);
    aval__plan_release(plan);
    return status;
}

aval_value *make_input(fixture *f, const char *name, int64_t rows, int64_t columns)
{
    return aval_graph_input(f->g, name, AVAL_FLOAT, AVAL_SHAPE(rows, columns));
}

aval_value *make_state(fixture *f, const char *name, int64_t rows, int64_t columns)
{
    return aval_graph_state(f->g, name, AVAL_FLOAT, AVAL_SHAPE(rows, columns));
}
