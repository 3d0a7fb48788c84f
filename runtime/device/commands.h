/* cl_khr_command_buffer: launches that are recorded once and enqueued as one from then on.
 *
 * The extension is provisional and the copies among its functions have changed between its versions; the five that are used here have not.  Their
 * types are declared here, so that headers of any age do. */
#ifndef AVAL_DEVICE_COMMANDS_H
#define AVAL_DEVICE_COMMANDS_H

#include "device/device.h"

typedef struct _cl_command_buffer_khr *aval__commands_buffer;

/* The driver's functions; `create` is NULL where recording is not to be used. */
typedef struct aval__commands {
    aval__commands_buffer(CL_API_CALL *create)(cl_uint n_queues, const cl_command_queue *queues, const cl_ulong *properties, cl_int *code);
    cl_int(CL_API_CALL *launch)(aval__commands_buffer buffer, cl_command_queue queue, const void *properties, cl_kernel kernel,
                                cl_uint dims, const size_t *offset, const size_t *global, const size_t *local, cl_uint n_wait,
                                const cl_uint *wait, cl_uint *point, void *handle);
    cl_int(CL_API_CALL *finish)(aval__commands_buffer buffer);
    cl_int(CL_API_CALL *enqueue)(cl_uint n_queues, cl_command_queue *queues, aval__commands_buffer buffer, cl_uint n_wait,
                                 const cl_event *wait, cl_event *event);
    cl_int(CL_API_CALL *release)(aval__commands_buffer buffer);
    const cl_ulong *properties; /* for `create`: that a buffer may be enqueued again before it is done, where it may; else NULL */
} aval__commands;

/* How launches are recorded on this device; NULL: they are enqueued one by one.  CPU devices are left out though PoCL has the extension: it takes
   a recording apart again, and is slower by half a microsecond a launch.  AVAL_COMMAND_BUFFERS=1 asks for it on any device that has it, 0 on none. */
const aval__commands *aval__device_commands(const aval__device *device);

#endif
