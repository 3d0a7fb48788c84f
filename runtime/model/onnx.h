/* What the files runtime/model/onnx*.c share with each other and with nobody else: reading an ONNX model into a graph.
 *
 * A file may come from anywhere, so nothing in it is believed: every size, number and name is checked before it is used, and what may nest
 * is counted.  Two kinds of trouble are told apart: damage (AVAL_E_FORMAT) ends the reading at once; what aval cannot do is gathered, so that
 * one message lists all of it. */
#ifndef AVAL_MODEL_ONNX_H
#define AVAL_MODEL_ONNX_H

#include "model/model.h"

#include "onnx.pb-c.h"

typedef Aval__Onnx__Attribute onnx_attribute;
typedef Aval__Onnx__Function onnx_function;
typedef Aval__Onnx__Graph onnx_graph;
typedef Aval__Onnx__Model onnx_model;
typedef Aval__Onnx__Node onnx_node;
typedef Aval__Onnx__OperatorSet onnx_operator_set;
typedef Aval__Onnx__Tensor onnx_tensor;

/* The newest operator set that plugins have the forms of. */
#define ONNX_KNOWN 23
/* Functions within functions, and nodes in all that they become: more is refused, since a small file can ask for any number. */
#define ONNX_MOST_DEPTH 64
#define ONNX_MOST_NODES 1000000

/* ONNX's numbers of attribute types. */
typedef enum onnx_attribute_type {
    ONNX_FLOAT = 1,
    ONNX_INT = 2,
    ONNX_STRING = 3,
    ONNX_TENSOR = 4,
    ONNX_GRAPH = 5,
    ONNX_FLOATS = 6,
    ONNX_INTS = 7,
    ONNX_STRINGS = 8,
    ONNX_TENSORS = 9,
    ONNX_GRAPHS = 10
} onnx_attribute_type;

typedef struct onnx_reader {
    aval_graph *g;
    const char *folder; /* of the model file, for data that lies beside it */
    const onnx_model *model;
    aval__onnx_model *out;
    size_t n_nodes; /* so far */
    uint32_t forms; /* operator set whose forms nodes have that stand for what a file has no node for; 0: the newest */
    aval__text problems; /* what aval cannot do, a line each */
    size_t n_problems;
    bool blamed; /* the message of the failure names its node */
    int code; /* of the first problem that is not about something unsupported */
} onnx_reader;

/* Fields that are absent in a file are NULL. */
static inline const char *onnx_text(const char *text)
{
    return text ? text : "";
}

/* ---- Names of values (onnx_names.c) ------------------------------------------------------------------------------------------------ */

/* Values by name.  A name may stand for no value (NULL) where something was found that aval cannot do: what reads it is then left out. */
typedef struct onnx_names {
    struct onnx_name *table;
} onnx_names;
int onnx_names_add(onnx_names *names, const char *name, aval_value *value); /* AVAL_E_FORMAT: the name is taken; `name` must stay */
bool onnx_names_find(const onnx_names *names, const char *name, aval_value **value);
void onnx_names_release(onnx_names *names);

/* ---- Tensors (onnx_tensor.c) -------------------------------------------------------------------------------------------------------- */

/* Shape and content, which lies in the file's memory or in the arena.  AVAL_E_UNSUPPORTED: a type that aval does not hold. */
int onnx_tensor_read(aval__arena *arena, const char *folder, const onnx_tensor *t, aval_tensor *shape, const void **data);
/* Shape alone. */
int onnx_tensor_shape(const onnx_tensor *t, aval_tensor *shape);
/* Content of a tensor whose data lies in a file of its own; bytes as the shape says. */
int onnx_external_read(aval__arena *arena, const char *folder, const onnx_tensor *t, size_t bytes, const void **data);

/* ---- Attributes (onnx_attrs.c) -------------------------------------------------------------------------------------------------------- */

/* An attribute of a node, with references to those of the function around it resolved. */
typedef struct onnx_attr {
    const char *name;
    const onnx_attribute *content;
} onnx_attr;

typedef struct onnx_attrs {
    const onnx_attr *at;
    size_t count;
} onnx_attrs;

int onnx_attribute_type_of(const onnx_attribute *a); /* onnx_attribute_type, also of old files that do not say it; 0: none */
const onnx_attribute *onnx_attrs_find(const onnx_attrs *attrs, const char *name); /* NULL: absent */
/* As an attribute text of the op.  AVAL_E_UNSUPPORTED for the first attribute that the op does not have. */
int onnx_attrs_text(const onnx_attrs *attrs, const aval_op *op, aval__text *out);
/* Where an operator that draws random numbers is given no seed, this number is it: nodes draw numbers of their own, each time the same. */
int onnx_attrs_seed(const onnx_attrs *attrs, const aval_op *op, size_t number, aval__text *out);

/* ---- Nodes (onnx_node.c, onnx_function.c, onnx_subgraph.c) -------------------------------------------------------------------------------------------- */

/* The place in which nodes stand: the model's graph, a call of a function, or a graph that is an attribute of a node. */
typedef struct onnx_scope {
    onnx_names names;
    struct onnx_scope *outer; /* whose names can be seen too: around an attribute's graph; else NULL */
    struct onnx_loop_body *body; /* of a loop: what it reads from around it becomes an input of its own; else NULL */
    const char *path; /* before the names of nodes and values: "" in the graph, "call/" in a function */
    onnx_operator_set *const *opsets; /* that the names of operators are of */
    size_t n_opsets;
    onnx_attrs given; /* attributes of the function's call */
    unsigned depth;
} onnx_scope;

/* The value that a name stands for in a scope or around it; AVAL_E_UNKNOWN without a message: none.  NULL: one that could not be made. */
int onnx_find_value(onnx_reader *r, onnx_scope *scope, const char *name, aval_value **value);
/* Brings a value from around a loop's body into its graph (onnx_loop.c). */
int onnx_capture(onnx_reader *r, struct onnx_loop_body *body, aval_value *outer, aval_value **inner);
/* Remembers that something cannot be done.  aval_error() says what; `code` is that of the failure.  0, or AVAL_E_MEMORY. */
int onnx_problem(onnx_reader *r, int code);
/* The version of an operator set that a scope uses; 0: none. */
int64_t onnx_version_of(const onnx_scope *scope, const char *domain);
/* The definition that a node means; NULL: none is loaded. */
const aval__opdef *onnx_definition(const onnx_reader *r, const onnx_scope *scope, const onnx_node *node);
int onnx_add_nodes(onnx_reader *r, onnx_scope *scope, onnx_node *const *nodes, size_t count);
/* "outer/node/": before the names of what a node becomes.  In the arena; NULL: out of memory. */
const char *onnx_path_within(onnx_reader *r, const onnx_scope *scope, const onnx_node *node, const char *part);
/* A node of the graph; `outputs` takes the first n.  In the operator's newest form, or in that of a version, so that the model can be written in
   the version that it was read with. */
int onnx_make_form(onnx_reader *r, const char *op, uint32_t version, const char *attrs, aval_value *const *inputs, size_t n_inputs,
                   aval_value **outputs, size_t n);
int onnx_make(onnx_reader *r, const char *op, const char *attrs, aval_value *const *inputs, size_t n_inputs, aval_value **outputs,
              size_t n);
int onnx_name_outputs(onnx_scope *scope, const onnx_node *node, aval_value *const *outputs); /* NULL: none could be made */

/* What nodes become whose attributes are graphs or name values; NULL: the operator is none of these. */
typedef int (*onnx_control)(onnx_reader *r, onnx_scope *scope, const onnx_node *node, const onnx_attrs *attrs, aval_value *const *inputs,
                            aval_value **outputs);
onnx_control onnx_control_of(const onnx_node *node);
int onnx_add_loop(onnx_reader *r, onnx_scope *scope, const onnx_node *node, const onnx_attrs *attrs, aval_value *const *inputs,
                  aval_value **outputs);
int onnx_add_scan(onnx_reader *r, onnx_scope *scope, const onnx_node *node, const onnx_attrs *attrs, aval_value *const *inputs,
                  aval_value **outputs);
int onnx_add_gradient(onnx_reader *r, onnx_scope *scope, const onnx_node *node, const onnx_attrs *attrs, aval_value *const *inputs,
                      aval_value **outputs);
/* For those with graphs: the graph of an attribute, and what its outputs are called. */
int onnx_graph_of(onnx_reader *r, const onnx_attrs *attrs, const char *name, const onnx_graph **out);
int onnx_take_outputs(onnx_reader *r, onnx_scope *inner, const onnx_graph *graph, aval_value **outputs, size_t n_outputs);

/* The function of the model that a node means; NULL: it is no call. */
const onnx_function *onnx_function_of(const onnx_reader *r, const onnx_node *node);
int onnx_call(onnx_reader *r, const onnx_scope *scope, const onnx_node *node, const onnx_function *function, const onnx_attrs *attrs,
              aval_value *const *inputs, size_t n_inputs, aval_value **outputs);

/* ---- Shapes that are not known yet (onnx_trial.c) --------------------------------------------------------------------------------------------- */

/* Finds what cannot be done whatever is fed, and tells it as a problem. */
int onnx_try_shapes(onnx_reader *r);

/* ---- Initializers (onnx_content.c) ----------------------------------------------------------------------------------------------------- */

/* The names of values of the graph from which shapes may be computed: small initializers with such names become constants. */
int onnx_content_names(const onnx_reader *r, const onnx_scope *scope, const onnx_graph *graph, onnx_names *out);
int onnx_add_initializers(onnx_reader *r, onnx_scope *scope, const onnx_graph *graph);
/* A message of the file that stands in another as bytes; kept until the file is forgotten. */
int onnx_unpack_graph(onnx_reader *r, const ProtobufCBinaryData *bytes, const onnx_graph **out);

#endif
