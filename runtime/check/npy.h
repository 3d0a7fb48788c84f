/* Tensors as NumPy's .npy files (format version 1.0), for the folders that failures leave.  Private to check. */
#ifndef AVAL_CHECK_NPY_H
#define AVAL_CHECK_NPY_H

#include "op/op.h"

int aval__npy_write(const char *file, const aval__host_tensor *t);
/* The file must hold what `shape` says: type and dimensions.  *out is made. */
int aval__npy_read(const char *file, const aval_tensor *shape, aval__host_tensor *out);

#endif
