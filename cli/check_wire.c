/* What goes through the pipes between `aval check` and the processes that run its cases: one line of JSON a case, one line its results.
 * Results are the library's bytes in hexadecimal. */
#include "check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *check_case_to_json(const aval_check_case *c)
{
    char seed[32];
    snprintf(seed, sizeof seed, "%" PRIu64, c->seed); /* JSON's integers end at 2^63 */
    return json_pack("{s:s, s:s, s:s*, s:f, s:f, s:i, s:i, s:i, s:s, s:b, s:i, s:b, s:s*}", "op", c->op, "inputs", c->sample->inputs,
                     "attrs", c->sample->attrs, "low", c->sample->low, "high", c->sample->high, "flags", (int)c->sample->flags,
                     "size_class", (int)c->sample->size_class, "type", c->type, "seed", seed, "forward_only", c->forward_only, "repeats",
                     c->repeats, "sources", c->sources, "contents", c->contents);
}

bool check_case_from_json(json_t *line, aval_check_case *c, aval_sample *sample)
{
    int flags, size_class;
    const char *seed;
    *sample = (aval_sample){ .attrs = NULL };
    *c = (aval_check_case){ .size = sizeof *c, .sample = sample };
    if (json_unpack(line, "{s:s, s:s, s?s, s:F, s:F, s:i, s:i, s:i, s:s, s:b, s:i, s:b, s?s}", "op", &c->op, "inputs", &sample->inputs,
                    "attrs", &sample->attrs, "low", &sample->low, "high", &sample->high, "flags", &flags, "size_class", &size_class, "type",
                    &c->type, "seed", &seed, "forward_only", &c->forward_only, "repeats", &c->repeats, "sources", &c->sources, "contents",
                    &c->contents) != 0)
        return false;
    sample->flags = (uint32_t)flags;
    sample->size_class = (uint32_t)size_class;
    c->seed = strtoull(seed, NULL, 10);
    return true;
}

json_t *check_bytes_to_json(const void *data, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = data;
    char *text = malloc(2 * n + 1);
    if (text == NULL) return NULL;
    for (size_t i = 0; i < n; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    json_t *json = json_stringn_nocheck(text, 2 * n);
    free(text);
    return json;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void *check_bytes_from_json(const json_t *json, size_t *n)
{
    const char *text = json_string_value(json);
    size_t length = json_string_length(json);
    unsigned char *bytes = text != NULL && length % 2 == 0 ? malloc(length / 2 + 1) : NULL;
    *n = length / 2;
    for (size_t i = 0; bytes != NULL && i < length / 2; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            free(bytes);
            return NULL;
        }
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    return bytes;
}

json_t *check_results_to_json(int status, const char *message, const void *results, size_t bytes)
{
    if (status < 0) return json_pack("{s:i, s:s}", "status", status, "message", message);
    return json_pack("{s:i, s:o}", "status", status, "results", check_bytes_to_json(results, bytes));
}

bool check_results_from_json(json_t *line, int *status, const char **message, void **results, size_t *bytes)
{
    *message = "";
    *results = NULL;
    if (json_unpack(line, "{s:i, s?s}", "status", status, "message", message) != 0) return false;
    if (*status < 0) return true;
    *results = check_bytes_from_json(json_object_get(line, "results"), bytes);
    return *results != NULL;
}
