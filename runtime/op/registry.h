/* What the files of runtime/op share about the registry and the definitions in it.  Private to this folder. */
#ifndef AVAL_OP_REGISTRY_H
#define AVAL_OP_REGISTRY_H

#include "op/op.h"

/* ---- Derived definitions -------------------------------------------------------------------------------------------------- */

/* Makes the definition that `of` gives under `key`, with all its memory from the arena, which lives as long as the registry.
   *out stays NULL where there is none (a derivative that is 0 everywhere): that is remembered too.  Runs under the registry's
   lock, so it must not ask for another derived definition. */
typedef int (*aval__derive)(aval__arena *arena, const aval__opdef *of, size_t key, const aval__opdef **out);

#define AVAL__KEY_BACKWARD SIZE_MAX /* other keys: the input that is differentiated by */

/* The definition derived from `of` under `key`: made at the first call, the same pointer at all later ones, from any thread.
   A failure is not remembered. */
int aval__registry_derived(aval__registry *registry, const aval__opdef *of, size_t key, aval__derive make, const aval__opdef **out);

/* ---- Names in expression texts ---------------------------------------------------------------------------------------------- */

/* The names that the op's expressions may use: its inputs and its attributes of type int or float.  With `outputs` (for texts of
   derivatives) its outputs too, as AVAL__LEAF_OUTPUT; an input wins over an output of equal name. */
aval__names aval__op_names(const aval_op *op, bool outputs);

/* ---- Checking a plugin before anything of it is used --------------------------------------------------------------------------- */

size_t aval__ports_count(const aval_port *ports); /* 0 for NULL */

/* Reads one value of the attribute's type; *end is after it. */
int aval__attr_parse_value(aval__arena *arena, const aval_attr *attr, const char *text, const char **end, aval__attr_value *out);

/* The table, without looking into its ops: version, sizes, names.  Like the next one fails with AVAL_E_PLUGIN and a message of
   file, op, field, what was expected and what was found. */
int aval__plugin_check(const aval_plugin *plugin, const char *file);
/* Its version alone, before anything else of it is read. */
int aval__plugin_check_abi(const aval_plugin *plugin, const char *file);
/* One op by itself.  `arena` takes what is parsed on the way. */
int aval__op_check(aval__arena *arena, const aval_plugin *plugin, const aval_op *op, const char *file);

/* ---- Structs that grew (abi.c) --------------------------------------------------------------------------------------------------- */

/* Where the first version of ABI 1 ends in each: one that is smaller was never right. */
#define AVAL__LEAST(type, last) (offsetof(type, last) + sizeof(((type *)0)->last))
#define AVAL__PLUGIN_LEAST AVAL__LEAST(aval_plugin, sources)
#define AVAL__OP_LEAST AVAL__LEAST(aval_op, products)
#define AVAL__LAUNCH_LEAST AVAL__LEAST(aval_launch, flops)
#define AVAL__GEMM_LEAST AVAL__LEAST(aval_gemm, whole)

/* Copies a plugin's struct of `size` bytes to one of the `known` bytes that it has here.  AVAL_E_PLUGIN: it is too small, or uses what is not
   known here. */
int aval__abi_take(void *to, size_t known, size_t least, const void *from, size_t size, const char *what);
/* The struct itself where it has today's size, else a copy. */
int aval__abi_op(aval__arena *arena, const aval_op *op, const aval_op **out);
int aval__abi_plugin(aval__arena *arena, const aval_plugin *plugin, const aval_plugin **out);

/* ---- Files: plugins are code, so who may have written them matters --------------------------------------------------------------- */

/* Opens a plugin file after checking its and its folder's owner and permissions.  *handle is for aval__plugin_close. */
int aval__plugin_open(const char *file, void **handle, const aval_plugin **plugin);
void aval__plugin_close(void *handle);
/* Refuses a file or folder unless it belongs to root or to the user and is not writable by everyone. */
int aval__path_check(const char *path);

/* ---- Calls ------------------------------------------------------------------------------------------------------------------------- */

/* Puts "Conv 'conv1': " before the message and returns `code`. */
int aval__call_blame(const aval__opdef *def, const char *node, int code);

#endif
