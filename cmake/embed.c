/* Turns a file into a C header with one array, at build time.
 *   embed text  kernels/reduce.cl OUT.h [FOLDER]...   `static const char reduce_cl[]`, ending in 0; #include "x.clh" is resolved once a
 *                                                     file: beside the file that includes it, else in the first FOLDER that has it
 *   embed page  report.html OUT.h                     `static const char report_html[]`, ending in 0: the file as it is
 *   embed bytes data/x.gz OUT.h                       `static const unsigned char x_gz[]`
 * Installed too: plugins outside the tree embed their kernels by it, and find common.clh in the installed FOLDER.
 * An array of numbers, since string literals may be no longer than 4,095 characters in portable C. */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_INCLUDES 32

static char included[MOST_INCLUDES][PATH_MAX];
static int n_included;
static char **folders; /* of the command line; ends with NULL */

static void put(FILE *out, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) fprintf(out, "%d,", (unsigned char)bytes[i]);
    if (count) fputc('\n', out);
}

/* Where the file `name` lies that `path` includes; 0: in none of the folders. */
static int find_included(const char *path, const char *name, char *found, size_t bytes)
{
    const char *slash = strrchr(path, '/');
    int beside = slash == NULL ? 0 : (int)(slash - path + 1);
    if (snprintf(found, bytes, "%.*s%s", beside, path, name) < (int)bytes && access(found, R_OK) == 0) return 1;
    for (char **folder = folders; *folder != NULL; folder++) {
        if (snprintf(found, bytes, "%s/%s", *folder, name) < (int)bytes && access(found, R_OK) == 0) return 1;
    }
    fprintf(stderr, "embed: %s includes \"%s\", which is neither beside it nor in a folder of the command line\n", path, name);
    return 0;
}

/* So that a compiler's messages name file and line as they were written. */
static void put_line(FILE *out, const char *path, int number)
{
    char line[PATH_MAX + 32];
    const char *slash = strrchr(path, '/');
    snprintf(line, sizeof line, "#line %d \"%s\"\n", number, slash == NULL ? path : slash + 1);
    put(out, line, strlen(line));
}

static int put_text(FILE *out, const char *path)
{
    for (int i = 0; i < n_included; i++) {
        if (strcmp(included[i], path) == 0) return 0;
    }
    FILE *in = fopen(path, "r");
    if (in == NULL || n_included == MOST_INCLUDES) {
        fprintf(stderr, "embed: cannot read %s\n", path);
        return 1;
    }
    snprintf(included[n_included++], sizeof included[0], "%s", path);
    char line[4096], name[256], other[PATH_MAX];
    int failed = 0, number = 0;
    while (!failed && fgets(line, sizeof line, in) != NULL) {
        number++;
        if (sscanf(line, " # include \"%255[^\"]\"", name) == 1) {
            failed = !find_included(path, name, other, sizeof other);
            if (!failed) put_line(out, other, 1);
            failed = failed || put_text(out, other);
            put_line(out, path, number + 1);
        } else put(out, line, strlen(line));
    }
    fclose(in);
    return failed;
}

static int put_bytes(FILE *out, const char *path)
{
    FILE *in = fopen(path, "rb");
    if (in == NULL) {
        fprintf(stderr, "embed: cannot read %s\n", path);
        return 1;
    }
    char block[4096];
    size_t got;
    while ((got = fread(block, 1, sizeof block, in)) > 0) put(out, block, got);
    int failed = ferror(in);
    fclose(in);
    return failed;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: embed text|page|bytes IN OUT.h [FOLDER]...\n");
        return 2;
    }
    folders = argv + 4;
    int text = strcmp(argv[1], "text") == 0, chars = text || strcmp(argv[1], "page") == 0;
    FILE *out = fopen(argv[3], "w");
    if (out == NULL) {
        fprintf(stderr, "embed: cannot write %s\n", argv[3]);
        return 1;
    }
    const char *slash = strrchr(argv[2], '/');
    char symbol[256];
    snprintf(symbol, sizeof symbol, "%s", slash == NULL ? argv[2] : slash + 1);
    for (char *c = symbol; *c; c++) {
        if (!isalnum((unsigned char)*c)) *c = '_';
    }
    fprintf(out, "/* made by embed from %s */\nstatic const %s %s[] = {\n", slash == NULL ? argv[2] : slash + 1,
            chars ? "char" : "unsigned char", symbol);
    if (text) put_line(out, argv[2], 1);
    int failed = text ? put_text(out, argv[2]) : put_bytes(out, argv[2]);
    fprintf(out, chars ? "0 };\n" : "};\n");
    if (fclose(out) != 0) failed = 1;
    if (failed) remove(argv[3]);
    return failed;
}
