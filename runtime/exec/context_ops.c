/* The context's plugins and operators: where the default plugins lie, and what is loaded. */
#include "exec/context.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Folders of plugins relative to the library's: installed, and in a build tree. */
static const char *const beside_library[] = { "aval/plugins", "plugins" };

static bool is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

/* The folder that the library lies in (of the program, when it is linked in), with links resolved. */
static int library_folder(char folder[PATH_MAX])
{
    static const char mark = 0; /* an address inside the library */
    Dl_info about;
    if (!dladdr(&mark, &about) || !about.dli_fname || !realpath(about.dli_fname, folder))
        return aval__fail(AVAL_E_IO, "the library's own folder cannot be found: name the plugins' folder in AVAL_PLUGIN_PATH");
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0;
    return AVAL_OK;
}

static int load_beside_library(aval_context *ctx)
{
    char folder[PATH_MAX];
    AVAL__TRY(library_folder(folder));
    for (size_t i = 0; i < sizeof beside_library / sizeof beside_library[0]; i++) {
        aval__text path = { 0 };
        size_t refused;
        aval__text_add(&path, "%s/%s", folder, beside_library[i]);
        bool found = !path.failed && is_folder(path.at);
        int status = path.failed ? AVAL_E_MEMORY : found ? aval__registry_load_folder(ctx->registry, path.at, &refused) : AVAL_OK;
        aval__text_release(&path);
        if (found || status < 0) return status;
    }
    return aval__fail(AVAL_E_UNKNOWN, "no plugins were found: looked for %s/%s and %s/%s; name their folder in AVAL_PLUGIN_PATH", folder,
                      beside_library[0], folder, beside_library[1]);
}

static int load_path(aval_context *ctx, const char *path)
{
    int status = AVAL_OK;
    size_t refused, all_refused = 0;
    char *copy = aval__copy_text(path), *rest = NULL;
    if (!copy) return AVAL_E_MEMORY;
    for (char *one = strtok_r(copy, ":", &rest); one && status == AVAL_OK; one = strtok_r(NULL, ":", &rest)) {
        status = aval__registry_load_folder(ctx->registry, one, &refused);
        all_refused += refused;
    }
    if (status == AVAL_OK && all_refused > 0 && aval__registry_plugin_count(ctx->registry) == 0) /* aval_error has the last one's reason */
        status = aval__fail_in(AVAL_E_PLUGIN, "every plugin was refused (%zu), the last one so", all_refused);
    if (status < 0) aval__fail_in(status, "AVAL_PLUGIN_PATH");
    aval__free(copy);
    return status;
}

int aval__context_plugins(aval_context *ctx)
{
    const char *path = getenv("AVAL_PLUGIN_PATH");
    if (ctx->plugins_chosen || aval__registry_plugin_count(ctx->registry) > 0) return AVAL_OK;
    int status = path && path[0] ? load_path(ctx, path) : load_beside_library(ctx);
    ctx->plugins_chosen = status == AVAL_OK;
    return status;
}

int aval_context_load_plugin(aval_context *ctx, const char *file)
{
    AVAL__NEED(ctx, "a context");
    if (!file) return aval__fail(AVAL_E_ARGUMENT, "a plugin's file name is needed, found NULL");
    aval__context_lock(ctx);
    int status = aval__registry_load(ctx->registry, file);
    if (status == AVAL_OK) ctx->plugins_chosen = true;
    aval__context_unlock(ctx);
    return status;
}

int aval_context_load_plugins(aval_context *ctx, const char *folder, size_t *refused)
{
    AVAL__NEED(ctx, "a context");
    size_t count = 0;
    aval__context_lock(ctx);
    int status = folder ? aval__registry_load_folder(ctx->registry, folder, &count) : aval__context_plugins(ctx);
    if (status == AVAL_OK) ctx->plugins_chosen = true;
    aval__context_unlock(ctx);
    if (refused) *refused = count;
    return status;
}

/* ---- Operators ------------------------------------------------------------------------------------------------------------- */

size_t aval_op_count(aval_context *ctx)
{
    AVAL__NEED_OR(0, ctx, "a context");
    aval__context_lock(ctx);
    size_t count = aval__context_plugins(ctx) < 0 ? 0 : aval__registry_count(ctx->registry);
    aval__context_unlock(ctx);
    return count;
}

const aval_op *aval_op_at(aval_context *ctx, size_t i)
{
    return i < aval_op_count(ctx) ? aval__registry_at(ctx->registry, i)->op : NULL;
}

const char *aval_op_plugin(aval_context *ctx, const aval_op *op)
{
    size_t count = aval_op_count(ctx);
    for (size_t i = 0; i < count; i++) {
        const aval__opdef *def = aval__registry_at(ctx->registry, i);
        if (def->op == op) return aval__plugin_file(def->plugin);
    }
    return NULL;
}

/* ---- Graphs ---------------------------------------------------------------------------------------------------------------- */

static void drop_context(void *context)
{
    aval__context_drop(context);
}

aval_graph *aval_graph_create(aval_context *ctx)
{
    AVAL__NEED_OR(NULL, ctx, "a context");
    aval__context_lock(ctx);
    int status = aval__context_plugins(ctx);
    char *message = status < 0 ? aval__copy_text(aval_error()) : NULL;
    aval__context_unlock(ctx);
    aval_graph *g = aval__graph_create(ctx->registry, &ctx->log);
    if (g) {
        aval__context_hold(ctx);
        g->owner = ctx;
        g->drop_owner = drop_context;
    }
    if (g && status < 0) { /* sticks, as every error of building does */
        g->status = status;
        g->message = message;
        message = NULL;
    }
    aval__free(message);
    return g;
}
