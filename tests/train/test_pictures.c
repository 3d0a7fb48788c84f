/* One picture in the forms that files have: pictures.py makes them. */
#include "train/train.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        snprintf(file, sizeof file, AVAL_TEST_SOURCE_DIR "/tests/train/pictures/%s", forms[i].file);
        if (aval__picture_read(file, &p) == AVAL_E_UNSUPPORTED && strstr(aval_error(), "built without")) continue;
        cr_assert_not_null(p.rgb, "%s", aval_error());
        cr_expect(p.width == 8 && p.height == 8, "%s", forms[i].file);
        cr_expect_leq(farthest(&p, forms[i].gray), forms[i].tolerance, "%s: %d off", forms[i].file, farthest(&p, forms[i].gray));
        aval__free(p.rgb);
    }
}
