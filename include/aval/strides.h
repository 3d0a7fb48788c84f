/* An ability of the plugin ABI (host->extension): an output that has an input's elements in another order need not be written where all who read it
 * can do with that. */
#ifndef AVAL_STRIDES_H
#define AVAL_STRIDES_H

#include "aval/plugin.h"

#define AVAL_STRIDES "strides.1"

/* Both are of AVAL_PHASE_FORWARD.  The layout never changes: a later one has another name. */
typedef struct aval_strides {
    /* Output t is to be the elements of input `of` from element `offset` on, `strides` (one an axis of t, in elements) apart: no launch, no bytes.
       1: so it is; 0: somebody reads t who must find it row-major, or it is no batch of matrices as below: write it; negative: the call failed. */
    int (*alias)(aval_call *call, const aval_tensor *t, const aval_tensor *of, int64_t offset, const int64_t *strides);
    /* Of an input whose port is AVAL_STRIDED: elements from one index of each axis to the next, valid as long as the tensor; NULL: it is row-major.
       Else it is a batch of matrices: of its last two axes, both longer than 1, one has neighbours, and the other is at least as far apart as
       that one is long; axes before that are longer than 1 move evenly, as one axis would.  Backward never meets such an input. */
    const int64_t *(*of)(const aval_call *call, const aval_tensor *t);
} aval_strides;

#endif
