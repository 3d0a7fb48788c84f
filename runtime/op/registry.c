/* The registry: all operators that are loaded, sorted by domain, name and version, and what is derived from them.
 *
 * A plugin comes in whole or not at all: all of its ops are checked and all memory is taken before the first becomes visible.
 * Definitions never move or change once they are in, so their pointers may be used without a lock until release. */
#include "op/registry.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* uthash would exit the process when memory runs out. */
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(bytes) aval__alloc(bytes)
#define uthash_free(memory, bytes) aval__free(memory)
#include <uthash.h>

struct aval__plugin {
    const aval_plugin *table;
    void *handle; /* of dlopen; NULL: linked in */
    aval__arena arena; /* definitions, expressions and `file` */
    const char *file;
    aval__opdef *defs; /* n_defs, in the table's order */
    size_t n_defs;
};

typedef struct derived_key {
    const aval__opdef *of;
    size_t key;
} derived_key;

typedef struct derived {
    derived_key key;
    const aval__opdef *def; /* NULL: 0 everywhere */
    UT_hash_handle hh;
} derived;

typedef AVAL__VEC(aval__plugin *) plugin_list;
typedef AVAL__VEC(const aval__opdef *) def_list;

struct aval__registry {
    aval__log log;
    pthread_rwlock_t lock; /* of the lists */
    plugin_list plugins; /* in the order of loading */
    def_list defs; /* sorted, all versions */
    def_list newest; /* sorted, newest version of each */
    const aval__opdef *roles[AVAL_ROLE_TRANSPOSE + 1];

    pthread_mutex_t derived_lock; /* of what follows */
    aval__arena derived_arena;
    derived *derived;
};

/* ---- Making and releasing ---------------------------------------------------------------------------------------------------------- */

static void release_plugin(aval__plugin *plugin)
{
    if (!plugin) return;
    aval__arena_release(&plugin->arena);
    aval__plugin_close(plugin->handle);
    aval__free(plugin);
}

int aval__registry_create(const aval__log *log, aval__registry **out)
{
    aval__registry *r = aval__alloc(sizeof *r);
    if (!r) return AVAL_E_MEMORY;
    if (log) r->log = *log;
    pthread_rwlock_init(&r->lock, NULL); /* neither can fail on Linux with default attributes */
    pthread_mutex_init(&r->derived_lock, NULL);
    *out = r;
    return AVAL_OK;
}

void aval__registry_release(aval__registry *r)
{
    if (!r) return;
    derived *d, *next;
    HASH_ITER (hh, r->derived, d, next) {
        HASH_DEL(r->derived, d);
        aval__free(d);
    }
    aval__arena_release(&r->derived_arena);
    for (size_t i = r->plugins.count; i-- > 0;) release_plugin(r->plugins.at[i]);
    aval__vec_release(&r->plugins);
    aval__vec_release(&r->defs);
    aval__vec_release(&r->newest);
    pthread_mutex_destroy(&r->derived_lock);
    pthread_rwlock_destroy(&r->lock);
    aval__free(r);
}

static pthread_rwlock_t *lock_of(const aval__registry *r)
{
    return (pthread_rwlock_t *)&r->lock; /* reading takes the lock too; no registry is a const object */
}

/* ---- Order ----------------------------------------------------------------------------------------------------------------------------- */

static int compare_names(const aval__opdef *def, const char *domain, const char *name)
{
    int by_domain = strcmp(def->domain, domain);
    return by_domain ? by_domain : strcmp(def->name, name);
}

/* Index of the first definition after all those of this name whose version is at most `since`. */
static size_t position_after(const aval__opdef *const *defs, size_t count, const char *domain, const char *name, uint32_t since)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_names(defs[middle], domain, name);
        if (order < 0 || (order == 0 && defs[middle]->op->since <= since)) low = middle + 1;
        else high = middle;
    }
    return low;
}

static const aval__opdef *find_in(const aval__registry *r, const char *domain, const char *name, uint32_t since)
{
    size_t after = position_after(r->defs.at, r->defs.count, domain, name, since ? since : UINT32_MAX);
    if (after == 0 || compare_names(r->defs.at[after - 1], domain, name) != 0) return NULL;
    return r->defs.at[after - 1];
}

static void insert(def_list *list, size_t position, const aval__opdef *def)
{
    memmove(list->at + position + 1, list->at + position, (list->count - position) * sizeof *list->at);
    list->at[position] = def;
    list->count++;
}

static void insert_newest(def_list *list, const aval__opdef *def)
{
    size_t after = position_after(list->at, list->count, def->domain, def->name, UINT32_MAX);
    if (after > 0 && compare_names(list->at[after - 1], def->domain, def->name) == 0) {
        if (list->at[after - 1]->op->since < def->op->since) list->at[after - 1] = def;
    } else {
        insert(list, after, def);
    }
}

/* ---- Taking a plugin in ----------------------------------------------------------------------------------------------------------------- */

static int parse_outputs(aval__plugin *plugin, aval__opdef *def)
{
    const aval__expr **outputs = aval__arena_alloc(&plugin->arena, def->n_outputs * sizeof *outputs);
    if (!outputs) return AVAL_E_MEMORY;
    aval__names names = aval__op_names(def->op, false);
    for (size_t i = 0; i < def->n_outputs; i++) {
        AVAL__TRY(aval__expr_parse(&plugin->arena, def->op->expressions[i], &names, &outputs[i]));
    }
    def->outputs = outputs;
    return AVAL_OK;
}

static const aval_kernel_source *find_source(const aval_plugin *table, const char *name)
{
    const aval_kernel_source *s = table->sources;
    if (!s || !s->name) return NULL;
    while (name && s->name && strcmp(s->name, name) != 0) s++;
    return s->name ? s : NULL;
}

static bool has_updates(const aval_op *op)
{
    for (const aval_port *output = op->outputs; output && output->name; output++)
        if (output->updates) return true;
    return false;
}

static bool has_headed(const aval_op *op)
{
    for (const aval_port *input = op->inputs; op->forward && input && input->name; input++)
        if (input->flags & (AVAL_HEADED | AVAL_ROW_HEADED)) return true;
    return false;
}

/* From an op that has been checked. */
static int make_def(aval__plugin *plugin, const aval_op *op, aval__opdef *def)
{
    size_t n_inputs = aval__ports_count(op->inputs);
    *def = (aval__opdef){
        .kind = op->expressions ? AVAL__EXPRESSION
                : op->forward   ? AVAL__KERNELS
                                : AVAL__BODY,
        .op = op,
        .name = op->name,
        .domain = op->domain ? op->domain : "",
        .plugin = plugin,
        .source = find_source(plugin->table, op->kernels),
        .n_inputs = n_inputs,
        .n_outputs = aval__ports_count(op->outputs),
        .variadic = n_inputs && op->inputs[n_inputs - 1].flags & AVAL_VARIADIC,
        .updates = has_updates(op),
        .takes_head = has_headed(op),
    };
    return op->expressions ? parse_outputs(plugin, def) : AVAL_OK;
}

/* What can only be said of an op together with all others: those of the registry and those before it in its own plugin. */
static int check_among_others(const aval__registry *r, const aval__plugin *plugin, const aval__opdef *def)
{
    const aval__opdef *same = find_in(r, def->domain, def->name, def->op->since);
    if (same && same->op->since != def->op->since) same = NULL;
    const aval__opdef *holder = def->op->role ? r->roles[def->op->role] : NULL;
    for (const aval__opdef *other = plugin->defs; other < def; other++) {
        if (compare_names(other, def->domain, def->name) == 0 && other->op->since == def->op->since) same = other;
        if (def->op->role && other->op->role == def->op->role) holder = other;
    }
    if (same) {
        return aval__fail(AVAL_E_PLUGIN, "%s: op '%s': name: expected one definition of version %u, found another in %s", plugin->file,
                          def->name, (unsigned)def->op->since, same->plugin->file);
    }
    /* A newer version of an op may be listed beside the older one, but only one of them serves the runtime. */
    if (holder) {
        return aval__fail(AVAL_E_PLUGIN, "%s: op '%s': role: expected at most one op with role %u, found it taken by '%s' of %s",
                          plugin->file, def->name, (unsigned)def->op->role, holder->name, holder->plugin->file);
    }
    return AVAL_OK;
}

static int check_and_define(const aval__registry *r, aval__plugin *plugin)
{
    AVAL__TRY(aval__plugin_check_abi(plugin->table, plugin->file)); /* until it is ours nothing behind it may be read */
    int status = aval__abi_plugin(&plugin->arena, plugin->table, &plugin->table);
    if (status < 0) return aval__fail_in(status, "%s", plugin->file);
    const aval_plugin *table = plugin->table;
    AVAL__TRY(aval__plugin_check(table, plugin->file));
    while (table->ops[plugin->n_defs]) plugin->n_defs++;
    plugin->defs = aval__arena_alloc(&plugin->arena, plugin->n_defs * sizeof *plugin->defs);
    if (!plugin->defs) return AVAL_E_MEMORY;
    for (size_t i = 0; i < plugin->n_defs; i++) {
        const aval_op *op;
        status = aval__abi_op(&plugin->arena, table->ops[i], &op);
        if (status < 0) return aval__fail_in(status, "%s: ops: op %zu", plugin->file, i);
        AVAL__TRY(aval__op_check(&plugin->arena, table, op, plugin->file));
        AVAL__TRY(make_def(plugin, op, &plugin->defs[i]));
        AVAL__TRY(check_among_others(r, plugin, &plugin->defs[i]));
    }
    return AVAL_OK;
}

/* Takes over `handle` on success only. */
static int take_in(aval__registry *r, const aval_plugin *table, void *handle, const char *file)
{
    int status;
    aval__plugin *plugin = aval__alloc(sizeof *plugin);
    if (!plugin) return AVAL_E_MEMORY;
    plugin->table = table;
    pthread_rwlock_wrlock(&r->lock);
    plugin->file = aval__arena_text(&plugin->arena, file);
    if (!plugin->file) {
        status = AVAL_E_MEMORY;
        goto done;
    }
    AVAL__TRY_DONE(check_and_define(r, plugin));
    AVAL__TRY_DONE(aval__vec_reserve(&r->plugins, r->plugins.count + 1));
    AVAL__TRY_DONE(aval__vec_reserve(&r->defs, r->defs.count + plugin->n_defs));
    AVAL__TRY_DONE(aval__vec_reserve(&r->newest, r->newest.count + plugin->n_defs));
    /* From here on nothing can fail. */
    for (size_t i = 0; i < plugin->n_defs; i++) {
        const aval__opdef *def = &plugin->defs[i];
        insert(&r->defs, position_after(r->defs.at, r->defs.count, def->domain, def->name, def->op->since), def);
        insert_newest(&r->newest, def);
        if (def->op->role) r->roles[def->op->role] = def;
    }
    plugin->handle = handle;
    r->plugins.at[r->plugins.count++] = plugin;
    plugin = NULL;
done:
    pthread_rwlock_unlock(&r->lock);
    release_plugin(plugin);
    return status;
}

int aval__registry_add(aval__registry *r, const aval_plugin *table, const char *file)
{
    return take_in(r, table, NULL, file);
}

static bool is_loaded(const aval__registry *r, const void *handle)
{
    bool found = false;
    pthread_rwlock_rdlock(lock_of(r));
    for (size_t i = 0; i < r->plugins.count && !found; i++) found = r->plugins.at[i]->handle == handle;
    pthread_rwlock_unlock(lock_of(r));
    return found;
}

int aval__registry_load(aval__registry *r, const char *file)
{
    void *handle;
    const aval_plugin *table;
    AVAL__TRY(aval__plugin_open(file, &handle, &table));
    /* The linker gives one handle for one file: named twice (by hand and in a folder) it is loaded once. */
    int status = is_loaded(r, handle) ? 1 : take_in(r, table, handle, file);
    if (status != AVAL_OK) aval__plugin_close(handle);
    return status < 0 ? status : AVAL_OK;
}

/* ---- Folders ------------------------------------------------------------------------------------------------------------------------------- */

static int is_shared_object(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 3 && strcmp(entry->d_name + length - 3, ".so") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* not alphasort, which depends on the locale */
}

int aval__registry_load_folder(aval__registry *r, const char *folder, size_t *refused)
{
    int status = AVAL_OK;
    if (refused) *refused = 0;
    AVAL__TRY(aval__path_check(folder));
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_shared_object, by_name);
    if (count < 0) {
        return aval__fail(errno == ENOMEM ? AVAL_E_MEMORY : AVAL_E_IO, "%s: expected a folder of plugins, found: %s", folder,
                          strerror(errno));
    }
    for (int i = 0; i < count; i++) {
        aval__text file = { 0 };
        aval__text_add(&file, "%s/%s", folder, entries[i]->d_name);
        int loaded = file.failed ? AVAL_E_MEMORY : status == AVAL_OK ? aval__registry_load(r, file.at) : AVAL_OK;
        if (loaded == AVAL_E_MEMORY) {
            status = loaded; /* not the plugin's fault, so not counted as its refusal */
        } else if (loaded < 0) {
            aval__log_write(&r->log, AVAL_LOG_WARNING, "plugin refused: %s", aval_error());
            if (refused) ++*refused;
        }
        aval__text_release(&file);
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* ---- Asking ---------------------------------------------------------------------------------------------------------------------------------- */

const aval__opdef *aval__registry_find(const aval__registry *r, const char *name, uint32_t since)
{
    const aval__opdef *found = NULL;
    char text[2 * NAME_MAX], *domain = NULL, *end; /* no name of a plugin's op is longer */
    if (strlen(name) >= sizeof text) return NULL;
    strcpy(text, name);
    char *version = strchr(text, '@'), *colons = strstr(text, "::"), *plain = colons ? colons + 2 : text;
    if (version) {
        *version = 0;
        since = (uint32_t)strtoul(version + 1, &end, 10);
        if (since == 0 || *end) return NULL;
    }
    if (colons) {
        *colons = 0;
        domain = strcmp(text, "ai.onnx") == 0 ? "" : text; /* model files spell it either way */
    }
    pthread_rwlock_rdlock(lock_of(r));
    found = find_in(r, domain ? domain : "", plain, since);
    if (!found && !domain) found = find_in(r, "aval", plain, since);
    pthread_rwlock_unlock(lock_of(r));
    return found;
}

/* The name itself, without its domain: Softmx and my::Softmx mean the same. */
void aval__registry_hint(const aval__registry *r, const char *name, char *hint, size_t bytes)
{
    const char *colons = strstr(name, "::"), *plain = colons ? colons + 2 : name;
    const aval__opdef *nearest = NULL;
    size_t best = 0;
    aval__text label = { 0 };
    hint[0] = 0;
    pthread_rwlock_rdlock(lock_of(r));
    for (size_t i = 0; i < r->newest.count; i++) {
        const char *candidate = r->newest.at[i]->name;
        size_t found = strcasecmp(candidate, plain) == 0 ? 0 : aval_word_distance(plain, candidate);
        if (found > strlen(candidate) / 3 + 1 || (nearest && found >= best)) continue;
        best = found;
        nearest = r->newest.at[i];
    }
    pthread_rwlock_unlock(lock_of(r));
    if (nearest) aval__opdef_label(&label, nearest);
    if (nearest && !label.failed) snprintf(hint, bytes, " (did you mean '%s'?)", label.at);
    aval__text_release(&label);
}

const aval__opdef *aval__registry_role(const aval__registry *r, aval_role role)
{
    if (role <= AVAL_ROLE_NONE || role > AVAL_ROLE_TRANSPOSE) return NULL;
    pthread_rwlock_rdlock(lock_of(r));
    const aval__opdef *def = r->roles[role];
    pthread_rwlock_unlock(lock_of(r));
    return def;
}

size_t aval__registry_count(const aval__registry *r)
{
    pthread_rwlock_rdlock(lock_of(r));
    size_t count = r->newest.count;
    pthread_rwlock_unlock(lock_of(r));
    return count;
}

const aval__opdef *aval__registry_at(const aval__registry *r, size_t i)
{
    pthread_rwlock_rdlock(lock_of(r));
    const aval__opdef *def = i < r->newest.count ? r->newest.at[i] : NULL;
    pthread_rwlock_unlock(lock_of(r));
    return def;
}

size_t aval__registry_plugin_count(const aval__registry *r)
{
    pthread_rwlock_rdlock(lock_of(r));
    size_t count = r->plugins.count;
    pthread_rwlock_unlock(lock_of(r));
    return count;
}

const aval_plugin *aval__registry_plugin_at(const aval__registry *r, size_t i)
{
    pthread_rwlock_rdlock(lock_of(r));
    const aval_plugin *table = i < r->plugins.count ? r->plugins.at[i]->table : NULL;
    pthread_rwlock_unlock(lock_of(r));
    return table;
}

const char *aval__plugin_file(const aval__plugin *plugin)
{
    return plugin->file;
}

const char *aval__plugin_name(const aval__plugin *plugin)
{
    return plugin->table->name;
}

const char *aval__plugin_version(const aval__plugin *plugin)
{
    return plugin->table->version;
}

/* ---- Derived definitions ---------------------------------------------------------------------------------------------------------------------- */

int aval__registry_derived(aval__registry *r, const aval__opdef *of, size_t key, aval__derive make, const aval__opdef **out)
{
    int status = AVAL_OK;
    derived_key wanted = { .of = of, .key = key };
    derived *d = NULL, *made = NULL;
    *out = NULL;
    pthread_mutex_lock(&r->derived_lock);
    HASH_FIND(hh, r->derived, &wanted, sizeof wanted, d);
    if (!d) {
        made = aval__alloc(sizeof *made);
        if (!made) {
            status = AVAL_E_MEMORY;
            goto done;
        }
        made->key = wanted;
        AVAL__TRY_DONE(make(&r->derived_arena, of, key, &made->def));
        HASH_ADD(hh, r->derived, key, sizeof made->key, made);
        if (!made->hh.tbl) { /* uthash ran out of memory and left it out */
            status = AVAL_E_MEMORY;
            goto done;
        }
        d = made;
        made = NULL;
    }
    *out = d->def;
done:
    pthread_mutex_unlock(&r->derived_lock);
    aval__free(made);
    return status;
}
