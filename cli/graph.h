/* What the files of `aval graph` share. */
#ifndef AVAL_CLI_GRAPH_H
#define AVAL_CLI_GRAPH_H

#include "files.h"

typedef struct graph_arguments {
    int plan, dot, svg, text, gradients;
    char *data, *layers, *batch, *memory;
    uint64_t memory_bound; /* bytes of intermediates; 0: not given */
    uint64_t examples; /* a step; 0: not given */
    cli_files files;
} graph_arguments;

/* Shows a text, or makes a picture of it, as the arguments say; returns an exit code. */
int graph_show(const graph_arguments *a, bool json, const char *text);
/* `aval graph MODEL.onnx`. */
int graph_of_model(const cli_options *options, graph_arguments *a);

#endif
