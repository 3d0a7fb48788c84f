/* A model's card: FILE.json beside FILE.onnx, which says how a picture becomes the model's input and what its outputs mean.  aval/train.h describes it. */
#include "train/train.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MOST_SIDE 16384

const char *const aval__layout_names[] = { [AVAL__FLAT] = "flat", [AVAL__PLANAR] = "NCHW", [AVAL__INTERLEAVED] = "NHWC" };

int aval__card_name(aval__text *name, const char *file)
{
    const char *dot = strrchr(file, '.');
    size_t length = dot != NULL && (strcmp(dot, ".onnx") == 0 || strcmp(dot, ".json") == 0) ? (size_t)(dot - file) : strlen(file);
    aval__text_put(name, file, length);
    aval__text_add(name, ".json");
    return name->failed ? aval__fail(AVAL_E_MEMORY, "no memory for the name of %s's card", file) : AVAL_OK;
}

/* ---- Reading --------------------------------------------------------------------------------------------------------------------------- */

/* A whole number in 1 .. most; absent: *value stays. */
static int read_size(json_t *card, const char *key, size_t most, size_t *value)
{
    json_t *found = json_object_get(card, key);
    if (found == NULL) return AVAL_OK;
    if (!json_is_integer(found) || json_integer_value(found) < 1 || (uint64_t)json_integer_value(found) > most)
        return aval__fail(AVAL_E_FORMAT, "\"%s\": a whole number from 1 to %zu was expected", key, most);
    *value = (size_t)json_integer_value(found);
    return AVAL_OK;
}

static int read_numbers(json_t *card, const char *key, size_t channels, double initial, bool positive, double numbers[3])
{
    json_t *found = json_object_get(card, key);
    size_t n = json_is_array(found) ? json_array_size(found) : 1;
    if (n != 1 && n != channels)
        return aval__fail(AVAL_E_FORMAT, "\"%s\": one number, or one for each of %zu channels, was expected", key, channels);
    for (size_t c = 0; c < 3; c++) {
        json_t *number = json_is_array(found) ? json_array_get(found, n > 1 && c < n ? c : 0) : found;
        if (number != NULL && !json_is_number(number)) return aval__fail(AVAL_E_FORMAT, "\"%s\": numbers were expected", key);
        numbers[c] = number != NULL ? json_number_value(number) : initial;
        if (positive && !(numbers[c] > 0)) return aval__fail(AVAL_E_FORMAT, "\"%s\": numbers above 0 were expected", key);
    }
    return AVAL_OK;
}

static int read_layout(json_t *card, aval__layout *layout)
{
    json_t *found = json_object_get(card, "layout");
    *layout = AVAL__PLANAR;
    if (found == NULL) return AVAL_OK;
    for (size_t i = 0; json_is_string(found) && i < sizeof aval__layout_names / sizeof aval__layout_names[0]; i++) {
        if (strcmp(json_string_value(found), aval__layout_names[i]) != 0) continue;
        *layout = (aval__layout)i;
        return AVAL_OK;
    }
    return aval__fail(AVAL_E_FORMAT, "\"layout\": \"NCHW\", \"NHWC\" or \"flat\" was expected");
}

static int read_labels(json_t *card, aval_card *out)
{
    json_t *found = json_object_get(card, "labels");
    if (found == NULL) return AVAL_OK;
    if (!json_is_array(found)) return aval__fail(AVAL_E_FORMAT, "\"labels\": an array of texts was expected");
    out->labels = aval__alloc_array(json_array_size(found), sizeof *out->labels);
    if (out->labels == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < json_array_size(found); i++) {
        const char *label = json_string_value(json_array_get(found, i));
        if (label == NULL) return aval__fail(AVAL_E_FORMAT, "\"labels\": texts were expected, label %zu is none", i);
        if ((out->labels[i] = aval__copy_text(label)) == NULL) return AVAL_E_MEMORY;
        out->n_labels++;
    }
    return AVAL_OK;
}

static int read_card(json_t *card, aval_card *out)
{
    if (!json_is_object(card)) return aval__fail(AVAL_E_FORMAT, "a JSON object was expected");
    out->channels = 3;
    AVAL__TRY(read_size(card, "height", MOST_SIDE, &out->height));
    AVAL__TRY(read_size(card, "width", MOST_SIDE, &out->width));
    AVAL__TRY(read_size(card, "resize", MOST_SIDE, &out->resize));
    AVAL__TRY(read_size(card, "channels", 3, &out->channels));
    if (out->channels == 2) return aval__fail(AVAL_E_FORMAT, "\"channels\": 1 or 3 was expected, found 2");
    if (out->resize > 0 && (out->resize < out->height || out->resize < out->width))
        return aval__fail(AVAL_E_FORMAT, "\"resize\": at least the height and the width was expected, found %zu", out->resize);
    AVAL__TRY(read_layout(card, &out->layout));
    AVAL__TRY(read_numbers(card, "mean", out->channels, 0, false, out->mean));
    AVAL__TRY(read_numbers(card, "std", out->channels, 1, true, out->deviation));
    const char *background = json_string_value(json_object_get(card, "background"));
    json_t *ink = json_object_get(card, "ink");
    out->dark = background != NULL && strcmp(background, "dark") == 0;
    out->ink = json_number_value(ink);
    if (ink != NULL && !(out->ink > 0 && out->ink <= 1))
        return aval__fail(AVAL_E_FORMAT, "\"ink\": a number above 0, at most 1, was expected");
    out->scores = json_is_true(json_object_get(card, "scores"));
    return read_labels(card, out);
}

int aval__card_parse(FILE *in, const char *file, aval_card **card)
{
    json_error_t error;
    *card = NULL;
    json_t *read = json_loadf(in, JSON_REJECT_DUPLICATES, &error);
    if (read == NULL) return aval__fail(AVAL_E_FORMAT, "%s: no JSON: line %d: %s", file, error.line, error.text);
    aval_card *made = aval__alloc(sizeof *made);
    int status = made == NULL ? AVAL_E_MEMORY : read_card(read, made);
    json_decref(read);
    if (status < 0) {
        aval_card_release(made);
        return aval__fail_in(status, "%s", file);
    }
    *card = made;
    return AVAL_OK;
}

AVAL_API int aval_card_open(const char *file, aval_card **card)
{
    AVAL__NEED(file, "a file name");
    AVAL__NEED(card, "a place for the card");
    aval__text name = { 0 };
    *card = NULL;
    int status = aval__card_name(&name, file);
    FILE *in = status < 0 ? NULL : fopen(name.at, "r");
    if (in != NULL) {
        status = aval__card_parse(in, name.at, card);
        fclose(in);
    } else if (status == AVAL_OK) {
        status = errno == ENOENT
                     ? aval__fail(AVAL_E_UNKNOWN, "%s, the model's card, is not there: aval/train.h says what it holds", name.at)
                     : aval__fail(AVAL_E_IO, "%s cannot be opened: %s", name.at, strerror(errno));
    }
    aval__text_release(&name);
    return status;
}

AVAL_API void aval_card_release(aval_card *card)
{
    if (card == NULL) return;
    for (size_t i = 0; i < card->n_labels; i++) aval__free(card->labels[i]);
    aval__free(card->labels);
    aval__free(card);
}

AVAL_API size_t aval_card_label_count(const aval_card *card)
{
    return card != NULL ? card->n_labels : 0;
}

AVAL_API const char *aval_card_label(const aval_card *card, size_t i)
{
    return i < aval_card_label_count(card) ? card->labels[i] : NULL;
}

AVAL_API int aval_card_scores(const aval_card *card)
{
    return card != NULL && card->scores;
}

/* ---- A picture as input ----------------------------------------------------------------------------------------------------------------- */

static double luminance(const uint8_t *p)
{
    return 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
}

/* Ink on paper becomes light on dark. */
static void darken_background(aval__picture *p)
{
    double border = 0;
    size_t n = 0;
    for (size_t y = 0; y < p->height; y++) {
        bool edge = y == 0 || y == p->height - 1;
        for (size_t x = 0; x < p->width; x += edge || p->width == 1 ? 1 : p->width - 1, n++)
            border += luminance(p->rgb + 3 * (y * p->width + x));
    }
    if (border / (double)n <= 127.5) return;
    for (size_t i = 0; i < 3 * p->height * p->width; i++) p->rgb[i] = (uint8_t)(255 - p->rgb[i]);
}

/* A square around what stands out from the dark, of which it fills the share `ink`. */
static void frame_ink(const aval__picture *p, double ink, aval__frame *frame)
{
    double brightest = 0;
    size_t top = p->height, bottom = 0, left = p->width, right = 0;
    for (size_t i = 0; i < p->height * p->width; i++) brightest = fmax(brightest, luminance(p->rgb + 3 * i));
    for (size_t y = 0; y < p->height; y++) {
        for (size_t x = 0; x < p->width; x++) {
            if (luminance(p->rgb + 3 * (y * p->width + x)) <= 0.25 * brightest) continue;
            if (y < top) top = y;
            bottom = y + 1;
            if (x < left) left = x;
            if (x + 1 > right) right = x + 1;
        }
    }
    if (bottom == 0) return; /* all black */
    double side = (double)(bottom - top > right - left ? bottom - top : right - left) / ink;
    *frame = (aval__frame){ 0.5 * ((double)(top + bottom) - side), 0.5 * ((double)(left + right) - side), side, side };
}

/* Of an axis of so many pixels, which becomes `resized` long, the middle that is kept: to the pixel where torchvision's CenterCrop takes it,
   which rounds half a pixel to the even one, since nets were trained with that. */
static void keep_middle(size_t pixels, size_t resized, size_t kept, double *start, double *length)
{
    double scale = (double)pixels / (double)resized;
    size_t cut = resized - kept, before = cut / 2;
    if (cut % 2 != 0 && before % 2 != 0) before++;
    *start = scale * (double)before;
    *length = scale * (double)kept;
}

static void choose_frame(const aval_card *card, aval__picture *p, aval__frame *frame)
{
    *frame = (aval__frame){ 0, 0, (double)p->height, (double)p->width };
    if (card->dark) darken_background(p);
    if (card->dark && card->ink > 0) {
        frame_ink(p, card->ink, frame);
    } else if (card->resize > 0) {
        size_t shorter = p->height < p->width ? p->height : p->width;
        keep_middle(p->height, card->resize * p->height / shorter, card->height, &frame->top, &frame->height);
        keep_middle(p->width, card->resize * p->width / shorter, card->width, &frame->left, &frame->width);
    }
}

static int fill_array(const aval_card *card, aval__picture *p, aval_array *array)
{
    size_t plane = card->height * card->width, count = card->channels * plane;
    aval__frame frame;
    choose_frame(card, p, &frame);
    float *planar = aval__alloc_array(count, sizeof *planar), *out = aval__alloc_array(count, sizeof *out);
    array->data = out;
    int status =
        planar == NULL || out == NULL ? AVAL_E_MEMORY : aval__picture_sample(p, &frame, card->channels, card->height, card->width, planar);
    for (size_t i = 0; status == AVAL_OK && i < count; i++) {
        size_t c = i / plane, to = card->layout == AVAL__INTERLEAVED ? i % plane * card->channels + c : i;
        out[to] = (float)((planar[i] - card->mean[c]) / card->deviation[c]);
    }
    aval__free(planar);
    return status;
}

static int check_size(const aval_card *card)
{
    if (card->height > 0 && card->width > 0) return AVAL_OK;
    return aval__fail(AVAL_E_FORMAT, "the card says neither \"height\" nor \"width\", so the model takes no pictures");
}

int aval__card_fit(const aval_card *card, aval__picture *p, aval_array *array)
{
    AVAL__TRY(check_size(card));
    *array = (aval_array){ .size = sizeof *array, .type = AVAL_FLOAT, .rank = card->layout == AVAL__FLAT ? 2 : 4 };
    const int64_t c = (int64_t)card->channels, h = (int64_t)card->height, w = (int64_t)card->width;
    const int64_t dims[][4] = { [AVAL__FLAT] = { 1, c * h * w }, [AVAL__PLANAR] = { 1, c, h, w }, [AVAL__INTERLEAVED] = { 1, h, w, c } };
    memcpy(array->dims, dims[card->layout], sizeof dims[0]);
    array->bytes = (size_t)(c * h * w) * sizeof(float);
    int status = fill_array(card, p, array);
    if (status < 0) {
        aval_free(array->data);
        array->data = NULL;
    }
    return status;
}

AVAL_API int aval_card_picture(const aval_card *card, const char *picture, aval_array *array)
{
    AVAL__NEED(card, "a card");
    AVAL__NEED(picture, "a file name");
    AVAL__NEED(array, "a place for the array");
    aval__picture p;
    AVAL__TRY(check_size(card));
    AVAL__TRY(aval__picture_read(picture, &p));
    int status = aval__card_fit(card, &p, array);
    aval__free(p.rgb);
    return status;
}
