/* A lying device: faults of devices and drivers, planted between the program and one of its devices.
 *
 *     AVAL_LAYER_SPLIT=1           each device is offered as two sub-devices of one compute unit each, where it can be split
 *     AVAL_LAYER_LIE=FAULT[:N]     every N-th [1st] call on the lying device has the fault, one of `faults` below
 *     AVAL_LAYER_MISCOMPILE=A=>B   the lying device's compiler is wrong: see programs.c
 *     AVAL_LAYER_LIAR=I            which device of its platform lies [1]
 *
 * A device is known by its queue: each faulty function takes one. */
#define CL_TARGET_OPENCL_VERSION 300
#include "parts.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST_DEVICES 16

static struct _cl_icd_dispatch before; /* what the faults call when they tell the truth */
static cl_device_id split[MOST_DEVICES];
static cl_uint n_split;
static cl_device_id liar;
static unsigned long every = 1, liar_index = 1;
static unsigned long launches, reads, writes;

cl_device_id aval_lie_device(void)
{
    return liar;
}

/* ---- Whose turn it is --------------------------------------------------------------------------------------------------------- */

static bool is_liars(cl_command_queue queue)
{
    cl_device_id device = NULL;
    return liar != NULL && before.clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof device, &device, NULL) == CL_SUCCESS &&
           device == liar;
}

static bool is_due(unsigned long *calls)
{
    return __atomic_add_fetch(calls, 1, __ATOMIC_RELAXED) % every == 0;
}

static bool lies(cl_command_queue queue, unsigned long *calls)
{
    return is_liars(queue) && is_due(calls);
}

/* A command that does nothing, in place of one that was to do something. */
static cl_int do_nothing(cl_command_queue queue, cl_uint n, const cl_event *wait, cl_event *event)
{
    return before.clEnqueueMarkerWithWaitList(queue, n, wait, event);
}

typedef enum launch_fault {
    LAUNCH_TRUE,
    LAUNCH_SKIP,
    LAUNCH_FAIL,
    LAUNCH_CRASH,
    LAUNCH_HANG,
    LAUNCH_SPIN,
    LAUNCH_DAWDLE,
    LAUNCH_EAT,
    LAUNCH_LATE
} launch_fault;
static launch_fault launch_lie;

/* ---- Events that complete too early: launches wait behind gates; what stands for their events, markers behind them, and all reads are
   commands of a queue beside, which waits for nothing ---- */

#define MOST_GATES 256

static cl_event gates[MOST_GATES];
static size_t n_gates;
static cl_command_queue beside;

static cl_context context_of(cl_command_queue queue)
{
    cl_context context = NULL;
    before.clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof context, &context, NULL);
    return context;
}

static void open_gates(void)
{
    for (size_t i = 0; i < n_gates; i++) {
        before.clSetUserEventStatus(gates[i], CL_COMPLETE);
        before.clReleaseEvent(gates[i]);
    }
    n_gates = 0;
}

static cl_int queue_beside(cl_command_queue queue)
{
    cl_int code = CL_SUCCESS;
    cl_command_queue_properties properties = 0;
    before.clGetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL);
    if (beside == NULL) beside = before.clCreateCommandQueue(context_of(queue), liar, properties, &code);
    return code;
}

static cl_int enqueue_late(cl_command_queue queue, cl_kernel kernel, cl_uint dims, const size_t *offset, const size_t *global,
                           const size_t *local, cl_event *event)
{
    cl_int code = queue_beside(queue);
    if (code != CL_SUCCESS) return code;
    if (n_gates == MOST_GATES) open_gates();
    cl_event gate = before.clCreateUserEvent(context_of(queue), &code);
    if (gate == NULL) return code;
    gates[n_gates++] = gate;
    code = before.clEnqueueNDRangeKernel(queue, kernel, dims, offset, global, local, 1, &gate, NULL);
    return code == CL_SUCCESS && event != NULL ? do_nothing(beside, 0, NULL, event) : code;
}

/* What lies in the buffer now, as if all that was enqueued were complete. */
static cl_int read_early(cl_command_queue queue, cl_mem buffer, size_t offset, size_t bytes, void *data, cl_event *event)
{
    cl_int code = queue_beside(queue);
    return code == CL_SUCCESS ? before.clEnqueueReadBuffer(beside, buffer, CL_TRUE, offset, bytes, data, 0, NULL, event) : code;
}

static cl_int CL_API_CALL enqueue_marker(cl_command_queue queue, cl_uint n, const cl_event *wait, cl_event *event)
{
    return before.clEnqueueMarkerWithWaitList(n_gates > 0 && n == 0 && is_liars(queue) ? beside : queue, n, wait, event);
}

/* Wherever the host waits for something else, what it waits for happens; an event of the queue beside is complete already. */
static cl_int CL_API_CALL finish(cl_command_queue queue)
{
    open_gates();
    return before.clFinish(queue);
}

static cl_int CL_API_CALL wait_for_events(cl_uint n, const cl_event *events)
{
    for (cl_uint i = 0; i < n; i++) {
        cl_command_queue queue = NULL;
        before.clGetEventInfo(events[i], CL_EVENT_COMMAND_QUEUE, sizeof queue, &queue, NULL);
        if (queue != beside) open_gates();
    }
    return before.clWaitForEvents(n, events);
}

static cl_int CL_API_CALL release_queue(cl_command_queue queue)
{
    open_gates();
    return before.clReleaseCommandQueue(queue);
}

/* The queue beside is of the context that goes. */
static cl_int CL_API_CALL release_context(cl_context context)
{
    if (beside != NULL && context_of(beside) == context) {
        before.clReleaseCommandQueue(beside);
        beside = NULL;
    }
    return before.clReleaseContext(context);
}

/* ---- Launches ------------------------------------------------------------------------------------------------------------------- */

/* Memory until there is none, as a leaking driver takes it. */
static void eat_memory(void)
{
    const size_t piece = (size_t)64 << 20;
    for (;;) {
        char *memory = malloc(piece);
        if (memory == NULL) abort();
        memory[0] = memory[piece - 1] = 1;
    }
}

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Eight seconds of which it works a tenth, as a program does that a busy machine gives no more. */
static void dawdle(void)
{
    const struct timespec rest = { 0, 90000000 };
    for (double start = seconds_of(CLOCK_MONOTONIC); seconds_of(CLOCK_MONOTONIC) - start < 8;) {
        double worked = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
        while (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - worked < 0.01) continue;
        nanosleep(&rest, NULL);
    }
}

static cl_int CL_API_CALL enqueue_kernel(cl_command_queue queue, cl_kernel kernel, cl_uint dims, const size_t *offset, const size_t *global,
                                         const size_t *local, cl_uint n, const cl_event *wait, cl_event *event)
{
    launch_fault fault = launch_lie != LAUNCH_TRUE && lies(queue, &launches) ? launch_lie : LAUNCH_TRUE;
    if (fault == LAUNCH_SKIP) return do_nothing(queue, n, wait, event);
    if (fault == LAUNCH_FAIL) return CL_OUT_OF_RESOURCES;
    if (fault == LAUNCH_CRASH) abort();
    if (fault == LAUNCH_EAT) eat_memory();
    while (fault == LAUNCH_HANG) pause();
    while (fault == LAUNCH_SPIN) __asm__ volatile("");
    if (fault == LAUNCH_DAWDLE) dawdle();
    if (fault == LAUNCH_LATE && n == 0) return enqueue_late(queue, kernel, dims, offset, global, local, event);
    return before.clEnqueueNDRangeKernel(queue, kernel, dims, offset, global, local, n, wait, event);
}

/* ---- Faults of memory ----------------------------------------------------------------------------------------------------------- */

typedef enum read_fault { READ_TRUE, READ_TAIL, READ_NAN, READ_OFF, READ_FAST, READ_FLUSH, READ_ORDER } read_fault;
static read_fault read_lie;
static bool stale;

/* Buffers that the host wrote: no sum was computed there.  An address that is used again is taken for one of them, which leaves out a lie. */
static cl_mem written[1024];
static size_t n_written;

static bool is_written(cl_mem buffer)
{
    size_t known = n_written < sizeof written / sizeof *written ? n_written : sizeof written / sizeof *written;
    for (size_t i = 0; i < known; i++) {
        if (written[i] == buffer) return true;
    }
    return false;
}

static cl_int CL_API_CALL enqueue_write(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset, size_t bytes,
                                        const void *data, cl_uint n, const cl_event *wait, cl_event *event)
{
    open_gates();
    if (stale && lies(queue, &writes)) return do_nothing(queue, n, wait, event);
    if (!is_written(buffer)) written[n_written++ % (sizeof written / sizeof *written)] = buffer;
    return before.clEnqueueWriteBuffer(queue, buffer, blocking, offset, bytes, data, n, wait, event);
}

static void falsify(unsigned char *data, size_t bytes)
{
    const float nan = NAN;
    float x;
    size_t middle = bytes / 8 * 4;
    if (bytes < sizeof x) return;
    memcpy(&x, data, sizeof x);
    if (read_lie == READ_TAIL) memset(data + bytes - sizeof x, 0xff, sizeof x);
    if (read_lie == READ_NAN && isfinite(x)) memcpy(data + middle, &nan, sizeof nan);
    if (read_lie == READ_OFF && isfinite(x)) {
        x *= 1.001f;
        memcpy(data, &x, sizeof x);
    }
    for (size_t i = 0; read_lie >= READ_FAST && i + sizeof x <= bytes; i += sizeof x) {
        memcpy(&x, data + i, sizeof x);
        if (!isfinite(x) || x == 0) continue;
        if (read_lie == READ_ORDER && memcmp(data + i, data + i + 1, sizeof x - 1) == 0) continue; /* poison, no sum */
        if (read_lie == READ_FAST) x = ldexpf(roundf(ldexpf(x, 11 - ilogbf(x))), ilogbf(x) - 11);
        else if (read_lie == READ_ORDER) data[i] ^= i % sizeof(double) == 0; /* the last place of doubles too */
        else if (fabsf(x) < FLT_MIN) x = 0;
        if (read_lie != READ_ORDER) memcpy(data + i, &x, sizeof x);
    }
}

static cl_int CL_API_CALL enqueue_read(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset, size_t bytes, void *data,
                                       cl_uint n, const cl_event *wait, cl_event *event)
{
    if (n_gates > 0 && is_liars(queue)) return read_early(queue, buffer, offset, bytes, data, event);
    bool lying = read_lie != READ_TRUE && !(read_lie == READ_ORDER && is_written(buffer)) && lies(queue, &reads);
    cl_int code = before.clEnqueueReadBuffer(queue, buffer, lying ? CL_TRUE : blocking, offset, bytes, data, n, wait, event);
    if (code == CL_SUCCESS && lying) falsify(data, bytes);
    return code;
}

/* ---- Devices -------------------------------------------------------------------------------------------------------------------- */

/* All devices of a platform, or their halves.  Sub-devices are made once, since a program may ask twice. */
static cl_int CL_API_CALL get_devices(cl_platform_id platform, cl_device_type type, cl_uint room, cl_device_id *devices, cl_uint *count)
{
    static const cl_device_partition_property halves[] = { CL_DEVICE_PARTITION_BY_COUNTS, 1, 1, CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0 };
    cl_device_id whole[MOST_DEVICES];
    cl_uint n = 0;
    cl_int code = before.clGetDeviceIDs(platform, type, MOST_DEVICES, whole, &n);
    if (code != CL_SUCCESS) return code;
    bool wanted = getenv("AVAL_LAYER_SPLIT") != NULL;
    for (cl_uint i = 0; wanted && n_split == 0 && i < n && i < MOST_DEVICES / 2; i++) {
        if (before.clCreateSubDevices(whole[i], halves, 2, split + 2 * i, NULL) != CL_SUCCESS) wanted = false;
    }
    if (wanted) n_split = 2 * n;
    const cl_device_id *offered = wanted ? split : whole;
    if (wanted) n = n_split;
    for (cl_uint i = 0; devices != NULL && i < n && i < room; i++) devices[i] = offered[i];
    if (count != NULL) *count = n;
    if (liar_index < n) liar = offered[liar_index];
    return CL_SUCCESS;
}

/* ---- The faults there are ----------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    launch_fault launch;
    read_fault read;
    bool stale, wrong_binary;
} faults[] = {
    { .name = "skip", .launch = LAUNCH_SKIP }, /* a kernel that does not run */
    { .name = "fail", .launch = LAUNCH_FAIL }, /* a failing call */
    { .name = "crash", .launch = LAUNCH_CRASH },
    { .name = "hang", .launch = LAUNCH_HANG }, /* waits for what never comes */
    { .name = "spin", .launch = LAUNCH_SPIN }, /* works for ever */
    { .name = "dawdle", .launch = LAUNCH_DAWDLE }, /* no fault: right results, late */
    { .name = "eat", .launch = LAUNCH_EAT }, /* a driver that takes all memory */
    { .name = "stale", .stale = true }, /* a buffer keeps its old content */
    { .name = "tail", .read = READ_TAIL }, /* the last write into a buffer is lost */
    { .name = "nan", .read = READ_NAN }, /* a NaN in the middle */
    { .name = "off", .read = READ_OFF }, /* an element off by a thousandth */
    { .name = "fast", .read = READ_FAST }, /* all of 11 binary digits, as fast approximations have them */
    { .name = "flush", .read = READ_FLUSH }, /* no fault: denormals are 0, as the specification allows */
    { .name = "order", .read = READ_ORDER }, /* no fault: the last place is another, as another order of sums has it */
    { .name = "early", .launch = LAUNCH_LATE }, /* an event that completes before its command */
    { .name = "binary", .wrong_binary = true }, /* programs.c */
};

void aval_lie_install(struct _cl_icd_dispatch *table)
{
    const char *lie = getenv("AVAL_LAYER_LIE"), *index = getenv("AVAL_LAYER_LIAR");
    const char *wrong = getenv("AVAL_LAYER_MISCOMPILE");
    if (lie == NULL && wrong == NULL && getenv("AVAL_LAYER_SPLIT") == NULL) return;
    before = *table;
    size_t length = lie == NULL ? 0 : strcspn(lie, ":");
    bool known = lie == NULL, wrong_binary = false;
    for (size_t i = 0; lie != NULL && i < sizeof faults / sizeof *faults; i++) {
        if (strlen(faults[i].name) != length || strncmp(faults[i].name, lie, length) != 0) continue;
        launch_lie = faults[i].launch;
        read_lie = faults[i].read;
        stale = faults[i].stale;
        wrong_binary = faults[i].wrong_binary;
        known = true;
    }
    if (!known) fprintf(stderr, "layer: AVAL_LAYER_LIE names no fault: '%s'\n", lie);
    if (lie != NULL && lie[length] == ':') every = strtoul(lie + length + 1, NULL, 10);
    if (every == 0) every = 1;
    if (index != NULL) liar_index = strtoul(index, NULL, 10);
    table->clGetDeviceIDs = get_devices;
    table->clEnqueueNDRangeKernel = enqueue_kernel;
    table->clEnqueueReadBuffer = enqueue_read;
    table->clEnqueueWriteBuffer = enqueue_write;
    table->clFinish = finish;
    table->clEnqueueMarkerWithWaitList = enqueue_marker;
    table->clWaitForEvents = wait_for_events;
    table->clReleaseCommandQueue = release_queue;
    table->clReleaseContext = release_context;
    aval_programs_install(table, wrong_binary ? every : 0);
}
