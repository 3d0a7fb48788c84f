/* What the failing cases of an operator have in common: each trait of a case is counted with failures and without.  A trait that all failing cases
 * have, and no passing one, is told at the operator's end.  It separates what was seen: no proof. */
#include "check/judge.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MOST_TOLD 3

/* The largest count of elements of the case's tensors; 0 when there are only empty ones. */
static int64_t largest_tensor(const aval__case *c)
{
    int64_t most = 0;
    for (size_t i = 0; i < c->n_inputs; i++) {
        int64_t n = c->values[i] == NULL ? 0 : aval__tensor_count(&c->inputs[i].tensor);
        if (n > most) most = n;
    }
    for (size_t o = 0; o < c->n_outputs; o++) {
        int64_t n = aval__tensor_count(&c->outputs[o]->tensor);
        if (n > most) most = n;
    }
    return most;
}

static int32_t largest_rank(const aval__case *c)
{
    int32_t rank = 0;
    for (size_t i = 0; i < c->n_inputs; i++) {
        if (c->values[i] != NULL && c->inputs[i].tensor.rank > rank) rank = c->inputs[i].tensor.rank;
    }
    return rank;
}

static bool is_double(const aval__case *c)
{
    return c->type == AVAL_DOUBLE;
}

static bool is_half(const aval__case *c)
{
    return c->type == AVAL_FLOAT16;
}

static bool is_single(const aval__case *c)
{
    return c->type == AVAL_FLOAT;
}

static bool has_empty(const aval__case *c)
{
    for (size_t i = 0; i < c->n_inputs; i++) {
        if (c->values[i] != NULL && aval__tensor_count(&c->inputs[i].tensor) == 0) return true;
    }
    return false;
}

static bool has_scalar(const aval__case *c)
{
    return c->n_inputs > 0 && c->values[0] != NULL && c->inputs[0].tensor.rank == 0;
}

static bool has_highest_rank(const aval__case *c)
{
    return largest_rank(c) == AVAL_MAX_RANK;
}

static bool has_high_rank(const aval__case *c)
{
    return largest_rank(c) > 4;
}

static bool is_above_16_bits(const aval__case *c)
{
    return largest_tensor(c) > 65536;
}

static bool is_one_element(const aval__case *c)
{
    return largest_tensor(c) == 1;
}

static bool has_ties(const aval__case *c)
{
    return c->kinked;
}

static bool has_batch_of_one(const aval__case *c)
{
    return c->n_inputs > 0 && c->values[0] != NULL && c->inputs[0].tensor.rank > 1 && c->inputs[0].tensor.dims[0] == 1;
}

static bool has_rest_of_group(const aval__case *c)
{
    return largest_tensor(c) % 64 != 0;
}

static bool is_broadcast(const aval__case *c)
{
    for (size_t i = 1; i < c->n_inputs; i++) {
        if (c->values[0] == NULL || c->values[i] == NULL) continue;
        if (!aval__tensor_same_shape(&c->inputs[0].tensor, &c->inputs[i].tensor)) return true;
    }
    return false;
}

static const struct {
    bool (*has)(const aval__case *c);
    const char *name;
} traits[] = {
    { is_half, "type float16" },
    { is_double, "type double" },
    { is_single, "type float" },
    { has_empty, "an empty input" },
    { has_scalar, "a scalar as first input (rank 0)" },
    { has_highest_rank, "the highest rank, 8" },
    { has_high_rank, "more than 4 axes" },
    { is_above_16_bits, "more than 2^16 elements" },
    { has_batch_of_one, "a first axis of length 1 (batch 1)" },
    { has_ties, "ties or kinks" },
    { has_rest_of_group, "a count of elements that is no multiple of 64 (the work-group)" },
    { is_one_element, "a single element" },
    { is_broadcast, "inputs of different shapes (broadcast)" },
};
#define TRAITS (sizeof traits / sizeof *traits)
_Static_assert(TRAITS + 2 * AVAL_MAX_PORTS <= AVAL__MOST_TRAITS, "a place for each trait: the table's, attributes given, inputs absent");

static bool is_given(const aval__case *c, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = c->sample->attrs; at != NULL && (at = strstr(at, name)) != NULL; at += length) {
        if (at[length] == '=' && (at == c->sample->attrs || at[-1] == ' ')) return true;
    }
    return false;
}

void aval__pattern_note(aval__judge *j)
{
    const aval__case *c = j->c;
    bool has[AVAL__MOST_TRAITS] = { false };
    for (size_t t = 0; t < TRAITS; t++) has[t] = traits[t].has(c);
    for (size_t a = 0; c->def->op->attrs != NULL && c->def->op->attrs[a].name != NULL && a < AVAL_MAX_PORTS; a++)
        has[TRAITS + a] = is_given(c, c->def->op->attrs[a].name);
    for (size_t i = 0; i < c->def->n_inputs && i < AVAL_MAX_PORTS; i++)
        has[TRAITS + AVAL_MAX_PORTS + i] = i >= c->n_inputs || c->values[i] == NULL;
    bool empty = true; /* nothing was computed: that passes with any mistake */
    for (size_t o = 0; o < c->n_outputs; o++) empty = empty && aval__tensor_count(&c->outputs[o]->tensor) == 0;
    for (size_t d = 0; d < j->n_witnesses; d++) {
        aval__pattern *p = &j->witnesses[d].pattern;
        bool failed = j->witnesses[d].failed;
        if (!j->witnesses[d].asked || (empty && !failed)) continue;
        *(failed ? &p->failed : &p->passed) += 1;
        p->blamed_on_device += failed && j->witnesses[d].blamed;
        for (size_t t = 0; t < AVAL__MOST_TRAITS; t++) *(failed ? &p->traits[t].failed : &p->traits[t].passed) += has[t];
    }
}

static void put_trait(aval__text *text, const aval__opdef *def, size_t t)
{
    if (t < TRAITS) aval__text_add(text, "%s", traits[t].name);
    else if (t < TRAITS + AVAL_MAX_PORTS) aval__text_add(text, "attribute %s given", def->op->attrs[t - TRAITS].name);
    else aval__text_add(text, "input %s absent", def->op->inputs[t - TRAITS - AVAL_MAX_PORTS].name);
}

/* Its text, when something separates the failing cases. */
static void describe(const aval__pattern *p, const aval__opdef *def, aval__text *text)
{
    size_t told = 0;
    for (size_t t = 0; t < AVAL__MOST_TRAITS && told < MOST_TOLD; t++) {
        if (p->traits[t].failed != p->failed || p->traits[t].passed > 0) continue;
        aval__text_add(text, told++ == 0 ? "wrong only with " : ", or with ");
        put_trait(text, def, t);
    }
    if (told > 0)
        aval__text_add(text, ": %u of %u cases fail, and all of the failing ones have it, none of the others", p->failed,
                       p->failed + p->passed);
}

void aval__pattern_tell(aval__judge *j, const aval__opdef *def)
{
    for (size_t d = 0; d < j->n_witnesses; d++) {
        aval__text text = { 0 };
        aval__pattern *p = &j->witnesses[d].pattern;
        if (p->failed > 0 && p->passed > 0 && !j->witnesses[d].died) describe(p, def, &text);
        if (text.at != NULL && !text.failed) {
            const char *blame = p->blamed_on_device == p->failed ? "device" : "";
            aval__judge_tell(j, d,
                             &(aval_check_result){ .what = "pattern", .passed = 0, .error = INFINITY, .blame = blame, .message = text.at });
        }
        aval__text_release(&text);
        *p = (aval__pattern){ 0 };
    }
}
