/* The recipe of a training: its options made whole and checked.  One table of fields drives the defaults, the text in checkpoints,
 * and what may differ when a checkpoint is resumed, so that an option is one row. */
#include "train/train.h"

#include <math.h>
#include <string.h>

typedef enum field_kind { FIELD_TEXT, FIELD_REAL, FIELD_FLAG, FIELD_COUNT } field_kind;

typedef struct field {
    const char *name;
    field_kind kind;
    size_t offset; /* in aval_train_options */
    bool fixed; /* must be as in the checkpoint when resuming */
    const char *text; /* default of texts */
    double number; /* default of the others */
    uint32_t given; /* the bit of aval_train_options.given that makes a 0 one that was asked for */
} field;

#define FIELD(name) #name, .offset = offsetof(aval_train_options, name)
static const field fields[] = {
    { FIELD(net), .kind = FIELD_TEXT, .fixed = true, .text = "mlp" },
    { FIELD(layers), .kind = FIELD_TEXT, .fixed = true }, /* default: the net's */
    { FIELD(activation), .kind = FIELD_TEXT, .fixed = true, .text = "relu" },
    { FIELD(loss), .kind = FIELD_TEXT, .fixed = true, .text = "cross_entropy" },
    { FIELD(optimizer), .kind = FIELD_TEXT, .fixed = true, .text = "sgd" },
    { FIELD(lr), .kind = FIELD_REAL, .given = AVAL_GIVEN_LR }, /* default: the net's */
    { FIELD(momentum), .kind = FIELD_REAL, .number = 0.9, .given = AVAL_GIVEN_MOMENTUM },
    { FIELD(nesterov), .kind = FIELD_FLAG, .given = AVAL_GIVEN_NESTEROV },
    { FIELD(weight_decay), .kind = FIELD_REAL, .given = AVAL_GIVEN_WEIGHT_DECAY },
    { FIELD(dropout), .kind = FIELD_REAL, .given = AVAL_GIVEN_DROPOUT },
    { FIELD(batch), .kind = FIELD_COUNT, .fixed = true, .number = 32 },
    { FIELD(epochs), .kind = FIELD_COUNT, .number = 20 },
    { FIELD(seed), .kind = FIELD_COUNT, .fixed = true, .given = AVAL_GIVEN_SEED },
    { FIELD(model), .kind = FIELD_TEXT }, /* may have been moved */
    { FIELD(cut), .kind = FIELD_TEXT, .fixed = true },
    { FIELD(head), .kind = FIELD_TEXT, .fixed = true },
    { FIELD(freeze), .kind = FIELD_TEXT },
    { FIELD(mean), .kind = FIELD_TEXT, .fixed = true },
    { FIELD(std), .kind = FIELD_TEXT, .fixed = true },
};
#define N_FIELDS (sizeof fields / sizeof fields[0])

static void *member(aval_train_options *options, const field *f)
{
    return (char *)options + f->offset;
}

/* Left to the checkpoint or the default. */
static bool is_open(aval_train_options *options, const field *f)
{
    const void *at = member(options, f);
    if ((options->given & f->given) != 0) return false;
    switch (f->kind) {
    case FIELD_TEXT: return *(const char *const *)at == NULL;
    case FIELD_REAL: return *(const double *)at == 0;
    case FIELD_FLAG: return *(const int *)at == 0;
    case FIELD_COUNT: return *(const uint64_t *)at == 0;
    }
    return true;
}

static void print_field(aval__text *text, aval_train_options *options, const field *f)
{
    const void *at = member(options, f);
    switch (f->kind) {
    case FIELD_TEXT: aval__text_add(text, "%s", *(const char *const *)at ? *(const char *const *)at : ""); break;
    case FIELD_REAL: aval__text_real(text, *(const double *)at); break;
    case FIELD_FLAG: aval__text_add(text, "%d", *(const int *)at); break;
    case FIELD_COUNT: aval__text_add(text, "%llu", (unsigned long long)*(const uint64_t *)at); break;
    }
}

/* Seeds have all 64 bits. */
static bool parse_count(const char *text, uint64_t *count)
{
    *count = 0;
    if (*text == 0) return false;
    for (const char *c = text; *c != 0; c++) {
        uint64_t digit = (uint64_t)(*c - '0');
        if (*c < '0' || *c > '9' || *count > (UINT64_MAX - digit) / 10) return false;
        *count = *count * 10 + digit;
    }
    return true;
}

/* Sets a field from the checkpoint's text of it. */
static int read_field(aval__recipe *recipe, const field *f, const char *text)
{
    void *at = member(&recipe->options, f);
    const char *end = text;
    int64_t integer = 0;
    bool good = true;
    switch (f->kind) {
    case FIELD_TEXT:
        if (*text == 0) return AVAL_OK; /* a net without layers */
        *(const char **)at = aval__arena_text(&recipe->arena, text);
        return *(const char **)at == NULL ? AVAL_E_MEMORY : AVAL_OK;
    case FIELD_REAL: good = aval__parse_real(text, &end, (double *)at) && *end == 0; break;
    case FIELD_FLAG:
        good = aval__parse_int(text, &end, &integer) && *end == 0;
        *(int *)at = integer != 0;
        break;
    case FIELD_COUNT: good = parse_count(text, at); break;
    }
    return good ? AVAL_OK : aval__fail(AVAL_E_FORMAT, "the checkpoint's option %s is '%s': a number was expected", f->name, text);
}

/* What the checkpoint says of a field, "name=value\n" in `saved`; NULL: nothing. */
static int saved_value(const char *saved, const field *f, char **value)
{
    size_t length = strlen(f->name);
    *value = NULL;
    for (const char *line = saved; line != NULL && *line != 0; line = strchr(line, '\n'), line += line != NULL) {
        if (strncmp(line, f->name, length) != 0 || line[length] != '=') continue;
        const char *start = line + length + 1;
        size_t n = strcspn(start, "\n");
        *value = aval__alloc(n + 1);
        if (*value == NULL) return AVAL_E_MEMORY;
        memcpy(*value, start, n);
        return AVAL_OK;
    }
    return AVAL_OK;
}

/* *found: the checkpoint has it. */
static int fill_from_saved(aval__recipe *recipe, const field *f, const char *saved, bool *found)
{
    char *value;
    aval__text given = { 0 };
    AVAL__TRY(saved_value(saved, f, &value));
    int status = AVAL_OK;
    *found = value != NULL;
    if (value == NULL) goto done;
    if (is_open(&recipe->options, f)) {
        status = read_field(recipe, f, value);
    } else if (f->fixed) {
        print_field(&given, &recipe->options, f);
        if (given.failed) status = aval__fail(AVAL_E_MEMORY, "no memory to compare options");
        else if (strcmp(given.at, value) != 0)
            status = aval__fail(AVAL_E_ARGUMENT, "the checkpoint was made with %s %s, so %s %s cannot go on from it: leave the option out",
                                f->name, value, f->name, given.at);
    }
done:
    aval__text_release(&given);
    aval__free(value);
    return status;
}

static void fill_default(aval_train_options *options, const field *f)
{
    void *at = member(options, f);
    switch (f->kind) {
    case FIELD_TEXT: *(const char **)at = f->text; break;
    case FIELD_REAL: *(double *)at = f->number; break;
    case FIELD_FLAG: break; /* off */
    case FIELD_COUNT: *(uint64_t *)at = (uint64_t)f->number; break;
    }
}

static int parse_layers(aval__recipe *recipe)
{
    const char *text = recipe->options.layers, *at = text;
    const int64_t most = 1 << 30;
    recipe->n_layers = 0;
    if (text == NULL) return AVAL_OK;
    if (recipe->net->layers == NULL)
        return aval__fail(AVAL_E_ARGUMENT, "layers '%s': the net %s has no hidden layers; mlp has", text, recipe->net->name);
    for (;;) {
        int64_t width;
        if (recipe->n_layers == AVAL__MOST_LAYERS)
            return aval__fail(AVAL_E_ARGUMENT, "layers '%s': at most %d were expected", text, AVAL__MOST_LAYERS);
        if (!aval__parse_int(at, &at, &width) || width < 1 || width > most || (*at != ',' && *at != 0))
            return aval__fail(AVAL_E_ARGUMENT, "layers '%s': expected widths of 1 to %lld with commas between, as in 512,512", text,
                              (long long)most);
        recipe->layers[recipe->n_layers++] = width;
        if (*at++ == 0) return AVAL_OK;
    }
}

int aval__channel_numbers(const char *what, const char *text, size_t channels, double initial, double *numbers, size_t *count)
{
    const char *at = text;
    *count = 1;
    numbers[0] = initial;
    if (text == NULL) return AVAL_OK;
    for (*count = 0; *count < AVAL__MOST_CHANNELS; at++) {
        if (!aval__parse_real(at, &at, &numbers[*count]) || !isfinite(numbers[*count])) break;
        ++*count;
        if (*at == 0 && (*count == 1 || *count == channels)) return AVAL_OK;
        if (*at != ',') break;
    }
    return aval__fail(AVAL_E_ARGUMENT, "%s '%s': one number, or %zu with commas between, was expected: one a channel", what, text,
                      channels);
}

static int check_numbers(const aval_train_options *o)
{
    if (!(o->lr > 0 && isfinite(o->lr))) return aval__fail(AVAL_E_ARGUMENT, "learning rate %g: a number above 0 was expected", o->lr);
    if (!(o->momentum < 1)) return aval__fail(AVAL_E_ARGUMENT, "momentum %g: expected 0 <= momentum < 1", o->momentum);
    if (!(o->weight_decay >= 0 && isfinite(o->weight_decay)))
        return aval__fail(AVAL_E_ARGUMENT, "weight decay %g: 0 or more was expected", o->weight_decay);
    if (!(o->dropout >= 0 && o->dropout < 1)) return aval__fail(AVAL_E_ARGUMENT, "dropout %g: expected 0 <= dropout < 1", o->dropout);
    if (o->batch > INT32_MAX) return aval__fail(AVAL_E_ARGUMENT, "batch %llu: expected 1 to %d", (unsigned long long)o->batch, INT32_MAX);
    if (o->nesterov && o->momentum <= 0)
        return aval__fail(AVAL_E_ARGUMENT, "Nesterov's momentum needs a momentum above 0, found %g: turn Nesterov's off too", o->momentum);
    return AVAL_OK;
}

const void *aval__choose(const char *what, const char *name, const void *table, size_t row_bytes)
{
    for (const char *at = table; *(const char *const *)at != NULL; at += row_bytes) {
        if (strcmp(*(const char *const *)at, name) == 0) return at;
    }
    aval__text names = { 0 };
    for (const char *at = table; *(const char *const *)at != NULL; at += row_bytes)
        aval__text_add(&names, "%s%s", at == table ? "" : ", ", *(const char *const *)at);
    aval__fail(AVAL_E_ARGUMENT, "unknown %s '%s': there are %s", what, name, names.failed ? "others" : names.at);
    aval__text_release(&names);
    return NULL;
}

/* The net of a model from a file is a row too; it is named by the file. */
static int choose_net(aval_train_options *o)
{
    const char *texts[] = { o->model, o->cut, o->head, o->freeze, o->mean, o->std };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i] != NULL && strchr(texts[i], '\n') != NULL) /* it goes into a line of the checkpoint */
            return aval__fail(AVAL_E_ARGUMENT, "the option '%s' has a line break: a single line was expected", texts[i]);
    bool imported = strcmp(o->net, AVAL__NET_IMPORTED) == 0;
    if (imported != (o->model != NULL))
        return aval__fail(AVAL_E_ARGUMENT,
                          o->model != NULL ? "net %s and model %s: one of them was expected" : "net %s needs a model, found none", o->net,
                          o->model);
    if (!imported && (o->cut != NULL || o->head != NULL || o->freeze != NULL))
        return aval__fail(AVAL_E_ARGUMENT, "cut, head and freeze are for models from files, found the net %s", o->net);
    if (imported && o->dropout > 0)
        return aval__fail(AVAL_E_ARGUMENT, "dropout %g: a model from a file has its own layers; 0 was expected", o->dropout);
    return AVAL_OK;
}

static int choose_rows(aval__recipe *recipe)
{
    aval_train_options *o = &recipe->options;
    AVAL__TRY(choose_net(o));
    if ((recipe->net = aval__choose("net", o->net, aval__nets, sizeof aval__nets[0])) == NULL) return AVAL_E_ARGUMENT;
    recipe->activation = aval__choose("activation", o->activation, aval__activations, sizeof aval__activations[0]);
    if (recipe->activation == NULL) return AVAL_E_ARGUMENT;
    if ((recipe->loss = aval__choose("loss", o->loss, aval__losses, sizeof aval__losses[0])) == NULL) return AVAL_E_ARGUMENT;
    recipe->optimizer = aval__choose("optimizer", o->optimizer, aval__optimizers, sizeof aval__optimizers[0]);
    return recipe->optimizer == NULL ? AVAL_E_ARGUMENT : AVAL_OK;
}

int aval__recipe_make(const aval_train_options *options, const char *saved, aval__recipe *out)
{
    *out = (aval__recipe){ 0 };
    /* a caller built with an older header has fewer members */
    size_t size = options->size < sizeof *options ? options->size : sizeof *options;
    memcpy(&out->options, options, size);
    aval_train_options *o = &out->options;
    int status = AVAL_OK;
    for (size_t i = 0; i < N_FIELDS; i++) {
        if (fields[i].kind == FIELD_TEXT && !is_open(o, &fields[i])) {
            const char **text = member(o, &fields[i]);
            *text = aval__arena_text(&out->arena, *text);
            if (*text == NULL) status = AVAL_E_MEMORY;
        }
        if (status < 0) goto done;
        bool found = false;
        if (saved != NULL) AVAL__TRY_DONE(fill_from_saved(out, &fields[i], saved, &found));
        if (!found && is_open(o, &fields[i])) fill_default(o, &fields[i]);
        if (fields[i].offset == offsetof(aval_train_options, net) && options->net == NULL && options->model != NULL && !found)
            o->net = AVAL__NET_IMPORTED;
    }
    if (o->momentum < 0) o->momentum = 0;
    AVAL__TRY_DONE(choose_rows(out));
    if (o->layers == NULL) o->layers = out->net->layers;
    if (o->lr == 0 && (o->given & AVAL_GIVEN_LR) == 0) o->lr = out->net->lr;
    AVAL__TRY_DONE(parse_layers(out));
    status = check_numbers(o);
done:
    if (status < 0) aval__recipe_release(out);
    return status;
}

void aval__recipe_release(aval__recipe *recipe)
{
    aval__arena_release(&recipe->arena);
}

void aval__recipe_print(aval__text *text, const aval__recipe *recipe)
{
    aval_train_options options = recipe->options;
    for (size_t i = 0; i < N_FIELDS; i++) {
        aval__text_add(text, "%s=", fields[i].name);
        print_field(text, &options, &fields[i]);
        aval__text_add(text, "\n");
    }
}
