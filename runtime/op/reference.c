/* The referee: an op computed on the host in double (integers in int64), by its reference function or by its expression's tree.
 * It trusts no compiler of OpenCL. */
#include "op/registry.h"

typedef struct referee {
    const aval__opdef *def;
    const aval__attrs *attrs;
    const aval__host_tensor *const *inputs;
    size_t n_inputs;
    aval__host_tensor *const *outputs;
    size_t n_outputs;
} referee;

/* ---- Expressions -------------------------------------------------------------------------------------------------------------------- */

/* One element under way: where each input's element lies, broadcasting considered. */
typedef struct element {
    const referee *r;
    int64_t at[AVAL_MAX_PORTS]; /* offset in input i */
    int64_t steps[AVAL_MAX_PORTS][AVAL_MAX_RANK]; /* elements from one index of an output axis to the next; 0: broadcast */
} element;

static const aval__attr_value *leaf_attr(const element *e, aval__leaf leaf)
{
    return aval__attrs_find(e->r->attrs, e->r->def->op->attrs[leaf.index].name);
}

static double leaf_real(const void *user, aval__leaf leaf)
{
    const element *e = user;
    if (leaf.kind == AVAL__LEAF_ATTR) {
        const aval__attr_value *a = leaf_attr(e, leaf);
        return !a ? 0 : a->type == AVAL_ATTR_INT ? (double)a->integer : a->real;
    }
    const aval__host_tensor *t = e->r->inputs[leaf.index];
    double value;
    if (t->real) return t->real[e->at[leaf.index]];
    int64_t integer = t->integer[e->at[leaf.index]];
    aval__convert(&value, AVAL_DOUBLE, &integer, t->tensor.type == AVAL_UINT64 ? AVAL_UINT64 : AVAL_INT64, 1);
    return value;
}

static int64_t leaf_integer(const void *user, aval__leaf leaf)
{
    const element *e = user;
    if (leaf.kind == AVAL__LEAF_ATTR) {
        const aval__attr_value *a = leaf_attr(e, leaf);
        int64_t value = 0;
        if (a && a->type == AVAL_ATTR_INT) value = a->integer;
        else if (a) aval__convert(&value, AVAL_INT64, &a->real, AVAL_DOUBLE, 1);
        return value;
    }
    const aval__host_tensor *t = e->r->inputs[leaf.index];
    return t->integer[e->at[leaf.index]]; /* arithmetic_of() has made sure that it is one */
}

/* What an output is computed in: AVAL_DOUBLE, or where it and all inputs are integers or bools AVAL_INT64, or AVAL_UINT64 where one of them is
   of that type. */
static int arithmetic_of(const referee *r, const aval__host_tensor *out)
{
    int type = out->tensor.type == AVAL_UINT64 ? AVAL_UINT64 : AVAL_INT64;
    if (out->real) return AVAL_DOUBLE;
    for (size_t i = 0; i < r->n_inputs; i++) {
        if (r->inputs[i] && r->inputs[i]->real) return AVAL_DOUBLE;
        if (r->inputs[i] && r->inputs[i]->tensor.type == AVAL_UINT64) type = AVAL_UINT64;
    }
    return type;
}

static int prepare(element *e, const aval_tensor *out)
{
    const referee *r = e->r;
    for (size_t i = 0; i < r->n_inputs; i++) {
        if (!r->inputs[i]) return aval__fail(AVAL_E_UNSUPPORTED, "input number %zu is absent, but an expression reads all its inputs", i);
        const aval_tensor *t = &r->inputs[i]->tensor;
        int64_t step = 1;
        for (int32_t axis = t->rank - 1; axis >= 0; axis--) {
            int32_t out_axis = axis + out->rank - t->rank;
            bool fits = out_axis >= 0 && (t->dims[axis] == 1 || t->dims[axis] == out->dims[out_axis]);
            if (!fits) return aval__fail(AVAL_E_SHAPE, "input number %zu does not broadcast to the shape of the output", i);
            if (t->dims[axis] != 1) e->steps[i][out_axis] = step;
            step *= t->dims[axis];
        }
    }
    return AVAL_OK;
}

/* Stores a result as the output's type would hold it: int32 wraps, bool is 0 or 1. */
static void store_integer(aval__host_tensor *out, int64_t i, int64_t value)
{
    uint64_t held = 0;
    aval__convert(&held, out->tensor.type, &value, AVAL_INT64, 1);
    aval__convert(&out->integer[i], AVAL_INT64, &held, out->tensor.type, 1);
}

/* The small floats are rounded to here: what they are for is their rounding. */
static void store_real(aval__host_tensor *out, int64_t i, double value, bool saturate)
{
    uint64_t held = 0;
    if (out->real) {
        bool is_small = (AVAL_SMALL_FLOATS & AVAL_TYPE_SET(out->tensor.type)) != 0;
        out->real[i] = is_small ? aval__round_small_float(out->tensor.type, value, saturate) : value;
        return;
    }
    aval__convert(&held, out->tensor.type, &value, AVAL_DOUBLE, 1);
    aval__convert(&out->integer[i], AVAL_INT64, &held, out->tensor.type, 1);
}

/* To the next element of the output in row-major order. */
static void advance(element *e, const aval_tensor *out, int64_t index[AVAL_MAX_RANK])
{
    for (int32_t axis = out->rank - 1; axis >= 0; axis--) {
        bool carry = ++index[axis] == out->dims[axis];
        int64_t moved = carry ? 1 - out->dims[axis] : 1;
        for (size_t i = 0; i < e->r->n_inputs; i++) e->at[i] += moved * e->steps[i][axis];
        if (!carry) return;
        index[axis] = 0;
    }
}

static int run_expression(const referee *r, const aval__expr *tree, aval__host_tensor *out)
{
    element e = { .r = r };
    int64_t index[AVAL_MAX_RANK] = { 0 };
    int64_t count = aval__tensor_count(&out->tensor);
    int arithmetic = arithmetic_of(r, out);
    bool saturate = aval__attrs_saturate(r->attrs);
    AVAL__TRY(prepare(&e, &out->tensor));
    for (int64_t i = 0; i < count; i++) {
        if (arithmetic == AVAL_DOUBLE) store_real(out, i, aval__expr_real(tree, leaf_real, &e), saturate);
        else store_integer(out, i, aval__expr_integer(tree, arithmetic == AVAL_UINT64, leaf_integer, &e));
        advance(&e, &out->tensor, index);
    }
    return AVAL_OK;
}

static int run_expressions(const referee *r)
{
    if (r->n_inputs > AVAL_MAX_PORTS)
        return aval__fail(AVAL_E_UNSUPPORTED, "expected at most %d inputs, found %zu", AVAL_MAX_PORTS, r->n_inputs);
    for (size_t i = 0; i < r->n_outputs; i++) {
        if (r->outputs[i]) AVAL__TRY(run_expression(r, r->def->outputs[i], r->outputs[i]));
    }
    return AVAL_OK;
}

/* ---- Reference functions --------------------------------------------------------------------------------------------------------------- */

/* The host tensor whose opaque handle the plugin was given. */
static const aval__host_tensor *find_tensor(const referee *r, const aval_tensor *t)
{
    for (size_t i = 0; i < r->n_inputs; i++) {
        if (r->inputs[i] && &r->inputs[i]->tensor == t) return r->inputs[i];
    }
    for (size_t i = 0; i < r->n_outputs; i++) {
        if (r->outputs[i] && &r->outputs[i]->tensor == t) return r->outputs[i];
    }
    return NULL;
}

static int fail_kind(aval_call *call, const char *function, const char *expected, const aval_tensor *t)
{
    return aval__host.fail(call, AVAL_E_TYPE, "reference asked for %s of a tensor that holds %s: expected %s", function,
                           t ? aval_type_name(t->type) : "nothing (NULL)", expected);
}

static double *call_real(aval_call *call, const aval_tensor *t)
{
    const aval__host_tensor *found = find_tensor(call->user, t);
    if (found && found->real) return found->real;
    fail_kind(call, "real", "float, double or float16", t);
    return NULL;
}

static int64_t *call_integer(aval_call *call, const aval_tensor *t)
{
    const aval__host_tensor *found = find_tensor(call->user, t);
    if (found && found->integer) return found->integer;
    fail_kind(call, "integer", "an integer type or bool", t);
    return NULL;
}

/* Axes and shapes, which are int64, lie here in their own element type; contents of other types are asked for by `real` and `integer`. */
static const void *call_content(const aval_call *call, size_t i)
{
    const referee *r = call->user;
    return r->inputs[i] && r->inputs[i]->tensor.type == AVAL_INT64 ? r->inputs[i]->integer : NULL;
}

static const aval__call_table reference_table = { .content = call_content, .real = call_real, .integer = call_integer };

static int run_function(const referee *r, const char *node)
{
    int status = AVAL_OK;
    const aval_tensor **tensors = aval__alloc_array(r->n_inputs + r->n_outputs, sizeof *tensors);
    if (!tensors) return AVAL_E_MEMORY;
    const aval_tensor **outputs = tensors + r->n_inputs;
    for (size_t i = 0; i < r->n_inputs; i++) tensors[i] = r->inputs[i] ? &r->inputs[i]->tensor : NULL;
    for (size_t i = 0; i < r->n_outputs; i++) outputs[i] = r->outputs[i] ? &r->outputs[i]->tensor : NULL;
    aval_call call = {
        .phase = AVAL_PHASE_REFERENCE,
        .def = r->def,
        .attrs = r->attrs,
        .node = node,
        .inputs = tensors,
        .outputs = outputs,
        .n_inputs = r->n_inputs,
        .n_outputs = r->n_outputs,
        .table = &reference_table,
        .user = (void *)r,
    };
    status = aval__call_run(&call, r->def->op->reference);
    aval__free(tensors);
    return status;
}

int aval__reference(const aval__opdef *def, const aval__attrs *attrs, const char *node, const aval__host_tensor *const *inputs,
                    size_t n_inputs, aval__host_tensor *const *outputs, size_t n_outputs)
{
    referee r = { def, attrs, inputs, n_inputs, outputs, n_outputs };
    int status;
    if (def->kind == AVAL__EXPRESSION) {
        status = run_expressions(&r);
        return status < 0 ? aval__call_blame(def, node, status) : AVAL_OK;
    }
    if (def->kind == AVAL__KERNELS) return run_function(&r, node);
    status = aval__fail(AVAL_E_UNSUPPORTED, "bodies and backwards have no reference of their own: their parts do");
    return aval__call_blame(def, node, status);
}
