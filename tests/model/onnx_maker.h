/* Writes small ONNX files for tests, the good and the bad. */
#ifndef AVAL_TEST_ONNX_MAKER_H
#define AVAL_TEST_ONNX_MAKER_H

#include "base/base.h"

#include "onnx.pb-c.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define MAKER_MOST 16

typedef struct maker {
    aval__arena arena;
    Aval__Onnx__Model model;
    Aval__Onnx__Graph graph;
    Aval__Onnx__OperatorSet opset, *opsets[1];
    Aval__Onnx__Node *nodes[MAKER_MOST];
    Aval__Onnx__Tensor *initializers[MAKER_MOST];
    Aval__Onnx__ValueInfo *inputs[MAKER_MOST], *outputs[MAKER_MOST];
    Aval__Onnx__Function *functions[MAKER_MOST];
} maker;

static inline void maker_start(maker *m, int64_t version)
{
    memset(m, 0, sizeof *m);
    aval__onnx__model__init(&m->model);
    aval__onnx__graph__init(&m->graph);
    aval__onnx__operator_set__init(&m->opset);
    m->opset.version = version;
    m->opset.has_version = 1;
    m->opsets[0] = &m->opset;
    m->model.opset_import = m->opsets;
    m->model.n_opset_import = 1;
    m->model.graph = &m->graph;
    m->graph.node = m->nodes;
    m->graph.initializer = m->initializers;
    m->graph.input = m->inputs;
    m->graph.output = m->outputs;
    m->model.functions = m->functions;
}

/* The words of a text; "-" is the empty one. */
static inline char **maker_words(maker *m, const char *text, size_t *count)
{
    char **words = aval__arena_alloc(&m->arena, MAKER_MOST * sizeof *words), *rest = aval__arena_text(&m->arena, text);
    *count = 0;
    for (char *w = strtok(rest, " "); w; w = strtok(NULL, " ")) {
        if (w[0] == '-') w[0] = 0;
        words[(*count)++] = w;
    }
    return words;
}

static inline Aval__Onnx__Node *maker_loose_node(maker *m, const char *op, const char *inputs, const char *outputs)
{
    Aval__Onnx__Node *n = aval__arena_alloc(&m->arena, sizeof *n);
    aval__onnx__node__init(n);
    n->op_type = aval__arena_text(&m->arena, op);
    n->input = maker_words(m, inputs, &n->n_input);
    n->output = maker_words(m, outputs, &n->n_output);
    return n;
}

static inline Aval__Onnx__Node *maker_node(maker *m, const char *op, const char *inputs, const char *outputs)
{
    return m->nodes[m->graph.n_node++] = maker_loose_node(m, op, inputs, outputs);
}

static inline Aval__Onnx__Attribute *maker_attr(maker *m, Aval__Onnx__Node *n, const char *name, int type)
{
    Aval__Onnx__Attribute *a = aval__arena_alloc(&m->arena, sizeof *a);
    aval__onnx__attribute__init(a);
    a->name = aval__arena_text(&m->arena, name);
    a->type = type;
    a->has_type = 1;
    if (!n->attribute) n->attribute = aval__arena_alloc(&m->arena, MAKER_MOST * sizeof *n->attribute);
    n->attribute[n->n_attribute++] = a;
    return a;
}

static inline void maker_float(maker *m, Aval__Onnx__Node *n, const char *name, float f)
{
    Aval__Onnx__Attribute *a = maker_attr(m, n, name, 1);
    a->f = f;
    a->has_f = 1;
}

static inline Aval__Onnx__Tensor *maker_tensor(maker *m, const char *name, int type, size_t rank, const int64_t *dims, const void *raw,
                                               size_t bytes)
{
    Aval__Onnx__Tensor *t = aval__arena_alloc(&m->arena, sizeof *t);
    aval__onnx__tensor__init(t);
    t->name = aval__arena_text(&m->arena, name);
    t->data_type = type;
    t->has_data_type = 1;
    t->dims = aval__arena_copy(&m->arena, dims, rank * sizeof *dims);
    t->n_dims = rank;
    if (raw) {
        t->raw_data.data = aval__arena_copy(&m->arena, raw, bytes);
        t->raw_data.len = bytes;
        t->has_raw_data = 1;
    }
    return t;
}

static inline Aval__Onnx__Tensor *maker_initializer(maker *m, const char *name, int type, size_t rank, const int64_t *dims, const void *raw,
                                                    size_t bytes)
{
    return m->initializers[m->graph.n_initializer++] = maker_tensor(m, name, type, rank, dims, raw, bytes);
}

/* A float tensor; a dimension of -1 has a name instead. */
static inline Aval__Onnx__ValueInfo *maker_info(maker *m, const char *name, size_t rank, const int64_t *dims)
{
    Aval__Onnx__ValueInfo *info = aval__arena_alloc(&m->arena, sizeof *info);
    aval__onnx__value_info__init(info);
    info->name = aval__arena_text(&m->arena, name);
    info->type = aval__arena_alloc(&m->arena, sizeof *info->type);
    aval__onnx__type__init(info->type);
    Aval__Onnx__TensorType *t = info->type->tensor_type = aval__arena_alloc(&m->arena, sizeof *t);
    aval__onnx__tensor_type__init(t);
    t->elem_type = AVAL_FLOAT;
    t->has_elem_type = 1;
    t->shape = aval__arena_alloc(&m->arena, sizeof *t->shape);
    aval__onnx__shape__init(t->shape);
    t->shape->n_dim = rank;
    t->shape->dim = aval__arena_alloc(&m->arena, (rank + 1) * sizeof *t->shape->dim);
    for (size_t i = 0; i < rank; i++) {
        Aval__Onnx__Dimension *d = t->shape->dim[i] = aval__arena_alloc(&m->arena, sizeof *d);
        aval__onnx__dimension__init(d);
        d->dim_value = dims[i];
        d->has_dim_value = dims[i] >= 0;
        if (dims[i] < 0) d->dim_param = aval__arena_text(&m->arena, "N");
    }
    return info;
}

static inline void maker_input(maker *m, const char *name, size_t rank, const int64_t *dims)
{
    m->inputs[m->graph.n_input++] = maker_info(m, name, rank, dims);
}

static inline void maker_output(maker *m, const char *name)
{
    m->outputs[m->graph.n_output++] = maker_info(m, name, 0, NULL);
}

/* A function of domain "local" with these nodes, made by maker_loose_node. */
static inline Aval__Onnx__Function *maker_function(maker *m, const char *name, const char *inputs, const char *outputs, size_t n_nodes)
{
    Aval__Onnx__Function *f = aval__arena_alloc(&m->arena, sizeof *f);
    aval__onnx__function__init(f);
    f->name = aval__arena_text(&m->arena, name);
    f->domain = aval__arena_text(&m->arena, "local");
    f->input = maker_words(m, inputs, &f->n_input);
    f->output = maker_words(m, outputs, &f->n_output);
    f->node = aval__arena_alloc(&m->arena, (n_nodes + 1) * sizeof *f->node);
    f->n_node = n_nodes;
    return m->functions[m->model.n_functions++] = f;
}

static inline Aval__Onnx__Node *maker_local(maker *m, Aval__Onnx__Node *n)
{
    n->domain = aval__arena_text(&m->arena, "local");
    return n;
}

static inline size_t maker_pack(const maker *m, unsigned char **bytes)
{
    size_t count = aval__onnx__model__get_packed_size(&m->model);
    *bytes = aval__alloc(count + 1);
    cr_assert_eq(aval__onnx__model__pack(&m->model, *bytes), count);
    return count;
}

static inline void maker_write_bytes(const char *file, const void *bytes, size_t count)
{
    FILE *out = fopen(file, "wb");
    cr_assert(out && fwrite(bytes, 1, count, out) == count && fclose(out) == 0);
}

static inline void maker_write(const maker *m, const char *file)
{
    unsigned char *bytes;
    size_t count = maker_pack(m, &bytes);
    maker_write_bytes(file, bytes, count);
    aval__free(bytes);
}

static inline void maker_end(maker *m)
{
    aval__arena_release(&m->arena);
}

#endif
