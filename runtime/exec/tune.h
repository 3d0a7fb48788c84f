/* What planning meets on the way that tuning measures: products (tune.c), and nodes whose work-groups may be chosen (groups.c).  Private to
 * exec. */
#ifndef AVAL_EXEC_TUNE_H
#define AVAL_EXEC_TUNE_H

#include "device/tuning.h"
#include "exec/known.h"

typedef struct aval__met_product {
    uint32_t device;
    aval_gemm gemm;
    aval_patches patches;
    int type;
    char class[AVAL__CLASS_LENGTH];
} aval__met_product;

typedef struct aval__met_node {
    uint32_t device;
    const aval__opdef *def;
    aval__known k; /* the node alone, as large as it was met */
    char class[AVAL__CLASS_LENGTH];
} aval__met_node;

struct aval__met {
    AVAL__VEC(aval__met_product) products;
    AVAL__VEC(aval__met_node) nodes;
};

void aval__met_release(struct aval__met *met);

/* The work-groups of a node that are fastest among those whose results are right, as aval__tuning_pick_groups.  AVAL_E_UNSUPPORTED, without a
   message, where it cannot be tried. */
int aval__groups_pick(aval_context *ctx, aval__met_node *m, double seconds, aval__choice *out);

#endif
