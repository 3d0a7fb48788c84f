/* An ability of the plugin ABI (host->extension): an input that elementwise operators make, and that nobody else reads, need not be written to
 * memory.  The kernels that read it compute it instead, element by element: it is their head. */
#ifndef AVAL_HEADS_H
#define AVAL_HEADS_H

#include "aval/plugin.h"

#define AVAL_HEADS "heads.1"

/* Of AVAL_PHASE_FORWARD.  The layout never changes: a later one has another name. */
typedef struct aval_heads {
    /* Asks that launches which read input t, whose port is AVAL_HEADED, compute it.  They read it in runs of `run` neighbouring elements, each from
       a multiple of `run` on, or one element at a time (1).
       1: so it is.  Launches that name t as AVAL_READ are built with the head's text before the kernel file, in which HEAD is 1, and get its
       arguments after their own: kernels read t as kernels/head.clh says, and find nothing behind the pointer and offset that stand for it.
       0: t is read from memory, by kernels without a head; negative: the call failed.  What copies t or multiplies by it finds it in memory either
       way, and a call that asks for nothing does too. */
    int (*take)(aval_call *call, const aval_tensor *t, int64_t run);
} aval_heads;

#endif
