/* Checking operators: every sample in every float type that a device has, forward and gradients. */
#include "check/judge.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Which inputs' gradients could have been wrong without any sample showing it? */
static void tell_unmoved(aval__judge *j, const aval__opdef *def)
{
    for (size_t port = 0; port < def->n_inputs && port < AVAL_MAX_PORTS; port++) {
        aval__text message = { 0 };
        if (((j->compared_ports & ~j->moved_ports) >> port & 1) == 0) continue;
        aval__text_add(&message, "the gradient by input %s is zero in every sample: no error in it could be seen",
                       def->op->inputs[port].name);
        aval__judge_tell(j, 0, &(aval_check_result){ .what = "coverage", .passed = 0, .error = INFINITY, .message = message.at });
        aval__text_release(&message);
    }
}

/* A check that compared nothing has not passed, unless only one element type was asked for. */
static void tell_uncompared(aval__judge *j)
{
    const bool one_type = j->options->type != AVAL_NONE;
    for (size_t d = 0; d < j->n_witnesses; d++) {
        if (j->witnesses[d].compared || j->witnesses[d].died) continue;
        aval__judge_tell(j, d,
                         &(aval_check_result){ .what = "coverage",
                                               .passed = one_type ? -1 : 0,
                                               .error = one_type ? 0 : INFINITY,
                                               .message = one_type ? "no sample of this operator has this element type"
                                                                   : "no sample of this operator was compared" });
    }
}

/* halves of large samples have ties wherever one looks */
static bool is_wanted(const aval__type_row *row, const aval_sample *sample, const aval_check_options *options)
{
    if (options->type != AVAL_NONE && options->type != row->type) return false;
    if (sample->size_class == AVAL_SMALL) return true;
    return !options->quick && row->type != AVAL_FLOAT16;
}

/* Every sample in every element type that is wanted; *cases and *rows for aval__free, after a failure too. */
static int list_cases(const aval_check_case *first, const aval__opdef *def, const aval_check_options *options, aval_check_case **cases,
                      const aval__type_row ***rows, size_t *n)
{
    size_t samples = 0, types = 0;
    while (def->op->samples[samples].inputs != NULL) samples++;
    while (aval__type_rows[types].name != NULL) types++;
    *cases = aval__alloc_array(samples * types + 1, sizeof **cases);
    *rows = aval__alloc_array(samples * types + 1, sizeof **rows);
    *n = 0;
    if (*cases == NULL || *rows == NULL) return AVAL_E_MEMORY;
    for (size_t s = 0; s < samples; s++) {
        for (const aval__type_row *row = aval__type_rows; row->name != NULL; row++) {
            if (!is_wanted(row, &def->op->samples[s], options)) continue;
            (*rows)[*n] = row;
            (*cases)[*n] = *first;
            (*cases)[*n].sample = &def->op->samples[s];
            if (s == 0 && options->size > offsetof(aval_check_options, first_repeats) && options->first_repeats > first->repeats)
                (*cases)[*n].repeats = options->first_repeats;
            (*cases)[(*n)++].type = row->type;
        }
    }
    return 0;
}

static int check_op(aval__judge *j, const aval__opdef *def, bool newest)
{
    aval_check_case *cases = NULL;
    const aval__type_row **rows = NULL;
    size_t n = 0;
    aval__text label = { 0 };
    aval__opdef_label(&label, def);
    if (!newest) aval__text_add(&label, "@%u", (unsigned)def->op->since);
    char *op = aval__text_take(&label);
    if (op == NULL) return AVAL_E_MEMORY;
    aval_check_case what = {
        .size = sizeof what, .op = op, .seed = j->options->seed, .forward_only = j->options->forward_only, .repeats = j->options->repeats
    };
    j->compared_ports = j->moved_ports = 0;
    j->forward_failed = false;
    j->diagnosed = 0;
    for (size_t d = 0; d < j->n_witnesses; d++) {
        aval__witness *w = &j->witnesses[d];
        w->compared = w->died = w->lost = w->told_doubles = false;
    }
    int status = list_cases(&what, def, j->options, &cases, &rows, &n);
    for (size_t k = 0; k < n && status == 0; k++) {
        j->coming = &cases[k + 1];
        j->n_coming = n - k - 1;
        status = aval__check_case(j, &cases[k], rows[k]);
    }
    j->n_coming = 0;
    if (status < 0) goto done;
    what.sample = &def->op->samples[0];
    what.type = n == 0 ? what.type : cases[n - 1].type;
    j->what = &what; /* of what is told of the op as a whole */
    j->row = &aval__type_rows[0];
    for (const aval__type_row *row = aval__type_rows; row->name != NULL; row++)
        if (row->type == j->options->type) j->row = row;
    if (j->options->type == AVAL_NONE) tell_unmoved(j, def); /* samples of other types may show what these don't */
    aval__judge_tell_undeclared(j, def);
    aval__pattern_tell(j, def);
    tell_uncompared(j);
    status = newest ? aval__judge_note_op(j, def) : 0;
done:
    j->what = NULL;
    aval__free(rows);
    aval__free(cases);
    aval__free(op);
    return status;
}

/* The op of this label and its older forms. */
static int check_forms(aval__judge *j, const aval__opdef *newest)
{
    const aval__registry *registry = aval__context_registry(j->ctx);
    aval__text label = { 0 };
    aval__opdef_label(&label, newest);
    char *name = aval__text_take(&label);
    int status = name == NULL ? AVAL_E_MEMORY : check_op(j, newest, true);
    for (const aval__opdef *def = newest; def != NULL && def->op->since > 1 && status == 0;) {
        def = aval__registry_find(registry, name, def->op->since - 1);
        if (def != NULL && strcmp(def->domain, newest->domain) == 0) status = check_op(j, def, false);
    }
    aval__free(name);
    return status;
}

int aval__check_fail_unknown(const aval__registry *registry, const char *op)
{
    char hint[128];
    aval__registry_hint(registry, op, hint, sizeof hint);
    return aval__fail(AVAL_E_UNKNOWN, "there is no operator '%s'%s; `aval ops` lists them", op, hint);
}

int aval_check_ops(aval_context *ctx, const aval_check_options *options, aval_check_function report, void *user)
{
    AVAL__NEED(ctx, "a context");
    aval__judge j;
    int status = aval__judge_open(&j, ctx, options, report, user);
    aval_op_count(ctx); /* loads the plugins, if that has not happened yet */
    const aval__registry *registry = aval__context_registry(ctx);
    const char *op = options == NULL ? NULL : options->op;
    if (status < 0) goto done;
    AVAL__TRY_DONE(aval__judge_remember(&j));
    if (op != NULL) {
        const aval__opdef *def = aval__registry_find(registry, op, 0);
        if (def == NULL) AVAL__TRY_DONE(aval__check_fail_unknown(registry, op));
        AVAL__TRY_DONE(strchr(op, '@') != NULL ? check_op(&j, def, false) : check_forms(&j, def));
    }
    for (size_t i = 0; op == NULL && i < aval__registry_count(registry); i++)
        AVAL__TRY_DONE(check_forms(&j, aval__registry_at(registry, i)));
    status = aval__judge_verdict(&j);
done:
    aval__judge_close(&j);
    return status;
}
