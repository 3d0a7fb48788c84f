#include "building.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char building_source[] = "__kernel void set(__global int *x) { x[get_global_id(0)] = VALUE; }\n"
                               "#ifdef MORE\n"
                               "__kernel void more(__global int *x) { x[0] = 0; }\n"
                               "#endif\n";
const char *building_platform = "Some platform";

static void set_text(char **text, const char *to)
{
    aval__free(*text);
    *text = aval__copy_text(to);
}

aval__program_counters build_once(const char *options, const char *driver)
{
    harness h;
    cl_program program;
    aval__program_counters counters;
    harness_open(&h);
    aval__listed *l = &h.devices->list.at[h.device->index];
    set_text(&l->platform_name, building_platform);
    if (driver != NULL) set_text(&l->driver, driver);
    cr_assert_eq(aval__device_program(h.device, "set.cl", building_source, aval__hash_bytes(building_source, strlen(building_source)),
                                      options, &program),
                 AVAL_OK, "%s", aval_error());
    cl_int code, value = 0;
    cl_kernel kernel = clCreateKernel(program, "set", &code);
    cr_assert_eq(code, CL_SUCCESS);
    placed x = harness_tensor(&h, AVAL_INT32, 0, 1);
    cr_assert_eq(clSetKernelArg(kernel, 0, sizeof x.buffer, &x.buffer), CL_SUCCESS);
    cr_assert_eq(clEnqueueNDRangeKernel(aval__device_queue(h.device), kernel, 1, NULL, &(size_t){ 1 }, NULL, 0, NULL, NULL), CL_SUCCESS);
    harness_read(&h, &x, &value);
    cr_expect_eq(value, atoi(strchr(options, '=') + 1), "the program of other options was taken");
    clReleaseMemObject(x.buffer);
    clReleaseKernel(kernel);
    aval__device_program_counters(h.device, &counters);
    harness_close(&h);
    return counters;
}

void find_entry(const char *folder, char *path, size_t bytes)
{
    size_t found = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        if (strstr(d->d_name, ".program") == NULL) continue;
        snprintf(path, bytes, "%s/%.60s", folder, d->d_name);
        found++;
    }
    closedir(dir);
    cr_assert_eq(found, 1, "%zu entries", found);
}
