/* aval tune: measures the ways there are to compute the products and convolutions of nets, models or single shapes, and the work-groups of what else they
 * compute, and remembers the fastest right one of each for later runs. */
#include "tune.h"
#include "files.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct tune {
    aval_context *ctx;
    aval_tune_options options;
    double end; /* by cli_seconds */
    uint64_t batch; /* 0: as each net has it */
    tune_shape shape; /* of the argument at hand */
    json_t *rows; /* NULL: print lines */
    bool quiet;
    size_t tried, wrong, classes, incomplete, left;
} tune;

bool tune_shape_read(const char *text, tune_shape *out)
{
    char end;
    long long m, n, k;
    if (sscanf(text, "%lldx%lldx%lld%c", &m, &n, &k, &end) != 3 || m < 1 || n < 1 || k < 1) return false;
    if (m > INT_MAX / 4 || n > INT_MAX / 4 || k > INT_MAX / 4) return false;
    *out = (tune_shape){ m, n, k };
    return true;
}

static void report(void *user, const aval_tune_row *row)
{
    tune *t = user;
    t->tried++;
    t->wrong += !row->right;
    t->classes += row->chosen != 0;
    t->incomplete += row->chosen && !row->complete;
    if (t->rows != NULL) {
        json_array_append_new(t->rows,
                              json_pack("{s:s, s:s, s:f, s:f, s:f, s:b, s:b, s:b, s:i}", "product", row->product, "variant", row->variant,
                                        "ms", row->ms, "gflops", row->gflops, "gbytes_per_s", row->gbytes_per_s, "right", row->right,
                                        "chosen", row->chosen, "untuned", row->untuned, "device", (int)row->device));
        return;
    }
    if (row->untuned && !t->quiet) printf("%s\n", row->product);
    if (t->quiet && !row->chosen) return;
    bool product = row->gbytes_per_s <= 0;
    printf("  %c %10.4f ms %8.1f %s  %s%s%s\n", row->chosen ? '*' : ' ', row->ms, product ? row->gflops : row->gbytes_per_s,
           product ? "GFLOP/s" : "GB/s", row->variant, row->untuned ? " (untuned)" : "", row->right ? "" : "  WRONG");
    fflush(stdout);
}

/* ---- What is tuned --------------------------------------------------------------------------------------------------------------------- */

int tune_product(aval_context *ctx, const tune_shape *z, const aval_tune_options *options, aval_tune_function told, void *user,
                 size_t *left)
{
    aval_graph *g = aval_graph_create(ctx);
    aval_session *s = NULL;
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(z->m, z->k));
    aval_value *y = aval_apply(g, "MatMul", NULL, x, aval_graph_input(g, "w", AVAL_FLOAT, AVAL_SHAPE(z->k, z->n)));
    int status = aval_graph_status(g);
    if (status == AVAL_OK) status = aval_session_create(ctx, g, NULL, &s);
    if (status == AVAL_OK) status = aval_session_tune(s, AVAL_VALUES(y), options, told, user, left);
    aval_session_release(s);
    aval_graph_release(g);
    return status;
}

static int tune_opened(const net *n, const aval_tune_options *options, aval_tune_function told, void *user, size_t *left)
{
    aval_session *s = NULL;
    int status = aval_session_create(n->ctx, n->g, n->store, &s);
    if (status == AVAL_OK) status = aval_session_tune(s, n->wanted, n->n_wanted, options, told, user, left);
    aval_session_release(s);
    return status;
}

int tune_net(aval_context *ctx, const net_kind *kind, int64_t batch, const aval_tune_options *options, aval_tune_function told, void *user,
             size_t *left)
{
    net n;
    int status = net_open(ctx, kind, batch, kind->inference, &n);
    if (status == AVAL_OK) status = tune_opened(&n, options, told, user, left);
    net_close(&n);
    return status;
}

static int tune_model(tune *t, const char *file, size_t *left)
{
    net n;
    int status = net_open_model(t->ctx, file, t->batch > 0 ? (int64_t)t->batch : 1, &n);
    if (status == AVAL_OK) status = tune_opened(&n, &t->options, report, t, left);
    net_close(&n);
    return status;
}

static int tune_one(tune *t, const char *what)
{
    const net_kind *kind = net_find(what);
    size_t left = 0;
    int status = AVAL_OK;
    t->options.seconds = t->end - cli_seconds();
    if (t->options.seconds <= 0) t->options.seconds = 1e-3; /* 0 would be the usual time: what is left is counted */
    if (tune_shape_read(what, &t->shape)) {
        status = tune_product(t->ctx, &t->shape, &t->options, report, t, &left);
    } else if (kind == NULL) {
        status = tune_model(t, what, &left);
    } else {
        const int64_t asked[] = { (int64_t)t->batch, 0 }, *batches = t->batch > 0 ? asked : kind->batches;
        for (; status == AVAL_OK && *batches > 0; batches++) {
            if (t->options.clblast && batches[1] > 0) continue; /* one set for all: by the largest batch */
            size_t of_batch = 0;
            t->options.seconds = t->end - cli_seconds();
            if (t->options.seconds <= 0) t->options.seconds = 1e-3;
            status = tune_net(t->ctx, kind, *batches, &t->options, report, t, &of_batch);
            left += of_batch;
        }
    }
    t->left += left;
    return status;
}

/* ---- What is remembered ------------------------------------------------------------------------------------------------------------------ */

static void list_row(void *user, const aval_tune_row *row)
{
    tune *t = user;
    t->classes++;
    if (t->rows != NULL)
        json_array_append_new(t->rows,
                              json_pack("{s:s, s:s, s:i}", "product", row->product, "variant", row->variant, "device", (int)row->device));
    else printf("%-60s %s\n", row->product, row->variant);
}

static int list(tune *t)
{
    int status = aval_context_tuned(t->ctx, list_row, t);
    if (status == AVAL_OK && t->rows == NULL && t->classes == 0) printf("nothing is tuned on this device\n");
    return status;
}

static int tune_all(tune *t, const char *const *what, size_t n)
{
    static const char *const usual[] = { "512x512x512", "1024x1024x1024", "256x256x256", "128x10x512", "1x1000x2048", "mlp", "lenet" };
    size_t n_usual = sizeof usual / sizeof *usual;
    char name[512];
    int status = AVAL_OK;
    for (size_t i = 0; i < (n > 0 ? n : n_usual) && status == AVAL_OK; i++) status = tune_one(t, n > 0 ? what[i] : usual[i]);
    if (status == AVAL_OK) status = cli_device_name(t->ctx, name, sizeof name);
    if (status == AVAL_OK && t->rows == NULL) {
        printf("%zu classes of products and ops were tuned on %s, by %zu ways of which %zu were wrong", t->classes, name, t->tried,
               t->wrong);
        if (t->incomplete > 0) printf("; %zu of them not to the end", t->incomplete);
        if (t->left > 0) printf("; for %zu there was no time: --budget gives more", t->left);
        printf("\n");
    }
    return status;
}

static int check_arguments(const cli_options *options, int listed, int forget)
{
    tune_shape shape;
    if ((listed || forget) && options->n_rest > 0) return cli_fail(CLI_USAGE, "--list and --forget are for all that is remembered");
    if (listed && forget) return cli_fail(CLI_USAGE, "one of --list and --forget was expected");
    for (size_t i = 0; i < options->n_rest; i++) {
        const char *what = options->rest[i];
        if (tune_shape_read(what, &shape) || net_find(what) != NULL || cli_is_model(what)) continue;
        char names[256] = "";
        for (const net_kind *kind = net_kinds; kind->name; kind++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", kind->name, kind[1].name ? ", " : "");
        return cli_fail(CLI_USAGE,
                        "'%s' is no network (%s), no model (FILE.onnx) and no product (rows x columns x depth, as in 512x512x784)", what,
                        names);
    }
    return CLI_OK;
}

int cli_tune(int argc, const char **argv)
{
    tune t = { .options = { .size = sizeof t.options } };
    char *budget = NULL, *batch = NULL;
    int code, listed = 0, forget = 0, again = 0, clblast = 0;
    double seconds = 60;
    const struct poptOption own[] = {
        { "budget", 0, POPT_ARG_STRING, &budget, 0, "how long it may take in all [60]", "SECONDS" },
        { "batch", 'b', POPT_ARG_STRING, &batch, 0, "examples in a batch [those of `aval bench`; models: 1]", "N" },
        { "again", 0, POPT_ARG_NONE, &again, 0, "measure again what is remembered", NULL },
        { "clblast", 0, POPT_ARG_NONE, &clblast, 0,
          "instead, the parameters of CLBlast's kernels, one set for all products of WHAT, for devices that use CLBlast (GPUs)", NULL },
        { "list", 0, POPT_ARG_NONE, &listed, 0, "show what is remembered of the device, measure nothing", NULL },
        { "forget", 0, POPT_ARG_NONE, &forget, 0, "forget it", NULL },
        POPT_TABLEEND,
    };
    cli_options options;
    if (!cli_options_parse(&options, cli_command_find("tune"), own, 0, 64, argc, argv, &code)) goto done;
    code = check_arguments(&options, listed, forget);
    if (code == CLI_OK && clblast && options.n_rest != 1)
        code = cli_fail(CLI_USAGE, "--clblast: one net, model or product was expected, the one that the device is used for most");
    if (code == CLI_OK) code = cli_real("budget", budget, &seconds);
    if (code == CLI_OK && !(seconds > 0)) code = cli_fail(CLI_USAGE, "--budget is '%s': expected seconds above 0", budget);
    if (code == CLI_OK) code = cli_count("batch", batch, 1, INT_MAX, &t.batch);
    if (code == CLI_OK) {
        t.options.again = again;
        t.options.clblast = clblast;
        t.end = cli_seconds() + seconds;
        t.quiet = options.common.quiet;
        t.rows = options.common.json ? json_array() : NULL;
        int status = cli_context_create(&options, &t.ctx);
        if (status == AVAL_OK) status = cli_need_device(t.ctx);
        if (status == AVAL_OK) status = aval_context_insist(t.ctx, 1); /* results are compared here */
        if (status == AVAL_OK && clblast) status = aval_context_ignore_tuned(t.ctx); /* CLBlast's database is what it begins with */
        if (status == AVAL_OK && forget) status = aval_context_forget_tuned(t.ctx);
        else if (status == AVAL_OK) status = listed ? list(&t) : tune_all(&t, options.rest, options.n_rest);
        if (status < 0) code = cli_fail_status(status);
        else if (t.rows != NULL) code = cli_print_json(json_incref(t.rows));
    }
    json_decref(t.rows);
    aval_context_release(t.ctx);
    cli_options_release(&options);
done:
    free(budget);
    free(batch);
    return code;
}
