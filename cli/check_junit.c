/* JUnit's XML of the results of a check: a suite a device, a case a comparison; what CI servers show. */
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *text_of(json_t *result, const char *key)
{
    const char *text = json_string_value(json_object_get(result, key));
    return text == NULL ? "" : text;
}

/* Characters that mean something in XML, and control characters, which it may not have at all, but for line ends. */
static void put(FILE *out, const char *text)
{
    static const char *const names[] = { ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;" };
    for (const unsigned char *c = (const unsigned char *)text; *c != 0; c++) {
        if (*c < sizeof names / sizeof *names && names[*c] != NULL) fputs(names[*c], out);
        else fputc(*c < 32 && *c != '\n' ? ' ' : *c, out);
    }
}

static bool has(json_t *result, const char *key, const char *value)
{
    return strcmp(text_of(result, key), value) == 0;
}

/* What CI servers show when a failure is opened. */
static void put_rest(FILE *out, json_t *result)
{
    if (text_of(result, "likely")[0] != 0) {
        fputs("likely: ", out);
        put(out, text_of(result, "likely"));
        fputc('\n', out);
    }
    put(out, text_of(result, "detail"));
    if (text_of(result, "folder")[0] == 0) return;
    fputs("to see it again: aval check --replay ", out);
    put(out, text_of(result, "folder"));
    fputc('\n', out);
}

static void put_case(FILE *out, json_t *result)
{
    fputs("    <testcase classname=\"", out);
    put(out, text_of(result, "op"));
    fputs("\" name=\"", out);
    static const char *const parts[] = { "type", "sample", "attributes", "what" };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (text_of(result, parts[i])[0] == 0) continue;
        if (i > 0) fputc(' ', out);
        put(out, text_of(result, parts[i]));
    }
    if (has(result, "result", "passed")) {
        fputs("\"/>\n", out);
        return;
    }
    bool skipped = has(result, "result", "skipped"), lost = !skipped && text_of(result, "fate")[0] != 0;
    const char *element = skipped ? "skipped" : lost ? "error" : "failure";
    fprintf(out, "\">\n      <%s message=\"", element);
    put(out, text_of(result, "message"));
    fputs("\">", out);
    put_rest(out, result);
    fprintf(out, "</%s>\n    </testcase>\n", element);
}

static void put_suite(FILE *out, json_t *results, json_int_t device)
{
    size_t tests = 0, failures = 0, errors = 0, skipped = 0, i;
    json_t *result;
    const char *name = "";
    json_array_foreach(results, i, result)
    {
        if (json_integer_value(json_object_get(result, "device_number")) != device) continue;
        name = text_of(result, "device");
        tests++;
        if (has(result, "result", "skipped")) skipped++;
        else if (has(result, "result", "failed")) *(text_of(result, "fate")[0] != 0 ? &errors : &failures) += 1;
    }
    fputs("  <testsuite name=\"", out);
    put(out, name);
    /* the number too: equal devices have equal names */
    fprintf(out, ", device %d\" id=\"%d\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\">\n", (int)device, (int)device,
            tests, failures, errors, skipped);
    json_array_foreach(results, i, result)
    {
        if (json_integer_value(json_object_get(result, "device_number")) == device) put_case(out, result);
    }
    fputs("  </testsuite>\n", out);
}

int check_junit_write(const char *file, json_t *results)
{
    json_int_t largest = -1;
    size_t i;
    json_t *result;
    FILE *out = fopen(file, "w");
    if (out == NULL) return cli_fail(CLI_USAGE, "'%s' cannot be written: %s", file, strerror(errno));
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"aval check\">\n", out);
    json_array_foreach(results, i, result)
    {
        json_int_t device = json_integer_value(json_object_get(result, "device_number"));
        if (device > largest) largest = device;
    }
    for (json_int_t device = 0; device <= largest; device++) {
        bool any = false;
        json_array_foreach(results, i, result)
        {
            any = any || json_integer_value(json_object_get(result, "device_number")) == device;
        }
        if (any) put_suite(out, results, device);
    }
    fputs("</testsuites>\n", out);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0) failed = true;
    return failed ? cli_fail(CLI_DEVICE, "'%s' cannot be written: %s", file, strerror(errno)) : CLI_OK;
}
