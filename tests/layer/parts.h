/* Between the layer's files.  Each part that is installed puts itself in front of what the table holds, and goes on to that. */
#ifndef AVAL_TEST_LAYER_PARTS_H
#define AVAL_TEST_LAYER_PARTS_H

#include <CL/cl_layer.h>

/* lie.c: the faults that the environment asks for. */
void aval_lie_install(struct _cl_icd_dispatch *table);

/* limits.c: what devices say of themselves is made smaller, and calls that pass it fail.  See aval_layer.hide. */
void aval_limits_install(struct _cl_icd_dispatch *table);
int aval_limits_set(const char *what);

/* profile.c: when launches ran.  See aval_layer.profile and aval_layer.together. */
void aval_profile_install(struct _cl_icd_dispatch *table);
void aval_profile_start(void);
unsigned long aval_profile_together(void);

#endif
