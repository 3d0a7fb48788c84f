/* Elements as they are: in another element type, or repeated to a larger shape. */
#include "elementwise.h"

#include "support.h"

/* Of what no tensor here holds. */
static const char *name_of_type(int64_t type)
{
    return type == AVAL_STRING ? "texts" : type == AVAL_COMPLEX64 || type == AVAL_COMPLEX128 ? "complex numbers" : "no type at all";
}

static int infer_cast(const aval_host *host, aval_call *call)
{
    int64_t to = host->attr_int(call, "to");
    const aval_tensor *x = host->input(call, 0);
    if (to <= AVAL_NONE || to >= AVAL_TYPES || !(AVAL_STORED & AVAL_TYPE_SET(to)))
        return host->fail(call, AVAL_PLUGIN_UNSUPPORTED,
                          "attribute to: expected the element type of a float, an integer or bool, found %lld: %s", (long long)to,
                          name_of_type(to));
    return host->set_output(call, 0, (aval_type)to, host->rank(x), host->dims(x));
}

/* The shape of `dims`, to which the input must broadcast. */
static int infer_broadcast_to(const aval_host *host, aval_call *call)
{
    size_t rank;
    const int64_t *dims = host->attr_ints(call, "dims", &rank);
    const aval_tensor *x = host->input(call, 0);
    if (rank > AVAL_MAX_RANK || rank < host->rank(x))
        return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "attribute dims has %zu axes, expected %u (those of the input) to %d", rank,
                          (unsigned)host->rank(x), AVAL_MAX_RANK);
    for (uint32_t i = 0; i < host->rank(x); i++) {
        int64_t from = host->dims(x)[i], to = dims[rank - host->rank(x) + i];
        if (from != 1 && from != to)
            return host->fail(call, AVAL_PLUGIN_BAD_SHAPE, "input has length %lld at axis %u, which does not broadcast to %lld",
                              (long long)from, (unsigned)i, (long long)to);
    }
    return host->set_output(call, 0, host->type(x), (uint32_t)rank, dims);
}

#define SATURATE \
    { \
        .name = "saturate", .type = AVAL_ATTR_INT, .initial = "1", \
        .doc = "0: what an 8-bit float cannot hold becomes infinity or NaN; else its largest number" \
    }
#define CONVERSION(text, number, reason) \
    { \
        .inputs = text, .attrs = number, .flags = AVAL_NO_GRADIENT_CHECK, .why = reason \
    }
#define FLOAT8_EDGES "[12]{0.47892547,-0.81910545,1e6,1e-7,inf,-inf,-1e-7,464,465,57344,0.0107421875,-248}"

static const aval_op cast = {
    ELEMENTWISE("Cast", 1, "input"),
    .role = AVAL_ROLE_CAST,
    .infer = infer_cast,
    .doc = "The input's elements in another element type: real numbers are cut off towards 0 and limited to the range of integers, larger "
           "integers keep their low bits.",
    .inputs = AVAL_PORTS({ .name = "input", .types = AVAL_STORED }),
    .outputs = AVAL_PORTS({ .name = "output", .types = AVAL_STORED }),
    .attrs = AVAL_ATTRS({ .name = "to", .type = AVAL_ATTR_INT, .required = 1, .doc = "ONNX's number of the element type" }, SATURATE),
    .samples = AVAL_SAMPLES(
        { .inputs = "[4]{-1.5,0,0.25,3}", .attrs = "to=1" }, { .inputs = "[2,3]", .attrs = "to=11" },
        { .inputs = "[4]{-1.5,0,0.25,3}", .attrs = "to=10" },
        { .inputs = "[4]{-1.5,-0.5,0.5,2.5}", .attrs = "to=6", .flags = AVAL_NO_GRADIENT_CHECK, .why = "integers have no gradient" },
        { .inputs = "[4]{-1.5,0,0.5,2.5}", .attrs = "to=9", .flags = AVAL_NO_GRADIENT_CHECK, .why = "truth values have no gradient" },
        { .inputs = "i64[3]{-7,0,9}", .attrs = "to=1" }, { .inputs = "b[3]{1,0,1}", .attrs = "to=7" }, { .inputs = "[0]", .attrs = "to=1" },
        CONVERSION("[5]{-300,-1.5,300,inf,-inf}", "to=3", "a real number outside the range of int8"),
        CONVERSION("[5]{-300,1.5,300,inf,-inf}", "to=2", "... of uint8"),
        CONVERSION("f32[5]{-3e9,-2.5,3e9,inf,-inf}", "to=6", "... of int32"),
        CONVERSION("f32[4]{-1,3e9,5e9,inf}", "to=12", "... of uint32"),
        CONVERSION("f32[5]{-1e19,2.5,1e19,inf,-inf}", "to=7", "... of int64"),
        CONVERSION("f32[5]{-1,2.5,1e19,2e19,-inf}", "to=13", "... of uint64"), CONVERSION("i64[4]{-1,255,300,-129}", "to=3", "low bits"),
        CONVERSION("i32[4]{-1,255,70000,-129}", "to=4", "low bits"),
        CONVERSION("u32[3]{1,4294967295,70000}", "to=1", "large unsigned numbers"),
        CONVERSION("i64[2]{-1,-9223372036854775808}", "to=13", "large unsigned numbers"),
        CONVERSION("u64[2]{1,9223372036854775808}", "to=1", "large unsigned numbers"),
        CONVERSION("u64[2]{1,9223372036854775808}", "to=9", "truth"),
        CONVERSION("[6]{-9.5,-2.5,0.5,1.5,7.5,99}", "to=22", "int4 rounds to the nearest"),
        CONVERSION("[4]{-1,2.5,3.5,99}", "to=21", "... and uint4"), CONVERSION("i32[4]{-9,7,8,23}", "to=22", "low bits"),
        CONVERSION("i4[3]{-8,-1,7}", "to=1", "4 bits"), CONVERSION("u4[3]{0,9,15}", "to=22", "low bits"),
        CONVERSION("f32[6]{1.00390625,1.01171875,-3e38,inf,1e-40,0}", "to=16", "ties to even"),
        CONVERSION("bf16[2]{1.5,-3e38}", "to=1", "bfloat16"), CONVERSION(FLOAT8_EDGES, "to=17", "saturates"),
        CONVERSION(FLOAT8_EDGES, "to=18", "saturates"), CONVERSION(FLOAT8_EDGES, "to=19", "saturates"),
        CONVERSION(FLOAT8_EDGES, "to=20", "saturates"), CONVERSION(FLOAT8_EDGES, "to=17 saturate=0", "infinities"),
        CONVERSION(FLOAT8_EDGES, "to=18 saturate=0", "infinities"), CONVERSION(FLOAT8_EDGES, "to=19 saturate=0", "infinities"),
        CONVERSION(FLOAT8_EDGES, "to=20 saturate=0", "infinities"), CONVERSION("f8e4m3fn[4]{448,-0.001953125,0.3,inf}", "to=1", "8 bits"),
        CONVERSION("f8e5m2[4]{57344,-1.52587890625e-05,0.3,inf}", "to=10", "8 bits"),
        CONVERSION("f8e4m3fnuz[3]{240,-0.0009765625,0.3}", "to=1", "8 bits"),
        CONVERSION("f8e5m2fnuz[3]{57344,-7.62939453125e-06,0.3}", "to=1", "8 bits")),
};

static int body_cast_like(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0), *y;
    text attrs = { 0 };
    text_int(&attrs, "to", host->type(host->input(call, 1)));
    text_int(&attrs, "saturate", host->attr_int(call, "saturate"));
    TRY(host->apply(call, "Cast", attrs.at, 1, &x, 1, &y));
    return host->yield(call, 0, y);
}

static int infer_cast_like(const aval_host *host, aval_call *call)
{
    const aval_tensor *x = host->input(call, 0);
    return host->set_output(call, 0, host->type(host->input(call, 1)), host->rank(x), host->dims(x));
}

static const aval_op cast_like = {
    .size = sizeof(aval_op),
    .name = "CastLike",
    .since = 15,
    .deterministic = 1,
    .infer = infer_cast_like,
    .body = body_cast_like,
    .doc = "The input's elements in the element type of another tensor, as Cast makes them.",
    .inputs = AVAL_PORTS(PORT("input", AVAL_STORED), PORT("target_type", AVAL_STORED)),
    .outputs = AVAL_PORTS(PORT("output", AVAL_STORED)),
    .attrs = AVAL_ATTRS(SATURATE),
    .zero_gradient = 2,
    .samples = AVAL_SAMPLES({ .inputs = "i64[2]{3,-4} f32[0]" }, { .inputs = "[2,3] f64[]" },
                            CONVERSION("[3]{-1.5,0,300} i8[1]", NULL, "outside the range of int8"),
                            CONVERSION("[2]{500,-600} f8e4m3fn[1]", "saturate=0", "outside the range of float8")),
};

static const aval_op broadcast = {
    ELEMENTWISE("Broadcast", 1, "X"),
    .domain = "aval",
    .infer = infer_broadcast_to,
    .doc = "X repeated to a shape that is fixed when the graph is built.",
    .inputs = AVAL_PORTS({ .name = "X", .types = AVAL_STORED }),
    .outputs = AVAL_PORTS(PORT("Y", AVAL_STORED)),
    .attrs = AVAL_ATTRS({ .name = "dims", .type = AVAL_ATTR_INTS, .required = 1, .doc = "the shape, to which X broadcasts" }),
    .samples = AVAL_SAMPLES({ .inputs = "[2,1]", .attrs = "dims=[3,2,4]" }, { .inputs = "[]", .attrs = "dims=[2,3]" },
                            { .inputs = "[1,3]", .attrs = "dims=[0,3]" }, { .inputs = "[3]", .attrs = "dims=[3]" }),
};

AVAL_PLUGIN("convert", "0.1.0", NULL, &cast, &cast_like, &broadcast)
