/* Arrays as commands on models need them. */
#ifndef AVAL_CLI_ARRAYS_H
#define AVAL_CLI_ARRAYS_H

#include "cli.h"

/* From .npy or TensorProto; or, of an archive (FILE.npz), the array of this name or the only one that there is.  The data is for aval_free. */
int cli_array_read(const char *file, const char *name, aval_array *array);
/* What the last run computed; the data is for aval_free. */
int cli_array_of(aval_session *s, const aval_value *value, aval_array *array);
/* Can a file of `file_type` hold a tensor of `type`?  ONNX's cases keep bfloat16 as the uint16 of its bits. */
bool cli_types_agree(int type, int file_type);
/* Same type, same shape, equal integers, and numbers within ONNX's own tolerance; NaN equals NaN.  `why` says where they differ. */
bool cli_arrays_agree(const aval_array *found, const aval_array *expected, const char *what, char *why, size_t bytes);

#endif
