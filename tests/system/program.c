/* Running the program `aval` and looking at what came of it. */
#include "program.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

char program_folder[64];

void program_begin(void)
{
    /* the platform that is always there, unless the environment names others */
    setenv("OCL_ICD_VENDORS", "/etc/OpenCL/vendors/pocl.icd", 0);
    snprintf(program_folder, sizeof program_folder, "/tmp/aval-test-program-XXXXXX");
    cr_assert_not_null(mkdtemp(program_folder));
    cr_assert_eq(chdir(program_folder), 0);
}

void program_end(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", program_folder);
    cr_assert_eq(system(command), 0);
}

static void slurp(const char *name, char *text, size_t bytes)
{
    FILE *f = fopen(name, "r");
    cr_assert_not_null(f);
    text[fread(text, 1, bytes - 1, f)] = 0;
    fclose(f);
    unlink(name);
}

const outcome *program_run(const char *arguments)
{
    static outcome o;
    char command[4096];
    snprintf(command, sizeof command, "'%s' >stdout.txt 2>stderr.txt %s", AVAL_PROGRAM, arguments);
    int status = system(command);
    o.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    slurp("stdout.txt", o.out, sizeof o.out);
    slurp("stderr.txt", o.err, sizeof o.err);
    return &o;
}

void program_expect_refused(const char *arguments, int exit_code, const char *part)
{
    const outcome *o = program_run(arguments);
    cr_expect_eq(o->exit_code, exit_code, "aval %s: exit code %d, expected %d; %s", arguments, o->exit_code, exit_code, o->err);
    cr_expect_str_empty(o->out, "aval %s printed %s", arguments, o->out);
    cr_expect_eq(strncmp(o->err, "aval: ", 6), 0, "aval %s: %s", arguments, o->err);
    const char *newline = strchr(o->err, '\n');
    cr_expect(newline != NULL && newline[1] == 0, "aval %s: one line was expected: %s", arguments, o->err);
    cr_expect_not_null(strstr(o->err, part), "aval %s: '%s' is not in: %s", arguments, part, o->err);
}

const outcome *program_expect_ok(const char *arguments)
{
    const outcome *o = program_run(arguments);
    cr_assert_eq(o->exit_code, 0, "aval %s: exit code %d; %s", arguments, o->exit_code, o->err);
    return o;
}

const char *program_last_line(const outcome *o)
{
    static char line[1024];
    size_t end = strlen(o->out);
    while (end > 0 && o->out[end - 1] == '\n') end--;
    size_t start = end;
    while (start > 0 && o->out[start - 1] != '\n') start--;
    snprintf(line, sizeof line, "%.*s", (int)(end - start), o->out + start);
    return line;
}

void program_write(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(name, "wb");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(bytes, 1, n, f), n);
    cr_assert_eq(fclose(f), 0);
}
