/* aval check: every sample of the operators, forward and backward, on devices against the host's referee and against each other. */
#include "check.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct check_options {
    int all_devices, quick, forward, worker, in_process, shrink, gradients;
    uint64_t seed, steps, batch, repeats, first_repeats;
    char *seed_text, *steps_text, *batch_text, *repeats_text, *first_repeats_text;
    int element_type; /* of --type; 0: not given */
    double timeout; /* NAN: not given */
    int jobs; /* 0: not given */
    long long memory_megabytes;
    char *failures, *junit, *html, *replay, *layers, *type; /* of popt, for free */
    char command[2048]; /* as it was given, for the report */
} check_options;

/* What a check works with. */
typedef struct check {
    const cli_options *options;
    const check_options *own;
    aval_context *ctx;
    size_t *devices, n_devices;
    check_crew *crew;
    check_report *report;
    aval_check_options library;
} check;

/* ---- Which devices --------------------------------------------------------------------------------------------------------- */

static int list_selected(check *k)
{
    int64_t count = aval_selected_count(k->ctx);
    if (count < 0) return aval_device_count(k->ctx) == 0 ? AVAL_E_DEVICE : (int)count;
    k->devices = calloc((size_t)count + 1, sizeof *k->devices);
    if (k->devices == NULL) return AVAL_E_MEMORY;
    for (int64_t i = 0; i < count; i++) {
        int64_t device = aval_selected_device(k->ctx, (size_t)i);
        if (device < 0) return (int)device;
        k->devices[k->n_devices++] = (size_t)device;
    }
    return AVAL_OK;
}

/* All that can be used; the others are named. */
static int list_all(check *k)
{
    size_t count = aval_device_count(k->ctx);
    if (count == 0) return AVAL_E_DEVICE;
    k->devices = calloc(count + 1, sizeof *k->devices);
    if (k->devices == NULL) return AVAL_E_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const char *refusal = aval_device_refusal(k->ctx, i);
        if (refusal == NULL) k->devices[k->n_devices++] = i;
        else if (!k->options->common.quiet)
            cli_fail(CLI_OK, "device %zu '%s' is left out: %s", i, aval_device_info_at(k->ctx, i)->name, refusal);
    }
    return AVAL_OK;
}

/* What the folder to be replayed says of its case; NULL: nothing that can be read. */
static json_t *read_case(const check *k)
{
    char file[4096];
    snprintf(file, sizeof file, "%s/case.json", k->own->replay);
    return json_load_file(file, 0, NULL);
}

/* Adds the device of a failure's description: the one with its number and name, else the first with its name. */
static void list_described(check *k, json_t *device)
{
    json_int_t number;
    const char *platform, *name;
    bool found = false;
    if (json_unpack(device, "{s:I, s:s, s:s}", "number", &number, "platform", &platform, "name", &name) != 0) return;
    for (size_t i = 0; i < aval_device_count(k->ctx); i++) {
        const aval_device_info *info = aval_device_info_at(k->ctx, i);
        if (aval_device_refusal(k->ctx, i) != NULL || strcmp(info->platform, platform) != 0 || strcmp(info->name, name) != 0) continue;
        if (!found || i == (size_t)number) k->devices[k->n_devices] = i;
        found = true;
    }
    k->n_devices += found;
}

/* That of a failure, and the one that a model was compared with: the same order of both as there, since the first leads. */
static int list_replayed(check *k)
{
    k->devices = calloc(2, sizeof *k->devices);
    if (k->devices == NULL) return AVAL_E_MEMORY;
    json_t *all = read_case(k);
    list_described(k, json_object_get(all, "device"));
    if (k->n_devices == 1) list_described(k, json_object_get(all, "beside"));
    json_decref(all);
    if (k->n_devices == 2 && k->devices[0] > k->devices[1]) {
        size_t device = k->devices[0];
        k->devices[0] = k->devices[1];
        k->devices[1] = device;
    }
    if (k->n_devices > 0) return AVAL_OK;
    free(k->devices);
    return list_selected(k);
}

static int list_devices(check *k)
{
    if (k->own->all_devices) return list_all(k);
    if (k->own->replay != NULL && k->options->common.devices == NULL) return list_replayed(k);
    return list_selected(k);
}

/* ---- Setting up ---------------------------------------------------------------------------------------------------------------- */

static int make_report(check *k)
{
    const char **names = calloc(k->n_devices + 1, sizeof *names);
    char(*labels)[256] = calloc(k->n_devices + 1, sizeof *labels);
    for (size_t d = 0; names != NULL && labels != NULL && d < k->n_devices; d++) {
        const aval_device_info *info = aval_device_info_at(k->ctx, k->devices[d]);
        snprintf(labels[d], sizeof *labels, "%s/%s", info->platform, info->name);
        names[d] = labels[d];
    }
    if (names != NULL && labels != NULL) k->report = check_report_create(k->options, k->devices, names, k->n_devices);
    free(names);
    free(labels);
    return k->report == NULL ? AVAL_E_MEMORY : AVAL_OK;
}

/* A single device that computes on several cores leaves some idle while programs are built for it. */
static size_t count_children(const check *k)
{
    if (k->own->jobs > 0) return (size_t)k->own->jobs;
    bool on_cores = k->n_devices == 1 && aval_device_info_at(k->ctx, k->devices[0])->kind == AVAL_DEVICE_CPU;
    return on_cores && sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 3 : 1;
}

static int set_up(check *k)
{
    const check_options *own = k->own;
    int status = list_devices(k);
    if (status < 0) return status;
    status = make_report(k);
    if (status < 0) return status;
    k->library = (aval_check_options){ .size = sizeof k->library,
                                       .type = own->element_type,
                                       .seed = own->seed,
                                       .quick = own->quick,
                                       .forward_only = own->forward,
                                       .repeats = (int)own->repeats,
                                       .first_repeats = (int)own->first_repeats,
                                       .failures = own->failures };
    if (own->in_process) return AVAL_OK;
    const check_limits limits = { .seconds = own->timeout,
                                  .memory_bytes = (size_t)own->memory_megabytes << 20,
                                  .crashes = own->shrink ? UINT_MAX : 3,
                                  .goes_on = own->shrink != 0,
                                  .children = count_children(k) };
    k->crew = check_crew_create(k->ctx, k->options, k->devices, k->n_devices, &limits);
    if (k->crew == NULL) return AVAL_E_MEMORY;
    k->library.runner = check_crew_runner(k->crew);
    return AVAL_OK;
}

static void tear_down(check *k)
{
    check_crew_release(k->crew);
    check_report_release(k->report);
    free(k->devices);
}

/* ---- Running --------------------------------------------------------------------------------------------------------------------- */

/* A difference is in the report already; all else ends the check. */
static int code_of(const check *k, int status)
{
    if (status == AVAL_OK) return CLI_OK;
    if (status == AVAL_E_CHECK && check_report_code(k->report) != CLI_OK) return check_report_code(k->report);
    return cli_fail_status(status);
}

/* The command that checks this model again, for messages. */
static void put_again(const check *k, json_t *spec, char *text, size_t bytes)
{
    const check_options *own = k->own;
    const char *name = json_string_value(json_object_get(spec, "net"));
    char steps[32] = "";
    if (!own->gradients) snprintf(steps, sizeof steps, " %" PRIu64, own->steps);
    int n = snprintf(text, bytes, "aval check %s %s%s --batch %" PRIu64 " --seed %" PRIu64, name,
                     own->gradients ? "--gradients" : "--steps", steps, own->batch, own->seed);
    if (own->layers != NULL) n += snprintf(text + n, bytes - (size_t)n, " --layers %.256s", own->layers);
    for (size_t d = 0; d < k->n_devices && (size_t)n < bytes; d++)
        n += snprintf(text + n, bytes - (size_t)n, " --device %zu", k->devices[d]);
}

static int check_described_model(check *k, json_t *spec)
{
    const check_options *own = k->own;
    char again[1024];
    check_model m;
    aval_model_runner runner = { .size = 0 };
    char *description = json_dumps(spec, 0);
    put_again(k, spec, again, sizeof again);
    const aval_check_steps_options options = { .size = sizeof options,
                                               .steps = own->steps,
                                               .gradients = own->gradients,
                                               .runner = k->crew != NULL ? &runner : NULL,
                                               .again = again,
                                               .failures = own->failures,
                                               .description = description };
    int status = check_model_open(k->ctx, spec, &m);
    if (k->crew != NULL) runner = check_crew_model_runner(k->crew, spec);
    if (status == AVAL_OK) status = aval_check_steps(k->ctx, &m.library, &options, check_report_take, k->report);
    free(description);
    check_model_close(&m);
    return status;
}

static int check_one_model(check *k, const char *name)
{
    const check_options *own = k->own;
    char seed[32];
    snprintf(seed, sizeof seed, "%" PRIu64, own->seed); /* JSON's integers end at 2^63 */
    json_t *spec = json_pack("{s:s, s:I, s:s, s:b, s:s*}", "net", name, "batch", (json_int_t)own->batch, "seed", seed, "forward",
                             own->forward, "layers", own->layers);
    int status = spec == NULL ? AVAL_E_MEMORY : check_described_model(k, spec);
    json_decref(spec);
    return status;
}

/* A folder of an operator's failure, or of a model's. */
static int replay(check *k)
{
    json_t *all = read_case(k), *spec = json_object_get(all, "model");
    const check_failure failure = { .ctx = k->ctx, .crew = k->crew, .folder = k->own->replay, .all = all };
    int status = spec != NULL ? check_failure_run(&failure, spec, k->own->failures, NULL, check_report_take, k->report)
                              : aval_check_replay(k->ctx, k->own->replay, &k->library, check_report_take, k->report);
    json_decref(all);
    return status;
}

/* All that are called so: `Softsign` is ONNX's, and that of a plugin of one's own. */
static int check_one_op(check *k, const char *name)
{
    char full[256];
    int worst = AVAL_OK;
    for (size_t at = 0; cli_op_next(k->ctx, name, &at, full, sizeof full) != NULL && (worst == AVAL_OK || worst == AVAL_E_CHECK);) {
        k->library.op = full;
        int status = aval_check_ops(k->ctx, &k->library, check_report_take, k->report);
        if (status < 0) worst = status;
    }
    return worst;
}

static int check_named(check *k)
{
    int status = AVAL_OK, code = CLI_OK;
    const cli_options *o = k->options;
    if (o->n_rest == 0) return code_of(k, aval_check_ops(k->ctx, &k->library, check_report_take, k->report));
    for (size_t n = 0; n < o->n_rest && code == CLI_OK; n++) {
        if (!check_model_named(o->rest[n])) code = cli_op_check(k->ctx, o->rest[n]);
    }
    if (code != CLI_OK) return code;
    for (size_t n = 0; n < o->n_rest && (status == AVAL_OK || status == AVAL_E_CHECK); n++) {
        status = check_model_named(o->rest[n]) ? check_one_model(k, o->rest[n]) : check_one_op(k, o->rest[n]);
        int found = code_of(k, status);
        if (found > code) code = found;
    }
    return code;
}

static int shrink_model(const check *k, json_t *all)
{
    const check_failure failure = { .ctx = k->ctx, .crew = k->crew, .folder = k->own->replay, .all = all };
    return check_failure_shrink(&failure, k->own->failures, k->options->common.json);
}

static int shrink(check *k)
{
    char *inputs = NULL;
    json_t *all = read_case(k);
    if (json_object_get(all, "model") != NULL) {
        int code = shrink_model(k, all);
        json_decref(all);
        return code;
    }
    json_decref(all);
    int status = aval_check_shrink(k->ctx, k->own->replay, &k->library, &inputs);
    if (status < 0) return cli_fail_status(status);
    if (k->options->common.json) return cli_print_json(json_pack("{s:s, s:s}", "inputs", inputs, "failures", k->library.failures));
    printf("the smallest case that still fails has inputs %s; its folder is in %s\n", inputs, k->library.failures);
    aval_free(inputs);
    return CLI_DIFFERENCE;
}

/* The files that were asked for; returns an exit code. */
static int write_reports(const check *k)
{
    const check_options *own = k->own;
    char again[256];
    json_t *results = check_report_results(k->report);
    int code = own->junit == NULL ? CLI_OK : check_junit_write(own->junit, results), written = CLI_OK;
    snprintf(again, sizeof again, "aval check --seed %" PRIu64 "%s%s", own->seed, own->quick ? " --quick" : "",
             own->forward ? " --forward" : "");
    const check_page page = { .ctx = k->ctx, .devices = k->devices, .n_devices = k->n_devices, .command = own->command, .again = again };
    if (own->html != NULL) written = check_html_write(own->html, &page, results);
    return written > code ? written : code;
}

static int run(check *k)
{
    int code;
    if (k->own->shrink) return shrink(k);
    if (k->own->replay == NULL) code = check_named(k);
    else code = code_of(k, replay(k));
    /* an unknown op, or no device: the message has said it */
    if (code != CLI_OK && check_report_count(k->report) == 0) return code;
    int printed = check_report_print(k->report), written = write_reports(k);
    if (written > printed) printed = written;
    if (check_report_failed(k->report) > 0 && k->own->failures != NULL && !k->options->common.json && !k->options->common.quiet)
        printf("failures are in %s; see one again with: aval check%s --replay FOLDER\n", k->own->failures,
               k->options->common.plugins ? " --plugin FILE.so" : "");
    return printed > code ? printed : code;
}

static int choose_type(check_options *own)
{
    static const int types[] = { AVAL_FLOAT, AVAL_DOUBLE, AVAL_FLOAT16 };
    for (size_t i = 0; own->type != NULL && i < sizeof types / sizeof *types; i++) {
        if (strcmp(own->type, aval_type_name(types[i])) == 0) own->element_type = types[i];
    }
    if (own->type == NULL || own->element_type != 0) return CLI_OK;
    return cli_fail(CLI_USAGE, "--type %s: expected float, double or float16", own->type);
}

static int check_wrong_use(const cli_options *options, const check_options *own)
{
    if (own->jobs < 0 || own->jobs > 3) return cli_fail(CLI_USAGE, "--jobs %d: expected 1 to 3 processes", own->jobs);
    if (own->timeout <= 0) return cli_fail(CLI_USAGE, "--timeout %g: expected more than 0 seconds", own->timeout);
    if (own->memory_megabytes < 0) return cli_fail(CLI_USAGE, "--memory %lld: expected megabytes", own->memory_megabytes);
    if (own->shrink && own->replay == NULL) return cli_fail(CLI_USAGE, "--shrink needs the failure to make smaller: --replay DIR");
    if (own->replay != NULL && options->n_rest > 0)
        return cli_fail(CLI_USAGE, "--replay runs the case of its folder: '%s' was not expected", options->rest[0]);
    if (own->all_devices && options->common.devices != NULL)
        return cli_fail(CLI_USAGE, "--all-devices and --device: one of them was expected");
    if (own->in_process && (own->all_devices || (options->common.devices != NULL && options->common.devices[1] != NULL)))
        return cli_fail(CLI_USAGE, "--in-process runs on one device");
    return CLI_OK;
}

/* The command as a shell would take it again. */
static void join_arguments(int argc, const char **argv, char *text, size_t bytes)
{
    size_t n = (size_t)snprintf(text, bytes, "aval check");
    for (int i = 1; i < argc && n < bytes; i++) {
        bool plain = argv[i][strspn(argv[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./,:@+")] == 0;
        n += (size_t)snprintf(text + n, bytes - n, plain ? " %s" : " '%s'", argv[i]);
    }
}

int cli_check(int argc, const char **argv)
{
    setenv("AVAL_INSIST", "1", 1); /* a check judges for itself, in its workers too */
    check_options own = { .timeout = NAN };
    const struct poptOption table[] = {
        { "all-devices", 0, POPT_ARG_NONE, &own.all_devices, 0, "on every device of this machine, each compared with every other", NULL },
        { "quick", 0, POPT_ARG_NONE, &own.quick, 0, "small samples only", NULL },
        { "forward", 0, POPT_ARG_NONE, &own.forward, 0, "no gradients", NULL },
        { "type", 0, POPT_ARG_STRING, &own.type, 0, "samples in one element type only: float, double, float16 [each]", "NAME" },
        { "seed", 0, POPT_ARG_STRING, &own.seed_text, 0, "of the random inputs [0]", "N" },
        { "repeats", 0, POPT_ARG_STRING, &own.repeats_text, 0, "of operators: runs of a case that must give equal bits [3]", "N" },
        { "first-repeats", 0, POPT_ARG_STRING, &own.first_repeats_text, 0,
          "as --repeats, of an operator's first sample alone: for slow devices", "N" },
        { "steps", 0, POPT_ARG_STRING, &own.steps_text, 0, "of models: training steps that are compared [20]", "N" },
        { "batch", 0, POPT_ARG_STRING, &own.batch_text, 0, "of models: examples a step [32; with --gradients 4]", "N" },
        { "layers", 0, POPT_ARG_STRING, &own.layers, 0, "of models: widths of hidden layers [mlp: 128,128; lenet: 256]", "N,N..." },
        { "gradients", 0, POPT_ARG_NONE, &own.gradients, 0, "of models: their gradients by differences on the host, instead of steps",
          NULL },
        { "failures", 0, POPT_ARG_STRING, &own.failures, 0, "each failed case or step leaves a folder there [aval-failures]", "DIR" },
        { "replay", 0, POPT_ARG_STRING, &own.replay, 0, "only the case of this failure's folder", "DIR" },
        { "shrink", 0, POPT_ARG_NONE, &own.shrink, 0, "with --replay: the smallest case, or model, that still fails", NULL },
        { "junit", 0, POPT_ARG_STRING, &own.junit, 0, "the results as JUnit XML", "FILE" },
        { "html", 0, POPT_ARG_STRING, &own.html, 0, "the results as a page for a browser, in one file", "FILE" },
        { "timeout", 0, POPT_ARG_DOUBLE, &own.timeout, 0,
          "seconds that an operator may take on a device [60], or with --shrink a case [10]", "S" },
        { "jobs", 0, POPT_ARG_INT, &own.jobs, 0, "of operators: processes of a device [3 for a single CPU of several cores, else 1]", "N" },
        { "memory", 0, POPT_ARG_LONGLONG, &own.memory_megabytes, 0, "address space of a device's process [no limit]", "MB" },
        { "in-process", 0, POPT_ARG_NONE, &own.in_process, 0, "without a process of its own, for debuggers", NULL },
        { "worker", 0, POPT_ARG_NONE | POPT_ARGFLAG_DOC_HIDDEN, &own.worker, 0, NULL, NULL },
        POPT_TABLEEND,
    };
    cli_options options;
    check k = { .options = &options, .own = &own };
    int code;
    join_arguments(argc, argv, own.command, sizeof own.command);
    if (!cli_options_parse(&options, cli_command_find("check"), table, 0, (size_t)-1, argc, argv, &code)) return code;
    if (own.failures == NULL) own.failures = strdup("aval-failures");
    if (isnan(own.timeout)) own.timeout = own.shrink ? 10 : 60;
    code = check_wrong_use(&options, &own);
    if (code == CLI_OK) code = choose_type(&own);
    if (code == CLI_OK) code = cli_count("seed", own.seed_text, 0, UINT64_MAX, &own.seed);
    own.steps = 20;
    own.batch = own.gradients ? 4 : 32;
    own.repeats = own.first_repeats = 3;
    if (code == CLI_OK) code = cli_count("repeats", own.repeats_text, 3, INT32_MAX, &own.repeats);
    if (code == CLI_OK) code = cli_count("first-repeats", own.first_repeats_text, 3, INT32_MAX, &own.first_repeats);
    if (code == CLI_OK) code = cli_count("steps", own.steps_text, 1, INT32_MAX, &own.steps);
    if (code == CLI_OK) code = cli_count("batch", own.batch_text, 1, INT32_MAX, &own.batch);
    int status = code == CLI_OK ? cli_context_create(&options, &k.ctx) : AVAL_OK;
    if (code == CLI_OK && status == AVAL_OK && own.worker) {
        code = check_worker(k.ctx);
    } else if (code == CLI_OK) {
        cli_watch_plugins(-1, own.timeout);
        if (status == AVAL_OK) status = set_up(&k);
        code = status < 0 ? cli_fail_status(status) : run(&k);
    }
    tear_down(&k);
    aval_context_release(k.ctx);
    cli_options_release(&options);
    free(own.failures);
    free(own.junit);
    free(own.html);
    free(own.replay);
    free(own.seed_text);
    free(own.steps_text);
    free(own.repeats_text);
    free(own.first_repeats_text);
    free(own.batch_text);
    free(own.layers);
    free(own.type);
    return code;
}
