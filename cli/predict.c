/* aval predict: pictures through a model, by the card that lies beside it. */
#include "arrays.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    char *card, *top;
    uint64_t shown;
} arguments;

/* A class and how probable it is. */
typedef struct answer {
    size_t index;
    double probability;
} answer;

typedef struct job {
    const arguments *a;
    aval_model *model;
    aval_card *card;
    aval_session *session;
    json_t *rows; /* NULL: text */
    bool titles; /* several pictures: each has its name above */
} job;

static int by_probability(const void *a, const void *b)
{
    const answer *x = a, *y = b;
    if (x->probability != y->probability) return x->probability < y->probability ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

static void softmax(answer *answers, size_t count)
{
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < count; i++) most = answers[i].probability > most ? answers[i].probability : most;
    for (size_t i = 0; i < count; i++) sum += answers[i].probability = exp(answers[i].probability - most);
    for (size_t i = 0; i < count; i++) answers[i].probability /= sum;
}

static void name_class(const job *j, size_t i, char *name, size_t bytes)
{
    const char *label = aval_card_label(j->card, i);
    if (label != NULL) snprintf(name, bytes, "%s", label);
    else snprintf(name, bytes, "%zu", i);
}

static int tell(const job *j, const char *picture, answer *answers, size_t count)
{
    size_t n = j->a->shown < count ? (size_t)j->a->shown : count;
    char name[256];
    if (aval_card_scores(j->card)) softmax(answers, count);
    qsort(answers, count, sizeof *answers, by_probability);
    if (j->rows == NULL) {
        if (j->titles) printf("%s\n", picture);
        for (size_t i = 0; i < n; i++) {
            name_class(j, answers[i].index, name, sizeof name);
            printf("%s%-24s %6.2f %%\n", j->titles ? "  " : "", name, 100 * answers[i].probability);
        }
        return CLI_OK;
    }
    json_t *classes = json_array();
    for (size_t i = 0; i < n; i++) {
        name_class(j, answers[i].index, name, sizeof name);
        json_array_append_new(classes, json_pack("{s:s, s:I, s:f}", "label", name, "class", (json_int_t)answers[i].index, "probability",
                                                 answers[i].probability));
    }
    json_array_append_new(j->rows, json_pack("{s:s, s:o}", "picture", picture, "classes", classes));
    return CLI_OK;
}

/* The output as a list of numbers, one a class. */
static int read_answers(const job *j, const char *picture, const aval_array *output)
{
    size_t count = output->bytes / aval_type_bytes(output->type), labels = aval_card_label_count(j->card);
    if (labels > 0 && labels != count)
        return cli_fail(CLI_USAGE, "the model gives %zu numbers, but its card has %zu labels: as many were expected", count, labels);
    double *numbers = malloc((count + 1) * sizeof *numbers);
    answer *answers = malloc((count + 1) * sizeof *answers);
    int code = numbers == NULL || answers == NULL ? cli_fail(CLI_DEVICE, "out of memory") : CLI_OK;
    int status = code == CLI_OK ? aval_convert(numbers, AVAL_DOUBLE, output->data, output->type, count) : AVAL_OK;
    if (status < 0) code = cli_fail_status(status);
    for (size_t i = 0; code == CLI_OK && i < count; i++) {
        answers[i] = (answer){ i, numbers[i] };
        if (!isfinite(numbers[i]))
            code = cli_fail(CLI_USAGE, "%s: the model gives %g for class %zu: a number was expected", picture, numbers[i], i);
    }
    if (code == CLI_OK) code = tell(j, picture, answers, count);
    free(numbers);
    free(answers);
    return code;
}

static int predict(const job *j, const char *picture)
{
    aval_array input = { .size = sizeof input }, output = { .size = sizeof output };
    aval_value *scores = aval_model_output(j->model, 0);
    int status = aval_card_picture(j->card, picture, &input);
    if (status == AVAL_OK) status = aval_session_feed(j->session, aval_model_input(j->model, 0), input.data, input.bytes, input.dims);
    if (status == AVAL_OK) status = aval_session_run(j->session, &scores, 1);
    if (status == AVAL_OK) status = cli_array_of(j->session, scores, &output);
    int code = status < 0 ? cli_fail_status(status) : read_answers(j, picture, &output);
    aval_free(input.data);
    aval_free(output.data);
    return code;
}

static int check_input(const job *j, const char *model)
{
    const aval_value *input = aval_model_input(j->model, 0);
    if (aval_model_input_count(j->model) == 1 && aval_model_output_count(j->model) > 0 && aval_value_type(input) == AVAL_FLOAT)
        return CLI_OK;
    return cli_fail(CLI_USAGE, "%s has %zu inputs and %zu outputs: one input of floats, for the picture, and an output were expected",
                    model, aval_model_input_count(j->model), aval_model_output_count(j->model));
}

static int predict_all(const cli_options *options, const arguments *a)
{
    aval_context *ctx = NULL;
    job j = { .a = a, .titles = options->n_rest > 2, .rows = options->common.json ? json_array() : NULL };
    int status = cli_context_create(options, &ctx);
    if (status == AVAL_OK) status = aval_model_load(ctx, options->rest[0], &j.model);
    if (status == AVAL_OK) status = aval_card_open(a->card != NULL ? a->card : options->rest[0], &j.card);
    if (status == AVAL_OK) status = cli_need_device(ctx);
    if (status == AVAL_OK) status = aval_session_create(ctx, aval_model_graph(j.model), aval_model_store(j.model), &j.session);
    int code = status < 0 ? cli_fail_status(status) : check_input(&j, options->rest[0]);
    for (size_t i = 1; i < options->n_rest && code == CLI_OK; i++) code = predict(&j, options->rest[i]);
    if (j.rows != NULL && code == CLI_OK) code = cli_print_json(json_incref(j.rows));
    json_decref(j.rows);
    aval_session_release(j.session);
    aval_card_release(j.card);
    aval_model_release(j.model);
    aval_context_release(ctx);
    return code;
}

int cli_predict(int argc, const char **argv)
{
    arguments a = { .shown = 5 };
    const struct poptOption own[] = {
        { "top", 0, POPT_ARG_STRING, &a.top, 0, "how many classes are shown, the most probable first [5]", "N" },
        { "card", 0, POPT_ARG_STRING, &a.card, 0, "what the model takes and its classes [FILE.json beside FILE.onnx]", "FILE.json" },
        POPT_TABLEEND,
    };
    cli_options options;
    int code;
    if (cli_options_parse(&options, cli_command_find("predict"), own, 2, SIZE_MAX, argc, argv, &code)) {
        code = cli_count("top", a.top, 1, INT32_MAX, &a.shown);
        if (code == CLI_OK) code = predict_all(&options, &a);
        cli_options_release(&options);
    }
    free(a.top);
    free(a.card);
    return code;
}
