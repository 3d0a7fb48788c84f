/* What a failed step of a model leaves: a folder with the states before it and what it was fed, what the launch that is to blame found and what was
 * expected, the device's kernel sources with their build options, the model and the step as case.json, and README.txt. */
#include "check/failure.h"
#include "check/model_judge.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* A folder a model, step and device. */
static char *folder_name(const aval__model_judge *j, size_t device)
{
    aval__text name = { 0 };
    aval__text_add(&name, "%s/", j->options->failures);
    for (const char *c = j->model->name == NULL ? "model" : j->model->name; *c != 0; c++)
        aval__text_add(&name, "%c", *c == ':' || *c == '/' ? '_' : *c);
    if (j->options->label != NULL) aval__text_add(&name, "-%s", j->options->label);
    aval__text_add(&name, "-step%llu-device%zu", (unsigned long long)j->step + 1, j->runner->number(j->runner->user, device));
    return aval__text_take(&name);
}

static int write_piece(const char *folder, const char *kind, const char *name, const aval__piece *piece)
{
    aval__host_tensor t;
    AVAL__TRY(aval__host_tensor_make(&t, &piece->shape));
    aval__host_tensor_from(&t, piece->data);
    int status = aval__failure_write_tensor(folder, kind, name, &t);
    aval__host_tensor_release(&t);
    return status;
}

/* State number i is in state_<i>.npy: names may be anything. */
static int write_states(const aval__model_judge *j, const char *folder, json_t *names)
{
    for (size_t i = 0; i < j->states.pieces.count; i++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", i);
        AVAL__TRY(write_piece(folder, "state", number, &j->states.pieces.at[i]));
        if (json_array_append_new(names, json_string(j->states.pieces.at[i].name)) != 0) return AVAL_E_MEMORY;
    }
    return AVAL_OK;
}

/* What the step was fed, as far as the referee reads it. */
static int write_inputs(const aval__model_judge *j, const char *folder)
{
    const aval_graph *g = j->model->graph;
    for (size_t v = 0; v < g->values.count; v++) {
        const aval_value *value = g->values.at[v];
        const aval__host_tensor *content = NULL;
        for (size_t r = 0; r < j->refereed.at.count && content == NULL; r++) {
            const aval__graph_referee *of = &j->referees[r];
            if (of->given != NULL && v < of->count && of->given[v] != NULL) content = of->given[v];
        }
        if (value->kind != AVAL__INPUT || content == NULL) continue;
        AVAL__TRY(aval__failure_write_tensor(folder, "input", value->name == NULL ? "unnamed" : value->name, content));
    }
    return AVAL_OK;
}

/* Nothing is believed of a process that a driver may have damaged. */
static bool is_source(const aval__piece *p)
{
    int64_t bytes = aval__tensor_count(&p->shape);
    return p->role == AVAL__PIECE_SOURCE && p->shape.type == AVAL_UINT8 && bytes > 0 && ((const char *)p->data)[bytes - 1] == 0;
}

/* A device that is lost has no sources to give: that is no failure. */
static int write_sources(const aval__model_judge *j, size_t device, const char *folder, aval__text *list)
{
    aval__bundle request = { .command = AVAL__MODEL_SOURCES, .step = j->step }, answer = { 0 };
    aval_check_outcome outcome = { .size = sizeof outcome };
    void *bytes;
    size_t size;
    int status = aval__bundle_copy(&request, &j->states, AVAL__PIECE_STATE);
    AVAL__TRY_DONE(status);
    AVAL__TRY_DONE(aval__bundle_pack(&request, &bytes, &size));
    j->runner->begin(j->runner->user, device, bytes, size);
    aval__free(bytes);
    j->runner->finish(j->runner->user, device, &outcome);
    if (outcome.skip || outcome.status < 0 || aval__bundle_unpack(outcome.results, outcome.bytes, &answer) < 0) {
        aval__text_add(list, "  (the device's process could not give them)\n");
        goto done;
    }
    for (size_t i = 0; i < answer.pieces.count; i++) {
        const aval__piece *source = &answer.pieces.at[i];
        if (is_source(source)) AVAL__TRY_DONE(aval__failure_write_source(folder, i, source->name, source->launch, source->data, list));
    }
done:
    aval__bundle_release(&request);
    aval__bundle_release(&answer);
    return status;
}

static json_t *describe_device(const aval__model_judge *j, size_t device)
{
    return aval__failure_describe_device(j->runner->device(j->runner->user, device), j->runner->number(j->runner->user, device));
}

/* `beside`: the device that it was compared with; SIZE_MAX: none. */
static int write_case(const aval__model_judge *j, size_t device, size_t beside, const char *folder, json_t *names)
{
    json_t *model = j->options->description == NULL ? json_object() : json_loads(j->options->description, 0, NULL);
    json_t *all = json_pack("{s:i, s:o, s:I, s:b, s:O, s:o, s:o*}", "format", AVAL__FAILURE_FORMAT, "model", model, "step",
                            (json_int_t)j->step, "gradients", j->options->gradients, "states", names, "device", describe_device(j, device),
                            "beside", beside == SIZE_MAX ? NULL : describe_device(j, beside));
    return aval__failure_write_case(folder, all);
}

static int write_readme(const aval__model_judge *j, size_t device, const char *folder, const char *what, const char *message,
                        const char *sources)
{
    const aval_device_info *info = j->runner->device(j->runner->user, device);
    aval__text text = { 0 };
    aval__text_add(&text, "%s, step %llu\ndevice %s/%s, driver %s, %s\n\nWhat failed\n%s: %s\n\n",
                   j->model->name == NULL ? "model" : j->model->name, (unsigned long long)j->step + 1, info->platform, info->name,
                   info->driver, info->version, what, message);
    aval__text_add(&text,
                   "To see this step again, from the states in this folder\n  aval check --replay %s\n  aval check --replay %s --shrink\n",
                   folder, folder);
    if (j->options->again != NULL) aval__text_add(&text, "To see all of it again\n  %s\n", j->options->again);
    aval__text_add(&text, "\nKernel sources and their build options\n%s", sources);
    int status = text.failed ? AVAL_E_MEMORY : aval__failure_write_text(folder, "README.txt", text.at);
    aval__text_release(&text);
    return status;
}

static int write_folder(const aval__model_judge *j, size_t device, const char *folder, const char *what, const char *message, bool lost,
                        const aval__model_evidence *evidence)
{
    aval__text sources = { 0 };
    json_t *names = json_array();
    int status = names == NULL ? AVAL_E_MEMORY : AVAL_OK;
    AVAL__TRY_DONE(status);
    AVAL__TRY_DONE(aval__failure_make_folder(j->options->failures));
    AVAL__TRY_DONE(aval__failure_make_folder(folder));
    AVAL__TRY_DONE(write_states(j, folder, names));
    AVAL__TRY_DONE(write_inputs(j, folder));
    if (evidence != NULL && evidence->found != NULL) AVAL__TRY_DONE(write_piece(folder, "found", evidence->found->name, evidence->found));
    if (evidence != NULL && evidence->other != NULL)
        AVAL__TRY_DONE(write_piece(folder, "expected", evidence->other->name, evidence->other));
    if (evidence != NULL && evidence->right != NULL)
        AVAL__TRY_DONE(aval__failure_write_tensor(folder, "expected", evidence->found->name, evidence->right));
    AVAL__TRY_DONE(write_case(j, device, evidence != NULL && evidence->other != NULL ? evidence->other_device : SIZE_MAX, folder, names));
    if (!lost) AVAL__TRY_DONE(write_sources(j, device, folder, &sources));
    AVAL__TRY_DONE(write_readme(j, device, folder, what, message, sources.at == NULL ? "  (none)\n" : sources.at));
done:
    json_decref(names);
    aval__text_release(&sources);
    return status;
}

/* What the launch that is to blame makes, where the model's graph has it: nothing is believed of what a process says. */
static int name_value(const aval__model_judge *j, const aval__model_evidence *evidence, aval__text *name)
{
    const aval_graph *g = j->model->graph;
    const aval__piece *found = evidence == NULL ? NULL : evidence->found;
    if (found == NULL || found->id < 0 || (size_t)found->id >= g->values.count) return AVAL_OK;
    return aval__model_name(g->values.at[found->id], name);
}

int aval__model_fail(aval__model_judge *j, size_t device, const char *what, const aval_check_result *result,
                     const aval__model_evidence *evidence)
{
    const bool lost = result->fate != NULL && result->fate[0] != 0;
    aval_check_result told = *result;
    aval__text value = { 0 };
    char *folder = j->options->failures == NULL ? NULL : folder_name(j, device);
    int status = folder == NULL && j->options->failures != NULL ? AVAL_E_MEMORY : name_value(j, evidence, &value);
    AVAL__TRY_DONE(status);
    told.value = value.at;
    told.folder = folder;
    aval__model_tell(j, device, what, &told);
    if (folder != NULL) status = write_folder(j, device, folder, what, result->message == NULL ? "" : result->message, lost, evidence);
done:
    aval__text_release(&value);
    aval__free(folder);
    return status;
}
