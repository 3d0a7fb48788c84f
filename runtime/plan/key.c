/* The key of plan caches: a hash of all that a plan depends on. */
#include "plan/plan.h"

#include <string.h>

/* Appends bytes after their number, so that two fields can't be mistaken for others. */
static void put(aval__text *text, const void *data, size_t bytes)
{
    uint64_t n = bytes;
    aval__text_put(text, (const char *)&n, sizeof n);
    if (bytes > 0) aval__text_put(text, data, bytes);
}

static void put_text(aval__text *text, const char *s)
{
    put(text, s ? s : "", s ? strlen(s) : 0);
}

static void put_device(aval__text *text, const aval_device_info *info)
{
    put_text(text, info->platform);
    put_text(text, info->name);
    put_text(text, info->driver);
    put_text(text, info->version);
    put(text, &info->kind, sizeof *info - offsetof(aval_device_info, kind)); /* numbers without gaps */
}

/* An input, or a value whose content is known. */
static void put_value(aval__text *text, uint32_t number, const aval_value *value, const aval_tensor *shape, const void *content)
{
    const aval_tensor *t = shape ? shape : &value->tensor;
    put(text, &number, sizeof number);
    put(text, &t->type, sizeof t->type);
    put(text, t->dims, t->rank > 0 ? sizeof t->dims[0] * (size_t)t->rank : 0);
    if (!content || !aval__tensor_known(t)) return;
    aval__hash hash = aval__hash_bytes(content, aval__tensor_bytes(t));
    put(text, &hash, sizeof hash);
}

int aval__plan_key(const aval__plan_request *request, aval__hash *key, aval__numbering *numbers)
{
    aval__text text = { 0 };
    int status = aval__graph_hash(request->graph, request->wanted, request->n_wanted, key, numbers);
    if (status < 0) goto done;
    put(&text, key, sizeof *key);
    for (uint32_t i = 0; i < numbers->count; i++) {
        uint32_t id = numbers->at[i];
        const aval_value *v = request->graph->values.at[id];
        const void *content = request->contents ? request->contents[id] : NULL;
        if (v->kind == AVAL__INPUT || content) put_value(&text, i, v, request->shapes ? request->shapes[id] : NULL, content);
    }
    for (size_t i = 0; i < request->n_devices; i++) put_device(&text, request->devices[i]);
    int32_t modes[] = { (int32_t)request->memory, request->strict, (int32_t)request->joins, (int32_t)request->blocks };
    put(&text, modes, sizeof modes);
    put(&text, &request->memory_bound, sizeof request->memory_bound);
    put(&text, &request->least_head, sizeof request->least_head);
    put(&text, &request->tuning, sizeof request->tuning);
    if (text.failed) status = aval__fail(AVAL_E_MEMORY, "out of memory while hashing a graph");
    else *key = aval__hash_bytes(text.at, text.length);
done:
    aval__text_release(&text);
    return status;
}
