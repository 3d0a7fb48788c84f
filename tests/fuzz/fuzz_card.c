/* Models' cards, and a picture fitted by what they say. */
#include "fuzz.h"

#include "train/train.h"

#define MOST_PIXELS 65536 /* of what is made: a card may ask for 3 GB */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    uint8_t rgb[3 * 3 * 2] = { 0, 0, 0, 255, 128, 7 };
    aval__picture picture = { .height = 3, .width = 2, .rgb = rgb };
    aval_array array = { .size = sizeof array };
    aval_card *card = NULL;
    if (count == 0) return 0;
    FILE *in = fmemopen((void *)(uintptr_t)bytes, count, "r");
    if (in == NULL) return 0;
    int status = aval__card_parse(in, "fuzzed", &card);
    fclose(in);
    fuzz_expect_message(status);
    if (status < 0) return 0;
    if (card->height * card->width <= MOST_PIXELS) fuzz_expect_message(aval__card_fit(card, &picture, &array));
    for (size_t i = 0; i < aval_card_label_count(card); i++) (void)aval_card_label(card, i)[0];
    aval_free(array.data);
    aval_card_release(card);
    return 0;
}
