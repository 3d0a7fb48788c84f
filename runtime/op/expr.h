/* Expressions inside: the flat form, the table of operations and the builder.  Private to runtime/op.
 *
 * An aval__expr is a tape: a list of nodes in which each reads only nodes before it, the last being the result.  A subtree that is used
 * twice is one node, so that a derivative of a derivative grows with the number of distinct parts and not with the number of paths
 * to them, and every walk is one loop.  Equal nodes are found while a tape is built (aval__builder); a finished tape never changes. */
#ifndef AVAL_OP_EXPR_H
#define AVAL_OP_EXPR_H

#include "op/op.h"

typedef enum aval__kind {
    AVAL__X_NUMBER,
    AVAL__X_LEAF,
    AVAL__X_NEG,
    AVAL__X_NOT,
    AVAL__X_INVERT,
    AVAL__X_ADD,
    AVAL__X_SUB,
    AVAL__X_MUL,
    AVAL__X_DIV,
    AVAL__X_LT,
    AVAL__X_LE,
    AVAL__X_GT,
    AVAL__X_GE,
    AVAL__X_EQ,
    AVAL__X_NE,
    AVAL__X_SHIFT_LEFT,
    AVAL__X_SHIFT_RIGHT,
    AVAL__X_BIT_AND,
    AVAL__X_BIT_XOR,
    AVAL__X_BIT_OR,
    AVAL__X_AND,
    AVAL__X_OR,
    AVAL__X_SELECT, /* a ? b : c */
    AVAL__X_POW, /* the one function that is simplified by name */
    AVAL__X_FUNCTIONS /* all later rows of the table are functions too */
} aval__kind;

/* How tightly operators bind, as in C. */
typedef enum aval__binding {
    AVAL__B_CHOICE = 1,
    AVAL__B_OR,
    AVAL__B_AND,
    AVAL__B_BIT_OR,
    AVAL__B_BIT_XOR,
    AVAL__B_BIT_AND,
    AVAL__B_EQUAL,
    AVAL__B_ORDER,
    AVAL__B_SHIFT,
    AVAL__B_SUM,
    AVAL__B_PRODUCT,
    AVAL__B_UNARY,
    AVAL__B_ATOM /* names, numbers, functions */
} aval__binding;

#define AVAL__X_ARGS 3 /* most operands of an operation */
/* Most nodes of a finished tape: what evaluation keeps on the stack, 64 KiB.  A tenth derivative of tanh has a few hundred. */
#define AVAL__X_MOST 8192

typedef struct aval__expr_node {
    uint32_t kind;
    uint32_t arg[AVAL__X_ARGS]; /* indices of earlier nodes; those beyond the arity are 0 */
    aval__leaf leaf; /* LEAF */
    double number; /* NUMBER */
} aval__expr_node;

struct aval__expr {
    uint32_t count; /* at least 1 */
    aval__expr_node at[];
};

/* What is known of an operation.  `code` is OpenCL C for float and double, `int_code` for integer types, signed and unsigned; $0 $1 $2 are
   the operands, $T the type, $U the unsigned type of that width.  No int_code: computed as float and converted.  `by` are the derivatives
   by the operands, in the grammar, where a b c are the operands and y is the result; NULL: 0. */
typedef struct aval__operation {
    const char *name; /* function name, or the operator's symbol */
    uint32_t arity;
    uint32_t binds; /* aval__binding */
    double (*real)(const double *a);
    int64_t (*integer)(const int64_t *a); /* NULL: through `real` */
    int64_t (*natural)(const int64_t *a); /* the same on the bits of uint64; NULL: `integer` does it */
    const char *code, *int_code;
    const char *by[AVAL__X_ARGS];
} aval__operation;

extern const aval__operation aval__operations[]; /* by aval__kind */
extern const uint32_t aval__operation_count;
/* double to int64, or with `natural` to the bits of uint64, as devices with saturation do it: towards zero, NaN is 0. */
int64_t aval__saturate(double x, bool natural);

/* ---- Building a tape ------------------------------------------------------------------------------------------------------------ */

/* Nodes so far, each distinct one once.  The first failure is kept in `status`; after it all calls return 0 and do nothing. */
typedef struct aval__builder {
    AVAL__VEC(aval__expr_node) nodes;
    uint32_t *table; /* open addressing: 1 + index of a node, 0: empty; a power of two, at most half full */
    size_t table_size;
    int status;
} aval__builder;

void aval__builder_release(aval__builder *b);
uint32_t aval__build_number(aval__builder *b, double x);
uint32_t aval__build_leaf(aval__builder *b, aval__leaf leaf);
/* The operation exactly as asked for. */
uint32_t aval__build(aval__builder *b, uint32_t kind, const uint32_t arg[AVAL__X_ARGS]);
/* The operation simplified by rules that hold for derivatives: x * 0 is 0, like terms are added, numbers are folded. */
uint32_t aval__build_simple(aval__builder *b, uint32_t kind, const uint32_t arg[AVAL__X_ARGS]);

/* Appends all nodes of `e`; what stands for a leaf is asked of `leaf`.  Returns the result's index; `map`, unless NULL, gets the new
   index of each node of e.  `simple`: by build_simple. */
uint32_t aval__build_copy(aval__builder *b, const aval__expr *e, bool simple,
                          uint32_t (*leaf)(void *user, aval__builder *b, aval__leaf leaf), void *user, uint32_t *map);
/* Parses; the result's index. */
uint32_t aval__build_parsed(aval__builder *b, const char *text, const aval__names *names);
/* The tape of what `root` needs; NULL with the message set.  Releases the builder in every case. */
const aval__expr *aval__build_finish(aval__builder *b, aval__arena *arena, uint32_t root);

#endif
