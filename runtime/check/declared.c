/* Shapes that a sample says its outputs have, against those that infer gives.  Kernels and reference fill what infer says, so that nothing else shows a
 * wrong one: not even the elements, where their number is right. */
#include "check/judge.h"

#include <math.h>
#include <string.h>

const char *aval__sample_outputs(const aval_sample *sample)
{
    const aval_sample_more *more = sample->more;
    return more == NULL ? NULL : more->outputs;
}

static void tell(aval__judge *j, const char *what, int passed, const char *message)
{
    size_t first = 0; /* nothing of a device is in it: the first that would run the case stands for all */
    while (first + 1 < j->n_witnesses && j->witnesses[first].lost) first++;
    aval__judge_tell(j, first, &(aval_check_result){ .what = what, .passed = passed, .error = passed ? 0 : INFINITY, .message = message });
}

/* Output o is not what the sample says; the text says how. */
static bool is_wrong(const aval__case *c, size_t o, const aval__sample_input *said, aval__text *text)
{
    const aval_tensor *found = &c->outputs[o]->tensor;
    aval_tensor expected = said->tensor;
    if (said->absent) return false;
    if (said->follows) expected.type = c->type;
    if (found->type == expected.type && aval__tensor_same_shape(found, &expected)) return false;
    aval__text_add(text, "output %s is ", c->output_names[o]);
    aval__tensor_print(text, found);
    aval__text_add(text, " by %s, but the sample says ", c->def->op->infer != NULL ? "infer" : "the rule that stands in for .infer");
    aval__tensor_print(text, &expected);
    return true;
}

int aval__judge_declared(aval__judge *j)
{
    aval__case *c = j->c;
    const char *outputs = aval__sample_outputs(c->sample);
    aval__sample_input *said;
    aval__text text = { 0 };
    size_t count, wrong = 0;
    if (outputs == NULL) return 0;
    AVAL__TRY(aval__sample_parse(&c->arena, outputs, &said, &count));
    for (size_t o = 0; o < count && o < c->n_outputs && wrong == 0; o++) wrong += is_wrong(c, o, &said[o], &text);
    if (count > c->n_outputs) aval__text_add(&text, "there are %zu outputs, but the sample says %zu", c->n_outputs, count);
    int status = text.failed ? AVAL_E_MEMORY : 0;
    if (status == 0) tell(j, "shapes", text.length == 0, text.at);
    aval__text_release(&text);
    return status;
}

/* Nobody says a shape of an op without infer: where its kernels and its reference mean another than that of the input, what they leave unwritten, or write
 * outside, is all that shows. */
static void tell_alike(aval__judge *j, const aval__opdef *def)
{
    aval__text text = { 0 };
    if (!j->forward_failed) return;
    aval__text_add(&text,
                   "the operator has no .infer, so output %s has the shape and the type of input %s: if it is meant to have others, say "
                   "them in .infer",
                   def->op->outputs[0].name, def->op->inputs[0].name);
    if (text.at != NULL && !text.failed) tell(j, "shapes", -1, text.at);
    aval__text_release(&text);
}

/* An op of kernels without backward passes its check whatever its gradient is to be. */
static void tell_no_gradient(aval__judge *j, const aval__opdef *def)
{
    const aval_op *op = def->op;
    bool any = false;
    for (size_t i = 0; i < def->n_inputs; i++)
        any = any || ((op->inputs[i].types == 0 || op->inputs[i].types & AVAL_FLOATS) && !(op->zero_gradient >> i & 1));
    if (op->backward != NULL || op->backward_body != NULL || !any || j->options->forward_only) return;
    tell(j, "gradient", -1,
         "the operator has no .backward, so it has no gradient and none was compared: where it is 0, say so in .zero_gradient");
}

bool aval__op_is_held(const aval__opdef *def)
{
    return def->domain[0] == 0 || strcmp(def->domain, "aval") == 0;
}

void aval__judge_tell_undeclared(aval__judge *j, const aval__opdef *def)
{
    if (def->kind != AVAL__KERNELS || aval__op_is_held(def)) return;
    tell_no_gradient(j, def);
    if (def->op->infer == NULL) {
        tell_alike(j, def);
        return;
    }
    for (size_t s = 0; def->op->samples[s].inputs != NULL; s++) {
        if (aval__sample_outputs(&def->op->samples[s]) != NULL) return;
    }
    tell(j, "shapes", -1,
         "no sample says which shapes its outputs have, so infer is held against nothing: write AVAL_GIVES(\"[...]\") into one");
}
