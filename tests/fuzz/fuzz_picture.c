/* PNG and JPEG files, by way of a card's frame into a model's input. */
#include "fuzz.h"

#include "train/train.h"

#include <stdlib.h>
#include <string.h>

#define MOST_PIXELS 65536 /* that are sampled: a small file may promise 400 MB of pixels */

static aval_card *card;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char text[] = "{\"height\": 5, \"width\": 4, \"channels\": 1, \"background\": \"dark\", \"ink\": 0.8}";
    (void)argc;
    (void)argv;
    FILE *in = fmemopen(text, strlen(text), "r");
    if (in == NULL || aval__card_parse(in, "card", &card) < 0) abort();
    fclose(in);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    aval__picture picture;
    aval_array array = { .size = sizeof array };
    if (count == 0) return 0;
    FILE *in = fmemopen((void *)(uintptr_t)bytes, count, "r");
    if (in == NULL) return 0;
    int status = aval__picture_parse(in, "fuzzed", &picture);
    fclose(in);
    fuzz_expect_message(status);
    if (status == AVAL_OK && picture.height * picture.width <= MOST_PIXELS) {
        fuzz_expect_message(aval__card_fit(card, &picture, &array));
        aval_free(array.data);
    }
    aval__free(picture.rgb);
    return 0;
}
