/* Archives of arrays: what is written is read back, other writers' are read, and damage is told. */
#include "model/model.h"

#include "fail_alloc.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/aval-npz-XXXXXX", file[64];

static void make_folder(void)
{
    cr_assert(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/a.npz", folder);
}

static void remove_folder(void)
{
    unlink(file);
    rmdir(folder);
}

TestSuite(npz, .init = make_folder, .fini = remove_folder);

static const float ramp[6] = { 0, 1, 2, 3, 4, 5 };
static const int64_t one[1] = { -7 };
static const char *const names[] = { "x", "folder/y", "empty" };

static void fill(aval_array a[3])
{
    a[0] = (aval_array){ .size = sizeof *a, .type = AVAL_FLOAT, .rank = 2, .dims = { 2, 3 }, .data = (void *)(uintptr_t)ramp, .bytes = 24 };
    a[1] = (aval_array){ .size = sizeof *a, .type = AVAL_INT64, .data = (void *)(uintptr_t)one, .bytes = 8 };
    a[2] = (aval_array){ .size = sizeof *a, .type = AVAL_DOUBLE, .rank = 1, .dims = { 0 } };
}

static void expect_message(int status, int code, const char *part)
{
    cr_expect_eq(status, code, "found %d: %s", status, aval_error());
    cr_expect_not_null(strstr(aval_error(), part), "expected '%s', found %s", part, aval_error());
}

Test(npz, arrays_come_back_by_name_stored_and_deflated)
{
    for (int compress = 0; compress < 2; compress++) {
        aval_array arrays[3], back = { .size = sizeof back };
        aval_archive *archive;
        fill(arrays);
        cr_assert_eq(aval_archive_write(file, names, arrays, 3, compress), 0, "%s", aval_error());
        cr_assert_eq(aval_archive_open(file, &archive), 0, "%s", aval_error());
        cr_assert_eq(aval_archive_count(archive), 3);
        for (size_t i = 0; i < 3; i++) {
            cr_expect_str_eq(aval_archive_name(archive, i), names[i]);
            cr_assert_eq(aval_archive_read(archive, names[i], &back), 0, "%s", aval_error());
            cr_expect(back.type == arrays[i].type && back.rank == arrays[i].rank && back.bytes == arrays[i].bytes);
            cr_expect(back.bytes == 0 || memcmp(back.data, arrays[i].data, back.bytes) == 0);
            aval_free(back.data);
        }
        cr_expect_null(aval_archive_name(archive, 3));
        expect_message(aval_archive_read(archive, "z", &back), AVAL_E_UNKNOWN, "no array 'z': there are 'x', 'folder/y', 'empty'");
        aval_archive_release(archive);
    }
}

Test(npz, an_archive_is_no_single_array_and_the_reverse)
{
    aval_array arrays[3], back = { .size = sizeof back };
    aval_archive *archive;
    fill(arrays);
    cr_assert_eq(aval_archive_write(file, names, arrays, 3, 0), 0);
    expect_message(aval_array_read(file, &back), AVAL_E_FORMAT, "an archive of arrays");
    cr_assert_eq(aval_array_write(file, arrays), 0);
    expect_message(aval_archive_open(file, &archive), AVAL_E_FORMAT, "which is a zip archive");
    cr_expect_null(archive);
    cr_expect_eq(aval_archive_open("/nowhere/a.npz", &archive), AVAL_E_UNKNOWN);
}

Test(npz, names_and_arrays_that_cannot_be_are_refused)
{
    aval_array arrays[3];
    fill(arrays);
    expect_message(aval_archive_write(file, (const char *const[]){ "x", "x" }, arrays, 2, 0), AVAL_E_ARGUMENT, "another has this name");
    expect_message(aval_archive_write(file, (const char *const[]){ "" }, arrays, 1, 0), AVAL_E_ARGUMENT, "needs a name");
    expect_message(aval_archive_write(file, (const char *const[]){ NULL }, arrays, 1, 0), AVAL_E_ARGUMENT, "its name is NULL");
    arrays[0].bytes = 20;
    expect_message(aval_archive_write(file, names, arrays, 3, 0), AVAL_E_ARGUMENT, "24 bytes was expected, found 20");
    arrays[0].bytes = 24;
    arrays[0].type = AVAL_BFLOAT16;
    arrays[0].bytes = 12;
    expect_message(aval_archive_write(file, names, arrays, 3, 0), AVAL_E_TYPE, "'x'");
    cr_expect_neq(access(file, F_OK), 0, "a failed write leaves nothing");
}

static int open_and_read_all(const unsigned char *bytes, size_t count)
{
    aval__npz npz;
    AVAL__TRY(aval__npz_parse(bytes, count, &npz));
    int status = AVAL_OK;
    for (size_t i = 0; i < npz.count && status == AVAL_OK; i++) {
        unsigned char *content = NULL;
        aval_tensor shape;
        const void *data;
        status = aval__npz_unpack(&npz, i, &content);
        if (status == AVAL_OK) status = aval__npy_parse(content, (size_t)npz.at[i].bytes, &shape, &data);
        aval__free(content);
    }
    aval__npz_release(&npz);
    return status;
}

/* Every byte counts: content by its checksum, the rest by its place; but for zip's dates, versions and attributes, which say nothing here. */
Test(npz, archives_cut_off_anywhere_are_refused_and_wrong_bytes_do_no_harm)
{
    for (int compress = 0; compress < 2; compress++) {
        aval_array arrays[3];
        unsigned char *bytes;
        size_t count, refused = 0;
        fill(arrays);
        cr_assert_eq(aval_archive_write(file, names, arrays, 3, compress), 0);
        cr_assert_eq(aval__file_read(file, SIZE_MAX - 1, &bytes, &count), 0);
        cr_assert_eq(open_and_read_all(bytes, count), 0, "%s", aval_error());
        for (size_t n = 0; n < count; n++) cr_expect_eq(open_and_read_all(bytes, n), AVAL_E_FORMAT, "%zu bytes", n);
        for (size_t i = 0; i < count; i++) {
            bytes[i] ^= 0x81;
            refused += open_and_read_all(bytes, count) < 0;
            bytes[i] ^= 0x81;
        }
        cr_expect_gt(refused, count / 2, "%zu of %zu", refused, count);
        aval__free(bytes);
    }
}

Test(npz, each_failing_allocation_is_an_error_without_a_leak)
{
    aval_array arrays[3];
    fill(arrays);
    for (size_t n = 1;; n++) {
        aval_array back = { .size = sizeof back };
        aval_archive *archive = NULL;
        fail_alloc_at(n);
        int status = aval_archive_write(file, names, arrays, 3, 1);
        if (status == AVAL_OK) status = aval_archive_open(file, &archive);
        if (status == AVAL_OK) status = aval_archive_read(archive, "x", &back);
        aval_free(back.data);
        aval_archive_release(archive);
        size_t outstanding = fail_alloc_outstanding(), allocations = fail_alloc_count();
        fail_alloc_off();
        cr_assert(status == AVAL_OK || status == AVAL_E_MEMORY || status == AVAL_E_IO, "allocation %zu: %d, %s", n, status, aval_error());
        cr_assert_eq(outstanding, 0, "allocation %zu: %zu were not given back", n, outstanding);
        if (allocations < n) break; /* where the search for leftovers of other writers fails, nothing else does */
    }
}
