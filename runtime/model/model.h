/* Model files: reading and writing their formats, with no knowledge of sessions or devices.  So far safetensors, which the store is
 * saved as. */
#ifndef AVAL_MODEL_H
#define AVAL_MODEL_H

#include "op/op.h"

/* One tensor of a file.  Offsets within a file need not be aligned: copy `data`, never cast it. */
typedef struct aval__safetensor {
    const char *name;
    aval_tensor tensor;
    const void *data; /* aval__tensor_bytes(&tensor) bytes, row-major */
} aval__safetensor;

/* A file that was read: tensors and metadata in the order of its header. */
typedef struct aval__safetensors {
    aval__arena arena; /* names and metadata */
    void *data; /* of all tensors */
    aval__safetensor *at;
    size_t count;
    const char **metadata; /* key, value, key, value ..., NULL */
} aval__safetensors;

/* A file that is being replaced: opened beside its target (*.PID-N.part), which the rename puts in its place; release removes what was not
   renamed.  Leftovers of processes that are gone are removed when the next one is opened. */
typedef struct aval__safe_file {
    int fd; /* to be written; -1: the caller took it */
    bool made; /* `beside` is there */
    char *target, *beside;
} aval__safe_file;
int aval__safe_file_open(aval__safe_file *safe, const char *file);
int aval__safe_file_rename(aval__safe_file *safe);
void aval__safe_file_release(aval__safe_file *safe);
/* 0 when `bytes` bytes could be written there now. */
int aval__safe_file_probe(const char *file, uint64_t bytes);

/* Writes through a safe file, so that a crash leaves the old file or the new one.  `metadata` as in aval__safetensors, may be
   NULL.  AVAL_E_TYPE when the format has no name for an element type. */
int aval__safetensors_write(const char *file, const aval__safetensor *tensors, size_t count, const char *const *metadata);
/* AVAL_E_UNKNOWN: no such file; AVAL_E_FORMAT: damaged, with the first thing that is wrong.  On failure nothing has to be released. */
int aval__safetensors_read(const char *file, aval__safetensors *out);
void aval__safetensors_release(aval__safetensors *file);

#endif
