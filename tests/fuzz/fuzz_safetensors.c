/* safetensors: a file's header is believed in nothing. */
#include "fuzz.h"

#include "model/model.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    aval__safetensors file;
    int status = aval__safetensors_parse(bytes, count, &file);
    fuzz_expect_message(status);
    if (status < 0) return 0;
    unsigned char sum = 0; /* each tensor lies within the file: else ASan ends this */
    for (size_t i = 0; i < file.count; i++) {
        const unsigned char *data = file.at[i].data;
        size_t n = aval__tensor_bytes(&file.at[i].tensor);
        for (size_t b = 0; b < n; b++) sum = (unsigned char)(sum + data[b]);
    }
    static volatile unsigned char sink;
    sink = sum;
    (void)sink;
    aval__safetensors_release(&file);
    return 0;
}
