/* What a session's next run would read: the contents of inputs and states on the host, for checks that repeat a run there. */
#include "exec/session.h"
#include "exec/store.h"

aval_context *aval__session_context(const aval_session *s)
{
    return s->context;
}

static int to_host(const aval_tensor *tensor, const void *data, aval__host_tensor *out)
{
    AVAL__TRY(aval__host_tensor_make(out, tensor));
    aval__host_tensor_from(out, data);
    return AVAL_OK;
}

static int state_content(aval_session *s, const aval_value *value, aval__host_tensor *out)
{
    aval__entry *entry;
    if (!s->store)
        return aval__fail(AVAL_E_ARGUMENT, "'%s' is a state, and this session was created without a store", aval__value_label(value));
    AVAL__TRY(aval__store_need(s->store, value->name, &entry));
    if (entry->tensor.type != value->tensor.type || !aval__tensor_same_shape(&entry->tensor, &value->tensor))
        return aval__fail(AVAL_E_SHAPE, "state '%s' has another shape or element type in the store than in the graph", value->name);
    void *data = aval__alloc(entry->bytes + 1);
    if (!data) return AVAL_E_MEMORY;
    int status = aval__entry_read(entry, data);
    if (status == AVAL_OK) status = to_host(&entry->tensor, data, out);
    aval__free(data);
    return status;
}

int aval__session_content(aval_session *s, const aval_value *value, aval__host_tensor *out)
{
    if (value->kind == AVAL__STATE) return state_content(s, value, out);
    if (value->kind != AVAL__INPUT) return aval__fail(AVAL_E_ARGUMENT, "'%s' is neither an input nor a state", aval__value_label(value));
    const aval__fed *fed = aval__session_fed(s, value);
    if (!fed) return aval__fail(AVAL_E_ARGUMENT, "input '%s' was never fed", aval__value_label(value));
    if (!fed->mem) return to_host(&fed->tensor, fed->data, out);
    void *data = aval__alloc(aval__tensor_bytes(&fed->tensor) + 1);
    if (!data) return AVAL_E_MEMORY;
    int status = aval__session_read_mem(s, value, fed, data);
    if (status == AVAL_OK) status = to_host(&fed->tensor, data, out);
    aval__free(data);
    return status;
}
