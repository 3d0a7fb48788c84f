/* Abilities of the plugin ABI (host->extension): an input that elementwise operators make, and that nobody else reads, need not be written to
 * memory.  The kernels that read it compute it instead, element by element: it is their head. */
#ifndef AVAL_HEADS_H
#define AVAL_HEADS_H

#include "aval/plugin.h"

#define AVAL_HEADS "heads.1"

/* Of AVAL_PHASE_FORWARD.  The layout never changes: a later one has another name. */
typedef struct aval_heads {
    /* Asks that launches which read input t, whose port is AVAL_HEADED, compute it: what else is made with it is written too where the port is
       AVAL_READ_ONCE, and else computed apart, so that launches may read few elements of t.  They read it in runs of `run` neighbouring elements, each from
       a multiple of `run` on, or one element at a time (1).
       1: so it is.  Launches that name t as AVAL_READ are built with the head's text before the kernel file, in which HEAD is 1, and get its
       arguments after their own: kernels read t as kernels/head.clh says, and find nothing behind the pointer and offset that stand for it.
       0: t is read from memory, by kernels without a head; negative: the call failed.  What copies t or multiplies by it finds it in memory either
       way, and a call that asks for nothing does too. */
    int (*take)(aval_call *call, const aval_tensor *t, int64_t run);
} aval_heads;

#define AVAL_ROW_HEADS "row_heads.1"

/* The same for kernels that read a row more than once: they write it themselves before they read it, from where it is in the nearest cache, and so
   save a launch and the way to memory, even where others read it after them.  Of AVAL_PHASE_FORWARD. */
typedef struct aval_row_heads {
    /* Asks that the next launch which names input t as AVAL_READ makes it; the port is AVAL_ROW_HEADED.  `over`, which may be NULL: an output of t's
       size, written by this launch for the first time, in whose place t may lie where nobody else reads it; each of its elements is written when
       the same element of t is not needed any more.
       1: so it is.  The launch is built with a text before the kernel file by which HEAD_ROWS of kernels/head_rows.clh makes elements of t, and gets
       its arguments after its own.  Each element is to be made once, by the work-group that reads it, before it is read.
       0: t is in memory before the launch; negative: the call failed. */
    int (*take)(aval_call *call, const aval_tensor *t, const aval_tensor *over);
} aval_row_heads;

#endif
