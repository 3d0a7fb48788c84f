/* The table of operators in docs/operators.md: where each comes from, what it takes, and whence its gradient.  A test holds the file. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static const struct type_set {
    uint64_t types;
    const char *words;
} sets[] = {
    { AVAL_FLOATS, "floats" },
    { AVAL_INTS, "integers" },
    { AVAL_SIGNED, "signed integers" },
    { AVAL_UNSIGNED, "unsigned integers" },
    { AVAL_NUMBERS, "numbers" },
    { AVAL_ANY, "numbers and bool" },
    { AVAL_STORED, "all" },
    { AVAL_REALS, "floats and small floats" },
    { AVAL_SMALL_FLOATS, "small floats" },
};

static void print_types(uint64_t types)
{
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (sets[i].types == types) {
            printf("%s", sets[i].words);
            return;
        }
    const char *comma = "";
    for (int type = 1; type < AVAL_TYPES; type++) {
        if (!(types & AVAL_TYPE_SET(type))) continue;
        printf("%s%s", comma, aval_type_name(type));
        comma = " ";
    }
}

static uint64_t types_of(const aval_port *port)
{
    return port->types ? port->types : AVAL_FLOATS;
}

/* "X, W: floats; axes: int64": inputs of equal types together. */
static void print_inputs(const aval_op *op)
{
    const char *semicolon = "";
    for (const aval_port *p = op->inputs; p != NULL && p->name != NULL; p++) {
        const aval_port *first = op->inputs;
        while (types_of(first) != types_of(p)) first++;
        if (first != p) continue; /* told with the first of its types */
        printf("%s%s", semicolon, p->name);
        for (const aval_port *same = p + 1; same->name != NULL; same++)
            if (types_of(same) == types_of(p)) printf(", %s", same->name);
        printf(": ");
        print_types(types_of(p));
        semicolon = "; ";
    }
    if (semicolon[0] == 0) printf("(no inputs)");
}

static bool has_derivative(const aval_op *op, size_t i)
{
    return (types_of(&op->inputs[i]) & AVAL_FLOATS) != 0 && !(op->zero_gradient >> i & 1u);
}

static bool takes_floats(const aval_op *op)
{
    for (const aval_port *p = op->inputs; p != NULL && p->name != NULL; p++)
        if (types_of(p) & AVAL_FLOATS) return true;
    return false;
}

/* By which inputs there is one; or why there is none. */
static void print_gradient(const aval_op *op)
{
    const char *kind = aval_op_gradient_kind(op), *comma = "";
    if (strcmp(kind, "zero") == 0)
        printf("0: %s", op->no_gradient != NULL ? op->no_gradient : takes_floats(op) ? "constant between its steps" : "no input is real");
    else if (strcmp(kind, "none") == 0) printf("none: %s", op->no_gradient != NULL ? op->no_gradient : "MISSING");
    else {
        printf("%s, by ", kind);
        for (size_t i = 0; op->inputs[i].name != NULL; i++) {
            if (!has_derivative(op, i)) continue;
            printf("%s%s", comma, op->inputs[i].name);
            comma = ", ";
        }
    }
}

static void print_plugin(const char *file)
{
    const char *slash = strrchr(file, '/'), *name = slash != NULL ? slash + 1 : file, *dot = strrchr(name, '.');
    printf("%.*s", dot != NULL ? (int)(dot - name) : (int)strlen(name), name);
}

int cli_ops_table(aval_context *ctx)
{
    size_t count = aval_op_count(ctx);
    if (count == 0) return cli_fail(CLI_USAGE, "no operators: %s", aval_error()[0] ? aval_error() : "no plugin was loaded");
    printf("# Operators\n\n"
           "Written by `aval ops --markdown`, and held by a test. Of each operator the newest version; `aval ops NAME` says all of one. A "
           "gradient is an *expression* (derived\n"
           "from the operator's own, and differentiable again), *kernels* (of the operator), or a *body* (of other operators); by the "
           "inputs that are named.\n\n"
           "| operator | version | plugin | forward | inputs | gradient |\n| --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < count; i++) {
        const aval_op *op = aval_op_at(ctx, i);
        const char *domain = op->domain != NULL ? op->domain : "";
        printf("| %s%s%s | %u | ", domain, domain[0] != 0 ? "::" : "", op->name, (unsigned)op->since);
        print_plugin(aval_op_plugin(ctx, op));
        printf(" | %s | ", aval_op_forward_kind(op));
        print_inputs(op);
        printf(" | ");
        print_gradient(op);
        printf(" |\n");
    }
    return CLI_OK;
}
