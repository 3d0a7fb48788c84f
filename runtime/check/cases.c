/* From a case to its results: made here, run by the runner on every device at once, judged here. */
#include "check/judge.h"
#include "check/referee.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* ---- The runner of this process --------------------------------------------------------------------------------------------- */

typedef struct here {
    aval_context *ctx;
    int status;
    void *results;
    size_t bytes;
} here;

static const aval_device_info *here_device(void *user, size_t device)
{
    const here *h = user;
    return aval__device_info(aval__context_device(h->ctx, device));
}

static size_t here_number(void *user, size_t device)
{
    const here *h = user;
    int64_t number = aval_selected_device(h->ctx, device);
    return number < 0 ? 0 : (size_t)number;
}

static const char *here_compiler(void *user, size_t device)
{
    return here_device(user, device)->platform;
}

static void here_begin(void *user, size_t device, const aval_check_case *c)
{
    here *h = user;
    (void)device;
    aval__free(h->results);
    h->results = NULL;
    h->status = aval_check_run(h->ctx, c, &h->results, &h->bytes);
}

static void here_finish(void *user, size_t device, aval_check_outcome *outcome)
{
    const here *h = user;
    (void)device;
    outcome->status = h->status;
    outcome->message = h->status < 0 ? aval_error() : "";
    outcome->fate = "error";
    outcome->results = h->results;
    outcome->bytes = h->bytes;
}

/* ---- Opening and closing ---------------------------------------------------------------------------------------------------- */

int aval__judge_open(aval__judge *j, aval_context *ctx, const aval_check_options *options, aval_check_function report, void *user)
{
    static const aval_check_options defaults = { .size = sizeof defaults };
    *j = (aval__judge){ .ctx = ctx, .options = options == NULL ? &defaults : options, .report = report, .user = user };
    j->runner = j->options->runner;
    if (j->runner == NULL) {
        AVAL__TRY(aval__context_ready(ctx));
        here *h = aval__alloc(sizeof *h);
        aval_check_runner *runner = aval__alloc(sizeof *runner);
        if (h != NULL) h->ctx = ctx;
        if (runner != NULL)
            *runner = (aval_check_runner){ .size = sizeof *runner,
                                           .user = h,
                                           .n_devices = 1,
                                           .device = here_device,
                                           .number = here_number,
                                           .compiler = here_compiler,
                                           .begin = here_begin,
                                           .finish = here_finish };
        j->runner = j->own_runner = runner;
        if (h == NULL || runner == NULL) {
            aval__free(h);
            aval__free(runner);
            j->own_runner = NULL;
            return AVAL_E_MEMORY;
        }
    }
    j->n_witnesses = j->runner->n_devices;
    j->witnesses = aval__alloc_array(j->n_witnesses + 1, sizeof *j->witnesses);
    return j->witnesses == NULL ? AVAL_E_MEMORY : 0;
}

void aval__judge_close(aval__judge *j)
{
    for (size_t d = 0; j->witnesses != NULL && d < j->n_witnesses; d++) {
        if (j->witnesses[d].remembered != NULL) aval__verdicts_save(j->witnesses[d].remembered);
        aval__verdicts_close(j->witnesses[d].remembered);
    }
    aval__free(j->witnesses);
    if (j->own_runner != NULL) {
        here *h = j->own_runner->user;
        aval__free(h->results);
        aval__free(h);
        aval__free(j->own_runner);
    }
    j->witnesses = NULL;
    j->own_runner = NULL;
}

int aval__judge_verdict(const aval__judge *j)
{
    if (j->failed > 0) return aval__fail(AVAL_E_CHECK, "%zu of %zu comparisons failed", j->failed, j->failed + j->passed);
    const char *op = j->options->op;
    if (j->passed == 0) return aval__fail(AVAL_E_CHECK, "nothing was compared%s%s", op == NULL ? "" : " of ", op == NULL ? "" : op);
    return 0;
}

/* ---- One case ------------------------------------------------------------------------------------------------------------------ */

/* Rasterisers and simulators: far too slow for large samples, and llvmpipe ends loops after 65,535 iterations without a word. */
static bool is_slow(const aval_device_info *info)
{
    static const char *const names[] = { "llvmpipe", "softpipe", "oclgrind" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcasestr(info->name, names[i]) != NULL || strcasestr(info->platform, names[i]) != NULL) return true;
    }
    return false;
}

static bool is_asked(const aval__judge *j, size_t device, const aval_check_case *what)
{
    const aval_device_info *info = j->runner->device(j->runner->user, device);
    if (j->witnesses[device].lost) return false;
    return what->sample->size_class == AVAL_SMALL || !is_slow(info);
}

/* Waits for the device and takes what it says. */
static int hear(aval__judge *j, size_t device)
{
    aval__witness *w = &j->witnesses[device];
    aval_check_outcome outcome = { .size = sizeof outcome, .fate = "error" };
    j->runner->finish(j->runner->user, device, &outcome);
    if (outcome.skip) {
        w->lost = true;
        aval__judge_tell(
            j, device,
            &(aval_check_result){ .what = "run",
                                  .passed = -1,
                                  .message = "not run, nor are the cases behind it, since the device was lost in those before" });
        return 0;
    }
    if (outcome.status == 0) outcome.status = aval__results_unpack(outcome.results, outcome.bytes, &w->results);
    w->ran = outcome.status == 0;
    if (w->ran) return 0;
    if (outcome.status == AVAL_E_MEMORY && j->own_runner != NULL) return AVAL_E_MEMORY;
    const char *message = outcome.message != NULL && outcome.message[0] != 0 ? outcome.message : aval_error();
    snprintf(w->fate, sizeof w->fate, "%s", outcome.fate);
    w->died = w->died || strcmp(w->fate, "error") != 0;
    aval__text_add(&w->trouble, "%s", message);
    return w->trouble.failed ? AVAL_E_MEMORY : 0;
}

/* A case that cannot run is a failed check of this op; where it can on another device, this one is wrong. */
static void tell_troubles(aval__judge *j)
{
    bool any = false;
    for (size_t d = 0; d < j->n_witnesses; d++) any = any || j->witnesses[d].ran;
    for (size_t d = 0; d < j->n_witnesses; d++) {
        aval__witness *w = &j->witnesses[d];
        if (w->trouble.at == NULL) continue;
        const char *blame = any && strcmp(w->fate, "error") == 0 ? "device" : "";
        aval__judge_tell(j, d,
                         &(aval_check_result){
                             .what = "run", .passed = 0, .error = INFINITY, .blame = blame, .message = w->trouble.at, .fate = w->fate });
    }
}

static int prepare_referee(aval__judge *j)
{
    const aval__case *c = j->c;
    j->expected = aval__alloc_array(c->n_outputs + 1, sizeof *j->expected);
    j->differences = aval__alloc_array(c->n_inputs + 1, sizeof *j->differences);
    if (j->expected == NULL || j->differences == NULL) return AVAL_E_MEMORY;
    AVAL__TRY(aval__referee_create(c, &j->referee));
    return aval__referee_forward(j->referee, c->inputs, j->expected);
}

static void dismiss(aval__judge *j)
{
    const aval__case *c = j->c;
    if (j->expected != NULL) aval__host_tensors_release(j->expected, c->n_outputs);
    for (size_t o = 0; j->scales != NULL && o < c->n_outputs; o++) aval__free(j->scales[o]);
    for (size_t i = 0; j->differences != NULL && i < c->n_inputs; i++) aval__differences_release(&j->differences[i], c->n_outputs);
    aval__free(j->expected);
    aval__free(j->scales);
    aval__free(j->differences);
    aval__referee_release(j->referee);
    j->expected = NULL;
    j->scales = NULL;
    j->differences = NULL;
    j->referee = NULL;
    for (size_t d = 0; d < j->n_witnesses; d++) {
        aval__witness *w = &j->witnesses[d];
        aval__results_release(&w->results);
        aval__text_release(&w->log);
        aval__text_release(&w->trouble);
        w->asked = w->ran = w->failed = w->blamed = false;
    }
}

/* Not only in the element type under test: a sample may have an input of doubles, or an attribute that makes them. */
static bool needs_doubles(const aval__case *c)
{
    for (size_t i = 0; i < c->n_inputs; i++)
        if (c->values[i] != NULL && c->values[i]->tensor.type == AVAL_DOUBLE) return true;
    for (size_t o = 0; o < c->n_outputs; o++)
        if (c->outputs[o]->tensor.type == AVAL_DOUBLE) return true;
    return false;
}

/* Whether any device is to run the case; those that cannot for want of doubles say so. */
static bool choose_devices(aval__judge *j)
{
    bool doubles = needs_doubles(j->c), any = false;
    for (size_t d = 0; d < j->n_witnesses; d++) {
        aval__witness *w = &j->witnesses[d];
        w->asked = is_asked(j, d, j->what);
        if (w->asked && doubles && !j->runner->device(j->runner->user, d)->fp64) {
            w->asked = false;
            if (!w->told_doubles || j->row->type != AVAL_DOUBLE)
                aval__judge_tell(j, d, &(aval_check_result){ .what = "run", .passed = -1, .message = "the device has no doubles" });
            w->told_doubles = w->told_doubles || j->row->type == AVAL_DOUBLE; /* of all samples in doubles once */
        }
        any = any || w->asked;
    }
    return any;
}

/* Cases to come that a device may begin before this one is judged: as many as there are other element types. */
#define MOST_EXPECTED 2

static void tell_expected(const aval__judge *j, size_t device)
{
    const aval_check_runner *runner = j->runner;
    if (runner->size < offsetof(aval_check_runner, expect) + sizeof runner->expect || runner->expect == NULL) return;
    const aval_device_info *info = runner->device(runner->user, device);
    for (size_t i = 0; i < j->n_coming && i < MOST_EXPECTED; i++) {
        const aval_check_case *what = &j->coming[i];
        if (is_asked(j, device, what) && (what->type != AVAL_DOUBLE || info->fp64)) runner->expect(runner->user, device, what);
    }
}

/* The devices work while the referee does. */
static int ask_and_judge(aval__judge *j)
{
    if (!choose_devices(j)) return 0;
    for (size_t d = 0; d < j->n_witnesses; d++)
        if (j->witnesses[d].asked) j->runner->begin(j->runner->user, d, j->what);
    for (size_t d = 0; d < j->n_witnesses; d++)
        if (j->witnesses[d].asked) tell_expected(j, d);
    int status = prepare_referee(j);
    if (status == 0) status = aval__judge_prepare(j);
    for (size_t d = 0; d < j->n_witnesses; d++) {
        if (j->witnesses[d].asked && hear(j, d) < 0) status = AVAL_E_MEMORY;
    }
    tell_troubles(j);
    if (status == 0) status = aval__judge_declared(j);
    return status < 0 ? status : aval__judge_case(j);
}

/* What the devices did not run cannot be told of one device: the first stands for all. */
static void tell_referee_failure(aval__judge *j)
{
    for (size_t d = 0; d < j->n_witnesses; d++) {
        if (!j->witnesses[d].asked) continue;
        aval__judge_tell(j, d,
                         &(aval_check_result){ .what = "referee", .passed = 0, .error = INFINITY, .message = aval_error(), .folder = "" });
        return;
    }
}

static int keep_failures(aval__judge *j)
{
    for (size_t d = 0; d < j->n_witnesses && j->options->failures != NULL; d++) {
        if (j->witnesses[d].failed) AVAL__TRY(aval__failure_write(j, d));
    }
    return 0;
}

int aval__check_case(aval__judge *j, const aval_check_case *what, const aval__type_row *row)
{
    aval__case c;
    const char *skip = NULL;
    bool any = false;
    j->what = what;
    j->row = row;
    for (size_t d = 0; d < j->n_witnesses; d++) any = any || is_asked(j, d, what);
    if (!any) return 0;
    j->c = &c;
    int status = aval__case_make(j->ctx, what, &c, &skip), kept = 0;
    if (status == 0 && skip == NULL) status = ask_and_judge(j);
    else j->witnesses[0].asked = true;
    if (status < 0 && status != AVAL_E_MEMORY) {
        tell_referee_failure(j);
        status = 0;
    } else if (status == 0 && skip == NULL) {
        aval__pattern_note(j);
        kept = keep_failures(j);
    }
    dismiss(j);
    aval__case_release(&c);
    j->c = NULL;
    return status < 0 ? status : kept;
}
