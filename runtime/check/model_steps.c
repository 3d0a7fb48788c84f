/* A model over its steps: each device against the leader, the referee and itself. */
#include "check/model_judge.h"

#include <math.h>
#include <string.h>

/* ---- Lines -------------------------------------------------------------------------------------------------------------------------- */

static aval__model_line *line_of(aval__model_judge *j, const char *name)
{
    for (size_t i = 0; i < j->lines.count; i++) {
        if (strcmp(j->lines.at[i].name, name) == 0) return &j->lines.at[i];
    }
    aval__model_line line = { .name = aval__copy_text(name) };
    line.error = aval__alloc_array(j->n + 1, sizeof *line.error);
    line.step = aval__alloc_array(j->n + 1, sizeof *line.step);
    line.amplified = aval__alloc_array(j->n + 1, sizeof *line.amplified);
    if (line.name == NULL || line.error == NULL || line.step == NULL || line.amplified == NULL || aval__vec_push(&j->lines, line) < 0) {
        aval__free(line.name);
        aval__free(line.error);
        aval__free(line.step);
        aval__free(line.amplified);
        return NULL;
    }
    for (size_t d = 0; d < j->n; d++) line.error[d] = -1;
    return &j->lines.at[j->lines.count - 1];
}

static int note(aval__model_judge *j, size_t device, const char *name, double error, bool amplified)
{
    aval__model_line *line = line_of(j, name);
    if (line == NULL) return AVAL_E_MEMORY;
    if (error > line->error[device]) {
        line->error[device] = error;
        line->step[device] = j->step;
    }
    line->amplified[device] = line->amplified[device] || amplified;
    return AVAL_OK;
}

/* ---- The referee's part --------------------------------------------------------------------------------------------------------------- */

static void dismiss_referees(aval__model_judge *j)
{
    for (size_t i = 0; j->referees != NULL && i < j->refereed.at.count; i++) {
        aval__interpretation_release(&j->expected[i]);
        aval__graph_referee_close(&j->referees[i]);
    }
}

/* What the step's values are on the host, for the states and inputs that the devices have.  A value that the referee cannot compute (an
   operator without a reference) is compared between the devices only. */
static int call_referees(aval__model_judge *j)
{
    dismiss_referees(j);
    AVAL__TRY(aval__model_set_states(j->model->store, &j->states));
    AVAL__TRY(j->model->feed(j->model->user, j->host, j->step));
    for (size_t i = 0; i < j->refereed.at.count; i++) {
        int status = aval__graph_referee_open(j->host, j->refereed.at.at[i], &j->referees[i]);
        if (status == AVAL_OK) status = aval__graph_referee_all(&j->referees[i], &j->expected[i]);
        if (status == AVAL_E_MEMORY) return status;
        if (status < 0) aval__graph_referee_close(&j->referees[i]);
    }
    return AVAL_OK;
}

static int judge_with_referee(aval__model_judge *j, size_t device)
{
    const double loose = 10; /* the whole net lies before the value, and the referee rounds nothing */
    for (size_t i = 0; i < j->refereed.at.count && j->witnesses[device].alive; i++) {
        const aval_value *value = j->refereed.at.at[i];
        aval__text name = { 0 };
        aval__difference difference;
        if (j->expected[i].at == NULL) continue;
        AVAL__TRY(aval__model_name(value, &name));
        const aval__piece *found = aval__bundle_find(&j->witnesses[device].answer, AVAL__PIECE_VALUE, name.at);
        int status = AVAL_OK;
        if (found != NULL && aval__model_compare_referee(found, &j->expected[i].at[value->id], loose, &difference))
            status = note(j, device, name.at, difference.error, false);
        else if (found != NULL) status = aval__model_bisect_referee(j, device, name.at, &difference);
        aval__text_release(&name);
        AVAL__TRY(status);
    }
    return AVAL_OK;
}

/* ---- The devices against each other ----------------------------------------------------------------------------------------------------- */

static bool is_compared(const aval__piece *p)
{
    return p->role == AVAL__PIECE_VALUE || p->role == AVAL__PIECE_STATE;
}

static int line_name(const aval__piece *p, aval__text *name)
{
    aval__text_add(name, "%s%s", p->role == AVAL__PIECE_STATE ? "state " : "", p->name);
    return name->failed ? AVAL_E_MEMORY : AVAL_OK;
}

/* Notes how far the device is from the leader; *differs: beyond what rounding in one launch can do. */
static int compare_with_leader(aval__model_judge *j, size_t device, bool explained, bool *differs)
{
    const aval__bundle *leader = &j->witnesses[j->leader].answer, *other = &j->witnesses[device].answer;
    *differs = false;
    for (size_t i = 0; i < leader->pieces.count; i++) {
        const aval__piece *p = &leader->pieces.at[i];
        aval__difference difference;
        aval__text name = { 0 };
        if (!is_compared(p)) continue;
        bool same = aval__model_compare(aval__bundle_find(other, (aval__piece_role)p->role, p->name), p, 0, &difference);
        *differs = *differs || !same;
        int status = line_name(p, &name);
        if (status == AVAL_OK && (same || explained)) status = note(j, device, name.at, difference.error, !same);
        aval__text_release(&name);
        AVAL__TRY(status);
    }
    return AVAL_OK;
}

static int judge_device(aval__model_judge *j, size_t device)
{
    bool differs, found = false;
    AVAL__TRY(compare_with_leader(j, device, false, &differs));
    if (differs) AVAL__TRY(aval__model_bisect(j, device, &found));
    if (!differs || found) return AVAL_OK;
    return compare_with_leader(j, device, true, &differs); /* no launch is to blame: told, and no fault */
}

static bool find_leader(aval__model_judge *j)
{
    for (size_t d = 0; d < j->n; d++) {
        if (!j->witnesses[d].alive || !j->witnesses[d].ran) continue;
        j->leader = d;
        return true;
    }
    return false;
}

static int judge_step(aval__model_judge *j)
{
    for (size_t d = 0; d < j->n; d++) {
        aval__model_witness *w = &j->witnesses[d];
        if (w->alive && w->answer.differs != NULL && w->answer.differs[0] != 0) AVAL__TRY(aval__model_bisect_repeat(j, d));
        if (w->alive) AVAL__TRY(judge_with_referee(j, d));
    }
    if (!find_leader(j)) return AVAL_OK;
    for (size_t d = 0; d < j->n; d++) {
        if (d != j->leader && j->witnesses[d].alive && j->witnesses[j->leader].alive) AVAL__TRY(judge_device(j, d));
    }
    return AVAL_OK;
}

/* ---- All steps ------------------------------------------------------------------------------------------------------------------------ */

/* The states that all devices start the next step with. */
static int take_states(aval__model_judge *j)
{
    aval__bundle_release(&j->states);
    return find_leader(j) ? aval__bundle_copy(&j->states, &j->witnesses[j->leader].answer, AVAL__PIECE_STATE) : AVAL_OK;
}

static int run_step(aval__model_judge *j, bool last)
{
    aval__bundle request = { .command = AVAL__MODEL_STEP, .step = j->step, .last = last };
    bool *asked = aval__alloc_array(j->n + 1, sizeof *asked);
    int status = asked == NULL ? AVAL_E_MEMORY : aval__bundle_copy(&request, &j->states, AVAL__PIECE_STATE);
    AVAL__TRY_DONE(status);
    for (size_t d = 0; d < j->n; d++) {
        asked[d] = j->witnesses[d].alive;
        aval__bundle_release(&j->witnesses[d].trace);
    }
    AVAL__TRY_DONE(aval__model_ask(j, &request, asked));
    AVAL__TRY_DONE(call_referees(j));
    AVAL__TRY_DONE(judge_step(j));
    status = take_states(j);
done:
    aval__bundle_release(&request);
    aval__free(asked);
    return status;
}

/* How far the devices' own trainings are apart after the last step, relative to the largest element. */
static int tell_drift(aval__model_judge *j, size_t device)
{
    const aval__bundle *leader = &j->witnesses[j->leader].answer, *other = &j->witnesses[device].answer;
    double worst = 0;
    const char *where = "";
    for (size_t i = 0; i < leader->pieces.count; i++) {
        const aval__piece *p = &leader->pieces.at[i], *q = aval__bundle_find(other, (aval__piece_role)p->role, p->name);
        if ((p->role != AVAL__PIECE_OWN_STATE && p->role != AVAL__PIECE_OWN_VALUE) || q == NULL ||
            !aval__tensor_same_shape(&p->shape, &q->shape))
            continue;
        double *a = aval__piece_reals(p), *b = aval__piece_reals(q), largest = 0, apart = 0;
        for (size_t e = 0; a != NULL && b != NULL && e < (size_t)aval__tensor_count(&p->shape); e++) {
            largest = fmax(largest, fabs(a[e]));
            apart = fmax(apart, fabs(a[e] - b[e]));
        }
        if (largest > 0 && apart / largest >= worst) {
            worst = apart / largest;
            where = p->name;
        }
        aval__free(a);
        aval__free(b);
    }
    aval__text message = { 0 };
    if (worst > 0) {
        aval__text_add(&message, "trained on its own for %llu steps, it is %.2g away from device ",
                       (unsigned long long)(j->step - j->options->first), worst);
        aval__model_put_device(j, j->leader, &message);
        aval__text_add(&message, " in %s, relative to its largest element: rounding that grows with the steps, no fault", where);
    } else {
        aval__text_add(&message, "trained on its own for %llu steps, it is bit for bit where device ",
                       (unsigned long long)(j->step - j->options->first));
        aval__model_put_device(j, j->leader, &message);
        aval__text_add(&message, " is");
    }
    if (message.failed) return AVAL_E_MEMORY;
    aval__model_tell(j, device, "drift", &(aval_check_result){ .passed = 1, .message = message.at });
    aval__text_release(&message);
    return AVAL_OK;
}

static int tell_lines(aval__model_judge *j)
{
    for (size_t i = 0; i < j->lines.count; i++) {
        const aval__model_line *line = &j->lines.at[i];
        for (size_t d = 0; d < j->n; d++) {
            aval__text message = { 0 };
            if (!j->witnesses[d].alive || line->error[d] < 0) continue;
            if (line->amplified[d])
                aval__text_add(&message,
                               "%.3g times the tolerance in step %llu, but no launch differs on equal inputs: rounding that the net "
                               "amplifies (beside a kink, or in a gradient that is nothing but rounding), no fault",
                               line->error[d], (unsigned long long)line->step[d] + 1);
            aval__model_tell(j, d, line->name, &(aval_check_result){ .passed = 1, .error = line->error[d], .message = message.at });
            aval__text_release(&message);
        }
    }
    for (size_t d = 0; d < j->n; d++) {
        if (!j->witnesses[d].alive) continue;
        aval__model_tell(j, d, "repeat", &(aval_check_result){ .passed = 1 });
        if (d != j->leader) AVAL__TRY(tell_drift(j, d));
    }
    return AVAL_OK;
}

/* ---- Gradients by differences ------------------------------------------------------------------------------------------------------------ */

static int tell_gradient(aval__model_judge *j, size_t device, const aval__piece *piece)
{
    aval__gradient_numbers n;
    aval__text name = { 0 }, message = { 0 };
    if (piece->shape.type != AVAL_DOUBLE || aval__tensor_bytes(&piece->shape) != sizeof n)
        return aval__fail(AVAL_E_FORMAT, "a gradient is damaged");
    memcpy(&n, piece->data, sizeof n);
    bool passed = n.error <= 1 && n.compared > 0;
    aval__text_add(&name, "gradient by %s", piece->name);
    if (!passed)
        aval__text_add(
            &message,
            "element %.0f (or the first of its block) is %.9g, by differences %.9g (%.3g times the tolerance); `aval check` finds an "
            "operator that is wrong",
            n.worst, n.found, n.expected, n.error);
    bool alive = j->witnesses[device].alive;
    const aval_check_result result = { .passed = passed, .error = n.error, .message = message.at };
    int status = name.failed || message.failed ? AVAL_E_MEMORY : AVAL_OK;
    if (status == AVAL_OK && passed) aval__model_tell(j, device, name.at, &result);
    else if (status == AVAL_OK) status = aval__model_fail(j, device, name.at, &result, NULL);
    j->witnesses[device].alive = alive; /* each gradient is told */
    aval__text_release(&name);
    aval__text_release(&message);
    return status;
}

static int check_gradients(aval__model_judge *j)
{
    aval__bundle request = { .command = AVAL__MODEL_GRADIENTS };
    bool *asked = aval__alloc_array(j->n + 1, sizeof *asked);
    int status = asked == NULL ? AVAL_E_MEMORY : aval__bundle_copy(&request, &j->states, AVAL__PIECE_STATE);
    AVAL__TRY_DONE(status);
    for (size_t d = 0; d < j->n; d++) asked[d] = true;
    AVAL__TRY_DONE(aval__model_ask(j, &request, asked));
    for (size_t d = 0; d < j->n; d++) {
        const aval__bundle *answer = &j->witnesses[d].answer;
        for (size_t i = 0; j->witnesses[d].ran && i < answer->pieces.count; i++) {
            if (answer->pieces.at[i].role == AVAL__PIECE_GRADIENT) AVAL__TRY_DONE(tell_gradient(j, d, &answer->pieces.at[i]));
        }
    }
done:
    aval__bundle_release(&request);
    aval__free(asked);
    return status;
}

/* ---- Opening and closing ---------------------------------------------------------------------------------------------------------------- */

static int open_judge(aval__model_judge *j)
{
    j->n = j->runner->n_devices;
    j->witnesses = aval__alloc_array(j->n + 1, sizeof *j->witnesses);
    if (j->witnesses == NULL) return AVAL_E_MEMORY;
    for (size_t d = 0; d < j->n; d++) j->witnesses[d].alive = true;
    AVAL__TRY(aval__model_refereed(j->model, &j->refereed));
    j->referees = aval__alloc_array(j->refereed.at.count + 1, sizeof *j->referees);
    j->expected = aval__alloc_array(j->refereed.at.count + 1, sizeof *j->expected);
    if (j->referees == NULL || j->expected == NULL) return AVAL_E_MEMORY;
    AVAL__TRY(aval__model_read_states(j->model->store, AVAL__PIECE_STATE, &j->states));
    return aval_session_create(j->ctx, j->model->graph, j->model->store, &j->host);
}

static void close_judge(aval__model_judge *j)
{
    if (j->expected != NULL) dismiss_referees(j);
    for (size_t d = 0; j->witnesses != NULL && d < j->n; d++) {
        aval__bundle_release(&j->witnesses[d].answer);
        aval__bundle_release(&j->witnesses[d].trace);
    }
    for (size_t i = 0; i < j->lines.count; i++) {
        aval__free(j->lines.at[i].name);
        aval__free(j->lines.at[i].error);
        aval__free(j->lines.at[i].step);
        aval__free(j->lines.at[i].amplified);
    }
    aval__vec_release(&j->lines);
    aval__vec_release(&j->refereed.at);
    aval__bundle_release(&j->states);
    aval__free(j->witnesses);
    aval__free(j->referees);
    aval__free(j->expected);
    aval_session_release(j->host);
}

int aval_check_steps(aval_context *ctx, const aval_check_model *model, const aval_check_steps_options *options, aval_check_function report,
                     void *user)
{
    AVAL__NEED(ctx, "a context");
    AVAL__NEED(model && model->graph && model->feed && model->wanted, "a model with a graph, wanted values and a function that feeds them");
    aval__model_here *here = NULL;
    aval_check_steps_options all = { .size = sizeof all };
    if (options != NULL) memcpy(&all, options, options->size < sizeof all ? options->size : sizeof all);
    const aval_check_model taken = aval__model_taken(model);
    aval__model_judge j = { .ctx = ctx, .model = &taken, .options = &all, .report = report, .user = user };
    uint64_t steps = all.steps == 0 ? 1 : all.steps, first = all.first;
    int status = AVAL_OK;
    j.runner = j.options->runner;
    if (j.runner == NULL) {
        AVAL__TRY_DONE(aval__model_here_create(ctx, model, &here));
        j.runner = aval__model_here_runner(here);
    }
    AVAL__TRY_DONE(open_judge(&j));
    if (j.options->gradients) AVAL__TRY_DONE(check_gradients(&j));
    for (j.step = first; !j.options->gradients && j.step < first + steps && (j.step == first || find_leader(&j)); j.step++)
        AVAL__TRY_DONE(run_step(&j, j.step + 1 == first + steps));
    if (!j.options->gradients) AVAL__TRY_DONE(tell_lines(&j));
    if (j.failed > 0)
        status =
            aval__fail(AVAL_E_CHECK, "%zu of %zu results of %llu steps failed", j.failed, j.failed + j.passed, (unsigned long long)steps);
    else if (j.passed == 0) status = aval__fail(AVAL_E_CHECK, "nothing was compared");
done:
    close_judge(&j);
    aval__model_here_release(here);
    return status;
}
