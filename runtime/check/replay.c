/* A failure's case once more, and made smaller while it still fails. */
#include "check/judge.h"

#include <string.h>

int aval_check_replay(aval_context *ctx, const char *folder, const aval_check_options *options, aval_check_function report, void *user)
{
    AVAL__NEED(ctx, "a context");
    AVAL__NEED(folder, "a folder");
    aval__judge j;
    aval__arena arena = { 0 };
    aval_check_case what;
    const aval__type_row *row;
    int status = aval__judge_open(&j, ctx, options, report, user);
    if (status < 0) goto done;
    AVAL__TRY_DONE(aval__failure_read(&arena, folder, &what, &row));
    AVAL__TRY_DONE(aval__check_case(&j, &what, row));
    status = aval__judge_verdict(&j);
done:
    aval__judge_close(&j);
    aval__arena_release(&arena);
    return status;
}

/* ---- Shrinking ------------------------------------------------------------------------------------------------------------------ */

typedef struct shrinker {
    aval__judge j;
    aval__arena arena;
    aval_check_case what;
    aval_sample sample;
    const aval__type_row *row;
    aval__sample_input *inputs; /* the smallest so far that fails */
    size_t n_inputs;
    size_t runs;
} shrinker;

/* A shrink ends after so many cases, whatever is left to try. */
#define MOST_RUNS 400

/* In the grammar of samples. */
static char *print_inputs(const aval__sample_input *inputs, size_t n)
{
    aval__text text = { 0 };
    for (size_t i = 0; i < n; i++) {
        const aval__sample_input *in = &inputs[i];
        aval__text_add(&text, "%s%s", i == 0 ? "" : " ", in->absent ? "-" : "");
        if (in->absent) continue;
        if (!in->follows) aval__text_add(&text, "%s", aval__sample_letters(in->tensor.type));
        aval__text_add(&text, "[");
        for (int32_t d = 0; d < in->tensor.rank; d++) aval__text_add(&text, "%s%lld", d == 0 ? "" : ",", (long long)in->tensor.dims[d]);
        aval__text_add(&text, "]");
        if (in->has_range) {
            aval__text_add(&text, "{");
            aval__text_real(&text, in->low);
            aval__text_add(&text, "..");
            aval__text_real(&text, in->high);
            aval__text_add(&text, "}");
        }
        for (size_t k = 0; in->has_values && k < in->n_values; k++) {
            aval__text_add(&text, k == 0 ? "{" : ",");
            aval__text_real(&text, in->values[k]);
        }
        if (in->has_values) aval__text_add(&text, "}");
    }
    return aval__text_take(&text);
}

/* Values beyond the elements there are would never be used. */
static void cut_values(aval__sample_input *inputs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t count = inputs[i].absent ? 0 : (size_t)aval__tensor_count(&inputs[i].tensor);
        if (inputs[i].has_values && count > 0 && inputs[i].n_values > count) inputs[i].n_values = count;
    }
}

/* Does the case fail on some device, though the host finds it valid? */
static int fails(shrinker *s, const aval__sample_input *inputs, bool *failing)
{
    aval__case c;
    const char *skip;
    *failing = false;
    char *text = print_inputs(inputs, s->n_inputs);
    if (text == NULL) return AVAL_E_MEMORY;
    s->sample.inputs = aval__arena_text(&s->arena, text);
    aval__free(text);
    if (s->sample.inputs == NULL) return AVAL_E_MEMORY;
    int status = aval__case_make(s->j.ctx, &s->what, &c, &skip);
    aval__case_release(&c);
    if (status == AVAL_E_MEMORY) return status;
    if (status < 0 || skip != NULL) return 0;
    size_t before = s->j.failed;
    s->runs++;
    for (size_t d = 0; d < s->j.n_witnesses; d++) s->j.witnesses[d].lost = false;
    AVAL__TRY(aval__check_case(&s->j, &s->what, s->row));
    *failing = s->j.failed > before;
    return 0;
}

/* Which dimensions of a length change together. */
typedef struct scope {
    size_t input; /* SIZE_MAX: of all inputs */
    int32_t axis; /* counted from the last one, as broadcasting does; -1: all of them */
} scope;

/* Dimensions of length `from` in a scope become `to`. */
static int try_length(shrinker *s, int64_t from, int64_t to, scope in, bool *taken)
{
    bool changed = false;
    *taken = false;
    aval__sample_input *smaller = aval__arena_copy(&s->arena, s->inputs, s->n_inputs * sizeof *smaller);
    if (smaller == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < s->n_inputs; i++) {
        if (smaller[i].absent || (in.input != SIZE_MAX && i != in.input)) continue;
        for (int32_t d = 0; d < smaller[i].tensor.rank; d++) {
            if (smaller[i].tensor.dims[d] != from || (in.axis >= 0 && smaller[i].tensor.rank - 1 - d != in.axis)) continue;
            smaller[i].tensor.dims[d] = to;
            changed = true;
        }
    }
    if (!changed || s->runs >= MOST_RUNS) return 0;
    cut_values(smaller, s->n_inputs);
    AVAL__TRY(fails(s, smaller, taken));
    if (*taken) s->inputs = smaller;
    return 0;
}

/* The largest length that occurs and is below `bound`; 1: none that could be smaller. */
static int64_t largest_length(const shrinker *s, int64_t bound)
{
    int64_t largest = 1;
    for (size_t i = 0; i < s->n_inputs; i++) {
        for (int32_t d = 0; !s->inputs[i].absent && d < s->inputs[i].tensor.rank; d++) {
            int64_t length = s->inputs[i].tensor.dims[d];
            if (length < bound && length > largest) largest = length;
        }
    }
    return largest;
}

/* All dimensions of a length, which keeps together what must be equal; else those of one input, or along one axis. */
static int try_scopes(shrinker *s, int64_t from, int64_t to, bool *taken)
{
    int32_t rank = 0;
    AVAL__TRY(try_length(s, from, to, (scope){ SIZE_MAX, -1 }, taken));
    for (size_t i = 0; i < s->n_inputs && !*taken; i++) {
        if (!s->inputs[i].absent && s->inputs[i].tensor.rank > rank) rank = s->inputs[i].tensor.rank;
        AVAL__TRY(try_length(s, from, to, (scope){ i, -1 }, taken));
    }
    for (int32_t axis = 0; axis < rank && !*taken; axis++) AVAL__TRY(try_length(s, from, to, (scope){ SIZE_MAX, axis }, taken));
    return 0;
}

/* Each length in turn becomes 1, half of itself, or one less, whichever is the first that still fails; until nothing does. */
static int shrink_lengths(shrinker *s)
{
    bool any = true;
    while (any) {
        any = false;
        for (int64_t length = largest_length(s, INT64_MAX); length > 1; length = largest_length(s, length)) {
            const int64_t candidates[] = { 1, length / 2, length - 1 };
            bool taken = false;
            for (size_t k = 0; k < 3 && !taken; k++) AVAL__TRY(try_scopes(s, length, candidates[k], &taken));
            any = any || taken;
        }
    }
    return 0;
}

static int shrink(shrinker *s, const char *folder, const char *failures)
{
    bool failing;
    AVAL__TRY(aval__failure_read(&s->arena, folder, &s->what, &s->row));
    s->sample = *s->what.sample;
    s->sample.more = NULL; /* what it says of outputs is said of its own shapes */
    s->what.sample = &s->sample;
    s->what.contents = NULL; /* other shapes need other contents: the generator's */
    AVAL__TRY(aval__sample_parse(&s->arena, s->sample.inputs, &s->inputs, &s->n_inputs));
    AVAL__TRY(fails(s, s->inputs, &failing));
    if (!failing) return aval__fail(AVAL_E_CHECK, "the case in '%s' does not fail, so there is nothing to shrink", folder);
    AVAL__TRY(shrink_lengths(s));
    /* once more, for its folder */
    aval_check_options keep = *s->j.options;
    const aval_check_options *before = s->j.options;
    keep.failures = failures;
    s->j.options = &keep;
    int status = fails(s, s->inputs, &failing);
    s->j.options = before;
    return status;
}

int aval_check_shrink(aval_context *ctx, const char *folder, const aval_check_options *options, char **inputs)
{
    AVAL__NEED(ctx, "a context");
    AVAL__NEED(folder, "a folder");
    AVAL__NEED(inputs, "a place for the inputs");
    shrinker s = { .runs = 0 };
    aval_check_options silent = { .size = sizeof silent };
    const char *failures = options == NULL ? NULL : options->failures;
    *inputs = NULL;
    if (options != NULL) silent = *options;
    silent.failures = NULL;
    int status = aval__judge_open(&s.j, ctx, &silent, NULL, NULL);
    if (status == 0) status = shrink(&s, folder, failures);
    if (status == 0) {
        *inputs = print_inputs(s.inputs, s.n_inputs);
        if (*inputs == NULL) status = AVAL_E_MEMORY;
    }
    aval__judge_close(&s.j);
    aval__arena_release(&s.arena);
    return status;
}
