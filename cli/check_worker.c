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

/* The model that requests are about; made anew when they are about another one. */
typedef struct serving {
    aval_context *ctx;
    json_t *spec; /* NULL: none yet */
    check_model model;
    aval_model_worker *worker;
} serving;

static void end_serving(serving *s)
{
    aval_model_worker_release(s->worker);
    if (s->spec != NULL) check_model_close(&s->model);
    json_decref(s->spec);
    s->worker = NULL;
    s->spec = NULL;
}

static int serve(serving *s, json_t *spec)
{
    if (s->spec != NULL && json_equal(s->spec, spec)) return AVAL_OK;
    end_serving(s);
    s->spec = json_incref(spec);
    int status = check_model_open(s->ctx, s->spec, &s->model);
    return status == AVAL_OK ? aval_model_worker_create(s->ctx, &s->model.library, &s->worker) : status;
}

static json_t *answer_model(serving *s, json_t *line)
{
    void *answer = NULL;
    size_t n, bytes = 0;
    void *request = check_bytes_from_json(json_object_get(line, "request"), &n);
    if (request == NULL) return check_results_to_json(AVAL_E_FORMAT, "the request was not understood", NULL, 0);
    int status = serve(s, json_object_get(line, "model"));
    if (status < 0) end_serving(s);
    else status = aval_model_worker_answer(s->worker, request, n, &answer, &bytes);
    json_t *out = check_results_to_json(status, status < 0 ? aval_error() : "", answer, bytes);
    aval_free(answer);
    free(request);
    return out;
}

static json_t *answer_case(aval_context *ctx, json_t *line)
{
    aval_check_case c;
    aval_sample sample;
    void *results = NULL;
    size_t bytes = 0;
    if (!check_case_from_json(line, &c, &sample)) return check_results_to_json(AVAL_E_FORMAT, "the case was not understood", NULL, 0);
    int status = aval_check_run(ctx, &c, &results, &bytes);
    json_t *out = check_results_to_json(status, status < 0 ? aval_error() : "", results, bytes);
    aval_free(results);
    return out;
}

static json_t *answer(serving *s, const char *text)
{
    json_t *line = json_loads(text, 0, NULL);
    json_t *out = json_object_get(line, "model") != NULL ? answer_model(s, line) : answer_case(s->ctx, line);
    json_decref(line);
    return out;
}

int check_worker(aval_context *ctx)
{
    char *line = NULL;
    size_t room = 0;
    int code = CLI_OK;
    serving s = { .ctx = ctx };
    FILE *out = take_stdout();
    if (out == NULL) return cli_fail(CLI_DEVICE, "a process that runs cases needs its standard output");
    cli_watch_plugins(fileno(out), 0); /* how long a case may take, its parent knows */
    while (code == CLI_OK && getline(&line, &room, stdin) > 0) {
        json_t *results = answer(&s, line);
        if (results == NULL || json_dumpf(results, out, JSON_COMPACT) != 0 || fputc('\n', out) == EOF || fflush(out) != 0)
            code = CLI_DEVICE;
        json_decref(results);
    }
    end_serving(&s);
    free(line);
    fclose(out);
    return code;
}
