/* The plugin ABI of aval: what a shared object must export to bring operators.
 *
 * A plugin is one shared object that exports one constant, AVAL_PLUGIN_SYMBOL, of type aval_plugin.  It links nothing of aval: all that it needs of
 * the runtime comes through the table of host functions (aval_host) that is passed to each of its functions.  `aval new-op NAME` makes a
 * complete plugin to change; docs/writing-operators.md leads through it.
 *
 * Rules that hold for everything here
 *   - All structs that a plugin fills are constant and live as long as the plugin is loaded.  Those that start with their size grow at their
 *     end: a member that an older plugin lacks reads as zero, and of a newer plugin's, those that this runtime does not know must be zero.
 *     All others (ports, attributes, samples, arguments, defines, sources, operands, patches) never grow: what they may need later goes behind
 *     `more`, or into an array of its own at the end of the struct around them.
 *   - `reserved` and `more` are 0 and NULL.  A bit, number or name that the runtime does not know is refused with a message, so a plugin
 *     that uses what came later is told so by an older runtime.
 *   - Enumerations give names to numbers; where one is stored or passed it is a uint32_t.
 *   - Functions return 0, or a negative code; the code and its message come from `fail`.  A host function that fails leaves its own message,
 *     and the call has failed then whatever the plugin returns; where it returns a pointer it gives NULL, and the plugin may return any
 *     negative code.  On any error the runtime gives back what was made.
 *   - Pointers that host functions return (tensors, shapes, texts, lists, contents, the device) belong to the runtime and are valid until the
 *     plugin's function returns; so is the table of host functions.  What a plugin passes to a host function is read before that returns,
 *     and may lie on the stack.  Neither side frees what the other made.
 *   - Plugin functions may be called by several threads at once, each with its own aval_call; a call is used on the thread that it came on.  They
 *     keep no state, and what they do follows from the call alone (attributes, shapes, known contents, device): plans are kept and used again.
 *   - Tensors are opaque; their getters take no call and may be used in every phase.
 *   - Texts that list attributes ("axis=1 keepdims=0 pads=[1,1,1,1] mode='same'") have one grammar everywhere, see aval_attr.
 *
 * This header includes stddef.h, stdint.h and, at its end, plugin_help.h with small helpers, and nothing else. */
#ifndef AVAL_PLUGIN_H
#define AVAL_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this ABI, which only grows: a plugin runs with the aval that it was built for and with every later one.  (0 was what it was
   before it was settled.) */
#define AVAL_PLUGIN_ABI 1
#define AVAL_PLUGIN_SYMBOL "aval_plugin_entry"

/* Never raised in this ABI: plugins have arrays of so many, and masks of so many bits. */
#define AVAL_MAX_RANK 8 /* axes of a tensor */
#define AVAL_MAX_PORTS 32 /* inputs, or outputs, that an operator can name (a variadic input may stand for more) */

/* ---- Element types: ONNX's numbers.  A set of types is a uint64_t with bit (1 << number). ---------------------------- */

typedef uint32_t aval_type;
enum {
    AVAL_NONE = 0,
    AVAL_FLOAT = 1,
    AVAL_UINT8 = 2,
    AVAL_INT8 = 3,
    AVAL_UINT16 = 4,
    AVAL_INT16 = 5,
    AVAL_INT32 = 6,
    AVAL_INT64 = 7,
    AVAL_STRING = 8,
    AVAL_BOOL = 9, /* one byte, 0 or 1 */
    AVAL_FLOAT16 = 10, /* stored as half, computed as float */
    AVAL_DOUBLE = 11,
    AVAL_UINT32 = 12,
    AVAL_UINT64 = 13,
    AVAL_COMPLEX64 = 14,
    AVAL_COMPLEX128 = 15,
    AVAL_BFLOAT16 = 16,
    AVAL_FLOAT8E4M3FN = 17,
    AVAL_FLOAT8E4M3FNUZ = 18,
    AVAL_FLOAT8E5M2 = 19,
    AVAL_FLOAT8E5M2FNUZ = 20,
    AVAL_UINT4 = 21, /* one an element in a byte, in memory and in every call here; files pack two */
    AVAL_INT4 = 22,
    AVAL_FLOAT4E2M1 = 23,
    AVAL_TYPES = 24 /* how many numbers are given out in this version of the header */
};

#define AVAL_TYPE_SET(type) ((uint64_t)1 << (type))
#define AVAL_FLOATS (AVAL_TYPE_SET(AVAL_FLOAT) | AVAL_TYPE_SET(AVAL_FLOAT16) | AVAL_TYPE_SET(AVAL_DOUBLE))
#define AVAL_SIGNED (AVAL_TYPE_SET(AVAL_INT8) | AVAL_TYPE_SET(AVAL_INT16) | AVAL_TYPE_SET(AVAL_INT32) | AVAL_TYPE_SET(AVAL_INT64))
#define AVAL_UNSIGNED (AVAL_TYPE_SET(AVAL_UINT8) | AVAL_TYPE_SET(AVAL_UINT16) | AVAL_TYPE_SET(AVAL_UINT32) | AVAL_TYPE_SET(AVAL_UINT64))
#define AVAL_INTS (AVAL_SIGNED | AVAL_UNSIGNED)
#define AVAL_NUMBERS (AVAL_FLOATS | AVAL_INTS)
#define AVAL_BOOLS AVAL_TYPE_SET(AVAL_BOOL)
#define AVAL_ANY (AVAL_NUMBERS | AVAL_BOOLS)
/* Types that are stored and converted only.  Expressions compute float with the small floats and int with the small integers; kernel
   files see neither: what moves elements launches with aval_carrier. */
#define AVAL_FLOAT8S \
    (AVAL_TYPE_SET(AVAL_FLOAT8E4M3FN) | AVAL_TYPE_SET(AVAL_FLOAT8E4M3FNUZ) | AVAL_TYPE_SET(AVAL_FLOAT8E5M2) | \
     AVAL_TYPE_SET(AVAL_FLOAT8E5M2FNUZ))
#define AVAL_SMALL_FLOATS (AVAL_TYPE_SET(AVAL_BFLOAT16) | AVAL_FLOAT8S)
#define AVAL_SMALL_INTS (AVAL_TYPE_SET(AVAL_UINT4) | AVAL_TYPE_SET(AVAL_INT4))
#define AVAL_STORED (AVAL_ANY | AVAL_SMALL_FLOATS | AVAL_SMALL_INTS) /* all that a tensor can hold: for ops that move elements */
#define AVAL_REALS (AVAL_FLOATS | AVAL_SMALL_FLOATS) /* whose elements a reference gets by `real`; of all others by `integer` */

/* ---- What a device can do, as planning sees it (no OpenCL in it) ------------------------------------------------------ */

typedef enum aval_device_kind { AVAL_DEVICE_CPU = 1, AVAL_DEVICE_GPU = 2, AVAL_DEVICE_OTHER = 3 } aval_device_kind;

typedef struct aval_device_info {
    size_t size; /* of this struct */
    const char *platform; /* names as the driver gives them; owned by the context */
    const char *name;
    const char *vendor;
    const char *driver;
    const char *version; /* "OpenCL 3.0 ..." */
    uint32_t kind; /* aval_device_kind */
    uint32_t compute_units;
    uint32_t address_bits;
    uint32_t fp64; /* 1: doubles can be computed with */
    uint32_t fp16; /* 1: halves can be computed with; storing them needs nothing */
    uint32_t unified_memory; /* 1: shares the host's memory */
    uint32_t float_vector_width; /* floats in the device's native vector, at least 1 */
    uint32_t group; /* work-items that should share a reduction: 1 on CPUs (a plain loop), a power of two on GPUs */
    uint32_t max_group; /* largest work-group */
    uint32_t alignment_bytes; /* that every tensor's offset is a multiple of */
    uint64_t local_bytes; /* local memory of a work-group */
    uint64_t memory_bytes;
    uint64_t largest_allocation_bytes;
    uint64_t cache_bytes; /* largest data cache, 0 when the driver does not say */
    uint32_t denormals; /* 1: floats below 2^-126 keep their value; 0: they may become 0, which OpenCL allows */
    uint32_t reserved;
} aval_device_info;

/* A member that came after the first version of ABI 1 is there when AVAL_DEVICE_HAS(info, member). */
#define AVAL_DEVICE_HAS(info, member) ((info)->size >= offsetof(aval_device_info, member) + sizeof((info)->member))

/* ---- Handles ------------------------------------------------------------------------------------------------------------ */

/* A tensor: element type, shape, and (while launches are recorded) a place in device memory.  Row-major and without gaps
   unless its layout says otherwise.  Valid until the function that was given it returns. */
typedef struct aval_tensor aval_tensor;

/* One use of an operator: the node whose shapes are inferred, launches are recorded, body is built or result is computed
   on the host.  Which of these is under way is the call's phase; a host function called in the wrong phase fails. */
typedef struct aval_call aval_call;

/* ---- Recording a launch ------------------------------------------------------------------------------------------------- */

typedef enum aval_arg_kind {
    AVAL_ARG_READ = 1, /* tensor that the kernel reads: passed as (__global const S *, long offset in elements) */
    AVAL_ARG_WRITE = 2, /* tensor that the kernel writes, every element: (__global S *, long offset in elements) */
    AVAL_ARG_UPDATE = 3, /* tensor that the kernel reads and writes: (__global S *, long offset in elements) */
    AVAL_ARG_INT = 4, /* int */
    AVAL_ARG_LONG = 5, /* long */
    AVAL_ARG_FLOAT = 6, /* float */
    AVAL_ARG_REAL = 7, /* the arithmetic type T that belongs to S: float, or double when S is double */
    AVAL_ARG_LOCAL = 8 /* __local memory of so many bytes */
} aval_arg_kind;

typedef struct aval_arg {
    uint32_t kind; /* aval_arg_kind */
    uint32_t reserved;
    const aval_tensor *tensor; /* a null tensor reads as "absent": the kernel gets some valid buffer and offset -1 */
    int64_t integer;
    double real;
    const void *more;
} aval_arg;

#define AVAL_ARG_OF(number, ...) \
    { \
        .kind = (number), __VA_ARGS__ \
    }
#define AVAL_READ(t) AVAL_ARG_OF(AVAL_ARG_READ, .tensor = (t))
#define AVAL_WRITE(t) AVAL_ARG_OF(AVAL_ARG_WRITE, .tensor = (t))
#define AVAL_UPDATE(t) AVAL_ARG_OF(AVAL_ARG_UPDATE, .tensor = (t))
#define AVAL_I32(x) AVAL_ARG_OF(AVAL_ARG_INT, .integer = (x))
#define AVAL_I64(x) AVAL_ARG_OF(AVAL_ARG_LONG, .integer = (x))
#define AVAL_F32(x) AVAL_ARG_OF(AVAL_ARG_FLOAT, .real = (x))
#define AVAL_REAL(x) AVAL_ARG_OF(AVAL_ARG_REAL, .real = (x))
#define AVAL_LOCAL(bytes) AVAL_ARG_OF(AVAL_ARG_LOCAL, .integer = (bytes))

/* A macro that the kernel file is built with.  Each distinct list of macros is a program of its own, built at first use
   and kept on disk, so keep them few: sizes are arguments, not macros.  The name is a C identifier. */
typedef struct aval_define {
    const char *name;
    int64_t value;
} aval_define;

typedef struct aval_launch {
    size_t size;
    const char *kernel; /* function in the op's kernel file */
    uint32_t dims; /* 1 to 3; 0 means 1 */
    uint32_t reserved;
    uint64_t global[3]; /* work-items; the runtime rounds up to a multiple of local, so a kernel guards its range */
    uint64_t local[3]; /* work-group; 0: the runtime chooses */
    const aval_arg *args;
    size_t n_args;
    const aval_define *defines;
    size_t n_defines;
    /* The element types that the file's macros S_TYPE (data), I_TYPE (indices) and D_TYPE (second data type) are set to.
       0: S is the type of the first tensor argument, I is int64, D is S. */
    uint32_t s_type, i_type, d_type;
    uint32_t reserved2;
    double flops; /* multiplications and additions of all work-items, for profiles; 0: few beside what is moved */
} aval_launch;

#define AVAL_LAUNCH(...) (&(const aval_launch){ .size = sizeof(aval_launch), __VA_ARGS__ })
#define AVAL_ARGS(...) .args = (const aval_arg[]){ __VA_ARGS__ }, .n_args = sizeof((const aval_arg[]){ __VA_ARGS__ }) / sizeof(aval_arg)
#define AVAL_DEFINES(...) \
    .defines = (const aval_define[]){ __VA_ARGS__ }, .n_defines = sizeof((const aval_define[]){ __VA_ARGS__ }) / sizeof(aval_define)

/* An image read as a matrix of patches (what im2col would write): images [batch][channels][depth][height][width] from `offset` on, matrix of
   channels * kernel[0] * kernel[1] * kernel[2] rows and out[0] * out[1] * out[2] columns.  Elements outside the image are 0.  Axes that an
   image has not have length 1, in front: a picture has in = { 1, height, width } and kernel[0] = 1. */
typedef struct aval_patches {
    int64_t channels;
    int64_t in[3], kernel[3], stride[3], pad[3], dilation[3], out[3]; /* pad: before the first element, negative: so much is cut off */
    const void *more;
} aval_patches;

typedef struct aval_operand {
    const aval_tensor *tensor;
    int64_t offset; /* elements */
    int64_t ld; /* elements from one row to the next, as stored (before transposition) */
    int64_t batch_stride; /* elements from one matrix of the batch to the next; 0: the same matrix for all */
    uint32_t transposed; /* 1: the stored matrix is the operand's transpose */
    uint32_t reserved;
    const aval_patches *patches; /* b only: the matrix is read from images; ld is not used */
    const void *more;
} aval_operand;

/* c[b] = alpha op(a[b]) op(b[b]) + beta c[b], row-major, m x k times k x n, for each b of the batch; all three of one type.  With `sum` the
   batch is summed into one c (batch_stride of c is not used).  With beta 0 nothing of c is read.  Zero sizes are allowed: with k = 0 c becomes
   beta c.  c overlaps neither a nor b.
   `groups`: 0, or a divisor of `batch`, which is [images, groups] then: product i reads matrix i % groups of a; with `sum` it reads matrix i, and is
   added to matrix i % groups of c, so that images are summed group by group.  Grouped convolution is one such product, its gradients are two.
   `b_block`, `c_block`: 0, or divisors of the channels of b's images and of the rows of c, those of all groups counted, which lie in blocks of so many then:
   images [channels / block][places][block], rows [rows / block][n][block]; strides from one matrix to the next say how many elements one has, as they do
   otherwise.  With patches alone, and where every device computes them: see aval_blocks.
   `whole`: 1 says that c's tensor, named in aval_op.products, is this and nothing else, not touched afterwards: what comes next may be fused. */
typedef struct aval_gemm {
    size_t size;
    int64_t m, n, k, batch; /* batch 0 means 1 */
    double alpha, beta;
    aval_operand a, b, c;
    uint32_t sum; /* 0 or 1 */
    uint32_t whole; /* 0 or 1 */
    int64_t groups;
    int64_t b_block, c_block;
} aval_gemm;

/* ---- The table of host functions ---------------------------------------------------------------------------------------- */

typedef uint32_t aval_phase;
enum {
    AVAL_PHASE_INFER = 1, /* shapes and element types of the outputs from those of the inputs */
    AVAL_PHASE_FORWARD = 2, /* launches of the forward pass are recorded */
    AVAL_PHASE_BACKWARD = 3, /* launches of the backward pass are recorded */
    AVAL_PHASE_BODY = 4, /* the op is built from other ops */
    AVAL_PHASE_BACKWARD_BODY = 5, /* the op's backward is built from other ops */
    AVAL_PHASE_REFERENCE = 6 /* the result is computed on the host */
};

/* A member that came after the first version of ABI 1 is there when AVAL_HOST_HAS(host, member); all others are in every runtime. */
typedef struct aval_host {
    size_t size;
    uint32_t abi;
    uint32_t reserved;

    /* Ends the call with an error: `code` is returned, the message is prefixed with the op's and node's name.
       State what was expected and what was found. */
    int (*fail)(aval_call *call, int code, const char *format, ...);
    aval_phase (*phase)(const aval_call *call);

    /* -- tensors, in every phase */
    aval_type (*type)(const aval_tensor *t);
    uint32_t (*rank)(const aval_tensor *t);
    const int64_t *(*dims)(const aval_tensor *t); /* `rank` numbers */
    int64_t (*count)(const aval_tensor *t); /* elements; 1 for a scalar */
    uint32_t (*layout)(const aval_tensor *t); /* 0: row-major.  Others meet only plugins that asked (by what `more` of a port will say) */

    /* -- the node, in every phase */
    size_t (*n_inputs)(const aval_call *call); /* as given, absent optional ones in the middle counted */
    size_t (*n_outputs)(const aval_call *call);
    const aval_tensor *(*input)(const aval_call *call, size_t i); /* NULL: absent */
    const aval_tensor *(*output)(const aval_call *call, size_t i); /* NULL: nobody asked for it, or not yet inferred */
    int64_t (*attr_int)(const aval_call *call, const char *name); /* given, or the declared default */
    double (*attr_float)(const aval_call *call, const char *name);
    const char *(*attr_string)(const aval_call *call, const char *name);
    const int64_t *(*attr_ints)(const aval_call *call, const char *name, size_t *count); /* NULL and 0: empty */
    const double *(*attr_floats)(const aval_call *call, const char *name, size_t *count); /* NULL and 0: empty */
    int (*attr_given)(const aval_call *call, const char *name); /* 1: set by the user or by its default */
    /* The elements of input i in its own element type, when the host knows them (a constant, or computed from shapes);
       NULL when it does not.  In infer: asking for an unknown content makes the plan read the value first, so return
       the code of `fail` with AVAL_NEEDS_CONTENT. */
    const void *(*content)(const aval_call *call, size_t i);

    /* -- AVAL_PHASE_INFER */
    int (*set_output)(aval_call *call, size_t i, aval_type type, uint32_t rank, const int64_t *dims);

    /* -- AVAL_PHASE_FORWARD and AVAL_PHASE_BACKWARD: run once a plan, never once a step */
    const aval_device_info *(*device)(const aval_call *call);
    const aval_tensor *(*upstream)(const aval_call *call, size_t i); /* gradient of output i; NULL: it is zero */
    const aval_tensor *(*gradient)(const aval_call *call, size_t i); /* of input i, to be written; NULL: not wanted */
    int (*accumulate)(const aval_call *call, size_t i); /* 1: add to what gradient i holds (see aval_op.accumulates) */
    const aval_tensor *(*scratch)(aval_call *call, aval_type type, int64_t count); /* lives through this node's launches, which find it with
                any content */
    int (*launch)(aval_call *call, const aval_launch *launch);
    int (*gemm)(aval_call *call, const aval_gemm *gemm);
    int (*copy)(aval_call *call, const aval_tensor *to, int64_t to_offset, const aval_tensor *from, int64_t from_offset,
                int64_t count); /* same type, offsets and count in elements; the ranges do not overlap */
    int (*fill)(aval_call *call, const aval_tensor *t, double value); /* all of t, converted to its type */
    int (*alias)(aval_call *call, const aval_tensor *t, const aval_tensor *of, int64_t offset); /* t is `of` from element
                offset on: no launch, no bytes.  t is an output (forward) or a gradient (backward), `of` is read */

    /* -- AVAL_PHASE_BODY and AVAL_PHASE_BACKWARD_BODY.  Tensors have their shapes as soon as they are made. */
    /* A node of the op `op` ("Name", or "domain::Name"); its n_outputs first outputs come back in `outputs`. */
    int (*apply)(aval_call *call, const char *op, const char *attrs, size_t n_inputs, const aval_tensor *const *inputs, size_t n_outputs,
                 const aval_tensor **outputs);
    const aval_tensor *(*constant)(aval_call *call, aval_type type, uint32_t rank, const int64_t *dims, const void *data);
    /* Says what the body computes: output i (body), or the gradient of input i (backward body; `upstream` and `gradient`
       may be asked: gradient is only told apart from NULL). */
    int (*yield)(aval_call *call, size_t i, const aval_tensor *t);

    /* -- AVAL_PHASE_REFERENCE: tensors lie on the host, AVAL_REALS as double, integers and bools as int64_t (uint64: its bits) */
    double *(*real)(aval_call *call, const aval_tensor *t); /* inputs must not be written */
    int64_t *(*integer)(aval_call *call, const aval_tensor *t);

    /* Abilities that came later, by name: a constant table of functions, whose layout the name stands for; NULL when this runtime has not
       got it.  There are AVAL_STRIDES, of aval/strides.h, and AVAL_HEADS and AVAL_ROW_HEADS, of aval/heads.h. */
    const void *(*extension)(const aval_call *call, const char *id);
} aval_host;

#define AVAL_HOST_HAS(host, member) ((host)->size >= offsetof(aval_host, member) + sizeof((host)->member))

/* Codes that plugins return through `fail`; the whole list is in aval.h. */
#define AVAL_PLUGIN_BAD_ARGUMENT (-1) /* an attribute or input has a value that the op cannot take */
#define AVAL_PLUGIN_BAD_SHAPE (-2)
#define AVAL_PLUGIN_BAD_TYPE (-3)
#define AVAL_PLUGIN_UNSUPPORTED (-4) /* right, but not (yet) possible here */
#define AVAL_NEEDS_CONTENT (-5) /* infer: the content of an input must be known first */
#define AVAL_PLUGIN_NO_MEMORY (-10) /* malloc gave NULL */

/* ---- The definition of an operator ---------------------------------------------------------------------------------------- */

#define AVAL_OPTIONAL 1u /* port: may be absent */
#define AVAL_VARIADIC 2u /* last port only: one or more; of outputs as many as infer sets */
#define AVAL_SHAPE_INPUT 4u /* input: infer reads its content (axes, shapes) */
/* Input of an op given as a body: where that does not use it, what leads to it need have no shape; infer sees rank 0 and no type then. */
#define AVAL_LAZY 8u
#define AVAL_SHAPE_ONLY 16u /* input: its shape and type are read, never its content, so that the host knows the result from these */
#define AVAL_STRIDED 32u /* input: `forward` takes it with strides, see aval/strides.h */
#define AVAL_HEADED 64u /* input: kernels of `forward` may compute it as they read it, see aval/heads.h */
#define AVAL_ROW_HEADED 128u /* input: kernels of `forward`, which always read it, may make its rows before they read them, see there */
/* Input, beside AVAL_HEADED: these kernels compute each of its elements exactly once, so that others made with it may be written then. */
#define AVAL_READ_ONCE 256u

/* An array of constants; a row of zeros ends it. */
#define AVAL_ROWS(type, ...) \
    (const type[]) \
    { \
        __VA_ARGS__ \
    }

/* An input or output.  `types`: the element types allowed, 0 means AVAL_FLOATS. */
typedef struct aval_port {
    const char *name;
    uint32_t flags;
    uint32_t like; /* 1 + index of the input whose element type this one must have, 0: free; AVAL_LIKE(i) */
    uint64_t types;
    /* Output only: 1 + index of the state input whose new content this is, 0: none; AVAL_UPDATES(i).  A node's updates go together: when one
       of them is wanted or read, all states that the node updates get their new content. */
    uint32_t updates;
    uint32_t reserved;
    const char *doc; /* one line; NULL: the name says it */
    const void *more;
} aval_port;

#define AVAL_LIKE(i) ((i) + 1u)
#define AVAL_UPDATES(i) ((i) + 1u)
#define AVAL_PORTS(...) AVAL_ROWS(aval_port, __VA_ARGS__, { 0 })

typedef enum aval_attr_type {
    AVAL_ATTR_INT = 1,
    AVAL_ATTR_FLOAT = 2,
    AVAL_ATTR_STRING = 3,
    AVAL_ATTR_INTS = 4,
    AVAL_ATTR_FLOATS = 5 /* graphs are no attributes: If, Loop and Scan are the graph's own */
} aval_attr_type;

/* An attribute.  `initial` is its default in the grammar of attribute texts: 1, 0.5, 1e-3, inf, [1,2], 'text'.
   NULL: none, the attribute may be absent unless `required`. */
typedef struct aval_attr {
    const char *name;
    uint32_t type; /* aval_attr_type */
    uint32_t required;
    const char *initial;
    const char *doc;
    const void *more;
} aval_attr;

#define AVAL_ATTRS(...) AVAL_ROWS(aval_attr, __VA_ARGS__, { 0 })
#define AVAL_TEXTS(...) AVAL_ROWS(char *const, __VA_ARGS__, NULL)

/* What backward reads, besides upstream gradients: bits 0..31 inputs, bits 32..63 outputs.  Here and in all masks of inputs a bit is that of a
   port; that of a variadic one stands for all that it takes. */
#define AVAL_KEEP_INPUT(i) ((uint64_t)1 << (i))
#define AVAL_KEEP_OUTPUT(i) ((uint64_t)1 << (32 + (i)))
#define AVAL_PRODUCT_OUTPUT(i) ((uint64_t)1 << (32 + (i)))
#define AVAL_PRODUCT_GRADIENT(i) ((uint64_t)1 << (i))

/* What the runtime itself needs an op for.  At most one loaded op has each role. */
typedef enum aval_role {
    AVAL_ROLE_NONE = 0,
    AVAL_ROLE_ADD = 1, /* expression a + b: sums gradients at a fan-out */
    AVAL_ROLE_FILL = 2, /* no input; attributes dims (ints), value (float), type (int): a tensor of equal elements */
    AVAL_ROLE_CAST = 3, /* one input; attribute `to` (int, element type) */
    AVAL_ROLE_REDUCE_SUM = 4, /* inputs data, axes (int64, content); attribute keepdims: sums over axes */
    AVAL_ROLE_RESHAPE = 5, /* inputs data, shape (int64, content): the same elements in another shape */
    AVAL_ROLE_TRANSPOSE = 6 /* input data; attribute perm (ints): axis i of the result is axis perm[i] of data */
} aval_role;

typedef enum aval_size_class {
    AVAL_SMALL = 0, /* for simulators too: at most a few thousand elements */
    AVAL_LARGE = 1 /* real devices only, e.g. more than 2^16 elements */
} aval_size_class;

#define AVAL_DISTINCT 1u /* sample: all elements of an input differ by far more than a difference step (no ties or kinks) */
#define AVAL_NO_GRADIENT_CHECK 2u /* sample: forward only, because of `why` */

/* An input case.  Every check and benchmark is made from these.
   `inputs` lists one tensor an input, separated by spaces: an optional type (f, the type under test, is the default; f32 f64 f16 bf16
   f8e4m3fn f8e4m3fnuz f8e5m2 f8e5m2fnuz i4 i8 i16 i32 i64 u4 u8 u16 u32 u64 b), the shape in brackets ([] is a scalar), and optionally in braces the values {1,2,3} or their range
   {-2..5}; `-` stands for an absent optional input.  E.g. "[2,3] i64[2]{1,0} [3]{0.1..1} - []". */
typedef struct aval_sample {
    const char *inputs;
    const char *attrs; /* attribute text, NULL: defaults */
    double low, high; /* range of float inputs without one of their own; both 0: -1 to 1 */
    double atol, rtol; /* forward, 0: defaults 1e-5 and 1e-4 */
    double grad_atol, grad_rtol; /* backward, 0: defaults 1e-4 and 1e-3 */
    uint32_t flags;
    uint32_t size_class; /* aval_size_class */
    const char *why; /* what this case is there for; required where a tolerance is loosened */
    const void *more;
} aval_sample;

#define AVAL_SAMPLES(...) AVAL_ROWS(aval_sample, __VA_ARGS__, { 0 })

/* What a sample says besides, behind its `more`.  An infer that is wrong is wrong for kernels and reference alike, since both fill what it says: only a
   shape that the author has written down shows it.  { .inputs = "[2,5]", AVAL_GIVES("[2] i64[2]") } */
typedef struct aval_sample_more {
    size_t size;
    const char *outputs; /* types and shapes of what comes out, written as those of inputs are; `-`: that one is not said.  NULL: none is */
} aval_sample_more;

#define AVAL_GIVES(text) \
    .more = &(const aval_sample_more) \
    { \
        .size = sizeof(aval_sample_more), .outputs = (text) \
    }

typedef int (*aval_op_function)(const aval_host *host, aval_call *call);

/* What an op would save if channels, the second axis, of some of its inputs and outputs lay in blocks: [images, channels, ...] as
   [images, channels / block, ..., block].  Bit i is input i, bit AVAL_BLOCKED_OUTPUT + i output i.  All numbers are 0 before the call. */
#define AVAL_BLOCKED_OUTPUT 8
typedef struct aval_blocks_gain {
    size_t size;
    uint32_t may; /* these may be in blocks; 0: none */
    uint32_t together; /* 1: all of those or none */
    /* By bit: bytes that would not be moved through memory; negative: more would be.  What is computed faster counts as bytes too. */
    double saved[16];
} aval_blocks_gain;

/* How plans choose the order of an op's channels in memory: nodes between which blocks save more than turning their tensors costs at the borders
   become nodes of `op`. */
typedef struct aval_blocks {
    size_t size;
    /* "domain::Name" of what computes the same.  It has an attribute `blocks` (ints) besides the op's own: the length of a block of each of those that may be
       in blocks, in the order of bits; 0: it is as it is. */
    const char *op;
    /* Called as infer is, with the device that the node is for and the length of a block, which divides the channels of those that are asked about. */
    int (*gain)(const aval_host *host, aval_call *call, const aval_device_info *device, int64_t block, aval_blocks_gain *gain);
} aval_blocks;

/* An operator.  Forward is given in exactly one of three ways: `expressions`, `forward` or `body`.
   Backward is given in at most one of: `derivatives` (expressions only; what is missing is derived symbolically),
   `backward` or `backward_body`; an op given as a body needs none.  An op with none, whose inputs are floats and not all in
   `zero_gradient`, has no gradient: asking for one through it is an error that names it. */
typedef struct aval_op {
    size_t size; /* sizeof(aval_op) as the plugin knows it */
    const char *name; /* ONNX's name where ONNX has the op */
    const char *domain; /* NULL: ONNX's own; "aval" for ops that ONNX has not */
    uint32_t since; /* version of the op's definition in its domain */
    uint32_t role; /* aval_role */
    const char *doc; /* one line */
    const aval_port *inputs; /* ends with a NULL name */
    const aval_port *outputs;
    const aval_attr *attrs; /* NULL: none */

    /* Shapes and element types.  NULL: for expressions, all inputs broadcast together and the type of the first input that is
       not bool; for others, output i has the shape and type of input i. */
    aval_op_function infer;

    /* -- expressions: one for each output, of the element's inputs and numeric attributes by name.
       Grammar: C's ?: || && | ^ & == != < <= > >= << >> + - * / ! ~ and unary -, decimal numbers, parentheses, inf, and the functions
       abs acos acosh asin asinh atan atanh ceil cos cosh erf exp expm1 floor fmod isinf isnan log log1p max min mod pow round
       rsqrt sigmoid sign sin sinh sqrt tan tanh (round: half to even; fmod has the sign of the dividend, mod of the divisor).
       A real output is computed in its own type (small floats and halves: float), a truth value in the widest type of the inputs it
       reads, an integer in the widest of those and its own.  Integers wrap; by 0 they divide to 0.  Real results become integers
       towards 0 (4 bits: to the nearest), those too large the type's last number, NaN 0; float8 takes its largest number, unless the op
       has an attribute `saturate` that is 0: then infinity, or NaN where it has none.  `derivatives`: one text or NULL for each input, of
       inputs, outputs and attributes: d output 0 / d input i, without the upstream factor. */
    const char *const *expressions;
    const char *const *derivatives;
    size_t n_derivatives; /* 0, or the number of inputs */

    /* -- recorders */
    const char *kernels; /* name of the plugin's kernel source that launches refer to; NULL: its first */
    aval_op_function forward;
    aval_op_function backward;
    uint64_t keeps; /* AVAL_KEEP_INPUT(i) | AVAL_KEEP_OUTPUT(i) */
    uint32_t accumulates; /* bit i: backward can add to gradient i instead of writing it */
    uint32_t zero_gradient; /* bit i: the derivative by input i is 0 (Step) */

    /* -- bodies */
    aval_op_function body;
    aval_op_function backward_body; /* may read all inputs and outputs; what it really reads is kept */

    /* The op in plain C on the host: all outputs, in double (integers: int64_t).  Required with `forward`, else generated. */
    aval_op_function reference;

    uint32_t deterministic; /* 1: equal inputs give bitwise equal outputs and gradients on one device; checks enforce it */
    uint32_t reserved;
    const char *subgradient; /* the rule at kinks and ties, in words; NULL: smooth */
    const aval_sample *samples; /* ends with NULL inputs; at least one */
    /* Why there is no gradient where one could be looked for: of an op with none, or whose derivative is 0; for the table of operators. */
    const char *no_gradient;
    uint64_t products; /* AVAL_PRODUCT_OUTPUT(i) | AVAL_PRODUCT_GRADIENT(i): may be made by one gemm, which is then `whole` */
    const aval_blocks *blocks; /* NULL: nothing of it is in blocks */
} aval_op;

typedef struct aval_kernel_source {
    const char *name; /* "reduce.cl" */
    const char *text; /* complete OpenCL C, includes resolved */
} aval_kernel_source;

typedef struct aval_plugin {
    uint32_t abi; /* AVAL_PLUGIN_ABI; first for ever */
    uint32_t reserved;
    size_t size; /* sizeof(aval_plugin) */
    const char *name;
    const char *version;
    const aval_op *const *ops; /* ends with NULL */
    const aval_kernel_source *sources; /* ends with a NULL name; NULL: none */
} aval_plugin;

#if defined(_WIN32)
#define AVAL_PLUGIN_EXPORT __declspec(dllexport)
#else
#define AVAL_PLUGIN_EXPORT __attribute__((visibility("default")))
#endif

/* ---- Layouts, so that a compiler that lays structs out otherwise is found out here ----------------------------------------- */

#if UINTPTR_MAX == UINT64_MAX && !defined(__cplusplus)
_Static_assert(offsetof(aval_plugin, abi) == 0, "the ABI version is first for ever");
_Static_assert(offsetof(aval_plugin, size) == 8 && offsetof(aval_plugin, sources) == 40, "aval_plugin");
_Static_assert(sizeof(aval_port) == 48 && offsetof(aval_port, types) == 16 && offsetof(aval_port, more) == 40, "aval_port");
_Static_assert(sizeof(aval_attr) == 40 && offsetof(aval_attr, more) == 32, "aval_attr");
_Static_assert(sizeof(aval_sample) == 88 && offsetof(aval_sample, more) == 80, "aval_sample");
_Static_assert(sizeof(aval_arg) == 40 && offsetof(aval_arg, more) == 32, "aval_arg");
_Static_assert(sizeof(aval_define) == 16 && sizeof(aval_kernel_source) == 16, "aval_define, aval_kernel_source");
_Static_assert(sizeof(aval_patches) == 160 && sizeof(aval_operand) == 56, "aval_patches, aval_operand");
_Static_assert(offsetof(aval_gemm, a) == 56 && offsetof(aval_gemm, sum) == 224, "aval_gemm");
_Static_assert(offsetof(aval_gemm, groups) == 232 && offsetof(aval_gemm, b_block) == 240, "aval_gemm");
_Static_assert(offsetof(aval_launch, args) == 72 && offsetof(aval_launch, flops) == 120, "aval_launch");
_Static_assert(offsetof(aval_host, fail) == 16 && offsetof(aval_host, extension) == 288, "aval_host");
_Static_assert(offsetof(aval_op, expressions) == 72 && offsetof(aval_op, samples) == 176, "aval_op");
_Static_assert(offsetof(aval_op, products) == 192 && offsetof(aval_op, blocks) == 200, "aval_op");
_Static_assert(offsetof(aval_blocks_gain, saved) == 16 && offsetof(aval_blocks, gain) == 16, "aval_blocks");
_Static_assert(offsetof(aval_device_info, local_bytes) == 88 && offsetof(aval_device_info, denormals) == 120, "aval_device_info");
#endif

#ifdef __cplusplus
}
#endif

#include "plugin_help.h"

#endif
