/* Matrix products by CLBlast: the provider for GPUs.  This file and clblast_parameters.c alone include its header.
 *
 * CLBlast keeps the programs that it built in a table of the process, by cl_context.  So that a new cl_context never meets an
 * old one's entries, every context that CLBlast saw is retained until the last open device of the process closes, when
 * the table is cleared.  That is the one piece of state here that belongs to no aval_context.
 *
 * Plain GEMM allocates temporaries at each call; the WithTempBuffer forms are given scratch memory of the plan instead.  The
 * batched forms have no such variant, so a batch is a loop. */
#include "device/private.h"

#include <clblast_c.h>

/* ---- CLBlast's table of programs, process-wide --------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    aval__device *devices; /* all that are open, by next_held */
    AVAL__VEC(cl_context) contexts; /* retained: CLBlast has programs for them */
} held = { .lock = PTHREAD_MUTEX_INITIALIZER };

void aval__clblast_hold(aval__device *device)
{
    pthread_mutex_lock(&held.lock);
    device->next_held = held.devices;
    held.devices = device;
    pthread_mutex_unlock(&held.lock);
}

void aval__clblast_drop(aval__device *device)
{
    pthread_mutex_lock(&held.lock);
    for (aval__device **at = &held.devices; *at != NULL; at = &(*at)->next_held) {
        if (*at == device) {
            *at = device->next_held;
            break;
        }
    }
    if (held.devices == NULL && held.contexts.count > 0) {
        CLBlastClearCache();
        for (size_t i = 0; i < held.contexts.count; i++) clReleaseContext(held.contexts.at[i]);
        aval__vec_release(&held.contexts);
    }
    pthread_mutex_unlock(&held.lock);
}

/* Called before CLBlast sees the device's context. */
static int retain_context(aval__device *device)
{
    int status = AVAL_OK;
    pthread_mutex_lock(&held.lock);
    bool first = !device->in_clblast;
    if (first) {
        AVAL__TRY_DONE(aval__vec_push(&held.contexts, device->context));
        status = aval__cl_check(clRetainContext(device->context), "clRetainContext", "for CLBlast");
        if (status < 0) held.contexts.count--;
        else device->in_clblast = true;
    }
done:
    pthread_mutex_unlock(&held.lock);
    if (first && status == AVAL_OK) aval__clblast_apply_remembered(device);
    return status;
}

aval__device *aval__device_of(const aval_device_info *info)
{
    pthread_mutex_lock(&held.lock);
    aval__device *device = held.devices;
    while (device != NULL && &device->listed->info != info) device = device->next_held;
    pthread_mutex_unlock(&held.lock);
    return device;
}

/* ---- Codes ------------------------------------------------------------------------------------------------------------------ */

/* CLBlast's own codes; the others are OpenCL's. */
static const struct {
    CLBlastStatusCode code;
    const char *name;
} names[] = {
#define NAME(code) \
    { \
        code, #code \
    }
    NAME(CLBlastNotImplemented),        NAME(CLBlastInvalidMatrixA),           NAME(CLBlastInvalidMatrixB),
    NAME(CLBlastInvalidMatrixC),        NAME(CLBlastInvalidDimension),         NAME(CLBlastInvalidLeadDimA),
    NAME(CLBlastInvalidLeadDimB),       NAME(CLBlastInvalidLeadDimC),          NAME(CLBlastInsufficientMemoryA),
    NAME(CLBlastInsufficientMemoryB),   NAME(CLBlastInsufficientMemoryC),      NAME(CLBlastInsufficientMemoryTemp),
    NAME(CLBlastInvalidOverrideKernel), NAME(CLBlastMissingOverrideParameter), NAME(CLBlastInvalidLocalMemUsage),
    NAME(CLBlastNoHalfPrecision),       NAME(CLBlastNoDoublePrecision),        NAME(CLBlastDatabaseError),
    NAME(CLBlastUnknownError),          NAME(CLBlastUnexpectedError),
#undef NAME
};

static int check(CLBlastStatusCode code, const char *call, const aval_gemm *g)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].code != code) continue;
        return aval__fail(AVAL_E_DEVICE, "%s: %s (%lld x %lld x %lld)", call, names[i].name, (long long)g->m, (long long)g->n,
                          (long long)g->k);
    }
    return aval__cl_check((cl_int)code, call, "%lld x %lld x %lld", (long long)g->m, (long long)g->n, (long long)g->k);
}

/* ---- The provider ----------------------------------------------------------------------------------------------------------- */

/* CLBlast wants rows that do not overlap. */
static bool rows_fit(const aval_operand *operand, int64_t rows, int64_t columns)
{
    int64_t stored_rows = operand->transposed ? columns : rows, stored_columns = operand->transposed ? rows : columns;
    return stored_rows == 1 || operand->ld >= stored_columns;
}

static size_t row_length(const aval_operand *operand, int64_t rows, int64_t columns)
{
    int64_t stored = operand->transposed ? rows : columns;
    return (size_t)(operand->ld > stored ? operand->ld : stored);
}

#define LEAST_GROUP 64 /* no tile of CLBlast's database has fewer work-items */

static int supports(const aval_device_info *info, const aval_gemm *gemm, int type)
{
    aval_gemm g;
    if (gemm->b.patches != NULL || !aval__gemm_normalise(gemm, &g)) return AVAL_E_UNSUPPORTED;
    if (info->max_group < LEAST_GROUP) return AVAL_E_UNSUPPORTED;
    if (type != AVAL_FLOAT && !(type == AVAL_DOUBLE && info->fp64)) return AVAL_E_UNSUPPORTED;
    if (g.m == 0 || g.n == 0) return AVAL_OK;
    if (g.k == 0) return AVAL_E_UNSUPPORTED; /* c = beta c is no product to CLBlast */
    bool fit = rows_fit(&g.a, g.m, g.k) && rows_fit(&g.b, g.k, g.n) && rows_fit(&g.c, g.m, g.n);
    return fit ? AVAL_OK : AVAL_E_UNSUPPORTED;
}

static CLBlastTranspose transposition(const aval_operand *operand)
{
    return operand->transposed ? CLBlastTransposeYes : CLBlastTransposeNo;
}

/* The most that CLBlast's kernels need: each operand again, padded to whole tiles. */
static uint64_t bound_scratch(const aval_gemm *g, int type)
{
    const uint64_t tile = 256; /* no tile of CLBlast's database is larger */
    uint64_t m = ((uint64_t)g->m + tile - 1) / tile * tile, n = ((uint64_t)g->n + tile - 1) / tile * tile;
    uint64_t k = ((uint64_t)g->k + tile - 1) / tile * tile;
    return (m * k + k * n + m * n) * aval_type_bytes(type);
}

/* Exact for the info of an open device; for another one, as in a plan without devices, the bound. */
static uint64_t scratch_bytes(const aval_device_info *info, const aval_gemm *gemm, int type, unsigned packed)
{
    (void)packed;
    aval_gemm g;
    size_t bytes = 0;
    if (!aval__gemm_normalise(gemm, &g) || g.m == 0 || g.n == 0 || g.k == 0) return 0;
    aval__device *device = aval__device_of(info);
    if (device == NULL || retain_context(device) < 0) return bound_scratch(&g, type);
    CLBlastStatusCode (*query)(CLBlastLayout, CLBlastTranspose, CLBlastTranspose, size_t, size_t, size_t, size_t, size_t, size_t, size_t,
                               size_t, size_t, cl_command_queue *, size_t *) =
        type == AVAL_DOUBLE ? CLBlastDGemmTempBufferSize : CLBlastSGemmTempBufferSize;
    CLBlastStatusCode code = query(CLBlastLayoutRowMajor, transposition(&g.a), transposition(&g.b), (size_t)g.m, (size_t)g.n, (size_t)g.k,
                                   (size_t)g.a.offset, row_length(&g.a, g.m, g.k), (size_t)g.b.offset, row_length(&g.b, g.k, g.n),
                                   (size_t)g.c.offset, row_length(&g.c, g.m, g.n), &device->queue, &bytes);
    return code == CLBlastSuccess ? bytes : bound_scratch(&g, type);
}

/* Rows of c that are a launch: all of them, but where that could run for seconds. */
static int64_t rows_of_launch(const aval__device *device, const aval_gemm *g)
{
    const double most = aval__device_most_work(device), row = 2.0 * (double)g->n * (double)g->k;
    if (most <= 0 || row * (double)g->m <= most) return g->m;
    return row >= most ? 1 : (int64_t)(most / row);
}

/* Some rows of one product of the batch: the operands' offsets are those of its matrices. */
static int enqueue_rows(aval__device *device, const aval_gemm *g, int type, const aval__gemm_operands *o, double beta, int64_t rows,
                        size_t a_at, size_t b_at, size_t c_at)
{
    cl_command_queue *queue = &device->queue;
    const CLBlastTranspose a_form = transposition(&g->a), b_form = transposition(&g->b);
    const size_t m = (size_t)rows, n = (size_t)g->n, k = (size_t)g->k;
    const size_t a_ld = row_length(&g->a, g->m, g->k), b_ld = row_length(&g->b, g->k, g->n), c_ld = row_length(&g->c, g->m, g->n);
    if (type == AVAL_DOUBLE) {
        return check(CLBlastDgemmWithTempBuffer(CLBlastLayoutRowMajor, a_form, b_form, m, n, k, g->alpha, o->a, a_at, a_ld, o->b, b_at,
                                                b_ld, beta, o->c, c_at, c_ld, queue, NULL, o->scratch),
                     "CLBlastDgemmWithTempBuffer", g);
    }
    return check(CLBlastSgemmWithTempBuffer(CLBlastLayoutRowMajor, a_form, b_form, m, n, k, (float)g->alpha, o->a, a_at, a_ld, o->b, b_at,
                                            b_ld, (float)beta, o->c, c_at, c_ld, queue, NULL, o->scratch),
                 "CLBlastSgemmWithTempBuffer", g);
}

/* The same, of the whole product. */
static int enqueue_one(aval__device *device, const aval_gemm *g, int type, const aval__gemm_operands *o, double beta, int64_t a_at,
                       int64_t b_at, int64_t c_at)
{
    const int64_t some = rows_of_launch(device, g), a_row = g->a.transposed ? 1 : g->a.ld;
    for (int64_t i = 0; i < g->m; i += some) {
        const int64_t rows = g->m - i < some ? g->m - i : some;
        AVAL__TRY(enqueue_rows(device, g, type, o, beta, rows, (size_t)(a_at + i * a_row), (size_t)b_at, (size_t)(c_at + i * g->c.ld)));
    }
    return AVAL_OK;
}

static int enqueue(aval__device *device, const aval_gemm *gemm, int type, const aval__gemm_operands *operands)
{
    aval_gemm g;
    if (!aval__gemm_normalise(gemm, &g)) return aval__fail(AVAL_E_INTERNAL, "CLBlast was given a product from patches");
    if (g.m == 0 || g.n == 0) return AVAL_OK;
    AVAL__TRY(retain_context(device));
    aval__gemm_operands o = *operands;
    if (gemm->c.transposed) {
        o.a = operands->b;
        o.b = operands->a;
        o.a_offset = operands->b_offset;
        o.b_offset = operands->a_offset;
    }
    for (int64_t i = 0; i < g.batch; i++) {
        int64_t c_step = g.sum ? 0 : g.c.batch_stride;
        AVAL__TRY(enqueue_one(device, &g, type, &o, g.sum && i > 0 ? 1 : g.beta, o.a_offset + g.a.offset + i * g.a.batch_stride,
                              o.b_offset + g.b.offset + i * g.b.batch_stride, o.c_offset + g.c.offset + i * c_step));
    }
    return AVAL_OK;
}

const aval__gemm_provider aval__gemm_clblast = {
    .name = "clblast", .supports = supports, .scratch_bytes = scratch_bytes, .enqueue = enqueue, .tuner = &aval__clblast_tuner
};
