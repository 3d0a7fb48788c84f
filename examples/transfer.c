/* Transfer learning: a net that learned the digits is cut behind its first layer, gets a new head, and learns again with all else frozen.  The result
 * is written as ONNX and read again.  First by single calls (the surgery), then by aval_train, which does the same by options.
 *   transfer [FOLDER]: leaves base.onnx and new.onnx in FOLDER. */
#include "support.h"

#include <string.h>
#include <unistd.h>

static aval_context *ctx;
static aval_dataset *train_data, *test_data;

static double train(aval_train_options options)
{
    aval_train_report report = { .size = sizeof report };
    options.size = sizeof options;
    must(aval_train(ctx, &options, train_data, test_data, NULL, NULL, &report));
    return report.test_accuracy;
}

/* A weight of a model, to be freed. */
static float *weight_of(const aval_model *m, const char *name, size_t *bytes)
{
    size_t rank;
    int64_t dims[AVAL_MAX_RANK];
    must(aval_store_shape(aval_model_store(m), name, NULL, &rank, dims));
    *bytes = count_of(rank, dims) * sizeof(float);
    float *data = malloc(*bytes);
    if (data == NULL) exit(1);
    must(aval_store_get(aval_model_store(m), name, data, *bytes));
    return data;
}

static int same_weight(const char *file_a, const char *file_b, const char *name)
{
    aval_model *a, *b;
    size_t bytes_a, bytes_b;
    must(aval_model_load(ctx, file_a, &a));
    must(aval_model_load(ctx, file_b, &b));
    float *x = weight_of(a, name, &bytes_a), *y = weight_of(b, name, &bytes_b);
    int same = bytes_a == bytes_b && memcmp(x, y, bytes_a) == 0;
    free(x);
    free(y);
    aval_model_release(a);
    aval_model_release(b);
    return same;
}

/* The operation, step by step: what the model is cut at, what the head begins with, which weights there are then. */
static void operate(const char *file)
{
    aval_model *m;
    aval_value **states;
    size_t rank, n;
    int64_t dims[AVAL_MAX_RANK];
    must(aval_model_load(ctx, file, &m));
    must(aval_model_cut(m, "dense1"));
    must(aval_model_output_shape(m, 0, NULL, &rank, dims));
    printf("cut at dense1: [batch, %lld]\n", (long long)dims[1]);
    must(aval_model_add_head(m, "32,10", "relu", 1));
    aval_value *scores = aval_model_output(m, 0);
    must(aval_graph_states(aval_model_graph(m), &scores, 1, &states, &n));
    printf("weights:");
    for (size_t i = 0; i < n; i++) printf(" %s", aval_value_name(states[i]));
    printf("\n");
    expect(n == 6);
    aval_free(states);
    aval_model_release(m);
}

int main(int argc, char **argv)
{
    char folder[256] = "/tmp/aval-transfer-XXXXXX", base[300], new[300], card[300];
    if (argc > 1) snprintf(folder, sizeof folder, "%s", argv[1]);
    else if (mkdtemp(folder) == NULL) return 1;
    snprintf(base, sizeof base, "%s/base.onnx", folder);
    snprintf(new, sizeof new, "%s/new.onnx", folder);
    must(aval_context_create(&ctx));
    must(aval_dataset_open_digits(1, &train_data));
    must(aval_dataset_open_digits(0, &test_data));

    train((aval_train_options){ .net = "mlp", .epochs = 4, .save_model = base });
    operate(base);

    aval_train_options transfer = { .model = base, .cut = "dense1", .head = "32,10", .freeze = "*", .epochs = 1, .save_model = new };
    double early = train(transfer);
    transfer.epochs = 8;
    double late = train(transfer);
    printf("the new head: %.1f %% after an epoch, %.1f %% after eight\n", 100 * early, 100 * late);
    expect(late > early && late > 0.9);
    expect(same_weight(base, new, "dense1.weight") && same_weight(base, new, "dense1.bias"));
    printf("dense1 kept every bit\n");

    if (argc < 2) {
        const char *const files[] = { base, new };
        for (size_t i = 0; i < COUNT(files); i++) {
            snprintf(card, sizeof card, "%.*s.json", (int)strlen(files[i]) - 5, files[i]);
            unlink(files[i]);
            unlink(card);
        }
        rmdir(folder);
    }
    aval_dataset_release(train_data);
    aval_dataset_release(test_data);
    aval_context_release(ctx);
    return 0;
}
