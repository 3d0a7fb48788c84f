/* aval check: every sample of the operators, forward and backward, on a device against the host's referee. */
#include "cli.h"

#include <math.h>
#include <stdio.h>

typedef struct tally {
    size_t passed, failed, skipped;
    json_t *results; /* NULL: lines instead */
    bool lines;
} tally;

static void on_result(void *user, const aval_check_result *r)
{
    tally *t = user;
    if (r->passed == 1) t->passed++;
    else if (r->passed == 0) t->failed++;
    else t->skipped++;
    if (t->results != NULL) {
        json_t *error = isfinite(r->error) ? json_real(r->error) : json_null();
        json_array_append_new(t->results, json_pack("{s:s, s:s, s:s, s:s?, s:s, s:s, s:s, s:o, s:s?}", "op", r->op, "device", r->device,
                                                    "sample", r->sample, "attributes", r->attrs, "type", r->type, "what", r->what, "result",
                                                    r->passed == 1   ? "passed"
                                                    : r->passed == 0 ? "failed"
                                                                     : "skipped",
                                                    "error", error, "message", r->message));
    } else if (r->passed == 0) {
        printf("failed: %s, %s, type %s, sample %s%s%s: %s\n", r->op, r->what, r->type, r->sample, r->attrs ? " " : "",
               r->attrs ? r->attrs : "", r->message);
    } else if (r->passed < 0 && t->lines) {
        printf("skipped: %s, %s, sample %s: %s\n", r->op, r->what, r->sample, r->message);
    }
}

/* All ops when none is named. */
static int check(const cli_options *options, aval_context *ctx, aval_check_options *o)
{
    tally t = { .lines = !options->common.quiet, .results = options->common.json ? json_array() : NULL };
    int status, code = CLI_OK;
    size_t i = 0;
    do {
        if (options->n_rest > 0) o->op = options->rest[i++];
        status = aval_check_ops(ctx, o, on_result, &t);
        if (status < 0) {
            int found = status == AVAL_E_CHECK && t.failed > 0 ? CLI_DIFFERENCE : cli_fail_status(status);
            if (found > code) code = found;
        }
    } while (i < options->n_rest && (status == AVAL_OK || status == AVAL_E_CHECK));
    if (code != CLI_OK && t.passed + t.failed + t.skipped == 0) { /* an unknown op, or no device: the message has said it */
        json_decref(t.results);
        return code;
    }
    if (t.results != NULL) {
        int printed = cli_print_json(t.results);
        return printed > code ? printed : code;
    }
    printf("%zu passed, %zu failed, %zu skipped\n", t.passed, t.failed, t.skipped);
    return code;
}

int cli_check(int argc, const char **argv)
{
    aval_check_options o = { .size = sizeof o };
    long long seed = 0;
    const struct poptOption own[] = {
        { "large", 0, POPT_ARG_NONE, &o.large, 0, "large samples too", NULL },
        { "forward", 0, POPT_ARG_NONE, &o.forward_only, 0, "no gradients", NULL },
        { "seed", 0, POPT_ARG_LONGLONG, &seed, 0, "of the random inputs [0]", "N" },
        POPT_TABLEEND,
    };
    cli_options options;
    aval_context *ctx = NULL;
    int code;
    if (!cli_options_parse(&options, cli_command_find("check"), own, 0, (size_t)-1, argc, argv, &code)) return code;
    o.seed = (uint64_t)seed;
    int status = cli_context_create(&options, &ctx);
    code = status < 0 ? cli_fail_status(status) : check(&options, ctx, &o);
    aval_context_release(ctx);
    cli_options_release(&options);
    return code;
}
