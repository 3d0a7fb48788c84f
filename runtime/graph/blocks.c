/* Channels in blocks: where a tensor's second axis, of images [images, channels, space ...], is to lie as [images, channels / block, space ..., block].
 *
 * Expressions compute element by element, so their tensors lie one way or the other together; operators say what they would save by blocks of each input and
 * output (aval_blocks).  Sets of values that must lie alike are found first, with what each would save less what turning its tensors costs where somebody
 * else reads or makes them.  Those with a gain are then made anew in blocks, and turned back for who needs them as they were: their values keep their
 * identity. */
#include "graph/parts.h"

#include <string.h>

#define LEAST_RANK 3
#define MOST_RANK 5 /* images of three axes; one more is that of the blocks */
#define MOST_PORTS 16 /* of aval_blocks_gain */
#define TURN 2.0 /* a tensor is read and written to be turned */

/* What may be in blocks at a node: of an expression all or nothing, of an operator what its gain says. */
typedef struct part {
    bool elementwise; /* an expression whose tensors may all be in blocks */
    uint32_t asked; /* bits of what the operator says itself */
    aval_blocks_gain *gain; /* NULL: it says nothing; `may` is left with what is possible */
} part;

typedef struct blocking {
    aval_graph *g;
    const aval_device_info *device;
    int64_t block;
    bool all;
    aval__arena arena;
    aval_node **order;
    size_t n_order;
    part *parts; /* by place in the order */
    size_t n_values; /* before anything was added */
    /* By value id. */
    bool *may; /* the value may be in blocks */
    bool *turned; /* it is, or would be, turned, which was counted */
    uint32_t *root; /* of its set */
    double *gain; /* of a root: bytes */
    aval_value **blocked; /* the same in blocks, once it is made */
    aval_value **view; /* the same as expressions of blocks read it: [images, channels / block, 1 ..., block] */
} blocking;

/* ---- Sets ------------------------------------------------------------------------------------------------------------------------------ */

static uint32_t find(blocking *b, uint32_t id)
{
    while (b->root[id] != id) id = b->root[id] = b->root[b->root[id]];
    return id;
}

static void unite(blocking *b, const aval_value *x, const aval_value *y)
{
    uint32_t one = find(b, x->id), other = find(b, y->id);
    if (one == other) return;
    b->root[other] = one;
    b->gain[one] += b->gain[other];
}

static void add_gain(blocking *b, const aval_value *value, double bytes)
{
    b->gain[find(b, value->id)] += bytes;
}

/* Once for each value: it is turned where somebody of the set of `member` needs it in blocks and it is not, or the other way round. */
static void count_turn(blocking *b, const aval_value *value, const aval_value *member)
{
    if (b->turned[value->id]) return;
    b->turned[value->id] = true;
    add_gain(b, member, -TURN * (double)aval__tensor_bytes(&value->tensor));
}

static bool has_blocks(const blocking *b, const aval_tensor *t)
{
    return aval__tensor_known(t) && (AVAL_FLOATS & AVAL_TYPE_SET(t->type)) && t->rank >= LEAST_RANK && t->rank <= MOST_RANK &&
           t->dims[1] >= b->block && t->dims[1] % b->block == 0 && aval__tensor_count(t) > 0;
}

/* Whether an input of an expression that gives blocks of `like` lies for these as it is: one number, one a channel, or none a channel. */
static bool is_viewed(const aval_tensor *t, const aval_tensor *like)
{
    const int32_t channels = t->rank - like->rank + 1;
    if (channels < 0 || t->dims[channels] == 1) return true;
    for (int32_t i = channels + 1; i < t->rank; i++)
        if (t->dims[i] != 1) return false;
    return true;
}

/* An expression, element by element, whose results may be in blocks. */
static bool is_elementwise(const blocking *b, const aval_node *node)
{
    if (node->kind != AVAL__OP || node->def->kind != AVAL__EXPRESSION || node->n_outputs == 0) return false;
    if (!node->def->forward_of && node->def->op->infer && node->def->op->role != AVAL_ROLE_CAST)
        return false; /* its attributes may say a shape */
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (!node->outputs[i] || !has_blocks(b, &node->outputs[i]->tensor) || aval__node_updates(node, i)) return false;
    const aval_tensor *like = &node->outputs[0]->tensor;
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] && node->inputs[i]->tensor.rank != like->rank && !is_viewed(&node->inputs[i]->tensor, like)) return false;
    return true;
}

static bool has_gain(const aval_node *node)
{
    return node->kind == AVAL__OP && node->def->kind == AVAL__KERNELS && node->def->op->blocks && node->n_inputs <= AVAL_BLOCKED_OUTPUT;
}

/* Asks an operator what blocks of its tensors would save. */
static int ask(blocking *b, const aval_node *node, part *p)
{
    aval__tensors inputs;
    if (!has_gain(node) || !aval__registry_find(b->g->registry, node->def->op->blocks->op, UINT32_MAX)) return AVAL_OK;
    p->gain = aval__arena_alloc(&b->arena, sizeof *p->gain);
    if (!p->gain) return AVAL_E_MEMORY;
    AVAL__TRY(aval__tensors_of(&inputs, node->inputs, node->n_inputs));
    int status = aval__infer_blocks(node->def, &node->attrs, node->name, inputs.at, node->n_inputs, b->device, b->block, p->gain);
    aval__tensors_release(&inputs);
    p->asked = p->gain->may;
    return status;
}

/* The value at bit `bit` of aval_blocks_gain; NULL: none. */
static aval_value *value_at(const aval_node *node, uint32_t bit)
{
    if (bit < AVAL_BLOCKED_OUTPUT) return bit < node->n_inputs ? node->inputs[bit] : NULL;
    return bit - AVAL_BLOCKED_OUTPUT < node->n_outputs ? node->outputs[bit - AVAL_BLOCKED_OUTPUT] : NULL;
}

/* Leaves in the gain what is possible by what `may` says of the values. */
static void keep_possible(const blocking *b, const aval_node *node, const part *p)
{
    for (uint32_t bit = 0; bit < MOST_PORTS; bit++) {
        const aval_value *value = value_at(node, bit);
        if (!value || !b->may[value->id]) p->gain->may &= ~(1u << bit);
    }
    if (p->gain->together && p->gain->may != p->asked) p->gain->may = 0;
}

/* Output i of a node that is no expression. */
static bool may_give(const part *p, uint32_t i)
{
    return p->gain && i < MOST_PORTS - AVAL_BLOCKED_OUTPUT && p->gain->may >> (AVAL_BLOCKED_OUTPUT + i) & 1;
}

/* Values that are made by who can make them in blocks, and need not be in memory as they are. */
static int mark_possible(blocking *b, aval_value *const *wanted, size_t n_wanted)
{
    bool *as_it_is = aval__arena_alloc(&b->arena, b->n_values);
    if (!as_it_is) return AVAL_E_MEMORY;
    for (size_t i = 0; i < n_wanted; i++) as_it_is[wanted[i]->id] = true;
    for (size_t n = 0; n < b->n_order; n++) {
        const aval_node *node = b->order[n];
        part *p = &b->parts[n];
        p->elementwise = is_elementwise(b, node);
        for (uint32_t i = 0; i < node->n_outputs; i++) {
            const aval_value *value = node->outputs[i];
            if (!value) continue;
            p->elementwise = p->elementwise && !as_it_is[value->id];
            b->may[value->id] = !as_it_is[value->id] && has_blocks(b, &value->tensor);
        }
        AVAL__TRY(ask(b, node, p));
        if (p->gain) keep_possible(b, node, p);
        for (uint32_t i = 0; i < node->n_outputs && !p->elementwise; i++)
            if (node->outputs[i] && !may_give(p, i)) b->may[node->outputs[i]->id] = false;
    }
    return AVAL_OK;
}

static void weigh_elementwise(blocking *b, const aval_node *node)
{
    const aval_value *first = node->outputs[0];
    for (uint32_t i = 1; i < node->n_outputs; i++) unite(b, first, node->outputs[i]);
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const aval_value *value = node->inputs[i];
        if (!value) continue;
        if (b->may[value->id] && aval__tensor_same_shape(&value->tensor, &first->tensor)) unite(b, first, value);
        else if (!is_viewed(&value->tensor, &first->tensor)) count_turn(b, value, first);
    }
}

static void weigh_operator(blocking *b, const aval_node *node, const aval_blocks_gain *gain)
{
    const aval_value *first = NULL;
    for (uint32_t bit = 0; bit < MOST_PORTS; bit++) {
        const aval_value *value = value_at(node, bit);
        if (gain->may >> bit & 1) {
            if (first && gain->together) unite(b, first, value);
            first = value;
            add_gain(b, value, gain->saved[bit]);
        } else if (value && bit < AVAL_BLOCKED_OUTPUT && b->may[value->id]) count_turn(b, value, value);
    }
}

/* A node whose results nothing makes in blocks reads its inputs as they are. */
static void weigh_other(blocking *b, const aval_node *node)
{
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] && b->may[node->inputs[i]->id]) count_turn(b, node->inputs[i], node->inputs[i]);
}

static void weigh(blocking *b)
{
    for (size_t n = 0; n < b->n_order; n++) {
        const part *p = &b->parts[n];
        if (p->elementwise) weigh_elementwise(b, b->order[n]);
        else if (p->gain && p->gain->may) weigh_operator(b, b->order[n], p->gain);
        else weigh_other(b, b->order[n]);
    }
}

/* ---- Nodes ------------------------------------------------------------------------------------------------------------------------------- */

static bool is_blocked(blocking *b, const aval_value *value)
{
    if (!value || value->id >= b->n_values || !b->may[value->id]) return false;
    return b->all || b->gain[find(b, value->id)] > 0;
}

/* [images, channels, space ...] as [images, channels / block, block, space ...]. */
static void split_channels(const aval_tensor *t, int64_t block, aval_tensor *out)
{
    *out = *t;
    out->rank++;
    out->dims[1] = t->dims[1] / block;
    out->dims[2] = block;
    for (int32_t i = 2; i < t->rank; i++) out->dims[i + 1] = t->dims[i];
}

static int make_blocked(blocking *b, aval_value *value)
{
    aval_tensor split;
    aval_value *x;
    int64_t perm[AVAL_MAX_RANK] = { 0, 1 };
    split_channels(&value->tensor, b->block, &split);
    for (int32_t i = 2; i + 1 < split.rank; i++) perm[i] = i + 1;
    perm[split.rank - 1] = 2;
    AVAL__TRY(aval__role_reshape(b->g, value, &split, &x));
    return aval__role_transpose(b->g, x, perm, &b->blocked[value->id]);
}

/* The tensor as it was, under its own identity, from its blocks. */
static int make_plain(blocking *b, aval_value *value)
{
    aval_value *x = b->blocked[value->id];
    const size_t rank = (size_t)x->tensor.rank;
    int64_t perm[AVAL_MAX_RANK] = { 0, 1, (int64_t)rank - 1 };
    for (size_t i = 3; i < rank; i++) perm[i] = (int64_t)i - 1;
    AVAL__TRY(aval__role_transpose(b->g, x, perm, &x));
    AVAL__TRY(aval__role_reshape(b->g, x, &value->tensor, &x));
    aval__value_take_over(x, value);
    return AVAL_OK;
}

/* What an expression of blocks of `like` reads for `value`. */
static int view_of(blocking *b, aval_value *value, const aval_tensor *like, aval_value **out)
{
    const aval_tensor *t = &value->tensor;
    const int32_t channels = t->rank - like->rank + 1;
    *out = value;
    if (t->rank == like->rank && (is_blocked(b, value) || !is_viewed(t, like))) {
        if (!b->blocked[value->id]) AVAL__TRY(make_blocked(b, value));
        *out = b->blocked[value->id];
        return AVAL_OK;
    }
    if (aval__tensor_count(t) == 1) return AVAL_OK;
    if (!b->view[value->id]) {
        aval_tensor split = *t;
        /* An axis more at the end: that of the block, 1 where it has no channels. */
        split.dims[split.rank++] = 1;
        if (channels >= 0 && t->dims[channels] > 1) {
            split.dims[channels] = t->dims[channels] / b->block;
            split.dims[split.rank - 1] = b->block;
        }
        AVAL__TRY(aval__role_reshape(b->g, value, &split, &b->view[value->id]));
    }
    *out = b->view[value->id];
    return AVAL_OK;
}

static int add_node(blocking *b, const aval_node *like, const aval__opdef *def, const aval__attrs *attrs, aval_value *const *inputs,
                    aval_node **out)
{
    AVAL__TRY(aval__graph_add_node(b->g, def, attrs, inputs, like->n_inputs, like->n_outputs, out));
    (*out)->name = like->name;
    (*out)->device = like->device;
    return AVAL_OK;
}

/* Output i of `node` is that of `old` in blocks, or as it was. */
static int give_output(blocking *b, aval_node *node, aval_node *old, uint32_t i, bool in_blocks)
{
    aval_value *value = old->outputs[i];
    if (!in_blocks) aval__value_take_over(node->outputs[i], value);
    else {
        b->blocked[value->id] = node->outputs[i];
        if (b->turned[value->id]) AVAL__TRY(make_plain(b, value));
    }
    return AVAL_OK;
}

static int block_elementwise(blocking *b, aval_node *old)
{
    const aval_tensor like = old->outputs[0]->tensor;
    aval_node *node;
    aval_value **inputs = aval__arena_alloc(&b->arena, old->n_inputs * sizeof *inputs);
    if (!inputs) return AVAL_E_MEMORY;
    for (uint32_t i = 0; i < old->n_inputs; i++)
        if (old->inputs[i]) AVAL__TRY(view_of(b, old->inputs[i], &like, &inputs[i]));
    AVAL__TRY(add_node(b, old, old->def, &old->attrs, inputs, &node));
    for (uint32_t i = 0; i < old->n_outputs; i++) AVAL__TRY(give_output(b, node, old, i, true));
    old->dead = true;
    return AVAL_OK;
}

static int block_operator(blocking *b, aval_node *old, const part *p)
{
    const aval__opdef *def = aval__registry_find(b->g->registry, old->def->op->blocks->op, UINT32_MAX);
    aval__text text = { 0 };
    aval__attrs attrs;
    aval_node *node;
    bool in_blocks[MOST_PORTS] = { false }, any = false;
    aval_value *inputs[AVAL_BLOCKED_OUTPUT] = { NULL };
    aval__attrs_print(&text, &old->attrs, true);
    for (uint32_t bit = 0; bit < MOST_PORTS; bit++) {
        in_blocks[bit] = p->gain->may >> bit & 1 && is_blocked(b, value_at(old, bit));
        if (p->asked >> bit & 1) aval__text_add(&text, "%s%lld", any ? "," : " blocks=[", in_blocks[bit] ? (long long)b->block : 0LL);
        any |= p->asked >> bit & 1;
        if (bit < old->n_inputs) inputs[bit] = in_blocks[bit] ? b->blocked[old->inputs[bit]->id] : old->inputs[bit];
    }
    aval__text_add(&text, "]");
    int status = text.failed ? AVAL_E_MEMORY : aval__attrs_parse(&b->g->arena, def->op->attrs, text.at, &attrs);
    aval__text_release(&text);
    AVAL__TRY(status);
    AVAL__TRY(add_node(b, old, def, &attrs, inputs, &node));
    for (uint32_t i = 0; i < old->n_outputs; i++) AVAL__TRY(give_output(b, node, old, i, in_blocks[AVAL_BLOCKED_OUTPUT + i]));
    old->dead = true;
    return AVAL_OK;
}

static bool is_any_blocked(blocking *b, const aval_node *node, const part *p)
{
    for (uint32_t bit = 0; p->gain && bit < MOST_PORTS; bit++)
        if (p->gain->may >> bit & 1 && is_blocked(b, value_at(node, bit))) return true;
    return false;
}

static int rewrite(blocking *b)
{
    for (size_t n = 0; n < b->n_order; n++) {
        aval_node *node = b->order[n];
        const part *p = &b->parts[n];
        if (p->elementwise && is_blocked(b, node->outputs[0])) AVAL__TRY(block_elementwise(b, node));
        else if (is_any_blocked(b, node, p)) AVAL__TRY(block_operator(b, node, p));
    }
    return AVAL_OK;
}

static int make_tables(blocking *b)
{
    b->n_values = b->g->values.count;
    b->parts = aval__arena_alloc(&b->arena, b->n_order * sizeof *b->parts);
    b->may = aval__arena_alloc(&b->arena, b->n_values * sizeof *b->may);
    b->turned = aval__arena_alloc(&b->arena, b->n_values * sizeof *b->turned);
    b->root = aval__arena_alloc(&b->arena, b->n_values * sizeof *b->root);
    b->gain = aval__arena_alloc(&b->arena, b->n_values * sizeof *b->gain);
    b->blocked = aval__arena_alloc(&b->arena, b->n_values * sizeof(aval_value *));
    b->view = aval__arena_alloc(&b->arena, b->n_values * sizeof(aval_value *));
    if (!b->parts || !b->may || !b->turned || !b->root || !b->gain || !b->blocked || !b->view) return AVAL_E_MEMORY;
    for (uint32_t i = 0; i < b->n_values; i++) b->root[i] = i;
    return AVAL_OK;
}

/* Whether any operator has something to say of blocks. */
static bool is_any_gain(aval_node *const *order, size_t count)
{
    for (size_t n = 0; n < count; n++)
        if (has_gain(order[n])) return true;
    return false;
}

int aval__graph_block(aval_graph *g, aval_value *const *wanted, size_t n_wanted, const aval_device_info *device, int64_t block, bool all,
                      aval_node ***order, size_t *count)
{
    if (!is_any_gain(*order, *count)) return AVAL_OK;
    blocking b = { .g = g, .device = device, .block = block, .all = all, .order = *order, .n_order = *count };
    aval_node **fresh = NULL;
    size_t n_fresh;
    int status = AVAL_OK;
    AVAL__TRY_DONE(make_tables(&b));
    AVAL__TRY_DONE(mark_possible(&b, wanted, n_wanted));
    weigh(&b);
    AVAL__TRY_DONE(rewrite(&b));
    if (g->values.count == b.n_values) goto done;
    AVAL__TRY_DONE(aval__graph_order(g, wanted, n_wanted, &fresh, &n_fresh));
    aval__free(*order);
    *order = fresh;
    *count = n_fresh;
done:
    aval__arena_release(&b.arena);
    return status;
}
