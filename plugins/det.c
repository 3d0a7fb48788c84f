/* Det: determinants of the matrices that the last two axes make. */
#include "support.h"

#include "det.cl.h"

#include <stdlib.h>
#include <string.h>

static int det_infer(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    uint32_t rank = host->rank(x);
    const int64_t *dims = host->dims(x);
    if (rank < 2 || dims[rank - 1] != dims[rank - 2])
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input X must end in two axes of equal length; it has %u axes%s", (unsigned)rank,
                          rank < 2 ? "" : ", the last two of which differ");
    return host->set_output(call, 0, host->type(x), rank - 2, dims);
}

static int64_t side_of(const aval_host *host, const aval_tensor *x)
{
    return host->dims(x)[host->rank(x) - 1];
}

static int det_forward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0), *work, *order;
    aval_type wide = sum_type(host->type(x));
    int64_t n = side_of(host, x), batch = host->count(y);
    if (batch == 0) return 0;
    if (n == 0) return host->fill(call, y, 1);
    work = host->scratch(call, wide, batch * n * n);
    order = host->scratch(call, AVAL_INT32, batch * 2 * n);
    if (work == NULL || order == NULL) return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for the elimination");
    return host->launch(
        call, AVAL_LAUNCH(.kernel = "det", BY_GROUPS(host->device(call)->group, batch), .d_type = (uint32_t)wide,
                          AVAL_ARGS(AVAL_READ(x), AVAL_WRITE(work), AVAL_WRITE(order), AVAL_WRITE(y), AVAL_I64(batch), AVAL_I64(n))));
}

static int det_backward(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *g = host->upstream(call, 0), *dx = host->gradient(call, 0), *work, *order, *solved;
    aval_type wide = sum_type(host->type(x));
    int64_t n = side_of(host, x), batch = host->count(g);
    if (host->count(dx) == 0) return 0;
    work = host->scratch(call, wide, batch * n * n);
    solved = host->scratch(call, wide, batch * n * n);
    order = host->scratch(call, AVAL_INT32, batch * 2 * n);
    if (work == NULL || order == NULL || solved == NULL)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "no scratch memory for the elimination");
    return host->launch(call, AVAL_LAUNCH(.kernel = "det_backward", BY_GROUPS(host->device(call)->group, batch), .d_type = (uint32_t)wide,
                                          AVAL_ARGS(AVAL_READ(x), AVAL_READ(g), AVAL_WRITE(work), AVAL_WRITE(order), AVAL_WRITE(solved),
                                                    AVAL_WRITE(dx), AVAL_I64(batch), AVAL_I64(n))));
}

/* By elimination with row pivots; `a` is used up. */
static double determinant(double *a, int64_t n)
{
    double result = 1;
    for (int64_t k = 0; k < n; k++) {
        int64_t pivot = k;
        for (int64_t i = k + 1; i < n; i++)
            if (fabs(a[i * n + k]) > fabs(a[pivot * n + k])) pivot = i;
        if (a[pivot * n + k] == 0) return 0;
        for (int64_t j = 0; j < n && pivot != k; j++) {
            double t = a[k * n + j];
            a[k * n + j] = a[pivot * n + j];
            a[pivot * n + j] = t;
        }
        if (pivot != k) result = -result;
        result *= a[k * n + k];
        for (int64_t i = k + 1; i < n; i++) {
            double factor = a[i * n + k] / a[k * n + k];
            for (int64_t j = k; j < n; j++) a[i * n + j] -= factor * a[k * n + j];
        }
    }
    return result;
}

static int det_reference(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y = host->output(call, 0);
    int64_t n = side_of(host, x);
    double *copy = malloc(((size_t)(n * n) + 1) * sizeof *copy);
    if (copy == NULL) return host->fail(call, AVAL_PLUGIN_NO_MEMORY, "no memory for a matrix of %lld rows", (long long)n);
    for (int64_t b = 0; b < host->count(y); b++) {
        memcpy(copy, host->real(call, x) + b * n * n, (size_t)(n * n) * sizeof *copy);
        host->real(call, y)[b] = determinant(copy, n);
    }
    free(copy);
    return 0;
}

static const aval_op det = {
    .size = sizeof(aval_op),
    .name = "Det",
    .since = 11,
    .deterministic = 1,
    .doc = "The determinant of each matrix.",
    .inputs = AVAL_PORTS({ .name = "X" }),
    .outputs = AVAL_PORTS({ .name = "Y" }),
    .infer = det_infer,
    .forward = det_forward,
    .backward = det_backward,
    .reference = det_reference,
    .keeps = AVAL_KEEP_INPUT(0),
    .samples = AVAL_SAMPLES({ .inputs = "[3,3]" }, { .inputs = "[2,3,4,4]" }, { .inputs = "[1,1]" }, { .inputs = "[0,2,2]" },
                            { .inputs = "[2,0,0]", .why = "a product of nothing is 1" }, { .inputs = "[5,7,7]" },
                            { .inputs = "[3,3]{1,2,3,2,4,6,1,0,1}", .why = "singular, of rank 2: its gradient is not 0" },
                            { .inputs = "[3,3]{1,2,3,2,4,6,3,6,9}", .why = "of rank 1: its gradient is 0" },
                            { .inputs = "[1,1]{0}", .why = "singular" },
                            { .inputs = "[70,31,31]", .low = -0.6, .high = 0.6, .size_class = AVAL_LARGE }),
};

AVAL_PLUGIN("det", "0.1.0", AVAL_SOURCES({ "det.cl", det_cl }), &det)
