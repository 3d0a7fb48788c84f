/* The cache of built programs on disk: one file an entry, named after the hash of all that decides what the compiler makes.
 *
 * Safe under concurrent processes without locks: an entry is written to a file of its own and renamed, which replaces whole files
 * at once; what is read is checked by its own hash and names its key itself, so that a torn, damaged or exchanged file is only a miss. */
#include "device/private.h"
#include "device/verdicts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX ".program"
#define ABANDONED_SECONDS 3600 /* a temporary file that old belongs to a process that died */

typedef struct entry_header {
    char magic[8];
    aval__hash key; /* as the file's name, which may be another's by now */
    uint64_t bytes; /* of the binary that follows */
    aval__hash hash; /* of the binary */
} entry_header;

static const char magic[8] = "avalpro2";

/* ---- The folder ---------------------------------------------------------------------------------------------------------- */

/* mkdir -p with mode 0700.  `path` is changed and restored on the way. */
static bool make_folders(char *path)
{
    for (char *at = path + 1; *at != 0; at++) {
        if (*at != '/') continue;
        *at = 0;
        bool made = mkdir(path, 0700) == 0 || errno == EEXIST;
        *at = '/';
        if (!made) return false;
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

/* Binaries are code: a folder in which others can write would let them run theirs. */
static const char *find_fault(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) return strerror(errno);
    if (!S_ISDIR(st.st_mode)) return "it is not a folder";
    if (st.st_uid != geteuid()) return "another user owns it";
    if (st.st_mode & (S_IWGRP | S_IWOTH)) return "other users can write to it";
    if (access(path, R_OK | W_OK | X_OK) != 0) return strerror(errno);
    return NULL;
}

/* The folder's name in *out (for aval__free), NULL when there is to be none. */
static int name_folder(char **out)
{
    const char *own = getenv("AVAL_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    aval__text path = { 0 };
    *out = NULL;
    if (own != NULL && own[0] == 0) return AVAL_OK;
    if (own != NULL) aval__text_add(&path, "%s", own);
    else if (xdg != NULL && xdg[0] == '/') aval__text_add(&path, "%s/aval", xdg);
    else if (home != NULL && home[0] != 0) aval__text_add(&path, "%s/.cache/aval", home);
    else return AVAL_OK;
    *out = aval__text_take(&path);
    return *out != NULL ? AVAL_OK : AVAL_E_MEMORY;
}

char *aval__cache_choose(const aval__log *log)
{
    char *folder;
    if (name_folder(&folder) < 0 || folder == NULL) return NULL;
    const char *fault = make_folders(folder) ? find_fault(folder) : strerror(errno);
    if (fault == NULL) return folder;
    aval__log_write(log, AVAL_LOG_WARNING,
                    "built kernels are not kept, since the cache folder '%s' cannot be used: %s; "
                    "AVAL_CACHE_DIR names another one",
                    folder, fault);
    aval__free(folder);
    return NULL;
}

const char *aval__cache_folder(aval__devices *devices)
{
    pthread_mutex_lock(&devices->lock);
    if (!devices->cache_known) {
        devices->cache_known = true;
        devices->cache_folder = aval__cache_choose(devices->log);
    }
    const char *folder = devices->cache_folder;
    pthread_mutex_unlock(&devices->lock);
    return folder;
}

/* ---- Entries -------------------------------------------------------------------------------------------------------------- */

int aval__cache_key(const aval__builder *builder, aval__hash source, const char *options, aval__hash *key)
{
    const char *const parts[] = { builder->platform, builder->platform_version, builder->device, builder->device_version,
                                  builder->driver,   builder->aval_version,     options };
    aval__text text = { 0 };
    aval__text_put(&text, (const char *)&source, sizeof source);
    /* The closing 0 of each part keeps "ab","c" and "a","bc" apart. */
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) aval__text_put(&text, parts[i], strlen(parts[i]) + 1);
    int status = text.failed ? AVAL_E_MEMORY : AVAL_OK;
    if (status == AVAL_OK) *key = aval__hash_bytes(text.at, text.length);
    aval__text_release(&text);
    return status;
}

static char *entry_path(const char *folder, aval__hash key)
{
    char name[33];
    aval__hash_text(key, name);
    aval__text path = { 0 };
    aval__text_add(&path, "%s/%s" SUFFIX, folder, name);
    return aval__text_take(&path);
}

static bool same(aval__hash a, aval__hash b)
{
    return a.low == b.low && a.high == b.high;
}

aval__cache_result aval__cache_read(const char *folder, aval__hash key, unsigned char **binary, size_t *bytes)
{
    aval__cache_result result = AVAL__CACHE_MISS;
    unsigned char *data = NULL;
    FILE *file = NULL;
    entry_header header;
    struct stat st;
    char *path = entry_path(folder, key);
    if (path == NULL || (file = fopen(path, "rbe")) == NULL) goto done;
    result = AVAL__CACHE_DAMAGED;
    if (fstat(fileno(file), &st) != 0 || fread(&header, sizeof header, 1, file) != 1) goto done;
    if (memcmp(header.magic, magic, sizeof magic) != 0 || header.bytes != (uint64_t)st.st_size - sizeof header) goto done;
    data = aval__alloc(header.bytes);
    if (data == NULL || fread(data, 1, header.bytes, file) != header.bytes) goto done;
    aval__hash found = aval__hash_bytes(data, header.bytes);
    if (!same(found, header.hash) || !same(key, header.key)) goto done;
    /* Trimming goes by the time of access, which many file systems do not keep by themselves. */
    futimens(fileno(file), (const struct timespec[2]){ { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_OMIT } });
    *binary = data;
    *bytes = header.bytes;
    data = NULL;
    result = AVAL__CACHE_HIT;
done:
    if (file != NULL) fclose(file);
    aval__free(data);
    aval__free(path);
    return result;
}

bool aval__cache_write(const char *folder, aval__hash key, const unsigned char *binary, size_t bytes, uint64_t limit_bytes)
{
    bool written = false;
    int fd = -1;
    entry_header header = { .key = key, .bytes = bytes, .hash = aval__hash_bytes(binary, bytes) };
    memcpy(header.magic, magic, sizeof magic);
    aval__text text = { 0 };
    aval__text_add(&text, "%s/new-XXXXXX", folder);
    char *temporary = aval__text_take(&text), *path = entry_path(folder, key);
    if (temporary == NULL || path == NULL || (fd = mkostemp(temporary, O_CLOEXEC)) < 0) goto done;
    FILE *file = fdopen(fd, "wb");
    if (file == NULL) {
        close(fd);
        unlink(temporary);
        goto done;
    }
    written = fwrite(&header, sizeof header, 1, file) == 1 && fwrite(binary, 1, bytes, file) == bytes;
    if (fclose(file) != 0) written = false;
    if (written) written = rename(temporary, path) == 0;
    if (!written) unlink(temporary);
    if (written) aval__cache_trim(folder, limit_bytes);
done:
    aval__free(temporary);
    aval__free(path);
    return written;
}

/* ---- The bound -------------------------------------------------------------------------------------------------------------- */

typedef struct aged {
    char name[48];
    struct timespec used;
    uint64_t bytes;
} aged;

static int by_age(const void *a, const void *b)
{
    const struct timespec *x = &((const aged *)a)->used, *y = &((const aged *)b)->used;
    if (x->tv_sec != y->tv_sec) return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

void aval__cache_trim(const char *folder, uint64_t limit_bytes)
{
    AVAL__VEC(aged) entries = { 0 };
    uint64_t total = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL) return;
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        struct stat st;
        size_t length = strlen(d->d_name);
        aged entry = { 0 };
        if (length >= sizeof entry.name || fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (strncmp(d->d_name, "new-", 4) == 0 && st.st_mtim.tv_sec + ABANDONED_SECONDS < time(NULL)) unlinkat(dirfd(dir), d->d_name, 0);
        if (length < sizeof SUFFIX || strcmp(d->d_name + length - strlen(SUFFIX), SUFFIX) != 0) continue;
        memcpy(entry.name, d->d_name, length + 1);
        entry.used = st.st_atim;
        entry.bytes = (uint64_t)st.st_size;
        if (aval__vec_push(&entries, entry) < 0) break;
        total += entry.bytes;
    }
    if (total > limit_bytes) qsort(entries.at, entries.count, sizeof entries.at[0], by_age);
    for (size_t i = 0; i < entries.count && total > limit_bytes; i++) {
        if (unlinkat(dirfd(dir), entries.at[i].name, 0) == 0) total -= entries.at[i].bytes;
    }
    closedir(dir);
    aval__vec_release(&entries);
}
