/* Parameters of CLBlast's kernels: sets of tile sizes that they can be built with in place of those of CLBlast's database, which knows some hundred
 * devices and guesses for all others.  CLBlast keeps one set a device and type for the whole process, and builds its programs anew when it changes;
 * so one set is chosen for all products of a type, by measuring (`aval tune --clblast`), and is given to CLBlast before it first sees the device.
 * CLBlast's interface for C cannot tell what its database has, nor go back to it: that is left to new processes. */
#include "device/private.h"
#include "device/tuning.h"

#include <clblast_c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define MOST_PRODUCTS 8 /* that are measured, the largest */
#define ROUNDS 5
#define LEAST_GAIN 0.97 /* of the database's time, that another must not pass to be taken in its place */

/* ---- The sets ------------------------------------------------------------------------------------------------------------------------ */

/* Of Xgemm, for large products: a work-group of MDIMC x NDIMC computes MWG x NWG elements, KWG steps at a time; SA, SB: operands are staged in local
   memory; VWM, VWN: vector widths. */
static const char *const large_names[] = { "GEMMK", "KREG", "KWG", "KWI", "MDIMA", "MDIMC", "MWG", "NDIMB",
                                           "NDIMC", "NWG",  "SA",  "SB",  "STRM",  "STRN",  "VWM", "VWN" };
/* Of XgemmDirect, for small ones, which reads operands as they lie: MDIMCD x NDIMCD work-items for WGD x WGD elements. */
static const char *const direct_names[] = { "KWID", "MDIMAD", "MDIMCD", "NDIMBD", "NDIMCD", "PADA", "PADB", "VWMD", "VWND", "WGD" };

typedef struct set {
    size_t large[LENGTH(large_names)], direct[LENGTH(direct_names)];
} set;

/* From tiles for large GPUs with local memory to those for small ones without. */
static const set sets[] = {
    { { 0, 1, 16, 2, 16, 16, 128, 16, 16, 128, 1, 1, 0, 0, 4, 4 }, { 2, 8, 8, 8, 8, 1, 1, 4, 4, 32 } },
    { { 0, 1, 32, 2, 16, 16, 64, 16, 16, 64, 1, 1, 0, 0, 4, 4 }, { 2, 16, 16, 16, 16, 1, 1, 2, 2, 32 } },
    { { 0, 1, 16, 2, 8, 8, 64, 8, 8, 64, 1, 1, 0, 0, 4, 4 }, { 2, 8, 8, 8, 8, 1, 1, 4, 4, 32 } },
    { { 0, 1, 16, 2, 16, 16, 128, 8, 8, 64, 1, 1, 0, 0, 4, 4 }, { 2, 8, 8, 8, 8, 1, 1, 2, 2, 32 } },
    { { 0, 1, 32, 2, 8, 8, 64, 8, 8, 64, 0, 0, 0, 0, 4, 4 }, { 2, 8, 8, 8, 8, 1, 1, 4, 4, 32 } },
    { { 0, 1, 32, 2, 8, 8, 32, 8, 8, 32, 0, 0, 0, 0, 4, 4 }, { 2, 8, 8, 8, 8, 0, 0, 1, 1, 8 } },
    { { 0, 1, 16, 2, 16, 16, 64, 8, 8, 32, 0, 0, 0, 0, 4, 4 }, { 2, 8, 8, 8, 8, 1, 1, 2, 2, 32 } },
};

static const aval__knob_range ranges[] = { { AVAL__KNOB_TILE, { 1, 2, 3, 4, 5, 6, 7 } } };
_Static_assert(LENGTH(sets) < AVAL__MOST_KNOB_VALUES, "each set is a value of the knob");

/* What is one for all products is not a product's own choice. */
static bool fits_no_product(const aval_device_info *info, const aval_gemm *gemm, int type, const aval__variant *variant)
{
    (void)info;
    (void)gemm;
    (void)type;
    (void)variant;
    return false;
}

const aval__tuner aval__clblast_tuner = { .ranges = ranges, .n_ranges = LENGTH(ranges), .fits = fits_no_product };

static size_t value_of(const char *const *names, const size_t *values, const char *name)
{
    size_t i = 0;
    while (strcmp(names[i], name) != 0) i++;
    return values[i];
}

bool aval__clblast_set_fits(const aval_device_info *info, int type, int32_t number)
{
    const set *s = &sets[number - 1];
#define LARGE(name) value_of(large_names, s->large, name)
#define DIRECT(name) value_of(direct_names, s->direct, name)
    size_t staged = LARGE("KWG") * (LARGE("SA") * LARGE("MWG") + LARGE("SB") * LARGE("NWG"));
    size_t staged_directly = DIRECT("WGD") * (2 * DIRECT("WGD") + DIRECT("PADA") + DIRECT("PADB"));
    size_t items = LARGE("MDIMC") * LARGE("NDIMC"), items_directly = DIRECT("MDIMCD") * DIRECT("NDIMCD");
#undef LARGE
#undef DIRECT
    size_t most = staged > staged_directly ? staged : staged_directly;
    return (items > items_directly ? items : items_directly) <= info->max_group && most * aval_type_bytes(type) <= info->local_bytes;
}

int aval__clblast_apply(aval__device *device, int type, int32_t number)
{
    const CLBlastPrecision precision = type == AVAL_DOUBLE ? CLBlastPrecisionDouble : CLBlastPrecisionSingle;
    const set *s = &sets[number - 1];
    const char *names[LENGTH(large_names)];
    memcpy(names, large_names, sizeof large_names);
    CLBlastStatusCode code = CLBlastOverrideParameters(device->listed->id, "Xgemm", precision, LENGTH(large_names), names, s->large);
    memcpy(names, direct_names, sizeof direct_names);
    if (code == CLBlastSuccess)
        code = CLBlastOverrideParameters(device->listed->id, "XgemmDirect", precision, LENGTH(direct_names), names, s->direct);
    if (code == CLBlastSuccess) return AVAL_OK;
    return aval__fail(AVAL_E_DEVICE, "CLBlastOverrideParameters: this CLBlast takes other parameters than those of 1.5 (code %d)",
                      (int)code);
}

/* ---- What is remembered --------------------------------------------------------------------------------------------------------------- */

static void name_class(int type, char out[AVAL__CLASS_LENGTH])
{
    snprintf(out, AVAL__CLASS_LENGTH, "%s, parameters of CLBlast", aval_type_name(type));
}

void aval__clblast_apply_remembered(aval__device *device)
{
    static const int types[] = { AVAL_FLOAT, AVAL_DOUBLE };
    for (size_t i = 0; i < LENGTH(types); i++) {
        char class[AVAL__CLASS_LENGTH];
        name_class(types[i], class);
        const aval__variant v = aval__tuning_find_class(device, class);
        int32_t number = v.provider == &aval__gemm_clblast ? v.knobs[AVAL__KNOB_TILE] : 0;
        if (number > 0 && aval__clblast_set_fits(aval__device_info(device), types[i], number) &&
            aval__clblast_apply(device, types[i], number) < 0)
            aval__log_write(device->owner->log, AVAL_LOG_WARNING, "%s", aval_error());
    }
}

/* ---- Measuring ------------------------------------------------------------------------------------------------------------------------ */

static double flops_of(const aval_gemm *g)
{
    return (double)g->m * (double)g->n * (double)g->k * (double)(g->batch > 1 ? g->batch : 1);
}

static int larger_first(const void *a, const void *b)
{
    double x = flops_of(*(const aval_gemm *const *)a), y = flops_of(*(const aval_gemm *const *)b);
    return (x < y) - (x > y);
}

/* All products with what CLBlast has at present: the sum of their times, where all are right.  Only memory of the host that is missing is a failure. */
static int try_set(aval__trial *const *trials, size_t n, aval__candidate *c)
{
    const aval__variant plain = { .provider = &aval__gemm_clblast };
    uint64_t signature;
    c->right = true;
    for (size_t i = 0; i < n && c->right; i++) {
        double seconds = 0;
        int status = aval__trial_record(trials[i], &plain, &signature);
        if (status == AVAL_OK) status = aval__trial_judge(trials[i], &c->right);
        if (status == AVAL_OK && c->right) status = aval__trial_time(trials[i], ROUNDS, &seconds);
        if (status == AVAL_E_MEMORY) return status;
        if (status < 0) c->right = false;
        c->seconds += seconds;
    }
    if (!c->right) c->seconds = 0;
    return AVAL_OK;
}

static int try_sets(aval__device *device, int type, aval__trial *const *trials, size_t n, double end, aval__choice *out)
{
    for (int32_t number = 0; number <= (int32_t)LENGTH(sets); number++) {
        aval__candidate c = { .variant = { .provider = &aval__gemm_clblast } };
        if (number > 0 && aval__seconds() > end) {
            out->complete = false;
            break;
        }
        c.variant.knobs[AVAL__KNOB_TILE] = number;
        if (number > 0) {
            if (!aval__clblast_set_fits(aval__device_info(device), type, number)) continue;
            AVAL__TRY(aval__clblast_apply(device, type, number));
        }
        AVAL__TRY(try_set(trials, n, &c));
        AVAL__TRY(aval__vec_push(&out->tried, c));
    }
    for (size_t i = 1; i < out->tried.count; i++) {
        const aval__candidate *best = &out->tried.at[out->best], *c = &out->tried.at[i];
        double needed = best->seconds * (out->best == 0 ? LEAST_GAIN : 1);
        if (c->right && (!best->right || c->seconds < needed)) out->best = i;
    }
    if (!out->tried.at[out->best].right)
        return aval__fail(AVAL_E_CHECK, "CLBlast's products are wrong with every set of parameters on '%s'",
                          aval__device_info(device)->name);
    out->tried.at[out->best].chosen = true;
    return AVAL_OK;
}

int aval__clblast_tune(aval__device *device, int type, const aval_gemm **products, size_t n, double seconds, aval__choice *out)
{
    aval__trial *trials[MOST_PRODUCTS];
    size_t n_trials = 0;
    double end = aval__seconds() + seconds;
    int status = AVAL_OK;
    *out = (aval__choice){ .complete = true };
    name_class(type, out->class);
    qsort(products, n, sizeof *products, larger_first);
    for (size_t i = 0; i < n && n_trials < MOST_PRODUCTS && status == AVAL_OK; i++) {
        if (aval__gemm_clblast.supports(aval__device_info(device), products[i], type) != AVAL_OK) continue;
        status = aval__trial_create(device, products[i], type, &trials[n_trials]);
        if (status == AVAL_OK) out->flops += aval__trial_flops(trials[n_trials++]);
        else if (status == AVAL_E_UNSUPPORTED) status = AVAL_OK; /* too large to be tried */
    }
    if (status == AVAL_OK) status = n_trials == 0 ? AVAL_E_UNSUPPORTED : try_sets(device, type, trials, n_trials, end, out);
    while (n_trials > 0) aval__trial_release(trials[--n_trials]);
    if (status < 0) aval__choice_release(out);
    return status;
}
