/* Arrays in files: .npy of NumPy's versions, ONNX's tensors, and what is neither. */
#include "model/model.h"

#include "onnx_maker.h"

#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/aval-npy-XXXXXX", file[64];

static void make_folder(void)
{
    cr_assert(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/a.npy", folder);
}

static void remove_folder(void)
{
    unlink(file);
    rmdir(folder);
}

TestSuite(npy, .init = make_folder, .fini = remove_folder);

/* A file of this version and header, with so many bytes of elements. */
static void write_npy(unsigned version, const char *header, size_t bytes)
{
    FILE *out = fopen(file, "wb");
    size_t length = strlen(header);
    fwrite("\x93NUMPY", 1, 6, out);
    fputc((int)version, out);
    fputc(0, out);
    for (unsigned i = 0; i < (version == 1 ? 2u : 4u); i++) fputc((int)(length >> (8 * i) & 255), out);
    fputs(header, out);
    for (size_t i = 0; i < bytes; i++) fputc((int)i, out);
    fclose(out);
}

static int try_read(aval_array *a)
{
    *a = (aval_array){ .size = sizeof *a };
    return aval_array_read(file, a);
}

Test(npy, what_is_written_is_read_back_in_every_type_and_rank)
{
    static const int types[] = { AVAL_FLOAT, AVAL_DOUBLE, AVAL_FLOAT16, AVAL_INT64,  AVAL_INT32,  AVAL_UINT8,
                                 AVAL_BOOL,  AVAL_INT8,   AVAL_INT16,   AVAL_UINT16, AVAL_UINT32, AVAL_UINT64 };
    char data[64];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)i;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        for (size_t rank = 0; rank <= 3; rank++) {
            aval_array back, a = { .size = sizeof a, .type = types[i], .rank = rank, .dims = { 2, 1, 3 }, .data = data };
            a.bytes = aval_type_bytes(a.type) * (rank == 0 ? 1 : rank < 3 ? 2 : 6);
            cr_assert_eq(aval_array_write(file, &a), 0, "%s", aval_error());
            cr_assert_eq(try_read(&back), 0, "%s", aval_error());
            cr_expect(back.type == a.type && back.rank == rank && back.bytes == a.bytes);
            cr_expect_eq(memcmp(back.dims, a.dims, rank * sizeof a.dims[0]), 0);
            cr_expect_eq(memcmp(back.data, data, a.bytes), 0);
            aval_free(back.data);
        }
    }
}

Test(npy, headers_of_other_writers_are_read)
{
    static const struct {
        unsigned version;
        const char *header;
        int type;
        size_t rank, bytes;
    } cases[] = {
        { 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", AVAL_FLOAT, 2, 24 },
        { 2, "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", AVAL_FLOAT, 1, 24 },
        { 3, "{'shape': (), 'fortran_order': False, 'descr': '=f8'}", AVAL_DOUBLE, 0, 8 },
        { 1, "{'descr':'|b1','fortran_order':True,'shape':(0,)}", AVAL_BOOL, 1, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        aval_array a;
        write_npy(cases[i].version, cases[i].header, cases[i].bytes);
        cr_assert_eq(try_read(&a), 0, "%zu: %s", i, aval_error());
        cr_expect(a.type == cases[i].type && a.rank == cases[i].rank && a.bytes == cases[i].bytes);
        aval_free(a.data);
    }
}

Test(npy, what_is_damaged_or_cannot_be_held_is_refused_with_its_reason)
{
    static const struct {
        const char *header;
        size_t bytes;
        int code;
        const char *message;
    } cases[] = {
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 20, AVAL_E_FORMAT, "needs 24 bytes of elements, found 20" },
        { "{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", 8, AVAL_E_UNSUPPORTED, "NumPy's type '>f4'" },
        { "{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", 8, AVAL_E_UNSUPPORTED, "NumPy's type '<c8'" },
        { "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8, AVAL_E_UNSUPPORTED, "NumPy's type '|O'" },
        { "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", 24, AVAL_E_UNSUPPORTED, "columns first" },
        { "{'descr': '<f4', 'fortran_order': False, }", 4, AVAL_E_FORMAT, "lacks 'shape'" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3", 24, AVAL_E_FORMAT, "ends within the shape" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", 4, AVAL_E_FORMAT, "axis 0" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (x,), }", 4, AVAL_E_FORMAT, "axis 0" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807), }", 4, AVAL_E_FORMAT, "2^63" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }", 4, AVAL_E_FORMAT, "needs 4398046511104 bytes" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 4, AVAL_E_UNSUPPORTED, "more than 8 axes" },
        { "'descr':", 0, AVAL_E_FORMAT, "lacks" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        aval_array a;
        write_npy(1, cases[i].header, cases[i].bytes);
        cr_expect_eq(try_read(&a), cases[i].code, "%s: %s", cases[i].header, aval_error());
        cr_expect_not_null(strstr(aval_error(), cases[i].message), "expected '%s', found %s", cases[i].message, aval_error());
        cr_expect_null(a.data);
    }
}

Test(npy, files_cut_off_anywhere_are_refused)
{
    unsigned char bytes[200];
    aval_array a = { .size = sizeof a, .type = AVAL_FLOAT, .rank = 1, .dims = { 6 }, .data = (float[6]){ 0 }, .bytes = 24 };
    cr_assert_eq(aval_array_write(file, &a), 0);
    FILE *in = fopen(file, "rb");
    size_t count = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    cr_assert_eq(count, 128 + 24);
    for (size_t n = 10; n < count; n++) { /* of less than a .npy's first bytes nobody can say what it is */
        maker_write_bytes(file, bytes, n);
        cr_expect_eq(try_read(&a), AVAL_E_FORMAT, "%zu bytes", n);
    }
}

Test(npy, a_tensor_of_onnx_is_read_as_an_array)
{
    maker m;
    aval_array a;
    unsigned char bytes[100];
    maker_start(&m, 13);
    Aval__Onnx__Tensor *t = maker_tensor(&m, "t", AVAL_INT64, 1, (const int64_t[]){ 2 }, (const int64_t[]){ 5, -6 }, 16);
    maker_write_bytes(file, bytes, aval__onnx__tensor__pack(t, bytes));
    cr_assert_eq(try_read(&a), 0, "%s", aval_error());
    cr_expect(a.type == AVAL_INT64 && a.dims[0] == 2 && ((int64_t *)a.data)[1] == -6);
    aval_free(a.data);
    t->data_location = t->has_data_location = 1;
    maker_write_bytes(file, bytes, aval__onnx__tensor__pack(t, bytes));
    cr_expect_eq(try_read(&a), AVAL_E_UNSUPPORTED);
    maker_end(&m);
}
