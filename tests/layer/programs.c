/* Faults of compilers and of drivers' caches, on the lying device:
 *
 *     AVAL_LAYER_MISCOMPILE=A=>B   it compiles every text A in a program's source as B: it is wrong in the same way each time
 *     AVAL_LAYER_LIE=binary[:N]    every N-th [1st] program is the one that was asked for before it, as from a cache that mixes them up */
#define CL_TARGET_OPENCL_VERSION 300
#include "parts.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct _cl_icd_dispatch before;

/* ---- Compilers ------------------------------------------------------------------------------------------------------------------- */

static const char *compiled_from, *compiled_to; /* NULL: the truth */
static size_t from_length;

/* The source with every A replaced by B; for free.  NULL: no memory. */
static char *miscompile(const char *source)
{
    size_t length = strlen(source), n = 0;
    for (const char *at = source; (at = strstr(at, compiled_from)) != NULL; at += from_length) n++;
    char *out = malloc(length + n * strlen(compiled_to) + 1), *to = out;
    for (const char *found; out != NULL && (found = strstr(source, compiled_from)) != NULL; source = found + from_length)
        to += sprintf(to, "%.*s%s", (int)(found - source), source, compiled_to);
    if (out != NULL) strcpy(to, source);
    return out;
}

static void read_miscompile(const char *what)
{
    static char text[256];
    if (what == NULL) return;
    snprintf(text, sizeof text, "%s", what);
    char *arrow = strstr(text, "=>");
    if (arrow == NULL || arrow == text) {
        fprintf(stderr, "layer: AVAL_LAYER_MISCOMPILE is '%s': expected A=>B\n", what);
        return;
    }
    *arrow = 0;
    compiled_from = text;
    compiled_to = arrow + 2;
    from_length = strlen(compiled_from);
}

/* ---- Caches ---------------------------------------------------------------------------------------------------------------------- */

static unsigned long every_binary; /* 0: the truth */
static unsigned long programs;
static char *last_source;

/* Which source the cache finds; for free. */
static char *find_program(const char *source)
{
    bool due = __atomic_add_fetch(&programs, 1, __ATOMIC_RELAXED) % every_binary == 0;
    char *found = strdup(due && last_source != NULL ? last_source : source);
    free(last_source);
    last_source = strdup(source);
    return found;
}

/* ---- Programs ----------------------------------------------------------------------------------------------------------------------- */

bool aval_programs_lie(cl_context context)
{
    cl_device_id device = aval_contexts_device(context);
    return device != NULL && device == aval_lie_device() && (compiled_from != NULL || every_binary > 0);
}

static cl_program CL_API_CALL create_program(cl_context context, cl_uint n, const char **texts, const size_t *lengths, cl_int *code)
{
    bool lies = n == 1 && lengths == NULL && aval_programs_lie(context);
    char *wrong = !lies ? NULL : compiled_from != NULL ? miscompile(texts[0]) : find_program(texts[0]);
    if (wrong == NULL) return before.clCreateProgramWithSource(context, n, texts, lengths, code);
    cl_program program = before.clCreateProgramWithSource(context, 1, (const char *[]){ wrong }, NULL, code);
    free(wrong);
    return program;
}

void aval_programs_install(struct _cl_icd_dispatch *table, unsigned long every)
{
    before = *table;
    every_binary = every;
    read_miscompile(getenv("AVAL_LAYER_MISCOMPILE"));
    table->clCreateProgramWithSource = create_program;
}
