/* ONNX's backend test cases, for the files cli/test_onnx*.c. */
#ifndef AVAL_CLI_TEST_ONNX_H
#define AVAL_CLI_TEST_ONNX_H

#include "cli.h"

#include <limits.h>

/* Where it is written why a case is not passed. */
typedef struct onnx_reason {
    char *text;
    size_t bytes;
} onnx_reason;

/* A path that is too long is cut off, and then found nowhere. */
__attribute__((format(printf, 2, 3))) void onnx_case_path(char path[PATH_MAX], const char *format, ...);
bool onnx_case_is_there(const char *path);

/* The case of a folder with model.onnx and test_data_set_N.  With `round_trip` the model is also written (to `keep`, or, where that is NULL, for a moment) and read again.  0, or the aval_status
   of what stopped it: AVAL_E_CHECK where results differ. */
int onnx_case_run(aval_context *ctx, const char *folder, bool round_trip, const char *keep, const onnx_reason *why);
/* A model NAME.onnx beside its expected outputs NAME_output_N.pb, on the inputs that ONNX's runner makes up for such. */
int onnx_case_run_lone(aval_context *ctx, const char *file, const onnx_reason *why);

#endif
