/* Building programs, and their cache in memory and on disk. */
#include "../layer/layer.h"
#include "building.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

Test(programs, are_built_once_a_device)
{
    harness h;
    cl_program first, second, other;
    aval__program_counters counters;
    setenv("AVAL_CACHE_DIR", "", 1);
    harness_open(&h);
    aval__hash hash = aval__hash_bytes(building_source, strlen(building_source));
    cr_assert_eq(aval__device_program(h.device, "set.cl", building_source, hash, "-DVALUE=1", &first), AVAL_OK, "%s", aval_error());
    cr_assert_eq(aval__device_program(h.device, "set.cl", building_source, hash, "-DVALUE=1", &second), AVAL_OK);
    cr_assert_eq(aval__device_program(h.device, "set.cl", building_source, hash, "-DVALUE=2", &other), AVAL_OK);
    cr_expect_eq(first, second);
    cr_expect_neq(first, other);
    aval__device_program_counters(h.device, &counters);
    cr_expect_eq(counters.built, 2);
    harness_close(&h);
}

Test(programs, a_failed_build_shows_file_device_options_and_log)
{
    harness h;
    cl_program program;
    setenv("AVAL_CACHE_DIR", "", 1);
    harness_open(&h);
    static const char bad[] = "__kernel void f(void) { undeclared_thing = 1; }";
    cr_expect_eq(aval__device_program(h.device, "bad.cl", bad, aval__hash_bytes(bad, sizeof bad), "-DX=7", &program), AVAL_E_BUILD);
    const char *const parts[] = { "bad.cl", aval__device_info(h.device)->name, "-DX=7", "CL_BUILD_PROGRAM_FAILURE", "undeclared_thing" };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) cr_expect_not_null(strstr(aval_error(), parts[i]), "%s", aval_error());
    harness_close(&h);
}

Test(programs, come_from_disk_the_second_time)
{
    const char *folder = harness_cache_folder();
    aval__program_counters first = build_once("-DVALUE=3", NULL), second = build_once("-DVALUE=3", NULL),
                           other = build_once("-DVALUE=4", NULL);
    cr_expect(first.built == 1 && first.from_disk == 0);
    cr_expect(second.built == 0 && second.from_disk == 1 && second.damaged == 0);
    cr_expect(other.built == 1 && other.from_disk == 0);
    harness_remove_folder(folder);
}

/* PoCL compiles all kernels anew for a binary, and keeps what it built itself. */
Test(programs, of_several_kernels_are_left_to_a_platform_whose_binaries_are_dear)
{
    const char *folder = harness_cache_folder();
    building_platform = "Portable Computing Language";
    cr_expect_eq(build_once("-DMORE -DVALUE=3", NULL).built, 1);
    cr_expect_eq(build_once("-DMORE -DVALUE=3", NULL).built, 1);
    cr_expect_eq(build_once("-DVALUE=3", NULL).built, 1);
    cr_expect_eq(build_once("-DVALUE=3", NULL).from_disk, 1);
    building_platform = "Some platform";
    cr_expect_eq(build_once("-DMORE -DVALUE=3", NULL).built, 1);
    cr_expect_eq(build_once("-DMORE -DVALUE=3", NULL).from_disk, 1);
    harness_remove_folder(folder);
}

Test(programs, are_built_anew_for_another_driver_version)
{
    const char *folder = harness_cache_folder();
    cr_expect_eq(build_once("-DVALUE=3", "1.0").built, 1);
    cr_expect_eq(build_once("-DVALUE=3", "1.1").built, 1);
    cr_expect_eq(build_once("-DVALUE=3", "1.0").from_disk, 1);
    harness_remove_folder(folder);
}

Test(programs, every_part_of_the_key_counts)
{
    const aval__builder b = { "p", "pv", "d", "dv", "r", "v" };
    const aval__builder others[] = { { "P", "pv", "d", "dv", "r", "v" }, { "p", "Pv", "d", "dv", "r", "v" },
                                     { "p", "pv", "D", "dv", "r", "v" }, { "p", "pv", "d", "Dv", "r", "v" },
                                     { "p", "pv", "d", "dv", "R", "v" }, { "p", "pv", "d", "dv", "r", "V" },
                                     { "pp", "v", "d", "dv", "r", "v" } };
    aval__hash key, other, source_hash = { 1, 2 };
    cr_assert_eq(aval__cache_key(&b, source_hash, "-DA=1", &key), AVAL_OK);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        cr_assert_eq(aval__cache_key(&others[i], source_hash, "-DA=1", &other), AVAL_OK);
        cr_expect(key.low != other.low || key.high != other.high, "part %zu", i);
    }
    cr_assert_eq(aval__cache_key(&b, source_hash, "-DA=2", &other), AVAL_OK);
    cr_expect(key.low != other.low);
    cr_assert_eq(aval__cache_key(&b, (aval__hash){ 1, 3 }, "-DA=1", &other), AVAL_OK);
    cr_expect(key.low != other.low);
}

/* Spoils the entry by writing at `at`, or by cutting it there. */
static void spoil_and_build(off_t at, bool cut)
{
    const char *folder = harness_cache_folder();
    char path[256];
    build_once("-DVALUE=5", NULL);
    find_entry(folder, path, sizeof path);
    if (cut) {
        cr_assert_eq(truncate(path, at), 0);
    } else {
        int fd = open(path, O_WRONLY);
        cr_assert_eq(pwrite(fd, "spoiled", 7, at), 7);
        close(fd);
    }
    aval__program_counters again = build_once("-DVALUE=5", NULL);
    cr_expect(again.damaged == 1 && again.built == 1);
    cr_expect_eq(build_once("-DVALUE=5", NULL).from_disk, 1, "the damaged entry was replaced");
    harness_remove_folder(folder);
}

Test(programs, a_damaged_entry_is_found_out_and_replaced)
{
    spoil_and_build(100, false);
    spoil_and_build(0, false);
}

Test(programs, a_truncated_entry_is_found_out_and_replaced)
{
    spoil_and_build(200, true);
    spoil_and_build(10, true);
    spoil_and_build(0, true);
}

/* Right by its own hash, but not what the driver wrote. */
Test(programs, an_entry_that_the_driver_refuses_is_built_from_source)
{
    const char *folder = harness_cache_folder();
    char path[256], name[33];
    build_once("-DVALUE=5", NULL);
    find_entry(folder, path, sizeof path);
    snprintf(name, sizeof name, "%.32s", strrchr(path, '/') + 1);
    aval__hash key;
    harness h;
    harness_open(&h);
    if (strcmp(aval__device_info(h.device)->platform, "rusticl") == 0) {
        cr_skip_test("rusticl of Mesa 22.3 ends the process on a binary that is not its own");
    }
    const aval__listed *l = h.device->listed;
    const aval__builder b = { building_platform, l->platform_version, l->name, l->version, l->driver, aval_version() };
    cr_assert_eq(aval__cache_key(&b, aval__hash_bytes(building_source, strlen(building_source)), "-DVALUE=5", &key), AVAL_OK);
    harness_close(&h);
    char hex[33];
    aval__hash_text(key, hex);
    cr_assert_str_eq(hex, name);
    cr_assert(aval__cache_write(folder, key, (const unsigned char *)"not a program", 13, 1 << 20));
    aval__program_counters again = build_once("-DVALUE=5", NULL);
    cr_expect(again.damaged == 1 && again.built == 1);
    harness_remove_folder(folder);
}

static char warning[1024];
static void keep_warning(void *user, int level, const char *message)
{
    (void)user, (void)level;
    snprintf(warning, sizeof warning, "%s", message);
}

/* The folder that is used when AVAL_CACHE_DIR is `path`. */
static const char *folder_for(const char *path)
{
    static char used[256];
    const aval__log log = { keep_warning, NULL };
    aval__devices devices = { .log = &log };
    pthread_mutex_init(&devices.lock, NULL);
    setenv("AVAL_CACHE_DIR", path, 1);
    warning[0] = 0;
    const char *folder = aval__cache_folder(&devices);
    snprintf(used, sizeof used, "%s", folder != NULL ? folder : "");
    folder = folder != NULL ? used : NULL;
    aval__free(devices.cache_folder);
    return folder;
}

Test(programs, the_cache_folder_is_made_for_its_owner_alone)
{
    const char *folder = harness_cache_folder();
    char path[128], above[128];
    struct stat st;
    snprintf(above, sizeof above, "%s/a", folder);
    snprintf(path, sizeof path, "%s/a/b", folder);
    cr_assert_not_null(folder_for(path));
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0700);
    rmdir(path), rmdir(above), rmdir(folder);
}

Test(programs, a_cache_folder_that_others_can_write_is_not_used)
{
    const char *folder = harness_cache_folder();
    cr_assert_eq(chmod(folder, 0777), 0);
    cr_expect_null(folder_for(folder));
    cr_expect_not_null(strstr(warning, "other users can write to it"), "%s", warning);
    rmdir(folder);
}

Test(programs, a_cache_folder_that_cannot_be_made_or_written_is_done_without)
{
    cr_expect_null(folder_for("/proc/aval-cache"));
    cr_expect_not_null(strstr(warning, "/proc/aval-cache"), "%s", warning);
    cr_expect_null(folder_for("/dev/null"));
    cr_expect_null(folder_for(""));
    cr_expect_str_empty(warning);
    setenv("AVAL_CACHE_DIR", "/proc/aval-cache", 1);
    cr_expect_eq(build_once("-DVALUE=7", NULL).built, 1);
    /* Written to while the folder vanishes: nothing but a miss. */
    cr_expect_not(aval__cache_write("/nonexistent", (aval__hash){ 1, 2 }, (const unsigned char *)"x", 1, 100));
}

Test(programs, the_entries_not_used_for_longest_go_first)
{
    const char *folder = harness_cache_folder();
    unsigned char block[1000] = { 0 }, *binary;
    size_t bytes;
    for (uint64_t i = 1; i <= 4; i++) {
        cr_assert(aval__cache_write(folder, (aval__hash){ i, i }, block, sizeof block, 1 << 20));
        usleep(20000);
    }
    cr_assert_eq(aval__cache_read(folder, (aval__hash){ 1, 1 }, &binary, &bytes), AVAL__CACHE_HIT);
    aval__free(binary);
    aval__cache_trim(folder, 2200);
    static const aval__cache_result expected[] = { AVAL__CACHE_HIT, AVAL__CACHE_MISS, AVAL__CACHE_MISS, AVAL__CACHE_HIT };
    for (uint64_t i = 1; i <= 4; i++) {
        aval__cache_result found = aval__cache_read(folder, (aval__hash){ i, i }, &binary, &bytes);
        cr_expect_eq(found, expected[i - 1], "entry %d", (int)i);
        if (found == AVAL__CACHE_HIT) aval__free(binary);
    }
    harness_remove_folder(folder);
}

Test(programs, a_device_that_hands_out_no_binaries_builds_from_source)
{
    const char *folder = harness_cache_folder();
    setenv("OPENCL_LAYERS", AVAL_TEST_LAYER, 1);
    setenv("AVAL_LAYER_HIDE", "binaries", 1);
    cr_expect_eq(build_once("-DVALUE=8", NULL).built, 1);
    aval__program_counters again = build_once("-DVALUE=8", NULL);
    cr_expect(again.built == 1 && again.damaged == 0);
    harness_remove_folder(folder);
}
