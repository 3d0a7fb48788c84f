/* Writes the card of a net that was trained, see card.c. */
#include "train/train.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Of gray pictures as bytes: is their border dark, and how much of the longer side does what stands out fill in the mean? */
static bool measure_ink(const aval_dataset *data, double *share)
{
    size_t h = data->height, w = data->width;
    double border = 0, filled = 0, most = (double)(h > w ? h : w);
    size_t n_border = 0, n_filled = 0;
    for (size_t i = 0; i < data->count; i++) {
        const uint8_t *p = (const uint8_t *)data->images + i * h * w;
        size_t top = h, bottom = 0, left = w, right = 0;
        for (size_t y = 0; y < h; y++) {
            for (size_t x = 0; x < w; x++) {
                if (y == 0 || x == 0 || y == h - 1 || x == w - 1) border += p[y * w + x], n_border++;
                if (p[y * w + x] < 0.25 * data->largest) continue;
                if (y < top) top = y;
                if (y + 1 > bottom) bottom = y + 1;
                if (x < left) left = x;
                if (x + 1 > right) right = x + 1;
            }
        }
        if (bottom == 0) continue;
        filled += (double)(bottom - top > right - left ? bottom - top : right - left) / most;
        n_filled++;
    }
    *share = n_filled > 0 ? filled / (double)n_filled : 0;
    return n_border > 0 && n_filled > 0 && border / (double)n_border < 0.25 * data->largest;
}

static json_t *numbers_of(const char *text, size_t channels, double initial)
{
    double numbers[AVAL__MOST_CHANNELS];
    size_t n = 1;
    json_t *array = json_array();
    if (aval__channel_numbers("numbers", text, channels, initial, numbers, &n) < 0) n = 0; /* were checked when the net was built */
    for (size_t i = 0; i < n; i++) json_array_append_new(array, json_real(numbers[i]));
    return array;
}

static json_t *describe(const aval__recipe *recipe, const aval_dataset *data, aval__layout layout, bool repeated)
{
    json_t *card = json_object(), *labels = json_array();
    if (data->type == AVAL_UINT8) {
        double share = 0;
        json_object_set_new(card, "height", json_integer((json_int_t)data->height));
        json_object_set_new(card, "width", json_integer((json_int_t)data->width));
        json_object_set_new(card, "channels", json_integer(repeated ? 3 : (json_int_t)data->channels));
        json_object_set_new(card, "layout", json_string(aval__layout_names[layout]));
        json_object_set_new(card, "mean", numbers_of(recipe->options.mean, data->channels, 0));
        json_object_set_new(card, "std", numbers_of(recipe->options.std, data->channels, 1));
        if (data->channels == 1 && measure_ink(data, &share)) {
            json_object_set_new(card, "background", json_string("dark"));
            json_object_set_new(card, "ink", json_real(round(share * 1000) / 1000));
        }
    }
    json_object_set_new(card, "scores", json_true());
    for (size_t c = 0; c < data->classes; c++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", c);
        json_array_append_new(labels, json_string(data->names != NULL ? data->names[c] : number));
    }
    json_object_set_new(card, "labels", labels);
    return card;
}

int aval__card_write(const char *file, const aval__recipe *recipe, const aval_dataset *data, aval__layout layout, bool repeated)
{
    aval__text name = { 0 }, part = { 0 };
    FILE *out = NULL;
    json_t *card = NULL;
    int status = AVAL_OK;
    AVAL__TRY_DONE(aval__card_name(&name, file));
    aval__text_add(&part, "%s.part", name.at);
    card = describe(recipe, data, layout, repeated);
    if (part.failed || card == NULL) AVAL__TRY_DONE(aval__fail(AVAL_E_MEMORY, "no memory for %s", name.at));
    out = fopen(part.at, "w");
    bool written = out != NULL && json_dumpf(card, out, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9)) == 0;
    if (out != NULL) written = fputc('\n', out) != EOF && fclose(out) == 0 && written;
    if (!written || rename(part.at, name.at) != 0) {
        status = aval__fail(AVAL_E_IO, "%s cannot be written: %s", name.at, strerror(errno));
        remove(part.at);
    }
done:
    json_decref(card);
    aval__text_release(&name);
    aval__text_release(&part);
    return status;
}
