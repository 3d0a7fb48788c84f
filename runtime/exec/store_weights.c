/* Weights of others into a store that is there: names by rules, shapes checked, all that does not fit in one message. */
#include "exec/store.h"
#include "model/model.h"

#include <string.h>

#define MOST_LINES 20 /* of a kind in the message */

/* An entry of the file, and where it goes. */
typedef struct load {
    const aval__safetensor *from;
    const aval__entry *to; /* NULL: nowhere */
    bool transposed;
} load;

typedef struct loading {
    aval_store *store;
    const aval_weights_options *options;
    aval__arena arena;
    load *loads; /* one an entry of the file */
    size_t n_loads;
    aval__text missing, unexpected, misfits;
    size_t n_missing, n_unexpected, n_misfits;
} loading;

/* ---- Names ------------------------------------------------------------------------------------------------------------------------------ */

/* Does the name fit the pattern?  Then *part is what its `*` stands for. */
static bool fits(const char *pattern, const char *name, const char **part, size_t *length)
{
    const char *star = strchr(pattern, '*');
    size_t before = star ? (size_t)(star - pattern) : 0, after = star ? strlen(star + 1) : 0, whole = strlen(name);
    *part = "";
    *length = 0;
    if (!star) return strcmp(pattern, name) == 0;
    if (whole < before + after || strncmp(pattern, name, before) != 0 || strcmp(star + 1, name + whole - after) != 0) return false;
    *part = name + before;
    *length = whole - before - after;
    return true;
}

/* The name in the store; *name stays NULL where a rule leaves the entry out. */
static int rename_entry(loading *l, const char *from, const char **name, bool *transposed)
{
    const char *part;
    size_t length;
    *name = from;
    *transposed = false;
    for (const aval_weight_rule *rule = l->options->rules; rule && rule->file; rule++) {
        if (!fits(rule->file, from, &part, &length)) continue;
        *transposed = rule->transposed != 0;
        *name = NULL;
        if (!rule->store) return AVAL_OK;
        aval__text text = { 0 };
        const char *star = strchr(rule->store, '*');
        aval__text_put(&text, rule->store, star ? (size_t)(star - rule->store) : strlen(rule->store));
        if (star) {
            aval__text_put(&text, part, length);
            aval__text_put(&text, star + 1, strlen(star + 1));
        }
        *name = text.failed ? NULL : aval__arena_text(&l->arena, text.at);
        aval__text_release(&text);
        return *name ? AVAL_OK : AVAL_E_MEMORY;
    }
    return AVAL_OK;
}

/* ---- What does not fit -------------------------------------------------------------------------------------------------------------------- */

static void list(aval__text *text, size_t *count, const char *name)
{
    if (++*count <= MOST_LINES) aval__text_add(text, "%s'%s'", *count > 1 ? ", " : "", name);
    if (*count == MOST_LINES + 1) aval__text_add(text, ", ...");
}

static bool is_float(int type)
{
    return (AVAL_REALS & AVAL_TYPE_SET(type)) != 0;
}

static void check_fit(loading *l, load *one)
{
    const aval_tensor *from = &one->from->tensor, *to = &one->to->tensor;
    bool same = one->transposed ? from->rank == 2 && to->rank == 2 && from->dims[0] == to->dims[1] && from->dims[1] == to->dims[0]
                                : aval__tensor_same_shape(from, to);
    bool convertible = from->type == to->type || (l->options->convert && is_float(from->type) && is_float(to->type));
    if (same && convertible) return;
    if (l->n_misfits++ >= MOST_LINES) return;
    aval__text_add(&l->misfits, "\n  '%s' is ", one->from->name);
    aval__tensor_print(&l->misfits, from);
    aval__text_add(&l->misfits, " in the file%s, but '%s' ", one->transposed ? ", to be transposed" : "", one->to->name);
    aval__tensor_print(&l->misfits, to);
    aval__text_add(&l->misfits, " in the store%s", same ? " (`convert` rounds floats)" : "");
}

static int find_places(loading *l, const aval__safetensors *file)
{
    l->loads = aval__arena_alloc(&l->arena, (file->count + 1) * sizeof *l->loads);
    if (!l->loads) return AVAL_E_MEMORY;
    for (size_t i = 0; i < file->count; i++) {
        const char *name;
        load *one = &l->loads[l->n_loads++];
        one->from = &file->at[i];
        AVAL__TRY(rename_entry(l, one->from->name, &name, &one->transposed));
        if (!name) continue;
        one->to = aval__store_find(l->store, name);
        if (!one->to) list(&l->unexpected, &l->n_unexpected, name);
        else check_fit(l, one);
    }
    for (size_t e = 0; e < l->store->order.count; e++) {
        const aval__entry *entry = l->store->order.at[e];
        size_t found = 0;
        for (size_t i = 0; i < l->n_loads; i++) found += l->loads[i].to == entry;
        if (found == 0) list(&l->missing, &l->n_missing, entry->name);
        if (found > 1) return aval__fail(AVAL_E_ARGUMENT, "%zu entries of the file are to become '%s': mend the rules", found, entry->name);
    }
    return AVAL_OK;
}

/* One message with all of it. */
static int judge(const loading *l)
{
    const char *const missing = l->missing.at ? l->missing.at : "", *unexpected = l->unexpected.at ? l->unexpected.at : "";
    bool no_missing = l->n_missing == 0 || (l->options->allow & AVAL_ALLOW_MISSING);
    bool no_unexpected = l->n_unexpected == 0 || (l->options->allow & AVAL_ALLOW_UNEXPECTED);
    aval__text text = { 0 };
    if (l->missing.failed || l->unexpected.failed || l->misfits.failed) return AVAL_E_MEMORY;
    if (!no_missing) aval__text_add(&text, "\n  the file lacks %zu of the store: %s", l->n_missing, missing);
    if (!no_unexpected) aval__text_add(&text, "\n  the store lacks %zu of the file: %s", l->n_unexpected, unexpected);
    if (l->n_misfits > 0) aval__text_add(&text, "%s", l->misfits.at);
    if (l->n_misfits > MOST_LINES) aval__text_add(&text, "\n  ... %zu in all", l->n_misfits);
    int code = l->n_misfits > 0 ? AVAL_E_SHAPE : AVAL_E_UNKNOWN;
    int status = text.failed ? AVAL_E_MEMORY : text.length == 0 ? AVAL_OK : aval__fail(code, "the weights do not fit:%s", text.at);
    aval__text_release(&text);
    return status;
}

/* ---- Contents ----------------------------------------------------------------------------------------------------------------------------- */

static void transpose(unsigned char *to, const unsigned char *from, const aval_tensor *shape)
{
    size_t item = aval_type_bytes(shape->type), rows = (size_t)shape->dims[0], columns = (size_t)shape->dims[1];
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) memcpy(to + (c * rows + r) * item, from + (r * columns + c) * item, item);
}

static int write_entry(loading *l, const load *one)
{
    const aval_tensor *from = &one->from->tensor;
    const void *data = one->from->data;
    int status = AVAL_OK;
    unsigned char *turned = NULL, *converted = NULL;
    if (one->transposed) {
        turned = aval__alloc(aval__tensor_bytes(from) + 1);
        if (!turned) AVAL__TRY_DONE(AVAL_E_MEMORY);
        transpose(turned, data, from);
        data = turned;
    }
    if (from->type != one->to->tensor.type) {
        converted = aval__alloc(one->to->bytes + 1);
        if (!converted) AVAL__TRY_DONE(AVAL_E_MEMORY);
        AVAL__TRY_DONE(aval_convert(converted, one->to->tensor.type, data, from->type, (size_t)aval__tensor_count(from)));
        data = converted;
    }
    status = aval__store_write(l->store, one->to->name, &one->to->tensor, data);
done:
    aval__free(turned);
    aval__free(converted);
    return status;
}

static int load_all(loading *l, const aval__safetensors *file, aval_weights_report *report)
{
    size_t loaded = 0;
    AVAL__TRY(find_places(l, file));
    AVAL__TRY(judge(l)); /* before the first is written: a file that does not fit changes nothing */
    for (size_t i = 0; i < l->n_loads; i++) {
        if (!l->loads[i].to) continue;
        AVAL__TRY(write_entry(l, &l->loads[i]));
        loaded++;
    }
    if (report)
        *report = (aval_weights_report){ .size = sizeof *report, .loaded = loaded, .missing = l->n_missing, .unexpected = l->n_unexpected };
    return AVAL_OK;
}

int aval_store_load_weights(aval_store *store, const char *file, const aval_weights_options *options, aval_weights_report *report)
{
    static const aval_weights_options none = { .size = sizeof none };
    AVAL__NEED(store, "a store");
    AVAL__NEED(file, "a file name");
    if (options && options->size != sizeof *options)
        return aval__fail(AVAL_E_ARGUMENT, "options->size is %zu, expected %zu", options->size, sizeof *options);
    if (report && report->size != sizeof *report)
        return aval__fail(AVAL_E_ARGUMENT, "report->size is %zu, expected %zu", report->size, sizeof *report);
    aval__safetensors read;
    loading l = { .store = store, .options = options ? options : &none };
    AVAL__TRY(aval__safetensors_read(file, &read));
    int status = load_all(&l, &read, report);
    if (status < 0) aval__fail_in(status, "%s", file);
    aval__text_release(&l.missing);
    aval__text_release(&l.unexpected);
    aval__text_release(&l.misfits);
    aval__arena_release(&l.arena);
    aval__safetensors_release(&read);
    return status;
}
