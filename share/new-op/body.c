/* my::NewOp: the mean of the squares of all elements, built from ops that exist, whose gradients give its gradient.
 * Change body, infer, words and samples, and run ./check.sh; share/doc/aval/docs/writing-operators.md, where aval is installed, leads through it. */
#include "aval/plugin.h"

/* The output's shape: a scalar. */
static int new_op_infer(const aval_host *host, aval_call *call)
{
    return host->set_output(call, 0, host->type(host->input(call, 0)), 0, NULL);
}

static int new_op_body(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *square, *mean;
    int status = host->apply(call, "Mul", NULL, 2, (const aval_tensor *const[]){ x, x }, 1, &square);
    if (status == 0) status = host->apply(call, "ReduceMean", "keepdims=0", 1, &square, 1, &mean);
    return status == 0 ? host->yield(call, 0, mean) : status;
}

static const aval_op new_op_definition = {
    .size = sizeof(aval_op),
    .name = "NewOp",
    .domain = "my",
    .since = 1,
    .deterministic = 1,
    .doc = "The mean of the squares of all elements.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .infer = new_op_infer,
    .body = new_op_body,
    .samples = AVAL_SAMPLES({ .inputs = "[2,5]" }, { .inputs = "[]" }, { .inputs = "[64,64]" },
                            { .inputs = "[512,1024]", .size_class = AVAL_LARGE }),
};

AVAL_PLUGIN("new_op", "0.1.0", NULL, &new_op_definition)
