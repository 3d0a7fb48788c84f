/* What the files of `aval train` share. */
#ifndef AVAL_CLI_TRAIN_H
#define AVAL_CLI_TRAIN_H

#include "cli.h"

/* What popt writes to; numbers come as texts, and NULL was not given. */
typedef struct train_arguments {
    char *data, *layers, *activation, *loss, *optimizer, *resume;
    char *cut, *head, *freeze, *mean, *std;
    char **save; /* FILE.onnx is for the trained net, another name for the checkpoint; ends with NULL; NULL: none */
    char *lr, *momentum, *weight_decay, *dropout, *batch, *epochs, *seed, *stop_after, *memory;
    int nesterov; /* -1: not given */
    int verbose, anomaly;
} train_arguments;

/* The library's options; CLI_USAGE, with a message, when a number cannot be used.  Texts stay the arguments'. */
int train_options(const train_arguments *a, const char *net, aval_train_options *options); /* `net`: a name, or a model's file */

/* Requests to end: Ctrl-C, SIGTERM (also twice at once, as timeout sends it) and SIGHUP.  A closed pipe ends nothing before it is saved. */
void train_catch_signals(void);
bool train_asked_to_end(void);

/* What is shown meanwhile. */
typedef struct train_display {
    bool lines, bar, started;
    bool broken; /* stdout cannot be written: the training ends, saved */
    double drawn_at; /* seconds: the bar is drawn ten times a second */
    json_t *epochs; /* NULL: not wanted */
    const aval_train_options *options;
    const char *device;
    const aval_dataset *training, *test;
} train_display;

int train_show_progress(void *display, const aval_train_progress *p);
void train_clear_bar(const train_display *d);

#endif
