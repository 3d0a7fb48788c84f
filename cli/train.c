/* aval train: trains a built-in net or an ONNX model on the digits in the library or on data from files. */
#include "train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int open_data(const char *folder, int train, aval_dataset **data)
{
    return folder ? aval_dataset_open_folder(folder, train, data) : aval_dataset_open_digits(train, data);
}

/* ---- The command -------------------------------------------------------------------------------------------------------------------- */

static int print_json(const aval_train_report *r, const char *device, json_t *epochs, const char *saved, const char *model)
{
    json_t *o = json_pack("{s:s, s:o, s:I, s:I, s:f, s:f, s:f, s:b, s:s?, s:s?}", "device", device, "epochs", epochs, "steps",
                          (json_int_t)r->steps, "parameters", (json_int_t)r->parameters, "examples_per_second", r->examples_per_second,
                          "seconds", r->seconds, "seconds_to_first_step", r->seconds_to_first_step, "interrupted", r->interrupted,
                          "checkpoint", saved, "model", r->interrupted ? NULL : model);
    /* an interrupted training has no accuracy, and JSON no NaN */
    const struct {
        const char *name;
        double value;
    } results[] = { { "train_loss", r->train_loss }, { "test_loss", r->test_loss }, { "test_accuracy", r->test_accuracy } };
    for (size_t i = 0; o != NULL && i < sizeof results / sizeof results[0]; i++)
        json_object_set_new(o, results[i].name, isfinite(results[i].value) ? json_real(results[i].value) : json_null());
    return cli_print_json(o);
}

static int report(const aval_train_report *r, const train_display *d, bool verbose)
{
    const aval_train_options *o = d->options;
    bool ended = r->interrupted && (train_asked_to_end() || d->broken);
    const char *saved = ended ? o->save_interrupted : o->save;
    int code = CLI_OK;
    if (d->epochs != NULL) code = print_json(r, d->device, json_incref(d->epochs), saved, o->save_model);
    if (ended)
        return cli_fail(d->broken ? CLI_DEVICE : CLI_INTERRUPTED, "%s: saved to %s; `aval train --resume %s` goes on from there",
                        d->broken ? "ended, as its output cannot be written" : "interrupted", saved, saved);
    if (d->epochs != NULL) return code;
    if (verbose)
        printf("%llu parameters, %llu steps in %.2f s, %.3f s from start to the end of the first step\n", (unsigned long long)r->parameters,
               (unsigned long long)r->steps, r->seconds, r->seconds_to_first_step);
    if (d->lines && r->examples_per_second > 0) printf("%.0f examples/s on %s\n", r->examples_per_second, d->device);
    if (d->lines && r->steps == 0) printf("nothing was left to train: %s has had all its epochs (--epochs asks for more)\n", o->resume);
    if (d->lines && saved != NULL) printf("saved to %s\n", saved);
    if (d->lines && o->save_model != NULL) printf("saved to %s\n", o->save_model);
    if (r->interrupted) return CLI_OK; /* --stop-after: not tested */
    size_t count = aval_dataset_count(d->test), correct = (size_t)(r->test_accuracy * (double)count + 0.5);
    printf("test accuracy %.2f %% (%zu of %zu)\n", 100 * r->test_accuracy, correct, count);
    return CLI_OK;
}

static int train(const cli_options *options, const train_arguments *a, double started)
{
    aval_context *ctx = NULL;
    aval_dataset *training = NULL, *test = NULL;
    aval_train_report r = { .size = sizeof r };
    aval_train_options o;
    int code = train_options(a, options->n_rest > 0 ? options->rest[0] : NULL, &o);
    if (code != CLI_OK) return code;
    bool shown = !options->common.json && !options->common.quiet;
    char device[512];
    train_display d = { .lines = shown, .bar = shown && isatty(STDERR_FILENO), .options = &o, .device = device };
    int status = cli_context_create(options, &ctx);
    if (status == AVAL_OK) status = open_data(a->data, 1, &training);
    if (status == AVAL_OK) status = open_data(a->data, 0, &test);
    if (status == AVAL_OK) status = cli_device_name(ctx, device, sizeof device);
    if (status == AVAL_OK) {
        d.training = training;
        d.test = test;
        if (options->common.json) d.epochs = json_array();
        if (shown && o.save == NULL && a->resume == NULL && access(".", W_OK) != 0)
            cli_fail(CLI_OK,
                     "warning: this folder cannot be written, so an interrupted training would be lost: --save names another place");
        if (d.bar) fprintf(stderr, "preparing %s ...", device);
        train_catch_signals();
        double before = cli_seconds() - started;
        status = aval_train(ctx, &o, training, test, train_show_progress, &d, &r);
        r.seconds_to_first_step += before;
        train_clear_bar(&d);
    }
    code = status < 0 ? cli_fail_status(status) : report(&r, &d, a->verbose);
    json_decref(d.epochs);
    aval_dataset_release(training);
    aval_dataset_release(test);
    aval_context_release(ctx);
    return code;
}

int cli_train(int argc, const char **argv)
{
    double started = cli_seconds();
    train_arguments a = { .nesterov = -1 };
    const struct poptOption own[] = {
        { "data", 0, POPT_ARG_STRING, &a.data, 0, "folder with MNIST's four IDX files, plain or .gz [the digits in the library]", "DIR" },
        { "layers", 0, POPT_ARG_STRING, &a.layers, 0, "widths of hidden layers [mlp: 128,128; lenet: 256]", "N,N..." },
        { "activation", 0, POPT_ARG_STRING, &a.activation, 0, "relu, leaky_relu, tanh or sigmoid [relu]", "NAME" },
        { "loss", 0, POPT_ARG_STRING, &a.loss, 0, "cross_entropy or mse [cross_entropy]", "NAME" },
        { "optimizer", 0, POPT_ARG_STRING, &a.optimizer, 0, "sgd [sgd]", "NAME" },
        { "lr", 0, POPT_ARG_STRING, &a.lr, 0, "learning rate [0.1; lenet: 0.03; a model: 0.01]", "X" },
        { "momentum", 0, POPT_ARG_STRING, &a.momentum, 0, "[0.9]", "X" },
        { "nesterov", 0, POPT_ARG_VAL, &a.nesterov, 1, "Nesterov's momentum", NULL },
        { "no-nesterov", 0, POPT_ARG_VAL, &a.nesterov, 0, "not Nesterov's, where the resumed checkpoint has it", NULL },
        { "weight-decay", 0, POPT_ARG_STRING, &a.weight_decay, 0, "of weights, not of biases [0]", "X" },
        { "dropout", 0, POPT_ARG_STRING, &a.dropout, 0, "share of each hidden layer that is dropped [0]", "X" },
        { "batch", 0, POPT_ARG_STRING, &a.batch, 0, "examples a step [32]", "N" },
        { "epochs", 0, POPT_ARG_STRING, &a.epochs, 0, "in all, those of a resumed checkpoint included [20]", "N" },
        { "seed", 0, POPT_ARG_STRING, &a.seed, 0, "of weights, order and dropout [0]", "N" },
        { "stop-after", 0, POPT_ARG_STRING, &a.stop_after, 0, "end after so many steps, without a test [never]", "N" },
        { "memory", 0, POPT_ARG_STRING, &a.memory, 0,
          "keep the intermediates of a step within so many bytes on each device, by computing some of them again; suffixes K, M, G [no "
          "bound]",
          "BYTES" },
        { "anomaly", 0, POPT_ARG_NONE, &a.anomaly, 0, "end at the first node, forward or backward, that makes NaN or infinity; slow",
          NULL },
        { "cut", 0, POPT_ARG_STRING, &a.cut, 0, "model: ends at this value (`aval graph MODEL --text` has the names)", "VALUE" },
        { "head", 0, POPT_ARG_STRING, &a.head, 0, "model: new dense layers of these widths at its end; pool,N...: after global pooling",
          "N,N..." },
        { "freeze", 0, POPT_ARG_STRING, &a.freeze, 0,
          "model: weights that stay as they are, * and ? stand for others; '*': all but the head's", "NAME,..." },
        { "mean", 0, POPT_ARG_STRING, &a.mean, 0, "of pixels in 0..1, one or a channel each: (pixel - mean) / std goes in [0]", "X,X..." },
        { "std", 0, POPT_ARG_STRING, &a.std, 0, "[1]", "X,X..." },
        { "save", 0, POPT_ARG_ARGV, &a.save, 0,
          "FILE.onnx: what was trained, with its card for aval predict; another: checkpoint (safetensors), written after each epoch and "
          "when "
          "interrupted [then aval-interrupted.safetensors]; may be given for each",
          "FILE" },
        { "resume", 0, POPT_ARG_STRING, &a.resume, 0, "go on from this checkpoint, with its options but those given", "FILE" },
        { "verbose", 'v', POPT_ARG_NONE, &a.verbose, 0, "more numbers at the end", NULL },
        POPT_TABLEEND,
    };
    cli_options options;
    int code;
    if (!cli_options_parse(&options, cli_command_find("train"), own, 0, 1, argc, argv, &code)) goto done;
    code = train(&options, &a, started);
    cli_options_release(&options);
done:
    for (size_t i = 0; own[i].longName != NULL; i++) {
        if (own[i].argInfo == POPT_ARG_STRING) free(*(char **)own[i].arg);
    }
    for (size_t i = 0; a.save != NULL && a.save[i] != NULL; i++) free(a.save[i]);
    free(a.save);
    return code;
}
