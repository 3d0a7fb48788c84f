/* Operators of a model from a file that do one thing in training and another afterwards.  What was exported in training mode trains so: batch
 * normalisation with the batch's statistics, towards which the running ones are moved, and dropout with new draws each step.  Its graph for
 * evaluation, and the file that is written in the end, do what follows training.  A batch normalisation whose scale is frozen is frozen
 * altogether. */
#include "train/train.h"

#include <stdio.h>
#include <string.h>

/* A state that a step changes, and its new content. */
typedef struct change {
    aval_value *state, *content;
} change;

typedef struct mode {
    aval__builder *b;
    aval_value **ends; /* of the graph: they follow what takes their place */
    size_t n_ends;
    AVAL__VEC(change) changes;
    size_t n_draws;
} mode;

static int take_place(const mode *m, aval_value *old, aval_value *new_value)
{
    if (new_value == NULL) return aval_graph_status(m->b->g);
    for (size_t i = 0; i < m->n_ends; i++)
        if (m->ends[i] == old) m->ends[i] = new_value;
    return aval_graph_replace(m->b->g, old, new_value);
}

static bool is_trained(const aval__builder *b, const aval_value *weight)
{
    for (size_t i = 0; i < b->parameters.count; i++)
        if (b->parameters.at[i].value == weight) return true;
    return false;
}

/* ---- Batch normalisation --------------------------------------------------------------------------------------------------------------- */

static const char training_mode[] = "training_mode=";

/* The node's attributes without training_mode, for aval_free; NULL in *rest: it is not in training mode. */
static int attributes_after(const aval_node *node, char **rest)
{
    AVAL__TRY(aval_node_attrs(node, rest));
    char *at = strstr(*rest, training_mode);
    if (at == NULL || strncmp(at + sizeof training_mode - 1, "0", 1) == 0) {
        aval_free(*rest);
        *rest = NULL;
        return AVAL_OK;
    }
    char *behind = strchr(at, ' ');
    if (behind != NULL) memmove(at, behind + 1, strlen(behind));
    else *at = 0;
    return AVAL_OK;
}

static int set_normalization(mode *m, aval_node *node)
{
    aval__builder *b = m->b;
    char *attrs;
    AVAL__TRY(attributes_after(node, &attrs));
    if (attrs == NULL) return AVAL_OK;
    aval_value *inputs[5], *old = aval_node_output(node, 0);
    for (size_t i = 0; i < 5; i++) inputs[i] = aval_node_input(node, i);
    int status = AVAL_OK;
    if (b->training && is_trained(b, inputs[1])) {
        for (size_t i = 1; i < 3 && status == AVAL_OK; i++) {
            const change moved = { inputs[2 + i], aval_node_output(node, i) };
            status = aval__vec_push(&m->changes, moved);
        }
    } else {
        aval_node *after = aval_graph_node(b->g, "BatchNormalization", attrs, inputs, 5);
        aval_value *y = aval_node_output(after, 0);
        if (y != NULL) aval_value_set_name(y, aval_value_name(old));
        if (y != NULL) aval_node_set_name(after, aval_node_name(node));
        status = take_place(m, old, y);
    }
    aval_free(attrs);
    return status;
}

/* ---- Dropout --------------------------------------------------------------------------------------------------------------------------- */

/* Without a state of its own it would drop the same elements in each step. */
static int set_dropout(mode *m, aval_node *node)
{
    aval__builder *b = m->b;
    aval_value *inputs[4] = { NULL }, *old = aval_node_output(node, 0);
    char name[48];
    for (size_t i = 0; i < 3 && i < aval_node_input_count(node); i++) inputs[i] = aval_node_input(node, i);
    if (!b->training) return take_place(m, old, inputs[0]);
    if (inputs[2] == NULL) return AVAL_OK; /* it passes on what it gets */
    snprintf(name, sizeof name, "train.dropout%zu", ++m->n_draws);
    const int64_t start[2] = { (int64_t)(b->recipe->options.seed * AVAL__MOST_LAYERS + m->n_draws), 0 };
    AVAL__TRY(aval__builder_state(b, name, AVAL_INT64, AVAL_SHAPE(2), &(aval__initial){ .values = start }, &inputs[3]));
    aval_node *drawing = aval_graph_node(b->g, "Dropout", NULL, inputs, 4);
    AVAL__TRY(take_place(m, old, aval_node_output(drawing, 0)));
    const change drawn = { inputs[3], aval_node_output(drawing, 2) };
    return aval__vec_push(&m->changes, drawn);
}

/* ---- All of them ------------------------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *op;
    int (*set)(mode *m, aval_node *node);
} kinds[] = { { "BatchNormalization", set_normalization }, { "Dropout", set_dropout } };

/* Only of what the ends need: a layer behind a cut would be computed for its statistics alone. */
static int push_changes(const mode *m)
{
    aval_value **states = NULL;
    size_t n_states = 0;
    int status = aval_graph_states(m->b->g, m->ends, m->n_ends, &states, &n_states);
    for (size_t i = 0; i < n_states; i++)
        for (size_t c = 0; c < m->changes.count && status == AVAL_OK; c++)
            if (m->changes.at[c].state == states[i]) status = aval__vec_push(&m->b->updates, m->changes.at[c].content);
    aval_free(states);
    return status;
}

int aval__import_mode(aval__builder *b, aval_value **ends, size_t n_ends)
{
    mode m = { .b = b, .ends = ends, .n_ends = n_ends };
    int status = AVAL_OK;
    for (size_t n = 0, count = aval_graph_node_count(b->g); n < count && status == AVAL_OK; n++) {
        aval_node *node = aval_graph_node_at(b->g, n);
        const aval_op *op = aval_node_op(node);
        for (size_t i = 0; op != NULL && op->domain == NULL && i < sizeof kinds / sizeof kinds[0] && status == AVAL_OK; i++)
            if (strcmp(op->name, kinds[i].op) == 0) status = kinds[i].set(&m, node);
    }
    if (status == AVAL_OK) status = push_changes(&m);
    aval__vec_release(&m.changes);
    return status;
}
