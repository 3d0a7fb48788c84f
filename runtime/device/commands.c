/* Finds out whether and how a device records launches. */
#include "device/commands.h"

#include "device/private.h"

#include <stdlib.h>
#include <string.h>

/* Of the extension's registry, as every version of it has them. */
#define REQUIRED_PROPERTIES 0x12AA /* CL_DEVICE_COMMAND_BUFFER_REQUIRED_QUEUE_PROPERTIES_KHR */
#define CAPABILITIES 0x12A9 /* CL_DEVICE_COMMAND_BUFFER_CAPABILITIES_KHR */
#define CAN_BE_USED_AGAIN 0x4 /* CL_COMMAND_BUFFER_CAPABILITY_SIMULTANEOUS_USE_KHR */
#define FLAGS 0x1293 /* CL_COMMAND_BUFFER_FLAGS_KHR */
#define SIMULTANEOUS_USE 0x1 /* CL_COMMAND_BUFFER_SIMULTANEOUS_USE_KHR */

/* A function of the driver as one of this type: ISO C has no conversion between pointers to data and to functions. */
static void find(cl_platform_id platform, const char *name, void *function)
{
    void *found = clGetExtensionFunctionAddressForPlatform(platform, name);
    memcpy(function, &found, sizeof found);
}

/* Whether the environment asks for recordings; else it depends on the device. */
static int wanted(const aval_device_info *info, bool *out)
{
    const char *named = getenv("AVAL_COMMAND_BUFFERS");
    *out = info->kind != AVAL_DEVICE_CPU;
    if (named == NULL || named[0] == 0) return AVAL_OK;
    if (strcmp(named, "0") != 0 && strcmp(named, "1") != 0)
        return aval__fail(AVAL_E_ARGUMENT, "AVAL_COMMAND_BUFFERS is '%s': expected 0 or 1", named);
    *out = named[0] == '1';
    return AVAL_OK;
}

int aval__device_find_commands(aval__device *device)
{
    const aval__listed *listed = device->listed;
    aval__commands *c = &device->commands;
    cl_command_queue_properties required = 0, has = 0;
    cl_bitfield capabilities = 0;
    bool asked = false;
    AVAL__TRY(wanted(&listed->info, &asked));
    if (!asked || !listed->has_command_buffers) return AVAL_OK;
    if (clGetDeviceInfo(listed->id, REQUIRED_PROPERTIES, sizeof required, &required, NULL) != CL_SUCCESS) return AVAL_OK;
    if (clGetDeviceInfo(listed->id, CAPABILITIES, sizeof capabilities, &capabilities, NULL) != CL_SUCCESS) return AVAL_OK;
    if (clGetCommandQueueInfo(device->queue, CL_QUEUE_PROPERTIES, sizeof has, &has, NULL) != CL_SUCCESS) return AVAL_OK;
    if ((required & ~has) != 0) return AVAL_OK;
    static const cl_ulong simultaneous[] = { FLAGS, SIMULTANEOUS_USE, 0 };
    aval__commands all = { .properties = capabilities & CAN_BE_USED_AGAIN ? simultaneous : NULL };
    find(listed->platform, "clCreateCommandBufferKHR", &all.create);
    find(listed->platform, "clCommandNDRangeKernelKHR", &all.launch);
    find(listed->platform, "clFinalizeCommandBufferKHR", &all.finish);
    find(listed->platform, "clEnqueueCommandBufferKHR", &all.enqueue);
    find(listed->platform, "clReleaseCommandBufferKHR", &all.release);
    if (all.create && all.launch && all.finish && all.enqueue && all.release) *c = all;
    return AVAL_OK;
}

const aval__commands *aval__device_commands(const aval__device *device)
{
    return device->commands.create ? &device->commands : NULL;
}
