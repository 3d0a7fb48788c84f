/* Running the program in a folder of the test's own. */
#include "command.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

void command_begin(void)
{
    setenv("OCL_ICD_VENDORS", "/etc/OpenCL/vendors/pocl.icd", 1);
    snprintf(folder, sizeof folder, "/tmp/aval-test-check-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

void command_end(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

char *command_read(const char *file)
{
    FILE *in = fopen(file, "r");
    cr_assert_not_null(in, "%s is not there", file);
    size_t room = (size_t)16 << 20;
    char *text = malloc(room);
    cr_assert_not_null(text);
    text[fread(text, 1, room - 1, in)] = 0;
    fclose(in);
    return text;
}

const command_outcome *command_run(const char *arguments)
{
    static command_outcome o;
    char command[4096];
    snprintf(command, sizeof command, "'%s' %s >stdout.txt 2>stderr.txt", AVAL_PROGRAM, arguments);
    int status = system(command);
    free(o.out);
    free(o.err);
    o = (command_outcome){ WIFEXITED(status) ? WEXITSTATUS(status) : -1, command_read("stdout.txt"), command_read("stderr.txt") };
    return &o;
}

const char *command_first_entry(const char *of)
{
    static char path[512];
    path[0] = 0;
    DIR *entries = opendir(of);
    for (struct dirent *e; entries != NULL && path[0] == 0 && (e = readdir(entries)) != NULL;) {
        if (e->d_name[0] != '.') snprintf(path, sizeof path, "%.200s/%.200s", of, e->d_name);
    }
    if (entries != NULL) closedir(entries);
    return path;
}
