/* What the files runtime/model/onnx_write*.c share: a graph becomes an ONNX file.  All of it is built in an arena as the messages of
 * onnx.proto, then packed. */
#ifndef AVAL_MODEL_ONNX_WRITE_H
#define AVAL_MODEL_ONNX_WRITE_H

#include "model/onnx.h"

#define ONNX_TRAINING_DOMAIN "ai.onnx.preview.training"
#define ONNX_NEWEST 21 /* operator set that is written where nothing asks for an older one */

typedef Aval__Onnx__ValueInfo onnx_info;
typedef AVAL__VEC(onnx_node *) onnx_node_list;

/* Of the whole file. */
typedef struct onnx_written {
    aval__arena arena;
    onnx_names taken; /* a name can be seen in all graphs within its own, so none is there twice */
    AVAL__VEC(const aval_node *) all; /* that were written, in graphs within others too */
    uint32_t least; /* operator set that has what they are written as */
    aval__text foreign; /* operators that ONNX has not */
} onnx_written;

/* A graph that is being written: the model's, or that of a loop's turn. */
typedef struct onnx_writer {
    onnx_written *file;
    const aval_graph *g;
    const char **name_of; /* by value id; NULL: not needed */
    bool *used; /* by value id: a written node reads it, or it is an output */
    aval_node **order; /* of the needed nodes */
    size_t n_order;
    onnx_node_list *nodes; /* where the next one goes */
} onnx_writer;

/* ---- Graphs (onnx_write_graph.c) ------------------------------------------------------------------------------------------------------ */

/* Finds the nodes that these values need.  Ends with onnx_writer_end, on failure too. */
int onnx_writer_start(onnx_writer *w, aval_value *const *wanted, size_t n_wanted);
void onnx_writer_end(onnx_writer *w);
/* `wish`, or where that is taken, something like it. */
int onnx_take_name(onnx_writer *w, const char *wish, uint32_t id, const char **out);
bool onnx_is_taken(const onnx_writer *w, const char *name);
/* The value's name, unless it has one; `wish` may be NULL. */
int onnx_name_value(onnx_writer *w, const aval_value *value, const char *wish);
/* The same of what the nodes read that none computes, and of what they compute. */
int onnx_name_sources(onnx_writer *w);
int onnx_name_results(onnx_writer *w);
/* What the values need, in w->nodes; names are there. */
int onnx_write_nodes(onnx_writer *w, aval_value *const *wanted, size_t n_wanted);

/* ---- Nodes (onnx_write_node.c, onnx_write_loop.c, onnx_write_gradient.c) ------------------------------------------------------------------ */

/* The node as ONNX spells it. */
int onnx_write_node(onnx_writer *w, const aval_node *node);
int onnx_write_loop(onnx_writer *w, const aval_node *node);
int onnx_write_gradient(onnx_writer *w, const aval_node *node);
/* The domain that a file gives the operator. */
const char *onnx_domain_of(const aval__opdef *def);
/* Is that input an attribute in ONNX? */
bool onnx_is_tensor_attribute(const aval_node *node, size_t input);
/* A node that is not in the list yet, with room for so many names and attributes; NULL: out of memory. */
onnx_node *onnx_new_node(onnx_writer *w, const char *op, size_t inputs, size_t outputs, size_t attributes);
void onnx_put_input(onnx_node *node, const char *name);
void onnx_put_output(onnx_node *node, const char *name);
/* NULL: out of memory. */
onnx_attribute *onnx_put_attribute(onnx_writer *w, onnx_node *node, const char *name, onnx_attribute_type type);
int onnx_put_graph(onnx_writer *w, onnx_node *node, const char *name, const onnx_graph *graph);
/* A copy of a value under another name. */
int onnx_write_identity(onnx_writer *w, const char *from, const char *to);
/* A node that gives a constant. */
int onnx_write_constant(onnx_writer *w, const char *name, const aval_tensor *shape, const void *data);

/* ---- Shapes (onnx_write_axes.c) -------------------------------------------------------------------------------------------------------- */

/* Names of dimensions, by axis; NULL: none. */
typedef struct onnx_axes {
    const char *at[AVAL_MAX_RANK];
} onnx_axes;
/* Types of values of the model's graph, as aval__onnx_output_types finds them, and what their free dimensions are called. */
int onnx_find_types(onnx_writer *w, const aval__onnx_port *ports, size_t count, aval_tensor *types, onnx_axes *names);
/* What a free dimension of a value (NULL: any) is called that has this name in the file.  NULL: out of memory. */
const char *onnx_axis_name(onnx_writer *w, const aval_value *value, const char *name, int32_t axis);

/* ---- Tensors and types (onnx_write_types.c) --------------------------------------------------------------------------------------------- */

/* NULL: out of memory.  `data` must stay until all is packed. */
onnx_tensor *onnx_write_tensor(onnx_writer *w, const aval_tensor *shape, const void *data);
/* Free dimensions that `axes` (may be NULL) has no name for are called after the value. */
int onnx_write_type(onnx_writer *w, const char *name, const aval_tensor *t, const onnx_axes *axes, onnx_info **out);

#endif
