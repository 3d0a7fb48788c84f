/* The table of matrix-product providers and the rule that chooses among them. */
#include "device/private.h"
#include "device/tuning.h"
#include "op/op.h"

#include <stdlib.h>
#include <string.h>

/* AVAL_GEMM names a provider: it is taken wherever it supports the case.  Otherwise
     - what was tuned for such a product on this device is taken (tuning.h);
     - CPU devices take `direct` for products of few channels in groups, `winograd`, then `patches` for what they support, else `tiles`: CLBlast's kernels are laid out for GPUs, and reach a tenth of it
       there (bench gemm).  With a work-group set by AVAL_GROUP they take `groups`, as a GPU does for what is not CLBlast's;
     - other devices take the first provider of this table that supports the case, but for batches of small products: each is a launch or more to CLBlast,
       which takes longer than the product, and all are one to `groups`. */
static const aval__gemm_provider *const providers[] = { &aval__gemm_clblast,  &aval__gemm_groups,  &aval__gemm_direct,
                                                        &aval__gemm_winograd, &aval__gemm_patches, &aval__gemm_tiles };
/* Products of one matrix of a batch below which starting a kernel, some 5 microseconds, is what counts: 10 microseconds at 3 TFLOP/s. */
#define SMALL_PRODUCT (1 << 24)
#define N_PROVIDERS (sizeof providers / sizeof providers[0])

size_t aval__gemm_provider_count(void)
{
    return N_PROVIDERS;
}

const aval__gemm_provider *aval__gemm_provider_at(size_t i)
{
    return i < N_PROVIDERS ? providers[i] : NULL;
}

static bool is_supported(const aval__gemm_provider *p, const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed)
{
    if (gemm->groups > 0 && !p->takes_groups) return false;
    if (aval__gemm_in_blocks(gemm) && (p->takes_blocks == NULL || !p->takes_blocks(info, gemm, type))) return false;
    return p->supports(info, gemm, type) == AVAL_OK || (packed != 0 && p->supports_packed && p->supports_packed(info, gemm, type, packed));
}

static bool find_supporting(const char *name, const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed,
                            size_t *provider)
{
    for (size_t i = 0; i < N_PROVIDERS; i++) {
        if (name != NULL && strcmp(providers[i]->name, name) != 0) continue;
        if (is_supported(providers[i], info, gemm, type, packed)) {
            *provider = i;
            return true;
        }
    }
    return false;
}

static int check_name(const char *name)
{
    for (size_t i = 0; i < N_PROVIDERS; i++) {
        if (strcmp(providers[i]->name, name) == 0) return AVAL_OK;
    }
    return aval__fail(AVAL_E_ARGUMENT, "AVAL_GEMM is '%s': expected clblast, groups, direct, winograd, patches or tiles", name);
}

/* Providers that come before the table's order; ends with NULL. */
static const char *const *preferred(const aval_device_info *info, const aval_gemm *gemm)
{
    static const char *const of_cpu[] = { "direct", "winograd", "patches", "tiles", NULL }, *const of_grouped_cpu[] = { "groups", "tiles",
                                                                                                                        NULL };
    static const char *const of_batch[] = { "groups", NULL }, *const none[] = { NULL };
    if (info->kind == AVAL_DEVICE_CPU) return info->group > 1 ? of_grouped_cpu : of_cpu;
    bool small_batch = gemm->batch > 1 && (double)gemm->m * (double)gemm->n * (double)gemm->k < SMALL_PRODUCT;
    return small_batch ? of_batch : none;
}

static bool find_tuned(const aval_device_info *info, const aval_gemm *gemm, int type, size_t *provider)
{
    const aval__variant tuned = aval__tuning_find(info, gemm, type, NULL);
    return tuned.provider != NULL && find_supporting(tuned.provider->name, info, gemm, type, 0, provider);
}

bool aval__gemm_takes_groups(const aval_device_info *info, const aval_gemm *gemm, int type)
{
    const char *forced = getenv("AVAL_GEMM");
    size_t provider;
    /* The rows of several groups may share a block. */
    if (forced != NULL && (forced[0] == 0 || aval__gemm_in_blocks(gemm))) forced = NULL;
    return find_supporting(forced, info, gemm, type, 0, &provider);
}

int aval__gemm_choose(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed, size_t *provider)
{
    const char *forced = getenv("AVAL_GEMM");
    if (forced != NULL && forced[0] != 0) {
        AVAL__TRY(check_name(forced));
        if (find_supporting(forced, info, gemm, type, packed, provider)) return AVAL_OK;
    }
    if (find_tuned(info, gemm, type, provider)) return AVAL_OK;
    for (const char *const *name = preferred(info, gemm); *name != NULL; name++) {
        if (find_supporting(*name, info, gemm, type, packed, provider)) return AVAL_OK;
    }
    if (find_supporting(NULL, info, gemm, type, packed, provider)) return AVAL_OK;
    return aval__fail(AVAL_E_UNSUPPORTED,
                      "no provider computes a matrix product of type %s, %lld x %lld x %lld, batch %lld%s, on '%s'; doubles need fp64, "
                      "and sizes are below 2^31",
                      aval_type_name(type), (long long)gemm->m, (long long)gemm->n, (long long)gemm->k, (long long)gemm->batch,
                      gemm->b.patches != NULL ? ", from patches" : "", info->name);
}

/* Elements of a result below which a tail gains less, by a launch saved at each run, than its program costs to be built. */
#define LEAST_TAIL ((int64_t)16 << 10)

bool aval__gemm_takes_tail(const aval__gemm_provider *provider, const aval_device_info *info, const aval_gemm *gemm, int type)
{
    const char *forced = getenv("AVAL_TAILS");
    if (provider->takes_tail == NULL || !provider->takes_tail(info, gemm, type)) return false;
    if (forced != NULL && forced[0] != 0) return strcmp(forced, "0") != 0;
    return gemm->m * gemm->n * aval__gemm_results(gemm) >= LEAST_TAIL;
}

bool aval__gemm_normalise(const aval_gemm *gemm, aval_gemm *out)
{
    *out = *gemm;
    if (out->batch == 0) out->batch = 1;
    if (!gemm->c.transposed) return true;
    /* c' = op(b)' op(a)', which needs the patches on the left. */
    if (gemm->b.patches != NULL) return false;
    out->m = gemm->n;
    out->n = gemm->m;
    out->a = gemm->b;
    out->b = gemm->a;
    out->a.transposed = !gemm->b.transposed;
    out->b.transposed = !gemm->a.transposed;
    out->c.transposed = 0;
    return true;
}
