/* Quantised numbers: real = (stored - zero) * scale.  The operators are bodies of two expressions, one that quantises and one back. */
#include "quantize.h"

static int is_float8(aval_type type)
{
    return (AVAL_FLOAT8S & AVAL_TYPE_SET(type)) != 0;
}

/* ---- The expressions ---------------------------------------------------------------------------------------------------------- */

static int infer_to(const aval_host *host, aval_call *call)
{
    return aval_infer_broadcast(host, call, 0, (aval_type)host->attr_int(call, "to"));
}

static int infer_scale(const aval_host *host, aval_call *call)
{
    return aval_infer_broadcast(host, call, 0, host->type(host->input(call, 1)));
}

#define TO_ATTR \
    { \
        .name = "to", .type = AVAL_ATTR_INT, .required = 1, .doc = "ONNX's number of the result's element type" \
    }
#define SATURATE_ATTR \
    { \
        .name = "saturate", .type = AVAL_ATTR_INT, .initial = "1", .doc = "0: what an 8-bit float cannot hold becomes infinity or NaN" \
    }

static const aval_op quantised = {
    ELEMENTWISE("Quantised", 1, "round(X / scale) + zero"),
    .domain = "aval",
    .infer = infer_to,
    .zero_gradient = 3,
    .doc = "X / scale rounded to the nearest integer, of two the even one, plus zero, within the range of an integer type; all broadcast.",
    .inputs = AVAL_PORTS(PORT("X", AVAL_REALS), PORT("scale", AVAL_REALS), PORT("zero", QUANTISED)),
    .outputs = AVAL_PORTS(PORT("Y", QUANTISED)),
    .attrs = AVAL_ATTRS(TO_ATTR),
    .samples = AVAL_SAMPLES({ .inputs = "[2,3] []{0.125} u8[]{128}", .attrs = "to=2" },
                            { .inputs = "[5]{-1e9,-0.25,0.25,0.75,1e9} [1]{0.5} i4[1]{1}", .attrs = "to=22" },
                            { .inputs = "[0] [] i16[]", .attrs = "to=5" }),
};
static const aval_op quantised_float = {
    ELEMENTWISE("QuantisedFloat", 1, "X / scale"),
    .domain = "aval",
    .infer = infer_to,
    .zero_gradient = 3,
    .doc = "X / scale as an 8-bit float.",
    .inputs = AVAL_PORTS(PORT("X", AVAL_REALS), PORT("scale", AVAL_REALS)),
    .outputs = AVAL_PORTS(PORT("Y", AVAL_FLOAT8S)),
    .attrs = AVAL_ATTRS(TO_ATTR, SATURATE_ATTR),
    .samples =
        AVAL_SAMPLES({ .inputs = "[3]{0.3,-5,1e9} []{0.125}", .attrs = "to=17" },
                     { .inputs = "[3]{0.3,-5,1e9} []{0.125}", .attrs = "to=19 saturate=0" }, { .inputs = "[0] []", .attrs = "to=18" }),
};
static const aval_op dequantised = {
    ELEMENTWISE("Dequantised", 1, "(X - zero) * scale"),
    .domain = "aval",
    .infer = infer_scale,
    .zero_gradient = 5,
    .doc = "(X - zero) * scale, in the type of scale; all broadcast.",
    .inputs = AVAL_PORTS(PORT("X", QUANTISED | INT32S), PORT("scale", SCALES | AVAL_TYPE_SET(AVAL_DOUBLE)),
                         PORT_LIKE("zero", QUANTISED | INT32S, 0)),
    .outputs = AVAL_PORTS(PORT("Y", SCALES | AVAL_TYPE_SET(AVAL_DOUBLE))),
    .samples = AVAL_SAMPLES({ .inputs = "u8[4]{0,3,128,255} [] u8[]{128}" }, { .inputs = "i4[2,2]{-8,-1,0,7} [2,1] i4[2,1]{0,1}" },
                            { .inputs = "i32[2]{-3,40000} []{0.5} i32[]{1}" }, { .inputs = "f8e5m2[3]{0.5,-3,57344} [1] f8e5m2[1]{0}" },
                            { .inputs = "u16[0] [] u16[]" }),
};
/* y_scale and y_zero_point of DynamicQuantizeLinear: 0 is among the numbers that are told apart. */
static const aval_op dynamic_scale = {
    ELEMENTWISE("DynamicScale", 1, "(max(high, 0) == min(low, 0) ? 1 : max(high, 0) - min(low, 0)) / 255"),
    .domain = "aval",
    .zero_gradient = 3,
    .doc = "The step that divides the range from low to high, 0 included, into 255; of an empty range 1 / 255.",
    .inputs = AVAL_PORTS(REAL("low"), REAL_LIKE("high", 0)),
    .outputs = AVAL_PORTS(REAL("scale")),
    .no_gradient = "scales are constants of a quantisation",
    .samples = AVAL_SAMPLES({ .inputs = "[4]{-1,0.5,-3,0} [4]{2,1,-2,0}" }, { .inputs = "[] []" }),
};
static int infer_byte(const aval_host *host, aval_call *call)
{
    return aval_infer_broadcast(host, call, 0, AVAL_UINT8);
}
static const aval_op dynamic_zero = {
    ELEMENTWISE("DynamicZero", 1, "round(-min(low, 0) / scale)"),
    .domain = "aval",
    .infer = infer_byte,
    .zero_gradient = 3,
    .doc = "Which of 256 steps from low on stands for 0.",
    .inputs = AVAL_PORTS(REAL("low"), REAL_LIKE("scale", 0)),
    .outputs = AVAL_PORTS(PORT("zero", AVAL_TYPE_SET(AVAL_UINT8))),
    .no_gradient = "scales are constants of a quantisation",
    .samples = AVAL_SAMPLES({ .inputs = "[4]{-1,0.5,-3,0} [4]{0.0625,1,0.01171875,2}" }, { .inputs = "[] []{0.5}" }),
};

/* ---- QuantizeLinear and DequantizeLinear ------------------------------------------------------------------------------------------ */

/* A tensor whose scale and zero are one for all, one for each index of an axis, or one for each block of an axis. */
typedef struct grid {
    int64_t axis, block; /* block 0: no blocks */
    int split; /* the tensor's axis becomes two, blocks and places in a block */
} grid;

static int read_grid(const aval_host *host, aval_call *call, const aval_tensor *x, const aval_tensor *scale, grid *g)
{
    *g = (grid){ .axis = aval_axis(host->attr_int(call, "axis"), host->rank(x)), .block = host->attr_int(call, "block_size") };
    if (host->count(scale) == 1) {
        g->block = 0;
        return 0;
    }
    if (g->axis < 0)
        return host->fail(call, AVAL_PLUGIN_BAD_ARGUMENT, "attribute axis is %lld, but the input has %u axes",
                          (long long)host->attr_int(call, "axis"), (unsigned)host->rank(x));
    int64_t length = host->dims(x)[g->axis];
    if (g->block == 0 && (host->rank(scale) != 1 || host->dims(scale)[0] != length))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "the scale has %u axes and %lld elements, expected 1 element, or one for each of the "
                          "%lld along axis %lld",
                          (unsigned)host->rank(scale), (long long)host->count(scale), (long long)length, (long long)g->axis);
    if (g->block == 0) return 0;
    int fits = g->block > 0 && host->rank(scale) == host->rank(x);
    for (uint32_t i = 0; fits && i < host->rank(x); i++) {
        int64_t expected = i == g->axis ? (length + g->block - 1) / g->block : host->dims(x)[i];
        fits = host->dims(scale)[i] == expected;
    }
    if (!fits)
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "blocks of %lld along axis %lld need a scale of the input's shape, with one element for "
                          "each block of that axis",
                          (long long)g->block, (long long)g->axis);
    g->split = length % g->block == 0 && host->rank(x) < AVAL_MAX_RANK;
    return 0;
}

/* dims of t with `first` and `second` in place of axis. */
static uint32_t split_axis(const aval_host *host, const aval_tensor *t, int64_t axis, int64_t first, int64_t second, int64_t *dims)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < host->rank(t); i++) {
        if (i != axis) dims[n++] = host->dims(t)[i];
        else {
            dims[n++] = first;
            dims[n++] = second;
        }
    }
    return n;
}

/* Each element `block` times along the axis, `length` in all. */
static int repeat(const aval_host *host, aval_call *call, const aval_tensor **t, const grid *g, int64_t length)
{
    int64_t dims[AVAL_MAX_RANK + 1], blocks = host->dims(*t)[g->axis];
    text attrs = { 0 };
    if (host->rank(*t) == AVAL_MAX_RANK)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED, "blocks of a tensor of %d axes are not possible here", AVAL_MAX_RANK);
    uint32_t rank = split_axis(host, *t, g->axis, blocks, 1, dims);
    const aval_tensor *whole = *t;
    TRY(reshaped(host, call, *t, rank, dims, t));
    split_axis(host, whole, g->axis, blocks, g->block, dims);
    text_ints(&attrs, "dims", dims, rank);
    TRY(apply(host, call, "aval::Broadcast", attrs.at, *t, NULL, t));
    for (uint32_t i = 0; i < host->rank(whole); i++) dims[i] = i == g->axis ? blocks * g->block : host->dims(whole)[i];
    TRY(reshaped(host, call, *t, host->rank(whole), dims, t));
    const aval_tensor *slice[] = { *t, constant_ints(host, call, (const int64_t[]){ 0 }, 1), constant_ints(host, call, &length, 1),
                                   constant_ints(host, call, &g->axis, 1) };
    return host->apply(call, "Slice", NULL, 4, slice, 1, t);
}

/* scale or zero in a shape that broadcasts to the tensor's, which is split where `split` says so. */
static int spread(const aval_host *host, aval_call *call, const aval_tensor *x, const grid *g, const aval_tensor **t)
{
    int64_t dims[AVAL_MAX_RANK + 1];
    if (host->count(*t) == 1 && g->block == 0) return reshaped(host, call, *t, 0, dims, t);
    if (g->block > 0 && !g->split) return repeat(host, call, t, g, host->dims(x)[g->axis]);
    if (g->block > 0) return reshaped(host, call, *t, split_axis(host, *t, g->axis, host->dims(*t)[g->axis], 1, dims), dims, t);
    uint32_t rank = host->rank(x) - (uint32_t)g->axis;
    for (uint32_t i = 0; i < rank; i++) dims[i] = i == 0 ? host->count(*t) : 1;
    return reshaped(host, call, *t, rank, dims, t);
}

/* A zero point that is given, or 0 in `type`. */
static const aval_tensor *zero_point(const aval_host *host, aval_call *call, size_t i, aval_type type)
{
    static const int64_t nothing = 0;
    const aval_tensor *t = given(host, call, i);
    return t != NULL ? t : host->constant(call, type, 0, NULL, &nothing);
}

static int expect_same_count(const aval_host *host, aval_call *call, const aval_tensor *scale, size_t zero, const char *name)
{
    const aval_tensor *z = given(host, call, zero);
    if (z == NULL || host->count(z) == host->count(scale)) return 0;
    return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input %s has %lld elements, expected as many as the scale: %lld", name,
                      (long long)host->count(z), (long long)host->count(scale));
}

/* All of them in shapes that broadcast. */
static int lay_out(const aval_host *host, aval_call *call, const aval_tensor **x, const aval_tensor **scale, const aval_tensor **zero)
{
    int64_t dims[AVAL_MAX_RANK + 1];
    const aval_tensor *whole = *x;
    grid g;
    TRY(read_grid(host, call, whole, *scale, &g));
    if (g.split) {
        uint32_t rank = split_axis(host, whole, g.axis, host->dims(whole)[g.axis] / g.block, g.block, dims);
        TRY(reshaped(host, call, whole, rank, dims, x));
    }
    TRY(spread(host, call, whole, &g, scale));
    return host->rank(*zero) == 0 ? 0 : spread(host, call, whole, &g, zero);
}

static int yield_as(const aval_host *host, aval_call *call, size_t i, const aval_tensor *y, const aval_tensor *like)
{
    if (host->rank(y) != host->rank(like)) TRY(reshaped(host, call, y, host->rank(like), host->dims(like), &y));
    return host->yield(call, i, y);
}

static aval_type quantised_type(const aval_host *host, aval_call *call)
{
    const aval_tensor *zero = given(host, call, 2);
    int64_t wanted = host->attr_int(call, "output_dtype");
    return zero != NULL ? host->type(zero) : wanted == 0 ? AVAL_UINT8 : (aval_type)wanted;
}

static int infer_quantize(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *scale = host->input(call, 1);
    aval_type type = quantised_type(host, call);
    int64_t wanted = host->attr_int(call, "output_dtype");
    grid g;
    if (type <= AVAL_NONE || type >= AVAL_TYPES || !(QUANTISED & AVAL_TYPE_SET(type)) || (wanted != 0 && wanted != type))
        return host->fail(call, AVAL_PLUGIN_BAD_TYPE,
                          "attribute output_dtype is %lld, expected a quantised type, that of y_zero_point (%d)", (long long)wanted, type);
    TRY(read_grid(host, call, x, scale, &g));
    TRY(expect_same_count(host, call, scale, 2, "y_zero_point"));
    return host->set_output(call, 0, type, host->rank(x), host->dims(x));
}

static int body_quantize(const aval_host *host, aval_call *call)
{
    const aval_tensor *whole = host->input(call, 0), *x = whole, *scale = host->input(call, 1), *y;
    aval_type type = quantised_type(host, call);
    const aval_tensor *zero = zero_point(host, call, 2, type);
    text attrs = { 0 };
    TRY(lay_out(host, call, &x, &scale, &zero));
    if (host->type(x) == AVAL_INT32) TRY(cast(host, call, AVAL_FLOAT, &x));
    if (host->type(scale) == AVAL_INT32) TRY(cast(host, call, AVAL_FLOAT, &scale));
    text_int(&attrs, "to", type);
    if (is_float8(type)) {
        text_int(&attrs, "saturate", host->attr_int(call, "saturate"));
        TRY(apply(host, call, "aval::QuantisedFloat", attrs.at, x, scale, &y));
    } else TRY(host->apply(call, "aval::Quantised", attrs.at, 3, (const aval_tensor *const[]){ x, scale, zero }, 1, &y));
    return yield_as(host, call, 0, y, whole);
}

static int infer_dequantize(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *scale = host->input(call, 1);
    grid g;
    TRY(read_grid(host, call, x, scale, &g));
    TRY(expect_same_count(host, call, scale, 2, "x_zero_point"));
    return host->set_output(call, 0, host->type(scale), host->rank(x), host->dims(x));
}

static int body_dequantize(const aval_host *host, aval_call *call)
{
    const aval_tensor *whole = host->input(call, 0), *x = whole, *scale = host->input(call, 1), *y;
    const aval_tensor *zero = zero_point(host, call, 2, host->type(x));
    TRY(lay_out(host, call, &x, &scale, &zero));
    TRY(host->apply(call, "aval::Dequantised", NULL, 3, (const aval_tensor *const[]){ x, scale, zero }, 1, &y));
    return yield_as(host, call, 0, y, whole);
}

static int infer_dynamic(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    TRY(host->set_output(call, 0, AVAL_UINT8, host->rank(x), host->dims(x)));
    TRY(host->set_output(call, 1, AVAL_FLOAT, 0, NULL));
    return host->set_output(call, 2, AVAL_UINT8, 0, NULL);
}

static int body_dynamic(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *low, *high, *scale, *zero, *y;
    TRY(apply(host, call, "ReduceMin", "keepdims=0", x, NULL, &low));
    TRY(apply(host, call, "ReduceMax", "keepdims=0", x, NULL, &high));
    TRY(apply(host, call, "aval::DynamicScale", NULL, low, high, &scale));
    TRY(apply(host, call, "aval::DynamicZero", NULL, low, scale, &zero));
    TRY(host->apply(call, "aval::Quantised", "to=2", 3, (const aval_tensor *const[]){ x, scale, zero }, 1, &y));
    TRY(host->yield(call, 0, y));
    TRY(host->yield(call, 1, scale));
    return host->yield(call, 2, zero);
}

#define GRID_ATTRS \
    { .name = "axis", .type = AVAL_ATTR_INT, .initial = "1", .doc = "the axis that a scale with several elements belongs to" }, \
    { \
        .name = "block_size", .type = AVAL_ATTR_INT, .initial = "0", .doc = "so many neighbours along the axis share a scale; 0: none" \
    }

static const aval_op quantize_linear = {
    .size = sizeof(aval_op),
    .name = "QuantizeLinear",
    .since = 10,
    .deterministic = 1,
    .infer = infer_quantize,
    .body = body_quantize,
    .zero_gradient = 7,
    .doc = "x / y_scale as integers, to the nearest, of two the even one, plus y_zero_point; or as 8-bit floats.",
    .inputs = AVAL_PORTS(PORT("x", SCALES | INT32S), PORT("y_scale", SCALES | INT32S),
                         { .name = "y_zero_point", .flags = AVAL_OPTIONAL, .types = QUANTISED }),
    .outputs = AVAL_PORTS(PORT("y", QUANTISED)),
    .attrs = AVAL_ATTRS(
        GRID_ATTRS, SATURATE_ATTR,
        { .name = "output_dtype", .type = AVAL_ATTR_INT, .initial = "0", .doc = "the type of y where there is no y_zero_point; 0: uint8" }),
    .samples = AVAL_SAMPLES(
        { .inputs = "[6]{0,2,3,1000,-254,-1000} []{2} u8[]{128}" }, { .inputs = "[2,3] [3]{0.125,0.25,0.5} i8[3]{1,-2,3}" },
        { .inputs = "[3,2,2] [3]{0.0625,0.25,0.5} u16[3]{1,20,300}", .attrs = "axis=0" },
        { .inputs = "[2,4] [2,2]{0.125,0.25,0.5,1}", .attrs = "block_size=2 output_dtype=5" },
        { .inputs = "[2,5] [2,3]{0.125,0.25,0.5,1,2,0.0625} i4[2,3]{1,2,3,-1,-2,-3}",
          .attrs = "block_size=2",
          .why = "the last block is short" },
        { .inputs = "[4]{0.3,-5,1e9,0} []{0.125} f8e4m3fn[]{0}" }, { .inputs = "[2]{1e9,-4} []{2}", .attrs = "output_dtype=19 saturate=0" },
        { .inputs = "[3] [1]{0.25}" }, { .inputs = "i32[3]{-7,8,300} f32[]{2} i8[]{0}" }, { .inputs = "[0,3] []{1} u4[]{7}" }),
};
static const aval_op dequantize_linear = {
    .size = sizeof(aval_op),
    .name = "DequantizeLinear",
    .since = 10,
    .deterministic = 1,
    .infer = infer_dequantize,
    .body = body_dequantize,
    .zero_gradient = 5,
    .doc = "(x - x_zero_point) * x_scale.",
    .inputs = AVAL_PORTS(PORT("x", QUANTISED | INT32S), PORT("x_scale", SCALES),
                         { .name = "x_zero_point", .flags = AVAL_OPTIONAL, .types = QUANTISED | INT32S, .like = AVAL_LIKE(0) }),
    .outputs = AVAL_PORTS(PORT("y", SCALES)),
    .attrs = AVAL_ATTRS(GRID_ATTRS),
    .samples = AVAL_SAMPLES({ .inputs = "u8[4]{0,3,128,255} [] u8[]{128}" }, { .inputs = "i8[2,3]{-128..127} [3] i8[3]{1,-2,3}" },
                            { .inputs = "u16[3,2,2]{0..9000} [3] u16[3]{1,20,300}", .attrs = "axis=0" },
                            { .inputs = "i4[2,4]{-8..7} [2,2] i4[2,2]{1,-2,3,0}", .attrs = "block_size=2" },
                            { .inputs = "u4[2,5]{0..15} [2,3]", .attrs = "block_size=2", .why = "the last block is short" },
                            { .inputs = "i32[2]{-3,40000} []{0.5}" }, { .inputs = "f8e4m3fn[3]{0.5,-3,448} [] f8e4m3fn[]{0}" },
                            { .inputs = "i16[0,3] []" }, { .inputs = "u8[] []" },
                            { .inputs = "i8[257,259]{-128..127} [257]", .attrs = "axis=-2", .size_class = AVAL_LARGE }),
};
static const aval_op dynamic_quantize_linear = {
    .size = sizeof(aval_op),
    .name = "DynamicQuantizeLinear",
    .since = 11,
    .deterministic = 1,
    .infer = infer_dynamic,
    .body = body_dynamic,
    .zero_gradient = 1,
    .doc = "x in bytes, with the scale and zero point that cover its range.",
    .inputs = AVAL_PORTS(PORT("x", AVAL_TYPE_SET(AVAL_FLOAT))),
    .outputs = AVAL_PORTS(PORT("y", AVAL_TYPE_SET(AVAL_UINT8)), PORT("y_scale", AVAL_TYPE_SET(AVAL_FLOAT)),
                          PORT("y_zero_point", AVAL_TYPE_SET(AVAL_UINT8))),
    .samples = AVAL_SAMPLES({ .inputs = "f32[6]{0,2,-3,-2.6,1.34,0.5}" }, { .inputs = "f32[2,3]{1,2.1,1.3,2.5,3.34,4}" },
                            { .inputs = "f32[3]{-1,-2.1,-0.5}" }, { .inputs = "f32[2]{0,0}", .why = "an empty range" }),
};

AVAL_PLUGIN("quantize", "0.1.0", NULL, &quantised, &quantised_float, &dequantised, &dynamic_scale, &dynamic_zero, &quantize_linear,
            &dequantize_linear, &dynamic_quantize_linear)
