/* The runtime's side of the host table: getters are answered here, everything else by the module that runs the phase, through
 * the call's table.  What that table lacks fails by name. */
#include "aval/heads.h"
#include "aval/strides.h"
#include "op/registry.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const phase_texts[] = {
    [AVAL_PHASE_INFER] = "shapes are inferred",
    [AVAL_PHASE_FORWARD] = "forward is recorded",
    [AVAL_PHASE_BACKWARD] = "backward is recorded",
    [AVAL_PHASE_BODY] = "its body is built",
    [AVAL_PHASE_BACKWARD_BODY] = "its backward body is built",
    [AVAL_PHASE_REFERENCE] = "its reference runs",
};

int aval__call_blame(const aval__opdef *def, const char *node, int code)
{
    aval__text label = { 0 };
    aval__opdef_label(&label, def);
    if (!label.failed) {
        if (node && *node) aval__fail_in(code, "%s '%s'", label.at, node);
        else aval__fail_in(code, "%s", label.at);
    }
    aval__text_release(&label);
    return code;
}

/* Remembers a failure of a function that can't return it, or one that a plugin might drop. */
static int note(const aval_call *call, int code)
{
    if (code >= 0) return code;
    aval_call *c = (aval_call *)call; /* calls are made by the runtime, never const */
    c->told = 1;
    if (c->status == 0) c->status = code;
    return code;
}

static int wrong_phase(const aval_call *call, const char *function)
{
    return note(call,
                aval__fail(AVAL_E_PLUGIN, "op '%s' called host function %s while %s", call->def->name, function, phase_texts[call->phase]));
}

/* Of this thread: plugins' functions call host functions that call those of others. */
static _Thread_local struct {
    const aval_call *call;
    uint64_t number;
} volatile running;
static _Thread_local uint64_t calls;

static size_t add(char *text, size_t bytes, size_t length, const char *format, ...)
{
    va_list list;
    if (length >= bytes) return length;
    va_start(list, format);
    int n = vsnprintf(text + length, bytes - length, format, list);
    va_end(list);
    return n < 0 ? length : length + (size_t)n;
}

uint64_t aval_plugin_call(char *text, size_t bytes)
{
    const aval_call *call = running.call;
    size_t length = 0;
    if (bytes > 0) text[0] = 0;
    if (call == NULL) return 0;
    length = add(text, bytes, length, "%s%s%s, while %s", call->def->domain, call->def->domain[0] == 0 ? "" : "::", call->def->name,
                 phase_texts[call->phase]);
    for (size_t i = 0; i < call->n_inputs; i++) {
        const aval_tensor *t = call->inputs[i];
        length = add(text, bytes, length, "%s", i == 0 ? ", inputs" : "");
        length = add(text, bytes, length, "%s", t == NULL ? " none" : " [");
        for (int32_t k = 0; t != NULL && k < t->rank; k++)
            length = add(text, bytes, length, "%s%lld", k > 0 ? "," : "", (long long)t->dims[k]);
        length = add(text, bytes, length, "%s", t == NULL ? "" : "]");
    }
    return running.number;
}

int aval__call_run(aval_call *call, aval_op_function function)
{
    const aval_call *outer = running.call;
    uint64_t outer_number = running.number;
    call->status = 0;
    call->told = 0;
    running.number = ++calls;
    running.call = call;
    int status = function(&aval__host, call);
    running.call = outer;
    running.number = outer_number;
    if (status >= 0) status = call->status;
    else if (!call->told) aval__fail(status, "failed with code %d (%s) and gave no reason", status, aval_status_name(status));
    return status < 0 ? aval__call_blame(call->def, call->node, status) : AVAL_OK;
}

/* ---- In every phase ------------------------------------------------------------------------------------------------------------ */

static int host_fail(aval_call *call, int code, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    aval__fail_v(code, format, list);
    va_end(list);
    return note(call, code < 0 ? code : AVAL_E_PLUGIN);
}

static aval_phase host_phase(const aval_call *call)
{
    return call->phase;
}

static aval_type host_type(const aval_tensor *t)
{
    return (aval_type)t->type;
}

static uint32_t host_rank(const aval_tensor *t)
{
    return t->rank < 0 ? 0 : (uint32_t)t->rank;
}

static const int64_t *host_dims(const aval_tensor *t)
{
    return t->dims;
}

static uint32_t host_layout(const aval_tensor *t)
{
    return t->layout;
}

static size_t host_n_inputs(const aval_call *call)
{
    return call->n_inputs;
}

static size_t host_n_outputs(const aval_call *call)
{
    return call->n_outputs;
}

static const aval_tensor *host_input(const aval_call *call, size_t i)
{
    return i < call->n_inputs ? call->inputs[i] : NULL;
}

static const aval_tensor *host_output(const aval_call *call, size_t i)
{
    const aval_tensor *t = i < call->n_outputs ? call->outputs[i] : NULL;
    return t && t->type != AVAL_NONE ? t : NULL;
}

/* An op may ask for the attributes that it declares. */
static void check_declared(const aval_call *call, const char *name)
{
    const aval_attr *declared = call->def->op->attrs;
    for (size_t i = 0; declared && declared[i].name; i++)
        if (strcmp(declared[i].name, name) == 0) return;
    note(call, aval__fail(AVAL_E_PLUGIN, "asked for attribute %s, which the op does not declare", name));
}

/* The attribute, or NULL: absent, or (errors of the plugin) not declared, or of a type other than the one asked for. */
static const aval__attr_value *find_attr(const aval_call *call, const char *name, uint32_t type, const char *function)
{
    const aval__attr_value *a = aval__attrs_find(call->attrs, name);
    if (!a) check_declared(call, name);
    if (a && a->type != type) {
        note(call, aval__fail(AVAL_E_PLUGIN, "asked for attribute %s by host function %s, but declared it with type %u", name, function,
                              (unsigned)a->type));
        return NULL;
    }
    return a;
}

static int64_t host_attr_int(const aval_call *call, const char *name)
{
    const aval__attr_value *a = find_attr(call, name, AVAL_ATTR_INT, "attr_int");
    return a ? a->integer : 0;
}

static double host_attr_float(const aval_call *call, const char *name)
{
    const aval__attr_value *a = find_attr(call, name, AVAL_ATTR_FLOAT, "attr_float");
    return a ? a->real : 0;
}

static const char *host_attr_string(const aval_call *call, const char *name)
{
    const aval__attr_value *a = find_attr(call, name, AVAL_ATTR_STRING, "attr_string");
    return a ? a->text : "";
}

static const int64_t *host_attr_ints(const aval_call *call, const char *name, size_t *count)
{
    const aval__attr_value *a = find_attr(call, name, AVAL_ATTR_INTS, "attr_ints");
    *count = a ? a->ints.count : 0;
    return *count ? a->ints.at : NULL;
}

static const double *host_attr_floats(const aval_call *call, const char *name, size_t *count)
{
    const aval__attr_value *a = find_attr(call, name, AVAL_ATTR_FLOATS, "attr_floats");
    *count = a ? a->reals.count : 0;
    return *count ? a->reals.at : NULL;
}

static int host_attr_given(const aval_call *call, const char *name)
{
    return aval__attrs_find(call->attrs, name) != NULL;
}

static const void *host_content(const aval_call *call, size_t i)
{
    return call->table->content && i < call->n_inputs && call->inputs[i] ? call->table->content(call, i) : NULL;
}

/* ---- By the phase's table ------------------------------------------------------------------------------------------------------- */

static int host_set_output(aval_call *call, size_t i, aval_type type, uint32_t rank, const int64_t *dims)
{
    if (!call->table->set_output) return wrong_phase(call, "set_output");
    return note(call, call->table->set_output(call, i, (int)type, rank, dims));
}

static const aval_device_info *host_device(const aval_call *call)
{
    if (call->table->device) return call->table->device(call);
    wrong_phase(call, "device");
    return NULL;
}

static const aval_tensor *host_upstream(const aval_call *call, size_t i)
{
    if (call->table->upstream) return call->table->upstream(call, i);
    wrong_phase(call, "upstream");
    return NULL;
}

static const aval_tensor *host_gradient(const aval_call *call, size_t i)
{
    if (call->table->gradient) return call->table->gradient(call, i);
    wrong_phase(call, "gradient");
    return NULL;
}

static int host_accumulate(const aval_call *call, size_t i)
{
    if (call->table->accumulate) return call->table->accumulate(call, i);
    wrong_phase(call, "accumulate");
    return 0;
}

/* A NULL that a table function gives has left a message. */
static const aval_tensor *noted_tensor(const aval_call *call, const aval_tensor *t)
{
    if (!t) note(call, AVAL_E_MEMORY);
    return t;
}

static const aval_tensor *host_scratch(aval_call *call, aval_type type, int64_t count)
{
    if (call->table->scratch) return noted_tensor(call, call->table->scratch(call, (int)type, count));
    wrong_phase(call, "scratch");
    return NULL;
}

static int host_launch(aval_call *call, const aval_launch *launch)
{
    aval_launch known;
    if (!call->table->launch) return wrong_phase(call, "launch");
    int status = aval__abi_take(&known, sizeof known, AVAL__LAUNCH_LEAST, launch, launch->size, "launch");
    return note(call, status < 0 ? status : call->table->launch(call, &known));
}

static int host_gemm(aval_call *call, const aval_gemm *gemm)
{
    aval_gemm known;
    if (!call->table->gemm) return wrong_phase(call, "gemm");
    int status = aval__abi_take(&known, sizeof known, AVAL__GEMM_LEAST, gemm, gemm->size, "matrix product");
    return note(call, status < 0 ? status : call->table->gemm(call, &known));
}

static int host_copy(aval_call *call, const aval_tensor *to, int64_t to_offset, const aval_tensor *from, int64_t from_offset, int64_t count)
{
    if (!call->table->copy) return wrong_phase(call, "copy");
    return note(call, call->table->copy(call, to, to_offset, from, from_offset, count));
}

static int host_fill(aval_call *call, const aval_tensor *t, double value)
{
    return call->table->fill ? note(call, call->table->fill(call, t, value)) : wrong_phase(call, "fill");
}

static int host_alias(aval_call *call, const aval_tensor *t, const aval_tensor *of, int64_t offset)
{
    return call->table->alias ? note(call, call->table->alias(call, t, of, offset)) : wrong_phase(call, "alias");
}

static int host_apply(aval_call *call, const char *op, const char *attrs, size_t n_inputs, const aval_tensor *const *inputs,
                      size_t n_outputs, const aval_tensor **outputs)
{
    if (!call->table->apply) return wrong_phase(call, "apply");
    return note(call, call->table->apply(call, op, attrs, n_inputs, inputs, n_outputs, outputs));
}

static const aval_tensor *host_constant(aval_call *call, aval_type type, uint32_t rank, const int64_t *dims, const void *data)
{
    if (call->table->constant) return noted_tensor(call, call->table->constant(call, (int)type, rank, dims, data));
    wrong_phase(call, "constant");
    return NULL;
}

static int host_yield(aval_call *call, size_t i, const aval_tensor *t)
{
    return call->table->yield ? note(call, call->table->yield(call, i, t)) : wrong_phase(call, "yield");
}

static double *host_real(aval_call *call, const aval_tensor *t)
{
    if (call->table->real) return call->table->real(call, t);
    wrong_phase(call, "real");
    return NULL;
}

static int64_t *host_integer(aval_call *call, const aval_tensor *t)
{
    if (call->table->integer) return call->table->integer(call, t);
    wrong_phase(call, "integer");
    return NULL;
}

static int host_alias_strided(aval_call *call, const aval_tensor *t, const aval_tensor *of, int64_t offset, const int64_t *strides)
{
    if (!call->table->alias_strided) return wrong_phase(call, "alias of aval_strides");
    return note(call, call->table->alias_strided(call, t, of, offset, strides));
}

static const int64_t *host_strides(const aval_call *call, const aval_tensor *t)
{
    if (call->table->strides) return call->table->strides(call, t);
    wrong_phase(call, "of of aval_strides");
    return NULL;
}

static int host_take_head(aval_call *call, const aval_tensor *t, int64_t run)
{
    if (!call->table->take_head) return wrong_phase(call, "take of aval_heads");
    return note(call, call->table->take_head(call, t, run));
}

static int host_take_rows(aval_call *call, const aval_tensor *t, const aval_tensor *over)
{
    if (!call->table->take_rows) return wrong_phase(call, "take of aval_row_heads");
    return note(call, call->table->take_rows(call, t, over));
}

static const void *host_extension(const aval_call *call, const char *id)
{
    static const aval_heads heads = { .take = host_take_head };
    static const aval_row_heads row_heads = { .take = host_take_rows };
    static const aval_strides strides = { .alias = host_alias_strided, .of = host_strides };
    (void)call;
    if (strcmp(id, AVAL_HEADS) == 0) return &heads;
    if (strcmp(id, AVAL_ROW_HEADS) == 0) return &row_heads;
    return strcmp(id, AVAL_STRIDES) == 0 ? &strides : NULL;
}

const aval_host aval__host = {
    .size = sizeof(aval_host),
    .abi = AVAL_PLUGIN_ABI,
    .fail = host_fail,
    .phase = host_phase,
    .type = host_type,
    .rank = host_rank,
    .dims = host_dims,
    .count = aval__tensor_count,
    .layout = host_layout,
    .n_inputs = host_n_inputs,
    .n_outputs = host_n_outputs,
    .input = host_input,
    .output = host_output,
    .attr_int = host_attr_int,
    .attr_float = host_attr_float,
    .attr_string = host_attr_string,
    .attr_ints = host_attr_ints,
    .attr_floats = host_attr_floats,
    .attr_given = host_attr_given,
    .content = host_content,
    .set_output = host_set_output,
    .device = host_device,
    .upstream = host_upstream,
    .gradient = host_gradient,
    .accumulate = host_accumulate,
    .scratch = host_scratch,
    .launch = host_launch,
    .gemm = host_gemm,
    .copy = host_copy,
    .fill = host_fill,
    .alias = host_alias,
    .apply = host_apply,
    .constant = host_constant,
    .yield = host_yield,
    .real = host_real,
    .integer = host_integer,
    .extension = host_extension,
};
