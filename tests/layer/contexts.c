/* Which device a context was made for.  Asking the context is no use: PoCL names the whole device where a half of it was given. */
#define CL_TARGET_OPENCL_VERSION 300
#include "parts.h"

#include <stddef.h>

#define MOST_CONTEXTS 256 /* the oldest are forgotten */

static struct _cl_icd_dispatch before;
static struct {
    cl_context context;
    cl_device_id device;
} made[MOST_CONTEXTS];
static size_t n_made;

static cl_context CL_API_CALL create_context(const cl_context_properties *properties, cl_uint n, const cl_device_id *devices,
                                             void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *user, cl_int *err)
{
    cl_context context = before.clCreateContext(properties, n, devices, notify, user, err);
    if (context == NULL || n != 1) return context;
    size_t i = __atomic_fetch_add(&n_made, 1, __ATOMIC_RELAXED) % MOST_CONTEXTS;
    made[i].context = context;
    made[i].device = devices[0];
    return context;
}

cl_device_id aval_contexts_device(cl_context context)
{
    for (size_t i = n_made; i-- > 0 && i + MOST_CONTEXTS >= n_made;) { /* the newest first: addresses are used again */
        if (made[i % MOST_CONTEXTS].context == context) return made[i % MOST_CONTEXTS].device;
    }
    return NULL;
}

void aval_contexts_install(struct _cl_icd_dispatch *table)
{
    before = *table;
    table->clCreateContext = create_context;
}
