/* The numbers of `aval train`: from texts to the library's options. */
#include "files.h"
#include "train.h"

#include <stddef.h>
#include <stdint.h>

#define INTERRUPTED_FILE "aval-interrupted.safetensors"

typedef struct real_option {
    const char *name, *text;
    double *to;
    uint32_t given;
    double least, below; /* least <= x < below */
    const char *expected;
} real_option;

static int read_reals(const train_arguments *a, aval_train_options *o)
{
    const double largest = 1e300, smallest = 1e-300;
    const real_option reals[] = {
        { "lr", a->lr, &o->lr, AVAL_GIVEN_LR, smallest, largest, "a number above 0 was expected" },
        { "momentum", a->momentum, &o->momentum, AVAL_GIVEN_MOMENTUM, 0, 1, "expected 0 <= momentum < 1" },
        { "weight-decay", a->weight_decay, &o->weight_decay, AVAL_GIVEN_WEIGHT_DECAY, 0, largest, "0 or more was expected" },
        { "dropout", a->dropout, &o->dropout, AVAL_GIVEN_DROPOUT, 0, 1, "expected 0 <= dropout < 1" },
    };
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
        const real_option *r = &reals[i];
        if (r->text == NULL) continue;
        int code = cli_real(r->name, r->text, r->to);
        if (code != CLI_OK) return code;
        if (!(*r->to >= r->least && *r->to < r->below)) return cli_fail(CLI_USAGE, "--%s %s: %s", r->name, r->text, r->expected);
        o->given |= r->given;
    }
    return CLI_OK;
}

static int read_counts(const train_arguments *a, aval_train_options *o)
{
    int code = cli_count("batch", a->batch, 1, INT32_MAX, &o->batch);
    if (code == CLI_OK) code = cli_count("epochs", a->epochs, 1, INT64_MAX, &o->epochs);
    if (code == CLI_OK) code = cli_count("seed", a->seed, 0, UINT64_MAX, &o->seed);
    if (code == CLI_OK) code = cli_count("stop-after", a->stop_after, 1, INT64_MAX, &o->stop_after_steps);
    if (code == CLI_OK) code = cli_bytes("memory", a->memory, &o->memory);
    if (a->seed != NULL) o->given |= AVAL_GIVEN_SEED;
    return code;
}

/* --save may be given once for the checkpoint and once for the trained net. */
static int read_files(const train_arguments *a, aval_train_options *o)
{
    for (size_t i = 0; a->save != NULL && a->save[i] != NULL; i++) {
        const char **file = cli_is_onnx(a->save[i]) ? &o->save_model : &o->save;
        if (*file != NULL)
            return cli_fail(CLI_USAGE, "--save %s and --save %s: one checkpoint, and one FILE.onnx for the trained net, were expected",
                            *file, a->save[i]);
        *file = a->save[i];
    }
    return CLI_OK;
}

int train_options(const train_arguments *a, const char *net, aval_train_options *options)
{
    bool model = net != NULL && cli_is_model(net);
    *options = (aval_train_options){
        .size = sizeof *options,
        .net = model ? NULL : net,
        .model = model ? net : NULL,
        .layers = a->layers,
        .activation = a->activation,
        .loss = a->loss,
        .optimizer = a->optimizer,
        .nesterov = a->nesterov == 1,
        .resume = a->resume,
        .given = a->nesterov >= 0 ? AVAL_GIVEN_NESTEROV : 0,
        .cut = a->cut,
        .head = a->head,
        .freeze = a->freeze,
        .mean = a->mean,
        .std = a->std,
        .anomaly = a->anomaly,
    };
    int code = read_files(a, options);
    options->save_interrupted = options->save ? options->save : a->resume ? a->resume : INTERRUPTED_FILE;
    if (code == CLI_OK) code = read_reals(a, options);
    return code == CLI_OK ? read_counts(a, options) : code;
}
