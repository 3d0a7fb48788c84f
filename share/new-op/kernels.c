/* my::NewOp: the elements moved along an axis, in a circle.  Kernels are in new_op.cl.  Change what is here step by step, and run ./check.sh after
 * each (share/doc/aval/docs/writing-operators.md, where aval is installed, leads through it):
 *   1. what goes in and out: ports, attributes, and infer, which gives the outputs' shapes (here none: the output is like the input);
 *   2. the op in plain C (reference): all checks compare with it;
 *   3. the kernel, and forward and backward, which record its launches;
 *   4. samples, the odd cases too; where there is an infer, AVAL_GIVES says in them which shapes come out. */
#include "aval/plugin.h"

#include "new_op.cl.h"

/* One launch in either direction, a work-item a line: the gradient moves back by as much as the elements moved. */
static int record(const aval_host *host, aval_call *call, const aval_tensor *from, const aval_tensor *to, int64_t shift)
{
    aval_split s = aval_split_along(host, call, from, "axis");
    return host->launch(call, AVAL_LAUNCH(.kernel = "new_op_roll", .global = { aval_lines(s) },
                                          AVAL_ARGS(AVAL_READ(from), AVAL_WRITE(to), AVAL_SPLIT(s), AVAL_I64(shift))));
}

static int new_op_forward(const aval_host *host, aval_call *call)
{
    return record(host, call, host->input(call, 0), host->output(call, 0), host->attr_int(call, "shift"));
}

static int new_op_backward(const aval_host *host, aval_call *call)
{
    return record(host, call, host->upstream(call, 0), host->gradient(call, 0), -host->attr_int(call, "shift"));
}

/* What the checks compare with: floats come as double. */
static int new_op_reference(const aval_host *host, aval_call *call)
{
    aval_split s = aval_split_along(host, call, host->input(call, 0), "axis");
    const double *x = host->real(call, host->input(call, 0));
    double *y = host->real(call, host->output(call, 0));
    int64_t shift = host->attr_int(call, "shift");
    for (uint64_t line = 0; line < aval_lines(s); line++)
        for (int64_t i = 0; i < s.length; i++) {
            int64_t to = ((i + shift) % s.length + s.length) % s.length;
            y[aval_line(s, line) + to * s.inner] = x[aval_line(s, line) + i * s.inner];
        }
    return 0;
}

static const aval_op new_op_definition = {
    .size = sizeof(aval_op),
    .name = "NewOp",
    .domain = "my",
    .since = 1,
    .deterministic = 1,
    .doc = "The elements moved along an axis, in a circle.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .attrs = AVAL_ATTRS({ .name = "axis", .type = AVAL_ATTR_INT, .initial = "-1", .doc = "along which, from the end when negative" },
                        { .name = "shift", .type = AVAL_ATTR_INT, .initial = "1", .doc = "by how many places" }),
    .forward = new_op_forward,
    .backward = new_op_backward, /* reads upstream gradients only, so .keeps names no input or output */
    .reference = new_op_reference,
    .samples = AVAL_SAMPLES({ .inputs = "[2,5]" }, { .inputs = "[2,5,3]", .attrs = "shift=-7 axis=1" }, { .inputs = "[]" },
                            { .inputs = "[0,3]" }, { .inputs = "[3,0]" }, { .inputs = "[257,259]", .size_class = AVAL_LARGE }),
};

AVAL_PLUGIN("new_op", "0.1.0", AVAL_SOURCES({ "new_op.cl", new_op_cl }), &new_op_definition)
