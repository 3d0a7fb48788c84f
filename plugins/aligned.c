/* Operators of two tensors as they were before opset 7: B did not broadcast by itself, but by the attributes broadcast and axis, the axis of A
 * that the first one of B lies along.  Each is a body of today's form. */
#include "elementwise.h"

#include "support.h"

/* B with as many axes of length 1 behind it as put its first one at `axis` of A. */
static int align(const aval_host *host, aval_call *call, const aval_tensor **b)
{
    const aval_tensor *a = host->input(call, 0);
    int64_t dims[AVAL_MAX_RANK], axis = aval_axis(host->attr_int(call, "axis"), host->rank(a));
    uint32_t rank = host->rank(*b), wanted = host->rank(a) - (uint32_t)axis;
    if (axis < 0 || rank > wanted)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT,
                          "attribute axis is %lld, but from there on A (%u axes) has no room for B (%u axes)",
                          (long long)host->attr_int(call, "axis"), (unsigned)host->rank(a), (unsigned)rank);
    for (uint32_t i = 0; i < wanted; i++) dims[i] = i < rank ? host->dims(*b)[i] : 1;
    return reshaped(host, call, *b, wanted, dims, b);
}

static int apply_aligned(const aval_host *host, aval_call *call, const char *op)
{
    const aval_tensor *inputs[] = { host->input(call, 0), host->input(call, 1) }, *y;
    if (host->attr_int(call, "broadcast") != 0 && host->attr_given(call, "axis")) TRY(align(host, call, &inputs[1]));
    TRY(host->apply(call, op, NULL, 2, inputs, 1, &y));
    return host->yield(call, 0, y);
}

static int infer_a(const aval_host *host, aval_call *call)
{
    return aval_infer_like(host, call, 0, 0);
}

static int infer_bool(const aval_host *host, aval_call *call)
{
    const aval_tensor *a = host->input(call, 0);
    return host->set_output(call, 0, AVAL_BOOL, host->rank(a), host->dims(a));
}

#define ALIGNED(variable, op_name, its_types, result_types, infers, ...) \
    static int body_##variable(const aval_host *host, aval_call *call) \
    { \
        return apply_aligned(host, call, op_name); \
    } \
    static const aval_op variable = { \
        .size = sizeof(aval_op), \
        .name = op_name, \
        .since = 1, \
        .deterministic = 1, \
        .infer = infers, \
        .body = body_##variable, \
        .doc = "The older form, in which B broadcasts by attributes.", \
        .inputs = AVAL_PORTS(PORT("A", its_types), PORT_LIKE("B", its_types, 0)), \
        .outputs = AVAL_PORTS(PORT("C", result_types)), \
        .attrs = AVAL_ATTRS({ .name = "broadcast", .type = AVAL_ATTR_INT, .initial = "0", .doc = "1: B may have fewer axes than A" }, \
                            { .name = "axis", .type = AVAL_ATTR_INT, .doc = "the axis of A that the first of B lies along" }), \
        .samples = AVAL_SAMPLES(__VA_ARGS__), \
    }
#define SHAPES(low_b, high_b) \
    { .inputs = "[2,3]{0.5..2} [2,3]{" low_b ".." high_b "}" }, \
        { .inputs = "[2,3,4]{0.5..2} [3]{" low_b ".." high_b "}", .attrs = "broadcast=1 axis=1" }, \
        { .inputs = "[2,3,4]{0.5..2} [3,4]{" low_b ".." high_b "}", .attrs = "broadcast=1" }, \
    { \
        .inputs = "[0,3] [3]", .attrs = "broadcast=1 axis=-1" \
    }
#define ARITHMETIC(variable, op_name) ALIGNED(variable, op_name, AVAL_NUMBERS, AVAL_NUMBERS, infer_a, SHAPES("0.5", "2"))
#define COMPARISON(variable, op_name) ALIGNED(variable, op_name, AVAL_ANY, AVAL_BOOLS, infer_bool, SHAPES("0", "1"))
#define LOGIC(variable, op_name) \
    ALIGNED(variable, op_name, AVAL_BOOLS, AVAL_BOOLS, infer_bool, { .inputs = "b[2,3] b[2,3]" }, \
            { .inputs = "b[2,3,4] b[3]", .attrs = "broadcast=1 axis=1" })

ARITHMETIC(add, "Add");
ARITHMETIC(sub, "Sub");
ARITHMETIC(mul, "Mul");
ARITHMETIC(division, "Div");
ARITHMETIC(power, "Pow");
COMPARISON(equal, "Equal");
COMPARISON(greater, "Greater");
COMPARISON(less, "Less");
LOGIC(both, "And");
LOGIC(any, "Or");
LOGIC(one, "Xor");

/* One slope for all, or one a channel: axis 1. */
static int body_prelu(const aval_host *host, aval_call *call)
{
    const aval_tensor *inputs[] = { host->input(call, 0), host->input(call, 1) }, *y;
    uint32_t rank = host->rank(inputs[0]);
    int64_t dims[AVAL_MAX_RANK];
    for (uint32_t i = 1; i < rank; i++) dims[i - 1] = i == 1 ? host->count(inputs[1]) : 1;
    if (host->count(inputs[1]) != 1) {
        if (rank < 2 || host->rank(inputs[1]) != 1)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input slope has %lld elements, expected 1, or one for each channel of X",
                              (long long)host->count(inputs[1]));
        TRY(reshaped(host, call, inputs[1], rank - 1, dims, &inputs[1]));
    }
    TRY(host->apply(call, "PRelu", NULL, 2, inputs, 1, &y));
    return host->yield(call, 0, y);
}

static const aval_op prelu = {
    .size = sizeof(aval_op),
    .name = "PRelu",
    .since = 1,
    .deterministic = 1,
    .body = body_prelu,
    .doc = "The older form, whose slope is one number, or one for each channel.",
    .inputs = AVAL_PORTS(REAL("X"), REAL_LIKE("slope", 0)),
    .outputs = AVAL_PORTS(REAL("Y")),
    .subgradient = "slope at X = 0",
    .samples = AVAL_SAMPLES({ .inputs = "[2,3,4] [3]" }, { .inputs = "[2,3] [1]" }, { .inputs = "[0,3,2] [3]" }),
};

AVAL_PLUGIN("aligned", "0.1.0", NULL, &add, &sub, &mul, &division, &power, &equal, &greater, &less, &both, &any, &one, &prelu)
