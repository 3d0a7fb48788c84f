/* Generated kernels on a real OpenCL compiler: each case runs node by node and fused, in the form for CPUs and in that for GPUs.  All must
 * give the same bits, and agree with the expressions on the host. */
#include "device/device.h"
#include "graph/graph.h"
#include "plan/fuse.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST 6

struct tensor_case {
    int type;
    int rank;
    int64_t dims[AVAL_MAX_RANK];
};

/* Node i reads inputs and earlier nodes by letter: a to f are the inputs, n to s the nodes; k is an attribute with value 0.5. */
struct kernel_case {
    const char *name;
    struct tensor_case inputs[MOST];
    struct {
        const char *expression;
        int type;
    } nodes[MOST];
    struct tensor_case space;
};

static const struct kernel_case cases[] = {
    { "line", { { AVAL_FLOAT, 1, { 10007 } } }, { { "k * a + 1", AVAL_FLOAT }, { "n > 0 ? n : 0", AVAL_FLOAT } }, { 0, 1, { 10007 } } },
    { "row bias, column, scalar",
      { { AVAL_FLOAT, 2, { 29, 37 } }, { AVAL_FLOAT, 1, { 37 } }, { AVAL_FLOAT, 2, { 29, 1 } }, { AVAL_FLOAT, 0, { 0 } } },
      { { "a * b + c", AVAL_FLOAT }, { "tanh(n) * d", AVAL_FLOAT } },
      { 0, 2, { 29, 37 } } },
    { "channels",
      { { AVAL_FLOAT, 4, { 2, 3, 4, 5 } }, { AVAL_FLOAT, 4, { 1, 3, 1, 1 } }, { AVAL_FLOAT, 4, { 2, 1, 4, 1 } } },
      { { "a * b - c", AVAL_FLOAT } },
      { 0, 4, { 2, 3, 4, 5 } } },
    { "outer product",
      { { AVAL_FLOAT, 2, { 300, 1 } }, { AVAL_FLOAT, 2, { 1, 40 } } },
      { { "a * b", AVAL_FLOAT } },
      { 0, 2, { 300, 40 } } },
    { "half storage is rounded between nodes",
      { { AVAL_FLOAT16, 1, { 999 } }, { AVAL_FLOAT, 1, { 999 } } },
      { { "a / 3", AVAL_FLOAT16 }, { "n * n + 1", AVAL_FLOAT16 }, { "o - a * b", AVAL_FLOAT } },
      { 0, 1, { 999 } } },
    { "comparisons and integers",
      { { AVAL_FLOAT, 1, { 257 } }, { AVAL_INT64, 1, { 257 } }, { AVAL_UINT8, 1, { 257 } }, { AVAL_INT32, 1, { 1 } } },
      { { "a > 0.25", AVAL_BOOL },
        { "c * 7 + 250", AVAL_UINT8 },
        { "n ? b / d : pow(b, 3) - o", AVAL_INT64 },
        { "max(p, -inf) + sqrt(c) * abs(d)", AVAL_INT32 } },
      { 0, 1, { 257 } } },
    { "all integers",
      { { AVAL_INT8, 1, { 101 } }, { AVAL_UINT16, 1, { 101 } }, { AVAL_UINT32, 1, { 101 } }, { AVAL_INT16, 1, { 101 } } },
      { { "(a << 3) - ~a / (a == 0 ? 1 : a)", AVAL_INT8 },
        { "b * b * b", AVAL_UINT16 },
        { "(c - 1) / 3 + (c > 0) + (c >> 1)", AVAL_UINT32 },
        { "mod(d, a) * 100 + fmod(d, a) + pow(d, 3)", AVAL_INT16 },
        { "a + b + n", AVAL_INT64 },
        { "(a ^ d) | b & 12", AVAL_INT32 } },
      { 0, 1, { 101 } } },
    { "storage types are rounded to between nodes",
      { { AVAL_FLOAT, 1, { 101 } }, { AVAL_BFLOAT16, 1, { 101 } }, { AVAL_INT4, 1, { 101 } } },
      { { "a * 100", AVAL_FLOAT8E4M3FN },
        { "n + b", AVAL_BFLOAT16 },
        { "a * 2", AVAL_INT4 },
        { "p * c + o", AVAL_FLOAT },
        { "a * 7", AVAL_UINT4 },
        { "r * 20 - a", AVAL_INT8 } },
      { 0, 1, { 101 } } },
    { "double",
      { { AVAL_DOUBLE, 1, { 100 } }, { AVAL_FLOAT, 1, { 100 } } },
      { { "sigmoid(a) * max(b, a) + k", AVAL_DOUBLE }, { "isnan(n) || n < inf", AVAL_BOOL } },
      { 0, 1, { 100 } } },
    { "functions",
      { { AVAL_FLOAT, 1, { 500 } } },
      { { "abs(a) + ceil(a) + cos(a) + cosh(a) + erf(a) + exp(a) + expm1(a) + floor(a)", AVAL_FLOAT },
        { "log(a + 4) + log1p(a + 4) + min(a, 1) + pow(a + 4, 1.5) + round(a) + rsqrt(a + 4)", AVAL_FLOAT },
        { "sigmoid(a) + sign(a) + sin(a) + sinh(a) + sqrt(a + 4) + tan(a / 3) + fmod(a, 2) + isinf(a) + !a + (a && 1)", AVAL_FLOAT },
        { "acos(a / 9) + acosh(a + 5) + asin(a / 9) + asinh(a) + atan(a) + atanh(a / 9) + mod(a, 2)", AVAL_FLOAT } },
      { 0, 1, { 500 } } },
};

static bool resolve(void *user, const char *name, size_t length, aval__leaf *leaf)
{
    (void)user;
    if (length != 1) return false;
    if (*name == 'k') *leaf = (aval__leaf){ AVAL__LEAF_ATTR, 0 };
    else *leaf = (aval__leaf){ AVAL__LEAF_INPUT, (uint32_t)(*name >= 'n' ? MOST + *name - 'n' : *name - 'a') };
    return true;
}

struct built {
    aval__arena arena;
    aval_value values[2 * MOST]; /* inputs, then results of nodes */
    aval_node nodes[MOST];
    aval__opdef defs[MOST];
    const aval__expr *trees[MOST];
    aval_value *reads[2 * MOST], *writes[MOST];
    size_t n_inputs, n_nodes;
    aval_tensor space;
    void *data[2 * MOST];
};

static const aval_op op = { .size = sizeof(aval_op),
                            .name = "Test",
                            .attrs = AVAL_ATTRS({ .name = "k", .type = AVAL_ATTR_FLOAT, .initial = "0.5" }) };
static const aval__attr_value attr = { .name = "k", .type = AVAL_ATTR_FLOAT, .real = 0.5 };

/* Numbers of both signs, small, with zeros among them. */
static void fill(struct built *b, size_t i)
{
    int64_t count = aval__tensor_count(&b->values[i].tensor);
    b->data[i] = aval__arena_alloc(&b->arena, aval__tensor_bytes(&b->values[i].tensor) + 16);
    for (int64_t k = 0; k < count; k++) {
        double x = (double)((k * 37 + (int64_t)i * 11) % 101) / 17.0 - 3;
        if (b->values[i].tensor.type == AVAL_UINT8) x = fabs(x) * 20;
        if (b->values[i].tensor.type == AVAL_INT64) x *= 100;
        aval__convert((char *)b->data[i] + (size_t)k * aval_type_bytes(b->values[i].tensor.type), b->values[i].tensor.type, &x, AVAL_DOUBLE,
                      1);
    }
}

static void build(struct built *b, const struct kernel_case *c)
{
    const aval__names names = { .resolve = resolve };
    *b = (struct built){ 0 };
    for (; b->n_inputs < MOST && c->inputs[b->n_inputs].type != 0; b->n_inputs++) {
        const struct tensor_case *t = &c->inputs[b->n_inputs];
        cr_assert_eq(aval__tensor_set(&b->values[b->n_inputs].tensor, t->type, (size_t)t->rank, t->dims), AVAL_OK);
        fill(b, b->n_inputs);
    }
    for (size_t i = 0; i < 2 * MOST; i++) b->reads[i] = &b->values[i];
    for (; b->n_nodes < MOST && c->nodes[b->n_nodes].type != 0; b->n_nodes++) {
        size_t i = b->n_nodes;
        aval_value *out = b->writes[i] = &b->values[MOST + i];
        cr_assert_eq(aval__tensor_set(&out->tensor, c->nodes[i].type, (size_t)c->space.rank, c->space.dims), AVAL_OK);
        cr_assert_eq(aval__expr_parse(&b->arena, c->nodes[i].expression, &names, &b->trees[i]), AVAL_OK, "%s", aval_error());
        b->defs[i] = (aval__opdef){ .kind = AVAL__EXPRESSION, .op = &op, .name = "Test", .n_outputs = 1, .outputs = &b->trees[i] };
        b->nodes[i] = (aval_node){ .kind = AVAL__OP,
                                   .def = &b->defs[i],
                                   .attrs = { &attr, 1 },
                                   .inputs = b->reads,
                                   .n_inputs = (uint32_t)(MOST + i),
                                   .outputs = &b->writes[i],
                                   .n_outputs = 1 };
        for (size_t k = b->n_inputs; k < MOST; k++) b->reads[k] = NULL;
        out->producer = &b->nodes[i];
        out->kind = AVAL__PRODUCED;
        b->data[MOST + i] = aval__arena_alloc(&b->arena, aval__tensor_bytes(&out->tensor) + 16);
        b->space = out->tensor;
    }
}

static cl_mem make_buffer(aval__device *device, void *data, size_t bytes)
{
    cl_int code;
    cl_mem mem = clCreateBuffer(aval__device_context(device), CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR, bytes + 16, data, &code);
    cr_assert_eq(code, CL_SUCCESS);
    return mem;
}

/* Runs nodes first to first + n - 1 as one cluster; results of earlier ones come from data, results of these go to it. */
static void run(struct built *b, aval__device *device, uint32_t kind, size_t first, size_t n)
{
    aval_node *nodes[MOST];
    aval_value *inputs[2 * MOST];
    size_t place[2 * MOST], n_reads = 0;
    cl_mem buffers[2 * MOST] = { 0 };
    aval_device_info info = *aval__device_info(device);
    aval__fused_kernel k;
    cl_program program;
    cl_int code;
    info.kind = kind;
    for (size_t i = 0; i < b->n_inputs; i++) place[n_reads] = i, inputs[n_reads++] = &b->values[i];
    for (size_t i = 0; i < first; i++) place[n_reads] = MOST + i, inputs[n_reads++] = &b->values[MOST + i];
    for (size_t i = 0; i < n; i++) nodes[i] = &b->nodes[first + i];
    const aval__cluster cluster = { .nodes = nodes,
                                    .n_nodes = n,
                                    .inputs = inputs,
                                    .n_inputs = n_reads,
                                    .outputs = &b->writes[first],
                                    .n_outputs = n,
                                    .space = &b->space };
    cr_assert_eq(aval__fuse_kernel(&b->arena, &cluster, &info, &k), AVAL_OK, "%s", aval_error());
    cr_assert_eq(aval__device_program(device, "fused", k.text, aval__hash_bytes(k.text, strlen(k.text)), k.options, &program), AVAL_OK,
                 "%s\n%s", aval_error(), k.text);
    cl_kernel kernel = clCreateKernel(program, k.kernel, &code);
    cr_assert_eq(code, CL_SUCCESS);
    cl_uint at = 0;
    for (size_t i = 0; i < k.n_args; i++) {
        const aval__fused_arg *a = &k.args[i];
        if (a->kind == AVAL__FUSED_INPUT || a->kind == AVAL__FUSED_OUTPUT) {
            size_t v = a->kind == AVAL__FUSED_INPUT ? place[a->index] : MOST + first + a->index;
            cl_long zero = 0;
            buffers[v] = make_buffer(device, b->data[v], aval__tensor_bytes(&b->values[v].tensor));
            clSetKernelArg(kernel, at++, sizeof buffers[v], &buffers[v]);
            code |= clSetKernelArg(kernel, at++, sizeof zero, &zero);
        } else if (a->kind == AVAL__FUSED_LONG) code |= clSetKernelArg(kernel, at++, 8, &a->integer);
        else if (a->type == AVAL_DOUBLE) code |= clSetKernelArg(kernel, at++, 8, &a->real);
        else code |= clSetKernelArg(kernel, at++, 4, &(cl_float){ (float)a->real });
    }
    size_t global = k.global, local = k.local;
    cr_assert_eq(code, CL_SUCCESS);
    cr_assert_eq(clEnqueueNDRangeKernel(aval__device_queue(device), kernel, 1, NULL, &global, &local, 0, NULL, NULL), CL_SUCCESS);
    for (size_t i = 0; i < 2 * MOST; i++) {
        if (buffers[i] == NULL) continue;
        cr_assert_eq(clEnqueueReadBuffer(aval__device_queue(device), buffers[i], CL_TRUE, 0, aval__tensor_bytes(&b->values[i].tensor),
                                         b->data[i], 0, NULL, NULL),
                     CL_SUCCESS);
        clReleaseMemObject(buffers[i]);
    }
    clReleaseKernel(kernel);
}

/* ---- On the host --------------------------------------------------------------------------------------------------------------- */

struct element {
    const struct built *b;
    int64_t index; /* in the space */
};

static const void *element_at(const struct built *b, size_t v, int64_t index)
{
    const aval_tensor *t = &b->values[v].tensor;
    int64_t own = 0, stride = 1;
    for (int axis = b->space.rank - 1, k = t->rank - 1; k >= 0; axis--, k--) {
        int64_t coordinate = index % b->space.dims[axis];
        index /= b->space.dims[axis];
        if (t->dims[k] != 1) own += coordinate * stride;
        stride *= t->dims[k];
    }
    return (const char *)b->data[v] + (size_t)own * aval_type_bytes(t->type);
}

static double leaf_real(const void *user, aval__leaf leaf)
{
    const struct element *e = user;
    double x = 0.5;
    if (leaf.kind == AVAL__LEAF_INPUT)
        aval__convert(&x, AVAL_DOUBLE, element_at(e->b, leaf.index, e->index), e->b->values[leaf.index].tensor.type, 1);
    return x;
}

static int64_t leaf_integer(const void *user, aval__leaf leaf)
{
    return (int64_t)leaf_real(user, leaf);
}

struct look {
    const struct built *b;
    bool found;
};

static void note_real(void *user, aval__leaf leaf)
{
    struct look *look = user;
    if (leaf.kind == AVAL__LEAF_INPUT && AVAL_TYPE_SET(look->b->values[leaf.index].tensor.type) & AVAL_REALS) look->found = true;
}

static bool reads_reals(const struct built *b, size_t node)
{
    struct look look = { b, false };
    aval__expr_leaves(b->trees[node], note_real, &look);
    return look.found;
}

/* What is left of a result after it has been stored: integers wrap, small floats are rounded. */
static double stored(int type, bool integer, double x)
{
    uint64_t held = 0;
    int64_t whole = integer ? (int64_t)x : 0;
    double back;
    if (AVAL_TYPE_SET(type) & AVAL_FLOATS) return x;
    if (integer) aval__convert(&held, type, &whole, AVAL_INT64, 1);
    else aval__convert(&held, type, &x, AVAL_DOUBLE, 1);
    aval__convert(&back, AVAL_DOUBLE, &held, type, 1);
    return back;
}

static void compare_with_host(const struct built *b, const char *name)
{
    for (size_t i = 0; i < b->n_nodes; i++) {
        int type = b->values[MOST + i].tensor.type;
        bool integer = type != AVAL_BOOL && !(AVAL_TYPE_SET(type) & AVAL_REALS) && !reads_reals(b, i);
        double tolerance = type == AVAL_FLOAT16 ? 1e-3 : AVAL_TYPE_SET(type) & AVAL_FLOATS ? 1e-5 : 0;
        for (int64_t k = 0; k < aval__tensor_count(&b->space); k++) {
            const struct element e = { b, k };
            double expected =
                integer ? (double)aval__expr_integer(b->trees[i], false, leaf_integer, &e) : aval__expr_real(b->trees[i], leaf_real, &e);
            double found = leaf_real(&e, (aval__leaf){ AVAL__LEAF_INPUT, (uint32_t)(MOST + i) });
            expected = stored(type, integer, expected);
            cr_assert(fabs(found - expected) <= tolerance * (1 + fabs(expected)), "%s, node %zu, element %lld: %.9g, the host has %.9g",
                      name, i, (long long)k, found, expected);
        }
    }
}

static aval__device *open_best(aval__devices **devices)
{
    aval__device *device;
    size_t index;
    cr_assert_eq(aval__devices_create(NULL, devices), AVAL_OK, "%s", aval_error());
    cr_assert_eq(aval__devices_best(*devices, &index), AVAL_OK, "%s", aval_error());
    cr_assert_eq(aval__device_open(*devices, index, &device), AVAL_OK, "%s", aval_error());
    return device;
}

Test(fused_kernels, fused_and_single_launches_of_both_forms_give_equal_bits_and_agree_with_the_host)
{
    static const uint32_t kinds[] = { AVAL_DEVICE_CPU, AVAL_DEVICE_GPU };
    aval__devices *devices;
    aval__device *device = open_best(&devices);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct built b;
        void *before[MOST];
        build(&b, &cases[c]);
        for (size_t form = 0; form < 4; form++) {
            if (form % 2 == 0) {
                for (size_t i = 0; i < b.n_nodes; i++) run(&b, device, kinds[form / 2], i, 1);
            } else run(&b, device, kinds[form / 2], 0, b.n_nodes);
            if (form == 0) compare_with_host(&b, cases[c].name);
            for (size_t i = 0; i < b.n_nodes; i++) {
                size_t bytes = aval__tensor_bytes(&b.values[MOST + i].tensor);
                if (form == 0) before[i] = aval__arena_copy(&b.arena, b.data[MOST + i], bytes);
                cr_expect_arr_eq(before[i], b.data[MOST + i], bytes, "%s: node %zu, form %zu", cases[c].name, i, form);
                memset(b.data[MOST + i], 0xA5, bytes);
            }
        }
        aval__arena_release(&b.arena);
    }
    aval__device_close(device);
    aval__devices_release(devices);
}

/* ---- Functions of floats ---------------------------------------------------------------------------------------------------------- */

#define AT_ONCE (1 << 20)

/* Largest errors in units in the last place: of kernels/functions.clh where division and roots are rounded to the nearest, and of OpenCL.  Where its
   result has a value for C's double function, so has the device's, special ones and signs of zeros included. */
static const struct float_function {
    const char *expression;
    double most, most_of_opencl;
} float_functions[] = {
    { "acos(a)", 1.5, 4 },  { "acosh(a)", 2.5, 4 }, { "asin(a)", 2.5, 4 },  { "asinh(a)", 2, 4 },   { "atan(a)", 1.5, 5 },
    { "atanh(a)", 2.5, 5 }, { "cos(a)", 3, 4 },     { "cosh(a)", 2, 4 },    { "erf(a)", 1.5, 16 },  { "expm1(a)", 2, 3 },
    { "log(a)", 1, 3 },     { "log1p(a)", 1, 2 },   { "pow(a, b)", 4, 16 }, { "sin(a)", 3, 4 },     { "sinh(a)", 3, 4 },
    { "tan(a)", 4.5, 5 },   { "tanh(a)", 3, 5 },    { "round(a)", 0, 0 },   { "fmod(a, b)", 0, 0 }, { "mod(a, b)", 0.5, 0.5 },
};

/* Of a block of floats whose bits are `step` apart; b such that most powers are numbers, and special pairs first. */
static void fill_floats(float *a, float *b, uint32_t first, uint32_t step)
{
    static const float special[] = { 0,         -0.0f,      1,       -1,     INFINITY,    -INFINITY,   NAN,          0.5f,
                                     -0.5f,     2,          -2,      3,      -3,          1e9f,        -1e9f,        1e-9f,
                                     0x1p-149f, -0x1p-149f, FLT_MAX, -1e38f, 16777215.0f, 33554436.0f, 0.999999940f, 0x1.4p-147f };
    const size_t n = sizeof special / sizeof *special;
    uint64_t state = first + 1;
    for (size_t i = 0; i < AT_ONCE; i++) {
        const uint32_t bits = first + (uint32_t)i * step;
        memcpy(&a[i], &bits, sizeof bits);
        state = state * 6364136223846793005u + 1442695040888963407u;
        const double log_of_result = (double)(state >> 40) * 0x1p-24 * 300 - 150, y = log_of_result / log2(fabs((double)a[i]));
        b[i] = (float)(state >> 33 & 1 ? y : nearbyint(y));
        if (first == 0 && i < n * n) a[i] = special[i / n], b[i] = special[i % n];
    }
}

/* How many units in the last place `found` is away from `exact`; infinite where one is special and the other is not. */
static double units_between(float found, double exact)
{
    const float nearest = (float)exact;
    if (isnan(nearest) || isnan(found)) return isnan(nearest) && isnan(found) ? 0 : INFINITY;
    if (nearest == 0 && (found != 0 || signbit(found) != signbit(nearest)))
        return fabs(found) <= FLT_TRUE_MIN && !signbit(found) == !signbit(nearest) ? 1 : INFINITY;
    if (isinf(nearest) && isinf(found)) return found == nearest ? 0 : INFINITY;
    if (isinf(exact) || exact == 0) return found == nearest ? 0 : INFINITY;
    const int exponent = ilogb(exact) < -126 ? -126 : ilogb(exact);
    const double value = isinf(found) ? copysign(0x1p128, (double)found) : (double)found;
    return fabs(value - exact) / ldexp(1, exponent - 23);
}

static bool is_subnormal(double x)
{
    return x != 0 && fabs(x) < FLT_MIN;
}

static bool computes_subnormals(aval__device *device)
{
    cl_device_fp_config config = 0;
    cr_assert_eq(clGetDeviceInfo(aval__device_id(device), CL_DEVICE_SINGLE_FP_CONFIG, sizeof config, &config, NULL), CL_SUCCESS);
    return (config & CL_FP_DENORM) != 0;
}

static void check_function(aval__device *device, const struct float_function *f, uint32_t step)
{
    const struct kernel_case c = { f->expression,
                                   { { AVAL_FLOAT, 1, { AT_ONCE } }, { AVAL_FLOAT, 1, { AT_ONCE } } },
                                   { { f->expression, AVAL_FLOAT } },
                                   { 0, 1, { AT_ONCE } } };
    const bool is_cpu = aval__device_info(device)->kind == AVAL_DEVICE_CPU, subnormals = computes_subnormals(device);
    const double most = is_cpu ? f->most : f->most_of_opencl;
    struct built b;
    build(&b, &c);
    float *in[] = { b.data[0], b.data[1] };
    const float *found = b.data[MOST];
    for (uint64_t first = 0; first < (uint64_t)1 << 32; first += (uint64_t)AT_ONCE * step) {
        fill_floats(in[0], in[1], (uint32_t)first, step);
        run(&b, device, aval__device_info(device)->kind, 0, 1);
        for (int64_t i = 0; i < AT_ONCE; i++) {
            const double exact = aval__expr_real(b.trees[0], leaf_real, &(struct element){ &b, i });
            if (!subnormals && (is_subnormal(exact) || is_subnormal((double)in[0][i]) || is_subnormal((double)in[1][i]))) continue;
            const double units = units_between(found[i], exact);
            cr_assert(units <= most, "%s of %a (and %a) is %a, expected %a: %.2f units", f->expression, (double)in[0][i], (double)in[1][i],
                      (double)found[i], exact, units);
        }
    }
    aval__arena_release(&b.arena);
}

/* AVAL_FLOAT_STEP=1: of all floats, which takes an hour and a half. */
Test(fused_kernels, functions_of_floats_are_within_their_bounds)
{
    const char *asked = getenv("AVAL_FLOAT_STEP");
    const uint32_t step = asked == NULL ? 2039 : (uint32_t)strtoul(asked, NULL, 10);
    aval__devices *devices;
    aval__device *device = open_best(&devices);
    cr_assert(step > 0 && step < 4096, "AVAL_FLOAT_STEP=%s: expected 1 to 4095", asked);
    for (size_t i = 0; i < sizeof float_functions / sizeof *float_functions; i++) check_function(device, &float_functions[i], step);
    aval__device_close(device);
    aval__devices_release(devices);
}
