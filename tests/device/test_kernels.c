/* Every kernel file of kernels/ compiles on this device for all element types that it is built for, without a single warning. */
#include "harness.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_TYPES 8
#define KERNELS AVAL_TEST_SOURCE_DIR "/kernels"

/* Element types of a file: those named here, else all floats. */
static const int floats[MOST_TYPES] = { AVAL_FLOAT, AVAL_FLOAT16, AVAL_DOUBLE };
static const struct {
    const char *file;
    int types[MOST_TYPES];
} others[] = {
    { "shape.cl", { AVAL_UINT8, AVAL_UINT16, AVAL_FLOAT, AVAL_INT64 } }, /* moves elements of a size, whatever their type */
    { "index.cl", { AVAL_UINT8, AVAL_UINT16, AVAL_UINT32, AVAL_UINT64 } },
    { "scatter.cl", { AVAL_FLOAT, AVAL_FLOAT16, AVAL_DOUBLE, AVAL_UINT8, AVAL_UINT32, AVAL_INT32, AVAL_INT64 } },
    { "gemm_groups.cl", { AVAL_FLOAT, AVAL_FLOAT16, AVAL_DOUBLE, AVAL_UINT8, AVAL_INT8, AVAL_INT32, AVAL_INT64 } },
    { "gemm.cl", { AVAL_FLOAT, AVAL_FLOAT16, AVAL_DOUBLE, AVAL_UINT8, AVAL_INT8, AVAL_INT32, AVAL_INT64 } },
    { "reduce.cl", { AVAL_FLOAT, AVAL_FLOAT16, AVAL_DOUBLE, AVAL_UINT8, AVAL_INT32, AVAL_INT64 } },
    { "winograd.cl", { AVAL_FLOAT, AVAL_DOUBLE } },
    { "pool.cl", { AVAL_FLOAT, AVAL_FLOAT16, AVAL_DOUBLE, AVAL_INT32 } },
};

static const int *types_of(const char *file)
{
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (strcmp(others[i].file, file) == 0) return others[i].types;
    }
    return floats;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static char *read_text(const char *path)
{
    FILE *in = fopen(path, "r");
    cr_assert_not_null(in, "%s", path);
    char *text = calloc(1, 1 << 18);
    cr_assert_not_null(text);
    cr_assert_lt(fread(text, 1, 1 << 18, in), 1 << 18, "%s is larger than the test reads", path);
    fclose(in);
    return text;
}

/* Compiled, not built: linking brings no warning of the file's. */
static void compile(const harness *h, const char *file, const char *text, const char *options)
{
    static char log[1 << 14];
    cl_int code;
    cl_device_id device = aval__device_id(h->device);
    log[0] = 0;
    cl_program program = clCreateProgramWithSource(aval__device_context(h->device), 1, &text, NULL, &code);
    cr_assert_eq(code, CL_SUCCESS);
    code = clCompileProgram(program, 1, &device, options, 0, NULL, NULL, NULL, NULL);
    clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, sizeof log, log, NULL);
    cr_expect_eq(code, CL_SUCCESS, "%s with %s: %s\n%s", file, options, aval__cl_name(code), log);
    cr_expect_null(strstr(log, "warning"), "%s with %s:\n%s", file, options, log);
    clReleaseProgram(program);
}

static void compile_variants(const harness *h, const char *file)
{
    char path[512], options[256];
    snprintf(path, sizeof path, "%s/%s", KERNELS, file);
    char *text = read_text(path);
    bool grouped = strstr(text, "GROUP") != NULL || strstr(text, "WG") != NULL;
    const int *types = types_of(file);
    for (size_t i = 0; i < MOST_TYPES && types[i] != AVAL_NONE; i++) {
        if (types[i] == AVAL_DOUBLE && !aval__device_info(h->device)->fp64) continue;
        for (int group = 1; group <= (grouped ? 16 : 1); group += 15) {
            snprintf(options, sizeof options, "-I%s -DS_TYPE=%d -DWG=%d", KERNELS, types[i], group);
            compile(h, file, text, options);
        }
    }
    free(text);
}

/* The files whose names' letters have an even sum, or an odd one: two tests, which run at the same time. */
static void compile_half(unsigned half)
{
    /* PoCL has no log for what its cache holds. */
    char folder[] = "/tmp/aval-test-XXXXXX";
    harness h;
    size_t files = 0;
    cr_assert_not_null(mkdtemp(folder));
    setenv("POCL_CACHE_DIR", folder, 1);
    harness_open(&h);
    DIR *dir = opendir(KERNELS);
    cr_assert_not_null(dir, "%s", KERNELS);
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        size_t length = strlen(d->d_name);
        unsigned letters = 0;
        if (length < 4 || strcmp(d->d_name + length - 3, ".cl") != 0) continue;
        for (const char *c = d->d_name; *c != 0; c++) letters += (unsigned char)*c;
        if (letters % 2 != half) continue;
        compile_variants(&h, d->d_name);
        files++;
    }
    closedir(dir);
    cr_expect_gt(files, 5, "%zu kernel files", files);
    harness_close(&h);
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

Test(kernels, compile_for_every_type_without_a_warning)
{
    compile_half(0);
}

Test(kernels, of_the_other_half_compile_for_every_type_without_a_warning)
{
    compile_half(1);
}
