/* Products of bytes: MatMulInteger, ConvInteger, and both with quantised results.
 *
 * They are computed by the products of floats, which every device has fast.  Bytes less their zero points are at most 255, so that all sums of up
 * to 258 products stay below 2^24, where floats are exact.  Of longer sums b is split into 16 h + l with l in 0..15: two products, exact up
 * to 4,112; of still longer ones a too.  Whatever the order of a sum, the result is the exact integer. */
#include "quantize.h"
#include "window.h"

#define EXACT (1 << 24)
#define LARGEST 255

/* Inputs of the quantised products. */
enum { A, A_SCALE, A_ZERO, B, B_SCALE, B_ZERO, Y_SCALE, Y_ZERO, BIAS };

/* ---- Exact products --------------------------------------------------------------------------------------------------------------- */

typedef struct factors {
    const char *op, *attrs; /* of the product of floats */
    int64_t depth; /* how many products a sum has */
} factors;

/* t = 16 high + low. */
static int split(const aval_host *host, aval_call *call, const aval_tensor *t, const aval_tensor **high, const aval_tensor **low)
{
    const aval_tensor *back;
    TRY(apply(host, call, "aval::Scale", "factor=0.0625", t, NULL, high));
    TRY(apply(host, call, "Floor", NULL, *high, NULL, high));
    TRY(apply(host, call, "aval::Scale", "factor=16", *high, NULL, &back));
    return apply(host, call, "Sub", NULL, t, back, low);
}

/* a b as int32; each sum is below EXACT. */
static int whole(const aval_host *host, aval_call *call, const factors *f, const aval_tensor *a, const aval_tensor *b,
                 const aval_tensor **out)
{
    TRY(apply(host, call, f->op, f->attrs, a, b, out));
    return cast(host, call, AVAL_INT32, out);
}

/* 16 high + low, of int32. */
static int join(const aval_host *host, aval_call *call, const aval_tensor *high, const aval_tensor *low, const aval_tensor **out)
{
    static const int32_t sixteen = 16;
    TRY(apply(host, call, "Mul", NULL, high, host->constant(call, AVAL_INT32, 0, NULL, &sixteen), out));
    return apply(host, call, "Add", NULL, *out, low, out);
}

static int by_parts_of_b(const aval_host *host, aval_call *call, const factors *f, const aval_tensor *a, const aval_tensor *b,
                         const aval_tensor **out)
{
    const aval_tensor *high, *low;
    TRY(split(host, call, b, &high, &low));
    TRY(whole(host, call, f, a, high, &high));
    TRY(whole(host, call, f, a, low, &low));
    return join(host, call, high, low, out);
}

/* a b as int32, of floats that are integers from -255 to 255. */
static int exact_product(const aval_host *host, aval_call *call, const factors *f, const aval_tensor *a, const aval_tensor *b,
                         const aval_tensor **out)
{
    const aval_tensor *high, *low;
    if (f->depth * LARGEST * LARGEST < EXACT) return whole(host, call, f, a, b, out);
    if (f->depth * LARGEST * 16 < EXACT) return by_parts_of_b(host, call, f, a, b, out);
    if (f->depth * 16 * 16 >= EXACT)
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED,
                          "sums of %lld products are longer than floats can add exactly: expected at most %d", (long long)f->depth,
                          EXACT / 256 - 1);
    TRY(split(host, call, a, &high, &low));
    TRY(by_parts_of_b(host, call, f, high, b, &high));
    TRY(by_parts_of_b(host, call, f, low, b, &low));
    return join(host, call, high, low, out);
}

/* Bytes less their zero point, as floats.  A zero point with several elements gets `trailing` axes of length 1 behind it. */
static int centred(const aval_host *host, aval_call *call, size_t i, size_t zero, uint32_t trailing, const aval_tensor **out)
{
    const aval_tensor *z = given(host, call, zero);
    int64_t dims[AVAL_MAX_RANK];
    uint32_t rank = z == NULL ? 0 : host->rank(z);
    *out = host->input(call, i);
    TRY(cast(host, call, AVAL_FLOAT, out));
    if (z == NULL) return 0;
    if (host->count(z) == 1) rank = trailing = 0; /* also a list of one, which would make a scalar longer */
    if (rank + trailing > AVAL_MAX_RANK) return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "a zero point has %u axes", (unsigned)rank);
    for (uint32_t k = 0; k < rank + trailing; k++) dims[k] = k < rank ? host->dims(z)[k] : 1;
    TRY(cast(host, call, AVAL_FLOAT, &z));
    TRY(reshaped(host, call, z, rank + trailing, dims, &z));
    return apply(host, call, "Sub", NULL, *out, z, out);
}

/* ---- Shapes ------------------------------------------------------------------------------------------------------------------------ */

/* Length of axis i of `axes`, of a tensor whose last axes, but for the two of the matrix, lie there; 1 where it has none. */
static int64_t batch_length(const aval_host *host, const aval_tensor *t, uint32_t axes, uint32_t i)
{
    uint32_t own = host->rank(t) > 2 ? host->rank(t) - 2 : 0;
    return i + own < axes ? 1 : host->dims(t)[i + own - axes];
}

/* numpy's rule for a matrix product of inputs 0 and `second`. */
static int infer_matrices(const aval_host *host, aval_call *call, size_t second, aval_type type)
{
    const aval_tensor *a = host->input(call, 0), *b = host->input(call, second);
    uint32_t ra = host->rank(a), rb = host->rank(b), highest = ra > rb ? ra : rb, axes = highest > 2 ? highest - 2 : 0, rank = axes;
    int64_t dims[AVAL_MAX_RANK];
    if (ra == 0 || rb == 0 || host->dims(a)[ra - 1] != host->dims(b)[rb == 1 ? 0 : rb - 2])
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE,
                          "the matrices do not fit: expected as many columns of the first as rows of the second");
    for (uint32_t i = 0; i < axes; i++) {
        int64_t x = batch_length(host, a, axes, i), y = batch_length(host, b, axes, i);
        if (x != y && x != 1 && y != 1)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "batch axis %u has lengths %lld and %lld, which do not broadcast", (unsigned)i,
                              (long long)x, (long long)y);
        dims[i] = x == 1 ? y : x;
    }
    if (ra > 1) dims[rank++] = host->dims(a)[ra - 2];
    if (rb > 1) dims[rank++] = host->dims(b)[rb - 1];
    return host->set_output(call, 0, type, rank, dims);
}

/* The convolution of input 0 with the filters of input `second`. */
static int infer_windows(const aval_host *host, aval_call *call, size_t second, aval_type type)
{
    const aval_tensor *x = host->input(call, 0), *filters = host->input(call, second);
    window w;
    TRY(window_space(host, call, "W", filters, &w.axes, w.at.kernel));
    if (host->rank(x) != host->rank(filters))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "the images have %u axes and the filters %u, expected equally many",
                          (unsigned)host->rank(x), (unsigned)host->rank(filters));
    TRY(window_read(host, call, x, 0, &w));
    return window_output(host, call, 0, type, host->dims(x)[0], host->dims(filters)[0], w.axes, w.at.out);
}

static int infer_matmul_integer(const aval_host *host, aval_call *call)
{
    return infer_matrices(host, call, 1, AVAL_INT32);
}

static int infer_conv_integer(const aval_host *host, aval_call *call)
{
    return infer_windows(host, call, 1, AVAL_INT32);
}

static int infer_qlinear_matmul(const aval_host *host, aval_call *call)
{
    return infer_matrices(host, call, B, host->type(host->input(call, Y_ZERO)));
}

static int infer_qlinear_conv(const aval_host *host, aval_call *call)
{
    return infer_windows(host, call, B, host->type(host->input(call, Y_ZERO)));
}

/* ---- Products of matrices ------------------------------------------------------------------------------------------------------------ */

/* Of input a and its zero point (a list: one a row), b and its zero point (a list: one a column). */
static int matrices(const aval_host *host, aval_call *call, size_t a, size_t a_zero, size_t b, size_t b_zero, const aval_tensor **out)
{
    const aval_tensor *x, *y, *rows = given(host, call, a_zero);
    int64_t depth = host->rank(host->input(call, a)) == 0 ? 1 : host->dims(host->input(call, a))[host->rank(host->input(call, a)) - 1];
    const factors f = { .op = "MatMul", .depth = depth };
    TRY(centred(host, call, a, a_zero, rows != NULL && host->rank(rows) == 1, &x));
    TRY(centred(host, call, b, b_zero, 0, &y));
    return exact_product(host, call, &f, x, y, out);
}

static int body_matmul_integer(const aval_host *host, aval_call *call)
{
    const aval_tensor *y;
    TRY(matrices(host, call, 0, 2, 1, 3, &y));
    return host->yield(call, 0, y);
}

/* A list of scales, one a row, as a column. */
static int as_column(const aval_host *host, aval_call *call, uint32_t trailing, const aval_tensor **t)
{
    int64_t dims[AVAL_MAX_RANK];
    TRY(cast(host, call, AVAL_FLOAT, t));
    if (host->count(*t) == 1) return reshaped(host, call, *t, 0, dims, t);
    if (host->rank(*t) != 1) return 0;
    for (uint32_t i = 0; i <= trailing; i++) dims[i] = i == 0 ? host->count(*t) : 1;
    return reshaped(host, call, *t, trailing + 1, dims, t);
}

/* An int32 result times a b / y, plus y's zero point, in bytes. */
static int requantise(const aval_host *host, aval_call *call, const aval_tensor *sum, const aval_tensor *a, const aval_tensor *b,
                      const aval_tensor *y, const aval_tensor *y_zero)
{
    const aval_tensor *out;
    text attrs = { 0 };
    int64_t dims[1];
    TRY(as_column(host, call, 0, &y));
    TRY(apply(host, call, "Mul", NULL, a, b, &a));
    TRY(apply(host, call, "Div", NULL, a, y, &a));
    TRY(cast(host, call, AVAL_FLOAT, &sum));
    TRY(apply(host, call, "Mul", NULL, sum, a, &sum));
    if (host->count(y_zero) == 1) TRY(reshaped(host, call, y_zero, 0, dims, &y_zero));
    static const float one = 1;
    const aval_tensor *inputs[] = { sum, host->constant(call, AVAL_FLOAT, 0, NULL, &one), y_zero };
    text_int(&attrs, "to", host->type(y_zero));
    TRY(host->apply(call, "aval::Quantised", attrs.at, 3, inputs, 1, &out));
    return host->yield(call, 0, out);
}

static int body_qlinear_matmul(const aval_host *host, aval_call *call)
{
    const aval_tensor *sum, *a = host->input(call, A_SCALE), *b = host->input(call, B_SCALE);
    TRY(matrices(host, call, A, A_ZERO, B, B_ZERO, &sum));
    TRY(as_column(host, call, 1, &a));
    TRY(as_column(host, call, 0, &b));
    return requantise(host, call, sum, a, b, host->input(call, Y_SCALE), host->input(call, Y_ZERO));
}

/* ---- Convolutions --------------------------------------------------------------------------------------------------------------------- */

/* Of input x and its zero point, w and its zero point (a list: one a map). */
static int images(const aval_host *host, aval_call *call, size_t x, size_t x_zero, size_t w, size_t w_zero, const aval_tensor **out)
{
    static const char *const lists[] = { "kernel_shape", "strides", "pads", "dilations" };
    const aval_tensor *filters = host->input(call, w), *a, *b;
    uint32_t rank = host->rank(filters);
    text attrs = { 0 };
    if (rank < 3) return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "the filters have %u axes, expected 3 or more", (unsigned)rank);
    text_int(&attrs, "group", host->attr_int(call, "group"));
    text_word(&attrs, "auto_pad", host->attr_string(call, "auto_pad"));
    for (size_t i = 0; i < 4; i++) {
        size_t n;
        const int64_t *values = host->attr_ints(call, lists[i], &n);
        if (n > 0) text_ints(&attrs, lists[i], values, n);
    }
    const factors f = { "Conv", attrs.at, product(host->dims(filters) + 1, rank - 1) };
    TRY(centred(host, call, x, x_zero, 0, &a));
    TRY(centred(host, call, w, w_zero, rank - 1, &b));
    return exact_product(host, call, &f, a, b, out);
}

static int body_conv_integer(const aval_host *host, aval_call *call)
{
    const aval_tensor *y;
    TRY(images(host, call, 0, 2, 1, 3, &y));
    return host->yield(call, 0, y);
}

static int body_qlinear_conv(const aval_host *host, aval_call *call)
{
    const aval_tensor *sum, *a = host->input(call, A_SCALE), *b = host->input(call, B_SCALE), *bias = given(host, call, BIAS);
    uint32_t space = host->rank(host->input(call, A)) - 2;
    int64_t dims[AVAL_MAX_RANK] = { 1 };
    TRY(images(host, call, A, A_ZERO, B, B_ZERO, &sum));
    if (bias != NULL) {
        dims[0] = host->count(bias);
        for (uint32_t i = 0; i < space; i++) dims[i + 1] = 1;
        TRY(reshaped(host, call, bias, space + 1, dims, &bias));
        TRY(apply(host, call, "Add", NULL, sum, bias, &sum));
    }
    TRY(as_column(host, call, space, &a));
    TRY(as_column(host, call, space, &b));
    return requantise(host, call, sum, a, b, host->input(call, Y_SCALE), host->input(call, Y_ZERO));
}

/* ---- Definitions ----------------------------------------------------------------------------------------------------------------------- */

#define BYTE(port_name) PORT(port_name, BYTES)
#define ZERO(port_name, other) \
    { \
        .name = port_name, .flags = AVAL_OPTIONAL, .types = BYTES, .like = AVAL_LIKE(other) \
    }
#define CONV_ATTRS \
    { .name = "auto_pad", .type = AVAL_ATTR_STRING, .initial = "'NOTSET'", .doc = "NOTSET (pads says), SAME_UPPER, SAME_LOWER or VALID" }, \
        { .name = "dilations", .type = AVAL_ATTR_INTS, .doc = "steps between the elements of a window; 1 without it" }, \
        { .name = "group", .type = AVAL_ATTR_INT, .initial = "1", .doc = "channels are convolved in so many separate groups" }, \
        { .name = "kernel_shape", .type = AVAL_ATTR_INTS, .doc = "lengths of the window; those of the filters without it" }, \
        { .name = "pads", .type = AVAL_ATTR_INTS, .doc = "elements before, then after each axis; 0 without it" }, \
    { \
        .name = "strides", .type = AVAL_ATTR_INTS, .doc = "steps between windows; 1 without it" \
    }
#define PRODUCT(op_name, which, summary) \
    .size = sizeof(aval_op), .name = op_name, .since = 10, .deterministic = 1, .infer = infer_##which, .body = body_##which, .doc = summary
#define QLINEAR_PORTS(a, b) \
    BYTE(a), PORT(a "_scale", SCALES), PORT_LIKE(a "_zero_point", BYTES, A), BYTE(b), PORT_LIKE(b "_scale", SCALES, A_SCALE), \
        PORT_LIKE(b "_zero_point", BYTES, B), PORT_LIKE("y_scale", SCALES, A_SCALE), PORT("y_zero_point", BYTES)
#define INTEGER_RESULT .outputs = AVAL_PORTS(PORT("y", INT32S))

static const aval_op matmul_integer = {
    PRODUCT("MatMulInteger", matmul_integer, "The matrix product of bytes less their zero points, in int32."),
    .inputs = AVAL_PORTS(BYTE("A"), BYTE("B"), ZERO("a_zero_point", 0), ZERO("b_zero_point", 1)),
    INTEGER_RESULT,
    .samples =
        AVAL_SAMPLES({ .inputs = "u8[4,3]{0..255} u8[3,2]{0..255} u8[1]{12} u8[1]{0}" }, { .inputs = "i8[2,3]{-128..127} u8[3,2]{0..255}" },
                     { .inputs = "u8[2,4,3]{0..255} i8[3,2]{-128..127} u8[4]{1,20,255,0} i8[2]{-128,127}", .why = "one a row, a column" },
                     { .inputs = "u8[2,300]{255..255} u8[300,3]{254..255}", .why = "sums that are too long for floats" },
                     { .inputs = "i8[2,4500]{-128..-127} u8[4500,2]{254..255} - u8[]{255}", .why = "and for half of a split" },
                     { .inputs = "u8[1]{7} u8[1]{9}" }, { .inputs = "u8[0,3] u8[3,2]" },
                     { .inputs = "u8[67,129]{0..255} i8[129,65]{-128..127}", .size_class = AVAL_LARGE }),
};
static const aval_op conv_integer = {
    PRODUCT("ConvInteger", conv_integer, "The convolution of bytes less their zero points, in int32."),
    .inputs = AVAL_PORTS(BYTE("x"), BYTE("w"), ZERO("x_zero_point", 0), ZERO("w_zero_point", 1)),
    INTEGER_RESULT,
    .attrs = AVAL_ATTRS(CONV_ATTRS),
    .samples = AVAL_SAMPLES({ .inputs = "u8[1,1,3,3]{2..10} u8[1,1,2,2]{1..1} u8[]{1}" },
                            { .inputs = "u8[1,1,3,3]{2..10} u8[1,1,2,2]{1..1} u8[]{1}", .attrs = "pads=[1,1,1,1]" },
                            { .inputs = "u8[2,4,5]{0..255} i8[6,2,3]{-128..127} u8[]{9} i8[6]{1,2,3,-4,-5,-128}", .attrs = "group=2" },
                            { .inputs = "u8[1,40,5,5]{0..255} u8[3,40,3,3]{0..255}",
                              .attrs = "strides=[2,2] auto_pad='SAME_UPPER'",
                              .why = "sums that are too long for floats" }),
};
/* The scales of samples with drawn numbers are such that no result lies half-way between two integers, where rounding of floats would decide. */
static const aval_op qlinear_matmul = {
    PRODUCT("QLinearMatMul", qlinear_matmul, "The matrix product of quantised numbers, quantised."),
    .inputs = AVAL_PORTS(QLINEAR_PORTS("a", "b")),
    .outputs = AVAL_PORTS(BYTE("y")),
    .samples = AVAL_SAMPLES(
        { .inputs = "u8[2,4]{208,236,0,238,3,214,255,29} f32[1]{0.0066} u8[1]{113} u8[4,3]{152,51,244,60,26,255,0,127,246,127,254,247} "
                    "f32[1]{0.00705} u8[1]{114} f32[1]{0.0107} u8[1]{118}" },
        { .inputs = "i8[2,3,4]{-128..127} f32[]{0.01} i8[]{3} i8[4,2]{-128..127} f32[]{0.02} i8[]{-5} f32[]{0.0713} i8[]{1}" },
        { .inputs =
              "u8[2,4]{0..255} f32[2]{0.01,0.02} u8[2]{1,200} i8[4,3]{-128..127} f32[3]{0.1,0.2,0.3} i8[3]{1,0,-7} f32[]{3.007} u8[]{77}",
          .why = "one scale a row, a column" }),
};
static const aval_op qlinear_conv = {
    PRODUCT("QLinearConv", qlinear_conv, "The convolution of quantised numbers, quantised."),
    .inputs = AVAL_PORTS(QLINEAR_PORTS("x", "w"), { .name = "B", .flags = AVAL_OPTIONAL, .types = INT32S }),
    .outputs = AVAL_PORTS(BYTE("y")),
    .attrs = AVAL_ATTRS(CONV_ATTRS),
    .samples = AVAL_SAMPLES(
        { .inputs =
              "u8[1,1,7,7]{0..255} f32[]{0.00369204697} u8[]{132} u8[1,1,1,1]{0} f32[1]{0.00172794575} u8[1]{255} f32[]{0.00162681262} "
              "u8[]{123}" },
        { .inputs =
              "u8[2,4,5,6]{0..255} f32[]{0.01} u8[]{100} i8[4,2,3,3]{-128..127} f32[4]{0.01,0.02,0.03,0.04} i8[4]{0,1,2,3} f32[]{2.3001} "
              "u8[]{77} i32[4]{-3000,0,500,9000}",
          .attrs = "group=2 pads=[1,1,1,1] strides=[2,1]" }),
};

AVAL_PLUGIN("integer_product", "0.1.0", NULL, &matmul_integer, &conv_integer, &qlinear_matmul, &qlinear_conv)
