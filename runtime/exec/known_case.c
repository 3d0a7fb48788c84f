/* Cases of known answers: a cluster's nodes on a few elements, or an operator's smallest sample.  See known.h. */
#include "exec/known.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SMALL 3 /* length of the axes of a cluster's inputs that have one */
#define LEAST_ELEMENTS 8 /* of a sample's inputs together: of one element alone much comes out right by itself */
#define MOST_ELEMENTS 4096

static bool is_float(int type)
{
    return (AVAL_REALS & AVAL_TYPE_SET(type)) != 0;
}

/* How far results may be off, absolutely and of a tensor's largest element: a wrong kernel is off by far more, and rounding by less. */
static void allow_for(aval__known *k, int type)
{
    static const struct {
        int type;
        double atol, rtol;
    } rows[] = { { AVAL_DOUBLE, 1e-7, 1e-7 }, { AVAL_FLOAT, 1e-3, 1e-3 } };
    double atol = 0.05, rtol = 0.05; /* halves and smaller */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].type == type) atol = rows[i].atol, rtol = rows[i].rtol;
    k->atol = fmax(k->atol, atol);
    k->rtol = fmax(k->rtol, rtol);
}

/* Where several types meet, as in a cast, the coarsest one rounds the result. */
static void allow_for_all(aval__known *k)
{
    for (size_t i = 0; i < k->graph->values.count; i++)
        if (is_float(k->graph->values.at[i]->tensor.type)) allow_for(k, k->graph->values.at[i]->tensor.type);
}

/* ---- Contents ----------------------------------------------------------------------------------------------------------------- */

/* Numbers that lie evenly in the range in mixed order, so that none are equal.  7919 is a prime: no tensor of a case has a multiple of it. */
static void fill(aval__host_tensor *t, double low, double high, unsigned draw)
{
    int64_t count = aval__tensor_count(&t->tensor);
    for (int64_t i = 0; i < count; i++) {
        double share = ((double)((i + 1) * 7919 * (int64_t)(draw + 1) % count) + 0.5) / (double)count;
        if (t->real) t->real[i] = low + share * (high - low);
        else if (t->tensor.type == AVAL_BOOL) t->integer[i] = (i + draw) % 2 == 0;
        else t->integer[i] = (int64_t)fmin(floor(low + share * (high - low + 1)), high);
    }
}

static int round_to_storage(aval__host_tensor *t, void **data)
{
    *data = aval__alloc(aval__tensor_bytes(&t->tensor));
    if (!*data) return AVAL_E_MEMORY;
    aval__host_tensor_to(t, *data);
    aval__host_tensor_from(t, *data);
    return AVAL_OK;
}

typedef enum input_kind { FED, STATE, FIXED } input_kind;

/* Input i of the case, whose content is filled in already. */
static int add_value(aval__known *k, size_t i, input_kind kind)
{
    aval__host_tensor *t = &k->contents[i];
    size_t rank = (size_t)t->tensor.rank;
    aval__text name = { 0 };
    void *data = NULL;
    int status = round_to_storage(t, &data);
    aval__text_add(&name, "%zu", i);
    if (name.failed) status = AVAL_E_MEMORY;
    if (status == AVAL_OK && kind == STATE) status = aval_store_set(k->store, name.at, t->tensor.type, rank, t->tensor.dims, data);
    if (status == AVAL_OK) {
        k->values[i] = kind == FIXED   ? aval_graph_constant(k->graph, t->tensor.type, rank, t->tensor.dims, data)
                       : kind == STATE ? aval_graph_state(k->graph, name.at, t->tensor.type, rank, t->tensor.dims)
                                       : aval_graph_input(k->graph, name.at, t->tensor.type, rank, t->tensor.dims);
        if (!k->values[i]) status = aval_graph_status(k->graph);
    }
    aval__text_release(&name);
    aval__free(data);
    return status;
}

static int make_lists(aval__known *k, size_t n_inputs, size_t n_wanted)
{
    k->n_inputs = n_inputs;
    k->values = aval__arena_alloc(&k->arena, sizeof *k->values * (n_inputs + 1));
    k->gradients = aval__arena_alloc(&k->arena, sizeof *k->gradients * (n_inputs + 1));
    k->contents = aval__arena_alloc(&k->arena, sizeof *k->contents * (n_inputs + 1));
    k->wanted = aval__arena_alloc(&k->arena, sizeof *k->wanted * (n_wanted + 1));
    return k->values && k->gradients && k->contents && k->wanted ? AVAL_OK : AVAL_E_MEMORY;
}

/* ---- Clusters ------------------------------------------------------------------------------------------------------------------ */

static bool updates(const aval_node *node, const aval_value *value)
{
    for (size_t o = 0; o < node->n_outputs; o++)
        if (aval__node_updates(node, o) == value) return true;
    return false;
}

static bool is_updated(const aval__plan_unit *unit, const aval_value *value)
{
    for (size_t n = 0; n < unit->n_nodes; n++)
        if (updates(unit->nodes[n], value)) return true;
    return false;
}

/* The same value with axes of at most SMALL elements; one number that is known stays what it is. */
static int shrink(aval__known *k, size_t i, const aval__plan_unit *unit, const aval_value *from, unsigned draw)
{
    aval_tensor t = from->tensor;
    bool number = from->data && aval__tensor_count(&t) == 1;
    for (int32_t d = 0; d < t.rank; d++) t.dims[d] = t.dims[d] > 1 ? SMALL : t.dims[d];
    AVAL__TRY(aval__host_tensor_make(&k->contents[i], &t));
    if (number) aval__host_tensor_from(&k->contents[i], from->data);
    else if (is_float(t.type)) fill(&k->contents[i], 0.25, 0.9, draw);
    else fill(&k->contents[i], 0, 2, draw);
    return add_value(k, i, number ? FIXED : is_updated(unit, from) ? STATE : FED);
}

/* Where a value of the plan's graph is in the case's: `from` and `to` are lists of n. */
static aval_value *image(aval_value *const *from, aval_value *const *to, size_t n, const aval_value *value)
{
    for (size_t i = 0; i < n; i++)
        if (from[i] == value) return to[i];
    return NULL;
}

static int copy_node(aval__known *k, uint32_t device, const aval_node *node, aval_value **from, aval_value **to, size_t *n)
{
    aval_value **inputs = aval__arena_alloc(&k->arena, sizeof *inputs * (node->n_inputs + 1));
    aval_node *made;
    if (!inputs) return AVAL_E_MEMORY;
    for (size_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i]) inputs[i] = image(from, to, *n, node->inputs[i]);
    AVAL__TRY(aval__graph_add_node(k->graph, node->def, &node->attrs, inputs, node->n_inputs, node->n_outputs, &made));
    aval_node_place(made, (int)device);
    for (size_t o = 0; o < node->n_outputs; o++) {
        if (!node->outputs[o]) continue;
        from[*n] = node->outputs[o];
        to[(*n)++] = made->outputs[o];
    }
    return AVAL_OK;
}

static int make_cluster(aval__known *k, uint32_t device, const aval__plan_unit *unit, unsigned draw)
{
    size_t n_values = unit->n_inputs, n = 0;
    for (size_t i = 0; i < unit->n_nodes; i++) n_values += unit->nodes[i]->n_outputs;
    aval_value **from = aval__arena_alloc(&k->arena, sizeof *from * (n_values + 1));
    aval_value **to = aval__arena_alloc(&k->arena, sizeof *to * (n_values + 1));
    if (!from || !to) return AVAL_E_MEMORY;
    AVAL__TRY(make_lists(k, unit->n_inputs, unit->n_outputs));
    for (; n < unit->n_inputs; n++) {
        AVAL__TRY(shrink(k, n, unit, unit->inputs[n], draw));
        from[n] = unit->inputs[n];
        to[n] = k->values[n];
    }
    for (size_t i = 0; i < unit->n_nodes; i++) AVAL__TRY(copy_node(k, device, unit->nodes[i], from, to, &n));
    for (size_t i = 0; i < unit->n_outputs; i++) {
        k->wanted[k->n_wanted] = image(from, to, n, unit->outputs[i]);
        if (k->wanted[k->n_wanted]) k->n_wanted++;
    }
    return AVAL_OK;
}

/* ---- Samples ------------------------------------------------------------------------------------------------------------------- */

/* The smallest sample of LEAST_ELEMENTS or more that exists in this type, else the largest of the smaller ones; *inputs NULL: none. */
static int choose_sample(aval__known *k, const aval__opdef *def, int type, bool backward, const aval_sample **chosen,
                         aval__sample_input **inputs, size_t *n_inputs)
{
    int64_t least = INT64_MAX;
    *inputs = NULL;
    for (const aval_sample *s = def->op->samples; s->inputs; s++) {
        aval__sample_input *parsed;
        size_t count;
        int64_t elements = 0;
        bool empty = false, fits = s->size_class == AVAL_SMALL && !(backward && s->flags & AVAL_NO_GRADIENT_CHECK);
        if (!fits) continue;
        AVAL__TRY(aval__sample_parse(&k->arena, s->inputs, &parsed, &count));
        for (size_t i = 0; i < count; i++) {
            if (parsed[i].absent) continue;
            uint64_t types = def->op->inputs[aval__input_port(def, i)].types;
            if (parsed[i].follows && !((types ? types : AVAL_FLOATS) & AVAL_TYPE_SET(type))) fits = false;
            parsed[i].tensor.type = parsed[i].follows ? type : parsed[i].tensor.type;
            elements += aval__tensor_count(&parsed[i].tensor);
            empty = empty || aval__tensor_count(&parsed[i].tensor) == 0;
        }
        if (elements < LEAST_ELEMENTS) elements = MOST_ELEMENTS + LEAST_ELEMENTS - elements;
        else if (elements > MOST_ELEMENTS) continue;
        if (!fits || empty || elements >= least) continue;
        least = elements;
        *chosen = s;
        *inputs = parsed;
        *n_inputs = count;
    }
    return AVAL_OK;
}

static int fill_sample_input(aval__known *k, size_t i, const aval__opdef *def, const aval_sample *sample, const aval__sample_input *from,
                             unsigned draw)
{
    const aval_port *port = &def->op->inputs[aval__input_port(def, i)], *outputs = def->op->outputs;
    double low = from->has_range ? from->low : sample->low, high = from->has_range ? from->high : sample->high;
    input_kind kind = port->flags & AVAL_SHAPE_INPUT ? FIXED : FED;
    if (low == 0 && high == 0) low = -1, high = 1;
    AVAL__TRY(aval__host_tensor_make(&k->contents[i], &from->tensor));
    aval__host_tensor *t = &k->contents[i];
    if (!from->has_values) fill(t, low, high, draw);
    for (int64_t e = 0; from->has_values && e < aval__tensor_count(&t->tensor); e++) {
        double x = from->values[(size_t)e % from->n_values];
        if (t->real) t->real[e] = x;
        else t->integer[e] = (int64_t)x;
    }
    for (size_t o = 0; outputs[o].name; o++)
        if (outputs[o].updates == i + 1) kind = STATE;
    return add_value(k, i, kind);
}

static int fill_weights(aval__known *k, const aval_tensor *y)
{
    void *data = NULL;
    AVAL__TRY(aval__host_tensor_make(&k->weights, y));
    fill(&k->weights, 0.25, 1.25, 3); /* none is 0: that of a loss is the only one there is */
    AVAL__TRY(round_to_storage(&k->weights, &data));
    aval__free(data);
    return AVAL_OK;
}

/* d(weights . first output)/d(each float input that backward is asked for). */
static int add_gradients(aval__known *k, const aval__opdef *def)
{
    const aval_tensor *y = &k->wanted[0]->tensor;
    if (!is_float(y->type)) return AVAL_OK;
    AVAL__TRY(fill_weights(k, y));
    k->upstream = aval_graph_input(k->graph, "weights", y->type, (size_t)y->rank, y->dims);
    for (size_t i = 0; i < k->n_inputs; i++) {
        size_t port = aval__input_port(def, i);
        if (!k->values[i] || k->values[i]->kind == AVAL__CONSTANT || !is_float(k->values[i]->tensor.type)) continue;
        if (def->op->zero_gradient >> port & 1) continue;
        k->gradients[i] = aval_graph_gradient(k->graph, k->wanted[0], k->values[i], k->upstream);
    }
    return aval_graph_status(k->graph);
}

static int make_sample(aval__known *k, uint32_t device, const aval__plan_unit *unit, unsigned draw, bool *exists)
{
    const aval_node *node = unit->nodes[0];
    const aval__opdef *def = node->def->kind == AVAL__BACKWARD ? node->def->forward_of : node->def;
    const aval_sample *sample = NULL;
    aval__sample_input *inputs;
    size_t n_inputs = 0;
    aval__attrs attrs;
    aval_node *made;
    k->differentiate = node->def->kind == AVAL__BACKWARD;
    AVAL__TRY(choose_sample(k, def, unit->type, k->differentiate, &sample, &inputs, &n_inputs));
    *exists = inputs != NULL;
    if (!*exists) return AVAL_OK;
    AVAL__TRY(make_lists(k, n_inputs, def->n_outputs));
    for (size_t i = 0; i < n_inputs; i++)
        if (!inputs[i].absent) AVAL__TRY(fill_sample_input(k, i, def, sample, &inputs[i], draw));
    AVAL__TRY(aval__attrs_parse(&k->arena, def->op->attrs, sample->attrs, &attrs));
    AVAL__TRY(aval__graph_add_node(k->graph, def, &attrs, k->values, n_inputs, def->n_outputs, &made));
    aval_node_place(made, (int)device);
    for (size_t o = 0; o < made->n_outputs; o++)
        if (made->outputs[o] && (o == 0 || !k->differentiate)) k->wanted[k->n_wanted++] = made->outputs[o];
    k->atol = fmax(k->atol, sample->atol);
    k->rtol = fmax(k->rtol, fmax(sample->rtol, sample->grad_rtol));
    return k->differentiate ? add_gradients(k, def) : AVAL_OK;
}

/* ---- Nodes at full size ---------------------------------------------------------------------------------------------------------- */

/* Input i as the plan's node has it; of what is fed the content comes later. */
static int add_whole(aval__known *k, size_t i, const aval_value *from, input_kind kind)
{
    const aval_tensor *t = &from->tensor;
    char name[24];
    if (kind != FED) {
        AVAL__TRY(aval__host_tensor_make(&k->contents[i], t));
        if (kind == FIXED) aval__host_tensor_from(&k->contents[i], from->data);
        else fill(&k->contents[i], 0.25, 0.9, 0);
        return add_value(k, i, kind);
    }
    snprintf(name, sizeof name, "%zu", i);
    k->values[i] = aval_graph_input(k->graph, name, t->type, (size_t)t->rank, t->dims);
    return k->values[i] ? AVAL_OK : aval_graph_status(k->graph);
}

static int add_inputs(aval__known *k, const aval_node *node, size_t n)
{
    bool backward = node->def->kind == AVAL__BACKWARD, readable;
    for (size_t i = 0; i < n; i++) {
        const aval_value *from = backward ? aval__backward_input(node, i, &readable) : node->inputs[i];
        if (!from) continue;
        input_kind kind = !is_float(from->tensor.type) ? FIXED : !backward && updates(node, from) ? STATE : FED;
        AVAL__TRY(add_whole(k, i, from, kind));
    }
    return AVAL_OK;
}

static int make_whole(aval__known *k, uint32_t device, const aval_node *node)
{
    const aval_node *forward = node->def->kind == AVAL__BACKWARD ? node->forward : node;
    const aval__opdef *def = node->def->kind == AVAL__BACKWARD ? node->def->forward_of : node->def;
    aval_node *made;
    k->differentiate = node->def->kind == AVAL__BACKWARD;
    AVAL__TRY(make_lists(k, forward->n_inputs, forward->n_outputs));
    AVAL__TRY(add_inputs(k, node, forward->n_inputs));
    AVAL__TRY(aval__graph_add_node(k->graph, def, &forward->attrs, k->values, forward->n_inputs, forward->n_outputs, &made));
    aval_node_place(made, (int)device);
    for (size_t o = 0; o < made->n_outputs; o++)
        if (made->outputs[o] && (o == 0 || !k->differentiate)) k->wanted[k->n_wanted++] = made->outputs[o];
    if (!k->differentiate) return AVAL_OK;
    const aval_tensor *y = &k->wanted[0]->tensor;
    k->upstream = aval_graph_input(k->graph, "weights", y->type, (size_t)y->rank, y->dims);
    for (size_t i = 0; i < k->n_inputs && i < node->n_outputs; i++)
        if (node->outputs[i] && k->values[i]) k->gradients[i] = aval_graph_gradient(k->graph, k->wanted[0], k->values[i], k->upstream);
    return aval_graph_status(k->graph);
}

int aval__known_make_node(aval_context *ctx, uint32_t device, const aval_node *node, aval__known *k)
{
    *k = (aval__known){ .ctx = ctx };
    k->graph = aval_graph_create(ctx);
    int status = k->graph ? aval_store_create(ctx, &k->store) : AVAL_E_MEMORY;
    if (status == AVAL_OK) status = make_whole(k, device, node);
    if (status == AVAL_OK) allow_for_all(k);
    return status;
}

int aval__known_fill(aval__known *k)
{
    void *data;
    for (size_t i = 0; i < k->n_inputs; i++) {
        if (!k->values[i] || k->values[i]->kind != AVAL__INPUT || k->contents[i].real) continue;
        AVAL__TRY(aval__host_tensor_make(&k->contents[i], &k->values[i]->tensor));
        fill(&k->contents[i], 0.25, 0.9, (unsigned)i);
        AVAL__TRY(round_to_storage(&k->contents[i], &data));
        aval__free(data);
    }
    return k->upstream && !k->weights.real ? fill_weights(k, &k->upstream->tensor) : AVAL_OK;
}

int aval__known_reset(aval__known *k)
{
    for (size_t i = 0; i < k->n_inputs; i++) {
        const aval_value *v = k->values[i];
        void *data;
        if (!v || v->kind != AVAL__STATE) continue;
        AVAL__TRY(round_to_storage(&k->contents[i], &data));
        int status = aval_store_set(k->store, v->name, v->tensor.type, (size_t)v->tensor.rank, v->tensor.dims, data);
        aval__free(data);
        AVAL__TRY(status);
    }
    return AVAL_OK;
}

/* ---- Both ------------------------------------------------------------------------------------------------------------------------ */

int aval__known_make(aval_context *ctx, uint32_t device, const aval__plan_unit *unit, unsigned draw, aval__known *k, bool *exists)
{
    *k = (aval__known){ .ctx = ctx };
    *exists = true;
    allow_for(k, unit->type);
    k->graph = aval_graph_create(ctx);
    int status = k->graph ? aval_store_create(ctx, &k->store) : AVAL_E_MEMORY;
    if (status == AVAL_OK) status = unit->cluster ? make_cluster(k, device, unit, draw) : make_sample(k, device, unit, draw, exists);
    if (status == AVAL_OK && *exists) allow_for_all(k);
    if (status == AVAL_OK && *exists) status = aval_graph_status(k->graph);
    if (status == AVAL_OK && k->n_wanted == 0) *exists = false;
    return status;
}

void aval__known_release(aval__known *k)
{
    for (size_t i = 0; i < k->n_inputs; i++) aval__host_tensor_release(&k->contents[i]);
    aval__host_tensor_release(&k->weights);
    aval_store_release(k->store);
    aval_graph_release(k->graph);
    aval__arena_release(&k->arena);
}
