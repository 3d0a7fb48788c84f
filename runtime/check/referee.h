/* The referee's inside, shared by referee.c and differences.c. */
#ifndef AVAL_CHECK_REFEREE_H
#define AVAL_CHECK_REFEREE_H

#include "check/case.h"

struct aval__referee {
    const aval__case *c;
    aval_graph *graph; /* a copy of the case's, expanded */
    aval_value **wanted; /* the outputs in it */
    const aval__host_tensor **contents; /* by value id */
    aval__host_tensor *moved; /* the inputs, for questions about moved ones; always put back */
};

/* Copies of the inputs, integers too; those of absent inputs stay empty. */
int aval__case_copy_inputs(const aval__case *c, aval__host_tensor *to);
void aval__host_tensors_release(aval__host_tensor *at, size_t n);

#endif
