/* Which way of computing a matrix product is fastest on a device: found by measuring (`aval tune`), remembered in the cache folder beside the
 * verdicts, and taken by every later plan.
 *
 * A *variant* is a provider with values for its *knobs*: what its layout leaves open, such as rows of the register tile or work-items a compute
 * unit.  A knob at 0 is as the provider's model of the device has it, so the variant of zeros is the untuned default.  A *class* is the shape of
 * a product, with sizes above 32 rounded to a quarter of a power of two; a variant is remembered by class.
 *
 * Ops that compute no product have work-groups to choose: their variants have no provider, and their classes are the caller's (exec/groups.c). */
#ifndef AVAL_DEVICE_TUNING_H
#define AVAL_DEVICE_TUNING_H

#include "device/device.h"

typedef enum aval__knob {
    AVAL__KNOB_METHOD, /* 1 and up: of the provider's `methods` */
    AVAL__KNOB_ROWS, /* of the register tile */
    AVAL__KNOB_VECTOR, /* floats in a vector */
    AVAL__KNOB_VECTORS, /* in a row of the register tile */
    AVAL__KNOB_ITEMS, /* work-items a compute unit */
    AVAL__KNOB_BLOCK, /* of what a work-item goes through at a time: panels, or KiB */
    AVAL__KNOB_SLICE, /* steps of k at a time */
    AVAL__KNOB_OWN, /* 1: packed for all, 2: each work-item packs for itself */
    AVAL__KNOB_TILE, /* 1 and up: of the provider's table of tiles */
    AVAL__KNOB_PARTS, /* of a sum, each by other work-groups */
    AVAL__KNOB_GROUP, /* of no provider, as the next: work-items that make a result of an op together */
    AVAL__KNOB_OPEN, /* work-items in a group where an op leaves it open */
    AVAL__KNOBS
} aval__knob;

typedef struct aval__variant {
    const aval__gemm_provider *provider; /* NULL: by the rules in gemm.c */
    int32_t knobs[AVAL__KNOBS];
} aval__variant;

#define AVAL__MOST_KNOB_VALUES 8

/* What a provider can be told. */
typedef struct aval__knob_range {
    aval__knob knob;
    int32_t values[AVAL__MOST_KNOB_VALUES]; /* ends with 0 */
} aval__knob_range;

typedef struct aval__tuner {
    const aval__knob_range *ranges;
    size_t n_ranges;
    const char *const *methods; /* ends with NULL; NULL: no such knob */
    /* Whether a product can be computed so.  Values are of the ranges. */
    bool (*fits)(const aval_device_info *info, const aval_gemm *gemm, int type, const aval__variant *variant);
} aval__tuner;

static inline int64_t aval__knob_or(const aval__variant *v, aval__knob knob, int64_t otherwise)
{
    return v->knobs[knob] > 0 ? v->knobs[knob] : otherwise;
}

/* Whether a variant of no provider says which work-groups an op takes. */
static inline bool aval__variant_has_groups(const aval__variant *v)
{
    return v->provider == NULL && (v->knobs[AVAL__KNOB_GROUP] > 0 || v->knobs[AVAL__KNOB_OPEN] > 0);
}

/* ---- What is chosen (tuning.c) ------------------------------------------------------------------------------------------------------- */

#define AVAL__CLASS_LENGTH 160
#define AVAL__VARIANT_LENGTH 160

/* "float 128 x 512 x 784", with what else matters behind. */
void aval__tuning_class(const aval_gemm *gemm, int type, char out[AVAL__CLASS_LENGTH]);
/* A size as it stands in classes. */
int64_t aval__tuning_round(int64_t size);
/* "tiles method=panels rows=14"; "default", or "default group=64 open=128", for no provider.  The reading fails for what no provider's ranges have. */
void aval__variant_print(const aval__variant *variant, char out[AVAL__VARIANT_LENGTH]);
bool aval__variant_read(const char *text, aval__variant *out);

/* The variant that a device takes for a product: on trial, else remembered; zeros where there is none, where it is another provider's than
   `provider` (NULL: any), or where the device is not open. */
aval__variant aval__tuning_find(const aval_device_info *info, const aval_gemm *gemm, int type, const aval__gemm_provider *provider);
/* Whether work-groups of any op are remembered. */
bool aval__tuning_has_groups(aval__device *device);
/* What is remembered under this name; zeros: nothing. */
aval__variant aval__tuning_find_class(aval__device *device, const char *class);
/* All products that are laid out for the device take this one, until it is NULL. */
void aval__tuning_try(aval__device *device, const aval__variant *variant);
/* In memory and, unless `remember` is false, on disk, which is no failure where it does not work. */
int aval__tuning_set(aval__device *device, const char *class, const aval__variant *variant, bool remember);
/* Nothing is remembered of the device any more, on disk neither. */
int aval__tuning_forget(aval__device *device);
/* Changes with what is chosen; 0: nothing is. */
uint64_t aval__tuning_stamp(aval__device *device);
/* Each class with its variant, sorted by class. */
void aval__tuning_visit(aval__device *device, void (*visit)(void *user, const char *class, const aval__variant *variant), void *user);
void aval__tuning_release(aval__device *device);

/* ---- A product on trial (tuning_run.c) ------------------------------------------------------------------------------------------------ */

/* Operands with contents, and what the result must be. */
typedef struct aval__trial aval__trial;

/* AVAL_E_UNSUPPORTED, without a message, where the type is neither float nor double or the operands are too large.  The gemm's own
   tensors are not looked at. */
int aval__trial_create(aval__device *device, const aval_gemm *gemm, int type, aval__trial **out);
void aval__trial_release(aval__trial *trial);
/* Makes the launches of this variant.  *signature is equal for variants that launch the same. */
int aval__trial_record(aval__trial *trial, const aval__variant *variant, uint64_t *signature);
/* Runs them once, and compares all of the result with the host's. */
int aval__trial_judge(aval__trial *trial, bool *right);
/* Median seconds of a run, of `rounds` rounds that each take some milliseconds. */
int aval__trial_time(aval__trial *trial, size_t rounds, double *seconds);
/* Multiplications and additions of a run. */
double aval__trial_flops(const aval__trial *trial);

/* ---- Choosing (tuning_pick.c) --------------------------------------------------------------------------------------------------------- */

/* What is tried: `record` makes ready to run a variant, *signature being equal for those that launch the same, and AVAL_E_UNSUPPORTED without
   a message saying that it does not exist; `judge` and `time` are then of that one, as aval__trial_judge and aval__trial_time. */
typedef struct aval__contest {
    void *user;
    int (*record)(void *user, const aval__variant *variant, uint64_t *signature);
    int (*judge)(void *user, bool *right);
    int (*time)(void *user, size_t rounds, double *seconds);
} aval__contest;

typedef struct aval__candidate {
    aval__variant variant;
    double seconds; /* 0: not timed */
    bool right;
    bool chosen;
} aval__candidate;

typedef struct aval__choice {
    char class[AVAL__CLASS_LENGTH];
    double flops, bytes; /* of a run; 0: not counted */
    AVAL__VEC(aval__candidate) tried; /* the default first */
    size_t best; /* of `tried` */
    bool complete; /* false: the time was over before all were tried */
} aval__choice;

/* Tries variants for at most about `seconds`, beside those in `planted` (tests), and finds the fastest of those that are right.  The default stays where
   none is at least 3 % faster; where the default itself is wrong, another is taken.  AVAL_E_UNSUPPORTED, without a message, as aval__trial_create;
   AVAL_E_CHECK where none is right. */
int aval__tuning_pick(aval__device *device, const aval_gemm *gemm, int type, double seconds, const aval__variant *planted, size_t n_planted,
                      aval__choice *out);
/* The same for the work-groups of an op; out->class, and what a run moves and computes, are the caller's. */
int aval__tuning_pick_groups(const aval_device_info *info, const aval__contest *contest, double seconds, aval__choice *out);
void aval__choice_release(aval__choice *choice);

/* ---- CLBlast's parameters (clblast_parameters.c) --------------------------------------------------------------------------------------- */

/* Whether set `number` (from 1) of parameters has work-groups and local memory that the device has. */
bool aval__clblast_set_fits(const aval_device_info *info, int type, int32_t number);
/* CLBlast's products of this type on this device are computed with this set from now on, in all of the process: plans made before may have too
   little scratch memory for it. */
int aval__clblast_apply(aval__device *device, int type, int32_t number);
/* Tries all sets for the products, which it sorts, and finds the one with which all of them together are fastest; CLBlast's database is the first tried, and
   stays where none is 3 % faster.  out->flops and seconds are of one run of each.  CLBlast is left with the last set that was tried.
   AVAL_E_UNSUPPORTED, without a message, where CLBlast computes none of them; AVAL_E_CHECK where no set is right. */
int aval__clblast_tune(aval__device *device, int type, const aval_gemm **products, size_t n, double seconds, aval__choice *out);

#endif
