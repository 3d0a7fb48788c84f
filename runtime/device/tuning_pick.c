/* Which variant is the fastest of those that are right: first each provider and each of its methods, then from the best so far one knob after
 * the other, as long as that gains and there is time.  The best few are measured once more, in turns, so that no slow moment decides. */
#include "device/private.h"
#include "device/tuning.h"

#include <stdlib.h>
#include <string.h>

#define QUICK_ROUNDS 3
#define FINAL_ROUNDS 5
#define MORE_ROUNDS 10
#define DOUBTED_GAIN 1.12
#define FINALISTS 3 /* beside the default */
#define LEAST_GAIN 0.97 /* of the default's time, that another must not pass to be taken in its place */
#define PASSES 2

typedef struct picker {
    const aval_device_info *info;
    const aval__contest *contest;
    double deadline;
    aval__choice *choice;
    AVAL__VEC(uint64_t) seen; /* signatures: what launches the same is tried once */
} picker;

/* Fastest of those that are right; the count of those tried where none is. */
static size_t fastest(const aval__choice *c)
{
    size_t best = c->tried.count;
    for (size_t i = 0; i < c->tried.count; i++) {
        const aval__candidate *t = &c->tried.at[i];
        if (t->right && t->seconds > 0 && (best == c->tried.count || t->seconds < c->tried.at[best].seconds)) best = i;
    }
    return best;
}

static bool is_seen(const picker *p, uint64_t signature)
{
    for (size_t i = 0; i < p->seen.count; i++)
        if (p->seen.at[i] == signature) return true;
    return false;
}

/* A variant that a driver fails on is one that is not right; only memory of the host that is missing ends all. */
static int try_variant(picker *p, const aval__variant *variant)
{
    aval__candidate made = { .variant = *variant };
    uint64_t signature = 0;
    if (p->choice->tried.count > 0 && aval__seconds() > p->deadline) {
        p->choice->complete = false;
        return AVAL_OK;
    }
    int status = p->contest->record(p->contest->user, variant, &signature);
    if (status == AVAL_E_MEMORY) return status;
    if (status == AVAL_E_UNSUPPORTED || (status == AVAL_OK && is_seen(p, signature))) return AVAL_OK;
    if (status == AVAL_OK) AVAL__TRY(aval__vec_push(&p->seen, signature));
    if (status == AVAL_OK) status = p->contest->judge(p->contest->user, &made.right);
    if (status == AVAL_OK && made.right) status = p->contest->time(p->contest->user, QUICK_ROUNDS, &made.seconds);
    if (status < 0) made.right = false;
    return aval__vec_push(&p->choice->tried, made);
}

/* ---- The last rounds -------------------------------------------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct finalist {
    size_t tried; /* index */
    double times[FINAL_ROUNDS + MORE_ROUNDS];
    size_t n;
} finalist;

static size_t list_finalists(const aval__choice *c, finalist out[FINALISTS + 1])
{
    size_t n = 0;
    if (c->tried.at[0].right) out[n++].tried = 0;
    for (size_t limit = n + FINALISTS; n < limit;) {
        size_t best = c->tried.count;
        for (size_t i = 1; i < c->tried.count; i++) {
            const aval__candidate *t = &c->tried.at[i];
            bool taken = false;
            for (size_t k = 0; k < n; k++) taken = taken || out[k].tried == i;
            if (!taken && t->right && (best == c->tried.count || t->seconds < c->tried.at[best].seconds)) best = i;
        }
        if (best == c->tried.count) break;
        out[n++].tried = best;
    }
    return n;
}

/* In turns, so that a slow moment of the machine meets all of them; their times become the lower quartiles of all rounds so far, since what
 * disturbs a round only adds to it, and adds more to variants with few large work-groups. */
static int run_rounds(picker *p, finalist *finalists, size_t n, size_t rounds)
{
    uint64_t signature;
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < n; i++) {
            finalist *f = &finalists[i];
            AVAL__TRY(p->contest->record(p->contest->user, &p->choice->tried.at[f->tried].variant, &signature));
            AVAL__TRY(p->contest->time(p->contest->user, 1, &f->times[f->n++]));
        }
    }
    for (size_t i = 0; i < n; i++) {
        finalist *f = &finalists[i];
        qsort(f->times, f->n, sizeof *f->times, by_time);
        p->choice->tried.at[f->tried].seconds = f->times[f->n / 4];
    }
    return AVAL_OK;
}

/* The fastest; the first stays unless another gains enough. */
static size_t find_winner(const aval__choice *c, const finalist *finalists, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        double seconds = c->tried.at[finalists[i].tried].seconds, least = c->tried.at[finalists[best].tried].seconds;
        if (seconds < least * (finalists[best].tried == 0 ? LEAST_GAIN : 1)) best = i;
    }
    return best;
}

/* A gain that is large is doubted: default and winner are measured again. */
static int run_finals(picker *p)
{
    aval__choice *c = p->choice;
    finalist finalists[FINALISTS + 1] = { 0 };
    size_t n = list_finalists(p->choice, finalists), best;
    if (n == 0) return aval__fail(AVAL_E_CHECK, "no way to compute %s is right on '%s'", c->class, p->info->name);
    if (n > 1) AVAL__TRY(run_rounds(p, finalists, n, FINAL_ROUNDS));
    best = find_winner(c, finalists, n);
    if (finalists[0].tried == 0 && c->tried.at[finalists[best].tried].seconds * DOUBTED_GAIN < c->tried.at[0].seconds) {
        finalists[1] = finalists[best];
        AVAL__TRY(run_rounds(p, finalists, 2, MORE_ROUNDS));
        best = find_winner(c, finalists, 2);
    }
    c->best = finalists[best].tried;
    c->tried.at[c->best].chosen = true;
    return AVAL_OK;
}

/* ---- Products ---------------------------------------------------------------------------------------------------------------------------- */

typedef struct product {
    aval__device *device;
    const aval_gemm *gemm;
    int type;
} product;

static int try_providers(picker *p, const product *of)
{
    const aval_device_info *info = p->info;
    for (size_t i = 0; i < aval__gemm_provider_count(); i++) {
        aval__variant variant = { .provider = aval__gemm_provider_at(i) };
        const aval__tuner *tuner = variant.provider->tuner;
        if (variant.provider->supports(info, of->gemm, of->type) != AVAL_OK) continue;
        AVAL__TRY(try_variant(p, &variant));
        for (size_t r = 0; tuner != NULL && r < tuner->n_ranges; r++) {
            if (tuner->ranges[r].knob != AVAL__KNOB_METHOD) continue;
            for (const int32_t *value = tuner->ranges[r].values; *value != 0; value++) {
                variant.knobs[AVAL__KNOB_METHOD] = *value;
                if (tuner->fits(info, of->gemm, of->type, &variant)) AVAL__TRY(try_variant(p, &variant));
            }
        }
    }
    return AVAL_OK;
}

/* Turns one knob of the best variant so far to each of its values. */
static int try_knob(picker *p, const product *of, size_t range)
{
    const aval_device_info *info = p->info;
    size_t best = fastest(p->choice);
    if (best == p->choice->tried.count) return AVAL_OK;
    aval__variant variant = p->choice->tried.at[best].variant;
    const aval__tuner *tuner = variant.provider == NULL ? NULL : variant.provider->tuner;
    if (tuner == NULL || range >= tuner->n_ranges || tuner->ranges[range].knob == AVAL__KNOB_METHOD) return AVAL_OK;
    for (const int32_t *value = tuner->ranges[range].values; *value != 0; value++) {
        variant.knobs[tuner->ranges[range].knob] = *value;
        if (tuner->fits(info, of->gemm, of->type, &variant)) AVAL__TRY(try_variant(p, &variant));
    }
    return AVAL_OK;
}

/* The default has no knobs: it stands for the variant of its provider that launches the same. */
static void name_default(const picker *p, const product *of)
{
    size_t number;
    aval__candidate *first = &p->choice->tried.at[0];
    aval__tuning_try(of->device, &(aval__variant){ 0 });
    if (aval__gemm_choose(p->info, of->gemm, of->type, 0, &number) == AVAL_OK) first->variant.provider = aval__gemm_provider_at(number);
    aval__tuning_try(of->device, NULL);
}

static int record_product(void *user, const aval__variant *variant, uint64_t *signature)
{
    return aval__trial_record(user, variant, signature);
}

static int judge_product(void *user, bool *right)
{
    return aval__trial_judge(user, right);
}

static int time_product(void *user, size_t rounds, double *seconds)
{
    return aval__trial_time(user, rounds, seconds);
}

static int pick(picker *p, const product *of, const aval__variant *planted, size_t n_planted)
{
    AVAL__TRY(try_variant(p, &(aval__variant){ 0 }));
    if (p->choice->tried.count == 0) return AVAL_E_UNSUPPORTED;
    for (size_t i = 0; i < n_planted; i++) AVAL__TRY(try_variant(p, &planted[i]));
    name_default(p, of);
    AVAL__TRY(try_providers(p, of));
    for (size_t pass = 0, before = 0; pass < PASSES && before != p->choice->tried.count; pass++) {
        before = p->choice->tried.count;
        for (size_t range = 0; range < AVAL__KNOBS; range++) AVAL__TRY(try_knob(p, of, range));
    }
    return run_finals(p);
}

int aval__tuning_pick(aval__device *device, const aval_gemm *gemm, int type, double seconds, const aval__variant *planted, size_t n_planted,
                      aval__choice *out)
{
    const product of = { .device = device, .gemm = gemm, .type = type };
    aval__trial *trial = NULL;
    aval__contest contest = { .record = record_product, .judge = judge_product, .time = time_product };
    picker p = { .info = aval__device_info(device), .contest = &contest, .choice = out, .deadline = aval__seconds() + seconds };
    *out = (aval__choice){ .complete = true };
    aval__tuning_class(gemm, type, out->class);
    int status = aval__trial_create(device, gemm, type, &trial);
    if (status == AVAL_OK) {
        contest.user = trial;
        out->flops = aval__trial_flops(trial);
        status = pick(&p, &of, planted, n_planted);
    }
    aval__trial_release(trial);
    aval__vec_release(&p.seen);
    if (status < 0) aval__choice_release(out);
    return status;
}

/* ---- Work-groups ------------------------------------------------------------------------------------------------------------------------- */

/* Each size of one of the two groups, beside the best of the other so far. */
static int try_groups(picker *p, aval__knob knob)
{
    static const int32_t sizes[] = { 1, 8, 32, 64, 128, 256 };
    size_t best = fastest(p->choice);
    if (best == p->choice->tried.count) return AVAL_OK;
    aval__variant variant = p->choice->tried.at[best].variant;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        variant.knobs[knob] = sizes[i];
        /* one work-item a group is how CPUs are programmed; elsewhere it leaves nearly all of the device idle, for what may be seconds */
        if ((uint32_t)sizes[i] > p->info->max_group || (sizes[i] == 1 && p->info->kind != AVAL_DEVICE_CPU)) continue;
        AVAL__TRY(try_variant(p, &variant));
    }
    return AVAL_OK;
}

int aval__tuning_pick_groups(const aval_device_info *info, const aval__contest *contest, double seconds, aval__choice *out)
{
    picker p = { .info = info, .contest = contest, .choice = out, .deadline = aval__seconds() + seconds };
    aval__variant untuned = { .knobs[AVAL__KNOB_GROUP] = (int32_t)info->group };
    out->complete = true;
    int status = try_variant(&p, &untuned);
    if (status == AVAL_OK && out->tried.count == 0) status = AVAL_E_UNSUPPORTED;
    if (status == AVAL_OK) status = try_groups(&p, AVAL__KNOB_GROUP);
    if (status == AVAL_OK) status = try_groups(&p, AVAL__KNOB_OPEN);
    if (status == AVAL_OK) status = run_finals(&p);
    aval__vec_release(&p.seen);
    if (status < 0) aval__choice_release(out);
    return status;
}

void aval__choice_release(aval__choice *choice)
{
    aval__vec_release(&choice->tried);
}
