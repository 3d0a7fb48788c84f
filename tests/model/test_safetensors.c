/* safetensors files: what is written is read back, and damaged files are refused with one message each. */
#include "model/model.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/aval-safetensors-XXXXXX", file[64];

static void make_folder(void)
{
    cr_assert(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/a.safetensors", folder);
}

static void remove_folder(void)
{
    unlink(file);
    rmdir(folder);
}

TestSuite(safetensors, .init = make_folder, .fini = remove_folder);

/* Writes a file from its parts; a header length of 0 means the header's own. */
static void write_parts(uint64_t length, const char *header, size_t data_bytes)
{
    FILE *out = fopen(file, "wb");
    if (length == 0) length = strlen(header);
    for (int i = 0; i < 8; i++) fputc((int)(length >> (8 * i) & 255), out);
    fputs(header, out);
    for (size_t i = 0; i < data_bytes; i++) fputc((int)i, out);
    fclose(out);
}

Test(safetensors, all_element_types_and_ranks_come_back_in_order)
{
    static const int types[] = { AVAL_FLOAT, AVAL_DOUBLE, AVAL_FLOAT16, AVAL_INT64,   AVAL_INT32,
                                 AVAL_UINT8, AVAL_BOOL,   AVAL_INT8,    AVAL_BFLOAT16 };
    enum { N = sizeof types / sizeof types[0] };
    aval__safetensor tensors[N + 2];
    unsigned char data[64];
    char names[N][16];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 7);
    for (size_t i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "t%zu", N - i); /* not in alphabetical order */
        tensors[i] = (aval__safetensor){ .name = names[i], .data = data + i };
        cr_assert_eq(aval__tensor_set(&tensors[i].tensor, types[i], 2, (const int64_t[]){ 3, 1 }), 0);
    }
    tensors[N] = (aval__safetensor){ .name = "scalar", .data = data };
    tensors[N + 1] = (aval__safetensor){ .name = "empty \"quoted\" \xc3\xa9", .data = data };
    aval__tensor_set(&tensors[N].tensor, AVAL_FLOAT, 0, NULL);
    aval__tensor_set(&tensors[N + 1].tensor, AVAL_FLOAT, 2, (const int64_t[]){ 0, 5 });
    const char *const metadata[] = { "step", "12", "a", "b", NULL };
    cr_assert_eq(aval__safetensors_write(file, tensors, N + 2, metadata), 0, "%s", aval_error());

    aval__safetensors read;
    cr_assert_eq(aval__safetensors_read(file, &read), 0, "%s", aval_error());
    cr_assert_eq(read.count, N + 2);
    for (size_t i = 0; i < N + 2; i++) {
        cr_expect_str_eq(read.at[i].name, tensors[i].name);
        cr_expect_eq(read.at[i].tensor.type, tensors[i].tensor.type);
        cr_expect(aval__tensor_same_shape(&read.at[i].tensor, &tensors[i].tensor));
        cr_expect_eq(memcmp(read.at[i].data, tensors[i].data, aval__tensor_bytes(&tensors[i].tensor)), 0, "%s", tensors[i].name);
    }
    cr_expect_str_eq(read.metadata[0], "step");
    cr_expect_str_eq(read.metadata[3], "b");
    cr_expect_null(read.metadata[4]);
    aval__safetensors_release(&read);
}

Test(safetensors, data_starts_aligned_and_nothing_is_left_beside)
{
    aval__safetensor t = { .name = "x", .data = "\1\2\3" };
    unsigned char length;
    aval__tensor_set(&t.tensor, AVAL_UINT8, 1, (const int64_t[]){ 3 });
    cr_assert_eq(aval__safetensors_write(file, &t, 1, NULL), 0);
    FILE *in = fopen(file, "rb");
    cr_assert_eq(fread(&length, 1, 1, in), 1);
    fclose(in);
    cr_expect_eq(length % 8, 0);
    size_t entries = 0;
    DIR *d = opendir(folder);
    while (readdir(d)) entries++;
    closedir(d);
    cr_expect_eq(entries, 3, "., .. and the file, found %zu", entries);
}

Test(safetensors, a_write_that_fails_leaves_the_old_file)
{
    aval__safetensor t = { .name = "x", .data = "\1" }, bad = { .name = "bad \xff", .data = "\1" };
    aval__safetensors read;
    aval__tensor_set(&t.tensor, AVAL_UINT8, 1, (const int64_t[]){ 1 });
    bad.tensor = t.tensor;
    cr_assert_eq(aval__safetensors_write(file, &t, 1, NULL), 0);
    cr_expect_eq(aval__safetensors_write(file, &bad, 1, NULL), AVAL_E_ARGUMENT);
    cr_assert_eq(aval__safetensors_read(file, &read), 0, "%s", aval_error());
    cr_expect_str_eq(read.at[0].name, "x");
    aval__safetensors_release(&read);
    cr_expect_eq(aval__safetensors_write("/nowhere/at/all", &t, 1, NULL), AVAL_E_IO);
}

static const struct damage {
    const char *what;
    uint64_t length; /* 0: right */
    const char *header;
    size_t data_bytes;
    const char *message; /* a part of it */
} damages[] = {
    { "header longer than the file", 1000, "{}", 0, "header of 1000 bytes" },
    { "header of absurd length", UINT64_MAX, "{}", 0, "header of" },
    { "no JSON", 0, "[1, 2", 0, "JSON" },
    { "a JSON array", 0, "[]", 0, "JSON object" },
    { "entry is a number", 0, "{\"a\":1}", 0, "'a'" },
    { "unknown type", 0, "{\"a\":{\"dtype\":\"Q7\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "Q7" },
    { "no type", 0, "{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype" },
    { "no shape", 0, "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "shape" },
    { "negative axis", 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "axis 0" },
    { "axis that is a text", 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[\"1\"],\"data_offsets\":[0,4]}}", 4, "axis 0" },
    { "nine axes", 0, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, "9 axes" },
    { "count overflows", 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, "'a'" },
    { "bytes overflow", 0, "{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]}}", 0, "'a'" },
    { "no offsets", 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets" },
    { "offsets reversed", 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "data_offsets" },
    { "truncated data", 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, "truncated" },
    { "bytes do not fit the shape", 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "need 8" },
    { "bytes that nobody owns", 0, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 9, "9 bytes of data" },
    { "overlap", 0,
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}", 3,
      "overlap" },
    { "a name twice", 0,
      "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2,
      "JSON" },
    { "metadata that is no text", 0, "{\"__metadata__\":{\"k\":1}}", 0, "metadata 'k'" },
};

Test(safetensors, each_damage_is_refused_with_its_reason)
{
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        const struct damage *d = &damages[i];
        aval__safetensors read;
        write_parts(d->length, d->header, d->data_bytes);
        cr_expect_eq(aval__safetensors_read(file, &read), AVAL_E_FORMAT, "%s", d->what);
        cr_expect(strstr(aval_error(), d->message), "%s: expected '%s' in '%s'", d->what, d->message, aval_error());
        cr_expect(strstr(aval_error(), file), "%s: no file name in '%s'", d->what, aval_error());
    }
}

Test(safetensors, every_truncation_is_refused)
{
    aval__safetensor t = { .name = "x", .data = "12345678" };
    aval__safetensors read;
    struct stat about;
    aval__tensor_set(&t.tensor, AVAL_FLOAT, 1, (const int64_t[]){ 2 });
    cr_assert_eq(aval__safetensors_write(file, &t, 1, NULL), 0);
    cr_assert_eq(stat(file, &about), 0);
    for (off_t length = about.st_size - 1; length >= 0; length--) {
        cr_assert_eq(truncate(file, length), 0);
        cr_expect_eq(aval__safetensors_read(file, &read), AVAL_E_FORMAT, "cut to %ld", (long)length);
    }
}

Test(safetensors, missing_files_and_folders_are_named)
{
    aval__safetensors read;
    cr_expect_eq(aval__safetensors_read("/nowhere/x.safetensors", &read), AVAL_E_UNKNOWN);
    cr_expect(strstr(aval_error(), "/nowhere/x.safetensors"), "%s", aval_error());
    cr_expect_eq(aval__safetensors_read(folder, &read), AVAL_E_FORMAT);
}
