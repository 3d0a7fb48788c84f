/* IDX files of images and of labels, plain and gzipped. */
#include "fuzz.h"

#include "train/train.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    for (size_t rank = 1; rank <= 3; rank += 2) {
        aval__idx idx;
        int status = aval__idx_parse("fuzzed", bytes, count, rank, &idx);
        fuzz_expect_message(status);
        if (status == AVAL_OK) aval__free(idx.bytes);
    }
    return 0;
}
