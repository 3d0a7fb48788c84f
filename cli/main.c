/* The program `aval`: finds the command and runs it. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

const cli_command cli_commands[] = {
    { "devices", "", "every OpenCL device of this machine, and what it can do", cli_devices },
    { "ops", "[NAME]...", "the operators there are, or all about some", cli_ops },
    { "train", "[NET or MODEL]", "train a built-in net (linear, mlp, lenet) or an ONNX model", cli_train },
    { "predict", "MODEL PICTURE...", "what a model says of pictures, by the card beside it", cli_predict },
    { "check", "[OP or MODEL]...", "compare operators and models between devices and with the host", cli_check },
    { "run", "MODEL", "run an ONNX model on arrays from files, with gradients", cli_run },
    { "test-onnx", "DIR", "run ONNX's backend test cases", cli_test_onnx },
    { "graph", "MODEL or NET", "draw an ONNX model with its values and gradients, or a built-in net", cli_graph },
    { "bench", "[CASE]...", "measure aval and the devices", cli_bench },
    { "new-op", "NAME", "make a plugin project with an operator of one's own", cli_new_op },
    { "tune", "[WHAT]...", "measure ways to compute nets, models or products, remember the best", cli_tune },
    { "warm", "", "build all kernels ahead of time", cli_warm },
    { "help", "[COMMAND]", "this text, or a command's options", cli_help },
    { .name = NULL },
};

const cli_command *cli_command_find(const char *name)
{
    for (const cli_command *c = cli_commands; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0) return c;
    }
    size_t best = 0;
    char hint[64] = "", names[256] = "";
    for (const cli_command *c = cli_commands; c->name != NULL; c++) {
        cli_hint(name, c->name, &best, hint, sizeof hint);
        size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s%s", length > 0 ? ", " : "", c->name);
    }
    cli_fail(CLI_USAGE, "no command '%s'%s: there are %s", name, hint, names);
    return NULL;
}

/* The library reads them; README.md has the same list. */
static const struct {
    const char *name, *doc;
} environment[] = {
    { "AVAL_DEVICE", "devices to use, as --device, with ',' between [the best of the machine]" },
    { "AVAL_PLUGIN_PATH", "folders of plugins, with ':' between [the installed ones]" },
    { "AVAL_INSIST", "1: as --insist" },
    { "AVAL_CACHE_DIR",
      "built kernels, verdicts of checks, what was tuned; '' turns the cache off [$XDG_CACHE_HOME/aval, or ~/.cache/aval]" },
    { "AVAL_GEMM",
      "what computes matrix products: clblast, groups, direct, winograd, patches or tiles [what was tuned, else the last four on CPUs]" },
    { "AVAL_TUNED", "0: what `aval tune` has found is not taken" },
    { "AVAL_TAILS", "1: what follows a product is computed as it is stored wherever it can be, 0: never [where it pays]" },
    { "AVAL_HEADS", "1: what is read once is computed as it is read wherever it can be, 0: never [where it pays]" },
    { "AVAL_BLOCKS", "1: channels of images lie in blocks of a vector wherever they can, 0: nowhere [where it pays]" },
    { "AVAL_JOINS", "1: what computes the same, as updates of parameters do, shares a launch wherever it can, 0: never [where it pays]" },
    { "AVAL_GROUP", "work-group of reductions, a power of two, for tests [1 on CPUs, the largest on GPUs]" },
    { "AVAL_LAUNCH_WORK", "most operations of a launch before it is split, 0 for no bound [half a second's on GPUs, 0 on CPUs]" },
    { "AVAL_COMMAND_BUFFERS", "1: launches are recorded where the device has cl_khr_command_buffer, 0: never [not on CPUs]" },
};

static int print_overview(void)
{
    printf("usage: aval COMMAND [ARGUMENT]... [OPTION]...\n\n");
    for (const cli_command *c = cli_commands; c->name != NULL; c++) printf("  %-9s %-16s %s\n", c->name, c->arguments, c->doc);
    printf("\n`aval COMMAND --help` shows a command's options.  Exit codes: 0 done, 1 a check found a difference,\n"
           "2 wrong use or bad input, 3 a device or driver failed or output cannot be written, 130 interrupted.\n\nEnvironment:\n");
    for (size_t i = 0; i < sizeof environment / sizeof environment[0]; i++)
        printf("  %-16s  %s\n", environment[i].name, environment[i].doc);
    return CLI_OK;
}

int cli_help(int argc, const char **argv)
{
    if (argc < 2 || strcmp(argv[1], "help") == 0 || argv[1][0] == '-') return print_overview();
    const cli_command *command = cli_command_find(argv[1]);
    if (command == NULL) return CLI_USAGE;
    return command->run(2, (const char *[]){ command->name, "--help", NULL });
}

static int run(int argc, const char **argv)
{
    if (argc < 2) return cli_fail(CLI_USAGE, "a command was expected: `aval help` lists them");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) return print_overview();
    if (strcmp(argv[1], "--version") == 0) {
        printf("aval %s\n", aval_version());
        return CLI_OK;
    }
    if (argv[1][0] == '-') return cli_fail(CLI_USAGE, "a command was expected before option '%s': `aval help` lists them", argv[1]);
    const cli_command *command = cli_command_find(argv[1]);
    if (command == NULL) return CLI_USAGE;
    cli_watch_plugins(-1, 0);
    return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    return cli_end_output(run(argc, (const char **)argv));
}
