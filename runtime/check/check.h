/* Checks made from the operators' samples: forward and backward on a device against the host's referee. */
#ifndef AVAL_CHECK_H
#define AVAL_CHECK_H

#include "exec/exec.h"

/* Compares a device's result with the referee's, element by element: |found - expected| <= atol + rtol * scale, where scale is
   |expected|, or for sums the sum of magnitudes that went into it (`scale`, may be NULL).  A NaN on one side only fails, infinities must be
   equal.  *error is the largest difference in units of the tolerance, *worst its element. */
bool aval__check_compare(const double *found, const double *expected, const double *scale, size_t count, double atol, double rtol,
                         double *error, size_t *worst);

#endif
