/* Replacing a file so that a crash leaves the old content or the new one: the content is written beside it and renamed.
 *
 * What stands under the name decides first: a link is followed to the file it names, whose mode (and, where allowed, owner) is kept, and what is
 * no regular file is refused, since a rename would put a file in the place of a device, a pipe or a folder. */
#include "model/model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode) ? "a folder" : S_ISFIFO(mode) ? "a pipe" : S_ISSOCK(mode) ? "a socket" : "a device";
}

/* The name of the file that is meant, for aval__free; *about has a st_nlink of 0 when there is none yet. */
static int find_target(const char *file, char **target, struct stat *about)
{
    struct stat link;
    *about = (struct stat){ 0 };
    if (file[0] == 0) return aval__fail(AVAL_E_ARGUMENT, "the name of a file was expected, found ''");
    if (stat(file, about) == 0) {
        if (!S_ISREG(about->st_mode))
            return aval__fail(AVAL_E_ARGUMENT, "%s is %s: a regular file, or a name that is free, was expected", file,
                              kind_of(about->st_mode));
        char *real = realpath(file, NULL);
        if (!real) return aval__fail(AVAL_E_IO, "%s cannot be followed: %s", file, strerror(errno));
        *target = aval__copy_text(real);
        free(real);
    } else {
        if (errno != ENOENT) return aval__fail(AVAL_E_IO, "%s cannot be written: %s", file, strerror(errno));
        if (lstat(file, &link) == 0)
            return aval__fail(AVAL_E_IO, "%s is a link to a file that is not there: make that file, or remove the link", file);
        *about = (struct stat){ 0 };
        *target = aval__copy_text(file);
    }
    return *target ? AVAL_OK : AVAL_E_MEMORY;
}

/* Removes TARGET.PID-N.part of processes that are gone.  The lock is for machines that share a folder and not their process numbers. */
static void remove_stale(const char *target)
{
    const char *slash = strrchr(target, '/'), *name = slash ? slash + 1 : target;
    size_t length = strlen(name);
    char *folder = slash ? aval__copy_text(target) : NULL;
    if (folder) folder[slash - target + 1] = 0;
    DIR *dir = opendir(folder ? folder : ".");
    aval__free(folder);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        long pid;
        unsigned serial;
        int end = 0;
        if (strncmp(entry->d_name, name, length) != 0 || sscanf(entry->d_name + length, ".%ld-%u.part%n", &pid, &serial, &end) != 2 ||
            end == 0 || entry->d_name[length + (size_t)end] != 0 || pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0) continue;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlinkat(dirfd(dir), entry->d_name, 0);
        close(fd);
    }
    closedir(dir);
}

int aval__safe_file_open(aval__safe_file *safe, const char *file)
{
    static atomic_uint serial; /* two threads may save to the same name */
    struct stat about;
    aval__text name = { 0 };
    *safe = (aval__safe_file){ .fd = -1 };
    AVAL__TRY(find_target(file, &safe->target, &about));
    remove_stale(safe->target);
    aval__text_add(&name, "%s.%ld-%u.part", safe->target, (long)getpid(), atomic_fetch_add(&serial, 1));
    safe->beside = aval__text_take(&name);
    if (!safe->beside) return AVAL_E_MEMORY;
    mode_t mode = about.st_nlink > 0 ? about.st_mode & 07777 : 0666;
    safe->fd = open(safe->beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & 0777);
    if (safe->fd < 0) return aval__fail(AVAL_E_IO, "%s cannot be written: %s", safe->beside, strerror(errno));
    safe->made = true;
    flock(safe->fd, LOCK_EX | LOCK_NB);
    if (about.st_nlink > 0) {
        /* a file of another owner cannot always be kept his; its mode can */
        int owned = fchown(safe->fd, about.st_uid, about.st_gid);
        if (fchmod(safe->fd, owned == 0 ? mode : mode & 0777) != 0)
            return aval__fail(AVAL_E_IO, "%s cannot be given the mode of %s: %s", safe->beside, safe->target, strerror(errno));
    }
    return AVAL_OK;
}

int aval__safe_file_write(aval__safe_file *safe, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        ssize_t n = write(safe->fd, at, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return aval__fail(AVAL_E_IO, "cannot be written: %s", strerror(errno));
        at += n;
        bytes -= (size_t)n;
    }
    return AVAL_OK;
}

int aval__safe_file_rename(aval__safe_file *safe)
{
    if (rename(safe->beside, safe->target) != 0)
        return aval__fail(AVAL_E_IO, "%s cannot be renamed to %s: %s", safe->beside, safe->target, strerror(errno));
    safe->made = false;
    return AVAL_OK;
}

void aval__safe_file_release(aval__safe_file *safe)
{
    if (safe->fd >= 0) close(safe->fd);
    if (safe->made) unlink(safe->beside);
    aval__free(safe->target);
    aval__free(safe->beside);
    *safe = (aval__safe_file){ .fd = -1 };
}

int aval__safe_file_probe(const char *file, uint64_t bytes)
{
    aval__safe_file safe;
    int status = aval__safe_file_open(&safe, file);
    if (status == AVAL_OK && bytes > 0) {
        int code = posix_fallocate(safe.fd, 0, (off_t)bytes);
        if (code == ENOSPC || code == EFBIG || code == EDQUOT)
            status = aval__fail(AVAL_E_IO, "%s needs %.1f MB: %s", file, (double)bytes / 1e6, strerror(code));
    }
    aval__safe_file_release(&safe);
    return status;
}
