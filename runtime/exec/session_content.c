/* What a session's next run would read: the contents of inputs and states on the host, for checks that repeat a run there. */
#include "exec/session.h"
#include "exec/store.h"

aval_context *aval__session_context(const aval_session *s)
{
    return s->context;
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
    if (status == AVAL_OK) status = aval__host_tensor_make(out, &entry->tensor);
    if (status == AVAL_OK) aval__host_tensor_from(out, data);
    aval__free(data);
    return status;
}

int aval__session_content(aval_session *s, const aval_value *value, aval__host_tensor *out)
{
    if (value->kind == AVAL__STATE) return state_content(s, value, out);
    if (value->kind != AVAL__INPUT) return aval__fail(AVAL_E_ARGUMENT, "'%s' is neither an input nor a state", aval__value_label(value));
    const aval__fed *fed = aval__session_fed(s, value);
    if (!fed) return aval__fail(AVAL_E_ARGUMENT, "input '%s' was never fed", aval__value_label(value));
    AVAL__TRY(aval__host_tensor_make(out, &fed->tensor));
    aval__host_tensor_from(out, fed->data);
    return AVAL_OK;
}
