/* Runs what a GEMM provider records: an aval_call whose `launch` enqueues at once, and tensors with buffers of their own. */
#ifndef AVAL_TEST_HARNESS_H
#define AVAL_TEST_HARNESS_H

#include "device/private.h"
#include "op/op.h"

typedef struct harness {
    aval__devices *devices;
    aval__device *device;
    aval_call call;
    const aval__gemm_provider *provider; /* whose kernels are launched */
    size_t launches;
} harness;

typedef struct placed {
    aval_tensor tensor; /* first: what launches refer to */
    cl_mem buffer;
    int64_t at; /* element of the buffer at which the tensor starts */
} placed;

/* Opens the best device.  Functions here fail the test themselves when something goes wrong that they are not there to find. */
void harness_open(harness *h);
void harness_close(harness *h);
/* A tensor of `count` elements of a type, from element `at` of its buffer on. */
placed harness_tensor(harness *h, int type, int64_t at, int64_t count);
void harness_write(harness *h, const placed *p, const void *data);
void harness_read(harness *h, const placed *p, void *data);
/* Computes by a provider, with scratch memory of its own; the tensors of `gemm` are placed ones. */
int harness_gemm(harness *h, const aval__gemm_provider *provider, const aval_gemm *gemm, int type);
/* The same with operands packed before: bit 0 of `packed` for a, bit 1 for b, of which the provider's packed_bytes are not 0. */
int harness_gemm_packed(harness *h, const aval__gemm_provider *provider, const aval_gemm *gemm, int type, unsigned packed);
/* A folder that is the test's own, for the cache; AVAL_CACHE_DIR is set to it. */
const char *harness_cache_folder(void);
void harness_remove_folder(const char *folder);

#endif
