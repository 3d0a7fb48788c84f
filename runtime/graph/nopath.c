/* Why a gradient is zero: where each path from the value to the differentiated one stops. */
#include "graph/sweep.h"

#define MAX_STOPS 8 /* more don't help a reader */

static void add_stop(aval__text *text, size_t *n_stops, const aval_node *node, size_t i, const char *why)
{
    if (++*n_stops > MAX_STOPS) return;
    aval__text_add(text, *n_stops > 1 ? "; at " : ": the path stops at ");
    aval__node_label(text, node);
    aval__text_add(text, ", input %zu (%s)", i, why);
}

/* Follows what can be differentiated from `wrt` on; seen is by value id. */
static int describe_stops(aval__sweep *s, const aval_value *wrt, bool *seen, aval__text *text, size_t *n_stops)
{
    aval__link link;
    seen[wrt->id] = true;
    for (size_t n = 0; n < s->n_nodes; n++) {
        const aval_node *node = s->nodes[n];
        for (size_t i = 0; i < node->n_inputs; i++) {
            bool passes = false;
            if (!node->inputs[i] || !seen[node->inputs[i]->id]) continue;
            AVAL__TRY(aval__sweep_link(s, node, i, &link));
            for (size_t o = 0; o < node->n_outputs && link == AVAL__LINK_OPEN; o++) {
                if (!node->outputs[o] || !aval__is_float(node->outputs[o])) continue;
                seen[node->outputs[o]->id] = true;
                passes = true;
            }
            if (link == AVAL__LINK_ZERO) add_stop(text, n_stops, node, i, "its derivative is 0");
            else if (link == AVAL__LINK_TYPE) add_stop(text, n_stops, node, i, "integers and bools have no gradient");
            else if (!passes) add_stop(text, n_stops, node, i, "its outputs are integers or bools");
        }
    }
    return AVAL_OK;
}

int aval__sweep_report_no_path(aval__sweep *s, const aval_value *wrt)
{
    size_t n_stops = 0;
    aval__text text = { 0 };
    bool *seen = aval__alloc_array(s->g->values.count, sizeof *seen);
    if (!seen) return AVAL_E_MEMORY;
    aval__text_add(&text, "no differentiable path leads from '%s' to '%s'", aval__value_label(wrt), aval__value_label(s->of));
    int status = describe_stops(s, wrt, seen, &text, &n_stops);
    if (n_stops == 0) aval__text_add(&text, ": nothing computes the one from the other");
    if (status == AVAL_OK && text.failed) status = aval__fail(AVAL_E_MEMORY, "out of memory for a message");
    else if (status == AVAL_OK && s->strict) status = aval__fail(AVAL_E_GRADIENT, "%s", text.at);
    else if (status == AVAL_OK && s->g->log) aval__log_write(s->g->log, AVAL_LOG_WARNING, "%s; the gradient is zeros", text.at);
    aval__text_release(&text);
    aval__free(seen);
    return status;
}
