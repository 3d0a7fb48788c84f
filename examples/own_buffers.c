/* Interoperation: a program with a cl_context, queue and buffers of its own has aval compute among its own kernels, and nothing is copied.
 *
 * Its kernel writes x into a buffer; aval computes y = tanh(x w) from that buffer, with w in a buffer of the program too; its second kernel
 * goes on with y where aval left it.  All of it lies on one queue in order, so nothing waits but the last read.
 *
 *     own_buffers [DEVICE]      the number of a device of the first platform that has one [0] */
#include <aval/opencl.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT 4

static const char kernels[] = "__kernel void count(__global float *x) { x[get_global_id(0)] = get_global_id(0) + 1; }\n"
                              "__kernel void twice(__global const float *y, ulong first, __global float *z)\n"
                              "{ z[get_global_id(0)] = 2 * y[first + get_global_id(0)]; }\n";

typedef struct program {
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    cl_program built;
    cl_kernel count, twice;
    cl_mem x, w, z;
} program;

static int fail(const char *what)
{
    fprintf(stderr, "own_buffers: %s\n", what);
    return 1;
}

static int find_device(cl_uint index, cl_device_id *device)
{
    cl_platform_id platforms[16];
    cl_device_id devices[16];
    cl_uint n_platforms = 0, n_devices = 0;
    if (clGetPlatformIDs(16, platforms, &n_platforms) != CL_SUCCESS) return fail("no OpenCL platform");
    for (cl_uint i = 0; i < n_platforms && i < 16; i++) {
        if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 16, devices, &n_devices) != CL_SUCCESS || index >= n_devices) continue;
        *device = devices[index];
        return 0;
    }
    return fail("no such device");
}

/* What any OpenCL program begins with. */
static int begin(program *p)
{
    const char *text = kernels;
    const float w[COUNT] = { 0.5f, -0.25f, 0.125f, -0.0625f };
    cl_int code;
    p->context = clCreateContext(NULL, 1, &p->device, NULL, NULL, &code);
    if (code != CL_SUCCESS) return fail("clCreateContext");
    p->queue = clCreateCommandQueue(p->context, p->device, 0, &code);
    if (code != CL_SUCCESS) return fail("clCreateCommandQueue");
    p->built = clCreateProgramWithSource(p->context, 1, &text, NULL, &code);
    if (code != CL_SUCCESS || clBuildProgram(p->built, 1, &p->device, "", NULL, NULL) != CL_SUCCESS) return fail("clBuildProgram");
    p->count = clCreateKernel(p->built, "count", &code);
    if (code == CL_SUCCESS) p->twice = clCreateKernel(p->built, "twice", &code);
    if (code != CL_SUCCESS) return fail("clCreateKernel");
    p->x = clCreateBuffer(p->context, CL_MEM_READ_WRITE, sizeof w, NULL, &code);
    if (code == CL_SUCCESS) p->w = clCreateBuffer(p->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, sizeof w, (void *)w, &code);
    if (code == CL_SUCCESS) p->z = clCreateBuffer(p->context, CL_MEM_READ_WRITE, sizeof w, NULL, &code);
    return code == CL_SUCCESS ? 0 : fail("clCreateBuffer");
}

static void end(program *p)
{
    const cl_mem buffers[] = { p->x, p->w, p->z };
    for (int i = 0; i < 3; i++)
        if (buffers[i]) clReleaseMemObject(buffers[i]);
    if (p->count) clReleaseKernel(p->count);
    if (p->twice) clReleaseKernel(p->twice);
    if (p->built) clReleaseProgram(p->built);
    if (p->queue) clReleaseCommandQueue(p->queue);
    if (p->context) clReleaseContext(p->context);
}

static int enqueue_count(const program *p)
{
    const size_t items = COUNT;
    if (clSetKernelArg(p->count, 0, sizeof p->x, &p->x) != CL_SUCCESS ||
        clEnqueueNDRangeKernel(p->queue, p->count, 1, NULL, &items, NULL, 0, NULL, NULL) != CL_SUCCESS)
        return fail("kernel count");
    return 0;
}

/* y lies in `y`, from byte `offset` on. */
static int enqueue_twice(const program *p, cl_mem y, size_t offset)
{
    const size_t items = COUNT;
    cl_ulong first = offset / sizeof(float);
    if (clSetKernelArg(p->twice, 0, sizeof y, &y) != CL_SUCCESS || clSetKernelArg(p->twice, 1, sizeof first, &first) != CL_SUCCESS ||
        clSetKernelArg(p->twice, 2, sizeof p->z, &p->z) != CL_SUCCESS ||
        clEnqueueNDRangeKernel(p->queue, p->twice, 1, NULL, &items, NULL, 0, NULL, NULL) != CL_SUCCESS)
        return fail("kernel twice");
    return 0;
}

static int compute(const program *p, aval_context *ctx, aval_graph *g, aval_store *store, aval_session *s)
{
    float z[COUNT];
    cl_mem y_mem;
    size_t y_offset;
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(COUNT));
    aval_value *w = aval_graph_state(g, "w", AVAL_FLOAT, AVAL_SHAPE(COUNT));
    aval_value *y = aval_apply(g, "Tanh", NULL, aval_apply(g, "Mul", NULL, x, w));
    if (aval_context_use_opencl(ctx, p->context, p->device, p->queue) ||
        aval_store_bind_mem(store, "w", AVAL_FLOAT, AVAL_SHAPE(COUNT), p->w) || aval_session_bind_mem(s, x, p->x, NULL))
        return fail(aval_error());
    if (enqueue_count(p)) return 1;
    if (aval_session_run(s, AVAL_VALUES(y)) || aval_session_mem(s, y, &y_mem, &y_offset, NULL)) return fail(aval_error());
    if (enqueue_twice(p, y_mem, y_offset)) return 1;
    if (clEnqueueReadBuffer(p->queue, p->z, CL_TRUE, 0, sizeof z, z, 0, NULL, NULL) != CL_SUCCESS) return fail("clEnqueueReadBuffer");
    printf("2 tanh(x w) = %.4f %.4f %.4f %.4f\n", z[0], z[1], z[2], z[3]);
    return 0;
}

int main(int argc, char **argv)
{
    program p = { 0 };
    aval_context *ctx = NULL;
    aval_store *store = NULL;
    aval_session *s = NULL;
    int failed = find_device(argc > 1 ? (cl_uint)atoi(argv[1]) : 0, &p.device) || begin(&p);
    failed = failed || aval_context_create(&ctx);
    aval_graph *g = aval_graph_create(ctx);
    failed = failed || aval_store_create(ctx, &store) || aval_session_create(ctx, g, store, &s);
    failed = failed || compute(&p, ctx, g, store, s);
    aval_session_release(s);
    aval_store_release(store);
    aval_graph_release(g);
    aval_context_release(ctx);
    end(&p);
    return failed;
}
