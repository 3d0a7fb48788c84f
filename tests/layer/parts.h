/* Between the layer's files.  Each part that is installed puts itself in front of what the table holds, and goes on to that. */
#ifndef AVAL_TEST_LAYER_PARTS_H
#define AVAL_TEST_LAYER_PARTS_H

#include <CL/cl_layer.h>
#include <stdbool.h>

/* contexts.c: the device that a context of one device was made for; NULL: not known. */
void aval_contexts_install(struct _cl_icd_dispatch *table);
cl_device_id aval_contexts_device(cl_context context);

/* lie.c: the faults that the environment asks for. */
void aval_lie_install(struct _cl_icd_dispatch *table);
cl_device_id aval_lie_device(void); /* the one that lies; NULL: none, or not listed yet */

/* programs.c: of them those of compilers and caches; a cache mixes up every `every`-th program, 0: none. */
void aval_programs_install(struct _cl_icd_dispatch *table, unsigned long every);
bool aval_programs_lie(cl_context context); /* whether what is built there may be another program than was asked for */

/* limits.c: what devices say of themselves is made smaller, and calls that pass it fail.  See aval_layer.hide. */
void aval_limits_install(struct _cl_icd_dispatch *table);
int aval_limits_set(const char *what);

/* profile.c: when launches ran.  See aval_layer.profile and aval_layer.together. */
void aval_profile_install(struct _cl_icd_dispatch *table);
void aval_profile_start(void);
unsigned long aval_profile_together(void);

#endif
