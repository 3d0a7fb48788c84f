/* A lying device: faults of devices and drivers, planted between the program and one of its devices.
 *
 *     AVAL_LAYER_SPLIT=1           each device is offered as two sub-devices of one compute unit each, where it can be split
 *     AVAL_LAYER_LIE=FAULT[:N]     every N-th [1st] call on the lying device has the fault, one of `faults` below
 *     AVAL_LAYER_MISCOMPILE=A=>B   the lying device compiles every text A in a program's source as B: it is wrong in the same way each time
 *     AVAL_LAYER_LIAR=I            which device of its platform lies [1]
 *
 * A device is known by its queue: each faulty function takes one. */
#define CL_TARGET_OPENCL_VERSION 300
#include "parts.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_DEVICES 16

static struct _cl_icd_dispatch before; /* what the faults call when they tell the truth */
static cl_device_id split[MOST_DEVICES];
static cl_uint n_split;
static cl_device_id liar;
static unsigned long every = 1, liar_index = 1;
static unsigned long launches, reads, writes;

/* ---- Whose turn it is --------------------------------------------------------------------------------------------------------- */

static bool lies(cl_command_queue queue, unsigned long *calls)
{
    cl_device_id device = NULL;
    if (liar == NULL || before.clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof device, &device, NULL) != CL_SUCCESS) return false;
    return device == liar && __atomic_add_fetch(calls, 1, __ATOMIC_RELAXED) % every == 0;
}

/* A command that does nothing, in place of one that was to do something. */
static cl_int do_nothing(cl_command_queue queue, cl_uint n, const cl_event *wait, cl_event *event)
{
    return before.clEnqueueMarkerWithWaitList(queue, n, wait, event);
}

/* ---- Faults of launches --------------------------------------------------------------------------------------------------------- */

typedef enum launch_fault { LAUNCH_TRUE, LAUNCH_SKIP, LAUNCH_FAIL, LAUNCH_CRASH, LAUNCH_HANG, LAUNCH_EAT } launch_fault;
static launch_fault launch_lie;

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

static cl_int CL_API_CALL enqueue_kernel(cl_command_queue queue, cl_kernel kernel, cl_uint dims, const size_t *offset, const size_t *global,
                                         const size_t *local, cl_uint n, const cl_event *wait, cl_event *event)
{
    launch_fault fault = launch_lie != LAUNCH_TRUE && lies(queue, &launches) ? launch_lie : LAUNCH_TRUE;
    if (fault == LAUNCH_SKIP) return do_nothing(queue, n, wait, event);
    if (fault == LAUNCH_FAIL) return CL_OUT_OF_RESOURCES;
    if (fault == LAUNCH_CRASH) abort();
    if (fault == LAUNCH_EAT) eat_memory();
    while (fault == LAUNCH_HANG) pause();
    return before.clEnqueueNDRangeKernel(queue, kernel, dims, offset, global, local, n, wait, event);
}

/* ---- Faults of memory ----------------------------------------------------------------------------------------------------------- */

typedef enum read_fault { READ_TRUE, READ_TAIL, READ_NAN, READ_OFF } read_fault;
static read_fault read_lie;
static bool stale;

static cl_int CL_API_CALL enqueue_write(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset, size_t bytes,
                                        const void *data, cl_uint n, const cl_event *wait, cl_event *event)
{
    if (stale && lies(queue, &writes)) return do_nothing(queue, n, wait, event);
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
}

static cl_int CL_API_CALL enqueue_read(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset, size_t bytes, void *data,
                                       cl_uint n, const cl_event *wait, cl_event *event)
{
    bool lying = read_lie != READ_TRUE && lies(queue, &reads);
    cl_int code = before.clEnqueueReadBuffer(queue, buffer, lying ? CL_TRUE : blocking, offset, bytes, data, n, wait, event);
    if (code == CL_SUCCESS && lying) falsify(data, bytes);
    return code;
}

/* ---- Faults of the compiler ------------------------------------------------------------------------------------------------------ */

static const char *compiled_from, *compiled_to; /* NULL: the truth */
static size_t from_length;

/* A context of PoCL on a part of a device says that it is on the whole: what it was made with is remembered. */
static cl_context liars[MOST_DEVICES];
static unsigned n_liars;

static cl_context CL_API_CALL create_context(const cl_context_properties *properties, cl_uint n, const cl_device_id *devices,
                                             void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *user,
                                             cl_int *code)
{
    cl_context made = before.clCreateContext(properties, n, devices, notify, user, code);
    if (made != NULL && n == 1 && devices[0] == liar) liars[__atomic_fetch_add(&n_liars, 1, __ATOMIC_RELAXED) % MOST_DEVICES] = made;
    return made;
}

static bool is_liars(cl_context context)
{
    for (unsigned i = 0; i < n_liars && i < MOST_DEVICES; i++) {
        if (liars[i] == context) return true;
    }
    return false;
}

/* The source with every A replaced by B; for free.  NULL: no memory. */
static char *miscompile(const char *source)
{
    size_t length = strlen(source), n = 0;
    for (const char *at = source; (at = strstr(at, compiled_from)) != NULL; at += from_length) n++;
    char *out = malloc(length + n * strlen(compiled_to) + 1), *to = out;
    for (const char *found; out != NULL && (found = strstr(source, compiled_from)) != NULL; source = found + from_length)
        to += sprintf(to, "%.*s%s", (int)(found - source), source, compiled_to);
    if (out != NULL) strcpy(to, source);
    return out;
}

static cl_program CL_API_CALL create_program(cl_context context, cl_uint n, const char **texts, const size_t *lengths, cl_int *code)
{
    char *wrong = n == 1 && is_liars(context) ? miscompile(texts[0]) : NULL;
    if (wrong == NULL) return before.clCreateProgramWithSource(context, n, texts, lengths, code);
    cl_program program = before.clCreateProgramWithSource(context, 1, (const char *[]){ wrong }, NULL, code);
    free(wrong);
    return program;
}

static void read_miscompile(const char *what)
{
    static char text[256];
    if (what == NULL) return;
    snprintf(text, sizeof text, "%s", what);
    char *arrow = strstr(text, "=>");
    if (arrow == NULL || arrow == text) {
        fprintf(stderr, "layer: AVAL_LAYER_MISCOMPILE is '%s': expected A=>B\n", what);
        return;
    }
    *arrow = 0;
    compiled_from = text;
    compiled_to = arrow + 2;
    from_length = strlen(compiled_from);
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
    bool stale;
} faults[] = {
    { .name = "skip", .launch = LAUNCH_SKIP }, /* a kernel that does not run */
    { .name = "fail", .launch = LAUNCH_FAIL }, /* a failing call */
    { .name = "crash", .launch = LAUNCH_CRASH }, { .name = "hang", .launch = LAUNCH_HANG },
    { .name = "eat", .launch = LAUNCH_EAT }, /* a driver that takes all memory */
    { .name = "stale", .stale = true }, /* a buffer keeps its old content */
    { .name = "tail", .read = READ_TAIL }, /* the last write into a buffer is lost */
    { .name = "nan", .read = READ_NAN }, /* a NaN in the middle */
    { .name = "off", .read = READ_OFF }, /* an element off by a thousandth */
};

void aval_lie_install(struct _cl_icd_dispatch *table)
{
    const char *lie = getenv("AVAL_LAYER_LIE"), *index = getenv("AVAL_LAYER_LIAR");
    const char *wrong = getenv("AVAL_LAYER_MISCOMPILE");
    if (lie == NULL && wrong == NULL && getenv("AVAL_LAYER_SPLIT") == NULL) return;
    before = *table;
    read_miscompile(wrong);
    size_t length = lie == NULL ? 0 : strcspn(lie, ":");
    bool known = lie == NULL;
    for (size_t i = 0; lie != NULL && i < sizeof faults / sizeof *faults; i++) {
        if (strlen(faults[i].name) != length || strncmp(faults[i].name, lie, length) != 0) continue;
        launch_lie = faults[i].launch;
        read_lie = faults[i].read;
        stale = faults[i].stale;
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
    if (compiled_from == NULL) return;
    table->clCreateContext = create_context;
    table->clCreateProgramWithSource = create_program;
}
