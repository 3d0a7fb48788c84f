/* What commands on models share: files for inputs, weights and upstream gradients. */
#ifndef AVAL_CLI_FILES_H
#define AVAL_CLI_FILES_H

#include "cli.h"

typedef struct cli_files {
    char **inputs, **upstreams; /* NAME=FILE each, in the order given; end with NULL; NULL: none */
    char *archive; /* .npz with all other inputs by their names; NULL: none */
    aval_archive *opened; /* by cli_files_check */
} cli_files;
void cli_files_release(cli_files *files);

bool cli_is_onnx(const char *file); /* by its ending */
/* Is this word of the command line a model's file, and no name of a net or operator? */
bool cli_is_model(const char *name);

/* The functions below print their message and return an exit code. */

/* Every name must be one of the model's; the weights among `inputs` go to its store. */
int cli_files_check(cli_files *files, const aval_model *model);
/* Was a file given for input i? */
bool cli_files_has(const cli_files *files, const aval_model *model, size_t i);
int cli_files_feed(const cli_files *files, const aval_model *model, size_t i, aval_session *s);
/* What is differentiated, after a run of the outputs: for each type of real numbers, the sum over all outputs of it of upstream x output, where
   upstream comes from files, else is ones. */
typedef struct cli_targets {
    size_t count;
    aval_value *of[3], *upstreams[3]; /* NULL: ones */
} cli_targets;
int cli_files_targets(const cli_files *files, const aval_model *model, aval_session *s, cli_targets *out);
/* d(all targets)/d wrt; NULL where there is none: `wrt` is no real number, or no output is. */
int cli_gradient(const aval_model *model, aval_session *s, aval_value *wrt, const cli_targets *targets, aval_value **gradient);

#endif
