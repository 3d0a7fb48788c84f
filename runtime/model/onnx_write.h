/* What the files runtime/model/onnx_write*.c share: a graph becomes an ONNX file.  All of it is built in an arena as the messages of
 * onnx.proto, then packed. */
#ifndef AVAL_MODEL_ONNX_WRITE_H
#define AVAL_MODEL_ONNX_WRITE_H

#include "model/onnx.h"

#define ONNX_NEWEST 21 /* operator set that is written where nothing asks for an older one */

typedef struct onnx_writer {
    const aval_graph *g;
    aval__arena arena;
    const char **name_of; /* by value id; NULL: not needed */
    onnx_names taken; /* the same names */
    bool *used; /* by value id: a written node reads it, or it is an output */
    aval_node **order; /* of the needed nodes */
    size_t n_order;
    AVAL__VEC(onnx_node *) nodes;
    AVAL__VEC(onnx_tensor *) initializers;
    AVAL__VEC(Aval__Onnx__ValueInfo *) inputs, outputs;
    AVAL__VEC(onnx_operator_set *) opsets;
    aval__text foreign; /* operators that ONNX has not */
} onnx_writer;

/* The node as ONNX spells it (onnx_write_node.c). */
int onnx_write_node(onnx_writer *w, const aval_node *node);
/* Is that input an attribute in ONNX? */
bool onnx_is_tensor_attribute(const aval_node *node, size_t input);
/* A copy of a value under another name. */
int onnx_write_identity(onnx_writer *w, const char *from, const char *to);

/* A node that gives a constant. */
int onnx_write_constant(onnx_writer *w, const char *name, const aval_tensor *shape, const void *data);
/* NULL: out of memory.  `data` must stay until all is packed. */
onnx_tensor *onnx_write_tensor(onnx_writer *w, const aval_tensor *shape, const void *data);

int onnx_write_type(onnx_writer *w, const char *name, const aval_tensor *t, Aval__Onnx__ValueInfo **out);

#endif
