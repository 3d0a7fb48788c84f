/* NumPy's .npy and .npz. */
#include "fuzz.h"

#include "model/model.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

static void parse_array(const void *bytes, size_t count)
{
    aval_tensor shape;
    const void *data;
    aval_array array = { .size = sizeof array };
    int status = aval__npy_parse(bytes, count, &shape, &data);
    if (status == AVAL_OK) status = aval__array_take(&shape, data, &array);
    fuzz_expect_message(status);
    aval_free(array.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    aval__npz npz;
    parse_array(bytes, count);
    int status = aval__npz_parse(bytes, count, &npz);
    fuzz_expect_message(status);
    for (size_t i = 0; status == AVAL_OK && i < npz.count && i < 8; i++) {
        unsigned char *content = NULL;
        int found = aval__npz_unpack(&npz, i, &content);
        fuzz_expect_message(found);
        if (found == AVAL_OK) parse_array(content, (size_t)npz.at[i].bytes);
        if (found == AVAL_OK) aval__free(content);
    }
    if (status == AVAL_OK) aval__npz_release(&npz);
    return 0;
}
