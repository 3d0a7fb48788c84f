/* aval graph, train and predict on models from files, as users call them. */
#include "program.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

TestSuite(model_commands, .init = program_begin, .fini = program_end);

/* ---- A picture: the digit 0 as ink on paper, 120 x 160 gray pixels, as PNG ------------------------------------------------------------------ */

enum { HIGH = 120, WIDE = 160 };

static void put_number(uint8_t *to, uint32_t number)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(number >> (24 - 8 * i));
}

static size_t put_chunk(uint8_t *to, const char *kind, const uint8_t *data, size_t n)
{
    put_number(to, (uint32_t)n);
    memcpy(to + 4, kind, 4);
    if (n > 0) memcpy(to + 8, data, n);
    put_number(to + 8 + n, (uint32_t)crc32(crc32(0, NULL, 0), to + 4, (uInt)n + 4));
    return n + 12;
}

static void write_digit(const char *file)
{
    static uint8_t rows[HIGH][1 + WIDE], packed[2 * sizeof rows], png[sizeof packed + 100];
    uint8_t header[13] = { [8] = 8 }; /* 8 bits, gray */
    for (int y = 0; y < HIGH; y++) {
        rows[y][0] = 0; /* no filter */
        for (int x = 0; x < WIDE; x++) {
            double u = (x - 90) / 18.0, v = (y - 60) / 32.0, r = u * u + v * v;
            rows[y][1 + x] = r > 0.4 && r < 1.1 ? 20 : 245;
        }
    }
    put_number(header, WIDE);
    put_number(header + 4, HIGH);
    uLongf n_packed = sizeof packed;
    cr_assert_eq(compress(packed, &n_packed, (const uint8_t *)rows, sizeof rows), Z_OK);
    size_t n = 8;
    memcpy(png, "\x89PNG\r\n\x1a\n", 8);
    n += put_chunk(png + n, "IHDR", header, sizeof header);
    n += put_chunk(png + n, "IDAT", packed, n_packed);
    n += put_chunk(png + n, "IEND", NULL, 0);
    program_write(file, png, n);
}

/* .npy of floats [1, 64]. */
static void write_input(const char *file)
{
    uint8_t bytes[128 + 64 * 4] = "\x93NUMPY\x01";
    bytes[8] = 118;
    memset(bytes + 10, ' ', 117);
    bytes[127] = '\n';
    const char *header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 64), }";
    memcpy(bytes + 10, header, strlen(header));
    for (int i = 0; i < 64; i++) memcpy(bytes + 128 + 4 * i, &(float){ (float)i / 64 }, 4);
    program_write(file, bytes, sizeof bytes);
}

/* ---- Drawing ------------------------------------------------------------------------------------------------------------------------------ */

Test(model_commands, a_model_is_drawn_with_values_and_gradients)
{
    program_expect_ok("train linear --stop-after 1 --quiet --save net.onnx");
    write_input("x.npy");
    const outcome *o = program_expect_ok("graph net.onnx");
    cr_expect_eq(strncmp(o->out, "digraph", 7), 0);
    cr_expect_not_null(strstr(o->out, "output.weight"));
    cr_expect_not_null(strstr(o->out, "float[1,10]"), "a free batch is drawn as one example: %s", o->out);
    cr_expect_null(strstr(o->out, "mean"), "without inputs there are no numbers");
    cr_expect_not_null(strstr(program_expect_ok("graph net.onnx --batch 7")->out, "float[7,10]"));
    o = program_expect_ok("graph net.onnx --input input=x.npy");
    cr_expect_not_null(strstr(o->out, "0 .. 0.9844, mean 0.4922"), "%s", o->out);
    cr_expect_null(strstr(o->out, "1 .. 1, mean 1"));
    o = program_expect_ok("graph net.onnx --input input=x.npy --gradients");
    cr_expect_not_null(strstr(o->out, "1 .. 1, mean 1"), "the gradient of the scores by themselves: %s", o->out);
    cr_expect_gt(strlen(program_expect_ok("graph net.onnx --plan")->out), 50);
    cr_expect_not_null(strstr(program_expect_ok("graph net.onnx --text")->out, "Gemm"));
}

Test(model_commands, wrong_drawings_are_refused)
{
    program_expect_ok("train linear --stop-after 1 --quiet --save net.onnx");
    write_input("x.npy");
    program_expect_refused("graph nothing.onnx", 2, "nothing.onnx");
    program_expect_refused("graph net.onnx --gradients", 2, "--input");
    program_expect_refused("graph net.onnx --input y=x.npy", 2, "'input'");
    program_expect_refused("graph net.onnx --input output.bias=x.npy", 2, "output.bias");
    program_expect_refused("graph net.onnx --layers 3", 2, "built-in nets");
    program_expect_refused("graph mlp --input x=x.npy", 2, "models");
    program_expect_refused("graph net.onnx --input input=x.npy --upstream scores=x.npy", 2, "give both");
}

/* ---- Training ------------------------------------------------------------------------------------------------------------------------------ */

Test(model_commands, a_model_gets_a_new_head_and_is_written)
{
    program_expect_ok("train mlp --epochs 3 --quiet --save net.onnx");
    const outcome *o =
        program_expect_ok("train net.onnx --cut dense1 --head 32,10 --freeze '*' --epochs 4 --save new.onnx --save c.safetensors");
    cr_expect_eq(strncmp(o->out, "training net.onnx on ", 21), 0, "%s", o->out);
    cr_expect_not_null(strstr(o->out, "saved to new.onnx"), "%s", o->out);
    char last[128];
    snprintf(last, sizeof last, "%s", program_last_line(o));
    double percent;
    cr_assert_eq(sscanf(last, "test accuracy %lf", &percent), 1, "%s", last);
    cr_expect_gt(percent, 85);
    o = program_expect_ok("train --resume c.safetensors --save again.onnx");
    cr_expect_str_eq(program_last_line(o), last, "a finished training is tested and written");
    cr_expect_not_null(strstr(program_expect_ok("graph again.onnx --text")->out, "head2.weight"));
}

Test(model_commands, wrong_trainings_are_refused)
{
    program_expect_ok("train linear --stop-after 1 --quiet --save net.onnx");
    program_expect_refused("train nothing.onnx", 2, "nothing.onnx");
    program_expect_refused("train net.onnx --cut nothing", 2, "'scores'");
    program_expect_refused("train net.onnx --freeze nothing", 2, "'output.weight'");
    program_expect_refused("train net.onnx --head 10,", 2, "64,10");
    program_expect_refused("train net.onnx --layers 3", 2, "layers");
    program_expect_refused("train mlp --head 10", 2, "models");
    program_expect_refused("train mlp --save a.onnx --save b.onnx", 2, "--save");
}

/* ---- Predicting ---------------------------------------------------------------------------------------------------------------------------- */

Test(model_commands, a_trained_net_reads_a_digit_from_a_picture)
{
    const char *const nets[] = { "mlp", "lenet" };
    write_digit("zero.png");
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) {
        char command[64];
        snprintf(command, sizeof command, "train %s --epochs 3 --quiet --save net.onnx", nets[i]);
        program_expect_ok(command);
        json_error_t error;
        json_t *rows = json_loads(program_expect_ok("predict net.onnx zero.png --json --top 2")->out, 0, &error);
        cr_assert_not_null(rows, "%s", error.text);
        json_t *classes = json_object_get(json_array_get(rows, 0), "classes"), *first = json_array_get(classes, 0);
        cr_expect_eq(json_array_size(classes), 2);
        cr_expect_str_eq(json_string_value(json_object_get(first, "label")), "0");
        double sure = json_real_value(json_object_get(first, "probability"));
        cr_expect(sure > 0.5 && sure <= 1, "found %g", sure);
        json_decref(rows);
    }
    const outcome *o = program_expect_ok("predict net.onnx zero.png zero.png --top 1");
    cr_expect_eq(strncmp(o->out, "zero.png\n  0 ", 13), 0, "%s", o->out);
}

Test(model_commands, wrong_predictions_are_refused)
{
    program_expect_ok("train linear --stop-after 1 --quiet --save net.onnx");
    write_digit("zero.png");
    program_write("text.png", "hello", 5);
    program_write("cut.png", "\x89PNG\r\n\x1a\n", 8);
    program_write("cut.jpg", "\xff\xd8\xff\xe0", 4);
    program_expect_refused("predict net.onnx", 2, "usage");
    program_expect_refused("predict net.onnx nothing.png", 2, "no such file");
    program_expect_refused("predict net.onnx text.png", 2, "PNG or JPEG was expected");
    program_expect_refused("predict net.onnx cut.png", 2, "cut.png");
    program_expect_refused("predict net.onnx cut.jpg", 2, "cut.jpg");
    program_expect_refused("predict net.onnx zero.png --top 0", 2, "--top");
    program_expect_refused("predict net.onnx zero.png --card nothing.json", 2, "nothing.json");
    const char labels[] = "{\"height\": 8, \"width\": 8, \"channels\": 1, \"layout\": \"flat\", \"labels\": [\"a\"]}";
    program_write("card.json", labels, sizeof labels - 1);
    program_expect_refused("predict net.onnx zero.png --card card.json", 2, "1 labels");
    const char size[] = "{\"height\": 9, \"width\": 8, \"channels\": 1, \"layout\": \"flat\"}";
    program_write("card.json", size, sizeof size - 1);
    program_expect_refused("predict net.onnx zero.png --card card.json", 2, "input");
    char file[128];
    snprintf(file, sizeof file, "%s/net.json", program_folder);
    unlink(file);
    program_expect_refused("predict net.onnx zero.png", 2, "net.json");
}
