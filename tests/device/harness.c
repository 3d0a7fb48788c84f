/* See harness.h. */
#include "harness.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const aval__log no_log;

static int launch(aval_call *call, const aval_launch *l)
{
    harness *h = call->user;
    aval__text options = { 0 };
    cl_program program;
    cl_int code = CL_SUCCESS;
    const aval__gemm_provider *provider = h->provider;
    aval__text_add(&options, "-DS_TYPE=%u", l->s_type);
    for (size_t i = 0; i < l->n_defines; i++) aval__text_add(&options, " -D%s=%lld", l->defines[i].name, (long long)l->defines[i].value);
    int status = aval__device_program(h->device, provider->source->name, provider->source->text,
                                      aval__hash_bytes(provider->source->text, strlen(provider->source->text)), options.at, &program);
    aval__text_release(&options);
    if (status < 0) return status;
    cl_kernel kernel = clCreateKernel(program, l->kernel, &code);
    AVAL__TRY(aval__cl_check(code, "clCreateKernel", "%s", l->kernel));
    cl_uint at = 0;
    for (size_t i = 0; i < l->n_args && code == CL_SUCCESS; i++) {
        const aval_arg *arg = &l->args[i];
        const placed *p = (const placed *)arg->tensor, *any = p != NULL ? p : (const placed *)l->args[0].tensor; /* for absent ones */
        cl_int as_int = (cl_int)arg->integer;
        cl_long as_long = arg->integer, offset = p != NULL ? p->at : -1;
        cl_float as_float = (cl_float)arg->real;
        switch (arg->kind) {
        case AVAL_ARG_INT: code = clSetKernelArg(kernel, at++, sizeof as_int, &as_int); break;
        case AVAL_ARG_LONG: code = clSetKernelArg(kernel, at++, sizeof as_long, &as_long); break;
        case AVAL_ARG_FLOAT: code = clSetKernelArg(kernel, at++, sizeof as_float, &as_float); break;
        case AVAL_ARG_REAL: code = clSetKernelArg(kernel, at++, sizeof arg->real, &arg->real); break;
        default:
            code = clSetKernelArg(kernel, at++, sizeof any->buffer, &any->buffer);
            if (code == CL_SUCCESS) code = clSetKernelArg(kernel, at++, sizeof offset, &offset);
        }
    }
    status = aval__cl_check(code, "clSetKernelArg", "%s", l->kernel);
    if (status == AVAL_OK) {
        size_t global[3] = { l->global[0], l->global[1], l->global[2] }, local[3] = { l->local[0], l->local[1], l->local[2] };
        code = clEnqueueNDRangeKernel(aval__device_queue(h->device), kernel, l->dims, NULL, global, local[0] ? local : NULL, 0, NULL, NULL);
        status = aval__cl_check(code, "clEnqueueNDRangeKernel", "%s", l->kernel);
    }
    h->launches++;
    clReleaseKernel(kernel);
    return status;
}

static const aval__call_table table = { .launch = launch };

void harness_open(harness *h)
{
    size_t best;
    memset(h, 0, sizeof *h);
    cr_assert_eq(aval__devices_create(&no_log, &h->devices), AVAL_OK, "%s", aval_error());
    cr_assert_eq(aval__devices_best(h->devices, &best), AVAL_OK, "%s", aval_error());
    cr_assert_eq(aval__device_open(h->devices, best, &h->device), AVAL_OK, "%s", aval_error());
    h->call = (aval_call){ .phase = AVAL_PHASE_FORWARD, .table = &table, .user = h };
}

void harness_close(harness *h)
{
    aval__device_close(h->device);
    aval__devices_release(h->devices);
}

placed harness_tensor(harness *h, int type, int64_t at, int64_t count)
{
    placed p = { .tensor = { .type = type, .rank = 1, .dims = { count } }, .at = at };
    cl_int code;
    p.buffer =
        clCreateBuffer(aval__device_context(h->device), CL_MEM_READ_WRITE, (size_t)(at + count + 1) * aval_type_bytes(type), NULL, &code);
    cr_assert_eq(code, CL_SUCCESS, "%s", aval__cl_name(code));
    return p;
}

void harness_write(harness *h, const placed *p, const void *data)
{
    size_t bytes = aval_type_bytes(p->tensor.type);
    if (p->tensor.dims[0] == 0) return;
    cl_int code = clEnqueueWriteBuffer(aval__device_queue(h->device), p->buffer, CL_TRUE, (size_t)p->at * bytes,
                                       (size_t)p->tensor.dims[0] * bytes, data, 0, NULL, NULL);
    cr_assert_eq(code, CL_SUCCESS, "%s", aval__cl_name(code));
}

void harness_read(harness *h, const placed *p, void *data)
{
    size_t bytes = aval_type_bytes(p->tensor.type);
    if (p->tensor.dims[0] == 0) return;
    cl_int code = clEnqueueReadBuffer(aval__device_queue(h->device), p->buffer, CL_TRUE, (size_t)p->at * bytes,
                                      (size_t)p->tensor.dims[0] * bytes, data, 0, NULL, NULL);
    cr_assert_eq(code, CL_SUCCESS, "%s", aval__cl_name(code));
}

int harness_gemm(harness *h, const aval__gemm_provider *provider, const aval_gemm *gemm, int type)
{
    return harness_gemm_packed(h, provider, gemm, type, 0);
}

int harness_gemm_packed(harness *h, const aval__gemm_provider *provider, const aval_gemm *gemm, int type, unsigned packed)
{
    h->provider = provider;
    const aval_device_info *info = aval__device_info(h->device);
    uint64_t bytes = provider->scratch_bytes(info, gemm, type, packed);
    placed copies[2] = { 0 };
    const aval_tensor *given[2] = { NULL, NULL };
    for (int i = 0; i < 2; i++) {
        if (!(packed >> i & 1)) continue;
        copies[i] = harness_tensor(h, AVAL_UINT8, 0, (int64_t)provider->packed_bytes(info, gemm, type, i));
        given[i] = &copies[i].tensor;
        int packing = provider->pack(info, gemm, type, i, given[i], &h->call);
        if (packing < 0) return packing;
    }
    placed scratch = { 0 };
    int status;
    if (bytes > 0) scratch = harness_tensor(h, AVAL_UINT8, 0, (int64_t)bytes);
    if (provider->record != NULL) {
        status = provider->record(info, gemm, type, bytes > 0 ? &scratch.tensor : NULL, given, false, &h->call);
    } else {
        const placed *a = (const placed *)gemm->a.tensor, *b = (const placed *)gemm->b.tensor, *c = (const placed *)gemm->c.tensor;
        const aval__gemm_operands operands = { .a = a->buffer,
                                               .b = b->buffer,
                                               .c = c->buffer,
                                               .scratch = scratch.buffer,
                                               .a_offset = a->at,
                                               .b_offset = b->at,
                                               .c_offset = c->at,
                                               .scratch_bytes = bytes };
        status = provider->enqueue(h->device, gemm, type, &operands);
    }
    clFinish(aval__device_queue(h->device));
    if (scratch.buffer != NULL) clReleaseMemObject(scratch.buffer);
    for (int i = 0; i < 2; i++)
        if (copies[i].buffer != NULL) clReleaseMemObject(copies[i].buffer);
    return status;
}

const char *harness_cache_folder(void)
{
    static char folder[64];
    snprintf(folder, sizeof folder, "/tmp/aval-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    setenv("AVAL_CACHE_DIR", folder, 1);
    return folder;
}

void harness_remove_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    if (dir == NULL) return;
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0) unlinkat(dirfd(dir), d->d_name, 0);
    }
    closedir(dir);
    rmdir(folder);
}
