/* Devices that are smaller than they are:
 *
 *     AVAL_LAYER_HIDE=fp64,denormals,binaries,address=32,local=BYTES,group=N,allocation=BYTES
 *     AVAL_LAYER_HIDE_FROM=I       only device I of its platform, as it is listed [all]
 *     AVAL_LAYER_NAME=TEXT         what such a device calls itself
 *
 * What a device says of itself is falsified, and a call that passes it fails as it would on such a device: a larger buffer, a larger group, a
 * kernel that takes more local memory, a program in doubles, a binary.  Binaries are also hidden of a device whose programs are lies (programs.c):
 * they would carry these to honest devices of the same name. */
#define CL_TARGET_OPENCL_VERSION 300
#include "parts.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_DEVICES 16
#define MOST_OPTIONS 4096

static struct _cl_icd_dispatch before;
static struct {
    bool fp64, denormals, binaries;
    cl_uint address_bits;
    cl_ulong local, allocation;
    size_t group;
} hidden;
static cl_device_id only; /* NULL: all devices are limited */

/* ---- What is limited ----------------------------------------------------------------------------------------------------------- */

static bool limited(cl_device_id device)
{
    return only == NULL || device == only;
}

static cl_device_id device_of_queue(cl_command_queue queue)
{
    cl_device_id device = NULL;
    before.clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof device, &device, NULL);
    return device;
}

static cl_int CL_API_CALL get_devices(cl_platform_id platform, cl_device_type type, cl_uint room, cl_device_id *devices, cl_uint *count)
{
    const char *index = getenv("AVAL_LAYER_HIDE_FROM");
    cl_device_id all[MOST_DEVICES];
    cl_uint n = 0;
    cl_int code = before.clGetDeviceIDs(platform, type, room, devices, count);
    if (index != NULL && code == CL_SUCCESS && before.clGetDeviceIDs(platform, type, MOST_DEVICES, all, &n) == CL_SUCCESS) {
        unsigned long i = strtoul(index, NULL, 10);
        if (i < n && i < MOST_DEVICES) only = all[i];
    }
    return code;
}

/* ---- What devices say -------------------------------------------------------------------------------------------------------------- */

/* Removes a word from a list of extensions. */
static void remove_word(char *list, const char *word)
{
    char *at = strstr(list, word);
    if (at != NULL) memset(at, ' ', strlen(word));
}

/* A text as OpenCL gives texts: its size, and itself where there is room. */
static cl_int give_text(const char *text, size_t bytes, void *value, size_t *bytes_ret)
{
    size_t needed = strlen(text) + 1;
    if (bytes_ret != NULL) *bytes_ret = needed;
    if (value == NULL) return CL_SUCCESS;
    if (bytes < needed) return CL_INVALID_VALUE;
    memcpy(value, text, needed);
    return CL_SUCCESS;
}

static cl_int CL_API_CALL get_device_info(cl_device_id device, cl_device_info what, size_t bytes, void *value, size_t *bytes_ret)
{
    const char *name = what == CL_DEVICE_NAME && limited(device) ? getenv("AVAL_LAYER_NAME") : NULL;
    if (name != NULL) return give_text(name, bytes, value, bytes_ret);
    cl_int code = before.clGetDeviceInfo(device, what, bytes, value, bytes_ret);
    if (code != CL_SUCCESS || value == NULL || !limited(device)) return code;
    if (hidden.fp64 && what == CL_DEVICE_DOUBLE_FP_CONFIG) memset(value, 0, bytes);
    if (hidden.denormals && what == CL_DEVICE_SINGLE_FP_CONFIG) *(cl_device_fp_config *)value &= ~(cl_device_fp_config)CL_FP_DENORM;
    if (hidden.fp64 && what == CL_DEVICE_EXTENSIONS) remove_word(value, "cl_khr_fp64");
    if (hidden.local && what == CL_DEVICE_LOCAL_MEM_SIZE) memcpy(value, &hidden.local, sizeof hidden.local);
    if (hidden.allocation && what == CL_DEVICE_MAX_MEM_ALLOC_SIZE) memcpy(value, &hidden.allocation, sizeof hidden.allocation);
    if (hidden.group && what == CL_DEVICE_MAX_WORK_GROUP_SIZE) memcpy(value, &hidden.group, sizeof hidden.group);
    if (hidden.address_bits && what == CL_DEVICE_ADDRESS_BITS) memcpy(value, &hidden.address_bits, sizeof hidden.address_bits);
    return CL_SUCCESS;
}

static cl_int CL_API_CALL get_program_info(cl_program program, cl_program_info what, size_t bytes, void *value, size_t *bytes_ret)
{
    cl_context context = NULL;
    bool none = hidden.binaries;
    if (value == NULL || (what != CL_PROGRAM_BINARIES && what != CL_PROGRAM_BINARY_SIZES))
        return before.clGetProgramInfo(program, what, bytes, value, bytes_ret);
    if (!none && before.clGetProgramInfo(program, CL_PROGRAM_CONTEXT, sizeof context, &context, NULL) == CL_SUCCESS)
        none = aval_programs_lie(context);
    if (none && what == CL_PROGRAM_BINARIES) return CL_SUCCESS; /* none is written */
    if (!none) return before.clGetProgramInfo(program, what, bytes, value, bytes_ret);
    memset(value, 0, bytes);
    return CL_SUCCESS;
}

/* ---- What they refuse ---------------------------------------------------------------------------------------------------------------- */

static cl_mem CL_API_CALL create_buffer(cl_context context, cl_mem_flags flags, size_t bytes, void *data, cl_int *err)
{
    if (hidden.allocation == 0 || bytes <= hidden.allocation || !limited(aval_contexts_device(context)))
        return before.clCreateBuffer(context, flags, bytes, data, err);
    if (err != NULL) *err = CL_INVALID_BUFFER_SIZE;
    return NULL;
}

static cl_program CL_API_CALL create_from_binary(cl_context context, cl_uint n, const cl_device_id *devices, const size_t *bytes,
                                                 const unsigned char **binaries, cl_int *each, cl_int *err)
{
    bool refused = (hidden.binaries && limited(aval_contexts_device(context))) || aval_programs_lie(context);
    if (!refused) return before.clCreateProgramWithBinary(context, n, devices, bytes, binaries, each, err);
    if (err != NULL) *err = CL_INVALID_VALUE;
    return NULL;
}

/* aval's kernels say in their options which types they are on (11 is ONNX's number of double), CLBlast's with how many bits. */
static bool wants_doubles(const char *options)
{
    char words[MOST_OPTIONS], *rest;
    snprintf(words, sizeof words, "%s", options != NULL ? options : "");
    for (char *word = strtok_r(words, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        const char *type = strstr(word, "_TYPE=");
        if ((type != NULL && strcmp(type, "_TYPE=11") == 0) || strcmp(word, "-DPRECISION=64") == 0) return true;
    }
    return false;
}

static cl_int CL_API_CALL build(cl_program program, cl_uint n, const cl_device_id *devices, const char *options,
                                void(CL_CALLBACK *notify)(cl_program, void *), void *user)
{
    bool refused = hidden.fp64 && wants_doubles(options) && n > 0 && limited(devices[0]);
    return refused ? CL_BUILD_PROGRAM_FAILURE : before.clBuildProgram(program, n, devices, options, notify, user);
}

static cl_int CL_API_CALL enqueue_kernel(cl_command_queue queue, cl_kernel kernel, cl_uint dims, const size_t *offset, const size_t *global,
                                         const size_t *local, cl_uint n, const cl_event *wait, cl_event *event)
{
    cl_device_id device = device_of_queue(queue);
    bool small = limited(device);
    cl_ulong taken = 0;
    size_t group = 1;
    for (cl_uint i = 0; i < dims; i++) group *= local != NULL ? local[i] : 1;
    if (small && hidden.group != 0 && group > hidden.group) return CL_INVALID_WORK_GROUP_SIZE;
    for (cl_uint i = 0; small && hidden.address_bits == 32 && i < dims; i++) {
        if (global[i] > UINT32_MAX) return CL_INVALID_GLOBAL_WORK_SIZE;
    }
    if (small && hidden.local != 0 &&
        before.clGetKernelWorkGroupInfo(kernel, device, CL_KERNEL_LOCAL_MEM_SIZE, sizeof taken, &taken, NULL) == CL_SUCCESS &&
        taken > hidden.local)
        return CL_OUT_OF_RESOURCES;
    return before.clEnqueueNDRangeKernel(queue, kernel, dims, offset, global, local, n, wait, event);
}

/* ---- Setting them -------------------------------------------------------------------------------------------------------------------- */

/* The number after "word=", when `text` begins so. */
static bool read_number(const char *text, const char *word, unsigned long long *number)
{
    size_t length = strlen(word);
    if (strncmp(text, word, length) != 0 || text[length] != '=') return false;
    *number = strtoull(text + length + 1, NULL, 10);
    return true;
}

int aval_limits_set(const char *what)
{
    char list[256];
    unsigned long long number;
    int status = 0;
    snprintf(list, sizeof list, "%s", what);
    memset(&hidden, 0, sizeof hidden);
    for (char *rest, *word = strtok_r(list, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        if (strcmp(word, "fp64") == 0) hidden.fp64 = true;
        else if (strcmp(word, "denormals") == 0) hidden.denormals = true;
        else if (strcmp(word, "binaries") == 0) hidden.binaries = true;
        else if (read_number(word, "address", &number)) hidden.address_bits = (cl_uint)number;
        else if (read_number(word, "local", &number)) hidden.local = number;
        else if (read_number(word, "group", &number)) hidden.group = (size_t)number;
        else if (read_number(word, "allocation", &number)) hidden.allocation = number;
        else status = -1;
    }
    return status;
}

void aval_limits_install(struct _cl_icd_dispatch *table)
{
    before = *table;
    table->clGetDeviceIDs = get_devices;
    table->clGetDeviceInfo = get_device_info;
    table->clGetProgramInfo = get_program_info;
    table->clCreateBuffer = create_buffer;
    table->clCreateProgramWithBinary = create_from_binary;
    table->clBuildProgram = build;
    table->clEnqueueNDRangeKernel = enqueue_kernel;
}
