/* What the files of this folder share: the list of devices behind aval__devices, an open device, its program cache. */
#ifndef AVAL_DEVICE_PRIVATE_H
#define AVAL_DEVICE_PRIVATE_H

#include "device/commands.h"
#include "device/device.h"

#include <pthread.h>

/* One device of one platform, open or not.  Its texts are what drivers returned; the list owns them. */
typedef struct aval__listed {
    cl_platform_id platform;
    cl_device_id id;
    aval_device_info info;
    char *platform_name, *platform_version, *name, *vendor, *driver, *version;
    const char *refusal; /* NULL: usable.  A constant text */
    double most_work; /* see aval__device_most_work */
    bool has_command_buffers; /* cl_khr_command_buffer */
    uint32_t sub_group; /* see aval__usual_sub_group */
    aval__device *open; /* NULL: not open */
    /* What the caller brought (foreign.c), retained; NULL: aval makes its own */
    cl_context context;
    cl_command_queue queue;
    bool brought; /* `id` is retained */
} aval__listed;

/* Sub-devices that a caller may bring: room is kept for them, since callers hold addresses of what is listed. */
#define AVAL__MOST_BROUGHT 64

struct aval__devices {
    const aval__log *log;
    AVAL__VEC(aval__listed) list;
    size_t n_brought; /* at its end */
    pthread_mutex_t lock; /* of every listed `open`, and of the cache folder */
    char *left_out; /* why a device or platform is not in the list, the last of these reasons; NULL: none is missing */
    bool profiled, ignores_tuning;
    bool cache_known; /* cache_folder is decided */
    char *cache_folder; /* NULL: no cache on disk */
};

struct aval__device {
    aval__devices *owner;
    const aval__listed *listed;
    size_t index;
    size_t uses; /* opens without a close yet; under owner->lock */
    cl_context context;
    cl_command_queue queue;
    aval__device *next_held; /* the process's open devices; this and in_clblast under the lock of gemm_clblast.c */
    bool in_clblast; /* CLBlast's cache refers to the context */
    pthread_mutex_t programs_lock;
    struct aval__program *programs; /* uthash */
    aval__commands commands; /* see aval__device_commands */
    struct aval__tuned *tuned; /* tuning.c; NULL: not read yet */
    aval__program_counters counters;
};

/* info.c: asks a device for all that aval wants to know and sets `refusal` where something is missing. */
int aval__listed_query(aval__listed *listed);
/* What such a device gets where the environment does not say otherwise: `group` of its info, and aval__device_most_work. */
uint32_t aval__usual_group(const aval_device_info *info);
/* Work-items of a hardware thread that its kernels of many registers ask for, of the sizes that a device offers (cl_intel_required_subgroup_size); 0: left to
   the compiler. */
uint32_t aval__usual_sub_group(const size_t *sizes, size_t n);
double aval__usual_work(const aval_device_info *info);
void aval__listed_release(aval__listed *listed);
/* Appends "0 cpu  PLATFORM/DEVICE" for one device. */
void aval__listed_print(aval__text *text, const aval__devices *devices, size_t i);

/* foreign.c: the context and, where there is one, the queue that the caller brought for this device. */
int aval__device_take(aval__device *device, bool profiled);

/* commands.c: sets device->commands, once its queue is there.  AVAL_E_ARGUMENT: AVAL_COMMAND_BUFFERS is neither 0 nor 1. */
int aval__device_find_commands(aval__device *device);

/* program.c */
void aval__programs_release(aval__device *device);

/* What decides whether a binary may be used again, besides source and options. */
typedef struct aval__builder {
    const char *platform, *platform_version, *device, *device_version, *driver, *aval_version;
} aval__builder;

/* cache.c: binaries on disk, one file each, named after the key. */
int aval__cache_key(const aval__builder *builder, aval__hash source, const char *options, aval__hash *key);
/* The folder that is used, NULL for none; decided once a list of devices. */
const char *aval__cache_folder(aval__devices *devices);
typedef enum aval__cache_result { AVAL__CACHE_MISS, AVAL__CACHE_HIT, AVAL__CACHE_DAMAGED } aval__cache_result;
/* On a hit *binary (for aval__free) has *bytes. */
aval__cache_result aval__cache_read(const char *folder, aval__hash key, unsigned char **binary, size_t *bytes);
/* Writes a binary and keeps the folder below `limit_bytes`.  A failure is nothing that a user could act on: false, no message. */
bool aval__cache_write(const char *folder, aval__hash key, const unsigned char *binary, size_t bytes, uint64_t limit_bytes);
/* Removes the entries that were not used for longest until at most `limit_bytes` are left. */
void aval__cache_trim(const char *folder, uint64_t limit_bytes);

/* gemm_clblast.c: every open device holds CLBlast's process-wide program cache alive. */
void aval__clblast_hold(aval__device *device);
void aval__clblast_drop(aval__device *device);
/* The open device whose info this is, by address; NULL: of none, as in a plan without devices. */
aval__device *aval__device_of(const aval_device_info *info);

/* clblast_parameters.c: what CLBlast is given in place of its database, once its context is retained. */
void aval__clblast_apply_remembered(aval__device *device);
extern const struct aval__tuner aval__clblast_tuner;

extern const aval__gemm_provider aval__gemm_clblast, aval__gemm_groups, aval__gemm_direct, aval__gemm_winograd, aval__gemm_patches,
    aval__gemm_tiles;

/* gemm.c: the same product with row-major c and with a batch of at least 1.  False when it has no such form. */
bool aval__gemm_normalise(const aval_gemm *gemm, aval_gemm *out);

#endif
