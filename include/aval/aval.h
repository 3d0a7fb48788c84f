/* The host API of aval: train and run neural networks on any OpenCL device.
 *
 * The way through it:  a context finds plugins and devices;  a graph says what to compute, gradients included;  a store
 * holds weights and other state by name;  a session runs values of the graph on the devices.  Building a graph computes
 * nothing; running a value computes what it needs and nothing else.
 *
 *     aval_context *ctx;  aval_context_create(&ctx);
 *     aval_graph *g = aval_graph_create(ctx);
 *     aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(2, 3));
 *     aval_value *y = aval_apply(g, "Tanh", NULL, x);
 *     aval_value *dx = aval_graph_gradient(g, y, x, NULL);
 *     aval_session *s;  aval_session_create(ctx, g, NULL, &s);
 *     aval_session_feed(s, x, data, sizeof data, NULL);
 *     aval_session_run(s, AVAL_VALUES(y, dx));
 *     aval_session_read(s, dx, result, sizeof result);
 *
 * Rules that hold everywhere
 *   - Functions that can fail return 0 or a negative aval_status; aval_error() then has this thread's message, which says what
 *     was expected, what was found and what to do.  Nothing here exits, prints or aborts.
 *   - NULL for a handle, an array or a place for a result is AVAL_E_ARGUMENT, or 0, NULL or "" where a function returns no status.
 *   - All types are opaque handles; nothing is passed by value but numbers.  `X_create` makes, `X_release` gives back; releasing
 *     NULL does nothing.  Values and nodes belong to their graph.  The order of releases is free: a session keeps its graph and
 *     store, and all of them keep their context, until they are released themselves.
 *   - Building a graph is fluent: the first error sticks to the graph (aval_graph_status) and is returned by the first run,
 *     and by feeding a value that it kept from being made; calls in between take and return NULL safely.
 *   - A context may be used by several threads; a graph, a store and a session by one thread at a time.
 *   - Attributes are texts: "axis=1 keepdims=0 pads=[1,1,1,1] mode='same'" (numbers with a point whatever the locale). */
#ifndef AVAL_AVAL_H
#define AVAL_AVAL_H

#include "aval/plugin.h"

#if defined(_WIN32)
#define AVAL_API __declspec(dllexport)
#else
#define AVAL_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define AVAL_VERSION_MAJOR 0
#define AVAL_VERSION_MINOR 1
#define AVAL_VERSION_PATCH 0

/* ---- Status ------------------------------------------------------------------------------------------------------------- */

/* code, number, what it means */
#define AVAL_STATUS_LIST(X) \
    X(OK, 0, "success") \
    X(E_ARGUMENT, -1, "an argument, attribute or option has a value that cannot be used") \
    X(E_SHAPE, -2, "shapes do not fit together") \
    X(E_TYPE, -3, "an element type does not fit") \
    X(E_UNSUPPORTED, -4, "valid, but not possible in this version or on this device") \
    X(E_CONTENT, -5, "the content of a value must be known to plan, and is not") \
    X(E_UNKNOWN, -6, "no such operator, device, value, state or file") \
    X(E_GRAPH, -7, "the graph is not valid, e.g. it has a cycle") \
    X(E_GRADIENT, -8, "a gradient was asked for through an op that has none") \
    X(E_PLUGIN, -9, "a plugin was refused") \
    X(E_MEMORY, -10, "the host is out of memory") \
    X(E_DEVICE_MEMORY, -11, "the device is out of memory, or an allocation is larger than it allows") \
    X(E_DEVICE, -12, "an OpenCL call failed") \
    X(E_BUILD, -13, "a kernel does not build") \
    X(E_IO, -14, "a file cannot be read or written") \
    X(E_FORMAT, -15, "a file is damaged or of another format") \
    X(E_ANOMALY, -16, "NaN or infinity was produced") \
    X(E_CHECK, -17, "a check found a difference") \
    X(E_INTERRUPTED, -18, "stopped on request") \
    X(E_INTERNAL, -19, "an invariant of aval is broken: please report it")

typedef enum aval_status {
#define AVAL_STATUS_ENUM(name, number, text) AVAL_##name = number,
    AVAL_STATUS_LIST(AVAL_STATUS_ENUM)
#undef AVAL_STATUS_ENUM
} aval_status;

/* This thread's last error message; "" when there was none.  Valid until the thread's next failing call. */
AVAL_API const char *aval_error(void);
/* "AVAL_E_SHAPE", and its meaning.  Static strings. */
AVAL_API const char *aval_status_name(int status);
AVAL_API const char *aval_status_text(int status);
/* How many letters must be changed, added or taken away to make one word of the other (Levenshtein's distance): for messages that propose a
   name.  NULL counts as "". */
AVAL_API size_t aval_word_distance(const char *a, const char *b);
/* "0.1.0".  Static. */
AVAL_API const char *aval_version(void);
/* "float", "int64" ... "?" for a number that is none.  Static.  And bytes an element, 0 for types that no tensor
   can have.  uint4 and int4 take a byte each, whatever files do: 0..15, -8..7. */
AVAL_API const char *aval_type_name(int type);
AVAL_API size_t aval_type_bytes(int type);

/* ---- Context ------------------------------------------------------------------------------------------------------------ */

typedef struct aval_context aval_context;
typedef struct aval_graph aval_graph;
typedef struct aval_node aval_node;
typedef struct aval_value aval_value;
typedef struct aval_store aval_store;
typedef struct aval_session aval_session;

typedef enum aval_log_level { AVAL_LOG_WARNING = 1, AVAL_LOG_INFO = 2 } aval_log_level;
typedef void (*aval_log_function)(void *user, int level, const char *message);

/* Makes a context.  Opens no device and loads no plugin yet: that happens at first use, so that it can be configured. */
AVAL_API int aval_context_create(aval_context **ctx);
/* Gives back the context.  Graphs, stores and sessions made from it stay usable until they are released; its log function is not called
   any more. */
AVAL_API void aval_context_release(aval_context *ctx);
/* Warnings and notes go to `log` (may be called from any thread that uses the context); NULL: they are dropped. */
AVAL_API void aval_context_log(aval_context *ctx, aval_log_function log, void *user);

/* Has devices keep the time of each command, for aval_session_profile.  Before the first session runs.  Costs a little time a launch. */
AVAL_API int aval_context_profile(aval_context *ctx);

/* Loads one plugin, or all *.so of a folder (NULL: the installed ones, before any other).  A folder that holds a bad plugin loads the others; the refusals are counted in
   *refused (may be NULL) and logged as warnings.  Files and folders writable by everyone, or owned by someone who is neither
   root nor the user, are refused.  Without any call, the folders of AVAL_PLUGIN_PATH (':' between them), or else the one beside
   the library (or its `plugins` folder in a build tree), are loaded at first use. */
AVAL_API int aval_context_load_plugin(aval_context *ctx, const char *file);
AVAL_API int aval_context_load_plugins(aval_context *ctx, const char *folder, size_t *refused);

/* Chooses a device, in order of preference by calls: an index of aval_device_info_at, a kind (`cpu`, `gpu`), or part of
   "PLATFORM/DEVICE" (case does not matter).  Two matches are an error that lists them.  Without any call, AVAL_DEVICE of the
   environment (',' between selectors), or else the best device of the machine: GPUs before CPUs, more compute units first. */
AVAL_API int aval_context_select_device(aval_context *ctx, const char *selector);
/* Before a device runs a kernel for the first time, a small case of it is compared with the host's referee; the verdict is remembered in
   the cache folder for this driver and kernel.  A device that is wrong is refused for that operator (the next selected one takes it, or the
   run fails with AVAL_E_CHECK), unless the user insists: with 1 nothing is asked and nothing refused.  Default: 0, or AVAL_INSIST of the
   environment. */
AVAL_API int aval_context_insist(aval_context *ctx, int insist);
/* All devices of all platforms, usable or not.  0 when enumeration fails: aval_error says why. */
AVAL_API size_t aval_device_count(aval_context *ctx);
/* NULL when i is out of range.  Owned by the context. */
AVAL_API const aval_device_info *aval_device_info_at(aval_context *ctx, size_t i);
/* NULL when device i can be used, else why it cannot. */
AVAL_API const char *aval_device_refusal(aval_context *ctx, size_t i);
/* The selected devices, in order of preference: how many, and the index (for aval_device_info_at) of the i-th; a negative aval_status on
   error. */
AVAL_API int64_t aval_selected_count(aval_context *ctx);
AVAL_API int64_t aval_selected_device(aval_context *ctx, size_t i);

/* Loaded operators, sorted by domain and name, newest version of each; NULL when i is out of range. */
AVAL_API size_t aval_op_count(aval_context *ctx);
AVAL_API const aval_op *aval_op_at(aval_context *ctx, size_t i);
/* Which plugin's C code runs in this thread, such as "my::Roll, while its reference runs, inputs [2,5]": its number, another for each call, so that
   a watch sees whether it goes on; 0: none, and an empty text.  For handlers of signals: takes no lock and asks for no memory. */
AVAL_API uint64_t aval_plugin_call(char *text, size_t bytes);
/* File of the plugin that brought it. */
AVAL_API const char *aval_op_plugin(aval_context *ctx, const aval_op *op);
/* "expression", "kernels" or "body"; and "expression", "kernels", "body", "zero" or "none" for the gradient.  Static. */
AVAL_API const char *aval_op_forward_kind(const aval_op *op);
AVAL_API const char *aval_op_gradient_kind(const aval_op *op);

/* ---- Graph -------------------------------------------------------------------------------------------------------------- */

/* Lists that live to the end of the full expression: AVAL_SHAPE is a rank and its dimensions, AVAL_VALUES values and how many. */
#ifdef __cplusplus
extern "C++" { /* which has no compound literals */
template <typename T, size_t N> struct aval_list {
    T at[N];
    const T *data() const
    {
        return at;
    }
};
template <typename... T> char (&aval_list_count(T &&...))[sizeof...(T)]; /* never called: its size is the number */
}
#define AVAL_LIST(T, ...) (aval_list<T, sizeof(aval_list_count(__VA_ARGS__))>{ { __VA_ARGS__ } }.data())
#define AVAL_SHAPE(...) sizeof(aval_list_count(__VA_ARGS__)), AVAL_LIST(int64_t, __VA_ARGS__)
#define AVAL_VALUES(...) AVAL_LIST(aval_value *, __VA_ARGS__), sizeof(aval_list_count(__VA_ARGS__))
#else
#define AVAL_SHAPE(...) \
    sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t), (const int64_t[]) \
    { \
        __VA_ARGS__ \
    }
#define AVAL_VALUES(...) (aval_value *const[]){ __VA_ARGS__ }, sizeof((aval_value *const[]){ __VA_ARGS__ }) / sizeof(aval_value *)
#endif
#define AVAL_SCALAR 0, NULL
/* y = first output of a node of op `op` with these inputs; `attrs` is an attribute text or NULL. */
#define aval_apply(graph, op, attrs, ...) aval_node_output(aval_graph_node(graph, op, attrs, AVAL_VALUES(__VA_ARGS__)), 0)

/* NULL only when the host is out of memory. */
AVAL_API aval_graph *aval_graph_create(aval_context *ctx);
AVAL_API void aval_graph_release(aval_graph *g);
/* The first error that happened while building, 0 when none; clears it. */
AVAL_API int aval_graph_status(aval_graph *g);

/* A tensor fed at each run.  The name is for messages only: two inputs may have the same.  A dimension of -1 is free: it is taken from what is fed. */
AVAL_API aval_value *aval_graph_input(aval_graph *g, const char *name, int type, size_t rank, const int64_t *dims);
/* A tensor held by the store under this name.  Asking twice for a name gives the same value; its shape must not differ. */
AVAL_API aval_value *aval_graph_state(aval_graph *g, const char *name, int type, size_t rank, const int64_t *dims);
/* A tensor that never changes; `data` (row-major, of the type) is copied. */
AVAL_API aval_value *aval_graph_constant(aval_graph *g, int type, size_t rank, const int64_t *dims, const void *data);
/* One number as a scalar constant of that type; AVAL_E_ARGUMENT where the type cannot hold it (0.5, 300 or NaN as uint8). */
AVAL_API aval_value *aval_graph_number(aval_graph *g, int type, double number);

/* A node.  `op` is "Name" (ONNX's domain, then "aval") or "domain::Name"; NULL inputs are absent optional ones.
   An op with any number of outputs (Split) gets as many as its attributes and constant inputs say.
   An output may be the new content of a state that is an input (`updates` in `aval ops NAME`: of Sgd the weight and the velocity, of
   BatchNormalization the running mean and variance).  A run stores it when that output is wanted or read, and then all others that the
   same node updates: Sgd's velocity moves with its weight.  Its other outputs (BatchNormalization's Y) update nothing by themselves. */
AVAL_API aval_node *aval_graph_node(aval_graph *g, const char *op, const char *attrs, aval_value *const *inputs, size_t n_inputs);
AVAL_API aval_value *aval_node_output(aval_node *node, size_t i);
AVAL_API size_t aval_node_output_count(const aval_node *node);

/* d(sum of upstream * of)/d(wrt), with wrt's shape.  `upstream` has the shape of `of`; NULL: ones.  Where no differentiable
   path leads from wrt to `of` it is zeros, with a warning that says where each path stops, or an error when the session is
   strict.  It may itself be differentiated where the ops on the way have their derivatives as expressions or as bodies (`aval ops NAME`
   says which); through one whose gradient is computed by kernels (matrix products, convolutions, losses) the first run fails with
   AVAL_E_GRADIENT and names it. */
AVAL_API aval_value *aval_graph_gradient(aval_graph *g, aval_value *of, aval_value *wrt, aval_value *upstream);

/* Names appear in messages, drawings and files.  Copied. */
AVAL_API void aval_node_set_name(aval_node *node, const char *name);
AVAL_API void aval_value_set_name(aval_value *value, const char *name);
AVAL_API const char *aval_value_name(const aval_value *value);
/* Runs the node on the i-th selected device; -1: the plan chooses. */
AVAL_API void aval_node_place(aval_node *node, int device);

/* Element type, and shape as far as it is known: rank is -1 when it is not, free dimensions are -1. */
AVAL_API int aval_value_type(const aval_value *value);
AVAL_API int aval_value_rank(const aval_value *value);
AVAL_API const int64_t *aval_value_dims(const aval_value *value);

/* The input or state of this name, the oldest of several inputs; else the oldest value that was given it; NULL: there is none. */
AVAL_API aval_value *aval_graph_find(const aval_graph *g, const char *name);

/* Editing.  The graph may be edited between any two runs; gradients follow, since they are derived when planning. */
AVAL_API int aval_node_set_input(aval_node *node, size_t i, aval_value *value);
/* All readers of `old` read `new_value` instead. */
AVAL_API int aval_graph_replace(aval_graph *g, aval_value *old, aval_value *new_value);
/* Fails while something reads the node's outputs (or the value). */
AVAL_API int aval_graph_remove_node(aval_graph *g, aval_node *node);
AVAL_API int aval_graph_remove_value(aval_graph *g, aval_value *value);

/* Walking a graph.  Nodes are counted from 0 in the order of making; NULL where one was removed. */
AVAL_API size_t aval_graph_node_count(const aval_graph *g);
AVAL_API aval_node *aval_graph_node_at(const aval_graph *g, size_t i);
/* The operator; NULL for the request of a gradient, whose inputs are of, wrt and upstream, and for a loop of a model that turns as often as inputs
   or the computation say. */
AVAL_API const aval_op *aval_node_op(const aval_node *node);
/* "" when it has none. */
AVAL_API const char *aval_node_name(const aval_node *node);
AVAL_API size_t aval_node_input_count(const aval_node *node);
/* NULL: absent. */
AVAL_API aval_value *aval_node_input(const aval_node *node, size_t i);
/* The attributes that were given, in the grammar of attribute texts; *text is for aval_free. */
AVAL_API int aval_node_attrs(const aval_node *node, char **text);
typedef enum aval_value_kind {
    AVAL_VALUE_INPUT = 1,
    AVAL_VALUE_STATE = 2,
    AVAL_VALUE_CONSTANT = 3,
    AVAL_VALUE_PRODUCED = 4 /* an output of aval_value_producer */
} aval_value_kind;
/* 0 for NULL. */
AVAL_API int aval_value_kind_of(const aval_value *value);
/* NULL where no node computes it. */
AVAL_API aval_node *aval_value_producer(const aval_value *value);

/* All states that these values are computed from, in the order of the nodes that read them; *states is for aval_free. */
AVAL_API int aval_graph_states(const aval_graph *g, aval_value *const *values, size_t n_values, aval_value ***states, size_t *n_states);

/* The graph as text, a line a node, or as Graphviz DOT.  *text is the caller's, to be given to aval_free. */
AVAL_API int aval_graph_text(const aval_graph *g, char **text);
AVAL_API int aval_graph_dot(const aval_graph *g, char **text);

/* What a drawing says of a value: its content (green box) and its gradient (red box), as a line of text each, "" for no box; and its type and shape
   where more is known of them than the graph knows. */
typedef struct aval_value_note {
    size_t size;
    char value[112], gradient[112], type[80];
} aval_value_note;
typedef void (*aval_note_function)(void *user, const aval_value *value, aval_value_note *note);
/* As aval_graph_dot, with what `note` says of each value (NULL: nothing).  Only what these values need is drawn; n_wanted 0: all. */
AVAL_API int aval_graph_draw(const aval_graph *g, aval_value *const *wanted, size_t n_wanted, aval_note_function note, void *user,
                             char **text);
AVAL_API void aval_free(void *memory);

/* ---- Store -------------------------------------------------------------------------------------------------------------- */

/* State by name: weights, running statistics, moments, counters, learning rate.  Lives on the host until a session needs it
   on a device, and is read back when asked for. */
AVAL_API int aval_store_create(aval_context *ctx, aval_store **store);
AVAL_API void aval_store_release(aval_store *store);
/* Makes or overwrites an entry.  An existing entry keeps its shape and type: another one is an error. */
AVAL_API int aval_store_set(aval_store *store, const char *name, int type, size_t rank, const int64_t *dims, const void *data);
AVAL_API int aval_store_fill(aval_store *store, const char *name, int type, size_t rank, const int64_t *dims, double value);
AVAL_API int aval_store_remove(aval_store *store, const char *name);

typedef enum aval_initializer {
    AVAL_INIT_UNIFORM = 1, /* in +-scale */
    AVAL_INIT_NORMAL = 2, /* standard deviation scale */
    AVAL_INIT_HE = 3, /* normal, sqrt(2 / fan_in); He et al. 2015.  scale is a factor, usually 1 */
    AVAL_INIT_XAVIER = 4 /* uniform, +-sqrt(6 / (fan_in + fan_out)); Glorot and Bengio 2010.  scale is a factor */
} aval_initializer;

/* Random numbers from (seed, name): the same on every machine.  Fans as for a matrix [in, out] or a filter [out, in, k...]. */
AVAL_API int aval_store_random(aval_store *store, const char *name, int type, size_t rank, const int64_t *dims, int initializer,
                               double scale, uint64_t seed);
AVAL_API size_t aval_store_count(const aval_store *store);
/* In the order of creation; NULL when i is out of range. */
AVAL_API const char *aval_store_name(const aval_store *store, size_t i);
/* Any of type, rank, dims (AVAL_MAX_RANK numbers) may be NULL. */
AVAL_API int aval_store_shape(const aval_store *store, const char *name, int *type, size_t *rank, int64_t *dims);
/* Copies the entry to `data`; `bytes` must be its exact size.  Waits for the device that holds it. */
AVAL_API int aval_store_get(aval_store *store, const char *name, void *data, size_t bytes);
/* As aval_store_get, without waiting: `data` gets the entry as the runs so far leave it, while later runs may already be given to the
   device.  *read is for aval_read_wait, after which the data is there and before which it must stay; the store and its context must
   stay until then, too.  So a loop can read the loss of a step while the next one computes. */
typedef struct aval_read aval_read;
AVAL_API int aval_store_get_later(aval_store *store, const char *name, void *data, size_t bytes, aval_read **read);
/* Waits for what was begun, and gives it back; NULL: nothing. */
AVAL_API int aval_read_wait(aval_read *read);
/* The whole store as a safetensors file (written beside it, then renamed), and back: entries of the file are made or overwritten.
   A link is followed, an existing file keeps its mode, and what is no regular file is refused.
   Metadata pairs (key, value, key, value ..., NULL) may be NULL. */
AVAL_API int aval_store_save(aval_store *store, const char *file, const char *const *metadata);
/* 0 when aval_store_save could write this file now, as far as can be known before: name, folder, rights and room. */
AVAL_API int aval_store_can_save(const aval_store *store, const char *file);
AVAL_API int aval_store_load(aval_store *store, const char *file);

/* How an entry of a file of weights is called in the store.  The first rule whose `file` fits is taken; where none does the name stays.  One
   `*` in a text stands for any part of the name, and for the same in both. */
typedef struct aval_weight_rule {
    const char *file; /* "encoder.*.weight" */
    const char *store; /* "enc.*.w"; NULL: the entry is left out, as "*.num_batches_tracked" might be */
    int transposed; /* 1: a matrix [out, in] in the file, as of torch.nn.Linear, is [in, out] in the store */
} aval_weight_rule;

#define AVAL_ALLOW_MISSING 1u /* names of the store that the file has not keep their content */
#define AVAL_ALLOW_UNEXPECTED 2u /* names of the file that the store has not are passed over */

typedef struct aval_weights_options {
    size_t size;
    const aval_weight_rule *rules; /* ends with a NULL file; NULL: none */
    uint32_t allow; /* AVAL_ALLOW_...; 0: the names must be the same */
    int convert; /* 1: floats of other types (half, bfloat16 ...) are rounded to those of the store */
} aval_weights_options;

typedef struct aval_weights_report {
    size_t size; /* set by the caller */
    size_t loaded, missing, unexpected; /* entries */
} aval_weights_report;

/* Gives entries that the store has (of aval_model_load, or made by hand) the contents of a safetensors file, such as safetensors.torch writes of
   a state_dict.  Where names or shapes do not fit, one message lists all of them and nothing is changed: AVAL_E_UNKNOWN, AVAL_E_SHAPE.
   options (NULL: strict, no rules) and report may be NULL. */
AVAL_API int aval_store_load_weights(aval_store *store, const char *file, const aval_weights_options *options, aval_weights_report *report);

/* ---- Session ------------------------------------------------------------------------------------------------------------ */

typedef enum aval_memory_mode {
    AVAL_MEMORY_ARENA = 0, /* values share few buffers by their lifetimes */
    AVAL_MEMORY_GUARDED = 1, /* a buffer a value, poisoned before, guard bands checked after each run */
    AVAL_MEMORY_RETAINED = 2 /* every value can be read after the run */
} aval_memory_mode;

/* `store` may be NULL when the graph has no state. */
AVAL_API int aval_session_create(aval_context *ctx, aval_graph *g, aval_store *store, aval_session **s);
AVAL_API void aval_session_release(aval_session *s);
AVAL_API int aval_session_set_memory(aval_session *s, int memory_mode);
/* Keeps the intermediates of a run within so many bytes on each device (0: no bound), by computing some of them again before their next reader instead
   of keeping them: those that cost least time for each byte and step that they are not kept.  Weights, inputs and results that stay are
   not counted; results are the same bits.  Operators that update a state or are not deterministic never run twice.  The run, or
   aval_session_plan_text, fails with AVAL_E_DEVICE_MEMORY where the bound cannot be kept to, and names the least that can.  Holds for
   AVAL_MEMORY_ARENA; aval_counters tells what it costs. */
AVAL_API int aval_session_set_memory_bound(aval_session *s, uint64_t bytes);
/* 1: each run ends with the name of the first node that made NaN or infinity (AVAL_E_ANOMALY); slow. */
AVAL_API int aval_session_set_anomaly(aval_session *s, int on);
/* 1: a gradient without a differentiable path is an error instead of zeros and a warning. */
AVAL_API int aval_session_set_strict(aval_session *s, int on);

/* Gives an input its content, until it is fed again.  `dims` may be NULL when the input has no free dimension.  The data is copied
   before the call returns, and is the caller's again.  A program that feeds faster than the device computes is held back here or in
   aval_session_run. */
AVAL_API int aval_session_feed(aval_session *s, const aval_value *input, const void *data, size_t bytes, const int64_t *dims);
/* As aval_session_feed, for data that is used where it lies: without any copy where the only selected device shares the host's memory
   (aval_device_info.unified_memory) and `data` is a multiple of its alignment_bytes; else it is copied, as fed.  The memory stays the caller's.  It must
   stay, and must not be written to, until this input is fed again or the session is released, and the runs before that are done
   (aval_session_wait).  What was written meanwhile is seen only once it is fed again. */
AVAL_API int aval_session_feed_in_place(aval_session *s, const aval_value *input, const void *data, size_t bytes, const int64_t *dims);
/* Computes these values, updating the states that they update (all those of a node together, see aval_graph_node).  Plans and builds what is new, else just launches; returns before
   the devices are done. */
AVAL_API int aval_session_run(aval_session *s, aval_value *const *wanted, size_t n_wanted);
/* Content of a value of the last run (any value in retained mode); `bytes` must be its exact size.  Waits for the device. */
AVAL_API int aval_session_read(aval_session *s, const aval_value *value, void *data, size_t bytes);
/* Its shape in the last run; `dims` has AVAL_MAX_RANK numbers. */
AVAL_API int aval_session_shape(aval_session *s, const aval_value *value, size_t *rank, int64_t *dims);
/* Its element type in the last run (which a value below free dimensions has not got before); AVAL_NONE where it is not known. */
AVAL_API int aval_session_type(aval_session *s, const aval_value *value);
/* Waits until all devices are done. */
AVAL_API int aval_session_wait(aval_session *s);

typedef struct aval_counters {
    size_t size; /* set by the caller: sizeof(aval_counters) */
    uint64_t runs, plans_made, plans_reused, programs_built, programs_from_disk, launches, copies;
    uint64_t arena_bytes; /* of the current plan */
    uint64_t live_bytes; /* most bytes alive at once in it: the least that any arena needs */
    uint64_t plan_nodes; /* of the current plan, after gradients are in */
    double plan_seconds; /* that making it took from there on; builds of kernels not counted */
    uint64_t unbounded_arena_bytes; /* arena_bytes of the same run where nothing is computed again */
    uint64_t recomputed; /* launches, or groups of them that belong together, that a run makes again to keep to its bound */
    double
        recomputed_share; /* predicted: the time of these by the bytes and arithmetic in them, as a share of that of a run without them */
} aval_counters;
AVAL_API int aval_session_counters(const aval_session *s, aval_counters *counters);
/* One command of a run. */
typedef struct aval_profile_entry {
    size_t size;
    size_t device; /* which of the selected ones */
    const char *node; /* what it computes: "conv1 (Conv)", "fused Mul, Add, Relu" */
    const char *command; /* the kernel's name, the provider of a matrix product, "copy" or "fill" */
    double start_us, end_us; /* from the start of this device's first command in the run, by the device's clock */
    double bytes; /* that it must move at least: each of its tensors once */
    double flops; /* of matrix products and convolutions; 0 for all else, where memory is what counts */
} aval_profile_entry;
typedef void (*aval_profile_function)(void *user, const aval_profile_entry *entry);

/* Waits for the last run and tells the time of each of its commands, in the plan's order.  Of a matrix product that its provider enqueues itself
   (CLBlast), the time from the end of the command before.  Needs aval_context_profile. */
AVAL_API int aval_session_profile(aval_session *s, aval_profile_function report, void *user);

/* The current plan as text, a line a launch or copy; for aval_free. */
AVAL_API int aval_session_plan_text(aval_session *s, aval_value *const *wanted, size_t n_wanted, char **text);

/* ---- Models --------------------------------------------------------------------------------------------------------------- */

/* A graph that was read from a file, its weights, and the names of what goes in and comes out.  It holds one reference to its graph and its
   store: both stay usable after its release where a session has them.

       aval_model *m;    aval_model_load(ctx, "net.onnx", &m);
       aval_session *s;  aval_session_create(ctx, aval_model_graph(m), aval_model_store(m), &s);
       aval_session_feed(s, aval_model_input(m, 0), data, bytes, dims);
       aval_value *y = aval_model_output(m, 0);
       aval_session_run(s, AVAL_VALUES(y)); */
typedef struct aval_model aval_model;

/* Reads an ONNX file of operator sets 7 to 21: weights (initializers of real numbers) become states of the store under their names, so that
   they can be trained; other initializers, and those that shapes are computed from, become constants.  Symbolic dimensions are free ones, and
   the model's own functions are expanded.  AVAL_E_UNSUPPORTED: one message with every operator, attribute and type that is not supported, a
   line each; AVAL_E_FORMAT: a damaged file; AVAL_E_UNKNOWN: no such file.  Data outside the file is read from the file's own folder alone. */
AVAL_API int aval_model_load(aval_context *ctx, const char *file, aval_model **model);
AVAL_API void aval_model_release(aval_model *model);
AVAL_API aval_graph *aval_model_graph(const aval_model *model);
AVAL_API aval_store *aval_model_store(const aval_model *model);
/* In the order of the file; NULL when i is out of range.  Texts live as long as the model. */
AVAL_API size_t aval_model_input_count(const aval_model *model);
AVAL_API aval_value *aval_model_input(const aval_model *model, size_t i);
AVAL_API const char *aval_model_input_name(const aval_model *model, size_t i);
AVAL_API size_t aval_model_output_count(const aval_model *model);
AVAL_API aval_value *aval_model_output(const aval_model *model, size_t i);
AVAL_API const char *aval_model_output_name(const aval_model *model, size_t i);

/* Type and shape of output i, as far as they follow from what the inputs' shapes say: what moves with a free dimension is -1.  AVAL_E_SHAPE where
   not even the number of axes can be known before a run.  Any of type, rank, dims (AVAL_MAX_RANK numbers) may be NULL. */
AVAL_API int aval_model_output_shape(const aval_model *model, size_t i, int *type, size_t *rank, int64_t *dims);

/* Transfer learning: a trained model keeps its first layers and gets others in place of its last ones.

       aval_model_cut(m, "features");             the model now ends there: what came behind is neither computed nor written
       aval_model_add_head(m, "64,10", NULL, 1);  two dense layers with new weights, "head1.weight" and so on
       aval_graph_states(...);                    the weights: those that get no update stay as they are
       aval_model_save(...);                      the outputs with what they need

   aval_train does all that by options.  Functions that change outputs invalidate texts and values that aval_model_output gave before. */
/* Gives the model these outputs in place of its own.  names as in aval_model_save; copied. */
AVAL_API int aval_model_set_outputs(aval_model *model, aval_value *const *outputs, const char *const *names, size_t n_outputs);
/* Makes the value of this name the only output.  AVAL_E_UNKNOWN: there is none; the message names some that are there. */
AVAL_API int aval_model_cut(aval_model *model, const char *value);
/* Puts dense layers on the first output [batch, ...], which is flattened before, and makes the last layer's scores the only output, "scores".
   `layers`: widths with commas between, after "pool" if the mean over all axes but batch and channels comes first: "64,10", "pool,10".
   `activation`, between the layers: one of aval_train_options [relu].  New weights are in the model's store, random by `seed`.  On failure the
   outputs are as before, though the graph may hold a part of the layers. */
AVAL_API int aval_model_add_head(aval_model *model, const char *layers, const char *activation, uint64_t seed);

/* Writes what computes these values as an ONNX file: inputs, weights as the store has them, nodes.  `names` are those of the outputs in the file;
   NULL, or NULL for one: the value's own.  The operator set is of version 21, or of that which a model was read with, or else the newest
   in which each operator has the form that the graph has.  Operators that only aval has are written in the domain "aval", with a warning that names them.
   AVAL_E_UNSUPPORTED: gradients, states of random operators and whatever else ONNX has no place for. */
AVAL_API int aval_model_save(aval_graph *g, aval_store *store, aval_value *const *outputs, const char *const *names, size_t n_outputs,
                             const char *file);

/* A tensor in the host's memory, as files hold it. */
typedef struct aval_array {
    size_t size; /* set by the caller: sizeof(aval_array) */
    int type; /* aval_type */
    size_t rank;
    int64_t dims[AVAL_MAX_RANK];
    void *data; /* row-major */
    size_t bytes;
} aval_array;

/* Reads NumPy's .npy, or a file of one ONNX TensorProto (.pb).  The data is the caller's, to be given to aval_free.  AVAL_E_UNSUPPORTED: a
   tensor that aval cannot hold (texts, complex numbers, big-endian numbers); AVAL_E_FORMAT: damaged, or another format. */
AVAL_API int aval_array_read(const char *file, aval_array *array);
/* Writes .npy beside `file`, then renames it. */
AVAL_API int aval_array_write(const char *file, const aval_array *array);

/* NumPy's .npz: arrays by name in one file, stored or deflated.  Archives of 4 GB and more (zip64) are AVAL_E_UNSUPPORTED. */
typedef struct aval_archive aval_archive;
/* Errors as those of aval_array_read.  The file must not be made shorter until the release. */
AVAL_API int aval_archive_open(const char *file, aval_archive **archive);
AVAL_API void aval_archive_release(aval_archive *archive);
/* In the order of the file; the name is that of the member without .npy, and NULL when i is out of range. */
AVAL_API size_t aval_archive_count(const aval_archive *archive);
AVAL_API const char *aval_archive_name(const aval_archive *archive, size_t i);
/* One array; array->size is set by the caller, the data is for aval_free.  AVAL_E_UNKNOWN lists the names that there are. */
AVAL_API int aval_archive_read(const aval_archive *archive, const char *name, aval_array *array);
/* Writes a .npz file beside `file`, then renames it.  compress 1: deflated. */
AVAL_API int aval_archive_write(const char *file, const char *const *names, const aval_array *arrays, size_t count, int compress);
/* Elements in another type, by C's rules, round to nearest even; AVAL_E_TYPE where the host has no arithmetic for one of them. */
AVAL_API int aval_convert(void *to, int to_type, const void *from, int from_type, size_t count);

/* Builds every kernel of every loaded operator for the selected devices, in the usual element types.  *built may be NULL. */
AVAL_API int aval_warm(aval_context *ctx, size_t *built);
/* Programs (of one or more kernels) that this context has had so far: compiled by a driver, which may keep them in a cache of its own, and
   taken from aval's cache on disk.  Either may be NULL. */
AVAL_API int aval_context_programs(aval_context *ctx, size_t *built, size_t *from_disk);

#ifdef __cplusplus
}
#endif

#include "aval/check.h"
#include "aval/train.h"
#include "aval/tune.h"

#endif
