/* What a launch's program is built with. */
#include "op/op.h"

#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(((const aval_define *)a)->name, ((const aval_define *)b)->name);
}

int aval__launch_build_of(const aval_launch *launch, int s_type, aval__launch_build *build)
{
    const size_t n = launch->n_defines;
    if (n > AVAL__MOST_DEFINES)
        return aval__fail(AVAL_E_PLUGIN, "launch %s: expected at most %d macros, found %zu", launch->kernel, AVAL__MOST_DEFINES, n);
    build->s_type = (uint32_t)s_type;
    build->i_type = launch->i_type ? launch->i_type : AVAL_INT64;
    build->d_type = launch->d_type ? launch->d_type : build->s_type;
    build->n_defines = n;
    if (n > 0) {
        memcpy(build->defines, launch->defines, n * sizeof *build->defines);
        qsort(build->defines, n, sizeof *build->defines, by_name);
    }
    return AVAL_OK;
}

void aval__launch_options(const aval__launch_build *build, aval__text *out)
{
    aval__text_add(out, "-DS_TYPE=%u -DI_TYPE=%u -DD_TYPE=%u", (unsigned)build->s_type, (unsigned)build->i_type, (unsigned)build->d_type);
    for (size_t i = 0; i < build->n_defines; i++)
        aval__text_add(out, " -D%s=%lld", build->defines[i].name, (long long)build->defines[i].value);
}
