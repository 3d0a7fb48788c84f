/* The results of a check as one page of HTML that needs nothing else: share/report/check.html with the data put in.
 *
 * A run may have a hundred thousand results, so what passed is summed up by operator, device, type and comparison; what did not pass is kept
 * whole, but for equal problems of other samples beyond a few. */
#include "check.h"

#include "check_html.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PLACE "@DATA@"
#define MOST_PROBLEMS 12 /* of a cell; more are counted with the last one of their comparison */

/* ---- Foreign texts -------------------------------------------------------------------------------------------------------------- */

/* Drivers may give bytes that are no UTF-8; those become '?'. */
static json_t *text_json(const char *text)
{
    json_t *json = json_string(text);
    if (json != NULL) return json;
    char *plain = strdup(text);
    for (char *c = plain; c != NULL && *c != 0; c++) {
        if ((unsigned char)*c >= 128) *c = '?';
    }
    json = json_string(plain == NULL ? "?" : plain);
    free(plain);
    return json;
}

/* No text may end the script element that holds the data, or start a comment in it. */
static int put_escaped(const char *text, size_t n, void *user)
{
    FILE *out = user;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '<' || text[i] == '>' || text[i] == '&') fprintf(out, "\\u%04x", text[i]);
        else fputc(text[i], out);
    }
    return ferror(out) ? -1 : 0;
}

/* ---- What is shown of the devices ---------------------------------------------------------------------------------------------------- */

static json_t *device_json(aval_context *ctx, size_t number)
{
    const aval_device_info *info = aval_device_info_at(ctx, number);
    char name[512], about[256];
    snprintf(name, sizeof name, "%s/%s", info->platform, info->name);
    snprintf(about, sizeof about, "%u compute unit%s, %.1f GB, %u-bit addresses, %s, %s", (unsigned)info->compute_units,
             info->compute_units == 1 ? "" : "s", (double)info->memory_bytes / 1e9, (unsigned)info->address_bits,
             info->fp64 ? "doubles" : "no doubles", info->fp16 ? "halves" : "halves in storage only");
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:s}", "number", (json_int_t)number, "name", text_json(name), "short",
                     text_json(info->name), "driver", text_json(info->driver), "version", text_json(info->version), "about", about);
}

/* ---- Results by operator and device ---------------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *result, const char *key)
{
    const char *text = json_string_value(json_object_get(result, key));
    return text == NULL ? "" : text;
}

/* The member of that name, made where it is not there; borrowed. */
static json_t *member(json_t *object, const char *name, json_t *(*make)(void))
{
    json_t *found = json_object_get(object, name);
    if (found != NULL) return found;
    found = make();
    return json_object_set_new(object, name, found) == 0 ? found : NULL;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* [type, comparison, how many, largest error, largest ULP] */
static void add_passed(json_t *passed, const json_t *result)
{
    double error = json_number_value(json_object_get(result, "error")), ulps = json_number_value(json_object_get(result, "ulps"));
    size_t i;
    json_t *row;
    json_array_foreach(passed, i, row)
    {
        if (strcmp(json_string_value(json_array_get(row, 0)), text_of(result, "type")) != 0) continue;
        if (strcmp(json_string_value(json_array_get(row, 1)), text_of(result, "what")) != 0) continue;
        json_array_set_new(row, 2, json_integer(json_integer_value(json_array_get(row, 2)) + 1));
        json_array_set_new(row, 3, json_real(larger(error, json_number_value(json_array_get(row, 3)))));
        json_array_set_new(row, 4, json_real(larger(ulps, json_number_value(json_array_get(row, 4)))));
        return;
    }
    json_array_append_new(passed, json_pack("[s, s, i, f, f]", text_of(result, "type"), text_of(result, "what"), 1, error, ulps));
}

static void add_problem(json_t *problems, const json_t *result)
{
    static const char *const keys[] = { "what", "type",  "sample", "attributes", "result", "error",
                                        "ulps", "blame", "fate",   "message",    "likely", "detail" };
    size_t count = json_array_size(problems);
    for (size_t i = count; count >= MOST_PROBLEMS && i-- > 0;) {
        json_t *other = json_array_get(problems, i);
        if (strcmp(text_of(other, "what"), text_of(result, "what")) != 0 ||
            strcmp(text_of(other, "result"), text_of(result, "result")) != 0)
            continue;
        json_object_set_new(other, "count", json_integer(json_integer_value(json_object_get(other, "count")) + 1));
        return;
    }
    json_t *problem = json_pack("{s:i}", "count", 1);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *value = json_object_get(result, keys[i]);
        if (value != NULL && text_of(result, keys[i])[0] == 0 && json_is_string(value)) continue;
        if (value != NULL) json_object_set(problem, keys[i], value);
    }
    json_array_append_new(problems, problem);
}

static void add_result(json_t *ops, json_t *index, const json_t *result, const char *again)
{
    char number[32], command[2048];
    const char *name = text_of(result, "op");
    json_t *op = json_object_get(index, name);
    if (op == NULL) {
        snprintf(command, sizeof command, "%s %s", again, name);
        op = json_pack("{s:s, s:s, s:{}}", "name", name, "again", command, "cells");
        json_array_append(ops, op);
        json_object_set_new(index, name, op);
    }
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(json_object_get(result, "device_number")));
    json_t *cell = member(json_object_get(op, "cells"), number, json_object);
    if (strcmp(text_of(result, "result"), "passed") == 0) add_passed(member(cell, "passed", json_array), result);
    else add_problem(member(cell, "problems", json_array), result);
}

/* A cell has both lists, so that readers need not ask. */
static void complete_cells(json_t *ops)
{
    size_t i;
    const char *number;
    json_t *op, *cell;
    json_array_foreach(ops, i, op)
    {
        json_object_foreach(json_object_get(op, "cells"), number, cell)
        {
            member(cell, "passed", json_array);
            member(cell, "problems", json_array);
        }
    }
}

static json_t *data_json(const check_page *page, const json_t *results)
{
    json_t *ops = json_array(), *index = json_object(), *devices = json_array(), *result;
    char when[64] = "";
    const time_t now = time(NULL);
    struct tm at;
    size_t i;
    json_array_foreach(results, i, result) add_result(ops, index, result, page->again);
    json_decref(index);
    complete_cells(ops);
    for (size_t d = 0; d < page->n_devices; d++) json_array_append_new(devices, device_json(page->ctx, page->devices[d]));
    if (localtime_r(&now, &at) != NULL) strftime(when, sizeof when, "%Y-%m-%d %H:%M %Z", &at);
    return json_pack("{s:o, s:s, s:s, s:o, s:o}", "command", text_json(page->command), "version", aval_version(), "when", when, "devices",
                     devices, "ops", ops);
}

int check_html_write(const char *file, const check_page *page, const json_t *results)
{
    json_t *data = data_json(page, results);
    const char *place = strstr(check_html, PLACE);
    if (data == NULL || place == NULL) {
        json_decref(data);
        return cli_fail(CLI_DEVICE, "no memory for the page '%s'", file);
    }
    FILE *out = fopen(file, "w");
    if (out == NULL) {
        json_decref(data);
        return cli_fail(CLI_USAGE, "'%s' cannot be written: %s", file, strerror(errno));
    }
    fwrite(check_html, 1, (size_t)(place - check_html), out);
    bool failed = json_dump_callback(data, put_escaped, out, JSON_COMPACT) != 0;
    fputs(place + strlen(PLACE), out);
    failed = failed || ferror(out) != 0;
    if (fclose(out) != 0) failed = true;
    json_decref(data);
    return failed ? cli_fail(CLI_DEVICE, "'%s' cannot be written: %s", file, strerror(errno)) : CLI_OK;
}
