/* What a run of a case gave, as tensors here and as bytes between processes.  Private to check. */
#ifndef AVAL_CHECK_RESULTS_H
#define AVAL_CHECK_RESULTS_H

#include "check/check.h"

typedef struct aval__program_text {
    char *name, *options, *text;
} aval__program_text;

typedef struct aval__results {
    size_t count;
    aval__host_tensor *at; /* outputs, then gradients, in the order of the case */
    int64_t differs; /* the first tensor that another run gave other bits for; AVAL__SAME, or AVAL__ONCE when there was no other run */
    int64_t runs; /* with equal bits, the first among them */
    int again_run; /* the first run that gave other bits: 2 or 3; 0: none */
    aval__host_tensor *again; /* [count], what that run gave; NULL: none */
    size_t n_programs;
    aval__program_text *programs;
} aval__results;

#define AVAL__SAME (-1)
#define AVAL__ONCE (-2)

int aval__results_make(aval__results *r, size_t count);
void aval__results_release(aval__results *r);
/* *bytes is for aval__free. */
int aval__results_pack(const aval__results *r, void **bytes, size_t *size);
/* Believes nothing: they may come from a process that a driver has damaged. */
int aval__results_unpack(const void *bytes, size_t size, aval__results *r);

#endif
