/* A product on trial: operands on the device, launches of a variant, and a result that is compared whole with the host's.
 *
 * Operands are small integers and scales are powers of two, so that every order of summing gives the same floats.  The host need not multiply
 * the matrices: with a vector x of random integers, c x = alpha a (b x) + beta c x, row by row and exactly (Freivalds 1977), which an element
 * that is wrong passes with a probability of one in some 65,000, at a cost that grows with the matrices and not with their product. */
#include "device/gemm_record.h"
#include "device/tuning.h"

#include <math.h>
#include <string.h>

#define MOST_ELEMENTS ((int64_t)1 << 27) /* of an operand, and of the patches that the host goes through */
#define GUARD 64 /* elements behind the result, which must stay as they are */
#define MOST_ROUNDING 0.125 /* of an element, which is a multiple of 1/2, by providers that compute with fractions */
#define ROUND_SECONDS 0.003
#define MOST_REPEATS 64
#define MOST_ROUNDS 16

typedef struct placed {
    aval_tensor tensor; /* first: what launches refer to */
    cl_mem buffer;
    int64_t count;
} placed;

typedef struct recorded {
    cl_kernel kernel;
    cl_uint dims;
    size_t global[3], local[3];
} recorded;

struct aval__trial {
    aval__device *device;
    aval_gemm gemm;
    aval_patches patches;
    int type;
    const aval__gemm_provider *provider; /* of what is recorded */
    placed a, b, c, scratch;
    signed char *first; /* of a, then of b: their contents */
    double *expected; /* of c x, a row after the other, matrix by matrix */
    void *content; /* of c, with its guard */
    AVAL__VEC(recorded) launches;
    uint64_t signature;
};

/* ---- Contents ------------------------------------------------------------------------------------------------------------------- */

static uint32_t scramble(uint64_t i)
{
    i = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    i ^= i >> 29;
    i *= UINT64_C(0xbf58476d1ce4e5b9);
    return (uint32_t)(i >> 32);
}

static double weight(int64_t j)
{
    return 1 + (double)(scramble((uint64_t)j) >> 16);
}

static double start_of(int64_t at)
{
    return (double)(scramble((uint64_t)at + 77) % 5) - 2;
}

static int64_t place_in(const aval_operand *o, int64_t row, int64_t column)
{
    return o->transposed ? column * o->ld + row : row * o->ld + column;
}

/* Elements from the first to the last of an operand [rows, columns]. */
static int64_t extent(const aval_operand *o, int64_t matrices, int64_t rows, int64_t columns)
{
    const aval_patches *p = o->patches;
    int64_t one = p != NULL ? p->channels * p->in[0] * p->in[1] * p->in[2] : place_in(o, rows - 1, columns - 1) + 1;
    return (matrices - 1) * o->batch_stride + one;
}

static int64_t place_in_image(const aval_patches *p, int64_t filter, int64_t position)
{
    int64_t taps = p->kernel[0] * p->kernel[1] * p->kernel[2], at = filter / taps;
    const int64_t tap[] = { filter % taps / (p->kernel[1] * p->kernel[2]), filter / p->kernel[2] % p->kernel[1], filter % p->kernel[2] };
    const int64_t out[] = { position / (p->out[1] * p->out[2]), position / p->out[2] % p->out[1], position % p->out[2] };
    for (int i = 0; i < 3; i++) {
        int64_t x = out[i] * p->stride[i] - p->pad[i] + tap[i] * p->dilation[i];
        if (x < 0 || x >= p->in[i]) return -1;
        at = at * p->in[i] + x;
    }
    return at;
}

static double element_of_b(const aval__trial *t, int64_t matrix, int64_t row, int64_t column)
{
    const aval_operand *b = &t->gemm.b;
    int64_t at = b->patches == NULL ? place_in(b, row, column)
                                    : place_in_image(b->patches, b->transposed ? column : row, b->transposed ? row : column);
    return at < 0 ? 0 : t->first[t->a.count + matrix * b->batch_stride + at];
}

/* bx [k] of one matrix of the batch. */
static void multiply_b(const aval__trial *t, int64_t matrix, double *bx)
{
    for (int64_t p = 0; p < t->gemm.k; p++) {
        bx[p] = 0;
        for (int64_t j = 0; j < t->gemm.n; j++) bx[p] += element_of_b(t, matrix, p, j) * weight(j);
    }
}

static int expect(aval__trial *t)
{
    const aval_gemm *g = &t->gemm;
    double *bx = aval__alloc_array((size_t)g->k, sizeof *bx);
    t->expected = aval__alloc_array((size_t)(g->m * aval__gemm_results(g)), sizeof *t->expected);
    if (bx == NULL || t->expected == NULL) {
        aval__free(bx);
        return AVAL_E_MEMORY;
    }
    for (int64_t z = 0; z < g->batch; z++) {
        if (z == 0 || g->b.batch_stride != 0) multiply_b(t, z, bx);
        for (int64_t i = 0; i < g->m; i++) {
            double *to = &t->expected[(g->sum ? 0 : z) * g->m + i];
            const signed char *a = t->first + z * g->a.batch_stride;
            for (int64_t p = 0; p < g->k; p++) *to += g->alpha * a[place_in(&g->a, i, p)] * bx[p];
        }
    }
    for (int64_t row = 0; row < g->m * aval__gemm_results(g) && g->beta != 0; row++) {
        int64_t at = row / g->m * g->c.batch_stride;
        for (int64_t j = 0; j < g->n; j++) t->expected[row] += g->beta * start_of(at + place_in(&g->c, row % g->m, j)) * weight(j);
    }
    aval__free(bx);
    return AVAL_OK;
}

/* ---- Operands on the device ------------------------------------------------------------------------------------------------------- */

static int make_placed(const aval__trial *t, int type, int64_t count, placed *p)
{
    cl_int code;
    *p = (placed){ .count = count };
    AVAL__TRY(aval__tensor_set(&p->tensor, type, 1, &count));
    p->buffer = clCreateBuffer(t->device->context, CL_MEM_READ_WRITE, (size_t)count * aval_type_bytes(type), NULL, &code);
    return aval__cl_check(code, "clCreateBuffer", "%lld elements to tune with", (long long)count);
}

static void release_placed(placed *p)
{
    if (p->buffer != NULL) clReleaseMemObject(p->buffer);
    p->buffer = NULL;
}

static void store(void *to, int type, int64_t i, double x)
{
    if (type == AVAL_DOUBLE) ((double *)to)[i] = x;
    else ((float *)to)[i] = (float)x;
}

static double load(const void *from, int type, int64_t i)
{
    return type == AVAL_DOUBLE ? ((const double *)from)[i] : (double)((const float *)from)[i];
}

static int write_to(const aval__trial *t, const placed *p, const void *data)
{
    size_t bytes = (size_t)p->count * aval_type_bytes(t->type);
    return aval__cl_check(clEnqueueWriteBuffer(t->device->queue, p->buffer, CL_TRUE, 0, bytes, data, 0, NULL, NULL), "clEnqueueWriteBuffer",
                          "operands to tune with");
}

static int write_small(const aval__trial *t, const placed *p, const signed char *values)
{
    void *data = aval__alloc_array((size_t)p->count, aval_type_bytes(t->type));
    if (data == NULL) return AVAL_E_MEMORY;
    for (int64_t i = 0; i < p->count; i++) store(data, t->type, i, values[i]);
    int status = write_to(t, p, data);
    aval__free(data);
    return status;
}

/* The result before a run: what beta is multiplied with, or NaN where nothing may be read; and the guard. */
static int reset_result(aval__trial *t)
{
    for (int64_t i = 0; i < t->c.count; i++) {
        bool guard = i >= t->c.count - GUARD;
        store(t->content, t->type, i, t->gemm.beta != 0 || guard ? start_of(i) : (double)NAN);
    }
    return write_to(t, &t->c, t->content);
}

static int fill(aval__trial *t)
{
    const aval_gemm *g = &t->gemm;
    int64_t a = extent(&g->a, g->batch, g->m, g->k), b = extent(&g->b, g->batch, g->k, g->n);
    int64_t c = extent(&g->c, aval__gemm_results(g), g->m, g->n) + GUARD;
    t->first = aval__alloc((size_t)(a + b));
    t->content = aval__alloc_array((size_t)c, aval_type_bytes(t->type));
    if (t->first == NULL || t->content == NULL) return AVAL_E_MEMORY;
    for (int64_t i = 0; i < a + b; i++) t->first[i] = (signed char)((int)(scramble((uint64_t)i) % 5) - 2);
    AVAL__TRY(make_placed(t, t->type, a, &t->a));
    AVAL__TRY(make_placed(t, t->type, b, &t->b));
    AVAL__TRY(make_placed(t, t->type, c, &t->c));
    AVAL__TRY(write_small(t, &t->a, t->first));
    AVAL__TRY(write_small(t, &t->b, t->first + a));
    return expect(t);
}

static bool is_small(const aval_gemm *g)
{
    double most = (double)MOST_ELEMENTS, batch = (double)g->batch;
    if ((double)g->m * (double)g->n * batch > most || (double)g->m * (double)g->k * batch > most) return false;
    if ((double)g->k * (double)g->n * (g->b.batch_stride == 0 ? 1 : batch) > most) return false;
    return extent(&g->a, g->batch, g->m, g->k) <= MOST_ELEMENTS && extent(&g->b, g->batch, g->k, g->n) <= MOST_ELEMENTS &&
           extent(&g->c, aval__gemm_results(g), g->m, g->n) <= MOST_ELEMENTS;
}

int aval__trial_create(aval__device *device, const aval_gemm *gemm, int type, aval__trial **out)
{
    aval__trial *t = NULL;
    aval_gemm g = *gemm;
    *out = NULL;
    if (g.batch == 0) g.batch = 1;
    if ((type != AVAL_FLOAT && type != AVAL_DOUBLE) || g.m == 0 || g.n == 0 || g.k == 0 || !is_small(&g)) return AVAL_E_UNSUPPORTED;
    t = aval__alloc(sizeof *t);
    if (t == NULL) return AVAL_E_MEMORY;
    t->device = device;
    t->type = type;
    g.alpha = g.alpha == 1 ? 1 : 0.5;
    g.beta = g.beta == 0 || g.beta == 1 ? g.beta : 0.5;
    g.a.offset = g.b.offset = g.c.offset = 0;
    if (g.b.patches != NULL) {
        t->patches = *g.b.patches;
        g.b.patches = &t->patches;
    }
    g.a.tensor = &t->a.tensor;
    g.b.tensor = &t->b.tensor;
    g.c.tensor = &t->c.tensor;
    t->gemm = g;
    int status = fill(t);
    if (status < 0) aval__trial_release(t);
    else *out = t;
    return status;
}

static void drop_launches(aval__trial *t)
{
    for (size_t i = 0; i < t->launches.count; i++) clReleaseKernel(t->launches.at[i].kernel);
    t->launches.count = 0;
}

void aval__trial_release(aval__trial *t)
{
    if (t == NULL) return;
    drop_launches(t);
    aval__vec_release(&t->launches);
    release_placed(&t->a);
    release_placed(&t->b);
    release_placed(&t->c);
    release_placed(&t->scratch);
    aval__free(t->first);
    aval__free(t->expected);
    aval__free(t->content);
    aval__free(t);
}

double aval__trial_flops(const aval__trial *t)
{
    return 2.0 * (double)t->gemm.m * (double)t->gemm.n * (double)t->gemm.k * (double)t->gemm.batch;
}

/* ---- Launches ------------------------------------------------------------------------------------------------------------------------ */

static cl_int set_arg(aval__trial *t, cl_kernel kernel, cl_uint *at, const aval_arg *arg)
{
    const placed *p = arg->tensor == NULL ? &t->a : (const placed *)arg->tensor;
    cl_int as_int = (cl_int)arg->integer, code;
    cl_long as_long = arg->integer, offset = arg->tensor == NULL ? -1 : 0;
    cl_float as_float = (cl_float)arg->real;
    switch (arg->kind) {
    case AVAL_ARG_INT: return clSetKernelArg(kernel, (*at)++, sizeof as_int, &as_int);
    case AVAL_ARG_LONG: return clSetKernelArg(kernel, (*at)++, sizeof as_long, &as_long);
    case AVAL_ARG_FLOAT: return clSetKernelArg(kernel, (*at)++, sizeof as_float, &as_float);
    case AVAL_ARG_REAL:
        return t->type == AVAL_DOUBLE ? clSetKernelArg(kernel, (*at)++, sizeof arg->real, &arg->real)
                                      : clSetKernelArg(kernel, (*at)++, sizeof as_float, &as_float);
    case AVAL_ARG_LOCAL: return clSetKernelArg(kernel, (*at)++, (size_t)arg->integer, NULL);
    default:
        code = clSetKernelArg(kernel, (*at)++, sizeof p->buffer, &p->buffer);
        return code != CL_SUCCESS ? code : clSetKernelArg(kernel, (*at)++, sizeof offset, &offset);
    }
}

/* As plans write them, so that a program that is tried is the one that is used. */
static int write_options(const aval_launch *l, int type, aval__text *out)
{
    aval__launch_build build;
    AVAL__TRY(aval__launch_build_of(l, l->s_type ? (int)l->s_type : type, &build));
    aval__launch_options(&build, out);
    return out->failed ? AVAL_E_MEMORY : AVAL_OK;
}

static void sign(aval__trial *t, const void *data, size_t bytes)
{
    t->signature = aval__hash64(data, bytes, t->signature);
}

static int launch_recorded(aval_call *call, const aval_launch *l)
{
    aval__trial *t = call->user;
    const aval_kernel_source *source = t->provider->source;
    aval__text options = { 0 };
    cl_program program;
    cl_int code = CL_SUCCESS;
    cl_uint at = 0;
    recorded made = { .dims = l->dims };
    int status = write_options(l, t->type, &options);
    if (status == AVAL_OK)
        status = aval__device_program(t->device, source->name, source->text, aval__hash_bytes(source->text, strlen(source->text)),
                                      options.at, &program);
    if (status == AVAL_OK) sign(t, options.at, options.length);
    aval__text_release(&options);
    if (status < 0) return status;
    made.kernel = clCreateKernel(program, l->kernel, &code);
    AVAL__TRY(aval__cl_check(code, "clCreateKernel", "%s", l->kernel));
    for (size_t i = 0; i < 3; i++) {
        made.global[i] = (size_t)l->global[i];
        made.local[i] = (size_t)l->local[i];
    }
    status = aval__vec_push(&t->launches, made); /* which releases it from now on */
    if (status < 0) clReleaseKernel(made.kernel);
    for (size_t i = 0; i < l->n_args && status == AVAL_OK; i++) {
        sign(t, &l->args[i].integer, sizeof l->args[i].integer);
        status = aval__cl_check(set_arg(t, made.kernel, &at, &l->args[i]), "clSetKernelArg", "%s, argument %u", l->kernel, at);
    }
    sign(t, l->kernel, strlen(l->kernel));
    sign(t, made.global, sizeof made.global);
    sign(t, made.local, sizeof made.local);
    return status;
}

/* One place for all variants: how its pages lie in the caches must not decide which is the fastest. */
static int grow_scratch(aval__trial *t, uint64_t bytes)
{
    if (bytes == 0 || (t->scratch.buffer != NULL && bytes <= (uint64_t)t->scratch.count)) return AVAL_OK;
    release_placed(&t->scratch);
    return make_placed(t, AVAL_UINT8, (int64_t)bytes, &t->scratch);
}

static int record(aval__trial *t, const aval__gemm_provider *provider)
{
    static const aval__call_table table = { .launch = launch_recorded };
    const aval_device_info *info = aval__device_info(t->device);
    aval_call call = { .phase = AVAL_PHASE_FORWARD, .table = &table, .user = t };
    uint64_t bytes = provider->scratch_bytes ? provider->scratch_bytes(info, &t->gemm, t->type, 0) : 0;
    const aval_tensor *packed[2] = { NULL, NULL };
    if (bytes > info->largest_allocation_bytes) return AVAL_E_UNSUPPORTED;
    AVAL__TRY(grow_scratch(t, bytes));
    sign(t, provider->name, strlen(provider->name));
    sign(t, &bytes, sizeof bytes);
    t->provider = provider;
    return provider->record ? provider->record(info, &t->gemm, t->type, bytes > 0 ? &t->scratch.tensor : NULL, packed, false, &call)
                            : AVAL_OK;
}

int aval__trial_record(aval__trial *t, const aval__variant *variant, uint64_t *signature)
{
    const aval_device_info *info = aval__device_info(t->device);
    const aval__gemm_provider *provider = variant->provider;
    size_t number;
    drop_launches(t);
    t->signature = 0;
    aval__tuning_try(t->device, variant);
    int status = AVAL_OK;
    if (provider == NULL) {
        status = aval__gemm_choose(info, &t->gemm, t->type, 0, &number);
        if (status == AVAL_OK) provider = aval__gemm_provider_at(number);
    }
    if (status == AVAL_OK) status = record(t, provider);
    aval__tuning_try(t->device, NULL);
    *signature = t->signature;
    return status;
}

static int enqueue(aval__trial *t)
{
    if (t->provider->enqueue != NULL) {
        const aval__gemm_operands operands = {
            .a = t->a.buffer, .b = t->b.buffer, .c = t->c.buffer, .scratch = t->scratch.buffer, .scratch_bytes = (uint64_t)t->scratch.count
        };
        return t->provider->enqueue(t->device, &t->gemm, t->type, &operands);
    }
    for (size_t i = 0; i < t->launches.count; i++) {
        const recorded *r = &t->launches.at[i];
        AVAL__TRY(aval__cl_check(
            clEnqueueNDRangeKernel(t->device->queue, r->kernel, r->dims, NULL, r->global, r->local[0] ? r->local : NULL, 0, NULL, NULL),
            "clEnqueueNDRangeKernel", "a product that is tuned"));
    }
    return AVAL_OK;
}

/* Element `at` of the result as it would be without rounding; NaN where it is none that rounding explains. */
static double element_of_result(const aval__trial *t, int64_t at)
{
    double x = load(t->content, t->type, at);
    if (!t->provider->rounds) return x;
    double exact = rint(2 * x) / 2;
    return fabs(x - exact) <= MOST_ROUNDING ? exact : (double)NAN;
}

int aval__trial_judge(aval__trial *t, bool *right)
{
    const aval_gemm *g = &t->gemm;
    *right = false;
    AVAL__TRY(reset_result(t));
    AVAL__TRY(enqueue(t));
    AVAL__TRY(aval__queue_wait(t->device->queue, "a product that is tuned"));
    size_t bytes = (size_t)t->c.count * aval_type_bytes(t->type);
    AVAL__TRY(aval__cl_check(clEnqueueReadBuffer(t->device->queue, t->c.buffer, CL_TRUE, 0, bytes, t->content, 0, NULL, NULL),
                             "clEnqueueReadBuffer", "a product that is tuned"));
    for (int64_t i = t->c.count - GUARD; i < t->c.count; i++)
        if (load(t->content, t->type, i) != start_of(i)) return AVAL_OK;
    for (int64_t row = 0; row < g->m * aval__gemm_results(g); row++) {
        int64_t at = row / g->m * g->c.batch_stride;
        double sum = 0;
        for (int64_t j = 0; j < g->n; j++) sum += element_of_result(t, at + place_in(&g->c, row % g->m, j)) * weight(j);
        if (!(sum == t->expected[row])) return AVAL_OK;
    }
    *right = true;
    return AVAL_OK;
}

/* ---- Time ----------------------------------------------------------------------------------------------------------------------------- */

static int time_round(aval__trial *t, size_t repeats, double *seconds)
{
    double start = aval__seconds();
    for (size_t i = 0; i < repeats; i++) AVAL__TRY(enqueue(t));
    AVAL__TRY(aval__queue_wait(t->device->queue, "a product that is tuned"));
    *seconds = (aval__seconds() - start) / (double)repeats;
    return AVAL_OK;
}

int aval__trial_time(aval__trial *t, size_t rounds, double *seconds)
{
    double times[MOST_ROUNDS], one;
    if (rounds > MOST_ROUNDS) rounds = MOST_ROUNDS;
    AVAL__TRY(time_round(t, 1, &one)); /* memory is touched for the first time */
    AVAL__TRY(time_round(t, 1, &one));
    double repeats = ROUND_SECONDS / (one > 1e-7 ? one : 1e-7);
    for (size_t i = 0; i < rounds; i++)
        AVAL__TRY(time_round(t, repeats < 1 ? 1 : repeats > MOST_REPEATS ? MOST_REPEATS : (size_t)repeats, &times[i]));
    *seconds = aval__median(times, rounds);
    return AVAL_OK;
}
