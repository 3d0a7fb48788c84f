/* Between layer.c and lie.c. */
#ifndef AVAL_TEST_LIE_H
#define AVAL_TEST_LIE_H

#include <CL/cl_layer.h>

/* Puts the faults that the environment asks for in front of the functions in `table`, which may be wrapped already. */
void aval_lie_install(struct _cl_icd_dispatch *table);

#endif
