/* IDX files and data sets: what is read, and what each kind of bad file is refused with. */
#include "train/train.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static const uint8_t two_images[] = { 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6 };
static const uint8_t two_labels[] = { 0, 0, 8, 1, 0, 0, 0, 2, 7, 0 };
static const uint8_t three_labels[] = { 0, 0, 8, 1, 0, 0, 0, 3, 7, 0, 1 };

static char folder[64];

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/aval-test-data-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

/* Path of a file with this content; valid until the call after the next. */
static const char *file_with(const char *name, const uint8_t *bytes, size_t n)
{
    static char paths[2][128];
    static int turn;
    char *path = paths[turn = !turn];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    cr_assert_eq(fwrite(bytes, 1, n, f), n);
    fclose(f);
    return path;
}

static const char *zipped_file_with(const char *name, const uint8_t *bytes, size_t n)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    gzFile f = gzopen(path, "wb");
    cr_assert_eq(gzwrite(f, bytes, (unsigned)n), (int)n);
    gzclose(f);
    return path;
}

static void expect_refused(int status, int expected, const char *part, const char *other_part)
{
    cr_expect_eq(status, expected, "%s", aval_status_name(status));
    cr_expect_not_null(strstr(aval_error(), part), "'%s' is not in: %s", part, aval_error());
    cr_expect_not_null(strstr(aval_error(), other_part), "'%s' is not in: %s", other_part, aval_error());
    cr_expect_null(strchr(aval_error(), '\n'));
}

TestSuite(data, .init = make_folder, .fini = remove_folder);

Test(data, a_plain_and_a_zipped_file_read_the_same)
{
    aval__idx plain, zipped;
    cr_assert_eq(aval__idx_open(file_with("a", two_images, sizeof two_images), 3, &plain), 0);
    cr_assert_eq(aval__idx_open(zipped_file_with("a.gz", two_images, sizeof two_images), 3, &zipped), 0);
    cr_expect_arr_eq(plain.dims, ((size_t[]){ 2, 1, 3 }), sizeof plain.dims);
    cr_expect_arr_eq(zipped.dims, plain.dims, sizeof plain.dims);
    cr_expect_arr_eq(plain.bytes, two_images + 16, 6);
    cr_expect_arr_eq(zipped.bytes, two_images + 16, 6);
    aval__free(plain.bytes);
    aval__free(zipped.bytes);
}

Test(data, images_and_labels_become_a_data_set)
{
    aval_dataset *d;
    const char *images = file_with("images", two_images, sizeof two_images), *labels = file_with("labels", two_labels, sizeof two_labels);
    cr_assert_eq(aval_dataset_open_idx(images, labels, &d), 0);
    size_t height, width;
    aval_dataset_shape(d, &height, &width);
    cr_expect_eq(aval_dataset_count(d), 2);
    cr_expect_eq(height, 1);
    cr_expect_eq(width, 3);
    cr_expect_eq(aval_dataset_classes(d), 8);
    cr_expect_eq(d->largest, 6);
    aval_dataset_release(d);
}

Test(data, a_missing_file_is_named)
{
    aval__idx x;
    expect_refused(aval__idx_open("/nowhere/images", 3, &x), AVAL_E_UNKNOWN, "/nowhere/images", "no such file");
}

Test(data, a_folder_without_the_files_says_which_were_expected)
{
    aval_dataset *d;
    expect_refused(aval_dataset_open_folder(folder, 1, &d), AVAL_E_UNKNOWN, folder, "train-images-idx3-ubyte.gz");
    cr_expect_null(d);
}

Test(data, labels_in_place_of_images_are_told_by_the_magic_number)
{
    aval__idx x;
    expect_refused(aval__idx_open(file_with("l", two_labels, sizeof two_labels), 3, &x), AVAL_E_FORMAT,
                   "expected the magic number 0x00000803", "found 0x00000801, a file of labels");
}

Test(data, truncated_files_are_refused_at_every_length)
{
    for (size_t n = 0; n < sizeof two_images; n++) {
        aval__idx x;
        expect_refused(aval__idx_parse("cut", two_images, n, 3, &x), AVAL_E_FORMAT, "cut: ", "found");
        cr_expect_null(x.bytes);
    }
}

Test(data, truncated_gzip_is_refused_at_every_length)
{
    const char *path = zipped_file_with("z.gz", two_images, sizeof two_images);
    uint8_t bytes[256];
    FILE *f = fopen(path, "rb");
    size_t length = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    for (size_t n = 0; n < length; n++) {
        aval__idx x;
        cr_expect_eq(aval__idx_parse("cut", bytes, n, 3, &x), AVAL_E_FORMAT, "%zu of %zu bytes", n, length);
    }
}

Test(data, a_longer_file_than_declared_is_refused)
{
    uint8_t longer[sizeof two_images + 1] = { 0 };
    memcpy(longer, two_images, sizeof two_images);
    aval__idx x;
    expect_refused(aval__idx_open(file_with("x", longer, sizeof longer), 3, &x), AVAL_E_FORMAT, "promises 6 bytes", "more follow");
}

Test(data, sizes_whose_product_overflows_are_refused)
{
    uint8_t huge[sizeof two_images];
    memcpy(huge, two_images, sizeof huge);
    memset(huge + 4, 0xff, 12);
    aval__idx x;
    expect_refused(aval__idx_parse("huge", huge, sizeof huge, 3, &x), AVAL_E_FORMAT, "huge", "2^63");
}

Test(data, counts_that_differ_are_both_named)
{
    aval_dataset *d;
    const char *images = file_with("i", two_images, sizeof two_images), *labels = file_with("l", three_labels, sizeof three_labels);
    expect_refused(aval_dataset_open_idx(images, labels, &d), AVAL_E_FORMAT, "2 images", "3 labels");
    cr_expect_null(d);
}

Test(data, damaged_gzip_is_refused)
{
    const uint8_t bytes[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff };
    aval__idx x;
    expect_refused(aval__idx_parse("bad.gz", bytes, sizeof bytes, 3, &x), AVAL_E_FORMAT, "bad.gz", "damaged");
}

/* A flipped bit often shows as another length: the checksum tells the two apart. */
Test(data, a_longer_gzip_is_damaged_when_its_checksum_is_wrong)
{
    uint8_t longer[sizeof two_images + 9] = { 0 }, bytes[256];
    memcpy(longer, two_images, sizeof two_images);
    const char *path = zipped_file_with("z.gz", longer, sizeof longer);
    FILE *f = fopen(path, "rb");
    size_t length = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    aval__idx x;
    expect_refused(aval__idx_parse("z.gz", bytes, length, 3, &x), AVAL_E_FORMAT, "z.gz", "more follow");
    bytes[length - 8] ^= 1;
    expect_refused(aval__idx_parse("z.gz", bytes, length, 3, &x), AVAL_E_FORMAT, "z.gz", "damaged");
}

Test(data, the_digits_in_the_library_are_all_there)
{
    aval_dataset *train, *test;
    cr_assert_eq(aval_dataset_open_digits(1, &train), 0, "%s", aval_error());
    cr_assert_eq(aval_dataset_open_digits(0, &test), 0, "%s", aval_error());
    cr_expect_eq(train->count, 1438);
    cr_expect_eq(test->count, 359);
    cr_expect_eq(train->height * train->width, 64);
    cr_expect_eq(train->classes, 10);
    cr_expect_eq(train->largest, 16);
    aval_dataset_release(train);
    aval_dataset_release(test);
}

enum { MANY = 1000 };

Test(shuffle, every_example_comes_once)
{
    uint32_t order[MANY], seen[MANY] = { 0 };
    aval__shuffle(order, MANY, 3, 4);
    for (size_t i = 0; i < MANY; i++) seen[order[i]]++;
    for (size_t i = 0; i < MANY; i++) cr_expect_eq(seen[i], 1);
}

Test(shuffle, the_order_follows_from_seed_and_epoch)
{
    uint32_t a[MANY], b[MANY];
    aval__shuffle(a, MANY, 1, 2);
    aval__shuffle(b, MANY, 1, 2);
    cr_expect_arr_eq(a, b, sizeof a);
    aval__shuffle(b, MANY, 1, 3);
    cr_expect_arr_neq(a, b, sizeof a);
    aval__shuffle(b, MANY, 2, 2);
    cr_expect_arr_neq(a, b, sizeof a);
    aval__shuffle(b, MANY, 2, 1);
    cr_expect_arr_neq(a, b, sizeof a);
}

Test(shuffle, nothing_and_one_example_are_fine)
{
    uint32_t order[1] = { 9 };
    aval__shuffle(order, 0, 0, 0);
    cr_expect_eq(order[0], 9);
    aval__shuffle(order, 1, 0, 0);
    cr_expect_eq(order[0], 0);
}
