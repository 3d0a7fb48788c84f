/* A child of `aval check`: runs cases on one device for as long as its parent asks. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Whatever a driver prints must not come between the results: its standard output becomes standard error. */
static FILE *take_stdout(void)
{
    int own = dup(STDOUT_FILENO);
    if (own < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return NULL;
    return fdopen(own, "w");
}

static json_t *answer(aval_context *ctx, const char *text)
{
    aval_check_case c;
    aval_sample sample;
    void *results = NULL;
    size_t bytes = 0;
    json_t *line = json_loads(text, 0, NULL), *out;
    if (!check_case_from_json(line, &c, &sample)) {
        out = check_results_to_json(AVAL_E_FORMAT, "the case was not understood", NULL, 0);
    } else {
        int status = aval_check_run(ctx, &c, &results, &bytes);
        out = check_results_to_json(status, status < 0 ? aval_error() : "", results, bytes);
    }
    aval_free(results);
    json_decref(line);
    return out;
}

int check_worker(aval_context *ctx)
{
    char *line = NULL;
    size_t room = 0;
    int code = CLI_OK;
    FILE *out = take_stdout();
    if (out == NULL) return cli_fail(CLI_DEVICE, "a process that runs cases needs its standard output");
    while (code == CLI_OK && getline(&line, &room, stdin) > 0) {
        json_t *results = answer(ctx, line);
        if (results == NULL || json_dumpf(results, out, JSON_COMPACT) != 0 || fputc('\n', out) == EOF || fflush(out) != 0)
            code = CLI_DEVICE;
        json_decref(results);
    }
    free(line);
    fclose(out);
    return code;
}
