/* Structs of plugins that were built for an older or a newer header than this runtime: brought to the size that is known here. */
#include "op/registry.h"

#include <string.h>

int aval__abi_take(void *to, size_t known, size_t least, const void *from, size_t size, const char *what)
{
    if (size < least)
        return aval__fail(AVAL_E_PLUGIN, "size: expected at least %zu, found %zu: the %s lies about its size", least, size, what);
    size_t common = size < known ? size : known;
    memcpy(to, from, common);
    memset((char *)to + common, 0, known - common);
    for (size_t i = known; i < size; i++)
        if (((const unsigned char *)from)[i])
            return aval__fail(AVAL_E_PLUGIN,
                              "size: %zu bytes are known here, and of the %s's %zu, byte %zu is in use: it needs a newer aval", known, what,
                              size, i);
    return AVAL_OK;
}

int aval__abi_op(aval__arena *arena, const aval_op *op, const aval_op **out)
{
    *out = op;
    if (op->size == sizeof *op) return AVAL_OK;
    aval_op *copy = aval__arena_alloc(arena, sizeof *copy);
    if (!copy) return AVAL_E_MEMORY;
    *out = copy;
    return aval__abi_take(copy, sizeof *copy, AVAL__OP_LEAST, op, op->size, "op");
}

int aval__abi_plugin(aval__arena *arena, const aval_plugin *plugin, const aval_plugin **out)
{
    *out = plugin;
    if (plugin->size == sizeof *plugin) return AVAL_OK;
    aval_plugin *copy = aval__arena_alloc(arena, sizeof *copy);
    if (!copy) return AVAL_E_MEMORY;
    *out = copy;
    return aval__abi_take(copy, sizeof *copy, AVAL__PLUGIN_LEAST, plugin, plugin->size, "table");
}
