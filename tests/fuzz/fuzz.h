/* What libFuzzer calls: each fuzz_*.c of this folder is one format.  Linked with replay.c instead, a target runs over files: that is how the
 * corpus is held by the ordinary tests, with any compiler. */
#ifndef AVAL_FUZZ_H
#define AVAL_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* A status that is negative must have left a message that says something, and must be no broken invariant: else the process aborts. */
void fuzz_expect_message(int status);

#endif
