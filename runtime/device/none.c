/* Why there is no device: no driver is registered with the ICD loader, or one is and did not start. */
#include "device/private.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define USUAL_VENDORS "/etc/OpenCL/vendors"

/* The names of the drivers' files, with a comma between; `where` is a folder of *.icd files, or one such file. */
static void list_drivers(const char *where, aval__text *names)
{
    DIR *folder = opendir(where);
    const char *file = strrchr(where, '/');
    if (!folder) {
        if (strstr(where, ".icd")) aval__text_add(names, "%s", file ? file + 1 : where);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        size_t length = strlen(entry->d_name);
        if (length < 5 || strcmp(entry->d_name + length - 4, ".icd") != 0) continue;
        aval__text_add(names, "%s%s", names->length ? ", " : "", entry->d_name);
    }
    closedir(folder);
}

int aval__devices_fail_none(const aval__devices *devices)
{
    if (devices->left_out) return aval__fail(AVAL_E_DEVICE, "no OpenCL device can be used: %s", devices->left_out);
    const char *named = getenv("OCL_ICD_VENDORS"), *where = named && named[0] ? named : USUAL_VENDORS;
    aval__text names = { 0 };
    list_drivers(where, &names);
    int status =
        names.failed ? AVAL_E_MEMORY
        : names.length
            ? aval__fail(AVAL_E_UNKNOWN,
                         "no OpenCL device was found, although drivers are registered in %s (%s): they did not start; PoCL needs a "
                         "folder for its cache that can be written (set POCL_CACHE_DIR), GPUs need rights to their device files",
                         where, names.at)
            : aval__fail(AVAL_E_UNKNOWN,
                         "no OpenCL device was found: install the OpenCL driver of your GPU, or PoCL, which runs on any processor "
                         "(Debian and Ubuntu: apt install ocl-icd-libopencl1 pocl-opencl-icd)");
    aval__text_release(&names);
    return status;
}
