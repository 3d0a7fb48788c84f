/* Every allocation of building, expanding, interpreting and drawing fails in turn: an error comes back, and nothing leaks. */
#include "fake_ops.h"

#include "fail_alloc.h"

/* Builds a graph that goes through all of the layer, and works with it; everything is given back. */
static int build_and_expand(fixture *f)
{
    aval_graph *g = aval__graph_create(f->registry, NULL), *copy = NULL;
    char *text = NULL;
    aval__hash hash;
    if (!g) return AVAL_E_MEMORY;
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(2, 3)), *w = aval_graph_state(g, "w", AVAL_FLOAT, AVAL_SHAPE(3));
    aval_value *h = aval_apply(g, "Mul", NULL, aval_apply(g, "Ninth", NULL, x), w);
    aval_value *y = aval_apply(g, "Product", NULL, aval_apply(g, "Square", NULL, h), h);
    aval_value *dw = aval_graph_gradient(g, y, w, NULL), *updated = aval_apply(g, "Update", NULL, w, dw);
    aval_value *wanted[] = { y, updated, aval_graph_gradient(g, aval_apply(g, "Step", NULL, x), x, NULL) };
    aval__numbering numbers = { 0 };
    aval_node **order = NULL;
    size_t count = 0;
    int status = aval_graph_status(g);
    if (status == AVAL_OK) status = aval_graph_text(g, &text);
    aval_free(text);
    text = NULL;
    if (status == AVAL_OK) status = aval_graph_dot(g, &text);
    aval_free(text);
    if (status == AVAL_OK) status = aval__graph_hash(g, wanted, 3, &hash, &numbers);
    aval__vec_release(&numbers);
    if (status == AVAL_OK) status = aval__graph_copy(g, &copy);
    if (status == AVAL_OK) status = aval__graph_expand(copy, wanted, 3, false);
    if (status == AVAL_OK) status = aval__graph_fold(copy, wanted, 3, 1024, &order, &count);
    aval__free(order);
    if (status == AVAL_OK) {
        aval__host_tensor content = { 0 };
        const aval__host_tensor *by_id[64] = { 0 };
        aval__interpretation result = { 0 };
        status = aval__host_tensor_make(&content, &x->tensor);
        by_id[x->id] = &content;
        if (status == AVAL_OK) status = aval__graph_interpret(copy, &(aval_value *){ h->producer->inputs[0] }, 1, by_id, &result);
        aval__interpretation_release(&result);
        aval__host_tensor_release(&content);
    }
    aval_graph_release(copy);
    aval_graph_release(g);
    return status;
}

Test(memory, each_failing_allocation_is_an_error_without_a_leak)
{
    fixture f;
    start(&f);
    cr_assert_eq(build_and_expand(&f), 0, "%s", aval_error()); /* the registry keeps the derivatives from now on */
    size_t n = 1;
    for (;; n++) {
        fail_alloc_at(n);
        int status = build_and_expand(&f);
        size_t outstanding = fail_alloc_outstanding(), count = fail_alloc_count();
        fail_alloc_off();
        cr_assert(status == AVAL_OK || status == AVAL_E_MEMORY, "allocation %zu: %d, %s", n, status, aval_error());
        cr_assert_eq(outstanding, 0, "allocation %zu: %zu were not given back", n, outstanding);
        if (count < n) {
            cr_assert_eq(status, AVAL_OK);
            break;
        }
    }
    cr_assert_gt(n, 50);
    finish(&f);
}
