/* Verdicts on operators go into the cache folder, for whoever asks later on which devices an operator passes. */
#include "check/judge.h"

#include <stdio.h>
#include <time.h>

int aval__judge_remember(aval__judge *j)
{
    for (size_t d = 0; d < j->n_witnesses; d++) {
        size_t number = j->runner->number(j->runner->user, d);
        if (number >= aval_device_count(j->ctx)) continue; /* the runner's own */
        AVAL__TRY(aval__context_verdicts(j->ctx, number, &j->witnesses[d].remembered));
    }
    return AVAL_OK;
}

int aval__judge_note_op(aval__judge *j, const aval__opdef *def)
{
    const char *extent = j->options->forward_only ? "forward only"
                         : j->options->quick      ? "small samples"
                         : j->options->type       ? "one element type"
                                                  : "";
    aval__text subject = { 0 };
    aval__verdict_subject(&subject, def);
    int status = subject.failed ? AVAL_E_MEMORY : AVAL_OK;
    for (size_t d = 0; status == AVAL_OK && d < j->n_witnesses; d++) {
        aval__witness *w = &j->witnesses[d];
        w->verdict.stamp = aval__plugin_stamp(def);
        w->verdict.when = (int64_t)time(NULL);
        snprintf(w->verdict.extent, sizeof w->verdict.extent, "%s", extent);
        if (w->remembered != NULL) status = aval__verdicts_add(w->remembered, AVAL__VERDICT_CHECK, subject.at, &w->verdict);
        w->verdict = (aval__verdict){ 0 };
    }
    aval__text_release(&subject);
    return status;
}
