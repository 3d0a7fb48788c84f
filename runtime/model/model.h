/* Model files: reading and writing their formats, with no knowledge of sessions or devices: safetensors, which the store is saved as, ONNX,
 * and NumPy's arrays.  Each format is parsed from memory, so that a fuzzer reaches all of it without files (tests/fuzz). */
#ifndef AVAL_MODEL_H
#define AVAL_MODEL_H

#include "graph/graph.h"

/* ---- Files ----------------------------------------------------------------------------------------------------------------------------- */

/* A whole regular file of at most `most` bytes; for aval__free. */
int aval__file_read(const char *file, size_t most, unsigned char **bytes, size_t *count);

/* The same, mapped: its pages are read as they are looked at, and belong to the system.  Who makes the file shorter meanwhile ends the
   process, so a map is kept no longer than its content is being copied. */
typedef struct aval__mapped {
    const unsigned char *at;
    size_t bytes;
} aval__mapped;
int aval__file_map(const char *file, size_t most, aval__mapped *out); /* on failure nothing has to be released */
void aval__file_unmap(aval__mapped *mapped);

/* ---- safetensors ----------------------------------------------------------------------------------------------------------------------- */

/* One tensor of a file.  Offsets within a file need not be aligned: copy `data`, never cast it. */
typedef struct aval__safetensor {
    const char *name;
    aval_tensor tensor;
    const void *data; /* aval__tensor_bytes(&tensor) bytes, row-major */
} aval__safetensor;

/* A file that was read: tensors and metadata in the order of its header. */
typedef struct aval__safetensors {
    aval__arena arena; /* names and metadata */
    aval__mapped map; /* where the data of all tensors lies, when it was read from a file */
    const unsigned char *data; /* of all tensors */
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
int aval__safe_file_write(aval__safe_file *safe, const void *data, size_t bytes);
int aval__safe_file_rename(aval__safe_file *safe);
void aval__safe_file_release(aval__safe_file *safe);
/* 0 when `bytes` bytes could be written there now. */
int aval__safe_file_probe(const char *file, uint64_t bytes);

/* Writes through a safe file, so that a crash leaves the old file or the new one.  `metadata` as in aval__safetensors, may be
   NULL.  AVAL_E_TYPE when the format has no name for an element type. */
int aval__safetensors_write(const char *file, const aval__safetensor *tensors, size_t count, const char *const *metadata);
/* AVAL_E_UNKNOWN: no such file; AVAL_E_FORMAT: damaged, with the first thing that is wrong.  On failure nothing has to be released. */
int aval__safetensors_read(const char *file, aval__safetensors *out);
/* The same of a file's content, which must stay until the release. */
int aval__safetensors_parse(const void *bytes, size_t count, aval__safetensors *out);
void aval__safetensors_release(aval__safetensors *file);

/* ---- ONNX ------------------------------------------------------------------------------------------------------------------------------ */

typedef struct aval__onnx_port {
    const char *name;
    aval_value *value;
} aval__onnx_port;

typedef AVAL__VEC(aval__onnx_port) aval__onnx_ports;

typedef struct aval__onnx_state {
    const aval_value *value;
    const void *data; /* its content, aval__tensor_bytes(&value->tensor) bytes */
} aval__onnx_state;

/* What a model file adds to a graph.  Names live until the release, states until the file is forgotten; values belong to the graph. */
typedef struct aval__onnx_model {
    aval__arena arena;
    aval__onnx_ports inputs, outputs;
    AVAL__VEC(aval__onnx_state) states; /* initializers that can be trained */
    struct Aval__Onnx__Model *file;
    AVAL__VEC(struct Aval__Onnx__Graph *) graphs; /* of attributes */
} aval__onnx_model;

/* Reads the file into an empty graph.  AVAL_E_UNSUPPORTED: one message with everything that aval cannot do; AVAL_E_FORMAT: damaged, with the
   first thing that is wrong; AVAL_E_UNKNOWN: no such file.  On failure nothing has to be released, but the graph may hold a part. */
int aval__onnx_read(const char *file, aval_graph *g, aval__onnx_model *out);
/* The same of a file's content, which may go afterwards.  `folder`: where data outside the file may lie; NULL: nowhere. */
int aval__onnx_parse(const void *bytes, size_t count, const char *folder, aval_graph *g, aval__onnx_model *out);
void aval__onnx_release(aval__onnx_model *model);
/* The content of a state, which may be put into the arena. */
typedef int (*aval__onnx_contents)(void *user, aval__arena *arena, const aval_value *state, const void **data);
/* Writes what the outputs need as an ONNX file, through a safe file; a name of NULL is the value's own.  Operators of domain "aval" are
   written as such, with a warning to the graph's log. */
int aval__onnx_write(const char *file, const aval_graph *g, const aval__onnx_port *outputs, size_t n_outputs, aval__onnx_contents contents,
                     void *user);
/* Types of these values, as far as they can be known before shapes are fed: free dimensions are -1, a rank that is not known too. */
int aval__onnx_output_types(const aval_graph *g, const aval__onnx_port *outputs, size_t count, aval_tensor *types);
/* Gives back what only states' contents need. */
void aval__onnx_forget_file(aval__onnx_model *model);
/* One TensorProto of so many bytes.  *data lies in the arena. */
int aval__onnx_tensor_parse(aval__arena *arena, const void *bytes, size_t count, aval_tensor *shape, const void **data);

/* ---- NumPy's arrays: .npy is one, .npz an archive of them ------------------------------------------------------------------------------- */

/* AVAL_E_UNSUPPORTED for elements that aval cannot hold, and for columns first.  *data lies within `bytes`, perhaps not aligned. */
int aval__npy_parse(const void *bytes, size_t count, aval_tensor *shape, const void **data);
/* Through a safe file. */
int aval__npy_write(const char *file, const aval_tensor *shape, const void *data);
bool aval__npy_has(int type); /* has NumPy a name for this element type? */
bool aval__npy_is(const void *bytes, size_t count); /* does it begin as one? */
/* What stands before the elements in a .npy file. */
int aval__npy_header(aval__text *out, const aval_tensor *shape);

/* An array of an archive. */
typedef struct aval__npz_member {
    const char *name; /* without .npy */
    uint64_t at, packed, bytes; /* its local header; bytes that it has in the archive, and unpacked */
    uint32_t checksum;
    unsigned method; /* zip's: 0 stored, 8 deflated */
} aval__npz_member;

typedef struct aval__npz {
    aval__arena arena;
    const unsigned char *content; /* of the archive */
    size_t n_content;
    aval__npz_member *at; /* in its order */
    size_t count;
} aval__npz;
/* `bytes` must stay until the release.  On failure nothing has to be released. */
int aval__npz_parse(const void *bytes, size_t count, aval__npz *out);
void aval__npz_release(aval__npz *npz);
/* Its content, a .npy file of at[i].bytes bytes, checked against its checksum; for aval__free. */
int aval__npz_unpack(const aval__npz *npz, size_t i, unsigned char **content);
bool aval__npz_is(const void *bytes, size_t count);

typedef struct aval__npz_array {
    const char *name;
    aval_tensor shape;
    const void *data;
} aval__npz_array;
/* Through a safe file; deflated where `compress`. */
int aval__npz_write(const char *file, const aval__npz_array *arrays, size_t count, bool compress);

/* A copy of what was parsed as the array that users get; its data is for aval_free. */
int aval__array_take(const aval_tensor *shape, const void *data, aval_array *array);
/* The shape of a user's array; AVAL_E_ARGUMENT where its size or its bytes are wrong. */
int aval__array_shape(const aval_array *array, aval_tensor *shape);

#endif
