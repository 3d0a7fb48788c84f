/* What a failed case leaves: a folder with inputs, upstream gradients, what was found and what was expected as .npy, the kernel sources with
 * their build options, the case itself as case.json, and README.txt that says what happened and how to see it again. */
#include "check/failure.h"
#include "check/judge.h"
#include "model/model.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int aval__failure_make_folder(const char *path)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return 0;
    return aval__fail(AVAL_E_IO, "folder '%s' cannot be made: %s", path, strerror(errno));
}

/* The same failure gets the same name, so that a check that is repeated does not fill the disk. */
char *aval__failure_folder(const aval__judge *j, size_t device)
{
    const aval_check_case *what = j->what;
    const char *attrs = what->sample->attrs == NULL ? "" : what->sample->attrs;
    uint64_t hash = aval__hash64(what->sample->inputs, strlen(what->sample->inputs), what->seed);
    hash = aval__hash64(attrs, strlen(attrs), hash);
    aval__text name = { 0 };
    aval__text_add(&name, "%s/", j->options->failures);
    for (const char *c = what->op; *c != 0; c++) aval__text_add(&name, "%c", *c == ':' || *c == '/' ? '_' : *c);
    aval__text_add(&name, "-%s-%08x-device%zu", j->row->name, (unsigned)(hash & 0xffffffffu), j->runner->number(j->runner->user, device));
    return aval__text_take(&name);
}

/* Types that NumPy has no name for are written as the host has them. */
static int write_npy(const char *file, const aval__host_tensor *t)
{
    const aval_tensor shape = aval__case_file_shape(t);
    if (shape.type != t->tensor.type) return aval__npy_write(file, &shape, t->real != NULL ? (const void *)t->real : t->integer);
    void *data = aval__alloc(aval__tensor_bytes(&shape));
    if (!data) return AVAL_E_MEMORY;
    aval__host_tensor_to(t, data);
    int status = aval__npy_write(file, &shape, data);
    aval__free(data);
    return status;
}

int aval__failure_write_tensor(const char *folder, const char *kind, const char *name, const aval__host_tensor *t)
{
    aval__text file = { 0 };
    if (t->real == NULL && t->integer == NULL) return 0;
    aval__text_add(&file, "%s/%s_", folder, kind);
    for (const char *c = name; *c != 0; c++) aval__text_add(&file, "%c", *c == '/' ? '_' : *c);
    aval__text_add(&file, ".npy");
    int status = file.failed ? AVAL_E_MEMORY : write_npy(file.at, t);
    aval__text_release(&file);
    return status;
}

static int write_numbered(const char *folder, const char *kind, size_t number, const aval__host_tensor *t)
{
    char name[32];
    snprintf(name, sizeof name, "%zu", number);
    return aval__failure_write_tensor(folder, kind, name, t);
}

/* Gradients whose differences were taken element by element. */
static int write_expected_gradient(const aval__judge *j, const aval__case_gradient *g, const char *name, const char *folder)
{
    const aval__differences *d = &j->differences[g->input];
    aval__host_tensor expected = { 0 };
    if (d->block > 1) return 0;
    aval_tensor shape = j->c->inputs[g->input].tensor;
    shape.type = AVAL_DOUBLE;
    AVAL__TRY(aval__host_tensor_make(&expected, &shape));
    if (d->elements > 0) memcpy(expected.real, d->by_output[g->output], d->elements * sizeof(double));
    int status = aval__failure_write_tensor(folder, "expected", name, &expected);
    aval__host_tensor_release(&expected);
    return status;
}

static int write_tensors(const aval__judge *j, size_t device, const char *folder)
{
    const aval__case *c = j->c;
    const aval__witness *w = &j->witnesses[device];
    for (size_t i = 0; i < c->n_inputs; i++) AVAL__TRY(write_numbered(folder, "input", i, &c->inputs[i]));
    for (size_t o = 0; o <= c->n_outputs; o++) AVAL__TRY(write_numbered(folder, "upstream", o, &c->upstreams[o]));
    for (size_t o = 0; o < c->n_outputs; o++) {
        AVAL__TRY(aval__failure_write_tensor(folder, "expected", c->output_names[o], &j->expected[o]));
        if (w->ran) AVAL__TRY(aval__failure_write_tensor(folder, "found", c->output_names[o], &w->results.at[o]));
    }
    for (size_t g = 0; g < c->n_gradients; g++) {
        aval__text name = { 0 };
        aval__case_gradient_name(&name, c, &c->gradients[g]);
        int status = name.failed ? AVAL_E_MEMORY : write_expected_gradient(j, &c->gradients[g], name.at, folder);
        if (status == 0 && w->ran) status = aval__failure_write_tensor(folder, "found", name.at, &w->results.at[c->n_outputs + g]);
        aval__text_release(&name);
        AVAL__TRY(status);
    }
    return 0;
}

int aval__failure_write_text(const char *folder, const char *name, const char *text)
{
    aval__text file = { 0 };
    aval__text_add(&file, "%s/%s", folder, name);
    if (file.failed) return AVAL_E_MEMORY;
    FILE *out = fopen(file.at, "w");
    bool written = out != NULL && fputs(text, out) >= 0;
    if (out != NULL && fclose(out) != 0) written = false;
    int status = written ? 0 : aval__fail(AVAL_E_IO, "'%s' cannot be written: %s", file.at, strerror(errno));
    aval__text_release(&file);
    return status;
}

const aval__source *aval__failure_new_source(const aval__plan *plan, size_t step)
{
    const aval__source *source = plan->steps[step].kind == AVAL__STEP_LAUNCH ? plan->steps[step].source : NULL; /* copies have none */
    for (size_t i = 0; i < step && source != NULL; i++) {
        const aval__source *before = plan->steps[i].kind == AVAL__STEP_LAUNCH ? plan->steps[i].source : NULL;
        if (before != NULL && strcmp(before->text, source->text) == 0 && strcmp(before->options, source->options) == 0) return NULL;
    }
    return source;
}

int aval__failure_write_source(const char *folder, size_t number, const char *name, const char *options, const char *text, aval__text *list)
{
    char file[128];
    snprintf(file, sizeof file, "kernel_%zu_%.96s%s", number, name, strchr(name, '.') ? "" : ".cl");
    aval__text_add(list, "  %s  %s\n", file, options);
    return aval__failure_write_text(folder, file, text);
}

/* The sources come from the device's own process, as they were built there.  One that is lost has none to give: that is no failure. */
static int write_sources(const aval__judge *j, size_t device, const char *folder, aval__text *list)
{
    aval_check_case what = *j->what;
    aval_check_outcome outcome = { .size = sizeof outcome };
    aval__results results = { 0 };
    what.sources = 1;
    j->runner->begin(j->runner->user, device, &what);
    j->runner->finish(j->runner->user, device, &outcome);
    if (outcome.skip || outcome.status < 0 || aval__results_unpack(outcome.results, outcome.bytes, &results) < 0) {
        aval__text_add(list, "  (the device's process could not give them)\n");
        return 0;
    }
    int status = 0;
    for (size_t i = 0; i < results.n_programs && status == 0; i++) {
        const aval__program_text *p = &results.programs[i];
        status = aval__failure_write_source(folder, i, p->name, p->options, p->text, list);
    }
    aval__results_release(&results);
    return status;
}

json_t *aval__failure_describe_device(const aval_device_info *info, size_t number)
{
    return json_pack("{s:I, s:s, s:s, s:s, s:s}", "number", (json_int_t)number, "platform", info->platform, "name", info->name, "driver",
                     info->driver, "version", info->version);
}

int aval__failure_write_case(const char *folder, json_t *all)
{
    char *text = all == NULL ? NULL : json_dumps(all, JSON_INDENT(2));
    int status = text == NULL ? AVAL_E_MEMORY : aval__failure_write_text(folder, "case.json", text);
    aval_free(text);
    json_decref(all);
    return status;
}

static int write_case(const aval__judge *j, size_t device, const char *folder)
{
    const aval_check_case *what = j->what;
    const aval_sample *s = what->sample;
    const aval_device_info *info = j->runner->device(j->runner->user, device);
    aval__text seed = { 0 };
    aval__text_add(&seed, "%llu", (unsigned long long)what->seed); /* JSON's integers end at 2^63 */
    json_t *all =
        json_pack("{s:i, s:s, s:s, s:s*, s:s*, s:s, s:s, s:b, s:f, s:f, s:f, s:f, s:f, s:f, s:i, s:i, s:o}", "format", AVAL__FAILURE_FORMAT,
                  "op", what->op, "inputs", s->inputs, "attrs", s->attrs, "gives", aval__sample_outputs(s), "type", j->row->name, "seed",
                  seed.at, "forward_only", what->forward_only, "low", s->low, "high", s->high, "atol", s->atol, "rtol", s->rtol,
                  "grad_atol", s->grad_atol, "grad_rtol", s->grad_rtol, "flags", (int)s->flags, "size_class", (int)s->size_class, "device",
                  aval__failure_describe_device(info, j->runner->number(j->runner->user, device)));
    int status = aval__failure_write_case(folder, all);
    aval__text_release(&seed);
    return status;
}

static int write_readme(const aval__judge *j, size_t device, const char *folder, const char *sources)
{
    const aval_sample *s = j->what->sample;
    const aval_device_info *info = j->runner->device(j->runner->user, device);
    aval__text text = { 0 };
    aval__text_add(&text, "%s, type %s, inputs %s%s%s, seed %llu\n", j->what->op, j->row->name, s->inputs, s->attrs ? ", attributes " : "",
                   s->attrs ? s->attrs : "", (unsigned long long)j->what->seed);
    aval__text_add(&text, "device %s/%s, driver %s, %s\n\n", info->platform, info->name, info->driver, info->version);
    aval__text_add(&text, "What failed\n%s\n", j->witnesses[device].log.at == NULL ? "" : j->witnesses[device].log.at);
    aval__text_add(&text, "To see it again\n  aval check --replay %s\n  aval check --replay %s --shrink\n\n", folder, folder);
    aval__text_add(&text, "The operator's plugin (to be named by --plugin if it is not installed)\n  %s\n\n",
                   aval__plugin_file(j->c->def->plugin));
    aval__text_add(&text, "Kernel sources and their build options\n%s", sources);
    int status = text.failed ? AVAL_E_MEMORY : aval__failure_write_text(folder, "README.txt", text.at);
    aval__text_release(&text);
    return status;
}

int aval__failure_write(aval__judge *j, size_t device)
{
    aval__text sources = { 0 };
    int status = 0;
    char *folder = aval__failure_folder(j, device);
    if (folder == NULL) return AVAL_E_MEMORY;
    AVAL__TRY_DONE(aval__failure_make_folder(j->options->failures));
    AVAL__TRY_DONE(aval__failure_make_folder(folder));
    AVAL__TRY_DONE(write_tensors(j, device, folder));
    AVAL__TRY_DONE(write_case(j, device, folder));
    AVAL__TRY_DONE(write_sources(j, device, folder, &sources));
    AVAL__TRY_DONE(write_readme(j, device, folder, sources.at == NULL ? "  (none)\n" : sources.at));
done:
    aval__text_release(&sources);
    aval__free(folder);
    return status;
}

/* ---- Reading it back -------------------------------------------------------------------------------------------------------------- */

static const aval__type_row *find_row(const char *name)
{
    for (const aval__type_row *row = aval__type_rows; row->name != NULL; row++) {
        if (strcmp(row->name, name) == 0) return row;
    }
    return NULL;
}

static int read_json(const char *folder, json_t **out)
{
    aval__text file = { 0 };
    json_error_t error;
    aval__text_add(&file, "%s/case.json", folder);
    if (file.failed) return AVAL_E_MEMORY;
    *out = json_load_file(file.at, 0, &error);
    int status = *out != NULL ? 0 : aval__fail(AVAL_E_IO, "'%s' cannot be read: %s", file.at, error.text);
    aval__text_release(&file);
    return status;
}

int aval__failure_read(aval__arena *arena, const char *folder, aval_check_case *what, const aval__type_row **row)
{
    json_t *all;
    json_error_t error;
    const char *op, *inputs, *attrs = NULL, *gives = NULL, *type, *seed;
    int forward_only, flags, size_class, format;
    AVAL__TRY(read_json(folder, &all));
    int status = 0;
    aval_sample *s = aval__arena_alloc(arena, sizeof *s);
    aval_sample_more *more = aval__arena_alloc(arena, sizeof *more);
    if (s == NULL || more == NULL) AVAL__TRY_DONE(AVAL_E_MEMORY);
    if (json_object_get(all, "model") != NULL)
        AVAL__TRY_DONE(aval__fail(AVAL_E_FORMAT, "'%s' is of a model, which this cannot make: expected a failure of an operator", folder));
    if (json_unpack_ex(all, &error, 0, "{s:i, s:s, s:s, s?s, s?s, s:s, s:s, s:b, s:F, s:F, s:F, s:F, s:F, s:F, s:i, s:i}", "format",
                       &format, "op", &op, "inputs", &inputs, "attrs", &attrs, "gives", &gives, "type", &type, "seed", &seed,
                       "forward_only", &forward_only, "low", &s->low, "high", &s->high, "atol", &s->atol, "rtol", &s->rtol, "grad_atol",
                       &s->grad_atol, "grad_rtol", &s->grad_rtol, "flags", &flags, "size_class", &size_class) != 0)
        AVAL__TRY_DONE(aval__fail(AVAL_E_FORMAT, "'%s/case.json' is not what a failure leaves: %s", folder, error.text));
    *row = find_row(type);
    if (format != AVAL__FAILURE_FORMAT || *row == NULL)
        AVAL__TRY_DONE(aval__fail(AVAL_E_FORMAT, "'%s/case.json' has format %d and type '%s', expected %d and float, double or float16",
                                  folder, format, type, AVAL__FAILURE_FORMAT));
    s->flags = (uint32_t)flags;
    s->size_class = (uint32_t)size_class;
    s->inputs = aval__arena_text(arena, inputs);
    s->attrs = attrs == NULL ? NULL : aval__arena_text(arena, attrs);
    *more = (aval_sample_more){ .size = sizeof *more, .outputs = gives == NULL ? NULL : aval__arena_text(arena, gives) };
    s->more = more;
    *what = (aval_check_case){ .size = sizeof *what,
                               .op = aval__arena_text(arena, op),
                               .sample = s,
                               .type = (*row)->type,
                               .seed = strtoull(seed, NULL, 10),
                               .forward_only = forward_only,
                               .contents = folder };
    if (s->inputs == NULL || what->op == NULL || (attrs != NULL && s->attrs == NULL) || (gives != NULL && more->outputs == NULL))
        status = AVAL_E_MEMORY;
done:
    json_decref(all);
    return status;
}
