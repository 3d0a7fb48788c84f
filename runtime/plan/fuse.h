/* Fusion of expression nodes: which of them run as one launch, and the kernel of each such cluster.  Private to plan. */
#ifndef AVAL_PLAN_FUSE_H
#define AVAL_PLAN_FUSE_H

#include "plan/plan.h"

/* Expression nodes that run as one launch over one iteration space.  A node that fuses with nothing is a cluster of one. */
typedef struct aval__cluster {
    aval_node **nodes; /* in topological order */
    size_t n_nodes;
    aval_value **inputs; /* read from memory; each broadcasts to `space` */
    size_t n_inputs;
    aval_value **outputs; /* written to memory: needed by other nodes, wanted, or updating a state */
    size_t n_outputs;
    const aval_tensor *space; /* the shape that is iterated over; equals each output's shape */
    uint32_t device;
    bool is_read; /* by nodes outside */
    aval_value *product; /* the input that the cluster may be the tail of, see aval__fuse_tails; NULL: of none */
    aval_value *headed; /* the output that the cluster may be the head for, see aval__fuse_heads; NULL: for none */
    const struct aval__joint *joint; /* of the clusters that one launch computes with this one, see aval__fuse_join; NULL: none */
} aval__cluster;

#define AVAL__MOST_TENSORS 24 /* inputs and outputs of a cluster of several nodes */
#define AVAL__MOST_NODES 64 /* keeps kernels short enough for registers and for compilers, and a set of them in a word */
#define AVAL__MOST_JOINED 32 /* members of a joint; few have parameters enough for more */

/* Clusters of one launch: equal but for their tensors and sizes, of one axis each. */
typedef struct aval__joint {
    const aval__cluster **members;
    size_t n_members;
    uint64_t shared; /* bit i: input i is the same value in all of them */
    uint32_t replaces[AVAL__MOST_TENSORS]; /* by output: the input that it lies over in all of them, UINT32_MAX: none */
} aval__joint;

/* Groups the expression nodes of `order` (topological).  device_of[node id] is each node's device.  `needed[value id]`: must be in memory
   after the run whoever reads it.  Two nodes share a cluster when they run on the same device over the same space, one reads the other, and no
   path between them leaves the cluster (so that the clusters and the other nodes still form an acyclic graph), up to the limits on
   arguments and nodes.  cluster_of[node id] is the index of its cluster, or UINT32_MAX; stage[node id], zeros before, grows along each link
   except those within a cluster.  Linear in nodes and links. */
int aval__fuse_clusters(aval__arena *arena, const aval_graph *g, aval_node *const *order, size_t n_order, const uint32_t *device_of,
                        const bool *needed, aval__cluster **clusters, size_t *n_clusters, uint32_t *cluster_of, uint32_t *stage);

/* Finds clusters that may be computed as the result of a matrix product is stored, and sets their `product`: all its elements are the
   cluster's space, and the two as one unit leave the graph acyclic.  tail_of[node id] becomes the index of the cluster, or UINT32_MAX; a product
   that nothing else waits for moves to a later stage for it.  Whether it is done so is found out when the product is recorded. */
int aval__fuse_tails(const aval_graph *g, aval_node *const *order, size_t n_order, const uint32_t *device_of, uint32_t *stage,
                     aval__cluster *clusters, size_t n_clusters, uint32_t *tail_of);

/* Finds clusters that recorders' kernels may compute, of at least `least` elements, and sets their `headed`: an input that is AVAL_HEADED is all that
   reads it, and it need not be in memory (`needed`), or is AVAL_ROW_HEADED; the two as one unit leave the graph acyclic.  Runs after
   aval__fuse_tails, whose pairs stay; with[node id], what tail_of is there, becomes the index of a node's head too.  Clusters may be cut for it
   (aval__fuse_cut), so that there are more of them.  Whether it is done so is found out when the node is recorded. */
int aval__fuse_heads(aval__arena *arena, const aval_graph *g, aval_node *const *order, size_t n_order, const uint32_t *device_of,
                     const bool *needed, int64_t least, aval__cluster **clusters, size_t *n_clusters, uint32_t *cluster_of, uint32_t *stage,
                     uint32_t *with);

/* Makes cluster `of` one that gives `value`, one of several outputs, and nothing else; the others are computed in a cluster of their own, or in the
   one that reads them, where it is the only one.  cluster_of and stage are brought up to date; a node that both parts need is in both, and in
   cluster_of in that of the others.  Lists lie in `arena`. */
int aval__fuse_cut(aval__arena *arena, aval_node *const *order, size_t n_order, const bool *needed, uint32_t of, aval_value *value,
                   aval__cluster **clusters, size_t *n_clusters, uint32_t *cluster_of, uint32_t *stage);
/* Whether `run` neighbouring elements of the cluster's result, from a multiple of `run` on, are made of tensors' neighbours, or of the same
   elements throughout; where work-items walk over rows also whether it pays to look for where they lie once a run. */
bool aval__fuse_runs(const aval__cluster *c, int64_t run, const aval_device_info *device);

/* Finds clusters that one launch may compute, and sets their `joint`: nothing comes after any of them, and all differ in their tensors and sizes
   only.  root_state[value id] is the state whose content the value is, or UINT32_MAX; updated[value id]: a node writes a new content over it.
   Runs after aval__fuse_tails and aval__fuse_heads, whose clusters stay theirs.  The joints lie in `arena`. */
int aval__fuse_join(aval__arena *arena, const aval_graph *g, const uint32_t *root_state, const bool *updated,
                    const aval_device_info *const *devices, aval__joins joins, aval__cluster *clusters, size_t n_clusters);

/* A cluster's space as the result of a product, `batch` matrices of rows and columns: element (z, row, column) of input i is its element
   z * matrix_step[i] + row * row_step[i], and + column where bit i of along_row is set.  With `blocks`, so many a matrix, z / blocks is the matrix, and
   z % blocks * block_step[i] is added; columns are those of a block then. */
typedef struct aval__grid {
    int64_t matrix_step[10], block_step[10], row_step[10]; /* by input */
    int64_t blocks, columns; /* blocks 0: there are none */
    uint64_t along_row;
    uint64_t same_rows; /* inputs that are the same for each row of a matrix */
    uint32_t product; /* the input that is the product's result */
} aval__grid;
/* False where an input's elements do not lie so. */
bool aval__fuse_grid(const aval__cluster *c, int64_t batch, int64_t blocks, int64_t rows, int64_t columns, aval__grid *grid);

/* Where a long argument comes from. */
typedef enum aval__fused_origin {
    AVAL__FUSED_SIZE,
    AVAL__FUSED_MEMBER, /* elements of a member of the joint */
    AVAL__FUSED_COUNT,
    AVAL__FUSED_CHUNK,
    AVAL__FUSED_MATRIX_STEP,
    AVAL__FUSED_BLOCKS,
    AVAL__FUSED_BLOCK_STEP,
    AVAL__FUSED_ROW_STEP,
    AVAL__FUSED_ATTRIBUTE
} aval__fused_origin;

/* One argument of a generated kernel, in order. */
typedef struct aval__fused_arg {
    enum { AVAL__FUSED_INPUT, AVAL__FUSED_OUTPUT, AVAL__FUSED_LONG, AVAL__FUSED_REAL } kind;
    aval__fused_origin origin; /* LONG, REAL: what it is */
    uint32_t index; /* of the cluster's inputs (steps too) or outputs; SIZE: axis; ATTRIBUTE: node of the cluster */
    uint32_t attr; /* ATTRIBUTE: its declared index */
    uint32_t member; /* of the cluster's joint, whose tensor or size it is; else 0 */
    int type; /* ATTRIBUTE: the arithmetic type that it is used in; REAL is passed so (AVAL_FLOAT or AVAL_DOUBLE) */
    int64_t integer; /* LONG */
    double real; /* REAL */
} aval__fused_arg;

/* On GPUs members of a joint begin at multiples of so many work-items, so that neighbours work on one of them. */
#define AVAL__JOINT_STEP 64

typedef struct aval__fused_kernel {
    const char *text; /* complete OpenCL C; equal for clusters that differ in sizes and attribute values only */
    const char *kernel; /* its function */
    const char *options;
    aval__fused_arg *args;
    size_t n_args;
    uint64_t global, local; /* local 0: OpenCL chooses */
} aval__fused_kernel;

typedef AVAL__VEC(aval__fused_arg) aval__fused_args;

/* Parts of the text of a joint's kernel, see fuse_joint.c: parameters of its members (behind those of shared inputs), with their arguments; and the
   beginning of the body, up to where of the elements from `first` to `end` a line of `run` from i on is computed, in a loop over members that is left
   open, or the element i, in a block that is. */
int aval__fuse_joint_parameters(const aval__cluster *cluster, aval__text *parameters, aval__fused_args *args);
void aval__fuse_joint_chunk(const aval__cluster *cluster, aval__text *body);
void aval__fuse_joint_element(const aval__cluster *cluster, aval__text *body);

/* Generates what kernels of products are built with (see kernels/tail.clh) to compute the cluster as their tail: a text to stand before theirs, and
   the arguments to follow theirs.  `kernel` and the launch's sizes are not used. */
int aval__fuse_tail(aval__arena *arena, const aval__cluster *cluster, const aval__grid *grid, const aval_device_info *device,
                    aval__fused_kernel *out);

/* The same for the node whose head the cluster is: see kernels/head.clh, and with `rows` kernels/head_rows.clh. */
int aval__fuse_head(aval__arena *arena, const aval__cluster *cluster, bool rows, const aval_device_info *device, aval__fused_kernel *out);

/* Generates the cluster's kernel for a device, or that of its joint, with its arguments.  Empty spaces are the caller's business (nothing is
   launched). */
int aval__fuse_kernel(aval__arena *arena, const aval__cluster *cluster, const aval_device_info *device, aval__fused_kernel *out);

/* ---- Element types in kernels. */

/* Templates: $p is the pointer, $i the index, $x the value. */
typedef struct aval__fused_type {
    const char *name; /* of an element in memory */
    int arithmetic; /* AVAL_FLOAT, AVAL_DOUBLE, AVAL_INT32, AVAL_INT64 or AVAL_UINT64; AVAL_NONE: expressions cannot have this type */
    const char *load, *store;
    const char *from_real, *from_integer; /* a computed value as the storage holds it, in `arithmetic` */
    const char *unsaturated; /* from_real for float8 that does not saturate */
    bool native; /* stored as it is computed */
    bool small; /* needs kernels/small_float.clh */
} aval__fused_type;

const aval__fused_type *aval__fused_type_of(int type);
bool aval__fused_is_real(int arithmetic);
/* The template that makes of a value computed in `from` what the type's storage holds; NULL: it is that already. */
const char *aval__fused_rounding(int type, int from, bool saturate);
void aval__fused_put(aval__text *text, const char *template, const char *p, const char *i, const char *x);
/* What a node computes an output in: its own arithmetic when it is real; else the widest of the inputs' that are read and, but for truth
   values, its own. */
int aval__fused_arithmetic(const aval_node *node, uint32_t output);

/* ---- Sharing texts: a long chain has few different kernels, and a text costs far more than its key. */

/* The space as the kernel sees it: neighbouring axes in which every input varies, or stays, alike are one. */
typedef struct aval__fused_axes {
    size_t count;
    int64_t sizes[AVAL_MAX_RANK];
    uint64_t varies[AVAL_MAX_RANK]; /* by axis: bit i is set where input i varies along it */
} aval__fused_axes;
void aval__fuse_axes(const aval__cluster *cluster, aval__fused_axes *out);
/* The type that kernels count the cluster's elements in. */
const char *aval__fuse_index(const aval__cluster *cluster, const aval_device_info *device);

typedef struct aval__fuse_words {
    AVAL__VEC(uint64_t) list; /* reused */
    uint32_t *place; /* by value id: where it stands in the cluster at hand */
} aval__fuse_words;
/* A key of all that the text and options of the cluster's own kernel depend on: clusters of equal keys share their kernel. */
int aval__fuse_key(aval__fuse_words *words, const aval__cluster *cluster, const aval_device_info *device, aval__hash *key);
/* Sets what differs in a kernel that another cluster (or joint) of equal key had: sizes and attributes in `args`, the range of the launch.
   grid NULL: a kernel of its own, else a tail. */
int aval__fuse_arguments(const aval__cluster *cluster, const aval__grid *grid, const aval_device_info *device, aval__fused_kernel *kernel);

#endif
