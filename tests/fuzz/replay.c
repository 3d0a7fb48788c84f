/* Runs a fuzz target over the files of folders, where libFuzzer is not: fuzz_X FOLDER... */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run_file(const char *name)
{
    FILE *in = fopen(name, "rb");
    if (in == NULL) return 0; /* a folder within */
    size_t room = 1u << 22;
    uint8_t *bytes = malloc(room);
    size_t count = bytes != NULL ? fread(bytes, 1, room, in) : 0;
    fclose(in);
    /* as large as the file, so that a sanitizer sees the first byte behind it */
    uint8_t *exact = count > 0 ? realloc(bytes, count) : bytes;
    LLVMFuzzerTestOneInput(exact != NULL ? exact : bytes, count);
    free(exact);
    return 1;
}

int main(int argc, char **argv)
{
    int files = 0;
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        for (struct dirent *e; folder != NULL && (e = readdir(folder)) != NULL;) {
            char name[4096];
            snprintf(name, sizeof name, "%s/%s", argv[i], e->d_name);
            if (e->d_name[0] != '.') files += run_file(name);
        }
        if (folder != NULL) closedir(folder);
    }
    printf("%d files\n", files);
    return files > 0 ? 0 : 1; /* nothing was looked at */
}
