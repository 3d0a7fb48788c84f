/* The options that all commands share, and the context that they describe. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOW_HELP = 1000, SHOW_VERSION };

static void hint_table(const struct poptOption *table, const char *wrong, size_t *best, char *hint, size_t bytes, char *names,
                       size_t names_bytes)
{
    for (const struct poptOption *o = table; o->longName != NULL || o->arg != NULL; o++) {
        if ((o->argInfo & POPT_ARG_MASK) == POPT_ARG_INCLUDE_TABLE) {
            hint_table(o->arg, wrong, best, hint, bytes, names, names_bytes);
            continue;
        }
        if (o->longName == NULL) continue;
        char name[64];
        snprintf(name, sizeof name, "--%s", o->longName);
        cli_hint(wrong, name, best, hint, bytes);
        size_t length = strlen(names);
        snprintf(names + length, names_bytes - length, "%s%s", length > 0 ? ", " : "", name);
    }
}

/* popt names the word it stumbled on: in `--lr abc` that is abc, and the option is the word before. */
static const char *option_of(const char *word, const char **argv)
{
    for (size_t i = 2; word[0] != '-' && argv[1] != NULL && argv[i] != NULL; i++) {
        if (strcmp(argv[i], word) == 0 && argv[i - 1][0] == '-') return argv[i - 1];
    }
    return word;
}

/* popt's error, with the options there are for an unknown one. */
static int fail_option(poptContext popt, int code, const struct poptOption *table, const char **argv)
{
    const char *option = poptBadOption(popt, 0);
    if (code != POPT_ERROR_BADOPT) {
        const char *name = option_of(option, argv);
        if (name == option) return cli_fail(CLI_USAGE, "option %s: %s", option, poptStrerror(code));
        return cli_fail(CLI_USAGE, "option %s %s: %s", name, option, poptStrerror(code));
    }
    size_t best = 0;
    char hint[96] = "", names[1024] = "", wrong[128];
    snprintf(wrong, sizeof wrong, "%s", option);
    wrong[strcspn(wrong, "=")] = 0;
    hint_table(table, wrong, &best, hint, sizeof hint, names, sizeof names);
    return cli_fail(CLI_USAGE, "unknown option '%s'%s: there are %s", option, hint, names);
}

static void print_help(poptContext popt, const cli_command *command)
{
    printf("aval %s: %s\n", command->name, command->doc);
    poptPrintHelp(popt, stdout, 0);
}

static int count_arguments(cli_options *options, const cli_command *command, size_t least, size_t most)
{
    options->rest = poptGetArgs(options->popt);
    while (options->rest != NULL && options->rest[options->n_rest] != NULL) options->n_rest++;
    if (options->n_rest < least) return cli_fail(CLI_USAGE, "usage: aval %s %s", command->name, command->arguments);
    if (options->n_rest > most)
        return cli_fail(CLI_USAGE, "unexpected argument '%s': usage: aval %s %s", options->rest[most], command->name, command->arguments);
    return CLI_OK;
}

bool cli_options_parse(cli_options *options, const cli_command *command, const struct poptOption *own, size_t least, size_t most, int argc,
                       const char **argv, int *exit_code)
{
    *options = (cli_options){ .popt = NULL };
    const struct poptOption shared[] = {
        { "device", 'd', POPT_ARG_ARGV, &options->common.devices, 0,
          "index, cpu, gpu, or part of PLATFORM/DEVICE; may be repeated, in order of preference", "SELECTOR" },
        { "plugin", 0, POPT_ARG_ARGV, &options->common.plugins, 0, "load this plugin too; may be repeated", "FILE.so" },
        { "insist", 0, POPT_ARG_NONE, &options->common.insist, 0, "run on a device even what it gives wrong answers to", NULL },
        { "json", 0, POPT_ARG_NONE, &options->common.json, 0, "results as JSON on stdout", NULL },
        { "quiet", 'q', POPT_ARG_NONE, &options->common.quiet, 0, "no progress and no warnings", NULL },
        { "help", 'h', POPT_ARG_NONE, NULL, SHOW_HELP, "show this text", NULL },
        { "version", 0, POPT_ARG_NONE, NULL, SHOW_VERSION, "show the version", NULL },
        POPT_TABLEEND,
    };
    const struct poptOption both[] = {
        { NULL, 0, POPT_ARG_INCLUDE_TABLE, (void *)(uintptr_t)own, 0, "Options of this command:", NULL },
        { NULL, 0, POPT_ARG_INCLUDE_TABLE, (void *)(uintptr_t)shared, 0, "Options of all commands:", NULL },
        POPT_TABLEEND,
    };
    const struct poptOption *table = own[0].longName != NULL ? both : both + 1; /* no title above nothing */
    char title[64], usage[128];
    snprintf(usage, sizeof usage, "%s%s[OPTION]...", command->arguments, command->arguments[0] != 0 ? " " : "");
    snprintf(title, sizeof title, "aval %s", command->name);
    argv[0] = title; /* what popt's help calls the program */
    options->popt = poptGetContext("aval", argc, argv, table, 0);
    poptSetOtherOptionHelp(options->popt, usage);
    int code;
    *exit_code = CLI_OK;
    while ((code = poptGetNextOpt(options->popt)) > 0) {
        if (code == SHOW_HELP) print_help(options->popt, command);
        else printf("aval %s\n", aval_version());
        goto leave;
    }
    *exit_code = code < -1 ? fail_option(options->popt, code, table, argv) : count_arguments(options, command, least, most);
    if (*exit_code == CLI_OK) return true;
leave:
    cli_options_release(options);
    return false;
}

static void free_texts(char **texts)
{
    for (size_t i = 0; texts != NULL && texts[i] != NULL; i++) free(texts[i]);
    free(texts);
}

void cli_options_release(cli_options *options)
{
    poptFreeContext(options->popt);
    free_texts(options->common.devices);
    free_texts(options->common.plugins);
    *options = (cli_options){ .popt = NULL };
}

static void print_log(void *user, int level, const char *message)
{
    (void)user;
    if (level == AVAL_LOG_WARNING) cli_fail(CLI_OK, "warning: %s", message);
}

/* Named plugins come on top of the installed ones, which are loaded at first use when nothing was loaded before. */
static int load_plugins(const cli_options *options, aval_context *ctx)
{
    if (options->common.plugins == NULL) return AVAL_OK;
    aval_op_count(ctx);
    for (size_t i = 0; options->common.plugins[i] != NULL; i++) {
        int status = aval_context_load_plugin(ctx, options->common.plugins[i]);
        if (status < 0) return status;
    }
    return AVAL_OK;
}

int cli_context_create(const cli_options *options, aval_context **ctx)
{
    int status = aval_context_create(ctx);
    if (status < 0) return status;
    if (!options->common.quiet) aval_context_log(*ctx, print_log, NULL);
    if (options->common.insist) aval_context_insist(*ctx, 1);
    status = load_plugins(options, *ctx);
    for (size_t i = 0; status == AVAL_OK && options->common.devices != NULL && options->common.devices[i] != NULL; i++)
        status = aval_context_select_device(*ctx, options->common.devices[i]);
    if (status < 0) {
        aval_context_release(*ctx);
        *ctx = NULL;
    }
    return status;
}

int cli_need_device(aval_context *ctx)
{
    if (aval_device_count(ctx) > 0) return AVAL_OK;
    int64_t status = aval_selected_device(ctx, 0); /* for its message */
    return status == AVAL_E_ARGUMENT ? AVAL_E_ARGUMENT : AVAL_E_DEVICE; /* an environment variable is wrong, or there is none */
}

int cli_device_name(aval_context *ctx, char *name, size_t bytes)
{
    int status = cli_need_device(ctx); /* none at all is no mistake in a selector */
    if (status < 0) return status;
    int64_t device = aval_selected_device(ctx, 0);
    if (device < 0) return (int)device;
    const aval_device_info *info = aval_device_info_at(ctx, (size_t)device);
    snprintf(name, bytes, "%s/%s", info->platform, info->name);
    return AVAL_OK;
}
