/* What the files of runtime/graph share with each other and with nobody else. */
#ifndef AVAL_GRAPH_PARTS_H
#define AVAL_GRAPH_PARTS_H

#include "graph/graph.h"

/* ---- Names of states (names.c) -------------------------------------------------------------------------------------------------- */

aval_value *aval__names_find(const struct aval__graph_names *names, const char *name);
int aval__names_add(struct aval__graph_names **names, aval_value *state); /* under state->name */
void aval__names_remove(struct aval__graph_names **names, const char *name);
void aval__names_release(struct aval__graph_names **names);

/* ---- Memory that can be given back (memory.c) -------------------------------------------------------------------------------------- */

void *aval__graph_take(aval_graph *g, size_t bytes); /* zeroed */
void aval__graph_give(aval_graph *g, const void *memory, size_t bytes); /* NULL: nothing */
char *aval__graph_take_text(aval_graph *g, const char *text); /* a copy */
void aval__graph_give_text(aval_graph *g, const char *text);
/* A record that is zero but for its id. */
int aval__graph_value_record(aval_graph *g, aval_value **out);
int aval__graph_node_record(aval_graph *g, aval_node **out);
/* Marks as dead, a node with its outputs, and keeps their memory for others. */
void aval__graph_drop_value(aval_value *value);
void aval__graph_drop_node(aval_node *node);

/* ---- Building (graph.c) ----------------------------------------------------------------------------------------------------------- */

/* The first failure of a graph sticks to it.  Returns `code`. */
int aval__graph_stick(aval_graph *g, int code);
/* A node with room for n_outputs outputs, which are NULL yet. */
int aval__node_make(aval_graph *g, aval__node_kind kind, const aval__opdef *def, aval_value *const *inputs, size_t n_inputs,
                    size_t n_outputs, aval_node **out);
/* A fresh value that is output `port` of `node`. */
int aval__node_add_output(aval_node *node, size_t port, const aval_tensor *tensor, aval_value **out);
int aval__node_rename(aval_node *node, const char *name);

/* The tensors of values as an array, NULL for absent ones: what plugin functions are called with. */
typedef struct aval__tensors {
    const aval_tensor **at;
    const aval_tensor *few[16];
} aval__tensors;
int aval__tensors_of(aval__tensors *t, aval_value *const *values, size_t n);
void aval__tensors_release(aval__tensors *t);

/* ---- Order and shapes (order.c, infer.c, content.c) ---------------------------------------------------------------------------------- */

/* As aval__graph_order, without what states ask for: for drawing and for shapes while the graph is being built. */
int aval__graph_order_links(const aval_graph *g, aval_value *const *wanted, size_t n_wanted, aval_node ***order, size_t *count);
/* "Conv", "gradient" or "loop". */
const char *aval__node_op_name(const aval_node *node);
/* All living nodes in an order that can be read; that of creation when the graph has a cycle (which is then worth looking at). */
int aval__graph_readable_order(const aval_graph *g, aval_node ***order, size_t *count);
/* How many outputs a node would have (aval__infer_count). */
size_t aval__graph_count_outputs(const aval__opdef *def, const aval__attrs *attrs, aval_value *const *inputs, size_t n_inputs);
/* Need that input have no shape, since the op's body may not use it? */
bool aval__node_is_lazy(const aval_node *node, size_t input);
/* Infers one node; unknown contents are AVAL_E_CONTENT. */
int aval__node_infer(aval_node *node);
/* Infers all again after links were changed; what does not fit (yet) becomes unknown. */
void aval__graph_refresh(aval_graph *g);

/* An input whose content the result does not depend on. */
bool aval__node_reads_shape_only(const aval_node *node, size_t input);
/* Content of a value in its element type when the host knows it or can compute it, else *data is NULL.  In a planning copy what was
   computed stays known; elsewhere it lives until aval__contents_release. */
typedef struct aval__contents {
    aval__arena arena;
    AVAL__VEC(aval_value *) made;
} aval__contents;
int aval__contents_get(aval__contents *contents, aval_value *value, const void **data);
void aval__contents_release(aval__contents *contents);
/* Computes all outputs of a node whose inputs' data are known; data[i] is made in the arena. */
int aval__node_compute(aval__arena *arena, const aval_node *node, const void *data[AVAL_MAX_PORTS]);

/* ---- Expansion (splice.c, body.c, backward.c, roles.c, sweep.c) ----------------------------------------------------------------------- */

/* Hands the identity of values made by an expansion to values that were there before: ids and readers of the old value stay valid. */
typedef struct aval__splice {
    aval_graph *g;
    size_t first_node, first_value; /* of the expansion */
    AVAL__VEC(aval_value *) heir; /* by value id - first_value: who took its place */
} aval__splice;
/* `old`, and whoever reads it, gets what makes `fresh`, which is gone. */
void aval__value_take_over(aval_value *fresh, aval_value *old);
void aval__splice_begin(aval__splice *s, aval_graph *g);
/* `old` becomes what `fresh` is: it takes over a value that this expansion made, else it gets a copy by a node of role CAST. */
int aval__splice_give(aval__splice *s, aval_value *fresh, aval_value *old);
/* Lets the expansion's nodes read the heirs; releases. */
void aval__splice_end(aval__splice *s);

bool aval__has_own_backward(const aval__opdef *def);
/* Expands those that `wanted` need and that use only some of their inputs: from then on nobody needs what leads to the others. */
int aval__bodies_expand_lazy(aval_graph *g, aval_value *const *wanted, size_t n_wanted);
/* Expands the bodies among the nodes from index `first` on. */
int aval__bodies_expand_from(aval_graph *g, size_t first, bool all);
/* Runs the backward body of a node; gradients[i] is wanted when wanted[i], and is written.  upstream[i] may be NULL. */
int aval__backward_body_run(aval_graph *g, aval_node *node, aval_value *const *upstream, const bool *wanted, aval_value **gradients);

/* The inputs of a backward node (backward.c): how many, filling them, and the places for partial sums. */
size_t aval__backward_slots(const aval_node *forward);
void aval__backward_fill(aval_node *node, aval_value *const *upstream);
bool aval__backward_accumulates(const aval_node *node, size_t i);
void aval__backward_set_base(aval_node *node, size_t i, aval_value *base);

/* Nodes of roles: each returns its result in *out. */
int aval__role_add(aval_graph *g, aval_value *a, aval_value *b, aval_value **out);
int aval__role_fill(aval_graph *g, const aval_tensor *shape, double number, aval_value **out);
int aval__role_cast(aval_graph *g, aval_value *x, int type, aval_value **out);
int aval__role_reshape(aval_graph *g, aval_value *x, const aval_tensor *shape, aval_value **out);
int aval__role_transpose(aval_graph *g, aval_value *x, const int64_t *perm, aval_value **out); /* a number for each axis of x */
/* Sums x over the axes along which `shape` was broadcast to it. */
int aval__role_unbroadcast(aval_graph *g, aval_value *x, const aval_tensor *shape, aval_value **out);

/* Answers requests that have `of` and upstream in common by one reverse sweep. */
int aval__sweep_run(aval_graph *g, aval_node *const *requests, size_t n_requests, bool strict);

#endif
