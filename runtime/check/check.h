/* Checks made from the operators' samples: forward and backward on devices against the host's referee, and against each other.
 *
 *     sample -> case (a graph of one node with its contents) -> each device: outputs, gradients      compared element by element
 *                                                            -> referee:     outputs, differences */
#ifndef AVAL_CHECK_H
#define AVAL_CHECK_H

#include "exec/exec.h"

/* How two tensors are compared: |found - expected| <= atol + rtol * scale, where an element's scale is the larger of |expected|, the
   tensor's `least_scale` and its entry in `scales` (may be NULL).  A NaN on one side only fails; infinities must be equal. */
typedef struct aval__tolerance {
    double atol, rtol, least_scale;
    const double *scales;
} aval__tolerance;

typedef struct aval__difference {
    double error; /* the largest, in units of the tolerance; infinity for a NaN on one side */
    size_t worst; /* its element */
    size_t compared;
} aval__difference;

/* true: all within the tolerance. */
bool aval__check_compare(const double *found, const double *expected, size_t count, const aval__tolerance *tolerance,
                         aval__difference *difference);
/* A unit in the last place of x as `type` stores it; 0: x is not finite, or the type is none that computes (float, double, half). */
double aval__check_unit(double x, int type);
/* |found - expected| in units in the last place of `expected` as `type` stores it; of integers, the plain difference. */
double aval__check_ulps(double found, double expected, int type);

#endif
