/* aval ops: the operators there are, or all that an operator's definition says. */
#include "cli.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const char *domain_of(const aval_op *op)
{
    return op->domain && op->domain[0] ? op->domain : "";
}

/* "Name" or "domain::Name", as nodes are made with. */
static void print_name(const aval_op *op, char *name, size_t bytes)
{
    snprintf(name, bytes, "%s%s%s", domain_of(op), domain_of(op)[0] ? "::" : "", op->name);
}

static bool is_called(const aval_op *op, const char *name)
{
    char full[256];
    print_name(op, full, sizeof full);
    return strcmp(name, full) == 0 || strcmp(name, op->name) == 0;
}

static void print_ports(const char *title, const aval_port *ports)
{
    for (size_t i = 0; ports != NULL && ports[i].name != NULL; i++) {
        const aval_port *p = &ports[i];
        printf("  %s %s%s%s:", title, p->name, p->flags & AVAL_OPTIONAL ? " (optional)" : "",
               p->flags & AVAL_VARIADIC ? " (one or more)" : "");
        uint64_t types = p->types ? p->types : AVAL_FLOATS;
        for (int type = 1; type < AVAL_TYPES; type++) {
            if (types & AVAL_TYPE_SET(type)) printf(" %s", aval_type_name(type));
        }
        if (p->updates) printf(", the new content of its input %u", (unsigned)p->updates - 1);
        printf("\n");
    }
}

/* ---- On which devices it passes -------------------------------------------------------------------------------------------- */

typedef struct tally {
    size_t passing, failing, outdated; /* devices */
    json_t *json; /* NULL: not wanted */
    bool lines;
} tally;

static const char *verdict_word(const aval_op_verdict *v)
{
    return v->outdated ? "outdated" : v->failed > 0 ? "failed" : v->passed > 0 ? "passed" : "skipped";
}

static void print_verdict(const aval_op_verdict *v)
{
    char day[32] = "";
    const time_t when = (time_t)v->when;
    struct tm at;
    if (localtime_r(&when, &at) != NULL) strftime(day, sizeof day, "%Y-%m-%d", &at);
    printf("  checked %s on %s, driver %s: ", day, v->device, v->driver);
    if (v->outdated) printf("but its plugin is another since; `aval check` looks again\n");
    else if (v->failed > 0)
        printf("%llu of %llu FAILED, %s\n", (unsigned long long)v->failed, (unsigned long long)(v->failed + v->passed), v->message);
    else if (v->passed == 0) printf("nothing could be compared\n");
    else
        printf("passes %llu, largest error %.2g of the tolerance%s%s\n", (unsigned long long)v->passed, v->error, v->extent[0] ? ", " : "",
               v->extent);
}

static void take_verdict(void *user, const aval_op_verdict *v)
{
    tally *t = user;
    if (v->outdated) t->outdated++;
    else if (v->failed > 0) t->failing++;
    else if (v->passed > 0) t->passing++;
    if (t->lines) print_verdict(v);
    if (t->json != NULL)
        json_array_append_new(t->json, json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:I, s:s, s:s}", "device", v->device, "driver",
                                                 v->driver, "result", verdict_word(v), "passed", (json_int_t)v->passed, "failed",
                                                 (json_int_t)v->failed, "skipped", (json_int_t)v->skipped, "error", v->error, "when",
                                                 (json_int_t)v->when, "extent", v->extent, "message", v->message));
}

/* "passes on 2, fails on 1", of devices. */
static void print_tally(const tally *t)
{
    char text[64] = "not checked";
    if (t->failing > 0) snprintf(text, sizeof text, "FAILS on %zu, passes on %zu", t->failing, t->passing);
    else if (t->passing > 0) snprintf(text, sizeof text, "passes on %zu", t->passing);
    else if (t->outdated > 0) snprintf(text, sizeof text, "changed since");
    printf("%-12s ", text);
}

/* ---- All about one ---------------------------------------------------------------------------------------------------------- */

static void print_op(aval_context *ctx, const aval_op *op)
{
    char name[256];
    print_name(op, name, sizeof name);
    printf("%s (version %u): %s\n", name, (unsigned)op->since, op->doc);
    print_ports("input", op->inputs);
    print_ports("output", op->outputs);
    for (size_t i = 0; op->attrs != NULL && op->attrs[i].name != NULL; i++)
        printf("  attribute %s = %s%s%s\n", op->attrs[i].name,
               op->attrs[i].initial    ? op->attrs[i].initial
               : op->attrs[i].required ? "(required)"
                                       : "(none)",
               op->attrs[i].doc ? ": " : "", op->attrs[i].doc ? op->attrs[i].doc : "");
    printf("  forward: %s, gradient: %s\n", aval_op_forward_kind(op), aval_op_gradient_kind(op));
    if (op->subgradient != NULL) printf("  at kinks: %s\n", op->subgradient);
    printf("  from %s\n", aval_op_plugin(ctx, op));
    tally t = { .lines = true };
    aval_op_verdicts(ctx, op, take_verdict, &t);
    if (t.passing + t.failing + t.outdated == 0) printf("  not checked on this machine: `aval check %s --all-devices`\n", name);
}

static json_t *ports_json(const aval_port *ports)
{
    json_t *all = json_array();
    for (size_t i = 0; ports != NULL && ports[i].name != NULL; i++) {
        const aval_port *p = &ports[i];
        uint64_t allowed = p->types ? p->types : AVAL_FLOATS;
        json_t *types = json_array();
        for (int type = 1; type < AVAL_TYPES; type++) {
            if (allowed & AVAL_TYPE_SET(type)) json_array_append_new(types, json_string(aval_type_name(type)));
        }
        json_t *port = json_pack("{s:s, s:b, s:b, s:o}", "name", p->name, "optional", (p->flags & AVAL_OPTIONAL) != 0, "variadic",
                                 (p->flags & AVAL_VARIADIC) != 0, "types", types);
        if (p->updates) json_object_set_new(port, "updates_input", json_integer(p->updates - 1));
        json_array_append_new(all, port);
    }
    return all;
}

static json_t *attrs_json(const aval_attr *attrs)
{
    static const char *const types[] = { [AVAL_ATTR_INT] = "int",
                                         [AVAL_ATTR_FLOAT] = "float",
                                         [AVAL_ATTR_STRING] = "string",
                                         [AVAL_ATTR_INTS] = "ints",
                                         [AVAL_ATTR_FLOATS] = "floats" };
    json_t *all = json_array();
    for (size_t i = 0; attrs != NULL && attrs[i].name != NULL; i++)
        json_array_append_new(all, json_pack("{s:s, s:s, s:b, s:s?, s:s?}", "name", attrs[i].name, "type", types[attrs[i].type], "required",
                                             attrs[i].required != 0, "default", attrs[i].initial, "doc", attrs[i].doc));
    return all;
}

static json_t *op_json(aval_context *ctx, const aval_op *op)
{
    tally t = { .json = json_array() };
    if (t.json != NULL) aval_op_verdicts(ctx, op, take_verdict, &t);
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:o, s:o, s:o, s:s?, s:s, s:o}", "name", op->name, "domain", domain_of(op), "since",
                     (json_int_t)op->since, "doc", op->doc, "forward", aval_op_forward_kind(op), "gradient", aval_op_gradient_kind(op),
                     "inputs", ports_json(op->inputs), "outputs", ports_json(op->outputs), "attributes", attrs_json(op->attrs),
                     "subgradient", op->subgradient, "plugin", aval_op_plugin(ctx, op), "checked", t.json);
}

static int fail_empty(void)
{
    return cli_fail(CLI_USAGE, "no operators: %s", aval_error()[0] ? aval_error() : "no plugin was loaded");
}

/* Case is no edit: `relu` is Relu. */
static int fail_unknown(aval_context *ctx, const char *name)
{
    size_t best = 0, count = aval_op_count(ctx);
    char hint[128] = "";
    if (count == 0) return fail_empty();
    for (size_t i = 0; i < count; i++) {
        const char *candidate = aval_op_at(ctx, i)->name;
        if (strcasecmp(name, candidate) == 0) {
            snprintf(hint, sizeof hint, " (did you mean '%s'?)", candidate);
            break;
        }
        cli_hint(name, candidate, &best, hint, sizeof hint);
    }
    return cli_fail(CLI_USAGE, "no operator '%s'%s: `aval ops` lists the %zu there are", name, hint, count);
}

const aval_op *cli_op_next(aval_context *ctx, const char *name, size_t *at, char *full, size_t bytes)
{
    for (const aval_op *op; (op = aval_op_at(ctx, *at)) != NULL;) {
        ++*at;
        if (!is_called(op, name)) continue;
        print_name(op, full, bytes);
        return op;
    }
    return NULL;
}

int cli_op_check(aval_context *ctx, const char *name)
{
    char full[256];
    return cli_op_next(ctx, name, &(size_t){ 0 }, full, sizeof full) != NULL ? CLI_OK : fail_unknown(ctx, name);
}

static void print_row(aval_context *ctx, const aval_op *op, const char *name)
{
    tally t = { .json = NULL };
    aval_op_verdicts(ctx, op, take_verdict, &t);
    printf("%-28s %-10s gradient: %-10s ", name, aval_op_forward_kind(op), aval_op_gradient_kind(op));
    print_tally(&t);
    printf("%s\n", op->doc);
}

static int list_all(const cli_options *options, aval_context *ctx)
{
    size_t count = aval_op_count(ctx);
    if (count == 0) return fail_empty();
    json_t *all = options->common.json ? json_array() : NULL;
    for (size_t i = 0; i < count; i++) {
        const aval_op *op = aval_op_at(ctx, i);
        char name[256];
        print_name(op, name, sizeof name);
        if (all != NULL) json_array_append_new(all, op_json(ctx, op));
        else print_row(ctx, op, name);
    }
    return all != NULL ? cli_print_json(all) : CLI_OK;
}

static int list_named(const cli_options *options, aval_context *ctx)
{
    json_t *all = options->common.json ? json_array() : NULL;
    for (size_t n = 0; n < options->n_rest; n++) {
        bool found = false;
        for (size_t i = 0; i < aval_op_count(ctx); i++) {
            const aval_op *op = aval_op_at(ctx, i);
            if (!is_called(op, options->rest[n])) continue;
            found = true;
            if (all != NULL) json_array_append_new(all, op_json(ctx, op));
            else print_op(ctx, op);
        }
        if (!found) {
            json_decref(all);
            return fail_unknown(ctx, options->rest[n]);
        }
    }
    return all != NULL ? cli_print_json(all) : CLI_OK;
}

int cli_ops(int argc, const char **argv)
{
    int markdown = 0, code;
    const struct poptOption own[] = {
        { "markdown", 0, POPT_ARG_NONE, &markdown, 0, "the table of all operators, their types and gradients, as docs/operators.md has it",
          NULL },
        POPT_TABLEEND,
    };
    cli_options options;
    aval_context *ctx = NULL;
    if (!cli_options_parse(&options, cli_command_find("ops"), own, 0, (size_t)-1, argc, argv, &code)) return code;
    int status = cli_context_create(&options, &ctx);
    if (status < 0) code = cli_fail_status(status);
    else if (markdown)
        code = options.n_rest > 0 || options.common.json ? cli_fail(CLI_USAGE, "--markdown is the table of all, and its own form")
                                                         : cli_ops_table(ctx);
    else code = options.n_rest > 0 ? list_named(&options, ctx) : list_all(&options, ctx);
    aval_context_release(ctx);
    cli_options_release(&options);
    return code;
}
