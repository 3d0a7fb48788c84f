/* The folder that a failed step of a model has left: its step once more (`aval check --replay`), and made smaller while it still fails (`--shrink`). */
#include "check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Once more --------------------------------------------------------------------------------------------------------------------- */

/* The states of the folder fit a net of the same layers alone. */
static bool has_layers_of(const json_t *spec, const json_t *other)
{
    const json_t *a = json_object_get(spec, "layers"), *b = json_object_get(other, "layers");
    return a == NULL || b == NULL ? a == b : json_equal(a, b) != 0;
}

int check_failure_run(const check_failure *f, json_t *spec, const char *failures, const char *label, aval_check_function report, void *user)
{
    check_model m;
    char again[1024];
    aval_model_runner runner = { .size = 0 };
    char *description = json_dumps(spec, 0);
    snprintf(again, sizeof again, "aval check --replay %.900s", f->folder);
    const aval_check_steps_options options = { .size = sizeof options,
                                               .steps = 1,
                                               .first = (uint64_t)json_integer_value(json_object_get(f->all, "step")),
                                               .gradients = json_is_true(json_object_get(f->all, "gradients")),
                                               .runner = f->crew != NULL ? &runner : NULL,
                                               .again = again,
                                               .failures = failures,
                                               .description = description,
                                               .label = label };
    int status = check_model_open(f->ctx, spec, &m);
    if (status == AVAL_OK && has_layers_of(spec, json_object_get(f->all, "model")))
        status = check_model_set_states(&m, f->folder, json_object_get(f->all, "states"));
    if (f->crew != NULL) runner = check_crew_model_runner(f->crew, spec);
    if (status == AVAL_OK) status = aval_check_steps(f->ctx, &m.library, &options, report, user);
    free(description);
    check_model_close(&m);
    return status;
}

/* ---- Smaller ----------------------------------------------------------------------------------------------------------------------- */

#define MOST_RUNS 200 /* a shrink ends after so many, whatever is left to try */
#define MOST_LAYERS 64

/* How a run has failed.  Another one fails likewise when device, `what` and `fate` are the same. */
typedef struct finding {
    bool any;
    size_t device;
    char what[128], fate[16], value[256], folder[4096];
} finding;

typedef struct shrinker {
    const check_failure *failure;
    json_t *spec; /* the smallest so far that fails */
    finding first, last; /* of the folder as it is, and of the last run that failed likewise */
    size_t runs;
    char **names; /* of what a step computes */
    size_t n_names;
} shrinker;

/* Takes results: `user` is the shrinker.  The first failure of the first run says what all others must be like. */
static void take_result(void *user, const aval_check_result *result)
{
    shrinker *s = user;
    finding *to = s->first.any ? &s->last : &s->first;
    if (result->passed != 0 || to->any) return;
    if (s->first.any &&
        (s->first.device != result->device_number || strcmp(s->first.what, result->what) != 0 || strcmp(s->first.fate, result->fate) != 0))
        return;
    to->any = true;
    to->device = result->device_number;
    snprintf(to->what, sizeof to->what, "%s", result->what);
    snprintf(to->fate, sizeof to->fate, "%s", result->fate);
    snprintf(to->value, sizeof to->value, "%s", result->value);
    snprintf(to->folder, sizeof to->folder, "%s", result->folder);
}

/* A model that cannot be made so does not fail. */
static bool fails(shrinker *s, json_t *spec)
{
    finding before = s->last;
    s->last.any = false;
    s->runs++;
    int status = check_failure_run(s->failure, spec, NULL, NULL, take_result, s);
    if (status == AVAL_E_CHECK && s->last.any) return true;
    s->last = before;
    return false;
}

/* With another value for a key, which is taken over. */
static bool try_value(shrinker *s, const char *key, json_t *value)
{
    json_t *spec = s->runs < MOST_RUNS ? json_copy(s->spec) : NULL;
    bool taken = json_object_set_new(spec, key, value) == 0 && fails(s, spec);
    if (taken) {
        json_decref(s->spec);
        s->spec = spec;
    } else json_decref(spec);
    return taken;
}

/* 1, half, or one less, whichever is the first that still fails; until none does. */
static bool shrink_number(shrinker *s, const char *key, int64_t number)
{
    bool any = false, taken = true;
    while (number > 1 && taken) {
        const int64_t candidates[] = { 1, number / 2, number - 1 };
        taken = false;
        for (size_t i = 0; i < 3 && !taken; i++) {
            if (i > 0 && candidates[i] <= candidates[i - 1]) continue; /* it was tried */
            taken = try_value(s, key, json_integer(candidates[i]));
            if (taken) number = candidates[i];
        }
        any = any || taken;
    }
    return any;
}

static json_t *print_layers(const int64_t *widths, size_t n)
{
    char text[MOST_LAYERS * 24] = "";
    size_t at = 0;
    for (size_t i = 0; i < n; i++) at += (size_t)snprintf(text + at, sizeof text - at, "%s%" PRId64, i == 0 ? "" : ",", widths[i]);
    return json_string(text);
}

/* All widths at once, then one at a time. */
static bool shrink_widths(shrinker *s, int64_t *widths, size_t n)
{
    bool any = false;
    for (size_t i = 0; i <= n; i++) {
        bool taken = true;
        while (taken) {
            taken = false;
            for (int step = 0; step < 3 && !taken; step++) {
                int64_t smaller[MOST_LAYERS];
                bool changed = false;
                for (size_t k = 0; k < n; k++) {
                    const int64_t w = widths[k], candidates[] = { 1, w / 2, w - 1 };
                    smaller[k] = w > 1 && (i == 0 || k == i - 1) ? candidates[step] : w;
                    changed = changed || smaller[k] != w;
                }
                taken = changed && try_value(s, "layers", print_layers(smaller, n));
                if (taken) memcpy(widths, smaller, n * sizeof *widths);
            }
            any = any || taken;
        }
    }
    return any;
}

static bool shrink_layers(shrinker *s, int64_t *widths, size_t n)
{
    bool any = false;
    while (n > 1 && try_value(s, "layers", print_layers(widths, n - 1))) {
        n--;
        any = true;
    }
    return n > 0 && shrink_widths(s, widths, n) ? true : any;
}

static void add_name(void *user, const char *name)
{
    shrinker *s = user;
    char **names = realloc(s->names, (s->n_names + 1) * sizeof *names);
    if (names == NULL) return;
    s->names = names;
    names[s->n_names] = strdup(name);
    if (names[s->n_names] != NULL) s->n_names++;
}

/* One result alone: what the launch that is to blame makes; else values, which need no gradient; else the gradients, those of the last layers first, which need the
   fewest launches. */
static bool shrink_results(shrinker *s)
{
    if (json_object_get(s->spec, "only") != NULL) return false;
    if (s->last.value[0] != 0 && try_value(s, "only", json_string(s->last.value))) return true;
    for (int gradients = 0; gradients < 2; gradients++) {
        for (size_t i = s->n_names; i-- > 0;) {
            bool is_value = strncmp(s->names[i], "value ", 6) == 0;
            if (is_value == (gradients == 0) && try_value(s, "only", json_string(s->names[i]))) return true;
        }
    }
    return false;
}

/* Everything in turn, until nothing can be smaller; *changed: something is. */
static int shrink(shrinker *s, bool *changed)
{
    bool any = true;
    *changed = false;
    while (any) {
        check_model m;
        int64_t widths[MOST_LAYERS], batch = 1, length = 1;
        size_t n_layers = 0;
        int status = check_model_open(s->failure->ctx, s->spec, &m);
        if (status == AVAL_OK) {
            batch = check_model_free(&m, true);
            length = check_model_free(&m, false);
            n_layers = check_model_layers(&m, widths, MOST_LAYERS);
            if (s->n_names == 0) status = aval_check_model_results(&m.library, add_name, s);
        }
        check_model_close(&m);
        if (status < 0) return status;
        any = shrink_number(s, "batch", batch);
        any = shrink_number(s, "length", length) || any;
        any = shrink_layers(s, widths, n_layers) || any;
        any = shrink_results(s) || any;
        *changed = *changed || any;
    }
    return AVAL_OK;
}

/* Of all that may have become smaller, so that no folder has the name of the one it came from. */
static void put_label(const json_t *spec, char *label, size_t bytes)
{
    const json_t *length = json_object_get(spec, "length");
    const char *layers = json_string_value(json_object_get(spec, "layers"));
    int n = snprintf(label, bytes, "batch%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(spec, "batch")));
    if (length != NULL) n += snprintf(label + n, bytes - (size_t)n, "-length%" JSON_INTEGER_FORMAT, json_integer_value(length));
    if (layers != NULL) n += snprintf(label + n, bytes - (size_t)n, "-layers%.128s", layers);
    if (json_object_get(spec, "only") != NULL) snprintf(label + n, bytes - (size_t)n, "-alone");
}

static void print_smallest(const shrinker *s)
{
    const json_t *length = json_object_get(s->spec, "length"), *only = json_object_get(s->spec, "only"),
                 *layers = json_object_get(s->spec, "layers");
    printf("the smallest step that still fails has batch %" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(s->spec, "batch")));
    if (length != NULL) printf(", free axes of length %" JSON_INTEGER_FORMAT, json_integer_value(length));
    if (layers != NULL) printf(", layers %s", json_string_value(layers));
    if (only != NULL) printf(", and computes %s alone", json_string_value(only));
    printf("; see it again with: aval check --replay %s\n", s->last.folder);
}

/* The smallest once more, for its folder. */
static int leave_folder(shrinker *s, const char *failures, bool json)
{
    char label[256];
    put_label(s->spec, label, sizeof label);
    s->last.any = false;
    int status = check_failure_run(s->failure, s->spec, failures, label, take_result, s);
    if (status < 0 && status != AVAL_E_CHECK) return cli_fail_status(status);
    if (!s->last.any)
        return cli_fail(CLI_DIFFERENCE, "the smallest step failed, and did not when it was run once more: it fails now and then");
    if (json)
        return cli_print_json(json_pack("{s:O, s:s}", "model", s->spec, "folder", s->last.folder)) == CLI_OK ? CLI_DIFFERENCE : CLI_DEVICE;
    print_smallest(s);
    return CLI_DIFFERENCE;
}

int check_failure_shrink(const check_failure *f, const char *failures, bool json)
{
    bool changed = false;
    int code = CLI_OK;
    shrinker s = { .failure = f, .spec = json_deep_copy(json_object_get(f->all, "model")) };
    int status = check_failure_run(f, s.spec, NULL, NULL, take_result, &s);
    s.last = s.first;
    if (status < 0 && status != AVAL_E_CHECK) code = cli_fail_status(status);
    else if (!s.first.any) code = cli_fail(CLI_DIFFERENCE, "the step in '%s' does not fail, so there is nothing to shrink", f->folder);
    if (code == CLI_OK && (status = shrink(&s, &changed)) < 0) code = cli_fail_status(status);
    if (code == CLI_OK && changed) code = leave_folder(&s, failures, json);
    else if (code == CLI_OK) code = cli_fail(CLI_DIFFERENCE, "nothing smaller than '%s' fails", f->folder);
    for (size_t i = 0; i < s.n_names; i++) free(s.names[i]);
    free(s.names);
    json_decref(s.spec);
    return code;
}
