/* When launches ran, by their events' times: so that a test can show that two queues worked at the same time. */
#define CL_TARGET_OPENCL_VERSION 300
#include "parts.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define MOST_LAUNCHES 4096 /* later ones are not watched */

typedef struct watched {
    cl_command_queue queue;
    cl_event event;
    cl_ulong start, end; /* nanoseconds, by the clock of its device */
} watched;

static struct _cl_icd_dispatch before;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static watched launches[MOST_LAUNCHES];
static size_t n_launches;
static bool on;

static cl_command_queue CL_API_CALL create_queue(cl_context context, cl_device_id device, cl_command_queue_properties properties,
                                                 cl_int *err)
{
    return before.clCreateCommandQueue(context, device, properties | (on ? CL_QUEUE_PROFILING_ENABLE : 0), err);
}

static bool is_watched(cl_command_queue queue)
{
    cl_command_queue_properties properties = 0;
    return on && before.clGetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL) == CL_SUCCESS &&
           (properties & CL_QUEUE_PROFILING_ENABLE) != 0;
}

static cl_int CL_API_CALL enqueue_kernel(cl_command_queue queue, cl_kernel kernel, cl_uint dims, const size_t *offset, const size_t *global,
                                         const size_t *local, cl_uint n, const cl_event *wait, cl_event *event)
{
    cl_event own = NULL;
    bool watch = event == NULL && is_watched(queue);
    cl_int code = before.clEnqueueNDRangeKernel(queue, kernel, dims, offset, global, local, n, wait, watch ? &own : event);
    if (code != CL_SUCCESS || !watch) return code;
    pthread_mutex_lock(&lock);
    if (n_launches < MOST_LAUNCHES) launches[n_launches++] = (watched){ .queue = queue, .event = own };
    else before.clReleaseEvent(own);
    pthread_mutex_unlock(&lock);
    return code;
}

void aval_profile_start(void)
{
    on = true;
}

static cl_ulong overlap(const watched *a, const watched *b)
{
    cl_ulong start = a->start > b->start ? a->start : b->start, end = a->end < b->end ? a->end : b->end;
    return a->queue != b->queue && end > start ? end - start : 0;
}

/* Launches of one queue follow each other, so no time is counted twice for two queues. */
unsigned long aval_profile_together(void)
{
    unsigned long sum = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < n_launches; i++) {
        watched *l = &launches[i];
        before.clWaitForEvents(1, &l->event);
        before.clGetEventProfilingInfo(l->event, CL_PROFILING_COMMAND_START, sizeof l->start, &l->start, NULL);
        before.clGetEventProfilingInfo(l->event, CL_PROFILING_COMMAND_END, sizeof l->end, &l->end, NULL);
        before.clReleaseEvent(l->event);
        for (size_t k = 0; k < i; k++) sum += overlap(l, &launches[k]);
    }
    n_launches = 0;
    pthread_mutex_unlock(&lock);
    return sum;
}

void aval_profile_install(struct _cl_icd_dispatch *table)
{
    before = *table;
    table->clCreateCommandQueue = create_queue;
    table->clEnqueueNDRangeKernel = enqueue_kernel;
}
