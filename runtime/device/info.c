/* What a device can do: OpenCL's queries turned into aval_device_info, and the reasons why a device cannot be used. */
#include "device/private.h"

#include <CL/cl_ext.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLOOR_VERSION 102 /* OpenCL 1.2 */
#define LARGEST_GROUP 256 /* work-items that reduce together; more gains nothing on any GPU we know */
#define LEAST_ALIGNMENT 64 /* a cache line, and the widest vector */
#define MOST_ALIGNMENT 4096

typedef struct scalar_query {
    cl_device_info what;
    const char *name;
    void *to;
    size_t bytes;
} scalar_query;

static int query_text(aval__listed *l, cl_device_info what, const char *name, char **out)
{
    size_t bytes = 0;
    AVAL__TRY(aval__cl_check(clGetDeviceInfo(l->id, what, 0, NULL, &bytes), "clGetDeviceInfo", "%s", name));
    *out = aval__alloc(bytes + 1);
    if (*out == NULL) return AVAL_E_MEMORY;
    return aval__cl_check(clGetDeviceInfo(l->id, what, bytes, *out, NULL), "clGetDeviceInfo", "%s", name);
}

static int query_platform(aval__listed *l, cl_platform_info what, const char *name, char **out)
{
    size_t bytes = 0;
    AVAL__TRY(aval__cl_check(clGetPlatformInfo(l->platform, what, 0, NULL, &bytes), "clGetPlatformInfo", "%s", name));
    *out = aval__alloc(bytes + 1);
    if (*out == NULL) return AVAL_E_MEMORY;
    return aval__cl_check(clGetPlatformInfo(l->platform, what, bytes, *out, NULL), "clGetPlatformInfo", "%s", name);
}

static bool has_extension(const char *extensions, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = extensions; (at = strstr(at, name)) != NULL; at += length) {
        if ((at == extensions || at[-1] == ' ') && (at[length] == ' ' || at[length] == 0)) return true;
    }
    return false;
}

/* 102 for "OpenCL 1.2 ..."; 0 for a text of another form. */
static int version_number(const char *version)
{
    int major = 0, minor = 0;
    return sscanf(version, "OpenCL %d.%d", &major, &minor) == 2 ? 100 * major + minor : 0;
}

static bool is_power_of_two(unsigned long long x)
{
    return x != 0 && (x & (x - 1)) == 0;
}

uint32_t aval__usual_group(const aval_device_info *info)
{
    uint32_t most = info->max_group < LARGEST_GROUP ? info->max_group : LARGEST_GROUP, group = 1;
    if (info->kind != AVAL_DEVICE_CPU) {
        while (2 * group <= most) group *= 2;
    }
    return group;
}

/* The fewer share a hardware thread, the more registers each has.  Compilers of devices with sizes of 8, 16 and 32 take the largest that spills nothing; of those
   where 16 is the least some take 32 whatever it spills (tests/vendors: ocloc for pvc). */
#define LEAST_OF_COMPILERS_THAT_CHOOSE 8

uint32_t aval__usual_sub_group(const size_t *sizes, size_t n)
{
    size_t least = n > 0 ? sizes[0] : 0;
    for (size_t i = 1; i < n; i++) least = sizes[i] < least ? sizes[i] : least;
    return least > LEAST_OF_COMPILERS_THAT_CHOOSE && least <= LARGEST_GROUP ? (uint32_t)least : 0;
}

static uint32_t choose_sub_group(cl_device_id id, const char *extensions)
{
    size_t sizes[16], bytes = 0;
    if (!has_extension(extensions, "cl_intel_required_subgroup_size")) return 0;
    if (clGetDeviceInfo(id, CL_DEVICE_SUB_GROUP_SIZES_INTEL, sizeof sizes, sizes, &bytes) != CL_SUCCESS) return 0;
    return aval__usual_sub_group(sizes, bytes / sizeof sizes[0]);
}

/* AVAL_GROUP lets a CPU device run what GPUs run, in tests. */
static int choose_group(aval_device_info *info)
{
    uint32_t group = aval__usual_group(info);
    const char *wanted = getenv("AVAL_GROUP");
    if (wanted != NULL && wanted[0] != 0) {
        char *end;
        unsigned long long n = strtoull(wanted, &end, 10);
        if (*end != 0 || !is_power_of_two(n)) {
            return aval__fail(AVAL_E_ARGUMENT, "AVAL_GROUP is '%s': expected a power of two, such as 64", wanted);
        }
        while (n > info->max_group) n /= 2;
        group = (uint32_t)n;
    }
    info->group = group;
    return AVAL_OK;
}

/* Watchdogs end what runs for seconds; half of one is long enough that starting a launch does not count.  No GPU reaches less than this of what it can,
   which is some 20 GFLOP/s a compute unit (Intel's, the smallest) to 400. */
#define MOST_SECONDS 0.5
#define LEAST_SPEED 2e9 /* a second and compute unit */

double aval__usual_work(const aval_device_info *info)
{
    if (info->kind != AVAL_DEVICE_GPU) return 0;
    return MOST_SECONDS * LEAST_SPEED * (info->compute_units > 0 ? info->compute_units : 1);
}

static int choose_most_work(aval__listed *l)
{
    const char *wanted = getenv("AVAL_LAUNCH_WORK");
    l->most_work = aval__usual_work(&l->info);
    if (wanted == NULL || wanted[0] == 0) return AVAL_OK;
    char *end;
    unsigned long long n = strtoull(wanted, &end, 10);
    if (*end != 0 || wanted[0] == '-')
        return aval__fail(AVAL_E_ARGUMENT, "AVAL_LAUNCH_WORK is '%s': expected operations, such as 1000000, or 0 for no bound", wanted);
    l->most_work = (double)n;
    return AVAL_OK;
}

static const char *find_refusal(cl_bool available, cl_bool compiler, cl_bool little_endian, const char *version)
{
    if (!available) return "the driver says that it is not available";
    if (!compiler) return "its driver brings no OpenCL C compiler";
    if (!little_endian) return "it is big-endian";
    if (version_number(version) < FLOOR_VERSION) return "it supports only an OpenCL older than 1.2";
    return NULL;
}

static void free_text(char **text)
{
    aval__free(*text);
    *text = NULL;
}

int aval__listed_query(aval__listed *l)
{
    aval_device_info *info = &l->info;
    cl_device_type type = 0;
    cl_bool available = 0, compiler = 0, little_endian = 0, unified = 0;
    cl_uint units = 0, address_bits = 0, vector_width = 0, align_bits = 0;
    cl_device_fp_config doubles = 0, singles = 0;
    size_t max_group = 0;
    cl_ulong local_bytes = 0, memory_bytes = 0, largest = 0, cache_bytes = 0;
    char *extensions = NULL;
    const scalar_query queries[] = {
#define QUERY(what, variable) { what, #what, &(variable), sizeof(variable) }
        QUERY(CL_DEVICE_TYPE, type),
        QUERY(CL_DEVICE_AVAILABLE, available),
        QUERY(CL_DEVICE_COMPILER_AVAILABLE, compiler),
        QUERY(CL_DEVICE_ENDIAN_LITTLE, little_endian),
        QUERY(CL_DEVICE_HOST_UNIFIED_MEMORY, unified),
        QUERY(CL_DEVICE_SINGLE_FP_CONFIG, singles),
        QUERY(CL_DEVICE_MAX_COMPUTE_UNITS, units),
        QUERY(CL_DEVICE_ADDRESS_BITS, address_bits),
        QUERY(CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, vector_width),
        QUERY(CL_DEVICE_MEM_BASE_ADDR_ALIGN, align_bits),
        QUERY(CL_DEVICE_MAX_WORK_GROUP_SIZE, max_group),
        QUERY(CL_DEVICE_LOCAL_MEM_SIZE, local_bytes),
        QUERY(CL_DEVICE_GLOBAL_MEM_SIZE, memory_bytes),
        QUERY(CL_DEVICE_MAX_MEM_ALLOC_SIZE, largest),
        QUERY(CL_DEVICE_GLOBAL_MEM_CACHE_SIZE, cache_bytes),
#undef QUERY
    };
    int status = AVAL_OK;
    AVAL__TRY_DONE(query_platform(l, CL_PLATFORM_NAME, "CL_PLATFORM_NAME", &l->platform_name));
    AVAL__TRY_DONE(query_platform(l, CL_PLATFORM_VERSION, "CL_PLATFORM_VERSION", &l->platform_version));
    AVAL__TRY_DONE(query_text(l, CL_DEVICE_NAME, "CL_DEVICE_NAME", &l->name));
    AVAL__TRY_DONE(query_text(l, CL_DEVICE_VENDOR, "CL_DEVICE_VENDOR", &l->vendor));
    AVAL__TRY_DONE(query_text(l, CL_DRIVER_VERSION, "CL_DRIVER_VERSION", &l->driver));
    AVAL__TRY_DONE(query_text(l, CL_DEVICE_VERSION, "CL_DEVICE_VERSION", &l->version));
    AVAL__TRY_DONE(query_text(l, CL_DEVICE_EXTENSIONS, "CL_DEVICE_EXTENSIONS", &extensions));
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        const scalar_query *q = &queries[i];
        AVAL__TRY_DONE(aval__cl_check(clGetDeviceInfo(l->id, q->what, q->bytes, q->to, NULL), "clGetDeviceInfo", "%s", q->name));
    }
    /* A core query of OpenCL 1.2 only: on an older device its failure means no doubles. */
    if (clGetDeviceInfo(l->id, CL_DEVICE_DOUBLE_FP_CONFIG, sizeof doubles, &doubles, NULL) != CL_SUCCESS) doubles = 0;

    uint32_t align_bytes = align_bits / 8;
    if (align_bytes < LEAST_ALIGNMENT || !is_power_of_two(align_bytes)) align_bytes = LEAST_ALIGNMENT;
    *info = (aval_device_info){
        .size = sizeof *info,
        .platform = l->platform_name,
        .name = l->name,
        .vendor = l->vendor,
        .driver = l->driver,
        .version = l->version,
        .kind = type & CL_DEVICE_TYPE_GPU   ? AVAL_DEVICE_GPU
                : type & CL_DEVICE_TYPE_CPU ? AVAL_DEVICE_CPU
                                            : AVAL_DEVICE_OTHER,
        .compute_units = units,
        .address_bits = address_bits,
        .fp64 = doubles != 0,
        .fp16 = has_extension(extensions, "cl_khr_fp16"),
        .unified_memory = unified != 0,
        .float_vector_width = vector_width > 0 ? vector_width : 1,
        .max_group = max_group > UINT32_MAX ? UINT32_MAX : (uint32_t)max_group,
        .alignment_bytes = align_bytes > MOST_ALIGNMENT ? MOST_ALIGNMENT : align_bytes,
        .local_bytes = local_bytes,
        .memory_bytes = memory_bytes,
        .largest_allocation_bytes = largest,
        .cache_bytes = cache_bytes,
        .denormals = (singles & CL_FP_DENORM) != 0,
    };
    AVAL__TRY_DONE(choose_group(info));
    AVAL__TRY_DONE(choose_most_work(l));
    l->sub_group = choose_sub_group(l->id, extensions);
    l->has_command_buffers = has_extension(extensions, "cl_khr_command_buffer");
    l->refusal = find_refusal(available, compiler, little_endian, l->version);
done:
    aval__free(extensions);
    return status;
}

void aval__listed_release(aval__listed *l)
{
    free_text(&l->platform_name);
    free_text(&l->platform_version);
    free_text(&l->name);
    free_text(&l->vendor);
    free_text(&l->driver);
    free_text(&l->version);
    if (l->queue != NULL) clReleaseCommandQueue(l->queue);
    if (l->context != NULL) clReleaseContext(l->context);
    if (l->brought) clReleaseDevice(l->id);
}
