/* The graph: values, nodes, editing; and what planning does to a copy of it: shapes, gradients, bodies.
 *
 * A graph owns its nodes and values; their addresses stay the same until they are removed, so they are the handles.  Removed ones are
 * marked dead and stay in the arrays until a new one takes their place and id (aval_value.born tells the two apart).  After edits the
 * order of ids need not be a topological order.  Planning works on a copy (aval__graph_copy) in which ids are the same, then adds nodes. */
#ifndef AVAL_GRAPH_H
#define AVAL_GRAPH_H

#include "op/op.h"

#define AVAL__SPARE_CLASSES 40

typedef enum aval__value_kind {
    AVAL__INPUT, /* fed by the user */
    AVAL__STATE, /* in the store, by name */
    AVAL__CONSTANT, /* content is in `data` */
    AVAL__PRODUCED /* output `port` of node `producer` */
} aval__value_kind;

struct aval_value {
    aval_tensor tensor; /* first: a plugin's handle of a value is the address of this */
    aval__value_kind kind;
    bool dead;
    uint32_t id; /* index in graph->values */
    uint32_t port;
    uint64_t born; /* the graph's generation that brought it: with the id, what no other value ever has */
    aval_node *producer;
    aval_graph *graph;
    const char *name; /* NULL: unnamed */
    const char *axes; /* what a file calls the free dimensions, a line an axis, empty where it has no name; NULL: no names */
    char label[12]; /* "v17", for messages about unnamed values */
    const void *data; /* constants: content in the element type.  In a planning copy also what folding or the user's feed made known
                         of other values; NULL: not known */
};

typedef enum aval__node_kind {
    AVAL__OP,
    AVAL__GRADIENT_REQUEST, /* inputs: of, wrt, upstream (may be NULL); output: the gradient.  Gone after expansion */
    AVAL__LOOP /* see aval__loop.  Gone once shapes are inferred for planning */
} aval__node_kind;

struct aval_node {
    aval__node_kind kind;
    bool dead;
    uint32_t id; /* index in graph->nodes */
    const aval__opdef *def; /* AVAL__OP */
    const struct aval__loop *loop; /* AVAL__LOOP; belongs to the graph that it was first added to */
    aval__attrs attrs;
    aval_value **inputs; /* NULL: absent */
    aval_value **outputs; /* NULL: not wanted (backward nodes) */
    uint32_t n_inputs, n_outputs;
    aval_node *forward; /* backward nodes: the node whose backward this is (perhaps dead by now; its values' shapes remain) */
    int32_t device; /* index of the selected device, -1: the plan chooses */
    const char *name; /* NULL: unnamed */
    aval_graph *graph;
};

struct aval_graph {
    _Atomic size_t holders; /* the user, and sessions: gone with the last */
    void (*drop_owner)(void *owner); /* gives back what the graph holds of the context; NULL: nothing */
    void *owner;
    aval__registry *registry;
    const aval__log *log;
    AVAL__VEC(aval_node *) nodes;
    AVAL__VEC(aval_value *) values;
    aval__arena arena; /* nodes, values, names, attributes, constants */
    AVAL__VEC(aval_node *) unused_nodes; /* records of removed ones */
    AVAL__VEC(aval_value *) unused_values;
    struct aval__spare *spares[AVAL__SPARE_CLASSES]; /* what else removed ones held, in lists by size: 2^index bytes */
    struct aval__graph_names *states; /* name -> value */
    struct aval__loop *loops; /* owned */
    uint64_t generation; /* goes up with each edit, so that a session sees that it must look again */
    bool planning; /* a copy for planning: contents that were computed on the host stay in value->data */
    uint32_t version; /* of ONNX's operator set that the graph was read with; 0: it was not */
    size_t most_content; /* bytes of a content that is computed; 0: no bound.  Sizes of a trial may be far from those that are fed */
    int64_t made_up; /* a trial: the number that contents which are not known are taken to hold; 0: they are unknown */
    const aval_value *missing; /* a copy: whose unknown content shape inference asked for last; NULL: none */
    bool stale; /* a link was changed: shapes are inferred again before they are next looked at */
    int status; /* first error while building */
    char *message; /* its text */
};

/* `log` may be NULL. */
aval_graph *aval__graph_create(aval__registry *registry, const aval__log *log);
/* One more holder: each calls aval_graph_release once. */
void aval__graph_hold(aval_graph *g);
/* Fails with the first error while building, 0 when there was none.  Unlike aval_graph_status it stays. */
int aval__graph_stuck(const aval_graph *g);
/* A copy for planning: the same ids, names and constants (data is shared with the original, which must outlive it). */
int aval__graph_copy(const aval_graph *g, aval_graph **out);

/* Building blocks that return codes (the fluent public calls are made from them). */
int aval__graph_add_value(aval_graph *g, aval__value_kind kind, const aval_tensor *tensor, const char *name, aval_value **out);
/* Shapes of the outputs are inferred when all inputs are known.  attrs is copied into the graph's arena.  n_outputs 0: those declared, or, where the
   last one is variadic, as many as the op's infer sets. */
int aval__graph_add_node(aval_graph *g, const aval__opdef *def, const aval__attrs *attrs, aval_value *const *inputs, size_t n_inputs,
                         size_t n_outputs, aval_node **out);
/* 0 when an op can take these inputs, as far as their number and their graph go. */
int aval__graph_check_inputs(const aval_graph *g, const aval__opdef *def, aval_value *const *inputs, size_t n_inputs);
/* data is copied. */
int aval__graph_add_constant(aval_graph *g, const aval_tensor *tensor, const void *data, aval_value **out);

/* The port that describes input i of an op: a variadic last port describes all inputs from its own on.  Bits of `keeps`, `accumulates`
   and `zero_gradient` are those of the port. */
size_t aval__input_port(const aval__opdef *def, size_t i);
/* Of an op's node: its shapes follow from what this input holds (AVAL_SHAPE_INPUT). */
bool aval__node_reads_a_shape(const aval_node *node, size_t input);
size_t aval__output_port(const aval__opdef *def, size_t i); /* the same of output i */

/* The state whose new content output `i` of the node is; NULL: none.  It is updated only when that output is needed, or another output of
   the node that updates a state. */
aval_value *aval__node_updates(const aval_node *node, size_t output);
/* A node's updates go together: where `needed` (by value id) has one of its outputs that update a state, it gets the others. */
void aval__node_need_updates(const aval_node *node, bool *needed);

/* ---- Loops (loop.c).  A node of kind AVAL__LOOP stands for a graph that runs again and again.  Its inputs: how many turns there are at most
   (int64, NULL: no bound), whether there is a first one (bool, NULL: yes), what turns hand on, what they only read.  Its outputs: what the last
   turn handed on, what was stacked, the number of turns (int64).
   Where the number of turns is known while planning, the node becomes so many copies of its graph.  Else the session takes turns, and
   the number is a content like others that planning asks for. */

/* What each turn gives is put together along an axis of length 1. */
typedef struct aval__stacked {
    int64_t axis; /* counted from the end when negative */
    bool backwards; /* the last turn's comes first */
    aval_value *part; /* the same in the loop's graph, without that axis */
} aval__stacked;

typedef struct aval__loop {
    aval_graph *g; /* of one turn: a pattern that is never run itself.  Owned */
    /* Values of g.  Ports: number of the turn (int64), condition (bool), handed on, only read: inputs, or states where the node's input is the state
       of that name.  Results: whether there is another turn (NULL: yes), to hand on, to stack. */
    aval_value **ports, **results;
    size_t n_carried, n_read, n_stacked;
    aval__stacked *stacked;
    const aval__opdef *join; /* op with an attribute `axis` that puts tensors together */
    aval__hash key; /* set by aval__graph_add_loop */
    struct aval__loop *next; /* of the graph's */
} aval__loop;

static inline size_t aval__loop_ports(const aval__loop *loop)
{
    return 2 + loop->n_carried + loop->n_read;
}

static inline size_t aval__loop_results(const aval__loop *loop)
{
    return 1 + loop->n_carried + loop->n_stacked;
}

/* `loop` lies in the arena of its own graph, which belongs to g from here on, also on failure. */
int aval__graph_add_loop(aval_graph *g, aval__loop *loop, aval_value *const *inputs, aval_node **out);
/* Puts a loop's turns in its place.  AVAL_E_CONTENT: their number is not known here (g->missing says what would help), and what there is of
   them leads nowhere. */
int aval__loop_unroll(aval_node *node);
/* One turn as nodes of `g`: ports and results as those of the loop; a result may be NULL. */
int aval__loop_turn(const aval__loop *loop, aval_graph *g, const char *name, aval_value *const *ports, aval_value **results);
/* The value that tells how many turns there were. */
aval_value *aval__loop_turns(const aval_node *node);

/* ---- Backward nodes (def->kind AVAL__BACKWARD).  Output i is the gradient of input i of node->forward, NULL when unwanted.  Inputs, in
   this order: each input of the forward node whose port is in op->keeps, each kept output, the upstream gradient of each output, and for each
   input whose port is in op->accumulates a place for the partial sum (NULL: the gradient is written, not added). */

/* The partial sum that output `i` is added to: output `i` then lies in the buffer of this value, which nobody else reads and no later
   node needs.  NULL: output `i` is written as usual.  NULL for all other kinds of nodes. */
aval_value *aval__node_base(const aval_node *node, size_t output);
/* What the recorder is given: inputs and outputs of the forward node, upstream gradients of its outputs; NULL: absent.  *readable: a
   kept one, that is an input of the backward node; else it is there for its shape only (it may be dead and have no memory). */
aval_value *aval__backward_input(const aval_node *node, size_t i, bool *readable);
aval_value *aval__backward_output(const aval_node *node, size_t i, bool *readable);
aval_value *aval__backward_upstream(const aval_node *node, size_t i);

/* ---- Passes -------------------------------------------------------------------------------------------------------------------- */

/* "node 'conv1' (Conv)" or "node 17 (Conv)". */
void aval__node_label(aval__text *text, const aval_node *node);
/* Its name, or "v17".  Lives as long as the graph. */
const char *aval__value_label(const aval_value *value);
/* Names of axes, as in aval_value; copied. */
int aval__value_name_axes(aval_value *value, const char *axes);
/* The name of an axis, which need not end with 0, and its length, which is 0 for none. */
const char *aval__value_axis_name(const aval_value *value, int32_t axis, size_t *length);

/* All living nodes that `wanted` need, producers before readers; in the order of ids where that is free to choose.  Readers of a
   state come before the node that updates it.  AVAL_E_GRAPH names the nodes of a cycle, two needed updaters of one state, or an update
   of a value that is no state.  *order is for aval__free. */
int aval__graph_order(const aval_graph *g, aval_value *const *wanted, size_t n_wanted, aval_node ***order, size_t *count);

/* Gives the free dimensions of an input of a copy; AVAL_E_SHAPE when a dimension that is not free differs. */
int aval__graph_bind(aval_value *input, const aval_tensor *shape);

/* Shapes: infers all nodes that `wanted` need, again; the inputs' shapes must be known (aval__graph_bind).
   Contents that shape inference asks for come from value->data; a content that is not there is computed on the host where it follows
   from known ones, else AVAL_E_CONTENT names the value. */
int aval__graph_infer(aval_graph *g, aval_value *const *wanted, size_t n_wanted);
/* Infers every node of a copy whose inputs are known, all that can be: `told` hears of each how that went (aval_error() says what failed), and
   goes on with 0.  Loops are left as they are. */
typedef int (*aval__inference_told)(void *user, const aval_node *node, int status);
int aval__graph_infer_all(aval_graph *g, aval__inference_told told, void *user);

/* Replaces each node given as a body (that has no backward of its own unless `all`) that `wanted` need by its parts.  Values that the
   node produced keep their id: their producer changes. */
int aval__graph_expand_bodies(aval_graph *g, aval_value *const *wanted, size_t n_wanted, bool all);

/* Replaces the gradient requests that `wanted` need by backward nodes.  Shapes must be known (aval__graph_infer); those of new nodes
   are.  The values of the requests keep their ids.  `strict`: no path is an error; else zeros and a warning to the graph's log.
   AVAL_E_GRADIENT names every op on the way that should have a gradient and has none. */
int aval__graph_expand_gradients(aval_graph *g, aval_value *const *wanted, size_t n_wanted, bool strict);

/* The whole front of planning in its order: infer, bodies, gradients, bodies.  g is a copy. */
int aval__graph_expand(aval_graph *g, aval_value *const *wanted, size_t n_wanted, bool strict);

/* Replaces every node whose inputs are all known on the host (and not larger than `limit_bytes`, outputs too) by constants, and gives the
   order of what is left, as aval__graph_order does. */
int aval__graph_fold(aval_graph *g, aval_value *const *wanted, size_t n_wanted, size_t limit_bytes, aval_node ***order, size_t *count);

/* Lets the channels of images lie in blocks of `block` where that saves more than turning tensors costs (`all`: wherever it can be), by what ops say of
   `device`, on which all nodes run (aval_blocks of aval/plugin.h).  *order is all that `wanted` need, as aval__graph_order gives it, before and after. */
int aval__graph_block(aval_graph *g, aval_value *const *wanted, size_t n_wanted, const aval_device_info *device, int64_t block, bool all,
                      aval_node ***order, size_t *count);

/* Ids of the values that something needs, in an order that follows from the links alone.  A value's number is its place there. */
typedef AVAL__VEC(uint32_t) aval__numbering;

/* Copies the content of a value of a graph that is being built, if the host knows it or can compute it and it has so many bytes. */
int aval__value_content(aval_value *value, void *data, size_t bytes, bool *known);

/* A hash of all that planning depends on: living nodes that `wanted` need, ops, attributes, links, shapes, constants' bytes, names,
   placements, `wanted` itself; but no id.  In graphs of equal hash the values of equal number correspond.  *numbers is reused; for
   aval__vec_release. */
int aval__graph_hash(const aval_graph *g, aval_value *const *wanted, size_t n_wanted, aval__hash *hash, aval__numbering *numbers);

/* The referee: runs an expanded graph (aval__graph_expand without backward recorders, or forward only) in double on the host.
   inputs: content of the inputs and states by value id (NULL: none needed); results are made for all values needed, by value id, and
   released by aval__interpretation_release. */
typedef struct aval__interpretation {
    aval__host_tensor *at; /* by value id */
    size_t count;
} aval__interpretation;
int aval__graph_interpret(const aval_graph *g, aval_value *const *wanted, size_t n_wanted, const aval__host_tensor *const *inputs,
                          aval__interpretation *out);
void aval__interpretation_release(aval__interpretation *in);

#endif
