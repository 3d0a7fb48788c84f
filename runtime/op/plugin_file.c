/* Opening a plugin's file.  Plugins are code: a file that somebody else may have written is not opened, and every reason to
 * refuse one is found before the dynamic linker runs its constructors, where that is possible. */
#include "op/registry.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int check_status(const char *path, const struct stat *s)
{
    const char *what = S_ISDIR(s->st_mode) ? "folder" : "file";
    if (s->st_uid != 0 && s->st_uid != geteuid()) {
        return aval__fail(AVAL_E_PLUGIN,
                          "%s: owner of the %s: expected root or user %ld, found user %ld; a plugin is code that would run as you", path,
                          what, (long)geteuid(), (long)s->st_uid);
    }
    if (s->st_mode & S_IWOTH) {
        return aval__fail(AVAL_E_PLUGIN,
                          "%s: permissions of the %s: expected not writable by everyone, found mode %04o; chmod o-w makes it so", path,
                          what, (unsigned)(s->st_mode & 07777));
    }
    return AVAL_OK;
}

int aval__path_check(const char *path)
{
    struct stat s;
    if (stat(path, &s) < 0) return aval__fail(AVAL_E_PLUGIN, "%s: expected a file or folder, found: %s", path, strerror(errno));
    return check_status(path, &s);
}

/* The first bytes of an ELF file; the rest is for the dynamic linker to judge. */
static int check_elf(const char *path, int file)
{
    char found[SELFMAG + 1] = { 0 };
    ssize_t got = read(file, found, SELFMAG);
    if (got == SELFMAG && memcmp(found, ELFMAG, SELFMAG) == 0) return AVAL_OK;
    if (got < 0) return aval__fail(AVAL_E_PLUGIN, "%s: expected a shared object, found: %s", path, strerror(errno));
    for (char *c = found; *c; c++) {
        if (*c < ' ' || *c > '~') *c = '?';
    }
    if (!got) return aval__fail(AVAL_E_PLUGIN, "%s: expected a shared object (an ELF file), found an empty file", path);
    return aval__fail(AVAL_E_PLUGIN, "%s: expected a shared object (an ELF file), found a file that starts with '%s'", path, found);
}

/* `path` has no links left in it. */
static int check_file(const char *path)
{
    int status = AVAL_OK;
    struct stat s;
    char *folder = NULL;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not make us wait */
    if (file < 0) return aval__fail(AVAL_E_PLUGIN, "%s: expected a readable file, found: %s", path, strerror(errno));
    if (fstat(file, &s) < 0) {
        status = aval__fail(AVAL_E_PLUGIN, "%s: fstat: %s", path, strerror(errno));
        goto done;
    }
    if (!S_ISREG(s.st_mode)) {
        status = aval__fail(AVAL_E_PLUGIN, "%s: expected a file, found %s", path, S_ISDIR(s.st_mode) ? "a folder" : "something else");
        goto done;
    }
    AVAL__TRY_DONE(check_status(path, &s));
    folder = aval__copy_text(path);
    if (!folder) {
        status = AVAL_E_MEMORY;
        goto done;
    }
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = 0;
    AVAL__TRY_DONE(aval__path_check(slash ? folder : "."));
    status = check_elf(path, file);
done:
    aval__free(folder);
    close(file);
    return status;
}

/* A table that claims to be larger than the object that it lies in would be read past its end. */
static int check_symbol(const char *path, const void *symbol)
{
    Dl_info info;
    void *extra = NULL;
    const size_t least = offsetof(aval_plugin, name); /* abi and size */
    if (!dladdr1(symbol, &info, &extra, RTLD_DL_SYMENT) || !extra) return AVAL_OK; /* stripped of sizes: nothing to compare */
    size_t bytes = (size_t)((const ElfW(Sym) *)extra)->st_size;
    if (bytes == 0) return AVAL_OK;
    if (bytes < least) {
        return aval__fail(AVAL_E_PLUGIN, "%s: " AVAL_PLUGIN_SYMBOL ": expected at least %zu bytes, found an object of %zu", path, least,
                          bytes);
    }
    const aval_plugin *plugin = symbol;
    if (plugin->abi == AVAL_PLUGIN_ABI && plugin->size > bytes) {
        return aval__fail(AVAL_E_PLUGIN, "%s: " AVAL_PLUGIN_SYMBOL ": size: expected at most the object's %zu bytes, found %zu", path,
                          bytes, plugin->size);
    }
    return AVAL_OK;
}

int aval__plugin_open(const char *file, void **handle, const aval_plugin **plugin)
{
    char path[PATH_MAX];
    *handle = NULL;
    if (!realpath(file, path)) return aval__fail(AVAL_E_PLUGIN, "%s: expected a plugin file, found: %s", file, strerror(errno));
    AVAL__TRY(check_file(path));
    void *opened = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!opened) return aval__fail(AVAL_E_PLUGIN, "%s: the dynamic linker refuses it: %s", path, dlerror());
    const void *symbol = dlsym(opened, AVAL_PLUGIN_SYMBOL);
    int status =
        symbol ? check_symbol(path, symbol)
               : aval__fail(AVAL_E_PLUGIN, "%s: expected the symbol " AVAL_PLUGIN_SYMBOL ", found none: is it a plugin of aval?", path);
    if (status < 0) {
        dlclose(opened);
        return status;
    }
    *handle = opened;
    *plugin = symbol;
    return AVAL_OK;
}

void aval__plugin_close(void *handle)
{
    if (handle) dlclose(handle);
}
