/* Verdicts on disk: see verdicts.h.  A writer holds a lock while it reads, merges and renames, so that no process loses another's entries;
 * readers need none, since a file is replaced as a whole. */
#include "device/verdicts.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define FORMAT_VERSION 1
#define PREFIX "verdicts-"
#define SUFFIX ".json"

struct aval__verdicts {
    char *folder, *file;
    char *device, *driver;
    json_t *all; /* as in the file: who it is of, and an object a kind */
    json_t *added; /* an object a kind: not in the file yet */
    json_t *forgotten; /* kinds that are to go from the file before that */
};

/* ---- Files -------------------------------------------------------------------------------------------------------------------- */

static bool is_of(const json_t *all, const json_t *identity)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)identity, key, value)
    {
        if (!json_equal(json_object_get(all, key), value)) return false;
    }
    return true;
}

/* NULL: there is none, or it is of something else.  `identity` NULL: whatever it is of. */
static json_t *read_file(const char *file, const json_t *identity)
{
    json_t *all = json_load_file(file, 0, NULL);
    if (all != NULL && json_integer_value(json_object_get(all, "format")) == FORMAT_VERSION && (identity == NULL || is_of(all, identity)))
        return all;
    json_decref(all);
    return NULL;
}

static bool write_file(const aval__verdicts *v)
{
    bool written = false;
    aval__text text = { 0 };
    aval__text_add(&text, "%s/new-XXXXXX", v->folder); /* such files are swept when their process has died: cache.c */
    char *temporary = aval__text_take(&text);
    int fd = temporary == NULL ? -1 : mkostemp(temporary, O_CLOEXEC);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (out == NULL) {
        if (fd >= 0) close(fd);
    } else {
        written = json_dumpf(v->all, out, JSON_INDENT(1) | JSON_SORT_KEYS) == 0;
        if (fclose(out) != 0) written = false;
    }
    if (written) written = rename(temporary, v->file) == 0;
    if (fd >= 0 && !written) unlink(temporary);
    aval__free(temporary);
    return written;
}

/* ---- Opening --------------------------------------------------------------------------------------------------------------------- */

static void forget(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

void aval__verdicts_close(aval__verdicts *v)
{
    if (v == NULL) return;
    aval__free(v->folder);
    aval__free(v->file);
    aval__free(v->device);
    aval__free(v->driver);
    forget(&v->all);
    forget(&v->added);
    forget(&v->forgotten);
    aval__free(v);
}

static int make(const char *folder, const char *file, json_t *all, aval__verdicts **out)
{
    const char *device = json_string_value(json_object_get(all, "device")), *driver = json_string_value(json_object_get(all, "driver"));
    aval__verdicts *v = aval__alloc(sizeof *v);
    if (v == NULL) {
        json_decref(all);
        return AVAL_E_MEMORY;
    }
    v->all = all;
    v->added = json_object();
    v->forgotten = json_object();
    v->folder = aval__copy_text(folder);
    v->file = aval__copy_text(file);
    v->device = aval__copy_text(device == NULL ? "" : device);
    v->driver = aval__copy_text(driver == NULL ? "" : driver);
    if (v->all != NULL && v->added != NULL && v->forgotten != NULL && v->folder != NULL && v->file != NULL && v->device != NULL &&
        v->driver != NULL) {
        *out = v;
        return AVAL_OK;
    }
    aval__verdicts_close(v);
    return aval__fail(AVAL_E_MEMORY, "no memory for what is known of a device");
}

int aval__verdicts_open(const char *folder, const aval_device_info *info, size_t ordinal, aval__verdicts **out)
{
    aval__text device = { 0 }, file = { 0 };
    char name[33];
    json_t *identity = NULL;
    int status = AVAL_E_MEMORY;
    *out = NULL;
    aval__text_add(&device, "%s/%s", info->platform, info->name);
    if (ordinal > 0) aval__text_add(&device, " (%zu)", ordinal + 1);
    if (device.failed) goto done;
    aval__hash_text(aval__hash_bytes(device.at, device.length), name);
    aval__text_add(&file, "%s/" PREFIX "%s" SUFFIX, folder, name);
    /* drivers may give texts that are no UTF-8: those stand as "" */
    json_t *device_json = json_string(device.at), *driver = json_string(info->driver), *version = json_string(info->version);
    identity =
        json_pack("{s:i, s:o, s:o, s:o, s:s}", "format", FORMAT_VERSION, "device", device_json ? device_json : json_string(""), "driver",
                  driver ? driver : json_string(""), "version", version ? version : json_string(""), "aval", aval_version());
    if (file.failed || identity == NULL) goto done;
    json_t *all = read_file(file.at, identity);
    status = make(folder, file.at, all != NULL ? all : json_incref(identity), out);
done:
    json_decref(identity);
    aval__text_release(&device);
    aval__text_release(&file);
    return status;
}

int aval__verdicts_visit(const char *folder, int (*take)(void *user, aval__verdicts *verdicts), void *user)
{
    int status = AVAL_OK;
    DIR *entries = opendir(folder);
    for (struct dirent *e; entries != NULL && status == AVAL_OK && (e = readdir(entries)) != NULL;) {
        aval__verdicts *v = NULL;
        aval__text file = { 0 };
        size_t length = strlen(e->d_name);
        if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0 || length < sizeof SUFFIX) continue;
        if (strcmp(e->d_name + length - strlen(SUFFIX), SUFFIX) != 0) continue;
        aval__text_add(&file, "%s/%s", folder, e->d_name);
        json_t *all = file.failed ? NULL : read_file(file.at, NULL);
        if (all != NULL) {
            status = make(folder, file.at, all, &v);
            if (status == AVAL_OK) status = take(user, v);
        }
        aval__text_release(&file);
    }
    if (entries != NULL) closedir(entries);
    return status;
}

const char *aval__verdicts_device(const aval__verdicts *v)
{
    return v->device;
}

const char *aval__verdicts_driver(const aval__verdicts *v)
{
    return v->driver;
}

/* ---- Entries --------------------------------------------------------------------------------------------------------------------- */

static json_t *to_json(const aval__verdict *verdict)
{
    char stamp[24];
    snprintf(stamp, sizeof stamp, "%016llx", (unsigned long long)verdict->stamp); /* JSON's integers end at 2^63 */
    json_t *message = json_string(verdict->message);
    return json_pack("{s:s, s:I, s:I, s:I, s:f, s:I, s:s, s:o}", "stamp", stamp, "passed", (json_int_t)verdict->passed, "failed",
                     (json_int_t)verdict->failed, "skipped", (json_int_t)verdict->skipped, "error", verdict->error, "when",
                     (json_int_t)verdict->when, "extent", verdict->extent, "message", message ? message : json_string(""));
}

static bool from_json(json_t *entry, aval__verdict *out)
{
    json_int_t passed, failed, skipped, when;
    const char *stamp, *extent, *message;
    *out = (aval__verdict){ 0 };
    if (json_unpack(entry, "{s:s, s:I, s:I, s:I, s:F, s:I, s:s, s:s}", "stamp", &stamp, "passed", &passed, "failed", &failed, "skipped",
                    &skipped, "error", &out->error, "when", &when, "extent", &extent, "message", &message) != 0)
        return false;
    out->stamp = strtoull(stamp, NULL, 16);
    out->passed = (uint64_t)passed;
    out->failed = (uint64_t)failed;
    out->skipped = (uint64_t)skipped;
    out->when = when;
    snprintf(out->extent, sizeof out->extent, "%s", extent);
    snprintf(out->message, sizeof out->message, "%s", message);
    return true;
}

bool aval__verdicts_find(const aval__verdicts *v, const char *kind, const char *subject, aval__verdict *out)
{
    return from_json(json_object_get(json_object_get(v->all, kind), subject), out);
}

void aval__verdicts_list(const aval__verdicts *v, const char *kind,
                         void (*take)(void *user, const char *subject, const aval__verdict *verdict), void *user)
{
    const char *subject;
    json_t *entry;
    aval__verdict verdict;
    json_object_foreach(json_object_get(v->all, kind), subject, entry) if (from_json(entry, &verdict)) take(user, subject, &verdict);
}

/* The object of that name in `parent`, made where it is not there (or is none).  Borrowed; NULL: no memory. */
static json_t *child_of(json_t *parent, const char *name)
{
    json_t *child = json_object_get(parent, name);
    if (json_is_object(child)) return child;
    child = json_object();
    return json_object_set_new(parent, name, child) == 0 ? child : NULL;
}

int aval__verdicts_add(aval__verdicts *v, const char *kind, const char *subject, const aval__verdict *verdict)
{
    json_t *entry = to_json(verdict), *known = child_of(v->all, kind), *added = child_of(v->added, kind);
    int status = AVAL_OK;
    if (json_object_set(known, subject, entry) != 0 || json_object_set(added, subject, entry) != 0)
        status = aval__fail(AVAL_E_MEMORY, "no memory for a verdict on '%s'", subject);
    json_decref(entry);
    return status;
}

int aval__verdicts_forget(aval__verdicts *v, const char *kind)
{
    json_object_del(v->all, kind);
    json_object_del(v->added, kind);
    if (json_object_set_new(v->forgotten, kind, json_true()) == 0) return AVAL_OK;
    return aval__fail(AVAL_E_MEMORY, "no memory to forget verdicts");
}

/* What another process has put into the file since, below what was added here. */
static void merge(aval__verdicts *v)
{
    json_t *identity = json_copy(v->all), *found, *entries, *entry;
    const char *kind, *subject;
    void *next;
    json_object_foreach_safe(identity, next, kind, entries)
    {
        if (json_is_object(entries)) json_object_del(identity, kind);
    }
    found = read_file(v->file, identity);
    json_decref(identity);
    if (found == NULL) return;
    json_object_foreach(v->forgotten, kind, entries) json_object_del(found, kind);
    json_object_foreach(v->added, kind, entries)
    {
        json_t *into = child_of(found, kind);
        json_object_foreach(entries, subject, entry) json_object_set(into, subject, entry);
    }
    json_decref(v->all);
    v->all = found;
}

bool aval__verdicts_save(aval__verdicts *v)
{
    bool written = false;
    if (json_object_size(v->added) + json_object_size(v->forgotten) == 0) return true;
    aval__text name = { 0 };
    aval__text_add(&name, "%s/verdicts.lock", v->folder);
    int lock = name.failed ? -1 : open(name.at, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock >= 0 && flock(lock, LOCK_EX) == 0) {
        merge(v);
        written = write_file(v);
        if (written) json_object_clear(v->added);
        if (written) json_object_clear(v->forgotten);
    }
    if (lock >= 0) close(lock);
    aval__text_release(&name);
    return written;
}
