/* What goes between the judge of a model check and the processes that run the model: a command, and named tensors in their own element type, so
 * that equal bits stay equal. */
#ifndef AVAL_CHECK_BUNDLE_H
#define AVAL_CHECK_BUNDLE_H

#include "op/op.h"

typedef enum aval__piece_role {
    AVAL__PIECE_VALUE, /* a result of the step */
    AVAL__PIECE_STATE, /* a state: before the step in a request, after it in an answer */
    AVAL__PIECE_OWN_VALUE, /* of the device's own training, whose states are never set */
    AVAL__PIECE_OWN_STATE,
    AVAL__PIECE_TRACED, /* a value as a launch left it */
    AVAL__PIECE_GRADIENT, /* what aval_check_gradient found: aval__gradient_numbers as doubles */
    AVAL__PIECE_SOURCE /* a program: its text as bytes, with the 0 behind it; `launch` has its build options */
} aval__piece_role;

typedef struct aval__piece {
    int32_t role; /* aval__piece_role */
    int64_t number; /* traced: of the value in the plan */
    int64_t id; /* of the value in the user's graph; -1: planning made it */
    char *name;
    char *launch; /* traced: what made it; of a source: its build options; else "" */
    double reach; /* traced: the largest magnitude that the launch has read, as far as it is known */
    aval_tensor shape;
    void *data;
} aval__piece;

typedef enum aval__model_command { AVAL__MODEL_STEP, AVAL__MODEL_TRACE, AVAL__MODEL_GRADIENTS, AVAL__MODEL_SOURCES } aval__model_command;

/* The numbers of a piece that is a gradient. */
typedef struct aval__gradient_numbers {
    double compared, error, worst, found, expected;
} aval__gradient_numbers;

typedef struct aval__bundle {
    int32_t command; /* of a request; aval__model_command */
    uint64_t step;
    int32_t last; /* of a request: 1 with the last step */
    char *differs; /* of an answer: the first result whose bits a second run did not repeat; NULL or "": all were repeated */
    AVAL__VEC(aval__piece) pieces;
} aval__bundle;

/* Adds a piece with room for its content, which the caller fills; NULL: no memory.  Valid until the next one is added. */
aval__piece *aval__bundle_add(aval__bundle *b, aval__piece_role role, const char *name, const aval_tensor *shape);
/* The piece of that role and name, or (traced) of that number; NULL: there is none. */
const aval__piece *aval__bundle_find(const aval__bundle *b, aval__piece_role role, const char *name);
const aval__piece *aval__bundle_find_number(const aval__bundle *b, int64_t number);
/* Copies of all pieces of one role into another bundle. */
int aval__bundle_copy(aval__bundle *to, const aval__bundle *from, aval__piece_role role);
void aval__bundle_release(aval__bundle *b);

/* *bytes is for aval__free. */
int aval__bundle_pack(const aval__bundle *b, void **bytes, size_t *size);
int aval__bundle_unpack(const void *bytes, size_t size, aval__bundle *b);

/* Its elements as doubles; for aval__free. */
double *aval__piece_reals(const aval__piece *piece);
bool aval__piece_same_bits(const aval__piece *a, const aval__piece *b);

#endif
