/* `aval test-onnx`: ONNX's backend test cases.  A case is a folder with model.onnx and folders test_data_set_N, which hold inputs and expected
 * outputs as TensorProto files, and, which is ours, gradients (test_onnx_case.c).  A case is passed when all of them agree, skipped when aval
 * says that it cannot do what the model asks for, and failed otherwise. */
#include "test_onnx.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum verdict { PASSED, FAILED, SKIPPED, VERDICTS } verdict;

static const char *const verdict_names[] = { [PASSED] = "passed", [FAILED] = "failed", [SKIPPED] = "skipped" };

typedef struct tally {
    aval_context *ctx;
    const char *filter; /* NULL: all */
    bool times, round_trip;
    const char *keep; /* folder for the models that are written; NULL: they go */
    json_t *rows; /* NULL: text */
    size_t counts[VERDICTS];
} tally;

/* What aval says that it cannot do is no wrong result. */
static verdict verdict_of(int status)
{
    return status == AVAL_OK ? PASSED : status == AVAL_E_UNSUPPORTED || status == AVAL_E_TYPE ? SKIPPED : FAILED;
}

static void in_one_line(char *text)
{
    for (char *c = text; *c != 0; c++)
        if (*c == '\n') *c = ' ';
}

static void tell(tally *t, const char *name, verdict v, const char *why, double seconds)
{
    t->counts[v]++;
    if (t->rows != NULL)
        json_array_append_new(t->rows,
                              json_pack("{ss ss ss sf}", "case", name, "verdict", verdict_names[v], "reason", why, "seconds", seconds));
    else if (v != PASSED) printf("%s: %s: %s\n", name, verdict_names[v], why);
    else if (t->times) printf("%s: passed\n", name);
    if (t->rows == NULL && t->times) printf("%s: %.3f s\n", name, seconds);
}

/* A folder, or a file NAME.onnx. */
static void test_case(tally *t, const char *path, const char *name, bool lone)
{
    char text[2000] = "", kept[PATH_MAX];
    const onnx_reason why = { text, sizeof text };
    if (t->filter != NULL && fnmatch(t->filter, name, 0) != 0) return;
    double start = cli_seconds();
    onnx_case_path(kept, "%s/%s.onnx", t->keep != NULL ? t->keep : "", name);
    int status =
        lone ? onnx_case_run_lone(t->ctx, path, &why) : onnx_case_run(t->ctx, path, t->round_trip, t->keep != NULL ? kept : NULL, &why);
    in_one_line(text);
    tell(t, name, verdict_of(status), text, cli_seconds() - start);
}

/* ---- All of a folder ------------------------------------------------------------------------------------------------------------------ */

static int no_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* In the order of bytes, whatever the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != 0 ? slash + 1 : path;
}

static void test_entry(tally *t, const char *folder, const char *name)
{
    char path[PATH_MAX];
    size_t length = strlen(name), ending = strlen(".onnx");
    bool lone = length > ending && strcmp(name + length - ending, ".onnx") == 0;
    onnx_case_path(path, "%s/%s/model.onnx", folder, name);
    if (!lone && !onnx_case_is_there(path)) return;
    onnx_case_path(path, "%s/%s", folder, name);
    test_case(t, path, name, lone);
}

static int test_folder(tally *t, const char *folder)
{
    char path[PATH_MAX];
    struct dirent **entries = NULL;
    onnx_case_path(path, "%s/model.onnx", folder);
    if (onnx_case_is_there(path)) {
        test_case(t, folder, last_part(folder), false);
        return CLI_OK;
    }
    int count = scandir(folder, &entries, no_hidden, by_name);
    if (count < 0) return cli_fail(CLI_USAGE, "'%s': a folder of ONNX test cases was expected", folder);
    for (int i = 0; i < count; i++) {
        test_entry(t, folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return CLI_OK;
}

static int report(const tally *t)
{
    if (t->rows == NULL) printf("%zu passed, %zu failed, %zu skipped\n", t->counts[PASSED], t->counts[FAILED], t->counts[SKIPPED]);
    if (t->counts[PASSED] + t->counts[FAILED] + t->counts[SKIPPED] == 0)
        return cli_fail(CLI_USAGE, "no test case was found: a folder with folders that hold model.onnx was expected");
    return t->counts[FAILED] > 0 ? CLI_DIFFERENCE : CLI_OK;
}

int cli_test_onnx(int argc, const char **argv)
{
    char *filter = NULL, *keep = NULL;
    int times = 0, round_trip = 0, code;
    cli_options options;
    const struct poptOption own[] = {
        { "filter", 0, POPT_ARG_STRING, &filter, 0, "only cases whose name is like this ('test_conv*')", "GLOB" },
        { "times", 0, POPT_ARG_NONE, &times, 0, "say what each case took", NULL },
        { "round-trip", 0, POPT_ARG_NONE, &round_trip, 0, "write each model and read it again: it must give the same bytes", NULL },
        { "keep", 0, POPT_ARG_STRING, &keep, 0, "with --round-trip: leave what was written there, as CASE.onnx", "FOLDER" },
        POPT_TABLEEND,
    };
    if (cli_options_parse(&options, cli_command_find("test-onnx"), own, 1, 1, argc, argv, &code)) {
        tally t = { .filter = filter,
                    .times = times != 0,
                    .round_trip = round_trip != 0,
                    .keep = keep,
                    .rows = options.common.json ? json_array() : NULL };
        int status = cli_context_create(&options, &t.ctx);
        if (status == AVAL_OK) status = cli_need_device(t.ctx);
        code = status < 0 ? cli_fail_status(status) : test_folder(&t, options.rest[0]);
        if (code == CLI_OK) code = report(&t);
        if (t.rows != NULL) {
            int printed = cli_print_json(t.rows);
            if (code == CLI_OK) code = printed;
        }
        aval_context_release(t.ctx);
        cli_options_release(&options);
    }
    free(filter);
    free(keep);
    return code;
}
