/* An OpenCL layer between aval and oclgrind 21.10, whose detector of uninitialised reads forgets a buffer whenever the host writes a part of it: each
 * such write makes the detector's shadow of the buffer anew, as long as the part, and what lies beyond counts as uninitialised from then on.
 *
 * So every write, fill and copy becomes a write of the whole buffer: what it held, with the part in its place.  That leaves a buffer
 * initialised as a whole, poison and guard bands too; kernels that read those are found by what they compute.  What oclgrind is to find
 * are uninitialised local and private variables. */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl_layer.h>

#include <stdlib.h>
#include <string.h>

static struct _cl_icd_dispatch next, ours;

/* The content of a buffer once all before it in the queue is done; for free.  NULL: *code says why. */
static unsigned char *read_whole(cl_command_queue queue, cl_mem buffer, cl_uint n_events, const cl_event *events, size_t *bytes,
                                 cl_int *code)
{
    *code = next.clGetMemObjectInfo(buffer, CL_MEM_SIZE, sizeof *bytes, bytes, NULL);
    unsigned char *content = *code == CL_SUCCESS ? malloc(*bytes) : NULL;
    if (*code == CL_SUCCESS && content == NULL) *code = CL_OUT_OF_HOST_MEMORY;
    if (*code == CL_SUCCESS) *code = next.clEnqueueReadBuffer(queue, buffer, CL_TRUE, 0, *bytes, content, n_events, events, NULL);
    if (*code == CL_SUCCESS) return content;
    free(content);
    return NULL;
}

/* Puts `size` bytes, made of repetitions of `part`, at `offset`. */
static cl_int write_part(cl_command_queue queue, cl_mem buffer, size_t offset, size_t size, const void *part, size_t part_bytes,
                         cl_uint n_events, const cl_event *events, cl_event *event)
{
    size_t bytes;
    cl_int code;
    unsigned char *content = read_whole(queue, buffer, n_events, events, &bytes, &code);
    if (content == NULL) return code;
    if (offset > bytes || size > bytes - offset) code = CL_INVALID_VALUE;
    for (size_t at = 0; code == CL_SUCCESS && at < size; at += part_bytes) memcpy(content + offset + at, part, part_bytes);
    if (code == CL_SUCCESS) code = next.clEnqueueWriteBuffer(queue, buffer, CL_TRUE, 0, bytes, content, 0, NULL, event);
    free(content);
    return code;
}

static cl_int CL_API_CALL write_buffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset, size_t size,
                                       const void *data, cl_uint n_events, const cl_event *events, cl_event *event)
{
    (void)blocking;
    return write_part(queue, buffer, offset, size, data, size, n_events, events, event);
}

static cl_int CL_API_CALL fill_buffer(cl_command_queue queue, cl_mem buffer, const void *pattern, size_t pattern_bytes, size_t offset,
                                      size_t size, cl_uint n_events, const cl_event *events, cl_event *event)
{
    if (pattern_bytes == 0 || size % pattern_bytes != 0) return CL_INVALID_VALUE;
    return write_part(queue, buffer, offset, size, pattern, pattern_bytes, n_events, events, event);
}

static cl_int CL_API_CALL copy_buffer(cl_command_queue queue, cl_mem from, cl_mem to, size_t from_offset, size_t to_offset, size_t size,
                                      cl_uint n_events, const cl_event *events, cl_event *event)
{
    size_t bytes;
    cl_int code;
    unsigned char *content = read_whole(queue, from, n_events, events, &bytes, &code);
    if (content == NULL) return code;
    if (from_offset > bytes || size > bytes - from_offset) code = CL_INVALID_VALUE;
    if (code == CL_SUCCESS) code = write_part(queue, to, to_offset, size, content + from_offset, size, 0, NULL, event);
    free(content);
    return code;
}

__attribute__((visibility("default"))) CL_API_ENTRY cl_int CL_API_CALL clGetLayerInfo(cl_layer_info name, size_t bytes, void *value,
                                                                                      size_t *bytes_ret)
{
    const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    if (name != CL_LAYER_API_VERSION || (value != NULL && bytes < sizeof version)) return CL_INVALID_VALUE;
    if (value != NULL) memcpy(value, &version, sizeof version);
    if (bytes_ret != NULL) *bytes_ret = sizeof version;
    return CL_SUCCESS;
}

__attribute__((visibility("default"))) CL_API_ENTRY cl_int CL_API_CALL clInitLayer(cl_uint n, const struct _cl_icd_dispatch *target,
                                                                                   cl_uint *n_ret, const struct _cl_icd_dispatch **ret)
{
    const cl_uint slots = sizeof ours / sizeof ours.clGetPlatformIDs;
    if (n < slots) return CL_INVALID_VALUE;
    memcpy(&next, target, sizeof next);
    memcpy(&ours, target, sizeof ours);
    ours.clEnqueueWriteBuffer = write_buffer;
    ours.clEnqueueFillBuffer = fill_buffer;
    ours.clEnqueueCopyBuffer = copy_buffer;
    *n_ret = slots;
    *ret = &ours;
    return CL_SUCCESS;
}
