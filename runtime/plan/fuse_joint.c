/* The texts that a joint's kernel has instead of those of a cluster's own: parameters by member, and how a work-item finds its member.
 *
 * Shared tensors are p0, o0 ... as in any cluster; those of member m are p1_m, o1_m, q0_m, qo0_m, and n_m is how many elements it has.  What
 * follows finds its member's in p1, o1, q0, qo0.  An input that an output lies over has no parameter of its own. */
#include "plan/fuse.h"

#include <stdio.h>

typedef struct writer {
    const aval__cluster *cluster;
    aval__text *text;
    aval__fused_args *args; /* of parameters */
    size_t member;
    int status;
} writer;

/* A tensor that each member has of its own. */
typedef struct own_tensor {
    char type[48]; /* "__global const float *" */
    const char *pointer, *offset; /* letters */
    size_t index;
    bool written;
} own_tensor;

static own_tensor own_tensor_of(const writer *w, bool written, size_t index)
{
    own_tensor t = { .pointer = written ? "q" : "p", .offset = written ? "qo" : "o", .index = index, .written = written };
    const aval_value *value = written ? w->cluster->outputs[index] : w->cluster->inputs[index];
    snprintf(t.type, sizeof t.type, "__global %s%s *", written ? "" : "const ", aval__fused_type_of(value->tensor.type)->name);
    return t;
}

static bool is_replaced(const aval__cluster *c, size_t input)
{
    for (size_t k = 0; k < c->n_outputs; k++)
        if (c->joint->replaces[k] == input) return true;
    return false;
}

static void each_own_tensor(writer *w, void (*put)(writer *w, const own_tensor *t))
{
    for (size_t i = 0; i < w->cluster->n_inputs; i++) {
        own_tensor t = own_tensor_of(w, false, i);
        if (!(w->cluster->joint->shared >> i & 1) && !is_replaced(w->cluster, i)) put(w, &t);
    }
    for (size_t k = 0; k < w->cluster->n_outputs; k++) {
        own_tensor t = own_tensor_of(w, true, k);
        put(w, &t);
    }
}

/* ---- Parameters -------------------------------------------------------------------------------------------------------------------- */

static void push_arg(writer *w, aval__fused_arg arg)
{
    if (aval__vec_push(w->args, arg) < 0) w->status = AVAL_E_MEMORY;
}

static void put_parameter(writer *w, const own_tensor *t)
{
    aval__text_add(w->text, "%s%s%s%zu_%zu, long %s%zu_%zu", w->args->count > 0 ? ", " : "", t->type, t->pointer, t->index, w->member,
                   t->offset, t->index, w->member);
    push_arg(w, (aval__fused_arg){ .kind = t->written ? AVAL__FUSED_OUTPUT : AVAL__FUSED_INPUT,
                                   .index = (uint32_t)t->index,
                                   .member = (uint32_t)w->member });
}

int aval__fuse_joint_parameters(const aval__cluster *cluster, aval__text *parameters, aval__fused_args *args)
{
    writer w = { .cluster = cluster, .text = parameters, .args = args };
    for (w.member = 0; w.member < cluster->joint->n_members; w.member++) {
        each_own_tensor(&w, put_parameter);
        aval__text_add(parameters, ", long n_%zu", w.member);
        push_arg(&w, (aval__fused_arg){ .kind = AVAL__FUSED_LONG, .origin = AVAL__FUSED_MEMBER, .member = (uint32_t)w.member });
    }
    return w.status;
}

/* What is read where it is written later. */
static void put_replaced(const writer *w)
{
    for (size_t k = 0; k < w->cluster->n_outputs; k++) {
        uint32_t input = w->cluster->joint->replaces[k];
        if (input == UINT32_MAX) continue;
        own_tensor t = own_tensor_of(w, false, input);
        aval__text_add(w->text, "        %sconst p%zu = q%zu;\n        const long o%zu = qo%zu;\n", t.type, t.index, k, t.index, k);
    }
}

/* ---- Chunks, on CPUs ------------------------------------------------------------------------------------------------------------------ */

static void put_names(const writer *w, const char *letter, size_t index)
{
    for (size_t m = 0; m < w->cluster->joint->n_members; m++) aval__text_add(w->text, "%s%s%zu_%zu", m > 0 ? ", " : "", letter, index, m);
    aval__text_add(w->text, " };\n");
}

static void put_table(writer *w, const own_tensor *t)
{
    aval__text_add(w->text, "    %sconst all_%s%zu[] = { ", t->type, t->pointer, t->index);
    put_names(w, t->pointer, t->index);
    aval__text_add(w->text, "    const long all_%s%zu[] = { ", t->offset, t->index);
    put_names(w, t->offset, t->index);
}

static void put_entry(writer *w, const own_tensor *t)
{
    aval__text_add(w->text, "        %sconst %s%zu = all_%s%zu[m];\n        const long %s%zu = all_%s%zu[m];\n", t->type, t->pointer,
                   t->index, t->pointer, t->index, t->offset, t->index, t->offset, t->index);
}

void aval__fuse_joint_chunk(const aval__cluster *cluster, aval__text *body)
{
    writer w = { .cluster = cluster, .text = body };
    size_t n = cluster->joint->n_members;
    each_own_tensor(&w, put_table);
    aval__text_add(body, "    const long sizes[] = { n_0");
    for (size_t m = 1; m < n; m++) aval__text_add(body, ", n_%zu", m);
    aval__text_add(body,
                   " };\n"
                   "    long start = 0;\n"
                   "    for (int m = 0; m < %zu; start += sizes[m++]) {\n"
                   "        const long i = max(first - start, 0L), run = min(end - start, sizes[m]) - i;\n"
                   "        if (run <= 0) continue;\n",
                   n);
    each_own_tensor(&w, put_entry);
    put_replaced(&w);
}

/* ---- Single elements ------------------------------------------------------------------------------------------------------------------ */

/* GPUs would keep tables in memory, and all but few work-groups are within one member. */
static void put_first(writer *w, const own_tensor *t)
{
    aval__text_add(w->text, "    %s%s%zu = %s%zu_0;\n    long %s%zu = %s%zu_0;\n", t->type, t->pointer, t->index, t->pointer, t->index,
                   t->offset, t->index, t->offset, t->index);
}

static void put_choice(writer *w, const own_tensor *t)
{
    aval__text_add(w->text, "        %s%zu = %s%zu_%zu;\n        %s%zu = %s%zu_%zu;\n", t->pointer, t->index, t->pointer, t->index,
                   w->member, t->offset, t->index, t->offset, t->index, w->member);
}

void aval__fuse_joint_element(const aval__cluster *cluster, aval__text *body)
{
    writer w = { .cluster = cluster, .text = body };
    const unsigned step = AVAL__JOINT_STEP;
    aval__text_add(body, "    const INDEX id = (INDEX)get_global_id(0);\n    INDEX start = 0, next = 0, size = (INDEX)n_0;\n");
    each_own_tensor(&w, put_first);
    for (w.member = 1; w.member < cluster->joint->n_members; w.member++) {
        aval__text_add(body,
                       "    next += ((INDEX)n_%zu + %u) / %u * %u;\n"
                       "    if (id >= next) {\n"
                       "        start = next;\n"
                       "        size = (INDEX)n_%zu;\n",
                       w.member - 1, step - 1, step, step, w.member);
        each_own_tensor(&w, put_choice);
        aval__text_add(body, "    }\n");
    }
    aval__text_add(body, "    const INDEX i = id - start;\n    if (i < size) {\n");
    put_replaced(&w);
}
