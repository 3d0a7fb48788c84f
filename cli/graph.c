/* aval graph: a model, or the training graph of a built-in net, as DOT, as SVG (by Graphviz's dot, where it is installed), as text, or its
 * plan. */
#include "graph.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* Graphviz as a program, so that aval need not link it; no part of the command comes from the user. */
static int print_svg(const char *dot)
{
    fflush(stdout);
    FILE *to = popen("command -v dot >/dev/null && exec dot -Tsvg", "w");
    if (to == NULL) return cli_fail(CLI_DEVICE, "the program dot cannot be started");
    fputs(dot, to);
    if (pclose(to) == 0) return CLI_OK;
    return cli_fail(CLI_USAGE, "Graphviz's program dot is needed for --svg (on Debian: apt install graphviz); --dot needs nothing");
}

int graph_show(const graph_arguments *a, bool json, const char *text)
{
    if (a->svg) return print_svg(text);
    if (json) return cli_print_json(json_pack("{s:s, s:s}", "form", a->plan ? "plan" : a->text ? "text" : "dot", "text", text));
    fputs(text, stdout);
    return CLI_OK;
}

static int show_net(const graph_arguments *a, bool json, aval_context *ctx, aval_graph *g, aval_store *store, aval_value *const *wanted,
                    size_t n_wanted)
{
    char *text = NULL;
    aval_session *session = NULL;
    int status;
    if (a->plan) {
        status = aval_session_create(ctx, g, store, &session);
        if (status == AVAL_OK) status = aval_session_set_memory_bound(session, a->memory_bound);
        if (status == AVAL_OK) status = aval_session_plan_text(session, wanted, n_wanted, &text);
    } else {
        status = a->text ? aval_graph_text(g, &text) : aval_graph_dot(g, &text);
    }
    int code = status < 0 ? cli_fail_status(status) : graph_show(a, json, text);
    aval_session_release(session);
    aval_free(text);
    return code;
}

static int graph_of_net(const cli_options *options, const graph_arguments *a)
{
    aval_context *ctx = NULL;
    aval_dataset *data = NULL;
    aval_graph *g = NULL;
    aval_store *store = NULL;
    aval_value **wanted = NULL;
    size_t n_wanted = 0;
    int code = CLI_OK;
    const aval_train_options o = { .size = sizeof o, .net = options->rest[0], .layers = a->layers };
    int status = cli_context_create(options, &ctx);
    if (status == AVAL_OK && (a->plan || options->common.devices != NULL)) status = cli_need_device(ctx);
    if (status == AVAL_OK) status = a->data ? aval_dataset_open_folder(a->data, 1, &data) : aval_dataset_open_digits(1, &data);
    if (status == AVAL_OK) status = aval_train_graph(ctx, &o, data, a->examples > 0 ? a->examples : 32, &g, &store, &wanted, &n_wanted);
    if (status < 0) code = cli_fail_status(status);
    else code = show_net(a, options->common.json, ctx, g, store, wanted, n_wanted);
    aval_free(wanted);
    aval_graph_release(g);
    aval_store_release(store);
    aval_dataset_release(data);
    aval_context_release(ctx);
    return code;
}

int cli_graph(int argc, const char **argv)
{
    graph_arguments a = { 0 };
    const struct poptOption own[] = {
        { "dot", 0, POPT_ARG_NONE, &a.dot, 0, "as Graphviz DOT (this is the default)", NULL },
        { "svg", 0, POPT_ARG_NONE, &a.svg, 0, "as SVG, by Graphviz's program dot", NULL },
        { "text", 0, POPT_ARG_NONE, &a.text, 0, "as text, a line a node", NULL },
        { "plan", 0, POPT_ARG_NONE, &a.plan, 0, "the launches and copies that a run, or a net's training step, is planned as", NULL },
        { "input", 0, POPT_ARG_ARGV, &a.files.inputs, 0,
          "model: an input (or a weight) from a file, .npy, .npz or TensorProto; each value then has a box with its numbers; may be "
          "repeated",
          "NAME=FILE" },
        { "inputs", 0, POPT_ARG_STRING, &a.files.archive, 0, "model: all other inputs from one .npz, by their names", "FILE.npz" },
        { "gradients", 0, POPT_ARG_NONE, &a.gradients, 0, "model: and a box with d(sum of upstream x outputs) by it", NULL },
        { "upstream", 0, POPT_ARG_ARGV, &a.files.upstreams, 0, "model: upstream gradient of an output [ones]; may be repeated",
          "NAME=FILE" },
        { "batch", 0, POPT_ARG_STRING, &a.batch, 0, "examples a step [32; model without inputs: 1]", "N" },
        { "memory", 0, POPT_ARG_STRING, &a.memory, 0,
          "--plan: keep intermediates within so many bytes on each device, by computing some of them again; suffixes K, M, G", "BYTES" },
        { "layers", 0, POPT_ARG_STRING, &a.layers, 0, "widths of hidden layers [mlp: 128,128; lenet: 256]", "N,N..." },
        { "data", 0, POPT_ARG_STRING, &a.data, 0, "folder with MNIST's files, for the shape of the images [the digits in the library]",
          "DIR" },
        POPT_TABLEEND,
    };
    cli_options options;
    int code;
    if (!cli_options_parse(&options, cli_command_find("graph"), own, 1, 1, argc, argv, &code)) goto done;
    if (a.plan + a.dot + a.svg + a.text > 1) code = cli_fail(CLI_USAGE, "one of --dot, --svg, --text and --plan was expected");
    else if (a.svg && options.common.json) code = cli_fail(CLI_USAGE, "--svg and --json: one of them was expected");
    else if (a.memory != NULL && !a.plan) code = cli_fail(CLI_USAGE, "--memory bounds what --plan shows: give both");
    else code = cli_count("batch", a.batch, 1, INT_MAX, &a.examples);
    if (code == CLI_OK) code = cli_bytes("memory", a.memory, &a.memory_bound);
    bool model = cli_is_model(options.rest[0]);
    if (code == CLI_OK && !model && (a.files.inputs != NULL || a.files.archive != NULL || a.files.upstreams != NULL || a.gradients))
        code = cli_fail(CLI_USAGE, "--input, --gradients and --upstream are for models, %s is a net: it was expected to end in .onnx",
                        options.rest[0]);
    else if (code == CLI_OK && model && (a.data != NULL || a.layers != NULL))
        code = cli_fail(CLI_USAGE, "--data and --layers are for built-in nets, %s is a model", options.rest[0]);
    else if (code == CLI_OK && a.files.upstreams != NULL && !a.gradients)
        code = cli_fail(CLI_USAGE, "--upstream says what --gradients starts from: give both");
    if (code == CLI_OK) code = model ? graph_of_model(&options, &a) : graph_of_net(&options, &a);
    cli_options_release(&options);
done:
    free(a.batch);
    free(a.data);
    free(a.layers);
    free(a.memory);
    cli_files_release(&a.files);
    return code;
}
