/* One picture in the forms that files have, and one as torchvision prepares it: pictures.py makes them. */
#include "train/train.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PICTURES AVAL_TEST_SOURCE_DIR "/tests/train/pictures/"

typedef struct form {
    const char *file;
    bool gray;
    int tolerance; /* what a JPEG file may lose */
} form;

static const form forms[] = {
    { "rgb.png", false, 0 },         { "palette.png", false, 1 },  { "opaque.png", false, 0 },   { "rgb.jpg", false, 6 },
    { "progressive.jpg", false, 6 }, { "inks.jpg", false, 6 },     { "gray.png", true, 0 },      { "gray16.png", true, 0 },
    { "gray.jpg", true, 4 },         { "white_ink.png", true, 0 }, { "black_ink.png", true, 0 },
};

static int farthest(const aval__picture *p, bool gray)
{
    int most = 0;
    for (int i = 0; i < 64; i++) {
        const int x = 30 * (i % 8), y = 30 * (i / 8), expected[3] = { x, gray ? x : y, gray ? x : 120 };
        for (int c = 0; c < 3; c++) {
            int off = abs(p->rgb[3 * i + c] - expected[c]);
            most = off > most ? off : most;
        }
    }
    return most;
}

Test(pictures, a_picture_is_the_same_in_all_forms_of_files)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        char file[512];
        aval__picture p;
        snprintf(file, sizeof file, PICTURES "%s", forms[i].file);
        if (aval__picture_read(file, &p) == AVAL_E_UNSUPPORTED && strstr(aval_error(), "built without")) continue;
        cr_assert_not_null(p.rgb, "%s", aval_error());
        cr_expect(p.width == 8 && p.height == 8, "%s", forms[i].file);
        cr_expect_leq(farthest(&p, forms[i].gray), forms[i].tolerance, "%s: %d off", forms[i].file, farthest(&p, forms[i].gray));
        aval__free(p.rgb);
    }
}

Test(pictures, a_card_prepares_them_as_torchvision_does)
{
    char file[] = "/tmp/aval-card-XXXXXX.json";
    const char text[] = "{\"height\": 11, \"width\": 12, \"channels\": 3, \"resize\": 16}";
    int fd = mkstemps(file, 5);
    cr_assert(fd >= 0 && write(fd, text, sizeof text - 1) == sizeof text - 1 && close(fd) == 0);
    aval_card *card;
    aval__picture expected;
    aval_array found = { .size = sizeof found };
    cr_assert_eq(aval_card_open(file, &card), 0, "%s", aval_error());
    if (aval__picture_read(PICTURES "noise_resized.png", &expected) == 0) {
        cr_assert_eq(aval_card_picture(card, PICTURES "noise.png", &found), 0, "%s", aval_error());
        for (size_t i = 0; i < 11 * 12 * 3; i++) { /* both passes of pillow round to 8 bits */
            double off = 255 * (double)((const float *)found.data)[i] - expected.rgb[i % 132 * 3 + i / 132];
            cr_expect(off > -1.3 && off < 1.3, "element %zu is %g off", i, off);
        }
        aval__free(expected.rgb);
        aval_free(found.data);
    }
    aval_card_release(card);
    unlink(file);
}
