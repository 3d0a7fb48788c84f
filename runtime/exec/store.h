/* The store's inside, shared by the files store*.c.
 *
 * An entry is in one place at a time: in host memory until a session needs it on a device, then in that device's buffer, which stays
 * the only copy.  So nothing has to track which copy is newer when sessions update states without telling the store; reading asks the
 * device, and another device gets the content through the host. */
#ifndef AVAL_EXEC_STORE_H
#define AVAL_EXEC_STORE_H

#include "exec/exec.h"
#include "exec/table.h"

typedef struct aval__entry {
    char *name;
    aval_tensor tensor;
    size_t bytes;
    void *host; /* the content; NULL while it is on a device */
    aval__device *device; /* NULL while it is on the host */
    cl_mem buffer;
    uint64_t generation; /* the store's when `buffer` was made */
    UT_hash_handle hh; /* iterates in the order of creation */
} aval__entry;

struct aval_store {
    _Atomic size_t holders; /* the user, and sessions: gone with the last */
    aval_context *context;
    aval__entry *by_name; /* uthash */
    AVAL__VEC(aval__entry *) order; /* of creation */
    uint64_t generation;
    uint64_t changes; /* goes up when a content may have become another one */
    bool shared_outside; /* some entry's buffer is in a caller's hands, who may write there at any time */
};

/* One more holder: each calls aval_store_release once. */
void aval__store_hold(aval_store *store);
aval__entry *aval__store_find(const aval_store *store, const char *name);
/* AVAL_E_UNKNOWN with the hint how to make it. */
int aval__store_need(const aval_store *store, const char *name, aval__entry **out);
/* Checks that an entry of this shape may be written: a new one, or one of the same type and shape. */
int aval__store_check(const aval_store *store, const char *name, const aval_tensor *tensor);
/* Writes a whole entry, which is made if it is not there. */
int aval__store_write(aval_store *store, const char *name, const aval_tensor *tensor, const void *data);
int aval__entry_read(const aval__entry *entry, void *data);
/* The entry, which is made if it is not there, has the content of `buffer`, which is retained. */
int aval__store_adopt(aval_store *store, const char *name, const aval_tensor *tensor, aval__device *device, cl_mem buffer);

#endif
