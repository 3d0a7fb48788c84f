/* aval train: trains a built-in net on the digits in the library or on IDX files. */
#include "cli.h"

#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* What popt writes to; NAN and LLONG_MIN: not given (the library's 0 for "default" could not be told from a 0 that was asked for). */
typedef struct arguments {
    char *data, *layers, *activation, *loss, *optimizer, *save, *resume;
    double lr, momentum, weight_decay, dropout;
    long long batch, epochs, seed, stop_after;
    int nesterov, verbose;
} arguments;

/* ---- Ctrl-C ------------------------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

/* The first one ends the training after saving; a second one ends the program at once. */
static void catch_interrupts(void)
{
    struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- What is shown meanwhile ---------------------------------------------------------------------------------------------------- */

typedef struct display {
    bool lines, bar, started;
    double drawn_at; /* seconds: the bar is drawn ten times a second */
    json_t *epochs; /* NULL: not wanted */
    const aval_train_options *options;
    const char *device;
    const aval_dataset *training, *test;
} display;

static void clear_bar(const display *d)
{
    if (d->bar) fputs("\r\033[K", stderr);
}

/* Printed with the first step: what is wrong with the options is found before. */
static void print_start(display *d)
{
    const aval_train_options *o = d->options;
    size_t height, width;
    if (d->started) return;
    d->started = true;
    clear_bar(d);
    if (!d->lines) return;
    aval_dataset_shape(d->training, &height, &width);
    if (o->resume != NULL) printf("going on from %s", o->resume);
    else printf("training %s", o->net ? o->net : "mlp");
    printf(" on %s: %zu examples of %zu x %zu pixels in %zu classes, %zu to test\n", d->device, aval_dataset_count(d->training), height,
           width, aval_dataset_classes(d->training), aval_dataset_count(d->test));
    fflush(stdout);
}

static void draw_bar(const aval_train_progress *p)
{
    enum { WIDTH = 30 };
    char bar[WIDTH + 1];
    size_t filled = p->steps > 0 ? (size_t)(WIDTH * p->step / p->steps) : 0;
    for (size_t i = 0; i < WIDTH; i++) bar[i] = i < filled ? '#' : '.';
    bar[WIDTH] = 0;
    fprintf(stderr, "\repoch %3llu/%llu [%s] loss %.4f  %.0f examples/s\033[K", (unsigned long long)p->epoch, (unsigned long long)p->epochs,
            bar, p->loss, p->examples_per_second);
}

static int on_progress(void *user, const aval_train_progress *p)
{
    display *d = user;
    print_start(d);
    if (!p->epoch_done) {
        double now = seconds_now();
        if (d->bar && now - d->drawn_at > 0.1) {
            draw_bar(p);
            d->drawn_at = now;
        }
        return interrupted;
    }
    clear_bar(d);
    if (d->lines) {
        printf("epoch %3llu/%llu  loss %.4f  test accuracy %.2f %%  %.0f examples/s\n", (unsigned long long)p->epoch,
               (unsigned long long)p->epochs, p->loss, 100 * p->test_accuracy, p->examples_per_second);
        fflush(stdout);
    }
    if (d->epochs != NULL)
        json_array_append_new(d->epochs,
                              json_pack("{s:I, s:f, s:f, s:f, s:f}", "epoch", (json_int_t)p->epoch, "loss", p->loss, "test_loss",
                                        p->test_loss, "test_accuracy", p->test_accuracy, "examples_per_second", p->examples_per_second));
    return interrupted;
}

/* ---- Options ---------------------------------------------------------------------------------------------------------------------- */

static const char *bad_number(const arguments *a)
{
    if (!isnan(a->lr) && !(a->lr > 0)) return "--lr: a number above 0 was expected";
    if (!isnan(a->momentum) && !(a->momentum >= 0 && a->momentum < 1)) return "--momentum: expected 0 <= momentum < 1";
    if (!isnan(a->weight_decay) && !(a->weight_decay >= 0)) return "--weight-decay: 0 or more was expected";
    if (!isnan(a->dropout) && !(a->dropout >= 0 && a->dropout < 1)) return "--dropout: expected 0 <= dropout < 1";
    if (a->batch != LLONG_MIN && a->batch < 1) return "--batch: 1 or more was expected";
    if (a->epochs != LLONG_MIN && a->epochs < 1) return "--epochs: 1 or more was expected";
    if (a->seed != LLONG_MIN && a->seed < 0) return "--seed: 0 or more was expected";
    if (a->stop_after != LLONG_MIN && a->stop_after < 1) return "--stop-after: 1 or more was expected";
    return NULL;
}

static double real_or_default(double given)
{
    return isnan(given) ? 0 : given;
}

static uint64_t count_or_default(long long given)
{
    return given == LLONG_MIN ? 0 : (uint64_t)given;
}

static aval_train_options library_options(const arguments *a, const char *net)
{
    return (aval_train_options){
        .size = sizeof(aval_train_options),
        .net = net,
        .layers = a->layers,
        .activation = a->activation,
        .loss = a->loss,
        .optimizer = a->optimizer,
        .lr = real_or_default(a->lr),
        .momentum = a->momentum == 0 ? -1 : real_or_default(a->momentum),
        .nesterov = a->nesterov,
        .weight_decay = real_or_default(a->weight_decay),
        .dropout = real_or_default(a->dropout),
        .batch = count_or_default(a->batch),
        .epochs = count_or_default(a->epochs),
        .seed = count_or_default(a->seed),
        .save = a->save,
        .save_interrupted = a->save     ? a->save
                            : a->resume ? a->resume
                                        : "aval-interrupted.safetensors",
        .resume = a->resume,
        .stop_after_steps = count_or_default(a->stop_after),
    };
}

static int open_data(const char *folder, int train, aval_dataset **data)
{
    return folder ? aval_dataset_open_folder(folder, train, data) : aval_dataset_open_digits(train, data);
}

/* ---- The command -------------------------------------------------------------------------------------------------------------------- */

static int print_json(const aval_train_report *r, const char *device, json_t *epochs, const char *saved)
{
    json_t *o =
        json_pack("{s:s, s:o, s:I, s:I, s:f, s:f, s:f, s:b, s:s?}", "device", device, "epochs", epochs, "steps", (json_int_t)r->steps,
                  "parameters", (json_int_t)r->parameters, "examples_per_second", r->examples_per_second, "seconds", r->seconds,
                  "seconds_to_first_step", r->seconds_to_first_step, "interrupted", r->interrupted, "checkpoint", saved);
    /* an interrupted training has no accuracy, and JSON no NaN */
    const struct {
        const char *name;
        double value;
    } results[] = { { "train_loss", r->train_loss }, { "test_loss", r->test_loss }, { "test_accuracy", r->test_accuracy } };
    for (size_t i = 0; o != NULL && i < sizeof results / sizeof results[0]; i++)
        json_object_set_new(o, results[i].name, isfinite(results[i].value) ? json_real(results[i].value) : json_null());
    return cli_print_json(o);
}

static int report(const aval_train_report *r, const display *d, bool verbose)
{
    const aval_train_options *o = d->options;
    const char *saved = r->interrupted && interrupted ? o->save_interrupted : o->save;
    int code = CLI_OK;
    if (d->epochs != NULL) code = print_json(r, d->device, json_incref(d->epochs), saved);
    if (r->interrupted && interrupted)
        return cli_fail(CLI_INTERRUPTED, "interrupted: saved to %s; `aval train --resume %s` goes on from there", saved, saved);
    if (d->epochs != NULL) return code;
    if (verbose)
        printf("%llu parameters, %llu steps in %.2f s, %.3f s from start to the end of the first step\n", (unsigned long long)r->parameters,
               (unsigned long long)r->steps, r->seconds, r->seconds_to_first_step);
    if (d->lines && r->examples_per_second > 0) printf("%.0f examples/s on %s\n", r->examples_per_second, d->device);
    if (d->lines && saved != NULL) printf("saved to %s\n", saved);
    if (r->interrupted) return CLI_OK; /* --stop-after: not tested */
    size_t count = aval_dataset_count(d->test), correct = (size_t)(r->test_accuracy * (double)count + 0.5);
    printf("test accuracy %.2f %% (%zu of %zu)\n", 100 * r->test_accuracy, correct, count);
    return CLI_OK;
}

static int train(const cli_options *options, const arguments *a, double started)
{
    aval_context *ctx = NULL;
    aval_dataset *training = NULL, *test = NULL;
    aval_train_report r = { .size = sizeof r };
    const aval_train_options o = library_options(a, options->n_rest > 0 ? options->rest[0] : NULL);
    bool shown = !options->common.json && !options->common.quiet;
    char device[512];
    display d = { .lines = shown, .bar = shown && isatty(STDERR_FILENO), .options = &o, .device = device };
    int status = cli_context_create(options, &ctx);
    if (status == AVAL_OK) status = open_data(a->data, 1, &training);
    if (status == AVAL_OK) status = open_data(a->data, 0, &test);
    if (status == AVAL_OK) status = cli_device_name(ctx, device, sizeof device);
    if (status == AVAL_OK) {
        d.training = training;
        d.test = test;
        if (options->common.json) d.epochs = json_array();
        if (d.bar) fprintf(stderr, "preparing %s ...", device);
        catch_interrupts();
        double before = seconds_now() - started;
        status = aval_train(ctx, &o, training, test, on_progress, &d, &r);
        r.seconds_to_first_step += before;
        clear_bar(&d);
    }
    int code = status < 0 ? cli_fail_status(status) : report(&r, &d, a->verbose);
    json_decref(d.epochs);
    aval_dataset_release(training);
    aval_dataset_release(test);
    aval_context_release(ctx);
    return code;
}

int cli_train(int argc, const char **argv)
{
    double started = seconds_now();
    arguments a = { .lr = NAN,
                    .momentum = NAN,
                    .weight_decay = NAN,
                    .dropout = NAN,
                    .batch = LLONG_MIN,
                    .epochs = LLONG_MIN,
                    .seed = LLONG_MIN,
                    .stop_after = LLONG_MIN };
    const struct poptOption own[] = {
        { "data", 0, POPT_ARG_STRING, &a.data, 0, "folder with MNIST's four IDX files, plain or .gz [the digits in the library]", "DIR" },
        { "layers", 0, POPT_ARG_STRING, &a.layers, 0, "widths of hidden layers [mlp: 128,128; lenet: 256]", "N,N..." },
        { "activation", 0, POPT_ARG_STRING, &a.activation, 0, "relu, leaky_relu, tanh or sigmoid [relu]", "NAME" },
        { "loss", 0, POPT_ARG_STRING, &a.loss, 0, "cross_entropy or mse [cross_entropy]", "NAME" },
        { "optimizer", 0, POPT_ARG_STRING, &a.optimizer, 0, "sgd [sgd]", "NAME" },
        { "lr", 0, POPT_ARG_DOUBLE, &a.lr, 0, "learning rate [0.1; lenet: 0.03]", "X" },
        { "momentum", 0, POPT_ARG_DOUBLE, &a.momentum, 0, "[0.9]", "X" },
        { "nesterov", 0, POPT_ARG_NONE, &a.nesterov, 0, "Nesterov's momentum", NULL },
        { "weight-decay", 0, POPT_ARG_DOUBLE, &a.weight_decay, 0, "of weights, not of biases [0]", "X" },
        { "dropout", 0, POPT_ARG_DOUBLE, &a.dropout, 0, "share of each hidden layer that is dropped [0]", "X" },
        { "batch", 0, POPT_ARG_LONGLONG, &a.batch, 0, "examples a step [32]", "N" },
        { "epochs", 0, POPT_ARG_LONGLONG, &a.epochs, 0, "in all, those of a resumed checkpoint included [20]", "N" },
        { "seed", 0, POPT_ARG_LONGLONG, &a.seed, 0, "of weights, order and dropout [0]", "N" },
        { "stop-after", 0, POPT_ARG_LONGLONG, &a.stop_after, 0, "end after so many steps, without a test [never]", "N" },
        { "save", 0, POPT_ARG_STRING, &a.save, 0, "checkpoint (safetensors), written after each epoch", "FILE" },
        { "resume", 0, POPT_ARG_STRING, &a.resume, 0, "go on from this checkpoint, with its options", "FILE" },
        { "verbose", 'v', POPT_ARG_NONE, &a.verbose, 0, "more numbers at the end", NULL },
        POPT_TABLEEND,
    };
    cli_options options;
    int code;
    if (!cli_options_parse(&options, cli_command_find("train"), own, 0, 1, argc, argv, &code)) goto done;
    const char *wrong = bad_number(&a);
    code = wrong != NULL ? cli_fail(CLI_USAGE, "%s", wrong) : train(&options, &a, started);
    cli_options_release(&options);
done:
    for (size_t i = 0; own[i].longName != NULL; i++) {
        if (own[i].argInfo == POPT_ARG_STRING) free(*(char **)own[i].arg);
    }
    return code;
}
