/* A device that works in a cl_context, and on a queue, that the caller brought (aval/opencl.h). */
#include "device/private.h"

#include <string.h>

static int check_queue(cl_context context, cl_device_id id, cl_command_queue queue)
{
    cl_context of_context = NULL;
    cl_device_id of_device = NULL;
    cl_command_queue_properties properties = 0;
    cl_int code = clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof of_context, &of_context, NULL);
    if (code == CL_SUCCESS) code = clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof of_device, &of_device, NULL);
    if (code == CL_SUCCESS) code = clGetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL);
    if (code != CL_SUCCESS) return aval__fail(AVAL_E_ARGUMENT, "the queue cannot be used: clGetCommandQueueInfo: %s", aval__cl_name(code));
    if (of_context != context) return aval__fail(AVAL_E_ARGUMENT, "the queue was made in another cl_context than the one given with it");
    if (of_device != id) return aval__fail(AVAL_E_ARGUMENT, "the queue was made for another device than the one given with it");
    if (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE)
        return aval__fail(AVAL_E_ARGUMENT,
                          "the queue works out of order: expected one without CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, or NULL");
    return AVAL_OK;
}

/* The device among those of the context; a sub-device may stand there as the whole one (PoCL), which making a queue finds out. */
static int check_context(cl_context context, cl_device_id id)
{
    cl_device_id ids[64];
    size_t bytes = 0;
    cl_device_id parent = NULL;
    cl_int code = clGetContextInfo(context, CL_CONTEXT_DEVICES, sizeof ids, ids, &bytes);
    if (code != CL_SUCCESS) return aval__fail(AVAL_E_ARGUMENT, "the cl_context cannot be used: clGetContextInfo: %s", aval__cl_name(code));
    code = clGetDeviceInfo(id, CL_DEVICE_PARENT_DEVICE, sizeof parent, &parent, NULL);
    if (code != CL_SUCCESS) return aval__fail(AVAL_E_ARGUMENT, "the device cannot be used: clGetDeviceInfo: %s", aval__cl_name(code));
    for (size_t i = 0; i < bytes / sizeof ids[0]; i++)
        if (ids[i] == id || (parent != NULL && ids[i] == parent)) return AVAL_OK;
    return aval__fail(AVAL_E_ARGUMENT, "the device is none of the %zu of the cl_context", bytes / sizeof ids[0]);
}

/* Index of the device in the list, where a sub-device is put at the end. */
static int list_device(aval__devices *devices, cl_device_id id, size_t *index)
{
    aval__listed listed = { .id = id };
    for (*index = 0; *index < devices->list.count; ++*index)
        if (devices->list.at[*index].id == id) return AVAL_OK;
    if (devices->n_brought == AVAL__MOST_BROUGHT)
        return aval__fail(AVAL_E_ARGUMENT, "a context takes at most %d sub-devices", AVAL__MOST_BROUGHT);
    AVAL__TRY(aval__cl_check(clGetDeviceInfo(id, CL_DEVICE_PLATFORM, sizeof listed.platform, (void *)&listed.platform, NULL),
                             "clGetDeviceInfo", "CL_DEVICE_PLATFORM"));
    int status = aval__listed_query(&listed);
    if (status == AVAL_OK) status = aval__vec_push(&devices->list, listed);
    if (status < 0) aval__listed_release(&listed);
    else devices->n_brought++;
    return status;
}

int aval__devices_bring(aval__devices *devices, cl_context context, cl_device_id id, cl_command_queue queue, size_t *index)
{
    AVAL__TRY(check_context(context, id));
    if (queue != NULL) AVAL__TRY(check_queue(context, id, queue));
    AVAL__TRY(list_device(devices, id, index));
    aval__listed *listed = &devices->list.at[*index];
    if (listed->context != NULL)
        return aval__fail(AVAL_E_ARGUMENT, "device %zu '%s' was given before: a device works in one cl_context", *index, listed->name);
    AVAL__TRY(aval__cl_check(clRetainContext(context), "clRetainContext", "device %zu '%s'", *index, listed->name));
    listed->context = context;
    if (queue != NULL)
        AVAL__TRY(aval__cl_check(clRetainCommandQueue(queue), "clRetainCommandQueue", "device %zu '%s'", *index, listed->name));
    listed->queue = queue;
    AVAL__TRY(aval__cl_check(clRetainDevice(id), "clRetainDevice", "device %zu '%s'", *index, listed->name));
    listed->brought = true;
    return AVAL_OK;
}

int aval__device_take(aval__device *device, bool profiled)
{
    const aval__listed *listed = device->listed;
    cl_command_queue_properties properties = 0;
    AVAL__TRY(aval__cl_check(clRetainContext(listed->context), "clRetainContext", "device %zu '%s'", device->index, listed->name));
    device->context = listed->context;
    if (listed->queue == NULL) return AVAL_OK;
    AVAL__TRY(aval__cl_check(clGetCommandQueueInfo(listed->queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL),
                             "clGetCommandQueueInfo", "device %zu '%s'", device->index, listed->name));
    if (profiled && !(properties & CL_QUEUE_PROFILING_ENABLE))
        return aval__fail(AVAL_E_ARGUMENT,
                          "the queue given for device %zu '%s' keeps no times: expected one with CL_QUEUE_PROFILING_ENABLE", device->index,
                          listed->name);
    AVAL__TRY(aval__cl_check(clRetainCommandQueue(listed->queue), "clRetainCommandQueue", "device %zu '%s'", device->index, listed->name));
    device->queue = listed->queue;
    return AVAL_OK;
}
