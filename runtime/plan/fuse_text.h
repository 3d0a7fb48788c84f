/* What writes the text of a cluster's kernel, between the files that do.  Private to them. */
#ifndef AVAL_PLAN_FUSE_TEXT_H
#define AVAL_PLAN_FUSE_TEXT_H

#include "plan/fuse.h"

struct aval__temporary {
    uint64_t hash;
    int type;
};

struct aval__spelled {
    const aval_value *value;
    const char *text; /* "x3", "t17" */
    int arithmetic;
};

typedef struct aval__generator {
    const aval__cluster *cluster;
    const aval__grid *grid; /* of a tail; NULL: none */
    bool head; /* for the kernels of another node; else, without a grid, a kernel of its own */
    bool rows; /* the same, whose rows these write */
    const aval_device_info *device;
    aval__arena *arena;
    aval__text parameters, names, places, body, result, rounded; /* names: of the parameters; places: of a head, where a run begins */
    aval__fused_args args;
    AVAL__VEC(struct aval__temporary) temporaries;
    AVAL__VEC(struct aval__spelled) spelled; /* by use: inputs first, then what nodes computed */
    aval__fused_axes axes;
    uint64_t held; /* inputs whose elements for a row are in private memory, as h<i> */
    bool doubles, smalls;
    const aval_node *node; /* the one being written */
    size_t node_index; /* in the cluster */
    int type; /* its arithmetic */
    size_t first_attr; /* args from here on are the node's attributes */
    AVAL__VEC(uint32_t) attrs; /* declared index of each of them */
    int status;
} aval__generator;

/* From here on `text` is how the value is spelled, in the arithmetic type. */
void aval__fused_spell(aval__generator *g, const aval_value *value, const char *text, int arithmetic);
void aval__fused_push_arg(aval__generator *g, aval__fused_arg arg);
/* A parameter "<type><letter><number>" and the argument for it. */
void aval__fused_parameter(aval__generator *g, const char *type, const char *letter, size_t number, aval__fused_arg arg);
/* All nodes, of inputs that are spelled already; what they give is spelled then. */
void aval__fused_nodes(aval__generator *g);

#endif
