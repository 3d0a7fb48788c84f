/* The devices of all platforms: listing them, opening and closing.  Listing opens nothing. */
#include "device/private.h"
#include "device/tuning.h"

#include <stdio.h>
#include <string.h>

static int leave_out(aval__devices *devices, const char *format, ...) AVAL__PRINTF(2, 3);
static int leave_out(aval__devices *devices, const char *format, ...)
{
    char why[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(why, sizeof why, format, list);
    va_end(list);
    aval__log_write(devices->log, AVAL_LOG_WARNING, "%s", why);
    aval__free(devices->left_out);
    devices->left_out = aval__copy_text(why);
    return devices->left_out != NULL ? AVAL_OK : AVAL_E_MEMORY;
}

/* A device that does not answer its queries is left out with a warning: the others are still of use. */
static int list_device(aval__devices *devices, cl_platform_id platform, cl_device_id id)
{
    aval__listed listed = { .platform = platform, .id = id };
    int status = aval__listed_query(&listed);
    if (status == AVAL_E_DEVICE) {
        status = leave_out(devices, "a device of platform '%s' is left out: %s", listed.platform_name != NULL ? listed.platform_name : "?",
                           aval_error());
        aval__listed_release(&listed);
        return status;
    }
    if (status == AVAL_OK) status = aval__vec_push(&devices->list, listed);
    if (status < 0) aval__listed_release(&listed);
    return status;
}

static int list_platform(aval__devices *devices, cl_platform_id platform)
{
    int status = AVAL_OK;
    cl_uint count = 0;
    cl_device_id *ids = NULL;
    cl_int code = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, NULL, &count);
    if (code == CL_DEVICE_NOT_FOUND || (code == CL_SUCCESS && count == 0)) return AVAL_OK;
    if (code != CL_SUCCESS) { return leave_out(devices, "a platform is left out: clGetDeviceIDs: %s", aval__cl_name(code)); }
    ids = aval__alloc_array(count, sizeof *ids);
    if (ids == NULL) return AVAL_E_MEMORY;
    AVAL__TRY_DONE(aval__cl_check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, count, ids, NULL), "clGetDeviceIDs", "%u devices", count));
    for (cl_uint i = 0; i < count; i++) AVAL__TRY_DONE(list_device(devices, platform, ids[i]));
done:
    aval__free(ids);
    return status;
}

int aval__devices_create(const aval__log *log, aval__devices **out)
{
    int status = AVAL_OK;
    cl_platform_id *platforms = NULL;
    cl_uint count = 0;
    *out = NULL;
    aval__devices *devices = aval__alloc(sizeof *devices);
    if (devices == NULL) return AVAL_E_MEMORY;
    devices->log = log;
    pthread_mutex_init(&devices->lock, NULL);
    cl_int code = clGetPlatformIDs(0, NULL, &count);
    /* -1001: the ICD loader found no platform, which is an empty list and not a failure. */
    if (code != -1001) AVAL__TRY_DONE(aval__cl_check(code, "clGetPlatformIDs", "counting platforms"));
    else count = 0;
    platforms = aval__alloc_array(count, sizeof *platforms);
    if (platforms == NULL) status = AVAL_E_MEMORY;
    if (status == AVAL_OK && count > 0) {
        AVAL__TRY_DONE(aval__cl_check(clGetPlatformIDs(count, platforms, NULL), "clGetPlatformIDs", "%u platforms", count));
        for (cl_uint i = 0; i < count; i++) AVAL__TRY_DONE(list_platform(devices, platforms[i]));
    }
    if (status == AVAL_OK) status = aval__vec_reserve(&devices->list, devices->list.count + AVAL__MOST_BROUGHT);
done:
    aval__free(platforms);
    if (status < 0) aval__devices_release(devices);
    else *out = devices;
    return status;
}

void aval__devices_release(aval__devices *devices)
{
    if (devices == NULL) return;
    for (size_t i = 0; i < devices->list.count; i++) aval__listed_release(&devices->list.at[i]);
    aval__vec_release(&devices->list);
    aval__free(devices->cache_folder);
    aval__free(devices->left_out);
    pthread_mutex_destroy(&devices->lock);
    aval__free(devices);
}

size_t aval__devices_count(const aval__devices *devices)
{
    return devices->list.count;
}

const aval_device_info *aval__devices_info(const aval__devices *devices, size_t i)
{
    return i < devices->list.count ? &devices->list.at[i].info : NULL;
}

const char *aval__devices_refusal(const aval__devices *devices, size_t i)
{
    return i < devices->list.count ? devices->list.at[i].refusal : "there is no such device";
}

static void release_device(aval__device *device)
{
    aval__tuning_release(device);
    aval__programs_release(device);
    aval__clblast_drop(device);
    if (device->queue != NULL) {
        aval__queue_wait(device->queue, device->listed->name);
        clReleaseCommandQueue(device->queue);
    }
    if (device->context != NULL) clReleaseContext(device->context);
    pthread_mutex_destroy(&device->programs_lock);
    aval__free(device);
}

static int make_device(aval__devices *devices, size_t index, aval__device **out)
{
    int status = AVAL_OK;
    cl_int code;
    const aval__listed *listed = &devices->list.at[index];
    aval__device *device = aval__alloc(sizeof *device);
    if (device == NULL) return AVAL_E_MEMORY;
    device->owner = devices;
    device->listed = listed;
    device->index = index;
    pthread_mutex_init(&device->programs_lock, NULL);
    aval__clblast_hold(device);
    if (listed->context != NULL) AVAL__TRY_DONE(aval__device_take(device, devices->profiled));
    if (device->context == NULL) {
        const cl_context_properties properties[] = { CL_CONTEXT_PLATFORM, (cl_context_properties)listed->platform, 0 };
        device->context = clCreateContext(properties, 1, &listed->id, NULL, NULL, &code);
        AVAL__TRY_DONE(aval__cl_check(code, "clCreateContext", "device %zu '%s'", index, listed->name));
    }
    if (device->queue == NULL) {
        device->queue = clCreateCommandQueue(device->context, listed->id, devices->profiled ? CL_QUEUE_PROFILING_ENABLE : 0, &code);
        AVAL__TRY_DONE(aval__cl_check(code, "clCreateCommandQueue", "device %zu '%s'", index, listed->name));
    }
    AVAL__TRY_DONE(aval__device_find_commands(device));
done:
    if (status < 0) release_device(device);
    else *out = device;
    return status;
}

void aval__devices_profile(aval__devices *devices)
{
    devices->profiled = true;
}

void aval__devices_ignore_tuning(aval__devices *devices)
{
    devices->ignores_tuning = true;
}

size_t aval__devices_ordinal(const aval__devices *devices, size_t index)
{
    const aval_device_info *info = aval__devices_info(devices, index);
    size_t n = 0;
    for (size_t i = 0; i < index; i++) {
        const aval_device_info *other = aval__devices_info(devices, i);
        n += strcmp(info->platform, other->platform) == 0 && strcmp(info->name, other->name) == 0;
    }
    return n;
}

int aval__device_open(aval__devices *devices, size_t index, aval__device **out)
{
    *out = NULL;
    if (index >= devices->list.count) {
        return aval__fail(AVAL_E_UNKNOWN, "device %zu: there are %zu devices, numbered from 0", index, devices->list.count);
    }
    aval__listed *listed = &devices->list.at[index];
    if (listed->refusal != NULL) {
        return aval__fail(AVAL_E_UNSUPPORTED, "device %zu '%s' cannot be used: %s", index, listed->name, listed->refusal);
    }
    int status = AVAL_OK;
    pthread_mutex_lock(&devices->lock);
    if (listed->open == NULL) status = make_device(devices, index, &listed->open);
    if (status == AVAL_OK) {
        listed->open->uses++;
        *out = listed->open;
    }
    pthread_mutex_unlock(&devices->lock);
    return status;
}

void aval__device_close(aval__device *device)
{
    if (device == NULL) return;
    aval__devices *devices = device->owner;
    pthread_mutex_lock(&devices->lock);
    if (--device->uses == 0) {
        devices->list.at[device->index].open = NULL;
        release_device(device);
    }
    pthread_mutex_unlock(&devices->lock);
}

const aval_device_info *aval__device_info(const aval__device *device)
{
    return &device->listed->info;
}

double aval__device_most_work(const aval__device *device)
{
    return device->listed->most_work;
}

cl_context aval__device_context(const aval__device *device)
{
    return device->context;
}

cl_device_id aval__device_id(const aval__device *device)
{
    return device->listed->id;
}

cl_command_queue aval__device_queue(const aval__device *device)
{
    return device->queue;
}
