/* What is remembered of devices: found again, merged, and forgotten when the device is another. */
#include "device/verdicts.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

static void begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/aval-test-verdicts-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void end(void)
{
    char command[192];
    snprintf(command, sizeof command, "chmod -R u+w %s && rm -r %s", folder, folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(verdicts, .init = begin, .fini = end);

static aval__verdicts *open_for(const char *driver, size_t ordinal)
{
    const aval_device_info info = { .size = sizeof info, .platform = "Platform", .name = "Device", .driver = driver, .version = "1.2" };
    aval__verdicts *v;
    cr_assert_eq(aval__verdicts_open(folder, &info, ordinal, &v), AVAL_OK, "%s", aval_error());
    return v;
}

static bool save(const char *driver, size_t ordinal, const char *subject, uint64_t passed)
{
    aval__verdicts *v = open_for(driver, ordinal);
    const aval__verdict verdict = {
        .stamp = UINT64_MAX, .passed = passed, .error = 0.25, .when = 1764000000, .message = "a \"quoted\" word"
    };
    cr_assert_eq(aval__verdicts_add(v, "check", subject, &verdict), AVAL_OK);
    bool saved = aval__verdicts_save(v);
    aval__verdicts_close(v);
    return saved;
}

static bool find(const char *driver, size_t ordinal, const char *subject, aval__verdict *out)
{
    aval__verdicts *v = open_for(driver, ordinal);
    bool found = aval__verdicts_find(v, "check", subject, out);
    aval__verdicts_close(v);
    return found;
}

Test(verdicts, are_found_by_a_later_process_with_all_their_parts)
{
    aval__verdict found;
    cr_assert(save("3.1", 0, "Tanh 13", 7));
    cr_assert(find("3.1", 0, "Tanh 13", &found));
    cr_expect_eq(found.stamp, UINT64_MAX);
    cr_expect_eq(found.passed, 7);
    cr_expect_eq(found.error, 0.25);
    cr_expect_eq(found.when, 1764000000);
    cr_expect_str_eq(found.message, "a \"quoted\" word");
    cr_expect_not(find("3.1", 0, "Tanh 6", &found));
}

Test(verdicts, are_forgotten_with_another_driver_and_kept_apart_for_two_equal_devices)
{
    aval__verdict found;
    cr_assert(save("3.1", 0, "Tanh 13", 7));
    cr_expect_not(find("3.2", 0, "Tanh 13", &found));
    cr_expect_not(find("3.1", 1, "Tanh 13", &found));
    cr_assert(save("3.2", 0, "Relu 14", 1));
    cr_expect_not(find("3.2", 0, "Tanh 13", &found), "the file is of the driver that wrote it last");
}

Test(verdicts, of_ten_processes_at_once_are_all_kept)
{
    aval__verdict found;
    for (int i = 0; i < 10; i++) {
        char subject[16];
        snprintf(subject, sizeof subject, "Op%d 1", i);
        pid_t pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0) _exit(save("3.1", 0, subject, (uint64_t)i + 1) ? 0 : 1);
    }
    for (int i = 0, status; i < 10; i++) {
        cr_assert_gt(wait(&status), 0);
        cr_expect_eq(status, 0);
    }
    for (int i = 0; i < 10; i++) {
        char subject[16];
        snprintf(subject, sizeof subject, "Op%d 1", i);
        cr_expect(find("3.1", 0, subject, &found), "%s is lost", subject);
    }
}

static int count_one(void *user, aval__verdicts *v)
{
    size_t *count = user;
    cr_expect_str_eq(aval__verdicts_device(v), "Platform/Device");
    cr_expect_str_eq(aval__verdicts_driver(v), "3.1");
    *count += 1;
    aval__verdicts_close(v);
    return AVAL_OK;
}

Test(verdicts, of_all_devices_are_visited_and_damaged_files_are_empty_ones)
{
    size_t count = 0;
    char command[160];
    aval__verdict found;
    cr_assert(save("3.1", 0, "Tanh 13", 7));
    cr_assert_eq(aval__verdicts_visit(folder, count_one, &count), AVAL_OK);
    cr_expect_eq(count, 1);
    snprintf(command, sizeof command, "truncate -s 40 %s/verdicts-*.json", folder);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(aval__verdicts_visit(folder, count_one, &count), AVAL_OK);
    cr_expect_eq(count, 1);
    cr_expect_not(find("3.1", 0, "Tanh 13", &found));
    cr_expect(save("3.1", 0, "Tanh 13", 8), "a damaged file is replaced");
    snprintf(command, sizeof command, "for f in %s/verdicts-*.json; do echo '{\"format\": 1, \"check\": 3}' >$f; done", folder);
    cr_assert_eq(system(command), 0);
    cr_expect_not(find("3.1", 0, "Tanh 13", &found));
    cr_expect(save("3.1", 0, "Tanh 13", 8));
    cr_expect(find("3.1", 0, "Tanh 13", &found));
}

Test(verdicts, in_a_folder_that_is_gone_are_not_saved_and_that_is_no_failure)
{
    aval__verdict found;
    char command[160];
    aval__verdicts *v = open_for("3.1", 0);
    cr_assert_eq(aval__verdicts_add(v, "check", "Tanh 13", &(aval__verdict){ .passed = 1 }), AVAL_OK);
    snprintf(command, sizeof command, "mv %s %s-gone", folder, folder);
    cr_assert_eq(system(command), 0);
    cr_expect_not(aval__verdicts_save(v));
    cr_expect(aval__verdicts_find(v, "check", "Tanh 13", &found), "in memory it stays");
    aval__verdicts_close(v);
    snprintf(command, sizeof command, "mv %s-gone %s", folder, folder);
    cr_assert_eq(system(command), 0);
}
