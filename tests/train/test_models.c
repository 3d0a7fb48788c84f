/* Models from files: trained, operated on, written back, with the card for pictures beside them. */
#include "train/train.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64], base_file[96], new_file[96], checkpoint[96];
static aval_context *ctx;
static aval_dataset *train_data, *test_data;

static void begin(void)
{
    setenv("OCL_ICD_VENDORS", "/etc/OpenCL/vendors/pocl.icd", 0); /* the platform that is always there; another by the environment */
    snprintf(folder, sizeof folder, "/tmp/aval-test-models-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(base_file, sizeof base_file, "%s/base.onnx", folder);
    snprintf(new_file, sizeof new_file, "%s/new.onnx", folder);
    snprintf(checkpoint, sizeof checkpoint, "%s/new.safetensors", folder);
    cr_assert_eq(aval_context_create(&ctx), 0);
    cr_assert_eq(aval_context_load_plugins(ctx, AVAL_TEST_PLUGINS, NULL), 0, "%s", aval_error());
    cr_assert_eq(aval_dataset_open_digits(1, &train_data), 0, "%s", aval_error());
    cr_assert_eq(aval_dataset_open_digits(0, &test_data), 0, "%s", aval_error());
}

static void end(void)
{
    aval_dataset_release(train_data);
    aval_dataset_release(test_data);
    aval_context_release(ctx);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_expect_eq(system(command), 0);
}

TestSuite(models, .init = begin, .fini = end);

static aval_train_report train(aval_train_options options)
{
    aval_train_report report = { .size = sizeof report };
    options.size = sizeof options;
    cr_assert_eq(aval_train(ctx, &options, train_data, test_data, NULL, NULL, &report), 0, "%s", aval_error());
    return report;
}

static void expect_refused(aval_train_options options, int status, const char *part)
{
    options.size = sizeof options;
    cr_expect_eq(aval_train(ctx, &options, train_data, test_data, NULL, NULL, NULL), status, "%s", aval_error());
    cr_expect_not_null(strstr(aval_error(), part), "expected '%s' in: %s", part, aval_error());
}

static aval_model *load(const char *file)
{
    aval_model *model;
    cr_assert_eq(aval_model_load(ctx, file, &model), 0, "%s", aval_error());
    return model;
}

/* How many of the test examples the model of a file gets right: pictures divided by 16, in the shape of its input. */
static size_t count_right(const char *file)
{
    aval_model *model = load(file);
    aval_session *s;
    aval_value *scores = aval_model_output(model, 0);
    const aval_value *input = aval_model_input(model, 0);
    size_t right = 0, count = test_data->count;
    int64_t dims[AVAL_MAX_RANK];
    float *x = malloc(count * 64 * sizeof *x), *y = malloc(count * 10 * sizeof *y);
    memcpy(dims, aval_value_dims(input), (size_t)aval_value_rank(input) * sizeof *dims);
    dims[0] = (int64_t)count;
    for (size_t i = 0; i < count * 64; i++) x[i] = (float)((const uint8_t *)test_data->images)[i] / 16;
    cr_assert_eq(aval_session_create(ctx, aval_model_graph(model), aval_model_store(model), &s), 0);
    cr_assert_eq(aval_session_feed(s, input, x, count * 64 * sizeof *x, dims), 0, "%s", aval_error());
    cr_assert_eq(aval_session_run(s, &scores, 1), 0, "%s", aval_error());
    cr_assert_eq(aval_session_read(s, scores, y, count * 10 * sizeof *y), 0, "%s", aval_error());
    for (size_t i = 0; i < count; i++) {
        size_t best = 0;
        for (size_t c = 1; c < 10; c++)
            if (y[i * 10 + c] > y[i * 10 + best]) best = c;
        right += best == test_data->labels[i];
    }
    free(x);
    free(y);
    aval_session_release(s);
    aval_model_release(model);
    return right;
}

static size_t right_of(const aval_train_report *r)
{
    return (size_t)(r->test_accuracy * (double)test_data->count + 0.5);
}

/* Is this weight bit for bit the same in both files? */
static bool same_weight(const char *name)
{
    aval_model *models[] = { load(base_file), load(new_file) };
    void *data[2];
    size_t bytes[2];
    for (size_t m = 0; m < 2; m++) {
        int type;
        size_t rank;
        int64_t dims[AVAL_MAX_RANK];
        cr_assert_eq(aval_store_shape(aval_model_store(models[m]), name, &type, &rank, dims), 0, "%s", aval_error());
        bytes[m] = aval_type_bytes(type);
        for (size_t i = 0; i < rank; i++) bytes[m] *= (size_t)dims[i];
        data[m] = malloc(bytes[m]);
        cr_assert_eq(aval_store_get(aval_model_store(models[m]), name, data[m], bytes[m]), 0);
    }
    bool same = bytes[0] == bytes[1] && memcmp(data[0], data[1], bytes[0]) == 0;
    for (size_t m = 0; m < 2; m++) {
        free(data[m]);
        aval_model_release(models[m]);
    }
    return same;
}

Test(models, a_trained_net_is_written_as_onnx_that_answers_as_the_test_said)
{
    const char *const nets[] = { "linear", "mlp", "lenet" };
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) {
        aval_train_report r = train((aval_train_options){ .net = nets[i], .epochs = 2, .save_model = base_file });
        cr_expect_eq(count_right(base_file), right_of(&r), "%s: %zu, expected %zu", nets[i], count_right(base_file), right_of(&r));
    }
}

Test(models, a_model_from_a_file_is_trained_on)
{
    aval_train_report before = train((aval_train_options){ .net = "lenet", .epochs = 1, .lr = 0.005, .save_model = base_file });
    aval_train_report after = train((aval_train_options){ .model = base_file, .epochs = 5, .save_model = new_file });
    cr_expect_gt(after.test_accuracy, before.test_accuracy + 0.02, "from %g to %g", before.test_accuracy, after.test_accuracy);
    cr_expect_eq(count_right(new_file), right_of(&after));
    cr_expect_not(same_weight("conv1.weight"));
}

Test(models, a_new_head_learns_while_frozen_weights_keep_every_bit)
{
    train((aval_train_options){ .net = "mlp", .epochs = 4, .save_model = base_file });
    const aval_train_options surgery = { .model = base_file, .cut = "dense1", .head = "32,10", .freeze = "*", .save_model = new_file };
    aval_train_options first = surgery, all = surgery;
    first.stop_after_steps = 1;
    first.epochs = 1;
    train(first);
    size_t before = count_right(new_file);
    all.epochs = 6;
    aval_train_report r = train(all);
    cr_expect_eq(r.parameters, 128 * 32 + 32 + 32 * 10 + 10, "found %llu", (unsigned long long)r.parameters);
    cr_expect_gt(r.test_accuracy, 0.9, "found %g", r.test_accuracy);
    cr_expect_gt(right_of(&r), before + 30, "from %zu to %zu", before, right_of(&r));
    cr_expect_eq(count_right(new_file), right_of(&r));
    cr_expect(same_weight("dense1.weight"));
    cr_expect(same_weight("dense1.bias"));
    aval_model *model = load(new_file);
    size_t rank;
    cr_expect_lt(aval_store_shape(aval_model_store(model), "dense2.weight", NULL, &rank, NULL), 0,
                 "what lies behind the cut is not written");
    aval_model_release(model);
}

Test(models, a_pattern_freezes_some_weights_and_leaves_others)
{
    train((aval_train_options){ .net = "mlp", .epochs = 1, .save_model = base_file });
    train((aval_train_options){ .model = base_file, .freeze = "dense?.weight,output.bias", .epochs = 1, .save_model = new_file });
    cr_expect(same_weight("dense1.weight"));
    cr_expect(same_weight("dense2.weight"));
    cr_expect(same_weight("output.bias"));
    cr_expect_not(same_weight("dense1.bias"));
    cr_expect_not(same_weight("output.weight"));
}

/* base_file: a convolution, batch normalisation and dropout as they are exported in training mode. */
static void save_in_training_mode(void)
{
    aval_graph *g = aval_graph_create(ctx);
    aval_store *store;
    cr_assert_eq(aval_store_create(ctx, &store), 0);
    const int64_t conv[4] = { 8, 1, 3, 3 }, channels[1] = { 8 }, dense[2] = { 512, 10 }, input[4] = { -1, 1, 8, 8 };
    aval_store_random(store, "conv", AVAL_FLOAT, 4, conv, AVAL_INIT_HE, 1, 1);
    aval_store_random(store, "dense", AVAL_FLOAT, 2, dense, AVAL_INIT_XAVIER, 1, 1);
    const char *const names[] = { "scale", "shift", "mean", "variance" };
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, 4, input), *inputs[5];
    inputs[0] = aval_apply(g, "Conv", "pads=[1,1,1,1]", x, aval_graph_state(g, "conv", AVAL_FLOAT, 4, conv));
    for (size_t i = 0; i < 4; i++) {
        aval_store_fill(store, names[i], AVAL_FLOAT, 1, channels, i % 3 == 0);
        inputs[i + 1] = aval_graph_state(g, names[i], AVAL_FLOAT, 1, channels);
    }
    x = aval_apply(g, "Relu", NULL, aval_node_output(aval_graph_node(g, "BatchNormalization", "training_mode=1", inputs, 5), 0));
    aval_value *on = aval_graph_constant(g, AVAL_BOOL, AVAL_SCALAR, &(const uint8_t){ 1 });
    x = aval_apply(g, "Dropout", "seed=3", aval_apply(g, "Flatten", NULL, x), aval_graph_number(g, AVAL_FLOAT, 0.5), on);
    x = aval_apply(g, "MatMul", NULL, x, aval_graph_state(g, "dense", AVAL_FLOAT, 2, dense));
    cr_assert_eq(aval_model_save(g, store, &x, (const char *const[]){ "scores" }, 1, base_file), 0, "%s", aval_error());
    aval_store_release(store);
    aval_graph_release(g);
}

/* How many nodes of the operator the file has; *training: how many of them are told that they train. */
static size_t count_nodes(const char *file, const char *op, size_t *training)
{
    aval_model *model = load(file);
    const aval_graph *g = aval_model_graph(model);
    size_t found = 0;
    *training = 0;
    for (size_t n = 0; n < aval_graph_node_count(g); n++) {
        aval_node *node = aval_graph_node_at(g, n);
        char *attrs;
        if (aval_node_op(node) == NULL || strcmp(aval_node_op(node)->name, op) != 0) continue;
        cr_assert_eq(aval_node_attrs(node, &attrs), 0);
        *training += strstr(attrs, "training_mode=1") != NULL;
        aval_free(attrs);
        found++;
    }
    aval_model_release(model);
    return found;
}

Test(models, what_was_exported_in_training_mode_is_tested_and_written_as_it_is_after_training)
{
    size_t training;
    save_in_training_mode();
    cr_assert_eq(count_nodes(base_file, "BatchNormalization", &training), 1);
    cr_assert_eq(training, 1);
    aval_train_report r = train((aval_train_options){ .model = base_file, .epochs = 4, .lr = 0.01, .save_model = new_file });
    cr_expect_gt(r.test_accuracy, 0.8, "found %g", r.test_accuracy);
    cr_expect_eq(count_right(new_file), right_of(&r), "%zu, expected %zu", count_right(new_file), right_of(&r));
    cr_expect_eq(count_nodes(new_file, "BatchNormalization", &training), 1);
    cr_expect_eq(training, 0);
    cr_expect_eq(count_nodes(new_file, "Dropout", &training), 0);
    cr_expect_not(same_weight("mean"), "the running statistics were moved");
    cr_expect_not(same_weight("variance"));
}

Test(models, statistics_of_a_frozen_normalisation_stay)
{
    size_t training;
    save_in_training_mode();
    train((aval_train_options){ .model = base_file, .freeze = "scale", .epochs = 1, .lr = 0.01, .save_model = new_file });
    cr_expect(same_weight("mean"));
    cr_expect(same_weight("variance"));
    cr_expect_not(same_weight("conv"));
    cr_expect_eq(count_nodes(new_file, "BatchNormalization", &training), 1);
    cr_expect_eq(training, 0);
}

Test(models, dropout_of_a_model_draws_anew_in_each_step_and_the_same_when_it_is_repeated)
{
    save_in_training_mode();
    char other[96];
    snprintf(other, sizeof other, "%s/other.onnx", folder);
    const aval_train_options o = { .model = base_file, .epochs = 2, .lr = 0.01, .save_model = new_file };
    aval_train_options again = o, part = o;
    again.save_model = other;
    train(o);
    train(again);
    cr_assert_eq(rename(other, base_file), 0);
    cr_expect(same_weight("dense"), "the same seed, the same draws");
    save_in_training_mode();
    part.save_model = NULL;
    part.stop_after_steps = 50;
    part.save = checkpoint;
    train(part);
    train((aval_train_options){ .resume = checkpoint, .save_model = other });
    cr_assert_eq(rename(other, base_file), 0);
    cr_expect(same_weight("dense"), "the counter of the draws goes on from the checkpoint");
}

Test(models, training_goes_on_from_a_checkpoint_to_the_same_bits)
{
    train((aval_train_options){ .net = "mlp", .epochs = 1, .save_model = base_file });
    const aval_train_options o = { .model = base_file, .cut = "dense2", .head = "10", .epochs = 3, .save_model = new_file };
    train(o);
    size_t straight = count_right(new_file);
    char other[96];
    snprintf(other, sizeof other, "%s/other.onnx", folder);
    aval_train_options part = o;
    part.save_model = NULL;
    part.stop_after_steps = 50;
    part.save = checkpoint;
    train(part);
    train((aval_train_options){ .resume = checkpoint, .save_model = other });
    cr_expect_eq(count_right(other), straight);
    cr_assert_eq(rename(other, base_file), 0); /* the files are the same, weight by weight */
    cr_expect(same_weight("head1.weight"));
    cr_expect(same_weight("dense1.weight"));
}

Test(models, what_cannot_be_trained_is_said_before_anything_runs)
{
    train((aval_train_options){ .net = "mlp", .epochs = 1, .save_model = base_file });
    expect_refused((aval_train_options){ .model = "/nowhere.onnx" }, AVAL_E_UNKNOWN, "/nowhere.onnx");
    expect_refused((aval_train_options){ .model = base_file, .cut = "dense7" }, AVAL_E_UNKNOWN, "'dense2'");
    expect_refused((aval_train_options){ .model = base_file, .cut = "input" }, AVAL_E_UNKNOWN, "'input'");
    expect_refused((aval_train_options){ .model = base_file, .head = "64,x" }, AVAL_E_ARGUMENT, "as in 64,10");
    expect_refused((aval_train_options){ .model = base_file, .head = "9" }, AVAL_E_SHAPE, "a head of 10 was expected");
    expect_refused((aval_train_options){ .model = base_file, .head = "pool,10" }, AVAL_E_SHAPE, "channels");
    expect_refused((aval_train_options){ .model = base_file, .freeze = "dense3*" }, AVAL_E_UNKNOWN, "'dense1.weight'");
    expect_refused((aval_train_options){ .model = base_file, .freeze = "*" }, AVAL_E_ARGUMENT, "nothing is left to train");
    expect_refused((aval_train_options){ .model = base_file, .net = "mlp" }, AVAL_E_ARGUMENT, "one of them was expected");
    expect_refused((aval_train_options){ .net = "onnx" }, AVAL_E_ARGUMENT, "needs a model");
    expect_refused((aval_train_options){ .net = "mlp", .freeze = "*" }, AVAL_E_ARGUMENT, "models from files");
    expect_refused((aval_train_options){ .model = base_file, .mean = "0.5,x" }, AVAL_E_ARGUMENT, "one a channel");
    expect_refused((aval_train_options){ .model = base_file, .std = "0" }, AVAL_E_ARGUMENT, "above 0");
    expect_refused((aval_train_options){ .model = base_file, .save_model = "/nowhere/x.onnx" }, AVAL_E_IO, "/nowhere");
}

Test(models, surgery_tells_shapes_and_weights)
{
    train((aval_train_options){ .net = "lenet", .epochs = 1, .save_model = base_file });
    aval_model *model = load(base_file);
    int type;
    size_t rank, n_states;
    int64_t dims[AVAL_MAX_RANK];
    aval_value **states;
    cr_assert_eq(aval_model_cut(model, "conv1"), 0, "%s", aval_error());
    cr_expect_str_eq(aval_model_output_name(model, 0), "conv1");
    cr_assert_eq(aval_model_output_shape(model, 0, &type, &rank, dims), 0, "%s", aval_error());
    cr_expect(type == AVAL_FLOAT && rank == 4 && dims[0] == -1 && dims[1] == 16 && dims[2] == 4 && dims[3] == 4);
    cr_assert_eq(aval_model_add_head(model, "pool,7,3", "tanh", 1), 0, "%s", aval_error());
    cr_assert_eq(aval_model_output_shape(model, 0, NULL, &rank, dims), 0, "%s", aval_error());
    cr_expect(rank == 2 && dims[0] == -1 && dims[1] == 3);
    aval_value *scores = aval_model_output(model, 0);
    cr_assert_eq(aval_graph_states(aval_model_graph(model), &scores, 1, &states, &n_states), 0);
    const char *const names[] = { "conv1.weight", "conv1.bias", "head1.weight", "head1.bias", "head2.weight", "head2.bias" };
    cr_assert_eq(n_states, 6);
    for (size_t i = 0; i < n_states; i++) cr_expect_str_eq(aval_value_name(states[i]), names[i]);
    aval_free(states);
    cr_assert_eq(aval_model_add_head(model, "2", NULL, 1), 0, "%s", aval_error());
    cr_expect_eq(aval_store_shape(aval_model_store(model), "head3.weight", NULL, &rank, NULL), 0, "a second head has weights of its own");
    cr_expect_eq(aval_model_output_shape(model, 1, NULL, &rank, dims), AVAL_E_ARGUMENT);
    aval_model_release(model);
}

/* ---- Cards ----------------------------------------------------------------------------------------------------------------------------- */

static const char *write_card(const char *text)
{
    static char file[96];
    snprintf(file, sizeof file, "%s/card.json", folder);
    FILE *out = fopen(file, "w");
    cr_assert_not_null(out);
    fputs(text, out);
    fclose(out);
    return file;
}

Test(models, a_damaged_card_is_refused_with_what_is_wrong)
{
    const struct {
        const char *text, *part;
    } cards[] = {
        { "", "no JSON" },
        { "[1]", "a JSON object was expected" },
        { "{\"height\": 0}", "\"height\": a whole number from 1" },
        { "{\"width\": 99999999999}", "\"width\"" },
        { "{\"height\": 8.5}", "\"height\"" },
        { "{\"channels\": 2}", "\"channels\": 1 or 3" },
        { "{\"channels\": 3, \"mean\": [1, 2]}", "\"mean\": one number" },
        { "{\"mean\": \"x\"}", "\"mean\": numbers" },
        { "{\"std\": 0}", "\"std\": numbers above 0" },
        { "{\"layout\": \"CHW\"}", "\"layout\"" },
        { "{\"ink\": 2}", "\"ink\"" },
        { "{\"height\": 8, \"width\": 8, \"resize\": 4}", "\"resize\"" },
        { "{\"labels\": [\"a\", 2]}", "label 1 is none" },
        { "{\"labels\": {}}", "\"labels\"" },
    };
    for (size_t i = 0; i < sizeof cards / sizeof cards[0]; i++) {
        aval_card *card;
        cr_expect_eq(aval_card_open(write_card(cards[i].text), &card), AVAL_E_FORMAT, "%s", cards[i].text);
        cr_expect_not_null(strstr(aval_error(), cards[i].part), "%s: %s", cards[i].text, aval_error());
        cr_expect_null(card);
    }
    aval_card *card;
    cr_expect_eq(aval_card_open("/nowhere/net.onnx", &card), AVAL_E_UNKNOWN);
    cr_expect_not_null(strstr(aval_error(), "/nowhere/net.json"), "%s", aval_error());
    cr_assert_eq(aval_card_open(write_card("{\"labels\": [\"a\", \"b\"], \"scores\": true}"), &card), 0, "%s", aval_error());
    cr_expect_eq(aval_card_label_count(card), 2);
    cr_expect_str_eq(aval_card_label(card, 1), "b");
    cr_expect_null(aval_card_label(card, 2));
    cr_expect_eq(aval_card_scores(card), 1);
    aval_array array;
    cr_expect_eq(aval_card_picture(card, "/nowhere.png", &array), AVAL_E_FORMAT, "a card without a size takes no pictures");
    aval_card_release(card);
}

Test(models, samples_of_a_picture_are_means_of_what_they_cover)
{
    uint8_t rgb[4 * 6 * 3];
    for (size_t i = 0; i < sizeof rgb; i++) rgb[i] = (uint8_t)(i % 3 == 0 ? 255 : i % 3 == 1 ? 51 : 0);
    aval__picture p = { .height = 4, .width = 6, .rgb = rgb };
    float out[3 * 2 * 2];
    const aval__frame whole = { 0, 0, 4, 6 }, outside = { 10, 10, 4, 6 };
    cr_assert_eq(aval__picture_sample(&p, &whole, 3, 2, 2, out), 0);
    for (size_t i = 0; i < 12; i++) cr_expect_float_eq(out[i], i < 4 ? 1 : i < 8 ? 0.2 : 0, 1e-6, "%zu: %g", i, (double)out[i]);
    cr_assert_eq(aval__picture_sample(&p, &whole, 1, 1, 1, out), 0);
    cr_expect_float_eq(out[0], 0.299 + 0.587 * 0.2, 1e-6);
    cr_assert_eq(aval__picture_sample(&p, &outside, 1, 2, 2, out), 0);
    for (size_t i = 0; i < 4; i++) cr_expect_eq(out[i], 0);
    float same[24];
    for (size_t i = 0; i < 24; i++) rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = (uint8_t)(i % 6 * 51); /* brighter to the right */
    cr_assert_eq(aval__picture_sample(&p, &whole, 1, 4, 6, same), 0);
    for (size_t i = 0; i < 24; i++) cr_expect_float_eq(same[i], (double)(i % 6) * 0.2, 1e-6, "in its own size a picture is itself");
}
