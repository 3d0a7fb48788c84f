/* The cache of programs where the disk is full, the folder is another's, ten processes want it at once, or entries were exchanged: programs
 * are built, right, and nothing is left lying about. */
#include "building.h"
#include "device/verdicts.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 10

static size_t count_files(const char *folder, const char *part)
{
    size_t found = 0;
    DIR *dir = opendir(folder);
    cr_assert_not_null(dir);
    for (struct dirent *d; (d = readdir(dir)) != NULL;) found += strstr(d->d_name, part) != NULL;
    closedir(dir);
    return found;
}

/* No file may grow beyond a few bytes: what a quota looks like to a process.  (LLVM ends the process where it cannot write, so no build.) */
Test(hostile_cache, files_that_cannot_grow_leave_nothing_behind)
{
    const char *folder = harness_cache_folder();
    const struct rlimit small = { 100, RLIM_INFINITY }, large = { RLIM_INFINITY, RLIM_INFINITY };
    static const unsigned char program[10000] = { 1 };
    unsigned char *binary;
    size_t bytes;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    cr_expect_not(aval__cache_write(folder, (aval__hash){ 1, 2 }, program, sizeof program, 1 << 20));
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &large), 0);
    cr_expect_eq(count_files(folder, ".program"), 0);
    cr_expect_eq(count_files(folder, "new-"), 0, "a part of a file was left");
    cr_expect_eq(aval__cache_read(folder, (aval__hash){ 1, 2 }, &binary, &bytes), AVAL__CACHE_MISS);
    cr_expect(aval__cache_write(folder, (aval__hash){ 1, 2 }, program, sizeof program, 1 << 20), "with room again it is kept");
    harness_remove_folder(folder);
}

Test(hostile_cache, a_full_disk_leaves_nothing_behind)
{
    const char *folder = harness_cache_folder();
    if (mount("aval-test", folder, "tmpfs", 0, "size=4096,mode=0700") != 0) {
        rmdir(folder);
        cr_skip_test("a file system of 4 KB cannot be mounted here: %s", strerror(errno));
    }
    aval__program_counters there = build_once("-DVALUE=2", NULL);
    cr_expect(there.built == 1 && there.damaged == 0);
    cr_expect_eq(count_files(folder, ".program"), 0);
    cr_expect_eq(count_files(folder, "new-"), 0, "a part of a file was left");
    cr_expect_eq(build_once("-DVALUE=2", NULL).built, 1);
    cr_expect_eq(umount(folder), 0);
    rmdir(folder);
}

/* As a user who is not root: root may write everywhere. */
static void run_as_nobody(void (*what)(const char *folder), const char *folder)
{
    int status;
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(2);
        what(folder);
        _exit(0);
    }
    waitpid(child, &status, 0);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
}

static void expect_unused(const char *folder)
{
    const aval__log log = { 0 };
    setenv("AVAL_CACHE_DIR", folder, 1);
    char *used = aval__cache_choose(&log);
    if (used != NULL) _exit(1);
}

static void expect_unwritable(const char *folder)
{
    unsigned char *binary;
    size_t bytes;
    if (aval__cache_write(folder, (aval__hash){ 3, 3 }, (const unsigned char *)"x", 1, 1 << 20)) _exit(1);
    if (aval__cache_read(folder, (aval__hash){ 1, 2 }, &binary, &bytes) != AVAL__CACHE_MISS) _exit(2);
}

Test(hostile_cache, a_folder_of_another_user_or_read_only_is_done_without)
{
    const char *folder = harness_cache_folder();
    if (geteuid() != 0) cr_skip_test("only root can be another user");
    cr_assert_eq(chmod(folder, 0755), 0);
    run_as_nobody(expect_unused, folder);
    run_as_nobody(expect_unwritable, folder);
    cr_assert_eq(chown(folder, 65534, 65534), 0);
    cr_assert_eq(chmod(folder, 0500), 0);
    run_as_nobody(expect_unused, folder);
    run_as_nobody(expect_unwritable, folder);
    cr_expect_eq(count_files(folder, "new-"), 0);
    harness_remove_folder(folder);
}

/* All build the same three programs, in turn, and none ever finds half an entry. */
Test(hostile_cache, ten_processes_may_build_the_same_at_once, .timeout = 120)
{
    static const char *const options[] = { "-DVALUE=4", "-DVALUE=5", "-DVALUE=6" };
    const char *folder = harness_cache_folder();
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        cr_assert_geq(children[i], 0);
        if (children[i] != 0) continue;
        for (int round = 0; round < 3; round++) {
            if (build_once(options[(round + i) % 3], NULL).damaged != 0) _exit(1);
        }
        _exit(0);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        waitpid(children[i], &status, 0);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
    }
    for (int i = 0; i < 3; i++) cr_expect_eq(build_once(options[i], NULL).from_disk, 1);
    cr_expect_eq(count_files(folder, ".program"), 3);
    cr_expect_eq(count_files(folder, "new-"), 0);
    harness_remove_folder(folder);
}

/* Each is whole and right by its own hash, and is another program than its name says. */
Test(hostile_cache, exchanged_entries_are_found_out)
{
    const char *folder = harness_cache_folder();
    char first[256], second[256], hidden[300];
    build_once("-DVALUE=7", NULL);
    find_entry(folder, first, sizeof first);
    snprintf(hidden, sizeof hidden, "%s.aside", folder);
    cr_assert_eq(rename(first, hidden), 0);
    build_once("-DVALUE=8", NULL);
    find_entry(folder, second, sizeof second);
    cr_assert_eq(rename(second, first), 0);
    cr_assert_eq(rename(hidden, second), 0);
    aval__program_counters seven = build_once("-DVALUE=7", NULL), eight = build_once("-DVALUE=8", NULL);
    cr_expect(seven.damaged == 1 && seven.built == 1);
    cr_expect(eight.damaged == 1 && eight.built == 1);
    cr_expect_eq(build_once("-DVALUE=7", NULL).from_disk, 1, "both were replaced");
    harness_remove_folder(folder);
}
