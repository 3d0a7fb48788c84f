/* What is chosen for the products of a device: names of shape classes and variants, and the table that `aval tune` fills and planning reads,
 * on disk among the verdicts on the device (verdicts.h).  An entry counts as long as the provider's kernels are the same. */
#include "device/tuning.h"
#include "device/private.h"
#include "device/verdicts.h"
#include "op/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A failed allocation of the table must not end the process. */
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(bytes) aval__alloc(bytes)
#define uthash_free(memory, bytes) aval__free(memory)
#include <uthash.h>

typedef struct entry {
    char class[AVAL__CLASS_LENGTH];
    aval__variant variant;
    UT_hash_handle hh;
} entry;

struct aval__tuned {
    entry *entries; /* uthash */
    bool has_groups; /* entries of ops, which are looked for only then */
    const aval__variant *trial; /* NULL: none is under way */
};

/* ---- Classes ------------------------------------------------------------------------------------------------------------------- */

#define EXACT_SIZES 32
#define MOST_GROUP 1024 /* work-items */

int64_t aval__tuning_round(int64_t x)
{
    int64_t step = 1;
    if (x <= EXACT_SIZES) return x;
    while (8 * step <= x) step *= 2;
    return (x + step / 2) / step * step;
}

static long long round_size(int64_t x)
{
    return aval__tuning_round(x);
}

static void add_patches(aval__text *text, const aval_patches *p)
{
    static const char *const axes[] = { "", "x", "x" };
    aval__text_add(text, ", patches of %lld channels of ", round_size(p->channels));
    for (int i = 0; i < 3; i++) aval__text_add(text, "%s%lld", axes[i], round_size(p->in[i]));
    aval__text_add(text, " by ");
    for (int i = 0; i < 3; i++) aval__text_add(text, "%s%lld", axes[i], (long long)p->kernel[i]);
    for (int i = 0; i < 3; i++) {
        if (p->stride[i] != 1) aval__text_add(text, ", stride %d: %lld", i, (long long)p->stride[i]);
        if (p->pad[i] != 0) aval__text_add(text, ", pad %d: %lld", i, (long long)p->pad[i]);
        if (p->dilation[i] != 1) aval__text_add(text, ", dilation %d: %lld", i, (long long)p->dilation[i]);
    }
}

void aval__tuning_class(const aval_gemm *gemm, int type, char out[AVAL__CLASS_LENGTH])
{
    aval__text text = { 0 };
    aval_gemm g;
    if (!aval__gemm_normalise(gemm, &g)) g = *gemm;
    aval__text_add(&text, "%s %lld x %lld x %lld", aval_type_name(type), round_size(g.m), round_size(g.n), round_size(g.k));
    if (g.a.transposed) aval__text_add(&text, ", a transposed");
    if (g.b.transposed) aval__text_add(&text, ", b transposed");
    if (g.c.transposed) aval__text_add(&text, ", c transposed");
    if (g.batch > 1) {
        aval__text_add(&text, ", %lld %s", round_size(g.batch), g.sum ? "summed" : "times");
        if (g.a.batch_stride == 0) aval__text_add(&text, ", same a");
        if (g.b.batch_stride == 0) aval__text_add(&text, ", same b");
    }
    if (g.beta != 0) aval__text_add(&text, ", added");
    if (g.b.patches != NULL) add_patches(&text, g.b.patches);
    snprintf(out, AVAL__CLASS_LENGTH, "%s", text.failed ? "" : text.at);
    aval__text_release(&text);
}

/* ---- Variants ------------------------------------------------------------------------------------------------------------------ */

static const char *const knob_names[AVAL__KNOBS] = {
    [AVAL__KNOB_METHOD] = "method", [AVAL__KNOB_ROWS] = "rows",   [AVAL__KNOB_VECTOR] = "vector", [AVAL__KNOB_VECTORS] = "vectors",
    [AVAL__KNOB_ITEMS] = "items",   [AVAL__KNOB_BLOCK] = "block", [AVAL__KNOB_SLICE] = "slice",   [AVAL__KNOB_OWN] = "own",
    [AVAL__KNOB_TILE] = "tile",     [AVAL__KNOB_PARTS] = "parts", [AVAL__KNOB_GROUP] = "group",   [AVAL__KNOB_OPEN] = "open",
};

void aval__variant_print(const aval__variant *variant, char out[AVAL__VARIANT_LENGTH])
{
    aval__text text = { 0 };
    const aval__gemm_provider *provider = variant->provider;
    aval__text_add(&text, "%s", provider == NULL ? "default" : provider->name);
    for (int i = 0; i < AVAL__KNOBS; i++) {
        if (variant->knobs[i] == 0) continue;
        if (i == AVAL__KNOB_METHOD && provider != NULL)
            aval__text_add(&text, " method=%s", provider->tuner->methods[variant->knobs[i] - 1]);
        else aval__text_add(&text, " %s=%d", knob_names[i], (int)variant->knobs[i]);
    }
    snprintf(out, AVAL__VARIANT_LENGTH, "%s", text.failed ? "" : text.at);
    aval__text_release(&text);
}

static const aval__gemm_provider *find_provider(const char *name)
{
    for (size_t i = 0; i < aval__gemm_provider_count(); i++)
        if (strcmp(aval__gemm_provider_at(i)->name, name) == 0) return aval__gemm_provider_at(i);
    return NULL;
}

static int32_t read_value(const aval__tuner *tuner, int knob, const char *text)
{
    if (knob != AVAL__KNOB_METHOD) return (int32_t)strtol(text, NULL, 10);
    for (int32_t i = 0; tuner->methods != NULL && tuner->methods[i] != NULL; i++)
        if (strcmp(tuner->methods[i], text) == 0) return i + 1;
    return 0;
}

static bool is_allowed(const aval__tuner *tuner, int knob, int32_t value)
{
    for (size_t i = 0; i < tuner->n_ranges; i++) {
        if ((int)tuner->ranges[i].knob != knob) continue;
        for (const int32_t *v = tuner->ranges[i].values; *v != 0; v++)
            if (*v == value) return true;
    }
    return false;
}

/* A work-group of an op: a power of two. */
static bool read_group(int knob, const char *value, aval__variant *out)
{
    long n = strtol(value, NULL, 10);
    if ((knob != AVAL__KNOB_GROUP && knob != AVAL__KNOB_OPEN) || n < 1 || n > MOST_GROUP || (n & (n - 1)) != 0) return false;
    out->knobs[knob] = (int32_t)n;
    return true;
}

/* "rows=14" */
static bool read_knob(char *word, aval__variant *out)
{
    char *value = strchr(word, '=');
    int knob = 0;
    if (value == NULL) return false;
    *value++ = 0;
    while (knob < AVAL__KNOBS && strcmp(knob_names[knob], word) != 0) knob++;
    if (knob == AVAL__KNOBS) return false;
    if (out->provider == NULL) return read_group(knob, value, out);
    if (out->provider->tuner == NULL) return false;
    out->knobs[knob] = read_value(out->provider->tuner, knob, value);
    return is_allowed(out->provider->tuner, knob, out->knobs[knob]);
}

bool aval__variant_read(const char *text, aval__variant *out)
{
    char copy[AVAL__VARIANT_LENGTH], *rest = NULL;
    *out = (aval__variant){ 0 };
    if (strlen(text) >= sizeof copy) return false;
    snprintf(copy, sizeof copy, "%s", text);
    const char *name = strtok_r(copy, " ", &rest);
    if (name == NULL) return false;
    if (strcmp(name, "default") != 0 && (out->provider = find_provider(name)) == NULL) return false;
    for (char *word; (word = strtok_r(NULL, " ", &rest)) != NULL;)
        if (!read_knob(word, out)) return false;
    return true;
}

/* ---- The table ----------------------------------------------------------------------------------------------------------------- */

/* What is measured holds for so many compute units, and for this size of work-group. */
static void name_kind(const aval__device *device, char *kind, size_t bytes)
{
    const aval_device_info *info = aval__device_info(device);
    snprintf(kind, bytes, "tuning, %u units, groups of %u", (unsigned)info->compute_units, (unsigned)info->group);
}

static uint64_t stamp_of(const aval__variant *variant)
{
    const aval_kernel_source *source = variant->provider == NULL ? NULL : variant->provider->source;
    return source == NULL ? 1 : aval__hash64(source->text, strlen(source->text), 1);
}

static entry *find_entry(const struct aval__tuned *tuned, const char *class)
{
    entry *found = NULL;
    HASH_FIND_STR(tuned->entries, class, found);
    return found;
}

static int put(struct aval__tuned *tuned, const char *class, const aval__variant *variant)
{
    entry *e = find_entry(tuned, class);
    if (e == NULL) {
        e = aval__alloc(sizeof *e);
        if (e == NULL) return AVAL_E_MEMORY;
        snprintf(e->class, sizeof e->class, "%s", class);
        HASH_ADD_STR(tuned->entries, class, e);
        if (e->hh.tbl == NULL) {
            aval__free(e);
            return aval__fail(AVAL_E_MEMORY, "no memory for what was tuned");
        }
    }
    e->variant = *variant;
    tuned->has_groups |= aval__variant_has_groups(variant);
    return AVAL_OK;
}

static void clear(struct aval__tuned *tuned)
{
    entry *e, *next;
    HASH_ITER (hh, tuned->entries, e, next) {
        HASH_DEL(tuned->entries, e);
        aval__free(e);
    }
    tuned->has_groups = false;
}

static void take_remembered(void *user, const char *subject, const aval__verdict *verdict)
{
    aval__variant variant;
    if (strlen(subject) >= AVAL__CLASS_LENGTH || !aval__variant_read(verdict->message, &variant)) return;
    if (verdict->stamp == stamp_of(&variant)) put(user, subject, &variant);
}

/* NULL, and no failure: nothing is kept on disk, or it cannot be read. */
static aval__verdicts *open_verdicts(aval__device *device)
{
    aval__verdicts *v = NULL;
    const char *folder = aval__cache_folder(device->owner);
    if (folder != NULL) aval__verdicts_open(folder, aval__device_info(device), aval__devices_ordinal(device->owner, device->index), &v);
    return v;
}

static bool is_ignored(const aval__device *device)
{
    const char *wanted = getenv("AVAL_TUNED");
    return device->owner->ignores_tuning || (wanted != NULL && strcmp(wanted, "0") == 0);
}

/* The table, read from disk where that has not happened yet; NULL: no memory.  Under the lock. */
static struct aval__tuned *table_of(aval__device *device)
{
    char kind[64];
    if (device->tuned != NULL) return device->tuned;
    device->tuned = aval__alloc(sizeof *device->tuned);
    if (device->tuned == NULL || is_ignored(device)) return device->tuned;
    aval__verdicts *v = open_verdicts(device);
    name_kind(device, kind, sizeof kind);
    if (v != NULL) aval__verdicts_list(v, kind, take_remembered, device->tuned);
    aval__verdicts_close(v);
    return device->tuned;
}

void aval__tuning_release(aval__device *device)
{
    if (device->tuned != NULL) clear(device->tuned);
    aval__free(device->tuned);
    device->tuned = NULL;
}

aval__variant aval__tuning_find(const aval_device_info *info, const aval_gemm *gemm, int type, const aval__gemm_provider *provider)
{
    aval__variant found = { 0 };
    aval__device *device = aval__device_of(info);
    if (device == NULL || gemm->groups > 0 || aval__gemm_in_blocks(gemm)) return found; /* neither in groups nor in blocks is tuned */
    pthread_mutex_lock(&device->programs_lock);
    const struct aval__tuned *tuned = table_of(device);
    if (tuned != NULL && tuned->trial != NULL) {
        found = *tuned->trial;
    } else if (tuned != NULL && tuned->entries != NULL) {
        char class[AVAL__CLASS_LENGTH];
        aval__tuning_class(gemm, type, class);
        const entry *e = find_entry(tuned, class);
        if (e != NULL) found = e->variant;
    }
    pthread_mutex_unlock(&device->programs_lock);
    if (provider != NULL && found.provider != provider) found = (aval__variant){ 0 };
    return found;
}

bool aval__tuning_has_groups(aval__device *device)
{
    pthread_mutex_lock(&device->programs_lock);
    const struct aval__tuned *tuned = table_of(device);
    bool has = tuned != NULL && tuned->has_groups;
    pthread_mutex_unlock(&device->programs_lock);
    return has;
}

aval__variant aval__tuning_find_class(aval__device *device, const char *class)
{
    aval__variant found = { 0 };
    pthread_mutex_lock(&device->programs_lock);
    const struct aval__tuned *tuned = table_of(device);
    const entry *e = tuned == NULL ? NULL : find_entry(tuned, class);
    if (e != NULL) found = e->variant;
    pthread_mutex_unlock(&device->programs_lock);
    return found;
}

void aval__tuning_try(aval__device *device, const aval__variant *variant)
{
    pthread_mutex_lock(&device->programs_lock);
    struct aval__tuned *tuned = table_of(device);
    if (tuned != NULL) tuned->trial = variant;
    pthread_mutex_unlock(&device->programs_lock);
}

static void save(aval__device *device, const char *class, const aval__variant *variant)
{
    char kind[64];
    aval__verdict verdict = { .stamp = stamp_of(variant), .passed = 1, .when = (int64_t)time(NULL) };
    aval__variant_print(variant, verdict.message);
    aval__verdicts *v = open_verdicts(device);
    name_kind(device, kind, sizeof kind);
    if (v != NULL && aval__verdicts_add(v, kind, class, &verdict) == AVAL_OK) aval__verdicts_save(v);
    aval__verdicts_close(v);
}

int aval__tuning_set(aval__device *device, const char *class, const aval__variant *variant, bool remember)
{
    pthread_mutex_lock(&device->programs_lock);
    struct aval__tuned *tuned = table_of(device);
    int status = tuned == NULL ? AVAL_E_MEMORY : put(tuned, class, variant);
    pthread_mutex_unlock(&device->programs_lock);
    if (status == AVAL_OK && remember) save(device, class, variant);
    return status;
}

int aval__tuning_forget(aval__device *device)
{
    char kind[64];
    int status = AVAL_OK;
    pthread_mutex_lock(&device->programs_lock);
    struct aval__tuned *tuned = table_of(device);
    if (tuned != NULL) clear(tuned);
    pthread_mutex_unlock(&device->programs_lock);
    aval__verdicts *v = open_verdicts(device);
    name_kind(device, kind, sizeof kind);
    if (v != NULL) status = aval__verdicts_forget(v, kind);
    if (status == AVAL_OK && v != NULL && !aval__verdicts_save(v))
        status = aval__fail(AVAL_E_IO, "what was tuned cannot be removed from the cache folder '%s'", aval__cache_folder(device->owner));
    aval__verdicts_close(v);
    return status;
}

static int by_class(const entry *a, const entry *b)
{
    return strcmp(a->class, b->class);
}

void aval__tuning_visit(aval__device *device, void (*visit)(void *user, const char *class, const aval__variant *variant), void *user)
{
    pthread_mutex_lock(&device->programs_lock);
    struct aval__tuned *tuned = table_of(device);
    if (tuned != NULL) {
        HASH_SORT(tuned->entries, by_class);
        for (const entry *e = tuned->entries; e != NULL; e = e->hh.next) visit(user, e->class, &e->variant);
    }
    pthread_mutex_unlock(&device->programs_lock);
}

static void add_to_stamp(void *user, const char *class, const aval__variant *variant)
{
    uint64_t *stamp = user;
    char text[AVAL__VARIANT_LENGTH];
    aval__variant_print(variant, text);
    *stamp = aval__hash64(text, strlen(text), aval__hash64(class, strlen(class), *stamp));
}

uint64_t aval__tuning_stamp(aval__device *device)
{
    uint64_t stamp = 0;
    aval__tuning_visit(device, add_to_stamp, &stamp);
    return stamp;
}
