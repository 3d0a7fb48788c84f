/* my::NewOp: the elements moved along the last axis, in a circle.  Kernels are in new_op.cl.  Change what is here step by step, and run ./check.sh after
 * each (docs/writing-operators.md of aval leads through it):
 *   1. what goes in and out: ports, attributes, and infer, which gives the outputs' shapes (here none: the output is like the input);
 *   2. the op in plain C (reference): all checks compare with it;
 *   3. the kernel, and forward and backward, which record its launches;
 *   4. samples, the odd cases too. */
#include "aval/plugin.h"

#include "new_op.cl.h"

/* One launch in either direction: the gradient moves back by as much as the elements moved. */
static int record(const aval_host *host, aval_call *call, const aval_tensor *from, const aval_tensor *to, int64_t shift)
{
    uint32_t rank = host->rank(from);
    int64_t length = rank == 0 ? 1 : host->dims(from)[rank - 1], n = host->count(from);
    if (n == 0) return 0; /* nothing to launch */
    return host->launch(call, AVAL_LAUNCH(.kernel = "new_op_roll", .global = { (uint64_t)n },
                                          AVAL_ARGS(AVAL_READ(from), AVAL_WRITE(to), AVAL_I64(n), AVAL_I64(length), AVAL_I64(shift))));
}

static int new_op_forward(const aval_host *host, aval_call *call)
{
    return record(host, call, host->input(call, 0), host->output(call, 0), host->attr_int(call, "shift"));
}

static int new_op_backward(const aval_host *host, aval_call *call)
{
    return record(host, call, host->upstream(call, 0), host->gradient(call, 0), -host->attr_int(call, "shift"));
}

static int new_op_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    uint32_t rank = host->rank(x);
    int64_t length = rank == 0 ? 1 : host->dims(x)[rank - 1], shift = host->attr_int(call, "shift");
    for (int64_t i = 0; i < host->count(x); i++) {
        int64_t to = ((i % length + shift) % length + length) % length;
        host->real(call, y)[i - i % length + to] = host->real(call, x)[i];
    }
    return 0;
}

static const aval_op new_op_definition = {
    .size = sizeof(aval_op),
    .name = "NewOp",
    .domain = "my",
    .since = 1,
    .deterministic = 1,
    .doc = "The elements moved along the last axis, in a circle.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS({ .name = "shift", .type = AVAL_ATTR_INT, .initial = "1", .doc = "by how many places" }),
    .forward = new_op_forward,
    .backward = new_op_backward, /* reads upstream gradients only, so .keeps names no input or output */
    .reference = new_op_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[2,5]" }, { .inputs = "[2,5]", .attrs = "shift=-7" }, { .inputs = "[]" }, { .inputs = "[0,3]" },
                            { .inputs = "[257,259]", .size_class = AVAL_LARGE }),
};

static const aval_op *const ops[] = { &new_op_definition, NULL };
static const aval_kernel_source sources[] = { { .name = "new_op.cl", .text = new_op_cl }, { .name = NULL } };

AVAL_PLUGIN_EXPORT extern const aval_plugin aval_plugin_entry;
const aval_plugin aval_plugin_entry = {
    .abi = AVAL_PLUGIN_ABI, .size = sizeof(aval_plugin), .name = "new_op", .version = "0.1.0", .ops = ops, .sources = sources
};
