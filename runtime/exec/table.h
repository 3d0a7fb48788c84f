/* uthash as exec uses it: memory comes from base, and a table that cannot grow leaves the item out (its hh.tbl is NULL then) instead
 * of ending the program. */
#ifndef AVAL_EXEC_TABLE_H
#define AVAL_EXEC_TABLE_H

#include "base/base.h"

#define HASH_NONFATAL_OOM 1
#define uthash_malloc(bytes) aval__alloc(bytes)
#define uthash_free(memory, bytes) aval__free(memory)
#include <uthash.h>

#endif
