/* An OpenCL layer that counts calls, makes them fail and skips the work (a null device): see layer.h.  Its other abilities are in files of
 * their own: limits.c makes devices smaller, lie.c makes them lie, profile.c watches when they work.
 *
 * FUNCTIONS has a row for each wrapped function; the wrappers are made from it.  There are two forms: ordinary functions return their
 * code, makers return an object and their code through their last argument. */
#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl_layer.h>

#include "layer.h"
#include "parts.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/* name, kind that it counts as, code with which it fails, whether the null device skips it, the place for an event, parameters, arguments */
#define NO_EVENT ((cl_event *)NULL)
#define FUNCTIONS(X) \
    X(clBuildProgram, BUILDS, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, \
      (cl_program a, cl_uint b, const cl_device_id *c, const char *d, void(CL_CALLBACK * e)(cl_program, void *), void *f), \
      (a, b, c, d, e, f)) \
    X(clEnqueueNDRangeKernel, LAUNCHES, CL_OUT_OF_RESOURCES, 1, i, \
      (cl_command_queue a, cl_kernel b, cl_uint c, const size_t *d, const size_t *e, const size_t *f, cl_uint g, const cl_event *h, \
       cl_event *i), \
      (a, b, c, d, e, f, g, h, i)) \
    X(clEnqueueReadBuffer, READS, CL_OUT_OF_RESOURCES, 1, i, \
      (cl_command_queue a, cl_mem b, cl_bool c, size_t d, size_t e, void *f, cl_uint g, const cl_event *h, cl_event *i), \
      (a, b, c, d, e, f, g, h, i)) \
    X(clEnqueueWriteBuffer, WRITES, CL_OUT_OF_RESOURCES, 1, i, \
      (cl_command_queue a, cl_mem b, cl_bool c, size_t d, size_t e, const void *f, cl_uint g, const cl_event *h, cl_event *i), \
      (a, b, c, d, e, f, g, h, i)) \
    X(clEnqueueCopyBuffer, COPIES, CL_OUT_OF_RESOURCES, 1, i, \
      (cl_command_queue a, cl_mem b, cl_mem c, size_t d, size_t e, size_t f, cl_uint g, const cl_event *h, cl_event *i), \
      (a, b, c, d, e, f, g, h, i)) \
    X(clEnqueueFillBuffer, COPIES, CL_OUT_OF_RESOURCES, 1, i, \
      (cl_command_queue a, cl_mem b, const void *c, size_t d, size_t e, size_t f, cl_uint g, const cl_event *h, cl_event *i), \
      (a, b, c, d, e, f, g, h, i)) \
    X(clSetKernelArg, ARGUMENTS, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_kernel a, cl_uint b, size_t c, const void *d), (a, b, c, d)) \
    X(clFinish, OTHER, CL_OUT_OF_RESOURCES, 0, NO_EVENT, (cl_command_queue a), (a)) \
    X(clFlush, OTHER, CL_OUT_OF_RESOURCES, 0, NO_EVENT, (cl_command_queue a), (a)) \
    X(clWaitForEvents, OTHER, CL_OUT_OF_RESOURCES, 0, NO_EVENT, (cl_uint a, const cl_event *b), (a, b)) \
    X(clGetPlatformIDs, OTHER, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_uint a, cl_platform_id * b, cl_uint * c), (a, b, c)) \
    X(clGetDeviceIDs, OTHER, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, \
      (cl_platform_id a, cl_device_type b, cl_uint c, cl_device_id * d, cl_uint * e), (a, b, c, d, e)) \
    X(clGetPlatformInfo, OTHER, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_platform_id a, cl_platform_info b, size_t c, void *d, size_t *e), \
      (a, b, c, d, e)) \
    X(clGetProgramBuildInfo, OTHER, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, \
      (cl_program a, cl_device_id b, cl_program_build_info c, size_t d, void *e, size_t *f), (a, b, c, d, e, f)) \
    X(clGetDeviceInfo, OTHER, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_device_id a, cl_device_info b, size_t c, void *d, size_t *e), \
      (a, b, c, d, e)) \
    X(clGetProgramInfo, OTHER, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_program a, cl_program_info b, size_t c, void *d, size_t *e), \
      (a, b, c, d, e)) \
    X(clGetKernelInfo, OTHER, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_kernel a, cl_kernel_info b, size_t c, void *d, size_t *e), \
      (a, b, c, d, e)) \
    X(clGetEventInfo, OTHER, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_event a, cl_event_info b, size_t c, void *d, size_t *e), \
      (a, b, c, d, e)) \
    X(clEnqueueMarkerWithWaitList, OTHER, CL_OUT_OF_RESOURCES, 0, d, (cl_command_queue a, cl_uint b, const cl_event *c, cl_event *d), \
      (a, b, c, d)) \
    X(clReleaseEvent, RELEASED, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_event a), (a)) \
    X(clRetainEvent, MADE, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_event a), (a)) \
    X(clRetainContext, MADE, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_context a), (a)) \
    X(clRetainCommandQueue, MADE, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_command_queue a), (a)) \
    X(clRetainMemObject, MADE, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_mem a), (a)) \
    X(clRetainKernel, MADE, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_kernel a), (a)) \
    X(clRetainProgram, MADE, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_program a), (a)) \
    X(clReleaseContext, RELEASED, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_context a), (a)) \
    X(clReleaseCommandQueue, RELEASED, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_command_queue a), (a)) \
    X(clReleaseMemObject, RELEASED, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_mem a), (a)) \
    X(clReleaseKernel, RELEASED, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_kernel a), (a)) \
    X(clReleaseProgram, RELEASED, CL_OUT_OF_HOST_MEMORY, 0, NO_EVENT, (cl_program a), (a))

/* name, what it returns, kind, code with which it fails, parameters (the code's place is `err`), arguments */
#define MAKERS(X) \
    X(clCreateContext, cl_context, OTHER, CL_OUT_OF_HOST_MEMORY, \
      (const cl_context_properties *a, cl_uint b, const cl_device_id *c, \
       void(CL_CALLBACK * d)(const char *, const void *, size_t, void *), void *e, cl_int *err), \
      (a, b, c, d, e, err)) \
    X(clCreateCommandQueue, cl_command_queue, OTHER, CL_OUT_OF_HOST_MEMORY, \
      (cl_context a, cl_device_id b, cl_command_queue_properties c, cl_int * err), (a, b, c, err)) \
    X(clCreateBuffer, cl_mem, BUFFERS, CL_MEM_OBJECT_ALLOCATION_FAILURE, (cl_context a, cl_mem_flags b, size_t c, void *d, cl_int *err), \
      (a, b, c, d, err)) \
    X(clCreateSubBuffer, cl_mem, BUFFERS, CL_MEM_OBJECT_ALLOCATION_FAILURE, \
      (cl_mem a, cl_mem_flags b, cl_buffer_create_type c, const void *d, cl_int *err), (a, b, c, d, err)) \
    X(clCreateProgramWithSource, cl_program, OTHER, CL_OUT_OF_HOST_MEMORY, \
      (cl_context a, cl_uint b, const char **c, const size_t *d, cl_int *err), (a, b, c, d, err)) \
    X(clCreateProgramWithBinary, cl_program, OTHER, CL_OUT_OF_HOST_MEMORY, \
      (cl_context a, cl_uint b, const cl_device_id *c, const size_t *d, const unsigned char **e, cl_int *f, cl_int *err), \
      (a, b, c, d, e, f, err)) \
    X(clCreateKernel, cl_kernel, KERNELS, CL_OUT_OF_HOST_MEMORY, (cl_program a, const char *b, cl_int *err), (a, b, err))

typedef enum function {
#define ROW(name, ...) F_##name,
    FUNCTIONS(ROW) MAKERS(ROW)
#undef ROW
        N_FUNCTIONS
} function;

static struct {
    const char *name;
    aval_layer_kind kind;
    cl_int code; /* fits the call */
    unsigned long calls;
    unsigned long fail_at; /* fails when calls gets there; 0: never */
    cl_int fail_code;
} functions[N_FUNCTIONS] = {
#define ROW(f, k, c, ...) [F_##f] = { .name = #f, .kind = AVAL_LAYER_##k, .code = c },
#define MAKER_ROW(f, type, k, c, ...) [F_##f] = { .name = #f, .kind = AVAL_LAYER_##k, .code = c },
    FUNCTIONS(ROW) MAKERS(MAKER_ROW)
#undef ROW
#undef MAKER_ROW
};

static struct _cl_icd_dispatch next, ours;
static unsigned long counts[AVAL_LAYER_KINDS];
static int null_device;
/* The code with which this call is to fail, CL_SUCCESS when it is not. */
static cl_int enter(function f)
{
    unsigned long call = __atomic_add_fetch(&functions[f].calls, 1, __ATOMIC_RELAXED);
    return call == functions[f].fail_at ? functions[f].fail_code : CL_SUCCESS;
}

static void count(aval_layer_kind kind)
{
    __atomic_add_fetch(&counts[kind], 1, __ATOMIC_RELAXED);
}

/* ---- Wrappers ------------------------------------------------------------------------------------------------------------------ */

#define WRAP(f, k, c, skipped, event, parameters, arguments) \
    static cl_int CL_API_CALL layer_##f parameters \
    { \
        cl_int code = enter(F_##f); \
        if (code == CL_SUCCESS && !((skipped) && null_device)) { \
            code = next.f arguments; \
            if (code == CL_SUCCESS && (event) != NULL) count(AVAL_LAYER_MADE); \
        } \
        if (code == CL_SUCCESS) count(functions[F_##f].kind); \
        return code; \
    }
FUNCTIONS(WRAP)

#define WRAP_MAKER(f, type, k, c, parameters, arguments) \
    static type CL_API_CALL layer_##f parameters \
    { \
        cl_int code = enter(F_##f); \
        if (code != CL_SUCCESS) { \
            if (err != NULL) *err = code; \
            return NULL; \
        } \
        type made = next.f arguments; \
        if (made != NULL) { \
            count(functions[F_##f].kind); \
            count(AVAL_LAYER_MADE); \
        } \
        return made; \
    }
MAKERS(WRAP_MAKER)

/* ---- What the process under test calls ------------------------------------------------------------------------------------------- */

static int find(const char *name)
{
    for (int i = 0; i < N_FUNCTIONS; i++) {
        if (strcmp(functions[i].name, name) == 0) return i;
    }
    return -1;
}

static unsigned long get_count(aval_layer_kind kind)
{
    return __atomic_load_n(&counts[kind], __ATOMIC_RELAXED);
}

static unsigned long get_calls(const char *name)
{
    int f = find(name);
    return f < 0 ? 0 : __atomic_load_n(&functions[f].calls, __ATOMIC_RELAXED);
}

static void reset(void)
{
    memset(counts, 0, sizeof counts);
    for (int i = 0; i < N_FUNCTIONS; i++) functions[i].calls = functions[i].fail_at = 0;
}

static int fail(const char *name, unsigned long n, int code)
{
    int f = find(name);
    if (f < 0) return -1;
    functions[f].fail_code = code != 0 ? code : functions[f].code;
    functions[f].fail_at = functions[f].calls + n;
    return 0;
}

static const char *function_name(unsigned i)
{
    return i < N_FUNCTIONS ? functions[i].name : NULL;
}

static void set_null_device(int on)
{
    null_device = on;
}

EXPORT extern const aval_layer aval_layer_table;
const aval_layer aval_layer_table = { .count = get_count,
                                      .calls = get_calls,
                                      .reset = reset,
                                      .fail = fail,
                                      .function = function_name,
                                      .null_device = set_null_device,
                                      .hide = aval_limits_set,
                                      .profile = aval_profile_start,
                                      .together = aval_profile_together };

/* ---- Loading ------------------------------------------------------------------------------------------------------------------------ */

static void report(void)
{
    static const char *const kinds[] = { "buffers", "kernels",   "builds", "launches", "reads", "writes",
                                         "copies",  "arguments", "made",   "released", "other" };
    fprintf(stderr, "layer:");
    for (int i = 0; i < AVAL_LAYER_KINDS; i++) fprintf(stderr, " %s %lu", kinds[i], counts[i]);
    fputc('\n', stderr);
}

static void read_environment(void)
{
    const char *failing = getenv("AVAL_LAYER_FAIL"), *hiding = getenv("AVAL_LAYER_HIDE"), *skipping = getenv("AVAL_LAYER_NULL");
    char name[64];
    unsigned long n = 0;
    int code = 0;
    if (failing != NULL && (sscanf(failing, "%63[^:]:%lu:%d", name, &n, &code) < 2 || fail(name, n, code) < 0)) {
        fprintf(stderr, "layer: AVAL_LAYER_FAIL is '%s': expected NAME:N[:CODE] with the name of a wrapped function\n", failing);
    }
    if (hiding != NULL && aval_limits_set(hiding) < 0) fprintf(stderr, "layer: AVAL_LAYER_HIDE has an unknown word: '%s'\n", hiding);
    null_device = skipping != NULL && skipping[0] == '1';
    if (getenv("AVAL_LAYER_REPORT") != NULL) atexit(report);
}

EXPORT CL_API_ENTRY cl_int CL_API_CALL clGetLayerInfo(cl_layer_info name, size_t bytes, void *value, size_t *bytes_ret)
{
    const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    if (name != CL_LAYER_API_VERSION || (value != NULL && bytes < sizeof version)) return CL_INVALID_VALUE;
    if (value != NULL) memcpy(value, &version, sizeof version);
    if (bytes_ret != NULL) *bytes_ret = sizeof version;
    return CL_SUCCESS;
}

EXPORT CL_API_ENTRY cl_int CL_API_CALL clInitLayer(cl_uint n, const struct _cl_icd_dispatch *target, cl_uint *n_ret,
                                                   const struct _cl_icd_dispatch **ret)
{
    const cl_uint slots = sizeof ours / sizeof ours.clGetPlatformIDs;
    if (n < slots) return CL_INVALID_VALUE;
    memcpy(&next, target, sizeof next);
    memcpy(&ours, target, sizeof ours);
#define HOOK(f, ...) ours.f = layer_##f;
    FUNCTIONS(HOOK) MAKERS(HOOK) read_environment();
    aval_contexts_install(&ours);
    aval_lie_install(&ours);
    aval_limits_install(&ours);
    aval_profile_install(&ours);
    *n_ret = slots;
    *ret = &ours;
    return CL_SUCCESS;
}
