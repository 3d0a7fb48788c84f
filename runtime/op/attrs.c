/* Attribute texts: `axis=1 alpha=0.5 pads=[1,1,1,1] mode='same'`.  In a text a backslash stands before ' and \. */
#include "op/registry.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

static const char *const kind_names[] = {
    [AVAL_ATTR_INT] = "an integer, e.g. 1",    [AVAL_ATTR_FLOAT] = "a number, e.g. 0.5",     [AVAL_ATTR_STRING] = "a text, e.g. 'same'",
    [AVAL_ATTR_INTS] = "integers, e.g. [1,2]", [AVAL_ATTR_FLOATS] = "numbers, e.g. [0.5,1]",
};

/* Is this a place where a value may end? */
static bool ends_value(const char *at)
{
    return !*at || isspace((unsigned char)*at);
}

static const char *skip_space(const char *at)
{
    while (isspace((unsigned char)*at)) at++;
    return at;
}

static int fail_value(const aval_attr *attr, const char *text)
{
    size_t length = 0;
    while (!ends_value(text + length) && length < 60) length++;
    return aval__fail(AVAL_E_ARGUMENT, "attribute %s: expected %s, found '%.*s'", attr->name, kind_names[attr->type], (int)length, text);
}

/* ---- Values ---------------------------------------------------------------------------------------------------------------------- */

static int parse_string(aval__arena *arena, const aval_attr *attr, const char *text, const char **end, aval__attr_value *out)
{
    if (*text != '\'') return fail_value(attr, text);
    char *copy = aval__arena_alloc(arena, strlen(text));
    if (!copy) return AVAL_E_MEMORY;
    size_t length = 0;
    const char *at = text + 1;
    for (; *at && *at != '\''; at++) {
        if (*at == '\\' && at[1]) at++;
        copy[length++] = *at;
    }
    if (*at != '\'') return aval__fail(AVAL_E_ARGUMENT, "attribute %s: expected a closing ' after %s", attr->name, text);
    copy[length] = 0;
    out->text = copy;
    *end = at + 1;
    return AVAL_OK;
}

/* Numbers in brackets, of whichever of the two kinds; the array has room for as many as there are commas, and one. */
static int parse_list(aval__arena *arena, const aval_attr *attr, const char *text, const char **end, aval__attr_value *out)
{
    if (*text != '[') return fail_value(attr, text);
    size_t room = 1, count = 0;
    for (const char *c = text; *c && *c != ']'; c++) room += *c == ',';
    bool whole = attr->type == AVAL_ATTR_INTS;
    int64_t *integers = whole ? aval__arena_alloc(arena, room * sizeof *integers) : NULL;
    double *reals = whole ? NULL : aval__arena_alloc(arena, room * sizeof *reals);
    if (!integers && !reals) return AVAL_E_MEMORY;

    const char *at = skip_space(text + 1);
    while (*at != ']') {
        if (count && *at++ != ',') return fail_value(attr, text);
        bool read = whole ? aval__parse_int(at, &at, &integers[count]) : aval__parse_real(at, &at, &reals[count]);
        if (!read) return fail_value(attr, text);
        count++;
        at = skip_space(at);
    }
    if (whole) {
        out->ints.at = integers;
        out->ints.count = count;
    } else {
        out->reals.at = reals;
        out->reals.count = count;
    }
    *end = at + 1;
    return AVAL_OK;
}

int aval__attr_parse_value(aval__arena *arena, const aval_attr *attr, const char *text, const char **end, aval__attr_value *out)
{
    *out = (aval__attr_value){ .name = attr->name, .type = attr->type };
    *end = text;
    switch (attr->type) {
    case AVAL_ATTR_INT:
        if (!aval__parse_int(text, end, &out->integer)) return fail_value(attr, text);
        break;
    case AVAL_ATTR_FLOAT:
        if (!aval__parse_real(text, end, &out->real)) return fail_value(attr, text);
        break;
    case AVAL_ATTR_STRING: AVAL__TRY(parse_string(arena, attr, text, end, out)); break;
    default: AVAL__TRY(parse_list(arena, attr, text, end, out)); break;
    }
    return ends_value(*end) ? AVAL_OK : fail_value(attr, text);
}

/* ---- Texts ------------------------------------------------------------------------------------------------------------------------ */

static size_t count_declared(const aval_attr *declared)
{
    size_t n = 0;
    while (declared && declared[n].name) n++;
    return n;
}

static int fail_unknown(const aval_attr *declared, const char *name, size_t length)
{
    aval__text known = { 0 };
    for (size_t i = 0; declared && declared[i].name; i++) aval__text_add(&known, "%s%s", i ? ", " : "", declared[i].name);
    int status = known.failed
                     ? AVAL_E_MEMORY
                     : aval__fail(AVAL_E_ARGUMENT, "no attribute '%.*s'; there is %s", (int)length, name, known.length ? known.at : "none");
    aval__text_release(&known);
    return status;
}

/* Reads `name=value` at *at into the row of its declaration. */
static int parse_pair(aval__arena *arena, const aval_attr *declared, const char **at, aval__attr_value *rows)
{
    const char *name = *at;
    size_t length = strcspn(name, "= \t\n");
    if (name[length] != '=' || !length) { return aval__fail(AVAL_E_ARGUMENT, "expected attributes as name=value, found '%.40s'", name); }
    size_t i = 0, n = count_declared(declared);
    while (i < n && (strncmp(declared[i].name, name, length) != 0 || declared[i].name[length])) i++;
    if (i == n) return fail_unknown(declared, name, length);
    if (rows[i].name) return aval__fail(AVAL_E_ARGUMENT, "attribute %s is given twice", declared[i].name);
    return aval__attr_parse_value(arena, &declared[i], name + length + 1, at, &rows[i]);
}

int aval__attrs_parse(aval__arena *arena, const aval_attr *declared, const char *text, aval__attrs *out)
{
    size_t n = count_declared(declared);
    aval__attr_value *rows = aval__arena_alloc(arena, (n + 1) * sizeof *rows);
    if (!rows) return AVAL_E_MEMORY;
    for (const char *at = skip_space(text ? text : ""); *at; at = skip_space(at)) AVAL__TRY(parse_pair(arena, declared, &at, rows));

    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        aval__attr_value row = rows[i];
        if (!row.name && declared[i].initial) {
            const char *end;
            AVAL__TRY(aval__attr_parse_value(arena, &declared[i], declared[i].initial, &end, &row));
            row.from_default = 1;
        }
        if (row.name) rows[count++] = row;
        else if (declared[i].required)
            return aval__fail(AVAL_E_ARGUMENT, "attribute %s must be given: %s", declared[i].name, kind_names[declared[i].type]);
    }
    *out = (aval__attrs){ .at = rows, .count = count };
    return AVAL_OK;
}

/* What an attribute has besides its row, in bytes. */
static const void *content_of(const aval__attr_value *row, size_t *bytes)
{
    switch (row->type) {
    case AVAL_ATTR_STRING: *bytes = strlen(row->text) + 1; return row->text;
    case AVAL_ATTR_INTS: *bytes = row->ints.count * sizeof *row->ints.at; return row->ints.at;
    case AVAL_ATTR_FLOATS: *bytes = row->reals.count * sizeof *row->reals.at; return row->reals.at;
    default: *bytes = 0; return NULL;
    }
}

/* Rounded up to what keeps the next content aligned. */
static size_t room_for(size_t bytes)
{
    return (bytes + sizeof(int64_t) - 1) / sizeof(int64_t) * sizeof(int64_t);
}

size_t aval__attrs_bytes(const aval__attrs *attrs)
{
    size_t total = attrs->count * sizeof *attrs->at, bytes;
    for (size_t i = 0; i < attrs->count; i++) {
        content_of(&attrs->at[i], &bytes);
        total += room_for(bytes);
    }
    return total;
}

void aval__attrs_copy(const aval__attrs *from, void *memory, aval__attrs *out)
{
    aval__attr_value *rows = memory;
    unsigned char *end = (unsigned char *)(rows + from->count);
    for (size_t i = 0; i < from->count; i++) {
        size_t bytes;
        aval__attr_value *row = &rows[i];
        *row = from->at[i]; /* the name is the declaration's, which lives as long as the plugin */
        const void *content = content_of(row, &bytes);
        if (!content) continue;
        if (bytes) memcpy(end, content, bytes);
        if (row->type == AVAL_ATTR_STRING) row->text = (const char *)end;
        else if (row->type == AVAL_ATTR_INTS) row->ints.at = (const int64_t *)(void *)end;
        else row->reals.at = (const double *)(void *)end;
        end += room_for(bytes);
    }
    *out = (aval__attrs){ .at = rows, .count = from->count };
}

const aval__attr_value *aval__attrs_find(const aval__attrs *attrs, const char *name)
{
    for (size_t i = 0; attrs && i < attrs->count; i++) {
        if (strcmp(attrs->at[i].name, name) == 0) return &attrs->at[i];
    }
    return NULL;
}

static void print_value(aval__text *text, const aval__attr_value *a)
{
    switch (a->type) {
    case AVAL_ATTR_INT: aval__text_add(text, "%" PRId64, a->integer); break;
    case AVAL_ATTR_FLOAT: aval__text_real(text, a->real); break;
    case AVAL_ATTR_STRING:
        aval__text_add(text, "'");
        for (const char *c = a->text; *c; c++) aval__text_add(text, *c == '\'' || *c == '\\' ? "\\%c" : "%c", *c);
        aval__text_add(text, "'");
        break;
    case AVAL_ATTR_INTS:
        aval__text_add(text, "[");
        for (size_t i = 0; i < a->ints.count; i++) aval__text_add(text, "%s%" PRId64, i ? "," : "", a->ints.at[i]);
        aval__text_add(text, "]");
        break;
    default:
        aval__text_add(text, "[");
        for (size_t i = 0; i < a->reals.count; i++) {
            if (i) aval__text_add(text, ",");
            aval__text_real(text, a->reals.at[i]);
        }
        aval__text_add(text, "]");
        break;
    }
}

bool aval__attrs_saturate(const aval__attrs *attrs)
{
    const aval__attr_value *saturate = aval__attrs_find(attrs, "saturate");
    return saturate == NULL || saturate->type != AVAL_ATTR_INT || saturate->integer != 0;
}

void aval__attrs_print(aval__text *text, const aval__attrs *attrs, bool with_defaults)
{
    bool first = true;
    for (size_t i = 0; i < attrs->count; i++) {
        if (attrs->at[i].from_default && !with_defaults) continue;
        aval__text_add(text, "%s%s=", first ? "" : " ", attrs->at[i].name);
        print_value(text, &attrs->at[i]);
        first = false;
    }
}
