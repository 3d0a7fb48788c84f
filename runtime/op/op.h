/* Operators as the runtime knows them: loaded from plugins, checked, and asked for by name or role.
 *
 * An aval__opdef is an operator ready for use.  Three kinds come from plugins (expressions, recorders, bodies); two are derived
 * from those while gradients are expanded: the derivative of an expression, which is an expression again, and the backward of a
 * recorder.  So graph and plan treat all nodes alike, and a derivative can be derived again. */
#ifndef AVAL_OP_H
#define AVAL_OP_H

#include "base/base.h"

/* ---- Tensors ---------------------------------------------------------------------------------------------------------------- */

/* The part of a value that plugins see through opaque handles. */
struct aval_tensor {
    int32_t type; /* aval_type, AVAL_NONE while unknown */
    int32_t rank; /* -1 while unknown */
    int64_t dims[AVAL_MAX_RANK]; /* -1: free */
    uint32_t layout; /* 0: row-major */
};

bool aval__tensor_known(const aval_tensor *t); /* type, rank and all dimensions */
int64_t aval__tensor_count(const aval_tensor *t);
bool aval__tensor_same_shape(const aval_tensor *a, const aval_tensor *b);
size_t aval__tensor_bytes(const aval_tensor *t); /* elements x element bytes */
int aval__tensor_set(aval_tensor *t, int type, size_t rank, const int64_t *dims); /* refuses overflow and bad types */
void aval__tensor_print(aval__text *text, const aval_tensor *t); /* "float[2,3]" */
/* Shape that all n shapes broadcast to (numpy's rule); AVAL_E_SHAPE names the two that do not fit. */
int aval__broadcast(const aval_tensor *const *t, size_t n, size_t *rank, int64_t dims[AVAL_MAX_RANK]);
/* The axes over which a gradient of shape `from` is summed to get shape `to`; returns how many. */
size_t aval__broadcast_axes(const aval_tensor *from, const aval_tensor *to, int64_t axes[AVAL_MAX_RANK]);

/* Conversion of elements on the host between any two of AVAL_STORED.  Real numbers are rounded to the nearest, ties to even; to integers
   towards 0 (4 bits: to the nearest) and no further than the type's last number; integers keep their low bits.  A float8 takes its largest
   number for what is too large, infinity where it has one only for infinity. */
void aval__convert(void *to, int to_type, const void *from, int from_type, size_t count);
/* One element of the type; AVAL_E_TYPE for types that the host has no arithmetic for, AVAL_E_ARGUMENT for a number that the type cannot hold
   (floats round, but what is finite stays so). */
int aval__convert_number(void *to, int type, double x);
uint16_t aval__half_from_float(float x);
float aval__half_to_float(uint16_t x);
/* The bits of an AVAL_FLOAT16 or of one of AVAL_SMALL_FLOATS, and back. */
uint16_t aval__small_float_code(int type, double x);
double aval__small_float_value(int type, uint16_t bits);
/* x as the type holds it.  What a float8 cannot hold becomes its largest number (`saturate`), or else infinity, or NaN where there is none. */
double aval__round_small_float(int type, double x, bool saturate);

/* ---- Attributes ------------------------------------------------------------------------------------------------------------- */

typedef struct aval__attr_value {
    const char *name;
    uint32_t type; /* aval_attr_type */
    uint32_t from_default;
    union {
        int64_t integer;
        double real;
        const char *text;
        struct {
            const int64_t *at;
            size_t count;
        } ints;
        struct {
            const double *at;
            size_t count;
        } reals;
    };
} aval__attr_value;

/* In the order of the op's declaration; absent attributes are left out. */
typedef struct aval__attrs {
    const aval__attr_value *at;
    size_t count;
} aval__attrs;

/* Parses an attribute text against an op's declarations; defaults are filled in.  All memory comes from the arena. */
int aval__attrs_parse(aval__arena *arena, const aval_attr *declared, const char *text, aval__attrs *out);
size_t aval__attrs_bytes(const aval__attrs *attrs); /* that a copy takes */
void aval__attrs_copy(const aval__attrs *from, void *memory, aval__attrs *out); /* memory[aval__attrs_bytes(from)], aligned for pointers */
const aval__attr_value *aval__attrs_find(const aval__attrs *attrs, const char *name); /* NULL: absent */
bool aval__attrs_saturate(const aval__attrs *attrs); /* false: an attribute `saturate` is 0 */
void aval__attrs_print(aval__text *text, const aval__attrs *attrs, bool with_defaults); /* the grammar that parse reads */

/* ---- Expressions ------------------------------------------------------------------------------------------------------------ */

typedef struct aval__expr aval__expr; /* an immutable tree, shared freely, in an arena */

typedef enum aval__leaf_kind {
    AVAL__LEAF_INPUT, /* input `index` of the op */
    AVAL__LEAF_ATTR, /* declared attribute `index` of the op, a number */
    AVAL__LEAF_OUTPUT, /* output `index` (in derivatives) */
    AVAL__LEAF_UPSTREAM /* upstream gradient of output `index` (in derivatives) */
} aval__leaf_kind;

typedef struct aval__leaf {
    aval__leaf_kind kind;
    uint32_t index;
} aval__leaf;

/* Names that a text may use.  `resolve` returns false for a name that is none. */
typedef struct aval__names {
    bool (*resolve)(void *user, const char *name, size_t length, aval__leaf *leaf);
    void *user;
    void (*list)(void *user, aval__text *text); /* all of them, with ", " between, for messages; NULL: they are not told */
} aval__names;

/* Parses; the message of a failure has the text with a caret position ("expected ')' at 7 in 'x + (y'"). */
int aval__expr_parse(aval__arena *arena, const char *text, const aval__names *names, const aval__expr **out);
/* d expr / d leaf, simplified.  Piecewise functions are differentiated piece by piece; comparisons, floor, sign ... have derivative
   0.  Never NULL without the message set (out of memory). */
const aval__expr *aval__expr_derivative(aval__arena *arena, const aval__expr *e, aval__leaf leaf);
const aval__expr *aval__expr_multiply(aval__arena *arena, const aval__expr *a, const aval__expr *b); /* simplified */
const aval__expr *aval__expr_add(aval__arena *arena, const aval__expr *a, const aval__expr *b); /* simplified */
const aval__expr *aval__expr_leaf(aval__arena *arena, aval__leaf leaf);
/* The same tree with each leaf replaced by what `replace` returns (NULL: out of memory). */
const aval__expr *aval__expr_replace(aval__arena *arena, const aval__expr *e,
                                     const aval__expr *(*replace)(void *user, aval__arena *arena, aval__leaf leaf), void *user);
bool aval__expr_is_zero(const aval__expr *e);
bool aval__expr_is_leaf(const aval__expr *e, aval__leaf *leaf); /* true: nothing but this leaf */
/* Calls `visit` for each leaf; a repeated one may come once or more often. */
void aval__expr_leaves(const aval__expr *e, void (*visit)(void *user, aval__leaf leaf), void *user);

/* Values on the host: `leaf` gives a leaf's value.  The integer form computes in int64 (wrapping), as devices do for integer types, or with
   `natural` in uint64, whose bits leaves and result have. */
double aval__expr_real(const aval__expr *e, double (*leaf)(const void *user, aval__leaf leaf), const void *user);
int64_t aval__expr_integer(const aval__expr *e, bool natural, int64_t (*leaf)(const void *user, aval__leaf leaf), const void *user);

/* How an expression becomes OpenCL C.  Each operation is one statement, so that shared parts are computed once however the trees share
   them; equal `value` texts of one type mean equal values, so that a caller finds common parts of several expressions. */
typedef struct aval__expr_writer {
    void (*leaf)(void *user, aval__text *text, aval__leaf leaf); /* appends the spelling of a leaf */
    uint32_t (*temporary)(void *user, const char *value); /* the number N of the variable with this value, which is spelled tN */
    void *user;
} aval__expr_writer;

/* Writes the expression in arithmetic type `type` (AVAL_FLOAT, AVAL_DOUBLE, AVAL_INT32, AVAL_INT64 or AVAL_UINT64); `result` gets the spelling of its
   value (a variable, leaf or number).  Numbers are printed by us, hexadecimal in any locale, never copied from a text.  The text relies
   on kernels/expression.clh.  AVAL_E_MEMORY: a text had no room. */
int aval__expr_print(aval__text *result, const aval__expr *e, int type, const aval__expr_writer *writer);
const char *aval__expr_type(int type); /* OpenCL C's name of such a type */
/* A number as OpenCL C of that type, as aval__expr_print spells it. */
void aval__expr_number(aval__text *text, double x, int type);
/* The expression in the grammar that parse reads, for drawings and messages. */
void aval__expr_show(aval__text *text, const aval__expr *e, void (*leaf)(void *user, aval__text *text, aval__leaf leaf), void *user);

/* ---- Definitions ------------------------------------------------------------------------------------------------------------- */

typedef struct aval__plugin aval__plugin;
typedef struct aval__opdef aval__opdef;
typedef struct aval__registry aval__registry;

typedef enum aval__op_kind {
    AVAL__EXPRESSION,
    AVAL__KERNELS,
    AVAL__BODY,
    AVAL__BACKWARD /* derived: the backward recorder of `forward_of` */
} aval__op_kind;

struct aval__opdef {
    aval__op_kind kind;
    const aval_op *op; /* as the plugin gave it; for derived ones, of the op they derive from */
    const char *name; /* "Tanh", "Tanh'0" for a derivative, "Conv'" for a backward */
    const char *domain; /* "" for ONNX's */
    const aval__plugin *plugin;
    const aval__opdef *forward_of; /* derived ones: what they derive from; else NULL */
    const aval_kernel_source *source; /* kernel file of recorders; NULL: none */
    size_t n_inputs, n_outputs; /* declared, a variadic one counted once */
    bool variadic; /* the last input */
    bool updates; /* an output is the new content of an input; false for derived ones */
    bool takes_head; /* a recorder that has an input which is AVAL_HEADED or AVAL_ROW_HEADED; false for derived ones */

    /* AVAL__EXPRESSION: one tree an output.  Inputs of a derived expression are described by `sources`. */
    const aval__expr *const *outputs;
    size_t n_sources;
    const aval__leaf *sources; /* derived expression: input i is this leaf of forward_of (an input, output or upstream of it) */
};

/* The derivative of expression op `def` by its input i, as a definition with one output: upstream x d output / d input, of the
   shape all inputs broadcast to.  Made once and kept by the registry.  *out is NULL when it is 0 everywhere.
   For ops with several expression outputs the products are summed over outputs. */
int aval__opdef_derivative(aval__registry *registry, const aval__opdef *def, size_t input, const aval__opdef **out);
/* The backward of a recorder as a definition.  The node's inputs are: kept inputs, kept outputs, upstream gradients (each in order,
   absent ones NULL), then for each input in `accumulates` its partial sum (NULL: the gradient is written); its outputs are the gradients (NULL: unwanted). */
const aval__opdef *aval__opdef_backward(aval__registry *registry, const aval__opdef *def);

/* `aval__opdef` keeps all strings of messages: "Conv", "aval::Sgd". */
void aval__opdef_label(aval__text *text, const aval__opdef *def);

/* ---- Registry ------------------------------------------------------------------------------------------------------------------ */

int aval__registry_create(const aval__log *log, aval__registry **out);
void aval__registry_release(aval__registry *registry); /* plugins are unloaded */
/* AVAL_E_PLUGIN with file, op, field, expected, found. */
int aval__registry_load(aval__registry *registry, const char *file);
int aval__registry_load_folder(aval__registry *registry, const char *folder, size_t *refused);
/* A table that is linked in instead of loaded (tests). */
int aval__registry_add(aval__registry *registry, const aval_plugin *plugin, const char *file);
/* Newest version when `since` is 0, else the newest not above it.  `name` may be "domain::Name"; without a domain ONNX's ops come
   before "aval"'s.  "Name@7" is the newest not above version 7, whatever `since` says.  NULL without a message when there is none. */
const aval__opdef *aval__registry_find(const aval__registry *registry, const char *name, uint32_t since);
/* " (did you mean 'Relu'?)" into `hint`, or "" where no op is called nearly so. */
void aval__registry_hint(const aval__registry *registry, const char *name, char *hint, size_t bytes);
const aval__opdef *aval__registry_role(const aval__registry *registry, aval_role role); /* NULL: no loaded op has it */
size_t aval__registry_count(const aval__registry *registry);
const aval__opdef *aval__registry_at(const aval__registry *registry, size_t i); /* by domain and name, newest of each */
const char *aval__plugin_file(const aval__plugin *plugin);
const char *aval__plugin_name(const aval__plugin *plugin);
const char *aval__plugin_version(const aval__plugin *plugin);
/* The kernel sources of all plugins, for warming. */
size_t aval__registry_plugin_count(const aval__registry *registry);
const aval_plugin *aval__registry_plugin_at(const aval__registry *registry, size_t i);

/* ---- Calls: the runtime's side of the host table ---------------------------------------------------------------------------------- */

/* What a phase can do, given by the module that runs it (graph: infer and bodies; plan: recording; reference.c: reference).
   A NULL member makes the host function fail with "not in this phase". */
typedef struct aval__call_table {
    const void *(*content)(const aval_call *call, size_t i);
    int (*set_output)(aval_call *call, size_t i, int type, uint32_t rank, const int64_t *dims);
    const aval_device_info *(*device)(const aval_call *call);
    const aval_tensor *(*upstream)(const aval_call *call, size_t i);
    const aval_tensor *(*gradient)(const aval_call *call, size_t i);
    int (*accumulate)(const aval_call *call, size_t i);
    const aval_tensor *(*scratch)(aval_call *call, int type, int64_t count);
    int (*launch)(aval_call *call, const aval_launch *launch);
    int (*gemm)(aval_call *call, const aval_gemm *gemm);
    int (*copy)(aval_call *call, const aval_tensor *to, int64_t to_offset, const aval_tensor *from, int64_t from_offset, int64_t count);
    int (*fill)(aval_call *call, const aval_tensor *t, double value);
    int (*alias)(aval_call *call, const aval_tensor *t, const aval_tensor *of, int64_t offset);
    int (*alias_strided)(aval_call *call, const aval_tensor *t, const aval_tensor *of, int64_t offset, const int64_t *strides);
    const int64_t *(*strides)(const aval_call *call, const aval_tensor *t);
    int (*take_head)(aval_call *call, const aval_tensor *t, int64_t run);
    int (*take_rows)(aval_call *call, const aval_tensor *t, const aval_tensor *over);
    int (*apply)(aval_call *call, const char *op, const char *attrs, size_t n_inputs, const aval_tensor *const *inputs, size_t n_outputs,
                 const aval_tensor **outputs);
    const aval_tensor *(*constant)(aval_call *call, int type, uint32_t rank, const int64_t *dims, const void *data);
    int (*yield)(aval_call *call, size_t i, const aval_tensor *t);
    double *(*real)(aval_call *call, const aval_tensor *t);
    int64_t *(*integer)(aval_call *call, const aval_tensor *t);
} aval__call_table;

struct aval_call {
    aval_phase phase;
    const aval__opdef *def; /* the forward op, in backward phases too */
    const aval__attrs *attrs;
    const char *node; /* its name, for messages; may be NULL */
    const aval_tensor *const *inputs; /* n_inputs, NULL: absent */
    const aval_tensor *const *outputs;
    size_t n_inputs, n_outputs;
    const aval__call_table *table;
    void *user; /* of the module that runs the phase */
    int status; /* first failure inside a host function, dropped or not; checked after the plugin's function returns */
    int told; /* 1: some failure of this call has left a message */
};

/* The one table that all plugin functions are given. */
extern const aval_host aval__host;
/* Calls a plugin function and returns its code, or the call's first hidden failure.  A failure without a message gets one. */
int aval__call_run(aval_call *call, aval_op_function function);

/* Shapes: runs `infer` (or the default rule), checks the number of inputs, their types against the ports, and the result.
   `content` may be NULL: nothing is known.  The outputs' tensors are written. */
int aval__infer(const aval__opdef *def, const aval__attrs *attrs, const char *node, const aval_tensor *const *inputs, size_t n_inputs,
                aval_tensor *const *outputs, size_t n_outputs, const void *(*content)(void *user, size_t i), void *user);

/* What the op would save by channels in blocks (aval_op.blocks, which must not be NULL); *gain is zeroed before. */
int aval__infer_blocks(const aval__opdef *def, const aval__attrs *attrs, const char *node, const aval_tensor *const *inputs,
                       size_t n_inputs, const aval_device_info *device, int64_t block, aval_blocks_gain *gain);

/* How many outputs a node has: those declared, or, with a variadic last one, as many as infer sets.  Where infer fails its message is left to
   the inference of the node itself. */
size_t aval__infer_count(const aval__opdef *def, const aval__attrs *attrs, const aval_tensor *const *inputs, size_t n_inputs,
                         const void *(*content)(void *user, size_t i), void *user);

/* A tensor's content on the host for the referee: floats as double, ints and bools as int64 (exactly one is not NULL). */
typedef struct aval__host_tensor {
    aval_tensor tensor;
    double *real;
    int64_t *integer;
} aval__host_tensor;

int aval__host_tensor_make(aval__host_tensor *t, const aval_tensor *shape); /* zeroed */
void aval__host_tensor_release(aval__host_tensor *t);
void aval__host_tensor_from(aval__host_tensor *t, const void *data); /* data in the tensor's own element type */
void aval__host_tensor_to(const aval__host_tensor *t, void *data);

/* The op on the host: expressions by their trees, recorders by their `reference`; bodies and backwards are not for here (graph's
   interpreter runs those).  inputs[i] may be NULL (absent); outputs[i] is made already, NULL: not wanted. */
int aval__reference(const aval__opdef *def, const aval__attrs *attrs, const char *node, const aval__host_tensor *const *inputs,
                    size_t n_inputs, aval__host_tensor *const *outputs, size_t n_outputs);

/* ---- Launches ------------------------------------------------------------------------------------------------------------------------ */

enum { AVAL__MOST_DEFINES = 16 };

/* What a launch's program is built with, in one form: macros sorted by name, and all types named, those that the launch leaves out as aval_launch says, so
   that launches which differ only in what they leave out (often a loss and its backward) share a program. */
typedef struct aval__launch_build {
    uint32_t s_type, i_type, d_type;
    size_t n_defines;
    aval_define defines[AVAL__MOST_DEFINES];
} aval__launch_build;

/* s_type: the launch's, or that of its first tensor.  AVAL_E_PLUGIN: more than AVAL__MOST_DEFINES macros. */
int aval__launch_build_of(const aval_launch *launch, int s_type, aval__launch_build *build);
/* Adds the options. */
void aval__launch_options(const aval__launch_build *build, aval__text *out);

/* ---- Samples ------------------------------------------------------------------------------------------------------------------------- */

typedef struct aval__sample_input {
    bool absent;
    bool follows; /* its type is the type under test */
    bool has_range, has_values;
    aval_tensor tensor; /* type is set when it does not follow */
    double low, high;
    double *values; /* in the arena */
    size_t n_values;
} aval__sample_input;

/* How a sample's text spells the element type; AVAL_NONE: the type under test. */
const char *aval__sample_letters(int type);
int aval__sample_parse(aval__arena *arena, const char *text, aval__sample_input **inputs, size_t *count);

/* Floats in the vectors that kernels for CPUs are built for. */
static inline int64_t aval__vector_floats(const aval_device_info *info)
{
    return info->float_vector_width >= 16 ? 16 : info->float_vector_width >= 8 ? 8 : 4;
}

/* Whether images or rows of the product lie in blocks. */
static inline bool aval__gemm_in_blocks(const aval_gemm *gemm)
{
    return gemm->b_block > 0 || gemm->c_block > 0;
}

/* Matrices of c. */
static inline int64_t aval__gemm_results(const aval_gemm *gemm)
{
    if (gemm->sum) return gemm->groups > 0 ? gemm->groups : 1;
    return gemm->batch > 0 ? gemm->batch : 1;
}

#endif
