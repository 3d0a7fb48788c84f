/* One of two tensors by a condition that is known when planning: the other one, and all that leads to it alone, is not computed.  What ONNX's If
 * becomes. */
#include "support.h"

static int chosen(const aval_host *host, const aval_call *call, size_t *input)
{
    const unsigned char *condition = host->content(call, 0);
    if (condition) *input = *condition ? 1 : 2;
    return condition != NULL;
}

static int choose_infer(const aval_host *host, aval_call *call)
{
    size_t input;
    if (host->count(host->input(call, 0)) != 1)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "the condition has %lld elements, expected 1",
                          (long long)host->count(host->input(call, 0)));
    if (!chosen(host, call, &input)) return host->fail(call, AVAL_NEEDS_CONTENT, "the condition decides which input it is");
    if (host->type(host->input(call, input)) == AVAL_NONE)
        return host->fail(call, AVAL_NEEDS_CONTENT, "the shape of the input that is chosen, number %zu, is not known", input);
    return aval_infer_like(host, call, 0, input);
}

static int choose_body(const aval_host *host, aval_call *call)
{
    size_t input;
    if (!chosen(host, call, &input)) return host->fail(call, AVAL_NEEDS_CONTENT, "the condition decides which input it is");
    return host->yield(call, 0, host->input(call, input));
}

static const aval_op choose = {
    .size = sizeof(aval_op),
    .name = "Choose",
    .domain = "aval",
    .since = 1,
    .doc = "One of two tensors, by a condition that is known when planning; the other one is not computed.",
    .inputs = AVAL_PORTS({ .name = "condition", .types = AVAL_BOOLS, .flags = AVAL_SHAPE_INPUT },
                         { .name = "yes", .types = AVAL_ANY, .flags = AVAL_LAZY }, { .name = "no", .types = AVAL_ANY, .flags = AVAL_LAZY }),
    .outputs = AVAL_PORTS({ .name = "result", .types = AVAL_ANY }),
    .infer = choose_infer,
    .body = choose_body,
    .deterministic = 1,
    .samples = AVAL_SAMPLES({ .inputs = "b[]{1} [2,3] [4]" }, { .inputs = "b[1]{0} [2,3] [4]", .why = "the other input, of another shape" },
                            { .inputs = "b[]{0} [0] []", .why = "an empty tensor that is not taken" }),
};

AVAL_PLUGIN("choose", "0.1.0", NULL, &choose)
