/* aval new-op: a plugin project outside aval's tree that builds and passes its check as it is.  The files are those of share/new-op, which the tests
 * build; the words NewOp and new_op in them become the operator's name. */
#include "cli.h"

#include "body.c.h"
#include "check.sh.h"
#include "expression.c.h"
#include "kernels.c.h"
#include "kernels.cl.h"
#include "project.cmake.h"
#include "readme.md.h"
#include "workflow.yml.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_NAME 48

/* A file of a project: `kind` NULL: of each. */
static const struct project_file {
    const char *kind, *path;
    const unsigned char *text;
    size_t bytes;
    int executable;
} files[] = {
#define FILE_ROW(kind, path, text, executable) \
    { \
        kind, path, text, sizeof text, executable \
    }
    FILE_ROW("expression", "new_op.c", expression_c, 0),
    FILE_ROW("kernels", "new_op.c", kernels_c, 0),
    FILE_ROW("kernels", "new_op.cl", kernels_cl, 0),
    FILE_ROW("body", "new_op.c", body_c, 0),
    FILE_ROW(NULL, "CMakeLists.txt", project_cmake, 0),
    FILE_ROW(NULL, "README.md", readme_md, 0),
    FILE_ROW(NULL, "check.sh", check_sh, 1),
    FILE_ROW(NULL, ".github/workflows/check.yml", workflow_yml, 0),
};
static const char *const kinds[] = { "expression", "kernels", "body" };

typedef struct project {
    const char *name; /* RunningSum */
    char small[2 * MOST_NAME + 1]; /* running_sum: of files and of what C calls it */
    const char *kind, *folder;
} project;

/* ---- The name ---------------------------------------------------------------------------------------------------------------------- */

static int check_name(const char *name)
{
    bool fits = strlen(name) <= MOST_NAME && (isalpha((unsigned char)name[0]) || name[0] == '_');
    for (const char *c = name; *c != 0; c++) fits = fits && (isalnum((unsigned char)*c) || *c == '_');
    if (fits) return CLI_OK;
    return cli_fail(CLI_USAGE, "'%s' cannot be an operator's name: expected letters, digits and _, at most %d, not beginning with a digit",
                    name, MOST_NAME);
}

/* RunningSum becomes running_sum, RMSNorm rms_norm. */
static void make_small(const char *name, char *small)
{
    for (size_t i = 0; name[i] != 0; i++) {
        bool upper = isupper((unsigned char)name[i]) != 0, before = i > 0 && !isupper((unsigned char)name[i - 1]) && name[i - 1] != '_';
        bool ends_capitals = i > 0 && isupper((unsigned char)name[i - 1]) && islower((unsigned char)name[i + 1]);
        if (upper && (before || ends_capitals)) *small++ = '_';
        *small++ = (char)tolower((unsigned char)name[i]);
    }
    *small = 0;
}

/* Targets that CMake has already. */
static int check_target(const project *p)
{
    static const char *const taken[] = { "all", "check", "clean", "edit_cache", "help", "install", "package", "rebuild_cache", "test" };
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        if (strcmp(p->small, taken[i]) == 0)
            return cli_fail(CLI_USAGE, "'%s' cannot be the name: CMake has a target '%s' of its own; expected another, such as My%s",
                            p->name, p->small, p->name);
    }
    return CLI_OK;
}

static int check_kind(const char *kind)
{
    char hint[64] = "";
    size_t best = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kind, kinds[i]) == 0) return CLI_OK;
        cli_hint(kind, kinds[i], &best, hint, sizeof hint);
    }
    return cli_fail(CLI_USAGE, "--kind %s%s: expected expression, kernels or body", kind, hint);
}

/* ---- Writing ------------------------------------------------------------------------------------------------------------------------- */

/* The text with the operator's name in it. */
static void put_named(FILE *out, const project *p, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        const char *name = bytes - i >= 5 && memcmp(text + i, "NewOp", 5) == 0    ? p->name
                           : bytes - i >= 6 && memcmp(text + i, "new_op", 6) == 0 ? p->small
                                                                                  : NULL;
        if (name == NULL) fputc(text[i++], out);
        else {
            fputs(name, out);
            i += name == p->name ? 5 : 6;
        }
    }
}

/* The folders of the path behind the project's own. */
static bool make_folders(char *path, size_t from)
{
    for (char *slash = strchr(path + from, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        bool made = mkdir(path, 0777) == 0 || errno == EEXIST;
        *slash = '/';
        if (!made) return false;
    }
    return true;
}

static int write_file(const project *p, const struct project_file *file, json_t *written)
{
    char path[4096];
    bool small = strncmp(file->path, "new_op", 6) == 0;
    int length = snprintf(path, sizeof path, "%s/%s%s", p->folder, small ? p->small : "", file->path + (small ? 6 : 0));
    FILE *out = length < (int)sizeof path && make_folders(path, strlen(p->folder) + 1) ? fopen(path, "wx") : NULL;
    if (out != NULL) put_named(out, p, (const char *)file->text, file->bytes);
    bool done = out != NULL && ferror(out) == 0;
    if (out != NULL && fclose(out) != 0) done = false;
    if (done && file->executable) done = chmod(path, 0755) == 0;
    if (!done) return cli_fail(CLI_DEVICE, "'%s' cannot be written: %s", path, strerror(errno));
    json_array_append_new(written, json_string(path));
    return CLI_OK;
}

static int write_project(const project *p, json_t *written)
{
    int code = CLI_OK;
    if (mkdir(p->folder, 0777) != 0)
        return cli_fail(CLI_USAGE, "'%s' cannot be made: %s; expected a folder that is not there yet (--dir)", p->folder, strerror(errno));
    for (size_t i = 0; i < sizeof files / sizeof *files && code == CLI_OK; i++) {
        if (files[i].kind == NULL || strcmp(files[i].kind, p->kind) == 0) code = write_file(p, &files[i], written);
    }
    return code;
}

/* The guide beside the program, where both are installed; "" where it is not. */
static const char *find_guide(char *path, size_t bytes)
{
    ssize_t length = readlink("/proc/self/exe", path, bytes - 1);
    path[length < 0 ? 0 : length] = 0;
    char *slash = strrchr(path, '/');
    if (slash != NULL) *slash = 0;
    slash = strrchr(path, '/');
    if (slash == NULL) return "";
    snprintf(slash, bytes - (size_t)(slash - path), "/share/doc/aval/docs/writing-operators.md");
    return access(path, R_OK) == 0 ? path : "";
}

static void print_made(const project *p)
{
    char path[4096];
    const char *guide = find_guide(path, sizeof path);
    printf("%s: a plugin with the operator my::%s, given as %s.  %s/check.sh builds and checks it.\n", p->folder, p->name, p->kind,
           p->folder);
    if (guide[0] != 0) printf("%s leads through it\n", guide);
}

int cli_new_op(int argc, const char **argv)
{
    char *kind = NULL, *folder = NULL; /* of popt, for free */
    const struct poptOption own[] = {
        { "kind", 0, POPT_ARG_STRING, &kind, 0, "expression, kernels or body [expression]", "NAME" },
        { "dir", 0, POPT_ARG_STRING, &folder, 0, "folder to make [the operator's name in small letters]", "DIR" },
        POPT_TABLEEND,
    };
    cli_options options;
    int code;
    if (!cli_options_parse(&options, cli_command_find("new-op"), own, 1, 1, argc, argv, &code)) return code;
    project p = { .name = options.rest[0], .kind = kind == NULL ? kinds[0] : kind };
    code = check_name(p.name);
    if (code == CLI_OK) make_small(p.name, p.small);
    if (code == CLI_OK) code = check_target(&p);
    if (code == CLI_OK) code = check_kind(p.kind);
    p.folder = folder == NULL ? p.small : folder;
    json_t *written = json_array();
    if (code == CLI_OK) code = write_project(&p, written);
    if (code == CLI_OK && options.common.json)
        code = cli_print_json(json_pack("{s:s, s:s, s:s, s:O}", "op", p.name, "kind", p.kind, "folder", p.folder, "files", written));
    else if (code == CLI_OK && !options.common.quiet) print_made(&p);
    json_decref(written);
    cli_options_release(&options);
    free(kind);
    free(folder);
    return code;
}
