/* What the OpenCL layer of the tests offers to the process under test (tests/layer/layer.c).
 *
 * The ICD loader loads the layer from OPENCL_LAYERS=/path/opencl_layer.so before the first OpenCL call, and it then sees the calls to every
 * platform.  The process reaches it by aval_layer_open below; without the layer that gives NULL.  A program that knows nothing of it is steered by
 * the environment:
 *     AVAL_LAYER_REPORT=1            counts on stderr at exit
 *     AVAL_LAYER_FAIL=NAME:N[:CODE]  the N-th call of NAME (from 1) fails with CODE (a number; without it, one that fits the call)
 *     AVAL_LAYER_NULL=1              launches, reads, writes, copies and fills return at once and do nothing
 *     AVAL_LAYER_HIDE=fp64,denormals,binaries,address=32,local=BYTES,group=N,allocation=BYTES   devices are smaller than they are: limits.c
 *     AVAL_LAYER_SPLIT, AVAL_LAYER_LIE, AVAL_LAYER_MISCOMPILE, AVAL_LAYER_LIAR   devices split in two, and one of them with a fault: see lie.c */
#ifndef AVAL_TEST_LAYER_H
#define AVAL_TEST_LAYER_H

#include <dlfcn.h>
#include <stdlib.h>

/* What is counted, by kind. */
typedef enum aval_layer_kind {
    AVAL_LAYER_BUFFERS, /* buffers and sub-buffers made */
    AVAL_LAYER_KERNELS, /* kernels made */
    AVAL_LAYER_BUILDS, /* programs built, from source or binary */
    AVAL_LAYER_LAUNCHES,
    AVAL_LAYER_READS,
    AVAL_LAYER_WRITES,
    AVAL_LAYER_COPIES, /* copies and fills */
    AVAL_LAYER_ARGUMENTS, /* kernel arguments set */
    AVAL_LAYER_MADE, /* objects of any kind made or retained ... */
    AVAL_LAYER_RELEASED, /* ... and released: equal where nothing leaked */
    AVAL_LAYER_OTHER,
    AVAL_LAYER_KINDS
} aval_layer_kind;

typedef struct aval_layer {
    unsigned long (*count)(aval_layer_kind kind); /* calls that succeeded, since the last reset */
    unsigned long (*calls)(const char *function); /* calls of one function, failed ones too, since the last reset */
    void (*reset)(void); /* all counts to 0; nothing fails any more */
    /* The n-th call of `function` from now on fails, once; code 0: one that fits.  0, or -1 for a function that the layer does not wrap. */
    int (*fail)(const char *function, unsigned long n, int code);
    const char *(*function)(unsigned i); /* the i-th function that can fail; NULL at the end */
    void (*null_device)(int on);
    int (*hide)(const char *what); /* as AVAL_LAYER_HIDE; 0, or -1 for an unknown word */
    void (*profile)(void); /* watches the launches of queues that are made from now on */
    unsigned long (*together)(void); /* nanoseconds in which launches of two such queues or more ran at the same time; waits for them */
} aval_layer;

/* The layer of this process, NULL when it runs without. */
static inline const aval_layer *aval_layer_open(void)
{
    const char *path = getenv("OPENCL_LAYERS");
    void *library = path != NULL ? dlopen(path, RTLD_NOW | RTLD_NOLOAD) : NULL;
    return library != NULL ? dlsym(library, "aval_layer_table") : NULL;
}

#endif
