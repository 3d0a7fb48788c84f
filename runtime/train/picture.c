/* Pictures from PNG and JPEG files, and their samples in the size that a net takes.  Files are untrusted: libpng and libjpeg report damage, and sizes
 * are bounded before memory is taken. */
#include "train/train.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#if defined(AVAL_PNG)
#include <png.h>
#endif
#if defined(AVAL_JPEG)
#include <jpeglib.h>
#endif

#define MOST_PIXELS (1u << 27)

static int make_room(const char *file, size_t height, size_t width, aval__picture *out)
{
    if (height == 0 || width == 0 || height > MOST_PIXELS / width)
        return aval__fail(AVAL_E_UNSUPPORTED, "%s has %zu x %zu pixels: 1 to %u were expected", file, width, height, MOST_PIXELS);
    *out = (aval__picture){ .height = height, .width = width, .rgb = aval__alloc(3 * height * width) };
    return out->rgb != NULL ? AVAL_OK : AVAL_E_MEMORY;
}

#if defined(AVAL_PNG)
/* Gray of what is seen of the pixels, weighted by their opacity, from which on they would vanish on white. */
#define NEARLY_WHITE 0.9

static unsigned paper_of(const uint8_t *rgba, size_t pixels)
{
    double light = 0, opacity = 0;
    for (size_t i = 0; i < pixels; i++) {
        light += (double)rgba[4 * i + 3] * (0.299 * rgba[4 * i] + 0.587 * rgba[4 * i + 1] + 0.114 * rgba[4 * i + 2]) / 255;
        opacity += rgba[4 * i + 3];
    }
    return light > NEARLY_WHITE * opacity ? 0 : 255;
}

/* What is transparent shows white, or black below what is drawn in white. */
static int read_transparent(png_image *image, const char *file, aval__picture *out)
{
    size_t pixels = out->height * out->width;
    uint8_t *rgba = aval__alloc(4 * pixels);
    if (rgba == NULL) return AVAL_E_MEMORY;
    int status = png_image_finish_read(image, NULL, rgba, 0, NULL)
                     ? AVAL_OK
                     : aval__fail(AVAL_E_FORMAT, "%s: a damaged PNG file: %s", file, image->message);
    unsigned paper = status == AVAL_OK ? paper_of(rgba, pixels) : 0;
    for (size_t i = 0; status == AVAL_OK && i < pixels; i++) {
        unsigned opacity = rgba[4 * i + 3];
        for (size_t c = 0; c < 3; c++) out->rgb[3 * i + c] = (uint8_t)((opacity * rgba[4 * i + c] + (255 - opacity) * paper + 127) / 255);
    }
    aval__free(rgba);
    return status;
}

static int read_png(FILE *in, const char *file, aval__picture *out)
{
    png_image image = { .version = PNG_IMAGE_VERSION };
    int status = AVAL_OK;
    if (!png_image_begin_read_from_stdio(&image, in)) return aval__fail(AVAL_E_FORMAT, "%s: a damaged PNG file: %s", file, image.message);
    bool transparent = (image.format & PNG_FORMAT_FLAG_ALPHA) != 0;
    image.format = transparent ? PNG_FORMAT_RGBA : PNG_FORMAT_RGB;
    image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
    status = make_room(file, image.height, image.width, out);
    if (status == AVAL_OK && transparent) status = read_transparent(&image, file, out);
    else if (status == AVAL_OK && !png_image_finish_read(&image, NULL, out->rgb, 0, NULL))
        status = aval__fail(AVAL_E_FORMAT, "%s: a damaged PNG file: %s", file, image.message);
    png_image_free(&image);
    return status;
}
#endif

#if defined(AVAL_JPEG)
typedef struct jpeg_errors {
    struct jpeg_error_mgr manager; /* first: libjpeg hands out its address */
    jmp_buf back;
    char message[JMSG_LENGTH_MAX];
} jpeg_errors;

static void leave_jpeg(j_common_ptr jpeg)
{
    jpeg_errors *errors = (jpeg_errors *)jpeg->err;
    jpeg->err->format_message(jpeg, errors->message);
    longjmp(errors->back, 1);
}

/* A file that ends early is damaged, though libjpeg would fill it with gray. */
static void note_jpeg(j_common_ptr jpeg, int level)
{
    if (level < 0) leave_jpeg(jpeg);
}

/* Files of four inks, as printers want them, mostly have them inverted: 255 is none, as Adobe's programs write them and say so. */
static void mix_inks(const JSAMPLE *cmyk, size_t pixels, bool inverted, uint8_t *rgb)
{
    for (size_t i = 0; i < pixels; i++, cmyk += 4, rgb += 3) {
        unsigned flip = inverted ? 0 : 255;
        for (size_t c = 0; c < 3; c++) rgb[c] = (uint8_t)(((cmyk[c] ^ flip) * (cmyk[3] ^ flip) + 127) / 255);
    }
}

static void read_rows(struct jpeg_decompress_struct *jpeg, aval__picture *out)
{
    bool inks = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    jpeg->out_color_space = inks ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(jpeg);
    JSAMPARRAY four = jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE, 4 * jpeg->output_width, 1);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW rgb = out->rgb + 3 * (size_t)jpeg->output_width * jpeg->output_scanline;
        jpeg_read_scanlines(jpeg, inks ? four : &rgb, 1);
        if (inks) mix_inks(four[0], jpeg->output_width, jpeg->saw_Adobe_marker, rgb);
    }
    jpeg_finish_decompress(jpeg);
}

static int read_jpeg(FILE *in, const char *file, aval__picture *out)
{
    struct jpeg_decompress_struct jpeg;
    jpeg_errors errors;
    jpeg.err = jpeg_std_error(&errors.manager);
    errors.manager.error_exit = leave_jpeg;
    errors.manager.emit_message = note_jpeg;
    if (setjmp(errors.back)) {
        jpeg_destroy_decompress(&jpeg);
        return aval__fail(AVAL_E_FORMAT, "%s: a damaged JPEG file: %s", file, errors.message);
    }
    jpeg_create_decompress(&jpeg);
    jpeg_stdio_src(&jpeg, in);
    jpeg_read_header(&jpeg, TRUE);
    int status = make_room(file, jpeg.image_height, jpeg.image_width, out);
    if (status == AVAL_OK) read_rows(&jpeg, out);
    jpeg_destroy_decompress(&jpeg);
    return status;
}
#endif

/* A new format is a row. */
static const struct {
    const char *name;
    const char *magic;
    size_t magic_bytes;
    int (*read)(FILE *in, const char *file, aval__picture *out); /* NULL: built without it */
} formats[] = {
#if defined(AVAL_PNG)
    { "PNG", "\x89PNG", 4, read_png },
#else
    { "PNG", "\x89PNG", 4, NULL },
#endif
#if defined(AVAL_JPEG)
    { "JPEG", "\xff\xd8\xff", 3, read_jpeg },
#else
    { "JPEG", "\xff\xd8\xff", 3, NULL },
#endif
};

int aval__picture_parse(FILE *in, const char *file, aval__picture *out)
{
    char start[4] = "";
    *out = (aval__picture){ 0 };
    size_t n = fread(start, 1, sizeof start, in);
    int status = aval__fail(AVAL_E_UNSUPPORTED, "%s is no picture: PNG or JPEG was expected", file);
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (n < formats[i].magic_bytes || memcmp(start, formats[i].magic, formats[i].magic_bytes) != 0) continue;
        rewind(in);
        if (formats[i].read != NULL) status = formats[i].read(in, file, out);
        else status = aval__fail(AVAL_E_UNSUPPORTED, "%s: this aval was built without %s", file, formats[i].name);
    }
    if (status < 0) aval__free(out->rgb);
    if (status < 0) *out = (aval__picture){ 0 };
    return status;
}

int aval__picture_read(const char *file, aval__picture *out)
{
    FILE *in = fopen(file, "rb");
    if (in == NULL)
        return errno == ENOENT ? aval__fail(AVAL_E_UNKNOWN, "%s: no such file", file)
                               : aval__fail(AVAL_E_IO, "%s: cannot be opened: %s", file, strerror(errno));
    int status = aval__picture_parse(in, file, out);
    fclose(in);
    return status;
}

/* ---- Sampling -------------------------------------------------------------------------------------------------------------------------- */

/* Along one axis: sample i covers the pixels first .. first + count - 1 with these weights, whose sum is 1, or less where it passes the edge. */
typedef struct tap {
    size_t first, count;
    const float *weights;
} tap;

/* The position of 0 .. end that is nearest; a frame may begin and end anywhere. */
static size_t nearest(double position, size_t end)
{
    return position < (double)end ? (position > 0 ? (size_t)position : 0) : end;
}

static int make_taps(aval__arena *arena, double start, double length, size_t pixels, size_t samples, tap **out)
{
    double scale = length / (double)samples, support = scale > 1 ? scale : 1;
    tap *taps = aval__arena_alloc(arena, samples * sizeof *taps);
    if (taps == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < samples; i++) {
        double centre = start + ((double)i + 0.5) * scale;
        size_t first = nearest(floor(centre - support), pixels), end = nearest(ceil(centre + support), pixels);
        if (end <= first) continue;
        float *weights = aval__arena_alloc(arena, (end - first) * sizeof *weights);
        if (weights == NULL) return AVAL_E_MEMORY;
        double sum = 0;
        for (size_t p = first; p < end; p++) {
            double distance = fabs((double)p + 0.5 - centre) / support;
            weights[p - first] = distance < 1 ? (float)(1 - distance) : 0;
            sum += weights[p - first];
        }
        /* outside of the picture there is nothing; the skirt of a sample that lies inside is made up for */
        bool inside = centre > 0 && centre < (double)pixels;
        for (size_t p = first; p < end; p++) weights[p - first] = sum > 0 && inside ? (float)(weights[p - first] / sum) : 0;
        taps[i] = (tap){ first, end - first, weights };
    }
    *out = taps;
    return AVAL_OK;
}

/* Gray as ITU-R BT.601 weighs the colours. */
static float channel_of(const uint8_t *rgb, size_t channels, size_t c)
{
    if (channels == 3) return (float)rgb[c] / 255;
    return (0.299f * (float)rgb[0] + 0.587f * (float)rgb[1] + 0.114f * (float)rgb[2]) / 255;
}

int aval__picture_sample(const aval__picture *picture, const aval__frame *frame, size_t channels, size_t height, size_t width, float *out)
{
    aval__arena arena = { 0 };
    tap *across = NULL, *down = NULL;
    int status = AVAL_OK;
    float *row = aval__alloc_array(picture->height, width * sizeof *row); /* [height of the picture, width] of one channel */
    if (row == NULL) AVAL__TRY_DONE(AVAL_E_MEMORY);
    AVAL__TRY_DONE(make_taps(&arena, frame->left, frame->width, picture->width, width, &across));
    AVAL__TRY_DONE(make_taps(&arena, frame->top, frame->height, picture->height, height, &down));
    for (size_t c = 0; c < channels; c++) {
        for (size_t y = 0; y < picture->height; y++) {
            const uint8_t *pixels = picture->rgb + 3 * picture->width * y;
            for (size_t x = 0; x < width; x++) {
                float sum = 0;
                for (size_t k = 0; k < across[x].count; k++)
                    sum += across[x].weights[k] * channel_of(pixels + 3 * (across[x].first + k), channels, c);
                row[y * width + x] = sum;
            }
        }
        for (size_t y = 0; y < height; y++) {
            for (size_t x = 0; x < width; x++) {
                float sum = 0;
                for (size_t k = 0; k < down[y].count; k++) sum += down[y].weights[k] * row[(down[y].first + k) * width + x];
                out[(c * height + y) * width + x] = sum;
            }
        }
    }
done:
    aval__free(row);
    aval__arena_release(&arena);
    return status;
}
