/* Checks of what a plugin exports, before anything of it is used.  Each refusal names file, op and field, what was expected and
 * what was found.  A rule about one op is one row of `rules`. */
#include "op/registry.h"

#include <inttypes.h>
#include <string.h>

#define MAX_ATTRS 64
#define MAX_OPS 65536 /* beyond this the array was not ended by NULL */
#define MAX_SAMPLES 4096
#define MAX_NAME 64

/* What is being checked, for messages and for parsing. */
typedef struct place {
    aval__arena *arena;
    const aval_plugin *plugin;
    const aval_op *op;
    const char *file;
    size_t n_inputs, n_outputs;
} place;

/* "FILE: op 'NAME': FIELD: expected ..., found ..." */
static int refuse(const place *at, const char *field, const char *format, ...) AVAL__PRINTF(3, 4);

static int refuse(const place *at, const char *field, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    aval__fail_v(AVAL_E_PLUGIN, format, list);
    va_end(list);
    if (!at->op) return aval__fail_in(AVAL_E_PLUGIN, "%s: %s", at->file, field);
    return aval__fail_in(AVAL_E_PLUGIN, "%s: op '%s': %s", at->file, at->op->name ? at->op->name : "?", field);
}

/* Like refuse, with the message of a parser that failed; running out of memory is no fault of the plugin. */
static int refuse_parsed(const place *at, int code, const char *field, size_t i)
{
    if (code == AVAL_E_MEMORY) return code;
    return aval__fail_in(AVAL_E_PLUGIN, "%s: op '%s': %s %zu", at->file, at->op->name, field, i);
}

/* ---- Names --------------------------------------------------------------------------------------------------------------------- */

/* Names go into messages, files and attribute texts; locale-independent, unlike isalpha. */
static bool is_identifier(const char *name, const char *more)
{
    size_t length = 0;
    for (; name[length]; length++) {
        char c = name[length];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool digit = c >= '0' && c <= '9';
        if (length == MAX_NAME || !(letter || (length && (digit || strchr(more, c))))) return false;
    }
    return length > 0;
}

static int check_name(const place *at, const char *field, const char *name)
{
    if (!name) return refuse(at, field, "expected a name, found NULL");
    if (!is_identifier(name, "")) {
        return refuse(at, field, "expected letters, digits and _ (at most %d), found '%.80s'", MAX_NAME, name);
    }
    return AVAL_OK;
}

static int check_identity(const place *at)
{
    const aval_op *op = at->op;
    AVAL__TRY(check_name(at, "name", op->name));
    if (op->domain && *op->domain && !is_identifier(op->domain, ".-")) {
        return refuse(at, "domain", "expected letters, digits, '_', '.' and '-', found '%.80s'", op->domain);
    }
    if (op->since < 1) return refuse(at, "since", "expected a version from 1 on, found %u", (unsigned)op->since);
    if (op->role > AVAL_ROLE_TRANSPOSE) {
        return refuse(at, "role", "expected at most %d, found %u", AVAL_ROLE_TRANSPOSE, (unsigned)op->role);
    }
    if (op->products && !op->forward && !op->backward) {
        return refuse(at, "products", "expected 0 in an op without recorders, found %#x", (unsigned)op->products);
    }
    if (op->blocks && (op->blocks->size < sizeof *op->blocks || !op->blocks->op || !op->blocks->gain || !op->forward))
        return refuse(at, "blocks", "expected an op's name and a function, of an op with recorders; found something else");
    if (!op->doc || !*op->doc) return refuse(at, "doc", "expected a line of text, found %s", op->doc ? "an empty one" : "NULL");
    return AVAL_OK;
}

/* ---- Ports ---------------------------------------------------------------------------------------------------------------------- */

static int check_port(const place *at, const char *field, const aval_port *ports, size_t i, size_t n)
{
    const aval_port *p = &ports[i];
    AVAL__TRY(check_name(at, field, p->name));
    for (size_t j = 0; j < i; j++) {
        if (strcmp(ports[j].name, p->name) == 0) return refuse(at, field, "expected different names, found '%s' twice", p->name);
    }
    if (p->flags & ~(AVAL_OPTIONAL | AVAL_VARIADIC | AVAL_SHAPE_INPUT | AVAL_SHAPE_ONLY | AVAL_LAZY | AVAL_STRIDED | AVAL_HEADED |
                     AVAL_ROW_HEADED | AVAL_READ_ONCE)) {
        return refuse(at, field, "'%s': flags: expected bits 0 to 8, found %#x", p->name, (unsigned)p->flags);
    }
    if (p->reserved || p->more) return refuse(at, field, "'%s': reserved, more: expected 0 and NULL, found something", p->name);
    if (p->flags & AVAL_VARIADIC && i + 1 != n)
        return refuse(at, field, "'%s': expected only the last to be variadic, found %zu after it", p->name, n - 1 - i);
    if (p->types >> AVAL_TYPES)
        return refuse(at, field, "'%s': types: expected bits 1 to %d, found %#" PRIx64, p->name, AVAL_TYPES - 1, p->types);
    if (p->like > at->n_inputs) {
        return refuse(at, field, "'%s': like: expected at most %zu (the number of inputs), found %u", p->name, at->n_inputs,
                      (unsigned)p->like);
    }
    return AVAL_OK;
}

static int check_ports(const place *at, const char *field, const aval_port *ports, size_t n)
{
    if (n > AVAL_MAX_PORTS) return refuse(at, field, "expected at most %d, ended by a NULL name, found more", AVAL_MAX_PORTS);
    for (size_t i = 0; i < n; i++) AVAL__TRY(check_port(at, field, ports, i, n));
    return AVAL_OK;
}

static int check_inputs(const place *at)
{
    AVAL__TRY(check_ports(at, "inputs", at->op->inputs, at->n_inputs));
    for (size_t i = 0; i < at->n_inputs; i++) {
        const aval_port *p = &at->op->inputs[i];
        if (p->updates) return refuse(at, "inputs", "'%s': updates: expected 0 at an input, found %u", p->name, (unsigned)p->updates);
        if (p->like == i + 1) return refuse(at, "inputs", "'%s': like: expected another input, found itself", p->name);
    }
    return AVAL_OK;
}

static int check_outputs(const place *at)
{
    if (!at->n_outputs) return refuse(at, "outputs", "expected at least 1, found %s", at->op->outputs ? "0" : "NULL");
    AVAL__TRY(check_ports(at, "outputs", at->op->outputs, at->n_outputs));
    uint32_t updated = 0;
    for (size_t i = 0; i < at->n_outputs; i++) {
        const aval_port *p = &at->op->outputs[i];
        if (!p->updates) continue;
        if (p->updates > at->n_inputs) {
            return refuse(at, "outputs", "'%s': updates: expected at most %zu (the number of inputs), found %u", p->name, at->n_inputs,
                          (unsigned)p->updates);
        }
        uint32_t bit = 1u << (p->updates - 1);
        if (updated & bit)
            return refuse(at, "outputs", "'%s': expected one output that updates input '%s', found two", p->name,
                          at->op->inputs[p->updates - 1].name);
        updated |= bit;
    }
    return AVAL_OK;
}

/* ---- Attributes and samples ------------------------------------------------------------------------------------------------------ */

static int check_attrs(const place *at)
{
    const aval_attr *attrs = at->op->attrs;
    for (size_t i = 0; attrs && attrs[i].name; i++) {
        if (i == MAX_ATTRS) return refuse(at, "attrs", "expected at most %d, ended by a NULL name, found more", MAX_ATTRS);
        AVAL__TRY(check_name(at, "attrs", attrs[i].name));
        for (size_t j = 0; j < i; j++) {
            if (strcmp(attrs[j].name, attrs[i].name) == 0)
                return refuse(at, "attrs", "expected different names, found '%s' twice", attrs[i].name);
        }
        if (attrs[i].type < AVAL_ATTR_INT || attrs[i].type > AVAL_ATTR_FLOATS) {
            return refuse(at, "attrs", "'%s': type: expected %d to %d, found %u", attrs[i].name, AVAL_ATTR_INT, AVAL_ATTR_FLOATS,
                          (unsigned)attrs[i].type);
        }
        if (attrs[i].more) return refuse(at, "attrs", "'%s': more: expected NULL, found something", attrs[i].name);
        if (!attrs[i].initial) continue;
        aval__attr_value value;
        const char *end;
        int status = aval__attr_parse_value(at->arena, &attrs[i], attrs[i].initial, &end, &value);
        if (status < 0) return refuse_parsed(at, status, "attrs: default of attribute", i);
        if (*end) return refuse(at, "attrs", "'%s': initial: expected one value, found '%s' after it", attrs[i].name, end);
    }
    return AVAL_OK;
}

/* What a sample says of its outputs. */
static int check_more(const place *at, const aval_sample *sample, size_t i)
{
    const aval_sample_more *more = sample->more;
    aval__sample_input *outputs;
    size_t count;
    if (!more) return AVAL_OK;
    if (more->size != sizeof *more)
        return refuse(at, "samples", "sample %zu: more: size: expected %zu, found %zu: use a newer aval, or AVAL_GIVES", i, sizeof *more,
                      more->size);
    if (!more->outputs) return AVAL_OK;
    int status = aval__sample_parse(at->arena, more->outputs, &outputs, &count);
    if (status < 0) return refuse_parsed(at, status, "samples: AVAL_GIVES of sample", i);
    bool variadic = at->op->outputs[at->n_outputs - 1].flags & AVAL_VARIADIC;
    if (count <= at->n_outputs || variadic) return AVAL_OK;
    return refuse(at, "samples", "sample %zu: AVAL_GIVES(\"%s\"): expected at most %zu outputs, found %zu", i, more->outputs, at->n_outputs,
                  count);
}

static int check_sample(const place *at, const aval_sample *sample, size_t i)
{
    aval__sample_input *inputs;
    size_t count;
    int status = aval__sample_parse(at->arena, sample->inputs, &inputs, &count);
    if (status < 0) return refuse_parsed(at, status, "samples: inputs of sample", i);
    size_t least = 0;
    bool variadic = at->n_inputs && at->op->inputs[at->n_inputs - 1].flags & AVAL_VARIADIC;
    for (size_t j = 0; j < at->n_inputs; j++) {
        bool optional = at->op->inputs[j].flags & AVAL_OPTIONAL;
        if (!optional) least = j + 1;
        if (j < count && inputs[j].absent && !optional) {
            return refuse(at, "samples", "sample %zu '%s': expected input '%s', found '-' (absent)", i, sample->inputs,
                          at->op->inputs[j].name);
        }
    }
    if (count < least || (count > at->n_inputs && !variadic)) {
        return refuse(at, "samples", "sample %zu '%s': expected %zu to %zu inputs, found %zu", i, sample->inputs, least, at->n_inputs,
                      count);
    }
    aval__attrs attrs;
    status = aval__attrs_parse(at->arena, at->op->attrs, sample->attrs, &attrs);
    if (status < 0) return refuse_parsed(at, status, "samples: attributes of sample", i);
    AVAL__TRY(check_more(at, sample, i));
    if (sample->size_class > AVAL_LARGE)
        return refuse(at, "samples", "sample %zu: size_class: expected 0 or 1, found %u", i, (unsigned)sample->size_class);
    if (sample->flags & ~(AVAL_DISTINCT | AVAL_NO_GRADIENT_CHECK)) {
        return refuse(at, "samples", "sample %zu: flags: expected bits 0 and 1, found %#x", i, (unsigned)sample->flags);
    }
    bool loosened = sample->atol > 1e-5 || sample->rtol > 1e-4 || sample->grad_atol > 1e-4 || sample->grad_rtol > 1e-3;
    if (!sample->why && (loosened || sample->flags & AVAL_NO_GRADIENT_CHECK)) {
        return refuse(at, "samples", "sample %zu: why: expected the reason for loosened tolerances or a left-out check, found NULL", i);
    }
    return AVAL_OK;
}

static int check_samples(const place *at)
{
    const aval_sample *samples = at->op->samples;
    if (!samples || !samples[0].inputs) return refuse(at, "samples", "expected at least 1, found %s", samples ? "0" : "NULL");
    for (size_t i = 0; samples[i].inputs; i++) {
        if (i == MAX_SAMPLES) return refuse(at, "samples", "expected at most %d, ended by NULL inputs, found more", MAX_SAMPLES);
        AVAL__TRY(check_sample(at, &samples[i], i));
    }
    return AVAL_OK;
}

/* ---- Forward and backward --------------------------------------------------------------------------------------------------------- */

static int check_forms(const place *at)
{
    const aval_op *op = at->op;
    int forward = !!op->expressions + !!op->forward + !!op->body;
    if (forward != 1) return refuse(at, "forward", "expected exactly one of expressions, forward and body, found %d", forward);
    int backward = !!op->derivatives + !!op->backward + !!op->backward_body;
    if (backward > 1) return refuse(at, "backward", "expected at most one of derivatives, backward and backward_body, found %d", backward);
    if (op->forward && !op->reference) return refuse(at, "reference", "expected a function beside forward, found NULL");
    if (!op->infer && !op->expressions && at->n_outputs > at->n_inputs) {
        return refuse(at, "infer", "expected a function, since output %zu has no input %zu to be like, found NULL", at->n_inputs,
                      at->n_inputs);
    }
    return AVAL_OK;
}

static int check_expressions(const place *at)
{
    const aval_op *op = at->op;
    if (!op->expressions) return AVAL_OK;
    if (at->n_inputs && op->inputs[at->n_inputs - 1].flags & AVAL_VARIADIC) {
        return refuse(at, "inputs", "expected none to be variadic in an expression, found '%s'", op->inputs[at->n_inputs - 1].name);
    }
    aval__names names = aval__op_names(op, false);
    for (size_t i = 0; i < at->n_outputs; i++) {
        if (!op->expressions[i]) return refuse(at, "expressions", "expected %zu (one an output), found NULL at %zu", at->n_outputs, i);
        const aval__expr *e;
        int status = aval__expr_parse(at->arena, op->expressions[i], &names, &e);
        if (status < 0) return refuse_parsed(at, status, "expressions: expression of output", i);
    }
    return AVAL_OK;
}

static int check_derivatives(const place *at)
{
    const aval_op *op = at->op;
    if (!op->derivatives && !op->n_derivatives) return AVAL_OK;
    if (!op->derivatives)
        return refuse(at, "derivatives", "expected %zu texts, since n_derivatives is %zu, found NULL", op->n_derivatives,
                      op->n_derivatives);
    if (!op->expressions) return refuse(at, "derivatives", "expected none without expressions, found %zu", op->n_derivatives);
    if (!op->n_derivatives)
        return refuse(at, "n_derivatives", "expected %zu (one an input) beside .derivatives, found 0: say .n_derivatives = %zu",
                      at->n_inputs, at->n_inputs);
    if (op->n_derivatives != at->n_inputs) {
        return refuse(at, "derivatives", "expected %zu (one an input), found %zu", at->n_inputs, op->n_derivatives);
    }
    aval__names names = aval__op_names(op, true);
    for (size_t i = 0; i < op->n_derivatives; i++) {
        const aval__expr *e;
        int status = op->derivatives[i] ? aval__expr_parse(at->arena, op->derivatives[i], &names, &e) : AVAL_OK;
        if (status < 0) return refuse_parsed(at, status, "derivatives: derivative by input", i);
    }
    return AVAL_OK;
}

/* Bits for ports that are not there. */
static int check_bits(const place *at, const char *field, uint64_t bits, size_t n, const char *of)
{
    if (n < 64 && bits >> n) return refuse(at, field, "expected bits for %zu %s, found %#" PRIx64, n, of, bits);
    return AVAL_OK;
}

static int check_masks(const place *at)
{
    const aval_op *op = at->op;
    AVAL__TRY(check_bits(at, "keeps", op->keeps & UINT32_MAX, at->n_inputs, "inputs"));
    AVAL__TRY(check_bits(at, "keeps", op->keeps >> 32, at->n_outputs, "outputs"));
    AVAL__TRY(check_bits(at, "accumulates", op->accumulates, at->n_inputs, "inputs"));
    AVAL__TRY(check_bits(at, "zero_gradient", op->zero_gradient, at->n_inputs, "inputs"));
    if (op->accumulates && !op->backward)
        return refuse(at, "accumulates", "expected 0 without backward, found %#x", (unsigned)op->accumulates);
    return AVAL_OK;
}

static int check_kernels(const place *at)
{
    if (!at->op->kernels) return AVAL_OK;
    const aval_kernel_source *s = at->plugin->sources;
    for (; s && s->name; s++) {
        if (strcmp(s->name, at->op->kernels) == 0) return AVAL_OK;
    }
    return refuse(at, "kernels", "expected the name of one of the plugin's sources, found '%.80s'", at->op->kernels);
}

static int (*const rules[])(const place *at) = {
    check_identity,    check_inputs,      check_outputs, check_attrs,   check_forms,
    check_expressions, check_derivatives, check_masks,   check_kernels, check_samples,
};

/* ---- For the registry ------------------------------------------------------------------------------------------------------------- */

int aval__op_check(aval__arena *arena, const aval_plugin *plugin, const aval_op *op, const char *file)
{
    place at = { .arena = arena, .plugin = plugin, .op = op, .file = file };
    at.n_inputs = aval__ports_count(op->inputs);
    at.n_outputs = aval__ports_count(op->outputs);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) AVAL__TRY(rules[i](&at));
    return AVAL_OK;
}

static int check_sources(const place *at)
{
    const aval_kernel_source *sources = at->plugin->sources;
    for (size_t i = 0; sources && sources[i].name; i++) {
        if (!sources[i].text) return refuse(at, "sources", "'%.80s': text: expected OpenCL C, found NULL", sources[i].name);
    }
    return AVAL_OK;
}

int aval__plugin_check_abi(const aval_plugin *plugin, const char *file)
{
    place at = { .plugin = plugin, .file = file };
    if (plugin->abi == AVAL_PLUGIN_ABI) return AVAL_OK;
    return refuse(&at, "abi", "expected %d, found %u: %s", AVAL_PLUGIN_ABI, (unsigned)plugin->abi,
                  plugin->abi == 0 ? "it was built before the ABI was settled; build it again with the plugin.h of this aval"
                                   : "build it with the plugin.h of this aval, or use a newer aval");
}

int aval__plugin_check(const aval_plugin *plugin, const char *file)
{
    place at = { .plugin = plugin, .file = file };
    if (plugin->reserved) return refuse(&at, "reserved", "expected 0, found %#x", (unsigned)plugin->reserved);
    if (!plugin->name || !*plugin->name) return refuse(&at, "name", "expected a text, found %s", plugin->name ? "an empty one" : "NULL");
    if (!plugin->version) return refuse(&at, "version", "expected a text, found NULL");
    if (!plugin->ops) return refuse(&at, "ops", "expected an array that ends with NULL, found NULL");
    AVAL__TRY(check_sources(&at));
    for (size_t i = 0; plugin->ops[i]; i++)
        if (i == MAX_OPS) return refuse(&at, "ops", "expected at most %d, ended by NULL, found more", MAX_OPS);
    return AVAL_OK;
}
