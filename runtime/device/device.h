/* Devices, programs and matrix products: the part of aval that talks to OpenCL, with exec.  Each device has a cl_context and a queue
 * of its own; devices of different platforms share nothing. */
#ifndef AVAL_DEVICE_H
#define AVAL_DEVICE_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>

#include "base/base.h"

typedef struct aval__devices aval__devices; /* all devices of all platforms, and what was opened of them */
typedef struct aval__device aval__device; /* an opened device */

/* "CL_OUT_OF_RESOURCES"; "CL error -9999" for a number without a name (static buffer a thread). */
const char *aval__cl_name(cl_int code);
/* Message "clEnqueueNDRangeKernel: CL_OUT_OF_RESOURCES (<detail>)" and AVAL_E_DEVICE, or AVAL_E_DEVICE_MEMORY for OpenCL's out of memory
   codes; 0 when `code` is CL_SUCCESS. */
int aval__cl_check(cl_int code, const char *call, const char *format, ...) AVAL__PRINTF(3, 4);

/* Waits until all that was put on a queue is done; `detail` is for the message.  Not by clFinish: that of rusticl (Mesa 22.3) does not wait
   for what was flushed before, so that memory was given back, and the process ended, under a driver still at work. */
int aval__queue_wait(cl_command_queue queue, const char *detail);

/* Lists platforms and devices; opens none.  A machine without any platform gives an empty list. */
int aval__devices_create(const aval__log *log, aval__devices **out);
void aval__devices_release(aval__devices *devices);
size_t aval__devices_count(const aval__devices *devices);
const aval_device_info *aval__devices_info(const aval__devices *devices, size_t i);
const char *aval__devices_refusal(const aval__devices *devices, size_t i); /* NULL: usable */
/* Index of the one device that a selector means; AVAL_E_UNKNOWN lists what there is, AVAL_E_ARGUMENT lists several matches. */
int aval__devices_find(const aval__devices *devices, const char *selector, size_t *index);
/* AVAL_E_UNKNOWN for a list without devices: what to install, or which installed driver did not start, and why that may be; AVAL_E_DEVICE
   where one did not answer. */
int aval__devices_fail_none(const aval__devices *devices);
/* Index of the device that is taken when the user names none. */
int aval__devices_best(const aval__devices *devices, size_t *index);

/* The device is to work in the caller's cl_context and on his queue (NULL: on one of aval's), all retained.  It may be a sub-device, which comes
   to the end of the list.  Before it is opened. */
int aval__devices_bring(aval__devices *devices, cl_context context, cl_device_id id, cl_command_queue queue, size_t *index);
/* Devices that are opened from now on keep the times of each command (CL_QUEUE_PROFILING_ENABLE). */
void aval__devices_profile(aval__devices *devices);
/* Nothing that was tuned is read or taken, from now on; AVAL_TUNED=0 in the environment does the same. */
void aval__devices_ignore_tuning(aval__devices *devices);
/* How many devices before this one are called the same: two equal cards are told apart by their order. */
size_t aval__devices_ordinal(const aval__devices *devices, size_t index);
/* Opens a device, or gives the one that is open (counted).  Its info may be more exact after opening. */
int aval__device_open(aval__devices *devices, size_t index, aval__device **out);
void aval__device_close(aval__device *device);

const aval_device_info *aval__device_info(const aval__device *device);
cl_context aval__device_context(const aval__device *device);
cl_device_id aval__device_id(const aval__device *device);
/* Multiplications and additions that one launch should not pass, so that the watchdog of a GPU that drives a display never ends it; 0: no bound.  AVAL_LAUNCH_WORK
   sets it on any device. */
double aval__device_most_work(const aval__device *device);
cl_command_queue aval__device_queue(const aval__device *device); /* in order; launches and copies */

/* ---- Programs: built once a device from source and options, kept in memory and on disk ----------------------------------------------- */

typedef struct aval__program_counters {
    uint64_t built; /* from source */
    uint64_t from_disk;
    uint64_t damaged; /* cache entries that were not usable */
} aval__program_counters;

/* The built program for a source; owned by the device.  AVAL_E_BUILD has kernel file, device, options and the compiler's log.
   May be called by several threads. */
int aval__device_program(aval__device *device, const char *name, const char *text, aval__hash text_hash, const char *options,
                         cl_program *program);
void aval__device_program_counters(const aval__device *device, aval__program_counters *counters);

/* The folder of the on-disk cache: AVAL_CACHE_DIR, else $XDG_CACHE_HOME/aval, else ~/.cache/aval; made with mode 0700.  AVAL_CACHE_DIR=""
   turns it off.  A folder that another user owns or can write is not used (one warning). */

/* ---- Matrix products (the only caller of CLBlast) ---------------------------------------------------------------------------------------- */

typedef struct aval__gemm_operands {
    cl_mem a, b, c; /* of the tensors that aval_gemm names */
    cl_mem scratch; /* from its first byte on (a sub-buffer, where it is part of an arena); NULL when scratch_bytes is 0 */
    int64_t a_offset, b_offset, c_offset; /* elements at which the tensors start; aval_gemm's own offsets are added */
    uint64_t scratch_bytes;
} aval__gemm_operands;

typedef struct aval__gemm_provider {
    const char *name;
    /* 0 when it can compute this on such a device, else a negative code without a message. */
    int (*supports)(const aval_device_info *info, const aval_gemm *gemm, int type);
    /* Whether it is worth while, too, where operands are packed once for many products: bit 0 of `packed` for a, bit 1 for b.  NULL: where `supports`
       says so. */
    bool (*supports_packed)(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed);
    /* `packed`: bit 0 where a, bit 1 where b will be given packed. */
    uint64_t (*scratch_bytes)(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed);
    /* Both NULL where the provider packs nothing for many products.  Bytes of operand 0 (a) or 1 (b) in the order that this product reads best, 0:
       as it lies; and the launches that write it so into `to`, of type uint8.  Products of equal operands (shape, strides) share them. */
    uint64_t (*packed_bytes)(const aval_device_info *info, const aval_gemm *gemm, int type, int operand);
    int (*pack)(const aval_device_info *info, const aval_gemm *gemm, int type, int operand, const aval_tensor *to, aval_call *call);
    /* Exactly one of the two.  record: pure planning, gives launches through aval__host.launch on `source`; `scratch` is a tensor of
       scratch_bytes elements of type uint8, NULL when that is 0; packed[0] is a and packed[1] is b as `pack` has written it, or NULL;
       `tail`: the launches that store the result have the macro TAIL, see takes_tail.
       enqueue: puts the product on the device's queue, never waits. */
    int (*record)(const aval_device_info *info, const aval_gemm *gemm, int type, const aval_tensor *scratch,
                  const aval_tensor *const *packed, bool tail, aval_call *call);
    int (*enqueue)(aval__device *device, const aval_gemm *gemm, int type, const aval__gemm_operands *operands);
    const aval_kernel_source *source; /* of `record` */
    /* Whether a tail (kernels/tail.clh) can be computed as this product is stored; NULL: never. */
    bool (*takes_tail)(const aval_device_info *info, const aval_gemm *gemm, int type);
    /* Computes with fractions of what it is given, so that a result of whole numbers is whole but for rounding. */
    bool rounds;
    /* Whether it computes a product whose images or rows lie in blocks (aval_gemm.b_block, c_block); NULL: never. */
    bool (*takes_blocks)(const aval_device_info *info, const aval_gemm *gemm, int type);
    bool takes_groups; /* of aval_gemm; else it is asked for the products of each group by themselves */
    const struct aval__tuner *tuner; /* what may be chosen by measuring (tuning.h); NULL: nothing */
} aval__gemm_provider;

/* The table, in order of preference where nothing was measured. */
size_t aval__gemm_provider_count(void);
const aval__gemm_provider *aval__gemm_provider_at(size_t i);
/* The provider for a shape class on a device: AVAL_GEMM (environment; a provider's name) if it is set and supports the case, else the one that
   was tuned for it, else the first that supports it by the rules in gemm.c.  `packed`: which operands can be packed once for many products, as bits. */
int aval__gemm_choose(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed, size_t *provider);
/* Whether the groups of a product that has some go to one provider, AVAL_GEMM's if it is set; else each is a product of its own. */
bool aval__gemm_takes_groups(const aval_device_info *info, const aval_gemm *gemm, int type);
/* Whether the provider takes a tail here and that pays. */
bool aval__gemm_takes_tail(const aval__gemm_provider *provider, const aval_device_info *info, const aval_gemm *gemm, int type);

#endif
