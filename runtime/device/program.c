/* Programs: built from source once a device, kept in memory by (source, options) and on disk (cache.c). */
#include "device/private.h"

#include <string.h>

/* A failed allocation of the table must not end the process. */
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(bytes) aval__alloc(bytes)
#define uthash_free(memory, bytes) aval__free(memory)
#define uthash_nonfatal_oom(item) ((item)->lost = true)
#include <uthash.h>

#define CACHE_LIMIT_BYTES ((uint64_t)256 << 20)
#define MOST_LOG_BYTES 8000 /* of a compiler's log that are shown; the first error is what matters */

struct aval__program {
    aval__hash key;
    cl_program program;
    bool lost; /* the table had no memory for it */
    UT_hash_handle hh;
};

/* Gives back *program and sets it to NULL. */
static void drop(cl_program *program)
{
    if (*program != NULL) clReleaseProgram(*program);
    *program = NULL;
}

/* What the compiler said; NULL: nothing, or there is no memory for it.  For aval__free. */
static char *read_log(const aval__device *device, cl_program program)
{
    size_t bytes = 0;
    char *log = NULL;
    if (clGetProgramBuildInfo(program, device->listed->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes) == CL_SUCCESS && bytes > 0) {
        log = aval__alloc(bytes + 1);
        if (log != NULL && clGetProgramBuildInfo(program, device->listed->id, CL_PROGRAM_BUILD_LOG, bytes, log, NULL) != CL_SUCCESS) {
            log[0] = 0;
        }
    }
    return log;
}

static int fail_build(const aval__device *device, cl_program program, cl_int code, const char *name, const char *options)
{
    char *log = read_log(device, program);
    const char *shown = log != NULL && log[0] != 0 ? log : "(the compiler left no log)";
    int status = aval__fail(AVAL_E_BUILD, "kernel file '%s' does not build for device %zu '%s' with options '%s': clBuildProgram: %s: %.*s",
                            name, device->index, device->listed->name, options, aval__cl_name(code), MOST_LOG_BYTES, shown);
    aval__free(log);
    return status;
}

/* A compiler that finds a mistake says so. */
static bool finds_a_mistake(const aval__device *device, cl_program program)
{
    char *log = read_log(device, program);
    bool mistake = log != NULL && strstr(log, "error") != NULL;
    aval__free(log);
    return mistake;
}

/* Processes that build the same program at the same time may disturb each other in a driver's own cache (PoCL 3.1: "failed to build the program", once in
   thousands): what fails without a mistake is built once more. */
static int build_source(aval__device *device, const char *name, const char *text, const char *options, cl_program *out)
{
    cl_int code = CL_SUCCESS;
    int status = AVAL_OK;
    cl_program program = NULL;
    for (int attempt = 0; attempt < 2; attempt++) {
        program = clCreateProgramWithSource(device->context, 1, &text, NULL, &code);
        AVAL__TRY_DONE(aval__cl_check(code, "clCreateProgramWithSource", "kernel file '%s'", name));
        code = clBuildProgram(program, 1, &device->listed->id, options, NULL, NULL);
        if (code != CL_BUILD_PROGRAM_FAILURE || attempt > 0 || finds_a_mistake(device, program)) break;
        drop(&program);
    }
    if (code != CL_SUCCESS) status = fail_build(device, program, code, name, options);
done:
    if (status < 0) drop(&program);
    *out = program;
    return status;
}

/* NULL when the driver does not take the binary: it is then built anew. */
static cl_program build_binary(aval__device *device, const unsigned char *binary, size_t bytes, const char *options)
{
    cl_int code, per_device = CL_SUCCESS;
    cl_program program = clCreateProgramWithBinary(device->context, 1, &device->listed->id, &bytes, &binary, &per_device, &code);
    if (code != CL_SUCCESS || per_device != CL_SUCCESS ||
        clBuildProgram(program, 1, &device->listed->id, options, NULL, NULL) != CL_SUCCESS) {
        drop(&program);
    }
    return program;
}

/* Whether a binary costs little to ask for beside building the program anew.  PoCL compiles every kernel of a program once more, for work-groups of any size,
   before it hands one out, and keeps what it built on disk itself, where it finds it after reading all its headers: 25 to 40 ms a program.
   Generated programs have one kernel: a binary costs 60 ms once and takes 1 ms in each later start.  Matrix products have nine, and take 2.5 s. */
static bool binary_is_cheap(const aval__listed *listed, cl_program program)
{
    size_t kernels = 0;
    if (strcmp(listed->platform_name, "Portable Computing Language") != 0) return true;
    return clGetProgramInfo(program, CL_PROGRAM_NUM_KERNELS, sizeof kernels, &kernels, NULL) == CL_SUCCESS && kernels == 1;
}

/* Keeps the built program on disk.  Drivers may hand out no binary, and for a caller's cl_context of several devices they want room for one each;
   then the next process builds from source again. */
static void save_binary(const char *folder, aval__hash key, cl_program program)
{
    size_t bytes = 0;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL) != CL_SUCCESS || bytes == 0) return;
    unsigned char *binary = aval__alloc(bytes);
    if (binary == NULL) return;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS) {
        aval__cache_write(folder, key, binary, bytes, CACHE_LIMIT_BYTES);
    }
    aval__free(binary);
}

/* From disk, else from source. */
static int make_program(aval__device *device, const char *name, const char *text, aval__hash key, const char *options, cl_program *out)
{
    const char *folder = aval__cache_folder(device->owner);
    unsigned char *binary = NULL;
    size_t bytes = 0;
    *out = NULL;
    if (folder != NULL) {
        aval__cache_result found = aval__cache_read(folder, key, &binary, &bytes);
        if (found == AVAL__CACHE_HIT) *out = build_binary(device, binary, bytes, options);
        if (found == AVAL__CACHE_DAMAGED || (found == AVAL__CACHE_HIT && *out == NULL)) device->counters.damaged++;
        aval__free(binary);
    }
    if (*out != NULL) {
        device->counters.from_disk++;
        return AVAL_OK;
    }
    AVAL__TRY(build_source(device, name, text, options, out));
    device->counters.built++;
    if (folder != NULL && binary_is_cheap(device->listed, *out)) save_binary(folder, key, *out);
    return AVAL_OK;
}

/* With what NARROW (kernels/common.clh) stands for on this device. */
static const char *add_sub_group(const aval__listed *l, const char *options, aval__text *with)
{
    if (l->sub_group == 0) return options;
    aval__text_add(with, "%s -DSUB_GROUP=%u", options, (unsigned)l->sub_group);
    return with->failed ? NULL : with->at;
}

static int find_or_make(aval__device *device, const char *name, const char *text, aval__hash text_hash, const char *options,
                        cl_program *program)
{
    const aval__listed *l = device->listed;
    const aval__builder builder = { .platform = l->platform_name,
                                    .platform_version = l->platform_version,
                                    .device = l->name,
                                    .device_version = l->version,
                                    .driver = l->driver,
                                    .aval_version = aval_version() };
    aval__hash key;
    struct aval__program *item = NULL;
    AVAL__TRY(aval__cache_key(&builder, text_hash, options, &key));
    int status = AVAL_OK;
    pthread_mutex_lock(&device->programs_lock);
    HASH_FIND(hh, device->programs, &key, sizeof key, item);
    if (item != NULL) goto done;
    item = aval__alloc(sizeof *item);
    if (item == NULL) status = AVAL_E_MEMORY;
    else status = make_program(device, name, text, key, options, &item->program);
    if (status < 0) goto done;
    item->key = key;
    HASH_ADD(hh, device->programs, key, sizeof item->key, item);
    if (item->lost) {
        drop(&item->program);
        status = AVAL_E_MEMORY;
    }
done:
    if (status == AVAL_OK) *program = item->program;
    else aval__free(item);
    pthread_mutex_unlock(&device->programs_lock);
    return status;
}

int aval__device_program(aval__device *device, const char *name, const char *text, aval__hash text_hash, const char *options,
                         cl_program *program)
{
    aval__text with = { 0 };
    options = add_sub_group(device->listed, options, &with);
    int status = options == NULL ? AVAL_E_MEMORY : find_or_make(device, name, text, text_hash, options, program);
    aval__text_release(&with);
    return status;
}

void aval__programs_release(aval__device *device)
{
    struct aval__program *item, *next;
    HASH_ITER (hh, device->programs, item, next) {
        HASH_DEL(device->programs, item);
        drop(&item->program);
        aval__free(item);
    }
}

void aval__device_program_counters(const aval__device *device, aval__program_counters *counters)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&device->programs_lock;
    pthread_mutex_lock(lock);
    *counters = device->counters;
    pthread_mutex_unlock(lock);
}
