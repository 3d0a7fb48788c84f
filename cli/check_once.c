/* Mistakes that strike case after case, such as a kernel that is not there, are told once: what a run that failed says is kept until the operator's
 * end, with the cases that say the same. */
#include "check.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SHOWN 3 /* cases that are named */

struct check_once {
    char *line, *message; /* "my::Roll, run", and what it says */
    size_t device;
    char **cases; /* "type float, sample [2,5] shift=1", each once */
    size_t n_cases;
    struct check_once *next;
};

bool check_once_takes(const aval_check_result *result)
{
    static const char *const structural[] = { "run", "referee", "shapes" };
    for (size_t i = 0; i < sizeof structural / sizeof *structural; i++) {
        if (strcmp(result->what, structural[i]) == 0) return result->passed == 0;
    }
    return false;
}

/* Behind a number or an element type, which change from case to case. */
static const char *skip_varying(const char *at)
{
    static const char *const types[] = { "float16", "float", "double", "half" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strncmp(at, types[i], strlen(types[i])) == 0) return at + strlen(types[i]);
    }
    while (isdigit((unsigned char)*at)) at++;
    return at;
}

static bool say_the_same(const char *a, const char *b)
{
    for (; *a != 0 && *b != 0; a++, b++) {
        const char *behind_a = skip_varying(a), *behind_b = skip_varying(b);
        if (behind_a != a && behind_b != b) {
            a = behind_a;
            b = behind_b;
        }
        if (*a != *b) return false;
        if (*a == 0) return true;
    }
    return *a == *b;
}

static void add_case(struct check_once *once, const aval_check_result *result)
{
    char text[512];
    snprintf(text, sizeof text, "type %s, sample %s%s%s", result->type, result->sample, result->attrs[0] ? " " : "", result->attrs);
    for (size_t i = 0; i < once->n_cases; i++) {
        if (strcmp(once->cases[i], text) == 0) return;
    }
    char **cases = realloc(once->cases, (once->n_cases + 1) * sizeof *cases), *copy = strdup(text);
    if (cases != NULL) once->cases = cases;
    if (cases != NULL && copy != NULL) once->cases[once->n_cases++] = copy;
    else free(copy);
}

void check_once_take(check_once **all, const aval_check_result *result)
{
    char line[512], message[8192];
    check_once **at = all;
    snprintf(message, sizeof message, "%s%s", result->blame[0] == 'd' ? "this device is wrong: " : "", result->message);
    while (*at != NULL && ((*at)->device != result->device_number || !say_the_same((*at)->message, message))) at = &(*at)->next;
    if (*at == NULL) {
        *at = calloc(1, sizeof **at);
        if (*at == NULL) return;
        snprintf(line, sizeof line, "%s, %s", result->op, result->what);
        (*at)->line = strdup(line);
        (*at)->message = strdup(message);
        (*at)->device = result->device_number;
        if ((*at)->line == NULL || (*at)->message == NULL) {
            check_once_release(at);
            return;
        }
    }
    add_case(*at, result);
}

void check_once_print(check_once **all, bool with_device)
{
    for (const check_once *once = *all; once != NULL; once = once->next) {
        printf("failed: %s, ", once->line);
        if (once->n_cases > 1) printf("in %zu cases: ", once->n_cases);
        for (size_t i = 0; i < once->n_cases && i < MOST_SHOWN; i++) printf("%s%s", i == 0 ? "" : "; ", once->cases[i]);
        if (once->n_cases > MOST_SHOWN) printf("; and %zu more", once->n_cases - MOST_SHOWN);
        if (with_device) printf(", device %zu", once->device);
        printf(": %s\n", once->message);
    }
    fflush(stdout);
    check_once_release(all);
}

void check_once_release(check_once **all)
{
    while (*all != NULL) {
        check_once *once = *all;
        *all = once->next;
        for (size_t i = 0; i < once->n_cases; i++) free(once->cases[i]);
        free(once->cases);
        free(once->line);
        free(once->message);
        free(once);
    }
}
