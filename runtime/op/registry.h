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

/* Checks the table and each of its ops by itself; AVAL_E_PLUGIN says file, op, field, what was expected and what was found. */
int aval__plugin_check(const aval_plugin *plugin, const char *file);

/* AVAL_E_PLUGIN unless `path`, a file or a folder, belongs to root or to the user and is not writable by everyone. */
int aval__path_check(const char *path);

#endif
