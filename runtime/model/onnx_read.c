/* An ONNX model file becomes a graph: inputs, initializers, nodes, outputs. */
#include "model/onnx.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

/* ---- The file ------------------------------------------------------------------------------------------------------------------------ */

static void *allocate(void *out_of_memory, size_t bytes)
{
    void *memory = aval__alloc(bytes);
    if (!memory && out_of_memory) *(bool *)out_of_memory = true;
    return memory;
}

static void give_back(void *unused, void *memory)
{
    (void)unused;
    aval__free(memory);
}

static ProtobufCAllocator releaser = { .alloc = allocate, .free = give_back };

static int unpack(const void *bytes, size_t count, onnx_model **out)
{
    bool out_of_memory = false;
    ProtobufCAllocator allocator = { .alloc = allocate, .free = give_back, .allocator_data = &out_of_memory };
    *out = aval__onnx__model__unpack(&allocator, count, bytes);
    if (*out) return AVAL_OK;
    return out_of_memory ? AVAL_E_MEMORY : aval__fail(AVAL_E_FORMAT, "not an ONNX model, or damaged");
}

int onnx_unpack_graph(onnx_reader *r, const ProtobufCBinaryData *bytes, const onnx_graph **out)
{
    bool out_of_memory = false;
    ProtobufCAllocator allocator = { .alloc = allocate, .free = give_back, .allocator_data = &out_of_memory };
    AVAL__TRY(aval__vec_reserve(&r->out->graphs, r->out->graphs.count + 1));
    onnx_graph *graph = aval__onnx__graph__unpack(&allocator, bytes->len, bytes->data);
    if (!graph) return out_of_memory ? AVAL_E_MEMORY : aval__fail(AVAL_E_FORMAT, "the graph in an attribute is damaged");
    r->out->graphs.at[r->out->graphs.count++] = graph;
    *out = graph;
    return AVAL_OK;
}

int aval__onnx_tensor_parse(aval__arena *arena, const void *bytes, size_t count, aval_tensor *shape, const void **data)
{
    bool out_of_memory = false;
    ProtobufCAllocator allocator = { .alloc = allocate, .free = give_back, .allocator_data = &out_of_memory };
    onnx_tensor *t = aval__onnx__tensor__unpack(&allocator, count, bytes);
    if (!t) return out_of_memory ? AVAL_E_MEMORY : aval__fail(AVAL_E_FORMAT, "not an ONNX tensor, or damaged");
    int status = t->data_location ? aval__fail(AVAL_E_UNSUPPORTED, "a tensor whose content lies in another file") : AVAL_OK;
    if (status == AVAL_OK) status = onnx_tensor_read(arena, NULL, t, shape, data);
    if (status == AVAL_OK) {
        *data = aval__arena_copy(arena, *data, aval__tensor_bytes(shape)); /* it may lie in what is released here */
        if (!*data) status = AVAL_E_MEMORY;
    }
    aval__onnx__tensor__free_unpacked(t, &releaser);
    return status;
}

/* ---- Inputs and initializers ---------------------------------------------------------------------------------------------------------- */

static int declared_shape(const Aval__Onnx__Type *type, int *element, size_t *rank, int64_t dims[AVAL_MAX_RANK])
{
    const Aval__Onnx__TensorType *tensor = type ? type->tensor_type : NULL;
    if (!tensor) {
        const char *kind = !type                          ? "no type"
                           : type->has_sequence_type      ? "a sequence"
                           : type->has_optional_type      ? "an optional"
                           : type->has_map_type           ? "a map"
                           : type->has_sparse_tensor_type ? "a sparse tensor"
                                                          : "no tensor";
        return aval__fail(AVAL_E_UNSUPPORTED, "%s", kind);
    }
    *element = tensor->elem_type;
    if (aval_type_bytes(*element) == 0 || *element == AVAL_COMPLEX64 || *element == AVAL_COMPLEX128)
        return aval__fail(AVAL_E_UNSUPPORTED, "elements of type %s", aval_type_name(*element));
    if (!tensor->shape) return aval__fail(AVAL_E_UNSUPPORTED, "a tensor of any number of axes");
    *rank = tensor->shape->n_dim;
    if (*rank > AVAL_MAX_RANK) return aval__fail(AVAL_E_UNSUPPORTED, "a tensor of %zu axes (there may be %d)", *rank, AVAL_MAX_RANK);
    for (size_t i = 0; i < *rank; i++) {
        const Aval__Onnx__Dimension *dim = tensor->shape->dim[i];
        dims[i] = dim->has_dim_value && dim->dim_value >= 0 ? dim->dim_value : -1;
    }
    return AVAL_OK;
}

/* What the file calls the dimensions that it gives no size. */
static int take_axes(aval_value *value, const Aval__Onnx__Type *type)
{
    const Aval__Onnx__Shape *shape = type && type->tensor_type ? type->tensor_type->shape : NULL;
    aval__text axes = { 0 };
    bool any = false;
    for (size_t i = 0; shape && i < shape->n_dim && i < AVAL_MAX_RANK; i++) {
        const char *name = shape->dim[i]->has_dim_value ? "" : onnx_text(shape->dim[i]->dim_param);
        if (strchr(name, '\n')) name = ""; /* which is what names are told apart by */
        any = any || *name;
        aval__text_add(&axes, "%s\n", name);
    }
    int status = axes.failed ? AVAL_E_MEMORY : any ? aval__value_name_axes(value, axes.at) : AVAL_OK;
    aval__text_release(&axes);
    return status;
}

static int add_port(onnx_reader *r, aval__onnx_ports *ports, const char *name, aval_value *value)
{
    const char *kept = aval__arena_text(&r->out->arena, name);
    return kept ? aval__vec_push(ports, (aval__onnx_port){ kept, value }) : AVAL_E_MEMORY;
}

static int add_input(onnx_reader *r, onnx_scope *scope, const Aval__Onnx__ValueInfo *info)
{
    int element = 0;
    size_t rank = 0;
    int64_t dims[AVAL_MAX_RANK];
    aval_tensor tensor;
    aval_value *value = NULL;
    const char *name = onnx_text(info->name);
    if (onnx_names_find(&scope->names, name, &value)) return AVAL_OK; /* an initializer is its default, and stays so */
    int status = declared_shape(info->type, &element, &rank, dims);
    if (status < 0) {
        AVAL__TRY(onnx_problem(r, aval__fail_in(status, "input '%.200s'", name)));
        return onnx_names_add(&scope->names, name, NULL);
    }
    status = aval__tensor_set(&tensor, element, rank, dims);
    if (status < 0) return aval__fail_in(AVAL_E_FORMAT, "input '%.200s'", name);
    AVAL__TRY(aval__graph_add_value(r->g, AVAL__INPUT, &tensor, name, &value));
    AVAL__TRY(take_axes(value, info->type));
    AVAL__TRY(onnx_names_add(&scope->names, name, value));
    return add_port(r, &r->out->inputs, name, value);
}

/* Where the shape follows only from what is fed, what the file says of it is what is known until then. */
static void take_declared_type(aval_value *value, const Aval__Onnx__Type *type)
{
    int element;
    size_t rank;
    int64_t dims[AVAL_MAX_RANK];
    if (value->kind != AVAL__PRODUCED || value->tensor.type != AVAL_NONE) return;
    if (declared_shape(type, &element, &rank, dims) == AVAL_OK) aval__tensor_set(&value->tensor, element, rank, dims);
}

static int add_output(onnx_reader *r, const onnx_scope *scope, const Aval__Onnx__ValueInfo *info)
{
    aval_value *value;
    const char *name = onnx_text(info->name);
    if (!onnx_names_find(&scope->names, name, &value)) return aval__fail(AVAL_E_FORMAT, "nothing gives the output '%.200s'", name);
    if (value) {
        take_declared_type(value, info->type);
        if (value->kind == AVAL__PRODUCED) AVAL__TRY(take_axes(value, info->type));
    }
    return add_port(r, &r->out->outputs, name, value);
}

/* Of what lies between only the names of dimensions are of use: the rest is inferred. */
static int take_info(const onnx_scope *scope, const Aval__Onnx__ValueInfo *info)
{
    aval_value *value;
    if (!onnx_names_find(&scope->names, onnx_text(info->name), &value) || !value || value->kind != AVAL__PRODUCED) return AVAL_OK;
    return take_axes(value, info->type);
}

/* ---- The model --------------------------------------------------------------------------------------------------------------------------- */

static int read_graph(onnx_reader *r, onnx_scope *scope)
{
    const onnx_graph *graph = r->model->graph;
    AVAL__TRY(onnx_add_initializers(r, scope, graph));
    for (size_t i = 0; i < graph->n_sparse_initializer; i++)
        AVAL__TRY(onnx_problem(r, aval__fail(AVAL_E_UNSUPPORTED, "sparse initializer number %zu", i)));
    for (size_t i = 0; i < graph->n_input; i++) AVAL__TRY(add_input(r, scope, graph->input[i]));
    AVAL__TRY(onnx_add_nodes(r, scope, graph->node, graph->n_node));
    for (size_t i = 0; i < graph->n_value_info; i++) AVAL__TRY(take_info(scope, graph->value_info[i]));
    for (size_t i = 0; i < graph->n_output; i++) AVAL__TRY(add_output(r, scope, graph->output[i]));
    return AVAL_OK;
}

/* An operator's newest form stands for all later ones; what those changed nobody here knows. */
static void warn_of_newer(const onnx_reader *r, int64_t version)
{
    if (version > ONNX_KNOWN)
        aval__log_write(r->g->log, AVAL_LOG_WARNING,
                        "the model uses version %" PRId64
                        " of ONNX's operators, of which versions to %d are known: what changed since is not seen",
                        version, ONNX_KNOWN);
}

static int read_model(onnx_reader *r)
{
    onnx_scope scope = { .path = "", .opsets = r->model->opset_import, .n_opsets = r->model->n_opset_import };
    if (!r->model->graph) return aval__fail(AVAL_E_FORMAT, "the file holds no graph: it is not an ONNX model, or is damaged");
    if (onnx_version_of(&scope, "") == 0 && scope.n_opsets == 0)
        return aval__fail(AVAL_E_FORMAT, "the model does not say which version of the operators it uses");
    int64_t version = onnx_version_of(&scope, "");
    r->forms = r->g->version = version > 0 && version < UINT32_MAX ? (uint32_t)version : 0;
    warn_of_newer(r, version);
    int status = read_graph(r, &scope);
    onnx_names_release(&scope.names);
    return status;
}

/* All that cannot be done, in one message. */
static int tell_problems(const onnx_reader *r)
{
    if (r->n_problems == 0) return AVAL_OK;
    int code = r->code ? r->code : AVAL_E_UNSUPPORTED;
    if (r->n_problems == 1) return aval__fail(code, "not supported: %s", r->problems.at + strlen("\n  "));
    return aval__fail(code, "%zu things are not supported:%s", r->n_problems, r->problems.at);
}

static char *folder_of(const char *file)
{
    const char *slash = strrchr(file, '/');
    char *folder = aval__copy_text(slash == file ? "/" : slash ? file : ".");
    if (folder && slash && slash != file) folder[slash - file] = 0;
    return folder;
}

int aval__onnx_parse(const void *bytes, size_t count, const char *folder, aval_graph *g, aval__onnx_model *out)
{
    onnx_reader r = { .g = g, .out = out, .folder = folder };
    int status = AVAL_OK;
    *out = (aval__onnx_model){ 0 };
    AVAL__TRY_DONE(unpack(bytes, count, &out->file));
    r.model = out->file;
    AVAL__TRY_DONE(read_model(&r));
    AVAL__TRY_DONE(onnx_try_shapes(&r));
    AVAL__TRY_DONE(tell_problems(&r));
done:
    aval__text_release(&r.problems);
    if (status < 0) aval__onnx_release(out);
    return status;
}

int aval__onnx_read(const char *file, aval_graph *g, aval__onnx_model *out)
{
    aval__mapped map = { 0 };
    int status = AVAL_OK;
    *out = (aval__onnx_model){ 0 };
    char *folder = folder_of(file);
    if (!folder) return AVAL_E_MEMORY;
    AVAL__TRY_DONE(aval__file_map(file, INT_MAX, &map)); /* the format's own limit */
    AVAL__TRY_DONE(aval__onnx_parse(map.at, map.bytes, folder, g, out));
done:
    aval__file_unmap(&map);
    aval__free(folder);
    return status < 0 ? aval__fail_in(status, "%s", file) : AVAL_OK;
}

void aval__onnx_forget_file(aval__onnx_model *model)
{
    if (model->file) aval__onnx__model__free_unpacked(model->file, &releaser);
    model->file = NULL;
    for (size_t i = 0; i < model->graphs.count; i++) aval__onnx__graph__free_unpacked(model->graphs.at[i], &releaser);
    aval__vec_release(&model->graphs);
    aval__vec_release(&model->states);
}

void aval__onnx_release(aval__onnx_model *model)
{
    aval__onnx_forget_file(model);
    aval__vec_release(&model->inputs);
    aval__vec_release(&model->outputs);
    aval__arena_release(&model->arena);
    *model = (aval__onnx_model){ 0 };
}
